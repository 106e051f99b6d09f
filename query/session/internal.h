/* query/session/internal.h - what the files of sessions share. */
#pragma once

#include "models/kv/notify.h"
#include "query/catalog/system.h"
#include "query/exec/exec.h"
#include "query/parse/nodes.h"
#include "query/session.h"

enum { SQL_EVENT_BYTES_MAX = 16 << 20 }; /* Keyspace events of a transaction. */
enum { STATEMENT_RUNS_MAX = 64, SAVEPOINTS_MAX = 4096, TAG_BYTES_MAX = 64 };

struct savepoint {
    char *name;
    uint32_t number;
    struct catalog *catalog; /* Held; NULL: the transaction had not changed it. */
    struct kv_event *event;  /* The last one before it; NULL: there was none. */
};

struct sql_session {
    struct parameters *parameters;
    struct txn *txn;
    bool is_block;       /* BEGIN was said. */
    bool is_failed;      /* Only ROLLBACK is heard. */
    struct catalog *own; /* The transaction's, with its changes; NULL: none. */
    struct savepoint *savepoints;
    uint32_t savepoint_count, savepoint_capacity;
    bool is_running;
    bool is_cancelled;
    uint64_t client;
    const char *copy_folder;  /* NULL: COPY has no files. */
    struct statement_env env; /* Of the statement that runs; otherwise without a catalog. */
    struct catalog_names names;
    int64_t transaction_us;
    struct arena arena; /* Of the statement. */
    /* Keyspace events of commands of Redis: published with the commit. */
    struct kv_events events;
    struct arena events_arena;
    size_t event_bytes;
};

struct sql_prepared {
    struct sql_session *session;
    char *text;
    oid_t *types;
    uint32_t type_count;
    struct arena arena;
    uint32_t param_count, column_count;
    const struct type **param_types;
    struct sql_column *columns;
};

/* What one statement is run with. */
struct session_run {
    struct sql_session *session;
    const struct sql_sink *sink;
    const char *text;
    const oid_t *types;
    uint32_t type_count;
    const struct datum *params;
    const uint8_t *nulls;
    uint32_t param_count;
    struct catalog *catalog;
    int32_t position;
    char tag[TAG_BYTES_MAX];
    uint64_t rows;
    bool is_described; /* Rows may have been sent: it cannot run again. */
    bool is_last;      /* Outside of a block it is committed before its end is told. */
};

/* ---- session.c ---- */

/* What functions may ask of the session, as a statement begins; its catalog goes with the
 * statement. */
void session_env_set(struct sql_session *session, const struct catalog *catalog);
/* A statement runs, and can be cancelled. */
void session_run_begin(struct sql_session *session);
err_t session_run_end(struct sql_session *session, err_t err);
/* Columns of what the statement gives. */
void session_columns(const struct statement *statement, struct arena *arena,
                     struct sql_column **columns_out, uint32_t *count_out);
/* The statements of a text. commits: the last one's transaction, outside of a block. */
YIELDS err_t session_statements_run(struct session_run *run, const List *statements, bool commits);
/* Not too long, and UTF-8? */
err_t session_text_check(const char *text);
/* Characters before a place that is given in bytes. */
uint32_t session_position(const char *text, int32_t bytes);

/* ---- transaction.c ---- */

/* Opens the transaction that statements run in, if there is none. */
YIELDS err_t session_begin(struct sql_session *session);
YIELDS void session_rollback(struct sql_session *session);
YIELDS err_t session_commit(struct sql_session *session);
/* After an error: a block waits for ROLLBACK, a statement alone is undone. */
YIELDS void session_fail(struct sql_session *session);
/* The transaction is over, whatever became of it. */
void session_forget(struct sql_session *session);
/* BEGIN, COMMIT, SAVEPOINT and their like. */
YIELDS err_t session_transaction_run(struct sql_session *session, const TransactionStmt *node,
                                     const struct sql_sink *sink, const char **tag_out);
/* ISOLATION LEVEL, READ ONLY. */
err_t session_transaction_options(struct sql_session *session, const List *options);

/* ---- redis.c: keyspace events of the transaction ---- */

/* Keeps those up to this one; NULL: none. */
void session_events_cut(struct sql_session *session, struct kv_event *last);
void session_events_drop(struct sql_session *session);
/* It is committed; lsn: as of txn_done. */
YIELDS void session_events_publish(struct sql_session *session, lsn_t lsn);

/* ---- set.c ---- */

YIELDS err_t session_set_run(struct sql_session *session, const VariableSetStmt *node);
YIELDS err_t session_show_run(struct sql_session *session, const VariableShowStmt *node,
                              const struct sql_sink *sink);
