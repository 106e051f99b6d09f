/* lsm/internal.h - the tree's parts, for the files of this folder only.
 *
 *     lsm.c       open, close, statistics        lsm_write.c  applying, rotation, backpressure
 *     lsm_read.c  point reads                    lsm_iter.c   scans
 *     flush.c     memtable to level 0            compact.c    tables to tables
 *     compact_pick.c  what to compact next       lsm_commit.c one edit after the other */
#pragma once

#include "lsm/checkpoint.h"
#include "lsm/collect.h"
#include "lsm/ingest.h"
#include "lsm/lsm.h"
#include "lsm/manifest.h"
#include "lsm/memtable.h"
#include "lsm/merge.h"
#include "lsm/output.h"
#include "lsm/snapshots.h"
#include "lsm/table.h"
#include "lsm/version.h"
#include "lsm/vlog.h"

#define LSM_MAGIC UINT64_C(0x6c736d2d74726565)

enum {
    LSM_FLUSHED_LISTENERS_MAX = 4,
    LSM_LEVEL_FACTOR = 10,
    LSM_LEVEL0_SLOW_FACTOR = 2,        /* Of level0_tables: from here on writers are slowed, */
    LSM_LEVEL0_STOP_FACTOR = 4,        /* and from here on they wait. */
    LSM_LOG_SPAN_FACTOR = 4,           /* Rotate when the log has grown by so many memtables. */
    LSM_RANGE_DELETED_KEYS = 16 << 10, /* Rotate when range deletes cover so many live keys, */
    LSM_RANGE_BORDERS_MAX = 128 << 10, /* or have so many borders: tables hold them in less. */
    LSM_RETRY_US_MIN = 50000,
    LSM_RETRY_US_MAX = 5000000,
    LSM_SLOW_BURST_US = 1000,
    LSM_MULTI_GET_FIBERS = 64,
};
#define LSM_SLOW_BYTES_PER_S_MAX (64u << 20)
#define LSM_SLOW_BYTES_PER_S_MIN (1u << 20)

/* An ingested table that waits for its place in the manifest; rising by lsn. */
struct lsm_settle {
    struct lsm_table *table; /* Pinned. */
    uint32_t level;
    uint64_t lsn; /* Of the log record. */
};

struct lsm {
    uint64_t magic;
    struct lsm_options options; /* Zeros filled in; dir points to the copy below. */
    char dir[LSM_DIR_BYTES_MAX + 1];
    uint64_t hash_seed;

    /* In memory. */
    struct memtable *active;
    struct memtable *spare;         /* Empty, ready to become the active one; or NULL. */
    struct memtable_pool pool;      /* Memory of flushed ones, for the next. */
    struct memtable *frozen_oldest; /* Linked by newer and older. */
    struct memtable *frozen_newest;
    uint32_t frozen_count;
    struct snapshots snapshots;
    uint64_t slow_bytes_per_s; /* 0: writers are not slowed. */
    uint64_t slow_until_us;    /* What was written so far is paid for then. */

    /* On disk. */
    struct version *version;
    struct manifest *manifest;
    struct fiber_mutex manifest_mutex;
    uint64_t next_file_number;
    uint64_t flushed_lsn;
    uint64_t rotated_lsn; /* Given to the last rotation. */
    struct lsm_settle *settle;
    uint32_t settle_count, settle_capacity;
    uint64_t *strays; /* Tables that the manifest does not list; until lsm_files_collect. */
    uint32_t stray_count, stray_capacity;
    struct buf note;
    struct vlog *vlog;
    struct block_cache *cache;
    struct fiber_mutex hold_mutex; /* Before manifest_mutex, where both are taken. */
    struct manifest_checkpoint *checkpoints[LSM_CHECKPOINTS_MAX]; /* In order of their making. */
    uint32_t checkpoint_count;

    /* Background. */
    bool is_closing;
    struct fiber_group background;
    struct fiber_mutex flush_mutex;
    struct fiber_mutex compact_mutex;
    struct cond flush_cond;   /* Something was frozen. */
    struct cond compact_cond; /* The version changed. */
    struct cond room_cond;    /* A flush or compaction ended, well or badly. */
    bool compact_is_due;
    err_t flush_error; /* Of the last attempt; ERR_OK when it went well. */
    err_t compact_error;
    char error_message[ERR_MESSAGE_BYTES_MAX];

    struct {
        void (*fn)(void *arg, uint64_t flushed_lsn);
        void *arg;
    } listeners[LSM_FLUSHED_LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t iterators;
    struct lsm_iter *iter_spare; /* Closed, ready for the next open; or NULL. */
    struct lsm_stats stats;
};

/* Unique in the folder; `lsm` is a struct lsm: the value log and outputs ask through it. */
uint64_t lsm_file_number_new(void *lsm);

/* lsm_commit.c: make the edit durable and the version current; retries for as long as the disk
 * fails, with the error published in *error_slot, and gives up with ERR_CANCELED when the tree is
 * closed. `flushed` (may be NULL) leaves the frozen list in the same step. Other errors: the edit
 * does not fit (ERR_CORRUPT). */
YIELDS err_t lsm_commit(struct lsm *lsm, struct edit *edit, struct memtable *flushed,
                        err_t *error_slot);
/* The version is another: compaction and pacing look again. */
void lsm_tables_changed(struct lsm *lsm);
/* Publish what background work came to: writers that wait for room see it. */
void lsm_report(struct lsm *lsm, err_t *error_slot, err_t err);
/* Sleep before attempt number `attempt` + 1; ERR_CANCELED when the tree is being closed. */
YIELDS err_t lsm_back_off(struct lsm *lsm, uint32_t attempt);

/* lsm_write.c */
uint32_t lsm_level0_count(const struct lsm *lsm); /* Without shunned tables. */
void lsm_pace(struct lsm *lsm);                   /* Recompute slow_bytes_per_s. */
/* What frozen memtables take is lent by the block cache until they are flushed, and what the pool
 * keeps. */
void lsm_cache_lend(struct lsm *lsm);
/* Until something is frozen; meanwhile the pool is given back when it was idle for long. */
YIELDS void lsm_flush_wait(struct lsm *lsm);
/* The oldest write in any memtable but `except`; UINT64_MAX when there is none. */
uint64_t lsm_memtables_oldest(const struct lsm *lsm, const struct memtable *except);

/* lsm_iter.c: before a memtable or the version is replaced, so that nothing idle keeps it. */
void lsm_iter_spare_drop(struct lsm *lsm);

/* lsm_read.c: the value a pointer stands for. */
YIELDS err_t lsm_large_read(struct lsm *lsm, struct slice pointer, struct arena *arena,
                            struct slice *value_out);

/* flush.c: flush the oldest frozen memtable, if there is one. */
YIELDS err_t flush_step(struct lsm *lsm);
void flush_fiber(void *arg);

/* compact_pick.c */
enum { COMPACT_INPUTS = 2 };
struct compaction {
    uint32_t level; /* Of inputs[0]; inputs[1] are of output_level. */
    uint32_t output_level;
    struct lsm_table **inputs[COMPACT_INPUTS]; /* Pinned, in the version's order. */
    uint32_t counts[COMPACT_INPUTS];
    bool is_move; /* The one input changes its level as it is. */
    bool is_drop; /* The inputs go and nothing replaces them. */
};
void compaction_init(struct compaction *job);
void compaction_fini(struct compaction *job);
/* The most urgent work; false when there is none. Marks the inputs as busy. */
bool compact_pick(struct lsm *lsm, struct compaction *job);
/* All tables of `level` that touch [lower, upper) (upper.size == 0: open), with what they need of
 * the next level, or alone (is_bottom) for rewriting in place. False when there is none. */
bool compact_pick_range(struct lsm *lsm, uint32_t level, bool is_bottom, struct slice lower,
                        struct slice upper, struct compaction *job);
/* Does a compaction in work write into this level within [low, high]? */
bool compact_writes_into(const struct lsm *lsm, uint32_t level, struct slice low,
                         struct slice high);
uint64_t compact_level_target(const struct lsm *lsm, uint32_t level);

/* compact.c: do one piece of work. *did_out tells if there was any. */
YIELDS err_t compact_step(struct lsm *lsm, bool *did_out);
void compact_fiber(void *arg);
