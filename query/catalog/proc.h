/* query/catalog/proc.h - PostgreSQL's numbers of its functions and operators; roles; collations. */
#pragma once

#include "query/expr.h"

/* One entry of PostgreSQL 15's pg_proc or pg_operator. */
enum { NUMBER_ARGS_MAX = 100 };
struct number {
    oid_t oid;
    struct slice name;
    uint32_t arg_count;          /* Operators: left, right, function, commutator, negator. */
    oid_t args[NUMBER_ARGS_MAX]; /* Left is 0 where there is none. */
};
enum number_list { NUMBERS_PROC, NUMBERS_OPERATOR };

/* Walks the list, *at from 0: false at the end. Ordered by number. */
struct number_cursor {
    uint32_t line;
    const char *at;
};
bool number_next(enum number_list list, struct number_cursor *cursor, struct number *out);
bool number_find(enum number_list list, oid_t oid, struct number *out);
/* 0: PostgreSQL has no such function. */
oid_t number_of_function(struct slice name, const oid_t *args, uint32_t arg_count);
oid_t number_of_operator(struct slice name, oid_t left, oid_t right);

/* A function that is there, or an aggregate. */
struct proc {
    struct number number;
    oid_t result;
    char kind; /* As prokind. */
    bool is_strict, is_volatile, is_variadic, is_set;
};
bool proc_find(oid_t oid, struct proc *out);

/* regproc, regprocedure and their like. */
bool proc_put(oid_t oid, bool with_args, struct buf *out);
bool operator_put(oid_t oid, bool with_args, struct buf *out);
err_t proc_find_name(struct slice text, bool with_args, oid_t *oid_out);
err_t operator_find_name(struct slice text, bool with_args, oid_t *oid_out);

/* 0, empty: there is none. */
oid_t role_find(struct slice name);
struct slice role_name(oid_t oid);
oid_t collation_find(struct slice name);
struct slice collation_name(oid_t oid);
