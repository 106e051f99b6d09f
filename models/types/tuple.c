/* models/types/tuple.c - rows as values. */
#include "models/types/tuple.h"

#include <ctype.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- Writing ---- */

void
tuple_begin(struct tuple_writer *writer, uint32_t fields)
{
    buf_init(&writer->bytes, MEM_SESSIONS);
    buf_init(&writer->value, MEM_SESSIONS);
    buf_append_varint(&writer->bytes, fields);
}

void
tuple_add(struct tuple_writer *writer, const struct type *type, struct slice name, bool is_null,
          struct datum value)
{
    buf_append_varint(&writer->bytes, type->oid);
    if (type->oid >= OID_FIRST_USER) {
        buf_append(&writer->bytes, &type, sizeof(type));
    }
    buf_append_varint(&writer->bytes, name.size);
    buf_append(&writer->bytes, name.data, name.size);
    buf_append_byte(&writer->bytes, !is_null);
    if (!is_null) {
        buf_clear(&writer->value);
        type_row_put(type, value, &writer->value);
        buf_append_varint(&writer->bytes, writer->value.size);
        buf_append(&writer->bytes, writer->value.data, writer->value.size);
    }
}

struct slice
tuple_end(struct tuple_writer *writer, struct arena *arena)
{
    struct slice record = arena_copy(arena, buf_slice(&writer->bytes));

    buf_fini(&writer->bytes);
    buf_fini(&writer->value);
    return record;
}

/* ---- Reading ---- */

static err_t
corrupt(void)
{
    return err_set(ERR_CORRUPT, "a record's bytes are cut off");
}

static bool
varint_take(struct tuple_reader *reader, uint64_t *value_out)
{
    size_t size = get_varint(reader->at, reader->end, value_out);

    reader->at += size;
    return size > 0;
}

static bool
bytes_take(struct tuple_reader *reader, struct slice *out)
{
    uint64_t size;

    if (!varint_take(reader, &size) || size > (uint64_t)(reader->end - reader->at)) {
        return false;
    }
    *out = slice_of(reader->at, size);
    reader->at += size;
    return true;
}

/* Of users' types the address stands behind the number. */
static bool
type_take(struct tuple_reader *reader, oid_t oid, const struct type **type_out)
{
    if (oid < OID_FIRST_USER) {
        *type_out = type_by_oid(oid);
        return *type_out != NULL;
    }
    if ((size_t)(reader->end - reader->at) < sizeof(*type_out)) {
        return false;
    }
    memcpy(type_out, reader->at, sizeof(*type_out));
    reader->at += sizeof(*type_out);
    return true;
}

err_t
tuple_open(struct slice record, struct tuple_reader *reader_out)
{
    uint64_t fields;

    *reader_out = (struct tuple_reader){.at = record.data, .end = record.data + record.size};
    if (record.size == 0 || !varint_take(reader_out, &fields) || fields > TUPLE_FIELDS_MAX) {
        return corrupt();
    }
    reader_out->fields = (uint32_t)fields;
    return ERR_OK;
}

err_t
tuple_next(struct tuple_reader *reader, struct arena *arena, struct tuple_field *out)
{
    struct slice value;
    uint64_t type;

    if (!varint_take(reader, &type) || !type_take(reader, (oid_t)type, &out->type) ||
        !bytes_take(reader, &out->name) || reader->at == reader->end) {
        return corrupt();
    }
    reader->fields--;
    out->is_null = *reader->at++ == 0;
    out->value = datum_int(0);
    if (out->is_null) {
        return ERR_OK;
    }
    return bytes_take(reader, &value) ? type_row_get(out->type, value, arena, &out->value)
                                      : corrupt();
}

/* ---- Text and binary ---- */

err_t
tuple_input(const struct type *type, const struct type_io *io, struct slice text, int32_t typmod,
            struct datum *out)
{
    (void)type;
    (void)io;
    (void)text;
    (void)typmod;
    (void)out;
    return sql_error("0A000", "input of anonymous composite types is not implemented");
}

static bool
needs_quotes(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (strchr("\"\\(),", text.data[i]) != NULL || isspace(text.data[i])) {
            return true;
        }
    }
    return text.size == 0;
}

static void
field_output(struct slice text, struct buf *out)
{
    if (!needs_quotes(text)) {
        buf_append(out, text.data, text.size);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '"' || text.data[i] == '\\') {
            buf_append_byte(out, text.data[i]);
        }
        buf_append_byte(out, text.data[i]);
    }
    buf_append_byte(out, '"');
}

void
tuple_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    struct tuple_reader reader;
    struct tuple_field field;
    struct arena arena;
    struct buf text;
    bool is_first = true;

    (void)type;
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(out, '(');
    if (tuple_open(value.bytes, &reader) == ERR_OK) {
        while (reader.fields > 0 && tuple_next(&reader, &arena, &field) == ERR_OK) {
            if (!is_first) {
                buf_append_byte(out, ',');
            }
            is_first = false;
            if (!field.is_null) {
                buf_clear(&text);
                field.type->output(field.type, settings, field.value, &text);
                field_output(buf_slice(&text), out);
            }
        }
    }
    buf_append_byte(out, ')');
    buf_fini(&text);
    arena_fini(&arena);
}

err_t
tuple_receive(const struct type *type, const struct type_io *io, struct slice bytes,
              struct datum *out)
{
    (void)type;
    (void)io;
    (void)bytes;
    (void)out;
    return sql_error("0A000", "input of anonymous composite types is not implemented");
}

static void
be32_append(struct buf *out, uint32_t value)
{
    put_be32(buf_reserve(out, sizeof(value)), value);
    out->size += sizeof(value);
}

/* Number of fields; each: its type, its size (-1: null), its binary form. */
void
tuple_send(const struct type *type, struct datum value, struct buf *out)
{
    struct tuple_reader reader;
    struct tuple_field field;
    struct arena arena;
    struct buf bytes;

    (void)type;
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&bytes, MEM_SESSIONS);
    if (tuple_open(value.bytes, &reader) == ERR_OK) {
        be32_append(out, reader.fields);
        while (reader.fields > 0 && tuple_next(&reader, &arena, &field) == ERR_OK) {
            be32_append(out, field.type->oid);
            if (field.is_null) {
                be32_append(out, UINT32_MAX);
                continue;
            }
            buf_clear(&bytes);
            field.type->send(field.type, field.value, &bytes);
            be32_append(out, (uint32_t)bytes.size);
            buf_append(out, bytes.data, bytes.size);
        }
    }
    buf_fini(&bytes);
    arena_fini(&arena);
}

/* ---- Order: field by field, nulls last; then by their number ---- */

static int
fields_compare(const struct tuple_field *a, const struct tuple_field *b)
{
    if (a->is_null || b->is_null) {
        return a->is_null - b->is_null;
    }
    if (a->type != b->type) {
        return a->type->oid < b->type->oid ? -1 : 1;
    }
    return a->type->compare != NULL ? a->type->compare(a->type, a->value, b->value) : 0;
}

int
tuple_compare(const struct type *type, struct datum a, struct datum b)
{
    struct tuple_reader left, right;
    struct tuple_field x, y;
    struct arena arena;
    int order = 0;

    (void)type;
    if (tuple_open(a.bytes, &left) != ERR_OK || tuple_open(b.bytes, &right) != ERR_OK) {
        return slice_compare(a.bytes, b.bytes);
    }
    arena_init(&arena, MEM_SESSIONS);
    while (order == 0 && left.fields > 0 && right.fields > 0 &&
           tuple_next(&left, &arena, &x) == ERR_OK && tuple_next(&right, &arena, &y) == ERR_OK) {
        order = fields_compare(&x, &y);
    }
    arena_fini(&arena);
    return order != 0 ? order : (left.fields > right.fields) - (left.fields < right.fields);
}

void
tuple_hash_put(struct datum value, struct buf *out)
{
    struct tuple_reader reader;
    struct tuple_field field;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    if (tuple_open(value.bytes, &reader) == ERR_OK) {
        buf_append_varint(out, reader.fields);
        while (reader.fields > 0 && tuple_next(&reader, &arena, &field) == ERR_OK) {
            buf_append_byte(out, field.is_null);
            if (!field.is_null) {
                type_hash_put(field.type, field.value, out);
            }
        }
    }
    arena_fini(&arena);
}
