/* models/kv/list.c - lists: how they are stored, read, and change at their ends. */
#include "models/kv/list.h"

#include "engine/base/assert.h"
#include "models/kv/listpack.h"

#include "engine/base/poison.h"

enum {
    SPREAD_BODY_BYTES = 17, /* Encoding, first number, bytes. */
    DELETE_SINGLY_MAX = 64, /* More numbers in a row go by one range delete. */
    /* A spread list that has shrunk so far is packed again: well below the limits of packed ones,
     * so that it takes many changes to spread once more. */
    REPACK_ITEMS_MAX = KV_PACKED_ITEMS_MAX / 2,
    REPACK_BYTES_MAX = KV_PACKED_BYTES_MAX / 2,
    RDB_LIST = 1,
    RDB_LIST_QUICKLIST_2 = 18,
    NODE_PLAIN = 1,
    NODE_PACKED = 2,
    ITEMS_FIRST = 16,
};

static const uint64_t first_number = UINT64_C(1) << 63;

/* ---- Encodings ---- */

uint64_t
kv_list_entry_bytes(struct slice item)
{
    int64_t number;
    uint64_t size;

    if (reply_parse_int(item, &number)) {
        size = number >= 0 && number < 128                ? 1
               : number >= -4096 && number < 4096         ? 2
               : number == (int16_t)number                ? 3
               : number >= -(1 << 23) && number < 1 << 23 ? 4
               : number == (int32_t)number                ? 5
                                                          : 9;
    } else {
        size = (item.size < 64 ? 1 : item.size < 4096 ? 2 : 5) + item.size;
    }
    return size + (size < 1 << 7    ? 1
                   : size < 1 << 14 ? 2
                   : size < 1 << 21 ? 3
                   : size < 1 << 28 ? 4
                                    : 5);
}

/* Are so many items in so many bytes too many for one listpack? list-max-listpack-size counts
 * items, or, negative, stands for a size. shift 1: half of it. */
static bool
is_beyond(uint64_t bytes, uint64_t count, uint32_t shift)
{
    static const uint64_t sizes[] = {4096, 8192, 16384, 32768, 65536};
    const uint64_t size_safe = 8192;
    int64_t limit = kv_self()->config.limits.list_listpack;

    if (limit < 0) {
        return bytes > sizes[MIN((uint64_t)-limit, ARRAY_COUNT(sizes)) - 1] >> shift;
    }
    return bytes > size_safe || count > (uint64_t)MAX(limit, (int64_t)1) >> shift;
}

void
kv_list_will_grow(struct kv_list *list, const struct slice *items, uint32_t count)
{
    uint64_t added = 0;

    for (uint32_t i = 0; i < count; i++) {
        added += items[i].size;
    }
    if (is_beyond(list->bytes + added, list->count + count, 0)) {
        list->encoding = LIST_QUICKLIST;
    }
}

static const char *
kv_list_encoding_name(const struct kv_object *object)
{
    struct slice body = object->head.body;

    return body.size > 0 && body.data[0] == LIST_LISTPACK ? "listpack" : "quicklist";
}

/* ---- Lookup ---- */

err_t
kv_list_items_new(struct kv_request *request, uint64_t count, struct slice **items_out)
{
    uint64_t bytes;

    *items_out = NULL;
    if (!__builtin_mul_overflow(count, sizeof(**items_out), &bytes) &&
        !kv_memory_lacks(request, bytes)) {
        *items_out = arena_alloc(request->arena, bytes);
    }
    return *items_out != NULL
               ? ERR_OK
               : err_set(ERR_NO_MEMORY, "no memory for a list of %llu items; raise --memory",
                         (unsigned long long)count);
}

static err_t
spread_open(struct kv_list *list)
{
    struct slice body = list->head.body;

    if (body.size != SPREAD_BODY_BYTES) {
        return err_set(ERR_CORRUPT, "the head of a list has %zu bytes behind its count", body.size);
    }
    list->first = get_le64(body.data + 1);
    list->bytes = get_le64(body.data + 9);
    list->collection = kv_collection_of(&list->object);
    if (list->count == 0 || list->count > UINT64_MAX - list->first) {
        return err_set(ERR_CORRUPT, "the head of a list counts %llu items from number %llu on",
                       (unsigned long long)list->count, (unsigned long long)list->first);
    }
    return ERR_OK;
}

static err_t
packed_open(struct kv_request *request, struct kv_list *list)
{
    struct slice packed = slice_of(list->head.body.data + 1, list->head.body.size - 1);
    struct kv_packed left = {packed};
    err_t err;

    TRY(kv_packed_check(packed, list->count));
    TRY(kv_list_items_new(request, list->count, &list->items));
    for (uint64_t i = 0; i < list->count && kv_packed_next(&left, &list->items[i]); i++) {
        list->bytes += kv_list_entry_bytes(list->items[i]);
    }
out:
    return err;
}

void
kv_list_begin(struct kv_list *list, const struct kv_object *object, const struct kv_head *head)
{
    *list = (struct kv_list){
        .object = *object,
        .head = *head,
        .encoding = LIST_LISTPACK,
        .bytes = LIST_BYTES_MIN,
    };
    list->head.type = KV_LIST;
    list->head.flags &= (uint8_t) ~(KV_HEAD_SPREAD | KV_HEAD_PAYLOAD);
}

static err_t
kv_list_open(struct kv_request *request, struct kv_list *list)
{
    const struct kv_head none = {.type = KV_LIST};
    struct kv_object object = list->object;

    if (!object.is_found) {
        kv_list_begin(list, &object, &none);
        return ERR_OK;
    }
    kv_list_begin(list, &object, &object.head);
    list->count = object.head.count;
    if (object.head.body.size == 0 || object.head.body.data[0] >= LIST_ENCODINGS) {
        return err_set(ERR_CORRUPT, "the head of a list has no encoding");
    }
    list->encoding = object.head.body.data[0];
    list->is_spread = (object.head.flags & KV_HEAD_SPREAD) != 0;
    return list->is_spread ? spread_open(list) : packed_open(request, list);
}

bool
kv_list_lookup(struct kv_request *request, struct slice name, uint32_t flags,
               struct kv_list *list_out)
{
    err_t err;

    if (!kv_lookup(request, name, flags, &list_out->object) ||
        !kv_is_type(request, &list_out->object, KV_LIST)) {
        return false;
    }
    err = kv_list_open(request, list_out);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

bool
kv_list_position(const struct kv_list *list, int64_t index, uint64_t *position_out)
{
    if (index < 0 && (uint64_t) - (index + 1) >= list->count) {
        return false;
    }
    *position_out = index >= 0 ? (uint64_t)index : list->count - 1 - (uint64_t) - (index + 1);
    return *position_out < list->count;
}

/* ---- Reading ---- */

static struct slice
number_bytes(uint8_t out[LIST_NUMBER_BYTES], uint64_t number)
{
    put_be64(out, number);
    return slice_of(out, LIST_NUMBER_BYTES);
}

static err_t
item_missing(uint64_t number)
{
    return err_set(ERR_CORRUPT, "a list lacks its element number %llu", (unsigned long long)number);
}

err_t
kv_list_cursor_open(struct kv_request *request, const struct kv_list *list, uint64_t position,
                    uint64_t count, bool is_backward, struct kv_list_cursor *cursor_out)
{
    (void)request;
    ASSERT(count == 0 || position < list->count);
    ASSERT(count <= (is_backward ? position + 1 : list->count - position));
    *cursor_out = (struct kv_list_cursor){
        .list = list,
        .position = position,
        .left = count,
        .is_backward = is_backward,
    };
    arena_init(&cursor_out->arena, MEM_SESSIONS);
    return ERR_OK;
}

/* The elements' numbers are known, so that they are read by them, many in flight together. */
static YIELDS err_t
chunk_fetch(struct kv_request *request, struct kv_list_cursor *cursor)
{
    uint32_t count = (uint32_t)MIN(cursor->left, (uint64_t)LIST_CHUNK);
    const struct kv_list *list = cursor->list;
    struct arena *kept = request->arena;
    struct slice elements[LIST_CHUNK];
    uint8_t bytes[LIST_CHUNK][LIST_NUMBER_BYTES];
    err_t err;

    arena_reset(&cursor->arena);
    cursor->values = arena_alloc(&cursor->arena, count * sizeof(*cursor->values));
    for (uint32_t i = 0; i < count; i++) {
        uint64_t position = cursor->is_backward ? cursor->position - i : cursor->position + i;

        elements[i] = number_bytes(bytes[i], list->first + position);
    }
    request->arena = &cursor->arena; /* So that a long list never is in memory as a whole. */
    err =
        kv_element_get_many(request, &list->collection, LIST_KIND, elements, count, cursor->values);
    request->arena = kept;
    cursor->value_count = count;
    cursor->value_at = 0;
    return err;
}

err_t
kv_list_cursor_next(struct kv_request *request, struct kv_list_cursor *cursor,
                    struct slice *item_out, bool *is_found_out)
{
    err_t err = ERR_OK;

    *is_found_out = cursor->left > 0;
    if (cursor->left == 0) {
        return ERR_OK;
    }
    if (cursor->is_begun) {
        cursor->position += cursor->is_backward ? UINT64_MAX : 1;
    }
    cursor->is_begun = true;
    kv_work(request, LIST_WORK_UNITS_PER_ITEM);
    if (!cursor->list->is_spread) {
        *item_out = cursor->list->items[cursor->position];
    } else {
        if (cursor->value_at == cursor->value_count) {
            TRY(chunk_fetch(request, cursor));
        }
        if (!cursor->values[cursor->value_at].is_found) {
            return item_missing(cursor->list->first + cursor->position);
        }
        *item_out = cursor->values[cursor->value_at++].value;
    }
    cursor->left--;
out:
    return err;
}

void
kv_list_cursor_close(struct kv_list_cursor *cursor)
{
    arena_fini(&cursor->arena);
}

err_t
kv_list_get(struct kv_request *request, const struct kv_list *list, uint64_t position,
            struct slice *item_out)
{
    uint8_t bytes[LIST_NUMBER_BYTES];
    uint64_t number = list->first + position;
    struct lsm_value value;
    err_t err = ERR_OK;

    ASSERT(position < list->count);
    if (!list->is_spread) {
        *item_out = list->items[position];
        return ERR_OK;
    }
    TRY(kv_element_get(request, &list->collection, LIST_KIND, number_bytes(bytes, number), &value));
    if (!value.is_found) {
        return item_missing(number);
    }
    *item_out = value.value;
out:
    return err;
}

err_t
kv_list_bytes(struct kv_request *request, const struct kv_list *list, uint64_t position,
              uint64_t count, uint64_t *bytes_out)
{
    struct kv_list_cursor cursor;
    struct slice item;
    bool is_found;
    err_t err;

    *bytes_out = 0;
    TRY(kv_list_cursor_open(request, list, position, count, false, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        *bytes_out += kv_list_entry_bytes(item);
    }
    kv_list_cursor_close(&cursor);
out:
    return err;
}

/* ---- Elements ---- */

void
kv_list_put(struct kv_request *request, const struct kv_list *list, uint64_t number,
            struct slice item)
{
    uint8_t bytes[LIST_NUMBER_BYTES];

    kv_element_put(request, &list->collection, LIST_KIND, number_bytes(bytes, number), item);
    kv_work(request, LIST_WORK_UNITS_PER_ITEM);
}

void
kv_list_delete(struct kv_request *request, const struct kv_list *list, uint64_t number,
               uint64_t count)
{
    const struct kv_collection *collection = &list->collection;
    uint8_t start[KV_ELEMENT_PREFIX_BYTES + LIST_NUMBER_BYTES];
    uint8_t end[KV_ELEMENT_PREFIX_BYTES + LIST_NUMBER_BYTES];
    uint8_t bytes[LIST_NUMBER_BYTES];

    if (count > DELETE_SINGLY_MAX) {
        kv_element_encode(start, collection->keyspace, collection->slot, collection->id, LIST_KIND,
                          number_bytes(bytes, number));
        kv_element_encode(end, collection->keyspace, collection->slot, collection->id, LIST_KIND,
                          number_bytes(bytes, number + count));
        txn_delete_range(request->txn, collection->slot, slice_of(start, sizeof(start)),
                         slice_of(end, sizeof(end)));
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        kv_element_delete(request, collection, LIST_KIND, number_bytes(bytes, number + i));
        kv_work(request, LIST_WORK_UNITS_PER_ITEM);
    }
}

/* ---- Changes at the ends ---- */

static YIELDS err_t
packed_push(struct kv_request *request, struct kv_list *list, enum list_end end,
            const struct slice *items, uint32_t count)
{
    struct slice *all;
    struct slice *old;
    err_t err;

    TRY(kv_list_items_new(request, list->count + count, &all));
    old = end == LIST_LEFT ? all + count : all;
    for (uint64_t i = 0; i < list->count; i++) {
        old[i] = list->items[i];
    }
    for (uint32_t i = 0; i < count; i++) {
        all[end == LIST_LEFT ? count - 1 - i : list->count + i] = items[i];
        kv_work(request, 1);
    }
    list->items = all;
out:
    return err;
}

static YIELDS err_t
spread_push(struct kv_request *request, struct kv_list *list, enum list_end end,
            const struct slice *items, uint32_t count)
{
    if (end == LIST_LEFT ? list->first < count : list->first + list->count > UINT64_MAX - count) {
        return err_set(ERR_LIMIT, "the list has no numbers left at this end for %u elements",
                       count);
    }
    for (uint32_t i = 0; i < count; i++) {
        kv_list_put(request, list,
                    end == LIST_LEFT ? list->first - 1 - i : list->first + list->count + i,
                    items[i]);
    }
    list->first -= end == LIST_LEFT ? count : 0;
    return ERR_OK;
}

err_t
kv_list_push(struct kv_request *request, struct kv_list *list, enum list_end end,
             const struct slice *items, uint32_t count)
{
    err_t err;

    kv_list_will_grow(list, items, count);
    TRY(list->is_spread ? spread_push(request, list, end, items, count)
                        : packed_push(request, list, end, items, count));
    list->count += count;
    for (uint32_t i = 0; i < count; i++) {
        list->bytes += kv_list_entry_bytes(items[i]);
    }
out:
    return err;
}

void
kv_list_drop(struct kv_request *request, struct kv_list *list, enum list_end end, uint64_t count,
             uint64_t bytes)
{
    ASSERT(count <= list->count);
    if (list->is_spread && count < list->count) { /* Otherwise all goes with the head. */
        kv_list_delete(request, list,
                       end == LIST_LEFT ? list->first : list->first + list->count - count, count);
    }
    if (end == LIST_LEFT && list->is_spread) {
        list->first += count;
    } else if (end == LIST_LEFT && count > 0) {
        list->items += count;
    }
    list->count -= count;
    list->bytes -= MIN(bytes, list->bytes);
}

/* ---- Storing ---- */

static YIELDS err_t
repack(struct kv_request *request, struct kv_list *list)
{
    struct kv_list_cursor cursor;
    struct slice *items;
    struct slice item;
    bool is_found;
    err_t err;

    TRY(kv_list_items_new(request, list->count, &items));
    TRY(kv_list_cursor_open(request, list, 0, list->count, false, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        items[cursor.position] = arena_copy(request->arena, item);
    }
    kv_list_cursor_close(&cursor);
    if (err == ERR_OK) {
        list->items = items;
        list->is_spread = false;
    }
out:
    return err;
}

err_t
kv_list_has_shrunk(struct kv_request *request, struct kv_list *list)
{
    if (list->encoding == LIST_QUICKLIST && !is_beyond(list->bytes, list->count, 1)) {
        list->encoding = LIST_LISTPACK;
    }
    if (list->is_spread && list->count > 0 && list->count <= REPACK_ITEMS_MAX &&
        list->bytes <= REPACK_BYTES_MAX) {
        return repack(request, list);
    }
    return ERR_OK;
}

static bool
fits_packed(const struct kv_list *list)
{
    size_t size = 0;

    for (uint64_t i = 0; i < list->count && i <= KV_PACKED_ITEMS_MAX; i++) {
        size += kv_packed_size(list->items[i].size);
    }
    return list->count <= KV_PACKED_ITEMS_MAX && size <= KV_PACKED_BYTES_MAX;
}

static void
packed_store(struct kv_request *request, struct kv_list *list)
{
    uint8_t *body = arena_alloc(request->arena, 1 + KV_PACKED_BYTES_MAX);
    uint8_t *at = body;

    *at++ = (uint8_t)list->encoding;
    for (uint64_t i = 0; i < list->count; i++) {
        struct slice item = list->items[i];

        at += put_varint(at, item.size);
        if (item.size > 0) {
            memcpy(at, item.data, item.size);
        }
        at += item.size;
    }
    list->head.body = slice_of(body, (size_t)(at - body));
    list->head.flags &= (uint8_t)~KV_HEAD_SPREAD;
}

static YIELDS err_t
items_spread(struct kv_request *request, struct kv_list *list)
{
    err_t err;

    TRY(kv_collection_new(request, &list->object, &list->collection));
    list->is_spread = true;
    list->first = first_number;
    for (uint64_t i = 0; i < list->count; i++) {
        kv_list_put(request, list, list->first + i, list->items[i]);
    }
out:
    return err;
}

err_t
kv_list_store(struct kv_request *request, struct kv_list *list)
{
    uint8_t *body;
    err_t err = ERR_OK;

    if (!list->is_spread && !fits_packed(list)) {
        TRY(items_spread(request, list));
    }
    list->head.count = list->count;
    if (list->is_spread) {
        body = arena_alloc(request->arena, SPREAD_BODY_BYTES);
        body[0] = (uint8_t)list->encoding;
        put_le64(body + 1, list->first);
        put_le64(body + 9, list->bytes);
        list->head.body = slice_of(body, SPREAD_BODY_BYTES);
        list->head.flags |= KV_HEAD_SPREAD;
        list->head.collection = list->collection.id;
    } else {
        packed_store(request, list);
    }
    kv_put_collection(request, &list->object, &list->head);
out:
    return err;
}

/* ---- DUMP and RESTORE ---- */

static YIELDS err_t
kv_list_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct kv_list list = {.object = *object};
    struct kv_list_cursor cursor;
    struct slice item;
    bool is_found;
    err_t err;

    TRY(kv_list_open(request, &list));
    buf_append_byte(out, RDB_LIST);
    payload_append_length(out, list.count);
    TRY(kv_list_cursor_open(request, &list, 0, list.count, false, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        err = payload_append_text(out, item);
        if (err != ERR_OK) {
            break;
        }
    }
    kv_list_cursor_close(&cursor);
out:
    return err;
}

/* Items of a list that is read, as they come. */
struct items {
    struct slice *at;
    uint64_t count;
    uint64_t capacity;
};

static YIELDS err_t
items_add(struct kv_request *request, struct items *items, struct slice item)
{
    struct slice *at;
    err_t err = ERR_OK;

    if (items->count == items->capacity) {
        uint64_t capacity = MAX((uint64_t)ITEMS_FIRST, items->capacity * 2);

        TRY(kv_list_items_new(request, capacity, &at));
        if (items->count > 0) {
            memcpy(at, items->at, items->count * sizeof(*at));
        }
        items->at = at;
        items->capacity = capacity;
    }
    items->at[items->count++] = item;
    kv_work(request, LIST_WORK_UNITS_PER_ITEM);
out:
    return err;
}

/* A count of nodes; each is its kind, and a string that is an item or a listpack of them. */
static YIELDS err_t
node_restore(struct kv_request *request, struct payload_reader *reader, struct items *items)
{
    struct listpack pack;
    struct slice text;
    struct slice item;
    uint64_t node;
    err_t err;

    TRY(payload_read_length(reader, &node));
    if (node != NODE_PLAIN && node != NODE_PACKED) {
        return payload_malformed();
    }
    TRY(payload_read_text(reader, &text));
    if (node == NODE_PLAIN) {
        return items_add(request, items, text);
    }
    TRY(listpack_open(text, &pack));
    while (listpack_next(&pack, request->arena, &item)) {
        TRY(items_add(request, items, item));
    }
    err = listpack_end(&pack);
out:
    return err;
}

static YIELDS err_t
kv_list_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
                struct kv_object *object, const struct kv_head *head)
{
    struct items items = {0};
    struct slice item;
    struct kv_list list;
    uint64_t count;
    err_t err;

    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        if (rdb_type == RDB_LIST) {
            TRY(payload_read_text(reader, &item));
            TRY(items_add(request, &items, item));
        } else {
            TRY(node_restore(request, reader, &items));
        }
    }
    if (items.count == 0) { /* Redis writes no empty lists. */
        return payload_malformed();
    }
    kv_list_begin(&list, object, head);
    list.items = items.at;
    list.count = items.count;
    TRY(kv_list_bytes(request, &list, 0, list.count, &count));
    list.bytes += count;
    kv_list_will_grow(&list, NULL, 0);
    TRY(kv_list_store(request, &list));
    *object = list.object;
out:
    return err;
}

static bool
kv_list_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_LIST || rdb_type == RDB_LIST_QUICKLIST_2;
}

const struct kv_type_ops kv_type_list = {
    .name = "list",
    .encoding = kv_list_encoding_name,
    .dump = kv_list_dump,
    .restore = kv_list_restore,
    .restores = kv_list_restores,
};
