/* models/relational/catalog_type.c - encoding of types that users make. */
#include "models/relational/catalog_type.h"

#include "models/relational/catalog_reader.h"

#include "engine/base/poison.h"

enum { KIND_ENUM = 'e' };

/* ---- Encoding ---- */

static void
put_bytes(struct buf *out, struct slice bytes)
{
    buf_append_varint(out, bytes.size);
    buf_append(out, bytes.data, bytes.size);
}

void
enum_type_encode(struct buf *out, const struct enum_type *type)
{
    buf_append_byte(out, KIND_ENUM);
    buf_append_varint(out, type->schema);
    buf_append_varint(out, type->owner);
    buf_append_varint(out, type->type.array);
    put_bytes(out, type->name);
    put_bytes(out, type->array_name);
    buf_append_varint(out, type->count);
    for (uint32_t i = 0; i < type->count; i++) {
        const struct enum_label *label = &type->labels[i];

        buf_append_varint(out, label->oid);
        buf_append_varint(out, label->since);
        buf_append(out, &label->place, sizeof(label->place));
        buf_append(out, &label->order, sizeof(label->order));
        put_bytes(out, label->name);
    }
}

/* ---- Decoding ---- */

static void
take_fixed(struct catalog_reader *reader, void *out, size_t size)
{
    reader->is_bad = reader->is_bad || size > (size_t)(reader->end - reader->at);
    if (!reader->is_bad) {
        memcpy(out, reader->at, size);
        reader->at += size;
    }
}

static void
labels_take(struct catalog_reader *reader, struct enum_type *type, struct arena *arena)
{
    uint64_t count = take_varint(reader);

    /* Each has 14 bytes at least. */
    reader->is_bad =
        reader->is_bad || count > ENUM_LABELS_MAX || count > (uint64_t)(reader->end - reader->at);
    type->count = reader->is_bad ? 0 : (uint32_t)count;
    type->labels = arena_alloc(arena, (type->count + 1U) * sizeof(*type->labels));
    memset(type->labels, 0, (type->count + 1U) * sizeof(*type->labels));
    for (uint32_t i = 0; i < type->count; i++) {
        struct enum_label *label = &type->labels[i];

        label->oid = (oid_t)take_varint(reader);
        label->since = take_varint(reader);
        take_fixed(reader, &label->place, sizeof(label->place));
        take_fixed(reader, &label->order, sizeof(label->order));
        label->name = take_bytes(reader);
        reader->is_bad = reader->is_bad || (i > 0 && label->place <= label[-1].place);
    }
}

err_t
enum_type_decode(struct slice body, oid_t oid, uint64_t version, struct arena *arena,
                 const struct enum_type **out)
{
    struct catalog_reader reader = {body.data, body.data + body.size, arena, NULL, false};
    struct enum_type *type = arena_alloc(arena, sizeof(*type));
    uint8_t kind = 0;
    oid_t array;

    *type = (struct enum_type){0};
    take_fixed(&reader, &kind, 1);
    type->schema = (oid_t)take_varint(&reader);
    type->owner = (oid_t)take_varint(&reader);
    array = (oid_t)take_varint(&reader);
    type->name = take_bytes(&reader);
    type->array_name = take_bytes(&reader);
    labels_take(&reader, type, arena);
    if (reader.is_bad || reader.at != reader.end || kind != KIND_ENUM || oid < OID_FIRST_USER ||
        oid % 2 != 0 || array != oid + 1) {
        return err_set(ERR_CORRUPT, "the catalog's entry of type %u is malformed", oid);
    }
    enum_type_init(type, oid, array, version, arena);
    *out = type;
    return ERR_OK;
}
