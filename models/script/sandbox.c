/* models/script/sandbox.c - what scripts see of Lua: no files, no debug library, no bytecode, and
 * nothing that one script could leave behind for another.
 *
 * Globals are found through three tables: the run's own, empty and protected; its KEYS, ARGV and
 * _G; and those that all runs share, whose metatable raises an error for unknown names. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum { SORT_STACK_BYTES = 16 << 10, PARSER_STACK_BYTES = 256 << 10, CALL_STACK_BYTES = 2 << 10 };

/* As raised from inside of Lua: without the place. */
static int
raise_protected_raw(lua_State *L)
{
    lua_pushliteral(L, "Attempt to modify a readonly table");
    return lua_error(L);
}

/* ---- Base functions that ask whether a table is protected ---- */

static int
base_setmetatable(lua_State *L)
{
    int type = lua_type(L, 2);

    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_argcheck(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table expected");
    if (script_is_protected(L, 1)) {
        return script_raise_protected(L);
    }
    if (luaL_getmetafield(L, 1, "__metatable")) {
        luaL_error(L, "cannot change a protected metatable");
    }
    lua_settop(L, 2);
    lua_setmetatable(L, 1);
    return 1;
}

/* Replaces the protected table at the top by the real one behind it. */
static void
protected_open(lua_State *L)
{
    lua_getmetatable(L, -1);
    lua_getfield(L, -1, "__index");
    lua_replace(L, -3);
    lua_pop(L, 1);
}

/* Upvalues: an empty protected table, and what stands for the metatable of strings. */
static int
base_getmetatable(lua_State *L)
{
    luaL_checkany(L, 1);
    if (lua_type(L, 1) == LUA_TSTRING) {
        lua_pushvalue(L, lua_upvalueindex(2));
        return 1;
    }
    if (script_is_protected(L, 1)) {
        lua_settop(L, 1);
        protected_open(L);
        if (lua_type(L, 1) == LUA_TTABLE && lua_getmetatable(L, 1)) { /* Globals have one. */
            lua_pushvalue(L, lua_upvalueindex(1));
        } else {
            lua_pushnil(L);
        }
        return 1;
    }
    if (!lua_getmetatable(L, 1)) {
        lua_pushnil(L);
        return 1;
    }
    luaL_getmetafield(L, 1, "__metatable"); /* Pushes nothing when there is none. */
    return 1;
}

static int
base_rawset(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    luaL_checkany(L, 3);
    if (script_is_protected(L, 1)) {
        return raise_protected_raw(L);
    }
    lua_settop(L, 3);
    lua_rawset(L, 1);
    return 1;
}

/* Of a protected table: what it shows, without its fallbacks raising an error. */
static int
base_rawget(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    luaL_checkany(L, 2);
    lua_settop(L, 2);
    if (!script_is_protected(L, 1)) {
        lua_rawget(L, 1);
        return 1;
    }
    lua_pushvalue(L, 1);
    for (;;) {
        protected_open(L);
        if (lua_type(L, -1) != LUA_TTABLE) {
            lua_pushnil(L);
            return 1;
        }
        lua_pushvalue(L, 2);
        lua_rawget(L, -2);
        if (!lua_isnil(L, -1) || !lua_getmetatable(L, -2)) {
            return 1;
        }
        lua_pop(L, 2);
    }
}

/* Adds what the table at the top has and the one below it has not. */
static void
table_merge(lua_State *L)
{
    lua_pushnil(L);
    while (lua_next(L, -2) != 0) {
        lua_pushvalue(L, -2);
        lua_rawget(L, -5);
        if (lua_isnil(L, -1)) {
            lua_pop(L, 1);
            lua_pushvalue(L, -2);
            lua_insert(L, -2);
            lua_rawset(L, -5);
        } else {
            lua_pop(L, 2);
        }
    }
}

/* A copy of what a protected table shows replaces argument 1, for those who walk through it. */
static void
argument_copy(lua_State *L)
{
    lua_newtable(L);
    lua_pushvalue(L, 1);
    do {
        protected_open(L);
        if (lua_type(L, -1) != LUA_TTABLE) {
            break;
        }
        table_merge(L);
        if (!lua_getmetatable(L, -1)) {
            break;
        }
        lua_pop(L, 1);
    } while (true);
    lua_pop(L, 1);
    lua_replace(L, 1);
}

/* Upvalue: next. */
static int
base_pairs(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (script_is_protected(L, 1)) {
        argument_copy(L);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushvalue(L, 1);
    lua_pushnil(L);
    return 3;
}

/* Lua's own counts in int, which a wide range leaves. */
static int
base_unpack(lua_State *L)
{
    int first = luaL_optint(L, 2, 1);
    int last;
    int64_t count;

    luaL_checktype(L, 1, LUA_TTABLE);
    last = lua_isnoneornil(L, 3) ? (int)lua_objlen(L, 1) : luaL_checkint(L, 3);
    if (first > last) {
        return 0;
    }
    count = (int64_t)last - first + 1;
    if (count > LUAI_MAXCSTACK || !lua_checkstack(L, (int)count)) {
        return luaL_error(L, "too many results to unpack");
    }
    for (int64_t i = first; i <= last; i++) {
        lua_rawgeti(L, 1, (int)i);
    }
    return (int)count;
}

/* ---- Errors: what ends a run passes through ---- */

/* An error table of redis.call becomes its text. */
static void
error_flatten(lua_State *L)
{
    if (lua_type(L, -1) == LUA_TTABLE) {
        lua_pushliteral(L, "err");
        lua_rawget(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING) {
            lua_replace(L, -2);
        } else {
            lua_pop(L, 1);
        }
    }
}

static int
base_pcall(lua_State *L)
{
    int status;

    luaL_checkany(L, 1);
    script_stack_check(L, CALL_STACK_BYTES);
    status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
    script_end_check(L);
    if (status != 0) {
        error_flatten(L);
    }
    lua_pushboolean(L, status == 0);
    lua_insert(L, 1);
    return lua_gettop(L);
}

static int
base_xpcall(lua_State *L)
{
    int status;

    luaL_checkany(L, 2);
    script_stack_check(L, CALL_STACK_BYTES);
    lua_settop(L, 2);
    lua_insert(L, 1);
    status = lua_pcall(L, 0, LUA_MULTRET, 1);
    script_end_check(L);
    lua_pushboolean(L, status == 0);
    lua_replace(L, 1);
    return lua_gettop(L);
}

/* ---- Compiling: text only ---- */

/* Leaves the function, or nil and a message; how many there are. */
static int
text_load(lua_State *L, const char *text, size_t size, const char *name)
{
    script_stack_check(L, PARSER_STACK_BYTES);
    if (size > 0 && text[0] == LUA_SIGNATURE[0]) {
        lua_pushnil(L);
        lua_pushliteral(L, "bytecode is refused");
        return 2;
    }
    if (luaL_loadbuffer(L, text, size, name) == 0) {
        return 1;
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int
base_loadstring(lua_State *L)
{
    size_t size;
    const char *text = luaL_checklstring(L, 1, &size);

    return text_load(L, text, size, luaL_optstring(L, 2, text));
}

static int
base_load(lua_State *L)
{
    const char *name = luaL_optstring(L, 2, "=(load)");
    const char *text;
    size_t size;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    lua_pushliteral(L, "");
    for (;;) {
        lua_pushvalue(L, 1);
        lua_call(L, 0, 1);
        if (lua_isnil(L, -1) || (lua_isstring(L, -1) && lua_objlen(L, -1) == 0)) {
            lua_pop(L, 1);
            break;
        }
        if (!lua_isstring(L, -1)) {
            return luaL_error(L, "reader function must return a string");
        }
        lua_concat(L, 2);
    }
    text = lua_tolstring(L, -1, &size);
    return text_load(L, text, size, name);
}

/* ---- Memory is shared by the scripts of a shard: they may ask and collect, not more ---- */

static int
base_collectgarbage(lua_State *L)
{
    const char *what = luaL_optstring(L, 1, "collect");

    if (strcmp(what, "count") == 0) {
        lua_pushnumber(L, (lua_Number)scripts_of(L)->lua_bytes / 1024);
        return 1;
    }
    if (strcmp(what, "collect") == 0) {
        lua_pushinteger(L, lua_gc(L, LUA_GCCOLLECT, 0));
        return 1;
    }
    if (strcmp(what, "step") == 0) {
        lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, 0));
        return 1;
    }
    return luaL_error(L, "collectgarbage(\"%s\") is not possible: all scripts share the collector",
                      what);
}

/* ---- Tables ---- */

static int
table_insert(lua_State *L)
{
    int count = lua_gettop(L);
    int end;
    int at;

    luaL_checktype(L, 1, LUA_TTABLE);
    if (script_is_protected(L, 1)) {
        return raise_protected_raw(L);
    }
    end = (int)lua_objlen(L, 1) + 1;
    if (count == 2) {
        lua_rawseti(L, 1, end);
        return 0;
    }
    if (count != 3) {
        return luaL_error(L, "wrong number of arguments to 'insert'");
    }
    at = luaL_checkint(L, 2);
    for (int64_t i = MAX(end, at); i > at; i--) {
        lua_rawgeti(L, 1, (int)i - 1);
        lua_rawseti(L, 1, (int)i);
        if (i % SCRIPT_HOOK_INSTRUCTIONS == 0) {
            script_hook(L, NULL);
        }
    }
    lua_rawseti(L, 1, at);
    return 0;
}

/* Calls the function in upvalue 1, unless the table is protected. */
static int
table_checked(lua_State *L)
{
    luaL_checktype(L, 1, LUA_TTABLE);
    if (script_is_protected(L, 1)) {
        return raise_protected_raw(L);
    }
    script_stack_check(L, SORT_STACK_BYTES);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_insert(L, 1);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
}

/* Of the table at the top: its function is called by table_checked. */
static void
table_check_function(lua_State *L, const char *name)
{
    lua_getfield(L, -1, name);
    lua_pushcclosure(L, table_checked, 1);
    lua_setfield(L, -2, name);
}

/* ---- Numbers: 48 bits of state a run, as POSIX's lrand48 goes on with them ---- */

static double
random_next(lua_State *L)
{
    struct script_run *run = scripts_of(L)->current;

    if (run == NULL) {
        return 0;
    }
    run->seed = (run->seed * UINT64_C(0x5deece66d) + 0xb) & ((UINT64_C(1) << 48) - 1);
    return (double)((run->seed >> 17) % INT32_MAX) / (double)INT32_MAX;
}

static int
math_random(lua_State *L)
{
    double value = random_next(L);
    int low;
    int high;

    switch (lua_gettop(L)) {
    case 0:
        lua_pushnumber(L, value);
        return 1;
    case 1:
        low = 1;
        high = luaL_checkint(L, 1);
        luaL_argcheck(L, low <= high, 1, "interval is empty");
        break;
    case 2:
        low = luaL_checkint(L, 1);
        high = luaL_checkint(L, 2);
        luaL_argcheck(L, low <= high, 2, "interval is empty");
        break;
    default:
        return luaL_error(L, "wrong number of arguments");
    }
    lua_pushnumber(L, __builtin_floor(value * ((double)high - low + 1)) + low);
    return 1;
}

static int
math_randomseed(lua_State *L)
{
    uint32_t seed = (uint32_t)luaL_checkint(L, 1);
    struct script_run *run = scripts_of(L)->current;

    if (run != NULL) {
        run->seed = (uint64_t)seed << 16 | 0x330e;
    }
    return 0;
}

static int
os_clock(lua_State *L)
{
    lua_pushnumber(L, (lua_Number)shard_now_us() / 1e6);
    return 1;
}

/* ---- Putting it together ---- */

static int
global_unknown(lua_State *L)
{
    return luaL_error(L, "Script attempted to access nonexistent global variable '%s'",
                      lua_isstring(L, 2) ? lua_tostring(L, 2) : luaL_typename(L, 2));
}

/* Copies what Lua's own libraries put into the state's globals; the table is at the top. */
static void
base_copy(lua_State *L)
{
    static const char *const names[] = {
        "_VERSION", "assert", "coroutine", "error", "gcinfo",   "ipairs",   "math", "next",
        "rawequal", "select", "string",    "table", "tonumber", "tostring", "type",
    };

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        lua_getfield(L, LUA_GLOBALSINDEX, names[i]);
        ASSERT(!lua_isnil(L, -1));
        lua_setfield(L, -2, names[i]);
    }
}

static void
base_register(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"collectgarbage", base_collectgarbage},
        {"load", base_load},
        {"loadstring", base_loadstring},
        {"pcall", base_pcall},
        {"rawget", base_rawget},
        {"rawset", base_rawset},
        {"setmetatable", base_setmetatable},
        {"unpack", base_unpack},
        {"xpcall", base_xpcall},
        {NULL, NULL},
    };

    luaL_register(L, NULL, functions);
    lua_getfield(L, -1, "next");
    lua_pushcclosure(L, base_pairs, 1);
    lua_setfield(L, -2, "pairs");
}

static void
libraries_adapt(lua_State *L)
{
    lua_getfield(L, -1, "table");
    table_check_function(L, "remove");
    table_check_function(L, "setn");
    table_check_function(L, "sort");
    lua_pushcfunction(L, table_insert);
    lua_setfield(L, -2, "insert");
    lua_pop(L, 1);
    lua_getfield(L, -1, "math");
    lua_pushcfunction(L, math_random);
    lua_setfield(L, -2, "random");
    lua_pushcfunction(L, math_randomseed);
    lua_setfield(L, -2, "randomseed");
    lua_pop(L, 1);
    lua_getfield(L, -1, "string");
    script_pattern_open(L);
    lua_pop(L, 1);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, os_clock);
    lua_setfield(L, -2, "clock");
    lua_setfield(L, -2, "os");
    script_bit_open(L);
    lua_setfield(L, -2, "bit");
    script_struct_open(L);
    lua_setfield(L, -2, "struct");
    script_msgpack_open(L);
    lua_setfield(L, -2, "cmsgpack");
    script_json_open(L);
    lua_setfield(L, -2, "cjson");
    script_api_open(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "server");
    lua_setfield(L, -2, "redis");
}

/* Each library of the globals at the top, and what strings' methods are found in. */
static void
libraries_protect(lua_State *L)
{
    static const char *const names[] = {"bit", "cjson", "cmsgpack", "coroutine", "math",
                                        "os",  "redis", "string",   "struct",    "table"};

    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        lua_getfield(L, -1, names[i]);
        script_protect(L);
        if (strcmp(names[i], "redis") == 0) {
            lua_pushvalue(L, -1);
            lua_setfield(L, -3, "server");
        }
        lua_setfield(L, -2, names[i]);
    }
    lua_newtable(L);
    script_protect(L);
    lua_newtable(L);
    lua_getfield(L, -3, "string");
    lua_setfield(L, -2, "__index");
    script_protect(L);
    lua_pushcclosure(L, base_getmetatable, 2);
    lua_setfield(L, -2, "getmetatable");
}

void
script_sandbox_open(lua_State *L)
{
    lua_newtable(L);
    base_copy(L);
    base_register(L);
    libraries_adapt(L);
    libraries_protect(L);
    lua_createtable(L, 0, 1);
    lua_pushcfunction(L, global_unknown);
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
}
