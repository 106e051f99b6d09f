/* query/plan/cte.c - items of WITH. */
#include "query/plan/internal.h"

#include "engine/base/poison.h"

void
plan_outers_add(struct planner *planner, struct plan *plan, const struct query *query)
{
    uint32_t count = plan->outer_count + query->outer_count;
    struct outer_reference *all = plan_zeroed(planner, (count + 1) * sizeof(*all));

    if (plan->outer_count > 0) {
        memcpy(all, plan->outers, plan->outer_count * sizeof(*all));
    }
    if (query->outer_count > 0) {
        memcpy(all + plan->outer_count, query->outers, query->outer_count * sizeof(*all));
    }
    plan->outers = all;
    plan->outer_count = count;
}

bool
plan_cte_is_inlined(const struct cte *cte)
{
    return cte->change == NULL && cte->recursive == NULL && !cte->is_materialized &&
           (cte->is_inlined || (cte->references <= 1 && !cte->has_volatile));
}

/* The query, on an operator of its own that sets what it takes from around it. */
static err_t
part_plan(struct planner *planner, const struct cte *cte, struct query *query,
          struct plan **plan_out)
{
    struct plan *plan;
    err_t err = plan_query(planner, query, &plan);

    if (err != ERR_OK) {
        return err;
    }
    *plan_out = plan_above(planner, PLAN_WITH, plan);
    if (cte->around != NULL) {
        plan_outers_add(planner, *plan_out, cte->around);
    }
    plan_outers_add(planner, *plan_out, query);
    return ERR_OK;
}

err_t
plan_cte(struct planner *planner, struct cte *cte, const struct plan_cte **out)
{
    struct plan_cte *planned = cte->plan;
    err_t err = ERR_OK;

    *out = planned;
    if (planned != NULL) {
        return ERR_OK;
    }
    cte->plan = planned = plan_zeroed(planner, sizeof(*planned));
    *out = planned;
    planned->number = cte->number;
    planned->is_union_all = cte->is_union_all;
    planned->change = cte->change;
    planned->column_count = cte->column_count;
    planned->columns = plan_zeroed(planner, (cte->column_count + 1) * sizeof(*planned->columns));
    for (uint32_t i = 0; i < cte->column_count; i++) {
        planned->columns[i] = (struct plan_column){
            .source = SOURCE_RESOLVED, .column = i, .type = cte->columns[i].type};
    }
    if (cte->change != NULL) {
        TRY(plan_query(planner, cte->change->query, &planned->plan));
        return plan_change(planner, cte->change);
    }
    TRY(part_plan(planner, cte, cte->query, &planned->plan));
    if (cte->recursive != NULL) {
        TRY(part_plan(planner, cte, cte->recursive, &planned->recursive));
    }
out:
    return err;
}

err_t
plan_cte_source(struct planner *planner, const struct source *source, struct plan **plan_out)
{
    enum plan_kind kind = source->kind == SOURCE_CTE ? PLAN_CTE : PLAN_WORK;
    struct plan *plan = plan_new(planner, kind, NULL, source->column_count);

    for (uint32_t i = 0; i < source->column_count; i++) {
        plan->columns[i] = (struct plan_column){
            .source = source->id, .column = i, .type = source->columns[i].type};
    }
    *plan_out = plan;
    return plan_cte(planner, source->cte, &plan->cte);
}
