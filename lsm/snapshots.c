/* lsm/snapshots.c - see snapshots.h. */
#include "lsm/snapshots.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"

#include "engine/base/poison.h"

void
snapshots_init(struct snapshots *snapshots)
{
    snapshots->head.next = &snapshots->head;
    snapshots->head.previous = &snapshots->head;
    snapshots->head.ts = 0;
    snapshots->horizon = 0;
}

bool
snapshots_are_none(const struct snapshots *snapshots)
{
    return snapshots->head.next == &snapshots->head;
}

void
snapshots_take(struct snapshots *snapshots, uint64_t ts, struct lsm_snapshot *snapshot)
{
    struct lsm_snapshot *before = snapshots->head.previous;

    while (before != &snapshots->head && before->ts > ts) {
        before = before->previous;
    }
    snapshot->ts = ts;
    snapshot->previous = before;
    snapshot->next = before->next;
    before->next->previous = snapshot;
    before->next = snapshot;
}

void
snapshots_drop(struct lsm_snapshot *snapshot)
{
    snapshot->previous->next = snapshot->next;
    snapshot->next->previous = snapshot->previous;
    snapshot->next = NULL;
    snapshot->previous = NULL;
}

bool
snapshots_hold(const struct snapshots *snapshots, uint64_t ts)
{
    for (const struct lsm_snapshot *at = snapshots->head.previous; at != &snapshots->head;
         at = at->previous) {
        if (at->ts <= ts) {
            return at->ts == ts;
        }
    }
    return false;
}

bool
snapshots_need(const struct snapshots *snapshots, uint64_t ts, uint64_t until)
{
    const struct lsm_snapshot *at = snapshots->head.previous;

    if (until > snapshots->horizon) {
        return true;
    }
    for (uint32_t step = 0; step < SNAPSHOTS_WALK_MAX; step++, at = at->previous) {
        if (at == &snapshots->head || at->ts < ts) {
            return false;
        }
        if (at->ts < until) {
            return true;
        }
    }
    return true;
}

bool
snapshots_need_next(const struct snapshots *snapshots, const struct lsm_snapshot **cursor,
                    uint64_t ts, uint64_t until)
{
    const struct lsm_snapshot *at = *cursor == NULL ? snapshots->head.previous : *cursor;

    while (at != &snapshots->head && at->ts >= until) {
        at = at->previous;
    }
    *cursor = at;
    return until > snapshots->horizon || (at != &snapshots->head && at->ts >= ts);
}

uint64_t
snapshots_floor(const struct snapshots *snapshots)
{
    return snapshots_are_none(snapshots) ? snapshots->horizon
                                         : MIN(snapshots->head.next->ts, snapshots->horizon);
}

void
snapshot_set_init(struct snapshot_set *set, const struct snapshots *snapshots)
{
    uint32_t count = 0;

    for (const struct lsm_snapshot *at = snapshots->head.next; at != &snapshots->head;
         at = at->next) {
        count++;
    }
    set->held = mem_alloc(MEM_BACKGROUND, count * sizeof(set->held[0]));
    set->count = 0;
    set->horizon = snapshots->horizon;
    for (const struct lsm_snapshot *at = snapshots->head.next; at != &snapshots->head;
         at = at->next) {
        set->held[set->count++] = at->ts;
    }
}

void
snapshot_set_fini(struct snapshot_set *set)
{
    mem_free(MEM_BACKGROUND, set->held, set->count * sizeof(set->held[0]));
    memset(set, 0, sizeof(*set));
}

bool
snapshot_set_needs(const struct snapshot_set *set, uint64_t ts, uint64_t until)
{
    uint32_t low = 0;
    uint32_t high = set->count;

    if (until > set->horizon) {
        return true;
    }
    if (CANARY(SNAPSHOT_FORGOTTEN)) {
        return false;
    }
    while (low < high) { /* The first held at or above ts. */
        uint32_t middle = (low + high) / 2;

        if (set->held[middle] < ts) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < set->count && set->held[low] < until;
}

uint64_t
snapshot_set_floor(const struct snapshot_set *set)
{
    return set->count > 0 ? MIN(set->held[0], set->horizon) : set->horizon;
}
