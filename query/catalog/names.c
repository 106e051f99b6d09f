/* query/catalog/names.c - what objects are called, and which object a name means. */
#include <ctype.h>
#include <string.h>

#include "engine/base/assert.h"
#include "models/relational/relational.h"
#include "models/types/enum.h"
#include "models/types/sql_error.h"
#include "query/bind/bind.h"
#include "query/catalog/proc.h"
#include "query/catalog/system.h"
#include "query/parse/keyword.h"
#include "query/parse/nodes.h"
#include "query/parse/parse.h"
#include "query/search_path.h"

#include "engine/base/poison.h"

enum { PATH_SCHEMAS_MAX = 64, NAME_PARTS_MAX = 3 };

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* ---- Schemas ---- */

struct slice
schema_name(const struct catalog *catalog, oid_t oid)
{
    if (oid == OID_SCHEMA_INFORMATION) {
        return SLICE("information_schema");
    }
    if (oid == OID_SCHEMA_REDIS) {
        return SLICE("redis");
    }
    if (oid == OID_SCHEMA_TOAST) {
        return SLICE("pg_toast");
    }
    for (uint32_t i = 0; catalog != NULL && i < catalog->schema_count; i++) {
        if (catalog->schemas[i].oid == oid) {
            return catalog->schemas[i].name;
        }
    }
    return oid == OID_SCHEMA_CATALOG ? SLICE("pg_catalog") : slice_of(NULL, 0);
}

oid_t
schema_find(const struct catalog *catalog, struct slice name)
{
    const struct schema *schema;

    if (slice_equal(name, SLICE("information_schema"))) {
        return OID_SCHEMA_INFORMATION;
    }
    if (slice_equal(name, SLICE("pg_catalog"))) {
        return OID_SCHEMA_CATALOG;
    }
    if (slice_equal(name, SLICE("redis"))) {
        return OID_SCHEMA_REDIS;
    }
    if (slice_equal(name, SLICE("pg_toast"))) {
        return OID_SCHEMA_TOAST;
    }
    schema = catalog != NULL ? catalog_schema(catalog, name) : NULL;
    return schema != NULL ? schema->oid : 0;
}

/* ---- Relations ---- */

bool
class_find(const struct catalog *catalog, oid_t oid, struct class_ref *out)
{
    *out = (struct class_ref){.relation = catalog_relation_by_oid(catalog, oid)};
    if (out->relation != NULL) {
        return true;
    }
    out->system = system_by_oid(oid);
    if (out->system != NULL) {
        return true;
    }
    for (uint32_t i = 0; oid >= OID_FIRST_USER && i < catalog->relation_count; i++) {
        const struct relation *relation = catalog->relations[i];

        for (uint32_t j = 0; j < relation->index_count; j++) {
            if (relation->indexes[j].oid == oid) {
                out->relation = relation;
                out->index = &relation->indexes[j];
                return true;
            }
        }
    }
    return false;
}

struct slice
class_name(const struct class_ref *class)
{
    return class->system != NULL  ? slice_from_text(class->system->name)
           : class->index != NULL ? class->index->name
                                  : class->relation->name;
}

oid_t
class_schema(const struct class_ref *class)
{
    if (class->system != NULL) {
        return system_schema_oid(class->system->schema);
    }
    return class->relation->schema;
}

static bool
class_in_schema(const struct catalog *catalog, oid_t schema, struct slice name,
                struct class_ref *out)
{
    *out = (struct class_ref){0};
    if (schema == OID_SCHEMA_INFORMATION || schema == OID_SCHEMA_CATALOG ||
        schema == OID_SCHEMA_REDIS) {
        out->system = system_find((const char *)schema_name(NULL, schema).data, name);
        return out->system != NULL;
    }
    out->relation = catalog_relation(catalog, schema, name);
    if (out->relation == NULL) {
        out->relation = catalog_index(catalog, schema, name, &out->index);
    }
    return out->relation != NULL;
}

/* pg_catalog comes first, where the path does not name it. */
static bool
class_search(const struct catalog *catalog, const char *path, struct slice name,
             struct class_ref *out)
{
    const struct schema *schemas[PATH_SCHEMAS_MAX];
    uint32_t count;

    if (class_in_schema(catalog, OID_SCHEMA_CATALOG, name, out)) {
        return true;
    }
    count = search_schemas(catalog, path, schemas, PATH_SCHEMAS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (class_in_schema(catalog, schemas[i]->oid, name, out)) {
            return true;
        }
    }
    return false;
}

bool
class_is_visible(const struct catalog *catalog, const char *path, const struct class_ref *class)
{
    struct class_ref found;

    return class_search(catalog, path, class_name(class), &found) &&
           found.relation == class->relation && found.index == class->index &&
           found.system == class->system;
}

/* ---- Writing names ---- */

static bool
is_plain(struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];

        if (!(c >= 'a' && c <= 'z') && c != '_' && (i == 0 || c < '0' || c > '9')) {
            return false;
        }
    }
    return name.size > 0 && !keyword_is_reserved(name);
}

void
put_identifier(struct buf *out, struct slice name)
{
    if (is_plain(name)) {
        buf_append(out, name.data, name.size);
        return;
    }
    buf_append_byte(out, '"');
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '"') {
            buf_append_byte(out, '"');
        }
        buf_append_byte(out, name.data[i]);
    }
    buf_append_byte(out, '"');
}

void
put_class(const struct catalog *catalog, const char *path, const struct class_ref *class,
          bool always_qualified, struct buf *out)
{
    if (always_qualified || !class_is_visible(catalog, path, class)) {
        put_identifier(out, schema_name(catalog, class_schema(class)));
        buf_append_byte(out, '.');
    }
    put_identifier(out, class_name(class));
}

/* ---- Reading names ---- */

/* a."B".c to its parts, letters outside of quotes made small. false: it is no such name. */
static bool
name_split(struct slice text, struct arena *arena, struct slice *parts, uint32_t *count_out)
{
    uint8_t *out = arena_alloc(arena, text.size + 1);
    size_t at = 0, size;

    for (*count_out = 0; *count_out < NAME_PARTS_MAX;) {
        bool is_quoted;

        while (at < text.size && text.data[at] == ' ') {
            at++;
        }
        is_quoted = at < text.size && text.data[at] == '"';
        at += is_quoted;
        for (size = 0; at < text.size; at++) {
            uint8_t c = text.data[at];

            if (is_quoted ? c == '"' : c == '.' || c == ' ') {
                if (!is_quoted || at + 1 == text.size || text.data[at + 1] != '"') {
                    break;
                }
                at++;
            }
            out[size++] = is_quoted ? c : (uint8_t)tolower(c);
        }
        if (size == 0 || (is_quoted && at == text.size)) {
            return false;
        }
        at += is_quoted;
        parts[(*count_out)++] = slice_of(out, MIN(size, (size_t)NAME_BYTES_MAX));
        out += size;
        while (at < text.size && text.data[at] == ' ') {
            at++;
        }
        if (at == text.size) {
            return true;
        }
        if (text.data[at++] != '.') {
            return false;
        }
    }
    return false;
}

static err_t
split_or_fail(struct slice text, struct arena *arena, struct slice *parts, uint32_t *count_out)
{
    return name_split(text, arena, parts, count_out) ? ERR_OK
                                                     : sql_error("42602", "invalid name syntax");
}

static err_t
regclass_find(const struct statement_env *env, struct slice text, struct arena *arena,
              oid_t *oid_out)
{
    struct slice parts[NAME_PARTS_MAX];
    struct class_ref class;
    uint32_t count;
    bool is_found;
    err_t err;

    TRY(split_or_fail(text, arena, parts, &count));
    if (count > 1 && schema_find(env->catalog, parts[count - 2]) == 0) {
        return sql_error("3F000", "schema \"%.*s\" does not exist", SLICE_ARGS(parts[count - 2]));
    }
    is_found = count == 1
                   ? class_search(env->catalog, env->search_path, parts[0], &class)
                   : class_in_schema(env->catalog, schema_find(env->catalog, parts[count - 2]),
                                     parts[count - 1], &class);
    if (!is_found) {
        return count == 1
                   ? sql_error("42P01", "relation \"%.*s\" does not exist", SLICE_ARGS(parts[0]))
                   : sql_error("42P01", "relation \"%.*s.%.*s\" does not exist",
                               SLICE_ARGS(parts[count - 2]), SLICE_ARGS(parts[count - 1]));
    }
    *oid_out = class.system != NULL  ? class.system->oid
               : class.index != NULL ? class.index->oid
                                     : class.relation->oid;
out:
    return err;
}

/* The type's name must be all that the text holds, so that it is read inside of a cast. */
static const TypeName *
type_name_only(const struct List *statements)
{
    const RawStmt *raw = list_length(statements) == 1 ? linitial(statements) : NULL;
    const SelectStmt *select = raw != NULL ? (const SelectStmt *)raw->stmt : NULL;
    const ResTarget *target;
    const TypeCast *cast;

    if (select == NULL || !IsA(select, SelectStmt) || list_length(select->targetList) != 1 ||
        select->fromClause != NIL || select->whereClause != NULL || select->sortClause != NIL ||
        select->limitCount != NULL || select->op != SETOP_NONE || select->lockingClause != NIL ||
        select->intoClause != NULL) {
        return NULL;
    }
    target = linitial(select->targetList);
    cast = (const TypeCast *)target->val;
    return target->name == NULL && IsA(cast, TypeCast) && IsA(cast->arg, A_Const) ? cast->typeName
                                                                                  : NULL;
}

static err_t
regtype_find(const struct statement_env *env, struct slice text, struct arena *arena,
             oid_t *oid_out)
{
    char *sql = arena_printf(arena, "SELECT NULL::%.*s", SLICE_ARGS(text));
    struct parse parse = {0};
    const struct type *type;
    const TypeName *name;
    uint32_t position;
    int32_t typmod;
    err_t err;

    err = memchr(text.data, '\0', text.size) != NULL ? ERR_SQL : parse_open(sql, &parse, &position);
    name = err == ERR_OK ? type_name_only(parse.statements) : NULL;
    if (name == NULL) {
        err = sql_error("42601", "invalid type name \"%.*s\"", SLICE_ARGS(text));
        goto out;
    }
    TRY(bind_type_name(env->catalog, env->search_path, name, &type, &typmod));
    *oid_out = type->oid;
out:
    parse_close(&parse);
    return err;
}

static err_t
regnamespace_find(const struct statement_env *env, struct slice text, struct arena *arena,
                  oid_t *oid_out)
{
    struct slice parts[NAME_PARTS_MAX];
    uint32_t count;
    err_t err;

    TRY(split_or_fail(text, arena, parts, &count));
    *oid_out = count == 1 ? schema_find(env->catalog, parts[0]) : 0;
    if (*oid_out == 0) {
        err = sql_error("3F000", "schema \"%.*s\" does not exist", SLICE_ARGS(parts[0]));
    }
out:
    return err;
}

static err_t
regrole_find(struct slice text, struct arena *arena, oid_t *oid_out)
{
    struct slice parts[NAME_PARTS_MAX];
    uint32_t count;
    err_t err;

    TRY(split_or_fail(text, arena, parts, &count));
    *oid_out = count == 1 ? role_find(parts[0]) : 0;
    if (*oid_out == 0) {
        err = sql_error("42704", "role \"%.*s\" does not exist", SLICE_ARGS(parts[0]));
    }
out:
    return err;
}

static err_t
regcollation_find(struct slice text, struct arena *arena, oid_t *oid_out)
{
    struct slice parts[NAME_PARTS_MAX];
    uint32_t count;
    err_t err;

    TRY(split_or_fail(text, arena, parts, &count));
    *oid_out = collation_find(parts[count - 1]);
    if (*oid_out == 0) {
        err = sql_error("42704", "collation \"%.*s\" for encoding \"UTF8\" does not exist",
                        SLICE_ARGS(text));
    }
out:
    return err;
}

/* ---- The session's names ---- */

static err_t
find_in(const struct statement_env *env, oid_t type, struct slice text, struct arena *arena,
        oid_t *oid_out)
{
    switch (type) {
    case OID_REGCLASS:
        return regclass_find(env, text, arena, oid_out);
    case OID_REGTYPE:
        return regtype_find(env, text, arena, oid_out);
    case OID_REGNAMESPACE:
        return regnamespace_find(env, text, arena, oid_out);
    case OID_REGROLE:
        return regrole_find(text, arena, oid_out);
    case OID_REGCOLLATION:
        return regcollation_find(text, arena, oid_out);
    case OID_REGPROC:
    case OID_REGPROCEDURE:
        return proc_find_name(text, type == OID_REGPROCEDURE, oid_out);
    default:
        return operator_find_name(text, type == OID_REGOPERATOR, oid_out);
    }
}

/* Parameters are read while no statement runs: then the committed catalog is asked. */
static err_t
names_find(const struct type_names *names, oid_t type, struct slice text, struct arena *arena,
           oid_t *oid_out)
{
    struct statement_env env = *((const struct catalog_names *)names)->env;
    struct catalog *catalog = NULL;
    err_t err = ERR_OK;

    if (env.catalog == NULL) {
        err = relational_catalog(&catalog);
        env.catalog = catalog;
    }
    if (env.search_path == NULL) {
        env.search_path = "public";
    }
    if (err == ERR_OK) {
        err = find_in(&env, type, text, arena, oid_out);
    }
    catalog_drop(&catalog);
    return err;
}

bool
type_is_found(const struct catalog *catalog, const char *path, const struct type *type)
{
    return type->oid < OID_FIRST_USER ||
           search_type(catalog, path, NULL, slice_from_text(type->name)) == type;
}

void
put_type(const struct catalog *catalog, const char *path, const struct type *type, int32_t typmod,
         struct buf *out)
{
    const struct type *element = type->element_type != NULL ? type->element_type : type;

    if (!type_is_found(catalog, path, element)) {
        put_identifier(out, schema_name(catalog, enum_type_of(element)->schema));
        buf_append_byte(out, '.');
    }
    type_format(type, typmod, out);
}

static bool
put_text(struct slice name, struct buf *out)
{
    if (name.size == 0) {
        return false;
    }
    put_identifier(out, name);
    return true;
}

static bool
names_put(const struct type_names *names, oid_t type, oid_t oid, struct buf *out)
{
    const struct statement_env *env = ((const struct catalog_names *)names)->env;
    const struct type *named;
    struct class_ref class;

    switch (type) {
    case OID_REGCLASS:
        if (env->catalog == NULL || !class_find(env->catalog, oid, &class)) {
            return false;
        }
        put_class(env->catalog, env->search_path, &class, false, out);
        return true;
    case OID_REGTYPE:
        named = env->catalog != NULL ? catalog_type(env->catalog, oid) : type_by_oid(oid);
        if (named != NULL) {
            put_type(env->catalog, env->search_path, named, -1, out);
        }
        return named != NULL;
    case OID_REGNAMESPACE:
        return put_text(schema_name(env->catalog, oid), out);
    case OID_REGROLE:
        return put_text(role_name(oid), out);
    case OID_REGCOLLATION:
        return put_text(collation_name(oid), out);
    case OID_REGPROC:
    case OID_REGPROCEDURE:
        return proc_put(oid, type == OID_REGPROCEDURE, out);
    default:
        return operator_put(oid, type == OID_REGOPERATOR, out);
    }
}

void
catalog_names_init(struct catalog_names *names, const struct statement_env *env)
{
    *names = (struct catalog_names){.names = {.put = names_put, .find = names_find}, .env = env};
}
