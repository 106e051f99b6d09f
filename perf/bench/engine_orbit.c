/* perf/bench/engine_orbit.c - Orbit through its public C API: inline, one shard without a hop,
 * when there is one client; with threads when there are several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "include/orbit.h"
#include "perf/bench/bench.h"
#include "perf/bench/keyspace.h"

enum { POLL_EVERY = 64, BATCH_ROWS = 256, GET_MANY_MAX = 1024, WAIT_US = 1000000 };

struct database {
    struct orbit *orbit;
    bool is_inline;
    uint32_t depth;
};

/* An operation of orbit-async under way. */
struct flight {
    struct orbit_op op;
    struct session *session;
    uint32_t tag;
    struct bench_value value;
    uint8_t key[KEY_BYTES_MAX];
    uint8_t *put; /* VALUE_BYTES_MAX bytes. */
};

struct session {
    struct database *db;
    struct orbit_scan *scan;
    struct orbit_ingest *ingest;
    uint64_t calls;
    struct flight *flights;            /* orbit-async: db->depth. */
    uint32_t *landed;                  /* A ring of tags, of db->depth. */
    uint32_t landed_from, landed_used; /* Its first one, and how many. */
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

/* The memory that gives this much block cache: half of it or a reserve goes off the top, and of the
 * rest a quarter, up to 128 MiB, to memtables; txn/store.h has the rule. */
static uint64_t
memory_for(uint64_t cache_bytes)
{
    uint64_t usable = MIN(cache_bytes / 3 * 4, cache_bytes + (128 << 20));
    uint64_t with_reserve = (usable + (24 << 20)) / 15 * 16;

    return MIN(2 * usable, with_reserve);
}

static bool
database_open(const struct bench_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    struct orbit_options open_options = {
        .dir = options->dir,
        .mode = options->threads > 1 ? ORBIT_THREADS : ORBIT_INLINE,
        .shards = options->threads > 1 ? options->shards : 1,
        .memory_bytes = memory_for(options->cache_bytes),
        .durability = options->is_sync ? ORBIT_SYNC : ORBIT_NONE,
        .block_bytes = options->block_bytes,
        .no_compression = options->no_compression,
        .index_bytes = options->index_bytes,
    };

    ASSERT(db != NULL);
    db->is_inline = open_options.mode == ORBIT_INLINE;
    db->depth = options->depth;
    if (!check(orbit_open(&open_options, &db->orbit), "open")) {
        free(db);
        return false;
    }
    *db_out = db;
    return true;
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    orbit_close(&db->orbit);
    free(db);
}

static bool
session_open(void *db, void **session_out)
{
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    session->db = db;
    *session_out = session;
    return true;
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    orbit_scan_free(&session->scan);
    orbit_ingest_free(&session->ingest);
    for (uint32_t i = 0; session->flights != NULL && i < session->db->depth; i++) {
        free(session->flights[i].put);
    }
    free(session->flights);
    free(session->landed);
    free(session);
}

/* Background work runs on the caller's thread, so its cost is part of the measurement. */
static void
session_poll(struct session *session)
{
    if (session->db->is_inline && session->calls++ % POLL_EVERY == 0) {
        (void)orbit_poll(session->db->orbit);
    }
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;

    session_poll(session);
    return check(orbit_put(session->db->orbit, key.data, key.size, value.data, value.size, 0),
                 "put");
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    struct session *session = arg;

    session_poll(session);
    return check(orbit_delete(session->db->orbit, key.data, key.size), "delete");
}

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    struct session *session = arg;
    void *value = NULL;
    size_t size = 0;
    int error = orbit_get(session->db->orbit, key.data, key.size, &value, &size);

    session_poll(session);
    if (error == ORBIT_OK) {
        bench_value_set(value_out, value, size);
        orbit_free(value);
    }
    return error == ORBIT_NOT_FOUND || check(error, "get");
}

static bool
session_multi_get(void *arg, const struct bench_slice *keys, uint32_t count,
                  struct bench_value *values_out)
{
    struct session *session = arg;
    const void *data[GET_MANY_MAX];
    size_t sizes[GET_MANY_MAX];
    struct orbit_result results[GET_MANY_MAX];

    ASSERT(count > 0);
    ASSERT(count <= GET_MANY_MAX);
    for (uint32_t i = 0; i < count; i++) {
        data[i] = keys[i].data;
        sizes[i] = keys[i].size;
    }
    session_poll(session);
    if (!check(orbit_get_many(session->db->orbit, data, sizes, count, results), "get many")) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (results[i].error == ORBIT_OK) {
            bench_value_set(&values_out[i], results[i].value, results[i].size);
            orbit_free(results[i].value);
        }
    }
    return true;
}

/* ---- Scans. ---- */

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    struct orbit_scan_options options = {.lower = key.size > 0 ? key.data : NULL,
                                         .lower_size = key.size};

    session_poll(session);
    orbit_scan_free(&session->scan);
    return check(orbit_scan_new(session->db->orbit, &options, &session->scan), "scan");
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    const void *key = NULL;
    const void *value;
    size_t key_size = 0;
    size_t value_size;
    int error = ORBIT_OK;

    for (uint64_t i = 0; i < count; i++) {
        error = orbit_scan_next(session->scan, &key, &key_size, &value, &value_size);
        if (error != ORBIT_OK) {
            break;
        }
        bench_rows_add(rows, key, key_size, value, value_size);
    }
    if (error == ORBIT_OK && key != NULL) {
        bench_rows_last(rows, key, key_size);
    }
    return error == ORBIT_NOT_FOUND || check(error, "next");
}

static bool
session_batch_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    struct orbit_row batch[BATCH_ROWS];
    int error = ORBIT_OK;

    while (count > 0 && error == ORBIT_OK) {
        size_t got = 0;

        error = orbit_scan_batch(session->scan, batch, MIN(count, (uint64_t)BATCH_ROWS), &got);
        for (size_t i = 0; i < got; i++) {
            bench_rows_add(rows, batch[i].key, batch[i].key_size, batch[i].value,
                           batch[i].value_size);
        }
        count -= got;
    }
    return error == ORBIT_NOT_FOUND || check(error, "batch");
}

static void
session_unseek(void *arg)
{
    struct session *session = arg;

    orbit_scan_free(&session->scan);
}

/* ---- Bulk. ---- */

static bool
session_ingest_begin(void *arg)
{
    struct session *session = arg;

    return check(orbit_ingest_new(session->db->orbit, &session->ingest), "ingest");
}

static bool
session_ingest_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;

    return check(orbit_ingest_put(session->ingest, key.data, key.size, value.data, value.size, 0),
                 "ingest");
}

static bool
session_ingest_end(void *arg)
{
    struct session *session = arg;
    bool is_fine = check(orbit_ingest_commit(session->ingest), "ingest");

    orbit_ingest_free(&session->ingest);
    return is_fine;
}

/* ---- Many operations under way. ---- */

static bool
async_open(void *db, void **session_out)
{
    struct session *session;
    uint32_t depth = ((struct database *)db)->depth;

    session_open(db, session_out);
    session = *session_out;
    session->flights = calloc(depth, sizeof(*session->flights));
    session->landed = calloc(depth, sizeof(*session->landed));
    ASSERT(session->flights != NULL);
    ASSERT(session->landed != NULL);
    for (uint32_t i = 0; i < depth; i++) {
        session->flights[i].session = session;
        session->flights[i].tag = i;
        session->flights[i].put = malloc(VALUE_BYTES_MAX);
        ASSERT(session->flights[i].put != NULL);
    }
    return true;
}

static void
async_done(struct orbit_op *op)
{
    struct flight *flight = op->owner;
    struct session *session = flight->session;

    flight->value.is_found = false;
    if (op->error == ORBIT_OK && op->value != NULL) {
        bench_value_set(&flight->value, op->value, op->value_size);
    }
    session->landed[(session->landed_from + session->landed_used++) % session->db->depth] =
        flight->tag;
}

static struct flight *
async_flight(struct session *session, uint32_t tag, struct bench_slice key)
{
    struct flight *flight = &session->flights[tag];

    flight->op.done = async_done;
    flight->op.owner = flight;
    memcpy(flight->key, key.data, key.size);
    return flight;
}

static bool
async_start_put(void *arg, uint32_t tag, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    struct flight *flight = async_flight(session, tag, key);

    session_poll(session);
    memcpy(flight->put, value.data, value.size);
    return check(orbit_put_start(session->db->orbit, &flight->op, flight->key, key.size,
                                 flight->put, value.size, 0),
                 "put start");
}

static bool
async_start_get(void *arg, uint32_t tag, struct bench_slice key)
{
    struct session *session = arg;
    struct flight *flight = async_flight(session, tag, key);

    return check(orbit_get_start(session->db->orbit, &flight->op, flight->key, key.size),
                 "get start");
}

static bool
async_wait(void *arg, uint32_t *tag_out, struct bench_value *value_out)
{
    struct session *session = arg;
    struct flight *flight;

    while (session->landed_used == 0) {
        (void)orbit_wait(session->db->orbit, WAIT_US);
    }
    *tag_out = session->landed[session->landed_from];
    session->landed_from = (session->landed_from + 1) % session->db->depth;
    session->landed_used--;
    flight = &session->flights[*tag_out];
    *value_out = flight->value;
    if (flight->op.error != ORBIT_OK && flight->op.error != ORBIT_NOT_FOUND) {
        fprintf(stderr, "orbit: an operation under way: %s\n", orbit_error_name(flight->op.error));
        return false;
    }
    return true;
}

/* ---- Background work. ---- */

static bool
database_idle(void *arg)
{
    struct database *db = arg;

    return db->is_inline && orbit_poll(db->orbit);
}

static bool
database_compact(void *arg)
{
    struct database *db = arg;

    return check(orbit_compact(db->orbit), "compact");
}

const struct bench_engine bench_orbit = {
    .name = "orbit",
    .open = database_open,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .put = session_put,
    .remove = session_remove,
    .get = session_get,
    .multi_get = session_multi_get,
    .seek = session_seek,
    .next = session_next,
    .unseek = session_unseek,
    .batch_next = session_batch_next,
    .ingest_begin = session_ingest_begin,
    .ingest_put = session_ingest_put,
    .ingest_end = session_ingest_end,
    .idle = database_idle,
    .compact = database_compact,
};

const struct bench_engine bench_orbit_async = {
    .name = "orbit-async",
    .folder = "orbit",
    .is_async = true,
    .open = database_open,
    .close = database_close,
    .session_open = async_open,
    .session_close = session_close,
    .get = session_get,
    .seek = session_seek,
    .next = session_next,
    .unseek = session_unseek,
    .start_put = async_start_put,
    .start_get = async_start_get,
    .wait = async_wait,
    .idle = database_idle,
};
