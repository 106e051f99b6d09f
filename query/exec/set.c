/* query/exec/set.c - functions that return rows: in FROM, and above rows of a SELECT.
 *
 * Several side by side give rows as long as one of them does; those that have ended give nulls. */
#include "query/fn/set.h"
#include "engine/base/assert.h"
#include "models/types/tuple.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

/* One function, and where it is in its rows. An expression that is no such function gives one
 * row. */
struct run {
    const struct expr *expr;
    const struct set_function *set; /* NULL: one row. */
    struct set_call call;
    struct arena arena, chunk_arena;
    struct vector *chunk;
    uint32_t chunk_rows, at;
    bool is_open, is_ended;
};

struct set_state {
    struct run *runs;
    uint32_t run_count;
    int64_t ordinal;
    bool is_started;
    const struct batch *input; /* PROJECT_SET: its rows, one after the other. */
    struct vector **args;      /* Of the runs, over the input. */
    struct arena args_arena;
    uint32_t row;
};

/* ---- One function ---- */

static void
run_init(struct run *run, struct exec *exec, const struct expr *expr)
{
    bool is_set = expr->kind == EXPR_CALL && expr->function->set != NULL;

    *run = (struct run){.expr = expr, .set = is_set ? expr->function->set : NULL};
    arena_init(&run->arena, MEM_SESSIONS);
    arena_init(&run->chunk_arena, MEM_SESSIONS);
    run->call.call = (struct call){
        .arena = &run->arena,
        .settings = exec->settings,
        .env = exec->env,
        .expr = expr,
    };
    run->call.arena = &run->chunk_arena;
    run->call.shape = expr->shape;
}

static void
run_end(struct run *run)
{
    if (run->is_open && run->set != NULL && run->set->end != NULL) {
        run->set->end(&run->call);
    }
    run->is_open = false;
    run->is_ended = true;
}

static void
run_fini(struct run *run)
{
    run_end(run);
    arena_fini(&run->arena);
    arena_fini(&run->chunk_arena);
}

/* Begins with the arguments of a row. */
static err_t
run_start(struct run *run, const struct vector *args, uint32_t row)
{
    uint32_t count = run->expr->arg_count;
    struct datum *values;
    uint8_t *nulls;
    bool has_null = false;

    run_end(run);
    arena_reset(&run->arena);
    run->chunk_rows = run->at = 0;
    values = arena_alloc(&run->arena, (count + 1) * sizeof(*values));
    nulls = arena_alloc(&run->arena, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        nulls[i] = vector_is_null(&args[i], row);
        values[i] = nulls[i] != 0 ? datum_int(0)
                                  : type_copy(run->expr->args[i]->type, vector_value(&args[i], row),
                                              &run->arena);
        has_null = has_null || nulls[i] != 0;
    }
    if (has_null && run->expr->function->is_strict) {
        return ERR_OK;
    }
    run->is_open = true;
    run->is_ended = false;
    run->call.args = values;
    run->call.call.nulls = nulls;
    run->call.call.arg_count = count;
    run->call.state = arena_alloc(&run->arena, run->set->state_bytes + 1);
    memset(run->call.state, 0, run->set->state_bytes);
    return run->set->start != NULL ? run->set->start(&run->call) : ERR_OK;
}

static err_t
chunk_fill(struct run *run)
{
    struct batch chunk;
    err_t err;

    arena_reset(&run->chunk_arena);
    batch_make(&chunk, &run->chunk_arena, run->call.shape->count, BATCH_ROWS_MAX);
    for (uint32_t i = 0; i < chunk.column_count; i++) {
        memset(chunk.columns[i].nulls, 0, BATCH_ROWS_MAX);
    }
    run->chunk = chunk.columns;
    run->chunk_rows = run->at = 0;
    err = run->set->next(&run->call, run->chunk, &run->chunk_rows);
    ASSERT(run->chunk_rows <= BATCH_ROWS_MAX);
    if (err != ERR_OK || run->chunk_rows == 0) {
        run_end(run);
    }
    return err;
}

/* Is there a row at run->at? Otherwise it has ended. */
static err_t
run_advance(struct run *run)
{
    return run->is_ended || run->at < run->chunk_rows ? ERR_OK : chunk_fill(run);
}

/* ---- Several, side by side ---- */

static bool
all_ended(const struct set_state *state)
{
    for (uint32_t i = 0; i < state->run_count; i++) {
        if (!state->runs[i].is_ended) {
            return false;
        }
    }
    return true;
}

static err_t
all_advance(struct set_state *state)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < state->run_count; i++) {
        err = run_advance(&state->runs[i]);
    }
    return err;
}

static void
value_put(struct vector *column, uint32_t row, const struct type *type, const struct vector *chunk,
          uint32_t at, struct arena *arena)
{
    column->nulls[row] = vector_is_null(chunk, at);
    column->values[row] =
        column->nulls[row] != 0 ? datum_int(0) : type_copy(type, vector_value(chunk, at), arena);
}

/* The function's row as columns of its own. */
static void
columns_put(struct run *run, struct vector *columns, uint32_t row, struct arena *arena)
{
    for (uint32_t i = 0; i < run->call.shape->count; i++) {
        if (run->is_ended) {
            columns[i].nulls[row] = 1;
            columns[i].values[row] = datum_int(0);
        } else {
            value_put(&columns[i], row, run->call.shape->types[i], &run->chunk[i], run->at, arena);
        }
    }
    run->at += !run->is_ended;
}

/* The function's row as one value. */
static void
record_put_row(struct run *run, struct vector *column, uint32_t row, struct arena *arena)
{
    struct tuple_writer writer;

    if (run->is_ended || run->set->column_count == 0 ||
        run->call.call.expr->type->oid != OID_RECORD) {
        columns_put(run, column, row, arena);
        return;
    }
    tuple_begin(&writer, run->call.shape->count);
    for (uint32_t i = 0; i < run->call.shape->count; i++) {
        tuple_add(&writer, run->call.shape->types[i], run->call.shape->names[i],
                  vector_is_null(&run->chunk[i], run->at), vector_value(&run->chunk[i], run->at));
    }
    column->nulls[row] = 0;
    column->values[row] = datum_bytes(tuple_end(&writer, arena));
    run->at++;
}

/* ---- FROM ---- */

/* A record's fields become columns. */
static err_t
record_columns(struct run *run, struct slice record)
{
    struct tuple_reader reader;
    struct tuple_field field;
    err_t err;

    TRY(tuple_open(record, &reader));
    for (uint32_t i = 0; i < run->call.shape->count && reader.fields > 0; i++) {
        TRY(tuple_next(&reader, &run->chunk_arena, &field));
        run->chunk[i].nulls[0] = field.is_null;
        run->chunk[i].values[0] = field.value;
    }
out:
    return err;
}

static err_t one_row(struct operator* operator, struct run * run)
{
    struct datum value;
    bool is_null;
    struct batch chunk;
    err_t err;

    arena_reset(&run->chunk_arena);
    TRY(eval_value(operator->exec, &run->chunk_arena, run->expr, &value, &is_null));
    run->is_open = true;
    run->is_ended = false;
    batch_make(&chunk, &run->chunk_arena, run->call.shape->count, 1);
    run->chunk = chunk.columns;
    run->chunk_rows = 1;
    run->at = 0;
    if (run->expr->type->oid == OID_RECORD && !is_null && run->expr->shape != NULL) {
        return record_columns(run, value.bytes);
    }
    for (uint32_t i = 0; i < run->call.shape->count; i++) {
        run->chunk[i].nulls[0] = is_null;
        run->chunk[i].values[0] = value;
    }
out:
    return err;
}

static err_t functions_start(struct operator* operator)
{
    static const struct batch none = {.rows = 1};
    struct set_state *state = operator->state;
    err_t err = ERR_OK;

    state->is_started = true;
    state->ordinal = 0;
    for (uint32_t i = 0; i < state->run_count; i++) {
        struct run *run = &state->runs[i];
        struct vector *args =
            arena_alloc(&operator->arena, (run->expr->arg_count + 1) * sizeof(*args));

        if (run->set == NULL) {
            TRY(one_row(operator, run));
            continue;
        }
        for (uint32_t j = 0; j < run->expr->arg_count; j++) {
            TRY(eval(operator->exec, &operator->arena, run->expr->args[j], &none, NULL, 1,
                     &args[j]));
        }
        TRY(run_start(run, args, 0));
    }
out:
    return err;
}

/* The next chunk of the only function as it is. */
static err_t
chunk_pass(struct operator* operator, const struct batch ** batch_out)
{
    struct run *run = &((struct set_state *)operator->state)->runs[0];
    err_t err;

    TRY(run_advance(run));
    if (run->is_ended) {
        return ERR_OK;
    }
    operator->batch =(struct batch){
        .columns = run->chunk, .column_count = run->call.shape->count, .rows = run->chunk_rows};
    run->at = run->chunk_rows;
    run->is_ended = run->set == NULL;
    *batch_out = &operator->batch;
    err = exec_work(operator->exec, operator->batch.rows);
out:
    return err;
}

static err_t
functions_next(struct operator* operator, const struct batch ** batch_out)
{
    struct set_state *state = operator->state;
    uint32_t row = 0;
    err_t err = ERR_OK;

    *batch_out = NULL;
    arena_reset(&operator->arena);
    if (!state->is_started) {
        TRY(functions_start(operator));
    }
    if (state->run_count == 1 && !operator->plan->has_ordinality) {
        return chunk_pass(operator, batch_out);
    }
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, BATCH_ROWS_MAX);
    for (; row < BATCH_ROWS_MAX; row++) {
        uint32_t column = 0;

        TRY(all_advance(state));
        if (all_ended(state)) {
            break;
        }
        for (uint32_t i = 0; i < state->run_count; i++) {
            struct run *run = &state->runs[i];

            columns_put(run, &operator->batch.columns[column], row, &operator->arena);
            column += run->call.shape->count;
            run->is_ended = run->is_ended || run->set == NULL;
        }
        if (operator->plan->has_ordinality) {
            operator->batch.columns[column].values[row] = datum_int(++state->ordinal);
            operator->batch.columns[column].nulls[row] = 0;
        }
    }
    operator->batch.rows = row;
    *batch_out = row > 0 ? &operator->batch : NULL;
    err = exec_work(operator->exec, row);
out:
    return err;
}

/* ---- Above rows ---- */

static err_t input_take(struct operator* operator)
{
    struct set_state *state = operator->state;
    err_t err;

    TRY(operator_next(operator->left, &state->input));
    state->row = 0;
    arena_reset(&state->args_arena);
    state->args = arena_alloc(&state->args_arena, (state->run_count + 1) * sizeof(struct vector *));
    for (uint32_t i = 0; state->input != NULL && i < state->run_count; i++) {
        const struct expr *expr = state->runs[i].expr;

        state->args[i] =
            arena_alloc(&state->args_arena, (expr->arg_count + 1) * sizeof(struct vector));
        for (uint32_t j = 0; j < expr->arg_count; j++) {
            TRY(eval(operator->exec, &state->args_arena, expr->args[j], state->input, NULL,
                     state->input->rows, &state->args[i][j]));
        }
    }
    state->is_started = false; /* Of its first row. */
out:
    return err;
}

/* Puts the row that is there; false: the input's row has no more. */
static err_t
project_set_row(struct operator* operator, uint32_t row, bool *is_put_out)
{
    struct set_state *state = operator->state;
    uint32_t columns = state->input->column_count;
    err_t err = ERR_OK;

    for (uint32_t i = 0; !state->is_started && i < state->run_count; i++) {
        TRY(run_start(&state->runs[i], state->args[i], state->row));
    }
    state->is_started = true;
    TRY(all_advance(state));
    *is_put_out = !all_ended(state);
    for (uint32_t i = 0; *is_put_out && i < state->run_count; i++) {
        record_put_row(&state->runs[i], &operator->batch.columns[columns + i], row,
                       &operator->arena);
    }
    for (uint32_t i = 0; *is_put_out && i < columns; i++) {
        const struct vector *column = &state->input->columns[i];

        operator->batch.columns[i].values[row] = vector_value(column, state->row);
        operator->batch.columns[i].nulls[row] = vector_is_null(column, state->row);
    }
out:
    return err;
}

static err_t
project_set_next(struct operator* operator, const struct batch ** batch_out)
{
    struct set_state *state = operator->state;
    uint32_t row = 0;
    err_t err = ERR_OK;

    *batch_out = NULL;
    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, BATCH_ROWS_MAX);
    while (row < BATCH_ROWS_MAX) {
        bool is_put;

        if (state->input == NULL || state->row >= state->input->rows) {
            if (row > 0) {
                break; /* What was put refers to the input. */
            }
            TRY(input_take(operator));
            if (state->input == NULL) {
                return ERR_OK;
            }
            TRY(exec_work(operator->exec, state->input->rows));
            continue;
        }
        TRY(project_set_row(operator, row, &is_put));
        row += is_put;
        if (!is_put) {
            state->row++;
            state->is_started = false;
        }
    }
    operator->batch.rows = row;
    *batch_out = &operator->batch;
    err = exec_work(operator->exec, row);
out:
    return err;
}

/* ---- Opening ---- */

static err_t set_reset(struct operator* operator)
{
    struct set_state *state = operator->state;

    state->is_started = false;
    state->input = NULL;
    for (uint32_t i = 0; i < state->run_count; i++) {
        run_end(&state->runs[i]);
    }
    return ERR_OK;
}

static void set_close(struct operator* operator)
{
    struct set_state *state = operator->state;

    for (uint32_t i = 0; i < state->run_count; i++) {
        run_fini(&state->runs[i]);
    }
    arena_fini(&state->args_arena);
    mem_free(MEM_SESSIONS, state->runs, state->run_count * sizeof(*state->runs));
    mem_free(MEM_SESSIONS, state, sizeof(*state));
}

err_t set_functions_open(struct operator* operator)
{
    const struct plan *plan = operator->plan;
    struct set_state *state = MEM_NEW(MEM_SESSIONS, struct set_state);

    state->run_count = plan->expr_count;
    state->runs = mem_zalloc(MEM_SESSIONS, state->run_count * sizeof(*state->runs));
    arena_init(&state->args_arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < state->run_count; i++) {
        run_init(&state->runs[i], operator->exec, plan->exprs[i]);
    }
    operator->state = state;
    operator->next = plan->kind == PLAN_FUNCTION ? functions_next : project_set_next;
    operator->reset = set_reset;
    operator->close = set_close;
    return ERR_OK;
}
