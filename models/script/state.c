/* models/script/state.c - the Lua state of a shard: its memory, and tables that take no writes.
 *
 * A protected table is an empty one whose metatable shows the real one. Writes of new keys, and all
 * are new, meet __newindex; the raw functions that scripts have ask script_is_protected. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

/* Its address is the key by which a metatable says that it protects. */
static const char protected_mark;

/* ---- Memory ---- */

static void *
lua_memory(void *arg, void *block, size_t old_size, size_t new_size)
{
    struct scripts *scripts = arg;

    if (new_size == 0) {
        mem_free(MEM_SESSIONS, block, old_size);
        scripts->lua_bytes -= old_size;
        return NULL;
    }
    if (new_size > old_size && scripts->lua_bytes + (new_size - old_size) > SCRIPT_LUA_BYTES_MAX) {
        return NULL;
    }
    block = block == NULL ? mem_alloc(MEM_SESSIONS, new_size)
                          : mem_realloc(MEM_SESSIONS, block, old_size, new_size);
    if (block != NULL) {
        scripts->lua_bytes += new_size - old_size;
    }
    return block;
}

static int
lua_panic(lua_State *L)
{
    fatal("lua: an error outside of protected calls: %s", lua_tostring(L, -1));
}

/* ---- Protection ---- */

int
script_raise_protected(lua_State *L)
{
    return luaL_error(L, "Attempt to modify a readonly table");
}

void
script_protect(lua_State *L)
{
    lua_newtable(L);
    lua_createtable(L, 0, 3);
    lua_pushvalue(L, -3);
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, script_raise_protected);
    lua_setfield(L, -2, "__newindex");
    lua_pushlightuserdata(L, (void *)&protected_mark);
    lua_pushboolean(L, true);
    lua_rawset(L, -3);
    lua_setmetatable(L, -2);
    lua_replace(L, -2);
}

bool
script_is_protected(lua_State *L, int index)
{
    bool is_marked;

    if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) {
        return false;
    }
    lua_pushlightuserdata(L, (void *)&protected_mark);
    lua_rawget(L, -2);
    is_marked = lua_toboolean(L, -1);
    lua_pop(L, 2);
    return is_marked;
}

/* ---- The stack, and the end of runs ---- */

void
script_stack_check(lua_State *L, size_t bytes)
{
    const struct script_run *run = scripts_of(L)->current;
    const uint8_t *here = __builtin_frame_address(0);

    if (run != NULL &&
        (size_t)(run->stack_base - here) + bytes + SCRIPT_STACK_RESERVE > SCRIPT_STACK_BYTES) {
        luaL_error(L, "stack overflow");
    }
}

void
script_end_check(lua_State *L)
{
    const struct script_run *run = scripts_of(L)->current;

    if (run != NULL && run->end != SCRIPT_GOES_ON) {
        /* It must not catch this: the hook raises it again at the next instruction. */
        lua_sethook(L, script_hook, LUA_MASKCOUNT, 1);
        lua_pushliteral(L, "the script is ended");
        lua_error(L);
    }
}

/* ---- Opening ---- */

static int
library_open(lua_State *L, const char *name, lua_CFunction open)
{
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
    return 0;
}

static int
state_open(lua_State *L)
{
    library_open(L, "", luaopen_base);
    library_open(L, LUA_TABLIBNAME, luaopen_table);
    library_open(L, LUA_STRLIBNAME, luaopen_string);
    library_open(L, LUA_MATHLIBNAME, luaopen_math);
    script_sandbox_open(L);
    lua_setfield(L, LUA_REGISTRYINDEX, "orbit.globals");
    return 0;
}

struct scripts *
scripts_new(struct kv *kv)
{
    struct scripts *scripts = MEM_NEW(MEM_SESSIONS, struct scripts);

    scripts->kv = kv;
    list_init(&scripts->running);
    list_init(&scripts->runners);
    list_init(&scripts->by_age);
    for (uint32_t i = 0; i < SCRIPT_BUCKETS; i++) {
        list_init(&scripts->by_sha[i]);
        list_init(&scripts->by_text[i]);
    }
    scripts->L = lua_newstate(lua_memory, scripts);
    ASSERT(scripts->L != NULL); /* A few KiB, within every limit. */
    lua_atpanic(scripts->L, lua_panic);
    if (lua_cpcall(scripts->L, state_open, NULL) != 0) {
        fatal("lua: cannot open the libraries: %s", lua_tostring(scripts->L, -1));
    }
    return scripts;
}

void
scripts_free(struct scripts **scripts_ref)
{
    struct scripts *scripts = *scripts_ref;

    if (scripts == NULL) {
        return;
    }
    ASSERT(scripts->run_count == 0);
    scripts_cache_clear(scripts);
    functions_free(scripts);
    while (!list_is_empty(&scripts->runners)) {
        struct script_runner *runner =
            LIST_ENTRY(scripts->runners.next, struct script_runner, link);

        list_remove(&runner->link);
        MEM_FREE(MEM_SESSIONS, runner);
    }
    lua_close(scripts->L);
    ASSERT(scripts->lua_bytes == 0);
    MEM_FREE(MEM_SESSIONS, scripts);
    *scripts_ref = NULL;
}

struct scripts *
scripts_get(struct kv *kv)
{
    if (kv->scripts == NULL) {
        kv->scripts = scripts_new(kv);
    }
    return kv->scripts;
}
