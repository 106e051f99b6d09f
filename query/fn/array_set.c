/* query/fn/array_set.c - functions that give the elements and subscripts of arrays as rows. */
#include "engine/base/assert.h"
#include "models/types/array.h"
#include "query/fn/array_sort.h"
#include "query/fn/fn.h"
#include "query/fn/set.h"

#include "engine/base/poison.h"

/* ---- unnest ---- */

static err_t
unnest_start(struct set_call *call)
{
    return array_open(call_arg_type(&call->call, 0), call->args[0].bytes, call->state);
}

static err_t
unnest_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct array_reader *reader = call->state;
    uint32_t count = MIN(reader->count - reader->next, (uint32_t)BATCH_ROWS_MAX);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        bool is_null;

        TRY(array_next(reader, call->arena, &columns[0].values[i], &is_null));
        columns[0].nulls[i] = is_null;
    }
    *count_out = count;
out:
    return err;
}

static const struct set_function unnest_set = {
    .state_bytes = sizeof(struct array_reader),
    .start = unnest_start,
    .next = unnest_next,
};

/* ---- generate_subscripts ---- */

struct subscripts_run {
    int64_t at, end, step;
};

static err_t
subscripts_start(struct set_call *call)
{
    struct subscripts_run *run = call->state;
    bool is_reverse = call->call.arg_count > 2 && call->args[2].i != 0;
    struct array_reader reader;
    err_t err = array_open(call_arg_type(&call->call, 0), call->args[0].bytes, &reader);
    int64_t dimension = call->args[1].i - 1, low, high;

    if (err != ERR_OK || dimension < 0 || dimension >= reader.shape.dimensions) {
        return err;
    }
    low = reader.shape.lower[dimension];
    high = low + reader.shape.sizes[dimension] - 1;
    run->step = is_reverse ? -1 : 1;
    run->at = is_reverse ? high : low;
    run->end = (is_reverse ? low : high) + run->step;
    return ERR_OK;
}

static err_t
subscripts_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct subscripts_run *run = call->state;
    uint32_t count = 0;

    for (; count < BATCH_ROWS_MAX && run->at != run->end; run->at += run->step) {
        columns[0].values[count++] = datum_int(run->at);
    }
    *count_out = count;
    return ERR_OK;
}

static const struct set_function subscripts_set = {
    .state_bytes = sizeof(struct subscripts_run),
    .start = subscripts_start,
    .next = subscripts_next,
};

/* ---- string_to_table ---- */

struct pieces_run {
    struct datum *values;
    uint8_t *nulls;
    uint32_t at, count;
};

static err_t
pieces_start(struct set_call *call)
{
    struct pieces_run *run = call->state;

    return call->call.nulls[0] != 0
               ? ERR_OK
               : fn_string_split(&call->call, call->args, &run->values, &run->nulls, &run->count);
}

static err_t
pieces_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct pieces_run *run = call->state;
    uint32_t count = MIN(run->count - run->at, (uint32_t)BATCH_ROWS_MAX);

    for (uint32_t i = 0; i < count; i++, run->at++) {
        columns[0].values[i] = run->values[run->at];
        columns[0].nulls[i] = run->nulls[run->at];
    }
    *count_out = count;
    return ERR_OK;
}

static const struct set_function pieces_set = {
    .state_bytes = sizeof(struct pieces_run),
    .start = pieces_start,
    .next = pieces_next,
};

/* ---- The table ---- */

#define SET(fname, res, nargs, strict, rows_of, ...)                                               \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = (strict), .set = &(rows_of)                                               \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    SET("unnest", OID_ANYELEMENT, 1, true, unnest_set, OID_ANYARRAY),
    SET("generate_subscripts", OID_INT4, 2, true, subscripts_set, OID_ANYARRAY, OID_INT4),
    SET("generate_subscripts", OID_INT4, 3, true, subscripts_set, OID_ANYARRAY, OID_INT4, OID_BOOL),
    SET("string_to_table", OID_TEXT, 2, false, pieces_set, OID_TEXT, OID_TEXT),
    SET("string_to_table", OID_TEXT, 3, false, pieces_set, OID_TEXT, OID_TEXT, OID_TEXT),
};

const struct function_part fn_part_array_set = {rows, sizeof(rows) / sizeof(rows[0])};
