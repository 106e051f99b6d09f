/* net/commands_txn.c - ORBIT.BEGIN, ORBIT.COMMIT, ORBIT.ROLLBACK, ORBIT.TXN, ORBIT.ASOF.
 *
 * A session's transaction lives on its home shard, and the session's commands travel there. It
 * counts the sessions that drive it: when the last one goes, it is rolled back.
 * When it has ended by itself or by another session, commands are refused until the session says
 * ORBIT.ROLLBACK: what was meant to be in a transaction never runs outside of one. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/script/script.h"
#include "net/config.h"
#include "net/dispatch.h"
#include "net/transaction.h"
#include "txn/clock.h"

#include "engine/base/poison.h"

static uint32_t
home_of(uint64_t id)
{
    return (uint32_t)(id >> TXN_HOME_SHIFT);
}

static YIELDS void
leave_run(void *arg)
{
    uint64_t *id = arg;

    txn_detach(*id);
    mem_free(MEM_SESSIONS, id, sizeof(*id));
}

void
txn_leave(struct session *session)
{
    uint64_t *id;

    if (session->txn == 0) {
        return;
    }
    id = mem_alloc(MEM_SESSIONS, sizeof(*id));
    *id = session->txn;
    session->txn = 0;
    session->is_as_of = false;
    if (!fiber_group_spawn(&session->net->fibers, "leave txn", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                           leave_run, id)) {
        /* No fiber is left: its idle timeout, or the end of the server, rolls it back. */
        mem_free(MEM_SESSIONS, id, sizeof(*id));
    }
}

/* ---- A client that goes away while its command waits for a lock ---- */

enum {
    CANCEL_PAUSE_US_MIN = 1000,
    CANCEL_PAUSE_US_MAX = 100000,
    TIMEOUT_MS_MAX = INT32_MAX, /* Of ORBIT.BEGIN: longer is as long. */
};

static void
cancel_run(void *arg)
{
    const uint64_t *client = arg;

    txn_waits_cancel(*client);
    scripts_end_of_session(net_self()->kv, *client);
}

/* The wait may begin after it was looked for: again, as long as the command runs. */
static YIELDS void
cancel_fiber(void *arg)
{
    struct session *session = arg;
    uint64_t pause_us = CANCEL_PAUSE_US_MIN;

    while (session->is_running) {
        for (uint32_t i = 0; i < shard_count(); i++) {
            msg_call(i, MSG_INLINE, cancel_run, &session->id);
        }
        (void)fiber_sleep_us(pause_us);
        pause_us = MIN(2 * pause_us, (uint64_t)CANCEL_PAUSE_US_MAX);
    }
    session->is_canceling = false;
    session_maybe_free(session);
}

void
txn_waits_leave(struct session *session)
{
    /* Without a fiber the lock's timeout ends the wait. */
    session->is_canceling =
        session->is_canceling ||
        (session->is_running &&
         fiber_group_spawn(&session->net->fibers, "cancel waits", FIBER_FOREGROUND,
                           FIBER_STACK_SMALL, cancel_fiber, session));
}

/* ---- Statements ---- */

struct statement {
    struct session *session; /* Borrowed: its fiber waits. */
    struct kv_request *request;
    struct reply reply; /* Out: made at the home shard, owned here after the answer. */
    bool is_there;      /* Out: the transaction still is. */
    lsn_t lsn;
};

static YIELDS void
statement_run(struct txn *txn, void *arg)
{
    struct statement *statement = arg;
    struct kv_request *request = statement->request;
    struct reply_mark mark = reply_mark(&statement->reply);
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    request->arena = &arena;
    request->reply = &statement->reply;
    request->txn = txn;
    txn_client_set(txn, statement->session->id);
    dispatch_execute(statement->session, request);
    request->txn = NULL;
    if (request->err == ERR_OK && kv_events_keep(txn, request) != ERR_OK) {
        request->err = ERR_LIMIT;
        reply_cut(request->reply, mark);
        reply_error(request->reply,
                    "ERR a transaction publishes at most %d bytes: it is rolled back",
                    KV_TXN_EVENT_BYTES_MAX);
    }
    request->events = (struct kv_events){0};
    if (request->err != ERR_OK) {
        /* It cannot go on: others need not wait for its locks until the client says so. */
        txn_abort(&txn);
    }
    arena_fini(&arena);
    statement->is_there = true;
}

static YIELDS void
home_run(void *arg)
{
    struct statement *statement = arg;

    reply_init(&statement->reply, statement->session->output.resp);
    (void)txn_run(statement->session->txn, statement_run, statement);
    mem_disown(MEM_SESSIONS, statement->reply.buf.data, statement->reply.buf.capacity);
}

void
txn_execute(struct session *session, struct kv_request *request)
{
    struct statement statement = {.session = session, .request = request};
    struct reply *reply = request->reply;
    struct arena *arena = request->arena;

    msg_call(home_of(session->txn), MSG_FIBER, home_run, &statement);
    mem_adopt(MEM_SESSIONS, statement.reply.buf.data, statement.reply.buf.capacity);
    request->reply = reply;
    request->arena = arena;
    if (statement.is_there) {
        buf_append(&reply->buf, statement.reply.buf.data, statement.reply.buf.size);
        reply->errors += statement.reply.errors;
    } else {
        reply_error(reply, "TXNABORTED the transaction has ended; ORBIT.ROLLBACK leaves it");
    }
    reply_fini(&statement.reply);
}

/* ---- Beginning ---- */

static bool
is_word(const struct kv_request *request, uint32_t at, const char *text)
{
    return at < request->argc && command_word_is(request->argv[at], text);
}

/* The transaction's time limits are the server's, unless it asks for lower ones. */
static void
limits_default(const struct session *session, struct txn_options *options, uint64_t *timeout_us)
{
    const struct config_values *values = config_values(session->net->config);

    options->lock_timeout_us = values->lock_timeout_us;
    options->statement_timeout_us = values->statement_timeout_us;
    options->idle_timeout_us = values->txn_idle_timeout_us;
    *timeout_us = values->txn_timeout_us;
}

/* A word with milliseconds behind it. False: it is none, or (is_failed) an error was replied. */
static bool
limit_parse(struct kv_request *request, uint32_t at, struct txn_options *options,
            uint64_t *timeout_us, bool *is_failed)
{
    const struct {
        const char *word;
        uint64_t *limit_us;
    } limits[] = {
        {"idletimeout", &options->idle_timeout_us},
        {"locktimeout", &options->lock_timeout_us},
        {"statementtimeout", &options->statement_timeout_us},
        {"timeout", timeout_us},
    };

    for (size_t i = 0; i < ARRAY_COUNT(limits) && at + 1 < request->argc; i++) {
        uint64_t most_ms = *limits[i].limit_us / 1000;
        int64_t ms;

        if (!is_word(request, at, limits[i].word)) {
            continue;
        }
        *is_failed = true;
        if (!reply_parse_int(request->argv[at + 1], &ms) || ms <= 0) {
            reply_error(request->reply, "ERR a timeout is a positive number of milliseconds");
        } else if (most_ms != 0 && (uint64_t)ms > most_ms) {
            reply_error(request->reply, "ERR the server allows at most %llu milliseconds",
                        (unsigned long long)most_ms);
        } else {
            *limits[i].limit_us = 1000 * MIN((uint64_t)ms, (uint64_t)TIMEOUT_MS_MAX);
            *is_failed = false;
        }
        return !*is_failed;
    }
    return false;
}

/* [SERIALIZABLE | REPEATABLE READ | READ COMMITTED] [READ ONLY | READ WRITE] and time limits. */
static bool
options_parse(struct kv_request *request, struct txn_options *options, uint64_t *timeout_us)
{
    bool is_failed = false;
    uint32_t at = 1;

    options->isolation = TXN_SERIALIZABLE;
    while (at < request->argc) {
        if (is_word(request, at, "serializable")) {
            at += 1;
        } else if (is_word(request, at, "repeatable") && is_word(request, at + 1, "read")) {
            options->isolation = TXN_REPEATABLE_READ;
            at += 2;
        } else if (is_word(request, at, "read") && is_word(request, at + 1, "committed")) {
            options->isolation = TXN_READ_COMMITTED;
            at += 2;
        } else if (is_word(request, at, "read") && is_word(request, at + 1, "only")) {
            options->read_only = true;
            at += 2;
        } else if (is_word(request, at, "read") && is_word(request, at + 1, "write")) {
            options->read_only = false;
            at += 2;
        } else if (limit_parse(request, at, options, timeout_us, &is_failed)) {
            at += 2;
        } else {
            if (!is_failed) {
                reply_error(request->reply, "ERR syntax error");
            }
            return false;
        }
    }
    return true;
}

static YIELDS bool
begin(struct session *session, struct kv_request *request, struct txn_options *options,
      uint64_t timeout_us)
{
    struct txn *txn;
    err_t err;

    if (session->multi != NULL || request->txn != NULL || session->txn != 0) {
        reply_error(request->reply, "ERR a transaction is open already");
        return false;
    }
    options->principal = slice_from_text(session->user);
    options->protocol = SLICE("resp");
    options->ends_by_itself = true;
    options->deadline_us = timeout_us == 0 ? 0 : shard_now_us() + timeout_us;
    err = txn_begin(options, &txn);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
        return false;
    }
    session->txn = txn_id(txn);
    return true;
}

static YIELDS void
run_begin(struct session *session, struct kv_request *request)
{
    struct txn_options options = {0};
    uint64_t timeout_us;

    limits_default(session, &options, &timeout_us);
    if (options_parse(request, &options, &timeout_us) &&
        begin(session, request, &options, timeout_us)) {
        reply_ok(request->reply);
    }
}

/* ---- Ending ---- */

static bool
has_txn(struct session *session, struct kv_request *request)
{
    if (session->txn == 0) {
        reply_error(request->reply, "ERR no transaction is open");
    }
    return session->txn != 0;
}

static YIELDS void
run_commit(struct session *session, struct kv_request *request)
{
    uint64_t id = session->txn;
    struct txn_done done = {0};
    err_t err;

    if (!has_txn(session, request)) {
        return;
    }
    session->txn = 0;
    session->is_as_of = false;
    err = txn_commit_id(id, &done);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
        return;
    }
    request->lsn = MAX(request->lsn, done.lsn);
    reply_ok(request->reply);
}

static YIELDS void
run_rollback(struct session *session, struct kv_request *request)
{
    uint64_t id = session->txn;

    if (!has_txn(session, request)) {
        return;
    }
    session->txn = 0;
    session->is_as_of = false;
    (void)txn_abort_id(id); /* If it has ended before, there is nothing to roll back. */
    reply_ok(request->reply);
}

/* ---- Hand-over ---- */

static YIELDS void
run_token(struct session *session, struct kv_request *request)
{
    char token[TXN_TOKEN_BYTES + 1];
    err_t err;

    if (!has_txn(session, request)) {
        return;
    }
    err = txn_token(session->txn, token);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
    } else {
        reply_bulk_text(request->reply, token);
    }
}

static YIELDS void
run_join(struct session *session, struct kv_request *request)
{
    uint64_t id;
    err_t err;

    if (session->multi != NULL || session->txn != 0) {
        reply_error(request->reply, "ERR a transaction is open already");
        return;
    }
    err = txn_join(request->argv[2], slice_from_text(session->user), &id);
    if (err != ERR_OK) {
        reply_err(request->reply, err);
        return;
    }
    session->txn = id;
    reply_ok(request->reply);
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

/* ---- The past ---- */

static YIELDS void
as_of_leave(struct session *session, struct kv_request *request)
{
    if (session->txn != 0 && !session->is_as_of) {
        reply_error(request->reply, "ERR a transaction is open already");
        return;
    }
    if (session->is_as_of) {
        run_rollback(session, request);
        return;
    }
    reply_ok(request->reply);
}

static YIELDS void
run_as_of(struct session *session, struct kv_request *request)
{
    struct txn_options options = {.isolation = TXN_REPEATABLE_READ, .read_only = true};
    int64_t time_us;

    if (is_word(request, 1, "latest")) {
        as_of_leave(session, request);
        return;
    }
    if (!reply_parse_int(request->argv[1], &time_us) || time_us <= 0 ||
        time_us >= INT64_MAX >> CLOCK_COUNTER_BITS) {
        reply_error(request->reply, "ERR the time is microseconds since 1970, or LATEST");
        return;
    }
    if (session->is_as_of) { /* From one time to another. */
        uint64_t id = session->txn;

        session->txn = 0;
        session->is_as_of = false;
        (void)txn_abort_id(id);
    }
    /* All commits of that microsecond are seen. */
    options.as_of = (uint64_t)time_us << CLOCK_COUNTER_BITS | ((1 << CLOCK_COUNTER_BITS) - 1);
    if (begin(session, request, &options, config_values(session->net->config)->txn_timeout_us)) {
        session->is_as_of = true;
        reply_ok(request->reply);
    }
}

const struct net_command net_commands_txn[] = {
    {"orbit.asof", run_as_of},      {"orbit.begin", run_begin},
    {"orbit.commit", run_commit},   {"orbit.rollback", run_rollback},
    {"orbit.txn|help", run_help},   {"orbit.txn|join", run_join},
    {"orbit.txn|token", run_token}, {NULL, NULL},
};
