/* perf/txn/engine_orbit.c - Orbit through its public C API: functions that it runs, by threads
 * (orbit) or all from one thread (orbit-inline), and transactions that the client begins and ends
 * (orbit-session). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "include/orbit.h"
#include "perf/txn/txnbench.h"

enum { LOAD_BATCH = 500, WAIT_US = 1000000 };

struct database {
    struct orbit *orbit;
    uint32_t depth;
};

/* A transaction in hand. */
struct flight {
    struct orbit_op op; /* First. */
    struct session *session;
    struct txn_work work;
    uint32_t tag, runs;
};

struct session {
    struct database *db;
    struct flight one;      /* Of run. */
    struct flight *flights; /* Of start: db->depth of them. */
    uint32_t *landed;       /* A ring of tags. */
    uint32_t landed_from, landed_used;
    uint64_t conflicts; /* Not told yet. */
    bool is_failed;
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
database_open_as(const struct txn_engine_options *options, enum orbit_mode mode, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    struct orbit_options open_options = {
        .dir = options->dir,
        .mode = mode,
        .shards = mode == ORBIT_INLINE ? 1 : options->shards,
        .memory_bytes = options->cache_bytes,
        .durability = options->is_sync ? ORBIT_SYNC : ORBIT_NONE,
    };

    ASSERT(db != NULL);
    db->depth = options->clients;
    *db_out = db;
    return check(orbit_open(&open_options, &db->orbit), "open");
}

static bool
database_open_threads(const struct txn_engine_options *options, void **db_out)
{
    return database_open_as(options, ORBIT_THREADS, db_out);
}

static bool
database_open_inline(const struct txn_engine_options *options, void **db_out)
{
    return database_open_as(options, ORBIT_INLINE, db_out);
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    orbit_close(&db->orbit);
    free(db);
}

static bool
session_open(void *arg, void **session_out)
{
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    session->db = arg;
    session->flights = calloc(session->db->depth, sizeof(*session->flights));
    session->landed = calloc(session->db->depth, sizeof(*session->landed));
    ASSERT(session->flights != NULL && session->landed != NULL);
    *session_out = session;
    return true;
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    free(session->flights);
    free(session->landed);
    free(session);
}

static bool
session_load(void *arg, const struct txn_access *keys, uint32_t count)
{
    static const char value[TXN_VALUE_BYTES];
    struct session *session = arg;
    struct orbit_batch *batch = orbit_batch_new();
    bool is_fine = true;

    for (uint32_t i = 0; i < count && is_fine; i++) {
        is_fine =
            check(orbit_batch_put(batch, keys[i].key, strlen(keys[i].key), value, sizeof(value), 0),
                  "load");
        if (is_fine && ((i + 1) % LOAD_BATCH == 0 || i + 1 == count)) {
            is_fine = check(orbit_batch_commit(session->db->orbit, batch), "load");
            orbit_batch_clear(batch);
        }
    }
    orbit_batch_free(&batch);
    return is_fine;
}

/* ---- One transaction. ---- */

static int
access_do(struct orbit_txn *txn, const struct txn_access *access)
{
    char value[TXN_VALUE_BYTES] = {0};
    size_t key_size = strlen(access->key);
    uint64_t number;
    void *found;
    size_t size;
    int error;

    if (!access->is_insert) {
        error = orbit_txn_get(txn, 0, access->key, key_size, &found, &size);
        if (error != ORBIT_OK) {
            return error;
        }
        memcpy(value, found, MIN(size, sizeof(value)));
        orbit_free(found);
        number = txn_number(value) + 1;
        memcpy(value, &number, sizeof(number));
    }
    return orbit_txn_put(txn, 0, access->key, key_size, value, sizeof(value), 0);
}

static int
work_do(struct orbit_txn *txn, void *arg)
{
    struct flight *flight = arg;
    int error = ORBIT_OK;

    flight->runs++;
    for (uint32_t i = 0; i < flight->work.count && error == ORBIT_OK; i++) {
        error = access_do(txn, &flight->work.accesses[i]);
    }
    return error;
}

static struct orbit_run_options
near(const struct flight *flight)
{
    return (struct orbit_run_options){.key = flight->work.accesses[0].key,
                                      .key_size = strlen(flight->work.accesses[0].key)};
}

static bool
session_run(void *arg, const struct txn_work *work, uint64_t *conflicts)
{
    struct session *session = arg;
    struct orbit_run_options options;
    bool is_fine;

    session->one.work = *work;
    session->one.runs = 0;
    options = near(&session->one);
    is_fine = check(orbit_txn_run(session->db->orbit, &options, work_do, &session->one, NULL),
                    "transaction");
    *conflicts += session->one.runs - 1;
    return is_fine;
}

/* By the client: each call a message. */
static bool
session_run_steps(void *arg, const struct txn_work *work, uint64_t *conflicts)
{
    struct session *session = arg;
    int error;

    session->one.work = *work;
    for (;;) {
        struct orbit_txn *txn;

        if (!check(orbit_txn_begin(session->db->orbit, NULL, &txn), "begin")) {
            return false;
        }
        error = work_do(txn, &session->one);
        if (error == ORBIT_OK) {
            error = orbit_txn_commit(txn, NULL);
        }
        orbit_txn_free(&txn);
        if (error != ORBIT_SERIALIZATION && error != ORBIT_DEADLOCK) {
            return check(error, "transaction");
        }
        ++*conflicts;
    }
}

static bool
session_get(void *arg, const char *key, uint64_t *number_out)
{
    struct session *session = arg;
    void *value;
    size_t size;

    if (!check(orbit_get(session->db->orbit, key, strlen(key), &value, &size), "get")) {
        return false;
    }
    *number_out = txn_number(value);
    orbit_free(value);
    return true;
}

/* ---- Many from one thread. ---- */

static void
flight_landed(struct orbit_op *op)
{
    struct flight *flight = (struct flight *)op;
    struct session *session = flight->session;

    session->is_failed = session->is_failed || !check(op->error, "transaction");
    session->conflicts += flight->runs - 1;
    session->landed[(session->landed_from + session->landed_used++) % session->db->depth] =
        flight->tag;
}

static bool
session_start(void *arg, uint32_t tag, const struct txn_work *work)
{
    struct session *session = arg;
    struct flight *flight = &session->flights[tag];
    struct orbit_run_options options;

    flight->op.done = flight_landed;
    flight->session = session;
    flight->tag = tag;
    flight->runs = 0;
    flight->work = *work;
    options = near(flight);
    return check(orbit_txn_run_start(session->db->orbit, &flight->op, &options, work_do, flight),
                 "start");
}

static bool
session_wait(void *arg, uint32_t *tag_out, uint64_t *conflicts)
{
    struct session *session = arg;

    while (session->landed_used == 0) {
        (void)orbit_wait(session->db->orbit, WAIT_US);
    }
    *tag_out = session->landed[session->landed_from];
    session->landed_from = (session->landed_from + 1) % session->db->depth;
    session->landed_used--;
    *conflicts += session->conflicts;
    session->conflicts = 0;
    return !session->is_failed;
}

/* ---- Snapshots. ---- */

static bool
database_hold(void *arg, void **snapshot_out)
{
    struct database *db = arg;
    struct orbit_snapshot *snapshot = NULL;
    bool is_fine = check(orbit_snapshot_new(db->orbit, &snapshot), "snapshot");

    *snapshot_out = snapshot;
    return is_fine;
}

static void
snapshot_let_go(void *arg)
{
    struct orbit_snapshot *snapshot = arg;

    orbit_snapshot_free(&snapshot);
}

const struct txn_engine txn_orbit = {
    .name = "orbit",
    .open = database_open_threads,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .load = session_load,
    .run = session_run,
    .get = session_get,
    .hold = database_hold,
    .let_go = snapshot_let_go,
};

const struct txn_engine txn_orbit_session = {
    .name = "orbit-session",
    .open = database_open_threads,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .load = session_load,
    .run = session_run_steps,
    .get = session_get,
};

const struct txn_engine txn_orbit_inline = {
    .name = "orbit-inline",
    .is_async = true,
    .open = database_open_inline,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .load = session_load,
    .run = session_run,
    .get = session_get,
    .start = session_start,
    .wait = session_wait,
    .hold = database_hold,
    .let_go = snapshot_let_go,
};
