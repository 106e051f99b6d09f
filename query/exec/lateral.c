/* query/exec/lateral.c - joins whose right side takes values of the left: it runs anew for each
 * row. */
#include "engine/base/assert.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

struct lateral_state {
    const struct batch *left;
    uint32_t row;
    bool is_running; /* The right side, for this row. */
    bool is_matched;
    struct arena outers; /* What the right side takes from the row, as long as it runs. */
};

/* Sets what the right side takes from the row, and begins it. */
static err_t right_start(struct operator* operator)
{
    struct lateral_state *state = operator->state;
    const struct plan *plan = operator->plan;
    struct exec *exec = operator->exec;
    uint16_t row = (uint16_t)state->row;
    err_t err = ERR_OK;

    arena_reset(&state->outers);
    for (uint32_t i = 0; i < plan->outer_count; i++) {
        uint32_t param = plan->outers[i].param;
        struct vector value;

        TRY(eval(exec, &state->outers, plan->outers[i].expr, state->left, &row, 1, &value));
        exec->outers[param] = vector_value(&value, row);
        exec->outer_nulls[param] = vector_is_null(&value, row);
    }
    state->is_running = true;
    state->is_matched = false;
    err = operator_reset(operator->right);
out:
    return err;
}

/* The left row beside so many rows of the right; NULL: beside nulls. */
static void
pairs_make(struct operator* operator, const struct batch * right, struct arena *arena)
{
    const struct lateral_state *state = operator->state;
    uint32_t left_columns = state->left->column_count;
    uint32_t columns = operator->plan->column_count;

    operator->batch.columns = arena_alloc(arena, (columns + 1) * sizeof(struct vector));
    operator->batch.column_count = columns;
    operator->batch.rows = right != NULL ? right->rows : 1;
    for (uint32_t i = 0; i < columns; i++) {
        struct vector *column = &operator->batch.columns[i];

        if (i >= left_columns && right != NULL) {
            *column = right->columns[i - left_columns];
            continue;
        }
        column->values = arena_alloc(arena, sizeof(*column->values));
        column->nulls = arena_alloc(arena, 1);
        column->is_constant = true;
        column->values[0] = datum_int(0);
        column->nulls[0] = 1;
        if (i < left_columns) {
            column->values[0] = vector_value(&state->left->columns[i], state->row);
            column->nulls[0] = vector_is_null(&state->left->columns[i], state->row);
        }
    }
}

static void
rows_select(struct operator* operator, const uint16_t * selected, uint32_t count)
{
    struct batch chosen;

    batch_make(&chosen, &operator->arena, operator->batch.column_count, count);
    for (uint32_t i = 0; i < chosen.column_count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            chosen.columns[i].values[j] = vector_value(&operator->batch.columns[i], selected[j]);
            chosen.columns[i].nulls[j] = vector_is_null(&operator->batch.columns[i], selected[j]);
        }
    }
    operator->batch = chosen;
}

/* The next pairs of the row; rows 0: those that came do not fit. *is_ended_out: there are none. */
static err_t
pairs_next(struct operator* operator, bool * is_ended_out)
{
    struct lateral_state *state = operator->state;
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *right;
    uint32_t count;
    err_t err;

    TRY(operator_next(operator->right, &right));
    *is_ended_out = right == NULL;
    if (right == NULL) {
        return ERR_OK;
    }
    pairs_make(operator, right, &operator->arena);
    if (operator->plan->condition != NULL) {
        TRY(eval_condition(operator->exec, &operator->arena, operator->plan->condition,
                           &operator->batch, selected, &count));
        if (count < operator->batch.rows) {
            rows_select(operator, selected, count);
        }
    }
    state->is_matched = state->is_matched || operator->batch.rows> 0;
out:
    return err;
}

static err_t
lateral_next(struct operator* operator, const struct batch ** batch_out)
{
    struct lateral_state *state = operator->state;
    err_t err;

    *batch_out = NULL;
    do {
        bool is_ended;

        if (state->left == NULL || state->row >= state->left->rows) {
            TRY(operator_next(operator->left, &state->left));
            state->row = 0;
            if (state->left == NULL) {
                return ERR_OK;
            }
            continue;
        }
        if (!state->is_running) {
            TRY(right_start(operator));
        }
        arena_reset(&operator->arena);
        operator->batch.rows = 0;
        TRY(pairs_next(operator, & is_ended));
        TRY(exec_work(operator->exec, operator->batch.rows));
        if (is_ended) {
            if (operator->plan->join == FROM_LEFT && !state->is_matched) {
                pairs_make(operator, NULL, &operator->arena);
            }
            state->row++;
            state->is_running = false;
        }
    } while (operator->batch.rows == 0);
    *batch_out = &operator->batch;
out:
    return err;
}

static err_t lateral_reset(struct operator* operator)
{
    struct lateral_state *state = operator->state;

    state->left = NULL;
    state->row = 0;
    state->is_running = state->is_matched = false;
    operator->batch.rows = 0;
    return ERR_OK;
}

static void lateral_close(struct operator* operator)
{
    struct lateral_state *state = operator->state;

    arena_fini(&state->outers);
    mem_free(MEM_SESSIONS, state, sizeof(*state));
}

err_t lateral_open(struct operator* operator)
{
    struct lateral_state *state = MEM_NEW(MEM_SESSIONS, struct lateral_state);

    arena_init(&state->outers, MEM_SESSIONS);
    operator->state = state;
    operator->next = lateral_next;
    operator->reset = lateral_reset;
    operator->close = lateral_close;
    return ERR_OK;
}
