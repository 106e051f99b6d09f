/* models/script/bit.c - the library `bit`: operations on 32 bits, after the documentation of Lua
 * BitOp 1.0. Numbers are taken modulo 2^32, and results are signed. */
#include "models/script/internal.h"

#include "engine/base/poison.h"

/* 2^52 + 2^51: adding it rounds to an integer and leaves that in the low bits. */
#define ROUNDING 6755399441055744.0

static uint32_t
bits_get(lua_State *L, int index)
{
    double value = luaL_checknumber(L, index) + ROUNDING;
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return (uint32_t)bits;
}

static int
bits_push(lua_State *L, uint32_t bits)
{
    lua_pushnumber(L, (lua_Number)(int32_t)bits);
    return 1;
}

static int
bit_tobit(lua_State *L)
{
    return bits_push(L, bits_get(L, 1));
}

static int
bit_bnot(lua_State *L)
{
    return bits_push(L, ~bits_get(L, 1));
}

static int
bit_band(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);

    for (int i = lua_gettop(L); i > 1; i--) {
        bits &= bits_get(L, i);
    }
    return bits_push(L, bits);
}

static int
bit_bor(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);

    for (int i = lua_gettop(L); i > 1; i--) {
        bits |= bits_get(L, i);
    }
    return bits_push(L, bits);
}

static int
bit_bxor(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);

    for (int i = lua_gettop(L); i > 1; i--) {
        bits ^= bits_get(L, i);
    }
    return bits_push(L, bits);
}

/* Of shifts and rotations the first argument is read, and refused, first. */
static int
bit_lshift(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    uint32_t by = bits_get(L, 2) & 31;

    return bits_push(L, bits << by);
}

static int
bit_rshift(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    uint32_t by = bits_get(L, 2) & 31;

    return bits_push(L, bits >> by);
}

static int
bit_arshift(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    uint32_t by = bits_get(L, 2) & 31;

    return bits_push(L, (uint32_t)((int32_t)bits >> by));
}

static uint32_t
rotate_left(uint32_t bits, uint32_t by)
{
    return bits << (by & 31) | bits >> (-by & 31);
}

static int
bit_rol(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    uint32_t by = bits_get(L, 2);

    return bits_push(L, rotate_left(bits, by));
}

static int
bit_ror(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    uint32_t by = bits_get(L, 2);

    return bits_push(L, rotate_left(bits, -by));
}

static int
bit_bswap(lua_State *L)
{
    return bits_push(L, __builtin_bswap32(bits_get(L, 1)));
}

/* The second argument says how many digits; negative: in upper case. */
static int
bit_tohex(lua_State *L)
{
    uint32_t bits = bits_get(L, 1);
    int32_t wanted = lua_isnone(L, 2) ? 8 : (int32_t)bits_get(L, 2);
    const char *digits = wanted < 0 ? "0123456789ABCDEF" : "0123456789abcdef";
    uint32_t count = MIN(wanted < 0 ? 0 - (uint32_t)wanted : (uint32_t)wanted, 8u);
    char text[8];

    for (uint32_t i = count; i > 0; i--) {
        text[i - 1] = digits[bits & 15];
        bits >>= 4;
    }
    lua_pushlstring(L, text, count);
    return 1;
}

int
script_bit_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"arshift", bit_arshift},
        {"band", bit_band},
        {"bnot", bit_bnot},
        {"bor", bit_bor},
        {"bswap", bit_bswap},
        {"bxor", bit_bxor},
        {"lshift", bit_lshift},
        {"rol", bit_rol},
        {"ror", bit_ror},
        {"rshift", bit_rshift},
        {"tobit", bit_tobit},
        {"tohex", bit_tohex},
        {NULL, NULL},
    };

    lua_createtable(L, 0, ARRAY_COUNT(functions));
    luaL_register(L, NULL, functions);
    return 1;
}
