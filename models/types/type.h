/* models/types/type.h - the types of SQL: names, text and binary forms, order, encodings.
 *
 * Numbers and names are PostgreSQL's (src/include/catalog/pg_type.dat). A type is described once
 * here; enums and other types that users make are described by the catalog in the same struct. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "models/types/datum.h"

typedef uint32_t oid_t;

enum {
    OID_BOOL = 16,
    OID_BYTEA = 17,
    OID_CHAR = 18, /* "char": one byte */
    OID_NAME = 19,
    OID_INT8 = 20,
    OID_INT2 = 21,
    OID_INT2VECTOR = 22,
    OID_INT4 = 23,
    OID_REGPROC = 24,
    OID_TEXT = 25,
    OID_OID = 26,
    OID_TID = 27,
    OID_XID = 28,
    OID_OIDVECTOR = 30,
    OID_JSON = 114,
    OID_PG_NODE_TREE = 194,
    OID_FLOAT4 = 700,
    OID_FLOAT8 = 701,
    OID_UNKNOWN = 705,
    OID_ACLITEM = 1033,
    OID_BPCHAR = 1042,
    OID_VARCHAR = 1043,
    OID_DATE = 1082,
    OID_TIME = 1083,
    OID_TIMESTAMP = 1114,
    OID_TIMESTAMPTZ = 1184,
    OID_INTERVAL = 1186,
    OID_TIMETZ = 1266,
    OID_NUMERIC = 1700,
    OID_REGPROCEDURE = 2202,
    OID_REGOPER = 2203,
    OID_REGOPERATOR = 2204,
    OID_REGCLASS = 2205,
    OID_REGTYPE = 2206,
    OID_RECORD = 2249,
    OID_ANY = 2276,
    OID_ANYARRAY = 2277,
    OID_VOID = 2278,
    OID_ANYELEMENT = 2283,
    OID_ANYNONARRAY = 2776,
    OID_UUID = 2950,
    OID_ANYENUM = 3500,
    OID_JSONB = 3802,
    OID_JSONPATH = 4072,
    OID_ANYCOMPATIBLE = 5077,
    OID_ANYCOMPATIBLEARRAY = 5078,
    OID_ANYCOMPATIBLENONARRAY = 5079,
    OID_REGNAMESPACE = 4089,
    OID_REGROLE = 4096,
    OID_REGCOLLATION = 4191,
    OID_FIRST_USER = 16384,
};

/* Which member of a datum holds. */
enum type_rep { REP_INT, REP_FLOAT, REP_BYTES, REP_NUMERIC, REP_INTERVAL, REP_TIMETZ };

struct type;
struct zone;
struct zones;

/* Names of the catalog's objects, for the types that stand for them. */
struct type_names {
    /* false: there is no such object. */
    bool (*put)(const struct type_names *names, oid_t type, oid_t oid, struct buf *out);
    /* May read the catalog where no statement runs. Errors: ERR_SQL, as PostgreSQL's input. */
    YIELDS err_t (*find)(const struct type_names *names, oid_t type, struct slice text,
                         struct arena *arena, oid_t *oid_out);
};

/* What text forms depend on, of a session. */
struct type_settings {
    int extra_float_digits;         /* 1: the shortest text that reads back as the same number. */
    bool bytea_escape;              /* Not hex. */
    const struct type_names *names; /* NULL: objects print as their numbers. */
    uint8_t date_style;             /* enum date_style, */
    uint8_t date_order;             /* enum date_order, */
    uint8_t interval_style;         /* enum interval_style of datetime.h. */
    int64_t now_us;                 /* When the transaction began, since 2000-01-01 UTC. */
    const struct zone *zone;        /* NULL: UTC. */
    struct zones *zones;            /* Borrowed; NULL: only UTC and POSIX strings have names. */
};
extern const struct type_settings type_settings_default;

struct type_io {
    struct arena *arena; /* Of what is read. */
    const struct type_settings *settings;
};

struct type {
    oid_t oid;
    oid_t array; /* Of the array of this type; 0: none. */
    oid_t element;
    const struct type *array_type;   /* NULL: none. */
    const struct type *element_type; /* NULL: it is no array. */
    const char *name;                /* As in pg_type. */
    const char *display;             /* As format_type says it. */
    int16_t length;                  /* Of PostgreSQL's representation; -1: it varies. */
    char category;                   /* pg_type.typcategory */
    bool is_preferred;
    uint8_t rep; /* enum type_rep */
    /* Text: ERR_SQL 22P02, 22003 and others. typmod -1: none. */
    err_t (*input)(const struct type *type, const struct type_io *io, struct slice text,
                   int32_t typmod, struct datum *out);
    void (*output)(const struct type *type, const struct type_settings *settings,
                   struct datum value, struct buf *out);
    /* Binary, as PostgreSQL's send and receive functions. ERR_SQL 22P03, 08P01. */
    err_t (*receive)(const struct type *type, const struct type_io *io, struct slice bytes,
                     struct datum *out);
    void (*send)(const struct type *type, struct datum value, struct buf *out);
    /* The order of the default btree class; NULL: the type has none. */
    int (*compare)(const struct type *type, struct datum a, struct datum b);
};

/* oid and the types that print as names of objects: 32 bits without a sign. */
bool type_is_unsigned(const struct type *type);
/* NULL: no such type among the built-in ones. */
const struct type *type_by_oid(oid_t oid);
const struct type *type_by_name(struct slice name);
/* What a type is like, for who has its number alone: category, preference, is it an array. Those
 * that users make are enums (even numbers) and their arrays (the number behind), and all like one
 * another: whose they are, and their labels, the catalog tells. NULL: no such type. */
const struct type *type_like(oid_t oid);
/* pg_type.typlen, which clients are told: values of enums take more room here. */
int16_t type_shown_length(const struct type *type);
uint32_t type_count(void);
const struct type *type_at(uint32_t index);

/* Equal values have equal bytes: what hashes and groups go by. */
void type_hash_put(const struct type *type, struct datum value, struct buf *out);
/* Ordered by memcmp as `compare` orders, and self-delimiting. */
void type_key_put(const struct type *type, struct datum value, struct buf *out);
/* In rows, with the length known from outside. */
void type_row_put(const struct type *type, struct datum value, struct buf *out);
/* Bytes are borrowed. ERR_CORRUPT. */
err_t type_row_get(const struct type *type, struct slice bytes, struct arena *arena,
                   struct datum *out);
/* A copy that lives as long as the arena. */
struct datum type_copy(const struct type *type, struct datum value, struct arena *arena);

/* varchar(n), char(n), numeric(p, s), ...: what a cast to the type with its modifier does. */
err_t type_coerce_length(const struct type *type, struct datum value, int32_t typmod,
                         bool is_explicit, struct arena *arena, struct datum *out);
/* "character varying(10)" */
void type_format(const struct type *type, int32_t typmod, struct buf *out);

/* The shortest digits that read back as the same number, in PostgreSQL's form. */
void float_to_text(double value, bool is_single, int extra_float_digits, struct buf *out);
/* "22P02" or "22003" by the name of the type. */
err_t float_from_text(struct slice text, bool is_single, double *out);
err_t int_from_text(struct slice text, const char *type_name, int64_t min, int64_t max,
                    int64_t *out);
/* Spaces at the end of char(n) do not count. */
struct slice bpchar_trim(struct slice text);
