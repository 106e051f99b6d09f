/* query/exec/pushed.c - groups and aggregates made at the shards where the rows of a table lie.
 *
 * Each shard filters and groups a piece of its rows (txn/fragment.h), and sends the groups with the
 * states of their aggregates, which the session's shard merges. What is evaluated there may depend
 * on nothing but the row and the parameters: comparisons, arithmetic and casts of numbers, LIKE. */
#include "query/exec/aggregate.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { CONDITIONS_MAX = 4 };

/* What the shards read; it stays as it is while they do. */
struct pushed {
    const struct plan *plan, *scan;
    const struct expr *conditions[CONDITIONS_MAX];
    uint32_t condition_count;
    const struct exec *exec; /* For its parameters. */
};

/* ---- May it be evaluated there? ---- */

static bool
is_number(oid_t oid)
{
    return oid == OID_INT2 || oid == OID_INT4 || oid == OID_INT8 || oid == OID_NUMERIC ||
           oid == OID_FLOAT4 || oid == OID_FLOAT8;
}

/* Types that are compared without asking anybody. */
static bool
is_plain(const struct type *type)
{
    return type->oid < OID_FIRST_USER && type->element_type == NULL && type->compare != NULL &&
           type->category != 'P';
}

static bool
is_name_of(const char *name, const char *const *names, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(name, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool
is_plain_call(const struct expr *expr)
{
    static const char *const arithmetic[] = {"+",    "-",    "*",    "/",       "%",
                                             "int2", "int4", "int8", "numeric", "float8"};
    const struct function *function = expr->function;
    bool are_plain = true, are_numbers = is_number(expr->type->oid);

    for (uint32_t i = 0; i < expr->arg_count; i++) {
        are_plain = are_plain && is_plain(expr->args[i]->type);
        are_numbers = are_numbers && is_number(expr->args[i]->type->oid);
    }
    if (function->is_volatile || function->set != NULL || expr->arg_count == 0) {
        return false;
    }
    if (function->comparison != COMPARE_NONE) {
        return are_plain;
    }
    return (are_numbers &&
            is_name_of(function->name, arithmetic, sizeof(arithmetic) / sizeof(arithmetic[0]))) ||
           (are_plain && (strcmp(function->name, "~~") == 0 || strcmp(function->name, "!~~") == 0));
}

static bool
is_pushable(const struct expr *expr)
{
    if (sql_stack_check() != ERR_OK) {
        return false;
    }
    switch (expr->kind) {
    case EXPR_CONST:
    case EXPR_COLUMN:
    case EXPR_PARAM:
    case EXPR_AND:
    case EXPR_OR:
    case EXPR_NOT:
    case EXPR_IS_NULL:
    case EXPR_IS_NOT_NULL:
    case EXPR_IS_BOOL:
    case EXPR_RELABEL:
    case EXPR_CASE:
    case EXPR_COALESCE:
        break;
    case EXPR_IN:
        if (!is_plain(expr->args[0]->type) || expr->compare == NULL ||
            expr->compare->comparison == COMPARE_NONE) {
            return false;
        }
        break;
    case EXPR_CALL:
        if (!is_plain_call(expr)) {
            return false;
        }
        break;
    default:
        return false;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (!is_pushable(expr->args[i])) {
            return false;
        }
    }
    return true;
}

/* The states of others cannot be merged, or depend on the order of rows: sums of floats. */
static bool
aggregate_is_pushable(const struct aggregate *aggregate)
{
    const struct aggregate_function *function = aggregate->function;

    if (function == NULL || function->merge == NULL || aggregate->is_distinct ||
        aggregate->order_count > 0 || aggregate->direct_count > 0 ||
        (aggregate->filter != NULL && !is_pushable(aggregate->filter))) {
        return false;
    }
    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        const struct type *type = aggregate->args[i]->type;

        if (!is_pushable(aggregate->args[i]) || (function->result == OID_ANY && !is_plain(type))) {
            return false;
        }
    }
    return true;
}

static bool
pushed_make(const struct operator* operator, struct pushed * pushed)
{
    const struct plan *at = operator->plan->left;

    *pushed = (struct pushed){.plan = operator->plan, .exec = operator->exec };
    for (; at->kind == PLAN_FILTER; at = at->left) {
        if (pushed->condition_count == CONDITIONS_MAX || !is_pushable(at->condition)) {
            return false;
        }
        pushed->conditions[pushed->condition_count++] = at->condition;
    }
    pushed->scan = at;
    return at->kind == PLAN_SCAN && at->index == NULL && !at->has_row_keys && at->outer_count == 0;
}

bool
pushed_is_possible(const struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct pushed pushed;

    if (operator->exec->measures || operator->exec->txn == NULL || plan->set_count> 0 ||
        plan->grouping_count> 0 || plan->outer_count> 0 || !pushed_make(operator, & pushed)) {
        return false;
    }
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        if (!is_pushable(plan->exprs[i]) || !is_plain(plan->exprs[i]->type)) {
            return false;
        }
    }
    for (uint32_t i = 0; i < plan->aggregate_count; i++) {
        if (!aggregate_is_pushable(plan->aggregates[i])) {
            return false;
        }
    }
    return true;
}

/* ---- At the shard of the rows ---- */

/* The rows that all conditions are true for, at the front of the batch. */
static err_t
batch_filter(struct exec *exec, const struct pushed *pushed, struct arena *arena,
             struct batch *batch)
{
    uint16_t selected[BATCH_ROWS_MAX];
    uint32_t count;
    err_t err = ERR_OK;

    for (uint32_t i = pushed->condition_count; i > 0 && batch->rows > 0; i--) {
        TRY(eval_condition(exec, arena, pushed->conditions[i - 1], batch, selected, &count));
        for (uint32_t j = 0; count < batch->rows && j < batch->column_count; j++) {
            struct vector *column = &batch->columns[j];

            for (uint32_t k = 0; k < count; k++) {
                column->values[k] = column->values[selected[k]];
                column->nulls[k] = column->nulls[selected[k]];
            }
        }
        batch->rows = count;
    }
out:
    return err;
}

static err_t
rows_add_all(struct operator* operator, const struct pushed * pushed, struct txn_piece *piece)
{
    const struct plan *scan = pushed->scan;
    struct arena rows;
    struct batch batch;
    uint32_t read;
    err_t err;

    arena_init(&rows, MEM_SESSIONS);
    do {
        arena_reset(&rows);
        arena_reset(&operator->arena);
        batch_make(&batch, &rows, scan->column_count, BATCH_ROWS_MAX);
        TRY(rtable_piece_next(piece, scan->relation, scan->scan_columns, scan->scan_column_count,
                              &rows, BATCH_ROWS_MAX, batch.columns, &batch.rows));
        read = batch.rows;
        TRY(batch_filter(operator->exec, pushed, &rows, &batch));
        TRY(batch.rows > 0 ? aggregate_part_add(operator, & batch) : ERR_OK);
        TRY(exec_work(operator->exec, read));
    } while (read > 0);
out:
    arena_fini(&rows);
    return err;
}

static YIELDS err_t
piece_group(const void *arg, struct txn_piece *piece, struct buf *out)
{
    const struct pushed *pushed = arg;
    struct statement_env env = {0};
    struct exec exec = {
        .settings = &type_settings_default,
        .env = &env,
        .param_count = pushed->exec->param_count,
        .params = pushed->exec->params,
        .param_nulls = pushed->exec->param_nulls,
        .own_budget = {.work_bytes = UINT64_MAX, .file_bytes_max = UINT64_MAX},
    };
    struct operator operator= {.plan = pushed->plan, .exec = &exec};
    err_t err;

    exec.budget = &exec.own_budget;
    arena_init(&operator.arena, MEM_SESSIONS);
    aggregate_part_begin(&operator);
    err = rows_add_all(&operator, pushed, piece);
    if (err == ERR_OK) {
        aggregate_part_put(&operator, out);
    }
    aggregate_part_end(&operator);
    arena_fini(&operator.arena);
    return err;
}

/* ---- At the session's shard ---- */

static YIELDS err_t
groups_take(void *arg, struct slice groups)
{
    return aggregate_part_take(arg, groups);
}

err_t pushed_build(struct operator* operator)
{
    struct txn_fragments *fragments = NULL;
    struct pushed pushed;
    bool is_end = false;
    err_t err;

    (void)pushed_make(operator, & pushed);
    TRY(rtable_fragments_open(operator->exec->txn, pushed.scan->relation, piece_group, &pushed,
                              &fragments));
    while (!is_end) {
        TRY(txn_fragments_next(fragments, groups_take, operator, & is_end));
        TRY(exec_work(operator->exec, BATCH_ROWS_MAX));
    }
out:
    txn_fragments_close(&fragments);
    return err;
}
