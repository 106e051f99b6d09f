/* lsm/snapshots.h - which versions can still be seen.
 *
 * A version written at `ts` and superseded at `until` (by a newer version or a range delete) is
 * seen by snapshots in [ts, until). It is kept when a snapshot held here lies in there, or when
 * `until` is above the horizon: snapshots nobody holds here, future ones too, are at or above the
 * horizon. Held snapshots may lie below it, so that one old reader keeps one version of a hot key
 * and not all since. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "lsm/lsm.h"

/* The snapshots held, in order of ts: head.next is the oldest. Their times stand in an array too,
 * rising, so that thousands of them cost a read or a write a few steps. */
struct snapshots {
    struct lsm_snapshot head;
    uint64_t *times; /* NULL when none is held. */
    uint32_t count, capacity;
    uint64_t horizon;
};

void snapshots_init(struct snapshots *snapshots);
bool snapshots_are_none(const struct snapshots *snapshots);
void snapshots_take(struct snapshots *snapshots, uint64_t ts, struct lsm_snapshot *snapshot);
void snapshots_drop(struct lsm_snapshot *snapshot);
bool snapshots_hold(const struct snapshots *snapshots, uint64_t ts);

/* May a snapshot in [ts, until) exist? */
bool snapshots_need(const struct snapshots *snapshots, uint64_t ts, uint64_t until);
/* The same, exactly, for falling intervals: *cursor begins as NULL. */
bool snapshots_need_next(const struct snapshots *snapshots, const struct lsm_snapshot **cursor,
                         uint64_t ts, uint64_t until);

/* No snapshot below this one exists or will. */
uint64_t snapshots_floor(const struct snapshots *snapshots);

/* A copy, for work that suspends. What was not needed then is not needed later. */
struct snapshot_set {
    uint64_t *held; /* Rising. */
    uint32_t count;
    uint64_t horizon;
};
void snapshot_set_init(struct snapshot_set *set, const struct snapshots *snapshots);
void snapshot_set_fini(struct snapshot_set *set);
bool snapshot_set_needs(const struct snapshot_set *set, uint64_t ts, uint64_t until);
/* No snapshot below this one exists or will. */
uint64_t snapshot_set_floor(const struct snapshot_set *set);
