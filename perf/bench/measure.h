/* perf/bench/measure.h - time, CPU, device traffic, memory and disk space of a process; latencies.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

uint64_t measure_now_ns(clockid_t clock);

/* What this process, with all its threads, has had so far. */
struct measure_usage {
    uint64_t wall_ns, cpu_ns;
    uint64_t read_bytes, written_bytes; /* From and to the device; page cache hits cost none. */
};
void measure_usage_get(struct measure_usage *usage);

/* Peak resident memory since the last reset (Linux resets it through clear_refs; where that is
 * refused the peak is that of the process's life). */
void measure_peak_reset(void);
uint64_t measure_peak_bytes(void);

/* Disk blocks below a folder, and its removal with all that is in it. */
uint64_t measure_folder_bytes(const char *path);
void measure_folder_remove(const char *path);
/* Writes back and drops the page cache of all files below it. */
void measure_folder_evict(const char *path);

/* Latencies in nanoseconds, exact to one part in 1,024; and how they went over time. One owner. */
enum {
    METER_SUB_BITS = 10,
    METER_POWERS = 34, /* Up to 2^43 ns, over two hours. */
    METER_BUCKETS = METER_POWERS << METER_SUB_BITS,
    METER_WINDOW_MS = 100,
    METER_WINDOWS = 18000, /* Half an hour; what follows counts into the last. */
};

struct meter_window {
    uint32_t ops;
    uint32_t max_us;
};

struct meter {
    uint64_t count, max_ns, start_ns;
    uint32_t windows_used;
    uint64_t buckets[METER_BUCKETS];
    struct meter_window windows[METER_WINDOWS];
};

/* Empty, with time running from start_ns. */
void meter_reset(struct meter *meter, uint64_t start_ns);
/* A call that took ns and ended at now_ns stood for `ops` operations. */
void meter_record(struct meter *meter, uint64_t now_ns, uint64_t ns, uint64_t ops);
void meter_merge(struct meter *into, const struct meter *from);
/* In microseconds; 0 when empty. */
double meter_quantile_us(const struct meter *meter, double fraction);

/* ---- A memory limit through a control group. ---- */

struct measure_limit {
    char path[4096]; /* Of the group; empty: none. */
};
/* Makes a group of version 1 or 2 below this process's own with `bytes` of memory, page cache
 * included, and no swap. False with the reason when none can be made. */
bool measure_limit_make(struct measure_limit *limit, uint64_t bytes, char *reason,
                        size_t reason_size);
/* Puts the calling process in. */
bool measure_limit_enter(const struct measure_limit *limit);
/* Its processes have ended. */
void measure_limit_remove(struct measure_limit *limit);
