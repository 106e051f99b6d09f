/* query/explain/explain_expr.c - expressions of plans as text. */
#include "query/explain/explain.h"

#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { DEPTH_MAX = 64 };

static void expr_put(const struct plan *input, const struct expr *expr, uint32_t depth,
                     struct buf *out);

static void column_put(const struct plan *plan, uint32_t column, uint32_t depth, struct buf *out);

static void
text_put(struct buf *out, const char *text)
{
    buf_append(out, text, strlen(text));
}

/* ---- Names of columns ---- */

static void
scan_column_put(const struct plan *plan, uint32_t column, struct buf *out)
{
    if (column < plan->scan_column_count) {
        struct slice name = plan->relation->columns[plan->scan_columns[column]].name;

        buf_append(out, name.data, name.size);
    } else {
        text_put(out, "ctid");
    }
}

static void
column_put(const struct plan *plan, uint32_t column, uint32_t depth, struct buf *out)
{
    uint32_t left = plan->left != NULL ? plan->left->column_count : 0;

    if (depth > DEPTH_MAX) {
        text_put(out, "...");
        return;
    }
    switch (plan->kind) {
    case PLAN_SCAN:
        scan_column_put(plan, column, out);
        return;
    case PLAN_PROJECT:
        if (column < plan->expr_count) {
            expr_put(plan->left, plan->exprs[column], depth + 1, out);
            return;
        }
        break;
    case PLAN_AGGREGATE:
        if (column < plan->expr_count) {
            expr_put(plan->left, plan->exprs[column], depth + 1, out);
            return;
        }
        if (column - plan->expr_count < plan->aggregate_count) {
            const struct aggregate *aggregate = plan->aggregates[column - plan->expr_count];

            buf_printf(out, "%s(%s", aggregate->function->name,
                       aggregate->is_distinct ? "DISTINCT " : "");
            for (uint32_t i = 0; i < aggregate->arg_count; i++) {
                text_put(out, i > 0 ? ", " : "");
                expr_put(plan->left, aggregate->args[i], depth + 1, out);
            }
            text_put(out, aggregate->arg_count == 0 ? "*)" : ")");
            return;
        }
        break;
    case PLAN_JOIN_LOOP:
    case PLAN_JOIN_HASH:
    case PLAN_JOIN_LATERAL:
        if (column >= left && plan->right != NULL) {
            column_put(plan->right, column - left, depth + 1, out);
            return;
        }
        break;
    default:
        break;
    }
    if (plan->left != NULL && column < left) {
        column_put(plan->left, column, depth + 1, out);
    } else {
        buf_printf(out, "column%u", column + 1);
    }
}

void
explain_column_put(const struct plan *plan, uint32_t column, struct buf *out)
{
    column_put(plan, column, 0, out);
}

/* ---- Expressions ---- */

static void
constant_put(const struct expr *expr, struct buf *out)
{
    struct buf value;

    if (expr->constant.is_null) {
        buf_printf(out, "NULL::%s", expr->type->display);
        return;
    }
    buf_init(&value, out->tag);
    expr->type->output(expr->type, &type_settings_default, expr->constant.value, &value);
    if (expr->type->category == 'N' && (value.size == 0 || value.data[0] != '-')) {
        buf_append(out, value.data, value.size);
    } else if (expr->type->oid == OID_BOOL) {
        text_put(out, expr->constant.value.i != 0 ? "true" : "false");
    } else {
        buf_append_byte(out, '\'');
        for (size_t i = 0; i < value.size; i++) {
            buf_append(out, "''", value.data[i] == '\'' ? 1 : 0);
            buf_append_byte(out, value.data[i]);
        }
        buf_printf(out, "'::%s", expr->type->display);
    }
    buf_fini(&value);
}

static void
list_put(const struct plan *input, const struct expr *expr, uint32_t first, const char *between,
         uint32_t depth, struct buf *out)
{
    for (uint32_t i = first; i < expr->arg_count; i++) {
        text_put(out, i > first ? between : "");
        expr_put(input, expr->args[i], depth, out);
    }
}

static void
named_put(const struct plan *input, const char *name, const struct expr *expr, uint32_t depth,
          struct buf *out)
{
    buf_printf(out, "%s(", name);
    list_put(input, expr, 0, ", ", depth, out);
    buf_append_byte(out, ')');
}

static void
call_put(const struct plan *input, const struct expr *expr, uint32_t depth, struct buf *out)
{
    const char *symbol = fn_operator_name(expr->function);
    const char *name = symbol != NULL ? symbol : expr->function->name;
    bool is_operator = symbol != NULL;

    if (is_operator && expr->arg_count == 2) {
        buf_append_byte(out, '(');
        expr_put(input, expr->args[0], depth, out);
        buf_printf(out, " %s ", name);
        expr_put(input, expr->args[1], depth, out);
        buf_append_byte(out, ')');
    } else if (is_operator && expr->arg_count == 1) {
        buf_printf(out, "(%s ", name);
        expr_put(input, expr->args[0], depth, out);
        buf_append_byte(out, ')');
    } else {
        named_put(input, name, expr, depth, out);
    }
}

static void
suffixed_put(const struct plan *input, const struct expr *expr, const char *suffix, uint32_t depth,
             struct buf *out)
{
    buf_append_byte(out, '(');
    list_put(input, expr, 0, ", ", depth, out);
    buf_printf(out, " %s)", suffix);
}

static void
cast_put(const struct plan *input, const struct expr *expr, uint32_t depth, struct buf *out)
{
    buf_append_byte(out, '(');
    expr_put(input, expr->args[0], depth, out);
    text_put(out, ")::");
    type_format(expr->type, expr->typmod, out);
}

static void
expr_put(const struct plan *input, const struct expr *expr, uint32_t depth, struct buf *out)
{
    static const char *const tests[] = {
        [TEST_TRUE] = "IS TRUE",       [TEST_NOT_TRUE] = "IS NOT TRUE",
        [TEST_FALSE] = "IS FALSE",     [TEST_NOT_FALSE] = "IS NOT FALSE",
        [TEST_UNKNOWN] = "IS UNKNOWN", [TEST_NOT_UNKNOWN] = "IS NOT UNKNOWN",
    };

    if (depth > DEPTH_MAX || input == NULL) {
        text_put(out, "...");
        return;
    }
    depth++;
    switch (expr->kind) {
    case EXPR_CONST:
        constant_put(expr, out);
        return;
    case EXPR_COLUMN:
        column_put(input, expr->column.column, depth, out);
        return;
    case EXPR_PARAM:
        buf_printf(out, "$%u", expr->param + 1);
        return;
    case EXPR_OUTER:
        buf_printf(out, "outer %u", expr->param + 1);
        return;
    case EXPR_CALL:
        call_put(input, expr, depth, out);
        return;
    case EXPR_CAST_IO:
    case EXPR_RELABEL:
    case EXPR_LENGTH:
        cast_put(input, expr, depth, out);
        return;
    case EXPR_AND:
    case EXPR_OR:
        buf_append_byte(out, '(');
        list_put(input, expr, 0, expr->kind == EXPR_AND ? " AND " : " OR ", depth, out);
        buf_append_byte(out, ')');
        return;
    case EXPR_NOT:
        text_put(out, "(NOT ");
        list_put(input, expr, 0, ", ", depth, out);
        buf_append_byte(out, ')');
        return;
    case EXPR_IS_NULL:
        suffixed_put(input, expr, "IS NULL", depth, out);
        return;
    case EXPR_IS_NOT_NULL:
        suffixed_put(input, expr, "IS NOT NULL", depth, out);
        return;
    case EXPR_IS_BOOL:
        suffixed_put(input, expr, tests[expr->boolean_test], depth, out);
        return;
    case EXPR_DISTINCT:
        buf_append_byte(out, '(');
        list_put(input, expr, 0, " IS DISTINCT FROM ", depth, out);
        buf_append_byte(out, ')');
        return;
    case EXPR_CASE:
        named_put(input, "CASE", expr, depth, out);
        return;
    case EXPR_COALESCE:
        named_put(input, "COALESCE", expr, depth, out);
        return;
    case EXPR_NULLIF:
        named_put(input, "NULLIF", expr, depth, out);
        return;
    case EXPR_GREATEST:
        named_put(input, "GREATEST", expr, depth, out);
        return;
    case EXPR_LEAST:
        named_put(input, "LEAST", expr, depth, out);
        return;
    case EXPR_IN:
        buf_append_byte(out, '(');
        expr_put(input, expr->args[0], depth, out);
        text_put(out, expr->is_not_in ? " NOT IN (" : " IN (");
        list_put(input, expr, 1, ", ", depth, out);
        text_put(out, "))");
        return;
    case EXPR_ARRAY:
        text_put(out, "ARRAY[");
        list_put(input, expr, 0, ", ", depth, out);
        buf_append_byte(out, ']');
        return;
    case EXPR_ROW:
        named_put(input, "ROW", expr, depth, out);
        return;
    case EXPR_SUBQUERY:
        buf_printf(out, "(SubPlan %u)", expr->subquery->number + 1);
        return;
    default:
        named_put(input, "expression", expr, depth, out);
        return;
    }
}

void
explain_expr_put(const struct plan *input, const struct expr *expr, struct buf *out)
{
    expr_put(input, expr, 0, out);
}
