/* models/script/run.c - one run of a script: its fiber, its Lua thread, its end.
 *
 * The command's fiber starts another one with a large stack and waits. On that stack Lua runs,
 * calls commands, and is suspended inside of them; other runs of the shard go on meanwhile, each in
 * a Lua thread of its own. Long jumps of an error stay on the stack of their run. */
#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/shard.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum { RANDOM_BITS = 48, ERROR_TEXT_BYTES_MAX = 512 };

/* ---- Lua threads ---- */

static int
runner_make(lua_State *L)
{
    struct script_runner *runner = lua_touserdata(L, 1);

    runner->L = lua_newthread(L);
    runner->thread = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_newtable(L); /* KEYS, ARGV, _G */
    lua_createtable(L, 0, 1);
    lua_getfield(L, LUA_REGISTRYINDEX, "orbit.globals");
    lua_setfield(L, -2, "__index");
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    runner->names = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushvalue(L, -1);
    script_protect(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "_G");
    lua_pushvalue(L, -1);
    runner->globals = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_xmove(L, runner->L, 1);
    lua_replace(runner->L, LUA_GLOBALSINDEX);
    return 0;
}

/* NULL: no memory for it. */
static struct script_runner *
runner_take(struct scripts *scripts)
{
    struct list *node = list_pop_front(&scripts->runners);
    struct script_runner *runner;

    if (node != NULL) {
        scripts->runner_count--;
        return LIST_ENTRY(node, struct script_runner, link);
    }
    runner = MEM_NEW(MEM_SESSIONS, struct script_runner);
    runner->thread = runner->names = runner->globals = LUA_NOREF;
    if (lua_cpcall(scripts->L, runner_make, runner) != 0) {
        lua_settop(scripts->L, 0);
        luaL_unref(scripts->L, LUA_REGISTRYINDEX, runner->thread);
        luaL_unref(scripts->L, LUA_REGISTRYINDEX, runner->names);
        MEM_FREE(MEM_SESSIONS, runner);
    }
    return runner;
}

static void
runner_give(struct scripts *scripts, struct script_runner *runner)
{
    lua_settop(runner->L, 0);
    if (scripts->runner_count < SCRIPT_RUNNERS_KEPT) {
        list_push_front(&scripts->runners, &runner->link);
        scripts->runner_count++;
        return;
    }
    luaL_unref(scripts->L, LUA_REGISTRYINDEX, runner->thread);
    luaL_unref(scripts->L, LUA_REGISTRYINDEX, runner->names);
    luaL_unref(scripts->L, LUA_REGISTRYINDEX, runner->globals);
    MEM_FREE(MEM_SESSIONS, runner);
}

/* ---- Between instructions ---- */

static void
time_look(struct script_run *run)
{
    uint64_t ms = (shard_now_us() - run->begun_us) / 1000;
    uint64_t limit_ms = run->is_loading ? SCRIPT_LOAD_MS_MAX : SCRIPT_TIME_MS_MAX;

    if (ms > limit_ms && run->end == SCRIPT_GOES_ON) {
        run->end = SCRIPT_TIMED_OUT;
    }
    if (!run->is_slow && ms > run->scripts->kv->config.script_busy_ms) {
        run->is_slow = true;
        LOG_W("script %s has run for %llu ms; SCRIPT KILL (of a function, FUNCTION KILL) ends it",
              run->name, (unsigned long long)ms);
    }
}

/* A loop of a script gives way like any other work. What the transaction has read is checked from
 * then on. */
void
script_hook(lua_State *L, lua_Debug *debug)
{
    struct scripts *scripts = scripts_of(L);
    struct script_run *run = scripts->current;

    (void)debug;
    if (run->request->txn != NULL) {
        txn_hold(run->request->txn);
    }
    fiber_work(SCRIPT_HOOK_UNITS);
    scripts->current = run;
    time_look(run);
    script_end_check(L);
}

/* ---- Errors ---- */

/* The error becomes a table {err =, source =, line =}. */
static int
error_complete(lua_State *L)
{
    lua_Debug place;
    bool has_place = lua_getstack(L, 1, &place) && lua_getinfo(L, "Sl", &place);

    if (has_place && strcmp(place.what, "C") == 0) {
        has_place = lua_getstack(L, 2, &place) && lua_getinfo(L, "Sl", &place);
    }
    if (lua_type(L, 1) != LUA_TTABLE || script_is_protected(L, 1)) {
        const char *text = lua_tostring(L, 1);

        if (text == NULL) {
            text =
                lua_isboolean(L, 1) ? lua_toboolean(L, 1) ? "true" : "false" : luaL_typename(L, 1);
        }
        script_push_error(L, text);
        lua_replace(L, 1);
    }
    if (has_place) {
        lua_pushliteral(L, "source");
        lua_pushstring(L, place.source);
        lua_rawset(L, 1);
        lua_pushliteral(L, "line");
        lua_pushinteger(L, place.currentline);
        lua_rawset(L, 1);
    }
    lua_settop(L, 1);
    return 1;
}

static const char *
error_field(lua_State *L, const char *name)
{
    const char *text;

    lua_pushstring(L, name);
    lua_rawget(L, -2);
    text = lua_isstring(L, -1) ? lua_tostring(L, -1) : NULL; /* Held by the table. */
    lua_pop(L, 1);
    return text;
}

/* The error is at the top of the stack. */
static void
error_reply(lua_State *L, struct script_run *run)
{
    const char *text;
    const char *source;
    lua_Integer line;
    size_t size;

    if (lua_type(L, -1) != LUA_TTABLE) {
        text = lua_tostring(L, -1);
        reply_error(run->request->reply, "ERR %s", text == NULL ? "unknown error" : text);
        return;
    }
    text = error_field(L, "err");
    source = error_field(L, "source");
    lua_pushliteral(L, "line");
    lua_rawget(L, -2);
    line = lua_tointeger(L, -1);
    lua_pop(L, 1);
    if (text == NULL) {
        text = "ERR unknown error";
    }
    if (source != NULL) {
        lua_pushfstring(L, "%s script: %s, on %s:%d.", text, run->name, source, (int)line);
    } else {
        lua_pushfstring(L, "%s script: %s", text, run->name);
    }
    text = lua_tolstring(L, -1, &size);
    script_reply_error(run->request->reply, slice_of(text, size));
}

/* The run was ended from outside of the script, or by its transaction. */
static void
end_reply(struct script_run *run)
{
    struct kv_request *request = run->request;
    struct slice bytes = buf_slice(&run->reply.buf);
    const char *what = run->is_function ? "FUNCTION" : "SCRIPT";

    switch (run->end) {
    case SCRIPT_TXN_FAILED:
        bytes.size = bytes.size > 2 ? bytes.size - 3 : 0; /* Without type and line end. */
        reply_error(request->reply, "%.*s", (int)bytes.size, (const char *)bytes.data + 1);
        break;
    case SCRIPT_MUST_BE_ALONE:
        request->wants_alone = true;
        request->err = err_set(ERR_SERIALIZATION, "the script must run alone");
        reply_err(request->reply, request->err);
        break;
    case SCRIPT_TIMED_OUT:
        reply_error(request->reply, "ERR the script ran longer than the limit of %d ms",
                    run->is_loading ? SCRIPT_LOAD_MS_MAX : SCRIPT_TIME_MS_MAX);
        break;
    case SCRIPT_CLIENT_GONE:
        reply_error(request->reply, "ERR the client of the script has gone");
        break;
    default:
        run->scripts->killed++;
        reply_error(request->reply, "ERR Script killed by user with %s KILL. script: %s", what,
                    run->name);
        break;
    }
}

void
script_run_call(struct script_run *run, int arguments)
{
    lua_State *L = run->runner->L;
    int base = lua_gettop(L) - arguments; /* Where the function is. */
    int status;

    lua_pushcfunction(L, error_complete);
    lua_insert(L, base);
    status = lua_pcall(L, arguments, 1, base);
    if (status == 0 && (run->end == SCRIPT_KILLED || run->end == SCRIPT_CLIENT_GONE ||
                        run->end == SCRIPT_TIMED_OUT)) {
        run->end = SCRIPT_GOES_ON; /* It came too late. */
    }
    if (run->end != SCRIPT_GOES_ON) {
        end_reply(run);
    } else if (status != 0) {
        error_reply(L, run);
    } else {
        script_reply(L, run->request->reply, run->resp);
        run->request->keeps_errors = true;
        lua_pushnil(L);
    }
    lua_settop(L, base - 1);
}

void
script_push_words(lua_State *L, const struct slice *words, uint32_t count)
{
    lua_createtable(L, (int)count, 0);
    for (uint32_t i = 0; i < count; i++) {
        lua_pushlstring(L, (const char *)words[i].data, words[i].size);
        lua_rawseti(L, -2, (int)i + 1);
    }
}

bool
script_protected(struct script_run *run, lua_CFunction fn, void *arg, const char *prefix)
{
    struct reply *reply = run->request->reply;
    struct reply_mark mark = reply_mark(reply);
    lua_State *L = run->runner->L;
    char text[ERROR_TEXT_BYTES_MAX];
    const char *message;

    if (lua_cpcall(L, fn, arg) == 0) {
        return true;
    }
    message = lua_tostring(L, -1);
    if (message == NULL && lua_type(L, -1) == LUA_TTABLE) {
        message = error_field(L, "err");
        prefix = "";
    }
    text[0] = '\0';
    strncat(text, message == NULL ? "unknown error" : message, sizeof(text) - 1);
    lua_settop(L, 0);
    reply_cut(reply, mark);
    run->request->keeps_errors = false;
    if (run->end != SCRIPT_GOES_ON) {
        end_reply(run);
    } else {
        reply_error(reply, "%s%s", prefix, text);
    }
    return false;
}

/* ---- The fiber ---- */

static YIELDS void
run_fiber(void *arg)
{
    struct script_run *run = arg;
    struct scripts *scripts = run->scripts;

    run->stack_base = __builtin_frame_address(0);
    run->runner = runner_take(scripts);
    if (run->runner == NULL) {
        reply_error(run->request->reply,
                    "OOM no memory for a Lua thread: the scripts of a shard "
                    "hold at most %d bytes",
                    SCRIPT_LUA_BYTES_MAX);
    } else {
        scripts->current = run;
        lua_sethook(run->runner->L, script_hook, LUA_MASKCOUNT, SCRIPT_HOOK_INSTRUCTIONS);
        run->fn(run);
        scripts->current = NULL;
        runner_give(scripts, run->runner);
    }
    run->is_done = true;
    fiber_wake(run->waiter);
}

static void
run_begin(struct script_run *run)
{
    struct scripts *scripts = run->scripts;

    run->resp = 2;
    run->end = SCRIPT_GOES_ON;
    run->db = run->request->db;
    run->begun_us = shard_now_us();
    run->seed = prng_next(shard_prng()) >> (64 - RANDOM_BITS);
    run->waiter = fiber_self();
    run->is_done = false;
    arena_init(&run->arena, MEM_SESSIONS);
    reply_init(&run->reply, 2);
    list_push_back(&scripts->running, &run->link);
    scripts->run_count++;
    scripts->calls++;
}

bool
script_run_execute(struct script_run *run)
{
    struct scripts *scripts = run->scripts;
    bool is_run = true;

    if (scripts->run_count >= SCRIPT_RUNS_MAX) {
        reply_error(run->request->reply, "ERR more than %d scripts are under way", SCRIPT_RUNS_MAX);
        return false;
    }
    if (run->request->txn != NULL) {
        txn_hold(run->request->txn); /* Others run before the new fiber does. */
    }
    run_begin(run);
    if (fiber_spawn("script", FIBER_FOREGROUND, FIBER_STACK_LARGE, run_fiber, run) == NULL) {
        reply_error(run->request->reply, "ERR no fiber for a script");
        is_run = false;
    }
    while (is_run && !run->is_done) {
        fiber_suspend();
    }
    list_remove(&run->link);
    scripts->run_count--;
    arena_fini(&run->arena);
    reply_fini(&run->reply);
    return is_run;
}

/* ---- Ending runs from outside ---- */

uint32_t
scripts_end(struct scripts *scripts, uint64_t session, bool is_function, enum script_end end)
{
    uint32_t count = 0;

    LIST_FOR_EACH(node, &scripts->running) {
        struct script_run *run = LIST_ENTRY(node, struct script_run, link);
        uint64_t ms = (shard_now_us() - run->begun_us) / 1000;
        bool is_meant =
            session != 0
                ? run->request->host != NULL && run->request->host->session == session
                : run->is_function == is_function && ms >= scripts->kv->config.script_busy_ms;

        if (is_meant && run->end == SCRIPT_GOES_ON) {
            run->end = end;
            count++;
        }
    }
    return count;
}

void
scripts_end_of_session(struct kv *kv, uint64_t session)
{
    if (kv->scripts != NULL) {
        (void)scripts_end(kv->scripts, session, false, SCRIPT_CLIENT_GONE);
    }
}

void
scripts_stats_get(struct kv *kv, struct script_stats *stats_out)
{
    const struct scripts *scripts = kv->scripts;

    *stats_out = (struct script_stats){0};
    if (scripts != NULL) {
        stats_out->lua_bytes = scripts->lua_bytes;
        stats_out->text_bytes = scripts->text_bytes;
        stats_out->cached = scripts->script_count;
        stats_out->running = scripts->run_count;
        functions_count(scripts, &stats_out->libraries, &stats_out->functions);
        stats_out->calls = scripts->calls;
        stats_out->killed = scripts->killed;
    }
}
