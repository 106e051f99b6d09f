/* query/fn/compare.c - comparison operators of every type that has an order. */
#include "query/fn/fn.h"

#include "engine/base/poison.h"

static int
order_of(const struct call *call, const struct datum *args)
{
    const struct type *type = call->expr->args[0]->type;

    return type->compare(type, args[0], args[1]);
}

#define COMPARISON(name, condition)                                                                \
    static err_t compare_##name(struct call *call, const struct datum *args, struct datum *out)    \
    {                                                                                              \
        int order = order_of(call, args);                                                          \
                                                                                                   \
        out->i = (condition);                                                                      \
        return ERR_OK;                                                                             \
    }
COMPARISON(equal, order == 0)
COMPARISON(not_equal, order != 0)
COMPARISON(less, order < 0)
COMPARISON(less_equal, order <= 0)
COMPARISON(greater, order > 0)
COMPARISON(greater_equal, order >= 0)

#define ROW(op, fname, which, code, left, right)                                                   \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = OID_BOOL, .args = {(left), (right)}, .arg_count = 2,        \
            .comparison = (which), .is_strict = true, .run = (code)                                \
        }                                                                                          \
    }
#define SIX(prefix, left, right)                                                                   \
    ROW("=", prefix "eq", COMPARE_EQUAL, compare_equal, left, right),                              \
        ROW("<>", prefix "ne", COMPARE_NOT_EQUAL, compare_not_equal, left, right),                 \
        ROW("<", prefix "lt", COMPARE_LESS, compare_less, left, right),                            \
        ROW("<=", prefix "le", COMPARE_LESS_EQUAL, compare_less_equal, left, right),               \
        ROW(">", prefix "gt", COMPARE_GREATER, compare_greater, left, right),                      \
        ROW(">=", prefix "ge", COMPARE_GREATER_EQUAL, compare_greater_equal, left, right)

/* Two types in one row have one representation, so that either's order serves. */
static const struct operator_row rows[] = {
    SIX("bool", OID_BOOL, OID_BOOL),
    SIX("int2", OID_INT2, OID_INT2),
    SIX("int4", OID_INT4, OID_INT4),
    SIX("int8", OID_INT8, OID_INT8),
    SIX("int24", OID_INT2, OID_INT4),
    SIX("int42", OID_INT4, OID_INT2),
    SIX("int28", OID_INT2, OID_INT8),
    SIX("int82", OID_INT8, OID_INT2),
    SIX("int48", OID_INT4, OID_INT8),
    SIX("int84", OID_INT8, OID_INT4),
    SIX("float4", OID_FLOAT4, OID_FLOAT4),
    SIX("float8", OID_FLOAT8, OID_FLOAT8),
    SIX("float48", OID_FLOAT4, OID_FLOAT8),
    SIX("float84", OID_FLOAT8, OID_FLOAT4),
    SIX("numeric_", OID_NUMERIC, OID_NUMERIC),
    SIX("text", OID_TEXT, OID_TEXT),
    SIX("bpchar", OID_BPCHAR, OID_BPCHAR),
    SIX("name", OID_NAME, OID_NAME),
    SIX("nametext", OID_NAME, OID_TEXT),
    SIX("textname", OID_TEXT, OID_NAME),
    SIX("char", OID_CHAR, OID_CHAR),
    SIX("oid", OID_OID, OID_OID),
    SIX("array_", OID_ANYARRAY, OID_ANYARRAY),
    SIX("bytea", OID_BYTEA, OID_BYTEA),
    SIX("uuid_", OID_UUID, OID_UUID),
    SIX("record_", OID_RECORD, OID_RECORD),
    SIX("jsonb_", OID_JSONB, OID_JSONB),
    SIX("date_", OID_DATE, OID_DATE),
    SIX("time_", OID_TIME, OID_TIME),
    SIX("timetz_", OID_TIMETZ, OID_TIMETZ),
    SIX("timestamp_", OID_TIMESTAMP, OID_TIMESTAMP),
    SIX("timestamptz_", OID_TIMESTAMPTZ, OID_TIMESTAMPTZ),
    SIX("interval_", OID_INTERVAL, OID_INTERVAL),
    SIX("enum_", OID_ANYENUM, OID_ANYENUM),
};

const struct function_part fn_part_compare = {rows, sizeof(rows) / sizeof(rows[0])};
