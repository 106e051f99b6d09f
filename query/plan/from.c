/* query/plan/from.c - FROM and WHERE: which conditions go where, the order of joins, access paths.
 *
 * Inner joins are taken apart into items and conditions. Each condition on one item goes into it;
 * then items are joined one by one, the next always one that an equality connects, where there is
 * one, with the fewest rows expected. */
#include "engine/base/assert.h"
#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/catalog/system.h"
#include "query/plan/internal.h"

#include "engine/base/poison.h"

enum {
    ROWS_UNKNOWN = 1000, /* Of a table that ANALYZE has not counted. */
    ROWS_LEAST = 100,
    ROWS_PER_EQUAL = 10, /* An equality leaves a tenth, */
    ROWS_PER_RANGE = 3,  /* a bound a third. */
    LOOKUP_ROWS = 30,    /* Rows that a scan reads in the time of one look-up in an index. */
};

/* ---- Sets of sources ---- */

typedef uint64_t *source_set;

static uint32_t
set_words(const struct planner *planner)
{
    return planner->source_count / 64 + 1;
}

static source_set
set_new(struct planner *planner)
{
    return plan_zeroed(planner, set_words(planner) * sizeof(uint64_t));
}

static void
set_add(source_set set, uint32_t source)
{
    set[source / 64] |= UINT64_C(1) << source % 64;
}

static bool
set_contains(const struct planner *planner, source_set set, source_set part)
{
    for (uint32_t i = 0; i < set_words(planner); i++) {
        if ((part[i] & ~set[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool
set_meets(const struct planner *planner, source_set a, source_set b)
{
    for (uint32_t i = 0; i < set_words(planner); i++) {
        if ((a[i] & b[i]) != 0) {
            return true;
        }
    }
    return false;
}

static bool
set_is_empty(const struct planner *planner, source_set set)
{
    for (uint32_t i = 0; i < set_words(planner); i++) {
        if (set[i] != 0) {
            return false;
        }
    }
    return true;
}

static void
set_union(const struct planner *planner, source_set set, source_set other)
{
    for (uint32_t i = 0; i < set_words(planner); i++) {
        set[i] |= other[i];
    }
}

static void
expr_sources(const struct expr *expr, source_set set)
{
    if (expr->kind == EXPR_COLUMN) {
        set_add(set, expr->column.source);
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        expr_sources(expr->args[i], set);
    }
}

/* ---- Conditions ---- */

struct condition {
    const struct expr *expr;
    source_set sources;
    bool is_done;
};

struct item {
    struct plan *plan;
    source_set sources;
    double rows;    /* That it gives, */
    double scanned; /* and of a table those that it reads. */
    bool is_done;
    /* LATERAL: values that must be set from columns of others before it runs. */
    uint32_t outer_count;
    struct outer_reference *outers;
    /* Of one table: what an index may look up for the rows of others. */
    const struct source *table;
    struct plan *scan;
};

struct from {
    struct planner *planner;
    struct condition *conditions;
    uint32_t condition_count, condition_capacity;
    const struct join **joins; /* Leaves and outer joins. */
    uint32_t join_count, join_capacity;
};

static void *
grown(struct planner *planner, void *old, uint32_t count, uint32_t *capacity, size_t size)
{
    void *larger;

    if (count < *capacity) {
        return old;
    }
    *capacity = MAX(16U, *capacity * 2);
    larger = plan_zeroed(planner, *capacity * size);
    if (count > 0) {
        memcpy(larger, old, count * size);
    }
    return larger;
}

static void
conditions_add(struct from *from, const struct expr *expr)
{
    struct condition *condition;

    if (expr == NULL) {
        return;
    }
    if (expr->kind == EXPR_AND) {
        for (uint32_t i = 0; i < expr->arg_count; i++) {
            conditions_add(from, expr->args[i]);
        }
        return;
    }
    from->conditions = grown(from->planner, from->conditions, from->condition_count,
                             &from->condition_capacity, sizeof(*from->conditions));
    condition = &from->conditions[from->condition_count++];
    condition->expr = expr;
    condition->sources = set_new(from->planner);
    expr_sources(expr, condition->sources);
}

static void
joins_flatten(struct from *from, const struct join *join)
{
    if (join->kind == FROM_INNER) {
        joins_flatten(from, join->left);
        joins_flatten(from, join->right);
        conditions_add(from, join->on);
        return;
    }
    from->joins = grown(from->planner, from->joins, from->join_count, &from->join_capacity,
                        sizeof(*from->joins));
    from->joins[from->join_count++] = join;
}

/* AND of resolved conditions onto what the plan has. */
static err_t
condition_attach(struct planner *planner, struct plan *plan, const struct plan *input,
                 const struct expr *expr)
{
    struct expr *resolved, *both;
    err_t err = plan_resolve(planner, input, expr, &resolved);

    if (err != ERR_OK) {
        return err;
    }
    if (plan->condition == NULL) {
        plan->condition = resolved;
        return ERR_OK;
    }
    both = plan_zeroed(planner, sizeof(*both));
    both->kind = EXPR_AND;
    both->type = resolved->type;
    both->typmod = -1;
    both->arg_count = 2;
    both->args = plan_zeroed(planner, 2 * sizeof(struct expr *));
    both->args[0] = plan->condition;
    both->args[1] = resolved;
    plan->condition = both;
    return ERR_OK;
}

/* ---- Access paths ---- */

/* column <comparison> value, whichever way round it is written. */
struct bound {
    uint32_t column;
    enum comparison comparison;
    const struct expr *value;
};

static bool
has_columns(const struct expr *expr)
{
    if (expr->kind == EXPR_COLUMN || expr->kind == EXPR_SUBQUERY ||
        (expr->kind == EXPR_CALL && expr->function->is_volatile)) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (has_columns(expr->args[i])) {
            return true;
        }
    }
    return false;
}

/* May it have another value when it is asked again, or cost much? */
static bool
is_unstable(const struct expr *expr)
{
    if (expr->kind == EXPR_SUBQUERY || (expr->kind == EXPR_CALL && expr->function->is_volatile)) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (is_unstable(expr->args[i])) {
            return true;
        }
    }
    return false;
}

static enum comparison
turned(enum comparison comparison)
{
    switch (comparison) {
    case COMPARE_LESS:
        return COMPARE_GREATER;
    case COMPARE_LESS_EQUAL:
        return COMPARE_GREATER_EQUAL;
    case COMPARE_GREATER:
        return COMPARE_LESS;
    case COMPARE_GREATER_EQUAL:
        return COMPARE_LESS_EQUAL;
    default:
        return comparison;
    }
}

static bool
is_wide_int(const struct type *type)
{
    return type->rep == REP_INT && type->length > 1;
}

bool
plan_keys_agree(const struct type *column, const struct type *value)
{
    if (column == value) {
        return true;
    }
    if (column->rep != value->rep || column->oid == OID_BPCHAR || value->oid == OID_BPCHAR) {
        return false;
    }
    return column->rep == REP_INT ? is_wide_int(column) && is_wide_int(value) : true;
}

static bool
bound_of(const struct expr *expr, uint32_t source, struct bound *out)
{
    if (expr->kind != EXPR_CALL || expr->function->comparison == COMPARE_NONE ||
        expr->function->comparison == COMPARE_NOT_EQUAL) {
        return false;
    }
    for (uint32_t side = 0; side < 2; side++) {
        const struct expr *column = expr->args[side], *value = expr->args[1 - side];

        while (column->kind == EXPR_RELABEL && column->type->oid != OID_BPCHAR &&
               column->args[0]->type->oid != OID_BPCHAR) {
            column = column->args[0];
        }
        if (column->kind == EXPR_COLUMN && column->column.source == source && !has_columns(value) &&
            plan_keys_agree(column->type, value->type)) {
            out->column = column->column.column;
            out->comparison =
                side == 0 ? expr->function->comparison : turned(expr->function->comparison);
            out->value = value;
            return true;
        }
    }
    return false;
}

/* How well an index serves: equalities on its first columns, then a bound on the next. */
struct path {
    const struct index *index;
    uint32_t equals;
    bool has_low, has_high;
};

static const struct expr *
bound_find(const struct from *from, uint32_t source, uint32_t column, enum comparison wanted,
           enum comparison or_wanted, enum comparison *found_out)
{
    struct bound bound;

    for (uint32_t i = 0; i < from->condition_count; i++) {
        if (bound_of(from->conditions[i].expr, source, &bound) && bound.column == column &&
            (bound.comparison == wanted || bound.comparison == or_wanted)) {
            *found_out = bound.comparison;
            return bound.value;
        }
    }
    return NULL;
}

static struct path
path_of(const struct from *from, const struct source *source, const struct index *index)
{
    struct path path = {.index = index};
    enum comparison found;

    if (index->predicate != 0) { /* It does not have every row. */
        return path;
    }
    while (path.equals < index->column_count &&
           bound_find(from, source->id, index->columns[path.equals], COMPARE_EQUAL, COMPARE_EQUAL,
                      &found) != NULL) {
        path.equals++;
    }
    if (path.equals < index->column_count && !index->is_descending[path.equals]) {
        uint32_t next = index->columns[path.equals];

        path.has_low = bound_find(from, source->id, next, COMPARE_GREATER, COMPARE_GREATER_EQUAL,
                                  &found) != NULL;
        path.has_high =
            bound_find(from, source->id, next, COMPARE_LESS, COMPARE_LESS_EQUAL, &found) != NULL;
    }
    return path;
}

/* As ANALYZE counted them. */
static double
table_rows(const struct relation *relation)
{
    uint64_t counted = relational_rows(relation->oid);

    /* One that was small when it was counted may have grown since. */
    return counted == UINT64_MAX ? ROWS_UNKNOWN : (double)MAX(counted, (uint64_t)ROWS_LEAST);
}

static double
path_rows(const struct path *path, double rows)
{
    if (path->index->is_unique && path->equals == path->index->column_count) {
        return 1;
    }
    for (uint32_t i = 0; i < path->equals; i++) {
        rows /= ROWS_PER_EQUAL;
    }
    rows /= path->has_low ? ROWS_PER_RANGE : 1;
    return rows / (path->has_high ? ROWS_PER_RANGE : 1);
}

static err_t
path_fill(const struct from *from, const struct source *source, const struct path *path,
          struct plan *scan)
{
    enum comparison found;
    err_t err = ERR_OK;
    uint32_t next;

    scan->index = path->index;
    scan->equal_count = path->equals;
    scan->exprs = plan_zeroed(from->planner, (path->equals + 1) * sizeof(*scan->exprs));
    for (uint32_t i = 0; i < path->equals; i++) {
        TRY(plan_resolve(from->planner, scan,
                         bound_find(from, source->id, path->index->columns[i], COMPARE_EQUAL,
                                    COMPARE_EQUAL, &found),
                         &scan->exprs[i]));
    }
    if (path->has_low) {
        next = path->index->columns[path->equals];
        TRY(plan_resolve(
            from->planner, scan,
            bound_find(from, source->id, next, COMPARE_GREATER, COMPARE_GREATER_EQUAL, &found),
            &scan->low));
        scan->is_low_open = found == COMPARE_GREATER;
    }
    if (path->has_high) {
        next = path->index->columns[path->equals];
        TRY(plan_resolve(
            from->planner, scan,
            bound_find(from, source->id, next, COMPARE_LESS, COMPARE_LESS_EQUAL, &found),
            &scan->high));
        scan->is_high_open = found == COMPARE_LESS;
    }
out:
    return err;
}

/* ---- Leaves ---- */

static void
scan_columns(struct planner *planner, const struct source *source, struct plan *scan)
{
    uint32_t total = source->column_count + source->needs_row_keys;

    scan->scan_columns = plan_zeroed(planner, (total + 1) * sizeof(*scan->scan_columns));
    scan->columns = plan_zeroed(planner, (total + 1) * sizeof(*scan->columns));
    for (uint32_t i = 0; i < source->column_count; i++) {
        if (source->columns[i].is_used) {
            scan->scan_columns[scan->scan_column_count++] = (uint16_t)i;
            scan->columns[scan->column_count++] = (struct plan_column){
                .source = source->id, .column = i, .type = source->columns[i].type};
        }
    }
    if (source->needs_row_keys) {
        scan->has_row_keys = true;
        scan->columns[scan->column_count++] =
            (struct plan_column){.source = source->id,
                                 .column = source->column_count,
                                 .type = source->columns[source->column_count].type};
    }
}

static err_t
table_plan(const struct from *from, const struct source *source, struct item *item)
{
    struct plan *scan = plan_new(from->planner, PLAN_SCAN, NULL, 0);
    struct path best = {0};

    item->rows = table_rows(source->relation);
    scan->relation = source->relation;
    scan_columns(from->planner, source, scan);
    item->plan = scan;
    item->table = source;
    item->scan = scan;
    for (uint32_t i = 0; i < source->relation->index_count; i++) {
        struct path path = path_of(from, source, &source->relation->indexes[i]);
        double rows = path_rows(&path, table_rows(source->relation));

        if (path.equals + path.has_low + path.has_high > 0 &&
            (rows < item->rows || (rows == item->rows && path.index->is_primary))) {
            item->rows = rows;
            best = path;
        }
    }
    item->scanned = item->rows;
    return best.index != NULL ? path_fill(from, source, &best, scan) : ERR_OK;
}

/* The pattern of LIKE on the first column of keys of Redis; NULL: the condition is another. */
static const struct expr *
like_of(const struct expr *expr, const struct source *source)
{
    const struct expr *column =
        expr->kind == EXPR_CALL && expr->arg_count == 2 ? expr->args[0] : NULL;

    if (column == NULL || source->system->schema != SYSTEM_REDIS ||
        strcmp(expr->function->name, "~~") != 0) {
        return NULL;
    }
    return column->kind == EXPR_COLUMN && column->column.source == source->id &&
                   column->column.column == 0 && !has_columns(expr->args[1])
               ? expr->args[1]
               : NULL;
}

/* Equalities are handed down as hints, and asked again above. */
static err_t
system_plan(const struct from *from, const struct source *source, struct item *item)
{
    struct plan *scan = plan_new(from->planner, PLAN_SYSTEM, NULL, 0);
    struct bound bound;
    err_t err = ERR_OK;

    scan->relation = source->relation;
    scan->system = source->system;
    scan_columns(from->planner, source, scan);
    scan->exprs = plan_zeroed(from->planner, (from->condition_count + 1) * sizeof(*scan->exprs));
    scan->system_columns =
        plan_zeroed(from->planner, (from->condition_count + 1) * sizeof(*scan->system_columns));
    item->rows = ROWS_UNKNOWN;
    for (uint32_t i = 0; i < from->condition_count; i++) {
        if (bound_of(from->conditions[i].expr, source->id, &bound) &&
            bound.comparison == COMPARE_EQUAL) {
            TRY(plan_resolve(from->planner, scan, bound.value, &scan->exprs[scan->equal_count]));
            scan->system_columns[scan->equal_count++] = bound.column;
            item->rows = MAX(item->rows / ROWS_PER_EQUAL, 1.0);
        } else if (like_of(from->conditions[i].expr, source) != NULL) {
            TRY(plan_resolve(from->planner, scan, like_of(from->conditions[i].expr, source),
                             &scan->system_like));
        }
    }
    item->plan = scan;
out:
    return err;
}

/* What lies below gives the source's columns under numbers of its own. */
static struct plan *
renamed(struct planner *planner, struct plan *plan, const struct source *source)
{
    struct plan *copy = plan_zeroed(planner, sizeof(*copy));

    *copy = *plan;
    copy->columns = plan_zeroed(planner, (plan->column_count + 1) * sizeof(*copy->columns));
    for (uint32_t i = 0; i < plan->column_count; i++) {
        copy->columns[i] =
            (struct plan_column){.source = source->id, .column = i, .type = plan->columns[i].type};
    }
    return copy;
}

static void
outer_add(struct planner *planner, struct outer_reference **outers, uint32_t *count,
          const struct outer_reference *added)
{
    struct outer_reference *larger = plan_zeroed(planner, (*count + 1) * sizeof(*larger));

    if (*count > 0) {
        memcpy(larger, *outers, *count * sizeof(*larger));
    }
    larger[(*count)++] = *added;
    *outers = larger;
}

/* What a query in FROM takes from around it: what is known when it is opened, and what a join with
 * its neighbours sets. */
static void
outers_split(struct planner *planner, const struct query *query, struct item *item)
{
    for (uint32_t i = 0; i < query->outer_count; i++) {
        source_set sources = set_new(planner);

        expr_sources(query->outers[i].expr, sources);
        if (set_is_empty(planner, sources)) {
            outer_add(planner, &item->plan->outers, &item->plan->outer_count, &query->outers[i]);
        } else {
            outer_add(planner, &item->outers, &item->outer_count, &query->outers[i]);
        }
    }
}

static err_t
query_source_plan(struct planner *planner, const struct source *source, struct item *item)
{
    struct plan *plan;
    err_t err = plan_query(planner, source->query, &plan);

    if (err == ERR_OK) {
        item->plan = renamed(planner, plan, source);
        outers_split(planner, source->query, item);
        item->rows = ROWS_UNKNOWN;
    }
    return err;
}

static err_t
cte_source_plan(struct planner *planner, const struct source *source, struct item *item)
{
    struct source inlined = *source;

    item->rows = ROWS_UNKNOWN;
    if (source->kind == SOURCE_WORK || !plan_cte_is_inlined(source->cte)) {
        return plan_cte_source(planner, source, &item->plan);
    }
    inlined.query = source->cte->query;
    return query_source_plan(planner, &inlined, item);
}

static err_t
functions_plan(struct planner *planner, const struct source *source, struct item *item)
{
    struct plan *plan = plan_new(planner, PLAN_FUNCTION, NULL, source->column_count);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < source->column_count; i++) {
        plan->columns[i] = (struct plan_column){
            .source = source->id, .column = i, .type = source->columns[i].type};
    }
    plan->expr_count = source->function_count;
    plan->exprs = plan_zeroed(planner, (source->function_count + 1) * sizeof(*plan->exprs));
    plan->has_ordinality = source->has_ordinality;
    for (uint32_t i = 0; err == ERR_OK && i < source->function_count; i++) {
        err = plan_resolve(planner, plan, source->functions[i], &plan->exprs[i]);
    }
    item->plan = plan;
    item->rows = ROWS_UNKNOWN;
    return err;
}

static struct plan *
copy_plan(struct planner *planner, const struct source *source)
{
    struct plan *copy = plan_new(planner, PLAN_COPY, NULL, source->column_count);

    for (uint32_t i = 0; i < source->column_count; i++) {
        copy->columns[i] = (struct plan_column){
            .source = source->id, .column = i, .type = source->columns[i].type};
    }
    return copy;
}

static err_t
leaf_plan(const struct from *from, const struct source *source, struct item *item)
{
    set_add(item->sources, source->id);
    switch (source->kind) {
    case SOURCE_TABLE:
        return table_plan(from, source, item);
    case SOURCE_SYSTEM:
        return system_plan(from, source, item);
    case SOURCE_QUERY:
        return query_source_plan(from->planner, source, item);
    case SOURCE_CTE:
    case SOURCE_WORK:
        return cte_source_plan(from->planner, source, item);
    case SOURCE_FUNCTION:
        return functions_plan(from->planner, source, item);
    case SOURCE_COPY:
        item->plan = copy_plan(from->planner, source);
        item->rows = ROWS_UNKNOWN;
        return ERR_OK;
    case SOURCE_AGGREGATE:
        break;
    }
    return ERR_OK;
}

/* ---- Joins ---- */

/* a = b with one side in each item: keys of a hash join. */
static bool
key_of(const struct planner *planner, const struct expr *expr, source_set left, source_set right,
       const struct expr **left_out, const struct expr **right_out)
{
    if (expr->kind != EXPR_CALL || expr->function->comparison != COMPARE_EQUAL) {
        return false;
    }
    for (uint32_t side = 0; side < 2; side++) {
        source_set a = set_new((struct planner *)(uintptr_t)planner);
        source_set b = set_new((struct planner *)(uintptr_t)planner);

        expr_sources(expr->args[side], a);
        expr_sources(expr->args[1 - side], b);
        if (!set_is_empty(planner, a) && !set_is_empty(planner, b) &&
            set_contains(planner, left, a) && set_contains(planner, right, b) &&
            expr->args[0]->type->rep == expr->args[1]->type->rep) {
            *left_out = expr->args[side];
            *right_out = expr->args[1 - side];
            return true;
        }
    }
    return false;
}

static struct plan *
join_new(struct planner *planner, enum from_kind kind, struct plan *left, struct plan *right)
{
    struct plan *join =
        plan_new(planner, PLAN_JOIN_LOOP, left, left->column_count + right->column_count);

    join->join = kind;
    join->right = right;
    memcpy(join->columns, left->columns, left->column_count * sizeof(*join->columns));
    memcpy(join->columns + left->column_count, right->columns,
           right->column_count * sizeof(*join->columns));
    return join;
}

static err_t
key_add(struct planner *planner, struct plan *join, const struct expr *left,
        const struct expr *right)
{
    uint32_t capacity = join->key_count, right_capacity = join->key_count;
    struct expr **lefts = plan_zeroed(planner, (capacity + 1) * sizeof(*lefts));
    struct expr **rights = plan_zeroed(planner, (right_capacity + 1) * sizeof(*rights));
    err_t err;

    for (uint32_t i = 0; i < join->key_count; i++) {
        lefts[i] = join->left_keys[i];
        rights[i] = join->right_keys[i];
    }
    TRY(plan_resolve(planner, join->left, left, &lefts[join->key_count]));
    TRY(plan_resolve(planner, join->right, right, &rights[join->key_count]));
    join->left_keys = lefts;
    join->right_keys = rights;
    join->key_count++;
    join->kind = PLAN_JOIN_HASH;
out:
    return err;
}

/* Puts the conditions that the two items together can answer onto their join. */
static err_t
join_conditions(struct from *from, struct plan *join, source_set left, source_set right,
                source_set both)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < from->condition_count; i++) {
        struct condition *condition = &from->conditions[i];
        const struct expr *left_key, *right_key;

        if (condition->is_done || !set_contains(from->planner, both, condition->sources)) {
            continue;
        }
        condition->is_done = true;
        if (join->kind != PLAN_JOIN_LATERAL &&
            key_of(from->planner, condition->expr, left, right, &left_key, &right_key)) {
            TRY(key_add(from->planner, join, left_key, right_key));
        } else {
            TRY(condition_attach(from->planner, join, join, condition->expr));
        }
    }
out:
    return err;
}

/* Can the outer value be set from these sources? */
static bool
outer_fits(struct planner *planner, const struct outer_reference *outer, source_set sources)
{
    source_set needed = set_new(planner);

    expr_sources(outer->expr, needed);
    return set_contains(planner, sources, needed);
}

/* A join of two items; LATERAL when the right one takes values of the left. What others still have
 * to set goes on to *item. */
static err_t
items_join(struct planner *planner, enum from_kind kind, const struct item *left,
           const struct item *right, struct item *item, struct plan **join_out)
{
    struct plan *join = join_new(planner, kind, left->plan, right->plan);
    err_t err = ERR_OK;

    item->outers = NULL;
    item->outer_count = 0;
    for (uint32_t i = 0; i < left->outer_count; i++) {
        outer_add(planner, &item->outers, &item->outer_count, &left->outers[i]);
    }
    for (uint32_t i = 0; i < right->outer_count; i++) {
        if (!outer_fits(planner, &right->outers[i], left->sources)) {
            outer_add(planner, &item->outers, &item->outer_count, &right->outers[i]);
            continue;
        }
        join->kind = PLAN_JOIN_LATERAL;
        outer_add(planner, &join->outers, &join->outer_count, &right->outers[i]);
        TRY(plan_resolve(planner, left->plan, right->outers[i].expr,
                         &join->outers[join->outer_count - 1].expr));
    }
    if (join->kind == PLAN_JOIN_LATERAL && kind != FROM_INNER && kind != FROM_LEFT) {
        (void)sql_error("42P10", "invalid reference to FROM-clause entry");
        return sql_detail("The combining JOIN type must be INNER or LEFT for a LATERAL reference.");
    }
    *join_out = join;
out:
    return err;
}

/* ---- Look-ups: for each row of the left side, rows of a table by an index ---- */

/* What the column must equal, over the left side; NULL: nothing. */
static const struct expr *
lookup_value(const struct from *from, const struct source *table, uint32_t column, source_set left,
             bool *takes_left_out)
{
    for (uint32_t i = 0; i < from->condition_count; i++) {
        const struct expr *expr = from->conditions[i].expr;

        if (expr->kind != EXPR_CALL || expr->function->comparison != COMPARE_EQUAL) {
            continue;
        }
        for (uint32_t side = 0; side < 2; side++) {
            const struct expr *key = expr->args[side], *value = expr->args[1 - side];
            source_set needed = set_new(from->planner);

            expr_sources(value, needed);
            if (key->kind == EXPR_COLUMN && key->column.source == table->id &&
                key->column.column == column && !is_unstable(value) &&
                set_contains(from->planner, left, needed) &&
                plan_keys_agree(key->type, value->type)) {
                *takes_left_out = *takes_left_out || !set_is_empty(from->planner, needed);
                return value;
            }
        }
    }
    return NULL;
}

/* The index that finds the fewest rows; its index NULL: none takes a value of the left side. */
static struct path
lookup_path(const struct from *from, const struct source *table, source_set left)
{
    double best_rows = table_rows(table->relation);
    struct path best = {0};

    for (uint32_t i = 0; i < table->relation->index_count; i++) {
        struct path path = {.index = &table->relation->indexes[i]};
        bool takes_left = false;
        double rows;

        while (path.index->predicate == 0 && path.equals < path.index->column_count &&
               lookup_value(from, table, path.index->columns[path.equals], left, &takes_left) !=
                   NULL) {
            path.equals++;
        }
        rows = path_rows(&path, table_rows(table->relation));
        if (takes_left && rows < best_rows) {
            best_rows = rows;
            best = path;
        }
    }
    return best;
}

/* Makes the join one of look-ups, where that reads less than the table. */
static err_t
lookup_try(const struct from *from, const struct item *left, struct item *right, struct plan *join)
{
    struct planner *planner = from->planner;
    struct plan *scan = right->scan;
    bool takes_left = false;
    struct path path;
    double rows;
    err_t err = ERR_OK;

    if (scan == NULL || right->outer_count > 0 || join->kind != PLAN_JOIN_LOOP ||
        planner->next_outer == NULL) {
        return ERR_OK;
    }
    path = lookup_path(from, right->table, left->sources);
    rows = path.index != NULL ? path_rows(&path, table_rows(right->table->relation)) : 0;
    if (path.index == NULL || left->rows * (LOOKUP_ROWS + rows) >= right->scanned) {
        return ERR_OK;
    }
    scan->index = path.index;
    scan->equal_count = path.equals;
    scan->low = scan->high = NULL;
    scan->exprs = plan_zeroed(planner, (path.equals + 1) * sizeof(*scan->exprs));
    for (uint32_t i = 0; i < path.equals; i++) {
        const struct expr *value =
            lookup_value(from, right->table, path.index->columns[i], left->sources, &takes_left);
        struct outer_reference outer = {.param = (*planner->next_outer)++};
        struct expr *key = plan_zeroed(planner, sizeof(*key));

        TRY(plan_resolve(planner, left->plan, value, &outer.expr));
        *key = (struct expr){.kind = EXPR_OUTER,
                             .type = value->type,
                             .typmod = value->typmod,
                             .position = -1,
                             .param = outer.param};
        scan->exprs[i] = key;
        outer_add(planner, &join->outers, &join->outer_count, &outer);
    }
    join->kind = PLAN_JOIN_LATERAL;
    right->rows = left->rows * rows;
out:
    return err;
}

static err_t join_tree_plan(struct planner *planner, const struct join *join,
                            const struct from *above, struct item *item);

/* Sources of a join tree. */
static void
tree_sources(const struct join *join, source_set set)
{
    if (join->kind == FROM_SOURCE) {
        set_add(set, join->source->id);
        return;
    }
    tree_sources(join->left, set);
    tree_sources(join->right, set);
}

/* Conditions above an outer join that ask only its side which is kept whole go into that side. */
static void
conditions_push(const struct from *above, struct from *into, source_set side)
{
    for (uint32_t i = 0; above != NULL && i < above->condition_count; i++) {
        struct condition *condition = &above->conditions[i];

        if (!condition->is_done && !set_is_empty(above->planner, condition->sources) &&
            set_contains(above->planner, side, condition->sources)) {
            condition->is_done = true;
            conditions_add(into, condition->expr);
        }
    }
}

static err_t from_plan(struct from *from, struct item *item_out);

static err_t
outer_join_plan(struct planner *planner, const struct join *join, const struct from *above,
                struct item *item)
{
    struct from on = {.planner = planner};
    struct from left = {.planner = planner}, right = {.planner = planner};
    struct item left_item = {0}, right_item = {0};
    source_set left_set = set_new(planner), right_set = set_new(planner);
    struct plan *joined;
    err_t err;

    tree_sources(join->left, left_set);
    tree_sources(join->right, right_set);
    conditions_add(&on, join->on);
    joins_flatten(&left, join->left);
    joins_flatten(&right, join->right);
    if (join->kind == FROM_LEFT) {
        conditions_push(above, &left, left_set);
        conditions_push(&on, &right, right_set);
    } else if (join->kind == FROM_RIGHT) {
        conditions_push(above, &right, right_set);
        conditions_push(&on, &left, left_set);
    }
    TRY(from_plan(&left, &left_item));
    TRY(from_plan(&right, &right_item));
    left_item.sources = left_set;
    TRY(items_join(planner, join->kind, &left_item, &right_item, item, &joined));
    if (join->kind == FROM_LEFT) {
        TRY(lookup_try(&on, &left_item, &right_item, joined));
    }
    set_union(planner, item->sources, left_set);
    set_union(planner, item->sources, right_set);
    TRY(join_conditions(&on, joined, left_set, right_set, item->sources));
    item->plan = joined;
    item->rows = MAX(left_item.rows, right_item.rows);
out:
    return err;
}

static err_t
join_tree_plan(struct planner *planner, const struct join *join, const struct from *above,
               struct item *item)
{
    item->sources = set_new(planner);
    return join->kind == FROM_SOURCE ? leaf_plan(above, join->source, item)
                                     : outer_join_plan(planner, join, above, item);
}

/* Conditions that one item alone answers. */
static err_t
item_filter(struct from *from, struct item *item)
{
    struct plan *filter = NULL;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < from->condition_count; i++) {
        struct condition *condition = &from->conditions[i];

        if (condition->is_done || set_is_empty(from->planner, condition->sources) ||
            !set_contains(from->planner, item->sources, condition->sources)) {
            continue;
        }
        condition->is_done = true;
        if (filter == NULL) {
            filter = plan_above(from->planner, PLAN_FILTER, item->plan);
        }
        TRY(condition_attach(from->planner, filter, item->plan, condition->expr));
        item->rows = MAX(item->rows / ROWS_PER_RANGE, 1.0);
    }
    item->plan = filter != NULL ? filter : item->plan;
out:
    return err;
}

static bool
is_connected(const struct from *from, source_set left, source_set right)
{
    const struct expr *left_key, *right_key;

    for (uint32_t i = 0; i < from->condition_count; i++) {
        if (!from->conditions[i].is_done &&
            key_of(from->planner, from->conditions[i].expr, left, right, &left_key, &right_key)) {
            return true;
        }
    }
    return false;
}

/* Does it take values of items that are not joined yet? */
static bool
waits_for_others(const struct from *from, const struct item *item, const struct item *items,
                 uint32_t count)
{
    for (uint32_t i = 0; i < item->outer_count; i++) {
        source_set needed = set_new(from->planner);

        expr_sources(item->outers[i].expr, needed);
        for (uint32_t j = 0; j < count; j++) {
            if (&items[j] != item && !items[j].is_done &&
                set_meets(from->planner, needed, items[j].sources)) {
                return true;
            }
        }
    }
    return false;
}

static struct item *
item_next(const struct from *from, struct item *items, uint32_t count, source_set joined)
{
    struct item *best = NULL;
    bool is_best_connected = false;

    for (uint32_t i = 0; i < count; i++) {
        bool connects;

        if (items[i].is_done || waits_for_others(from, &items[i], items, count)) {
            continue;
        }
        connects = joined != NULL && is_connected(from, joined, items[i].sources);
        if (best == NULL || (connects && !is_best_connected) ||
            (connects == is_best_connected && items[i].rows < best->rows)) {
            best = &items[i];
            is_best_connected = connects;
        }
    }
    return best;
}

static err_t
from_plan(struct from *from, struct item *item_out)
{
    struct item *items = plan_zeroed(from->planner, (from->join_count + 1) * sizeof(*items));
    struct item *first;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < from->join_count; i++) {
        TRY(join_tree_plan(from->planner, from->joins[i], from, &items[i]));
        TRY(item_filter(from, &items[i]));
    }
    first = item_next(from, items, from->join_count, NULL);
    first->is_done = true;
    *item_out = *first;
    item_out->sources = set_new(from->planner);
    set_union(from->planner, item_out->sources, first->sources);
    for (uint32_t i = 1; i < from->join_count; i++) {
        struct item *next = item_next(from, items, from->join_count, item_out->sources);
        source_set both = set_new(from->planner);
        struct plan *join;
        struct item left = *item_out;

        next->is_done = true;
        TRY(items_join(from->planner, FROM_INNER, &left, next, item_out, &join));
        TRY(lookup_try(from, &left, next, join));
        set_union(from->planner, both, item_out->sources);
        set_union(from->planner, both, next->sources);
        TRY(join_conditions(from, join, item_out->sources, next->sources, both));
        item_out->plan = join;
        item_out->sources = both;
        item_out->rows = MAX(item_out->rows, next->rows);
        item_out->scan = NULL;
    }
out:
    return err;
}

err_t
plan_from(struct planner *planner, const struct query *query, struct plan **plan_out)
{
    struct from from = {.planner = planner};
    struct plan *filter = NULL;
    struct item item = {0};
    err_t err = ERR_OK;

    conditions_add(&from, query->where);
    if (query->from == NULL) {
        item.plan = plan_new(planner, PLAN_ONE_ROW, NULL, 0);
    } else {
        joins_flatten(&from, query->from);
        TRY(from_plan(&from, &item));
    }
    for (uint32_t i = 0; i < from.condition_count; i++) { /* Those of no column. */
        if (!from.conditions[i].is_done) {
            filter = filter != NULL ? filter : plan_above(planner, PLAN_FILTER, item.plan);
            TRY(condition_attach(planner, filter, item.plan, from.conditions[i].expr));
        }
    }
    *plan_out = filter != NULL ? filter : item.plan;
out:
    return err;
}
