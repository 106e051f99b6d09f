/* perf/bench/engine_rocksdb.c - RocksDB through its C API, once as it comes (with lz4) and once
 * tuned: 10-bit filters, direct reads and compaction. perf/README.md says what was chosen. */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>

#include "perf/bench/bench.h"

struct rocksdb_engine {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *tables;
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
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

static bool
engine_open(const struct bench_engine_options *options, bool is_tuned, void **db_out)
{
    struct rocksdb_engine *engine = calloc(1, sizeof(*engine));
    char *error = NULL;

    if (engine == NULL) {
        return false;
    }
    engine->options = rocksdb_options_create();
    engine->tables = rocksdb_block_based_options_create();
    engine->cache = rocksdb_cache_create_lru(options->cache_bytes);
    engine->read = rocksdb_readoptions_create();
    engine->write = rocksdb_writeoptions_create();
    rocksdb_options_set_create_if_missing(engine->options, 1);
    rocksdb_options_set_compression(engine->options, rocksdb_lz4_compression);
    rocksdb_block_based_options_set_block_cache(engine->tables, engine->cache);
    if (is_tuned) {
        rocksdb_block_based_options_set_filter_policy(engine->tables,
                                                      rocksdb_filterpolicy_create_bloom_full(10));
        rocksdb_options_set_use_direct_reads(engine->options, 1);
        rocksdb_options_set_use_direct_io_for_flush_and_compaction(engine->options, 1);
        rocksdb_options_set_level_compaction_dynamic_level_bytes(engine->options, 1);
    }
    rocksdb_options_set_block_based_table_factory(engine->options, engine->tables);
    rocksdb_writeoptions_set_sync(engine->write, options->sync);
    engine->db = rocksdb_open(engine->options, options->dir, &error);
    *db_out = engine;
    return check(error, "open");
}

static bool
engine_open_plain(const struct bench_engine_options *options, void **db_out)
{
    return engine_open(options, false, db_out);
}

static bool
engine_open_tuned(const struct bench_engine_options *options, void **db_out)
{
    return engine_open(options, true, db_out);
}

static void
engine_close(void *db)
{
    struct rocksdb_engine *engine = db;

    rocksdb_close(engine->db);
    rocksdb_writeoptions_destroy(engine->write);
    rocksdb_readoptions_destroy(engine->read);
    rocksdb_options_destroy(engine->options);
    rocksdb_block_based_options_destroy(engine->tables);
    rocksdb_cache_destroy(engine->cache);
    free(engine);
}

static bool
engine_put(void *db, const void *key, size_t key_size, const void *value, size_t value_size)
{
    struct rocksdb_engine *engine = db;
    char *error = NULL;

    rocksdb_put(engine->db, engine->write, key, key_size, value, value_size, &error);
    return check(error, "put");
}

static bool
engine_delete(void *db, const void *key, size_t key_size)
{
    struct rocksdb_engine *engine = db;
    char *error = NULL;

    rocksdb_delete(engine->db, engine->write, key, key_size, &error);
    return check(error, "delete");
}

static bool
engine_get(void *db, const void *key, size_t key_size, bool *found_out, size_t *size_out)
{
    struct rocksdb_engine *engine = db;
    char *error = NULL;
    char *value = rocksdb_get(engine->db, engine->read, key, key_size, size_out, &error);

    *found_out = value != NULL;
    rocksdb_free(value);
    return check(error, "get");
}

static bool
engine_scan(void *db, const void *key, size_t key_size, uint64_t count, uint64_t *seen_out)
{
    struct rocksdb_engine *engine = db;
    rocksdb_iterator_t *iterator = rocksdb_create_iterator(engine->db, engine->read);
    char *error = NULL;
    uint64_t seen = 0;

    for (rocksdb_iter_seek(iterator, key, key_size); rocksdb_iter_valid(iterator) && seen < count;
         rocksdb_iter_next(iterator)) {
        size_t size;

        (void)rocksdb_iter_key(iterator, &size);
        (void)rocksdb_iter_value(iterator, &size);
        seen++;
    }
    rocksdb_iter_get_error(iterator, &error);
    rocksdb_iter_destroy(iterator);
    *seen_out = seen;
    return check(error, "scan");
}

#define ENGINE(symbol, text, open_function)                                                        \
    const struct bench_engine symbol = {                                                           \
        .name = text,                                                                              \
        .open = open_function,                                                                     \
        .close = engine_close,                                                                     \
        .put = engine_put,                                                                         \
        .delete = engine_delete,                                                                   \
        .get = engine_get,                                                                         \
        .scan = engine_scan,                                                                       \
    }

ENGINE(bench_rocksdb, "rocksdb", engine_open_plain);
ENGINE(bench_rocksdb_tuned, "rocksdb-tuned", engine_open_tuned);
