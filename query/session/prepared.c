/* query/session/prepared.c - prepared statements: PREPARE, EXECUTE, DEALLOCATE, and those of the
 * protocol, which are the same objects.
 *
 * What PREPARE was given keeps its whole text: the statement is what stands behind its AS. */
#include "query/session/internal.h"

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/parse/parse.h"

#include "engine/base/poison.h"

char *
session_name_copy(const char *name)
{
    size_t size = strlen(name) + 1;
    char *copy = mem_alloc(MEM_SESSIONS, size);

    memcpy(copy, name, size);
    return copy;
}

void
session_name_free(char *name)
{
    mem_free(MEM_SESSIONS, name, strlen(name) + 1);
}

/* ---- The session's statements ---- */

struct sql_prepared *
session_prepared_hold(struct sql_prepared *prepared)
{
    prepared->references++;
    return prepared;
}

void
session_prepared_release(struct sql_prepared *prepared)
{
    if (prepared == NULL || --prepared->references > 0) {
        return;
    }
    session_name_free(prepared->name);
    session_name_free(prepared->text);
    catalog_drop(&prepared->catalog);
    session_plan_release(&prepared->plan);
    arena_fini(&prepared->arena);
    MEM_FREE(MEM_SESSIONS, prepared);
}

struct sql_prepared *
sql_prepared_find(const struct sql_session *session, const char *name)
{
    LIST_FOR_EACH(node, &session->statements) {
        struct sql_prepared *prepared = LIST_ENTRY(node, struct sql_prepared, link);

        if (strcmp(prepared->name, name) == 0) {
            return prepared;
        }
    }
    return NULL;
}

static void
prepared_remove(struct sql_session *session, struct sql_prepared *prepared)
{
    list_remove(&prepared->link);
    session->statement_count--;
    session_prepared_release(prepared);
}

void
sql_prepared_drop(struct sql_session *session, const char *name)
{
    struct sql_prepared *prepared = sql_prepared_find(session, name);

    if (prepared != NULL) {
        prepared_remove(session, prepared);
    }
}

void
session_prepared_drop_all(struct sql_session *session)
{
    LIST_FOR_EACH_SAFE(node, &session->statements) {
        prepared_remove(session, LIST_ENTRY(node, struct sql_prepared, link));
    }
}

bool
sql_prepared_next(const struct sql_session *session, const void **place,
                  struct sql_prepared_view *view_out)
{
    const struct list *at = *place != NULL ? *place : &session->statements;
    const struct sql_prepared *prepared;

    for (at = at->next; at != &session->statements; at = at->next) {
        prepared = LIST_ENTRY((struct list *)(uintptr_t)at, struct sql_prepared, link);
        if (prepared->name[0] != '\0') {
            *place = at;
            *view_out = (struct sql_prepared_view){
                .name = prepared->name,
                .text = prepared->text,
                .prepared_us = prepared->prepared_us,
                .param_count = prepared->param_count,
                .param_types = prepared->param_types,
                .is_from_sql = prepared->is_from_sql,
                .runs = prepared->runs,
            };
            return true;
        }
    }
    return false;
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

bool
sql_prepared_is_empty(const struct sql_prepared *prepared)
{
    return prepared->is_empty;
}

/* ---- What a statement needs and gives ---- */

static const Node *
statement_of(const RawStmt *raw)
{
    return IsA(raw->stmt, PrepareStmt) ? ((const PrepareStmt *)raw->stmt)->query : raw->stmt;
}

static void
columns_set(struct sql_prepared *prepared, const struct sql_column *columns, uint32_t count)
{
    prepared->columns = arena_alloc(&prepared->arena, (count + 1) * sizeof(*columns));
    prepared->column_count = count;
    for (uint32_t i = 0; i < count; i++) {
        prepared->columns[i] = columns[i];
        prepared->columns[i].name = arena_copy(&prepared->arena, columns[i].name);
    }
}

/* Of statements that are no queries but give rows. */
static void
utility_columns(struct sql_prepared *prepared, const Node *node)
{
    const struct sql_session *session = prepared->session;
    const struct sql_column *columns = NULL;
    struct sql_column own[SESSION_SHOW_COLUMNS];
    uint32_t count = 0;

    if (IsA(node, VariableShowStmt)) {
        columns = own;
        count = session_show_columns((const VariableShowStmt *)node, own);
    } else if (IsA(node, ExplainStmt)) {
        session_explain_column((const ExplainStmt *)node, &own[0]);
        columns = own;
        count = 1;
    } else if (IsA(node, ExecuteStmt)) {
        const struct sql_prepared *other =
            sql_prepared_find(session, ((const ExecuteStmt *)node)->name);

        count = other != NULL ? sql_prepared_columns(other, &columns) : 0;
    } else if (IsA(node, FetchStmt) && !((const FetchStmt *)node)->ismove) {
        const struct sql_portal *portal =
            sql_portal_find(session, ((const FetchStmt *)node)->portalname);

        count = portal != NULL ? sql_portal_columns(portal, &columns) : 0;
    }
    columns_set(prepared, columns, count);
}

static bool
is_query(const Node *node)
{
    switch (nodeTag(node)) {
    case T_SelectStmt:
    case T_InsertStmt:
    case T_UpdateStmt:
    case T_DeleteStmt:
        return true;
    default:
        return false;
    }
}

/* What was found out about its types and columns. */
static void
described(struct sql_prepared *prepared, const struct session_plan *plan, const Node *node)
{
    const struct statement *statement = &plan->statement;

    prepared->param_count = statement->param_count;
    prepared->param_types = arena_alloc(&prepared->arena, (statement->param_count + 1) *
                                                              sizeof(*prepared->param_types));
    for (uint32_t i = 0; i < statement->param_count; i++) {
        prepared->param_types[i] = statement->param_types[i];
    }
    prepared->is_query = is_query(node);
    if (prepared->is_query) {
        columns_set(prepared, plan->columns, plan->column_count);
    } else {
        utility_columns(prepared, node);
    }
}

/* Binds the statement: for its types, and for the first run. */
static err_t
prepared_describe(struct sql_prepared *prepared, const Node *node, int32_t *position_out)
{
    struct sql_session *session = prepared->session;
    struct session_plan *plan = NULL;
    struct catalog *catalog = NULL;
    struct bind_options options = {
        .settings = sql_session_settings(session),
        .param_count = prepared->type_count,
        .param_types = prepared->types,
        .search_path = session_search_path(session),
    };
    err_t err;

    TRY(relational_catalog(&catalog));
    session_env_set(session, catalog);
    plan = session_plan_new(session->own != NULL ? session->own : catalog);
    TRY(session_plan_bind(session, plan, &options, node, position_out));
    catalog_drop(&prepared->catalog);
    prepared->catalog = catalog_hold(plan->catalog);
    described(prepared, plan, node);
    if (prepared->is_query && session->own == NULL) {
        (void)session_plans_are_good(session, catalog);
        prepared->plan = plan;
        plan = NULL;
    }
out:
    session->env.catalog = NULL;
    session_plan_release(&plan);
    catalog_drop(&catalog);
    return err;
}

static bool
is_heard_when_failed(const Node *node)
{
    return IsA(node, TransactionStmt);
}

static err_t
prepared_fill(struct sql_prepared *prepared, uint32_t *position_out)
{
    struct parse parse = {0};
    int32_t position = -1;
    const RawStmt *raw;
    err_t err;

    TRY(session_text_check(prepared->text));
    TRY(parse_open(prepared->text, &parse, position_out));
    prepared->is_empty = parse.statements == NIL;
    if (prepared->is_empty) {
        goto out;
    }
    if (list_length(parse.statements) > 1) {
        err = sql_error("42601", "cannot insert multiple commands into a prepared statement");
        goto out;
    }
    raw = linitial(parse.statements);
    if (prepared->session->is_failed && !is_heard_when_failed(raw->stmt)) {
        err = session_failed();
        goto out;
    }
    err = prepared_describe(prepared, prepared->is_from_sql ? statement_of(raw) : raw->stmt,
                            &position);
    if (err != ERR_OK && position >= 0) {
        *position_out = session_position(prepared->text, position) + 1;
    }
out:
    parse_close(&parse);
    return err;
}

static err_t
name_check(struct sql_session *session, const char *name)
{
    if (name[0] == '\0') {
        sql_prepared_drop(session, name);
    } else if (sql_prepared_find(session, name) != NULL) {
        return sql_error("42P05", "prepared statement \"%s\" already exists", name);
    }
    return session->statement_count >= SESSION_STATEMENTS_MAX
               ? sql_error("54000", "a session may have at most %d prepared statements",
                           SESSION_STATEMENTS_MAX)
               : ERR_OK;
}

static err_t
prepare(struct sql_session *session, const char *name, const char *text, bool is_from_sql,
        const oid_t *types, uint32_t type_count, uint32_t *position_out)
{
    struct sql_prepared *prepared;
    err_t err;

    TRY(name_check(session, name));
    prepared = MEM_NEW(MEM_SESSIONS, struct sql_prepared);
    prepared->session = session;
    prepared->references = 1;
    prepared->name = session_name_copy(name);
    prepared->text = session_name_copy(text);
    prepared->is_from_sql = is_from_sql;
    prepared->prepared_us = (int64_t)io_wall_us();
    arena_init(&prepared->arena, MEM_SESSIONS);
    prepared->types = arena_alloc(&prepared->arena, (type_count + 1) * sizeof(*types));
    if (type_count > 0) {
        memcpy(prepared->types, types, type_count * sizeof(*types));
    }
    prepared->type_count = type_count;
    err = prepared_fill(prepared, position_out);
    if (err != ERR_OK) {
        session_prepared_release(prepared);
        goto out;
    }
    list_push_back(&session->statements, &prepared->link);
    session->statement_count++;
out:
    return err;
}

err_t
sql_prepare(struct sql_session *session, const char *name, const char *text, const oid_t *types,
            uint32_t type_count, uint32_t *position_out)
{
    err_t err;

    *position_out = 0;
    session_run_begin(session);
    err = prepare(session, name, text, false, types, type_count, position_out);
    err = session_run_end(session, err);
    if (err != ERR_OK) {
        session_fail(session);
    }
    return err;
}

/* ---- PREPARE, DEALLOCATE ---- */

static err_t
types_read(struct sql_session *session, const List *names, oid_t *types)
{
    const char *path = session_search_path(session);
    struct catalog *committed = NULL;
    const struct catalog *catalog;
    const ListCell *cell;
    uint32_t count = 0;
    err_t err = ERR_OK;

    TRY(relational_catalog(&committed));
    catalog = session->own != NULL ? session->own : committed;

    foreach(cell, names)
    {
        const struct type *type;
        int32_t typmod;

        TRY(bind_type_name(catalog, path, lfirst(cell), &type, &typmod));
        types[count++] = type->oid;
    }
out:
    catalog_drop(&committed);
    return err;
}

err_t
session_prepare_run(struct session_run *run, const PrepareStmt *node, const RawStmt *raw)
{
    struct sql_session *session = run->session;
    uint32_t count = (uint32_t)list_length(node->argtypes), position = 0;
    char *text;
    oid_t *types;
    err_t err;

    arena_reset(&session->arena);
    if (node->name[0] == '\0') {
        return sql_error("26000", "invalid statement name: must not be empty");
    }
    if (!is_query(node->query)) {
        return sql_error("0A000", "PREPARE of this statement is not supported");
    }
    types = arena_alloc(&session->arena, (count + 1) * sizeof(*types));
    TRY(types_read(session, node->argtypes, types));
    text = session_raw_text(run, raw, &session->arena);
    TRY(prepare(session, node->name, text, true, types, count, &position));
out:
    if (err != ERR_OK && position > 0) {
        run->position_characters = position + session_position(run->text, raw->stmt_location);
    }
    return err;
}

err_t
session_deallocate_run(struct sql_session *session, const DeallocateStmt *node,
                       const char **tag_out)
{
    *tag_out = node->name == NULL ? "DEALLOCATE ALL" : "DEALLOCATE";
    if (node->name == NULL) {
        session_prepared_drop_all(session);
        return ERR_OK;
    }
    if (sql_prepared_find(session, node->name) == NULL) {
        return sql_error("26000", "prepared statement \"%s\" does not exist", node->name);
    }
    sql_prepared_drop(session, node->name);
    return ERR_OK;
}

/* ---- Running ---- */

/* The statement, by its text. */
static err_t
text_run(struct session_run *run, const struct sql_prepared *prepared)
{
    struct parse parse = {0};
    uint32_t position;
    err_t err;

    TRY(parse_open(prepared->text, &parse, &position));
    err = session_statement_run(run, linitial(parse.statements));
out:
    parse_close(&parse);
    return err;
}

err_t
session_prepared_run(struct sql_session *session, struct sql_prepared *prepared,
                     const struct datum *params, const uint8_t *nulls, uint32_t param_count,
                     const struct sql_sink *sink, bool is_last)
{
    struct session_run run = {
        .session = session,
        .prepared = prepared->is_query ? prepared : NULL,
        .sink = sink,
        .text = prepared->text,
        .params = params,
        .nulls = nulls,
        .param_count = param_count,
        .position = -1,
        .is_last = is_last,
    };
    err_t err;

    (void)session_prepared_hold(prepared);
    prepared->runs++;
    err = prepared->is_query ? session_statement_run(&run, NULL) : text_run(&run, prepared);
    session_prepared_release(prepared);
    return err;
}

/* ---- EXECUTE ---- */

static err_t
arguments_evaluate(struct session_run *run, const struct sql_prepared *prepared, const List *nodes,
                   struct arena *arena, struct datum *values, uint8_t *nulls)
{
    static const struct statement none = {0};
    struct sql_session *session = run->session;
    struct expr **exprs;
    struct exec exec;
    struct bind_options options = {
        .arena = &session->arena,
        .settings = sql_session_settings(session),
        .param_count = run->type_count,
        .param_types = run->types,
        .search_path = session_search_path(session),
    };
    err_t err;

    TRY(session_statement_begin(run));
    options.catalog = session->env.catalog;
    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), &none);
    exec.params = run->params;
    exec.param_nulls = run->nulls;
    exec.param_count = run->param_count;
    exec.is_cancelled = &session->is_cancelled;
    err = bind_execute_arguments(&options, nodes, prepared->param_types, &exprs, &run->position);
    for (uint32_t i = 0; err == ERR_OK && i < prepared->param_count; i++) {
        bool is_null = false;

        err = eval_value(&exec, &session->arena, exprs[i], &values[i], &is_null);
        nulls[i] = is_null;
        if (err == ERR_OK && !is_null) {
            values[i] = type_copy(prepared->param_types[i], values[i], arena);
        }
    }
    exec_fini(&exec);
    session->env.catalog = NULL;
    catalog_drop(&run->catalog);
out:
    return err;
}

err_t
session_execute_run(struct session_run *run, const ExecuteStmt *node)
{
    struct sql_session *session = run->session;
    struct sql_prepared *prepared = sql_prepared_find(session, node->name);
    uint32_t count = (uint32_t)list_length(node->params);
    struct arena arena;
    struct datum *values;
    uint8_t *nulls;
    err_t err = ERR_OK;

    if (prepared == NULL) {
        return sql_error("26000", "prepared statement \"%s\" does not exist", node->name);
    }
    if (prepared->param_count != count) {
        (void)sql_error("42601", "wrong number of parameters for prepared statement \"%s\"",
                        node->name);
        return sql_detail("Expected %u parameters but got %u.", prepared->param_count, count);
    }
    (void)session_prepared_hold(prepared);
    arena_init(&arena, MEM_SESSIONS);
    values = arena_alloc(&arena, (count + 1) * sizeof(*values));
    nulls = arena_alloc(&arena, count + 1);
    if (count > 0) {
        TRY(arguments_evaluate(run, prepared, node->params, &arena, values, nulls));
    }
    err = session_prepared_run(session, prepared, values, nulls, count, run->sink, run->is_last);
out:
    arena_fini(&arena);
    session_prepared_release(prepared);
    return err;
}
