/* query/plan/set.c - functions that return rows in lists of SELECT.
 *
 * Those whose arguments hold no other run first, side by side, in one operator; then those that
 * take their results, and so on. What is above them reads columns. */
#include "query/plan/internal.h"

#include "engine/base/poison.h"

static bool
is_set(const struct expr *expr)
{
    return expr->kind == EXPR_CALL && expr->function->set != NULL;
}

static bool
has_set(const struct expr *expr)
{
    if (is_set(expr)) {
        return true;
    }
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        if (has_set(expr->args[i])) {
            return true;
        }
    }
    return false;
}

/* The calls of one level. */
struct level {
    struct planner *planner;
    struct plan *input;
    struct expr **calls;
    uint32_t count, capacity;
    uint32_t first; /* Number of the first one's column, among all levels. */
};

static err_t
call_take(struct level *level, struct expr **expr)
{
    struct expr *column = plan_zeroed(level->planner, sizeof(*column));
    err_t err;

    if (level->count == level->capacity) {
        uint32_t capacity = MAX(8U, level->capacity * 2);
        struct expr **larger = plan_zeroed(level->planner, capacity * sizeof(*larger));

        if (level->count > 0) {
            memcpy(larger, level->calls, level->count * sizeof(*larger));
        }
        level->calls = larger;
        level->capacity = capacity;
    }
    err = plan_resolve(level->planner, level->input, *expr, &level->calls[level->count]);
    column->kind = EXPR_COLUMN;
    column->type = (*expr)->type;
    column->typmod = (*expr)->typmod;
    column->position = (*expr)->position;
    column->column.source = SOURCE_SETS;
    column->column.column = level->first + level->count++;
    *expr = column;
    return err;
}

static err_t
calls_take(struct level *level, struct expr **expr)
{
    err_t err = ERR_OK;
    bool is_innermost = is_set(*expr);

    for (uint32_t i = 0; err == ERR_OK && i < (*expr)->arg_count; i++) {
        if (has_set((*expr)->args[i])) {
            is_innermost = false;
            err = calls_take(level, &(*expr)->args[i]);
        }
    }
    return err == ERR_OK && is_innermost ? call_take(level, expr) : err;
}

err_t
plan_sets(struct planner *planner, struct expr **const *exprs, uint32_t count, struct plan **plan)
{
    uint32_t first = 0;
    err_t err = ERR_OK;

    for (;;) {
        struct level level = {.planner = planner, .input = *plan, .first = first};
        struct plan *added;

        for (uint32_t i = 0; i < count; i++) {
            TRY(has_set(*exprs[i]) ? calls_take(&level, exprs[i]) : ERR_OK);
        }
        if (level.count == 0) {
            return ERR_OK;
        }
        added = plan_new(planner, PLAN_PROJECT_SET, *plan, (*plan)->column_count + level.count);
        memcpy(added->columns, (*plan)->columns, (*plan)->column_count * sizeof(*added->columns));
        added->exprs = level.calls;
        added->expr_count = level.count;
        for (uint32_t i = 0; i < level.count; i++) {
            added->columns[(*plan)->column_count + i] = (struct plan_column){
                .source = SOURCE_SETS, .column = first + i, .type = level.calls[i]->type};
        }
        first += level.count;
        *plan = added;
    }
out:
    return err;
}
