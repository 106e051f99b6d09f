/* txn/overlay.c - see overlay.h. What finds a key is in overlay_index.c. */
#include "txn/overlay.h"

#include "engine/base/assert.h"
#include "txn/overlay_index.h"
#include "txn/spill.h"

#include "engine/base/poison.h"

/* A copy of a value that goes to the value log. */
struct large_value {
    struct list link;
    size_t size;
    uint8_t bytes[];
};

/* ---- Making and ending. ---- */

static void
batch_init(struct store_batch *batch)
{
    store_batch_init(batch);
    batch->bytes_max = OVERLAY_BYTES_MAX;
    batch->large_max = OVERLAY_LARGE_MAX;
}

void
overlay_init(struct overlay *overlay, bool borrows_large)
{
    memset(overlay, 0, sizeof(*overlay));
    batch_init(&overlay->batch);
    overlay->borrows_large = borrows_large;
    list_init(&overlay->large_values);
    list_init(&overlay->viewers);
}

static void
large_drop_newest(struct overlay *overlay)
{
    struct large_value *value;

    ASSERT(!list_is_empty(&overlay->large_values));
    value = LIST_ENTRY(overlay->large_values.previous, struct large_value, link);
    list_remove(&value->link);
    overlay->large_bytes -= value->size;
    mem_free(MEM_SESSIONS, value, sizeof(*value) + value->size);
}

void
overlay_large_drop(struct overlay *overlay)
{
    while (!list_is_empty(&overlay->large_values)) {
        large_drop_newest(overlay);
    }
}

void
overlay_clear(struct overlay *overlay)
{
    spill_free(&overlay->spill);
    overlay_large_drop(overlay);
    overlay_index_reset(&overlay->index);
    if (overlay->batch.record.capacity > OVERLAY_KEPT_BYTES ||
        overlay->batch.large_capacity * sizeof(overlay->batch.large[0]) > OVERLAY_KEPT_BYTES) {
        store_batch_fini(&overlay->batch);
        batch_init(&overlay->batch);
    }
    store_batch_clear(&overlay->batch);
    overlay->range_deletes = 0;
    overlay->counters = 0;
    overlay->large_bytes = 0;
    overlay->cuts++;
}

void
overlay_fini(struct overlay *overlay)
{
    spill_free(&overlay->spill);
    overlay_large_drop(overlay);
    overlay_index_free(&overlay->index);
    store_batch_fini(&overlay->batch);
}

void
overlay_origin(struct overlay *overlay, struct slice principal, struct slice protocol,
               struct slice tag)
{
    store_batch_origin(&overlay->batch, principal, protocol, tag);
}

/* ---- Writing. ---- */

static void
put_owned(struct overlay *overlay, uint16_t slot, struct slice key, struct slice value,
          uint64_t expire_us)
{
    struct store_batch *batch = &overlay->batch;
    struct large_value *copy;

    if (batch->error != ERR_OK) {
        return;
    }
    copy = mem_alloc(MEM_SESSIONS, sizeof(*copy) + value.size);
    if (copy == NULL) {
        batch->error = err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.size);
        return;
    }
    copy->size = value.size;
    memcpy(copy->bytes, value.data, value.size);
    list_push_back(&overlay->large_values, &copy->link);
    overlay->large_bytes += value.size;
    store_batch_put(batch, slot, key, slice_of(copy->bytes, copy->size), expire_us);
    if (batch->error != ERR_OK) {
        large_drop_newest(overlay);
    }
}

void
overlay_put(struct overlay *overlay, uint16_t slot, struct slice key, struct slice value,
            uint64_t expire_us)
{
    if (value.size > LSM_VALUE_INLINE_BYTES_MAX && !overlay->borrows_large) {
        put_owned(overlay, slot, key, value, expire_us);
    } else {
        store_batch_put(&overlay->batch, slot, key, value, expire_us);
    }
}

void
overlay_delete(struct overlay *overlay, uint16_t slot, struct slice key)
{
    store_batch_delete(&overlay->batch, slot, key);
}

void
overlay_counter_add(struct overlay *overlay, uint32_t counter, int64_t delta)
{
    uint32_t ops = overlay->batch.ops;

    store_batch_counter_add(&overlay->batch, counter, delta);
    overlay->counters += overlay->batch.ops - ops;
}

/* ---- Reading ops. ---- */

static bool
op_has_key(const struct record_op *op)
{
    return op->kind == RECORD_PUT || op->kind == RECORD_PUT_LARGE || op->kind == RECORD_DELETE;
}

/* In place of the pointer to come, the value itself. */
static void
large_resolve(const struct overlay *overlay, struct record_op *op)
{
    const struct store_batch *batch = &overlay->batch;
    uint32_t offset = (uint32_t)(op->value.data - batch->record.data);
    uint32_t low = 0;
    uint32_t high = batch->large_count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (batch->large[middle].pointer_offset < offset) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT(low < batch->large_count);
    ASSERT(batch->large[low].pointer_offset == offset);
    op->value = batch->large[low].value;
}

static void
op_next(const struct overlay *overlay, struct record_reader *reader, struct record_op *op_out)
{
    err_t err = record_next(reader, op_out);

    ASSERT(err == ERR_OK);
    if (op_out->kind == RECORD_PUT_LARGE) {
        large_resolve(overlay, op_out);
    }
}

/* Stands before the first op. */
struct record_reader
overlay_ops_begin(const struct overlay *overlay)
{
    struct record_header header;
    struct record_reader reader;
    err_t err = record_open(buf_slice(&overlay->batch.record), &header, &reader);

    ASSERT(err == ERR_OK);
    reader.ops_left = overlay->batch.ops;
    reader.may_ingest = true;
    return reader;
}

void
overlay_op_at(const struct overlay *overlay, uint32_t offset, struct record_op *op_out)
{
    const struct buf *record = &overlay->batch.record;
    struct record_reader reader = {.at = record->data + offset,
                                   .end = record->data + record->size,
                                   .ops_left = 1,
                                   .may_ingest = true};

    op_next(overlay, &reader, op_out);
}

static bool
range_has(struct slice start, struct slice end, struct slice key)
{
    return slice_compare(start, key) <= 0 && slice_compare(key, end) < 0;
}

/* ---- Range deletes. ---- */

/* May any write of the record be a put in the range? */
static bool
range_may_hold_puts(const struct overlay *overlay, struct slice start, struct slice end)
{
    struct record_reader reader;
    struct record_op op;

    if (overlay->batch.ops == 0 || overlay->batch.ops > OVERLAY_LINEAR_OPS) {
        return overlay->batch.ops > 0;
    }
    reader = overlay_ops_begin(overlay);
    while (reader.ops_left > 0) {
        op_next(overlay, &reader, &op);
        if (op_has_key(&op) && range_has(start, end, op.key)) {
            return true;
        }
    }
    return false;
}

static void
range_delete_own(struct overlay *overlay, struct slice start, struct slice end)
{
    struct overlay_index *index = overlay_index_get(overlay);
    uint32_t ops = overlay->batch.ops;
    struct tree_position place = tree_seek(overlay_index_keys(index), start);

    while (tree_position_is_valid(place) &&
           slice_compare(tree_key_slice(tree_at(place)), end) < 0) {
        uint32_t offset;
        struct record_op op;

        if (overlay_index_op(index, overlay_key_at(place), ops, &offset)) {
            overlay_op_at(overlay, offset, &op);
            if (op.kind != RECORD_DELETE) { /* The index's copy of the key: the record may move. */
                store_batch_delete(&overlay->batch, op.slot, tree_key_slice(tree_at(place)));
            }
        }
        tree_next(&place);
    }
}

void
overlay_delete_range(struct overlay *overlay, struct slice start, struct slice end)
{
    uint32_t ops;

    if (slice_compare(start, end) < 0 && overlay->batch.error == ERR_OK &&
        range_may_hold_puts(overlay, start, end)) {
        range_delete_own(overlay, start, end);
    }
    ops = overlay->batch.ops;
    store_batch_delete_range(&overlay->batch, start, end);
    overlay->range_deletes += overlay->batch.ops - ops;
}

/* ---- Marks. ---- */

struct overlay_mark
overlay_mark(const struct overlay *overlay)
{
    return (struct overlay_mark){.record_bytes = overlay->batch.record.size,
                                 .ops = overlay->batch.ops,
                                 .large_count = overlay->batch.large_count,
                                 .range_deletes = overlay->range_deletes,
                                 .counters = overlay->counters,
                                 .spills = spill_count(overlay->spill)};
}

struct overlay_limit
overlay_limit(const struct overlay *overlay, const struct overlay_mark *mark)
{
    if (overlay->spill == NULL) {
        return (struct overlay_limit){.ops = MIN(mark->ops, overlay->batch.ops)};
    }
    return spill_limit(overlay->spill, mark, overlay->batch.ops);
}

void
overlay_cut(struct overlay *overlay, const struct overlay_mark *mark)
{
    struct store_batch *batch = &overlay->batch;

    batch->error = ERR_OK;
    if (mark->spills < spill_count(overlay->spill)) {
        spill_cut(overlay, mark);
        return;
    }
    if (mark->ops >= batch->ops) {
        return;
    }
    ASSERT(mark->record_bytes <= batch->record.size);
    ASSERT(mark->large_count <= batch->large_count);
    overlay->range_deletes = mark->range_deletes;
    overlay->counters = mark->counters;
    overlay_index_cut(overlay, mark->ops);
    while (batch->large_count > mark->large_count) {
        batch->large_count--;
        if (!overlay->borrows_large) {
            large_drop_newest(overlay);
        }
    }
    batch->record.size = mark->record_bytes;
    batch->ops = mark->ops;
    overlay->cuts++;
}

/* ---- Reading. ---- */

/* Few ops: each is looked at. A put behind a range delete stands; own puts before one were deleted
 * by ops of their own, which stand before it as well. */
static enum overlay_answer
get_linear(const struct overlay *overlay, struct slice key, uint32_t before,
           struct record_op *op_out)
{
    struct record_reader reader = overlay_ops_begin(overlay);
    enum overlay_answer answer = OVERLAY_NONE;
    struct record_op op;

    for (uint32_t number = 0; number < before; number++) {
        op_next(overlay, &reader, &op);
        if (op_has_key(&op) ? slice_equal(op.key, key)
                            : op.kind == RECORD_DELETE_RANGE && range_has(op.key, op.value, key)) {
            answer = op.kind == RECORD_PUT || op.kind == RECORD_PUT_LARGE ? OVERLAY_PUT
                                                                          : OVERLAY_DELETED;
            *op_out = op;
        }
    }
    return answer;
}

enum overlay_answer
overlay_get_newest(struct overlay *overlay, struct slice key, const struct overlay_mark *before,
                   struct record_op *op_out)
{
    struct overlay_limit limit = overlay_limit(overlay, before);
    struct overlay_index *index;
    struct tree_position place;
    uint32_t offset;

    if (limit.ops == 0) {
        return OVERLAY_NONE;
    }
    index = overlay_index_get(overlay);
    place = tree_seek(overlay_index_keys(index), key);
    if (!tree_position_is_valid(place) || !slice_equal(tree_key_slice(tree_at(place)), key) ||
        !overlay_index_op(index, overlay_key_at(place), limit.ops, &offset)) {
        return OVERLAY_NONE;
    }
    overlay_op_at(overlay, offset, op_out);
    return op_out->kind == RECORD_DELETE ? OVERLAY_DELETED : OVERLAY_PUT;
}

enum overlay_answer
overlay_get(struct overlay *overlay, struct slice key, const struct overlay_mark *before,
            struct record_op *op_out)
{
    uint32_t limit = MIN(before->ops, overlay->batch.ops);
    enum overlay_answer answer;

    ASSERT(overlay->spill == NULL);
    if (limit == 0) {
        return OVERLAY_NONE;
    }
    if (limit <= OVERLAY_LINEAR_OPS) {
        return get_linear(overlay, key, limit, op_out);
    }
    answer = overlay_get_newest(overlay, key, before, op_out);
    return answer == OVERLAY_NONE && overlay_hides(overlay, key, before) ? OVERLAY_DELETED : answer;
}

int64_t
overlay_counter(struct overlay *overlay, uint32_t counter)
{
    return overlay->counters == 0 ? 0 : overlay_index_sum(overlay_index_get(overlay), counter);
}

bool
overlay_hides_to(struct overlay *overlay, struct slice key, const struct overlay_mark *before,
                 bool is_up, struct slice *bound_out)
{
    uint32_t limit = overlay_limit(overlay, before).ops;

    return overlay->range_deletes > 0 && limit > 0 &&
           overlay_index_hides(overlay_index_get(overlay), key, limit, is_up, bound_out);
}

bool
overlay_hides(struct overlay *overlay, struct slice key, const struct overlay_mark *before)
{
    struct slice bound;

    return overlay_hides_to(overlay, key, before, true, &bound);
}

/* ---- Iterating. ---- */

void
overlay_iter_init(struct overlay_iter *iter, struct overlay *overlay,
                  const struct overlay_mark *before)
{
    memset(iter, 0, sizeof(*iter));
    iter->overlay = overlay;
    iter->before = *before;
}

/* Is there nothing to look for at the key and behind it? */
static bool
iter_is_over(const struct overlay_iter *iter, struct slice key, bool is_up)
{
    return is_up ? iter->upper.size > 0 && slice_compare(key, iter->upper) >= 0
                 : slice_compare(key, iter->lower) < 0;
}

/* From `place` on, in its direction, to the first key with a write before the mark. Keys that have
 * none (a statement's own writes, while it reads) are passed no further than the bounds. */
static bool
iter_settle(struct overlay_iter *iter, struct overlay_index *index, struct tree_position place,
            bool is_up)
{
    uint32_t limit = overlay_limit(iter->overlay, &iter->before).ops;
    uint32_t offset;

    iter->key = slice_of(NULL, 0);
    while (limit > 0 && tree_position_is_valid(place)) {
        if (overlay_index_op(index, overlay_key_at(place), limit, &offset)) {
            overlay_op_at(iter->overlay, offset, &iter->op);
            iter->key = tree_key_slice(tree_at(place));
            iter->place = place;
            iter->generation = overlay_index_keys(index)->generation;
            iter->cuts = iter->overlay->cuts;
            return true;
        }
        if (iter_is_over(iter, tree_key_slice(tree_at(place)), is_up)) {
            break;
        }
        if (is_up) {
            tree_next(&place);
        } else {
            tree_previous(&place);
        }
    }
    return false;
}

bool
overlay_iter_seek(struct overlay_iter *iter, struct slice key)
{
    struct overlay_index *index;

    iter->key = slice_of(NULL, 0);
    if (iter->overlay->batch.ops == 0) {
        return false;
    }
    index = overlay_index_get(iter->overlay);
    return iter_settle(iter, index, tree_seek(overlay_index_keys(index), key), true);
}

bool
overlay_iter_seek_before(struct overlay_iter *iter, struct slice key)
{
    struct overlay_index *index;
    struct tree *keys;

    iter->key = slice_of(NULL, 0);
    if (iter->overlay->batch.ops == 0) {
        return false;
    }
    index = overlay_index_get(iter->overlay);
    keys = overlay_index_keys(index);
    return iter_settle(iter, index, key.size == 0 ? tree_last(keys) : tree_seek_before(keys, key),
                       false);
}

/* Where the present key is; keys may have come since. */
static struct tree_position
iter_place(const struct overlay_iter *iter, struct overlay_index *index)
{
    struct tree *keys = overlay_index_keys(index);

    ASSERT(iter->key.size > 0);
    ASSERT(iter->cuts == iter->overlay->cuts);
    return iter->generation == keys->generation ? iter->place : tree_seek(keys, iter->key);
}

void
overlay_iter_refresh(struct overlay_iter *iter)
{
    struct overlay_index *index;

    if (iter->key.size > 0) {
        index = overlay_index_get(iter->overlay);
        (void)iter_settle(iter, index, iter_place(iter, index), true);
        ASSERT(iter->key.size > 0);
    }
}

bool
overlay_iter_next(struct overlay_iter *iter)
{
    struct overlay_index *index = overlay_index_get(iter->overlay);
    struct tree_position place = iter_place(iter, index);

    tree_next(&place);
    return iter_settle(iter, index, place, true);
}

bool
overlay_iter_previous(struct overlay_iter *iter)
{
    struct overlay_index *index = overlay_index_get(iter->overlay);
    struct tree_position place = iter_place(iter, index);

    tree_previous(&place);
    return iter_settle(iter, index, place, false);
}

/* ---- As a whole. ---- */

void
overlay_visit(struct overlay *overlay, bool (*visit)(void *arg, const struct record_op *op),
              void *arg)
{
    struct record_reader reader;
    struct record_op op;

    if (overlay->batch.ops == 0) {
        return;
    }
    reader = overlay_ops_begin(overlay);
    do {
        op_next(overlay, &reader, &op);
    } while (visit(arg, &op) && reader.ops_left > 0);
}

bool
overlay_next_after(const struct overlay *overlay, struct overlay_mark *mark,
                   struct record_op *op_out)
{
    const struct store_batch *batch = &overlay->batch;
    struct record_reader reader;
    err_t err;

    if (mark->ops >= batch->ops) {
        return false;
    }
    reader = overlay_ops_begin(overlay);
    if (mark->ops > 0) {
        reader.at = batch->record.data + mark->record_bytes;
        reader.ops_left -= mark->ops;
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

size_t
overlay_bytes(const struct overlay *overlay)
{
    return overlay->batch.record.capacity +
           overlay->batch.large_capacity * sizeof(overlay->batch.large[0]) + overlay->large_bytes +
           overlay_index_bytes(overlay->index);
}
