/* perf/bench/clients.h - the threads that do a workload. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "perf/bench/workload.h"

/* What all clients did together. */
struct clients_total {
    uint64_t ops;            /* Without the background writer's. */
    uint64_t background_ops; /* The background writer's. */
    uint64_t bytes_put, bytes_read;
};

/* Does run->workload for duration_ms (0: to its end) with one client on the calling thread and the
 * others beside it. Latencies go to `meter`, except the background writer's. */
bool clients_run(struct run *run, uint64_t duration_ms, struct meter *meter,
                 struct clients_total *total_out);
/* How many there will be, the background writer included. */
uint32_t clients_count(const struct bench_options *options, const struct bench_engine *engine,
                       const struct workload *workload);
