/* query/bind/internal.h - what the files of the binder share. */
#pragma once

#include "query/bind/bind.h"
#include "query/catalog/system.h"
#include "query/fn/fn.h"
#include "query/parse/nodes.h"
#include "query/parse/parse.h"
#include "query/search_path.h"

/* A name that stands for columns: a table or subquery in FROM, or the merged columns of USING. */
struct scope_item {
    struct slice alias;
    struct source *source;
    bool is_hidden;  /* Its columns are reached by alias only: inside of JOIN ... AS, or merged. */
    bool is_refused; /* LATERAL may not take its columns: the join keeps the other side. */
};

/* What USING or NATURAL has merged: found by name alone. */
struct merged_column {
    struct slice name;
    struct expr *expr;
};

/* How far an item of WITH is bound. */
enum with_state {
    WITH_UNBOUND,
    WITH_WHOLE,  /* It is being bound, as one, */
    WITH_FIRST,  /* as the first part of a recursive one, which may not read it, */
    WITH_SECOND, /* or as the second, which may. */
    WITH_BOUND,
};

struct with_query {
    struct slice name;
    const CommonTableExpr *node;
    const WithClause *clause;
    struct scope *scope; /* Where it is defined. */
    int location;
    enum with_state state;
    bool is_self_read;
    const char *refusal; /* Why it may not read itself now. */
    struct cte *cte;
    struct with_query *next;
};

struct scope {
    struct scope *outer;
    const struct scope *hidden; /* Its items are there, but not to be seen: neighbours in FROM. */
    struct query *query;
    struct scope_item *items;
    uint32_t item_count, item_capacity;
    struct merged_column *merged;
    uint32_t merged_count;
    struct with_query *with;
    bool may_window, is_in_window;
    const List *window_clause; /* WINDOW w AS (...) */
    bool may_set;              /* Functions that return rows are allowed. */
    bool may_aggregate;        /* Here aggregates are allowed, */
    bool is_in_aggregate;      /* and this is an argument of one. */
    const char *clause;        /* For errors: "WHERE", "GROUP BY", ... */
    /* Names that were found here, and in a query around, also by subqueries in here. */
    uint32_t own_references, outer_references;
};

struct binder {
    const struct catalog *catalog;
    struct arena *arena;
    const struct type_settings *settings;
    const char *search_path;
    uint32_t depth;
    uint32_t source_count;
    uint32_t param_count, param_capacity;
    const struct type **param_types; /* NULL: not known yet. */
    uint32_t outer_count, subquery_count;
    uint32_t cte_count;
    uint32_t volatile_count; /* Calls of volatile functions so far. */
    bool may_change;         /* WITH may hold data-modifying statements. */
    struct cte *first_change, *last_change;
    struct with_query *with_current;
    const char *no_self; /* Where a recursive query may not read itself: "a subquery". */
    const char *no_sets; /* "CASE", "COALESCE": what is bound lies inside of one. */
    int32_t position;
    oid_t *relations; /* Those that were named, also within views: to be locked. */
    uint32_t relation_count, relation_capacity;
};

/* ERR_SQL with a place in the text. */
err_t bind_error(struct binder *binder, int location, const char *sqlstate, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* May a walk over the tree go one level deeper? 54001. */
err_t bind_depth_check(struct binder *binder);
void *bind_zeroed(struct binder *binder, size_t size);
struct slice bind_text(struct binder *binder, const char *text); /* Copied. */

/* ---- Expressions: bind_expr.c, bind_func.c ---- */
err_t bind_expr(struct binder *binder, struct scope *scope, const Node *node,
                struct expr **expr_out);
/* The same, and boolean. what: "argument of WHERE". */
err_t bind_condition(struct binder *binder, struct scope *scope, const Node *node, const char *what,
                     struct expr **expr_out);
err_t bind_func(struct binder *binder, struct scope *scope, const FuncCall *call,
                struct expr **expr_out);
/* name(args) with bound arguments, and an operator: left NULL: prefix. */
err_t bind_call(struct binder *binder, const char *name, struct expr **args, uint32_t count,
                int location, struct expr **expr_out);
err_t bind_operator(struct binder *binder, const char *name, struct expr *left, struct expr *right,
                    int location, struct expr **expr_out);
struct expr *expr_new(struct arena *arena, enum expr_kind kind, const struct type *type,
                      uint32_t arg_count, int location);
struct expr *expr_const(struct arena *arena, const struct type *type, struct datum value,
                        bool is_null);
struct expr *expr_column(struct arena *arena, struct source *source, uint32_t column);
struct expr *bind_expr_copy(struct binder *binder, const struct expr *from);
bool expr_equal(const struct expr *a, const struct expr *b);
/* Both, or the one that is not NULL. */
struct expr *bind_and(struct binder *binder, struct expr *a, struct expr *b);
/* (a, b) = (SELECT ...): the query, which must give `count` columns, and one of them. */
err_t bind_multiple_query(struct binder *binder, struct scope *scope, const SubLink *node,
                          uint32_t count, struct query **query_out);
struct expr *bind_multiple_column(struct binder *binder, struct query *query, uint32_t column,
                                  int location);
int bind_location(const Node *node); /* Where it stands in the text, -1: not known. */
struct slice bind_output_name(const Node *node);

/* ---- Arrays: bind_array.c. Nodes: A_ArrayExpr, lists of A_Indices ---- */
/* wanted: the array type that a cast around it names; NULL: none does. */
err_t bind_array(struct binder *binder, struct scope *scope, const void *node,
                 const struct type *wanted, struct expr **expr_out);
err_t bind_any_array(struct binder *binder, const char *name, struct expr *left, struct expr *right,
                     bool is_all, int location, struct expr **expr_out);
/* The subscripts in the list from *at on, which moves behind them. */
err_t bind_subscripts(struct binder *binder, struct scope *scope, struct expr *container,
                      const void *indirection, uint32_t *at, struct expr **expr_out);
/* The column's value with the named part replaced. */
err_t bind_subscript_target(struct binder *binder, struct scope *scope, const struct column *column,
                            struct expr *container, const void *indirection, struct expr *value,
                            int location, struct expr **expr_out);

/* ---- Types: coerce.c ---- */
/* Arguments take the function's types; polymorphic ones are settled. ERR_NOT_FOUND: they do not
 * agree. */
err_t bind_arguments(struct binder *binder, const struct function *function, struct expr **args,
                     uint32_t count, int location, const struct type **result_out);
/* *expr becomes the type; 42804 with `what` when it cannot. */
err_t bind_coerce(struct binder *binder, struct expr **expr, const struct type *type,
                  int32_t typmod, enum coercion coercion);
/* All become one type: for CASE, UNION, VALUES, IN. */
err_t bind_common(struct binder *binder, const char *context, struct expr **exprs, uint32_t count,
                  const struct type **type_out);
/* A literal that nothing decided is text. */
err_t bind_settle(struct binder *binder, struct expr **expr);

/* ---- Queries: bind_select.c, bind_from.c, bind_group.c ---- */
err_t bind_query(struct binder *binder, struct scope *outer, const SelectStmt *select,
                 struct query **query_out);
err_t bind_with(struct binder *binder, struct scope *scope, const WithClause *clause);
err_t bind_with_source(struct binder *binder, struct with_query *with, int location,
                       struct source **source_out);
err_t bind_from(struct binder *binder, struct scope *scope, const List *items);
/* FOR UPDATE and its like: bind_lock.c */
err_t bind_row_locks(struct binder *binder, struct scope *scope, const SelectStmt *select);
err_t bind_group_by(struct binder *binder, struct scope *scope, const SelectStmt *select);
err_t bind_group_expr(struct binder *binder, struct scope *scope, struct query *query,
                      const Node *node, uint32_t *group_out);
err_t bind_grouping(struct binder *binder, struct scope *scope, struct query *query);
struct source *source_new(struct binder *binder, enum source_kind kind, uint32_t columns);
struct source *source_of_relation(struct binder *binder, const struct relation *relation);
void scope_add(struct binder *binder, struct scope *scope, struct slice alias,
               struct source *source);
err_t bind_column(struct binder *binder, struct scope *scope, const ColumnRef *reference,
                  struct expr **expr_out);
err_t bind_relation(struct binder *binder, const RangeVar *name,
                    const struct relation **relation_out);
/* Expands * and t.*, binds targets. */
err_t bind_targets(struct binder *binder, struct scope *scope, const List *list,
                   struct target **targets_out, uint32_t *count_out);

struct source *source_of_query(struct binder *binder, struct query *query);
err_t bind_alias_columns(struct binder *binder, struct source *source, const Alias *alias);

/* Expressions of a list, with t.* expanded; names as far as they have them. */
err_t bind_row_list(struct binder *binder, struct scope *scope, const List *nodes,
                    struct target **targets_out, uint32_t *count_out);

/* ---- Window functions: bind_window.c ---- */
bool bind_is_window_function(const char *name);
err_t bind_window_call(struct binder *binder, struct scope *scope, const FuncCall *call,
                       struct expr **expr_out);
/* The aggregate for these arguments, which become its own: an EXPR_AGGREGATE. */
err_t bind_aggregate_choose(struct binder *binder, const char *name, struct expr **args,
                            uint32_t count, int location, struct expr **expr_out);
err_t bind_no_function(struct binder *binder, const char *name, struct expr **args, uint32_t count,
                       int location);
/* ASC, DESC, USING, NULLS: of a value of the type. */
err_t bind_sort_direction(struct binder *binder, const void *sort_by, const struct type *type,
                          struct order *order);

/* ---- Rows as values: bind_row.c ---- */
err_t bind_row(struct binder *binder, struct scope *scope, const RowExpr *node,
               struct expr **expr_out);
/* names NULL: f1, f2, ... */
struct expr *bind_row_of(struct binder *binder, struct expr **fields, const struct slice *names,
                         uint32_t count, int location);
err_t bind_row_settle(struct binder *binder, struct expr *row);
err_t bind_field(struct binder *binder, struct expr *record, const char *name, int location,
                 struct expr **expr_out);
err_t bind_fields(struct binder *binder, struct expr *record, struct target **targets_out,
                  uint32_t *count_out);
bool bind_is_row_comparison(const char *name, const struct expr *left, const struct expr *right);
err_t bind_row_comparison(struct binder *binder, const char *name, struct expr *left,
                          struct expr *right, int location, struct expr **expr_out);
err_t bind_row_null_test(struct binder *binder, struct expr *row, bool is_null, int location,
                         struct expr **expr_out);
err_t bind_row_in(struct binder *binder, struct expr *left, struct expr **exprs, uint32_t count,
                  bool is_not, int location, struct expr **expr_out);

/* ---- Functions that return rows: bind_set.c ---- */
/* A call in an expression: is it allowed there? Gives it its shape. */
err_t bind_set_call(struct binder *binder, struct scope *scope, struct expr *call);
/* A function in FROM, and its columns' names and types. */
err_t bind_range_function(struct binder *binder, struct scope *scope, const RangeFunction *node,
                          struct source **source_out);
/* name: of the only column when there is one. */
const struct shape *bind_shape_of(struct binder *binder, const struct expr *expr,
                                  struct slice name);

/* ---- Changes: bind_change.c. around: scope of WITH; NULL: none. ---- */
err_t bind_change(struct binder *binder, const Node *node, struct scope *around,
                  struct statement *out);
/* COPY ... FROM: an INSERT of rows from SOURCE_COPY. */
err_t bind_copy_from(struct binder *binder, const CopyStmt *copy, struct statement *out);

/* SET of UPDATE and of ON CONFLICT. row: the table's row as it was. */
struct changed;
err_t bind_assignments(struct binder *binder, struct scope *scope, const List *list,
                       const struct changed *changed, struct source *row, struct statement *out);
/* ON CONFLICT: bind_conflict.c */
err_t bind_conflict(struct binder *binder, struct scope *around, const InsertStmt *insert,
                    const struct changed *changed, struct statement *out);

/* ---- What a change names, a table or a view that stands for one: bind_view.c ---- */
struct changed {
    const struct relation *relation; /* The table that is written. */
    const struct relation *view;     /* NULL: the table is named itself. */
    uint32_t *columns; /* Of the view: the table's column that it is, UINT32_MAX: none. */
    const char *verb;  /* For errors: "insert into", "update", "delete from". */
};

/* 55000 when the view stands for no table. */
err_t bind_changed(struct binder *binder, const RangeVar *name, const char *verb,
                   struct changed *changed);
/* What names of columns are looked up in: `table`, a source of the table, or the view over it,
 * whose WHERE goes to the query's. */
err_t bind_changed_source(struct binder *binder, const struct changed *changed, struct query *query,
                          struct source *table, struct source **source_out);
/* WITH CHECK OPTION: over the statement's row_source. */
err_t bind_view_checks(struct binder *binder, const struct changed *changed, struct statement *out);
/* The table's column of that name. 42703; 0A000 for what the view computes. */
err_t bind_changed_column(struct binder *binder, const struct changed *changed, const char *name,
                          int location, uint32_t *column_out);
err_t bind_view_column_error(struct binder *binder, const struct changed *changed, uint32_t column);

/* ---- COPY: bind_copy.c ---- */
err_t bind_copy(struct binder *binder, const CopyStmt *copy, struct statement *out);
/* Columns that COPY names, or all that it can copy; by number in the table. */
err_t bind_copy_columns(struct binder *binder, const CopyStmt *copy,
                        const struct relation *relation, uint32_t **columns_out,
                        uint32_t *count_out);
