/* models/script/convert.c - replies as Lua values, and Lua values as replies, by the rules that
 * Redis documents for its scripts. */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum { NUMBER_LINE_BYTES_MAX = 64, VALUE_SLOTS = 6 };

/* ---- A reply, as commands write it, becomes a value ---- */

/* The line without its end; false when there is none. */
static bool
line_take(struct slice *bytes, struct slice *line_out)
{
    const uint8_t *end = bytes->size == 0 ? NULL : memchr(bytes->data, '\n', bytes->size);
    size_t size;

    if (end == NULL || end == bytes->data || end[-1] != '\r') {
        return false;
    }
    size = (size_t)(end - bytes->data);
    *line_out = slice_of(bytes->data, size - 1);
    *bytes = slice_of(end + 1, bytes->size - size - 1);
    return true;
}

static bool
number_take(struct slice *bytes, int64_t *number_out)
{
    struct slice line;

    return line_take(bytes, &line) && reply_parse_int(line, number_out);
}

static bool
push_text_table(lua_State *L, struct slice *bytes, const char *field)
{
    struct slice line;

    if (!line_take(bytes, &line)) {
        return false;
    }
    lua_createtable(L, 0, 1);
    lua_pushlstring(L, (const char *)line.data, line.size);
    lua_setfield(L, -2, field);
    return true;
}

static bool
bulk_take(struct slice *bytes, int64_t *size_out, struct slice *bulk_out)
{
    if (!number_take(bytes, size_out)) {
        return false;
    }
    if (*size_out < 0) {
        return true;
    }
    if ((uint64_t)*size_out + 2 > bytes->size) {
        return false;
    }
    *bulk_out = slice_of(bytes->data, (size_t)*size_out);
    *bytes = slice_of(bytes->data + *size_out + 2, bytes->size - (size_t)*size_out - 2);
    return true;
}

static bool
push_bulk(lua_State *L, struct slice *bytes)
{
    struct slice bulk;
    int64_t size;

    if (!bulk_take(bytes, &size, &bulk)) {
        return false;
    }
    if (size < 0) {
        lua_pushboolean(L, false);
    } else {
        lua_pushlstring(L, (const char *)bulk.data, bulk.size);
    }
    return true;
}

static bool
push_verbatim(lua_State *L, struct slice *bytes)
{
    struct slice bulk;
    int64_t size;

    if (!bulk_take(bytes, &size, &bulk) || size < 4) {
        return false;
    }
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, 2);
    lua_pushlstring(L, (const char *)bulk.data, 3);
    lua_setfield(L, -2, "format");
    lua_pushlstring(L, (const char *)bulk.data + 4, bulk.size - 4);
    lua_setfield(L, -2, "string");
    lua_setfield(L, -2, "verbatim_string");
    return true;
}

static bool
push_array(lua_State *L, struct slice *bytes)
{
    int64_t count;

    if (!number_take(bytes, &count) || count > (int64_t)bytes->size) {
        return false;
    }
    if (count < 0) {
        lua_pushboolean(L, false);
        return true;
    }
    lua_createtable(L, (int)count, 0);
    for (int i = 1; i <= (int)count; i++) {
        if (!script_push_reply(L, bytes)) {
            return false;
        }
        lua_rawseti(L, -2, i);
    }
    return true;
}

/* A set's elements are keys of true. */
static bool
push_pairs(lua_State *L, struct slice *bytes, bool is_set)
{
    int64_t count;

    if (!number_take(bytes, &count) || count < 0 || count > (int64_t)bytes->size) {
        return false;
    }
    lua_createtable(L, 0, 1);
    lua_createtable(L, 0, (int)count);
    for (; count > 0; count--) {
        if (!script_push_reply(L, bytes)) {
            return false;
        }
        if (is_set) {
            lua_pushboolean(L, true);
        } else if (!script_push_reply(L, bytes)) {
            return false;
        }
        if (lua_isnil(L, -2)) { /* No key of Lua. */
            lua_pop(L, 2);
        } else {
            lua_rawset(L, -3);
        }
    }
    lua_setfield(L, -2, is_set ? "set" : "map");
    return true;
}

static bool
push_double(lua_State *L, struct slice *bytes)
{
    char text[NUMBER_LINE_BYTES_MAX];
    struct slice line;

    if (!line_take(bytes, &line) || line.size >= sizeof(text)) {
        return false;
    }
    memcpy(text, line.data, line.size);
    text[line.size] = '\0';
    lua_createtable(L, 0, 1);
    lua_pushnumber(L, strtod(text, NULL));
    lua_setfield(L, -2, "double");
    return true;
}

/* Attributes are read and forgotten. */
static bool
push_after_attributes(lua_State *L, struct slice *bytes)
{
    int64_t count;

    if (!number_take(bytes, &count) || count > (int64_t)bytes->size) {
        return false;
    }
    for (int64_t i = 0; i < 2 * count; i++) {
        if (!script_push_reply(L, bytes)) {
            return false;
        }
        lua_pop(L, 1);
    }
    return script_push_reply(L, bytes);
}

static bool
push_line(lua_State *L, struct slice *bytes, char type)
{
    struct slice line;
    int64_t number;

    if (!line_take(bytes, &line)) {
        return false;
    }
    if (type == ':') {
        if (!reply_parse_int(line, &number)) {
            return false;
        }
        lua_pushnumber(L, (lua_Number)number);
    } else if (type == '#') {
        lua_pushboolean(L, line.size == 1 && line.data[0] == 't');
    } else {
        lua_pushnil(L);
    }
    return true;
}

bool
script_push_reply(lua_State *L, struct slice *bytes)
{
    char type;

    if (bytes->size == 0) {
        return false;
    }
    luaL_checkstack(L, VALUE_SLOTS, "the reply is nested too deeply");
    script_stack_check(L, 0);
    type = (char)bytes->data[0];
    *bytes = slice_of(bytes->data + 1, bytes->size - 1);
    switch (type) {
    case '+':
        return push_text_table(L, bytes, "ok");
    case '-':
        return push_text_table(L, bytes, "err");
    case '(':
        return push_text_table(L, bytes, "big_number");
    case '$':
        return push_bulk(L, bytes);
    case '=':
        return push_verbatim(L, bytes);
    case '>':
    case '*':
        return push_array(L, bytes);
    case '%':
        return push_pairs(L, bytes, false);
    case '~':
        return push_pairs(L, bytes, true);
    case ',':
        return push_double(L, bytes);
    case '|':
        return push_after_attributes(L, bytes);
    case ':':
    case '#':
    case '_':
        return push_line(L, bytes, type);
    default:
        return false;
    }
}

/* ---- A value becomes a reply ---- */

struct reply_writer {
    struct reply *reply;
    uint8_t script_resp;
    uint32_t depth;
};

static void value_reply(lua_State *L, struct reply_writer *writer);

/* Line ends would end the line of the protocol. */
static void
reply_status_text(struct reply *reply, const char *text, size_t size)
{
    buf_append_byte(&reply->buf, '+');
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(&reply->buf, text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8_t)text[i]);
    }
    buf_append(&reply->buf, "\r\n", 2);
}

void
script_reply_error(struct reply *reply, struct slice text)
{
    buf_append_byte(&reply->buf, '-');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        buf_append_byte(&reply->buf, c == '\r' || c == '\n' ? ' ' : c);
    }
    buf_append(&reply->buf, "\r\n", 2);
    reply->errors++;
}

static void
reply_big(lua_State *L, struct reply *reply)
{
    size_t size;
    const char *text = lua_tolstring(L, -1, &size);

    if (reply->resp == 3) {
        buf_append_byte(&reply->buf, '(');
    } else {
        buf_printf(&reply->buf, "$%zu\r\n", size);
    }
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(&reply->buf, text[i] == '\r' || text[i] == '\n' ? ' ' : (uint8_t)text[i]);
    }
    buf_append(&reply->buf, "\r\n", 2);
}

/* The table {format=, string=} is at the top. */
static void
reply_verbatim_table(lua_State *L, struct reply *reply)
{
    char format[4] = "txt";
    const char *text;
    size_t size;

    lua_pushliteral(L, "format");
    lua_rawget(L, -2);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
    for (size_t i = 0; text != NULL && i < 3; i++) {
        format[i] = i < size && text[i] != '\r' && text[i] != '\n' ? text[i] : ' ';
    }
    lua_pop(L, 1);
    lua_pushliteral(L, "string");
    lua_rawget(L, -2);
    text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : NULL;
    reply_verbatim(reply, format, slice_of(text, text == NULL ? 0 : size));
    lua_pop(L, 1);
}

/* The table of elements is at the top. */
static void
reply_pairs(lua_State *L, struct reply_writer *writer, bool is_set)
{
    uint64_t count = 0;

    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        count++;
        lua_pop(L, 1);
    }
    if (is_set) {
        reply_set(writer->reply, count);
    } else {
        reply_map(writer->reply, count);
    }
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        value_reply(L, writer);
        if (is_set) {
            lua_pop(L, 1);
        } else {
            value_reply(L, writer);
        }
    }
}

static void
reply_array_table(lua_State *L, struct reply_writer *writer)
{
    size_t start = writer->reply->buf.size;
    uint64_t gone = writer->reply->gone;
    uint64_t count = 0;

    lua_rawgeti(L, -1, 1);
    while (!lua_isnil(L, -1)) {
        lua_pop(L, 1);
        count++;
        lua_rawgeti(L, -1, (int)count + 1);
    }
    lua_pop(L, 1);
    ASSERT(gone == writer->reply->gone && start == writer->reply->buf.size);
    reply_array(writer->reply, count);
    for (uint64_t i = 1; i <= count; i++) {
        lua_rawgeti(L, -1, (int)i);
        value_reply(L, writer);
    }
}

/* Pushes the field of the table at the top if it has the type (LUA_TNONE: any but nil). */
static bool
field_get(lua_State *L, const char *name, int type)
{
    lua_pushstring(L, name);
    lua_rawget(L, -2);
    if (type == LUA_TNONE ? !lua_isnil(L, -1) : lua_type(L, -1) == type) {
        return true;
    }
    lua_pop(L, 1);
    return false;
}

static void
table_reply(lua_State *L, struct reply_writer *writer)
{
    size_t size;
    const char *text;

    if (field_get(L, "err", LUA_TSTRING)) {
        text = lua_tolstring(L, -1, &size);
        script_reply_error(writer->reply, slice_of(text, size));
    } else if (field_get(L, "ok", LUA_TSTRING)) {
        text = lua_tolstring(L, -1, &size);
        reply_status_text(writer->reply, text, size);
    } else if (field_get(L, "double", LUA_TNUMBER)) {
        reply_double(writer->reply, lua_tonumber(L, -1));
    } else if (field_get(L, "map", LUA_TTABLE)) {
        reply_pairs(L, writer, false);
    } else if (field_get(L, "set", LUA_TTABLE)) {
        reply_pairs(L, writer, true);
    } else if (field_get(L, "big_number", LUA_TSTRING)) {
        reply_big(L, writer->reply);
    } else if (field_get(L, "verbatim_string", LUA_TTABLE)) {
        reply_verbatim_table(L, writer->reply);
    } else {
        reply_array_table(L, writer);
        return;
    }
    lua_pop(L, 1);
}

static int64_t
number_to_int(lua_Number number)
{
    /* What does not fit becomes what the processor makes of it. */
    return number >= -9223372036854775808.0 && number < 9223372036854775808.0 ? (int64_t)number
                                                                              : INT64_MIN;
}

/* Pops the value. */
static void
value_reply(lua_State *L, struct reply_writer *writer)
{
    struct reply *reply = writer->reply;
    const char *text;
    size_t size;

    if (writer->depth == SCRIPT_REPLY_DEPTH_MAX || !lua_checkstack(L, VALUE_SLOTS)) {
        reply_error(reply, "ERR reached lua stack limit");
        lua_pop(L, 1);
        return;
    }
    writer->depth++;
    switch (lua_type(L, -1)) {
    case LUA_TSTRING:
        text = lua_tolstring(L, -1, &size);
        reply_bulk(reply, slice_of(text, size));
        break;
    case LUA_TNUMBER:
        reply_int(reply, number_to_int(lua_tonumber(L, -1)));
        break;
    case LUA_TBOOLEAN:
        if (writer->script_resp == 3) {
            reply_bool(reply, lua_toboolean(L, -1));
        } else if (lua_toboolean(L, -1)) {
            reply_int(reply, 1);
        } else {
            reply_null(reply);
        }
        break;
    case LUA_TTABLE:
        table_reply(L, writer);
        break;
    default:
        reply_null(reply);
        break;
    }
    writer->depth--;
    lua_pop(L, 1);
}

void
script_reply(lua_State *L, struct reply *reply, uint8_t script_resp)
{
    struct reply_writer writer = {reply, script_resp, 0};

    script_stack_check(L, SCRIPT_REPLY_DEPTH_MAX * 512);
    value_reply(L, &writer);
}

void
script_push_error(lua_State *L, const char *text)
{
    bool has_code = text[0] == '-';
    char *copy;
    size_t size;

    text += has_code;
    has_code = has_code && strchr(text, ' ') != NULL;
    lua_createtable(L, 0, 1);
    lua_pushfstring(L, "%s%s", has_code ? "" : "ERR ", text);
    size = lua_objlen(L, -1);
    copy = lua_newuserdata(L, size + 1);
    memcpy(copy, lua_tostring(L, -2), size);
    for (size_t i = 0; i < size; i++) {
        copy[i] = copy[i] == '\r' || copy[i] == '\n' ? ' ' : copy[i];
    }
    lua_pushlstring(L, copy, size);
    lua_setfield(L, -4, "err");
    lua_pop(L, 2);
}
