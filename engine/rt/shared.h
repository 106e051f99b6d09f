/* engine/rt/shared.h - the few words that all shards of a process see.
 *
 *     acked                      the largest commit timestamp that anything which left a shard
 *                                depends on: raised by all of them
 *     horizon, closed, clock     one of each a shard, written by that shard alone and read by all
 *
 * Each has a cache line of its own. What they mean: txn/README.md. Whoever reads a value also sees
 * what its writer did before (release and acquire). A process of one shard pays plain loads and
 * stores. Nothing here suspends. */
#pragma once

#include <stdint.h>

enum shard_word {
    SHARD_WORD_HORIZON, /* No snapshot that begins on the shard lies below, nor is one held there.
                         */
    SHARD_WORD_CLOSED,  /* No commit in which the shard takes part comes at or below any more. */
    SHARD_WORD_CLOCK,   /* The shard's clock, now and then. */
    SHARD_WORD_WINDOW,  /* The shard keeps all history from here on: txn/window.h. */
    SHARD_WORD_COUNT,
};

struct shared; /* Opaque. All words begin as 0. */

/* One a process, made before its shards and freed after them. */
struct shared *shared_new(uint32_t shards);
/* Accepts NULL; clears the pointer. */
void shared_free(struct shared **shared);

/* ---- On a shard. ---- */

uint64_t shard_acked(void);
/* To at least ts; never lowers it. */
void shard_acked_raise(uint64_t ts);
/* The current shard's own word. */
void shard_word_set(enum shard_word word, uint64_t value);
uint64_t shard_word_get(enum shard_word word, uint32_t shard);
/* The smallest one of all shards: 0 as long as one has not set its own. */
uint64_t shard_word_min(enum shard_word word);
