/* query/bind/bind_select.c - SELECT, VALUES, set operations, WITH; and statements as a whole. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- ORDER BY, GROUP BY, DISTINCT ON: a name or number of an output column, or an expression */

static uint32_t
target_by_name(const struct query *query, struct slice name, bool *is_ambiguous_out)
{
    uint32_t found = UINT32_MAX;

    *is_ambiguous_out = false;
    for (uint32_t i = 0; i < query->target_count; i++) {
        if (query->targets[i].is_junk || !slice_equal(query->targets[i].name, name)) {
            continue;
        }
        if (found != UINT32_MAX &&
            !expr_equal(query->targets[found].expr, query->targets[i].expr)) {
            *is_ambiguous_out = true;
        }
        found = found == UINT32_MAX ? i : found;
    }
    return found;
}

static uint32_t
target_append(struct binder *binder, struct query *query, struct expr *expr)
{
    struct target *grown = arena_alloc(binder->arena, (query->target_count + 1) * sizeof(*grown));

    for (uint32_t i = 0; i < query->target_count; i++) {
        if (expr_equal(query->targets[i].expr, expr)) {
            return i;
        }
        grown[i] = query->targets[i];
    }
    grown[query->target_count] =
        (struct target){.expr = expr, .name = SLICE("?column?"), .is_junk = true};
    query->targets = grown;
    return query->target_count++;
}

/* *target_out UINT32_MAX: it is neither a name nor a number. */
static err_t
target_named(struct binder *binder, struct query *query, const Node *node, const char *clause,
             uint32_t *target_out)
{
    bool is_ambiguous;

    *target_out = UINT32_MAX;
    if (IsA(node, A_Const) && !((const A_Const *)node)->isnull) {
        const A_Const *constant = (const A_Const *)node;

        if (!IsA(&constant->val.node, Integer)) {
            return bind_error(binder, constant->location, "42601", "non-integer constant in %s",
                              clause);
        }
        if (constant->val.ival.ival < 1 ||
            (uint32_t)constant->val.ival.ival > query->target_count ||
            query->targets[constant->val.ival.ival - 1].is_junk) {
            return bind_error(binder, constant->location, "42P10",
                              "%s position %d is not in select list", clause,
                              constant->val.ival.ival);
        }
        *target_out = (uint32_t)constant->val.ival.ival - 1;
        return ERR_OK;
    }
    if (IsA(node, ColumnRef) && list_length(((const ColumnRef *)node)->fields) == 1 &&
        IsA(linitial(((const ColumnRef *)node)->fields), String)) {
        const char *name = strVal(linitial(((const ColumnRef *)node)->fields));

        *target_out = target_by_name(query, slice_from_text(name), &is_ambiguous);
        if (is_ambiguous) {
            return bind_error(binder, ((const ColumnRef *)node)->location, "42702",
                              "%s \"%s\" is ambiguous", clause, name);
        }
    }
    return ERR_OK;
}

static err_t
target_for(struct binder *binder, struct scope *scope, struct query *query, const Node *node,
           const char *clause, uint32_t *target_out)
{
    struct expr *expr;
    err_t err;

    TRY(target_named(binder, query, node, clause, target_out));
    if (*target_out != UINT32_MAX) {
        return ERR_OK;
    }
    if (query->set != SET_NONE) {
        (void)bind_error(binder, -1, "0A000", "invalid UNION/INTERSECT/EXCEPT ORDER BY clause");
        return sql_detail("Only result column names can be used, not expressions or functions.");
    }
    TRY(bind_expr(binder, scope, node, &expr));
    TRY(bind_settle(binder, &expr));
    *target_out = target_append(binder, query, expr);
out:
    return err;
}

static err_t
using_direction(struct binder *binder, const SortBy *sort, bool *is_descending_out)
{
    const char *name = strVal(llast(sort->useOp));

    *is_descending_out = strcmp(name, ">") == 0;
    if (*is_descending_out || strcmp(name, "<") == 0) {
        return ERR_OK;
    }
    (void)bind_error(binder, sort->location, "42809",
                     "operator %s is not a valid ordering operator", name);
    return sql_hint("Ordering operators must be \"<\" or \">\" members of btree operator "
                    "families.");
}

err_t
bind_sort_direction(struct binder *binder, const void *sort_by, const struct type *type,
                    struct order *order)
{
    const SortBy *sort = sort_by;

    if (type->compare == NULL) {
        (void)bind_error(binder, bind_location(sort->node), "42883",
                         "could not identify an ordering operator for type %s", type->display);
        return sql_hint("Use an explicit ordering operator or modify the query.");
    }
    order->is_descending = sort->sortby_dir == SORTBY_DESC;
    if (sort->sortby_dir == SORTBY_USING &&
        using_direction(binder, sort, &order->is_descending) != ERR_OK) {
        return ERR_SQL;
    }
    order->nulls_first = sort->sortby_nulls == SORTBY_NULLS_FIRST ||
                         (sort->sortby_nulls == SORTBY_NULLS_DEFAULT && order->is_descending);
    return ERR_OK;
}

static err_t
bind_order(struct binder *binder, struct scope *scope, struct query *query, const List *list)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    query->orders = bind_zeroed(binder, ((size_t)list_length(list) + 1) * sizeof(*query->orders));
    foreach(cell, list)
    {
        const SortBy *sort = lfirst(cell);
        struct order *order = &query->orders[query->order_count];

        TRY(target_for(binder, scope, query, sort->node, "ORDER BY", &order->target));
        TRY(bind_sort_direction(binder, sort, query->targets[order->target].expr->type, order));
        query->order_count++;
    }
out:
    return err;
}

static err_t
bind_distinct_clause(struct binder *binder, struct scope *scope, struct query *query,
                     const List *list)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    if (list == NIL) {
        return ERR_OK;
    }
    query->is_distinct = true;
    if (linitial(list) == NULL) {
        for (uint32_t i = 0; i < query->order_count; i++) {
            if (query->targets[query->orders[i].target].is_junk) {
                return bind_error(binder, -1, "42P10",
                                  "for SELECT DISTINCT, ORDER BY expressions must appear in "
                                  "select list");
            }
        }
        return ERR_OK;
    }
    query->distinct_on =
        bind_zeroed(binder, (size_t)list_length(list) * sizeof(*query->distinct_on));
    foreach(cell, list)
    {
        TRY(target_for(binder, scope, query, lfirst(cell), "DISTINCT ON",
                       &query->distinct_on[query->distinct_on_count]));
        query->distinct_on_count++;
    }
    for (uint32_t i = 0; i < query->order_count && i < query->distinct_on_count; i++) {
        bool is_there = false;

        for (uint32_t j = 0; j < query->distinct_on_count; j++) {
            is_there = is_there || query->distinct_on[j] == query->orders[i].target;
        }
        if (!is_there) {
            return bind_error(binder, -1, "42P10",
                              "SELECT DISTINCT ON expressions must match initial ORDER BY "
                              "expressions");
        }
    }
out:
    return err;
}

/* Another group, unless it is one already. */
static uint32_t
group_number(struct binder *binder, struct query *query, struct expr *expr)
{
    struct expr **grown = arena_alloc(binder->arena, (query->group_count + 1) * sizeof(*grown));

    for (uint32_t i = 0; i < query->group_count; i++) {
        if (expr_equal(query->groups[i], expr)) {
            return i;
        }
        grown[i] = query->groups[i];
    }
    grown[query->group_count] = expr;
    query->groups = grown;
    return query->group_count++;
}

/* A column of the input comes before one of the output. */
err_t
bind_group_expr(struct binder *binder, struct scope *scope, struct query *query, const Node *node,
                uint32_t *group_out)
{
    uint32_t target = UINT32_MAX;
    struct expr *expr = NULL;
    err_t err = ERR_OK;

    if (IsA(node, ColumnRef)) {
        err = bind_expr(binder, scope, node, &expr);
    }
    if (expr == NULL || err != ERR_OK) {
        TRY(target_named(binder, query, node, "GROUP BY", &target));
        if (target != UINT32_MAX) {
            expr = query->targets[target].expr;
        } else {
            TRY(bind_expr(binder, scope, node, &expr));
        }
    }
    TRY(bind_settle(binder, &expr));
    if (expr->type->compare == NULL) {
        return bind_error(binder, bind_location(node), "42883",
                          "could not identify an equality operator for type %s",
                          expr->type->display);
    }
    *group_out = group_number(binder, query, expr);
out:
    return err;
}

/* ---- LIMIT ---- */

/* libpg_query counts the options from another first one than PostgreSQL's header. */
enum { PARSED_WITH_TIES = 2 };

static err_t
bind_count(struct binder *binder, struct scope *scope, const Node *node, const char *what,
           struct expr **expr_out)
{
    struct scope around = {.outer = scope->outer, .query = scope->query, .clause = what};
    err_t err;

    if (node == NULL) {
        return ERR_OK;
    }
    err = bind_expr(binder, &around, node, expr_out);
    return err != ERR_OK
               ? err
               : bind_coerce(binder, expr_out, type_by_oid(OID_INT8), -1, COERCE_ASSIGNMENT);
}

/* ---- VALUES ---- */

static err_t
values_row_bind(struct binder *binder, struct scope *scope, const List *nodes,
                struct values_row *row, uint32_t columns)
{
    err_t err = ERR_OK;

    if ((uint32_t)list_length(nodes) != columns) {
        return bind_error(binder, -1, "42601", "VALUES lists must all be the same length");
    }
    row->exprs = bind_zeroed(binder, (columns + 1) * sizeof(*row->exprs));
    for (uint32_t i = 0; err == ERR_OK && i < columns; i++) {
        err = bind_expr(binder, scope, list_nth(nodes, (int)i), &row->exprs[i]);
    }
    return err;
}

static err_t
values_column_unify(struct binder *binder, struct query *query, uint32_t column)
{
    struct expr **exprs = arena_alloc(binder->arena, query->values_count * sizeof(*exprs));
    const struct type *type;
    err_t err;

    for (uint32_t i = 0; i < query->values_count; i++) {
        exprs[i] = query->values[i].exprs[column];
    }
    err = bind_common(binder, "VALUES", exprs, query->values_count, &type);
    for (uint32_t i = 0; err == ERR_OK && i < query->values_count; i++) {
        query->values[i].exprs[column] = exprs[i];
    }
    query->targets[column].expr = expr_new(binder->arena, EXPR_COLUMN, type, 0, -1);
    query->targets[column].name =
        slice_from_text(arena_printf(binder->arena, "column%u", column + 1));
    return err;
}

static err_t
bind_values(struct binder *binder, struct scope *scope, struct query *query, const List *lists)
{
    uint32_t columns = (uint32_t)list_length(linitial(lists));
    err_t err = ERR_OK;

    scope->clause = "VALUES";
    query->values_count = (uint32_t)list_length(lists);
    query->values = bind_zeroed(binder, query->values_count * sizeof(*query->values));
    query->target_count = columns;
    query->targets = bind_zeroed(binder, (columns + 1) * sizeof(*query->targets));
    for (uint32_t i = 0; err == ERR_OK && i < query->values_count; i++) {
        err = values_row_bind(binder, scope, list_nth(lists, (int)i), &query->values[i], columns);
    }
    for (uint32_t i = 0; err == ERR_OK && i < columns; i++) {
        err = values_column_unify(binder, query, i);
    }
    return err;
}

/* ---- Set operations ---- */

static err_t
set_column_unify(struct binder *binder, struct query *query, const char *name, uint32_t column)
{
    struct expr *sides[2] = {query->left->targets[column].expr, query->right->targets[column].expr};
    struct target *target = &query->targets[column];
    const struct type *type;
    err_t err;

    TRY(bind_common(binder, name, sides, 2, &type));
    /* A nested set operation or VALUES makes its own columns, which get the cast behind them. */
    query->left->targets[column].expr = sides[0];
    query->right->targets[column].expr = sides[1];
    target->name = query->left->targets[column].name;
    target->expr = expr_new(binder->arena, EXPR_COLUMN, type, 0, -1);
    if (sides[0]->typmod == sides[1]->typmod) {
        target->expr->typmod = sides[0]->typmod;
    }
out:
    return err;
}

static uint32_t
visible_count(const struct query *query)
{
    uint32_t count = 0;

    while (count < query->target_count && !query->targets[count].is_junk) {
        count++;
    }
    return count;
}

static err_t
bind_set(struct binder *binder, struct scope *scope, struct query *query, const SelectStmt *select)
{
    static const char *const names[] = {"", "UNION", "INTERSECT", "EXCEPT"};
    struct scope around = {.outer = scope->outer, .query = scope->query, .with = scope->with};
    const char *no_self = binder->no_self;
    err_t err;

    query->set = (enum set_kind)select->op;
    query->is_set_all = select->all;
    binder->no_self = query->set == SET_INTERSECT ? "INTERSECT" : no_self;
    TRY(bind_query(binder, &around, select->larg, &query->left));
    binder->no_self = query->set == SET_EXCEPT ? "EXCEPT" : binder->no_self;
    TRY(bind_query(binder, &around, select->rarg, &query->right));
    binder->no_self = no_self;
    query->target_count = visible_count(query->left);
    if (query->target_count != visible_count(query->right)) {
        err = bind_error(binder, -1, "42601", "each %s query must have the same number of columns",
                         names[query->set]);
        goto out;
    }
    query->targets = bind_zeroed(binder, (query->target_count + 1) * sizeof(*query->targets));
    for (uint32_t i = 0; i < query->target_count; i++) {
        TRY(set_column_unify(binder, query, names[query->set], i));
    }
out:
    return err;
}

/* ---- SELECT ---- */

static err_t
windows_check(struct binder *binder, const struct scope *scope)
{
    for (int i = 0; i < list_length(scope->window_clause); i++) {
        const WindowDef *window = list_nth(scope->window_clause, i);

        for (int j = 0; j < i; j++) {
            if (strcmp(((const WindowDef *)list_nth(scope->window_clause, j))->name,
                       window->name) == 0) {
                return bind_error(binder, window->location, "42P20",
                                  "window \"%s\" is already defined", window->name);
            }
        }
    }
    return ERR_OK;
}

static err_t
bind_plain(struct binder *binder, struct scope *scope, struct query *query,
           const SelectStmt *select)
{
    err_t err;

    scope->window_clause = select->windowClause;
    if (select->intoClause != NULL) {
        return bind_error(binder, -1, "0A000", "SELECT INTO is not supported yet");
    }
    TRY(bind_from(binder, scope, select->fromClause));
    TRY(windows_check(binder, scope));
    scope->may_aggregate = true;
    scope->may_window = true;
    scope->may_set = true;
    TRY(bind_targets(binder, scope, select->targetList, &query->targets, &query->target_count));
    scope->may_aggregate = false;
    scope->may_window = false;
    scope->may_set = false;
    if (select->whereClause != NULL) {
        scope->clause = "WHERE";
        TRY(bind_condition(binder, scope, select->whereClause, "argument of WHERE", &query->where));
    }
    scope->may_set = true;
    scope->clause = "GROUP BY";
    TRY(bind_group_by(binder, scope, select));
    scope->may_aggregate = true;
    if (select->havingClause != NULL) {
        scope->may_set = false;
        scope->clause = "HAVING";
        TRY(bind_condition(binder, scope, select->havingClause, "argument of HAVING",
                           &query->having));
        query->is_grouped = true;
        scope->may_set = true;
    }
    scope->may_window = true;
    for (uint32_t i = 0; i < query->target_count; i++) {
        TRY(bind_settle(binder, &query->targets[i].expr));
    }
out:
    return err;
}

static err_t
bind_query_body(struct binder *binder, struct scope *scope, const SelectStmt *select)
{
    struct query *query = scope->query;
    err_t err;

    TRY(bind_with(binder, scope, select->withClause));
    if (select->op != SETOP_NONE) {
        TRY(bind_set(binder, scope, query, select));
    } else if (select->valuesLists != NIL) {
        TRY(bind_values(binder, scope, query, select->valuesLists));
    } else {
        TRY(bind_plain(binder, scope, query, select));
    }
    TRY(bind_order(binder, scope, query, select->sortClause));
    TRY(bind_distinct_clause(binder, scope, query, select->distinctClause));
    TRY(bind_row_locks(binder, scope, select));
    TRY(bind_grouping(binder, scope, query));
    TRY(bind_count(binder, scope, select->limitCount, "LIMIT", &query->limit));
    TRY(bind_count(binder, scope, select->limitOffset, "OFFSET", &query->offset));
    if ((int)select->limitOption == PARSED_WITH_TIES) {
        err = bind_error(binder, -1, "0A000", "WITH TIES is not supported yet");
    }
out:
    return err;
}

err_t
bind_query(struct binder *binder, struct scope *outer, const SelectStmt *select,
           struct query **query_out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    struct scope scope = {.outer = outer, .query = query};
    const char *no_sets = binder->no_sets;
    uint32_t volatiles = binder->volatile_count;
    err_t err;

    TRY(bind_depth_check(binder));
    binder->depth++;
    binder->no_sets = NULL;
    err = bind_query_body(binder, &scope, select);
    binder->no_sets = no_sets;
    binder->depth--;
    query->has_volatile = binder->volatile_count != volatiles;
    *query_out = query;
out:
    return err;
}

/* ---- Statements ---- */

static void
binder_init(struct binder *binder, const struct bind_options *options)
{
    *binder = (struct binder){
        .catalog = options->catalog,
        .arena = options->arena,
        .settings = options->settings,
        .search_path = options->search_path,
        .position = -1,
    };
    binder->param_capacity = options->param_count;
    binder->param_count = options->param_count;
    binder->param_types =
        bind_zeroed(binder, (options->param_count + 1) * sizeof(*binder->param_types));
    for (uint32_t i = 0; i < options->param_count; i++) {
        binder->param_types[i] = options->param_types[i] != 0
                                     ? catalog_type(options->catalog, options->param_types[i])
                                     : NULL;
    }
}

static err_t
params_settle(struct binder *binder)
{
    for (uint32_t i = 0; i < binder->param_count; i++) {
        if (binder->param_types[i] == NULL) {
            return bind_error(binder, -1, "42P18", "could not determine data type of parameter $%u",
                              i + 1);
        }
    }
    return ERR_OK;
}

err_t
bind_statement(const struct bind_options *options, const void *node,
               struct statement *statement_out, int32_t *position_out)
{
    struct binder binder;
    err_t err;

    binder_init(&binder, options);
    binder.may_change = true;
    *statement_out = (struct statement){.kind = STATEMENT_UTILITY, .utility = node};
    switch (nodeTag(node)) {
    case T_SelectStmt:
        statement_out->kind = STATEMENT_SELECT;
        err = bind_query(&binder, NULL, node, &statement_out->query);
        break;
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
        err = bind_change(&binder, node, NULL, statement_out);
        break;
    case T_CopyStmt:
        err = bind_copy(&binder, node, statement_out);
        break;
    default:
        err = ERR_OK;
        break;
    }
    if (err == ERR_OK) {
        err = params_settle(&binder);
    }
    statement_out->param_count = binder.param_count;
    statement_out->param_types = binder.param_types;
    statement_out->source_count = binder.source_count;
    statement_out->outer_count = binder.outer_count;
    statement_out->subquery_count = binder.subquery_count;
    statement_out->cte_count = binder.cte_count;
    statement_out->changes = binder.first_change;
    statement_out->relations = binder.relations;
    statement_out->relation_count = binder.relation_count;
    *position_out = err != ERR_OK ? binder.position : -1;
    return err;
}

err_t
bind_execute_arguments(const struct bind_options *options, const void *nodes,
                       const struct type *const *types, struct expr ***exprs_out,
                       int32_t *position_out)
{
    struct query query = {0};
    struct scope scope = {.query = &query, .clause = "EXECUTE"};
    const List *list = nodes;
    struct binder binder;
    struct expr **exprs;
    const ListCell *cell;
    uint32_t count = 0;
    err_t err = ERR_OK;

    binder_init(&binder, options);
    exprs = bind_zeroed(&binder, ((size_t)list_length(list) + 1) * sizeof(struct expr *));
    foreach(cell, list)
    {
        struct expr **expr = &exprs[count];
        const struct function *function;

        TRY(bind_expr(&binder, &scope, lfirst(cell), expr));
        if ((*expr)->type->oid != OID_UNKNOWN &&
            fn_cast((*expr)->type->oid, types[count]->oid, COERCE_ASSIGNMENT, &function) ==
                CAST_NONE) {
            (void)bind_error(&binder, (*expr)->position, "42804",
                             "parameter $%u of type %s cannot be coerced to the expected type %s",
                             count + 1, (*expr)->type->display, types[count]->display);
            err = sql_hint("You will need to rewrite or cast the expression.");
            goto out;
        }
        TRY(bind_coerce(&binder, expr, types[count], -1, COERCE_ASSIGNMENT));
        count++;
    }
    *exprs_out = exprs;
out:
    *position_out = err != ERR_OK ? binder.position : -1;
    return err;
}

err_t
bind_table_expr(const struct bind_options *options, const struct relation *relation,
                struct slice sql, struct source **source_out, struct expr **expr_out)
{
    struct query query = {0};
    struct scope scope = {.query = &query};
    char *text = arena_printf(options->arena, "SELECT %.*s", (int)sql.size, (const char *)sql.data);
    const SelectStmt *select;
    const ResTarget *target;
    struct binder binder;
    struct parse parse = {0};
    uint32_t position;
    err_t err;

    binder_init(&binder, options);
    if (relation != NULL) {
        *source_out = source_of_relation(&binder, relation);
        scope_add(&binder, &scope, relation->name, *source_out);
    }
    TRY(parse_open(text, &parse, &position));
    select = (const SelectStmt *)((const RawStmt *)linitial(parse.statements))->stmt;
    target = linitial(select->targetList);
    err = bind_expr(&binder, &scope, target->val, expr_out);
out:
    parse_close(&parse);
    return err;
}
