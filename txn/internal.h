/* txn/internal.h - the store's object, shared by the files of this folder. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/io/io.h"
#include "txn/clock.h"
#include "txn/store.h"

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
    STORE_LOG_BYTES_MAX = 160 << 20,  /* or of so much: after a crash the log of STORE_MEMTABLES of
                                        them is replayed, in less than 5 s. */
    STORE_CLOSE_LOG_BYTES = 16 << 20, /* A longer log is flushed by an orderly end. */
    STORE_OP_OVERHEAD = 96,   /* A write in the memtable beside its record's bytes, at most. */
    STORE_COUNTER_BYTES = 10, /* In the note: id and value. */
    STORE_NOTE_BYTES_MAX = 4 + STORE_COUNTERS_MAX * STORE_COUNTER_BYTES,
};

struct store {
    uint64_t magic;
    struct lsm *lsm;
    struct wal *wal; /* NULL while the log is replayed. */
    struct clock clock;
    uint64_t clock_ahead;   /* How far the ceiling is asked for ahead of the clock. */
    lsn_t rotated_at;       /* Log position of the last rotation. */
    uint64_t log_bytes_max; /* Rotate when the log has grown by this much since. */
    enum wal_durability durability;
    char dir[STORE_DIR_BYTES_MAX];
    uint8_t note[STORE_NOTE_BYTES_MAX];
    int64_t counters[STORE_COUNTERS_MAX];
};

/* ---- store.c ---- */

/* Applies a checked record. Never suspends. */
void store_apply(struct store *store, struct slice record, lsn_t lsn, struct lsm_ingest *ingest);
/* Freezes the memtable with the counters as they are; everything up to lsn was applied. */
void store_rotate(struct store *store, lsn_t lsn);
/* Rotates if memtable or log have grown enough. */
void store_rotate_if_due(struct store *store, lsn_t lsn);
/* Asks for a higher ceiling long before the clock, now at ts, gets there; the log's next batch
 * carries it. */
void store_clock_push(struct store *store, uint64_t ts);

/* ---- note.c: the counters in a memtable's note. ---- */
size_t note_encode(const int64_t counters[STORE_COUNTERS_MAX], uint8_t note[STORE_NOTE_BYTES_MAX]);
/* ERR_CORRUPT. counters are set whole. */
err_t note_decode(struct slice note, int64_t counters[STORE_COUNTERS_MAX]);

/* ---- recovery.c ---- */
YIELDS err_t store_recover(struct store *store, const struct store_options *options);
