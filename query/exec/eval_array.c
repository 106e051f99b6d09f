/* query/exec/eval_array.c - ARRAY[...], subscripts, and what is done to each element. */
#include "query/exec/eval.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/array_part.h"
#include "models/types/sql_error.h"
#include "query/fn/jsonb_change.h"

#include "engine/base/poison.h"

/* ---- ARRAY[...] ---- */

static err_t
literal_eval(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
             uint32_t row, struct datum *out)
{
    struct datum *values = arena_alloc(evaluation->arena, (expr->arg_count + 1) * sizeof(*values));
    uint8_t *nulls = arena_alloc(evaluation->arena, expr->arg_count + 1);

    for (uint32_t i = 0; i < expr->arg_count; i++) {
        values[i] = vector_value(&args[i], row);
        nulls[i] = vector_is_null(&args[i], row);
    }
    return expr->is_nested
               ? array_nest(expr->type, values, nulls, expr->arg_count, evaluation->arena, out)
               : array_list_put(expr->type->element_type, values, nulls, expr->arg_count,
                                evaluation->arena, out);
}

err_t
array_of_rows(const struct type *type, const struct rows *rows, struct arena *arena,
              struct datum *out)
{
    struct datum *values = arena_alloc(arena, (rows->count + 1ULL) * sizeof(*values));
    uint8_t *nulls = arena_alloc(arena, rows->count + 1ULL);

    if (values == NULL || nulls == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (uint32_t i = 0; i < rows->count; i++) {
        values[i] = rows->rows[i].values[0];
        nulls[i] = rows->rows[i].nulls[0];
    }
    return rows->columns[0].type == type
               ? array_nest(type, values, nulls, rows->count, arena, out)
               : array_list_put(type->element_type, values, nulls, rows->count, arena, out);
}

/* ---- Each element: a batch of up to BATCH_ROWS_MAX of them is made, with the value that they are
 * compared with in front ---- */

static err_t
elements_eval(struct evaluation *evaluation, const struct expr *element,
              const struct array_values *values, uint32_t first, uint32_t count,
              const struct vector *compared, struct vector *out)
{
    struct vector columns[2];
    struct vector elements = {
        .values = values->values + first,
        .nulls = values->nulls + first,
    };
    struct batch batch = {.columns = columns, .column_count = 2, .rows = count};
    err_t err = exec_work(evaluation->exec, count);

    columns[0] = compared != NULL ? *compared : elements;
    columns[1] = elements;
    return err != ERR_OK
               ? err
               : eval(evaluation->exec, evaluation->arena, element, &batch, NULL, count, out);
}

static err_t
cast_eval(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
          uint32_t row, struct datum *out)
{
    struct array_values values;
    err_t err;

    TRY(array_values_get(expr->args[0]->type, vector_value(&args[0], row).bytes, evaluation->arena,
                         &values));
    for (uint32_t first = 0; first < values.count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(values.count - first, (uint32_t)BATCH_ROWS_MAX);
        struct vector result;

        TRY(elements_eval(evaluation, expr->each.element, &values, first, count, NULL, &result));
        for (uint32_t i = 0; i < count; i++) {
            values.nulls[first + i] = vector_is_null(&result, i);
            values.values[first + i] = vector_value(&result, i);
        }
    }
    err = array_values_put(expr->type->element_type, &values, evaluation->arena, out);
out:
    return err;
}

/* The first that decides ends it; otherwise a null among the answers makes it null. */
static err_t
any_eval(struct evaluation *evaluation, const struct expr *expr, struct vector *compared,
         const struct array_values *values, struct datum *out, bool *is_null_out)
{
    bool is_all = expr->each.is_all;
    err_t err = ERR_OK;

    *is_null_out = false;
    out->i = is_all;
    for (uint32_t first = 0; first < values->count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(values->count - first, (uint32_t)BATCH_ROWS_MAX);
        struct vector result;

        TRY(elements_eval(evaluation, expr->each.element, values, first, count, compared, &result));
        for (uint32_t i = 0; i < count; i++) {
            if (vector_is_null(&result, i)) {
                *is_null_out = true;
            } else if ((vector_value(&result, i).i != 0) != is_all) {
                *is_null_out = false;
                out->i = !is_all;
                return ERR_OK;
            }
        }
    }
out:
    return err;
}

static err_t
eval_any(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
         uint32_t count, const struct vector *args, struct vector *out)
{
    struct array_values values = {0};
    bool is_read = false;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        struct datum value = vector_value(&args[0], row), result = datum_int(0);
        uint8_t is_null = vector_is_null(&args[0], row);
        struct vector compared = {.values = &value, .nulls = &is_null, .is_constant = true};
        bool result_null = true;

        if (!vector_is_null(&args[1], row)) {
            if (!is_read) {
                TRY(array_values_get(expr->args[1]->type, vector_value(&args[1], row).bytes,
                                     evaluation->arena, &values));
                is_read = args[1].is_constant;
            }
            TRY(any_eval(evaluation, expr, &compared, &values, &result, &result_null));
        }
        value_set(out, row, result, result_null);
    }
out:
    return err;
}

/* ---- Subscripts ---- */

/* The bounds of a row; *has_null_out: one that is given is null. */
static void
bounds_get(const struct expr *expr, const struct vector *args, uint32_t first, uint32_t row,
           struct array_bounds *bounds, bool *has_null_out)
{
    uint32_t at = first;

    *has_null_out = false;
    *bounds = (struct array_bounds){
        .count = expr->subscripts->count,
        .is_slice = expr->subscripts->is_slice,
    };
    for (uint32_t i = 0; i < bounds->count; i++) {
        for (uint32_t which = 0; which < 2; which++) {
            bool is_given = (expr->subscripts->bounds[i] & (1U << which)) != 0;

            if (is_given) {
                *has_null_out = *has_null_out || vector_is_null(&args[at], row);
                *(which == 0 ? &bounds->lower[i] : &bounds->upper[i]) =
                    (int32_t)vector_value(&args[at], row).i;
                at++;
            }
            *(which == 0 ? &bounds->has_lower[i] : &bounds->has_upper[i]) = is_given;
        }
    }
}

static err_t
subscript_eval(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
               uint32_t row, struct datum *out, bool *is_null_out)
{
    struct array_bounds bounds;
    bool has_null;

    bounds_get(expr, args, 1, row, &bounds, &has_null);
    *is_null_out = has_null || vector_is_null(&args[0], row);
    if (*is_null_out) {
        *out = datum_int(0);
        return ERR_OK;
    }
    return bounds.is_slice
               ? array_slice_get(expr->args[0]->type, vector_value(&args[0], row).bytes, &bounds,
                                 evaluation->arena, out)
               : array_element_get(expr->args[0]->type, vector_value(&args[0], row).bytes, &bounds,
                                   evaluation->arena, out, is_null_out);
}

static err_t
subscript_set_eval(struct evaluation *evaluation, const struct expr *expr,
                   const struct vector *args, uint32_t row, struct datum *out, bool *is_null_out)
{
    struct datum container = vector_value(&args[0], row);
    struct datum value = vector_value(&args[1], row);
    bool is_null = vector_is_null(&args[1], row), has_null;
    struct array_bounds bounds;
    err_t err;

    bounds_get(expr, args, 2, row, &bounds, &has_null);
    *is_null_out = false;
    if (has_null) {
        return sql_error("22004", "array subscript in assignment must not be null");
    }
    if (vector_is_null(&args[0], row)) {
        /* A slice of null from null stays null. */
        *is_null_out = bounds.is_slice && is_null;
        TRY(array_list_put(expr->type->element_type, NULL, NULL, 0, evaluation->arena, &container));
    }
    if (bounds.is_slice) {
        *out = container;
        return is_null ? ERR_OK
                       : array_slice_set(expr->type, container.bytes, &bounds, value.bytes,
                                         evaluation->arena, out);
    }
    err = array_element_set(expr->type, container.bytes, &bounds, value, is_null, evaluation->arena,
                            out);
out:
    return err;
}

/* ---- Subscripts of jsonb: numbers and keys ---- */

/* The steps of a row; *has_null_out: one of them is null. */
static err_t
steps_get(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
          uint32_t first, uint32_t row, struct datum **steps_out, uint8_t **is_number_out,
          bool *has_null_out)
{
    uint32_t count = expr->subscripts->count;
    struct datum *steps = arena_alloc(evaluation->arena, (count + 1) * sizeof(*steps));
    uint8_t *is_number = arena_alloc(evaluation->arena, count + 1);

    *has_null_out = false;
    for (uint32_t i = 0; i < count; i++) {
        steps[i] = vector_value(&args[first + i], row);
        is_number[i] = expr->args[first + i]->type->rep == REP_INT;
        *has_null_out = *has_null_out || vector_is_null(&args[first + i], row);
    }
    *steps_out = steps;
    *is_number_out = is_number;
    return ERR_OK;
}

static err_t
json_subscript_eval(struct evaluation *evaluation, const struct expr *expr,
                    const struct vector *args, uint32_t row, struct datum *out, bool *is_null_out)
{
    struct json_item at;
    struct datum *steps;
    uint8_t *is_number;
    bool has_null;
    err_t err;

    TRY(steps_get(evaluation, expr, args, 1, row, &steps, &is_number, &has_null));
    *is_null_out = has_null || vector_is_null(&args[0], row);
    if (*is_null_out) {
        return ERR_OK;
    }
    TRY(json_item_open(evaluation->arena, false, vector_value(&args[0], row).bytes, &at));
    for (uint32_t i = 0; i < expr->subscripts->count && !*is_null_out; i++) {
        struct json_item from = at;
        int64_t index = steps[i].i;

        if (json_item_kind(&from) == JSON_ARRAY) {
            *is_null_out = (is_number[i] == 0 && !json_index_from_text(steps[i].bytes, &index)) ||
                           !json_item_index(&from, index, &at);
        } else {
            struct slice key =
                is_number[i] != 0
                    ? slice_from_text(arena_printf(evaluation->arena, "%lld", (long long)index))
                    : steps[i].bytes;

            *is_null_out = !json_item_find(&from, key, &at);
        }
    }
    *out = *is_null_out ? datum_int(0) : json_item_datum(&at);
out:
    return err;
}

static err_t
json_subscript_set_eval(struct evaluation *evaluation, const struct expr *expr,
                        const struct vector *args, uint32_t row, struct datum *out)
{
    struct call call = {
        .arena = evaluation->arena,
        .settings = evaluation->exec->settings,
        .env = evaluation->exec->env,
        .expr = expr,
    };
    struct datum *steps;
    uint8_t *is_number;
    bool has_null;
    err_t err;

    TRY(steps_get(evaluation, expr, args, 2, row, &steps, &is_number, &has_null));
    if (has_null) {
        return sql_error("22004", "jsonb subscript in assignment must not be null");
    }
    err = jsonb_subscript_set(&call, vector_value(&args[0], row), vector_is_null(&args[0], row),
                              steps, is_number, expr->subscripts->count,
                              vector_value(&args[1], row), vector_is_null(&args[1], row), out);
out:
    return err;
}

/* ---- All ---- */

static err_t
row_eval(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
         uint32_t row, struct datum *out, bool *is_null_out)
{
    *is_null_out = false;
    switch (expr->kind) {
    case EXPR_ARRAY:
        return literal_eval(evaluation, expr, args, row, out);
    case EXPR_ARRAY_CAST:
        *is_null_out = vector_is_null(&args[0], row);
        return *is_null_out ? ERR_OK : cast_eval(evaluation, expr, args, row, out);
    case EXPR_SUBSCRIPT:
        if (expr->args[0]->type->oid == OID_JSONB) {
            return json_subscript_eval(evaluation, expr, args, row, out, is_null_out);
        }
        return subscript_eval(evaluation, expr, args, row, out, is_null_out);
    default:
        if (expr->type->oid == OID_JSONB) {
            return json_subscript_set_eval(evaluation, expr, args, row, out);
        }
        return subscript_set_eval(evaluation, expr, args, row, out, is_null_out);
    }
}

err_t
eval_array(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
           uint32_t count, struct vector *out)
{
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    if (expr->kind == EXPR_ANY_ARRAY) {
        return eval_any(evaluation, expr, rows, count, args, out);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        struct datum value = datum_int(0);
        bool is_null;

        TRY(row_eval(evaluation, expr, args, row, &value, &is_null));
        value_set(out, row, value, is_null);
    }
out:
    return err;
}
