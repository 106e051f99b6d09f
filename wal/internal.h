/* wal/internal.h - the log's object, shared by the files of this folder and its tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/hist.h"
#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "wal/format.h"
#include "wal/wal.h"

#define WAL_MAGIC UINT64_C(0x6f72626974776c31)

enum {
    WAL_DIR_BYTES_MAX = IO_PATH_BYTES_MAX - 32,
    WAL_SEGMENT_BYTES_MIN = 64 << 10,
    WAL_SEGMENTS_MAX = 65536,       /* On disk; more than that is refused at opening. */
    WAL_ZERO_BYTES = 256 << 10,     /* One write while a segment is filled with zeros. */
    WAL_READ_BYTES = 1 << 20,       /* One read of replay. */
    WAL_POOL_MAX = 6,               /* Idle batch buffers kept. */
    WAL_PREPARE_RETRY_US = 1000000, /* After a segment could not be made. */
    WAL_WRITE_US_SHARE = 8,         /* Of the newest in the mean duration of a write. */
    WAL_HOLD_FAILURES_MAX = 6,      /* After as many a write in 64 is held. */
    WAL_PREPARE_AT = 4,             /* The next segment is made when 1/4 of this one is used. */
};

/* A file of the log. In wal->segments, by position: needed ones, the current one, ready ones. */
struct wal_segment {
    struct list link;
    uint64_t start; /* Position of its first byte. */
    uint64_t bytes;
    struct io_file *file;
    bool is_synced; /* Replay: what is read from now on is durable. */
};

struct wal_listener {
    void (*fn)(void *arg, lsn_t durable);
    void *arg;
};

/* Memory of a batch: filled while open, then closed, then in flight, then back in the pool. */
struct wal_batch {
    struct list link;
    struct wal *wal;
    uint8_t *data; /* Header first; aligned for O_DIRECT. */
    size_t capacity;
    size_t used; /* Header and records so far. */
    struct wal_segment *segment;
    uint64_t position;
    uint64_t end;     /* Position behind its padding; set when it is closed. */
    uint64_t ceiling; /* Clock ceiling in its header; set when it is started. */
    uint64_t closed;  /* Closed timestamp in its header: set when nothing more comes into it, as
                         what follows may raise it. */
    uint64_t opened_us;
    uint64_t started_us;
    uint32_t records;
    uint32_t flags;
    bool is_placed; /* segment and position are set. */
    bool is_done;
    struct io_op op;
};

struct wal {
    uint64_t magic;

    /* ---- Appending. ---- */
    size_t room; /* Bytes that still fit the open batch, record prefix included. */
    struct wal_batch *open;
    lsn_t appended;

    /* ---- Writing. ---- */
    struct list closed;    /* Batches to be written, oldest first. */
    struct list in_flight; /* Started, by position; done ones wait for those before them. */
    struct list pool;
    uint32_t pool_count;
    uint32_t in_flight_count; /* Not done yet. */
    uint64_t tail;            /* Where the batch after the last closed one begins. */
    uint64_t last_checksum;   /* Of the last started batch. */
    uint64_t claimed;         /* The durable position in the last started batch. */
    uint64_t claim_wanted;    /* End of the last started batch that has records. */
    lsn_t urgent;             /* Somebody waits for this position. */
    bool is_batch_wanted;     /* A batch is to be written soon, with records or without. */
    uint32_t next_flags;      /* Of the next batch that is started. */
    struct timer write_timer; /* Levels interval and none: the open batch's age. */
    struct timer claim_timer; /* The heartbeat. */

    /* ---- Holding the next write. ---- */
    uint32_t hold_records;  /* Until the open batch has so many; 0: it is not held. */
    uint32_t hold_skips;    /* Writes that are not held because */
    uint32_t hold_failures; /* so many times in a row they did not come. */
    uint64_t hold_until_us; /* At the latest. */
    uint64_t write_us;      /* What a write takes: a moving mean. */
    uint32_t
        waited_together; /* Records that a write made durable, and those that came meanwhile. */
    uint64_t ended_started_us; /* When that write began; 0: none has ended since the last hook. */
    struct timer hold_timer;   /* So that the loop does not sleep longer. */

    /* ---- Durability. ---- */
    lsn_t durable;
    struct cond durable_cond;
    struct wal_listener listeners[WAL_LISTENERS_MAX];
    uint32_t listener_count;
    enum wal_durability durability;
    uint64_t interval_us;

    /* ---- Clock. ---- */
    uint64_t ceiling;
    uint64_t ceiling_durable;
    uint64_t closed_ts;

    /* ---- Segments. ---- */
    struct list segments;
    struct wal_segment *current; /* Holds tail. */
    uint32_t ready_count;        /* Behind current. */
    struct list spares;
    uint32_t spare_count;
    uint64_t spare_used_us; /* When one came or went. */
    lsn_t released;
    bool is_held; /* A copy is being made: segments from `held` on stay. */
    lsn_t held;
    struct list cursors; /* Who reads the log while it is written; cursor.c. */
    uint32_t cursor_count;
    uint64_t cursor_behind_max;
    struct cond prepare_cond; /* The preparing fiber waits here for something to do. */
    struct cond segment_cond; /* Appenders wait here for the end of an attempt. */
    uint32_t segment_waiters;
    uint64_t prepare_attempts;
    err_t prepare_error; /* Of the last attempt. */
    char prepare_message[ERR_MESSAGE_BYTES_MAX];
    struct fiber_group fibers;
    bool is_closing;
    bool is_hooked;
    bool is_check; /* wal_check: files are only read. */

    /* ---- What it was opened with. ---- */
    char dir[WAL_DIR_BYTES_MAX];
    uint64_t log_id;
    uint64_t life;
    uint64_t segment_bytes;
    uint32_t segments_spare_max;
    uint32_t in_flight_max;
    uint32_t group_bytes;
    uint64_t pending_bytes_max;

    struct hist commit_us;
    struct wal_stats stats;
};

/* ---- segment.c: the files. ---- */

/* Makes the folder, and opens all segments in it into wal->segments. Leftovers of a segment that
 * was being made are removed. */
YIELDS err_t wal_segments_open(struct wal *wal);
void wal_segments_close(struct wal *wal);
/* The segment that follows, or goes before, without a gap; NULL if none. */
struct wal_segment *wal_segment_next(const struct wal *wal, const struct wal_segment *segment);
struct wal_segment *wal_segment_previous(const struct wal *wal, const struct wal_segment *segment);
/* Appends one more ready segment, recycled or new. */
YIELDS err_t wal_segment_add(struct wal *wal);
/* Removes all segments behind `last` that do not follow it without a gap, or that have another
 * size than new ones, and sets ready_count. */
YIELDS err_t wal_segments_trim(struct wal *wal, struct wal_segment *last);
/* Starts the fiber that makes segments ahead and takes released ones back. */
bool wal_segments_prepare(struct wal *wal);
/* At an orderly end, with the fiber gone: what holds no record goes. */
YIELDS void wal_segments_give_back(struct wal *wal);
/* Wait for the end of one attempt to make a segment; its error. */
YIELDS err_t wal_segment_wait(struct wal *wal);
/* The batch has been placed: is it time for the next segment? */
void wal_segments_poke(struct wal *wal);

/* ---- wal.c ---- */

/* Records above are replayed. */
lsn_t wal_replay_from(const struct wal_options *options);

/* ---- replay.c ---- */

/* A window onto one segment. All zeros: empty. */
struct wal_reader {
    struct wal_segment *segment; /* NULL: nothing is loaded. */
    uint64_t offset;
    size_t size;
    uint8_t *data;
    size_t capacity;
    size_t ahead; /* Bytes of a read, if the segment has them; 0: WAL_READ_BYTES. */
};
/* The bytes [offset, offset + size) of the segment, which has them. Valid until the next call.
 * ERR_IO, ERR_NO_MEMORY. */
YIELDS err_t wal_reader_get(struct wal_reader *reader, struct wal_segment *segment, uint64_t offset,
                            size_t size, const uint8_t **data_out);
void wal_reader_fini(struct wal_reader *reader);

/* Reads what is in the segments, from the first needed one on; sets tail, last_checksum, durable,
 * appended, current and the clock. */
YIELDS err_t wal_replay(struct wal *wal, const struct wal_options *options,
                        struct wal_recovered *recovered);

/* ---- cursor.c ---- */

/* Segments from this position on are being read: UINT64_MAX when none is. Readers that are too far
 * behind lose their place. */
uint64_t wal_cursors_need(struct wal *wal);

/* ---- writer.c ---- */

void wal_writer_init(struct wal *wal);
void wal_writer_fini(struct wal *wal);
/* The turn hook: starts writes as the level and the group commit rule want. */
void wal_writer_pump(void *arg);
/* Gives the open batch a place with room for a record of `bytes`; false when pending bytes or
 * segments do not allow it now. bytes == 0: for a batch without records. */
bool wal_writer_place(struct wal *wal, size_t bytes);
