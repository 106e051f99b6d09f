/* lsm/compact.c - the fibers that compact, and compaction by hand. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    HORIZON_CHECK_US = 100000, /* Some work waits for the horizon, which wakes nobody. */
    IDLE_CHECK_US = 500000,
    EXPIRY_CHECK_US = 1000000, /* What expires wakes nobody either. */
    IDLE_US = 2000000, /* Without a write for so long, level 0 goes down for the readers' sake. */
};

/* Is nobody writing? Read work has the time then that writers would have paid for. */
static void
idle_look(struct lsm *lsm)
{
    uint64_t generation = lsm->active->generation;

    if (generation != lsm->idle_generation || lsm->frozen_count > 0) {
        lsm->idle_generation = generation;
        lsm->idle_since_us = shard_now_us();
    }
    lsm->is_idle = shard_now_us() - lsm->idle_since_us >= IDLE_US;
}

/* How long a fiber without work sleeps if nothing wakes it. */
static uint64_t
next_look_us(const struct lsm *lsm)
{
    if (lsm->version->range_deletes > 0 || lsm->garbage_waits) {
        return shard_now_us() + HORIZON_CHECK_US;
    }
    if (lsm->version->levels[0].count > 0 && !lsm->is_idle) {
        return shard_now_us() + IDLE_CHECK_US;
    }
    return lsm->expiry_waits ? shard_now_us() + EXPIRY_CHECK_US : DEADLINE_NONE;
}

YIELDS err_t
compact_step(struct lsm *lsm, bool *did_out)
{
    struct compaction job;
    err_t err = ERR_OK;

    compaction_init(&job);
    lsm->compact_is_due = false;
    idle_look(lsm);
    *did_out = compact_pick(lsm, &job);
    if (*did_out) {
        err = compaction_run(lsm, &job);
        compaction_fini(&job);
        lsm_tables_changed(lsm); /* The inputs are free, whatever the outcome. */
    } else {
        vlog_measure(lsm->vlog, did_out);
    }
    return err;
}

void
compact_fiber(void *arg)
{
    struct lsm *lsm = arg;
    uint32_t attempt = 0;

    while (!lsm->is_closing) {
        bool did = false;
        err_t err = compact_step(lsm, &did);

        if (err != ERR_OK && err != ERR_CANCELED) {
            LOG_E("%s: a compaction failed: %s", lsm->dir, lsm->error_message);
            (void)lsm_back_off(lsm, attempt++);
            continue;
        }
        attempt = 0;
        if (!did && !lsm->compact_is_due && !lsm->is_closing) {
            (void)cond_wait_until(&lsm->compact_cond, next_look_us(lsm));
        }
    }
}

/* ---- By hand. ---- */

/* One job of the range; `after` moves on behind its tables. */
static YIELDS err_t
range_step(struct lsm *lsm, struct compact_range *range, struct buf *after, bool *did_out)
{
    struct compaction job;
    enum compact_picked picked;
    struct slice last;
    err_t err;

    compaction_init(&job);
    while ((picked = compact_pick_range(lsm, range, &job)) == COMPACT_BLOCKED) {
        if (lsm->is_closing) {
            return err_set(ERR_SHUTDOWN, "the store is being closed");
        }
        TRY(cond_wait_until(&lsm->compact_cond, DEADLINE_NONE));
    }
    *did_out = picked == COMPACT_PICKED;
    if (!*did_out) {
        return ERR_OK;
    }
    last = job.inputs[0][job.counts[0] - 1]->meta->smallest;
    buf_clear(after);
    buf_append(after, last.data, last.size);
    range->after = buf_slice(after);
    range->has_after = range->level > 0; /* Level 0 goes at once. */
    err = compaction_run(lsm, &job);
    compaction_fini(&job);
    lsm_tables_changed(lsm);
    *did_out = *did_out && range->level > 0;
out:
    return err;
}

static YIELDS err_t
range_run(struct lsm *lsm, struct compact_range range)
{
    struct buf after;
    bool did = true;
    err_t err = ERR_OK;

    buf_init(&after, MEM_BACKGROUND);
    while (did) {
        TRY(range_step(lsm, &range, &after, &did));
    }
out:
    buf_fini(&after);
    return err;
}

/* The next level below that has tables, or is to have some. */
static uint32_t
level_below(const struct lsm *lsm, uint32_t number)
{
    struct level_targets targets;
    uint32_t below = number + 1;

    level_targets_find(lsm, &targets);
    while (below < targets.base && lsm->version->levels[below].count == 0) {
        below++;
    }
    return below;
}

YIELDS err_t
lsm_compact(struct lsm *lsm, struct slice lower, struct slice upper)
{
    const uint32_t bottom = LSM_LEVELS - 1;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    lsm->by_hand++;
    TRY(lsm_flush(lsm));
    for (uint32_t level = 0; level < bottom; level++) {
        TRY(range_run(lsm, (struct compact_range){.level = level,
                                                  .output_level = level_below(lsm, level),
                                                  .lower = lower,
                                                  .upper = upper}));
    }
    TRY(range_run(lsm,
                  (struct compact_range){
                      .level = bottom, .output_level = bottom, .lower = lower, .upper = upper}));
out:
    lsm->by_hand--;
    cond_broadcast(&lsm->compact_cond);
    return err;
}
