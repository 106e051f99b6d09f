/* query/exec/sort.c - ORDER BY.
 *
 * Rows are kept up to work_mem. Beyond, what is kept is sorted and written to a tape as a run;
 * in the end the runs are merged, as many at once as have buffers within work_mem. */

#include "engine/base/assert.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

/* ---- Sort ---- */

enum { MERGE_MIN = 6, MERGE_MAX = 128 };

/* A run that is read. */
struct merge_input {
    struct tape_reader reader;
    struct arena arena; /* Of the row. */
    struct kept_row row;
};

/* Of consecutive runs: the inputs that have a row, a heap by it. */
struct merge {
    struct merge_input *inputs;
    uint32_t count;
    uint32_t *heap;
    uint32_t heap_count;
};

struct sort_state {
    bool is_built;
    struct rows rows;
    uint32_t emitted;
    struct spill_file *file; /* NULL: everything is in memory. */
    struct tape *runs;
    uint32_t run_count, run_capacity;
    struct merge merge; /* The last one. */
    struct buf record;
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
                TRY(at % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
            }
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

static err_t rows_sort(struct operator* operator)
{
    struct sort_state *state = operator->state;
    size_t bytes = state->rows.count * sizeof(struct kept_row);
    struct kept_row *spare = mem_alloc(MEM_SESSIONS, bytes);
    err_t err = merge_sort(operator, state->rows.rows, spare, state->rows.count);

    mem_free(MEM_SESSIONS, spare, bytes);
    return err;
}

/* ---- Runs ---- */

static struct tape *
run_new(struct sort_state *state)
{
    if (state->run_count == state->run_capacity) {
        uint32_t capacity = MAX(16U, state->run_capacity * 2);

        state->runs =
            mem_realloc(MEM_SESSIONS, state->runs, state->run_capacity * sizeof(*state->runs),
                        capacity * sizeof(*state->runs));
        state->run_capacity = capacity;
    }
    tape_init(&state->runs[state->run_count], state->file);
    return &state->runs[state->run_count++];
}

static err_t
row_write(struct operator* operator, struct tape * tape, const struct kept_row *row)
{
    struct sort_state *state = operator->state;

    buf_clear(&state->record);
    spill_row_put(operator->plan->columns, operator->plan->column_count, row, &state->record);
    return tape_add(tape, buf_slice(&state->record));
}

/* The rows that are kept become a run. */
static err_t run_write(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct sort_state *state = operator->state;
    struct tape *tape;
    err_t err;

    TRY(rows_sort(operator));
    operator_note(operator, rows_bytes(&state->rows), spill_file_bytes(state->file), 1);
    if (state->file == NULL) {
        TRY(spill_file_open(operator->exec->budget, &state->file));
    }
    tape = run_new(state);
    for (uint32_t i = 0; i < state->rows.count; i++) {
        TRY(row_write(operator, tape, &state->rows.rows[i]));
        TRY(i % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
    }
    TRY(tape_end(tape));
    rows_fini(&state->rows);
    rows_init(&state->rows, plan->columns, plan->column_count);
out:
    return err;
}

/* ---- Merging ---- */

static bool
comes_before(struct operator* operator, const struct merge * merge, uint32_t a, uint32_t b)
{
    int order = rows_order(operator->plan, &merge->inputs[a].row, &merge->inputs[b].row);

    return order != 0 ? order < 0 : a < b; /* Equal rows stay in their order. */
}

static void
heap_down(struct operator* operator, struct merge * merge, uint32_t at)
{
    for (;;) {
        uint32_t child = 2 * at + 1, moved = merge->heap[at];

        if (child >= merge->heap_count) {
            return;
        }
        if (child + 1 < merge->heap_count &&
            comes_before(operator, merge, merge->heap[child + 1], merge->heap[child])) {
            child++;
        }
        if (!comes_before(operator, merge, merge->heap[child], moved)) {
            return;
        }
        merge->heap[at] = merge->heap[child];
        merge->heap[child] = moved;
        at = child;
    }
}

static err_t
input_step(struct operator* operator, struct merge_input * input, bool *is_end_out)
{
    const struct plan *plan = operator->plan;
    struct slice record;
    err_t err;

    arena_reset(&input->arena);
    TRY(tape_read(&input->reader, &record, is_end_out));
    if (!*is_end_out) {
        err = spill_row_get(plan->columns, plan->column_count, record, &input->arena, &input->row);
    }
out:
    return err;
}

static void
merge_fini(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->count; i++) {
        tape_reader_fini(&merge->inputs[i].reader);
        arena_fini(&merge->inputs[i].arena);
    }
    mem_free(MEM_SESSIONS, merge->inputs, merge->count * sizeof(*merge->inputs));
    mem_free(MEM_SESSIONS, merge->heap, merge->count * sizeof(*merge->heap));
    *merge = (struct merge){0};
}

static err_t
merge_begin(struct operator* operator, struct merge * merge, struct tape *runs, uint32_t count)
{
    err_t err = ERR_OK;

    *merge = (struct merge){
        .inputs = mem_zalloc(MEM_SESSIONS, count * sizeof(*merge->inputs)),
        .count = count,
        .heap = mem_alloc(MEM_SESSIONS, count * sizeof(*merge->heap)),
    };
    for (uint32_t i = 0; i < count; i++) {
        tape_reader_init(&merge->inputs[i].reader, &runs[i]);
        arena_init(&merge->inputs[i].arena, MEM_SESSIONS);
    }
    for (uint32_t i = 0; i < count; i++) {
        bool is_end;

        TRY(input_step(operator, & merge->inputs[i], &is_end));
        if (!is_end) {
            merge->heap[merge->heap_count++] = i;
        }
    }
    for (uint32_t i = merge->heap_count / 2; i > 0; i--) {
        heap_down(operator, merge, i - 1);
    }
out:
    return err;
}

/* Past the first row. */
static err_t merge_step(struct operator* operator, struct merge * merge)
{
    bool is_end;
    err_t err;

    TRY(input_step(operator, & merge->inputs[merge->heap[0]], &is_end));
    if (is_end) {
        merge->heap[0] = merge->heap[--merge->heap_count];
    }
    heap_down(operator, merge, 0);
out:
    return err;
}

static uint32_t merge_width(struct operator* operator)
{
    uint64_t fitting = operator->exec->budget->work_bytes / SPILL_CHUNK_BYTES;

    return (uint32_t)MIN(MAX(fitting, (uint64_t)MERGE_MIN), (uint64_t)MERGE_MAX);
}

/* Runs [first, first + count) become one. */
static err_t
runs_merge(struct operator* operator, uint32_t first, uint32_t count, struct tape *merged)
{
    struct sort_state *state = operator->state;
    struct merge merge;
    uint32_t rows = 0;
    err_t err;

    tape_init(merged, state->file);
    TRY(merge_begin(operator, & merge, &state->runs[first], count));
    while (merge.heap_count > 0) {
        TRY(row_write(operator, merged, &merge.inputs[merge.heap[0]].row));
        TRY(merge_step(operator, & merge));
        TRY(++rows % BATCH_ROWS_MAX == 0 ? exec_work(operator->exec, BATCH_ROWS_MAX) : ERR_OK);
    }
    err = tape_end(merged);
out:
    merge_fini(&merge);
    return err;
}

/* Until one merge can take all that are left. Their order stays. */
static err_t runs_reduce(struct operator* operator)
{
    struct sort_state *state = operator->state;
    uint32_t width = merge_width(operator);
    err_t err = ERR_OK;

    while (state->run_count > width) {
        uint32_t kept = 0;

        for (uint32_t first = 0; first < state->run_count; first += width) {
            uint32_t count = MIN(width, state->run_count - first);
            struct tape merged;

            err = runs_merge(operator, first, count, &merged);
            for (uint32_t i = 0; i < count; i++) {
                tape_fini(&state->runs[first + i], true);
            }
            state->runs[kept++] = merged;
            TRY(err);
        }
        state->run_count = kept;
    }
out:
    return err;
}

static err_t sort_build(struct operator* operator)
{
    struct sort_state *state = operator->state;
    const struct batch *batch;
    err_t err;

    state->is_built = true;
    for (err = operator_next(operator->left, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator->left, &batch)) {
        for (uint32_t i = 0; i < batch->rows; i++) {
            TRY(rows_add(&state->rows, batch, i));
        }
        TRY(exec_work(operator->exec, batch->rows));
        if (exec_is_over(operator->exec, rows_bytes(&state->rows))) {
            TRY(run_write(operator));
        }
    }
    TRY(err);
    if (state->file == NULL) {
        TRY(rows_sort(operator));
        operator_note(operator, rows_bytes(&state->rows), 0, 1);
        return ERR_OK;
    }
    TRY(state->rows.count > 0 ? run_write(operator) : ERR_OK);
    TRY(runs_reduce(operator));
    operator_note(operator, 0, spill_file_bytes(state->file), 1);
    err = merge_begin(operator, & state->merge, state->runs, state->run_count);
out:
    return err;
}

/* Rows of the last merge. */
static err_t merged_fill(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct merge *merge = &((struct sort_state *)operator->state)->merge;
    struct batch *batch = &operator->batch;
    err_t err = ERR_OK;

    batch_make(batch, &operator->arena, plan->column_count, BATCH_ROWS_MAX);
    batch->rows = 0;
    while (merge->heap_count > 0 && batch->rows < BATCH_ROWS_MAX) {
        const struct kept_row *row = &merge->inputs[merge->heap[0]].row;

        for (uint32_t i = 0; i < plan->column_count; i++) {
            struct vector *column = &batch->columns[i];

            column->nulls[batch->rows] = row->nulls[i];
            column->values[batch->rows] =
                row->nulls[i] != 0
                    ? datum_int(0)
                    : type_copy(plan->columns[i].type, row->values[i], &operator->arena);
        }
        batch->rows++;
        TRY(merge_step(operator, merge));
    }
    err = exec_work(operator->exec, batch->rows);
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
    arena_reset(&operator->arena);
    if (state->file != NULL) {
        TRY(merged_fill(operator));
        *batch_out = operator->batch.rows> 0 ? &operator->batch : NULL;
        return ERR_OK;
    }
    count = MIN(state->rows.count - state->emitted, (uint32_t)BATCH_ROWS_MAX);
    if (count > 0) {
        batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
        rows_fill(&state->rows, state->emitted, count, &operator->batch);
        state->emitted += count;
        *batch_out = &operator->batch;
    }
out:
    return err;
}

/* ---- Opening ---- */

static void state_init(struct operator* operator)
{
    struct sort_state *state = operator->state;

    *state = (struct sort_state){0};
    rows_init(&state->rows, operator->plan->columns, operator->plan->column_count);
    buf_init(&state->record, MEM_SESSIONS);
}

static void
state_clear(struct sort_state *state)
{
    rows_fini(&state->rows);
    merge_fini(&state->merge);
    for (uint32_t i = 0; i < state->run_count; i++) {
        tape_fini(&state->runs[i], false);
    }
    mem_free(MEM_SESSIONS, state->runs, state->run_capacity * sizeof(*state->runs));
    spill_file_close(&state->file);
    buf_fini(&state->record);
}

static err_t sort_reset(struct operator* operator)
{
    state_clear(operator->state);
    state_init(operator);
    return ERR_OK;
}

static void sort_close(struct operator* operator)
{
    state_clear(operator->state);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct sort_state));
}

err_t sort_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct sort_state);
    state_init(operator);
    operator->next = sort_next;
    operator->reset = sort_reset;
    operator->close = sort_close;
    return ERR_OK;
}
