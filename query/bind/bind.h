/* query/bind/bind.h - a parse tree to a bound statement: names resolved, types decided.
 *
 * Rules: PostgreSQL 15, chapters 7 (queries) and 10 (type conversion). */
#pragma once

#include "query/query.h"

struct session_settings;

struct bind_options {
    const struct catalog *catalog;
    struct arena *arena; /* Of the statement: it outlives the parse tree. */
    const struct type_settings *settings;
    uint32_t param_count; /* Types that the client gave; 0 in it: to be found out. */
    const oid_t *param_types;
    const char *search_path;
};

/* node: the statement of a RawStmt. On an error *position_out is the byte offset in the text it
 * is about, -1 for none. Does not suspend. Errors: ERR_SQL. */
err_t bind_statement(const struct bind_options *options, const void *node,
                     struct statement *statement_out, int32_t *position_out);

/* An expression in SQL over the columns of one table (default, check): parsed and bound. */
err_t bind_table_expr(const struct bind_options *options, const struct relation *relation,
                      struct slice sql, struct source **source_out, struct expr **expr_out);

/* The arguments of EXECUTE (a List of expressions), as many as there are types. */
err_t bind_execute_arguments(const struct bind_options *options, const void *nodes,
                             const struct type *const *types, struct expr ***exprs_out,
                             int32_t *position_out);

/* A type's name: TypeName node. path: as search_relation takes it. */
err_t bind_type_name(const struct catalog *catalog, const char *path, const void *type_name,
                     const struct type **type_out, int32_t *typmod_out);
/* Into the type of a column, as an assignment does. */
err_t bind_coerce_column(struct arena *arena, struct expr **expr, const struct column *column,
                         const struct type_settings *settings);
