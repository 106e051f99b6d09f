/* perf/txn/drive.h - the workloads of orbit-txn-bench and the loops that do them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "perf/bench/measure.h"
#include "perf/txn/txnbench.h"

struct txn_workload;

struct drive_options {
    const struct txn_engine *engine;
    const struct txn_workload *workload;
    struct txn_engine_options open;
    uint64_t keys;
    uint64_t duration_ms, hold_ms;
    uint64_t think_us; /* Between a client's transactions; 0: none. */
    uint64_t seed;
};

struct drive_figures {
    uint64_t transactions, conflicts;
    double seconds, cpu_us; /* CPU of the process a transaction. */
    double p50_us, p99_us, max_us;
    double read_us_free, read_us_held; /* Of held: CPU a read, without a snapshot and with one. */
};

/* NULL when there is none of that name. */
const struct txn_workload *txn_workload_find(const char *name);

/* Loads, drives, and checks that every increment is there. False when anything went wrong. */
bool drive(const struct drive_options *options, struct drive_figures *figures_out);
