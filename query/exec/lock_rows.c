/* query/exec/lock_rows.c - FOR UPDATE and its like: locks the rows that a query gives.
 *
 * All rows are locked before the first goes on, so that the statement can still run again when one
 * of them was changed since its snapshot. SKIP LOCKED gives them one by one instead: only those
 * that are asked for are locked, and what others have or have just changed is left out. */
#include "engine/base/assert.h"
#include "models/relational/rtable.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

struct lock_state {
    bool is_locked;
    struct rows rows;
    uint32_t emitted;
    const struct batch *input;
    uint32_t row;
    struct buf key;
};

static err_t
not_available(const struct relation *relation)
{
    return sql_error("55P03", "could not obtain lock on row in relation \"%.*s\"",
                     (int)relation->name.size, (const char *)relation->name.data);
}

/* *is_skipped_out: somebody else has it, or has changed it. */
static err_t
key_lock(struct operator* operator, const struct row_lock * lock, struct slice row_key,
         bool *is_skipped_out)
{
    struct lock_state *state = operator->state;
    uint8_t prefix[STORAGE_PREFIX_BYTES];
    bool is_changed = false;
    err_t err;

    *is_skipped_out = false;
    storage_prefix(prefix, lock->relation->storage);
    buf_clear(&state->key);
    buf_append(&state->key, prefix, sizeof(prefix));
    buf_append(&state->key, row_key.data, row_key.size);
    err = txn_lock_row(operator->exec->txn, rtable_slot(row_key), buf_slice(&state->key),
                       lock->mode, lock->wait, &is_changed);
    if (err == ERR_BUSY && lock->wait == LOCK_SKIP) {
        *is_skipped_out = true;
        return ERR_OK;
    }
    if (err == ERR_LOCK_TIMEOUT && lock->wait == LOCK_NOWAIT) {
        return not_available(lock->relation);
    }
    if (err != ERR_OK || !is_changed) {
        return err;
    }
    if (lock->wait == LOCK_SKIP) {
        *is_skipped_out = true;
        return ERR_OK;
    }
    return err_set(ERR_SERIALIZATION, "could not serialize access due to concurrent update");
}

static err_t
row_lock(struct operator* operator, const struct batch * batch, uint32_t row, bool *is_skipped_out)
{
    const struct plan *plan = operator->plan;
    err_t err = ERR_OK;

    *is_skipped_out = false;
    for (uint32_t i = 0; err == ERR_OK && !*is_skipped_out && i < plan->row_lock_count; i++) {
        const struct vector *keys = &batch->columns[plan->row_locks[i].column];

        if (!vector_is_null(keys, row)) { /* Null: an outer join has no row there. */
            err = key_lock(operator, & plan->row_locks[i], vector_value(keys, row).bytes,
                           is_skipped_out);
        }
    }
    return err;
}

static err_t all_lock(struct operator* operator)
{
    struct lock_state *state = operator->state;
    const struct batch *batch;
    err_t err;

    state->is_locked = true;
    for (err = operator_next(operator->left, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator->left, &batch)) {
        for (uint32_t i = 0; i < batch->rows; i++) {
            bool is_skipped;

            TRY(rows_add(&state->rows, batch, i));
            TRY(row_lock(operator, batch, i, &is_skipped));
        }
        TRY(exec_work(operator->exec, batch->rows));
    }
out:
    return err;
}

static err_t
locked_next(struct operator* operator, const struct batch ** batch_out)
{
    struct lock_state *state = operator->state;
    uint32_t count;
    err_t err = ERR_OK;

    *batch_out = NULL;
    if (!state->is_locked) {
        TRY(all_lock(operator));
    }
    count = MIN(state->rows.count - state->emitted, (uint32_t)BATCH_ROWS_MAX);
    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    rows_fill(&state->rows, state->emitted, count, &operator->batch);
    state->emitted += count;
    *batch_out = count > 0 ? &operator->batch : NULL;
out:
    return err;
}

/* The next row that can be locked. */
static err_t
unlocked_next(struct operator* operator, const struct batch ** batch_out)
{
    struct lock_state *state = operator->state;
    bool is_skipped = true;
    err_t err = ERR_OK;

    *batch_out = NULL;
    arena_reset(&operator->arena);
    while (is_skipped) {
        if (state->input == NULL || state->row == state->input->rows) {
            TRY(operator_next(operator->left, &state->input));
            state->row = 0;
            if (state->input == NULL) {
                return ERR_OK;
            }
            continue;
        }
        TRY(row_lock(operator, state->input, state->row++, &is_skipped));
        TRY(exec_work(operator->exec, 1));
    }
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, 1);
    for (uint32_t i = 0; i < operator->plan->column_count; i++) {
        operator->batch.columns[i].values[0] =
            vector_value(&state->input->columns[i], state->row - 1);
        operator->batch.columns[i].nulls[0] =
            vector_is_null(&state->input->columns[i], state->row - 1);
    }
    *batch_out = &operator->batch;
out:
    return err;
}

static err_t lock_rows_reset(struct operator* operator)
{
    struct lock_state *state = operator->state;

    rows_fini(&state->rows);
    rows_init(&state->rows, operator->plan->columns, operator->plan->column_count);
    state->is_locked = false;
    state->emitted = 0;
    state->input = NULL;
    return ERR_OK;
}

static void lock_rows_close(struct operator* operator)
{
    struct lock_state *state = operator->state;

    rows_fini(&state->rows);
    buf_fini(&state->key);
    mem_free(MEM_SESSIONS, state, sizeof(*state));
}

err_t lock_rows_open(struct operator* operator)
{
    struct lock_state *state = MEM_NEW(MEM_SESSIONS, struct lock_state);

    rows_init(&state->rows, operator->plan->columns, operator->plan->column_count);
    buf_init(&state->key, MEM_SESSIONS);
    operator->state = state;
    operator->next = operator->plan->skips_locked ? unlocked_next : locked_next;
    operator->reset = lock_rows_reset;
    operator->close = lock_rows_close;
    return ERR_OK;
}
