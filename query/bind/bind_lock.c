/* query/bind/bind_lock.c - FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

static const char *
clause_name(const LockingClause *clause)
{
    switch (clause->strength) {
    case LCS_FORKEYSHARE:
        return "FOR KEY SHARE";
    case LCS_FORSHARE:
        return "FOR SHARE";
    case LCS_FORNOKEYUPDATE:
        return "FOR NO KEY UPDATE";
    default:
        return "FOR UPDATE";
    }
}

static enum lock_mode
clause_mode(const LockingClause *clause)
{
    switch (clause->strength) {
    case LCS_FORKEYSHARE:
        return LOCK_KEY_SHARE;
    case LCS_FORSHARE:
        return LOCK_SHARE;
    case LCS_FORNOKEYUPDATE:
        return LOCK_NO_KEY_UPDATE;
    default:
        return LOCK_UPDATE;
    }
}

static enum lock_wait
clause_wait(const LockingClause *clause)
{
    return clause->waitPolicy == LockWaitSkip    ? LOCK_SKIP
           : clause->waitPolicy == LockWaitError ? LOCK_NOWAIT
                                                 : LOCK_WAIT;
}

static err_t
query_check(struct binder *binder, const struct query *query, const LockingClause *clause)
{
    const char *with = query->set != SET_NONE       ? "UNION/INTERSECT/EXCEPT"
                       : query->is_distinct         ? "DISTINCT clause"
                       : query->group_count > 0     ? "GROUP BY clause"
                       : query->having != NULL      ? "HAVING clause"
                       : query->aggregate_count > 0 ? "aggregate functions"
                       : query->window_count > 0    ? "window functions"
                       : query->has_sets            ? "set-returning functions in the target list"
                                                    : NULL;

    if (query->values_count > 0) {
        return bind_error(binder, -1, "0A000", "%s cannot be applied to VALUES",
                          clause_name(clause));
    }
    return with == NULL ? ERR_OK
                        : bind_error(binder, -1, "0A000", "%s is not allowed with %s",
                                     clause_name(clause), with);
}

/* The row's key comes with the result; a table that is named twice is locked as the stronger
 * wants. */
static void
lock_add(struct binder *binder, struct query *query, struct source *source,
         const LockingClause *clause)
{
    struct row_lock *grown =
        bind_zeroed(binder, (query->row_lock_count + 1) * sizeof(*query->row_locks));
    struct target *targets =
        bind_zeroed(binder, (query->target_count + 2) * sizeof(*query->targets));

    if (query->row_lock_count > 0) {
        memcpy(grown, query->row_locks, query->row_lock_count * sizeof(*grown));
    }
    if (query->target_count > 0) {
        memcpy(targets, query->targets, query->target_count * sizeof(*targets));
    }
    source->needs_row_keys = true;
    source->columns[source->column_count].type = type_by_oid(OID_BYTEA);
    source->columns[source->column_count].typmod = -1;
    grown[query->row_lock_count++] = (struct row_lock){
        .relation = source->relation,
        .column = query->target_count,
        .mode = clause_mode(clause),
        .wait = clause_wait(clause),
    };
    targets[query->target_count++] = (struct target){
        .expr = expr_column(binder->arena, source, source->column_count),
        .name = SLICE("ctid"),
        .is_junk = true,
    };
    query->row_locks = grown;
    query->targets = targets;
}

static err_t
item_lock(struct binder *binder, struct scope *scope, const struct scope_item *item,
          const LockingClause *clause, bool is_named)
{
    if (item->source->kind == SOURCE_TABLE) {
        lock_add(binder, scope->query, item->source, clause);
        return ERR_OK;
    }
    if (item->source->kind == SOURCE_QUERY && item->source->query->from != NULL &&
        item->source->query->from->kind == FROM_SOURCE &&
        item->source->query->from->source->kind == SOURCE_FUNCTION) {
        return is_named ? bind_error(binder, -1, "0A000", "%s cannot be applied to a function",
                                     clause_name(clause))
                        : ERR_OK;
    }
    if (item->source->kind == SOURCE_QUERY) {
        return bind_error(binder, -1, "0A000", "%s of a subquery or a view is not supported yet",
                          clause_name(clause));
    }
    return is_named && item->source->kind == SOURCE_CTE
               ? bind_error(binder, -1, "0A000", "%s cannot be applied to a WITH query",
                            clause_name(clause))
               : ERR_OK;
}

static err_t
named_lock(struct binder *binder, struct scope *scope, const LockingClause *clause,
           const RangeVar *name)
{
    for (uint32_t i = 0; i < scope->item_count; i++) {
        if (slice_equal(scope->items[i].alias, slice_from_text(name->relname))) {
            return item_lock(binder, scope, &scope->items[i], clause, true);
        }
    }
    return bind_error(binder, name->location, "42P01",
                      "relation \"%s\" in %s clause not found in FROM clause", name->relname,
                      clause_name(clause));
}

err_t
bind_row_locks(struct binder *binder, struct scope *scope, const SelectStmt *select)
{
    const ListCell *cell, *name;
    err_t err = ERR_OK;

    foreach(cell, select->lockingClause)
    {
        const LockingClause *clause = lfirst(cell);

        TRY(query_check(binder, scope->query, clause));
        foreach(name, clause->lockedRels)
        {
            TRY(named_lock(binder, scope, clause, lfirst(name)));
        }
        for (uint32_t i = 0; clause->lockedRels == NIL && i < scope->item_count; i++) {
            TRY(item_lock(binder, scope, &scope->items[i], clause, false));
        }
    }
out:
    return err;
}
