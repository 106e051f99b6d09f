/* query/fn/array_sort.c - sorted elements, and text taken apart. */
#include "query/fn/array_sort.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

/* ---- A heap sort: no extra memory, and never worse than n log n ---- */

static void
sift_down(const struct type *element, struct datum *values, uint32_t root, uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        struct datum moved;

        if (child >= count) {
            return;
        }
        if (child + 1 < count && element->compare(element, values[child], values[child + 1]) < 0) {
            child++;
        }
        if (element->compare(element, values[root], values[child]) >= 0) {
            return;
        }
        moved = values[root];
        values[root] = values[child];
        values[child] = moved;
        root = child;
    }
}

void
array_values_sort(const struct type *element, struct datum *values, uint32_t count)
{
    for (uint32_t i = count / 2; i > 0; i--) {
        sift_down(element, values, i - 1, count);
    }
    for (uint32_t end = count; end > 1; end--) {
        struct datum last = values[end - 1];

        values[end - 1] = values[0];
        values[0] = last;
        sift_down(element, values, 0, end - 1);
    }
}

bool
array_values_find(const struct type *element, const struct datum *values, uint32_t count,
                  struct datum value)
{
    uint32_t low = 0, high = count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = element->compare(element, values[middle], value);

        if (order == 0) {
            return true;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

/* ---- Text to pieces ---- */

/* Bytes up to the delimiter, or to the end; without one, one character. */
static size_t
piece_bytes(struct slice text, const struct slice *delimiter, bool *is_last_out)
{
    size_t size;

    if (delimiter == NULL) {
        size = text_prefix_bytes(text, 1);
        *is_last_out = size == text.size;
        return size;
    }
    for (size = 0; delimiter->size > 0 && size + delimiter->size <= text.size; size++) {
        if (text.data[size] == delimiter->data[0] &&
            memcmp(text.data + size, delimiter->data, delimiter->size) == 0) {
            *is_last_out = false;
            return size;
        }
    }
    *is_last_out = true;
    return text.size;
}

struct pieces {
    struct arena *arena;
    struct datum *values;
    uint8_t *nulls;
    uint32_t count, capacity;
};

static err_t
piece_add(struct pieces *pieces, struct slice text, bool is_null)
{
    if (pieces->count == pieces->capacity) {
        uint32_t capacity = MAX(16U, pieces->capacity * 2);
        struct datum *values = arena_alloc(pieces->arena, capacity * sizeof(*values));
        uint8_t *nulls = arena_alloc(pieces->arena, capacity);

        if (values == NULL || nulls == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (pieces->count > 0) {
            memcpy(values, pieces->values, pieces->count * sizeof(*values));
            memcpy(nulls, pieces->nulls, pieces->count);
        }
        pieces->values = values;
        pieces->nulls = nulls;
        pieces->capacity = capacity;
    }
    pieces->values[pieces->count] = datum_bytes(text);
    pieces->nulls[pieces->count++] = is_null;
    return ERR_OK;
}

err_t
fn_string_split(struct call *call, const struct datum *args, struct datum **values_out,
                uint8_t **nulls_out, uint32_t *count_out)
{
    const struct slice *delimiter = call->nulls[1] != 0 ? NULL : &args[1].bytes;
    bool has_null_text = call->arg_count > 2 && call->nulls[2] == 0;
    struct pieces pieces = {.arena = call->arena};
    struct slice text = args[0].bytes;
    bool is_last = text.size == 0;
    err_t err = ERR_OK;

    while (err == ERR_OK && !is_last) {
        size_t size = piece_bytes(text, delimiter, &is_last);
        struct slice piece = slice_of(text.data, size);
        size_t skip = is_last || delimiter == NULL ? size : size + delimiter->size;

        err = piece_add(&pieces, piece, has_null_text && slice_equal(piece, args[2].bytes));
        text = slice_of(text.data + skip, text.size - skip);
    }
    *values_out = pieces.values;
    *nulls_out = pieces.nulls;
    *count_out = pieces.count;
    return err;
}

err_t
fn_string_to_array(struct call *call, const struct datum *args, struct datum *out)
{
    struct datum *values;
    uint8_t *nulls;
    uint32_t count;
    err_t err;

    call->is_null = call->nulls[0] != 0;
    if (call->is_null) {
        return ERR_OK;
    }
    err = fn_string_split(call, args, &values, &nulls, &count);
    return err != ERR_OK
               ? err
               : array_list_put(type_by_oid(OID_TEXT), values, nulls, count, call->arena, out);
}
