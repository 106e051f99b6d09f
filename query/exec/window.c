/* query/exec/window.c - window functions over rows that are sorted by the window's keys.
 *
 * The rows of a partition are kept; when all of them are there the calls' values are computed, and
 * the rows handed out with them. An aggregate whose frame begins with the partition goes on from
 * row to row; others begin anew for each frame. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

/* Values of an expression for the rows of a partition. */
struct values {
    struct datum *values;
    uint8_t *nulls;
};

struct window_state {
    bool is_built, is_ended;
    const struct batch *input; /* That is read now, */
    uint32_t input_at;         /* from this row on. */
    struct rows rows;          /* Of the partition. */
    uint32_t count;            /* They. */
    uint32_t emitted;
    struct arena arena; /* Of the partition. */
    struct arena frame; /* Of one aggregation. */
    struct values *results;
    uint32_t *group;       /* Of peers, by row; */
    uint32_t *group_first; /* its first row; one more at the end. */
    uint32_t group_count;
    uint32_t known_first, known_end; /* Rows whose key is not null. */
    struct datum start_offset, end_offset;
};

/* ---- The frame of a row ---- */

struct frame {
    uint32_t first[3], end[3]; /* Pieces, of the partition's rows. */
    uint32_t pieces;
};

static const struct kept_row *
row_of(const struct window_state *state, uint32_t row)
{
    return &state->rows.rows[row];
}

/* Does the test hold for the candidate's key, beside the row's? */
static err_t
test_holds(struct operator* operator, const struct expr * test, uint32_t candidate, uint32_t row,
           struct datum offset, bool *holds_out)
{
    struct window_state *state = operator->state;
    uint32_t key = operator->plan->first_key + operator->plan->window->partition_count;
    struct vector columns[3] = {
        {.values = &row_of(state, candidate)->values[key], .is_constant = true},
        {.values = &row_of(state, row)->values[key], .is_constant = true},
        {.values = &offset, .is_constant = true},
    };
    struct batch batch = {.columns = columns, .column_count = 3, .rows = 1};
    struct vector result;
    err_t err;

    arena_reset(&state->frame);
    err = eval(operator->exec, &state->frame, test, &batch, NULL, 1, &result);
    *holds_out = err == ERR_OK && !vector_is_null(&result, 0) && vector_value(&result, 0).i != 0;
    return err;
}

/* The first row for which the test holds; rows are sorted, so that it holds for all behind it. */
static err_t
range_bound(struct operator* operator, const struct expr * test, uint32_t row, struct datum offset,
            uint32_t *bound_out)
{
    const struct window_state *state = operator->state;
    uint32_t low = state->known_first, high = state->known_end;
    err_t err = ERR_OK;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        bool holds;

        TRY(test_holds(operator, test, middle, row, offset, &holds));
        if (holds) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    *bound_out = low;
out:
    return err;
}

/* Row `at` moved by a signed distance, held within [0, count]. */
static uint32_t
moved(uint32_t at, int64_t by, uint32_t count)
{
    int64_t to;

    if (__builtin_add_overflow((int64_t)at, by, &to)) {
        return by > 0 ? count : 0;
    }
    return (uint32_t)MAX(0, MIN(to, (int64_t)count));
}

/* Where a bound lies: is_end: behind the last row of the frame. */
static err_t
bound_find(struct operator* operator, enum frame_bound bound, bool is_end, uint32_t row,
           uint32_t *out)
{
    const struct window *window = operator->plan->window;
    const struct window_state *state = operator->state;
    struct datum offset = is_end ? state->end_offset : state->start_offset;
    uint32_t group = state->group[row];
    int64_t by = bound == FRAME_OFFSET_PRECEDING ? -offset.i : offset.i;
    int64_t to;

    switch (bound) {
    case FRAME_UNBOUNDED_PRECEDING:
        *out = 0;
        return ERR_OK;
    case FRAME_UNBOUNDED_FOLLOWING:
        *out = state->count;
        return ERR_OK;
    case FRAME_CURRENT_ROW:
        *out = window->mode == FRAME_ROWS ? row + is_end : state->group_first[group + is_end];
        return ERR_OK;
    default:
        break;
    }
    if (window->mode == FRAME_ROWS) {
        *out = moved(row, by < INT64_MAX ? by + is_end : by, state->count);
        return ERR_OK;
    }
    if (window->mode == FRAME_RANGE) {
        if (row < state->known_first || row >= state->known_end) { /* Null: its peers. */
            *out = state->group_first[group + is_end];
            return ERR_OK;
        }
        return range_bound(operator, is_end ? window->end_test : window->start_test, row, offset,
                           out);
    }
    if (__builtin_add_overflow((int64_t)group, by, &to)) {
        to = by > 0 ? (int64_t)state->group_count : -1;
    }
    to = MIN(to, (int64_t)state->group_count);
    *out = to < 0 ? 0 : state->group_first[MIN(to + is_end, (int64_t)state->group_count)];
    return ERR_OK;
}

static void
piece_add(struct frame *frame, uint32_t first, uint32_t end)
{
    if (first < end) {
        frame->first[frame->pieces] = first;
        frame->end[frame->pieces++] = end;
    }
}

static err_t
frame_find(struct operator* operator, uint32_t row, struct frame *frame)
{
    const struct window *window = operator->plan->window;
    const struct window_state *state = operator->state;
    uint32_t first, end, hole_first = row, hole_end = row + 1;
    err_t err;

    frame->pieces = 0;
    TRY(bound_find(operator, window->start, false, row, &first));
    TRY(bound_find(operator, window->end, true, row, &end));
    if (window->exclusion == EXCLUDE_NOTHING) {
        piece_add(frame, first, end);
        return ERR_OK;
    }
    if (window->exclusion != EXCLUDE_CURRENT_ROW) {
        hole_first = state->group_first[state->group[row]];
        hole_end = state->group_first[state->group[row] + 1];
    }
    piece_add(frame, first, MIN(end, hole_first));
    if (window->exclusion == EXCLUDE_TIES) {
        piece_add(frame, MAX(first, row), MIN(end, row + 1));
    }
    piece_add(frame, MAX(first, hole_end), end);
out:
    return err;
}

/* The n-th row of the frame, from 0; UINT32_MAX: there is none. */
static uint32_t
frame_row(const struct frame *frame, uint32_t n)
{
    for (uint32_t i = 0; i < frame->pieces; i++) {
        uint32_t rows = frame->end[i] - frame->first[i];

        if (n < rows) {
            return frame->first[i] + n;
        }
        n -= rows;
    }
    return UINT32_MAX;
}

static uint32_t
frame_rows(const struct frame *frame)
{
    uint32_t rows = 0;

    for (uint32_t i = 0; i < frame->pieces; i++) {
        rows += frame->end[i] - frame->first[i];
    }
    return rows;
}

/* ---- Arguments ---- */

static err_t
column_eval(struct operator* operator, const struct expr * expr, struct values *out)
{
    struct window_state *state = operator->state;
    uint32_t columns = state->rows.column_count;
    err_t err = ERR_OK;

    out->values = arena_alloc(&state->arena, (state->count + 1) * sizeof(*out->values));
    out->nulls = arena_alloc(&state->arena, state->count + 1);
    for (uint32_t first = 0; first < state->count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(state->count - first, (uint32_t)BATCH_ROWS_MAX);
        struct vector values;
        struct batch batch;

        arena_reset(&state->frame);
        batch_make(&batch, &state->frame, columns, count);
        rows_fill(&state->rows, first, count, &batch);
        TRY(eval(operator->exec, &state->frame, expr, &batch, NULL, count, &values));
        for (uint32_t i = 0; i < count; i++) {
            out->nulls[first + i] = vector_is_null(&values, i);
            out->values[first + i] =
                out->nulls[first + i] != 0
                    ? datum_int(0)
                    : type_copy(expr->type, vector_value(&values, i), &state->arena);
        }
        TRY(exec_work(operator->exec, count));
    }
out:
    return err;
}

/* ---- Aggregates ---- */

struct aggregation {
    struct operator* operator;
    const struct expr *expr;
    const struct aggregate_function *function;
    struct values args[3]; /* With FILTER's condition. */
    uint32_t arg_count;
    void *state;
    struct call call;
    struct expr typed;
    uint8_t nulls[2];
    uint32_t done; /* Rows from the start that are in it. */
};

static void
aggregation_begin(struct aggregation *aggregation, struct arena *arena)
{
    aggregation->call = (struct call){
        .arena = arena,
        .settings = aggregation->operator->exec->settings,
        .env = aggregation->operator->exec->env,
        .expr = &aggregation->typed,
        .nulls = aggregation->nulls,
        .arg_count = aggregation->arg_count,
    };
    aggregation->state = arena_alloc(arena, aggregation->function->state_bytes + 16);
    aggregation->function->init(aggregation->state);
    aggregation->done = 0;
}

static err_t
rows_aggregate(struct aggregation *aggregation, uint32_t first, uint32_t end)
{
    bool has_filter = aggregation->expr->window_call->has_filter;
    const struct values *filter = &aggregation->args[aggregation->arg_count];
    err_t err = ERR_OK;

    for (uint32_t row = first; row < end; row++) {
        struct datum values[2];
        bool is_skipped = has_filter && (filter->nulls[row] != 0 || filter->values[row].i == 0);

        for (uint32_t i = 0; i < aggregation->arg_count; i++) {
            values[i] = aggregation->args[i].values[row];
            aggregation->nulls[i] = aggregation->args[i].nulls[row];
            is_skipped =
                is_skipped || (aggregation->nulls[i] != 0 && !aggregation->function->takes_nulls);
        }
        if (!is_skipped) {
            TRY(aggregation->function->add(aggregation->state, &aggregation->call, values));
        }
    }
    err = exec_work(aggregation->operator->exec, end - first);
out:
    return err;
}

static err_t
aggregation_result(struct aggregation *aggregation, uint32_t row, struct values *out)
{
    struct window_state *state = aggregation->operator->state;
    err_t err;

    aggregation->call.is_null = false;
    out->values[row] = datum_int(0);
    err = aggregation->function->get(aggregation->state, &aggregation->call, &out->values[row]);
    out->nulls[row] = aggregation->call.is_null;
    if (err == ERR_OK && !aggregation->call.is_null) {
        out->values[row] = type_copy(aggregation->expr->type, out->values[row], &state->arena);
    }
    return err;
}

static err_t
aggregate_compute(struct operator* operator, const struct expr * expr, struct values *out)
{
    const struct window *window = operator->plan->window;
    bool goes_on =
        window->start == FRAME_UNBOUNDED_PRECEDING && window->exclusion == EXCLUDE_NOTHING;
    struct window_state *state = operator->state;
    struct aggregation aggregation = {
        .operator= operator,
        .expr = expr,
        .function = expr->window_call->aggregate,
        .arg_count = expr->arg_count - expr->window_call->has_filter,
        .typed = {.kind = EXPR_AGGREGATE, .type = expr->type, .typmod = -1},
    };
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < expr->arg_count; i++) {
        TRY(column_eval(operator, expr->args[i], &aggregation.args[i]));
    }
    aggregation.typed.args = expr->args;
    aggregation.typed.arg_count = aggregation.arg_count;
    aggregation_begin(&aggregation, &state->arena);
    for (uint32_t row = 0; row < state->count; row++) {
        struct frame frame;

        TRY(frame_find(operator, row, &frame));
        if (goes_on) {
            uint32_t end = frame.pieces > 0 ? frame.end[0] : 0;

            TRY(rows_aggregate(&aggregation, aggregation.done, MAX(end, aggregation.done)));
            aggregation.done = MAX(end, aggregation.done);
        } else {
            arena_reset(&state->frame);
            aggregation_begin(&aggregation, &state->frame);
            for (uint32_t i = 0; i < frame.pieces; i++) {
                TRY(rows_aggregate(&aggregation, frame.first[i], frame.end[i]));
            }
        }
        TRY(aggregation_result(&aggregation, row, out));
    }
out:
    return err;
}

/* ---- The other functions ---- */

static err_t
ntile_compute(struct window_state *state, const struct values *arg, struct values *out)
{
    uint32_t row = 0, number = 1;
    int64_t buckets;

    if (arg->nulls[0] != 0) {
        memset(out->nulls, 1, state->count);
        return ERR_OK;
    }
    buckets = arg->values[0].i;
    if (buckets <= 0) {
        return sql_error("22014", "argument of ntile must be greater than zero");
    }
    while (row < state->count) {
        uint32_t size = (uint32_t)(state->count / buckets) + (number <= state->count % buckets);

        for (uint32_t i = 0; i < size && row < state->count; i++) {
            out->values[row++] = datum_int(number);
        }
        number++;
    }
    return ERR_OK;
}

static void
rank_compute(const struct window_state *state, enum window_kind kind, struct values *out)
{
    double rows = state->count;

    for (uint32_t row = 0; row < state->count; row++) {
        uint32_t group = state->group[row];
        uint32_t first = state->group_first[group], end = state->group_first[group + 1];

        switch (kind) {
        case WINDOW_ROW_NUMBER:
            out->values[row] = datum_int(row + 1);
            break;
        case WINDOW_RANK:
            out->values[row] = datum_int(first + 1);
            break;
        case WINDOW_DENSE_RANK:
            out->values[row] = datum_int(group + 1);
            break;
        case WINDOW_PERCENT_RANK:
            out->values[row] = datum_float(rows > 1 ? first / (rows - 1) : 0);
            break;
        default:
            out->values[row] = datum_float(end / rows);
            break;
        }
    }
}

static void
neighbour_compute(const struct window_state *state, const struct expr *expr,
                  const struct values *args, struct values *out)
{
    bool is_lag = expr->window_call->kind == WINDOW_LAG;

    for (uint32_t row = 0; row < state->count; row++) {
        int64_t by = 1, at;

        if (expr->arg_count > 1) {
            if (args[1].nulls[row] != 0) {
                out->nulls[row] = 1;
                continue;
            }
            by = args[1].values[row].i;
        }
        at = is_lag ? (int64_t)row - by : (int64_t)row + by;
        if (at >= 0 && at < (int64_t)state->count) {
            out->values[row] = args[0].values[at];
            out->nulls[row] = args[0].nulls[at];
        } else {
            out->nulls[row] = expr->arg_count > 2 ? args[2].nulls[row] : 1;
            out->values[row] = expr->arg_count > 2 ? args[2].values[row] : datum_int(0);
        }
    }
}

static err_t
value_compute(struct operator* operator, const struct expr * expr, const struct values *args,
              struct values *out)
{
    const struct window_state *state = operator->state;
    enum window_kind kind = expr->window_call->kind;
    err_t err = ERR_OK;

    for (uint32_t row = 0; row < state->count; row++) {
        uint32_t at = 0;
        struct frame frame;

        TRY(frame_find(operator, row, &frame));
        if (kind == WINDOW_LAST_VALUE) {
            at = frame_rows(&frame) - 1; /* Of none: beyond the end. */
        } else if (kind == WINDOW_NTH_VALUE) {
            if (args[1].nulls[row] != 0) {
                out->nulls[row] = 1;
                continue;
            }
            if (args[1].values[row].i <= 0) {
                return sql_error("22016", "argument of nth_value must be greater than zero");
            }
            at = (uint32_t)args[1].values[row].i - 1;
        }
        at = frame_row(&frame, at);
        out->nulls[row] = at == UINT32_MAX || args[0].nulls[at] != 0;
        out->values[row] = out->nulls[row] != 0 ? datum_int(0) : args[0].values[at];
    }
out:
    return err;
}

static err_t
call_compute(struct operator* operator, const struct expr * expr, struct values *out)
{
    struct window_state *state = operator->state;
    struct values args[3];
    err_t err = ERR_OK;

    out->values = arena_alloc(&state->arena, (state->count + 1) * sizeof(*out->values));
    out->nulls = arena_alloc(&state->arena, state->count + 1);
    memset(out->values, 0, (state->count + 1) * sizeof(*out->values));
    memset(out->nulls, 0, state->count + 1);
    if (expr->window_call->kind == WINDOW_AGGREGATE) {
        return aggregate_compute(operator, expr, out);
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        TRY(column_eval(operator, expr->args[i], &args[i]));
    }
    switch (expr->window_call->kind) {
    case WINDOW_NTILE:
        return ntile_compute(state, args, out);
    case WINDOW_LAG:
    case WINDOW_LEAD:
        neighbour_compute(state, expr, args, out);
        return ERR_OK;
    case WINDOW_FIRST_VALUE:
    case WINDOW_LAST_VALUE:
    case WINDOW_NTH_VALUE:
        return value_compute(operator, expr, args, out);
    default:
        rank_compute(state, expr->window_call->kind, out);
        return ERR_OK;
    }
out:
    return err;
}

/* ---- Partitions ---- */

static bool
keys_equal(const struct operator* operator, uint32_t a, uint32_t b, uint32_t first, uint32_t count)
{
    const struct window_state *state = operator->state;
    const struct kept_row *left = &state->rows.rows[a], *right = &state->rows.rows[b];

    for (uint32_t i = first; i < first + count; i++) {
        const struct type *type = operator->plan->columns[i].type;

        if (left->nulls[i] != right->nulls[i] ||
            (left->nulls[i] == 0 && type->compare(type, left->values[i], right->values[i]) != 0)) {
            return false;
        }
    }
    return true;
}

/* Peers, and which rows have a key. */
static void groups_find(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct window_state *state = operator->state;
    uint32_t key = plan->first_key + plan->window->partition_count;

    state->group = arena_alloc(&state->arena, (state->count + 1) * sizeof(*state->group));
    state->group_first =
        arena_alloc(&state->arena, (state->count + 2) * sizeof(*state->group_first));
    state->group_count = 0;
    for (uint32_t row = 0; row < state->count; row++) {
        if (row == 0 || !keys_equal(operator, row - 1, row, key, plan->window->order_count)) {
            state->group_first[state->group_count++] = row;
        }
        state->group[row] = state->group_count - 1;
    }
    state->group_first[state->group_count] = state->count;
    state->known_first = 0;
    state->known_end = state->count;
    if (plan->window->order_count > 0) {
        while (state->known_first < state->count &&
               row_of(state, state->known_first)->nulls[key] != 0) {
            state->known_first++;
        }
        while (state->known_end > state->known_first &&
               row_of(state, state->known_end - 1)->nulls[key] != 0) {
            state->known_end--;
        }
    }
}

/* Keeps the rows of the next partition; none: the input has ended. */
static err_t partition_read(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct window_state *state = operator->state;
    struct rows *rows = &state->rows;
    err_t err = ERR_OK;

    arena_reset(&rows->arena);
    rows->count = 0;
    while (!state->is_ended) {
        if (state->input == NULL || state->input_at >= state->input->rows) {
            TRY(operator_next(operator->left, &state->input));
            state->input_at = 0;
            state->is_ended = state->input == NULL;
            TRY(exec_work(operator->exec, state->is_ended ? 1 : state->input->rows));
            continue;
        }
        TRY(rows_add(rows, state->input, state->input_at));
        if (!keys_equal(operator, 0, rows->count - 1, plan->first_key,
                        plan->window->partition_count)) {
            rows->count--; /* The first of the next one: it is read again. */
            break;
        }
        state->input_at++;
    }
    state->count = rows->count;
    state->emitted = 0;
out:
    return err;
}

static err_t partition_compute(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct window_state *state = operator->state;
    err_t err = ERR_OK;

    arena_reset(&state->arena);
    groups_find(operator);
    state->results = arena_alloc(&state->arena, (plan->expr_count + 1) * sizeof(*state->results));
    for (uint32_t i = 0; i < plan->expr_count; i++) {
        TRY(call_compute(operator, plan->exprs[i], &state->results[i]));
    }
out:
    return err;
}

static err_t
offset_get(struct operator* operator, const struct expr * expr, const char *name, struct datum *out)
{
    const struct window *window = operator->plan->window;
    struct datum zero = datum_int(0);
    bool is_null = false, is_negative;
    err_t err;

    if (expr == NULL) {
        return ERR_OK;
    }
    TRY(eval_value(operator->exec, operator->exec->arena, expr, out, &is_null));
    if (is_null) {
        return sql_error("22004", "frame %s offset must not be null", name);
    }
    if (expr->type->rep == REP_NUMERIC) {
        zero.n = numeric_from_int(0);
    } else if (expr->type->rep != REP_INT) {
        memset(&zero, 0, sizeof(zero));
    }
    is_negative = expr->type->compare != NULL && expr->type->compare(expr->type, *out, zero) < 0;
    if (is_negative && window->mode == FRAME_RANGE) {
        return sql_error("22013", "invalid preceding or following size in window function");
    }
    if (is_negative) {
        return sql_error("22013", "frame %s offset must not be negative", name);
    }
out:
    return err;
}

static err_t partition_next(struct operator* operator)
{
    const struct window *window = operator->plan->window;
    struct window_state *state = operator->state;
    err_t err;

    TRY(partition_read(operator));
    if (state->count == 0) {
        return ERR_OK;
    }
    if (!state->is_built) {
        state->is_built = true;
        TRY(offset_get(operator, window->start_offset, "starting", &state->start_offset));
        TRY(offset_get(operator, window->end_offset, "ending", &state->end_offset));
    }
    err = partition_compute(operator);
out:
    return err;
}

static err_t
window_next(struct operator* operator, const struct batch ** batch_out)
{
    struct window_state *state = operator->state;
    uint32_t columns = operator->left->plan->column_count, count, at;
    err_t err = ERR_OK;

    *batch_out = NULL;
    if (state->emitted == state->count) {
        TRY(partition_next(operator));
    }
    at = state->emitted;
    count = MIN(state->count - at, (uint32_t)BATCH_ROWS_MAX);
    if (count == 0) {
        return ERR_OK;
    }
    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    rows_fill(&state->rows, at, count, &operator->batch);
    for (uint32_t i = 0; i < operator->plan->expr_count; i++) {
        operator->batch.columns[columns + i].values = state->results[i].values + at;
        operator->batch.columns[columns + i].nulls = state->results[i].nulls + at;
    }
    state->emitted += count;
    *batch_out = &operator->batch;
out:
    return err;
}

/* ---- Opening ---- */

static void state_init(struct operator* operator)
{
    const struct plan *left = operator->plan->left;
    struct window_state *state = operator->state;

    *state = (struct window_state){0};
    rows_init(&state->rows, left->columns, left->column_count);
    arena_init(&state->arena, MEM_SESSIONS);
    arena_init(&state->frame, MEM_SESSIONS);
}

static void
state_clear(struct window_state *state)
{
    rows_fini(&state->rows);
    arena_fini(&state->arena);
    arena_fini(&state->frame);
}

static err_t window_reset(struct operator* operator)
{
    state_clear(operator->state);
    state_init(operator);
    return ERR_OK;
}

static void window_close(struct operator* operator)
{
    state_clear(operator->state);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct window_state));
}

err_t window_calls_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct window_state);
    state_init(operator);
    operator->next = window_next;
    operator->reset = window_reset;
    operator->close = window_close;
    return ERR_OK;
}
