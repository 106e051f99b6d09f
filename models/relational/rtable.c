/* models/relational/rtable.c - rows and index entries: encoding, change, constraints of keys. */
#include "models/relational/rtable.h"

#include <stdlib.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- Keys ----
 *
 * A value in a key: 1 and the type's key bytes, or 2 for null (so nulls sort last); of a descending
 * column all of it complemented (nulls first). Where nulls are to lie at the other end it is 0. */

enum { KEY_NULL_BEFORE = 0, KEY_VALUE = 1, KEY_NULL = 2 };

void
rtable_key_value_put(const struct type *type, struct datum value, bool is_null, bool is_descending,
                     struct buf *out)
{
    size_t start = out->size;

    buf_append_byte(out, is_null ? KEY_NULL : KEY_VALUE);
    if (!is_null) {
        type_key_put(type, value, out);
    }
    for (size_t i = start; is_descending && i < out->size; i++) {
        out->data[i] = (uint8_t)~out->data[i];
    }
}

uint16_t
rtable_slot(struct slice key)
{
    return crc16(key) % SLOT_COUNT;
}

static void
null_put(const struct index *index, uint32_t part, struct buf *out)
{
    uint8_t flag =
        index->nulls_first[part] == index->is_descending[part] ? KEY_NULL : KEY_NULL_BEFORE;

    buf_append_byte(out, index->is_descending[part] ? (uint8_t)~flag : flag);
}

/* True: a null is among them. */
static bool
index_values_put(const struct relation *relation, const struct index *index, const struct row *row,
                 struct buf *out)
{
    bool has_null = false;

    for (uint32_t i = 0; i < index->column_count; i++) {
        uint32_t place = relation_place(relation, index->columns[i]);

        if (row->nulls[place] != 0) {
            has_null = true;
            null_put(index, i, out);
        } else {
            rtable_key_value_put(relation_place_type(relation, index->columns[i]),
                                 row->values[place], false, index->is_descending[i], out);
        }
    }
    return has_null;
}

bool
rtable_index_key_put(const struct relation *relation, const struct index *index,
                     const struct row *row, struct buf *out)
{
    return index_values_put(relation, index, row, out);
}

/* Is there an entry for the row at all? */
static bool
index_takes(const struct relation *relation, const struct index *index, const struct row *row)
{
    uint32_t place;

    if (index->predicate == 0) {
        return true;
    }
    place = relation_place(relation, index->predicate);
    return row->nulls[place] == 0 && row->values[place].i != 0;
}

void
rtable_key_put(const struct relation *relation, const struct row *row, struct buf *out)
{
    ASSERT(relation->primary != NULL);
    (void)index_values_put(relation, relation->primary, row, out);
}

static void
prefix_append(struct buf *out, uint32_t storage)
{
    uint8_t prefix[STORAGE_PREFIX_BYTES];

    storage_prefix(prefix, storage);
    buf_append(out, prefix, sizeof(prefix));
}

/* The whole stored key, from the part behind the prefix. */
static void
stored_key(struct buf *out, uint32_t storage, struct slice key)
{
    buf_clear(out);
    prefix_append(out, storage);
    buf_append(out, key.data, key.size);
}

/* ---- Rows: number of columns, a bit for each that is null, the others one after the other. Those
 * of varying length have it in front. ---- */

static bool
is_fixed(const struct type *type)
{
    return type->rep == REP_INT || type->rep == REP_FLOAT || type->rep == REP_INTERVAL ||
           type->rep == REP_TIMETZ;
}

static size_t
fixed_bytes(const struct type *type)
{
    return (size_t)type->length;
}

static void
row_encode(const struct relation *relation, const struct row *row, struct buf *out)
{
    size_t bits;
    struct buf varying;

    buf_clear(out);
    buf_append_varint(out, relation->column_count);
    bits = out->size;
    memset(buf_reserve(out, (relation->column_count + 7U) / 8), 0,
           (relation->column_count + 7U) / 8);
    out->size += (relation->column_count + 7U) / 8;
    buf_init(&varying, out->tag);
    for (uint32_t i = 0; i < relation->column_count; i++) {
        const struct type *type = relation->columns[i].type;

        if (row->nulls[i] != 0 || relation->columns[i].is_dropped) {
            out->data[bits + i / 8] |= (uint8_t)(1U << i % 8);
        } else if (is_fixed(type)) {
            type_row_put(type, row->values[i], out);
        } else {
            buf_clear(&varying);
            type_row_put(type, row->values[i], &varying);
            buf_append_varint(out, varying.size);
            buf_append(out, varying.data, varying.size);
        }
    }
    buf_fini(&varying);
}

/* Walks the values of a stored row. */
struct row_reader {
    const struct relation *relation;
    const uint8_t *at, *end, *bits;
    uint32_t stored; /* Columns that it has: later ones came with ALTER TABLE. */
    uint32_t column; /* The next. */
};

static err_t
row_corrupt(const struct relation *relation)
{
    return err_set(ERR_CORRUPT, "a stored row of \"%.*s\" is malformed", (int)relation->name.size,
                   (const char *)relation->name.data);
}

static err_t
row_reader_open(struct row_reader *reader, const struct relation *relation, struct slice stored)
{
    uint64_t count;
    size_t used = get_varint(stored.data, stored.data + stored.size, &count);

    *reader = (struct row_reader){
        .relation = relation,
        .bits = stored.data + used,
        .end = stored.data + stored.size,
    };
    if (used == 0 || count > relation->column_count || stored.size - used < (count + 7) / 8) {
        return row_corrupt(relation);
    }
    reader->stored = (uint32_t)count;
    reader->at = reader->bits + (count + 7) / 8;
    return ERR_OK;
}

/* The bytes of the next column; *is_null_out: there are none. */
static err_t
row_reader_next(struct row_reader *reader, struct slice *bytes_out, bool *is_null_out)
{
    uint32_t column = reader->column++;
    const struct type *type = reader->relation->columns[column].type;
    uint64_t size;

    if (column >= reader->stored) { /* It was added after the row was written. */
        *is_null_out = !reader->relation->columns[column].has_missing;
        *bytes_out = reader->relation->columns[column].missing;
        return ERR_OK;
    }
    *is_null_out = (reader->bits[column / 8] >> column % 8 & 1) != 0;
    if (*is_null_out) {
        return ERR_OK;
    }
    if (is_fixed(type)) {
        size = fixed_bytes(type);
    } else {
        size_t used = get_varint(reader->at, reader->end, &size);

        if (used == 0) {
            return row_corrupt(reader->relation);
        }
        reader->at += used;
    }
    if (size > (uint64_t)(reader->end - reader->at)) {
        return row_corrupt(reader->relation);
    }
    *bytes_out = slice_of(reader->at, size);
    reader->at += size;
    return ERR_OK;
}

/* ---- Keys that a statement has written ---- */

enum { WRITES_FIRST = 64 };

enum written { WRITTEN_NOT, WRITTEN_THERE, WRITTEN_GONE, SEEN_FREE };

/* An open hash table of hashes of stored keys: with 128 bits there is no other key. */
struct write_entry {
    XXH128_hash_t hash;
    bool is_used;
    uint8_t written; /* enum written */
};
struct rtable_writes {
    struct write_entry *entries;
    size_t capacity, count;
};

struct rtable_writes *
rtable_writes_new(void)
{
    return MEM_NEW(MEM_SESSIONS, struct rtable_writes);
}

void
rtable_writes_free(struct rtable_writes **writes)
{
    if (*writes != NULL) {
        mem_free(MEM_SESSIONS, (*writes)->entries,
                 (*writes)->capacity * sizeof(struct write_entry));
        MEM_FREE(MEM_SESSIONS, *writes);
    }
}

static struct write_entry *
writes_find(const struct rtable_writes *writes, XXH128_hash_t hash)
{
    size_t at = hash.low64 & (writes->capacity - 1);

    while (writes->entries[at].is_used && !XXH128_isEqual(writes->entries[at].hash, hash)) {
        at = (at + 1) & (writes->capacity - 1);
    }
    return &writes->entries[at];
}

static void
writes_grow(struct rtable_writes *writes)
{
    struct rtable_writes grown = {.capacity = MAX((size_t)WRITES_FIRST, writes->capacity * 2)};

    grown.entries = mem_zalloc(MEM_SESSIONS, grown.capacity * sizeof(struct write_entry));
    for (size_t i = 0; i < writes->capacity; i++) {
        if (writes->entries[i].is_used) {
            *writes_find(&grown, writes->entries[i].hash) = writes->entries[i];
        }
    }
    mem_free(MEM_SESSIONS, writes->entries, writes->capacity * sizeof(struct write_entry));
    writes->entries = grown.entries;
    writes->capacity = grown.capacity;
}

static void
writes_note(struct rtable_writes *writes, struct slice key, enum written written)
{
    XXH128_hash_t hash = XXH3_128bits(key.data, key.size);
    struct write_entry *entry;

    if (writes->count * 2 >= writes->capacity) {
        writes_grow(writes);
    }
    entry = writes_find(writes, hash);
    writes->count += !entry->is_used;
    *entry = (struct write_entry){.hash = hash, .is_used = true, .written = (uint8_t)written};
}

static enum written
writes_ask(const struct rtable_writes *writes, struct slice key)
{
    const struct write_entry *entry;

    if (writes->count == 0) {
        return WRITTEN_NOT;
    }
    entry = writes_find(writes, XXH3_128bits(key.data, key.size));
    return entry->is_used ? (enum written)entry->written : WRITTEN_NOT;
}

/* ---- Constraints of keys ---- */

void
rtable_key_describe(const struct relation *relation, const struct index *index,
                    const struct row *row, struct buf *out)
{
    buf_append(out, "Key (", 5);
    for (uint32_t i = 0; i < index->column_count; i++) {
        uint16_t part = index->columns[i];
        struct slice name = part < INDEX_EXPRESSION
                                ? relation->columns[part].name
                                : relation->virtuals[part - INDEX_EXPRESSION].sql;

        buf_printf(out, "%s%.*s", i > 0 ? ", " : "", (int)name.size, (const char *)name.data);
    }
    buf_append(out, ")=(", 3);
    for (uint32_t i = 0; i < index->column_count; i++) {
        uint32_t column = relation_place(relation, index->columns[i]);
        const struct type *type = relation_place_type(relation, index->columns[i]);

        buf_append(out, ", ", i > 0 ? 2 : 0);
        if (row->nulls[column] != 0) {
            buf_append(out, "null", 4);
        } else {
            type->output(type, &type_settings_default, row->values[column], out);
        }
    }
    buf_append_byte(out, ')');
}

static err_t
duplicate(const struct relation *relation, const struct index *index, const struct row *row)
{
    struct buf detail;
    err_t err;

    (void)sql_error("23505", "duplicate key value violates unique constraint \"%.*s\"",
                    (int)index->name.size, (const char *)index->name.data);
    buf_init(&detail, MEM_SESSIONS);
    rtable_key_describe(relation, index, row, &detail);
    err = sql_detail("%.*s already exists.", (int)detail.size, (const char *)detail.data);
    buf_fini(&detail);
    return err;
}

/* What lies under a stored key now, as this statement has it. */
static err_t
key_is_taken(struct txn *txn, struct slice key, uint16_t slot, struct rtable_writes *writes,
             struct arena *arena, struct lsm_value *value_out)
{
    enum written written = writes_ask(writes, key);

    *value_out = (struct lsm_value){.is_found = written == WRITTEN_THERE};
    return written == WRITTEN_NOT ? txn_get(txn, slot, key, arena, value_out) : ERR_OK;
}

/* ---- Index entries ---- */

struct index_entry {
    struct buf key; /* Stored. */
    uint16_t slot;
    bool is_global; /* Unique without a null: the value is the row's key. */
};

static void
index_entry_make(const struct relation *relation, const struct index *index, struct slice row_key,
                 const struct row *row, struct index_entry *entry)
{
    bool has_null;

    buf_clear(&entry->key);
    prefix_append(&entry->key, index->storage);
    has_null = index_values_put(relation, index, row, &entry->key);
    entry->is_global =
        index->is_unique && !index->is_deferrable && (!has_null || index->nulls_equal);
    if (entry->is_global) {
        entry->slot = rtable_slot(slice_of(entry->key.data + STORAGE_PREFIX_BYTES,
                                           entry->key.size - STORAGE_PREFIX_BYTES));
    } else {
        buf_append(&entry->key, row_key.data, row_key.size);
        entry->slot = rtable_slot(row_key);
    }
}

/* The value of an entry: ENTRY_LOCAL and the length of the row's key, which ends the entry's; or
 * ENTRY_GLOBAL and the row's key. */
enum { ENTRY_LOCAL = 0, ENTRY_GLOBAL = 1 };

static void
index_entry_put(struct txn *txn, const struct index_entry *entry, struct slice row_key,
                struct buf *value)
{
    buf_clear(value);
    buf_append_byte(value, entry->is_global ? ENTRY_GLOBAL : ENTRY_LOCAL);
    if (entry->is_global) {
        buf_append(value, row_key.data, row_key.size);
    } else {
        buf_append_varint(value, row_key.size);
    }
    txn_put(txn, entry->slot, buf_slice(&entry->key), buf_slice(value), 0);
}

static err_t
index_row_with(struct txn *txn, const struct relation *relation, const struct index *index,
               struct slice row_key, const struct row *row, struct rtable_writes *writes,
               struct arena *arena, struct index_entry *entry)
{
    struct lsm_value taken;
    struct buf value;
    err_t err = ERR_OK;

    if (!index_takes(relation, index, row)) {
        return ERR_OK;
    }
    index_entry_make(relation, index, row_key, row, entry);
    if (entry->key.size > LSM_KEY_BYTES_MAX) {
        return sql_error("54000", "index row size %zu exceeds the maximum %d for index \"%.*s\"",
                         entry->key.size, LSM_KEY_BYTES_MAX, (int)index->name.size,
                         (const char *)index->name.data);
    }
    if (entry->is_global) {
        TRY(key_is_taken(txn, buf_slice(&entry->key), entry->slot, writes, arena, &taken));
        if (taken.is_found) {
            err = duplicate(relation, index, row);
            goto out;
        }
        writes_note(writes, buf_slice(&entry->key), WRITTEN_THERE);
    }
    buf_init(&value, MEM_SESSIONS);
    index_entry_put(txn, entry, row_key, &value);
    buf_fini(&value);
out:
    return err;
}

err_t
rtable_index_row(struct txn *txn, const struct relation *relation, const struct index *index,
                 struct slice row_key, const struct row *row, struct rtable_writes *writes)
{
    struct index_entry entry;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    buf_init(&entry.key, MEM_SESSIONS);
    err = index_row_with(txn, relation, index, row_key, row, writes, &arena, &entry);
    buf_fini(&entry.key);
    arena_fini(&arena);
    return err;
}

/* ---- Insert ---- */

/* What one change of a row works with. */
struct change {
    struct buf row_key, key, value;
    struct index_entry entry;
    struct arena arena;
};

static void
change_init(struct change *change)
{
    buf_init(&change->row_key, MEM_SESSIONS);
    buf_init(&change->key, MEM_SESSIONS);
    buf_init(&change->value, MEM_SESSIONS);
    buf_init(&change->entry.key, MEM_SESSIONS);
    arena_init(&change->arena, MEM_SESSIONS);
}

static void
change_fini(struct change *change)
{
    buf_fini(&change->row_key);
    buf_fini(&change->key);
    buf_fini(&change->value);
    buf_fini(&change->entry.key);
    arena_fini(&change->arena);
}

static err_t
row_put(struct txn *txn, const struct relation *relation, const struct row *row,
        struct change *change)
{
    if (change->row_key.size + STORAGE_PREFIX_BYTES > LSM_KEY_BYTES_MAX) {
        return sql_error("54000", "index row size %zu exceeds the maximum %d for index \"%.*s\"",
                         change->row_key.size, LSM_KEY_BYTES_MAX, (int)relation->primary->name.size,
                         (const char *)relation->primary->name.data);
    }
    row_encode(relation, row, &change->value);
    stored_key(&change->key, relation->storage, buf_slice(&change->row_key));
    txn_put(
        txn, rtable_slot(buf_slice(&change->row_key)), buf_slice(&change->key),
        slice_of(arena_copy(&change->arena, buf_slice(&change->value)).data, change->value.size),
        0);
    return ERR_OK;
}

static err_t
row_key_make(const struct relation *relation, const struct row *row, struct buf *out)
{
    uint8_t id_bytes[8];
    uint64_t id;
    err_t err;

    buf_clear(out);
    if (relation->primary != NULL) {
        rtable_key_put(relation, row, out);
        return ERR_OK;
    }
    err = rtable_id_take(&id);
    if (err == ERR_OK) {
        put_be64(id_bytes, id);
        buf_append(out, id_bytes, sizeof(id_bytes));
    }
    return err;
}

static err_t
primary_check(struct txn *txn, const struct relation *relation, const struct row *row,
              struct rtable_writes *writes, struct change *change)
{
    struct lsm_value taken;
    err_t err;

    if (relation->primary == NULL) {
        return ERR_OK;
    }
    stored_key(&change->key, relation->storage, buf_slice(&change->row_key));
    err = key_is_taken(txn, buf_slice(&change->key), rtable_slot(buf_slice(&change->row_key)),
                       writes, &change->arena, &taken);
    if (err == ERR_OK && taken.is_found) {
        err = duplicate(relation, relation->primary, row);
    }
    if (err == ERR_OK) {
        writes_note(writes, buf_slice(&change->key), WRITTEN_THERE);
    }
    return err;
}

/* Adds the key to those to look at, when the statement knows nothing of it. */
static void
look_add(struct txn_key *keys, uint32_t *count, struct slice key, uint16_t slot,
         const struct rtable_writes *writes, struct arena *arena)
{
    if (key.size <= LSM_KEY_BYTES_MAX && writes_ask(writes, key) == WRITTEN_NOT) {
        keys[(*count)++] = (struct txn_key){.slot = slot, .key = arena_copy(arena, key)};
    }
}

static bool
index_has_virtuals(const struct index *index)
{
    bool has = index->predicate != 0;

    for (uint32_t i = 0; i < index->column_count; i++) {
        has = has || index->columns[i] >= INDEX_EXPRESSION;
    }
    return has;
}

static void
look_row(const struct relation *relation, const struct row *row, const struct rtable_writes *writes,
         struct change *change, struct txn_key *keys, uint32_t *count)
{
    for (uint32_t i = 0; i < relation->index_count; i++) {
        const struct index *index = &relation->indexes[i];

        if (index_has_virtuals(index)) { /* They are computed row by row. */
            continue;
        }
        if (index == relation->primary) {
            buf_clear(&change->row_key);
            rtable_key_put(relation, row, &change->row_key);
            stored_key(&change->key, relation->storage, buf_slice(&change->row_key));
            look_add(keys, count, buf_slice(&change->key), rtable_slot(buf_slice(&change->row_key)),
                     writes, &change->arena);
        } else if (index->is_unique) {
            index_entry_make(relation, index, slice_of(NULL, 0), row, &change->entry);
            if (change->entry.is_global) {
                look_add(keys, count, buf_slice(&change->entry.key), change->entry.slot, writes,
                         &change->arena);
            }
        }
    }
}

err_t
rtable_look(struct txn *txn, const struct relation *relation, const struct row *rows,
            uint32_t count, struct rtable_writes *writes)
{
    struct change change;
    struct txn_key *keys;
    struct lsm_value *values;
    uint32_t found = 0;
    err_t err = ERR_OK;

    if (relation->index_count == 0) {
        return ERR_OK;
    }
    change_init(&change);
    keys = arena_alloc(&change.arena, (size_t)count * relation->index_count * sizeof(*keys));
    for (uint32_t i = 0; i < count; i++) {
        look_row(relation, &rows[i], writes, &change, keys, &found);
    }
    values = arena_alloc(&change.arena, (found + 1) * sizeof(*values));
    TRY(txn_multi_get(txn, keys, found, &change.arena, values));
    for (uint32_t i = 0; i < found; i++) {
        if (!values[i].is_found) {
            writes_note(writes, keys[i].key, SEEN_FREE);
        }
    }
out:
    change_fini(&change);
    return err;
}

err_t
rtable_insert(struct txn *txn, const struct relation *relation, const struct row *row,
              struct rtable_writes *writes)
{
    struct change change;
    err_t err;

    change_init(&change);
    TRY(row_key_make(relation, row, &change.row_key));
    TRY(primary_check(txn, relation, row, writes, &change));
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (&relation->indexes[i] != relation->primary) {
            TRY(index_row_with(txn, relation, &relation->indexes[i], buf_slice(&change.row_key),
                               row, writes, &change.arena, &change.entry));
        }
    }
    TRY(row_put(txn, relation, row, &change));
out:
    change_fini(&change);
    return err;
}

static err_t
conflict_of(struct txn *txn, const struct relation *relation, const struct index *index,
            const struct row *row, struct rtable_writes *writes, struct arena *arena,
            struct change *change, struct slice *found_out)
{
    struct lsm_value taken;
    err_t err;

    *found_out = slice_of(NULL, 0);
    if (!index_takes(relation, index, row)) {
        return ERR_OK;
    }
    if (index == relation->primary) {
        buf_clear(&change->row_key);
        rtable_key_put(relation, row, &change->row_key);
        stored_key(&change->key, relation->storage, buf_slice(&change->row_key));
        TRY(key_is_taken(txn, buf_slice(&change->key), rtable_slot(buf_slice(&change->row_key)),
                         writes, arena, &taken));
        *found_out =
            taken.is_found ? arena_copy(arena, buf_slice(&change->row_key)) : slice_of(NULL, 0);
        return ERR_OK;
    }
    index_entry_make(relation, index, slice_of(NULL, 0), row, &change->entry);
    if (!change->entry.is_global) {
        return ERR_OK;
    }
    TRY(key_is_taken(txn, buf_slice(&change->entry.key), change->entry.slot, writes, arena,
                     &taken));
    if (taken.is_found) {
        /* Written by this statement: the caller asks for no more than that it is there. */
        *found_out = taken.value.size > 1 ? slice_of(taken.value.data + 1, taken.value.size - 1)
                                          : arena_copy(arena, buf_slice(&change->entry.key));
    }
out:
    return err;
}

err_t
rtable_conflict_find(struct txn *txn, const struct relation *relation, const struct index *index,
                     const struct row *row, struct rtable_writes *writes, struct arena *arena,
                     struct slice *found_out, const struct index **index_out)
{
    struct change change;
    err_t err = ERR_OK;

    *found_out = slice_of(NULL, 0);
    change_init(&change);
    for (uint32_t i = 0; i < relation->index_count && found_out->size == 0; i++) {
        const struct index *candidate = &relation->indexes[i];

        if (candidate->is_unique && !candidate->is_deferrable &&
            (index == NULL || index->oid == candidate->oid)) {
            *index_out = candidate;
            TRY(conflict_of(txn, relation, candidate, row, writes, arena, &change, found_out));
        }
    }
out:
    change_fini(&change);
    return err;
}

/* ---- Delete and update ---- */

static void
index_row_remove(struct txn *txn, const struct relation *relation, const struct index *index,
                 struct slice row_key, const struct row *row, struct rtable_writes *writes,
                 struct index_entry *entry)
{
    if (!index_takes(relation, index, row)) {
        return;
    }
    index_entry_make(relation, index, row_key, row, entry);
    txn_delete(txn, entry->slot, buf_slice(&entry->key));
    if (entry->is_global) {
        writes_note(writes, buf_slice(&entry->key), WRITTEN_GONE);
    }
}

static void
row_remove(struct txn *txn, const struct relation *relation, struct slice row_key,
           struct rtable_writes *writes, struct buf *key)
{
    stored_key(key, relation->storage, row_key);
    txn_delete(txn, rtable_slot(row_key), buf_slice(key));
    if (relation->primary != NULL) {
        writes_note(writes, buf_slice(key), WRITTEN_GONE);
    }
}

void
rtable_delete(struct txn *txn, const struct relation *relation, struct slice row_key,
              const struct row *old, struct rtable_writes *writes)
{
    struct index_entry entry;
    struct buf key;

    buf_init(&key, MEM_SESSIONS);
    buf_init(&entry.key, MEM_SESSIONS);
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (&relation->indexes[i] != relation->primary) {
            index_row_remove(txn, relation, &relation->indexes[i], row_key, old, writes, &entry);
        }
    }
    row_remove(txn, relation, row_key, writes, &key);
    buf_fini(&entry.key);
    buf_fini(&key);
}

static bool
index_changes(const struct relation *relation, const struct index *index, const struct row *old,
              const struct row *new)
{
    if (index_takes(relation, index, old) != index_takes(relation, index, new)) {
        return true;
    }
    for (uint32_t i = 0; i < index->column_count; i++) {
        uint32_t column = relation_place(relation, index->columns[i]);
        const struct type *type = relation_place_type(relation, index->columns[i]);

        if (old->nulls[column] != new->nulls[column] ||
            (old->nulls[column] == 0 &&
             type->compare(type, old->values[column], new->values[column]) != 0)) {
            return true;
        }
    }
    return false;
}

err_t
rtable_update(struct txn *txn, const struct relation *relation, struct slice row_key,
              const struct row *old, const struct row *new, struct rtable_writes *writes)
{
    bool moves = relation->primary != NULL && index_changes(relation, relation->primary, old, new);
    struct change change;
    err_t err = ERR_OK;

    if (moves) {
        rtable_delete(txn, relation, row_key, old, writes);
        return rtable_insert(txn, relation, new, writes);
    }
    change_init(&change);
    buf_append(&change.row_key, row_key.data, row_key.size);
    for (uint32_t i = 0; i < relation->index_count; i++) {
        const struct index *index = &relation->indexes[i];

        if (index == relation->primary || !index_changes(relation, index, old, new)) {
            continue;
        }
        index_row_remove(txn, relation, index, row_key, old, writes, &change.entry);
        TRY(index_row_with(txn, relation, index, row_key, new, writes, &change.arena,
                           &change.entry));
    }
    TRY(row_put(txn, relation, new, &change));
out:
    change_fini(&change);
    return err;
}

void
rtable_storage_delete(struct txn *txn, uint32_t storage)
{
    uint8_t start[STORAGE_PREFIX_BYTES], end[STORAGE_PREFIX_BYTES];

    storage_prefix(start, storage);
    storage_prefix(end, storage + 1);
    txn_delete_range_all(txn, slice_of(start, sizeof(start)), slice_of(end, sizeof(end)));
}

void
rtable_truncate(struct txn *txn, const struct relation *relation)
{
    rtable_storage_delete(txn, relation->storage);
    for (uint32_t i = 0; i < relation->index_count; i++) {
        if (&relation->indexes[i] != relation->primary) {
            rtable_storage_delete(txn, relation->indexes[i].storage);
        }
    }
}

/* ---- Reading ---- */

/* Rows that an index scan fetches together: at first, doubled each time, and at most. */
enum { ROWS_AT_ONCE_FIRST = 16, ROWS_AT_ONCE_MAX = 1024 };

struct rtable_scan {
    struct txn *txn;
    const struct relation *relation;
    const struct index *index;
    const uint16_t *columns;
    uint32_t column_count;
    bool is_backward, is_point, is_started, is_ended;
    uint32_t rows_at_once;
    struct txn_scan *scan; /* NULL: of a point. */
    struct buf key;        /* The stored key of a point, then of what was fetched last. */
};

err_t
rtable_scan_open(struct txn *txn, const struct rtable_scan_options *options,
                 struct rtable_scan **scan_out)
{
    uint32_t storage = options->index == NULL || options->index->storage == 0
                           ? options->relation->storage
                           : options->index->storage;
    struct rtable_scan *scan = MEM_NEW(MEM_SESSIONS, struct rtable_scan);
    struct buf lower, upper;
    err_t err = ERR_OK;

    buf_init(&lower, MEM_SESSIONS);
    buf_init(&upper, MEM_SESSIONS);
    prefix_append(&lower, storage);
    buf_append(&lower, options->lower.data, options->lower.size);
    prefix_append(&upper, options->upper.size > 0 ? storage : storage + 1);
    buf_append(&upper, options->upper.data, options->upper.size);
    scan->txn = txn;
    scan->relation = options->relation;
    scan->index = options->index != NULL && options->index->storage == 0 ? NULL : options->index;
    scan->columns = options->columns;
    scan->column_count = options->column_count;
    scan->is_backward = options->is_backward;
    scan->is_point = options->is_point;
    scan->rows_at_once = ROWS_AT_ONCE_FIRST;
    buf_init(&scan->key, MEM_SESSIONS);
    if (scan->is_point) {
        buf_append(&scan->key, lower.data, lower.size);
    } else {
        err = txn_scan_open(txn, options->slot, buf_slice(&lower), buf_slice(&upper), &scan->scan);
    }
    buf_fini(&lower);
    buf_fini(&upper);
    if (err != ERR_OK) {
        rtable_scan_close(&scan);
        return err;
    }
    *scan_out = scan;
    return ERR_OK;
}

void
rtable_scan_close(struct rtable_scan **scan)
{
    if (*scan == NULL) {
        return;
    }
    if ((*scan)->scan != NULL) {
        txn_scan_close(&(*scan)->scan);
    }
    buf_fini(&(*scan)->key);
    MEM_FREE(MEM_SESSIONS, *scan);
}

static err_t
scan_step(struct rtable_scan *scan)
{
    if (!scan->is_started) {
        scan->is_started = true;
        return scan->is_backward ? txn_scan_last(scan->scan) : txn_scan_first(scan->scan);
    }
    return scan->is_backward ? txn_scan_previous(scan->scan) : txn_scan_next(scan->scan);
}

/* Decodes the columns that are wanted into row `at` of the vectors. */
static err_t
columns_decode(const struct relation *relation, const uint16_t *numbers, uint32_t count,
               struct slice stored, struct arena *arena, uint32_t at, struct vector *columns)
{
    struct row_reader reader;
    err_t err = row_reader_open(&reader, relation, stored);

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        uint16_t wanted = numbers[i];
        struct slice bytes = slice_of(NULL, 0);
        bool is_null = true;

        while (err == ERR_OK && reader.column <= wanted) {
            err = row_reader_next(&reader, &bytes, &is_null);
        }
        columns[i].nulls[at] = is_null;
        columns[i].values[at] = (struct datum){.bytes = slice_of(NULL, 0)};
        if (err == ERR_OK && !is_null) {
            err =
                type_row_get(relation->columns[wanted].type, bytes, arena, &columns[i].values[at]);
        }
    }
    return err;
}

static err_t
row_decode(const struct rtable_scan *scan, struct slice stored, struct arena *arena, uint32_t at,
           struct vector *columns)
{
    return columns_decode(scan->relation, scan->columns, scan->column_count, stored, arena, at,
                          columns);
}

/* The row's key that an index entry leads to. */
static err_t
entry_row_key(const struct rtable_scan *scan, struct slice key, struct slice value,
              struct slice *row_key_out)
{
    uint64_t length = 0;

    if (value.size > 1 && value.data[0] == ENTRY_GLOBAL) {
        *row_key_out = slice_of(value.data + 1, value.size - 1);
        return ERR_OK;
    }
    if (value.size < 2 || value.data[0] != ENTRY_LOCAL ||
        get_varint(value.data + 1, value.data + value.size, &length) != value.size - 1 ||
        length > key.size) {
        return row_corrupt(scan->relation);
    }
    *row_key_out = slice_of(key.data + key.size - length, length);
    return ERR_OK;
}

/* The row of a unique key: without a scan, as that would be two messages more. */
static err_t
point_next(struct rtable_scan *scan, struct arena *arena, struct vector *columns,
           struct slice *keys, uint32_t *count_out)
{
    struct slice row_key =
        slice_of(scan->key.data + STORAGE_PREFIX_BYTES, scan->key.size - STORAGE_PREFIX_BYTES);
    struct lsm_value value;
    err_t err;

    scan->is_ended = true;
    TRY(txn_get(scan->txn, rtable_slot(row_key), buf_slice(&scan->key), arena, &value));
    if (value.is_found && scan->index != NULL) {
        TRY(entry_row_key(scan, buf_slice(&scan->key), value.value, &row_key));
        stored_key(&scan->key, scan->relation->storage, row_key);
        TRY(txn_get(scan->txn, rtable_slot(row_key), buf_slice(&scan->key), arena, &value));
    }
    if (value.is_found) {
        if (keys != NULL) {
            keys[0] = arena_copy(arena, row_key);
        }
        TRY(row_decode(scan, value.value, arena, 0, columns));
        *count_out = 1;
    }
out:
    return err;
}

/* The next entries of an index, and then their rows, all at once: of few at first, as the one who
 * asks may need no more. */
static err_t
index_next(struct rtable_scan *scan, struct arena *arena, uint32_t rows, struct vector *columns,
           struct slice *keys, uint32_t *count_out)
{
    uint32_t wanted = MIN(rows, scan->rows_at_once), found = 0;
    struct txn_key *stored = arena_alloc(arena, wanted * sizeof(*stored));
    struct lsm_value *values = arena_alloc(arena, wanted * sizeof(*values));
    err_t err = ERR_OK;

    scan->rows_at_once = MIN(2 * scan->rows_at_once, (uint32_t)ROWS_AT_ONCE_MAX);
    while (found < wanted && !scan->is_ended) {
        struct slice value, row_key;

        TRY(scan_step(scan));
        scan->is_ended = !txn_scan_is_valid(scan->scan);
        if (scan->is_ended) {
            break;
        }
        TRY(txn_scan_value(scan->scan, arena, &value));
        TRY(entry_row_key(scan, txn_scan_entry(scan->scan)->key, value, &row_key));
        stored_key(&scan->key, scan->relation->storage, row_key);
        stored[found++] = (struct txn_key){.slot = rtable_slot(row_key),
                                           .key = arena_copy(arena, buf_slice(&scan->key))};
    }
    TRY(txn_multi_get(scan->txn, stored, found, arena, values));
    for (uint32_t i = 0; i < found; i++) {
        if (values[i].is_found) {
            if (keys != NULL) {
                keys[*count_out] = slice_of(stored[i].key.data + STORAGE_PREFIX_BYTES,
                                            stored[i].key.size - STORAGE_PREFIX_BYTES);
            }
            TRY(row_decode(scan, values[i].value, arena, (*count_out)++, columns));
        }
    }
out:
    return err;
}

static err_t
table_next(struct rtable_scan *scan, struct arena *arena, uint32_t rows, struct vector *columns,
           struct slice *keys, uint32_t *count_out)
{
    err_t err = ERR_OK;

    while (*count_out < rows) {
        struct slice stored, key;

        TRY(scan_step(scan));
        scan->is_ended = !txn_scan_is_valid(scan->scan);
        if (scan->is_ended) {
            break;
        }
        TRY(txn_scan_value(scan->scan, arena, &stored));
        key = txn_scan_entry(scan->scan)->key;
        if (keys != NULL) {
            keys[*count_out] = arena_copy(
                arena, slice_of(key.data + STORAGE_PREFIX_BYTES, key.size - STORAGE_PREFIX_BYTES));
        }
        TRY(row_decode(scan, stored, arena, (*count_out)++, columns));
    }
out:
    return err;
}

err_t
rtable_scan_next(struct rtable_scan *scan, struct arena *arena, uint32_t rows,
                 struct vector *columns, struct slice *keys, uint32_t *count_out)
{
    err_t err = ERR_OK;

    *count_out = 0;
    while (err == ERR_OK && *count_out == 0 && !scan->is_ended) {
        if (scan->is_point) {
            err = point_next(scan, arena, columns, keys, count_out);
        } else if (scan->index != NULL) {
            err = index_next(scan, arena, rows, columns, keys, count_out);
        } else {
            err = table_next(scan, arena, rows, columns, keys, count_out);
        }
    }
    return err;
}

err_t
rtable_fragments_open(struct txn *txn, const struct relation *relation, txn_fragment_fn fn,
                      const void *arg, struct txn_fragments **fragments_out)
{
    struct buf lower, upper;
    err_t err;

    buf_init(&lower, MEM_SESSIONS);
    buf_init(&upper, MEM_SESSIONS);
    prefix_append(&lower, relation->storage);
    prefix_append(&upper, relation->storage + 1);
    err = txn_fragments_open(txn, buf_slice(&lower), buf_slice(&upper), fn, arg, fragments_out);
    buf_fini(&lower);
    buf_fini(&upper);
    return err;
}

err_t
rtable_piece_next(struct txn_piece *piece, const struct relation *relation, const uint16_t *wanted,
                  uint32_t wanted_count, struct arena *arena, uint32_t rows, struct vector *columns,
                  uint32_t *count_out)
{
    err_t err = ERR_OK;

    *count_out = 0;
    while (*count_out < rows) {
        struct slice stored;
        bool is_end;

        TRY(txn_piece_next(piece, arena, &stored, &is_end));
        if (is_end) {
            break;
        }
        TRY(columns_decode(relation, wanted, wanted_count, stored, arena, (*count_out)++, columns));
    }
out:
    return err;
}

err_t
rtable_get(struct txn *txn, const struct relation *relation, struct slice row_key,
           struct arena *arena, struct row *row_out, bool *is_found_out)
{
    struct row_reader reader;
    struct lsm_value value;
    struct buf key;
    err_t err;

    buf_init(&key, MEM_SESSIONS);
    stored_key(&key, relation->storage, row_key);
    TRY(txn_get(txn, rtable_slot(row_key), buf_slice(&key), arena, &value));
    *is_found_out = value.is_found;
    if (!value.is_found) {
        goto out;
    }
    row_out->values = arena_alloc(arena, relation_width(relation) * sizeof(*row_out->values));
    row_out->nulls = arena_alloc(arena, relation_width(relation));
    TRY(row_reader_open(&reader, relation, value.value));
    for (uint32_t i = 0; i < relation->column_count; i++) {
        struct slice bytes;
        bool is_null;

        TRY(row_reader_next(&reader, &bytes, &is_null));
        row_out->nulls[i] = is_null;
        if (!is_null) {
            TRY(type_row_get(relation->columns[i].type, bytes, arena, &row_out->values[i]));
        }
    }
out:
    buf_fini(&key);
    return err;
}
