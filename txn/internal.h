/* txn/internal.h - the store's object, shared by the files of this folder. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "txn/clock.h"
#include "txn/horizon.h"
#include "txn/store.h"
#include "txn/window.h"

#define STORE_MAGIC UINT64_C(0x6f72626974737431)

enum {
    STORE_DIR_BYTES_MAX = IO_PATH_BYTES_MAX - 64,
    STORE_MEMORY_DEFAULT = 64 << 20,
    STORE_MEMTABLES = 3, /* Active and waiting for flush. */
    /* Off the top, with a sixteenth of the memory: indexes and filters of tables, buffers of the
     * log and of compaction, receive buffers, stacks. */
    STORE_RESERVE_BYTES = 24 << 20,
    STORE_MEMTABLE_MIN = 256 << 10,
    STORE_MEMTABLE_MAX = 128 << 20, /* Larger ones merge little better and take longer to replay. */
    STORE_LOG_FACTOR = 4, /* A memtable is frozen when it holds the writes of so many times its
                             size of log, */
    STORE_LOG_BYTES_MAX = 160 << 20, /* or of so much: after a crash the log of STORE_MEMTABLES of
                                        them is replayed, in less than 5 s. */
    STORE_HISTORY_REPLAY_MAX = 256 << 20, /* Of a shard's log before what its tables need, kept
                                             over a start: its change feed goes back so far. */
    STORE_CLOSE_LOG_BYTES = 16 << 20,     /* A longer log is flushed by an orderly end. */
    STORE_OP_OVERHEAD = 96, /* A write in the memtable beside its record's bytes, at most. */
    /* In the note: id and value of a counter, id and position of a log, and what is always there.
     */
    STORE_COUNTER_BYTES = 10,
    STORE_POSITION_BYTES = 16,
    STORE_NOTE_FIXED_BYTES = 8 + 4 + 4,
    STORE_NOTE_BYTES_MAX = STORE_NOTE_FIXED_BYTES + STORE_COUNTERS_MAX * STORE_COUNTER_BYTES +
                           SHARDS_MAX * STORE_POSITION_BYTES,
};

/* Everything for this shard that stands in another shard's log up to here has been applied. */
struct store_position {
    uint64_t log_id;
    lsn_t applied;
};

/* What a flushed memtable's note says: how things stood when it was frozen. */
struct store_note {
    lsn_t kept_from; /* No other shard needs this shard's log up to here; UINT64_MAX: none of it. */
    uint32_t position_count;
    struct store_position positions[SHARDS_MAX];
    int64_t counters[STORE_COUNTERS_MAX];
};

/* What another shard needs of this shard's log. */
struct store_need {
    lsn_t last;     /* Position of the newest section for it; 0: none. */
    lsn_t flushed;  /* It has all up to here in its tables. */
    lsn_t reported; /* The other way round: what it was told about its own log. */
};

struct store {
    uint64_t magic;
    struct lsm *lsm;
    struct wal *wal; /* NULL while the log is replayed. */
    struct clock clock;
    struct horizon horizon;
    struct window window;
    uint64_t open_proposal; /* The smallest one that is prepared here; UINT64_MAX: none. closed.h */
    uint64_t clock_ahead;   /* How far the ceiling is asked for ahead of the clock. */
    lsn_t applied;          /* Position of the last record of the own log in the memtable. */
    lsn_t rotated_at;       /* Log position of the last rotation. */
    lsn_t flushed_lsn;      /* Of the own log, in tables. */
    uint64_t memory_bytes;  /* The shard's, as given. */
    uint64_t log_bytes_max; /* Rotate when the log has grown by this much since. */
    store_write_fn on_write; /* Told each write as it is applied; NULL: nobody. */
    void *on_write_arg;
    uint64_t writer; /* Of the commit that is applied next, or now; 0: nobody. */
    enum wal_durability durability;
    char dir[STORE_DIR_BYTES_MAX];
    uint64_t log_id;
    uint64_t born;            /* As in struct shape; UINT64_MAX while the store is new. */
    uint32_t shards_first;    /* Of shard 0: so many shards there were when it was made. */
    bool is_new;              /* This start has made it, */
    bool others_have_data;    /* although there are commits on some shard. */
    uint64_t *log_ids;        /* [shard_count()]: of every shard's log. */
    struct store_need *needs; /* [shard_count()] */
    lsn_t kept_unread;        /* While the own log is read: what its tables' note says; then
                               * UINT64_MAX. */
    struct cond retain_cond;  /* The reporting fiber waits here; retain.c. */
    struct fiber_group fibers;
    bool is_closing;
    bool is_retired; /* It owns no slot, and the next start does without it. Held, too. */
    bool is_held; /* A checkpoint captures all shards: no commit, no report of a flush meanwhile. */
    struct cond held_cond;
    struct fiber_mutex capture_mutex; /* One checkpoint at a time captures and copies. */
    uint8_t note[STORE_NOTE_BYTES_MAX];
    struct store_note now;
    struct store_note flushed; /* The last flush's. Its counters are not looked at. */
};

/* ---- store.c: the parts of store_commit, for commits that check more in between. ---- */

struct store_room {
    size_t log_bytes;
    size_t memtable_bytes;
};
struct store_room store_room_of(const struct store_batch *batch);
bool store_has_room(struct store *store, const struct store_room *room);
/* After ERR_OK the log, the memtable and the clock have room, as long as nobody suspends. */
YIELDS err_t store_wait_room(struct store *store, const struct store_room *room);
/* Large values from number *written on go to the value log, durably. On an error, too, the first
 * *written must be released. */
YIELDS err_t store_large_write(struct store *store, struct store_batch *batch, uint32_t *written);
/* The memtable refers to the value logs now, or nobody ever will. */
void store_large_release(struct store *store, const struct store_batch *batch, uint32_t written);
/* So much the log takes as one record; at most STORE_BATCH_BYTES_MAX. */
size_t store_record_bytes_max(const struct store *store);
/* Have what a single write will touch on its way from memory. */
void store_commit_prefetch(struct store *store, const struct store_batch *batch);
/* The point where a commit takes effect, whole: at `ts`, above all timestamps given here. There is
 * room. Sections are for other shards to apply. Does not suspend. */
lsn_t store_commit_step(struct store *store, struct buf *record, uint32_t ops, uint64_t ts,
                        struct lsm_ingest *ingest);

/* Applies a checked record, but for sections. Never suspends. */
void store_apply(struct store *store, struct slice record, lsn_t lsn, struct lsm_ingest *ingest);
/* The writes on this shard of a record in another shard's log, where it is durable. */
struct store_section {
    uint64_t log_id;
    lsn_t lsn;
    uint64_t ts;
    struct slice bytes;
    uint32_t ops;
    bool has_ingest;
};
void store_apply_section(struct store *store, const struct store_section *section,
                         struct lsm_ingest *ingest);
/* Freezes the memtable with the counters as they are; everything up to lsn was applied. */
void store_rotate(struct store *store, lsn_t lsn);
/* Rotates if memtable or log have grown enough. */
void store_rotate_if_due(struct store *store, lsn_t lsn);
/* Asks for a higher ceiling long before the clock, now at ts, gets there; the log's next batch
 * carries it. */
void store_clock_push(struct store *store, uint64_t ts);
/* The clock stands below a durable ceiling when this returns, so that a start begins above what it
 * reads: before a snapshot that a client may come back to. Suspends after a time without commits.
 */
YIELDS void store_clock_cover(struct store *store);

/* ---- note.c: how things stood, in a memtable's note. ---- */
size_t note_encode(const struct store_note *note, uint8_t out[STORE_NOTE_BYTES_MAX]);
/* ERR_CORRUPT. note_out is set whole. */
err_t note_decode(struct slice bytes, struct store_note *note_out);

/* ---- retain.c: which log is needed by whom. ---- */
void retain_init(struct store *store);
void retain_fini(struct store *store);
/* After recovery: reports to the other shards begin. ERR_LIMIT: no fiber. */
YIELDS err_t retain_open(struct store *store);
YIELDS void retain_close(struct store *store);
/* The record at lsn of this shard's log has a section for `shard`. */
void retain_section(struct store *store, uint32_t shard, lsn_t lsn);
/* A section of another shard's log was applied. */
void retain_applied(struct store *store, uint64_t log_id, lsn_t lsn);
/* Up to where everything for this shard in that log has been applied. */
lsn_t retain_position(const struct store_note *note, uint64_t log_id);
/* The history's window may have moved: gives back what of the log is older. */
void retain_window_moved(struct store *store);
/* Other shards need the log above this position; UINT64_MAX: they need none of it. */
lsn_t retain_kept_from(const struct store *store);

/* ---- recovery.c ---- */
YIELDS err_t store_recover(struct store *store, const struct store_options *options);
