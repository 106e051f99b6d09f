/* query/exec/ordered.h - aggregates that want their rows in an order: ORDER BY inside of the call,
 * WITHIN GROUP, DISTINCT where the order shows. Rows of each group are kept until all are there. */
#pragma once

#include "query/exec/exec.h"

/* The rows of one group, for one aggregate: its arguments, then what they are sorted by, then
 * direct arguments. */
struct ordered_rows {
    struct kept_row *rows;
    uint32_t count, capacity;
};

/* Does the aggregate want it? */
bool ordered_is_wanted(const struct aggregate *aggregate);
/* Columns of its rows, and the expression of each. */
uint32_t ordered_columns(const struct aggregate *aggregate);
const struct expr *ordered_column(const struct aggregate *aggregate, uint32_t column);
/* Values are copied into the arena. */
void ordered_add(struct ordered_rows *rows, const struct aggregate *aggregate,
                 const struct vector *columns, uint32_t row, struct arena *arena);
/* Sorts, and gives the result. type: of the result. */
YIELDS err_t ordered_finish(struct exec *exec, struct ordered_rows *rows,
                            const struct aggregate *aggregate, struct call *call,
                            struct datum *out);
