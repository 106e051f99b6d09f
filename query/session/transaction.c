/* query/session/transaction.c - transactions of a session, and its savepoints. */
#include "query/session/internal.h"

#include <stdio.h>
#include <strings.h>

#include "engine/io/io.h"
#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/exec/foreign.h"
#include "query/parameter.h"
#include "txn/clock.h"
#include "txn/store.h"

#include "engine/base/poison.h"

/* ---- Transactions ---- */

static void
session_savepoints_drop(struct sql_session *session, uint32_t kept)
{
    while (session->savepoint_count > kept) {
        struct savepoint *savepoint = &session->savepoints[--session->savepoint_count];

        mem_free(MEM_SESSIONS, savepoint->name, strlen(savepoint->name) + 1);
        catalog_drop(&savepoint->catalog);
    }
}

/* The transaction is over, whatever became of it. */
void
session_forget(struct sql_session *session, bool has_committed)
{
    session_savepoints_drop(session, 0);
    catalog_drop(&session->own);
    foreign_session_clear(session->foreign);
    session->shared = 0;
    session->is_block = false;
    session->is_failed = false;
    session_portals_end(session, has_committed);
    parameters_transaction_end(session->parameters, has_committed);
}

err_t
session_begin(struct sql_session *session)
{
    struct txn_options options = {
        .isolation = parameters_isolation(session->parameters),
        .read_only = parameters_read_only(session->parameters),
        .principal = session_principal(session),
        .protocol = SLICE("postgres"),
        .lock_timeout_us = parameters_timeouts(session->parameters)->lock_us,
    };

    err_t err;

    if (session->txn != NULL) {
        return ERR_OK;
    }
    err = txn_begin(&options, &session->txn);
    if (err == ERR_OK) {
        txn_client_set(session->txn, session->client);
        session->transaction_us = (int64_t)io_wall_us();
    }
    return err;
}

void
session_rollback(struct sql_session *session)
{
    if (session->shared != 0) {
        (void)txn_abort_id(session->shared); /* It may have ended by itself. */
        session->txn = NULL;
    } else if (session->txn != NULL) {
        txn_abort(&session->txn);
    }
    session_forget(session, false);
}

static err_t
commit_finish(struct sql_session *session, err_t err, const struct txn_done *done)
{
    session_forget(session, err == ERR_OK);
    if (err == ERR_OK && done->ts != 0) {
        session->commit_us = done->ts >> CLOCK_COUNTER_BITS;
    }
    if (err == ERR_OK && done->lsn != 0 && store_durability(store_self()) == WAL_SYNC) {
        store_wait_durable(store_self(), done->lsn);
    }
    return err;
}

err_t
session_commit(struct sql_session *session)
{
    bool has_changed_catalog = session->own != NULL;
    struct txn_done done = {0};
    err_t err = ERR_OK;

    if (session->shared != 0) {
        err = txn_commit_id(session->shared, &done);
        if (err == ERR_NOT_FOUND) {
            err = sql_error("25000", "the transaction has been ended by another session, or by a "
                                     "limit");
        }
        return commit_finish(session, err, &done);
    }
    if (session->txn == NULL) {
        session_forget(session, true);
        return ERR_OK;
    }
    err = session_deferred_run(session);
    if (err == ERR_OK) {
        err = session_temporary_commit(session);
    }
    if (err == ERR_OK && has_changed_catalog) {
        err = catalog_version_put(session->own, session->txn);
    }
    if (has_changed_catalog) {
        relational_change_begin();
    }
    if (err == ERR_OK) {
        err = txn_commit(&session->txn, &done);
    } else {
        txn_abort(&session->txn);
    }
    if (has_changed_catalog) {
        relational_change_end();
    }
    return commit_finish(session, err, &done);
}

/* After an error: a block waits for ROLLBACK, a statement alone is undone. */
void
session_fail(struct sql_session *session)
{
    session_join_drop(session);
    if (session->shared != 0) {
        session->txn = NULL;
    }
    if (session->is_block) {
        session->is_failed = true;
    } else {
        session_rollback(session);
    }
}

/* ---- Savepoints ---- */

static uint32_t
savepoint_find(const struct sql_session *session, const char *name)
{
    for (uint32_t i = session->savepoint_count; i > 0; i--) {
        if (strcmp(session->savepoints[i - 1].name, name) == 0) {
            return i - 1;
        }
    }
    return UINT32_MAX;
}

static err_t
savepoint_make(struct sql_session *session, const char *name)
{
    struct savepoint *savepoint;
    size_t size = strlen(name) + 1;
    uint32_t number;
    err_t err;

    if (session->savepoint_count == SAVEPOINTS_MAX) {
        return sql_error("54000", "a transaction may have at most %d savepoints", SAVEPOINTS_MAX);
    }
    TRY(txn_savepoint(session->txn, &number));
    if (session->savepoint_count == session->savepoint_capacity) {
        uint32_t capacity = Max(8, session->savepoint_capacity * 2);

        session->savepoints = mem_realloc(MEM_SESSIONS, session->savepoints,
                                          session->savepoint_capacity * sizeof(*savepoint),
                                          capacity * sizeof(*savepoint));
        session->savepoint_capacity = capacity;
    }
    savepoint = &session->savepoints[session->savepoint_count++];
    *savepoint = (struct savepoint){.name = mem_alloc(MEM_SESSIONS, size),
                                    .number = number,
                                    .parameters = parameters_mark(session->parameters)};
    memcpy(savepoint->name, name, size);
    /* Changes after it go to another clone. */
    savepoint->foreign = foreign_session_mark(session->foreign);
    savepoint->catalog = session->own;
    savepoint->event = kv_events_kept(session->txn);
    session->own = savepoint->catalog != NULL ? catalog_clone(savepoint->catalog) : NULL;
out:
    return err;
}

static err_t
savepoint_missing(const char *name)
{
    return sql_error("3B001", "savepoint \"%s\" does not exist", name);
}

static err_t
savepoint_return(struct sql_session *session, const char *name)
{
    uint32_t at = savepoint_find(session, name);
    err_t err;

    if (at == UINT32_MAX) {
        return savepoint_missing(name);
    }
    TRY(txn_rollback_to(session->txn, session->savepoints[at].number));
    foreign_session_return(session->foreign, session->savepoints[at].foreign);
    session_portals_return(session, at);
    parameters_return(session->parameters, session->savepoints[at].parameters);
    session_savepoints_drop(session, at + 1);
    kv_events_cut(session->txn, session->savepoints[at].event);
    catalog_drop(&session->own);
    if (session->savepoints[at].catalog != NULL) {
        session->own = catalog_clone(session->savepoints[at].catalog);
    }
    session->is_failed = false;
out:
    return err;
}

static err_t
savepoint_release(struct sql_session *session, const char *name)
{
    uint32_t at = savepoint_find(session, name);

    if (at == UINT32_MAX) {
        return savepoint_missing(name);
    }
    session_savepoints_drop(session, at);
    session_portals_release(session, at);
    return ERR_OK;
}

/* ---- BEGIN, COMMIT, ... ---- */

void
session_warn(const struct sql_sink *sink, const char *sqlstate, const char *message)
{
    struct sql_report report = {0};

    (void)snprintf(report.sqlstate, sizeof(report.sqlstate), "%s", sqlstate);
    (void)snprintf(report.message, sizeof(report.message), "%s", message);
    sink->notice(sink->arg, "WARNING", &report);
}

/* Of a transaction that has its snapshot: only what it is already may be said again. */
static err_t
late_option(const struct sql_session *session, const char *name, const A_Const *value)
{
    bool is_isolation = strcmp(name, "transaction_isolation") == 0;
    const char *now = sql_session_parameter(session, name);
    const char *wanted = is_isolation                ? value->val.sval.sval
                         : value->val.ival.ival != 0 ? "on"
                                                     : "off";

    if (strcasecmp(now, wanted) == 0) {
        return ERR_OK;
    }
    if (is_isolation) {
        return sql_error("25001",
                         "SET TRANSACTION ISOLATION LEVEL must be called before any query");
    }
    return value->val.ival.ival != 0
               ? sql_error("0A000", "SET TRANSACTION READ ONLY after a query is not supported")
               : sql_error("25001", "transaction read-write mode must be set before any query");
}

err_t
session_transaction_options(struct sql_session *session, const List *options)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, options)
    {
        const DefElem *option = lfirst(cell);
        const A_Const *value = (const A_Const *)option->arg;

        if (session->txn != NULL && strcmp(option->defname, "transaction_deferrable") != 0) {
            err = late_option(session, option->defname, value);
        } else if (strcmp(option->defname, "transaction_isolation") == 0) {
            err = parameters_set_local(session->parameters, option->defname, value->val.sval.sval);
        } else if (strcmp(option->defname, "transaction_read_only") == 0) {
            err = parameters_set_local(session->parameters, option->defname,
                                       value->val.ival.ival != 0 ? "on" : "off");
        } else if (strcmp(option->defname, "transaction_deferrable") != 0) {
            err = sql_error("0A000", "the transaction option \"%s\" is not supported",
                            option->defname);
        }
        if (err != ERR_OK) {
            break;
        }
    }
    return err;
}

static err_t
begin(struct sql_session *session, const TransactionStmt *node, const struct sql_sink *sink)
{
    err_t err;

    if (session->is_block) {
        session_warn(sink, "25001", "there is already a transaction in progress");
        return ERR_OK;
    }
    err = session_transaction_options(session, node->options);
    session->is_block = err == ERR_OK;
    return err;
}

static err_t
end(struct sql_session *session, const TransactionStmt *node, const struct sql_sink *sink,
    const char **tag_out)
{
    bool commits = node->kind == TRANS_STMT_COMMIT && !session->is_failed;
    bool was_block = session->is_block;
    err_t err = ERR_OK;

    *tag_out = commits ? "COMMIT" : "ROLLBACK";
    if (!was_block) {
        session_warn(sink, "25P01", "there is no transaction in progress");
    }
    if (commits) {
        err = session_commit(session);
    } else {
        session_rollback(session);
    }
    session->is_block = err == ERR_OK && was_block && node->chain;
    return err;
}

static err_t
block_needed(const struct sql_session *session, const char *what)
{
    return session->is_block
               ? ERR_OK
               : sql_error("25P01", "%s can only be used in transaction blocks", what);
}

err_t
session_transaction_run(struct sql_session *session, const TransactionStmt *node,
                        const struct sql_sink *sink, const char **tag_out)
{
    err_t err;

    switch (node->kind) {
    case TRANS_STMT_BEGIN:
    case TRANS_STMT_START:
        *tag_out = node->kind == TRANS_STMT_BEGIN ? "BEGIN" : "START TRANSACTION";
        return begin(session, node, sink);
    case TRANS_STMT_COMMIT:
    case TRANS_STMT_ROLLBACK:
        return end(session, node, sink, tag_out);
    case TRANS_STMT_SAVEPOINT:
        *tag_out = "SAVEPOINT";
        TRY(block_needed(session, "SAVEPOINT"));
        TRY(session_begin(session));
        return savepoint_make(session, node->savepoint_name);
    case TRANS_STMT_RELEASE:
        *tag_out = "RELEASE";
        TRY(block_needed(session, "RELEASE SAVEPOINT"));
        return savepoint_release(session, node->savepoint_name);
    case TRANS_STMT_ROLLBACK_TO:
        *tag_out = "ROLLBACK";
        TRY(block_needed(session, "ROLLBACK TO SAVEPOINT"));
        return savepoint_return(session, node->savepoint_name);
    default:
        return sql_error("0A000", "two-phase commit is not supported");
    }
out:
    return err;
}
