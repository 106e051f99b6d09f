/* tests/unit/wal/wal_fixture.h - lives of one log on one simulated disk.
 *
 *     world_begin();
 *     life_begin(); life_run(append_some); life_crash(SIM_CRASH_POWER_CUT);
 *     life_begin(); ... journal says what was replayed ...
 *     life_close();
 *     world_end(); */
#pragma once

#include <criterion/criterion.h>

#include "engine/io/sim.h"
#include "wal/wal.h"

enum { JOURNAL_MAX = 16384, FIXTURE_LOG_ID = 0x1122334455667788 };

/* What the last life_begin replayed. */
struct journal {
    uint32_t count;
    lsn_t lsns[JOURNAL_MAX];
    uint32_t sizes[JOURNAL_MAX];
    uint64_t values[JOURNAL_MAX]; /* The first 8 bytes of the record. */
};

extern struct sim_world *world;
extern struct wal_options options; /* Of the next life_begin. */
extern struct wal *wal;
extern struct wal_recovered recovered;
extern struct journal journal;

void world_begin(void);
void world_begin_seeded(uint64_t seed);
void world_end(void);

/* A new life which opens the log. On an error the life is over. */
err_t life_try(void);
void life_begin(void);
/* fn in a fiber of the shard. */
void life_run(void (*fn)(void));
/* Let virtual time pass. */
void life_idle(uint64_t us);
void life_crash(enum sim_crash kind);
/* wal_close, then an orderly end. */
void life_close(void);

/* A record of `size` >= 8 bytes that begins with value; does not wait for durability. */
lsn_t append(uint64_t value, size_t size);
/* The same, and durable. */
lsn_t append_durably(uint64_t value, size_t size);

/* Offset in its file and path of the batch that begins at the position. */
void place_of(uint64_t position, char path[IO_PATH_BYTES_MAX], uint64_t *offset_out);
/* Flips a bit of the byte at the position. */
void flip_at(uint64_t position);
/* Overwrites blocks with zeros, as if the write had been lost. */
void lose_blocks(uint64_t position, uint32_t blocks);
uint32_t count_segments(void);
