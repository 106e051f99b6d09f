/* query/fn/json_item.c - json and jsonb, seen alike. */
#include "query/fn/json_item.h"

#include "engine/base/assert.h"
#include "models/types/sql_error.h"

#include "engine/base/poison.h"

/* ---- Trees of json ---- */

struct json_member {
    struct slice key;
    struct json_tree *value;
};

struct json_tree {
    enum json_kind kind;
    struct slice span; /* As it stands. */
    struct slice text; /* Of a string without escapes. */
    struct json_tree *parent;
    struct slice key; /* Of the member that comes next. */
    struct json_member *members;
    uint32_t count, capacity;
};

struct tree_builder {
    struct arena *arena;
    struct slice whole;
    struct json_tree *open, *root;
};

static err_t
tree_add(struct tree_builder *builder, struct json_tree *node)
{
    struct json_tree *parent = builder->open;

    node->parent = parent;
    if (parent == NULL) {
        builder->root = node;
        return ERR_OK;
    }
    if (parent->count == parent->capacity) {
        uint32_t capacity = MAX(4U, parent->capacity * 2);
        struct json_member *grown = arena_alloc(builder->arena, capacity * sizeof(*grown));

        if (grown == NULL) {
            return err_set_default(ERR_NO_MEMORY);
        }
        if (parent->count > 0) {
            memcpy(grown, parent->members, parent->count * sizeof(*grown));
        }
        parent->members = grown;
        parent->capacity = capacity;
    }
    parent->members[parent->count++] = (struct json_member){parent->key, node};
    return ERR_OK;
}

static struct json_tree *
tree_new(struct tree_builder *builder, enum json_kind kind, size_t from, size_t to)
{
    struct json_tree *node = arena_alloc(builder->arena, sizeof(*node));

    *node =
        (struct json_tree){.kind = kind, .span = slice_of(builder->whole.data + from, to - from)};
    return node;
}

static err_t
tree_begin(void *arg, enum json_kind kind, size_t offset)
{
    struct tree_builder *builder = arg;
    struct json_tree *node = tree_new(builder, kind, offset, offset);
    err_t err = tree_add(builder, node);

    builder->open = node;
    return err;
}

static err_t
tree_key(void *arg, struct slice name)
{
    ((struct tree_builder *)arg)->open->key = name;
    return ERR_OK;
}

static err_t
tree_scalar(void *arg, enum json_kind kind, struct slice text, size_t from, size_t to)
{
    struct json_tree *node = tree_new(arg, kind, from, to);

    node->text = text;
    return tree_add(arg, node);
}

static err_t
tree_end(void *arg, size_t offset)
{
    struct tree_builder *builder = arg;

    builder->open->span.size = (size_t)(builder->whole.data + offset - builder->open->span.data);
    builder->open = builder->open->parent;
    return ERR_OK;
}

/* ---- Items ---- */

err_t
json_item_open(struct arena *arena, bool is_text, struct slice bytes, struct json_item *out)
{
    struct tree_builder builder = {.arena = arena, .whole = bytes};
    const struct json_events events = {
        .arg = &builder,
        .begin = tree_begin,
        .key = tree_key,
        .scalar = tree_scalar,
        .end = tree_end,
    };
    err_t err;

    *out = (struct json_item){0};
    if (!is_text) {
        out->value = json_root(bytes);
        return ERR_OK;
    }
    err = json_parse(bytes, arena, &events);
    out->tree = builder.root;
    return err;
}

enum json_kind
json_item_kind(const struct json_item *item)
{
    return item->tree != NULL ? item->tree->kind : (enum json_kind)item->value.kind;
}

bool
json_item_is_container(const struct json_item *item)
{
    return json_item_kind(item) >= JSON_ARRAY;
}

uint32_t
json_item_count(const struct json_item *item)
{
    return item->tree != NULL ? item->tree->count : item->value.count;
}

struct json_item
json_item_at(const struct json_item *item, uint32_t index)
{
    struct json_item part = {0};

    if (item->tree != NULL) {
        part.tree = item->tree->members[index].value;
    } else {
        part.value = json_at(&item->value, index);
    }
    return part;
}

struct slice
json_item_key(const struct json_item *item, uint32_t index)
{
    return item->tree != NULL ? item->tree->members[index].key : json_key_at(&item->value, index);
}

bool
json_item_find(const struct json_item *item, struct slice key, struct json_item *out)
{
    if (json_item_kind(item) != JSON_OBJECT) {
        return false;
    }
    if (item->tree == NULL) {
        struct json_value found;
        bool is_found = json_find(&item->value, key, &found);

        if (is_found) {
            *out = (struct json_item){.value = found};
        }
        return is_found;
    }
    for (uint32_t i = item->tree->count; i > 0; i--) {
        if (slice_equal(item->tree->members[i - 1].key, key)) {
            *out = json_item_at(item, i - 1);
            return true;
        }
    }
    return false;
}

struct datum
json_item_datum(const struct json_item *item)
{
    return datum_bytes(item->tree != NULL ? item->tree->span : item->value.whole);
}

bool
json_item_text(const struct json_item *item, struct arena *arena, struct slice *out)
{
    enum json_kind kind = json_item_kind(item);
    struct buf text;

    if (kind == JSON_NULL) {
        return false;
    }
    if (kind == JSON_STRING) {
        *out = item->tree != NULL ? item->tree->text : item->value.payload;
        return true;
    }
    if (item->tree != NULL) {
        *out = item->tree->span;
        return true;
    }
    buf_init(&text, MEM_SESSIONS);
    json_value_print(item->value, false, &text);
    *out = arena_copy(arena, buf_slice(&text));
    buf_fini(&text);
    return true;
}

bool
json_item_index(const struct json_item *item, int64_t index, struct json_item *out)
{
    int64_t count = json_item_count(item);

    if (json_item_kind(item) != JSON_ARRAY) {
        return false;
    }
    index += index < 0 ? count : 0;
    if (index < 0 || index >= count) {
        return false;
    }
    *out = json_item_at(item, (uint32_t)index);
    return true;
}

bool
json_index_from_text(struct slice text, int64_t *out)
{
    size_t at = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+');
    int64_t value = 0;

    if (at == text.size || text.size - at > 10) {
        return false;
    }
    for (size_t i = at; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
        value = value * 10 + (text.data[i] - '0');
    }
    *out = text.data[0] == '-' ? -value : value;
    return *out <= INT32_MAX && *out >= INT32_MIN;
}

err_t
json_item_path(const struct json_item *item, const struct datum *steps, const uint8_t *nulls,
               uint32_t count, struct json_item *out, bool *found_out)
{
    *out = *item;
    *found_out = true;
    for (uint32_t i = 0; i < count && *found_out; i++) {
        struct json_item from = *out;
        int64_t index;

        if (nulls[i] != 0) {
            *found_out = false;
        } else if (json_item_kind(&from) == JSON_OBJECT) {
            *found_out = json_item_find(&from, steps[i].bytes, out);
        } else {
            *found_out =
                json_index_from_text(steps[i].bytes, &index) && json_item_index(&from, index, out);
        }
    }
    return ERR_OK;
}

bool
json_call_is_text(const struct call *call)
{
    return call_arg_type(call, 0)->oid != OID_JSONB;
}
