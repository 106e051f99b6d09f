/* query/exec/ordered.c - aggregates over sorted rows. */
#include "query/exec/ordered.h"

#include <math.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

bool
ordered_is_wanted(const struct aggregate *aggregate)
{
    return aggregate->ordered != ORDERED_NONE || aggregate->order_count > 0 ||
           (aggregate->is_distinct && aggregate->function->takes_nulls);
}

uint32_t
ordered_columns(const struct aggregate *aggregate)
{
    return aggregate->arg_count + aggregate->order_count + aggregate->direct_count;
}

const struct expr *
ordered_column(const struct aggregate *aggregate, uint32_t column)
{
    if (column < aggregate->arg_count) {
        return aggregate->args[column];
    }
    column -= aggregate->arg_count;
    return column < aggregate->order_count ? aggregate->orders[column]
                                           : aggregate->direct[column - aggregate->order_count];
}

void
ordered_add(struct ordered_rows *rows, const struct aggregate *aggregate,
            const struct vector *columns, uint32_t row, struct arena *arena)
{
    uint32_t count = ordered_columns(aggregate);
    struct kept_row *kept;

    if (rows->count == rows->capacity) {
        uint32_t capacity = MAX(8U, rows->capacity * 2);
        struct kept_row *larger = arena_alloc(arena, capacity * sizeof(*larger));

        if (rows->count > 0) {
            memcpy(larger, rows->rows, rows->count * sizeof(*larger));
        }
        rows->rows = larger;
        rows->capacity = capacity;
    }
    kept = &rows->rows[rows->count++];
    kept->values = arena_alloc(arena, (count + 1) * sizeof(*kept->values));
    kept->nulls = arena_alloc(arena, count + 1);
    for (uint32_t i = 0; i < count; i++) {
        kept->nulls[i] = vector_is_null(&columns[i], row);
        kept->values[i] = kept->nulls[i] != 0 ? datum_int(0)
                                              : type_copy(ordered_column(aggregate, i)->type,
                                                          vector_value(&columns[i], row), arena);
    }
}

/* ---- Order ---- */

static int
values_order(const struct type *type, const struct kept_row *a, uint32_t a_column,
             const struct kept_row *b, uint32_t b_column, const struct order *order)
{
    bool a_null = a->nulls[a_column] != 0, b_null = b->nulls[b_column] != 0;
    int result;

    if (a_null || b_null) {
        result = a_null - b_null;
        return order != NULL && order->nulls_first ? -result : result;
    }
    result =
        type->compare != NULL ? type->compare(type, a->values[a_column], b->values[b_column]) : 0;
    return order != NULL && order->is_descending ? -result : result;
}

/* By ORDER BY; then, for DISTINCT, by the arguments. */
static int
rows_order(const struct aggregate *aggregate, const struct kept_row *a, const struct kept_row *b)
{
    int result = 0;

    for (uint32_t i = 0; result == 0 && i < aggregate->order_count; i++) {
        uint32_t column = aggregate->arg_count + i;

        result = values_order(aggregate->orders[i]->type, a, column, b, column,
                              &aggregate->order_flags[i]);
    }
    for (uint32_t i = 0; result == 0 && aggregate->is_distinct && i < aggregate->arg_count; i++) {
        result = values_order(aggregate->args[i]->type, a, i, b, i, NULL);
    }
    return result;
}

static err_t
rows_sort(struct exec *exec, struct ordered_rows *rows, const struct aggregate *aggregate)
{
    size_t bytes = (rows->count + 1) * sizeof(*rows->rows);
    struct kept_row *spare = mem_alloc(MEM_SESSIONS, bytes), *from = rows->rows, *to = spare;
    err_t err = ERR_OK;

    for (uint64_t width = 1; err == ERR_OK && width < rows->count; width *= 2) {
        struct kept_row *swapped = from;

        for (uint64_t start = 0; err == ERR_OK && start < rows->count; start += 2 * width) {
            uint64_t middle = MIN(start + width, (uint64_t)rows->count);
            uint64_t end = MIN(start + 2 * width, (uint64_t)rows->count);
            uint64_t a = start, b = middle;

            for (uint64_t at = start; at < end; at++) {
                bool takes_a =
                    a < middle && (b >= end || rows_order(aggregate, &from[a], &from[b]) <= 0);

                to[at] = takes_a ? from[a++] : from[b++];
                if (at % BATCH_ROWS_MAX == 0 && err == ERR_OK) {
                    err = exec_work(exec, BATCH_ROWS_MAX);
                }
            }
        }
        from = to;
        to = swapped;
    }
    if (from != rows->rows && rows->count > 0) {
        memcpy(rows->rows, from, rows->count * sizeof(*rows->rows));
    }
    mem_free(MEM_SESSIONS, spare, bytes);
    return err;
}

static bool
arguments_equal(const struct aggregate *aggregate, const struct kept_row *a,
                const struct kept_row *b)
{
    for (uint32_t i = 0; i < aggregate->arg_count; i++) {
        if (values_order(aggregate->args[i]->type, a, i, b, i, NULL) != 0) {
            return false;
        }
    }
    return true;
}

/* ---- WITHIN GROUP ---- */

/* Where in the sorted values the fraction lies. */
static err_t
fraction_check(double fraction)
{
    return fraction < 0 || fraction > 1 || isnan(fraction)
               ? sql_error("22003", "percentile value %g is not between 0 and 1", fraction)
               : ERR_OK;
}

static uint32_t
known_rows(const struct ordered_rows *rows)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < rows->count; i++) {
        count += rows->rows[i].nulls[0] == 0;
    }
    return count;
}

/* Rows without a null, in their order. */
static const struct kept_row *
known_row(const struct ordered_rows *rows, uint32_t number)
{
    for (uint32_t i = 0; i < rows->count; i++) {
        if (rows->rows[i].nulls[0] == 0 && number-- == 0) {
            return &rows->rows[i];
        }
    }
    return NULL;
}

static struct datum
between(const struct type *type, struct datum low, struct datum high, double part)
{
    struct datum result = {0};

    if (type->rep == REP_INTERVAL) {
        double us =
            (double)low.interval.us +
            part *
                ((double)high.interval.us - (double)low.interval.us +
                 86400e6 * ((double)high.interval.days - (double)low.interval.days +
                            30.0 * ((double)high.interval.months - (double)low.interval.months)));

        result.interval = low.interval;
        result.interval.us = (int64_t)us;
        return result;
    }
    result.f = low.f + part * (high.f - low.f);
    return result;
}

static err_t
percentile(const struct ordered_rows *rows, const struct aggregate *aggregate, struct call *call,
           struct datum *out)
{
    uint32_t count = known_rows(rows);
    const struct kept_row *low, *high;
    double fraction, at;

    call->is_null = count == 0 || rows->rows[0].nulls[1] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    fraction = rows->rows[0].values[1].f;
    if (fraction_check(fraction) != ERR_OK) {
        return ERR_SQL;
    }
    if (aggregate->ordered == ORDERED_PERCENTILE_DISC) {
        at = ceil(fraction * count);
        *out = known_row(rows, at < 1 ? 0 : (uint32_t)at - 1)->values[0];
        return ERR_OK;
    }
    at = fraction * (count - 1);
    low = known_row(rows, (uint32_t)floor(at));
    high = known_row(rows, (uint32_t)ceil(at));
    *out = low == high ? low->values[0]
                       : between(aggregate->orders[0]->type, low->values[0], high->values[0],
                                 at - floor(at));
    return ERR_OK;
}

/* The value that is there most often; the first of those. */
static void
mode(const struct ordered_rows *rows, const struct aggregate *aggregate, struct call *call,
     struct datum *out)
{
    uint32_t best = 0, run = 0;

    call->is_null = true;
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct kept_row *row = &rows->rows[i];
        bool goes_on = i > 0 && values_order(aggregate->orders[0]->type, row, 0, &rows->rows[i - 1],
                                             0, NULL) == 0;

        run = goes_on ? run + 1 : 1;
        if (row->nulls[0] == 0 && run > best) {
            best = run;
            *out = row->values[0];
            call->is_null = false;
        }
    }
}

/* Where the row of the direct arguments would stand. */
static void
hypothetical(const struct ordered_rows *rows, const struct aggregate *aggregate, struct datum *out)
{
    uint32_t before = 0, groups = 0, not_behind = 0;

    for (uint32_t i = 0; i < rows->count; i++) {
        const struct kept_row *row = &rows->rows[i];
        bool is_new = i == 0 || rows_order(aggregate, row, &rows->rows[i - 1]) != 0;
        int order = 0;

        for (uint32_t j = 0; order == 0 && j < aggregate->order_count; j++) {
            order = values_order(aggregate->orders[j]->type, row, j, row,
                                 aggregate->order_count + j, &aggregate->order_flags[j]);
        }
        before += order < 0;
        groups += order < 0 && is_new;
        not_behind += order <= 0;
    }
    switch (aggregate->ordered) {
    case ORDERED_RANK:
        out->i = before + 1;
        break;
    case ORDERED_DENSE_RANK:
        out->i = groups + 1;
        break;
    case ORDERED_PERCENT_RANK:
        out->f = rows->count > 0 ? (double)before / rows->count : 0;
        break;
    default:
        out->f = (double)(not_behind + 1) / (rows->count + 1);
        break;
    }
}

/* ---- Results ---- */

static err_t
function_run(struct exec *exec, const struct ordered_rows *rows, const struct aggregate *aggregate,
             struct call *call, struct datum *out)
{
    const struct aggregate_function *function = aggregate->function;
    void *state = arena_alloc(call->arena, function->state_bytes + 16);
    const struct kept_row *before = NULL;
    err_t err = ERR_OK;

    function->init(state);
    for (uint32_t i = 0; i < rows->count; i++) {
        const struct kept_row *row = &rows->rows[i];
        bool is_skipped =
            aggregate->is_distinct && before != NULL && arguments_equal(aggregate, before, row);

        for (uint32_t j = 0; j < aggregate->arg_count; j++) {
            is_skipped = is_skipped || (row->nulls[j] != 0 && !function->takes_nulls);
        }
        if (is_skipped) {
            continue;
        }
        before = row;
        call->nulls = row->nulls;
        TRY(function->add(state, call, row->values));
    }
    TRY(exec_work(exec, rows->count));
    err = function->get(state, call, out);
out:
    return err;
}

err_t
ordered_finish(struct exec *exec, struct ordered_rows *rows, const struct aggregate *aggregate,
               struct call *call, struct datum *out)
{
    err_t err = rows_sort(exec, rows, aggregate);

    if (err != ERR_OK) {
        return err;
    }
    switch (aggregate->ordered) {
    case ORDERED_NONE:
        return function_run(exec, rows, aggregate, call, out);
    case ORDERED_PERCENTILE_CONT:
    case ORDERED_PERCENTILE_DISC:
        return percentile(rows, aggregate, call, out);
    case ORDERED_MODE:
        mode(rows, aggregate, call, out);
        return ERR_OK;
    default:
        hypothetical(rows, aggregate, out);
        return ERR_OK;
    }
}
