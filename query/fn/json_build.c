/* query/fn/json_build.c - to_json, json_build_array, json_build_object, json_object, row_to_json.
 *
 * jsonb is made of the text. */
#include "query/fn/json_build.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/datetime.h"
#include "models/types/sql_error.h"
#include "models/types/tuple.h"

#include "engine/base/poison.h"

enum { TEXT_ARRAY = 1009 };

/* ---- Values ---- */

static bool
is_number(struct slice text)
{
    size_t at = text.size > 0 && text.data[0] == '-';

    return at < text.size && text.data[at] >= '0' && text.data[at] <= '9';
}

/* Dates and times are those of ISO 8601: a T in between, zones with minutes. */
static void
moment_emit(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    struct type_settings iso = *settings;
    struct buf text;
    size_t zone = 0;

    iso.date_style = DATE_ISO;
    buf_init(&text, MEM_SESSIONS);
    type->output(type, &iso, value, &text);
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == ' ' && i + 1 < text.size && text.data[i + 1] != 'B') {
            text.data[i] = 'T';
        }
        if (i > 10 && (text.data[i] == '+' || text.data[i] == '-')) {
            zone = i;
        }
    }
    buf_append_byte(out, '"');
    if (zone > 0 && (zone + 3 == text.size || text.data[zone + 3] == ' ')) {
        buf_append(out, text.data, zone + 3);
        buf_append(out, ":00", 3);
        buf_append(out, text.data + zone + 3, text.size - zone - 3);
    } else {
        buf_append(out, text.data, text.size);
    }
    buf_append_byte(out, '"');
    buf_fini(&text);
}

static void
scalar_emit(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    bool may_be_number = type->category == 'N' && !type_is_unsigned(type);
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    type->output(type, settings, value, &text);
    if (type->oid == OID_JSON || type->oid == OID_JSONB ||
        (may_be_number && is_number(buf_slice(&text)))) {
        buf_append(out, text.data, text.size);
    } else {
        json_string_put(buf_slice(&text), out);
    }
    buf_fini(&text);
}

/* Elements in braces as their dimensions are. */
static err_t
array_emit(const struct type *type, const struct type_settings *settings, struct datum value,
           bool is_pretty, struct buf *out)
{
    struct array_reader reader;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(array_open(type, value.bytes, &reader));
    if (reader.count == 0) {
        buf_append(out, "[]", 2);
    }
    for (uint32_t i = 0; i < reader.count; i++) {
        uint32_t opened = 0, span = 1;
        struct datum element;
        bool is_null;

        for (uint32_t level = reader.shape.dimensions; level > 0; level--) {
            span *= (uint32_t)reader.shape.sizes[level - 1];
            opened += i % span == 0;
        }
        for (uint32_t level = 0; i > 0 && level < opened; level++) {
            buf_append_byte(out, ']');
        }
        buf_append(out, ",", i > 0);
        buf_append(out, "\n ", i > 0 && is_pretty && opened + 1 >= reader.shape.dimensions ? 2 : 0);
        for (uint32_t level = 0; level < opened; level++) {
            buf_append_byte(out, '[');
        }
        TRY(array_next(&reader, &arena, &element, &is_null));
        TRY(json_emit(reader.element, settings, element, is_null, false, out));
    }
    for (uint32_t level = 0; reader.count > 0 && level < reader.shape.dimensions; level++) {
        buf_append_byte(out, ']');
    }
out:
    arena_fini(&arena);
    return err;
}

static err_t
record_emit(const struct type_settings *settings, struct datum value, bool is_pretty,
            struct buf *out)
{
    struct tuple_reader reader;
    struct tuple_field field;
    bool is_first = true;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    buf_append_byte(out, '{');
    TRY(tuple_open(value.bytes, &reader));
    while (reader.fields > 0) {
        TRY(tuple_next(&reader, &arena, &field));
        if (!is_first) {
            buf_append(out, ",\n ", is_pretty ? 3 : 1);
        }
        is_first = false;
        json_string_put(field.name, out);
        buf_append_byte(out, ':');
        TRY(json_emit(field.type, settings, field.value, field.is_null, false, out));
    }
    buf_append_byte(out, '}');
out:
    arena_fini(&arena);
    return err;
}

err_t
json_emit(const struct type *type, const struct type_settings *settings, struct datum value,
          bool is_null, bool is_pretty, struct buf *out)
{
    err_t err = sql_stack_check();

    if (err != ERR_OK) {
        return err;
    }
    if (is_null) {
        buf_append(out, "null", 4);
        return ERR_OK;
    }
    if (type->element_type != NULL) {
        return array_emit(type, settings, value, is_pretty, out);
    }
    switch (type->oid) {
    case OID_RECORD:
        return record_emit(settings, value, is_pretty, out);
    case OID_BOOL:
        buf_printf(out, "%s", value.i != 0 ? "true" : "false");
        return ERR_OK;
    case OID_DATE:
    case OID_TIMESTAMP:
    case OID_TIMESTAMPTZ:
        moment_emit(type, settings, value, out);
        return ERR_OK;
    default:
        scalar_emit(type, settings, value, out);
        return ERR_OK;
    }
}

err_t
json_emit_key(const struct type *type, const struct type_settings *settings, struct datum value,
              struct buf *out)
{
    struct buf text;

    if (type->element_type != NULL || type->oid == OID_RECORD || type->oid == OID_JSON ||
        type->oid == OID_JSONB) {
        return sql_error("22023", "key value must be scalar, not array, composite, or json");
    }
    buf_init(&text, MEM_SESSIONS);
    if (type->oid == OID_BOOL) {
        buf_printf(&text, "%s", value.i != 0 ? "true" : "false");
    } else {
        type->output(type, settings, value, &text);
    }
    json_string_put(buf_slice(&text), out);
    buf_fini(&text);
    return ERR_OK;
}

err_t
json_give(struct call *call, const struct buf *text, struct datum *out)
{
    out->bytes = arena_copy(call->arena, buf_slice(text));
    if (out->bytes.data == NULL) {
        return err_set_default(ERR_NO_MEMORY);
    }
    return call->expr->type->oid == OID_JSONB ? jsonb_from_text(out->bytes, call->arena, out)
                                              : ERR_OK;
}

/* ---- to_json, row_to_json, array_to_json ---- */

static err_t
to_json_run(struct call *call, const struct datum *args, struct datum *out)
{
    bool is_pretty = call->arg_count > 1 && args[1].i != 0;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    err = json_emit(call_arg_type(call, 0), call->settings, args[0], false, is_pretty, &text);
    if (err == ERR_OK) {
        err = json_give(call, &text, out);
    }
    buf_fini(&text);
    return err;
}

/* ---- Build ---- */

static err_t
build_array_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf text;
    err_t err = ERR_OK;

    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(&text, '[');
    for (uint32_t i = 0; err == ERR_OK && i < call->arg_count; i++) {
        buf_append(&text, ", ", i > 0 ? 2 : 0);
        err = json_emit(call_arg_type(call, i), call->settings, args[i], call->nulls[i] != 0, false,
                        &text);
    }
    buf_append_byte(&text, ']');
    if (err == ERR_OK) {
        err = json_give(call, &text, out);
    }
    buf_fini(&text);
    return err;
}

static err_t
build_key_null(const struct call *call, uint32_t number)
{
    if (call->expr->type->oid == OID_JSONB) {
        return sql_error("22023", "argument %u: key must not be null", number);
    }
    (void)sql_error("22023", "argument %u cannot be null", number);
    return sql_hint("Object keys should be text.");
}

static err_t
build_object_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf text;
    err_t err = ERR_OK;

    if (call->arg_count % 2 != 0) {
        (void)sql_error("22023", "argument list must have even number of elements");
        return sql_hint("The arguments of %s() must consist of alternating keys and values.",
                        call->expr->function->name);
    }
    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(&text, '{');
    for (uint32_t i = 0; i < call->arg_count; i += 2) {
        buf_append(&text, ", ", i > 0 ? 2 : 0);
        if (call->nulls[i] != 0) {
            TRY(build_key_null(call, i + 1));
        }
        TRY(json_emit_key(call_arg_type(call, i), call->settings, args[i], &text));
        buf_append(&text, " : ", 3);
        TRY(json_emit(call_arg_type(call, i + 1), call->settings, args[i + 1],
                      call->nulls[i + 1] != 0, false, &text));
    }
    buf_append_byte(&text, '}');
    err = json_give(call, &text, out);
out:
    buf_fini(&text);
    return err;
}

/* ---- json_object ---- */

static err_t
pair_put(struct datum key, bool is_key_null, struct datum value, bool is_null, bool is_first,
         struct buf *text)
{
    if (is_key_null) {
        return sql_error("22004", "null value not allowed for object key");
    }
    buf_append(text, ", ", is_first ? 0 : 2);
    json_string_put(key.bytes, text);
    buf_append(text, " : ", 3);
    if (is_null) {
        buf_append(text, "null", 4);
    } else {
        json_string_put(value.bytes, text);
    }
    return ERR_OK;
}

static err_t
pairs_check(const struct array_values *all)
{
    switch (all->shape.dimensions) {
    case 0:
        return ERR_OK;
    case 1:
        return all->count % 2 == 0 ? ERR_OK
                                   : sql_error("2202E", "array must have even number of elements");
    case 2:
        return all->shape.sizes[1] == 2 ? ERR_OK
                                        : sql_error("2202E", "array must have two columns");
    default:
        return sql_error("2202E", "wrong number of array subscripts");
    }
}

static err_t
object_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_values all;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(&text, '{');
    TRY(array_values_get(call_arg_type(call, 0), args[0].bytes, call->arena, &all));
    TRY(pairs_check(&all));
    for (uint32_t i = 0; i < all.count; i += 2) {
        TRY(pair_put(all.values[i], all.nulls[i] != 0, all.values[i + 1], all.nulls[i + 1] != 0,
                     i == 0, &text));
    }
    buf_append_byte(&text, '}');
    err = json_give(call, &text, out);
out:
    buf_fini(&text);
    return err;
}

static err_t
object_two_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_values keys, values;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    buf_append_byte(&text, '{');
    TRY(array_values_get(call_arg_type(call, 0), args[0].bytes, call->arena, &keys));
    TRY(array_values_get(call_arg_type(call, 1), args[1].bytes, call->arena, &values));
    if (keys.shape.dimensions > 1 || keys.shape.dimensions != values.shape.dimensions) {
        TRY(sql_error("2202E", keys.shape.dimensions > 1 || values.shape.dimensions > 1
                                   ? "wrong number of array subscripts"
                                   : "mismatched array dimensions"));
    }
    if (keys.count != values.count) {
        TRY(sql_error("2202E", "mismatched array dimensions"));
    }
    for (uint32_t i = 0; i < keys.count; i++) {
        TRY(pair_put(keys.values[i], keys.nulls[i] != 0, values.values[i], values.nulls[i] != 0,
                     i == 0, &text));
    }
    buf_append_byte(&text, '}');
    err = json_give(call, &text, out);
out:
    buf_fini(&text);
    return err;
}

/* ---- The table ---- */

#define FN(fname, res, nargs, code, ...)                                                           \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define BUILD(fname, res, code)                                                                    \
    {NULL,                                                                                         \
     {.name = (fname),                                                                             \
      .result = (res),                                                                             \
      .args = {OID_ANY},                                                                           \
      .arg_count = 1,                                                                              \
      .is_variadic = true,                                                                         \
      .run = (code)}},                                                                             \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .run = (code)                                        \
        }                                                                                          \
    }
#define BOTH(prefix, type)                                                                         \
    FN("to_" prefix, type, 1, to_json_run, OID_ANYELEMENT),                                        \
        BUILD(prefix "_build_array", type, build_array_run),                                       \
        BUILD(prefix "_build_object", type, build_object_run),                                     \
        FN(prefix "_object", type, 1, object_run, TEXT_ARRAY),                                     \
        FN(prefix "_object", type, 2, object_two_run, TEXT_ARRAY, TEXT_ARRAY)

static const struct operator_row rows[] = {
    BOTH("json", OID_JSON),
    BOTH("jsonb", OID_JSONB),
    FN("row_to_json", OID_JSON, 1, to_json_run, OID_RECORD),
    FN("row_to_json", OID_JSON, 2, to_json_run, OID_RECORD, OID_BOOL),
    FN("array_to_json", OID_JSON, 1, to_json_run, OID_ANYARRAY),
    FN("array_to_json", OID_JSON, 2, to_json_run, OID_ANYARRAY, OID_BOOL),
};

const struct function_part fn_part_json_build = {rows, sizeof(rows) / sizeof(rows[0])};

/* ---- Aggregates: text that grows in a buffer of the aggregation's arena ---- */

struct gathered_text {
    uint8_t *data;
    size_t size, capacity;
    uint64_t count;
};

static void
gathered_init(void *state)
{
    *(struct gathered_text *)state = (struct gathered_text){0};
}

static err_t
gathered_append(struct gathered_text *gathered, struct arena *arena, const struct buf *text)
{
    if (gathered->capacity - gathered->size < text->size) {
        size_t capacity = MAX(gathered->capacity * 2, gathered->size + text->size + 64);
        uint8_t *data = arena_alloc(arena, capacity);

        if (data == NULL || capacity > JSONB_BYTES_MAX * 4ULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (gathered->size > 0) {
            memcpy(data, gathered->data, gathered->size);
        }
        gathered->data = data;
        gathered->capacity = capacity;
    }
    memcpy(gathered->data + gathered->size, text->data, text->size);
    gathered->size += text->size;
    gathered->count++;
    return ERR_OK;
}

static err_t
list_add(void *state, struct call *call, const struct datum *args)
{
    struct gathered_text *gathered = state;
    const struct type *type = call_arg_type(call, 0);
    bool is_container = type->element_type != NULL || type->oid == OID_RECORD;
    struct buf text;
    err_t err;

    buf_init(&text, MEM_SESSIONS);
    if (gathered->count > 0) {
        buf_append(&text, ", \n ", is_container && call->nulls[0] == 0 ? 4 : 2);
    }
    err = json_emit(type, call->settings, args[0], call->nulls[0] != 0, false, &text);
    if (err == ERR_OK) {
        err = gathered_append(gathered, call->arena, &text);
    }
    buf_fini(&text);
    return err;
}

static err_t
pair_add(void *state, struct call *call, const struct datum *args)
{
    struct gathered_text *gathered = state;
    struct buf text;
    err_t err = ERR_OK;

    if (call->nulls[0] != 0) {
        return sql_error("22023", "field name must not be null");
    }
    buf_init(&text, MEM_SESSIONS);
    buf_append(&text, ", ", gathered->count > 0 ? 2 : 0);
    TRY(json_emit_key(call_arg_type(call, 0), call->settings, args[0], &text));
    buf_append(&text, " : ", 3);
    TRY(json_emit(call_arg_type(call, 1), call->settings, args[1], call->nulls[1] != 0, false,
                  &text));
    err = gathered_append(gathered, call->arena, &text);
out:
    buf_fini(&text);
    return err;
}

static err_t
gathered_get(const void *state, struct call *call, const char *before, const char *behind,
             struct datum *out)
{
    const struct gathered_text *gathered = state;
    struct buf text;
    err_t err;

    call->is_null = gathered->count == 0;
    if (call->is_null) {
        return ERR_OK;
    }
    buf_init(&text, MEM_SESSIONS);
    buf_printf(&text, "%s", before);
    buf_append(&text, gathered->data, gathered->size);
    buf_printf(&text, "%s", behind);
    err = json_give(call, &text, out);
    buf_fini(&text);
    return err;
}

static err_t
list_get(const void *state, struct call *call, struct datum *out)
{
    return gathered_get(state, call, "[", "]", out);
}

static err_t
pair_get(const void *state, struct call *call, struct datum *out)
{
    return gathered_get(state, call, "{ ", " }", out);
}

#define AGGREGATE(aname, res, a, b, add_code, get_code)                                            \
    {                                                                                              \
        .name = (aname), .result = (res), .arg = (a), .arg2 = (b),                                 \
        .state_bytes = sizeof(struct gathered_text), .takes_nulls = true, .init = gathered_init,   \
        .add = (add_code), .get = (get_code)                                                       \
    }

static const struct aggregate_function aggregates[] = {
    AGGREGATE("json_agg", OID_JSON, OID_ANYELEMENT, 0, list_add, list_get),
    AGGREGATE("jsonb_agg", OID_JSONB, OID_ANYELEMENT, 0, list_add, list_get),
    AGGREGATE("json_object_agg", OID_JSON, OID_ANY, OID_ANY, pair_add, pair_get),
    AGGREGATE("jsonb_object_agg", OID_JSONB, OID_ANY, OID_ANY, pair_add, pair_get),
};

const struct aggregate_part fn_aggregates_json = {aggregates,
                                                  sizeof(aggregates) / sizeof(aggregates[0])};
