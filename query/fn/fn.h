/* query/fn/fn.h - the table of functions, operators, casts and aggregates, and how one is chosen.
 *
 * Choice: PostgreSQL 15, sections 10.2 (operators), 10.3 (functions) and 10.4 (values). */
#pragma once

#include "query/expr.h"

/* Where a value may become another type. */
enum coercion { COERCE_IMPLICIT, COERCE_ASSIGNMENT, COERCE_EXPLICIT };

/* CAST_ARRAY: each element by the cast of the elements' types. */
enum cast_method { CAST_NONE, CAST_RELABEL, CAST_FUNCTION, CAST_IO, CAST_ARRAY };

/* How a value of one type becomes the other in this context; CAST_NONE: it does not.
 * function_out for CAST_FUNCTION. Equal types: CAST_RELABEL. */
enum cast_method fn_cast(oid_t from, oid_t to, enum coercion coercion,
                         const struct function **function_out);

/* The operator's function for arguments of these types; left 0: prefix. NULL: none, or
 * *is_ambiguous_out. Unknown types (literals) fit any. */
const struct function *fn_operator(const char *name, oid_t left, oid_t right,
                                   bool *is_ambiguous_out);
const struct function *fn_find(const char *name, const oid_t *args, uint32_t arg_count,
                               bool *is_ambiguous_out);
bool fn_is_known(const char *name);
/* arg_count 0: of no argument, count(*). */
const struct aggregate_function *fn_aggregate(const char *name, const oid_t *args,
                                              uint32_t arg_count);
struct aggregate_part;
const struct aggregate_part *fn_aggregate_part(uint32_t index); /* NULL: beyond the last. */
bool fn_is_aggregate(const char *name);
/* The operator whose function it is; NULL: it is none. */
const char *fn_operator_name(const struct function *function);
bool fn_is_cast(const struct function *function);
/* All rows of the table, and of casts; NULL beyond them. */
struct function_part;
const struct function_part *fn_part(uint32_t index);
struct cast_entry {
    oid_t from, to;
    enum coercion coercion;
    enum cast_method method;
    const struct function *function;
};
bool fn_cast_at(uint32_t index, struct cast_entry *out);
/* Equality of two values of one type. */
const struct function *fn_equality(oid_t type);

/* The type that all become in UNION, CASE, VALUES, ...; 0: there is none, and *at_out does not fit
 * with *before_out. */
oid_t fn_common_type(const oid_t *types, uint32_t count, oid_t *before_out, oid_t *at_out);

/* ---- Polymorphic parameters: anyelement and its family, anycompatible and its family ---- */

bool fn_is_polymorphic(oid_t type);
/* Makes `count` declared types of parameters (declared[i] takes args[i]; variadic ones repeated)
 * and the result's (0: not asked) those that the arguments' types mean. 22P02 and 42804 when a
 * result cannot be known; ERR_NOT_FOUND, with nothing recorded, when the arguments do not agree. */
err_t fn_resolve(const struct type *const *args, uint32_t count, const struct type **declared,
                 oid_t result, const struct type **result_out);
/* The declared type of argument `index`. */
oid_t fn_parameter(const struct function *function, uint32_t index);

/* The parts of the table: one array a file. */
struct operator_row {
    const char *name; /* NULL: it is a function only. */
    struct function function;
};
struct function_part {
    const struct operator_row *rows;
    uint32_t count;
};
extern const struct function_part fn_part_array, fn_part_math, fn_part_compare, fn_part_text,
    fn_part_series, fn_part_redis, fn_part_sequence;
extern const struct function_part fn_part_array_set, fn_part_enum;
extern const struct function_part fn_part_datetime, fn_part_datetime_make, fn_part_datetime_part;
extern const struct function_part fn_part_datetime_format, fn_part_datetime_scan;
extern const struct function_part fn_part_json;
extern const struct function_part fn_part_json_build;
extern const struct function_part fn_part_json_rows;
extern const struct function_part fn_part_jsonb_change;
/* Aggregates, likewise. */
struct aggregate_part {
    const struct aggregate_function *rows;
    uint32_t count;
};
extern const struct aggregate_part fn_aggregates_array, fn_aggregates_json, fn_aggregates_math;
extern const struct function_part fn_part_catalog, fn_part_definition, fn_part_regex;
extern const struct function_part fn_part_setting;
extern const struct aggregate_part fn_aggregates_pair;
