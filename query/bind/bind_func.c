/* query/bind/bind_func.c - calls of functions and aggregates. */
#include <stdio.h>
#include <string.h>

#include "models/types/sql_error.h"
#include "query/bind/internal.h"

#include "engine/base/poison.h"

/* name(types) for messages. */
static const char *
signature(struct binder *binder, const char *name, struct expr **args, uint32_t count)
{
    struct buf text;
    char *copy;

    buf_init(&text, MEM_SESSIONS);
    buf_printf(&text, "%s(", name);
    for (uint32_t i = 0; i < count; i++) {
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", args[i]->type->display);
    }
    buf_printf(&text, ")");
    copy = arena_printf(binder->arena, "%.*s", (int)text.size, (const char *)text.data);
    buf_fini(&text);
    return copy;
}

static err_t
no_function(struct binder *binder, const char *name, struct expr **args, uint32_t count,
            int location, bool is_ambiguous)
{
    (void)bind_error(binder, location, is_ambiguous ? "42725" : "42883", "function %s %s",
                     signature(binder, name, args, count),
                     is_ambiguous ? "is not unique" : "does not exist");
    return sql_hint(is_ambiguous ? "Could not choose a best candidate function. You might need to "
                                   "add explicit type casts."
                                 : "No function matches the given name and argument types. You "
                                   "might need to add explicit type casts.");
}

/* float8(x), text(x): a type's name with one argument is a cast. */
static err_t
call_as_cast(struct binder *binder, const char *name, struct expr **args, uint32_t count,
             struct expr **expr_out, bool *is_done_out)
{
    const struct type *type =
        count == 1 ? search_type(binder->catalog, binder->search_path, NULL, slice_from_text(name))
                   : NULL;
    const struct function *function;

    *is_done_out = type != NULL && (args[0]->type->oid == OID_UNKNOWN ||
                                    fn_cast(args[0]->type->oid, type->oid, COERCE_EXPLICIT,
                                            &function) != CAST_NONE);
    if (!*is_done_out) {
        return ERR_OK;
    }
    *expr_out = args[0];
    return bind_coerce(binder, expr_out, type, -1, COERCE_EXPLICIT);
}

err_t
bind_call(struct binder *binder, const char *name, struct expr **args, uint32_t count, int location,
          struct expr **expr_out)
{
    oid_t types[FUNCTION_ARGS_MAX * 16] = {0};
    const struct function *function;
    bool is_ambiguous = false, is_done;
    struct expr *expr;
    err_t err;

    if (count > sizeof(types) / sizeof(types[0])) {
        return bind_error(binder, location, "54023",
                          "cannot pass more than %zu arguments to a "
                          "function",
                          sizeof(types) / sizeof(types[0]));
    }
    for (uint32_t i = 0; i < count; i++) {
        types[i] = args[i]->type->oid;
    }
    function = fn_find(name, types, count, &is_ambiguous);
    if (function == NULL) {
        TRY(call_as_cast(binder, name, args, count, expr_out, &is_done));
        return is_done ? ERR_OK : no_function(binder, name, args, count, location, is_ambiguous);
    }
    expr = expr_new(binder->arena, EXPR_CALL, NULL, count, location);
    expr->function = function;
    binder->volatile_count += function->is_volatile;
    if (count > 0) {
        memcpy(expr->args, args, count * sizeof(*args));
    }
    err = bind_arguments(binder, function, expr->args, count, location, &expr->type);
    if (err == ERR_NOT_FOUND) {
        return no_function(binder, name, args, count, location, false);
    }
    *expr_out = expr;
out:
    return err;
}

/* name(..., VARIADIC array): the array's elements are the arguments from there on. */
static err_t
bind_call_variadic(struct binder *binder, const char *name, struct expr **args, uint32_t count,
                   int location, struct expr **expr_out)
{
    struct expr *array = args[count - 1], *call;
    struct expr *last = array;
    err_t err;

    if (array->type->oid == OID_UNKNOWN) {
        TRY(bind_coerce(binder, &array, type_by_oid(OID_TEXT)->array_type, -1, COERCE_IMPLICIT));
    }
    if (array->type->element_type == NULL) {
        return bind_error(binder, array->position, "42804", "VARIADIC argument must be an array");
    }
    /* Chosen by the type of an element, which stands in the array's place. */
    last = expr_new(binder->arena, EXPR_COLUMN, array->type->element_type, 0, array->position);
    last->column.source = UINT32_MAX;
    args[count - 1] = last;
    TRY(bind_call(binder, name, args, count, location, &call));
    if (call->kind != EXPR_CALL || !call->function->is_variadic ||
        call->function->arg_count > count) {
        args[count - 1] = array;
        return no_function(binder, name, args, count, location, false);
    }
    TRY(bind_coerce(binder, &array, call->args[count - 1]->type->array_type, -1, COERCE_IMPLICIT));
    call->args[count - 1] = array;
    call->is_variadic_array = true;
    *expr_out = call;
out:
    return err;
}

/* ---- Aggregates ---- */

static err_t
aggregate_check(struct binder *binder, const struct scope *scope, const FuncCall *call)
{
    if (scope->is_in_aggregate) {
        return bind_error(binder, call->location, "42803",
                          "aggregate function calls cannot be nested");
    }
    if (!scope->may_aggregate) {
        return bind_error(binder, call->location, "42803",
                          "aggregate functions are not allowed in %s",
                          scope->clause != NULL ? scope->clause : "this place");
    }
    return ERR_OK;
}

/* SQL gives an aggregate to the innermost query whose column it takes. One that takes none of its
 * own query (own, outer: the scope's counts before it) but of one around would be of that one. */
static err_t
aggregate_level_check(struct binder *binder, const struct scope *scope, uint32_t own,
                      uint32_t outer, int location)
{
    if (scope->own_references > own || scope->outer_references == outer) {
        return ERR_OK;
    }
    return bind_error(binder, location, "0A000",
                      "aggregates of an outer query's columns alone are not supported yet");
}

/* The type of a result that depends on those of the arguments. */
static err_t
aggregate_result(const struct aggregate *aggregate, const struct type **type_out)
{
    const struct type *types[2], *declared[2];
    err_t err;

    if (!fn_is_polymorphic(aggregate->function->result)) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        types[i] = aggregate->args[i]->type;
        declared[i] = type_by_oid(i == 0 ? aggregate->function->arg : aggregate->function->arg2);
    }
    err = fn_resolve(types, aggregate->arg_count, declared, aggregate->function->result, type_out);
    return err == ERR_NOT_FOUND ? sql_error("42883", "the arguments of an aggregate do not agree")
                                : err;
}

err_t
bind_no_function(struct binder *binder, const char *name, struct expr **args, uint32_t count,
                 int location)
{
    return no_function(binder, name, args, count, location, false);
}

err_t
bind_aggregate_choose(struct binder *binder, const char *name, struct expr **args, uint32_t count,
                      int location, struct expr **expr_out)
{
    struct aggregate *aggregate = bind_zeroed(binder, sizeof(*aggregate));
    const struct type *result;
    oid_t types[2] = {0, 0};
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count && i < 2; i++) {
        TRY(bind_settle(binder, &args[i]));
        types[i] = args[i]->type->oid;
    }
    aggregate->function = count > 2 ? NULL : fn_aggregate(name, types, count);
    if (aggregate->function == NULL) {
        return no_function(binder, name, args, count, location, false);
    }
    aggregate->arg_count = count;
    for (uint32_t i = 0; i < count; i++) {
        oid_t to = i == 0 ? aggregate->function->arg : aggregate->function->arg2;

        aggregate->args[i] = args[i];
        if (to != OID_ANY && !fn_is_polymorphic(to)) {
            TRY(bind_coerce(binder, &aggregate->args[i], type_by_oid(to), -1, COERCE_IMPLICIT));
        }
    }
    result = aggregate->function->result == OID_ANY ? aggregate->args[0]->type
                                                    : type_by_oid(aggregate->function->result);
    TRY(aggregate_result(aggregate, &result));
    if (aggregate->function->result == OID_ANY && result->compare == NULL) {
        return no_function(binder, name, args, count, location, false);
    }
    *expr_out = expr_new(binder->arena, EXPR_AGGREGATE, result, 0, location);
    (*expr_out)->aggregate = aggregate;
out:
    return err;
}

static err_t
aggregate_order(struct binder *binder, struct scope *scope, const FuncCall *call,
                struct aggregate *aggregate)
{
    size_t count = (size_t)list_length(call->agg_order);
    const ListCell *cell;
    err_t err = ERR_OK;

    aggregate->orders = bind_zeroed(binder, (count + 1) * sizeof(*aggregate->orders));
    aggregate->order_flags = bind_zeroed(binder, (count + 1) * sizeof(*aggregate->order_flags));
    foreach(cell, call->agg_order)
    {
        const SortBy *sort = lfirst(cell);
        struct expr **order = &aggregate->orders[aggregate->order_count];
        bool is_argument = false;

        TRY(bind_expr(binder, scope, sort->node, order));
        TRY(bind_settle(binder, order));
        TRY(bind_sort_direction(binder, sort, (*order)->type,
                                &aggregate->order_flags[aggregate->order_count++]));
        for (uint32_t i = 0; i < aggregate->arg_count; i++) {
            is_argument = is_argument || expr_equal(*order, aggregate->args[i]);
        }
        if (aggregate->is_distinct && !is_argument) {
            return bind_error(binder, bind_location(sort->node), "42P10",
                              "in an aggregate with DISTINCT, ORDER BY expressions must appear in "
                              "argument list");
        }
    }
out:
    return err;
}

/* ---- WITHIN GROUP ---- */

static const struct ordered_function {
    const char *name;
    enum ordered_kind kind;
    oid_t result; /* 0: of what is sorted. */
} ordered_functions[] = {
    {"percentile_cont", ORDERED_PERCENTILE_CONT, 0},
    {"percentile_disc", ORDERED_PERCENTILE_DISC, 0},
    {"mode", ORDERED_MODE, 0},
    {"rank", ORDERED_RANK, OID_INT8},
    {"dense_rank", ORDERED_DENSE_RANK, OID_INT8},
    {"percent_rank", ORDERED_PERCENT_RANK, OID_FLOAT8},
    {"cume_dist", ORDERED_CUME_DIST, OID_FLOAT8},
};

static const struct ordered_function *
ordered_find(const char *name)
{
    for (size_t i = 0; i < sizeof(ordered_functions) / sizeof(ordered_functions[0]); i++) {
        if (strcmp(ordered_functions[i].name, name) == 0) {
            return &ordered_functions[i];
        }
    }
    return NULL;
}

/* The direct arguments' types: a fraction, or those of what is sorted. */
static err_t
ordered_fit(struct binder *binder, const FuncCall *call, const struct ordered_function *function,
            struct aggregate *aggregate)
{
    uint32_t wanted = function->kind == ORDERED_MODE   ? 0
                      : function->kind >= ORDERED_RANK ? aggregate->order_count
                                                       : 1;
    err_t err = ERR_OK;

    if (aggregate->direct_count != wanted ||
        (function->kind < ORDERED_RANK && aggregate->order_count != 1)) {
        return no_function(binder, function->name, aggregate->direct, aggregate->direct_count,
                           call->location, false);
    }
    for (uint32_t i = 0; i < wanted; i++) {
        const struct type *type;
        struct expr *same[2] = {aggregate->direct[i], aggregate->orders[i]};

        if (function->kind < ORDERED_RANK) {
            TRY(bind_coerce(binder, &aggregate->direct[i], type_by_oid(OID_FLOAT8), -1,
                            COERCE_IMPLICIT));
            continue;
        }
        TRY(bind_common(binder, "WITHIN GROUP", same, 2, &type));
        aggregate->direct[i] = same[0];
        aggregate->orders[i] = same[1];
    }
    if (function->kind == ORDERED_PERCENTILE_CONT &&
        aggregate->orders[0]->type->rep != REP_INTERVAL) {
        err = bind_coerce(binder, &aggregate->orders[0], type_by_oid(OID_FLOAT8), -1,
                          COERCE_IMPLICIT);
    }
out:
    return err;
}

static err_t
ordered_bind(struct binder *binder, struct scope *scope, const FuncCall *call, const char *name,
             struct expr **args, uint32_t count, struct expr **expr_out)
{
    const struct ordered_function *function = ordered_find(name);
    struct aggregate *aggregate = bind_zeroed(binder, sizeof(*aggregate));
    err_t err;

    TRY(aggregate_order(binder, scope, call, aggregate));
    if (function == NULL) { /* What is sorted counts among its arguments. */
        struct expr **all =
            bind_zeroed(binder, (count + aggregate->order_count + 1) * sizeof(*all));

        for (uint32_t i = 0; i < count + aggregate->order_count; i++) {
            all[i] = i < count ? args[i] : aggregate->orders[i - count];
        }
        return no_function(binder, name, all, count + aggregate->order_count, call->location,
                           false);
    }
    aggregate->ordered = function->kind;
    aggregate->direct = args;
    aggregate->direct_count = count;
    TRY(ordered_fit(binder, call, function, aggregate));
    if (call->agg_filter != NULL) {
        TRY(bind_condition(binder, scope, call->agg_filter, "argument of FILTER",
                           &aggregate->filter));
    }
    *expr_out =
        expr_new(binder->arena, EXPR_AGGREGATE,
                 function->result != 0 ? type_by_oid(function->result) : aggregate->orders[0]->type,
                 0, call->location);
    (*expr_out)->aggregate = aggregate;
out:
    return err;
}

static err_t
aggregate_bind(struct binder *binder, struct scope *scope, const FuncCall *call, const char *name,
               struct expr **args, uint32_t count, struct expr **expr_out)
{
    err_t err;

    TRY(bind_aggregate_choose(binder, name, args, count, call->location, expr_out));
    (*expr_out)->aggregate->is_distinct = call->agg_distinct;
    TRY(aggregate_order(binder, scope, call, (*expr_out)->aggregate));
    if (call->agg_filter != NULL) {
        TRY(bind_condition(binder, scope, call->agg_filter, "argument of FILTER",
                           &(*expr_out)->aggregate->filter));
    }
out:
    return err;
}

/* The same call twice is computed once. */
static bool
aggregates_equal(const struct aggregate *a, const struct aggregate *b)
{
    if (a->function != b->function || a->is_distinct != b->is_distinct ||
        a->ordered != ORDERED_NONE || b->ordered != ORDERED_NONE || a->order_count > 0 ||
        b->order_count > 0 || (a->filter == NULL) != (b->filter == NULL) ||
        (a->filter != NULL && !expr_equal(a->filter, b->filter))) {
        return false;
    }
    for (uint32_t i = 0; i < a->arg_count; i++) {
        if (!expr_equal(a->args[i], b->args[i])) {
            return false;
        }
    }
    return true;
}

static void
aggregate_note(struct binder *binder, struct query *query, struct expr **expr)
{
    struct expr **grown;

    for (uint32_t i = 0; i < query->aggregate_count; i++) {
        if (query->aggregates[i]->type == (*expr)->type &&
            aggregates_equal(query->aggregates[i]->aggregate, (*expr)->aggregate)) {
            (*expr)->aggregate = query->aggregates[i]->aggregate;
            return;
        }
    }
    grown = arena_alloc(binder->arena, (query->aggregate_count + 1) * sizeof(*grown));
    if (query->aggregate_count > 0) {
        memcpy(grown, query->aggregates, query->aggregate_count * sizeof(*grown));
    }
    grown[query->aggregate_count++] = *expr;
    query->aggregates = grown;
    query->is_grouped = true;
}

/* The name by which the table has the function: those of Orbit's own schemas with the schema. */
static const char *
function_name(struct binder *binder, const FuncCall *call)
{
    static const char *const schemas[] = {"orbit", "redis"};
    const char *name = strVal(llast(call->funcname));

    for (size_t i = 0; list_length(call->funcname) > 1 && i < ARRAY_COUNT(schemas); i++) {
        if (strcmp(strVal(linitial(call->funcname)), schemas[i]) == 0) {
            size_t size = strlen(schemas[i]) + strlen(name) + 2;
            char *full = arena_alloc(binder->arena, size);

            (void)snprintf(full, size, "%s.%s", schemas[i], name);
            return full;
        }
    }
    return name;
}

err_t
bind_func(struct binder *binder, struct scope *scope, const FuncCall *call, struct expr **expr_out)
{
    const char *name = function_name(binder, call);
    bool is_aggregate = fn_is_aggregate(name) || call->agg_within_group;
    uint32_t count = (uint32_t)list_length(call->args);
    struct expr **args = arena_alloc(binder->arena, count * sizeof(*args));
    uint32_t own = scope->own_references, outer = scope->outer_references;
    err_t err = ERR_OK;

    if (call->over != NULL) {
        return bind_window_call(binder, scope, call, expr_out);
    }
    if (bind_is_window_function(name) && !call->agg_within_group) {
        return bind_error(binder, call->location, "42809",
                          "window function %s requires an OVER clause", name);
    }
    if (is_aggregate) {
        TRY(aggregate_check(binder, scope, call));
        scope->is_in_aggregate = true;
    }
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        err = bind_expr(binder, scope, list_nth(call->args, (int)i), &args[i]);
    }
    if (err == ERR_OK && is_aggregate) {
        err = call->agg_within_group
                  ? ordered_bind(binder, scope, call, name, args, count, expr_out)
                  : aggregate_bind(binder, scope, call, name, args, count, expr_out);
    }
    if (is_aggregate) {
        scope->is_in_aggregate = false;
        TRY(err);
        TRY(aggregate_level_check(binder, scope, own, outer, call->location));
        aggregate_note(binder, scope->query, expr_out);
        return ERR_OK;
    }
    TRY(err);
    TRY(call->func_variadic
            ? bind_call_variadic(binder, name, args, count, call->location, expr_out)
            : bind_call(binder, name, args, count, call->location, expr_out));
    if ((*expr_out)->kind == EXPR_CALL && (*expr_out)->function->set != NULL) {
        err = bind_set_call(binder, scope, *expr_out);
    }
out:
    return err;
}
