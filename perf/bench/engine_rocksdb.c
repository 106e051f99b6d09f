/* perf/bench/engine_rocksdb.c - RocksDB through its C API, once as it comes (with lz4) and once
 * tuned: 10-bit filters, direct reads and compaction. perf/README.md says what was chosen. */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "perf/bench/bench.h"

enum { INGEST_FILE_ROWS = 500000, INGEST_FILES_MAX = 4096, MULTI_GET_MAX = 1024 };

struct database {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *tables;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    char dir[4096];
};

struct session {
    struct database *db;
    rocksdb_iterator_t *iterator;
    /* Of a multi-get. */
    const char *keys[MULTI_GET_MAX];
    size_t key_sizes[MULTI_GET_MAX];
    char *values[MULTI_GET_MAX];
    size_t value_sizes[MULTI_GET_MAX];
    char *errors[MULTI_GET_MAX];
    /* Of an ingest. */
    rocksdb_envoptions_t *env;
    rocksdb_sstfilewriter_t *writer;
    uint64_t rows; /* In the writer's file. */
    char *files[INGEST_FILES_MAX];
    size_t file_count;
};

static bool
check(char *error, const char *what)
{
    if (error == NULL) {
        return true;
    }
    fprintf(stderr, "rocksdb: %s: %s\n", what, error);
    rocksdb_free(error);
    return false;
}

static void
database_tune(struct database *db, bool is_tuned, bool is_direct)
{
    if (is_tuned) {
        rocksdb_block_based_options_set_filter_policy(db->tables,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_options_set_level_compaction_dynamic_level_bytes(db->options, 1);
    }
    if (is_tuned || is_direct) {
        rocksdb_options_set_use_direct_reads(db->options, 1);
        rocksdb_options_set_use_direct_io_for_flush_and_compaction(db->options, 1);
    }
}

static bool
database_open(const struct bench_engine_options *options, bool is_tuned, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    char *error = NULL;

    ASSERT(db != NULL);
    snprintf(db->dir, sizeof(db->dir), "%s", options->dir);
    db->options = rocksdb_options_create();
    db->tables = rocksdb_block_based_options_create();
    db->cache = rocksdb_cache_create_lru(options->cache_bytes);
    db->read = rocksdb_readoptions_create();
    db->write = rocksdb_writeoptions_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_compression(db->options, rocksdb_lz4_compression);
    rocksdb_block_based_options_set_block_cache(db->tables, db->cache);
    database_tune(db, is_tuned, options->is_direct);
    rocksdb_options_set_block_based_table_factory(db->options, db->tables);
    rocksdb_writeoptions_set_sync(db->write, options->is_sync);
    db->db = rocksdb_open(db->options, options->dir, &error);
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

    rocksdb_close(db->db);
    rocksdb_writeoptions_destroy(db->write);
    rocksdb_readoptions_destroy(db->read);
    rocksdb_options_destroy(db->options);
    rocksdb_block_based_options_destroy(db->tables);
    rocksdb_cache_destroy(db->cache);
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
        rocksdb_iter_destroy(session->iterator);
        session->iterator = NULL;
    }
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    session_unseek(session);
    free(session);
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    char *error = NULL;

    rocksdb_put(session->db->db, session->db->write, key.data, key.size, value.data, value.size,
                &error);
    return check(error, "put");
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    char *error = NULL;

    rocksdb_delete(session->db->db, session->db->write, key.data, key.size, &error);
    return check(error, "delete");
}

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    struct session *session = arg;
    char *error = NULL;
    size_t size;
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned(session->db->db, session->db->read, key.data, key.size, &error);
    const char *value = pinned != NULL ? rocksdb_pinnableslice_value(pinned, &size) : NULL;

    if (value != NULL) {
        bench_value_set(value_out, value, size);
    }
    rocksdb_pinnableslice_destroy(pinned);
    return check(error, "get");
}

static bool
session_multi_get(void *arg, const struct bench_slice *keys, uint32_t count,
                  struct bench_value *values_out)
{
    struct session *session = arg;
    bool is_fine = true;

    ASSERT(count <= MULTI_GET_MAX);
    for (uint32_t i = 0; i < count; i++) {
        session->keys[i] = keys[i].data;
        session->key_sizes[i] = keys[i].size;
    }
    rocksdb_multi_get(session->db->db, session->db->read, count, session->keys, session->key_sizes,
                      session->values, session->value_sizes, session->errors);
    for (uint32_t i = 0; i < count; i++) {
        is_fine = check(session->errors[i], "multi get") && is_fine;
        if (session->values[i] != NULL) {
            bench_value_set(&values_out[i], session->values[i], session->value_sizes[i]);
            rocksdb_free(session->values[i]);
        }
    }
    return is_fine;
}

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;

    session_unseek(session);
    session->iterator = rocksdb_create_iterator(session->db->db, session->db->read);
    rocksdb_iter_seek(session->iterator, key.data, key.size);
    return true;
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    rocksdb_iterator_t *iterator = session->iterator;
    char *error = NULL;
    uint64_t seen = 0;

    for (; seen < count && rocksdb_iter_valid(iterator); rocksdb_iter_next(iterator)) {
        size_t key_size, value_size;
        const char *key = rocksdb_iter_key(iterator, &key_size);
        const char *value = rocksdb_iter_value(iterator, &value_size);

        bench_rows_add(rows, key, key_size, value, value_size);
        if (++seen == count) {
            bench_rows_last(rows, key, key_size);
        }
    }
    rocksdb_iter_get_error(iterator, &error);
    return check(error, "scan");
}

/* ---- Bulk: sorted files, taken in at the end. ---- */

static bool
ingest_file_new(struct session *session)
{
    char *error = NULL;
    char name[4200];

    ASSERT(session->file_count < INGEST_FILES_MAX);
    snprintf(name, sizeof(name), "%s/ingest-%zu.tmp", session->db->dir, session->file_count);
    session->files[session->file_count++] = strdup(name);
    session->rows = 0;
    rocksdb_sstfilewriter_open(session->writer, name, &error);
    return check(error, "ingest");
}

static bool
ingest_file_end(struct session *session)
{
    char *error = NULL;

    rocksdb_sstfilewriter_finish(session->writer, &error);
    return check(error, "ingest");
}

static bool
session_ingest_begin(void *arg)
{
    struct session *session = arg;

    session->env = rocksdb_envoptions_create();
    session->writer = rocksdb_sstfilewriter_create(session->env, session->db->options);
    return ingest_file_new(session);
}

static bool
session_ingest_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    char *error = NULL;

    if (++session->rows > INGEST_FILE_ROWS &&
        !(ingest_file_end(session) && ingest_file_new(session))) {
        return false;
    }
    rocksdb_sstfilewriter_put(session->writer, key.data, key.size, value.data, value.size, &error);
    return check(error, "ingest");
}

static bool
session_ingest_end(void *arg)
{
    struct session *session = arg;
    rocksdb_ingestexternalfileoptions_t *options = rocksdb_ingestexternalfileoptions_create();
    char *error = NULL;
    bool is_fine = ingest_file_end(session);

    rocksdb_ingestexternalfileoptions_set_move_files(options, 1);
    if (is_fine) {
        rocksdb_ingest_external_file(session->db->db, (const char *const *)session->files,
                                     session->file_count, options, &error);
        is_fine = check(error, "ingest");
    }
    rocksdb_ingestexternalfileoptions_destroy(options);
    rocksdb_sstfilewriter_destroy(session->writer);
    rocksdb_envoptions_destroy(session->env);
    for (size_t i = 0; i < session->file_count; i++) {
        free(session->files[i]);
    }
    session->file_count = 0;
    return is_fine;
}

static bool
database_flush(void *arg)
{
    struct database *db = arg;
    char *error = NULL;

    rocksdb_flush_wal(db->db, 1, &error);
    return check(error, "flush of the log");
}

static bool
database_compact(void *arg)
{
    struct database *db = arg;

    rocksdb_compact_range(db->db, NULL, 0, NULL, 0);
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
        .multi_get = session_multi_get,                                                            \
        .seek = session_seek,                                                                      \
        .next = session_next,                                                                      \
        .unseek = session_unseek,                                                                  \
        .ingest_begin = session_ingest_begin,                                                      \
        .ingest_put = session_ingest_put,                                                          \
        .ingest_end = session_ingest_end,                                                          \
        .flush = database_flush,                                                                   \
        .compact = database_compact,                                                               \
    }

ENGINE(bench_rocksdb, "rocksdb", database_open_plain);
ENGINE(bench_rocksdb_tuned, "rocksdb-tuned", database_open_tuned);
