/* query/fn/series.c - generate_series over numbers. */
#include "models/types/sql_error.h"
#include "query/fn/fn.h"
#include "query/fn/set.h"

#include "engine/base/poison.h"

/* ---- Integers ---- */

struct int_series {
    int64_t at, to, step;
    bool is_ended;
};

static err_t
int_start(struct set_call *call)
{
    struct int_series *series = call->state;

    *series = (struct int_series){
        .at = call->args[0].i,
        .to = call->args[1].i,
        .step = call->call.arg_count > 2 ? call->args[2].i : 1,
    };
    return series->step != 0 ? ERR_OK : sql_error("22023", "step size cannot equal zero");
}

static err_t
int_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    bool is_int4 = call->shape->types[0]->oid == OID_INT4;
    struct int_series *series = call->state;
    uint32_t count = 0;

    while (count < BATCH_ROWS_MAX && !series->is_ended) {
        if (series->step > 0 ? series->at > series->to : series->at < series->to) {
            series->is_ended = true;
            break;
        }
        columns[0].values[count++].i = series->at;
        /* What leaves the type ends the series. */
        series->is_ended = __builtin_add_overflow(series->at, series->step, &series->at) ||
                           (is_int4 && (series->at > INT32_MAX || series->at < INT32_MIN));
    }
    *count_out = count;
    return ERR_OK;
}

static const struct set_function int_series_set = {
    .state_bytes = sizeof(struct int_series),
    .start = int_start,
    .next = int_next,
};

/* ---- numeric ---- */

struct numeric_series {
    struct numeric at, to, step;
    int direction;
    bool is_ended;
};

static err_t
numeric_check(struct numeric value, const char *what)
{
    if (value.kind == NUMERIC_NAN) {
        return sql_error("22023", "%s value cannot be NaN", what);
    }
    return numeric_is_finite(value) ? ERR_OK
                                    : sql_error("22023", "%s value cannot be infinity", what);
}

static err_t
step_check(struct numeric step)
{
    if (step.kind == NUMERIC_NAN) {
        return sql_error("22023", "step size cannot be NaN");
    }
    if (!numeric_is_finite(step)) {
        return sql_error("22023", "step size cannot be infinity");
    }
    return numeric_sign(step) != 0 ? ERR_OK : sql_error("22023", "step size cannot equal zero");
}

static err_t
numeric_start(struct set_call *call)
{
    struct numeric_series *series = call->state;
    err_t err;

    *series = (struct numeric_series){
        .at = call->args[0].n,
        .to = call->args[1].n,
        .step = call->call.arg_count > 2 ? call->args[2].n : numeric_from_int(1),
    };
    TRY(numeric_check(series->at, "start"));
    TRY(numeric_check(series->to, "stop"));
    TRY(step_check(series->step));
    series->direction = numeric_sign(series->step);
out:
    return err;
}

static err_t
numeric_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    const struct type *type = type_by_oid(OID_NUMERIC);
    struct numeric_series *series = call->state;
    uint32_t count = 0;
    err_t err = ERR_OK;

    while (count < BATCH_ROWS_MAX && !series->is_ended) {
        if (numeric_compare(series->at, series->to) * series->direction > 0) {
            series->is_ended = true;
            break;
        }
        columns[0].values[count++].n = series->at;
        TRY(numeric_add(call->arena, series->at, series->step, &series->at));
    }
    /* The next one outlives the chunk. */
    series->at = type_copy(type, datum_numeric(series->at), call->call.arena).n;
    *count_out = count;
out:
    return err;
}

static const struct set_function numeric_series_set = {
    .state_bytes = sizeof(struct numeric_series),
    .start = numeric_start,
    .next = numeric_next,
};

/* ---- The table ---- */

#define SERIES(type, rows_of)                                                                      \
    {NULL,                                                                                         \
     {.name = "generate_series",                                                                   \
      .result = (type),                                                                            \
      .args = {(type), (type)},                                                                    \
      .arg_count = 2,                                                                              \
      .is_strict = true,                                                                           \
      .set = &(rows_of)}},                                                                         \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = "generate_series", .result = (type), .args = {(type), (type), (type)},         \
            .arg_count = 3, .is_strict = true, .set = &(rows_of)                                   \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    SERIES(OID_INT4, int_series_set),
    SERIES(OID_INT8, int_series_set),
    SERIES(OID_NUMERIC, numeric_series_set),
};

const struct function_part fn_part_series = {rows, sizeof(rows) / sizeof(rows[0])};
