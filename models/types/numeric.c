/* models/types/numeric.c - comparison and arithmetic of decimal numbers. */
#include "models/types/numeric.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "models/types/numeric_internal.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum {
    POWER_MAX = 18,        /* Largest n with 10^n in 64 bits. */
    QUOTIENT_DIGITS = 16,  /* Significant ones of a quotient, at least. */
    QUOTIENT_SCALE = 1000, /* and at most so many behind the point. */
    DIGITS_A_WORD = 4,     /* PostgreSQL's digits are of base 10,000: its scales go by them. */
};

const int64_t numeric_powers[POWER_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* ---- Mantissas ---- */

mpz_srcptr
mantissa_of(struct mantissa *mantissa, struct numeric value)
{
    ASSERT(numeric_is_finite(value));
    if (value.kind == NUMERIC_BIG) {
        mp_size_t count = (mp_size_t)value.big->limb_count;

        return mpz_roinit_n(mantissa->storage, (const mp_limb_t *)value.big->limbs,
                            value.big->is_negative ? -count : count);
    }
    mantissa->limb = value.small < 0 ? 0 - (uint64_t)value.small : (uint64_t)value.small;
    return mpz_roinit_n(mantissa->storage, &mantissa->limb,
                        value.small == 0 ? 0 : (value.small < 0 ? -1 : 1));
}

err_t
numeric_overflow(void)
{
    return sql_error("22003", "value overflows numeric format");
}

uint32_t
mpz_digits(mpz_srcptr value)
{
    size_t digits;
    mpz_t power;

    if (mpz_sgn(value) == 0) {
        return 0;
    }
    digits = mpz_sizeinbase(value, 10); /* May be one too many. */
    mpz_init(power);
    mpz_ui_pow_ui(power, 10, digits - 1);
    digits -= mpz_cmpabs(value, power) < 0;
    mpz_clear(power);
    return (uint32_t)digits;
}

err_t
numeric_from_mpz(struct arena *arena, mpz_srcptr mantissa, uint32_t scale, struct numeric *out)
{
    struct numeric_big *big;
    size_t limbs = mpz_size(mantissa);

    ASSERT(scale <= NUMERIC_SCALE_MAX);
    if (mpz_fits_slong_p(mantissa)) {
        *out = (struct numeric){
            .small = mpz_get_si(mantissa),
            .scale = (uint16_t)scale,
            .kind = NUMERIC_SMALL,
        };
        return ERR_OK;
    }
    if (mpz_sizeinbase(mantissa, 10) > NUMERIC_INTEGER_DIGITS_MAX + (size_t)scale &&
        mpz_digits(mantissa) > NUMERIC_INTEGER_DIGITS_MAX + scale) {
        return numeric_overflow();
    }
    big = arena_alloc(arena, sizeof(*big) + limbs * sizeof(big->limbs[0]));
    if (big == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    big->is_negative = mpz_sgn(mantissa) < 0;
    big->limb_count = (uint32_t)limbs;
    memcpy(big->limbs, mpz_limbs_read(mantissa), limbs * sizeof(big->limbs[0]));
    *out = (struct numeric){.big = big, .scale = (uint16_t)scale, .kind = NUMERIC_BIG};
    return ERR_OK;
}

void
mpz_scale_up(mpz_ptr mantissa, uint32_t digits)
{
    mpz_t power;

    if (digits <= POWER_MAX) {
        mpz_mul_si(mantissa, mantissa, numeric_powers[digits]);
        return;
    }
    mpz_init(power);
    mpz_ui_pow_ui(power, 10, digits);
    mpz_mul(mantissa, mantissa, power);
    mpz_clear(power);
}

void
mpz_scale_down(mpz_ptr mantissa, uint32_t digits, bool is_rounded)
{
    mpz_t power, rest;
    int sign = mpz_sgn(mantissa);

    if (digits == 0 || sign == 0) {
        return;
    }
    mpz_inits(power, rest, NULL);
    mpz_ui_pow_ui(power, 10, digits);
    mpz_tdiv_qr(mantissa, rest, mantissa, power);
    mpz_mul_2exp(rest, rest, 1);
    if (is_rounded && mpz_cmpabs(rest, power) >= 0) {
        if (sign > 0) {
            mpz_add_ui(mantissa, mantissa, 1);
        } else {
            mpz_sub_ui(mantissa, mantissa, 1);
        }
    }
    mpz_clears(power, rest, NULL);
}

/* ---- Small mantissas: false when the result does not fit. ---- */

static inline bool
small_scale_up(int64_t value, uint32_t digits, int64_t *out)
{
    return digits <= POWER_MAX && !__builtin_mul_overflow(value, numeric_powers[digits], out);
}

/* Both with the larger of the two scales. */
static inline bool
small_align(struct numeric a, struct numeric b, int64_t *a_out, int64_t *b_out)
{
    *a_out = a.small;
    *b_out = b.small;
    if (a.kind != NUMERIC_SMALL || b.kind != NUMERIC_SMALL) {
        return false;
    }
    if (a.scale < b.scale) {
        return small_scale_up(a.small, (uint32_t)(b.scale - a.scale), a_out);
    }
    return a.scale == b.scale || small_scale_up(b.small, (uint32_t)(a.scale - b.scale), b_out);
}

static inline struct numeric
small_of(int64_t mantissa, uint32_t scale)
{
    return (struct numeric){.small = mantissa, .scale = (uint16_t)scale, .kind = NUMERIC_SMALL};
}

/* ---- Specials ---- */

static struct numeric
special(enum numeric_kind kind)
{
    return (struct numeric){.kind = (uint8_t)kind};
}

int
numeric_sign(struct numeric value)
{
    switch ((enum numeric_kind)value.kind) {
    case NUMERIC_SMALL:
        return (value.small > 0) - (value.small < 0);
    case NUMERIC_BIG:
        return value.big->is_negative ? -1 : 1;
    case NUMERIC_NEGATIVE_INFINITY:
        return -1;
    case NUMERIC_INFINITY:
    case NUMERIC_NAN:
        return 1;
    }
    return 0;
}

static inline bool
are_finite(struct numeric a, struct numeric b)
{
    return __builtin_expect(numeric_is_finite(a) && numeric_is_finite(b), 1);
}

static struct numeric
infinity_of_sign(int sign)
{
    return special(sign == 0  ? NUMERIC_NAN
                   : sign > 0 ? NUMERIC_INFINITY
                              : NUMERIC_NEGATIVE_INFINITY);
}

/* a + b where one is not finite. */
static struct numeric
special_add(struct numeric a, struct numeric b)
{
    if (a.kind == NUMERIC_NAN || b.kind == NUMERIC_NAN) {
        return special(NUMERIC_NAN);
    }
    if (!numeric_is_finite(a) && !numeric_is_finite(b) && a.kind != b.kind) {
        return special(NUMERIC_NAN);
    }
    return numeric_is_finite(a) ? b : a;
}

static err_t
division_by_zero(void)
{
    return sql_error("22012", "division by zero");
}

/* a / b, toward zero or not, where one is not finite. */
static err_t
special_divide(struct numeric a, struct numeric b, struct numeric *out)
{
    if (a.kind == NUMERIC_NAN || b.kind == NUMERIC_NAN) {
        *out = special(NUMERIC_NAN);
    } else if (numeric_is_finite(a)) {
        *out = numeric_from_int(0);
    } else if (!numeric_is_finite(b)) {
        *out = special(NUMERIC_NAN);
    } else if (numeric_sign(b) == 0) {
        return division_by_zero();
    } else {
        *out = infinity_of_sign(numeric_sign(a) * numeric_sign(b));
    }
    return ERR_OK;
}

static err_t
special_modulo(struct numeric a, struct numeric b, struct numeric *out)
{
    if (a.kind == NUMERIC_NAN || b.kind == NUMERIC_NAN) {
        *out = special(NUMERIC_NAN);
    } else if (!numeric_is_finite(a)) {
        if (numeric_is_finite(b) && numeric_sign(b) == 0) {
            return division_by_zero();
        }
        *out = special(NUMERIC_NAN);
    } else {
        *out = a;
    }
    return ERR_OK;
}

/* ---- Comparison ---- */

static int
compare_big(struct numeric a, struct numeric b)
{
    struct mantissa ma, mb;
    mpz_srcptr za = mantissa_of(&ma, a), zb = mantissa_of(&mb, b);
    uint32_t scale = MAX(a.scale, b.scale);
    mpz_t up;
    int order;

    if (a.scale == b.scale) {
        return mpz_cmp(za, zb);
    }
    mpz_init_set(up, a.scale < scale ? za : zb);
    mpz_scale_up(up, scale - MIN(a.scale, b.scale));
    order = a.scale < scale ? mpz_cmp(up, zb) : mpz_cmp(za, up);
    mpz_clear(up);
    return order;
}

int
numeric_compare(struct numeric a, struct numeric b)
{
    int64_t x, y;

    if (__builtin_expect(small_align(a, b, &x, &y), 1)) {
        return (x > y) - (x < y);
    }
    if (!are_finite(a, b)) {
        /* Kinds are in order, and finite ones lie between the infinities. */
        int rank_a = numeric_is_finite(a) ? NUMERIC_NEGATIVE_INFINITY * 2 + 1 : a.kind * 2;
        int rank_b = numeric_is_finite(b) ? NUMERIC_NEGATIVE_INFINITY * 2 + 1 : b.kind * 2;

        return (rank_a > rank_b) - (rank_a < rank_b);
    }
    if (numeric_sign(a) != numeric_sign(b)) {
        return numeric_sign(a) < numeric_sign(b) ? -1 : 1;
    }
    return compare_big(a, b);
}

/* ---- Sum, difference, product ---- */

static err_t
add_big(struct arena *arena, struct numeric a, struct numeric b, bool is_subtracted,
        struct numeric *out)
{
    struct mantissa ma, mb;
    uint32_t scale = MAX(a.scale, b.scale);
    mpz_t x, y;
    err_t err;

    mpz_init_set(x, mantissa_of(&ma, a));
    mpz_init_set(y, mantissa_of(&mb, b));
    mpz_scale_up(x, scale - a.scale);
    mpz_scale_up(y, scale - b.scale);
    if (is_subtracted) {
        mpz_sub(x, x, y);
    } else {
        mpz_add(x, x, y);
    }
    err = numeric_from_mpz(arena, x, scale, out);
    mpz_clears(x, y, NULL);
    return err;
}

err_t
numeric_add(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    int64_t x, y, sum;

    if (__builtin_expect(small_align(a, b, &x, &y) && !__builtin_add_overflow(x, y, &sum), 1)) {
        *out = small_of(sum, MAX(a.scale, b.scale));
        return ERR_OK;
    }
    if (!are_finite(a, b)) {
        *out = special_add(a, b);
        return ERR_OK;
    }
    return add_big(arena, a, b, false, out);
}

err_t
numeric_subtract(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    int64_t x, y, difference;

    if (__builtin_expect(small_align(a, b, &x, &y) && !__builtin_sub_overflow(x, y, &difference),
                         1)) {
        *out = small_of(difference, MAX(a.scale, b.scale));
        return ERR_OK;
    }
    if (!are_finite(a, b)) {
        struct numeric negative = b;

        if (!numeric_is_finite(b) && b.kind != NUMERIC_NAN) {
            negative = infinity_of_sign(-numeric_sign(b));
        }
        *out = special_add(a, negative);
        return ERR_OK;
    }
    return add_big(arena, a, b, true, out);
}

err_t
numeric_multiply(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    uint32_t scale = (uint32_t)a.scale + b.scale;
    struct mantissa ma, mb;
    int64_t product;
    mpz_t x;
    err_t err;

    if (a.kind == NUMERIC_SMALL && b.kind == NUMERIC_SMALL && scale <= NUMERIC_SCALE_MAX &&
        !__builtin_mul_overflow(a.small, b.small, &product)) {
        *out = small_of(product, scale);
        return ERR_OK;
    }
    if (!are_finite(a, b)) {
        *out = a.kind == NUMERIC_NAN || b.kind == NUMERIC_NAN
                   ? special(NUMERIC_NAN)
                   : infinity_of_sign(numeric_sign(a) * numeric_sign(b));
        return ERR_OK;
    }
    mpz_init(x);
    mpz_mul(x, mantissa_of(&ma, a), mantissa_of(&mb, b));
    if (scale > NUMERIC_SCALE_MAX) {
        mpz_scale_down(x, scale - NUMERIC_SCALE_MAX, true);
        scale = NUMERIC_SCALE_MAX;
    }
    err = numeric_from_mpz(arena, x, scale, out);
    mpz_clear(x);
    return err;
}

err_t
numeric_negate(struct arena *arena, struct numeric a, struct numeric *out)
{
    if (!numeric_is_finite(a)) {
        *out = a.kind == NUMERIC_NAN ? a : infinity_of_sign(-numeric_sign(a));
        return ERR_OK;
    }
    return numeric_subtract(arena, small_of(0, a.scale), a, out);
}

/* ---- Quotients ---- */

static uint32_t
digits_of(struct numeric value)
{
    struct mantissa mantissa;
    uint64_t small;
    uint32_t digits = 0;

    if (value.kind == NUMERIC_BIG) {
        return mpz_digits(mantissa_of(&mantissa, value));
    }
    small = value.small < 0 ? 0 - (uint64_t)value.small : (uint64_t)value.small;
    for (; small > 0; small /= 10) {
        digits++;
    }
    return digits;
}

int32_t
numeric_first_place(struct numeric value)
{
    ASSERT(numeric_is_finite(value));
    return (int32_t)digits_of(value) - (int32_t)value.scale;
}

/* The first digit of base 10,000, and how many follow it before the point. */
static int32_t
word_first(struct numeric value, int32_t *weight_out)
{
    int32_t place = numeric_first_place(value);
    /* floor((place - 1) / 4) */
    int32_t weight = (place - 1 - (place < 1 ? DIGITS_A_WORD - 1 : 0)) / DIGITS_A_WORD;
    int32_t shift = weight * DIGITS_A_WORD + (int32_t)value.scale; /* |m| / 10^shift */
    struct mantissa mantissa;
    mpz_t word;
    int32_t first;

    mpz_init(word);
    mpz_abs(word, mantissa_of(&mantissa, value));
    if (shift > 0) {
        mpz_scale_down(word, (uint32_t)shift, false);
    } else {
        mpz_scale_up(word, (uint32_t)-shift);
    }
    first = (int32_t)mpz_get_si(word);
    mpz_clear(word);
    *weight_out = weight;
    return first;
}

static uint32_t
quotient_scale(struct numeric a, struct numeric b)
{
    int32_t weight_a = 0, weight_b = 0, first_a = 0, first_b = 0, weight, scale;

    if (numeric_sign(a) != 0) {
        first_a = word_first(a, &weight_a);
    }
    first_b = word_first(b, &weight_b);
    weight = weight_a - weight_b - (first_a <= first_b);
    scale = QUOTIENT_DIGITS - weight * DIGITS_A_WORD;
    scale = MAX(scale, MAX((int32_t)a.scale, (int32_t)b.scale));
    return (uint32_t)MIN(MAX(scale, 0), (int32_t)QUOTIENT_SCALE);
}

/* a / b with `scale` digits behind the point, rounded or cut. */
static err_t
divide_finite(struct arena *arena, struct numeric a, struct numeric b, uint32_t scale,
              bool is_rounded, struct numeric *out)
{
    struct mantissa ma, mb;
    /* a / b = (ma / mb) * 10^(sb - sa); one more digit than asked would round twice, so the
     * rest decides. */
    int32_t shift = (int32_t)scale + (int32_t)b.scale - (int32_t)a.scale;
    mpz_t x, y, rest;
    err_t err;
    int sign;

    mpz_init_set(x, mantissa_of(&ma, a));
    mpz_init_set(y, mantissa_of(&mb, b));
    mpz_init(rest);
    sign = mpz_sgn(x) * mpz_sgn(y);
    if (shift >= 0) {
        mpz_scale_up(x, (uint32_t)shift);
    } else {
        mpz_scale_up(y, (uint32_t)-shift);
    }
    mpz_tdiv_qr(x, rest, x, y);
    mpz_mul_2exp(rest, rest, 1);
    if (is_rounded && mpz_cmpabs(rest, y) >= 0) {
        if (sign > 0) {
            mpz_add_ui(x, x, 1);
        } else {
            mpz_sub_ui(x, x, 1);
        }
    }
    err = numeric_from_mpz(arena, x, scale, out);
    mpz_clears(x, y, rest, NULL);
    return err;
}

err_t
numeric_divide(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    if (!are_finite(a, b)) {
        return special_divide(a, b, out);
    }
    if (numeric_sign(b) == 0) {
        return division_by_zero();
    }
    return divide_finite(arena, a, b, quotient_scale(a, b), true, out);
}

err_t
numeric_divide_integer(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    if (!are_finite(a, b)) {
        return special_divide(a, b, out);
    }
    if (numeric_sign(b) == 0) {
        return division_by_zero();
    }
    return divide_finite(arena, a, b, 0, false, out);
}

err_t
numeric_modulo(struct arena *arena, struct numeric a, struct numeric b, struct numeric *out)
{
    struct mantissa ma, mb;
    uint32_t scale = MAX(a.scale, b.scale);
    int64_t x, y;
    mpz_t zx, zy;
    err_t err;

    if (!are_finite(a, b)) {
        return special_modulo(a, b, out);
    }
    if (numeric_sign(b) == 0) {
        return division_by_zero();
    }
    if (small_align(a, b, &x, &y)) {
        *out = small_of(y == -1 ? 0 : x % y, scale);
        return ERR_OK;
    }
    mpz_init_set(zx, mantissa_of(&ma, a));
    mpz_init_set(zy, mantissa_of(&mb, b));
    mpz_scale_up(zx, scale - a.scale);
    mpz_scale_up(zy, scale - b.scale);
    mpz_tdiv_r(zx, zx, zy);
    err = numeric_from_mpz(arena, zx, scale, out);
    mpz_clears(zx, zy, NULL);
    return err;
}

/* ---- Rounding ---- */

enum rounding { ROUND_NEAREST, ROUND_CUT };

static err_t
round_to(struct arena *arena, struct numeric a, int32_t scale, enum rounding how,
         struct numeric *out)
{
    struct mantissa mantissa;
    uint32_t shown = (uint32_t)MIN(MAX(scale, 0), NUMERIC_SCALE_MAX);
    mpz_t x;
    err_t err;

    if (!numeric_is_finite(a)) {
        *out = a;
        return ERR_OK;
    }
    scale = MAX(MIN(scale, NUMERIC_SCALE_MAX), -(NUMERIC_INTEGER_DIGITS_MAX + 1));
    mpz_init_set(x, mantissa_of(&mantissa, a));
    if (scale < (int32_t)a.scale) {
        mpz_scale_down(x, (uint32_t)((int32_t)a.scale - scale), how == ROUND_NEAREST);
        mpz_scale_up(x, (uint32_t)((int32_t)shown - scale));
    } else {
        mpz_scale_up(x, (uint32_t)scale - a.scale);
    }
    err = numeric_from_mpz(arena, x, shown, out);
    mpz_clear(x);
    return err;
}

err_t
numeric_round(struct arena *arena, struct numeric a, int32_t scale, struct numeric *out)
{
    if (a.kind == NUMERIC_SMALL && scale == (int32_t)a.scale) {
        *out = a;
        return ERR_OK;
    }
    return round_to(arena, a, scale, ROUND_NEAREST, out);
}

err_t
numeric_truncate(struct arena *arena, struct numeric a, int32_t scale, struct numeric *out)
{
    return round_to(arena, a, scale, ROUND_CUT, out);
}

/* The integer below (direction -1) or above it. */
static err_t
round_toward(struct arena *arena, struct numeric a, int direction, struct numeric *out)
{
    struct numeric cut;
    err_t err = round_to(arena, a, 0, ROUND_CUT, &cut);

    if (err != ERR_OK || !numeric_is_finite(a)) {
        *out = err == ERR_OK ? cut : *out;
        return err;
    }
    if (numeric_sign(a) == direction && numeric_compare(a, cut) != 0) {
        return numeric_add(arena, cut, numeric_from_int(direction), out);
    }
    *out = cut;
    return ERR_OK;
}

err_t
numeric_floor(struct arena *arena, struct numeric a, struct numeric *out)
{
    return round_toward(arena, a, -1, out);
}

err_t
numeric_ceiling(struct arena *arena, struct numeric a, struct numeric *out)
{
    return round_toward(arena, a, 1, out);
}

/* ---- numeric(precision, scale) ---- */

static err_t
does_not_fit(int32_t precision, int32_t scale, const char *limit)
{
    (void)sql_error("22003", "numeric field overflow");
    return sql_detail("A field with precision %d, scale %d %s.", precision, scale, limit);
}

err_t
numeric_fit(struct arena *arena, struct numeric a, int32_t precision, int32_t scale,
            struct numeric *out)
{
    struct numeric rounded;
    char limit[96];
    err_t err;

    if (!numeric_is_finite(a)) {
        if (a.kind != NUMERIC_NAN) {
            return does_not_fit(precision, scale, "cannot hold an infinite value");
        }
        *out = a;
        return ERR_OK;
    }
    TRY(numeric_round(arena, a, scale, &rounded));
    if (numeric_sign(rounded) != 0 && numeric_first_place(rounded) > precision - scale) {
        snprintf(limit, sizeof(limit), "must round to an absolute value less than %s%.0d",
                 precision == scale ? "1" : "10^", precision - scale);
        return does_not_fit(precision, scale, limit);
    }
    *out = rounded;
out:
    return err;
}

/* ---- Sums ---- */

void
numeric_sum_init(struct numeric_sum *sum)
{
    *sum = (struct numeric_sum){.rest = numeric_from_int(0)};
}

/* Brings the small sum to a larger scale; false when it would not fit. */
static bool
sum_scale_up(struct numeric_sum *sum, uint32_t scale)
{
    __int128 scaled;

    if (scale - sum->scale > POWER_MAX ||
        __builtin_mul_overflow(sum->small, (__int128)numeric_powers[scale - sum->scale], &scaled)) {
        return false;
    }
    sum->small = scaled;
    sum->scale = (uint16_t)scale;
    return true;
}

static bool
sum_add_small(struct numeric_sum *sum, struct numeric value)
{
    __int128 addend = value.small;

    if (value.scale > sum->scale && !sum_scale_up(sum, value.scale)) {
        return false;
    }
    if (value.scale < sum->scale &&
        (sum->scale - value.scale > POWER_MAX ||
         __builtin_mul_overflow(addend, (__int128)numeric_powers[sum->scale - value.scale],
                                &addend))) {
        return false;
    }
    return !__builtin_add_overflow(sum->small, addend, &sum->small);
}

err_t
numeric_sum_add(struct numeric_sum *sum, struct arena *arena, struct numeric value)
{
    if (__builtin_expect(!numeric_is_finite(value), 0)) {
        sum->nans += value.kind == NUMERIC_NAN;
        sum->infinities += value.kind == NUMERIC_INFINITY;
        sum->negative_infinities += value.kind == NUMERIC_NEGATIVE_INFINITY;
        return ERR_OK;
    }
    sum->scale_max = MAX(sum->scale_max, value.scale);
    if (__builtin_expect(value.kind == NUMERIC_SMALL && sum_add_small(sum, value), 1)) {
        return ERR_OK;
    }
    return numeric_add(arena, sum->rest, value, &sum->rest);
}

static err_t
sum_small_get(const struct numeric_sum *sum, struct arena *arena, struct numeric *out)
{
    bool is_negative = sum->small < 0;
    unsigned __int128 magnitude =
        is_negative ? 0 - (unsigned __int128)sum->small : (unsigned __int128)sum->small;
    uint64_t words[2] = {(uint64_t)magnitude, (uint64_t)(magnitude >> 64)};
    mpz_t x;
    err_t err;

    mpz_init(x);
    mpz_import(x, 2, -1, sizeof(words[0]), 0, 0, words);
    if (is_negative) {
        mpz_neg(x, x);
    }
    err = numeric_from_mpz(arena, x, sum->scale, out);
    mpz_clear(x);
    return err;
}

err_t
numeric_sum_merge(struct numeric_sum *sum, struct arena *arena, const struct numeric_sum *other)
{
    struct numeric part;
    err_t err;

    sum->nans += other->nans;
    sum->infinities += other->infinities;
    sum->negative_infinities += other->negative_infinities;
    sum->scale_max = MAX(sum->scale_max, other->scale_max);
    TRY(sum_small_get(other, arena, &part));
    TRY(numeric_sum_add(sum, arena, part));
    TRY(numeric_sum_add(sum, arena, other->rest));
out:
    return err;
}

err_t
numeric_sum_get(const struct numeric_sum *sum, struct arena *arena, struct numeric *out)
{
    struct numeric small;
    err_t err;

    if (sum->nans > 0 || (sum->infinities > 0 && sum->negative_infinities > 0)) {
        *out = special(NUMERIC_NAN);
        return ERR_OK;
    }
    if (sum->infinities > 0 || sum->negative_infinities > 0) {
        *out = infinity_of_sign(sum->infinities > 0 ? 1 : -1);
        return ERR_OK;
    }
    TRY(sum_small_get(sum, arena, &small));
    TRY(numeric_add(arena, small, sum->rest, &small));
    TRY(numeric_round(arena, small, sum->scale_max, out));
out:
    return err;
}
