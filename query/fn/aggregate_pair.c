/* query/fn/aggregate_pair.c - aggregates of pairs (regr_*, corr, covar_*), and of bits. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* Sums of Youngs and Cramer, which stay exact longer than those of squares. */
struct pair_sums {
    double n, x, xx, y, yy, xy;
};

static void
pair_init(void *state)
{
    *(struct pair_sums *)state = (struct pair_sums){0};
}

/* Arguments: y, x. */
static err_t
pair_add(void *state, struct call *call, const struct datum *args)
{
    struct pair_sums *sums = state, before = *sums;
    double y = args[0].f, x = args[1].f;

    (void)call;
    sums->n += 1;
    sums->x += x;
    sums->y += y;
    if (before.n > 0) {
        double x_step = x * sums->n - sums->x, y_step = y * sums->n - sums->y;
        double scale = 1.0 / (sums->n * before.n);

        sums->xx += x_step * x_step * scale;
        sums->yy += y_step * y_step * scale;
        sums->xy += x_step * y_step * scale;
        if ((isinf(sums->x) || isinf(sums->y) || isinf(sums->xx) || isinf(sums->yy) ||
             isinf(sums->xy)) &&
            !isinf(before.x) && !isinf(before.y) && !isinf(x) && !isinf(y)) {
            return sql_error("22003", "value out of range: overflow");
        }
        return ERR_OK;
    }
    if (!isfinite(x)) {
        sums->xx = sums->xy = (double)NAN;
    }
    if (!isfinite(y)) {
        sums->yy = sums->xy = (double)NAN;
    }
    return ERR_OK;
}

#define PAIR(name, is_missing, expression)                                                         \
    static err_t pair_##name(const void *state, struct call *call, struct datum *out)              \
    {                                                                                              \
        const struct pair_sums *s = state;                                                         \
                                                                                                   \
        call->is_null = (is_missing);                                                              \
        out->f = call->is_null ? 0 : (expression);                                                 \
        return ERR_OK;                                                                             \
    }
PAIR(sxx, s->n < 1, s->xx)
PAIR(syy, s->n < 1, s->yy)
PAIR(sxy, s->n < 1, s->xy)
PAIR(avgx, s->n < 1, s->x / s->n)
PAIR(avgy, s->n < 1, s->y / s->n)
PAIR(covar_pop, s->n < 1, s->xy / s->n)
PAIR(covar_samp, s->n < 2, s->xy / (s->n - 1))
PAIR(corr, s->n < 1 || s->xx == 0 || s->yy == 0, s->xy / sqrt(s->xx * s->yy))
PAIR(r2, s->n < 1 || s->xx == 0, s->yy == 0 ? 1 : s->xy * s->xy / (s->xx * s->yy))
PAIR(slope, s->n < 1 || s->xx == 0, s->xy / s->xx)
PAIR(intercept, s->n < 1 || s->xx == 0, (s->y - s->x * s->xy / s->xx) / s->n)

static err_t
pair_count(const void *state, struct call *call, struct datum *out)
{
    (void)call;
    out->i = (int64_t)((const struct pair_sums *)state)->n;
    return ERR_OK;
}

/* ---- Bits ---- */

struct bits {
    int64_t value;
    bool is_there;
};

static void
bits_init(void *state)
{
    *(struct bits *)state = (struct bits){0};
}

#define BITS(name, operation)                                                                      \
    static err_t bits_##name(void *state, struct call *call, const struct datum *args)             \
    {                                                                                              \
        struct bits *bits = state;                                                                 \
                                                                                                   \
        (void)call;                                                                                \
        bits->value = bits->is_there ? bits->value operation args[0].i : args[0].i;                \
        bits->is_there = true;                                                                     \
        return ERR_OK;                                                                             \
    }
BITS(and, &)
BITS(or, |)
BITS(xor, ^)

static err_t
bits_get(const void *state, struct call *call, struct datum *out)
{
    const struct bits *bits = state;

    call->is_null = !bits->is_there;
    out->i = bits->value;
    return ERR_OK;
}

/* ---- The table ---- */

#define PAIR_ROW(aname, type, g)                                                                   \
    {                                                                                              \
        .name = (aname), .result = (type), .arg = OID_FLOAT8, .arg2 = OID_FLOAT8,                  \
        .state_bytes = sizeof(struct pair_sums), .init = pair_init, .add = pair_add, .get = (g)    \
    }
#define BITS_ROW(aname, type, a)                                                                   \
    {                                                                                              \
        .name = (aname), .result = (type), .arg = (type), .state_bytes = sizeof(struct bits),      \
        .init = bits_init, .add = (a), .get = bits_get                                             \
    }
#define BITS_ROWS(aname, a)                                                                        \
    BITS_ROW(aname, OID_INT2, a), BITS_ROW(aname, OID_INT4, a), BITS_ROW(aname, OID_INT8, a)

static const struct aggregate_function rows[] = {
    PAIR_ROW("regr_count", OID_INT8, pair_count),
    PAIR_ROW("regr_sxx", OID_FLOAT8, pair_sxx),
    PAIR_ROW("regr_syy", OID_FLOAT8, pair_syy),
    PAIR_ROW("regr_sxy", OID_FLOAT8, pair_sxy),
    PAIR_ROW("regr_avgx", OID_FLOAT8, pair_avgx),
    PAIR_ROW("regr_avgy", OID_FLOAT8, pair_avgy),
    PAIR_ROW("regr_r2", OID_FLOAT8, pair_r2),
    PAIR_ROW("regr_slope", OID_FLOAT8, pair_slope),
    PAIR_ROW("regr_intercept", OID_FLOAT8, pair_intercept),
    PAIR_ROW("covar_pop", OID_FLOAT8, pair_covar_pop),
    PAIR_ROW("covar_samp", OID_FLOAT8, pair_covar_samp),
    PAIR_ROW("corr", OID_FLOAT8, pair_corr),
    BITS_ROWS("bit_and", bits_and),
    BITS_ROWS("bit_or", bits_or),
    BITS_ROWS("bit_xor", bits_xor),
};

const struct aggregate_part fn_aggregates_pair = {rows, sizeof(rows) / sizeof(rows[0])};
