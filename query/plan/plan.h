/* query/plan/plan.h - how a statement is run: operators, in a tree that does not change.
 *
 * Every operator gives columns; expressions above it name them by number (EXPR_COLUMN's column). */
#pragma once

#include "query/query.h"

enum plan_kind {
    PLAN_ONE_ROW,
    PLAN_VALUES,
    PLAN_FUNCTION,    /* Functions in FROM: exprs, side by side. */
    PLAN_PROJECT_SET, /* The columns below, then those of functions that return rows: exprs. */
    PLAN_COPY,        /* What the run's supplier gives. */
    PLAN_CTE,         /* Rows of an item of WITH, which are kept. */
    PLAN_WORK,        /* Those that the recursive item gave last. */
    PLAN_WITH,        /* Passes rows on; begun anew, it forgets what its items have kept. */
    PLAN_SCAN,
    PLAN_SYSTEM, /* Rows of a system relation. */
    PLAN_FILTER,
    PLAN_PROJECT,
    PLAN_JOIN_LOOP, /* Each pair of rows is tried. */
    PLAN_JOIN_HASH,
    PLAN_JOIN_LATERAL, /* The right side runs for each row of the left, which sets outers. */
    PLAN_AGGREGATE,
    PLAN_WINDOW, /* The columns below, which are sorted by the window's keys, then calls: exprs. */
    PLAN_SORT,
    PLAN_DISTINCT,    /* Of the first `distinct_count` columns. */
    PLAN_DISTINCT_ON, /* Of sorted rows: the first of each. */
    PLAN_SET,
    PLAN_LIMIT,
    PLAN_LOCK_ROWS, /* FOR UPDATE: locks rows by their keys. */
};

/* Where a column comes from, while it is planned. */
struct plan_column {
    uint32_t source, column;
    const struct type *type;
};

struct sort_key {
    uint32_t column;
    bool is_descending, nulls_first;
};

/* An item of WITH that is run once, and read by all who name it. */
struct plan_cte {
    uint32_t number;
    struct plan *plan;
    struct plan *recursive; /* Runs for the rows that came last, until there are none. */
    bool is_union_all;
    const struct statement *change; /* `plan` says what it changes; its rows are of RETURNING. */
    uint32_t column_count;
    struct plan_column *columns;
};

struct plan {
    enum plan_kind kind;
    struct plan *left, *right;
    uint32_t column_count;
    struct plan_column *columns;

    uint32_t expr_count; /* PROJECT, VALUES (rows of column_count), sets, AGGREGATE: groups */
    struct expr **exprs;
    struct expr *condition; /* FILTER; joins: over left and right columns. NULL: none. */

    const struct relation *relation; /* SCAN, SYSTEM */
    const struct system_relation *system;
    uint32_t *system_columns;  /* Which equal exprs[0..equal_count). */
    struct expr *system_like;  /* SYSTEM: a pattern of the first column; NULL: none. */
    const struct index *index; /* NULL: all rows. */
    uint16_t *scan_columns;
    uint32_t scan_column_count;
    bool has_row_keys;       /* The last column. */
    uint32_t equal_count;    /* Of the index's columns, equal to exprs[0..]; */
    struct expr *low, *high; /* bounds of the next one. NULL: none. */
    bool is_low_open, is_high_open;

    bool has_ordinality; /* FUNCTION */

    uint32_t row_lock_count; /* LOCK_ROWS */
    const struct row_lock *row_locks;
    bool skips_locked;

    const struct window *window; /* WINDOW */
    uint32_t first_key;          /* Column of its first key. */

    const struct plan_cte *cte; /* CTE, WORK */
    uint32_t cte_count;         /* WITH */
    uint32_t *cte_numbers;

    enum from_kind join;
    uint32_t key_count; /* HASH: left_keys[i] = right_keys[i] */
    struct expr **left_keys, **right_keys;

    uint32_t aggregate_count;
    struct aggregate **aggregates;
    uint32_t set_count; /* AGGREGATE: grouping sets; 0: one, of all. */
    const struct grouping_set *sets;
    uint32_t grouping_count; /* Its last columns. */
    const struct grouping_set *groupings;

    uint32_t key_column_count; /* SORT, DISTINCT_ON */
    struct sort_key *keys;
    uint32_t distinct_count;

    enum set_kind set;
    bool is_set_all;

    struct expr *limit, *offset;

    /* What must be set before it runs: values of EXPR_OUTER, from those around. JOIN_LATERAL: over
     * the left side's columns, before each run of the right. */
    uint32_t outer_count;
    struct outer_reference *outers;
};

/* Plans the statement's queries, the subqueries in expressions too. Errors: ERR_SQL. */
err_t plan_statement(struct statement *statement, struct arena *arena, struct plan **plan_out);
/* Do equal values of both types have equal keys, in one order? */
bool plan_keys_agree(const struct type *column, const struct type *value);
/* Expressions that stand beside the statement's plan: over the columns of these sources, one after
 * the other. */
err_t plan_expr(struct arena *arena, const struct statement *statement, struct expr *expr,
                const struct source *const *sources, uint32_t source_count, struct expr **expr_out);
