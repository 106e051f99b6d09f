/* models/types/array.h - values of array types: up to 6 dimensions of elements of one type.
 *
 * Text forms, binary forms and messages: PostgreSQL 15, section 8.15. The bytes of a value:
 *
 *     head      1 byte: number of dimensions (bits 0-2), 8: there are nulls, 16: there are lower
 *               bounds other than 1
 *     sizes     of each dimension: varint; with 16, the lower bound behind it: zigzag varint
 *     nulls     with 8: a bit for each element that is null, the lowest first
 *     elements  the others, in row-major order: as in rows, of varying length behind a varint
 *
 * Equal arrays may differ in bytes (1.0 and 1.00): compare and hash by the type. Nothing suspends.
 * Errors: ERR_CORRUPT for bytes that are no such value, 54000 and 53200 for too large ones. */
#pragma once

#include "models/types/type.h"

enum {
    ARRAY_DIMENSIONS_MAX = 6,
    ARRAY_ELEMENTS_MAX = 134217727, /* PostgreSQL's MaxArraySize. */
};

struct array_shape {
    uint32_t dimensions; /* 0: no elements. */
    int32_t sizes[ARRAY_DIMENSIONS_MAX];
    int32_t lower[ARRAY_DIMENSIONS_MAX];
};
/* The shape of a list: one dimension from 1, none when it is empty. */
struct array_shape array_shape_list(uint32_t count);
/* Number of elements; 54000 when they are too many, or bounds leave int4. */
err_t array_shape_count(const struct array_shape *shape, uint32_t *count_out);
bool array_shape_equal(const struct array_shape *a, const struct array_shape *b);

/* Reads elements one after the other; borrows the bytes. */
struct array_reader {
    const struct type *element;
    struct array_shape shape;
    uint32_t count;
    uint32_t next;
    const uint8_t *nulls; /* NULL: none is null. */
    const uint8_t *at, *end;
};
/* type: of the array. */
err_t array_open(const struct type *type, struct slice bytes, struct array_reader *reader);
/* Not beyond `count`. Large numerics are copied to the arena, bytes are borrowed. */
err_t array_next(struct array_reader *reader, struct arena *arena, struct datum *value_out,
                 bool *is_null_out);

/* All elements. */
struct array_values {
    struct array_shape shape;
    uint32_t count;
    struct datum *values;
    uint8_t *nulls;
};
/* Room in the arena, all null. */
err_t array_values_make(struct array_values *values, const struct array_shape *shape,
                        struct arena *arena);
err_t array_values_get(const struct type *type, struct slice bytes, struct arena *arena,
                       struct array_values *out);
/* element: of the elements. */
err_t array_values_put(const struct type *element, const struct array_values *values,
                       struct arena *arena, struct datum *out);
/* A list of `count` values; nulls NULL: none. */
err_t array_list_put(const struct type *element, const struct datum *values, const uint8_t *nulls,
                     uint32_t count, struct arena *arena, struct datum *out);

/* Are stored bytes an array of the type, element by element? */
err_t array_check(const struct type *type, struct slice bytes);
int array_compare(const struct type *type, struct datum a, struct datum b);
void array_key_put(const struct type *type, struct datum value, struct buf *out);
void array_hash_put(const struct type *type, struct datum value, struct buf *out);
/* varchar(n)[] and its like: each element by type_coerce_length. */
err_t array_coerce_length(const struct type *type, struct datum value, int32_t typmod,
                          bool is_explicit, struct arena *arena, struct datum *out);
