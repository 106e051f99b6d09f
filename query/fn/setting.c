/* query/fn/setting.c - what a session asks of itself: settings, users, types of values (chapters
 * 9.26 and 9.27 of PostgreSQL 15). */
#include "models/types/sql_error.h"
#include "query/fn/fn.h"
#include "query/session.h"

#include "engine/base/poison.h"

static const char *
text_argument(struct call *call, const struct datum *value)
{
    return arena_printf(call->arena, "%.*s", (int)value->bytes.size,
                        (const char *)value->bytes.data);
}

/* The value may be changed while the statement still runs: it is copied. */
static err_t
current_setting(struct call *call, const struct datum *args, struct datum *out)
{
    const char *name = text_argument(call, &args[0]);
    const char *value = sql_session_parameter(call->env->session, name);

    if (value == NULL && call->arg_count > 1 && args[1].i != 0) {
        call->is_null = true;
        return ERR_OK;
    }
    if (value == NULL) {
        return sql_error("42704", "unrecognized configuration parameter \"%s\"", name);
    }
    out->bytes = arena_copy(call->arena, slice_from_text(value));
    return ERR_OK;
}

/* Null as the value resets it; null as is_local is false. */
static err_t
set_config(struct call *call, const struct datum *args, struct datum *out)
{
    struct sql_session *session = call->env->session;
    bool is_local = call->nulls[2] == 0 && args[2].i != 0;
    const char *name, *value;
    err_t err;

    if (call->nulls[0] != 0) {
        return sql_error("22004", "SET requires parameter name");
    }
    name = text_argument(call, &args[0]);
    value = call->nulls[1] != 0 ? NULL : text_argument(call, &args[1]);
    TRY(sql_session_change(session, name, value, is_local));
    value = sql_session_parameter(session, name);
    out->bytes = arena_copy(call->arena, slice_from_text(value != NULL ? value : ""));
out:
    return err;
}

static err_t
current_user(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    out->bytes = call->env->user;
    return ERR_OK;
}

static err_t
session_user(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    out->bytes = call->env->session_user;
    return ERR_OK;
}

static err_t
pg_typeof(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    out->i = (int64_t)call_arg_type(call, 0)->oid;
    return ERR_OK;
}

/* ---- The table ---- */

#define FN(fname, res, nargs, strict, changes, code, ...)                                          \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = (strict), .is_volatile = (changes), .run = (code)                         \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("current_setting", OID_TEXT, 1, true, false, current_setting, OID_TEXT),
    FN("current_setting", OID_TEXT, 2, true, false, current_setting, OID_TEXT, OID_BOOL),
    FN("set_config", OID_TEXT, 3, false, true, set_config, OID_TEXT, OID_TEXT, OID_BOOL),
    FN("current_user", OID_NAME, 0, true, false, current_user, 0),
    FN("session_user", OID_NAME, 0, true, false, session_user, 0),
    FN("pg_typeof", OID_REGTYPE, 1, false, false, pg_typeof, OID_ANY),
};

const struct function_part fn_part_setting = {rows, sizeof(rows) / sizeof(rows[0])};
