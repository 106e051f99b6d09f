/* models/types/numeric_text.c - decimal numbers as text, as floating point numbers, and encoded. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "models/types/numeric.h"
#include "models/types/numeric_internal.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum {
    TEXT_SHOWN_MAX = 200,      /* Of what was no number, in the message. */
    EXPONENT_MAX = 1000000000, /* Beyond it no digits make a number of it. */
    DOUBLE_DIGITS_EXACT = 22,  /* Powers of ten that a double holds exactly. */
};

/* ---- From text ---- */

static err_t
not_a_number(struct slice text)
{
    return sql_error("22P02", "invalid input syntax for type numeric: \"%.*s\"",
                     (int)MIN(text.size, (size_t)TEXT_SHOWN_MAX), (const char *)text.data);
}

static struct slice
trim(struct slice text)
{
    while (text.size > 0 && isspace(text.data[0])) {
        text = slice_of(text.data + 1, text.size - 1);
    }
    while (text.size > 0 && isspace(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool
word_is(struct slice text, const char *lower_case)
{
    if (text.size != strlen(lower_case)) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (tolower(text.data[i]) != lower_case[i]) {
            return false;
        }
    }
    return true;
}

static bool
special_from_text(struct slice text, struct numeric *out)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    bool is_signed = is_negative || (text.size > 0 && text.data[0] == '+');
    struct slice word = slice_of(text.data + is_signed, text.size - is_signed);

    if (word_is(word, "infinity") || word_is(word, "inf")) {
        out->kind = is_negative ? NUMERIC_NEGATIVE_INFINITY : NUMERIC_INFINITY;
    } else if (word_is(word, "nan") && !is_signed) {
        out->kind = NUMERIC_NAN;
    } else {
        return false;
    }
    out->small = 0;
    out->scale = 0;
    return true;
}

/* The parts of "-12.5e3". */
struct literal {
    bool is_negative;
    struct slice integer, fraction;
    int64_t exponent;
};

static struct slice
digits_take(const uint8_t **at, const uint8_t *end)
{
    const uint8_t *start = *at;

    while (*at < end && isdigit(**at)) {
        (*at)++;
    }
    return slice_of(start, (size_t)(*at - start));
}

static bool
exponent_parse(const uint8_t **at, const uint8_t *end, int64_t *exponent_out)
{
    bool is_negative = *at < end && **at == '-';
    struct slice digits;
    int64_t value = 0;

    *at += *at < end && (**at == '-' || **at == '+');
    digits = digits_take(at, end);
    for (size_t i = 0; i < digits.size && value <= EXPONENT_MAX; i++) {
        value = value * 10 + (digits.data[i] - '0');
    }
    *exponent_out = is_negative ? -value : value;
    return digits.size > 0;
}

static bool
literal_parse(struct slice text, struct literal *out)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.size;

    *out = (struct literal){.is_negative = at < end && *at == '-'};
    at += at < end && (*at == '-' || *at == '+');
    out->integer = digits_take(&at, end);
    if (at < end && *at == '.') {
        at++;
        out->fraction = digits_take(&at, end);
    }
    if (out->integer.size + out->fraction.size == 0) {
        return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (!exponent_parse(&at, end, &out->exponent)) {
            return false;
        }
    }
    return at == end;
}

static void
digits_add(uint64_t *value, struct slice digits)
{
    for (size_t i = 0; i < digits.size; i++) {
        *value = *value * 10 + (uint64_t)(digits.data[i] - '0');
    }
}

/* The digits without what is neither in front nor behind of the point any more. */
static err_t
literal_to_big(struct arena *arena, const struct literal *literal, int64_t scale,
               struct numeric *out)
{
    size_t size = literal->integer.size + literal->fraction.size;
    char *text = arena_alloc(arena, size + 1);
    mpz_t x;
    err_t err;

    if (text == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    memcpy(text, literal->integer.data, literal->integer.size);
    if (literal->fraction.size > 0) {
        memcpy(text + literal->integer.size, literal->fraction.data, literal->fraction.size);
    }
    text[size] = '\0';
    mpz_init(x);
    if (mpz_set_str(x, text, 10) != 0) {
        mpz_clear(x);
        return err_set(ERR_INVALID, "no decimal digits");
    }
    if (literal->is_negative) {
        mpz_neg(x, x);
    }
    if (scale < 0) {
        mpz_scale_up(x, (uint32_t)-scale);
        scale = 0;
    } else if (scale > NUMERIC_SCALE_MAX) {
        mpz_scale_down(x, (uint32_t)(scale - NUMERIC_SCALE_MAX), true);
        scale = NUMERIC_SCALE_MAX;
    }
    err = numeric_from_mpz(arena, x, (uint32_t)scale, out);
    mpz_clear(x);
    return err;
}

static bool
is_zero(struct slice digits)
{
    for (size_t i = 0; i < digits.size; i++) {
        if (digits.data[i] != '0') {
            return false;
        }
    }
    return true;
}

static err_t
literal_to_numeric(struct arena *arena, const struct literal *literal, struct numeric *out)
{
    int64_t scale = (int64_t)literal->fraction.size - literal->exponent;
    size_t digits = literal->integer.size + literal->fraction.size;

    if (is_zero(literal->integer) && is_zero(literal->fraction)) {
        *out = numeric_from_int(0);
        out->scale = (uint16_t)MIN(MAX(scale, 0), NUMERIC_SCALE_MAX);
        return ERR_OK;
    }
    if (digits <= 18 && scale >= 0 && scale <= NUMERIC_SCALE_MAX) {
        uint64_t value = 0;

        digits_add(&value, literal->integer);
        digits_add(&value, literal->fraction);
        *out = numeric_from_int(literal->is_negative ? -(int64_t)value : (int64_t)value);
        out->scale = (uint16_t)scale;
        return ERR_OK;
    }
    if (-scale > NUMERIC_INTEGER_DIGITS_MAX ||
        digits > (size_t)NUMERIC_INTEGER_DIGITS_MAX + NUMERIC_SCALE_MAX + 1) {
        return numeric_overflow();
    }
    if (scale > (int64_t)digits + NUMERIC_SCALE_MAX) { /* Rounds to nothing. */
        *out = numeric_from_int(0);
        out->scale = NUMERIC_SCALE_MAX;
        return ERR_OK;
    }
    return literal_to_big(arena, literal, scale, out);
}

err_t
numeric_from_text(struct arena *arena, struct slice text, struct numeric *out)
{
    struct slice word = trim(text);
    struct literal literal;

    if (special_from_text(word, out)) {
        return ERR_OK;
    }
    if (!literal_parse(word, &literal)) {
        return not_a_number(text);
    }
    return literal_to_numeric(arena, &literal, out);
}

/* ---- To text ---- */

/* Digits without a point: puts it `scale` digits before the end. */
static void
digits_append(struct buf *out, const char *digits, size_t count, uint32_t scale)
{
    if (count <= scale) {
        buf_append(out, "0.", 2);
        for (size_t i = count; i < scale; i++) {
            buf_append_byte(out, '0');
        }
        buf_append(out, digits, count);
        return;
    }
    buf_append(out, digits, count - scale);
    if (scale > 0) {
        buf_append_byte(out, '.');
        buf_append(out, digits + count - scale, scale);
    }
}

static void
big_to_text(struct numeric value, struct buf *out)
{
    struct mantissa mantissa;
    mpz_srcptr x = mantissa_of(&mantissa, value);
    size_t size = mpz_sizeinbase(x, 10) + 2;
    struct buf digits;
    char *text;

    buf_init(&digits, out->tag);
    text = mpz_get_str((char *)buf_reserve(&digits, size), 10, x);
    if (text[0] == '-') {
        buf_append_byte(out, '-');
        text++;
    }
    digits_append(out, text, strlen(text), value.scale);
    buf_fini(&digits);
}

void
numeric_to_text(struct numeric value, struct buf *out)
{
    char digits[24];
    uint64_t magnitude;
    int count;

    switch ((enum numeric_kind)value.kind) {
    case NUMERIC_NAN:
        buf_append(out, "NaN", 3);
        return;
    case NUMERIC_INFINITY:
        buf_append(out, "Infinity", 8);
        return;
    case NUMERIC_NEGATIVE_INFINITY:
        buf_append(out, "-Infinity", 9);
        return;
    case NUMERIC_BIG:
        big_to_text(value, out);
        return;
    case NUMERIC_SMALL:
        break;
    }
    magnitude = value.small < 0 ? 0 - (uint64_t)value.small : (uint64_t)value.small;
    if (value.small < 0) {
        buf_append_byte(out, '-');
    }
    count = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)magnitude);
    digits_append(out, digits, (size_t)count, value.scale);
}

/* ---- Floating point, integers ---- */

err_t
numeric_from_double(struct arena *arena, double value, int digits, struct numeric *out)
{
    char text[64];

    if (isnan(value) || isinf(value)) {
        *out = (struct numeric){
            .kind = isnan(value) ? NUMERIC_NAN
                    : value > 0  ? NUMERIC_INFINITY
                                 : NUMERIC_NEGATIVE_INFINITY,
        };
        return ERR_OK;
    }
    (void)snprintf(text, sizeof(text), "%.*g", digits, value);
    return numeric_from_text(arena, slice_from_text(text), out);
}

static double
text_to_double(struct numeric value)
{
    struct buf text;
    double result;

    buf_init(&text, MEM_SESSIONS);
    numeric_to_text(value, &text);
    buf_append_byte(&text, '\0');
    result = strtod((const char *)text.data, NULL);
    buf_fini(&text);
    return result;
}

double
numeric_to_double(struct numeric value)
{
    static const double powers[DOUBLE_DIGITS_EXACT + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    const int64_t exact = INT64_C(1) << 53;

    switch ((enum numeric_kind)value.kind) {
    case NUMERIC_NAN:
        return NAN;
    case NUMERIC_INFINITY:
        return INFINITY;
    case NUMERIC_NEGATIVE_INFINITY:
        return -INFINITY;
    case NUMERIC_BIG:
    case NUMERIC_SMALL:
        break;
    }
    /* Both exact, so that the quotient is rounded once. */
    if (value.kind == NUMERIC_SMALL && value.scale <= DOUBLE_DIGITS_EXACT && value.small <= exact &&
        value.small >= -exact) {
        return (double)value.small / powers[value.scale];
    }
    return text_to_double(value);
}

bool
numeric_to_int(struct numeric value, int64_t *out)
{
    struct arena arena;
    struct numeric rounded;
    bool fits;

    if (value.kind == NUMERIC_SMALL && value.scale == 0) {
        *out = value.small;
        return true;
    }
    if (!numeric_is_finite(value) || numeric_first_place(value) > 19) {
        return false;
    }
    arena_init(&arena, MEM_SESSIONS);
    fits = numeric_round(&arena, value, 0, &rounded) == ERR_OK && rounded.kind == NUMERIC_SMALL;
    if (fits) {
        *out = rounded.small;
    }
    arena_fini(&arena);
    return fits;
}

uint32_t
numeric_min_scale(struct numeric value)
{
    struct mantissa mantissa;
    uint32_t scale = value.scale;
    mpz_t x;

    if (!numeric_is_finite(value) || numeric_sign(value) == 0) {
        return 0;
    }
    mpz_init_set(x, mantissa_of(&mantissa, value));
    while (scale > 0 && mpz_divisible_ui_p(x, 10)) {
        mpz_divexact_ui(x, x, 10);
        scale--;
    }
    mpz_clear(x);
    return scale;
}

/* ---- In rows: kind (low 3 bits of a varint) and scale above; small: zigzag; big: sign, limbs ----
 */

enum { KIND_BITS = 3 };

void
numeric_put(struct numeric value, struct buf *out)
{
    buf_append_varint(out, (uint64_t)value.scale << KIND_BITS | value.kind);
    if (value.kind == NUMERIC_SMALL) {
        buf_append_varint(out, ((uint64_t)value.small << 1) ^ (uint64_t)(value.small >> 63));
    } else if (value.kind == NUMERIC_BIG) {
        buf_append_byte(out, value.big->is_negative);
        buf_append(out, value.big->limbs, value.big->limb_count * sizeof(value.big->limbs[0]));
    }
}

static err_t
stored_corrupt(void)
{
    return err_set(ERR_CORRUPT, "a stored numeric is malformed");
}

static err_t
stored_big(struct slice bytes, uint32_t scale, struct arena *arena, struct numeric *out)
{
    size_t limbs = bytes.size == 0 ? 0 : (bytes.size - 1) / sizeof(uint64_t);
    struct numeric_big *big;

    if (limbs == 0 || bytes.size != 1 + limbs * sizeof(uint64_t) || bytes.data[0] > 1 ||
        limbs > (NUMERIC_INTEGER_DIGITS_MAX + NUMERIC_SCALE_MAX) / 19 + 1 ||
        get_le64(bytes.data + bytes.size - sizeof(uint64_t)) == 0) {
        return stored_corrupt();
    }
    big = arena_alloc(arena, sizeof(*big) + limbs * sizeof(uint64_t));
    big->is_negative = bytes.data[0] != 0;
    big->limb_count = (uint32_t)limbs;
    memcpy(big->limbs, bytes.data + 1, limbs * sizeof(uint64_t));
    *out = (struct numeric){.big = big, .scale = (uint16_t)scale, .kind = NUMERIC_BIG};
    return ERR_OK;
}

err_t
numeric_get(struct slice bytes, struct arena *arena, struct numeric *out)
{
    const uint8_t *end = bytes.data + bytes.size;
    uint64_t head, zigzag;
    size_t used = get_varint(bytes.data, end, &head);
    uint64_t scale = head >> KIND_BITS;
    struct slice rest;

    if (used == 0 || scale > NUMERIC_SCALE_MAX) {
        return stored_corrupt();
    }
    rest = slice_of(bytes.data + used, bytes.size - used);
    switch (head & ((1 << KIND_BITS) - 1)) {
    case NUMERIC_SMALL:
        if (rest.size == 0 || get_varint(rest.data, end, &zigzag) != rest.size) {
            return stored_corrupt();
        }
        *out = numeric_from_int((int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1));
        out->scale = (uint16_t)scale;
        return ERR_OK;
    case NUMERIC_BIG:
        return stored_big(rest, (uint32_t)scale, arena, out);
    case NUMERIC_NEGATIVE_INFINITY:
    case NUMERIC_INFINITY:
    case NUMERIC_NAN:
        if (rest.size != 0 || scale != 0) {
            return stored_corrupt();
        }
        *out = (struct numeric){.kind = (uint8_t)(head & ((1 << KIND_BITS) - 1))};
        return ERR_OK;
    default:
        return stored_corrupt();
    }
}

/* ---- In keys ----
 *
 *     class  1 -infinity, 2 negative, 3 zero, 4 positive, 5 infinity, 6 NaN
 *     place  3 bytes, big-endian, biased: pairs of digits before the point
 *     pairs  each 1 to 100, the first not 1 (a zero) and the last neither; then 0
 *
 * Of negative numbers everything behind the class is complemented. */

enum { KEY_PLACE_BIAS = 1 << 23 };

/* The digits of |value| without zeros at both ends; *pairs_before_out: pairs before the point. */
static void
key_digits(struct numeric value, struct buf *digits, int32_t *pairs_before_out)
{
    int32_t place = numeric_first_place(value);
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    value.scale = 0;
    numeric_to_text(value, &text);
    /* 5 is 05 and 0.05 is 0.05, but 0.5 is 0.50: the pairs are counted from the point. */
    if ((place & 1) != 0) {
        buf_append_byte(digits, '0');
    }
    *pairs_before_out = (place + (place & 1)) / 2;
    for (size_t i = 0; i < text.size; i++) {
        if (isdigit(text.data[i])) {
            buf_append_byte(digits, text.data[i]);
        }
    }
    while (digits->size > 0 && digits->data[digits->size - 1] == '0') {
        digits->size--;
    }
    if (digits->size % 2 != 0) {
        buf_append_byte(digits, '0');
    }
    buf_fini(&text);
}

void
numeric_key_put(struct numeric value, struct buf *out)
{
    static const uint8_t classes[] = {
        [NUMERIC_NEGATIVE_INFINITY] = 1, [NUMERIC_INFINITY] = 5, [NUMERIC_NAN] = 6};
    int sign = numeric_sign(value);
    uint8_t flip = sign < 0 ? UINT8_MAX : 0;
    int32_t pairs_before;
    uint32_t place;
    struct buf digits;

    if (!numeric_is_finite(value) || sign == 0) {
        buf_append_byte(out, sign == 0 ? 3 : classes[value.kind]);
        return;
    }
    buf_init(&digits, MEM_SESSIONS);
    key_digits(value, &digits, &pairs_before);
    place = (uint32_t)(pairs_before + KEY_PLACE_BIAS);
    buf_append_byte(out, sign < 0 ? 2 : 4);
    for (int shift = 16; shift >= 0; shift -= 8) {
        buf_append_byte(out, (uint8_t)(place >> shift) ^ flip);
    }
    for (size_t i = 0; i < digits.size; i += 2) {
        buf_append_byte(out, (uint8_t)((digits.data[i] - '0') * 10 + digits.data[i + 1] - '0' + 1) ^
                                 flip);
    }
    buf_append_byte(out, flip);
    buf_fini(&digits);
}

uint64_t
numeric_hash(struct numeric value)
{
    struct buf key;
    uint64_t hash;

    buf_init(&key, MEM_SESSIONS);
    numeric_key_put(value, &key);
    hash = XXH3_64bits(key.data, key.size);
    buf_fini(&key);
    return hash;
}

/* ---- PostgreSQL's binary format ---- */

enum {
    WIRE_POSITIVE = 0x0000,
    WIRE_NEGATIVE = 0x4000,
    WIRE_NAN = 0xC000,
    WIRE_INFINITY = 0xD000,
    WIRE_NEGATIVE_INFINITY = 0xF000,
    WIRE_INFINITY_SCALE = 0x20, /* What PostgreSQL puts there. */
    WIRE_HEADER_BYTES = 8,
    WIRE_BASE = 10000,
    WIRE_DIGITS = 4,
};

static void
be16_append(struct buf *out, uint16_t value)
{
    put_be16(buf_reserve(out, 2), value);
    out->size += 2;
}

static void
wire_header(struct buf *out, uint16_t words, int32_t weight, uint16_t sign, uint16_t scale)
{
    be16_append(out, words);
    be16_append(out, (uint16_t)weight);
    be16_append(out, sign);
    be16_append(out, scale);
}

void
numeric_send(struct numeric value, struct buf *out)
{
    static const uint16_t signs[] = {[NUMERIC_NEGATIVE_INFINITY] = WIRE_NEGATIVE_INFINITY,
                                     [NUMERIC_INFINITY] = WIRE_INFINITY,
                                     [NUMERIC_NAN] = WIRE_NAN};
    int sign = numeric_sign(value);
    int32_t pairs, words_before;
    struct buf digits;

    if (!numeric_is_finite(value)) {
        wire_header(out, 0, 0, signs[value.kind],
                    value.kind == NUMERIC_NAN ? 0 : WIRE_INFINITY_SCALE);
        return;
    }
    if (sign == 0) {
        wire_header(out, 0, 0, WIRE_POSITIVE, value.scale);
        return;
    }
    buf_init(&digits, MEM_SESSIONS);
    if ((numeric_first_place(value) + (numeric_first_place(value) & 1)) / 2 % 2 != 0) {
        buf_append(&digits, "00", 2); /* A word is two pairs. */
    }
    key_digits(value, &digits, &pairs);
    words_before = (pairs + (pairs & 1)) / 2;
    while (digits.size % WIRE_DIGITS != 0) {
        buf_append_byte(&digits, '0');
    }
    wire_header(out, (uint16_t)(digits.size / WIRE_DIGITS), words_before - 1,
                sign < 0 ? WIRE_NEGATIVE : WIRE_POSITIVE, value.scale);
    for (size_t i = 0; i < digits.size; i += WIRE_DIGITS) {
        uint64_t word = 0;

        digits_add(&word, slice_of(digits.data + i, WIRE_DIGITS));
        be16_append(out, (uint16_t)word);
    }
    buf_fini(&digits);
}

static err_t
wire_invalid(const char *what)
{
    return sql_error("22P03", "invalid %s in external \"numeric\" value", what);
}

/* words * 10,000^(weight + 1 - count), at the scale that the header says. */
static err_t
wire_finite(struct arena *arena, struct slice words, int32_t weight, bool is_negative,
            uint32_t scale, struct numeric *out)
{
    int32_t count = (int32_t)(words.size / 2);
    int32_t shift = (weight + 1 - count) * WIRE_DIGITS + (int32_t)scale;
    mpz_t x;
    err_t err;

    mpz_init(x);
    for (int32_t i = 0; i < count; i++) {
        uint16_t word = get_be16(words.data + 2 * i);

        if (word >= WIRE_BASE) {
            mpz_clear(x);
            return wire_invalid("digit");
        }
        mpz_mul_ui(x, x, WIRE_BASE);
        mpz_add_ui(x, x, word);
    }
    if (shift >= 0) {
        mpz_scale_up(x, (uint32_t)shift);
    } else {
        mpz_scale_down(x, (uint32_t)-shift, false);
    }
    if (is_negative) {
        mpz_neg(x, x);
    }
    err = numeric_from_mpz(arena, x, scale, out);
    mpz_clear(x);
    return err;
}

err_t
numeric_receive(struct arena *arena, struct slice bytes, struct numeric *out)
{
    uint16_t count, sign, scale;

    if (bytes.size < WIRE_HEADER_BYTES) {
        return sql_error("08P01", "insufficient data left in message");
    }
    count = get_be16(bytes.data);
    sign = get_be16(bytes.data + 4);
    scale = get_be16(bytes.data + 6);
    if (bytes.size != WIRE_HEADER_BYTES + 2 * (size_t)count) {
        return sql_error("08P01", "insufficient data left in message");
    }
    switch (sign) {
    case WIRE_NAN:
        *out = (struct numeric){.kind = NUMERIC_NAN};
        return ERR_OK;
    case WIRE_INFINITY:
        *out = (struct numeric){.kind = NUMERIC_INFINITY};
        return ERR_OK;
    case WIRE_NEGATIVE_INFINITY:
        *out = (struct numeric){.kind = NUMERIC_NEGATIVE_INFINITY};
        return ERR_OK;
    case WIRE_POSITIVE:
    case WIRE_NEGATIVE:
        break;
    default:
        return wire_invalid("sign");
    }
    if (scale > NUMERIC_SCALE_MAX) {
        return wire_invalid("scale");
    }
    return wire_finite(arena, slice_of(bytes.data + WIRE_HEADER_BYTES, 2 * (size_t)count),
                       (int16_t)get_be16(bytes.data + 2), sign == WIRE_NEGATIVE, scale, out);
}
