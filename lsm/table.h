/* lsm/table.h - sorted tables: immutable files of entries. Bytes: docs/format/table.md.
 *
 * A table has prefix-compressed blocks (lz4 where it pays, checksums seeded with file number and
 * offset), a filter over keys, a two-level-free index that is searched without decoding, the
 * range deletes, properties, and a footer with the format version. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "lsm/entry.h"
#include "lsm/expiry.h"

enum {
    /* Uncompressed target; with the entry that reaches it a block of small entries still fits the
     * allocator's class of 4 KiB. */
    TABLE_BLOCK_BYTES_DEFAULT = (4 << 10) - 256,
    TABLE_FILTER_BITS_PER_KEY = 10,
};

struct table;
struct table_writer;
struct block_cache;
struct lsm_metrics;

/* What the manifest keeps of a table. Keys are owned by whoever holds the struct. */
struct table_meta {
    uint64_t file_number;
    uint64_t file_bytes;
    uint64_t entries;
    uint64_t deletes; /* LSM_DELETE entries. */
    uint64_t range_deletes;
    uint64_t ts_oldest, ts_newest;
    uint64_t raw_bytes; /* Keys and values before compression. */
    struct table_expiry expiry;
    struct slice smallest; /* First key, or start of the first range delete. */
    struct slice largest;  /* Last key; or the end of the last range delete, then exclusive. */
    bool largest_is_exclusive;
    bool one_version_per_key;
};

struct table_writer_options {
    const char *path;
    uint64_t file_number;
    uint32_t block_bytes;         /* Target; 1..BLOCK_TARGET_BYTES_MAX (lsm/block.h). */
    uint32_t filter_bits_per_key; /* 0: no filter; otherwise one of about this size. */
    bool compress;
};

/* Entries in order, no version twice (asserted); range deletes in any order, at any time before
 * finish. The writer buffers and writes ahead in large O_DIRECT pieces. The options are copied.
 * ERR_EXISTS when the file is there; ERR_NO_SPACE, ERR_IO. After a failed add, abandon: every
 * later call gives the same error. ERR_LIMIT when index or range deletes get too large. */
YIELDS err_t table_writer_open(const struct table_writer_options *options,
                               struct table_writer **writer_out);
YIELDS err_t table_writer_add(struct table_writer *writer, const struct lsm_entry *entry);
err_t table_writer_add_range_delete(struct table_writer *writer,
                                    const struct lsm_range_delete *range);
/* Bytes the file would have now. */
uint64_t table_writer_bytes(const struct table_writer *writer);
/* Writes the rest and syncs the file (the folder is the caller's to sync). meta_out's keys are
 * allocated from MEM_TABLES and become the caller's (table_meta_fini). The writer is gone, and on
 * an error so is the file. */
YIELDS err_t table_writer_finish(struct table_writer **writer, struct table_meta *meta_out);
/* Removes the file. Accepts a NULL writer. */
YIELDS void table_writer_abandon(struct table_writer **writer);
void table_meta_fini(struct table_meta *meta);

/* Reads footer, properties and range deletes; they stay in memory (MEM_TABLES). Index and filter
 * are read when they are first needed, and may leave again (lsm/table_guide.h).
 * ERR_CORRUPT names file, offset and what was wrong; ERR_FORMAT the version. */
YIELDS err_t table_open(const char *path, uint64_t file_number, struct block_cache *cache,
                        struct table **table_out);
/* Read index and filter now, if there is room for them: for a table that will soon be read. */
YIELDS err_t table_warm(struct table *table);
/* Reference-counted: a table removed from the current version lives while iterators use it.
 * The last unpin closes the file, and unlinks it when table_mark_obsolete was called. Does not
 * suspend (the unlink runs in a background fiber). */
void table_pin(struct table *table);
void table_unpin(struct table *table);
void table_mark_obsolete(struct table *table);
const struct table_meta *table_meta(const struct table *table);
/* Give all entries of a table whose entries have ts 0 the timestamp `ts` (lsm/ingest.h); before its
 * first read. */
void table_stamp(struct table *table, uint64_t ts);
/* Its reads from disk count as those of this level of a tree (lsm/metrics.h). */
void table_place(struct table *table, struct lsm_metrics *metrics, uint32_t level);

/* The newest version of key with ts <= snapshot: entry_out->value is copied into *arena,
 * entry_out->key is the caller's. *found_out false when the table has none. Range deletes are not
 * applied here. At most one block is read, also when a key's versions straddle blocks; none when
 * the filter denies the key. Suspends only to read. */
YIELDS err_t table_get(struct table *table, struct slice key, uint64_t key_hash, uint64_t snapshot,
                       struct arena *arena, struct lsm_entry *entry_out, bool *found_out);
/* The same without suspending: *is_cached_out false, and nothing else set, when something has to
 * be read. */
err_t table_try_get(struct table *table, struct slice key, uint64_t snapshot, struct arena *arena,
                    struct lsm_entry *entry_out, bool *found_out, bool *is_cached_out);
/* The filter's answer without I/O; false: the key is certainly absent. True when the filter is not
 * in memory. */
bool table_may_contain(struct table *table, uint64_t key_hash);
/* Fetch into the processor's cache what table_may_contain will look at. */
void table_prefetch(const struct table *table, uint64_t key_hash);
/* XXH3 of the key, for filters. */
uint64_t table_key_hash(struct slice key);

/* Newest range delete at or below snapshot that covers key: its ts, or 0. */
uint64_t table_range_delete_ts(const struct table *table, struct slice key, uint64_t snapshot);
uint32_t table_range_delete_count(const struct table *table);
struct lsm_range_delete table_range_delete_at(const struct table *table, uint32_t index);

/* Iterators over all versions, forward and backward. The current entry's slices are valid until
 * the iterator moves. `read_ahead_bytes` > 0 reads so much ahead of forward steps (compaction; at
 * most 8 MiB, twice that in memory), and `fill_cache` false leaves the cache alone. With
 * `fill_cache` and no read_ahead_bytes the iterator finds out by itself: steps that meet a block
 * that is not cached read ahead, 16 KiB at first and then twice as much each time, up to 512 KiB,
 * while all such iterators of a cache stay within a sixteenth of it.
 * A move suspends only when it enters another block; callers count their own work per entry.
 * After an error there is no current entry; seek again. The table is pinned. An iterator may be
 * freed at any time; a read in flight ends by itself (block_cache_drain). */
struct table_iter;
struct table_iter_options {
    uint32_t read_ahead_bytes;
    bool fill_cache;
};
struct table_iter *table_iter_new(struct table *table, const struct table_iter_options *options);
void table_iter_free(struct table_iter **iter);
YIELDS err_t table_iter_seek_first(struct table_iter *iter);
YIELDS err_t table_iter_seek_last(struct table_iter *iter);
/* First entry at or after (key, ts): versions of key newer than ts are skipped. */
YIELDS err_t table_iter_seek(struct table_iter *iter, struct slice key, uint64_t ts);
/* Last entry whose key is below `key`. */
YIELDS err_t table_iter_seek_before(struct table_iter *iter, struct slice key);
YIELDS err_t table_iter_next(struct table_iter *iter);
YIELDS err_t table_iter_previous(struct table_iter *iter);
bool table_iter_is_valid(const struct table_iter *iter);
const struct lsm_entry *table_iter_entry(const struct table_iter *iter);

/* Check all blocks against their checksums and order. */
YIELDS err_t table_verify(struct table *table);

/* ---- The cache of decompressed blocks: one a shard, scan-resistant, within MEM_CACHE. ---- */
struct block_cache *block_cache_new(uint64_t capacity_bytes);
/* Accepts NULL. A table that still ends in the background keeps what it needs. */
void block_cache_free(struct block_cache **cache);
/* Wait until every table of the cache is closed, with their removals and reads in flight, which
 * end by themselves after the last unpin. Before the files' folder or the shard goes away. */
YIELDS void block_cache_drain(struct block_cache *cache);
void block_cache_resize(struct block_cache *cache, uint64_t capacity_bytes);
/* Indexes and filters take so much of the capacity at most, and half of it in any case; 0: half. */
void block_cache_guides_limit(struct block_cache *cache, uint64_t bytes);
/* Part of the capacity is used by others for a while (memtables that wait for their flush), but a
 * quarter of it stays. Costs nothing by itself: block_cache_settle evicts what is too much now. */
void block_cache_lend(struct block_cache *cache, uint64_t bytes);
YIELDS void block_cache_settle(struct block_cache *cache);
struct block_cache_stats {
    uint64_t hits, misses, inserted, evicted, bytes, capacity_bytes;
    uint64_t ghost_hits; /* Reads that found the name of their block among the ghosts. */
    uint64_t guide_bytes, guides_loaded, guides_evicted; /* Indexes and filters. */
};
void block_cache_stats_get(const struct block_cache *cache, struct block_cache_stats *stats_out);
