/* query/plan/plan.c - from a bound query to operators. */
#include "query/plan/plan.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/plan/internal.h"

#include "engine/base/poison.h"

/* ---- Nodes ---- */

struct plan *
plan_new(struct planner *planner, enum plan_kind kind, struct plan *left, uint32_t columns)
{
    struct plan *plan = plan_zeroed(planner, sizeof(*plan));

    plan->kind = kind;
    plan->left = left;
    plan->column_count = columns;
    plan->columns = plan_zeroed(planner, (columns + 1) * sizeof(*plan->columns));
    return plan;
}

void *
plan_zeroed(struct planner *planner, size_t size)
{
    void *memory = arena_alloc(planner->arena, size);

    memset(memory, 0, size);
    return memory;
}

struct plan *
plan_above(struct planner *planner, enum plan_kind kind, struct plan *left)
{
    struct plan *plan = plan_zeroed(planner, sizeof(*plan));

    plan->kind = kind;
    plan->left = left;
    plan->column_count = left->column_count;
    plan->columns = left->columns;
    return plan;
}

/* ---- Columns of expressions become numbers ---- */

static err_t
subquery_plan(struct planner *planner, const struct expr *expr)
{
    struct subquery *subquery = expr->subquery;
    err_t err = ERR_OK;

    if (subquery->plan == NULL) {
        err = plan_query(planner, subquery->query, &subquery->plan);
        if (err == ERR_OK) {
            err = plan_grouped(planner, expr);
        }
    }
    return err;
}

static err_t
column_resolve(const struct plan *input, struct expr *expr)
{
    for (uint32_t i = 0; i < input->column_count; i++) {
        if (input->columns[i].source == expr->column.source &&
            input->columns[i].column == expr->column.column) {
            expr->column.source = SOURCE_RESOLVED;
            expr->column.column = i;
            return ERR_OK;
        }
    }
    return sql_error("XX000", "column %u of source %u is not in its input", expr->column.column,
                     expr->column.source);
}

static err_t
aggregate_args_check(const struct expr *expr)
{
    return expr->kind == EXPR_AGGREGATE
               ? sql_error("42803", "aggregate functions are not allowed here")
               : ERR_OK;
}

err_t
plan_resolve(struct planner *planner, const struct plan *input, const struct expr *expr,
             struct expr **expr_out)
{
    struct expr *copy = arena_alloc(planner->arena, sizeof(*copy));
    err_t err;

    *copy = *expr;
    *expr_out = copy;
    TRY(sql_stack_check());
    TRY(aggregate_args_check(expr));
    if (expr->kind == EXPR_COLUMN && expr->column.source != SOURCE_RESOLVED) {
        return column_resolve(input, copy);
    }
    copy->args = arena_alloc(planner->arena, (expr->arg_count + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        TRY(plan_resolve(planner, input, expr->args[i], &copy->args[i]));
    }
    if (expr->kind == EXPR_SUBQUERY) {
        err = subquery_plan(planner, expr);
    }
out:
    return err;
}

/* ---- Parts of a query ---- */

static err_t
filter_add(struct planner *planner, struct plan **plan, const struct expr *condition)
{
    struct plan *filter;

    if (condition == NULL) {
        return ERR_OK;
    }
    filter = plan_above(planner, PLAN_FILTER, *plan);
    *plan = filter;
    return plan_resolve(planner, filter->left, condition, &filter->condition);
}

static err_t
aggregate_resolve(struct planner *planner, const struct plan *input,
                  const struct aggregate *aggregate, struct aggregate **out)
{
    struct aggregate *copy = arena_alloc(planner->arena, sizeof(*copy));
    err_t err = ERR_OK;

    *copy = *aggregate;
    for (uint32_t i = 0; i < copy->arg_count; i++) {
        TRY(plan_resolve(planner, input, aggregate->args[i], &copy->args[i]));
    }
    copy->orders = plan_zeroed(planner, (copy->order_count + 1) * sizeof(*copy->orders));
    for (uint32_t i = 0; i < copy->order_count; i++) {
        TRY(plan_resolve(planner, input, aggregate->orders[i], &copy->orders[i]));
    }
    copy->direct = plan_zeroed(planner, (copy->direct_count + 1) * sizeof(*copy->direct));
    for (uint32_t i = 0; i < copy->direct_count; i++) {
        TRY(plan_resolve(planner, input, aggregate->direct[i], &copy->direct[i]));
    }
    if (copy->filter != NULL) {
        TRY(plan_resolve(planner, input, aggregate->filter, &copy->filter));
    }
    *out = copy;
out:
    return err;
}

static err_t
exprs_plan_sets(struct planner *planner, struct expr **exprs, uint32_t count, struct plan **plan)
{
    struct expr ***places = plan_zeroed(planner, (count + 1) * sizeof(*places));

    for (uint32_t i = 0; i < count; i++) {
        places[i] = &exprs[i];
    }
    return plan_sets(planner, places, count, plan);
}

static err_t
aggregate_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    const struct source *source = query->aggregate_source;
    struct plan *added = plan_new(planner, PLAN_AGGREGATE, *plan, source->column_count);
    err_t err = ERR_OK;

    added->expr_count = query->group_count;
    added->exprs = plan_zeroed(planner, (query->group_count + 1) * sizeof(*added->exprs));
    added->set_count = query->set_count;
    added->sets = query->sets;
    added->grouping_count = query->grouping_count;
    added->groupings = query->groupings;
    added->aggregate_count = query->aggregate_count;
    added->aggregates =
        plan_zeroed(planner, (query->aggregate_count + 1) * sizeof(*added->aggregates));
    if (query->has_sets) {
        TRY(exprs_plan_sets(planner, query->groups, query->group_count, plan));
        added->left = *plan;
    }
    for (uint32_t i = 0; i < query->group_count; i++) {
        TRY(plan_resolve(planner, *plan, query->groups[i], &added->exprs[i]));
    }
    for (uint32_t i = 0; i < query->aggregate_count; i++) {
        TRY(aggregate_resolve(planner, *plan, query->aggregates[i]->aggregate,
                              &added->aggregates[i]));
    }
    for (uint32_t i = 0; i < source->column_count; i++) {
        added->columns[i] = (struct plan_column){
            .source = source->id, .column = i, .type = source->columns[i].type};
    }
    *plan = added;
    err = filter_add(planner, plan, query->having);
out:
    return err;
}

static err_t
targets_plan_sets(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct expr ***places = plan_zeroed(planner, (query->target_count + 1) * sizeof(*places));

    for (uint32_t i = 0; i < query->target_count; i++) {
        places[i] = &query->targets[i].expr;
    }
    return plan_sets(planner, places, query->target_count, plan);
}

static err_t
project_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *project;
    err_t err = ERR_OK;

    TRY(plan_windows(planner, query, plan));
    if (query->has_sets) {
        TRY(targets_plan_sets(planner, query, plan));
    }
    project = plan_new(planner, PLAN_PROJECT, *plan, query->target_count);
    project->expr_count = query->target_count;
    project->exprs = plan_zeroed(planner, (query->target_count + 1) * sizeof(*project->exprs));
    for (uint32_t i = 0; err == ERR_OK && i < query->target_count; i++) {
        err = plan_resolve(planner, *plan, query->targets[i].expr, &project->exprs[i]);
        project->columns[i] = (struct plan_column){
            .source = SOURCE_RESOLVED, .column = i, .type = query->targets[i].expr->type};
    }
    *plan = project;
out:
    return err;
}

static void
sort_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    uint32_t count = 0;
    struct plan *sort;

    if (query->order_count + query->distinct_on_count == 0) {
        return;
    }
    sort = plan_above(planner, PLAN_SORT, *plan);
    sort->keys =
        plan_zeroed(planner, (query->order_count + query->distinct_on_count) * sizeof(*sort->keys));
    for (uint32_t i = 0; i < query->order_count; i++) {
        sort->keys[count++] = (struct sort_key){
            .column = query->orders[i].target,
            .is_descending = query->orders[i].is_descending,
            .nulls_first = query->orders[i].nulls_first,
        };
    }
    for (uint32_t i = 0; i < query->distinct_on_count; i++) {
        bool is_there = false;

        for (uint32_t j = 0; j < count; j++) {
            is_there = is_there || sort->keys[j].column == query->distinct_on[i];
        }
        if (!is_there) {
            sort->keys[count++] = (struct sort_key){.column = query->distinct_on[i]};
        }
    }
    sort->key_column_count = count;
    *plan = sort;
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

static void
distinct_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *distinct;

    if (!query->is_distinct || query->distinct_on_count > 0) {
        return;
    }
    distinct = plan_above(planner, PLAN_DISTINCT, *plan);
    distinct->distinct_count = visible_count(query);
    *plan = distinct;
}

static void
distinct_on_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *distinct;

    if (query->distinct_on_count == 0) {
        return;
    }
    distinct = plan_above(planner, PLAN_DISTINCT_ON, *plan);
    distinct->key_column_count = query->distinct_on_count;
    distinct->keys = plan_zeroed(planner, query->distinct_on_count * sizeof(*distinct->keys));
    for (uint32_t i = 0; i < query->distinct_on_count; i++) {
        distinct->keys[i].column = query->distinct_on[i];
    }
    *plan = distinct;
}

static err_t
limit_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *limit;
    err_t err = ERR_OK;

    if (query->limit == NULL && query->offset == NULL) {
        return ERR_OK;
    }
    limit = plan_above(planner, PLAN_LIMIT, *plan);
    if (query->limit != NULL) {
        TRY(plan_resolve(planner, limit, query->limit, &limit->limit));
    }
    if (query->offset != NULL) {
        TRY(plan_resolve(planner, limit, query->offset, &limit->offset));
    }
    *plan = limit;
out:
    return err;
}

/* Columns that only ORDER BY needed go. */
static void
junk_remove(struct planner *planner, const struct query *query, struct plan **plan)
{
    uint32_t visible = visible_count(query);
    struct plan *project;

    if (visible == query->target_count) {
        return;
    }
    project = plan_new(planner, PLAN_PROJECT, *plan, visible);
    project->expr_count = visible;
    project->exprs = plan_zeroed(planner, (visible + 1) * sizeof(*project->exprs));
    for (uint32_t i = 0; i < visible; i++) {
        project->columns[i] = (*plan)->columns[i];
        project->exprs[i] = plan_zeroed(planner, sizeof(struct expr));
        project->exprs[i]->kind = EXPR_COLUMN;
        project->exprs[i]->type = query->targets[i].expr->type;
        project->exprs[i]->typmod = -1;
        project->exprs[i]->column.source = SOURCE_RESOLVED;
        project->exprs[i]->column.column = i;
    }
    *plan = project;
}

/* ---- VALUES and set operations ---- */

static err_t
values_plan(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *values = plan_new(planner, PLAN_VALUES, NULL, query->target_count);
    uint32_t at = 0;
    err_t err = ERR_OK;

    values->expr_count = query->values_count * query->target_count;
    values->exprs = plan_zeroed(planner, (values->expr_count + 1) * sizeof(*values->exprs));
    for (uint32_t i = 0; i < query->target_count; i++) {
        values->columns[i] = (struct plan_column){
            .source = SOURCE_RESOLVED, .column = i, .type = query->targets[i].expr->type};
    }
    for (uint32_t i = 0; i < query->values_count; i++) {
        for (uint32_t j = 0; j < query->target_count; j++) {
            TRY(plan_resolve(planner, values, query->values[i].exprs[j], &values->exprs[at++]));
        }
    }
    *plan = values;
out:
    return err;
}

/* A side's columns as the set operation has them: casts that unifying put around targets which
 * the side itself does not evaluate (VALUES, nested sets) are evaluated here. */
static err_t
side_plan(struct planner *planner, struct query *side, const struct query *set, struct plan **plan)
{
    bool needs_cast = false;
    struct plan *project;
    err_t err;

    TRY(plan_query(planner, side, plan));
    for (uint32_t i = 0; i < set->target_count; i++) {
        needs_cast = needs_cast || (*plan)->columns[i].type != set->targets[i].expr->type;
    }
    if (!needs_cast) {
        return ERR_OK;
    }
    project = plan_new(planner, PLAN_PROJECT, *plan, set->target_count);
    project->expr_count = set->target_count;
    project->exprs = plan_zeroed(planner, (set->target_count + 1) * sizeof(*project->exprs));
    for (uint32_t i = 0; i < set->target_count; i++) {
        project->columns[i] = (struct plan_column){
            .source = SOURCE_RESOLVED, .column = i, .type = set->targets[i].expr->type};
        /* The innermost is a column of VALUES or of a set, which has no number yet. */
        TRY(plan_resolve_leaves(planner, side->targets[i].expr, i, &project->exprs[i]));
    }
    *plan = project;
out:
    return err;
}

err_t
plan_resolve_leaves(struct planner *planner, const struct expr *expr, uint32_t column,
                    struct expr **expr_out)
{
    struct expr *copy = arena_alloc(planner->arena, sizeof(*copy));
    err_t err = ERR_OK;

    *copy = *expr;
    *expr_out = copy;
    if (expr->kind == EXPR_COLUMN) {
        copy->column.source = SOURCE_RESOLVED;
        copy->column.column = column;
        return ERR_OK;
    }
    copy->args = arena_alloc(planner->arena, (expr->arg_count + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; err == ERR_OK && i < expr->arg_count; i++) {
        err = plan_resolve_leaves(planner, expr->args[i], column, &copy->args[i]);
    }
    return err;
}

static err_t
set_plan(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *set = plan_new(planner, PLAN_SET, NULL, query->target_count);
    err_t err;

    TRY(side_plan(planner, query->left, query, &set->left));
    TRY(side_plan(planner, query->right, query, &set->right));
    set->set = query->set;
    set->is_set_all = query->is_set_all;
    for (uint32_t i = 0; i < query->target_count; i++) {
        set->columns[i] = (struct plan_column){
            .source = SOURCE_RESOLVED, .column = i, .type = query->targets[i].expr->type};
    }
    *plan = set;
out:
    return err;
}

/* ---- Queries ---- */

static bool
skips_locked(const struct query *query)
{
    for (uint32_t i = 0; i < query->row_lock_count; i++) {
        if (query->row_locks[i].wait == LOCK_SKIP) {
            return true;
        }
    }
    return false;
}

static void
row_locks_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *locks;

    if (query->row_lock_count == 0) {
        return;
    }
    locks = plan_above(planner, PLAN_LOCK_ROWS, *plan);
    locks->row_lock_count = query->row_lock_count;
    locks->row_locks = query->row_locks;
    locks->skips_locked = skips_locked(query);
    *plan = locks;
}

/* A query that runs again begins with its WITH. */
static void
with_add(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct plan *with;

    if (query->cte_count == 0) {
        return;
    }
    with = plan_above(planner, PLAN_WITH, *plan);
    with->cte_count = query->cte_count;
    with->cte_numbers = plan_zeroed(planner, query->cte_count * sizeof(*with->cte_numbers));
    for (uint32_t i = 0; i < query->cte_count; i++) {
        with->cte_numbers[i] = query->ctes[i]->number;
    }
    *plan = with;
}

static err_t
plan_select(struct planner *planner, struct query *query, struct plan **plan)
{
    err_t err;

    if (query->values_count > 0) {
        TRY(values_plan(planner, query, plan));
    } else if (query->set != SET_NONE) {
        TRY(set_plan(planner, query, plan));
    } else {
        TRY(plan_from(planner, query, plan));
        if (query->is_grouped) {
            TRY(aggregate_add(planner, query, plan));
        }
        TRY(project_add(planner, query, plan));
    }
    distinct_add(planner, query, plan);
    sort_add(planner, query, plan);
    distinct_on_add(planner, query, plan);
    if (skips_locked(query)) {
        row_locks_add(planner, query, plan);
    }
    TRY(limit_add(planner, query, plan));
    if (!skips_locked(query)) {
        row_locks_add(planner, query, plan);
    }
    junk_remove(planner, query, plan);
    with_add(planner, query, plan);
out:
    return err;
}

err_t
plan_query(struct planner *planner, struct query *query, struct plan **plan_out)
{
    struct plan *plan;
    err_t err;

    if (query->plan != NULL) {
        *plan_out = query->plan;
        return ERR_OK;
    }
    err = sql_stack_check();
    if (err == ERR_OK) {
        err = plan_select(planner, query, &plan);
    }
    if (err != ERR_OK) {
        return err;
    }
    query->plan = plan;
    *plan_out = plan;
    return ERR_OK;
}

err_t
plan_change(struct planner *planner, struct statement *statement)
{
    const struct source *row =
        statement->kind == STATEMENT_DELETE ? statement->old_source : statement->row_source;
    const struct source *returned[2] = {row, statement->joined_source};
    const struct source *both[2] = {statement->old_source, statement->row_source};
    uint32_t sets = statement->conflict == CONFLICT_UPDATE ? statement->assignment_count : 0;
    struct change_plan *planned;
    err_t err = ERR_OK;

    if (statement->kind == STATEMENT_SELECT) {
        return ERR_OK;
    }
    planned = plan_zeroed(planner, sizeof(*planned));
    planned->returning =
        plan_zeroed(planner, (statement->returning_count + 1) * sizeof(struct expr *));
    planned->returning_types =
        plan_zeroed(planner, (statement->returning_count + 1) * sizeof(struct type *));
    planned->conflict_sets = plan_zeroed(planner, (sets + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; i < statement->returning_count; i++) {
        planned->returning_types[i] = statement->returning[i].expr->type;
        TRY(plan_expr(planner->arena, statement, statement->returning[i].expr, returned,
                      statement->joined_source != NULL ? 2 : 1, &planned->returning[i]));
    }
    for (uint32_t i = 0; i < sets; i++) {
        TRY(plan_expr(planner->arena, statement, statement->assignments[i].expr, both, 2,
                      &planned->conflict_sets[i]));
    }
    planned->view_checks =
        plan_zeroed(planner, (statement->view_check_count + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; i < statement->view_check_count; i++) {
        TRY(plan_expr(planner->arena, statement, statement->view_checks[i].expr, &row, 1,
                      &planned->view_checks[i]));
    }
    if (statement->conflict_where != NULL) {
        TRY(plan_expr(planner->arena, statement, statement->conflict_where, both, 2,
                      &planned->conflict_where));
    }
    statement->planned = planned;
out:
    return err;
}

err_t
plan_statement(struct statement *statement, struct arena *arena, struct plan **plan_out)
{
    struct planner planner = {.arena = arena,
                              .source_count = statement->source_count,
                              .next_outer = &statement->outer_count};
    const struct plan_cte *planned;
    err_t err;

    TRY(plan_query(&planner, statement->query, plan_out));
    TRY(plan_change(&planner, statement));
    for (struct cte *cte = statement->changes; cte != NULL; cte = cte->next_change) {
        TRY(plan_cte(&planner, cte, &planned));
    }
out:
    return err;
}

err_t
plan_expr(struct arena *arena, const struct statement *statement, struct expr *expr,
          const struct source *const *sources, uint32_t source_count, struct expr **expr_out)
{
    struct planner planner = {.arena = arena, .source_count = statement->source_count};
    struct plan *input;
    uint32_t columns = 0, at = 0;

    for (uint32_t i = 0; i < source_count; i++) {
        columns += sources[i]->column_count;
    }
    input = plan_new(&planner, PLAN_ONE_ROW, NULL, columns);
    for (uint32_t i = 0; i < source_count; i++) {
        for (uint32_t j = 0; j < sources[i]->column_count; j++) {
            input->columns[at++] = (struct plan_column){
                .source = sources[i]->id, .column = j, .type = sources[i]->columns[j].type};
        }
    }
    return plan_resolve(&planner, input, expr, expr_out);
}
