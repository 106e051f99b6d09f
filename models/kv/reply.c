/* models/kv/reply.c - see the header. */
#include "models/kv/reply.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { NUMBER_LINE_BYTES = 32, DIGITS_MAX = 17 };
enum {
    ERROR_LINE_BYTES_USUAL = 1024,
    ERROR_LINE_BYTES_MAX = 64 * 1024, /* An error that quotes a longer name is cut. */
};

void
reply_init(struct reply *reply, uint8_t resp)
{
    ASSERT(resp == 2 || resp == 3);
    buf_init(&reply->buf, MEM_SESSIONS);
    reply->gone = 0;
    reply->resp = resp;
    reply->errors = 0;
}

void
reply_fini(struct reply *reply)
{
    buf_fini(&reply->buf);
}

void
reply_cut(struct reply *reply, struct reply_mark mark)
{
    size_t size = mark.offset > reply->gone ? (size_t)(mark.offset - reply->gone) : 0;

    reply->buf.size = MIN(reply->buf.size, size);
    reply->errors = mark.errors;
}

size_t
reply_format_int(int64_t value, char out[24])
{
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    size_t size = value < 0 ? 2 : 1;

    /* First the length, then the digits in their places: copying them from elsewhere would wait
     * for the single bytes to reach the cache. */
    for (uint64_t above = rest; above >= 10; above /= 10) {
        size++;
    }
    for (size_t at = size; at > (value < 0 ? 1u : 0u); rest /= 10) {
        out[--at] = (char)('0' + rest % 10);
    }
    if (value < 0) {
        out[0] = '-';
    }
    return size;
}

/* A type byte, a number, a line end. */
static void
number_line(struct reply *reply, char type, int64_t value)
{
    uint8_t *at = buf_reserve(&reply->buf, NUMBER_LINE_BYTES);
    size_t size;

    at[0] = (uint8_t)type;
    size = 1 + reply_format_int(value, (char *)at + 1);
    at[size++] = '\r';
    at[size++] = '\n';
    reply->buf.size += size;
}

void
reply_insert(struct reply *reply, struct reply_mark mark, struct slice bytes)
{
    size_t at = mark.offset > reply->gone ? (size_t)(mark.offset - reply->gone) : 0;

    at = MIN(at, reply->buf.size);
    buf_reserve(&reply->buf, bytes.size);
    memmove(reply->buf.data + at + bytes.size, reply->buf.data + at, reply->buf.size - at);
    memcpy(reply->buf.data + at, bytes.data, bytes.size);
    reply->buf.size += bytes.size;
}

/* The line that was written last goes to the mark, before what follows it. */
static void
line_move(struct reply *reply, struct reply_mark mark, size_t line_at)
{
    uint8_t line[NUMBER_LINE_BYTES];
    size_t size = reply->buf.size - line_at;

    memcpy(line, reply->buf.data + line_at, size);
    reply->buf.size = line_at;
    reply_insert(reply, mark, slice_of(line, size));
}

static void
text_line(struct reply *reply, char type, const char *text)
{
    buf_append_byte(&reply->buf, (uint8_t)type);
    buf_append(&reply->buf, text, strlen(text));
    buf_append(&reply->buf, "\r\n", 2);
}

void
reply_simple(struct reply *reply, const char *text)
{
    text_line(reply, '+', text);
}

void
reply_ok(struct reply *reply)
{
    buf_append(&reply->buf, "+OK\r\n", 5);
}

static void
error_line(struct reply *reply, char *text)
{
    for (char *at = text; *at != '\0'; at++) {
        if (*at == '\r' || *at == '\n') {
            *at = ' ';
        }
    }
    reply->errors++;
    text_line(reply, '-', text);
}

void
reply_error(struct reply *reply, const char *format, ...)
{
    char text[ERROR_LINE_BYTES_USUAL];
    va_list arguments;
    int size;

    va_start(arguments, format);
    size = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (size >= (int)sizeof(text)) {
        size_t bytes = MIN((size_t)size + 1, (size_t)ERROR_LINE_BYTES_MAX);
        char *longer = mem_alloc(MEM_SESSIONS, bytes);

        if (longer != NULL) {
            va_start(arguments, format);
            vsnprintf(longer, bytes, format, arguments);
            va_end(arguments);
            error_line(reply, longer);
            mem_free(MEM_SESSIONS, longer, bytes);
            return;
        }
    }
    error_line(reply, text);
}

void
reply_err(struct reply *reply, err_t err)
{
    ASSERT(err != ERR_OK);
    reply_error(reply, "%s %s", err_resp(err), err_message(err));
}

void
reply_int(struct reply *reply, int64_t value)
{
    number_line(reply, ':', value);
}

void
reply_bulk(struct reply *reply, struct slice bytes)
{
    uint8_t *at;
    size_t size;

    /* A client chose the size, so that its memory may be short without ending the process. */
    if (reply->buf.capacity - reply->buf.size < bytes.size + NUMBER_LINE_BYTES + 2 &&
        !buf_try_reserve(&reply->buf, bytes.size + NUMBER_LINE_BYTES + 2)) {
        reply_error(reply, "OOM no memory for a reply of %zu bytes", bytes.size);
        return;
    }
    at = reply->buf.data + reply->buf.size;
    at[0] = '$';
    size = 1 + reply_format_int((int64_t)bytes.size, (char *)at + 1);
    at[size++] = '\r';
    at[size++] = '\n';
    if (bytes.size > 0) {
        memcpy(at + size, bytes.data, bytes.size);
    }
    size += bytes.size;
    at[size++] = '\r';
    at[size++] = '\n';
    reply->buf.size += size;
}

void
reply_bulk_text(struct reply *reply, const char *text)
{
    reply_bulk(reply, slice_from_text(text));
}

void
reply_bulk_printf(struct reply *reply, const char *format, ...)
{
    struct buf text;
    va_list arguments;
    int size;

    buf_init(&text, MEM_SESSIONS);
    va_start(arguments, format);
    size = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    ASSERT(size >= 0);
    buf_reserve(&text, (size_t)size + 1);
    va_start(arguments, format);
    vsnprintf((char *)text.data, (size_t)size + 1, format, arguments);
    va_end(arguments);
    reply_bulk(reply, slice_of(text.data, (size_t)size));
    buf_fini(&text);
}

void
reply_bulk_int(struct reply *reply, int64_t value)
{
    char digits[24];

    reply_bulk(reply, slice_of(digits, reply_format_int(value, digits)));
}

void
reply_null(struct reply *reply)
{
    buf_append(&reply->buf, reply->resp == 3 ? "_\r\n" : "$-1\r\n", reply->resp == 3 ? 3 : 5);
}

void
reply_null_array(struct reply *reply)
{
    buf_append(&reply->buf, reply->resp == 3 ? "_\r\n" : "*-1\r\n", reply->resp == 3 ? 3 : 5);
}

void
reply_array(struct reply *reply, uint64_t count)
{
    number_line(reply, '*', (int64_t)count);
}

void
reply_map(struct reply *reply, uint64_t pairs)
{
    number_line(reply, reply->resp == 3 ? '%' : '*',
                (int64_t)(reply->resp == 3 ? pairs : 2 * pairs));
}

void
reply_array_at(struct reply *reply, struct reply_mark mark, uint64_t count)
{
    size_t line_at = reply->buf.size;

    reply_array(reply, count);
    line_move(reply, mark, line_at);
}

void
reply_map_at(struct reply *reply, struct reply_mark mark, uint64_t pairs)
{
    size_t line_at = reply->buf.size;

    reply_map(reply, pairs);
    line_move(reply, mark, line_at);
}

void
reply_set(struct reply *reply, uint64_t count)
{
    number_line(reply, reply->resp == 3 ? '~' : '*', (int64_t)count);
}

void
reply_push(struct reply *reply, uint64_t count)
{
    number_line(reply, reply->resp == 3 ? '>' : '*', (int64_t)count);
}

void
reply_attribute(struct reply *reply, uint64_t pairs)
{
    ASSERT(reply->resp == 3);
    number_line(reply, '|', (int64_t)pairs);
}

void
reply_bool(struct reply *reply, bool value)
{
    if (reply->resp == 3) {
        text_line(reply, '#', value ? "t" : "f");
    } else {
        reply_int(reply, value);
    }
}

void
reply_double(struct reply *reply, double value)
{
    char text[REPLY_NUMBER_BYTES_MAX];
    size_t size = reply_format_double(value, text);

    if (reply->resp == 3) {
        buf_append_byte(&reply->buf, ',');
        buf_append(&reply->buf, text, size);
        buf_append(&reply->buf, "\r\n", 2);
    } else {
        reply_bulk(reply, slice_of(text, size));
    }
}

void
reply_verbatim(struct reply *reply, const char extension[4], struct slice text)
{
    if (reply->resp == 2) {
        reply_bulk(reply, text);
        return;
    }
    number_line(reply, '=', (int64_t)text.size + 4);
    buf_append(&reply->buf, extension, 3);
    buf_append_byte(&reply->buf, ':');
    buf_append(&reply->buf, text.data, text.size);
    buf_append(&reply->buf, "\r\n", 2);
}

void
reply_big_number(struct reply *reply, const char *digits)
{
    if (reply->resp == 3) {
        text_line(reply, '(', digits);
    } else {
        reply_bulk_text(reply, digits);
    }
}

/* The fewest significant digits that read back as the same value, as an integer to be multiplied
 * by ten to *power_out. Returns how many. No two decimals of DBL_DIG digits are one normal double,
 * so that fewer digits are enough only where the DBL_DIG ones end with zeros. */
static size_t
shortest_digits(double value, char digits[DIGITS_MAX + 1], int *power_out)
{
    char text[NUMBER_LINE_BYTES];
    size_t count = 0;
    int precision = isnormal(value) ? DBL_DIG - 1 : 0;
    char *exponent;

    do {
        snprintf(text, sizeof(text), "%.*e", precision, value);
    } while (strtod(text, NULL) != value && ++precision < DIGITS_MAX);
    exponent = strchr(text, 'e');
    for (const char *at = text; at < exponent; at++) {
        if (*at != '.') {
            digits[count++] = *at;
        }
    }
    while (count > 1 && digits[count - 1] == '0') {
        count--;
    }
    *power_out = atoi(exponent + 1) - (int)count + 1;
    return count;
}

/* Where Redis changes from plain to scientific notation. */
enum { PLAIN_ZEROS_MAX = 7, PLAIN_POWER_MIN = -7, PLAIN_EXPONENT_MAX = 4 };

size_t
reply_format_double(double value, char out[REPLY_NUMBER_BYTES_MAX])
{
    char digits[DIGITS_MAX + 1];
    const char *sign = signbit(value) && !isnan(value) ? "-" : "";
    int count;
    int power;
    int exponent;

    if (isnan(value) || isinf(value) || value == 0) {
        return (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%s%s", sign,
                                isnan(value)   ? "nan"
                                : isinf(value) ? "inf"
                                               : "0");
    }
    count = (int)shortest_digits(fabs(value), digits, &power);
    exponent = power + count - 1;
    if (power >= 0 && exponent < count + PLAIN_ZEROS_MAX) {
        return (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%s%.*s%.*s", sign, count, digits,
                                power, "00000000");
    }
    if (power < 0 && (power > PLAIN_POWER_MIN || abs(exponent) < PLAIN_EXPONENT_MAX)) {
        int whole = count + power; /* Digits before the point. */

        if (whole > 0) {
            return (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%s%.*s.%.*s", sign, whole, digits,
                                    count - whole, digits + whole);
        }
        return (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%s0.%.*s%.*s", sign, -whole,
                                "00000000", count, digits);
    }
    return (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%s%c%s%.*se%+d", sign, digits[0],
                            count > 1 ? "." : "", count - 1, digits + 1, exponent);
}

size_t
reply_format_long_double(long double value, char out[REPLY_NUMBER_BYTES_MAX])
{
    size_t size = (size_t)snprintf(out, REPLY_NUMBER_BYTES_MAX, "%.17Lf", value);

    ASSERT(size < REPLY_NUMBER_BYTES_MAX);
    if (memchr(out, '.', size) != NULL) {
        while (out[size - 1] == '0') {
            size--;
        }
        if (out[size - 1] == '.') {
            size--;
        }
    }
    if (size == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        size = 1;
    }
    out[size] = '\0';
    return size;
}

bool
reply_parse_int(struct slice text, int64_t *value_out)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t at = is_negative ? 1 : 0;
    uint64_t value = 0;
    uint64_t bound = is_negative ? (uint64_t)1 << 63 : INT64_MAX;

    if (text.size == at || text.size > 20) {
        return false;
    }
    if (text.data[at] == '0') {
        if (text.size != 1) {
            return false;
        }
        *value_out = 0;
        return true;
    }
    for (; at < text.size; at++) {
        uint8_t digit = (uint8_t)(text.data[at] - '0');

        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value) || value > bound) {
            return false;
        }
    }
    *value_out = is_negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}
