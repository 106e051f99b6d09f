/* perf/bench/options.h - the command line of orbit-bench. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct bench_options {
    const char *engines, *workloads; /* Lists with commas. */
    const char *dir, *json, *plot;   /* NULL: not given. */
    uint64_t keys, ops, seed, cache_bytes, limit_bytes, duration_ms, write_rate;
    uint64_t index_bytes;
    uint32_t key_bytes, value_bytes, threads, batch, shards, block_bytes;
    bool is_direct, is_warm, is_compressed, keeps, uses_existing;
    bool is_help, is_version;
};

/* False after naming what is wrong: the program ends with status 64. */
bool bench_options_parse(struct bench_options *options, int argc, char **argv);
extern const char bench_usage[];

/* The words of a list, one after the other: *at begins as the list. False at its end. */
bool bench_list_next(const char **at, char *word, unsigned word_size);
