/* query/plan/internal.h - what the files of the planner share. */
#pragma once

#include "query/plan/plan.h"

/* A column whose number is that of the input's. */
enum { SOURCE_RESOLVED = UINT32_MAX, SOURCE_SETS = UINT32_MAX - 1 };

struct planner {
    struct arena *arena;
    uint32_t source_count;
};

void *plan_zeroed(struct planner *planner, size_t size);
struct plan *plan_new(struct planner *planner, enum plan_kind kind, struct plan *left,
                      uint32_t columns);
/* One that passes the columns of `left` on. */
struct plan *plan_above(struct planner *planner, enum plan_kind kind, struct plan *left);
/* A copy whose columns are numbers of the input's. */
err_t plan_resolve(struct planner *planner, const struct plan *input, const struct expr *expr,
                   struct expr **expr_out);
/* A copy in which every column is the input's `column`. */
err_t plan_resolve_leaves(struct planner *planner, const struct expr *expr, uint32_t column,
                          struct expr **expr_out);
err_t plan_query(struct planner *planner, struct query *query, struct plan **plan_out);
/* Functions that return rows among the expressions: operators for them go onto the plan, and
 * columns come in their places. set.c */
err_t plan_sets(struct planner *planner, struct expr **const *exprs, uint32_t count,
                struct plan **plan);
/* FROM and WHERE: from.c */
err_t plan_from(struct planner *planner, const struct query *query, struct plan **plan_out);
