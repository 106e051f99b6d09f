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

err_t
sql_session_redis(struct sql_session *session, const struct slice *argv, uint32_t argc,
                  struct arena *arena, struct reply *reply)
{
    struct kv_request request = {
        .command = command_resolve(argv, argc),
        .argv = argv,
        .argc = argc,
        .reply = reply,
        .arena = arena,
        .txn = session->txn,
        .now_ms = io_wall_us() / 1000,
    };
    const char *why = refusal(request.command, argc);
    char denial[SQL_GUARD_TEXT_BYTES];

    if (shard_slot_get(SHARD_SLOT_KV) == NULL) {
        return sql_error("0A000", "there are no keys of Redis here");
    }
    if (why != NULL) {
        return sql_error("22023", "the command \"%.*s\" of Redis: %s",
                         (int)MIN(argv[0].size, (size_t)64), (const char *)argv[0].data, why);
    }
    if (session->guard != NULL &&
        !session->guard(session_principal(session), request.command, argv, argc, denial)) {
        return sql_error("42501", "NOPERM %s", denial);
    }
    kv_execute_within(&request);
    if (request.err != ERR_OK) {
        return request.err;
    }
    if (reply->buf.size > 0 && reply->buf.data[0] == '-') {
        struct slice text = error_text(reply);

        return sql_error(sqlstate_of(text), "%.*s", (int)MIN(text.size, (size_t)400),
                         (const char *)text.data);
    }
    return kv_events_keep(session->txn, &request);
}
