/* query/deparse/deparse.h - bound expressions and definitions back to SQL, as PostgreSQL 15's
 * pg_get_expr, pg_get_constraintdef and pg_get_indexdef write them. */
#pragma once

#include "query/catalog/system.h"

struct deparse {
    const struct statement_env *env;
    const struct type_settings *settings;
    struct arena *arena;
    bool is_pretty; /* Only the parentheses that are needed. */
    struct buf *out;
    const struct relation *relation; /* Whose columns the expression names. */
    uint32_t indent;
};

/* SQL over the columns of a relation (NULL: of none). column: of the relation, whose default or
 * expression it is; UINT16_MAX: none. Errors: of binding. */
err_t deparse_sql(struct deparse *deparse, const struct relation *relation, struct slice sql,
                  uint16_t column);
err_t deparse_constraint(struct deparse *deparse, const struct relation *relation,
                         const struct constraint *constraint);
/* part 0: the whole; otherwise the column or expression with this number, from 1. */
err_t deparse_index(struct deparse *deparse, const struct relation *relation,
                    const struct index *index, uint32_t part);

/* expr.c. shows_implicit: casts that nobody wrote, too. parent NULL: none. */
err_t deparse_expr(struct deparse *deparse, const struct expr *expr, bool shows_implicit,
                   const struct expr *parent);
/* 'text', with what must be doubled. */
void deparse_literal(struct buf *out, struct slice text);
