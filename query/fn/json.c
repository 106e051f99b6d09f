/* query/fn/json.c - getting at parts of json and jsonb: PostgreSQL 15, section 9.16. */
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "query/fn/json_item.h"

#include "engine/base/poison.h"

enum { TEXT_ARRAY = 1009 };

static err_t
item_of(struct call *call, struct datum value, struct json_item *out)
{
    return json_item_open(call->arena, json_call_is_text(call), value.bytes, out);
}

/* A part as json or jsonb, or as text. */
static void
give(struct call *call, const struct json_item *item, bool is_found, bool as_text,
     struct datum *out)
{
    *out = datum_bytes(slice_of(NULL, 0));
    call->is_null = !is_found;
    if (is_found && as_text) {
        call->is_null = !json_item_text(item, call->arena, &out->bytes);
    } else if (is_found) {
        *out = json_item_datum(item);
    }
}

/* ---- -> and ->> ---- */

static err_t
field(struct call *call, const struct datum *args, bool as_text, struct datum *out)
{
    struct json_item item, found = {0};
    err_t err = item_of(call, args[0], &item);
    bool is_found = err == ERR_OK && json_item_find(&item, args[1].bytes, &found);

    if (err == ERR_OK) {
        give(call, &found, is_found, as_text, out);
    }
    return err;
}

static err_t
field_run(struct call *call, const struct datum *args, struct datum *out)
{
    return field(call, args, false, out);
}

static err_t
field_text_run(struct call *call, const struct datum *args, struct datum *out)
{
    return field(call, args, true, out);
}

/* A jsonb scalar is its own element 0. */
static err_t
element(struct call *call, const struct datum *args, bool as_text, struct datum *out)
{
    struct json_item item, found = {0};
    err_t err = item_of(call, args[0], &item);
    bool is_found = false;

    if (err != ERR_OK) {
        return err;
    }
    if (item.tree == NULL && !json_item_is_container(&item)) {
        found = item;
        is_found = args[1].i == 0 || args[1].i == -1;
    } else {
        is_found = json_item_index(&item, args[1].i, &found);
    }
    give(call, &found, is_found, as_text, out);
    return ERR_OK;
}

static err_t
element_run(struct call *call, const struct datum *args, struct datum *out)
{
    return element(call, args, false, out);
}

static err_t
element_text_run(struct call *call, const struct datum *args, struct datum *out)
{
    return element(call, args, true, out);
}

/* ---- #> and #>>, json_extract_path ---- */

static err_t
path(struct call *call, const struct datum *args, bool as_text, struct datum *out)
{
    struct json_item item, found = {0};
    struct array_values steps;
    bool is_found = false;
    err_t err;

    TRY(array_values_get(call_arg_type(call, 1), args[1].bytes, call->arena, &steps));
    TRY(item_of(call, args[0], &item));
    TRY(json_item_path(&item, steps.values, steps.nulls, steps.count, &found, &is_found));
    give(call, &found, is_found, as_text, out);
out:
    return err;
}

static err_t
path_run(struct call *call, const struct datum *args, struct datum *out)
{
    return path(call, args, false, out);
}

static err_t
path_text_run(struct call *call, const struct datum *args, struct datum *out)
{
    return path(call, args, true, out);
}

static err_t
extract(struct call *call, const struct datum *args, bool as_text, struct datum *out)
{
    struct json_item item, found = {0};
    bool is_found = false;
    err_t err = item_of(call, args[0], &item);

    if (err == ERR_OK) {
        err = json_item_path(&item, args + 1, call->nulls + 1, call->arg_count - 1, &found,
                             &is_found);
    }
    if (err == ERR_OK) {
        give(call, &found, is_found, as_text, out);
    }
    return err;
}

static err_t
extract_run(struct call *call, const struct datum *args, struct datum *out)
{
    return extract(call, args, false, out);
}

static err_t
extract_text_run(struct call *call, const struct datum *args, struct datum *out)
{
    return extract(call, args, true, out);
}

/* ---- What it is ---- */

static err_t
typeof_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_item item;
    err_t err = item_of(call, args[0], &item);

    if (err == ERR_OK) {
        out->bytes = slice_from_text(json_kind_name(json_item_kind(&item)));
    }
    return err;
}

static err_t
length_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_item item;
    err_t err = item_of(call, args[0], &item);

    if (err != ERR_OK) {
        return err;
    }
    if (json_item_kind(&item) != JSON_ARRAY) {
        return sql_error("22023", "cannot get array length of a %s",
                         json_item_kind(&item) == JSON_OBJECT ? "non-array" : "scalar");
    }
    out->i = json_item_count(&item);
    return ERR_OK;
}

static err_t
pretty_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    json_value_print(json_root(args[0].bytes), true, &text);
    out->bytes = arena_copy(call->arena, buf_slice(&text));
    buf_fini(&text);
    return ERR_OK;
}

/* ---- jsonb: ? and its like. A string by itself exists, as an element of an array does ---- */

static bool
exists(const struct json_value *value, struct slice key)
{
    struct json_value found;

    if (value->kind == JSON_OBJECT) {
        return json_find(value, key, &found);
    }
    if (value->kind == JSON_STRING) {
        return slice_equal(value->payload, key);
    }
    for (uint32_t i = 0; value->kind == JSON_ARRAY && i < value->count; i++) {
        found = json_at(value, i);
        if (found.kind == JSON_STRING && slice_equal(found.payload, key)) {
            return true;
        }
    }
    return false;
}

static err_t
exists_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_value value = json_root(args[0].bytes);

    (void)call;
    out->i = exists(&value, args[1].bytes);
    return ERR_OK;
}

static err_t
exists_some(struct call *call, const struct datum *args, bool wants_all, struct datum *out)
{
    struct json_value value = json_root(args[0].bytes);
    struct array_values keys;
    err_t err = array_values_get(call_arg_type(call, 1), args[1].bytes, call->arena, &keys);

    out->i = wants_all;
    for (uint32_t i = 0; err == ERR_OK && i < keys.count; i++) {
        if (keys.nulls[i] == 0 && exists(&value, keys.values[i].bytes) != wants_all) {
            out->i = !wants_all;
            break;
        }
    }
    return err;
}

static err_t
exists_any_run(struct call *call, const struct datum *args, struct datum *out)
{
    return exists_some(call, args, false, out);
}

static err_t
exists_all_run(struct call *call, const struct datum *args, struct datum *out)
{
    return exists_some(call, args, true, out);
}

/* ---- jsonb: @> ---- */

static err_t contains(const struct json_value *whole, const struct json_value *part, bool *out);

static bool
scalars_equal(const struct json_value *a, const struct json_value *b)
{
    return a->kind == b->kind && a->kind < JSON_ARRAY &&
           jsonb_compare(NULL, json_datum(a), json_datum(b)) == 0;
}

static err_t
array_has(const struct json_value *array, const struct json_value *wanted, bool *out)
{
    err_t err = ERR_OK;

    *out = false;
    for (uint32_t i = 0; err == ERR_OK && !*out && i < array->count; i++) {
        struct json_value value = json_at(array, i);

        if (wanted->kind < JSON_ARRAY) {
            *out = scalars_equal(&value, wanted);
        } else if (value.kind == wanted->kind) {
            err = contains(&value, wanted, out);
        }
    }
    return err;
}

static err_t
object_contains(const struct json_value *whole, const struct json_value *part, bool *out)
{
    err_t err = ERR_OK;

    *out = part->count <= whole->count;
    for (uint32_t i = 0; err == ERR_OK && *out && i < part->count; i++) {
        struct json_value wanted = json_at(part, i), value;

        *out = json_find(whole, json_key_at(part, i), &value) && value.kind == wanted.kind;
        if (*out && wanted.kind < JSON_ARRAY) {
            *out = scalars_equal(&value, &wanted);
        } else if (*out) {
            err = contains(&value, &wanted, out);
        }
    }
    return err;
}

/* Both are containers of one kind. */
static err_t
contains(const struct json_value *whole, const struct json_value *part, bool *out)
{
    err_t err = sql_stack_check();

    if (err != ERR_OK) {
        return err;
    }
    if (whole->kind == JSON_OBJECT) {
        return object_contains(whole, part, out);
    }
    *out = true;
    for (uint32_t i = 0; err == ERR_OK && *out && i < part->count; i++) {
        struct json_value wanted = json_at(part, i);

        err = array_has(whole, &wanted, out);
    }
    return err;
}

static err_t
contains_values(struct datum whole_bytes, struct datum part_bytes, struct datum *out)
{
    struct json_value whole = json_root(whole_bytes.bytes), part = json_root(part_bytes.bytes);
    bool is_contained = false;
    err_t err = ERR_OK;

    if (part.kind < JSON_ARRAY) { /* A scalar is in an equal one, and in an array of it. */
        if (whole.kind == JSON_ARRAY) {
            err = array_has(&whole, &part, &is_contained);
        } else {
            is_contained = scalars_equal(&whole, &part);
        }
    } else if (whole.kind == part.kind) {
        err = contains(&whole, &part, &is_contained);
    }
    out->i = is_contained;
    return err;
}

static err_t
contains_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    return contains_values(args[0], args[1], out);
}

static err_t
contained_run(struct call *call, const struct datum *args, struct datum *out)
{
    (void)call;
    return contains_values(args[1], args[0], out);
}

/* ---- The table ---- */

#define FN(op, fname, res, nargs, code, ...)                                                       \
    {                                                                                              \
        (op),                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {__VA_ARGS__}, .arg_count = (nargs),         \
            .is_strict = true, .run = (code)                                                       \
        }                                                                                          \
    }
#define VARIADIC(fname, res, code, type)                                                           \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = (fname), .result = (res), .args = {(type), OID_TEXT}, .arg_count = 2,          \
            .is_strict = true, .is_variadic = true, .run = (code)                                  \
        }                                                                                          \
    }
#define BOTH(prefix, type)                                                                         \
    FN("->", prefix "_object_field", type, 2, field_run, type, OID_TEXT),                          \
        FN("->>", prefix "_object_field_text", OID_TEXT, 2, field_text_run, type, OID_TEXT),       \
        FN("->", prefix "_array_element", type, 2, element_run, type, OID_INT4),                   \
        FN("->>", prefix "_array_element_text", OID_TEXT, 2, element_text_run, type, OID_INT4),    \
        FN("#>", prefix "_extract_path_op", type, 2, path_run, type, TEXT_ARRAY),                  \
        FN("#>>", prefix "_extract_path_text_op", OID_TEXT, 2, path_text_run, type, TEXT_ARRAY),   \
        VARIADIC(prefix "_extract_path", type, extract_run, type),                                 \
        VARIADIC(prefix "_extract_path_text", OID_TEXT, extract_text_run, type),                   \
        FN(NULL, prefix "_typeof", OID_TEXT, 1, typeof_run, type),                                 \
        FN(NULL, prefix "_array_length", OID_INT4, 1, length_run, type)

static const struct operator_row rows[] = {
    BOTH("json", OID_JSON),
    BOTH("jsonb", OID_JSONB),
    FN(NULL, "jsonb_pretty", OID_TEXT, 1, pretty_run, OID_JSONB),
    FN("?", "jsonb_exists", OID_BOOL, 2, exists_run, OID_JSONB, OID_TEXT),
    FN("?|", "jsonb_exists_any", OID_BOOL, 2, exists_any_run, OID_JSONB, TEXT_ARRAY),
    FN("?&", "jsonb_exists_all", OID_BOOL, 2, exists_all_run, OID_JSONB, TEXT_ARRAY),
    FN("@>", "jsonb_contains", OID_BOOL, 2, contains_run, OID_JSONB, OID_JSONB),
    FN("<@", "jsonb_contained", OID_BOOL, 2, contained_run, OID_JSONB, OID_JSONB),
};

const struct function_part fn_part_json = {rows, sizeof(rows) / sizeof(rows[0])};
