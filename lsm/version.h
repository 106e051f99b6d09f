/* lsm/version.h - an immutable set of tables by level, and what changes one into the next.
 *
 * Readers pin the version they began with. Level 0 holds flushed memtables, which overlap; from
 * level 1 on the tables of a level are in order and disjoint. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "lsm/lsm.h"
#include "lsm/table.h"

struct vlog;
struct vlog_use;

/* An open table with what the tree knows about it. */
struct lsm_table {
    uint64_t magic;
    uint32_t refs;
    struct table *table;           /* Pinned. */
    const struct table_meta *meta; /* The table's. */
    struct vlog *vlog;             /* Borrowed; may be NULL (tests). */
    struct vlog_use *vlog_uses;    /* What values it points to; a reference is held to each file. */
    uint32_t vlog_use_count;
    const void *busy_with; /* The compaction whose input it is, or NULL. */
    uint64_t lsn;          /* Ingested: of the log record, until it is in the manifest; else 0. */
    bool is_stamped;       /* Ingested: one timestamp for all entries (lsm/ingest.h). */
    bool is_condemned;     /* A range delete in memory hides all of it. */
    bool is_damaged;       /* Scrub has said so. */
    bool is_shunned;       /* Corrupt: not compacted again. */
    bool is_obsolete;      /* In no newer version: the last unpin removes the file. */
    bool cover_is_checked; /* Its range deletes have dropped what tables they can. */
    uint64_t scan_skips;   /* Steps of scans over what a version here made void, */
    uint64_t scan_mark;    /* and at how many compaction looks again. */
    uint64_t collected_floor; /* What it could do without up to here was left out when it was
                                 written; 0: not known. */
};

/* Takes over the caller's pin of `table`, and a reference to each value log file. */
struct lsm_table *lsm_table_new(struct table *table, struct vlog *vlog,
                                const struct vlog_use *vlog_uses, uint32_t vlog_use_count);
void lsm_table_pin(struct lsm_table *table);
void lsm_table_unpin(struct lsm_table *table);
/* Does it point to values of this log file? */
bool lsm_table_uses(const struct lsm_table *table, uint64_t vlog_file_number);
/* Ingested, and not yet in the manifest: nothing may be compacted with it. */
static inline bool
lsm_table_is_pending(const struct lsm_table *table)
{
    return table->busy_with == table;
}

/* Is the key within the table's bounds? */
bool table_meta_has(const struct table_meta *meta, struct slice key);
/* Does the table touch [low, high]? high_is_exclusive: [low, high). */
bool table_meta_overlaps(const struct table_meta *meta, struct slice low, struct slice high,
                         bool high_is_exclusive);
/* Order of a table's upper bound against a key: <0 when every key of the table is below it. */
int table_meta_compare_end(const struct table_meta *meta, struct slice key);

struct level {
    struct lsm_table **tables; /* Level 0: newest first. */
    uint32_t count;
    uint64_t bytes;
};

struct version {
    uint64_t magic;
    uint32_t refs;
    struct level levels[LSM_LEVELS];
    uint64_t ts_newest;     /* Of all tables; 0 when there are none. */
    uint64_t range_deletes; /* In all tables. */
};

struct edit_add {
    uint32_t level;
    struct lsm_table *table; /* Pinned by the edit. */
};
struct edit_remove {
    uint32_t level;
    uint64_t file_number;
};

/* A change. Grows by edit_add_table and edit_remove_table; edit_fini unpins. */
struct edit {
    struct edit_add *adds;
    uint32_t add_count, add_capacity;
    struct edit_remove *removes;
    uint32_t remove_count, remove_capacity;
    struct edit_add *settles; /* Of the version already, new to the manifest. */
    uint32_t settle_count, settle_capacity;
    bool has_flushed;
    uint64_t flushed_lsn; /* With has_flushed. */
    struct slice note;    /* Borrowed. */
};
void edit_init(struct edit *edit);
void edit_fini(struct edit *edit);
void edit_add_table(struct edit *edit, uint32_t level, struct lsm_table *table);
void edit_settle_table(struct edit *edit, uint32_t level, struct lsm_table *table);
void edit_remove_table(struct edit *edit, uint32_t level, uint64_t file_number);

/* Reference count 1. */
struct version *version_new(void);
/* `base` with the edit applied. ERR_CORRUPT when it does not fit: a table to be removed is not
 * there, a number comes twice, or tables of a level overlap. */
err_t version_apply(const struct version *base, const struct edit *edit,
                    struct version **version_out);
void version_pin(struct version *version);
/* Accepts NULL; clears the pointer. */
void version_unpin(struct version **version);

/* Index of the first table of a level >= 1 whose upper bound is not below the key; count: none. */
uint32_t level_find(const struct level *level, struct slice key);
/* The table of a level >= 1 that may hold the key, or NULL. */
struct lsm_table *level_table_for(const struct level *level, struct slice key);
