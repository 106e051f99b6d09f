/* query/query.h - a bound statement: what SQL asks for, before anybody decides how. */
#pragma once

#include "models/relational/catalog.h"
#include "query/expr.h"

enum { SQL_DEPTH_MAX = 1000, TARGETS_MAX = 1664, PARAMS_MAX = 65535 };

enum source_kind {
    SOURCE_TABLE,
    SOURCE_SYSTEM,    /* A relation of pg_catalog: query/catalog. */
    SOURCE_QUERY,     /* A subquery or a view. */
    SOURCE_CTE,       /* An item of WITH. */
    SOURCE_WORK,      /* Inside of a recursive one: the rows it gave last. */
    SOURCE_FUNCTION,  /* Functions in FROM, side by side. */
    SOURCE_COPY,      /* Rows that COPY reads; the last column is the row's number. */
    SOURCE_AGGREGATE, /* What GROUP BY and aggregates make of a query's rows: its own columns. */
};

struct source_column {
    struct slice name;
    const struct type *type;
    int32_t typmod;
    const struct shape *shape; /* Of a record; NULL: not known. */
    bool is_used;              /* Somewhere in the statement. */
};

/* An item of WITH. */
struct cte {
    uint32_t number; /* Of its state. */
    uint32_t column_count;
    struct source_column *columns;
    struct query *query;     /* Of a recursive one the first part. */
    struct query *recursive; /* The second; NULL: it does not read itself. */
    struct query *around;    /* What both take from outside goes through it. NULL: directly. */
    bool is_union_all;
    struct statement *change; /* In place of a query; runs whether it is read or not. */
    struct cte *next_change;
    uint32_t references;
    bool is_materialized, is_inlined; /* As the statement wants it. */
    bool has_volatile;
    struct plan_cte *plan; /* Set by planning. */
};

struct source {
    enum source_kind kind;
    uint32_t id; /* In the statement. */
    uint32_t column_count;
    struct source_column *columns;
    const struct relation *relation;
    const struct system_relation *system;
    struct query *query;
    struct cte *cte;
    struct slice alias;      /* FUNCTION: its name where none is given. */
    uint32_t function_count; /* FUNCTION: each has the columns of its expression's shape. */
    struct expr **functions;
    bool has_ordinality; /* Another column, the row's number, comes last. */
    bool needs_row_keys; /* UPDATE and DELETE: another column, the row's key, comes last. */
    struct expr **exprs; /* A view that is written to: its columns, over those of its table. */
};

enum from_kind { FROM_SOURCE, FROM_INNER, FROM_LEFT, FROM_RIGHT, FROM_FULL };

struct join {
    enum from_kind kind;
    struct source *source; /* FROM_SOURCE */
    struct join *left, *right;
    struct expr *on; /* NULL: none. */
};

struct target {
    struct expr *expr;
    struct slice name;
    bool is_junk; /* Only for ORDER BY or DISTINCT ON. */
};

struct order {
    uint32_t target;
    bool is_descending, nulls_first;
};

/* Some of the groups, by number. */
struct grouping_set {
    uint32_t count;
    uint32_t *groups;
};

enum frame_mode { FRAME_RANGE, FRAME_ROWS, FRAME_GROUPS };

enum frame_bound {
    FRAME_UNBOUNDED_PRECEDING,
    FRAME_OFFSET_PRECEDING,
    FRAME_CURRENT_ROW,
    FRAME_OFFSET_FOLLOWING,
    FRAME_UNBOUNDED_FOLLOWING,
};

enum frame_exclusion { EXCLUDE_NOTHING, EXCLUDE_CURRENT_ROW, EXCLUDE_GROUP, EXCLUDE_TIES };

struct window {
    uint32_t partition_count, order_count;
    struct expr **partition, **orders;
    struct order *order_flags; /* Directions: their targets mean nothing. */
    enum frame_mode mode;
    enum frame_bound start, end;
    enum frame_exclusion exclusion;
    struct expr *start_offset, *end_offset; /* NULL: none. */
    /* RANGE with an offset: does the row (its key in column 0) lie behind the bound of another (key
     * in 1, offset in 2)? */
    struct expr *start_test, *end_test;
};

/* FOR UPDATE and its like, of one table. */
struct row_lock {
    const struct relation *relation;
    uint32_t column; /* Of the result: the rows' keys. */
    enum lock_mode mode;
    enum lock_wait wait;
};

enum set_kind { SET_NONE, SET_UNION, SET_INTERSECT, SET_EXCEPT };

struct outer_reference {
    struct expr *expr; /* In the scope of the query around. */
    uint32_t param;
};

struct values_row {
    struct expr **exprs;
};

struct query {
    struct join *from; /* NULL: one row without columns. */
    struct expr *where;
    uint32_t target_count;
    struct target *targets;

    bool has_sets;   /* Its list, or GROUP BY, has functions that return rows. */
    bool is_grouped; /* GROUP BY, HAVING or an aggregate. */
    uint32_t group_count;
    struct expr **groups;
    uint32_t set_count; /* GROUPING SETS and their like; 0: one, of all groups. */
    struct grouping_set *sets;
    uint32_t grouping_count; /* Calls of GROUPING(), by what they name. */
    struct grouping_set *groupings;
    uint32_t aggregate_count;
    struct expr **aggregates; /* EXPR_AGGREGATE */
    struct expr *having;
    struct source *aggregate_source; /* Its columns: groups, aggregates, GROUPING(). */

    uint32_t window_count;
    struct window **windows;

    bool is_distinct;
    uint32_t distinct_on_count;
    uint32_t *distinct_on; /* Targets. */
    uint32_t order_count;
    struct order *orders;
    struct expr *limit, *offset;

    enum set_kind set;
    bool is_set_all;
    struct query *left, *right;

    uint32_t values_count; /* VALUES: rows of target_count expressions. */
    struct values_row *values;

    uint32_t row_lock_count;
    struct row_lock *row_locks;

    uint32_t cte_count; /* Of its WITH. */
    struct cte **ctes;

    uint32_t outer_count; /* What it takes from around it. */
    struct outer_reference *outers;
    bool has_volatile; /* Or something in it. */
    struct plan *plan; /* Set by planning: a WITH query is planned once. */
};

enum statement_kind {
    STATEMENT_SELECT,
    STATEMENT_INSERT,
    STATEMENT_UPDATE,
    STATEMENT_DELETE,
    STATEMENT_UTILITY, /* query/exec/utility.h runs it from the parse tree. */
    STATEMENT_EMPTY,
};

struct assignment {
    uint32_t column;
    struct expr *expr;
};

/* WITH CHECK OPTION: what each new row must keep to. */
struct view_check {
    struct slice view;
    struct expr *expr; /* Over row_source. */
};

/* What an INSERT, UPDATE or DELETE evaluates of rows, beside its plan. */
struct change_plan {
    struct expr **returning;
    const struct type **returning_types;
    struct expr **conflict_sets; /* By assignment; over the old row and the new one. */
    struct expr *conflict_where; /* NULL: none. */
    struct expr **view_checks;
};

enum conflict_action { CONFLICT_ERROR, CONFLICT_NOTHING, CONFLICT_UPDATE };

struct statement {
    enum statement_kind kind;
    struct query *query; /* SELECT; rows to insert (target a column); rows to change. */
    const struct relation *relation;
    oid_t *relations; /* All that it names, also within views. */
    uint32_t relation_count;
    struct source *row_source;    /* INSERT, UPDATE: the new row, for checks and RETURNING. */
    struct source *old_source;    /* UPDATE, DELETE, ON CONFLICT: the row as it was. */
    struct source *joined_source; /* UPDATE, DELETE: what RETURNING may read of other tables: */
                                  /* targets behind the assignments. NULL: nothing. */
    uint32_t assignment_count;    /* UPDATE: values are targets of the query, by number. */
    struct assignment *assignments;
    enum conflict_action conflict;
    uint32_t conflict_index_count; /* 0: any. */
    const struct index **conflict_indexes;
    struct expr *conflict_where;
    uint32_t view_check_count;
    struct view_check *view_checks;
    uint32_t returning_count;
    struct target *returning;
    struct change_plan *planned; /* Set by planning. */

    uint32_t param_count;
    const struct type **param_types;
    uint32_t source_count;   /* Numbers of sources given out, */
    uint32_t outer_count;    /* of EXPR_OUTER, */
    uint32_t subquery_count; /* of subqueries, */
    uint32_t cte_count;      /* and of items of WITH. */
    struct cte *changes;     /* Those of WITH that change data, in their order. */
    const void *utility;     /* The parse node. */

    bool is_copy;               /* Of what COPY takes (INSERT, from SOURCE_COPY) or gives. */
    bool has_row_numbers;       /* INSERT: the query's last target is the number of the row. */
    uint32_t copy_column_count; /* INSERT: columns that are read, by number in the table. */
    uint32_t *copy_columns;
};
