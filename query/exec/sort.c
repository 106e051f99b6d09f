/* query/exec/sort.c - ORDER BY, DISTINCT and the set operations. */
#include <stdlib.h>

#include "engine/base/assert.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

/* ---- Sort ---- */

struct sort_state {
    bool is_built;
    struct rows rows;
    uint32_t emitted;
};

static int
rows_order(const struct plan *plan, const struct kept_row *a, const struct kept_row *b)
{
    for (uint32_t i = 0; i < plan->key_column_count; i++) {
        const struct sort_key *key = &plan->keys[i];
        const struct type *type = plan->columns[key->column].type;
        bool a_null = a->nulls[key->column] != 0, b_null = b->nulls[key->column] != 0;
        int order;

        if (a_null || b_null) {
            order = a_null - b_null;
            order = key->nulls_first ? -order : order;
        } else {
            order = type->compare(type, a->values[key->column], b->values[key->column]);
            order = key->is_descending ? -order : order;
        }
        if (order != 0) {
            return order;
        }
    }
    return 0;
}

/* Merges two sorted runs; equal rows stay in their order. Gives way: sorting is long work. */
static err_t
merge_sort(struct operator* operator, struct kept_row * rows, struct kept_row *spare,
           uint32_t count)
{
    err_t err = ERR_OK;

    for (uint64_t width = 1; width < count; width *= 2) {
        struct kept_row *swapped = rows;

        for (uint64_t start = 0; start < count; start += 2 * width) {
            uint64_t middle = MIN(start + width, (uint64_t)count);
            uint64_t end = MIN(start + 2 * width, (uint64_t)count);
            uint64_t a = start, b = middle;

            for (uint64_t at = start; at < end; at++) {
                bool takes_a =
                    a < middle && (b >= end || rows_order(operator->plan, &rows[a], &rows[b]) <= 0);

                spare[at] = takes_a ? rows[a++] : rows[b++];
            }
            TRY(exec_work(operator->exec, (uint32_t)(end - start)));
        }
        rows = spare;
        spare = swapped;
    }
    if (rows != ((struct sort_state *)operator->state)->rows.rows && count > 0) {
        memcpy(((struct sort_state *)operator->state)->rows.rows, rows, count * sizeof(*rows));
    }
out:
    return err;
}

static err_t sort_build(struct operator* operator)
{
    struct sort_state *state = operator->state;
    const struct batch *batch;
    struct kept_row *spare;
    err_t err;

    state->is_built = true;
    for (err = operator_next(operator->left, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator->left, &batch)) {
        for (uint32_t i = 0; i < batch->rows; i++) {
            TRY(rows_add(&state->rows, batch, i));
        }
        TRY(exec_work(operator->exec, batch->rows));
    }
    TRY(err);
    spare = mem_alloc(MEM_SESSIONS, state->rows.count * sizeof(*spare));
    err = merge_sort(operator, state->rows.rows, spare, state->rows.count);
    mem_free(MEM_SESSIONS, spare, state->rows.count * sizeof(*spare));
out:
    return err;
}

static err_t
sort_next(struct operator* operator, const struct batch ** batch_out)
{
    struct sort_state *state = operator->state;
    uint32_t count;
    err_t err = ERR_OK;

    *batch_out = NULL;
    if (!state->is_built) {
        TRY(sort_build(operator));
    }
    count = MIN(state->rows.count - state->emitted, (uint32_t)BATCH_ROWS_MAX);
    if (count > 0) {
        arena_reset(&operator->arena);
        batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
        rows_fill(&state->rows, state->emitted, count, &operator->batch);
        state->emitted += count;
        *batch_out = &operator->batch;
    }
out:
    return err;
}

static err_t sort_reset(struct operator* operator)
{
    struct sort_state *state = operator->state;

    rows_fini(&state->rows);
    *state = (struct sort_state){0};
    rows_init(&state->rows, operator->plan->columns, operator->plan->column_count);
    return ERR_OK;
}

static void sort_close(struct operator* operator)
{
    rows_fini(&((struct sort_state *)operator->state)->rows);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct sort_state));
}

err_t sort_open(struct operator* operator)
{
    struct sort_state *state = MEM_NEW(MEM_SESSIONS, struct sort_state);

    rows_init(&state->rows, operator->plan->columns, operator->plan->column_count);
    operator->state = state;
    operator->next = sort_next;
    operator->reset = sort_reset;
    operator->close = sort_close;
    return ERR_OK;
}

/* ---- DISTINCT and set operations: rows pass when a map says so ---- */

struct seen_state {
    struct map map;
    struct buf key;
    bool is_counted;    /* INTERSECT, EXCEPT: the right side's rows are in the map, counted. */
    bool is_left_ended; /* UNION: the right side's turn. */
};

static err_t seen_reset(struct operator* operator)
{
    struct seen_state *state = operator->state;

    map_fini(&state->map);
    map_init(&state->map);
    state->is_counted = false;
    state->is_left_ended = false;
    return ERR_OK;
}

static void seen_close(struct operator* operator)
{
    struct seen_state *state = operator->state;

    map_fini(&state->map);
    buf_fini(&state->key);
    mem_free(MEM_SESSIONS, state, sizeof(*state));
}

static void seen_open(struct operator* operator,
                      err_t (*next)(struct operator* operator, const struct batch ** batch_out))
{
    struct seen_state *state = MEM_NEW(MEM_SESSIONS, struct seen_state);

    map_init(&state->map);
    buf_init(&state->key, MEM_SESSIONS);
    operator->state = state;
    operator->next = next;
    operator->reset = seen_reset;
    operator->close = seen_close;
}

static void
selected_copy(struct operator* operator, const struct batch * input, const uint16_t *selected,
              uint32_t count)
{
    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, input->column_count, count);
    for (uint32_t i = 0; i < input->column_count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            operator->batch.columns[i].values[j] = vector_value(&input->columns[i], selected[j]);
            operator->batch.columns[i].nulls[j] = vector_is_null(&input->columns[i], selected[j]);
        }
    }
}

static void
row_key(struct operator* operator, const struct batch * input, uint32_t columns, uint32_t row)
{
    struct seen_state *state = operator->state;

    buf_clear(&state->key);
    row_hash_put(operator->plan->columns, input->columns, columns, row, &state->key);
}

static err_t
distinct_next(struct operator* operator, const struct batch ** batch_out)
{
    struct seen_state *state = operator->state;
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *input;
    uint32_t count = 0;
    err_t err;

    do {
        *batch_out = NULL;
        TRY(operator_next(operator->left, &input));
        if (input == NULL) {
            return ERR_OK;
        }
        for (uint32_t i = 0; i < input->rows; i++) {
            bool is_new;

            row_key(operator, input, operator->plan->distinct_count, i);
            (void)map_put(&state->map, buf_slice(&state->key), &is_new);
            if (is_new) {
                selected[count++] = (uint16_t)i;
            }
        }
        TRY(exec_work(operator->exec, input->rows));
    } while (count == 0);
    selected_copy(operator, input, selected, count);
    *batch_out = &operator->batch;
out:
    return err;
}

/* Of rows that are sorted by the keys: whose keys are not those of an earlier one. */
static err_t
distinct_on_next(struct operator* operator, const struct batch ** batch_out)
{
    struct seen_state *state = operator->state;
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *input;
    uint32_t count = 0;
    err_t err;

    do {
        *batch_out = NULL;
        TRY(operator_next(operator->left, &input));
        if (input == NULL) {
            return ERR_OK;
        }
        for (uint32_t i = 0; i < input->rows; i++) {
            bool is_new;

            buf_clear(&state->key);
            for (uint32_t j = 0; j < operator->plan->key_column_count; j++) {
                uint32_t column = operator->plan->keys[j].column;

                row_hash_put(&operator->plan->columns[column], &input->columns[column], 1, i,
                             &state->key);
            }
            (void)map_put(&state->map, buf_slice(&state->key), &is_new);
            if (is_new) {
                selected[count++] = (uint16_t)i;
            }
        }
    } while (count == 0);
    selected_copy(operator, input, selected, count);
    *batch_out = &operator->batch;
out:
    return err;
}

err_t distinct_open(struct operator* operator)
{
    seen_open(operator, operator->plan->kind == PLAN_DISTINCT ? distinct_next : distinct_on_next);
    return ERR_OK;
}

/* ---- Set operations ---- */

/* INTERSECT and EXCEPT: how often each row is there on the right. */
static err_t right_count(struct operator* operator)
{
    struct seen_state *state = operator->state;
    const struct batch *input;
    err_t err;

    state->is_counted = true;
    for (err = operator_next(operator->right, &input); err == ERR_OK && input != NULL;
         err = operator_next(operator->right, &input)) {
        for (uint32_t i = 0; i < input->rows; i++) {
            struct map_entry *entry;
            bool is_new;

            row_key(operator, input, operator->plan->column_count, i);
            entry = map_put(&state->map, buf_slice(&state->key), &is_new);
            entry->value = is_new ? 1 : entry->value + 1;
        }
        TRY(exec_work(operator->exec, input->rows));
    }
out:
    return err;
}

enum { COUNT_GIVEN = UINT32_MAX }; /* The row has been handed out: not again without ALL. */

static bool
set_passes(const struct plan *plan, struct map_entry *entry, bool is_new)
{
    if (plan->set == SET_UNION) {
        return is_new;
    }
    if (is_new) {
        entry->value = 0;
    }
    if (plan->is_set_all) {
        bool is_there = entry->value > 0;

        entry->value -= is_there;
        return plan->set == SET_INTERSECT ? is_there : !is_there;
    }
    if (entry->value == COUNT_GIVEN || (entry->value > 0) != (plan->set == SET_INTERSECT)) {
        return false;
    }
    entry->value = COUNT_GIVEN;
    return true;
}

static err_t
set_input(struct operator* operator, const struct batch ** input_out)
{
    struct seen_state *state = operator->state;
    err_t err = ERR_OK;

    *input_out = NULL;
    if (!state->is_left_ended) {
        TRY(operator_next(operator->left, input_out));
        state->is_left_ended = *input_out == NULL;
    }
    if (*input_out == NULL && operator->plan->set == SET_UNION) {
        TRY(operator_next(operator->right, input_out));
    }
out:
    return err;
}

static err_t
set_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
    struct seen_state *state = operator->state;
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *input;
    uint32_t count = 0;
    err_t err = ERR_OK;

    *batch_out = NULL;
    if (plan->set != SET_UNION && !state->is_counted) {
        TRY(right_count(operator));
    }
    do {
        TRY(set_input(operator, & input));
        if (input == NULL || (plan->set == SET_UNION && plan->is_set_all)) {
            *batch_out = input;
            return ERR_OK;
        }
        for (uint32_t i = 0; i < input->rows; i++) {
            struct map_entry *entry;
            bool is_new;

            row_key(operator, input, plan->column_count, i);
            entry = map_put(&state->map, buf_slice(&state->key), &is_new);
            if (set_passes(plan, entry, is_new)) {
                selected[count++] = (uint16_t)i;
            }
        }
        TRY(exec_work(operator->exec, input->rows));
    } while (count == 0);
    selected_copy(operator, input, selected, count);
    *batch_out = &operator->batch;
out:
    return err;
}

err_t set_open(struct operator* operator)
{
    seen_open(operator, set_next);
    return ERR_OK;
}
