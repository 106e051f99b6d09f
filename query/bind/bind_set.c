/* query/bind/bind_set.c - functions that return rows: in lists of SELECT, and in FROM.
 *
 * A function in FROM becomes a query of its own over a source of functions, so that what it takes
 * from its neighbours is set before each run, as for LATERAL. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"
#include "query/fn/set.h"

#include "engine/base/poison.h"

/* ---- Shapes ---- */

static struct shape *
shape_new(struct binder *binder, uint32_t count)
{
    struct shape *shape = bind_zeroed(binder, sizeof(*shape));

    shape->count = count;
    shape->names = bind_zeroed(binder, (count + 1) * sizeof(*shape->names));
    shape->types = bind_zeroed(binder, (count + 1) * sizeof(*shape->types));
    shape->typmods = bind_zeroed(binder, (count + 1) * sizeof(*shape->typmods));
    return shape;
}

const struct shape *
bind_shape_of(struct binder *binder, const struct expr *expr, struct slice name)
{
    const struct set_function *set = expr->kind == EXPR_CALL ? expr->function->set : NULL;
    struct shape *shape;

    if (expr->shape != NULL) {
        return expr->shape;
    }
    shape = shape_new(binder, set != NULL && set->column_count > 0 ? set->column_count : 1);
    shape->names[0] = name;
    shape->types[0] = expr->type;
    shape->typmods[0] = expr->typmod;
    for (uint32_t i = 0; set != NULL && i < set->column_count; i++) {
        const struct type *type = type_by_oid(set->columns[i].type);

        shape->names[i] = slice_from_text(set->columns[i].name);
        shape->types[i] = type != NULL && !fn_is_polymorphic(type->oid) ? type : expr->type;
        shape->typmods[i] = -1;
    }
    return shape;
}

/* ---- In expressions ---- */

err_t
bind_set_call(struct binder *binder, struct scope *scope, struct expr *call)
{
    if (binder->no_sets != NULL) {
        (void)bind_error(binder, call->position, "0A000",
                         "set-returning functions are not allowed in %s", binder->no_sets);
        return sql_hint("You might be able to move the set-returning function into a LATERAL FROM "
                        "item.");
    }
    if (scope->is_in_aggregate) {
        (void)bind_error(binder, call->position, "0A000",
                         "aggregate function calls cannot contain set-returning function calls");
        return sql_hint("You might be able to move the set-returning function into a LATERAL FROM "
                        "item.");
    }
    if (!scope->may_set) {
        return bind_error(binder, call->position, "0A000",
                          "set-returning functions are not allowed in %s",
                          scope->clause != NULL ? scope->clause : "this place");
    }
    scope->query->has_sets = true;
    call->shape = bind_shape_of(binder, call, slice_from_text(call->function->name));
    return ERR_OK;
}

static const struct expr *
set_inside(const struct expr *expr)
{
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        const struct expr *arg = expr->args[i], *found;

        if (arg->kind == EXPR_CALL && arg->function->set != NULL) {
            return arg;
        }
        found = set_inside(arg);
        if (found != NULL) {
            return found;
        }
    }
    return NULL;
}

/* ---- In FROM ---- */

/* AS t (a int, b text): what a function that returns records is to give. */
static err_t
shape_of_definitions(struct binder *binder, const List *definitions, const struct shape **shape_out)
{
    struct shape *shape = shape_new(binder, (uint32_t)list_length(definitions));
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shape->count; i++) {
        const ColumnDef *column = list_nth(definitions, (int)i);

        shape->names[i] = bind_text(binder, column->colname);
        binder->position = column->typeName->location;
        TRY(bind_type_name(binder->catalog, binder->search_path, column->typeName, &shape->types[i],
                           &shape->typmods[i]));
        for (uint32_t j = 0; j < i; j++) {
            if (slice_equal(shape->names[j], shape->names[i])) {
                return bind_error(binder, column->location, "42701",
                                  "column name \"%s\" specified more than once", column->colname);
            }
        }
    }
    *shape_out = shape;
out:
    return err;
}

static err_t
function_shape(struct binder *binder, struct expr *expr, const List *definitions, struct slice name,
               int location)
{
    const struct set_function *set = expr->kind == EXPR_CALL ? expr->function->set : NULL;
    bool needs_columns = set != NULL && set->needs_columns;

    if (definitions != NIL && !needs_columns) {
        return bind_error(binder, location, "42601",
                          "a column definition list is only allowed for functions returning "
                          "\"record\"");
    }
    if (definitions == NIL && needs_columns) {
        return bind_error(binder, location, "42601",
                          "a column definition list is required for functions returning "
                          "\"record\"");
    }
    if (needs_columns) {
        return shape_of_definitions(binder, definitions, &expr->shape);
    }
    if (set != NULL) {
        expr->shape = NULL; /* With the name that it has here. */
    }
    expr->shape = bind_shape_of(binder, expr, name);
    return ERR_OK;
}

static void
function_add(struct binder *binder, struct source *source, struct expr *expr)
{
    struct expr **grown =
        bind_zeroed(binder, (source->function_count + 1) * sizeof(*source->functions));

    if (source->function_count > 0) {
        memcpy(grown, source->functions, source->function_count * sizeof(*grown));
    }
    grown[source->function_count++] = expr;
    source->functions = grown;
}

/* unnest(a, b): each beside the other. */
static err_t
unnest_bind(struct binder *binder, struct scope *scope, const FuncCall *call, struct source *source)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, call->args)
    {
        struct expr *arg, *expr;

        TRY(bind_expr(binder, scope, lfirst(cell), &arg));
        TRY(bind_call(binder, "unnest", &arg, 1, call->location, &expr));
        TRY(function_shape(binder, expr, NIL, SLICE("unnest"), call->location));
        function_add(binder, source, expr);
    }
out:
    return err;
}

static err_t
function_bind(struct binder *binder, struct scope *scope, const Node *node, const List *definitions,
              struct slice name, struct source *source)
{
    int location = IsA(node, FuncCall) ? ((const FuncCall *)node)->location : -1;
    const struct expr *inside;
    struct expr *expr;
    err_t err;

    if (IsA(node, FuncCall) && list_length(((const FuncCall *)node)->args) > 1 &&
        strcmp(strVal(llast(((const FuncCall *)node)->funcname)), "unnest") == 0) {
        return unnest_bind(binder, scope, (const FuncCall *)node, source);
    }
    TRY(bind_expr(binder, scope, node, &expr));
    TRY(bind_settle(binder, &expr));
    inside = set_inside(expr);
    if (inside != NULL) {
        return bind_error(binder, inside->position, "0A000",
                          "set-returning functions must appear at top level of FROM");
    }
    TRY(function_shape(binder, expr, definitions, name, location));
    function_add(binder, source, expr);
out:
    return err;
}

/* Columns of all functions, and the row's number. */
static void
columns_make(struct binder *binder, struct source *source)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < source->function_count; i++) {
        count += source->functions[i]->shape->count;
    }
    source->columns = bind_zeroed(binder, (count + 2) * sizeof(*source->columns));
    for (uint32_t i = 0; i < source->function_count; i++) {
        const struct shape *shape = source->functions[i]->shape;

        for (uint32_t j = 0; j < shape->count; j++) {
            source->columns[source->column_count++] =
                (struct source_column){.name = shape->names[j],
                                       .type = shape->types[j],
                                       .typmod = shape->typmods[j],
                                       .is_used = true};
        }
    }
    if (source->has_ordinality) {
        source->columns[source->column_count++] = (struct source_column){
            .name = SLICE("ordinality"), .type = type_by_oid(OID_INT8), .typmod = -1};
    }
}

/* SELECT all columns FROM the source. */
static void
query_over(struct binder *binder, struct source *source, struct query *query)
{
    struct join *from = bind_zeroed(binder, sizeof(*from));

    from->kind = FROM_SOURCE;
    from->source = source;
    query->from = from;
    query->target_count = source->column_count;
    query->targets = bind_zeroed(binder, (source->column_count + 1) * sizeof(*query->targets));
    for (uint32_t i = 0; i < source->column_count; i++) {
        query->targets[i].expr = expr_column(binder->arena, source, i);
        query->targets[i].name = source->columns[i].name;
    }
}

err_t
bind_range_function(struct binder *binder, struct scope *scope, const RangeFunction *node,
                    struct source **source_out)
{
    struct query *query = bind_zeroed(binder, sizeof(*query));
    struct scope inner = {
        .outer = scope, .query = query, .clause = "functions in FROM", .may_set = true};
    struct source *source = source_new(binder, SOURCE_FUNCTION, 0);
    bool is_one = list_length(node->functions) == 1;
    const ListCell *cell;
    err_t err = ERR_OK;

    foreach(cell, node->functions)
    {
        const List *pair = lfirst(cell);
        const Node *function = linitial(pair);
        const List *definitions = lsecond(pair);
        struct slice name = arena_copy(binder->arena, bind_output_name(function));

        source->alias = source->function_count == 0 ? name : source->alias;
        if (is_one && node->alias != NULL) {
            name = bind_text(binder, node->alias->aliasname);
        }
        TRY(function_bind(binder, &inner, function,
                          is_one && node->coldeflist != NIL ? node->coldeflist : definitions, name,
                          source));
    }
    source->has_ordinality = node->ordinality;
    columns_make(binder, source);
    query_over(binder, source, query);
    *source_out = source_of_query(binder, query);
    (*source_out)->alias = source->alias;
out:
    return err;
}
