/* query/exec/utility.c - CREATE, DROP, TRUNCATE. */
#include "query/exec/utility.h"

#include <stdarg.h>
#include <stdio.h>

#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/exec/text_range.h"
#include "query/parse/nodes.h"
#include "query/search_path.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

bool
utility_is_definition(const void *node)
{
    switch (nodeTag(node)) {
    case T_CreateStmt:
    case T_DropStmt:
    case T_IndexStmt:
    case T_ViewStmt:
    case T_TruncateStmt:
    case T_CreateSchemaStmt:
        return true;
    default:
        return false;
    }
}

const char *
utility_name(const void *node)
{
    switch (nodeTag(node)) {
    case T_AlterTableStmt:
        return "ALTER TABLE";
    case T_CopyStmt:
        return "COPY";
    case T_CreateFunctionStmt:
        return "CREATE FUNCTION";
    case T_CreateSeqStmt:
        return "CREATE SEQUENCE";
    case T_CreateTrigStmt:
        return "CREATE TRIGGER";
    case T_CreateRoleStmt:
        return "CREATE ROLE";
    case T_GrantStmt:
        return "GRANT";
    case T_ExplainStmt:
        return "EXPLAIN";
    case T_MergeStmt:
        return "MERGE";
    case T_ListenStmt:
        return "LISTEN";
    case T_NotifyStmt:
        return "NOTIFY";
    case T_LockStmt:
        return "LOCK TABLE";
    case T_VacuumStmt:
        return "VACUUM";
    case T_PrepareStmt:
        return "PREPARE";
    case T_ExecuteStmt:
        return "EXECUTE";
    case T_DeclareCursorStmt:
        return "DECLARE CURSOR";
    case T_CreateTableAsStmt:
        return "CREATE TABLE AS";
    case T_CreateEnumStmt:
        return "CREATE TYPE";
    case T_DoStmt:
        return "DO";
    default:
        return "this statement";
    }
}

static err_t
utility_error(struct utility *utility, int location, const char *sqlstate, const char *message,
              const char *name)
{
    utility->position = location;
    return sql_error(sqlstate, message, name);
}

/* The text from a place of the whole text on. */
static struct slice
text_from(const struct utility *utility, int location)
{
    size_t skip = location > utility->text_start ? (size_t)(location - utility->text_start) : 0;

    skip = Min(skip, utility->text.size);
    return slice_of(utility->text.data + skip, utility->text.size - skip);
}

static struct slice
name_of(struct utility *utility, const char *text)
{
    struct slice name = slice_from_text(text);

    name.size = Min(name.size, (size_t)NAME_BYTES_MAX);
    return arena_copy(utility->exec->arena, name);
}

static err_t
schema_of(struct utility *utility, const char *name, int location, const struct schema **out)
{
    *out = name != NULL ? catalog_schema(utility->catalog, slice_from_text(name))
                        : search_schema(utility->catalog, utility->search_path);
    if (*out == NULL && name == NULL) {
        return utility_error(utility, location, "3F000", "%s",
                             "no schema has been selected to create in");
    }
    return *out != NULL
               ? ERR_OK
               : utility_error(utility, location, "3F000", "schema \"%s\" does not exist", name);
}

/* Is the name of a relation or index taken in the schema? */
static bool
is_taken(const struct utility *utility, oid_t schema, struct slice name)
{
    const struct index *index;

    return catalog_relation(utility->catalog, schema, name) != NULL ||
           catalog_index(utility->catalog, schema, name, &index) != NULL;
}

/* detail NULL: none. */
static void __attribute__((format(printf, 4, 5)))
notice(struct utility *utility, const char *sqlstate, const char *detail, const char *format, ...)
{
    struct sql_report report = {0};
    va_list args;

    (void)snprintf(report.sqlstate, sizeof(report.sqlstate), "%s", sqlstate);
    va_start(args, format);
    (void)vsnprintf(report.message, sizeof(report.message), format, args);
    va_end(args);
    (void)snprintf(report.detail, sizeof(report.detail), "%s", detail != NULL ? detail : "");
    utility->sink->notice(utility->sink->arg, "NOTICE", &report);
}

static err_t
already_exists(struct utility *utility, bool is_fine, struct slice name)
{
    if (is_fine) {
        notice(utility, "42P07", NULL, "relation \"%.*s\" already exists, skipping",
               SLICE_ARGS(name));
        return ERR_OK;
    }
    return sql_error("42P07", "relation \"%.*s\" already exists", SLICE_ARGS(name));
}

/* ---- CREATE TABLE ---- */

struct definition {
    struct relation relation;
    struct column *columns;
    struct index *indexes;
    struct constraint *constraints;
    uint32_t column_capacity, index_capacity, constraint_capacity;
};

static void *
enlarge(struct utility *utility, void *old, uint32_t count, uint32_t *capacity, size_t size)
{
    void *larger;

    if (count < *capacity) {
        return old;
    }
    *capacity = Max(8, *capacity * 2);
    larger = arena_alloc(utility->exec->arena, *capacity * size);
    if (count > 0) {
        memcpy(larger, old, count * size);
    }
    return larger;
}

static bool
index_name_taken(const struct utility *utility, const struct definition *definition,
                 struct slice name)
{
    for (uint32_t i = 0; i < definition->relation.index_count; i++) {
        if (slice_equal(definition->indexes[i].name, name)) {
            return true;
        }
    }
    return is_taken(utility, definition->relation.schema, name);
}

/* table_column_key, then table_column_key1, ... as PostgreSQL names them. */
static struct slice
index_name_choose(struct utility *utility, const struct definition *definition,
                  const struct index *index, const char *suffix)
{
    struct buf name;
    struct slice chosen;

    buf_init(&name, MEM_SESSIONS);
    buf_append(&name, definition->relation.name.data, definition->relation.name.size);
    for (uint32_t i = 0; !index->is_primary && i < index->column_count; i++) {
        struct slice column = definition->columns[index->columns[i]].name;

        buf_append_byte(&name, '_');
        buf_append(&name, column.data, column.size);
    }
    name.size = Min(name.size, (size_t)NAME_BYTES_MAX - 8);
    buf_printf(&name, "_%s", suffix);
    chosen = arena_copy(utility->exec->arena, buf_slice(&name));
    for (uint32_t i = 1; index_name_taken(utility, definition, chosen); i++) {
        chosen = slice_from_text(
            arena_printf(utility->exec->arena, "%.*s%u", SLICE_ARGS(buf_slice(&name)), i));
    }
    buf_fini(&name);
    return chosen;
}

static err_t
column_find(struct utility *utility, const struct definition *definition, const char *name,
            int location, uint16_t *column_out)
{
    for (uint32_t i = 0; i < definition->relation.column_count; i++) {
        if (slice_equal(definition->columns[i].name, slice_from_text(name))) {
            *column_out = (uint16_t)i;
            return ERR_OK;
        }
    }
    return utility_error(utility, location, "42703", "column \"%s\" named in key does not exist",
                         name);
}

static void
constraint_put(struct utility *utility, struct definition *definition,
               const struct constraint *constraint)
{
    uint32_t count = definition->relation.constraint_count;

    definition->constraints =
        enlarge(utility, definition->constraints, count, &definition->constraint_capacity,
                sizeof(*definition->constraints));
    definition->constraints[count] = *constraint;
    definition->relation.constraint_count++;
}

/* keys: of String, or NIL: the column that the constraint stands at. */
static err_t
key_add(struct utility *utility, struct definition *definition, const Constraint *constraint,
        const List *keys, uint16_t column)
{
    bool is_primary = constraint->contype == CONSTR_PRIMARY;
    struct index index = {.is_unique = true, .is_primary = is_primary};
    struct constraint key = {.kind = is_primary ? CONSTRAINT_PRIMARY : CONSTRAINT_UNIQUE};
    const ListCell *cell;
    err_t err = ERR_OK;

    index.columns[0] = column;
    index.column_count = keys == NIL;
    foreach(cell, keys)
    {
        if (index.column_count == INDEX_COLUMNS_MAX) {
            return utility_error(utility, constraint->location, "54011",
                                 "cannot use more than %s columns in an index", "32");
        }
        TRY(column_find(utility, definition, strVal(lfirst(cell)), constraint->location,
                        &index.columns[index.column_count]));
        index.column_count++;
    }
    for (uint32_t i = 0; is_primary && i < definition->relation.index_count; i++) {
        if (definition->indexes[i].is_primary) {
            return utility_error(
                utility, constraint->location, "42P16",
                "multiple primary keys for table \"%s\" are not allowed",
                arena_printf(utility->exec->arena, "%.*s", SLICE_ARGS(definition->relation.name)));
        }
    }
    for (uint32_t i = 0; is_primary && i < index.column_count; i++) {
        definition->columns[index.columns[i]].is_not_null = true;
    }
    index.oid = catalog_oid_take(utility->catalog);
    index.storage = is_primary ? 0 : catalog_storage_take(utility->catalog);
    index.name = constraint->conname != NULL
                     ? name_of(utility, constraint->conname)
                     : index_name_choose(utility, definition, &index, is_primary ? "pkey" : "key");
    definition->indexes = enlarge(utility, definition->indexes, definition->relation.index_count,
                                  &definition->index_capacity, sizeof(*definition->indexes));
    definition->indexes[definition->relation.index_count++] = index;
    key.oid = catalog_oid_take(utility->catalog);
    key.name = index.name;
    key.index = index.oid;
    key.column_count = index.column_count;
    memcpy(key.columns, index.columns, sizeof(key.columns));
    constraint_put(utility, definition, &key);
out:
    return err;
}

static err_t
check_add(struct utility *utility, struct definition *definition, const Constraint *constraint)
{
    struct slice text = text_parenthesized(text_from(utility, constraint->location));
    struct constraint check = {
        .kind = CONSTRAINT_CHECK,
        .oid = catalog_oid_take(utility->catalog),
        .sql = arena_copy(utility->exec->arena, text),
    };

    if (constraint->conname != NULL) {
        check.name = name_of(utility, constraint->conname);
    }
    constraint_put(utility, definition, &check);
    return ERR_OK;
}

/* The one column that the expression is about; UINT32_MAX: none or several. */
static void
one_column(const struct expr *expr, uint32_t *column, bool *is_one)
{
    if (expr->kind == EXPR_COLUMN) {
        *is_one = *is_one && (*column == UINT32_MAX || *column == expr->column.column);
        *column = expr->column.column;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        one_column(expr->args[i], column, is_one);
    }
}

/* table_column_check when it is about one column, table_check otherwise; then with numbers. */
static struct slice
check_name_choose(struct utility *utility, const struct relation *relation, const struct expr *expr)
{
    uint32_t column = UINT32_MAX, number = 0;
    struct slice part = SLICE("");
    bool is_one = true, is_used;
    struct slice name;

    one_column(expr, &column, &is_one);
    if (is_one && column != UINT32_MAX) {
        part = relation->columns[column].name;
    }
    do {
        is_used = false;
        name = slice_from_text(arena_printf(utility->exec->arena, "%.*s%s%.*s_check%.0u",
                                            SLICE_ARGS(relation->name), part.size > 0 ? "_" : "",
                                            SLICE_ARGS(part), number++));
        is_used = relation_constraint(relation, name) != NULL;
    } while (is_used);
    return name;
}

/* Where the constraint behind this one begins, counted from this one's place. */
static size_t
constraint_end(const ColumnDef *node, const Constraint *constraint)
{
    size_t end = SIZE_MAX;
    const ListCell *cell;

    foreach(cell, node->constraints)
    {
        const Constraint *other = lfirst(cell);

        if (other->location > constraint->location) {
            end = Min(end, (size_t)(other->location - constraint->location));
        }
    }
    return end;
}

static err_t
column_constraint(struct utility *utility, struct definition *definition, const ColumnDef *node,
                  const Constraint *constraint, uint16_t column)
{
    struct column *described = &definition->columns[column];
    struct slice text;

    switch (constraint->contype) {
    case CONSTR_NULL:
        return ERR_OK;
    case CONSTR_NOTNULL:
        described->is_not_null = true;
        return ERR_OK;
    case CONSTR_DEFAULT:
        text = text_expression(text_from(utility, constraint->location),
                               constraint_end(node, constraint));
        described->default_sql = arena_copy(utility->exec->arena, text);
        return ERR_OK;
    case CONSTR_CHECK:
        return check_add(utility, definition, constraint);
    case CONSTR_PRIMARY:
    case CONSTR_UNIQUE:
        return key_add(utility, definition, constraint, NIL, column);
    case CONSTR_FOREIGN:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "foreign keys");
    case CONSTR_IDENTITY:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "identity columns");
    case CONSTR_GENERATED:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "generated columns");
    default:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "constraints of this kind");
    }
}

static err_t
column_add(struct utility *utility, struct definition *definition, const ColumnDef *node)
{
    uint16_t number = definition->relation.column_count;
    struct column column = {.typmod = -1};
    err_t err;

    if (number == RELATION_COLUMNS_MAX) {
        return utility_error(utility, node->location, "54011", "%s",
                             "tables can have at most 1600 columns");
    }
    for (uint32_t i = 0; i < number; i++) {
        if (slice_equal(definition->columns[i].name, slice_from_text(node->colname))) {
            return utility_error(utility, node->location, "42701",
                                 "column \"%s\" specified more than once", node->colname);
        }
    }
    utility->position = node->typeName->location;
    TRY(bind_type_name(node->typeName, &column.type, &column.typmod));
    utility->position = -1;
    if (column.type->oid == OID_UNKNOWN || column.type->oid == OID_VOID) {
        err = utility_error(utility, node->location, "42P16", "column \"%s\" has a pseudo-type",
                            node->colname);
        goto out;
    }
    column.name = name_of(utility, node->colname);
    definition->columns =
        enlarge(utility, definition->columns, number, &definition->column_capacity, sizeof(column));
    definition->columns[number] = column;
    definition->relation.column_count++;
out:
    return err;
}

static err_t
table_constraint(struct utility *utility, struct definition *definition,
                 const Constraint *constraint)
{
    switch (constraint->contype) {
    case CONSTR_PRIMARY:
    case CONSTR_UNIQUE:
        return key_add(utility, definition, constraint, constraint->keys, 0);
    case CONSTR_CHECK:
        return check_add(utility, definition, constraint);
    case CONSTR_FOREIGN:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "foreign keys");
    default:
        return utility_error(utility, constraint->location, "0A000", "%s are not supported yet",
                             "constraints of this kind");
    }
}

static err_t
elements_read(struct utility *utility, struct definition *definition, const List *elements)
{
    const ListCell *cell, *inner;
    uint16_t column = 0;
    err_t err = ERR_OK;

    foreach(cell, elements)
    { /* Columns first: constraints may name later ones. */
        if (IsA(lfirst(cell), ColumnDef)) {
            TRY(column_add(utility, definition, lfirst(cell)));
        } else if (!IsA(lfirst(cell), Constraint)) {
            err = utility_error(utility, -1, "0A000", "%s is not supported yet", "LIKE");
            goto out;
        }
    }
    foreach(cell, elements)
    {
        if (IsA(lfirst(cell), ColumnDef)) {
            const ColumnDef *node = lfirst(cell);

            foreach(inner, node->constraints)
            {
                TRY(column_constraint(utility, definition, node, lfirst(inner), column));
            }
            column++;
        } else {
            TRY(table_constraint(utility, definition, lfirst(cell)));
        }
    }
out:
    return err;
}

/* Defaults and checks must bind. */
static err_t
definition_check(struct utility *utility, struct relation *relation)
{
    const struct bind_options options = {
        .catalog = utility->catalog,
        .arena = utility->exec->arena,
        .settings = utility->exec->settings,
        .search_path = utility->search_path,
    };
    struct source *source = NULL;
    struct expr *expr;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < relation->column_count; i++) {
        if (relation->columns[i].default_sql.size > 0) {
            TRY(bind_table_expr(&options, NULL, relation->columns[i].default_sql, &source, &expr));
            TRY(bind_coerce_column(utility->exec->arena, &expr, &relation->columns[i],
                                   utility->exec->settings));
        }
    }
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        struct constraint *check = &relation->constraints[i];

        if (check->kind != CONSTRAINT_CHECK) {
            continue;
        }
        TRY(bind_table_expr(&options, relation, check->sql, &source, &expr));
        if (expr->type->oid != OID_BOOL) {
            err = sql_error("42804", "argument of CHECK must be type boolean, not type %s",
                            expr->type->display);
            goto out;
        }
        if (check->name.size == 0) {
            check->name = check_name_choose(utility, relation, expr);
        }
    }
out:
    return err;
}

static err_t
create_table(struct utility *utility, const CreateStmt *node)
{
    const RangeVar *name = node->relation;
    struct definition definition = {0};
    const struct schema *schema;
    err_t err;

    utility->tag = "CREATE TABLE";
    if (node->inhRelations != NIL || node->partspec != NULL || node->ofTypename != NULL ||
        name->relpersistence == 't') {
        return utility_error(utility, name->location, "0A000", "%s are not supported yet",
                             name->relpersistence == 't' ? "temporary tables"
                             : node->partspec != NULL    ? "partitioned tables"
                                                         : "inherited and typed tables");
    }
    TRY(schema_of(utility, name->schemaname, name->location, &schema));
    definition.relation = (struct relation){
        .oid = catalog_oid_take(utility->catalog),
        .schema = schema->oid,
        .owner = schema->owner,
        .kind = RELATION_TABLE,
        .persistence = RELATION_PERMANENT,
        .name = name_of(utility, name->relname),
    };
    if (is_taken(utility, schema->oid, definition.relation.name)) {
        err = already_exists(utility, node->if_not_exists, definition.relation.name);
        goto out;
    }
    definition.relation.storage = catalog_storage_take(utility->catalog);
    TRY(elements_read(utility, &definition, node->tableElts));
    definition.relation.columns = definition.columns;
    definition.relation.indexes = definition.indexes;
    definition.relation.constraints = definition.constraints;
    TRY(definition_check(utility, &definition.relation));
    catalog_relation_put(utility->catalog, utility->exec->txn, &definition.relation);
out:
    return err;
}

/* ---- CREATE INDEX ---- */

static err_t
index_read(struct utility *utility, const IndexStmt *node, const struct relation *relation,
           struct index *index)
{
    struct definition definition = {
        .relation = *relation, .columns = relation->columns, .indexes = relation->indexes};
    const ListCell *cell;
    err_t err = ERR_OK;

    index->is_unique = node->unique;
    if (node->whereClause != NULL || node->indexIncludingParams != NIL) {
        return utility_error(utility, -1, "0A000", "%s are not supported yet",
                             node->whereClause != NULL ? "partial indexes"
                                                       : "indexes with INCLUDE");
    }
    foreach(cell, node->indexParams)
    {
        const IndexElem *element = lfirst(cell);

        if (element->name == NULL) {
            return utility_error(utility, -1, "0A000", "%s are not supported yet",
                                 "indexes on expressions");
        }
        if (index->column_count == INDEX_COLUMNS_MAX) {
            return utility_error(utility, -1, "54011",
                                 "cannot use more than %s columns in an index", "32");
        }
        TRY(column_find(utility, &definition, element->name, -1,
                        &index->columns[index->column_count]));
        index->is_descending[index->column_count] = element->ordering == SORTBY_DESC;
        index->nulls_first[index->column_count] =
            element->nulls_ordering == SORTBY_NULLS_FIRST ||
            (element->nulls_ordering == SORTBY_NULLS_DEFAULT && element->ordering == SORTBY_DESC);
        if (relation->columns[index->columns[index->column_count]].type->compare == NULL) {
            return utility_error(utility, -1, "42704", "column \"%s\" has a type that has no order",
                                 element->name);
        }
        index->column_count++;
    }
    index->name = node->idxname != NULL ? name_of(utility, node->idxname)
                                        : index_name_choose(utility, &definition, index, "idx");
out:
    return err;
}

/* Entries for the rows that are there. */
static err_t
index_build(struct utility *utility, const struct relation *relation, const struct index *index)
{
    struct rtable_writes *writes = rtable_writes_new();
    struct rtable_scan_options options = {
        .relation = relation,
        .slot = TXN_ALL_SHARDS,
        .column_count = relation->column_count,
    };
    struct rtable_scan *scan = NULL;
    uint16_t *columns =
        arena_alloc(utility->exec->arena, (relation->column_count + 1U) * sizeof(*columns));
    struct datum *values =
        arena_alloc(utility->exec->arena, (relation->column_count + 1U) * sizeof(*values));
    uint8_t *nulls = arena_alloc(utility->exec->arena, relation->column_count + 1U);
    struct slice keys[BATCH_ROWS_MAX];
    struct arena arena;
    uint32_t count = 0;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        columns[i] = (uint16_t)i;
    }
    options.columns = columns;
    TRY(rtable_scan_open(utility->exec->txn, &options, &scan));
    do {
        struct batch batch;

        arena_reset(&arena);
        batch_make(&batch, &arena, relation->column_count, BATCH_ROWS_MAX);
        TRY(rtable_scan_next(scan, &arena, BATCH_ROWS_MAX, batch.columns, keys, &count));
        for (uint32_t i = 0; i < count; i++) {
            struct row row = {.values = values, .nulls = nulls};

            for (uint32_t j = 0; j < relation->column_count; j++) {
                values[j] = batch.columns[j].values[i];
                nulls[j] = batch.columns[j].nulls[i];
            }
            TRY(rtable_index_row(utility->exec->txn, relation, index, keys[i], &row, writes));
        }
        TRY(exec_work(utility->exec, count));
    } while (count > 0);
    err = txn_flush(utility->exec->txn);
out:
    rtable_scan_close(&scan);
    rtable_writes_free(&writes);
    arena_fini(&arena);
    return err;
}

static err_t
create_index(struct utility *utility, const IndexStmt *node)
{
    const struct relation *relation;
    struct relation changed;
    struct index *index;
    err_t err;

    utility->tag = "CREATE INDEX";
    relation = search_relation(utility->catalog, utility->search_path, node->relation->schemaname,
                               slice_from_text(node->relation->relname));
    if (relation == NULL || relation->kind != RELATION_TABLE) {
        err = utility_error(utility, node->relation->location, "42P01",
                            "relation \"%s\" does not exist", node->relation->relname);
        goto out;
    }
    changed = *relation;
    changed.indexes =
        arena_alloc(utility->exec->arena, (relation->index_count + 1U) * sizeof(*index));
    for (uint32_t i = 0; i < relation->index_count; i++) {
        changed.indexes[i] = relation->indexes[i];
    }
    index = &changed.indexes[changed.index_count];
    *index = (struct index){0};
    TRY(index_read(utility, node, relation, index));
    if (is_taken(utility, relation->schema, index->name)) {
        err = already_exists(utility, node->if_not_exists, index->name);
        goto out;
    }
    changed.index_count++;
    index->oid = catalog_oid_take(utility->catalog);
    index->storage = catalog_storage_take(utility->catalog);
    TRY(index_build(utility, relation, index));
    catalog_relation_put(utility->catalog, utility->exec->txn, &changed);
out:
    return err;
}

/* ---- CREATE VIEW ---- */

static err_t
create_view(struct utility *utility, const ViewStmt *node)
{
    const struct bind_options options = {
        .catalog = utility->catalog,
        .arena = utility->exec->arena,
        .settings = utility->exec->settings,
        .search_path = utility->search_path,
    };
    struct slice sql = text_behind_as(text_from(utility, node->view->location));
    struct relation view = {.kind = RELATION_VIEW, .persistence = RELATION_PERMANENT};
    const struct relation *old;
    const struct schema *schema;
    struct statement statement;
    err_t err;

    utility->tag = "CREATE VIEW";
    TRY(schema_of(utility, node->view->schemaname, node->view->location, &schema));
    TRY(bind_statement(&options, node->query, &statement, &utility->position));
    view.name = name_of(utility, node->view->relname);
    old = catalog_relation(utility->catalog, schema->oid, view.name);
    if (is_taken(utility, schema->oid, view.name) &&
        (!node->replace || old == NULL || old->kind != RELATION_VIEW)) {
        err = already_exists(utility, false, view.name);
        goto out;
    }
    view.oid = old != NULL ? old->oid : catalog_oid_take(utility->catalog);
    view.schema = schema->oid;
    view.owner = schema->owner;
    view.columns = arena_alloc(utility->exec->arena,
                               (statement.query->target_count + 1) * sizeof(*view.columns));
    for (uint32_t i = 0; i < statement.query->target_count; i++) {
        const struct target *target = &statement.query->targets[i];

        if (target->is_junk) {
            continue;
        }
        view.columns[view.column_count++] = (struct column){
            .name = (int)i < list_length(node->aliases)
                        ? name_of(utility, strVal(list_nth(node->aliases, (int)i)))
                        : target->name,
            .type = target->expr->type,
            .typmod = target->expr->typmod,
        };
    }
    view.view_sql = arena_copy(utility->exec->arena, sql);
    catalog_relation_put(utility->catalog, utility->exec->txn, &view);
out:
    return err;
}

/* ---- DROP ---- */

static err_t
missing(struct utility *utility, const DropStmt *node, const char *kind, const char *name)
{
    if (node->missing_ok) {
        notice(utility, "00000", NULL, "%s \"%s\" does not exist, skipping", kind, name);
        return ERR_OK;
    }
    return sql_error(strcmp(kind, "schema") == 0  ? "3F000"
                     : strcmp(kind, "index") == 0 ? "42704"
                                                  : "42P01",
                     "%s \"%s\" does not exist", kind, name);
}

static err_t
drop_index(struct utility *utility, const DropStmt *node, const char *schema, const char *name)
{
    uint8_t start[STORAGE_PREFIX_BYTES], end[STORAGE_PREFIX_BYTES];
    const struct index *index;
    const struct relation *relation =
        search_index(utility->catalog, utility->search_path, schema, slice_from_text(name), &index);
    struct relation changed;
    uint16_t kept = 0;

    if (relation == NULL) {
        return missing(utility, node, "index", name);
    }
    if (index->is_primary) {
        (void)sql_error("2BP01",
                        "cannot drop index %s because constraint %s on table %.*s "
                        "requires it",
                        name, name, SLICE_ARGS(relation->name));
        return sql_hint("You can drop constraint %s on table %.*s instead.", name,
                        SLICE_ARGS(relation->name));
    }
    storage_prefix(start, index->storage);
    storage_prefix(end, index->storage + 1);
    txn_delete_range_all(utility->exec->txn, slice_of(start, sizeof(start)),
                         slice_of(end, sizeof(end)));
    changed = *relation;
    changed.indexes =
        arena_alloc(utility->exec->arena, (relation->index_count + 1U) * sizeof(*changed.indexes));
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (&relation->indexes[i] != index) {
            changed.indexes[kept++] = relation->indexes[i];
        }
    }
    changed.index_count = kept;
    catalog_relation_put(utility->catalog, utility->exec->txn, &changed);
    return ERR_OK;
}

static err_t
drop_relation(struct utility *utility, const DropStmt *node, const char *schema, const char *name)
{
    bool is_view = node->removeType == OBJECT_VIEW;
    const struct relation *relation =
        search_relation(utility->catalog, utility->search_path, schema, slice_from_text(name));
    if (relation == NULL) {
        return missing(utility, node, is_view ? "view" : "table", name);
    }
    if ((relation->kind == RELATION_VIEW) != is_view) {
        (void)sql_error("42809", "\"%s\" is not a %s", name, is_view ? "view" : "table");
        return sql_hint("Use DROP %s to remove a %s.", is_view ? "TABLE" : "VIEW",
                        is_view ? "table" : "view");
    }
    if (!is_view) {
        rtable_truncate(utility->exec->txn, relation);
    }
    catalog_relation_delete(utility->catalog, utility->exec->txn, relation->oid);
    return ERR_OK;
}

/* "table s.t", or "table t" where the search path finds it. */
static const char *
relation_described(struct utility *utility, const struct relation *relation)
{
    const char *kind = relation->kind == RELATION_VIEW ? "view" : "table";
    struct slice schema = SLICE("");

    for (uint32_t i = 0; i < utility->catalog->schema_count; i++) {
        if (utility->catalog->schemas[i].oid == relation->schema) {
            schema = utility->catalog->schemas[i].name;
        }
    }
    if (search_relation(utility->catalog, utility->search_path, NULL, relation->name) == relation) {
        return arena_printf(utility->exec->arena, "%s %.*s", kind, SLICE_ARGS(relation->name));
    }
    return arena_printf(utility->exec->arena, "%s %.*s.%.*s", kind, SLICE_ARGS(schema),
                        SLICE_ARGS(relation->name));
}

static err_t
schema_in_use(struct utility *utility, const char *name, const struct relation *relation)
{
    (void)sql_error("2BP01", "cannot drop schema %s because other objects depend on it", name);
    (void)sql_detail("%s depends on schema %s", relation_described(utility, relation), name);
    return sql_hint("Use DROP ... CASCADE to drop the dependent objects too.");
}

static err_t
drop_schema(struct utility *utility, const DropStmt *node, const char *name)
{
    const struct schema *schema = catalog_schema(utility->catalog, slice_from_text(name));
    struct buf dropped;
    uint32_t count = 0;

    if (schema == NULL || schema->oid == OID_SCHEMA_CATALOG) {
        return missing(utility, node, "schema", name);
    }
    buf_init(&dropped, MEM_SESSIONS);
    for (uint32_t i = 0; i < utility->catalog->relation_count;) {
        const struct relation *relation = utility->catalog->relations[i];

        if (relation->schema != schema->oid) {
            i++;
            continue;
        }
        if (node->behavior != DROP_CASCADE) {
            buf_fini(&dropped);
            return schema_in_use(utility, name, relation);
        }
        buf_printf(&dropped, "%sdrop cascades to %s", count > 0 ? "\n" : "",
                   relation_described(utility, relation));
        count++;
        if (relation->kind == RELATION_TABLE) {
            rtable_truncate(utility->exec->txn, relation);
        }
        catalog_relation_delete(utility->catalog, utility->exec->txn, relation->oid);
    }
    if (count == 1) {
        notice(utility, "00000", NULL, "%.*s", (int)dropped.size, (const char *)dropped.data);
    } else if (count > 1) {
        buf_append_byte(&dropped, 0);
        notice(utility, "00000", (const char *)dropped.data, "drop cascades to %u other objects",
               count);
    }
    buf_fini(&dropped);
    catalog_schema_delete(utility->catalog, utility->exec->txn, schema->oid);
    return ERR_OK;
}

static err_t
drop_one(struct utility *utility, const DropStmt *node, const Node *object)
{
    const List *names = (const List *)object;
    const char *name, *schema;

    if (node->removeType == OBJECT_SCHEMA) {
        return drop_schema(utility, node, strVal(object));
    }
    name = strVal(llast(names));
    schema = list_length(names) > 1 ? strVal(list_nth(names, list_length(names) - 2)) : NULL;
    if (schema != NULL && catalog_schema(utility->catalog, slice_from_text(schema)) == NULL) {
        return missing(utility, node, "schema", schema);
    }
    return node->removeType == OBJECT_INDEX ? drop_index(utility, node, schema, name)
                                            : drop_relation(utility, node, schema, name);
}

static err_t
drop(struct utility *utility, const DropStmt *node)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    switch (node->removeType) {
    case OBJECT_TABLE:
        utility->tag = "DROP TABLE";
        break;
    case OBJECT_VIEW:
        utility->tag = "DROP VIEW";
        break;
    case OBJECT_INDEX:
        utility->tag = "DROP INDEX";
        break;
    case OBJECT_SCHEMA:
        utility->tag = "DROP SCHEMA";
        break;
    default:
        return sql_error("0A000", "DROP of objects of this kind is not supported yet");
    }
    foreach(cell, node->objects)
    {
        TRY(drop_one(utility, node, lfirst(cell)));
    }
out:
    return err;
}

/* ---- TRUNCATE, CREATE SCHEMA ---- */

static err_t
truncate(struct utility *utility, const TruncateStmt *node)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    utility->tag = "TRUNCATE TABLE";
    foreach(cell, node->relations)
    {
        const RangeVar *name = lfirst(cell);
        const struct relation *relation =
            search_relation(utility->catalog, utility->search_path, name->schemaname,
                            slice_from_text(name->relname));

        if (relation == NULL || relation->kind != RELATION_TABLE) {
            err = utility_error(utility, name->location, relation == NULL ? "42P01" : "42809",
                                relation == NULL ? "relation \"%s\" does not exist"
                                                 : "\"%s\" is not a table",
                                name->relname);
            goto out;
        }
        rtable_truncate(utility->exec->txn, relation);
    }
out:
    return err;
}

static err_t
create_schema(struct utility *utility, const CreateSchemaStmt *node)
{
    struct schema schema = {.owner = 10};

    utility->tag = "CREATE SCHEMA";
    if (node->schemaElts != NIL || node->schemaname == NULL) {
        return sql_error("0A000", "this form of CREATE SCHEMA is not supported yet");
    }
    schema.name = name_of(utility, node->schemaname);
    if (catalog_schema(utility->catalog, schema.name) != NULL) {
        if (node->if_not_exists) {
            notice(utility, "42P06", NULL, "schema \"%s\" already exists, skipping",
                   node->schemaname);
            return ERR_OK;
        }
        return sql_error("42P06", "schema \"%s\" already exists", node->schemaname);
    }
    schema.oid = catalog_oid_take(utility->catalog);
    catalog_schema_put(utility->catalog, utility->exec->txn, &schema);
    return ERR_OK;
}

err_t
utility_run(struct utility *utility, const void *node)
{
    switch (nodeTag(node)) {
    case T_CreateStmt:
        return create_table(utility, node);
    case T_IndexStmt:
        return create_index(utility, node);
    case T_ViewStmt:
        return create_view(utility, node);
    case T_DropStmt:
        return drop(utility, node);
    case T_TruncateStmt:
        return truncate(utility, node);
    case T_CreateSchemaStmt:
        return create_schema(utility, node);
    default:
        return sql_error("0A000", "%s is not supported yet", utility_name(node));
    }
}
