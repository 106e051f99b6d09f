/* lsm/entry_cache.h - small hot entries by key, beside the block cache.
 *
 * Hot keys are spread over many blocks, and a block kept for one of them costs as much as some
 * thirty entries. So what a point read had to fetch from disk may be kept here by itself, and is
 * found without asking any table. Entries live in chunks; eviction is S3-FIFO (cache.h) over them:
 *
 *     read from disk -> [ small: a tenth ] -- used --> [ main ] -> dropped, when not used since
 *                            |                            ^
 *                            +-- not used --> ghost ------+ read again
 *
 * An entry is what the tables of the current version answer for its key: the newest version in
 * them, hidden by no range delete in them. Memtables are asked before; so it answers every snapshot
 * at or above its timestamp, and older ones go to the tables. What keeps this true:
 *
 *  1. Compaction never changes the newest version of a key as a reader sees it.
 *  2. A flush updates or drops each key that it writes (entry_cache_flushed), before its tables
 *     become visible; a flush of range deletes, and ingested tables, clear everything.
 *  3. An entry is offered only by a reader of the present (at or above all that memtables and
 *     tables have) who found neither a version nor a range delete in them, and who began in the
 *     present generation; rotation and ingestion begin a new one. So nobody offers a key that a
 *     frozen memtable has: behind the back of 2 nothing old comes in.
 *
 * Its share of the cache's budget follows what it earns: ghosts of entries and of blocks tell what
 * either would have hit with more memory; it starts at ENTRY_CACHE_SHARE_MIN and grows and shrinks
 * by factors of two. Nothing here suspends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "lsm/entry.h"

enum {
    ENTRY_CACHE_BYTES_MAX = 2 << 10, /* Key and value of an entry; larger ones are not kept. */
    ENTRY_CACHE_CHUNK_BYTES = 32 << 10,
    ENTRY_CACHE_SHARES = 64,    /* The budget is counted in so many parts: */
    ENTRY_CACHE_SHARE_MIN = 1,  /* it has this many at least, */
    ENTRY_CACHE_SHARE_MAX = 24, /* and this many at most. */
};

struct entry_cache;

/* `budget_bytes` is that of all the cache, blocks included. Never NULL. */
struct entry_cache *entry_cache_new(uint64_t budget_bytes);
/* Accepts NULL; clears the pointer. */
void entry_cache_free(struct entry_cache **cache);
/* What it may take at present; the block cache makes room for it. */
uint64_t entry_cache_bytes(const struct entry_cache *cache);
bool entry_cache_is_empty(const struct entry_cache *cache);
void entry_cache_resize(struct entry_cache *cache, uint64_t budget_bytes);

/* The hash is table_key_hash's. The entry's slices are borrowed until the next call. Counts a use.
 * The caller compares timestamps. */
bool entry_cache_find(struct entry_cache *cache, struct slice key, uint64_t hash,
                      struct lsm_entry *entry_out);

/* Of readers that will offer: what they saw in memtables belongs to this generation. */
uint64_t entry_cache_generation(const struct entry_cache *cache);
void entry_cache_next_generation(struct entry_cache *cache);
/* By rule 3. Copied, if at all; nothing happens for a large value or an old generation. */
void entry_cache_offer(struct entry_cache *cache, uint64_t hash, const struct lsm_entry *entry,
                       uint64_t generation);
/* A flush writes this version of a key. Any order of versions. */
void entry_cache_flushed(struct entry_cache *cache, const struct lsm_entry *entry);
void entry_cache_clear(struct entry_cache *cache);

/* Reads of blocks that the block cache had dropped from its small queue a short while ago, in all:
 * what more memory would have saved there. With it the share is reconsidered now and then; true
 * when entry_cache_bytes may have changed by much. */
bool entry_cache_adapt(struct entry_cache *cache, uint64_t block_ghost_hits);

struct entry_cache_stats {
    uint64_t hits, misses, inserted, evicted, updated, dropped, ghost_hits, bytes;
    uint32_t share; /* Of ENTRY_CACHE_SHARES. */
};
void entry_cache_stats_get(const struct entry_cache *cache, struct entry_cache_stats *stats_out);
/* For tests: ASSERTs that chunks, index and counts agree. */
void entry_cache_check(const struct entry_cache *cache);
