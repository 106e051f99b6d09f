/* perf/bench/bench.h - an engine as orbit-bench sees it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_engine_options {
    const char *dir;
    uint64_t cache_bytes; /* Block cache; memtables come on top. */
    bool sync;            /* Every write durable before it returns. */
};

/* Every function returns false after printing what went wrong. */
struct bench_engine {
    const char *name;
    bool (*open)(const struct bench_engine_options *options, void **db_out);
    void (*close)(void *db);
    bool (*put)(void *db, const void *key, size_t key_size, const void *value, size_t value_size);
    bool (*delete)(void *db, const void *key, size_t key_size);
    bool (*get)(void *db, const void *key, size_t key_size, bool *found_out, size_t *size_out);
    /* From the first key at or above `key` on, at most `count` entries; tells how many. */
    bool (*scan)(void *db, const void *key, size_t key_size, uint64_t count, uint64_t *seen_out);
};

extern const struct bench_engine bench_orbit;
extern const struct bench_engine bench_rocksdb, bench_rocksdb_tuned;
