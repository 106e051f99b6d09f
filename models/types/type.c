/* models/types/type.c - the table of built-in types, and what goes by representation. */
#include "models/types/type.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
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
    X(OID_NUMERIC, 1231, "numeric", "numeric", -1, 'N', false, REP_NUMERIC, decimal, numeric)      \
    X(OID_RECORD, 2287, "record", "record", -1, 'P', false, REP_BYTES, tuple, tuple)               \
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

#define compare_none          NULL
#define array_compare_none    NULL
#define array_compare_int     array_compare
#define array_compare_float   array_compare
#define array_compare_bytes   array_compare
#define array_compare_bpchar  array_compare
#define array_compare_numeric array_compare
#define array_compare_array   array_compare
#define compare_array         array_compare
#define compare_tuple         tuple_compare
#define array_compare_tuple   array_compare

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
 *     numeric    numeric_key_put */

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
        key_bytes(out, type->oid == OID_BPCHAR ? bpchar_trim(value.bytes) : value.bytes);
        return;
    case REP_NUMERIC:
        numeric_key_put(value.n, out);
        return;
    case REP_INTERVAL:
        key_be64(out, (uint64_t)value.interval.us ^ sign);
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
        bytes = type->oid == OID_BPCHAR ? bpchar_trim(value.bytes) : value.bytes;
        buf_append_varint(out, bytes.size);
        buf_append(out, bytes.data, bytes.size);
        return;
    case REP_FLOAT:
    case REP_NUMERIC:
    case REP_INTERVAL:
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
        return ERR_OK;
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
        return type->element_type != NULL ? array_check(type, bytes) : ERR_OK;
    case REP_NUMERIC:
        return numeric_get(bytes, arena, &out->n);
    case REP_INTERVAL:
        memcpy(&out->interval, bytes.data, sizeof(out->interval));
        return ERR_OK;
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
    default:
        return ERR_OK;
    }
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
    buf_printf(out, "%s", type->display);
    if (typmod < 0) {
        return;
    }
    if (type->oid == OID_VARCHAR || type->oid == OID_BPCHAR) {
        buf_printf(out, "(%d)", typmod - MODIFIER_HEADER);
    } else if (type->oid == OID_NUMERIC) {
        numeric_modifier(typmod, &precision, &scale);
        buf_printf(out, "(%d,%d)", precision, scale);
    }
}
