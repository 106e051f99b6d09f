/* models/script/api.c - the table `redis`: how scripts call commands, and what else they may ask.
 *
 * redis.call runs a command as a statement of the script's transaction. The words are borrowed from
 * the strings on the Lua stack, which stay there; what a transaction may borrow until its end is
 * moved to the arena of the script's request. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "models/script/internal.h"

#include "engine/base/poison.h"

enum {
    CALL_STACK_BYTES = 8 << 10,
    NUMBER_BYTES = 32,
    LOG_BYTES_MAX = 1024,
    VERSION_NUMBER = 0x00070200
};
#define VERSION_TEXT "7.2.0"

/* ---- redis.call and redis.pcall ---- */

/* The words of the call, which lie on the Lua stack; NULL: one is no string and no number. */
static struct slice *
call_words(lua_State *L, struct script_run *run, uint32_t argc)
{
    struct slice *argv = arena_alloc(&run->arena, argc * sizeof(*argv));

    for (uint32_t i = 0; argv != NULL && i < argc; i++) {
        int index = (int)i + 1;

        if (lua_type(L, index) == LUA_TNUMBER) {
            lua_Number number = lua_tonumber(L, index);
            char *text = arena_alloc(&run->arena, NUMBER_BYTES);
            int size;

            if (number >= -9e18 && number <= 9e18 && (lua_Number)(int64_t)number == number) {
                size = (int)reply_format_int((int64_t)number, text);
            } else {
                size = snprintf(text, NUMBER_BYTES, "%.17g", number);
            }
            argv[i] = slice_of(text, (size_t)size);
        } else if (lua_type(L, index) == LUA_TSTRING) {
            size_t size;
            const char *text = lua_tolstring(L, index, &size);

            argv[i] = slice_of(text, size);
        } else {
            return NULL;
        }
    }
    return argv;
}

/* Large values are borrowed by the transaction until its end. */
static bool
words_keep(struct script_run *run, struct slice *argv, uint32_t argc)
{
    for (uint32_t i = 0; i < argc; i++) {
        if (argv[i].size > LSM_VALUE_INLINE_BYTES_MAX) {
            argv[i] = arena_copy(run->request->arena, argv[i]);
            if (argv[i].data == NULL) {
                return false;
            }
        }
    }
    return true;
}

/* XREAD and XREADGROUP are for scripts as long as they do not wait. */
static bool
is_waiting(const struct command *command, const struct slice *argv, uint32_t argc)
{
    if ((command->flags & CMD_BLOCKING) == 0) {
        return false;
    }
    for (uint32_t i = 1; i < argc && !command_word_is(argv[i], "streams"); i++) {
        if (command_word_is(argv[i], "block")) {
            return true;
        }
    }
    return false;
}

/* What scripts may not call, or NULL. */
static const char *
call_refuse(lua_State *L, const struct script_run *run, const struct command *command,
            const struct slice *argv, uint32_t argc)
{
    if (command == NULL) {
        return "Unknown Redis command called from script";
    }
    if (!command_arity_fits(command, argc)) {
        return "Wrong number of args calling Redis command from script";
    }
    if ((command->flags & CMD_NOSCRIPT) != 0 &&
        !(run->scripts->kv->config.scripts_call_all && strcmp(command->name, "debug") == 0)) {
        return "This Redis command is not allowed from script";
    }
    if (command->layer == COMMAND_ABSENT || command->layer == COMMAND_CONTAINER) {
        return "This command is not supported by this version of Orbit";
    }
    if (run->is_read_only && (command->flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0) {
        return "Write commands are not allowed from read-only scripts.";
    }
    if (run->request->is_over_memory && (command->flags & CMD_DENYOOM) != 0 &&
        (run->flags & SCRIPT_ALLOW_OOM) == 0) {
        return "-" KV_OUT_OF_MEMORY_TEXT;
    }
    if (is_waiting(command, argv, argc)) {
        return lua_pushfstring(L, "%s command is not allowed with BLOCK option from scripts",
                               command->name);
    }
    return NULL;
}

/* What the statement has left for the transaction's end goes to the script's request. */
static void
statement_take(struct script_run *run, struct kv_request *statement)
{
    struct kv_request *request = run->request;

    request->expired_removed += statement->expired_removed;
    request->expire_min_ms = MIN(request->expire_min_ms, statement->expire_min_ms);
    request->lsn = MAX(request->lsn, statement->lsn);
    for (const struct kv_expired *at = statement->expired;
         at != NULL && request->expired_count < KV_EXPIRED_MAX; at = at->next) {
        struct kv_expired *copy = arena_alloc(request->arena, sizeof(*copy));

        *copy = *at;
        copy->name = arena_copy(request->arena, at->name);
        copy->next = request->expired;
        request->expired = copy;
        request->expired_count++;
    }
    if (statement->events.first != NULL) {
        kv_events_take(request, statement);
    }
}

static YIELDS void
statement_run(struct script_run *run, struct kv_request *statement)
{
    struct kv_request *request = run->request;
    struct scripts *scripts = run->scripts;

    if (kv_is_exclusive(statement->command) && request->keyspaces == NULL &&
        txn_is_auto(request->txn)) {
        run->end = SCRIPT_MUST_BE_ALONE;
        return;
    }
    if (request->host != NULL) {
        request->host->execute(request->host, statement);
    } else if (statement->command->layer != COMMAND_SESSION) {
        kv_execute(statement);
    } else {
        reply_error(statement->reply, "ERR '%s' needs a session",
                    command_full_name(statement->command));
    }
    scripts->current = run;
    run->db = statement->db;
    if (statement->err != ERR_OK) {
        request->err = statement->err;
        run->end = SCRIPT_TXN_FAILED;
        return; /* Its reply stays: it is the script's. */
    }
    statement_take(run, statement);
}

/* After it nothing of the statement is needed. */
static void
statement_end(struct script_run *run, const struct command *command)
{
    bool has_borrowed = command != NULL && (command->flags & CMD_WRITE) != 0 &&
                        run->arena.bytes > LSM_VALUE_INLINE_BYTES_MAX;

    if (has_borrowed) {
        arena_absorb(run->request->arena, &run->arena);
    } else {
        arena_reset(&run->arena);
    }
}

/* The error, or NULL: then the reply is in run->reply. */
static YIELDS const char *
call_run(lua_State *L, struct script_run *run)
{
    uint32_t argc = (uint32_t)lua_gettop(L);
    const struct command *command;
    struct slice *argv;
    const char *refused;

    if (argc == 0) {
        return "Please specify at least one argument for this redis lib call";
    }
    argv = call_words(L, run, argc);
    if (argv == NULL) {
        return "Lua redis lib command arguments must be strings or integers";
    }
    command = command_resolve(argv, argc);
    refused = call_refuse(L, run, command, argv, argc);
    if (refused == NULL && (command->flags & CMD_WRITE) != 0 && !words_keep(run, argv, argc)) {
        refused = "-OOM no memory for the arguments";
    }
    if (refused == NULL) {
        struct kv_request statement = {
            .command = command,
            .argv = argv,
            .argc = argc,
            .db = run->db,
            .reply = &run->reply,
            .arena = &run->arena,
            .txn = run->request->txn,
            .origin = run->request->origin,
            .no_touch = run->request->no_touch,
            .now_ms = run->request->now_ms,
            .keyspaces = run->request->keyspaces,
            .host = run->request->host,
            .in_script = true,
        };

        buf_clear(&run->reply.buf);
        run->reply.resp = run->resp;
        statement_run(run, &statement);
    }
    statement_end(run, refused == NULL ? command : NULL);
    return refused;
}

static YIELDS int
call_any(lua_State *L, bool is_raising)
{
    struct script_run *run = scripts_of(L)->current;
    const char *error;
    struct slice bytes;
    bool has_failed;

    if (run == NULL || run->is_loading) {
        return luaL_error(L, "redis.call/pcall can only be called inside a script invocation");
    }
    script_stack_check(L, CALL_STACK_BYTES);
    error = call_run(L, run);
    script_end_check(L);
    if (error != NULL) {
        script_push_error(L, error);
        lua_pushboolean(L, true);
        lua_setfield(L, -2, "ignore_error_stats_update");
        return is_raising ? lua_error(L) : 1;
    }
    bytes = buf_slice(&run->reply.buf);
    has_failed = bytes.size > 0 && bytes.data[0] == '-';
    lua_settop(L, 0);
    if (!script_push_reply(L, &bytes)) {
        return luaL_error(L, "the reply of the command cannot be read");
    }
    if (run->reply.buf.capacity > LSM_VALUE_INLINE_BYTES_MAX) {
        buf_fini(&run->reply.buf);
        buf_init(&run->reply.buf, MEM_SESSIONS);
    }
    return has_failed && is_raising ? lua_error(L) : 1;
}

static YIELDS int
api_call(lua_State *L)
{
    return call_any(L, true);
}

static YIELDS int
api_pcall(lua_State *L)
{
    return call_any(L, false);
}

/* ---- Replies ---- */

static int
reply_table(lua_State *L, const char *field)
{
    if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
        script_push_error(L, "wrong number or type of arguments");
        return 1;
    }
    lua_newtable(L);
    lua_pushvalue(L, 1);
    lua_setfield(L, -2, field);
    return 1;
}

/* A text of one word is no code: "ERR" goes before it. */
static int
api_error_reply(lua_State *L)
{
    if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
        return reply_table(L, "err");
    }
    lua_pushfstring(L, "%s%s", lua_tostring(L, 1)[0] == '-' ? "" : "-", lua_tostring(L, 1));
    script_push_error(L, lua_tostring(L, -1));
    return 1;
}

static int
api_status_reply(lua_State *L)
{
    return reply_table(L, "ok");
}

/* ---- Others ---- */

static RAISES int
api_raise(lua_State *L, const char *text)
{
    script_push_error(L, text);
    return lua_error(L);
}

static int
api_sha1hex(lua_State *L)
{
    char hex[SHA1_HEX_BYTES + 1];
    const char *text;
    size_t size;

    if (lua_gettop(L) != 1) {
        return api_raise(L, "wrong number of arguments");
    }
    text = lua_tolstring(L, 1, &size);
    sha1_hex(slice_of(text, text == NULL ? 0 : size), hex);
    lua_pushlstring(L, hex, SHA1_HEX_BYTES);
    return 1;
}

static int
api_log(lua_State *L)
{
    static const enum log_level levels[] = {LOG_DEBUG, LOG_DEBUG, LOG_INFO, LOG_WARNING};
    int count = lua_gettop(L);
    char line[LOG_BYTES_MAX];
    size_t used = 0;
    int level;

    if (count < 2) {
        return api_raise(L, "redis.log() requires two arguments or more.");
    }
    if (!lua_isnumber(L, 1)) {
        return api_raise(L, "First argument must be a number (log level).");
    }
    level = (int)lua_tointeger(L, 1);
    if (level < 0 || level > 3) {
        return api_raise(L, "Invalid debug level.");
    }
    for (int i = 2; i <= count && used + 1 < sizeof(line); i++) {
        size_t size = 0;
        const char *text = lua_tolstring(L, i, &size);

        if (text == NULL) {
            continue;
        }
        if (used > 0) {
            line[used++] = ' ';
        }
        size = MIN(size, sizeof(line) - 1 - used);
        memcpy(line + used, text, size);
        used += size;
    }
    line[used] = '\0';
    if (log_enabled(levels[level])) {
        log_write(levels[level], "script: %s", line);
    }
    return 0;
}

static int
api_setresp(lua_State *L)
{
    struct script_run *run = scripts_of(L)->current;
    lua_Integer resp;

    if (lua_gettop(L) != 1) {
        return api_raise(L, "redis.setresp() requires one argument.");
    }
    resp = lua_tointeger(L, 1);
    if (resp != 2 && resp != 3) {
        return api_raise(L, "RESP version must be 2 or 3.");
    }
    if (run != NULL) {
        run->resp = (uint8_t)resp;
    }
    return 0;
}

/* Nothing is replicated by commands: every choice has the same effect, as on a Redis without
 * replicas and append-only file. */
static int
api_replicate_commands(lua_State *L)
{
    lua_pushboolean(L, true);
    return 1;
}

static int
api_set_repl(lua_State *L)
{
    lua_Integer flags;

    if (lua_gettop(L) != 1) {
        return api_raise(L, "redis.set_repl() requires two arguments.");
    }
    flags = lua_tointeger(L, 1);
    if ((flags & ~3) != 0) {
        return api_raise(L, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or "
                            "REPL_NONE.");
    }
    return 0;
}

/* There is no debugger attached, ever: as outside of one in Redis. */
static int
api_breakpoint(lua_State *L)
{
    lua_pushboolean(L, false);
    return 1;
}

static int
api_debug(lua_State *L)
{
    (void)L;
    return 0;
}

static YIELDS int
api_acl_check_cmd(lua_State *L)
{
    struct scripts *scripts = scripts_of(L);
    struct script_run *run = scripts->current;
    uint32_t argc = (uint32_t)lua_gettop(L);
    struct kv_request call = {.argc = argc};
    bool is_allowed = true;

    if (argc == 0) {
        return api_raise(L, "Please specify at least one argument for this redis lib call");
    }
    if (run == NULL || run->is_loading) {
        return luaL_error(L, "redis.acl_check_cmd can only be called inside a script invocation");
    }
    call.argv = call_words(L, run, argc);
    if (call.argv == NULL) {
        arena_reset(&run->arena);
        return api_raise(L, "Lua redis lib command arguments must be strings or integers");
    }
    call.command = command_resolve(call.argv, argc);
    if (call.command == NULL) {
        arena_reset(&run->arena);
        return api_raise(L, "Invalid command passed to redis.acl_check_cmd()");
    }
    if (run->request->host != NULL && run->request->host->is_allowed != NULL) {
        is_allowed = run->request->host->is_allowed(run->request->host, &call);
        scripts->current = run;
    }
    arena_reset(&run->arena);
    lua_pushboolean(L, is_allowed);
    return 1;
}

static void
number_set(lua_State *L, const char *name, lua_Number value)
{
    lua_pushnumber(L, value);
    lua_setfield(L, -2, name);
}

void
script_api_open(lua_State *L)
{
    static const luaL_Reg functions[] = {
        {"acl_check_cmd", api_acl_check_cmd},
        {"breakpoint", api_breakpoint},
        {"call", api_call},
        {"debug", api_debug},
        {"error_reply", api_error_reply},
        {"log", api_log},
        {"pcall", api_pcall},
        {"replicate_commands", api_replicate_commands},
        {"set_repl", api_set_repl},
        {"setresp", api_setresp},
        {"sha1hex", api_sha1hex},
        {"status_reply", api_status_reply},
        {NULL, NULL},
    };

    lua_newtable(L);
    luaL_register(L, NULL, functions);
    number_set(L, "LOG_DEBUG", 0);
    number_set(L, "LOG_VERBOSE", 1);
    number_set(L, "LOG_NOTICE", 2);
    number_set(L, "LOG_WARNING", 3);
    number_set(L, "REPL_NONE", 0);
    number_set(L, "REPL_AOF", 1);
    number_set(L, "REPL_SLAVE", 2);
    number_set(L, "REPL_REPLICA", 2);
    number_set(L, "REPL_ALL", 3);
    number_set(L, "REDIS_VERSION_NUM", VERSION_NUMBER);
    lua_pushliteral(L, VERSION_TEXT);
    lua_setfield(L, -2, "REDIS_VERSION");
}
