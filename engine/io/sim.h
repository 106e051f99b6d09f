/* engine/io/sim.h - the simulator: the io seam in one thread, with virtual time, a disk in memory
 * and faults, all drawn from one seed.
 *
 * A *world* owns time, randomness, the disk and the shards. It turns the shards one at a time in
 * an order drawn from the seed; equal seeds and equal calls give equal runs, which the trace hash
 * shows. The disk survives crashes; shards do not: a *life* begins with sim_world_boot and ends
 * with sim_world_crash or sim_world_stop.
 *
 * What the disk promises is what engine/io/io.h promises and no more. A write is pending until
 * it was made durable; at a power cut every pending 4 KiB block is by itself kept, lost or torn
 * into old and new sectors of 512 bytes, and every pending change of a name or a size is kept or
 * lost. At a kill all that was completed stays (pending), and operations in flight are done in
 * part.
 *
 * One world at a time in a process. The functions below are called from outside of shards unless
 * they say otherwise; those that say "anywhere" may also be called by fibers. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"

enum { SIM_SHARDS_MAX = 16, SIM_SECTOR_BYTES = 512 };

struct sim_world; /* Opaque. */

/* Operations that the world counts and can be told to fail. */
#define SIM_OP_TABLE(X)                                                                            \
    X(OPEN, "open")                                                                                \
    X(READ, "read")                                                                                \
    X(WRITE, "write")                                                                              \
    X(SYNC, "sync")                                                                                \
    X(ALLOCATE, "allocate")                                                                        \
    X(TRUNCATE, "truncate")                                                                        \
    X(RENAME, "rename")                                                                            \
    X(LINK, "link")                                                                                \
    X(UNLINK, "unlink")                                                                            \
    X(RMDIR, "rmdir")                                                                              \
    X(MKDIR, "mkdir")                                                                              \
    X(SYNC_DIR, "sync_dir")                                                                        \
    X(HELPER, "helper")

enum sim_op {
#define SIM_OP_ENUM(name, text) SIM_OP_##name,
    SIM_OP_TABLE(SIM_OP_ENUM)
#undef SIM_OP_ENUM
        SIM_OP_COUNT,
};

/* Faults: what was done to the shards, counted. */
#define SIM_FAULT_TABLE(X)                                                                         \
    X(LATENCY_SPIKE, "latency spike")                                                              \
    X(EIO_READ, "EIO on read")                                                                     \
    X(EIO_WRITE, "EIO on write")                                                                   \
    X(EIO_SYNC, "EIO on sync")                                                                     \
    X(NO_SPACE, "ENOSPC")                                                                          \
    X(SHORT_TRANSFER, "short transfer")                                                            \
    X(BIT_FLIP, "bit flip")                                                                        \
    X(MISDIRECTED, "misdirected write")                                                            \
    X(STALE, "stale block")                                                                        \
    X(STALL, "slow shard")                                                                         \
    X(MESSAGE_DELAY, "delayed message")                                                            \
    X(WALL_STEP, "wall clock step")                                                                \
    X(CUT_IN_FLIGHT, "operation cut in flight")                                                    \
    X(CUT_LOST, "pending block lost")                                                              \
    X(CUT_TORN, "pending block torn")                                                              \
    X(CUT_SIZE, "pending size lost")                                                               \
    X(CUT_NAME, "pending name lost")

enum sim_fault {
#define SIM_FAULT_ENUM(name, text) SIM_FAULT_##name,
    SIM_FAULT_TABLE(SIM_FAULT_ENUM)
#undef SIM_FAULT_ENUM
        SIM_FAULT_COUNT,
};

const char *sim_op_name(enum sim_op op);
const char *sim_fault_name(enum sim_fault fault);

/* A range in microseconds from which a delay is drawn; min <= max, and at least 1. */
struct sim_range {
    uint32_t min_us;
    uint32_t max_us;
};

/* All rates are per million: of operations of the kind, of messages, or of turns. */
struct sim_options {
    uint64_t disk_bytes; /* 0: no limit. */
    struct sim_range read;
    struct sim_range write;
    struct sim_range write_durable;
    struct sim_range sync; /* Files and folders. */
    struct sim_range name; /* open, rename, link, unlink, rmdir, mkdir, truncate, allocate. */
    struct sim_range helper;
    struct sim_range message;
    struct sim_range turn; /* What a turn of a shard takes. */

    uint32_t latency_spike_ppm;
    struct sim_range latency_spike;
    uint32_t eio_read_ppm;  /* Half of them stay until the block is written again. */
    uint32_t eio_write_ppm; /* The blocks hold old, new or torn bytes afterwards. */
    uint32_t eio_sync_ppm;  /* What was pending can no longer be made durable by a sync. */
    uint32_t no_space_ppm;
    uint32_t short_transfer_ppm; /* The implementation retries: two steps instead of one. */
    uint32_t bit_flip_ppm;       /* At rest, in any file, at each read or write. */
    uint32_t misdirected_ppm;    /* A write lands on another block of this or another file. */
    uint32_t stale_ppm;          /* A write is acknowledged and dropped. */
    uint32_t stall_ppm;
    struct sim_range stall;
    uint32_t message_delay_ppm;
    struct sim_range message_delay;
    uint32_t wall_step_ppm;
    uint64_t wall_step_us_max; /* Forwards or backwards. */

    bool fixed_slices;  /* Do not draw slices and run order: for unit tests of timing. */
    uint64_t turns_max; /* In one sim_world_run: more is SIM_STOP_LIMIT. */

    /* NULL, or called with each line of the trace (no newline). */
    void (*trace)(void *arg, const char *line);
    void *trace_arg;
};

/* Plausible latencies and no faults. */
void sim_options_init(struct sim_options *options);

struct sim_counters {
    uint64_t ops[SIM_OP_COUNT];
    uint64_t faults[SIM_FAULT_COUNT];
    uint64_t messages;
    uint64_t turns;
    uint64_t kills;
    uint64_t power_cuts;
};

/* Turns memory tracking on, so it must come before the first shard's account. Copies options. */
struct sim_world *sim_world_new(uint64_t seed, const struct sim_options *options);
/* No life may be running. Asserts that nothing is left. NULL-safe; clears the pointer. */
void sim_world_free(struct sim_world **world);

/* Anywhere. The options may be changed at any time, for instance to switch faults on. */
struct sim_options *sim_world_options(struct sim_world *world);
/* Set every fault rate to 0, and let unreadable blocks be readable again. What was changed on the
 * disk stays. */
void sim_world_calm(struct sim_world *world);
const struct sim_counters *sim_world_counters(const struct sim_world *world);
uint64_t sim_world_trace_hash(const struct sim_world *world);
/* Virtual microseconds since the world began; what shard_now_us() follows. */
uint64_t sim_world_now_us(const struct sim_world *world);
uint32_t sim_world_shards(const struct sim_world *world);
/* 0..bound-1 from the world's randomness. */
uint64_t sim_prng_below(struct sim_world *world, uint64_t bound);
/* True with a probability of ppm in a million. */
bool sim_prng_chance(struct sim_world *world, uint32_t ppm);
/* Put a line of the scenario's own into the trace, and so into the hash. */
void sim_trace_note(struct sim_world *world, const char *text, uint64_t value);
/* The world that exists in this process; NULL without one. */
struct sim_world *sim_world_current(void);

/* ---- A life. ---- */

/* Make `shards` new shards, with nothing running in them. */
void sim_world_boot(struct sim_world *world, uint32_t shards);
/* sim_world_boot, then init(arg) in a fiber of every shard, until all have returned. The first
 * error is returned; its message can be read with err_message. ERR_TIMEOUT when they do not return
 * within virtual START_US_MAX, ERR_SHUTDOWN when a shard called fatal(). */
err_t sim_world_start(struct sim_world *world, uint32_t shards, err_t (*init)(void *arg),
                      void *arg);
enum { SIM_START_US_MAX = 600 * 1000 * 1000 };
/* Start fn(arg) in a foreground fiber with a large stack. */
void sim_world_spawn(struct sim_world *world, uint32_t shard, const char *name, fiber_fn fn,
                     void *arg);
/* fn(arg) in a fiber of the shard, until it has returned. */
err_t sim_world_call(struct sim_world *world, uint32_t shard, err_t (*fn)(void *arg), void *arg);
/* The same on all shards at a time; the first error. */
err_t sim_world_call_all(struct sim_world *world, err_t (*fn)(void *arg), void *arg);

enum sim_stop {
    SIM_STOP_DONE,  /* until() said so. */
    SIM_STOP_TIME,  /* The time is over. */
    SIM_STOP_IDLE,  /* Nothing can happen any more: no fiber, event or timer is left to wait for. */
    SIM_STOP_LIMIT, /* options.turns_max. */
    SIM_STOP_FATAL, /* A shard called fatal(): the process is gone; only a crash may follow. */
};
const char *sim_stop_name(enum sim_stop stop);

/* Turn the shards until until(arg) is true (asked between turns; NULL: never) or for_us have
 * passed. */
enum sim_stop sim_world_run(struct sim_world *world, bool (*until)(void *arg), void *arg,
                            uint64_t for_us);
/* What the shard said that called fatal(); NULL when none did in this life. */
const char *sim_world_fatal_message(const struct sim_world *world);

/* Every fiber of a shard. */
void sim_world_fibers_visit(struct sim_world *world, uint32_t shard,
                            void (*visit)(const struct fiber_info *, void *), void *arg);

enum sim_crash { SIM_CRASH_KILL, SIM_CRASH_POWER_CUT };
/* End the life at once. After a kill, sim_disk_power_cut may follow. */
void sim_world_crash(struct sim_world *world, enum sim_crash kind);
/* End the life in order: no fiber, file or message may be left (asserted). */
void sim_world_stop(struct sim_world *world);

/* ---- The disk. ---- */

/* Between lives: lose, keep or tear all that is pending. */
void sim_disk_power_cut(struct sim_world *world);
/* After `skip` more operations of the kind, the next `times` ones give negative_errno. Only those
 * on paths that contain `path_part` count (NULL: all). Anywhere. */
void sim_disk_fail_next(struct sim_world *world, enum sim_op op, const char *path_part,
                        uint32_t skip, uint32_t times, int negative_errno);
/* What sim_disk_fail_next and sim_disk_astray_next have set does not happen any more. Anywhere. */
void sim_disk_fail_clear(struct sim_world *world);
/* After `skip` more writes to paths that contain `path_part`, one is acknowledged as if all were
 * well: one of its blocks is dropped, or lands on another block instead. Anywhere. */
enum sim_astray { SIM_ASTRAY_NONE, SIM_ASTRAY_STALE, SIM_ASTRAY_MISDIRECTED };
void sim_disk_astray_next(struct sim_world *world, enum sim_astray astray, const char *path_part,
                          uint32_t skip);
/* Operations of the kind that were started since the world began. Anywhere. */
uint64_t sim_disk_count(const struct sim_world *world, enum sim_op op);
bool sim_disk_exists(const struct sim_world *world, const char *path);
/* 0 when missing. */
uint64_t sim_disk_size(const struct sim_world *world, const char *path);
/* Bytes of all files. */
uint64_t sim_disk_used(const struct sim_world *world);
/* Every file's path, in a stable order. */
void sim_disk_visit(const struct sim_world *world,
                    void (*visit)(const char *path, uint64_t size, void *arg), void *arg);
/* Read or change bytes at rest, past all faults. False when the file is missing or ends early. */
bool sim_disk_peek(const struct sim_world *world, const char *path, uint64_t offset, void *out,
                   size_t size);
bool sim_disk_poke(struct sim_world *world, const char *path, uint64_t offset, const void *bytes,
                   size_t size);
/* Flip one bit of a file at rest. */
bool sim_disk_flip_bit(struct sim_world *world, const char *path, uint64_t bit);
/* Flip one drawn bit of a drawn file that is not empty and whose path contains path_part (NULL:
 * any). False when there is none. Anywhere. */
bool sim_disk_flip_any(struct sim_world *world, const char *path_part);
/* Between lives: an empty disk. */
void sim_disk_wipe(struct sim_world *world);
