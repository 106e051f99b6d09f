/* query/catalog/procs.c - pg_proc, pg_operator, pg_cast and pg_aggregate, from the tables of
 * functions. Those that PostgreSQL does not have are not told of: they have no number. */
#include <string.h>

#include "query/catalog/fill.h"
#include "query/catalog/proc.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

enum { LANGUAGE_INTERNAL = 12 };

/* ---- Finding rows of the tables ---- */

static bool
is_function(const struct function *function, const struct number *number)
{
    return function->arg_count == number->arg_count &&
           memcmp(function->args, number->args, number->arg_count * sizeof(oid_t)) == 0 &&
           slice_equal(number->name, slice_from_text(function->name));
}

static const struct function *
function_of(const struct number *number)
{
    const struct function_part *part;

    for (uint32_t i = 0; (part = fn_part(i)) != NULL; i++) {
        for (uint32_t j = 0; j < part->count; j++) {
            if (is_function(&part->rows[j].function, number)) {
                return &part->rows[j].function;
            }
        }
    }
    return NULL;
}

static const struct aggregate_function *
aggregate_of(const struct number *number)
{
    const struct aggregate_part *part;

    for (uint32_t i = 0; (part = fn_aggregate_part(i)) != NULL; i++) {
        for (uint32_t j = 0; j < part->count; j++) {
            const struct aggregate_function *row = &part->rows[j];
            oid_t args[2] = {row->arg, row->arg2};
            uint32_t count = (uint32_t)(row->arg != 0) + (row->arg2 != 0);

            if (count == number->arg_count &&
                memcmp(args, number->args, count * sizeof(oid_t)) == 0 &&
                slice_equal(number->name, slice_from_text(row->name))) {
                return row;
            }
        }
    }
    return NULL;
}

bool
proc_find(oid_t oid, struct proc *out)
{
    const struct aggregate_function *aggregate;
    const struct function *function;

    if (!number_find(NUMBERS_PROC, oid, &out->number)) {
        return false;
    }
    function = function_of(&out->number);
    if (function != NULL) {
        out->result = function->result;
        out->kind = 'f';
        out->is_strict = function->is_strict;
        out->is_volatile = function->is_volatile;
        out->is_variadic = function->is_variadic;
        out->is_set = function->set != NULL;
        return true;
    }
    aggregate = aggregate_of(&out->number);
    if (aggregate != NULL) {
        out->result = aggregate->result;
        out->kind = 'a';
        out->is_strict = out->is_volatile = out->is_variadic = out->is_set = false;
        return true;
    }
    return false;
}

/* ---- pg_proc ---- */

enum { PROC_OID = 0, PROC_NAME = 1 };

static err_t
proc_row(struct system_rows *rows, const struct proc *proc)
{
    err_t err;

    row_int(rows, proc->number.oid);
    row_text(rows, proc->number.name);
    row_int(rows, OID_SCHEMA_CATALOG);
    row_int(rows, OID_OWNER);
    row_int(rows, LANGUAGE_INTERNAL);
    row_float(rows, 1);
    row_float(rows, proc->is_set ? 1000 : 0);
    row_int(rows, proc->is_variadic ? proc->number.args[proc->number.arg_count - 1] : 0);
    row_int(rows, 0); /* prosupport */
    row_int(rows, proc->kind);
    row_int(rows, false);
    row_int(rows, false);
    row_int(rows, proc->is_strict);
    row_int(rows, proc->is_set);
    row_int(rows, proc->is_volatile ? 'v' : 'i');
    row_int(rows, 's');
    row_int(rows, proc->number.arg_count);
    row_int(rows, 0);
    row_int(rows, proc->result);
    TRY(row_array(rows, OID_OID, proc->number.args, proc->number.arg_count, 0));
    row_null(rows, 5);
    row_text(rows, proc->number.name);
    row_null(rows, 4);
    err = row_end(rows);
out:
    return err;
}

err_t
fill_proc(struct system_rows *rows)
{
    struct number_cursor cursor = {0};
    struct number number;
    struct proc proc;
    int64_t only;
    err_t err = ERR_OK;

    if (rows_only(rows, PROC_OID, &only)) {
        return proc_find((oid_t)only, &proc) ? proc_row(rows, &proc) : ERR_OK;
    }
    while (err == ERR_OK && number_next(NUMBERS_PROC, &cursor, &number)) {
        if (rows_may_name(rows, PROC_NAME, number.name) && proc_find(number.oid, &proc)) {
            err = proc_row(rows, &proc);
        }
    }
    return err;
}

/* ---- pg_aggregate ---- */

err_t
fill_aggregate(struct system_rows *rows)
{
    struct number_cursor cursor = {0};
    struct number number;
    err_t err = ERR_OK;

    while (err == ERR_OK && number_next(NUMBERS_PROC, &cursor, &number)) {
        if (aggregate_of(&number) == NULL) {
            continue;
        }
        row_int(rows, number.oid);
        row_int(rows, 'n');
        for (uint32_t i = 0; i < 9;
             i++) { /* Direct arguments, then functions of states: none told. */
            row_int(rows, 0);
        }
        row_int(rows, false);
        row_int(rows, false);
        row_int(rows, 'r');
        row_int(rows, 'r');
        for (uint32_t i = 0; i < 5; i++) {
            row_int(rows, 0);
        }
        row_null(rows, 2);
        err = row_end(rows);
    }
    return err;
}

/* ---- pg_operator ---- */

enum { OPERATOR_OID = 0, OPERATOR_NAME = 1 };

static const struct function *
operator_of(const struct number *number)
{
    bool is_prefix = number->args[0] == 0;
    const struct function_part *part;

    for (uint32_t i = 0; (part = fn_part(i)) != NULL; i++) {
        for (uint32_t j = 0; j < part->count; j++) {
            const struct operator_row *row = &part->rows[j];

            if (row->name != NULL && row->function.arg_count == (is_prefix ? 1 : 2) &&
                row->function.args[0] == number->args[is_prefix ? 1 : 0] &&
                (is_prefix || row->function.args[1] == number->args[1]) &&
                slice_equal(number->name, slice_from_text(row->name))) {
                return &row->function;
            }
        }
    }
    return NULL;
}

static err_t
operator_row_put(struct system_rows *rows, const struct number *number,
                 const struct function *function)
{
    bool is_equality = function->comparison == COMPARE_EQUAL;

    row_int(rows, number->oid);
    row_text(rows, number->name);
    row_int(rows, OID_SCHEMA_CATALOG);
    row_int(rows, OID_OWNER);
    row_int(rows, number->args[0] == 0 ? 'l' : 'b');
    row_int(rows, is_equality);
    row_int(rows, is_equality);
    row_int(rows, number->args[0]);
    row_int(rows, number->args[1]);
    row_int(rows, function->result);
    row_int(rows, number->args[3]);
    row_int(rows, number->args[4]);
    row_int(rows, number->args[2]);
    row_int(rows, 0);
    row_int(rows, 0);
    return row_end(rows);
}

err_t
fill_operator(struct system_rows *rows)
{
    struct number_cursor cursor = {0};
    struct number number;
    err_t err = ERR_OK;

    while (err == ERR_OK && number_next(NUMBERS_OPERATOR, &cursor, &number)) {
        const struct function *function;

        if (!rows_may(rows, OPERATOR_OID, number.oid) ||
            !rows_may_name(rows, OPERATOR_NAME, number.name)) {
            continue;
        }
        function = operator_of(&number);
        if (function != NULL) {
            err = operator_row_put(rows, &number, function);
        }
    }
    return err;
}

/* ---- pg_cast ---- */

enum { CAST_OID_FIRST = 10000 };

err_t
fill_cast(struct system_rows *rows)
{
    struct cast_entry cast;
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && fn_cast_at(i, &cast); i++) {
        row_int(rows, CAST_OID_FIRST + i);
        row_int(rows, cast.from);
        row_int(rows, cast.to);
        if (cast.function != NULL && row_wants(rows)) {
            row_int(rows, number_of_function(slice_from_text(cast.function->name), &cast.from, 1));
        } else {
            row_int(rows, 0);
        }
        row_int(rows, cast.coercion == COERCE_IMPLICIT     ? 'i'
                      : cast.coercion == COERCE_ASSIGNMENT ? 'a'
                                                           : 'e');
        row_int(rows, cast.method == CAST_FUNCTION ? 'f' : cast.method == CAST_IO ? 'i' : 'b');
        err = row_end(rows);
    }
    return err;
}
