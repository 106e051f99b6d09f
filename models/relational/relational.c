/* models/relational/relational.c - the shard's catalog, and the hidden ids of rows. */
#include "models/relational/relational.h"

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/relational/rtable.h"
#include "models/relational/sequence.h"
#include "models/relational/temp_file.h"
#include "models/types/zone.h"
#include "txn/store.h"

#include "engine/base/poison.h"

#define RELATIONAL_MAGIC UINT64_C(0x6f726269742072d1)
enum {
    ROW_ID_BLOCK = 1 << 16, /* Ids that a shard takes at a time. */
    ROW_ID_SHARD_SHIFT = 48,
    ROW_ID_ATTEMPTS_MAX = 64,
    ROW_COUNTS_MAX = 1 << 16, /* Tables whose rows are counted; of others nothing is known. */
};

struct relational {
    uint64_t magic; /* RELATIONAL_MAGIC */
    struct catalog *catalog;
    uint32_t changes;      /* Commits under way that change it. */
    uint64_t ended, known; /* Those that have ended, and how many of them the catalog has. */
    uint64_t id_next, id_end;
    struct zones *zones;
    struct sequences *sequences;
    struct row_count *row_counts; /* By oid. */
    uint32_t row_count_count, row_count_capacity;
    uint64_t temp_files; /* How many there have been. */
};

/* Of a table, as ANALYZE counted. */
struct row_count {
    oid_t relation;
    uint64_t rows;
};

static struct relational *
relational_self(void)
{
    struct relational *relational = shard_slot_get(SHARD_SLOT_RELATIONAL);

    OBJ_CHECK(relational, RELATIONAL_MAGIC);
    return relational;
}

struct sequences *
relational_sequences(void)
{
    return relational_self()->sequences;
}

/* ---- The catalog ---- */

static YIELDS err_t
catalog_read(struct catalog **catalog_out)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    err_t err = catalog_load(txn, catalog_out);

    txn_abort(&txn);
    return err;
}

err_t
relational_open(struct relational **relational_out)
{
    struct relational *relational = MEM_NEW(MEM_RUNTIME, struct relational);
    err_t err = temp_files_clear();

    if (err == ERR_OK) {
        err = catalog_read(&relational->catalog);
    }
    if (err != ERR_OK) {
        MEM_FREE(MEM_RUNTIME, relational);
        return err;
    }
    relational->magic = RELATIONAL_MAGIC;
    relational->zones = zones_new();
    relational->sequences = sequences_new();
    shard_slot_set(SHARD_SLOT_RELATIONAL, relational);
    *relational_out = relational;
    return ERR_OK;
}

void
relational_close(struct relational **relational)
{
    if (*relational == NULL) {
        return;
    }
    OBJ_CHECK(*relational, RELATIONAL_MAGIC);
    shard_slot_set(SHARD_SLOT_RELATIONAL, NULL);
    catalog_drop(&(*relational)->catalog);
    zones_free(&(*relational)->zones);
    sequences_free(&(*relational)->sequences);
    mem_free(MEM_RUNTIME, (*relational)->row_counts,
             (*relational)->row_count_capacity * sizeof(struct row_count));
    MEM_FREE(MEM_RUNTIME, *relational);
}

err_t
relational_temp_open(struct io_file **file_out)
{
    return temp_file_open(relational_self()->temp_files++, file_out);
}

struct zones *
relational_zones(void)
{
    const struct relational *relational = shard_slot_get(SHARD_SLOT_RELATIONAL);

    return relational != NULL ? relational->zones : NULL;
}

err_t
relational_catalog(struct catalog **catalog_out)
{
    struct relational *relational = relational_self();
    struct catalog *fresh;
    uint64_t ended = relational->ended;
    bool was_changing = relational->changes > 0;
    err_t err;

    if (__builtin_expect(!was_changing && relational->known == ended, 1)) {
        *catalog_out = catalog_hold(relational->catalog);
        return ERR_OK;
    }
    err = catalog_read(&fresh);
    if (err != ERR_OK) {
        return err;
    }
    /* While it was read another fiber may have read it, too, and later. */
    if (!was_changing && relational->known < ended) {
        relational->known = ended;
        catalog_drop(&relational->catalog);
        relational->catalog = catalog_hold(fresh);
    }
    *catalog_out = fresh;
    return ERR_OK;
}

static void
change_begin(void *arg)
{
    (void)arg;
    relational_self()->changes++;
}

static void
change_end(void *arg)
{
    struct relational *relational = relational_self();

    (void)arg;
    ASSERT(relational->changes > 0);
    relational->changes--;
    relational->ended++;
}

static YIELDS void
on_all_shards(void (*fn)(void *arg))
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (shard == shard_id()) {
            fn(NULL);
        } else {
            msg_call(shard, MSG_INLINE, fn, NULL);
        }
    }
}

void
relational_change_begin(void)
{
    on_all_shards(change_begin);
}

void
relational_change_end(void)
{
    on_all_shards(change_end);
}

/* ---- Hidden ids of rows: shard << 48 and a number, so that a shard's rise ---- */

static struct slice
id_record_key(uint8_t out[STORAGE_PREFIX_BYTES + 5])
{
    storage_prefix(out, UINT32_MAX);
    out[STORAGE_PREFIX_BYTES] = 0;
    put_be32(out + STORAGE_PREFIX_BYTES + 1, shard_id());
    return slice_of(out, STORAGE_PREFIX_BYTES + 5);
}

static YIELDS err_t
id_block_take(uint64_t *first_out)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    uint64_t first = (uint64_t)shard_id() << ROW_ID_SHARD_SHIFT | 1;
    uint8_t key[STORAGE_PREFIX_BYTES + 5], end[8];
    struct txn_done done = {0};
    struct lsm_value value;
    struct arena arena;
    uint16_t slot;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    slot = txn_slot_of_shard(shard_id()); /* So that its log alone is to be waited for. */
    TRY(txn_get(txn, slot, id_record_key(key), &arena, &value));
    if (value.is_found && value.value.size != sizeof(end)) {
        err = err_set(ERR_CORRUPT, "the record of row ids has %zu bytes", value.value.size);
        goto out;
    }
    if (value.is_found) {
        first = get_le64(value.value.data);
    }
    put_le64(end, first + ROW_ID_BLOCK);
    txn_put(txn, slot, id_record_key(key), slice_of(end, sizeof(end)), 0);
    TRY(txn_commit(&txn, &done));
    store_wait_durable(store_self(), done.lsn);
    *first_out = first;
out:
    txn_abort(&txn);
    arena_fini(&arena);
    return err;
}

err_t
rtable_id_take(uint64_t *id_out)
{
    struct relational *relational = relational_self();

    for (uint32_t attempt = 0; relational->id_next == relational->id_end; attempt++) {
        uint64_t first = 0;
        err_t err = id_block_take(&first);

        if (err == ERR_OK && relational->id_next == relational->id_end) {
            relational->id_next = first;
            relational->id_end = first + ROW_ID_BLOCK;
        } else if (err != ERR_OK && (err != ERR_SERIALIZATION || attempt == ROW_ID_ATTEMPTS_MAX)) {
            return err;
        }
    }
    *id_out = relational->id_next++;
    return ERR_OK;
}

/* ---- Counted rows ---- */

static uint32_t
row_count_place(const struct relational *relational, oid_t relation)
{
    uint32_t low = 0, high = relational->row_count_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (relational->row_counts[middle].relation < relation) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
row_count_is_at(const struct relational *relational, uint32_t place, oid_t relation)
{
    return place < relational->row_count_count &&
           relational->row_counts[place].relation == relation;
}

static void
row_counts_grow(struct relational *relational)
{
    uint32_t capacity = MAX(16U, relational->row_count_capacity * 2);

    relational->row_counts = mem_realloc(MEM_RUNTIME, relational->row_counts,
                                         relational->row_count_capacity * sizeof(struct row_count),
                                         capacity * sizeof(struct row_count));
    relational->row_count_capacity = capacity;
}

static void
rows_note_here(void *arg)
{
    const struct row_count *count = arg;
    struct relational *relational = shard_slot_get(SHARD_SLOT_RELATIONAL);
    uint32_t place;

    if (relational == NULL) {
        return;
    }
    place = row_count_place(relational, count->relation);
    if (row_count_is_at(relational, place, count->relation)) {
        relational->row_counts[place].rows = count->rows;
        return;
    }
    if (relational->row_count_count == ROW_COUNTS_MAX) {
        return;
    }
    if (relational->row_count_count == relational->row_count_capacity) {
        row_counts_grow(relational);
    }
    memmove(relational->row_counts + place + 1, relational->row_counts + place,
            (relational->row_count_count - place) * sizeof(struct row_count));
    relational->row_counts[place] = *count;
    relational->row_count_count++;
}

void
relational_rows_note(oid_t relation, uint64_t rows)
{
    struct row_count count = {.relation = relation, .rows = rows};

    msg_call_all(MSG_INLINE, rows_note_here, &count, 0);
}

uint64_t
relational_rows(oid_t relation)
{
    /* A statement may be planned where there is no shard: offline. */
    const struct relational *relational =
        shard_self() != NULL ? shard_slot_get(SHARD_SLOT_RELATIONAL) : NULL;
    uint32_t place = relational != NULL ? row_count_place(relational, relation) : 0;

    return relational != NULL && row_count_is_at(relational, place, relation)
               ? relational->row_counts[place].rows
               : UINT64_MAX;
}
