/* query/catalog/numbers.c - reading the lists of PostgreSQL's functions and operators. */
#include "query/catalog/numbers.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "models/types/sql_error.h"
#include "query/catalog/proc.h"
#include "query/catalog/system.h"

#include "engine/base/poison.h"

static const struct number_lines *
list_of(enum number_list list)
{
    return list == NUMBERS_PROC ? &numbers_proc : &numbers_operator;
}

bool
number_next(enum number_list list, struct number_cursor *cursor, struct number *out)
{
    const struct number_lines *lines = list_of(list);
    const char *at = cursor->at;
    char *end;

    if (at == NULL || *at == '\0') {
        if (at != NULL) {
            cursor->line++;
        }
        if (cursor->line == lines->count) {
            return false;
        }
        at = lines->lines[cursor->line];
    }
    out->oid = (oid_t)strtoul(at, &end, 10);
    at = end + 1;
    out->name = slice_of(at, strcspn(at, " "));
    at += out->name.size + 1;
    out->arg_count = 0;
    while (*at != '\0' && *at != ';') {
        ASSERT(out->arg_count < NUMBER_ARGS_MAX);
        out->args[out->arg_count++] = (oid_t)strtoul(at, &end, 10);
        at = *end == ',' ? end + 1 : end;
    }
    cursor->at = *at == ';' ? at + 1 : at;
    return true;
}

bool
number_find(enum number_list list, oid_t oid, struct number *out)
{
    const struct number_lines *lines = list_of(list);
    struct number_cursor cursor = {0};
    uint32_t low = 0, high = lines->count;

    while (low < high) { /* The last line that begins at or before it. */
        uint32_t middle = low + (high - low) / 2;

        if (strtoul(lines->lines[middle], NULL, 10) <= oid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return false;
    }
    cursor.line = low - 1;
    while (number_next(list, &cursor, out) && cursor.line == low - 1) {
        if (out->oid == oid) {
            return true;
        }
    }
    return false;
}

oid_t
number_of_function(struct slice name, const oid_t *args, uint32_t arg_count)
{
    struct number_cursor cursor = {0};
    struct number number;

    while (number_next(NUMBERS_PROC, &cursor, &number)) {
        if (number.arg_count == arg_count && slice_equal(number.name, name) &&
            (arg_count == 0 || memcmp(number.args, args, arg_count * sizeof(*args)) == 0)) {
            return number.oid;
        }
    }
    return 0;
}

oid_t
number_of_operator(struct slice name, oid_t left, oid_t right)
{
    struct number_cursor cursor = {0};
    struct number number;

    while (number_next(NUMBERS_OPERATOR, &cursor, &number)) {
        if (number.args[0] == left && number.args[1] == right && slice_equal(number.name, name)) {
            return number.oid;
        }
    }
    return 0;
}

/* ---- Names ---- */

/* Is there another one of this name? Then it is shown with its schema, as the name alone means
 * nothing. */
static uint32_t
name_count(enum number_list list, struct slice name, oid_t *oid_out)
{
    struct number_cursor cursor = {0};
    struct number number;
    uint32_t count = 0;

    while (number_next(list, &cursor, &number)) {
        if (slice_equal(number.name, name)) {
            *oid_out = number.oid;
            count++;
        }
    }
    return count;
}

static void
types_put(const oid_t *types, uint32_t count, struct buf *out)
{
    buf_append_byte(out, '(');
    for (uint32_t i = 0; i < count; i++) {
        const struct type *type = type_by_oid(types[i]);

        buf_printf(out, "%s", i > 0 ? "," : "");
        if (types[i] == 0) {
            buf_printf(out, "NONE");
        } else if (type != NULL) {
            type_format(type, -1, out);
        } else {
            buf_printf(out, "%u", types[i]);
        }
    }
    buf_append_byte(out, ')');
}

bool
proc_put(oid_t oid, bool with_args, struct buf *out)
{
    struct number number;
    oid_t same;

    if (!number_find(NUMBERS_PROC, oid, &number)) {
        return false;
    }
    if (!with_args && name_count(NUMBERS_PROC, number.name, &same) > 1) {
        buf_printf(out, "pg_catalog.");
    }
    put_identifier(out, number.name);
    if (with_args) {
        types_put(number.args, number.arg_count, out);
    }
    return true;
}

bool
operator_put(oid_t oid, bool with_args, struct buf *out)
{
    struct number number;
    oid_t same;

    if (!number_find(NUMBERS_OPERATOR, oid, &number)) {
        return false;
    }
    if (!with_args && name_count(NUMBERS_OPERATOR, number.name, &same) > 1) {
        buf_printf(out, "pg_catalog.");
    }
    buf_append(out, number.name.data, number.name.size);
    if (with_args) {
        types_put(number.args, 2, out);
    }
    return true;
}

static struct slice
without_schema(struct slice text)
{
    const struct slice schema = SLICE("pg_catalog.");

    return text.size > schema.size && memcmp(text.data, schema.data, schema.size) == 0
               ? slice_of(text.data + schema.size, text.size - schema.size)
               : text;
}

/* name(type,type): the types' names, as they print, are compared. */
static bool
signature_find(enum number_list list, struct slice text, oid_t *oid_out)
{
    struct number_cursor cursor = {0};
    struct number number;
    bool is_found = false;
    struct buf printed;

    buf_init(&printed, MEM_SESSIONS);
    while (!is_found && number_next(list, &cursor, &number)) {
        if (text.size <= number.name.size ||
            memcmp(text.data, number.name.data, number.name.size) != 0) {
            continue;
        }
        printed.size = 0;
        buf_append(&printed, number.name.data, number.name.size);
        types_put(number.args, list == NUMBERS_OPERATOR ? 2 : number.arg_count, &printed);
        is_found = slice_equal(buf_slice(&printed), text);
        *oid_out = number.oid;
    }
    buf_fini(&printed);
    return is_found;
}

static err_t
name_find(enum number_list list, const char *what, struct slice text, bool with_args,
          oid_t *oid_out)
{
    struct slice name = without_schema(text);
    uint32_t count =
        with_args ? signature_find(list, name, oid_out) : name_count(list, name, oid_out);

    if (count > 1) {
        return sql_error("42725", "more than one %s named \"%.*s\"", what, (int)text.size,
                         (const char *)text.data);
    }
    if (count == 1) {
        return ERR_OK;
    }
    return list == NUMBERS_OPERATOR ? sql_error("42883", "operator does not exist: %.*s",
                                                (int)text.size, (const char *)text.data)
                                    : sql_error("42883", "function \"%.*s\" does not exist",
                                                (int)text.size, (const char *)text.data);
}

err_t
proc_find_name(struct slice text, bool with_args, oid_t *oid_out)
{
    return name_find(NUMBERS_PROC, "function", text, with_args, oid_out);
}

err_t
operator_find_name(struct slice text, bool with_args, oid_t *oid_out)
{
    return name_find(NUMBERS_OPERATOR, "operator", text, with_args, oid_out);
}

/* ---- Collations ---- */

oid_t
collation_find(struct slice name)
{
    return slice_equal(name, SLICE("default")) ? 100
           : slice_equal(name, SLICE("C"))     ? 950
           : slice_equal(name, SLICE("POSIX")) ? 951
                                               : 0;
}

struct slice
collation_name(oid_t oid)
{
    return oid == 100   ? SLICE("default")
           : oid == 950 ? SLICE("C")
           : oid == 951 ? SLICE("POSIX")
                        : slice_of(NULL, 0);
}
