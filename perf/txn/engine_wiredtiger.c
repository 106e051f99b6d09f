/* perf/txn/engine_wiredtiger.c - WiredTiger: transactions at snapshot isolation, a row store with
 * snappy, the log on. */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wiredtiger.h>

#include "engine/base/assert.h"
#include "perf/txn/txnbench.h"

#define TABLE "table:txn"

struct database {
    WT_CONNECTION *connection;
};

struct session {
    WT_SESSION *session;
    WT_CURSOR *cursor;
};

static bool
check(int error, const char *what)
{
    if (error != 0) {
        fprintf(stderr, "wiredtiger: %s: %s\n", what, wiredtiger_strerror(error));
    }
    return error == 0;
}

static bool
database_open(const struct txn_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    WT_SESSION *session;
    char config[512];

    ASSERT(db != NULL);
    mkdir(options->dir, 0750);
    snprintf(config, sizeof(config),
             "create,cache_size=%llu,session_max=512,log=(enabled=true,compressor=snappy),"
             "transaction_sync=(enabled=%s,method=fsync),extensions=[libwiredtiger_snappy.so]",
             (unsigned long long)options->cache_bytes, options->is_sync ? "true" : "false");
    *db_out = db;
    return check(wiredtiger_open(options->dir, NULL, config, &db->connection), "open") &&
           check(db->connection->open_session(db->connection, NULL, NULL, &session), "session") &&
           check(session->create(session, TABLE,
                                 "key_format=u,value_format=u,block_compressor=snappy"),
                 "create") &&
           check(session->close(session, NULL), "session");
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    (void)check(db->connection->close(db->connection, NULL), "close");
    free(db);
}

static bool
session_open(void *arg, void **session_out)
{
    struct database *db = arg;
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    *session_out = session;
    return check(db->connection->open_session(db->connection, NULL, NULL, &session->session),
                 "session") &&
           check(
               session->session->open_cursor(session->session, TABLE, NULL, NULL, &session->cursor),
               "cursor");
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    session->session->close(session->session, NULL);
    free(session);
}

static void
cursor_at(WT_CURSOR *cursor, const char *key)
{
    WT_ITEM item = {.data = key, .size = strlen(key)};

    cursor->set_key(cursor, &item);
}

static int
value_write(WT_CURSOR *cursor, const char *key, const void *value)
{
    WT_ITEM item = {.data = value, .size = TXN_VALUE_BYTES};

    cursor_at(cursor, key);
    cursor->set_value(cursor, &item);
    return cursor->insert(cursor);
}

static bool
session_load(void *arg, const struct txn_access *keys, uint32_t count)
{
    static const char value[TXN_VALUE_BYTES];
    struct session *session = arg;
    bool is_fine =
        check(session->session->begin_transaction(session->session, "sync=false"), "load");

    for (uint32_t i = 0; i < count && is_fine; i++) {
        is_fine = check(value_write(session->cursor, keys[i].key, value), "load");
    }
    return is_fine && check(session->session->commit_transaction(session->session, NULL), "load");
}

static int
access_do(WT_CURSOR *cursor, const struct txn_access *access)
{
    char value[TXN_VALUE_BYTES] = {0};
    WT_ITEM item;
    uint64_t number;
    int error;

    if (!access->is_insert) {
        cursor_at(cursor, access->key);
        error = cursor->search(cursor);
        error = error == 0 ? cursor->get_value(cursor, &item) : error;
        if (error != 0) {
            return error;
        }
        memcpy(value, item.data, MIN(item.size, sizeof(value)));
        number = txn_number(value) + 1;
        memcpy(value, &number, sizeof(number));
    }
    return value_write(cursor, access->key, value);
}

static bool
session_run(void *arg, const struct txn_work *work, uint64_t *conflicts)
{
    struct session *at = arg;
    WT_SESSION *session = at->session;

    for (;;) {
        int error = session->begin_transaction(session, "isolation=snapshot");

        for (uint32_t i = 0; i < work->count && error == 0; i++) {
            error = access_do(at->cursor, &work->accesses[i]);
        }
        if (error == 0) {
            error = session->commit_transaction(session, NULL); /* Ends it, whatever it says. */
        } else {
            (void)session->rollback_transaction(session, NULL);
        }
        if (error != WT_ROLLBACK) {
            return check(error, "transaction");
        }
        ++*conflicts;
        (void)sched_yield();
    }
}

static bool
session_get(void *arg, const char *key, uint64_t *number_out)
{
    struct session *session = arg;
    WT_ITEM item;

    cursor_at(session->cursor, key);
    if (!check(session->cursor->search(session->cursor), "get") ||
        !check(session->cursor->get_value(session->cursor, &item), "get")) {
        return false;
    }
    *number_out = txn_number(item.data);
    return check(session->cursor->reset(session->cursor), "get");
}

const struct txn_engine txn_wiredtiger = {
    .name = "wiredtiger",
    .open = database_open,
    .close = database_close,
    .session_open = session_open,
    .session_close = session_close,
    .load = session_load,
    .run = session_run,
    .get = session_get,
};
