/* models/script/pattern.c - bounds for Lua's functions on strings.
 *
 * Lua's matcher calls itself once for each repeated or captured item of a pattern, and so a long
 * pattern could use up any stack: they are counted before. string.rep would build what no limit
 * allows, or turn without end for an empty string. */
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum { MATCH_FRAME_BYTES = 320, FUNCTION_FRAME_BYTES = 20 << 10 };

/* Of the pattern in argument 2: how often can matching it call itself? */
static size_t
pattern_depth(lua_State *L)
{
    size_t depth = 1;
    size_t size;
    const char *pattern = lua_tolstring(L, 2, &size);

    for (size_t i = 0; pattern != NULL && i < size; i++) {
        depth += pattern[i] == '*' || pattern[i] == '+' || pattern[i] == '-' || pattern[i] == '?' ||
                 pattern[i] == '(' || pattern[i] == ')';
    }
    return depth;
}

/* Lua's own function is in upvalue 1. */
static lua_CFunction
own_function(lua_State *L)
{
    return (lua_CFunction)(uintptr_t)lua_touserdata(L, lua_upvalueindex(1));
}

static int
string_matching(lua_State *L)
{
    script_stack_check(L, FUNCTION_FRAME_BYTES + pattern_depth(L) * MATCH_FRAME_BYTES);
    return own_function(L)(L);
}

/* The iterator that gmatch gives matches the pattern in its upvalue: from a deeper stack, maybe. */
static int
string_gmatch_next(lua_State *L)
{
    script_stack_check(L, (size_t)lua_tointeger(L, lua_upvalueindex(2)));
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_call(L, 0, LUA_MULTRET);
    return lua_gettop(L);
}

static int
string_gmatch(lua_State *L)
{
    size_t bytes = FUNCTION_FRAME_BYTES + pattern_depth(L) * MATCH_FRAME_BYTES;
    lua_CFunction own = own_function(L);

    script_stack_check(L, bytes);
    (void)own(L);
    lua_pushinteger(L, (lua_Integer)bytes);
    lua_pushcclosure(L, string_gmatch_next, 2);
    return 1;
}

static int
string_rep(lua_State *L)
{
    size_t size;
    lua_Integer count;

    (void)luaL_checklstring(L, 1, &size);
    count = (lua_Integer)luaL_checkint(L, 2);
    if (size == 0 || count <= 0) {
        lua_pushliteral(L, "");
        return 1;
    }
    if ((uint64_t)count > SCRIPT_LUA_BYTES_MAX / size) {
        return luaL_error(L, "not enough memory");
    }
    return own_function(L)(L);
}

static void
function_replace(lua_State *L, const char *name, lua_CFunction function)
{
    lua_getfield(L, -1, name);
    lua_pushlightuserdata(L, (void *)(uintptr_t)lua_tocfunction(L, -1));
    lua_replace(L, -2);
    lua_pushcclosure(L, function, 1);
    lua_setfield(L, -2, name);
}

void
script_pattern_open(lua_State *L)
{
    function_replace(L, "find", string_matching);
    function_replace(L, "match", string_matching);
    function_replace(L, "gsub", string_matching);
    function_replace(L, "gmatch", string_gmatch);
    function_replace(L, "gfind", string_gmatch);
    function_replace(L, "rep", string_rep);
}
