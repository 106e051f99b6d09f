/* perf/bench/engine_wiredtiger.c - WiredTiger: a row store in one file, blocks and log compressed
 * by snappy, the log on. Debian's package has no lz4. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <wiredtiger.h>

#include "engine/base/assert.h"
#include "perf/bench/bench.h"

#define TABLE "table:bench"

struct database {
    WT_CONNECTION *connection;
};

struct session {
    WT_SESSION *session;
    /* Opened when they are first needed: a bulk load wants the table for itself. */
    WT_CURSOR *point; /* Single keys. */
    WT_CURSOR *scan;
    WT_CURSOR *bulk;
    bool is_at_end;
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
table_create(WT_CONNECTION *connection)
{
    WT_SESSION *session;
    bool is_fine;

    if (!check(connection->open_session(connection, NULL, NULL, &session), "session")) {
        return false;
    }
    is_fine = check(
        session->create(session, TABLE, "key_format=u,value_format=u,block_compressor=snappy"),
        "create");
    return check(session->close(session, NULL), "session") && is_fine;
}

static bool
database_open(const struct bench_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));
    char config[512];

    ASSERT(db != NULL);
    mkdir(options->dir, 0750);
    snprintf(config, sizeof(config),
             "create,cache_size=%llu,session_max=512,log=(enabled=true,compressor=snappy),"
             "transaction_sync=(enabled=%s,method=fsync),%s"
             "extensions=[libwiredtiger_snappy.so]",
             (unsigned long long)options->cache_bytes, options->is_sync ? "true" : "false",
             options->is_direct ? "direct_io=[data]," : "");
    if (!check(wiredtiger_open(options->dir, NULL, config, &db->connection), "open") ||
        !table_create(db->connection)) {
        return false;
    }
    *db_out = db;
    return true;
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
                 "session");
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    session->session->close(session->session, NULL);
    free(session);
}

static bool
cursor_open(struct session *session, WT_CURSOR **cursor)
{
    return *cursor != NULL ||
           check(session->session->open_cursor(session->session, TABLE, NULL, NULL, cursor),
                 "cursor");
}

/* The cursor for single keys, with the key set; NULL after an error. */
static WT_CURSOR *
cursor_at(struct session *session, struct bench_slice key)
{
    WT_ITEM item = {.data = key.data, .size = key.size};

    if (!cursor_open(session, &session->point)) {
        return NULL;
    }
    session->point->set_key(session->point, &item);
    return session->point;
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    WT_CURSOR *cursor = cursor_at(arg, key);
    WT_ITEM item = {.data = value.data, .size = value.size};

    if (cursor == NULL) {
        return false;
    }
    cursor->set_value(cursor, &item);
    return check(cursor->insert(cursor), "insert") && check(cursor->reset(cursor), "reset");
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    WT_CURSOR *cursor = cursor_at(arg, key);
    int error = cursor != NULL ? cursor->remove(cursor) : WT_ERROR;

    return (error == WT_NOTFOUND || check(error, "remove")) &&
           check(cursor->reset(cursor), "reset");
}

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    WT_CURSOR *cursor = cursor_at(arg, key);
    int error = cursor != NULL ? cursor->search(cursor) : WT_ERROR;
    WT_ITEM item;

    if (error == WT_NOTFOUND) {
        return check(cursor->reset(cursor), "reset");
    }
    if (!check(error, "search") || !check(cursor->get_value(cursor, &item), "value")) {
        return false;
    }
    bench_value_set(value_out, item.data, item.size);
    return check(cursor->reset(cursor), "reset");
}

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    WT_ITEM item = {.data = key.data, .size = key.size};
    WT_CURSOR *cursor;
    int place = 0;
    int error;

    if (!cursor_open(session, &session->scan)) {
        return false;
    }
    cursor = session->scan;
    if (key.size == 0) {
        error = cursor->reset(cursor);
        error = error == 0 ? cursor->next(cursor) : error;
    } else {
        cursor->set_key(cursor, &item);
        error = cursor->search_near(cursor, &place);
        error = error == 0 && place < 0 ? cursor->next(cursor) : error;
    }
    session->is_at_end = error == WT_NOTFOUND;
    return session->is_at_end || check(error, "seek");
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    WT_CURSOR *cursor = session->scan;
    int error = 0;

    for (uint64_t seen = 0; seen < count && !session->is_at_end && error == 0;) {
        WT_ITEM key, value;

        if (!check(cursor->get_key(cursor, &key), "key") ||
            !check(cursor->get_value(cursor, &value), "value")) {
            return false;
        }
        bench_rows_add(rows, key.data, key.size, value.data, value.size);
        if (++seen == count) {
            bench_rows_last(rows, key.data, key.size);
        }
        error = cursor->next(cursor);
        session->is_at_end = error == WT_NOTFOUND;
    }
    return session->is_at_end || check(error, "next");
}

static void
session_unseek(void *arg)
{
    struct session *session = arg;

    if (session->scan != NULL) {
        (void)check(session->scan->reset(session->scan), "reset");
    }
}

static bool
session_ingest_begin(void *arg)
{
    struct session *session = arg;

    return check(
        session->session->open_cursor(session->session, TABLE, NULL, "bulk", &session->bulk),
        "bulk");
}

static bool
session_ingest_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;
    WT_ITEM k = {.data = key.data, .size = key.size};
    WT_ITEM v = {.data = value.data, .size = value.size};

    session->bulk->set_key(session->bulk, &k);
    session->bulk->set_value(session->bulk, &v);
    return check(session->bulk->insert(session->bulk), "bulk");
}

static bool
session_ingest_end(void *arg)
{
    struct session *session = arg;

    return check(session->bulk->close(session->bulk), "bulk");
}

static bool
database_compact(void *arg)
{
    struct database *db = arg;
    WT_SESSION *session;
    bool is_fine;

    if (!check(db->connection->open_session(db->connection, NULL, NULL, &session), "session")) {
        return false;
    }
    is_fine = check(session->compact(session, TABLE, NULL), "compact");
    return check(session->close(session, NULL), "session") && is_fine;
}

const struct bench_engine bench_wiredtiger = {
    .name = "wiredtiger",
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
    .ingest_begin = session_ingest_begin,
    .ingest_put = session_ingest_put,
    .ingest_end = session_ingest_end,
    .compact = database_compact,
};
