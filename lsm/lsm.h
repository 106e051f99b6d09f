/* lsm/lsm.h - the sorted, versioned map of one shard: memtables over levels of tables.
 *
 * The caller logs first (wal/) and then applies; lsm knows log positions only to say which are
 * flushed. Visibility is by timestamp alone: readers never infer age from the level.
 * Theory: lsm/README.md. Bytes: docs/formats.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "lsm/entry.h"

struct lsm;
struct vlog;

struct lsm_options {
    const char *dir;           /* Made if missing. */
    uint64_t memtable_bytes;   /* Rotate at; 0: 64 MiB. */
    uint32_t memtables_max;    /* Active + waiting for flush; writers wait beyond. 0: 4. */
    uint64_t cache_bytes;      /* 0: 32 MiB. */
    uint64_t table_bytes;      /* Target size of tables below level 0; 0: 64 MiB. */
    uint64_t level_base_bytes; /* About what level 0 hands on at once: the smallest size of the
                                  level that takes it. 0: half of level0_tables memtables. */
    uint32_t level0_tables;    /* Compact at; 0: 4. Writers wait at four times that, and are paced
                                    so that they do not get there (lsm/pace.c). */
    uint32_t block_bytes;    /* Of tables that are written from now on, before compression: at most
                                  BLOCK_TARGET_BYTES_MAX, ERR_INVALID above. 0: about 4 KiB. */
    uint32_t plain_levels;   /* A bit a level: its tables are written without compression. A
                                  table that moves to another level stays as it is. */
    uint64_t guide_bytes;    /* Indexes and filters in memory, a part of cache_bytes; 0: half. */
    uint64_t scan_skips_min; /* Scans that step over less do not cause compactions; 0: 64 Ki. */
    bool background_off;     /* Tests: flush and compact only when called. */
    /* Called by a flush before its manifest edit, with the lsn given to lsm_rotate: returns when
     * the log is durable up to there. So flushed_lsn never lies beyond what a crash leaves of the
     * log, and tables hold nothing that the log could lose. NULL: do not wait. */
    YIELDS void (*wait_durable)(void *arg, uint64_t lsn);
    void *wait_durable_arg;
};

/* What open found. */
struct lsm_recovered {
    uint64_t flushed_lsn; /* Records at or below are in tables. */
    uint64_t ts_newest;   /* Largest timestamp in any table. */
    /* Versions that only snapshots below it could see may be gone. The owner sets it when all logs
     * are applied, and not before: until then a delete may hide a write that is still to come. */
    uint64_t horizon;
    struct slice note; /* Given to the last flushed memtable's lsm_rotate; borrowed, valid until
                             the next flush. */
};

YIELDS err_t lsm_open(const struct lsm_options *options, struct lsm_recovered *recovered_out,
                      struct lsm **lsm_out);
/* The owner has applied its log: files that nothing refers to are removed. Once, after lsm_open. */
YIELDS err_t lsm_files_collect(struct lsm *lsm);
/* Ends background work; unflushed writes stay in the log. Accepts NULL. */
YIELDS void lsm_close(struct lsm **lsm);

/* Room for `bytes` more in the memtable budget? lsm_wait_room waits (backpressure, rotation) and
 * fails with ERR_NO_SPACE or ERR_IO when flushing cannot go on. */
bool lsm_has_room(const struct lsm *lsm, size_t bytes);
YIELDS err_t lsm_wait_room(struct lsm *lsm, size_t bytes);

/* Apply one logged write. Never suspends and never fails. entry->lsn does not fall from call to
 * call; or it is 0 at any time: another log has the write, and it is durable there. Timestamps come
 * in any order, also of one key: a version goes to its place, and where no snapshot can see the one
 * or the other, only one stays. The same write again changes nothing. The bytes are copied. */
void lsm_apply(struct lsm *lsm, const struct lsm_entry *entry);
/* Have what applying a write to the key will look at on its way from memory, in two steps: the
 * second when the first has had time (some 100 ns). Costs a hash; changes nothing. */
uint64_t lsm_prefetch(const struct lsm *lsm, struct slice key);
void lsm_prefetch_key(const struct lsm *lsm, uint64_t hash);
void lsm_apply_range_delete(struct lsm *lsm, const struct lsm_range_delete *range);

/* Freeze the active memtable and begin a new one: `note` (at most 64 KiB, copied) becomes the
 * recovered note once it is flushed. Called by the owner when lsm_wants_rotation says so, and
 * never suspends. flushed_lsn after the flush will be `lsn`. */
bool lsm_wants_rotation(const struct lsm *lsm);
/* Is there room for one more frozen memtable? Then the owner may also rotate for reasons of its
 * own (a long log), even an empty memtable. */
bool lsm_can_rotate(const struct lsm *lsm);
void lsm_rotate(struct lsm *lsm, uint64_t lsn, struct slice note);
/* Called on this shard when a flush was made durable in the manifest. */
void lsm_on_flushed(struct lsm *lsm, void (*fn)(void *arg, uint64_t flushed_lsn), void *arg);
/* Of the last flush, as lsm_recovered gives them: the note is valid until the next one. */
struct slice lsm_note(const struct lsm *lsm);
uint64_t lsm_flushed_lsn(const struct lsm *lsm);

struct lsm_value {
    bool is_found;      /* A live value: put, not deleted, not expired at the snapshot. */
    struct slice value; /* In the arena (large values are fetched). */
    uint64_t ts;        /* Of the version or delete that decided; 0 when there was none. */
    uint64_t lsn;       /* Its log position; 0: known durable. */
    uint64_t expire_us;
    uint16_t slot;
};
/* The newest version at or below snapshot. */
YIELDS err_t lsm_get(struct lsm *lsm, struct slice key, uint64_t snapshot, struct arena *arena,
                     struct lsm_value *value_out);
/* The same without suspending: *is_answered_out false, and value_out untouched, when something has
 * to be read from disk. */
err_t lsm_try_get(struct lsm *lsm, struct slice key, uint64_t snapshot, struct arena *arena,
                  struct lsm_value *value_out, bool *is_answered_out);
/* Several at once: all reads are in flight together. results[i] as lsm_get's. */
YIELDS err_t lsm_multi_get(struct lsm *lsm, const struct slice *keys, uint32_t count,
                           uint64_t snapshot, struct arena *arena, struct lsm_value *results);

/* ---- What changed (lsm/lsm_changes.c). ----
 *
 * Was the key, or any key in [lower, upper) (upper.size == 0: no upper bound), put, deleted or
 * covered by a range delete above `since`? Of all that was applied before the call; what comes
 * while it suspends may be seen or not. Sources with nothing that new are not asked: for a young
 * `since` this is a look at the active memtable. (The newest timestamp of a key: lsm_get at
 * LSM_TS_MAX.)
 *
 * may_suspend false: answers from memory, and *is_answered_out is false, *is_changed_out
 * meaningless, when a table would have to be read, or more than LSM_CHANGES_KEYS_MAX keys looked
 * through. Otherwise it is always true. Of a large range the last MEMTABLE_RECENT_WRITES writes are
 * looked through instead, once the first question has made the memtable note them: so who asks
 * again about the moment before a question that suspended is answered.
 *
 * ERR_SNAPSHOT_TOO_OLD: `since` lies below lsm_changes_oldest, the oldest snapshot held here or the
 * horizon, so that deletes above it may have been collected. Errors of reading. */
enum { LSM_CHANGES_KEYS_MAX = 16 << 10 };
uint64_t lsm_changes_oldest(const struct lsm *lsm);
YIELDS err_t lsm_changed(struct lsm *lsm, struct slice key, uint64_t since, bool may_suspend,
                         bool *is_changed_out, bool *is_answered_out);
YIELDS err_t lsm_range_changed(struct lsm *lsm, struct slice lower, struct slice upper,
                               uint64_t since, bool may_suspend, bool *is_changed_out,
                               bool *is_answered_out);

/* Live entries (newest at the snapshot, deletes and range deletes applied) in [lower, upper).
 * The bounds are copied. upper.size == 0: no upper bound. The entry's slices are valid until the
 * iterator moves or is freed; large values are fetched on demand by lsm_iter_value. An iterator
 * holds its tables; the snapshot must be held by the caller (lsm_snapshot_*). */
struct lsm_iter;
YIELDS err_t lsm_iter_open(struct lsm *lsm, struct slice lower, struct slice upper,
                           uint64_t snapshot, struct lsm_iter **iter_out);
void lsm_iter_close(struct lsm_iter **iter);
YIELDS err_t lsm_iter_seek(struct lsm_iter *iter, struct slice key);        /* First >= key. */
YIELDS err_t lsm_iter_seek_before(struct lsm_iter *iter, struct slice key); /* Last < key. */
YIELDS err_t lsm_iter_first(struct lsm_iter *iter);
YIELDS err_t lsm_iter_last(struct lsm_iter *iter);
YIELDS err_t lsm_iter_next(struct lsm_iter *iter);
YIELDS err_t lsm_iter_previous(struct lsm_iter *iter);
bool lsm_iter_is_valid(const struct lsm_iter *iter);
const struct lsm_entry *lsm_iter_entry(const struct lsm_iter *iter);
YIELDS err_t lsm_iter_value(struct lsm_iter *iter, struct arena *arena, struct slice *value_out);
/* The largest log position among the writes the iterator has passed (deletes included). */
uint64_t lsm_iter_lsn(const struct lsm_iter *iter);

/* Snapshots held: versions they see are kept, also when the horizon has passed them. O(1) when
 * taken in order of ts. A snapshot begins at or above the horizon (asserted). */
struct snapshots;
struct lsm_snapshot {
    struct lsm_snapshot *next, *previous;
    struct snapshots *of;
    uint64_t ts;
    bool is_guest; /* The owner's to set: held here on behalf of another shard. */
};
void lsm_snapshot_take(struct lsm *lsm, uint64_t ts, struct lsm_snapshot *snapshot);
void lsm_snapshot_drop(struct lsm *lsm, struct lsm_snapshot *snapshot);
/* The one after `at` in order of ts (NULL: the oldest); NULL at the end. Iterators hold one each.
 */
const struct lsm_snapshot *lsm_snapshot_next(const struct lsm *lsm, const struct lsm_snapshot *at);
/* Version collection goes by one horizon over all shards, never lowered: versions that neither a
 * snapshot at or above the horizon nor one held here can see may go. Starts at 0 (nothing is
 * collected). A read below it at a snapshot that is not held is ERR_SNAPSHOT_TOO_OLD. */
void lsm_horizon_set(struct lsm *lsm, uint64_t ts);
uint64_t lsm_horizon(const struct lsm *lsm);

struct vlog *lsm_vlog(struct lsm *lsm);

/* Flush the memtables that are frozen at the call, and no later ones: a steady load always has
 * another (what is in the active one waits for the owner's lsm_rotate);
 * compact [lower, upper) to the bottom, after a flush. Both wait for background work in their way,
 * and give its errors; lsm_flush tries once. */
YIELDS err_t lsm_flush(struct lsm *lsm);
YIELDS err_t lsm_compact(struct lsm *lsm, struct slice lower, struct slice upper);
/* Checksums and order of all tables, levels against the manifest, no stray files. */
YIELDS err_t lsm_verify(struct lsm *lsm);

/* Re-reads and checks all tables and large values in the background, at most so many bytes a
 * second, a round a day; 0, as after opening: not at all. Damage is logged and counted once a
 * table. Another rate begins a round at once. */
void lsm_scrub_set(struct lsm *lsm, uint64_t bytes_per_s);

/* ---- Checkpoints (lsm/checkpoint.c; theory: lsm/README.md). ----
 *
 * A hold keeps what is in tables at one moment: the version, the flushed position, the note, and
 * every value log there is. A named checkpoint is a hold that the manifest remembers: its tables
 * and value logs stay until it is dropped and no other name or version needs them. What the tables
 * do not have yet is the owner's to keep: the log from flushed_lsn up to log_end. */
enum {
    LSM_CHECKPOINTS_MAX = 64,           /* Of a tree; one more gives ERR_LIMIT. */
    LSM_CHECKPOINT_NAME_BYTES_MAX = 64, /* Letters, digits, - and _; ERR_INVALID otherwise. */
};
err_t lsm_checkpoint_name_check(const char *name);

struct lsm_hold;
/* One at a time: waits for the other's end, and then captures without suspending, so that what the
 * caller reads before its next suspension (the log's end) is of the same moment. */
YIELDS struct lsm_hold *lsm_hold_take(struct lsm *lsm);
/* Accepts NULL; clears the pointer. */
void lsm_hold_drop(struct lsm_hold **hold);
uint64_t lsm_hold_flushed_lsn(const struct lsm_hold *hold);
/* Makes `dir` (which must not be there: ERR_EXISTS) a tree of its own: links to the tables and
 * value logs, a manifest and CURRENT; durable on return, but for the name of `dir` in its parent.
 * On an error `dir` is left for the caller to remove. ERR_UNSUPPORTED: another file system. */
YIELDS err_t lsm_hold_export(struct lsm_hold *hold, const char *dir);

struct lsm_checkpoint_info {
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    uint64_t ts;          /* Given by the owner: no commit above it is in the checkpoint. */
    uint64_t flushed_lsn; /* The log is needed above it, */
    uint64_t log_end;     /* and up to here. */
    uint32_t tables;
    uint32_t vlogs;
    uint64_t table_bytes;
};
/* Durable on return. ERR_EXISTS, ERR_INVALID, ERR_LIMIT; after ERR_IO or ERR_NO_SPACE the name may
 * or may not be there at the next opening. The hold stays the caller's. */
YIELDS err_t lsm_checkpoint_add(struct lsm_hold *hold, const char *name, uint64_t ts,
                                uint64_t log_end);
/* As lsm_hold_export. ERR_NOT_FOUND; ERR_CORRUPT when one of its files is missing. */
YIELDS err_t lsm_checkpoint_export(struct lsm *lsm, const char *name, const char *dir);
/* ERR_NOT_FOUND. Files that nothing else refers to are gone on return. */
YIELDS err_t lsm_checkpoint_drop(struct lsm *lsm, const char *name);
/* Number `index` in the order of their making; false beyond the last one. */
bool lsm_checkpoint_get(const struct lsm *lsm, uint32_t index, struct lsm_checkpoint_info *out);

void lsm_budget_set(struct lsm *lsm, uint64_t memtable_bytes, uint64_t cache_bytes);

enum { LSM_LEVELS = 7 };
struct lsm_stats {
    uint64_t memtable_bytes, memtables, flushes, flush_bytes, compactions, compaction_read_bytes,
        compaction_write_bytes, trivial_moves, stalls, stall_us, background_errors, tables_shunned,
        tables_dropped;
    uint64_t slowdowns, slowdown_us; /* Short waits for background work; stalls are full stops. */
    uint64_t compactions_running, compaction_debt_bytes;
    uint64_t expired_compactions, scan_compactions; /* Because of what had expired; of scans. */
    uint64_t scan_skips; /* Versions that scans stepped over: deleted, expired, superseded. */
    /* By compactions, and by flushes into level 0. */
    uint64_t level_read_bytes[LSM_LEVELS], level_write_bytes[LSM_LEVELS];
    uint64_t scrub_rounds, scrub_tables, scrub_bytes, scrub_damages;
    uint64_t level_tables[LSM_LEVELS], level_bytes[LSM_LEVELS];
    uint64_t point_reads, point_reads_memtable, filter_skips;
    uint64_t cache_hits, cache_misses, cache_bytes;
    uint64_t entry_cache_hits, entry_cache_misses, entry_cache_bytes; /* Of cache_bytes, beside. */
    uint64_t disk_bytes, entries_estimate;
};
void lsm_stats_get(const struct lsm *lsm, struct lsm_stats *stats_out);
struct lsm_metrics;
const struct lsm_metrics *lsm_metrics_of(const struct lsm *lsm);
