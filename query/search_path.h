/* query/search_path.h - the schemas in which names without one are looked for. */
#pragma once

#include "models/relational/catalog.h"

/* path: the parameter's text, names with commas between; those that do not exist are passed over,
 * as is "$user". schema NULL: by the path. NULL: there is no such relation. */
const struct relation *search_relation(const struct catalog *catalog, const char *path,
                                       const char *schema, struct slice name);
const struct relation *search_index(const struct catalog *catalog, const char *path,
                                    const char *schema, struct slice name,
                                    const struct index **index_out);
/* Built-in types stand before all others, under their names as pg_type has them. */
const struct type *search_type(const struct catalog *catalog, const char *path, const char *schema,
                               struct slice name);
/* The schemas of the path, in their order, that are there; at most `max`. Gives their number. */
uint32_t search_schemas(const struct catalog *catalog, const char *path,
                        const struct schema **schemas_out, uint32_t max);
/* Where new objects go: the first of the path that is there; NULL: none. */
const struct schema *search_schema(const struct catalog *catalog, const char *path);
