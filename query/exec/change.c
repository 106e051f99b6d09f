/* query/exec/change.c - INSERT, UPDATE and DELETE.
 *
 * A statement does not see its own writes (txn_statement), so that rows may be changed while they
 * are read; what it has written itself is known to rtable_writes. */
#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"
#include "query/exec/foreign.h"
#include "query/exec/redis_rows.h"
#include "query/exec/row_maker.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

struct change {
    struct exec *exec;
    const struct statement *statement;
    const struct relation *relation;
    struct rtable_writes *writes;
    struct arena arena; /* Of the batch. */
    struct row_maker maker;
    const struct change_plan *planned;
    const struct batch *input; /* What the query gave: RETURNING reads other tables there, */
    uint32_t input_row, input_first;
    struct rows results; /* Of RETURNING: told when all is done. */
    struct plan_column *result_columns;
    struct redis_rows *redis; /* The rows are keys of Redis; NULL: they are not. */
    struct map changed;       /* Rows that an UPDATE or DELETE has met: once each. */
    uint64_t count;
};

/* ---- Expressions over one row ---- */

/* A batch of one row, of the values of one or two rows. */
static void
row_batch(struct change *change, const struct row *first, const struct row *second,
          struct batch *batch)
{
    uint32_t columns = change->relation->column_count;
    uint32_t total = second != NULL ? 2 * columns : columns;

    batch->columns = arena_alloc(&change->arena, (total + 1) * sizeof(*batch->columns));
    batch->column_count = total;
    batch->rows = 1;
    for (uint32_t i = 0; i < total; i++) {
        const struct row *row = i < columns ? first : second;

        batch->columns[i] =
            (struct vector){.values = &row->values[i % columns], .nulls = &row->nulls[i % columns]};
    }
}

static err_t
row_eval(struct change *change, const struct expr *expr, const struct batch *batch,
         struct datum *value_out, bool *is_null_out)
{
    struct vector result;
    err_t err = eval(change->exec, &change->arena, expr, batch, NULL, 1, &result);

    if (err == ERR_OK) {
        *value_out = vector_value(&result, 0);
        *is_null_out = vector_is_null(&result, 0);
    }
    return err;
}

/* ---- What the table makes of it ---- */

static err_t
row_check(struct change *change, struct row *row)
{
    err_t err;

    TRY(row_maker_generate(&change->maker, &change->arena, row));
    TRY(row_maker_check(&change->maker, &change->arena, row));
    err = row_maker_finish(&change->maker, &change->arena, row);
out:
    return err;
}

/* WITH CHECK OPTION of views, asked when all constraints have let the row in. */
static err_t
view_check(struct change *change, const struct row *row)
{
    const struct statement *statement = change->statement;
    struct batch input;
    err_t err = ERR_OK;

    if (statement->view_check_count == 0) {
        return ERR_OK;
    }
    row_batch(change, row, NULL, &input);
    for (uint32_t i = 0; i < statement->view_check_count; i++) {
        struct datum passes;
        bool is_null;

        TRY(row_eval(change, change->planned->view_checks[i], &input, &passes, &is_null));
        if (is_null || passes.i == 0) {
            (void)sql_error("44000", "new row violates check option for view \"%.*s\"",
                            SLICE_ARGS(statement->view_checks[i].view));
            return row_maker_failing(&change->maker, row);
        }
    }
out:
    return err;
}

/* ---- RETURNING ---- */

/* Behind the row, what the query gave of other tables. */
static void
joined_append(struct change *change, struct batch *row)
{
    const struct source *joined = change->statement->joined_source;
    struct vector *columns;

    if (joined == NULL) {
        return;
    }
    columns = arena_alloc(&change->arena,
                          (row->column_count + joined->column_count + 1U) * sizeof(*columns));
    memcpy(columns, row->columns, row->column_count * sizeof(*columns));
    for (uint32_t i = 0; i < joined->column_count; i++) {
        const struct vector *from = &change->input->columns[change->input_first + i];
        struct vector *to = &columns[row->column_count + i];

        *to = (struct vector){
            .values = arena_alloc(&change->arena, sizeof(*to->values)),
            .nulls = arena_alloc(&change->arena, 1),
        };
        to->nulls[0] = vector_is_null(from, change->input_row);
        to->values[0] = to->nulls[0] != 0 ? datum_int(0) : vector_value(from, change->input_row);
    }
    row->columns = columns;
    row->column_count += joined->column_count;
}

static err_t
returning_add(struct change *change, const struct row *row)
{
    uint32_t count = change->statement->returning_count;
    struct batch input, result;
    err_t err = ERR_OK;

    change->count++;
    if (count == 0) {
        return ERR_OK;
    }
    row_batch(change, row, NULL, &input);
    joined_append(change, &input);
    batch_make(&result, &change->arena, count, 1);
    for (uint32_t i = 0; i < count; i++) {
        bool is_null = false;

        TRY(row_eval(change, change->planned->returning[i], &input, &result.columns[i].values[0],
                     &is_null));
        result.columns[i].nulls[0] = is_null;
    }
    err = rows_add(&change->results, &result, 0);
out:
    return err;
}

static err_t
returning_send(struct change *change, sink_fn sink, void *sink_arg)
{
    err_t err = ERR_OK;

    for (uint32_t first = 0; first < change->results.count; first += BATCH_ROWS_MAX) {
        uint32_t count = MIN(change->results.count - first, (uint32_t)BATCH_ROWS_MAX);
        struct batch batch;

        arena_reset(&change->arena);
        batch_make(&batch, &change->arena, change->statement->returning_count, count);
        rows_fill(&change->results, first, count, &batch);
        TRY(sink(sink_arg, &batch));
    }
out:
    return err;
}

/* ---- INSERT ---- */

static void
row_take(const struct change *change, const struct batch *batch, uint32_t at, uint32_t first,
         struct arena *arena, struct row *out)
{
    uint32_t columns = change->relation->column_count;

    *out = row_maker_row(change->relation, arena);
    for (uint32_t i = 0; i < columns; i++) {
        out->nulls[i] = vector_is_null(&batch->columns[first + i], at);
        out->values[i] =
            out->nulls[i] != 0 ? datum_int(0) : vector_value(&batch->columns[first + i], at);
    }
}

static err_t
row_assign(struct change *change, const struct batch *input, struct expr *const *exprs,
           struct row *row)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < change->statement->assignment_count; i++) {
        uint32_t column = change->statement->assignments[i].column;
        bool is_null = false;

        err = row_eval(change, exprs[i], input, &row->values[column], &is_null);
        row->nulls[column] = is_null;
    }
    return err;
}

/* ON CONFLICT DO UPDATE ... WHERE */
static err_t
conflict_passes(struct change *change, const struct batch *input, bool *passes_out)
{
    struct datum value = datum_int(1);
    bool is_null = false;
    err_t err = ERR_OK;

    if (change->planned->conflict_where != NULL) {
        err = row_eval(change, change->planned->conflict_where, input, &value, &is_null);
    }
    *passes_out = !is_null && value.i != 0;
    return err;
}

/* ON CONFLICT DO UPDATE of the row that is there. */
static err_t
conflict_update(struct change *change, struct slice row_key, const struct row *excluded)
{
    struct row old, new;
    struct batch input;
    bool is_found, is_new, passes;
    err_t err;

    (void)map_put(&change->changed, row_key, &is_new);
    TRY(rtable_get(change->exec->txn, change->relation, row_key, &change->arena, &old, &is_found));
    if (!is_new || !is_found) { /* Not found: this statement has inserted it. */
        (void)sql_error("21000", "ON CONFLICT DO UPDATE command cannot affect row a second time");
        return sql_hint("Ensure that no rows proposed for insertion within the same command have "
                        "duplicate constrained values.");
    }
    row_batch(change, &old, excluded, &input);
    TRY(conflict_passes(change, &input, &passes));
    if (!passes) {
        return ERR_OK;
    }
    new = row_maker_row(change->relation, &change->arena);
    TRY(row_maker_finish(&change->maker, &change->arena, &old));
    memcpy(new.values, old.values, change->relation->column_count * sizeof(*new.values));
    memcpy(new.nulls, old.nulls, change->relation->column_count);
    TRY(row_assign(change, &input, change->planned->conflict_sets, &new));
    TRY(row_check(change, &new));
    TRY(row_maker_finish(&change->maker, &change->arena, &old));
    TRY(rtable_update(change->exec->txn, change->relation, row_key, &old, &new, change->writes));
    TRY(view_check(change, &new));
    TRY(foreign_note(change->exec, change->exec->events, change->relation, &old, &new));
    err = returning_add(change, &new);
out:
    return err;
}

/* The row that is in the way of the new one, in the first of the indexes that has one. */
static err_t
conflict_find(struct change *change, const struct row *row, struct slice *row_key_out)
{
    const struct statement *statement = change->statement;
    const struct index *index = NULL;
    uint32_t at = 0;
    err_t err;

    do {
        err = rtable_conflict_find(
            change->exec->txn, change->relation,
            statement->conflict_index_count > 0 ? statement->conflict_indexes[at] : NULL, row,
            change->writes, &change->arena, row_key_out, &index);
        at++;
    } while (err == ERR_OK && row_key_out->size == 0 && at < statement->conflict_index_count);
    return err;
}

/* ON CONFLICT DO UPDATE of what a key of Redis holds. */
static err_t
redis_conflict_update(struct change *change, const struct row *old, const struct row *excluded)
{
    struct row new = row_maker_row(change->relation, &change->arena);
    struct batch input;
    bool passes;
    err_t err;

    row_batch(change, old, excluded, &input);
    TRY(conflict_passes(change, &input, &passes));
    if (!passes) {
        return ERR_OK;
    }
    memcpy(new.values, old->values, change->relation->column_count * sizeof(*new.values));
    memcpy(new.nulls, old->nulls, change->relation->column_count);
    TRY(row_assign(change, &input, change->planned->conflict_sets, &new));
    TRY(row_maker_check(&change->maker, &change->arena, &new));
    TRY(redis_row_update(change->redis, old, &new, &change->arena));
    err = returning_add(change, &new);
out:
    return err;
}

static err_t
redis_insert(struct change *change, struct row *row)
{
    struct row old = row_maker_row(change->relation, &change->arena);
    bool is_there;
    err_t err;

    TRY(row_maker_check(&change->maker, &change->arena, row));
    TRY(redis_row_insert(change->redis, row, &old, &change->arena, &is_there));
    if (!is_there) {
        err = returning_add(change, row);
    } else if (change->statement->conflict == CONFLICT_UPDATE) {
        err = redis_conflict_update(change, &old, row);
    } else if (change->statement->conflict == CONFLICT_ERROR) {
        err = redis_row_duplicate(change->redis, row);
    }
out:
    return err;
}

static err_t
row_insert(struct change *change, struct row *row)
{
    struct slice row_key;
    err_t err;

    if (change->redis != NULL) {
        return redis_insert(change, row);
    }
    TRY(row_check(change, row));
    if (change->statement->conflict != CONFLICT_ERROR) {
        TRY(conflict_find(change, row, &row_key));
        if (row_key.size > 0) {
            err = change->statement->conflict == CONFLICT_NOTHING
                      ? ERR_OK
                      : conflict_update(change, row_key, row);
            goto out;
        }
    }
    TRY(rtable_insert(change->exec->txn, change->relation, row, change->writes));
    TRY(view_check(change, row));
    TRY(foreign_note(change->exec, change->exec->events, change->relation, NULL, row));
    err = returning_add(change, row);
out:
    return err;
}

/* ---- UPDATE and DELETE ---- */

static err_t
row_update(struct change *change, const struct batch *batch, uint32_t at, struct slice row_key)
{
    uint32_t columns = change->relation->column_count;
    struct row old, new;
    err_t err;

    row_take(change, batch, at, 0, &change->arena, &old);
    row_take(change, batch, at, 0, &change->arena, &new);
    for (uint32_t i = 0; i < change->statement->assignment_count; i++) {
        uint32_t column = change->statement->assignments[i].column;

        new.nulls[column] = vector_is_null(&batch->columns[columns + i], at);
        new.values[column] =
            new.nulls[column] != 0 ? datum_int(0) : vector_value(&batch->columns[columns + i], at);
    }
    TRY(row_check(change, &new));
    if (change->redis != NULL) {
        TRY(redis_row_update(change->redis, &old, &new, &change->arena));
        return returning_add(change, &new);
    }
    TRY(row_maker_finish(&change->maker, &change->arena, &old));
    TRY(rtable_update(change->exec->txn, change->relation, row_key, &old, &new, change->writes));
    TRY(view_check(change, &new));
    TRY(foreign_note(change->exec, change->exec->events, change->relation, &old, &new));
    err = returning_add(change, &new);
out:
    return err;
}

static err_t
row_delete(struct change *change, const struct batch *batch, uint32_t at, struct slice row_key)
{
    struct row old;
    err_t err;

    row_take(change, batch, at, 0, &change->arena, &old);
    if (change->redis != NULL) {
        TRY(redis_row_delete(change->redis, &old, &change->arena));
        return returning_add(change, &old);
    }
    TRY(row_maker_finish(&change->maker, &change->arena, &old));
    rtable_delete(change->exec->txn, change->relation, row_key, &old, change->writes);
    TRY(foreign_note(change->exec, change->exec->events, change->relation, &old, NULL));
    err = returning_add(change, &old);
out:
    return err;
}

static err_t
row_change(struct change *change, const struct batch *batch, uint32_t at)
{
    struct slice row_key;
    struct row row;
    bool is_new;

    if (change->statement->kind == STATEMENT_INSERT) {
        if (change->statement->has_row_numbers) {
            change->exec->row_number =
                (uint32_t)vector_value(&batch->columns[batch->column_count - 1], at).i;
        }
        row_take(change, batch, at, 0, &change->arena, &row);
        return row_insert(change, &row);
    }
    change->input = batch;
    change->input_row = at;
    change->input_first = change->relation->column_count + change->statement->assignment_count;
    row_key = change->redis != NULL
                  ? redis_row_key(change->redis, batch, at, &change->arena)
                  : vector_value(&batch->columns[batch->column_count - 1], at).bytes;
    (void)map_put(&change->changed, row_key, &is_new);
    if (!is_new) { /* A join has met it twice: the first counts. */
        return ERR_OK;
    }
    return change->statement->kind == STATEMENT_UPDATE ? row_update(change, batch, at, row_key)
                                                       : row_delete(change, batch, at, row_key);
}

/* ---- The statement ---- */

/* Which keys of a batch are free is asked at once, not row by row. */
static err_t
batch_look(struct change *change, const struct batch *batch)
{
    struct arena arena;
    struct row *rows;
    err_t err;

    if (change->statement->kind != STATEMENT_INSERT || batch->rows < 2 || change->redis != NULL) {
        return ERR_OK;
    }
    arena_init(&arena, MEM_SESSIONS);
    rows = arena_alloc(&arena, batch->rows * sizeof(*rows));
    for (uint32_t i = 0; i < batch->rows; i++) {
        row_take(change, batch, i, 0, &arena, &rows[i]);
    }
    err = rtable_look(change->exec->txn, change->relation, rows, batch->rows, change->writes);
    arena_fini(&arena);
    return err;
}

static err_t
rows_change(struct change *change, const struct plan *plan)
{
    struct operator* operator= NULL;
    const struct batch *batch;
    err_t err;

    TRY(operator_open(change->exec, plan, &operator));
    for (err = operator_next(operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator, & batch)) {
        TRY(batch_look(change, batch));
        for (uint32_t i = 0; i < batch->rows; i++) {
            arena_reset(&change->arena);
            TRY(row_change(change, batch, i));
        }
        TRY(exec_work(change->exec, batch->rows));
    }
    TRY(err);
    if (change->redis != NULL) {
        TRY(redis_rows_finish(change->redis));
    }
    err = txn_flush(change->exec->txn);
out:
    operator_close(&operator);
    return err;
}

err_t
change_run(struct exec *exec, const struct statement *statement, const struct plan *plan,
           sink_fn sink, void *sink_arg, uint64_t *rows_out)
{
    struct change change = {
        .exec = exec,
        .statement = statement,
        .relation = statement->relation,
        .planned = statement->planned,
    };
    err_t err;

    exec->writes = exec->writes != NULL ? exec->writes : rtable_writes_new();
    change.writes = exec->writes;
    exec->events = exec->events != NULL ? exec->events : foreign_events_new();
    arena_init(&change.arena, MEM_SESSIONS);
    map_init(&change.changed);
    if (statement->relation->schema == OID_SCHEMA_REDIS) {
        change.redis = redis_rows_new(exec, statement->relation);
    }
    change.result_columns =
        arena_alloc(exec->arena, (statement->returning_count + 1) * sizeof(*change.result_columns));
    for (uint32_t i = 0; i < statement->returning_count; i++) {
        change.result_columns[i] =
            (struct plan_column){.type = statement->planned->returning_types[i]};
    }
    rows_init(&change.results, change.result_columns, statement->returning_count);
    TRY(row_maker_open(exec, change.relation, &change.maker));
    TRY(rows_change(&change, plan));
    if (exec->cte_count == 0) { /* Otherwise when all parts of the statement are done. */
        TRY(foreign_run(exec, exec->events));
    }
    TRY(returning_send(&change, sink, sink_arg));
    *rows_out = change.count;
out:
    rows_fini(&change.results);
    map_fini(&change.changed);
    arena_fini(&change.arena);
    return err;
}
