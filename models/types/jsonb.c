/* models/types/jsonb.c - the bytes of jsonb: reading, walking, writing. */
#include "models/types/jsonb.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

enum { TAG_KIND = 15, TAG_WIDTH_SHIFT = 4, WIDTHS = 3, PAIR_NUMBERS = 3 };

static bool
is_container(uint8_t kind)
{
    return kind == JSON_ARRAY || kind == JSON_OBJECT;
}

static uint32_t
number_at(const uint8_t *at, uint8_t width)
{
    return width == 1 ? at[0] : width == 2 ? get_le16(at) : get_le32(at);
}

/* ---- Reading ---- */

struct json_value
json_root(struct slice bytes)
{
    struct json_value value = {.whole = bytes};
    const uint8_t *end = bytes.data + bytes.size;
    uint32_t per_item;

    ASSERT(bytes.size > 0);
    value.kind = bytes.data[0] & TAG_KIND;
    value.payload = slice_of(bytes.data + 1, bytes.size - 1);
    if (!is_container(value.kind)) {
        return value;
    }
    value.width = (uint8_t)(1U << (bytes.data[0] >> TAG_WIDTH_SHIFT));
    value.count = number_at(end - value.width, value.width);
    per_item = value.kind == JSON_ARRAY ? 1 : PAIR_NUMBERS;
    value.table = end - value.width - (size_t)value.count * per_item * value.width;
    value.payload.size = (size_t)(value.table - value.payload.data);
    return value;
}

static uint32_t
table_number(const struct json_value *container, uint64_t index)
{
    return number_at(container->table + index * container->width, container->width);
}

struct json_value
json_at(const struct json_value *container, uint32_t index)
{
    uint32_t from, to;

    ASSERT(index < container->count);
    if (container->kind == JSON_ARRAY) {
        from = index == 0 ? 0 : table_number(container, index - 1);
        to = table_number(container, index);
    } else {
        from = table_number(container, (uint64_t)index * PAIR_NUMBERS + 1);
        to = table_number(container, (uint64_t)index * PAIR_NUMBERS + 2);
    }
    return json_root(slice_of(container->payload.data + from, to - from));
}

struct slice
json_key_at(const struct json_value *object, uint32_t index)
{
    uint32_t from = table_number(object, (uint64_t)index * PAIR_NUMBERS);
    uint32_t to = table_number(object, (uint64_t)index * PAIR_NUMBERS + 1);

    return slice_of(object->payload.data + from, to - from);
}

/* The order of keys: shorter ones first. */
static int
key_order(struct slice a, struct slice b)
{
    return a.size != b.size ? (a.size > b.size) - (a.size < b.size) : slice_compare(a, b);
}

bool
json_find(const struct json_value *object, struct slice key, struct json_value *out)
{
    uint32_t low = 0, high = object->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = key_order(json_key_at(object, middle), key);

        if (order == 0) {
            *out = json_at(object, middle);
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

err_t
json_number(const struct json_value *value, struct arena *arena, struct numeric *out)
{
    return numeric_get(value->payload, arena, out);
}

const char *
json_kind_name(enum json_kind kind)
{
    static const char *const names[] = {"null",   "boolean", "boolean", "number",
                                        "string", "array",   "object"};

    return names[kind];
}

/* ---- Checks of stored bytes ---- */

struct unchecked {
    struct slice bytes;
    uint32_t depth;
};

static err_t
corrupt(void)
{
    return err_set(ERR_CORRUPT, "a stored jsonb is malformed");
}

static void
unchecked_push(struct buf *stack, struct slice bytes, uint32_t depth)
{
    const struct unchecked item = {bytes, depth};

    buf_append(stack, &item, sizeof(item));
}

/* Ranges in order that fill the payload: no byte belongs to two values. */
static bool
array_check_ends(const struct json_value *array)
{
    uint32_t end = 0;

    for (uint32_t i = 0; i < array->count; i++) {
        uint32_t next = table_number(array, i);

        if (next <= end || next > array->payload.size) {
            return false;
        }
        end = next;
    }
    return end == array->payload.size;
}

static bool
object_check_ends(const struct json_value *object)
{
    uint64_t used = 0;

    for (uint32_t i = 0; i < object->count; i++) {
        uint32_t key = table_number(object, (uint64_t)i * PAIR_NUMBERS);
        uint32_t value = table_number(object, (uint64_t)i * PAIR_NUMBERS + 1);
        uint32_t end = table_number(object, (uint64_t)i * PAIR_NUMBERS + 2);

        if (key > value || value >= end || end > object->payload.size) {
            return false;
        }
        used += end - key;
        if (used > object->payload.size ||
            (i > 0 && key_order(json_key_at(object, i - 1), json_key_at(object, i)) >= 0)) {
            return false;
        }
    }
    return true;
}

static err_t
container_check(struct slice bytes, uint32_t depth, struct buf *stack)
{
    uint8_t code = bytes.data[0] >> TAG_WIDTH_SHIFT;
    uint32_t width = 1U << code, count;
    uint64_t table;
    struct json_value value;

    if (code >= WIDTHS || bytes.size < 1 + width || depth >= JSON_DEPTH_MAX) {
        return corrupt();
    }
    count = number_at(bytes.data + bytes.size - width, (uint8_t)width);
    table = (uint64_t)count * width * ((bytes.data[0] & TAG_KIND) == JSON_ARRAY ? 1 : PAIR_NUMBERS);
    if (table + width + 1 > bytes.size) {
        return corrupt();
    }
    value = json_root(bytes);
    if (value.kind == JSON_ARRAY ? !array_check_ends(&value) : !object_check_ends(&value)) {
        return corrupt();
    }
    for (uint32_t i = 0; i < value.count; i++) {
        uint64_t at = value.kind == JSON_ARRAY ? i : (uint64_t)i * PAIR_NUMBERS + 2;
        uint32_t from = value.kind == JSON_ARRAY ? (i == 0 ? 0 : table_number(&value, i - 1))
                                                 : table_number(&value, at - 1);

        unchecked_push(stack, slice_of(value.payload.data + from, table_number(&value, at) - from),
                       depth + 1);
    }
    return ERR_OK;
}

static err_t
value_check(struct unchecked item, struct arena *arena, struct buf *stack)
{
    struct numeric number;
    uint8_t kind;

    if (item.bytes.size == 0) {
        return corrupt();
    }
    kind = item.bytes.data[0] & TAG_KIND;
    if (is_container(kind)) {
        return container_check(item.bytes, item.depth, stack);
    }
    if (item.bytes.data[0] > JSON_STRING || (kind <= JSON_TRUE && item.bytes.size != 1)) {
        return corrupt();
    }
    if (kind == JSON_NUMBER) {
        return numeric_get(slice_of(item.bytes.data + 1, item.bytes.size - 1), arena, &number);
    }
    return ERR_OK;
}

err_t
jsonb_check(const struct type *type, struct slice bytes)
{
    struct arena arena;
    struct buf stack;
    err_t err = ERR_OK;

    (void)type;
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&stack, MEM_SESSIONS);
    unchecked_push(&stack, bytes, 0);
    while (err == ERR_OK && stack.size > 0) {
        struct unchecked item;

        stack.size -= sizeof(item);
        memcpy(&item, stack.data + stack.size, sizeof(item));
        err = value_check(item, &arena, &stack);
    }
    buf_fini(&stack);
    arena_fini(&arena);
    return err;
}

/* ---- Walks ---- */

struct walk_frame {
    struct json_value container;
    uint32_t next;
    bool key_given;
};

void
json_walk_init(struct json_walk *walk, struct json_value root)
{
    *walk = (struct json_walk){.root = root};
    buf_init(&walk->frames, MEM_SESSIONS);
}

void
json_walk_fini(struct json_walk *walk)
{
    buf_fini(&walk->frames);
}

static enum json_step
walk_enter(struct json_walk *walk, struct json_value value)
{
    struct walk_frame frame = {.container = value};

    walk->value = value;
    if (!is_container(value.kind)) {
        return JSON_SCALAR;
    }
    buf_append(&walk->frames, &frame, sizeof(frame));
    return JSON_BEGIN;
}

enum json_step
json_walk_next(struct json_walk *walk)
{
    struct walk_frame *frame;

    if (!walk->is_started) {
        walk->is_started = true;
        return walk_enter(walk, walk->root);
    }
    if (walk->frames.size == 0) {
        return JSON_DONE;
    }
    frame = (struct walk_frame *)(void *)(walk->frames.data + walk->frames.size - sizeof(*frame));
    if (frame->next == frame->container.count) {
        walk->value = frame->container;
        walk->frames.size -= sizeof(*frame);
        return JSON_END;
    }
    if (frame->container.kind == JSON_OBJECT && !frame->key_given) {
        frame->key_given = true;
        walk->key = json_key_at(&frame->container, frame->next);
        return JSON_KEY;
    }
    frame->key_given = false;
    return walk_enter(walk, json_at(&frame->container, frame->next++));
}

void
json_walk_skip(struct json_walk *walk)
{
    walk->frames.size -= sizeof(struct walk_frame);
}

/* ---- Writing ---- */

struct write_frame {
    enum json_kind kind;
    uint32_t tag; /* Where it lies. */
    uint32_t first_entry;
    uint32_t key, value; /* Of the pair that is being written. */
};

struct write_entry {
    uint32_t key, value, end;
};

void
json_write_init(struct json_writer *writer, struct arena *arena)
{
    *writer = (struct json_writer){.arena = arena};
    buf_init(&writer->bytes, MEM_SESSIONS);
    buf_init(&writer->frames, MEM_SESSIONS);
    buf_init(&writer->entries, MEM_SESSIONS);
}

void
json_write_fini(struct json_writer *writer)
{
    buf_fini(&writer->bytes);
    buf_fini(&writer->frames);
    buf_fini(&writer->entries);
}

static struct write_frame *
write_frame_top(struct json_writer *writer)
{
    return (struct write_frame *)(void *)(writer->frames.data + writer->frames.size -
                                          sizeof(struct write_frame));
}

static struct write_entry *
write_entries(struct json_writer *writer)
{
    return (struct write_entry *)(void *)writer->entries.data;
}

static err_t
write_room(struct json_writer *writer, size_t size)
{
    if (size + writer->bytes.size > JSONB_BYTES_MAX) {
        return sql_error("54000", "total size of jsonb elements exceeds the maximum of %d bytes",
                         JSONB_BYTES_MAX);
    }
    return buf_try_reserve(&writer->bytes, size) ? ERR_OK : err_set_default(ERR_NO_MEMORY);
}

/* A value is whole. */
static void
write_done(struct json_writer *writer)
{
    const struct write_frame *frame;
    struct write_entry entry;

    if (writer->depth == 0) {
        return;
    }
    frame = write_frame_top(writer);
    entry = (struct write_entry){frame->key, frame->value, (uint32_t)writer->bytes.size};
    buf_append(&writer->entries, &entry, sizeof(entry));
}

err_t
json_write_begin(struct json_writer *writer, enum json_kind kind)
{
    const struct write_frame frame = {
        .kind = kind,
        .tag = (uint32_t)writer->bytes.size,
        .first_entry = (uint32_t)(writer->entries.size / sizeof(struct write_entry)),
    };
    err_t err = write_room(writer, 1);

    if (err == ERR_OK && writer->depth >= JSON_DEPTH_MAX) {
        err = json_too_deep();
    }
    if (err != ERR_OK) {
        return err;
    }
    buf_append_byte(&writer->bytes, (uint8_t)kind);
    buf_append(&writer->frames, &frame, sizeof(frame));
    writer->depth++;
    return ERR_OK;
}

static int
entry_order(const struct json_writer *writer, struct write_entry a, struct write_entry b)
{
    int order = key_order(slice_of(writer->bytes.data + a.key, a.value - a.key),
                          slice_of(writer->bytes.data + b.key, b.value - b.key));

    return order != 0 ? order : (a.key > b.key) - (a.key < b.key);
}

static void
entries_sift(const struct json_writer *writer, struct write_entry *entries, uint32_t root,
             uint32_t count)
{
    for (;;) {
        uint32_t child = 2 * root + 1;
        struct write_entry moved;

        if (child >= count) {
            return;
        }
        child += child + 1 < count && entry_order(writer, entries[child], entries[child + 1]) < 0;
        if (entry_order(writer, entries[root], entries[child]) >= 0) {
            return;
        }
        moved = entries[root];
        entries[root] = entries[child];
        entries[child] = moved;
        root = child;
    }
}

/* By key; of equal ones the last stays. Returns how many are left. */
static uint32_t
entries_settle(const struct json_writer *writer, struct write_entry *entries, uint32_t count)
{
    bool is_sorted = true;
    uint32_t kept = 0;

    for (uint32_t i = 1; i < count && is_sorted; i++) {
        is_sorted = entry_order(writer, entries[i - 1], entries[i]) < 0;
    }
    for (uint32_t i = count / 2; !is_sorted && i > 0; i--) {
        entries_sift(writer, entries, i - 1, count);
    }
    for (uint32_t end = count; !is_sorted && end > 1; end--) {
        struct write_entry last = entries[end - 1];

        entries[end - 1] = entries[0];
        entries[0] = last;
        entries_sift(writer, entries, 0, end - 1);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct slice key =
            slice_of(writer->bytes.data + entries[i].key, entries[i].value - entries[i].key);

        if (kept > 0 &&
            slice_equal(key, slice_of(writer->bytes.data + entries[kept - 1].key,
                                      entries[kept - 1].value - entries[kept - 1].key))) {
            kept--;
        }
        entries[kept++] = entries[i];
    }
    return kept;
}

static void
number_put(struct buf *out, uint32_t number, uint8_t width)
{
    uint8_t bytes[4];

    put_le32(bytes, number);
    buf_append(out, bytes, width);
}

err_t
json_write_end(struct json_writer *writer)
{
    struct write_frame frame = *write_frame_top(writer);
    uint32_t count =
        (uint32_t)(writer->entries.size / sizeof(struct write_entry)) - frame.first_entry;
    struct write_entry *entries = count > 0 ? write_entries(writer) + frame.first_entry : NULL;
    uint32_t start = frame.tag + 1, size = (uint32_t)writer->bytes.size - start;
    uint8_t code = size <= UINT8_MAX ? 0 : size <= UINT16_MAX ? 1 : 2;
    uint8_t width = (uint8_t)(1U << code);
    err_t err;

    if (frame.kind == JSON_OBJECT && count > 0) {
        count = entries_settle(writer, entries, count);
    }
    err = write_room(writer, ((size_t)count * PAIR_NUMBERS + 1) * width);
    if (err != ERR_OK) {
        return err;
    }
    writer->bytes.data[frame.tag] |= (uint8_t)(code << TAG_WIDTH_SHIFT);
    for (uint32_t i = 0; i < count; i++) {
        if (frame.kind == JSON_OBJECT) {
            number_put(&writer->bytes, entries[i].key - start, width);
            number_put(&writer->bytes, entries[i].value - start, width);
        }
        number_put(&writer->bytes, entries[i].end - start, width);
    }
    number_put(&writer->bytes, count, width);
    writer->entries.size = frame.first_entry * sizeof(struct write_entry);
    writer->frames.size -= sizeof(frame);
    writer->depth--;
    write_done(writer);
    return ERR_OK;
}

err_t
json_write_key(struct json_writer *writer, struct slice key)
{
    struct write_frame *frame = write_frame_top(writer);
    err_t err = write_room(writer, key.size);

    if (err != ERR_OK) {
        return err;
    }
    frame->key = (uint32_t)writer->bytes.size;
    buf_append(&writer->bytes, key.data, key.size);
    frame->value = (uint32_t)writer->bytes.size;
    return ERR_OK;
}

static err_t
write_scalar(struct json_writer *writer, enum json_kind kind, struct slice payload)
{
    err_t err = write_room(writer, payload.size + 1);

    if (err == ERR_OK) {
        buf_append_byte(&writer->bytes, (uint8_t)kind);
        buf_append(&writer->bytes, payload.data, payload.size);
        write_done(writer);
    }
    return err;
}

err_t
json_write_simple(struct json_writer *writer, enum json_kind kind)
{
    return write_scalar(writer, kind, slice_of(NULL, 0));
}

err_t
json_write_string(struct json_writer *writer, struct slice text)
{
    return write_scalar(writer, JSON_STRING, text);
}

err_t
json_write_number(struct json_writer *writer, struct numeric number)
{
    struct buf bytes;
    err_t err;

    buf_init(&bytes, MEM_SESSIONS);
    numeric_put(number, &bytes);
    err = write_scalar(writer, JSON_NUMBER, buf_slice(&bytes));
    buf_fini(&bytes);
    return err;
}

err_t
json_write_value(struct json_writer *writer, const struct json_value *value)
{
    err_t err = write_room(writer, value->whole.size);

    if (err == ERR_OK) {
        buf_append(&writer->bytes, value->whole.data, value->whole.size);
        write_done(writer);
    }
    return err;
}

err_t
json_write_finish(struct json_writer *writer, struct datum *out)
{
    ASSERT(writer->depth == 0 && writer->bytes.size > 0);
    out->bytes = arena_copy(writer->arena, buf_slice(&writer->bytes));
    return out->bytes.data != NULL ? ERR_OK : err_set_default(ERR_NO_MEMORY);
}
