/* query/explain/explain.h - EXPLAIN: a plan as PostgreSQL lays plans out, with our operators.
 *
 * There are no costs: the planner compares rows only, and keeps none of the figures. With ANALYZE
 * each operator has the rows that it gave, and how often it was begun. */
#pragma once

#include "query/exec/exec.h"
#include "query/parse/nodes.h"

struct explain_options {
    bool analyzes, is_verbose, is_json, has_summary;
};

/* Errors: ERR_SQL, and *position_out a byte offset or -1. */
err_t explain_options_read(const ExplainStmt *node, struct explain_options *options_out,
                           int32_t *position_out);

/* What has been measured of operators: exec.h. */
struct explain {
    const struct explain_options *options;
    const struct statement *statement;
    const struct plan *plan;
    const struct exec *exec; /* With the figures, when it has run. */
    uint64_t planning_us, execution_us;
};

/* Text: a line each, with newlines between; JSON: one text. */
void explain_put(const struct explain *explain, struct buf *out);

/* An expression over the columns of a plan. */
void explain_expr_put(const struct plan *input, const struct expr *expr, struct buf *out);
/* Of a column of a plan, as far as it has one. */
void explain_column_put(const struct plan *plan, uint32_t column, struct buf *out);
