/* models/relational/catalog_code.c - a relation as bytes: docs/format/relational.md. */
#include "models/relational/catalog_code.h"

#include "engine/base/assert.h"
#include "models/relational/catalog_reader.h"

#include "engine/base/poison.h"

enum {
    COLUMN_NOT_NULL = 1 << 0,
    COLUMN_DROPPED = 1 << 1,
    COLUMN_GENERATED = 1 << 2,
    COLUMN_MISSING = 1 << 3,
    INDEX_UNIQUE = 1 << 0,
    INDEX_PRIMARY = 1 << 1,
    INDEX_NULLS_EQUAL = 1 << 2,
    INDEX_DEFERRABLE = 1 << 3,
    CONSTRAINT_DEFERRABLE = 1 << 0,
    CONSTRAINT_DEFERRED = 1 << 1,
    CONSTRAINT_NOT_VALID = 1 << 2,
    CONSTRAINT_NO_INHERIT = 1 << 3,
    CONSTRAINT_MATCH_FULL = 1 << 4,
};

/* ---- Encoding ---- */

static void
put_bytes(struct buf *out, struct slice bytes)
{
    buf_append_varint(out, bytes.size);
    buf_append(out, bytes.data, bytes.size);
}

static void
put_signed(struct buf *out, int64_t value)
{
    buf_append_varint(out, ((uint64_t)value << 1) ^ (uint64_t)(value >> 63));
}

static void
column_encode(struct buf *out, const struct column *column)
{
    put_bytes(out, column->name);
    buf_append_varint(out, column->type->oid);
    put_signed(out, column->typmod);
    buf_append_byte(out, (uint8_t)((column->is_not_null ? COLUMN_NOT_NULL : 0) |
                                   (column->is_dropped ? COLUMN_DROPPED : 0) |
                                   (column->is_generated ? COLUMN_GENERATED : 0) |
                                   (column->has_missing ? COLUMN_MISSING : 0)));
    buf_append_byte(out, (uint8_t)column->identity);
    put_bytes(out, column->default_sql);
    put_bytes(out, column->missing);
}

static void
put_numbers(struct buf *out, const uint16_t *numbers, uint32_t count)
{
    buf_append_varint(out, count);
    for (uint32_t i = 0; i < count; i++) {
        buf_append_varint(out, numbers[i]);
    }
}

static void
index_encode(struct buf *out, const struct index *index)
{
    buf_append_varint(out, index->oid);
    buf_append_varint(out, index->storage);
    put_bytes(out, index->name);
    buf_append_byte(out, (uint8_t)((index->is_unique ? INDEX_UNIQUE : 0) |
                                   (index->is_primary ? INDEX_PRIMARY : 0) |
                                   (index->nulls_equal ? INDEX_NULLS_EQUAL : 0) |
                                   (index->is_deferrable ? INDEX_DEFERRABLE : 0)));
    buf_append_varint(out, index->column_count);
    for (uint32_t i = 0; i < index->column_count; i++) {
        buf_append_varint(out, (uint64_t)index->columns[i] << 2 | index->is_descending[i] |
                                   (uint64_t)index->nulls_first[i] << 1);
    }
    put_numbers(out, index->included, index->included_count);
    buf_append_varint(out, index->predicate);
}

static void
constraint_encode(struct buf *out, const struct constraint *constraint)
{
    buf_append_varint(out, constraint->oid);
    buf_append_byte(out, (uint8_t)constraint->kind);
    put_bytes(out, constraint->name);
    buf_append_byte(out, (uint8_t)((constraint->is_deferrable ? CONSTRAINT_DEFERRABLE : 0) |
                                   (constraint->is_deferred ? CONSTRAINT_DEFERRED : 0) |
                                   (constraint->is_not_valid ? CONSTRAINT_NOT_VALID : 0) |
                                   (constraint->is_no_inherit ? CONSTRAINT_NO_INHERIT : 0) |
                                   (constraint->is_match_full ? CONSTRAINT_MATCH_FULL : 0)));
    put_bytes(out, constraint->sql);
    put_numbers(out, constraint->columns, constraint->column_count);
    buf_append_varint(out, constraint->index);
    buf_append_varint(out, constraint->other);
    if (constraint->kind == CONSTRAINT_FOREIGN) {
        put_numbers(out, constraint->other_columns, constraint->column_count);
        buf_append_byte(out, (uint8_t)constraint->on_update);
        buf_append_byte(out, (uint8_t)constraint->on_delete);
        put_numbers(out, constraint->set_columns, constraint->set_count);
    }
}

static void
sequence_encode(struct buf *out, const struct sequence *sequence)
{
    put_signed(out, sequence->start);
    put_signed(out, sequence->increment);
    put_signed(out, sequence->min);
    put_signed(out, sequence->max);
    put_signed(out, sequence->cache);
    buf_append_byte(out, sequence->is_cycled);
    buf_append_varint(out, sequence->type);
    buf_append_varint(out, sequence->state);
    buf_append_varint(out, sequence->owner);
    buf_append_varint(out, sequence->column);
    buf_append_byte(out, sequence->is_identity);
}

void
relation_encode(struct buf *out, const struct relation *relation)
{
    buf_append_varint(out, relation->schema);
    buf_append_varint(out, relation->owner);
    buf_append_varint(out, relation->storage);
    buf_append_byte(out, (uint8_t)relation->kind);
    buf_append_byte(out, (uint8_t)relation->persistence);
    buf_append_byte(out, (uint8_t)relation->on_commit);
    buf_append_byte(out, (uint8_t)relation->view_check);
    put_bytes(out, relation->name);
    put_bytes(out, relation->view_sql);
    put_bytes(out, relation->path);
    sequence_encode(out, &relation->sequence);
    buf_append_varint(out, relation->column_count);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        column_encode(out, &relation->columns[i]);
    }
    buf_append_varint(out, relation->virtual_count);
    for (uint32_t i = 0; i < relation->virtual_count; i++) {
        put_bytes(out, relation->virtuals[i].sql);
        buf_append_varint(out, relation->virtuals[i].type->oid);
        buf_append_varint(out, relation->virtuals[i].index);
    }
    buf_append_varint(out, relation->index_count);
    for (uint32_t i = 0; i < relation->index_count; i++) {
        index_encode(out, &relation->indexes[i]);
    }
    buf_append_varint(out, relation->constraint_count);
    for (uint32_t i = 0; i < relation->constraint_count; i++) {
        constraint_encode(out, &relation->constraints[i]);
    }
    buf_append_varint(out, relation->dependency_count);
    for (uint32_t i = 0; i < relation->dependency_count; i++) {
        buf_append_varint(out, relation->dependencies[i].oid);
        buf_append_varint(out, relation->dependencies[i].column);
        buf_append_varint(out, relation->dependencies[i].from);
    }
}

/* ---- Decoding: a reader that stays at its end once something is wrong. ---- */

static int64_t
take_signed(struct catalog_reader *reader)
{
    uint64_t zigzag = take_varint(reader);

    return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

static uint8_t
take_byte(struct catalog_reader *reader)
{
    if (reader->is_bad || reader->at == reader->end) {
        reader->is_bad = true;
        return 0;
    }
    return *reader->at++;
}

static uint16_t
take_count(struct catalog_reader *reader, uint64_t max)
{
    uint64_t count = take_varint(reader);

    if (count > max) {
        reader->is_bad = true;
    }
    return reader->is_bad ? 0 : (uint16_t)count;
}

static const struct type *
take_type(struct catalog_reader *reader)
{
    const struct type *type = catalog_type(reader->catalog, (oid_t)take_varint(reader));

    reader->is_bad = reader->is_bad || type == NULL;
    return type;
}

static void
column_decode(struct catalog_reader *reader, struct column *column)
{
    uint8_t flags;

    column->name = take_bytes(reader);
    column->type = take_type(reader);
    column->typmod = (int32_t)take_signed(reader);
    flags = take_byte(reader);
    column->is_not_null = (flags & COLUMN_NOT_NULL) != 0;
    column->is_dropped = (flags & COLUMN_DROPPED) != 0;
    column->is_generated = (flags & COLUMN_GENERATED) != 0;
    column->identity = (char)take_byte(reader);
    column->default_sql = take_bytes(reader);
    column->has_missing = (flags & COLUMN_MISSING) != 0;
    column->missing = take_bytes(reader);
}

/* Numbers of columns (or, with virtuals, of expressions): each must be there. */
static uint16_t
take_numbers(struct catalog_reader *reader, uint16_t *numbers, uint16_t column_count)
{
    uint16_t count = take_count(reader, INDEX_COLUMNS_MAX);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t number = take_varint(reader);

        reader->is_bad = reader->is_bad || number >= column_count;
        numbers[i] = (uint16_t)number;
    }
    return count;
}

static uint16_t
take_part(struct catalog_reader *reader, uint64_t number, const struct relation *relation)
{
    reader->is_bad =
        reader->is_bad || number > UINT16_MAX ||
        (number < INDEX_EXPRESSION ? number >= relation->column_count
                                   : number - INDEX_EXPRESSION >= relation->virtual_count);
    return (uint16_t)number;
}

static void
index_decode(struct catalog_reader *reader, struct index *index, const struct relation *relation)
{
    uint64_t predicate;
    uint8_t flags;

    index->oid = (oid_t)take_varint(reader);
    index->storage = (uint32_t)take_varint(reader);
    index->name = take_bytes(reader);
    flags = take_byte(reader);
    index->is_unique = (flags & INDEX_UNIQUE) != 0;
    index->is_primary = (flags & INDEX_PRIMARY) != 0;
    index->nulls_equal = (flags & INDEX_NULLS_EQUAL) != 0;
    index->is_deferrable = (flags & INDEX_DEFERRABLE) != 0;
    index->column_count = take_count(reader, INDEX_COLUMNS_MAX);
    for (uint32_t i = 0; i < index->column_count; i++) {
        uint64_t packed = take_varint(reader);

        index->columns[i] = take_part(reader, packed >> 2, relation);
        index->is_descending[i] = (packed & 1) != 0;
        index->nulls_first[i] = (packed & 2) != 0;
    }
    index->included_count = take_numbers(reader, index->included, relation->column_count);
    predicate = take_varint(reader);
    index->predicate = predicate == 0 ? 0 : take_part(reader, predicate, relation);
}

static void
constraint_decode(struct catalog_reader *reader, struct constraint *constraint,
                  uint16_t column_count)
{
    uint8_t flags;

    constraint->oid = (oid_t)take_varint(reader);
    constraint->kind = (char)take_byte(reader);
    constraint->name = take_bytes(reader);
    flags = take_byte(reader);
    constraint->is_deferrable = (flags & CONSTRAINT_DEFERRABLE) != 0;
    constraint->is_deferred = (flags & CONSTRAINT_DEFERRED) != 0;
    constraint->is_not_valid = (flags & CONSTRAINT_NOT_VALID) != 0;
    constraint->is_no_inherit = (flags & CONSTRAINT_NO_INHERIT) != 0;
    constraint->is_match_full = (flags & CONSTRAINT_MATCH_FULL) != 0;
    constraint->sql = take_bytes(reader);
    constraint->column_count = take_numbers(reader, constraint->columns, column_count);
    constraint->index = (oid_t)take_varint(reader);
    constraint->other = (oid_t)take_varint(reader);
    if (constraint->kind == CONSTRAINT_FOREIGN) {
        uint16_t count = take_numbers(reader, constraint->other_columns, RELATION_COLUMNS_MAX);

        reader->is_bad = reader->is_bad || count != constraint->column_count;
        constraint->on_update = (char)take_byte(reader);
        constraint->on_delete = (char)take_byte(reader);
        constraint->set_count = take_numbers(reader, constraint->set_columns, column_count);
    }
}

static void
sequence_decode(struct catalog_reader *reader, struct sequence *sequence)
{
    sequence->start = take_signed(reader);
    sequence->increment = take_signed(reader);
    sequence->min = take_signed(reader);
    sequence->max = take_signed(reader);
    sequence->cache = take_signed(reader);
    sequence->is_cycled = take_byte(reader) != 0;
    sequence->type = (oid_t)take_varint(reader);
    sequence->state = take_varint(reader);
    sequence->owner = (oid_t)take_varint(reader);
    sequence->column = take_count(reader, RELATION_COLUMNS_MAX);
    sequence->is_identity = take_byte(reader) != 0;
}

static void *
zeroed(struct arena *arena, size_t size)
{
    void *memory = arena_alloc(arena, size);

    memset(memory, 0, size);
    return memory;
}

void
relation_derive(struct relation *relation)
{
    relation->primary = NULL;
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (relation->indexes[i].storage == 0) {
            relation->primary = &relation->indexes[i];
        }
    }
}

static void
lists_decode(struct catalog_reader *reader, struct relation *out)
{
    out->virtual_count = take_count(reader, UINT16_MAX - INDEX_EXPRESSION);
    out->virtuals = zeroed(reader->arena, out->virtual_count * sizeof(*out->virtuals));
    for (uint32_t i = 0; i < out->virtual_count; i++) {
        out->virtuals[i].sql = take_bytes(reader);
        out->virtuals[i].type = take_type(reader);
        out->virtuals[i].index = (oid_t)take_varint(reader);
    }
    out->index_count = take_count(reader, UINT16_MAX);
    out->indexes = zeroed(reader->arena, out->index_count * sizeof(*out->indexes));
    for (uint32_t i = 0; i < out->index_count; i++) {
        index_decode(reader, &out->indexes[i], out);
    }
    out->constraint_count = take_count(reader, UINT16_MAX);
    out->constraints = zeroed(reader->arena, out->constraint_count * sizeof(*out->constraints));
    for (uint32_t i = 0; i < out->constraint_count; i++) {
        constraint_decode(reader, &out->constraints[i], out->column_count);
    }
    out->dependency_count = take_count(reader, UINT16_MAX);
    out->dependencies = zeroed(reader->arena, out->dependency_count * sizeof(*out->dependencies));
    for (uint32_t i = 0; i < out->dependency_count; i++) {
        out->dependencies[i].oid = (oid_t)take_varint(reader);
        out->dependencies[i].column = take_count(reader, RELATION_COLUMNS_MAX);
        out->dependencies[i].from = take_count(reader, RELATION_COLUMNS_MAX);
    }
}

err_t
relation_decode(const struct catalog *catalog, struct slice stored, oid_t oid, struct arena *arena,
                struct relation *out)
{
    struct catalog_reader reader = {stored.data, stored.data + stored.size, arena, catalog, false};

    *out = (struct relation){.oid = oid};
    out->schema = (oid_t)take_varint(&reader);
    out->owner = (oid_t)take_varint(&reader);
    out->storage = (uint32_t)take_varint(&reader);
    out->kind = (char)take_byte(&reader);
    out->persistence = (char)take_byte(&reader);
    out->on_commit = (char)take_byte(&reader);
    out->view_check = (char)take_byte(&reader);
    out->name = take_bytes(&reader);
    out->view_sql = take_bytes(&reader);
    out->path = take_bytes(&reader);
    sequence_decode(&reader, &out->sequence);
    out->column_count = take_count(&reader, RELATION_COLUMNS_MAX);
    out->columns = zeroed(arena, out->column_count * sizeof(*out->columns));
    for (uint32_t i = 0; i < out->column_count; i++) {
        column_decode(&reader, &out->columns[i]);
    }
    lists_decode(&reader, out);
    relation_derive(out);
    if (reader.is_bad || reader.at != reader.end) {
        return err_set(ERR_CORRUPT, "the catalog's entry of relation %u is malformed", oid);
    }
    return ERR_OK;
}

static void *
copied(struct arena *arena, const void *from, size_t size)
{
    return (void *)(uintptr_t)arena_copy(arena, slice_of(from, size)).data;
}

struct relation *
relation_copy(struct arena *arena, const struct relation *from)
{
    struct relation *to = copied(arena, from, sizeof(*from));

    to->name = arena_copy(arena, from->name);
    to->view_sql = arena_copy(arena, from->view_sql);
    to->path = arena_copy(arena, from->path);
    to->columns = copied(arena, from->columns, from->column_count * sizeof(*to->columns));
    for (uint32_t i = 0; i < to->column_count; i++) {
        to->columns[i].name = arena_copy(arena, from->columns[i].name);
        to->columns[i].default_sql = arena_copy(arena, from->columns[i].default_sql);
        to->columns[i].missing = arena_copy(arena, from->columns[i].missing);
    }
    to->virtuals = copied(arena, from->virtuals, from->virtual_count * sizeof(*to->virtuals));
    for (uint32_t i = 0; i < to->virtual_count; i++) {
        to->virtuals[i].sql = arena_copy(arena, from->virtuals[i].sql);
    }
    to->indexes = copied(arena, from->indexes, from->index_count * sizeof(*to->indexes));
    for (uint32_t i = 0; i < to->index_count; i++) {
        to->indexes[i].name = arena_copy(arena, from->indexes[i].name);
    }
    to->constraints =
        copied(arena, from->constraints, from->constraint_count * sizeof(*to->constraints));
    for (uint32_t i = 0; i < to->constraint_count; i++) {
        to->constraints[i].name = arena_copy(arena, from->constraints[i].name);
        to->constraints[i].sql = arena_copy(arena, from->constraints[i].sql);
    }
    to->dependencies =
        copied(arena, from->dependencies, from->dependency_count * sizeof(*to->dependencies));
    relation_derive(to);
    return to;
}
