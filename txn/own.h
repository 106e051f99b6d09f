/* txn/own.h - reading a transaction's own writes on a shard, wherever they are: in memory
 * (txn/overlay.h) or on disk (txn/spill.h). Suspends only in the second case. */
#pragma once

#include "lsm/runs.h"
#include "txn/overlay.h"

struct lsm;

/* As overlay_get; the value is in the arena, whole. */
YIELDS err_t own_get(struct overlay *overlay, struct lsm *lsm, struct slice key,
                     const struct overlay_mark *before, struct arena *arena,
                     enum overlay_answer *answer_out, struct record_op *op_out);

/* The newest write of each key before `mark`, as overlay_iter. The value of a large put is whole if
 * the write is in memory; otherwise (is_pointer) it is the pointer to it. A step goes on in the
 * direction of the last seek, and only if nothing that the mark sees was written since, and nothing
 * taken back. */
struct own_iter {
    struct overlay_iter memory;
    struct list viewer; /* In overlay->viewers. */
    struct lsm_runs_iter *runs;
    uint32_t ahead_bytes;
    uint64_t cuts; /* Of the overlay when `runs` was opened. */
    bool is_up;
    bool is_in_memory, is_in_runs; /* Which of them stand on the present key. */
    bool is_pointer;
    struct slice key; /* Empty: nowhere. */
    struct record_op op;
};
void own_iter_init(struct own_iter *iter, struct overlay *overlay,
                   const struct overlay_mark *before, uint32_t ahead_bytes);
void own_iter_fini(struct own_iter *iter);
YIELDS err_t own_iter_seek(struct own_iter *iter, struct slice key);
YIELDS err_t own_iter_seek_before(struct own_iter *iter, struct slice key); /* Empty: last. */
YIELDS err_t own_iter_step(struct own_iter *iter);
/* After writes that the mark does not see, before anything else is done with it. */
void own_iter_refresh(struct own_iter *iter);
