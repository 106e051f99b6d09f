/* query/exec/eval.h - what the files of the evaluator share. All of it may suspend, as `eval`. */
#pragma once

#include "query/exec/exec.h"

/* What one evaluation works with. */
struct evaluation {
    struct exec *exec;
    struct arena *arena;
    const struct batch *batch;
};

YIELDS err_t eval_rows(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
                       uint32_t count, struct vector *out);
YIELDS err_t eval_args(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
                       uint32_t count, struct vector **args_out);
/* Room for each row of the batch; none is null. */
void vector_make(const struct evaluation *evaluation, struct vector *out);

static inline uint32_t
row_at(const uint16_t *rows, uint32_t i)
{
    return rows != NULL ? rows[i] : i;
}
static inline void
value_set(struct vector *out, uint32_t row, struct datum value, bool is_null)
{
    out->values[row] = value;
    out->nulls[row] = is_null;
}

/* ---- Arrays: eval_array.c. EXPR_ARRAY, EXPR_ARRAY_CAST, EXPR_ANY_ARRAY, EXPR_SUBSCRIPT and
 * EXPR_SUBSCRIPT_SET ---- */
YIELDS err_t eval_array(struct evaluation *evaluation, const struct expr *expr,
                        const uint16_t *rows, uint32_t count, struct vector *out);
/* ---- Subqueries: subquery.c ---- */
YIELDS err_t eval_subquery(struct evaluation *evaluation, const struct expr *expr,
                           const uint16_t *rows, uint32_t count, struct vector *out);
/* The array of what a subquery gives: type is the array's. */
err_t array_of_rows(const struct type *type, const struct rows *rows, struct arena *arena,
                    struct datum *out);
