/* tests/sim/jobs.h - many seeds, each in a process of its own, several at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/run.h"

enum { JOBS_MAX = 64 };

struct jobs_options {
    uint64_t first_seed;
    uint64_t seeds;
    const struct scenario *scenario; /* NULL: drawn by each seed. */
    uint32_t jobs;
    uint32_t seconds_max; /* For one run, by the wall clock. */
    bool is_traced;       /* One at a time, and its output as it comes. */
    bool stop_at_failure;
    const char *replay; /* The command line that a seed is appended to. */
};

struct jobs_summary {
    uint64_t seeds; /* That were run. */
    uint64_t failed;
    uint64_t repeated; /* Seeds that ran a second time, to compare the trace. */
    struct run_result total;
    uint64_t point_runs[RUN_POINTS_MAX]; /* Runs that reached the point. */
};

void jobs_run(const struct jobs_options *options, struct jobs_summary *summary);
