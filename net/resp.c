/* net/resp.c - a resumable parser of RESP requests.
 *
 *     *2\r\n $3\r\n GET\r\n $3\r\n key\r\n        multibulk: a count, then lengths and bytes
 *     GET key\r\n                                inline: words, quotes as in a shell */
#include "net/resp.h"

#include <stdio.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { ARGS_CAPACITY_MIN = 16, ARGS_CAPACITY_KEPT = 1024 };

void
resp_parser_init(struct resp_parser *parser)
{
    memset(parser, 0, sizeof(*parser));
    buf_init(&parser->unquoted, MEM_SESSIONS);
}

void
resp_parser_fini(struct resp_parser *parser)
{
    mem_free(MEM_SESSIONS, parser->args, parser->arg_capacity * sizeof(*parser->args));
    buf_fini(&parser->unquoted);
    parser->args = NULL;
    parser->arg_capacity = 0;
}

/* Begin the next request. */
static void
parser_restart(struct resp_parser *parser)
{
    if (parser->arg_capacity > ARGS_CAPACITY_KEPT) {
        mem_free(MEM_SESSIONS, parser->args, parser->arg_capacity * sizeof(*parser->args));
        parser->args = NULL;
        parser->arg_capacity = 0;
    }
    parser->arg_count = 0;
    parser->at = 0;
    parser->args_missing = 0;
    parser->in_multibulk = false;
    parser->has_bulk_length = false;
    buf_clear(&parser->unquoted);
}

/* The array grows with the arguments that have arrived, never by an announced count alone. */
static void
parser_push(struct resp_parser *parser, uint64_t offset, uint64_t size)
{
    if (parser->arg_count == parser->arg_capacity) {
        uint32_t capacity = MAX(parser->arg_capacity * 2, (uint32_t)ARGS_CAPACITY_MIN);

        parser->args =
            mem_realloc(MEM_SESSIONS, parser->args, parser->arg_capacity * sizeof(*parser->args),
                        capacity * sizeof(*parser->args));
        parser->arg_capacity = capacity;
    }
    parser->args[parser->arg_count++] = (struct resp_span){offset, size};
}

/* The line at parser->at without its "\r\n"; false when its end has not come. */
static bool
line_take(const struct resp_parser *parser, struct slice input, struct slice *line_out,
          uint64_t *next_out)
{
    const uint8_t *start = input.data + parser->at;
    size_t left = input.size - parser->at;
    const uint8_t *end = left > 0 ? memchr(start, '\r', left) : NULL;

    if (end == NULL || (size_t)(end - start) + 2 > left) {
        return false;
    }
    *line_out = slice_of(start, (size_t)(end - start));
    *next_out = parser->at + (uint64_t)(end - start) + 2;
    return true;
}

/* A decimal number with an optional minus sign. */
static bool
number_parse(struct slice text, int64_t *value_out)
{
    bool is_negative = text.size > 0 && text.data[0] == '-';
    size_t at = is_negative ? 1 : 0;
    int64_t value = 0;

    if (at == text.size || text.size - at > 18) {
        return false;
    }
    for (; at < text.size; at++) {
        if (text.data[at] < '0' || text.data[at] > '9') {
            return false;
        }
        value = value * 10 + (text.data[at] - '0');
    }
    *value_out = is_negative ? -value : value;
    return true;
}

static enum resp_status
count_parse(struct resp_parser *parser, struct slice input, const struct resp_limits *limits,
            uint64_t *consumed_out, const char **error_out)
{
    struct slice line;
    uint64_t next;
    int64_t count;

    if (!line_take(parser, input, &line, &next)) {
        if (input.size - parser->at > RESP_INLINE_BYTES_MAX) {
            *error_out = "too big mbulk count string";
            return RESP_ERROR;
        }
        return RESP_INCOMPLETE;
    }
    line = slice_of(line.data + 1, line.size - 1);
    if (!number_parse(line, &count) || count > RESP_ARGS_MAX) {
        *error_out = "invalid multibulk length";
        return RESP_ERROR;
    }
    if (!limits->is_authenticated && count > RESP_ARGS_MAX_UNAUTHENTICATED) {
        *error_out = "unauthenticated multibulk length";
        return RESP_ERROR;
    }
    if (count <= 0) {
        *consumed_out = next;
        parser_restart(parser);
        return RESP_NOTHING;
    }
    parser->in_multibulk = true;
    parser->args_missing = (uint32_t)count;
    parser->at = next;
    return RESP_READY;
}

static enum resp_status
bulk_length_parse(struct resp_parser *parser, struct slice input, const struct resp_limits *limits,
                  const char **error_out)
{
    struct slice line;
    uint64_t next;
    int64_t bytes;

    if (parser->at < input.size && input.data[parser->at] != '$') {
        snprintf(parser->error, sizeof(parser->error), "expected '$', got '%c'",
                 input.data[parser->at]);
        *error_out = parser->error;
        return RESP_ERROR;
    }
    if (!line_take(parser, input, &line, &next)) {
        if (input.size - parser->at > RESP_INLINE_BYTES_MAX) {
            *error_out = "too big bulk count string";
            return RESP_ERROR;
        }
        return RESP_INCOMPLETE;
    }
    line = slice_of(line.data + 1, line.size - 1);
    if (!number_parse(line, &bytes) || bytes < 0 || (uint64_t)bytes > limits->bulk_bytes_max) {
        *error_out = "invalid bulk length";
        return RESP_ERROR;
    }
    if (!limits->is_authenticated && bytes > RESP_BULK_BYTES_MAX_UNAUTHENTICATED) {
        *error_out = "unauthenticated bulk length";
        return RESP_ERROR;
    }
    parser->has_bulk_length = true;
    parser->bulk_bytes = (uint64_t)bytes;
    parser->at = next;
    return RESP_READY;
}

static enum resp_status
multibulk_parse(struct resp_parser *parser, struct slice input, const struct resp_limits *limits,
                uint64_t *consumed_out, const char **error_out)
{
    while (parser->args_missing > 0) {
        if (!parser->has_bulk_length) {
            enum resp_status status = bulk_length_parse(parser, input, limits, error_out);

            if (status != RESP_READY) {
                return status;
            }
        }
        if (input.size - parser->at < parser->bulk_bytes + 2) {
            return RESP_INCOMPLETE;
        }
        parser_push(parser, parser->at, parser->bulk_bytes);
        parser->at += parser->bulk_bytes + 2;
        parser->has_bulk_length = false;
        parser->args_missing--;
    }
    *consumed_out = parser->at;
    return RESP_READY;
}

static int
hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One backslash sequence of a double-quoted word; returns the bytes it took. */
static size_t
escape_unquote(struct buf *out, const uint8_t *at, const uint8_t *end)
{
    static const char names[] = "nrtba";
    static const char values[] = "\n\r\t\b\a";
    const char *name;

    if (end - at >= 4 && at[1] == 'x' && hex_digit(at[2]) >= 0 && hex_digit(at[3]) >= 0) {
        buf_append_byte(out, (uint8_t)(hex_digit(at[2]) << 4 | hex_digit(at[3])));
        return 4;
    }
    name = at[1] != '\0' ? strchr(names, at[1]) : NULL;
    buf_append_byte(out, name != NULL ? (uint8_t)values[name - names] : at[1]);
    return 2;
}

static bool
is_space(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0';
}

/* One word, appended to `out`; NULL when its quotes do not balance. */
static const uint8_t *
word_unquote(struct buf *out, const uint8_t *at, const uint8_t *end)
{
    uint8_t quote = 0;

    while (at < end && (quote != 0 || !is_space(*at))) {
        if (quote == '"' && *at == '\\' && end - at >= 2) {
            at += escape_unquote(out, at, end);
        } else if (quote == '\'' && end - at >= 2 && at[0] == '\\' && at[1] == '\'') {
            buf_append_byte(out, '\'');
            at += 2;
        } else if (quote != 0 && *at == quote) {
            quote = 0;
            at++;
            if (at < end && !is_space(*at)) {
                return NULL; /* A closing quote ends the word. */
            }
        } else if (quote == 0 && (*at == '"' || *at == '\'')) {
            quote = *at++;
        } else {
            buf_append_byte(out, *at++);
        }
    }
    return quote == 0 ? at : NULL;
}

/* Words of an inline request lie in parser->unquoted; their spans say so by the offset. */
#define SPAN_IN_UNQUOTED (UINT64_C(1) << 63)

static enum resp_status
inline_parse(struct resp_parser *parser, struct slice input, uint64_t *consumed_out,
             const char **error_out)
{
    const uint8_t *newline = memchr(input.data, '\n', input.size);
    const uint8_t *at = input.data;
    const uint8_t *end;

    if (newline == NULL) {
        if (input.size > RESP_INLINE_BYTES_MAX) {
            *error_out = "too big inline request";
            return RESP_ERROR;
        }
        return RESP_INCOMPLETE;
    }
    end = newline > input.data && newline[-1] == '\r' ? newline - 1 : newline;
    *consumed_out = (uint64_t)(newline - input.data) + 1;
    for (;;) {
        size_t start = parser->unquoted.size;

        while (at < end && is_space(*at)) {
            at++;
        }
        if (at == end) {
            break;
        }
        at = word_unquote(&parser->unquoted, at, end);
        if (at == NULL) {
            *error_out = "unbalanced quotes in request";
            return RESP_ERROR;
        }
        parser_push(parser, start | SPAN_IN_UNQUOTED, parser->unquoted.size - start);
    }
    if (parser->arg_count == 0) {
        parser_restart(parser);
        return RESP_NOTHING;
    }
    parser->at = *consumed_out;
    return RESP_READY;
}

enum resp_status
resp_parse(struct resp_parser *parser, struct slice input, const struct resp_limits *limits,
           uint64_t *consumed_out, const char **error_out)
{
    /* The last call gave a whole request, so this input begins a new one. */
    if (parser->arg_count > 0 && parser->args_missing == 0) {
        parser_restart(parser);
    }
    if (input.size == 0) {
        return RESP_INCOMPLETE;
    }
    if (!parser->in_multibulk) {
        enum resp_status status;

        if (input.data[0] != '*') {
            return inline_parse(parser, input, consumed_out, error_out);
        }
        status = count_parse(parser, input, limits, consumed_out, error_out);
        if (status != RESP_READY) {
            return status;
        }
    }
    return multibulk_parse(parser, input, limits, consumed_out, error_out);
}

struct slice
resp_arg(const struct resp_parser *parser, struct slice input, uint32_t index)
{
    struct resp_span span;

    ASSERT(index < parser->arg_count);
    span = parser->args[index];
    if (span.size == 0) {
        return SLICE(""); /* `unquoted` may have no bytes to point into. */
    }
    if ((span.offset & SPAN_IN_UNQUOTED) != 0) {
        return slice_of(parser->unquoted.data + (span.offset & ~SPAN_IN_UNQUOTED), span.size);
    }
    ASSERT(span.offset + span.size <= input.size);
    return slice_of(input.data + span.offset, span.size);
}

uint64_t
resp_missing_bytes(const struct resp_parser *parser, size_t input_bytes)
{
    if (!parser->has_bulk_length || parser->at + parser->bulk_bytes + 2 <= input_bytes) {
        return 0;
    }
    return parser->at + parser->bulk_bytes + 2 - input_bytes;
}
