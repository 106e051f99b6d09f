/* query/copy/copy_read.c - bytes to batches of rows: lines, fields, values.
 *
 * A batch holds rows that lie whole in the buffer, so that values may point into it; more bytes are
 * asked for only between batches. A row that is wrong ends its batch before it, and gives its error
 * when the next one begins with it: what came before it has been inserted by then, as in
 * PostgreSQL. */
#include "query/copy/copy.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

enum { SHOWN_BYTES_MAX = 100, TRIMMED_BYTES = 64 << 10, BINARY_FLAG_OIDS = 1 << 16 };
enum line_end { END_UNKNOWN, END_NL, END_CR, END_CRNL };

/* A place between rows. */
struct place {
    size_t at; /* In the buffer. */
    uint64_t line;
    enum line_end line_end;
    bool is_done; /* The end-of-data mark was read. */
};

struct copy_reader {
    const struct copy_options *options;
    const struct copy_column *columns;
    uint32_t count;
    struct slice table;
    const struct type_settings *settings;
    struct copy_bytes bytes;
    struct buf data;
    bool is_end; /* There are no more bytes. */
    bool has_begun, has_skipped_header;
    struct place place;
    /* Of the line that is not whole yet: how far it was looked at. */
    size_t scanned;
    uint64_t scanned_lines;
    bool has_line_begun, is_in_quote, was_escape;

    struct arena arena; /* Of the batch. */
    struct batch batch;
    struct copy_field *fields;
    struct slice raw[BATCH_ROWS_MAX]; /* Lines; of the batch, for messages. */
    uint64_t lines[BATCH_ROWS_MAX];
    /* Of the value that is read now. */
    const struct copy_column *column;
    const struct copy_field *field;
    struct slice row_text;
};

struct copy_reader *
copy_reader_new(const struct copy_options *options, const struct copy_column *columns,
                uint32_t count, struct slice table, const struct type_settings *settings,
                const struct copy_bytes *bytes)
{
    struct copy_reader *reader = MEM_NEW(MEM_SESSIONS, struct copy_reader);

    reader->options = options;
    reader->columns = columns;
    reader->count = count;
    reader->table = table;
    reader->settings = settings;
    reader->bytes = *bytes;
    buf_init(&reader->data, MEM_SESSIONS);
    arena_init(&reader->arena, MEM_SESSIONS);
    return reader;
}

void
copy_reader_free(struct copy_reader **reader)
{
    if (*reader != NULL) {
        buf_fini(&(*reader)->data);
        arena_fini(&(*reader)->arena);
        MEM_FREE(MEM_SESSIONS, *reader);
    }
}

/* ---- Where an error is ---- */

static const char *
shown(struct slice text, char out[SHOWN_BYTES_MAX + 4])
{
    size_t size = MIN(text.size, (size_t)SHOWN_BYTES_MAX);

    while (size < text.size && size > 0 && (text.data[size] & 0xc0) == 0x80) {
        size--; /* Characters stay whole. */
    }
    memcpy(out, text.data, size);
    memcpy(out + size, size < text.size ? "..." : "", size < text.size ? 4 : 1);
    return out;
}

static err_t
line_context(const struct copy_reader *reader, uint64_t line, struct slice text, err_t err)
{
    char part[SHOWN_BYTES_MAX + 4];

    if (reader->options->format == COPY_BINARY || text.data == NULL) {
        return sql_context(err, "COPY %.*s, line %llu", (int)reader->table.size,
                           (const char *)reader->table.data, (unsigned long long)line);
    }
    return sql_context(err, "COPY %.*s, line %llu: \"%s\"", (int)reader->table.size,
                       (const char *)reader->table.data, (unsigned long long)line,
                       shown(text, part));
}

static err_t
value_context(const struct copy_reader *reader, err_t err)
{
    const struct copy_column *column = reader->column;
    char part[SHOWN_BYTES_MAX + 4];

    if (column == NULL) {
        return line_context(reader, reader->place.line, reader->row_text, err);
    }
    if (reader->options->format == COPY_BINARY) {
        return sql_context(err, "COPY %.*s, line %llu, column %.*s", (int)reader->table.size,
                           (const char *)reader->table.data, (unsigned long long)reader->place.line,
                           (int)column->name.size, (const char *)column->name.data);
    }
    return sql_context(err, "COPY %.*s, line %llu, column %.*s: %s%s%s", (int)reader->table.size,
                       (const char *)reader->table.data, (unsigned long long)reader->place.line,
                       (int)column->name.size, (const char *)column->name.data,
                       reader->field->is_null ? "" : "\"",
                       reader->field->is_null ? "null input" : shown(reader->field->text, part),
                       reader->field->is_null ? "" : "\"");
}

err_t
copy_reader_context(const struct copy_reader *reader, uint32_t number, err_t err)
{
    struct sql_report report;

    if (number >= reader->batch.rows) {
        return err;
    }
    sql_report_get(err, &report);
    /* Keys are looked at when many rows are together: the line's text is gone by then. */
    return line_context(
        reader, reader->lines[number],
        strcmp(report.sqlstate, "23505") == 0 ? slice_of(NULL, 0) : reader->raw[number], err);
}

/* ---- Bytes ---- */

/* Appends more; before that what was read is dropped. Values of the last batch are void then. */
static err_t
data_more(struct copy_reader *reader)
{
    size_t used = reader->place.at, before;
    err_t err;

    if (used > 0 && (used == reader->data.size || used >= TRIMMED_BYTES)) {
        memmove(reader->data.data, reader->data.data + used, reader->data.size - used);
        reader->data.size -= used;
        reader->scanned -= MIN(reader->scanned, used);
        reader->place.at = 0;
    }
    if (reader->data.size - reader->place.at > COPY_LINE_BYTES_MAX) {
        return sql_error("54000", "a line of COPY exceeds %d bytes", COPY_LINE_BYTES_MAX);
    }
    before = reader->data.size;
    err = reader->bytes.more(reader->bytes.arg, &reader->data);
    reader->is_end = err == ERR_OK && reader->data.size == before;
    return err;
}

/* ---- Lines ---- */

static err_t
literal_error(const struct copy_reader *reader, bool is_newline)
{
    bool is_csv = reader->options->format == COPY_CSV;

    (void)sql_error("22P04", "%s %s found in data", is_csv ? "unquoted" : "literal",
                    is_newline ? "newline" : "carriage return");
    return is_csv ? sql_hint("Use quoted CSV field to represent %s.",
                             is_newline ? "newline" : "carriage return")
                  : sql_hint("Use \"%s\" to represent %s.", is_newline ? "\\n" : "\\r",
                             is_newline ? "newline" : "carriage return");
}

/* The line's end at `at`: how many bytes it has, 0 when the next one must be seen first. */
static err_t
line_end_read(struct copy_reader *reader, size_t at, uint32_t *bytes_out)
{
    const uint8_t *data = reader->data.data;
    bool has_next = at + 1 < reader->data.size;
    enum line_end *known = &reader->place.line_end;

    *bytes_out = 1;
    if (data[at] == '\n') {
        if (*known == END_CR || *known == END_CRNL) {
            return literal_error(reader, true);
        }
        *known = END_NL;
        return ERR_OK;
    }
    if (*known == END_NL) {
        return literal_error(reader, false);
    }
    if (*known == END_CR) {
        return ERR_OK;
    }
    if (!has_next && !reader->is_end) {
        *bytes_out = 0;
        return ERR_OK;
    }
    if (has_next && data[at + 1] == '\n') {
        *known = END_CRNL;
        *bytes_out = 2;
        return ERR_OK;
    }
    if (*known == END_CRNL) {
        return literal_error(reader, false);
    }
    *known = END_CR;
    return ERR_OK;
}

/* Looks on for the end of the line, as text. *end_out: where; SIZE_MAX: it is not there yet. A mark
 * of the data's end is one too. */
static err_t
text_scan(struct copy_reader *reader, size_t *end_out, uint32_t *end_bytes_out)
{
    const uint8_t *data = reader->data.data;
    size_t at = reader->scanned, size = reader->data.size;
    err_t err = ERR_OK;

    *end_out = SIZE_MAX;
    while (at < size) {
        uint8_t byte = data[at];

        if (byte == '\n' || byte == '\r') {
            TRY(line_end_read(reader, at, end_bytes_out));
            *end_out = *end_bytes_out > 0 ? at : SIZE_MAX;
            break;
        }
        if (byte != '\\') {
            at++;
            continue;
        }
        if (at + 1 == size) {
            at += reader->is_end;
            break;
        }
        if (data[at + 1] != '.') {
            at += 2;
            continue;
        }
        if (at + 2 == size && !reader->is_end) {
            break;
        }
        if (at + 2 < size && data[at + 2] != '\n' && data[at + 2] != '\r') {
            err = sql_error("22P04", "end-of-copy marker corrupt");
            goto out;
        }
        reader->place.is_done = true;
        *end_out = at;
        *end_bytes_out = (uint32_t)(size - at);
        break;
    }
    reader->scanned = at;
out:
    return err;
}

static void
csv_quote_step(struct copy_reader *reader, uint8_t byte)
{
    uint8_t quote = (uint8_t)reader->options->quote;
    /* A quote that escapes itself leaves and enters the quotes again. */
    uint8_t escape =
        reader->options->escape == reader->options->quote ? 0 : (uint8_t)reader->options->escape;

    if (reader->is_in_quote && escape != 0 && byte == escape) {
        reader->was_escape = !reader->was_escape;
    }
    if (byte == quote && !reader->was_escape) {
        reader->is_in_quote = !reader->is_in_quote;
    }
    if (escape == 0 || byte != escape) {
        reader->was_escape = false;
    }
}

static err_t
csv_scan(struct copy_reader *reader, size_t *end_out, uint32_t *end_bytes_out)
{
    const uint8_t *data = reader->data.data;
    size_t at = reader->scanned, size = reader->data.size;
    err_t err = ERR_OK;

    *end_out = SIZE_MAX;
    for (; at < size; at++) {
        uint8_t byte = data[at];

        csv_quote_step(reader, byte);
        if (byte != '\n' && byte != '\r') {
            continue;
        }
        if (reader->is_in_quote) {
            /* Before the first line has ended, PostgreSQL counts as if it ended with CR. */
            reader->scanned_lines += byte == (reader->place.line_end == END_NL ? '\n' : '\r');
            continue;
        }
        TRY(line_end_read(reader, at, end_bytes_out));
        *end_out = *end_bytes_out > 0 ? at : SIZE_MAX;
        break;
    }
    reader->scanned = at;
    if (*end_out != SIZE_MAX && at - reader->place.at == 2 &&
        memcmp(data + reader->place.at, "\\.", 2) == 0) {
        reader->place.is_done = true;
        *end_out = reader->place.at;
        *end_bytes_out = (uint32_t)(size - reader->place.at);
    }
out:
    return err;
}

static void
line_state_reset(struct copy_reader *reader)
{
    reader->has_line_begun = false;
    reader->is_in_quote = false;
    reader->was_escape = false;
}

enum line_result { LINE_WHOLE, LINE_PART, LINE_NONE };

/* The next line of the buffer, without its end; the place moves behind it. */
static err_t
line_next(struct copy_reader *reader, struct slice *line_out, enum line_result *result_out)
{
    size_t start = reader->place.at, end;
    uint32_t end_bytes = 0;
    err_t err;

    *result_out = LINE_NONE;
    if (reader->place.is_done) {
        return ERR_OK;
    }
    reader->scanned = MAX(reader->scanned, start);
    reader->row_text = slice_of(NULL, 0);
    reader->place.line += !reader->has_line_begun;
    reader->has_line_begun = true;
    TRY(reader->options->format == COPY_CSV ? csv_scan(reader, &end, &end_bytes)
                                            : text_scan(reader, &end, &end_bytes));
    if (end == SIZE_MAX && !reader->is_end) {
        *result_out = LINE_PART;
        goto out;
    }
    if (end == SIZE_MAX) {
        end = reader->data.size;
    }
    if (start == reader->data.size || (reader->place.is_done && end == start)) {
        reader->place.is_done = true;
        goto out;
    }
    *line_out = slice_of(reader->data.data + start, end - start);
    *result_out = LINE_WHOLE;
    reader->place.at = end + end_bytes;
    reader->place.line += reader->scanned_lines;
    reader->scanned_lines = 0;
    line_state_reset(reader);
    TRY(text_check(*line_out));
    reader->row_text = *line_out;
out:
    return err;
}

/* ---- Fields ---- */

static err_t
fields_split(struct copy_reader *reader, struct slice line, uint32_t *count_out)
{
    if (reader->count == 0 && line.size == 0) {
        *count_out = 0;
        return ERR_OK;
    }
    return reader->options->format == COPY_CSV
               ? copy_csv_split(reader->options, reader->columns, line, &reader->arena,
                                reader->fields, reader->count, count_out)
               : copy_text_split(reader->options, line, &reader->arena, reader->fields,
                                 reader->count, count_out);
}

static err_t
header_check(struct copy_reader *reader, struct slice line)
{
    uint32_t count = 0;
    err_t err;

    TRY(fields_split(reader, line, &count));
    if (count != reader->count) {
        err = sql_error("22P04",
                        "wrong number of fields in header line: field count is %u, expected %u",
                        count, reader->count);
        goto out;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct copy_field *field = &reader->fields[i];
        struct slice name = reader->columns[i].name;

        if (field->is_null) {
            return sql_error("22P04",
                             "column name mismatch in header line field %u: got null value "
                             "(\"%.*s\"), expected \"%.*s\"",
                             i + 1, (int)reader->options->null.size,
                             (const char *)reader->options->null.data, (int)name.size,
                             (const char *)name.data);
        }
        if (!slice_equal(field->text, name)) {
            return sql_error("22P04",
                             "column name mismatch in header line field %u: got \"%.*s\", expected "
                             "\"%.*s\"",
                             i + 1, (int)field->text.size, (const char *)field->text.data,
                             (int)name.size, (const char *)name.data);
        }
    }
out:
    return err;
}

static void
value_null(struct copy_reader *reader, uint32_t column, uint32_t row)
{
    reader->batch.columns[column].nulls[row] = 1;
    reader->batch.columns[column].values[row] = datum_int(0);
}

static err_t
row_values(struct copy_reader *reader, uint32_t row)
{
    const struct type_io io = {.arena = &reader->arena, .settings = reader->settings};
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < reader->count; i++) {
        const struct copy_column *column = &reader->columns[i];

        reader->column = column;
        reader->field = &reader->fields[i];
        if (reader->field->is_null) {
            value_null(reader, i, row);
        } else {
            reader->batch.columns[i].nulls[row] = 0;
            err = column->type->input(column->type, &io, reader->field->text, column->typmod,
                                      &reader->batch.columns[i].values[row]);
        }
    }
    if (err == ERR_OK) {
        reader->column = NULL;
    }
    return err;
}

static err_t
line_row(struct copy_reader *reader, struct slice line, uint32_t row)
{
    uint32_t count = 0;
    err_t err;

    TRY(fields_split(reader, line, &count));
    if (count > reader->count) {
        err = sql_error("22P04", "extra data after last expected column");
    } else if (count < reader->count) {
        struct slice name = reader->columns[count].name;

        err = sql_error("22P04", "missing data for column \"%.*s\"", (int)name.size,
                        (const char *)name.data);
    } else {
        err = row_values(reader, row);
    }
out:
    return err;
}

/* ---- Binary ---- */

static err_t
binary_short(void)
{
    return sql_error("22P04", "unexpected EOF in COPY data");
}

/* Are so many bytes there behind the place? Otherwise LINE_PART, or an error at the end. */
static err_t
binary_need(struct copy_reader *reader, size_t at, size_t size, enum line_result *result_out)
{
    *result_out = reader->data.size - at >= size ? LINE_WHOLE : LINE_PART;
    return *result_out == LINE_PART && reader->is_end ? binary_short() : ERR_OK;
}

static err_t
binary_begin(struct copy_reader *reader, enum line_result *result_out)
{
    enum { HEADER_BYTES = sizeof(copy_signature) + 8 };
    const uint8_t *data = reader->data.data + reader->place.at;
    uint32_t flags, extension;
    err_t err;

    if (reader->is_end && (reader->data.size < HEADER_BYTES ||
                           memcmp(data, copy_signature, sizeof(copy_signature)) != 0)) {
        return sql_error("22P04", "COPY file signature not recognized");
    }
    TRY(binary_need(reader, reader->place.at, HEADER_BYTES, result_out));
    if (*result_out == LINE_PART) {
        goto out;
    }
    if (memcmp(data, copy_signature, sizeof(copy_signature)) != 0) {
        return sql_error("22P04", "COPY file signature not recognized");
    }
    flags = get_be32(data + sizeof(copy_signature));
    extension = get_be32(data + sizeof(copy_signature) + 4);
    if ((flags & BINARY_FLAG_OIDS) != 0) {
        return sql_error("22P04", "invalid COPY file header (WITH OIDS)");
    }
    if (flags >> 16 != 0) {
        return sql_error("22P04", "unrecognized critical flags in COPY file header");
    }
    if (extension > COPY_LINE_BYTES_MAX) {
        return sql_error("22P04", "invalid COPY file header (wrong length)");
    }
    TRY(binary_need(reader, reader->place.at, HEADER_BYTES + (size_t)extension, result_out));
    if (*result_out == LINE_WHOLE) {
        reader->place.at += HEADER_BYTES + (size_t)extension;
        reader->has_begun = true;
    }
out:
    return err;
}

/* The value of a column, at *at. */
static err_t
binary_value(struct copy_reader *reader, uint32_t column, uint32_t row, size_t *at,
             enum line_result *result_out)
{
    const struct type *type = reader->columns[column].type;
    const struct type_io io = {.arena = &reader->arena, .settings = reader->settings};
    struct datum value;
    uint32_t size;
    err_t err;

    TRY(binary_need(reader, *at, 4, result_out));
    if (*result_out == LINE_PART) {
        goto out;
    }
    size = get_be32(reader->data.data + *at);
    if (size == UINT32_MAX) {
        *at += 4;
        value_null(reader, column, row);
        goto out;
    }
    if (size > COPY_LINE_BYTES_MAX) {
        return sql_error("22P04", "invalid field size");
    }
    TRY(binary_need(reader, *at, 4 + (size_t)size, result_out));
    if (*result_out == LINE_PART) {
        goto out;
    }
    TRY(type->receive(type, &io, slice_of(reader->data.data + *at + 4, size), &value));
    TRY(type_coerce_length(type, value, reader->columns[column].typmod, false, &reader->arena,
                           &value));
    reader->batch.columns[column].values[row] = value;
    reader->batch.columns[column].nulls[row] = 0;
    *at += 4 + (size_t)size;
out:
    return err;
}

static err_t
binary_row(struct copy_reader *reader, uint32_t row, enum line_result *result_out)
{
    size_t at = reader->place.at;
    int16_t count;
    err_t err;

    *result_out = LINE_NONE;
    if (reader->place.is_done) {
        return ERR_OK;
    }
    if (!reader->has_begun) {
        TRY(binary_begin(reader, result_out));
        if (*result_out == LINE_PART) {
            goto out;
        }
        at = reader->place.at;
    }
    if (at == reader->data.size && reader->is_end) { /* A file may end without its mark. */
        *result_out = LINE_NONE;
        reader->place.is_done = true;
        goto out;
    }
    TRY(binary_need(reader, at, 2, result_out));
    if (*result_out == LINE_PART) {
        goto out;
    }
    count = (int16_t)get_be16(reader->data.data + at);
    at += 2;
    reader->place.line++;
    if (count == -1) {
        *result_out = LINE_NONE;
        reader->place.is_done = true;
        return at < reader->data.size ? sql_error("22P04", "received copy data after EOF marker")
                                      : ERR_OK;
    }
    if (count != (int32_t)reader->count) {
        return sql_error("22P04", "row field count is %d, expected %u", count, reader->count);
    }
    for (uint32_t i = 0; i < reader->count; i++) {
        reader->column = &reader->columns[i];
        TRY(binary_value(reader, i, row, &at, result_out));
        if (*result_out == LINE_PART) {
            reader->column = NULL;
            goto out;
        }
    }
    reader->column = NULL;
    reader->place.at = at;
out:
    return err;
}

/* ---- Batches ---- */

static err_t
text_row(struct copy_reader *reader, uint32_t row, enum line_result *result_out)
{
    struct slice line = {0};
    err_t err;

    TRY(line_next(reader, &line, result_out));
    if (*result_out != LINE_WHOLE) {
        goto out;
    }
    if (!reader->has_skipped_header && reader->options->header != COPY_NO_HEADER) {
        reader->has_skipped_header = true;
        if (reader->options->header == COPY_HEADER_MATCH) {
            TRY(header_check(reader, line));
        }
        return text_row(reader, row, result_out);
    }
    TRY(line_row(reader, line, row));
    reader->raw[row] = line;
    reader->lines[row] = reader->place.line;
out:
    return err;
}

/* Reads rows as long as they are whole in the buffer. An error counts only for the first. */
static err_t
rows_read(struct copy_reader *reader, enum line_result *result_out)
{
    struct batch *batch = &reader->batch;
    err_t err = ERR_OK;

    *result_out = LINE_WHOLE;
    while (batch->rows < BATCH_ROWS_MAX && *result_out == LINE_WHOLE) {
        struct place before = reader->place;

        reader->column = NULL;
        err = reader->options->format == COPY_BINARY ? binary_row(reader, batch->rows, result_out)
                                                     : text_row(reader, batch->rows, result_out);
        if (err != ERR_OK && batch->rows > 0) {
            reader->place = before;
            reader->scanned = before.at;
            reader->scanned_lines = 0;
            line_state_reset(reader);
            return ERR_OK;
        }
        if (err != ERR_OK) {
            return value_context(reader, err);
        }
        if (*result_out == LINE_WHOLE) {
            if (reader->options->format == COPY_BINARY) {
                reader->lines[batch->rows] = reader->place.line;
            }
            batch->columns[reader->count].values[batch->rows] = datum_int(batch->rows);
            batch->columns[reader->count].nulls[batch->rows] = 0;
            batch->rows++;
        } else if (reader->options->format == COPY_BINARY) {
            reader->place.line = before.line;
        }
    }
    return ERR_OK;
}

err_t
copy_reader_next(struct copy_reader *reader, const struct batch **batch_out)
{
    enum line_result result = LINE_WHOLE;
    err_t err;

    arena_reset(&reader->arena);
    batch_make(&reader->batch, &reader->arena, reader->count + 1, BATCH_ROWS_MAX);
    reader->fields = arena_alloc(&reader->arena, (reader->count + 1) * sizeof(*reader->fields));
    reader->batch.rows = 0;
    TRY(rows_read(reader, &result));
    while (reader->batch.rows == 0 && result == LINE_PART) {
        TRY(data_more(reader));
        TRY(rows_read(reader, &result));
    }
    *batch_out = reader->batch.rows > 0 ? &reader->batch : NULL;
out:
    return err;
}
