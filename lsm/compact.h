/* lsm/compact.h - choosing and running compactions; for the files of this folder only.
 *
 * Several jobs run at once, each on a fiber of its own. What keeps them apart:
 *
 *   - a table is the input of one job at most (busy_with);
 *   - what a job writes lies within the bounds of its inputs, and no two jobs write into one level
 *     where their bounds overlap. Level 0 is free of this: its tables overlap anyway.
 *
 * Nothing else is needed: readers and the rules of collect.h go by timestamps, never by the level,
 * and an edit is applied to the version of its moment. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "lsm/lsm.h"
#include "lsm/version.h"

enum {
    COMPACT_INPUTS = 2,
    COMPACT_FIBERS = 3,    /* Jobs at once, those by hand excluded. */
    COMPACT_PARTS_MAX = 4, /* Key ranges into which one job is split. */
};

enum compact_reason {
    COMPACT_BY_SIZE,    /* A level is above its target. */
    COMPACT_BY_COUNT,   /* Level 0 has many tables. */
    COMPACT_WITHIN,     /* Level 0 has many tables, and the way down is taken or too dear. */
    COMPACT_DROP,       /* Tables that go unread. */
    COMPACT_VALUES,     /* Values of a log file of which little is used. */
    COMPACT_BY_GARBAGE, /* Many deletes that can go. */
    COMPACT_BY_SCANS,   /* Scans have stepped over much that is gone. */
    COMPACT_EXPIRED,    /* Much has expired. */
    COMPACT_BY_HAND,
};

/* A range of keys; of tables. The slices are borrowed from them. */
struct key_bounds {
    struct slice low;
    struct slice high;
    bool high_is_exclusive;
    bool is_empty;
};

struct compaction {
    struct list link; /* Among lsm->running. */
    enum compact_reason reason;
    uint32_t level; /* Of inputs[0]; inputs[1] are of output_level. */
    uint32_t output_level;
    struct lsm_table **inputs[COMPACT_INPUTS]; /* Pinned, in the version's order. */
    uint32_t counts[COMPACT_INPUTS];
    struct key_bounds bounds; /* Of all inputs. */
    bool is_move;             /* The one input changes its level as it is. */
    bool is_drop;             /* The inputs go and nothing replaces them. */
    uint64_t bytes;           /* Of all inputs. */
    uint64_t bytes_done;      /* Read so far; an estimate. */
};

/* ---- compact_job.c: jobs and bounds. None of these suspends. ---- */

void compaction_init(struct compaction *job);
/* Unpins the inputs, which are free for others again. */
void compaction_fini(struct compaction *job);
/* Pins, and marks as busy. */
void compaction_add_inputs(struct compaction *job, uint32_t which, struct lsm_table *const *tables,
                           uint32_t count);
struct key_bounds key_bounds_of(struct lsm_table *const *tables, uint32_t count);
void key_bounds_add(struct key_bounds *bounds, const struct table_meta *meta);
bool key_bounds_overlap(const struct key_bounds *a, const struct key_bounds *b);
/* The tables of a level >= 1 within the bounds are neighbours: from *first_out, so many. */
uint32_t level_overlap(const struct level *level, const struct key_bounds *bounds,
                       uint32_t *first_out);
/* Can no job have it: corrupt, or busy (as an input, or ingested and not settled)? */
bool compact_is_taken(const struct lsm_table *table);
bool compact_any_taken(struct lsm_table *const *tables, uint32_t count);
/* Adds what inputs[0] needs of the output level, and finds whether it may move as it is. False when
 * something of it is not free; then the job is to be finished (compaction_fini). */
bool compaction_complete(struct lsm *lsm, struct compaction *job);
/* Would a job that writes into this level within the bounds meet one that runs? */
bool compact_conflicts(const struct lsm *lsm, uint32_t level, const struct key_bounds *bounds);
/* Does a compaction in work write into this level within [low, high]? */
bool compact_writes_into(const struct lsm *lsm, uint32_t level, struct slice low,
                         struct slice high);

/* ---- compact_levels.c: how large the levels should be. ---- */

/* Sized from the bottom: the largest level is as it is, each one above it has a tenth, down to the
 * size of what level 0 hands on; further levels are not used. `base` takes what leaves level 0. */
struct level_targets {
    uint32_t base;
    uint64_t bytes[LSM_LEVELS]; /* 0: should be empty. */
};
void level_targets_find(const struct lsm *lsm, struct level_targets *targets);
/* Bytes that would have to be rewritten to bring all levels to their targets; an estimate. */
uint64_t compact_debt(const struct lsm *lsm);

/* ---- compact_drop.c ---- */

/* Tables wholly hidden by a newer range delete, and range deletes that hide nothing any more. */
bool compact_pick_drop(struct lsm *lsm, struct compaction *job);

/* ---- compact_expired.c ---- */

/* Tables that have expired wholly and hide nothing: they go unread. */
bool compact_pick_expired_drop(struct lsm *lsm, struct compaction *job);
/* A table of which half has expired. Sets lsm->expiry_waits when there will be one. */
bool compact_pick_expired(struct lsm *lsm, struct compaction *job);

/* ---- compact_garbage.c ---- */

/* A table with many deletes that can go now. Sets lsm->garbage_waits when there will be one as
 * soon as the horizon rises or a snapshot is dropped. */
bool compact_pick_garbage(struct lsm *lsm, const struct level_targets *targets,
                          struct compaction *job);

/* Rewrite one table of a level >= 1 with what it overlaps in output_level, or where it is when that
 * is its own; false when something of it is not free. */
bool compact_pick_table(struct lsm *lsm, struct lsm_table *table, uint32_t level,
                        uint32_t output_level, enum compact_reason reason, struct compaction *job);

/* ---- compact_scanned.c ---- */

/* Tables where scans have stepped over so much that is gone that rewriting them would have cost
 * less. Sets lsm->garbage_waits as above. */
bool compact_pick_scanned(struct lsm *lsm, const struct level_targets *targets,
                          struct compaction *job);

/* ---- compact_pick.c ---- */

/* All tables of level 0 that no job has, with what they need of `base`. */
bool compact_pick_level0(struct lsm *lsm, uint32_t base, enum compact_reason reason,
                         struct compaction *job);
/* The most urgent work that no running job is in the way of; false when there is none. Marks the
 * inputs as busy. */
bool compact_pick(struct lsm *lsm, struct compaction *job);
/* By hand: the tables of `level` that touch [lower, upper) (upper.size == 0: open) and begin behind
 * `after`, not too many at once, with what they need of output_level; output_level == level: those
 * from which something may go, to be rewritten where they are. */
struct compact_range {
    uint32_t level;
    uint32_t output_level;
    struct slice lower;
    struct slice upper;
    bool has_after;
    struct slice after; /* The first key of the last table that the job before this one took. */
};
/* BLOCKED: a running job has what it needs. */
enum compact_picked { COMPACT_NOTHING, COMPACT_PICKED, COMPACT_BLOCKED };
enum compact_picked compact_pick_range(struct lsm *lsm, const struct compact_range *range,
                                       struct compaction *job);

/* ---- compact.c, compact_run.c ---- */

/* Do the job: tables written, edit durable. */
YIELDS err_t compaction_run(struct lsm *lsm, struct compaction *job);
/* Do one piece of work. *did_out tells if there was any. */
YIELDS err_t compact_step(struct lsm *lsm, bool *did_out);
void compact_fiber(void *arg);
