/* txn/spill.h - the writes of a transaction that is larger than memory. For overlay.c and part.c.
 *
 *     overlay's record   | kept | ops since ...............|      <- still grows
 *                           ^ range deletes, sums of counters of all that was spilled
 *     spilled pieces     [0] [1] [2] ...  each a sorted run on disk (lsm/runs.h)
 *
 * When an overlay has become large, the newest write of each key goes to a run, and the record
 * begins again with what cannot go there: range deletes and counters. The record is cut into
 * pieces where somebody's mark stands, so that what lies before a mark is always a number of whole
 * pieces and of kept ops, and taking back drops whole pieces. A range delete hides the rows of
 * pieces before it, but not the later ones: its place among the kept ops tells.
 *
 * At the commit all pieces and the record are merged into one ingest, which the record then names:
 * a small record, whatever was written. */
#pragma once

#include "engine/base/crc16.h"
#include "lsm/ingest.h"
#include "lsm/runs.h"
#include "txn/overlay.h"
#include "txn/reads.h"

enum {
    /* An overlay is spilled by the next flush, or the next step of a long command, when it takes
     * more than this part of the shard's memory, within bounds (spill_memory_max), or when its
     * record has half of what the log takes as one. */
    TXN_MEMORY_SHARE = 8,
    TXN_MEMORY_BYTES_MIN = 4 << 20, /* So that a gigabyte is not more than LSM_RUNS_MAX pieces. */
    TXN_MEMORY_BYTES_MAX = 16 << 20,
    SPILL_KEPT_BYTES_MAX = 4 << 20, /* Of range deletes and counters: ERR_LIMIT. */
};

/* Also what the merge at the commit reads ahead, over all runs. */
size_t spill_memory_max(const struct store *store);

/* One piece. */
struct spill_piece {
    uint32_t begun;   /* How many pieces there were when its record began, */
    uint32_t ops_to;  /* and where in that record it ends. */
    uint32_t kept_to; /* So many of the kept ops are of this piece and those before. */
    uint32_t runs_to; /* And so many runs, */
    uint64_t rows_to; /* with so many rows. */
};

struct spill {
    struct lsm_runs *runs;
    struct spill_piece *pieces;
    uint32_t count, capacity;
    uint32_t kept;             /* The first so many ops of the record. */
    uint64_t rows;             /* In all runs. */
    struct buf low, high;      /* The bounds of all keys in runs, both inclusive. */
    struct lsm_ingest *ingest; /* After spill_finish. */
    /* A bit for each slot that has had rows in runs: what was taken back counts, too. */
    uint64_t slots[SLOT_COUNT / 64];
};

/* A row of the slot is on disk from now on. Slots of shards themselves never move. */
static inline void
spill_note_slot(struct spill *spill, uint16_t slot)
{
    if (slot < SLOT_COUNT) {
        spill->slots[slot / 64] |= UINT64_C(1) << (slot % 64);
    }
}

static inline bool
spill_has_slot(const struct spill *spill, uint16_t slot)
{
    return (spill->slots[slot / 64] & (UINT64_C(1) << (slot % 64))) != 0;
}

static inline uint32_t
spill_count(const struct spill *spill)
{
    return spill == NULL ? 0 : spill->count;
}

/* Removes the files, unless they were committed. Accepts NULL; clears the pointer. */
void spill_free(struct spill **spill);
/* What lies before the mark: kept or present ops, and pieces. */
struct overlay_limit spill_limit(const struct spill *spill, const struct overlay_mark *mark,
                                 uint32_t ops);
/* overlay_cut to a mark that lies before some piece. */
void spill_cut(struct overlay *overlay, const struct overlay_mark *mark);
/* Writes all that is in memory to runs; the marks given, and those of viewers, stay true. Nothing
 * is written to the overlay meanwhile. After an error the overlay is as before. Errors: ERR_LIMIT,
 * ERR_NO_SPACE, ERR_IO. */
YIELDS err_t spill_write(struct overlay *overlay, struct lsm *lsm, const struct overlay_mark *marks,
                         uint32_t count);
/* Before the commit: everything becomes one ingest, which the overlay's batch names. Harmless when
 * repeated. Errors as above. */
YIELDS err_t spill_finish(struct overlay *overlay, struct lsm *lsm);
/* May its rows meet what was read? By their bounds. */
bool spill_meets_reads(const struct spill *spill, struct reads *reads);
/* The piece with the run of this number (from 1). */
const struct spill_piece *spill_piece_of_run(const struct spill *spill, uint64_t run);

/* ---- Bulk loading (bulk.h): rows that come in order need no runs. ---- */

struct spill *spill_load_new(struct lsm *lsm);
/* Errors of lsm_ingest_add. */
YIELDS err_t spill_load_add(struct spill *spill, const struct lsm_entry *entry);
YIELDS err_t spill_load_end(struct spill *spill);
/* The rows are the overlay's writes, which had none; takes the spill, and clears the pointer.
 * Errors are kept as those of overlay_put are. */
void overlay_load(struct overlay *overlay, struct spill **spill);

/* ---- overlay.c, for these files ---- */
void overlay_large_drop(struct overlay *overlay);
struct record_reader overlay_ops_begin(const struct overlay *overlay);
void overlay_op_at(const struct overlay *overlay, uint32_t offset, struct record_op *op_out);
