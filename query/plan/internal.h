/* query/plan/internal.h - what the files of the planner share. */
#pragma once

#include "query/plan/plan.h"

/* A column whose number is that of the input's. */
enum {
    SOURCE_RESOLVED = UINT32_MAX,
    SOURCE_SETS = UINT32_MAX - 1,
    SOURCE_WINDOWS = UINT32_MAX - 2
};

struct planner {
    struct arena *arena;
    uint32_t source_count;
    /* The statement's count of EXPR_OUTER, for those that planning makes. NULL: it can make none,
     * as the statement runs already. */
    uint32_t *next_outer;
};

/* Values of EXPR_OUTER that are set when the plan is opened. */
void plan_outers_add(struct planner *planner, struct plan *plan, const struct query *query);
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
/* Operators for the windows of the query; calls in its list become columns. window.c */
err_t plan_windows(struct planner *planner, const struct query *query, struct plan **plan);
/* The item of WITH, as something that is run once: cte.c. */
err_t plan_cte(struct planner *planner, struct cte *cte, const struct plan_cte **out);
/* Is it better put in the place of its only name? */
bool plan_cte_is_inlined(const struct cte *cte);
/* The operator of SOURCE_CTE and SOURCE_WORK. */
err_t plan_cte_source(struct planner *planner, const struct source *source, struct plan **plan_out);
/* Of a subquery that aggregates: plans it for all outer values at once, where that is plain.
 * grouped.c */
err_t plan_grouped(struct planner *planner, const struct expr *expr);
/* Does it take values from around the query that it stands in? */
bool plan_takes_outer(const struct expr *expr);
bool plan_join_takes_outer(const struct join *join);
/* What a change evaluates beside its plan; nothing for a SELECT. */
err_t plan_change(struct planner *planner, struct statement *statement);
/* FROM and WHERE: from.c */
err_t plan_from(struct planner *planner, const struct query *query, struct plan **plan_out);
