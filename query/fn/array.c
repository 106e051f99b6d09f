/* query/fn/array.c - functions and operators on arrays: PostgreSQL 15, section 9.19. */
#include "models/types/array.h"

#include <stdlib.h>

#include "models/types/array_part.h"
#include "models/types/sql_error.h"
#include "query/fn/array_sort.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

static err_t
values_of(struct call *call, uint32_t arg, struct datum value, struct array_values *out)
{
    return array_values_get(call_arg_type(call, arg), value.bytes, call->arena, out);
}

static err_t
shape_of(struct call *call, uint32_t arg, struct datum value, struct array_shape *out)
{
    struct array_reader reader;
    err_t err = array_open(call_arg_type(call, arg), value.bytes, &reader);

    *out = reader.shape;
    return err;
}

static err_t
need_order(const struct type *element)
{
    return element->compare != NULL
               ? ERR_OK
               : sql_error("42883", "could not identify an equality operator for type %s",
                           element->display);
}

/* ---- Shapes ---- */

static err_t
dims_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_shape shape;
    struct buf text;
    err_t err = shape_of(call, 0, args[0], &shape);

    call->is_null = shape.dimensions == 0;
    buf_init(&text, MEM_SESSIONS);
    for (uint32_t i = 0; i < shape.dimensions; i++) {
        buf_printf(&text, "[%d:%d]", shape.lower[i], shape.lower[i] + shape.sizes[i] - 1);
    }
    out->bytes = arena_copy(call->arena, buf_slice(&text));
    buf_fini(&text);
    return err;
}

static err_t
ndims_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_shape shape;
    err_t err = shape_of(call, 0, args[0], &shape);

    call->is_null = shape.dimensions == 0;
    out->i = shape.dimensions;
    return err;
}

static err_t
cardinality_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_reader reader;
    err_t err = array_open(call_arg_type(call, 0), args[0].bytes, &reader);

    out->i = reader.count;
    return err;
}

/* Which dimension, from 0; false: there is none such. */
static bool
dimension_of(struct call *call, const struct array_shape *shape, struct datum number,
             uint32_t *dimension_out)
{
    call->is_null = number.i < 1 || number.i > shape->dimensions;
    *dimension_out = call->is_null ? 0 : (uint32_t)number.i - 1;
    return !call->is_null;
}

#define DIMENSION(name, result)                                                                    \
    static err_t name##_run(struct call *call, const struct datum *args, struct datum *out)        \
    {                                                                                              \
        struct array_shape shape;                                                                  \
        uint32_t at;                                                                               \
        err_t err = shape_of(call, 0, args[0], &shape);                                            \
                                                                                                   \
        if (err == ERR_OK && dimension_of(call, &shape, args[1], &at)) {                           \
            out->i = (result);                                                                     \
        }                                                                                          \
        return err;                                                                                \
    }
DIMENSION(length, shape.sizes[at])
DIMENSION(lower, shape.lower[at])
DIMENSION(upper, shape.lower[at] + shape.sizes[at] - 1)

/* ---- Making longer ones ---- */

static err_t
incompatible(const char *what)
{
    (void)sql_error("2202E", "cannot concatenate incompatible arrays");
    return sql_detail("%s", what);
}

/* The shape of a followed by b, where one may have a dimension less: it is a row of the other. */
static err_t
joined_shape(const struct array_shape *a, const struct array_shape *b, struct array_shape *out)
{
    const struct array_shape *outer = a->dimensions >= b->dimensions ? a : b;
    const struct array_shape *row = outer == a ? b : a;
    uint32_t skip = outer->dimensions - row->dimensions;

    if (skip > 1) {
        (void)sql_error("2202E", "cannot concatenate incompatible arrays");
        return sql_detail("Arrays of %u and %u dimensions are not compatible for concatenation.",
                          a->dimensions, b->dimensions);
    }
    *out = *outer;
    for (uint32_t i = 1; i < outer->dimensions; i++) {
        if (outer->sizes[i] != row->sizes[i - skip] || outer->lower[i] != row->lower[i - skip]) {
            return incompatible(skip == 0 ? "Arrays with differing element dimensions are not "
                                            "compatible for concatenation."
                                          : "Arrays with differing dimensions are not compatible "
                                            "for concatenation.");
        }
    }
    out->sizes[0] = skip == 0 ? a->sizes[0] + b->sizes[0] : outer->sizes[0] + 1;
    return ERR_OK;
}

static err_t
cat_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *type = call->expr->type;
    struct array_values a, b, all;
    struct array_shape shape;
    err_t err;

    if (call->nulls[0] != 0 || call->nulls[1] != 0) {
        call->is_null = call->nulls[0] != 0 && call->nulls[1] != 0;
        *out = args[call->nulls[0] != 0];
        return ERR_OK;
    }
    TRY(array_values_get(type, args[0].bytes, call->arena, &a));
    TRY(array_values_get(type, args[1].bytes, call->arena, &b));
    if (a.count == 0 || b.count == 0) {
        *out = args[a.count == 0];
        return ERR_OK;
    }
    TRY(joined_shape(&a.shape, &b.shape, &shape));
    TRY(array_values_make(&all, &shape, call->arena));
    memcpy(all.values, a.values, a.count * sizeof(*a.values));
    memcpy(all.nulls, a.nulls, a.count);
    memcpy(all.values + a.count, b.values, b.count * sizeof(*b.values));
    memcpy(all.nulls + a.count, b.nulls, b.count);
    err = array_values_put(type->element_type, &all, call->arena, out);
out:
    return err;
}

/* One more element at either end: the lower bound stays. */
static err_t
extend(struct call *call, struct datum array, bool is_array_null, struct datum value, bool is_null,
       bool is_front, struct datum *out)
{
    const struct type *type = call->expr->type;
    struct array_values before = {0}, all;
    struct array_shape shape;
    err_t err;

    if (!is_array_null) {
        TRY(array_values_get(type, array.bytes, call->arena, &before));
    }
    if (before.shape.dimensions > 1) {
        return sql_error("22000", "argument must be empty or one-dimensional array");
    }
    shape = before.count == 0 ? array_shape_list(1) : before.shape;
    if (before.count > 0) {
        if ((int64_t)shape.lower[0] + shape.sizes[0] > INT32_MAX - 1) {
            return sql_error("22003", "integer out of range");
        }
        shape.sizes[0]++;
    }
    TRY(array_values_make(&all, &shape, call->arena));
    if (before.count > 0) {
        memcpy(all.values + is_front, before.values, before.count * sizeof(*before.values));
        memcpy(all.nulls + is_front, before.nulls, before.count);
    }
    all.values[is_front ? 0 : before.count] = value;
    all.nulls[is_front ? 0 : before.count] = is_null;
    err = array_values_put(type->element_type, &all, call->arena, out);
out:
    return err;
}

static err_t
append_run(struct call *call, const struct datum *args, struct datum *out)
{
    return extend(call, args[0], call->nulls[0] != 0, args[1], call->nulls[1] != 0, false, out);
}

static err_t
prepend_run(struct call *call, const struct datum *args, struct datum *out)
{
    return extend(call, args[1], call->nulls[1] != 0, args[0], call->nulls[0] != 0, true, out);
}

/* A list of integers for array_fill. */
static err_t
fill_numbers(struct call *call, uint32_t arg, struct datum value, struct array_values *out)
{
    err_t err = values_of(call, arg, value, out);

    if (err != ERR_OK) {
        return err;
    }
    if (out->shape.dimensions > 1) {
        (void)sql_error("2202E", "wrong number of array subscripts");
        return sql_detail("Dimension array must be one dimensional.");
    }
    if (out->count > 0 && memchr(out->nulls, 1, out->count) != NULL) {
        return sql_error("22004", "dimension values cannot be null");
    }
    return ERR_OK;
}

static err_t
fill_shape(struct call *call, const struct datum *args, struct array_shape *shape)
{
    struct array_values sizes, lowers;
    bool has_lower = call->arg_count > 2;
    err_t err = ERR_OK;

    if (call->nulls[1] != 0 || (has_lower && call->nulls[2] != 0)) {
        return sql_error("22004", "dimension array or low bound array cannot be null");
    }
    TRY(fill_numbers(call, 1, args[1], &sizes));
    if (sizes.count > ARRAY_DIMENSIONS_MAX) {
        return sql_error("54000",
                         "number of array dimensions (%u) exceeds the maximum allowed (%d)",
                         sizes.count, ARRAY_DIMENSIONS_MAX);
    }
    if (has_lower) {
        TRY(fill_numbers(call, 2, args[2], &lowers));
        if (lowers.count != sizes.count) {
            (void)sql_error("2202E", "wrong number of array subscripts");
            return sql_detail("Low bound array has different size than dimensions array.");
        }
    }
    shape->dimensions = sizes.count;
    for (uint32_t i = 0; i < sizes.count; i++) {
        if (sizes.values[i].i < 0) {
            return sql_error("54000", "array size exceeds the maximum allowed (%d)",
                             ARRAY_ELEMENTS_MAX);
        }
        shape->sizes[i] = (int32_t)sizes.values[i].i;
        shape->lower[i] = has_lower ? (int32_t)lowers.values[i].i : 1;
    }
out:
    return err;
}

static err_t
fill_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_shape shape;
    struct array_values all;
    err_t err;

    TRY(fill_shape(call, args, &shape));
    TRY(array_values_make(&all, &shape, call->arena));
    for (uint32_t i = 0; i < all.count; i++) {
        all.values[i] = args[0];
        all.nulls[i] = call->nulls[0];
    }
    err = array_values_put(call->expr->type->element_type, &all, call->arena, out);
out:
    return err;
}

static err_t
trim_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_bounds bounds = {.count = 1, .is_slice = true, .has_upper = {true}};
    struct array_shape shape;
    int32_t most;
    err_t err;

    TRY(shape_of(call, 0, args[0], &shape));
    most = shape.dimensions > 0 ? shape.sizes[0] : 0;
    if (args[1].i < 0 || args[1].i > most) {
        return sql_error("2202E", "number of elements to trim must be between 0 and %d", most);
    }
    bounds.upper[0] = shape.dimensions > 0 ? (int32_t)(shape.lower[0] + most - 1 - args[1].i) : 0;
    err = array_slice_get(call_arg_type(call, 0), args[0].bytes, &bounds, call->arena, out);
out:
    return err;
}

/* ---- Searching ---- */

/* Equal, where null equals null. */
static bool
is_same(const struct type *element, struct datum a, bool a_null, struct datum b, bool b_null)
{
    return a_null || b_null ? a_null == b_null : element->compare(element, a, b) == 0;
}

static err_t
search_open(struct call *call, const struct datum *args, struct array_values *values)
{
    err_t err = need_order(call_arg_type(call, 0)->element_type);

    if (err == ERR_OK) {
        err = values_of(call, 0, args[0], values);
    }
    if (err == ERR_OK && values->shape.dimensions > 1) {
        err = sql_error("0A000",
                        "searching for elements in multidimensional arrays is not supported");
    }
    return err;
}

static err_t
position_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *element = call_arg_type(call, 0)->element_type;
    struct array_values values;
    int64_t from = INT64_MIN;
    err_t err;

    call->is_null = true;
    if (call->nulls[0] != 0) {
        return ERR_OK;
    }
    if (call->arg_count > 2) {
        if (call->nulls[2] != 0) {
            return sql_error("22004", "initial position must not be null");
        }
        from = args[2].i;
    }
    TRY(search_open(call, args, &values));
    for (uint32_t i = 0; i < values.count; i++) {
        int64_t at = (int64_t)values.shape.lower[0] + i;

        if (at >= from && is_same(element, values.values[i], values.nulls[i] != 0, args[1],
                                  call->nulls[1] != 0)) {
            call->is_null = false;
            out->i = at;
            return ERR_OK;
        }
    }
out:
    return err;
}

static err_t
positions_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *element = call_arg_type(call, 0)->element_type;
    struct array_values values;
    uint32_t found = 0;
    err_t err = ERR_OK;

    call->is_null = call->nulls[0] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    TRY(search_open(call, args, &values));
    for (uint32_t i = 0; i < values.count; i++) {
        if (is_same(element, values.values[i], values.nulls[i] != 0, args[1],
                    call->nulls[1] != 0)) {
            values.values[found++] = datum_int((int64_t)values.shape.lower[0] + i);
        }
    }
    err = array_list_put(type_by_oid(OID_INT4), values.values, NULL, found, call->arena, out);
out:
    return err;
}

static err_t
remove_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *element = call->expr->type->element_type;
    struct array_values values;
    uint32_t kept = 0;
    err_t err = ERR_OK;

    call->is_null = call->nulls[0] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    TRY(need_order(element));
    TRY(array_values_get(call->expr->type, args[0].bytes, call->arena, &values));
    if (values.shape.dimensions > 1) {
        return sql_error("0A000",
                         "removing elements from multidimensional arrays is not supported");
    }
    for (uint32_t i = 0; i < values.count; i++) {
        if (!is_same(element, values.values[i], values.nulls[i] != 0, args[1],
                     call->nulls[1] != 0)) {
            values.values[kept] = values.values[i];
            values.nulls[kept++] = values.nulls[i];
        }
    }
    values.count = kept;
    values.shape.sizes[0] = (int32_t)kept;
    values.shape.dimensions = kept > 0;
    err = array_values_put(element, &values, call->arena, out);
out:
    return err;
}

static err_t
replace_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *element = call->expr->type->element_type;
    struct array_values values;
    err_t err = ERR_OK;

    call->is_null = call->nulls[0] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    TRY(need_order(element));
    TRY(array_values_get(call->expr->type, args[0].bytes, call->arena, &values));
    for (uint32_t i = 0; i < values.count; i++) {
        if (is_same(element, values.values[i], values.nulls[i] != 0, args[1],
                    call->nulls[1] != 0)) {
            values.values[i] = args[2];
            values.nulls[i] = call->nulls[2];
        }
    }
    err = array_values_put(element, &values, call->arena, out);
out:
    return err;
}

/* ---- Sets of elements: nulls equal nothing ---- */

enum set_test { TEST_ALL, TEST_SOME };

static err_t
set_test(struct call *call, struct datum whole_value, struct datum part_value, enum set_test test,
         struct datum *out)
{
    const struct type *type = call_arg_type(call, 0);
    struct array_values whole, part;
    uint32_t count = 0;
    err_t err;

    TRY(need_order(type->element_type));
    TRY(array_values_get(type, whole_value.bytes, call->arena, &whole));
    TRY(array_values_get(type, part_value.bytes, call->arena, &part));
    for (uint32_t i = 0; i < whole.count; i++) {
        if (whole.nulls[i] == 0) {
            whole.values[count++] = whole.values[i];
        }
    }
    array_values_sort(type->element_type, whole.values, count);
    out->i = test == TEST_ALL;
    for (uint32_t i = 0; i < part.count; i++) {
        bool is_found = part.nulls[i] == 0 &&
                        array_values_find(type->element_type, whole.values, count, part.values[i]);

        if (is_found == (test == TEST_SOME)) {
            out->i = test == TEST_SOME;
            return ERR_OK;
        }
    }
out:
    return err;
}

static err_t
contains_run(struct call *call, const struct datum *args, struct datum *out)
{
    return set_test(call, args[0], args[1], TEST_ALL, out);
}

static err_t
contained_run(struct call *call, const struct datum *args, struct datum *out)
{
    return set_test(call, args[1], args[0], TEST_ALL, out);
}

static err_t
overlap_run(struct call *call, const struct datum *args, struct datum *out)
{
    return set_test(call, args[0], args[1], TEST_SOME, out);
}

/* How many of the sorted thresholds are not above the operand. */
static err_t
bucket_run(struct call *call, const struct datum *args, struct datum *out)
{
    const struct type *element = call_arg_type(call, 1)->element_type;
    struct array_values values;
    uint32_t low = 0, high;
    err_t err;

    TRY(need_order(element));
    TRY(values_of(call, 1, args[1], &values));
    if (values.shape.dimensions > 1) {
        return sql_error("2202E", "thresholds must be one-dimensional array");
    }
    if (values.count > 0 && memchr(values.nulls, 1, values.count) != NULL) {
        return sql_error("22004", "thresholds array must not contain NULLs");
    }
    high = values.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (element->compare(element, args[0], values.values[middle]) < 0) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    out->i = low;
out:
    return err;
}

/* ---- Text ---- */

static err_t
to_string_run(struct call *call, const struct datum *args, struct datum *out)
{
    bool has_null_text = call->arg_count > 2 && call->nulls[2] == 0;
    struct array_values values;
    bool is_first = true;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    call->is_null = call->nulls[0] != 0 || call->nulls[1] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    TRY(values_of(call, 0, args[0], &values));
    for (uint32_t i = 0; i < values.count; i++) {
        const struct type *element = call_arg_type(call, 0)->element_type;

        if (values.nulls[i] != 0 && !has_null_text) {
            continue;
        }
        buf_append(&text, args[1].bytes.data, is_first ? 0 : args[1].bytes.size);
        is_first = false;
        if (values.nulls[i] != 0) {
            buf_append(&text, args[2].bytes.data, args[2].bytes.size);
        } else {
            element->output(element, call->settings, values.values[i], &text);
        }
    }
    out->bytes = arena_copy(call->arena, buf_slice(&text));
out:
    buf_fini(&text);
    return err;
}

static err_t
concat_types(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    for (uint32_t i = 0; i < 2; i++) {
        const struct type *type = call_arg_type(call, i);

        type->output(type, call->settings, args[i], &text);
    }
    out->bytes = arena_copy(call->arena, buf_slice(&text));
    buf_fini(&text);
    return ERR_OK;
}

/* ---- The table ---- */

#define FN(op, fname, res, nargs, strict, code, ...)                                               \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = (strict), .run = (code)                                                   \
        }                                                                                          \
    }
#define ARRAY     OID_ANYARRAY
#define COMPAT    OID_ANYCOMPATIBLEARRAY
#define INT4ARRAY 1007

static const struct operator_row rows[] = {
    FN("||", "array_append", COMPAT, 2, false, append_run, COMPAT, OID_ANYCOMPATIBLE),
    FN("||", "array_prepend", COMPAT, 2, false, prepend_run, OID_ANYCOMPATIBLE, COMPAT),
    FN("||", "array_cat", COMPAT, 2, false, cat_run, COMPAT, COMPAT),
    FN("||", "anytextcat", OID_TEXT, 2, true, concat_types, OID_ANYNONARRAY, OID_TEXT),
    FN("||", "textanycat", OID_TEXT, 2, true, concat_types, OID_TEXT, OID_ANYNONARRAY),
    FN("@>", "arraycontains", OID_BOOL, 2, true, contains_run, ARRAY, ARRAY),
    FN("<@", "arraycontained", OID_BOOL, 2, true, contained_run, ARRAY, ARRAY),
    FN("&&", "arrayoverlap", OID_BOOL, 2, true, overlap_run, ARRAY, ARRAY),
    FN(NULL, "array_dims", OID_TEXT, 1, true, dims_run, ARRAY),
    FN(NULL, "array_ndims", OID_INT4, 1, true, ndims_run, ARRAY),
    FN(NULL, "cardinality", OID_INT4, 1, true, cardinality_run, ARRAY),
    FN(NULL, "array_length", OID_INT4, 2, true, length_run, ARRAY, OID_INT4),
    FN(NULL, "array_lower", OID_INT4, 2, true, lower_run, ARRAY, OID_INT4),
    FN(NULL, "array_upper", OID_INT4, 2, true, upper_run, ARRAY, OID_INT4),
    FN(NULL, "array_fill", ARRAY, 2, false, fill_run, OID_ANYELEMENT, INT4ARRAY),
    FN(NULL, "array_fill", ARRAY, 3, false, fill_run, OID_ANYELEMENT, INT4ARRAY, INT4ARRAY),
    FN(NULL, "trim_array", ARRAY, 2, true, trim_run, ARRAY, OID_INT4),
    FN(NULL, "array_position", OID_INT4, 2, false, position_run, COMPAT, OID_ANYCOMPATIBLE),
    FN(NULL, "array_position", OID_INT4, 3, false, position_run, COMPAT, OID_ANYCOMPATIBLE,
       OID_INT4),
    FN(NULL, "array_positions", INT4ARRAY, 2, false, positions_run, COMPAT, OID_ANYCOMPATIBLE),
    FN(NULL, "array_remove", COMPAT, 2, false, remove_run, COMPAT, OID_ANYCOMPATIBLE),
    FN(NULL, "array_replace", COMPAT, 3, false, replace_run, COMPAT, OID_ANYCOMPATIBLE,
       OID_ANYCOMPATIBLE),
    FN(NULL, "width_bucket", OID_INT4, 2, true, bucket_run, OID_ANYCOMPATIBLE, COMPAT),
    FN(NULL, "array_to_string", OID_TEXT, 2, true, to_string_run, ARRAY, OID_TEXT),
    FN(NULL, "array_to_string", OID_TEXT, 3, false, to_string_run, ARRAY, OID_TEXT, OID_TEXT),
    FN(NULL, "string_to_array", 1009, 2, false, fn_string_to_array, OID_TEXT, OID_TEXT),
    FN(NULL, "string_to_array", 1009, 3, false, fn_string_to_array, OID_TEXT, OID_TEXT, OID_TEXT),
};

const struct function_part fn_part_array = {rows, sizeof(rows) / sizeof(rows[0])};
