/* lsm/lsm_write.c - applying writes and freezing memtables. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    LSM_POOL_IDLE_US = 10 * 1000 * 1000, /* Without a flush for so long, memory is given back. */
    POOL_STEP_UNITS = 500,
};

/* ---- Writing. ---- */

uint64_t
lsm_prefetch(const struct lsm *lsm, struct slice key)
{
    uint64_t hash = memtable_hash(lsm->active, key);

    memtable_prefetch(lsm->active, hash);
    return hash;
}

void
lsm_prefetch_key(const struct lsm *lsm, uint64_t hash)
{
    memtable_prefetch_key(lsm->active, hash);
}

void
lsm_apply(struct lsm *lsm, const struct lsm_entry *entry)
{
    ASSERT(entry->lsn == 0 || entry->lsn >= lsm->active->lsn_newest);
    ASSERT(entry->key.size <= LSM_KEY_BYTES_MAX);
    memtable_put(lsm->active, entry, &lsm->snapshots);
    if (lsm->pace.ratio > 0) {
        lsm_pace_charge(lsm, entry->key.size + entry->value.size);
    }
}

/* Mark the tables that lie wholly in the range: they can go soon after the range delete is
 * flushed, so that is worth hurrying. Once a table, or a second range delete would hurry again. */
static void
tables_condemn(struct lsm *lsm, const struct lsm_range_delete *range)
{
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = i == 0 ? 0 : level_find(level, range->start); k < level->count; k++) {
            struct lsm_table *table = level->tables[k];

            if (i > 0 && slice_compare(table->meta->smallest, range->end) >= 0) {
                break;
            }
            if (!table->is_condemned && slice_compare(table->meta->smallest, range->start) >= 0 &&
                table_meta_compare_end(table->meta, range->end) < 0) {
                table->is_condemned = true;
                lsm->active->tables_range_deleted++;
            }
        }
    }
}

void
lsm_apply_range_delete(struct lsm *lsm, const struct lsm_range_delete *range)
{
    ASSERT(range->lsn == 0 || range->lsn >= lsm->active->lsn_newest);
    ASSERT(range->start.size <= LSM_KEY_BYTES_MAX);
    ASSERT(range->end.size <= LSM_KEY_BYTES_MAX);
    tables_condemn(lsm, range);
    memtable_range_delete(lsm->active, range, &lsm->snapshots);
}

/* ---- Freezing. ---- */

bool
lsm_wants_rotation(const struct lsm *lsm)
{
    const struct memtable *active = lsm->active;
    uint64_t log_span = active->lsn_newest - active->lsn_first;

    if (!lsm_can_rotate(lsm)) {
        return false;
    }
    if (lsm_ingest_wants_rotation(lsm)) {
        return true;
    }
    if (memtable_is_empty(active)) {
        return false;
    }
    /* A hot key is overwritten in place, but its log grows. Range deletes over very many keys are
     * frozen with them: then scans skip the whole memtable at once. */
    return lsm_active_is_full(lsm) ||
           log_span >= lsm->options.memtable_bytes * LSM_LOG_SPAN_FACTOR ||
           active->keys_range_deleted >= LSM_RANGE_DELETED_KEYS ||
           active->ranges.borders.count >= LSM_RANGE_BORDERS_MAX ||
           active->tables_range_deleted > 0 || lsm_scans_want_rotation(lsm);
}

void
lsm_cache_lend(struct lsm *lsm)
{
    uint64_t entries = entry_cache_bytes(lsm->entries);
    /* Blocks given up for entries lie among those that stay: the allocator can neither give their
     * memory back nor use it for anything else. */
    uint64_t bytes = entries + entries / LSM_ENTRIES_HOLES;

    for (const struct memtable *at = lsm->frozen_oldest; at != NULL; at = at->newer) {
        bytes += memtable_bytes(at);
    }
    block_cache_lend(lsm->cache, bytes + memtable_pool_bytes(&lsm->pool));
}

YIELDS void
lsm_flush_wait(struct lsm *lsm)
{
    uint64_t deadline_us = DEADLINE_NONE;
    uint64_t keep_bytes = lsm->options.memtable_bytes;

    if (memtable_pool_bytes(&lsm->pool) > 0) {
        deadline_us = shard_now_us() + LSM_POOL_IDLE_US;
    }
    switch (cond_wait_until(&lsm->flush_cond, deadline_us)) {
    case ERR_TIMEOUT:
        SOMETIMES("lsm: the memory of flushed memtables was given back");
        keep_bytes = 0;
        break;
    case ERR_CANCELED:
        cond_wait_uncancelable(&lsm->flush_cond);
        break;
    default:
        break;
    }
    while (lsm->frozen_oldest == NULL && memtable_pool_shrink(&lsm->pool, keep_bytes)) {
        fiber_work(POOL_STEP_UNITS);
    }
    (void)memtable_pool_shrink(&lsm->pool, lsm->options.memtable_bytes); /* What may be kept. */
    lsm_cache_lend(lsm);
}

void
lsm_rotate(struct lsm *lsm, uint64_t lsn, struct slice note)
{
    struct memtable *frozen = lsm->active;

    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(lsn >= frozen->lsn_newest);
    ASSERT(note.size <= MANIFEST_NOTE_BYTES_MAX);
    lsm_iter_spare_drop(lsm);
    entry_cache_next_generation(lsm->entries);
    frozen->flush_lsn = lsn;
    frozen->number = lsm->rotations++;
    buf_append(&frozen->note, note.data, note.size);
    frozen->older = lsm->frozen_newest;
    if (lsm->frozen_newest != NULL) {
        lsm->frozen_newest->newer = frozen;
    } else {
        lsm->frozen_oldest = frozen;
    }
    lsm->frozen_newest = frozen;
    lsm->frozen_count++;
    lsm->memtable_skips = 0;
    lsm->active = lsm->spare;
    lsm->spare = NULL; /* The flush fiber makes the next one. */
    if (lsm->active == NULL) {
        lsm->active =
            memtable_new(lsm->options.memtable_bytes, lsm->hash_seed, lsm->vlog, &lsm->pool);
    }
    if (frozen->recent != NULL) {
        memtable_recent_begin(lsm->active);
    }
    lsm_cache_lend(lsm);
    lsm_pace(lsm);
    cond_broadcast(&lsm->flush_cond);
}

uint64_t
lsm_memtables_oldest(const struct lsm *lsm, const struct memtable *except)
{
    uint64_t oldest = lsm->active->ts_oldest;

    for (const struct memtable *at = lsm->frozen_oldest; at != NULL; at = at->newer) {
        if (at != except) {
            oldest = MIN(oldest, at->ts_oldest);
        }
    }
    return oldest;
}

void
lsm_on_flushed(struct lsm *lsm, void (*fn)(void *arg, uint64_t flushed_lsn), void *arg)
{
    ASSERT(lsm->listener_count < LSM_FLUSHED_LISTENERS_MAX);
    lsm->listeners[lsm->listener_count].fn = fn;
    lsm->listeners[lsm->listener_count].arg = arg;
    lsm->listener_count++;
}

struct slice
lsm_note(const struct lsm *lsm)
{
    return buf_slice(&lsm->note);
}

uint64_t
lsm_flushed_lsn(const struct lsm *lsm)
{
    return lsm->flushed_lsn;
}

/* ---- Snapshots. ---- */

void
lsm_snapshot_take(struct lsm *lsm, uint64_t ts, struct lsm_snapshot *snapshot)
{
    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(ts >= lsm->snapshots.horizon || snapshots_hold(&lsm->snapshots, ts));
    snapshots_take(&lsm->snapshots, ts, snapshot);
}

void
lsm_snapshot_drop(struct lsm *lsm, struct lsm_snapshot *snapshot)
{
    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(snapshot->next != NULL);
    snapshots_drop(snapshot);
}

const struct lsm_snapshot *
lsm_snapshot_next(const struct lsm *lsm, const struct lsm_snapshot *at)
{
    const struct lsm_snapshot *head = &lsm->snapshots.head;
    const struct lsm_snapshot *next = at == NULL ? head->next : at->next;

    return next == head ? NULL : next;
}

void
lsm_horizon_set(struct lsm *lsm, uint64_t ts)
{
    lsm->snapshots.horizon = MAX(lsm->snapshots.horizon, ts);
}

uint64_t
lsm_horizon(const struct lsm *lsm)
{
    return lsm->snapshots.horizon;
}

uint64_t
lsm_horizon_ever(const struct lsm *lsm)
{
    return MAX(lsm->horizon_before, lsm->snapshots.horizon);
}

void
lsm_budget_set(struct lsm *lsm, uint64_t memtable_bytes, uint64_t cache_bytes)
{
    OBJ_CHECK(lsm, LSM_MAGIC);
    ASSERT(memtable_bytes > 0);
    lsm->options.memtable_bytes = memtable_bytes;
    lsm->options.cache_bytes = cache_bytes;
    block_cache_resize(lsm->cache, cache_bytes);
    entry_cache_resize(lsm->entries, cache_bytes);
    cond_broadcast(&lsm->flush_cond); /* The pool may be too large now. */
}
