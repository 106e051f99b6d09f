/* query/copy/copy_in.c - COPY ... FROM.
 *
 * Each batch of rows is inserted as a statement of its own in the transaction: so nothing about all
 * rows is remembered, and a batch that meets another's commit is inserted again from memory, where
 * the client could not send it twice. An error leaves nothing: the transaction is rolled back. */
#include "query/copy/copy.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/copy/copy_file.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { BATCH_RUNS_MAX = 64 };

struct copy_in {
    struct copy *copy;
    struct copy_reader *reader;
    struct copy_file *file; /* NULL: the client sends. */
    const struct batch *batch;
    bool is_taken; /* The batch, by the insert. */
    struct arena arena;
};

static err_t
batch_supply(void *arg, const struct batch **batch_out)
{
    struct copy_in *in = arg;

    *batch_out = in->is_taken ? NULL : in->batch;
    in->is_taken = true;
    return ERR_OK;
}

static err_t
bytes_more(void *arg, struct buf *out)
{
    struct copy_in *in = arg;
    const struct sql_sink *sink = in->copy->sink;
    err_t err;

    TRY(exec_work(in->copy->exec, 1));
    err = in->file != NULL ? copy_file_read(in->file, out) : sink->copy_in(sink->arg, out);
out:
    return err;
}

static struct copy_column *
columns_make(const struct copy *copy)
{
    const struct statement *statement = copy->statement;
    uint32_t count = statement->copy_column_count;
    struct copy_column *columns = arena_alloc(copy->exec->arena, (count + 1) * sizeof(*columns));

    for (uint32_t i = 0; i < count; i++) {
        const struct column *column = &statement->relation->columns[statement->copy_columns[i]];

        columns[i] = (struct copy_column){
            .name = column->name,
            .type = column->type,
            .typmod = column->typmod,
        };
    }
    return columns;
}

static err_t
batch_attempt(struct copy_in *in, uint64_t *rows_out)
{
    struct copy *copy = in->copy;
    struct exec *exec = copy->exec;
    const struct row_supplier supplier = {.next = batch_supply, .arg = in};
    struct arena *arena = exec->arena;
    err_t err;

    arena_reset(&in->arena);
    in->is_taken = false;
    exec->supplier = &supplier;
    exec->row_number = 0;
    exec->arena = &in->arena; /* What one batch needs goes with it. */
    err = change_run(exec, copy->statement, copy->plan, NULL, NULL, rows_out);
    exec->arena = arena;
    exec->supplier = NULL;
    return err;
}

static bool
is_worth_another(struct txn *txn, err_t err)
{
    return (err == ERR_SERIALIZATION || err == ERR_SNAPSHOT_TOO_OLD) &&
           txn_isolation_of(txn) == TXN_READ_COMMITTED && txn_statement_undo(txn) == ERR_OK;
}

static err_t
batch_insert(struct copy_in *in)
{
    struct txn *txn = in->copy->exec->txn;
    uint64_t rows = 0;
    err_t err;

    if (in->copy->rows > 0) {
        sql_session_parts_note(in->copy->exec->env->session);
    }
    TRY(txn_statement(txn, true));
    err = batch_attempt(in, &rows);
    for (uint32_t i = 0; i < BATCH_RUNS_MAX && is_worth_another(txn, err); i++) {
        TRY(txn_statement(txn, true));
        err = batch_attempt(in, &rows);
    }
    if (err == ERR_SQL) {
        err = copy_reader_context(in->reader, in->copy->exec->row_number, err);
    }
    in->copy->rows += rows;
out:
    return err;
}

/* What comes behind the mark of the end does not count. */
static err_t
rest_drop(struct copy_in *in)
{
    struct buf rest;
    size_t size = SIZE_MAX;
    err_t err = ERR_OK;

    buf_init(&rest, MEM_SESSIONS);
    while (err == ERR_OK && size > 0) {
        buf_clear(&rest);
        err = bytes_more(in, &rest);
        size = rest.size;
    }
    buf_fini(&rest);
    return err;
}

static err_t
rows_insert(struct copy_in *in)
{
    err_t err;

    for (err = copy_reader_next(in->reader, &in->batch); err == ERR_OK && in->batch != NULL;
         err = copy_reader_next(in->reader, &in->batch)) {
        TRY(batch_insert(in));
    }
    TRY(err);
    err = rest_drop(in);
out:
    return err;
}

static err_t
source_open(struct copy_in *in, const struct copy_options *options)
{
    const struct copy *copy = in->copy;
    const struct sql_sink *sink = copy->sink;

    if (copy->node->filename != NULL || copy->node->is_program) {
        return copy_file_open(copy->node, copy->folder, &in->file);
    }
    return sink->copy_in_begin != NULL
               ? sink->copy_in_begin(sink->arg, options->format == COPY_BINARY,
                                     copy->statement->copy_column_count)
               : sql_error("0A000", "COPY FROM STDIN is not possible here");
}

err_t
copy_in_run(struct copy *copy)
{
    struct copy_in in = {.copy = copy};
    const struct copy_bytes bytes = {.more = bytes_more, .arg = &in};
    struct copy_column *columns = columns_make(copy);
    struct copy_options options;
    err_t err;

    copy->rows = 0;
    arena_init(&in.arena, MEM_SESSIONS);
    TRY(copy_options_read(copy->node, &options, &copy->position));
    TRY(copy_columns_force(&options, columns, copy->statement->copy_column_count));
    in.reader = copy_reader_new(&options, columns, copy->statement->copy_column_count,
                                copy->statement->relation->name, copy->exec->settings, &bytes);
    TRY(source_open(&in, &options));
    err = rows_insert(&in);
out:
    copy_file_close(&in.file);
    copy_reader_free(&in.reader);
    arena_fini(&in.arena);
    return err;
}
