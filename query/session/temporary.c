/* query/session/temporary.c - temporary tables: a schema pg_temp_N that goes with its session.
 *
 * Its objects are in the catalog as all others are, which everybody sees and nobody finds but by
 * the name of the schema. What a crash left is dropped by the next session of that number. */
#include "query/session/internal.h"

#include "models/relational/relational.h"
#include "models/relational/rtable.h"
#include "models/relational/sequence.h"
#include "models/relational/table_lock.h"

#include "engine/base/poison.h"

static struct slice
temporary_name(const struct sql_session *session, struct arena *arena)
{
    return slice_from_text(
        arena_printf(arena, "pg_temp_%llu", (unsigned long long)session->client));
}

const char *
session_search_path(struct sql_session *session)
{
    const char *path = sql_session_parameter(session, "search_path");
    struct slice name;

    if (!session->has_temporary) { /* A copy: set_config may change it while it is used. */
        return arena_printf(&session->arena, "%s", path);
    }
    name = temporary_name(session, &session->arena);
    return arena_printf(&session->arena, "%.*s, %s", (int)name.size, (const char *)name.data, path);
}

void
session_temporary_note(struct sql_session *session)
{
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    session->has_temporary =
        session->has_temporary ||
        (session->own != NULL &&
         catalog_schema(session->own, temporary_name(session, &arena)) != NULL);
    arena_fini(&arena);
}

static void
relation_remove(struct catalog *catalog, struct txn *txn, const struct relation *relation)
{
    if (relation->kind == RELATION_TABLE) {
        rtable_truncate(txn, relation);
    } else if (relation->kind == RELATION_SEQUENCE) {
        sequence_state_delete(txn, relation->sequence.state);
    }
    catalog_relation_delete(catalog, txn, relation->oid);
}

/* The relations of the schema; on_commit 0: all, otherwise those that are to go at a commit. */
static void
relations_remove(struct catalog *catalog, struct txn *txn, oid_t schema, char on_commit)
{
    for (uint32_t i = 0; i < catalog->relation_count;) {
        const struct relation *relation = catalog->relations[i];

        if (relation->schema == schema && (on_commit == 0 || relation->on_commit == on_commit)) {
            relation_remove(catalog, txn, relation);
        } else {
            i++;
        }
    }
}

err_t
session_temporary_commit(struct sql_session *session)
{
    struct catalog *catalog = NULL;
    const struct schema *schema;
    struct arena arena;
    bool drops = false;
    err_t err;

    if (!session->has_temporary || session->txn == NULL || txn_is_read_only(session->txn)) {
        return ERR_OK;
    }
    arena_init(&arena, MEM_SESSIONS);
    TRY(relational_catalog(&catalog));
    schema = catalog_schema(session->own != NULL ? session->own : catalog,
                            temporary_name(session, &arena));
    for (uint32_t i = 0;
         schema != NULL && i < (session->own != NULL ? session->own : catalog)->relation_count;
         i++) {
        const struct relation *relation =
            (session->own != NULL ? session->own : catalog)->relations[i];

        if (relation->schema == schema->oid && relation->on_commit == 'd') {
            rtable_truncate(session->txn, relation);
        }
        drops = drops || (relation->schema == schema->oid && relation->on_commit == 'D');
    }
    /* They are made and dropped by one transaction, so that it has a catalog of its own. */
    if (drops && session->own != NULL) {
        relations_remove(session->own, session->txn, schema->oid, 'D');
    }
    err = txn_flush(session->txn);
out:
    catalog_drop(&catalog);
    arena_fini(&arena);
    return err;
}

static err_t
schema_drop(struct sql_session *session)
{
    const struct schema *schema;
    err_t err;

    TRY(session_begin(session));
    TRY(catalog_lock(session->txn));
    TRY(txn_statement(session->txn, true));
    {
        struct catalog *catalog = NULL;

        TRY(relational_catalog(&catalog));
        session->own = catalog_clone(catalog);
        catalog_drop(&catalog);
    }
    schema = catalog_schema(session->own, temporary_name(session, &session->arena));
    if (schema != NULL) {
        oid_t oid = schema->oid;

        relations_remove(session->own, session->txn, oid, 0);
        catalog_schema_delete(session->own, session->txn, oid);
    }
    err = session_commit(session);
out:
    return err;
}

void
session_temporary_end(struct sql_session *session)
{
    if (!session->has_temporary) {
        return;
    }
    session->has_temporary = false;
    if (schema_drop(session) != ERR_OK) { /* The next session of this number does it. */
        session_rollback(session);
    }
}
