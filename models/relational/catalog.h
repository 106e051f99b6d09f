/* models/relational/catalog.h - schemas, tables, indexes, views and sequences, as data in the
 * store.
 *
 * A catalog is an immutable picture: plans point into it and keep it alive by a count. Each shard
 * loads its own from the store when another version was committed. A transaction that changes it
 * works on a clone of its own (catalog_clone), writes what it changes through its transaction, and
 * tells all shards when it has committed. Entries: docs/format/relational.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "models/types/type.h"
#include "txn/txn.h"

enum {
    RELATION_COLUMNS_MAX = 1600,
    INDEX_COLUMNS_MAX = 32,
    NAME_BYTES_MAX = 63, /* Longer ones are cut, as PostgreSQL does. */
    OID_SCHEMA_CATALOG = 11,
    OID_SCHEMA_PUBLIC = 2200,
};

enum relation_kind {
    RELATION_TABLE = 'r',
    RELATION_INDEX = 'i',
    RELATION_VIEW = 'v',
    RELATION_SEQUENCE = 'S',
};

struct column {
    struct slice name;
    const struct type *type;
    int32_t typmod;
    bool is_not_null;
    bool is_dropped;
    char identity; /* 'a' always, 'd' by default, 0: none. */
    bool is_generated;
    struct slice default_sql; /* Empty: none. Of a generated column its expression. */
};

struct index {
    oid_t oid;
    uint32_t storage; /* 0: the primary key, which is how the rows themselves are sorted. */
    struct slice name;
    bool is_unique, is_primary;
    uint16_t column_count;
    uint16_t columns[INDEX_COLUMNS_MAX]; /* Numbers from 0. */
    bool is_descending[INDEX_COLUMNS_MAX];
};

struct check {
    struct slice name;
    struct slice sql;
};

struct sequence {
    int64_t start, increment, min, max, cache;
    bool is_cycled;
    oid_t type;
};

struct relation {
    oid_t oid;
    oid_t schema;
    oid_t owner;
    uint32_t storage;
    char kind; /* enum relation_kind */
    struct slice name;
    uint16_t column_count;
    struct column *columns;
    uint16_t index_count;
    struct index *indexes;
    const struct index *primary; /* Among indexes; NULL: rows have hidden ids. */
    uint16_t check_count;
    struct check *checks;
    struct slice view_sql;
    struct sequence sequence;
};

struct schema {
    oid_t oid;
    oid_t owner;
    struct slice name;
};

struct catalog {
    uint64_t version;
    uint32_t references;
    oid_t next_oid;
    uint32_t next_storage;
    struct arena arena;
    uint32_t schema_count;
    struct schema *schemas;
    uint32_t relation_count, relation_capacity;
    struct relation **relations; /* By oid. */
};

/* Reads the committed catalog through the transaction. A store without one gives the initial. */
YIELDS err_t catalog_load(struct txn *txn, struct catalog **catalog_out);
/* A copy to change; it borrows nothing. */
struct catalog *catalog_clone(const struct catalog *catalog);
struct catalog *catalog_hold(struct catalog *catalog);
void catalog_drop(struct catalog **catalog); /* Frees it with the last reference. */

const struct schema *catalog_schema(const struct catalog *catalog, struct slice name);
/* NULL: there is none. */
const struct relation *catalog_relation(const struct catalog *catalog, oid_t schema,
                                        struct slice name);
const struct relation *catalog_relation_by_oid(const struct catalog *catalog, oid_t oid);
/* The table whose index has this name. */
const struct relation *catalog_index(const struct catalog *catalog, oid_t schema, struct slice name,
                                     const struct index **index_out);

/* ---- Changes of a clone. Writes go to the transaction. ---- */

oid_t catalog_oid_take(struct catalog *catalog);
uint32_t catalog_storage_take(struct catalog *catalog);
/* Adds or replaces, by oid. The relation is copied into the catalog's arena. */
void catalog_relation_put(struct catalog *catalog, struct txn *txn,
                          const struct relation *relation);
void catalog_relation_delete(struct catalog *catalog, struct txn *txn, oid_t oid);
void catalog_schema_put(struct catalog *catalog, struct txn *txn, const struct schema *schema);
void catalog_schema_delete(struct catalog *catalog, struct txn *txn, oid_t oid);
/* Before the commit of a transaction that changed it: the next version. Conflicts with every other
 * transaction that changes the catalog. */
YIELDS err_t catalog_version_put(struct catalog *catalog, struct txn *txn);

/* Where a relation's rows lie. */
enum { RELATIONAL_TAG = 3, STORAGE_PREFIX_BYTES = 5 };
void storage_prefix(uint8_t out[STORAGE_PREFIX_BYTES], uint32_t storage);
