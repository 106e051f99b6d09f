/* query/exec/row_maker.h - what a table makes of the values a statement gives for a row: generated
 * columns, and the values that indexes on expressions and partial indexes ask for. */
#pragma once

#include "query/exec/exec.h"

struct row_maker {
    struct exec *exec;
    const struct relation *relation;
    struct expr **generated; /* By column; NULL: it is not. */
    struct expr **virtuals;
    bool has_generated;
    uint32_t check_count;
    const struct constraint **checks;
    struct expr **check_exprs;
};

/* An expression over the columns of one table (source NULL: over none), to be evaluated. */
err_t row_expr_plan(struct arena *arena, struct expr *expr, const struct source *source,
                    struct expr **expr_out);
/* Binds the expressions; they lie in the exec's arena. */
err_t row_maker_open(struct exec *exec, const struct relation *relation, struct row_maker *maker);
/* Fills the generated columns in. The row has relation_width places. */
YIELDS err_t row_maker_generate(const struct row_maker *maker, struct arena *arena,
                                struct row *row);
/* Fills relation.virtuals in: of a row whose columns are all there. */
YIELDS err_t row_maker_finish(const struct row_maker *maker, struct arena *arena, struct row *row);
/* One with room for all. */
struct row row_maker_row(const struct relation *relation, struct arena *arena);

/* NOT NULL and checks. 23502, 23514. */
YIELDS err_t row_maker_check(const struct row_maker *maker, struct arena *arena,
                             const struct row *row);

/* The detail of an error: what the row is. Gives ERR_SQL. */
err_t row_maker_failing(const struct row_maker *maker, const struct row *row);

/* Rows of a table, one after the other, finished: all, or those whose keys of the index lie in
 * [lower, upper). */
struct table_walk;
YIELDS err_t table_walk_open(struct exec *exec, const struct relation *relation,
                             const struct index *index, struct slice lower, struct slice upper,
                             struct table_walk **walk_out);
void table_walk_close(struct table_walk **walk);
/* *row_out NULL: the end. Good until the next call. */
YIELDS err_t table_walk_next(struct table_walk *walk, const struct row **row_out,
                             struct slice *key_out);
