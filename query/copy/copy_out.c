/* query/copy/copy_out.c - COPY ... TO: the rows of a query, one message or line each. */
#include "query/copy/copy.h"

#include "models/types/sql_error.h"
#include "query/copy/copy_file.h"

#include "engine/base/poison.h"

struct copy_out {
    struct copy *copy;
    struct copy_options options;
    struct copy_column *columns;
    uint32_t count;
    struct copy_file *file; /* NULL: to the client. */
    struct buf row, value;
};

static err_t
bytes_send(struct copy_out *out)
{
    const struct sql_sink *sink = out->copy->sink;

    return out->file != NULL ? copy_file_write(out->file, buf_slice(&out->row))
                             : sink->copy_out(sink->arg, buf_slice(&out->row));
}

static void
header_put(struct copy_out *out)
{
    buf_clear(&out->row);
    for (uint32_t i = 0; i < out->count; i++) {
        if (i > 0) {
            buf_append_byte(&out->row, (uint8_t)out->options.delimiter);
        }
        if (out->options.format == COPY_CSV) {
            copy_csv_put(&out->options, out->columns[i].name, false, out->count == 1, &out->row);
        } else {
            copy_text_put(&out->options, out->columns[i].name, &out->row);
        }
    }
    buf_append_byte(&out->row, '\n');
}

static void
signature_put(struct copy_out *out)
{
    buf_clear(&out->row);
    buf_append(&out->row, copy_signature, sizeof(copy_signature));
    memset(buf_reserve(&out->row, 8), 0, 8); /* Flags, and no extension. */
    out->row.size += 8;
}

static void
text_value_put(struct copy_out *out, const struct copy_column *column, struct datum value)
{
    buf_clear(&out->value);
    column->type->output(column->type, out->copy->exec->settings, value, &out->value);
    if (out->options.format == COPY_CSV) {
        copy_csv_put(&out->options, buf_slice(&out->value), column->quotes, out->count == 1,
                     &out->row);
    } else {
        copy_text_put(&out->options, buf_slice(&out->value), &out->row);
    }
}

static void
text_row_put(struct copy_out *out, const struct batch *batch, uint32_t row)
{
    buf_clear(&out->row);
    for (uint32_t i = 0; i < out->count; i++) {
        if (i > 0) {
            buf_append_byte(&out->row, (uint8_t)out->options.delimiter);
        }
        if (vector_is_null(&batch->columns[i], row)) {
            buf_append(&out->row, out->options.null.data, out->options.null.size);
        } else {
            text_value_put(out, &out->columns[i], vector_value(&batch->columns[i], row));
        }
    }
    buf_append_byte(&out->row, '\n');
}

static void
binary_row_put(struct copy_out *out, const struct batch *batch, uint32_t row)
{
    buf_clear(&out->row);
    put_be16(buf_reserve(&out->row, 2), (uint16_t)out->count);
    out->row.size += 2;
    for (uint32_t i = 0; i < out->count; i++) {
        const struct type *type = out->columns[i].type;
        size_t start = out->row.size;

        put_be32(buf_reserve(&out->row, 4), UINT32_MAX);
        out->row.size += 4;
        if (!vector_is_null(&batch->columns[i], row)) {
            type->send(type, vector_value(&batch->columns[i], row), &out->row);
            put_be32(out->row.data + start, (uint32_t)(out->row.size - start - 4));
        }
    }
}

static err_t
rows_put(void *arg, const struct batch *batch)
{
    struct copy_out *out = arg;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < batch->rows; i++) {
        if (out->options.format == COPY_BINARY) {
            binary_row_put(out, batch, i);
        } else {
            text_row_put(out, batch, i);
        }
        err = bytes_send(out);
    }
    return err;
}

static err_t
select_rows(struct copy_out *out)
{
    struct copy *copy = out->copy;
    struct operator* operator= NULL;
    const struct batch *batch;
    err_t err;

    TRY(operator_open(copy->exec, copy->plan, &operator));
    for (err = operator_next(operator, & batch); err == ERR_OK && batch != NULL;
         err = operator_next(operator, & batch)) {
        copy->rows += batch->rows;
        TRY(rows_put(out, batch));
    }
out:
    operator_close(&operator);
    return err;
}

static err_t
target_open(struct copy_out *out)
{
    const struct copy *copy = out->copy;
    const struct sql_sink *sink = copy->sink;

    if (copy->node->filename != NULL || copy->node->is_program) {
        return copy_file_open(copy->node, copy->folder, &out->file);
    }
    return sink->copy_out_begin != NULL
               ? sink->copy_out_begin(sink->arg, out->options.format == COPY_BINARY, out->count)
               : sql_error("0A000", "COPY TO STDOUT is not possible here");
}

static err_t
frame_begin(struct copy_out *out)
{
    if (out->options.format == COPY_BINARY) {
        signature_put(out);
        return bytes_send(out);
    }
    if (out->options.header != COPY_NO_HEADER) {
        header_put(out);
        return bytes_send(out);
    }
    return ERR_OK;
}

static err_t
frame_end(struct copy_out *out)
{
    const struct sql_sink *sink = out->copy->sink;
    err_t err = ERR_OK;

    if (out->options.format == COPY_BINARY) {
        buf_clear(&out->row);
        put_be16(buf_reserve(&out->row, 2), UINT16_MAX);
        out->row.size += 2;
        TRY(bytes_send(out));
    }
    err = out->file != NULL ? copy_file_flush(out->file) : sink->copy_out_end(sink->arg);
out:
    return err;
}

static void
columns_make(struct copy_out *out)
{
    const struct statement *statement = out->copy->statement;
    bool is_select = statement->kind == STATEMENT_SELECT;
    const struct target *targets = is_select ? statement->query->targets : statement->returning;
    uint32_t count = is_select ? statement->query->target_count : statement->returning_count;

    out->columns = arena_alloc(out->copy->exec->arena, (count + 1) * sizeof(*out->columns));
    for (uint32_t i = 0; i < count; i++) {
        if (!targets[i].is_junk) {
            out->columns[out->count++] = (struct copy_column){
                .name = targets[i].name,
                .type = targets[i].expr->type,
            };
        }
    }
}

err_t
copy_out_run(struct copy *copy)
{
    struct copy_out out = {.copy = copy};
    err_t err;

    copy->rows = 0;
    buf_init(&out.row, MEM_SESSIONS);
    buf_init(&out.value, MEM_SESSIONS);
    TRY(copy_options_read(copy->node, &out.options, &copy->position));
    columns_make(&out);
    TRY(copy_columns_force(&out.options, out.columns, out.count));
    TRY(target_open(&out));
    TRY(frame_begin(&out));
    TRY(copy->statement->kind == STATEMENT_SELECT
            ? select_rows(&out)
            : change_run(copy->exec, copy->statement, copy->plan, rows_put, &out, &copy->rows));
    err = frame_end(&out);
out:
    copy_file_close(&out.file);
    buf_fini(&out.row);
    buf_fini(&out.value);
    return err;
}
