/* perf/txn/engine_rocksdb.c - RocksDB's OptimisticTransactionDB and TransactionDB through its C
 * API, with lz4 and filters of 10 bits. What is read is read for update, so that both are as
 * strict as Orbit. */
#include <rocksdb/c.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "perf/txn/txnbench.h"

enum { LOAD_BATCH = 500, LOCK_TIMEOUT_MS = 10000 };

struct database {
    rocksdb_options_t *options;
    rocksdb_block_based_table_options_t *tables;
    rocksdb_cache_t *cache;
    rocksdb_writeoptions_t *write, *load;
    rocksdb_readoptions_t *read;
    /* One of the two. */
    rocksdb_optimistictransactiondb_t *optimistic;
    rocksdb_t *base; /* Of the optimistic one. */
    rocksdb_transactiondb_t *pessimistic;
    rocksdb_optimistictransaction_options_t *optimistic_options;
    rocksdb_transaction_options_t *pessimistic_options;
};

struct session {
    struct database *db;
    rocksdb_transaction_t *txn; /* Reused. */
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
database_configure(struct database *db, const struct txn_engine_options *options)
{
    db->options = rocksdb_options_create();
    db->tables = rocksdb_block_based_options_create();
    db->cache = rocksdb_cache_create_lru(options->cache_bytes);
    db->read = rocksdb_readoptions_create();
    db->write = rocksdb_writeoptions_create();
    db->load = rocksdb_writeoptions_create();
    rocksdb_options_set_create_if_missing(db->options, 1);
    rocksdb_options_set_compression(db->options, rocksdb_lz4_compression);
    rocksdb_block_based_options_set_block_cache(db->tables, db->cache);
    rocksdb_block_based_options_set_filter_policy(db->tables,
                                                  rocksdb_filterpolicy_create_bloom_full(10));
    rocksdb_options_set_block_based_table_factory(db->options, db->tables);
    rocksdb_writeoptions_set_sync(db->write, options->is_sync);
}

static bool
optimistic_open(const struct txn_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    char *error = NULL;

    ASSERT(db != NULL);
    database_configure(db, options);
    db->optimistic_options = rocksdb_optimistictransaction_options_create();
    db->optimistic = rocksdb_optimistictransactiondb_open(db->options, options->dir, &error);
    if (!check(error, "open")) {
        return false;
    }
    db->base = rocksdb_optimistictransactiondb_get_base_db(db->optimistic);
    *db_out = db;
    return true;
}

static bool
pessimistic_open(const struct txn_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    rocksdb_transactiondb_options_t *txn_options = rocksdb_transactiondb_options_create();
    char *error = NULL;

    ASSERT(db != NULL);
    database_configure(db, options);
    rocksdb_transactiondb_options_set_transaction_lock_timeout(txn_options, LOCK_TIMEOUT_MS);
    db->pessimistic_options = rocksdb_transaction_options_create();
    rocksdb_transaction_options_set_deadlock_detect(db->pessimistic_options, 1);
    db->pessimistic = rocksdb_transactiondb_open(db->options, txn_options, options->dir, &error);
    rocksdb_transactiondb_options_destroy(txn_options);
    *db_out = db;
    return check(error, "open");
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    if (db->optimistic != NULL) {
        rocksdb_optimistictransactiondb_close_base_db(db->base);
        rocksdb_optimistictransactiondb_close(db->optimistic);
        rocksdb_optimistictransaction_options_destroy(db->optimistic_options);
    } else {
        rocksdb_transactiondb_close(db->pessimistic);
        rocksdb_transaction_options_destroy(db->pessimistic_options);
    }
    rocksdb_writeoptions_destroy(db->write);
    rocksdb_writeoptions_destroy(db->load);
    rocksdb_readoptions_destroy(db->read);
    rocksdb_block_based_options_destroy(db->tables);
    rocksdb_options_destroy(db->options);
    rocksdb_cache_destroy(db->cache);
    free(db);
}

static bool
session_open(void *arg, void **session_out)
{
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    session->db = arg;
    *session_out = session;
    return true;
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    if (session->txn != NULL) {
        rocksdb_transaction_destroy(session->txn);
    }
    free(session);
}

static bool
session_load(void *arg, const struct txn_access *keys, uint32_t count)
{
    static const char value[TXN_VALUE_BYTES];
    struct database *db = ((struct session *)arg)->db;
    rocksdb_writebatch_t *batch = rocksdb_writebatch_create();
    char *error = NULL;

    for (uint32_t i = 0; i < count && error == NULL; i++) {
        rocksdb_writebatch_put(batch, keys[i].key, strlen(keys[i].key), value, sizeof(value));
        if ((i + 1) % LOAD_BATCH == 0 || i + 1 == count) {
            if (db->optimistic != NULL) {
                rocksdb_write(db->base, db->load, batch, &error);
            } else {
                rocksdb_transactiondb_write(db->pessimistic, db->load, batch, &error);
            }
            rocksdb_writebatch_clear(batch);
        }
    }
    rocksdb_writebatch_destroy(batch);
    return check(error, "load");
}

static void
txn_begin(struct session *session)
{
    struct database *db = session->db;

    session->txn = db->optimistic != NULL
                       ? rocksdb_optimistictransaction_begin(db->optimistic, db->write,
                                                             db->optimistic_options, session->txn)
                       : rocksdb_transaction_begin(db->pessimistic, db->write,
                                                   db->pessimistic_options, session->txn);
}

/* The error, NULL: none. */
static char *
access_do(struct session *session, const struct txn_access *access)
{
    char value[TXN_VALUE_BYTES] = {0};
    size_t key_size = strlen(access->key);
    char *error = NULL;
    uint64_t number;

    if (!access->is_insert) {
        size_t size = 0;
        char *found = rocksdb_transaction_get_for_update(session->txn, session->db->read,
                                                         access->key, key_size, &size, 1, &error);

        if (error != NULL) {
            return error;
        }
        if (found != NULL) {
            memcpy(value, found, MIN(size, sizeof(value)));
            rocksdb_free(found);
        }
        number = txn_number(value) + 1;
        memcpy(value, &number, sizeof(number));
    }
    rocksdb_transaction_put(session->txn, access->key, key_size, value, sizeof(value), &error);
    return error;
}

/* Another transaction was in the way: run it again. */
static bool
is_conflict(const char *error)
{
    return strstr(error, "busy") != NULL || strstr(error, "Deadlock") != NULL ||
           strstr(error, "timed out") != NULL || strstr(error, "TryAgain") != NULL ||
           strstr(error, "Try again") != NULL;
}

static bool
session_run(void *arg, const struct txn_work *work, uint64_t *conflicts)
{
    struct session *session = arg;

    for (;;) {
        char *error = NULL;
        char *ignored = NULL;

        txn_begin(session);
        for (uint32_t i = 0; i < work->count && error == NULL; i++) {
            error = access_do(session, &work->accesses[i]);
        }
        if (error == NULL) {
            rocksdb_transaction_commit(session->txn, &error);
        }
        if (error == NULL) {
            return true;
        }
        rocksdb_transaction_rollback(session->txn, &ignored);
        rocksdb_free(ignored);
        if (!is_conflict(error)) {
            return check(error, "transaction");
        }
        rocksdb_free(error);
        ++*conflicts;
        (void)sched_yield();
    }
}

static bool
session_get(void *arg, const char *key, uint64_t *number_out)
{
    struct database *db = ((struct session *)arg)->db;
    char *error = NULL;
    size_t size = 0;
    char *value =
        db->optimistic != NULL
            ? rocksdb_get(db->base, db->read, key, strlen(key), &size, &error)
            : rocksdb_transactiondb_get(db->pessimistic, db->read, key, strlen(key), &size, &error);

    if (value != NULL) {
        *number_out = txn_number(value);
        rocksdb_free(value);
    }
    return check(error, "get") && value != NULL;
}

#define ENGINE(symbol, text, open_function)                                                        \
    const struct txn_engine symbol = {                                                             \
        .name = text,                                                                              \
        .open = open_function,                                                                     \
        .close = database_close,                                                                   \
        .session_open = session_open,                                                              \
        .session_close = session_close,                                                            \
        .load = session_load,                                                                      \
        .run = session_run,                                                                        \
        .get = session_get,                                                                        \
    }

ENGINE(txn_rocksdb_optimistic, "rocksdb-optimistic", optimistic_open);
ENGINE(txn_rocksdb_pessimistic, "rocksdb-pessimistic", pessimistic_open);
