/* query/fn/set.h - functions that return rows: in FROM, and in the list of a SELECT.
 *
 * A row of the table of functions (fn.h) whose `set` is not NULL is one. Its arguments are chosen
 * as those of any function. It gives its rows in chunks, so that none is made that nobody asks
 * for: `start` once, then `next` until it gives no row, then `end`.
 *
 *     static const struct set_function pairs_set = {
 *         .column_count = 2, .columns = pairs_columns, .state_bytes = sizeof(struct pairs),
 *         .next = pairs_next};
 *     {NULL, {.name = "pairs", .result = OID_RECORD, .args = {OID_INT4}, .arg_count = 1,
 *             .is_strict = true, .set = &pairs_set}}
 *
 * Without columns of its own it has one, of the function's result, which may be polymorphic. A
 * strict one with a null among its arguments gives no rows. */
#pragma once

#include "query/expr.h"

struct set_column {
    const char *name;
    oid_t type; /* OID_ANYELEMENT, OID_ANYARRAY, ...: as the call's result or arguments say. */
};

/* One run: of one row's arguments. */
struct set_call {
    /* Settings, environment, the types of arguments (call->expr->args), which are null; its arena
     * lives as long as the run. */
    struct call call;
    const struct datum *args;
    const struct shape *shape; /* Names and types of the columns to give. */
    void *state;               /* state_bytes, zeroed at first. */
    struct arena *arena;       /* What the rows of a chunk refer to: lives until the next chunk. */
};

struct set_function {
    uint8_t column_count; /* 0: one column, of the function's result. */
    const struct set_column *columns;
    bool needs_columns; /* The caller says in a column definition list what it wants. */
    size_t state_bytes;
    /* NULL: nothing to begin. */
    YIELDS err_t (*start)(struct set_call *call);
    /* Fills up to BATCH_ROWS_MAX rows of the columns (values and nulls have room; nulls are
     * cleared) and says how many; 0: that was all. */
    YIELDS err_t (*next)(struct set_call *call, struct vector *columns, uint32_t *count_out);
    void (*end)(struct set_call *call); /* NULL: the state holds nothing but its bytes. */
};
