/* query/exec/spill.c - see spill.h. */
#include "query/exec/spill.h"

#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "models/relational/relational.h"
#include "models/types/sql_error.h"
#include "query/exec/exec.h"

#include "engine/base/poison.h"

enum { CHUNK_HEADER = 16, RECORD_BYTES_MAX = 1 << 30 };

struct spill_file {
    struct io_file *file;
    struct spill_budget *budget;
    uint32_t chunks;
    uint32_t *free;
    uint32_t free_count, free_capacity;
};

/* ---- The file ---- */

struct spill_file *
spill_file_of(struct spill_budget *budget, struct io_file *opened)
{
    struct spill_file *file = MEM_NEW(MEM_SESSIONS, struct spill_file);

    file->file = opened;
    file->budget = budget;
    return file;
}

err_t
spill_file_open(struct spill_budget *budget, struct spill_file **file_out)
{
    struct io_file *opened;
    err_t err = relational_temp_open(&opened);

    if (err != ERR_OK) {
        return sql_context(err, "temporary file");
    }
    *file_out = spill_file_of(budget, opened);
    return ERR_OK;
}

void
spill_file_close(struct spill_file **pointer)
{
    struct spill_file *file = *pointer;

    *pointer = NULL;
    if (file != NULL) {
        file->budget->file_bytes -= spill_file_bytes(file);
        io_close(&file->file);
        mem_free(MEM_SESSIONS, file->free, file->free_capacity * sizeof(*file->free));
        MEM_FREE(MEM_SESSIONS, file);
    }
}

uint64_t
spill_file_bytes(const struct spill_file *file)
{
    return file != NULL ? (uint64_t)file->chunks * SPILL_CHUNK_BYTES : 0;
}

static err_t
chunk_take(struct spill_file *file, uint32_t *chunk_out)
{
    struct spill_budget *budget = file->budget;

    if (file->free_count > 0) {
        *chunk_out = file->free[--file->free_count];
        return ERR_OK;
    }
    if (budget->file_bytes + SPILL_CHUNK_BYTES > budget->file_bytes_max) {
        return sql_error("53400", "temporary file size exceeds temp_file_limit (%llukB)",
                         (unsigned long long)(budget->file_bytes_max >> 10));
    }
    if (file->chunks == UINT32_MAX) {
        return sql_error("54000", "a temporary file has too many chunks");
    }
    budget->file_bytes += SPILL_CHUNK_BYTES;
    *chunk_out = file->chunks++;
    return ERR_OK;
}

static void
chunk_give(struct spill_file *file, uint32_t chunk)
{
    if (file->free_count == file->free_capacity) {
        uint32_t capacity = MAX(64U, file->free_capacity * 2);

        file->free =
            mem_realloc(MEM_SESSIONS, file->free, file->free_capacity * sizeof(*file->free),
                        capacity * sizeof(*file->free));
        file->free_capacity = capacity;
    }
    file->free[file->free_count++] = chunk;
}

/* ---- Writing ---- */

void
tape_init(struct tape *tape, struct spill_file *file)
{
    *tape = (struct tape){.file = file};
}

static void
buffer_drop(struct tape *tape)
{
    if (tape->buffer != NULL) {
        mem_free_aligned(MEM_SESSIONS, tape->buffer, SPILL_CHUNK_BYTES);
    }
    tape->buffer = NULL;
    tape->filled = 0;
}

void
tape_fini(struct tape *tape, bool file_is_open)
{
    for (uint32_t i = 0; file_is_open && tape->file != NULL && i < tape->count; i++) {
        chunk_give(tape->file, tape->chunks[i]);
    }
    buffer_drop(tape);
    mem_free(MEM_SESSIONS, tape->chunks, tape->capacity * sizeof(*tape->chunks));
    *tape = (struct tape){0};
}

/* The buffer becomes the tape's next chunk. */
static err_t
buffer_write(struct tape *tape)
{
    uint32_t chunk = 0, used = tape->filled;
    uint64_t checksum;
    err_t err;

    if (tape->count == tape->capacity) {
        uint32_t capacity = MAX(16U, tape->capacity * 2);

        tape->chunks =
            mem_realloc(MEM_SESSIONS, tape->chunks, tape->capacity * sizeof(*tape->chunks),
                        capacity * sizeof(*tape->chunks));
        tape->capacity = capacity;
    }
    TRY(chunk_take(tape->file, &chunk));
    memset(tape->buffer + CHUNK_HEADER + used, 0, SPILL_CHUNK_BYTES - CHUNK_HEADER - used);
    put_le32(tape->buffer + 8, used);
    put_le32(tape->buffer + 12, 0);
    checksum = XXH3_64bits(tape->buffer + 8, SPILL_CHUNK_BYTES - 8);
    put_le64(tape->buffer, checksum);
    tape->chunks[tape->count++] = chunk;
    err = io_write(tape->file->file, (uint64_t)chunk * SPILL_CHUNK_BYTES, tape->buffer,
                   SPILL_CHUNK_BYTES, 0);
    tape->filled = 0;
    err = err != ERR_OK ? sql_context(err, "temporary file") : ERR_OK;
out:
    return err;
}

static err_t
bytes_add(struct tape *tape, const uint8_t *data, size_t size)
{
    err_t err = ERR_OK;

    while (size > 0) {
        size_t room = SPILL_CHUNK_BYTES - CHUNK_HEADER - tape->filled;
        size_t part = MIN(size, room);

        memcpy(tape->buffer + CHUNK_HEADER + tape->filled, data, part);
        tape->filled += (uint32_t)part;
        data += part;
        size -= part;
        if (part == room) {
            TRY(buffer_write(tape));
        }
    }
out:
    return err;
}

err_t
tape_add(struct tape *tape, struct slice record)
{
    uint8_t size[VARINT_BYTES_MAX];
    err_t err;

    if (record.size > RECORD_BYTES_MAX) {
        return sql_error("54000", "a row is too large for a temporary file");
    }
    if (tape->buffer == NULL) {
        tape->buffer = mem_alloc_aligned(MEM_SESSIONS, SPILL_CHUNK_BYTES);
    }
    TRY(bytes_add(tape, size, put_varint(size, record.size)));
    TRY(bytes_add(tape, record.data, record.size));
    tape->records++;
out:
    return err;
}

err_t
tape_end(struct tape *tape)
{
    err_t err = tape->filled > 0 ? buffer_write(tape) : ERR_OK;

    buffer_drop(tape);
    return err;
}

uint64_t
tape_place(const struct tape *tape)
{
    return (uint64_t)tape->count << 32 | tape->filled;
}

/* ---- Reading ---- */

void
tape_reader_init(struct tape_reader *reader, struct tape *tape)
{
    *reader = (struct tape_reader){.tape = tape};
    buf_init(&reader->record, MEM_SESSIONS);
}

void
tape_reader_fini(struct tape_reader *reader)
{
    if (reader->buffer != NULL) {
        mem_free_aligned(MEM_SESSIONS, reader->buffer, SPILL_CHUNK_BYTES);
    }
    buf_fini(&reader->record);
    *reader = (struct tape_reader){0};
}

void
tape_reader_seek(struct tape_reader *reader, uint64_t place)
{
    uint32_t chunk = (uint32_t)(place >> 32);

    reader->is_loaded = reader->is_loaded && chunk == reader->chunk;
    reader->chunk = chunk;
    reader->at = (uint32_t)place;
}

static err_t
chunk_check(struct tape_reader *reader)
{
    uint32_t used = get_le32(reader->buffer + 8);

    if (get_le64(reader->buffer) != XXH3_64bits(reader->buffer + 8, SPILL_CHUNK_BYTES - 8) ||
        used > SPILL_CHUNK_BYTES - CHUNK_HEADER) {
        return err_set(ERR_CORRUPT, "a temporary file has changed");
    }
    reader->filled = used;
    return ERR_OK;
}

/* Bytes at reader->at, of its chunk or of the next one. A chunk that is not full is the last. */
static err_t
chunk_load(struct tape_reader *reader, bool *is_end_out)
{
    const struct tape *tape = reader->tape;
    err_t err = ERR_OK;

    *is_end_out = false;
    if (reader->buffer == NULL) {
        reader->buffer = mem_alloc_aligned(MEM_SESSIONS, SPILL_CHUNK_BYTES);
    }
    while (!reader->is_loaded || reader->at >= reader->filled) {
        if (reader->is_loaded && reader->filled == SPILL_CHUNK_BYTES - CHUNK_HEADER) {
            reader->chunk++;
            reader->at = 0;
            reader->is_loaded = false;
            continue;
        }
        if (reader->chunk >= tape->count) { /* What is written now. */
            *is_end_out = tape->buffer == NULL || reader->at >= tape->filled;
            if (*is_end_out) {
                return ERR_OK;
            }
            memcpy(reader->buffer, tape->buffer, CHUNK_HEADER + tape->filled);
            reader->filled = tape->filled;
            reader->is_loaded = reader->is_tail = true;
            continue;
        }
        *is_end_out = reader->is_loaded && !reader->is_tail;
        if (*is_end_out) {
            return ERR_OK;
        }
        reader->is_loaded = false;
        TRY(io_read(tape->file->file, (uint64_t)tape->chunks[reader->chunk] * SPILL_CHUNK_BYTES,
                    reader->buffer, SPILL_CHUNK_BYTES));
        TRY(chunk_check(reader));
        reader->is_loaded = true;
        reader->is_tail = false;
    }
out:
    return err;
}

/* False in *is_end_out: `size` bytes have been appended to the record. */
static err_t
bytes_take(struct tape_reader *reader, size_t size, bool *is_end_out)
{
    err_t err = ERR_OK;

    *is_end_out = false;
    while (size > 0) {
        size_t part;

        TRY(chunk_load(reader, is_end_out));
        if (*is_end_out) {
            return ERR_OK;
        }
        part = MIN(size, (size_t)(reader->filled - reader->at));
        buf_append(&reader->record, reader->buffer + CHUNK_HEADER + reader->at, part);
        reader->at += (uint32_t)part;
        size -= part;
    }
out:
    return err;
}

err_t
tape_read(struct tape_reader *reader, struct slice *record_out, bool *is_end_out)
{
    uint64_t size = 0;
    uint32_t shift = 0;
    uint8_t byte;
    err_t err;

    do {
        buf_clear(&reader->record);
        TRY(bytes_take(reader, 1, is_end_out));
        if (*is_end_out) {
            return shift > 0 ? err_set(ERR_CORRUPT, "a temporary file ends early") : ERR_OK;
        }
        byte = reader->record.data[0];
        size |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (shift > 35 || size > RECORD_BYTES_MAX) {
            return err_set(ERR_CORRUPT, "a temporary file has a record of %llu bytes",
                           (unsigned long long)size);
        }
    } while ((byte & 0x80) != 0);
    buf_clear(&reader->record);
    TRY(bytes_take(reader, size, is_end_out));
    if (*is_end_out) {
        return err_set(ERR_CORRUPT, "a temporary file ends early");
    }
    *record_out = buf_slice(&reader->record);
out:
    return err;
}

/* ---- Rows ---- */

static void
value_put(const struct type *type, struct datum value, struct buf *out)
{
    size_t start;
    struct buf digits;

    switch ((enum type_rep)type->rep) {
    case REP_INT:
        buf_append_varint(out, (uint64_t)value.i << 1 ^ (uint64_t)(value.i >> 63));
        return;
    case REP_FLOAT:
        buf_append(out, &value.f, sizeof(value.f));
        return;
    case REP_BYTES:
        buf_append_varint(out, value.bytes.size);
        buf_append(out, value.bytes.data, value.bytes.size);
        return;
    case REP_NUMERIC:
        buf_init(&digits, MEM_SESSIONS);
        numeric_put(value.n, &digits);
        buf_append_varint(out, digits.size);
        buf_append(out, digits.data, digits.size);
        buf_fini(&digits);
        return;
    case REP_INTERVAL:
        buf_append(out, &value.interval, sizeof(value.interval));
        return;
    case REP_TIMETZ:
        start = out->size;
        memset(buf_reserve(out, TIMETZ_BYTES), 0, TIMETZ_BYTES);
        memcpy(out->data + start, &value.timetz, TIMETZ_BYTES);
        out->size += TIMETZ_BYTES;
        return;
    }
}

static void
nulls_put(struct buf *out, uint32_t count)
{
    size_t bytes = (count + 7) / 8;

    if (bytes > 0) { /* An empty buffer has no address. */
        memset(buf_reserve(out, bytes), 0, bytes);
        out->size += bytes;
    }
}

void
spill_row_put(const struct plan_column *columns, uint32_t count, const struct kept_row *row,
              struct buf *out)
{
    size_t start = out->size;

    nulls_put(out, count);
    for (uint32_t i = 0; i < count; i++) {
        if (row->nulls[i] != 0) {
            out->data[start + i / 8] |= (uint8_t)(1U << i % 8);
        } else {
            value_put(columns[i].type, row->values[i], out);
        }
    }
}

void
spill_batch_row_put(const struct plan_column *columns, uint32_t count, const struct batch *batch,
                    uint32_t row, struct buf *out)
{
    size_t start = out->size;

    nulls_put(out, count);
    for (uint32_t i = 0; i < count; i++) {
        if (vector_is_null(&batch->columns[i], row)) {
            out->data[start + i / 8] |= (uint8_t)(1U << i % 8);
        } else {
            value_put(columns[i].type, vector_value(&batch->columns[i], row), out);
        }
    }
}

/* So many bytes at the front; NULL: there are not. */
static const uint8_t *
front_take(struct slice *rest, uint64_t size)
{
    const uint8_t *data = rest->data;

    if (size > rest->size) {
        return NULL;
    }
    *rest = slice_of(data + size, rest->size - size);
    return data;
}

static const uint8_t *
sized_take(struct slice *rest, uint64_t *size_out)
{
    size_t used = get_varint(rest->data, rest->data + rest->size, size_out);

    return used > 0 ? front_take(rest, used) : NULL;
}

static err_t
value_get(const struct type *type, struct slice *rest, struct arena *arena, struct datum *out)
{
    const uint8_t *bytes = NULL;
    uint64_t size = 0;
    err_t err = ERR_OK;

    *out = datum_int(0);
    switch ((enum type_rep)type->rep) {
    case REP_INT:
        bytes = sized_take(rest, &size);
        out->i = (int64_t)(size >> 1) ^ -(int64_t)(size & 1);
        break;
    case REP_FLOAT:
        bytes = front_take(rest, sizeof(out->f));
        memcpy(&out->f, bytes != NULL ? bytes : (const uint8_t *)&out->f, sizeof(out->f));
        break;
    case REP_BYTES:
    case REP_NUMERIC:
        bytes = sized_take(rest, &size);
        bytes = bytes != NULL ? front_take(rest, size) : NULL;
        if (bytes != NULL && type->rep == REP_NUMERIC) {
            err = numeric_get(slice_of(bytes, size), arena, &out->n);
        } else if (bytes != NULL) {
            out->bytes = arena_copy(arena, slice_of(bytes, size));
        }
        break;
    case REP_INTERVAL:
        bytes = front_take(rest, sizeof(out->interval));
        memcpy(&out->interval, bytes != NULL ? bytes : (const uint8_t *)&out->interval,
               sizeof(out->interval));
        break;
    case REP_TIMETZ:
        bytes = front_take(rest, TIMETZ_BYTES);
        memcpy(&out->timetz, bytes != NULL ? bytes : (const uint8_t *)&out->timetz, TIMETZ_BYTES);
        break;
    }
    return bytes != NULL ? err : err_set(ERR_CORRUPT, "a row of a temporary file ends early");
}

/* Into a kept row or, for NULL, into row `at` of the batch. */
static err_t
row_get(const struct plan_column *columns, uint32_t count, struct slice record, struct arena *arena,
        struct kept_row *row, struct batch *batch, uint32_t at)
{
    const uint8_t *nulls = front_take(&record, (count + 7) / 8);
    err_t err = ERR_OK;

    if (nulls == NULL && count > 0) {
        return err_set(ERR_CORRUPT, "a row of a temporary file ends early");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct datum *value = row != NULL ? &row->values[i] : &batch->columns[i].values[at];
        uint8_t *is_null = row != NULL ? &row->nulls[i] : &batch->columns[i].nulls[at];

        *is_null = (nulls[i / 8] >> i % 8) & 1;
        if (*is_null != 0) {
            *value = datum_int(0);
        } else {
            TRY(value_get(columns[i].type, &record, arena, value));
        }
    }
out:
    return err;
}

err_t
spill_row_get(const struct plan_column *columns, uint32_t count, struct slice record,
              struct arena *arena, struct kept_row *row_out)
{
    row_out->values = arena_alloc(arena, (count + 1) * sizeof(*row_out->values));
    row_out->nulls = arena_alloc(arena, count + 1);
    return row_get(columns, count, record, arena, row_out, NULL, 0);
}

err_t
spill_batch_row_get(const struct plan_column *columns, uint32_t count, struct slice record,
                    struct arena *arena, struct batch *batch, uint32_t row)
{
    return row_get(columns, count, record, arena, NULL, batch, row);
}
