/* query/deparse/expr.c - a bound expression as SQL. */
#include <string.h>

#include "models/types/sql_error.h"
#include "query/deparse/deparse.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { INDENT = 4, INDENT_MAX = 40 };

static err_t args_put(struct deparse *d, const struct expr *expr, uint32_t first,
                      bool shows_implicit);

/* ---- What an expression is ---- */

static bool
is_cast(const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_RELABEL:
    case EXPR_CAST_IO:
    case EXPR_LENGTH:
    case EXPR_ARRAY_CAST:
        return true;
    case EXPR_CALL:
        return fn_is_cast(expr->function);
    default:
        return false;
    }
}

static const char *
operator_of(const struct expr *expr)
{
    return expr->kind == EXPR_CALL ? fn_operator_name(expr->function) : NULL;
}

/* Is it written like a call, so that it needs no parentheses anywhere? */
static bool
is_atom(const struct expr *expr)
{
    switch (expr->kind) {
    case EXPR_CONST:
    case EXPR_COLUMN:
    case EXPR_PARAM:
    case EXPR_OUTER:
    case EXPR_COALESCE:
    case EXPR_NULLIF:
    case EXPR_GREATEST:
    case EXPR_LEAST:
    case EXPR_ARRAY:
    case EXPR_SUBSCRIPT:
    case EXPR_ROW:
    case EXPR_FIELD:
    case EXPR_CASE:
    case EXPR_AGGREGATE:
        return true;
    case EXPR_CALL:
        return operator_of(expr) == NULL && !is_cast(expr);
    default:
        return false;
    }
}

static bool
is_and_or_not(const struct expr *expr)
{
    return expr->kind == EXPR_AND || expr->kind == EXPR_OR || expr->kind == EXPR_NOT;
}

/* 2: * / %, 1: + -, 0: another. */
static int
arithmetic_level(const char *operator)
{
    if (operator== NULL || strlen(operator) != 1) {
        return 0;
    }
    return strchr("*/%", operator[0]) != NULL ? 2 : strchr("+-", operator[0]) != NULL ? 1 : 0;
}

/* May it stand in its parent without parentheses? PostgreSQL's rules for pretty printing. */
static bool
is_simple(const struct expr *expr, const struct expr *parent)
{
    int level, parent_level;

    if (is_atom(expr)) {
        return true;
    }
    if (is_cast(expr)) {
        return is_simple(expr->args[0], expr);
    }
    if (parent == NULL) {
        return false;
    }
    if (is_and_or_not(expr) && is_and_or_not(parent)) {
        return expr->kind == EXPR_OR ? parent->kind == EXPR_OR : parent->kind != EXPR_NOT;
    }
    level = arithmetic_level(operator_of(expr));
    parent_level = arithmetic_level(operator_of(parent));
    if (expr->arg_count == 2 && level > 0 && parent->arg_count == 2 && parent_level > 0) {
        return level > parent_level || (level == parent_level && parent->args[0] == expr);
    }
    if (expr->kind == EXPR_IN || expr->kind == EXPR_ANY_ARRAY) {
        return false;
    }
    return is_and_or_not(parent) ? !is_and_or_not(expr) : is_atom(parent);
}

/* ---- Constants ---- */

void
deparse_literal(struct buf *out, struct slice text)
{
    if (text.size > 0 && memchr(text.data, '\\', text.size) != NULL) {
        buf_append_byte(out, 'E');
    }
    buf_append_byte(out, '\'');
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\'' || text.data[i] == '\\') {
            buf_append_byte(out, text.data[i]);
        }
        buf_append_byte(out, text.data[i]);
    }
    buf_append_byte(out, '\'');
}

/* Does a number stand for itself, without quotes and type? */
static bool
is_bare(const struct type *type, struct slice text)
{
    if (text.size == 0 || text.data[0] < '0' || text.data[0] > '9') {
        return false;
    }
    if (type->oid == OID_INT4) {
        return true;
    }
    return type->oid == OID_NUMERIC &&
           (memchr(text.data, '.', text.size) != NULL || memchr(text.data, 'e', text.size) != NULL);
}

static void
type_put(struct deparse *d, const struct type *type, int32_t typmod)
{
    buf_printf(d->out, "::");
    type_format(type, typmod, d->out);
}

static void
const_put(struct deparse *d, const struct expr *expr, bool has_label)
{
    const struct type *type = expr->type;
    struct buf text;
    bool is_plain = type->oid == OID_BOOL || type->oid == OID_UNKNOWN;

    if (expr->constant.is_null) {
        buf_printf(d->out, "NULL");
        if (has_label) {
            type_put(d, type->oid == OID_UNKNOWN ? type_by_oid(OID_TEXT) : type, expr->typmod);
        }
        return;
    }
    buf_init(&text, MEM_SESSIONS);
    type->output(type, d->settings, expr->constant.value, &text);
    if (type->oid == OID_BOOL) {
        buf_printf(d->out, "%s", expr->constant.value.i != 0 ? "true" : "false");
    } else if (is_bare(type, buf_slice(&text))) {
        is_plain = true;
        buf_append(d->out, text.data, text.size);
    } else {
        deparse_literal(d->out, buf_slice(&text));
    }
    buf_fini(&text);
    if (has_label && !is_plain) {
        type_put(d, type, -1);
    }
}

/* ---- Casts ---- */

static err_t
in_parens(struct deparse *d, const struct expr *expr, bool shows_implicit,
          const struct expr *parent)
{
    bool has_parens = d->is_pretty && !is_simple(expr, parent);
    err_t err;

    buf_printf(d->out, "%s", has_parens ? "(" : "");
    err = deparse_expr(d, expr, shows_implicit, parent);
    buf_printf(d->out, "%s", has_parens ? ")" : "");
    return err;
}

static err_t
coercion_put(struct deparse *d, const struct expr *arg, const struct type *type, int32_t typmod,
             const struct expr *parent)
{
    err_t err = ERR_OK;

    if (arg->kind == EXPR_CONST && arg->type == type) {
        const_put(d, arg, false);
    } else {
        buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
        err = in_parens(d, arg, false, parent);
        buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
    }
    type_put(d, type, typmod);
    return err;
}

static err_t
cast_put(struct deparse *d, const struct expr *expr, bool shows_implicit)
{
    const struct expr *arg = expr->args[0];

    if (!shows_implicit && !expr->is_explicit) {
        return deparse_expr(d, arg, false, expr);
    }
    if (expr->kind == EXPR_LENGTH && is_cast(arg) && !arg->is_explicit) {
        arg = arg->args[0]; /* One cast does both. */
    }
    return coercion_put(d, arg, expr->type, expr->kind == EXPR_LENGTH ? expr->typmod : -1, expr);
}

/* ---- Operators ---- */

static err_t
operator_put_expr(struct deparse *d, const struct expr *expr, const char *operator)
{
    err_t err = ERR_OK;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    if (expr->arg_count == 2) {
        TRY(in_parens(d, expr->args[0], true, expr));
        buf_append_byte(d->out, ' ');
    }
    buf_printf(d->out, "%s ", operator);
    TRY(in_parens(d, expr->args[expr->arg_count - 1], true, expr));
    buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
out:
    return err;
}

static err_t
call_put(struct deparse *d, const struct expr *expr)
{
    const char *operator= operator_of(expr);
    err_t err;

    if (operator!= NULL) {
        return operator_put_expr(d, expr, operator);
    }
    put_identifier(d->out, slice_from_text(expr->function->name));
    buf_append_byte(d->out, '(');
    err = args_put(d, expr, 0, true);
    buf_append_byte(d->out, ')');
    return err;
}

/* a = ANY (ARRAY[...]), which is what IN with more than one value is. */
static err_t
in_put(struct deparse *d, const struct expr *expr)
{
    const struct type *compared = type_by_oid(expr->compare->args[0]);
    const struct type *type = expr->args[0]->type;
    bool is_cast_too = compared != NULL && compared != type && compared->oid == OID_TEXT;
    err_t err = ERR_OK;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    if (is_cast_too) {
        TRY(coercion_put(d, expr->args[0], compared, -1, expr));
    } else {
        TRY(in_parens(d, expr->args[0], true, expr));
    }
    if (expr->arg_count == 2) {
        buf_printf(d->out, expr->is_not_in ? " <> " : " = ");
        TRY(in_parens(d, expr->args[1], true, expr));
    } else {
        buf_printf(d->out, expr->is_not_in ? " <> ALL (" : " = ANY (");
        buf_printf(d->out, "%s", is_cast_too && !d->is_pretty ? "(" : "");
        buf_printf(d->out, "ARRAY[");
        TRY(args_put(d, expr, 1, true));
        buf_append_byte(d->out, ']');
        buf_printf(d->out, "%s", is_cast_too && !d->is_pretty ? ")" : "");
        if (is_cast_too) {
            buf_printf(d->out, "::text[]");
        }
        buf_append_byte(d->out, ')');
    }
    buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
out:
    return err;
}

static err_t
any_array_put(struct deparse *d, const struct expr *expr)
{
    const char *operator= operator_of(expr->each.element);
    err_t err;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    TRY(in_parens(d, expr->args[0], true, expr));
    buf_printf(d->out, " %s %s (", operator!= NULL ? operator: "=",
               expr->each.is_all ? "ALL" : "ANY");
    TRY(in_parens(d, expr->args[1], true, expr));
    buf_printf(d->out, d->is_pretty ? ")" : "))");
out:
    return err;
}

/* ---- AND, OR, NOT; tests ---- */

static err_t
and_or_put(struct deparse *d, const struct expr *expr)
{
    err_t err = ERR_OK;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (i > 0) {
            buf_printf(d->out, expr->kind == EXPR_AND ? " AND " : " OR ");
        }
        TRY(in_parens(d, expr->args[i], false, expr));
    }
    buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
out:
    return err;
}

static err_t
not_put(struct deparse *d, const struct expr *expr)
{
    err_t err;

    buf_printf(d->out, d->is_pretty ? "NOT " : "(NOT ");
    err = in_parens(d, expr->args[0], false, expr);
    buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
    return err;
}

static const char *
test_text(const struct expr *expr)
{
    static const char *const tests[] = {
        [TEST_TRUE] = "IS TRUE",       [TEST_NOT_TRUE] = "IS NOT TRUE",
        [TEST_FALSE] = "IS FALSE",     [TEST_NOT_FALSE] = "IS NOT FALSE",
        [TEST_UNKNOWN] = "IS UNKNOWN", [TEST_NOT_UNKNOWN] = "IS NOT UNKNOWN",
    };

    return expr->kind == EXPR_IS_NULL       ? "IS NULL"
           : expr->kind == EXPR_IS_NOT_NULL ? "IS NOT NULL"
                                            : tests[expr->boolean_test];
}

static err_t
test_put(struct deparse *d, const struct expr *expr)
{
    err_t err;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    err = in_parens(d, expr->args[0], expr->kind != EXPR_IS_BOOL, expr);
    buf_printf(d->out, " %s%s", test_text(expr), d->is_pretty ? "" : ")");
    return err;
}

/* ---- CASE ---- */

static void
new_line(struct deparse *d, const char *word)
{
    while (d->out->size > 0 && d->out->data[d->out->size - 1] == ' ') {
        d->out->size--;
    }
    buf_printf(d->out, "\n%*s%s", (int)MIN(d->indent, (uint32_t)INDENT_MAX), "", word);
}

static err_t
case_put(struct deparse *d, const struct expr *expr)
{
    err_t err = ERR_OK;

    new_line(d, "CASE");
    d->indent += INDENT;
    for (uint32_t i = 0; i + 1 < expr->arg_count; i += 2) {
        new_line(d, "WHEN ");
        TRY(deparse_expr(d, expr->args[i], false, NULL));
        buf_printf(d->out, " THEN ");
        TRY(deparse_expr(d, expr->args[i + 1], true, NULL));
    }
    new_line(d, "ELSE ");
    TRY(deparse_expr(d, expr->args[expr->arg_count - 1], true, NULL));
    d->indent -= INDENT;
    new_line(d, "END");
out:
    return err;
}

/* ---- The others ---- */

static err_t
args_put(struct deparse *d, const struct expr *expr, uint32_t first, bool shows_implicit)
{
    err_t err = ERR_OK;

    for (uint32_t i = first; err == ERR_OK && i < expr->arg_count; i++) {
        buf_printf(d->out, "%s", i > first ? ", " : "");
        err = deparse_expr(d, expr->args[i], shows_implicit, NULL);
    }
    return err;
}

static err_t
listed(struct deparse *d, const struct expr *expr, const char *before, const char *after)
{
    err_t err;

    buf_printf(d->out, "%s", before);
    err = args_put(d, expr, 0, true);
    buf_printf(d->out, "%s", after);
    return err;
}

static err_t
subscript_put(struct deparse *d, const struct expr *expr)
{
    const struct subscripts *subscripts = expr->subscripts;
    uint32_t at = 1;
    err_t err;

    TRY(in_parens(d, expr->args[0], true, expr));
    for (uint32_t i = 0; i < subscripts->count; i++) {
        buf_append_byte(d->out, '[');
        if (subscripts->bounds[i] & SUBSCRIPT_LOWER) {
            TRY(deparse_expr(d, expr->args[at++], false, expr));
        }
        if (subscripts->is_slice) {
            buf_append_byte(d->out, ':');
        }
        if (subscripts->bounds[i] & SUBSCRIPT_UPPER) {
            TRY(deparse_expr(d, expr->args[at++], false, expr));
        }
        buf_append_byte(d->out, ']');
    }
out:
    return err;
}

static err_t
column_put(struct deparse *d, const struct expr *expr)
{
    if (d->relation == NULL || expr->column.column >= d->relation->column_count) {
        return sql_error("XX000", "a column of no relation cannot be written");
    }
    put_identifier(d->out, d->relation->columns[expr->column.column].name);
    return ERR_OK;
}

static err_t
distinct_put(struct deparse *d, const struct expr *expr)
{
    err_t err;

    buf_printf(d->out, "%s", d->is_pretty ? "" : "(");
    TRY(in_parens(d, expr->args[0], true, expr));
    buf_printf(d->out, " IS DISTINCT FROM ");
    TRY(in_parens(d, expr->args[1], true, expr));
    buf_printf(d->out, "%s", d->is_pretty ? "" : ")");
out:
    return err;
}

err_t
deparse_expr(struct deparse *d, const struct expr *expr, bool shows_implicit,
             const struct expr *parent)
{
    err_t err = sql_stack_check();

    (void)parent;
    if (err != ERR_OK) {
        return err;
    }
    if (is_cast(expr)) {
        return cast_put(d, expr, shows_implicit);
    }
    switch (expr->kind) {
    case EXPR_CONST:
        const_put(d, expr, true);
        return ERR_OK;
    case EXPR_COLUMN:
        return column_put(d, expr);
    case EXPR_PARAM:
        buf_printf(d->out, "$%u", expr->param + 1);
        return ERR_OK;
    case EXPR_CALL:
        return call_put(d, expr);
    case EXPR_AND:
    case EXPR_OR:
        return and_or_put(d, expr);
    case EXPR_NOT:
        return not_put(d, expr);
    case EXPR_IS_NULL:
    case EXPR_IS_NOT_NULL:
    case EXPR_IS_BOOL:
        return test_put(d, expr);
    case EXPR_DISTINCT:
        return distinct_put(d, expr);
    case EXPR_CASE:
        return case_put(d, expr);
    case EXPR_COALESCE:
        return listed(d, expr, "COALESCE(", ")");
    case EXPR_NULLIF:
        return listed(d, expr, "NULLIF(", ")");
    case EXPR_GREATEST:
        return listed(d, expr, "GREATEST(", ")");
    case EXPR_LEAST:
        return listed(d, expr, "LEAST(", ")");
    case EXPR_IN:
        return in_put(d, expr);
    case EXPR_ARRAY:
        return listed(d, expr, "ARRAY[", "]");
    case EXPR_ROW:
        return listed(d, expr, "ROW(", ")");
    case EXPR_ANY_ARRAY:
        return any_array_put(d, expr);
    case EXPR_SUBSCRIPT:
        return subscript_put(d, expr);
    default:
        return sql_error("0A000", "this kind of expression cannot be written as SQL yet");
    }
}
