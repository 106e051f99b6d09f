/* perf/bench/engine_lmdb.c - LMDB. Fills commit a thousand puts at a time, all else one; a session
 * keeps one reader and renews it for each read, as its manual advises. */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/assert.h"
#include "perf/bench/bench.h"

enum { FILL_BATCH = 1000, READERS_MAX = 512 };
#define MAP_BYTES_MIN ((uint64_t)1 << 30)

struct database {
    MDB_env *env;
    MDB_dbi dbi;
};

struct session {
    struct database *db;
    MDB_txn *reader; /* Reset between reads. */
    MDB_txn *writer; /* Between begin and commit. */
    MDB_cursor *cursor;
    bool has_cursor; /* It is placed, and the reader is live. */
    bool is_at_end;
    MDB_val key, value; /* Where the cursor stands. */
};

static bool
check(int error, const char *what)
{
    if (error != MDB_SUCCESS) {
        fprintf(stderr, "lmdb: %s: %s\n", what, mdb_strerror(error));
    }
    return error == MDB_SUCCESS;
}

static MDB_val
val_of(struct bench_slice slice)
{
    return (MDB_val){slice.size, (void *)(uintptr_t)slice.data};
}

static bool
database_open(const struct bench_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    unsigned flags = MDB_NORDAHEAD | (options->is_sync ? 0 : MDB_NOSYNC);
    MDB_txn *txn;

    ASSERT(db != NULL);
    mkdir(options->dir, 0750);
    if (!check(mdb_env_create(&db->env), "create") ||
        !check(mdb_env_set_mapsize(db->env, MAP_BYTES_MIN + options->data_bytes * 4), "map") ||
        !check(mdb_env_set_maxreaders(db->env, READERS_MAX), "readers") ||
        !check(mdb_env_open(db->env, options->dir, flags, 0640), "open") ||
        !check(mdb_txn_begin(db->env, NULL, 0, &txn), "begin") ||
        !check(mdb_dbi_open(txn, NULL, 0, &db->dbi), "open") ||
        !check(mdb_txn_commit(txn), "commit")) {
        return false;
    }
    *db_out = db;
    return true;
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    mdb_env_sync(db->env, 1);
    mdb_env_close(db->env);
    free(db);
}

static bool
session_open(void *db, void **session_out)
{
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    session->db = db;
    *session_out = session;
    if (!check(mdb_txn_begin(session->db->env, NULL, MDB_RDONLY, &session->reader), "begin") ||
        !check(mdb_cursor_open(session->reader, session->db->dbi, &session->cursor), "cursor")) {
        return false;
    }
    mdb_txn_reset(session->reader);
    return true;
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    mdb_cursor_close(session->cursor);
    mdb_txn_abort(session->reader);
    free(session);
}

/* ---- Writing. ---- */

static bool
session_begin(void *arg)
{
    struct session *session = arg;

    return check(mdb_txn_begin(session->db->env, NULL, 0, &session->writer), "begin");
}

static bool
session_commit(void *arg)
{
    struct session *session = arg;
    MDB_txn *writer = session->writer;

    session->writer = NULL;
    return check(mdb_txn_commit(writer), "commit");
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    bool is_alone = session->writer == NULL;
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);

    return (!is_alone || session_begin(session)) &&
           check(mdb_put(session->writer, session->db->dbi, &k, &v, 0), "put") &&
           (!is_alone || session_commit(session));
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    MDB_val k = val_of(key);
    int error;

    if (!session_begin(session)) {
        return false;
    }
    error = mdb_del(session->writer, session->db->dbi, &k, NULL);
    return (error == MDB_NOTFOUND || check(error, "delete")) && session_commit(session);
}

/* Sorted rows are appended, between begin and commit. */
static bool
session_ingest_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    MDB_val k = val_of(key);
    MDB_val v = val_of(value);

    return check(mdb_put(session->writer, session->db->dbi, &k, &v, MDB_APPEND), "append");
}

/* ---- Reading. ---- */

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    struct session *session = arg;
    MDB_val k = val_of(key);
    MDB_val v;
    int error = session->has_cursor ? MDB_SUCCESS : mdb_txn_renew(session->reader);

    if (!check(error, "renew")) {
        return false;
    }
    error = mdb_get(session->reader, session->db->dbi, &k, &v);
    if (error == MDB_SUCCESS) {
        bench_value_set(value_out, v.mv_data, v.mv_size);
    }
    if (!session->has_cursor) {
        mdb_txn_reset(session->reader);
    }
    return error == MDB_NOTFOUND || check(error, "get");
}

static void
session_unseek(void *arg)
{
    struct session *session = arg;

    if (session->has_cursor) {
        mdb_txn_reset(session->reader);
        session->has_cursor = false;
    }
}

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    int error;

    session_unseek(session);
    if (!check(mdb_txn_renew(session->reader), "renew") ||
        !check(mdb_cursor_renew(session->reader, session->cursor), "renew")) {
        return false;
    }
    session->has_cursor = true;
    session->key = val_of(key);
    error = mdb_cursor_get(session->cursor, &session->key, &session->value,
                           key.size > 0 ? MDB_SET_RANGE : MDB_FIRST);
    session->is_at_end = error == MDB_NOTFOUND;
    return session->is_at_end || check(error, "seek");
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    int error = MDB_SUCCESS;

    for (uint64_t seen = 0; seen < count && !session->is_at_end && error == MDB_SUCCESS;) {
        bench_rows_add(rows, session->key.mv_data, session->key.mv_size, session->value.mv_data,
                       session->value.mv_size);
        if (++seen == count) {
            bench_rows_last(rows, session->key.mv_data, session->key.mv_size);
        }
        error = mdb_cursor_get(session->cursor, &session->key, &session->value, MDB_NEXT);
        session->is_at_end = error == MDB_NOTFOUND;
    }
    return session->is_at_end || check(error, "next");
}

static bool
database_flush(void *arg)
{
    struct database *db = arg;

    return check(mdb_env_sync(db->env, 1), "sync");
}

const struct bench_engine bench_lmdb = {
    .name = "lmdb",
    .fill_batch = FILL_BATCH,
    .open = database_open,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .put = session_put,
    .remove = session_remove,
    .get = session_get,
    .seek = session_seek,
    .next = session_next,
    .unseek = session_unseek,
    .begin = session_begin,
    .commit = session_commit,
    .ingest_put = session_ingest_put,
    .flush = database_flush,
};
