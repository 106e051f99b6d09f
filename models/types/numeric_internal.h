/* models/types/numeric_internal.h - what the files of numeric share: mantissas as GMP's integers.
 */
#pragma once

#include <gmp.h>

#include "models/types/numeric.h"

/* A finite number's mantissa to read, without a copy: `storage` and `limb` are the caller's. */
struct mantissa {
    mpz_t storage;
    mp_limb_t limb;
};
mpz_srcptr mantissa_of(struct mantissa *mantissa, struct numeric value);

/* The number with this mantissa; small when it fits. 22003 for too many digits. */
err_t numeric_from_mpz(struct arena *arena, mpz_srcptr mantissa, uint32_t scale,
                       struct numeric *out);
/* mantissa *= 10^digits */
void mpz_scale_up(mpz_ptr mantissa, uint32_t digits);
/* mantissa / 10^digits, rounded to the nearest (halves away from zero), or cut. */
void mpz_scale_down(mpz_ptr mantissa, uint32_t digits, bool is_rounded);
/* Decimal digits of a number, 0 for 0. */
uint32_t mpz_digits(mpz_srcptr value);
/* 10^n for n <= 18. */
extern const int64_t numeric_powers[19];
err_t numeric_overflow(void);

/* The place of the first digit that is not 0: 123.4 -> 3, 0.012 -> -1; finite and not 0. */
int32_t numeric_first_place(struct numeric value);
