/* models/script/json.c - the library `cjson`: JSON (RFC 8259) with the settings, the messages and
 * the liberties of the library that Redis's scripts know.
 *
 * The settings belong to the shard's Lua state, as in Redis: a script that changes them changes
 * them for those that follow. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/script/scratch.h"

#include "engine/base/poison.h"

enum {
    DEPTH_MAX = 1000,
    PRECISION_MAX = 14,
    NUMBER_BYTES = 64,
    LEVEL_STACK_BYTES = 512,
    VALUE_SLOTS = 4,
    ESCAPE_BYTES_MAX = 6,
};

enum json_invalid { INVALID_REFUSED, INVALID_WRITTEN, INVALID_NULL };

struct json_config {
    bool sparse_convert;
    int sparse_ratio, sparse_safe;
    int encode_depth, decode_depth, precision;
    bool keep_buffer;
    enum json_invalid encode_invalid, decode_invalid;
};

/* Upvalue 1 of each function. */
static struct json_config *
config_of(lua_State *L)
{
    return lua_touserdata(L, lua_upvalueindex(1));
}

/* ---- Encoding ---- */

struct encoder {
    const struct json_config *config;
    struct buf *out;
    int depth;
};

static void value_encode(lua_State *L, struct encoder *encoder);

static RAISES void
encode_fail(lua_State *L, int type, const char *reason)
{
    luaL_error(L, "Cannot serialise %s: %s", lua_typename(L, type), reason);
}

static RAISES void
string_encode(lua_State *L, struct buf *out, int index)
{
    static const char short_escapes[] = "btn\0fr"; /* From 8 on. */
    size_t size;
    const uint8_t *text = (const uint8_t *)lua_tolstring(L, index, &size);

    scratch_reserve(L, out, size * ESCAPE_BYTES_MAX + 2);
    buf_append_byte(out, '"');
    for (size_t i = 0; i < size; i++) {
        uint8_t c = text[i];

        if (c == '"' || c == '\\' || c == '/') {
            buf_append_byte(out, '\\');
            buf_append_byte(out, c);
        } else if (c >= 8 && c <= 13 && c != 11) {
            buf_append_byte(out, '\\');
            buf_append_byte(out, (uint8_t)short_escapes[c - 8]);
        } else if (c < 32 || c == 127) {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_append_byte(out, c);
        }
    }
    buf_append_byte(out, '"');
}

static RAISES void
number_encode(lua_State *L, struct encoder *encoder, int index)
{
    lua_Number number = lua_tonumber(L, index);
    char text[NUMBER_BYTES];
    int size;

    if (!isfinite(number) && encoder->config->encode_invalid == INVALID_REFUSED) {
        encode_fail(L, LUA_TNUMBER, "must not be NaN or Inf");
    }
    if (!isfinite(number) && encoder->config->encode_invalid == INVALID_NULL) {
        size = snprintf(text, sizeof(text), "null");
    } else if (isnan(number)) {
        size = snprintf(text, sizeof(text), "nan");
    } else {
        size = snprintf(text, sizeof(text), "%.*g", encoder->config->precision, number);
    }
    scratch_reserve(L, encoder->out, (size_t)size);
    buf_append(encoder->out, text, (size_t)size);
}

/* How long an array the table at the top is; -1: it is an object. */
static RAISES int
array_length(lua_State *L, const struct json_config *config)
{
    double largest = 0;
    int items = 0;

    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;

        if (key < 1 || floor(key) != key) {
            lua_pop(L, 2);
            return -1;
        }
        largest = key > largest ? key : largest;
        items++;
        lua_pop(L, 1);
    }
    if (config->sparse_ratio > 0 && largest > (double)items * config->sparse_ratio &&
        largest > config->sparse_safe) {
        if (!config->sparse_convert) {
            encode_fail(L, LUA_TTABLE, "excessively sparse array");
        }
        return -1;
    }
    return (int)largest;
}

static RAISES void
array_encode(lua_State *L, struct encoder *encoder, int length)
{
    buf_append_byte(encoder->out, '[');
    for (int i = 1; i <= length; i++) {
        scratch_reserve(L, encoder->out, 2);
        if (i > 1) {
            buf_append_byte(encoder->out, ',');
        }
        lua_rawgeti(L, -1, i);
        value_encode(L, encoder);
        lua_pop(L, 1);
    }
    scratch_reserve(L, encoder->out, 1);
    buf_append_byte(encoder->out, ']');
}

static RAISES void
object_encode(lua_State *L, struct encoder *encoder)
{
    bool is_first = true;

    buf_append_byte(encoder->out, '{');
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        int type = lua_type(L, -2);

        scratch_reserve(L, encoder->out, 4);
        if (!is_first) {
            buf_append_byte(encoder->out, ',');
        }
        is_first = false;
        if (type == LUA_TNUMBER) {
            buf_append_byte(encoder->out, '"');
            number_encode(L, encoder, -2);
            scratch_reserve(L, encoder->out, 2);
            buf_append_byte(encoder->out, '"');
        } else if (type == LUA_TSTRING) {
            string_encode(L, encoder->out, -2);
        } else {
            encode_fail(L, type, "table key must be a number or string");
        }
        scratch_reserve(L, encoder->out, 1);
        buf_append_byte(encoder->out, ':');
        value_encode(L, encoder);
        lua_pop(L, 1);
    }
    scratch_reserve(L, encoder->out, 1);
    buf_append_byte(encoder->out, '}');
}

static RAISES void
table_encode(lua_State *L, struct encoder *encoder)
{
    int length;

    encoder->depth++;
    if (encoder->depth > encoder->config->encode_depth || !lua_checkstack(L, VALUE_SLOTS)) {
        luaL_error(L, "Cannot serialise, excessive nesting (%d)", encoder->depth);
    }
    script_stack_check(L, LEVEL_STACK_BYTES);
    length = array_length(L, encoder->config);
    scratch_reserve(L, encoder->out, 2);
    if (length > 0) {
        array_encode(L, encoder, length);
    } else {
        object_encode(L, encoder);
    }
    encoder->depth--;
}

/* Of the value at the top, which stays. */
static RAISES void
value_encode(lua_State *L, struct encoder *encoder)
{
    int type = lua_type(L, -1);

    scratch_reserve(L, encoder->out, 8);
    switch (type) {
    case LUA_TSTRING:
        string_encode(L, encoder->out, -1);
        break;
    case LUA_TNUMBER:
        number_encode(L, encoder, -1);
        break;
    case LUA_TBOOLEAN:
        if (lua_toboolean(L, -1)) {
            buf_append(encoder->out, "true", 4);
        } else {
            buf_append(encoder->out, "false", 5);
        }
        break;
    case LUA_TTABLE:
        table_encode(L, encoder);
        break;
    case LUA_TNIL:
        buf_append(encoder->out, "null", 4);
        break;
    case LUA_TLIGHTUSERDATA:
        if (lua_touserdata(L, -1) == NULL) {
            buf_append(encoder->out, "null", 4);
            break;
        }
        encode_fail(L, type, "type not supported");
        break;
    default:
        encode_fail(L, type, "type not supported");
    }
}

static int
json_encode(lua_State *L)
{
    struct encoder encoder = {.config = config_of(L)};

    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    encoder.out = scratch_push(L);
    lua_insert(L, 1);
    value_encode(L, &encoder);
    scratch_string(L, encoder.out);
    return 1;
}

/* ---- Decoding: tokens ---- */

enum token_type {
    TOKEN_OBJECT_BEGIN,
    TOKEN_OBJECT_END,
    TOKEN_ARRAY_BEGIN,
    TOKEN_ARRAY_END,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_BOOLEAN,
    TOKEN_NULL,
    TOKEN_COLON,
    TOKEN_COMMA,
    TOKEN_END,
    TOKEN_ERROR,
};

struct decoder {
    const struct json_config *config;
    const char *text, *at, *end; /* A NUL stands at the end. */
    struct buf *scratch;
    int depth;
};

struct token {
    enum token_type type;
    size_t place;
    lua_Number number;
    bool is_true;
    const char *error; /* Of TOKEN_ERROR. */
};

static RAISES void
decode_fail(lua_State *L, const struct token *token, const char *expected)
{
    static const char *const names[] = {
        "T_OBJ_BEGIN", "T_OBJ_END", "T_ARR_BEGIN", "T_ARR_END", "T_STRING", "T_NUMBER",
        "T_BOOLEAN",   "T_NULL",    "T_COLON",     "T_COMMA",   "T_END",    "T_ERROR",
    };

    luaL_error(L, "Expected %s but found %s at character %d", expected,
               token->type == TOKEN_ERROR ? token->error : names[token->type],
               (int)token->place + 1);
}

static void
token_error(struct token *token, const char *error)
{
    token->type = TOKEN_ERROR;
    token->error = error;
}

static int
hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four digits; -1: they are none. */
static int32_t
hex_take(const char *at, const char *end)
{
    int32_t value = 0;

    for (int i = 0; i < 4; i++) {
        int digit = at + i < end ? hex_digit(at[i]) : -1;

        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

static void
utf8_append(struct buf *out, uint32_t code)
{
    if (code < 0x80) {
        buf_append_byte(out, (uint8_t)code);
        return;
    }
    if (code < 0x800) {
        buf_append_byte(out, (uint8_t)(0xc0 | code >> 6));
    } else if (code < 0x10000) {
        buf_append_byte(out, (uint8_t)(0xe0 | code >> 12));
        buf_append_byte(out, (uint8_t)(0x80 | (code >> 6 & 63)));
    } else {
        buf_append_byte(out, (uint8_t)(0xf0 | code >> 18));
        buf_append_byte(out, (uint8_t)(0x80 | (code >> 12 & 63)));
        buf_append_byte(out, (uint8_t)(0x80 | (code >> 6 & 63)));
    }
    buf_append_byte(out, (uint8_t)(0x80 | (code & 63)));
}

/* Behind "\u"; a pair of surrogates is one character. False: no such character. */
static bool
unicode_take(struct decoder *decoder)
{
    int32_t code = hex_take(decoder->at, decoder->end);

    if (code < 0 || (code & 0xfc00) == 0xdc00) {
        return false;
    }
    decoder->at += 4;
    if ((code & 0xfc00) == 0xd800) {
        int32_t low = -1;

        if (decoder->end - decoder->at >= 6 && decoder->at[0] == '\\' && decoder->at[1] == 'u') {
            low = hex_take(decoder->at + 2, decoder->end);
        }
        if (low < 0 || (low & 0xfc00) != 0xdc00) {
            return false;
        }
        decoder->at += 6;
        code = 0x10000 + ((code & 0x3ff) << 10 | (low & 0x3ff));
    }
    utf8_append(decoder->scratch, (uint32_t)code);
    return true;
}

/* Behind the backslash. */
static bool
escape_take(struct decoder *decoder, struct token *token)
{
    static const char from[] = "\"\\/bfnrt";
    static const char to[] = "\"\\/\b\f\n\r\t";
    char c = decoder->at < decoder->end ? *decoder->at : '\0';
    const char *place = c == '\0' ? NULL : strchr(from, c);

    if (c == 'u') {
        size_t start = (size_t)(decoder->at - 1 - decoder->text);

        decoder->at++;
        if (!unicode_take(decoder)) {
            token->place = start;
            token_error(token, "invalid unicode escape code");
            return false;
        }
        return true;
    }
    if (place == NULL) {
        token->place = (size_t)(decoder->at - 1 - decoder->text);
        token_error(token, "invalid escape code");
        return false;
    }
    decoder->at++;
    buf_append_byte(decoder->scratch, (uint8_t)to[place - from]);
    return true;
}

/* The text is in the scratch buffer. */
static RAISES void
string_take(lua_State *L, struct decoder *decoder, struct token *token)
{
    token->type = TOKEN_STRING;
    buf_clear(decoder->scratch);
    decoder->at++;
    while (decoder->at < decoder->end && *decoder->at != '"') {
        const char *plain = decoder->at;

        while (plain < decoder->end && *plain != '"' && *plain != '\\' && *plain != '\0') {
            plain++;
        }
        scratch_reserve(L, decoder->scratch, (size_t)(plain - decoder->at) + 4);
        buf_append(decoder->scratch, decoder->at, (size_t)(plain - decoder->at));
        decoder->at = plain;
        if (plain < decoder->end && *plain == '\0') {
            break;
        }
        if (plain < decoder->end && *plain == '\\') {
            decoder->at++;
            if (!escape_take(decoder, token)) {
                return;
            }
        }
    }
    if (decoder->at >= decoder->end || *decoder->at != '"') {
        token->place = (size_t)(decoder->at - decoder->text);
        token_error(token, "unexpected end of string");
        return;
    }
    decoder->at++;
}

/* Numbers that JSON does not have: inf, nan, hexadecimal ones, leading zeros. */
static bool
is_invalid_number(const char *at)
{
    if (*at == '+') {
        return true;
    }
    at += *at == '-';
    if (*at == '0') {
        return (at[1] | 0x20) == 'x' || (at[1] >= '0' && at[1] <= '9');
    }
    if (*at >= '1' && *at <= '9') {
        return false;
    }
    return strncasecmp(at, "inf", 3) == 0 || strncasecmp(at, "nan", 3) == 0;
}

static void
number_take(struct decoder *decoder, struct token *token)
{
    char *end;

    token->type = TOKEN_NUMBER;
    token->number = strtod(decoder->at, &end);
    if (end == decoder->at) {
        token_error(token, "invalid number");
        return;
    }
    decoder->at = end;
}

static bool
word_take(struct decoder *decoder, const char *word)
{
    size_t size = strlen(word);

    if ((size_t)(decoder->end - decoder->at) < size || memcmp(decoder->at, word, size) != 0) {
        return false;
    }
    decoder->at += size;
    return true;
}

static void
word_or_number_take(struct decoder *decoder, struct token *token)
{
    char c = *decoder->at;
    bool may_be_invalid = decoder->config->decode_invalid != INVALID_REFUSED;

    if (c == '-' || (c >= '0' && c <= '9')) {
        if (!may_be_invalid && is_invalid_number(decoder->at)) {
            token_error(token, "invalid number");
        } else {
            number_take(decoder, token);
        }
    } else if (word_take(decoder, "true")) {
        token->type = TOKEN_BOOLEAN;
        token->is_true = true;
    } else if (word_take(decoder, "false")) {
        token->type = TOKEN_BOOLEAN;
        token->is_true = false;
    } else if (word_take(decoder, "null")) {
        token->type = TOKEN_NULL;
    } else if (may_be_invalid && is_invalid_number(decoder->at)) {
        number_take(decoder, token);
    } else {
        token_error(token, "invalid token");
    }
}

static RAISES void
token_take(lua_State *L, struct decoder *decoder, struct token *token)
{
    static const char punctuation[] = "{}[]:,";
    static const enum token_type types[] = {TOKEN_OBJECT_BEGIN, TOKEN_OBJECT_END, TOKEN_ARRAY_BEGIN,
                                            TOKEN_ARRAY_END,    TOKEN_COLON,      TOKEN_COMMA};
    const char *found;

    while (decoder->at < decoder->end && strchr(" \t\n\r", *decoder->at) != NULL &&
           *decoder->at != '\0') {
        decoder->at++;
    }
    token->place = (size_t)(decoder->at - decoder->text);
    if (decoder->at == decoder->end || *decoder->at == '\0') { /* A zero byte ends it, as in C. */
        token->type = TOKEN_END;
        return;
    }
    found = *decoder->at == '\0' ? NULL : strchr(punctuation, *decoder->at);
    if (found != NULL) {
        token->type = types[found - punctuation];
        decoder->at++;
    } else if (*decoder->at == '"') {
        string_take(L, decoder, token);
    } else {
        word_or_number_take(decoder, token);
    }
}

/* ---- Decoding: values ---- */

static RAISES void value_decode(lua_State *L, struct decoder *decoder, const struct token *token);

static RAISES void
descend(lua_State *L, struct decoder *decoder)
{
    decoder->depth++;
    if (decoder->depth > decoder->config->decode_depth || !lua_checkstack(L, VALUE_SLOTS)) {
        luaL_error(L, "Found too many nested data structures (%d) at character %d", decoder->depth,
                   (int)(decoder->at - decoder->text));
    }
    script_stack_check(L, LEVEL_STACK_BYTES);
}

static RAISES void
object_decode(lua_State *L, struct decoder *decoder)
{
    struct token token;

    descend(L, decoder);
    lua_newtable(L);
    token_take(L, decoder, &token);
    while (token.type != TOKEN_OBJECT_END) {
        if (token.type != TOKEN_STRING) {
            decode_fail(L, &token, "object key string");
        }
        lua_pushlstring(L, (const char *)decoder->scratch->data, decoder->scratch->size);
        token_take(L, decoder, &token);
        if (token.type != TOKEN_COLON) {
            decode_fail(L, &token, "colon");
        }
        token_take(L, decoder, &token);
        value_decode(L, decoder, &token);
        lua_rawset(L, -3);
        token_take(L, decoder, &token);
        if (token.type == TOKEN_OBJECT_END) {
            break;
        }
        if (token.type != TOKEN_COMMA) {
            decode_fail(L, &token, "comma or object end");
        }
        token_take(L, decoder, &token);
        if (token.type == TOKEN_OBJECT_END) {
            decode_fail(L, &token, "object key string");
        }
    }
    decoder->depth--;
}

static RAISES void
array_decode(lua_State *L, struct decoder *decoder)
{
    struct token token;

    descend(L, decoder);
    lua_newtable(L);
    token_take(L, decoder, &token);
    for (int i = 1; token.type != TOKEN_ARRAY_END; i++) {
        value_decode(L, decoder, &token);
        lua_rawseti(L, -2, i);
        token_take(L, decoder, &token);
        if (token.type == TOKEN_ARRAY_END) {
            break;
        }
        if (token.type != TOKEN_COMMA) {
            decode_fail(L, &token, "comma or array end");
        }
        token_take(L, decoder, &token);
        if (token.type == TOKEN_ARRAY_END) {
            decode_fail(L, &token, "value");
        }
    }
    decoder->depth--;
}

static RAISES void
value_decode(lua_State *L, struct decoder *decoder, const struct token *token)
{
    switch (token->type) {
    case TOKEN_STRING:
        lua_pushlstring(L, (const char *)decoder->scratch->data, decoder->scratch->size);
        break;
    case TOKEN_NUMBER:
        lua_pushnumber(L, token->number);
        break;
    case TOKEN_BOOLEAN:
        lua_pushboolean(L, token->is_true);
        break;
    case TOKEN_OBJECT_BEGIN:
        object_decode(L, decoder);
        break;
    case TOKEN_ARRAY_BEGIN:
        array_decode(L, decoder);
        break;
    case TOKEN_NULL:
        lua_pushlightuserdata(L, NULL);
        break;
    default:
        decode_fail(L, token, "value");
    }
}

static int
json_decode(lua_State *L)
{
    struct decoder decoder = {.config = config_of(L)};
    struct token token;
    size_t size;

    luaL_argcheck(L, lua_gettop(L) == 1, 1, "expected 1 argument");
    decoder.text = decoder.at = luaL_checklstring(L, 1, &size);
    decoder.end = decoder.text + size;
    if (size >= 2 && (decoder.text[0] == '\0' || decoder.text[1] == '\0')) {
        return luaL_error(L, "JSON parser does not support UTF-16 or UTF-32");
    }
    decoder.scratch = scratch_push(L);
    token_take(L, &decoder, &token);
    value_decode(L, &decoder, &token);
    token_take(L, &decoder, &token);
    if (token.type != TOKEN_END) {
        decode_fail(L, &token, "the end");
    }
    return 1;
}

/* ---- Settings ---- */

static RAISES int
integer_option(lua_State *L, int index, int *setting, int low, int high)
{
    char message[64];

    if (!lua_isnoneornil(L, index)) {
        lua_Integer value = luaL_checkinteger(L, index);

        snprintf(message, sizeof(message), "expected integer between %d and %d", low, high);
        luaL_argcheck(L, value >= low && value <= high, 1, message);
        *setting = (int)value;
    }
    lua_pushinteger(L, *setting);
    return 1;
}

static RAISES int
bool_option(lua_State *L, int index, bool *setting)
{
    static const char *const words[] = {"off", "on", NULL};

    if (!lua_isnoneornil(L, index)) {
        *setting = lua_isboolean(L, index) ? lua_toboolean(L, index)
                                           : luaL_checkoption(L, index, NULL, words) != 0;
    }
    lua_pushboolean(L, *setting);
    return 1;
}

static RAISES int
invalid_option(lua_State *L, enum json_invalid *setting, bool may_be_null)
{
    static const char *const words[] = {"off", "on", "null", NULL};
    static const char *const words_decode[] = {"off", "on", NULL};

    if (!lua_isnoneornil(L, 1)) {
        *setting = lua_isboolean(L, 1) ? lua_toboolean(L, 1) ? INVALID_WRITTEN : INVALID_REFUSED
                                       : (enum json_invalid)luaL_checkoption(
                                             L, 1, NULL, may_be_null ? words : words_decode);
    }
    if (*setting == INVALID_NULL) {
        lua_pushliteral(L, "null");
    } else {
        lua_pushboolean(L, *setting == INVALID_WRITTEN);
    }
    return 1;
}

static RAISES void
arguments_check(lua_State *L, int most)
{
    luaL_argcheck(L, lua_gettop(L) <= most, most + 1, "found too many arguments");
}

static int
json_encode_sparse_array(lua_State *L)
{
    struct json_config *config = config_of(L);

    arguments_check(L, 3);
    lua_settop(L, 3);
    bool_option(L, 1, &config->sparse_convert);
    integer_option(L, 2, &config->sparse_ratio, 0, INT32_MAX);
    integer_option(L, 3, &config->sparse_safe, 0, INT32_MAX);
    return 3;
}

static int
json_encode_max_depth(lua_State *L)
{
    arguments_check(L, 1);
    return integer_option(L, 1, &config_of(L)->encode_depth, 1, DEPTH_MAX);
}

static int
json_decode_max_depth(lua_State *L)
{
    arguments_check(L, 1);
    return integer_option(L, 1, &config_of(L)->decode_depth, 1, DEPTH_MAX);
}

static int
json_encode_number_precision(lua_State *L)
{
    arguments_check(L, 1);
    return integer_option(L, 1, &config_of(L)->precision, 1, PRECISION_MAX);
}

/* Whether one buffer is used again: without a meaning here, but kept. */
static int
json_encode_keep_buffer(lua_State *L)
{
    arguments_check(L, 1);
    return bool_option(L, 1, &config_of(L)->keep_buffer);
}

static int
json_encode_invalid_numbers(lua_State *L)
{
    arguments_check(L, 1);
    return invalid_option(L, &config_of(L)->encode_invalid, true);
}

static int
json_decode_invalid_numbers(lua_State *L)
{
    arguments_check(L, 1);
    return invalid_option(L, &config_of(L)->decode_invalid, false);
}

/* A table of the functions with settings of its own. */
static int
json_new(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"decode", json_decode},
        {"decode_invalid_numbers", json_decode_invalid_numbers},
        {"decode_max_depth", json_decode_max_depth},
        {"encode", json_encode},
        {"encode_invalid_numbers", json_encode_invalid_numbers},
        {"encode_keep_buffer", json_encode_keep_buffer},
        {"encode_max_depth", json_encode_max_depth},
        {"encode_number_precision", json_encode_number_precision},
        {"encode_sparse_array", json_encode_sparse_array},
        {"new", json_new},
    };
    struct json_config *config;

    lua_newtable(L);
    config = lua_newuserdata(L, sizeof(*config));
    *config = (struct json_config){
        .sparse_ratio = 2,
        .sparse_safe = 10,
        .encode_depth = DEPTH_MAX,
        .decode_depth = DEPTH_MAX,
        .precision = PRECISION_MAX,
        .keep_buffer = true,
        .decode_invalid = INVALID_WRITTEN,
    };
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        lua_pushvalue(L, -1);
        lua_pushcclosure(L, functions[i].func, 1);
        lua_setfield(L, -3, functions[i].name);
    }
    lua_pop(L, 1);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    lua_pushliteral(L, "cjson");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "2.1.0");
    lua_setfield(L, -2, "_VERSION");
    return 1;
}

int
script_json_open(lua_State *L)
{
    return json_new(L);
}
