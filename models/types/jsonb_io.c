/* models/types/jsonb_io.c - json and jsonb: text and binary forms, order, keys. */
#include "engine/base/assert.h"
#include "models/types/jsonb.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

enum { JSONB_VERSION = 1, INDENT = 4 };

/* ---- Text to bytes ---- */

static err_t
write_begin(void *arg, enum json_kind kind, size_t offset)
{
    (void)offset;
    return json_write_begin(arg, kind);
}

static err_t
write_key(void *arg, struct slice name)
{
    return json_write_key(arg, name);
}

static err_t
write_end(void *arg, size_t offset)
{
    (void)offset;
    return json_write_end(arg);
}

static err_t
write_scalar(void *arg, enum json_kind kind, struct slice text, size_t from, size_t to)
{
    struct json_writer *writer = arg;
    struct numeric number;
    err_t err;

    (void)from;
    (void)to;
    switch (kind) {
    case JSON_STRING:
        return json_write_string(writer, text);
    case JSON_NUMBER:
        err = numeric_from_text(writer->arena, text, &number);
        return err != ERR_OK ? err : json_write_number(writer, number);
    default:
        return json_write_simple(writer, kind);
    }
}

struct json_events
json_write_events(struct json_writer *writer)
{
    return (struct json_events){
        .arg = writer,
        .begin = write_begin,
        .key = write_key,
        .scalar = write_scalar,
        .end = write_end,
    };
}

err_t
jsonb_from_text(struct slice text, struct arena *arena, struct datum *out)
{
    struct json_writer writer;
    struct json_events events = json_write_events(&writer);
    err_t err;

    json_write_init(&writer, arena);
    err = json_parse(text, arena, &events);
    if (err == ERR_OK) {
        err = json_write_finish(&writer, out);
    }
    json_write_fini(&writer);
    return err;
}

/* ---- Bytes to text ---- */

struct printer {
    struct buf *out;
    struct arena arena;
    bool is_indented;
    bool needs_comma, is_after_key;
    uint32_t depth;
};

static void
line_break(struct printer *printer)
{
    size_t spaces = (size_t)printer->depth * INDENT;

    buf_append_byte(printer->out, '\n');
    memset(buf_reserve(printer->out, spaces), ' ', spaces);
    printer->out->size += spaces;
}

/* What stands before a key, or before an element. */
static void
separate(struct printer *printer)
{
    if (printer->is_after_key) {
        printer->is_after_key = false;
        return;
    }
    if (printer->needs_comma) {
        buf_append(printer->out, ", ", printer->is_indented ? 1 : 2);
    }
    if (printer->is_indented && printer->depth > 0) {
        line_break(printer);
    }
}

static void
scalar_print(struct printer *printer, const struct json_value *value)
{
    struct numeric number;

    switch (value->kind) {
    case JSON_STRING:
        json_string_put(value->payload, printer->out);
        break;
    case JSON_NUMBER:
        if (json_number(value, &printer->arena, &number) == ERR_OK) {
            numeric_to_text(number, printer->out);
        }
        break;
    default:
        buf_printf(printer->out, "%s",
                   value->kind == JSON_NULL    ? "null"
                   : value->kind == JSON_FALSE ? "false"
                                               : "true");
        break;
    }
}

static void
step_print(struct printer *printer, enum json_step step, const struct json_walk *walk)
{
    bool is_object = walk->value.kind == JSON_OBJECT;

    if (step == JSON_END) {
        printer->depth--;
        if (printer->is_indented) {
            line_break(printer);
        }
        buf_append_byte(printer->out, is_object ? '}' : ']');
        printer->needs_comma = true;
        return;
    }
    separate(printer);
    switch (step) {
    case JSON_BEGIN:
        buf_append_byte(printer->out, is_object ? '{' : '[');
        printer->depth++;
        printer->needs_comma = false;
        break;
    case JSON_KEY:
        json_string_put(walk->key, printer->out);
        buf_append(printer->out, ": ", 2);
        printer->is_after_key = true;
        break;
    default:
        scalar_print(printer, &walk->value);
        printer->needs_comma = true;
        break;
    }
}

void
json_value_print(struct json_value value, bool is_indented, struct buf *out)
{
    struct printer printer = {.out = out, .is_indented = is_indented};
    enum json_step step;
    struct json_walk walk;

    arena_init(&printer.arena, MEM_SESSIONS);
    json_walk_init(&walk, value);
    while ((step = json_walk_next(&walk)) != JSON_DONE) {
        step_print(&printer, step, &walk);
    }
    json_walk_fini(&walk);
    arena_fini(&printer.arena);
}

/* ---- Order: PostgreSQL's. Objects are above arrays, these above true, false, numbers, strings,
 * null; larger containers are above smaller ones, then what is in them decides ---- */

static int
rank_of(uint8_t kind)
{
    static const uint8_t ranks[] = {
        [JSON_NULL] = 0, [JSON_STRING] = 1, [JSON_NUMBER] = 2, [JSON_FALSE] = 3,
        [JSON_TRUE] = 3, [JSON_ARRAY] = 4,  [JSON_OBJECT] = 5,
    };

    return ranks[kind];
}

static int
int_order(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int
value_order(const struct json_value *a, const struct json_value *b, struct arena *arena)
{
    int order = int_order(rank_of(a->kind), rank_of(b->kind));
    struct numeric x, y;

    if (order != 0) {
        return order;
    }
    switch (a->kind) {
    case JSON_STRING:
        return slice_compare(a->payload, b->payload);
    case JSON_NUMBER:
        return json_number(a, arena, &x) == ERR_OK && json_number(b, arena, &y) == ERR_OK
                   ? numeric_compare(x, y)
                   : 0;
    case JSON_ARRAY:
    case JSON_OBJECT:
        return int_order(a->count, b->count);
    default:
        return int_order(a->kind, b->kind);
    }
}

static int
walks_order(struct json_walk *a, struct json_walk *b, struct arena *arena)
{
    for (;;) {
        enum json_step step = json_walk_next(a), other = json_walk_next(b);
        int order = 0;

        if (step == JSON_DONE || other == JSON_DONE) {
            return int_order(other == JSON_DONE, step == JSON_DONE);
        }
        if (step == JSON_KEY && other == JSON_KEY) {
            order = slice_compare(a->key, b->key);
        } else if (step != JSON_END) {
            order = value_order(&a->value, &b->value, arena);
        }
        if (order != 0) {
            return order;
        }
    }
}

int
jsonb_compare(const struct type *type, struct datum a, struct datum b)
{
    struct json_value x = json_root(a.bytes), y = json_root(b.bytes);
    bool x_array = x.kind == JSON_ARRAY, y_array = y.kind == JSON_ARRAY;
    struct json_walk walk_x, walk_y;
    struct arena arena;
    int order;

    (void)type;
    /* A scalar by itself counts as an array of one element, below all other such. */
    if (x_array != y_array && x.kind != JSON_OBJECT && y.kind != JSON_OBJECT) {
        order = int_order(x_array ? x.count : 1, y_array ? y.count : 1);
        return order != 0 ? order : int_order(x_array, y_array);
    }
    arena_init(&arena, MEM_SESSIONS);
    json_walk_init(&walk_x, x);
    json_walk_init(&walk_y, y);
    order = walks_order(&walk_x, &walk_y, &arena);
    json_walk_fini(&walk_x);
    json_walk_fini(&walk_y);
    arena_fini(&arena);
    return order;
}

/* In keys: a byte for the rank (+ 1, so that nothing is 0; true is above false), and what decides
 * in it; a scalar by itself is an array of one. */
static void
key_text(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.size; i++) {
        buf_append_byte(out, text.data[i]);
        if (text.data[i] == 0) {
            buf_append_byte(out, UINT8_MAX);
        }
    }
    buf_append_byte(out, 0);
    buf_append_byte(out, 1);
}

static void
key_count(uint8_t rank, uint32_t count, struct buf *out)
{
    buf_append_byte(out, rank);
    put_be32(buf_reserve(out, 4), count);
    out->size += 4;
}

static void
key_value(const struct json_value *value, struct arena *arena, struct buf *out)
{
    uint8_t rank = (uint8_t)(rank_of(value->kind) + 1);
    struct numeric number;

    if (value->kind >= JSON_ARRAY) {
        key_count(rank, value->count, out);
        return;
    }
    buf_append_byte(out, rank);
    if (value->kind == JSON_STRING) {
        key_text(value->payload, out);
    } else if (value->kind == JSON_NUMBER) {
        if (json_number(value, arena, &number) == ERR_OK) {
            numeric_key_put(number, out);
        }
    } else {
        buf_append_byte(out, value->kind);
    }
}

void
jsonb_key_put(struct datum value, struct buf *out)
{
    struct json_value root = json_root(value.bytes);
    enum json_step step;
    struct json_walk walk;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    json_walk_init(&walk, root);
    if (root.kind != JSON_OBJECT) {
        key_count((uint8_t)(rank_of(JSON_ARRAY) + 1), root.kind == JSON_ARRAY ? root.count : 1,
                  out);
        buf_append_byte(out, root.kind == JSON_ARRAY);
        if (root.kind == JSON_ARRAY) {
            (void)json_walk_next(&walk);
        }
    }
    while ((step = json_walk_next(&walk)) != JSON_DONE) {
        if (step == JSON_KEY) {
            key_text(walk.key, out);
        } else if (step != JSON_END) {
            key_value(&walk.value, &arena, out);
        }
    }
    json_walk_fini(&walk);
    arena_fini(&arena);
}

/* ---- For the table of types ---- */

err_t
json_input(const struct type *type, const struct type_io *context, struct slice text,
           int32_t typmod, struct datum *out)
{
    const struct json_events events = {0};

    (void)type;
    (void)context;
    (void)typmod;
    out->bytes = text;
    return json_parse(text, NULL, &events);
}

void
json_output(const struct type *type, const struct type_settings *settings, struct datum value,
            struct buf *out)
{
    text_output(type, settings, value, out);
}

err_t
json_receive(const struct type *type, const struct type_io *context, struct slice bytes,
             struct datum *out)
{
    err_t err = text_check(bytes);

    return err != ERR_OK ? err : json_input(type, context, bytes, -1, out);
}

void
json_send(const struct type *type, struct datum value, struct buf *out)
{
    text_send(type, value, out);
}

err_t
jsonb_input(const struct type *type, const struct type_io *context, struct slice text,
            int32_t typmod, struct datum *out)
{
    (void)type;
    (void)typmod;
    return jsonb_from_text(text, context->arena, out);
}

void
jsonb_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    (void)type;
    (void)settings;
    json_value_print(json_root(value.bytes), false, out);
}

err_t
jsonb_receive(const struct type *type, const struct type_io *context, struct slice bytes,
              struct datum *out)
{
    err_t err;

    if (bytes.size == 0 || bytes.data[0] != JSONB_VERSION) {
        return sql_error("XX000", "unsupported jsonb version number %d",
                         bytes.size == 0 ? 0 : bytes.data[0]);
    }
    bytes = slice_of(bytes.data + 1, bytes.size - 1);
    err = text_check(bytes);
    return err != ERR_OK ? err : jsonb_input(type, context, bytes, -1, out);
}

void
jsonb_send(const struct type *type, struct datum value, struct buf *out)
{
    buf_append_byte(out, JSONB_VERSION);
    jsonb_output(type, &type_settings_default, value, out);
}
