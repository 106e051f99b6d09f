/* lsm/table_internal.h - what the files table_*.c share. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/io/io.h"
#include "engine/rt/fiber.h"
#include "lsm/block.h"
#include "lsm/cache.h"
#include "lsm/filter.h"
#include "lsm/table.h"
#include "lsm/table_format.h"
#include "lsm/table_guide.h"
#include "lsm/table_index.h"
#include "lsm/table_ranges.h"
#include "lsm/table_span.h"

#define TABLE_MAGIC_OBJECT UINT64_C(0x6f726269747461)

/* fiber_work: a block that is checked and decompressed, and bytes that are hashed or copied. */
enum { TABLE_BYTES_A_UNIT = 256 };

struct table {
    uint64_t magic;
    uint32_t pins;
    bool is_obsolete; /* The last unpin unlinks the file. */
    struct io_file *file;
    struct block_cache *cache; /* Pinned. */
    uint64_t salt;
    uint64_t stamp;              /* 0, or the ts of every entry. */
    struct lsm_metrics *metrics; /* Of the tree it is part of, or NULL. */
    uint32_t level;
    struct table_meta meta; /* Keys point into properties. */
    uint32_t block_count;
    struct table_index index; /* Good while the guide is there. */
    struct filter filter;     /* The same; lets everything pass before. */
    struct guide guides[GUIDE_KINDS];
    struct cond guide_cond; /* A guide was read, or could not be. */
    struct table_ranges ranges;
    struct table_footer footer;
    /* What the above point into. */
    uint8_t *filter_bytes;
    size_t filter_size;
    struct buf ranges_bytes;
    struct buf properties_bytes;
    char path[IO_PATH_BYTES_MAX];
};

/* The guide if it is there, which then counts as used: good until the fiber suspends. */
static inline bool
guide_use(struct table *table, enum guide_kind kind)
{
    struct guide *guide = &table->guides[kind];

    if (__builtin_expect(!guide->is_there, 0)) {
        return false;
    }
    if (!guide->was_used) {
        guide->was_used = true;
    }
    return true;
}

/* Check and unpack a section into *raw; `bytes` begin at its frame. */
YIELDS err_t table_section_unpack(const struct table *table, enum table_section section,
                                  const uint8_t *bytes, struct buf *raw);

/* The index must be pinned for these. Check and unpack frame `index` of the table into `into`,
 * whose data is made to fit. The error names file and offset. */
err_t table_block_unpack(const struct table *table, uint32_t index, const uint8_t *frame,
                         struct cached_block *into);

/* Block `index`, pinned; from the cache, or read, and then left in the cache if `fill_cache`. */
YIELDS err_t table_block_acquire(struct table *table, uint32_t index, bool fill_cache,
                                 struct cached_block **block_out);

/* Number of the block in which the iterator stands. */
uint32_t table_iter_block(const struct table_iter *iter);

static inline void
table_block_release(const struct table *table, struct cached_block **block)
{
    block_cache_unpin(table->cache, block);
}
