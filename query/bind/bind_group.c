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
    const struct index *primary = regroup->query->set_count == 0 && source->relation != NULL
                                      ? source->relation->primary
                                      : NULL;

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

/* GROUPING(a, b): the numbers of its groups. */
static err_t
regroup_grouping(struct regroup *regroup, struct expr **expr)
{
    struct query *query = regroup->query;
    struct grouping_set *grown =
        bind_zeroed(regroup->binder, (query->grouping_count + 1) * sizeof(*grown));
    struct grouping_set *named = &grown[query->grouping_count];

    if (query->grouping_count > 0) {
        memcpy(grown, query->groupings, query->grouping_count * sizeof(*grown));
    }
    named->groups = bind_zeroed(regroup->binder, ((*expr)->arg_count + 1) * sizeof(*named->groups));
    for (uint32_t i = 0; i < (*expr)->arg_count; i++) {
        uint32_t group = 0;

        while (group < query->group_count && !expr_equal((*expr)->args[i], query->groups[group])) {
            group++;
        }
        if (group == query->group_count) {
            return bind_error(regroup->binder, (*expr)->args[i]->position, "42803",
                              "arguments to GROUPING must be grouping expressions of the "
                              "associated query level");
        }
        named->groups[named->count++] = group;
    }
    query->groupings = grown;
    become_column(regroup, expr, AGGREGATE_BASE + query->aggregate_count + query->grouping_count++);
    return ERR_OK;
}

static err_t
regroup_expr(struct regroup *regroup, struct expr **expr)
{
    err_t err = ERR_OK;

    if ((*expr)->kind == EXPR_GROUPING) {
        return regroup_grouping(regroup, expr);
    }

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

    source->column_count = query->group_count + query->aggregate_count + query->grouping_count;
    source->columns = bind_zeroed(binder, (source->column_count + 1) * sizeof(*source->columns));
    for (uint32_t i = 0; i < query->grouping_count; i++) {
        source->columns[source->column_count - 1 - i] =
            (struct source_column){.type = type_by_oid(OID_INT4), .typmod = -1, .is_used = true};
    }
    for (uint32_t i = 0; i < query->group_count + query->aggregate_count; i++) {
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

/* ---- GROUPING SETS, ROLLUP, CUBE: lists of sets ---- */

enum { CUBE_MAX = 12, GROUPING_SETS_MAX = 4096 };

struct set_list {
    struct grouping_set *sets;
    uint32_t count, capacity;
};

static err_t
sets_too_many(struct binder *binder)
{
    return bind_error(binder, -1, "54001", "too many grouping sets present (maximum %d)",
                      GROUPING_SETS_MAX);
}

/* a and b together, without repetition. */
static struct grouping_set
sets_join(struct binder *binder, const struct grouping_set *a, const struct grouping_set *b)
{
    struct grouping_set both = {
        .groups = bind_zeroed(binder, (a->count + b->count + 1) * sizeof(*both.groups))};

    for (uint32_t i = 0; i < a->count + b->count; i++) {
        uint32_t group = i < a->count ? a->groups[i] : b->groups[i - a->count];
        bool is_there = false;

        for (uint32_t j = 0; j < both.count; j++) {
            is_there = is_there || both.groups[j] == group;
        }
        if (!is_there) {
            both.groups[both.count++] = group;
        }
    }
    return both;
}

static err_t
set_add(struct binder *binder, struct set_list *list, struct grouping_set set)
{
    if (list->count == GROUPING_SETS_MAX) {
        return sets_too_many(binder);
    }
    if (list->count == list->capacity) {
        uint32_t capacity = Max(8, list->capacity * 2);
        struct grouping_set *grown = bind_zeroed(binder, capacity * sizeof(*grown));

        if (list->count > 0) {
            memcpy(grown, list->sets, list->count * sizeof(*grown));
        }
        list->sets = grown;
        list->capacity = capacity;
    }
    list->sets[list->count++] = set;
    return ERR_OK;
}

/* An expression, or several in parentheses. */
static err_t
group_columns(struct binder *binder, struct scope *scope, const Node *node,
              struct grouping_set *out)
{
    const RowExpr *row = (const RowExpr *)node;
    struct grouping_set one, more;
    const ListCell *cell;
    err_t err = ERR_OK;

    *out = (struct grouping_set){0};
    if (IsA(node, RowExpr) && row->row_format == COERCE_IMPLICIT_CAST) {
        foreach(cell, row->args)
        {
            TRY(group_columns(binder, scope, lfirst(cell), &more));
            *out = sets_join(binder, out, &more);
        }
        return ERR_OK;
    }
    one.groups = bind_zeroed(binder, sizeof(*one.groups));
    one.count = 1;
    TRY(bind_group_expr(binder, scope, scope->query, node, &one.groups[0]));
    *out = one;
out:
    return err;
}

static err_t group_item(struct binder *binder, struct scope *scope, const Node *node,
                        struct set_list *list);

/* ROLLUP: each beginning of the list, the longest first; CUBE: each choice of it. */
static err_t
rollup_or_cube(struct binder *binder, struct scope *scope, const GroupingSet *node,
               struct set_list *list)
{
    uint32_t count = (uint32_t)list_length(node->content);
    struct grouping_set *items = bind_zeroed(binder, (count + 1) * sizeof(*items));
    bool is_cube = node->kind == GROUPING_SET_CUBE;
    err_t err = ERR_OK;

    if (is_cube && count > CUBE_MAX) {
        return bind_error(binder, node->location, "54011", "CUBE is limited to %d elements",
                          CUBE_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(group_columns(binder, scope, list_nth(node->content, (int)i), &items[i]));
    }
    for (uint32_t i = 0; i < (is_cube ? 1U << count : count + 1); i++) {
        struct grouping_set set = {0};

        for (uint32_t j = 0; j < count; j++) {
            if (is_cube ? (i >> j & 1) != 0 : j < count - i) {
                set = sets_join(binder, &set, &items[j]);
            }
        }
        TRY(set_add(binder, list, set));
    }
out:
    return err;
}

static err_t
group_item(struct binder *binder, struct scope *scope, const Node *node, struct set_list *list)
{
    const GroupingSet *sets = (const GroupingSet *)node;
    struct grouping_set set = {0};
    const ListCell *cell;
    err_t err = bind_depth_check(binder);

    if (err != ERR_OK) {
        return err;
    }
    if (!IsA(node, GroupingSet)) {
        TRY(group_columns(binder, scope, node, &set));
        return set_add(binder, list, set);
    }
    switch (sets->kind) {
    case GROUPING_SET_ROLLUP:
    case GROUPING_SET_CUBE:
        return rollup_or_cube(binder, scope, sets, list);
    case GROUPING_SET_SETS:
        binder->depth++;
        foreach(cell, sets->content)
        {
            TRY(group_item(binder, scope, lfirst(cell), list));
        }
        binder->depth--;
        return ERR_OK;
    default: /* () */
        return set_add(binder, list, set);
    }
out:
    return err;
}

static bool
sets_equal(const struct grouping_set *a, const struct grouping_set *b)
{
    uint32_t matched = 0;

    for (uint32_t i = 0; i < a->count; i++) {
        for (uint32_t j = 0; j < b->count; j++) {
            matched += a->groups[i] == b->groups[j];
        }
    }
    return a->count == b->count && matched == a->count;
}

static void
sets_distinct(struct set_list *list)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < list->count; i++) {
        bool is_there = false;

        for (uint32_t j = 0; j < kept; j++) {
            is_there = is_there || sets_equal(&list->sets[i], &list->sets[j]);
        }
        if (!is_there) {
            list->sets[kept++] = list->sets[i];
        }
    }
    list->count = kept;
}

err_t
bind_group_by(struct binder *binder, struct scope *scope, const SelectStmt *select)
{
    struct query *query = scope->query;
    struct set_list all = {0};
    bool has_sets = false;
    const ListCell *cell;
    err_t err = ERR_OK;

    if (select->groupClause == NIL) {
        return ERR_OK;
    }
    query->is_grouped = true;
    TRY(set_add(binder, &all, (struct grouping_set){0}));
    foreach(cell, select->groupClause)
    {
        struct set_list item = {0}, product = {0};

        has_sets = has_sets || IsA(lfirst(cell), GroupingSet);
        TRY(group_item(binder, scope, lfirst(cell), &item));
        for (uint32_t i = 0; i < all.count; i++) {
            for (uint32_t j = 0; j < item.count; j++) {
                TRY(set_add(binder, &product, sets_join(binder, &all.sets[i], &item.sets[j])));
            }
        }
        all = product;
    }
    if (has_sets) {
        if (select->groupDistinct) {
            sets_distinct(&all);
        }
        query->sets = all.sets;
        query->set_count = all.count;
    }
out:
    return err;
}
