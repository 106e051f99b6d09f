/* lsm/internal.h - the tree's parts, for the files of this folder only.
 *
 *     lsm.c       open, close, statistics        lsm_write.c  applying, rotation, backpressure
 *     lsm_read.c  point reads                    lsm_iter.c   scans
 *     lsm_changes.c  what was written since
 *     flush.c     memtable to level 0            compact*.c   tables to tables (compact.h)
 *     pace.c      room, and slowing writers      lsm_commit.c one edit after the other */
#pragma once

#include "engine/base/list.h"
#include "lsm/checkpoint.h"
#include "lsm/collect.h"
#include "lsm/compact.h"
#include "lsm/entry_cache.h"
#include "lsm/ingest.h"
#include "lsm/lsm.h"
#include "lsm/manifest.h"
#include "lsm/memtable.h"
#include "lsm/merge.h"
#include "lsm/metrics.h"
#include "lsm/output.h"
#include "lsm/snapshots.h"
#include "lsm/table.h"
#include "lsm/version.h"
#include "lsm/vlog.h"

#define LSM_MAGIC UINT64_C(0x6c736d2d74726565)

enum {
    LSM_FLUSHED_LISTENERS_MAX = 4,
    LSM_LEVEL_FACTOR = 10,
    LSM_LEVEL0_SLOW_FACTOR = 2,        /* Of level0_tables: compaction is to keep below this, */
    LSM_LEVEL0_STOP_FACTOR = 4,        /* and from here on writers wait. */
    LSM_LOG_SPAN_FACTOR = 4,           /* Rotate when the log has grown by so many memtables. */
    LSM_RANGE_DELETED_KEYS = 16 << 10, /* Rotate when range deletes cover so many live keys, */
    LSM_RANGE_BORDERS_MAX = 128 << 10, /* or have so many borders: tables hold them in less. */
    LSM_RETRY_US_MIN = 50000,
    LSM_RETRY_US_MAX = 5000000,
    LSM_ENTRIES_HOLES = 2, /* Half of what entries take is counted for holes: lsm_cache_lend. */
    LSM_MULTI_GET_FIBERS = 64,
};

/* An ingested table that waits for its place in the manifest. */
struct lsm_settle {
    struct lsm_table *table; /* Pinned. */
    uint32_t level;
    uint64_t memtable; /* Number of the one that was active: its flush settles the table. */
};

/* What writers owe: pace.c. */
struct pace {
    uint32_t ratio;         /* Of bytes of background work to bytes written, in 64ths. */
    int64_t owed_bytes;     /* Below 0: work done ahead. */
    uint64_t unseen_bytes;  /* Of work since the ratio was found. */
    uint64_t flushed_bytes; /* Of the oldest frozen memtable. */
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
    struct pace pace;

    /* On disk. */
    struct version *version;
    struct manifest *manifest;
    struct fiber_mutex manifest_mutex;
    uint64_t next_file_number;
    uint64_t flushed_lsn;
    uint64_t horizon_before; /* Of earlier lives, as the manifest has it. */
    uint64_t rotations;      /* So far: the active memtable's number. */
    struct lsm_settle *settle;
    uint32_t settle_count, settle_capacity;
    uint64_t settle_lsn; /* The newest log position of what was ingested. */
    uint64_t *strays;    /* Tables that the manifest does not list; until lsm_files_collect. */
    uint32_t stray_count, stray_capacity;
    struct buf note;
    struct vlog *vlog;
    struct block_cache *cache;
    struct entry_cache *entries;
    struct fiber_mutex hold_mutex; /* Before manifest_mutex, where both are taken. */
    struct manifest_checkpoint *checkpoints[LSM_CHECKPOINTS_MAX]; /* In order of their making. */
    uint32_t checkpoint_count;

    /* Background. */
    bool is_closing;
    struct fiber_group background;
    struct fiber_mutex flush_mutex;
    struct cond flush_cond;   /* Something was frozen. */
    struct cond compact_cond; /* The version changed, or a compaction ended. */
    struct cond scrub_cond;   /* The scrub's rate changed. */
    uint64_t scrub_bytes_per_s;
    bool scrub_is_paused;  /* The last round has ended. */
    struct cond room_cond; /* A flush or compaction ended, well or badly. */
    bool compact_is_due;
    bool is_idle;             /* Nothing was written for a while, as compaction last saw it: */
    uint64_t idle_generation; /* Of the active memtable. */
    uint64_t idle_since_us;
    struct list running; /* Compactions. */
    uint32_t by_hand;    /* Calls of lsm_compact that go on. */
    bool garbage_waits;  /* Tables with many deletes wait for the horizon or a snapshot. */
    bool expiry_waits;   /* Something in tables will expire. */
    err_t flush_error;   /* Of the last attempt; ERR_OK when it went well. */
    err_t compact_error;
    char error_message[ERR_MESSAGE_BYTES_MAX];

    struct {
        void (*fn)(void *arg, uint64_t flushed_lsn);
        void *arg;
    } listeners[LSM_FLUSHED_LISTENERS_MAX];
    uint32_t listener_count;
    uint32_t iterators;
    uint64_t memtable_skips;     /* Steps of scans over what is gone by the active memtable. */
    struct lsm_iter *iter_spare; /* Closed, ready for the next open; or NULL. */
    struct lsm_stats stats;
    struct lsm_metrics metrics;
};

/* Are tables of the level written compressed? */
static inline bool
lsm_compresses(const struct lsm *lsm, uint32_t level)
{
    return (lsm->options.plain_levels & 1u << level) == 0;
}

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

/* pace.c */
uint32_t lsm_level0_count(const struct lsm *lsm); /* Tables that compaction may have. */
bool lsm_active_is_full(const struct lsm *lsm);
/* What is to be done or the room for it has changed: find the ratio again. */
void lsm_pace(struct lsm *lsm);
/* A write of so many bytes owes its share of background work; */
void lsm_pace_charge(struct lsm *lsm, size_t bytes);
/* and compaction has read so many bytes of keys and values, or the flush that runs written so many
 * of its memtable. Do not suspend. */
void lsm_pace_work(struct lsm *lsm, uint64_t bytes);
void lsm_pace_flushed(struct lsm *lsm, uint64_t entries, uint64_t bytes);

/* lsm_write.c */
/* What frozen memtables take is lent by the block cache until they are flushed, and what the pool
 * keeps. */
void lsm_cache_lend(struct lsm *lsm);
/* Until something is frozen; meanwhile the pool is given back when it was idle for long. */
YIELDS void lsm_flush_wait(struct lsm *lsm);
/* By which tables were collected, in this life or before. */
uint64_t lsm_horizon_ever(const struct lsm *lsm);
/* The oldest write in any memtable but `except`; UINT64_MAX when there is none. */
uint64_t lsm_memtables_oldest(const struct lsm *lsm, const struct memtable *except);

/* lsm_iter.c: before a memtable or the version is replaced, so that nothing idle keeps it. */
void lsm_iter_spare_drop(struct lsm *lsm);

/* compact_scanned.c: a scan has stepped over so many versions that are gone because of one in this
 * table, or in the active memtable (NULL). Does not suspend. */
void lsm_scan_skipped(struct lsm *lsm, struct lsm_table *table, uint64_t steps);
/* Would a flush have been cheaper than what scans have lost in the active memtable? */
bool lsm_scans_want_rotation(const struct lsm *lsm);

/* lsm_read.c: the value a pointer stands for. */
YIELDS err_t lsm_large_read(struct lsm *lsm, struct slice pointer, struct arena *arena,
                            struct slice *value_out);

/* scrub.c */
void scrub_fiber(void *arg);

/* flush.c: flush the oldest frozen memtable, if there is one. */
YIELDS err_t flush_step(struct lsm *lsm);
void flush_fiber(void *arg);
