/* query/exec/eval.c - expressions over batches. */
#include "query/exec/eval.h"
#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "models/types/tuple.h"

#include "engine/base/poison.h"

static bool record_is(struct evaluation *evaluation, struct datum record, bool is_null);

void
vector_make(const struct evaluation *evaluation, struct vector *out)
{
    uint32_t room = evaluation->batch->rows + 1;

    out->values = arena_alloc(evaluation->arena, room * sizeof(*out->values));
    out->nulls = arena_alloc(evaluation->arena, room);
    memset(out->nulls, 0, room);
    out->is_constant = false;
}

static void
constant_make(const struct evaluation *evaluation, struct datum value, bool is_null,
              struct vector *out)
{
    out->values = arena_alloc(evaluation->arena, sizeof(*out->values));
    out->nulls = arena_alloc(evaluation->arena, 1);
    out->values[0] = value;
    out->nulls[0] = is_null;
    out->is_constant = true;
}

err_t
eval_args(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
          uint32_t count, struct vector **args_out)
{
    struct vector *args = arena_alloc(evaluation->arena, (expr->arg_count + 1) * sizeof(*args));
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < expr->arg_count; i++) {
        err = eval_rows(evaluation, expr->args[i], rows, count, &args[i]);
    }
    *args_out = args;
    return err;
}

/* ---- Calls ---- */

struct invocation {
    struct call call;
    const struct function *function;
    const struct vector *args;
    uint32_t arg_count;
    struct datum *values;
    uint8_t *nulls;
};

static void
invocation_init(struct invocation *invocation, const struct evaluation *evaluation,
                const struct expr *expr, const struct function *function, const struct vector *args,
                uint32_t arg_count)
{
    invocation->values =
        arena_alloc(evaluation->arena, (arg_count + 1) * sizeof(*invocation->values));
    invocation->nulls = arena_alloc(evaluation->arena, arg_count + 1);
    invocation->call = (struct call){
        .arena = evaluation->arena,
        .settings = evaluation->exec->settings,
        .env = evaluation->exec->env,
        .expr = expr,
        .nulls = invocation->nulls,
        .arg_count = arg_count,
    };
    invocation->function = function;
    invocation->args = args;
    invocation->arg_count = arg_count;
}

/* The last argument is an array, whose elements are the arguments from there on. */
static err_t
invoke_variadic(struct invocation *invocation, uint32_t row, struct datum *value_out,
                bool *is_null_out)
{
    struct invocation spread = *invocation;
    uint32_t fixed = invocation->arg_count - 1;
    const struct vector *last = &invocation->args[fixed];
    struct array_values elements;
    bool has_null = false;
    err_t err;

    *is_null_out = true;
    *value_out = datum_int(0);
    if (vector_is_null(last, row)) {
        return ERR_OK;
    }
    TRY(array_values_get(invocation->call.expr->args[fixed]->type, vector_value(last, row).bytes,
                         invocation->call.arena, &elements));
    spread.arg_count = fixed + elements.count;
    spread.values =
        arena_alloc(spread.call.arena, (spread.arg_count + 1ULL) * sizeof(*spread.values));
    spread.nulls = arena_alloc(spread.call.arena, spread.arg_count + 1ULL);
    if (spread.values == NULL || spread.nulls == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    for (uint32_t i = 0; i < spread.arg_count; i++) {
        bool is_fixed = i < fixed;

        spread.nulls[i] =
            is_fixed ? vector_is_null(&invocation->args[i], row) : elements.nulls[i - fixed];
        spread.values[i] =
            is_fixed ? vector_value(&invocation->args[i], row) : elements.values[i - fixed];
        has_null = has_null || (is_fixed && spread.nulls[i] != 0);
    }
    if (has_null && invocation->function->is_strict) {
        return ERR_OK;
    }
    spread.call.nulls = spread.nulls;
    spread.call.arg_count = spread.arg_count;
    spread.call.is_null = false;
    err = invocation->function->run(&spread.call, spread.values, value_out);
    *is_null_out = spread.call.is_null;
out:
    return err;
}

static inline err_t
invoke(struct invocation *invocation, uint32_t row, struct datum *value_out, bool *is_null_out)
{
    bool has_null = false;
    err_t err;

    if (invocation->call.expr->is_variadic_array) {
        return invoke_variadic(invocation, row, value_out, is_null_out);
    }
    for (uint32_t i = 0; i < invocation->arg_count; i++) {
        bool is_null = vector_is_null(&invocation->args[i], row);

        invocation->nulls[i] = is_null;
        has_null = has_null || is_null;
        invocation->values[i] = vector_value(&invocation->args[i], row);
    }
    if (has_null && invocation->function->is_strict) {
        *is_null_out = true;
        *value_out = datum_int(0);
        return ERR_OK;
    }
    invocation->call.is_null = false;
    err = invocation->function->run(&invocation->call, invocation->values, value_out);
    *is_null_out = invocation->call.is_null;
    return err;
}

static err_t
eval_call(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
          uint32_t count, struct vector *out)
{
    struct invocation invocation;
    bool is_constant = !expr->function->is_volatile && count > 0;
    struct vector *args;
    struct datum value;
    bool is_null;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    invocation_init(&invocation, evaluation, expr, expr->function, args, expr->arg_count);
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        is_constant = is_constant && args[i].is_constant;
    }
    if (is_constant) {
        TRY(invoke(&invocation, 0, &value, &is_null));
        constant_make(evaluation, value, is_null, out);
        return ERR_OK;
    }
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);

        TRY(invoke(&invocation, row, &value, &is_null));
        value_set(out, row, value, is_null);
    }
out:
    return err;
}

/* ---- Casts through text, lengths ---- */

static err_t
cast_io(struct evaluation *evaluation, const struct expr *expr, struct datum value,
        struct buf *text, struct datum *out)
{
    const struct type *from = expr->args[0]->type;
    const struct type_io io = {
        .arena = evaluation->arena,
        .settings = evaluation->exec->settings,
    };

    buf_clear(text);
    from->output(from, evaluation->exec->settings, value, text);
    return expr->type->input(expr->type, &io, arena_copy(evaluation->arena, buf_slice(text)), -1,
                             out);
}

static err_t
eval_conversion(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
                uint32_t count, struct vector *out)
{
    struct vector from;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    TRY(eval_rows(evaluation, expr->args[0], rows, count, &from));
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        struct datum value = vector_value(&from, row);

        out->nulls[row] = vector_is_null(&from, row);
        if (out->nulls[row] != 0) {
            continue;
        }
        if (expr->kind == EXPR_CAST_IO) {
            TRY(cast_io(evaluation, expr, value, &text, &out->values[row]));
        } else {
            TRY(type_coerce_length(expr->type, value, expr->typmod, expr->is_not_in,
                                   evaluation->arena, &out->values[row]));
        }
    }
out:
    buf_fini(&text);
    return err;
}

/* ---- AND, OR: rows that are decided are not asked again ---- */

static err_t
eval_junction(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
              uint32_t count, struct vector *out)
{
    int64_t deciding = expr->kind == EXPR_OR;
    uint16_t *left = arena_alloc(evaluation->arena, (count + 1) * sizeof(*left));
    uint32_t left_count = count;
    err_t err = ERR_OK;

    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        left[i] = (uint16_t)row_at(rows, i);
        out->values[left[i]] = datum_int(!deciding);
    }
    for (uint32_t arg = 0; arg < expr->arg_count && left_count > 0; arg++) {
        uint32_t kept = 0;
        struct vector value;

        TRY(eval_rows(evaluation, expr->args[arg], left, left_count, &value));
        for (uint32_t i = 0; i < left_count; i++) {
            uint32_t row = left[i];

            if (vector_is_null(&value, row)) {
                out->nulls[row] = 1;
            } else if (vector_value(&value, row).i == deciding) {
                value_set(out, row, datum_int(deciding), false);
                continue;
            }
            left[kept++] = (uint16_t)row;
        }
        left_count = kept;
    }
out:
    return err;
}

/* ---- CASE, COALESCE ---- */

static void
rows_take(struct vector *out, const struct vector *from, const uint16_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        value_set(out, rows[i], vector_value(from, rows[i]), vector_is_null(from, rows[i]));
    }
}

static err_t
eval_case(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
          uint32_t count, struct vector *out)
{
    uint16_t *left = arena_alloc(evaluation->arena, (count + 1) * sizeof(*left));
    uint16_t *chosen = arena_alloc(evaluation->arena, (count + 1) * sizeof(*chosen));
    uint32_t left_count = count, at = 0;
    struct vector value;
    err_t err = ERR_OK;

    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        left[i] = (uint16_t)row_at(rows, i);
    }
    for (; at + 1 < expr->arg_count && left_count > 0; at += 2) {
        uint32_t kept = 0, chosen_count = 0;

        TRY(eval_rows(evaluation, expr->args[at], left, left_count, &value));
        for (uint32_t i = 0; i < left_count; i++) {
            if (!vector_is_null(&value, left[i]) && vector_value(&value, left[i]).i != 0) {
                chosen[chosen_count++] = left[i];
            } else {
                left[kept++] = left[i];
            }
        }
        left_count = kept;
        if (chosen_count > 0) {
            TRY(eval_rows(evaluation, expr->args[at + 1], chosen, chosen_count, &value));
            rows_take(out, &value, chosen, chosen_count);
        }
    }
    if (left_count > 0) {
        TRY(eval_rows(evaluation, expr->args[expr->arg_count - 1], left, left_count, &value));
        rows_take(out, &value, left, left_count);
    }
out:
    return err;
}

static err_t
eval_coalesce(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
              uint32_t count, struct vector *out)
{
    uint16_t *left = arena_alloc(evaluation->arena, (count + 1) * sizeof(*left));
    uint32_t left_count = count;
    err_t err = ERR_OK;

    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        left[i] = (uint16_t)row_at(rows, i);
        out->nulls[left[i]] = 1;
    }
    for (uint32_t arg = 0; arg < expr->arg_count && left_count > 0; arg++) {
        uint32_t kept = 0;
        struct vector value;

        TRY(eval_rows(evaluation, expr->args[arg], left, left_count, &value));
        rows_take(out, &value, left, left_count);
        for (uint32_t i = 0; i < left_count; i++) {
            if (out->nulls[left[i]] != 0) {
                left[kept++] = left[i];
            }
        }
        left_count = kept;
    }
out:
    return err;
}

/* ---- Those that ask all arguments ---- */

static err_t
eval_extreme(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
             uint32_t count, struct vector *out)
{
    int direction = expr->kind == EXPR_GREATEST ? 1 : -1;
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);

        out->nulls[row] = 1;
        for (uint32_t arg = 0; arg < expr->arg_count; arg++) {
            if (!vector_is_null(&args[arg], row) &&
                (out->nulls[row] != 0 ||
                 expr->type->compare(expr->type, vector_value(&args[arg], row), out->values[row]) *
                         direction >
                     0)) {
                value_set(out, row, vector_value(&args[arg], row), false);
            }
        }
    }
out:
    return err;
}

/* Equality of two arguments by the type of the first. */
static bool
are_equal(const struct expr *expr, const struct vector *a, const struct vector *b, uint32_t row,
          uint32_t type_arg)
{
    const struct type *type = expr->args[type_arg]->type;

    return type->compare(type, vector_value(a, row), vector_value(b, row)) == 0;
}

static err_t
eval_in(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
        uint32_t count, struct vector *out)
{
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        bool is_found = false, has_null = vector_is_null(&args[0], row);

        for (uint32_t arg = 1; arg < expr->arg_count && !is_found; arg++) {
            if (vector_is_null(&args[0], row) || vector_is_null(&args[arg], row)) {
                has_null = true;
            } else {
                is_found = are_equal(expr, &args[0], &args[arg], row, 0);
            }
        }
        value_set(out, row, datum_int(is_found != expr->is_not_in), !is_found && has_null);
    }
out:
    return err;
}

static bool
boolean_test(enum boolean_test test, bool is_null, bool value)
{
    switch (test) {
    case TEST_TRUE:
        return !is_null && value;
    case TEST_NOT_TRUE:
        return is_null || !value;
    case TEST_FALSE:
        return !is_null && !value;
    case TEST_NOT_FALSE:
        return is_null || value;
    case TEST_UNKNOWN:
        return is_null;
    case TEST_NOT_UNKNOWN:
        return !is_null;
    }
    return false;
}

static err_t
eval_test(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
          uint32_t count, struct vector *out)
{
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);
        bool is_null = vector_is_null(&args[0], row);
        struct datum value = vector_value(&args[0], row);

        switch (expr->kind) {
        case EXPR_NOT:
            value_set(out, row, datum_int(!value.i), is_null);
            break;
        case EXPR_IS_NULL:
            is_null = is_null || (expr->args[0]->type->oid == OID_RECORD &&
                                  record_is(evaluation, value, true));
            value_set(out, row, datum_int(is_null), false);
            break;
        case EXPR_IS_NOT_NULL:
            is_null = is_null || (expr->args[0]->type->oid == OID_RECORD &&
                                  !record_is(evaluation, value, false));
            value_set(out, row, datum_int(!is_null), false);
            break;
        case EXPR_IS_BOOL:
            value_set(out, row, datum_int(boolean_test(expr->boolean_test, is_null, value.i != 0)),
                      false);
            break;
        case EXPR_DISTINCT: {
            bool other_null = vector_is_null(&args[1], row);

            value_set(out, row,
                      datum_int(is_null || other_null
                                    ? is_null != other_null
                                    : !are_equal(expr, &args[0], &args[1], row, 0)),
                      false);
            break;
        }
        default: /* EXPR_NULLIF: the value, and both sides of the comparison. */
            value_set(out, row, value,
                      is_null ||
                          (!vector_is_null(&args[1], row) && !vector_is_null(&args[2], row) &&
                           are_equal(expr, &args[1], &args[2], row, 1)));
            break;
        }
    }
out:
    return err;
}

/* ---- Rows as values ---- */

static err_t
tuple_make(struct evaluation *evaluation, const struct expr *expr, const struct vector *args,
           uint32_t row, struct vector *out)
{
    struct tuple_writer writer;
    bool is_null = expr->is_whole;

    tuple_begin(&writer, expr->arg_count);
    for (uint32_t i = 0; i < expr->arg_count; i++) {
        tuple_add(&writer, expr->args[i]->type, expr->shape->names[i],
                  vector_is_null(&args[i], row), vector_value(&args[i], row));
        is_null = is_null && vector_is_null(&args[i], row);
    }
    value_set(out, row, datum_bytes(tuple_end(&writer, evaluation->arena)), is_null);
    return ERR_OK;
}

static err_t
tuple_field(struct evaluation *evaluation, const struct expr *expr, const struct vector *record,
            uint32_t row, struct vector *out)
{
    struct tuple_reader reader;
    struct tuple_field field = {.is_null = true};
    err_t err = ERR_OK;

    value_set(out, row, datum_int(0), true);
    if (vector_is_null(record, row)) {
        return ERR_OK;
    }
    TRY(tuple_open(vector_value(record, row).bytes, &reader));
    for (uint32_t i = 0; i <= expr->param && reader.fields > 0; i++) {
        TRY(tuple_next(&reader, evaluation->arena, &field));
    }
    value_set(out, row, field.value, field.is_null);
out:
    return err;
}

static err_t
eval_tuple(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
           uint32_t count, struct vector *out)
{
    struct vector *args;
    err_t err;

    TRY(eval_args(evaluation, expr, rows, count, &args));
    vector_make(evaluation, out);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = row_at(rows, i);

        TRY(expr->kind == EXPR_ROW ? tuple_make(evaluation, expr, args, row, out)
                                   : tuple_field(evaluation, expr, args, row, out));
    }
out:
    return err;
}

/* A record is null when all its fields are; it is not null when none is. */
static bool
record_is(struct evaluation *evaluation, struct datum record, bool is_null)
{
    struct tuple_reader reader;
    struct tuple_field field;
    err_t err = tuple_open(record.bytes, &reader);

    while (err == ERR_OK && reader.fields > 0) {
        err = tuple_next(&reader, evaluation->arena, &field);
        if (err == ERR_OK && field.is_null != is_null) {
            return false;
        }
    }
    return true;
}

/* ---- All ---- */

static err_t
eval_param(struct evaluation *evaluation, const struct expr *expr, struct vector *out)
{
    struct exec *exec = evaluation->exec;

    if (expr->kind == EXPR_OUTER) {
        constant_make(evaluation, exec->outers[expr->param], exec->outer_nulls[expr->param] != 0,
                      out);
        return ERR_OK;
    }
    if (expr->param >= exec->param_count) {
        return sql_error("42P02", "there is no parameter $%u", expr->param + 1);
    }
    constant_make(evaluation, exec->params[expr->param], exec->param_nulls[expr->param] != 0, out);
    return ERR_OK;
}

err_t
eval_rows(struct evaluation *evaluation, const struct expr *expr, const uint16_t *rows,
          uint32_t count, struct vector *out)
{
    err_t err = sql_stack_check();

    if (err != ERR_OK) {
        return err;
    }
    switch (expr->kind) {
    case EXPR_CONST:
        constant_make(evaluation, expr->constant.value, expr->constant.is_null, out);
        return ERR_OK;
    case EXPR_COLUMN:
        ASSERT(expr->column.column < evaluation->batch->column_count);
        *out = evaluation->batch->columns[expr->column.column];
        return ERR_OK;
    case EXPR_PARAM:
    case EXPR_OUTER:
        return eval_param(evaluation, expr, out);
    case EXPR_CALL:
        return eval_call(evaluation, expr, rows, count, out);
    case EXPR_RELABEL:
        return eval_rows(evaluation, expr->args[0], rows, count, out);
    case EXPR_CAST_IO:
    case EXPR_LENGTH:
        return eval_conversion(evaluation, expr, rows, count, out);
    case EXPR_AND:
    case EXPR_OR:
        return eval_junction(evaluation, expr, rows, count, out);
    case EXPR_NOT:
    case EXPR_IS_NULL:
    case EXPR_IS_NOT_NULL:
    case EXPR_IS_BOOL:
    case EXPR_DISTINCT:
    case EXPR_NULLIF:
        return eval_test(evaluation, expr, rows, count, out);
    case EXPR_CASE:
        return eval_case(evaluation, expr, rows, count, out);
    case EXPR_COALESCE:
        return eval_coalesce(evaluation, expr, rows, count, out);
    case EXPR_GREATEST:
    case EXPR_LEAST:
        return eval_extreme(evaluation, expr, rows, count, out);
    case EXPR_IN:
        return eval_in(evaluation, expr, rows, count, out);
    case EXPR_ROW:
    case EXPR_FIELD:
        return eval_tuple(evaluation, expr, rows, count, out);
    case EXPR_SUBQUERY:
        return eval_subquery(evaluation, expr, rows, count, out);
    case EXPR_ARRAY:
    case EXPR_ARRAY_CAST:
    case EXPR_ANY_ARRAY:
    case EXPR_SUBSCRIPT:
    case EXPR_SUBSCRIPT_SET:
        return eval_array(evaluation, expr, rows, count, out);
    case EXPR_AGGREGATE:
    case EXPR_GROUPING:
    case EXPR_WINDOW:
        break;
    }
    return sql_error("XX000", "an expression of kind %d cannot be evaluated", (int)expr->kind);
}

err_t
eval(struct exec *exec, struct arena *arena, const struct expr *expr, const struct batch *batch,
     const uint16_t *rows, uint32_t count, struct vector *out)
{
    struct evaluation evaluation = {.exec = exec, .arena = arena, .batch = batch};

    return eval_rows(&evaluation, expr, rows, count, out);
}

err_t
eval_condition(struct exec *exec, struct arena *arena, const struct expr *expr,
               const struct batch *batch, uint16_t *selected, uint32_t *count_out)
{
    struct vector result;
    uint32_t count = 0;
    err_t err = eval(exec, arena, expr, batch, NULL, batch->rows, &result);

    for (uint32_t i = 0; err == ERR_OK && i < batch->rows; i++) {
        if (!vector_is_null(&result, i) && vector_value(&result, i).i != 0) {
            selected[count++] = (uint16_t)i;
        }
    }
    *count_out = count;
    return err;
}

err_t
eval_value(struct exec *exec, struct arena *arena, const struct expr *expr, struct datum *value_out,
           bool *is_null_out)
{
    const struct batch none = {.rows = 1};
    struct vector result;
    err_t err = eval(exec, arena, expr, &none, NULL, 1, &result);

    if (err == ERR_OK) {
        *is_null_out = vector_is_null(&result, 0);
        *value_out = vector_value(&result, 0);
    }
    return err;
}
