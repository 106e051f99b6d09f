/* lsm/table_guide.h - the guides of a table, its index and its filter: in memory while there is
 * room for them.
 *
 * They are about a hundredth of the data, so most stores have all of them in memory; a store with
 * more data than that has those of the tables it uses. A guide is read when it is first needed and
 * may go, least recently used first (by a second chance), when nobody has it pinned. The pool of
 * a shard belongs to its block cache, which says how large it may get and gives up room for it.
 *
 * An absent index is always read: without it nothing is found. An absent filter is read when there
 * is room, or after GUIDE_FILTER_MISSES lookups went without it: before that the block it might
 * have spared is cheaper than the filter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum guide_kind { GUIDE_INDEX, GUIDE_FILTER, GUIDE_KINDS };
enum { GUIDE_FILTER_MISSES = 16 };

struct table;

struct guide {
    struct list link; /* In the pool's, oldest first, while it is there. */
    struct table *table;
    uint64_t bytes; /* In memory. */
    uint32_t pins;
    uint8_t kind; /* enum guide_kind */
    bool is_there;
    bool is_loading;
    bool was_used;  /* Since its turn to go last came. */
    uint8_t misses; /* Of a filter: lookups without it since it went. */
};

struct guide_pool {
    struct list guides; /* Those that are there. */
    uint32_t count;
    uint64_t bytes;
    uint64_t limit_bytes; /* Exceeded only by what is pinned. */
    uint64_t loaded, evicted;
};

void guide_pool_init(struct guide_pool *pool, uint64_t limit_bytes);
/* Evicts what is now too much. */
void guide_pool_limit(struct guide_pool *pool, uint64_t limit_bytes);

void guides_init(struct table *table);
/* No pin may be left. */
void guides_fini(struct table *table);

/* Keep the guide there until the release; reads it if need be. The table is pinned by the caller.
 * ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY. A table without a filter has an empty one. */
YIELDS err_t guide_acquire(struct table *table, enum guide_kind kind);
void guide_release(struct table *table, enum guide_kind kind);

/* Take a guide whose section was read with the footer anyway, if there is room. `tail` is the end
 * of the file from `tail_offset` on. */
YIELDS err_t guide_offer(struct table *table, enum guide_kind kind, struct slice tail,
                         uint64_t tail_offset);
/* Does the filter let the key pass? Reads it where that pays. */
YIELDS err_t guide_filter_ask(struct table *table, uint64_t key_hash, bool *may_contain_out);
