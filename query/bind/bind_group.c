/* query/bind/bind_group.c - GROUP BY and aggregates: expressions above them are made of their
 * columns. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

struct regroup {
    struct binder *binder;
    struct scope *scope;
    struct query *query;
};

static err_t regroup_expr(struct regroup *regroup, struct expr **expr);

/* Is the column's table grouped by all of its primary key? Then each group has one value of it. */
static bool
is_determined(const struct regroup *regroup, const struct source *source)
{
    const struct index *primary = source->relation != NULL ? source->relation->primary : NULL;

    for (uint32_t i = 0; primary != NULL && i < primary->column_count; i++) {
        bool is_grouped = false;

        for (uint32_t j = 0; j < regroup->query->group_count; j++) {
            const struct expr *group = regroup->query->groups[j];

            is_grouped =
                is_grouped || (group->kind == EXPR_COLUMN && group->column.source == source->id &&
                               group->column.column == primary->columns[i]);
        }
        if (!is_grouped) {
            return false;
        }
    }
    return primary != NULL;
}

static uint32_t
group_add(struct regroup *regroup, struct expr *expr)
{
    struct query *query = regroup->query;
    struct expr **grown =
        arena_alloc(regroup->binder->arena, (query->group_count + 1) * sizeof(*grown));

    if (query->group_count > 0) {
        memcpy(grown, query->groups, query->group_count * sizeof(*grown));
    }
    grown[query->group_count] = expr;
    query->groups = grown;
    return query->group_count++;
}

static err_t
ungrouped(struct regroup *regroup, const struct expr *expr)
{
    for (uint32_t i = 0; i < regroup->scope->item_count; i++) {
        const struct scope_item *item = &regroup->scope->items[i];

        if (item->source->id == expr->column.source) {
            struct slice name = item->source->columns[expr->column.column].name;

            return bind_error(regroup->binder, expr->position, "42803",
                              "column \"%.*s.%.*s\" must appear in the GROUP BY clause or be used "
                              "in an aggregate function",
                              (int)item->alias.size, (const char *)item->alias.data, (int)name.size,
                              (const char *)name.data);
        }
    }
    return bind_error(regroup->binder, expr->position, "42803",
                      "a column must appear in the GROUP BY clause or be used in an aggregate "
                      "function");
}

static void
become_column(struct regroup *regroup, struct expr **expr, uint32_t column)
{
    struct expr *replaced =
        expr_new(regroup->binder->arena, EXPR_COLUMN, (*expr)->type, 0, (*expr)->position);

    replaced->typmod = (*expr)->typmod;
    replaced->column.source = regroup->query->aggregate_source->id;
    replaced->column.column = column;
    *expr = replaced;
}

/* Numbers of aggregates follow those of groups; but groups may still be added, so they count from
 * the end of all numbers until all are known. */
enum { AGGREGATE_BASE = 1 << 20 };

static err_t
regroup_leaf(struct regroup *regroup, struct expr **expr)
{
    struct query *query = regroup->query;

    if ((*expr)->kind == EXPR_AGGREGATE) {
        for (uint32_t i = 0; i < query->aggregate_count; i++) {
            if (query->aggregates[i]->aggregate == (*expr)->aggregate) {
                become_column(regroup, expr, AGGREGATE_BASE + i);
                return ERR_OK;
            }
        }
        return ERR_OK;
    }
    for (uint32_t i = 0; i < regroup->scope->item_count; i++) {
        const struct source *source = regroup->scope->items[i].source;

        if (source->id == (*expr)->column.source && is_determined(regroup, source)) {
            become_column(regroup, expr, group_add(regroup, *expr));
            return ERR_OK;
        }
    }
    return ungrouped(regroup, *expr);
}

static err_t
regroup_expr(struct regroup *regroup, struct expr **expr)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < regroup->query->group_count; i++) {
        if (expr_equal(*expr, regroup->query->groups[i])) {
            become_column(regroup, expr, i);
            return ERR_OK;
        }
    }
    if ((*expr)->kind == EXPR_AGGREGATE ||
        ((*expr)->kind == EXPR_COLUMN &&
         (*expr)->column.source != regroup->query->aggregate_source->id)) {
        return regroup_leaf(regroup, expr);
    }
    for (uint32_t i = 0; err == ERR_OK && i < (*expr)->arg_count; i++) {
        err = regroup_expr(regroup, &(*expr)->args[i]);
    }
    return err;
}

static void
aggregates_renumber(struct query *query, struct expr *expr)
{
    if (expr->kind == EXPR_COLUMN && expr->column.source == query->aggregate_source->id &&
        expr->column.column >= AGGREGATE_BASE) {
        expr->column.column = expr->column.column - AGGREGATE_BASE + query->group_count;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        aggregates_renumber(query, expr->args[i]);
    }
}

static void
columns_fill(struct query *query, struct binder *binder)
{
    struct source *source = query->aggregate_source;

    source->column_count = query->group_count + query->aggregate_count;
    source->columns = bind_zeroed(binder, (source->column_count + 1) * sizeof(*source->columns));
    for (uint32_t i = 0; i < source->column_count; i++) {
        const struct expr *expr =
            i < query->group_count ? query->groups[i] : query->aggregates[i - query->group_count];

        source->columns[i].type = expr->type;
        source->columns[i].typmod = expr->typmod;
        source->columns[i].is_used = true;
    }
}

/* Windows are over the rows of the groups. */
static err_t
windows_regroup(struct regroup *regroup)
{
    struct query *query = regroup->query;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < query->window_count; i++) {
        struct window *window = query->windows[i];

        for (uint32_t j = 0; j < window->partition_count; j++) {
            TRY(regroup_expr(regroup, &window->partition[j]));
        }
        for (uint32_t j = 0; j < window->order_count; j++) {
            TRY(regroup_expr(regroup, &window->orders[j]));
        }
    }
    /* Groups may have been added: only now are the numbers known. */
    for (uint32_t i = 0; i < query->window_count; i++) {
        struct window *window = query->windows[i];

        for (uint32_t j = 0; j < window->partition_count; j++) {
            aggregates_renumber(query, window->partition[j]);
        }
        for (uint32_t j = 0; j < window->order_count; j++) {
            aggregates_renumber(query, window->orders[j]);
        }
    }
out:
    return err;
}

err_t
bind_grouping(struct binder *binder, struct scope *scope, struct query *query)
{
    struct regroup regroup = {.binder = binder, .scope = scope, .query = query};
    err_t err = ERR_OK;

    if (!query->is_grouped) {
        return ERR_OK;
    }
    query->aggregate_source = source_new(binder, SOURCE_AGGREGATE, 0);
    for (uint32_t i = 0; i < query->target_count; i++) {
        TRY(regroup_expr(&regroup, &query->targets[i].expr));
    }
    if (query->having != NULL) {
        TRY(regroup_expr(&regroup, &query->having));
    }
    TRY(windows_regroup(&regroup));
    for (uint32_t i = 0; i < query->target_count; i++) {
        aggregates_renumber(query, query->targets[i].expr);
    }
    if (query->having != NULL) {
        aggregates_renumber(query, query->having);
    }
    columns_fill(query, binder);
out:
    return err;
}
