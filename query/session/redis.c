/* query/session/redis.c - commands of Redis as parts of a session's statements.
 *
 * They run in the transaction of the session, at the snapshot of the statement. Their keyspace
 * events are kept until its commit. */
#include "query/session/internal.h"

#include <string.h>

#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "models/kv/command.h"
#include "models/kv/kv.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- Commands ---- */

/* Why the command cannot be called; NULL: it can. */
static const char *
refusal(const struct command *command, uint32_t argc)
{
    if (command == NULL) {
        return "there is no such command";
    }
    if (!command_arity_fits(command, argc)) {
        return "wrong number of arguments";
    }
    if (command->layer != COMMAND_DATA && command->layer != COMMAND_KEYSPACE) {
        return "only commands on keys can be part of a statement of SQL";
    }
    return (command->flags & CMD_NOSCRIPT) != 0 ? "it cannot be part of a statement of SQL" : NULL;
}

/* The SQLSTATE of an error of Redis. */
static const char *
sqlstate_of(struct slice error)
{
    static const struct {
        const char *code, *sqlstate;
    } states[] = {
        {"WRONGTYPE", "42809"},
        {"OOM", "53200"},
        {"READONLY", "25006"},
        {"NOPERM", "42501"},
    };

    for (size_t i = 0; i < ARRAY_COUNT(states); i++) {
        if (slice_starts_with(error, slice_from_text(states[i].code))) {
            return states[i].sqlstate;
        }
    }
    return "22023";
}

/* The first line of an error reply, without its sign. */
static struct slice
error_text(const struct reply *reply)
{
    const uint8_t *end = memchr(reply->buf.data, '\r', reply->buf.size);

    return slice_of(reply->buf.data + 1, (size_t)(end - reply->buf.data) - 1);
}

/* The database of orbit.redis_db. */
static err_t
database_of(const struct sql_session *session, uint32_t *db_out)
{
    int64_t db = 0;

    (void)reply_parse_int(slice_from_text(sql_session_parameter(session, "orbit.redis_db")), &db);
    if (db < 0 || db >= kv_config(kv_self())->databases) {
        return sql_error("22023", "there is no database %lld of Redis: it has %u", (long long)db,
                         kv_config(kv_self())->databases);
    }
    *db_out = (uint32_t)db;
    return ERR_OK;
}

/* Runs it; an error of Redis is in the reply. */
static YIELDS err_t
command_run(struct sql_session *session, struct kv_request *request)
{
    const char *why = refusal(request->command, request->argc);
    char denial[SQL_GUARD_TEXT_BYTES];
    err_t err;

    request->txn = session->txn;
    request->now_ms = io_wall_us() / 1000;
    if (shard_slot_get(SHARD_SLOT_KV) == NULL) {
        return sql_error("0A000", "there are no keys of Redis here");
    }
    if (why != NULL) {
        return sql_error("22023", "the command \"%.*s\" of Redis: %s",
                         (int)MIN(request->argv[0].size, (size_t)64),
                         (const char *)request->argv[0].data, why);
    }
    TRY(database_of(session, &request->db));
    if (session->guard != NULL && !session->guard(session_principal(session), request->command,
                                                  request->argv, request->argc, denial)) {
        return sql_error("42501", "NOPERM %s", denial);
    }
    kv_execute_within(request);
    err = request->err;
out:
    return err;
}

static bool
is_error(const struct reply *reply)
{
    return reply->buf.size > 0 && reply->buf.data[0] == '-';
}

static err_t
error_of(const struct reply *reply)
{
    struct slice text = error_text(reply);

    return sql_error(sqlstate_of(text), "%.*s", (int)MIN(text.size, (size_t)400),
                     (const char *)text.data);
}

static struct kv_request
request_of(const struct slice *argv, uint32_t argc, struct arena *arena, struct reply *reply)
{
    return (struct kv_request){
        .command = command_resolve(argv, argc),
        .argv = argv,
        .argc = argc,
        .reply = reply,
        .arena = arena,
    };
}

err_t
sql_session_redis(struct sql_session *session, const struct slice *argv, uint32_t argc,
                  struct arena *arena, struct reply *reply)
{
    struct kv_request request = request_of(argv, argc, arena, reply);
    err_t err = command_run(session, &request);

    if (err == ERR_OK && is_error(reply)) {
        err = error_of(reply);
    }
    return err == ERR_OK ? kv_events_keep(session->txn, &request) : err;
}

err_t
sql_session_redis_read(struct sql_session *session, const struct slice *argv, uint32_t argc,
                       struct arena *arena, struct reply *reply, bool *is_other_out)
{
    struct kv_request request = request_of(argv, argc, arena, reply);
    err_t err;

    request.is_before_statement = true;
    err = command_run(session, &request);

    *is_other_out = err == ERR_OK && is_error(reply) &&
                    slice_starts_with(error_text(reply), SLICE("WRONGTYPE"));
    return err == ERR_OK && is_error(reply) && !*is_other_out ? error_of(reply) : err;
}
