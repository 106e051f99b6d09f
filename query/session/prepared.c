/* query/session/prepared.c - prepared statements of the protocol. */
#include "query/session/internal.h"

#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/parse/parse.h"

#include "engine/base/poison.h"

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
    session_env_set(session, catalog);
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
        session_columns(&statement, &prepared->arena, &prepared->columns, &prepared->column_count);
    }
out:
    session->env.catalog = NULL;
    catalog_drop(&catalog);
    return err;
}

static err_t
prepared_fill(struct sql_prepared *prepared, uint32_t *position_out)
{
    struct parse parse = {0};
    int32_t position = -1;
    err_t err;

    TRY(session_text_check(prepared->text));
    TRY(parse_open(prepared->text, &parse, position_out));
    if (list_length(parse.statements) > 1) {
        err = sql_error("42601", "cannot insert multiple commands into a prepared statement");
        goto out;
    }
    if (parse.statements != NIL) {
        err = prepared_describe(prepared, linitial(parse.statements), &position);
        if (position >= 0) {
            *position_out = session_position(prepared->text, position) + 1;
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
        session_fail(session);
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
    struct session_run run = {
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

    session_run_begin(session);
    for (uint32_t i = 0; i < prepared->param_count; i++) {
        types[i] = prepared->param_types[i]->oid;
    }
    TRY(parse_open(prepared->text, &parse, &position));
    err = session_statements_run(&run, parse.statements, false);
out:
    err = session_run_end(session, err);
    parse_close(&parse);
    mem_free(MEM_SESSIONS, types, (prepared->param_count + 1) * sizeof(*types));
    if (err != ERR_OK) {
        session_fail(session);
    }
    return err;
}
