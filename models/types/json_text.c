/* models/types/json_text.c - the parser of JSON. */
#include "models/types/json_text.h"

#include <ctype.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum token { TOKEN_END, TOKEN_STRING, TOKEN_NUMBER, TOKEN_WORD, TOKEN_PUNCTUATION };

enum { CONTEXT_BYTES = 50, SURROGATE_HIGH = 0xd800, SURROGATE_LOW = 0xdc00 };

struct parser {
    const uint8_t *text, *end;
    struct arena *arena;
    const struct json_events *events;
    const uint8_t *at;                 /* Behind the token. */
    const uint8_t *start, *terminator; /* Of the token. */
    enum token token;
    enum json_kind kind; /* Of a scalar token. */
    struct slice string; /* Of a string token, without escapes. */
    const uint8_t *line_start;
    uint32_t line;
    uint8_t open[JSON_DEPTH_MAX / 8 + 1]; /* A bit a level: is it an object? */
    uint32_t depth;
};

/* ---- Errors ---- */

static bool
is_high(uint8_t c)
{
    return (c & 0x80) != 0;
}

static size_t
character_bytes(const uint8_t *at, const uint8_t *end)
{
    size_t size = 1;

    while (is_high(*at) && at + size < end && (at[size] & 0xc0) == 0x80) {
        size++;
    }
    return size;
}

/* The end of the line up to the token, as PostgreSQL shows it. */
static err_t
with_context(const struct parser *parser)
{
    const uint8_t *from = parser->line_start, *to = parser->terminator;
    bool is_cut;

    while (to - from >= CONTEXT_BYTES) {
        from += character_bytes(from, to);
    }
    if (from - parser->line_start <= 3) {
        from = parser->line_start;
    }
    is_cut = parser->token != TOKEN_END && to < parser->end && *to != '\n' && *to != '\r';
    return sql_context(ERR_SQL, "JSON data, line %u: %s%.*s%s", parser->line,
                       from > parser->line_start ? "..." : "", (int)(to - from), (const char *)from,
                       is_cut ? "..." : "");
}

static err_t
invalid(void)
{
    return sql_error("22P02", "invalid input syntax for type json");
}

/* format: with one %.*s, for the token. */
#define TOKEN_ERROR(parser, format)                                                                \
    (invalid(),                                                                                    \
     sql_detail(format, (int)((parser)->terminator - (parser)->start),                             \
                (const char *)(parser)->start),                                                    \
     with_context(parser))

static err_t
invalid_token(struct parser *parser, const uint8_t *terminator)
{
    parser->terminator = terminator;
    parser->token = TOKEN_WORD;
    return TOKEN_ERROR(parser, "Token \"%.*s\" is invalid.");
}

static err_t
expected(const struct parser *parser, const char *what)
{
    (void)invalid();
    if (parser->token == TOKEN_END) {
        (void)sql_detail("The input string ended unexpectedly.");
    } else {
        (void)sql_detail("Expected %s, but found \"%.*s\".", what,
                         (int)(parser->terminator - parser->start), (const char *)parser->start);
    }
    return with_context(parser);
}

err_t
json_too_deep(void)
{
    (void)sql_error("54001", "stack depth limit exceeded");
    return sql_hint("JSON may be nested at most %d deep.", JSON_DEPTH_MAX);
}

/* ---- Strings ---- */

static err_t
unicode_error(struct parser *parser, const char *detail)
{
    (void)invalid();
    (void)sql_detail("%s", detail);
    return with_context(parser);
}

static int
hex_digit(uint8_t c)
{
    return isdigit(c) ? c - '0' : isxdigit(c) ? tolower(c) - 'a' + 10 : -1;
}

static err_t
hex_read(struct parser *parser, const uint8_t **at, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, ++*at) {
        int digit;

        if (*at == parser->end) {
            return invalid_token(parser, *at);
        }
        digit = hex_digit(**at);
        if (digit < 0) {
            parser->terminator = *at + character_bytes(*at, parser->end);
            return unicode_error(parser, "\"\\u\" must be followed by four hexadecimal digits.");
        }
        *out = *out << 4 | (uint32_t)digit;
    }
    return ERR_OK;
}

static size_t
utf8_put(uint32_t point, uint8_t *out)
{
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        out[0] = (uint8_t)(0xc0 | point >> 6);
        out[1] = (uint8_t)(0x80 | (point & 0x3f));
        return 2;
    }
    if (point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | point >> 12);
        out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | point >> 18);
    out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (point & 0x3f));
    return 4;
}

/* What a string token is made of. */
struct unescape {
    uint8_t *out; /* NULL: nothing is kept. */
    size_t size;
    uint32_t high; /* A surrogate that waits for its other half; 0: none. */
};

#define LOW_MISSING "Unicode low surrogate must follow a high surrogate."

/* Behind the u of an escape. */
static err_t
unicode_read(struct parser *parser, const uint8_t **at, struct unescape *to)
{
    uint32_t point;
    err_t err = hex_read(parser, at, &point);

    if (err != ERR_OK || to->out == NULL) {
        return err;
    }
    parser->terminator = *at;
    if (point >= SURROGATE_HIGH && point < SURROGATE_LOW) {
        if (to->high != 0) {
            return unicode_error(parser,
                                 "Unicode high surrogate must not follow a high surrogate.");
        }
        to->high = point;
        return ERR_OK;
    }
    if (point >= SURROGATE_LOW && point < 0xe000) {
        if (to->high == 0) {
            return unicode_error(parser, LOW_MISSING);
        }
        point = 0x10000 + ((to->high & 0x3ff) << 10) + (point & 0x3ff);
        to->high = 0;
    }
    if (to->high != 0) {
        return unicode_error(parser, LOW_MISSING);
    }
    if (point == 0) {
        (void)sql_error("22P05", "unsupported Unicode escape sequence");
        (void)sql_detail("\\u0000 cannot be converted to text.");
        return with_context(parser);
    }
    to->size += utf8_put(point, to->out + to->size);
    return ERR_OK;
}

/* Behind the backslash. */
static err_t
escape_read(struct parser *parser, const uint8_t **at, struct unescape *to)
{
    static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter;

    if (*at == parser->end) {
        return invalid_token(parser, *at);
    }
    if (**at == 'u') {
        ++*at;
        return unicode_read(parser, at, to);
    }
    if (to->high != 0) {
        parser->terminator = *at;
        return unicode_error(parser, LOW_MISSING);
    }
    letter = **at != '\0' ? strchr(letters, **at) : NULL;
    if (letter == NULL) {
        parser->start = *at;
        parser->terminator = *at + character_bytes(*at, parser->end);
        return TOKEN_ERROR(parser, "Escape sequence \"\\%.*s\" is invalid.");
    }
    if (to->out != NULL) {
        to->out[to->size++] = (uint8_t)meanings[letter - letters];
    }
    ++*at;
    return ERR_OK;
}

static err_t
string_unescape(struct parser *parser, const uint8_t *at, struct unescape *to)
{
    err_t err = ERR_OK;

    while (err == ERR_OK && (at == parser->end || *at != '"')) {
        if (at == parser->end) {
            return invalid_token(parser, at);
        }
        if (*at < 0x20) {
            parser->terminator = at;
            (void)invalid();
            (void)sql_detail("Character with value 0x%02x must be escaped.", *at);
            return with_context(parser);
        }
        if (*at == '\\') {
            at++;
            err = escape_read(parser, &at, to);
            continue;
        }
        if (to->high != 0) {
            parser->terminator = at;
            return unicode_error(parser, LOW_MISSING);
        }
        if (to->out != NULL) {
            to->out[to->size++] = *at;
        }
        at++;
    }
    if (err == ERR_OK && to->high != 0) {
        parser->terminator = at + 1;
        return unicode_error(parser, LOW_MISSING);
    }
    parser->at = at + 1;
    return err;
}

static err_t
string_token(struct parser *parser)
{
    const uint8_t *at = parser->start + 1;
    struct unescape to = {0};
    err_t err;

    parser->token = TOKEN_STRING;
    while (at < parser->end && *at != '"' && *at != '\\' && *at >= 0x20) {
        at++;
    }
    if (at < parser->end && *at == '"') {
        parser->string = slice_of(parser->start + 1, (size_t)(at - parser->start - 1));
        parser->at = parser->terminator = at + 1;
        return ERR_OK;
    }
    if (parser->arena != NULL) {
        const uint8_t *quote = at;

        while (quote < parser->end && *quote != '"') {
            quote += *quote == '\\' && quote + 1 < parser->end ? 2 : 1;
        }
        to.out = arena_alloc(parser->arena, (size_t)(quote - parser->start) + 8);
        if (to.out == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
    }
    err = string_unescape(parser, parser->start + 1, &to);
    if (err == ERR_OK) {
        parser->string =
            to.out != NULL ? slice_of(to.out, to.size)
                           : slice_of(parser->start + 1, (size_t)(parser->at - parser->start) - 2);
        parser->terminator = parser->at;
    }
    return err;
}

/* ---- Numbers and words ---- */

static bool
is_word(uint8_t c)
{
    return isalnum(c) || c == '_' || is_high(c);
}

/* False: none are there. */
static bool
digits_skip(const struct parser *parser, const uint8_t **at)
{
    const uint8_t *start = *at;

    while (*at < parser->end && isdigit(**at)) {
        ++*at;
    }
    return *at > start;
}

static err_t
number_token(struct parser *parser)
{
    const uint8_t *at = parser->start;
    bool is_valid = true;

    at += *at == '-';
    if (at < parser->end && *at == '0') {
        at++;
    } else {
        is_valid = digits_skip(parser, &at);
    }
    if (at < parser->end && *at == '.') {
        at++;
        is_valid = digits_skip(parser, &at) && is_valid;
    }
    if (at < parser->end && (*at == 'e' || *at == 'E')) {
        at++;
        at += at < parser->end && (*at == '+' || *at == '-');
        is_valid = digits_skip(parser, &at) && is_valid;
    }
    while (at < parser->end && is_word(*at)) {
        is_valid = false;
        at++;
    }
    if (!is_valid) {
        return invalid_token(parser, at);
    }
    parser->token = TOKEN_NUMBER;
    parser->kind = JSON_NUMBER;
    parser->at = parser->terminator = at;
    return ERR_OK;
}

static err_t
word_token(struct parser *parser)
{
    const uint8_t *at = parser->start;
    struct slice word;

    while (at < parser->end && is_word(*at)) {
        at++;
    }
    if (at == parser->start) {
        return invalid_token(parser, at + 1);
    }
    word = slice_of(parser->start, (size_t)(at - parser->start));
    if (slice_equal(word, SLICE("true"))) {
        parser->kind = JSON_TRUE;
    } else if (slice_equal(word, SLICE("false"))) {
        parser->kind = JSON_FALSE;
    } else if (slice_equal(word, SLICE("null"))) {
        parser->kind = JSON_NULL;
    } else {
        return invalid_token(parser, at);
    }
    parser->token = TOKEN_WORD;
    parser->at = parser->terminator = at;
    return ERR_OK;
}

static err_t
token_next(struct parser *parser)
{
    for (; parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\t' ||
                                        *parser->at == '\n' || *parser->at == '\r');
         parser->at++) {
        if (*parser->at == '\n') {
            parser->line++;
            parser->line_start = parser->at + 1;
        }
    }
    parser->start = parser->at;
    if (parser->at == parser->end) {
        parser->token = TOKEN_END;
        parser->terminator = parser->at;
        return ERR_OK;
    }
    switch (*parser->at) {
    case '{':
    case '}':
    case '[':
    case ']':
    case ',':
    case ':':
        parser->token = TOKEN_PUNCTUATION;
        parser->at++;
        parser->terminator = parser->at;
        return ERR_OK;
    case '"':
        return string_token(parser);
    default:
        return *parser->at == '-' || isdigit(*parser->at) ? number_token(parser)
                                                          : word_token(parser);
    }
}

/* ---- Values ---- */

static bool
is_punctuation(const struct parser *parser, char c)
{
    return parser->token == TOKEN_PUNCTUATION && *parser->start == (uint8_t)c;
}

static bool
is_in_object(const struct parser *parser)
{
    uint32_t level = parser->depth - 1;

    return (parser->open[level / 8] >> level % 8 & 1) != 0;
}

static err_t
level_open(struct parser *parser, bool is_object)
{
    uint32_t level = parser->depth;

    if (level == JSON_DEPTH_MAX) {
        return json_too_deep();
    }
    parser->depth++;
    parser->open[level / 8] &= (uint8_t) ~(1U << level % 8);
    parser->open[level / 8] |= (uint8_t)((uint32_t)is_object << level % 8);
    return parser->events->begin == NULL
               ? ERR_OK
               : parser->events->begin(parser->events->arg, is_object ? JSON_OBJECT : JSON_ARRAY,
                                       (size_t)(parser->start - parser->text));
}

static err_t
level_close(struct parser *parser)
{
    parser->depth--;
    return parser->events->end == NULL
               ? ERR_OK
               : parser->events->end(parser->events->arg,
                                     (size_t)(parser->terminator - parser->text));
}

static err_t
scalar_read(struct parser *parser)
{
    struct slice text = slice_of(parser->start, (size_t)(parser->terminator - parser->start));
    bool is_string = parser->token == TOKEN_STRING;

    if (parser->events->scalar == NULL) {
        return ERR_OK;
    }
    return parser->events->scalar(parser->events->arg, is_string ? JSON_STRING : parser->kind,
                                  is_string ? parser->string : text,
                                  (size_t)(parser->start - parser->text),
                                  (size_t)(parser->terminator - parser->text));
}

/* A key, its colon, and the first token of its value. */
static err_t
key_read(struct parser *parser, const char *what)
{
    err_t err = ERR_OK;

    if (parser->token != TOKEN_STRING) {
        return expected(parser, what);
    }
    if (parser->events->key != NULL) {
        TRY(parser->events->key(parser->events->arg, parser->string));
    }
    TRY(token_next(parser));
    if (!is_punctuation(parser, ':')) {
        return expected(parser, "\":\"");
    }
    err = token_next(parser);
out:
    return err;
}

/* The token begins a value. *is_done_out false: it has begun a level that is not empty, and the
 * token begins the first value in it. */
static err_t
value_begin(struct parser *parser, bool *is_done_out)
{
    bool is_object = is_punctuation(parser, '{');
    err_t err;

    *is_done_out = true;
    if (is_object || is_punctuation(parser, '[')) {
        TRY(level_open(parser, is_object));
        TRY(token_next(parser));
        if (is_punctuation(parser, is_object ? '}' : ']')) {
            return level_close(parser);
        }
        *is_done_out = false;
        return is_object ? key_read(parser, "string or \"}\"") : ERR_OK;
    }
    if (parser->token == TOKEN_END || parser->token == TOKEN_PUNCTUATION) {
        return expected(parser, "JSON value");
    }
    err = scalar_read(parser);
out:
    return err;
}

/* A value has ended: the token behind it is read. *is_next_out: another value begins. */
static err_t
value_end(struct parser *parser, bool *is_next_out)
{
    err_t err;

    *is_next_out = false;
    while (parser->depth > 0) {
        bool is_object = is_in_object(parser);

        TRY(token_next(parser));
        if (is_punctuation(parser, ',')) {
            *is_next_out = true;
            TRY(token_next(parser));
            return is_object ? key_read(parser, "string") : ERR_OK;
        }
        if (!is_punctuation(parser, is_object ? '}' : ']')) {
            return expected(parser, is_object ? "\",\" or \"}\"" : "\",\" or \"]\"");
        }
        TRY(level_close(parser));
    }
    TRY(token_next(parser));
    err = parser->token == TOKEN_END ? ERR_OK : expected(parser, "end of input");
out:
    return err;
}

err_t
json_parse(struct slice text, struct arena *arena, const struct json_events *events)
{
    struct parser *parser = mem_alloc(MEM_SESSIONS, sizeof(*parser));
    bool is_next = true;
    err_t err;

    *parser = (struct parser){
        .text = text.data,
        .end = text.data + text.size,
        .arena = arena,
        .events = events,
        .at = text.data,
        .line_start = text.data,
        .line = 1,
    };
    TRY(token_next(parser));
    while (is_next) {
        bool is_done = false;

        while (!is_done) {
            TRY(value_begin(parser, &is_done));
        }
        TRY(value_end(parser, &is_next));
    }
out:
    mem_free(MEM_SESSIONS, parser, sizeof(*parser));
    return err;
}

void
json_string_put(struct slice text, struct buf *out)
{
    static const char letters[] = "\b\f\n\r\t", names[] = "bfnrt";

    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        const char *letter = c != 0 && c < 0x20 ? strchr(letters, c) : NULL;

        if (letter != NULL) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (uint8_t)names[letter - letters]);
        } else if (c < 0x20) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_append(out, "\\", c == '"' || c == '\\');
            buf_append_byte(out, c);
        }
    }
    buf_append_byte(out, '"');
}
