/* net/session.c - a connection's buffers, its replies' wait for durability, its end. */
#include "net/session.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/shard.h"
#include "net/acl.h"
#include "net/blocking.h"
#include "net/config.h"
#include "net/dispatch.h"
#include "net/net.h"
#include "net/observe.h"
#include "net/tracking.h"
#include "net/transaction.h"

#include "engine/base/poison.h"

/* ---- Input ---- */

static bool
session_has_output_backlog(const struct session *session)
{
    return session->output.buf.size + session->sending.size > SESSION_OUTPUT_BYTES_HIGH;
}

/* Pause when more input is buffered than requests are run for; resume when it was used. One large
 * argument is received whole: its bytes are bounded by proto-max-bulk-len. */
static void
session_backpressure(struct session *session)
{
    size_t buffered = session->input.size - session->input_used + session->incoming.size;
    bool is_stuck = session->is_running || session->is_postponed ||
                    blocking_is_parked(session->block) || session_has_output_backlog(session);
    bool should_pause = buffered > SESSION_INPUT_BYTES_HIGH && is_stuck;

    if (session->is_closing || session->is_ended || should_pause == session->is_paused) {
        return;
    }
    session->is_paused = should_pause;
    if (should_pause) {
        io_conn_pause(session->conn);
    } else {
        io_conn_resume(session->conn);
    }
}

static void
session_on_data(void *owner, const uint8_t *data, size_t size)
{
    struct session *session = owner;
    struct net *net;

    OBJ_CHECK(session, SESSION_MAGIC);
    if (session->is_closing || session->close_after_reply) {
        return;
    }
    net = session->net;
    session->active_us = shard_now_us();
    session->input_bytes_total += size;
    net->counters.input_bytes += size;
    net->counters.reads++;
    buf_append(session->is_running ? &session->incoming : &session->input, data, size);
    net->counters.input_bytes_max =
        MAX(net->counters.input_bytes_max, session->input.size + session->incoming.size);
    if (session->input.size + session->incoming.size >
        config_values(net->config)->query_buffer_bytes_max) {
        LOG_W("closing %s: its requests exceed client-query-buffer-limit", session->peer);
        session_close(session);
        return;
    }
    if (!session->is_running) {
        net_session_ready(net, session);
    }
    session_backpressure(session);
}

/* Drop what was used and append what came meanwhile. */
static void
session_input_compact(struct session *session)
{
    struct buf *input = &session->input;

    if (session->input_used == input->size) {
        struct buf used = *input;

        *input = session->incoming;
        session->incoming = used;
        buf_clear(&session->incoming);
        if (session->incoming.capacity > SESSION_BUFFER_BYTES_KEPT) {
            buf_fini(&session->incoming);
        }
    } else {
        if (session->input_used > 0) {
            memmove(input->data, input->data + session->input_used,
                    input->size - session->input_used);
            input->size -= session->input_used;
        }
        if (session->incoming.size > 0) {
            buf_append(input, session->incoming.data, session->incoming.size);
            buf_clear(&session->incoming);
        }
    }
    session->input_used = 0;
}

static void
session_protocol_error(struct session *session, const char *text)
{
    reply_error(&session->output, "ERR Protocol error: %s", text);
    net_error_count(session->net, SLICE("-ERR"));
    session->input_used = session->input.size;
    session_close_after_reply(session);
}

/* Large arguments get their room at once, so the buffer is not grown by doubling copies; one that
 * does not fit the budget ends the connection before its bytes are taken. */
static bool
session_reserve_argument(struct session *session, uint64_t missing)
{
    if (missing <= SESSION_INPUT_BYTES_HIGH) {
        return true;
    }
    if (session->input.capacity - session->input.size >= missing) {
        return true;
    }
    if (mem_over(mem_account_current(), MEM_SESSIONS, missing)) {
        reply_error(&session->output,
                    "OOM an argument of this size does not fit the memory budget; raise --memory");
        session_close_after_reply(session);
        return false;
    }
    buf_reserve(&session->input, missing);
    return true;
}

/* One request of the input; false when there is no whole one or none may run now. */
static YIELDS bool
session_step(struct session *session)
{
    struct slice input = slice_of(session->input.data + session->input_used,
                                  session->input.size - session->input_used);
    const struct resp_limits limits = {
        .bulk_bytes_max = config_values(session->net->config)->bulk_bytes_max,
        .is_authenticated = session->is_authenticated,
    };
    const char *error = NULL;
    uint64_t consumed = 0;

    if (session->is_closing || session->close_after_reply || session->is_postponed ||
        blocking_is_parked(session->block)) {
        return false;
    }
    /* One that has been woken is waited for by others. */
    if (session->block == NULL && session_has_output_backlog(session)) {
        return false;
    }
    switch (resp_parse(&session->parser, input, &limits, &consumed, &error)) {
    case RESP_READY:
        dispatch_request(session, input, consumed);
        return true;
    case RESP_NOTHING:
        session->input_used += consumed;
        return true;
    case RESP_INCOMPLETE:
        if (session->incoming.size > 0) {
            session_input_compact(session);
            return true;
        }
        session_reserve_argument(session, resp_missing_bytes(&session->parser, input.size));
        return false;
    case RESP_ERROR:
        session_protocol_error(session, error);
        return false;
    }
    UNREACHABLE();
}

/* After a half close: whole requests still run, and their replies are sent. */
static void
session_end_check(struct session *session)
{
    if (session->is_half_closed && !session->is_running && !session->is_closing &&
        !session_has_output_backlog(session) && session->ready_link.next == &session->ready_link) {
        session_close_after_reply(session);
    }
}

void
session_run(struct session *session)
{
    OBJ_CHECK(session, SESSION_MAGIC);
    ASSERT(!session->is_running);
    session->is_running = true;
    /* Who was woken by a command runs before the next one. */
    while (session_step(session) && list_is_empty(&session->net->woken)) {}
    session_input_compact(session);
    session->is_running = false;
    if (session->input.size > 0 && !list_is_empty(&session->net->woken)) {
        net_session_ready(session->net, session);
    }
    net_session_dirty(session->net, session);
    session_backpressure(session);
    session_end_check(session);
    session_maybe_free(session);
}

/* ---- Output ---- */

static struct session_mark *
mark_at(struct session *session, uint32_t index)
{
    return &session->marks[(session->mark_first + index) % SESSION_MARKS_MAX];
}

void
session_mark(struct session *session, uint64_t offset, uint32_t shard, lsn_t lsn)
{
    if (lsn <= session->net->peers[shard].durable) {
        return;
    }
    /* A mark that already holds these bytes back for the same log only grows; when the ring is
     * full the last one does, which holds back more than it must but never less. */
    if (session->mark_count > 0) {
        struct session_mark *last = mark_at(session, session->mark_count - 1);

        if (last->shard == shard &&
            (last->made_us == shard_now_us() || session->mark_count == SESSION_MARKS_MAX)) {
            last->lsn = MAX(last->lsn, lsn);
            return;
        }
    }
    if (session->mark_count == SESSION_MARKS_MAX) {
        /* Another shard's mark and no room: wait for it here and now. */
        net_wait_durable(shard, lsn);
        return;
    }
    *mark_at(session, session->mark_count++) = (struct session_mark){
        .offset = offset, .lsn = lsn, .made_us = shard_now_us(), .shard = shard};
}

void
session_hold(struct session *session)
{
    ASSERT(!session->is_held);
    session->is_held = true;
    session->held_from = session_output_end(session);
}

void
session_release(struct session *session)
{
    ASSERT(session->is_held);
    session->is_held = false;
    if (__builtin_expect(session->pushes.size > 0, 0)) {
        buf_append(&session->output.buf, session->pushes.data, session->pushes.size);
        buf_fini(&session->pushes);
        net_session_dirty(session->net, session);
    }
}

/* ---- Messages ---- */

static size_t
unsent_bytes(const struct session *session)
{
    return session->output.buf.size + session->pushes.size + session->sending.size;
}

/* Is there more to send than the session's class may have? Notes since when it is too much. */
static bool
is_above_limits(struct session *session)
{
    enum output_class class = pubsub_is_subscriber(session) ? OUTPUT_PUBSUB : OUTPUT_NORMAL;
    const struct output_limit *limit = &config_values(session->net->config)->output_limits[class];
    size_t bytes = unsent_bytes(session);

    if (limit->soft_bytes == 0 || bytes <= limit->soft_bytes) {
        session->soft_since_us = 0;
    } else if (session->soft_since_us == 0) {
        session->soft_since_us = shard_now_us();
    }
    return bytes > SESSION_PUSHED_BYTES_MAX ||
           (limit->hard_bytes > 0 && bytes > limit->hard_bytes) ||
           (session->soft_since_us > 0 &&
            shard_now_us() - session->soft_since_us >= limit->soft_seconds * 1000000);
}

/* It is closed at the end of the turn: whoever pushes may be walking through sessions. */
static void
limit_enforce(struct session *session)
{
    if (is_above_limits(session)) {
        LOG_W("closing %s: %zu bytes for it exceed client-output-buffer-limit", session->peer,
              unsent_bytes(session));
        session->net->counters.output_limit_disconnections++;
        session->is_too_slow = true;
        net_session_dirty(session->net, session);
    }
}

void
session_push(struct session *session, struct slice prefix, struct slice rest)
{
    struct buf *to = session->is_held ? &session->pushes : &session->output.buf;

    if (session->is_closing || session->is_ended || session->close_after_reply ||
        session->is_too_slow) {
        return;
    }
    buf_append(to, prefix.data, prefix.size);
    buf_append(to, rest.data, rest.size);
    limit_enforce(session);
    net_session_dirty(session->net, session);
}

void
session_limit_check(struct session *session)
{
    if (session->soft_since_us > 0 && !session->is_closing && !session->is_too_slow) {
        limit_enforce(session);
    }
}

/* Into the peer's list, by position; most come in order, so the search starts at the end. */
static void
session_wait(struct session *session, const struct session_mark *mark)
{
    struct net_peer *peer = &session->net->peers[mark->shard];
    struct list *at = peer->waiting.previous;

    while (at != &peer->waiting) {
        struct session *other = LIST_ENTRY(at, struct session, wait_link);

        if (mark_at(other, 0)->lsn <= mark->lsn) {
            break;
        }
        at = at->previous;
    }
    list_insert_before(at->next, &session->wait_link);
    cond_signal(&peer->wanted);
}

void
session_marks_check(struct session *session)
{
    list_remove(&session->wait_link);
    while (session->mark_count > 0) {
        const struct session_mark *mark = mark_at(session, 0);

        if (session->net->peers[mark->shard].durable < mark->lsn) {
            session_wait(session, mark);
            return;
        }
        session->mark_first = (session->mark_first + 1) % SESSION_MARKS_MAX;
        session->mark_count--;
    }
}

static void
session_discard_output(struct session *session)
{
    session->output.gone += session->output.buf.size;
    buf_clear(&session->output.buf);
    buf_clear(&session->pushes);
    session->mark_count = 0;
    list_remove(&session->wait_link);
}

/* Move the first `size` bytes of output to `sending`. */
static void
session_output_take(struct session *session, size_t size)
{
    struct buf *output = &session->output.buf;

    if (session->sending.capacity > SESSION_BUFFER_BYTES_KEPT) {
        buf_fini(&session->sending);
    }
    buf_clear(&session->sending);
    if (size == output->size) {
        struct buf empty = session->sending;

        session->sending = *output;
        *output = empty;
    } else {
        buf_append(&session->sending, output->data, size);
        memmove(output->data, output->data + size, output->size - size);
        output->size -= size;
    }
    session->output.gone += size;
}

void
session_flush(struct session *session)
{
    size_t size = session->output.buf.size;

    if (session->is_ended) {
        session_discard_output(session);
        return;
    }
    if (session->is_too_slow) {
        session_close(session);
        return;
    }
    if (session->is_closing || session->conn->is_sending) {
        return;
    }
    session_marks_check(session);
    if (session->mark_count > 0) {
        ASSERT(mark_at(session, 0)->offset >= session->output.gone);
        size = (size_t)(mark_at(session, 0)->offset - session->output.gone);
    }
    if (session->is_held) {
        ASSERT(session->held_from >= session->output.gone);
        size = MIN(size, (size_t)(session->held_from - session->output.gone));
    }
    if (size > 0) {
        session_output_take(session, size);
        session->net->counters.output_bytes += size;
        session->net->counters.writes++;
        session->net->counters.output_bytes_max =
            MAX(session->net->counters.output_bytes_max, size);
        session->output_bytes_total += size;
        io_conn_send(session->conn, session->sending.data, session->sending.size);
    } else if (session->close_after_reply && session->output.buf.size == 0 &&
               !session->is_running) {
        session_close(session);
    }
}

static void
session_on_sent(void *owner, int result)
{
    struct session *session = owner;

    OBJ_CHECK(session, SESSION_MAGIC);
    buf_clear(&session->sending);
    if (result < 0) {
        session->is_ended = true;
        session_close(session);
        return;
    }
    if (session->is_closing) {
        return;
    }
    session_flush(session);
    /* Requests may have been held back by unsent replies. */
    if (!session->is_running && session->input.size > session->input_used) {
        net_session_ready(session->net, session);
    }
    session_backpressure(session);
}

/* ---- Life ---- */

static void
session_on_end(void *owner, int result)
{
    struct session *session = owner;

    OBJ_CHECK(session, SESSION_MAGIC);
    if (result == 0) {
        session->is_half_closed = true;
        txn_waits_leave(session);
        session_end_check(session);
    } else {
        session->is_ended = true;
        session_close(session);
    }
}

static void
session_on_closed(void *owner)
{
    struct session *session = owner;

    OBJ_CHECK(session, SESSION_MAGIC);
    session->is_closed = true;
    session->conn = NULL;
    session_maybe_free(session);
}

static const struct io_conn_handlers session_handlers = {
    .on_data = session_on_data,
    .on_sent = session_on_sent,
    .on_end = session_on_end,
    .on_closed = session_on_closed,
};

void
session_reset(struct session *session)
{
    multi_discard(session);
    txn_leave(session);
    pubsub_leave(session);
    tracking_end(session);
    observe_end(session);
    session->db = 0;
    session->no_evict = false;
    session->no_touch = false;
    session->durability = WAL_SYNC;
    session->reply_mode = SESSION_REPLY_ON;
    session->output.resp = 2;
    session->origin = (struct txn_origin){
        .protocol = SLICE("resp"),
        .client = session->id,
    };
    acl_session_set(session, NULL);
    session_text_set(&session->name, SLICE(""));
}

struct session *
session_new(struct net *net, struct io_conn *conn)
{
    struct session *session = MEM_NEW(MEM_SESSIONS, struct session);

    session->magic = SESSION_MAGIC;
    /* Ids of different shards never meet, and with one shard they count 1, 2, 3. */
    session->id = net->next_session++ * shard_count() + shard_id() + 1;
    session->net = net;
    session->host = (struct kv_host){.session = session->id,
                                     .shard = shard_id(),
                                     .execute = dispatch_host_execute,
                                     .is_allowed = dispatch_host_is_allowed};
    session->conn = conn;
    snprintf(session->peer, sizeof(session->peer), "%s", io_conn_peer(conn));
    snprintf(session->local, sizeof(session->local), "%s", io_conn_local(conn));
    list_push_back(&net->sessions, &session->link);
    list_init(&session->ready_link);
    list_init(&session->dirty_link);
    list_init(&session->wait_link);
    buf_init(&session->input, MEM_SESSIONS);
    buf_init(&session->incoming, MEM_SESSIONS);
    buf_init(&session->sending, MEM_SESSIONS);
    buf_init(&session->pushes, MEM_SESSIONS);
    reply_init(&session->output, 2);
    resp_parser_init(&session->parser);
    arena_init(&session->arena, MEM_SESSIONS);
    session->created_us = shard_now_us();
    session->active_us = session->created_us;
    session_reset(session);
    net->session_count++;
    net->session_objects++;
    net->counters.connections++;
    io_conn_start(conn, &session_handlers, session);
    return session;
}

void
session_close(struct session *session)
{
    if (session->is_closing) {
        return;
    }
    session->is_closing = true;
    blocking_postponed_leave(session);
    txn_waits_leave(session);
    list_remove(&session->ready_link);
    session_discard_output(session);
    pubsub_leave(session);
    tracking_end(session);
    observe_end(session);
    list_remove(&session->link);
    session->net->session_count--;
    io_conn_close(session->conn);
}

void
session_close_after_reply(struct session *session)
{
    session->close_after_reply = true;
    net_session_dirty(session->net, session);
}

void
session_maybe_free(struct session *session)
{
    if (!session->is_closed || session->is_running || session->is_canceling) {
        return;
    }
    list_remove(&session->ready_link);
    list_remove(&session->dirty_link);
    list_remove(&session->wait_link);
    multi_discard(session);
    txn_leave(session);
    blocking_leave(session);
    acl_session_leave(session);
    pubsub_leave(session);
    tracking_end(session);
    observe_end(session);
    buf_fini(&session->input);
    buf_fini(&session->incoming);
    buf_fini(&session->sending);
    buf_fini(&session->pushes);
    reply_fini(&session->output);
    resp_parser_fini(&session->parser);
    arena_fini(&session->arena);
    session_text_set(&session->name, SLICE(""));
    session_text_set(&session->lib_name, SLICE(""));
    session_text_set(&session->lib_version, SLICE(""));
    session->net->session_objects--;
    session->magic = 0;
    MEM_FREE(MEM_SESSIONS, session);
}

void
session_text_set(char **text, struct slice value)
{
    if (*text != NULL) {
        mem_free(MEM_SESSIONS, *text, strlen(*text) + 1);
        *text = NULL;
    }
    if (value.size > 0) {
        *text = mem_alloc(MEM_SESSIONS, value.size + 1);
        memcpy(*text, value.data, value.size);
        (*text)[value.size] = '\0';
    }
}
