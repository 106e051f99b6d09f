/* lsm/table_ranges.h - the range deletes of a table.
 *
 * Sorted by start, end, then newest first, and taken as a balanced tree whose root is the middle
 * element: each element knows the largest end and the newest timestamp below it, so a lookup
 * skips what ends too early or is too old. Ranges may overlap; memory is linear in their number.
 * Bytes: docs/format/table.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "lsm/entry.h"

enum { RANGES_BYTES_MAX = 128 << 20 }; /* Encoded: below FRAME_RAW_BYTES_MAX. */

/* ---- Making. ---- */

struct ranges_builder {
    struct buf keys;  /* Start and end of each, one after the other. */
    struct buf items; /* struct ranges_item */
    uint32_t count;
};

void ranges_builder_init(struct ranges_builder *builder, enum mem_tag tag);
void ranges_builder_fini(struct ranges_builder *builder);
/* In any order. start < end is asserted. ERR_LIMIT. */
err_t ranges_builder_add(struct ranges_builder *builder, const struct lsm_range_delete *range);
/* Appends the encoded ranges to `out`, equal ones once, and says how many. first_out->start is
 * the smallest start, last_end_out the largest end; both point into the builder. */
YIELDS err_t ranges_builder_finish(struct ranges_builder *builder, struct buf *out,
                                   uint32_t *count_out, struct slice *first_start_out,
                                   struct slice *last_end_out);

/* ---- Reading. ---- */

struct ranges_node {
    uint64_t ts_newest;
    uint32_t end_largest; /* The range whose end it is. */
};

struct table_ranges {
    uint32_t count;
    struct lsm_range_delete *ranges; /* Slices into the raw bytes. */
    struct ranges_node *nodes;       /* About the subtree whose root the range is. */
};

/* Borrows `raw` until ranges_fini, which is due in any case. ERR_CORRUPT, ERR_NO_MEMORY. */
YIELDS err_t ranges_decode(struct slice raw, struct table_ranges *ranges_out);
void ranges_fini(struct table_ranges *ranges);
/* Newest ts at or below snapshot of a range that covers key, or 0. */
uint64_t ranges_find(const struct table_ranges *ranges, struct slice key, uint64_t snapshot);
