/* query/fn/catalog.c - functions that tell of the catalog and of the server: chapter 9.26 of
 * PostgreSQL 15. */
#include <stdio.h>
#include <string.h>

#include "models/relational/relational.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "query/catalog/proc.h"
#include "query/catalog/system.h"
#include "query/fn/fn.h"
#include "query/fn/set.h"
#include "query/search_path.h"
#include "query/session.h"

#include "engine/base/poison.h"

enum { PATH_SCHEMAS_MAX = 64, ENCODING_UTF8 = 6, OID_NAME_ARRAY = 1003 };

static err_t
null_result(struct call *call)
{
    call->is_null = true;
    return ERR_OK;
}

static err_t
text_result(struct call *call, const struct buf *text, struct datum *out)
{
    out->bytes = arena_copy(call->arena, buf_slice(text));
    return ERR_OK;
}

/* ---- Is an object found by its name alone? ---- */

static err_t
table_is_visible(struct call *call, const struct datum *args, struct datum *out)
{
    const struct statement_env *env = call->env;
    struct class_ref class;

    if (!class_find(env->catalog, (oid_t)args[0].i, &class)) {
        return null_result(call);
    }
    out->i = class_is_visible(env->catalog, env->search_path, &class);
    return ERR_OK;
}

static err_t
type_is_visible(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *type = catalog_type(call->env->catalog, (oid_t)args[0].i);

    if (type == NULL) {
        return null_result(call);
    }
    out->i = type_is_found(call->env->catalog, call->env->search_path, type);
    return ERR_OK;
}

/* What lies in pg_catalog alone. */
static err_t
built_in_is_visible(struct call *call, const struct datum *args, struct datum *out)
{
    out->i = true;
    return args[0].i < OID_FIRST_USER ? ERR_OK : null_result(call);
}

/* ---- Names ---- */

static err_t
get_userbyid(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice name = role_name((oid_t)args[0].i);

    out->bytes =
        name.size > 0
            ? name
            : slice_from_text(arena_printf(call->arena, "unknown (OID=%u)", (oid_t)args[0].i));
    return ERR_OK;
}

/* The type is not strict in its modifier. */
static err_t
format_type(struct call *call, const struct datum *args, struct datum *out)
{
    bool has_modifier = call->arg_count > 1 && !call->nulls[1];
    const struct type *type;
    struct buf text;
    err_t err;

    if (call->nulls[0]) {
        return null_result(call);
    }
    type = catalog_type(call->env->catalog, (oid_t)args[0].i);
    if (type == NULL) {
        out->bytes = args[0].i == 0 ? SLICE("-") : SLICE("???");
        return ERR_OK;
    }
    buf_init(&text, MEM_SESSIONS);
    put_type(call->env->catalog, call->env->search_path, type,
             has_modifier ? (int32_t)args[1].i : -1, &text);
    err = text_result(call, &text, out);
    buf_fini(&text);
    return err;
}

/* to_regclass and its like: null where the cast is an error. */
static err_t
to_reg(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type_names *names = call->settings->names;
    oid_t oid;

    if (args[0].bytes.size == 0 || names == NULL ||
        names->find(names, call->expr->type->oid, args[0].bytes, call->arena, &oid) != ERR_OK) {
        return null_result(call);
    }
    out->i = (int64_t)oid;
    return ERR_OK;
}

static err_t
encoding_to_char(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    out->bytes = args[0].i == ENCODING_UTF8 ? SLICE("UTF8") : slice_of(NULL, 0);
    return ERR_OK;
}

static err_t
char_to_encoding(struct call *call, const struct datum *args, struct datum *out)
{
    static const char *const names[] = {"utf8", "utf-8", "unicode"};
    (void)call;

    out->i = -1;
    for (uint32_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t size = strlen(names[i]);

        if (args[0].bytes.size == size &&
            strncasecmp((const char *)args[0].bytes.data, names[i], size) == 0) {
            out->i = ENCODING_UTF8;
        }
    }
    return ERR_OK;
}

static err_t
utf8(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->bytes = SLICE("UTF8");
    return ERR_OK;
}

/* ---- The session ---- */

static err_t
current_database(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    out->bytes = call->env->database;
    return ERR_OK;
}

static err_t
current_schema(struct call *call, const struct datum *args, struct datum *out)
{
    const struct schema *schema = search_schema(call->env->catalog, call->env->search_path);
    (void)args;

    if (schema == NULL) {
        return null_result(call);
    }
    out->bytes = schema->name;
    return ERR_OK;
}

static err_t
current_schemas(struct call *call, const struct datum *args, struct datum *out)
{
    const struct schema *schemas[PATH_SCHEMAS_MAX];
    struct datum names[PATH_SCHEMAS_MAX + 1];
    uint32_t count = 0, found;
    bool has_catalog = false;

    found = search_schemas(call->env->catalog, call->env->search_path, schemas, PATH_SCHEMAS_MAX);
    for (uint32_t i = 0; i < found; i++) {
        has_catalog = has_catalog || schemas[i]->oid == OID_SCHEMA_CATALOG;
    }
    if (args[0].i != 0 && !has_catalog) {
        names[count++] = datum_bytes(SLICE("pg_catalog"));
    }
    for (uint32_t i = 0; i < found; i++) {
        names[count++] = datum_bytes(schemas[i]->name);
    }
    return array_list_put(type_by_oid(OID_NAME), names, NULL, count, call->arena, out);
}

static err_t
version(struct call *call, const struct datum *args, struct datum *out)
{
    const char *number = sql_session_parameter(call->env->session, "server_version");
    (void)args;

    out->bytes =
        slice_from_text(arena_printf(call->arena, "PostgreSQL %s on x86_64-pc-linux-gnu", number));
    return ERR_OK;
}

static err_t
backend_pid(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    out->i = (int64_t)sql_session_number(call->env->session);
    return ERR_OK;
}

static err_t
never(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->i = false;
    return ERR_OK;
}

static err_t
zero(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->i = 0;
    return ERR_OK;
}

static err_t
nothing(struct call *call, const struct datum *args, struct datum *out)
{
    (void)args;
    (void)out;
    return null_result(call);
}

static err_t
empty_text(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    (void)args;
    out->bytes = slice_of(NULL, 0);
    return ERR_OK;
}

/* ---- Comments ---- */

static err_t
comment_get(struct call *call, oid_t oid, uint32_t part, struct datum *out)
{
    const struct object *comment = catalog_object(call->env->catalog, CATALOG_COMMENT, oid, part);

    if (comment == NULL) {
        return null_result(call);
    }
    out->bytes = comment->body;
    return ERR_OK;
}

static err_t
obj_description(struct call *call, const struct datum *args, struct datum *out)
{
    return comment_get(call, (oid_t)args[0].i, 0, out);
}

static err_t
col_description(struct call *call, const struct datum *args, struct datum *out)
{
    return args[1].i > 0 ? comment_get(call, (oid_t)args[0].i, (uint32_t)args[1].i, out)
                         : null_result(call);
}

/* ---- Functions and rules ---- */

static err_t
function_result(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *type;
    struct proc proc;
    struct buf text;
    err_t err;

    if (!proc_find((oid_t)args[0].i, &proc)) {
        return null_result(call);
    }
    type = catalog_type(call->env->catalog, proc.result);
    buf_init(&text, MEM_SESSIONS);
    buf_printf(&text, "%s", proc.is_set ? "SETOF " : "");
    if (type != NULL) {
        type_format(type, -1, &text);
    }
    err = text_result(call, &text, out);
    buf_fini(&text);
    return err;
}

static err_t
function_arguments(struct call *call, const struct datum *args, struct datum *out)
{
    struct proc proc;
    struct buf text;
    err_t err;

    if (!proc_find((oid_t)args[0].i, &proc)) {
        return null_result(call);
    }
    buf_init(&text, MEM_SESSIONS);
    for (uint32_t i = 0; i < proc.number.arg_count; i++) {
        const struct type *type = catalog_type(call->env->catalog, proc.number.args[i]);

        buf_printf(&text, "%s%s", i > 0 ? ", " : "",
                   proc.is_variadic && i + 1 == proc.number.arg_count ? "VARIADIC " : "");
        if (type != NULL) {
            type_format(type, -1, &text);
        }
    }
    err = text_result(call, &text, out);
    buf_fini(&text);
    return err;
}

static err_t
quote_ident(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    put_identifier(&text, args[0].bytes);
    err = text_result(call, &text, out);
    buf_fini(&text);
    return err;
}

/* No table is a partition of another. */
static err_t
no_rows(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    (void)call;
    (void)columns;
    *count_out = 0;
    return ERR_OK;
}

static const struct set_function ancestors_set = {.next = no_rows};

/* ---- Sizes ---- */

enum { ROW_BYTES = 24, VALUE_BYTES = 32 };

/* An estimate: rows as ANALYZE counted them, times what a row of such columns may take. */
static int64_t
relation_bytes(const struct relation *relation)
{
    uint64_t rows = relational_rows(relation->oid), width = ROW_BYTES;

    for (uint32_t i = 0; i < relation->column_count; i++) {
        int16_t length = relation->columns[i].type->length;

        width += length > 0 ? (uint64_t)length : VALUE_BYTES;
    }
    return rows == UINT64_MAX ? 0 : (int64_t)(rows * width);
}

static int64_t
indexes_bytes(const struct relation *relation)
{
    uint64_t rows = relational_rows(relation->oid), width = 0;

    for (uint32_t i = 0; i < relation->index_count; i++) {
        width += relation->indexes[i].storage != 0
                     ? ROW_BYTES + (uint64_t)relation->indexes[i].column_count * VALUE_BYTES
                     : 0;
    }
    return rows == UINT64_MAX ? 0 : (int64_t)(rows * width);
}

static err_t
table_size(struct call *call, const struct datum *args, struct datum *out)
{
    struct class_ref class;

    if (!class_find(call->env->catalog, (oid_t)args[0].i, &class)) {
        return null_result(call);
    }
    out->i = class.relation == NULL || class.index != NULL ? 0 : relation_bytes(class.relation);
    return ERR_OK;
}

static err_t
indexes_size(struct call *call, const struct datum *args, struct datum *out)
{
    struct class_ref class;

    if (!class_find(call->env->catalog, (oid_t)args[0].i, &class)) {
        return null_result(call);
    }
    out->i = class.relation == NULL || class.index != NULL ? 0 : indexes_bytes(class.relation);
    return ERR_OK;
}

static err_t
total_size(struct call *call, const struct datum *args, struct datum *out)
{
    struct datum indexes = datum_int(0);
    err_t err = table_size(call, args, out);

    if (err == ERR_OK && !call->is_null) {
        err = indexes_size(call, args, &indexes);
        out->i += indexes.i;
    }
    return err;
}

static int64_t
half_rounded(int64_t value)
{
    return (value + (value < 0 ? -1 : 1)) / 2;
}

static err_t
size_pretty(struct call *call, const struct datum *args, struct datum *out)
{
    static const struct {
        const char *name;
        int64_t limit;
        bool is_rounded;
        uint32_t shift;
    } units[] = {
        {"bytes", 10 * 1024, false, 10}, {"kB", 20 * 1024 - 1, true, 10},
        {"MB", 20 * 1024 - 1, true, 10}, {"GB", 20 * 1024 - 1, true, 10},
        {"TB", 20 * 1024 - 1, true, 10}, {"PB", 20 * 1024 - 1, true, 0},
    };
    enum { UNITS = sizeof(units) / sizeof(units[0]) };
    int64_t size = args[0].i;
    uint32_t at = 0;

    while (at + 1 < UNITS && (size >= units[at].limit || size <= -units[at].limit)) {
        /* Halves are kept until the unit is known, so that it is rounded once. */
        uint32_t bits = units[at].shift + units[at].is_rounded - units[at + 1].is_rounded;

        size /= (int64_t)1 << bits;
        at++;
    }
    size = units[at].is_rounded ? half_rounded(size) : size;
    out->bytes =
        slice_from_text(arena_printf(call->arena, "%lld %s", (long long)size, units[at].name));
    return ERR_OK;
}

/* ---- The table ---- */

#define FN(fname, res, nargs, strict, code, ...)                                                   \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = (strict), .run = (code)                                                   \
        }                                                                                          \
    }
#define VISIBLE(fname, code)      FN(fname, OID_BOOL, 1, true, code, OID_OID)
#define SESSION(fname, res, code) FN(fname, res, 0, true, code, 0)
#define TO_REG(fname, res)        FN(fname, res, 1, true, to_reg, OID_TEXT)

static const struct operator_row rows[] = {
    VISIBLE("pg_table_is_visible", table_is_visible),
    VISIBLE("pg_type_is_visible", type_is_visible),
    VISIBLE("pg_function_is_visible", built_in_is_visible),
    VISIBLE("pg_operator_is_visible", built_in_is_visible),
    VISIBLE("pg_opclass_is_visible", built_in_is_visible),
    VISIBLE("pg_opfamily_is_visible", built_in_is_visible),
    VISIBLE("pg_collation_is_visible", built_in_is_visible),
    VISIBLE("pg_conversion_is_visible", built_in_is_visible),
    VISIBLE("pg_statistics_obj_is_visible", built_in_is_visible),
    VISIBLE("pg_ts_config_is_visible", built_in_is_visible),
    VISIBLE("pg_ts_dict_is_visible", built_in_is_visible),
    VISIBLE("pg_ts_parser_is_visible", built_in_is_visible),
    VISIBLE("pg_ts_template_is_visible", built_in_is_visible),
    FN("pg_get_userbyid", OID_NAME, 1, true, get_userbyid, OID_OID),
    FN("format_type", OID_TEXT, 2, false, format_type, OID_OID, OID_INT4),
    TO_REG("to_regclass", OID_REGCLASS),
    TO_REG("to_regtype", OID_REGTYPE),
    TO_REG("to_regproc", OID_REGPROC),
    TO_REG("to_regprocedure", OID_REGPROCEDURE),
    TO_REG("to_regoper", OID_REGOPER),
    TO_REG("to_regoperator", OID_REGOPERATOR),
    TO_REG("to_regnamespace", OID_REGNAMESPACE),
    TO_REG("to_regrole", OID_REGROLE),
    TO_REG("to_regcollation", OID_REGCOLLATION),
    FN("pg_encoding_to_char", OID_NAME, 1, true, encoding_to_char, OID_INT4),
    FN("pg_char_to_encoding", OID_INT4, 1, true, char_to_encoding, OID_NAME),
    SESSION("getdatabaseencoding", OID_NAME, utf8),
    SESSION("pg_client_encoding", OID_NAME, utf8),
    SESSION("current_database", OID_NAME, current_database),
    SESSION("current_schema", OID_NAME, current_schema),
    FN("current_schemas", OID_NAME_ARRAY, 1, true, current_schemas, OID_BOOL),
    SESSION("version", OID_TEXT, version),
    SESSION("pg_backend_pid", OID_INT4, backend_pid),
    SESSION("pg_is_in_recovery", OID_BOOL, never),
    SESSION("pg_my_temp_schema", OID_OID, zero),
    FN("pg_is_other_temp_schema", OID_BOOL, 1, true, never, OID_OID),
    FN("pg_relation_is_publishable", OID_BOOL, 1, true, never, OID_REGCLASS),
    FN("obj_description", OID_TEXT, 1, true, obj_description, OID_OID),
    FN("obj_description", OID_TEXT, 2, true, obj_description, OID_OID, OID_NAME),
    FN("shobj_description", OID_TEXT, 2, true, obj_description, OID_OID, OID_NAME),
    FN("col_description", OID_TEXT, 2, true, col_description, OID_OID, OID_INT4),
    FN("pg_size_pretty", OID_TEXT, 1, true, size_pretty, OID_INT8),
    FN("pg_relation_size", OID_INT8, 1, true, table_size, OID_REGCLASS),
    FN("pg_table_size", OID_INT8, 1, true, table_size, OID_REGCLASS),
    FN("pg_indexes_size", OID_INT8, 1, true, indexes_size, OID_REGCLASS),
    FN("pg_total_relation_size", OID_INT8, 1, true, total_size, OID_REGCLASS),
    FN("pg_get_function_result", OID_TEXT, 1, true, function_result, OID_OID),
    FN("pg_get_function_arguments", OID_TEXT, 1, true, function_arguments, OID_OID),
    FN("pg_get_function_identity_arguments", OID_TEXT, 1, true, function_arguments, OID_OID),
    FN("pg_get_ruledef", OID_TEXT, 2, true, nothing, OID_OID, OID_BOOL),
    FN("quote_ident", OID_TEXT, 1, true, quote_ident, OID_TEXT),
    {NULL,
     {.name = "pg_partition_ancestors",
      .result = OID_REGCLASS,
      .args = {OID_REGCLASS},
      .arg_count = 1,
      .is_strict = true,
      .set = &ancestors_set}},
    FN("pg_tablespace_location", OID_TEXT, 1, true, empty_text, OID_OID),
    FN("pg_get_triggerdef", OID_TEXT, 1, true, nothing, OID_OID),
    FN("pg_get_triggerdef", OID_TEXT, 2, true, nothing, OID_OID, OID_BOOL),
    FN("pg_get_partkeydef", OID_TEXT, 1, true, nothing, OID_OID),
    FN("pg_get_partition_constraintdef", OID_TEXT, 1, true, nothing, OID_OID),
    FN("pg_get_statisticsobjdef", OID_TEXT, 1, true, nothing, OID_OID),
    FN("pg_get_statisticsobjdef_columns", OID_TEXT, 1, true, nothing, OID_OID),
    FN("pg_get_function_sqlbody", OID_TEXT, 1, true, nothing, OID_OID),
};

const struct function_part fn_part_catalog = {rows, sizeof(rows) / sizeof(rows[0])};
