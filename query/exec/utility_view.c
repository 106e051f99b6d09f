/* query/exec/utility_view.c - CREATE VIEW, and what queries depend on. */
#include "query/exec/utility_internal.h"

#include "engine/base/poison.h"

bool raw_expression_tree_walker(Node *node, bool (*walker)(Node *node, void *context),
                                void *context);

/* ---- Dependencies ---- */

struct gather {
    struct utility *utility;
    struct relation *relation;
    uint32_t capacity;
};

static void
dependency_add(struct gather *gather, oid_t oid, uint16_t column)
{
    struct relation *relation = gather->relation;
    struct dependency *larger;

    for (uint32_t i = 0; i < relation->dependency_count; i++) {
        if (relation->dependencies[i].oid == oid && relation->dependencies[i].column == column) {
            return;
        }
    }
    if (relation->dependency_count == UINT16_MAX) {
        return;
    }
    if (relation->dependency_count >= gather->capacity) {
        gather->capacity = Max(16, gather->capacity * 2);
        larger = arena_alloc(gather->utility->exec->arena, gather->capacity * sizeof(*larger));
        if (relation->dependency_count > 0) {
            memcpy(larger, relation->dependencies, relation->dependency_count * sizeof(*larger));
        }
        relation->dependencies = larger;
    }
    relation->dependencies[relation->dependency_count++] =
        (struct dependency){.oid = oid, .column = column};
}

static bool
relations_walk(Node *node, void *context)
{
    struct gather *gather = context;

    if (node == NULL) {
        return false;
    }
    if (IsA(node, RangeVar)) {
        const RangeVar *name = (RangeVar *)node;
        const struct relation *found =
            search_relation(gather->utility->catalog, gather->utility->search_path,
                            name->schemaname, slice_from_text(name->relname));

        if (found != NULL) {
            dependency_add(gather, found->oid, 0);
        }
        return false;
    }
    return raw_expression_tree_walker(node, relations_walk, context);
}

/* Columns are told by their names: of every relation that the query reads. */
static bool
columns_walk(Node *node, void *context)
{
    struct gather *gather = context;
    uint16_t count = gather->relation->dependency_count;
    const ColumnRef *reference = (const ColumnRef *)node;

    if (node == NULL) {
        return false;
    }
    if (!IsA(node, ColumnRef)) {
        return raw_expression_tree_walker(node, columns_walk, context);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct dependency dependency = gather->relation->dependencies[i];
        const struct relation *used =
            catalog_relation_by_oid(gather->utility->catalog, dependency.oid);
        const Node *last = llast(reference->fields);

        for (uint16_t j = 0; dependency.column == 0 && used != NULL && j < used->column_count;
             j++) {
            bool is_named = IsA(last, A_Star) ||
                            slice_equal(used->columns[j].name, slice_from_text(strVal(last)));

            if (is_named && !used->columns[j].is_dropped) {
                dependency_add(gather, used->oid, (uint16_t)(j + 1));
            }
        }
    }
    return false;
}

void
utility_dependencies(struct utility *utility, const Node *query, struct relation *relation)
{
    struct gather gather = {.utility = utility, .relation = relation};

    relation->dependency_count = 0;
    (void)relations_walk((Node *)(uintptr_t)query, &gather);
    (void)columns_walk((Node *)(uintptr_t)query, &gather);
}

/* ---- CREATE VIEW ---- */

static err_t
view_columns(struct utility *utility, const ViewStmt *node, const struct query *query,
             struct relation *view)
{
    uint32_t given = (uint32_t)list_length(node->aliases);

    view->columns =
        arena_alloc(utility->exec->arena, (query->target_count + 1) * sizeof(*view->columns));
    for (uint32_t i = 0; i < query->target_count; i++) {
        const struct target *target = &query->targets[i];
        struct column column = {.type = target->expr->type, .typmod = target->expr->typmod};

        if (target->is_junk) {
            continue;
        }
        if (column.type->oid == OID_UNKNOWN) {
            column.type = type_by_oid(OID_TEXT);
        }
        column.name =
            view->column_count < given
                ? utility_name_of(utility, strVal(list_nth(node->aliases, view->column_count)))
                : target->name;
        if (relation_column(view, column.name) != UINT16_MAX) {
            return sql_error("42701", "column \"%.*s\" specified more than once",
                             SLICE_ARGS(column.name));
        }
        if (view->column_count == RELATION_COLUMNS_MAX) {
            return sql_error("54011", "tables can have at most 1600 columns");
        }
        view->columns[view->column_count++] = column;
    }
    return given > view->column_count
               ? sql_error("42601", "CREATE VIEW specifies more column names than columns")
               : ERR_OK;
}

/* OR REPLACE keeps the columns that are there, and may add to them. */
static err_t
replacement_check(const struct relation *old, const struct relation *view)
{
    if (old->kind != RELATION_VIEW) {
        return sql_error("42809", "\"%.*s\" is not a view", SLICE_ARGS(old->name));
    }
    if (view->column_count < old->column_count) {
        return sql_error("42P16", "cannot drop columns from view");
    }
    for (uint32_t i = 0; i < old->column_count; i++) {
        const struct column *before = &old->columns[i], *after = &view->columns[i];
        struct buf types[2];
        err_t err = ERR_OK;

        if (!slice_equal(before->name, after->name)) {
            (void)sql_error("42P16", "cannot change name of view column \"%.*s\" to \"%.*s\"",
                            SLICE_ARGS(before->name), SLICE_ARGS(after->name));
            return sql_hint("Use ALTER VIEW ... RENAME COLUMN ... to change name of view column "
                            "instead.");
        }
        if (before->type->oid == after->type->oid && before->typmod == after->typmod) {
            continue;
        }
        buf_init(&types[0], MEM_SESSIONS);
        buf_init(&types[1], MEM_SESSIONS);
        type_format(before->type, before->typmod, &types[0]);
        type_format(after->type, after->typmod, &types[1]);
        err =
            sql_error("42P16", "cannot change data type of view column \"%.*s\" from %.*s to %.*s",
                      SLICE_ARGS(before->name), SLICE_ARGS(buf_slice(&types[0])),
                      SLICE_ARGS(buf_slice(&types[1])));
        buf_fini(&types[0]);
        buf_fini(&types[1]);
        return err;
    }
    return ERR_OK;
}

/* What stands behind AS, without WITH ... CHECK OPTION. */
static struct slice
view_text(struct utility *utility, const ViewStmt *node)
{
    struct slice sql = text_behind_as(utility_text_from(utility, node->view->location));

    if (node->withCheckOption != NO_CHECK_OPTION) {
        struct slice tail = text_word_last(sql, "with");

        sql.size = (size_t)(tail.data - sql.data);
    }
    return arena_copy(utility->exec->arena, sql);
}

static err_t
view_options(struct utility *utility, const ViewStmt *node, struct relation *view)
{
    const ListCell *cell;

    view->view_check = node->withCheckOption == LOCAL_CHECK_OPTION      ? 'l'
                       : node->withCheckOption == CASCADED_CHECK_OPTION ? 'c'
                                                                        : 0;
    foreach(cell, node->options)
    {
        const DefElem *option = lfirst(cell);
        const char *value =
            option->arg != NULL && IsA(option->arg, String) ? strVal(option->arg) : "true";

        if (strcmp(option->defname, "check_option") == 0) {
            if (strcmp(value, "local") != 0 && strcmp(value, "cascaded") != 0) {
                (void)sql_error("22023", "invalid value for enum option \"check_option\": %s",
                                value);
                return sql_detail("Valid values are \"local\" and \"cascaded\".");
            }
            view->view_check = value[0];
        } else if (strcmp(option->defname, "security_barrier") != 0 &&
                   strcmp(option->defname, "security_invoker") != 0) {
            return utility_error(utility, -1, "22023", "unrecognized parameter \"%s\"",
                                 option->defname);
        }
    }
    return ERR_OK;
}

err_t
utility_create_view(struct utility *utility, const ViewStmt *node)
{
    struct bind_options options = utility_bind_options(utility, NULL);
    struct relation view = {.kind = RELATION_VIEW, .persistence = RELATION_PERMANENT};
    const struct relation *old;
    const struct schema *schema;
    struct statement statement;
    err_t err;

    utility->tag = "CREATE VIEW";
    if (IsA(node->query, SelectStmt) && ((const SelectStmt *)node->query)->intoClause != NULL) {
        return sql_error("0A000", "views must not contain SELECT INTO");
    }
    TRY(bind_statement(&options, node->query, &statement, &utility->position));
    TRY(utility_schema(utility, node->view, &schema));
    view.name = utility_name_of(utility, node->view->relname);
    old = catalog_relation(utility->catalog, schema->oid, view.name);
    if (utility_is_taken(utility, schema->oid, view.name) && (!node->replace || old == NULL)) {
        err = utility_already_exists(utility, false, view.name);
        goto out;
    }
    view.schema = schema->oid;
    view.owner = OID_ROLE_OWNER;
    view.path = slice_from_text(utility->search_path);
    TRY(view_columns(utility, node, statement.query, &view));
    TRY(view_options(utility, node, &view));
    utility_dependencies(utility, node->query, &view);
    if (old != NULL) {
        TRY(replacement_check(old, &view));
    }
    view.oid = old != NULL ? old->oid : catalog_oid_take(utility->catalog);
    view.view_sql = view_text(utility, node);
    utility_put(utility, &view);
out:
    return err;
}
