/* models/script/msgpack.c - the library `cmsgpack`: MessagePack as its specification has it, with
 * the choices of the library that Redis's scripts know (the smallest form of each number; tables
 * with keys 1..n are arrays; nothing below 16 levels is packed). */
#include <math.h>

#include "models/script/scratch.h"

#include "engine/base/poison.h"

enum { PACK_DEPTH_MAX = 16, LEVEL_STACK_BYTES = 512, HEADER_BYTES_MAX = 9, VALUE_SLOTS = 4 };

/* ---- Packing ---- */

struct packer {
    struct buf *buf;
    uint32_t depth;
};

static void
put_be(struct buf *buf, uint8_t type, uint64_t value, uint32_t bytes)
{
    buf_append_byte(buf, type);
    for (uint32_t i = bytes; i > 0; i--) {
        buf_append_byte(buf, (uint8_t)(value >> (8 * (i - 1))));
    }
}

static void
pack_int(struct buf *buf, int64_t value)
{
    if (value >= -32 && value <= 127) {
        buf_append_byte(buf, (uint8_t)value);
    } else if (value >= 0) {
        uint32_t power = value <= 0xff ? 0 : value <= 0xffff ? 1 : value <= 0xffffffff ? 2 : 3;

        put_be(buf, (uint8_t)(0xcc + power), (uint64_t)value, 1u << power);
    } else {
        uint32_t power = value >= INT8_MIN    ? 0
                         : value >= INT16_MIN ? 1
                         : value >= INT32_MIN ? 2
                                              : 3;

        put_be(buf, (uint8_t)(0xd0 + power), (uint64_t)value, 1u << power);
    }
}

static void
pack_number(struct buf *buf, lua_Number number)
{
    float narrow = (float)number;
    uint64_t bits = 0;

    if (number >= -9223372036854775808.0 && number < 9223372036854775808.0 &&
        (lua_Number)(int64_t)number == number) {
        pack_int(buf, (int64_t)number);
    } else if ((double)narrow == number) {
        memcpy(&bits, &narrow, sizeof(narrow));
        put_be(buf, 0xca, bits, 4);
    } else {
        memcpy(&bits, &number, sizeof(number));
        put_be(buf, 0xcb, bits, 8);
    }
}

/* A header of a string, array or map: `fixed` takes up to fixed_max, the others follow `wide`. */
static void
pack_header(struct buf *buf, uint64_t count, uint8_t fixed, uint64_t fixed_max, uint8_t wide)
{
    if (count <= fixed_max) {
        buf_append_byte(buf, (uint8_t)(fixed | count));
    } else if (count <= 0xffff) {
        put_be(buf, wide, count, 2);
    } else {
        put_be(buf, (uint8_t)(wide + 1), count, 4);
    }
}

static void
pack_string(lua_State *L, struct buf *buf, int index)
{
    size_t size;
    const char *text = lua_tolstring(L, index, &size);

    scratch_reserve(L, buf, size + HEADER_BYTES_MAX);
    if (size > 31 && size <= 0xff) {
        put_be(buf, 0xd9, size, 1);
    } else {
        pack_header(buf, size, 0xa0, 31, 0xda);
    }
    buf_append(buf, text, size);
}

/* Are the keys of the table at the top 1..n? */
static bool
is_array(lua_State *L, uint64_t *count_out)
{
    uint64_t count = 0;
    double largest = 0;
    bool is_dense = true;

    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_Number key = lua_tonumber(L, -2);

        lua_pop(L, 1);
        if (lua_type(L, -1) != LUA_TNUMBER || key < 1 || key != floor(key)) {
            is_dense = false;
        }
        largest = key > largest ? key : largest;
        count++;
    }
    *count_out = count;
    return is_dense && largest == (double)count;
}

static void pack_value(lua_State *L, struct packer *packer);

static void
pack_table(lua_State *L, struct packer *packer)
{
    uint64_t count;

    scratch_reserve(L, packer->buf, HEADER_BYTES_MAX);
    if (is_array(L, &count)) {
        pack_header(packer->buf, count, 0x90, 15, 0xdc);
        for (uint64_t i = 1; i <= count; i++) {
            lua_rawgeti(L, -1, (int)i);
            pack_value(L, packer);
        }
        return;
    }
    pack_header(packer->buf, count, 0x80, 15, 0xde);
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        pack_value(L, packer);
        pack_value(L, packer);
    }
}

/* Pops the value at the top. */
static void
pack_value(lua_State *L, struct packer *packer)
{
    int type = lua_type(L, -1);

    luaL_checkstack(L, VALUE_SLOTS, "in function pack_value");
    scratch_reserve(L, packer->buf, HEADER_BYTES_MAX);
    if (type == LUA_TTABLE && packer->depth == PACK_DEPTH_MAX) {
        type = LUA_TNIL;
    }
    switch (type) {
    case LUA_TSTRING:
        pack_string(L, packer->buf, -1);
        break;
    case LUA_TNUMBER:
        pack_number(packer->buf, lua_tonumber(L, -1));
        break;
    case LUA_TBOOLEAN:
        buf_append_byte(packer->buf, lua_toboolean(L, -1) ? 0xc3 : 0xc2);
        break;
    case LUA_TTABLE:
        packer->depth++;
        pack_table(L, packer);
        packer->depth--;
        break;
    default:
        buf_append_byte(packer->buf, 0xc0);
        break;
    }
    lua_pop(L, 1);
}

static int
msgpack_pack(lua_State *L)
{
    int count = lua_gettop(L);
    struct packer packer = {.buf = scratch_push(L)};

    if (count == 0) {
        return luaL_argerror(L, 0, "MessagePack pack needs input.");
    }
    luaL_checkstack(L, count, "Too many arguments for MessagePack pack.");
    for (int i = 1; i <= count; i++) {
        lua_pushvalue(L, i);
        packer.depth = 0;
        pack_value(L, &packer);
    }
    scratch_string(L, packer.buf);
    return 1;
}

/* ---- Unpacking ---- */

static RAISES void
input_bad(lua_State *L)
{
    luaL_error(L, "Bad data format in input.");
}

static RAISES struct slice
input_take(lua_State *L, struct slice *input, uint64_t bytes)
{
    struct slice taken = slice_of(input->data, (size_t)bytes);

    if (bytes > input->size) {
        luaL_error(L, "Missing bytes in input.");
    }
    *input = slice_of(input->data + bytes, input->size - (size_t)bytes);
    return taken;
}

static RAISES uint64_t
input_be(lua_State *L, struct slice *input, uint32_t bytes)
{
    struct slice taken = input_take(L, input, bytes);
    uint64_t value = 0;

    for (uint32_t i = 0; i < bytes; i++) {
        value = value << 8 | taken.data[i];
    }
    return value;
}

static RAISES void unpack_value(lua_State *L, struct slice *input);

static RAISES void
unpack_string(lua_State *L, struct slice *input, uint64_t size)
{
    struct slice taken = input_take(L, input, size);

    lua_pushlstring(L, (const char *)taken.data, taken.size);
}

static RAISES void
unpack_array(lua_State *L, struct slice *input, uint64_t count)
{
    lua_newtable(L);
    for (uint64_t i = 1; i <= count; i++) {
        unpack_value(L, input);
        lua_rawseti(L, -2, (int)i);
    }
}

static RAISES void
unpack_map(lua_State *L, struct slice *input, uint64_t count)
{
    lua_newtable(L);
    for (; count > 0; count--) {
        unpack_value(L, input);
        unpack_value(L, input);
        if (lua_isnil(L, -2) || (lua_isnumber(L, -2) && isnan(lua_tonumber(L, -2)))) {
            luaL_error(L, "table index is nil or NaN");
        }
        lua_rawset(L, -3);
    }
}

static RAISES void
unpack_float(lua_State *L, struct slice *input)
{
    uint32_t bits = (uint32_t)input_be(L, input, 4);
    float value;

    memcpy(&value, &bits, sizeof(value));
    lua_pushnumber(L, (lua_Number)value);
}

static RAISES void
unpack_double(lua_State *L, struct slice *input)
{
    uint64_t bits = input_be(L, input, 8);
    double value;

    memcpy(&value, &bits, sizeof(value));
    lua_pushnumber(L, value);
}

static RAISES void
unpack_signed(lua_State *L, struct slice *input, uint32_t bytes)
{
    uint64_t value = input_be(L, input, bytes) << (64 - 8 * bytes);

    lua_pushnumber(L, (lua_Number)((int64_t)value >> (64 - 8 * bytes)));
}

static RAISES void
unpack_other(lua_State *L, struct slice *input, uint8_t type)
{
    switch (type) {
    case 0xc0:
        lua_pushnil(L);
        break;
    case 0xc2:
        lua_pushboolean(L, false);
        break;
    case 0xc3:
        lua_pushboolean(L, true);
        break;
    case 0xca:
        unpack_float(L, input);
        break;
    case 0xcb:
        unpack_double(L, input);
        break;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        lua_pushnumber(L, (lua_Number)input_be(L, input, 1u << (type - 0xcc)));
        break;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        unpack_signed(L, input, 1u << (type - 0xd0));
        break;
    case 0xd9:
    case 0xda:
    case 0xdb:
        unpack_string(L, input, input_be(L, input, 1u << (type - 0xd9)));
        break;
    case 0xdc:
    case 0xdd:
        unpack_array(L, input, input_be(L, input, 2u << (type - 0xdc)));
        break;
    case 0xde:
    case 0xdf:
        unpack_map(L, input, input_be(L, input, 2u << (type - 0xde)));
        break;
    default:
        input_bad(L);
    }
}

static RAISES void
unpack_value(lua_State *L, struct slice *input)
{
    uint8_t type;

    luaL_checkstack(L, VALUE_SLOTS,
                    "too many return values at once; use unpack_one or unpack_limit instead.");
    script_stack_check(L, LEVEL_STACK_BYTES);
    type = input_take(L, input, 1).data[0];
    if (type < 0x80 || type >= 0xe0) {
        lua_pushnumber(L, (lua_Number)(int8_t)type);
    } else if (type < 0x90) {
        unpack_map(L, input, type & 15);
    } else if (type < 0xa0) {
        unpack_array(L, input, type & 15);
    } else if (type < 0xc0) {
        unpack_string(L, input, type & 31);
    } else {
        unpack_other(L, input, type);
    }
}

/* limit 0: all. With a limit the place behind comes first; -1: the end. */
static int
unpack_from(lua_State *L, lua_Integer limit, lua_Integer offset)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);
    bool is_all = limit == 0 && offset == 0;
    struct slice input;
    int count = 0;

    if (offset < 0 || limit < 0) {
        return luaL_error(L, "Invalid request to unpack with offset of %d and limit of %d.",
                          (int)offset, (int)limit);
    }
    if ((size_t)offset > size) {
        return luaL_error(L, "Start offset %d greater than input length %d.", (int)offset,
                          (int)size);
    }
    input = slice_of(text + offset, size - (size_t)offset);
    lua_settop(L, 1);
    while (input.size > 0 && (is_all || count < limit)) {
        unpack_value(L, &input);
        count++;
    }
    if (!is_all) {
        lua_pushinteger(L, input.size == 0 ? -1 : (lua_Integer)(size - input.size));
        lua_insert(L, 2);
        count++;
    }
    return count;
}

static int
msgpack_unpack(lua_State *L)
{
    return unpack_from(L, 0, 0);
}

static int
msgpack_unpack_one(lua_State *L)
{
    return unpack_from(L, 1, luaL_optinteger(L, 2, 0));
}

static int
msgpack_unpack_limit(lua_State *L)
{
    lua_Integer limit = luaL_checkinteger(L, 2);
    lua_Integer offset = luaL_optinteger(L, 3, 0);

    return unpack_from(L, limit, offset);
}

int
script_msgpack_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pack", msgpack_pack},
        {"unpack", msgpack_unpack},
        {"unpack_limit", msgpack_unpack_limit},
        {"unpack_one", msgpack_unpack_one},
        {NULL, NULL},
    };

    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_pushliteral(L, "cmsgpack");
    lua_setfield(L, -2, "_NAME");
    lua_pushliteral(L, "lua-cmsgpack 0.4.0");
    lua_setfield(L, -2, "_VERSION");
    return 1;
}
