/* models/script/struct.c - the library `struct`: numbers and strings as bytes, by a format.
 *
 *     < > =   little, big, native endian      !n   alignment (native: 8)
 *     x       a zero byte                     b B h H l L T   integers of 1, 1, 2, 2, 8, 8, 8 bytes
 *     in In   integers of n bytes (4)         f d  floats
 *     s       a string and a zero byte        cn   n bytes (1); c0 takes its length from the value
 *                                             read before */
#include <math.h>

#include "models/script/scratch.h"

#include "engine/base/poison.h"

enum { INTEGER_BYTES_MAX = 32, ALIGNMENT_NATIVE = 8, WIDTH_MAX = 100000000 };

struct format {
    const char *at;
    bool is_big;
    size_t alignment;
};

static RAISES struct format
format_open(lua_State *L)
{
    return (struct format){luaL_checkstring(L, 1), false, 1};
}

/* A decimal number, or the default where there is none. */
static RAISES size_t
format_number(lua_State *L, struct format *format, size_t start)
{
    size_t value = 0;

    if (*format->at < '0' || *format->at > '9') {
        return start;
    }
    for (; *format->at >= '0' && *format->at <= '9'; format->at++) {
        value = value * 10 + (size_t)(*format->at - '0');
        if (value > WIDTH_MAX) {
            luaL_error(L, "integral size overflow");
        }
    }
    return value;
}

/* Bytes that the option takes; 0 for those that are none, and for s. */
static RAISES size_t
option_size(lua_State *L, struct format *format, char option)
{
    size_t size;

    switch (option) {
    case 'x':
    case 'b':
    case 'B':
        return 1;
    case 'h':
    case 'H':
        return 2;
    case 'l':
    case 'L':
    case 'T':
    case 'd':
        return 8;
    case 'f':
        return 4;
    case 'c':
        return format_number(L, format, 1);
    case 'i':
    case 'I':
        size = format_number(L, format, sizeof(int));
        if (size > INTEGER_BYTES_MAX) {
            luaL_error(L, "integral size %d is larger than limit of %d", (int)size,
                       INTEGER_BYTES_MAX);
        }
        return size;
    default:
        return 0;
    }
}

static size_t
padding(const struct format *format, char option, size_t size, size_t at)
{
    if (size == 0 || option == 'c') {
        return 0;
    }
    size = MIN(size, format->alignment);
    return size > 1 ? (size - (at & (size - 1))) & (size - 1) : 0;
}

static RAISES void
option_control(lua_State *L, struct format *format, char option)
{
    switch (option) {
    case ' ':
        break;
    case '<':
        format->is_big = false;
        break;
    case '>':
        format->is_big = true;
        break;
    case '!':
        format->alignment = format_number(L, format, ALIGNMENT_NATIVE);
        if (format->alignment == 0 || (format->alignment & (format->alignment - 1)) != 0) {
            luaL_error(L, "alignment %d is not a power of 2", (int)format->alignment);
        }
        break;
    default:
        lua_pushfstring(L, "invalid format option '%c'", option);
        luaL_argerror(L, 1, lua_tostring(L, -1));
    }
}

/* ---- Packing ---- */

/* What does not fit, and what is no number, is as the machine that Redis runs on converts it. */
static uint64_t
integer_bits(lua_Number number)
{
    if (isnan(number)) {
        return (uint64_t)INT64_MIN;
    }
    if (number < 0) {
        return (uint64_t)(number >= -9223372036854775808.0 ? (int64_t)number : INT64_MIN);
    }
    return number < 18446744073709551616.0 ? (uint64_t)number : 0;
}

static void
integer_append(struct buf *out, const struct format *format, lua_Number number, size_t size)
{
    uint64_t bits = integer_bits(number);
    uint8_t bytes[INTEGER_BYTES_MAX];

    for (size_t i = 0; i < size; i++) {
        bytes[format->is_big ? size - 1 - i : i] = (uint8_t)bits;
        bits >>= 8;
    }
    buf_append(out, bytes, size);
}

static void
float_append(struct buf *out, const struct format *format, lua_Number number, size_t size)
{
    float narrow = (float)number;
    uint8_t bytes[sizeof(double)];

    if (size == sizeof(float)) {
        memcpy(bytes, &narrow, sizeof(narrow));
    } else {
        memcpy(bytes, &number, sizeof(number));
    }
    for (size_t i = 0; i < size; i++) {
        buf_append_byte(out, bytes[format->is_big ? size - 1 - i : i]);
    }
}

static RAISES void
text_append(lua_State *L, struct buf *out, char option, size_t size, int argument)
{
    size_t length;
    const char *text = luaL_checklstring(L, argument, &length);

    size = size == 0 ? length : size;
    luaL_argcheck(L, length >= size, argument + 1, "string too short");
    scratch_reserve(L, out, size + 1);
    buf_append(out, text, size);
    if (option == 's') {
        buf_append_byte(out, 0);
    }
}

static int
struct_pack(lua_State *L)
{
    struct format format = format_open(L);
    int arguments = lua_gettop(L);
    struct buf *out = scratch_push(L);
    int argument = 2;

    while (*format.at != '\0') {
        char option = *format.at++;
        size_t size = option_size(L, &format, option);
        size_t gap = padding(&format, option, size, out->size);

        scratch_reserve(L, out, gap + INTEGER_BYTES_MAX);
        for (; gap > 0; gap--) {
            buf_append_byte(out, 0);
        }
        if (option == 'x') {
            buf_append_byte(out, 0);
        } else if (strchr("bBhHlLTiIfdsc", option) != NULL && argument > arguments) {
            luaL_argerror(L, argument,
                          strchr("sc", option) != NULL ? "string expected, got nil"
                                                       : "number expected, got nil");
        } else if (strchr("bBhHlLTiI", option) != NULL) {
            integer_append(out, &format, luaL_checknumber(L, argument++), size);
        } else if (option == 'f' || option == 'd') {
            float_append(out, &format, luaL_checknumber(L, argument++), size);
        } else if (option == 's' || option == 'c') {
            text_append(L, out, option, size, argument++);
        } else {
            option_control(L, &format, option);
        }
    }
    scratch_string(L, out);
    return 1;
}

/* ---- Unpacking ---- */

static lua_Number
integer_read(const struct format *format, const uint8_t *bytes, size_t size, bool is_signed)
{
    size_t used = MIN(size, sizeof(uint64_t));
    uint64_t bits = 0;

    for (size_t i = 0; i < used; i++) {
        bits |= (uint64_t)bytes[format->is_big ? size - 1 - i : i] << (8 * i);
    }
    if (!is_signed) {
        return (lua_Number)bits;
    }
    if (used < sizeof(bits) && used > 0) {
        uint32_t shift = (uint32_t)(64 - 8 * used);

        return (lua_Number)((int64_t)(bits << shift) >> shift);
    }
    return (lua_Number)(int64_t)bits;
}

static lua_Number
float_read(const struct format *format, const uint8_t *bytes, size_t size)
{
    uint8_t ordered[sizeof(double)];
    float narrow;
    double wide;

    for (size_t i = 0; i < size; i++) {
        ordered[i] = bytes[format->is_big ? size - 1 - i : i];
    }
    if (size == sizeof(narrow)) {
        memcpy(&narrow, ordered, sizeof(narrow));
        return (lua_Number)narrow;
    }
    memcpy(&wide, ordered, sizeof(wide));
    return wide;
}

/* Pushes the value; how many bytes it took. */
static RAISES size_t
text_push(lua_State *L, char option, size_t size, struct slice left, int *count)
{
    const uint8_t *end;

    if (option == 's') {
        end = left.size == 0 ? NULL : memchr(left.data, 0, left.size);
        if (end == NULL) {
            luaL_error(L, "unfinished string in data");
        }
        lua_pushlstring(L, (const char *)left.data, (size_t)(end - left.data));
        (*count)++;
        return (size_t)(end - left.data) + 1;
    }
    if (size == 0) {
        lua_Number wanted;

        if (*count == 0 || !lua_isnumber(L, -1)) {
            luaL_error(L, "format 'c0' needs a previous size");
        }
        wanted = lua_tonumber(L, -1);
        lua_pop(L, 1);
        (*count)--;
        luaL_argcheck(L, wanted >= 0 && wanted <= (lua_Number)left.size, 2,
                      "data string too short");
        size = (size_t)wanted;
    }
    lua_pushlstring(L, (const char *)left.data, size);
    (*count)++;
    return size;
}

static int
struct_unpack(lua_State *L)
{
    struct format format = format_open(L);
    size_t size;
    const char *data = luaL_checklstring(L, 2, &size);
    lua_Number start = luaL_optnumber(L, 3, 1);
    int count = 0;
    size_t at;

    luaL_argcheck(L, start >= 1, 3, "offset must be 1 or greater");
    luaL_argcheck(L, start <= (lua_Number)size + 1, 2, "data string too short");
    at = (size_t)start - 1;
    lua_settop(L, 2);
    while (*format.at != '\0') {
        char option = *format.at++;
        size_t bytes = option_size(L, &format, option);
        size_t gap = padding(&format, option, bytes, at);
        struct slice left;

        luaL_argcheck(L, gap + bytes <= size - at, 2, "data string too short");
        at += gap;
        left = slice_of(data + at, size - at);
        luaL_checkstack(L, 2, "too many results");
        if (option == 'x') {
            at += bytes;
        } else if (strchr("bBhHlLTiI", option) != NULL) {
            lua_pushnumber(L, integer_read(&format, left.data, bytes, option >= 'a'));
            count++;
            at += bytes;
        } else if (option == 'f' || option == 'd') {
            lua_pushnumber(L, float_read(&format, left.data, bytes));
            count++;
            at += bytes;
        } else if (option == 's' || option == 'c') {
            at += text_push(L, option, bytes, left, &count);
        } else {
            option_control(L, &format, option);
        }
    }
    lua_pushinteger(L, (lua_Integer)at + 1);
    return count + 1;
}

static bool
is_alphanumeric(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static int
struct_size(lua_State *L)
{
    struct format format = format_open(L);
    size_t total = 0;

    while (*format.at != '\0') {
        char option = *format.at++;
        size_t size = option_size(L, &format, option);

        if (option == 's') {
            luaL_argerror(L, 1, "option 's' has no fixed size");
        } else if (option == 'c' && size == 0) {
            luaL_argerror(L, 1, "option 'c0' has no fixed size");
        }
        total += padding(&format, option, size, total) + size;
        luaL_argcheck(L, total <= INT32_MAX, 1, "size is too large");
        if (!is_alphanumeric(option)) { /* Letters that mean nothing have no size, as in Redis. */
            option_control(L, &format, option);
        }
    }
    lua_pushinteger(L, (lua_Integer)total);
    return 1;
}

int
script_struct_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"pack", struct_pack},
        {"size", struct_size},
        {"unpack", struct_unpack},
        {NULL, NULL},
    };

    lua_newtable(L);
    luaL_register(L, NULL, functions);
    return 1;
}
