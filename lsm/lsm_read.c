/* lsm/lsm_read.c - point reads.
 *
 * Sources are asked from the newest to the oldest, but timestamps decide: a source is passed over
 * when its newest write cannot beat what was found. Memtables are all asked before anything
 * suspends, so that together with the pinned version they are the state of one moment. */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { TS_MICROSECOND_SHIFT = 12 };

struct lookup {
    struct lsm *lsm;
    struct slice key;
    uint64_t hash; /* For filters; set when tables are asked. */
    uint64_t snapshot;
    struct arena *arena;
    bool is_present; /* Nothing is newer than the snapshot, and memtables had nothing of the key, */
    uint64_t generation; /* in this generation: what comes from tables may be kept. */
    bool did_read;       /* A block came from disk. */
    bool may_wait;       /* For blocks that must be read. */
    bool must_wait;      /* The answer needs one, and may_wait is false: there is no answer. */
    bool has_entry;
    struct lsm_entry entry; /* The newest found; its value is in the arena. */
    uint64_t range_ts;      /* The newest range delete found; 0: none. */
    uint64_t range_lsn;
    uint64_t vlog_file; /* Referred to, because `entry` points into it; 0: none. */
};

/* Can a source that has timestamps up to `newest` change the answer? A range delete hides what is
 * older than itself, and spares the writes of its own commit, which may lie anywhere. */
static bool
lookup_may_change(const struct lookup *lookup, uint64_t newest)
{
    if (lookup->has_entry && newest <= lookup->entry.ts) {
        return false;
    }
    return newest >= MAX(lookup->range_ts, UINT64_C(1));
}

/* ---- Memory. ---- */

static void
memtable_ask(struct lookup *lookup, const struct memtable *memtable,
             const struct memtable_version **found)
{
    const struct memtable_version *version;
    uint64_t range_ts;
    uint64_t lsn = 0;

    lookup->is_present = lookup->is_present && memtable->ts_newest <= lookup->snapshot;
    if (!lookup_may_change(lookup, memtable->ts_newest)) {
        return;
    }
    range_ts = range_map_ts(&memtable->ranges, lookup->key, lookup->snapshot, &lsn);
    if (range_ts > lookup->range_ts) {
        lookup->range_ts = range_ts;
        lookup->range_lsn = lsn;
    }
    version = memtable_get(memtable, lookup->key, lookup->snapshot);
    if (version != NULL && (!lookup->has_entry || version->ts > lookup->entry.ts)) {
        lookup->has_entry = true;
        lookup->entry.ts = version->ts;
        *found = version;
    }
}

static void
memory_ask(struct lookup *lookup)
{
    const struct lsm *lsm = lookup->lsm;
    const struct memtable_version *found = NULL;

    lookup->is_present = lookup->snapshot >= lsm->version->ts_newest;
    lookup->generation = entry_cache_generation(lsm->entries);
    memtable_ask(lookup, lsm->active, &found);
    for (const struct memtable *at = lsm->frozen_newest; at != NULL; at = at->older) {
        memtable_ask(lookup, at, &found);
    }
    lookup->is_present = lookup->is_present && found == NULL && lookup->range_ts == 0;
    if (found != NULL) {
        lookup->entry = (struct lsm_entry){
            .value = found->ts >= lookup->range_ts
                         ? arena_copy(lookup->arena, slice_of(found->value, found->value_size))
                         : slice_of(NULL, 0),
            .ts = found->ts,
            .expire_us = found->expire_us,
            .lsn = found->lsn,
            .slot = found->slot,
            .kind = found->kind,
        };
    }
}

/* ---- Large values. ----
 *
 * Memtables are not pinned, and tables only while they are asked. From then on the lookup itself
 * refers to the value log that its entry points into: a flush and a compaction which moves the
 * value may come before it is read. */

static void
lookup_release(struct lookup *lookup)
{
    if (lookup->vlog_file != 0) {
        vlog_unref(lookup->lsm->vlog, lookup->vlog_file);
        lookup->vlog_file = 0;
    }
}

/* Before suspending, with what memory gave, and before the tables are unpinned. */
static void
lookup_hold(struct lookup *lookup)
{
    const struct lsm_entry *entry = &lookup->entry;
    struct vlog_pointer pointer = {0};

    if (!lookup->has_entry || entry->kind != LSM_PUT_LARGE ||
        entry->value.size != VLOG_POINTER_BYTES ||
        vlog_pointer_decode(entry->value, &pointer) != ERR_OK) {
        lookup_release(lookup);
        return;
    }
    vlog_ref(lookup->lsm->vlog, pointer.file_number); /* First: the old one may be the same. */
    lookup_release(lookup);
    lookup->vlog_file = pointer.file_number;
}

/* ---- Tables. ----
 *
 * The tables that may have the key are found first, and their filters fetched, so that the
 * processor waits for memory once and not once a table. */

enum { LOOKUP_TABLES_MAX = 32 }; /* At a time; a level 0 that is longer takes several rounds. */

struct lookup_tables {
    struct lsm_table *tables[LOOKUP_TABLES_MAX]; /* Newest level first. */
    uint32_t count;
    uint32_t level; /* Where the next round goes on. */
    uint32_t index; /* In level 0. */
};

static bool
table_matters(const struct lookup *lookup, const struct lsm_table *table)
{
    const struct table_meta *meta = table->meta;

    return lookup_may_change(lookup, meta->ts_newest) && meta->ts_oldest <= lookup->snapshot;
}

static void
tables_note(struct lookup_tables *round, const struct lookup *lookup, struct lsm_table *table)
{
    if (table_matters(lookup, table) && table_meta_has(table->meta, lookup->key)) {
        table_prefetch(table->table, lookup->hash);
        round->tables[round->count++] = table;
    }
}

/* The next round of tables; false at the end. */
static bool
tables_find(struct lookup_tables *round, const struct lookup *lookup, const struct version *version)
{
    const struct level *levels = version->levels;

    round->count = 0;
    while (round->level < LSM_LEVELS && round->count < LOOKUP_TABLES_MAX) {
        struct lsm_table *table;

        if (round->level == 0 && round->index < levels[0].count) {
            tables_note(round, lookup, levels[0].tables[round->index++]);
            continue;
        }
        table = round->level == 0 || levels[round->level].count == 0
                    ? NULL
                    : level_table_for(&levels[round->level], lookup->key);
        if (table != NULL) {
            tables_note(round, lookup, table);
        }
        round->level++;
    }
    return round->count > 0;
}

static void
table_ranges_ask(struct lookup *lookup, const struct lsm_table *table)
{
    uint64_t range_ts = table_range_delete_ts(table->table, lookup->key, lookup->snapshot);

    if (range_ts > lookup->range_ts) {
        lookup->range_ts = range_ts;
        lookup->range_lsn = 0;
    }
}

/* The key in one table. Sets must_wait when its block is not in memory and we must not wait. */
static YIELDS err_t
table_get_entry(struct lookup *lookup, struct lsm_table *table, struct lsm_entry *entry,
                bool *found)
{
    bool is_cached;
    err_t err;

    TRY(table_try_get(table->table, lookup->key, lookup->snapshot, lookup->arena, entry, found,
                      &is_cached));
    if (is_cached) {
        return ERR_OK;
    }
    if (!lookup->may_wait) {
        lookup->must_wait = true;
        return ERR_OK;
    }
    lookup->did_read = true;
    err = table_get(table->table, lookup->key, lookup->hash, lookup->snapshot, lookup->arena, entry,
                    found);
out:
    return err;
}

static YIELDS err_t
table_ask(struct lookup *lookup, struct lsm_table *table)
{
    struct lsm_entry entry;
    bool found = false;
    err_t err = ERR_OK;

    if (!table_matters(lookup, table)) {
        return ERR_OK;
    }
    if (table->meta->range_deletes > 0) {
        table_ranges_ask(lookup, table);
    }
    if (!table_may_contain(table->table, lookup->hash)) {
        lookup->lsm->stats.filter_skips++;
        return ERR_OK;
    }
    TRY(table_get_entry(lookup, table, &entry, &found));
    if (found && (!lookup->has_entry || entry.ts > lookup->entry.ts)) {
        lookup->has_entry = true;
        lookup->entry = entry;
        lookup->entry.lsn = table->lsn;
    }
out:
    return err;
}

/* ---- Entries that were read before. ---- */

/* True when the entry cache answers for all tables. */
static bool
entries_ask(struct lookup *lookup)
{
    struct lsm_entry entry;

    if (!entry_cache_find(lookup->lsm->entries, lookup->key, lookup->hash, &entry) ||
        entry.ts > lookup->snapshot) {
        return false;
    }
    if (!lookup->has_entry || entry.ts > lookup->entry.ts) {
        lookup->has_entry = true;
        lookup->entry = entry;
        lookup->entry.value = arena_copy(lookup->arena, entry.value);
    }
    return true;
}

/* The rules for who may offer: entry_cache.h. */
static void
entries_offer(const struct lookup *lookup)
{
    struct lsm *lsm = lookup->lsm;
    struct lsm_entry entry = lookup->entry;
    struct block_cache_stats blocks;

    if (!lookup->did_read || !lookup->is_present || !lookup->has_entry || lookup->range_ts > 0 ||
        entry.lsn != 0) {
        return;
    }
    entry.key = lookup->key;
    entry_cache_offer(lsm->entries, lookup->hash, &entry, lookup->generation);
    block_cache_stats_get(lsm->cache, &blocks);
    if (entry_cache_adapt(lsm->entries, blocks.ghost_hits)) {
        lsm_cache_lend(lsm);
    }
}

static YIELDS err_t
tables_ask(struct lookup *lookup, const struct version *version)
{
    struct lookup_tables round;
    err_t err = ERR_OK;

    round.level = 0;
    round.index = 0;
    lookup->hash = table_key_hash(lookup->key);
    if (entries_ask(lookup)) {
        return ERR_OK;
    }
    while (tables_find(&round, lookup, version)) {
        for (uint32_t i = 0; i < round.count && !lookup->must_wait; i++) {
            TRY(table_ask(lookup, round.tables[i]));
        }
        if (lookup->must_wait) {
            return ERR_OK;
        }
    }
    entries_offer(lookup);
out:
    return err;
}

/* ---- The answer. ---- */

/* A reference keeps the file while we read, whatever flushes and compactions do meanwhile. */
YIELDS err_t
lsm_large_read(struct lsm *lsm, struct slice pointer_bytes, struct arena *arena,
               struct slice *value_out)
{
    struct vlog_pointer pointer;
    err_t err;

    TRY(vlog_pointer_decode(pointer_bytes, &pointer));
    vlog_ref(lsm->vlog, pointer.file_number);
    err = vlog_read(lsm->vlog, &pointer, arena, value_out);
    vlog_unref(lsm->vlog, pointer.file_number);
out:
    return err;
}

static YIELDS err_t
lookup_answer(struct lookup *lookup, struct lsm_value *value_out)
{
    const struct lsm_entry *entry = &lookup->entry;
    struct lsm_value value = {0};
    err_t err = ERR_OK;

    if (lookup->range_ts > 0 && (!lookup->has_entry || lookup->range_ts > entry->ts)) {
        value.ts = lookup->range_ts;
        value.lsn = lookup->range_lsn;
    } else if (lookup->has_entry) {
        value.ts = entry->ts;
        value.lsn = entry->lsn;
        value.expire_us = entry->expire_us;
        value.slot = entry->slot;
        value.is_found =
            entry->kind != LSM_DELETE &&
            (entry->expire_us == 0 || entry->expire_us > lookup->snapshot >> TS_MICROSECOND_SHIFT);
    }
    if (value.is_found) {
        value.value = entry->value;
        if (entry->kind == LSM_PUT_LARGE) {
            TRY(lsm_large_read(lookup->lsm, entry->value, lookup->arena, &value.value));
        }
    }
    *value_out = value;
out:
    return err;
}

static err_t
snapshot_check(const struct lsm *lsm, uint64_t snapshot)
{
    if (snapshot >= lsm->snapshots.horizon || snapshots_hold(&lsm->snapshots, snapshot)) {
        return ERR_OK;
    }
    return err_set(ERR_SNAPSHOT_TOO_OLD,
                   "the snapshot %llu lies before the horizon %llu and is not held",
                   (unsigned long long)snapshot, (unsigned long long)lsm->snapshots.horizon);
}

static bool
needs_tables(const struct lookup *lookup)
{
    return lookup_may_change(lookup, lookup->lsm->version->ts_newest);
}

static YIELDS err_t
lookup_tables(struct lookup *lookup)
{
    struct version *version = lookup->lsm->version;
    err_t err;

    lookup_hold(lookup);
    version_pin(version);
    err = tables_ask(lookup, version);
    lookup_hold(lookup);
    version_unpin(&version);
    return err;
}

YIELDS err_t
lsm_get(struct lsm *lsm, struct slice key, uint64_t snapshot, struct arena *arena,
        struct lsm_value *value_out)
{
    struct lookup lookup = {
        .lsm = lsm, .key = key, .snapshot = snapshot, .arena = arena, .may_wait = true};
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    TRY(snapshot_check(lsm, snapshot));
    lsm->stats.point_reads++;
    memory_ask(&lookup);
    if (needs_tables(&lookup)) {
        TRY(lookup_tables(&lookup));
    } else {
        lsm->stats.point_reads_memtable++;
    }
    err = lookup_answer(&lookup, value_out);
out:
    lookup_release(&lookup);
    return err;
}

err_t
lsm_try_get(struct lsm *lsm, struct slice key, uint64_t snapshot, struct arena *arena,
            struct lsm_value *value_out, bool *is_answered_out)
{
    struct lookup lookup = {.lsm = lsm, .key = key, .snapshot = snapshot, .arena = arena};
    bool asks_tables;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    TRY(snapshot_check(lsm, snapshot));
    memory_ask(&lookup);
    asks_tables = needs_tables(&lookup);
    if (asks_tables) {
        TRY(tables_ask(&lookup, lsm->version)); /* Nobody else runs: no pin. */
    }
    *is_answered_out =
        !lookup.must_wait && !(lookup.has_entry && lookup.entry.kind == LSM_PUT_LARGE);
    if (!*is_answered_out) {
        return ERR_OK;
    }
    lsm->stats.point_reads++;
    lsm->stats.point_reads_memtable += !asks_tables;
    err = lookup_answer(&lookup, value_out);
out:
    return err;
}

/* ---- Several at once. ---- */

struct multi_get {
    struct lsm *lsm;
    struct version *version;
    struct lookup *lookups;
    uint32_t *waiting; /* Lookups that need tables. */
    uint32_t waiting_count;
    uint32_t waiting_next;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static void
multi_get_worker(void *arg)
{
    struct multi_get *multi = arg;

    while (multi->waiting_next < multi->waiting_count && multi->err == ERR_OK) {
        struct lookup *lookup = &multi->lookups[multi->waiting[multi->waiting_next++]];
        err_t err = tables_ask(lookup, multi->version);

        lookup_hold(lookup);
        if (err != ERR_OK && multi->err == ERR_OK) {
            /* The diagnostic is this fiber's; the caller needs it. */
            size_t size = strlen(err_message(err));

            multi->err = err;
            memcpy(multi->message, err_message(err), size + 1);
        }
    }
}

static YIELDS err_t
multi_get_tables(struct multi_get *multi)
{
    struct fiber_group group;
    uint32_t fibers = MIN(multi->waiting_count, (uint32_t)LSM_MULTI_GET_FIBERS);

    fiber_group_init(&group);
    for (uint32_t i = 1; i < fibers; i++) {
        /* Without further fibers the ones there are, or the caller, do the work. */
        if (!fiber_group_spawn(&group, "lsm get", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                               multi_get_worker, multi)) {
            break;
        }
    }
    multi_get_worker(multi);
    fiber_group_wait(&group);
    return multi->err == ERR_OK ? ERR_OK : err_set(multi->err, "%s", multi->message);
}

YIELDS err_t
lsm_multi_get(struct lsm *lsm, const struct slice *keys, uint32_t count, uint64_t snapshot,
              struct arena *arena, struct lsm_value *results)
{
    struct multi_get multi = {.lsm = lsm};
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    multi.lookups = mem_zalloc(MEM_SESSIONS, count * sizeof(multi.lookups[0]));
    multi.waiting = mem_alloc(MEM_SESSIONS, count * sizeof(multi.waiting[0]));
    if (multi.lookups == NULL || multi.waiting == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory to read %u keys at once", count);
        goto out;
    }
    TRY(snapshot_check(lsm, snapshot));
    lsm->stats.point_reads += count;
    for (uint32_t i = 0; i < count; i++) {
        multi.lookups[i] = (struct lookup){
            .lsm = lsm, .key = keys[i], .snapshot = snapshot, .arena = arena, .may_wait = true};
        memory_ask(&multi.lookups[i]);
        lookup_hold(&multi.lookups[i]);
        if (needs_tables(&multi.lookups[i])) {
            multi.waiting[multi.waiting_count++] = i;
        }
    }
    lsm->stats.point_reads_memtable += count - multi.waiting_count;
    if (multi.waiting_count > 0) {
        multi.version = lsm->version;
        version_pin(multi.version);
        err = multi_get_tables(&multi);
        version_unpin(&multi.version);
        TRY(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(lookup_answer(&multi.lookups[i], &results[i]));
    }
    err = ERR_OK;
out:
    for (uint32_t i = 0; i < count && multi.lookups != NULL; i++) {
        lookup_release(&multi.lookups[i]);
    }
    mem_free(MEM_SESSIONS, multi.lookups, count * sizeof(multi.lookups[0]));
    mem_free(MEM_SESSIONS, multi.waiting, count * sizeof(multi.waiting[0]));
    return err;
}
