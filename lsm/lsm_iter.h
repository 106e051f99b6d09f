/* lsm/lsm_iter.h - the inside of a scan: what lsm_iter.c and lsm_batch.c share.
 *
 * An open costs about as much as a read of one key, so a tree keeps the last iterator that was
 * closed, with its open tables, for the next open (struct lsm's iter_spare). It holds a version
 * and memtables: whatever replaces one of them drops it first, by lsm_iter_spare_drop. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lsm/internal.h"
#include "lsm/lsm_batch.h"

#define LSM_ITER_MAGIC UINT64_C(0x6c736d2d69746572)

/* Range deletes of one memtable or table. */
struct range_source {
    const struct range_map *map; /* Or NULL: */
    const struct lsm_table *table;
    struct range_cursor cursor; /* Of the map. */
};

enum iter_state { ITER_NOWHERE, ITER_FORWARD, ITER_BACKWARD };

struct batch_rows;

struct lsm_iter {
    uint64_t magic;
    struct lsm *lsm;
    struct lsm_snapshot held;
    uint64_t snapshot;
    struct buf lower;
    struct buf upper;
    merge_head upper_head;
    bool has_upper;
    struct memtable **memtables; /* Pinned. */
    uint32_t memtable_count;
    struct version *version; /* Pinned. */
    struct range_source *sources;
    uint32_t source_count, source_capacity;
    struct range_cover cover; /* Of the last key asked for. */
    bool has_cover;
    struct merge merge;
    enum iter_state state;
    const struct lsm_entry *current; /* The merge's, or `entry`; NULL: not on an entry. */
    struct lsm_entry entry;          /* Backwards: of the copies below. */
    struct buf key;                  /* Copy of the key that is left. */
    struct buf value;
    struct buf target; /* Copy of the key that is sought. */
    uint64_t lsn;
    uint32_t work;           /* Steps not yet given to fiber_work. */
    struct batch_rows *rows; /* Of lsm_batch.c; NULL before the first batch. */
};

enum { TS_MICROSECOND_SHIFT = 12 };

/* Of the newest version at or below the snapshot: is there a value? */
static inline bool
lsm_iter_sees(const struct lsm_iter *iter, const struct lsm_entry *entry)
{
    return entry->kind != LSM_DELETE &&
           (entry->expire_us == 0 || entry->expire_us > iter->snapshot >> TS_MICROSECOND_SHIFT);
}

/* From where the merge stands to the first live entry, which becomes the current one. After an
 * error call lsm_iter_failed. */
YIELDS err_t lsm_iter_settle(struct lsm_iter *iter);
/* After an error the merge stands anywhere. Gives the error back. */
err_t lsm_iter_failed(struct lsm_iter *iter, err_t err);

/* So many versions were stepped over because of one of this child's, which was in `table` (NULL for
 * a memtable's). */
void lsm_iter_skipped(struct lsm_iter *iter, const struct merge_child *child,
                      struct lsm_table *table, uint64_t steps);

/* lsm_batch.c */
void batch_rows_free(struct batch_rows **rows);   /* Accepts NULL. */
void batch_rows_release(struct batch_rows *rows); /* What the last batch pinned. Accepts NULL. */
