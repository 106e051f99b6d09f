/* query/session/internal.h - what the files of sessions share. */
#pragma once

#include "engine/base/list.h"
#include "models/kv/notify.h"
#include "query/bind/bind.h"
#include "query/catalog/system.h"
#include "query/exec/exec.h"
#include "query/exec/spool.h"
#include "query/parse/nodes.h"
#include "query/session.h"

/* A plan is made anew after so long: what it was chosen by, the sizes of tables, changes. */
enum { PLAN_US_MAX = 10 * 1000 * 1000 };
enum { STATEMENT_RUNS_MAX = 64, SAVEPOINTS_MAX = 4096, TAG_BYTES_MAX = 64 };

struct savepoint {
    char *name;
    uint32_t number;
    struct catalog *catalog; /* Held; NULL: the transaction had not changed it. */
    uint32_t parameters;     /* parameters_mark */
    struct kv_event *event;  /* The last one before it; NULL: there was none. */
    uint32_t foreign;        /* foreign_session_mark */
};

struct sql_session {
    struct parameters *parameters;
    struct session_sequences *sequences;
    struct foreign_session *foreign;
    struct spill_budget budget;
    bool has_temporary; /* A schema of its own. */
    bool has_parts;     /* sql_session_parts_note, of the statement that runs. */
    struct txn *txn;
    /* A transaction that other sessions drive, too (0: none): `txn` is set while a statement of
     * this one runs, and the transaction may end in between. */
    uint64_t shared;
    bool is_in_shared;   /* A statement of it runs, */
    bool is_guest;       /* and the transaction is of who runs it. */
    uint64_t joining;    /* Of orbit.txn_join: shared when the statement has ended. */
    uint64_t commit_us;  /* Of the last commit that wrote something; 0: none yet. */
    bool is_block;       /* BEGIN was said. */
    bool is_failed;      /* Only ROLLBACK is heard. */
    struct catalog *own; /* The transaction's, with its changes; NULL: none. */
    struct savepoint *savepoints;
    uint32_t savepoint_count, savepoint_capacity;
    bool is_running;
    bool is_cancelled;
    bool is_timed_out; /* is_cancelled by statement_timeout. */
    uint64_t client;
    const char *copy_folder;  /* NULL: COPY has no files. */
    sql_guard guard;          /* NULL: redis.call may do everything. */
    struct statement_env env; /* Of the statement that runs; otherwise without a catalog. */
    struct catalog_names names;
    int64_t transaction_us;
    struct arena arena; /* Of the statement. */
    struct list statements, portals;
    uint32_t statement_count, portal_count;
    /* What the plans of its prepared statements were made by: with another one all of them go. */
    uint64_t plans_catalog, plans_parameters;
    bool plans_temporary; /* has_temporary */
};

/* A statement that is bound and, from its first run on, planned. Immutable then; it holds the
 * catalog that it was bound by. */
struct session_plan {
    uint32_t references;
    struct arena arena;
    struct catalog *catalog;
    struct statement statement;
    struct plan *plan; /* NULL: not planned yet. */
    int64_t planned_us;
    uint32_t column_count;
    struct sql_column *columns; /* Of its result. */
};

struct sql_prepared {
    struct list link; /* Of the session; NULL in it: it was dropped, and a portal has it. */
    struct sql_session *session;
    uint32_t references;
    char *name, *text;
    oid_t *types;
    uint32_t type_count;
    struct arena arena;
    struct catalog *catalog; /* Held: its types are among those of parameters and columns. */
    uint32_t param_count, column_count;
    const struct type **param_types;
    struct sql_column *columns;
    int64_t prepared_us;
    uint64_t runs;
    bool is_empty, is_from_sql;
    bool is_query;             /* SELECT, VALUES, INSERT, UPDATE, DELETE: it is planned. */
    struct session_plan *plan; /* NULL: none that is still good. */
};

struct sql_portal {
    struct list link;
    char *name;
    struct sql_prepared *prepared; /* Held; NULL: of a cursor. */
    struct slice text;             /* Of a cursor's DECLARE. */
    struct arena arena;
    const struct datum *params;
    const uint8_t *nulls;
    uint32_t param_count;
    const uint16_t *formats;
    uint32_t format_count;
    uint32_t savepoints; /* There were when it was made. */
    int64_t created_us;
    bool is_cursor, is_binary, is_holdable, is_forward_only;
    bool is_held; /* Its transaction has committed. */
    bool has_run;
    struct sql_column *columns;
    uint32_t column_count;
    struct plan_column *row_columns;
    struct spool rows; /* When its rows are taken in parts. */
    struct spool_reader reader;
    uint64_t at; /* 0: before the first; rows.count + 1: behind the last. */
    char tag[TAG_BYTES_MAX];
};

/* What one statement is run with. */
struct session_run {
    struct sql_session *session;
    struct sql_prepared *prepared; /* A query: it stands for the parse tree. NULL: none. */
    const struct sql_sink *sink;
    const char *text;
    const oid_t *types;
    uint32_t type_count;
    const struct datum *params;
    const uint8_t *nulls;
    uint32_t param_count;
    struct catalog *catalog;
    int32_t position;             /* Of an error, in bytes; -1: none. */
    uint32_t position_characters; /* Or in characters, from 1; 0: none. */
    char tag[TAG_BYTES_MAX];
    uint64_t rows;
    struct sql_column *columns; /* Of its result. */
    uint32_t column_count;
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
/* The statement's part of the text, copied. */
char *session_raw_text(const struct session_run *run, const RawStmt *raw, struct arena *arena);
/* 25P02 */
err_t session_failed(void);
/* Characters before a place that is given in bytes. */
uint32_t session_position(const char *text, int32_t bytes);

/* One statement; completes it. raw NULL: run->prepared. */
YIELDS err_t session_statement_run(struct session_run *run, const RawStmt *raw);
/* A query in the transaction that is open or opened, without its end. */
YIELDS err_t session_query_run(struct session_run *run, const RawStmt *raw);
/* What expressions of a statement are evaluated in: transaction, snapshot, catalog (held: the
 * caller drops it) and env; the session's arena is emptied. */
YIELDS err_t session_statement_begin(struct session_run *run);

/* ---- prepared.c ---- */

struct sql_prepared *session_prepared_hold(struct sql_prepared *prepared);
void session_prepared_release(struct sql_prepared *prepared); /* Accepts NULL. */
void session_prepared_drop_all(struct sql_session *session);
YIELDS err_t session_prepare_run(struct session_run *run, const PrepareStmt *node,
                                 const RawStmt *raw);
/* Runs the statement, and completes it. */
YIELDS err_t session_execute_run(struct session_run *run, const ExecuteStmt *node);
err_t session_deallocate_run(struct sql_session *session, const DeallocateStmt *node,
                             const char **tag_out);
/* ---- planned.c ---- */

/* What the statement that runs is, bound and planned: kept from an earlier run of the prepared
 * statement, or made now. The caller releases it. 0A000 when it gives other columns than when it
 * was prepared. */
err_t session_plan_get(struct session_run *run, struct session_plan **plan_out);
/* A new one of this catalog, which it holds; not bound yet. */
struct session_plan *session_plan_new(struct catalog *catalog);
err_t session_plan_bind(struct sql_session *session, struct session_plan *plan,
                        const struct bind_options *options, const Node *node,
                        int32_t *position_out);
void session_plan_release(struct session_plan **plan); /* Accepts NULL in it. */
/* Are plans that were made earlier still good with this catalog? Otherwise they are dropped. */
bool session_plans_are_good(struct sql_session *session, const struct catalog *catalog);

/* Runs a prepared statement with these parameters; completes it. */
YIELDS err_t session_prepared_run(struct sql_session *session, struct sql_prepared *prepared,
                                  const struct datum *params, const uint8_t *nulls,
                                  uint32_t param_count, const struct sql_sink *sink, bool is_last);

/* ---- explain.c ---- */

void session_explain_column(const ExplainStmt *node, struct sql_column *column);
YIELDS err_t session_explain_run(struct session_run *run, const ExplainStmt *node);

/* ---- maintain.c ---- */

/* VACUUM, ANALYZE. */
YIELDS err_t session_vacuum_run(struct session_run *run, const VacuumStmt *node);

/* ---- portal.c ---- */

YIELDS err_t session_declare_run(struct session_run *run, const DeclareCursorStmt *node,
                                 const RawStmt *raw);
YIELDS err_t session_fetch_run(struct session_run *run, const FetchStmt *node);
err_t session_close_run(struct sql_session *session, const ClosePortalStmt *node,
                        const char **tag_out);
/* The transaction has ended: those of it end, or are held if it has committed. */
void session_portals_end(struct sql_session *session, bool has_committed);
/* Those made after so many savepoints end. */
void session_portals_return(struct sql_session *session, uint32_t savepoints);
/* Savepoints beyond so many are gone: what was made after them is as if made before. */
void session_portals_release(struct sql_session *session, uint32_t savepoints);
void session_portals_drop_all(struct sql_session *session);
char *session_name_copy(const char *name);
void session_name_free(char *name);

/* ---- temporary.c ---- */

/* The parameter, with the session's temporary schema in front once it has one. In the arena of the
 * statement. */
const char *session_search_path(struct sql_session *session);
/* After a definition: has it made the schema? */
void session_temporary_note(struct sql_session *session);
/* ON COMMIT DELETE ROWS and DROP. */
YIELDS err_t session_temporary_commit(struct sql_session *session);
/* The session ends: all of it goes. */
YIELDS void session_temporary_end(struct sql_session *session);

/* ---- deferred.c ---- */

/* What was deferred to the transaction's end. */
YIELDS err_t session_deferred_run(struct sql_session *session);
YIELDS err_t session_constraints_run(struct sql_session *session, const ConstraintsSetStmt *node);

/* ---- transaction.c ---- */

/* Opens the transaction that statements run in, if there is none. */
YIELDS err_t session_begin(struct sql_session *session);
YIELDS void session_rollback(struct sql_session *session);
YIELDS err_t session_commit(struct sql_session *session);
/* After an error: a block waits for ROLLBACK, a statement alone is undone. */
YIELDS void session_fail(struct sql_session *session);
/* The transaction is over. */
void session_forget(struct sql_session *session, bool has_committed);
/* BEGIN, COMMIT, SAVEPOINT and their like. */
YIELDS err_t session_transaction_run(struct sql_session *session, const TransactionStmt *node,
                                     const struct sql_sink *sink, const char **tag_out);
void session_warn(const struct sql_sink *sink, const char *sqlstate, const char *message);
/* ISOLATION LEVEL, READ ONLY: before the first query of the transaction. */
err_t session_transaction_options(struct sql_session *session, const List *options);

/* ---- share.c ---- */

/* Who the session is beyond SQL: the first role, orbit, and the first user of Redis, default, are
 * one. */
struct slice session_principal(const struct sql_session *session);
/* Runs the statement as one of the transaction that the session shares. */
YIELDS err_t session_shared_run(struct session_run *run, const RawStmt *raw);
/* Its statement has failed: it is as if nothing had been joined. */
YIELDS void session_join_drop(struct sql_session *session);
/* What orbit.txn_join asked for, once its statement has ended. */
YIELDS err_t session_join_finish(struct sql_session *session);

/* ---- set.c ---- */

err_t session_discard_run(struct sql_session *session, const DiscardStmt *node,
                          const char **tag_out);
YIELDS err_t session_set_run(struct sql_session *session, const VariableSetStmt *node,
                             const struct sql_sink *sink);
enum { SESSION_SHOW_COLUMNS = 3 };
/* What it gives; names are borrowed from the node. */
uint32_t session_show_columns(const VariableShowStmt *node,
                              struct sql_column columns[SESSION_SHOW_COLUMNS]);
YIELDS err_t session_show_run(struct sql_session *session, const VariableShowStmt *node,
                              const struct sql_sink *sink);
