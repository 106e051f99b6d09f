/* tests/sim/history.h - every version of a tree's keys, by timestamp: a plain ordered map.
 *
 * What was written stands in a log, whose tail a crash may take. Of each key the versions are kept
 * in order of their timestamps, which need not be the order of the log. What a reader sees at a
 * snapshot is a function of the log alone; flushes, compactions and horizons must not matter. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "lsm/vlog.h"
#include "tests/sim/run.h"

enum {
    HISTORY_KEYS_MAX = 128,
    HISTORY_KEY_BYTES_MAX = 2600,
    HISTORY_SUBJECTS_MAX = 2, /* Trees that are given the same history. */
    HISTORY_WRITES_MAX = 1 << 16,
};

enum history_kind { HISTORY_RANGE_DELETE, HISTORY_DELETE, HISTORY_PUT };

struct history_write {
    enum history_kind kind;
    bool start_is_successor; /* Range deletes: how the bounds are spelled; see history_bound. */
    bool end_is_successor;
    uint32_t key;       /* Index; the first of a range. */
    uint32_t end;       /* RANGE_DELETE: the first behind it. */
    uint64_t ts;        /* Of the batch. */
    uint64_t lsn;       /* Of the batch. */
    uint64_t id;        /* Of the write; in the value. */
    uint64_t expire_us; /* PUT: 0 is never. */
    uint32_t bytes;     /* PUT. */
    uint32_t ingest;    /* Number of the ingest that the batch was, from 1; 0: none. */
    uint8_t pointers[HISTORY_SUBJECTS_MAX][VLOG_POINTER_BYTES]; /* PUT of a large value. */
};

struct history_key {
    uint8_t name[HISTORY_KEY_BYTES_MAX];
    uint32_t name_bytes;
    uint32_t *versions; /* Writes that touch the key, oldest ts first. */
    uint32_t count;
    uint32_t capacity;
};

struct history {
    struct run *run;
    uint32_t key_count;
    struct history_key keys[HISTORY_KEYS_MAX]; /* Sorted by name. */
    struct history_write *writes;              /* The log; never moves. */
    uint32_t write_count;
    uint64_t ts;       /* The newest ever given, also to writes that were lost. */
    uint64_t appended; /* The log's end. */
    uint64_t durable;  /* What a crash leaves of it at least. */
    uint64_t next_id;
};

/* Draws the keys' names. The memory stays until the process ends. */
void history_init(struct history *history, struct run *run, uint32_t keys);
/* Forget all writes, for a tree that begins anew. */
void history_clear(struct history *history);

struct slice history_name(const struct history *history, uint32_t key);
/* The bound that has keys from `key` on behind it, 0..key_count: that key's own name, or the
 * smallest name behind its predecessor's. Written into `buffer` in the second case. */
struct slice history_bound(const struct history *history, uint32_t key, bool is_successor,
                           uint8_t buffer[HISTORY_KEY_BYTES_MAX + 1]);
/* The key of that name; key_count when there is none. */
uint32_t history_find(const struct history *history, struct slice name);
uint16_t history_slot(uint32_t key);

/* Append; ts, lsn and all else are set. Within a batch a later write to a key wins, and a range
 * delete spares the batch's own writes. */
void history_append(struct history *history, const struct history_write *write);
/* The log ends at lsn: what lies behind is lost. All before is durable. */
void history_cut(struct history *history, uint64_t lsn);
/* The newest timestamp among the writes at or below lsn. */
uint64_t history_ts_newest(const struct history *history, uint64_t lsn);
/* Did any write get this timestamp? */
bool history_has_ts(const struct history *history, uint64_t ts);

/* What decides at the snapshot: NULL when nothing was written at or below it. */
const struct history_write *history_decides(const struct history *history, uint32_t key,
                                            uint64_t snapshot);
/* The live put that is seen at the snapshot, or NULL. */
const struct history_write *history_get(const struct history *history, uint32_t key,
                                        uint64_t snapshot);
/* The next key in [low, high) from `key` on, in steps of +1 or -1, that is live; -1: none. */
int64_t history_next(const struct history *history, int64_t key, int32_t step, uint32_t low,
                     uint32_t high, uint64_t snapshot);

void history_value_fill(const struct history_write *write, uint8_t *out);
/* Is this the value of that write? */
bool history_value_is(const struct history_write *write, struct slice value);
