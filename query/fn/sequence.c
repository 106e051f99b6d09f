/* query/fn/sequence.c - nextval, currval, lastval, setval. */
#include "models/relational/sequence.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"
#include "query/sequences.h"
#include "query/session.h"

#include "engine/base/poison.h"

static err_t
sequence_check(const struct relation *relation)
{
    return relation->kind == RELATION_SEQUENCE
               ? ERR_OK
               : sql_error("42809", "\"%.*s\" is not a sequence", (int)relation->name.size,
                           (const char *)relation->name.data);
}

static err_t
by_oid(struct call *call, int64_t oid, const struct relation **out)
{
    *out = catalog_relation_by_oid(call->env->catalog, (oid_t)oid);
    if (*out == NULL) {
        return sql_error("42P01", "could not open relation with OID %u", (oid_t)oid);
    }
    return sequence_check(*out);
}

static err_t
next(struct call *call, const struct relation *sequence, struct datum *out)
{
    if (txn_is_read_only(call->env->txn)) {
        return sql_error("25006", "cannot execute nextval() in a read-only transaction");
    }
    return session_sequence_next(sql_session_sequences(call->env->session), sequence, &out->i);
}

static err_t
current(struct call *call, const struct relation *sequence, struct datum *out)
{
    oid_t oid;

    return session_sequence_current(sql_session_sequences(call->env->session), sequence->oid,
                                    &out->i, &oid)
               ? ERR_OK
               : sql_error("55000",
                           "currval of sequence \"%.*s\" is not yet defined in this session",
                           (int)sequence->name.size, (const char *)sequence->name.data);
}

static err_t
set(struct call *call, const struct relation *sequence, int64_t value, bool is_called,
    struct datum *out)
{
    err_t err;

    if (txn_is_read_only(call->env->txn)) {
        return sql_error("25006", "cannot execute setval() in a read-only transaction");
    }
    if (value < sequence->sequence.min || value > sequence->sequence.max) {
        return sql_error("22003",
                         "setval: value %lld is out of bounds for sequence \"%.*s\" "
                         "(%lld..%lld)",
                         (long long)value, (int)sequence->name.size,
                         (const char *)sequence->name.data, (long long)sequence->sequence.min,
                         (long long)sequence->sequence.max);
    }
    TRY(sequence_set(&sequence->sequence, value, is_called));
    session_sequence_told(sql_session_sequences(call->env->session), sequence, value, is_called);
    out->i = value;
out:
    return err;
}

#define SEQUENCE_FUNCTION(name, action)                                                            \
    static err_t name(struct call *call, const struct datum *args, struct datum *out)              \
    {                                                                                              \
        const struct relation *sequence;                                                           \
        err_t err = by_oid(call, args[0].i, &sequence);                                            \
                                                                                                   \
        return err != ERR_OK ? err : action;                                                       \
    }
SEQUENCE_FUNCTION(nextval, next(call, sequence, out))
SEQUENCE_FUNCTION(currval, current(call, sequence, out))
SEQUENCE_FUNCTION(setval, set(call, sequence, args[1].i, true, out))
SEQUENCE_FUNCTION(setval3, set(call, sequence, args[1].i, args[2].i != 0, out))

static err_t
lastval(struct call *call, const struct datum *args, struct datum *out)
{
    oid_t oid = 0;

    (void)args;
    if (session_sequence_current(sql_session_sequences(call->env->session), 0, &out->i, &oid) &&
        catalog_relation_by_oid(call->env->catalog, oid) != NULL) {
        return ERR_OK;
    }
    return sql_error("55000", "lastval is not yet defined in this session");
}

/* pg_sequence_last_value: null before the first. */
static err_t
last_value(struct call *call, const struct datum *args, struct datum *out)
{
    const struct relation *sequence;
    struct sequence_value value;
    err_t err;

    TRY(by_oid(call, args[0].i, &sequence));
    TRY(sequence_get(&sequence->sequence, &value));
    call->is_null = !value.is_called;
    out->i = value.last;
out:
    return err;
}

#define FN(fname, nargs, code, ...)                                                                \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = OID_INT8, .args = {__VA_ARGS__}, .arg_count = (nargs),      \
            .is_strict = true, .is_volatile = true, .run = (code)                                  \
        }                                                                                          \
    }

static const struct operator_row rows[] = {
    FN("nextval", 1, nextval, OID_REGCLASS),
    FN("currval", 1, currval, OID_REGCLASS),
    FN("setval", 2, setval, OID_REGCLASS, OID_INT8),
    FN("setval", 3, setval3, OID_REGCLASS, OID_INT8, OID_BOOL),
    FN("lastval", 0, lastval, 0),
    FN("pg_sequence_last_value", 1, last_value, OID_REGCLASS),
};
const struct function_part fn_part_sequence = {rows, sizeof(rows) / sizeof(rows[0])};
