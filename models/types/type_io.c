/* models/types/type_io.c - text and binary forms of the built-in types.
 *
 * Forms and messages: PostgreSQL 15, chapter 8, and the regression tests of its types. */
#include "models/types/type_io.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum {
    SHOWN_MAX = 200, /* Bytes of the input in a message. */
    NAME_BYTES_MAX = 63,
    UUID_BYTES = 16,
    FLOAT_TEXT_MAX = 400,
};

static err_t
invalid_syntax(const char *type_name, struct slice text)
{
    return sql_error("22P02", "invalid input syntax for type %s: \"%.*s\"", type_name,
                     (int)MIN(text.size, (size_t)SHOWN_MAX), (const char *)text.data);
}

static err_t
wrong_size(void)
{
    return sql_error("22P03", "incorrect binary data format");
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

static void
be_append(struct buf *out, uint64_t value, size_t bytes)
{
    for (size_t i = bytes; i > 0; i--) {
        buf_append_byte(out, (uint8_t)(value >> (8 * (i - 1))));
    }
}

/* ---- bool ---- */

/* Is the text a beginning, at least `least` characters long, of the word? */
static bool
is_prefix(struct slice text, const char *word, size_t least)
{
    size_t size = strlen(word);

    if (text.size < least || text.size > size) {
        return false;
    }
    for (size_t i = 0; i < text.size; i++) {
        if (tolower(text.data[i]) != word[i]) {
            return false;
        }
    }
    return true;
}

err_t
bool_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    struct slice word = trim(text);

    (void)context;
    (void)typmod;
    if (is_prefix(word, "true", 1) || is_prefix(word, "yes", 1) || is_prefix(word, "on", 2) ||
        slice_equal(word, SLICE("1"))) {
        out->i = 1;
    } else if (is_prefix(word, "false", 1) || is_prefix(word, "no", 1) ||
               is_prefix(word, "off", 2) || slice_equal(word, SLICE("0"))) {
        out->i = 0;
    } else {
        return invalid_syntax(type->display, text);
    }
    return ERR_OK;
}

void
bool_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    (void)type;
    (void)settings;
    buf_append_byte(out, value.i != 0 ? 't' : 'f');
}

err_t
bool_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 1) {
        return wrong_size();
    }
    out->i = bytes.data[0] != 0;
    return ERR_OK;
}

void
bool_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    buf_append_byte(out, value.i != 0);
}

/* ---- Integers ---- */

err_t
int_from_text(struct slice text, const char *type_name, int64_t min, int64_t max, int64_t *out)
{
    struct slice word = trim(text);
    bool is_negative = word.size > 0 && word.data[0] == '-';
    size_t i = word.size > 0 && (word.data[0] == '-' || word.data[0] == '+');
    bool is_in_range = true;
    __int128 value = 0;

    if (i == word.size) {
        return invalid_syntax(type_name, text);
    }
    for (; i < word.size; i++) {
        if (!isdigit(word.data[i])) {
            return invalid_syntax(type_name, text);
        }
        value = value * 10 + (word.data[i] - '0');
        is_in_range = is_in_range && value <= (__int128)INT64_MAX + 1;
        value = is_in_range ? value : 0;
    }
    value = is_negative ? -value : value;
    if (!is_in_range || value < min || value > max) {
        return sql_error("22003", "value \"%.*s\" is out of range for type %s",
                         (int)MIN(text.size, (size_t)SHOWN_MAX), (const char *)text.data,
                         type_name);
    }
    *out = (int64_t)value;
    return ERR_OK;
}

static void
int_range(const struct type *type, int64_t *min_out, int64_t *max_out)
{
    switch (type->oid) {
    case OID_INT2:
        *min_out = INT16_MIN;
        *max_out = INT16_MAX;
        return;
    case OID_INT4:
        *min_out = INT32_MIN;
        *max_out = INT32_MAX;
        return;
    case OID_OID:
        *min_out = INT32_MIN; /* A negative one is taken as its two's complement. */
        *max_out = UINT32_MAX;
        return;
    default:
        *min_out = INT64_MIN;
        *max_out = INT64_MAX;
        return;
    }
}

err_t
int_input(const struct type *type, const struct type_io *context, struct slice text, int32_t typmod,
          struct datum *out)
{
    int64_t min, max;
    err_t err;

    (void)context;
    (void)typmod;
    int_range(type, &min, &max);
    err = int_from_text(text, type->display, min, max, &out->i);
    if (err == ERR_OK && type->oid == OID_OID) {
        out->i = (uint32_t)out->i;
    }
    return err;
}

void
int_output(const struct type *type, const struct type_settings *settings, struct datum value,
           struct buf *out)
{
    (void)type;
    (void)settings;
    buf_printf(out, "%lld", (long long)value.i);
}

err_t
int_receive(const struct type *type, const struct type_io *context, struct slice bytes,
            struct datum *out)
{
    (void)context;
    if (bytes.size != (size_t)type->length) {
        return wrong_size();
    }
    switch (bytes.size) {
    case 2:
        out->i = (int16_t)get_be16(bytes.data);
        break;
    case 4:
        out->i =
            type_is_unsigned(type) ? (int64_t)get_be32(bytes.data) : (int32_t)get_be32(bytes.data);
        break;
    default:
        out->i = (int64_t)get_be64(bytes.data);
        break;
    }
    return ERR_OK;
}

void
int_send(const struct type *type, struct datum value, struct buf *out)
{
    be_append(out, (uint64_t)value.i, (size_t)type->length);
}

/* ---- "char" ---- */

err_t
char_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    (void)type;
    (void)context;
    (void)typmod;
    out->i = text.size > 0 ? text.data[0] : 0;
    return ERR_OK;
}

void
char_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    (void)type;
    (void)settings;
    if (value.i != 0) {
        buf_append_byte(out, (uint8_t)value.i);
    }
}

err_t
char_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != 1) {
        return wrong_size();
    }
    out->i = bytes.data[0];
    return ERR_OK;
}

void
char_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    buf_append_byte(out, (uint8_t)value.i);
}

/* ---- Floating point ---- */

static bool
float_special(struct slice word, double *out)
{
    bool is_negative = word.size > 0 && word.data[0] == '-';
    bool is_signed = is_negative || (word.size > 0 && word.data[0] == '+');
    struct slice rest = slice_of(word.data + is_signed, word.size - is_signed);

    if (is_prefix(rest, "infinity", 8) || is_prefix(rest, "inf", 3)) {
        *out = is_negative ? -INFINITY : INFINITY;
    } else if (is_prefix(rest, "nan", 3) && !is_signed) {
        *out = NAN;
    } else {
        return false;
    }
    return true;
}

/* strtod reads more than SQL has: hexadecimal, names of its own. */
static bool
is_float_syntax(struct slice word)
{
    for (size_t i = 0; i < word.size; i++) {
        uint8_t c = word.data[i];

        if (!isdigit(c) && c != '.' && c != 'e' && c != 'E' && c != '+' && c != '-') {
            return false;
        }
    }
    return word.size > 0 && word.size < FLOAT_TEXT_MAX;
}

err_t
float_from_text(struct slice text, bool is_single, double *out)
{
    const char *type_name = is_single ? "real" : "double precision";
    struct slice word = trim(text);
    char copy[FLOAT_TEXT_MAX + 1];
    double value;
    char *end;

    if (float_special(word, out)) {
        return ERR_OK;
    }
    if (!is_float_syntax(word)) {
        return invalid_syntax(type_name, text);
    }
    memcpy(copy, word.data, word.size);
    copy[word.size] = '\0';
    errno = 0;
    value = is_single ? (double)strtof(copy, &end) : strtod(copy, &end);
    if (end != copy + word.size) {
        return invalid_syntax(type_name, text);
    }
    if (errno == ERANGE && (value == 0 || isinf(value))) {
        return sql_error("22003", "\"%s\" is out of range for type %s", copy, type_name);
    }
    *out = value;
    return ERR_OK;
}

/* %g drops zeros at the end, so that the least digits show short numbers shortly. */
static void
shortest_digits(double value, bool is_single, char *out, size_t size)
{
    int most = is_single ? 9 : 17;

    for (int digits = is_single ? 6 : 15; digits <= most; digits++) {
        (void)snprintf(out, size, "%.*g", digits, value);
        if ((is_single ? (double)strtof(out, NULL) : strtod(out, NULL)) == value) {
            return;
        }
    }
}

/* PostgreSQL shows an exponent from 1e+15 (float4: 1e+06) up, %g only from the number of digits. */
static void
exponent_show(double value, bool is_single, char *text, size_t size)
{
    int significant = 0, count = 0;

    if (fabs(value) < (is_single ? 1e6 : 1e15) || strchr(text, 'e') != NULL) {
        return;
    }
    for (const char *at = text; *at != '\0'; at++) {
        if (isdigit((unsigned char)*at)) {
            count++;
            significant = *at != '0' ? count : significant;
        }
    }
    (void)snprintf(text, size, "%.*e", MAX(significant - 1, 0), value);
}

void
float_to_text(double value, bool is_single, int extra_float_digits, struct buf *out)
{
    char text[FLOAT_TEXT_MAX];

    if (isnan(value)) {
        buf_append(out, "NaN", 3);
        return;
    }
    if (isinf(value)) {
        buf_printf(out, "%s", value > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (extra_float_digits > 0) {
        shortest_digits(value, is_single, text, sizeof(text));
        exponent_show(value, is_single, text, sizeof(text));
    } else {
        (void)snprintf(text, sizeof(text), "%.*g",
                       MAX((is_single ? 6 : 15) + extra_float_digits, 1), value);
    }
    buf_printf(out, "%s", text);
}

err_t
float_input(const struct type *type, const struct type_io *context, struct slice text,
            int32_t typmod, struct datum *out)
{
    (void)context;
    (void)typmod;
    return float_from_text(text, type->oid == OID_FLOAT4, &out->f);
}

void
float_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    float_to_text(value.f, type->oid == OID_FLOAT4, settings->extra_float_digits, out);
}

err_t
float_receive(const struct type *type, const struct type_io *context, struct slice bytes,
              struct datum *out)
{
    (void)context;
    if (bytes.size != (size_t)type->length) {
        return wrong_size();
    }
    if (type->oid == OID_FLOAT4) {
        uint32_t bits = get_be32(bytes.data);
        float single;

        memcpy(&single, &bits, sizeof(single));
        out->f = single;
    } else {
        uint64_t bits = get_be64(bytes.data);

        memcpy(&out->f, &bits, sizeof(out->f));
    }
    return ERR_OK;
}

void
float_send(const struct type *type, struct datum value, struct buf *out)
{
    uint64_t bits;

    if (type->oid == OID_FLOAT4) {
        float single = (float)value.f;
        uint32_t single_bits;

        memcpy(&single_bits, &single, sizeof(single));
        be_append(out, single_bits, sizeof(single_bits));
        return;
    }
    memcpy(&bits, &value.f, sizeof(bits));
    be_append(out, bits, sizeof(bits));
}

/* ---- numeric ---- */

err_t
decimal_input(const struct type *type, const struct type_io *context, struct slice text,
              int32_t typmod, struct datum *out)
{
    struct datum value;
    err_t err = numeric_from_text(context->arena, text, &value.n);

    return err != ERR_OK ? err
                         : type_coerce_length(type, value, typmod, false, context->arena, out);
}

void
decimal_output(const struct type *type, const struct type_settings *settings, struct datum value,
               struct buf *out)
{
    (void)type;
    (void)settings;
    numeric_to_text(value.n, out);
}

err_t
decimal_receive(const struct type *type, const struct type_io *context, struct slice bytes,
                struct datum *out)
{
    (void)type;
    return numeric_receive(context->arena, bytes, &out->n);
}

void
decimal_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    numeric_send(value.n, out);
}

/* ---- text, varchar, char(n), name ---- */

size_t
text_prefix_bytes(struct slice text, uint64_t characters)
{
    size_t at = 0;

    for (; at < text.size && characters > 0; characters--) {
        at++;
        while (at < text.size && (text.data[at] & 0xc0) == 0x80) {
            at++;
        }
    }
    return at;
}

uint64_t
text_characters(struct slice text)
{
    uint64_t count = 0;

    for (size_t i = 0; i < text.size; i++) {
        count += (text.data[i] & 0xc0) != 0x80;
    }
    return count;
}

/* Bytes of the UTF-8 sequence at `at`, 0 when it is none (RFC 3629). */
static size_t
sequence_bytes(const uint8_t *at, size_t left)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = at[0] < 0x80 ? 1 : at[0] >> 5 == 6 ? 2 : at[0] >> 4 == 14 ? 3 : 4;
    uint32_t point;

    if (size == 1) {
        return at[0] != 0;
    }
    if ((size == 4 && at[0] >> 3 != 30) || size > left) {
        return 0;
    }
    point = at[0] & (0x7f >> size);
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
        point = point << 6 | (at[i] & 0x3f);
    }
    return point < least[size] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000) ? 0
                                                                                          : size;
}

err_t
text_check(struct slice text)
{
    for (size_t i = 0; i < text.size;) {
        size_t size = sequence_bytes(text.data + i, text.size - i);

        if (size == 0) {
            return sql_error("22021", "invalid byte sequence for encoding \"UTF8\": 0x%02x",
                             text.data[i]);
        }
        i += size;
    }
    return ERR_OK;
}

struct slice
bpchar_trim(struct slice text)
{
    while (text.size > 0 && text.data[text.size - 1] == ' ') {
        text.size--;
    }
    return text;
}

static err_t
text_pad(struct slice text, uint64_t spaces, struct arena *arena, struct slice *out)
{
    uint8_t *padded = arena_alloc(arena, text.size + spaces);

    if (padded == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    if (text.size > 0) {
        memcpy(padded, text.data, text.size);
    }
    memset(padded + text.size, ' ', spaces);
    *out = slice_of(padded, text.size + spaces);
    return ERR_OK;
}

err_t
text_fit(const struct type *type, struct slice text, int32_t length, bool is_explicit,
         struct arena *arena, struct slice *out)
{
    uint64_t characters = text_characters(text);
    size_t fits;

    *out = text;
    if (characters <= (uint64_t)length) {
        return type->oid == OID_BPCHAR ? text_pad(text, (uint64_t)length - characters, arena, out)
                                       : ERR_OK;
    }
    fits = text_prefix_bytes(text, (uint64_t)length);
    if (!is_explicit && bpchar_trim(text).size > fits) {
        return sql_error("22001", "value too long for type %s(%d)", type->display, length);
    }
    *out = slice_of(text.data, fits);
    return ERR_OK;
}

err_t
text_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    (void)type;
    (void)context;
    (void)typmod;
    out->bytes = text;
    return ERR_OK;
}

void
text_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    (void)type;
    (void)settings;
    buf_append(out, value.bytes.data, value.bytes.size);
}

err_t
text_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    (void)type;
    (void)context;
    out->bytes = bytes;
    return text_check(bytes);
}

void
text_send(const struct type *type, struct datum value, struct buf *out)
{
    (void)type;
    buf_append(out, value.bytes.data, value.bytes.size);
}

#define LIKE_TEXT(name)                                                                            \
    err_t name##_input(const struct type *type, const struct type_io *context, struct slice text,  \
                       int32_t typmod, struct datum *out)                                          \
    {                                                                                              \
        return type_coerce_length(type, datum_bytes(text), typmod, false, context->arena, out);    \
    }                                                                                              \
    void name##_output(const struct type *type, const struct type_settings *settings,              \
                       struct datum value, struct buf *out)                                        \
    {                                                                                              \
        text_output(type, settings, value, out);                                                   \
    }                                                                                              \
    err_t name##_receive(const struct type *type, const struct type_io *context,                   \
                         struct slice bytes, struct datum *out)                                    \
    {                                                                                              \
        return text_receive(type, context, bytes, out);                                            \
    }                                                                                              \
    void name##_send(const struct type *type, struct datum value, struct buf *out)                 \
    {                                                                                              \
        text_send(type, value, out);                                                               \
    }
LIKE_TEXT(varchar)
LIKE_TEXT(bpchar)

err_t
name_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    (void)type;
    (void)context;
    (void)typmod;
    if (text.size > NAME_BYTES_MAX) {
        size_t size = NAME_BYTES_MAX;

        /* Cut between characters; what is not UTF-8 may have nowhere to cut. */
        while (size > 0 && (text.data[size] & 0xc0) == 0x80) {
            size--;
        }
        text.size = size;
    }
    out->bytes = text;
    return ERR_OK;
}

void
name_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    text_output(type, settings, value, out);
}

err_t
name_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    if (bytes.size > NAME_BYTES_MAX) {
        return sql_error("42622", "identifier too long");
    }
    return text_receive(type, context, bytes, out);
}

void
name_send(const struct type *type, struct datum value, struct buf *out)
{
    text_send(type, value, out);
}

/* ---- bytea ---- */

static int
hex_digit(uint8_t c)
{
    if (isdigit(c)) {
        return c - '0';
    }
    c = (uint8_t)tolower(c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static err_t
bytea_from_hex(struct slice hex, struct arena *arena, struct slice *out)
{
    uint8_t *bytes = arena_alloc(arena, hex.size / 2 + 1);
    size_t used = 0;

    if (bytes == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (size_t i = 0; i < hex.size;) {
        int high, low;

        if (isspace(hex.data[i])) {
            i++;
            continue;
        }
        high = hex_digit(hex.data[i]);
        if (high < 0) {
            return sql_error("22023", "invalid hexadecimal digit: \"%c\"", hex.data[i]);
        }
        if (i + 1 == hex.size) {
            return sql_error("22023", "invalid hexadecimal data: odd number of digits");
        }
        low = hex_digit(hex.data[i + 1]);
        if (low < 0) {
            return sql_error("22023", "invalid hexadecimal digit: \"%c\"", hex.data[i + 1]);
        }
        bytes[used++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *out = slice_of(bytes, used);
    return ERR_OK;
}

static bool
is_octal(struct slice text, size_t at)
{
    return at + 3 < text.size + 0 && text.data[at + 1] >= '0' && text.data[at + 1] <= '3' &&
           text.data[at + 2] >= '0' && text.data[at + 2] <= '7' && text.data[at + 3] >= '0' &&
           text.data[at + 3] <= '7';
}

static err_t
bytea_from_escape(struct slice text, struct arena *arena, struct slice *out)
{
    uint8_t *bytes = arena_alloc(arena, text.size + 1);
    size_t used = 0;

    if (bytes == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (size_t i = 0; i < text.size;) {
        if (text.data[i] != '\\') {
            bytes[used++] = text.data[i++];
        } else if (i + 1 < text.size && text.data[i + 1] == '\\') {
            bytes[used++] = '\\';
            i += 2;
        } else if (is_octal(text, i)) {
            bytes[used++] = (uint8_t)((text.data[i + 1] - '0') << 6 |
                                      (text.data[i + 2] - '0') << 3 | (text.data[i + 3] - '0'));
            i += 4;
        } else {
            return sql_error("22P02", "invalid input syntax for type bytea");
        }
    }
    *out = slice_of(bytes, used);
    return ERR_OK;
}

err_t
bytea_input(const struct type *type, const struct type_io *context, struct slice text,
            int32_t typmod, struct datum *out)
{
    (void)type;
    (void)typmod;
    if (text.size >= 2 && text.data[0] == '\\' && text.data[1] == 'x') {
        return bytea_from_hex(slice_of(text.data + 2, text.size - 2), context->arena, &out->bytes);
    }
    return bytea_from_escape(text, context->arena, &out->bytes);
}

void
bytea_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    static const char digits[] = "0123456789abcdef";

    (void)type;
    if (!settings->bytea_escape) {
        buf_append(out, "\\x", 2);
    }
    for (size_t i = 0; i < value.bytes.size; i++) {
        uint8_t byte = value.bytes.data[i];

        if (!settings->bytea_escape) {
            buf_append_byte(out, (uint8_t)digits[byte >> 4]);
            buf_append_byte(out, (uint8_t)digits[byte & 15]);
        } else if (byte == '\\') {
            buf_append(out, "\\\\", 2);
        } else if (byte < 0x20 || byte > 0x7e) {
            buf_printf(out, "\\%03o", byte);
        } else {
            buf_append_byte(out, byte);
        }
    }
}

err_t
bytea_receive(const struct type *type, const struct type_io *context, struct slice bytes,
              struct datum *out)
{
    (void)type;
    (void)context;
    out->bytes = bytes;
    return ERR_OK;
}

void
bytea_send(const struct type *type, struct datum value, struct buf *out)
{
    text_send(type, value, out);
}

/* ---- uuid: RFC 9562's text, and the forms that PostgreSQL accepts beside it ---- */

err_t
uuid_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    uint8_t *bytes = arena_alloc(context->arena, UUID_BYTES);
    bool is_braced = text.size > 0 && text.data[0] == '{';
    size_t at = is_braced;

    (void)typmod;
    for (uint32_t i = 0; i < UUID_BYTES; i++) {
        int high = at < text.size ? hex_digit(text.data[at]) : -1;
        int low = at + 1 < text.size ? hex_digit(text.data[at + 1]) : -1;

        if (high < 0 || low < 0) {
            return invalid_syntax(type->name, text);
        }
        bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
        /* A hyphen may follow each group of four digits. */
        at += i % 2 == 1 && i + 1 < UUID_BYTES && at < text.size && text.data[at] == '-';
    }
    if (is_braced && at < text.size && text.data[at] == '}') {
        at++;
    } else if (is_braced) {
        return invalid_syntax(type->name, text);
    }
    if (at != text.size) {
        return invalid_syntax(type->name, text);
    }
    out->bytes = slice_of(bytes, UUID_BYTES);
    return ERR_OK;
}

void
uuid_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    (void)type;
    (void)settings;
    for (size_t i = 0; i < value.bytes.size; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            buf_append_byte(out, '-');
        }
        buf_printf(out, "%02x", value.bytes.data[i]);
    }
}

err_t
uuid_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    (void)type;
    (void)context;
    if (bytes.size != UUID_BYTES) {
        return wrong_size();
    }
    out->bytes = bytes;
    return ERR_OK;
}

void
uuid_send(const struct type *type, struct datum value, struct buf *out)
{
    text_send(type, value, out);
}

/* ---- Pseudo types: no value has them ---- */

err_t
pseudo_input(const struct type *type, const struct type_io *context, struct slice text,
             int32_t typmod, struct datum *out)
{
    (void)context;
    (void)text;
    (void)typmod;
    (void)out;
    return sql_error("0A000", "cannot accept a value of type %s", type->name);
}

void
pseudo_output(const struct type *type, const struct type_settings *settings, struct datum value,
              struct buf *out)
{
    text_output(type, settings, value, out);
}

err_t
pseudo_receive(const struct type *type, const struct type_io *context, struct slice bytes,
               struct datum *out)
{
    return pseudo_input(type, context, bytes, -1, out);
}

void
pseudo_send(const struct type *type, struct datum value, struct buf *out)
{
    text_send(type, value, out);
}
