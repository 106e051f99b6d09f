/* net/commands_sql.c - ORBIT.SQL: a statement of SQL by a session of Redis.
 *
 * In the transaction of ORBIT.BEGIN it is one of its statements; otherwise it is a transaction of
 * its own. It runs in a fiber whose stack has room for the parser. */
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/types/datum.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "net/acl.h"
#include "net/dispatch.h"
#include "net/transaction.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { SQL_REPLY_COLUMNS_MAX = 1664, SQL_REPLY_BYTES_MAX = 256 << 20 };

struct sql_run {
    struct session *session;
    struct kv_request *request;
    struct sql_session *sql;
    struct reply *reply;
    struct reply_mark mark; /* Where the array of rows begins. */
    struct sql_column columns[SQL_REPLY_COLUMNS_MAX];
    uint32_t column_count;
    bool gives_rows;
    uint64_t rows;
    struct buf text;
    struct arena arena;
    struct fiber *waiter;
    bool is_done;
};

/* ---- Results ---- */

static err_t
sink_describe(void *arg, const struct sql_column *columns, uint32_t count)
{
    struct sql_run *run = arg;

    if (count > SQL_REPLY_COLUMNS_MAX) {
        return sql_error("54000", "ORBIT.SQL answers at most %d columns", SQL_REPLY_COLUMNS_MAX);
    }
    memcpy(run->columns, columns, count * sizeof(*columns));
    run->column_count = count;
    run->gives_rows = true;
    return ERR_OK;
}

/* As RESP has it: integers as such, the rest as text. */
static void
value_put(struct sql_run *run, const struct type *type, struct datum value)
{
    if (type->oid == OID_INT2 || type->oid == OID_INT4 || type->oid == OID_INT8) {
        reply_int(run->reply, value.i);
        return;
    }
    buf_clear(&run->text);
    type->output(type, sql_session_settings(run->sql), value, &run->text);
    reply_bulk(run->reply, buf_slice(&run->text));
}

static err_t
sink_rows(void *arg, const struct batch *batch)
{
    struct sql_run *run = arg;

    for (uint32_t row = 0; row < batch->rows; row++) {
        reply_array(run->reply, run->column_count);
        for (uint32_t i = 0; i < run->column_count; i++) {
            if (vector_is_null(&batch->columns[i], row)) {
                reply_null(run->reply);
            } else {
                value_put(run, run->columns[i].type, vector_value(&batch->columns[i], row));
            }
        }
    }
    run->rows += batch->rows;
    return run->reply->buf.size <= SQL_REPLY_BYTES_MAX
               ? ERR_OK
               : sql_error("54000", "ORBIT.SQL answers at most %d bytes", SQL_REPLY_BYTES_MAX);
}

static err_t
sink_complete(void *arg, const char *tag)
{
    struct sql_run *run = arg;

    if (run->gives_rows) {
        reply_array_at(run->reply, run->mark, run->rows);
    } else {
        reply_simple(run->reply, tag);
    }
    return ERR_OK;
}

static void
sink_empty(void *arg)
{
    struct sql_run *run = arg;

    reply_error(run->reply, "ERR there is no statement in the text");
}

static void
sink_notice(void *arg, const char *severity, const struct sql_report *report)
{
    (void)arg; /* Redis has no place for it. */
    (void)severity;
    (void)report;
}

/* ---- The statement ---- */

static err_t
params_read(struct sql_run *run, const struct sql_prepared *prepared, struct datum *params,
            uint8_t *nulls)
{
    const struct type_io io = {.arena = &run->arena, .settings = sql_session_settings(run->sql)};
    uint32_t given = run->request->argc - 2;
    const struct type *const *types;
    uint32_t count = sql_prepared_params(prepared, &types);
    err_t err = ERR_OK;

    if (count != given) {
        return sql_error("08P01", "the statement has %u parameters, and %u were given", count,
                         given);
    }
    memset(nulls, 0, count);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = types[i]->input(types[i], &io, run->request->argv[i + 2], -1, &params[i]);
    }
    return err;
}

static YIELDS err_t
statement_run(struct sql_run *run)
{
    const struct sql_sink sink = {
        .describe = sink_describe,
        .rows = sink_rows,
        .complete = sink_complete,
        .empty = sink_empty,
        .notice = sink_notice,
        .arg = run,
    };
    struct slice text = arena_copy(&run->arena, run->request->argv[1]);
    char *statement = arena_alloc(&run->arena, text.size + 1);
    uint32_t count = run->request->argc - 2;
    struct datum *params = arena_alloc(&run->arena, (count + 1) * sizeof(*params));
    uint8_t *nulls = arena_alloc(&run->arena, count + 1);
    struct sql_prepared *prepared;
    struct sql_portal *portal;
    uint32_t position;
    bool is_suspended;
    err_t err;

    memcpy(statement, text.data, text.size);
    statement[text.size] = '\0';
    if (memchr(statement, '\0', text.size) != NULL) {
        return sql_error("22021", "invalid byte sequence for encoding \"UTF8\": 0x00");
    }
    TRY(sql_prepare(run->sql, "", statement, NULL, 0, &position));
    prepared = sql_prepared_find(run->sql, "");
    TRY(params_read(run, prepared, params, nulls));
    TRY(sql_portal_open(run->sql, "", prepared, &portal));
    sql_portal_params_set(portal, params, nulls, count);
    TRY(sql_portal_run(run->sql, portal, 0, &sink, &is_suspended));
    err = run->request->txn == NULL ? sql_sync(run->sql) : ERR_OK;
out:
    return err;
}

static void
error_put(struct sql_run *run, err_t err)
{
    struct sql_report report;

    sql_report_get(err, &report);
    reply_cut(run->reply, run->mark);
    reply_error(run->reply, "SQL %s %s", report.sqlstate, report.message);
}

/* With its own error diagnostic, as every fiber has. */
static YIELDS void
sql_fiber(void *arg)
{
    struct sql_run *run = arg;
    struct kv_request *request = run->request;
    bool is_lost = false;
    err_t err;

    arena_init(&run->arena, MEM_SESSIONS);
    buf_init(&run->text, MEM_SESSIONS);
    run->sql = sql_session_new(sql_user_of(slice_from_text(run->session->user)), run->session->id);
    sql_session_guard_set(run->sql, acl_sql_guard);
    if (request->txn != NULL) {
        sql_session_within(run->sql, request->txn);
    }
    err = statement_run(run);
    if (request->txn != NULL) {
        err = sql_session_without(run->sql, request->txn, err, &is_lost);
    }
    if (err != ERR_OK) {
        error_put(run, err);
        request->err = is_lost ? ERR_TXN_ABORTED : ERR_OK; /* The transaction's. */
    }
    sql_session_free(&run->sql);
    buf_fini(&run->text);
    arena_fini(&run->arena);
    run->is_done = true;
    fiber_wake(run->waiter);
}

static YIELDS void
run_sql(struct session *session, struct kv_request *request)
{
    struct sql_run *run;

    if (shard_slot_get(SHARD_SLOT_RELATIONAL) == NULL) {
        reply_error(request->reply, "ERR there are no tables here");
        return;
    }
    run = MEM_NEW(MEM_SESSIONS, struct sql_run);
    run->session = session;
    run->request = request;
    run->reply = request->reply;
    run->mark = reply_mark(request->reply);
    run->waiter = fiber_self();
    if (fiber_spawn("sql", FIBER_FOREGROUND, FIBER_STACK_LARGE, sql_fiber, run) == NULL) {
        reply_error(request->reply, "ERR no fiber for a statement of SQL");
        run->is_done = true;
    }
    while (!run->is_done) {
        fiber_suspend();
    }
    MEM_FREE(MEM_SESSIONS, run);
}

const struct net_command net_commands_sql[] = {{"orbit.sql", run_sql}, {NULL, NULL}};
