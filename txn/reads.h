/* txn/reads.h - what a SERIALIZABLE transaction has read on one shard, and whether it still holds.
 *
 * Keys and ranges, found or not found: a version that was not there counts as read. Beyond
 * READS_KEYS_MAX keys neighbours become ranges, so that the set is bounded and a coarse one only
 * makes more conflicts. Validation asks the tree for versions newer than the snapshot. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "lsm/lsm.h"

enum {
    READS_KEYS_MAX = 1 << 14,  /* Keys and ranges of one part. */
    READS_BYTES_MAX = 4 << 20, /* And their bytes: beyond, neighbours are joined. */
};

struct reads {
    struct buf bytes;   /* Keys and bounds in the order of reading (reads.c). */
    struct buf places;  /* Of uint32_t: where each begins, once they are sorted. */
    uint32_t count;     /* Keys and ranges in `bytes`. */
    uint32_t ranges;    /* How many of them are ranges. */
    uint32_t last;      /* Where the last one begins. */
    bool is_sorted;     /* Joined and in order, without repeats. */
    bool is_everything; /* Nothing finer could be kept. */
};

void reads_init(struct reads *reads);
void reads_clear(struct reads *reads);
void reads_fini(struct reads *reads);
void reads_add_key(struct reads *reads, struct slice key);
/* [lower, upper); an empty upper: to the end. */
void reads_add_range(struct reads *reads, struct slice lower, struct slice upper);
static inline bool
reads_is_empty(const struct reads *reads)
{
    return reads->count == 0 && !reads->is_everything;
}
/* Does the set hold the key, or meet the range? */
bool reads_has_key(struct reads *reads, struct slice key);
bool reads_has_range(struct reads *reads, struct slice start, struct slice end);

/* Was any of it written (put, deleted, range-deleted) by a commit with timestamp > since? With
 * may_suspend false it answers from memory alone, and *is_answered_out is false when a table has
 * to be read. Errors: those of reading. */
YIELDS err_t reads_changed(struct reads *reads, struct lsm *lsm, uint64_t since, bool may_suspend,
                           bool *is_changed_out, bool *is_answered_out);
