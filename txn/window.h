/* txn/window.h - how far back one may read: the retention, in time and in bytes.
 *
 * Versions that were superseded, and the log for change feeds, are kept for the retention; but when
 * what a shard has logged since then exceeds its share of the limit in bytes, the oldest goes
 * first. The shard remembers where its log stood at moments of its clock, and publishes the moment
 * from which on it keeps everything (SHARD_WORD_WINDOW); the latest of all shards' moments counts,
 * since a reader needs all of them. Without a retention only what snapshots hold is kept. */
#pragma once

#include <stdint.h>

#include "engine/rt/shared.h"
#include "wal/wal.h"

enum {
    WINDOW_SAMPLES_MAX = 256, /* When there are more, every second one goes, */
    WINDOW_STEPS = 128,       /* but they are a retention by so much apart, */
    WINDOW_BYTE_STEPS = 32,   /* or the limit in bytes by so much. */
};

struct window {
    uint64_t retention; /* In timestamps; 0: none. */
    uint64_t bytes_max; /* Of this shard's log; 0: as much as it takes. */
    uint64_t from;      /* Published last; only grows. */
    uint64_t cuts;      /* How often the limit in bytes has moved it. */
    struct window_sample {
        uint64_t ts; /* Every commit at or below it stands in the log at or before lsn. */
        lsn_t lsn;
    } samples[WINDOW_SAMPLES_MAX];
    uint32_t count;
};

/* `begin`: from then on everything is there, in tables and in what is left of the log. */
void window_open(struct window *window, uint64_t retention, uint64_t bytes_max, uint64_t begin);
/* A longer retention begins to grow now. */
void window_set(struct window *window, uint64_t retention, uint64_t bytes_max, uint64_t now,
                lsn_t appended);
/* The clock stands at `now`, the log's end at `appended`: remembers it, now and then, and moves the
 * beginning of the window. */
void window_move(struct window *window, uint64_t now, lsn_t appended);
/* The beginning of all shards' windows. With a retention. */
uint64_t window_begin(void);
/* What the log holds up to here is older than the window. UINT64_MAX: without a retention. */
lsn_t window_log_from(const struct window *window);
/* Bytes logged since the window began. */
uint64_t window_log_bytes(const struct window *window, lsn_t appended);
