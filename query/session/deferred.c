/* query/session/deferred.c - constraints that are looked at when the transaction ends. */
#include "query/session/internal.h"

#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/exec/foreign.h"
#include "query/parameter.h"
#include "query/search_path.h"

#include "engine/base/poison.h"

static err_t
with_exec(struct sql_session *session, const oid_t *oids, uint32_t count, bool is_set,
          bool is_deferred)
{
    static const struct statement none = {0};
    struct catalog *catalog = NULL;
    struct exec exec;
    err_t err;

    TRY(relational_catalog(&catalog));
    session_env_set(session, catalog);
    exec_init(&exec, &session->env, &session->arena, sql_session_settings(session), &none);
    exec.is_cancelled = &session->is_cancelled;
    err = is_set ? foreign_session_set(&exec, session->foreign, oids, count, is_deferred)
                 : foreign_session_run(&exec, session->foreign);
    exec_fini(&exec);
    session->env.catalog = NULL;
out:
    catalog_drop(&catalog);
    return err;
}

err_t
session_deferred_run(struct sql_session *session)
{
    return foreign_session_is_idle(session->foreign) ? ERR_OK
                                                     : with_exec(session, NULL, 0, false, false);
}

/* The constraints of this name, in the schema or those of the search path. */
static err_t
constraints_named(struct sql_session *session, const struct catalog *catalog, const RangeVar *name,
                  oid_t *oids, uint32_t *count, uint32_t max)
{
    const struct schema *schemas[16];
    uint32_t schema_count = 1, before = *count;

    if (name->schemaname != NULL) {
        schemas[0] = catalog_schema(catalog, slice_from_text(name->schemaname));
        schema_count = schemas[0] != NULL;
    } else {
        schema_count = search_schemas(catalog, session_search_path(session), schemas,
                                      sizeof(schemas) / sizeof(schemas[0]));
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];
        const struct constraint *constraint =
            relation_constraint(relation, slice_from_text(name->relname));
        bool is_visible = false;

        for (uint32_t j = 0; constraint != NULL && j < schema_count; j++) {
            is_visible = is_visible || schemas[j]->oid == relation->schema;
        }
        if (is_visible && !constraint->is_deferrable) {
            return sql_error("42809", "constraint \"%s\" is not deferrable", name->relname);
        }
        if (is_visible && *count < max) {
            oids[(*count)++] = constraint->oid;
        }
    }
    return *count > before ? ERR_OK
                           : sql_error("42704", "constraint \"%s\" does not exist", name->relname);
}

err_t
session_constraints_run(struct sql_session *session, const ConstraintsSetStmt *node)
{
    enum { CONSTRAINTS_MAX = 256 };
    oid_t oids[CONSTRAINTS_MAX];
    struct catalog *catalog = NULL;
    const ListCell *cell;
    uint32_t count = 0;
    err_t err = ERR_OK;

    TRY(session_begin(session));
    TRY(txn_statement(session->txn, true));
    TRY(relational_catalog(&catalog));
    foreach(cell, node->constraints)
    {
        TRY(constraints_named(session, session->own != NULL ? session->own : catalog, lfirst(cell),
                              oids, &count, CONSTRAINTS_MAX));
    }
    err = with_exec(session, oids, count, true, node->deferred);
out:
    catalog_drop(&catalog);
    return err;
}
