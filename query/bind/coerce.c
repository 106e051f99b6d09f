/* query/bind/coerce.c - values become other types. */
#include "query/bind/internal.h"

#include "engine/base/assert.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

struct expr *
expr_new(struct arena *arena, enum expr_kind kind, const struct type *type, uint32_t arg_count,
         int location)
{
    struct expr *expr = arena_alloc(arena, sizeof(*expr));

    memset(expr, 0, sizeof(*expr));
    expr->kind = kind;
    expr->type = type;
    expr->typmod = -1;
    expr->position = location;
    expr->arg_count = arg_count;
    if (arg_count > 0) {
        expr->args = arena_alloc(arena, arg_count * sizeof(struct expr *));
        memset(expr->args, 0, arg_count * sizeof(struct expr *));
    }
    return expr;
}

struct expr *
expr_const(struct arena *arena, const struct type *type, struct datum value, bool is_null)
{
    struct expr *expr = expr_new(arena, EXPR_CONST, type, 0, -1);

    expr->constant.value = value;
    expr->constant.is_null = is_null;
    return expr;
}

/* A literal is read by the type's own input. */
static err_t
literal_read(struct binder *binder, struct expr **expr, const struct type *type, int32_t typmod)
{
    const struct type_io io = {.arena = binder->arena, .settings = binder->settings};
    struct expr *read;
    err_t err;

    read = expr_new(binder->arena, EXPR_CONST, type, 0, (*expr)->position);
    read->constant.is_null = (*expr)->constant.is_null;
    if (!read->constant.is_null) {
        err = type->input(type, &io, (*expr)->constant.value.bytes, typmod, &read->constant.value);
        if (err != ERR_OK) {
            binder->position = (*expr)->position;
            return err;
        }
    }
    *expr = read;
    return ERR_OK;
}

static err_t
cannot_coerce(struct binder *binder, const struct expr *expr, const struct type *type)
{
    return bind_error(binder, expr->position, "42846", "cannot cast type %s to %s",
                      expr->type->display, type->display);
}

static struct expr *
wrap(struct binder *binder, struct expr *expr, enum expr_kind kind, const struct type *type)
{
    struct expr *wrapped = expr_new(binder->arena, kind, type, 1, expr->position);

    wrapped->args[0] = expr;
    return wrapped;
}

static void
length_apply(struct binder *binder, struct expr **expr, int32_t typmod, enum coercion coercion)
{
    if (typmod < 0 || (*expr)->typmod == typmod) {
        return;
    }
    *expr = wrap(binder, *expr, EXPR_LENGTH, (*expr)->type);
    (*expr)->typmod = typmod;
    (*expr)->is_not_in = coercion == COERCE_EXPLICIT; /* Cuts instead of refusing. */
}

/* Elements one by one. The same bytes serve where the element's type is only another name. */
static err_t
array_coerce(struct binder *binder, struct expr **expr, const struct type *type,
             enum coercion coercion)
{
    const struct type *from = (*expr)->type->element_type;
    struct expr *element = expr_new(binder->arena, EXPR_COLUMN, from, 0, (*expr)->position);
    struct expr *cast;
    err_t err;

    element->column.source = UINT32_MAX;
    err = bind_coerce(binder, &element, type->element_type, -1, coercion);
    if (err != ERR_OK) {
        return err;
    }
    if (element->kind == EXPR_RELABEL || element->kind == EXPR_COLUMN) {
        *expr = wrap(binder, *expr, EXPR_RELABEL, type);
        return ERR_OK;
    }
    cast = wrap(binder, *expr, EXPR_ARRAY_CAST, type);
    cast->each.element = element;
    *expr = cast;
    return ERR_OK;
}

err_t
bind_coerce(struct binder *binder, struct expr **expr, const struct type *type, int32_t typmod,
            enum coercion coercion)
{
    const struct function *function = NULL;
    enum cast_method method;
    struct expr *cast;
    err_t err = ERR_OK;

    if ((*expr)->kind == EXPR_ROW) {
        TRY(bind_row_settle(binder, *expr));
    }
    if ((*expr)->kind == EXPR_PARAM && (*expr)->type->oid == OID_UNKNOWN) {
        (*expr)->type = type;
        binder->param_types[(*expr)->param] = type;
        length_apply(binder, expr, typmod, coercion);
        return ERR_OK;
    }
    if ((*expr)->kind == EXPR_CONST && (*expr)->type->oid == OID_UNKNOWN) {
        /* The fields of an interval say what a number without a unit means. */
        err = literal_read(binder, expr, type, type->oid == OID_INTERVAL ? typmod : -1);
        if (err == ERR_OK) {
            length_apply(binder, expr, typmod, coercion);
        }
        return err;
    }
    method = fn_cast((*expr)->type->oid, type->oid, coercion, &function);
    switch (method) {
    case CAST_NONE:
        return cannot_coerce(binder, *expr, type);
    case CAST_RELABEL:
        if ((*expr)->type != type) {
            *expr = wrap(binder, *expr, EXPR_RELABEL, type);
        }
        break;
    case CAST_FUNCTION:
        cast = wrap(binder, *expr, EXPR_CALL, type);
        cast->function = function;
        *expr = cast;
        break;
    case CAST_IO:
        *expr = wrap(binder, *expr, EXPR_CAST_IO, type);
        break;
    case CAST_ARRAY:
        err = array_coerce(binder, expr, type, coercion);
        if (err != ERR_OK) {
            return err;
        }
        break;
    }
    length_apply(binder, expr, typmod, coercion);
    err = ERR_OK;
out:
    return err;
}

/* The type of this number: one of theirs, as users' types are known by them alone. */
static const struct type *
type_among(struct expr *const *exprs, uint32_t count, oid_t oid)
{
    for (uint32_t i = 0; i < count; i++) {
        if (exprs[i]->type->oid == oid) {
            return exprs[i]->type;
        }
    }
    return type_by_oid(oid);
}

err_t
bind_common(struct binder *binder, const char *context, struct expr **exprs, uint32_t count,
            const struct type **type_out)
{
    oid_t *types = arena_alloc(binder->arena, count * sizeof(*types));
    oid_t before = 0, at = 0, common;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        types[i] = exprs[i]->type->oid;
    }
    common = fn_common_type(types, count, &before, &at);
    for (uint32_t i = 0; common == 0 && i < count; i++) {
        if (types[i] == at) {
            return bind_error(binder, exprs[i]->position, "42804",
                              "%s types %s and %s cannot be matched", context,
                              type_among(exprs, count, before)->display, exprs[i]->type->display);
        }
    }
    *type_out = type_among(exprs, count, common);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = bind_coerce(binder, &exprs[i], *type_out, -1, COERCE_IMPLICIT);
    }
    return err;
}

err_t
bind_settle(struct binder *binder, struct expr **expr)
{
    if ((*expr)->kind == EXPR_ROW) {
        return bind_row_settle(binder, *expr);
    }
    return (*expr)->type->oid == OID_UNKNOWN
               ? bind_coerce(binder, expr, type_by_oid(OID_TEXT), -1, COERCE_IMPLICIT)
               : ERR_OK;
}

/* ---- Arguments ---- */

/* Of "any": a literal stays one, a parameter must have a type. */
static err_t
any_argument(struct binder *binder, const struct expr *arg)
{
    return arg->kind == EXPR_PARAM && arg->type->oid == OID_UNKNOWN
               ? bind_error(binder, arg->position, "42P18",
                            "could not determine data type of parameter $%u", arg->param + 1)
               : ERR_OK;
}

err_t
bind_arguments(struct binder *binder, const struct function *function, struct expr **args,
               uint32_t count, int location, const struct type **result_out)
{
    const struct type **types = arena_alloc(binder->arena, (count + 1) * sizeof(*types));
    const struct type **declared = arena_alloc(binder->arena, (count + 1) * sizeof(*declared));
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        types[i] = args[i]->type;
        declared[i] = type_by_oid(fn_parameter(function, i));
    }
    binder->position = location;
    TRY(fn_resolve(types, count, declared, function->result, result_out));
    if (function->comparison != COMPARE_NONE && declared[0]->compare == NULL) {
        return bind_error(binder, location, "42883", "could not identify %s for type %s",
                          function->comparison <= COMPARE_NOT_EQUAL ? "an equality operator"
                                                                    : "a comparison function",
                          declared[0]->element_type != NULL ? declared[0]->element_type->display
                                                            : declared[0]->display);
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(declared[i]->oid == OID_ANY
                ? any_argument(binder, args[i])
                : bind_coerce(binder, &args[i], declared[i], -1, COERCE_IMPLICIT));
    }
out:
    return err;
}

/* ---- Names of types ---- */

/* More digits than there are come down to these. */
static err_t
precision_read(const struct type *type, int64_t precision, int count, int32_t *typmod_out)
{
    bool is_time = type->oid == OID_TIME || type->oid == OID_TIMETZ;
    bool has_zone = type->oid == OID_TIMETZ || type->oid == OID_TIMESTAMPTZ;

    if (count != 1) {
        return sql_error("22023", "invalid type modifier");
    }
    if (precision < 0) {
        return sql_error("22023", "%s(%lld)%s precision must not be negative",
                         is_time ? "TIME" : "TIMESTAMP", (long long)precision,
                         has_zone ? " WITH TIME ZONE" : "");
    }
    *typmod_out = (int32_t)MIN(precision, (int64_t)DATETIME_PRECISION_MAX);
    return ERR_OK;
}

static err_t
modifiers_read(const TypeName *name, const struct type *type, int32_t *typmod_out)
{
    int64_t values[2] = {0, 0};
    int count = list_length(name->typmods);

    *typmod_out = -1;
    if (count == 0) {
        /* CHAR alone is CHAR(1): the grammar writes that out. */
        return ERR_OK;
    }
    for (int i = 0; i < count && i < 2; i++) {
        const Node *node = list_nth(name->typmods, i);

        if (!IsA(node, A_Const) || !IsA(&((const A_Const *)node)->val.node, Integer)) {
            return sql_error("42601", "type modifiers must be simple constants or identifiers");
        }
        values[i] = ((const A_Const *)node)->val.ival.ival;
    }
    if (type->oid == OID_VARCHAR || type->oid == OID_BPCHAR) {
        if (count != 1) {
            return sql_error("22023", "invalid type modifier");
        }
        if (values[0] < 1) {
            return sql_error("22023", "length for type %s must be at least 1", type->name);
        }
        if (values[0] > 10485760) {
            return sql_error("22023", "length for type %s cannot exceed 10485760", type->name);
        }
        *typmod_out = (int32_t)values[0] + 4;
        return ERR_OK;
    }
    if (type->oid == OID_NUMERIC) {
        if (values[0] < 1 || values[0] > NUMERIC_PRECISION_MAX) {
            return sql_error("22023", "NUMERIC precision %lld must be between 1 and %d",
                             (long long)values[0], NUMERIC_PRECISION_MAX);
        }
        if (values[1] < -NUMERIC_PRECISION_MAX || values[1] > NUMERIC_PRECISION_MAX) {
            return sql_error("22023", "NUMERIC scale %lld must be between -%d and %d",
                             (long long)values[1], NUMERIC_PRECISION_MAX, NUMERIC_PRECISION_MAX);
        }
        *typmod_out = (int32_t)(values[0] << 16 | (values[1] & 0x7ff)) + 4;
        return ERR_OK;
    }
    if (type->oid == OID_TIME || type->oid == OID_TIMETZ || type->oid == OID_TIMESTAMP ||
        type->oid == OID_TIMESTAMPTZ) {
        return precision_read(type, values[0], count, typmod_out);
    }
    if (type->oid == OID_INTERVAL) {
        if (count > 1 && values[1] < 0) {
            return sql_error("22023", "INTERVAL(%lld) precision must not be negative",
                             (long long)values[1]);
        }
        *typmod_out = interval_typmod((int32_t)values[0],
                                      count > 1 ? (int32_t)MIN(values[1], DATETIME_PRECISION_MAX)
                                                : INTERVAL_FULL_PRECISION);
        return ERR_OK;
    }
    return sql_error("42601", "type modifier is not allowed for type \"%s\"", type->name);
}

err_t
bind_type_name(const struct catalog *catalog, const char *path, const void *type_name,
               const struct type **type_out, int32_t *typmod_out)
{
    const TypeName *name = type_name;
    const char *word = strVal(llast(name->names));
    const char *schema = list_length(name->names) > 1
                             ? strVal(list_nth(name->names, list_length(name->names) - 2))
                             : NULL;
    err_t err;

    *type_out = search_type(catalog, path, schema, slice_from_text(word));
    if (*type_out == NULL) {
        return sql_error("42704", "type \"%s%s%s%s\" does not exist", schema != NULL ? schema : "",
                         schema != NULL ? "." : "", word, name->arrayBounds != NIL ? "[]" : "");
    }
    err = modifiers_read(name, *type_out, typmod_out);
    if (err == ERR_OK && name->arrayBounds != NIL) {
        if ((*type_out)->array_type == NULL) {
            return sql_error("42704", "could not find array type for data type %s",
                             (*type_out)->display);
        }
        *type_out = (*type_out)->array_type;
    }
    return err;
}

err_t
bind_coerce_column(struct arena *arena, struct expr **expr, const struct column *column,
                   const struct type_settings *settings)
{
    struct binder binder = {.arena = arena, .settings = settings, .position = -1};

    return bind_coerce(&binder, expr, column->type, column->typmod, COERCE_ASSIGNMENT);
}
