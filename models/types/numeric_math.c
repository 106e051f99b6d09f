/* models/types/numeric_math.c - roots, powers and logarithms of decimal numbers.
 *
 * The scale of a result is PostgreSQL's: 16 significant digits at least, and no fewer behind the
 * point than the arguments have. Values are computed by MPFR with guard digits and rounded once. */
#include <math.h>
#include <mpfr.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "models/types/numeric.h"
#include "models/types/numeric_internal.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum {
    SIGNIFICANT_DIGITS = 16,
    SHOWN_SCALE_MAX = 1000,
    RESULT_SCALE_MAX = 2000,
    GUARD_BITS = 64,
    FACTORIAL_MAX = 32177, /* PostgreSQL's bound: more digits than a numeric has. */
    WORD_DIGITS = 4,       /* Of PostgreSQL's base. */
};

static const double LOG10_E = 0.434294481903252;
static const double LN_10 = 2.302585092994046;

static uint32_t
scale_of(int32_t scale, uint32_t least)
{
    scale = MAX(scale, (int32_t)least);
    return (uint32_t)MIN(MAX(scale, 0), (int32_t)SHOWN_SCALE_MAX);
}

static struct numeric
special(enum numeric_kind kind)
{
    return (struct numeric){.kind = (uint8_t)kind};
}

/* PostgreSQL's weight: words of four digits before the first one, counted from the point. */
static int32_t
weight_of(struct numeric value)
{
    int32_t place = numeric_first_place(value);

    return (place - 1 - (place < 1 ? WORD_DIGITS - 1 : 0)) / WORD_DIGITS;
}

/* ---- MPFR ---- */

static mpfr_prec_t
bits_of(int32_t digits)
{
    return (mpfr_prec_t)((double)MAX(digits, 1) * 3.3219280948873626) + GUARD_BITS;
}

static void
float_set(mpfr_ptr out, struct numeric value)
{
    struct mantissa mantissa;
    mpz_t power;

    mpfr_set_z(out, mantissa_of(&mantissa, value), MPFR_RNDN);
    if (value.scale > 0) {
        mpz_init(power);
        mpz_ui_pow_ui(power, 10, value.scale);
        mpfr_div_z(out, out, power, MPFR_RNDN);
        mpz_clear(power);
    }
}

/* Bits in which the value is exact or nearly so. */
static mpfr_prec_t
bits_for(struct numeric value, int32_t digits)
{
    struct mantissa mantissa;
    size_t own = mpz_sizeinbase(mantissa_of(&mantissa, value), 2);

    return MAX(bits_of(digits), (mpfr_prec_t)own + GUARD_BITS);
}

/* Rounded to `scale` digits behind the point. */
static err_t
float_get(struct arena *arena, mpfr_ptr value, uint32_t scale, struct numeric *out)
{
    mpz_t power, mantissa;
    err_t err;

    if (!mpfr_number_p(value)) {
        return numeric_overflow();
    }
    mpz_inits(power, mantissa, NULL);
    mpz_ui_pow_ui(power, 10, scale);
    mpfr_mul_z(value, value, power, MPFR_RNDN);
    mpfr_get_z(mantissa, value, MPFR_RNDNA);
    err = numeric_from_mpz(arena, mantissa, scale, out);
    mpz_clears(power, mantissa, NULL);
    return err;
}

/* ---- Root ---- */

err_t
numeric_sqrt(struct arena *arena, struct numeric a, struct numeric *out)
{
    struct mantissa mantissa;
    int32_t weight, shift;
    uint32_t scale;
    mpz_t x, root, rest;
    err_t err;

    if (a.kind == NUMERIC_NAN || a.kind == NUMERIC_INFINITY) {
        *out = a;
        return ERR_OK;
    }
    if (numeric_sign(a) < 0) {
        return sql_error("2201F", "cannot take square root of a negative number");
    }
    if (numeric_sign(a) == 0) {
        return numeric_round(arena, a, (int32_t)scale_of(SIGNIFICANT_DIGITS - 1, a.scale), out);
    }
    /* Decimal digits of the root before the point, as PostgreSQL estimates them. */
    weight = weight_of(a);
    weight = (weight + 1) * WORD_DIGITS / 2 - 1;
    scale = scale_of(SIGNIFICANT_DIGITS - weight, a.scale);
    shift = 2 * (int32_t)scale - (int32_t)a.scale; /* Not negative: scale >= a.scale. */
    mpz_init_set(x, mantissa_of(&mantissa, a));
    mpz_inits(root, rest, NULL);
    mpz_scale_up(x, (uint32_t)shift);
    mpz_sqrtrem(root, rest, x);
    if (mpz_cmp(rest, root) > 0) {
        mpz_add_ui(root, root, 1); /* Above root + 1/2. */
    }
    err = numeric_from_mpz(arena, root, scale, out);
    mpz_clears(x, root, rest, NULL);
    return err;
}

/* ---- Exponential and logarithms ---- */

err_t
numeric_exp(struct arena *arena, struct numeric a, struct numeric *out)
{
    double digits;
    uint32_t scale;
    mpfr_t x;
    err_t err;

    if (!numeric_is_finite(a)) {
        *out = a.kind == NUMERIC_NEGATIVE_INFINITY ? numeric_from_int(0) : a;
        return ERR_OK;
    }
    digits = numeric_to_double(a) * LOG10_E;
    digits = MIN(MAX(digits, -(double)RESULT_SCALE_MAX), (double)NUMERIC_INTEGER_DIGITS_MAX + 1);
    if (digits > NUMERIC_INTEGER_DIGITS_MAX) {
        return numeric_overflow();
    }
    scale = scale_of(SIGNIFICANT_DIGITS - (int32_t)digits, a.scale);
    mpfr_init2(x, bits_for(a, (int32_t)MAX(digits, 0.0) + (int32_t)scale));
    float_set(x, a);
    mpfr_exp(x, x, MPFR_RNDN);
    err = float_get(arena, x, scale, out);
    mpfr_clear(x);
    return err;
}

static err_t
logarithm_check(struct numeric a)
{
    if (numeric_sign(a) == 0) {
        return sql_error("2201E", "cannot take logarithm of zero");
    }
    if (numeric_sign(a) < 0) {
        return sql_error("2201E", "cannot take logarithm of a negative number");
    }
    return ERR_OK;
}

static int32_t
near_one_place(struct numeric a)
{
    struct numeric rest;
    struct arena arena;
    int32_t place = 0;

    arena_init(&arena, MEM_SESSIONS);
    if (numeric_subtract(&arena, a, numeric_from_int(1), &rest) == ERR_OK &&
        numeric_sign(rest) != 0) {
        place = numeric_first_place(rest) - 1;
    }
    arena_fini(&arena);
    return place;
}

/* The decimal place of the first digit of ln(a): near 1 that of a - 1, as PostgreSQL estimates. */
static int32_t
logarithm_place(struct numeric a)
{
    const struct numeric low = {.small = 9, .scale = 1}, high = {.small = 11, .scale = 1};
    double value;
    mpfr_t x;

    if (numeric_compare(a, low) >= 0 && numeric_compare(a, high) <= 0) {
        return near_one_place(a);
    }
    mpfr_init2(x, bits_for(a, SIGNIFICANT_DIGITS));
    float_set(x, a);
    mpfr_log(x, x, MPFR_RNDN);
    mpfr_abs(x, x, MPFR_RNDN);
    value = 0;
    if (!mpfr_zero_p(x)) {
        mpfr_log10(x, x, MPFR_RNDN);
        value = mpfr_get_d(x, MPFR_RNDN);
    }
    mpfr_clear(x);
    return (int32_t)value;
}

err_t
numeric_ln(struct arena *arena, struct numeric a, struct numeric *out)
{
    uint32_t scale;
    mpfr_t x;
    err_t err;

    if (a.kind == NUMERIC_NAN || a.kind == NUMERIC_INFINITY) {
        *out = a;
        return ERR_OK;
    }
    TRY(logarithm_check(a));
    scale = scale_of(SIGNIFICANT_DIGITS - logarithm_place(a), a.scale);
    mpfr_init2(x, bits_for(a, (int32_t)scale + SIGNIFICANT_DIGITS));
    float_set(x, a);
    mpfr_log(x, x, MPFR_RNDN);
    err = float_get(arena, x, scale, out);
    mpfr_clear(x);
out:
    return err;
}

/* One argument, or both, are not finite. */
static err_t
log_special(struct numeric base, struct numeric a, struct numeric *out)
{
    err_t err = ERR_OK;

    if (base.kind == NUMERIC_NAN || a.kind == NUMERIC_NAN) {
        *out = special(NUMERIC_NAN);
        return ERR_OK;
    }
    TRY(logarithm_check(base));
    TRY(logarithm_check(a));
    if (base.kind == NUMERIC_INFINITY) {
        *out = a.kind == NUMERIC_INFINITY ? special(NUMERIC_NAN) : numeric_from_int(0);
    } else {
        *out = special(NUMERIC_INFINITY);
    }
out:
    return err;
}

err_t
numeric_log(struct arena *arena, struct numeric base, struct numeric a, struct numeric *out)
{
    int32_t place_base, place_a;
    uint32_t scale;
    mpfr_prec_t bits;
    mpfr_t x, y;
    err_t err;

    if (!numeric_is_finite(base) || !numeric_is_finite(a)) {
        return log_special(base, a, out);
    }
    TRY(logarithm_check(base));
    TRY(logarithm_check(a));
    place_base = logarithm_place(base);
    place_a = logarithm_place(a);
    scale = scale_of(SIGNIFICANT_DIGITS - (place_a - place_base), MAX(base.scale, a.scale));
    bits = bits_of((int32_t)scale + SIGNIFICANT_DIGITS * 2);
    mpfr_init2(x, MAX(bits, bits_for(base, 1)));
    mpfr_init2(y, MAX(bits, bits_for(a, 1)));
    float_set(x, base);
    float_set(y, a);
    mpfr_log(x, x, MPFR_RNDN);
    mpfr_log(y, y, MPFR_RNDN);
    if (mpfr_zero_p(x)) {
        err = sql_error("22012", "division by zero");
    } else {
        mpfr_div(y, y, x, MPFR_RNDN);
        err = float_get(arena, y, scale, out);
    }
    mpfr_clears(x, y, (mpfr_ptr)NULL);
out:
    return err;
}

/* ---- Powers ---- */

static bool
is_integer(struct numeric value)
{
    return numeric_min_scale(value) == 0;
}

static bool
is_one(struct numeric value)
{
    return numeric_compare(value, numeric_from_int(1)) == 0;
}

static bool
is_odd(struct numeric value)
{
    struct mantissa mantissa;
    mpz_t x;
    bool odd;

    mpz_init_set(x, mantissa_of(&mantissa, value));
    mpz_scale_down(x, value.scale, false);
    odd = mpz_odd_p(x) != 0;
    mpz_clear(x);
    return odd;
}

/* POSIX's rules for pow(), as PostgreSQL has them. */
static void
power_special(struct numeric a, struct numeric b, struct numeric *out)
{
    int size; /* |a| beside 1. */
    struct numeric absolute = a;

    if (a.kind == NUMERIC_NAN) {
        *out = numeric_is_finite(b) && numeric_sign(b) == 0 ? numeric_from_int(1)
                                                            : special(NUMERIC_NAN);
        return;
    }
    if (b.kind == NUMERIC_NAN) {
        *out = numeric_is_finite(a) && is_one(a) ? numeric_from_int(1) : special(NUMERIC_NAN);
        return;
    }
    if (!numeric_is_finite(b)) {
        if (numeric_is_finite(a)) {
            struct numeric one = numeric_from_int(numeric_sign(a) < 0 ? -1 : 1);

            size = numeric_compare(absolute, one) * (numeric_sign(a) < 0 ? -1 : 1);
        } else {
            size = 1;
        }
        if (size == 0) {
            *out = numeric_from_int(1);
        } else if ((size > 0) == (b.kind == NUMERIC_INFINITY)) {
            *out = special(NUMERIC_INFINITY);
        } else {
            *out = numeric_from_int(0);
        }
        return;
    }
    /* a is an infinity, b is finite. */
    if (numeric_sign(b) == 0) {
        *out = numeric_from_int(1);
    } else if (numeric_sign(b) < 0) {
        *out = numeric_from_int(0);
    } else {
        *out = special(a.kind == NUMERIC_NEGATIVE_INFINITY && is_integer(b) && is_odd(b)
                           ? NUMERIC_NEGATIVE_INFINITY
                           : NUMERIC_INFINITY);
    }
}

static err_t
power_check(struct numeric a, struct numeric b)
{
    if (numeric_sign(a) == 0 && numeric_sign(b) < 0) {
        return sql_error("2201F", "zero raised to a negative power is undefined");
    }
    if (numeric_sign(a) < 0 && !is_integer(b)) {
        return sql_error("2201F", "a negative number raised to a non-integer power yields a "
                                  "complex result");
    }
    return ERR_OK;
}

/* Decimal digits of |a|^b before the point; negative: zeros behind it. */
static double
power_digits(struct numeric a, struct numeric b)
{
    double result;
    mpfr_t x, y;

    mpfr_init2(x, bits_for(a, SIGNIFICANT_DIGITS));
    mpfr_init2(y, bits_for(b, SIGNIFICANT_DIGITS));
    float_set(x, a);
    float_set(y, b);
    mpfr_abs(x, x, MPFR_RNDN);
    mpfr_log(x, x, MPFR_RNDN);
    mpfr_mul(x, x, y, MPFR_RNDN);
    result = mpfr_get_d(x, MPFR_RNDN) / LN_10;
    mpfr_clears(x, y, (mpfr_ptr)NULL);
    return result;
}

err_t
numeric_power(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    double digits;
    uint32_t least = MAX(a.scale, b.scale);
    uint32_t scale;
    int64_t exponent;
    mpfr_prec_t bits;
    mpfr_t x, y;
    err_t err;

    if (a.kind != NUMERIC_NAN && numeric_is_finite(b)) {
        TRY(power_check(a, b));
    }
    if (!numeric_is_finite(a) || !numeric_is_finite(b)) {
        power_special(a, b, out);
        return ERR_OK;
    }
    if (numeric_sign(a) == 0) {
        *out = numeric_from_int(numeric_sign(b) == 0);
        return numeric_round(arena, *out, (int32_t)scale_of(SIGNIFICANT_DIGITS, least), out);
    }
    digits = power_digits(a, b);
    if (digits > NUMERIC_INTEGER_DIGITS_MAX) {
        err = numeric_overflow();
        goto out;
    }
    digits = MAX(digits, -(double)RESULT_SCALE_MAX);
    if (is_integer(b) && numeric_to_int(b, &exponent) && exponent == (int32_t)exponent) {
        scale = scale_of(SIGNIFICANT_DIGITS, a.scale);
    } else {
        scale = scale_of(SIGNIFICANT_DIGITS - (int32_t)digits, least);
    }
    bits = bits_of((int32_t)MAX(digits, 0.0) + (int32_t)scale + SIGNIFICANT_DIGITS);
    mpfr_init2(x, MAX(bits, bits_for(a, 1)));
    mpfr_init2(y, MAX(bits, bits_for(b, 1)));
    float_set(x, a);
    float_set(y, b);
    mpfr_pow(x, x, y, MPFR_RNDN);
    err = float_get(arena, x, scale, out);
    mpfr_clears(x, y, (mpfr_ptr)NULL);
out:
    return err;
}

/* ---- Integers ---- */

/* Both as integers at the larger scale. */
static err_t
divisor(struct arena *arena, struct numeric a, struct numeric b, bool is_least_multiple,
        struct numeric *out)
{
    struct mantissa ma, mb;
    uint32_t scale = MAX(a.scale, b.scale);
    mpz_t x, y;
    err_t err;

    if (!numeric_is_finite(a) || !numeric_is_finite(b)) {
        *out = special(NUMERIC_NAN);
        return ERR_OK;
    }
    mpz_init_set(x, mantissa_of(&ma, a));
    mpz_init_set(y, mantissa_of(&mb, b));
    mpz_scale_up(x, scale - a.scale);
    mpz_scale_up(y, scale - b.scale);
    if (is_least_multiple) {
        mpz_lcm(x, x, y);
    } else {
        mpz_gcd(x, x, y);
    }
    err = numeric_from_mpz(arena, x, scale, out);
    mpz_clears(x, y, NULL);
    return err;
}

err_t
numeric_gcd(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    return divisor(arena, a, b, false, out);
}

err_t
numeric_lcm(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    return divisor(arena, a, b, true, out);
}

err_t
numeric_factorial(struct arena *arena, int64_t n, struct numeric *out)
{
    mpz_t x;
    err_t err;

    if (n < 0) {
        return sql_error("22003", "factorial of a negative number is undefined");
    }
    if (n > FACTORIAL_MAX) {
        return numeric_overflow();
    }
    mpz_init(x);
    mpz_fac_ui(x, (unsigned long)n);
    err = numeric_from_mpz(arena, x, 0, out);
    mpz_clear(x);
    return err;
}
