/* query/fn/json_rows.c - functions that give what is in a JSON as rows. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "query/fn/json_item.h"
#include "query/fn/set.h"

#include "engine/base/poison.h"

struct rows_run {
    struct json_item item;
    uint32_t at;
};

static err_t
run_open(struct set_call *call)
{
    struct rows_run *run = call->state;

    return json_item_open(call->call.arena, json_call_is_text(&call->call), call->args[0].bytes,
                          &run->item);
}

static const char *
name_of(const struct set_call *call)
{
    return call->call.expr->function->name;
}

static uint32_t
chunk(const struct rows_run *run)
{
    return MIN(json_item_count(&run->item) - run->at, (uint32_t)BATCH_ROWS_MAX);
}

/* Into row `row` of a column: the value, or its text. */
static void
column_set(struct set_call *call, struct vector *column, uint32_t row, const struct json_item *item,
           bool as_text)
{
    if (!as_text) {
        column->values[row] = json_item_datum(item);
        return;
    }
    column->values[row] = datum_bytes(slice_of(NULL, 0));
    column->nulls[row] = !json_item_text(item, call->arena, &column->values[row].bytes);
}

/* ---- each ---- */

static err_t
each_start(struct set_call *call)
{
    struct rows_run *run = call->state;
    err_t err = run_open(call);

    if (err != ERR_OK || json_item_kind(&run->item) == JSON_OBJECT) {
        return err;
    }
    if (run->item.tree != NULL) {
        return sql_error("22023", "cannot deconstruct %s",
                         json_item_is_container(&run->item) ? "an array as an object" : "a scalar");
    }
    return sql_error("22023", "cannot call %s on a non-object", name_of(call));
}

static err_t
each_rows(struct set_call *call, struct vector *columns, bool as_text, uint32_t *count_out)
{
    struct rows_run *run = call->state;
    uint32_t count = chunk(run);

    for (uint32_t i = 0; i < count; i++, run->at++) {
        struct json_item part = json_item_at(&run->item, run->at);

        columns[0].values[i] = datum_bytes(json_item_key(&run->item, run->at));
        column_set(call, &columns[1], i, &part, as_text);
    }
    *count_out = count;
    return ERR_OK;
}

static err_t
each_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    return each_rows(call, columns, false, count_out);
}

static err_t
each_text_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    return each_rows(call, columns, true, count_out);
}

/* ---- array_elements ---- */

static err_t
elements_start(struct set_call *call)
{
    struct rows_run *run = call->state;
    err_t err = run_open(call);

    if (err != ERR_OK || json_item_kind(&run->item) == JSON_ARRAY) {
        return err;
    }
    if (run->item.tree != NULL) {
        return sql_error("22023", "cannot call %s on a %s", name_of(call),
                         json_item_is_container(&run->item) ? "non-array" : "scalar");
    }
    return sql_error("22023", "cannot extract elements from %s",
                     json_item_is_container(&run->item) ? "an object" : "a scalar");
}

static err_t
elements_rows(struct set_call *call, struct vector *columns, bool as_text, uint32_t *count_out)
{
    struct rows_run *run = call->state;
    uint32_t count = chunk(run);

    for (uint32_t i = 0; i < count; i++, run->at++) {
        struct json_item part = json_item_at(&run->item, run->at);

        column_set(call, &columns[0], i, &part, as_text);
    }
    *count_out = count;
    return ERR_OK;
}

static err_t
elements_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    return elements_rows(call, columns, false, count_out);
}

static err_t
elements_text_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    return elements_rows(call, columns, true, count_out);
}

/* ---- object_keys ---- */

static err_t
keys_start(struct set_call *call)
{
    struct rows_run *run = call->state;
    err_t err = run_open(call);

    if (err != ERR_OK || json_item_kind(&run->item) == JSON_OBJECT) {
        return err;
    }
    return sql_error("22023", "cannot call %s on %s", name_of(call),
                     json_item_is_container(&run->item) ? "an array" : "a scalar");
}

static err_t
keys_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct rows_run *run = call->state;
    uint32_t count = chunk(run);

    for (uint32_t i = 0; i < count; i++, run->at++) {
        columns[0].values[i] = datum_bytes(json_item_key(&run->item, run->at));
    }
    *count_out = count;
    return ERR_OK;
}

/* ---- to_record, to_recordset: fields become columns of the types that the caller names ---- */

/* Where a value lies: for messages. */
struct place {
    struct slice key;
    uint32_t depth;
    uint32_t indexes[ARRAY_DIMENSIONS_MAX];
};

static err_t value_become(struct set_call *call, const struct type *type, int32_t typmod,
                          const struct json_item *item, struct place *place, struct datum *out,
                          bool *is_null_out);

static err_t
expected_array(const struct place *place)
{
    char indexes[ARRAY_DIMENSIONS_MAX * 12 + 1] = "";
    size_t size = 0;

    for (uint32_t i = 0; i < place->depth; i++) {
        size += (size_t)snprintf(indexes + size, sizeof(indexes) - size, "[%u]", place->indexes[i]);
    }
    (void)sql_error("22P02", "expected JSON array");
    return place->depth == 0 ? sql_hint("See the value of key \"%.*s\".", (int)place->key.size,
                                        (const char *)place->key.data)
                             : sql_hint("See the array element %s of key \"%.*s\".", indexes,
                                        (int)place->key.size, (const char *)place->key.data);
}

/* The shape is that of the first elements; all must agree. */
static err_t
array_shape_find(const struct json_item *item, struct array_shape *shape)
{
    struct json_item level = *item;

    *shape = (struct array_shape){0};
    while (json_item_kind(&level) == JSON_ARRAY && json_item_count(&level) > 0) {
        if (shape->dimensions == ARRAY_DIMENSIONS_MAX) {
            return sql_error("54000",
                             "number of array dimensions (%d) exceeds the maximum allowed (%d)",
                             ARRAY_DIMENSIONS_MAX + 1, ARRAY_DIMENSIONS_MAX);
        }
        shape->lower[shape->dimensions] = 1;
        shape->sizes[shape->dimensions++] = (int32_t)json_item_count(&level);
        level = json_item_at(&level, 0);
    }
    return ERR_OK;
}

static err_t
array_fill(struct set_call *call, const struct type *element, int32_t typmod,
           const struct json_item *item, struct place *place, struct array_values *values,
           uint32_t *at)
{
    uint32_t level = place->depth;
    err_t err = ERR_OK;

    if (level == values->shape.dimensions) {
        bool is_null;

        TRY(value_become(call, element, typmod, item, place, &values->values[*at], &is_null));
        values->nulls[(*at)++] = is_null;
        return ERR_OK;
    }
    if (json_item_kind(item) != JSON_ARRAY) {
        return expected_array(place);
    }
    if (json_item_count(item) != (uint32_t)values->shape.sizes[level]) {
        (void)sql_error("22P02", "malformed JSON array");
        return sql_detail("Multidimensional arrays must have sub-arrays with matching dimensions.");
    }
    for (uint32_t i = 0; err == ERR_OK && i < json_item_count(item); i++) {
        struct json_item part = json_item_at(item, i);

        place->indexes[level] = i;
        place->depth = level + 1;
        err = array_fill(call, element, typmod, &part, place, values, at);
        place->depth = level;
    }
out:
    return err;
}

static err_t
value_become(struct set_call *call, const struct type *type, int32_t typmod,
             const struct json_item *item, struct place *place, struct datum *out,
             bool *is_null_out)
{
    const struct type_io io = {.arena = call->arena, .settings = call->call.settings};
    struct slice text;
    err_t err = sql_stack_check();

    *out = datum_int(0);
    *is_null_out = false;
    if (err != ERR_OK) {
        return err;
    }
    if (type->element_type != NULL && json_item_kind(item) == JSON_ARRAY) {
        struct array_values values;
        struct array_shape shape;
        uint32_t at = 0;

        TRY(array_shape_find(item, &shape));
        TRY(array_values_make(&values, &shape, call->arena));
        if (values.count > 0) {
            TRY(array_fill(call, type->element_type, typmod, item, place, &values, &at));
        }
        return array_values_put(type->element_type, &values, call->arena, out);
    }
    if (type->oid == OID_JSON || type->oid == OID_JSONB) {
        bool is_same = (type->oid == OID_JSON) == (item->tree != NULL);
        struct buf whole;

        if (is_same) {
            *out = json_item_datum(item);
            return ERR_OK;
        }
        if (item->tree != NULL) {
            return type->input(type, &io, json_item_datum(item).bytes, -1, out);
        }
        buf_init(&whole, MEM_SESSIONS);
        json_value_print(item->value, false, &whole);
        out->bytes = arena_copy(call->arena, buf_slice(&whole));
        buf_fini(&whole);
        return ERR_OK;
    }
    *is_null_out = !json_item_text(item, call->arena, &text);
    if (*is_null_out) {
        return ERR_OK;
    }
    if (type->element_type != NULL && json_item_kind(item) != JSON_STRING) {
        return expected_array(place);
    }
    TRY(type->input(type, &io, text, typmod, out));
    err = type_coerce_length(type, *out, typmod, false, call->arena, out);
out:
    return err;
}

static err_t
record_row(struct set_call *call, const struct json_item *item, struct vector *columns,
           uint32_t row)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < call->shape->count; i++) {
        struct place place = {.key = call->shape->names[i]};
        struct json_item found;
        bool is_null = true;

        columns[i].values[row] = datum_int(0);
        if (json_item_find(item, call->shape->names[i], &found)) {
            err = value_become(call, call->shape->types[i], call->shape->typmods[i], &found, &place,
                               &columns[i].values[row], &is_null);
        }
        columns[i].nulls[row] = is_null;
    }
    return err;
}

static err_t
record_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct rows_run *run = call->state;

    *count_out = 0;
    if (run->at > 0) {
        return ERR_OK;
    }
    if (json_item_kind(&run->item) != JSON_OBJECT) {
        return sql_error("22023", "cannot call %s on %s", name_of(call),
                         json_item_is_container(&run->item) ? "an array" : "a scalar");
    }
    run->at = 1;
    *count_out = 1;
    return record_row(call, &run->item, columns, 0);
}

static err_t
recordset_next(struct set_call *call, struct vector *columns, uint32_t *count_out)
{
    struct rows_run *run = call->state;
    uint32_t count;
    err_t err = ERR_OK;

    if (json_item_kind(&run->item) != JSON_ARRAY) {
        return sql_error("22023", "cannot call %s on %s", name_of(call),
                         json_item_is_container(&run->item) ? "an object" : "a scalar");
    }
    count = chunk(run);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++, run->at++) {
        struct json_item part = json_item_at(&run->item, run->at);

        if (json_item_kind(&part) != JSON_OBJECT) {
            return sql_error("22023", "argument of %s must be an array of objects", name_of(call));
        }
        err = record_row(call, &part, columns, i);
    }
    *count_out = count;
    return err;
}

/* ---- The table ---- */

static const struct set_column each_json[] = {{"key", OID_TEXT}, {"value", OID_JSON}};
static const struct set_column each_jsonb[] = {{"key", OID_TEXT}, {"value", OID_JSONB}};
static const struct set_column each_text[] = {{"key", OID_TEXT}, {"value", OID_TEXT}};
static const struct set_column value_json[] = {{"value", OID_JSON}};
static const struct set_column value_jsonb[] = {{"value", OID_JSONB}};
static const struct set_column value_text[] = {{"value", OID_TEXT}};

#define SET_OF(sname, columns_count, columns_of, begin, more)                                      \
    static const struct set_function sname = {                                                     \
        .column_count = (columns_count),                                                           \
        .columns = (columns_of),                                                                   \
        .state_bytes = sizeof(struct rows_run),                                                    \
        .start = (begin),                                                                          \
        .next = (more),                                                                            \
    }
SET_OF(each_json_set, 2, each_json, each_start, each_next);
SET_OF(each_jsonb_set, 2, each_jsonb, each_start, each_next);
SET_OF(each_text_set, 2, each_text, each_start, each_text_next);
SET_OF(elements_json_set, 1, value_json, elements_start, elements_next);
SET_OF(elements_jsonb_set, 1, value_jsonb, elements_start, elements_next);
SET_OF(elements_text_set, 1, value_text, elements_start, elements_text_next);
SET_OF(keys_set, 0, NULL, keys_start, keys_next);
static const struct set_function record_set = {
    .needs_columns = true,
    .state_bytes = sizeof(struct rows_run),
    .start = run_open,
    .next = record_next,
};
static const struct set_function recordset_set = {
    .needs_columns = true,
    .state_bytes = sizeof(struct rows_run),
    .start = run_open,
    .next = recordset_next,
};

#define SET(fname, res, type, rows_of)                                                             \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {(type)}, .arg_count = 1, .is_strict = true, \
            .set = &(rows_of)                                                                      \
        }                                                                                          \
    }
#define BOTH(prefix, type)                                                                         \
    SET(prefix "_each", OID_RECORD, type, each_##type##_set),                                      \
        SET(prefix "_each_text", OID_RECORD, type, each_text_set),                                 \
        SET(prefix "_array_elements", type, type, elements_##type##_set),                          \
        SET(prefix "_array_elements_text", OID_TEXT, type, elements_text_set),                     \
        SET(prefix "_object_keys", OID_TEXT, type, keys_set),                                      \
        SET(prefix "_to_record", OID_RECORD, type, record_set),                                    \
        SET(prefix "_to_recordset", OID_RECORD, type, recordset_set)
#define each_OID_JSON_set      each_json_set
#define each_OID_JSONB_set     each_jsonb_set
#define elements_OID_JSON_set  elements_json_set
#define elements_OID_JSONB_set elements_jsonb_set

static const struct operator_row rows[] = {
    BOTH("json", OID_JSON),
    BOTH("jsonb", OID_JSONB),
};

const struct function_part fn_part_json_rows = {rows, sizeof(rows) / sizeof(rows[0])};
