/* lsm/lsm_changes.c - was a key or a range written since a timestamp?
 *
 * Only sources whose newest timestamp is above it are asked, so for a young one that is the active
 * memtable. Every version counts, deletes too, whether or not something newer hides it: what was
 * collected was superseded by something newer still, and a delete above the floor of all snapshots
 * is never collected. So no answer is given below that floor. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "lsm/table_internal.h"

#include "engine/base/poison.h"

enum {
    CHANGES_STEP_KEYS = 64, /* Counted work and looks at the bound come so often. */
    CHANGES_STEP_UNITS = 8,
    CHANGES_WALK_KEYS = 64,  /* Of a range in a memtable; then its last writes are asked. */
    CHANGES_BLOCKS_MAX = 16, /* Of one table, from the cache, without suspending. */
};

/* What is asked, and what is known so far. */
struct changes {
    struct lsm *lsm;
    struct slice lower;
    struct slice upper; /* Empty: none. */
    uint64_t since;
    bool may_suspend;
    bool is_changed;  /* Then nothing else matters. */
    bool is_unknown;  /* Something would have to be read, or too much looked through. */
    uint32_t visited; /* Keys, while it may not suspend. */
};

static bool
is_over(const struct changes *changes)
{
    return changes->is_changed || changes->is_unknown;
}

static bool
is_below_upper(const struct changes *changes, struct slice key)
{
    return changes->upper.size == 0 || slice_compare(key, changes->upper) < 0;
}

uint64_t
lsm_changes_oldest(const struct lsm *lsm)
{
    return MAX(snapshots_floor(&lsm->snapshots), lsm->horizon_before);
}

static err_t
since_check(const struct lsm *lsm, uint64_t since)
{
    uint64_t floor = lsm_changes_oldest(lsm);

    if (since >= floor) {
        return ERR_OK;
    }
    return err_set(ERR_SNAPSHOT_TOO_OLD,
                   "what changed since %llu is not known: it lies before %llu, from where on "
                   "everything is kept",
                   (unsigned long long)since, (unsigned long long)floor);
}

/* ---- One key. ---- */

static bool
memtable_has_key_change(const struct memtable *memtable, struct slice key, uint64_t *hash,
                        uint64_t since)
{
    uint64_t lsn;

    if (memtable->entry_ts_newest > since) {
        const struct memtable_version *newest;

        if (*hash == 0) {
            *hash = memtable_hash(memtable, key);
        }
        newest = memtable_get_hashed(memtable, key, *hash, LSM_TS_MAX);
        if (newest != NULL && newest->ts > since) {
            return true;
        }
    }
    return memtable->ranges.ts_newest > since &&
           range_map_ts(&memtable->ranges, key, LSM_TS_MAX, &lsn) > since;
}

static bool
memory_has_key_change(const struct lsm *lsm, struct slice key, uint64_t since)
{
    uint64_t hash = 0; /* One for all memtables; computed when the first is asked. */

    if (memtable_has_key_change(lsm->active, key, &hash, since)) {
        return true;
    }
    for (const struct memtable *at = lsm->frozen_newest; at != NULL; at = at->older) {
        if (memtable_has_key_change(at, key, &hash, since)) {
            return true;
        }
    }
    return false;
}

static YIELDS err_t
table_ask_key(struct changes *changes, struct lsm_table *table, uint64_t hash)
{
    struct slice key = changes->lower;
    struct lsm_entry entry = {0};
    struct arena arena;
    bool found = false;
    bool is_cached;
    err_t err = ERR_OK;

    if (table->meta->ts_newest <= changes->since || !table_meta_has(table->meta, key)) {
        return ERR_OK;
    }
    if (table->meta->range_deletes > 0 &&
        table_range_delete_ts(table->table, key, LSM_TS_MAX) > changes->since) {
        changes->is_changed = true;
        return ERR_OK;
    }
    if (!table_may_contain(table->table, hash)) {
        return ERR_OK;
    }
    arena_init(&arena, MEM_SESSIONS); /* For the value, which comes along. */
    TRY(table_try_get(table->table, key, LSM_TS_MAX, &arena, &entry, &found, &is_cached));
    if (!is_cached && changes->may_suspend) {
        TRY(table_get(table->table, key, hash, LSM_TS_MAX, &arena, &entry, &found));
    }
    changes->is_unknown = !is_cached && !changes->may_suspend;
    changes->is_changed = found && entry.ts > changes->since;
out:
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
tables_ask_key(struct changes *changes, const struct version *version)
{
    uint64_t hash = table_key_hash(changes->lower);
    const struct level *level0 = &version->levels[0];
    struct lsm_entry entry;
    err_t err = ERR_OK;

    if (entry_cache_find(changes->lsm->entries, changes->lower, hash, &entry)) {
        changes->is_changed = entry.ts > changes->since; /* The newest in all tables. */
        return ERR_OK;
    }
    for (uint32_t i = 0; i < level0->count && !is_over(changes); i++) {
        TRY(table_ask_key(changes, level0->tables[i], hash));
    }
    for (uint32_t i = 1; i < LSM_LEVELS && !is_over(changes); i++) {
        struct lsm_table *table = version->levels[i].count == 0
                                      ? NULL
                                      : level_table_for(&version->levels[i], changes->lower);

        if (table != NULL) {
            TRY(table_ask_key(changes, table, hash));
        }
    }
out:
    return err;
}

err_t
lsm_changed(struct lsm *lsm, struct slice key, uint64_t since, bool may_suspend,
            bool *is_changed_out, bool *is_answered_out)
{
    struct changes changes = {.lsm = lsm, .lower = key, .since = since, .may_suspend = may_suspend};
    struct version *version = lsm->version;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    TRY(since_check(lsm, since));
    changes.is_changed = memory_has_key_change(lsm, key, since);
    if (!changes.is_changed && version->ts_newest > since) {
        version_pin(version);
        err = tables_ask_key(&changes, version);
        version_unpin(&version);
        TRY(err);
    }
    *is_changed_out = changes.is_changed;
    *is_answered_out = !changes.is_unknown;
out:
    return err;
}

/* ---- A range: memory. ---- */

/* Every CHANGES_STEP_KEYS keys or pieces: work is counted, or the bound looked at. */
static YIELDS void
step(struct changes *changes)
{
    if (++changes->visited % CHANGES_STEP_KEYS != 0) {
        return;
    }
    if (changes->may_suspend) {
        fiber_work(CHANGES_STEP_UNITS);
    } else if (changes->visited >= LSM_CHANGES_KEYS_MAX) {
        changes->is_unknown = true;
    }
}

static YIELDS void
ranges_ask(struct changes *changes, const struct range_map *map)
{
    struct range_piece piece;
    bool more;

    if (map->ts_newest <= changes->since) {
        return;
    }
    /* Pieces are found again by key after a suspension: borders come, but never go. */
    more = range_map_seek(map, changes->lower, &piece);
    while (more && !is_over(changes) && is_below_upper(changes, piece.start)) {
        struct slice end = piece.end;

        if (piece.newest->ts > changes->since && slice_compare(end, changes->lower) > 0) {
            changes->is_changed = true;
            return;
        }
        step(changes);
        more = range_map_seek(map, end, &piece);
    }
}

/* The range is large: do its last writes tell? If not, they will when it is asked again about a
 * moment that lies behind this one, as a validation does that had to suspend. */
static bool
recent_ask(struct changes *changes, struct memtable *memtable)
{
    if (memtable == changes->lsm->active) {
        memtable_recent_begin(memtable);
    }
    return memtable_recent_changed(memtable, changes->lower, changes->upper, changes->since,
                                   &changes->is_changed);
}

static YIELDS void
memtable_ask_range(struct changes *changes, struct memtable *memtable)
{
    struct memtable_walk walk;
    uint32_t keys = 0;
    uint64_t ts;

    ranges_ask(changes, &memtable->ranges);
    if (memtable->entry_ts_newest <= changes->since) {
        return;
    }
    memtable_walk_begin(&walk, memtable, changes->lower, changes->upper);
    while (!is_over(changes) && memtable_walk_next(&walk, &ts)) {
        changes->is_changed = ts > changes->since;
        if (++keys == CHANGES_WALK_KEYS && !changes->is_changed && recent_ask(changes, memtable)) {
            break;
        }
        step(changes);
    }
    memtable_walk_end(&walk);
}

/* ---- A range: tables. ---- */

static void
table_ask_deletes(struct changes *changes, const struct lsm_table *table)
{
    uint32_t count = table_range_delete_count(table->table);

    for (uint32_t i = 0; i < count; i++) {
        struct lsm_range_delete range = table_range_delete_at(table->table, i);

        if (!is_below_upper(changes, range.start)) {
            break; /* They are in the order of their starts. */
        }
        if (range.ts > changes->since && slice_compare(range.end, changes->lower) > 0) {
            changes->is_changed = true;
            break;
        }
    }
}

/* The rows of one block, from the lower bound on. *is_end_out: the upper bound was met. */
static err_t
block_ask(struct changes *changes, const struct block *block, bool *is_end_out)
{
    struct block_cursor cursor;
    err_t err;

    block_cursor_init(&cursor, MEM_SESSIONS);
    block_cursor_set(&cursor, block);
    TRY(block_cursor_seek(&cursor, changes->lower, LSM_TS_MAX));
    while (block_cursor_is_valid(&cursor)) {
        if (!is_below_upper(changes, cursor.entry.key)) {
            *is_end_out = true;
            break;
        }
        if (cursor.entry.ts > changes->since) {
            changes->is_changed = true;
            break;
        }
        TRY(block_cursor_next(&cursor));
    }
out:
    block_cursor_fini(&cursor);
    return err;
}

/* Only what is in the cache. */
static err_t
table_ask_cached(struct changes *changes, struct table *table)
{
    bool is_end = false;
    uint32_t at;
    err_t err = ERR_OK;

    changes->is_unknown = !guide_use(table, GUIDE_INDEX);
    at = changes->is_unknown ? 0 : index_find(&table->index, changes->lower, LSM_TS_MAX);
    for (uint32_t blocks = 0; !is_over(changes) && !is_end && at < table->block_count;
         at++, blocks++) {
        struct cached_block *block;

        if (blocks > 0 && changes->upper.size > 0 &&
            index_compare(&table->index, at, changes->upper, LSM_TS_MAX) >= 0) {
            break;
        }
        block = blocks == CHANGES_BLOCKS_MAX
                    ? NULL
                    : block_cache_find(table->cache, table->meta.file_number,
                                       table->index.offsets[at], false);
        if (block == NULL) {
            changes->is_unknown = true;
            break;
        }
        err = block_ask(changes, &block->block, &is_end);
        table_block_release(table, &block);
        TRY(err);
    }
out:
    return err;
}

static YIELDS err_t
table_ask_read(struct changes *changes, struct table *table)
{
    const struct table_iter_options options = {.fill_cache = true};
    struct table_iter *iter = table_iter_new(table, &options);
    err_t err;

    TRY(table_iter_seek(iter, changes->lower, LSM_TS_MAX));
    while (table_iter_is_valid(iter) && is_below_upper(changes, table_iter_entry(iter)->key)) {
        if (table_iter_entry(iter)->ts > changes->since) {
            changes->is_changed = true;
            break;
        }
        step(changes);
        TRY(table_iter_next(iter));
    }
out:
    table_iter_free(&iter);
    return err;
}

static YIELDS err_t
table_ask_range(struct changes *changes, struct lsm_table *table)
{
    const struct table_meta *meta = table->meta;
    err_t err = ERR_OK;

    if (meta->ts_newest <= changes->since || table_meta_compare_end(meta, changes->lower) < 0 ||
        !is_below_upper(changes, meta->smallest)) {
        return ERR_OK;
    }
    table_ask_deletes(changes, table);
    if (changes->is_changed || meta->entries == 0) {
        return ERR_OK;
    }
    TRY(table_ask_cached(changes, table->table));
    if (changes->is_unknown && changes->may_suspend) {
        changes->is_unknown = false;
        TRY(table_ask_read(changes, table->table));
    }
out:
    return err;
}

static YIELDS err_t
tables_ask_range(struct changes *changes, const struct version *version)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &version->levels[i];

        for (uint32_t k = i == 0 ? 0 : level_find(level, changes->lower); k < level->count; k++) {
            if (i > 0 && !is_below_upper(changes, level->tables[k]->meta->smallest)) {
                break;
            }
            TRY(table_ask_range(changes, level->tables[k]));
            if (is_over(changes)) {
                return ERR_OK;
            }
        }
    }
out:
    return err;
}

/* ---- A range. ---- */

/* The memtables that may have changes, pinned; the sources of one moment. */
static uint32_t
memtables_collect(struct lsm *lsm, uint64_t since, struct memtable **memtables)
{
    uint32_t count = 0;

    if (lsm->active->ts_newest > since) {
        memtables[count++] = lsm->active;
    }
    for (struct memtable *at = lsm->frozen_newest; at != NULL; at = at->older) {
        if (at->ts_newest > since) {
            memtables[count++] = at;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        memtable_pin(memtables[i]);
    }
    return count;
}

err_t
lsm_range_changed(struct lsm *lsm, struct slice lower, struct slice upper, uint64_t since,
                  bool may_suspend, bool *is_changed_out, bool *is_answered_out)
{
    struct changes changes = {
        .lsm = lsm, .lower = lower, .upper = upper, .since = since, .may_suspend = may_suspend};
    size_t bytes = (lsm->frozen_count + 1) * sizeof(struct memtable *);
    struct version *version = lsm->version;
    struct memtable **memtables = NULL;
    uint32_t count;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    TRY(since_check(lsm, since));
    version_pin(version);
    memtables = mem_alloc(MEM_SESSIONS, bytes);
    count = memtables_collect(lsm, since, memtables);
    for (uint32_t i = 0; i < count; i++) {
        if (!is_over(&changes)) {
            memtable_ask_range(&changes, memtables[i]);
        }
        if (may_suspend) {
            memtable_unpin_slowly(&memtables[i]); /* It may have been flushed meanwhile. */
        } else {
            memtable_unpin(&memtables[i]);
        }
    }
    if (!is_over(&changes) && version->ts_newest > since) {
        err = tables_ask_range(&changes, version);
    }
    version_unpin(&version);
    mem_free(MEM_SESSIONS, memtables, bytes);
    TRY(err);
    *is_changed_out = changes.is_changed;
    *is_answered_out = changes.is_changed || !changes.is_unknown;
out:
    return err;
}
