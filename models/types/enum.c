/* models/types/enum.c - values of enum types as text and bytes; places of labels. */
#include "models/types/enum.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "models/types/array.h"
#include "models/types/sql_error.h"
#include "models/types/type_io.h"

#include "engine/base/poison.h"

#define SLICE_ARGS(slice) (int)(slice).size, (const char *)(slice).data

/* First places lie this far apart: so often a label may come into one gap. */
#define PLACE_STEP (INT64_C(1) << 44)

/* ---- Labels ---- */

const struct enum_type *
enum_type_of(const struct type *type)
{
    return type->category == 'E' && type->oid >= OID_FIRST_USER ? (const struct enum_type *)type
                                                                : NULL;
}

const struct enum_label *
enum_label_find(const struct enum_type *type, struct slice name)
{
    uint32_t low = 0, high = type->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct enum_label *label = &type->labels[type->by_name[middle]];
        int order = slice_compare(label->name, name);

        if (order == 0) {
            return label;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

const struct enum_label *
enum_label_at(const struct enum_type *type, int64_t place)
{
    uint32_t low = 0, high = type->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (type->labels[middle].place < place) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < type->count && type->labels[low].place == place ? &type->labels[low] : NULL;
}

err_t
enum_label_check(const struct enum_type *type, const struct enum_label *label)
{
    if (!label->is_unsafe) {
        return ERR_OK;
    }
    (void)sql_error("55P04", "unsafe use of new value \"%.*s\" of enum type %s",
                    SLICE_ARGS(label->name), type->type.display);
    return sql_hint("New enum values must be committed before they can be used.");
}

/* ---- Text and binary: both are the label ---- */

static err_t
label_read(const struct type *type, struct slice text, const char *sqlstate, struct datum *out)
{
    const struct enum_type *made = enum_type_of(type);
    const struct enum_label *label = enum_label_find(made, text);

    if (label == NULL) {
        return sql_error(sqlstate, "invalid input value for enum %s: \"%.*s\"", type->display,
                         SLICE_ARGS(text));
    }
    out->i = label->place;
    return enum_label_check(made, label);
}

static err_t
label_input(const struct type *type, const struct type_io *io, struct slice text, int32_t typmod,
            struct datum *out)
{
    (void)io;
    (void)typmod;
    return label_read(type, text, "22P02", out);
}

static err_t
label_receive(const struct type *type, const struct type_io *io, struct slice bytes,
              struct datum *out)
{
    (void)io;
    return label_read(type, bytes, "22P02", out);
}

/* A value whose label is not there any more cannot be in a row: labels are never taken away. */
static void
label_put(const struct type *type, struct datum value, struct buf *out)
{
    const struct enum_label *label = enum_label_at(enum_type_of(type), value.i);

    if (label != NULL) {
        buf_append(out, label->name.data, label->name.size);
    } else {
        buf_append(out, "???", 3);
    }
}

static void
label_output(const struct type *type, const struct type_settings *settings, struct datum value,
             struct buf *out)
{
    (void)settings;
    label_put(type, value, out);
}

static int
place_compare(const struct type *type, struct datum a, struct datum b)
{
    (void)type;
    return (a.i > b.i) - (a.i < b.i);
}

/* ---- The type ---- */

/* As an identifier is written where it needs quotes. */
static const char *
quoted(struct arena *arena, struct slice name, const char *behind)
{
    bool is_plain = name.size > 0 && (name.data[0] < '0' || name.data[0] > '9');
    struct buf text;
    char *copy;

    for (size_t i = 0; i < name.size; i++) {
        uint8_t c = name.data[i];

        is_plain = is_plain && ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_');
    }
    buf_init(&text, MEM_RUNTIME);
    for (size_t i = 0; !is_plain && i < name.size; i++) {
        buf_printf(&text, name.data[i] == '"' ? "\"\"" : "%c", name.data[i]);
    }
    copy = is_plain
               ? arena_printf(arena, "%.*s%s", SLICE_ARGS(name), behind)
               : arena_printf(arena, "\"%.*s\"%s", (int)text.size, (const char *)text.data, behind);
    buf_fini(&text);
    return copy;
}

struct named_label {
    struct slice name;
    uint32_t number;
};

static int
name_compare(const void *a, const void *b)
{
    return slice_compare(((const struct named_label *)a)->name,
                         ((const struct named_label *)b)->name);
}

static void
names_sort(struct enum_type *made, struct arena *arena)
{
    struct named_label *sorted = mem_alloc(MEM_RUNTIME, (made->count + 1U) * sizeof(*sorted));

    made->by_name = arena_alloc(arena, (made->count + 1U) * sizeof(*made->by_name));
    for (uint32_t i = 0; i < made->count; i++) {
        sorted[i] = (struct named_label){made->labels[i].name, i};
    }
    qsort(sorted, made->count, sizeof(*sorted), name_compare);
    for (uint32_t i = 0; i < made->count; i++) {
        made->by_name[i] = sorted[i].number;
    }
    mem_free(MEM_RUNTIME, sorted, (made->count + 1U) * sizeof(*sorted));
}

void
enum_type_init(struct enum_type *made, oid_t oid, oid_t array_oid, uint64_t version,
               struct arena *arena)
{
    for (uint32_t i = 0; i < made->count; i++) {
        made->labels[i].is_unsafe = made->labels[i].since > version;
    }
    names_sort(made, arena);
    made->type = (struct type){
        .oid = oid,
        .array = array_oid,
        .array_type = &made->array,
        .name = arena_printf(arena, "%.*s", SLICE_ARGS(made->name)),
        .display = quoted(arena, made->name, ""),
        .length = ENUM_VALUE_BYTES,
        .category = 'E',
        .rep = REP_INT,
        .input = label_input,
        .output = label_output,
        .receive = label_receive,
        .send = label_put,
        .compare = place_compare,
    };
    made->array = (struct type){
        .oid = array_oid,
        .element = oid,
        .element_type = &made->type,
        .name = arena_printf(arena, "%.*s", SLICE_ARGS(made->array_name)),
        .display = quoted(arena, made->name, "[]"),
        .length = -1,
        .category = 'A',
        .rep = REP_BYTES,
        .input = array_input,
        .output = array_output,
        .receive = array_receive,
        .send = array_send,
        .compare = array_compare,
    };
}

/* ---- Places ---- */

void
enum_places_set(struct enum_label *labels, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        labels[i].place = PLACE_STEP * (int64_t)i;
        labels[i].order = (float)(i + 1);
    }
}

/* PostgreSQL's: halfway, until floats do not tell the two apart. */
static void
order_between(struct enum_label *labels, uint32_t count, uint32_t at)
{
    float below, above;

    if (at == 0 || at == count - 1) {
        labels[at].order = count == 1 ? 1
                           : at == 0  ? labels[1].order - 1
                                      : labels[at - 1].order + 1;
        return;
    }
    below = labels[at - 1].order;
    above = labels[at + 1].order;
    labels[at].order = (float)(((double)below + (double)above) / 2);
    if (labels[at].order <= below || labels[at].order >= above) {
        for (uint32_t i = 0; i < count; i++) {
            labels[i].order = (float)(i + 1);
        }
    }
}

err_t
enum_place_between(struct enum_label *labels, uint32_t count, uint32_t at)
{
    int64_t place = 0;

    ASSERT(at < count);
    if (count == 1) {
        place = 0;
    } else if (at == 0) {
        place = labels[1].place - PLACE_STEP;
    } else if (at == count - 1) {
        place = labels[at - 1].place + PLACE_STEP;
    } else {
        place = labels[at - 1].place + (labels[at + 1].place - labels[at - 1].place) / 2;
        if (place == labels[at - 1].place) {
            return sql_error("54000", "no place is left between the values \"%.*s\" and \"%.*s\"",
                             SLICE_ARGS(labels[at - 1].name), SLICE_ARGS(labels[at + 1].name));
        }
    }
    labels[at].place = place;
    order_between(labels, count, at);
    return ERR_OK;
}
