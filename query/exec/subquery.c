/* query/exec/subquery.c - subqueries in expressions.
 *
 * One that takes nothing from outside runs once; what IN and its like compare with is kept in a map
 * by its keys. Another runs for each set of outer values that has not been asked yet: a memo keeps
 * the answers. An aggregate, or EXISTS, whose outer values are only compared for equality is
 * computed for all of them at once, after a few runs. */
#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/exec/eval.h"

#include "engine/base/poison.h"

enum {
    MEMO_ANSWERS_MAX = 65536, /* Then it is begun anew. */
    MEMO_BYTES_MAX = 8 << 20, /* The same. */
    HASH_ROWS_LEAST = 4,      /* Fewer rows are compared one by one. */
    KEYS_MAX = 16,
};

struct answer {
    struct datum value;
    bool is_null;
};

/* Answers by keys. */
struct memo {
    bool is_used;
    struct map map;
    struct arena arena; /* Of the values. */
    struct answer *answers;
    uint32_t count, capacity;
    size_t bytes; /* Of keys and values, about. */
};

struct subquery_state {
    struct operator* operator;
    uint32_t epoch; /* Of the items of WITH that it may have read. */
    bool is_kept;   /* It takes nothing from outside and has run: result or rows hold. */
    bool is_null;
    struct datum value;
    struct rows rows; /* ANY, ALL */
    bool has_rows;
    struct arena arena;

    bool is_hashed;     /* The rows are in `keys`, by what they are compared by. */
    bool has_null_keys; /* In some row. */
    uint32_t key_count;
    struct expr *row_keys[KEYS_MAX], *value_keys[KEYS_MAX];
    struct map keys;

    struct memo memo;
    uint32_t runs;
    struct operator* grouped;
    bool is_grouped, no_grouping; /* `memo` has all groups; that cannot be done. */
    bool has_empty;
    struct answer empty; /* Of no rows. */
};

/* ---- Memos ---- */

static void
memo_clear(struct memo *memo)
{
    if (memo->is_used) {
        map_fini(&memo->map);
        arena_fini(&memo->arena);
        mem_free(MEM_SESSIONS, memo->answers, memo->capacity * sizeof(*memo->answers));
    }
    *memo = (struct memo){0};
}

static const struct answer *
memo_find(struct memo *memo, struct slice key)
{
    const struct map_entry *entry = memo->is_used ? map_find(&memo->map, key) : NULL;

    return entry != NULL ? &memo->answers[entry->value] : NULL;
}

static void
memo_add(struct memo *memo, struct slice key, const struct type *type, struct datum value,
         bool is_null)
{
    struct map_entry *entry;
    bool is_new;

    if (!memo->is_used) {
        map_init(&memo->map);
        arena_init(&memo->arena, MEM_SESSIONS);
        memo->is_used = true;
    }
    if (memo->count == memo->capacity) {
        uint32_t capacity = MAX(64U, memo->capacity * 2);

        memo->answers =
            mem_realloc(MEM_SESSIONS, memo->answers, memo->capacity * sizeof(*memo->answers),
                        capacity * sizeof(*memo->answers));
        memo->capacity = capacity;
    }
    entry = map_put(&memo->map, key, &is_new);
    entry->value = is_new ? memo->count++ : entry->value;
    memo->answers[entry->value] = (struct answer){
        .value = is_null ? datum_int(0) : type_copy(type, value, &memo->arena),
        .is_null = is_null,
    };
    memo->bytes += key.size + sizeof(struct answer) + sizeof(struct map_entry);
    memo->bytes += !is_null && type->rep == REP_BYTES ? value.bytes.size : sizeof(value);
}

static void
memo_bound(struct memo *memo)
{
    if (memo->count >= MEMO_ANSWERS_MAX || memo->bytes >= MEMO_BYTES_MAX) {
        memo_clear(memo);
    }
}

/* ---- States ---- */

static void
hash_clear(struct subquery_state *state)
{
    if (state->is_hashed) {
        map_fini(&state->keys);
    }
    state->is_hashed = state->has_null_keys = false;
}

void
subqueries_close(struct exec *exec)
{
    for (uint32_t i = 0; i < exec->subquery_count; i++) {
        struct subquery_state *state = exec->subqueries[i];

        if (state != NULL) {
            operator_close(&state->operator);
            operator_close(&state->grouped);
            if (state->has_rows) {
                rows_fini(&state->rows);
            }
            hash_clear(state);
            memo_clear(&state->memo);
            arena_fini(&state->arena);
            MEM_FREE(MEM_SESSIONS, exec->subqueries[i]);
        }
    }
}

/* What it has kept is forgotten when items of WITH have begun anew since. */
static struct subquery_state *
state_of(struct exec *exec, const struct subquery *subquery)
{
    struct subquery_state *state = exec->subqueries[subquery->number];

    if (state == NULL) {
        state = MEM_NEW(MEM_SESSIONS, struct subquery_state);
        arena_init(&state->arena, MEM_SESSIONS);
        state->epoch = exec->with_epoch;
        exec->subqueries[subquery->number] = state;
    }
    if (state->epoch != exec->with_epoch) {
        state->epoch = exec->with_epoch;
        state->is_kept = state->is_grouped = state->has_empty = false;
        hash_clear(state);
        memo_clear(&state->memo);
    }
    return state;
}

/* ---- Running ---- */

static err_t
subquery_begin(struct exec *exec, const struct subquery *subquery, struct subquery_state *state)
{
    return state->operator!= NULL ? operator_reset(state->operator)
                                  : operator_open(exec, subquery->plan, &state->operator);
}

static err_t
scalar_run(struct subquery_state *state, uint32_t column, const struct type *type)
{
    const struct batch *batch;
    uint64_t rows = 0;
    err_t err;

    state->is_null = true;
    for (err = operator_next(state->operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(state->operator, & batch)) {
        rows += batch->rows;
        if (rows > 1) {
            return sql_error("21000",
                             "more than one row returned by a subquery used as an expression");
        }
        if (batch->rows == 1) {
            const struct vector *values = &batch->columns[column];

            state->is_null = vector_is_null(values, 0);
            if (!state->is_null) {
                state->value = type_copy(type, vector_value(values, 0), &state->arena);
            }
        }
    }
    return err;
}

static err_t
exists_run(struct subquery_state *state)
{
    const struct batch *batch;
    err_t err;

    do {
        err = operator_next(state->operator, & batch);
    } while (err == ERR_OK && batch != NULL && batch->rows == 0);
    state->is_null = false;
    state->value = datum_int(err == ERR_OK && batch != NULL);
    return err;
}

static err_t
rows_gather(struct subquery_state *state)
{
    const struct plan *plan = state->operator->plan;
    const struct batch *batch;
    err_t err;

    if (state->has_rows) {
        rows_fini(&state->rows);
    }
    rows_init(&state->rows, plan->columns, plan->column_count);
    state->has_rows = true;
    for (err = operator_next(state->operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(state->operator, & batch)) {
        for (uint32_t i = 0; err == ERR_OK && i < batch->rows; i++) {
            err = rows_add(&state->rows, batch, i);
        }
        if (err != ERR_OK) {
            break;
        }
    }
    return err;
}

/* Rows of the subquery, beside the values that they are compared with. */
static void
compared_batch(struct evaluation *evaluation, const struct subquery_state *state, uint32_t first,
               uint32_t count, const struct vector *compared, uint32_t row, struct batch *batch)
{
    uint32_t columns = state->rows.column_count;

    batch_make(batch, evaluation->arena, 2 * columns, count);
    batch->column_count = columns;
    rows_fill(&state->rows, first, count, batch);
    batch->column_count = 2 * columns;
    for (uint32_t i = 0; i < columns; i++) {
        struct vector *column = &batch->columns[columns + i];

        column->is_constant = true;
        column->values[0] = vector_value(&compared[i], row);
        column->nulls[0] = vector_is_null(&compared[i], row);
    }
}

/* Compares the values with each row's; ends at the first that decides. */
static err_t
any_all(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state,
        const struct vector *compared, uint32_t row, struct datum *value_out, bool *is_null_out)
{
    bool is_any = expr->subquery->kind != SUBQUERY_ALL;
    struct batch pairs;
    err_t err = ERR_OK;

    *is_null_out = expr->subquery->kind == SUBQUERY_ROW && state->rows.count == 0;
    *value_out = datum_int(!is_any);
    if (expr->subquery->kind == SUBQUERY_ROW && state->rows.count > 1) {
        return sql_error("21000", "more than one row returned by a subquery used as an expression");
    }
    for (uint32_t first = 0; first < state->rows.count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(state->rows.count - first, (uint32_t)BATCH_ROWS_MAX);
        struct vector result;

        compared_batch(evaluation, state, first, count, compared, row, &pairs);
        TRY(eval(evaluation->exec, evaluation->arena, expr->subquery->compare, &pairs, NULL, count,
                 &result));
        for (uint32_t i = 0; i < count; i++) {
            if (vector_is_null(&result, i)) {
                *is_null_out = true;
            } else if ((vector_value(&result, i).i != 0) == is_any) {
                *is_null_out = false;
                *value_out = datum_int(is_any);
                return ERR_OK;
            }
        }
    }
out:
    return err;
}

/* Sets the outer values of a row. */
static void
outers_set(struct exec *exec, const struct expr *expr, const struct vector *args, uint32_t first,
           uint32_t row)
{
    for (uint32_t i = 0; i < expr->subquery->outer_count; i++) {
        uint32_t param = expr->subquery->outer_params[i];

        exec->outers[param] = vector_value(&args[first + i], row);
        exec->outer_nulls[param] = vector_is_null(&args[first + i], row);
    }
}

static err_t
subquery_run(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state)
{
    err_t err;

    hash_clear(state);
    TRY(subquery_begin(evaluation->exec, expr->subquery, state));
    state->runs++;
    switch (expr->subquery->kind) {
    case SUBQUERY_SCALAR:
        arena_reset(&state->arena);
        err = scalar_run(state, expr->subquery->column, expr->type);
        break;
    case SUBQUERY_EXISTS:
        err = exists_run(state);
        break;
    case SUBQUERY_ANY:
    case SUBQUERY_ALL:
    case SUBQUERY_ROW:
        err = rows_gather(state);
        break;
    case SUBQUERY_ARRAY:
        arena_reset(&state->arena);
        err = rows_gather(state);
        state->is_null = false;
        if (err == ERR_OK) {
            err = array_of_rows(expr->type, &state->rows, &state->arena, &state->value);
        }
        break;
    }
out:
    return err;
}

/* ---- IN and NOT IN of rows that are kept: by a map ---- */

static bool
expr_columns_within(const struct expr *expr, uint32_t first, uint32_t count)
{
    if (expr->kind == EXPR_SUBQUERY || expr->kind == EXPR_OUTER ||
        (expr->kind == EXPR_CALL && expr->function->is_volatile)) {
        return false;
    }
    if (expr->kind == EXPR_COLUMN) {
        return expr->column.column >= first && expr->column.column < first + count;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (!expr_columns_within(expr->args[i], first, count)) {
            return false;
        }
    }
    return true;
}

/* Equalities, each of an expression over the rows and one over the compared values? */
static bool
keys_split(struct subquery_state *state, const struct expr *expr, enum comparison wanted,
           uint32_t columns)
{
    if (expr->kind == (wanted == COMPARE_EQUAL ? EXPR_AND : EXPR_OR)) {
        for (uint32_t i = 0; i < expr->arg_count; i++) {
            if (!keys_split(state, expr->args[i], wanted, columns)) {
                return false;
            }
        }
        return true;
    }
    if (expr->kind != EXPR_CALL || expr->function->comparison != wanted ||
        state->key_count == KEYS_MAX ||
        !plan_keys_agree(expr->args[0]->type, expr->args[1]->type)) {
        return false;
    }
    for (uint32_t side = 0; side < 2; side++) {
        if (expr_columns_within(expr->args[side], 0, columns) &&
            expr_columns_within(expr->args[1 - side], columns, columns)) {
            state->row_keys[state->key_count] = expr->args[side];
            state->value_keys[state->key_count++] = expr->args[1 - side];
            return true;
        }
    }
    return false;
}

static err_t
keys_eval(struct exec *exec, struct arena *arena, struct expr *const *keys, uint32_t count,
          const struct batch *batch, const uint16_t *rows, uint32_t row_count,
          struct vector *vectors)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = eval(exec, arena, keys[i], batch, rows, row_count, &vectors[i]);
    }
    return err;
}

static err_t
hash_build(struct exec *exec, struct subquery_state *state)
{
    struct vector vectors[KEYS_MAX];
    struct arena arena;
    struct buf key;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    buf_init(&key, MEM_SESSIONS);
    map_init(&state->keys);
    state->is_hashed = true;
    for (uint32_t first = 0; first < state->rows.count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(state->rows.count - first, (uint32_t)BATCH_ROWS_MAX);
        struct batch batch;

        arena_reset(&arena);
        batch_make(&batch, &arena, state->rows.column_count, count);
        rows_fill(&state->rows, first, count, &batch);
        TRY(keys_eval(exec, &arena, state->row_keys, state->key_count, &batch, NULL, count,
                      vectors));
        for (uint32_t i = 0; i < count; i++) {
            bool is_new;

            if (keys_hash_put(state->row_keys, state->key_count, vectors, i, &key)) {
                (void)map_put(&state->keys, buf_slice(&key), &is_new);
            } else {
                state->has_null_keys = true;
            }
        }
        TRY(exec_work(exec, count));
    }
out:
    if (err != ERR_OK) {
        hash_clear(state);
    }
    buf_fini(&key);
    arena_fini(&arena);
    return err;
}

/* May the rows that are kept be looked up? */
static err_t
hash_prepare(struct exec *exec, const struct expr *expr, struct subquery_state *state)
{
    enum subquery_kind kind = expr->subquery->kind;

    if (state->is_hashed || state->rows.count < HASH_ROWS_LEAST ||
        (kind != SUBQUERY_ANY && kind != SUBQUERY_ALL)) {
        return ERR_OK;
    }
    state->key_count = 0;
    return keys_split(state, expr->subquery->compare,
                      kind == SUBQUERY_ANY ? COMPARE_EQUAL : COMPARE_NOT_EQUAL,
                      state->rows.column_count)
               ? hash_build(exec, state)
               : ERR_OK;
}

/* The rows of a batch, looked up; where a null leaves it open, the rows are compared. */
static err_t
hash_probe(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state,
           const struct vector *args, const uint16_t *rows, uint32_t count, struct vector *out)
{
    bool is_any = expr->subquery->kind == SUBQUERY_ANY;
    uint32_t columns = state->rows.column_count;
    struct batch pairs = *evaluation->batch;
    struct vector vectors[KEYS_MAX];
    struct buf key;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    pairs.column_count = 2 * columns;
    pairs.columns = arena_alloc(evaluation->arena, (2 * columns + 1) * sizeof(*pairs.columns));
    for (uint32_t i = 0; i < columns; i++) {
        pairs.columns[i] = pairs.columns[columns + i] = args[i];
    }
    TRY(keys_eval(evaluation->exec, evaluation->arena, state->value_keys, state->key_count, &pairs,
                  rows, count, vectors));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        bool has_key = keys_hash_put(state->value_keys, state->key_count, vectors, row, &key);
        bool is_found = has_key && map_find(&state->keys, buf_slice(&key)) != NULL;
        struct datum value = datum_int(is_found == is_any);
        bool is_null = false;

        if (!is_found && (!has_key || state->has_null_keys)) {
            if (state->key_count == 1) {
                is_null = true;
            } else {
                TRY(any_all(evaluation, expr, state, args, row, &value, &is_null));
            }
        }
        value_set(out, row, value, is_null);
    }
out:
    buf_fini(&key);
    return err;
}

/* ---- Aggregates for all outer values at once ---- */

/* The grouped plan's columns: keys, then the value. */
static err_t
groups_gather(struct exec *exec, const struct expr *expr, struct subquery_state *state)
{
    const struct plan *plan = expr->subquery->grouped;
    uint32_t keys = plan->column_count - 1;
    const struct batch *batch;
    struct buf key;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    TRY(state->grouped != NULL ? operator_reset(state->grouped)
                               : operator_open(exec, plan, &state->grouped));
    for (err = operator_next(state->grouped, &batch); err == ERR_OK && batch != NULL;
         err = operator_next(state->grouped, &batch)) {
        for (uint32_t i = 0; i < batch->rows; i++) {
            row_hash_put(plan->columns, batch->columns, keys, i, &key);
            memo_add(&state->memo, buf_slice(&key), expr->type,
                     vector_value(&batch->columns[keys], i),
                     vector_is_null(&batch->columns[keys], i));
            buf_clear(&key);
        }
        TRY(exec_work(exec, batch->rows));
    }
out:
    buf_fini(&key);
    return err;
}

/* An error of a value that nobody would have asked for is none: each is asked for by itself. */
static err_t
groups_try(struct exec *exec, const struct expr *expr, struct subquery_state *state)
{
    struct sql_report report;
    err_t err;

    memo_clear(&state->memo);
    err = groups_gather(exec, expr, state);
    state->is_grouped = err == ERR_OK;
    if (err == ERR_SQL) {
        sql_report_get(err, &report);
        if (strncmp(report.sqlstate, "22", 2) == 0) {
            memo_clear(&state->memo);
            state->no_grouping = true;
            err = ERR_OK;
        }
    }
    return err;
}

/* The answer of a group; of none: what the subquery says without rows. */
static err_t
group_answer(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state,
             const struct vector *args, uint32_t row, struct answer *out)
{
    const struct answer *found = NULL;
    struct buf key;
    err_t err = ERR_OK;
    bool has_key;

    buf_init(&key, MEM_SESSIONS);
    for (uint32_t i = 0; i < expr->subquery->grouped_key_count; i++) {
        uint32_t number = expr->subquery->grouped_keys[i];

        has_key = !vector_is_null(&args[number], row);
        buf_append_byte(&key, !has_key);
        if (!has_key) {
            goto none;
        }
        type_hash_put(expr->args[number]->type, vector_value(&args[number], row), &key);
    }
    found = memo_find(&state->memo, buf_slice(&key));
none:
    if (found == NULL && !state->has_empty) {
        TRY(subquery_run(evaluation, expr, state));
        state->empty = (struct answer){.value = state->value, .is_null = state->is_null};
        state->has_empty = true;
    }
    *out = found != NULL ? *found : state->empty;
out:
    buf_fini(&key);
    return err;
}

/* ---- One row ---- */

static err_t
row_answer(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state,
           const struct vector *args, uint32_t row, struct answer *out)
{
    err_t err = ERR_OK;

    if (!state->is_kept) {
        TRY(subquery_run(evaluation, expr, state));
        state->is_kept = expr->subquery->outer_count == 0;
    }
    if (expr->subquery->compared_count > 0) {
        return any_all(evaluation, expr, state, args, row, &out->value, &out->is_null);
    }
    *out = (struct answer){.value = state->value, .is_null = state->is_null};
out:
    return err;
}

/* The bytes that tell the row's arguments from others: exactly, as equal values may look
 * different. */
static void
memo_key(const struct expr *expr, const struct vector *args, uint32_t row, struct buf *out)
{
    buf_clear(out);
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        bool is_null = vector_is_null(&args[i], row);

        uint32_t first = (uint32_t)out->size, size;

        if (!is_null) {
            type_row_put(expr->args[i]->type, vector_value(&args[i], row), out);
        }
        size = is_null ? UINT32_MAX : (uint32_t)out->size - first;
        buf_append(out, &size, sizeof(size));
    }
}

/* Of one that takes values from outside: each set of them is asked once. */
static err_t
outer_answer(struct evaluation *evaluation, const struct expr *expr, struct subquery_state *state,
             const struct vector *args, uint32_t row, struct answer *out)
{
    const struct subquery *subquery = expr->subquery;
    const struct answer *found;
    struct buf key;
    err_t err = ERR_OK;

    outers_set(evaluation->exec, expr, args, subquery->compared_count, row);
    if (subquery->query->has_volatile) {
        return row_answer(evaluation, expr, state, args, row, out);
    }
    buf_init(&key, MEM_SESSIONS);
    if (subquery->grouped != NULL && !state->no_grouping && !state->is_grouped &&
        state->runs >= subquery->runs_before_grouping) {
        TRY(groups_try(evaluation->exec, expr, state));
    }
    if (state->is_grouped) {
        err = group_answer(evaluation, expr, state, args, row, out);
        goto out;
    }
    memo_key(expr, args, row, &key);
    found = memo_find(&state->memo, buf_slice(&key));
    if (found != NULL) {
        *out = *found;
        goto out;
    }
    TRY(row_answer(evaluation, expr, state, args, row, out));
    memo_bound(&state->memo);
    memo_add(&state->memo, buf_slice(&key), expr->type, out->value, out->is_null);
out:
    buf_fini(&key);
    return err;
}

err_t
eval_subquery(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
              uint32_t count, struct vector *out)
{
    bool is_alone = expr->subquery->outer_count == 0;
    struct subquery_state *state;
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    if (count == 0) {
        return ERR_OK;
    }
    state = state_of(evaluation->exec, expr->subquery);
    if (is_alone && expr->subquery->compared_count > 0) {
        if (!state->is_kept) {
            TRY(subquery_run(evaluation, expr, state));
            state->is_kept = true;
        }
        TRY(hash_prepare(evaluation->exec, expr, state));
        if (state->is_hashed) {
            return hash_probe(evaluation, expr, state, args, rows, count, out);
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        struct answer answer;

        TRY(is_alone ? row_answer(evaluation, expr, state, args, row, &answer)
                     : outer_answer(evaluation, expr, state, args, row, &answer));
        value_set(out, row,
                  answer.is_null ? datum_int(0)
                                 : type_copy(expr->type, answer.value, evaluation->arena),
                  answer.is_null);
        TRY(exec_work(evaluation->exec, 1));
    }
out:
    return err;
}
