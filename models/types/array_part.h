/* models/types/array_part.h - parts of arrays: elements and slices, read and replaced.
 *
 * Rules: PostgreSQL 15, section 8.15.3 and 8.15.4. Nothing suspends; results lie in the arena. */
#pragma once

#include "models/types/array.h"

/* The subscripts of a value. A slice has two bounds each, of which one may be missing; an element
 * has upper bounds alone. */
struct array_bounds {
    uint32_t count;
    bool is_slice;
    bool has_lower[ARRAY_DIMENSIONS_MAX], has_upper[ARRAY_DIMENSIONS_MAX];
    int32_t lower[ARRAY_DIMENSIONS_MAX], upper[ARRAY_DIMENSIONS_MAX];
};

/* Null when there is no such element. */
err_t array_element_get(const struct type *type, struct slice bytes,
                        const struct array_bounds *bounds, struct arena *arena, struct datum *out,
                        bool *is_null_out);
/* Empty when there is no such part. */
err_t array_slice_get(const struct type *type, struct slice bytes,
                      const struct array_bounds *bounds, struct arena *arena, struct datum *out);
/* An array of one dimension grows as far as the subscript. 2202E. */
err_t array_element_set(const struct type *type, struct slice bytes,
                        const struct array_bounds *bounds, struct datum value, bool is_null,
                        struct arena *arena, struct datum *out);
/* source: an array of at least as many elements. 2202E. */
err_t array_slice_set(const struct type *type, struct slice bytes,
                      const struct array_bounds *bounds, struct slice source, struct arena *arena,
                      struct datum *out);
/* Arrays become one array of a dimension more. 2202E when their shapes differ. */
err_t array_nest(const struct type *type, const struct datum *values, const uint8_t *nulls,
                 uint32_t count, struct arena *arena, struct datum *out);
