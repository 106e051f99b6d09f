/* lsm/snapshots.c - see snapshots.h. */
#include "lsm/snapshots.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"

#include "engine/base/poison.h"

void
snapshots_init(struct snapshots *snapshots)
{
    memset(snapshots, 0, sizeof(*snapshots));
    snapshots->head.next = &snapshots->head;
    snapshots->head.previous = &snapshots->head;
}

bool
snapshots_are_none(const struct snapshots *snapshots)
{
    return snapshots->count == 0;
}

/* Index of the first time at or above ts. */
static uint32_t
times_find(const uint64_t *times, uint32_t count, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (times[middle] < ts) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
times_add(struct snapshots *snapshots, uint64_t ts)
{
    uint32_t at = snapshots->count;

    if (snapshots->count == snapshots->capacity) {
        uint32_t grown = MAX(16u, snapshots->capacity * 2);

        snapshots->times = mem_realloc(MEM_TABLES, snapshots->times,
                                       snapshots->capacity * sizeof(snapshots->times[0]),
                                       grown * sizeof(snapshots->times[0]));
        snapshots->capacity = grown;
    }
    if (at > 0 && snapshots->times[at - 1] > ts) {
        at = times_find(snapshots->times, snapshots->count, ts);
        memmove(snapshots->times + at + 1, snapshots->times + at,
                (snapshots->count - at) * sizeof(snapshots->times[0]));
    }
    snapshots->times[at] = ts;
    snapshots->count++;
}

static void
times_remove(struct snapshots *snapshots, uint64_t ts)
{
    uint32_t at = times_find(snapshots->times, snapshots->count, ts);

    ASSERT(at < snapshots->count);
    ASSERT(snapshots->times[at] == ts);
    snapshots->count--;
    memmove(snapshots->times + at, snapshots->times + at + 1,
            (snapshots->count - at) * sizeof(snapshots->times[0]));
    if (snapshots->count == 0) {
        mem_free(MEM_TABLES, snapshots->times, snapshots->capacity * sizeof(snapshots->times[0]));
        snapshots->times = NULL;
        snapshots->capacity = 0;
    }
}

void
snapshots_take(struct snapshots *snapshots, uint64_t ts, struct lsm_snapshot *snapshot)
{
    struct lsm_snapshot *before = snapshots->head.previous;

    while (before != &snapshots->head && before->ts > ts) {
        before = before->previous;
    }
    snapshot->of = snapshots;
    snapshot->ts = ts;
    snapshot->is_guest = false;
    snapshot->previous = before;
    snapshot->next = before->next;
    before->next->previous = snapshot;
    before->next = snapshot;
    times_add(snapshots, ts);
}

void
snapshots_drop(struct lsm_snapshot *snapshot)
{
    times_remove(snapshot->of, snapshot->ts);
    snapshot->previous->next = snapshot->next;
    snapshot->next->previous = snapshot->previous;
    snapshot->next = NULL;
    snapshot->previous = NULL;
}

bool
snapshots_hold(const struct snapshots *snapshots, uint64_t ts)
{
    uint32_t at = times_find(snapshots->times, snapshots->count, ts);

    return at < snapshots->count && snapshots->times[at] == ts;
}

/* Is one of them in [ts, until)? */
static bool
times_between(const uint64_t *times, uint32_t count, uint64_t ts, uint64_t until)
{
    uint32_t at;

    if (count == 0 || times[count - 1] < ts) { /* Nearly always: writes are newer. */
        return false;
    }
    at = times_find(times, count, ts);
    return times[at] < until;
}

bool
snapshots_need(const struct snapshots *snapshots, uint64_t ts, uint64_t until)
{
    return until > snapshots->horizon ||
           times_between(snapshots->times, snapshots->count, ts, until);
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
    return snapshots->count == 0 ? snapshots->horizon
                                 : MIN(snapshots->times[0], snapshots->horizon);
}

void
snapshot_set_init(struct snapshot_set *set, const struct snapshots *snapshots)
{
    size_t bytes = snapshots->count * sizeof(set->held[0]);

    set->held = mem_alloc(MEM_BACKGROUND, bytes);
    set->count = snapshots->count;
    set->horizon = snapshots->horizon;
    if (bytes > 0) {
        memcpy(set->held, snapshots->times, bytes);
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
    if (until > set->horizon) {
        return true;
    }
    return !CANARY(SNAPSHOT_FORGOTTEN) && times_between(set->held, set->count, ts, until);
}

uint64_t
snapshot_set_floor(const struct snapshot_set *set)
{
    return set->count > 0 ? MIN(set->held[0], set->horizon) : set->horizon;
}
