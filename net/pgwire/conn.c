/* net/pgwire/conn.c - connections: bytes in, bytes out, and the fiber that works while there are
 * messages. A connection that waits for input holds none. */
#include <arpa/inet.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/msg.h"
#include "models/types/sql_error.h"
#include "net/pgwire/internal.h"

#include "engine/base/poison.h"

enum { PG_BACKLOG = 511, STARTUP_HEADER_BYTES = 4, HEADER_BYTES = 5 };

struct pgwire *
pgwire_self(void)
{
    return shard_slot_get(SHARD_SLOT_PGWIRE);
}

/* ---- Output ---- */

void
pg_send_start(struct pg_conn *conn)
{
    struct buf swapped = conn->sending;

    if (conn->conn == NULL || conn->is_ended || conn->output.size == 0 ||
        io_conn_is_sending(conn->conn)) {
        return;
    }
    conn->sending = conn->output;
    conn->output = swapped;
    buf_clear(&conn->output);
    io_conn_send(conn->conn, conn->sending.data, conn->sending.size);
}

bool
pg_flush(struct pg_conn *conn)
{
    pg_send_start(conn);
    while (conn->output.size > PG_OUTPUT_BYTES_HIGH && !conn->is_ended && !conn->is_closing) {
        cond_wait_uncancelable(&conn->sent);
        pg_send_start(conn);
    }
    return !conn->is_ended && !conn->is_closing;
}

void
pg_farewell(struct pg_conn *conn)
{
    pg_send_start(conn);
    while (conn->output.size > 0 && !conn->is_ended && !conn->is_closing) {
        cond_wait_uncancelable(&conn->sent);
        pg_send_start(conn);
    }
    conn->is_ended = true;
}

/* ---- Ending ---- */

static void
conn_free(struct pg_conn *conn)
{
    list_remove(&conn->link);
    conn->pgwire->conn_count--;
    buf_fini(&conn->input);
    buf_fini(&conn->output);
    buf_fini(&conn->sending);
    pg_login_free(conn);
    mem_free(MEM_SESSIONS, (void *)(uintptr_t)conn->user.data, conn->user.size);
    for (uint32_t i = 0; i < SESSION_REPORTED; i++) {
        if (conn->told[i] != NULL) {
            mem_free(MEM_SESSIONS, conn->told[i], strlen(conn->told[i]) + 1);
        }
    }
    MEM_FREE(MEM_SESSIONS, conn);
}

static void
conn_maybe_free(struct pg_conn *conn)
{
    if (conn->is_closed && !conn->is_running && !conn->is_canceling && conn->session == NULL) {
        conn_free(conn);
    }
}

static void
conn_close(struct pg_conn *conn)
{
    if (!conn->is_closing) {
        conn->is_closing = true;
        io_conn_close(conn->conn);
    }
}

/* ---- The fiber ---- */

/* A whole message at the input's place? 0: not yet; SIZE_MAX: it is too long. */
static size_t
message_size(const struct pg_conn *conn)
{
    size_t left = conn->input.size - conn->input_used;
    const uint8_t *at = conn->input.data + conn->input_used;
    size_t header = conn->has_started ? HEADER_BYTES : STARTUP_HEADER_BYTES;
    size_t most = !conn->has_started    ? PG_STARTUP_BYTES_MAX
                  : conn->login != NULL ? PG_LOGIN_BYTES_MAX
                                        : PG_MESSAGE_BYTES_MAX;
    uint32_t length;

    if (left < header) {
        return 0;
    }
    length = get_be32(at + header - 4);
    if (length < 4 || length > most) {
        return SIZE_MAX;
    }
    return left >= length + header - 4 ? length + header - 4 : 0;
}

static void
message_take(struct pg_conn *conn, size_t size)
{
    struct slice whole = slice_of(conn->input.data + conn->input_used, size);
    struct buf copy;

    /* The input may move while the message is worked on. */
    buf_init(&copy, MEM_SESSIONS);
    buf_append(&copy, whole.data, whole.size);
    conn->input_used += size;
    pg_timer_note(conn);
    if (conn->has_started) {
        pg_message(conn, (char)copy.data[0],
                   slice_of(copy.data + HEADER_BYTES, size - HEADER_BYTES));
    } else if (!pg_startup(
                   conn, slice_of(copy.data + STARTUP_HEADER_BYTES, size - STARTUP_HEADER_BYTES))) {
        pg_farewell(conn);
    }
    buf_fini(&copy);
}

static void
input_compact(struct pg_conn *conn)
{
    /* Not for every message: what is behind it moves. */
    if (conn->input_used == conn->input.size ||
        (conn->input_used >= PG_INPUT_BYTES_COMPACT && conn->input_used * 2 >= conn->input.size)) {
        memmove(conn->input.data, conn->input.data + conn->input_used,
                conn->input.size - conn->input_used);
        conn->input.size -= conn->input_used;
        conn->input_used = 0;
    }
    if (conn->is_paused && !conn->is_closing &&
        (conn->input.size - conn->input_used < PG_INPUT_BYTES_HIGH || message_size(conn) == 0)) {
        conn->is_paused = false;
        io_conn_resume(conn->conn);
    }
}

bool
pg_message_is_there(const struct pg_conn *conn)
{
    size_t size = message_size(conn);

    return size != 0 && size != SIZE_MAX;
}

err_t
pg_message_wait(struct pg_conn *conn)
{
    pg_send_start(conn);
    while (!conn->is_ended && !conn->is_closing && message_size(conn) == 0 &&
           !sql_session_is_cancelled(conn->session)) {
        cond_wait_uncancelable(&conn->arrived);
    }
    if (message_size(conn) == SIZE_MAX) {
        conn->is_ended = true;
        return err_set(ERR_PROTOCOL, "invalid message length");
    }
    if (message_size(conn) == 0 && (conn->is_ended || conn->is_closing)) {
        return err_set(ERR_CLOSED, "unexpected EOF on client connection with an open transaction");
    }
    return sql_session_is_cancelled(conn->session)
               ? sql_error("57014", "canceling statement due to user request")
               : ERR_OK;
}

char
pg_message_peek(const struct pg_conn *conn, struct slice *body_out)
{
    const uint8_t *at = conn->input.data + conn->input_used;
    size_t size = message_size(conn);

    ASSERT(size != 0 && size != SIZE_MAX);
    *body_out = slice_of(at + HEADER_BYTES, size - HEADER_BYTES);
    return (char)at[0];
}

void
pg_message_skip(struct pg_conn *conn)
{
    conn->input_used += message_size(conn);
    input_compact(conn);
}

static YIELDS void
conn_run(void *arg)
{
    struct pg_conn *conn = arg;
    size_t size = 0;

    while (!conn->is_ended && !conn->is_closing && (size = message_size(conn)) != 0) {
        if (size == SIZE_MAX) {
            pg_error(conn, err_set(ERR_PROTOCOL, "invalid message length"), 0, "FATAL");
            pg_farewell(conn);
            break;
        }
        message_take(conn, size);
        input_compact(conn);
        pg_send_start(conn);
    }
    if (conn->is_ended || conn->is_closing) {
        pg_session_end(conn);
        while (conn->conn != NULL && !conn->is_closing && io_conn_is_sending(conn->conn)) {
            cond_wait_uncancelable(&conn->sent);
        }
        conn_close(conn);
    }
    conn->is_running = false;
    pg_timer_note(conn);
    conn_maybe_free(conn);
}

static void
conn_wake(struct pg_conn *conn)
{
    bool has_work = conn->is_ended || conn->is_closing || message_size(conn) != 0;

    if (conn->is_running || !has_work) {
        return;
    }
    conn->is_running = true;
    if (!fiber_group_spawn(&conn->pgwire->fibers, "pgwire", FIBER_FOREGROUND, FIBER_STACK_LARGE,
                           conn_run, conn)) {
        conn->is_running = false;
        LOG_W("pgwire: no fiber for a connection: it is closed");
        conn_close(conn);
    }
}

void
pg_conn_end(struct pg_conn *conn)
{
    conn->is_ended = true;
    cond_broadcast(&conn->sent);
    cond_broadcast(&conn->arrived);
    conn_wake(conn);
}

/* ---- Cancelling what runs ---- */

enum { CANCEL_PAUSE_US_MIN = 1000, CANCEL_PAUSE_US_MAX = 50000 };

static YIELDS void
cancel_run(void *arg)
{
    struct pg_conn *conn = arg;
    uint64_t pause_us = CANCEL_PAUSE_US_MIN;

    while (conn->session != NULL && sql_session_cancel_waits(conn->session)) {
        (void)fiber_sleep_us(pause_us);
        pause_us = MIN(2 * pause_us, (uint64_t)CANCEL_PAUSE_US_MAX);
    }
    conn->is_canceling = false;
    conn_maybe_free(conn);
}

void
pg_conn_cancel(struct pg_conn *conn)
{
    if (conn->session == NULL) {
        return;
    }
    sql_session_cancel(conn->session);
    cond_broadcast(&conn->arrived);
    /* Without a fiber what waits for a lock hears of it when it has that. */
    conn->is_canceling = conn->is_canceling ||
                         (conn->is_running &&
                          fiber_group_spawn(&conn->pgwire->fibers, "pgwire cancel",
                                            FIBER_FOREGROUND, FIBER_STACK_SMALL, cancel_run, conn));
}

/* ---- Callbacks: on the loop's stack ---- */

static void
on_data(void *owner, const uint8_t *data, size_t size)
{
    struct pg_conn *conn = owner;

    buf_append(&conn->input, data, size);
    /* A message that is not whole yet is waited for, whatever it takes. */
    if (conn->input.size - conn->input_used > PG_INPUT_BYTES_HIGH && !conn->is_paused &&
        message_size(conn) != 0) {
        conn->is_paused = true;
        io_conn_pause(conn->conn);
    }
    cond_broadcast(&conn->arrived);
    conn_wake(conn);
}

static void
on_sent(void *owner, int result)
{
    struct pg_conn *conn = owner;

    conn->is_ended = conn->is_ended || result < 0;
    buf_clear(&conn->sending);
    pg_send_start(conn);
    cond_broadcast(&conn->sent);
}

static void
on_end(void *owner, int result)
{
    struct pg_conn *conn = owner;

    (void)result;
    conn->is_ended = true;
    pg_conn_cancel(conn);
    cond_broadcast(&conn->sent);
    cond_broadcast(&conn->arrived);
    conn_wake(conn);
}

static void
on_closed(void *owner)
{
    struct pg_conn *conn = owner;

    conn->is_closed = true;
    conn->is_ended = true;
    conn->conn = NULL;
    cond_broadcast(&conn->sent);
    cond_broadcast(&conn->arrived);
    if (conn->session != NULL) {
        conn_wake(conn); /* It ends the session. */
    }
    conn_maybe_free(conn);
}

static const struct io_conn_handlers handlers = {
    .on_data = on_data,
    .on_sent = on_sent,
    .on_end = on_end,
    .on_closed = on_closed,
};

static void
on_accept(void *owner, struct io_conn *io_conn)
{
    struct pgwire *pgwire = owner;
    struct pg_conn *conn;

    if (pgwire->is_stopping ||
        pgwire->conn_count >= pgwire->options.connections_max + PG_STARTING_MAX) {
        io_conn_close(io_conn);
        return;
    }
    conn = MEM_NEW(MEM_SESSIONS, struct pg_conn);
    conn->pgwire = pgwire;
    conn->conn = io_conn;
    conn->pid =
        shard_id() << PG_PID_SHARD_SHIFT | (++pgwire->pid_next & ((1U << PG_PID_SHARD_SHIFT) - 1));
    io_random(&conn->key, sizeof(conn->key));
    buf_init(&conn->input, MEM_SESSIONS);
    buf_init(&conn->output, MEM_SESSIONS);
    buf_init(&conn->sending, MEM_SESSIONS);
    cond_init(&conn->sent);
    cond_init(&conn->arrived);
    list_push_back(&pgwire->conns, &conn->link);
    pgwire->conn_count++;
    conn->accepted_us = shard_now_us();
    pg_timer_note(conn);
    io_conn_start(io_conn, &handlers, conn);
}

void
pgwire_user_end(struct slice user)
{
    struct pgwire *pgwire = pgwire_self();

    if (pgwire == NULL) {
        return;
    }
    LIST_FOR_EACH_SAFE(node, &pgwire->conns) {
        struct pg_conn *conn = LIST_ENTRY(node, struct pg_conn, link);

        if (conn->session != NULL && slice_equal(conn->user, user)) {
            pg_conn_cancel(conn);
            pg_conn_end(conn);
        }
    }
}

/* ---- Cancel requests: from any shard ---- */

struct cancel {
    uint32_t pid, key;
};

static void
cancel_here(void *arg)
{
    const struct cancel *cancel = arg;
    struct pgwire *pgwire = pgwire_self();

    if (pgwire == NULL) {
        return;
    }
    LIST_FOR_EACH(node, &pgwire->conns) {
        struct pg_conn *conn = LIST_ENTRY(node, struct pg_conn, link);

        if (conn->pid == cancel->pid && conn->key == cancel->key) {
            pg_conn_cancel(conn);
        }
    }
}

void
pg_cancel(uint32_t pid, uint32_t key)
{
    struct cancel cancel = {.pid = pid, .key = key};
    uint32_t shard = pid >> PG_PID_SHARD_SHIFT;

    if (shard == shard_id()) {
        cancel_here(&cancel);
    } else if (shard < shard_count()) {
        msg_call(shard, MSG_INLINE, cancel_here, &cancel);
    }
}

/* ---- Opening ---- */

err_t
pgwire_open(const struct pgwire_options *options, struct pgwire **pgwire_out)
{
    struct pgwire *pgwire = MEM_NEW(MEM_RUNTIME, struct pgwire);
    err_t err;

    pgwire->options = *options;
    list_init(&pgwire->conns);
    fiber_group_init(&pgwire->fibers);
    shard_slot_set(SHARD_SLOT_PGWIRE, pgwire);
    err = io_listen(options->bind_address, options->port, PG_BACKLOG, on_accept, pgwire,
                    &pgwire->listener);
    if (err != ERR_OK) {
        shard_slot_set(SHARD_SLOT_PGWIRE, NULL);
        MEM_FREE(MEM_RUNTIME, pgwire);
        return err;
    }
    pg_timer_start(pgwire);
    *pgwire_out = pgwire;
    return ERR_OK;
}

void
pgwire_close(struct pgwire **pgwire)
{
    struct pgwire *closed = *pgwire;

    *pgwire = NULL;
    if (closed == NULL) {
        return;
    }
    closed->is_stopping = true;
    io_listener_close(&closed->listener);
    LIST_FOR_EACH_SAFE(node, &closed->conns) {
        struct pg_conn *conn = LIST_ENTRY(node, struct pg_conn, link);

        pg_conn_cancel(conn);
        pg_conn_end(conn);
    }
    cond_broadcast(&closed->timer);
    while (!list_is_empty(&closed->conns)) {
        fiber_yield();
    }
    fiber_group_wait(&closed->fibers);
    shard_slot_set(SHARD_SLOT_PGWIRE, NULL);
    MEM_FREE(MEM_RUNTIME, closed);
}
