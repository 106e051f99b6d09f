/* perf/bench/engine_sqlite.c - SQLite: one table without row ids, write-ahead log. Fills commit a
 * thousand puts at a time, all else one. Each session has a connection and its share of the cache.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "engine/base/assert.h"
#include "perf/bench/bench.h"

enum { FILL_BATCH = 1000, BUSY_MS = 60000 };

struct database {
    char file[4200];
    uint64_t cache_bytes; /* Of each connection. */
    bool is_sync;
    sqlite3 *first; /* Open as long as the database. */
};

enum statement { PUT, REMOVE, GET, SCAN, FIRST, BEGIN, COMMIT, STATEMENTS };

static const char *const texts[STATEMENTS] = {
    [PUT] = "INSERT OR REPLACE INTO bench VALUES (?1, ?2)",
    [REMOVE] = "DELETE FROM bench WHERE k = ?1",
    [GET] = "SELECT v FROM bench WHERE k = ?1",
    [SCAN] = "SELECT k, v FROM bench WHERE k >= ?1 ORDER BY k",
    [FIRST] = "SELECT k, v FROM bench ORDER BY k",
    [BEGIN] = "BEGIN IMMEDIATE",
    [COMMIT] = "COMMIT",
};

struct session {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
    sqlite3_stmt *scan; /* The one that stands somewhere; or NULL. */
    bool is_at_row;     /* `scan` is at a row that next has not taken. */
};

static bool
check(sqlite3 *db, int error, const char *what)
{
    if (error != SQLITE_OK && error != SQLITE_ROW && error != SQLITE_DONE) {
        fprintf(stderr, "sqlite: %s: %s\n", what, sqlite3_errmsg(db));
        return false;
    }
    return true;
}

static bool
connection_open(const struct database *db, sqlite3 **connection_out)
{
    char text[256];
    sqlite3 *connection;

    if (!check(NULL,
               sqlite3_open_v2(db->file, &connection,
                               SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX,
                               NULL),
               "open")) {
        return false;
    }
    *connection_out = connection;
    sqlite3_busy_timeout(connection, BUSY_MS);
    snprintf(text, sizeof(text),
             "PRAGMA journal_mode = WAL; PRAGMA synchronous = %s; PRAGMA cache_size = -%llu;",
             db->is_sync ? "FULL" : "OFF", (unsigned long long)(db->cache_bytes >> 10));
    return check(connection, sqlite3_exec(connection, text, NULL, NULL, NULL), "pragma");
}

static bool
database_open(const struct bench_engine_options *options, void **db_out)
{
    struct database *db = calloc(1, sizeof(*db));

    ASSERT(db != NULL);
    mkdir(options->dir, 0750);
    snprintf(db->file, sizeof(db->file), "%s/data", options->dir);
    db->cache_bytes = options->cache_bytes / options->threads;
    db->is_sync = options->is_sync;
    *db_out = db;
    return connection_open(db, &db->first) &&
           check(db->first,
                 sqlite3_exec(db->first,
                              "CREATE TABLE IF NOT EXISTS bench (k BLOB PRIMARY KEY, v BLOB) "
                              "WITHOUT ROWID",
                              NULL, NULL, NULL),
                 "create");
}

static void
database_close(void *arg)
{
    struct database *db = arg;

    sqlite3_close(db->first);
    free(db);
}

static bool
session_open(void *arg, void **session_out)
{
    struct session *session = calloc(1, sizeof(*session));

    ASSERT(session != NULL);
    *session_out = session;
    if (!connection_open(arg, &session->db)) {
        return false;
    }
    for (int i = 0; i < STATEMENTS; i++) {
        if (!check(session->db,
                   sqlite3_prepare_v3(session->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT,
                                      &session->statements[i], NULL),
                   "prepare")) {
            return false;
        }
    }
    return true;
}

static void
session_close(void *arg)
{
    struct session *session = arg;

    for (int i = 0; i < STATEMENTS; i++) {
        sqlite3_finalize(session->statements[i]);
    }
    sqlite3_close(session->db);
    free(session);
}

/* A statement that gives no rows. */
static bool
statement_run(struct session *session, enum statement which)
{
    sqlite3_stmt *statement = session->statements[which];
    bool is_fine = check(session->db, sqlite3_step(statement), texts[which]);

    sqlite3_reset(statement);
    return is_fine;
}

static bool
session_put(void *arg, struct bench_slice key, struct bench_slice value)
{
    struct session *session = arg;

    sqlite3_bind_blob(session->statements[PUT], 1, key.data, (int)key.size, SQLITE_STATIC);
    sqlite3_bind_blob(session->statements[PUT], 2, value.data, (int)value.size, SQLITE_STATIC);
    return statement_run(session, PUT);
}

static bool
session_remove(void *arg, struct bench_slice key)
{
    struct session *session = arg;

    sqlite3_bind_blob(session->statements[REMOVE], 1, key.data, (int)key.size, SQLITE_STATIC);
    return statement_run(session, REMOVE);
}

static bool
session_get(void *arg, struct bench_slice key, struct bench_value *value_out)
{
    struct session *session = arg;
    sqlite3_stmt *statement = session->statements[GET];
    int error;

    sqlite3_bind_blob(statement, 1, key.data, (int)key.size, SQLITE_STATIC);
    error = sqlite3_step(statement);
    if (error == SQLITE_ROW) {
        bench_value_set(value_out, sqlite3_column_blob(statement, 0),
                        (size_t)sqlite3_column_bytes(statement, 0));
    }
    sqlite3_reset(statement);
    return check(session->db, error, "get");
}

static void
session_unseek(void *arg)
{
    struct session *session = arg;

    if (session->scan != NULL) {
        sqlite3_reset(session->scan);
        session->scan = NULL;
    }
}

static bool
session_seek(void *arg, struct bench_slice key)
{
    struct session *session = arg;
    int error;

    session_unseek(session);
    session->scan = session->statements[key.size > 0 ? SCAN : FIRST];
    if (key.size > 0) { /* Copied: the scan reads it later than this call. */
        sqlite3_bind_blob(session->scan, 1, key.data, (int)key.size, SQLITE_TRANSIENT);
    }
    error = sqlite3_step(session->scan);
    session->is_at_row = error == SQLITE_ROW;
    return check(session->db, error, "seek");
}

static bool
session_next(void *arg, uint64_t count, struct bench_rows *rows)
{
    struct session *session = arg;
    int error = SQLITE_ROW;

    for (uint64_t seen = 0; seen < count && session->is_at_row;) {
        const void *key = sqlite3_column_blob(session->scan, 0);
        size_t key_size = (size_t)sqlite3_column_bytes(session->scan, 0);

        bench_rows_add(rows, key, key_size, sqlite3_column_blob(session->scan, 1),
                       (size_t)sqlite3_column_bytes(session->scan, 1));
        if (++seen == count) {
            bench_rows_last(rows, key, key_size);
        }
        error = sqlite3_step(session->scan);
        session->is_at_row = error == SQLITE_ROW;
    }
    return check(session->db, error, "next");
}

static bool
session_begin(void *arg)
{
    return statement_run(arg, BEGIN);
}

static bool
session_commit(void *arg)
{
    return statement_run(arg, COMMIT);
}

static bool
database_compact(void *arg)
{
    struct database *db = arg;

    return check(db->first, sqlite3_exec(db->first, "VACUUM", NULL, NULL, NULL), "vacuum");
}

const struct bench_engine bench_sqlite = {
    .name = "sqlite",
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
    .compact = database_compact,
};
