/* models/script/function_commands.c - FCALL and FUNCTION.
 *
 * All of them run where Lua does: which functions there are is known after the texts in the store,
 * as the transaction sees them, were compiled. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/glob.h"
#include "models/kv/payload.h"
#include "models/script/commands.h"
#include "models/script/library.h"

#include "engine/base/poison.h"

enum { WORDS_BEFORE_KEYS = 3, PAYLOAD_FUNCTION = 245, PAYLOAD_FUNCTION_EARLY = 246 };

/* Runs fn on the stack of a script. */
static YIELDS void
function_run(struct kv_request *request, YIELDS void (*fn)(struct script_run *run))
{
    struct script_run run = {
        .scripts = scripts_get(kv_self()),
        .request = request,
        .name = "function",
        .fn = fn,
        .is_function = true,
    };

    (void)script_run_execute(&run);
}

/* ---- FCALL ---- */

struct fcall {
    struct script_run run;
    int callback; /* A reference of the library's, which may be gone after a suspension. */
    uint32_t key_count;
};

static bool
fcall_key_count(struct kv_request *request, uint32_t *count_out)
{
    int64_t count;

    if (!reply_parse_int(request->argv[2], &count)) {
        reply_error(request->reply, "ERR Bad number of keys provided");
        return false;
    }
    return script_key_count(request, count_out);
}

static YIELDS int
fcall_protected(lua_State *L)
{
    struct fcall *fcall = lua_touserdata(L, 1);
    const struct kv_request *request = fcall->run.request;
    const struct slice *words = request->argv + WORDS_BEFORE_KEYS;

    lua_rawgeti(L, LUA_REGISTRYINDEX, fcall->callback);
    script_push_words(L, words, fcall->key_count);
    script_push_words(L, words + fcall->key_count,
                      request->argc - WORDS_BEFORE_KEYS - fcall->key_count);
    script_run_call(&fcall->run, 2);
    return 0;
}

static YIELDS void
fcall_run(struct script_run *run)
{
    struct fcall *fcall = run->arg;
    struct kv_request *request = run->request;
    const struct script_function *function;

    if (!functions_sync(run)) {
        return;
    }
    function = functions_find(run->scripts->functions, request->argv[1]);
    if (function == NULL) {
        reply_error(request->reply, "ERR Function not found");
        return;
    }
    if (!fcall_key_count(request, &fcall->key_count) ||
        !script_may_run(request, function->flags, true)) {
        return;
    }
    run->name = arena_printf(request->arena, "%.*s", (int)function->name.size,
                             (const char *)function->name.data);
    run->flags = function->flags;
    run->has_flags = true;
    run->is_read_only =
        (request->command->flags & CMD_READONLY) != 0 || (function->flags & SCRIPT_NO_WRITES) != 0;
    run->is_shown = true;
    fcall->callback = function->callback;
    (void)script_protected(run, fcall_protected, fcall, "ERR ");
}

void
script_command_fcall(struct kv_request *request)
{
    struct fcall fcall = {
        .run =
            {
                .scripts = scripts_get(kv_self()),
                .request = request,
                .name = "function",
                .fn = fcall_run,
                .is_function = true,
            },
    };

    fcall.run.arg = &fcall;
    (void)script_run_execute(&fcall.run);
}

/* ---- Changing the set ---- */

/* Does a function of the new libraries have the name of one that stays? */
static bool
collision_find(const struct functions *stays, const struct functions *new_ones,
               const struct script_function **found_out)
{
    for (uint32_t i = 0; i < FUNCTIONS_BUCKETS; i++) {
        LIST_FOR_EACH(node, &new_ones->buckets[i]) {
            const struct script_function *function = LIST_ENTRY(node, struct script_function, link);
            const struct script_function *other = functions_find(stays, function->name);

            if (other != NULL && functions_library(new_ones, other->library->name) == NULL) {
                *found_out = function;
                return true;
            }
        }
    }
    return false;
}

static bool
library_refuse_existing(struct kv_request *request, const struct functions *functions,
                        struct slice name, const char *format)
{
    if (functions_library(functions, name) == NULL) {
        return false;
    }
    reply_error(request->reply, format, (int)name.size, (const char *)name.data);
    return true;
}

static bool
collision_refuse(struct script_run *run, const struct functions *new_ones)
{
    const struct script_function *found;

    if (!collision_find(run->scripts->functions, new_ones, &found)) {
        return false;
    }
    reply_error(run->request->reply, "ERR Function %.*s already exists", (int)found->name.size,
                (const char *)found->name.data);
    return true;
}

/* The set would be beyond its limits. */
static bool
limit_refuse(struct script_run *run, const struct functions *new_ones)
{
    const struct functions *stays = run->scripts->functions;

    if (stays->library_count + new_ones->library_count <= FUNCTIONS_LIBRARIES_MAX &&
        stays->code_bytes + new_ones->code_bytes <= FUNCTIONS_CODE_BYTES_MAX) {
        return false;
    }
    reply_error(run->request->reply, "ERR more than %d libraries or %d bytes of their texts",
                FUNCTIONS_LIBRARIES_MAX, FUNCTIONS_CODE_BYTES_MAX);
    return true;
}

/* ---- FUNCTION LOAD [REPLACE] text ---- */

static YIELDS void
load_run(struct script_run *run)
{
    struct kv_request *request = run->request;
    struct slice code = request->argv[request->argc - 1];
    struct functions *new_ones = NULL;
    char error[FUNCTIONS_ERROR_BYTES];
    bool replaces = false;
    struct slice name;

    for (uint32_t i = 2; i + 1 < request->argc; i++) {
        if (!command_word_is(request->argv[i], "replace")) {
            reply_error(request->reply, "ERR Unknown option given: %.*s",
                        (int)MIN(request->argv[i].size, (size_t)128),
                        (const char *)request->argv[i].data);
            return;
        }
        replaces = true;
    }
    if (!functions_name_parse(request->arena, code, &name, error)) {
        reply_error(request->reply, "ERR %s", error);
        return;
    }
    if (!functions_sync(run) ||
        (!replaces && library_refuse_existing(request, run->scripts->functions, name,
                                              "ERR Library '%.*s' already exists"))) {
        return;
    }
    new_ones = functions_new();
    if (!functions_compile(run, new_ones, name, code, error)) {
        reply_error(request->reply, "ERR %s", error);
    } else if (!functions_sync(run)) {
        /* What it is compared with, after the text has run. */
    } else if (!collision_refuse(run, new_ones) && !limit_refuse(run, new_ones)) {
        functions_put(request->txn, name, code);
        reply_bulk(request->reply, name);
    }
    functions_drop(run->scripts, &new_ones);
}

void
script_command_function_load(struct kv_request *request)
{
    function_run(request, load_run);
}

/* ---- FUNCTION DELETE, FLUSH ---- */

static YIELDS void
delete_run(struct script_run *run)
{
    struct kv_request *request = run->request;

    if (!functions_sync(run)) {
        return;
    }
    if (functions_library(run->scripts->functions, request->argv[2]) == NULL) {
        reply_error(request->reply, "ERR Library not found");
        return;
    }
    functions_delete(request->txn, request->argv[2]);
    reply_ok(request->reply);
}

void
script_command_function_delete(struct kv_request *request)
{
    function_run(request, delete_run);
}

static void
reply_wrong_arguments(struct kv_request *request)
{
    reply_error(request->reply,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try FUNCTION "
                "HELP.",
                (int)MIN(request->argv[1].size, (size_t)128), (const char *)request->argv[1].data);
}

void
script_command_function_flush(struct kv_request *request)
{
    if (request->argc > 3) {
        reply_wrong_arguments(request);
    } else if (request->argc == 3 && !command_word_is(request->argv[2], "sync") &&
               !command_word_is(request->argv[2], "async")) {
        reply_error(request->reply, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    } else {
        functions_delete_all(request->txn);
        reply_ok(request->reply);
    }
}

/* ---- FUNCTION LIST [LIBRARYNAME pattern] [WITHCODE] ---- */

struct list_options {
    struct slice pattern; /* NULL data: all. */
    bool with_code;
};

static bool
list_parse(struct kv_request *request, struct list_options *options)
{
    for (uint32_t i = 2; i < request->argc; i++) {
        if (!options->with_code && command_word_is(request->argv[i], "withcode")) {
            options->with_code = true;
        } else if (options->pattern.data == NULL &&
                   command_word_is(request->argv[i], "libraryname")) {
            if (++i == request->argc) {
                reply_error(request->reply, "ERR library name argument was not given");
                return false;
            }
            options->pattern = request->argv[i];
        } else {
            reply_error(request->reply, "ERR Unknown argument %.*s",
                        (int)MIN(request->argv[i].size, (size_t)128),
                        (const char *)request->argv[i].data);
            return false;
        }
    }
    return true;
}

static void
flags_reply(struct reply *reply, uint32_t flags)
{
    reply_set(reply, (uint64_t)__builtin_popcount(flags));
    for (uint32_t bit = 0; script_flag_name(bit) != NULL; bit++) {
        if ((flags >> bit & 1) != 0) {
            reply_simple(reply, script_flag_name(bit));
        }
    }
}

static void
function_reply(struct reply *reply, const struct script_function *function)
{
    reply_map(reply, 3);
    reply_bulk_text(reply, "name");
    reply_bulk(reply, function->name);
    reply_bulk_text(reply, "description");
    if (function->description.data == NULL) {
        reply_null(reply);
    } else {
        reply_bulk(reply, function->description);
    }
    reply_bulk_text(reply, "flags");
    flags_reply(reply, function->flags);
}

static void
library_reply(struct reply *reply, const struct functions *functions,
              const struct script_library *library, bool with_code)
{
    reply_map(reply, with_code ? 4 : 3);
    reply_bulk_text(reply, "library_name");
    reply_bulk(reply, library->name);
    reply_bulk_text(reply, "engine");
    reply_bulk_text(reply, "LUA");
    reply_bulk_text(reply, "functions");
    reply_array(reply, library->function_count);
    for (uint32_t i = 0; i < FUNCTIONS_BUCKETS; i++) {
        LIST_FOR_EACH(node, &functions->buckets[i]) {
            const struct script_function *function = LIST_ENTRY(node, struct script_function, link);

            if (function->library == library) {
                function_reply(reply, function);
            }
        }
    }
    if (with_code) {
        reply_bulk_text(reply, "library_code");
        reply_bulk(reply, library->code);
    }
}

static bool
is_listed(const struct script_library *library, const struct list_options *options)
{
    return options->pattern.data == NULL || kv_glob_match(options->pattern, library->name, true);
}

static YIELDS void
list_run(struct script_run *run)
{
    struct list_options options = {0};
    struct reply *reply = run->request->reply;
    const struct functions *functions;
    uint64_t count = 0;

    if (!list_parse(run->request, &options) || !functions_sync(run)) {
        return;
    }
    functions = run->scripts->functions;
    LIST_FOR_EACH(node, &functions->libraries) {
        count += is_listed(LIST_ENTRY(node, struct script_library, link), &options);
    }
    reply_array(reply, count);
    LIST_FOR_EACH(node, &functions->libraries) {
        const struct script_library *library = LIST_ENTRY(node, struct script_library, link);

        if (is_listed(library, &options)) {
            library_reply(reply, functions, library, options.with_code);
        }
    }
}

void
script_command_function_list(struct kv_request *request)
{
    function_run(request, list_run);
}

/* ---- FUNCTION STATS ---- */

/* The script that has run longest, of all shards. */
struct running {
    bool is_found;
    uint64_t ms;
    struct reply reply; /* Three fields of a map, made where it runs. */
};

static void
running_describe(struct running *running, const struct script_run *run)
{
    const struct kv_request *request = run->request;
    struct reply *reply = &running->reply;

    reply_bulk_text(reply, "name");
    reply_bulk_text(reply, run->name);
    reply_bulk_text(reply, "command");
    reply_array(reply, request->argc);
    for (uint32_t i = 0; i < request->argc; i++) {
        reply_bulk(reply, request->argv[i]);
    }
    reply_bulk_text(reply, "duration_ms");
    reply_int(reply, (int64_t)running->ms);
}

static void
running_look(void *arg)
{
    struct running *running = arg;
    struct scripts *scripts = kv_self()->scripts;
    const struct script_run *oldest = NULL;
    uint64_t ms;

    if (scripts == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &scripts->running) {
        const struct script_run *run = LIST_ENTRY(node, struct script_run, link);

        if (run->is_shown && (oldest == NULL || run->begun_us < oldest->begun_us)) {
            oldest = run;
        }
    }
    if (oldest == NULL) {
        return;
    }
    ms = (shard_now_us() - oldest->begun_us) / 1000;
    if (running->is_found && running->ms >= ms) {
        return;
    }
    running->is_found = true;
    running->ms = ms;
    mem_adopt(MEM_SESSIONS, running->reply.buf.data, running->reply.buf.capacity);
    buf_clear(&running->reply.buf);
    running_describe(running, oldest);
    mem_disown(MEM_SESSIONS, running->reply.buf.data, running->reply.buf.capacity);
}

static YIELDS void
stats_run(struct script_run *run)
{
    struct reply *reply = run->request->reply;
    struct running running = {0};

    if (!functions_sync(run)) {
        return;
    }
    reply_init(&running.reply, reply->resp);
    txn_hold(run->request->txn);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_INLINE, running_look, &running);
    }
    run->scripts->current = run;
    mem_adopt(MEM_SESSIONS, running.reply.buf.data, running.reply.buf.capacity);
    reply_map(reply, 2);
    reply_bulk_text(reply, "running_script");
    if (running.is_found) {
        reply_map(reply, 3);
        buf_append(&reply->buf, running.reply.buf.data, running.reply.buf.size);
    } else {
        reply_null(reply);
    }
    reply_fini(&running.reply);
    reply_bulk_text(reply, "engines");
    reply_map(reply, 1);
    reply_bulk_text(reply, "LUA");
    reply_map(reply, 2);
    reply_bulk_text(reply, "libraries_count");
    reply_int(reply, run->scripts->functions->library_count);
    reply_bulk_text(reply, "functions_count");
    reply_int(reply, run->scripts->functions->function_count);
}

void
script_command_function_stats(struct kv_request *request)
{
    function_run(request, stats_run);
}

/* ---- FUNCTION DUMP, RESTORE: payloads of Redis 7 ---- */

static YIELDS void
dump_run(struct script_run *run)
{
    struct kv_request *request = run->request;
    struct buf out;
    err_t err = ERR_OK;

    if (!functions_sync(run)) {
        return;
    }
    buf_init(&out, MEM_SESSIONS);
    LIST_FOR_EACH(node, &run->scripts->functions->libraries) {
        buf_append_byte(&out, PAYLOAD_FUNCTION);
        TRY(payload_append_text(&out, LIST_ENTRY(node, struct script_library, link)->code));
    }
    txn_hold(request->txn);
    /* Redis 7.0 reads it, whatever the values of newer types need; there may be no library. */
    buf_reserve(&out, PAYLOAD_FOOTER_BYTES);
    payload_seal(out.data, out.size, PAYLOAD_VERSION);
    out.size += PAYLOAD_FOOTER_BYTES;
    run->scripts->current = run;
    reply_bulk(request->reply, buf_slice(&out));
out:
    buf_fini(&out);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

void
script_command_function_dump(struct kv_request *request)
{
    function_run(request, dump_run);
}

enum restore_policy { RESTORE_APPEND, RESTORE_REPLACE, RESTORE_FLUSH };

static bool
restore_parse(struct kv_request *request, enum restore_policy *policy_out)
{
    *policy_out = RESTORE_APPEND;
    if (request->argc > 4) {
        reply_wrong_arguments(request);
        return false;
    }
    if (request->argc < 4 || command_word_is(request->argv[3], "append")) {
        return true;
    }
    if (command_word_is(request->argv[3], "replace")) {
        *policy_out = RESTORE_REPLACE;
    } else if (command_word_is(request->argv[3], "flush")) {
        *policy_out = RESTORE_FLUSH;
    } else {
        reply_error(request->reply,
                    "ERR Wrong restore policy given, value should be either FLUSH, APPEND or "
                    "REPLACE.");
        return false;
    }
    return true;
}

/* One library of the payload. False after an error reply. */
static YIELDS bool
restore_one(struct script_run *run, struct payload_reader *reader, struct functions *new_ones)
{
    struct kv_request *request = run->request;
    char error[FUNCTIONS_ERROR_BYTES];
    struct slice type;
    struct slice code;
    struct slice name;

    if (payload_read_bytes(reader, 1, &type) != ERR_OK) {
        reply_error(request->reply, "ERR failed loading functions");
        return false;
    }
    if (type.data[0] != PAYLOAD_FUNCTION) {
        reply_error(request->reply, type.data[0] == PAYLOAD_FUNCTION_EARLY
                                        ? "ERR Pre-GA function format not supported"
                                        : "ERR given type is not a function");
        return false;
    }
    if (payload_read_text(reader, &code) != ERR_OK) {
        reply_error(request->reply, "ERR Failed loading library data");
        return false;
    }
    run->scripts->current = run;
    if (!functions_name_parse(request->arena, code, &name, error)) {
        reply_error(request->reply, "ERR %s", error);
        return false;
    }
    if (library_refuse_existing(request, new_ones, name, "ERR Library '%.*s' already exists")) {
        return false;
    }
    if (!functions_compile(run, new_ones, name, code, error)) {
        reply_error(request->reply, "ERR %s", error);
        return false;
    }
    return true;
}

static bool
restore_may_append(struct script_run *run, const struct functions *new_ones)
{
    LIST_FOR_EACH(node, &new_ones->libraries) {
        if (library_refuse_existing(run->request, run->scripts->functions,
                                    LIST_ENTRY(node, struct script_library, link)->name,
                                    "ERR Library %.*s already exists")) {
            return false;
        }
    }
    return true;
}

static YIELDS void
restore_apply(struct script_run *run, const struct functions *new_ones, enum restore_policy policy)
{
    struct kv_request *request = run->request;

    if (!functions_sync(run)) {
        return;
    }
    if (policy == RESTORE_FLUSH) {
        functions_delete_all(request->txn);
    } else if ((policy == RESTORE_APPEND && !restore_may_append(run, new_ones)) ||
               collision_refuse(run, new_ones) || limit_refuse(run, new_ones)) {
        return;
    }
    LIST_FOR_EACH(node, &new_ones->libraries) {
        const struct script_library *library = LIST_ENTRY(node, struct script_library, link);

        /* Large ones are borrowed until the commit. */
        functions_put(request->txn, library->name, arena_copy(request->arena, library->code));
    }
    reply_ok(request->reply);
}

static YIELDS void
restore_run(struct script_run *run)
{
    struct kv_request *request = run->request;
    struct slice payload = request->argv[2];
    struct functions *new_ones = NULL;
    struct payload_reader reader;
    enum restore_policy policy;

    if (!restore_parse(request, &policy)) {
        return;
    }
    txn_hold(request->txn);
    if (payload_check(payload) != ERR_OK) {
        reply_error(request->reply, "ERR DUMP payload version or checksum are wrong");
        return;
    }
    reader = (struct payload_reader){
        .left = slice_of(payload.data, payload.size - PAYLOAD_FOOTER_BYTES),
        .bytes_max = FUNCTIONS_CODE_BYTES_MAX,
        .arena = request->arena,
    };
    new_ones = functions_new();
    while (reader.left.size > 0) {
        if (!restore_one(run, &reader, new_ones)) {
            goto out;
        }
    }
    restore_apply(run, new_ones, policy);
out:
    run->scripts->current = run;
    functions_drop(run->scripts, &new_ones);
}

void
script_command_function_restore(struct kv_request *request)
{
    function_run(request, restore_run);
}

/* ---- FUNCTION HELP ---- */

void
script_command_function_help(struct kv_request *request)
{
    static const char *const lines[] = {
        "FUNCTION <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "LOAD [REPLACE] <FUNCTION CODE>",
        "    Add a library of functions.",
        "DELETE <LIBRARY NAME>",
        "    Delete a library.",
        "LIST [LIBRARYNAME PATTERN] [WITHCODE]",
        "    The libraries with their functions.",
        "STATS",
        "    The script that has run longest, and how many functions there are.",
        "KILL",
        "    End the functions that have run longer than busy-reply-threshold.",
        "FLUSH [ASYNC|SYNC]",
        "    Delete all libraries.",
        "DUMP",
        "    The libraries as bytes, for RESTORE.",
        "RESTORE <PAYLOAD> [FLUSH|APPEND|REPLACE]",
        "    Add the libraries of a payload: to none, to those there are, or in their place.",
        "HELP",
        "    Print this help.",
    };

    reply_array(request->reply, ARRAY_COUNT(lines));
    for (size_t i = 0; i < ARRAY_COUNT(lines); i++) {
        reply_simple(request->reply, lines[i]);
    }
}
