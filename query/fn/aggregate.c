/* query/fn/aggregate.c - aggregate functions. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* ---- count ---- */

static void
count_init(void *state)
{
    *(int64_t *)state = 0;
}

static err_t
count_add(void *state, struct call *call, const struct datum *args)
{
    (void)call;
    (void)args;
    ++*(int64_t *)state;
    return ERR_OK;
}

static err_t
count_merge(void *state, struct call *call, const void *other)
{
    (void)call;
    *(int64_t *)state += *(const int64_t *)other;
    return ERR_OK;
}

static err_t
count_get(const void *state, struct call *call, struct datum *out)
{
    (void)call;
    out->i = *(const int64_t *)state;
    return ERR_OK;
}

/* ---- sum and avg of integers, exact ---- */

struct int_sum {
    __int128 sum;
    uint64_t count;
};

static void
int_sum_init(void *state)
{
    *(struct int_sum *)state = (struct int_sum){0};
}

static err_t
int_sum_add(void *state, struct call *call, const struct datum *args)
{
    struct int_sum *sum = state;

    (void)call;
    sum->sum += args[0].i;
    sum->count++;
    return ERR_OK;
}

static err_t
int_sum_merge(void *state, struct call *call, const void *other)
{
    const struct int_sum *more = other;
    struct int_sum *sum = state;

    (void)call;
    sum->sum += more->sum;
    sum->count += more->count;
    return ERR_OK;
}

/* int2 and int4 sum to int8. */
static err_t
int_sum_get(const void *state, struct call *call, struct datum *out)
{
    const struct int_sum *sum = state;

    call->is_null = sum->count == 0;
    if (sum->sum > INT64_MAX || sum->sum < INT64_MIN) {
        return sql_error("22003", "bigint out of range");
    }
    out->i = (int64_t)sum->sum;
    return ERR_OK;
}

static err_t
int_sum_numeric(const struct int_sum *sum, struct arena *arena, struct numeric *out)
{
    const int64_t split = INT64_C(1000000000000000000);
    struct numeric high = numeric_from_int((int64_t)(sum->sum / split)), product;
    err_t err = numeric_multiply(arena, high, numeric_from_int(split), &product);

    if (err == ERR_OK) {
        err = numeric_add(arena, product, numeric_from_int((int64_t)(sum->sum % split)), out);
    }
    return err;
}

static err_t
int8_sum_get(const void *state, struct call *call, struct datum *out)
{
    const struct int_sum *sum = state;

    call->is_null = sum->count == 0;
    return int_sum_numeric(sum, call->arena, &out->n);
}

static err_t
int_avg_get(const void *state, struct call *call, struct datum *out)
{
    const struct int_sum *sum = state;
    struct numeric total;
    err_t err;

    call->is_null = sum->count == 0;
    if (call->is_null) {
        return ERR_OK;
    }
    err = int_sum_numeric(sum, call->arena, &total);
    return err != ERR_OK
               ? err
               : numeric_divide(call->arena, total, numeric_from_int((int64_t)sum->count), &out->n);
}

/* ---- Intervals ---- */

struct interval_sum {
    struct interval sum;
    uint64_t count;
};

static void
interval_sum_init(void *state)
{
    *(struct interval_sum *)state = (struct interval_sum){.count = 0};
}

static err_t
interval_sum_add(void *state, struct call *call, const struct datum *args)
{
    struct interval_sum *sum = state;

    (void)call;
    sum->count++;
    return interval_add(&sum->sum, &args[0].interval, &sum->sum);
}

static err_t
interval_sum_get(const void *state, struct call *call, struct datum *out)
{
    const struct interval_sum *sum = state;

    call->is_null = sum->count == 0;
    out->interval = sum->sum;
    return ERR_OK;
}

static err_t
interval_avg_get(const void *state, struct call *call, struct datum *out)
{
    const struct interval_sum *sum = state;

    call->is_null = sum->count == 0;
    return call->is_null ? ERR_OK : interval_divide(&sum->sum, (double)sum->count, &out->interval);
}

/* ---- numeric ---- */

struct numeric_state {
    struct numeric_sum sum;
    uint64_t count;
};

static void
numeric_state_init(void *state)
{
    struct numeric_state *sum = state;

    numeric_sum_init(&sum->sum);
    sum->count = 0;
}

static err_t
numeric_state_add(void *state, struct call *call, const struct datum *args)
{
    struct numeric_state *sum = state;

    sum->count++;
    return numeric_sum_add(&sum->sum, call->arena, args[0].n);
}

static err_t
numeric_state_merge(void *state, struct call *call, const void *other)
{
    const struct numeric_state *more = other;
    struct numeric_state *sum = state;

    sum->count += more->count;
    return numeric_sum_merge(&sum->sum, call->arena, &more->sum);
}

static void
numeric_state_pack(const void *state, const struct type *type, struct buf *out)
{
    (void)type;
    numeric_put(((const struct numeric_state *)state)->sum.rest, out);
}

static err_t
numeric_state_unpack(void *other, const struct type *type, struct arena *arena, struct slice bytes)
{
    (void)type;
    return numeric_get(bytes, arena, &((struct numeric_state *)other)->sum.rest);
}

static err_t
numeric_sum_result(const void *state, struct call *call, struct datum *out)
{
    const struct numeric_state *sum = state;

    call->is_null = sum->count == 0;
    return numeric_sum_get(&sum->sum, call->arena, &out->n);
}

static err_t
numeric_avg_result(const void *state, struct call *call, struct datum *out)
{
    const struct numeric_state *sum = state;
    struct numeric total;
    err_t err;

    call->is_null = sum->count == 0;
    if (call->is_null) {
        return ERR_OK;
    }
    err = numeric_sum_get(&sum->sum, call->arena, &total);
    return err != ERR_OK
               ? err
               : numeric_divide(call->arena, total, numeric_from_int((int64_t)sum->count), &out->n);
}

/* ---- Variance of exact numbers: from the sums of values and of squares ---- */

struct numeric_spread {
    struct numeric_sum sum, squares;
    uint64_t count;
};

static void
numeric_spread_init(void *state)
{
    struct numeric_spread *spread = state;

    numeric_sum_init(&spread->sum);
    numeric_sum_init(&spread->squares);
    spread->count = 0;
}

static err_t
numeric_spread_add(void *state, struct call *call, const struct datum *args)
{
    struct numeric_spread *spread = state;
    struct numeric square;
    err_t err = numeric_multiply(call->arena, args[0].n, args[0].n, &square);

    spread->count++;
    if (err == ERR_OK) {
        err = numeric_sum_add(&spread->sum, call->arena, args[0].n);
    }
    return err != ERR_OK ? err : numeric_sum_add(&spread->squares, call->arena, square);
}

static err_t
int_spread_add(void *state, struct call *call, const struct datum *args)
{
    const struct datum value = datum_numeric(numeric_from_int(args[0].i));

    return numeric_spread_add(state, call, &value);
}

/* (n * squares - sum^2) / (n * divisor); its root, with as many digits, for a deviation. */
static err_t
numeric_spread_get(const struct numeric_spread *spread, struct call *call, uint64_t divisor,
                   bool is_root, struct datum *out)
{
    struct numeric n = numeric_from_int((int64_t)spread->count);
    struct numeric sum, squares, below;
    uint16_t scale;
    err_t err = ERR_OK;

    call->is_null = divisor == 0 || spread->count == 0;
    if (call->is_null) {
        return ERR_OK;
    }
    TRY(numeric_sum_get(&spread->sum, call->arena, &sum));
    TRY(numeric_sum_get(&spread->squares, call->arena, &squares));
    TRY(numeric_multiply(call->arena, sum, sum, &sum));
    TRY(numeric_multiply(call->arena, squares, n, &squares));
    TRY(numeric_subtract(call->arena, squares, sum, &squares));
    if (numeric_sign(squares) <= 0) {
        out->n = numeric_from_int(0);
        return ERR_OK;
    }
    TRY(numeric_multiply(call->arena, n, numeric_from_int((int64_t)divisor), &below));
    TRY(numeric_divide(call->arena, squares, below, &out->n));
    if (is_root) {
        scale = out->n.scale;
        TRY(numeric_sqrt(call->arena, out->n, &out->n));
        err = numeric_round(call->arena, out->n, scale, &out->n);
    }
out:
    return err;
}

#define NUMERIC_SPREAD(name, less, is_root)                                                        \
    static err_t numeric_##name##_get(const void *state, struct call *call, struct datum *out)     \
    {                                                                                              \
        const struct numeric_spread *spread = state;                                               \
                                                                                                   \
        return numeric_spread_get(spread, call, spread->count - (spread->count > 0 ? (less) : 0),  \
                                  (is_root), out);                                                 \
    }
NUMERIC_SPREAD(var_pop, 0, false)
NUMERIC_SPREAD(var_samp, 1, false)
NUMERIC_SPREAD(stddev_pop, 0, true)
NUMERIC_SPREAD(stddev_samp, 1, true)

/* ---- Floating point. avg by Youngs and Cramer's sums, as PostgreSQL: count, sum, squares ---- */

struct float_sum {
    double sum, squares;
    uint64_t count;
};

static void
float_sum_init(void *state)
{
    *(struct float_sum *)state = (struct float_sum){0};
}

static err_t
float_sum_add(void *state, struct call *call, const struct datum *args)
{
    struct float_sum *sum = state;
    double value = args[0].f, before = sum->sum;
    double n = (double)sum->count + 1;

    (void)call;
    sum->sum += value;
    if (sum->count > 0) {
        double step = value * n - sum->sum;

        sum->squares += step * step / (n * (n - 1));
    }
    if (isinf(sum->sum) && !isinf(value) && !isinf(before)) {
        return sql_error("22003", "value out of range: overflow");
    }
    sum->count++;
    return ERR_OK;
}

static err_t
float_sum_get(const void *state, struct call *call, struct datum *out)
{
    const struct float_sum *sum = state;

    call->is_null = sum->count == 0;
    out->f = call->expr->type->oid == OID_FLOAT4 ? (double)(float)sum->sum : sum->sum;
    return ERR_OK;
}

static err_t
float_avg_get(const void *state, struct call *call, struct datum *out)
{
    const struct float_sum *sum = state;

    call->is_null = sum->count == 0;
    out->f = call->is_null ? 0 : sum->sum / (double)sum->count;
    return ERR_OK;
}

#define FLOAT_SPREAD(name, least, expression)                                                      \
    static err_t float_##name##_get(const void *state, struct call *call, struct datum *out)       \
    {                                                                                              \
        const struct float_sum *sum = state;                                                       \
        double n = (double)sum->count;                                                             \
                                                                                                   \
        call->is_null = sum->count < (least);                                                      \
        out->f = call->is_null ? 0 : (expression);                                                 \
        return ERR_OK;                                                                             \
    }
FLOAT_SPREAD(var_pop, 1, sum->squares / n)
FLOAT_SPREAD(var_samp, 2, sum->squares / (n - 1))
FLOAT_SPREAD(stddev_pop, 1, sqrt(sum->squares / n))
FLOAT_SPREAD(stddev_samp, 2, sqrt(sum->squares / (n - 1)))

/* ---- min and max of any type: the value kept lies in the aggregation's arena ---- */

struct extreme {
    struct datum value;
    bool is_there;
};

static void
extreme_init(void *state)
{
    *(struct extreme *)state = (struct extreme){.is_there = false};
}

static err_t
extreme_add(void *state, struct call *call, const struct datum *args, int direction)
{
    const struct type *type = call->expr->type;
    struct extreme *extreme = state;

    if (!extreme->is_there || type->compare(type, args[0], extreme->value) * direction > 0) {
        extreme->value = type_copy(type, args[0], call->arena);
        extreme->is_there = true;
    }
    return ERR_OK;
}

static err_t
min_add(void *state, struct call *call, const struct datum *args)
{
    return extreme_add(state, call, args, -1);
}

static err_t
max_add(void *state, struct call *call, const struct datum *args)
{
    return extreme_add(state, call, args, 1);
}

static void
extreme_pack(const void *state, const struct type *type, struct buf *out)
{
    const struct extreme *extreme = state;

    if (extreme->is_there && type->rep == REP_BYTES) {
        buf_append(out, extreme->value.bytes.data, extreme->value.bytes.size);
    } else if (extreme->is_there && type->rep == REP_NUMERIC) {
        numeric_put(extreme->value.n, out);
    }
}

static err_t
extreme_unpack(void *other, const struct type *type, struct arena *arena, struct slice bytes)
{
    struct extreme *extreme = other;

    if (extreme->is_there && type->rep == REP_BYTES) {
        extreme->value.bytes = bytes;
    } else if (extreme->is_there && type->rep == REP_NUMERIC) {
        return numeric_get(bytes, arena, &extreme->value.n);
    }
    return ERR_OK;
}

static err_t
min_merge(void *state, struct call *call, const void *other)
{
    const struct extreme *more = other;

    return more->is_there ? min_add(state, call, &more->value) : ERR_OK;
}

static err_t
max_merge(void *state, struct call *call, const void *other)
{
    const struct extreme *more = other;

    return more->is_there ? max_add(state, call, &more->value) : ERR_OK;
}

static err_t
extreme_get(const void *state, struct call *call, struct datum *out)
{
    const struct extreme *extreme = state;

    call->is_null = !extreme->is_there;
    *out = extreme->value;
    return ERR_OK;
}

/* ---- bool_and, bool_or ---- */

static err_t
bool_and_add(void *state, struct call *call, const struct datum *args)
{
    struct extreme *both = state;

    (void)call;
    both->value.i = both->is_there ? both->value.i & args[0].i : args[0].i;
    both->is_there = true;
    return ERR_OK;
}

static err_t
bool_or_add(void *state, struct call *call, const struct datum *args)
{
    struct extreme *any = state;

    (void)call;
    any->value.i = any->is_there ? any->value.i | args[0].i : args[0].i;
    any->is_there = true;
    return ERR_OK;
}

static err_t
bool_and_merge(void *state, struct call *call, const void *other)
{
    const struct extreme *more = other;

    return more->is_there ? bool_and_add(state, call, &more->value) : ERR_OK;
}

static err_t
bool_or_merge(void *state, struct call *call, const void *other)
{
    const struct extreme *more = other;

    return more->is_there ? bool_or_add(state, call, &more->value) : ERR_OK;
}

/* ---- string_agg ---- */

struct joined {
    struct slice text;
    size_t capacity;
    bool is_there;
};

static void
joined_init(void *state)
{
    *(struct joined *)state = (struct joined){.is_there = false};
}

static err_t
joined_append(struct joined *joined, struct arena *arena, struct slice part)
{
    size_t size = joined->text.size + part.size;

    if (size > joined->capacity) {
        size_t capacity = MAX((size_t)256, size * 2);
        uint8_t *grown = arena_alloc(arena, capacity);

        if (grown == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (joined->text.size > 0) {
            memcpy(grown, joined->text.data, joined->text.size);
        }
        joined->text.data = grown;
        joined->capacity = capacity;
    }
    if (part.size > 0) {
        memcpy((uint8_t *)(uintptr_t)joined->text.data + joined->text.size, part.data, part.size);
    }
    joined->text.size = size;
    return ERR_OK;
}

static err_t
joined_add(void *state, struct call *call, const struct datum *args)
{
    struct joined *joined = state;
    err_t err = ERR_OK;

    if (call->nulls[0] != 0) {
        return ERR_OK;
    }
    if (joined->is_there && call->nulls[1] == 0) {
        err = joined_append(joined, call->arena, args[1].bytes);
    }
    joined->is_there = true;
    return err != ERR_OK ? err : joined_append(joined, call->arena, args[0].bytes);
}

static err_t
joined_get(const void *state, struct call *call, struct datum *out)
{
    const struct joined *joined = state;

    call->is_null = !joined->is_there;
    out->bytes = joined->text;
    return ERR_OK;
}

/* ---- The table ---- */

#define AGG(aname, res, atype, state_type, i, a, g)                                                \
    {                                                                                              \
        .name = (aname), .result = (res), .arg = (atype), .state_bytes = sizeof(state_type),       \
        .init = (i), .add = (a), .get = (g)                                                        \
    }
/* One whose states can be merged. */
#define MERGED(aname, res, atype, state_type, kind, a, g, m)                                       \
    {                                                                                              \
        .name = (aname), .result = (res), .arg = (atype), .state_bytes = sizeof(state_type),       \
        .init = kind##_init, .add = (a), .get = (g), .merge = (m)                                  \
    }
#define EXTREME(aname, a, m)                                                                       \
    {                                                                                              \
        .name = (aname), .result = OID_ANY, .arg = OID_ANY, .state_bytes = sizeof(struct extreme), \
        .init = extreme_init, .add = (a), .get = extreme_get, .merge = (m), .pack = extreme_pack,  \
        .unpack = extreme_unpack                                                                   \
    }
#define SPREAD_OF(aname, res, atype, state_type, kind, add, g)                                     \
    AGG(aname, res, atype, struct state_type, kind##_init, add, g)
#define SPREAD(aname, g)                                                                           \
    SPREAD_OF(aname, OID_NUMERIC, OID_NUMERIC, numeric_spread, numeric_spread, numeric_spread_add, \
              numeric_##g),                                                                        \
        SPREAD_OF(aname, OID_NUMERIC, OID_INT8, numeric_spread, numeric_spread, int_spread_add,    \
                  numeric_##g),                                                                    \
        SPREAD_OF(aname, OID_NUMERIC, OID_INT4, numeric_spread, numeric_spread, int_spread_add,    \
                  numeric_##g),                                                                    \
        SPREAD_OF(aname, OID_NUMERIC, OID_INT2, numeric_spread, numeric_spread, int_spread_add,    \
                  numeric_##g),                                                                    \
        SPREAD_OF(aname, OID_FLOAT8, OID_FLOAT4, float_sum, float_sum, float_sum_add, float_##g),  \
        SPREAD_OF(aname, OID_FLOAT8, OID_FLOAT8, float_sum, float_sum, float_sum_add, float_##g)
#define INT_AGG(aname, res, g)                                                                     \
    MERGED(aname, res, OID_INT4, struct int_sum, int_sum, int_sum_add, g, int_sum_merge),          \
        MERGED(aname, res, OID_INT2, struct int_sum, int_sum, int_sum_add, g, int_sum_merge)
#define NUMERIC_AGG(aname, g)                                                                      \
    {                                                                                              \
        .name = (aname), .result = OID_NUMERIC, .arg = OID_NUMERIC,                                \
        .state_bytes = sizeof(struct numeric_state), .init = numeric_state_init,                   \
        .add = numeric_state_add, .get = (g), .merge = numeric_state_merge,                        \
        .pack = numeric_state_pack, .unpack = numeric_state_unpack                                 \
    }

static const struct aggregate_function rows[] = {
    MERGED("count", OID_INT8, 0, int64_t, count, count_add, count_get, count_merge),
    MERGED("count", OID_INT8, OID_ANY, int64_t, count, count_add, count_get, count_merge),
    INT_AGG("sum", OID_INT8, int_sum_get),
    MERGED("sum", OID_NUMERIC, OID_INT8, struct int_sum, int_sum, int_sum_add, int8_sum_get,
           int_sum_merge),
    NUMERIC_AGG("sum", numeric_sum_result),
    AGG("sum", OID_FLOAT4, OID_FLOAT4, struct float_sum, float_sum_init, float_sum_add,
        float_sum_get),
    AGG("sum", OID_FLOAT8, OID_FLOAT8, struct float_sum, float_sum_init, float_sum_add,
        float_sum_get),
    INT_AGG("avg", OID_NUMERIC, int_avg_get),
    MERGED("avg", OID_NUMERIC, OID_INT8, struct int_sum, int_sum, int_sum_add, int_avg_get,
           int_sum_merge),
    NUMERIC_AGG("avg", numeric_avg_result),
    AGG("sum", OID_INTERVAL, OID_INTERVAL, struct interval_sum, interval_sum_init, interval_sum_add,
        interval_sum_get),
    AGG("avg", OID_INTERVAL, OID_INTERVAL, struct interval_sum, interval_sum_init, interval_sum_add,
        interval_avg_get),
    AGG("avg", OID_FLOAT8, OID_FLOAT4, struct float_sum, float_sum_init, float_sum_add,
        float_avg_get),
    AGG("avg", OID_FLOAT8, OID_FLOAT8, struct float_sum, float_sum_init, float_sum_add,
        float_avg_get),
    EXTREME("min", min_add, min_merge),
    EXTREME("max", max_add, max_merge),
    MERGED("bool_and", OID_BOOL, OID_BOOL, struct extreme, extreme, bool_and_add, extreme_get,
           bool_and_merge),
    MERGED("every", OID_BOOL, OID_BOOL, struct extreme, extreme, bool_and_add, extreme_get,
           bool_and_merge),
    MERGED("bool_or", OID_BOOL, OID_BOOL, struct extreme, extreme, bool_or_add, extreme_get,
           bool_or_merge),
    SPREAD("var_pop", var_pop_get),
    SPREAD("var_samp", var_samp_get),
    SPREAD("variance", var_samp_get),
    SPREAD("stddev_pop", stddev_pop_get),
    SPREAD("stddev_samp", stddev_samp_get),
    SPREAD("stddev", stddev_samp_get),
    {.name = "string_agg",
     .result = OID_TEXT,
     .arg = OID_TEXT,
     .arg2 = OID_TEXT,
     .state_bytes = sizeof(struct joined),
     .takes_nulls = true,
     .init = joined_init,
     .add = joined_add,
     .get = joined_get},
};
const struct aggregate_part fn_aggregates_math = {rows, sizeof(rows) / sizeof(rows[0])};
