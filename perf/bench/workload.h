/* perf/bench/workload.h - what is done to an engine, one operation at a time. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/prng.h"
#include "perf/bench/bench.h"
#include "perf/bench/keyspace.h"
#include "perf/bench/measure.h"
#include "perf/bench/options.h"

enum workload_flag {
    WORKLOAD_FILL = 1 << 0,   /* Into an empty store, runs to --keys. */
    WORKLOAD_COUNT = 1 << 1,  /* Runs to --ops; what is neither runs for --duration. */
    WORKLOAD_READ = 1 << 2,   /* Reads only: is warmed, and shares a process with its neighbours. */
    WORKLOAD_MIXED = 1 << 3,  /* Reads and writes: is warmed. */
    WORKLOAD_WRITE = 1 << 4,  /* Waits for background work at its end. */
    WORKLOAD_SYNC = 1 << 5,   /* Every write durable. */
    WORKLOAD_SINGLE = 1 << 6, /* One client, whatever --threads says. */
    WORKLOAD_WRITER = 1 << 7, /* A thread beside the clients writes. */
    WORKLOAD_HOLES = 1 << 8,  /* Afterwards keys are missing. */
    WORKLOAD_ASYNC = 1 << 9,  /* One operation is one put or get: can be asynchronous. */
    WORKLOAD_ONCE = 1 << 10,  /* One operation in all. */
};

/* A workload on an open engine. Read-only for the clients but for the atomics. */
struct run {
    const struct bench_options *options;
    const struct bench_engine *engine;
    const struct workload *workload;
    void *db;
    struct keyspace *space;
    uint64_t absent_from; /* Of this run's absent keys. */
    struct zipf zipf;
    uint64_t start_ns, deadline_ns; /* deadline_ns 0: none. */
    bool is_warming;
    atomic_bool is_stopped;
};

/* A thread that calls the engine. */
struct client {
    struct run *run;
    void *session;
    uint32_t index;
    uint32_t step; /* Between its operations' numbers: the number of clients. */
    struct prng prng;
    struct value_maker values;
    struct meter *meter;
    uint64_t ops, bytes_put, bytes_read, puts_open;
    bool has_cursor, is_failed;
    uint64_t progress_ns;
    pthread_t thread;
};

struct workload {
    const char *name;
    /* Operation number i; adds to ops and bytes. */
    bool (*op)(struct client *client, uint64_t i);
    /* The key that operation number i is about, where it is about one. */
    uint64_t (*draw)(struct client *client, uint64_t i);
    enum keyspace_order order; /* WORKLOAD_FILL */
    uint32_t flags;
};

/* NULL when there is none of that name. */
const struct workload *workload_find(const char *name);
/* Can the engine do it? */
bool workload_fits(const struct workload *workload, const struct bench_engine *engine);
/* Is the answer of a read what it should be? */
bool workload_check(struct client *client, uint64_t number, const struct bench_value *value,
                    bool is_expected);
/* The put beside readwhilewriting. */
bool workload_write_any(struct client *client);
