/* perf/bench/run.h - one engine through a list of workloads, in processes of their own. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "perf/bench/bench.h"
#include "perf/bench/measure.h"
#include "perf/bench/options.h"

enum { RUN_RESULTS_MAX = 512 };

struct bench_result {
    char engine[24], workload[24];
    bool is_done, is_limited;
    uint64_t ops;
    double seconds, ops_per_s, cpu_us_per_op;
    double p50_us, p99_us, p999_us, p9999_us, max_us;
    double write_amp, read_amp;
    double settle_s; /* From the last operation until background work was done. */
    double open_s;   /* How long opening took. */
    uint64_t disk_bytes, peak_rss_bytes;
    uint32_t windows_used;
    struct meter_window *windows; /* The program's, to its end. */
};

/* The user wants to stop: the engine's process is ended, nothing further is begun. To be called
 * from a signal handler. */
void run_interrupt(void);
bool run_is_interrupted(void);

/* Results of all workloads that the engine can do are added. False when one of them failed: the
 * engine's remaining ones were left out. */
bool run_engine(const struct bench_options *options, const struct bench_engine *engine,
                const char *base, struct bench_result *results, uint32_t *count);
