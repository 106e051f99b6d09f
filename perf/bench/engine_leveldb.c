/* perf/bench/engine_leveldb.c - LevelDB through its C API, with snappy, once as it comes and once
 * with 10-bit filters and RocksDB's size of write buffer. */
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "perf/bench/bench.h"

enum { TUNED_WRITE_BUFFER_BYTES = 64 << 20 };

struct database {
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_readoptions_t *read;
    leveldb_writeoptions_t *write;
};

struct session {
    struct database *db;
    leveldb_iterator_t *iterator;
};

static bool
check(char *error, const char *what)
{
    if (error == NULL) {
        return true;
    }
    fprintf(stderr, "leveldb: %s: %s\n", what, error);
    leveldb_free(error);
    return false;
}

static bool
database_open(const struct bench_engine_options *options, bool is_tuned, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    char *error = NULL;

    ASSERT(db != NULL);
    db->options = leveldb_options_create();
    db->cache = leveldb_cache_create_lru(options->cache_bytes);
    db->read = leveldb_readoptions_create();
    db->write = leveldb_writeoptions_create();
    leveldb_options_set_create_if_missing(db->options, 1);
    leveldb_options_set_compression(db->options, leveldb_snappy_compression);
    leveldb_options_set_cache(db->options, db->cache);
    if (is_tuned) {
        db->filter = leveldb_filterpolicy_create_bloom(10);
        leveldb_options_set_filter_policy(db->options, db->filter);
        leveldb_options_set_write_buffer_size(db->options, TUNED_WRITE_BUFFER_BYTES);
    }
    leveldb_writeoptions_set_sync(db->write, options->is_sync);
    db->db = leveldb_open(db->options, options->dir, &error);
    *db_out = db;
    return check(error, "open");
}

static bool
database_open_plain(const struct bench_engine_options *options, void **db_out)
{
    return database_open(options, false, db_out);
}

static bool
database_open_tuned(const struct bench_engine_options *options, void **db_out)
{
    return database_open(options, true, db_out);
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    leveldb_close(db->db);
    leveldb_writeoptions_destroy(db->write);
    leveldb_readoptions_destroy(db->read);
    leveldb_options_destroy(db->options);
    leveldb_cache_destroy(db->cache);
    if (db->filter != NULL) {
        leveldb_filterpolicy_destroy(db->filter);
    }
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
session_unseek(void *arg)
{
    struct session *session = arg;

    if (session->iterator != NULL) {
        leveldb_iter_destroy(session->iterator);
        session->iterator = NULL;
    }
}

static void
session_close(void *arg)
{
    session_unseek(arg);
    free(arg);
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    char *error = NULL;

    leveldb_put(session->db->db, session->db->write, key.data, key.size, value.data, value.size,
                &error);
    return check(error, "put");
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    char *error = NULL;

    leveldb_delete(session->db->db, session->db->write, key.data, key.size, &error);
    return check(error, "delete");
}

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    struct session *session = arg;
    char *error = NULL;
    size_t size;
    char *value =
        leveldb_get(session->db->db, session->db->read, key.data, key.size, &size, &error);

    if (value != NULL) {
        bench_value_set(value_out, value, size);
        leveldb_free(value);
    }
    return check(error, "get");
}

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;

    session_unseek(session);
    session->iterator = leveldb_create_iterator(session->db->db, session->db->read);
    leveldb_iter_seek(session->iterator, key.data, key.size);
    return true;
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    leveldb_iterator_t *iterator = session->iterator;
    char *error = NULL;
    uint64_t seen = 0;

    for (; seen < count && leveldb_iter_valid(iterator); leveldb_iter_next(iterator)) {
        size_t key_size, value_size;
        const char *key = leveldb_iter_key(iterator, &key_size);
        const char *value = leveldb_iter_value(iterator, &value_size);

        bench_rows_add(rows, key, key_size, value, value_size);
        if (++seen == count) {
            bench_rows_last(rows, key, key_size);
        }
    }
    leveldb_iter_get_error(iterator, &error);
    return check(error, "scan");
}

static bool
database_compact(void *arg)
{
    struct database *db = arg;

    leveldb_compact_range(db->db, NULL, 0, NULL, 0);
    return true;
}

#define ENGINE(symbol, text, open_function)                                                        \
    const struct bench_engine symbol = {                                                           \
        .name = text,                                                                              \
        .open = open_function,                                                                     \
        .close = database_close,                                                                   \
        .session_open = session_open,                                                              \
        .session_close = session_close,                                                            \
        .put = session_put,                                                                        \
        .remove = session_remove,                                                                  \
        .get = session_get,                                                                        \
        .seek = session_seek,                                                                      \
        .next = session_next,                                                                      \
        .unseek = session_unseek,                                                                  \
        .compact = database_compact,                                                               \
    }

ENGINE(bench_leveldb, "leveldb", database_open_plain);
ENGINE(bench_leveldb_tuned, "leveldb-tuned", database_open_tuned);
