/* query/exec/join.c - joins: all rows of the right side are kept, in a map by their keys or as they
 * are; for each batch of the left side pairs are made, and those that the condition keeps go on.
 *
 * When rows and map have more than work_mem, both sides are parted by their keys (partition.h), and
 * part by part is joined. */
#include "engine/base/assert.h"
#include "query/exec/exec.h"
#include "query/exec/partition.h"

#include "engine/base/poison.h"

enum { CHAIN_END = UINT32_MAX };

struct join_state {
    bool is_built, is_ended;
    struct rows rows;
    struct map map;
    uint32_t *chain; /* Of equal keys: the next row. */
    uint32_t chain_capacity;
    uint8_t *right_matched;

    const struct batch *left; /* The batch that is joined. */
    uint8_t left_matched[BATCH_ROWS_MAX];
    uint32_t left_first[BATCH_ROWS_MAX]; /* First candidate of each row. */
    uint32_t left_row, candidate;        /* Where it goes on. */
    bool is_left_done;                   /* Its unmatched rows are due. */
    uint32_t unmatched_right;            /* Where the unmatched right rows go on. */

    struct parts parts;
    struct buf record;
    struct arena input_arena; /* Of the batch that is read from a part. */
    struct batch input;
};

static bool
keeps_left(const struct plan *plan)
{
    return plan->join == FROM_LEFT || plan->join == FROM_FULL;
}

static bool
keeps_right(const struct plan *plan)
{
    return plan->join == FROM_RIGHT || plan->join == FROM_FULL;
}

/* The keys of a batch's rows, and which have a null in them. */
static err_t
keys_eval(struct operator* operator, struct expr ** keys, const struct batch *batch,
          struct vector **vectors_out)
{
    const struct plan *plan = operator->plan;
    struct vector *vectors =
        arena_alloc(&operator->arena, (plan->key_count + 1) * sizeof(*vectors));
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < plan->key_count; i++) {
        err =
            eval(operator->exec, &operator->arena, keys[i], batch, NULL, batch->rows, &vectors[i]);
    }
    *vectors_out = vectors;
    return err;
}

/* ---- Building ---- */

static void
chain_grow(struct join_state *state)
{
    uint32_t capacity = MAX(1024U, state->chain_capacity * 2);

    state->chain = mem_realloc(MEM_SESSIONS, state->chain, state->chain_capacity * sizeof(uint32_t),
                               capacity * sizeof(uint32_t));
    state->chain_capacity = capacity;
}

static err_t
build_batch(struct operator* operator, const struct batch * batch, struct buf *key)
{
    const struct plan *plan = operator->plan;
    struct join_state *state = operator->state;
    struct vector *vectors;
    err_t err;

    TRY(keys_eval(operator, plan->right_keys, batch, &vectors));
    for (uint32_t i = 0; i < batch->rows; i++) {
        uint32_t number = state->rows.count;
        bool has_key = keys_hash_put(plan->right_keys, plan->key_count, vectors, i, key);

        if (plan->kind == PLAN_JOIN_HASH && !has_key && !keeps_right(plan)) {
            continue;
        }
        TRY(rows_add(&state->rows, batch, i));
        if (number == state->chain_capacity) {
            chain_grow(state);
        }
        state->chain[number] = CHAIN_END;
        if (plan->kind == PLAN_JOIN_HASH && has_key) {
            bool is_new;
            struct map_entry *entry = map_put(&state->map, buf_slice(key), &is_new);

            state->chain[number] = is_new ? CHAIN_END : entry->value;
            entry->value = number;
        }
    }
out:
    return err;
}

/* Is there no room for more rows? */
static bool
is_full(const struct operator* operator)
{
    const struct join_state *state = operator->state;
    uint64_t bytes = rows_bytes(&state->rows) + map_bytes(&state->map) +
                     state->chain_capacity * sizeof(uint32_t);

    return operator->plan->kind == PLAN_JOIN_HASH && exec_is_over(operator->exec, bytes) &&
           parts_may_open(&state->parts);
}

/* The rows of a batch go to parts. Who has a null in its key meets nobody, and is only kept where
 * such rows are. */
static err_t
batch_part(struct operator* operator, uint32_t side, const struct batch *batch, struct buf *key)
{
    const struct plan *plan = operator->plan;
    const struct plan *input = side == PART_LEFT ? plan->left : plan->right;
    struct expr **keys = side == PART_LEFT ? plan->left_keys : plan->right_keys;
    bool keeps = side == PART_LEFT ? keeps_left(plan) : keeps_right(plan);
    struct join_state *state = operator->state;
    struct vector *vectors;
    err_t err;

    TRY(keys_eval(operator, keys, batch, &vectors));
    for (uint32_t i = 0; i < batch->rows; i++) {
        if (keys_hash_put(keys, plan->key_count, vectors, i, key) || keeps) {
            buf_clear(&state->record);
            spill_batch_row_put(input->columns, input->column_count, batch, i, &state->record);
            TRY(parts_add(&state->parts, side, buf_slice(key), buf_slice(&state->record)));
        }
    }
    err = exec_work(operator->exec, batch->rows);
out:
    return err;
}

static void table_clear(struct operator* operator)
{
    const struct plan *right = operator->plan->right;
    struct join_state *state = operator->state;

    mem_free(MEM_SESSIONS, state->right_matched,
             state->right_matched != NULL ? state->rows.count + 1 : 0);
    state->right_matched = NULL;
    mem_free(MEM_SESSIONS, state->chain, state->chain_capacity * sizeof(uint32_t));
    state->chain = NULL;
    state->chain_capacity = 0;
    state->unmatched_right = 0;
    rows_fini(&state->rows);
    map_fini(&state->map);
    rows_init(&state->rows, right->columns, right->column_count);
    map_init(&state->map);
}

/* The rows that are kept go to parts. */
static err_t rows_part(struct operator* operator, struct buf * key)
{
    struct join_state *state = operator->state;
    err_t err = ERR_OK;

    operator_note(operator, rows_bytes(&state->rows) + map_bytes(&state->map),
                  spill_file_bytes(state->parts.file), 1);
    for (uint32_t first = 0; first < state->rows.count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(state->rows.count - first, (uint32_t)BATCH_ROWS_MAX);
        struct batch batch;

        arena_reset(&operator->arena);
        batch_make(&batch, &operator->arena, state->rows.column_count, count);
        rows_fill(&state->rows, first, count, &batch);
        TRY(batch_part(operator, PART_RIGHT, &batch, key));
    }
    table_clear(operator);
out:
    return err;
}

/* Another batch of a side: of the operator's own input, or of the part that is joined now. */
static err_t
side_next(struct operator* operator, uint32_t side, const struct batch **batch_out)
{
    struct operator* input = side == PART_LEFT ? operator->left : operator->right;
    struct join_state *state = operator->state;
    err_t err;

    if (state->parts.depth == 0) {
        return operator_next(input, batch_out);
    }
    arena_reset(&state->input_arena);
    err = parts_read_batch(&state->parts, input->plan->columns, input->plan->column_count,
                           &state->input_arena, &state->input);
    *batch_out = err == ERR_OK && state->input.rows > 0 ? &state->input : NULL;
    return err;
}

static void
side_begin(struct operator* operator, uint32_t side)
{
    struct join_state *state = operator->state;

    if (state->parts.depth > 0) {
        parts_read_begin(&state->parts, side);
    }
}

static err_t right_read(struct operator* operator, struct buf * key)
{
    struct join_state *state = operator->state;
    const struct batch *batch;
    err_t err;

    side_begin(operator, PART_RIGHT);
    for (err = side_next(operator, PART_RIGHT, &batch); err == ERR_OK && batch != NULL;
         err = side_next(operator, PART_RIGHT, &batch)) {
        arena_reset(&operator->arena);
        if (parts_are_open(&state->parts)) {
            TRY(batch_part(operator, PART_RIGHT, batch, key));
            continue;
        }
        TRY(build_batch(operator, batch, key));
        TRY(exec_work(operator->exec, batch->rows));
        if (is_full(operator)) {
            TRY(rows_part(operator, key));
        }
    }
out:
    return err;
}

static err_t left_part(struct operator* operator, struct buf * key)
{
    const struct batch *batch;
    err_t err;

    side_begin(operator, PART_LEFT);
    for (err = side_next(operator, PART_LEFT, &batch); err == ERR_OK && batch != NULL;
         err = side_next(operator, PART_LEFT, &batch)) {
        arena_reset(&operator->arena);
        TRY(batch_part(operator, PART_LEFT, batch, key));
    }
out:
    return err;
}

static bool
part_matters(void *arg, const struct part_job *job)
{
    const struct plan *plan = arg;

    return (job->tapes[PART_LEFT].records > 0 || keeps_right(plan)) &&
           (job->tapes[PART_RIGHT].records > 0 || keeps_left(plan));
}

/* Makes the next part's turn. False: there is none. */
static err_t
part_next(struct operator* operator, bool * has_part_out)
{
    struct join_state *state = operator->state;
    err_t err =
        parts_next(&state->parts, part_matters, (void *)(uintptr_t) operator->plan, has_part_out);

    table_clear(operator);
    return err;
}

/* The table of the own input or, if that is too large, of the first part that fits. */
static err_t
build(struct operator* operator, bool * has_table_out)
{
    struct join_state *state = operator->state;
    struct buf key;
    err_t err;

    state->is_built = true;
    buf_init(&key, MEM_SESSIONS);
    *has_table_out = true;
    do {
        TRY(right_read(operator, & key));
        if (!parts_are_open(&state->parts)) {
            break;
        }
        TRY(left_part(operator, & key));
        TRY(part_next(operator, has_table_out));
    } while (*has_table_out);
    operator_note(operator, rows_bytes(&state->rows) + map_bytes(&state->map),
                  spill_file_bytes(state->parts.file),
                  state->parts.jobs_ended + state->parts.job_count + 1);
    state->right_matched = mem_zalloc(MEM_SESSIONS, state->rows.count + 1);
    side_begin(operator, PART_LEFT);
out:
    buf_fini(&key);
    return err;
}

/* ---- Candidates ---- */

static err_t left_take(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct join_state *state = operator->state;
    struct vector *vectors;
    struct buf key;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    TRY(side_next(operator, PART_LEFT, &state->left));
    state->left_row = 0;
    state->is_left_done = false;
    if (state->left == NULL) {
        goto out;
    }
    memset(state->left_matched, 0, sizeof(state->left_matched));
    TRY(keys_eval(operator, plan->left_keys, state->left, &vectors));
    for (uint32_t i = 0; i < state->left->rows; i++) {
        const struct map_entry *entry = NULL;

        if (plan->kind == PLAN_JOIN_LOOP) {
            state->left_first[i] = state->rows.count > 0 ? 0 : CHAIN_END;
            continue;
        }
        if (keys_hash_put(plan->left_keys, plan->key_count, vectors, i, &key)) {
            entry = map_find(&state->map, buf_slice(&key));
        }
        state->left_first[i] = entry != NULL ? entry->value : CHAIN_END;
    }
    state->candidate = state->left_first[0];
out:
    buf_fini(&key);
    return err;
}

struct pairs {
    uint16_t left[BATCH_ROWS_MAX];
    uint32_t right[BATCH_ROWS_MAX];
    uint32_t count;
};

static void
pairs_gather(const struct plan *plan, struct join_state *state, struct pairs *pairs)
{
    pairs->count = 0;
    while (state->left_row < state->left->rows && pairs->count < BATCH_ROWS_MAX) {
        if (state->candidate == CHAIN_END) {
            state->left_row++;
            if (state->left_row < state->left->rows) {
                state->candidate = state->left_first[state->left_row];
            }
            continue;
        }
        pairs->left[pairs->count] = (uint16_t)state->left_row;
        pairs->right[pairs->count++] = state->candidate;
        if (plan->kind == PLAN_JOIN_HASH) {
            state->candidate = state->chain[state->candidate];
        } else {
            state->candidate =
                state->candidate + 1 < state->rows.count ? state->candidate + 1 : CHAIN_END;
        }
    }
}

/* ---- Output ---- */

static void
left_columns(const struct join_state *state, const uint16_t *rows, uint32_t count, uint32_t columns,
             struct batch *batch)
{
    for (uint32_t i = 0; i < columns; i++) {
        for (uint32_t j = 0; j < count; j++) {
            batch->columns[i].values[j] = vector_value(&state->left->columns[i], rows[j]);
            batch->columns[i].nulls[j] = vector_is_null(&state->left->columns[i], rows[j]);
        }
    }
}

static void
right_columns(const struct join_state *state, const uint32_t *rows, uint32_t count, uint32_t first,
              struct batch *batch)
{
    for (uint32_t i = 0; i < state->rows.column_count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            const struct kept_row *row = &state->rows.rows[rows[j]];

            batch->columns[first + i].values[j] = row->values[i];
            batch->columns[first + i].nulls[j] = row->nulls[i];
        }
    }
}

static void
null_columns(struct batch *batch, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        memset(batch->columns[i].nulls, 1, batch->rows);
        memset(batch->columns[i].values, 0, batch->rows * sizeof(struct datum));
    }
}

static err_t pairs_filter(struct operator* operator, struct pairs * pairs)
{
    uint32_t left = operator->left->plan->column_count, kept = 0;
    uint16_t selected[BATCH_ROWS_MAX];
    struct join_state *state = operator->state;
    err_t err;

    if (operator->plan->condition == NULL) {
        return ERR_OK;
    }
    TRY(eval_condition(operator->exec, &operator->arena, operator->plan->condition,
                       &operator->batch, selected, &kept));
    for (uint32_t i = 0; i < kept; i++) {
        pairs->left[i] = pairs->left[selected[i]];
        pairs->right[i] = pairs->right[selected[i]];
    }
    if (kept < pairs->count) {
        pairs->count = kept;
        operator->batch.rows = kept;
        left_columns(state, pairs->left, kept, left, &operator->batch);
        right_columns(state, pairs->right, kept, left, &operator->batch);
    }
out:
    return err;
}

static err_t pairs_emit(struct operator* operator)
{
    uint32_t left = operator->left->plan->column_count;
    struct join_state *state = operator->state;
    struct pairs pairs;
    err_t err;

    pairs_gather(operator->plan, state, &pairs);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, pairs.count);
    left_columns(state, pairs.left, pairs.count, left, &operator->batch);
    right_columns(state, pairs.right, pairs.count, left, &operator->batch);
    TRY(exec_work(operator->exec, pairs.count));
    TRY(pairs_filter(operator, & pairs));
    for (uint32_t i = 0; i < pairs.count; i++) {
        state->left_matched[pairs.left[i]] = 1;
        state->right_matched[pairs.right[i]] = 1;
    }
out:
    return err;
}

static void unmatched_left_emit(struct operator* operator)
{
    uint32_t left = operator->left->plan->column_count, count = 0;
    struct join_state *state = operator->state;
    uint16_t rows[BATCH_ROWS_MAX];

    for (uint32_t i = 0; i < state->left->rows; i++) {
        if (state->left_matched[i] == 0) {
            rows[count++] = (uint16_t)i;
        }
    }
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    left_columns(state, rows, count, left, &operator->batch);
    null_columns(&operator->batch, left, state->rows.column_count);
}

static void unmatched_right_emit(struct operator* operator)
{
    uint32_t left = operator->left->plan->column_count, count = 0;
    struct join_state *state = operator->state;
    uint32_t rows[BATCH_ROWS_MAX];

    while (state->unmatched_right < state->rows.count && count < BATCH_ROWS_MAX) {
        if (state->right_matched[state->unmatched_right] == 0) {
            rows[count++] = state->unmatched_right;
        }
        state->unmatched_right++;
    }
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    null_columns(&operator->batch, 0, left);
    right_columns(state, rows, count, left, &operator->batch);
}

/* The right rows that met nobody, then the next part; *is_ended_out: there is none. */
static err_t
left_ended(struct operator* operator, bool * is_ended_out)
{
    struct join_state *state = operator->state;
    bool has_part;
    err_t err = ERR_OK;

    if (keeps_right(operator->plan) && state->unmatched_right < state->rows.count) {
        unmatched_right_emit(operator);
        return ERR_OK;
    }
    *is_ended_out = state->parts.depth == 0;
    if (!*is_ended_out) {
        TRY(part_next(operator, & has_part));
        *is_ended_out = !has_part;
        state->is_built = false;
    }
out:
    return err;
}

static err_t
join_next(struct operator* operator, const struct batch ** batch_out)
{
    const struct plan *plan = operator->plan;
    struct join_state *state = operator->state;
    err_t err = ERR_OK;

    *batch_out = NULL;
    operator->batch.rows = 0;
    while (operator->batch.rows == 0 && !state->is_ended) {
        if (!state->is_built) {
            bool has_table;

            TRY(build(operator, & has_table));
            state->is_ended = !has_table;
            continue;
        }
        arena_reset(&operator->arena);
        if (state->left == NULL || (state->left_row >= state->left->rows && state->is_left_done)) {
            TRY(left_take(operator));
        }
        if (state->left == NULL) {
            TRY(left_ended(operator, & state->is_ended));
        } else if (state->left_row < state->left->rows) {
            TRY(pairs_emit(operator));
        } else {
            state->is_left_done = true;
            if (keeps_left(plan)) {
                unmatched_left_emit(operator);
            }
        }
    }
    *batch_out = operator->batch.rows> 0 ? &operator->batch : NULL;
out:
    return err;
}

static void state_init(struct operator* operator)
{
    const struct plan *right = operator->plan->right;
    struct join_state *state = operator->state;

    memset(state, 0, sizeof(*state));
    rows_init(&state->rows, right->columns, right->column_count);
    map_init(&state->map);
    parts_init(&state->parts, operator->exec);
    buf_init(&state->record, MEM_SESSIONS);
    arena_init(&state->input_arena, MEM_SESSIONS);
}

static void state_clear(struct operator* operator)
{
    struct join_state *state = operator->state;

    table_clear(operator);
    parts_fini(&state->parts);
    buf_fini(&state->record);
    arena_fini(&state->input_arena);
}

static err_t join_reset(struct operator* operator)
{
    state_clear(operator);
    state_init(operator);
    return ERR_OK;
}

static void join_close(struct operator* operator)
{
    state_clear(operator);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct join_state));
}

err_t join_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct join_state);
    state_init(operator);
    operator->next = join_next;
    operator->reset = join_reset;
    operator->close = join_close;
    return ERR_OK;
}
