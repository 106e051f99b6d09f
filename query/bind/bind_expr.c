/* query/bind/bind_expr.c - expressions. */
#include <stdarg.h>
#include <stdio.h>

#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

err_t
bind_error(struct binder *binder, int location, const char *sqlstate, const char *format, ...)
{
    char message[ERR_MESSAGE_BYTES_MAX];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(message, sizeof(message), format, arguments);
    va_end(arguments);
    binder->position = location;
    return sql_error(sqlstate, "%s", message);
}

void *
bind_zeroed(struct binder *binder, size_t size)
{
    void *memory = arena_alloc(binder->arena, size);

    memset(memory, 0, size);
    return memory;
}

struct slice
bind_text(struct binder *binder, const char *text)
{
    return arena_copy(binder->arena, slice_from_text(text));
}

static const struct type *
bool_type(void)
{
    return type_by_oid(OID_BOOL);
}

/* ---- Equality: for GROUP BY, ORDER BY, DISTINCT ---- */

static bool
constants_equal(const struct expr *a, const struct expr *b)
{
    bool is_equal;
    struct buf x, y;

    if (a->constant.is_null || b->constant.is_null) {
        return a->constant.is_null == b->constant.is_null;
    }
    buf_init(&x, MEM_SESSIONS);
    buf_init(&y, MEM_SESSIONS);
    type_row_put(a->type, a->constant.value, &x);
    type_row_put(b->type, b->constant.value, &y);
    is_equal = slice_equal(buf_slice(&x), buf_slice(&y));
    buf_fini(&x);
    buf_fini(&y);
    return is_equal;
}

static bool
own_parts_equal(const struct expr *a, const struct expr *b)
{
    switch (a->kind) {
    case EXPR_CONST:
        return constants_equal(a, b);
    case EXPR_COLUMN:
        return a->column.source == b->column.source && a->column.column == b->column.column;
    case EXPR_PARAM:
    case EXPR_OUTER:
    case EXPR_FIELD:
        return a->param == b->param;
    case EXPR_ROW:
        return a->is_whole == b->is_whole;
    case EXPR_CALL:
        return a->function == b->function && !a->function->is_volatile;
    case EXPR_IS_BOOL:
        return a->boolean_test == b->boolean_test;
    case EXPR_IN:
        return a->is_not_in == b->is_not_in;
    case EXPR_AGGREGATE:
        return a->aggregate == b->aggregate;
    case EXPR_ARRAY:
        return a->is_nested == b->is_nested;
    case EXPR_ARRAY_CAST:
    case EXPR_ANY_ARRAY:
        return a->each.is_all == b->each.is_all && expr_equal(a->each.element, b->each.element);
    case EXPR_SUBSCRIPT:
    case EXPR_SUBSCRIPT_SET:
        return a->subscripts->count == b->subscripts->count &&
               a->subscripts->is_slice == b->subscripts->is_slice &&
               memcmp(a->subscripts->bounds, b->subscripts->bounds, a->subscripts->count) == 0;
    case EXPR_WINDOW:
        return a->window_call->kind == b->window_call->kind &&
               a->window_call->aggregate == b->window_call->aggregate &&
               a->window_call->window == b->window_call->window &&
               a->window_call->has_filter == b->window_call->has_filter;
    case EXPR_SUBQUERY:
        return false;
    default:
        return true;
    }
}

bool
expr_equal(const struct expr *a, const struct expr *b)
{
    if (a->kind != b->kind || a->type != b->type || a->typmod != b->typmod ||
        a->arg_count != b->arg_count || !own_parts_equal(a, b)) {
        return false;
    }
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (!expr_equal(a->args[i], b->args[i])) {
            return false;
        }
    }
    return true;
}

/* ---- Leaves ---- */

static err_t
bind_const(struct binder *binder, const A_Const *node, struct expr **expr_out)
{
    struct expr *expr = expr_new(binder->arena, EXPR_CONST, NULL, 0, node->location);
    struct slice text;

    *expr_out = expr;
    if (node->isnull) {
        expr->type = type_by_oid(OID_UNKNOWN);
        expr->constant.is_null = true;
        return ERR_OK;
    }
    switch (nodeTag(&node->val.node)) {
    case T_Integer:
        expr->type = type_by_oid(OID_INT4);
        expr->constant.value = datum_int(node->val.ival.ival);
        return ERR_OK;
    case T_Boolean:
        expr->type = bool_type();
        expr->constant.value = datum_int(node->val.boolval.boolval);
        return ERR_OK;
    case T_Float: /* What does not fit int4: int8 or numeric. */
        text = bind_text(binder, node->val.fval.fval);
        expr->type = type_by_oid(OID_INT8);
        if (int_from_text(text, "bigint", INT64_MIN, INT64_MAX, &expr->constant.value.i) ==
            ERR_OK) {
            return ERR_OK;
        }
        expr->type = type_by_oid(OID_NUMERIC);
        binder->position = node->location;
        return numeric_from_text(binder->arena, text, &expr->constant.value.n);
    case T_String:
        expr->type = type_by_oid(OID_UNKNOWN);
        expr->constant.value = datum_bytes(bind_text(binder, node->val.sval.sval));
        return ERR_OK;
    default:
        return bind_error(binder, node->location, "0A000", "bit strings are not supported yet");
    }
}

static err_t
bind_param(struct binder *binder, const ParamRef *node, struct expr **expr_out)
{
    uint32_t number = (uint32_t)node->number;
    struct expr *expr;

    if (node->number < 1 || number > PARAMS_MAX) {
        return bind_error(binder, node->location, "42P02", "there is no parameter $%d",
                          node->number);
    }
    if (number > binder->param_capacity) {
        uint32_t capacity = number * 2;
        const struct type **grown = bind_zeroed(binder, capacity * sizeof(*grown));

        for (uint32_t i = 0; i < binder->param_count; i++) {
            grown[i] = binder->param_types[i];
        }
        binder->param_types = grown;
        binder->param_capacity = capacity;
    }
    binder->param_count = Max(binder->param_count, number);
    expr = expr_new(binder->arena, EXPR_PARAM, binder->param_types[number - 1], 0, node->location);
    expr->type = expr->type != NULL ? expr->type : type_by_oid(OID_UNKNOWN);
    expr->param = number - 1;
    *expr_out = expr;
    return ERR_OK;
}

/* ---- Operators ---- */

static err_t
no_operator(struct binder *binder, const char *name, const struct expr *left,
            const struct expr *right, bool is_ambiguous, int location)
{
    (void)bind_error(binder, location, is_ambiguous ? "42725" : "42883", "operator %s: %s%s%s %s",
                     is_ambiguous ? "is not unique" : "does not exist",
                     left != NULL ? left->type->display : "", left != NULL ? " " : "", name,
                     right->type->display);
    return sql_hint(is_ambiguous ? "Could not choose a best candidate operator. You might need "
                                   "to add explicit type casts."
                                 : "No operator matches the given name and argument types. You "
                                   "might need to add explicit type casts.");
}

err_t
bind_operator(struct binder *binder, const char *name, struct expr *left, struct expr *right,
              int location, struct expr **expr_out)
{
    oid_t left_type = left != NULL ? left->type->oid : 0;
    bool is_ambiguous;
    const struct function *function = fn_operator(name, left_type, right->type->oid, &is_ambiguous);
    struct expr *args[2] = {left != NULL ? left : right, right};
    struct expr *expr;
    err_t err;

    if (bind_is_row_comparison(name, left, right)) {
        return bind_row_comparison(binder, name, left, right, location, expr_out);
    }
    if (function == NULL) {
        return no_operator(binder, name, left, right, is_ambiguous, location);
    }
    expr = expr_new(binder->arena, EXPR_CALL, NULL, left != NULL ? 2 : 1, location);
    expr->function = function;
    memcpy(expr->args, args, expr->arg_count * sizeof(*args));
    err = bind_arguments(binder, function, expr->args, expr->arg_count, location, &expr->type);
    if (err == ERR_NOT_FOUND) {
        return no_operator(binder, name, left, right, false, location);
    }
    *expr_out = expr;
    return err;
}

static err_t bind_row_subquery(struct binder *binder, struct scope *scope, const A_Expr *node,
                               struct expr **expr_out);

static err_t
not_expr(struct binder *binder, struct expr *arg, struct expr **expr_out)
{
    struct expr *expr = expr_new(binder->arena, EXPR_NOT, bool_type(), 1, arg->position);

    expr->args[0] = arg;
    *expr_out = expr;
    return ERR_OK;
}

/* a = b where null is a value; a <> b likewise when negated. */
static err_t
bind_distinct(struct binder *binder, struct expr *left, struct expr *right, int location,
              bool is_negated, struct expr **expr_out)
{
    struct expr *equal, *expr;
    err_t err;

    if (bind_is_row_comparison("=", left, right) && left->arg_count == right->arg_count) {
        expr = expr_new(binder->arena, EXPR_OR, bool_type(), left->arg_count, location);
        for (uint32_t i = 0; i < left->arg_count; i++) {
            err = bind_distinct(binder, left->args[i], right->args[i], location, false,
                                &expr->args[i]);
            if (err != ERR_OK) {
                return err;
            }
        }
        *expr_out = expr;
        return is_negated ? not_expr(binder, expr, expr_out) : ERR_OK;
    }
    err = bind_operator(binder, "=", left, right, location, &equal);
    if (err != ERR_OK) {
        return err;
    }
    expr = expr_new(binder->arena, EXPR_DISTINCT, bool_type(), 2, location);
    expr->args[0] = equal->args[0];
    expr->args[1] = equal->args[1];
    expr->compare = equal->function;
    *expr_out = expr;
    return is_negated ? not_expr(binder, expr, expr_out) : ERR_OK;
}

static err_t
bind_nullif(struct binder *binder, struct expr *left, struct expr *right, int location,
            struct expr **expr_out)
{
    struct expr *equal, *expr;
    err_t err = bind_operator(binder, "=", left, right, location, &equal);

    if (err != ERR_OK) {
        return err;
    }
    err = bind_settle(binder, &left);
    expr = expr_new(binder->arena, EXPR_NULLIF, left->type, 3, location);
    expr->args[0] = left;
    expr->args[1] = equal->args[0];
    expr->args[2] = equal->args[1];
    expr->compare = equal->function;
    *expr_out = expr;
    return err;
}

static err_t
bind_list(struct binder *binder, struct scope *scope, const List *list, struct expr ***exprs_out,
          uint32_t *count_out)
{
    uint32_t count = (uint32_t)list_length(list);
    struct expr **exprs = arena_alloc(binder->arena, (count + 1) * sizeof(*exprs));
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = bind_expr(binder, scope, list_nth(list, (int)i), &exprs[i]);
    }
    *exprs_out = exprs;
    *count_out = count;
    return err;
}

static err_t
bind_in(struct binder *binder, struct scope *scope, const A_Expr *node, struct expr **expr_out)
{
    const char *name = strVal(linitial(node->name));
    const struct type *type;
    struct expr **exprs, *left, *equal, *expr;
    uint32_t count;
    err_t err;

    TRY(bind_expr(binder, scope, node->lexpr, &left));
    TRY(bind_list(binder, scope, (const List *)node->rexpr, &exprs, &count));
    if (left->kind == EXPR_ROW) {
        return bind_row_in(binder, left, exprs, count, strcmp(name, "<>") == 0, node->location,
                           expr_out);
    }
    memmove(exprs + 1, exprs, count * sizeof(*exprs));
    exprs[0] = left;
    TRY(bind_common(binder, "IN", exprs, count + 1, &type));
    TRY(bind_operator(binder, "=", exprs[0], exprs[1], node->location, &equal));
    expr = expr_new(binder->arena, EXPR_IN, bool_type(), count + 1, node->location);
    memcpy(expr->args, exprs, (count + 1) * sizeof(*exprs));
    expr->compare = equal->function;
    expr->is_not_in = strcmp(name, "<>") == 0;
    *expr_out = expr;
out:
    return err;
}

/* a BETWEEN b AND c: two comparisons; SYMMETRIC: either way round. */
static err_t
bind_between(struct binder *binder, struct scope *scope, const A_Expr *node, struct expr **expr_out)
{
    const List *bounds = (const List *)node->rexpr;
    bool is_symmetric = node->kind == AEXPR_BETWEEN_SYM || node->kind == AEXPR_NOT_BETWEEN_SYM;
    bool is_negated = node->kind == AEXPR_NOT_BETWEEN || node->kind == AEXPR_NOT_BETWEEN_SYM;
    struct expr *ways[2] = {NULL, NULL};
    struct expr *result;
    err_t err;

    for (int way = 0; way < 1 + is_symmetric; way++) {
        struct expr *value, *low, *value_again, *high, *above, *below;

        TRY(bind_expr(binder, scope, node->lexpr, &value));
        TRY(bind_expr(binder, scope, node->lexpr, &value_again));
        TRY(bind_expr(binder, scope, list_nth(bounds, way), &low));
        TRY(bind_expr(binder, scope, list_nth(bounds, 1 - way), &high));
        TRY(bind_operator(binder, ">=", value, low, node->location, &above));
        TRY(bind_operator(binder, "<=", value_again, high, node->location, &below));
        ways[way] = expr_new(binder->arena, EXPR_AND, bool_type(), 2, node->location);
        ways[way]->args[0] = above;
        ways[way]->args[1] = below;
    }
    result = ways[0];
    if (is_symmetric) {
        result = expr_new(binder->arena, EXPR_OR, bool_type(), 2, node->location);
        result->args[0] = ways[0];
        result->args[1] = ways[1];
    }
    *expr_out = result;
    err = is_negated ? not_expr(binder, result, expr_out) : ERR_OK;
out:
    return err;
}

static err_t
bind_a_expr(struct binder *binder, struct scope *scope, const A_Expr *node, struct expr **expr_out)
{
    const char *name = strVal(llast(node->name));
    struct expr *left = NULL, *right;
    err_t err = ERR_OK;

    switch (node->kind) {
    case AEXPR_IN:
        return bind_in(binder, scope, node, expr_out);
    case AEXPR_BETWEEN:
    case AEXPR_NOT_BETWEEN:
    case AEXPR_BETWEEN_SYM:
    case AEXPR_NOT_BETWEEN_SYM:
        return bind_between(binder, scope, node, expr_out);
    case AEXPR_OP:
    case AEXPR_LIKE:
    case AEXPR_ILIKE:
    case AEXPR_DISTINCT:
    case AEXPR_NOT_DISTINCT:
    case AEXPR_NULLIF:
    case AEXPR_OP_ANY:
    case AEXPR_OP_ALL:
        break;
    default:
        return bind_error(binder, node->location, "0A000",
                          "this form of the operator %s is not supported yet", name);
    }
    if (node->kind == AEXPR_OP && node->lexpr != NULL && IsA(node->lexpr, RowExpr) &&
        IsA(node->rexpr, SubLink) && ((const SubLink *)node->rexpr)->subLinkType == EXPR_SUBLINK) {
        return bind_row_subquery(binder, scope, node, expr_out);
    }
    if (node->lexpr != NULL) {
        TRY(bind_expr(binder, scope, node->lexpr, &left));
    }
    TRY(bind_expr(binder, scope, node->rexpr, &right));
    if (node->kind == AEXPR_DISTINCT || node->kind == AEXPR_NOT_DISTINCT) {
        return bind_distinct(binder, left, right, node->location, node->kind == AEXPR_NOT_DISTINCT,
                             expr_out);
    }
    if (node->kind == AEXPR_OP_ANY || node->kind == AEXPR_OP_ALL) {
        return bind_any_array(binder, name, left, right, node->kind == AEXPR_OP_ALL, node->location,
                              expr_out);
    }
    if (node->kind == AEXPR_NULLIF) {
        return bind_nullif(binder, left, right, node->location, expr_out);
    }
    return bind_operator(binder, name, left, right, node->location, expr_out);
out:
    return err;
}

/* ---- Booleans ---- */

static err_t
to_bool(struct binder *binder, const char *what, struct expr **expr)
{
    if ((*expr)->type->oid == OID_UNKNOWN) {
        return bind_coerce(binder, expr, bool_type(), -1, COERCE_IMPLICIT);
    }
    if ((*expr)->type->oid != OID_BOOL) {
        return bind_error(binder, (*expr)->position, "42804",
                          "%s must be type boolean, not type %s", what, (*expr)->type->display);
    }
    return ERR_OK;
}

err_t
bind_condition(struct binder *binder, struct scope *scope, const Node *node, const char *what,
               struct expr **expr_out)
{
    err_t err = bind_expr(binder, scope, node, expr_out);

    return err != ERR_OK ? err : to_bool(binder, what, expr_out);
}

static err_t
bind_bool_expr(struct binder *binder, struct scope *scope, const BoolExpr *node,
               struct expr **expr_out)
{
    static const char *const names[] = {"argument of AND", "argument of OR", "argument of NOT"};
    static const enum expr_kind kinds[] = {EXPR_AND, EXPR_OR, EXPR_NOT};
    uint32_t count = (uint32_t)list_length(node->args);
    struct expr *expr =
        expr_new(binder->arena, kinds[node->boolop], bool_type(), count, node->location);
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = bind_condition(binder, scope, list_nth(node->args, (int)i), names[node->boolop],
                             &expr->args[i]);
    }
    *expr_out = expr;
    return err;
}

static err_t
bind_null_test(struct binder *binder, struct scope *scope, const NullTest *node,
               struct expr **expr_out)
{
    struct expr *expr =
        expr_new(binder->arena, node->nulltesttype == IS_NULL ? EXPR_IS_NULL : EXPR_IS_NOT_NULL,
                 bool_type(), 1, node->location);
    err_t err = bind_expr(binder, scope, (const Node *)node->arg, &expr->args[0]);

    *expr_out = expr;
    if (err == ERR_OK && expr->args[0]->kind == EXPR_ROW) {
        return bind_row_null_test(binder, expr->args[0], node->nulltesttype == IS_NULL,
                                  node->location, expr_out);
    }
    return err != ERR_OK ? err : bind_settle(binder, &expr->args[0]);
}

static err_t
bind_boolean_test(struct binder *binder, struct scope *scope, const BooleanTest *node,
                  struct expr **expr_out)
{
    static const char *const names[] = {"argument of IS TRUE",    "argument of IS NOT TRUE",
                                        "argument of IS FALSE",   "argument of IS NOT FALSE",
                                        "argument of IS UNKNOWN", "argument of IS NOT UNKNOWN"};
    struct expr *expr = expr_new(binder->arena, EXPR_IS_BOOL, bool_type(), 1, node->location);

    expr->boolean_test = (enum boolean_test)node->booltesttype;
    *expr_out = expr;
    return bind_condition(binder, scope, (const Node *)node->arg, names[node->booltesttype],
                          &expr->args[0]);
}

/* ---- CASE, COALESCE, GREATEST, LEAST ---- */

static err_t
case_condition(struct binder *binder, struct scope *scope, const CaseExpr *node,
               const CaseWhen *when, struct expr **expr_out)
{
    struct expr *value, *compared;
    err_t err;

    if (node->arg == NULL) {
        return bind_condition(binder, scope, (const Node *)when->expr, "argument of CASE/WHEN",
                              expr_out);
    }
    TRY(bind_expr(binder, scope, (const Node *)node->arg, &value));
    TRY(bind_settle(binder, &value));
    TRY(bind_expr(binder, scope, (const Node *)when->expr, &compared));
    TRY(bind_operator(binder, "=", value, compared, when->location, expr_out));
    err = to_bool(binder, "argument of CASE/WHEN", expr_out);
out:
    return err;
}

static err_t
bind_case(struct binder *binder, struct scope *scope, const CaseExpr *node, struct expr **expr_out)
{
    uint32_t whens = (uint32_t)list_length(node->args);
    struct expr *expr = expr_new(binder->arena, EXPR_CASE, NULL, 2 * whens + 1, node->location);
    struct expr **results = arena_alloc(binder->arena, (whens + 1) * sizeof(*results));
    const struct type *type;
    err_t err;

    for (uint32_t i = 0; i < whens; i++) {
        const CaseWhen *when = list_nth(node->args, (int)i);

        TRY(case_condition(binder, scope, node, when, &expr->args[2 * i]));
        TRY(bind_expr(binder, scope, (const Node *)when->result, &results[i]));
    }
    results[whens] = expr_const(binder->arena, type_by_oid(OID_UNKNOWN), datum_int(0), true);
    if (node->defresult != NULL) {
        TRY(bind_expr(binder, scope, (const Node *)node->defresult, &results[whens]));
    }
    TRY(bind_common(binder, "CASE", results, whens + 1, &type));
    for (uint32_t i = 0; i < whens; i++) {
        expr->args[2 * i + 1] = results[i];
    }
    expr->args[2 * whens] = results[whens];
    expr->type = type;
    *expr_out = expr;
out:
    return err;
}

static err_t
bind_choice(struct binder *binder, struct scope *scope, enum expr_kind kind, const char *context,
            const List *args, int location, struct expr **expr_out)
{
    struct expr *expr = expr_new(binder->arena, kind, NULL, 0, location);
    err_t err = bind_list(binder, scope, args, &expr->args, &expr->arg_count);

    if (err == ERR_OK) {
        err = bind_common(binder, context, expr->args, expr->arg_count, &expr->type);
    }
    *expr_out = expr;
    return err;
}

/* ---- Casts ---- */

static err_t
bind_type_cast(struct binder *binder, struct scope *scope, const TypeCast *node,
               struct expr **expr_out)
{
    const struct type *type;
    struct expr *expr, *uncast;
    int32_t typmod;
    bool is_literal;
    err_t err;

    binder->position = node->typeName->location;
    TRY(bind_type_name(binder->catalog, binder->search_path, node->typeName, &type, &typmod));
    if (IsA(node->arg, A_ArrayExpr) && type->element_type != NULL && type->array_type == NULL) {
        TRY(bind_array(binder, scope, node->arg, type, &expr));
    } else {
        TRY(bind_expr(binder, scope, node->arg, &expr));
    }
    if (expr->kind == EXPR_CONST && expr->type->oid == OID_UNKNOWN && type->oid != OID_INTERVAL) {
        /* Its length is cut, as by any explicit cast. */
        TRY(bind_coerce(binder, &expr, type, -1, COERCE_EXPLICIT));
    }
    is_literal = expr->type->oid == OID_UNKNOWN;
    uncast = expr;
    err = bind_coerce(binder, &expr, type, typmod, COERCE_EXPLICIT);
    if (err != ERR_OK && !is_literal && node->location >= 0) {
        binder->position = node->location; /* What cannot be is the cast. */
    }
    expr->is_explicit = expr->is_explicit || expr != uncast;
    *expr_out = expr;
out:
    return err;
}

/* ---- Subqueries ---- */

/* What the subquery takes from this scope becomes arguments of the expression. */
static struct expr *
subquery_expr(struct binder *binder, struct query *query, enum subquery_kind kind,
              struct expr *const *compared, uint32_t first, const struct type *type, int location)
{
    struct expr *expr =
        expr_new(binder->arena, EXPR_SUBQUERY, type, first + query->outer_count, location);
    struct subquery *subquery = bind_zeroed(binder, sizeof(*subquery));

    subquery->kind = kind;
    subquery->query = query;
    subquery->outer_count = query->outer_count;
    subquery->outer_params =
        arena_alloc(binder->arena, query->outer_count * sizeof(*subquery->outer_params));
    subquery->number = binder->subquery_count++;
    subquery->compared_count = first;
    for (uint32_t i = 0; i < first; i++) {
        expr->args[i] = compared[i];
    }
    for (uint32_t i = 0; i < query->outer_count; i++) {
        expr->args[first + i] = query->outers[i].expr;
        subquery->outer_params[i] = query->outers[i].param;
    }
    expr->subquery = subquery;
    return expr;
}

static uint32_t
visible_targets(const struct query *query)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < query->target_count; i++) {
        count += !query->targets[i].is_junk;
    }
    return count;
}

/* The compared values, one a column of the subquery, of the types that the columns have. */
static err_t
compared_fields(struct binder *binder, struct expr *compared, const struct query *query,
                int location, struct expr ***fields_out, uint32_t *count_out)
{
    bool is_row = compared->kind == EXPR_ROW && !compared->is_whole;
    uint32_t count = is_row ? compared->arg_count : 1;
    struct expr **fields = arena_alloc(binder->arena, (count + 1) * sizeof(*fields));
    err_t err = ERR_OK;

    if (visible_targets(query) != count) {
        return bind_error(binder, location, "42601", "subquery has too %s columns",
                          visible_targets(query) > count ? "many" : "few");
    }
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = is_row ? compared->args[i] : compared;
        if (fields[i]->type->oid == OID_UNKNOWN) {
            TRY(bind_coerce(binder, &fields[i], query->targets[i].expr->type, -1, COERCE_IMPLICIT));
        }
    }
    *fields_out = fields;
    *count_out = count;
out:
    return err;
}

/* A column of the row that the comparison works on: the subquery's, then the compared values. */
static struct expr *
compare_column(struct binder *binder, const struct type *type, uint32_t column, int location)
{
    struct expr *expr = expr_new(binder->arena, EXPR_COLUMN, type, 0, location);

    expr->column.source = UINT32_MAX;
    expr->column.column = column;
    return expr;
}

static err_t
bind_compared(struct binder *binder, struct scope *scope, const SubLink *node, const Node *testexpr,
              const List *operator_name, enum subquery_kind kind, struct query *query,
              struct expr **expr_out)
{
    const char *name = operator_name != NIL ? strVal(llast(operator_name)) : "=";
    struct expr **fields = NULL, *compared, *left, *right, *comparison, *expr;
    struct expr **lefts, **rights;
    uint32_t count = 0;
    err_t err;

    TRY(bind_expr(binder, scope, testexpr, &compared));
    TRY(compared_fields(binder, compared, query, node->location, &fields, &count));
    lefts = arena_alloc(binder->arena, count * sizeof(*lefts));
    rights = arena_alloc(binder->arena, count * sizeof(*rights));
    for (uint32_t i = 0; i < count; i++) {
        rights[i] = compare_column(binder, query->targets[i].expr->type, i, node->location);
        lefts[i] = compare_column(binder, fields[i]->type, count + i, node->location);
    }
    left = count == 1 ? lefts[0] : bind_row_of(binder, lefts, NULL, count, node->location);
    right = count == 1 ? rights[0] : bind_row_of(binder, rights, NULL, count, node->location);
    TRY(bind_operator(binder, name, left, right, node->location, &comparison));
    expr = subquery_expr(binder, query, kind, fields, count, bool_type(), node->location);
    expr->subquery->compare = comparison;
    *expr_out = expr;
out:
    return err;
}

/* ARRAY(SELECT ...): of values, or of arrays one dimension more. */
static err_t
bind_array_query(struct binder *binder, const SubLink *node, struct query *query,
                 struct expr **expr_out)
{
    const struct type *type;
    err_t err = bind_settle(binder, &query->targets[0].expr);

    if (err != ERR_OK) {
        return err;
    }
    type = query->targets[0].expr->type;
    type = type->element_type != NULL ? type : type->array_type;
    if (type == NULL) {
        return bind_error(binder, node->location, "42704",
                          "could not find array type for data type %s",
                          query->targets[0].expr->type->display);
    }
    *expr_out = subquery_expr(binder, query, SUBQUERY_ARRAY, NULL, 0, type, node->location);
    return ERR_OK;
}

static err_t
bind_subselect(struct binder *binder, struct scope *scope, const SubLink *node,
               struct query **query_out)
{
    const char *no_self = binder->no_self;
    err_t err;

    binder->no_self = "a subquery";
    err = bind_query(binder, scope, (const SelectStmt *)node->subselect, query_out);
    binder->no_self = no_self;
    return err;
}

static err_t
bind_sub_link(struct binder *binder, struct scope *scope, const SubLink *node,
              struct expr **expr_out)
{
    struct query *query;
    err_t err;

    TRY(bind_subselect(binder, scope, node, &query));
    switch (node->subLinkType) {
    case EXISTS_SUBLINK:
        *expr_out =
            subquery_expr(binder, query, SUBQUERY_EXISTS, NULL, 0, bool_type(), node->location);
        return ERR_OK;
    case ANY_SUBLINK:
    case ALL_SUBLINK:
        return bind_compared(binder, scope, node, node->testexpr, node->operName,
                             node->subLinkType == ANY_SUBLINK ? SUBQUERY_ANY : SUBQUERY_ALL, query,
                             expr_out);
    case EXPR_SUBLINK:
    case ARRAY_SUBLINK:
        break;
    default:
        return bind_error(binder, node->location, "0A000",
                          "this kind of subquery is not supported yet");
    }
    if (visible_targets(query) != 1) {
        return bind_error(binder, node->location, "42601", "subquery must return only one column");
    }
    if (node->subLinkType == ARRAY_SUBLINK) {
        return bind_array_query(binder, node, query, expr_out);
    }
    *expr_out = subquery_expr(binder, query, SUBQUERY_SCALAR, NULL, 0, query->targets[0].expr->type,
                              node->location);
    (*expr_out)->shape = query->targets[0].expr->shape;
out:
    return err;
}

err_t
bind_multiple_query(struct binder *binder, struct scope *scope, const SubLink *node, uint32_t count,
                    struct query **query_out)
{
    uint32_t volatiles = binder->volatile_count;
    err_t err;

    TRY(bind_subselect(binder, scope, node, query_out));
    if (visible_targets(*query_out) != count) {
        return bind_error(binder, node->location, "42601",
                          "number of columns does not match number of values");
    }
    if (count > 1 && binder->volatile_count != volatiles) { /* It runs once for each column. */
        err = bind_error(binder, node->location, "0A000",
                         "volatile functions in a sub-SELECT that sets several columns are not "
                         "supported");
    }
out:
    return err;
}

struct expr *
bind_multiple_column(struct binder *binder, struct query *query, uint32_t column, int location)
{
    const struct expr *target = query->targets[column].expr;
    struct expr *expr =
        subquery_expr(binder, query, SUBQUERY_SCALAR, NULL, 0, target->type, location);

    expr->typmod = target->typmod;
    expr->shape = target->shape;
    expr->subquery->column = column;
    return expr;
}

/* (a, b) = (SELECT x, y ...) */
static err_t
bind_row_subquery(struct binder *binder, struct scope *scope, const A_Expr *node,
                  struct expr **expr_out)
{
    SubLink link = *(const SubLink *)node->rexpr;
    struct query *query;
    err_t err;

    link.location = node->location;
    TRY(bind_subselect(binder, scope, &link, &query));
    err =
        bind_compared(binder, scope, &link, node->lexpr, node->name, SUBQUERY_ROW, query, expr_out);
out:
    return err;
}

/* ---- All ---- */

static err_t
bind_min_max(struct binder *binder, struct scope *scope, const MinMaxExpr *node,
             struct expr **expr_out)
{
    bool is_greatest = node->op == IS_GREATEST;

    return bind_choice(binder, scope, is_greatest ? EXPR_GREATEST : EXPR_LEAST,
                       is_greatest ? "GREATEST" : "LEAST", node->args, node->location, expr_out);
}

static bool
shape_has(const struct shape *shape, const char *name)
{
    for (uint32_t i = 0; i < shape->count; i++) {
        if (slice_equal(shape->names[i], slice_from_text(name))) {
            return true;
        }
    }
    return false;
}

/* (record).field */
static err_t
bind_part(struct binder *binder, const A_Indirection *node, const char *name, struct expr *record,
          struct expr **expr_out)
{
    if (record->is_whole && !shape_has(record->shape, name) && IsA(node->arg, ColumnRef)) {
        return bind_error(binder, record->position, "42703", "column %s.%s does not exist",
                          strVal(llast(((const ColumnRef *)node->arg)->fields)), name);
    }
    return bind_field(binder, record, name, record->position, expr_out);
}

/* (record).field, array[1], and any order of them. */
static err_t
bind_indirection(struct binder *binder, struct scope *scope, const A_Indirection *node,
                 struct expr **expr_out)
{
    uint32_t at = 0;
    struct expr *expr;
    err_t err = bind_expr(binder, scope, node->arg, &expr);

    while (err == ERR_OK && at < (uint32_t)list_length(node->indirection)) {
        const Node *step = list_nth(node->indirection, (int)at);

        if (IsA(step, String)) {
            err = bind_part(binder, node, strVal(step), expr, &expr);
            at++;
        } else if (IsA(step, A_Indices)) {
            err = bind_subscripts(binder, scope, expr, node->indirection, &at, &expr);
        } else {
            err = bind_error(binder, expr->position, "0A000",
                             "row expansion via \"*\" is not supported here");
        }
    }
    *expr_out = expr;
    return err;
}

static err_t
bind_grouping_call(struct binder *binder, struct scope *scope, const GroupingFunc *node,
                   struct expr **expr_out)
{
    struct expr *expr =
        expr_new(binder->arena, EXPR_GROUPING, type_by_oid(OID_INT4), 0, node->location);

    *expr_out = expr;
    if (!scope->may_aggregate) {
        return bind_error(binder, node->location, "42803",
                          "grouping operations are not allowed in %s",
                          scope->clause != NULL ? scope->clause : "this place");
    }
    if (list_length(node->args) > 31) {
        return bind_error(binder, node->location, "54023",
                          "GROUPING must have fewer than 32 arguments");
    }
    scope->query->is_grouped = true;
    return bind_list(binder, scope, node->args, &expr->args, &expr->arg_count);
}

/* What may be evaluated or not cannot return rows. */
static err_t
bind_conditional(struct binder *binder, struct scope *scope, const Node *node,
                 struct expr **expr_out)
{
    const CoalesceExpr *coalesce = (const CoalesceExpr *)node;
    const char *before = binder->no_sets;
    err_t err;

    binder->no_sets = IsA(node, CaseExpr) ? "CASE" : "COALESCE";
    err = IsA(node, CaseExpr) ? bind_case(binder, scope, (const CaseExpr *)node, expr_out)
                              : bind_choice(binder, scope, EXPR_COALESCE, "COALESCE",
                                            coalesce->args, coalesce->location, expr_out);
    binder->no_sets = before;
    return err;
}

struct value_function {
    const char *name, *function; /* As a column's name; what computes it, */
    oid_t type;                  /* and what that becomes; 0: it stays. */
};

static const struct value_function *
value_function_find(const SQLValueFunction *node)
{
    static const struct value_function table[] = {
        [SVFOP_CURRENT_DATE] = {"current_date", "now", OID_DATE},
        [SVFOP_CURRENT_TIME] = {"current_time", "now", OID_TIMETZ},
        [SVFOP_CURRENT_TIME_N] = {"current_time", "now", OID_TIMETZ},
        [SVFOP_CURRENT_TIMESTAMP] = {"current_timestamp", "now", OID_TIMESTAMPTZ},
        [SVFOP_CURRENT_TIMESTAMP_N] = {"current_timestamp", "now", OID_TIMESTAMPTZ},
        [SVFOP_LOCALTIME] = {"localtime", "now", OID_TIME},
        [SVFOP_LOCALTIME_N] = {"localtime", "now", OID_TIME},
        [SVFOP_LOCALTIMESTAMP] = {"localtimestamp", "now", OID_TIMESTAMP},
        [SVFOP_LOCALTIMESTAMP_N] = {"localtimestamp", "now", OID_TIMESTAMP},
        [SVFOP_CURRENT_ROLE] = {"current_role", "current_user", 0},
        [SVFOP_CURRENT_USER] = {"current_user", "current_user", 0},
        [SVFOP_USER] = {"user", "current_user", 0},
        [SVFOP_SESSION_USER] = {"session_user", "session_user", 0},
        [SVFOP_CURRENT_CATALOG] = {"current_catalog", "current_database", 0},
        [SVFOP_CURRENT_SCHEMA] = {"current_schema", "current_schema", 0},
    };

    return &table[node->op];
}

/* CURRENT_DATE and its like. */
static err_t
bind_value_function(struct binder *binder, const SQLValueFunction *node, struct expr **expr_out)
{
    const struct value_function *function = value_function_find(node);
    err_t err = bind_call(binder, function->function, NULL, 0, node->location, expr_out);

    if (err == ERR_OK && function->type != 0) {
        err = bind_coerce(binder, expr_out, type_by_oid(function->type),
                          node->typmod < 0 ? -1 : Min(node->typmod, 6), COERCE_EXPLICIT);
    }
    return err;
}

static err_t
bind_node(struct binder *binder, struct scope *scope, const Node *node, struct expr **expr_out)
{
    switch (nodeTag(node)) {
    case T_A_Const:
        return bind_const(binder, (const A_Const *)node, expr_out);
    case T_ColumnRef:
        return bind_column(binder, scope, (const ColumnRef *)node, expr_out);
    case T_ParamRef:
        return bind_param(binder, (const ParamRef *)node, expr_out);
    case T_A_Expr:
        return bind_a_expr(binder, scope, (const A_Expr *)node, expr_out);
    case T_BoolExpr:
        return bind_bool_expr(binder, scope, (const BoolExpr *)node, expr_out);
    case T_NullTest:
        return bind_null_test(binder, scope, (const NullTest *)node, expr_out);
    case T_BooleanTest:
        return bind_boolean_test(binder, scope, (const BooleanTest *)node, expr_out);
    case T_CaseExpr:
    case T_CoalesceExpr:
        return bind_conditional(binder, scope, node, expr_out);
    case T_MinMaxExpr:
        return bind_min_max(binder, scope, (const MinMaxExpr *)node, expr_out);
    case T_TypeCast:
        return bind_type_cast(binder, scope, (const TypeCast *)node, expr_out);
    case T_FuncCall:
        return bind_func(binder, scope, (const FuncCall *)node, expr_out);
    case T_SQLValueFunction:
        return bind_value_function(binder, (const SQLValueFunction *)node, expr_out);
    case T_GroupingFunc:
        return bind_grouping_call(binder, scope, (const GroupingFunc *)node, expr_out);
    case T_SubLink:
        return bind_sub_link(binder, scope, (const SubLink *)node, expr_out);
    case T_CollateClause:
        return bind_expr(binder, scope, ((const CollateClause *)node)->arg, expr_out);
    case T_SetToDefault:
        return bind_error(binder, ((const SetToDefault *)node)->location, "42601",
                          "DEFAULT is not allowed in this context");
    case T_RowExpr:
        return bind_row(binder, scope, (const RowExpr *)node, expr_out);
    case T_A_ArrayExpr:
        return bind_array(binder, scope, node, NULL, expr_out);
    case T_A_Indirection:
        return bind_indirection(binder, scope, (const A_Indirection *)node, expr_out);
    default:
        return bind_error(binder, -1, "0A000",
                          "this kind of expression (node %d) is not supported "
                          "yet",
                          (int)nodeTag(node));
    }
}

err_t
bind_depth_check(struct binder *binder)
{
    if (binder->depth >= SQL_DEPTH_MAX) {
        (void)bind_error(binder, -1, "54001", "stack depth limit exceeded");
        return sql_detail("The statement is nested more than %d deep.", SQL_DEPTH_MAX);
    }
    return sql_stack_check();
}

err_t
bind_expr(struct binder *binder, struct scope *scope, const Node *node, struct expr **expr_out)
{
    err_t err = bind_depth_check(binder);

    if (err != ERR_OK) {
        return err;
    }
    binder->depth++;
    err = bind_node(binder, scope, node, expr_out);
    binder->depth--;
    return err;
}

/* ---- Names of output columns ---- */

/* Does a cast around it give the name? That of a type or of CASE is weak, too. */
static bool
is_name_weak(const Node *node)
{
    while (IsA(node, TypeCast) || IsA(node, CollateClause) ||
           (IsA(node, CaseExpr) && ((const CaseExpr *)node)->defresult != NULL)) {
        node = IsA(node, TypeCast)        ? ((const TypeCast *)node)->arg
               : IsA(node, CollateClause) ? ((const CollateClause *)node)->arg
                                          : (const Node *)((const CaseExpr *)node)->defresult;
    }
    return IsA(node, CaseExpr) || slice_equal(bind_output_name(node), SLICE("?column?"));
}

int
bind_location(const Node *node)
{
    switch (nodeTag(node)) {
    case T_A_Const:
        return ((const A_Const *)node)->location;
    case T_ColumnRef:
        return ((const ColumnRef *)node)->location;
    case T_ParamRef:
        return ((const ParamRef *)node)->location;
    case T_FuncCall:
        return ((const FuncCall *)node)->location;
    case T_TypeCast:
        return bind_location(((const TypeCast *)node)->arg);
    case T_RowExpr:
        return ((const RowExpr *)node)->location;
    case T_SubLink:
        return ((const SubLink *)node)->location;
    case T_SetToDefault:
        return ((const SetToDefault *)node)->location;
    case T_A_Expr: {
        const A_Expr *expr = (const A_Expr *)node;
        int left = expr->lexpr != NULL ? bind_location(expr->lexpr) : -1;

        return left >= 0 && left < expr->location ? left : expr->location;
    }
    default:
        return -1;
    }
}

struct slice
bind_output_name(const Node *node)
{
    const Node *last;

    switch (nodeTag(node)) {
    case T_ColumnRef:
        last = llast(((const ColumnRef *)node)->fields);
        return IsA(last, String) ? slice_from_text(strVal(last)) : SLICE("?column?");
    case T_FuncCall:
        return slice_from_text(strVal(llast(((const FuncCall *)node)->funcname)));
    case T_TypeCast:
        return is_name_weak(((const TypeCast *)node)->arg)
                   ? slice_from_text(strVal(llast(((const TypeCast *)node)->typeName->names)))
                   : bind_output_name(((const TypeCast *)node)->arg);
    case T_CaseExpr: {
        const CaseExpr *expr = (const CaseExpr *)node;

        return expr->defresult == NULL || is_name_weak((const Node *)expr->defresult)
                   ? SLICE("case")
                   : bind_output_name((const Node *)expr->defresult);
    }
    case T_SQLValueFunction:
        return slice_from_text(value_function_find((const SQLValueFunction *)node)->name);
    case T_CoalesceExpr:
        return SLICE("coalesce");
    case T_GroupingFunc:
        return SLICE("grouping");
    case T_A_ArrayExpr:
        return SLICE("array");
    case T_A_Indirection: {
        const A_Indirection *part = (const A_Indirection *)node;

        for (int i = list_length(part->indirection); i > 0; i--) {
            const Node *step = list_nth(part->indirection, i - 1);

            if (IsA(step, String)) {
                return slice_from_text(strVal(step));
            }
        }
        return bind_output_name(part->arg);
    }
    case T_RowExpr:
        return SLICE("row");
    case T_MinMaxExpr:
        return ((const MinMaxExpr *)node)->op == IS_GREATEST ? SLICE("greatest") : SLICE("least");
    case T_CollateClause:
        return bind_output_name(((const CollateClause *)node)->arg);
    case T_SubLink: {
        const SubLink *link = (const SubLink *)node;
        const SelectStmt *select;
        const ResTarget *target;

        if (link->subLinkType == EXISTS_SUBLINK) {
            return SLICE("exists");
        }
        if (link->subLinkType == ARRAY_SUBLINK) {
            return SLICE("array");
        }
        if (link->subLinkType != EXPR_SUBLINK) {
            return SLICE("?column?");
        }
        select = (const SelectStmt *)link->subselect;
        while (select->op != SETOP_NONE) {
            select = select->larg;
        }
        if (select->valuesLists != NIL) {
            return SLICE("column1");
        }
        if (select->targetList == NIL) {
            return SLICE("?column?");
        }
        target = linitial(select->targetList);
        return target->name != NULL ? slice_from_text(target->name) : bind_output_name(target->val);
    }
    case T_A_Expr:
        return ((const A_Expr *)node)->kind == AEXPR_NULLIF ? SLICE("nullif") : SLICE("?column?");
    default:
        return SLICE("?column?");
    }
}
