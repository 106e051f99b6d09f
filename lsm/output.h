/* lsm/output.h - the tables that a flush or compaction writes.
 *
 * Entries come in order; a new table begins at table_bytes and, once the present one has some
 * size, where the keyspace changes (the first LSM_KEYSPACE_BYTES of a key: model tag and
 * keyspace), never between versions of one key. Each table gets the pieces of the inputs' range
 * deletes that lie between its first key and the next table's. */
#pragma once

#include <stdbool.h>

#include "engine/base/mem.h"
#include "lsm/collect.h"
#include "lsm/table.h"
#include "lsm/version.h"
#include "lsm/vlog.h"

enum {
    LSM_KEYSPACE_BYTES = 5,
    OUTPUT_KEYSPACE_SHARE = 16,      /* A table of less than 1/16 of its target is not cut. */
    OUTPUT_OVERLAP_SHARE = 4,        /* Nor one of less than 1/4 for what it overlaps. */
    OUTPUT_RANGES_MAX = 64 << 10,    /* Range deletes in one table. */
    OUTPUT_VLOG_FILES_MAX = 4 << 10, /* Value logs that one table points to. */
};

struct output_options {
    const char *dir;
    uint64_t (*file_number_new)(void *arg);
    void *arg;
    struct block_cache *cache;
    struct vlog *vlog;
    uint32_t level;
    uint64_t table_bytes; /* 0: one table, however large. */
    uint32_t block_bytes;
    bool compress;
    struct slice lower; /* Of the keys that will come; empty: open. Range deletes are cut there. */
    struct slice upper;
    /* The level below the tables, or NULL: a table that is large enough ends where it would overlap
     * more than so many bytes there, so that its own compaction will not be huge. Borrowed; kept by
     * the version that `collect` pins. */
    const struct level *grandparents;
    uint64_t grandparent_bytes_max;
};

struct output {
    struct output_options options;
    const struct collect *collect; /* Borrowed: decides on range deletes. */
    struct edit *edit;             /* Borrowed: finished tables are added to it. */
    struct table_writer *writer;
    uint64_t file_number;
    struct buf start;         /* Where the present table begins; */
    bool start_is_open;       /* or at the first key of all. */
    struct buf last_key;      /* Of the present table. */
    struct range_piece piece; /* The first that is not wholly in finished tables. */
    bool has_piece;
    uint32_t ranges;            /* In the present table. */
    struct vlog_uses vlog_uses; /* Of the present table. */
    struct vlog_pointer *moved; /* Values moved for it; held until it refers to their files. */
    uint32_t moved_count, moved_capacity;
    uint64_t moved_bytes;       /* In all. */
    uint64_t bytes_written;     /* Of finished tables. */
    uint32_t grandparent;       /* The first whose end has not been passed. */
    uint64_t grandparent_bytes; /* Of those passed since the present table began. */
};

void output_init(struct output *output, const struct output_options *options,
                 const struct collect *collect, struct edit *edit);
YIELDS err_t output_add(struct output *output, const struct lsm_entry *entry);
/* The last table; then the folder is synced. */
YIELDS err_t output_finish(struct output *output);
/* After an error of the above, or when the result is not wanted: removes the files. */
YIELDS void output_abandon(struct output *output);
void output_fini(struct output *output);
