/* models/relational/catalog.c - the catalog in memory, and its entries in the store. */
#include "models/relational/catalog.h"

#include <stdlib.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { CATALOG_SLOT = 0, CATALOG_STORAGE = 0, RELATIONS_FIRST = 64, ENTRY_KEY_BYTES = 10 };

/* Classes of entries. */
enum { CLASS_VERSION = 1, CLASS_SCHEMA = 2, CLASS_RELATION = 3 };

enum {
    COLUMN_NOT_NULL = 1 << 0,
    COLUMN_DROPPED = 1 << 1,
    COLUMN_GENERATED = 1 << 2,
    INDEX_UNIQUE = 1 << 0,
    INDEX_PRIMARY = 1 << 1,
};

void
storage_prefix(uint8_t out[STORAGE_PREFIX_BYTES], uint32_t storage)
{
    out[0] = RELATIONAL_TAG;
    put_be32(out + 1, storage);
}

static struct slice
entry_key(uint8_t out[ENTRY_KEY_BYTES], uint8_t class, oid_t oid)
{
    storage_prefix(out, CATALOG_STORAGE);
    out[STORAGE_PREFIX_BYTES] = class;
    put_be32(out + STORAGE_PREFIX_BYTES + 1, oid);
    return slice_of(out, ENTRY_KEY_BYTES);
}

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
                                   (column->is_generated ? COLUMN_GENERATED : 0)));
    buf_append_byte(out, (uint8_t)column->identity);
    put_bytes(out, column->default_sql);
}

static void
index_encode(struct buf *out, const struct index *index)
{
    buf_append_varint(out, index->oid);
    buf_append_varint(out, index->storage);
    put_bytes(out, index->name);
    buf_append_byte(out, (uint8_t)((index->is_unique ? INDEX_UNIQUE : 0) |
                                   (index->is_primary ? INDEX_PRIMARY : 0)));
    buf_append_varint(out, index->column_count);
    for (uint32_t i = 0; i < index->column_count; i++) {
        buf_append_varint(out, (uint64_t)index->columns[i] << 1 | index->is_descending[i]);
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
}

static void
relation_encode(struct buf *out, const struct relation *relation)
{
    buf_append_varint(out, relation->schema);
    buf_append_varint(out, relation->owner);
    buf_append_varint(out, relation->storage);
    buf_append_byte(out, (uint8_t)relation->kind);
    put_bytes(out, relation->name);
    put_bytes(out, relation->view_sql);
    sequence_encode(out, &relation->sequence);
    buf_append_varint(out, relation->column_count);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        column_encode(out, &relation->columns[i]);
    }
    buf_append_varint(out, relation->index_count);
    for (uint32_t i = 0; i < relation->index_count; i++) {
        index_encode(out, &relation->indexes[i]);
    }
    buf_append_varint(out, relation->check_count);
    for (uint32_t i = 0; i < relation->check_count; i++) {
        put_bytes(out, relation->checks[i].name);
        put_bytes(out, relation->checks[i].sql);
    }
}

/* ---- Decoding: a reader that stays at its end once something is wrong. ---- */

struct reader {
    const uint8_t *at, *end;
    struct arena *arena;
    bool is_bad;
};

static uint64_t
take_varint(struct reader *reader)
{
    uint64_t value = 0;
    size_t used = reader->is_bad ? 0 : get_varint(reader->at, reader->end, &value);

    reader->is_bad = used == 0;
    reader->at += used;
    return value;
}

static int64_t
take_signed(struct reader *reader)
{
    uint64_t zigzag = take_varint(reader);

    return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

static uint8_t
take_byte(struct reader *reader)
{
    if (reader->is_bad || reader->at == reader->end) {
        reader->is_bad = true;
        return 0;
    }
    return *reader->at++;
}

static struct slice
take_bytes(struct reader *reader)
{
    uint64_t size = take_varint(reader);
    struct slice bytes;

    if (reader->is_bad || size > (uint64_t)(reader->end - reader->at)) {
        reader->is_bad = true;
        return slice_of(NULL, 0);
    }
    bytes = arena_copy(reader->arena, slice_of(reader->at, size));
    reader->at += size;
    return bytes;
}

static uint16_t
take_count(struct reader *reader, uint64_t max)
{
    uint64_t count = take_varint(reader);

    if (count > max) {
        reader->is_bad = true;
    }
    return reader->is_bad ? 0 : (uint16_t)count;
}

static void
column_decode(struct reader *reader, struct column *column)
{
    uint8_t flags;

    column->name = take_bytes(reader);
    column->type = type_by_oid((oid_t)take_varint(reader));
    column->typmod = (int32_t)take_signed(reader);
    flags = take_byte(reader);
    column->is_not_null = (flags & COLUMN_NOT_NULL) != 0;
    column->is_dropped = (flags & COLUMN_DROPPED) != 0;
    column->is_generated = (flags & COLUMN_GENERATED) != 0;
    column->identity = (char)take_byte(reader);
    column->default_sql = take_bytes(reader);
    reader->is_bad = reader->is_bad || column->type == NULL;
}

static void
index_decode(struct reader *reader, struct index *index, uint16_t column_count)
{
    uint8_t flags;

    index->oid = (oid_t)take_varint(reader);
    index->storage = (uint32_t)take_varint(reader);
    index->name = take_bytes(reader);
    flags = take_byte(reader);
    index->is_unique = (flags & INDEX_UNIQUE) != 0;
    index->is_primary = (flags & INDEX_PRIMARY) != 0;
    index->column_count = take_count(reader, INDEX_COLUMNS_MAX);
    for (uint32_t i = 0; i < index->column_count; i++) {
        uint64_t packed = take_varint(reader);

        index->columns[i] = (uint16_t)(packed >> 1);
        index->is_descending[i] = (packed & 1) != 0;
        reader->is_bad = reader->is_bad || packed >> 1 >= column_count;
    }
}

static void
sequence_decode(struct reader *reader, struct sequence *sequence)
{
    sequence->start = take_signed(reader);
    sequence->increment = take_signed(reader);
    sequence->min = take_signed(reader);
    sequence->max = take_signed(reader);
    sequence->cache = take_signed(reader);
    sequence->is_cycled = take_byte(reader) != 0;
    sequence->type = (oid_t)take_varint(reader);
}

static void *
zeroed(struct arena *arena, size_t size)
{
    void *memory = arena_alloc(arena, size);

    memset(memory, 0, size);
    return memory;
}

static void
primary_find(struct relation *relation)
{
    relation->primary = NULL;
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (relation->indexes[i].is_primary) {
            relation->primary = &relation->indexes[i];
        }
    }
}

static err_t
relation_decode(struct slice stored, oid_t oid, struct arena *arena, struct relation *out)
{
    struct reader reader = {stored.data, stored.data + stored.size, arena, false};

    *out = (struct relation){.oid = oid};
    out->schema = (oid_t)take_varint(&reader);
    out->owner = (oid_t)take_varint(&reader);
    out->storage = (uint32_t)take_varint(&reader);
    out->kind = (char)take_byte(&reader);
    out->name = take_bytes(&reader);
    out->view_sql = take_bytes(&reader);
    sequence_decode(&reader, &out->sequence);
    out->column_count = take_count(&reader, RELATION_COLUMNS_MAX);
    out->columns = zeroed(arena, out->column_count * sizeof(*out->columns));
    for (uint32_t i = 0; i < out->column_count; i++) {
        column_decode(&reader, &out->columns[i]);
    }
    out->index_count = take_count(&reader, UINT16_MAX);
    out->index_count = reader.is_bad ? 0 : out->index_count;
    out->indexes = zeroed(arena, out->index_count * sizeof(*out->indexes));
    for (uint32_t i = 0; i < out->index_count; i++) {
        index_decode(&reader, &out->indexes[i], out->column_count);
    }
    out->check_count = take_count(&reader, UINT16_MAX);
    out->checks = zeroed(arena, out->check_count * sizeof(*out->checks));
    for (uint32_t i = 0; i < out->check_count; i++) {
        out->checks[i].name = take_bytes(&reader);
        out->checks[i].sql = take_bytes(&reader);
    }
    primary_find(out);
    if (reader.is_bad || reader.at != reader.end) {
        return err_set(ERR_CORRUPT, "the catalog's entry of relation %u is malformed", oid);
    }
    return ERR_OK;
}

/* ---- The tree ---- */

static struct catalog *
catalog_new(void)
{
    struct catalog *catalog = MEM_NEW(MEM_RUNTIME, struct catalog);

    catalog->references = 1;
    catalog->next_oid = OID_FIRST_USER;
    catalog->next_storage = 1;
    arena_init(&catalog->arena, MEM_RUNTIME);
    return catalog;
}

struct catalog *
catalog_hold(struct catalog *catalog)
{
    ASSERT(catalog->references > 0);
    catalog->references++;
    return catalog;
}

void
catalog_drop(struct catalog **catalog)
{
    struct catalog *dropped = *catalog;

    *catalog = NULL;
    if (dropped == NULL || --dropped->references > 0) {
        return;
    }
    arena_fini(&dropped->arena);
    MEM_FREE(MEM_RUNTIME, dropped);
}

static uint32_t
relation_place(const struct catalog *catalog, oid_t oid)
{
    uint32_t low = 0, high = catalog->relation_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (catalog->relations[middle]->oid < oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
relations_grow(struct catalog *catalog)
{
    uint32_t capacity = MAX((uint32_t)RELATIONS_FIRST, catalog->relation_capacity * 2);
    struct relation **grown;

    if (catalog->relation_count < catalog->relation_capacity) {
        return;
    }
    grown = arena_alloc(&catalog->arena, capacity * sizeof(struct relation *));
    ASSERT(grown != NULL);
    if (catalog->relation_count > 0) {
        memcpy(grown, catalog->relations, catalog->relation_count * sizeof(struct relation *));
    }
    catalog->relations = grown;
    catalog->relation_capacity = capacity;
}

static void
relation_insert(struct catalog *catalog, struct relation *relation)
{
    uint32_t place = relation_place(catalog, relation->oid);

    if (place < catalog->relation_count && catalog->relations[place]->oid == relation->oid) {
        catalog->relations[place] = relation;
        return;
    }
    relations_grow(catalog);
    memmove(catalog->relations + place + 1, catalog->relations + place,
            (catalog->relation_count - place) * sizeof(struct relation *));
    catalog->relations[place] = relation;
    catalog->relation_count++;
}

static struct relation *
relation_copy(struct arena *arena, const struct relation *from)
{
    struct relation *to = arena_alloc(arena, sizeof(*to));
    size_t columns = from->column_count * sizeof(struct column);
    size_t indexes = from->index_count * sizeof(struct index);
    size_t checks = from->check_count * sizeof(struct check);

    *to = *from;
    to->name = arena_copy(arena, from->name);
    to->view_sql = arena_copy(arena, from->view_sql);
    to->columns =
        (struct column *)(uintptr_t)arena_copy(arena, slice_of(from->columns, columns)).data;
    for (uint32_t i = 0; i < to->column_count; i++) {
        to->columns[i].name = arena_copy(arena, from->columns[i].name);
        to->columns[i].default_sql = arena_copy(arena, from->columns[i].default_sql);
    }
    to->indexes =
        (struct index *)(uintptr_t)arena_copy(arena, slice_of(from->indexes, indexes)).data;
    for (uint32_t i = 0; i < to->index_count; i++) {
        to->indexes[i].name = arena_copy(arena, from->indexes[i].name);
    }
    to->checks = (struct check *)(uintptr_t)arena_copy(arena, slice_of(from->checks, checks)).data;
    for (uint32_t i = 0; i < to->check_count; i++) {
        to->checks[i].name = arena_copy(arena, from->checks[i].name);
        to->checks[i].sql = arena_copy(arena, from->checks[i].sql);
    }
    primary_find(to);
    return to;
}

static void
schema_insert(struct catalog *catalog, const struct schema *schema)
{
    struct schema *grown =
        arena_alloc(&catalog->arena, (catalog->schema_count + 1) * sizeof(*grown));

    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        grown[i] = catalog->schemas[i];
    }
    grown[catalog->schema_count] = *schema;
    grown[catalog->schema_count].name = arena_copy(&catalog->arena, schema->name);
    catalog->schemas = grown;
    catalog->schema_count++;
}

struct catalog *
catalog_clone(const struct catalog *catalog)
{
    struct catalog *clone = catalog_new();

    clone->version = catalog->version;
    clone->next_oid = catalog->next_oid;
    clone->next_storage = catalog->next_storage;
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        schema_insert(clone, &catalog->schemas[i]);
    }
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        relation_insert(clone, relation_copy(&clone->arena, catalog->relations[i]));
    }
    return clone;
}

/* ---- Lookup ---- */

const struct schema *
catalog_schema(const struct catalog *catalog, struct slice name)
{
    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (slice_equal(catalog->schemas[i].name, name)) {
            return &catalog->schemas[i];
        }
    }
    return NULL;
}

const struct relation *
catalog_relation(const struct catalog *catalog, oid_t schema, struct slice name)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        if (relation->schema == schema && slice_equal(relation->name, name)) {
            return relation;
        }
    }
    return NULL;
}

const struct relation *
catalog_relation_by_oid(const struct catalog *catalog, oid_t oid)
{
    uint32_t place = relation_place(catalog, oid);

    return place < catalog->relation_count && catalog->relations[place]->oid == oid
               ? catalog->relations[place]
               : NULL;
}

const struct relation *
catalog_index(const struct catalog *catalog, oid_t schema, struct slice name,
              const struct index **index_out)
{
    for (uint32_t i = 0; i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        for (uint32_t j = 0; relation->schema == schema && j < relation->index_count; j++) {
            if (slice_equal(relation->indexes[j].name, name)) {
                *index_out = &relation->indexes[j];
                return relation;
            }
        }
    }
    return NULL;
}

/* ---- Changes ---- */

oid_t
catalog_oid_take(struct catalog *catalog)
{
    return catalog->next_oid++;
}

uint32_t
catalog_storage_take(struct catalog *catalog)
{
    return catalog->next_storage++;
}

void
catalog_relation_put(struct catalog *catalog, struct txn *txn, const struct relation *relation)
{
    struct relation *copy = relation_copy(&catalog->arena, relation);
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    relation_insert(catalog, copy);
    buf_init(&encoded, MEM_RUNTIME);
    relation_encode(&encoded, copy);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CLASS_RELATION, relation->oid), buf_slice(&encoded),
            0);
    buf_fini(&encoded);
}

void
catalog_relation_delete(struct catalog *catalog, struct txn *txn, oid_t oid)
{
    uint32_t place = relation_place(catalog, oid);
    uint8_t key[ENTRY_KEY_BYTES];

    ASSERT(place < catalog->relation_count);
    ASSERT(catalog->relations[place]->oid == oid);
    catalog->relation_count--;
    memmove(catalog->relations + place, catalog->relations + place + 1,
            (catalog->relation_count - place) * sizeof(struct relation *));
    txn_delete(txn, CATALOG_SLOT, entry_key(key, CLASS_RELATION, oid));
}

static void
schema_write(struct txn *txn, const struct schema *schema)
{
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    buf_init(&encoded, MEM_RUNTIME);
    buf_append_varint(&encoded, schema->owner);
    buf_append(&encoded, schema->name.data, schema->name.size);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CLASS_SCHEMA, schema->oid), buf_slice(&encoded), 0);
    buf_fini(&encoded);
}

void
catalog_schema_put(struct catalog *catalog, struct txn *txn, const struct schema *schema)
{
    schema_insert(catalog, schema);
    schema_write(txn, schema);
}

void
catalog_schema_delete(struct catalog *catalog, struct txn *txn, oid_t oid)
{
    uint8_t key[ENTRY_KEY_BYTES];
    uint32_t kept = 0;

    for (uint32_t i = 0; i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid != oid) {
            catalog->schemas[kept++] = catalog->schemas[i];
        }
    }
    catalog->schema_count = kept;
    txn_delete(txn, CATALOG_SLOT, entry_key(key, CLASS_SCHEMA, oid));
}

err_t
catalog_version_put(struct catalog *catalog, struct txn *txn)
{
    uint8_t key[ENTRY_KEY_BYTES];
    struct buf encoded;

    for (uint32_t i = 0; catalog->version == 0 && i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid == OID_SCHEMA_PUBLIC) {
            schema_write(txn, &catalog->schemas[i]);
        }
    }
    catalog->version++;
    buf_init(&encoded, MEM_RUNTIME);
    buf_append_varint(&encoded, catalog->version);
    buf_append_varint(&encoded, catalog->next_oid);
    buf_append_varint(&encoded, catalog->next_storage);
    txn_put(txn, CATALOG_SLOT, entry_key(key, CLASS_VERSION, 0), buf_slice(&encoded), 0);
    buf_fini(&encoded);
    return txn_flush(txn);
}

/* ---- Loading ---- */

static err_t
version_decode(struct slice stored, struct catalog *catalog)
{
    struct reader reader = {stored.data, stored.data + stored.size, &catalog->arena, false};

    catalog->version = take_varint(&reader);
    catalog->next_oid = (oid_t)take_varint(&reader);
    catalog->next_storage = (uint32_t)take_varint(&reader);
    return reader.is_bad ? err_set(ERR_CORRUPT, "the catalog's version is malformed") : ERR_OK;
}

static err_t
schema_decode(struct slice stored, oid_t oid, struct catalog *catalog)
{
    struct reader reader = {stored.data, stored.data + stored.size, &catalog->arena, false};
    struct schema schema = {.oid = oid, .owner = (oid_t)take_varint(&reader)};

    schema.name = slice_of(reader.at, (size_t)(reader.end - reader.at));
    if (reader.is_bad) {
        return err_set(ERR_CORRUPT, "the catalog's entry of schema %u is malformed", oid);
    }
    schema_insert(catalog, &schema);
    return ERR_OK;
}

static err_t
entry_load(struct catalog *catalog, struct slice key, struct slice value)
{
    struct relation *relation;
    oid_t oid;
    err_t err;

    if (key.size != ENTRY_KEY_BYTES) {
        return err_set(ERR_CORRUPT, "a key of the catalog has %zu bytes", key.size);
    }
    oid = get_be32(key.data + STORAGE_PREFIX_BYTES + 1);
    switch (key.data[STORAGE_PREFIX_BYTES]) {
    case CLASS_VERSION:
        return version_decode(value, catalog);
    case CLASS_SCHEMA:
        return schema_decode(value, oid, catalog);
    case CLASS_RELATION:
        relation = arena_alloc(&catalog->arena, sizeof(*relation));
        err = relation_decode(value, oid, &catalog->arena, relation);
        if (err == ERR_OK) {
            relation_insert(catalog, relation);
        }
        return err;
    default:
        return err_set(ERR_CORRUPT, "an entry of the catalog has the unknown class %u",
                       key.data[STORAGE_PREFIX_BYTES]);
    }
}

static void
initial_add(struct catalog *catalog)
{
    const struct schema pg_catalog = {
        .oid = OID_SCHEMA_CATALOG, .owner = 10, .name = SLICE("pg_catalog")};
    const struct schema public = {.oid = OID_SCHEMA_PUBLIC, .owner = 10, .name = SLICE("public")};

    schema_insert(catalog, &pg_catalog);
    if (catalog->version == 0) {
        schema_insert(catalog, &public);
    }
}

err_t
catalog_load(struct txn *txn, struct catalog **catalog_out)
{
    struct catalog *catalog = catalog_new();
    uint8_t lower[STORAGE_PREFIX_BYTES], upper[STORAGE_PREFIX_BYTES];
    struct txn_scan *scan = NULL;
    err_t err;

    storage_prefix(lower, CATALOG_STORAGE);
    storage_prefix(upper, CATALOG_STORAGE + 1);
    TRY(txn_scan_open(txn, CATALOG_SLOT, slice_of(lower, sizeof(lower)),
                      slice_of(upper, sizeof(upper)), &scan));
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan);
         err = txn_scan_next(scan)) {
        const struct lsm_entry *entry = txn_scan_entry(scan);
        struct slice value;

        TRY(txn_scan_value(scan, &catalog->arena, &value));
        TRY(entry_load(catalog, entry->key, value));
    }
    if (err == ERR_OK) {
        initial_add(catalog);
        *catalog_out = catalog;
        catalog = NULL;
    }
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    catalog_drop(&catalog);
    return err;
}
