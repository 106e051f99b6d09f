/* models/types/datum.h - one SQL value, and columns of them.
 *
 * Whether a value is null stands beside it. Which member holds depends on the type's
 * representation (type.h). Bytes and large numerics belong to an arena that outlives the value. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "models/types/numeric.h"

/* Months and days are kept apart from time, as a month has no fixed number of days. */
struct interval {
    int64_t us;
    int32_t days;
    int32_t months;
};

/* A time of day with the offset of its zone. */
struct timetz {
    int64_t us;
    int32_t offset; /* East, in seconds. */
};
enum { TIMETZ_BYTES = 12 }; /* Without what fills it up. */

struct datum {
    union {
        int64_t i; /* bool, int2, int4, int8, oid, date, time, timestamp, timestamptz */
        double f;
        struct slice bytes;
        struct numeric n;
        struct interval interval;
        struct timetz timetz;
    };
};
_Static_assert(sizeof(struct datum) == 16, "values lie in arrays");

/* A column of a batch. nulls: one byte a row; NULL: none is null. is_constant: only row 0 is there,
 * and it holds for all. */
struct vector {
    struct datum *values;
    uint8_t *nulls;
    bool is_constant;
};

enum { BATCH_ROWS_MAX = 1024 };

struct batch {
    struct vector *columns;
    uint32_t column_count;
    uint32_t rows;
};

static inline uint32_t
vector_at(const struct vector *vector, uint32_t row)
{
    return vector->is_constant ? 0 : row;
}
static inline bool
vector_is_null(const struct vector *vector, uint32_t row)
{
    return vector->nulls != NULL && vector->nulls[vector_at(vector, row)] != 0;
}
static inline struct datum
vector_value(const struct vector *vector, uint32_t row)
{
    return vector->values[vector_at(vector, row)];
}

static inline struct datum
datum_int(int64_t value)
{
    return (struct datum){.i = value};
}
static inline struct datum
datum_float(double value)
{
    return (struct datum){.f = value};
}
static inline struct datum
datum_bytes(struct slice bytes)
{
    return (struct datum){.bytes = bytes};
}
static inline struct datum
datum_numeric(struct numeric value)
{
    return (struct datum){.n = value};
}
