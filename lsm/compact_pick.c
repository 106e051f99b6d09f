/* lsm/compact_pick.c - what to compact next. Looks and marks; never suspends.
 *
 * In order of urgency:
 *   1. tables wholly hidden by a newer range delete, and range deletes that hide nothing any more:
 *      they go without being read;
 *   2. the level that is furthest above its target: level 0 by number of tables, the others by
 *      bytes. From a level >= 1 the table that has least below it for its size is taken (the
 *      measure of write amplification of O'Neil et al. and RocksDB's kMinOverlappingRatio). */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { SCORE_ONE = 1000, PICK_DROPS_MAX = 4096, PICK_FRAGMENTS_MAX = 1 << 16 };

/* ---- Jobs. ---- */

void
compaction_init(struct compaction *job)
{
    memset(job, 0, sizeof(*job));
}

static void
job_inputs_set(struct compaction *job, uint32_t which, struct lsm_table *const *tables,
               uint32_t count)
{
    size_t bytes = count * sizeof(tables[0]);

    ASSERT(job->inputs[which] == NULL);
    job->inputs[which] = mem_alloc(MEM_BACKGROUND, bytes);
    job->counts[which] = count;
    if (count > 0) {
        memcpy(job->inputs[which], tables, bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(tables[i]->busy_with == NULL);
        lsm_table_pin(tables[i]);
        tables[i]->busy_with = job;
    }
}

void
compaction_fini(struct compaction *job)
{
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        for (uint32_t i = 0; i < job->counts[which]; i++) {
            job->inputs[which][i]->busy_with = NULL;
            lsm_table_unpin(job->inputs[which][i]);
        }
        mem_free(MEM_BACKGROUND, job->inputs[which],
                 job->counts[which] * sizeof(job->inputs[which][0]));
    }
    memset(job, 0, sizeof(*job));
}

/* ---- Bounds. ---- */

struct bounds {
    struct slice low;
    struct slice high;
    bool high_is_exclusive;
    bool is_empty;
};

static void
bounds_add(struct bounds *bounds, const struct table_meta *meta)
{
    int order;

    if (bounds->is_empty) {
        *bounds = (struct bounds){.low = meta->smallest,
                                  .high = meta->largest,
                                  .high_is_exclusive = meta->largest_is_exclusive};
        return;
    }
    if (slice_compare(meta->smallest, bounds->low) < 0) {
        bounds->low = meta->smallest;
    }
    order = slice_compare(meta->largest, bounds->high);
    if (order > 0 || (order == 0 && !meta->largest_is_exclusive)) {
        bounds->high = meta->largest;
        bounds->high_is_exclusive = meta->largest_is_exclusive;
    }
}

static struct bounds
bounds_of(struct lsm_table *const *tables, uint32_t count)
{
    struct bounds bounds = {.is_empty = true};

    for (uint32_t i = 0; i < count; i++) {
        bounds_add(&bounds, tables[i]->meta);
    }
    return bounds;
}

/* The tables of a level >= 1 within the bounds are neighbours: from *first_out, so many. */
static uint32_t
level_overlap(const struct level *level, const struct bounds *bounds, uint32_t *first_out)
{
    uint32_t first = level_find(level, bounds->low);
    uint32_t end = first;

    while (end < level->count && table_meta_overlaps(level->tables[end]->meta, bounds->low,
                                                     bounds->high, bounds->high_is_exclusive)) {
        end++;
    }
    *first_out = first;
    return end - first;
}

static bool
any_shunned(struct lsm_table *const *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (tables[i]->is_shunned) {
            return true;
        }
    }
    return false;
}

/* ---- 1. What goes without being read. ---- */

/* Do the range deletes of `by` cover all of the table, newer than all in it? *until_out: from
 * when on it is hidden. The fragments of a table are disjoint and sorted, equal ones newest
 * first. */
static bool
ranges_cover(const struct lsm_table *by, const struct table_meta *meta, uint64_t *until_out)
{
    uint32_t count = table_range_delete_count(by->table);
    struct slice reached = meta->smallest;
    uint64_t until = 0;
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) { /* The first fragment that ends behind the table's begin. */
        uint32_t middle = (low + high) / 2;

        if (slice_compare(table_range_delete_at(by->table, middle).end, reached) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (uint32_t i = low; i < count && i - low < PICK_FRAGMENTS_MAX; i++) {
        struct lsm_range_delete range = table_range_delete_at(by->table, i);
        int order;

        if (slice_compare(range.end, reached) <= 0) {
            continue; /* An older layer of the same piece. */
        }
        if (slice_compare(range.start, reached) > 0 || range.ts <= meta->ts_newest) {
            return false;
        }
        until = MAX(until, range.ts);
        reached = range.end;
        order = slice_compare(reached, meta->largest);
        if (order > 0 || (order == 0 && meta->largest_is_exclusive)) {
            *until_out = until;
            return true;
        }
    }
    return false;
}

struct drop_search {
    const struct lsm *lsm;
    struct snapshot_set set;
    struct lsm_table **found;
    uint32_t count;
    uint32_t level;
    bool is_blocked; /* Some table could go but for a snapshot or the horizon. */
};

/* All tables of one level that the range deletes of `by` hide. */
static void
drop_search_level(struct drop_search *search, uint32_t number, const struct lsm_table *by)
{
    const struct level *level = &search->lsm->version->levels[number];
    uint32_t first = number == 0 ? 0 : level_find(level, by->meta->smallest);

    for (uint32_t i = first; i < level->count && search->count < PICK_DROPS_MAX; i++) {
        struct lsm_table *table = level->tables[i];
        uint64_t until = 0;

        if (!table_meta_overlaps(table->meta, by->meta->smallest, by->meta->largest,
                                 by->meta->largest_is_exclusive)) {
            if (number > 0) {
                break;
            }
            continue;
        }
        if (table == by || table->busy_with != NULL ||
            table->meta->ts_newest >= by->meta->ts_newest ||
            !ranges_cover(by, table->meta, &until)) {
            continue;
        }
        if (snapshot_set_needs(&search->set, table->meta->ts_oldest, until)) {
            search->is_blocked = true;
            continue;
        }
        search->found[search->count++] = table;
    }
}

/* Nothing but range deletes, and nothing left that they hide. */
static bool
ranges_are_spent(const struct lsm *lsm, const struct lsm_table *table, uint64_t floor)
{
    const struct table_meta *meta = table->meta;

    if (meta->entries > 0 || meta->ts_newest > MIN(floor, lsm_memtables_oldest(lsm, NULL))) {
        return false;
    }
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            if (level->tables[k] != table && level->tables[k]->meta->ts_oldest < meta->ts_newest &&
                table_meta_overlaps(level->tables[k]->meta, meta->smallest, meta->largest,
                                    meta->largest_is_exclusive)) {
                return false;
            }
        }
    }
    return true;
}

static void
drop_search_by(struct drop_search *search, uint32_t level, struct lsm_table *by)
{
    search->is_blocked = false;
    for (uint32_t i = 0; i < LSM_LEVELS && search->count == 0; i++) {
        search->level = i;
        drop_search_level(search, i, by);
    }
    if (search->count > 0) {
        return; /* There may be more; the table is asked again. */
    }
    by->cover_is_checked = !search->is_blocked;
    if (by->busy_with == NULL &&
        ranges_are_spent(search->lsm, by, snapshot_set_floor(&search->set))) {
        search->level = level;
        search->found[search->count++] = by;
    }
}

static bool
pick_drop(struct lsm *lsm, struct compaction *job)
{
    struct drop_search search = {.lsm = lsm};
    size_t bytes = PICK_DROPS_MAX * sizeof(search.found[0]);

    if (lsm->version->range_deletes == 0) {
        return false;
    }
    snapshot_set_init(&search.set, &lsm->snapshots);
    search.found = mem_alloc(MEM_BACKGROUND, bytes);
    for (uint32_t i = 0; i < LSM_LEVELS && search.count == 0; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = 0; k < level->count && search.count == 0; k++) {
            struct lsm_table *by = level->tables[k];

            if (by->meta->range_deletes > 0 && (!by->cover_is_checked || by->meta->entries == 0)) {
                drop_search_by(&search, i, by);
            }
        }
    }
    if (search.count > 0) {
        job->is_drop = true;
        job->level = search.level;
        job->output_level = search.level;
        job_inputs_set(job, 0, search.found, search.count);
    }
    mem_free(MEM_BACKGROUND, search.found, bytes);
    snapshot_set_fini(&search.set);
    return job->is_drop;
}

/* ---- 2. Levels. ---- */

uint64_t
compact_level_target(const struct lsm *lsm, uint32_t level)
{
    uint64_t target = lsm->options.level_base_bytes;

    for (uint32_t i = 1; i < level; i++) {
        target *= LSM_LEVEL_FACTOR;
    }
    return target;
}

/* In thousandths of the target. */
static uint64_t
level_score(const struct lsm *lsm, uint32_t level)
{
    if (level == 0) {
        return (uint64_t)lsm_level0_count(lsm) * SCORE_ONE / lsm->options.level0_tables;
    }
    return lsm->version->levels[level].bytes / (compact_level_target(lsm, level) / SCORE_ONE + 1);
}

/* One table, alone where it is and without anything below: it may move as it is, unless it
 * should be cut at a border of keyspaces on the way out of level 0. */
static bool
may_move(const struct lsm_table *table, uint32_t level)
{
    const struct table_meta *meta = table->meta;

    if (level > 0) {
        return true;
    }
    return meta->smallest.size >= LSM_KEYSPACE_BYTES && meta->largest.size >= LSM_KEYSPACE_BYTES &&
           memcmp(meta->smallest.data, meta->largest.data, LSM_KEYSPACE_BYTES) == 0;
}

/* Add what the inputs need of the level below. False when corrupt tables are in the way. */
static bool
job_complete(struct lsm *lsm, struct compaction *job)
{
    const struct level *below = &lsm->version->levels[job->output_level];
    struct bounds bounds = bounds_of(job->inputs[0], job->counts[0]);
    uint32_t first = 0;
    uint32_t count = job->output_level == job->level ? 0 : level_overlap(below, &bounds, &first);

    if (any_shunned(below->tables + first, count)) {
        return false;
    }
    job_inputs_set(job, 1, count > 0 ? below->tables + first : NULL, count);
    job->is_move = job->output_level != job->level && job->counts[0] == 1 && count == 0 &&
                   may_move(job->inputs[0][0], job->level);
    return true;
}

static bool
pick_level0(struct lsm *lsm, struct compaction *job)
{
    const struct level *level0 = &lsm->version->levels[0];
    size_t bytes = level0->count * sizeof(level0->tables[0]);
    struct lsm_table **usable = mem_alloc(MEM_BACKGROUND, bytes);
    uint32_t count = 0;

    for (uint32_t i = 0; i < level0->count; i++) {
        if (!level0->tables[i]->is_shunned) {
            usable[count++] = level0->tables[i];
        }
    }
    job->level = 0;
    job->output_level = 1;
    job_inputs_set(job, 0, usable, count);
    mem_free(MEM_BACKGROUND, usable, bytes);
    if (count > 0 && job_complete(lsm, job)) {
        return true;
    }
    compaction_fini(job);
    return false;
}

/* The bytes below a table, per byte of its own, in thousandths; UINT64_MAX: it cannot be taken. */
static uint64_t
overlap_ratio(const struct level *below, const struct lsm_table *table)
{
    struct lsm_table *const one[1] = {(struct lsm_table *)(uintptr_t)table};
    struct bounds bounds = bounds_of(one, 1);
    uint32_t first = 0;
    uint32_t count = level_overlap(below, &bounds, &first);
    uint64_t bytes = 0;

    if (table->is_shunned || any_shunned(below->tables + first, count)) {
        return UINT64_MAX;
    }
    for (uint32_t i = 0; i < count; i++) {
        bytes += below->tables[first + i]->meta->file_bytes;
    }
    return bytes * SCORE_ONE / MAX(1u, table->meta->file_bytes);
}

static bool
pick_level(struct lsm *lsm, uint32_t number, struct compaction *job)
{
    const struct level *level = &lsm->version->levels[number];
    const struct level *below = &lsm->version->levels[number + 1];
    uint64_t best_ratio = UINT64_MAX;
    uint32_t best = 0;

    for (uint32_t i = 0; i < level->count; i++) {
        uint64_t ratio = overlap_ratio(below, level->tables[i]);

        if (ratio < best_ratio) {
            best_ratio = ratio;
            best = i;
        }
    }
    if (best_ratio == UINT64_MAX) {
        return false;
    }
    job->level = number;
    job->output_level = number + 1;
    job_inputs_set(job, 0, &level->tables[best], 1);
    return job_complete(lsm, job);
}

bool
compact_pick(struct lsm *lsm, struct compaction *job)
{
    uint32_t tried = 0; /* A bit a level. */

    if (pick_drop(lsm, job)) {
        return true;
    }
    for (;;) {
        uint64_t best_score = SCORE_ONE - 1;
        uint32_t best = LSM_LEVELS;

        for (uint32_t i = 0; i + 1 < LSM_LEVELS; i++) {
            uint64_t score = level_score(lsm, i);

            if (score > best_score && (tried & 1u << i) == 0) {
                best_score = score;
                best = i;
            }
        }
        if (best == LSM_LEVELS) {
            return false;
        }
        if (best == 0 ? pick_level0(lsm, job) : pick_level(lsm, best, job)) {
            return true;
        }
        tried |= 1u << best;
    }
}

bool
compact_pick_range(struct lsm *lsm, uint32_t number, bool is_bottom, struct slice lower,
                   struct slice upper, struct compaction *job)
{
    const struct level *level = &lsm->version->levels[number];
    size_t bytes = level->count * sizeof(level->tables[0]);
    struct lsm_table **chosen = mem_alloc(MEM_BACKGROUND, bytes);
    uint32_t count = 0;

    for (uint32_t i = 0; i < level->count; i++) {
        const struct table_meta *meta = level->tables[i]->meta;

        if (table_meta_compare_end(meta, lower) < 0 ||
            (upper.size > 0 && slice_compare(meta->smallest, upper) >= 0)) {
            continue;
        }
        if (!level->tables[i]->is_shunned) {
            chosen[count++] = level->tables[i];
        } else if (is_bottom) {
            count = 0; /* New tables in its place could overlap it. */
            break;
        }
    }
    job->level = number;
    job->output_level = is_bottom ? number : number + 1;
    job_inputs_set(job, 0, chosen, count);
    mem_free(MEM_BACKGROUND, chosen, bytes);
    if (count > 0 && job_complete(lsm, job)) {
        return true;
    }
    compaction_fini(job);
    return false;
}
