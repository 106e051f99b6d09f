/* net/commands_debug.c - DEBUG: the part of Redis's that means something here.
 *
 * Open with --dev-mode or enable-debug-command; "local" opens it to connections from this
 * machine. Orbit has neither RDB nor AOF file: RELOAD and LOADAOF make everything that was
 * written durable, which is the state that a restart would load. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/glob.h"
#include "net/config.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

enum { DEBUG_LOG_BYTES_MAX = 512 };

static bool
is_allowed(const struct session *session)
{
    const char *value =
        config_text(session->net->config, (uint32_t)config_find(SLICE("enable-debug-command")));

    if (strcmp(value, "local") == 0) {
        return strncmp(session->peer, "127.", 4) == 0 || strncmp(session->peer, "[::1]", 5) == 0;
    }
    return strcmp(value, "yes") == 0;
}

/* ---- Time and background work ---- */

static YIELDS void
debug_sleep(struct session *session, struct kv_request *request)
{
    char text[32];
    size_t size = MIN(request->argv[2].size, sizeof(text) - 1);
    char *end;
    double seconds;

    memcpy(text, request->argv[2].data, size);
    text[size] = '\0';
    seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 0 || seconds > 1e9) {
        reply_error(request->reply, "ERR value is not a valid float");
        return;
    }
    (void)net_sleep_until(session, shard_now_us() + (uint64_t)(seconds * 1e6));
    reply_ok(request->reply);
}

static YIELDS void
active_expire_here(void *arg)
{
    const bool *is_on = arg;

    kv_config(net_self()->kv)->active_expire = *is_on;
}

static YIELDS void
debug_set_active_expire(struct session *session, struct kv_request *request)
{
    bool values[SHARDS_MAX];
    int64_t is_on;

    (void)session;
    if (!reply_parse_int(request->argv[2], &is_on)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
        return;
    }
    memset(values, is_on != 0, sizeof(values));
    msg_call_all(MSG_FIBER, active_expire_here, values, sizeof(values[0]));
    reply_ok(request->reply);
}

static YIELDS void
allow_denied_here(void *arg)
{
    const bool *is_on = arg;

    kv_config(net_self()->kv)->scripts_call_all = *is_on;
}

static YIELDS void
debug_set_disable_deny_scripts(struct session *session, struct kv_request *request)
{
    bool values[SHARDS_MAX];
    int64_t is_on;

    (void)session;
    if (!reply_parse_int(request->argv[2], &is_on)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
        return;
    }
    memset(values, is_on != 0, sizeof(values));
    msg_call_all(MSG_FIBER, allow_denied_here, values, sizeof(values[0]));
    reply_ok(request->reply);
}

static YIELDS void
durable_here(void *arg)
{
    struct store *store = net_self()->store;

    (void)arg;
    store_wait_durable(store, store_appended(store));
}

static YIELDS void
debug_reload(struct session *session, struct kv_request *request)
{
    uint8_t nothing[SHARDS_MAX];

    (void)session;
    msg_call_all(MSG_FIBER, durable_here, nothing, 1);
    reply_ok(request->reply);
}

static YIELDS void
debug_log(struct session *session, struct kv_request *request)
{
    struct slice text = request->argv[2];

    (void)session;
    LOG_W("DEBUG LOG: %.*s", (int)MIN(text.size, (size_t)DEBUG_LOG_BYTES_MAX),
          (const char *)text.data);
    reply_ok(request->reply);
}

/* ---- Replies of each type of the protocol ---- */

static void
put_attribute(struct reply *reply)
{
    if (reply->resp >= 3) {
        reply_attribute(reply, 1);
        reply_bulk_text(reply, "key-popularity");
        reply_array(reply, 2);
        reply_bulk_text(reply, "key:123");
        reply_int(reply, 90);
    }
    reply_bulk_text(reply, "Some real reply following the attribute");
}

static void
put_aggregate(struct reply *reply, bool is_set)
{
    if (is_set) {
        reply_set(reply, 3);
    } else {
        reply_array(reply, 3);
    }
    for (int64_t i = 0; i < 3; i++) {
        reply_int(reply, i);
    }
}

static void
put_map(struct reply *reply)
{
    reply_map(reply, 3);
    for (int64_t i = 0; i < 3; i++) {
        reply_int(reply, i);
        reply_bool(reply, i == 1);
    }
}

static void
put_push(struct reply *reply)
{
    reply_push(reply, 2);
    reply_bulk_text(reply, "server-cpu-usage");
    reply_int(reply, 42);
}

static YIELDS void
debug_protocol(struct session *session, struct kv_request *request)
{
    struct slice type = request->argv[2];
    struct reply *reply = request->reply;

    (void)session;
    if (command_word_is(type, "string")) {
        reply_bulk_text(reply, "Hello World");
    } else if (command_word_is(type, "integer")) {
        reply_int(reply, 12345);
    } else if (command_word_is(type, "double")) {
        reply_double(reply, 3.141);
    } else if (command_word_is(type, "null")) {
        reply_null(reply);
    } else if (command_word_is(type, "array")) {
        put_aggregate(reply, false);
    } else if (command_word_is(type, "set")) {
        put_aggregate(reply, true);
    } else if (command_word_is(type, "map")) {
        put_map(reply);
    } else if (command_word_is(type, "attrib")) {
        put_attribute(reply);
    } else if (command_word_is(type, "push")) {
        put_push(reply);
    } else if (command_word_is(type, "verbatim")) {
        reply_verbatim(reply, "txt", SLICE("This is a verbatim\nstring"));
    } else if (command_word_is(type, "true") || command_word_is(type, "false")) {
        reply_bool(reply, command_word_is(type, "true"));
    } else if (command_word_is(type, "bignum")) {
        reply_big_number(reply, "1234567999999999999999999999999999999");
    } else {
        reply_error(reply, "ERR Wrong protocol type name. Please use one of the following: "
                           "string|integer|double|null|array|set|map|attrib|push|verbatim|true|"
                           "false|bignum");
    }
}

static YIELDS void
debug_error(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_error(request->reply, "%.*s", (int)MIN(request->argv[2].size, (size_t)512),
                (const char *)request->argv[2].data);
}

/* ---- OBJECT: what the commands on one key say, in one line ---- */

struct inner_call {
    struct kv_request request;
    struct reply reply; /* Made and freed where the key is. */
    bool is_fine;       /* Out: the reply is no error. */
    bool is_null;       /* Out. */
    int64_t number;     /* Out: of an integer reply. */
    uint64_t size;      /* Out: of a bulk reply. */
    char text[32];      /* Out: of a short bulk reply. */
};

/* Takes the parts that the line needs out of a reply. */
static void
inner_read(struct inner_call *call)
{
    struct slice bytes = buf_slice(&call->reply.buf);
    const uint8_t *line_end = memchr(bytes.data, '\r', bytes.size);
    struct slice head;

    ASSERT(line_end != NULL);
    head = slice_of(bytes.data + 1, (size_t)(line_end - bytes.data) - 1);
    call->is_fine = bytes.data[0] != '-';
    call->is_null = bytes.data[0] == '_' || slice_equal(head, SLICE("-1"));
    if (!call->is_fine || call->is_null || !reply_parse_int(head, &call->number)) {
        return;
    }
    if (bytes.data[0] == '$') {
        call->size = (uint64_t)call->number;
        snprintf(call->text, sizeof(call->text), "%.*s",
                 (int)MIN(call->size, (uint64_t)sizeof(call->text) - 1),
                 (const char *)line_end + 2);
    }
}

static YIELDS void
inner_here(void *arg)
{
    struct inner_call *call = arg;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    reply_init(&call->reply, 2);
    call->request.reply = &call->reply;
    call->request.arena = &arena;
    kv_execute(&call->request);
    inner_read(call);
    reply_fini(&call->reply);
    arena_fini(&arena);
}

/* Run "name key" where the key lies. */
static YIELDS void
inner_run(const struct kv_request *outer, const char *container, const char *name, struct slice key,
          struct inner_call *call)
{
    struct slice argv[3];
    uint32_t argc = 0;
    uint32_t shard = shard_id();

    argv[argc++] = slice_from_text(container);
    if (name != NULL) {
        argv[argc++] = slice_from_text(name);
    }
    argv[argc++] = key;
    *call = (struct inner_call){0};
    call->request = (struct kv_request){
        .command = command_resolve(argv, argc),
        .argv = argv,
        .argc = argc,
        .db = outer->db,
        .no_touch = true,
        .now_ms = outer->now_ms,
    };
    ASSERT(call->request.command != NULL);
    (void)kv_route(call->request.command, argv, argc, &shard);
    msg_call(shard, MSG_FIBER, inner_here, call);
}

static YIELDS void
debug_object(struct session *session, struct kv_request *request)
{
    struct slice key = request->argv[2];
    struct inner_call encoding, count, dump, idle;

    (void)session;
    inner_run(request, "object", "encoding", key, &encoding);
    if (!encoding.is_fine || encoding.is_null) {
        reply_error(request->reply, "ERR no such key");
        return;
    }
    inner_run(request, "object", "refcount", key, &count);
    inner_run(request, "dump", NULL, key, &dump);
    inner_run(request, "object", "idletime", key, &idle);
    if (!count.is_fine || !dump.is_fine || dump.is_null) {
        reply_error(request->reply, "ERR no such key");
        return;
    }
    /* A key has no address: "at" is its place in the store's order, slot and hash. */
    reply_simple(
        request->reply,
        arena_printf(request->arena,
                     "Value at:0x%llx refcount:%lld encoding:%s serializedlength:%llu "
                     "lru:%llu lru_seconds_idle:%lld",
                     (unsigned long long)kv_key_id(key), (long long)count.number, encoding.text,
                     (unsigned long long)dump.size,
                     (unsigned long long)(request->now_ms / 1000 -
                                          MIN((uint64_t)idle.number, request->now_ms / 1000)),
                     (long long)idle.number));
}

/* Matches a pattern of many stars against as many characters as asked for: how long it takes. */
static YIELDS void
debug_stringmatch_len(struct session *session, struct kv_request *request)
{
    enum { TEXT_BYTES_MAX = 1 << 20 };
    int64_t size;
    uint8_t *text;

    (void)session;
    if (!reply_parse_int(request->argv[2], &size) || size < 0 || size > TEXT_BYTES_MAX) {
        reply_error(request->reply, "ERR the length must be between 0 and %d", TEXT_BYTES_MAX);
        return;
    }
    text = mem_alloc(MEM_SESSIONS, (size_t)size);
    memset(text, 'a', (size_t)size);
    (void)kv_glob_match(request->argv[3], slice_of(text, (size_t)size), false);
    mem_free(MEM_SESSIONS, text, (size_t)size);
    reply_ok(request->reply);
}

/* Redis keeps items beyond this size in list nodes of their own. Here an item of any size is an
 * entry, so that there is nothing to set: the number is read and kept by nobody. */
static YIELDS void
debug_quicklist_packed_threshold(struct session *session, struct kv_request *request)
{
    struct slice text = request->argv[2];
    bool has_unit =
        text.size > 0 && (text.data[text.size - 1] == 'b' || text.data[text.size - 1] == 'B');
    int64_t bytes;

    (void)session;
    if (!reply_parse_int(slice_of(text.data, text.size - has_unit), &bytes) || bytes < 0) {
        reply_error(request->reply, "ERR argument must be a memory value");
        return;
    }
    reply_ok(request->reply);
}

/* ---- The command ---- */

static const struct debug_command {
    const char *name;
    uint32_t argc_min, argc_max;
    YIELDS void (*run)(struct session *session, struct kv_request *request);
    const char *usage, *what;
} debug_commands[] = {
    {"error", 3, 3, debug_error, "ERROR <text>", "Answer with an error of this text."},
    {"loadaof", 2, 2, debug_reload, "LOADAOF", "Make all writes durable; there is no AOF to load."},
    {"log", 3, 3, debug_log, "LOG <text>", "Write the text to the server's log."},
    {"object", 3, 3, debug_object, "OBJECT <key>", "Describe the key's value."},
    {"protocol", 3, 3, debug_protocol, "PROTOCOL <type>", "Answer with a value of this type."},
    {"quicklist-packed-threshold", 3, 3, debug_quicklist_packed_threshold,
     "QUICKLIST-PACKED-THRESHOLD <size>", "Without effect: items of all sizes are stored alike."},
    {"reload", 2, 5, debug_reload, "RELOAD [option ...]",
     "Make all writes durable; what a restart would load is what is there."},
    {"set-active-expire", 3, 3, debug_set_active_expire, "SET-ACTIVE-EXPIRE <0|1>",
     "Stop or resume the removal of expired keys in the background."},
    {"set-disable-deny-scripts", 3, 3, debug_set_disable_deny_scripts,
     "SET-DISABLE-DENY-SCRIPTS <0|1>", "Let scripts call DEBUG, or not."},
    {"sleep", 3, 3, debug_sleep, "SLEEP <seconds>",
     "Answer after this time; other clients are served meanwhile."},
    {"stringmatch-len", 4, 4, debug_stringmatch_len, "STRINGMATCH-LEN <length> <pattern>",
     "Match the pattern against a text of this length."},
};

static void
help_put(struct reply *reply)
{
    char line[160];

    reply_array(reply, 3 + 2 * ARRAY_COUNT(debug_commands));
    reply_simple(reply, "DEBUG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:");
    for (size_t i = 0; i < ARRAY_COUNT(debug_commands); i++) {
        reply_simple(reply, debug_commands[i].usage);
        snprintf(line, sizeof(line), "    %s", debug_commands[i].what);
        reply_simple(reply, line);
    }
    reply_simple(reply, "HELP");
    reply_simple(reply, "    Print this help.");
}

static YIELDS void
run_debug(struct session *session, struct kv_request *request)
{
    struct slice name = request->argv[1];

    if (!is_allowed(session)) {
        reply_error(request->reply,
                    "ERR DEBUG command not allowed. If the enable-debug-command option is set to "
                    "\"local\", you can run it from a local connection, otherwise you need to set "
                    "this option in the configuration file, and then restart the server.");
        return;
    }
    if (request->argc == 2 && command_word_is(name, "HELP")) {
        help_put(request->reply);
        return;
    }
    for (size_t i = 0; i < ARRAY_COUNT(debug_commands); i++) {
        const struct debug_command *command = &debug_commands[i];

        if (command_word_is(name, command->name) && request->argc >= command->argc_min &&
            request->argc <= command->argc_max) {
            command->run(session, request);
            return;
        }
    }
    reply_error(request->reply,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try DEBUG HELP.",
                (int)MIN(name.size, (size_t)128), (const char *)name.data);
}

const struct net_command net_commands_debug[] = {
    {"debug", run_debug},
    {NULL, NULL},
};
