/* query/exec/utility_rename.c - RENAME, SET SCHEMA, OWNER TO, COMMENT ON. */
#include "query/exec/utility_internal.h"

#include "engine/base/poison.h"

/* ---- RENAME ---- */

static err_t
name_is_free(struct utility *utility, oid_t schema, struct slice name)
{
    return utility_is_taken(utility, schema, name) ? utility_already_exists(utility, false, name)
                                                   : ERR_OK;
}

/* Views that name the relation go on meaning it. */
static void
views_follow(struct utility *utility, const struct relation *renamed, struct slice old,
             uint16_t column, struct slice new)
{
    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *view = utility->catalog->relations[i];
        struct relation changed = *view;
        bool depends = false;

        for (uint32_t j = 0; j < view->dependency_count; j++) {
            depends = depends || (view->dependencies[j].oid == renamed->oid &&
                                  view->dependencies[j].column == column);
        }
        if (!depends || view->kind != RELATION_VIEW) {
            continue;
        }
        changed.view_sql = text_rename(utility->exec->arena, view->view_sql, old, new, false);
        if (column == 0) { /* Columns may be written with the relation's name in front. */
            changed.view_sql = text_rename(utility->exec->arena, changed.view_sql, old, new, true);
        }
        utility_put(utility, &changed);
    }
}

/* Defaults that draw from a sequence go on drawing from it. */
static void
defaults_follow(struct utility *utility, const struct relation *sequence, struct slice new)
{
    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *table = utility->catalog->relations[i];
        struct relation *changed = NULL;

        for (uint16_t j = 0; j < table->column_count; j++) {
            if (!utility_default_draws(utility, table, &table->columns[j], sequence)) {
                continue;
            }
            changed = changed != NULL ? changed : utility_change(utility, table, 0);
            changed->columns[j].default_sql = slice_from_text(
                arena_printf(utility->exec->arena, "nextval('%s'%s)", utility_quote(utility, new),
                             type_by_oid(OID_REGCLASS) != NULL ? "::regclass" : ""));
        }
        if (changed != NULL) {
            utility_put(utility, changed);
        }
    }
}

static err_t
relation_rename(struct utility *utility, const RenameStmt *node, const struct relation *relation)
{
    struct relation changed = *relation;
    err_t err;

    changed.name = utility_name_of(utility, node->newname);
    TRY(name_is_free(utility, relation->schema, changed.name));
    TRY(utility_lock(utility, relation));
    if (relation->kind == RELATION_SEQUENCE) {
        defaults_follow(utility, relation, changed.name);
    }
    views_follow(utility, relation, relation->name, 0, changed.name);
    utility_put(utility, &changed);
out:
    return err;
}

static err_t
index_rename(struct utility *utility, const RenameStmt *node, const struct relation *relation,
             oid_t index)
{
    struct relation *changed = utility_change(utility, relation, 0);
    struct slice name = utility_name_of(utility, node->newname);
    err_t err;

    TRY(name_is_free(utility, relation->schema, name));
    for (uint32_t i = 0; i < changed->index_count; i++) {
        if (changed->indexes[i].oid == index) {
            changed->indexes[i].name = name;
        }
    }
    for (uint32_t i = 0; i < changed->constraint_count; i++) {
        if (changed->constraints[i].index == index &&
            changed->constraints[i].kind != CONSTRAINT_FOREIGN) {
            changed->constraints[i].name = name;
        }
    }
    utility_put(utility, changed);
out:
    return err;
}

static err_t
any_rename(struct utility *utility, const RenameStmt *node)
{
    const struct relation *relation;
    const struct index *index;
    const char *schema = node->relation->schemaname;
    err_t err;

    relation = search_relation(utility->catalog, utility->search_path, schema,
                               slice_from_text(node->relation->relname));
    if (relation == NULL) {
        relation = search_index(utility->catalog, utility->search_path, schema,
                                slice_from_text(node->relation->relname), &index);
        if (relation != NULL) {
            return index_rename(utility, node, relation, index->oid);
        }
    }
    TRY(utility_relation(utility, node->relation, node->missing_ok, &relation));
    if (relation == NULL) {
        goto out;
    }
    if ((node->renameType == OBJECT_VIEW && relation->kind != RELATION_VIEW) ||
        (node->renameType == OBJECT_SEQUENCE && relation->kind != RELATION_SEQUENCE) ||
        node->renameType == OBJECT_INDEX) {
        err = sql_error("42809", "\"%s\" is not %s", node->relation->relname,
                        node->renameType == OBJECT_VIEW       ? "a view"
                        : node->renameType == OBJECT_SEQUENCE ? "a sequence"
                                                              : "an index");
        goto out;
    }
    err = relation_rename(utility, node, relation);
out:
    return err;
}

static struct slice
sql_rename(struct utility *utility, struct slice sql, struct slice old, struct slice new)
{
    return sql.size == 0 ? sql : text_rename(utility->exec->arena, sql, old, new, false);
}

static err_t
column_rename(struct utility *utility, const RenameStmt *node)
{
    const struct relation *relation;
    struct relation *changed;
    struct slice old, new = utility_name_of(utility, node->newname);
    uint16_t at;
    err_t err;

    TRY(utility_relation(utility, node->relation, node->missing_ok, &relation));
    if (relation == NULL) {
        goto out;
    }
    old = slice_from_text(node->subname);
    at = relation_column(relation, old);
    if (at == UINT16_MAX) {
        return sql_error("42703", "column \"%s\" does not exist", node->subname);
    }
    if (relation_column(relation, new) != UINT16_MAX) {
        return sql_error("42701", "column \"%.*s\" of relation \"%.*s\" already exists",
                         SLICE_ARGS(new), SLICE_ARGS(relation->name));
    }
    TRY(utility_lock(utility, relation));
    changed = utility_change(utility, relation, 0);
    changed->columns[at].name = new;
    for (uint32_t i = 0; i < changed->column_count; i++) {
        if (changed->columns[i].is_generated) {
            changed->columns[i].default_sql =
                sql_rename(utility, changed->columns[i].default_sql, old, new);
        }
    }
    for (uint32_t i = 0; i < changed->constraint_count; i++) {
        changed->constraints[i].sql = sql_rename(utility, changed->constraints[i].sql, old, new);
    }
    for (uint32_t i = 0; i < changed->virtual_count; i++) {
        changed->virtuals[i].sql = sql_rename(utility, changed->virtuals[i].sql, old, new);
    }
    if (relation->kind == RELATION_TABLE) {
        views_follow(utility, relation, old, (uint16_t)(at + 1), new);
    }
    utility_put(utility, changed);
out:
    return err;
}

static err_t
constraint_rename(struct utility *utility, const RenameStmt *node)
{
    struct slice new = utility_name_of(utility, node->newname);
    const struct constraint *constraint;
    const struct relation *relation;
    struct relation *changed;
    err_t err;

    TRY(utility_relation(utility, node->relation, node->missing_ok, &relation));
    if (relation == NULL) {
        goto out;
    }
    constraint = relation_constraint(relation, slice_from_text(node->subname));
    if (constraint == NULL) {
        return sql_error("42704", "constraint \"%s\" for table \"%.*s\" does not exist",
                         node->subname, SLICE_ARGS(relation->name));
    }
    if (relation_constraint(relation, new) != NULL) {
        return sql_error("42710", "constraint \"%.*s\" for relation \"%.*s\" already exists",
                         SLICE_ARGS(new), SLICE_ARGS(relation->name));
    }
    if (constraint->kind == CONSTRAINT_PRIMARY || constraint->kind == CONSTRAINT_UNIQUE) {
        return index_rename(utility, node, relation, constraint->index);
    }
    changed = utility_change(utility, relation, 0);
    changed->constraints[constraint - relation->constraints].name = new;
    utility_put(utility, changed);
out:
    return err;
}

static err_t
schema_rename(struct utility *utility, const RenameStmt *node)
{
    const struct schema *schema = catalog_schema(utility->catalog, slice_from_text(node->subname));
    struct schema changed;

    if (schema == NULL || schema->oid == OID_SCHEMA_CATALOG) {
        return sql_error("3F000", "schema \"%s\" does not exist", node->subname);
    }
    if (catalog_schema(utility->catalog, slice_from_text(node->newname)) != NULL) {
        return sql_error("42P06", "schema \"%s\" already exists", node->newname);
    }
    if (strncmp(node->newname, "pg_", 3) == 0) {
        (void)sql_error("42939", "unacceptable schema name \"%s\"", node->newname);
        return sql_detail("The prefix \"pg_\" is reserved for system schemas.");
    }
    changed = *schema;
    changed.name = utility_name_of(utility, node->newname);
    catalog_schema_put(utility->catalog, utility->exec->txn, &changed);
    return ERR_OK;
}

static const char *
alter_tag(ObjectType type)
{
    switch (type) {
    case OBJECT_SCHEMA:
        return "ALTER SCHEMA";
    case OBJECT_INDEX:
        return "ALTER INDEX";
    case OBJECT_SEQUENCE:
        return "ALTER SEQUENCE";
    case OBJECT_TYPE:
        return "ALTER TYPE";
    case OBJECT_VIEW:
        return "ALTER VIEW";
    default:
        return "ALTER TABLE";
    }
}

err_t
utility_rename(struct utility *utility, const RenameStmt *node)
{
    utility->tag =
        alter_tag(node->renameType == OBJECT_COLUMN ? node->relationType : node->renameType);
    switch (node->renameType) {
    case OBJECT_COLUMN:
        return column_rename(utility, node);
    case OBJECT_TABCONSTRAINT:
        return constraint_rename(utility, node);
    case OBJECT_SCHEMA:
        return schema_rename(utility, node);
    case OBJECT_TYPE:
        return utility_type_rename(utility, node);
    case OBJECT_TABLE:
    case OBJECT_VIEW:
    case OBJECT_SEQUENCE:
    case OBJECT_INDEX:
        return any_rename(utility, node);
    default:
        return sql_error("0A000", "RENAME of objects of this kind is not supported yet");
    }
}

/* ---- SET SCHEMA ---- */

static err_t
schema_move(struct utility *utility, const struct relation *relation, const struct schema *schema)
{
    struct relation changed = *relation;
    err_t err = ERR_OK;

    if (utility_is_taken(utility, schema->oid, relation->name)) {
        return sql_error("42P07", "relation \"%.*s\" already exists in schema \"%.*s\"",
                         SLICE_ARGS(relation->name), SLICE_ARGS(schema->name));
    }
    changed.schema = schema->oid;
    utility_put(utility, &changed);
    for (uint32_t i = 0; i < utility->catalog->relation_count; i++) {
        const struct relation *sequence = utility->catalog->relations[i];

        if (sequence->kind == RELATION_SEQUENCE && sequence->sequence.owner == relation->oid) {
            struct relation moved = *sequence;

            moved.schema = schema->oid;
            utility_put(utility, &moved);
        }
    }
    return err;
}

err_t
utility_set_schema(struct utility *utility, const AlterObjectSchemaStmt *node)
{
    const struct relation *relation;
    const struct schema *schema;
    err_t err;

    utility->tag = alter_tag(node->objectType);
    if (node->objectType == OBJECT_TYPE) {
        return utility_type_move(utility, node);
    }
    if (node->relation == NULL) {
        return sql_error("0A000", "SET SCHEMA of objects of this kind is not supported yet");
    }
    TRY(utility_relation(utility, node->relation, node->missing_ok, &relation));
    if (relation == NULL) {
        goto out;
    }
    schema = catalog_schema(utility->catalog, slice_from_text(node->newschema));
    if (schema == NULL) {
        return sql_error("3F000", "schema \"%s\" does not exist", node->newschema);
    }
    if (relation->kind == RELATION_SEQUENCE && relation->sequence.owner != 0) {
        const struct relation *table =
            catalog_relation_by_oid(utility->catalog, relation->sequence.owner);

        (void)sql_error("0A000", "cannot move an owned sequence into another schema");
        return sql_detail("Sequence \"%.*s\" is linked to table \"%.*s\".",
                          SLICE_ARGS(relation->name), SLICE_ARGS(table->name));
    }
    if (relation->schema != schema->oid) {
        TRY(utility_lock(utility, relation));
        err = schema_move(utility, relation, schema);
    }
out:
    return err;
}

/* ---- COMMENT ON ---- */

static err_t
comment_put(struct utility *utility, const CommentStmt *node, oid_t oid, uint32_t part)
{
    if (node->comment == NULL || node->comment[0] == '\0') {
        catalog_object_delete(utility->catalog, utility->exec->txn, CATALOG_COMMENT, oid, part);
        return ERR_OK;
    }
    return catalog_object_put(utility->catalog, utility->exec->txn, CATALOG_COMMENT, oid, part,
                              slice_from_text(node->comment));
}

static err_t
column_comment(struct utility *utility, const CommentStmt *node)
{
    const List *names = (const List *)node->object;
    int count = list_length(names);
    RangeVar name = {.location = -1};
    const struct relation *relation;
    uint16_t column;
    err_t err;

    if (count < 2) {
        return sql_error("42601", "column name must be qualified");
    }
    name.relname = strVal(list_nth(names, count - 2));
    name.schemaname = count > 2 ? strVal(list_nth(names, count - 3)) : NULL;
    TRY(utility_relation(utility, &name, false, &relation));
    column = relation_column(relation, slice_from_text(strVal(llast(names))));
    if (column == UINT16_MAX) {
        return sql_error("42703", "column \"%s\" of relation \"%.*s\" does not exist",
                         strVal(llast(names)), SLICE_ARGS(relation->name));
    }
    err = comment_put(utility, node, relation->oid, column + 1U);
out:
    return err;
}

static err_t
constraint_comment(struct utility *utility, const CommentStmt *node)
{
    const List *names = (const List *)node->object;
    int count = list_length(names);
    RangeVar name = {.location = -1};
    const struct constraint *constraint;
    const struct relation *relation;
    err_t err;

    name.relname = strVal(list_nth(names, count - 2));
    name.schemaname = count > 2 ? strVal(list_nth(names, count - 3)) : NULL;
    TRY(utility_relation(utility, &name, false, &relation));
    constraint = relation_constraint(relation, slice_from_text(strVal(llast(names))));
    if (constraint == NULL) {
        return sql_error("42704", "constraint \"%s\" for table \"%.*s\" does not exist",
                         strVal(llast(names)), SLICE_ARGS(relation->name));
    }
    err = comment_put(utility, node, constraint->oid, 0);
out:
    return err;
}

static err_t
relation_comment(struct utility *utility, const CommentStmt *node)
{
    RangeVar name = utility_range_var((const List *)node->object);
    const struct relation *relation;
    const struct index *index;
    const char *wrong = NULL;
    err_t err;

    if (node->objtype == OBJECT_INDEX &&
        search_index(utility->catalog, utility->search_path, name.schemaname,
                     slice_from_text(name.relname), &index) != NULL) {
        return comment_put(utility, node, index->oid, 0);
    }
    TRY(utility_relation(utility, &name, false, &relation));
    wrong = node->objtype == OBJECT_INDEX                                             ? "an index"
            : node->objtype == OBJECT_VIEW && relation->kind != RELATION_VIEW         ? "a view"
            : node->objtype == OBJECT_SEQUENCE && relation->kind != RELATION_SEQUENCE ? "a sequence"
            : node->objtype == OBJECT_TABLE && relation->kind != RELATION_TABLE       ? "a table"
                                                                                      : NULL;
    err = wrong != NULL ? sql_error("42809", "\"%s\" is not %s", name.relname, wrong)
                        : comment_put(utility, node, relation->oid, 0);
out:
    return err;
}

err_t
utility_comment(struct utility *utility, const CommentStmt *node)
{
    const struct enum_type *type;
    const struct schema *schema;
    err_t err;

    utility->tag = "COMMENT";
    switch (node->objtype) {
    case OBJECT_TABLE:
    case OBJECT_VIEW:
    case OBJECT_SEQUENCE:
    case OBJECT_INDEX:
        return relation_comment(utility, node);
    case OBJECT_COLUMN:
        return column_comment(utility, node);
    case OBJECT_TABCONSTRAINT:
        return constraint_comment(utility, node);
    case OBJECT_SCHEMA:
        schema = catalog_schema(utility->catalog, slice_from_text(strVal(node->object)));
        return schema != NULL
                   ? comment_put(utility, node, schema->oid, 0)
                   : sql_error("3F000", "schema \"%s\" does not exist", strVal(node->object));
    case OBJECT_TYPE:
        err = utility_type_find(utility, ((const TypeName *)node->object)->names, &type);
        return err == ERR_OK ? comment_put(utility, node, type->type.oid, 0) : err;
    default:
        return sql_error("0A000", "COMMENT ON objects of this kind is not supported yet");
    }
}
