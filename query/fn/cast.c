/* query/fn/cast.c - casts: the rows of pg_cast for the types that there are. */
#include <math.h>

#include "models/types/jsonb.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"
#include "query/fn/datetime.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

static err_t
out_of_range(const struct call *call)
{
    return sql_error("22003", "%s out of range", call->expr->type->display);
}

static bool
fits(const struct call *call, int64_t value)
{
    const struct type *type = call->expr->type;
    int64_t most = type->length == 2 ? INT16_MAX : type->length == 4 ? INT32_MAX : INT64_MAX;

    return type_is_unsigned(type) ? value >= 0 && value <= UINT32_MAX
                                  : value <= most && value >= -most - 1;
}

static err_t
int_to_int(struct call *call, const struct datum *args, struct datum *out)
{
    *out = args[0];
    return fits(call, args[0].i) ? ERR_OK : out_of_range(call);
}

static err_t
int_to_float(struct call *call, const struct datum *args, struct datum *out)
{
    out->f = call->expr->type->oid == OID_FLOAT4 ? (double)(float)args[0].i : (double)args[0].i;
    return ERR_OK;
}

static err_t
int_to_numeric(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->n = numeric_from_int(args[0].i);
    return ERR_OK;
}

static err_t
int_to_bool(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = args[0].i != 0;
    return ERR_OK;
}

static err_t
float_to_int(struct call *call, const struct datum *args, struct datum *out)
{
    double rounded = rint(args[0].f);

    if (isnan(rounded) || rounded < -0x1p63 || rounded >= 0x1p63 || !fits(call, (int64_t)rounded)) {
        return out_of_range(call);
    }
    out->i = (int64_t)rounded;
    return ERR_OK;
}

static err_t
float_to_float(struct call *call, const struct datum *args, struct datum *out)
{
    double value = args[0].f;

    if (call->expr->type->oid == OID_FLOAT4) {
        double single = (double)(float)value;

        if (isinf(single) && !isinf(value)) {
            return sql_error("22003", "value out of range: overflow");
        }
        if (single == 0 && value != 0) {
            return sql_error("22003", "value out of range: underflow");
        }
        value = single;
    }
    out->f = value;
    return ERR_OK;
}

static err_t
float_to_numeric(struct call *call, const struct datum *args, struct datum *out)
{
    int digits = call->expr->args[0]->type->oid == OID_FLOAT4 ? 6 : 15;

    return numeric_from_double(call->arena, args[0].f, digits, &out->n);
}

static err_t
numeric_to_int_run(struct call *call, const struct datum *args, struct datum *out)
{
    const char *name = call->expr->type->display;

    if (!numeric_is_finite(args[0].n)) {
        return sql_error("0A000", "cannot convert %s to %s",
                         args[0].n.kind == NUMERIC_NAN ? "NaN" : "infinity", name);
    }
    if (!numeric_to_int(args[0].n, &out->i) || !fits(call, out->i)) {
        return out_of_range(call);
    }
    return ERR_OK;
}

static err_t
numeric_to_float_run(struct call *call, const struct datum *args, struct datum *out)
{
    double value = numeric_to_double(args[0].n);

    if (call->expr->type->oid == OID_FLOAT4) {
        value = (double)(float)value;
    }
    if (isinf(value) && numeric_is_finite(args[0].n)) {
        return sql_error("22003", "value out of range: overflow");
    }
    out->f = value;
    return ERR_OK;
}

static err_t
bpchar_to_text(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->bytes = bpchar_trim(args[0].bytes);
    return ERR_OK;
}

static err_t
char_to_text(struct call *call, const struct datum *args, struct datum *out)
{
    uint8_t *byte = arena_alloc(call->arena, 1);

    *byte = (uint8_t)args[0].i;
    out->bytes = slice_of(byte, args[0].i != 0);
    return ERR_OK;
}

static err_t
text_to_char(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->i = args[0].bytes.size > 0 ? args[0].bytes.data[0] : 0;
    return ERR_OK;
}

static err_t
text_to_name(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type_io io = {.arena = call->arena, .settings = call->settings};

    return name_input(call->expr->type, &io, args[0].bytes, -1, out);
}

static err_t
bool_to_text(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->bytes = args[0].i != 0 ? SLICE("true") : SLICE("false");
    return ERR_OK;
}

/* Only regclass is made of text without being asked to. */
static err_t
text_to_regclass(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type_io io = {.arena = call->arena, .settings = call->settings};

    return reg_input(call->expr->type, &io, args[0].bytes, -1, out);
}

/* ---- jsonb: a scalar of the right kind ---- */

static err_t
json_cast_error(const struct json_value *value, const char *name)
{
    const char *kind = value->kind == JSON_NULL     ? "null"
                       : value->kind == JSON_ARRAY  ? "array"
                       : value->kind == JSON_OBJECT ? "object"
                                                    : json_kind_name((enum json_kind)value->kind);

    return sql_error("22023", "cannot cast jsonb %s to type %s", kind, name);
}

static err_t
jsonb_to_bool(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_value value = json_root(args[0].bytes);

    if (value.kind != JSON_TRUE && value.kind != JSON_FALSE) {
        return json_cast_error(&value, call->expr->type->display);
    }
    out->i = value.kind == JSON_TRUE;
    return ERR_OK;
}

/* By way of numeric, as numeric itself becomes the type. */
static err_t
jsonb_to_number(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_value value = json_root(args[0].bytes);
    struct datum number;
    err_t err;

    if (value.kind != JSON_NUMBER) {
        return json_cast_error(&value, call->expr->type->display);
    }
    err = json_number(&value, call->arena, &number.n);
    if (err != ERR_OK) {
        return err;
    }
    switch (call->expr->type->rep) {
    case REP_INT:
        return numeric_to_int_run(call, &number, out);
    case REP_FLOAT:
        return numeric_to_float_run(call, &number, out);
    default:
        *out = number;
        return ERR_OK;
    }
}

/* ---- The table. Functions have the names that PostgreSQL gives them: those of the types. ---- */

struct cast_row {
    oid_t from, to;
    uint8_t coercion; /* The least explicit in which it happens. */
    uint8_t method;
    struct function function;
};

#define CAST(from_type, to_type, context, fname, code)                                             \
    {                                                                                              \
        (from_type), (to_type), (context), CAST_FUNCTION,                                          \
        {                                                                                          \
            .name = (fname), .result = (to_type), .args = {(from_type)}, .arg_count = 1,           \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define SAME(from_type, to_type, context)                                                          \
    {                                                                                              \
        .from = (from_type), .to = (to_type), .coercion = (context), .method = CAST_RELABEL        \
    }
#define THROUGH_TEXT(from_type, to_type, context)                                                  \
    {                                                                                              \
        .from = (from_type), .to = (to_type), .coercion = (context), .method = CAST_IO             \
    }
#define TO_FLOATS(from_type, code)                                                                 \
    CAST(from_type, OID_FLOAT4, COERCE_IMPLICIT, "float4", code),                                  \
        CAST(from_type, OID_FLOAT8, COERCE_IMPLICIT, "float8", code)
#define TO_INTS(from_type, code)                                                                   \
    CAST(from_type, OID_INT2, COERCE_ASSIGNMENT, "int2", code),                                    \
        CAST(from_type, OID_INT4, COERCE_ASSIGNMENT, "int4", code),                                \
        CAST(from_type, OID_INT8, COERCE_ASSIGNMENT, "int8", code)

#define REG(reg)                                                                                   \
    SAME(OID_OID, reg, COERCE_IMPLICIT), SAME(reg, OID_OID, COERCE_IMPLICIT),                      \
        CAST(OID_INT2, reg, COERCE_IMPLICIT, "int4", int_to_int),                                  \
        CAST(OID_INT4, reg, COERCE_IMPLICIT, "oid", int_to_int),                                   \
        CAST(OID_INT8, reg, COERCE_IMPLICIT, "oid", int_to_int),                                   \
        CAST(reg, OID_INT4, COERCE_ASSIGNMENT, "int4", int_to_int),                                \
        CAST(reg, OID_INT8, COERCE_ASSIGNMENT, "int8", int_to_int)

static const struct cast_row casts[] = {
    CAST(OID_INT2, OID_INT4, COERCE_IMPLICIT, "int4", int_to_int),
    CAST(OID_INT2, OID_INT8, COERCE_IMPLICIT, "int8", int_to_int),
    CAST(OID_INT4, OID_INT8, COERCE_IMPLICIT, "int8", int_to_int),
    CAST(OID_INT4, OID_INT2, COERCE_ASSIGNMENT, "int2", int_to_int),
    CAST(OID_INT8, OID_INT2, COERCE_ASSIGNMENT, "int2", int_to_int),
    CAST(OID_INT8, OID_INT4, COERCE_ASSIGNMENT, "int4", int_to_int),
    CAST(OID_INT2, OID_NUMERIC, COERCE_IMPLICIT, "numeric", int_to_numeric),
    CAST(OID_INT4, OID_NUMERIC, COERCE_IMPLICIT, "numeric", int_to_numeric),
    CAST(OID_INT8, OID_NUMERIC, COERCE_IMPLICIT, "numeric", int_to_numeric),
    TO_FLOATS(OID_INT2, int_to_float),
    TO_FLOATS(OID_INT4, int_to_float),
    TO_FLOATS(OID_INT8, int_to_float),
    TO_FLOATS(OID_NUMERIC, numeric_to_float_run),
    CAST(OID_FLOAT4, OID_FLOAT8, COERCE_IMPLICIT, "float8", float_to_float),
    CAST(OID_FLOAT8, OID_FLOAT4, COERCE_ASSIGNMENT, "float4", float_to_float),
    TO_INTS(OID_FLOAT4, float_to_int),
    TO_INTS(OID_FLOAT8, float_to_int),
    TO_INTS(OID_NUMERIC, numeric_to_int_run),
    CAST(OID_FLOAT4, OID_NUMERIC, COERCE_ASSIGNMENT, "numeric", float_to_numeric),
    CAST(OID_FLOAT8, OID_NUMERIC, COERCE_ASSIGNMENT, "numeric", float_to_numeric),
    CAST(OID_INT4, OID_BOOL, COERCE_EXPLICIT, "bool", int_to_bool),
    CAST(OID_BOOL, OID_INT4, COERCE_EXPLICIT, "int4", int_to_int),
    CAST(OID_INT2, OID_OID, COERCE_IMPLICIT, "oid", int_to_int),
    CAST(OID_INT4, OID_OID, COERCE_IMPLICIT, "oid", int_to_int),
    CAST(OID_INT8, OID_OID, COERCE_IMPLICIT, "oid", int_to_int),
    CAST(OID_OID, OID_INT8, COERCE_ASSIGNMENT, "int8", int_to_int),
    CAST(OID_OID, OID_INT4, COERCE_ASSIGNMENT, "int4", int_to_int),
    CAST(OID_DATE, OID_TIMESTAMP, COERCE_IMPLICIT, "timestamp", fn_date_to_timestamp),
    CAST(OID_DATE, OID_TIMESTAMPTZ, COERCE_IMPLICIT, "timestamptz", fn_date_to_timestamptz),
    CAST(OID_TIME, OID_INTERVAL, COERCE_IMPLICIT, "interval", fn_time_to_interval),
    CAST(OID_TIME, OID_TIMETZ, COERCE_IMPLICIT, "timetz", fn_time_to_timetz),
    CAST(OID_TIMESTAMP, OID_DATE, COERCE_ASSIGNMENT, "date", fn_timestamp_to_date),
    CAST(OID_TIMESTAMP, OID_TIME, COERCE_ASSIGNMENT, "time", fn_timestamp_to_time),
    CAST(OID_TIMESTAMP, OID_TIMESTAMPTZ, COERCE_IMPLICIT, "timestamptz",
         fn_timestamp_to_timestamptz),
    CAST(OID_TIMESTAMPTZ, OID_DATE, COERCE_ASSIGNMENT, "date", fn_timestamptz_to_date),
    CAST(OID_TIMESTAMPTZ, OID_TIME, COERCE_ASSIGNMENT, "time", fn_timestamptz_to_time),
    CAST(OID_TIMESTAMPTZ, OID_TIMESTAMP, COERCE_ASSIGNMENT, "timestamp",
         fn_timestamptz_to_timestamp),
    CAST(OID_TIMESTAMPTZ, OID_TIMETZ, COERCE_ASSIGNMENT, "timetz", fn_timestamptz_to_timetz),
    CAST(OID_INTERVAL, OID_TIME, COERCE_ASSIGNMENT, "time", fn_interval_to_time),
    CAST(OID_TIMETZ, OID_TIME, COERCE_ASSIGNMENT, "time", fn_timetz_to_time),
    CAST(OID_JSONB, OID_BOOL, COERCE_EXPLICIT, "bool", jsonb_to_bool),
    CAST(OID_JSONB, OID_NUMERIC, COERCE_EXPLICIT, "numeric", jsonb_to_number),
    CAST(OID_JSONB, OID_INT2, COERCE_EXPLICIT, "int2", jsonb_to_number),
    CAST(OID_JSONB, OID_INT4, COERCE_EXPLICIT, "int4", jsonb_to_number),
    CAST(OID_JSONB, OID_INT8, COERCE_EXPLICIT, "int8", jsonb_to_number),
    CAST(OID_JSONB, OID_FLOAT4, COERCE_EXPLICIT, "float4", jsonb_to_number),
    CAST(OID_JSONB, OID_FLOAT8, COERCE_EXPLICIT, "float8", jsonb_to_number),
    THROUGH_TEXT(OID_JSON, OID_JSONB, COERCE_ASSIGNMENT),
    THROUGH_TEXT(OID_JSONB, OID_JSON, COERCE_ASSIGNMENT),
    SAME(OID_TEXT, OID_VARCHAR, COERCE_IMPLICIT),
    SAME(OID_VARCHAR, OID_TEXT, COERCE_IMPLICIT),
    SAME(OID_TEXT, OID_BPCHAR, COERCE_IMPLICIT),
    SAME(OID_VARCHAR, OID_BPCHAR, COERCE_IMPLICIT),
    CAST(OID_BPCHAR, OID_TEXT, COERCE_IMPLICIT, "text", bpchar_to_text),
    CAST(OID_BPCHAR, OID_VARCHAR, COERCE_IMPLICIT, "varchar", bpchar_to_text),
    SAME(OID_NAME, OID_TEXT, COERCE_IMPLICIT),
    SAME(OID_NAME, OID_VARCHAR, COERCE_ASSIGNMENT),
    SAME(OID_NAME, OID_BPCHAR, COERCE_ASSIGNMENT),
    CAST(OID_TEXT, OID_NAME, COERCE_IMPLICIT, "name", text_to_name),
    CAST(OID_VARCHAR, OID_NAME, COERCE_IMPLICIT, "name", text_to_name),
    CAST(OID_BPCHAR, OID_NAME, COERCE_IMPLICIT, "name", text_to_name),
    CAST(OID_CHAR, OID_TEXT, COERCE_IMPLICIT, "text", char_to_text),
    CAST(OID_TEXT, OID_CHAR, COERCE_ASSIGNMENT, "char", text_to_char),
    REG(OID_REGPROC),
    REG(OID_REGPROCEDURE),
    REG(OID_REGOPER),
    REG(OID_REGOPERATOR),
    REG(OID_REGCLASS),
    REG(OID_REGTYPE),
    REG(OID_REGNAMESPACE),
    REG(OID_REGROLE),
    REG(OID_REGCOLLATION),
    SAME(OID_REGPROC, OID_REGPROCEDURE, COERCE_IMPLICIT),
    SAME(OID_REGPROCEDURE, OID_REGPROC, COERCE_IMPLICIT),
    SAME(OID_REGOPER, OID_REGOPERATOR, COERCE_IMPLICIT),
    SAME(OID_REGOPERATOR, OID_REGOPER, COERCE_IMPLICIT),
    CAST(OID_TEXT, OID_REGCLASS, COERCE_IMPLICIT, "regclass", text_to_regclass),
    CAST(OID_VARCHAR, OID_REGCLASS, COERCE_IMPLICIT, "regclass", text_to_regclass),
    SAME(OID_PG_NODE_TREE, OID_TEXT, COERCE_IMPLICIT),
    CAST(OID_BOOL, OID_TEXT, COERCE_ASSIGNMENT, "text", bool_to_text),
    CAST(OID_BOOL, OID_VARCHAR, COERCE_ASSIGNMENT, "varchar", bool_to_text),
    CAST(OID_BOOL, OID_BPCHAR, COERCE_ASSIGNMENT, "bpchar", bool_to_text),
};
enum { CAST_COUNT = sizeof(casts) / sizeof(casts[0]) };

bool
fn_is_cast(const struct function *function)
{
    return (const void *)function >= (const void *)casts &&
           (const void *)function < (const void *)(casts + CAST_COUNT);
}

bool
fn_cast_at(uint32_t index, struct cast_entry *out)
{
    const struct cast_row *row = &casts[index];

    if (index >= CAST_COUNT) {
        return false;
    }
    *out = (struct cast_entry){
        .from = row->from,
        .to = row->to,
        .coercion = (enum coercion)row->coercion,
        .method = (enum cast_method)row->method,
        .function = row->method == CAST_FUNCTION ? &row->function : NULL,
    };
    return true;
}

static bool
is_string(oid_t oid)
{
    const struct type *type = type_like(oid);

    return type != NULL && type->category == 'S';
}

static oid_t
element_of(oid_t oid, const struct type *type)
{
    return oid < OID_FIRST_USER ? type->element : oid - 1;
}

/* Arrays as their elements are: int4[] becomes int8[] where int4 becomes int8. */
static enum cast_method
array_cast(oid_t from, oid_t to, enum coercion coercion)
{
    const struct type *from_type = type_like(from), *to_type = type_like(to);
    const struct function *function;

    if (from_type == NULL || to_type == NULL || from_type->element_type == NULL ||
        to_type->element_type == NULL) {
        return CAST_NONE;
    }
    return fn_cast(element_of(from, from_type), element_of(to, to_type), coercion, &function) ==
                   CAST_NONE
               ? CAST_NONE
               : CAST_ARRAY;
}

enum cast_method
fn_cast(oid_t from, oid_t to, enum coercion coercion, const struct function **function_out)
{
    if (from == to) {
        return CAST_RELABEL;
    }
    for (uint32_t i = 0; i < CAST_COUNT; i++) {
        if (casts[i].from == from && casts[i].to == to) {
            *function_out = &casts[i].function;
            return casts[i].coercion <= coercion ? (enum cast_method)casts[i].method : CAST_NONE;
        }
    }
    if (from == OID_UNKNOWN) {
        return CAST_IO;
    }
    if (array_cast(from, to, coercion) == CAST_ARRAY) {
        return CAST_ARRAY;
    }
    /* To text by assignment, from text when it is asked for. */
    if (coercion >= COERCE_ASSIGNMENT && is_string(to)) {
        return CAST_IO;
    }
    return coercion == COERCE_EXPLICIT && is_string(from) ? CAST_IO : CAST_NONE;
}
