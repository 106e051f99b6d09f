/* lsm/compact_drop.c - tables that go without being read: those wholly hidden by a newer range
 * delete, and range deletes that hide nothing any more. Looks and marks; never suspends. */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { PICK_DROPS_MAX = 4096, PICK_FRAGMENTS_MAX = 1 << 16 };

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
    bool is_blocked; /* Some table could go but for a snapshot, the horizon or a running job. */
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
        if (table == by || table->meta->ts_newest >= by->meta->ts_newest ||
            !ranges_cover(by, table->meta, &until)) {
            continue;
        }
        if (table->busy_with != NULL ||
            snapshot_set_needs(&search->set, table->meta->ts_oldest, until)) {
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

bool
compact_pick_drop(struct lsm *lsm, struct compaction *job)
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
        compaction_add_inputs(job, 0, search.found, search.count);
        job->reason = COMPACT_DROP;
    }
    mem_free(MEM_BACKGROUND, search.found, bytes);
    snapshot_set_fini(&search.set);
    return job->is_drop;
}
