/* net/commands_client.c - CLIENT: the connections of all shards.
 *
 * A shard describes and closes its own sessions; a command that means all of them asks each shard
 * by message. What a shard answers is a buffer that changes hands. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/acl.h"
#include "net/blocking.h"
#include "net/dispatch.h"
#include "net/pubsub.h"
#include "net/tracking.h"
#include "net/transaction.h"

#include "engine/base/poison.h"

enum { CLIENT_IDS_MAX = 1024, FLAGS_BYTES = 24 };

enum client_type { CLIENT_ANY, CLIENT_NORMAL, CLIENT_PUBSUB, CLIENT_OF_REPLICATION };

/* What picks sessions: what has_... tells, a user that is not empty, numbers that are not zero. */
struct client_filter {
    const uint64_t *ids;
    uint32_t id_count;
    struct slice address, local_address, user;
    bool has_address, has_local_address; /* Nobody has an empty one, which may be asked for. */
    bool skip_me;
    uint64_t me;
    enum client_type client_type;
    uint64_t older_than_s; /* MAXAGE */
};

static bool
type_fits(enum client_type type, const struct session *session)
{
    return type == CLIENT_ANY || (type == CLIENT_PUBSUB && pubsub_is_subscriber(session)) ||
           (type == CLIENT_NORMAL && !pubsub_is_subscriber(session));
}

static bool
filter_fits(const struct client_filter *filter, const struct session *session)
{
    bool id_fits = filter->id_count == 0;

    for (uint32_t i = 0; i < filter->id_count && !id_fits; i++) {
        id_fits = filter->ids[i] == session->id;
    }
    if (!id_fits || !type_fits(filter->client_type, session) ||
        (filter->skip_me && session->id == filter->me)) {
        return false;
    }
    if (filter->has_address && !slice_equal(filter->address, slice_from_text(session->peer))) {
        return false;
    }
    if (filter->has_local_address &&
        !slice_equal(filter->local_address, slice_from_text(session->local))) {
        return false;
    }
    if (filter->older_than_s > 0 &&
        (shard_now_us() - session->created_us) / 1000000 < filter->older_than_s) {
        return false;
    }
    return filter->user.size == 0 || slice_equal(filter->user, slice_from_text(session->user));
}

/* ---- Description ---- */

static void
flags_text(const struct session *session, char out[FLAGS_BYTES])
{
    size_t size = 0;

    if (session->block != NULL) {
        out[size++] = 'b';
    }
    if (pubsub_is_subscriber(session)) {
        out[size++] = 'P';
    }
    if (session->is_observer) {
        out[size++] = 'O';
    }
    if (session->multi != NULL) {
        out[size++] = 'x';
    }
    if (session->close_after_reply) {
        out[size++] = 'c';
    }
    if (session->tracking != NULL) {
        out[size++] = 't';
        if (session->tracking->is_broken) {
            out[size++] = 'R';
        }
        if (session->tracking->is_bcast) {
            out[size++] = 'B';
        }
    }
    if (session->no_evict) {
        out[size++] = 'e';
    }
    if (session->no_touch) {
        out[size++] = 'T';
    }
    if (size == 0) {
        out[size++] = 'N';
    }
    out[size] = '\0';
}

/* One line in the format of CLIENT LIST. */
void
session_describe(const struct session *session, struct buf *out)
{
    uint64_t now_us = shard_now_us();
    size_t pending = session->input.size - MIN(session->input_used, session->input.size);
    size_t input_memory = session->input.capacity + session->incoming.capacity;
    size_t output_memory = session->output.buf.capacity + session->sending.capacity;
    char flags[FLAGS_BYTES];

    flags_text(session, flags);
    buf_printf(
        out,
        "id=%llu addr=%s laddr=%s fd=%d name=%s age=%llu idle=%llu flags=%s db=%u sub=%u "
        "psub=%u ssub=%u multi=%lld qbuf=%zu qbuf-free=%zu argv-mem=%zu multi-mem=0 rbs=%zu "
        "rbp=%zu obl=%zu oll=0 omem=0 tot-mem=%zu events=r cmd=%s user=%s redir=%lld resp=%u "
        "lib-name=%s lib-ver=%s\n",
        (unsigned long long)session->id, session->peer, session->local,
        session->conn != NULL ? io_conn_fd(session->conn) : -1,
        session->name != NULL ? session->name : "",
        (unsigned long long)((now_us - session->created_us) / 1000000),
        (unsigned long long)((now_us - session->active_us) / 1000000), flags, session->db,
        session->subscriptions[PUBSUB_CHANNEL].count, session->subscriptions[PUBSUB_PATTERN].count,
        session->subscriptions[PUBSUB_SHARD_CHANNEL].count,
        session->multi != NULL ? (long long)session->multi->count : -1LL, pending,
        input_memory - MIN(input_memory, pending), session->arena.bytes,
        session->output.buf.capacity, session->output.buf.capacity,
        session->sending.size + session->output.buf.size,
        sizeof(*session) + input_memory + output_memory + session->arena.bytes,
        session->last_command != NULL ? command_full_name(session->last_command) : "NULL",
        session->user, session->tracking != NULL ? (long long)session->tracking->redirect : -1LL,
        session->output.resp, session->lib_name != NULL ? session->lib_name : "",
        session->lib_version != NULL ? session->lib_version : "");
}

/* ---- Over all shards ---- */

enum client_action { CLIENT_DESCRIBE, CLIENT_KILL };

struct client_call {
    const struct client_filter *filter;
    enum client_action action;
    uint64_t count;  /* Out. */
    struct buf text; /* Out. */
};

static YIELDS void
client_call_here(void *arg)
{
    struct client_call *call = arg;
    struct net *net = net_self();

    buf_init(&call->text, MEM_SESSIONS);
    LIST_FOR_EACH_SAFE(node, &net->sessions) {
        struct session *session = LIST_ENTRY(node, struct session, link);

        if (!filter_fits(call->filter, session)) {
            continue;
        }
        call->count++;
        if (call->action == CLIENT_DESCRIBE) {
            session_describe(session, &call->text);
        } else if (session->id == call->filter->me) {
            session_close_after_reply(session);
        } else {
            session_close(session);
        }
    }
    mem_disown(MEM_SESSIONS, call->text.data, call->text.capacity);
}

/* Returns how many sessions the filter picked; their lines are appended to text_out. */
static YIELDS uint64_t
client_call_all(const struct client_filter *filter, enum client_action action, struct buf *text_out)
{
    struct client_call calls[SHARDS_MAX];
    uint64_t count = 0;

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = (struct client_call){.filter = filter, .action = action};
    }
    msg_call_all(MSG_FIBER, client_call_here, calls, sizeof(calls[0]));
    for (uint32_t i = 0; i < shard_count(); i++) {
        mem_adopt(MEM_SESSIONS, calls[i].text.data, calls[i].text.capacity);
        buf_append(text_out, calls[i].text.data, calls[i].text.size);
        buf_fini(&calls[i].text);
        count += calls[i].count;
    }
    return count;
}

/* ---- Arguments ---- */

static bool
id_parse(struct kv_request *request, struct slice text, uint64_t *id_out)
{
    int64_t id;

    if (!reply_parse_int(text, &id) || id < 1) {
        reply_error(request->reply, "ERR client-id should be greater than 0");
        return false;
    }
    *id_out = (uint64_t)id;
    return true;
}

static bool
type_parse(struct kv_request *request, struct slice text, struct client_filter *filter)
{
    static const struct {
        const char *name;
        enum client_type type;
    } types[] = {
        {"NORMAL", CLIENT_NORMAL},         {"PUBSUB", CLIENT_PUBSUB},
        {"MASTER", CLIENT_OF_REPLICATION}, {"REPLICA", CLIENT_OF_REPLICATION},
        {"SLAVE", CLIENT_OF_REPLICATION},
    };

    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (command_word_is(text, types[i].name)) {
            filter->client_type = types[i].type;
            return true;
        }
    }
    reply_error(request->reply, "ERR Unknown client type '%.*s'", (int)MIN(text.size, (size_t)128),
                (const char *)text.data);
    return false;
}

static YIELDS void
run_list(struct session *session, struct kv_request *request)
{
    struct client_filter filter = {.me = session->id};
    uint64_t *ids = arena_alloc(request->arena, request->argc * sizeof(*ids));
    struct buf text;

    filter.ids = ids;
    if (request->argc == 4 && command_word_is(request->argv[2], "TYPE")) {
        if (!type_parse(request, request->argv[3], &filter)) {
            return;
        }
    } else if (request->argc > 3 && command_word_is(request->argv[2], "ID")) {
        for (uint32_t i = 3; i < request->argc; i++) {
            if (!reply_parse_int(request->argv[i], (int64_t *)&ids[filter.id_count]) ||
                (int64_t)ids[filter.id_count] < 1) {
                reply_error(request->reply, "ERR Invalid client ID");
                return;
            }
            filter.id_count++;
        }
    } else if (request->argc != 2) {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    buf_init(&text, MEM_SESSIONS);
    client_call_all(&filter, CLIENT_DESCRIBE, &text);
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
}

static YIELDS void
run_info(struct session *session, struct kv_request *request)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    session_describe(session, &text);
    reply_verbatim(request->reply, "txt", buf_slice(&text));
    buf_fini(&text);
}

/* One "word value" pair of CLIENT KILL. */
static bool
kill_option(struct kv_request *request, struct slice word, struct slice value,
            struct client_filter *filter, uint64_t *id)
{
    int64_t seconds;

    if (command_word_is(word, "ID")) {
        filter->ids = id;
        filter->id_count = 1;
        return id_parse(request, value, id);
    }
    if (command_word_is(word, "TYPE")) {
        return type_parse(request, value, filter);
    }
    if (command_word_is(word, "ADDR")) {
        filter->address = value;
        filter->has_address = true;
        return true;
    }
    if (command_word_is(word, "LADDR")) {
        filter->local_address = value;
        filter->has_local_address = true;
        return true;
    }
    if (command_word_is(word, "USER")) {
        filter->user = value;
        if (acl_find(net_self(), value) == NULL) {
            reply_error(request->reply, "ERR No such user '%.*s'",
                        (int)MIN(value.size, (size_t)128), (const char *)value.data);
            return false;
        }
        return true;
    }
    if (command_word_is(word, "MAXAGE") && reply_parse_int(value, &seconds) && seconds > 0) {
        filter->older_than_s = (uint64_t)seconds;
        return true;
    }
    if (command_word_is(word, "SKIPME") &&
        (command_word_is(value, "YES") || command_word_is(value, "NO"))) {
        filter->skip_me = command_word_is(value, "YES");
        return true;
    }
    reply_error(request->reply, "ERR syntax error");
    return false;
}

static YIELDS void
run_kill(struct session *session, struct kv_request *request)
{
    struct client_filter filter = {.me = session->id, .skip_me = true};
    bool is_old_form = request->argc == 3;
    uint64_t id = 0;
    uint64_t count;
    struct buf nothing;

    if (is_old_form) {
        filter.address = request->argv[2];
        filter.has_address = true;
        filter.skip_me = false;
    } else if (request->argc % 2 != 0) {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    for (uint32_t i = 2; !is_old_form && i + 1 < request->argc; i += 2) {
        if (!kill_option(request, request->argv[i], request->argv[i + 1], &filter, &id)) {
            return;
        }
    }
    buf_init(&nothing, MEM_SESSIONS);
    count = client_call_all(&filter, CLIENT_KILL, &nothing);
    buf_fini(&nothing);
    if (!is_old_form) {
        reply_int(request->reply, (int64_t)count);
    } else if (count > 0) {
        reply_ok(request->reply);
    } else {
        reply_error(request->reply, "ERR No such client");
    }
}

/* ---- This connection ---- */

static YIELDS void
run_id(struct session *session, struct kv_request *request)
{
    reply_int(request->reply, (int64_t)session->id);
}

static YIELDS void
run_getname(struct session *session, struct kv_request *request)
{
    if (session->name != NULL) {
        reply_bulk_text(request->reply, session->name);
    } else {
        reply_null(request->reply);
    }
}

static bool
is_printable_word(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '!' || text.data[i] > '~') {
            return false;
        }
    }
    return true;
}

bool
session_name_set(struct session *session, struct slice name)
{
    if (!is_printable_word(name)) {
        reply_error(&session->output, "ERR Client names cannot contain spaces, newlines or "
                                      "special characters.");
        return false;
    }
    if (name.size > SESSION_NAME_BYTES_MAX) {
        reply_error(&session->output, "ERR a client name has at most %d bytes",
                    SESSION_NAME_BYTES_MAX);
        return false;
    }
    session_text_set(&session->name, name);
    return true;
}

static YIELDS void
run_setname(struct session *session, struct kv_request *request)
{
    if (session_name_set(session, request->argv[2])) {
        reply_ok(request->reply);
    }
}

static YIELDS void
run_setinfo(struct session *session, struct kv_request *request)
{
    struct slice value = request->argv[3];
    bool is_name = command_word_is(request->argv[2], "LIB-NAME");

    if (!is_name && !command_word_is(request->argv[2], "LIB-VER")) {
        reply_error(request->reply, "ERR Unrecognized option '%.*s'",
                    (int)MIN(request->argv[2].size, (size_t)128),
                    (const char *)request->argv[2].data);
    } else if (!is_printable_word(value) || value.size > SESSION_NAME_BYTES_MAX) {
        reply_error(request->reply, "ERR %s cannot contain spaces, newlines or special characters.",
                    is_name ? "lib-name" : "lib-ver");
    } else {
        session_text_set(is_name ? &session->lib_name : &session->lib_version, value);
        reply_ok(request->reply);
    }
}

static bool
on_off_parse(struct kv_request *request, bool *value_out)
{
    bool is_on = command_word_is(request->argv[2], "ON");

    if (!is_on && !command_word_is(request->argv[2], "OFF")) {
        reply_error(request->reply, "ERR syntax error");
        return false;
    }
    *value_out = is_on;
    return true;
}

static YIELDS void
run_no_evict(struct session *session, struct kv_request *request)
{
    if (on_off_parse(request, &session->no_evict)) {
        reply_ok(request->reply);
    }
}

static YIELDS void
run_no_touch(struct session *session, struct kv_request *request)
{
    if (on_off_parse(request, &session->no_touch)) {
        reply_ok(request->reply);
    }
}

static YIELDS void
run_reply(struct session *session, struct kv_request *request)
{
    struct slice mode = request->argv[2];

    if (command_word_is(mode, "ON")) {
        session->reply_mode = SESSION_REPLY_ON;
        reply_ok(request->reply);
    } else if (command_word_is(mode, "OFF")) {
        session->reply_mode = SESSION_REPLY_OFF;
    } else if (command_word_is(mode, "SKIP")) {
        if (session->reply_mode == SESSION_REPLY_ON) {
            session->reply_mode = SESSION_REPLY_SKIP_NEXT;
        }
    } else {
        reply_error(request->reply, "ERR syntax error");
    }
}

struct unblock_call {
    uint64_t id;
    enum block_end end;
    bool is_done; /* Out. */
};

static YIELDS void
unblock_here(void *arg)
{
    struct unblock_call *call = arg;
    struct session *session = net_session_find(net_self(), call->id);

    call->is_done = session != NULL && blocking_unblock(session, call->end);
}

static YIELDS void
run_unblock(struct session *session, struct kv_request *request)
{
    struct unblock_call call = {.end = BLOCK_TIMED_OUT};
    int64_t id;

    (void)session;
    if (request->argc > 4) {
        reply_error(request->reply, "ERR unknown subcommand or wrong number of arguments for "
                                    "'UNBLOCK'. Try CLIENT HELP.");
    } else if (request->argc == 4 && !command_word_is(request->argv[3], "TIMEOUT") &&
               !command_word_is(request->argv[3], "ERROR")) {
        reply_error(request->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
    } else if (!reply_parse_int(request->argv[2], &id)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
    } else {
        if (request->argc == 4 && command_word_is(request->argv[3], "ERROR")) {
            call.end = BLOCK_REFUSED;
        }
        call.id = (uint64_t)id;
        if (id > 0) { /* session_new: the number tells the shard. */
            msg_call((uint32_t)((call.id - 1) % shard_count()), MSG_FIBER, unblock_here, &call);
        }
        reply_int(request->reply, call.is_done);
    }
}

/* ---- Pause ---- */

struct pause_call {
    uint64_t until_us;
    bool only_writes;
};

static YIELDS void
pause_here(void *arg)
{
    const struct pause_call *call = arg;

    net_pause(net_self(), call->until_us, call->only_writes);
}

static YIELDS void
pause_all(uint64_t delay_ms, bool only_writes)
{
    struct pause_call calls[SHARDS_MAX];

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = (struct pause_call){
            .until_us = delay_ms > 0 ? shard_now_us() + delay_ms * 1000 : 0,
            .only_writes = only_writes,
        };
    }
    msg_call_all(MSG_FIBER, pause_here, calls, sizeof(calls[0]));
}

static YIELDS void
run_pause(struct session *session, struct kv_request *request)
{
    int64_t delay_ms;
    bool only_writes = request->argc == 4 && command_word_is(request->argv[3], "WRITE");

    (void)session;
    if (request->argc > 4 ||
        (request->argc == 4 && !only_writes && !command_word_is(request->argv[3], "ALL"))) {
        reply_error(request->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
    } else if (!reply_parse_int(request->argv[2], &delay_ms) || delay_ms > INT64_MAX / 1000000) {
        reply_error(request->reply, "ERR timeout is not an integer or out of range");
    } else if (delay_ms < 0) {
        reply_error(request->reply, "ERR timeout is negative");
    } else {
        pause_all((uint64_t)delay_ms, only_writes);
        reply_ok(request->reply);
    }
}

static YIELDS void
run_unpause(struct session *session, struct kv_request *request)
{
    (void)session;
    pause_all(0, false);
    reply_ok(request->reply);
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_client[] = {
    {"client|list", run_list},
    {"client|info", run_info},
    {"client|kill", run_kill},
    {"client|id", run_id},
    {"client|getname", run_getname},
    {"client|setname", run_setname},
    {"client|setinfo", run_setinfo},
    {"client|no-evict", run_no_evict},
    {"client|no-touch", run_no_touch},
    {"client|reply", run_reply},
    {"client|unblock", run_unblock},
    {"client|pause", run_pause},
    {"client|unpause", run_unpause},
    {"client|help", run_help},
    {NULL, NULL},
};
