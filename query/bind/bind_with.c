/* query/bind/bind_with.c - WITH: queries by name, those that refer to themselves, and changes.
 *
 * An item is bound when it is met: in its turn, or earlier, when WITH RECURSIVE lets another item
 * name it. What refers to itself is bound in two parts, the second of which reads the rows that the
 * part before it has given last (SOURCE_WORK). */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

static err_t
not_well_formed(struct binder *binder, const struct with_query *with, const char *where,
                int location)
{
    return bind_error(binder, location, "42P19",
                      "recursive reference to query \"%.*s\" must not appear within %s",
                      (int)with->name.size, (const char *)with->name.data, where);
}

/* ---- Columns ---- */

static err_t
columns_set(struct binder *binder, struct with_query *with, const struct target *targets,
            uint32_t count)
{
    struct cte *cte = with->cte;
    uint32_t aliases = (uint32_t)list_length(with->node->aliascolnames);

    if (aliases > count) {
        return bind_error(binder, with->location, "42P10",
                          "WITH query \"%.*s\" has %u columns available but %u columns specified",
                          (int)with->name.size, (const char *)with->name.data, count, aliases);
    }
    cte->column_count = count;
    cte->columns = bind_zeroed(binder, (count + 1) * sizeof(*cte->columns));
    for (uint32_t i = 0; i < count; i++) {
        cte->columns[i] = (struct source_column){
            .name = i < aliases
                        ? bind_text(binder, strVal(list_nth(with->node->aliascolnames, (int)i)))
                        : targets[i].name,
            .type = targets[i].expr->type,
            .typmod = targets[i].expr->typmod,
            .shape = targets[i].expr->shape,
            .is_used = true,
        };
    }
    return ERR_OK;
}

static uint32_t
visible_count(const struct query *query)
{
    uint32_t count = 0;

    while (count < query->target_count && !query->targets[count].is_junk) {
        count++;
    }
    return count;
}

static err_t
query_bind(struct binder *binder, struct with_query *with)
{
    uint32_t volatiles = binder->volatile_count;
    err_t err;

    TRY(bind_query(binder, with->scope, (const SelectStmt *)with->node->ctequery,
                   &with->cte->query));
    with->cte->has_volatile = binder->volatile_count != volatiles;
    err = columns_set(binder, with, with->cte->query->targets, visible_count(with->cte->query));
out:
    return err;
}

/* ---- Queries that refer to themselves ---- */

static err_t
parts_check(struct binder *binder, const SelectStmt *select)
{
    if (select->sortClause != NIL) {
        const SortBy *sort = linitial(select->sortClause);

        return bind_error(binder, bind_location(sort->node), "0A000",
                          "ORDER BY in a recursive query is not implemented");
    }
    if (select->limitOffset != NULL) {
        return bind_error(binder, bind_location(select->limitOffset), "0A000",
                          "OFFSET in a recursive query is not implemented");
    }
    if (select->limitCount != NULL) {
        return bind_error(binder, bind_location(select->limitCount), "0A000",
                          "LIMIT in a recursive query is not implemented");
    }
    if (select->lockingClause != NIL) {
        return bind_error(binder, -1, "0A000",
                          "FOR UPDATE/SHARE in a recursive query is not implemented");
    }
    return ERR_OK;
}

/* The second part gives what the first says. */
static err_t
types_agree(struct binder *binder, struct with_query *with)
{
    const struct query *first = with->cte->query;
    struct query *second = with->cte->recursive;
    err_t err = ERR_OK;

    if (visible_count(second) != with->cte->column_count) {
        return bind_error(binder, -1, "42601",
                          "each UNION query must have the same number of columns");
    }
    for (uint32_t i = 0; i < with->cte->column_count; i++) {
        struct expr *sides[2] = {first->targets[i].expr, second->targets[i].expr};
        const struct type *before = sides[0]->type, *type;

        TRY(bind_common(binder, "UNION", sides, 2, &type));
        if (type != before) {
            (void)bind_error(binder, first->targets[i].expr->position, "42804",
                             "recursive query \"%.*s\" column %u has type %s in non-recursive term "
                             "but type %s overall",
                             (int)with->name.size, (const char *)with->name.data, i + 1,
                             before->display, type->display);
            return sql_hint("Cast the output of the non-recursive term to the correct type.");
        }
        second->targets[i].expr = sides[1];
    }
out:
    return err;
}

static err_t
recursive_bind(struct binder *binder, struct with_query *with)
{
    const SelectStmt *select = (const SelectStmt *)with->node->ctequery;
    struct cte *cte = with->cte;
    struct scope scope = {.outer = with->scope, .query = bind_zeroed(binder, sizeof(struct query))};
    err_t err;

    cte->around = scope.query;
    TRY(bind_with(binder, &scope, select->withClause));
    with->state = WITH_FIRST;
    with->refusal = "its non-recursive term";
    TRY(bind_query(binder, &scope, select->larg, &cte->query));
    TRY(columns_set(binder, with, cte->query->targets, visible_count(cte->query)));
    with->state = WITH_SECOND;
    with->refusal = NULL;
    TRY(bind_query(binder, &scope, select->rarg, &cte->recursive));
    if (!with->is_self_read) { /* Only another UNION. */
        cte->recursive = NULL;
        with->state = WITH_WHOLE;
        return query_bind(binder, with);
    }
    TRY(parts_check(binder, select));
    TRY(types_agree(binder, with));
    cte->is_union_all = select->all;
out:
    return err;
}

/* ---- Changes ---- */

static err_t
change_bind(struct binder *binder, struct with_query *with)
{
    struct statement *change = bind_zeroed(binder, sizeof(*change));
    err_t err;

    if (with->scope->outer != NULL || !binder->may_change) {
        return bind_error(binder, with->location, "0A000",
                          "WITH clause containing a data-modifying statement must be at the top "
                          "level");
    }
    if (with->clause->recursive) {
        with->refusal = "a data-modifying statement";
    }
    TRY(bind_change(binder, with->node->ctequery, with->scope, change));
    with->cte->change = change;
    with->cte->next_change = NULL;
    if (binder->last_change != NULL) {
        binder->last_change->next_change = with->cte;
    } else {
        binder->first_change = with->cte;
    }
    binder->last_change = with->cte;
    err = columns_set(binder, with, change->returning, change->returning_count);
out:
    return err;
}

/* ---- Items ---- */

static err_t
with_bind(struct binder *binder, struct with_query *with)
{
    const Node *node = with->node->ctequery;
    const SelectStmt *select = (const SelectStmt *)node;
    struct with_query *current = binder->with_current;
    const char *no_self = binder->no_self;
    err_t err;

    if (with->node->search_clause != NULL || with->node->cycle_clause != NULL) {
        return bind_error(binder, with->location, "0A000",
                          "SEARCH and CYCLE clauses are not supported yet");
    }
    binder->with_current = with;
    binder->no_self = NULL;
    with->state = WITH_WHOLE;
    if (!IsA(node, SelectStmt)) {
        err = change_bind(binder, with);
    } else if (with->clause->recursive && select->op == SETOP_UNION) {
        err = recursive_bind(binder, with);
    } else {
        err = query_bind(binder, with);
    }
    with->state = WITH_BOUND;
    binder->with_current = current;
    binder->no_self = no_self;
    return err;
}

/* A name in FROM has met the item. */
err_t
bind_with_source(struct binder *binder, struct with_query *with, int location,
                 struct source **source_out)
{
    struct source *source;
    err_t err = ERR_OK;

    if (with->state == WITH_UNBOUND) {
        TRY(with_bind(binder, with));
    }
    if (with->state != WITH_BOUND && binder->with_current != with &&
        binder->with_current->scope == with->scope) {
        return bind_error(binder, with->location, "0A000",
                          "mutual recursion between WITH items is not implemented");
    }
    if (with->state == WITH_WHOLE) {
        return bind_error(
            binder, with->location, "42P19",
            "recursive query \"%.*s\" does not have the form non-recursive-term UNION "
            "[ALL] recursive-term",
            (int)with->name.size, (const char *)with->name.data);
    }
    if (with->state != WITH_BOUND && (with->refusal != NULL || binder->no_self != NULL)) {
        return not_well_formed(binder, with,
                               with->refusal != NULL ? with->refusal : binder->no_self, location);
    }
    if (with->state == WITH_SECOND && with->is_self_read) {
        return bind_error(binder, location, "42P19",
                          "recursive reference to query \"%.*s\" must not appear more than once",
                          (int)with->name.size, (const char *)with->name.data);
    }
    if (with->cte->change != NULL && with->cte->change->returning_count == 0) {
        return bind_error(binder, location, "0A000",
                          "WITH query \"%.*s\" does not have a RETURNING clause",
                          (int)with->name.size, (const char *)with->name.data);
    }
    source = source_new(binder, with->state == WITH_BOUND ? SOURCE_CTE : SOURCE_WORK,
                        with->cte->column_count);
    source->cte = with->cte;
    memcpy(source->columns, with->cte->columns, with->cte->column_count * sizeof(*source->columns));
    with->is_self_read = with->is_self_read || with->state == WITH_SECOND;
    with->cte->references += with->state == WITH_BOUND;
    *source_out = source;
out:
    return err;
}

static err_t
with_add(struct binder *binder, struct scope *scope, const WithClause *clause,
         const CommonTableExpr *node)
{
    struct with_query *with = bind_zeroed(binder, sizeof(*with));

    for (const struct with_query *other = scope->with; other != NULL; other = other->next) {
        if (slice_equal(other->name, slice_from_text(node->ctename))) {
            return bind_error(binder, node->location, "42712",
                              "WITH query name \"%s\" specified more than once", node->ctename);
        }
    }
    with->name = bind_text(binder, node->ctename);
    with->node = node;
    with->clause = clause;
    with->scope = scope;
    with->location = node->location;
    with->cte = bind_zeroed(binder, sizeof(*with->cte));
    with->cte->number = binder->cte_count++;
    with->cte->is_materialized = node->ctematerialized == CTEMaterializeAlways;
    with->cte->is_inlined = node->ctematerialized == CTEMaterializeNever;
    with->next = scope->with;
    scope->with = with;
    return ERR_OK;
}

/* The items of this scope that its query has to begin anew. */
static void
ctes_note(struct binder *binder, struct scope *scope, uint32_t count)
{
    struct cte **ctes = bind_zeroed(binder, (count + 1) * sizeof(*ctes));
    uint32_t at = count;

    for (struct with_query *with = scope->with; with != NULL; with = with->next) {
        ctes[--at] = with->cte;
    }
    scope->query->ctes = ctes;
    scope->query->cte_count = count;
}

err_t
bind_with(struct binder *binder, struct scope *scope, const WithClause *clause)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    if (clause == NULL) {
        return ERR_OK;
    }
    foreach(cell, clause->ctes)
    {
        TRY(with_add(binder, scope, clause, lfirst(cell)));
        if (!clause->recursive) {
            TRY(with_bind(binder, scope->with));
        }
    }
    for (int i = 0; clause->recursive && i < list_length(clause->ctes); i++) {
        struct with_query *with = scope->with;

        for (int j = list_length(clause->ctes) - 1; j > i; j--) {
            with = with->next;
        }
        if (with->state == WITH_UNBOUND) {
            TRY(with_bind(binder, with));
        }
    }
    ctes_note(binder, scope, (uint32_t)list_length(clause->ctes));
out:
    return err;
}
