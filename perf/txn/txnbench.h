/* perf/txn/txnbench.h - engines as orbit-txn-bench sees them: maps with transactions.
 *
 * A transaction reads the value of each key it names, adds one to the number at its beginning, and
 * writes it back; or writes a key without reading it. An engine repeats it after a conflict until
 * it is committed, and counts the repetitions. A database is opened once; each client thread has a
 * session of its own. Functions that return bool return false after printing what went wrong. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TXN_KEYS_MAX = 8, TXN_KEY_BYTES = 32, TXN_VALUE_BYTES = 100, TXN_DEPTH_MAX = 256 };

struct txn_access {
    char key[TXN_KEY_BYTES];
    bool is_insert; /* Written without having been read. */
};

struct txn_work {
    struct txn_access accesses[TXN_KEYS_MAX];
    uint32_t count;
};

struct txn_engine_options {
    const char *dir;
    uint64_t cache_bytes;
    uint32_t shards;
    uint32_t clients;
    bool is_sync; /* A commit returns when it is on stable storage. */
};

struct txn_engine {
    const char *name;
    bool is_async; /* One thread with all clients' transactions under way: start and wait. */

    bool (*open)(const struct txn_engine_options *options, void **db_out);
    void (*close)(void *db);
    bool (*session_open)(void *db, void **session_out);
    void (*session_close)(void *session);
    /* Puts a value of TXN_VALUE_BYTES zeros under each key, without waiting for the disk where
     * that can be chosen. */
    bool (*load)(void *session, const struct txn_access *keys, uint32_t count);
    bool (*run)(void *session, const struct txn_work *work, uint64_t *conflicts);
    bool (*get)(void *session, const char *key, uint64_t *number_out); /* Committed. */

    bool (*start)(void *session, uint32_t tag, const struct txn_work *work);
    bool (*wait)(void *session, uint32_t *tag_out, uint64_t *conflicts);

    /* A snapshot of now, held until it is let go. NULL: not measured. */
    bool (*hold)(void *db, void **snapshot_out);
    void (*let_go)(void *snapshot);
};

/* The number at the beginning of a value, little-endian. */
static inline uint64_t
txn_number(const void *value)
{
    uint64_t number;

    __builtin_memcpy(&number, value, sizeof(number));
    return number;
}

extern const struct txn_engine txn_orbit, txn_orbit_inline, txn_orbit_session, txn_nothing;
extern const struct txn_engine txn_rocksdb_optimistic, txn_rocksdb_pessimistic, txn_wiredtiger;
/* NULL-terminated; those that this build has. */
extern const struct txn_engine *const txn_engines[];
