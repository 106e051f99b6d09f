/* wal/wal.h - the write-ahead log of one shard: where a commit becomes durable.
 *
 * Records are appended to the open batch and are visible to their shard at once; the batch is
 * written at the end of the loop's turn, several batches may be in flight, and a batch counts as
 * durable only when all before it are. Theory: wal/README.md. Bytes: docs/format/wal.md.
 *
 * A failed or lost log write ends the process (fatal): after it nobody can tell what the disk
 * holds, and no answer may leave. ENOSPC while a segment is made is no such case: appends are
 * refused (ERR_NO_SPACE) until there is room. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

struct wal;

/* Position in the log: bytes since its birth. Grows strictly from record to record; 0: none.
 * A record's position is the end of it, so "durable up to P" covers all records with lsn <= P. */
typedef uint64_t lsn_t;

enum {
    WAL_SEGMENT_BYTES_DEFAULT = 64 << 20,
    WAL_SEGMENT_BYTES_FIRST = 16 << 20, /* A new log begins with one that is made sooner. */
    WAL_BATCH_BYTES_TARGET = 1 << 20,   /* A fuller batch is closed and written. */
    WAL_RECORD_BYTES_MAX = 16 << 20,    /* ERR_LIMIT above; larger writes go to value logs. A
                                           record fits a segment: smaller ones limit it further. */
    WAL_IN_FLIGHT_MAX = 4,              /* Batches. */
    WAL_PENDING_BYTES_MAX = 64 << 20,   /* Appended and not yet durable; wal_reserve waits. */
    WAL_HEARTBEAT_US = 100000,          /* A batch that tells the durable position follows. */
    WAL_SPARE_MAX = 2,                  /* Recycled segments kept, */
    WAL_SPARE_IDLE_US = 30000000,       /* as long as one comes or goes in this time. */
    WAL_GROUP_BYTES = 64 << 10,         /* While a write is in flight, the next one waits until the
                                           open batch holds this much: fewer, larger writes. */
    WAL_HOLD_US_MAX = 200,       /* A write waits no longer for those who were just answered. */
    WAL_LAZY_BYTES = 256 << 10,  /* The same at `interval` and `none`, write or no write. */
    WAL_NONE_WRITE_US = 1000000, /* `none`: an open batch is written after this time. */
    WAL_LISTENERS_MAX = 4,
};

/* When a batch is written, never how: every batch write is durable when it has ended. */
enum wal_durability {
    WAL_SYNC,     /* At the end of the turn. */
    WAL_INTERVAL, /* When it holds WAL_LAZY_BYTES, or interval_us after its first record. */
    WAL_NONE,     /* The same with WAL_NONE_WRITE_US. */
};

struct wal_options {
    const char *dir;        /* Folder of the segments; made if missing. */
    uint64_t log_id;        /* In every header: a foreign segment is refused. */
    uint64_t segment_bytes; /* 0: the default. Multiple of 4 KiB, at least 64 KiB. */
    enum wal_durability durability;
    uint64_t interval_us;        /* WAL_INTERVAL: the longest time between durable positions. */
    lsn_t needed_from;           /* Records at or below are in tables: not replayed. It is also a
                                   proof that the log was durable up to there. */
    uint64_t replay_back;        /* Records in so many bytes below needed_from are replayed, too, as
                                    far as segments go back without a gap. */
    bool must_exist;             /* A log that has never been written is ERR_CORRUPT: the caller
                                   knows that it had been made. */
    uint32_t segments_spare_max; /* 0: WAL_SPARE_MAX. */
    uint32_t in_flight_max;      /* 0: WAL_IN_FLIGHT_MAX. */
    uint32_t group_bytes;        /* 0: WAL_GROUP_BYTES. 1: as many writes in flight as allowed. */
    uint64_t pending_bytes_max;  /* 0: WAL_PENDING_BYTES_MAX. */
    /* Replay: called for each record above needed_from, or replay_back below it, in order; payload
     * is borrowed. */
    YIELDS err_t (*replay)(void *arg, lsn_t lsn, struct slice payload);
    void *replay_arg;
};

/* What replay learnt from batch headers. */
struct wal_recovered {
    lsn_t end;              /* Position after the last whole batch; 0 in a new log. */
    uint64_t clock_ceiling; /* The clock may have given timestamps up to here; 0 if none. */
    uint64_t closed;        /* Largest closed timestamp in any header. */
    uint64_t records;
    uint64_t bytes;
    bool tail_was_cut; /* An incomplete batch at the end was dropped. */
};

/* Opens or makes the log, replays it, makes what it found durable, and readies it for appends.
 * Errors: ERR_CORRUPT naming file and offset when a later batch proves that the point where the
 * chain breaks was durable, ERR_FORMAT, ERR_IO, ERR_NO_SPACE, and what replay returns. */
YIELDS err_t wal_open(const struct wal_options *options, struct wal_recovered *recovered_out,
                      struct wal **wal_out);
/* The same reading without writing anything: for the folder of a log that nobody has open. */
YIELDS err_t wal_check(const struct wal_options *options, struct wal_recovered *recovered_out);
/* Writes and syncs what is pending, ends the fibers, frees. Accepts NULL; clears the pointer. */
YIELDS void wal_close(struct wal **wal);

/* Wait until `bytes` more may be appended (pending bound, and a segment with room is ready).
 * ERR_NO_SPACE when the disk is full; ERR_LIMIT when bytes exceeds wal_record_bytes_max. Costs a
 * compare when there is room. After ERR_OK one append of up to `bytes` cannot fail, as long as
 * the caller does not suspend in between. */
YIELDS err_t wal_reserve(struct wal *wal, size_t bytes);
/* The largest record: WAL_RECORD_BYTES_MAX, or what a segment holds. */
size_t wal_record_bytes_max(const struct wal *wal);
/* Room right now, without waiting? */
bool wal_has_room(const struct wal *wal, size_t bytes);

/* Put a record of `size` bytes into the open batch and return where to write it. The bytes must
 * be there before the caller suspends or returns to the loop. Does not suspend. */
uint8_t *wal_append(struct wal *wal, size_t size, lsn_t *lsn_out);

/* Everything at or below is on stable storage. */
lsn_t wal_durable(const struct wal *wal);
/* The position of the last appended record. */
lsn_t wal_appended(const struct wal *wal);
/* Until lsn is durable, whatever the durability level. Deaf to cancellation. */
YIELDS void wal_wait_durable(struct wal *wal, lsn_t lsn);
/* Called on the loop's stack each time the durable position has grown. One listener list of at
 * most 4. Must not suspend. */
void wal_on_durable(struct wal *wal, void (*fn)(void *arg, lsn_t durable), void *arg);

/* Records at or below lsn are in tables: segments that lie wholly below are recycled. */
void wal_release(struct wal *wal, lsn_t lsn);

/* Nothing that replay from `from` on would read is recycled until wal_unhold. One at a time; `from`
 * is at or above what was released. */
void wal_hold(struct wal *wal, lsn_t from);
void wal_unhold(struct wal *wal);
/* Makes `dir` (ERR_EXISTS when it is there) the folder of a log with the same id, which replays the
 * records in (from, to] and ends there: for a store whose tables have everything up to `from`. Held
 * from `from` or earlier, durable up to `to` (asserted). Durable on return, but for the name of
 * `dir` in its parent. ERR_CORRUPT when the log cannot be read up to `to`. */
YIELDS err_t wal_copy(struct wal *wal, lsn_t from, lsn_t to, const char *dir);

/* Timestamps that every batch header carries from now on. A higher ceiling is written at the end
 * of the turn, at every level. Neither may fall, except that the ceiling may before wal_close: to
 * where the clock stands, which nothing will pass any more. */
void wal_set_clock(struct wal *wal, uint64_t ceiling, uint64_t closed);
/* The largest ceiling in a durable batch: the clock must not pass it. */
uint64_t wal_clock_durable(const struct wal *wal);
/* Write a batch now, without records if need be, and wait until the ceiling last set is durable.
 * ERR_NO_SPACE and ERR_IO when there is no segment with room. */
YIELDS err_t wal_clock_sync(struct wal *wal);

/* Changes the level; WAL_SYNC asks for the pending bytes at once. */
void wal_set_durability(struct wal *wal, enum wal_durability durability, uint64_t interval_us);

struct wal_stats {
    uint64_t batches, batches_empty, records, bytes, bytes_written;
    uint64_t segments_made, segments_recycled, segments_removed, segments_live;
    lsn_t appended, durable;
    uint32_t in_flight;
    uint64_t holds_met, holds_missed; /* Writes held for those who were just answered. */
    uint64_t commit_us_p50, commit_us_p99, commit_us_max; /* A batch's first record to durable. */
};
void wal_stats_get(const struct wal *wal, struct wal_stats *stats_out);

/* For fuzzing and orbitctl: does this run of bytes begin with one valid batch of this place?
 * *batch_bytes_out is its length on disk. Never reads beyond size. Errors: ERR_CORRUPT, and
 * ERR_FORMAT for a valid batch of an unknown version. */
err_t wal_batch_check(struct slice bytes, uint64_t log_id, uint64_t position,
                      uint64_t *batch_bytes_out);
