/* query/exec/cte.c - items of WITH: each runs once, as far as somebody reads it; its rows are kept.
 *
 * A recursive one gives the rows of its first part, then those that its second part makes of the
 * rows that came last, until it makes none. They follow each other, so that those of the last round
 * are a piece of all. */
#include "engine/base/assert.h"
#include "query/exec/exec.h"
#include "query/exec/spool.h"

#include "engine/base/poison.h"

struct cte_state {
    const struct plan_cte *cte;
    struct operator* operator, * recursive;
    struct spool rows;
    struct map seen; /* UNION: of a recursive one. */
    struct buf key;
    bool is_recursing, is_done;
    uint64_t work_first, work_end; /* The rows that came last. */
};

/* ---- The state ---- */

static struct cte_state *
state_get(struct exec *exec, const struct plan_cte *cte)
{
    struct cte_state *state = exec->ctes[cte->number];

    if (state == NULL) {
        state = MEM_NEW(MEM_SESSIONS, struct cte_state);
        state->cte = cte;
        spool_init(&state->rows, cte->columns, cte->column_count);
        map_init(&state->seen);
        buf_init(&state->key, MEM_SESSIONS);
        exec->ctes[cte->number] = state;
    }
    return state;
}

static void
state_free(struct exec *exec, uint32_t number)
{
    struct cte_state *state = exec->ctes[number];

    exec->ctes[number] = NULL;
    if (state != NULL) {
        operator_close(&state->operator);
        operator_close(&state->recursive);
        spool_fini(&state->rows);
        map_fini(&state->seen);
        buf_fini(&state->key);
        MEM_FREE(MEM_SESSIONS, state);
    }
}

void
ctes_close(struct exec *exec)
{
    for (uint32_t i = 0; i < exec->cte_count; i++) {
        state_free(exec, i);
    }
}

/* ---- Rows ---- */

static err_t
batch_keep(struct exec *exec, struct cte_state *state, const struct batch *batch)
{
    const struct plan_cte *cte = state->cte;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < batch->rows; i++) {
        bool is_new = true;

        if (cte->recursive != NULL && !cte->is_union_all) {
            buf_clear(&state->key);
            row_hash_put(cte->columns, batch->columns, cte->column_count, i, &state->key);
            (void)map_put(&state->seen, buf_slice(&state->key), &is_new);
        }
        TRY(is_new ? spool_add(&state->rows, exec->budget, batch, i) : ERR_OK);
    }
    err = exec_work(exec, batch->rows);
out:
    return err;
}

struct keeping {
    struct exec *exec;
    struct cte_state *state;
};

static err_t
returned(void *arg, const struct batch *batch)
{
    struct keeping *keeping = arg;

    return batch_keep(keeping->exec, keeping->state, batch);
}

static err_t
change_all(struct exec *exec, struct cte_state *state)
{
    struct keeping keeping = {.exec = exec, .state = state};
    uint64_t rows;

    state->is_done = true;
    return change_run(exec, state->cte->change, state->cte->plan, returned, &keeping, &rows);
}

/* The next round of a recursive one, or its end. */
static err_t
round_next(struct exec *exec, struct cte_state *state)
{
    state->work_first = state->work_end;
    state->work_end = state->rows.count;
    if (state->work_first == state->work_end) {
        state->is_done = true;
        return ERR_OK;
    }
    return state->recursive != NULL ? operator_reset(state->recursive)
                                    : operator_open(exec, state->cte->recursive, &state->recursive);
}

/* Another batch, or the end. */
static err_t
more(struct exec *exec, struct cte_state *state)
{
    const struct batch *batch;
    err_t err;

    if (state->cte->change != NULL) {
        return change_all(exec, state);
    }
    if (state->operator== NULL) {
        TRY(operator_open(exec, state->cte->plan, &state->operator));
    }
    TRY(operator_next(state->is_recursing ? state->recursive : state->operator, & batch));
    if (batch != NULL) {
        return batch_keep(exec, state, batch);
    }
    if (state->cte->recursive == NULL) {
        state->is_done = true;
        return ERR_OK;
    }
    state->is_recursing = true;
    TRY(exec_work(exec, 1));
    err = round_next(exec, state);
out:
    return err;
}

err_t
ctes_finish(struct exec *exec, const struct statement *statement)
{
    err_t err = ERR_OK;

    for (const struct cte *cte = statement->changes; err == ERR_OK && cte != NULL;
         cte = cte->next_change) {
        struct cte_state *state = state_get(exec, cte->plan);

        err = state->is_done ? ERR_OK : change_all(exec, state);
    }
    return err;
}

/* ---- Reading ---- */

struct reader {
    uint64_t at;
    bool is_started;
    struct spool_reader spool;
};

static err_t
rows_give(struct operator* operator, struct spool * rows, uint64_t end,
          const struct batch **batch_out)
{
    struct reader *reader = operator->state;
    uint32_t count = (uint32_t)MIN(end - reader->at, (uint64_t)BATCH_ROWS_MAX);
    err_t err;

    arena_reset(&operator->arena);
    batch_make(&operator->batch, &operator->arena, operator->plan->column_count, count);
    TRY(spool_fill(rows, &reader->spool, reader->at, count, &operator->arena, &operator->batch));
    reader->at += count;
    *batch_out = count > 0 ? &operator->batch : NULL;
    err = exec_work(operator->exec, count);
out:
    return err;
}

static err_t
cte_next(struct operator* operator, const struct batch ** batch_out)
{
    struct cte_state *state = state_get(operator->exec, operator->plan->cte);
    struct reader *reader = operator->state;
    err_t err = ERR_OK;

    while (reader->at == state->rows.count && !state->is_done) {
        TRY(more(operator->exec, state));
    }
    err = rows_give(operator, & state->rows, state->rows.count, batch_out);
out:
    return err;
}

static err_t
work_next(struct operator* operator, const struct batch ** batch_out)
{
    struct cte_state *state = state_get(operator->exec, operator->plan->cte);
    struct reader *reader = operator->state;

    if (!reader->is_started) {
        reader->is_started = true;
        reader->at = state->work_first;
    }
    return rows_give(operator, & state->rows, state->work_end, batch_out);
}

static err_t cte_reset(struct operator* operator)
{
    spool_reader_close(&((struct reader *)operator->state)->spool);
    *(struct reader *)operator->state =(struct reader){0};
    return ERR_OK;
}

static void cte_close(struct operator* operator)
{
    spool_reader_close(&((struct reader *)operator->state)->spool);
    mem_free(MEM_SESSIONS, operator->state, sizeof(struct reader));
}

err_t cte_open(struct operator* operator)
{
    operator->state = MEM_NEW(MEM_SESSIONS, struct reader);
    operator->next = operator->plan->kind == PLAN_CTE ? cte_next : work_next;
    operator->reset = cte_reset;
    operator->close = cte_close;
    return ERR_OK;
}

/* ---- Whose WITH it is ---- */

static err_t
with_next(struct operator* operator, const struct batch ** batch_out)
{
    return operator_next(operator->left, batch_out);
}

static err_t with_reset(struct operator* operator)
{
    for (uint32_t i = 0; i < operator->plan->cte_count; i++) {
        state_free(operator->exec, operator->plan->cte_numbers[i]);
        operator->exec->with_epoch++;
    }
    return ERR_OK;
}

err_t with_open(struct operator* operator)
{
    operator->next = with_next;
    operator->reset = with_reset;
    return ERR_OK;
}
