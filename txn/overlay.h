/* txn/overlay.h - what a transaction has written on one shard, before it is committed.
 *
 * The writes are encoded as they will stand in the log record, in the order of their making, and
 * an ordered index finds the newest one of a key once somebody reads (an overlay that is only
 * written to builds none). A *mark* is a place in that order: a statement sees what lies before
 * its mark, and a savepoint is a mark to cut back to. No I/O, never suspends. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "lsm/memtable_tree.h"
#include "txn/record.h"
#include "txn/store.h"

struct overlay_index;
struct spill;

enum {
    OVERLAY_LINEAR_OPS = 8,        /* So many writes are searched one by one, without an index. */
    OVERLAY_KEPT_BYTES = 64 << 10, /* Larger buffers do not stay for reuse. */
    /* Between two moments when they may go to disk (txn/spill.h): ERR_LIMIT above. */
    OVERLAY_BYTES_MAX = 512 << 20,
    OVERLAY_LARGE_MAX = 1 << 20,
};

struct overlay {
    struct store_batch batch;    /* The writes, as a record without timestamp. */
    struct overlay_index *index; /* NULL: not built, or nothing written. */
    /* Large values are copied into `large_values` unless the caller keeps them (borrows_large). */
    bool borrows_large;
    struct list large_values;
    uint64_t large_bytes;
    uint32_t range_deletes; /* How many of the writes are such. */
    uint32_t counters;      /* And such. */
    uint64_t cuts;          /* How often writes were taken back, or written to disk. */
    struct spill *spill;    /* What was written to disk to save memory (txn/spill.h); NULL: none. */
    struct list viewers;    /* Iterators of own.h, whose marks must stay true. */
};

struct overlay_mark {
    size_t record_bytes;
    uint32_t ops, large_count, range_deletes, counters;
    uint32_t spills; /* The record that the others count in began behind so many. */
};
/* Sees everything. */
#define OVERLAY_ALL                                                                                \
    ((struct overlay_mark){.record_bytes = SIZE_MAX, .ops = UINT32_MAX, .spills = UINT32_MAX})

void overlay_init(struct overlay *overlay, bool borrows_large);
void overlay_clear(struct overlay *overlay); /* For reuse. */
void overlay_fini(struct overlay *overlay);
/* Principal, protocol and tag, before the first write. */
void overlay_origin(struct overlay *overlay, struct slice principal, struct slice protocol,
                    struct slice tag);

static inline bool
overlay_is_empty(const struct overlay *overlay)
{
    return overlay->batch.ops == 0 && overlay->spill == NULL;
}

/* Errors are kept in overlay->batch.error, as store_batch_* keep them. */
void overlay_put(struct overlay *overlay, uint16_t slot, struct slice key, struct slice value,
                 uint64_t expire_us);
void overlay_delete(struct overlay *overlay, uint16_t slot, struct slice key);
/* Also hides the overlay's own earlier writes in [start, end). Its own later ones stay. (A range
 * delete in a record hides only what was there before the record: the overlay therefore deletes
 * its own earlier puts in the range, each by an op of its own.) */
void overlay_delete_range(struct overlay *overlay, struct slice start, struct slice end);
void overlay_counter_add(struct overlay *overlay, uint32_t counter, int64_t delta);

struct overlay_mark overlay_mark(const struct overlay *overlay);
/* Takes back what was written since the mark, and forgets an error. Iterators must seek anew. */
void overlay_cut(struct overlay *overlay, const struct overlay_mark *mark);

/* What a read of the key before `mark` finds. */
enum overlay_answer {
    OVERLAY_NONE,    /* Nothing: the store decides. */
    OVERLAY_PUT,     /* op_out: slot, value, expiry (RECORD_PUT_LARGE: the whole value). */
    OVERLAY_DELETED, /* By a delete or a range delete. */
};
/* What op_out points to is borrowed until the next write. */
enum overlay_answer overlay_get(struct overlay *overlay, struct slice key,
                                const struct overlay_mark *before, struct record_op *op_out);
/* What the writes add to a counter. */
int64_t overlay_counter(struct overlay *overlay, uint32_t counter);
/* The same of what is in memory, and without range deletes: for txn/own.c. */
enum overlay_answer overlay_get_newest(struct overlay *overlay, struct slice key,
                                       const struct overlay_mark *before, struct record_op *op_out);
/* How many ops of the record, and what was spilled, lie before the mark. */
struct overlay_limit {
    uint32_t ops, spills;
};
struct overlay_limit overlay_limit(const struct overlay *overlay, const struct overlay_mark *mark);
/* Has a range delete before `mark` hidden the key of the store? */
bool overlay_hides(struct overlay *overlay, struct slice key, const struct overlay_mark *before);
/* The same, and how far: nothing of the store is seen from the key up to *bound_out (is_up; itself
 * not hidden), or down to it (itself hidden). Borrowed until the next cut. */
bool overlay_hides_to(struct overlay *overlay, struct slice key, const struct overlay_mark *before,
                      bool is_up, struct slice *bound_out);

/* The newest write of each key before `mark` (puts and deletes, not range deletes), in order.
 * Writes made meanwhile do not disturb it, but for `op`, which is good until the next write; `key`
 * is until the next cut. */
struct overlay_iter {
    struct overlay *overlay;
    struct overlay_mark before;
    struct slice lower, upper;  /* Where it may stop, borrowed; none from overlay_iter_init. */
    struct slice key;           /* Of the present op; empty: not on any. */
    struct record_op op;        /* As overlay_get's. */
    struct tree_position place; /* Of `key`, while the tree has this generation. */
    uint32_t generation;
    uint64_t cuts;
};
void overlay_iter_init(struct overlay_iter *iter, struct overlay *overlay,
                       const struct overlay_mark *before);
bool overlay_iter_seek(struct overlay_iter *iter, struct slice key);        /* First >= key. */
bool overlay_iter_seek_before(struct overlay_iter *iter, struct slice key); /* Last < key;
                                                                              empty key: last. */
/* After writes that the mark does not see: `op` is good again. */
void overlay_iter_refresh(struct overlay_iter *iter);
bool overlay_iter_next(struct overlay_iter *iter);
bool overlay_iter_previous(struct overlay_iter *iter);

/* Every write in its order, so each key once or more: for locks, checks and conflicts. Nothing may
 * be written meanwhile. False ends the walk. */
void overlay_visit(struct overlay *overlay, bool (*visit)(void *arg, const struct record_op *op),
                   void *arg);
/* The op behind the mark, which moves behind it; false at the end. The slices stay until something
 * is written; the value of a large put is not given. */
bool overlay_next_after(const struct overlay *overlay, struct overlay_mark *mark,
                        struct record_op *op_out);
/* Bytes held in memory. */
size_t overlay_bytes(const struct overlay *overlay);
