/* query/bind/bind_window.c - window functions: calls with OVER, windows, frames. */
#include "query/bind/internal.h"

#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- The functions ---- */

struct window_function {
    const char *name;
    enum window_kind kind;
    uint8_t args_min, args_max;
    oid_t result; /* 0: of the first argument. */
};

static const struct window_function functions[] = {
    {"row_number", WINDOW_ROW_NUMBER, 0, 0, OID_INT8},
    {"rank", WINDOW_RANK, 0, 0, OID_INT8},
    {"dense_rank", WINDOW_DENSE_RANK, 0, 0, OID_INT8},
    {"percent_rank", WINDOW_PERCENT_RANK, 0, 0, OID_FLOAT8},
    {"cume_dist", WINDOW_CUME_DIST, 0, 0, OID_FLOAT8},
    {"ntile", WINDOW_NTILE, 1, 1, OID_INT4},
    {"lag", WINDOW_LAG, 1, 3, 0},
    {"lead", WINDOW_LEAD, 1, 3, 0},
    {"first_value", WINDOW_FIRST_VALUE, 1, 1, 0},
    {"last_value", WINDOW_LAST_VALUE, 1, 1, 0},
    {"nth_value", WINDOW_NTH_VALUE, 2, 2, 0},
};

static const struct window_function *
function_find(const char *name)
{
    for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
        if (strcmp(functions[i].name, name) == 0) {
            return &functions[i];
        }
    }
    return NULL;
}

bool
bind_is_window_function(const char *name)
{
    return function_find(name) != NULL;
}

/* ---- Frames ---- */

static enum frame_bound
bound_of(int options, int unbounded_preceding, int offset_preceding, int current, int following)
{
    if ((options & unbounded_preceding) != 0) {
        return FRAME_UNBOUNDED_PRECEDING;
    }
    if ((options & offset_preceding) != 0) {
        return FRAME_OFFSET_PRECEDING;
    }
    if ((options & current) != 0) {
        return FRAME_CURRENT_ROW;
    }
    return (options & following) != 0 ? FRAME_OFFSET_FOLLOWING : FRAME_UNBOUNDED_FOLLOWING;
}

static bool
has_column(const struct expr *expr)
{
    if (expr->kind == EXPR_COLUMN || expr->kind == EXPR_AGGREGATE) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (has_column(expr->args[i])) {
            return true;
        }
    }
    return false;
}

/* A column of the row that a bound's test works on: candidate, current, offset. */
static struct expr *
test_column(struct binder *binder, const struct type *type, uint32_t column)
{
    struct expr *expr = expr_new(binder->arena, EXPR_COLUMN, type, 0, -1);

    expr->column.source = UINT32_MAX;
    expr->column.column = column;
    return expr;
}

static bool
is_int(const struct type *type)
{
    return type->oid == OID_INT2 || type->oid == OID_INT4 || type->oid == OID_INT8;
}

/* candidate >= current - offset, and its like. Integers are numeric here, and never too large. */
static err_t
range_test(struct binder *binder, const struct window *window, enum frame_bound bound,
           bool is_start, struct expr **offset, struct expr **test_out)
{
    const struct type *key = window->orders[0]->type;
    bool is_descending = window->order_flags[0].is_descending;
    bool adds = (bound == FRAME_OFFSET_FOLLOWING) != is_descending;
    const char *comparison = is_start ? (is_descending ? "<=" : ">=") : (is_descending ? "<" : ">");
    struct expr *candidate, *current, *added, *sum;
    int location = (*offset)->position;
    const struct function *function;
    bool is_ambiguous;
    err_t err;

    if (is_int(key)) {
        TRY(bind_coerce(binder, offset, type_by_oid(OID_NUMERIC), -1, COERCE_IMPLICIT));
    } else if ((*offset)->type->oid == OID_UNKNOWN) {
        TRY(bind_coerce(binder, offset,
                        type_by_oid(key->category == 'D' ? (oid_t)OID_INTERVAL : key->oid), -1,
                        COERCE_IMPLICIT));
    } else if (key->rep == REP_FLOAT || key->rep == REP_NUMERIC) {
        TRY(bind_coerce(binder, offset, key, -1, COERCE_ASSIGNMENT));
    }
    candidate = test_column(binder, key, 0);
    current = test_column(binder, key, 1);
    if (is_int(key)) {
        TRY(bind_coerce(binder, &candidate, type_by_oid(OID_NUMERIC), -1, COERCE_IMPLICIT));
        TRY(bind_coerce(binder, &current, type_by_oid(OID_NUMERIC), -1, COERCE_IMPLICIT));
    }
    added = test_column(binder, (*offset)->type, 2);
    function = fn_operator(adds ? "+" : "-", current->type->oid, added->type->oid, &is_ambiguous);
    if (function == NULL) {
        return bind_error(binder, location, "0A000",
                          "RANGE with offset PRECEDING/FOLLOWING is not supported for column type "
                          "%s%s%s",
                          key->display, is_ambiguous ? "" : " and offset type ",
                          is_ambiguous ? "" : (*offset)->type->display);
    }
    TRY(bind_operator(binder, adds ? "+" : "-", current, added, location, &sum));
    TRY(bind_operator(binder, comparison, candidate, sum, location, test_out));
out:
    return err;
}

static err_t
offset_bind(struct binder *binder, struct scope *scope, const Node *node, struct window *window,
            bool is_start, struct expr **offset_out, struct expr **test_out)
{
    const char *mode = window->mode == FRAME_ROWS     ? "ROWS"
                       : window->mode == FRAME_GROUPS ? "GROUPS"
                                                      : "RANGE";
    enum frame_bound bound = is_start ? window->start : window->end;
    err_t err;

    if (node == NULL) {
        return ERR_OK;
    }
    TRY(bind_expr(binder, scope, node, offset_out));
    if (has_column(*offset_out)) {
        return bind_error(binder, bind_location(node), "42P10",
                          "argument of %s must not contain variables", mode);
    }
    if (window->mode == FRAME_RANGE) {
        err = range_test(binder, window, bound, is_start, offset_out, test_out);
        goto out;
    }
    if ((*offset_out)->type->category != 'N' && (*offset_out)->type->oid != OID_UNKNOWN) {
        return bind_error(binder, bind_location(node), "42804",
                          "argument of %s must be type bigint, not type %s", mode,
                          (*offset_out)->type->display);
    }
    err = bind_coerce(binder, offset_out, type_by_oid(OID_INT8), -1, COERCE_ASSIGNMENT);
out:
    return err;
}

static err_t
frame_bind(struct binder *binder, struct scope *scope, const WindowDef *node, struct window *window)
{
    int options = node->frameOptions;
    bool has_offset = node->startOffset != NULL || node->endOffset != NULL;
    err_t err;

    window->mode = (options & FRAMEOPTION_ROWS) != 0     ? FRAME_ROWS
                   : (options & FRAMEOPTION_GROUPS) != 0 ? FRAME_GROUPS
                                                         : FRAME_RANGE;
    window->start =
        bound_of(options, FRAMEOPTION_START_UNBOUNDED_PRECEDING, FRAMEOPTION_START_OFFSET_PRECEDING,
                 FRAMEOPTION_START_CURRENT_ROW, FRAMEOPTION_START_OFFSET_FOLLOWING);
    window->end =
        bound_of(options, FRAMEOPTION_END_UNBOUNDED_PRECEDING, FRAMEOPTION_END_OFFSET_PRECEDING,
                 FRAMEOPTION_END_CURRENT_ROW, FRAMEOPTION_END_OFFSET_FOLLOWING);
    window->exclusion = (options & FRAMEOPTION_EXCLUDE_CURRENT_ROW) != 0 ? EXCLUDE_CURRENT_ROW
                        : (options & FRAMEOPTION_EXCLUDE_GROUP) != 0     ? EXCLUDE_GROUP
                        : (options & FRAMEOPTION_EXCLUDE_TIES) != 0      ? EXCLUDE_TIES
                                                                         : EXCLUDE_NOTHING;
    if (window->mode == FRAME_RANGE && has_offset && window->order_count != 1) {
        return bind_error(binder, node->location, "42P20",
                          "RANGE with offset PRECEDING/FOLLOWING requires exactly one ORDER BY "
                          "column");
    }
    if (window->mode == FRAME_GROUPS && window->order_count == 0) {
        return bind_error(binder, node->location, "42P20",
                          "GROUPS mode requires an ORDER BY clause");
    }
    TRY(offset_bind(binder, scope, node->startOffset, window, true, &window->start_offset,
                    &window->start_test));
    err = offset_bind(binder, scope, node->endOffset, window, false, &window->end_offset,
                      &window->end_test);
out:
    return err;
}

/* ---- Windows ---- */

static err_t
partition_bind(struct binder *binder, struct scope *scope, const List *list, struct window *window)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    window->partition =
        bind_zeroed(binder, ((size_t)list_length(list) + 1) * sizeof(*window->partition));
    foreach(cell, list)
    {
        struct expr **expr = &window->partition[window->partition_count++];

        TRY(bind_expr(binder, scope, lfirst(cell), expr));
        TRY(bind_settle(binder, expr));
    }
out:
    return err;
}

static err_t
order_bind(struct binder *binder, struct scope *scope, const List *list, struct window *window)
{
    const ListCell *cell;
    err_t err = ERR_OK;

    window->orders = bind_zeroed(binder, ((size_t)list_length(list) + 1) * sizeof(*window->orders));
    window->order_flags =
        bind_zeroed(binder, ((size_t)list_length(list) + 1) * sizeof(*window->order_flags));
    foreach(cell, list)
    {
        struct expr **expr = &window->orders[window->order_count];

        TRY(bind_expr(binder, scope, ((const SortBy *)lfirst(cell))->node, expr));
        TRY(bind_settle(binder, expr));
        TRY(bind_sort_direction(binder, lfirst(cell), (*expr)->type,
                                &window->order_flags[window->order_count]));
        window->order_count++;
    }
out:
    return err;
}

static const WindowDef *
definition_find(const struct scope *scope, const char *name)
{
    const ListCell *cell;

    foreach(cell, scope->window_clause)
    {
        if (strcmp(((const WindowDef *)lfirst(cell))->name, name) == 0) {
            return lfirst(cell);
        }
    }
    return NULL;
}

static err_t
no_window(struct binder *binder, const char *name, int location)
{
    return bind_error(binder, location, "42704", "window \"%s\" does not exist", name);
}

/* The window as the text has it: what it does not say comes from the one that it names. */
static err_t
window_fill(struct binder *binder, struct scope *scope, const WindowDef *node,
            struct window *window)
{
    const WindowDef *base = NULL;
    err_t err = bind_depth_check(binder);

    if (err != ERR_OK) {
        return err;
    }
    if (node->refname != NULL) {
        base = definition_find(scope, node->refname);
        if (base == NULL || base == node) {
            return no_window(binder, node->refname, node->location);
        }
        if (node->partitionClause != NIL) {
            return bind_error(binder, node->location, "42P20",
                              "cannot override PARTITION BY clause of window \"%s\"",
                              node->refname);
        }
        binder->depth++;
        err = window_fill(binder, scope, base, window);
        binder->depth--;
        TRY(err);
        if (node->orderClause != NIL && window->order_count > 0) {
            return bind_error(binder, node->location, "42P20",
                              "cannot override ORDER BY clause of window \"%s\"", node->refname);
        }
        if ((base->frameOptions & FRAMEOPTION_NONDEFAULT) != 0) {
            (void)bind_error(binder, node->location, "42P20",
                             "cannot copy window \"%s\" because it has a frame clause",
                             node->refname);
            return node->orderClause == NIL && (node->frameOptions & FRAMEOPTION_NONDEFAULT) == 0
                       ? sql_hint("Omit the parentheses in this OVER clause.")
                       : ERR_SQL;
        }
    }
    if (base == NULL || node->orderClause != NIL) {
        TRY(order_bind(binder, scope, node->orderClause, window));
    }
    if (base == NULL) {
        TRY(partition_bind(binder, scope, node->partitionClause, window));
    }
    err = frame_bind(binder, scope, node, window);
out:
    return err;
}

static bool
exprs_equal(struct expr *const *a, struct expr *const *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!expr_equal(a[i], b[i])) {
            return false;
        }
    }
    return true;
}

static bool
offsets_equal(const struct expr *a, const struct expr *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || expr_equal(a, b));
}

static bool
windows_equal(const struct window *a, const struct window *b)
{
    return a->partition_count == b->partition_count && a->order_count == b->order_count &&
           a->mode == b->mode && a->start == b->start && a->end == b->end &&
           a->exclusion == b->exclusion && offsets_equal(a->start_offset, b->start_offset) &&
           offsets_equal(a->end_offset, b->end_offset) &&
           exprs_equal(a->partition, b->partition, a->partition_count) &&
           exprs_equal(a->orders, b->orders, a->order_count) &&
           memcmp(a->order_flags, b->order_flags, a->order_count * sizeof(*a->order_flags)) == 0;
}

static err_t
window_find(struct binder *binder, struct scope *scope, const WindowDef *over, uint32_t *number_out)
{
    struct window *window = bind_zeroed(binder, sizeof(*window)), **grown;
    struct query *query = scope->query;
    const WindowDef *node = over;
    err_t err;

    if (over->name != NULL) {
        node = definition_find(scope, over->name);
        if (node == NULL) {
            return no_window(binder, over->name, over->location);
        }
    }
    TRY(window_fill(binder, scope, node, window));
    for (uint32_t i = 0; i < query->window_count; i++) {
        if (windows_equal(query->windows[i], window)) {
            *number_out = i;
            return ERR_OK;
        }
    }
    grown = bind_zeroed(binder, (query->window_count + 1) * sizeof(struct window *));
    if (query->window_count > 0) {
        memcpy(grown, query->windows, query->window_count * sizeof(struct window *));
    }
    grown[query->window_count] = window;
    query->windows = grown;
    *number_out = query->window_count++;
out:
    return err;
}

/* ---- Calls ---- */

static err_t
arguments_fit(struct binder *binder, const struct window_function *function, struct expr **args,
              uint32_t count, const struct type **result_out)
{
    struct expr *same[2];
    err_t err = ERR_OK;

    *result_out = type_by_oid(function->result);
    if (count > 0) {
        TRY(bind_settle(binder, &args[0]));
    }
    if (function->result == 0) {
        *result_out = args[0]->type;
    }
    if (function->kind == WINDOW_NTILE) {
        TRY(bind_coerce(binder, &args[0], type_by_oid(OID_INT4), -1, COERCE_IMPLICIT));
    }
    if (count > 1) {
        TRY(bind_coerce(binder, &args[1], type_by_oid(OID_INT4), -1, COERCE_IMPLICIT));
    }
    if (count > 2) { /* The default's type and the value's become one. */
        same[0] = args[0];
        same[1] = args[2];
        TRY(bind_common(binder, function->name, same, 2, result_out));
        args[0] = same[0];
        args[2] = same[1];
    }
out:
    return err;
}

static err_t
aggregate_fit(struct binder *binder, const FuncCall *call, const char *name, struct expr **args,
              uint32_t count, struct window_call *made, const struct type **result_out)
{
    struct expr *expr;
    err_t err;

    if (call->agg_distinct) {
        return bind_error(binder, call->location, "0A000",
                          "DISTINCT is not implemented for window functions");
    }
    if (call->agg_order != NIL) {
        return bind_error(binder, call->location, "0A000",
                          "aggregate ORDER BY is not implemented for window functions");
    }
    TRY(bind_aggregate_choose(binder, name, args, count, call->location, &expr));
    made->kind = WINDOW_AGGREGATE;
    made->aggregate = expr->aggregate->function;
    for (uint32_t i = 0; i < count; i++) {
        args[i] = expr->aggregate->args[i];
    }
    *result_out = expr->type;
out:
    return err;
}

static err_t
call_check(struct binder *binder, const struct scope *scope, const FuncCall *call)
{
    if (scope->is_in_window) {
        return bind_error(binder, call->location, "42P20",
                          "window function calls cannot be nested");
    }
    if (scope->is_in_aggregate) {
        return bind_error(binder, call->location, "42803",
                          "aggregate function calls cannot contain window function calls");
    }
    if (!scope->may_window) {
        return bind_error(binder, call->location, "42P20", "window functions are not allowed in %s",
                          scope->clause != NULL ? scope->clause : "this place");
    }
    return ERR_OK;
}

static err_t
call_make(struct binder *binder, struct scope *scope, const FuncCall *call, const char *name,
          struct expr **expr_out)
{
    uint32_t count = (uint32_t)list_length(call->args);
    const struct window_function *function = function_find(name);
    struct expr **args = bind_zeroed(binder, (count + 2) * sizeof(*args));
    struct window_call *made = bind_zeroed(binder, sizeof(*made));
    const struct type *type;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        TRY(bind_expr(binder, scope, list_nth(call->args, (int)i), &args[i]));
    }
    if (function != NULL && count >= function->args_min && count <= function->args_max) {
        if (call->agg_filter != NULL) {
            return bind_error(binder, call->location, "0A000",
                              "FILTER is not implemented for non-aggregate window functions");
        }
        made->kind = function->kind;
        TRY(arguments_fit(binder, function, args, count, &type));
    } else if (fn_is_aggregate(name)) {
        TRY(aggregate_fit(binder, call, name, args, count, made, &type));
    } else if (function == NULL && fn_is_known(name)) {
        return bind_error(binder, call->location, "42809",
                          "OVER specified, but %s is not a window function nor an aggregate "
                          "function",
                          name);
    } else {
        return bind_no_function(binder, name, args, count, call->location);
    }
    if (call->agg_filter != NULL) {
        TRY(bind_condition(binder, scope, call->agg_filter, "argument of FILTER", &args[count]));
        made->has_filter = true;
    }
    *expr_out =
        expr_new(binder->arena, EXPR_WINDOW, type, count + made->has_filter, call->location);
    for (uint32_t i = 0; i < (*expr_out)->arg_count; i++) {
        (*expr_out)->args[i] = args[i];
    }
    (*expr_out)->window_call = made;
    err = window_find(binder, scope, call->over, &made->window);
out:
    return err;
}

err_t
bind_window_call(struct binder *binder, struct scope *scope, const FuncCall *call,
                 struct expr **expr_out)
{
    bool may_set = scope->may_set;
    err_t err = call_check(binder, scope, call);

    if (err != ERR_OK) {
        return err;
    }
    scope->is_in_window = true;
    scope->may_set = false;
    err = call_make(binder, scope, call, strVal(llast(call->funcname)), expr_out);
    scope->is_in_window = false;
    scope->may_set = may_set;
    return err;
}
