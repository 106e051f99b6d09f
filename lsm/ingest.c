/* lsm/ingest.c - see ingest.h. */
#include "lsm/ingest.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"
#include "lsm/internal.h"

#include "engine/base/poison.h"

#define INGEST_MAGIC UINT64_C(0x6c736d2d696e6773)

enum { WORK_UNITS_PER_ROW = 2 };

struct lsm_ingest {
    uint64_t magic;
    struct lsm *lsm;
    struct lsm_table **tables; /* Finished and opened; pinned. */
    uint32_t count, capacity;
    uint64_t rows;
    bool is_finished; /* No more rows. */
    bool is_applied;  /* The tables are the version's. */
    bool is_kept;     /* The files stay in any case. */

    /* The table being written. */
    struct table_writer *writer; /* NULL: none. */
    uint64_t file_number;
    struct buf last_key; /* Of all rows so far. */
    struct vlog_pointer *pointers;
    uint32_t pointer_count, pointer_capacity; /* Held until the table refers to their files. */
    struct vlog_uses given;                   /* Of values that were in a value log before. */
};

struct lsm_ingest *
lsm_ingest_new(struct lsm *lsm)
{
    struct lsm_ingest *ingest = MEM_NEW(MEM_BACKGROUND, struct lsm_ingest);

    OBJ_CHECK(lsm, LSM_MAGIC);
    ingest->magic = INGEST_MAGIC;
    ingest->lsm = lsm;
    buf_init(&ingest->last_key, MEM_BACKGROUND);
    return ingest;
}

uint32_t
lsm_ingest_table_count(const struct lsm_ingest *ingest)
{
    OBJ_CHECK(ingest, INGEST_MAGIC);
    return ingest->count;
}

struct lsm_table *
lsm_ingest_table(const struct lsm_ingest *ingest, uint32_t index)
{
    OBJ_CHECK(ingest, INGEST_MAGIC);
    ASSERT(index < ingest->count);
    return ingest->tables[index];
}

uint64_t
lsm_ingest_rows(const struct lsm_ingest *ingest)
{
    OBJ_CHECK(ingest, INGEST_MAGIC);
    return ingest->rows;
}

/* ---- Building. ---- */

static YIELDS err_t
writer_need(struct lsm_ingest *ingest)
{
    struct lsm *lsm = ingest->lsm;
    char path[LSM_PATH_BYTES_MAX];
    struct table_writer_options options = {
        .path = path,
        .block_bytes = lsm->options.block_bytes,
        .filter_bits_per_key = TABLE_FILTER_BITS_PER_KEY,
        .compress = lsm_compresses(lsm, LSM_LEVELS - 1), /* Where most of them will be. */
    };

    if (ingest->writer != NULL) {
        return ERR_OK;
    }
    if (ingest->count == LSM_INGEST_TABLES_MAX) {
        return err_set(ERR_LIMIT, "one ingest has more than %d tables", LSM_INGEST_TABLES_MAX);
    }
    ingest->file_number = lsm_file_number_new(lsm);
    options.file_number = ingest->file_number;
    lsm_table_path(path, lsm->dir, ingest->file_number);
    return table_writer_open(&options, &ingest->writer);
}

static void
tables_push(struct lsm_ingest *ingest, struct lsm_table *table)
{
    if (ingest->count == ingest->capacity) {
        uint32_t capacity = MAX(8u, ingest->capacity * 2);

        ingest->tables = mem_realloc(MEM_BACKGROUND, ingest->tables,
                                     ingest->capacity * sizeof(ingest->tables[0]),
                                     capacity * sizeof(ingest->tables[0]));
        ingest->capacity = capacity;
    }
    ingest->tables[ingest->count++] = table;
}

static void
pointers_release(struct lsm_ingest *ingest)
{
    for (uint32_t i = 0; i < ingest->pointer_count; i++) {
        vlog_release_hold(ingest->lsm->vlog, &ingest->pointers[i]);
    }
    ingest->pointer_count = 0;
}

static YIELDS err_t
table_finish(struct lsm_ingest *ingest)
{
    struct lsm *lsm = ingest->lsm;
    struct vlog_uses uses = ingest->given;
    char path[LSM_PATH_BYTES_MAX];
    struct table_meta meta;
    struct table *table = NULL;
    err_t err;

    ingest->given = (struct vlog_uses){0};
    TRY(table_writer_finish(&ingest->writer, &meta));
    table_meta_fini(&meta);
    lsm_table_path(path, lsm->dir, ingest->file_number);
    err = table_open(path, ingest->file_number, lsm->cache, &table);
    if (err != ERR_OK) {
        (void)io_unlink(path); /* The next start removes what stays. */
        goto out;
    }
    for (uint32_t i = 0; i < ingest->pointer_count; i++) {
        vlog_uses_add(&uses, &ingest->pointers[i]);
    }
    tables_push(ingest, lsm_table_new(table, lsm->vlog, uses.uses, uses.count));
    pointers_release(ingest);
out:
    vlog_uses_fini(&uses);
    return err;
}

static bool
wants_cut(const struct lsm_ingest *ingest, struct slice key)
{
    struct slice last = buf_slice(&ingest->last_key);
    uint64_t target = ingest->lsm->options.table_bytes;
    uint64_t bytes;

    if (ingest->writer == NULL) {
        return false;
    }
    bytes = table_writer_bytes(ingest->writer);
    return bytes >= target ||
           ingest->pointer_count + ingest->given.count >= OUTPUT_VLOG_FILES_MAX ||
           (bytes >= target / OUTPUT_KEYSPACE_SHARE &&
            (last.size < LSM_KEYSPACE_BYTES || key.size < LSM_KEYSPACE_BYTES ||
             memcmp(last.data, key.data, LSM_KEYSPACE_BYTES) != 0));
}

/* A value for the value log: its pointer takes its place. */
static YIELDS err_t
large_write(struct lsm_ingest *ingest, struct lsm_entry *entry, uint8_t *pointer_bytes)
{
    struct vlog_pointer pointer;
    err_t err;

    TRY(vlog_append(ingest->lsm->vlog, entry->value, &pointer));
    if (ingest->pointer_count == ingest->pointer_capacity) {
        uint32_t capacity = MAX(8u, ingest->pointer_capacity * 2);

        ingest->pointers =
            mem_realloc(MEM_BACKGROUND, ingest->pointers,
                        ingest->pointer_capacity * sizeof(pointer), capacity * sizeof(pointer));
        ingest->pointer_capacity = capacity;
    }
    ingest->pointers[ingest->pointer_count++] = pointer;
    vlog_pointer_encode(&pointer, pointer_bytes);
    entry->kind = LSM_PUT_LARGE;
    entry->value = slice_of(pointer_bytes, VLOG_POINTER_BYTES);
out:
    return err;
}

static err_t
key_check(const struct lsm_ingest *ingest, struct slice key)
{
    if (key.size == 0 || key.size > LSM_KEY_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a stored key has %zu bytes; 1 to %d are possible", key.size,
                       LSM_KEY_BYTES_MAX);
    }
    if (ingest->rows > 0 && slice_compare(buf_slice(&ingest->last_key), key) >= 0) {
        return err_set(ERR_INVALID, "row %llu of an ingest does not come behind the one before it",
                       (unsigned long long)ingest->rows);
    }
    return ERR_OK;
}

YIELDS err_t
lsm_ingest_add(struct lsm_ingest *ingest, const struct lsm_entry *entry)
{
    uint8_t pointer_bytes[VLOG_POINTER_BYTES];
    struct vlog_pointer given;
    struct lsm_entry row = *entry;
    err_t err;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    ASSERT(!ingest->is_finished);
    TRY(key_check(ingest, entry->key));
    if (wants_cut(ingest, entry->key)) {
        TRY(table_finish(ingest));
    }
    TRY(writer_need(ingest));
    row.ts = 0;
    row.lsn = 0;
    if (row.kind == LSM_PUT && row.value.size > LSM_VALUE_INLINE_BYTES_MAX) {
        TRY(large_write(ingest, &row, pointer_bytes));
    } else if (row.kind == LSM_PUT_LARGE) {
        TRY(vlog_pointer_decode(row.value, &given));
        vlog_uses_add(&ingest->given, &given);
    }
    TRY(table_writer_add(ingest->writer, &row));
    buf_clear(&ingest->last_key);
    buf_append(&ingest->last_key, entry->key.data, entry->key.size);
    ingest->rows++;
    fiber_work(WORK_UNITS_PER_ROW);
out:
    return err;
}

YIELDS err_t
lsm_ingest_finish(struct lsm_ingest *ingest)
{
    err_t err = ERR_OK;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    if (ingest->is_finished) {
        return ERR_OK;
    }
    if (ingest->writer != NULL) {
        TRY(table_finish(ingest));
    }
    if (ingest->count > 0) {
        TRY(io_sync_dir(ingest->lsm->dir));
    }
    ingest->is_finished = true;
out:
    return err;
}

YIELDS void
lsm_ingest_free(struct lsm_ingest **pointer)
{
    struct lsm_ingest *ingest = *pointer;

    *pointer = NULL;
    if (ingest == NULL) {
        return;
    }
    OBJ_CHECK(ingest, INGEST_MAGIC);
    if (ingest->writer != NULL) {
        table_writer_abandon(&ingest->writer);
    }
    pointers_release(ingest);
    vlog_uses_fini(&ingest->given);
    for (uint32_t i = 0; i < ingest->count; i++) {
        if (!ingest->is_applied && !ingest->is_kept) {
            ingest->tables[i]->is_obsolete = true;
        }
        lsm_table_unpin(ingest->tables[i]);
    }
    mem_free(MEM_BACKGROUND, ingest->tables, ingest->capacity * sizeof(ingest->tables[0]));
    mem_free(MEM_BACKGROUND, ingest->pointers,
             ingest->pointer_capacity * sizeof(ingest->pointers[0]));
    buf_fini(&ingest->last_key);
    ingest->magic = 0;
    MEM_FREE(MEM_BACKGROUND, ingest);
}

/* ---- Descriptions: file number, bytes, rows, use of value logs. ---- */

void
lsm_ingest_describe(const struct lsm_ingest *ingest, uint32_t index, struct buf *out)
{
    const struct lsm_table *table = ingest->tables[index];

    OBJ_CHECK(ingest, INGEST_MAGIC);
    ASSERT(index < ingest->count);
    buf_append_varint(out, table->meta->file_number);
    buf_append_varint(out, table->meta->file_bytes);
    buf_append_varint(out, table->meta->entries);
    buf_append_varint(out, table->vlog_use_count);
    for (uint32_t i = 0; i < table->vlog_use_count; i++) {
        buf_append_varint(out, table->vlog_uses[i].file_number);
        buf_append_varint(out, table->vlog_uses[i].bytes);
    }
}

struct description {
    uint64_t file_number, file_bytes, entries, vlog_uses;
    const uint8_t *vlog_at; /* The uses. */
    const uint8_t *end;
};

static err_t
description_read(struct slice bytes, struct description *out)
{
    uint64_t *const numbers[] = {&out->file_number, &out->file_bytes, &out->entries,
                                 &out->vlog_uses};
    const uint8_t *at = bytes.data;
    const uint8_t *end = bytes.data + bytes.size;
    uint64_t number;
    size_t used = 1;

    for (uint32_t i = 0; i < ARRAY_COUNT(numbers) && used > 0; i++) {
        used = get_varint(at, end, numbers[i]);
        at += used;
    }
    out->vlog_at = at;
    out->end = end;
    if (used == 0 || out->file_number == 0 || out->vlog_uses > MANIFEST_VLOG_FILES_MAX) {
        return err_set(ERR_CORRUPT, "impossible description of an ingested table");
    }
    for (uint64_t i = 0; i < 2 * out->vlog_uses && used > 0; i++) {
        used = get_varint(at, end, &number);
        at += used;
    }
    return used > 0 && at == end
               ? ERR_OK
               : err_set(ERR_CORRUPT, "impossible description of an ingested table");
}

err_t
lsm_ingest_check(struct slice description)
{
    struct description read;

    return description_read(description, &read);
}

err_t
lsm_ingest_described(struct slice description, uint64_t *file_number_out, uint64_t *rows_out)
{
    struct description is;
    err_t err;

    TRY(description_read(description, &is));
    *file_number_out = is.file_number;
    *rows_out = is.entries;
out:
    return err;
}

void
lsm_ingest_keep(struct lsm_ingest *ingest)
{
    OBJ_CHECK(ingest, INGEST_MAGIC);
    ingest->is_kept = true;
}

YIELDS err_t
lsm_ingest_reopen(struct lsm_ingest *ingest, struct slice description)
{
    struct lsm *lsm = ingest->lsm;
    struct description is;
    char path[LSM_PATH_BYTES_MAX];
    struct table *table = NULL;
    struct vlog_use *uses = NULL;
    const uint8_t *at;
    err_t err;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    TRY(description_read(description, &is));
    lsm_table_path(path, lsm->dir, is.file_number);
    err = table_open(path, is.file_number, lsm->cache, &table);
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT, "%s: the log names this table, but it is missing", path);
    }
    TRY(err);
    if (table_meta(table)->file_bytes != is.file_bytes ||
        table_meta(table)->entries != is.entries || table_meta(table)->ts_newest != 0) {
        table_unpin(table);
        err = err_set(ERR_CORRUPT, "%s: this is not the table that the log names", path);
        goto out;
    }
    uses = mem_alloc(MEM_BACKGROUND, is.vlog_uses * sizeof(uses[0]));
    at = is.vlog_at;
    for (uint64_t i = 0; i < is.vlog_uses; i++) {
        at += get_varint(at, is.end, &uses[i].file_number);
        at += get_varint(at, is.end, &uses[i].bytes);
    }
    tables_push(ingest, lsm_table_new(table, lsm->vlog, uses, (uint32_t)is.vlog_uses));
    ingest->rows += is.entries;
    ingest->is_finished = true;
    SOMETIMES("lsm: an ingested table was found again through the log");
out:
    mem_free(MEM_BACKGROUND, uses, uses == NULL ? 0 : is.vlog_uses * sizeof(uses[0]));
    return err;
}

/* ---- Committing. ---- */

/* The flush of the memtable that is active now makes the table durable in the manifest. */
static void
settle_later(struct lsm *lsm, struct lsm_table *table, uint32_t level)
{
    if (lsm->settle_count == lsm->settle_capacity) {
        uint32_t capacity = MAX(8u, lsm->settle_capacity * 2);

        lsm->settle =
            mem_realloc(MEM_TABLES, lsm->settle, lsm->settle_capacity * sizeof(lsm->settle[0]),
                        capacity * sizeof(lsm->settle[0]));
        lsm->settle_capacity = capacity;
    }
    lsm_table_pin(table);
    lsm->settle[lsm->settle_count++] =
        (struct lsm_settle){.table = table, .level = level, .memtable = lsm->rotations};
}

/* The deepest level from the base on where all of them lie between tables, and where no running
 * compaction writes; else level 0. */
static uint32_t
level_choose(const struct lsm *lsm, const struct lsm_ingest *ingest)
{
    const struct table_meta *first = ingest->tables[0]->meta;
    const struct table_meta *last = ingest->tables[ingest->count - 1]->meta;
    uint32_t deepest = LSM_LEVELS - 1;
    struct level_targets targets;

    level_targets_find(lsm, &targets);
    while (deepest > targets.base && lsm->version->levels[deepest].count == 0) {
        deepest--;
    }
    for (uint32_t number = deepest; number >= MAX(targets.base, 1u); number--) {
        const struct level *level = &lsm->version->levels[number];
        uint32_t next = level_find(level, first->smallest);

        if ((next == level->count || !table_meta_overlaps(level->tables[next]->meta,
                                                          first->smallest, last->largest, false)) &&
            !compact_writes_into(lsm, number, first->smallest, last->largest)) {
            return number;
        }
    }
    return 0;
}

void
lsm_ingest_apply(struct lsm *lsm, struct lsm_ingest *ingest, uint64_t ts, uint64_t lsn)
{
    struct version *base = lsm->version;
    struct edit edit;
    uint32_t level;
    err_t err;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    ASSERT(ingest->is_finished);
    ASSERT(!ingest->is_applied);
    if (ingest->count == 0) {
        return;
    }
    level = level_choose(lsm, ingest);
    edit_init(&edit);
    for (uint32_t i = 0; i < ingest->count; i++) {
        struct lsm_table *table = ingest->tables[i];

        table_stamp(table->table, ts);
        table_place(table->table, &lsm->metrics, level);
        table->is_stamped = true;
        table->lsn = lsn;
        table->busy_with = table; /* Not for compaction until it is settled. */
        edit_add_table(&edit, level, table);
        settle_later(lsm, table, level);
    }
    lsm->settle_lsn = MAX(lsm->settle_lsn, lsn);
    err = version_apply(base, &edit, &lsm->version);
    ASSERT(err == ERR_OK); /* level_choose has made sure. */
    edit_fini(&edit);
    version_unpin(&base);
    ingest->is_applied = true;
    entry_cache_clear(lsm->entries); /* It may hold older versions of these keys. */
    entry_cache_next_generation(lsm->entries);
    lsm_tables_changed(lsm);
    SOMETIMES_IF(level > 0, "lsm: ingested tables went below level 0");
}

/* ---- Settling. ---- */

bool
lsm_ingest_wants_rotation(const struct lsm *lsm)
{
    return lsm->settle_count > 0 && lsm->settle[lsm->settle_count - 1].memtable == lsm->rotations;
}

void
lsm_ingest_settle_begin(const struct lsm *lsm, uint64_t memtable, struct edit *edit)
{
    if (CANARY(INGEST_LOST)) {
        return;
    }
    for (uint32_t i = 0; i < lsm->settle_count && lsm->settle[i].memtable <= memtable; i++) {
        edit_settle_table(edit, lsm->settle[i].level, lsm->settle[i].table);
    }
}

void
lsm_ingest_settle_end(struct lsm *lsm, const struct edit *edit)
{
    uint32_t count = edit->settle_count;

    if (count == 0) {
        return;
    }
    ASSERT(count <= lsm->settle_count);
    for (uint32_t i = 0; i < count; i++) {
        struct lsm_table *table = lsm->settle[i].table;

        ASSERT(table == edit->settles[i].table);
        ASSERT(table->busy_with == table);
        table->busy_with = NULL;
        table->lsn = 0; /* What is in the manifest is durable in the log. */
        lsm_table_unpin(table);
    }
    lsm->settle_count -= count;
    memmove(lsm->settle, lsm->settle + count, lsm->settle_count * sizeof(lsm->settle[0]));
}

void
lsm_ingest_fini(struct lsm *lsm)
{
    for (uint32_t i = 0; i < lsm->settle_count; i++) {
        lsm_table_unpin(lsm->settle[i].table);
    }
    mem_free(MEM_TABLES, lsm->settle, lsm->settle_capacity * sizeof(lsm->settle[0]));
    lsm->settle = NULL;
}
