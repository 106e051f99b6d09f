/* query/exec/distinct.c - DISTINCT and the set operations: rows pass when a map says so.
 *
 * The map grows up to work_mem. Then rows whose keys are not in it wait in parts (partition.h),
 * each of which is done like the operator's own input: for INTERSECT and EXCEPT first the right
 * side, whose rows are counted, then the left side. */
#include "query/exec/exec.h"
#include "query/exec/partition.h"

#include "engine/base/poison.h"

struct seen_state {
    struct map map;
    struct buf key, record;
    struct parts parts;
    struct arena input_arena; /* Of the batch that is read from a part. */
    struct batch input;
    bool is_counted;    /* INTERSECT, EXCEPT: the right side's rows are in the map, counted. */
    bool is_left_ended; /* UNION: the right side's turn. */
    bool is_ended;
    bool has_last; /* DISTINCT ON: the key of the row before. */
    struct buf last;
};

static void
state_init(struct seen_state *state, struct exec *exec)
{
    *state = (struct seen_state){0};
    map_init(&state->map);
    buf_init(&state->key, MEM_SESSIONS);
    buf_init(&state->record, MEM_SESSIONS);
    buf_init(&state->last, MEM_SESSIONS);
    arena_init(&state->input_arena, MEM_SESSIONS);
    parts_init(&state->parts, exec);
}

static void
state_clear(struct seen_state *state)
{
    map_fini(&state->map);
    buf_fini(&state->key);
    buf_fini(&state->record);
    buf_fini(&state->last);
    arena_fini(&state->input_arena);
    parts_fini(&state->parts);
}

static err_t seen_reset(struct operator* operator)
{
    state_clear(operator->state);
    state_init(operator->state, operator->exec);
    return ERR_OK;
}

static void seen_close(struct operator* operator)
{
    state_clear(operator->state);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct seen_state));
}

static void seen_open(struct operator* operator,
                      err_t (*next)(struct operator* operator, const struct batch ** batch_out))
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct seen_state);
    state_init(operator->state, operator->exec);
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

/* May the map take another key? Once rows wait in parts it may not. */
static bool
takes_keys(const struct operator* operator)
{
    const struct seen_state *state = operator->state;

    return !parts_are_open(&state->parts) &&
           (!exec_is_over(operator->exec, map_bytes(&state->map)) ||
            !parts_may_open(&state->parts));
}

/* ---- The rows of the job ---- */

static bool
counts_right(const struct plan *plan)
{
    return plan->kind == PLAN_SET && plan->set != SET_UNION;
}

/* The operator's own input. */
static err_t
own_input(struct operator* operator, const struct batch ** input_out)
{
    struct seen_state *state = operator->state;
    bool is_union = operator->plan->kind == PLAN_SET && operator->plan->set == SET_UNION;
    err_t err = ERR_OK;

    *input_out = NULL;
    if (!state->is_left_ended) {
        TRY(operator_next(operator->left, input_out));
        state->is_left_ended = *input_out == NULL;
    }
    if (*input_out == NULL && is_union) {
        TRY(operator_next(operator->right, input_out));
    }
out:
    return err;
}

static err_t
job_input(struct operator* operator, const struct batch ** input_out)
{
    const struct plan *plan = operator->plan;
    struct seen_state *state = operator->state;
    err_t err = ERR_OK;

    if (state->parts.depth == 0) {
        return own_input(operator, input_out);
    }
    arena_reset(&state->input_arena);
    err = parts_read_batch(&state->parts, plan->columns, plan->column_count, &state->input_arena,
                           &state->input);
    *input_out = err == ERR_OK && state->input.rows > 0 ? &state->input : NULL;
    return err;
}

/* The next job, with an empty map. */
static err_t job_next(struct operator* operator)
{
    struct seen_state *state = operator->state;
    bool has_job;
    err_t err;

    operator_note(operator, map_bytes(&state->map), spill_file_bytes(state->parts.file),
                  state->parts.jobs_ended + 1);
    TRY(parts_next(&state->parts, NULL, NULL, &has_job));
    state->is_ended = !has_job;
    map_fini(&state->map);
    map_init(&state->map);
    state->is_counted = false;
    if (has_job) {
        parts_read_begin(&state->parts, PART_LEFT);
    }
out:
    return err;
}

/* ---- INTERSECT and EXCEPT: how often each row is there on the right ---- */

/* The key in state->key. */
static err_t right_add(struct operator* operator)
{
    struct seen_state *state = operator->state;
    struct map_entry *entry = map_find(&state->map, buf_slice(&state->key));
    bool is_new;

    if (entry == NULL && !takes_keys(operator)) {
        return parts_add(&state->parts, PART_RIGHT, buf_slice(&state->key), buf_slice(&state->key));
    }
    entry = map_put(&state->map, buf_slice(&state->key), &is_new);
    entry->value = is_new ? 1 : entry->value + 1;
    return ERR_OK;
}

static err_t own_right_count(struct operator* operator)
{
    const struct batch *input;
    err_t err;

    for (err = operator_next(operator->right, &input); err == ERR_OK && input != NULL;
         err = operator_next(operator->right, &input)) {
        for (uint32_t i = 0; i < input->rows; i++) {
            row_key(operator, input, operator->plan->column_count, i);
            TRY(right_add(operator));
        }
        TRY(exec_work(operator->exec, input->rows));
    }
out:
    return err;
}

static err_t job_right_count(struct operator* operator)
{
    struct seen_state *state = operator->state;
    uint32_t keys = 0;
    err_t err;

    parts_read_begin(&state->parts, PART_RIGHT);
    for (;;) {
        struct slice record;
        bool is_end;

        TRY(parts_read(&state->parts, &record, &is_end));
        if (is_end) {
            break;
        }
        buf_clear(&state->key);
        buf_append(&state->key, record.data, record.size);
        TRY(right_add(operator));
        TRY(++keys % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
    }
    parts_read_begin(&state->parts, PART_LEFT);
out:
    return err;
}

static err_t right_count(struct operator* operator)
{
    struct seen_state *state = operator->state;

    state->is_counted = true;
    return state->parts.depth == 0 ? own_right_count(operator) : job_right_count(operator);
}

enum { COUNT_GIVEN = UINT32_MAX }; /* The row has been handed out: not again without ALL. */

static bool
set_passes(const struct plan *plan, struct map_entry *entry, bool is_new)
{
    if (!counts_right(plan)) {
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

/* ---- Rows that pass ---- */

static err_t
row_look(struct operator* operator, const struct batch * input, uint32_t row, bool *passes_out)
{
    const struct plan *plan = operator->plan;
    struct seen_state *state = operator->state;
    struct map_entry *entry;
    bool is_new = false;

    row_key(operator, input,
            plan->kind == PLAN_DISTINCT ? plan->distinct_count : plan->column_count, row);
    entry = map_find(&state->map, buf_slice(&state->key));
    *passes_out = false;
    if (entry == NULL && !takes_keys(operator)) {
        buf_clear(&state->record);
        spill_batch_row_put(plan->columns, plan->column_count, input, row, &state->record);
        return parts_add(&state->parts, PART_LEFT, buf_slice(&state->key),
                         buf_slice(&state->record));
    }
    if (entry == NULL) {
        entry = map_put(&state->map, buf_slice(&state->key), &is_new);
    }
    *passes_out = set_passes(plan, entry, is_new);
    return ERR_OK;
}

static err_t
seen_next(struct operator* operator, const struct batch ** batch_out)
{
    struct seen_state *state = operator->state;
    uint16_t selected[BATCH_ROWS_MAX];
    const struct batch *input = NULL;
    uint32_t count = 0;
    err_t err = ERR_OK;

    *batch_out = NULL;
    while (count == 0 && !state->is_ended) {
        if (counts_right(operator->plan) && !state->is_counted) {
            TRY(right_count(operator));
        }
        TRY(job_input(operator, & input));
        if (input == NULL) {
            TRY(job_next(operator));
            continue;
        }
        for (uint32_t i = 0; i < input->rows; i++) {
            bool passes;

            TRY(row_look(operator, input, i, &passes));
            if (passes) {
                selected[count++] = (uint16_t)i;
            }
        }
        TRY(exec_work(operator->exec, input->rows));
    }
    if (count > 0) {
        selected_copy(operator, input, selected, count);
        *batch_out = &operator->batch;
    }
out:
    return err;
}

static err_t
union_all_next(struct operator* operator, const struct batch ** batch_out)
{
    return own_input(operator, batch_out);
}

/* Of rows that are sorted by the keys: whose keys are not those of the row before. */
static err_t
distinct_on_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
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
            struct buf swapped = state->last;

            buf_clear(&state->key);
            for (uint32_t j = 0; j < plan->key_column_count; j++) {
                uint32_t column = plan->keys[j].column;

                row_hash_put(&plan->columns[column], &input->columns[column], 1, i, &state->key);
            }
            if (!state->has_last || !slice_equal(buf_slice(&state->key), buf_slice(&swapped))) {
                selected[count++] = (uint16_t)i;
            }
            state->has_last = true;
            state->last = state->key;
            state->key = swapped;
        }
        TRY(exec_work(operator->exec, input->rows));
    } while (count == 0);
    selected_copy(operator, input, selected, count);
    *batch_out = &operator->batch;
out:
    return err;
}

/* ---- Opening ---- */

err_t distinct_open(struct operator* operator)
{
    seen_open(operator, operator->plan->kind == PLAN_DISTINCT ? seen_next : distinct_on_next);
    return ERR_OK;
}

err_t set_open(struct operator* operator)
{
    bool is_plain = operator->plan->set == SET_UNION && operator->plan->is_set_all;

    seen_open(operator, is_plain ? union_all_next : seen_next);
    return ERR_OK;
}
