/* query/exec/scan.c - rows of a table: all of them, by a range of an index, or one by its key. */
#include "engine/base/assert.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

struct scan_state {
    struct rtable_scan *scan;
    struct slice *keys;
    bool is_ended;
};

/* Appends the key of a bound's value. *is_null_out: nothing compares with null. */
static err_t
bound_put(struct operator* operator, const struct expr * expr, uint32_t at, struct buf *out,
          bool *is_null_out)
{
    const struct plan *plan = operator->plan;
    const struct type *type = relation_place_type(plan->relation, plan->index->columns[at]);
    struct datum value;
    err_t err = eval_value(operator->exec, &operator->arena, expr, &value, is_null_out);

    if (err == ERR_OK && !*is_null_out) {
        rtable_key_value_put(type, value, false, plan->index->is_descending[at], out);
    }
    return err;
}

/* The first key behind all that begin with these bytes; empty: there is none. */
static void
prefix_end(struct buf *key)
{
    while (key->size > 0 && key->data[key->size - 1] == UINT8_MAX) {
        key->size--;
    }
    if (key->size > 0) {
        key->data[key->size - 1]++;
    }
}

/* Nulls sort behind all values: 2 stands in front of them. */
enum { KEY_NULL_FLAG = 2 };

static err_t
range_make(struct operator* operator, struct buf * lower, struct buf *upper, bool *is_empty_out)
{
    const struct plan *plan = operator->plan;
    bool is_null = false;
    err_t err = ERR_OK;

    *is_empty_out = false;
    for (uint32_t i = 0; i < plan->equal_count; i++) {
        TRY(bound_put(operator, plan->exprs[i], i, lower, &is_null));
        *is_empty_out = *is_empty_out || is_null;
    }
    buf_append(upper, lower->data, lower->size);
    if (plan->low != NULL) {
        TRY(bound_put(operator, plan->low, plan->equal_count, lower, &is_null));
        *is_empty_out = *is_empty_out || is_null;
        if (plan->is_low_open) {
            prefix_end(lower);
        }
    }
    if (plan->high != NULL) {
        TRY(bound_put(operator, plan->high, plan->equal_count, upper, &is_null));
        *is_empty_out = *is_empty_out || is_null;
        if (!plan->is_high_open) {
            prefix_end(upper);
        }
    } else if (plan->low != NULL) {
        buf_append_byte(upper, KEY_NULL_FLAG);
    } else {
        prefix_end(upper);
    }
out:
    return err;
}

static bool
is_point(const struct plan *plan)
{
    return plan->index != NULL && plan->equal_count == plan->index->column_count &&
           plan->index->is_unique && !plan->index->is_deferrable;
}

static err_t scan_start(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct scan_state *state = operator->state;
    struct rtable_scan_options options = {
        .relation = plan->relation,
        .index = plan->index,
        .slot = TXN_ALL_SHARDS,
        .columns = plan->scan_columns,
        .column_count = plan->scan_column_count,
    };
    struct buf lower, upper;
    err_t err = ERR_OK;

    buf_init(&lower, MEM_SESSIONS);
    buf_init(&upper, MEM_SESSIONS);
    state->is_ended = false;
    if (plan->index != NULL) {
        TRY(range_make(operator, & lower, &upper, &state->is_ended));
        options.lower = buf_slice(&lower);
        options.upper = buf_slice(&upper);
        if (is_point(plan)) {
            options.slot = rtable_slot(buf_slice(&lower));
            options.is_point = true;
        }
    }
    if (!state->is_ended) {
        err = rtable_scan_open(operator->exec->txn, &options, &state->scan);
    }
out:
    buf_fini(&lower);
    buf_fini(&upper);
    return err;
}

static void
keys_as_column(const struct scan_state *state, struct batch *batch, uint32_t count)
{
    struct vector *column = &batch->columns[batch->column_count - 1];

    for (uint32_t i = 0; i < count; i++) {
        column->values[i] = datum_bytes(state->keys[i]);
        column->nulls[i] = 0;
    }
}

static err_t
scan_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
    struct scan_state *state = operator->state;
    uint32_t room = is_point(plan) ? 1 : BATCH_ROWS_MAX;
    uint32_t count = 0;
    err_t err = ERR_OK;

    *batch_out = NULL;
    arena_reset(&operator->arena);
    if (state->scan == NULL && !state->is_ended) {
        TRY(scan_start(operator));
    }
    if (state->is_ended) {
        return ERR_OK;
    }
    batch_make(&operator->batch, &operator->arena, plan->column_count, room);
    state->keys =
        plan->has_row_keys ? arena_alloc(&operator->arena, room * sizeof(*state->keys)) : NULL;
    TRY(rtable_scan_next(state->scan, &operator->arena, room, operator->batch.columns, state->keys,
                         &count));
    TRY(exec_work(operator->exec, count));
    if (plan->has_row_keys) {
        keys_as_column(state, &operator->batch, count);
    }
    operator->batch.rows = count;
    if (count == 0) {
        state->is_ended = true;
        rtable_scan_close(&state->scan);
        return ERR_OK;
    }
    *batch_out = &operator->batch;
out:
    return err;
}

static err_t scan_reset(struct operator* operator)
{
    struct scan_state *state = operator->state;

    rtable_scan_close(&state->scan);
    state->is_ended = false;
    return ERR_OK;
}

static void scan_close(struct operator* operator)
{
    struct scan_state *state = operator->state;

    rtable_scan_close(&state->scan);
    mem_free(MEM_SESSIONS, state, sizeof(*state));
}

err_t scan_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct scan_state);
    operator->next = scan_next;
    operator->reset = scan_reset;
    operator->close = scan_close;
    return ERR_OK;
}
