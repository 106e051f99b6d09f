/* query/session/share.c - a transaction that several sessions drive: orbit.txn_token and its like.
 *
 * The transaction is found by its id for each statement, as another session may have ended it; and
 * statements of several sessions take turns (txn_run). */
#include "query/session/internal.h"

#include "engine/rt/shard.h"
#include "models/types/sql_error.h"
#include "txn/clock.h"

#include "engine/base/poison.h"

_Static_assert(TXN_TOKEN_BYTES + 1 == 33, "sql_session_token");
enum { TXN_HOME_SHIFT = 48 };

struct slice
session_principal(const struct sql_session *session)
{
    struct slice user = slice_from_text(sql_session_parameter(session, "session_authorization"));

    return slice_equal(user, SLICE("orbit")) ? SLICE("default") : user;
}

static err_t
ended(struct sql_session *session)
{
    session->is_failed = true;
    (void)sql_error("25000", "the transaction has been ended by another session, or by a limit");
    return sql_hint("ROLLBACK leaves it.");
}

struct shared_step {
    struct session_run *run;
    const RawStmt *raw;
    err_t err;
};

/* Takes back what the failed statement has written: whoever commits later commits none of it.
 * False: that cannot be done for a statement of several parts. */
static YIELDS bool
take_back(struct sql_session *session, struct txn *txn)
{
    return !session->has_parts && txn_statement_undo(txn) == ERR_OK;
}

static YIELDS void
shared_step(struct txn *txn, void *arg)
{
    struct shared_step *step = arg;
    struct sql_session *session = step->run->session;

    session->txn = txn;
    session->is_in_shared = true;
    txn_client_set(txn, session->client);
    step->err = session_statement_run(step->run, step->raw);
    if (step->err == ERR_OK) { /* Who commits may be another session, which knows nothing of it. */
        step->err = session_deferred_run(session);
    }
    session->txn = NULL;
    session->is_in_shared = false;
    if (step->err != ERR_OK && !take_back(session, txn)) {
        txn_abort(&txn);
    }
}

err_t
session_shared_run(struct session_run *run, const RawStmt *raw)
{
    struct shared_step step = {.run = run, .raw = raw};

    return txn_run(run->session->shared, shared_step, &step) == ERR_OK ? step.err
                                                                       : ended(run->session);
}

err_t
sql_session_token(struct sql_session *session, char token_out[33])
{
    err_t err;

    if (!session->is_block) {
        return sql_error("25P01", "orbit.txn_token can only be used in transaction blocks");
    }
    if (session->own != NULL) {
        return sql_error("0A000", "a transaction with definitions cannot be shared");
    }
    TRY(session_deferred_run(session));
    TRY(txn_token(txn_id(session->txn), token_out));
    session->shared = txn_id(session->txn);
out:
    return err;
}

err_t
sql_session_join(struct sql_session *session, struct slice token)
{
    uint64_t id;
    err_t err;

    if (session->is_block || session->joining != 0) {
        return sql_error("25001", "a transaction is open already");
    }
    err = txn_join(token, session_principal(session), &id);
    if (err != ERR_OK) {
        return sql_error(err == ERR_DENIED ? "42501" : "22023", "%s", err_message(err));
    }
    if (id >> TXN_HOME_SHIFT != shard_id()) {
        txn_detach(id);
        (void)sql_error("0A000", "the transaction belongs to another shard of the server");
        return sql_hint("Connect again until the session is of shard %u, or join by Redis.",
                        (unsigned)(id >> TXN_HOME_SHIFT));
    }
    session->joining = id;
    return ERR_OK;
}

void
session_join_drop(struct sql_session *session)
{
    if (session->joining != 0) {
        txn_detach(session->joining);
        session->joining = 0;
    }
}

err_t
session_join_finish(struct sql_session *session)
{
    uint64_t id = session->joining;

    if (session->shared != 0 && !session->is_in_shared) {
        session->txn = NULL; /* Its token was given away: from now on it is found by its id. */
    }
    if (id == 0) {
        return ERR_OK;
    }
    session->joining = 0;
    session_rollback(session); /* The statement's own, which has done nothing else. */
    session->shared = id;
    session->is_block = true;
    return ERR_OK;
}

/* ---- Statements in a transaction of the caller's ---- */

struct slice
sql_user_of(struct slice redis_user)
{
    return slice_equal(redis_user, SLICE("default")) ? SLICE("orbit") : redis_user;
}

void
sql_session_within(struct sql_session *session, struct txn *txn)
{
    session->txn = txn;
    session->shared = txn_id(txn);
    session->is_in_shared = true;
    session->is_guest = true;
    session->is_block = true;
}

err_t
sql_session_without(struct sql_session *session, struct txn *txn, err_t err, bool *is_lost_out)
{
    if (err == ERR_OK) {
        err = session_deferred_run(session);
    }
    *is_lost_out = err != ERR_OK && !take_back(session, txn);
    session->txn = NULL;
    session->is_in_shared = false;
    session->is_guest = false;
    session_forget(session, false);
    return err;
}

uint64_t
sql_session_commit_us(const struct sql_session *session)
{
    return session->commit_us;
}
