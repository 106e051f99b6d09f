/* perf/bench/report.c - results as a table and as JSON lines. */
#include "perf/bench/report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

/* Which of the results with the same engine and workload this is. */
static uint32_t
result_turn(const struct bench_result *results, const struct bench_result *result)
{
    uint32_t turn = 0;

    for (const struct bench_result *r = results; r < result; r++) {
        turn +=
            strcmp(r->engine, result->engine) == 0 && strcmp(r->workload, result->workload) == 0;
    }
    return turn;
}

/* Orbit's result for the same workload, when a list names it several times the same one of them. */
static const struct bench_result *
orbit_find(const struct bench_result *results, uint32_t count, const struct bench_result *result)
{
    uint32_t turn = result_turn(results, result);

    for (uint32_t i = 0; i < count; i++) {
        if (strcmp(results[i].engine, "orbit") == 0 &&
            strcmp(results[i].workload, result->workload) == 0 && turn-- == 0) {
            return &results[i];
        }
    }
    return NULL;
}

/* Has an earlier result the workload of this one? */
static bool
is_repeated(const struct bench_result *results, uint32_t index)
{
    for (uint32_t i = 0; i < index; i++) {
        if (strcmp(results[i].workload, results[index].workload) == 0) {
            return true;
        }
    }
    return false;
}

static void
row_print(const struct bench_result *result, const struct bench_result *orbit)
{
    printf("%-16s %-13s %11.0f %9.3f %8.1f %8.1f %9.1f %9.1f %10.1f %6.2f %6.2f %8.1f %7.0f %7.0f",
           result->workload, result->engine, result->ops_per_s, result->cpu_us_per_op,
           result->p50_us, result->p99_us, result->p999_us, result->p9999_us, result->max_us,
           result->write_amp, result->read_amp, result->settle_s, (double)result->disk_bytes / 1e6,
           (double)result->peak_rss_bytes / 1e6);
    if (orbit != NULL && orbit != result) {
        printf(" %7.2f %7.2f\n", orbit->ops_per_s / result->ops_per_s,
               result->cpu_us_per_op / orbit->cpu_us_per_op);
    } else {
        printf(" %7s %7s\n", "", "");
    }
}

void
report_table(const struct bench_options *options, const struct bench_result *results,
             uint32_t count)
{
    bool is_limited = true;

    printf("%llu keys of %u + %u bytes, %u %s, cache %llu MiB", (unsigned long long)options->keys,
           options->key_bytes, options->value_bytes, options->threads,
           options->threads == 1 ? "client" : "clients",
           (unsigned long long)(options->cache_bytes >> 20));
    for (uint32_t i = 0; i < count; i++) {
        is_limited = is_limited && results[i].is_limited;
    }
    if (options->limit_bytes != 0) {
        printf(", memory limit %llu MiB%s", (unsigned long long)(options->limit_bytes >> 20),
               is_limited ? "" : " (NOT in force: see above)");
    }
    printf("\n%-16s %-13s %11s %9s %8s %8s %9s %9s %10s %6s %6s %8s %7s %7s %7s %7s\n", "workload",
           "engine", "ops/s", "cpu us/op", "p50 us", "p99 us", "p99.9 us", "p99.99 us", "max us",
           "w-amp", "r-amp", "settle s", "disk MB", "rss MB", "ops x", "cpu x");
    for (uint32_t i = 0; i < count; i++) { /* By workload, in the order of the first engine. */
        for (uint32_t j = i; j < count && !is_repeated(results, i); j++) {
            if (strcmp(results[j].workload, results[i].workload) == 0) {
                row_print(&results[j], orbit_find(results, count, &results[j]));
            }
        }
    }
    printf("\nops x, cpu x: how many times faster Orbit is than this engine, by throughput and by "
           "CPU time.\nThe CPU time of writes holds background work until it was done (settle s). "
           "Debian's RocksDB is built\nwith assertions and computes checksums in software: "
           "perf/README.md.\n");
}

bool
report_json(const struct bench_options *options, const struct bench_result *results, uint32_t count)
{
    FILE *file = fopen(options->json, "we");

    if (file == NULL) {
        fprintf(stderr, "orbit-bench: cannot write %s: %s\n", options->json, strerror(errno));
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        const struct bench_result *r = &results[i];

        fprintf(file,
                "{\"engine\": \"%s\", \"workload\": \"%s\", \"ops_per_s\": %.1f, "
                "\"cpu_us_per_op\": %.4f, \"p50_us\": %.3f, \"p99_us\": %.3f, \"p999_us\": %.3f, "
                "\"p9999_us\": %.3f, \"max_us\": %.3f, \"write_amp\": %.4f, \"read_amp\": %.4f, "
                "\"disk_bytes\": %llu, \"peak_rss_bytes\": %llu, ",
                r->engine, r->workload, r->ops_per_s, r->cpu_us_per_op, r->p50_us, r->p99_us,
                r->p999_us, r->p9999_us, r->max_us, r->write_amp, r->read_amp,
                (unsigned long long)r->disk_bytes, (unsigned long long)r->peak_rss_bytes);
        fprintf(file,
                "\"ops\": %llu, \"seconds\": %.3f, \"settle_s\": %.3f, \"open_s\": %.4f, "
                "\"threads\": %u, \"keys\": %llu, \"key_bytes\": %u, \"value_bytes\": %u, "
                "\"cache_bytes\": %llu, \"memory_limit_bytes\": %llu}\n",
                (unsigned long long)r->ops, r->seconds, r->settle_s, r->open_s, options->threads,
                (unsigned long long)options->keys, options->key_bytes, options->value_bytes,
                (unsigned long long)options->cache_bytes,
                (unsigned long long)(r->is_limited ? options->limit_bytes : 0));
    }
    return fclose(file) == 0;
}
