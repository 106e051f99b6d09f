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

const struct schema *
search_schema(const struct catalog *catalog, const char *path)
{
    return schema_next(catalog, &path);
}

const struct relation *
search_relation(const struct catalog *catalog, const char *path, const char *schema,
                struct slice name)
{
    const struct relation *relation = NULL;
    const struct schema *at;

    if (schema != NULL) {
        at = catalog_schema(catalog, slice_from_text(schema));
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
        at = catalog_schema(catalog, slice_from_text(schema));
        return at != NULL ? catalog_index(catalog, at->oid, name, index_out) : NULL;
    }
    while (relation == NULL && (at = schema_next(catalog, &path)) != NULL) {
        relation = catalog_index(catalog, at->oid, name, index_out);
    }
    return relation;
}
