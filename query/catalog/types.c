/* query/catalog/types.c - pg_type, and what is told of types, collations and access methods. */
#include <stdio.h>
#include <string.h>

#include "models/types/enum.h"
#include "query/catalog/fill.h"
#include "query/catalog/proc.h"

#include "engine/base/poison.h"

enum { TYPE_TIMETZ = 1266, TYPE_ANYENUM = 3500 };

/* ---- How PostgreSQL keeps values ---- */

bool
type_is_by_value(const struct type *type)
{
    return type->length > 0 && type->length <= 8 && type->oid != OID_TID;
}

char
type_alignment(const struct type *type)
{
    if (type->element_type != NULL && type->name[0] == '_') {
        return type_alignment(type->element_type) == 'd' ? 'd' : 'i';
    }
    if (type->category == 'E') {
        return 'i';
    }
    switch (type->length) {
    case 1:
        return 'c';
    case 2:
        return 's';
    case 8:
        return 'd';
    case -2:
        return 'c';
    default:
        break;
    }
    switch (type->oid) {
    case OID_NAME:
    case OID_UUID:
        return 'c';
    case OID_TID:
        return 's';
    case OID_INTERVAL:
    case TYPE_TIMETZ:
        return 'd';
    default:
        return 'i';
    }
}

char
type_storage(const struct type *type)
{
    if (type->length != -1 || type->oid == OID_INT2VECTOR || type->oid == OID_OIDVECTOR) {
        return 'p';
    }
    return type->oid == OID_NUMERIC ? 'm' : 'x';
}

oid_t
type_collation(const struct type *type)
{
    switch (type->name[0] == '_' ? type->element : type->oid) {
    case OID_TEXT:
    case OID_VARCHAR:
    case OID_BPCHAR:
    case OID_PG_NODE_TREE:
        return OID_COLLATION_DEFAULT;
    case OID_NAME:
        return OID_COLLATION_C;
    default:
        return 0;
    }
}

/* ---- pg_type ---- */

enum { ARRAY_SUBSCRIPT_HANDLER = 6179, ARRAY_TYPANALYZE = 3816 };
enum { TYPE_OID = 0, TYPE_NAME = 1 };

/* The function that has PostgreSQL's way of naming: int4in, uuid_in. */
static void
io_put(struct system_rows *rows, const struct type *type, const char *suffix, oid_t arg)
{
    char name[NAME_BYTES_MAX + 1];
    struct number_cursor cursor = {0};
    struct number number;
    char category = type->category;
    bool is_array = category == 'A' && type->array_type == NULL;
    oid_t found = 0;
    (void)arg;

    if (!row_wants(rows)) {
        row_null(rows, 1);
        return;
    }
    for (uint32_t i = 0; found == 0 && i < 2; i++) {
        struct slice wanted;
        int size = snprintf(name, sizeof(name), "%s%s%s",
                            is_array          ? "array"
                            : category == 'E' ? "enum"
                                              : type->name,
                            i == 0 ? "" : "_", suffix);

        wanted = slice_of(name, (size_t)size);
        cursor = (struct number_cursor){0};
        while (found == 0 && number_next(NUMBERS_PROC, &cursor, &number)) {
            found = slice_equal(number.name, wanted) ? number.oid : 0;
        }
    }
    row_int(rows, found);
}

static err_t
type_put(struct system_rows *rows, const struct type *type)
{
    bool has_modifier =
        type->oid == OID_VARCHAR || type->oid == OID_BPCHAR || type->oid == OID_NUMERIC;
    const struct enum_type *made =
        enum_type_of(type->oid % 2 != 0 && type->element_type != NULL ? type->element_type : type);

    row_int(rows, type->oid);
    row_name(rows, type->name);
    row_int(rows, made != NULL ? made->schema : (oid_t)OID_SCHEMA_CATALOG);
    row_int(rows, made != NULL ? made->owner : (oid_t)OID_OWNER);
    row_int(rows, type_shown_length(type));
    row_int(rows, type_is_by_value(type));
    row_int(rows, type->category == 'P' || type->oid == OID_UNKNOWN ? 'p'
                  : type->category == 'E'                           ? 'e'
                                                                    : 'b');
    row_int(rows, type->category);
    row_int(rows, type->is_preferred);
    row_int(rows, true);
    row_int(rows, ',');
    row_int(rows, 0);
    row_int(rows, type->element != 0 ? ARRAY_SUBSCRIPT_HANDLER : 0);
    row_int(rows, type->element);
    row_int(rows, type->array);
    io_put(rows, type, "in", 0);
    io_put(rows, type, "out", 0);
    io_put(rows, type, "recv", 0);
    io_put(rows, type, "send", 0);
    if (has_modifier) {
        io_put(rows, type, "typmodin", 0);
        io_put(rows, type, "typmodout", 0);
    } else {
        row_int(rows, 0);
        row_int(rows, 0);
    }
    row_int(rows, type->name[0] == '_' ? ARRAY_TYPANALYZE : 0);
    row_int(rows, type_alignment(type));
    row_int(rows, type_storage(type));
    row_int(rows, false);
    row_int(rows, 0);
    row_int(rows, -1);
    row_int(rows, 0);
    row_int(rows, type_collation(type));
    row_null(rows, 3);
    return row_end(rows);
}

err_t
fill_type(struct system_rows *rows)
{
    const struct object *objects;
    uint32_t count;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < type_count(); i++) {
        const struct type *type = type_at(i);

        if (rows_may(rows, TYPE_OID, type->oid) &&
            rows_may_name(rows, TYPE_NAME, slice_from_text(type->name))) {
            err = type_put(rows, type);
        }
    }
    objects = catalog_objects(rows->catalog, CATALOG_TYPE, &count);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        const struct enum_type *made = objects[i].decoded;

        err = type_put(rows, &made->type);
        if (err == ERR_OK) {
            err = type_put(rows, &made->array);
        }
    }
    return err;
}

/* ---- pg_enum ---- */

err_t
fill_enum(struct system_rows *rows)
{
    uint32_t count;
    const struct object *objects = catalog_objects(rows->catalog, CATALOG_TYPE, &count);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        const struct enum_type *made = objects[i].decoded;

        for (uint32_t j = 0; err == ERR_OK && j < made->count; j++) {
            row_int(rows, made->labels[j].oid);
            row_int(rows, made->type.oid);
            row_float(rows, (double)made->labels[j].order);
            row_text(rows, made->labels[j].name);
            err = row_end(rows);
        }
    }
    return err;
}

/* ---- pg_am, pg_collation, pg_language ---- */

err_t
fill_am(struct system_rows *rows)
{
    static const struct {
        oid_t oid, handler;
        const char *name;
        char kind;
    } methods[] = {{OID_AM_HEAP, 3, "heap", 't'}, {OID_AM_BTREE, 330, "btree", 'i'}};
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < sizeof(methods) / sizeof(methods[0]); i++) {
        row_int(rows, methods[i].oid);
        row_name(rows, methods[i].name);
        row_int(rows, methods[i].handler);
        row_int(rows, methods[i].kind);
        err = row_end(rows);
    }
    return err;
}

err_t
fill_collation(struct system_rows *rows)
{
    static const oid_t numbers[] = {OID_COLLATION_DEFAULT, OID_COLLATION_C, 951};
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct slice name = collation_name(numbers[i]);
        bool is_default = numbers[i] == OID_COLLATION_DEFAULT;

        row_int(rows, numbers[i]);
        row_text(rows, name);
        row_int(rows, OID_SCHEMA_CATALOG);
        row_int(rows, OID_OWNER);
        row_int(rows, is_default ? 'd' : 'c');
        row_int(rows, true);
        row_int(rows, -1);
        if (is_default) {
            row_null(rows, 2);
        } else {
            row_text(rows, name);
            row_text(rows, name);
        }
        row_null(rows, 2);
        err = row_end(rows);
    }
    return err;
}

err_t
fill_language(struct system_rows *rows)
{
    static const struct {
        oid_t oid, validator;
        const char *name;
    } languages[] = {{12, 2246, "internal"}, {13, 2247, "c"}, {14, 2248, "sql"}};
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < sizeof(languages) / sizeof(languages[0]); i++) {
        row_int(rows, languages[i].oid);
        row_name(rows, languages[i].name);
        row_int(rows, OID_OWNER);
        row_int(rows, false);
        row_int(rows, languages[i].oid == 14);
        row_int(rows, 0);
        row_int(rows, 0);
        row_int(rows, languages[i].validator);
        row_null(rows, 1);
        err = row_end(rows);
    }
    return err;
}

/* ---- pg_opclass, pg_opfamily ---- */

struct opclass {
    oid_t oid, family, type;
    const char *name;
    bool is_default;
};

static const struct opclass opclasses[] = {
    {1978, 1976, OID_INT4, "int4_ops", true},
    {1979, 1976, OID_INT2, "int2_ops", true},
    {1981, 1989, OID_OID, "oid_ops", true},
    {3122, 434, OID_DATE, "date_ops", true},
    {3123, 1970, OID_FLOAT8, "float8_ops", true},
    {3124, 1976, OID_INT8, "int8_ops", true},
    {3125, 1988, OID_NUMERIC, "numeric_ops", true},
    {3126, 1994, OID_TEXT, "text_ops", true},
    {3127, 434, OID_TIMESTAMPTZ, "timestamptz_ops", true},
    {3128, 434, OID_TIMESTAMP, "timestamp_ops", true},
    {10000, 397, OID_ANYARRAY, "array_ops", true},
    {10003, 424, OID_BOOL, "bool_ops", true},
    {10004, 426, OID_BPCHAR, "bpchar_ops", true},
    {10006, 428, OID_BYTEA, "bytea_ops", true},
    {10007, 429, OID_CHAR, "char_ops", true},
    {10012, 1970, OID_FLOAT4, "float4_ops", true},
    {10022, 1982, OID_INTERVAL, "interval_ops", true},
    {10028, 1994, OID_NAME, "name_ops", true},
    {10034, 2994, OID_RECORD, "record_ops", true},
    {10038, 1996, OID_TIME, "time_ops", true},
    {10041, 2000, TYPE_TIMETZ, "timetz_ops", true},
    {10044, 1994, OID_TEXT, "varchar_ops", false},
    {10065, 2968, OID_UUID, "uuid_ops", true},
    {10069, 3522, TYPE_ANYENUM, "enum_ops", true},
    {10088, 4033, OID_JSONB, "jsonb_ops", true},
};
enum { OPCLASS_COUNT = sizeof(opclasses) / sizeof(opclasses[0]) };

oid_t
type_opclass(const struct type *type)
{
    oid_t wanted = type->category == 'A' ? (oid_t)OID_ANYARRAY : type->oid;

    wanted = wanted == OID_VARCHAR                             ? (oid_t)OID_TEXT
             : type->category == 'E'                           ? (oid_t)TYPE_ANYENUM
             : type->category == 'N' && type_is_unsigned(type) ? (oid_t)OID_OID
                                                               : wanted;
    for (uint32_t i = 0; i < OPCLASS_COUNT; i++) {
        if (opclasses[i].type == wanted && opclasses[i].is_default) {
            return opclasses[i].oid;
        }
    }
    return 0;
}

err_t
fill_opclass(struct system_rows *rows)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < OPCLASS_COUNT; i++) {
        row_int(rows, opclasses[i].oid);
        row_int(rows, OID_AM_BTREE);
        row_name(rows, opclasses[i].name);
        row_int(rows, OID_SCHEMA_CATALOG);
        row_int(rows, OID_OWNER);
        row_int(rows, opclasses[i].family);
        row_int(rows, opclasses[i].type);
        row_int(rows, opclasses[i].is_default);
        row_int(rows, opclasses[i].type == OID_NAME ? 2275 : 0);
        err = row_end(rows);
    }
    return err;
}

err_t
fill_opfamily(struct system_rows *rows)
{
    static const struct {
        oid_t oid;
        const char *name;
    } families[] = {
        {397, "array_ops"},     {424, "bool_ops"},     {426, "bpchar_ops"}, {428, "bytea_ops"},
        {429, "char_ops"},      {434, "datetime_ops"}, {1970, "float_ops"}, {1976, "integer_ops"},
        {1982, "interval_ops"}, {1988, "numeric_ops"}, {1989, "oid_ops"},   {1994, "text_ops"},
        {1996, "time_ops"},     {2000, "timetz_ops"},  {2968, "uuid_ops"},  {2994, "record_ops"},
        {3522, "enum_ops"},     {4033, "jsonb_ops"},
    };
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < sizeof(families) / sizeof(families[0]); i++) {
        row_int(rows, families[i].oid);
        row_int(rows, OID_AM_BTREE);
        row_name(rows, families[i].name);
        row_int(rows, OID_SCHEMA_CATALOG);
        row_int(rows, OID_OWNER);
        err = row_end(rows);
    }
    return err;
}
