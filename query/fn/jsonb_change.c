/* query/fn/jsonb_change.c - jsonb made of another: ||, -, #-, jsonb_set, jsonb_insert, strip_nulls,
 * and assignments to parts. */
#include "query/fn/jsonb_change.h"

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "query/fn/json_build.h"

#include "engine/base/poison.h"

enum { TEXT_ARRAY = 1009 };

/* ---- || ---- */

static err_t
elements_write(struct json_writer *writer, const struct json_value *value)
{
    err_t err = ERR_OK;

    if (value->kind != JSON_ARRAY) {
        return json_write_value(writer, value);
    }
    for (uint32_t i = 0; err == ERR_OK && i < value->count; i++) {
        struct json_value element = json_at(value, i);

        err = json_write_value(writer, &element);
    }
    return err;
}

static err_t
pairs_write(struct json_writer *writer, const struct json_value *object)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; err == ERR_OK && i < object->count; i++) {
        struct json_value value = json_at(object, i);

        err = json_write_key(writer, json_key_at(object, i));
        if (err == ERR_OK) {
            err = json_write_value(writer, &value);
        }
    }
    return err;
}

/* Objects are merged; everything else becomes elements of one array. */
static err_t
concat_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_value a = json_root(args[0].bytes), b = json_root(args[1].bytes);
    bool are_objects = a.kind == JSON_OBJECT && b.kind == JSON_OBJECT;
    struct json_writer writer;
    err_t err;

    json_write_init(&writer, call->arena);
    TRY(json_write_begin(&writer, are_objects ? JSON_OBJECT : JSON_ARRAY));
    TRY(are_objects ? pairs_write(&writer, &a) : elements_write(&writer, &a));
    TRY(are_objects ? pairs_write(&writer, &b) : elements_write(&writer, &b));
    TRY(json_write_end(&writer));
    err = json_write_finish(&writer, out);
out:
    json_write_fini(&writer);
    return err;
}

/* ---- - ---- */

static bool
is_listed(struct slice key, const struct datum *keys, const uint8_t *nulls, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if ((nulls == NULL || nulls[i] == 0) && slice_equal(keys[i].bytes, key)) {
            return true;
        }
    }
    return false;
}

static err_t
without_keys(struct call *call, struct datum value, const struct datum *keys, const uint8_t *nulls,
             uint32_t count, struct datum *out)
{
    struct json_value root = json_root(value.bytes);
    struct json_writer writer;
    err_t err;

    if (root.kind < JSON_ARRAY) {
        return sql_error("22023", "cannot delete from scalar");
    }
    json_write_init(&writer, call->arena);
    TRY(json_write_begin(&writer, root.kind));
    for (uint32_t i = 0; i < root.count; i++) {
        struct json_value part = json_at(&root, i);
        bool is_key = root.kind == JSON_OBJECT || part.kind == JSON_STRING;
        struct slice key = root.kind == JSON_OBJECT ? json_key_at(&root, i) : part.payload;

        if (is_key && is_listed(key, keys, nulls, count)) {
            continue;
        }
        if (root.kind == JSON_OBJECT) {
            TRY(json_write_key(&writer, key));
        }
        TRY(json_write_value(&writer, &part));
    }
    TRY(json_write_end(&writer));
    err = json_write_finish(&writer, out);
out:
    json_write_fini(&writer);
    return err;
}

static err_t
delete_key_run(struct call *call, const struct datum *args, struct datum *out)
{
    return without_keys(call, args[0], &args[1], NULL, 1, out);
}

static err_t
delete_keys_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct array_values keys;
    err_t err = array_values_get(call_arg_type(call, 1), args[1].bytes, call->arena, &keys);

    if (err == ERR_OK && keys.shape.dimensions > 1) {
        err = sql_error("2202E", "wrong number of array subscripts");
    }
    return err != ERR_OK ? err
                         : without_keys(call, args[0], keys.values, keys.nulls, keys.count, out);
}

static err_t
delete_index_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_value root = json_root(args[0].bytes);
    int64_t index = args[1].i + (args[1].i < 0 ? root.count : 0);
    struct json_writer writer;
    err_t err;

    if (root.kind == JSON_OBJECT) {
        return sql_error("22023", "cannot delete from object using integer index");
    }
    if (root.kind != JSON_ARRAY) {
        return sql_error("22023", "cannot delete from scalar");
    }
    json_write_init(&writer, call->arena);
    TRY(json_write_begin(&writer, JSON_ARRAY));
    for (uint32_t i = 0; i < root.count; i++) {
        struct json_value part = json_at(&root, i);

        if (i != index) {
            TRY(json_write_value(&writer, &part));
        }
    }
    TRY(json_write_end(&writer));
    err = json_write_finish(&writer, out);
out:
    json_write_fini(&writer);
    return err;
}

/* ---- Paths ---- */

enum change_kind {
    CHANGE_REPLACE = 1,       /* What is there, */
    CHANGE_CREATE = 2,        /* what is missing at the end of the path, */
    CHANGE_DELETE = 4,        /* #- */
    CHANGE_INSERT_BEFORE = 8, /* jsonb_insert */
    CHANGE_INSERT_AFTER = 16,
    CHANGE_FILL = 32,   /* Assignment: arrays grow with nulls, missing containers are made. */
    CHANGE_STRICT = 64, /* Assignment: a scalar on the way is an error. */
};

struct change {
    struct json_writer *writer;
    const struct datum *steps;
    const uint8_t *nulls;     /* NULL: no step is. */
    const uint8_t *is_number; /* Of each step, when it is known; NULL: text that may be one. */
    uint32_t count;
    const struct json_value *value; /* NULL: CHANGE_DELETE. */
    unsigned kind;
};

static err_t change_value(struct change *change, const struct json_value *at, uint32_t level);

/* A container for what is missing from `level` on, with the value at the end. */
static err_t
missing_write(struct change *change, uint32_t level)
{
    err_t err = ERR_OK;
    uint32_t opened = 0;

    for (; err == ERR_OK && level < change->count; level++, opened++) {
        int64_t index = 0;
        bool is_index = change->is_number != NULL
                            ? change->is_number[level] != 0
                            : json_index_from_text(change->steps[level].bytes, &index);

        if (change->is_number != NULL && is_index) {
            index = change->steps[level].i;
        }
        TRY(json_write_begin(change->writer, is_index ? JSON_ARRAY : JSON_OBJECT));
        if (!is_index) {
            TRY(json_write_key(change->writer, change->steps[level].bytes));
        }
        for (int64_t i = 0; is_index && i < index; i++) {
            TRY(json_write_simple(change->writer, JSON_NULL));
        }
    }
    TRY(json_write_value(change->writer, change->value));
    while (err == ERR_OK && opened-- > 0) {
        err = json_write_end(change->writer);
    }
out:
    return err;
}

static err_t
step_text(const struct change *change, uint32_t level, struct slice *out)
{
    if (change->is_number == NULL || change->is_number[level] == 0) {
        *out = change->steps[level].bytes;
    } else {
        char *text = arena_printf(change->writer->arena, "%lld", (long long)change->steps[level].i);

        *out = slice_from_text(text);
    }
    return ERR_OK;
}

static err_t
object_change(struct change *change, const struct json_value *object, uint32_t level)
{
    bool is_last = level + 1 == change->count, is_found = false;
    struct slice step;
    err_t err;

    TRY(step_text(change, level, &step));
    TRY(json_write_begin(change->writer, JSON_OBJECT));
    for (uint32_t i = 0; i < object->count; i++) {
        struct json_value value = json_at(object, i);
        struct slice key = json_key_at(object, i);
        bool is_here = slice_equal(key, step);

        is_found = is_found || is_here;
        if (is_here && is_last) {
            if ((change->kind & (CHANGE_INSERT_BEFORE | CHANGE_INSERT_AFTER)) != 0) {
                (void)sql_error("22023", "cannot replace existing key");
                err = sql_hint("Try using the function jsonb_set to replace key value.");
                goto out;
            }
            if ((change->kind & CHANGE_DELETE) != 0) {
                continue;
            }
            TRY(json_write_key(change->writer, key));
            TRY(json_write_value(change->writer, change->value));
            continue;
        }
        TRY(json_write_key(change->writer, key));
        TRY(is_here ? change_value(change, &value, level + 1)
                    : json_write_value(change->writer, &value));
    }
    if (!is_found && (is_last ? (change->kind &
                                 (CHANGE_CREATE | CHANGE_INSERT_BEFORE | CHANGE_INSERT_AFTER)) != 0
                              : (change->kind & CHANGE_FILL) != 0)) {
        TRY(json_write_key(change->writer, step));
        TRY(missing_write(change, level + 1));
    }
    err = json_write_end(change->writer);
out:
    return err;
}

static err_t
index_of(const struct change *change, uint32_t level, int64_t *out)
{
    if (change->is_number != NULL && change->is_number[level] != 0) {
        *out = change->steps[level].i;
        return ERR_OK;
    }
    if (!json_index_from_text(change->steps[level].bytes, out)) {
        return sql_error("22P02", "path element at position %u is not an integer: \"%.*s\"",
                         level + 1, (int)change->steps[level].bytes.size,
                         (const char *)change->steps[level].bytes.data);
    }
    return ERR_OK;
}

/* What comes where the path ends at an element that is there. */
static err_t
element_change(struct change *change, const struct json_value *element)
{
    bool is_before = (change->kind & CHANGE_INSERT_BEFORE) != 0;
    bool is_after = (change->kind & CHANGE_INSERT_AFTER) != 0;
    err_t err = ERR_OK;

    if ((change->kind & CHANGE_DELETE) != 0) {
        return ERR_OK;
    }
    if (is_after) {
        TRY(json_write_value(change->writer, element));
    }
    TRY(json_write_value(change->writer, change->value));
    if (is_before) {
        err = json_write_value(change->writer, element);
    }
out:
    return err;
}

static err_t
array_change(struct change *change, const struct json_value *array, uint32_t level)
{
    bool is_last = level + 1 == change->count;
    bool creates =
        is_last ? (change->kind & (CHANGE_CREATE | CHANGE_INSERT_BEFORE | CHANGE_INSERT_AFTER)) != 0
                : (change->kind & CHANGE_FILL) != 0;
    int64_t index;
    err_t err;

    TRY(index_of(change, level, &index));
    if (index < 0 && -index > array->count) {
        if ((change->kind & CHANGE_FILL) != 0) {
            return sql_error("22023", "path element at position %u is out of range: %lld",
                             level + 1, (long long)index);
        }
        index = INT32_MIN;
    }
    index += index < 0 && index != INT32_MIN ? array->count : 0;
    TRY(json_write_begin(change->writer, JSON_ARRAY));
    if (index == INT32_MIN && creates) {
        TRY(missing_write(change, level + 1));
    }
    for (uint32_t i = 0; i < array->count; i++) {
        struct json_value element = json_at(array, i);

        if (i != index) {
            TRY(json_write_value(change->writer, &element));
        } else if (is_last) {
            TRY(element_change(change, &element));
        } else {
            TRY(change_value(change, &element, level + 1));
        }
    }
    if (index >= array->count && creates) {
        for (int64_t i = array->count; (change->kind & CHANGE_FILL) != 0 && i < index; i++) {
            TRY(json_write_simple(change->writer, JSON_NULL));
        }
        TRY(missing_write(change, level + 1));
    }
    err = json_write_end(change->writer);
out:
    return err;
}

static err_t
change_value(struct change *change, const struct json_value *at, uint32_t level)
{
    err_t err = sql_stack_check();

    if (err != ERR_OK) {
        return err;
    }
    if (change->nulls != NULL && change->nulls[level] != 0) {
        return sql_error("22004", "path element at position %u is null", level + 1);
    }
    switch (at->kind) {
    case JSON_OBJECT:
        return object_change(change, at, level);
    case JSON_ARRAY:
        return array_change(change, at, level);
    default:
        if ((change->kind & CHANGE_STRICT) != 0) {
            (void)sql_error("22023", "cannot replace existing key");
            return sql_detail("The path assumes key is a composite object, but it is a scalar "
                              "value.");
        }
        return json_write_value(change->writer, at);
    }
}

static err_t
change_run(struct call *call, struct datum value, const struct datum *steps, const uint8_t *nulls,
           const uint8_t *is_number, uint32_t count, const struct json_value *new_value,
           unsigned kind, struct datum *out)
{
    struct json_value root = json_root(value.bytes);
    struct json_writer writer;
    struct change change = {
        .writer = &writer,
        .steps = steps,
        .nulls = nulls,
        .is_number = is_number,
        .count = count,
        .value = new_value,
        .kind = kind,
    };
    err_t err;

    json_write_init(&writer, call->arena);
    err = change_value(&change, &root, 0);
    if (err == ERR_OK) {
        err = json_write_finish(&writer, out);
    }
    json_write_fini(&writer);
    return err;
}

/* The steps of a path. */
static err_t
path_of(struct call *call, uint32_t arg, struct datum value, struct array_values *out)
{
    err_t err = array_values_get(call_arg_type(call, arg), value.bytes, call->arena, out);

    if (err != ERR_OK) {
        return err;
    }
    if (out->shape.dimensions > 1) {
        return sql_error("2202E", "wrong number of array subscripts");
    }
    return ERR_OK;
}

static err_t
path_change(struct call *call, const struct datum *args, const struct json_value *new_value,
            unsigned kind, const char *verb, struct datum *out)
{
    struct json_value root = json_root(args[0].bytes);
    struct array_values steps;
    err_t err = path_of(call, 1, args[1], &steps);

    if (err != ERR_OK) {
        return err;
    }
    if (root.kind < JSON_ARRAY) {
        return sql_error("22023", "cannot %s scalar", verb);
    }
    if (steps.count == 0 || (root.count == 0 && (kind & (CHANGE_CREATE | CHANGE_INSERT_BEFORE |
                                                         CHANGE_INSERT_AFTER)) == 0)) {
        *out = args[0];
        return ERR_OK;
    }
    return change_run(call, args[0], steps.values, steps.nulls, NULL, steps.count, new_value, kind,
                      out);
}

static err_t
delete_path_run(struct call *call, const struct datum *args, struct datum *out)
{
    return path_change(call, args, NULL, CHANGE_DELETE, "delete path in", out);
}

static err_t
set_run(struct call *call, const struct datum *args, struct datum *out)
{
    bool creates = call->arg_count < 4 || args[3].i != 0;
    struct json_value value = json_root(args[2].bytes);

    return path_change(call, args, &value, CHANGE_REPLACE | (creates ? CHANGE_CREATE : 0),
                       "set path in", out);
}

static err_t
insert_run(struct call *call, const struct datum *args, struct datum *out)
{
    bool is_after = call->arg_count > 3 && args[3].i != 0;
    struct json_value value = json_root(args[2].bytes);

    return path_change(call, args, &value, is_after ? CHANGE_INSERT_AFTER : CHANGE_INSERT_BEFORE,
                       "set path in", out);
}

/* jsonb_set_lax: what a null value means is said by the fifth argument. */
static err_t
set_lax_run(struct call *call, const struct datum *args, struct datum *out)
{
    static const uint8_t null_bytes[] = {JSON_NULL};
    struct datum with[4] = {args[0], args[1], args[2], datum_int(1)};
    struct slice how = call->arg_count > 4 ? args[4].bytes : SLICE("use_json_null");

    if (call->nulls[0] != 0 || call->nulls[1] != 0 ||
        (call->arg_count > 3 && call->nulls[3] != 0)) {
        call->is_null = true;
        return ERR_OK;
    }
    if (call->arg_count > 4 && call->nulls[4] != 0) {
        return sql_error("22023", "null_value_treatment must be \"delete_key\", \"return_target\", "
                                  "\"use_json_null\", or \"raise_exception\"");
    }
    if (call->arg_count > 3) {
        with[3] = args[3];
    }
    if (call->nulls[2] == 0) {
        struct json_value value = json_root(args[2].bytes);

        return path_change(call, with, &value,
                           CHANGE_REPLACE | (with[3].i != 0 ? CHANGE_CREATE : 0), "set path in",
                           out);
    }
    if (slice_equal(how, SLICE("raise_exception"))) {
        (void)sql_error("22004", "JSON value must not be null");
        (void)sql_detail("Exception was raised because null_value_treatment is "
                         "\"raise_exception\".");
        return sql_hint("To avoid, either change the null_value_treatment argument or ensure that "
                        "an SQL NULL is not passed.");
    }
    if (slice_equal(how, SLICE("use_json_null"))) {
        struct json_value value = json_root(slice_of(null_bytes, 1));

        return path_change(call, with, &value,
                           CHANGE_REPLACE | (with[3].i != 0 ? CHANGE_CREATE : 0), "set path in",
                           out);
    }
    if (slice_equal(how, SLICE("delete_key"))) {
        return delete_path_run(call, with, out);
    }
    if (slice_equal(how, SLICE("return_target"))) {
        *out = args[0];
        return ERR_OK;
    }
    return sql_error("22023", "null_value_treatment must be \"delete_key\", \"return_target\", "
                              "\"use_json_null\", or \"raise_exception\"");
}

/* ---- strip_nulls ---- */

static err_t
step_strip(struct json_writer *writer, const struct json_walk *walk, enum json_step step,
           struct slice *key, bool *has_key)
{
    err_t err = ERR_OK;

    if (step == JSON_KEY) {
        *key = walk->key;
        *has_key = true;
        return ERR_OK;
    }
    if (step == JSON_END) {
        return json_write_end(writer);
    }
    if (*has_key) {
        *has_key = false;
        if (walk->value.kind == JSON_NULL) {
            return ERR_OK;
        }
        TRY(json_write_key(writer, *key));
    }
    err = step == JSON_BEGIN ? json_write_begin(writer, walk->value.kind)
                             : json_write_value(writer, &walk->value);
out:
    return err;
}

static err_t
strip_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct slice key = {0};
    struct json_writer writer;
    bool has_key = false;
    enum json_step step;
    struct json_walk walk;
    err_t err = ERR_OK;

    json_write_init(&writer, call->arena);
    json_walk_init(&walk, json_root(args[0].bytes));
    while (err == ERR_OK && (step = json_walk_next(&walk)) != JSON_DONE) {
        err = step_strip(&writer, &walk, step, &key, &has_key);
    }
    json_walk_fini(&walk);
    if (err == ERR_OK) {
        err = json_write_finish(&writer, out);
    }
    json_write_fini(&writer);
    return err;
}

/* Of json: text without spaces, its strings escaped anew. */
static err_t
item_strip(const struct json_item *item, struct arena *arena, struct buf *out)
{
    bool is_object = json_item_kind(item) == JSON_OBJECT, is_first = true;
    struct slice text;
    err_t err = sql_stack_check();

    if (err != ERR_OK) {
        return err;
    }
    if (!json_item_is_container(item)) {
        if (json_item_kind(item) == JSON_STRING && json_item_text(item, arena, &text)) {
            json_string_put(text, out);
        } else {
            text = json_item_datum(item).bytes;
            buf_append(out, text.data, text.size);
        }
        return ERR_OK;
    }
    buf_append_byte(out, is_object ? '{' : '[');
    for (uint32_t i = 0; err == ERR_OK && i < json_item_count(item); i++) {
        struct json_item part = json_item_at(item, i);

        if (is_object && json_item_kind(&part) == JSON_NULL) {
            continue;
        }
        buf_append(out, ",", !is_first);
        is_first = false;
        if (is_object) {
            json_string_put(json_item_key(item, i), out);
            buf_append_byte(out, ':');
        }
        err = item_strip(&part, arena, out);
    }
    buf_append_byte(out, is_object ? '}' : ']');
    return err;
}

static err_t
strip_text_run(struct call *call, const struct datum *args, struct datum *out)
{
    struct json_item item;
    struct buf text;
    err_t err = json_item_open(call->arena, true, args[0].bytes, &item);

    buf_init(&text, MEM_SESSIONS);
    if (err == ERR_OK) {
        err = item_strip(&item, call->arena, &text);
    }
    if (err == ERR_OK) {
        err = json_give(call, &text, out);
    }
    buf_fini(&text);
    return err;
}

/* ---- Subscripts ---- */

err_t
jsonb_subscript_set(struct call *call, struct datum container, bool is_container_null,
                    const struct datum *steps, const uint8_t *is_number, uint32_t count,
                    struct datum value, bool is_value_null, struct datum *out)
{
    static const uint8_t null_bytes[] = {JSON_NULL};
    struct json_value new_value = json_root(is_value_null ? slice_of(null_bytes, 1) : value.bytes);
    struct json_writer writer;
    struct change change = {
        .writer = &writer,
        .steps = steps,
        .is_number = is_number,
        .count = count,
        .value = &new_value,
    };
    err_t err;

    if (!is_container_null) {
        return change_run(call, container, steps, NULL, is_number, count, &new_value,
                          CHANGE_REPLACE | CHANGE_CREATE | CHANGE_FILL | CHANGE_STRICT, out);
    }
    json_write_init(&writer, call->arena);
    err = missing_write(&change, 0);
    if (err == ERR_OK) {
        err = json_write_finish(&writer, out);
    }
    json_write_fini(&writer);
    return err;
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
#define LAX(nargs, ...)                                                                            \
    {                                                                                              \
        NULL,                                                                                      \
        {                                                                                          \
            .name = "jsonb_set_lax", .result = OID_JSONB, .args = {__VA_ARGS__},                   \
            .arg_count = (nargs), .run = set_lax_run                                               \
        }                                                                                          \
    }
#define JSONB OID_JSONB

static const struct operator_row rows[] = {
    FN("||", "jsonb_concat", JSONB, 2, concat_run, JSONB, JSONB),
    FN("-", "jsonb_delete", JSONB, 2, delete_key_run, JSONB, OID_TEXT),
    FN("-", "jsonb_delete", JSONB, 2, delete_index_run, JSONB, OID_INT4),
    FN("-", "jsonb_delete", JSONB, 2, delete_keys_run, JSONB, TEXT_ARRAY),
    FN("#-", "jsonb_delete_path", JSONB, 2, delete_path_run, JSONB, TEXT_ARRAY),
    FN(NULL, "jsonb_set", JSONB, 3, set_run, JSONB, TEXT_ARRAY, JSONB),
    FN(NULL, "jsonb_set", JSONB, 4, set_run, JSONB, TEXT_ARRAY, JSONB, OID_BOOL),
    LAX(3, JSONB, TEXT_ARRAY, JSONB),
    LAX(4, JSONB, TEXT_ARRAY, JSONB, OID_BOOL),
    LAX(5, JSONB, TEXT_ARRAY, JSONB, OID_BOOL, OID_TEXT),
    FN(NULL, "jsonb_insert", JSONB, 3, insert_run, JSONB, TEXT_ARRAY, JSONB),
    FN(NULL, "jsonb_insert", JSONB, 4, insert_run, JSONB, TEXT_ARRAY, JSONB, OID_BOOL),
    FN(NULL, "jsonb_strip_nulls", JSONB, 1, strip_run, JSONB),
    FN(NULL, "json_strip_nulls", OID_JSON, 1, strip_text_run, OID_JSON),
};

const struct function_part fn_part_jsonb_change = {rows, sizeof(rows) / sizeof(rows[0])};
