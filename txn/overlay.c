/* txn/overlay.c - see overlay.h. */
#include "txn/overlay.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

struct large_value {
    struct list link;
    size_t size;
    uint8_t bytes[];
};

void
overlay_init(struct overlay *overlay, bool borrows_large)
{
    *overlay = (struct overlay){.borrows_large = borrows_large};
    store_batch_init(&overlay->batch);
    list_init(&overlay->large_values);
}

static void
large_values_free(struct overlay *overlay)
{
    struct list *node;

    while ((node = list_pop_front(&overlay->large_values)) != NULL) {
        struct large_value *large = LIST_ENTRY(node, struct large_value, link);

        mem_free(MEM_SESSIONS, large, sizeof(*large) + large->size);
    }
    overlay->large_bytes = 0;
}

void
overlay_clear(struct overlay *overlay)
{
    store_batch_clear(&overlay->batch);
    large_values_free(overlay);
    overlay->range_deletes = 0;
    overlay->counters = 0;
}

void
overlay_fini(struct overlay *overlay)
{
    large_values_free(overlay);
    store_batch_fini(&overlay->batch);
}

void
overlay_origin(struct overlay *overlay, struct slice principal, struct slice protocol,
               struct slice tag)
{
    store_batch_origin(&overlay->batch, principal, protocol, tag);
}

/* ---- Writing. ---- */

static struct slice
large_keep(struct overlay *overlay, struct slice value)
{
    struct large_value *large = mem_alloc(MEM_SESSIONS, sizeof(*large) + value.size);

    large->size = value.size;
    memcpy(large->bytes, value.data, value.size);
    list_push_back(&overlay->large_values, &large->link);
    overlay->large_bytes += value.size;
    return slice_of(large->bytes, value.size);
}

void
overlay_put(struct overlay *overlay, uint16_t slot, struct slice key, struct slice value,
            uint64_t expire_us)
{
    if (value.size > LSM_VALUE_INLINE_BYTES_MAX && !overlay->borrows_large) {
        value = large_keep(overlay, value);
    }
    store_batch_put(&overlay->batch, slot, key, value, expire_us);
}

void
overlay_delete(struct overlay *overlay, uint16_t slot, struct slice key)
{
    store_batch_delete(&overlay->batch, slot, key);
}

void
overlay_counter_add(struct overlay *overlay, uint32_t counter, int64_t delta)
{
    uint32_t before = overlay->batch.ops;

    store_batch_counter_add(&overlay->batch, counter, delta);
    overlay->counters += overlay->batch.ops - before;
}

/* ---- Walking. ---- */

struct walk {
    struct overlay *overlay;
    struct record_reader reader;
    struct overlay_mark before;
    uint32_t op_index;
    uint32_t large_index;
};

static void
walk_init(struct walk *walk, struct overlay *overlay, const struct overlay_mark *before)
{
    struct record_header header;

    *walk = (struct walk){.overlay = overlay, .before = *before};
    if (overlay->batch.ops > 0) {
        err_t err = record_open(buf_slice(&overlay->batch.record), &header, &walk->reader);

        ASSERT(err == ERR_OK);
    }
    walk->reader.ops_left = overlay->batch.ops;
}

static bool
walk_next(struct walk *walk, struct record_op *op)
{
    const struct store_batch *batch = &walk->overlay->batch;

    if (walk->op_index >= batch->ops || walk->op_index >= walk->before.ops ||
        record_next(&walk->reader, op) != ERR_OK) {
        return false;
    }
    walk->op_index++;
    if (op->kind == RECORD_PUT_LARGE) {
        op->value = batch->large[walk->large_index++].value;
    }
    return true;
}

static bool
range_covers(const struct record_op *op, struct slice key)
{
    return op->kind == RECORD_DELETE_RANGE && slice_compare(op->key, key) <= 0 &&
           slice_compare(key, op->value) < 0;
}

static bool
op_is_of(const struct record_op *op, struct slice key)
{
    return (op->kind == RECORD_PUT || op->kind == RECORD_PUT_LARGE || op->kind == RECORD_DELETE) &&
           slice_equal(op->key, key);
}

enum overlay_answer
overlay_get(struct overlay *overlay, struct slice key, const struct overlay_mark *before,
            struct record_op *op_out)
{
    enum overlay_answer answer = OVERLAY_NONE;
    struct record_op op;
    struct walk walk;

    walk_init(&walk, overlay, before);
    while (walk_next(&walk, &op)) {
        if (op_is_of(&op, key)) {
            answer = op.kind == RECORD_DELETE ? OVERLAY_DELETED : OVERLAY_PUT;
            *op_out = op;
        } else if (range_covers(&op, key)) {
            answer = OVERLAY_DELETED;
        }
    }
    return answer;
}

bool
overlay_hides(struct overlay *overlay, struct slice key, const struct overlay_mark *before)
{
    bool is_hidden = false;
    struct record_op op;
    struct walk walk;

    if (overlay->range_deletes == 0) {
        return false;
    }
    walk_init(&walk, overlay, before);
    while (!is_hidden && walk_next(&walk, &op)) {
        is_hidden = range_covers(&op, key);
    }
    return is_hidden;
}

int64_t
overlay_counter(const struct overlay *overlay, uint32_t counter)
{
    struct overlay_mark all = OVERLAY_ALL;
    uint64_t sum = 0;
    struct record_op op;
    struct walk walk;

    if (overlay->counters == 0) {
        return 0;
    }
    walk_init(&walk, (struct overlay *)overlay, &all);
    while (walk_next(&walk, &op)) {
        if (op.kind == RECORD_COUNTER_ADD && op.counter == counter) {
            sum += (uint64_t)op.number;
        }
    }
    return (int64_t)sum;
}

void
overlay_visit(struct overlay *overlay, bool (*visit)(void *arg, const struct record_op *op),
              void *arg)
{
    struct overlay_mark all = OVERLAY_ALL;
    struct record_op op;
    struct walk walk;

    walk_init(&walk, overlay, &all);
    while (walk_next(&walk, &op) && visit(arg, &op)) {}
}

bool
overlay_next_after(const struct overlay *overlay, struct overlay_mark *mark,
                   struct record_op *op_out)
{
    const struct store_batch *batch = &overlay->batch;
    struct record_header header;
    struct record_reader reader;
    err_t err;

    if (mark->ops >= batch->ops) {
        return false;
    }
    err = record_open(buf_slice(&batch->record), &header, &reader);
    ASSERT(err == ERR_OK);
    reader.ops_left = batch->ops - mark->ops;
    if (mark->ops > 0) {
        reader.at = batch->record.data + mark->record_bytes;
    }
    err = record_next(&reader, op_out);
    ASSERT(err == ERR_OK);
    mark->ops++;
    mark->record_bytes = (size_t)(reader.at - batch->record.data);
    mark->large_count += op_out->kind == RECORD_PUT_LARGE;
    mark->range_deletes += op_out->kind == RECORD_DELETE_RANGE;
    mark->counters += op_out->kind == RECORD_COUNTER_ADD;
    return true;
}

/* The overlay's own keys of the range, once each: gathered before anything is appended, since
 * appending moves the bytes. */
void
overlay_delete_range(struct overlay *overlay, struct slice start, struct slice end)
{
    struct overlay_mark all = OVERLAY_ALL;
    uint32_t before;
    struct arena arena;
    struct buf own;
    struct record_op op;
    struct walk walk;

    arena_init(&arena, MEM_SESSIONS);
    buf_init(&own, MEM_SESSIONS);
    walk_init(&walk, overlay, &all);
    while (walk_next(&walk, &op)) {
        if ((op.kind == RECORD_PUT || op.kind == RECORD_PUT_LARGE) &&
            slice_compare(start, op.key) <= 0 && slice_compare(op.key, end) < 0) {
            op.key = arena_copy(&arena, op.key);
            buf_append(&own, &op, sizeof(op));
        }
    }
    for (size_t at = 0; at < own.size; at += sizeof(op)) {
        memcpy(&op, own.data + at, sizeof(op));
        overlay_delete(overlay, op.slot, op.key);
    }
    buf_fini(&own);
    arena_fini(&arena);
    before = overlay->batch.ops;
    store_batch_delete_range(&overlay->batch, start, end);
    overlay->range_deletes += overlay->batch.ops - before;
}

/* ---- Marks. ---- */

struct overlay_mark
overlay_mark(const struct overlay *overlay)
{
    return (struct overlay_mark){
        .record_bytes = overlay->batch.record.size,
        .ops = overlay->batch.ops,
        .large_count = overlay->batch.large_count,
        .range_deletes = overlay->range_deletes,
        .counters = overlay->counters,
    };
}

void
overlay_cut(struct overlay *overlay, const struct overlay_mark *mark)
{
    if (mark->ops >= overlay->batch.ops) {
        overlay->batch.error = ERR_OK;
        return;
    }
    overlay->batch.record.size = mark->record_bytes;
    overlay->batch.ops = mark->ops;
    overlay->batch.large_count = mark->large_count;
    overlay->batch.error = ERR_OK;
    overlay->range_deletes = mark->range_deletes;
    overlay->counters = mark->counters;
}

size_t
overlay_bytes(const struct overlay *overlay)
{
    return overlay->batch.record.size + overlay->large_bytes;
}
