/* query/catalog/system.h - pg_catalog, information_schema and redis: relations that are not stored.
 *
 * A system relation has PostgreSQL 15's name, number and columns. Its rows come from a function
 * that reads the catalog of the transaction, or it is a view in SQL over others. Nobody writes to
 * one, but to those of the schema redis: they are its keys (query/exec/redis_rows.h). */
#pragma once

#include "models/relational/catalog.h"
#include "query/expr.h"

struct exec;
struct system_rows;

enum {
    OID_SCHEMA_INFORMATION = 13207,
    OID_SCHEMA_TOAST = 99,
    OID_SCHEMA_REDIS = 13900,
    SYSTEM_COLUMNS_MAX = 96,
    OID_OWNER = 10, /* The role that made the database. */
};

enum system_schema { SYSTEM_CATALOG, SYSTEM_INFORMATION, SYSTEM_REDIS };
oid_t system_schema_oid(enum system_schema schema);

struct system_relation {
    oid_t oid;
    const char *name;
    const char *columns;                            /* "oid oid!, relname name!": ! is NOT NULL. */
    YIELDS err_t (*fill)(struct system_rows *rows); /* NULL: it has none, or is a view. */
    const char *view_sql;                           /* Its columns, in the same order. */
    enum system_schema schema;
    char kind;           /* 'r', 'v' */
    uint8_t key_columns; /* So many of the first are unique: of the schema redis. */
};

/* schema NULL: a name without one, which is looked for in pg_catalog. NULL: there is none. */
const struct system_relation *system_find(const char *schema, struct slice name);
const struct system_relation *system_by_oid(oid_t oid);
uint32_t system_count(void);
const struct system_relation *system_at(uint32_t index);
/* As the binder and pg_attribute take it; it lies in the arena. */
const struct relation *system_relation_make(const struct system_relation *system,
                                            struct arena *arena);

/* The parts of the table. */
struct system_part {
    const struct system_relation *relations;
    uint32_t count;
};
extern const struct system_part system_part_tables, system_part_empty, system_part_views,
    system_part_information, system_part_redis;

/* ---- What a fill function writes: the columns of a row from left to right, then its end ---- */

/* Equal to this, the rows that are wanted are; a hint, that all are asked for again. */
struct system_filter {
    uint32_t column;
    struct datum value;
};

struct system_rows {
    const struct system_relation *relation;
    const struct statement_env *env;
    const struct catalog *catalog;
    const struct type_settings *settings;
    struct arena *arena; /* Values in rows live in it, or as long as the statement. */
    uint32_t filter_count;
    const struct system_filter *filters;
    struct slice like; /* Of the first column: a pattern of LIKE, a hint too; NULL data: none. */
    /* Own to rows.c. */
    struct exec *exec;
    uint32_t column_count, at;
    const int16_t *places; /* Of each column among those that are used; -1: it is not. */
    uint32_t used_count;
    bool has_row_keys; /* A last column, of nulls. */
    struct system_chunk *first, *last;
    uint32_t next_rows;
};

/* May a row with this number in the column be wanted? */
bool rows_may(const struct system_rows *rows, uint32_t column, int64_t value);
/* Is the number in the column the same for all rows that are wanted? */
bool rows_only(const struct system_rows *rows, uint32_t column, int64_t *value_out);
bool rows_may_name(const struct system_rows *rows, uint32_t column, struct slice name);
/* The bytes that the column equals; false: any. */
bool rows_only_bytes(const struct system_rows *rows, uint32_t column, struct slice *bytes_out);
/* Is the next column used? Those that cost something ask. */
bool row_wants(const struct system_rows *rows);
void row_int(struct system_rows *rows, int64_t value); /* bool, "char", oid, xid too */
void row_float(struct system_rows *rows, double value);
void row_text(struct system_rows *rows, struct slice text);     /* Borrowed. */
void row_name(struct system_rows *rows, const char *text);      /* Borrowed. */
void row_buf(struct system_rows *rows, const struct buf *text); /* Copied. */
void row_numeric(struct system_rows *rows, struct numeric value);
/* Numbers of a type: first is the lower bound, 0 for the vector types. */
err_t row_array(struct system_rows *rows, oid_t element, const oid_t *values, uint32_t count,
                int32_t first);
void row_value(struct system_rows *rows, struct datum value);
void row_null(struct system_rows *rows, uint32_t count);
YIELDS err_t row_end(struct system_rows *rows);

/* ---- What objects are called: names.c ---- */

/* A relation, an index or a system relation by its number. */
struct class_ref {
    const struct relation *relation; /* The table of an index, too. */
    const struct index *index;
    const struct system_relation *system;
};
bool class_find(const struct catalog *catalog, oid_t oid, struct class_ref *out);
struct slice class_name(const struct class_ref *class);
oid_t class_schema(const struct class_ref *class);
/* Found by its name alone? */
bool class_is_visible(const struct catalog *catalog, const char *path,
                      const struct class_ref *class);
/* Empty: there is no such schema. */
struct slice schema_name(const struct catalog *catalog, oid_t oid);
oid_t schema_find(const struct catalog *catalog, struct slice name);
/* A name as SQL writes it: in quotes where it must be. */
void put_identifier(struct buf *out, struct slice name);
void put_class(const struct catalog *catalog, const char *path, const struct class_ref *class,
               bool always_qualified, struct buf *out);

/* Found by its name alone? And its name as format_type says it. */
bool type_is_found(const struct catalog *catalog, const char *path, const struct type *type);
void put_type(const struct catalog *catalog, const char *path, const struct type *type,
              int32_t typmod, struct buf *out);

/* The session's names for types whose values stand for objects. */
struct catalog_names {
    struct type_names names;
    const struct statement_env *env;
    const char *const *path; /* Where env has none. */
};
void catalog_names_init(struct catalog_names *names, const struct statement_env *env);
