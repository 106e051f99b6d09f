/* query/plan/grouped.c - correlated aggregates for all outer values at once.
 *
 * (SELECT sum(x) FROM t WHERE t.k = outer.k AND ...) is also planned as SELECT k, sum(x) FROM t
 * WHERE ... GROUP BY k, when what it takes from outside stands nowhere else. How often it is asked
 * decides which of the two runs: query/exec/subquery.c. EXISTS, the same: which keys there are. */
#include "query/plan/internal.h"

#include "engine/base/poison.h"

enum {
    GROUPED_KEYS_MAX = 8,
    RUNS_OF_SCANS = 8, /* So many before all are computed at once; */
    RUNS_OF_LOOK_UPS = 1000,
};

struct grouping {
    struct planner *planner;
    const struct expr *subquery;
    uint32_t key_count;
    uint32_t arguments[GROUPED_KEYS_MAX]; /* Of the subquery's expression. */
    struct expr *keys[GROUPED_KEYS_MAX];  /* Over the subquery's own sources. */
    struct expr *rest;                    /* Of WHERE; NULL: none. */
};

static bool
takes_outer(const struct expr *expr)
{
    if (expr == NULL) {
        return false;
    }
    if (expr->kind == EXPR_OUTER) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (takes_outer(expr->args[i])) {
            return true;
        }
    }
    return false;
}

static bool
aggregate_takes_outer(const struct aggregate *aggregate)
{
    bool takes = takes_outer(aggregate->filter);

    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        takes = takes || takes_outer(aggregate->args[i]);
    }
    for (uint32_t i = 0; i < aggregate->order_count; i++) {
        takes = takes || takes_outer(aggregate->orders[i]);
    }
    for (uint32_t i = 0; i < aggregate->direct_count; i++) {
        takes = takes || takes_outer(aggregate->direct[i]);
    }
    return takes;
}

bool
plan_join_takes_outer(const struct join *join)
{
    const struct source *source = join->source;

    if (join->kind != FROM_SOURCE) {
        return takes_outer(join->on) || plan_join_takes_outer(join->left) ||
               plan_join_takes_outer(join->right);
    }
    for (uint32_t i = 0; i < source->function_count; i++) {
        if (takes_outer(source->functions[i])) {
            return true;
        }
    }
    for (uint32_t i = 0; source->query != NULL && i < source->query->outer_count; i++) {
        if (takes_outer(source->query->outers[i].expr)) {
            return true;
        }
    }
    /* An item of WITH may take anything. */
    return source->kind == SOURCE_CTE || source->kind == SOURCE_WORK;
}

bool
plan_takes_outer(const struct expr *expr)
{
    return takes_outer(expr);
}

/* The argument that sets this outer value; UINT32_MAX: it is not of this subquery. */
static uint32_t
argument_of(const struct expr *subquery, const struct expr *outer)
{
    for (uint32_t i = 0; outer->kind == EXPR_OUTER && i < subquery->subquery->outer_count; i++) {
        if (subquery->subquery->outer_params[i] == outer->param) {
            return subquery->subquery->compared_count + i;
        }
    }
    return UINT32_MAX;
}

static struct expr *
both_of(struct planner *planner, struct expr *a, struct expr *b)
{
    struct expr *both;

    if (a == NULL) {
        return b;
    }
    both = plan_zeroed(planner, sizeof(*both));
    both->kind = EXPR_AND;
    both->type = a->type;
    both->typmod = both->position = -1;
    both->arg_count = 2;
    both->args = plan_zeroed(planner, 2 * sizeof(struct expr *));
    both->args[0] = a;
    both->args[1] = b;
    return both;
}

/* Takes the condition apart into keys and the rest. False: it cannot be done. */
static bool
condition_split(struct grouping *grouping, struct expr *expr)
{
    if (expr->kind == EXPR_AND) {
        for (uint32_t i = 0; i < expr->arg_count; i++) {
            if (!condition_split(grouping, expr->args[i])) {
                return false;
            }
        }
        return true;
    }
    if (!takes_outer(expr)) {
        grouping->rest = both_of(grouping->planner, grouping->rest, expr);
        return true;
    }
    if (expr->kind != EXPR_CALL || expr->function->comparison != COMPARE_EQUAL ||
        grouping->key_count == GROUPED_KEYS_MAX) {
        return false;
    }
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t argument = argument_of(grouping->subquery, expr->args[side]);
        struct expr *key = expr->args[1 - side];

        if (argument != UINT32_MAX && !takes_outer(key) &&
            plan_keys_agree(key->type, expr->args[side]->type)) {
            grouping->arguments[grouping->key_count] = argument;
            grouping->keys[grouping->key_count++] = key;
            return true;
        }
    }
    return false;
}

static bool
is_plain_aggregate(const struct subquery *subquery)
{
    const struct query *query = subquery->query;

    return subquery->kind == SUBQUERY_SCALAR && subquery->outer_count > 0 && query->is_grouped &&
           query->group_count == 0 && query->set_count == 0 && query->grouping_count == 0 &&
           query->from != NULL && query->where != NULL && query->having == NULL &&
           query->limit == NULL && query->offset == NULL && query->window_count == 0 &&
           !query->has_sets && query->order_count == 0 && query->target_count == 1 &&
           query->cte_count == 0 && query->row_lock_count == 0 && !query->has_volatile &&
           query->values_count == 0 && query->set == SET_NONE;
}

static bool
is_plain_exists(const struct subquery *subquery)
{
    const struct query *query = subquery->query;

    return subquery->kind == SUBQUERY_EXISTS && subquery->outer_count > 0 && !query->is_grouped &&
           query->from != NULL && query->where != NULL && query->limit == NULL &&
           query->offset == NULL && query->window_count == 0 && !query->has_sets &&
           query->cte_count == 0 && query->row_lock_count == 0 && !query->has_volatile &&
           query->values_count == 0 && query->set == SET_NONE;
}

static bool
is_decorrelated(struct grouping *grouping)
{
    const struct query *query = grouping->subquery->subquery->query;

    for (uint32_t i = 0; i < query->aggregate_count; i++) {
        if (aggregate_takes_outer(query->aggregates[i]->aggregate)) {
            return false;
        }
    }
    if (query->is_grouped && takes_outer(query->targets[0].expr)) {
        return false;
    }
    return !plan_join_takes_outer(query->from) && condition_split(grouping, query->where) &&
           grouping->key_count > 0;
}

/* Columns of the aggregation move behind the keys. */
static struct expr *
shifted(struct planner *planner, const struct expr *expr, uint32_t source, uint32_t by)
{
    struct expr *copy = plan_zeroed(planner, sizeof(*copy));

    *copy = *expr;
    if (expr->kind == EXPR_COLUMN && expr->column.source == source) {
        copy->column.column += by;
    }
    copy->args = plan_zeroed(planner, (expr->arg_count + 1) * sizeof(struct expr *));
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        copy->args[i] = shifted(planner, expr->args[i], source, by);
    }
    return copy;
}

static struct query *
grouped_query(struct planner *planner, const struct query *query, const struct grouping *grouping)
{
    uint32_t keys = grouping->key_count, columns = query->aggregate_source->column_count;
    struct query *grouped = plan_zeroed(planner, sizeof(*grouped));
    struct source *source = plan_zeroed(planner, sizeof(*source));

    *grouped = *query;
    *source = *query->aggregate_source;
    source->column_count = keys + columns;
    source->columns = plan_zeroed(planner, (keys + columns) * sizeof(*source->columns));
    memcpy(source->columns + keys, query->aggregate_source->columns,
           columns * sizeof(*source->columns));
    grouped->aggregate_source = source;
    grouped->where = grouping->rest;
    grouped->group_count = keys;
    grouped->groups = plan_zeroed(planner, keys * sizeof(struct expr *));
    grouped->target_count = keys + 1;
    grouped->targets = plan_zeroed(planner, (keys + 1) * sizeof(*grouped->targets));
    for (uint32_t i = 0; i < keys; i++) {
        struct expr *column = plan_zeroed(planner, sizeof(*column));

        grouped->groups[i] = grouping->keys[i];
        source->columns[i].type = grouping->keys[i]->type;
        column->kind = EXPR_COLUMN;
        column->type = grouping->keys[i]->type;
        column->typmod = column->position = -1;
        column->column.source = source->id;
        column->column.column = i;
        grouped->targets[i].expr = column;
    }
    grouped->targets[keys] = query->targets[0];
    grouped->targets[keys].expr = shifted(planner, query->targets[0].expr, source->id, keys);
    grouped->is_distinct = false;
    grouped->plan = NULL;
    return grouped;
}

/* The keys that there are, each once, beside true. */
static struct query *
distinct_query(struct planner *planner, const struct query *query, const struct grouping *grouping)
{
    struct query *distinct = plan_zeroed(planner, sizeof(*distinct));
    struct expr *is_there = plan_zeroed(planner, sizeof(*is_there));

    distinct->from = query->from;
    distinct->where = grouping->rest;
    distinct->target_count = grouping->key_count + 1;
    distinct->targets = plan_zeroed(planner, distinct->target_count * sizeof(*distinct->targets));
    for (uint32_t i = 0; i < grouping->key_count; i++) {
        distinct->targets[i].expr = grouping->keys[i];
    }
    is_there->kind = EXPR_CONST;
    is_there->type = grouping->subquery->type;
    is_there->typmod = is_there->position = -1;
    is_there->constant.value = datum_int(1);
    distinct->targets[grouping->key_count].expr = is_there;
    distinct->is_distinct = true;
    return distinct;
}

/* Does it find the rows of its outer values by an index? */
static bool
looks_up(const struct plan *plan)
{
    return plan != NULL && ((plan->kind == PLAN_SCAN && plan->equal_count > 0) ||
                            looks_up(plan->left) || looks_up(plan->right));
}

err_t
plan_grouped(struct planner *planner, const struct expr *expr)
{
    struct grouping grouping = {.planner = planner, .subquery = expr};
    struct subquery *subquery = expr->subquery;
    bool is_exists = is_plain_exists(subquery);

    if ((!is_exists && !is_plain_aggregate(subquery)) || !is_decorrelated(&grouping)) {
        return ERR_OK;
    }
    subquery->runs_before_grouping = looks_up(subquery->plan) ? RUNS_OF_LOOK_UPS : RUNS_OF_SCANS;
    subquery->grouped_key_count = grouping.key_count;
    subquery->grouped_keys = plan_zeroed(planner, grouping.key_count * sizeof(uint32_t));
    memcpy(subquery->grouped_keys, grouping.arguments, grouping.key_count * sizeof(uint32_t));
    return plan_query(planner,
                      is_exists ? distinct_query(planner, subquery->query, &grouping)
                                : grouped_query(planner, subquery->query, &grouping),
                      &subquery->grouped);
}
