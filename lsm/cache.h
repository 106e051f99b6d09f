/* lsm/cache.h - the inside of the block cache: what table readers use.
 *
 * Eviction is S3-FIFO (J. Yang, Y. Zhang, Z. Qiu, Y. Yue, R. Vinayak, "FIFO Queues are All You
 * Need for Cache Eviction", SOSP 2023):
 *
 *     miss -> [ small: a tenth ] -- used again --> [ main ] -> evicted, when not used since
 *                   |                                 ^
 *                   +-- not used --> ghost (the name only) -- missed again --+
 *
 * A scan fills the small queue and leaves main alone. A hit costs a counter and no list moves.
 *
 * A block is pinned while somebody uses it. Several fibers that miss one block share one read: the
 * first gets it to fill, the others wait. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/rt/fiber.h"
#include "lsm/block.h"
#include "lsm/table.h"
#include "lsm/table_guide.h"

enum cached_state {
    CACHED_LOADING, /* Somebody reads it. */
    CACHED_READY,
    CACHED_GONE, /* The read failed, or it was evicted while pinned: not in the cache. */
};

enum cached_queue { CACHED_NONE, CACHED_SMALL, CACHED_MAIN };

struct cached_block {
    uint64_t file_number; /* What a lookup needs comes first, to lie in one cache line. */
    uint64_t offset;
    struct cached_block *chain; /* In the hash table. */
    uint32_t pins;
    uint8_t state;      /* enum cached_state */
    uint8_t queue;      /* enum cached_queue */
    uint8_t uses;       /* Since it came into its queue, at most CACHED_USES_MAX. */
    bool is_hashed;     /* Can be found. */
    struct block block; /* A view of data; once it is ready. */
    uint8_t *data;
    uint32_t data_bytes;
    struct list link;       /* In its queue. */
    struct cond ready_cond; /* Whoever waits for the read. */
};

/* A block that the cache does not know, of data_bytes of room; pinned once. Never NULL. */
struct cached_block *cached_block_new(struct block_cache *cache, uint32_t data_bytes);

/* A pinned, ready block, or NULL. Does not suspend. Counts neither a use nor a miss when
 * `is_peek`. */
struct cached_block *block_cache_find(struct block_cache *cache, uint64_t file_number,
                                      uint64_t offset, bool is_peek);

/* A pinned block: ready, or with *must_load_out one that the caller must read and then give to
 * block_cache_loaded or block_cache_failed. Waits while somebody else reads it. */
YIELDS struct cached_block *block_cache_acquire(struct block_cache *cache, uint64_t file_number,
                                                uint64_t offset, bool *must_load_out);
/* Room for the contents. */
void cached_block_reserve(struct cached_block *block, uint32_t data_bytes);
/* data and block are set: others may use it. May evict, but nothing that is pinned. */
void block_cache_loaded(struct block_cache *cache, struct cached_block *block);
void block_cache_failed(struct block_cache *cache, struct cached_block *block);

/* Put a ready block of cached_block_new under a name, unless the cache has one for it. The pin
 * stays the caller's. */
void block_cache_adopt(struct block_cache *cache, uint64_t file_number, uint64_t offset,
                       struct cached_block *block);

/* One more pin of a block that is pinned. */
void block_cache_pin_again(struct block_cache *cache, struct cached_block *block);
/* Harmless on NULL; clears the pointer. */
void block_cache_unpin(struct block_cache *cache, struct cached_block **block);
/* Forget a block, if it is there; pinned, it goes with its last pin. */
void block_cache_remove(struct block_cache *cache, uint64_t file_number, uint64_t offset);

/* The indexes and filters of the tables that use this cache. They may take half of its capacity;
 * what they take above a sixteenth is taken from the blocks. */
struct guide_pool *block_cache_guides(struct block_cache *cache);

/* Room for what scans read ahead: a sixteenth of the capacity, at least CACHE_AHEAD_BYTES_MIN, for
 * all together. False when it is used up. */
bool block_cache_ahead_take(struct block_cache *cache, uint64_t bytes);
void block_cache_ahead_give(struct block_cache *cache, uint64_t bytes);

/* Keeps the cache's memory alive over block_cache_free, for a background fiber. */
void block_cache_pin(struct block_cache *cache);
void block_cache_release(struct block_cache *cache);
