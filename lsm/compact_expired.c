/* lsm/compact_expired.c - tables of which much has expired. Looks and marks; never suspends.
 *
 * A table says when half of its bytes have expired and when nothing but deletes is left (expiry.h);
 * "expired" is meant for every snapshot there is or will be, so it is the floor that tells the time
 * and not a clock. What has expired wholly goes unread where a delete in its place could go:
 * nothing older lies anywhere within the table's bounds. Else, and from its half on, the table is
 * rewritten where it is: what has expired goes, or stays as a delete of what it hides (collect.h),
 * which is then work for compact_garbage.c. No rewrite leaves anything that was due, so none is
 * repeated. */
#include "lsm/internal.h"

#include "engine/base/canary.h"

#include "engine/base/poison.h"

enum {
    TS_MICROSECOND_SHIFT = 12,
    EXPIRED_DROPS_MAX = 64, /* Tables in one edit. */
    /* A table whose rest expires soon is not rewritten before: it may then go unread. Soon is a
     * fourth of the time that it took the first half. */
    EXPIRY_WAIT_SHARE = 4,
};

struct expired_search {
    const struct lsm *lsm;
    uint64_t floor_us;   /* Of the floor: no snapshot below it exists or will. */
    uint64_t drop_floor; /* And no memtable has anything older. */
};

/* Is there anything older than the table within its bounds? */
static bool
hides_older(const struct lsm *lsm, const struct lsm_table *table)
{
    const struct table_meta *meta = table->meta;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];

        for (uint32_t k = i == 0 ? 0 : level_find(level, meta->smallest); k < level->count; k++) {
            const struct table_meta *other = level->tables[k]->meta;

            if (!table_meta_overlaps(other, meta->smallest, meta->largest,
                                     meta->largest_is_exclusive)) {
                if (i > 0) {
                    break;
                }
            } else if (level->tables[k] != table && other->ts_oldest < meta->ts_newest) {
                return true;
            }
        }
    }
    return false;
}

static bool
can_drop(const struct expired_search *search, const struct lsm_table *table)
{
    const struct table_meta *meta = table->meta;

    return meta->expiry.all_us != 0 && meta->expiry.all_us <= search->floor_us &&
           meta->ts_newest <= search->drop_floor &&
           (CANARY(EXPIRED_DROPPED_EARLY) || !hides_older(search->lsm, table));
}

static bool
is_due(const struct expired_search *search, const struct table_meta *meta)
{
    uint64_t half_us = meta->expiry.half_us;
    uint64_t all_us = meta->expiry.all_us;
    uint64_t written_us = meta->ts_newest >> TS_MICROSECOND_SHIFT;

    if (half_us == 0 || half_us > search->floor_us) {
        return all_us != 0 && all_us <= search->floor_us;
    }
    return all_us == 0 || all_us <= search->floor_us || half_us <= written_us ||
           all_us - half_us > (half_us - written_us) / EXPIRY_WAIT_SHARE;
}

static bool
pick_drops(struct lsm *lsm, const struct expired_search *search, uint32_t number,
           struct compaction *job)
{
    const struct level *level = &lsm->version->levels[number];
    struct lsm_table *found[EXPIRED_DROPS_MAX];
    uint32_t count = 0;

    for (uint32_t k = 0; k < level->count && count < EXPIRED_DROPS_MAX; k++) {
        if (!compact_is_taken(level->tables[k]) && can_drop(search, level->tables[k])) {
            found[count++] = level->tables[k];
        }
    }
    if (count == 0) {
        return false;
    }
    job->is_drop = true;
    job->level = number;
    job->output_level = number;
    job->reason = COMPACT_EXPIRED;
    compaction_add_inputs(job, 0, found, count);
    return true;
}

static bool
pick_rewrite(struct lsm *lsm, const struct expired_search *search, uint32_t number,
             struct compaction *job)
{
    const struct level *level = &lsm->version->levels[number];

    for (uint32_t k = 0; k < level->count; k++) {
        struct lsm_table *table = level->tables[k];

        if (table->meta->expiry.entries == 0 || compact_is_taken(table)) {
            continue;
        }
        if (!is_due(search, table->meta)) {
            lsm->expiry_waits |= table->meta->expiry.half_us + table->meta->expiry.all_us > 0;
            continue;
        }
        job->level = number;
        job->output_level = number;
        job->reason = COMPACT_EXPIRED;
        compaction_add_inputs(job, 0, &table, 1);
        if (compaction_complete(lsm, job)) {
            return true;
        }
        compaction_fini(job);
    }
    return false;
}

static struct expired_search
search_of(const struct lsm *lsm)
{
    uint64_t floor = snapshots_floor(&lsm->snapshots);

    return (struct expired_search){.lsm = lsm,
                                   .floor_us = floor >> TS_MICROSECOND_SHIFT,
                                   .drop_floor = MIN(floor, lsm_memtables_oldest(lsm, NULL))};
}

bool
compact_pick_expired_drop(struct lsm *lsm, struct compaction *job)
{
    const struct expired_search search = search_of(lsm);
    bool is_picked = false;

    for (uint32_t i = 0; i < LSM_LEVELS && !is_picked; i++) {
        is_picked = pick_drops(lsm, &search, i, job);
    }
    return is_picked;
}

bool
compact_pick_expired(struct lsm *lsm, struct compaction *job)
{
    const struct expired_search search = search_of(lsm);
    bool is_picked = false;

    lsm->expiry_waits = false;
    for (uint32_t i = 0; i < LSM_LEVELS && !is_picked; i++) {
        is_picked = pick_rewrite(lsm, &search, i, job);
    }
    return is_picked;
}
