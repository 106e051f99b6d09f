/* query/session.c - statements of a session, one after the other, and its transactions. */
#include "query/session.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/bind/bind.h"
#include "query/exec/exec.h"
#include "query/exec/utility.h"
#include "query/parameter.h"
#include "query/parse/nodes.h"
#include "query/parse/parse.h"
#include "txn/store.h"

#include "engine/base/poison.h"

enum { STATEMENT_RUNS_MAX = 64, SAVEPOINTS_MAX = 4096, TAG_BYTES_MAX = 64 };

struct savepoint {
    char *name;
    uint32_t number;
    struct catalog *catalog; /* Held; NULL: the transaction had not changed it. */
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
    struct statement_env env; /* Of the statement that runs. */
    int64_t transaction_us;
    struct arena arena; /* Of the statement. */
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

/* ---- Sessions ---- */

struct sql_session *
sql_session_new(struct slice user, uint64_t client)
{
    struct sql_session *session = MEM_NEW(MEM_SESSIONS, struct sql_session);

    session->parameters = parameters_new();
    arena_init(&session->arena, MEM_SESSIONS);
    parameters_fix(session->parameters, "session_authorization", user);
    session->client = client;
    return session;
}

static void
savepoints_drop(struct sql_session *session, uint32_t kept)
{
    while (session->savepoint_count > kept) {
        struct savepoint *savepoint = &session->savepoints[--session->savepoint_count];

        mem_free(MEM_SESSIONS, savepoint->name, strlen(savepoint->name) + 1);
        catalog_drop(&savepoint->catalog);
    }
}

/* The transaction is over, whatever became of it. */
static void
transaction_forget(struct sql_session *session)
{
    savepoints_drop(session, 0);
    catalog_drop(&session->own);
    session->is_block = false;
    session->is_failed = false;
    parameters_transaction_end(session->parameters);
}

void
sql_session_free(struct sql_session **session)
{
    struct sql_session *freed = *session;

    *session = NULL;
    if (freed == NULL) {
        return;
    }
    if (freed->txn != NULL) {
        txn_abort(&freed->txn);
    }
    transaction_forget(freed);
    mem_free(MEM_SESSIONS, freed->savepoints,
             freed->savepoint_capacity * sizeof(*freed->savepoints));
    parameters_free(&freed->parameters);
    arena_fini(&freed->arena);
    MEM_FREE(MEM_SESSIONS, freed);
}

enum sql_state
sql_session_state(const struct sql_session *session)
{
    return session->is_failed ? SQL_FAILED : session->is_block ? SQL_IN_TRANSACTION : SQL_IDLE;
}

const struct type_settings *
sql_session_settings(const struct sql_session *session)
{
    return parameters_settings(session->parameters);
}

const char *
sql_session_parameter(const struct sql_session *session, const char *name)
{
    return parameters_get(session->parameters, name);
}

err_t
sql_session_set(struct sql_session *session, const char *name, const char *value)
{
    return parameters_set(session->parameters, name, value);
}

void
sql_session_cancel(struct sql_session *session)
{
    session->is_cancelled = session->is_running;
}

static void
waits_cancel(void *arg)
{
    const uint64_t *client = arg;

    txn_waits_cancel(*client);
}

bool
sql_session_cancel_waits(struct sql_session *session)
{
    uint64_t client = session->client;

    if (!session->is_running || !session->is_cancelled) {
        return false;
    }
    msg_call_all(MSG_INLINE, waits_cancel, &client, 0);
    return true;
}

/* A statement runs, and can be cancelled. */
static void
run_begin(struct sql_session *session)
{
    session->is_running = true;
    session->is_cancelled = false;
}

static err_t
run_end(struct sql_session *session, err_t err)
{
    session->is_running = false;
    return err == ERR_CANCELED && session->is_cancelled
               ? sql_error("57014", "canceling statement due to user request")
               : err;
}

/* ---- Transactions ---- */

static err_t
transaction_begin(struct sql_session *session)
{
    struct txn_options options = {
        .isolation = parameters_isolation(session->parameters),
        .read_only = parameters_read_only(session->parameters),
        .protocol = SLICE("postgres"),
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

static void
transaction_rollback(struct sql_session *session)
{
    if (session->txn != NULL) {
        txn_abort(&session->txn);
    }
    transaction_forget(session);
}

static err_t
transaction_commit(struct sql_session *session)
{
    bool has_changed_catalog = session->own != NULL;
    struct txn_done done = {0};
    err_t err = ERR_OK;

    if (session->txn == NULL) {
        transaction_forget(session);
        return ERR_OK;
    }
    if (has_changed_catalog) {
        err = catalog_version_put(session->own, session->txn);
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
    transaction_forget(session);
    if (err == ERR_OK && done.lsn != 0 && store_durability(store_self()) == WAL_SYNC) {
        store_wait_durable(store_self(), done.lsn);
    }
    return err;
}

/* After an error: a block waits for ROLLBACK, a statement alone is undone. */
static void
transaction_fail(struct sql_session *session)
{
    if (session->is_block) {
        session->is_failed = true;
    } else {
        transaction_rollback(session);
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
    *savepoint = (struct savepoint){.name = mem_alloc(MEM_SESSIONS, size), .number = number};
    memcpy(savepoint->name, name, size);
    /* Changes after it go to another clone. */
    savepoint->catalog = session->own;
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
    savepoints_drop(session, at + 1);
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
    savepoints_drop(session, at);
    return ERR_OK;
}

/* ---- BEGIN, COMMIT, ... ---- */

static void
warn(const struct sql_sink *sink, const char *sqlstate, const char *message)
{
    sink->notice(sink->arg, "WARNING", sqlstate, message);
}

static err_t
begin_options(struct sql_session *session, const List *options)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, options)
    {
        const DefElem *option = lfirst(cell);
        const A_Const *value = (const A_Const *)option->arg;

        if (strcmp(option->defname, "transaction_isolation") == 0) {
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
        warn(sink, "25001", "there is already a transaction in progress");
        return ERR_OK;
    }
    err = begin_options(session, node->options);
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
        warn(sink, "25P01", "there is no transaction in progress");
    }
    if (commits) {
        err = transaction_commit(session);
    } else {
        transaction_rollback(session);
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

static err_t
transaction_run(struct sql_session *session, const TransactionStmt *node,
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
        TRY(transaction_begin(session));
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

/* ---- SET, SHOW ---- */

static err_t
set_value(const VariableSetStmt *node, struct arena *arena, char **value_out)
{
    const ListCell *cell;
    char *value = NULL;

    foreach(cell, node->args)
    {
        const A_Const *argument = lfirst(cell);
        char *part;

        if (!IsA(argument, A_Const)) {
            return sql_error("0A000", "this form of SET is not supported yet");
        }
        switch (nodeTag(&argument->val.node)) {
        case T_Integer:
            part = arena_printf(arena, "%d", argument->val.ival.ival);
            break;
        case T_Float:
            part = arena_printf(arena, "%s", argument->val.fval.fval);
            break;
        case T_Boolean:
            part = arena_printf(arena, "%s", argument->val.boolval.boolval ? "on" : "off");
            break;
        default:
            part = arena_printf(arena, "%s", argument->val.sval.sval);
            break;
        }
        value = value == NULL ? part : arena_printf(arena, "%s, %s", value, part);
    }
    *value_out = value;
    return ERR_OK;
}

static err_t
set_multi(struct sql_session *session, const VariableSetStmt *node)
{
    if (strcmp(node->name, "TRANSACTION") == 0) {
        return begin_options(session, node->args);
    }
    if (strcmp(node->name, "SESSION CHARACTERISTICS") == 0) {
        const ListCell *cell;
        err_t err = ERR_OK;

        foreach(cell, node->args)
        {
            const DefElem *option = lfirst(cell);
            const A_Const *value = (const A_Const *)option->arg;
            char *name = arena_printf(&session->arena, "default_%s", option->defname);

            if (err == ERR_OK) {
                err = parameters_set(session->parameters, name,
                                     IsA(&value->val.node, String) ? value->val.sval.sval
                                     : value->val.ival.ival != 0   ? "on"
                                                                   : "off");
            }
        }
        return err;
    }
    return sql_error("0A000", "SET %s is not supported", node->name);
}

static err_t
set(struct sql_session *session, const VariableSetStmt *node)
{
    char *value = NULL;
    err_t err;

    switch (node->kind) {
    case VAR_SET_VALUE:
        TRY(set_value(node, &session->arena, &value));
        err = node->is_local ? parameters_set_local(session->parameters, node->name, value)
                             : parameters_set(session->parameters, node->name, value);
        break;
    case VAR_SET_DEFAULT:
    case VAR_RESET:
        err = parameters_reset(session->parameters, node->name);
        break;
    case VAR_RESET_ALL:
        parameters_reset_all(session->parameters);
        err = ERR_OK;
        break;
    case VAR_SET_MULTI:
        err = set_multi(session, node);
        break;
    default:
        err = sql_error("0A000", "this form of SET is not supported yet");
        break;
    }
out:
    return err;
}

static err_t
show(struct sql_session *session, const VariableShowStmt *node, const struct sql_sink *sink)
{
    const char *value = parameters_get(session->parameters, node->name);
    struct sql_column column = {
        .name = slice_from_text(node->name), .type = type_by_oid(OID_TEXT), .typmod = -1};
    struct datum datum;
    struct vector vector = {.values = &datum};
    struct batch batch = {.columns = &vector, .column_count = 1, .rows = 1};
    err_t err;

    if (value == NULL) {
        return sql_error("42704", "unrecognized configuration parameter \"%s\"", node->name);
    }
    datum = datum_bytes(slice_from_text(value));
    TRY(sink->describe(sink->arg, &column, 1));
    err = sink->rows(sink->arg, &batch);
out:
    return err;
}

/* ---- Queries and changes ---- */

/* What one statement is run with. */
struct run {
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

static void
columns_of(const struct target *targets, uint32_t count, struct arena *arena,
           struct sql_column **columns_out, uint32_t *count_out)
{
    struct sql_column *columns = arena_alloc(arena, (count + 1) * sizeof(*columns));
    uint32_t visible = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (!targets[i].is_junk) {
            columns[visible++] = (struct sql_column){
                .name = arena_copy(arena, targets[i].name),
                .type = targets[i].expr->type,
                .typmod = targets[i].expr->typmod,
            };
        }
    }
    *columns_out = columns;
    *count_out = visible;
}

static void
statement_columns(const struct statement *statement, struct arena *arena,
                  struct sql_column **columns_out, uint32_t *count_out)
{
    if (statement->kind == STATEMENT_SELECT) {
        columns_of(statement->query->targets, statement->query->target_count, arena, columns_out,
                   count_out);
    } else {
        columns_of(statement->returning, statement->returning_count, arena, columns_out, count_out);
    }
}

static err_t
run_sink(void *arg, const struct batch *batch)
{
    struct run *run = arg;

    return run->sink->rows(run->sink->arg, batch);
}

static err_t
select_run(struct run *run, struct exec *exec, const struct plan *plan)
{
    struct operator* operator= NULL;
    const struct batch *batch;
    err_t err;

    TRY(operator_open(exec, plan, &operator));
    for (err = operator_next(operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator, & batch)) {
        run->rows += batch->rows;
        TRY(run->sink->rows(run->sink->arg, batch));
    }
out:
    operator_close(&operator);
    return err;
}

static err_t
query_run(struct run *run, const struct statement *statement)
{
    struct sql_session *session = run->session;
    bool gives_rows = statement->kind == STATEMENT_SELECT || statement->returning_count > 0;
    struct sql_column *columns;
    struct plan *plan;
    struct exec exec;
    uint32_t count;
    err_t err;

    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), statement);
    exec.params = run->params;
    exec.param_nulls = run->nulls;
    exec.param_count = run->param_count;
    exec.is_cancelled = &session->is_cancelled;
    TRY(plan_statement((struct statement *)(uintptr_t)statement, &session->arena, &plan));
    if (gives_rows && !run->is_described) {
        statement_columns(statement, &session->arena, &columns, &count);
        TRY(run->sink->describe(run->sink->arg, columns, count));
        run->is_described = statement->kind == STATEMENT_SELECT;
    }
    run->rows = 0;
    err = statement->kind == STATEMENT_SELECT
              ? select_run(run, &exec, plan)
              : change_run(&exec, statement, plan, run_sink, run, &run->rows);
out:
    exec_fini(&exec);
    return err;
}

static void
query_tag(struct run *run, enum statement_kind kind)
{
    static const char *const formats[] = {
        [STATEMENT_SELECT] = "SELECT %llu",
        [STATEMENT_INSERT] = "INSERT 0 %llu",
        [STATEMENT_UPDATE] = "UPDATE %llu",
        [STATEMENT_DELETE] = "DELETE %llu",
    };

    (void)snprintf(run->tag, sizeof(run->tag), formats[kind], (unsigned long long)run->rows);
}

static err_t
definition_run(struct run *run, const RawStmt *raw)
{
    static const struct statement none = {0};
    struct sql_session *session = run->session;
    struct exec exec;
    struct utility utility = {.exec = &exec,
                              .tag = "",
                              .position = -1,
                              .search_path = sql_session_parameter(session, "search_path")};
    err_t err;

    if (session->own == NULL) {
        session->own = catalog_clone(run->catalog);
    }
    session->env.catalog = session->own;
    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), &none);
    exec.is_cancelled = &session->is_cancelled;
    utility.catalog = session->own;
    utility.text_start = raw->stmt_location;
    utility.text = slice_from_text(run->text + raw->stmt_location);
    if (raw->stmt_len > 0) {
        utility.text.size = (size_t)raw->stmt_len;
    }
    err = utility_run(&utility, raw->stmt);
    if (err == ERR_OK) {
        err = txn_flush(session->txn);
    }
    run->position = utility.position;
    if (err == ERR_OK && utility.notice.size > 0) {
        run->sink->notice(run->sink->arg, "NOTICE", "00000", (const char *)utility.notice.data);
    }
    (void)snprintf(run->tag, sizeof(run->tag), "%s", utility.tag);
    exec_fini(&exec);
    return err;
}

/* What functions may ask of the session, as the statement begins. */
static void
env_set(struct sql_session *session, const struct catalog *catalog)
{
    struct slice user = slice_from_text(sql_session_parameter(session, "session_authorization"));

    session->env = (struct statement_env){
        .catalog = session->own != NULL ? session->own : catalog,
        .txn = session->txn,
        .session = session,
        .user = user,
        .session_user = user,
        .database = SLICE("orbit"),
        .search_path = sql_session_parameter(session, "search_path"),
        .transaction_us = session->transaction_us,
        .statement_us = (int64_t)io_wall_us(),
    };
}

static err_t
bound_run(struct run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    struct statement statement;
    const struct bind_options options = {
        .catalog = session->own != NULL ? session->own : run->catalog,
        .arena = &session->arena,
        .settings = sql_session_settings(session),
        .param_count = run->type_count,
        .param_types = run->types,
        .search_path = sql_session_parameter(session, "search_path"),
    };
    err_t err;

    TRY(bind_statement(&options, raw->stmt, &statement, &run->position));
    if (statement.kind != STATEMENT_UTILITY) {
        TRY(query_run(run, &statement));
        query_tag(run, statement.kind);
        return ERR_OK;
    }
    if (utility_is_definition(raw->stmt)) {
        return definition_run(run, raw);
    }
    err = sql_error("0A000", "%s is not supported yet", utility_name(raw->stmt));
out:
    return err;
}

/* In the transaction that is open. Runs again when another transaction came between and no row has
 * gone out (READ COMMITTED, or a statement alone). */
static err_t
statement_attempt(struct run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    err_t err;

    arena_reset(&session->arena);
    run->position = -1;
    TRY(transaction_begin(session));
    TRY(txn_statement(session->txn, true));
    TRY(relational_catalog(&run->catalog));
    env_set(session, run->catalog);
    err = bound_run(run, raw);
    catalog_drop(&run->catalog);
out:
    return err;
}

static err_t
statement_in_transaction(struct run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    err_t err = statement_attempt(run, raw);

    for (uint32_t i = 0; i < STATEMENT_RUNS_MAX && !run->is_described &&
                         (err == ERR_SERIALIZATION || err == ERR_SNAPSHOT_TOO_OLD);
         i++) {
        bool keeps_locks = session->txn != NULL &&
                           txn_isolation_of(session->txn) == TXN_READ_COMMITTED &&
                           txn_statement_undo(session->txn) == ERR_OK;

        if (!keeps_locks && session->is_block) {
            break;
        }
        if (!keeps_locks) {
            transaction_rollback(session);
        }
        err = statement_attempt(run, raw);
    }
    return err;
}

/* ---- Statements ---- */

static bool
is_heard_when_failed(const Node *node)
{
    const TransactionStmt *transaction = (const TransactionStmt *)node;

    return IsA(node, TransactionStmt) &&
           (transaction->kind == TRANS_STMT_COMMIT || transaction->kind == TRANS_STMT_ROLLBACK ||
            transaction->kind == TRANS_STMT_ROLLBACK_TO);
}

static err_t
statement_run(struct run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    const char *tag = NULL;
    err_t err;

    run->is_described = false;
    if (session->is_failed && !is_heard_when_failed(raw->stmt)) {
        return sql_error("25P02", "current transaction is aborted, commands ignored until end of "
                                  "transaction block");
    }
    switch (nodeTag(raw->stmt)) {
    case T_TransactionStmt:
        err = transaction_run(session, (const TransactionStmt *)raw->stmt, run->sink, &tag);
        break;
    case T_VariableSetStmt:
        tag = ((const VariableSetStmt *)raw->stmt)->kind == VAR_RESET ? "RESET" : "SET";
        err = set(session, (const VariableSetStmt *)raw->stmt);
        break;
    case T_VariableShowStmt:
        tag = "SHOW";
        err = show(session, (const VariableShowStmt *)raw->stmt, run->sink);
        break;
    default:
        err = statement_in_transaction(run, raw);
        break;
    }
    if (err == ERR_OK && run->is_last && !session->is_block) {
        err = transaction_commit(session);
    }
    if (err == ERR_OK) {
        err = run->sink->complete(run->sink->arg, tag != NULL ? tag : run->tag);
    }
    return err;
}

static uint32_t
characters_before(const char *text, int32_t bytes)
{
    uint32_t count = 0;

    for (int32_t i = 0; i < bytes && text[i] != '\0'; i++) {
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    return count;
}

static err_t
statements_run(struct run *run, const List *statements, bool commits)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, statements)
    {
        run->is_last = commits && cell == list_tail(statements);
        err = statement_run(run, lfirst(cell));
        if (err != ERR_OK) {
            return err;
        }
    }
    return err;
}

static err_t
statement_check(const char *text)
{
    size_t size = strlen(text);

    return size <= STATEMENT_BYTES_MAX
               ? text_check(slice_of(text, size))
               : sql_error("54000", "a statement of %zu bytes exceeds max_statement_bytes (%d)",
                           size, STATEMENT_BYTES_MAX);
}

err_t
sql_execute(struct sql_session *session, const char *text, const struct sql_sink *sink,
            uint32_t *position_out)
{
    struct run run = {.session = session, .sink = sink, .text = text, .position = -1};
    struct parse parse = {0};
    err_t err;

    run_begin(session);
    *position_out = 0;
    TRY(statement_check(text));
    TRY(parse_open(text, &parse, position_out));
    if (parse.statements == NIL) {
        sink->empty(sink->arg);
    }
    err = statements_run(&run, parse.statements, true);
out:
    err = run_end(session, err);
    parse_close(&parse);
    if (err != ERR_OK) {
        if (run.position >= 0) {
            *position_out = characters_before(text, run.position) + 1;
        }
        transaction_fail(session);
    }
    return err;
}

err_t
sql_sync(struct sql_session *session)
{
    return session->is_block ? ERR_OK : transaction_commit(session);
}

/* ---- Prepared statements ---- */

void
sql_prepared_free(struct sql_prepared **prepared)
{
    struct sql_prepared *freed = *prepared;

    *prepared = NULL;
    if (freed != NULL) {
        mem_free(MEM_SESSIONS, freed->text, strlen(freed->text) + 1);
        arena_fini(&freed->arena);
        MEM_FREE(MEM_SESSIONS, freed);
    }
}

/* Binds the statement for its types alone. */
static err_t
prepared_describe(struct sql_prepared *prepared, const RawStmt *raw, int32_t *position_out)
{
    struct sql_session *session = prepared->session;
    struct catalog *catalog = NULL;
    struct statement statement;
    struct bind_options options = {
        .arena = &prepared->arena,
        .settings = sql_session_settings(session),
        .param_count = prepared->type_count,
        .param_types = prepared->types,
        .search_path = sql_session_parameter(session, "search_path"),
    };
    err_t err;

    TRY(relational_catalog(&catalog));
    options.catalog = session->own != NULL ? session->own : catalog;
    TRY(bind_statement(&options, raw->stmt, &statement, position_out));
    prepared->param_count = statement.param_count;
    prepared->param_types = statement.param_types;
    if (statement.kind == STATEMENT_UTILITY) {
        if (IsA(raw->stmt, VariableShowStmt)) {
            prepared->columns = arena_alloc(&prepared->arena, sizeof(*prepared->columns));
            prepared->columns[0] = (struct sql_column){
                .name = arena_copy(&prepared->arena,
                                   slice_from_text(((const VariableShowStmt *)raw->stmt)->name)),
                .type = type_by_oid(OID_TEXT),
                .typmod = -1};
            prepared->column_count = 1;
        }
    } else {
        statement_columns(&statement, &prepared->arena, &prepared->columns,
                          &prepared->column_count);
    }
out:
    catalog_drop(&catalog);
    return err;
}

static err_t
prepared_fill(struct sql_prepared *prepared, uint32_t *position_out)
{
    struct parse parse = {0};
    int32_t position = -1;
    err_t err;

    TRY(statement_check(prepared->text));
    TRY(parse_open(prepared->text, &parse, position_out));
    if (list_length(parse.statements) > 1) {
        err = sql_error("42601", "cannot insert multiple commands into a prepared statement");
        goto out;
    }
    if (parse.statements != NIL) {
        err = prepared_describe(prepared, linitial(parse.statements), &position);
        if (position >= 0) {
            *position_out = characters_before(prepared->text, position) + 1;
        }
    }
out:
    parse_close(&parse);
    return err;
}

err_t
sql_prepare(struct sql_session *session, const char *text, const oid_t *types, uint32_t type_count,
            struct sql_prepared **prepared_out, uint32_t *position_out)
{
    struct sql_prepared *prepared = MEM_NEW(MEM_SESSIONS, struct sql_prepared);
    size_t size = strlen(text) + 1;
    err_t err;

    *position_out = 0;
    prepared->session = session;
    prepared->text = mem_alloc(MEM_SESSIONS, size);
    memcpy(prepared->text, text, size);
    arena_init(&prepared->arena, MEM_SESSIONS);
    prepared->types = (oid_t *)(uintptr_t)arena_copy(&prepared->arena,
                                                     slice_of(types, type_count * sizeof(*types)))
                          .data;
    prepared->type_count = type_count;
    err = prepared_fill(prepared, position_out);
    if (err != ERR_OK) {
        transaction_fail(session);
        sql_prepared_free(&prepared);
        return err;
    }
    *prepared_out = prepared;
    return ERR_OK;
}

uint32_t
sql_prepared_params(const struct sql_prepared *prepared, const struct type *const **types)
{
    *types = prepared->param_types;
    return prepared->param_count;
}

uint32_t
sql_prepared_columns(const struct sql_prepared *prepared, const struct sql_column **columns)
{
    *columns = prepared->columns;
    return prepared->column_count;
}

err_t
sql_run(struct sql_session *session, struct sql_prepared *prepared, const struct datum *params,
        const uint8_t *nulls, uint32_t param_count, const struct sql_sink *sink)
{
    oid_t *types = mem_alloc(MEM_SESSIONS, (prepared->param_count + 1) * sizeof(*types));
    struct run run = {
        .session = session,
        .sink = sink,
        .text = prepared->text,
        .types = types,
        .type_count = prepared->param_count,
        .params = params,
        .nulls = nulls,
        .param_count = param_count,
        .position = -1,
    };
    struct parse parse = {0};
    uint32_t position;
    err_t err;

    run_begin(session);
    for (uint32_t i = 0; i < prepared->param_count; i++) {
        types[i] = prepared->param_types[i]->oid;
    }
    TRY(parse_open(prepared->text, &parse, &position));
    err = statements_run(&run, parse.statements, false);
out:
    err = run_end(session, err);
    parse_close(&parse);
    mem_free(MEM_SESSIONS, types, (prepared->param_count + 1) * sizeof(*types));
    if (err != ERR_OK) {
        transaction_fail(session);
    }
    return err;
}
