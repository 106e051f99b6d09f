/* models/types/type.c - the table of built-in types, and what goes by representation. */
#include "models/types/type.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/datetime.h"
#include "models/types/enum.h"
#include "models/types/jsonb.h"
#include "models/types/sql_error.h"
#include "models/types/tuple.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

const struct type_settings type_settings_default = {.extra_float_digits = 1};

/* ---- Order ---- */

static int
compare_int(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    return (a.i > b.i) - (a.i < b.i);
}

/* NaN is equal to itself and above all other numbers. */
static int
compare_float(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    if (__builtin_expect(a.f != a.f || b.f != b.f, 0)) {
        return (a.f != a.f) - (b.f != b.f);
    }
    return (a.f > b.f) - (a.f < b.f);
}

static int
compare_bytes(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    return slice_compare(a.bytes, b.bytes);
}

static int
compare_bpchar(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    return slice_compare(bpchar_trim(a.bytes), bpchar_trim(b.bytes));
}

static int
compare_numeric(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    return numeric_compare(a.n, b.n);
}

static int
compare_interval(const struct type *type, struct datum a, struct datum b)
{
    __int128 x = interval_span(&a.interval), y = interval_span(&b.interval);

    (void)type;
    return (x > y) - (x < y);
}

static int64_t
timetz_moment(struct timetz value)
{
    return value.us - value.offset * US_SECOND;
}

/* By the moment; equal ones by the zone, from the east to the west. */
static int
compare_timetz(const struct type *type, struct datum a, struct datum b)
{
    int64_t x = timetz_moment(a.timetz), y = timetz_moment(b.timetz);

    (void)type;
    if (x != y) {
        return x < y ? -1 : 1;
    }
    return (a.timetz.offset < b.timetz.offset) - (a.timetz.offset > b.timetz.offset);
}

/* ---- The table: numbers and properties as in pg_type.dat. For each type: its number and that of
 * its array, names, length, category, is it preferred, representation, input and output, order.
 * The array's own row comes from the same line. ---- */

#define TYPES(X)                                                                                   \
    X(OID_BOOL, 1000, "bool", "boolean", 1, 'B', true, REP_INT, bool, int)                         \
    X(OID_BYTEA, 1001, "bytea", "bytea", -1, 'U', false, REP_BYTES, bytea, bytes)                  \
    X(OID_CHAR, 1002, "char", "\"char\"", 1, 'Z', false, REP_INT, char, int)                       \
    X(OID_NAME, 1003, "name", "name", 64, 'S', false, REP_BYTES, name, bytes)                      \
    X(OID_INT8, 1016, "int8", "bigint", 8, 'N', false, REP_INT, int, int)                          \
    X(OID_INT2, 1005, "int2", "smallint", 2, 'N', false, REP_INT, int, int)                        \
    X(OID_INT4, 1007, "int4", "integer", 4, 'N', false, REP_INT, int, int)                         \
    X(OID_TEXT, 1009, "text", "text", -1, 'S', true, REP_BYTES, text, bytes)                       \
    X(OID_OID, 1028, "oid", "oid", 4, 'N', true, REP_INT, int, int)                                \
    X(OID_FLOAT4, 1021, "float4", "real", 4, 'N', false, REP_FLOAT, float, float)                  \
    X(OID_FLOAT8, 1022, "float8", "double precision", 8, 'N', true, REP_FLOAT, float, float)       \
    X(OID_BPCHAR, 1014, "bpchar", "character", -1, 'S', false, REP_BYTES, bpchar, bpchar)          \
    X(OID_VARCHAR, 1015, "varchar", "character varying", -1, 'S', false, REP_BYTES, varchar,       \
      bytes)                                                                                       \
    X(OID_DATE, 1182, "date", "date", 4, 'D', false, REP_INT, date, int)                           \
    X(OID_TIME, 1183, "time", "time without time zone", 8, 'D', false, REP_INT, clock, int)        \
    X(OID_TIMESTAMP, 1115, "timestamp", "timestamp without time zone", 8, 'D', false, REP_INT,     \
      timestamp, int)                                                                              \
    X(OID_TIMESTAMPTZ, 1185, "timestamptz", "timestamp with time zone", 8, 'D', true, REP_INT,     \
      timestamptz, int)                                                                            \
    X(OID_INTERVAL, 1187, "interval", "interval", 16, 'T', true, REP_INTERVAL, interval, interval) \
    X(OID_TIMETZ, 1270, "timetz", "time with time zone", 12, 'D', false, REP_TIMETZ, clocktz,      \
      timetz)                                                                                      \
    X(OID_NUMERIC, 1231, "numeric", "numeric", -1, 'N', false, REP_NUMERIC, decimal, numeric)      \
    X(OID_RECORD, 2287, "record", "record", -1, 'P', false, REP_BYTES, tuple, tuple)               \
    X(OID_JSON, 199, "json", "json", -1, 'U', false, REP_BYTES, json, none)                        \
    X(OID_JSONB, 3807, "jsonb", "jsonb", -1, 'U', false, REP_BYTES, jsonb, jsonb)                  \
    X(OID_UUID, 2951, "uuid", "uuid", 16, 'U', false, REP_BYTES, uuid, bytes)                      \
    X(OID_REGPROC, 1008, "regproc", "regproc", 4, 'N', true, REP_INT, reg, int)                    \
    X(OID_REGPROCEDURE, 2207, "regprocedure", "regprocedure", 4, 'N', true, REP_INT, reg, int)     \
    X(OID_REGOPER, 2208, "regoper", "regoper", 4, 'N', true, REP_INT, reg, int)                    \
    X(OID_REGOPERATOR, 2209, "regoperator", "regoperator", 4, 'N', true, REP_INT, reg, int)        \
    X(OID_REGCLASS, 2210, "regclass", "regclass", 4, 'N', true, REP_INT, reg, int)                 \
    X(OID_REGTYPE, 2211, "regtype", "regtype", 4, 'N', true, REP_INT, reg, int)                    \
    X(OID_REGNAMESPACE, 4090, "regnamespace", "regnamespace", 4, 'N', true, REP_INT, reg, int)     \
    X(OID_REGROLE, 4097, "regrole", "regrole", 4, 'N', true, REP_INT, reg, int)                    \
    X(OID_REGCOLLATION, 4192, "regcollation", "regcollation", 4, 'N', true, REP_INT, reg, int)     \
    X(OID_XID, 1011, "xid", "xid", 4, 'U', false, REP_INT, xid, int)                               \
    X(OID_ACLITEM, 1034, "aclitem", "aclitem", 12, 'U', false, REP_BYTES, text, none)              \
    X(OID_INT2VECTOR, 1006, "int2vector", "int2vector", -1, 'A', false, REP_BYTES, vector, none)   \
    X(OID_OIDVECTOR, 1013, "oidvector", "oidvector", -1, 'A', false, REP_BYTES, vector, array)
/* Types without arrays: literals, and what parameters of functions are declared as. */
#define PSEUDO_TYPES(X)                                                                            \
    X(OID_UNKNOWN, "unknown", "unknown", -2, 'X', text)                                            \
    X(OID_PG_NODE_TREE, "pg_node_tree", "pg_node_tree", -1, 'Z', text)                             \
    X(OID_VOID, "void", "void", 4, 'P', text)                                                      \
    X(OID_ANY, "any", "\"any\"", 4, 'P', pseudo)                                                   \
    X(OID_ANYELEMENT, "anyelement", "anyelement", 4, 'P', pseudo)                                  \
    X(OID_ANYARRAY, "anyarray", "anyarray", -1, 'P', pseudo)                                       \
    X(OID_ANYNONARRAY, "anynonarray", "anynonarray", 4, 'P', pseudo)                               \
    X(OID_ANYENUM, "anyenum", "anyenum", 4, 'P', pseudo)                                           \
    X(OID_ANYCOMPATIBLE, "anycompatible", "anycompatible", 4, 'P', pseudo)                         \
    X(OID_ANYCOMPATIBLEARRAY, "anycompatiblearray", "anycompatiblearray", -1, 'P', pseudo)         \
    X(OID_ANYCOMPATIBLENONARRAY, "anycompatiblenonarray", "anycompatiblenonarray", 4, 'P', pseudo)

#define compare_none           NULL
#define array_compare_none     NULL
#define array_compare_int      array_compare
#define array_compare_float    array_compare
#define array_compare_bytes    array_compare
#define array_compare_bpchar   array_compare
#define array_compare_numeric  array_compare
#define array_compare_array    array_compare
#define array_compare_interval array_compare
#define array_compare_timetz   array_compare
#define compare_array          array_compare
#define compare_tuple          tuple_compare
#define compare_jsonb          jsonb_compare
#define array_compare_jsonb    array_compare
#define array_compare_tuple    array_compare

#define TYPE_INDEX(number, ...) INDEX_##number,
enum { TYPES(TYPE_INDEX) TYPE_COUNT };
#define PSEUDO_INDEX(number, ...) PSEUDO_##number,
enum { PSEUDO_TYPES(PSEUDO_INDEX) PSEUDO_COUNT };
enum { ARRAYS_FIRST = TYPE_COUNT, PSEUDO_FIRST = 2 * TYPE_COUNT };
enum { ALL_COUNT = 2 * TYPE_COUNT + PSEUDO_COUNT };

#define TYPE_ROW(number, array_oid, type_name, type_display, size, kind, preferred, member, io,    \
                 order)                                                                            \
    {                                                                                              \
        .oid = (number),                                                                           \
        .array = (array_oid),                                                                      \
        .name = (type_name),                                                                       \
        .display = (type_display),                                                                 \
        .length = (size),                                                                          \
        .category = (kind),                                                                        \
        .is_preferred = (preferred),                                                               \
        .rep = (member),                                                                           \
        .input = io##_input,                                                                       \
        .output = io##_output,                                                                     \
        .receive = io##_receive,                                                                   \
        .send = io##_send,                                                                         \
        .compare = compare_##order,                                                                \
        .array_type = &types[ARRAYS_FIRST + INDEX_##number],                                       \
        .element = ELEMENT_OF(number),                                                             \
        .element_type = ELEMENT_TYPE_OF(number),                                                   \
    },
#define ELEMENT_OF(number)                                                                         \
    ((number) == OID_INT2VECTOR ? OID_INT2 : (number) == OID_OIDVECTOR ? OID_OID : 0)
#define ELEMENT_TYPE_OF(number)                                                                    \
    ((number) == OID_INT2VECTOR  ? &types[INDEX_OID_INT2]                                          \
     : (number) == OID_OIDVECTOR ? &types[INDEX_OID_OID]                                           \
                                 : NULL)
#define ARRAY_ROW(number, array_oid, type_name, type_display, size, kind, preferred, member, io,   \
                  order)                                                                           \
    {                                                                                              \
        .oid = (array_oid),                                                                        \
        .name = "_" type_name,                                                                     \
        .display = type_display "[]",                                                              \
        .length = -1,                                                                              \
        .category = 'A',                                                                           \
        .rep = REP_BYTES,                                                                          \
        .input = array_input,                                                                      \
        .output = array_output,                                                                    \
        .receive = array_receive,                                                                  \
        .send = array_send,                                                                        \
        .compare = array_compare_##order,                                                          \
        .element = (number),                                                                       \
        .element_type = &types[INDEX_##number],                                                    \
    },
#define PSEUDO_ROW(number, type_name, type_display, size, kind, io)                                \
    {                                                                                              \
        .oid = (number),                                                                           \
        .name = (type_name),                                                                       \
        .display = (type_display),                                                                 \
        .length = (size),                                                                          \
        .category = (kind),                                                                        \
        .rep = REP_BYTES,                                                                          \
        .input = io##_input,                                                                       \
        .output = io##_output,                                                                     \
        .receive = io##_receive,                                                                   \
        .send = io##_send,                                                                         \
    },

static const struct type types[ALL_COUNT] = {TYPES(TYPE_ROW) TYPES(ARRAY_ROW)
                                                 PSEUDO_TYPES(PSEUDO_ROW)};

uint32_t
type_count(void)
{
    return ALL_COUNT;
}

const struct type *
type_at(uint32_t index)
{
    ASSERT(index < ALL_COUNT);
    return &types[index];
}

const struct type *
type_by_oid(oid_t oid)
{
    for (uint32_t i = 0; i < ALL_COUNT; i++) {
        if (types[i].oid == oid) {
            return &types[i];
        }
    }
    return NULL;
}

const struct type *
type_like(oid_t oid)
{
    static const struct type models[] = {
        {
            .oid = OID_FIRST_USER,
            .array = OID_FIRST_USER + 1,
            .array_type = &models[1],
            .name = "anyenum",
            .display = "anyenum",
            .length = ENUM_VALUE_BYTES,
            .category = 'E',
            .rep = REP_INT,
        },
        {
            .oid = OID_FIRST_USER + 1,
            .element = OID_FIRST_USER,
            .element_type = &models[0],
            .name = "anyarray",
            .display = "anyarray",
            .length = -1,
            .category = 'A',
            .rep = REP_BYTES,
        },
    };

    if (oid < OID_FIRST_USER) {
        return type_by_oid(oid);
    }
    return &models[oid % 2];
}

int16_t
type_shown_length(const struct type *type)
{
    return type->category == 'E' ? (int16_t)ENUM_SHOWN_BYTES : type->length;
}

const struct type *
type_by_name(struct slice name)
{
    for (uint32_t i = 0; i < ALL_COUNT; i++) {
        if (slice_equal(name, slice_from_text(types[i].name))) {
            return &types[i];
        }
    }
    return NULL;
}

/* ---- Keys ----
 *
 *     integers   8 bytes, big-endian, the sign bit flipped (bool and "char": 1 byte)
 *     floats     8 bytes: of negative ones all bits flipped, of others the sign bit; -0 is 0
 *     bytes      0 becomes 0 255, and 0 1 ends them
 *     numeric    numeric_key_put
 *     interval   16 bytes: microseconds by 30 days a month, big-endian, the sign bit flipped
 *     timetz     8 bytes: the moment in UTC as an integer, 4 bytes: seconds west of Greenwich */

enum { KEY_ZERO = 0, KEY_ZERO_ESCAPED = UINT8_MAX, KEY_END = 1 };

static void
key_be64(struct buf *out, uint64_t value)
{
    put_be64(buf_reserve(out, 8), value);
    out->size += 8;
}

static void
key_bytes(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.size; i++) {
        buf_append_byte(out, bytes.data[i]);
        if (bytes.data[i] == KEY_ZERO) {
            buf_append_byte(out, KEY_ZERO_ESCAPED);
        }
    }
    buf_append_byte(out, KEY_ZERO);
    buf_append_byte(out, KEY_END);
}

static uint64_t
float_bits(double value)
{
    const uint64_t sign = UINT64_C(1) << 63;
    uint64_t bits;

    value = value == 0 ? 0 : value;
    if (value != value) {
        return UINT64_MAX;
    }
    memcpy(&bits, &value, sizeof(bits));
    return (bits & sign) != 0 ? ~bits : bits | sign;
}

void
type_key_put(const struct type *type, struct datum value, struct buf *out)
{
    const uint64_t sign = UINT64_C(1) << 63;
    __int128 span;

    switch ((enum type_rep)type->rep) {
    case REP_INT:
        if (type->length == 1) {
            buf_append_byte(out, (uint8_t)value.i);
        } else {
            key_be64(out, (uint64_t)value.i ^ sign);
        }
        return;
    case REP_FLOAT:
        key_be64(out, float_bits(value.f));
        return;
    case REP_BYTES:
        if (type->element_type != NULL) {
            array_key_put(type, value, out);
            return;
        }
        if (type->oid == OID_JSONB) {
            jsonb_key_put(value, out);
            return;
        }
        key_bytes(out, type->oid == OID_BPCHAR ? bpchar_trim(value.bytes) : value.bytes);
        return;
    case REP_NUMERIC:
        numeric_key_put(value.n, out);
        return;
    case REP_INTERVAL:
        span = interval_span(&value.interval);
        key_be64(out, (uint64_t)(span >> 64) ^ sign);
        key_be64(out, (uint64_t)span);
        return;
    case REP_TIMETZ:
        key_be64(out, (uint64_t)timetz_moment(value.timetz) ^ sign);
        put_be32(buf_reserve(out, 4), (uint32_t)-value.timetz.offset ^ UINT32_C(1) << 31);
        out->size += 4;
        return;
    }
}

void
type_hash_put(const struct type *type, struct datum value, struct buf *out)
{
    struct slice bytes;

    switch ((enum type_rep)type->rep) {
    case REP_INT:
        buf_append(out, &value.i, sizeof(value.i));
        return;
    case REP_BYTES:
        if (type->oid == OID_RECORD) {
            tuple_hash_put(value, out);
            return;
        }
        if (type->element_type != NULL) {
            array_hash_put(type, value, out);
            return;
        }
        if (type->oid == OID_JSONB) {
            jsonb_key_put(value, out);
            return;
        }
        bytes = type->oid == OID_BPCHAR ? bpchar_trim(value.bytes) : value.bytes;
        buf_append_varint(out, bytes.size);
        buf_append(out, bytes.data, bytes.size);
        return;
    case REP_FLOAT:
    case REP_NUMERIC:
    case REP_INTERVAL:
    case REP_TIMETZ:
        type_key_put(type, value, out);
        return;
    }
}

/* ---- Rows ---- */

void
type_row_put(const struct type *type, struct datum value, struct buf *out)
{
    switch ((enum type_rep)type->rep) {
    case REP_INT:
        buf_append(out, &value.i, (size_t)type->length);
        return;
    case REP_FLOAT:
        if (type->length == sizeof(float)) {
            float single = (float)value.f;

            buf_append(out, &single, sizeof(single));
        } else {
            buf_append(out, &value.f, sizeof(value.f));
        }
        return;
    case REP_BYTES:
        buf_append(out, value.bytes.data, value.bytes.size);
        return;
    case REP_NUMERIC:
        numeric_put(value.n, out);
        return;
    case REP_INTERVAL:
        buf_append(out, &value.interval, sizeof(value.interval));
        return;
    case REP_TIMETZ:
        buf_append(out, &value.timetz, TIMETZ_BYTES);
        return;
    }
}

static int64_t
stored_int(const struct type *type, const uint8_t *bytes)
{
    switch (type->length) {
    case 1:
        return bytes[0];
    case 2:
        return (int16_t)get_le16(bytes);
    case 4:
        return type_is_unsigned(type) ? (int64_t)get_le32(bytes) : (int32_t)get_le32(bytes);
    default:
        return (int64_t)get_le64(bytes);
    }
}

/* Is a stored day, time or moment one that there is? */
static err_t
stored_check(const struct type *type, struct datum value)
{
    bool is_good = true;

    switch (type->oid) {
    case OID_DATE:
        is_good = !date_is_finite(value.i) || date_is_valid(value.i);
        break;
    case OID_TIME:
        is_good = value.i >= 0 && value.i <= US_DAY;
        break;
    case OID_TIMETZ:
        is_good = value.timetz.us >= 0 && value.timetz.us <= US_DAY &&
                  value.timetz.offset > -US_DAY / US_SECOND &&
                  value.timetz.offset < US_DAY / US_SECOND;
        break;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        is_good = !timestamp_is_finite(value.i) || timestamp_is_valid(value.i);
        break;
    default:
        break;
    }
    return is_good ? ERR_OK : err_set(ERR_CORRUPT, "a stored %s is out of range", type->name);
}

err_t
type_row_get(const struct type *type, struct slice bytes, struct arena *arena, struct datum *out)
{
    size_t fixed = type->length > 0 && type->rep != REP_BYTES ? (size_t)type->length : 0;
    float single;

    if (fixed != 0 && bytes.size != fixed) {
        return err_set(ERR_CORRUPT, "a stored %s has %zu bytes", type->name, bytes.size);
    }
    switch ((enum type_rep)type->rep) {
    case REP_INT:
        out->i = stored_int(type, bytes.data);
        return stored_check(type, *out);
    case REP_FLOAT:
        if (fixed == sizeof(single)) {
            memcpy(&single, bytes.data, sizeof(single));
            out->f = single;
        } else {
            memcpy(&out->f, bytes.data, sizeof(out->f));
        }
        return ERR_OK;
    case REP_BYTES:
        out->bytes = bytes;
        return type->element_type != NULL ? array_check(type, bytes)
               : type->oid == OID_JSONB   ? jsonb_check(type, bytes)
                                          : ERR_OK;
    case REP_NUMERIC:
        return numeric_get(bytes, arena, &out->n);
    case REP_INTERVAL:
        memcpy(&out->interval, bytes.data, sizeof(out->interval));
        return ERR_OK;
    case REP_TIMETZ:
        memcpy(&out->timetz, bytes.data, TIMETZ_BYTES);
        return stored_check(type, *out);
    }
    return ERR_OK;
}

struct datum
type_copy(const struct type *type, struct datum value, struct arena *arena)
{
    if (type->rep == REP_BYTES) {
        value.bytes = arena_copy(arena, value.bytes);
    } else if (type->rep == REP_NUMERIC && value.n.kind == NUMERIC_BIG) {
        size_t size = sizeof(*value.n.big) + value.n.big->limb_count * sizeof(uint64_t);

        value.n.big = (const void *)arena_copy(arena, slice_of(value.n.big, size)).data;
    }
    return value;
}

/* ---- Modifiers ---- */

enum { MODIFIER_HEADER = 4 }; /* PostgreSQL adds its header's size to what was declared. */

static void
numeric_modifier(int32_t typmod, int32_t *precision_out, int32_t *scale_out)
{
    int32_t packed = typmod - MODIFIER_HEADER;
    int32_t scale = packed & 0x7ff;

    *precision_out = (packed >> 16) & 0xffff;
    *scale_out = scale >= 1024 ? scale - 2048 : scale;
}

err_t
type_coerce_length(const struct type *type, struct datum value, int32_t typmod, bool is_explicit,
                   struct arena *arena, struct datum *out)
{
    int32_t precision, scale;

    *out = value;
    if (typmod < 0) {
        return ERR_OK;
    }
    if (type->element_type != NULL) {
        return array_coerce_length(type, value, typmod, is_explicit, arena, out);
    }
    switch (type->oid) {
    case OID_VARCHAR:
    case OID_BPCHAR:
        return text_fit(type, value.bytes, typmod - MODIFIER_HEADER, is_explicit, arena,
                        &out->bytes);
    case OID_NUMERIC:
        numeric_modifier(typmod, &precision, &scale);
        return numeric_fit(arena, value.n, precision, scale, &out->n);
    case OID_TIME:
        out->i = typmod < DATETIME_PRECISION_MAX ? us_round(value.i, typmod) : value.i;
        return ERR_OK;
    case OID_TIMETZ:
        out->timetz.us =
            typmod < DATETIME_PRECISION_MAX ? us_round(value.timetz.us, typmod) : value.timetz.us;
        return ERR_OK;
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        return timestamp_fit(value.i, typmod, &out->i);
    case OID_INTERVAL:
        return interval_fit(value.interval, typmod, &out->interval);
    default:
        return ERR_OK;
    }
}

/* The modifier stands behind the first word: time(3) without time zone. */
static void
precision_format(const struct type *type, int32_t precision, struct buf *out)
{
    const char *rest = strchr(type->display, ' ');

    buf_printf(out, "%.*s(%d)%s", (int)(rest - type->display), type->display, precision, rest);
}

void
type_format(const struct type *type, int32_t typmod, struct buf *out)
{
    int32_t precision, scale;

    if (type->category == 'A' && type->array_type == NULL) {
        type_format(type->element_type, typmod, out);
        buf_append(out, "[]", 2);
        return;
    }
    if (typmod >= 0 && (type->oid == OID_TIME || type->oid == OID_TIMETZ ||
                        type->oid == OID_TIMESTAMP || type->oid == OID_TIMESTAMPTZ)) {
        precision_format(type, typmod, out);
        return;
    }
    buf_printf(out, "%s", type->display);
    if (typmod < 0) {
        return;
    }
    if (type->oid == OID_VARCHAR || type->oid == OID_BPCHAR) {
        buf_printf(out, "(%d)", typmod - MODIFIER_HEADER);
    } else if (type->oid == OID_NUMERIC) {
        numeric_modifier(typmod, &precision, &scale);
        buf_printf(out, "(%d,%d)", precision, scale);
    } else if (type->oid == OID_INTERVAL) {
        interval_typmod_text(typmod, out);
    }
}
