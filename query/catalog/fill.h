/* query/catalog/fill.h - the functions that make the rows of pg_catalog. */
#pragma once

#include "query/catalog/system.h"

#define FILL(name) YIELDS err_t name(struct system_rows *rows)

/* Relations: relations.c */
FILL(fill_class);
FILL(fill_attribute);
FILL(fill_attrdef);
FILL(fill_namespace);
FILL(fill_sequence);
/* depend.c */
FILL(fill_depend);
/* Indexes and constraints: constraints.c */
FILL(fill_index);
FILL(fill_constraint);
/* Types: types.c */
FILL(fill_type);
FILL(fill_enum);
FILL(fill_am);
FILL(fill_collation);
FILL(fill_language);
FILL(fill_opclass);
FILL(fill_opfamily);
/* Functions: procs.c */
FILL(fill_proc);
FILL(fill_aggregate);
FILL(fill_operator);
FILL(fill_cast);
/* The server: server.c */
FILL(fill_database);
FILL(fill_authid);
FILL(fill_settings);
FILL(fill_cursors);
FILL(fill_prepared_statements);
FILL(fill_tablespace);
/* Keys of Redis: redis.c */
FILL(fill_redis_keys);
FILL(fill_redis_strings);
FILL(fill_redis_hashes);
FILL(fill_redis_lists);
FILL(fill_redis_sets);
FILL(fill_redis_zsets);
FILL(fill_redis_streams);

enum {
    OID_AM_HEAP = 2,
    OID_AM_BTREE = 403,
    OID_COLLATION_DEFAULT = 100,
    OID_COLLATION_C = 950,
    OID_DATABASE = 5,
    OID_TABLESPACE_DEFAULT = 1663,
};

/* How PostgreSQL keeps values of the type. */
bool type_is_by_value(const struct type *type);
char type_alignment(const struct type *type);
char type_storage(const struct type *type);
oid_t type_collation(const struct type *type);
oid_t type_opclass(const struct type *type);

/* An expression as pg_node_tree keeps it here: the column whose default it is (from 1; 0: none),
 * and its SQL. */
void tree_put(struct system_rows *rows, uint32_t column, struct slice sql);
/* Of the rows that describe a column's default. */
oid_t attrdef_oid(oid_t relation, uint32_t column);
