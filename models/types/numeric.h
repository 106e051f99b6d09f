/* models/types/numeric.h - exact decimal numbers, as PostgreSQL's numeric.
 *
 * A number is an integer, the *mantissa*, times 10^-scale. The scale is how many digits are shown
 * behind the point: it is kept, but 1.50 equals 1.5. A mantissa of 64 bits lies in the value
 * itself; larger ones are GMP's limbs, in the arena of whoever computed them. Results have
 * the digits and the scale that PostgreSQL 15 gives them (src/backend/utils/adt/numeric.c documents
 * its rules); functions of analysis are rounded correctly, by MPFR.
 *
 * Errors are ERR_SQL: 22003 out of range, 22012 division by zero, 2201E, 2201F, 22P02. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum numeric_kind {
    NUMERIC_SMALL,
    NUMERIC_BIG, /* Only when the mantissa does not fit 64 bits. */
    NUMERIC_NEGATIVE_INFINITY,
    NUMERIC_INFINITY,
    NUMERIC_NAN,
};

enum {
    NUMERIC_SCALE_MAX = 16383,           /* Digits behind the point. */
    NUMERIC_INTEGER_DIGITS_MAX = 131072, /* Before it: 22003 above. */
    NUMERIC_PRECISION_MAX = 1000,        /* That a column may declare. */
};

struct numeric_big {
    bool is_negative;
    uint32_t limb_count;
    uint64_t limbs[]; /* The lowest first; the last is not 0. */
};

struct numeric {
    union {
        int64_t small;
        const struct numeric_big *big;
    };
    uint16_t scale;
    uint8_t kind; /* enum numeric_kind */
};

static inline struct numeric
numeric_from_int(int64_t value)
{
    return (struct numeric){.small = value, .kind = NUMERIC_SMALL};
}
/* By 15 significant digits, as PostgreSQL casts float8; float4: 6. */
err_t numeric_from_double(struct arena *arena, double value, int digits, struct numeric *out);
/* Spaces around it are skipped. 22P02, 22003. */
err_t numeric_from_text(struct arena *arena, struct slice text, struct numeric *out);
void numeric_to_text(struct numeric value, struct buf *out);
/* Rounded to the nearest, halves away from zero. False: out of range, or no finite number. */
bool numeric_to_int(struct numeric value, int64_t *out);
double numeric_to_double(struct numeric value);

/* NaN is equal to itself and above all other numbers. */
int numeric_compare(struct numeric a, struct numeric b);
/* Equal numbers have equal hashes, whatever their scales. */
uint64_t numeric_hash(struct numeric value);
int numeric_sign(struct numeric value); /* NaN: 1. */
static inline bool
numeric_is_finite(struct numeric value)
{
    return value.kind <= NUMERIC_BIG;
}

err_t numeric_add(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);
err_t numeric_subtract(struct arena *arena, struct numeric a, struct numeric b,
                       struct numeric *out);
err_t numeric_multiply(struct arena *arena, struct numeric a, struct numeric b,
                       struct numeric *out);
/* Scale as PostgreSQL chooses it: at least 16 significant digits. */
err_t numeric_divide(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);
/* The integer quotient, toward zero; the rest, which has the sign of a. */
err_t numeric_divide_integer(struct arena *arena, struct numeric a, struct numeric b,
                             struct numeric *out);
err_t numeric_modulo(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);
err_t numeric_negate(struct arena *arena, struct numeric a, struct numeric *out);
/* Scale may be negative: round(1234, -2) is 1200. */
err_t numeric_round(struct arena *arena, struct numeric a, int32_t scale, struct numeric *out);
err_t numeric_truncate(struct arena *arena, struct numeric a, int32_t scale, struct numeric *out);
err_t numeric_floor(struct arena *arena, struct numeric a, struct numeric *out);
err_t numeric_ceiling(struct arena *arena, struct numeric a, struct numeric *out);
err_t numeric_gcd(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);
err_t numeric_lcm(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);
err_t numeric_factorial(struct arena *arena, int64_t n, struct numeric *out);
/* The least scale that loses nothing. */
uint32_t numeric_min_scale(struct numeric value);

err_t numeric_sqrt(struct arena *arena, struct numeric a, struct numeric *out);
err_t numeric_exp(struct arena *arena, struct numeric a, struct numeric *out);
err_t numeric_ln(struct arena *arena, struct numeric a, struct numeric *out);
err_t numeric_log(struct arena *arena, struct numeric base, struct numeric a, struct numeric *out);
err_t numeric_power(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out);

/* numeric(precision, scale): rounds; 22003 with the detail that names the bound. */
err_t numeric_fit(struct arena *arena, struct numeric a, int32_t precision, int32_t scale,
                  struct numeric *out);

/* ---- Encodings ---- */

/* In rows: kind and scale, and the mantissa; with its length known from outside. */
void numeric_put(struct numeric value, struct buf *out);
/* Limbs are copied to the arena. ERR_CORRUPT. */
err_t numeric_get(struct slice bytes, struct arena *arena, struct numeric *out);
/* In keys: ordered by memcmp, self-delimiting; equal numbers have equal keys, so the scale is
 * lost. */
void numeric_key_put(struct numeric value, struct buf *out);
/* PostgreSQL's binary format: 16-bit number of digits, weight, sign, scale, digits of base 10,000.
 */
void numeric_send(struct numeric value, struct buf *out);
/* 22P03 for what is no such number. */
err_t numeric_receive(struct arena *arena, struct slice bytes, struct numeric *out);

/* ---- Sums: exact, without an allocation a row as long as they fit 128 bits. ---- */

struct numeric_sum {
    __int128 small;      /* With `scale`, when no big one has come. */
    struct numeric rest; /* What did not fit, added up; in the arena. */
    uint64_t nans, infinities, negative_infinities;
    uint16_t scale;     /* Of `small`. */
    uint16_t scale_max; /* Of all. */
};
void numeric_sum_init(struct numeric_sum *sum);
err_t numeric_sum_add(struct numeric_sum *sum, struct arena *arena, struct numeric value);
err_t numeric_sum_merge(struct numeric_sum *sum, struct arena *arena,
                        const struct numeric_sum *other);
err_t numeric_sum_get(const struct numeric_sum *sum, struct arena *arena, struct numeric *out);
