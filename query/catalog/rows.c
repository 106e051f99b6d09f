/* query/catalog/rows.c - the rows of a system relation, and the operator that hands them out. */
#include "engine/base/assert.h"
#include "models/types/array.h"
#include "query/catalog/system.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

enum { CHUNK_ROWS_FIRST = 16 };

struct system_chunk {
    struct batch batch;
    uint32_t capacity;
    struct system_chunk *next;
};

/* ---- Writing ---- */

bool
rows_only(const struct system_rows *rows, uint32_t column, int64_t *value_out)
{
    for (uint32_t i = 0; i < rows->filter_count; i++) {
        if (rows->filters[i].column == column) {
            *value_out = rows->filters[i].value.i;
            return true;
        }
    }
    return false;
}

bool
rows_may(const struct system_rows *rows, uint32_t column, int64_t value)
{
    int64_t only;

    return !rows_only(rows, column, &only) || only == value;
}

bool
rows_may_name(const struct system_rows *rows, uint32_t column, struct slice name)
{
    for (uint32_t i = 0; i < rows->filter_count; i++) {
        if (rows->filters[i].column == column) {
            return slice_equal(rows->filters[i].value.bytes, name);
        }
    }
    return true;
}

bool
rows_only_bytes(const struct system_rows *rows, uint32_t column, struct slice *bytes_out)
{
    for (uint32_t i = 0; i < rows->filter_count; i++) {
        if (rows->filters[i].column == column) {
            *bytes_out = rows->filters[i].value.bytes;
            return true;
        }
    }
    return false;
}

static void
chunk_add(struct system_rows *rows)
{
    struct system_chunk *chunk = arena_alloc(rows->arena, sizeof(*chunk));

    *chunk = (struct system_chunk){.capacity = rows->next_rows};
    batch_make(&chunk->batch, rows->arena, rows->used_count + rows->has_row_keys, chunk->capacity);
    chunk->batch.rows = 0;
    rows->next_rows = MIN(rows->next_rows * 4, (uint32_t)BATCH_ROWS_MAX);
    if (rows->last != NULL) {
        rows->last->next = chunk;
    } else {
        rows->first = chunk;
    }
    rows->last = chunk;
}

bool
row_wants(const struct system_rows *rows)
{
    return rows->places[rows->at] >= 0;
}

static void
value_put(struct system_rows *rows, struct datum value, bool is_null)
{
    int16_t place;

    ASSERT(rows->at < rows->column_count);
    if (rows->last == NULL || rows->last->batch.rows == rows->last->capacity) {
        chunk_add(rows);
    }
    place = rows->places[rows->at++];
    if (place >= 0) {
        struct batch *batch = &rows->last->batch;

        batch->columns[place].values[batch->rows] = value;
        batch->columns[place].nulls[batch->rows] = is_null;
    }
}

void
row_int(struct system_rows *rows, int64_t value)
{
    value_put(rows, datum_int(value), false);
}

void
row_float(struct system_rows *rows, double value)
{
    value_put(rows, datum_float(value), false);
}

void
row_text(struct system_rows *rows, struct slice text)
{
    value_put(rows, datum_bytes(text), false);
}

void
row_name(struct system_rows *rows, const char *text)
{
    value_put(rows, datum_bytes(slice_from_text(text)), false);
}

void
row_buf(struct system_rows *rows, const struct buf *text)
{
    value_put(rows, datum_bytes(arena_copy(rows->arena, buf_slice(text))), false);
}

void
row_numeric(struct system_rows *rows, struct numeric value)
{
    value_put(rows, datum_numeric(value), false);
}

void
row_value(struct system_rows *rows, struct datum value)
{
    value_put(rows, value, false);
}

err_t
row_array(struct system_rows *rows, oid_t element, const oid_t *values, uint32_t count,
          int32_t first)
{
    struct array_shape shape = array_shape_list(count);
    struct array_values array;
    struct datum value;
    err_t err = ERR_OK;

    if (!row_wants(rows)) {
        row_null(rows, 1);
        return ERR_OK;
    }
    shape.lower[0] = first;
    TRY(array_values_make(&array, &shape, rows->arena));
    for (uint32_t i = 0; i < count; i++) {
        array.values[i] = datum_int(values[i]);
        array.nulls[i] = 0;
    }
    TRY(array_values_put(type_by_oid(element), &array, rows->arena, &value));
    value_put(rows, value, false);
out:
    return err;
}

void
row_null(struct system_rows *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        value_put(rows, datum_int(0), true);
    }
}

err_t
row_end(struct system_rows *rows)
{
    struct batch *batch;

    ASSERT(rows->at == rows->column_count);
    if (rows->last == NULL || rows->last->batch.rows == rows->last->capacity) {
        chunk_add(rows);
    }
    batch = &rows->last->batch;
    rows->at = 0;
    if (rows->has_row_keys) {
        batch->columns[rows->used_count].nulls[batch->rows] = 1;
        batch->columns[rows->used_count].values[batch->rows] = datum_int(0);
    }
    batch->rows++;
    return batch->rows == rows->last->capacity ? exec_work(rows->exec, batch->rows) : ERR_OK;
}

/* ---- The operator ---- */

struct system_state {
    struct system_rows rows;
    struct system_chunk *next;
    bool is_filled;
};

/* Which numbers and names are asked for. *is_empty_out: none, as nothing equals null. */
static err_t
filters_make(struct operator* operator, struct system_rows * rows, bool *is_empty_out)
{
    const struct plan *plan = operator->plan;
    struct system_filter *filters =
        arena_alloc(&operator->arena, (plan->equal_count + 1) * sizeof(*filters));
    err_t err = ERR_OK;

    *is_empty_out = false;
    for (uint32_t i = 0; err == ERR_OK && i < plan->equal_count; i++) {
        bool is_null = false;

        filters[i].column = plan->system_columns[i];
        err = eval_value(operator->exec, &operator->arena, plan->exprs[i], &filters[i].value,
                         &is_null);
        *is_empty_out = *is_empty_out || is_null;
    }
    if (err == ERR_OK && plan->system_like != NULL) {
        struct datum pattern;
        bool is_null = false;

        err = eval_value(operator->exec, &operator->arena, plan->system_like, &pattern, &is_null);
        *is_empty_out = *is_empty_out || is_null;
        rows->like = err == ERR_OK && !is_null ? pattern.bytes : slice_of(NULL, 0);
    }
    rows->filters = filters;
    rows->filter_count = plan->equal_count;
    return err;
}

static err_t system_fill(struct operator* operator)
{
    struct system_state *state = operator->state;
    const struct plan *plan = operator->plan;
    uint32_t count = plan->relation->column_count;
    int16_t *places;
    bool is_empty;
    err_t err;

    arena_reset(&operator->arena);
    places = arena_alloc(&operator->arena, (count + 1) * sizeof(*places));
    memset(places, -1, (count + 1) * sizeof(*places));
    for (uint32_t i = 0; i < plan->scan_column_count; i++) {
        places[plan->scan_columns[i]] = (int16_t)i;
    }
    state->rows = (struct system_rows){
        .relation = plan->system,
        .env = operator->exec->env,
        .catalog = operator->exec->env->catalog,
        .settings = operator->exec->settings,
        .arena = &operator->arena,
        .exec = operator->exec,
        .column_count = count,
        .places = places,
        .used_count = plan->scan_column_count,
        .has_row_keys = plan->has_row_keys,
        .next_rows = CHUNK_ROWS_FIRST,
    };
    err = filters_make(operator, & state->rows, &is_empty);
    if (err == ERR_OK && !is_empty && plan->system->fill != NULL) {
        err = plan->system->fill(&state->rows);
    }
    state->next = state->rows.first;
    state->is_filled = true;
    return err;
}

static err_t
system_next(struct operator* operator, const struct batch ** batch_out)
{
    struct system_state *state = operator->state;
    err_t err = state->is_filled ? ERR_OK : system_fill(operator);

    *batch_out = NULL;
    if (err == ERR_OK && state->next != NULL && state->next->batch.rows > 0) {
        *batch_out = &state->next->batch;
        state->next = state->next->next;
    }
    return err;
}

static err_t system_reset(struct operator* operator)
{
    struct system_state *state = operator->state;

    state->is_filled = false;
    return ERR_OK;
}

static void system_close(struct operator* operator)
{
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct system_state));
}

err_t system_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct system_state);
    operator->next = system_next;
    operator->reset = system_reset;
    operator->close = system_close;
    return ERR_OK;
}
