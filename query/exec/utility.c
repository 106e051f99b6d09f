/* query/exec/utility.c - definitions: which function runs which statement, and what they share. */
#include "query/exec/utility_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "models/relational/table_lock.h"

#include "engine/base/poison.h"

bool
utility_is_definition(const void *node)
{
    switch (nodeTag(node)) {
    case T_AlterEnumStmt:
    case T_AlterObjectSchemaStmt:
    case T_AlterSeqStmt:
    case T_AlterTableStmt:
    case T_CommentStmt:
    case T_CreateEnumStmt:
    case T_CreateSchemaStmt:
    case T_CreateSeqStmt:
    case T_CreateStmt:
    case T_CreateTableAsStmt:
    case T_DropStmt:
    case T_IndexStmt:
    case T_ReindexStmt:
    case T_RenameStmt:
    case T_TruncateStmt:
    case T_ViewStmt:
        return true;
    case T_SelectStmt:
        return ((const SelectStmt *)node)->intoClause != NULL;
    default:
        return false;
    }
}

const char *
utility_name(const void *node)
{
    switch (nodeTag(node)) {
    case T_CopyStmt:
        return "COPY";
    case T_CreateFunctionStmt:
        return "CREATE FUNCTION";
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
    case T_DoStmt:
        return "DO";
    case T_RuleStmt:
        return "CREATE RULE";
    case T_CreateDomainStmt:
        return "CREATE DOMAIN";
    case T_CompositeTypeStmt:
        return "CREATE TYPE";
    case T_CreatePolicyStmt:
        return "CREATE POLICY";
    case T_CreateStatsStmt:
        return "CREATE STATISTICS";
    case T_CreateExtensionStmt:
        return "CREATE EXTENSION";
    case T_RefreshMatViewStmt:
        return "REFRESH MATERIALIZED VIEW";
    case T_ClusterStmt:
        return "CLUSTER";
    default:
        return "this statement";
    }
}

err_t
utility_error(struct utility *utility, int location, const char *sqlstate, const char *message,
              const char *name)
{
    utility->position = location;
    return sql_error(sqlstate, message, name);
}

static void
tell(struct utility *utility, const char *severity, const char *sqlstate, const char *detail,
     const char *format, va_list args)
{
    struct sql_report report = {0};

    (void)snprintf(report.sqlstate, sizeof(report.sqlstate), "%s", sqlstate);
    (void)vsnprintf(report.message, sizeof(report.message), format, args);
    (void)snprintf(report.detail, sizeof(report.detail), "%s", detail != NULL ? detail : "");
    utility->sink->notice(utility->sink->arg, severity, &report);
}

void
utility_notice(struct utility *utility, const char *sqlstate, const char *detail,
               const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(utility, "NOTICE", sqlstate, detail, format, args);
    va_end(args);
}

void
utility_warning(struct utility *utility, const char *sqlstate, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    tell(utility, "WARNING", sqlstate, NULL, format, args);
    va_end(args);
}

/* ---- Texts and names ---- */

struct slice
utility_text_from(const struct utility *utility, int location)
{
    size_t skip = location > utility->text_start ? (size_t)(location - utility->text_start) : 0;

    skip = Min(skip, utility->text.size);
    return slice_of(utility->text.data + skip, utility->text.size - skip);
}

struct slice
utility_name_of(struct utility *utility, const char *text)
{
    struct slice name = slice_from_text(text);

    name.size = Min(name.size, (size_t)NAME_BYTES_MAX);
    return arena_copy(utility->exec->arena, name);
}

const char *
utility_c_string(struct utility *utility, struct slice text)
{
    return arena_printf(utility->exec->arena, "%.*s", SLICE_ARGS(text));
}

struct bind_options
utility_bind_options(struct utility *utility, const struct relation *relation)
{
    return (struct bind_options){
        .catalog = utility->catalog,
        .arena = utility->exec->arena,
        .settings = utility->exec->settings,
        .search_path = relation != NULL && relation->path.size > 0
                           ? utility_c_string(utility, relation->path)
                           : utility->search_path,
    };
}

static bool
is_plain_name(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];
        bool is_fine = (c >= 'a' && c <= 'z') || c == '_' || (i > 0 && c >= '0' && c <= '9');

        if (!is_fine) {
            return false;
        }
    }
    return name.size > 0;
}

const char *
utility_quote(struct utility *utility, struct slice name)
{
    struct buf quoted;
    const char *text;

    if (is_plain_name(name)) {
        return utility_c_string(utility, name);
    }
    buf_init(&quoted, MEM_SESSIONS);
    for (size_t i = 0; i < name.size; i++) {
        buf_append(&quoted, "\"", name.data[i] == '"' ? 1 : 0);
        buf_append_byte(&quoted, name.data[i]);
    }
    text = arena_printf(utility->exec->arena, "\"%.*s\"", SLICE_ARGS(buf_slice(&quoted)));
    buf_fini(&quoted);
    return text;
}

const char *
utility_qualified(struct utility *utility, const struct relation *relation)
{
    const struct schema *schema = catalog_schema_by_oid(utility->catalog, relation->schema);
    const char *name = utility_quote(utility, relation->name);

    if (schema == NULL ||
        search_relation(utility->catalog, utility->search_path, NULL, relation->name) == relation) {
        return name;
    }
    return arena_printf(utility->exec->arena, "%s.%s", utility_quote(utility, schema->name), name);
}

const char *
utility_describe(struct utility *utility, const struct relation *relation)
{
    const char *kind = relation->kind == RELATION_VIEW       ? "view"
                       : relation->kind == RELATION_SEQUENCE ? "sequence"
                                                             : "table";

    return arena_printf(utility->exec->arena, "%s %s", kind, utility_qualified(utility, relation));
}

/* ---- Names of new objects ---- */

static err_t
schema_missing(struct utility *utility, const RangeVar *name)
{
    return name->schemaname == NULL
               ? utility_error(utility, name->location, "3F000", "%s",
                               "no schema has been selected to create in")
               : utility_error(utility, name->location, "3F000", "schema \"%s\" does not exist",
                               name->schemaname);
}

/* pg_temp_N of the session; made at its first use. */
static err_t
temporary_schema(struct utility *utility, const struct schema **schema_out)
{
    struct schema schema = {.owner = OID_ROLE_OWNER};

    schema.name = slice_from_text(
        arena_printf(utility->exec->arena, "pg_temp_%llu", (unsigned long long)utility->client));
    *schema_out = catalog_schema(utility->catalog, schema.name);
    if (*schema_out == NULL) {
        schema.oid = catalog_oid_take(utility->catalog);
        catalog_schema_put(utility->catalog, utility->exec->txn, &schema);
        *schema_out = catalog_schema(utility->catalog, schema.name);
    }
    return ERR_OK;
}

err_t
utility_schema(struct utility *utility, const RangeVar *name, const struct schema **schema_out)
{
    bool is_temporary = name->relpersistence == 't';

    if (name->schemaname != NULL && strcmp(name->schemaname, "pg_temp") == 0) {
        return temporary_schema(utility, schema_out);
    }
    if (is_temporary && name->schemaname != NULL) {
        return utility_error(utility, name->location, "42P16", "%s",
                             "cannot create temporary relation in non-temporary schema");
    }
    if (is_temporary) {
        return temporary_schema(utility, schema_out);
    }
    *schema_out = name->schemaname != NULL
                      ? catalog_schema(utility->catalog, slice_from_text(name->schemaname))
                      : search_schema(utility->catalog, utility->search_path);
    if (*schema_out == NULL) {
        return schema_missing(utility, name);
    }
    if ((*schema_out)->oid == OID_SCHEMA_CATALOG) {
        (void)sql_error("42501", "permission denied to create \"pg_catalog.%s\"", name->relname);
        return sql_detail("System catalog modifications are currently disallowed.");
    }
    return ERR_OK;
}

bool
utility_is_taken(const struct utility *utility, oid_t schema, struct slice name)
{
    const struct index *index;

    return catalog_relation(utility->catalog, schema, name) != NULL ||
           catalog_index(utility->catalog, schema, name, &index) != NULL;
}

err_t
utility_already_exists(struct utility *utility, bool is_fine, struct slice name)
{
    if (is_fine) {
        utility_notice(utility, "42P07", NULL, "relation \"%.*s\" already exists, skipping",
                       SLICE_ARGS(name));
        return ERR_OK;
    }
    return sql_error("42P07", "relation \"%.*s\" already exists", SLICE_ARGS(name));
}

/* Both parts are cut alike until all fits. */
struct slice
utility_name_join(struct utility *utility, struct slice name1, struct slice name2,
                  const char *label)
{
    size_t over = strlen(label) + 1 + (name2.size > 0);

    while (name1.size + name2.size + over > NAME_BYTES_MAX) {
        if (name1.size > name2.size) {
            name1.size--;
        } else {
            name2.size--;
        }
    }
    return slice_from_text(arena_printf(utility->exec->arena, "%.*s%s%.*s_%s", SLICE_ARGS(name1),
                                        name2.size > 0 ? "_" : "", SLICE_ARGS(name2), label));
}

struct slice
utility_name_choose(struct utility *utility, oid_t schema, struct slice name1, struct slice name2,
                    const char *label, const struct relation *within)
{
    struct slice name = utility_name_join(utility, name1, name2, label);

    for (uint32_t i = 1;; i++) {
        bool is_taken = utility_is_taken(utility, schema, name);

        for (uint32_t j = 0; within != NULL && j < within->index_count; j++) {
            is_taken = is_taken || slice_equal(within->indexes[j].name, name);
        }
        if (!is_taken) {
            return name;
        }
        name = utility_name_join(utility, name1, name2,
                                 arena_printf(utility->exec->arena, "%s%u", label, i));
    }
}

bool
expr_is_volatile(const struct expr *expr)
{
    if (expr->kind == EXPR_CALL && expr->function->is_volatile) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (expr_is_volatile(expr->args[i])) {
            return true;
        }
    }
    return false;
}

/* ---- Relations ---- */

RangeVar
utility_range_var(const List *names)
{
    RangeVar name = {.location = -1};

    name.relname = strVal(llast(names));
    if (list_length(names) > 1) {
        name.schemaname = strVal(list_nth(names, list_length(names) - 2));
    }
    return name;
}

err_t
utility_relation(struct utility *utility, const RangeVar *name, bool missing_ok,
                 const struct relation **relation_out)
{
    *relation_out = search_relation(utility->catalog, utility->search_path, name->schemaname,
                                    slice_from_text(name->relname));
    if (*relation_out != NULL) {
        return ERR_OK;
    }
    if (missing_ok) {
        utility_notice(utility, "00000", NULL, "relation \"%s\" does not exist, skipping",
                       name->relname);
        return ERR_OK;
    }
    utility->position = -1;
    return sql_error("42P01", "relation \"%s%s%s\" does not exist",
                     name->schemaname != NULL ? name->schemaname : "",
                     name->schemaname != NULL ? "." : "", name->relname);
}

static void *
roomier(struct utility *utility, const void *from, uint32_t count, uint32_t more, size_t size)
{
    uint8_t *copy = arena_alloc(utility->exec->arena, (count + more + 1U) * size);

    memset(copy, 0, (count + more + 1U) * size);
    if (count > 0) {
        memcpy(copy, from, count * size);
    }
    return copy;
}

struct relation *
utility_change(struct utility *utility, const struct relation *relation, uint32_t more)
{
    struct relation *copy = arena_alloc(utility->exec->arena, sizeof(*copy));

    *copy = *relation;
    copy->columns = roomier(utility, relation->columns, relation->column_count, more,
                            sizeof(*relation->columns));
    copy->indexes = roomier(utility, relation->indexes, relation->index_count, more,
                            sizeof(*relation->indexes));
    copy->virtuals = roomier(utility, relation->virtuals, relation->virtual_count, more,
                             sizeof(*relation->virtuals));
    copy->constraints = roomier(utility, relation->constraints, relation->constraint_count, more,
                                sizeof(*relation->constraints));
    copy->dependencies = roomier(utility, relation->dependencies, relation->dependency_count, more,
                                 sizeof(*relation->dependencies));
    return copy;
}

void
utility_put(struct utility *utility, const struct relation *relation)
{
    catalog_relation_put(utility->catalog, utility->exec->txn, relation);
}

err_t
utility_lock(struct utility *utility, const struct relation *relation)
{
    return table_lock(utility->exec->txn, relation->oid, TABLE_ACCESS_EXCLUSIVE, LOCK_WAIT);
}

/* ---- CREATE SCHEMA ---- */

static err_t
schema_element(struct utility *utility, const char *schema, const Node *element)
{
    struct utility inner = *utility;
    Node *copy = (Node *)(uintptr_t)element; /* The tree is this statement's own. */
    RangeVar *name;
    err_t err;

    inner.search_path =
        arena_printf(utility->exec->arena, "\"%s\", %s", schema, utility->search_path);
    switch (nodeTag(element)) {
    case T_CreateStmt:
        name = ((CreateStmt *)copy)->relation;
        break;
    case T_ViewStmt:
        name = ((ViewStmt *)copy)->view;
        break;
    case T_CreateSeqStmt:
        name = ((CreateSeqStmt *)copy)->sequence;
        break;
    case T_IndexStmt:
        name = ((IndexStmt *)copy)->relation;
        break;
    default:
        return sql_error("0A000", "%s within CREATE SCHEMA is not supported yet",
                         utility_name(element));
    }
    if (name->schemaname != NULL && strcmp(name->schemaname, schema) != 0) {
        return sql_error("42P15",
                         "CREATE specifies a schema (%s) different from the one being created (%s)",
                         name->schemaname, schema);
    }
    err = utility_run(&inner, element);
    utility->position = inner.position;
    return err;
}

static err_t
create_schema(struct utility *utility, const CreateSchemaStmt *node)
{
    struct schema schema = {.owner = OID_ROLE_OWNER};
    const char *name = node->schemaname;
    const ListCell *cell;
    err_t err = ERR_OK;

    utility->tag = "CREATE SCHEMA";
    if (name == NULL) { /* AUTHORIZATION alone names it, too. */
        name = node->authrole->rolename != NULL
                   ? node->authrole->rolename
                   : utility_c_string(utility, utility->exec->env->user);
    }
    schema.name = utility_name_of(utility, name);
    if (strncmp(name, "pg_", 3) == 0) {
        (void)sql_error("42939", "unacceptable schema name \"%s\"", name);
        return sql_detail("The prefix \"pg_\" is reserved for system schemas.");
    }
    if (catalog_schema(utility->catalog, schema.name) != NULL ||
        slice_equal(schema.name, SLICE("redis"))) {
        if (node->if_not_exists) {
            utility_notice(utility, "42P06", NULL, "schema \"%s\" already exists, skipping", name);
            return ERR_OK;
        }
        return sql_error("42P06", "schema \"%s\" already exists", name);
    }
    schema.oid = catalog_oid_take(utility->catalog);
    catalog_schema_put(utility->catalog, utility->exec->txn, &schema);
    foreach(cell, node->schemaElts)
    {
        TRY(schema_element(utility, name, lfirst(cell)));
    }
    utility->tag = "CREATE SCHEMA";
out:
    return err;
}

/* ---- Which function runs what ---- */

static err_t
alter_run(struct utility *utility, const void *node)
{
    switch (nodeTag(node)) {
    case T_AlterEnumStmt:
        return utility_alter_enum(utility, node);
    case T_AlterObjectSchemaStmt:
        return utility_set_schema(utility, node);
    case T_AlterSeqStmt:
        return utility_alter_sequence(utility, node);
    case T_AlterTableStmt:
        return utility_alter_table(utility, node);
    case T_CommentStmt:
        return utility_comment(utility, node);
    case T_RenameStmt:
        return utility_rename(utility, node);
    default:
        return sql_error("0A000", "%s is not supported yet", utility_name(node));
    }
}

err_t
utility_run(struct utility *utility, const void *node)
{
    switch (nodeTag(node)) {
    case T_CreateEnumStmt:
        return utility_create_enum(utility, node);
    case T_CreateSchemaStmt:
        return create_schema(utility, node);
    case T_CreateSeqStmt:
        return utility_create_sequence(utility, node);
    case T_CreateStmt:
        return utility_create_table(utility, node);
    case T_CreateTableAsStmt:
        return utility_create_table_as(utility, node);
    case T_DropStmt:
        return utility_drop(utility, node);
    case T_IndexStmt:
        return utility_create_index(utility, node);
    case T_ReindexStmt:
        return utility_reindex(utility, node);
    case T_TruncateStmt:
        return utility_truncate(utility, node);
    case T_SelectStmt:
        return utility_select_into(utility, node);
    case T_ViewStmt:
        return utility_create_view(utility, node);
    default:
        return alter_run(utility, node);
    }
}
