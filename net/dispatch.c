/* net/dispatch.c - from a request to its command.
 *
 * Requests for this shard run at once. Consecutive ones for another shard are gathered and travel
 * as one message; the session's fiber waits for the answer, so a client's commands take effect in
 * the order it sent them. */
#include "net/dispatch.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "net/acl.h"
#include "net/blocking.h"
#include "net/cluster.h"
#include "net/config.h"
#include "net/monitor.h"
#include "net/observe.h"
#include "net/pubsub.h"
#include "net/tracking.h"
#include "net/transaction.h"

#include "engine/base/poison.h"

enum { DISPATCH_COMMANDS_MAX = 1024 };

/* By command id: the function of a session command. Written by dispatch_init only. */
static net_command_fn session_commands[DISPATCH_COMMANDS_MAX];

static void
table_bind(const struct net_command *table)
{
    for (; table->name != NULL; table++) {
        const struct command *command = command_find(slice_from_text(table->name));

        if (command == NULL || command->layer != COMMAND_SESSION) {
            fatal("net: %s is no session command of the table", table->name);
        }
        ASSERT(session_commands[command_id(command)] == NULL);
        session_commands[command_id(command)] = table->run;
    }
}

void
dispatch_init(void)
{
    ASSERT(command_ids() <= DISPATCH_COMMANDS_MAX);
    table_bind(net_commands_connection);
    table_bind(net_commands_acl);
    table_bind(net_commands_client);
    table_bind(net_commands_cluster);
    table_bind(net_commands_replication);
    table_bind(net_commands_save);
    table_bind(net_commands_config);
    table_bind(net_commands_checkpoint);
    table_bind(net_commands_feed);
    table_bind(net_commands_shards);
    table_bind(net_commands_txns);
    table_bind(net_commands_pubsub);
    table_bind(net_commands_server);
    table_bind(net_commands_info);
    table_bind(net_commands_command);
    table_bind(net_commands_monitor);
    table_bind(net_commands_debug);
    table_bind(net_commands_tracking);
    table_bind(net_commands_transaction);
    table_bind(net_commands_sql);
    table_bind(net_commands_txn);
    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);

        if (command->layer == COMMAND_SESSION && session_commands[id] == NULL) {
            fatal("net: no function for the session command %s", command_full_name(command));
        }
    }
}

/* ---- Execution and its statistics: on the shard where the command runs ---- */

static void
stats_note(struct net *net, struct session *session, const struct kv_request *request,
           uint64_t start_ticks, bool has_failed)
{
    struct command_stats *stats = net_command_stats(net, request->command);
    uint64_t ns = stopwatch_ns(&net->stopwatch, stopwatch_ticks() - start_ticks);
    uint64_t usec = (ns + stats->nsec_rest) / 1000;
    const struct config_values *values = config_values(net->config);

    stats->calls++;
    stats->failed += has_failed;
    stats->usec += usec;
    stats->nsec_rest = (ns + stats->nsec_rest) % 1000;
    net->counters.commands++;
    if (values->latency_tracking) {
        if (stats->latency == NULL) {
            stats->latency = MEM_NEW(MEM_RUNTIME, struct hist);
        }
        hist_record(stats->latency, ns);
    }
    if (values->slowlog_slower_than_us >= 0 &&
        (int64_t)(ns / 1000) >= values->slowlog_slower_than_us) {
        slowlog_note(net, session, request, ns / 1000);
    }
    if (values->latency_threshold_ms > 0 && ns / 1000000 >= values->latency_threshold_ms) {
        latency_note(net, (request->command->flags & CMD_FAST) != 0 ? "fast-command" : "command",
                     ns / 1000000);
    }
}

/* What was replied since that place: of the session's stream, where earlier replies may have left
 * meanwhile, or of a run's buffer. Nothing when the session was closed. */
static struct slice
answer_get(const struct session *session, const struct reply *reply, uint64_t start)
{
    uint64_t gone = reply == &session->output ? session->output.gone : 0;

    if (start < gone || start - gone > reply->buf.size) {
        return slice_of(NULL, 0);
    }
    return slice_of(reply->buf.data + (start - gone), reply->buf.size - (size_t)(start - gone));
}

/* Does the command wait for a key, without a reply? */
static bool
has_asked(const struct kv_request *request)
{
    return __builtin_expect(request->block != NULL, 0) && request->block->is_asked;
}

/* To who observes, EXEC comes after its commands; scripts come before theirs. */
static bool
is_shown_last(const struct command *command)
{
    return strcmp(command->name, "exec") == 0;
}

/* What runs here, and what asks other shards for their scripts, suspends without asking the
 * transaction of EXEC, whose snapshot other shards would outrun meanwhile. Commands on data hold it
 * themselves where they suspend. */
static void
snapshot_hold(const struct net *net, const struct kv_request *request)
{
    if (request->txn != NULL && txn_is_auto(request->txn) &&
        (request->command->layer == COMMAND_SESSION ||
         (request->command->categories & CAT_SCRIPTING) != 0 || net->observer_total > 0 ||
         tracking_clients(net->tracking) > 0)) {
        txn_hold(request->txn);
    }
}

/* Runs a request whose checks are done; replies go to request->reply. */
static YIELDS void
request_execute(struct net *net, struct session *session, struct kv_request *request)
{
    bool is_own = request->reply == &session->output;
    uint64_t reply_start = (is_own ? session->output.gone : 0) + request->reply->buf.size;
    uint64_t ticks = stopwatch_ticks();
    struct slice answer;
    bool has_failed;

    net->executing++;
    snapshot_hold(net, request);
    if (__builtin_expect(net->observer_total > 0, 0) && !is_shown_last(request->command)) {
        observe_command(net, session, request);
    }
    if (request->command->layer == COMMAND_SESSION) {
        session_commands[command_id(request->command)](session, request);
    } else {
        kv_execute(request);
    }
    if (__builtin_expect(net->observer_total > 0, 0) && is_shown_last(request->command)) {
        observe_command(net, session, request);
    }
    net->executing--;
    if (__builtin_expect(tracking_clients(net->tracking) > 0, 0)) {
        tracking_after(net, request);
    }
    if (has_asked(request)) {
        return; /* It counts when it answers. */
    }
    answer = answer_get(session, request->reply, reply_start);
    has_failed = answer.size > 0 && answer.data[0] == '-';
    if (has_failed) {
        net_error_count(net, answer);
    }
    stats_note(net, session, request, ticks, has_failed);
}

void
dispatch_execute(struct session *session, struct kv_request *request)
{
    request_execute(net_self(), session, request);
}

/* ---- Commands of scripts ---- */

/* A session's command in a script that runs elsewhere: at the session's shard. */
struct host_step {
    struct session *session;
    struct kv_request *request;
    struct reply reply; /* Out: made there, owned here after the answer. */
};

static YIELDS void
host_run(void *arg)
{
    struct host_step *step = arg;
    struct session *session = step->session;
    struct kv_request request = *step->request;
    uint32_t db = session->db;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    reply_init(&step->reply, request.reply->resp);
    request.reply = &step->reply;
    request.arena = &arena;
    session->db = request.db;
    dispatch_execute(session, &request);
    step->request->db = session->db;
    session->db = db;
    arena_fini(&arena);
    mem_disown(MEM_SESSIONS, step->reply.buf.data, step->reply.buf.capacity);
}

static bool
script_may(struct session *session, const struct kv_request *request)
{
    struct acl_denial denial;
    char text[ACL_TEXT_BYTES_MAX];

    if (acl_session_may(session, request->command, request->argv, request->argc, &denial)) {
        return true;
    }
    acl_denial_text(&denial, session->user, false, text);
    reply_error(request->reply, "NOPERM ACL failure in script: %s", text);
    acl_log_denial(session, &denial, ACL_LUA);
    return false;
}

bool
dispatch_host_is_allowed(struct kv_host *host, const struct kv_request *request)
{
    const struct session *session = CONTAINER_OF(host, struct session, host);
    struct acl_denial denial;

    return acl_session_may(session, request->command, request->argv, request->argc, &denial);
}

void
dispatch_host_execute(struct kv_host *host, struct kv_request *request)
{
    struct session *session = CONTAINER_OF(host, struct session, host);
    struct host_step step = {.session = session, .request = request};

    if (!script_may(session, request)) {
        return;
    }
    /* Messages belong to the transaction, and so to the shard where it is. */
    if (request->command->layer != COMMAND_SESSION || (request->command->flags & CMD_PUBSUB) != 0) {
        dispatch_execute(session, request);
        return;
    }
    txn_hold(request->txn);
    msg_call(host->shard, MSG_FIBER, host_run, &step);
    mem_adopt(MEM_SESSIONS, step.reply.buf.data, step.reply.buf.capacity);
    buf_append(&request->reply->buf, step.reply.buf.data, step.reply.buf.size);
    request->reply->errors += step.reply.errors;
    reply_fini(&step.reply);
}

/* ---- A run of requests for another shard ---- */

struct run {
    struct session *session; /* Borrowed: its fiber waits, so its fields stand still. */
    struct kv_request *requests;
    uint64_t *consumed; /* Input bytes up to and with each request. */
    uint32_t count;
    uint32_t executed; /* Out. */
    uint8_t resp;
    struct reply reply; /* Out: made there, owned here after the answer. */
    lsn_t lsn;          /* Out. */
};

/* At the shard of the keys. Stops early when the replies become large: the rest comes again. */
static YIELDS void
run_execute(void *arg)
{
    struct run *run = arg;
    struct net *net = net_self();
    struct arena arena;

    kv_block_adopt(run->requests->block);
    arena_init(&arena, MEM_SESSIONS);
    reply_init(&run->reply, run->resp);
    while (run->executed < run->count && run->reply.buf.size < SESSION_OUTPUT_BYTES_HIGH) {
        struct kv_request *request = &run->requests[run->executed++];

        request->reply = &run->reply;
        request->arena = &arena;
        if (__builtin_expect(kv_config(net->kv)->memory_bytes_max != 0, 0) &&
            (request->command->flags & CMD_DENYOOM) != 0 && !kv_memory_make_room(net->kv)) {
            reply_error(request->reply, KV_OUT_OF_MEMORY_TEXT);
        } else {
            request_execute(net, run->session, request);
        }
        run->lsn = MAX(run->lsn, request->lsn);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    kv_block_disown(run->requests->block);
    mem_disown(MEM_SESSIONS, run->reply.buf.data, run->reply.buf.capacity);
}

/* ---- Checks ---- */

/* The words of the request, in the session's arena. Inline words are copied, since the next parse
 * uses their buffer again. */
static const struct slice *
arguments_get(struct session *session, struct slice input, struct arena *arena)
{
    const struct resp_parser *parser = &session->parser;
    struct slice *argv = arena_alloc(arena, parser->arg_count * sizeof(*argv));

    for (uint32_t i = 0; i < parser->arg_count; i++) {
        argv[i] = resp_arg(parser, input, i);
        if (!parser->in_multibulk) {
            argv[i] = arena_copy(arena, argv[i]);
        }
    }
    return argv;
}

static void
upper_case(const char *text, char *out, size_t size)
{
    size_t i = 0;

    for (; text[i] != '\0' && i + 1 < size; i++) {
        out[i] = text[i] >= 'a' && text[i] <= 'z' ? (char)(text[i] - 'a' + 'A') : text[i];
    }
    out[i] = '\0';
}

static void
unknown_command(struct session *session, const struct slice *argv, uint32_t argc)
{
    const struct command *container = command_find(argv[0]);
    char arguments[160] = "";
    size_t used = 0;

    if (container != NULL && container->subcommand_count > 0 && argc > 1) {
        char name[64];

        upper_case(container->name, name, sizeof(name));
        reply_error(&session->output, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                    (int)MIN(argv[1].size, (size_t)128), (const char *)argv[1].data, name);
        return;
    }
    for (uint32_t i = 1; i < argc && used < 128; i++) {
        int written =
            snprintf(arguments + used, sizeof(arguments) - used, "'%.*s' ",
                     (int)MIN(argv[i].size, (size_t)(128 - used)), (const char *)argv[i].data);

        used += (size_t)written;
    }
    reply_error(&session->output, "ERR unknown command '%.*s', with args beginning with: %s",
                (int)MIN(argv[0].size, (size_t)128), (const char *)argv[0].data, arguments);
}

/* Replies and returns false when the session's user may not run the call. */
static YIELDS bool
permission_check(struct session *session, const struct command *command, const struct slice *argv,
                 uint32_t argc)
{
    struct acl_denial denial;
    char text[ACL_TEXT_BYTES_MAX];

    if (__builtin_expect(acl_is_unrestricted(session), 1) ||
        acl_session_may(session, command, argv, argc, &denial)) {
        return true;
    }
    acl_denial_text(&denial, session->user, false, text);
    reply_error(&session->output, "NOPERM %s", text);
    acl_log_denial(session, &denial, session->multi != NULL ? ACL_MULTI : ACL_TOPLEVEL);
    return false;
}

/* A RESP2 client that has subscribed gets messages between its replies: it may only do what cannot
 * be taken for one. Replies, and returns false. */
static bool
subscriber_may(struct session *session, const struct command *command)
{
    static const char *const names[] = {"subscribe",   "psubscribe",   "ssubscribe",
                                        "unsubscribe", "punsubscribe", "sunsubscribe",
                                        "ping",        "quit",         "reset"};
    const char *name = command_full_name(command);

    if (session->output.resp != 2 || !pubsub_is_subscriber(session)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    reply_error(&session->output,
                "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
                "RESET are allowed in this context",
                name);
    return false;
}

/* Under maxmemory: is there room for the call, if need be after eviction? EXEC is asked for all
 * that it runs. */
static YIELDS bool
memory_check(struct session *session, const struct command *command)
{
    bool needs_room = (command->flags & CMD_DENYOOM) != 0 ||
                      (session->multi != NULL && session->multi->needs_room &&
                       strcmp(command->name, "exec") == 0);

    if (command->is_script) { /* Its commands are refused, not the script. */
        session->is_over_memory = kv_config(session->net->kv)->memory_bytes_max != 0 &&
                                  !kv_memory_make_room(session->net->kv);
        return true;
    }
    if (__builtin_expect(kv_config(session->net->kv)->memory_bytes_max == 0, 1) || !needs_room ||
        kv_memory_make_room(session->net->kv)) {
        return true;
    }
    reply_error(&session->output, KV_OUT_OF_MEMORY_TEXT);
    return false;
}

/* NULL after an error reply. */
static YIELDS const struct command *
command_check(struct session *session, const struct slice *argv, uint32_t argc)
{
    const struct command *command = command_resolve(argv, argc);
    struct reply *reply = &session->output;

    if (command == NULL) {
        unknown_command(session, argv, argc);
        return NULL;
    }
    if (!command_arity_fits(command, argc)) {
        reply_error(reply, "ERR wrong number of arguments for '%s' command",
                    command_full_name(command));
    } else if (!session->is_authenticated && (command->flags & CMD_NO_AUTH) == 0 &&
               !acl_default_is_open(session->net)) {
        reply_error(reply, "NOAUTH Authentication required.");
    } else if (session->multi != NULL && (command->flags & CMD_NO_MULTI) != 0) {
        reply_error(reply, "ERR Command not allowed inside a transaction");
    } else if (command->layer == COMMAND_ABSENT || command->layer == COMMAND_CONTAINER) {
        reply_error(reply, "ERR the command '%s' is not supported by this version of Orbit",
                    command_full_name(command));
    } else if (permission_check(session, command, argv, argc) &&
               (!session->is_cluster || cluster_check(session, command, argv, argc)) &&
               subscriber_may(session, command) && memory_check(session, command)) {
        return command;
    }
    net_command_stats(session->net, command)->rejected++;
    return NULL;
}

static void
reply_mode_apply(struct session *session, uint64_t reply_start)
{
    if (session->reply_mode == SESSION_REPLY_SKIP_NEXT) {
        session->reply_mode = SESSION_REPLY_SKIP_THIS;
    } else if (session->reply_mode == SESSION_REPLY_SKIP_THIS) {
        session->reply_mode = SESSION_REPLY_ON;
    } else if (session->reply_mode == SESSION_REPLY_ON) {
        return;
    } else {
        ASSERT(session->reply_mode == SESSION_REPLY_OFF);
    }
    if (reply_start >= session->output.gone) {
        session->output.buf.size = (size_t)(reply_start - session->output.gone);
    }
}

static void
request_init(struct session *session, struct kv_request *request, const struct command *command,
             const struct slice *argv, uint32_t argc)
{
    *request = (struct kv_request){
        .command = command,
        .argv = argv,
        .argc = argc,
        .db = session->db,
        .reply = &session->output,
        .arena = &session->arena,
        .origin = &session->origin,
        .no_touch = session->no_touch,
        .is_of_shard = session->is_cluster,
        .host = &session->host,
        .is_over_memory = session->is_over_memory,
        .now_ms = io_wall_us() / 1000,
    };
    session->last_command = command;
    session->commands++;
}

void
dispatch_help(struct kv_request *request)
{
    const struct command *container = command_parent(request->command);
    struct reply *reply = request->reply;
    char name[64];
    char line[256];

    ASSERT(container != NULL);
    reply_array(reply, 1 + 2 * (uint64_t)container->subcommand_count);
    upper_case(container->name, name, sizeof(name));
    snprintf(line, sizeof(line),
             "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    reply_simple(reply, line);
    for (uint32_t i = 0; i < container->subcommand_count; i++) {
        upper_case(container->subcommands[i].name, name, sizeof(name));
        reply_simple(reply, name);
        snprintf(line, sizeof(line), "    %s", container->subcommands[i].summary);
        reply_simple(reply, line);
    }
}

/* Does CLIENT PAUSE hold the command back? CLIENT itself it does not, as that ends a pause; nor the
 * reply of a blocked command whose time has come. */
static bool
is_held_by_pause(const struct session *session, const struct command *command)
{
    const struct net *net = session->net;
    const struct command *container;
    uint32_t flags = command->flags;

    if (__builtin_expect(net->pause_until_us <= shard_now_us(), 1)) {
        return false;
    }
    container = command_parent(command);
    if ((container != NULL && strcmp(container->name, "client") == 0) ||
        (session->block != NULL && session->block->end != BLOCK_GOES_ON)) {
        return false;
    }
    if (session->multi != NULL && strcmp(command->name, "exec") == 0) {
        flags |= multi_flags(session->multi);
    }
    return !net->pause_writes_only || (flags & (CMD_WRITE | CMD_MAY_REPLICATE)) != 0;
}

/* ---- Dispatch ---- */

/* What the session must wait for before its client may know the answer. */
static YIELDS void
durability_note(struct session *session, const struct kv_request *request, uint64_t reply_start,
                uint32_t shard, lsn_t lsn)
{
    if (lsn == 0) {
        return;
    }
    if ((request->command->flags & CMD_WRITE) != 0) {
        session->written_lsn = lsn;
        session->written_shard = shard;
        session->has_written = true;
    }
    if (session->durability == WAL_SYNC && store_durability(session->net->store) == WAL_SYNC) {
        session_mark(session, reply_start, shard, lsn);
    }
}

static YIELDS void
run_local(struct session *session, struct kv_request *request)
{
    uint64_t reply_start = session_output_end(session);

    request_execute(session->net, session, request);
    if (has_asked(request)) {
        return;
    }
    durability_note(session, request, reply_start, shard_id(), request->lsn);
    reply_mode_apply(session, reply_start);
}

/* As a statement of the session's transaction, which waits at its home for what it has read. */
static YIELDS void
run_in_txn(struct session *session, struct kv_request *request)
{
    uint64_t reply_start = session_output_end(session);
    uint32_t home = (uint32_t)(session->txn >> TXN_HOME_SHIFT);

    txn_execute(session, request);
    durability_note(session, request, reply_start, home, request->lsn);
    reply_mode_apply(session, reply_start);
}

/* Gather what follows for the same shard: parses ahead; stops at the first that differs. */
static void
run_gather(struct session *session, struct run *run, struct slice input, uint32_t shard)
{
    uint64_t used = run->consumed[0];
    const struct resp_limits limits = {
        .bulk_bytes_max = config_values(session->net->config)->bulk_bytes_max,
        .is_authenticated = true,
    };

    while (run->count < SESSION_RUN_COMMANDS_MAX) {
        struct slice rest = slice_of(input.data + used, input.size - used);
        const struct command *command;
        const struct slice *argv;
        const char *error;
        uint64_t consumed;
        uint32_t to;

        if (resp_parse(&session->parser, rest, &limits, &consumed, &error) != RESP_READY) {
            return;
        }
        argv = arguments_get(session, rest, &session->arena);
        command = command_resolve(argv, session->parser.arg_count);
        if (command == NULL || command->layer != COMMAND_DATA ||
            !command_arity_fits(command, session->parser.arg_count) ||
            (command->flags & CMD_BLOCKING) != 0 ||
            kv_route(command, argv, session->parser.arg_count, &to) != KV_ROUTE_SHARD ||
            to != shard) {
            return;
        }
        request_init(session, &run->requests[run->count], command, argv, session->parser.arg_count);
        used += consumed;
        run->consumed[run->count++] = used;
    }
}

static YIELDS void
run_remote(struct session *session, struct kv_request *first, uint32_t shard, struct slice input,
           uint64_t consumed)
{
    uint64_t reply_start = session_output_end(session);
    bool may_gather = session->reply_mode == SESSION_REPLY_ON && session->tracking == NULL &&
                      first->block == NULL && acl_is_unrestricted(session);
    struct run run = {
        .session = session,
        .count = 1,
        .resp = session->output.resp,
    };

    run.requests = arena_alloc(&session->arena, SESSION_RUN_COMMANDS_MAX * sizeof(*run.requests));
    run.consumed = arena_alloc(&session->arena, SESSION_RUN_COMMANDS_MAX * sizeof(*run.consumed));
    run.requests[0] = *first;
    run.consumed[0] = consumed;
    if (may_gather) {
        run_gather(session, &run, input, shard);
    }
    kv_block_disown(first->block);
    msg_call(shard, MSG_FIBER, run_execute, &run);
    ASSERT(run.executed > 0);
    kv_block_adopt(first->block);
    mem_adopt(MEM_SESSIONS, run.reply.buf.data, run.reply.buf.capacity);
    if (has_asked(first)) {
        reply_fini(&run.reply);
        return;
    }
    buf_append(&session->output.buf, run.reply.buf.data, run.reply.buf.size);
    reply_fini(&run.reply);
    session->input_used += run.consumed[run.executed - 1];
    for (uint32_t i = 0; i < run.executed; i++) {
        durability_note(session, &run.requests[i], reply_start, shard, run.requests[i].lsn);
    }
    reply_mode_apply(session, reply_start);
}

/* Is it a statement of the session's transaction? A message that is published then is, too: it
 * leaves at the commit. ORBIT.ASOF has none. */
static bool
is_statement(const struct session *session, const struct command *command)
{
    const uint32_t publishes = CMD_PUBSUB | CMD_MAY_REPLICATE;

    return command->layer != COMMAND_SESSION || strcmp(command->name, "orbit.sql") == 0 ||
           ((command->flags & publishes) == publishes && !session->is_as_of);
}

static YIELDS bool
request_route(struct session *session, struct kv_request *request, struct slice input,
              uint64_t consumed)
{
    uint32_t shard = shard_id();

    if (__builtin_expect(session->txn != 0, 0) && is_statement(session, request->command)) {
        run_in_txn(session, request);
        return false;
    }
    /* A command whose keys lie on several shards runs here, and reads and writes theirs. */
    if (request->command->layer == COMMAND_DATA &&
        kv_route(request->command, request->argv, request->argc, &shard) == KV_ROUTE_SHARD &&
        shard != shard_id()) {
        run_remote(session, request, shard, input, consumed);
        return true;
    }
    run_local(session, request);
    return false;
}

bool
dispatch_route(struct session *session, struct kv_request *request, struct slice input,
               uint64_t consumed)
{
    bool is_used;

    session_hold(session);
    /* Held: should one of these keys change before it is read, that is told after the reply. */
    if (__builtin_expect(session->tracking != NULL, 0) && session->txn == 0) {
        tracking_note_reads(session, request);
    }
    is_used = request_route(session, request, input, consumed);
    session_release(session);
    return is_used;
}

void
dispatch_answered(struct session *session, struct kv_request *request, uint64_t reply_start)
{
    struct slice answer = answer_get(session, request->reply, reply_start);
    bool has_failed = answer.size > 0 && answer.data[0] == '-';

    if (has_failed) {
        net_error_count(session->net, answer);
    }
    stats_note(session->net, session, request, stopwatch_ticks(), has_failed);
    reply_mode_apply(session, reply_start);
}

/* The command may block: true when it has answered, and its request is used. */
static YIELDS bool
request_run_blocking(struct session *session, struct kv_request *request, struct slice input,
                     uint64_t consumed, bool *is_used_out)
{
    /* A repetition counts as one command with the first run. */
    session->commands -= session->block != NULL;
    return blocking_request(session, request, input, consumed, is_used_out);
}

/* Between MULTI and EXEC a request that is refused ends the transaction. */
static void
request_refused(struct session *session, const struct slice *argv, uint32_t argc,
                struct reply_mark mark)
{
    const struct command *command = command_resolve(argv, argc);

    if (command != NULL && strcmp(command_full_name(command), "exec") == 0) {
        multi_exec_refused(session, mark);
    } else {
        multi_note_error(session);
    }
}

/* The checks; NULL: the request is refused, and answered. Held meanwhile: a check may wait for
 * room, and a message that comes then must not be cut off with the refusal. */
static YIELDS const struct command *
request_check(struct session *session, const struct slice *argv, uint32_t argc)
{
    uint64_t reply_start = session_output_end(session);
    struct reply_mark mark = reply_mark(&session->output);
    const struct command *command;

    session_hold(session);
    command = command_check(session, argv, argc);
    if (command == NULL) {
        request_refused(session, argv, argc, mark);
        net_error_count(session->net, answer_get(session, &session->output, reply_start));
        reply_mode_apply(session, reply_start);
    }
    session_release(session);
    return command;
}

/* CLIENT CACHING is for the command that follows it, or the whole of EXEC. */
static YIELDS void
tracking_ran(struct session *session, const struct kv_request *request)
{
    const struct command *container = command_parent(request->command);

    if (session->txn != 0) {
        tracking_note_past(session, request);
    }
    if (session->tracking != NULL && session->multi == NULL &&
        (container == NULL || strcmp(container->name, "client") != 0)) {
        session->tracking->caching = CACHING_UNSAID;
    }
}

/* Its checks are done. False: it waits, and stays in the input. */
static YIELDS bool
request_run(struct session *session, const struct command *command, const struct slice *argv,
            uint32_t argc, struct slice input, uint64_t consumed, bool *is_used_out)
{
    uint64_t reply_start = session_output_end(session);
    struct kv_request request;
    bool is_answered = true;

    if (is_held_by_pause(session, command)) {
        blocking_postpone(session);
        return false;
    }
    if (session->multi != NULL && multi_queue(session, command, argv, argc)) {
        reply_mode_apply(session, reply_start);
        return true;
    }
    request_init(session, &request, command, argv, argc);
    if (__builtin_expect((command->flags & CMD_BLOCKING) != 0, 0)) {
        is_answered = request_run_blocking(session, &request, input, consumed, is_used_out);
    } else {
        *is_used_out = dispatch_route(session, &request, input, consumed);
    }
    if (__builtin_expect(session->tracking != NULL, 0)) {
        tracking_ran(session, &request);
    }
    return is_answered;
}

void
dispatch_request(struct session *session, struct slice input, uint64_t consumed)
{
    uint32_t argc = session->parser.arg_count;
    const struct slice *argv = arguments_get(session, input, &session->arena);
    const struct command *command = request_check(session, argv, argc);
    bool is_used = false;
    bool is_answered;

    session->request_bytes = consumed;
    is_answered =
        command == NULL || request_run(session, command, argv, argc, input, consumed, &is_used);
    if (is_answered && !is_used) {
        session->input_used += consumed;
    }
    session->request_bytes = 0;
    arena_reset(&session->arena);
    if (!is_answered) {
        arena_fini(&session->arena); /* Ten thousand sessions may wait so. */
        arena_init(&session->arena, MEM_SESSIONS);
    }
}
