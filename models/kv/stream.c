/* models/kv/stream.c - streams: head, entries and cursors over them. See the header. */
#include "models/kv/stream.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "models/kv/listpack.h"

#include "engine/base/poison.h"

enum {
    BODY_NUMBERS = 18,
    BODY_BYTES_MAX = BODY_NUMBERS * VARINT_BYTES_MAX + 4,
    ENTRY_FLAGS_SAME_FIELDS = 2,
    ENTRY_PARTS = 3, /* Flags and the two parts of the id. */
};

/* ---- Head ---- */

/* The body: numbers as varints, and 4 bytes of check of the node's fields. */
static void
body_encode(const struct kv_stream *stream, uint8_t out[BODY_BYTES_MAX], size_t *size_out)
{
    const struct stream_node *node = &stream->node;
    const uint64_t numbers[BODY_NUMBERS] = {
        stream->last.ms,
        stream->last.seq,
        stream->first.ms,
        stream->first.seq,
        stream->max_deleted.ms,
        stream->max_deleted.seq,
        stream->added,
        stream->groups,
        stream->next_group,
        stream->first_node,
        stream->first_live,
        node->number,
        node->entries,
        node->live,
        node->bytes,
        node->master.ms,
        node->master.seq,
        node->fields,
    };
    size_t size = 0;

    for (uint32_t i = 0; i < BODY_NUMBERS; i++) {
        size += put_varint(out + size, numbers[i]);
    }
    put_le32(out + size, node->fields_check);
    *size_out = size + 4;
}

static bool
body_decode(struct kv_stream *stream)
{
    struct stream_node *node = &stream->node;
    uint64_t *const numbers[BODY_NUMBERS] = {
        &stream->last.ms,
        &stream->last.seq,
        &stream->first.ms,
        &stream->first.seq,
        &stream->max_deleted.ms,
        &stream->max_deleted.seq,
        &stream->added,
        &stream->groups,
        &stream->next_group,
        &stream->first_node,
        &stream->first_live,
        &node->number,
        &node->entries,
        &node->live,
        &node->bytes,
        &node->master.ms,
        &node->master.seq,
        &node->fields,
    };
    struct slice body = stream->head.body;
    const uint8_t *at = body.data;
    const uint8_t *end = body.data + body.size;

    for (uint32_t i = 0; i < BODY_NUMBERS; i++) {
        size_t used = get_varint(at, end, numbers[i]);

        if (used == 0) {
            return false;
        }
        at += used;
    }
    if (end - at != 4) {
        return false;
    }
    node->fields_check = get_le32(at);
    return node->live <= node->entries;
}

err_t
stream_open(struct kv_stream *stream)
{
    const struct kv_object *object = &stream->object;

    *stream = (struct kv_stream){.object = *object, .head = {.type = KV_STREAM}};
    if (!object->is_found) {
        return ERR_OK;
    }
    stream->head = object->head;
    stream->length = object->head.count;
    if ((object->head.flags & KV_HEAD_SPREAD) == 0 || !body_decode(stream)) {
        return err_set(ERR_CORRUPT, "the head of a stream is malformed: %zu bytes behind its count",
                       object->head.body.size);
    }
    stream->collection = kv_collection_of(object);
    return ERR_OK;
}

bool
stream_lookup(struct kv_request *request, struct slice name, uint32_t flags,
              struct kv_stream *stream_out)
{
    err_t err;

    if (!kv_lookup(request, name, flags, &stream_out->object) ||
        !kv_is_type(request, &stream_out->object, KV_STREAM)) {
        return false;
    }
    err = stream_open(stream_out);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

err_t
stream_create(struct kv_request *request, const struct kv_head *head, struct kv_stream *stream)
{
    stream->head = *head;
    stream->head.type = KV_STREAM;
    return kv_collection_new(request, &stream->object, &stream->collection);
}

void
stream_store(struct kv_request *request, struct kv_stream *stream)
{
    uint8_t *body = arena_alloc(request->arena, BODY_BYTES_MAX);
    size_t size;

    body_encode(stream, body, &size);
    stream->head.body = slice_of(body, size);
    stream->head.flags |= KV_HEAD_SPREAD;
    stream->head.collection = stream->collection.id;
    stream->head.count = stream->length;
    kv_put_collection(request, &stream->object, &stream->head);
}

/* ---- Nodes ---- */

static uint32_t
fields_check(const struct slice *words, uint64_t pairs)
{
    XXH64_hash_t hash = 0;

    for (uint64_t i = 0; i < pairs; i++) {
        hash = XXH3_64bits_withSeed(words[2 * i].data, words[2 * i].size, hash + words[2 * i].size);
    }
    return (uint32_t)(hash >> 32);
}

/* What the texts take as elements, from the first on, each second one. */
static uint64_t
texts_bytes(const struct slice *words, uint64_t pairs)
{
    uint64_t bytes = 0;

    for (uint64_t i = 0; i < pairs; i++) {
        bytes += listpack_text_bytes(words[2 * i]);
    }
    return bytes;
}

void
stream_node_begin(struct stream_node *node, struct stream_id id, const struct slice *words,
                  uint64_t pairs)
{
    *node = (struct stream_node){
        .number = node->number + 1,
        .bytes = LISTPACK_BYTES_MIN + listpack_integer_bytes((int64_t)pairs) +
                 texts_bytes(words, pairs) + listpack_integer_bytes(0),
        .master = id,
        .fields = pairs,
        .fields_check = fields_check(words, pairs),
    };
}

void
stream_node_add(struct stream_node *node, struct stream_id id, const struct slice *words,
                uint64_t pairs)
{
    bool is_same = pairs == node->fields && fields_check(words, pairs) == node->fields_check;
    int64_t flags = is_same ? ENTRY_FLAGS_SAME_FIELDS : 0;
    int64_t parts = (int64_t)(is_same ? ENTRY_PARTS + pairs : ENTRY_PARTS + 1 + 2 * pairs);

    node->bytes += listpack_integer_bytes(flags) +
                   listpack_integer_bytes((int64_t)(id.ms - node->master.ms)) +
                   listpack_integer_bytes((int64_t)(id.seq - node->master.seq)) +
                   texts_bytes(words + 1, pairs) + listpack_integer_bytes(parts);
    if (!is_same) {
        node->bytes += listpack_integer_bytes((int64_t)pairs) + texts_bytes(words, pairs);
    }
    node->entries++;
    node->live++;
}

/* Redis's rule: bytes of the node and of the words, entries with the deleted ones. */
static bool
node_is_full(const struct stream_node *node, const struct slice *words, uint64_t pairs)
{
    const struct kv_encoding_limits *limits = &kv_self()->config.limits;
    const uint64_t bytes_most = UINT64_C(1) << 30;
    uint64_t bytes_max = limits->stream_node_bytes;
    uint64_t bytes = node->bytes + listpack_integer_bytes((int64_t)node->live) +
                     listpack_integer_bytes((int64_t)(node->entries - node->live));

    bytes_max = bytes_max == 0 || bytes_max > bytes_most ? bytes_most : bytes_max;
    for (uint64_t i = 0; i < 2 * pairs; i++) {
        bytes += words[i].size;
    }
    return bytes >= bytes_max ||
           (limits->stream_node_entries > 0 && node->entries >= limits->stream_node_entries);
}

void
stream_node_leave(struct kv_stream *stream, uint64_t node, uint64_t count)
{
    if (node == stream->first_node) {
        stream->first_live -= MIN(count, stream->first_live);
    }
    if (node != stream->node.number || stream->node.entries == 0) {
        return;
    }
    stream->node.live -= MIN(count, stream->node.live);
    if (stream->node.live == 0) { /* The node has gone. */
        stream->node.entries = 0;
    }
}

/* ---- Entries ---- */

err_t
stream_entry_put(struct kv_request *request, const struct kv_stream *stream, struct stream_id id,
                 uint64_t node, const struct slice *words, uint64_t pairs)
{
    uint8_t key[STREAM_ID_BYTES];
    size_t size = 2 * VARINT_BYTES_MAX;
    uint8_t *value;
    uint8_t *at;

    for (uint64_t i = 0; i < 2 * pairs; i++) {
        size += kv_packed_size(words[i].size);
    }
    if (kv_memory_lacks(request, size) || (value = arena_alloc(request->arena, size)) == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a stream entry of %zu bytes; raise --memory",
                       size);
    }
    at = value;
    at += put_varint(at, node);
    at += put_varint(at, pairs);
    for (uint64_t i = 0; i < 2 * pairs; i++) {
        at += put_varint(at, words[i].size);
        if (words[i].size > 0) {
            memcpy(at, words[i].data, words[i].size);
        }
        at += words[i].size;
    }
    stream_id_encode(key, id);
    kv_element_put(request, &stream->collection, STREAM_ENTRY, slice_of(key, sizeof(key)),
                   slice_of(value, (size_t)(at - value)));
    return ERR_OK;
}

void
stream_first_set(struct kv_stream *stream, struct stream_id id, uint64_t node)
{
    stream->first_live = node == stream->first_node ? stream->first_live : 0;
    stream->first = id;
    stream->first_node = node;
}

err_t
stream_append(struct kv_request *request, struct kv_stream *stream, struct stream_id id,
              const struct slice *words, uint64_t pairs)
{
    err_t err;

    ASSERT(stream_id_compare(id, stream->last) > 0);
    if (stream->node.entries == 0 || node_is_full(&stream->node, words, pairs)) {
        stream_node_begin(&stream->node, id, words, pairs);
    }
    stream_node_add(&stream->node, id, words, pairs);
    TRY(stream_entry_put(request, stream, id, stream->node.number, words, pairs));
    stream->length++;
    stream->added++;
    stream->last = id;
    if (stream->length == 1) {
        stream_first_set(stream, id, stream->node.number);
    }
out:
    return err;
}

/* The value behind an id. */
static err_t
entry_decode(struct stream_id id, struct slice value, struct stream_entry *entry_out)
{
    const uint8_t *end = value.data + value.size;
    struct stream_entry entry = {.id = id};
    size_t node_size = get_varint(value.data, end, &entry.node);
    size_t size = node_size;

    if (node_size != 0) {
        size_t pairs_size = get_varint(value.data + size, end, &entry.pairs);

        size = pairs_size == 0 ? 0 : size + pairs_size;
    }
    entry.fields = slice_of(value.data + size, value.size - size);
    if (size == 0 || entry.pairs > value.size ||
        kv_packed_check(entry.fields, 2 * entry.pairs) != ERR_OK) {
        return err_set(ERR_CORRUPT, "a stream entry of %zu bytes is malformed", value.size);
    }
    *entry_out = entry;
    return ERR_OK;
}

err_t
stream_entry_get(struct kv_request *request, const struct kv_stream *stream, struct stream_id id,
                 struct stream_entry *entry_out, bool *is_found_out)
{
    uint8_t key[STREAM_ID_BYTES];
    struct lsm_value value;
    err_t err;

    stream_id_encode(key, id);
    TRY(kv_element_get(request, &stream->collection, STREAM_ENTRY, slice_of(key, sizeof(key)),
                       &value));
    if (value.is_found) {
        TRY(entry_decode(id, value.value, entry_out));
    }
    *is_found_out = value.is_found;
out:
    return err;
}

void
stream_reply_entry(struct reply *reply, const struct stream_entry *entry)
{
    struct kv_packed left = {entry->fields};
    struct slice item;

    reply_array(reply, 2);
    stream_reply_id(reply, entry->id);
    reply_array(reply, 2 * entry->pairs);
    while (kv_packed_next(&left, &item)) {
        reply_bulk(reply, item);
    }
}

/* ---- Cursors ---- */

err_t
stream_cursor_open(struct kv_request *request, const struct kv_stream *stream,
                   struct stream_id start, struct stream_id end, bool is_backward,
                   struct stream_cursor *cursor_out)
{
    const struct kv_collection *collection = &stream->collection;
    uint8_t lower[KV_ELEMENT_PREFIX_BYTES + STREAM_ID_BYTES];
    uint8_t upper[KV_ELEMENT_PREFIX_BYTES + STREAM_ID_BYTES + 1];
    uint8_t id[STREAM_ID_BYTES];

    *cursor_out = (struct stream_cursor){.start = start, .end = end, .is_backward = is_backward};
    if (stream->length == 0 || stream_id_compare(start, end) > 0) {
        return ERR_OK; /* Nothing is read. */
    }
    /* What lies before the first entry was removed: it need not be passed. */
    if (stream_id_compare(start, stream->first) < 0) {
        start = stream->first;
    }
    stream_id_encode(id, start);
    kv_element_encode(lower, collection->keyspace, collection->slot, collection->id, STREAM_ENTRY,
                      slice_of(id, sizeof(id)));
    stream_id_encode(id, end);
    kv_element_encode(upper, collection->keyspace, collection->slot, collection->id, STREAM_ENTRY,
                      slice_of(id, sizeof(id)));
    upper[sizeof(upper) - 1] = 0; /* Behind the end itself. */
    if (memcmp(lower, upper, sizeof(lower)) > 0) {
        return ERR_OK;
    }
    return txn_scan_open(request->txn, collection->slot, slice_of(lower, sizeof(lower)),
                         slice_of(upper, sizeof(upper)), &cursor_out->scan);
}

static YIELDS err_t
cursor_move(struct stream_cursor *cursor)
{
    if (cursor->is_begun) {
        return cursor->is_backward ? txn_scan_previous(cursor->scan) : txn_scan_next(cursor->scan);
    }
    cursor->is_begun = true;
    return cursor->is_backward ? txn_scan_last(cursor->scan) : txn_scan_first(cursor->scan);
}

err_t
stream_cursor_next(struct kv_request *request, struct stream_cursor *cursor,
                   struct stream_entry *entry_out, bool *is_found_out)
{
    struct slice element;
    struct slice value;
    err_t err = ERR_OK;

    *is_found_out = false;
    if (cursor->scan == NULL) {
        return ERR_OK;
    }
    kv_work(request, STREAM_WORK_UNITS); /* The entry before is borrowed no more. */
    TRY(cursor_move(cursor));
    if (!txn_scan_is_valid(cursor->scan)) {
        return ERR_OK;
    }
    element = kv_element_at(cursor->scan);
    if (element.size != STREAM_ID_BYTES) {
        return err_set(ERR_CORRUPT, "a stream entry has an id of %zu bytes", element.size);
    }
    value = kv_element_value(cursor->scan);
    if (txn_scan_entry(cursor->scan)->kind == LSM_PUT_LARGE) {
        TRY(txn_scan_value(cursor->scan, request->arena, &value));
        element = kv_element_at(cursor->scan);
    }
    TRY(entry_decode(stream_id_decode(element.data), value, entry_out));
    *is_found_out = true;
out:
    return err;
}

void
stream_cursor_close(struct stream_cursor *cursor)
{
    if (cursor->scan != NULL) {
        txn_scan_close(&cursor->scan);
    }
}

err_t
stream_reply_range(struct kv_request *request, const struct kv_stream *stream,
                   struct stream_id start, struct stream_id end, uint64_t count, bool is_backward)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct stream_cursor cursor;
    struct stream_entry entry;
    uint64_t found = 0;
    bool is_found;
    err_t err;

    TRY(stream_cursor_open(request, stream, start, end, is_backward, &cursor));
    while ((count == 0 || found < count) &&
           (err = stream_cursor_next(request, &cursor, &entry, &is_found)) == ERR_OK && is_found) {
        stream_reply_entry(request->reply, &entry);
        found++;
    }
    stream_cursor_close(&cursor);
    if (err == ERR_OK) {
        reply_array_at(request->reply, mark, found);
    } else {
        reply_cut(request->reply, mark);
    }
out:
    return err;
}

err_t
stream_first_from(struct kv_request *request, const struct kv_stream *stream, struct stream_id from,
                  struct stream_id *id_out, uint64_t *node_out)
{
    struct stream_cursor cursor;
    struct stream_entry entry;
    bool is_found;
    err_t err;

    *id_out = (struct stream_id){0};
    TRY(stream_cursor_open(request, stream, from, STREAM_ID_MAX, false, &cursor));
    err = stream_cursor_next(request, &cursor, &entry, &is_found);
    if (err == ERR_OK && is_found) {
        *id_out = entry.id;
        *node_out = entry.node;
    }
    stream_cursor_close(&cursor);
out:
    return err;
}

err_t
stream_last_valid(struct kv_request *request, const struct kv_stream *stream,
                  struct stream_id *id_out)
{
    struct stream_cursor cursor;
    struct stream_entry entry;
    bool is_found;
    err_t err;

    TRY(stream_cursor_open(request, stream, (struct stream_id){0}, STREAM_ID_MAX, true, &cursor));
    err = stream_cursor_next(request, &cursor, &entry, &is_found);
    if (err == ERR_OK) {
        *id_out = is_found ? entry.id : (struct stream_id){0};
    }
    stream_cursor_close(&cursor);
out:
    return err;
}
