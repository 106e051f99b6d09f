/* lsm/compact_garbage.c - tables of which much could go. Looks and marks; never suspends.
 *
 * A delete costs scans and space until it meets all that it hides. Where deletes are a good part of
 * a table and no snapshot needs what they hide any more, the table goes down at once, without
 * waiting for its level to be full; at the bottom it is rewritten where it is. A rewrite at the
 * bottom happens once: collected_floor then says that nothing more can be gained from it. */
#include "lsm/internal.h"

#include "engine/base/poison.h"

enum { GARBAGE_SHARE = 4 }; /* Deletes are worth a job when they are one entry in so many. */

/* Is it time? *waits_out: not yet, because of a snapshot or the horizon. */
static bool
is_garbage(const struct lsm_table *table, uint32_t level, uint64_t floor, bool *waits_out)
{
    const struct table_meta *meta = table->meta;

    if (compact_is_taken(table) || meta->deletes == 0 ||
        meta->deletes < meta->entries / GARBAGE_SHARE) {
        return false;
    }
    if (level == LSM_LEVELS - 1 && table->collected_floor >= meta->ts_newest) {
        return false; /* Something older is hidden somewhere above. */
    }
    if (meta->ts_newest > floor) {
        *waits_out = true;
        return false;
    }
    return true;
}

bool
compact_pick_table(struct lsm *lsm, struct lsm_table *table, uint32_t level, uint32_t output_level,
                   enum compact_reason reason, struct compaction *job)
{
    job->level = level;
    job->output_level = output_level;
    job->reason = reason;
    compaction_add_inputs(job, 0, &table, 1);
    if (compaction_complete(lsm, job)) {
        job->is_move = false; /* Moving alone drops nothing. */
        return true;
    }
    compaction_fini(job);
    return false;
}

bool
compact_pick_garbage(struct lsm *lsm, const struct level_targets *targets, struct compaction *job)
{
    uint64_t floor = MIN(snapshots_floor(&lsm->snapshots), lsm_memtables_oldest(lsm, NULL));

    lsm->garbage_waits = false;
    for (uint32_t i = 1; i < LSM_LEVELS; i++) {
        const struct level *level = &lsm->version->levels[i];
        uint32_t output_level =
            i == LSM_LEVELS - 1 ? i : MAX(i + 1, targets->base); /* As compact_pick.c does. */

        for (uint32_t k = 0; k < level->count; k++) {
            if (is_garbage(level->tables[k], i, floor, &lsm->garbage_waits) &&
                compact_pick_table(lsm, level->tables[k], i, output_level, COMPACT_BY_GARBAGE,
                                   job)) {
                return true;
            }
        }
    }
    return false;
}
