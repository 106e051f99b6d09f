/* query/fn/redis.c - functions of Orbit's own: transactions of several sessions, and
 * redis.call(command, arguments ...), a command of Redis in SQL.
 *
 * The answer is text: integers, strings and statuses as they are, null as null, and what has
 * elements as JSON: an array of strings, numbers, nulls and arrays. */
#include <inttypes.h>
#include <string.h>

#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/fn/fn.h"
#include "query/redis_reply.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { REPLY_DEPTH_MAX = 32 };

static err_t
json_string_put(struct slice text, struct buf *out)
{
    err_t err = text_check(text);

    if (err != ERR_OK) {
        return err;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];

        if (c == '"' || c == '\\') {
            buf_append_byte(out, '\\');
            buf_append_byte(out, c);
        } else if (c < ' ') {
            buf_printf(out, "\\u%04x", c);
        } else {
            buf_append_byte(out, c);
        }
    }
    buf_append_byte(out, '"');
    return ERR_OK;
}

static err_t
json_put(struct reply_reader *reader, uint32_t depth, struct buf *out)
{
    struct reply_item item = reply_item_take(reader);
    err_t err = ERR_OK;

    if (item.kind == ':') {
        buf_append(out, item.bytes.data, item.bytes.size);
    } else if (reply_item_is_null(&item)) {
        buf_append(out, "null", 4);
    } else if (item.kind != '*') {
        err = json_string_put(item.bytes, out);
    } else if (depth == REPLY_DEPTH_MAX) {
        err = sql_error("54001", "the reply of Redis is nested too deeply");
    } else {
        buf_append_byte(out, '[');
        for (int64_t i = 0; err == ERR_OK && i < item.number; i++) {
            buf_append(out, ", ", i > 0 ? 2 : 0);
            err = json_put(reader, depth + 1, out);
        }
        buf_append_byte(out, ']');
    }
    return err;
}

static err_t
value_of(struct call *call, const struct reply *reply, struct datum *out)
{
    struct reply_reader reader = {.at = reply->buf.data};
    struct reply_item item = reply_item_take(&reader);
    struct buf json;
    err_t err;

    if (item.kind == '*' && item.number >= 0) {
        reader.at = reply->buf.data;
        buf_init(&json, MEM_SESSIONS);
        err = json_put(&reader, 0, &json);
        out->bytes = arena_copy(call->arena, buf_slice(&json));
        buf_fini(&json);
        return err;
    }
    call->is_null = reply_item_is_null(&item);
    if (call->is_null) {
        return ERR_OK;
    }
    out->bytes = arena_copy(call->arena, item.bytes);
    return text_check(item.bytes);
}

static err_t
redis_call(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice *argv = arena_alloc(call->arena, call->arg_count * sizeof(*argv));
    struct reply reply;
    err_t err;

    for (uint32_t i = 0; i < call->arg_count; i++) {
        if (call->nulls[i] != 0) {
            return sql_error("22004", "argument %u of redis.call is null", i + 1);
        }
        argv[i] = args[i].bytes;
    }
    reply_init(&reply, 2);
    TRY(sql_session_redis(call->env->session, argv, call->arg_count, call->arena, &reply));
    err = value_of(call, &reply, out);
out:
    reply_fini(&reply);
    return err;
}

/* ---- Transactions ---- */

static err_t
orbit_txn_token(struct call *call, const struct datum *args, struct datum *out)
{
    char token[33];
    err_t err = sql_session_token(call->env->session, token);

    (void)args;
    if (err == ERR_OK) {
        out->bytes = arena_copy(call->arena, slice_from_text(token));
    }
    return err;
}

static err_t
orbit_txn_join(struct call *call, const struct datum *args, struct datum *out)
{
    out->i = 1;
    return sql_session_join(call->env->session, args[0].bytes);
}

static err_t
orbit_commit_timestamp(struct call *call, const struct datum *args, struct datum *out)
{
    uint64_t us = sql_session_commit_us(call->env->session);

    (void)args;
    call->is_null = us == 0;
    out->i = (int64_t)us;
    return ERR_OK;
}

static const struct operator_row rows[] = {
    {NULL,
     {.name = "orbit.txn_token",
      .result = OID_TEXT,
      .is_strict = true,
      .is_volatile = true,
      .run = orbit_txn_token}},
    {NULL,
     {.name = "orbit.txn_join",
      .result = OID_BOOL,
      .args = {OID_TEXT},
      .arg_count = 1,
      .is_strict = true,
      .is_volatile = true,
      .run = orbit_txn_join}},
    {NULL,
     {.name = "orbit.commit_timestamp",
      .result = OID_INT8,
      .is_strict = true,
      .is_volatile = true,
      .run = orbit_commit_timestamp}},
    {NULL,
     {.name = "redis.call",
      .result = OID_TEXT,
      .args = {OID_TEXT},
      .arg_count = 1,
      .is_variadic = true,
      .is_volatile = true,
      .run = redis_call}},
};

const struct function_part fn_part_redis = {rows, ARRAY_COUNT(rows)};
