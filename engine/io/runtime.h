/* engine/io/runtime.h - the shards of a process: threads, pinning, start, stop.
 *
 *     runtime_start: accounts, io and shards are made; one thread a shard; init runs in a fiber
 *                    on each, all at the same time; returns when all have ended
 *     runtime_call:  other threads run a function on a shard and wait for it
 *     runtime_stop:  fini runs in a fiber on each shard, then the threads end */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "engine/rt/msg.h"

struct io;
struct runtime; /* Opaque. */
struct shard;

struct runtime_options {
    uint32_t shards;      /* 1..SHARDS_MAX */
    const char *data_dir; /* Must exist; NULL: no files. Borrowed for the call. */
    const int *cpus;      /* Shard i is pinned to cpus[i % cpu_count]. Borrowed for the call. */
    uint32_t cpu_count;   /* 0: not pinned. */
    uint64_t seed;        /* Of the shards' generators; 0: drawn from the system. */
    bool never_spin;      /* Sleep at once when idle, also when a peer owes an answer. */
    /* Before the fiber of init: sets the limits of the shard's account. NULL: none. */
    void (*limits)(uint32_t shard, struct mem_account *account, void *arg);
    /* In a foreground fiber on each shard, concurrently. NULL: none. */
    YIELDS err_t (*init)(void *arg);
    /* The same at the end, also on shards whose init failed; must end every fiber and close every
     * file, listener and connection that init or later work made. NULL: none. */
    YIELDS void (*fini)(void *arg);
    void *arg;
};

/* Errors: what the kernel check, the data folder or the first failing init said; then everything
 * has been stopped again. ERR_KERNEL when a thread cannot be made or pinned. */
err_t runtime_start(const struct runtime_options *options, struct runtime **runtime_out);
/* Harmless on NULL; clears the pointer. Not from a shard's thread. */
void runtime_stop(struct runtime **runtime);

uint32_t runtime_shard_count(const struct runtime *runtime);
struct shard *runtime_shard(struct runtime *runtime, uint32_t id);
struct io *runtime_io(struct runtime *runtime, uint32_t id);

/* From a thread that is no shard: run fn(arg) on shard `id` and return when it has ended. */
void runtime_call(struct runtime *runtime, uint32_t id, enum msg_kind kind, msg_fn fn, void *arg);
/* On every shard at the same time: fn(args + i * arg_size). */
void runtime_call_all(struct runtime *runtime, enum msg_kind kind, msg_fn fn, void *args,
                      size_t arg_size);

/* "0-3,8" to {0, 1, 2, 3, 8}; "all" to the cpus this process may use; "none" to nothing.
 * Errors: ERR_INVALID (names the text), ERR_LIMIT (more than `max`). */
err_t runtime_cpus_parse(const char *text, int *cpus_out, uint32_t max, uint32_t *count_out);
