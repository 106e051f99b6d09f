/* query/plan/window.c - window functions: for each window its keys as columns, a sort by them, and
 * an operator that adds a column for each call. */
#include "query/plan/internal.h"

#include "engine/base/poison.h"

struct calls {
    struct planner *planner;
    const struct query *query;
    uint32_t window;
    uint32_t next; /* Number of the next column. */
    uint32_t count, capacity;
    struct expr **calls;
};

static void
call_take(struct calls *calls, struct expr **place)
{
    struct expr *column = plan_zeroed(calls->planner, sizeof(*column));

    if (calls->count == calls->capacity) {
        uint32_t capacity = MAX(8U, calls->capacity * 2);
        struct expr **larger = plan_zeroed(calls->planner, capacity * sizeof(*larger));

        if (calls->count > 0) {
            memcpy(larger, calls->calls, calls->count * sizeof(*larger));
        }
        calls->calls = larger;
        calls->capacity = capacity;
    }
    calls->calls[calls->count++] = *place;
    column->kind = EXPR_COLUMN;
    column->type = (*place)->type;
    column->typmod = (*place)->typmod;
    column->position = (*place)->position;
    column->column.source = SOURCE_WINDOWS;
    column->column.column = calls->next++;
    *place = column;
}

/* Calls over the window become columns. */
static void
calls_take(struct calls *calls, struct expr **place)
{
    if ((*place)->kind == EXPR_WINDOW) {
        if ((*place)->window_call->window == calls->window) {
            call_take(calls, place);
        }
        return;
    }
    for (uint32_t i = 0; i < (*place)->arg_count; i++) {
        calls_take(calls, &(*place)->args[i]);
    }
}

static struct expr *
input_column(struct planner *planner, const struct plan *input, uint32_t column)
{
    struct expr *expr = plan_zeroed(planner, sizeof(*expr));

    expr->kind = EXPR_COLUMN;
    expr->type = input->columns[column].type;
    expr->typmod = -1;
    expr->position = -1;
    expr->column.source = SOURCE_RESOLVED;
    expr->column.column = column;
    return expr;
}

/* The input's columns, then the window's keys. */
static err_t
keys_project(struct planner *planner, const struct window *window, struct plan **plan)
{
    uint32_t before = (*plan)->column_count;
    uint32_t keys = window->partition_count + window->order_count;
    struct plan *project = plan_new(planner, PLAN_PROJECT, *plan, before + keys);
    err_t err = ERR_OK;

    project->expr_count = before + keys;
    project->exprs = plan_zeroed(planner, (before + keys + 1) * sizeof(*project->exprs));
    for (uint32_t i = 0; i < before; i++) {
        project->columns[i] = (*plan)->columns[i];
        project->exprs[i] = input_column(planner, *plan, i);
    }
    for (uint32_t i = 0; i < keys; i++) {
        const struct expr *key = i < window->partition_count
                                     ? window->partition[i]
                                     : window->orders[i - window->partition_count];

        TRY(plan_resolve(planner, *plan, key, &project->exprs[before + i]));
        project->columns[before + i] =
            (struct plan_column){.source = SOURCE_WINDOWS, .column = UINT32_MAX, .type = key->type};
    }
    *plan = project;
out:
    return err;
}

static void
keys_sort(struct planner *planner, const struct window *window, uint32_t first, struct plan **plan)
{
    uint32_t count = window->partition_count + window->order_count;
    struct plan *sort;

    if (count == 0) {
        return;
    }
    sort = plan_above(planner, PLAN_SORT, *plan);
    sort->keys = plan_zeroed(planner, count * sizeof(*sort->keys));
    sort->key_column_count = count;
    for (uint32_t i = 0; i < count; i++) {
        sort->keys[i].column = first + i;
        if (i >= window->partition_count) {
            const struct order *order = &window->order_flags[i - window->partition_count];

            sort->keys[i].is_descending = order->is_descending;
            sort->keys[i].nulls_first = order->nulls_first;
        }
    }
    *plan = sort;
}

static err_t
window_copy(struct planner *planner, const struct plan *input, const struct window *window,
            struct window **out)
{
    struct window *copy = plan_zeroed(planner, sizeof(*copy));
    err_t err = ERR_OK;

    *copy = *window;
    if (window->start_offset != NULL) {
        TRY(plan_resolve(planner, input, window->start_offset, &copy->start_offset));
    }
    if (window->end_offset != NULL) {
        TRY(plan_resolve(planner, input, window->end_offset, &copy->end_offset));
    }
    *out = copy;
out:
    return err;
}

static err_t
window_add(struct calls *calls, const struct window *window, struct plan **plan)
{
    struct planner *planner = calls->planner;
    uint32_t first_key = (*plan)->column_count, first = calls->next - calls->count;
    struct window *copy = NULL;
    struct plan *added;
    err_t err;

    TRY(keys_project(planner, window, plan));
    keys_sort(planner, window, first_key, plan);
    added = plan_new(planner, PLAN_WINDOW, *plan, (*plan)->column_count + calls->count);
    memcpy(added->columns, (*plan)->columns, (*plan)->column_count * sizeof(*added->columns));
    added->expr_count = calls->count;
    added->exprs = plan_zeroed(planner, (calls->count + 1) * sizeof(*added->exprs));
    for (uint32_t i = 0; i < calls->count; i++) {
        TRY(plan_resolve(planner, *plan, calls->calls[i], &added->exprs[i]));
        added->columns[(*plan)->column_count + i] = (struct plan_column){
            .source = SOURCE_WINDOWS, .column = first + i, .type = calls->calls[i]->type};
    }
    TRY(window_copy(planner, *plan, window, &copy));
    added->window = copy;
    added->first_key = first_key;
    *plan = added;
out:
    return err;
}

err_t
plan_windows(struct planner *planner, const struct query *query, struct plan **plan)
{
    struct calls calls = {.planner = planner, .query = query};
    err_t err = ERR_OK;

    /* The first is computed last, so that rows come in its order. */
    for (uint32_t i = query->window_count; i-- > 0;) {
        calls.window = i;
        calls.count = 0;
        for (uint32_t j = 0; j < query->target_count; j++) {
            calls_take(&calls, &query->targets[j].expr);
        }
        if (calls.count > 0) {
            TRY(window_add(&calls, query->windows[i], plan));
        }
    }
out:
    return err;
}
