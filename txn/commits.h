/* txn/commits.h - what commit.c, outcome.c and remote.c share of a shard's commits. */
#pragma once

#include "txn/txns.h"

enum {
    COMMITS_OUTCOMES_MAX = 65536, /* Not yet told everywhere; commits over shards wait beyond. */
    COMMIT_ROUNDS_MAX = 256,      /* Of waiting and checking anew: ERR_SERIALIZATION. */
    COMMIT_PARTS_KEPT = 64,       /* Ended parts of other shards' transactions, for reuse. */
};

/* A part away from home. */
struct remote_part {
    struct part part;
    uint32_t users; /* Calls that run at it. */
    bool is_done;   /* It has committed, and ends with the present call. */
};

struct commit_shard {
    struct txns *txns;
    struct list outcomes;     /* Of struct outcome, by log position: not yet sent. */
    uint32_t outcome_count;   /* These, and those that are on their way. */
    struct cond outcome_cond; /* The sending fiber waits here, */
    struct cond room_cond;    /* commits for fewer outcomes, */
    struct cond parts_cond;   /* and whoever waits for the end of calls and parts. */
    uint32_t part_count;      /* Of other shards' transactions. */
    struct remote_part *kept[COMMIT_PARTS_KEPT];
    uint32_t kept_count;
    struct fiber_group fibers;
    bool is_closing;
};

/* ---- commit.c ---- */

/* Back to ACTIVE; an auto transaction gives its locks back, too. */
void part_unprepare(struct part *part);
/* Auto: takes the locks of its writes, one after the other, waiting. */
YIELDS err_t part_lock_wait(struct part *part);
/* Has the part read anything that its commit must check? */
bool part_has_reads(const struct part *part);

/* ---- outcome.c ---- */

YIELDS err_t outcomes_open(struct commit_shard *commits);
YIELDS void outcomes_close(struct commit_shard *commits);
YIELDS void outcomes_wait_room(struct commit_shard *commits);
/* The record of the transaction stands at `lsn` in this shard's log, and says `ts`: every part
 * elsewhere is told once it is durable, in the order of calls. Parts that only read are let go. */
void outcome_queue(struct commit_shard *commits, struct txn *txn, uint64_t ts, lsn_t lsn);

/* ---- remote.c ---- */

/* In a call: the part has committed. Its locks go at once, the rest when the call ends. */
void remote_part_done(struct part *part);
/* Ends a part away from home: it was told the outcome, or that there is none. */
void remote_part_end(struct commit_shard *commits, struct part *part);
/* Ends those that nobody needs any more, and waits for the others. */
YIELDS void remote_parts_close(struct commit_shard *commits);
