/* models/types/array.c - arrays: bytes, order, hashing. */
#include "models/types/array.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { HEAD_DIMENSIONS = 7, HEAD_NULLS = 8, HEAD_LOWER = 16 };

/* ---- Shapes ---- */

struct array_shape
array_shape_list(uint32_t count)
{
    return (struct array_shape){
        .dimensions = count > 0 ? 1 : 0, .sizes = {(int32_t)count}, .lower = {1}};
}

err_t
array_shape_count(const struct array_shape *shape, uint32_t *count_out)
{
    uint64_t count = shape->dimensions > 0;

    for (uint32_t i = 0; i < shape->dimensions; i++) {
        if ((int64_t)shape->lower[i] + shape->sizes[i] > INT32_MAX) {
            return sql_error("54000", "array lower bound is too large: %d", shape->lower[i]);
        }
        count *= (uint64_t)MAX(shape->sizes[i], 0);
        if (count > ARRAY_ELEMENTS_MAX) {
            return sql_error("54000", "array size exceeds the maximum allowed (%d)",
                             ARRAY_ELEMENTS_MAX);
        }
    }
    *count_out = (uint32_t)count;
    return ERR_OK;
}

bool
array_shape_equal(const struct array_shape *a, const struct array_shape *b)
{
    size_t size = a->dimensions * sizeof(a->sizes[0]);

    return a->dimensions == b->dimensions && memcmp(a->sizes, b->sizes, size) == 0 &&
           memcmp(a->lower, b->lower, size) == 0;
}

/* ---- Reading ---- */

/* 0: elements have lengths in front. */
static size_t
fixed_bytes(const struct type *element)
{
    switch ((enum type_rep)element->rep) {
    case REP_INT:
    case REP_FLOAT:
        return (size_t)element->length;
    case REP_INTERVAL:
        return sizeof(struct interval);
    default:
        return 0;
    }
}

static err_t
corrupt(const struct type *type)
{
    return err_set(ERR_CORRUPT, "a stored array of %s is malformed", type->name);
}

static bool
take_varint(struct array_reader *reader, uint64_t *out)
{
    size_t used = get_varint(reader->at, reader->end, out);

    reader->at += used;
    return used > 0;
}

static bool
shape_read(struct array_reader *reader, bool has_lower)
{
    uint64_t size, lower, count = reader->shape.dimensions > 0;

    for (uint32_t i = 0; i < reader->shape.dimensions; i++) {
        if (!take_varint(reader, &size) || size == 0 || size > ARRAY_ELEMENTS_MAX) {
            return false;
        }
        reader->shape.sizes[i] = (int32_t)size;
        reader->shape.lower[i] = 1;
        if (has_lower) {
            if (!take_varint(reader, &lower) || lower > UINT32_MAX) {
                return false;
            }
            reader->shape.lower[i] = (int32_t)((uint32_t)lower >> 1 ^ -(lower & 1));
        }
        count *= size;
        if (count > ARRAY_ELEMENTS_MAX ||
            (int64_t)reader->shape.lower[i] + (int64_t)size > INT32_MAX) {
            return false;
        }
    }
    reader->count = (uint32_t)count;
    return true;
}

err_t
array_open(const struct type *type, struct slice bytes, struct array_reader *reader)
{
    uint8_t head;
    size_t fixed;

    ASSERT(type->element_type != NULL);
    *reader = (struct array_reader){.element = type->element_type};
    if (bytes.size == 0) {
        return corrupt(type);
    }
    head = bytes.data[0];
    reader->at = bytes.data + 1;
    reader->end = bytes.data + bytes.size;
    reader->shape.dimensions = head & HEAD_DIMENSIONS;
    if (reader->shape.dimensions > ARRAY_DIMENSIONS_MAX || head >= 2 * HEAD_LOWER ||
        !shape_read(reader, (head & HEAD_LOWER) != 0)) {
        return corrupt(type);
    }
    if ((head & HEAD_NULLS) != 0) {
        if ((uint64_t)(reader->end - reader->at) < (reader->count + 7ULL) / 8) {
            return corrupt(type);
        }
        reader->nulls = reader->at;
        reader->at += (reader->count + 7ULL) / 8;
    }
    /* Every element that is not null has a byte at least: no count without its bytes. */
    fixed = MAX(fixed_bytes(reader->element), 1UL);
    if (reader->nulls == NULL && (uint64_t)(reader->end - reader->at) / fixed < reader->count) {
        return corrupt(type);
    }
    return ERR_OK;
}

err_t
array_next(struct array_reader *reader, struct arena *arena, struct datum *value_out,
           bool *is_null_out)
{
    uint32_t number = reader->next++;
    uint64_t size = fixed_bytes(reader->element);
    struct slice bytes;

    ASSERT(number < reader->count);
    *is_null_out = reader->nulls != NULL && (reader->nulls[number / 8] >> number % 8 & 1) != 0;
    if (*is_null_out) {
        *value_out = datum_int(0);
        return ERR_OK;
    }
    if ((size == 0 && !take_varint(reader, &size)) || size > (uint64_t)(reader->end - reader->at)) {
        return corrupt(reader->element);
    }
    bytes = slice_of(reader->at, size);
    reader->at += size;
    return type_row_get(reader->element, bytes, arena, value_out);
}

err_t
array_values_make(struct array_values *values, const struct array_shape *shape, struct arena *arena)
{
    err_t err = array_shape_count(shape, &values->count);

    if (err != ERR_OK) {
        return err;
    }
    values->shape = *shape;
    if (values->count == 0) {
        values->shape.dimensions = 0;
    }
    values->values = arena_alloc(arena, (values->count + 1ULL) * sizeof(*values->values));
    values->nulls = arena_alloc(arena, values->count + 1ULL);
    if (values->values == NULL || values->nulls == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    memset(values->values, 0, values->count * sizeof(*values->values));
    memset(values->nulls, 1, values->count);
    return ERR_OK;
}

err_t
array_values_get(const struct type *type, struct slice bytes, struct arena *arena,
                 struct array_values *out)
{
    struct array_reader reader;
    err_t err;

    TRY(array_open(type, bytes, &reader));
    TRY(array_values_make(out, &reader.shape, arena));
    for (uint32_t i = 0; i < reader.count; i++) {
        bool is_null;

        TRY(array_next(&reader, arena, &out->values[i], &is_null));
        out->nulls[i] = is_null;
    }
out:
    return err;
}

err_t
array_check(const struct type *type, struct slice bytes)
{
    struct array_reader reader;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(array_open(type, bytes, &reader));
    for (uint32_t i = 0; i < reader.count; i++) {
        struct datum value;
        bool is_null;

        TRY(array_next(&reader, &arena, &value, &is_null));
    }
    err = reader.at == reader.end ? ERR_OK : corrupt(type);
out:
    arena_fini(&arena);
    return err;
}

/* ---- Writing ---- */

static void
head_put(const struct array_shape *shape, bool has_nulls, struct buf *out)
{
    uint8_t head = (uint8_t)(shape->dimensions | (has_nulls ? HEAD_NULLS : 0));

    for (uint32_t i = 0; i < shape->dimensions; i++) {
        head |= shape->lower[i] != 1 ? HEAD_LOWER : 0;
    }
    buf_append_byte(out, head);
    for (uint32_t i = 0; i < shape->dimensions; i++) {
        buf_append_varint(out, (uint32_t)shape->sizes[i]);
        if ((head & HEAD_LOWER) != 0) {
            uint32_t lower = (uint32_t)shape->lower[i];

            buf_append_varint(out, (uint32_t)(lower << 1 ^ (uint32_t)(shape->lower[i] >> 31)));
        }
    }
}

static void
nulls_put(const struct array_values *values, struct buf *out)
{
    uint32_t size = (values->count + 7) / 8;
    uint8_t *bits = buf_reserve(out, size);

    memset(bits, 0, size);
    for (uint32_t i = 0; i < values->count; i++) {
        bits[i / 8] |= (uint8_t)((values->nulls[i] != 0) << i % 8);
    }
    out->size += size;
}

static bool
element_put(const struct type *element, struct datum value, struct buf *part, struct buf *out)
{
    if (fixed_bytes(element) != 0) {
        type_row_put(element, value, out);
        return true;
    }
    if (element->rep == REP_BYTES) {
        if (!buf_try_reserve(out, value.bytes.size + VARINT_BYTES_MAX)) {
            return false;
        }
        buf_append_varint(out, value.bytes.size);
        buf_append(out, value.bytes.data, value.bytes.size);
        return true;
    }
    buf_clear(part);
    type_row_put(element, value, part);
    buf_append_varint(out, part->size);
    buf_append(out, part->data, part->size);
    return true;
}

err_t
array_values_put(const struct type *element, const struct array_values *values, struct arena *arena,
                 struct datum *out)
{
    bool has_nulls = values->count > 0 && memchr(values->nulls, 1, values->count) != NULL;
    struct buf bytes, part;
    err_t err = ERR_OK;

    buf_init(&bytes, MEM_SESSIONS);
    buf_init(&part, MEM_SESSIONS);
    head_put(&values->shape, has_nulls, &bytes);
    if (has_nulls) {
        nulls_put(values, &bytes);
    }
    if (!buf_try_reserve(&bytes, values->count * MAX(fixed_bytes(element), 1UL))) {
        TRY(err_set_default(ERR_NO_MEMORY));
    }
    for (uint32_t i = 0; i < values->count; i++) {
        if (values->nulls[i] == 0 && !element_put(element, values->values[i], &part, &bytes)) {
            TRY(err_set_default(ERR_NO_MEMORY));
        }
    }
    out->bytes = arena_copy(arena, buf_slice(&bytes));
    if (out->bytes.data == NULL) {
        err = err_set_default(ERR_NO_MEMORY);
    }
out:
    buf_fini(&bytes);
    buf_fini(&part);
    return err;
}

err_t
array_list_put(const struct type *element, const struct datum *values, const uint8_t *nulls,
               uint32_t count, struct arena *arena, struct datum *out)
{
    struct array_shape shape = array_shape_list(count);
    struct array_values list;
    err_t err = array_values_make(&list, &shape, arena);

    if (err != ERR_OK) {
        return err;
    }
    for (uint32_t i = 0; i < count; i++) {
        list.values[i] = values[i];
        list.nulls[i] = nulls != NULL && nulls[i] != 0;
    }
    return array_values_put(element, &list, arena, out);
}

err_t
array_coerce_length(const struct type *type, struct datum value, int32_t typmod, bool is_explicit,
                    struct arena *arena, struct datum *out)
{
    struct array_values values;
    err_t err;

    TRY(array_values_get(type, value.bytes, arena, &values));
    for (uint32_t i = 0; i < values.count; i++) {
        if (values.nulls[i] == 0) {
            TRY(type_coerce_length(type->element_type, values.values[i], typmod, is_explicit, arena,
                                   &values.values[i]));
        }
    }
    err = array_values_put(type->element_type, &values, arena, out);
out:
    return err;
}

/* ---- Order: elements first, then their number, then the shape. A null is above all values ---- */

static int
int_order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int
shape_order(const struct array_shape *a, const struct array_shape *b)
{
    int order = int_order(a->dimensions, b->dimensions);

    for (uint32_t i = 0; order == 0 && i < a->dimensions; i++) {
        order = int_order(a->sizes[i], b->sizes[i]);
    }
    for (uint32_t i = 0; order == 0 && i < a->dimensions; i++) {
        order = int_order(a->lower[i], b->lower[i]);
    }
    return order;
}

/* Values were checked when they came in: what fails here ends the comparison. */
static int
elements_order(struct array_reader *a, struct array_reader *b, struct arena *arena)
{
    uint32_t common = MIN(a->count, b->count);
    int order = 0;

    for (uint32_t i = 0; order == 0 && i < common; i++) {
        struct datum x, y;
        bool x_null, y_null;

        if (array_next(a, arena, &x, &x_null) != ERR_OK ||
            array_next(b, arena, &y, &y_null) != ERR_OK) {
            return 0;
        }
        order =
            x_null || y_null ? int_order(x_null, y_null) : a->element->compare(a->element, x, y);
    }
    return order;
}

int
array_compare(const struct type *type, struct datum a, struct datum b)
{
    struct array_reader x, y;
    struct arena arena;
    int order;

    if (array_open(type, a.bytes, &x) != ERR_OK || array_open(type, b.bytes, &y) != ERR_OK) {
        return slice_compare(a.bytes, b.bytes);
    }
    arena_init(&arena, MEM_SESSIONS);
    order = elements_order(&x, &y, &arena);
    arena_fini(&arena);
    if (order == 0) {
        order = int_order(x.count, y.count);
    }
    return order != 0 ? order : shape_order(&x.shape, &y.shape);
}

/* In keys: 1 and the element's key, or 2 for null, for each; 0; the shape. */
enum { KEY_END = 0, KEY_ELEMENT = 1, KEY_NULL = 2 };

static void
key_int(int32_t value, struct buf *out)
{
    put_be32(buf_reserve(out, 4), (uint32_t)value ^ (UINT32_C(1) << 31));
    out->size += 4;
}

typedef void (*element_fn)(const struct type *type, struct datum value, struct buf *out);

static void
elements_put(const struct type *type, struct datum value, element_fn put, struct buf *out)
{
    struct array_reader reader;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    if (array_open(type, value.bytes, &reader) != ERR_OK) {
        reader.count = 0;
        reader.shape.dimensions = 0;
    }
    for (uint32_t i = 0; i < reader.count; i++) {
        struct datum element;
        bool is_null;

        if (array_next(&reader, &arena, &element, &is_null) != ERR_OK) {
            break;
        }
        buf_append_byte(out, is_null ? KEY_NULL : KEY_ELEMENT);
        if (!is_null) {
            put(reader.element, element, out);
        }
    }
    arena_fini(&arena);
    buf_append_byte(out, KEY_END);
    buf_append_byte(out, (uint8_t)reader.shape.dimensions);
    for (uint32_t i = 0; i < reader.shape.dimensions; i++) {
        key_int(reader.shape.sizes[i], out);
    }
    for (uint32_t i = 0; i < reader.shape.dimensions; i++) {
        key_int(reader.shape.lower[i], out);
    }
}

void
array_key_put(const struct type *type, struct datum value, struct buf *out)
{
    elements_put(type, value, type_key_put, out);
}

void
array_hash_put(const struct type *type, struct datum value, struct buf *out)
{
    elements_put(type, value, type_hash_put, out);
}
