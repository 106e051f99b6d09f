/* models/types/array_part.c - elements and slices of arrays. */
#include "models/types/array_part.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- Reading ---- */

err_t
array_element_get(const struct type *type, struct slice bytes, const struct array_bounds *bounds,
                  struct arena *arena, struct datum *out, bool *is_null_out)
{
    struct array_reader reader;
    uint32_t number = 0;
    err_t err;

    *is_null_out = true;
    *out = datum_int(0);
    TRY(array_open(type, bytes, &reader));
    if (bounds->count != reader.shape.dimensions) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < bounds->count; i++) {
        int64_t at = (int64_t)bounds->upper[i] - reader.shape.lower[i];

        if (at < 0 || at >= reader.shape.sizes[i]) {
            return ERR_OK;
        }
        number = number * (uint32_t)reader.shape.sizes[i] + (uint32_t)at;
    }
    if (reader.count == 0) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i <= number; i++) {
        TRY(array_next(&reader, arena, out, is_null_out));
    }
out:
    return err;
}

/* A box of elements: per dimension where it begins, from 0, and how many. */
struct box {
    uint32_t dimensions;
    int64_t first[ARRAY_DIMENSIONS_MAX];
    int64_t count[ARRAY_DIMENSIONS_MAX];
};

/* Walks the numbers of a box's elements in an array of the shape, in row-major order. */
static bool
box_next(const struct box *box, const struct array_shape *shape, int64_t *at, uint32_t *number_out)
{
    uint64_t number = 0;
    uint32_t i;

    for (i = 0; i < box->dimensions; i++) {
        number = number * (uint64_t)shape->sizes[i] + (uint64_t)(box->first[i] + at[i]);
    }
    *number_out = (uint32_t)number;
    for (i = box->dimensions; i > 0; i--) {
        if (++at[i - 1] < box->count[i - 1]) {
            return true;
        }
        at[i - 1] = 0;
    }
    return false;
}

/* What of the shape the bounds name. False: nothing. */
static bool
box_clip(const struct array_shape *shape, const struct array_bounds *bounds, struct box *box)
{
    box->dimensions = shape->dimensions;
    for (uint32_t i = 0; i < shape->dimensions; i++) {
        int64_t low = shape->lower[i], high = low + shape->sizes[i] - 1;

        if (i < bounds->count && bounds->has_lower[i]) {
            low = MAX(low, (int64_t)bounds->lower[i]);
        }
        if (i < bounds->count && bounds->has_upper[i]) {
            high = MIN(high, (int64_t)bounds->upper[i]);
        }
        if (low > high) {
            return false;
        }
        box->first[i] = low - shape->lower[i];
        box->count[i] = high - low + 1;
    }
    return true;
}

err_t
array_slice_get(const struct type *type, struct slice bytes, const struct array_bounds *bounds,
                struct arena *arena, struct datum *out)
{
    const struct type *element = type->element_type;
    int64_t at[ARRAY_DIMENSIONS_MAX] = {0};
    struct array_values all, part;
    struct array_shape shape;
    struct box box;
    uint32_t number;
    err_t err;

    TRY(array_values_get(type, bytes, arena, &all));
    if (all.shape.dimensions == 0 || all.shape.dimensions < bounds->count ||
        !box_clip(&all.shape, bounds, &box)) {
        return array_list_put(element, NULL, NULL, 0, arena, out);
    }
    shape.dimensions = box.dimensions;
    for (uint32_t i = 0; i < box.dimensions; i++) {
        shape.lower[i] = 1;
        shape.sizes[i] = (int32_t)box.count[i];
    }
    TRY(array_values_make(&part, &shape, arena));
    for (uint32_t i = 0; i < part.count; i++) {
        (void)box_next(&box, &all.shape, at, &number);
        part.values[i] = all.values[number];
        part.nulls[i] = all.nulls[number];
    }
    err = array_values_put(element, &part, arena, out);
out:
    return err;
}

/* ---- Replacing ---- */

static err_t
wrong_count(void)
{
    return sql_error("2202E", "wrong number of array subscripts");
}

/* A list with room for [low, high] too; what is new is null. */
static err_t
list_extend(const struct array_values *all, int64_t low, int64_t high, struct arena *arena,
            struct array_values *out)
{
    int64_t old_low = all->shape.lower[0], old_high = old_low + all->shape.sizes[0] - 1;
    struct array_shape shape = {.dimensions = 1};
    int64_t size;
    err_t err;

    if (all->count == 0) {
        old_low = low;
        old_high = high;
    }
    low = MIN(low, old_low);
    high = MAX(high, old_high);
    size = high - low + 1;
    if (size > ARRAY_ELEMENTS_MAX || high >= INT32_MAX) {
        return sql_error("54000", "array size exceeds the maximum allowed (%d)",
                         ARRAY_ELEMENTS_MAX);
    }
    shape.lower[0] = (int32_t)low;
    shape.sizes[0] = (int32_t)size;
    err = array_values_make(out, &shape, arena);
    if (err == ERR_OK && all->count > 0) {
        memcpy(out->values + (old_low - low), all->values, all->count * sizeof(*all->values));
        memcpy(out->nulls + (old_low - low), all->nulls, all->count);
    }
    return err;
}

/* An array of the bounds' shape, all null. */
static err_t
array_begin(const struct array_bounds *bounds, struct arena *arena, struct array_values *out)
{
    struct array_shape shape = {.dimensions = bounds->count};

    for (uint32_t i = 0; i < bounds->count; i++) {
        shape.lower[i] = bounds->upper[i];
        shape.sizes[i] = 1;
    }
    return array_values_make(out, &shape, arena);
}

err_t
array_element_set(const struct type *type, struct slice bytes, const struct array_bounds *bounds,
                  struct datum value, bool is_null, struct arena *arena, struct datum *out)
{
    struct array_values all;
    uint32_t number = 0;
    err_t err;

    TRY(array_values_get(type, bytes, arena, &all));
    if (all.shape.dimensions == 0) {
        TRY(array_begin(bounds, arena, &all));
    } else if (all.shape.dimensions != bounds->count) {
        return wrong_count();
    } else if (bounds->count == 1) {
        struct array_values before = all;

        TRY(list_extend(&before, bounds->upper[0], bounds->upper[0], arena, &all));
    }
    for (uint32_t i = 0; i < bounds->count; i++) {
        int64_t at = (int64_t)bounds->upper[i] - all.shape.lower[i];

        if (at < 0 || at >= all.shape.sizes[i]) {
            return sql_error("2202E", "array subscript out of range");
        }
        number = number * (uint32_t)all.shape.sizes[i] + (uint32_t)at;
    }
    all.values[number] = value;
    all.nulls[number] = is_null;
    err = array_values_put(type->element_type, &all, arena, out);
out:
    return err;
}

static err_t
bounds_missing(void)
{
    (void)sql_error("2202E", "array slice subscript must provide both boundaries");
    return sql_detail("When assigning to a slice of an empty array value, slice boundaries must be "
                      "fully specified.");
}

static err_t
bounds_crossed(void)
{
    return sql_error("2202E", "upper bound cannot be less than lower bound");
}

static err_t
source_too_small(void)
{
    return sql_error("2202E", "source array too small");
}

/* Of an empty array: the slice is all of it. */
static err_t
slice_begin(const struct type *type, const struct array_bounds *bounds,
            const struct array_values *source, struct arena *arena, struct datum *out)
{
    struct array_shape shape = {.dimensions = bounds->count};
    struct array_values all;
    err_t err;

    for (uint32_t i = 0; i < bounds->count; i++) {
        int64_t size = (int64_t)bounds->upper[i] - bounds->lower[i] + 1;

        if (!bounds->has_lower[i] || !bounds->has_upper[i]) {
            return bounds_missing();
        }
        if (size <= 0) {
            return bounds_crossed();
        }
        if (size > ARRAY_ELEMENTS_MAX) {
            return sql_error("54000", "array size exceeds the maximum allowed (%d)",
                             ARRAY_ELEMENTS_MAX);
        }
        shape.lower[i] = bounds->lower[i];
        shape.sizes[i] = (int32_t)size;
    }
    TRY(array_values_make(&all, &shape, arena));
    if (source->count < all.count) {
        return source_too_small();
    }
    memcpy(all.values, source->values, all.count * sizeof(*all.values));
    memcpy(all.nulls, source->nulls, all.count);
    err = array_values_put(type->element_type, &all, arena, out);
out:
    return err;
}

/* The part to replace; a list grows to hold it. */
static err_t
slice_place(struct array_values *all, const struct array_bounds *bounds, struct arena *arena,
            struct box *box)
{
    struct array_values before = *all;

    box->dimensions = all->shape.dimensions;
    for (uint32_t i = 0; i < box->dimensions; i++) {
        int64_t low = all->shape.lower[i], high = low + all->shape.sizes[i] - 1;
        int64_t from = i < bounds->count && bounds->has_lower[i] ? bounds->lower[i] : low;
        int64_t to = i < bounds->count && bounds->has_upper[i] ? bounds->upper[i] : high;

        if (from > to) {
            return bounds_crossed();
        }
        if (box->dimensions == 1 && (from < low || to > high)) {
            err_t err = list_extend(&before, from, to, arena, all);

            if (err != ERR_OK) {
                return err;
            }
            low = all->shape.lower[0];
        } else if (from < low || to > high) {
            return sql_error("2202E", "array subscript out of range");
        }
        box->first[i] = from - low;
        box->count[i] = to - from + 1;
    }
    return ERR_OK;
}

err_t
array_slice_set(const struct type *type, struct slice bytes, const struct array_bounds *bounds,
                struct slice source_bytes, struct arena *arena, struct datum *out)
{
    int64_t at[ARRAY_DIMENSIONS_MAX] = {0};
    struct array_values all, source;
    uint64_t count = 1;
    struct box box;
    err_t err;

    TRY(array_values_get(type, bytes, arena, &all));
    TRY(array_values_get(type, source_bytes, arena, &source));
    if (all.shape.dimensions == 0) {
        return slice_begin(type, bounds, &source, arena, out);
    }
    if (all.shape.dimensions < bounds->count) {
        return wrong_count();
    }
    TRY(slice_place(&all, bounds, arena, &box));
    for (uint32_t i = 0; i < box.dimensions; i++) {
        count *= (uint64_t)box.count[i];
    }
    if (source.count < count) {
        return source_too_small();
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number;

        (void)box_next(&box, &all.shape, at, &number);
        all.values[number] = source.values[i];
        all.nulls[number] = source.nulls[i];
    }
    err = array_values_put(type->element_type, &all, arena, out);
out:
    return err;
}

/* ---- Arrays of arrays ---- */

static err_t
nest_mismatch(void)
{
    return sql_error("2202E", "multidimensional arrays must have array expressions with matching "
                              "dimensions");
}

err_t
array_nest(const struct type *type, const struct datum *values, const uint8_t *nulls,
           uint32_t count, struct arena *arena, struct datum *out)
{
    struct array_shape shape = {0}, inner = {0};
    struct array_values all, part;
    bool has_empty = false;
    uint32_t at = 0;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        struct array_reader reader = {0};

        if (nulls[i] == 0) {
            TRY(array_open(type, values[i].bytes, &reader));
        }
        if (reader.shape.dimensions == 0) {
            has_empty = true;
        } else if (inner.dimensions == 0) {
            inner = reader.shape;
        } else if (!array_shape_equal(&inner, &reader.shape)) {
            return nest_mismatch();
        }
    }
    if (inner.dimensions == 0) {
        return array_list_put(type->element_type, NULL, NULL, 0, arena, out);
    }
    if (has_empty) {
        return nest_mismatch();
    }
    if (inner.dimensions == ARRAY_DIMENSIONS_MAX) {
        return sql_error("54000",
                         "number of array dimensions (%u) exceeds the maximum allowed (%d)",
                         inner.dimensions + 1, ARRAY_DIMENSIONS_MAX);
    }
    shape.dimensions = inner.dimensions + 1;
    shape.sizes[0] = (int32_t)count;
    shape.lower[0] = 1;
    memcpy(shape.sizes + 1, inner.sizes, inner.dimensions * sizeof(inner.sizes[0]));
    memcpy(shape.lower + 1, inner.lower, inner.dimensions * sizeof(inner.lower[0]));
    TRY(array_values_make(&all, &shape, arena));
    for (uint32_t i = 0; i < count; i++) {
        TRY(array_values_get(type, values[i].bytes, arena, &part));
        memcpy(all.values + at, part.values, part.count * sizeof(*part.values));
        memcpy(all.nulls + at, part.nulls, part.count);
        at += part.count;
    }
    err = array_values_put(type->element_type, &all, arena, out);
out:
    return err;
}
