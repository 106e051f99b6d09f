/* query/session/planned.c - plans of prepared statements, which are kept from run to run.
 *
 * A plan is good as long as the catalog, the parameters that binding asks and the temporary schema
 * are those that it was made by, and as long as it is not old. A transaction that has changed the
 * catalog makes its plans for each run. */
#include "query/session/internal.h"

#include "engine/io/io.h"
#include "models/types/sql_error.h"
#include "query/parameter.h"
#include "query/parse/parse.h"

#include "engine/base/poison.h"

struct session_plan *
session_plan_new(struct catalog *catalog)
{
    struct session_plan *plan = MEM_NEW(MEM_SESSIONS, struct session_plan);

    plan->references = 1;
    plan->catalog = catalog_hold(catalog);
    arena_init(&plan->arena, MEM_SESSIONS);
    return plan;
}

void
session_plan_release(struct session_plan **plan)
{
    struct session_plan *released = *plan;

    *plan = NULL;
    if (released == NULL || --released->references > 0) {
        return;
    }
    arena_fini(&released->arena);
    catalog_drop(&released->catalog);
    MEM_FREE(MEM_SESSIONS, released);
}

static struct session_plan *
plan_hold(struct session_plan *plan)
{
    plan->references++;
    return plan;
}

bool
session_plans_are_good(struct sql_session *session, const struct catalog *catalog)
{
    uint64_t parameters = parameters_plan_version(session->parameters);

    if (session->plans_catalog == catalog->version && session->plans_parameters == parameters &&
        session->plans_temporary == session->has_temporary) {
        return true;
    }
    session->plans_catalog = catalog->version;
    session->plans_parameters = parameters;
    session->plans_temporary = session->has_temporary;
    LIST_FOR_EACH(node, &session->statements) {
        session_plan_release(&LIST_ENTRY(node, struct sql_prepared, link)->plan);
    }
    return false;
}

err_t
session_plan_bind(struct sql_session *session, struct session_plan *plan,
                  const struct bind_options *options, const Node *node, int32_t *position_out)
{
    struct bind_options own = *options;
    err_t err;

    own.catalog = plan->catalog;
    own.arena = &plan->arena;
    plan->planned_us = session->env.statement_us;
    err = bind_statement(&own, node, &plan->statement, position_out);
    if (err == ERR_OK && plan->statement.kind != STATEMENT_UTILITY) {
        session_columns(&plan->statement, &plan->arena, &plan->columns, &plan->column_count);
    }
    return err;
}

/* ---- Made anew ---- */

static err_t
columns_check(const struct sql_prepared *prepared, const struct session_plan *plan)
{
    bool is_same = prepared->column_count == plan->column_count;

    for (uint32_t i = 0; is_same && i < plan->column_count; i++) {
        const struct sql_column *was = &prepared->columns[i], *is = &plan->columns[i];

        is_same = was->type->oid == is->type->oid && was->typmod == is->typmod &&
                  slice_equal(was->name, is->name);
    }
    return is_same ? ERR_OK : sql_error("0A000", "cached plan must not change result type");
}

static err_t
plan_make(struct session_run *run, struct session_plan **plan_out)
{
    struct sql_session *session = run->session;
    const struct sql_prepared *prepared = run->prepared;
    oid_t *types = arena_alloc(&session->arena, (prepared->param_count + 1) * sizeof(*types));
    struct bind_options options = {
        .settings = sql_session_settings(session),
        .param_count = prepared->param_count,
        .param_types = types,
        .search_path = session_search_path(session),
    };
    struct session_plan *plan =
        session_plan_new(session->own != NULL ? session->own : run->catalog);
    struct parse parse = {0};
    const RawStmt *raw;
    const Node *node;
    uint32_t position;
    err_t err;

    for (uint32_t i = 0; i < prepared->param_count; i++) {
        types[i] = prepared->param_types[i]->oid;
    }
    TRY(parse_open(prepared->text, &parse, &position));
    raw = linitial(parse.statements);
    node = prepared->is_from_sql && IsA(raw->stmt, PrepareStmt)
               ? ((const PrepareStmt *)raw->stmt)->query
               : raw->stmt;
    TRY(session_plan_bind(session, plan, &options, node, &run->position));
    TRY(columns_check(prepared, plan));
    *plan_out = plan;
    plan = NULL;
out:
    parse_close(&parse);
    session_plan_release(&plan);
    return err;
}

err_t
session_plan_get(struct session_run *run, struct session_plan **plan_out)
{
    struct sql_session *session = run->session;
    struct sql_prepared *prepared = run->prepared;
    bool is_own = session->own != NULL;
    struct session_plan *plan = NULL;
    err_t err = ERR_OK;

    if (!is_own && session_plans_are_good(session, run->catalog) && prepared->plan != NULL &&
        session->env.statement_us - prepared->plan->planned_us < PLAN_US_MAX) {
        plan = plan_hold(prepared->plan);
    } else {
        TRY(plan_make(run, &plan));
        session_plan_release(&prepared->plan);
        prepared->plan = is_own ? NULL : plan_hold(plan);
    }
    if (plan->plan == NULL) {
        err = plan_statement(&plan->statement, &plan->arena, &plan->plan);
        if (err != ERR_OK) { /* Parts of it are planned: it is not to be planned again. */
            session_plan_release(&prepared->plan);
            goto out;
        }
    }
    *plan_out = plan;
    plan = NULL;
out:
    session_plan_release(&plan);
    return err;
}
