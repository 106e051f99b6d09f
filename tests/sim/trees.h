/* tests/sim/trees.h - one or two trees (lsm/) that are given the same history, and what may be
 * done to them.
 *
 * The log is not there: history.h stands for it. A crash keeps what trees_wait_durable has
 * promised, and a drawn part of the rest; an opening replays what is in no table. Two trees differ
 * in their options only, so that all answers must be the same: besides being compared with the
 * history they are added up to a digest of each tree. */
#pragma once

#include "lsm/lsm.h"
#include "tests/sim/history.h"

enum {
    TREES_HELD_MAX = 6,     /* Snapshots held for long. */
    TREES_READERS_MAX = 16, /* Snapshots in use by reads. */
    TREES_BATCH_WRITES_MAX = 6,
    TREES_BATCH_LOG_BYTES = 64, /* Of a batch in the log, without its values. */
    TREES_CHECKPOINTS_MAX = 3,  /* Of a tree. */
    TREES_INGESTS_MAX = 1024,
};

enum tree_checkpoint_state {
    CHECKPOINT_FREE,
    CHECKPOINT_THERE,
    CHECKPOINT_IN_USE, /* There, and being exported. */
    CHECKPOINT_UNSURE, /* Being made or dropped, or that failed. */
};

struct tree_checkpoint {
    enum tree_checkpoint_state state;
    char name[24];
    uint64_t ts; /* Of the history at its moment; no write is late to it. */
    uint64_t horizon;
    uint64_t flushed_lsn;
    uint64_t log_end;
};

struct trees_ingest;

struct tree {
    char dir[24];
    struct lsm_options options;
    struct lsm *lsm;
    uint64_t flushed_lsn; /* As lsm_on_flushed said, or the last opening. */
    uint64_t digest;      /* Of all answers, whatever their order. */
    struct lsm_snapshot held[TREES_HELD_MAX];
    struct tree_checkpoint checkpoints[TREES_CHECKPOINTS_MAX];
    struct tree_checkpoint moment; /* That is being exported without a name. */
    bool is_copying;
};

struct trees {
    struct run *run;
    struct history history;
    struct tree trees[HISTORY_SUBJECTS_MAX];
    uint32_t count;
    bool has_errors; /* EIO or ENOSPC are among the faults. */
    bool has_rot;    /* Something on the disk is wrong: an error is as good as the truth. */
    bool is_stopping;
    bool is_slow;          /* The workers pause. */
    bool is_horizon_close; /* It follows each write, as a store's does. */
    bool is_queue;         /* Most writes put at one end or delete at the other: */
    uint32_t queue_head, queue_tail;
    uint32_t running;
    uint32_t value_bytes_max;
    uint32_t large_permille;
    uint32_t delete_percent;
    uint32_t expire_percent; /* Of the puts. */
    uint64_t log_delay_us_max;
    uint64_t horizon;
    uint64_t commits;                 /* That succeeded, in this life. */
    uint64_t errors;                  /* That rot or faults excused, in this life. */
    uint64_t held_ts[TREES_HELD_MAX]; /* 0: free. */
    uint32_t held_users[TREES_HELD_MAX];
    uint64_t reading_ts[TREES_READERS_MAX]; /* 0: free. */
    struct trees_ingest *ingests;           /* By number - 1; NULL before the first. */
    uint32_t ingest_count;
};

/* May a call have failed so, with the faults of this run? Counts those it excuses. */
bool trees_excuse(struct trees *trees, err_t err);
#define TREES_CHECK_OK(trees, result, what)                                                        \
    do {                                                                                           \
        err_t result_ = (result);                                                                  \
        RUN_CHECK((trees)->run, result_ == ERR_OK || trees_excuse((trees), result_), "%s: %s: %s", \
                  (what), err_name(result_), err_message(result_));                                \
    } while (0)

/* `max` trees at most; draws their number, their options and the load. */
void trees_init(struct trees *trees, struct run *run, uint32_t max);
/* The trees are lost, and begin anew in empty folders. */
void trees_forget(struct trees *trees);

/* ---- By fibers. YIELDS all of them. ---- */

/* Opens every tree, replays the log and compares all there is. */
err_t trees_open(struct trees *trees);
void trees_close(struct trees *trees);
/* One operation of any kind. */
void trees_work_once(struct trees *trees);
/* Every key, forwards and backwards, at the newest snapshot. Errors are given when the answers
 * could not be had; wrong answers fail the run. */
err_t trees_check_all(struct trees *trees);

/* After a crash, between lives: draw what is left of the log. */
void trees_crash(struct trees *trees);

/* ---- Between trees.c and trees_read.c. ---- */

uint64_t trees_draw(uint64_t bound); /* From the shard's randomness. */
bool trees_chance(uint32_t percent);

/* A snapshot in use, from which late writes keep away. */
struct trees_reading {
    uint64_t snapshot;
    int32_t held; /* Index of the long-held snapshot it is, or -1. */
    bool is_own;  /* Held for this reading alone. */
    int32_t slot; /* Of reading_ts; -1: none was free. */
    struct lsm_snapshot own[HISTORY_SUBJECTS_MAX];
};
/* Not held: it may be read by calls that begin before anybody moves the horizon beyond it. */
void trees_read_begin(struct trees *trees, bool must_be_held, struct trees_reading *reading);
void trees_read_end(struct trees *trees, struct trees_reading *reading);

void trees_get(struct trees *trees);
void trees_multi_get(struct trees *trees);
void trees_scan(struct trees *trees);
/* All keys of one tree at a snapshot which is held, or while nobody else works. */
err_t trees_check_tree(struct trees *trees, struct tree *tree, uint64_t snapshot);

/* Apply the log from behind flushed_lsn up to log_end to `tree`, which is tree number `which` or a
 * copy of it, then remove files that nothing refers to. */
err_t trees_replay(struct trees *trees, uint32_t which, struct tree *tree, uint64_t flushed_lsn,
                   uint64_t log_end);

/* A put or a delete of any key; or a range delete, if wanted. */
void trees_write_draw(struct trees *trees, struct history_write *write, bool may_be_range);
/* Of the next batch; moves the horizon when that is close. */
uint64_t trees_ts_draw(struct trees *trees);
/* Room in all trees at a time. */
err_t trees_wait_room(struct trees *trees, uint64_t bytes);
/* To tree number `which`, or a copy of it, as the log's owner would. Does not suspend. */
void trees_apply(struct trees *trees, struct tree *tree, uint32_t which,
                 const struct history_write *write);
void trees_rotate_if_due(struct tree *tree, uint64_t lsn);

/* ---- trees_changes.c ---- */

/* Ask what was written since. */
void trees_changes(struct trees *trees);

/* ---- trees_ingest.c ---- */

void trees_ingest(struct trees *trees);
/* The ingest whose first write this is, to tree number `which` or a copy of it. */
err_t trees_ingest_replay(struct trees *trees, struct tree *tree, uint32_t which,
                          const struct history_write *write);

/* ---- trees_checkpoint.c ---- */

/* Make, drop or export a checkpoint. */
void trees_checkpoint(struct trees *trees);
/* The newest of all checkpoints; UINT64_MAX while one is being made. */
uint64_t trees_checkpoint_ts(const struct trees *trees);
/* After a crash or an orderly end. */
void trees_checkpoints_crash(struct trees *trees);
/* After an opening: those that must be there are, and no others. */
void trees_checkpoints_check(struct trees *trees, struct tree *tree);
/* What was exported; also what a crash has left of an export. */
err_t trees_copy_remove(const struct tree *tree);
