/* query/copy/copy_fields.c - fields of a line, in text and CSV: read and written. */
#include "query/copy/copy.h"

#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

const uint8_t copy_signature[11] = {'P', 'G', 'C', 'O', 'P', 'Y', '\n', 0xff, '\r', '\n', 0};

/* ---- Text ---- */

static bool
is_octal(uint8_t byte)
{
    return byte >= '0' && byte <= '7';
}

static int
hex_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9'   ? byte - '0'
           : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10
           : byte >= 'A' && byte <= 'F' ? byte - 'A' + 10
                                        : -1;
}

static uint8_t
letter_escape(uint8_t letter)
{
    switch (letter) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    case 'v':
        return '\v';
    default:
        return letter;
    }
}

/* What stands behind a backslash at *at; moves behind it. */
static uint8_t
escape_read(const uint8_t **at, const uint8_t *end)
{
    uint8_t byte = *(*at)++;
    uint32_t value = 0;

    if (is_octal(byte)) {
        value = byte - '0';
        for (uint32_t i = 0; i < 2 && *at < end && is_octal(**at); i++) {
            value = value * 8 + (uint32_t)(*(*at)++ - '0');
        }
        return (uint8_t)value;
    }
    if (byte == 'x' && *at < end && hex_digit(**at) >= 0) {
        for (uint32_t i = 0; i < 2 && *at < end && hex_digit(**at) >= 0; i++) {
            value = value * 16 + (uint32_t)hex_digit(*(*at)++);
        }
        return (uint8_t)value;
    }
    return letter_escape(byte);
}

static struct slice
unescape(struct slice raw, struct arena *arena)
{
    uint8_t *out = arena_alloc(arena, raw.size);
    const uint8_t *at = raw.data, *end = raw.data + raw.size;
    size_t size = 0;

    while (at < end) {
        uint8_t byte = *at++;

        out[size++] = byte == '\\' && at < end ? escape_read(&at, end) : byte;
    }
    return slice_of(out, size);
}

err_t
copy_text_split(const struct copy_options *options, struct slice line, struct arena *arena,
                struct copy_field *fields, uint32_t most, uint32_t *count_out)
{
    const uint8_t *at = line.data, *end = line.data + line.size;
    uint32_t count = 0;

    for (bool is_last = false; !is_last; count++) {
        const uint8_t *start = at;
        bool has_escape = false;

        while (at < end && *at != (uint8_t)options->delimiter) {
            if (*at == '\\' && at + 1 < end) {
                has_escape = true;
                at++;
            }
            at++;
        }
        if (count < most) {
            struct slice raw = slice_of(start, (size_t)(at - start));
            struct copy_field *field = &fields[count];

            field->is_null = slice_equal(raw, options->null);
            field->text = has_escape && !field->is_null ? unescape(raw, arena) : raw;
            if (has_escape && !field->is_null) { /* It may have made bytes that are no text. */
                err_t err = text_check(field->text);

                if (err != ERR_OK) {
                    return err;
                }
            }
        }
        is_last = at >= end;
        at++;
    }
    *count_out = count;
    return ERR_OK;
}

/* ---- CSV ---- */

/* Reads the field at *at up to its delimiter; writes it without quotes to `out`, which has room
 * for what is left of the line. */
static err_t
csv_field(const struct copy_options *options, const uint8_t **at, const uint8_t *end, uint8_t *out,
          size_t *size_out, bool *is_quoted_out)
{
    uint8_t quote = (uint8_t)options->quote, escape = (uint8_t)options->escape;
    const uint8_t *place = *at;
    bool is_in_quote = false;
    size_t size = 0;

    *is_quoted_out = false;
    while (place < end && (is_in_quote || *place != (uint8_t)options->delimiter)) {
        uint8_t byte = *place++;

        if (!is_in_quote && byte == quote) {
            *is_quoted_out = true;
            is_in_quote = true;
        } else if (is_in_quote && byte == escape && place < end &&
                   (*place == escape || *place == quote)) {
            out[size++] = *place++;
        } else if (is_in_quote && byte == quote) {
            is_in_quote = false;
        } else {
            out[size++] = byte;
        }
    }
    *at = place;
    *size_out = size;
    return is_in_quote ? sql_error("22P04", "unterminated CSV quoted field") : ERR_OK;
}

err_t
copy_csv_split(const struct copy_options *options, const struct copy_column *columns,
               struct slice line, struct arena *arena, struct copy_field *fields, uint32_t most,
               uint32_t *count_out)
{
    const uint8_t *at = line.data, *end = line.data + line.size;
    uint8_t *out = arena_alloc(arena, line.size + 1);
    uint32_t count = 0;
    err_t err = ERR_OK;

    for (bool is_last = false; !is_last; count++) {
        const uint8_t *start = at;
        bool is_quoted;
        size_t size;

        TRY(csv_field(options, &at, end, out, &size, &is_quoted));
        if (count < most) {
            struct copy_field *field = &fields[count];
            bool may_be_null = columns[count].is_null_quoted || !is_quoted;

            field->text = slice_of(out, size);
            /* What was not quoted is compared as it stands in the line. */
            field->is_null =
                may_be_null && !columns[count].is_never_null &&
                slice_equal(is_quoted ? field->text : slice_of(start, (size_t)(at - start)),
                            options->null);
        }
        out += size;
        is_last = at >= end;
        at++;
    }
    *count_out = count;
out:
    return err;
}

/* ---- Writing ---- */

void
copy_text_put(const struct copy_options *options, struct slice value, struct buf *out)
{
    static const char letters[] = {
        ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['\v'] = 'v'};
    uint8_t *to = buf_reserve(out, 2 * value.size);
    uint8_t *at = to;

    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];

        if (byte < sizeof(letters) && letters[byte] != '\0') {
            *at++ = '\\';
            byte = (uint8_t)letters[byte];
        } else if (byte == '\\' || byte == (uint8_t)options->delimiter) {
            *at++ = '\\';
        }
        *at++ = byte;
    }
    out->size += (size_t)(at - to);
}

static bool
csv_needs_quotes(const struct copy_options *options, struct slice value, bool alone)
{
    if (slice_equal(value, options->null) ||
        (alone && value.size == 2 && memcmp(value.data, "\\.", 2) == 0)) {
        return true;
    }
    for (size_t i = 0; i < value.size; i++) {
        uint8_t byte = value.data[i];

        if (byte == (uint8_t)options->delimiter || byte == (uint8_t)options->quote ||
            byte == '\n' || byte == '\r') {
            return true;
        }
    }
    return false;
}

void
copy_csv_put(const struct copy_options *options, struct slice value, bool quotes, bool alone,
             struct buf *out)
{
    if (!quotes && !csv_needs_quotes(options, value, alone)) {
        buf_append(out, value.data, value.size);
        return;
    }
    buf_append_byte(out, (uint8_t)options->quote);
    for (size_t i = 0; i < value.size; i++) {
        if (value.data[i] == (uint8_t)options->quote || value.data[i] == (uint8_t)options->escape) {
            buf_append_byte(out, (uint8_t)options->escape);
        }
        buf_append_byte(out, value.data[i]);
    }
    buf_append_byte(out, (uint8_t)options->quote);
}
