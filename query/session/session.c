/* query/session/session.c - statements of a session, one after the other. */
#include "query/session/internal.h"

#include <stdio.h>

#include "engine/io/io.h"
#include "engine/rt/msg.h"
#include "models/relational/relational.h"
#include "models/relational/table_lock.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/bind/bind.h"
#include "query/copy/copy.h"
#include "query/exec/foreign.h"
#include "query/exec/utility.h"
#include "query/parameter.h"
#include "query/parse/parse.h"
#include "query/sequences.h"

#include "engine/base/poison.h"

/* ---- Sessions ---- */

struct sql_session *
sql_session_new(struct slice user, uint64_t client)
{
    struct sql_session *session = MEM_NEW(MEM_SESSIONS, struct sql_session);

    session->parameters = parameters_new(relational_zones());
    catalog_names_init(&session->names, &session->env);
    parameters_names_set(session->parameters, &session->names.names);
    session->sequences = session_sequences_new();
    session->foreign = foreign_session_new();
    arena_init(&session->arena, MEM_SESSIONS);
    parameters_fix(session->parameters, "session_authorization", user);
    session->client = client;
    list_init(&session->statements);
    list_init(&session->portals);
    return session;
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
    if (freed->shared != 0) {
        txn_detach(freed->shared);
    }
    session_forget(freed, false);
    session_temporary_end(freed);
    session_portals_drop_all(freed);
    session_prepared_drop_all(freed);
    mem_free(MEM_SESSIONS, freed->savepoints,
             freed->savepoint_capacity * sizeof(*freed->savepoints));
    parameters_free(&freed->parameters);
    session_sequences_free(&freed->sequences);
    foreign_session_free(&freed->foreign);
    arena_fini(&freed->arena);
    MEM_FREE(MEM_SESSIONS, freed);
}

uint32_t
sql_session_number(const struct sql_session *session)
{
    return (uint32_t)session->client;
}

enum sql_state
sql_session_state(const struct sql_session *session)
{
    return session->is_failed ? SQL_FAILED : session->is_block ? SQL_IN_TRANSACTION : SQL_IDLE;
}

struct session_sequences *
sql_session_sequences(struct sql_session *session)
{
    return session->sequences;
}

struct foreign_session *
sql_session_foreign(struct sql_session *session)
{
    return session->foreign;
}

void
sql_session_parts_note(struct sql_session *session)
{
    session->has_parts = true;
}

const struct type_settings *
sql_session_settings(const struct sql_session *session)
{
    return parameters_settings(session->parameters);
}

struct spill_budget *
sql_session_budget(struct sql_session *session)
{
    const struct sql_memory *memory = parameters_memory(session->parameters);

    session->budget.work_bytes = memory->work_bytes;
    session->budget.file_bytes_max = memory->file_bytes_max;
    return &session->budget;
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

err_t
sql_session_change(struct sql_session *session, const char *name, const char *value, bool is_local)
{
    struct parameters *parameters = session->parameters;

    if (value == NULL) {
        return is_local ? parameters_reset_local(parameters, name)
                        : parameters_reset(parameters, name);
    }
    return is_local ? parameters_set_local(parameters, name, value)
                    : parameters_set(parameters, name, value);
}

const char *
sql_session_reported(uint32_t index)
{
    /* Those that PostgreSQL reports, in its order. */
    static const char *const names[SESSION_REPORTED] = {
        "application_name",
        "client_encoding",
        "DateStyle",
        "default_transaction_read_only",
        "in_hot_standby",
        "integer_datetimes",
        "IntervalStyle",
        "is_superuser",
        "server_encoding",
        "server_version",
        "session_authorization",
        "standard_conforming_strings",
        "TimeZone",
    };

    return index < SESSION_REPORTED ? names[index] : NULL;
}

uint64_t
sql_session_parameters_version(const struct sql_session *session)
{
    return parameters_version(session->parameters);
}

void
sql_session_started(struct sql_session *session)
{
    parameters_started(session->parameters);
}

void
sql_session_copy_folder_set(struct sql_session *session, const char *folder)
{
    session->copy_folder = folder;
}

void
sql_session_guard_set(struct sql_session *session, sql_guard guard)
{
    session->guard = guard;
}

void
sql_session_cancel(struct sql_session *session)
{
    session->is_cancelled = session->is_running;
}

void
sql_session_time_out(struct sql_session *session)
{
    if (session->is_running && !session->is_cancelled) {
        session->is_cancelled = true;
        session->is_timed_out = true;
    }
}

const struct sql_timeouts *
sql_session_timeouts(const struct sql_session *session)
{
    return parameters_timeouts(session->parameters);
}

bool
sql_session_is_cancelled(const struct sql_session *session)
{
    return session->is_running && session->is_cancelled;
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
void
session_run_begin(struct sql_session *session)
{
    session->is_running = true;
    session->is_cancelled = false;
    session->is_timed_out = false;
}

err_t
session_run_end(struct sql_session *session, err_t err)
{
    struct sql_report report;
    bool is_canceled = err == ERR_CANCELED && session->is_cancelled;

    session->is_running = false;
    if (err == ERR_SQL && session->is_timed_out) {
        sql_report_get(err, &report);
        is_canceled = strcmp(report.sqlstate, "57014") == 0;
    }
    return !is_canceled ? err
           : session->is_timed_out
               ? sql_error("57014", "canceling statement due to statement timeout")
               : sql_error("57014", "canceling statement due to user request");
}

/* ---- Queries and changes ---- */

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

void
session_columns(const struct statement *statement, struct arena *arena,
                struct sql_column **columns_out, uint32_t *count_out)
{
    if (statement->is_copy) { /* Its rows are no result. */
        *count_out = 0;
    } else if (statement->kind == STATEMENT_SELECT) {
        columns_of(statement->query->targets, statement->query->target_count, arena, columns_out,
                   count_out);
    } else {
        columns_of(statement->returning, statement->returning_count, arena, columns_out, count_out);
    }
}

/* Before the first row, or at the end: until then the statement can run again, from the start. */
static err_t
columns_tell(struct session_run *run)
{
    if (run->is_described) {
        return ERR_OK;
    }
    run->is_described = true;
    return run->sink->describe(run->sink->arg, run->columns, run->column_count);
}

static err_t
run_sink(void *arg, const struct batch *batch)
{
    struct session_run *run = arg;
    err_t err = columns_tell(run);

    return err != ERR_OK ? err : run->sink->rows(run->sink->arg, batch);
}

static err_t
select_run(struct session_run *run, struct exec *exec, const struct plan *plan)
{
    struct operator* operator= NULL;
    const struct batch *batch;
    err_t err;

    TRY(operator_open(exec, plan, &operator));
    for (err = operator_next(operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator, & batch)) {
        run->rows += batch->rows;
        TRY(run_sink(run, batch));
    }
out:
    operator_close(&operator);
    return err;
}

static err_t
query_run(struct session_run *run, const struct statement *statement, const struct plan *plan)
{
    struct sql_session *session = run->session;
    struct exec exec;
    err_t err;

    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), statement);
    exec.params = run->params;
    exec.param_nulls = run->nulls;
    exec.param_count = run->param_count;
    exec.is_cancelled = &session->is_cancelled;
    run->rows = 0;
    err = statement->kind == STATEMENT_SELECT
              ? select_run(run, &exec, plan)
              : change_run(&exec, statement, plan, run_sink, run, &run->rows);
    if (err == ERR_OK) {
        err = ctes_finish(&exec, statement);
    }
    if (err == ERR_OK && (statement->kind == STATEMENT_SELECT || statement->returning_count > 0)) {
        err = columns_tell(run);
    }
    if (err == ERR_OK && exec.events != NULL && !foreign_events_are_none(exec.events)) {
        run->is_described = true; /* Its rows are out: it cannot run again. */
        err = foreign_run(&exec, exec.events);
    }
    exec_fini(&exec);
    return err;
}

static err_t
copy_run(struct session_run *run, const struct statement *statement, const CopyStmt *node)
{
    struct sql_session *session = run->session;
    struct plan *plan;
    struct exec exec;
    struct copy copy = {
        .exec = &exec,
        .statement = statement,
        .node = node,
        .sink = run->sink,
        .folder = session->copy_folder,
        .position = -1,
    };
    err_t err;

    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), statement);
    exec.is_cancelled = &session->is_cancelled;
    TRY(plan_statement((struct statement *)(uintptr_t)statement, &session->arena, &plan));
    copy.plan = plan;
    run->is_described = true; /* The client cannot send it again. */
    err = node->is_from ? copy_in_run(&copy) : copy_out_run(&copy);
    run->position = copy.position;
    run->rows = copy.rows;
    (void)snprintf(run->tag, sizeof(run->tag), "COPY %llu", (unsigned long long)run->rows);
out:
    exec_fini(&exec);
    return err;
}

static void
query_tag(struct session_run *run, enum statement_kind kind)
{
    static const char *const formats[] = {
        [STATEMENT_SELECT] = "SELECT %llu",
        [STATEMENT_INSERT] = "INSERT 0 %llu",
        [STATEMENT_UPDATE] = "UPDATE %llu",
        [STATEMENT_DELETE] = "DELETE %llu",
    };

    (void)snprintf(run->tag, sizeof(run->tag), formats[kind], (unsigned long long)run->rows);
}

/* Definitions come one after the other, each upon what the one before has made. */
static err_t
definition_begin(struct session_run *run)
{
    struct sql_session *session = run->session;
    err_t err;

    TRY(catalog_lock(session->txn));
    TRY(txn_statement(session->txn, true));
    catalog_drop(&run->catalog);
    TRY(relational_catalog(&run->catalog));
    session->own = catalog_clone(run->catalog);
out:
    return err;
}

static err_t
definition_run(struct session_run *run, const RawStmt *raw)
{
    static const struct statement none = {0};
    struct sql_session *session = run->session;
    struct exec exec;
    struct utility utility = {.exec = &exec,
                              .sink = run->sink,
                              .client = session->client,
                              .is_block = session->is_block,
                              .tag = "",
                              .position = -1,
                              .search_path = session_search_path(session)};
    err_t err;

    if (session->shared != 0) {
        return sql_error("0A000", "%s is not possible in a transaction that sessions share",
                         utility_name(raw->stmt));
    }
    session->has_parts = true;
    if (session->own == NULL) {
        TRY(definition_begin(run));
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
    (void)snprintf(run->tag, sizeof(run->tag), "%s", utility.tag);
    session_temporary_note(session);
    exec_fini(&exec);
out:
    return err;
}

void
session_env_set(struct sql_session *session, const struct catalog *catalog)
{
    struct slice user = slice_from_text(sql_session_parameter(session, "session_authorization"));

    parameters_now_set(session->parameters, session->transaction_us);
    session->env = (struct statement_env){
        .catalog = session->own != NULL ? session->own : catalog,
        .txn = session->txn,
        .session = session,
        .user = user,
        .session_user = user,
        .database = SLICE("orbit"),
        .search_path = session_search_path(session),
        .transaction_us = session->transaction_us,
        .statement_us = (int64_t)io_wall_us(),
    };
}

/* Nobody changes what the statement works with from here on. When somebody has while it waited, it
 * is bound again. */
static err_t
tables_lock(struct session_run *run, const struct statement *statement)
{
    struct sql_session *session = run->session;
    bool writes = statement->kind != STATEMENT_SELECT && statement->kind != STATEMENT_UTILITY;
    struct catalog *now = NULL;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < statement->relation_count; i++) {
        bool is_changed = writes && statement->relation != NULL &&
                          statement->relation->oid == statement->relations[i];

        TRY(table_lock(session->txn, statement->relations[i],
                       is_changed ? TABLE_ROW_EXCLUSIVE : TABLE_ACCESS_SHARE, LOCK_WAIT));
    }
    if (statement->relation_count == 0 || session->own != NULL) {
        goto out;
    }
    TRY(relational_catalog(&now));
    if (now->version != run->catalog->version) {
        err = err_set(ERR_SERIALIZATION, "a definition was changed while the statement began; run "
                                         "the transaction again");
    }
out:
    catalog_drop(&now);
    return err;
}

/* A prepared statement whose plan is kept. */
static err_t
planned_run(struct session_run *run)
{
    struct session_plan *plan;
    err_t err = session_plan_get(run, &plan);

    if (err != ERR_OK) {
        return err;
    }
    TRY(tables_lock(run, &plan->statement));
    run->columns = plan->columns;
    run->column_count = plan->column_count;
    TRY(query_run(run, &plan->statement, plan->plan));
    query_tag(run, plan->statement.kind);
out:
    run->columns = NULL;
    run->column_count = 0;
    session_plan_release(&plan);
    return err;
}

static err_t
bound_query_run(struct session_run *run, struct statement *statement)
{
    struct arena *arena = &run->session->arena;
    struct plan *plan;
    err_t err;

    TRY(plan_statement(statement, arena, &plan));
    if (statement->kind == STATEMENT_SELECT || statement->returning_count > 0) {
        session_columns(statement, arena, &run->columns, &run->column_count);
    }
    TRY(query_run(run, statement, plan));
    query_tag(run, statement->kind);
out:
    return err;
}

static err_t
bound_run(struct session_run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    struct statement statement;
    const struct bind_options options = {
        .catalog = session->own != NULL ? session->own : run->catalog,
        .arena = &session->arena,
        .settings = sql_session_settings(session),
        .param_count = run->type_count,
        .param_types = run->types,
        .search_path = session_search_path(session),
    };
    err_t err;

    if (utility_is_definition(raw->stmt)) {
        return definition_run(run, raw);
    }
    TRY(bind_statement(&options, raw->stmt, &statement, &run->position));
    TRY(tables_lock(run, &statement));
    if (statement.is_copy) {
        return copy_run(run, &statement, (const CopyStmt *)raw->stmt);
    }
    if (statement.kind != STATEMENT_UTILITY) {
        return bound_query_run(run, &statement);
    }
    err = sql_error("0A000", "%s is not supported yet", utility_name(raw->stmt));
out:
    return err;
}

err_t
session_statement_begin(struct session_run *run)
{
    struct sql_session *session = run->session;
    err_t err;

    arena_reset(&session->arena);
    run->position = -1;
    session->has_parts = false;
    TRY(session_begin(session));
    TRY(txn_statement(session->txn, true));
    TRY(relational_catalog(&run->catalog));
    session_env_set(session, run->catalog);
out:
    return err;
}

static err_t
statement_attempt(struct session_run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    err_t err = session_statement_begin(run);

    if (err == ERR_OK) {
        err = raw == NULL ? planned_run(run) : bound_run(run, raw);
        session->env.catalog = NULL;
        catalog_drop(&run->catalog);
    }
    return err;
}

/* Runs again when another transaction came between and no row has gone out (READ COMMITTED, or a
 * statement alone). */
err_t
session_query_run(struct session_run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    err_t err = statement_attempt(run, raw);

    for (uint32_t i = 0; i < STATEMENT_RUNS_MAX && !run->is_described &&
                         (err == ERR_SERIALIZATION || err == ERR_SNAPSHOT_TOO_OLD);
         i++) {
        bool keeps_locks = session->txn != NULL && !session->has_parts &&
                           txn_isolation_of(session->txn) == TXN_READ_COMMITTED &&
                           txn_statement_undo(session->txn) == ERR_OK;

        if (!keeps_locks && session->is_block) {
            break;
        }
        if (!keeps_locks) {
            session_rollback(session);
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

    return node != NULL && IsA(node, TransactionStmt) &&
           (transaction->kind == TRANS_STMT_COMMIT || transaction->kind == TRANS_STMT_ROLLBACK ||
            transaction->kind == TRANS_STMT_ROLLBACK_TO);
}

/* COMMIT or ROLLBACK of the whole. */
static bool
is_end(const Node *node)
{
    const TransactionStmt *transaction = (const TransactionStmt *)node;

    return node != NULL && IsA(node, TransactionStmt) &&
           (transaction->kind == TRANS_STMT_COMMIT || transaction->kind == TRANS_STMT_ROLLBACK);
}

err_t
session_failed(void)
{
    return sql_error("25P02", "current transaction is aborted, commands ignored until end of "
                              "transaction block");
}

char *
session_raw_text(const struct session_run *run, const RawStmt *raw, struct arena *arena)
{
    const char *start = run->text + raw->stmt_location;
    size_t size = raw->stmt_len > 0 ? (size_t)raw->stmt_len : strlen(start);

    while (size > 0 && strchr(" \t\r\n\f", start[0]) != NULL) {
        start++;
        size--;
    }
    return arena_printf(arena, "%.*s", (int)size, start);
}

/* Statements about the session's own objects: no transaction is needed for them. *is_found_out
 * false: it is another one. */
static err_t
object_run(struct session_run *run, const RawStmt *raw, const char **tag_out, bool *is_found_out)
{
    struct sql_session *session = run->session;

    *is_found_out = true;
    switch (nodeTag(raw->stmt)) {
    case T_PrepareStmt:
        *tag_out = "PREPARE";
        return session_prepare_run(run, (const PrepareStmt *)raw->stmt, raw);
    case T_DeallocateStmt:
        return session_deallocate_run(session, (const DeallocateStmt *)raw->stmt, tag_out);
    case T_DeclareCursorStmt:
        return session_declare_run(run, (const DeclareCursorStmt *)raw->stmt, raw);
    case T_FetchStmt:
        return session_fetch_run(run, (const FetchStmt *)raw->stmt);
    case T_ClosePortalStmt:
        return session_close_run(session, (const ClosePortalStmt *)raw->stmt, tag_out);
    case T_ExplainStmt:
        return session_explain_run(run, (const ExplainStmt *)raw->stmt);
    case T_VacuumStmt:
        return session_vacuum_run(run, (const VacuumStmt *)raw->stmt);
    case T_DiscardStmt:
        return session_discard_run(session, (const DiscardStmt *)raw->stmt, tag_out);
    default:
        *is_found_out = false;
        return ERR_OK;
    }
}

/* A statement by its parse tree, without its end. */
static err_t
node_run(struct session_run *run, const RawStmt *raw, const char **tag_out)
{
    struct sql_session *session = run->session;
    bool is_found;
    err_t err;

    switch (nodeTag(raw->stmt)) {
    case T_TransactionStmt:
        err = session_transaction_run(session, (const TransactionStmt *)raw->stmt, run->sink,
                                      tag_out);
        break;
    case T_VariableSetStmt:
        *tag_out = ((const VariableSetStmt *)raw->stmt)->kind == VAR_RESET ? "RESET" : "SET";
        err = session_set_run(session, (const VariableSetStmt *)raw->stmt, run->sink);
        break;
    case T_VariableShowStmt:
        *tag_out = "SHOW";
        err = session_show_run(session, (const VariableShowStmt *)raw->stmt, run->sink);
        break;
    case T_ConstraintsSetStmt:
        *tag_out = "SET CONSTRAINTS";
        err = session_constraints_run(session, (const ConstraintsSetStmt *)raw->stmt);
        break;
    default:
        err = object_run(run, raw, tag_out, &is_found);
        if (!is_found) {
            err = session_query_run(run, raw);
        }
        break;
    }
    return err;
}

err_t
session_statement_run(struct session_run *run, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    const Node *node = raw != NULL ? raw->stmt : NULL; /* A prepared query is none of these. */
    const char *tag = NULL;
    err_t err;

    run->is_described = false;
    if (session->is_failed && !is_heard_when_failed(node)) {
        return session_failed();
    }
    if (session->is_guest && node != NULL && IsA(node, TransactionStmt)) {
        return sql_error("0A000", "the transaction is begun and ended by who runs the statement");
    }
    if (session->shared != 0 && session->txn == NULL && !is_end(node)) {
        return session_shared_run(run, raw);
    }
    if (node != NULL && IsA(node, ExecuteStmt)) {
        return session_execute_run(run, (const ExecuteStmt *)node);
    }
    err = raw == NULL ? session_query_run(run, NULL) : node_run(run, raw, &tag);
    if (err == ERR_OK) {
        err = session_join_finish(session);
    }
    if (err == ERR_OK && run->is_last && !session->is_block) {
        err = session_commit(session);
    }
    if (err == ERR_OK) {
        err = run->sink->complete(run->sink->arg, tag != NULL ? tag : run->tag);
    }
    return err;
}

uint32_t
session_position(const char *text, int32_t bytes)
{
    uint32_t count = 0;

    for (int32_t i = 0; i < bytes && text[i] != '\0'; i++) {
        count += ((uint8_t)text[i] & 0xc0) != 0x80;
    }
    return count;
}

err_t
session_statements_run(struct session_run *run, const List *statements, bool commits)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, statements)
    {
        run->is_last = commits && cell == list_tail(statements);
        err = session_statement_run(run, lfirst(cell));
        if (err != ERR_OK) {
            return err;
        }
    }
    return err;
}

err_t
session_text_check(const char *text)
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
    struct session_run run = {.session = session, .sink = sink, .text = text, .position = -1};
    struct parse parse = {0};
    err_t err;

    session_run_begin(session);
    *position_out = 0;
    TRY(session_text_check(text));
    TRY(parse_open(text, &parse, position_out));
    if (parse.statements == NIL) {
        sink->empty(sink->arg);
    }
    err = session_statements_run(&run, parse.statements, true);
out:
    err = session_run_end(session, err);
    parse_close(&parse);
    if (err != ERR_OK) {
        *position_out = run.position >= 0 ? session_position(text, run.position) + 1
                                          : MAX(run.position_characters, *position_out);
        session_fail(session);
    }
    return err;
}

err_t
sql_sync(struct sql_session *session)
{
    return session->is_block ? ERR_OK : session_commit(session);
}
