/* query/search_path.c - walking the search path. */
#include "query/search_path.h"

#include <ctype.h>

#include "engine/base/poison.h"

/* The next schema of the path that is there; *path moves behind its name. */
static const struct schema *
schema_next(const struct catalog *catalog, const char **path)
{
    while (**path != '\0') {
        char name[NAME_BYTES_MAX + 1];
        size_t size = 0;
        bool is_quoted;
        const struct schema *schema;

        while (**path == ' ' || **path == ',') {
            (*path)++;
        }
        is_quoted = **path == '"';
        *path += is_quoted;
        while (**path != '\0' && **path != (is_quoted ? '"' : ',')) {
            if (size < NAME_BYTES_MAX) {
                name[size++] = is_quoted ? **path : (char)tolower((unsigned char)**path);
            }
            (*path)++;
        }
        *path += is_quoted && **path == '"';
        while (!is_quoted && size > 0 && name[size - 1] == ' ') {
            size--;
        }
        schema = catalog_schema(catalog, slice_of(name, size));
        if (schema != NULL) {
            return schema;
        }
    }
    return NULL;
}

uint32_t
search_schemas(const struct catalog *catalog, const char *path, const struct schema **schemas_out,
               uint32_t max)
{
    uint32_t count = 0;

    while (count < max && (schemas_out[count] = schema_next(catalog, &path)) != NULL) {
        count++;
    }
    return count;
}

/* A session's own, which stands first in its path. */
static bool
is_temporary(const struct schema *schema)
{
    return schema->name.size > 8 && memcmp(schema->name.data, "pg_temp_", 8) == 0;
}

const struct schema *
search_schema(const struct catalog *catalog, const char *path)
{
    const struct schema *schema = schema_next(catalog, &path);

    while (schema != NULL && is_temporary(schema)) {
        schema = schema_next(catalog, &path);
    }
    return schema;
}

/* pg_temp is another name of the session's own. */
static const struct schema *
schema_named(const struct catalog *catalog, const char *path, const char *name)
{
    const struct schema *first;

    if (strcmp(name, "pg_temp") != 0) {
        return catalog_schema(catalog, slice_from_text(name));
    }
    first = schema_next(catalog, &path);
    return first != NULL && is_temporary(first) ? first : NULL;
}

const struct relation *
search_relation(const struct catalog *catalog, const char *path, const char *schema,
                struct slice name)
{
    const struct relation *relation = NULL;
    const struct schema *at;

    if (schema != NULL) {
        at = schema_named(catalog, path, schema);
        return at != NULL ? catalog_relation(catalog, at->oid, name) : NULL;
    }
    while (relation == NULL && (at = schema_next(catalog, &path)) != NULL) {
        relation = catalog_relation(catalog, at->oid, name);
    }
    return relation;
}

const struct relation *
search_index(const struct catalog *catalog, const char *path, const char *schema, struct slice name,
             const struct index **index_out)
{
    const struct relation *relation = NULL;
    const struct schema *at;

    if (schema != NULL) {
        at = schema_named(catalog, path, schema);
        return at != NULL ? catalog_index(catalog, at->oid, name, index_out) : NULL;
    }
    while (relation == NULL && (at = schema_next(catalog, &path)) != NULL) {
        relation = catalog_index(catalog, at->oid, name, index_out);
    }
    return relation;
}

const struct type *
search_type(const struct catalog *catalog, const char *path, const char *schema, struct slice name)
{
    const struct type *type = NULL;
    const struct schema *at;

    if (schema == NULL || strcmp(schema, "pg_catalog") == 0) {
        type = type_by_name(name);
    } else {
        at = schema_named(catalog, path, schema);
        return at != NULL ? catalog_type_named(catalog, at->oid, name) : NULL;
    }
    while (type == NULL && schema == NULL && (at = schema_next(catalog, &path)) != NULL) {
        type = catalog_type_named(catalog, at->oid, name);
    }
    return type;
}
