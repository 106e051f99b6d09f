/* query/exec/operator.c - opening plans; the operators that keep no rows. */
#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"
#include "query/exec/foreign.h"
#include "query/session.h"

#include "engine/base/poison.h"

/* Room for the values of EXPR_OUTER: planning, which may come later, can make more of them. */
static void
outers_make(struct exec *exec)
{
    uint32_t count = exec->statement->outer_count + 1, old = exec->outer_capacity;
    struct datum *outers = arena_alloc(exec->arena, count * sizeof(*outers));
    uint8_t *nulls = arena_alloc(exec->arena, count);

    memset(nulls, 1, count);
    if (old > 0) {
        memcpy(outers, exec->outers, old * sizeof(*outers));
        memcpy(nulls, exec->outer_nulls, old);
    }
    exec->outers = outers;
    exec->outer_nulls = nulls;
    exec->outer_capacity = count;
}

void
exec_init(struct exec *exec, const struct statement_env *env, struct arena *arena,
          const struct type_settings *settings, const struct statement *statement)
{
    *exec = (struct exec){.txn = env->txn, .env = env, .arena = arena, .settings = settings};
    exec->statement = statement;
    exec->own_budget =
        (struct spill_budget){.work_bytes = SPILL_WORK_BYTES, .file_bytes_max = UINT64_MAX};
    exec->budget = env->session != NULL ? sql_session_budget(env->session) : &exec->own_budget;
    outers_make(exec);
    exec->subquery_count = statement->subquery_count;
    exec->subqueries =
        arena_alloc(arena, (statement->subquery_count + 1) * sizeof(struct subquery_state *));
    memset(exec->subqueries, 0, (statement->subquery_count + 1) * sizeof(struct subquery_state *));
    exec->cte_count = statement->cte_count;
    exec->ctes = arena_alloc(arena, (statement->cte_count + 1) * sizeof(struct cte_state *));
    memset(exec->ctes, 0, (statement->cte_count + 1) * sizeof(struct cte_state *));
}

void
exec_fini(struct exec *exec)
{
    subqueries_close(exec);
    ctes_close(exec);
    rtable_writes_free(&exec->writes);
    foreign_events_free(&exec->events);
}

bool
exec_is_over(const struct exec *exec, uint64_t bytes)
{
    return bytes > exec->budget->work_bytes;
}

err_t
exec_work(struct exec *exec, uint32_t rows)
{
    fiber_work(rows + 1);
    if (exec->is_cancelled != NULL && *exec->is_cancelled) {
        return sql_error("57014", "canceling statement due to user request");
    }
    if (mem_over(mem_account_current(), MEM_SESSIONS, 0)) {
        (void)sql_error("53200", "out of memory");
        return sql_detail("What sorts, joins and groups keep does not fit the memory of sessions.");
    }
    return ERR_OK;
}

/* ---- Once: what gives a fixed number of rows ---- */

struct once_state {
    uint32_t at;
    bool is_ended;
};

static err_t once_reset(struct operator* operator)
{
    *(struct once_state *)operator->state =(struct once_state){0};
    return ERR_OK;
}

static void once_close(struct operator* operator)
{
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct once_state));
}

static err_t
one_row_next(struct operator* operator, const struct batch ** batch_out)
{
    struct once_state *state = operator->state;

    operator->batch =(struct batch){.rows = 1};
    *batch_out = state->is_ended ? NULL : &operator->batch;
    state->is_ended = true;
    return ERR_OK;
}

static err_t
values_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
    struct once_state *state = operator->state;
    uint32_t columns = plan->column_count;
    uint32_t total = columns > 0 ? plan->expr_count / columns : 0;
    uint32_t count = MIN(total - state->at, (uint32_t)BATCH_ROWS_MAX);
    err_t err = ERR_OK;

    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, columns, count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < columns; j++) {
            struct vector *column = &operator->batch.columns[j];
            bool is_null = false;

            TRY(eval_value(operator->exec, &operator->arena,
                           plan->exprs[(state->at + i) * columns + j], &column->values[i],
                           &is_null));
            column->nulls[i] = is_null;
        }
    }
    state->at += count;
    *batch_out = count > 0 ? &operator->batch : NULL;
out:
    return err;
}

static err_t
copy_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct row_supplier *supplier = operator->exec->supplier;

    ASSERT(supplier != NULL);
    return supplier->next(supplier->arg, batch_out);
}

static void once_open(struct operator* operator,
                      err_t (*next)(struct operator* operator, const struct batch ** batch_out))
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct once_state);
    operator->next = next;
    operator->reset = once_reset;
    operator->close = once_close;
}

/* ---- FILTER, PROJECT ---- */

static err_t
filter_next(struct operator* operator, const struct batch ** batch_out)
{
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *input;
    uint32_t count = 0;
    err_t err;

    do {
        TRY(operator_next(operator->left, &input));
        *batch_out = NULL;
        if (input == NULL) {
            return ERR_OK;
        }
        arena_reset(&operator->arena);
        TRY(eval_condition(operator->exec, &operator->arena, operator->plan->condition, input,
                           selected, &count));
        TRY(exec_work(operator->exec, input->rows));
    } while (count == 0);
    *batch_out = input;
    if (count < input->rows) {
        batch_make(&operator->batch, &operator->arena, input->column_count, count);
        for (uint32_t i = 0; i < input->column_count; i++) {
            for (uint32_t j = 0; j < count; j++) {
                operator->batch.columns[i].values[j] =
                    vector_value(&input->columns[i], selected[j]);
                operator->batch.columns[i].nulls[j] =
                    vector_is_null(&input->columns[i], selected[j]);
            }
        }
        *batch_out = &operator->batch;
    }
out:
    return err;
}

static err_t
project_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
    const struct batch *input;
    err_t err;

    *batch_out = NULL;
    TRY(operator_next(operator->left, &input));
    if (input == NULL) {
        return ERR_OK;
    }
    arena_reset(&operator->arena);
    operator->batch.columns =
        arena_alloc(&operator->arena, (plan->expr_count + 1) * sizeof(struct vector));
    operator->batch.column_count = plan->expr_count;
    operator->batch.rows = input->rows;
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        TRY(eval(operator->exec, &operator->arena, plan->exprs[i], input, NULL, input->rows,
                 &operator->batch.columns[i]));
    }
    *batch_out = &operator->batch;
    TRY(exec_work(operator->exec, input->rows));
out:
    return err;
}

/* ---- LIMIT ---- */

struct limit_state {
    bool is_started, has_limit;
    uint64_t skip, left;
};

static err_t
limit_bound(struct operator* operator, const struct expr * expr, const char *what,
            const char *sqlstate, uint64_t *bound_out, bool *is_null_out)
{
    struct datum value;
    err_t err = eval_value(operator->exec, &operator->arena, expr, &value, is_null_out);

    if (err == ERR_OK && !*is_null_out && value.i < 0) {
        return sql_error(sqlstate, "%s must not be negative", what);
    }
    *bound_out = err == ERR_OK && !*is_null_out ? (uint64_t)value.i : 0;
    return err;
}

static err_t limit_start(struct operator* operator, struct limit_state * state)
{
    bool is_null = true;
    err_t err = ERR_OK;

    *state = (struct limit_state){.is_started = true};
    if (operator->plan->offset != NULL) {
        TRY(limit_bound(operator, operator->plan->offset, "OFFSET", "2201X", &state->skip,
                        &is_null));
    }
    if (operator->plan->limit != NULL) {
        TRY(limit_bound(operator, operator->plan->limit, "LIMIT", "2201W", &state->left, &is_null));
        state->has_limit = !is_null;
    }
out:
    return err;
}

static err_t
limit_next(struct operator* operator, const struct batch ** batch_out)
{
    struct limit_state *state = operator->state;
    const struct batch *input;
    uint64_t first, count;
    err_t err = ERR_OK;

    *batch_out = NULL;
    arena_reset(&operator->arena);
    if (!state->is_started) {
        TRY(limit_start(operator, state));
    }
    do {
        if (state->has_limit && state->left == 0) {
            return ERR_OK;
        }
        TRY(operator_next(operator->left, &input));
        if (input == NULL) {
            return ERR_OK;
        }
        first = MIN(state->skip, (uint64_t)input->rows);
        state->skip -= first;
        count = input->rows - first;
        count = state->has_limit ? MIN(count, state->left) : count;
        state->left -= state->has_limit ? count : 0;
    } while (count == 0);
    operator->batch.columns =
        arena_alloc(&operator->arena, (input->column_count + 1) * sizeof(struct vector));
    operator->batch.column_count = input->column_count;
    operator->batch.rows =(uint32_t) count;
    for (uint32_t i = 0; i < input->column_count; i++) {
        struct vector column = input->columns[i];

        if (!column.is_constant) {
            column.values += first;
            column.nulls = column.nulls != NULL ? column.nulls + first : NULL;
        }
        operator->batch.columns[i] = column;
    }
    *batch_out = &operator->batch;
out:
    return err;
}

static err_t limit_reset(struct operator* operator)
{
    ((struct limit_state *)operator->state)->is_started = false;
    return ERR_OK;
}

static void limit_close(struct operator* operator)
{
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct limit_state));
}

/* ---- Opening ---- */

static err_t own_open(struct operator* operator)
{
    switch (operator->plan->kind) {
    case PLAN_ONE_ROW:
        once_open(operator, one_row_next);
        return ERR_OK;
    case PLAN_VALUES:
        once_open(operator, values_next);
        return ERR_OK;
    case PLAN_FUNCTION:
    case PLAN_PROJECT_SET:
        return set_functions_open(operator);
    case PLAN_COPY:
        operator->next = copy_next;
        return ERR_OK;
    case PLAN_FILTER:
        operator->next = filter_next;
        return ERR_OK;
    case PLAN_PROJECT:
        operator->next = project_next;
        return ERR_OK;
    case PLAN_LIMIT:
        operator->state = MEM_NEW(MEM_SESSIONS, struct limit_state);
        operator->next = limit_next;
        operator->reset = limit_reset;
        operator->close = limit_close;
        return ERR_OK;
    case PLAN_CTE:
    case PLAN_WORK:
        return cte_open(operator);
    case PLAN_WITH:
        return with_open(operator);
    case PLAN_SCAN:
        return scan_open(operator);
    case PLAN_SYSTEM:
        return system_open(operator);
    case PLAN_JOIN_LOOP:
    case PLAN_JOIN_HASH:
        return join_open(operator);
    case PLAN_JOIN_LATERAL:
        return lateral_open(operator);
    case PLAN_AGGREGATE:
        return aggregate_open(operator);
    case PLAN_LOCK_ROWS:
        return lock_rows_open(operator);
    case PLAN_WINDOW:
        return window_calls_open(operator);
    case PLAN_SORT:
        return sort_open(operator);
    case PLAN_DISTINCT:
    case PLAN_DISTINCT_ON:
        return distinct_open(operator);
    case PLAN_SET:
        return set_open(operator);
    }
    return sql_error("XX000", "a plan of kind %d cannot be run", (int)operator->plan->kind);
}

void
operator_note(struct operator* operator, uint64_t memory_bytes, uint64_t file_bytes,
              uint32_t batches)
{
    struct operator_figures *figures = operator->figures;

    if (figures != NULL) {
        figures->is_kept = true;
        figures->is_disk = figures->is_disk || file_bytes > 0;
        figures->memory_bytes = MAX(figures->memory_bytes, memory_bytes);
        figures->file_bytes = MAX(figures->file_bytes, file_bytes);
        figures->batches = MAX(figures->batches, batches);
    }
}

/* What the query takes from around it, when it stands in FROM. */
static err_t outers_set(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct exec *exec = operator->exec;
    err_t err = ERR_OK;

    for (uint32_t i = 0; plan->kind != PLAN_JOIN_LATERAL && i < plan->outer_count; i++) {
        uint32_t param = plan->outers[i].param;
        bool is_null = false;

        err = eval_value(exec, &operator->arena, plan->outers[i].expr, &exec->outers[param],
                         &is_null);
        exec->outer_nulls[param] = is_null;
        if (err != ERR_OK) {
            break;
        }
    }
    return err;
}

const struct operator_figures *
exec_figures_find(const struct exec *exec, const struct plan *plan)
{
    const struct operator_figures *figures = exec != NULL ? exec->figures : NULL;

    while (figures != NULL && figures->plan != plan) {
        figures = figures->next;
    }
    return figures;
}

static void figures_open(struct operator* operator)
{
    struct exec *exec = operator->exec;
    struct operator_figures *figures;

    if (!exec->measures) {
        return;
    }
    figures = (struct operator_figures *)(uintptr_t)exec_figures_find(exec, operator->plan);
    if (figures == NULL) {
        figures = arena_alloc(exec->arena, sizeof(*figures));
        *figures = (struct operator_figures){.next = exec->figures, .plan = operator->plan };
        exec->figures = figures;
    }
    operator->figures = figures;
}

err_t
operator_open(struct exec *exec, const struct plan *plan, struct operator** out)
{
    struct operator* operator= MEM_NEW(MEM_SESSIONS, struct operator);
    err_t err = ERR_OK;

    if (exec->outer_capacity <= exec->statement->outer_count) {
        outers_make(exec);
    }
    operator->plan = plan;
    operator->exec = exec;
    arena_init(&operator->arena, MEM_SESSIONS);
    TRY(sql_stack_check());
    TRY(outers_set(operator));
    if (plan->left != NULL) {
        TRY(operator_open(exec, plan->left, &operator->left));
    }
    if (plan->right != NULL) {
        TRY(operator_open(exec, plan->right, &operator->right));
    }
    TRY(own_open(operator));
    figures_open(operator);
    *out = operator;
    operator= NULL;
out:
    operator_close(&operator);
    return err;
}

err_t
operator_next(struct operator* operator, const struct batch ** batch_out)
{
    err_t err = sql_stack_check();

    if (err == ERR_OK) {
        err = operator->next(operator, batch_out);
    }
    if (operator->figures != NULL && err == ERR_OK) {
        operator->figures->rows += * batch_out != NULL ? (*batch_out)->rows : 0;
        operator->figures->loops += !operator->has_begun;
        operator->has_begun = true;
    }
    return err;
}

err_t operator_reset(struct operator* operator)
{
    err_t err;

    operator->has_begun = false;
    TRY(outers_set(operator));
    if (operator->left != NULL) {
        TRY(operator_reset(operator->left));
    }
    if (operator->right != NULL) {
        TRY(operator_reset(operator->right));
    }
    err = operator->reset != NULL ? operator->reset(operator) : ERR_OK;
out:
    return err;
}

void operator_close(struct operator** operator)
{
    struct operator* closed = * operator;

    *operator= NULL;
    if (closed == NULL) {
        return;
    }
    operator_close(&closed->left);
    operator_close(&closed->right);
    if (closed->close != NULL) {
        closed->close(closed);
    }
    arena_fini(&closed->arena);
    MEM_FREE(MEM_SESSIONS, closed);
}
