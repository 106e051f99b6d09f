/* lsm/pace.c - holding writers back, early and a little, so that nothing ever has to stop.
 *
 * Each byte written owes so many bytes of background work (the ratio), and background work pays.
 * The ratio is such that what has to be done is done when what is left of the room is used up:
 *
 *     flush        what is frozen, before the last memtable is full
 *     level 0      the merge that runs or is due, before level 0 is at its slow mark
 *     below        the levels' excess, within the next level_base_bytes of writes
 *
 * A writer that owes more than a slice waits until that is paid, a fraction of a millisecond, in
 * which background fibers have the processor. So writers run as fast as background work allows, and
 * on an inline shard, where nothing else turns the loop, puts do their part of it. No clock takes
 * part but for the longest wait. At the end of all room there is a stop. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    ENTRY_OVERHEAD_BYTES = 64,
    PACE_SLICE_BYTES = 16 << 10,   /* A writer waits when so much is owed. */
    PACE_CREDIT_BYTES = 256 << 10, /* Work done ahead counts up to here. */
    PACE_REVIEW_BYTES = 1 << 20,   /* The ratio is looked at after so much work. */
    PACE_WAIT_US_MAX = 1000,       /* Then the writer goes on, and the ratio will rise. */
    PACE_RATIO_ONE = 64,           /* Ratios are in 64ths. */
    PACE_RATIO_MAX = 32 * PACE_RATIO_ONE,
    PACE_RATIO_BELOW_MAX = 8 * PACE_RATIO_ONE,
    PACE_SHARE_MAX = 60,       /* Percent of the shard's work for background fibers, */
    PACE_SHARE_PER_RATIO = 12, /* so many more for each byte owed a byte. */
};

/* ---- How full are we? ---- */

uint32_t
lsm_level0_count(const struct lsm *lsm)
{
    const struct level *level0 = &lsm->version->levels[0];
    uint32_t count = 0;

    for (uint32_t i = 0; i < level0->count; i++) {
        count += !level0->tables[i]->is_shunned && !lsm_table_is_pending(level0->tables[i]);
    }
    return count;
}

bool
lsm_active_is_full(const struct lsm *lsm)
{
    return memtable_bytes(lsm->active) >= lsm->options.memtable_bytes;
}

bool
lsm_can_rotate(const struct lsm *lsm)
{
    return lsm->frozen_count + 1 < lsm->options.memtables_max &&
           lsm_level0_count(lsm) < lsm->options.level0_tables * LSM_LEVEL0_STOP_FACTOR;
}

/* Bytes that the active memtable still takes. */
static uint64_t
active_left(const struct lsm *lsm)
{
    uint64_t full = lsm->options.memtable_bytes;

    return MAX(full - MIN(full, (uint64_t)memtable_bytes(lsm->active)), full / 16 + 1);
}

/* ---- The ratio. ---- */

static uint64_t
ratio_of(uint64_t work, uint64_t room)
{
    return MIN(work / (room / PACE_RATIO_ONE + 1), (uint64_t)PACE_RATIO_MAX);
}

static uint64_t
flush_ratio(const struct lsm *lsm)
{
    uint32_t slots = lsm->options.memtables_max - 1 -
                     MIN(lsm->frozen_count + 1u, lsm->options.memtables_max - 1);
    uint64_t work = 0;

    if (lsm->frozen_count == 0 || lsm->flush_error != ERR_OK) {
        return 0;
    }
    for (const struct memtable *at = lsm->frozen_oldest; at != NULL; at = at->newer) {
        work += memtable_bytes(at);
    }
    work -= MIN(work, lsm->pace.flushed_bytes);
    /* One of the slots stays in reserve. */
    return ratio_of(work,
                    active_left(lsm) + (slots > 1 ? slots - 1 : 0) * lsm->options.memtable_bytes);
}

/* What is left of the jobs that take tables out of level 0. */
static uint64_t
level0_running_bytes(const struct lsm *lsm, bool *any_out)
{
    uint64_t bytes = 0;

    *any_out = false;
    LIST_FOR_EACH(node, &lsm->running) {
        const struct compaction *job = LIST_ENTRY(node, struct compaction, link);

        if (job->level == 0 && !job->is_drop) {
            bytes += job->bytes - MIN(job->bytes, job->bytes_done);
            *any_out = true;
        }
    }
    return bytes;
}

static uint64_t
level_raw_bytes(const struct level *level)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < level->count; i++) {
        bytes += level->tables[i]->meta->raw_bytes;
    }
    return bytes;
}

static uint64_t
level0_ratio(const struct lsm *lsm, const struct level_targets *targets)
{
    uint32_t due = lsm->options.level0_tables;
    uint32_t slow = due * LSM_LEVEL0_SLOW_FACTOR;
    uint32_t stop = due * LSM_LEVEL0_STOP_FACTOR;
    uint32_t count = lsm_level0_count(lsm);
    uint64_t memtable = lsm->options.memtable_bytes;
    bool is_running;
    uint64_t work = level0_running_bytes(lsm, &is_running);
    uint64_t room;

    if ((!is_running && count < slow) || lsm->compact_error != ERR_OK) {
        return 0;
    }
    if (!is_running) {
        work = level_raw_bytes(&lsm->version->levels[0]) +
               level_raw_bytes(&lsm->version->levels[targets->base]);
    }
    count += lsm->frozen_count;
    room = active_left(lsm);
    if (count < slow) {
        room += (slow - count - 1) * memtable;
    } else { /* Late: half of what is left. */
        room = room / 2 + (stop > count + 1 ? stop - count - 1 : 0) * memtable / 2;
    }
    return ratio_of(work, room);
}

void
lsm_pace(struct lsm *lsm)
{
    struct level_targets targets;
    uint64_t ratio;
    uint64_t share;

    if (lsm->options.background_off) {
        return;
    }
    level_targets_find(lsm, &targets);
    ratio = flush_ratio(lsm) + level0_ratio(lsm, &targets);
    if (lsm->compact_error == ERR_OK) {
        ratio += MIN(ratio_of(compact_debt(lsm), lsm->options.level_base_bytes),
                     (uint64_t)PACE_RATIO_BELOW_MAX);
    }
    lsm->pace.ratio = (uint32_t)MIN(ratio, (uint64_t)PACE_RATIO_MAX);
    if (ratio == 0) {
        lsm->pace.owed_bytes = 0;
    }
    share = SHARD_BACKGROUND_PERCENT + ratio * PACE_SHARE_PER_RATIO / PACE_RATIO_ONE;
    shard_background_share_set((uint32_t)MIN(share, (uint64_t)PACE_SHARE_MAX));
}

/* ---- Owing and paying. ---- */

void
lsm_pace_charge(struct lsm *lsm, size_t bytes)
{
    lsm->pace.owed_bytes +=
        (int64_t)((bytes + ENTRY_OVERHEAD_BYTES) * lsm->pace.ratio / PACE_RATIO_ONE);
}

void
lsm_pace_work(struct lsm *lsm, uint64_t bytes)
{
    struct pace *pace = &lsm->pace;

    pace->owed_bytes = MAX(pace->owed_bytes - (int64_t)bytes, -(int64_t)PACE_CREDIT_BYTES);
    if (pace->owed_bytes <= 0 && cond_has_waiters(&lsm->room_cond)) {
        cond_broadcast(&lsm->room_cond);
    }
    pace->unseen_bytes += bytes;
    if (pace->unseen_bytes >= PACE_REVIEW_BYTES) {
        pace->unseen_bytes = 0;
        lsm_pace(lsm);
    }
}

void
lsm_pace_flushed(struct lsm *lsm, uint64_t entries, uint64_t bytes)
{
    bytes += entries * ENTRY_OVERHEAD_BYTES;
    lsm->pace.flushed_bytes += bytes;
    lsm_pace_work(lsm, bytes);
}

/* ---- Room. ---- */

static bool
owes_much(const struct lsm *lsm)
{
    return lsm->pace.owed_bytes > PACE_SLICE_BYTES;
}

static bool
is_stopped(const struct lsm *lsm)
{
    return lsm_active_is_full(lsm) && !lsm_can_rotate(lsm);
}

bool
lsm_has_room(const struct lsm *lsm, size_t bytes)
{
    /* A write of any size may overfill the memtable: what counts is that it was not full. */
    (void)bytes;
    OBJ_CHECK(lsm, LSM_MAGIC);
    return lsm->options.background_off || (!owes_much(lsm) && !is_stopped(lsm));
}

/* What keeps background work from making the room that is missing; ERR_OK when nothing does. */
static err_t
room_error(const struct lsm *lsm)
{
    bool waits_for_flush = lsm->frozen_count + 1 >= lsm->options.memtables_max;
    err_t err = waits_for_flush ? lsm->flush_error : lsm->compact_error;

    switch (err) {
    case ERR_OK:
        return ERR_OK;
    case ERR_NO_SPACE:
        return err_set(ERR_NO_SPACE, "writes cannot be flushed: %s", lsm->error_message);
    default:
        return err_set(ERR_IO, "writes cannot be flushed: %s", lsm->error_message);
    }
}

/* Until what is owed has been paid, but not long. */
static YIELDS err_t
wait_for_work(struct lsm *lsm, uint64_t begin_us)
{
    err_t err;

    lsm->stats.slowdowns++;
    while (lsm->pace.owed_bytes > 0) {
        err = cond_wait_until(&lsm->room_cond, begin_us + PACE_WAIT_US_MAX);
        if (err == ERR_TIMEOUT) {
            SOMETIMES("lsm: a writer waited for background work as long as it may");
            lsm->pace.owed_bytes = 0;
            break;
        }
        if (err != ERR_OK) {
            return err;
        }
        if (lsm->is_closing || is_stopped(lsm)) {
            break;
        }
    }
    lsm->stats.slowdown_us += shard_now_us() - begin_us;
    lsm_metrics_wait(&lsm->metrics, shard_now_us() - begin_us);
    return ERR_OK;
}

YIELDS err_t
lsm_wait_room(struct lsm *lsm, size_t bytes)
{
    uint64_t begin_us = shard_now_us();
    bool was_stopped = false;
    err_t err = ERR_OK;

    while (!lsm_has_room(lsm, bytes)) {
        if (lsm->is_closing) {
            err = err_set(ERR_SHUTDOWN, "the store is being closed");
            goto out;
        }
        if (!is_stopped(lsm)) {
            TRY(wait_for_work(lsm, shard_now_us()));
            continue;
        }
        lsm->stats.stalls += !was_stopped;
        was_stopped = true;
        TRY(room_error(lsm));
        TRY(cond_wait_until(&lsm->room_cond, DEADLINE_NONE));
    }
out:
    if (was_stopped) {
        lsm->stats.stall_us += shard_now_us() - begin_us;
        lsm_metrics_wait(&lsm->metrics, shard_now_us() - begin_us);
    }
    return err;
}
