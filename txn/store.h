/* txn/store.h - one shard's store: log and tree together. All later layers write through it.
 *
 * A batch is one log record: it is applied as a whole, and after a crash it is there as a whole
 * or not at all. It is visible on its shard at once, and durable later: what must wait for that
 * (a reply to a session at `sync`) waits for the log position that commit and reads give. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "lsm/ingest.h"
#include "lsm/lsm.h"
#include "lsm/vlog.h"
#include "wal/wal.h"

struct store;

struct store_options {
    const char *dir; /* The shard's folder, e.g. "shard-0"; made if missing. */
    /* The shard's share of --memory. Off the top goes a reserve for tables' indexes, buffers and
     * stacks; of the rest the active memtable may take a quarter, at most 128 MiB, and the block
     * cache has what is left, from which frozen memtables borrow. 0: 64 MiB. */
    uint64_t memory_bytes;
    enum wal_durability durability;
    uint64_t interval_us;
    uint64_t retention_us;    /* Versions that were superseded are kept for so long, to be read
                                   AS OF then, and the log for change feeds. 0: only for snapshots
                                   that are held. */
    uint64_t retention_bytes; /* But no longer than until so much was logged. 0: no limit. */
    bool may_move; /* The data may have been written by another number of shards: every shard that
                      there is a folder of runs, and txn/reshard.h moves slots. Otherwise
                      ERR_FORMAT. */
    uint64_t wal_segment_bytes; /* 0: default. */
    struct lsm_options lsm;     /* Zero fields take the share of memory_bytes; dir and wait_durable
                                   are the store's. */
    uint32_t wal_in_flight_max; /* 0: default. */
    uint32_t wal_group_bytes;   /* 0: default. */
};

/* Opens tables, replays the log, takes the clock to the largest ceiling. Registers itself as
 * SHARD_SLOT_STORE of the current shard. The folder holds a file that names format version, shard
 * id and count: a folder of another shape is ERR_FORMAT, which says what to do. */
YIELDS err_t store_open(const struct store_options *options, struct store **store_out);
YIELDS void store_close(struct store **store);
struct store *store_self(void); /* Of the current shard. */

/* ---- Writing. A batch is encoded as its log record while it is built. ---- */

enum {
    STORE_BATCH_BYTES_MAX = WAL_RECORD_BYTES_MAX,
    STORE_COUNTERS_MAX = 1024, /* Counter ids. */
    STORE_LARGE_MAX = 4096,    /* Large values in one batch: ERR_LIMIT above. */
    STORE_ORIGIN_BYTES_MAX = 1024,
};

/* A value that goes to the value log when the batch is committed. */
struct store_large {
    struct slice value;      /* Borrowed. */
    uint32_t pointer_offset; /* Of the pointer in the record. */
};

struct store_batch {
    struct buf record;
    uint32_t ops;
    uint32_t large_count; /* Values waiting for the value log. */
    uint32_t large_capacity;
    struct store_large *large;
    struct lsm_ingest *ingest; /* Borrowed; NULL: none. */
    /* What the builders take: a commit takes no more than the first values of these, but who turns
     * a batch into tables before (txn/spill.h) may raise them. */
    size_t bytes_max;   /* STORE_BATCH_BYTES_MAX */
    uint32_t large_max; /* STORE_LARGE_MAX */
    err_t error; /* First error of the builders: ERR_LIMIT, ERR_INVALID, ERR_NO_MEMORY. Given by
                    commit. */
};

void store_batch_init(struct store_batch *batch);
void store_batch_clear(struct store_batch *batch); /* For reuse. */
void store_batch_fini(struct store_batch *batch);
/* Who writes and why: for audit and the change feed. Before the first write of the batch; each may
 * be empty, and together they have at most STORE_ORIGIN_BYTES_MAX bytes (ERR_LIMIT). */
void store_batch_origin(struct store_batch *batch, struct slice principal, struct slice protocol,
                        struct slice tag);
/* Of several writes to one key in a batch the last one counts. Keys have 1..LSM_KEY_BYTES_MAX
 * bytes. Keys and values are copied, but a value above LSM_VALUE_INLINE_BYTES_MAX is borrowed until
 * commit returns. */
void store_batch_put(struct store_batch *batch, uint16_t slot, struct slice key, struct slice value,
                     uint64_t expire_us);
void store_batch_delete(struct store_batch *batch, uint16_t slot, struct slice key);
/* The tables of a finished ingest of this store, at most one a batch: committed with the rest, and
 * at the cost of a small record. Borrowed until commit returns; it can then be freed. The batch's
 * other writes must not name keys of the ingest. */
void store_batch_ingest(struct store_batch *batch, struct lsm_ingest *ingest);
/* Deletes what is in [start, end) before this batch; the batch's own writes stay, wherever they
 * stand in it. */
void store_batch_delete_range(struct store_batch *batch, struct slice start, struct slice end);
/* Durable counters (number of keys of a database): changed by the same commit, read at no cost. */
void store_batch_counter_add(struct store_batch *batch, uint32_t counter, int64_t delta);

/* Commit: waits for room first (so may suspend before, never after, the point where it takes
 * effect), then gives it a timestamp, appends and applies in one step. An empty batch does
 * nothing. ts_out and lsn_out may be NULL.
 * Errors: ERR_LIMIT (batch too large), ERR_INVALID (builders), ERR_NO_SPACE, ERR_IO: nothing was
 * done. */
YIELDS err_t store_commit(struct store *store, struct store_batch *batch, uint64_t *ts_out,
                          lsn_t *lsn_out);
/* Would store_commit of about `bytes` not suspend right now? */
bool store_commit_is_immediate(struct store *store, const struct store_batch *batch);

int64_t store_counter(const struct store *store, uint32_t counter);

/* Other limits of the history from now on; a longer retention begins to grow now. On every shard.
 */
void store_retention_set(struct store *store, uint64_t retention_us, uint64_t bytes);
struct store_history {
    uint64_t from_us;   /* Reads in the past and change feeds go back to here: of all shards. */
    uint64_t log_bytes; /* Logged here since then. */
    uint64_t cuts;      /* How often the limit in bytes has shortened it. */
};
void store_history_get(const struct store *store, struct store_history *history_out);

/* ---- Reading. ---- */

/* Newest committed version. value_out->lsn: what a sync reply waits for (0: durable). Arenas and
 * results as in lsm.h. */
YIELDS err_t store_get(struct store *store, struct slice key, struct arena *arena,
                       struct lsm_value *value_out);
/* The same without suspending: *is_answered_out false, and value_out untouched, when something has
 * to be read from disk. */
err_t store_try_get(struct store *store, struct slice key, struct arena *arena,
                    struct lsm_value *value_out, bool *is_answered_out);
YIELDS err_t store_multi_get(struct store *store, const struct slice *keys, uint32_t count,
                             struct arena *arena, struct lsm_value *results);

/* A snapshot held for scans and for the C API. */
struct store_snapshot {
    struct lsm_snapshot held;
};
void store_snapshot_take(struct store *store, struct store_snapshot *snapshot);
void store_snapshot_drop(struct store *store, struct store_snapshot *snapshot);
YIELDS err_t store_get_at(struct store *store, const struct store_snapshot *snapshot,
                          struct slice key, struct arena *arena, struct lsm_value *value_out);
YIELDS err_t store_scan_open(struct store *store, const struct store_snapshot *snapshot,
                             struct slice lower, struct slice upper, struct lsm_iter **iter_out);

/* ---- Durability. ---- */
/* What is in memory is written into tables, so that the log before it may go. Errors: of lsm_flush.
 */
YIELDS err_t store_flush(struct store *store);
lsn_t store_durable(const struct store *store);
lsn_t store_appended(const struct store *store);
YIELDS void store_wait_durable(struct store *store, lsn_t lsn);
void store_on_durable(struct store *store, void (*fn)(void *arg, lsn_t durable), void *arg);
void store_set_durability(struct store *store, enum wal_durability durability,
                          uint64_t interval_us);
enum wal_durability store_durability(const struct store *store);

/* Tells each write of a commit on this shard in the step that applies it, whatever log has it, and
 * then its end, by a write of NULL; what recovery applies is not told. One listener, or NULL for
 * none. `fn` must neither suspend nor use the store; the write's bytes are borrowed for the call.
 * An ingest is told as one write a table, without its keys. */
struct record_op;
typedef void (*store_write_fn)(void *arg, const struct record_op *op);
void store_on_write(struct store *store, store_write_fn fn, void *arg);
/* In such a call: the client (txn_origin.client) whose commit it is; 0: nobody's. */
uint64_t store_writer(const struct store *store);

struct lsm *store_lsm(struct store *store);
/* It owns nothing any more and commits nothing: txn/reshard.h. */
bool store_is_retired(const struct store *store);
struct wal *store_wal(struct store *store);
/* The last timestamp given. */
uint64_t store_clock(const struct store *store);
/* Where a read of this moment stands: at or above every commit. Its microseconds (>> 12) are the
 * time by which expiry is decided. */
uint64_t store_read_ts(struct store *store);
