/* query/bind/bind_array.c - ARRAY[...], subscripts, `operator ANY (array)`. */
#include "query/bind/internal.h"

#include "models/types/array.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- ARRAY[...] ---- */

static err_t array_bind(struct binder *binder, struct scope *scope, const A_ArrayExpr *node,
                        const struct type *wanted, struct expr **expr_out);

static err_t
elements_bind(struct binder *binder, struct scope *scope, const A_ArrayExpr *node,
              const struct type *wanted, struct expr *array)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < array->arg_count; i++) {
        const Node *element = list_nth(node->elements, (int)i);

        if (IsA(element, A_ArrayExpr)) {
            TRY(bind_depth_check(binder));
            binder->depth++;
            err = array_bind(binder, scope, (const A_ArrayExpr *)element, wanted, &array->args[i]);
            binder->depth--;
            array->is_nested = true;
        } else {
            err = bind_expr(binder, scope, element, &array->args[i]);
            array->is_nested =
                array->is_nested || (err == ERR_OK && array->args[i]->type->element_type != NULL);
        }
    }
out:
    return err;
}

static err_t
elements_coerce(struct binder *binder, const struct type *type, struct expr *array)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < array->arg_count; i++) {
        err = bind_coerce(binder, &array->args[i], type, -1, COERCE_EXPLICIT);
    }
    return err;
}

/* wanted: the array type that a cast around it names; NULL: none does. */
static err_t
array_bind(struct binder *binder, struct scope *scope, const A_ArrayExpr *node,
           const struct type *wanted, struct expr **expr_out)
{
    struct expr *array = expr_new(binder->arena, EXPR_ARRAY, wanted,
                                  (uint32_t)list_length(node->elements), node->location);
    const struct type *common;
    err_t err;

    *expr_out = array;
    TRY(elements_bind(binder, scope, node, wanted, array));
    if (wanted != NULL) {
        return elements_coerce(binder, array->is_nested ? wanted : wanted->element_type, array);
    }
    if (array->arg_count == 0) {
        (void)bind_error(binder, node->location, "42P18", "cannot determine type of empty array");
        return sql_hint("Explicitly cast to the desired type, for example ARRAY[]::integer[].");
    }
    TRY(bind_common(binder, "ARRAY", array->args, array->arg_count, &common));
    array->is_nested = common->element_type != NULL;
    array->type = array->is_nested ? common : common->array_type;
    if (array->type == NULL) {
        err = bind_error(binder, node->location, "42704",
                         "could not find array type for data type %s", common->display);
    }
out:
    return err;
}

err_t
bind_array(struct binder *binder, struct scope *scope, const void *node, const struct type *wanted,
           struct expr **expr_out)
{
    return array_bind(binder, scope, node, wanted, expr_out);
}

/* ---- operator ANY (array) ---- */

static struct expr *
placeholder(struct binder *binder, const struct type *type, uint32_t column)
{
    struct expr *expr = expr_new(binder->arena, EXPR_COLUMN, type, 0, -1);

    expr->column.source = UINT32_MAX;
    expr->column.column = column;
    return expr;
}

err_t
bind_any_array(struct binder *binder, const char *name, struct expr *left, struct expr *right,
               bool is_all, int location, struct expr **expr_out)
{
    const struct type *element = right->type->element_type;
    const struct type *unknown = type_by_oid(OID_UNKNOWN);
    struct expr *pair[2], *call, *expr;
    err_t err;

    if (element == NULL && right->type->oid != OID_UNKNOWN) {
        return bind_error(binder, location, "42809",
                          "op ANY/ALL (array) requires array on right side");
    }
    /* The operator between a value and an element; then both sides take the types it wants. */
    pair[0] = left->type->oid == OID_UNKNOWN
                  ? expr_const(binder->arena, unknown, datum_int(0), true)
                  : placeholder(binder, left->type, 0);
    pair[1] = element == NULL ? expr_const(binder->arena, unknown, datum_int(0), true)
                              : placeholder(binder, element, 1);
    TRY(bind_operator(binder, name, pair[0], pair[1], location, &call));
    if (call->kind != EXPR_CALL || call->type->oid != OID_BOOL) {
        err = bind_error(binder, location, "42809",
                         "op ANY/ALL (array) requires operator to yield boolean");
        goto out;
    }
    TRY(bind_coerce(binder, &left, call->args[0]->type, -1, COERCE_IMPLICIT));
    if (call->args[1]->type->array_type == NULL) {
        err = bind_error(binder, location, "42704", "could not find array type for data type %s",
                         call->args[1]->type->display);
        goto out;
    }
    TRY(bind_coerce(binder, &right, call->args[1]->type->array_type, -1, COERCE_IMPLICIT));
    call->args[0] = placeholder(binder, left->type, 0);
    call->args[1] = placeholder(binder, right->type->element_type, 1);
    expr = expr_new(binder->arena, EXPR_ANY_ARRAY, call->type, 2, location);
    expr->args[0] = left;
    expr->args[1] = right;
    expr->each.element = call;
    expr->each.is_all = is_all;
    *expr_out = expr;
out:
    return err;
}

/* ---- Subscripts ---- */

static err_t
subscript_bind(struct binder *binder, struct scope *scope, const Node *node, bool is_json,
               struct expr **expr_out)
{
    const struct function *function;
    oid_t from;
    err_t err;

    TRY(bind_expr(binder, scope, node, expr_out));
    from = (*expr_out)->type->oid;
    if (is_json) {
        bool is_number =
            from != OID_UNKNOWN && fn_cast(from, OID_INT4, COERCE_IMPLICIT, &function) != CAST_NONE;
        bool is_text =
            from == OID_UNKNOWN || fn_cast(from, OID_TEXT, COERCE_IMPLICIT, &function) != CAST_NONE;

        if (!is_number && !is_text) {
            (void)bind_error(binder, (*expr_out)->position, "42804",
                             "subscript type %s is not supported", (*expr_out)->type->display);
            err = sql_hint("jsonb subscript must be coercible to either integer or text.");
            goto out;
        }
        err = bind_coerce(binder, expr_out, type_by_oid(is_number ? OID_INT4 : OID_TEXT), -1,
                          COERCE_IMPLICIT);
        goto out;
    }
    if (from != OID_UNKNOWN && fn_cast(from, OID_INT4, COERCE_ASSIGNMENT, &function) == CAST_NONE) {
        err = bind_error(binder, (*expr_out)->position, "42804",
                         "array subscript must have type integer");
        goto out;
    }
    err = bind_coerce(binder, expr_out, type_by_oid(OID_INT4), -1, COERCE_ASSIGNMENT);
out:
    return err;
}

static err_t
subscripts_check(struct binder *binder, const struct expr *container,
                 const struct subscripts *subscripts, int location, int slice_location)
{
    const struct type *type = container->type;

    if (type->element_type == NULL && type->oid != OID_JSONB) {
        return bind_error(binder, location, "42804",
                          "cannot subscript type %s because it does not support subscripting",
                          type->display);
    }
    if (type->oid == OID_JSONB && subscripts->is_slice) {
        return bind_error(binder, slice_location, "0A000",
                          "jsonb subscript does not support slices");
    }
    if (type->oid != OID_JSONB && subscripts->count > ARRAY_DIMENSIONS_MAX) {
        return bind_error(binder, -1, "54000",
                          "number of array dimensions (%u) exceeds the maximum allowed (%d)",
                          subscripts->count, ARRAY_DIMENSIONS_MAX);
    }
    return ERR_OK;
}

/* Where a bound stands, of those that are written most. */
static int
node_location(const Node *node)
{
    return node == NULL           ? -1
           : IsA(node, A_Const)   ? ((const A_Const *)node)->location
           : IsA(node, ColumnRef) ? ((const ColumnRef *)node)->location
           : IsA(node, ParamRef)  ? ((const ParamRef *)node)->location
           : IsA(node, TypeCast)  ? node_location(((const TypeCast *)node)->arg)
                                  : -1;
}

/* Bounds of A_Indices from `first` on: those that are given become arguments behind `skip`. */
static err_t
bounds_bind(struct binder *binder, struct scope *scope, const List *indirection, uint32_t first,
            uint32_t count, uint32_t skip, struct expr *expr)
{
    struct subscripts *subscripts = bind_zeroed(binder, sizeof(*subscripts));
    int slice_location = -1;
    err_t err = ERR_OK;

    subscripts->count = count;
    subscripts->bounds = bind_zeroed(binder, count);
    expr->subscripts = subscripts;
    expr->arg_count = skip;
    for (uint32_t i = 0; i < count; i++) {
        const A_Indices *index = list_nth(indirection, (int)(first + i));

        if (index->is_slice && !subscripts->is_slice) {
            subscripts->is_slice = true;
            slice_location = node_location(index->uidx != NULL ? index->uidx : index->lidx);
        }
    }
    TRY(subscripts_check(binder, expr->args[0], subscripts, expr->position, slice_location));
    for (uint32_t i = 0; i < count; i++) {
        const A_Indices *index = list_nth(indirection, (int)(first + i));
        const Node *bounds[2] = {index->lidx, index->uidx};

        for (uint32_t which = 0; which < 2; which++) {
            if (bounds[which] == NULL) {
                continue;
            }
            TRY(subscript_bind(binder, scope, bounds[which], expr->args[0]->type->oid == OID_JSONB,
                               &expr->args[expr->arg_count]));
            subscripts->bounds[i] |= which == 0 ? SUBSCRIPT_LOWER : SUBSCRIPT_UPPER;
            expr->arg_count++;
        }
        if (subscripts->is_slice && !index->is_slice) { /* [n] among slices is [1:n]. */
            struct expr *upper = expr->args[expr->arg_count - 1];

            expr->args[expr->arg_count - 1] =
                expr_const(binder->arena, type_by_oid(OID_INT4), datum_int(1), false);
            expr->args[expr->arg_count++] = upper;
            subscripts->bounds[i] |= SUBSCRIPT_LOWER;
        }
    }
out:
    return err;
}

/* Consecutive A_Indices from `first` on. */
static uint32_t
indices_count(const List *indirection, uint32_t first)
{
    uint32_t count = 0;

    while (first + count < (uint32_t)list_length(indirection) &&
           IsA(list_nth(indirection, (int)(first + count)), A_Indices)) {
        count++;
    }
    return count;
}

err_t
bind_subscripts(struct binder *binder, struct scope *scope, struct expr *container,
                const void *indirection_list, uint32_t *at, struct expr **expr_out)
{
    const List *indirection = indirection_list;
    uint32_t count = indices_count(indirection, *at);
    struct expr *expr =
        expr_new(binder->arena, EXPR_SUBSCRIPT, NULL, 1 + 2 * count, container->position);
    err_t err;

    expr->args[0] = container;
    TRY(bounds_bind(binder, scope, indirection, *at, count, 1, expr));
    expr->type = container->type->oid == OID_JSONB || expr->subscripts->is_slice
                     ? container->type
                     : container->type->element_type;
    /* Subscripts of an int2vector that name a part of it give an int2[]. */
    if (expr->subscripts->is_slice && container->type->array_type != NULL &&
        container->type->element_type != NULL) {
        expr->type = container->type->element_type->array_type;
    }
    *at += count;
    *expr_out = expr;
out:
    return err;
}

err_t
bind_subscript_target(struct binder *binder, struct scope *scope, const struct column *column,
                      struct expr *container, const void *indirection_list, struct expr *value,
                      int location, struct expr **expr_out)
{
    const List *indirection = indirection_list;
    uint32_t count = indices_count(indirection, 0);
    struct expr *expr =
        expr_new(binder->arena, EXPR_SUBSCRIPT_SET, column->type, 2 + 2 * count, location);
    const struct function *function;
    const struct type *wanted;
    err_t err;

    if (count != (uint32_t)list_length(indirection)) {
        return bind_error(binder, location, "42804",
                          "cannot assign to field \"%s\" of column \"%.*s\" because its type %s "
                          "is not a composite type",
                          strVal(list_nth(indirection, (int)count)), (int)column->name.size,
                          (const char *)column->name.data, column->type->display);
    }
    expr->args[0] = container;
    expr->args[1] = value;
    TRY(bounds_bind(binder, scope, indirection, 0, count, 2, expr));
    wanted = column->type->oid == OID_JSONB || expr->subscripts->is_slice
                 ? column->type
                 : column->type->element_type;
    if (value->type->oid != OID_UNKNOWN &&
        fn_cast(value->type->oid, wanted->oid, COERCE_ASSIGNMENT, &function) == CAST_NONE) {
        (void)bind_error(binder, location, "42804",
                         "subscripted assignment to \"%.*s\" requires type %s but expression is of "
                         "type %s",
                         (int)column->name.size, (const char *)column->name.data, wanted->display,
                         value->type->display);
        err = sql_hint("You will need to rewrite or cast the expression.");
        goto out;
    }
    TRY(bind_coerce(binder, &expr->args[1], wanted, column->typmod, COERCE_ASSIGNMENT));
    *expr_out = expr;
out:
    return err;
}
