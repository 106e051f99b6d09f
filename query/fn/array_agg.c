/* query/fn/array_agg.c - array_agg: values become a list, arrays an array of a dimension more. */
#include "engine/base/assert.h"
#include "models/types/array_part.h"
#include "models/types/sql_error.h"
#include "query/fn/fn.h"

#include "engine/base/poison.h"

/* Values in the arena of the aggregation, as an array that doubles. */
struct gathered {
    struct datum *values;
    uint8_t *nulls;
    uint32_t count, capacity;
    struct array_shape shape; /* Of the first, of arrays. */
};

static void
gathered_init(void *state)
{
    *(struct gathered *)state = (struct gathered){0};
}

static err_t
gathered_put(struct gathered *gathered, struct arena *arena, struct datum value, bool is_null)
{
    if (gathered->count == gathered->capacity) {
        uint32_t capacity = MAX(8U, gathered->capacity * 2);
        struct datum *values = arena_alloc(arena, capacity * sizeof(*values));
        uint8_t *nulls = arena_alloc(arena, capacity);

        if (capacity > ARRAY_ELEMENTS_MAX || values == NULL || nulls == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (gathered->count > 0) {
            memcpy(values, gathered->values, gathered->count * sizeof(*values));
            memcpy(nulls, gathered->nulls, gathered->count);
        }
        gathered->values = values;
        gathered->nulls = nulls;
        gathered->capacity = capacity;
    }
    gathered->values[gathered->count] = value;
    gathered->nulls[gathered->count++] = is_null;
    return ERR_OK;
}

static err_t
values_add(void *state, struct call *call, const struct datum *args)
{
    const struct type *element = call->expr->type->element_type;
    bool is_null = call->nulls[0] != 0;

    return gathered_put(state, call->arena,
                        is_null ? datum_int(0) : type_copy(element, args[0], call->arena), is_null);
}

static err_t
values_get(const void *state, struct call *call, struct datum *out)
{
    const struct gathered *gathered = state;

    call->is_null = gathered->count == 0;
    return call->is_null ? ERR_OK
                         : array_list_put(call->expr->type->element_type, gathered->values,
                                          gathered->nulls, gathered->count, call->arena, out);
}

static err_t
arrays_add(void *state, struct call *call, const struct datum *args)
{
    struct gathered *gathered = state;
    struct array_reader reader;
    err_t err;

    if (call->nulls[0] != 0) {
        return sql_error("22004", "cannot accumulate null arrays");
    }
    TRY(array_open(call->expr->type, args[0].bytes, &reader));
    if (reader.shape.dimensions == 0) {
        return sql_error("2202E", "cannot accumulate empty arrays");
    }
    if (gathered->count == 0) {
        if (reader.shape.dimensions == ARRAY_DIMENSIONS_MAX) {
            return sql_error("54000",
                             "number of array dimensions (%d) exceeds the maximum allowed (%d)",
                             ARRAY_DIMENSIONS_MAX + 1, ARRAY_DIMENSIONS_MAX);
        }
        gathered->shape = reader.shape;
    } else if (!array_shape_equal(&gathered->shape, &reader.shape)) {
        return sql_error("2202E", "cannot accumulate arrays of different dimensionality");
    }
    err = gathered_put(gathered, call->arena, type_copy(call->expr->type, args[0], call->arena),
                       false);
out:
    return err;
}

static err_t
arrays_get(const void *state, struct call *call, struct datum *out)
{
    const struct gathered *gathered = state;

    call->is_null = gathered->count == 0;
    return call->is_null ? ERR_OK
                         : array_nest(call->expr->type, gathered->values, gathered->nulls,
                                      gathered->count, call->arena, out);
}

static const struct aggregate_function rows[] = {
    {.name = "array_agg",
     .result = OID_ANYARRAY,
     .arg = OID_ANYNONARRAY,
     .state_bytes = sizeof(struct gathered),
     .takes_nulls = true,
     .init = gathered_init,
     .add = values_add,
     .get = values_get},
    {.name = "array_agg",
     .result = OID_ANYARRAY,
     .arg = OID_ANYARRAY,
     .state_bytes = sizeof(struct gathered),
     .takes_nulls = true,
     .init = gathered_init,
     .add = arrays_add,
     .get = arrays_get},
};

const struct aggregate_part fn_aggregates_array = {rows, sizeof(rows) / sizeof(rows[0])};
