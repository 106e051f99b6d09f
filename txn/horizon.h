/* txn/horizon.h - version collection goes by one horizon over all shards.
 *
 *     word of a shard      the smallest of: the beginning of the history that is retained
 *                          (txn/window.h; its clock without one), and the snapshots it
 *                          holds, but for those that all other shards hold as well
 *     horizon of a tree    the smallest word of all shards, never lowered
 *
 * A snapshot is held on its home shard from its begin to its end, at or above the home shard's
 * word; so no tree's horizon passes it, wherever it is read. One that is held for longer than
 * HORIZON_OLD_US is told to the other shards, which then hold it too: each keeps one version of a
 * key for it, and not all that were written since.
 *
 * A shard that commits publishes its word and applies the horizon every HORIZON_TICK_US, and asks
 * shards whose words stand still for newer ones. A process of one shard has none of this: the
 * horizon follows each commit. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"

struct store;
struct horizon_peer;
struct horizon_guests;

enum {
    HORIZON_TICK_US = 10 * 1000,
    HORIZON_TICK_US_MAX = 1280 * 1000, /* While nothing is committed, twice as long each time. */
    HORIZON_OLD_US = 100 * 1000,
    HORIZON_TOLD_MAX = 256,  /* Snapshots of a shard that others hold; the next one holds the
                                 horizon back. */
    HORIZON_LOOK_MAX = 4096, /* Held snapshots that are looked at in a tick. */
    HORIZON_CATCH_UP_US = 1000 * 1000,
};

struct horizon {
    struct store *store;
    bool is_alone;        /* One shard, */
    bool follows_commits; /* and no retention. */
    bool is_closing;
    uint64_t newest; /* Commit. */
    uint64_t word;   /* Published last. */
    struct timer timer;
    uint64_t interval_us; /* Of the timer; 0: it does not run. */
    /* Messages to the others; NULL when alone. */
    struct horizon_peer *peers;     /* [shard_count()] */
    struct horizon_guests **guests; /* [shard_count()], of each other shard; NULL: none. */
    uint32_t in_flight;
    struct cond returned;
    uint64_t covered[HORIZON_TOLD_MAX]; /* Rising: held by all. */
    uint32_t covered_count;
    uint64_t telling[HORIZON_TOLD_MAX]; /* Those that are being told, while is_telling. */
    uint32_t telling_count;
    bool is_telling;
    bool was_refused; /* By a shard that does not serve, or without room for a message. */
};

/* When all logs are replayed (a delete may hide what is still to come) and the clock is right.
 * `begin`: the horizon of the last life, below which versions may be gone; every shard's clock
 * begins at or above that of all. */
void horizon_open(struct horizon *horizon, struct store *store, uint64_t begin);
/* The store's window has another retention. */
void horizon_retention_changed(struct horizon *horizon);
/* Before the tree is closed; the other shards' loops still turn. */
YIELDS void horizon_close(struct horizon *horizon);

void horizon_note_slowly(struct horizon *horizon, uint64_t ts);
void horizon_follow(const struct horizon *horizon, uint64_t ts);
/* A commit at ts, before it is applied: later snapshots of this shard are at or above it. */
static inline void
horizon_note_commit(struct horizon *horizon, uint64_t ts)
{
    if (horizon->follows_commits) {
        horizon_follow(horizon, ts);
    } else {
        horizon_note_slowly(horizon, ts);
    }
}

/* A snapshot at or above this may begin here: what it sees is kept on all shards, once it is held
 * here (lsm_snapshot_take) in the same step. Every snapshot at the clock may. */
uint64_t horizon_oldest(const struct horizon *horizon);

/* Waits until the tree's horizon has reached the newest commit of this shard (less the retention),
 * for HORIZON_CATCH_UP_US at most: a shard that is late or a snapshot that is held may keep it
 * back. ERR_CANCELED. */
YIELDS err_t horizon_catch_up(struct horizon *horizon);
