/* perf/bench/bench.h - an engine as orbit-bench sees it: an ordered map with sessions.
 *
 * A database is opened once in a process; each client thread has a session of its own, made and
 * used by that thread only. What the peers are set to: perf/README.md. Every function that returns
 * bool returns false after printing what went wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_engine_options {
    const char *dir;
    uint64_t cache_bytes; /* Of blocks or pages; memtables come on top. */
    uint64_t data_bytes;  /* At most this much will be stored: keys and values. */
    uint32_t threads;     /* Client threads, a writer in the background included. */
    uint32_t shards;      /* Orbit, when there are several threads. */
    uint64_t index_bytes; /* Orbit: for indexes and filters; 0: its own choice. */
    uint32_t block_bytes; /* Orbit: the same. */
    bool no_compression;  /* Orbit. */
    uint32_t depth;       /* orbit-async: operations outstanding at a time. */
    bool is_sync;         /* Every write durable before it returns. */
    bool is_direct;       /* No page cache, where the engine has a choice. */
};

/* What a read came to. The sum makes sure that the bytes were looked at. */
struct bench_value {
    bool is_found;
    size_t size;
    uint64_t mark; /* The first eight bytes, or less. */
};

struct bench_rows {
    uint64_t count;
    uint64_t bytes;
    uint64_t sum;
    uint8_t last[256]; /* The last key of the last call that took a row. */
    size_t last_size;
};

struct bench_slice {
    const void *data;
    size_t size;
};

struct bench_engine {
    const char *name;
    const char *folder;  /* Its data are those of the engine of that name; NULL: its own. */
    uint32_t fill_batch; /* Puts between begin and commit in a fill that is not synced; 0: none. */
    bool is_async;       /* Has start_* and wait in place of put and get. */

    bool (*open)(const struct bench_engine_options *options, void **db_out);
    void (*close)(void *db);
    bool (*session_open)(void *db, void **session_out);
    void (*session_close)(void *session);

    bool (*put)(void *session, struct bench_slice key, struct bench_slice value);
    bool (*remove)(void *session, struct bench_slice key);
    bool (*get)(void *session, struct bench_slice key, struct bench_value *value_out);
    /* NULL: one get after the other. */
    bool (*multi_get)(void *session, const struct bench_slice *keys, uint32_t count,
                      struct bench_value *values_out);
    /* One cursor a session: at the first key at or above `key`; an empty key: at the first of all.
     * It shows what was committed when it was placed, until unseek. NULL: it has none. */
    bool (*seek)(void *session, struct bench_slice key);
    /* Takes up to `count` rows and adds them to *rows; fewer only at the end. */
    bool (*next)(void *session, uint64_t count, struct bench_rows *rows);
    void (*unseek)(void *session);
    /* As next, by batches; NULL: there is no such thing. */
    bool (*batch_next)(void *session, uint64_t count, struct bench_rows *rows);

    bool (*begin)(void *session); /* NULL unless fill_batch > 0. */
    bool (*commit)(void *session);
    /* Sorted rows into an empty database. put NULL: plain puts in order; begin and end NULL: only
     * what fill_batch asks for stands around them. */
    bool (*ingest_begin)(void *session);
    bool (*ingest_put)(void *session, struct bench_slice key, struct bench_slice value);
    bool (*ingest_end)(void *session);

    /* Asynchronous engines: `tag` (below options.depth) comes back from wait. The key and value
     * may be changed once start has returned. */
    bool (*start_put)(void *session, uint32_t tag, struct bench_slice key,
                      struct bench_slice value);
    bool (*start_get)(void *session, uint32_t tag, struct bench_slice key);
    bool (*wait)(void *session, uint32_t *tag_out, struct bench_value *value_out);

    /* Hand all writes to the operating system or the disk; NULL: nothing to do. */
    bool (*flush)(void *db);
    /* Called while waiting for background work: lets it advance, and tells if it could go on at
     * once. NULL: it has its own threads. */
    bool (*idle)(void *db);
    bool (*compact)(void *db); /* NULL: there is no such thing. */
};

static inline struct bench_slice
bench_slice_of(const void *data, size_t size)
{
    return (struct bench_slice){data, size};
}

static inline void
bench_value_set(struct bench_value *value, const void *data, size_t size)
{
    value->is_found = true;
    value->size = size;
    value->mark = 0;
    __builtin_memcpy(&value->mark, data, size < 8 ? size : 8);
}

/* At the end of a call: the key of the last row it took. */
static inline void
bench_rows_last(struct bench_rows *rows, const void *key, size_t key_size)
{
    rows->last_size = key_size < sizeof(rows->last) ? key_size : sizeof(rows->last);
    __builtin_memcpy(rows->last, key, rows->last_size);
}

/* A row that a scan passed: both ends of key and value are read. */
static inline void
bench_rows_add(struct bench_rows *rows, const void *key, size_t key_size, const void *value,
               size_t value_size)
{
    const uint8_t *k = key;
    const uint8_t *v = value;

    rows->count++;
    rows->bytes += key_size + value_size;
    rows->sum += k[0] + k[key_size - 1];
    rows->sum += value_size > 0 ? v[0] + v[value_size - 1] : 0;
}

extern const struct bench_engine bench_orbit, bench_orbit_async;
extern const struct bench_engine bench_rocksdb, bench_rocksdb_tuned;
extern const struct bench_engine bench_leveldb, bench_leveldb_tuned;
extern const struct bench_engine bench_lmdb, bench_wiredtiger, bench_sqlite;
/* NULL-terminated; those that this build has, Orbit first. */
extern const struct bench_engine *const bench_engines[];
/* NULL when this build has none of that name. */
const struct bench_engine *bench_engine_find(const char *name);
