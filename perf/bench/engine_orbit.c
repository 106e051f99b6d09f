/* perf/bench/engine_orbit.c - Orbit through its public C API, inline: one shard, no hop. */
#include <stdio.h>
#include <stdlib.h>

#include "include/orbit.h"
#include "perf/bench/bench.h"

enum { POLL_EVERY = 64 };

struct orbit_engine {
    struct orbit *db;
    uint64_t calls;
};

static bool
check(int error, const char *what)
{
    if (error == ORBIT_OK) {
        return true;
    }
    fprintf(stderr, "orbit: %s: %s\n", what, orbit_message());
    return false;
}

static bool
engine_open(const struct bench_engine_options *options, void **db_out)
{
    struct orbit_engine *engine = calloc(1, sizeof(*engine));
    /* The cache is half of the memory, memtables a quarter: txn/store.h. */
    struct orbit_options open_options = {
        .dir = options->dir,
        .mode = ORBIT_INLINE,
        .memory_bytes = options->cache_bytes * 2,
        .durability = options->sync ? ORBIT_SYNC : ORBIT_NONE,
    };

    if (engine == NULL || !check(orbit_open(&open_options, &engine->db), "open")) {
        free(engine);
        return false;
    }
    *db_out = engine;
    return true;
}

static void
engine_close(void *db)
{
    struct orbit_engine *engine = db;

    orbit_close(&engine->db);
    free(engine);
}

/* Background work runs on the caller's thread, so its cost is part of the measurement. */
static void
engine_poll(struct orbit_engine *engine)
{
    if (engine->calls++ % POLL_EVERY == 0) {
        (void)orbit_poll(engine->db);
    }
}

static bool
engine_put(void *db, const void *key, size_t key_size, const void *value, size_t value_size)
{
    struct orbit_engine *engine = db;

    engine_poll(engine);
    return check(orbit_put(engine->db, key, key_size, value, value_size, 0), "put");
}

static bool
engine_delete(void *db, const void *key, size_t key_size)
{
    struct orbit_engine *engine = db;

    engine_poll(engine);
    return check(orbit_delete(engine->db, key, key_size), "delete");
}

static bool
engine_get(void *db, const void *key, size_t key_size, bool *found_out, size_t *size_out)
{
    struct orbit_engine *engine = db;
    void *value = NULL;
    int error = orbit_get(engine->db, key, key_size, &value, size_out);

    engine_poll(engine);
    orbit_free(value);
    *found_out = error == ORBIT_OK;
    return error == ORBIT_NOT_FOUND || check(error, "get");
}

static bool
engine_scan(void *db, const void *key, size_t key_size, uint64_t count, uint64_t *seen_out)
{
    struct orbit_engine *engine = db;
    struct orbit_scan_options options = {.lower = key, .lower_size = key_size};
    struct orbit_scan *scan = NULL;
    const void *found_key, *value;
    size_t found_key_size, value_size;
    int error;

    engine_poll(engine);
    if (!check(orbit_scan_new(engine->db, &options, &scan), "scan")) {
        return false;
    }
    *seen_out = 0;
    do {
        error = orbit_scan_next(scan, &found_key, &found_key_size, &value, &value_size);
        *seen_out += error == ORBIT_OK;
    } while (error == ORBIT_OK && *seen_out < count);
    orbit_scan_free(&scan);
    return error == ORBIT_NOT_FOUND || check(error, "next");
}

const struct bench_engine bench_orbit = {
    .name = "orbit",
    .open = engine_open,
    .close = engine_close,
    .put = engine_put,
    .delete = engine_delete,
    .get = engine_get,
    .scan = engine_scan,
};
