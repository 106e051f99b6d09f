/* lsm/compact_scanned.c - what scans step over in vain, and when that is worth a compaction.
 *
 * A queue is the example: what is put at one end and deleted at the other leaves deletes, and below
 * them what they hide, just where every scan begins. Such a step is noted with the table that has
 * the version which decided, because to merge that one with what lies below it is what spares the
 * steps. The merge is begun when scans have lost with its tables what it will cost, so whatever
 * they do, compactions for their sake take no more time than they have lost before; how many
 * deletes a table has, and where, does not matter. Looks and marks; never suspends. */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    SCAN_COST = 8,            /* To rewrite an entry takes as long as so many steps. */
    SCAN_MEMTABLE_FACTOR = 8, /* A flush has its price even when little is in it. */
};

void
lsm_scan_skipped(struct lsm *lsm, struct lsm_table *table, uint64_t steps)
{
    lsm->stats.scan_skips += steps;
    if (table == NULL) {
        lsm->memtable_skips += steps;
        return;
    }
    table->scan_skips += steps;
    if (table->scan_skips >= MAX(table->scan_mark, lsm->options.scan_skips_min)) {
        table->scan_mark = 2 * table->scan_skips; /* Until somebody has looked. */
        lsm->compact_is_due = true;
        cond_signal(&lsm->compact_cond);
    }
}

bool
lsm_scans_want_rotation(const struct lsm *lsm)
{
    return lsm->memtable_skips >= lsm->options.scan_skips_min * SCAN_MEMTABLE_FACTOR &&
           lsm->memtable_skips >= lsm->active->versions * SCAN_COST;
}

static uint64_t
tables_entries(struct lsm_table *const *tables, uint32_t count)
{
    uint64_t entries = 0;

    for (uint32_t i = 0; i < count; i++) {
        entries += tables[i]->meta->entries;
    }
    return entries;
}

/* What lies below the bounds. */
static uint64_t
overlap_entries(const struct lsm *lsm, uint32_t output_level, const struct key_bounds *bounds)
{
    const struct level *below = &lsm->version->levels[output_level];
    uint32_t first = 0;
    uint32_t count = level_overlap(below, bounds, &first);

    return tables_entries(below->tables + first, count);
}

/* Can anything be gained from the table, now? */
static bool
is_ripe(struct lsm *lsm, const struct lsm_table *table, uint32_t level, uint64_t floor)
{
    const struct table_meta *meta = table->meta;

    if (compact_is_taken(table) || table->scan_skips == 0 ||
        (level == LSM_LEVELS - 1 && table->collected_floor >= MIN(floor, meta->ts_newest))) {
        return false;
    }
    lsm->garbage_waits |= meta->ts_oldest > floor;
    return meta->ts_oldest <= floor;
}

/* Level 0 goes down whole, or its tables would share nothing of the cost. */
static bool
pick_level0(struct lsm *lsm, uint32_t base, uint64_t floor, struct compaction *job)
{
    const struct level *level0 = &lsm->version->levels[0];
    struct key_bounds bounds = {.is_empty = true};
    uint64_t skips = 0;
    uint64_t entries = 0;

    for (uint32_t i = 0; i < level0->count; i++) {
        struct lsm_table *table = level0->tables[i];

        if (!compact_is_taken(table)) {
            key_bounds_add(&bounds, table->meta);
            entries += table->meta->entries;
            skips += is_ripe(lsm, table, 0, floor) ? table->scan_skips : 0;
        }
    }
    if (skips < lsm->options.scan_skips_min || skips < entries * SCAN_COST) {
        return false;
    }
    entries += overlap_entries(lsm, base, &bounds);
    return skips >= entries * SCAN_COST && compact_pick_level0(lsm, base, COMPACT_BY_SCANS, job);
}

static bool
pick_table(struct lsm *lsm, struct lsm_table *table, uint32_t level, uint32_t output_level,
           struct compaction *job)
{
    struct key_bounds bounds = key_bounds_of(&table, 1);
    uint64_t entries = table->meta->entries;

    if (output_level != level) {
        entries += overlap_entries(lsm, output_level, &bounds);
    }
    if (table->scan_skips < entries * SCAN_COST) {
        table->scan_mark = entries * SCAN_COST;
        return false;
    }
    return compact_pick_table(lsm, table, level, output_level, COMPACT_BY_SCANS, job);
}

bool
compact_pick_scanned(struct lsm *lsm, const struct level_targets *targets, struct compaction *job)
{
    uint64_t floor = snapshots_floor(&lsm->snapshots);

    if (lsm->stats.scan_skips == 0) {
        return false;
    }
    if (pick_level0(lsm, targets->base, floor, job)) {
        return true;
    }
    for (uint32_t i = 1; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];
        uint32_t output_level = i == LSM_LEVELS - 1 ? i : MAX(i + 1, targets->base);

        for (uint32_t k = 0; k < level->count; k++) {
            struct lsm_table *table = level->tables[k];

            if (table->scan_skips >= lsm->options.scan_skips_min && is_ripe(lsm, table, i, floor) &&
                pick_table(lsm, table, i, output_level, job)) {
                return true;
            }
        }
    }
    return false;
}
