/* query/session/explain.c - EXPLAIN as a statement of a session. */
#include "query/session/internal.h"

#include <stdio.h>

#include "engine/rt/shard.h"
#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/explain/explain.h"
#include "query/parse/parse.h"

#include "engine/base/poison.h"

/* ---- Running it for the figures ---- */

static err_t
rows_drop(void *arg, const struct batch *batch)
{
    (void)arg;
    (void)batch;
    return ERR_OK;
}

static err_t
select_drain(struct exec *exec, const struct plan *plan)
{
    struct operator* operator= NULL;
    const struct batch *batch = NULL;
    err_t err;

    TRY(operator_open(exec, plan, &operator));
    do {
        TRY(operator_next(operator, & batch));
    } while (batch != NULL);
out:
    operator_close(&operator);
    return err;
}

static err_t
measured_run(struct explain *explain, struct exec *exec)
{
    uint64_t start_us = shard_now_us(), rows = 0;
    err_t err = explain->statement->kind == STATEMENT_SELECT
                    ? select_drain(exec, explain->plan)
                    : change_run(exec, explain->statement, explain->plan, rows_drop, NULL, &rows);

    explain->execution_us = shard_now_us() - start_us;
    return err;
}

/* ---- Telling ---- */

static err_t
line_send(const struct sql_sink *sink, struct slice line)
{
    struct datum value = datum_bytes(line);
    struct vector vector = {.values = &value};
    const struct batch batch = {.columns = &vector, .column_count = 1, .rows = 1};

    return sink->rows(sink->arg, &batch);
}

static err_t
text_send(const struct sql_sink *sink, struct slice text, bool is_whole)
{
    err_t err = ERR_OK;

    if (is_whole) {
        return line_send(sink, text);
    }
    for (size_t at = 0; err == ERR_OK && at < text.size;) {
        const uint8_t *end = memchr(text.data + at, '\n', text.size - at);
        size_t size = end != NULL ? (size_t)(end - (text.data + at)) : text.size - at;

        err = line_send(sink, slice_of(text.data + at, size));
        at += size + 1;
    }
    return err;
}

void
session_explain_column(const ExplainStmt *node, struct sql_column *column)
{
    struct explain_options options;
    int32_t position;
    bool is_json = explain_options_read(node, &options, &position) == ERR_OK && options.is_json;

    *column = (struct sql_column){
        .name = SLICE("QUERY PLAN"),
        .type = type_by_oid(is_json ? OID_JSON : OID_TEXT),
        .typmod = -1,
    };
}

/* ---- The statement ---- */

static err_t
query_find(const ExplainStmt *node, const Node **query_out)
{
    switch (nodeTag(node->query)) {
    case T_SelectStmt:
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
        *query_out = node->query;
        return ERR_OK;
    case T_DeclareCursorStmt:
        *query_out = ((const DeclareCursorStmt *)node->query)->query;
        return ERR_OK;
    default:
        return sql_error("0A000", "EXPLAIN of this statement is not supported");
    }
}

static err_t
bound_explain(struct session_run *run, const Node *query, const struct explain_options *options)
{
    struct sql_session *session = run->session;
    struct statement statement;
    struct explain explain = {.options = options, .statement = &statement};
    const struct bind_options bind = {
        .catalog = session->env.catalog,
        .arena = &session->arena,
        .settings = sql_session_settings(session),
        .param_count = run->type_count,
        .param_types = run->types,
        .search_path = sql_session_parameter(session, "search_path"),
    };
    uint64_t start_us = shard_now_us();
    struct plan *plan = NULL;
    struct exec exec;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    TRY(bind_statement(&bind, query, &statement, &run->position));
    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), &statement);
    exec.params = run->params;
    exec.param_nulls = run->nulls;
    exec.param_count = run->param_count;
    exec.is_cancelled = &session->is_cancelled;
    exec.measures = options->analyzes;
    err = plan_statement(&statement, &session->arena, &plan);
    explain.plan = plan;
    explain.planning_us = shard_now_us() - start_us;
    if (err == ERR_OK && options->analyzes) {
        err = measured_run(&explain, &exec);
        explain.exec = &exec;
    }
    if (err == ERR_OK) {
        explain_put(&explain, &text);
        err = text_send(run->sink, buf_slice(&text), options->is_json);
    }
    exec_fini(&exec);
out:
    buf_fini(&text);
    return err;
}

err_t
session_explain_run(struct session_run *run, const ExplainStmt *node)
{
    struct sql_session *session = run->session;
    struct explain_options options;
    struct sql_column column;
    const Node *query = NULL;
    err_t err;

    TRY(explain_options_read(node, &options, &run->position));
    TRY(query_find(node, &query));
    TRY(session_statement_begin(run));
    session_explain_column(node, &column);
    err = run->sink->describe(run->sink->arg, &column, 1);
    if (err == ERR_OK) {
        err = bound_explain(run, query, &options);
    }
    (void)snprintf(run->tag, sizeof(run->tag), "EXPLAIN");
    session->env.catalog = NULL;
    catalog_drop(&run->catalog);
out:
    return err;
}
