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
    OID_ROLE_OWNER = 10, /* Who has made everything in a new store. */
};

enum relation_kind {
    RELATION_TABLE = 'r',
    RELATION_INDEX = 'i',
    RELATION_VIEW = 'v',
    RELATION_SEQUENCE = 'S',
};

enum relation_persistence {
    RELATION_PERMANENT = 'p',
    RELATION_TEMPORARY = 't', /* In a schema pg_temp_N: goes with its session. */
};

struct column {
    struct slice name;
    const struct type *type; /* Of a dropped one, too: rows still have its bytes. */
    int32_t typmod;
    bool is_not_null;
    bool is_dropped;
    char identity; /* 'a' always, 'd' by default, 0: none. */
    bool is_generated;
    bool has_missing;         /* Rows that were written before the column was added have */
    struct slice missing;     /* this value: as in rows. Without it they have null. */
    struct slice default_sql; /* Empty: none. Of a generated column its expression. */
};

/* A part of an index is a column, or an expression: then its number is INDEX_EXPRESSION + its place
 * among relation.virtuals. Rows that are written have these values behind their columns. */
enum { INDEX_EXPRESSION = 0x8000 };

struct index {
    oid_t oid;
    uint32_t storage; /* 0: the primary key, which is how the rows themselves are sorted. */
    struct slice name;
    bool is_unique, is_primary;
    bool nulls_equal;   /* NULLS NOT DISTINCT */
    bool is_deferrable; /* Duplicates are found afterwards: entries are those of a plain index. */
    uint16_t column_count;               /* That sort. */
    uint16_t columns[INDEX_COLUMNS_MAX]; /* Numbers from 0. */
    bool is_descending[INDEX_COLUMNS_MAX];
    bool nulls_first[INDEX_COLUMNS_MAX];
    uint16_t included_count; /* INCLUDE: columns that only the definition names. */
    uint16_t included[INDEX_COLUMNS_MAX];
    uint16_t predicate; /* INDEX_EXPRESSION + its place; 0: every row has an entry. */
};

/* What indexes ask of a row beside its columns: expressions and predicates. */
struct virtual_column {
    struct slice sql;
    const struct type *type;
    oid_t index; /* Whose it is. */
};

enum constraint_kind {
    CONSTRAINT_CHECK = 'c',
    CONSTRAINT_FOREIGN = 'f',
    CONSTRAINT_PRIMARY = 'p',
    CONSTRAINT_UNIQUE = 'u',
};

/* Of a foreign key: what becomes of rows whose referenced row changes. As in pg_constraint. */
enum foreign_action {
    FOREIGN_NO_ACTION = 'a',
    FOREIGN_RESTRICT = 'r',
    FOREIGN_CASCADE = 'c',
    FOREIGN_SET_NULL = 'n',
    FOREIGN_SET_DEFAULT = 'd',
};

struct constraint {
    oid_t oid;
    char kind; /* enum constraint_kind */
    struct slice name;
    bool is_deferrable, is_deferred; /* INITIALLY DEFERRED */
    bool is_not_valid;               /* Rows that were there before may break it. */
    bool is_no_inherit;
    struct slice sql; /* Of a check. */
    uint16_t column_count;
    uint16_t columns[INDEX_COLUMNS_MAX]; /* Of a check: those that it names, if they fit. */
    oid_t index;                         /* Of a key; the referenced one of a foreign key. */
    oid_t other;                         /* Foreign key: the referenced table, */
    uint16_t other_columns[INDEX_COLUMNS_MAX];
    char on_update, on_delete; /* enum foreign_action */
    bool is_match_full;
    uint16_t set_count; /* ON DELETE SET ... (columns); 0: all. */
    uint16_t set_columns[INDEX_COLUMNS_MAX];
};

struct sequence {
    int64_t start, increment, min, max, cache;
    bool is_cycled;
    oid_t type;
    uint64_t state;   /* Where its value lies: a number that is never used again. */
    oid_t owner;      /* OWNED BY: the table, 0: none; */
    uint16_t column;  /* from 0. */
    bool is_identity; /* It belongs to an identity column. */
};

/* A view, or a column's default, is made of another object and cannot be without it. */
struct dependency {
    oid_t oid;       /* Relation, type, or another object. */
    uint16_t column; /* Of it, from 1; 0: the whole. */
    uint16_t from;   /* Column whose default it is, from 1; 0: all of the dependent. */
};

struct relation {
    oid_t oid;
    oid_t schema;
    oid_t owner;
    uint32_t storage;
    char kind;        /* enum relation_kind */
    char persistence; /* enum relation_persistence */
    char on_commit;   /* Temporary: 'p' preserve, 'd' delete rows, 'D' drop. */
    struct slice name;
    uint16_t column_count;
    struct column *columns;
    uint16_t index_count;
    struct index *indexes;
    uint16_t virtual_count;
    struct virtual_column *virtuals;
    uint16_t constraint_count;
    struct constraint *constraints;
    uint16_t dependency_count;
    struct dependency *dependencies;
    struct slice view_sql;
    struct slice path; /* The search path that the SQL in it was written under. */
    char view_check;   /* WITH CHECK OPTION: 'l' local, 'c' cascaded, 0: none. */
    struct sequence sequence;
    /* Not stored: */
    const struct index *primary; /* By which rows are sorted; NULL: rows have hidden ids. */
    bool is_referenced;          /* By a foreign key. */
};

struct schema {
    oid_t oid;
    oid_t owner;
    struct slice name;
};

/* Classes of entries, in the order in which they are loaded. */
enum catalog_class {
    CATALOG_VERSION = 1,
    CATALOG_SCHEMA = 2,
    CATALOG_TYPE = 3,
    CATALOG_RELATION = 4,
    CATALOG_COMMENT = 5,     /* oid and part (column from 1, 0) of what it is about: its text. */
    CATALOG_ACL = 6,         /* Grants on an object; part: column from 1. */
    CATALOG_DEFAULT_ACL = 7, /* ALTER DEFAULT PRIVILEGES */
    CATALOG_ROLE = 8,
    CATALOG_MEMBER = 9,
    CATALOG_DATABASE = 10,
    CATALOG_CLASS_COUNT,
};

/* An object of a class that the catalog does not read itself: whose it is decodes the body, once,
 * when it is loaded or put (object_decode). */
struct object {
    uint8_t class; /* enum catalog_class */
    oid_t oid;
    uint32_t part;
    struct slice body;
    const void *decoded; /* In the catalog's arena; NULL: the body is all. */
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
    uint32_t object_count, object_capacity;
    struct object *objects; /* By class, oid, part. */
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
/* NULL: there is none. */
const struct schema *catalog_schema_by_oid(const struct catalog *catalog, oid_t oid);
const struct object *catalog_object(const struct catalog *catalog, enum catalog_class class,
                                    oid_t oid, uint32_t part);
/* Where objects of the class begin in catalog->objects; *count_out how many. */
const struct object *catalog_objects(const struct catalog *catalog, enum catalog_class class,
                                     uint32_t *count_out);
/* Built in or made by users; NULL: there is none. Good as long as the catalog. */
const struct type *catalog_type(const struct catalog *catalog, oid_t oid);
/* Made by users, or the array of such a one; NULL: there is none. */
const struct type *catalog_type_named(const struct catalog *catalog, oid_t schema,
                                      struct slice name);
/* The two numbers of a new type: an even one, and its array's behind it. */
oid_t catalog_type_oid_take(struct catalog *catalog);
/* NULL: none of this name. */
const struct constraint *relation_constraint(const struct relation *relation, struct slice name);
const struct index *relation_index_by_oid(const struct relation *relation, oid_t oid);
/* UINT16_MAX: none. */
uint16_t relation_column(const struct relation *relation, struct slice name);
/* Where a part of an index lies in a row: columns, then virtuals. */
static inline uint32_t
relation_place(const struct relation *relation, uint16_t part)
{
    return part < INDEX_EXPRESSION ? part
                                   : (uint32_t)relation->column_count + (part - INDEX_EXPRESSION);
}
static inline const struct type *
relation_place_type(const struct relation *relation, uint16_t part)
{
    return part < INDEX_EXPRESSION ? relation->columns[part].type
                                   : relation->virtuals[part - INDEX_EXPRESSION].type;
}
/* Values of a row as it is written. */
static inline uint32_t
relation_width(const struct relation *relation)
{
    return (uint32_t)relation->column_count + relation->virtual_count;
}
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
/* Adds or replaces, by oid. */
void catalog_schema_put(struct catalog *catalog, struct txn *txn, const struct schema *schema);
void catalog_schema_delete(struct catalog *catalog, struct txn *txn, oid_t oid);
/* Adds or replaces; the body is copied. Errors: of its decoding. */
err_t catalog_object_put(struct catalog *catalog, struct txn *txn, enum catalog_class class,
                         oid_t oid, uint32_t part, struct slice body);
/* Nothing happens when it is not there. */
void catalog_object_delete(struct catalog *catalog, struct txn *txn, enum catalog_class class,
                           oid_t oid, uint32_t part);
/* Its comments and grants go with an object; part 0: and those of its columns. */
void catalog_notes_delete(struct catalog *catalog, struct txn *txn, oid_t oid, uint32_t part);
/* Before the commit of a transaction that changed it: the next version. Conflicts with every other
 * transaction that changes the catalog. */
YIELDS err_t catalog_version_put(struct catalog *catalog, struct txn *txn);

/* Where a relation's rows lie. */
enum { RELATIONAL_TAG = 3, STORAGE_PREFIX_BYTES = 5 };
void storage_prefix(uint8_t out[STORAGE_PREFIX_BYTES], uint32_t storage);
