/* query/expr.h - bound expressions: names are columns, operators are functions, types are known.
 *
 * Immutable once the statement is planned. A tree lies in the arena of its plan. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/rt/fiber.h"
#include "models/types/type.h"

struct aggregate;
struct call;
struct catalog;
struct expr;
struct query;
struct set_function;
struct sql_session;
struct txn;

enum expr_kind {
    EXPR_CONST,
    EXPR_COLUMN,  /* Of a source; planning makes it the number of an input column. */
    EXPR_PARAM,   /* $1: of the client. */
    EXPR_OUTER,   /* A value that the query around a subquery sets before each run. */
    EXPR_CALL,    /* Function, operator or cast. */
    EXPR_CAST_IO, /* Through the text form. */
    EXPR_RELABEL, /* Another type, the same value. */
    EXPR_LENGTH,  /* To the type's modifier: varchar(n), numeric(p, s). */
    EXPR_AND,
    EXPR_OR,
    EXPR_NOT,
    EXPR_IS_NULL,
    EXPR_IS_NOT_NULL,
    EXPR_IS_BOOL,  /* IS TRUE and its like: .boolean_test */
    EXPR_DISTINCT, /* IS DISTINCT FROM: compares, null is a value. */
    EXPR_CASE,     /* Pairs of condition and result, then the ELSE. */
    EXPR_COALESCE,
    EXPR_NULLIF,
    EXPR_GREATEST,
    EXPR_LEAST,
    EXPR_IN,            /* args[0] in the others; compared by `function`. */
    EXPR_ARRAY,         /* ARRAY[...]: elements, or arrays when it is_nested. */
    EXPR_ARRAY_CAST,    /* Each element of an array by .each.element. */
    EXPR_ANY_ARRAY,     /* args[0] operator ANY (args[1]), or ALL: .each */
    EXPR_SUBSCRIPT,     /* A part of args[0]: .subscripts, whose bounds follow. */
    EXPR_SUBSCRIPT_SET, /* args[0] with the part replaced by args[1]. */
    EXPR_ROW,           /* A record of the arguments; its shape names them. */
    EXPR_FIELD,         /* Field .param of the record args[0]. */
    EXPR_AGGREGATE,     /* Until planning puts a column of the aggregation in its place. */
    EXPR_GROUPING,      /* GROUPING(args): the same. */
    EXPR_WINDOW,        /* A call with OVER: the same. */
    EXPR_SUBQUERY,
};

enum boolean_test {
    TEST_TRUE,
    TEST_NOT_TRUE,
    TEST_FALSE,
    TEST_NOT_FALSE,
    TEST_UNKNOWN,
    TEST_NOT_UNKNOWN,
};

enum subquery_kind {
    SUBQUERY_SCALAR,
    SUBQUERY_EXISTS,
    SUBQUERY_ANY,
    SUBQUERY_ALL,
    SUBQUERY_ARRAY,
    SUBQUERY_ROW, /* Of one row at most, compared with others. */
};

struct subquery {
    enum subquery_kind kind;
    struct query *query;
    struct plan *plan; /* Set by planning. */
    /* ANY, ALL, ROW: over the columns of the result, then args[0..compared_count]. */
    struct expr *compare;
    uint32_t compared_count;
    uint32_t outer_count;   /* The arguments that follow go to these numbers. */
    uint32_t *outer_params; /* Of EXPR_OUTER. */
    uint32_t number;        /* Of its state. */
    uint32_t column;        /* SCALAR: which of the result's it is. */
    /* An aggregate whose outer values are only compared for equality, for all of them: a column for
     * each of them, then the value. The keys are arguments, by number. NULL: none. Planning sets
     * it. */
    struct plan *grouped;
    uint32_t runs_before_grouping;
    uint32_t grouped_key_count;
    uint32_t *grouped_keys;
};

/* The fields of rows: of a record, or of what a function in FROM returns. */
struct shape {
    uint32_t count;
    struct slice *names;
    const struct type **types;
    int32_t *typmods;
};

/* Which bounds are given, for each subscript: their expressions stand one after the other. */
enum { SUBSCRIPT_LOWER = 1, SUBSCRIPT_UPPER = 2 };
struct subscripts {
    uint32_t count;
    bool is_slice;
    uint8_t *bounds;
};

struct expr {
    enum expr_kind kind;
    const struct type *type;
    int32_t typmod;
    int32_t position; /* In the text, in bytes; -1: none. */
    uint32_t arg_count;
    struct expr **args;
    union {
        struct {
            struct datum value;
            bool is_null;
        } constant;
        struct {
            uint32_t source;
            uint32_t column;
        } column;
        uint32_t param; /* From 0; EXPR_OUTER: number of the value; EXPR_FIELD: of the field. */
        const struct function *function;
        enum boolean_test boolean_test;
        bool is_not_in;
        struct aggregate *aggregate;
        struct window_call *window_call;
        struct subquery *subquery;
        struct subscripts *subscripts;
        bool is_nested;
        struct {
            struct expr *element; /* Over column 0 (ANY: the value) and 1 (ANY: the element). */
            bool is_all;
        } each;
    };
    bool is_whole;             /* EXPR_ROW: of a table; null when all of it is. */
    const struct shape *shape; /* Of a record, or of the rows of a set. NULL: not known. */
    bool is_explicit;          /* A cast that was written: it is shown. */
    bool is_variadic_array;    /* EXPR_CALL: VARIADIC: the last argument is an array of them. */
    const struct function *compare; /* EXPR_IN, EXPR_DISTINCT, EXPR_NULLIF: equality. */
    uint32_t number;                /* Of its vector in the state of who evaluates it. */
};

/* Is there stack for another level of a walk over a tree? Otherwise 54001. */
err_t sql_stack_check(void);

/* ---- Functions: query/fn ---- */

enum { FUNCTION_ARGS_MAX = 8 };

/* The session and the moment a statement runs in: what now(), current_user, nextval() and the
 * functions over the catalog ask. Borrowed for the statement. */
struct statement_env {
    const struct catalog *catalog; /* As this transaction sees it. */
    struct txn *txn;
    struct sql_session *session;
    struct slice user, session_user, database;
    const char *search_path;
    int64_t transaction_us, statement_us; /* Since 1970. */
};

/* What a function is called with, beside its arguments. */
struct call {
    struct arena *arena; /* Results live until the batch is done. */
    const struct type_settings *settings;
    const struct statement_env *env;
    const struct expr *expr;
    const uint8_t *nulls; /* Of the arguments; functions that are strict see none. */
    uint32_t arg_count;
    bool is_null; /* Out. */
};

/* The type of an argument, also of those that VARIADIC has taken from an array. */
static inline const struct type *
call_arg_type(const struct call *call, uint32_t index)
{
    const struct expr *expr = call->expr;

    return expr->is_variadic_array && index + 1 >= expr->arg_count
               ? expr->args[expr->arg_count - 1]->type->element_type
               : expr->args[index]->type;
}

enum comparison {
    COMPARE_NONE, /* It is no operator of the type's order. */
    COMPARE_EQUAL,
    COMPARE_NOT_EQUAL,
    COMPARE_LESS,
    COMPARE_LESS_EQUAL,
    COMPARE_GREATER,
    COMPARE_GREATER_EQUAL,
};

struct function {
    const char *name;
    oid_t result;
    oid_t args[FUNCTION_ARGS_MAX];
    uint8_t arg_count;
    uint8_t comparison;                       /* enum comparison */
    bool is_strict, is_volatile, is_variadic; /* Variadic: the last argument repeats. */
    YIELDS err_t (*run)(struct call *call, const struct datum *args, struct datum *out);
    const struct set_function *set; /* It returns rows (query/fn/set.h) and is not `run`. */
};

/* ---- Aggregates ---- */

struct aggregate_function {
    const char *name;
    oid_t result;
    oid_t arg;  /* 0: of no argument. OID_ANY: any type. */
    oid_t arg2; /* 0: none. */
    size_t state_bytes;
    bool takes_nulls;
    void (*init)(void *state);
    err_t (*add)(void *state, struct call *call, const struct datum *args);
    err_t (*get)(const void *state, struct call *call, struct datum *out);
    /* Adds what another state has of other rows, whose order does not matter. NULL: it cannot. The
     * other is a copy of the state's bytes; what they point to travels beside them: pack appends
     * it, and unpack puts it into the copy, where it may be borrowed. Both NULL: nothing. */
    err_t (*merge)(void *state, struct call *call, const void *other);
    void (*pack)(const void *state, const struct type *type, struct buf *out);
    err_t (*unpack)(void *other, const struct type *type, struct arena *arena, struct slice bytes);
};

/* Aggregates WITHIN GROUP, which have no function of their own. */
enum ordered_kind {
    ORDERED_NONE,
    ORDERED_PERCENTILE_CONT,
    ORDERED_PERCENTILE_DISC,
    ORDERED_MODE,
    ORDERED_RANK,
    ORDERED_DENSE_RANK,
    ORDERED_PERCENT_RANK,
    ORDERED_CUME_DIST,
};

struct order;

struct aggregate {
    const struct aggregate_function *function; /* NULL: .ordered */
    enum ordered_kind ordered;
    uint32_t arg_count;
    struct expr *args[2];
    struct expr *filter; /* NULL: none. */
    bool is_distinct;
    uint32_t order_count; /* ORDER BY inside of the call, or WITHIN GROUP. */
    struct expr **orders;
    struct order *order_flags;
    uint32_t direct_count; /* Of the ordered: what stands in the parentheses. */
    struct expr **direct;
};

/* ---- Window functions ---- */

enum window_kind {
    WINDOW_AGGREGATE,
    WINDOW_ROW_NUMBER,
    WINDOW_RANK,
    WINDOW_DENSE_RANK,
    WINDOW_PERCENT_RANK,
    WINDOW_CUME_DIST,
    WINDOW_NTILE,
    WINDOW_LAG,
    WINDOW_LEAD,
    WINDOW_FIRST_VALUE,
    WINDOW_LAST_VALUE,
    WINDOW_NTH_VALUE,
};

struct window_call {
    enum window_kind kind;
    const struct aggregate_function *aggregate;
    uint32_t window; /* Of the query's. */
    bool has_filter; /* The last argument. */
};
