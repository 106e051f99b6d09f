/* models/kv/stream_trim.c - MAXLEN and MINID of XADD and XTRIM: entries leave at the front.
 *
 * "=" removes exactly what is too much. "~" removes whole nodes as Redis would (see stream.h), as
 * long as each is wholly too much and within the limit. By MINID a node ends with its last entry
 * that is left, where Redis also counts those deleted behind it. What leaves is found by walking
 * over it: then few entries go one by one, many by one range delete. */
#include "models/kv/stream.h"

#include "engine/base/poison.h"

enum { DELETE_SINGLY_MAX = 64 };

/* What has been found to leave: everything before `next`. */
struct leaving {
    struct stream_id few[DELETE_SINGLY_MAX];
    uint64_t count;
    uint64_t of_last_node;
    struct stream_id next; /* The first that stays; 0-0: none does. */
    uint64_t next_node;
    uint64_t next_live; /* Entries in that node, if it was passed to its end; or 0. */
};

/* The node that is being passed. */
struct passed {
    struct stream_id first, last;
    uint64_t number;
    uint64_t count;
};

static bool
must_leave(const struct kv_stream *stream, const struct stream_trim *trim, uint64_t removed,
           const struct passed *passed)
{
    if (trim->limit != 0 && removed + passed->count > trim->limit) {
        return false;
    }
    if (trim->by == STREAM_TRIM_MINID) {
        return stream_id_compare(passed->last, trim->id_min) < 0;
    }
    return stream->length - removed > trim->length_max &&
           stream->length - removed - passed->count >= trim->length_max;
}

static void
leave(const struct kv_stream *stream, struct leaving *leaving, uint64_t node, uint64_t count)
{
    leaving->count += count;
    leaving->of_last_node += node == stream->node.number ? count : 0;
}

static void
note_few(struct leaving *leaving, uint64_t at, struct stream_id id)
{
    if (at < DELETE_SINGLY_MAX) {
        leaving->few[at] = id;
    }
}

/* Entry by entry. */
static YIELDS err_t
find_exact(struct kv_request *request, const struct kv_stream *stream,
           const struct stream_trim *trim, struct stream_cursor *cursor, struct leaving *leaving)
{
    struct stream_entry entry;
    bool is_found;
    err_t err;

    for (;;) {
        TRY(stream_cursor_next(request, cursor, &entry, &is_found));
        if (!is_found) {
            break;
        }
        if (!must_leave(stream, trim, leaving->count,
                        &(struct passed){.last = entry.id, .count = 1})) {
            leaving->next = entry.id;
            leaving->next_node = entry.node;
            break;
        }
        note_few(leaving, leaving->count, entry.id);
        leave(stream, leaving, entry.node, 1);
    }
out:
    return err;
}

/* Node by node: one leaves when its end is seen. */
static YIELDS err_t
find_rough(struct kv_request *request, const struct kv_stream *stream,
           const struct stream_trim *trim, struct stream_cursor *cursor, struct leaving *leaving)
{
    struct passed passed = {0};
    struct stream_entry entry;
    bool is_found;
    err_t err;

    for (;;) {
        TRY(stream_cursor_next(request, cursor, &entry, &is_found));
        if (passed.count > 0 && (!is_found || entry.node != passed.number)) {
            if (!must_leave(stream, trim, leaving->count, &passed)) {
                leaving->next = passed.first;
                leaving->next_node = passed.number;
                leaving->next_live = is_found ? passed.count : 0; /* The last one grows. */
                break;
            }
            leave(stream, leaving, passed.number, passed.count);
            passed.count = 0;
        }
        if (!is_found) {
            break;
        }
        passed.first = passed.count == 0 ? entry.id : passed.first;
        passed.last = entry.id;
        passed.number = entry.node;
        note_few(leaving, leaving->count + passed.count, entry.id);
        passed.count++;
    }
out:
    return err;
}

static void
entries_delete(struct kv_request *request, const struct kv_stream *stream,
               const struct leaving *leaving)
{
    const struct kv_collection *collection = &stream->collection;
    uint8_t start[KV_ELEMENT_PREFIX_BYTES + STREAM_ID_BYTES];
    uint8_t end[KV_ELEMENT_PREFIX_BYTES + STREAM_ID_BYTES];
    uint8_t id[STREAM_ID_BYTES];

    if (leaving->count <= DELETE_SINGLY_MAX) {
        for (uint64_t i = 0; i < leaving->count; i++) {
            stream_id_encode(id, leaving->few[i]);
            kv_element_delete(request, collection, STREAM_ENTRY, slice_of(id, sizeof(id)));
        }
        return;
    }
    stream_id_encode(id, stream->first);
    kv_element_encode(start, collection->keyspace, collection->slot, collection->id, STREAM_ENTRY,
                      slice_of(id, sizeof(id)));
    stream_id_encode(id, leaving->next);
    if (stream_id_is_zero(leaving->next)) { /* All of them. */
        kv_element_encode(end, collection->keyspace, collection->slot, collection->id,
                          STREAM_ENTRY + 1, slice_of(NULL, 0));
        txn_delete_range(request->txn, collection->slot, slice_of(start, sizeof(start)),
                         slice_of(end, KV_ELEMENT_PREFIX_BYTES));
        return;
    }
    kv_element_encode(end, collection->keyspace, collection->slot, collection->id, STREAM_ENTRY,
                      slice_of(id, sizeof(id)));
    txn_delete_range(request->txn, collection->slot, slice_of(start, sizeof(start)),
                     slice_of(end, sizeof(end)));
}

static bool
has_nothing_to_do(const struct kv_stream *stream, const struct stream_trim *trim)
{
    uint64_t first_live;

    if (trim->by == STREAM_TRIM_NONE || stream->length == 0) {
        return true;
    }
    if (trim->by == STREAM_TRIM_MINID) {
        return stream_id_compare(stream->first, trim->id_min) >= 0;
    }
    /* Most often the first node is known, and not yet too much. */
    first_live = stream->first_node == stream->node.number ? stream->node.live : stream->first_live;
    return stream->length <= trim->length_max ||
           (trim->is_rough && first_live > 0 && first_live <= stream->length &&
            stream->length - first_live < trim->length_max);
}

err_t
stream_trim(struct kv_request *request, struct kv_stream *stream, const struct stream_trim *trim,
            uint64_t *removed_out)
{
    struct leaving leaving = {.count = 0};
    struct stream_cursor cursor;
    err_t err;

    *removed_out = 0;
    if (has_nothing_to_do(stream, trim)) {
        return ERR_OK;
    }
    TRY(stream_cursor_open(request, stream, stream->first, STREAM_ID_MAX, false, &cursor));
    err = (trim->is_rough ? find_rough : find_exact)(request, stream, trim, &cursor, &leaving);
    stream_cursor_close(&cursor);
    if (err == ERR_OK && leaving.count == 0 && trim->is_rough) {
        stream->first_live = leaving.next_live;
    }
    if (err != ERR_OK || leaving.count == 0) {
        return err;
    }
    entries_delete(request, stream, &leaving);
    stream_node_leave(stream, stream->node.number, leaving.of_last_node);
    stream->length -= MIN(leaving.count, stream->length);
    stream->first = leaving.next;
    stream->first_node = leaving.next_node;
    stream->first_live = leaving.next_live;
    *removed_out = leaving.count;
out:
    return err;
}
