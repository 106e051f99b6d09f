/* lsm/lsm_batch.c - see lsm_batch.h. */
#include "lsm/lsm_batch.h"

#include "engine/base/assert.h"
#include "lsm/cache.h"
#include "lsm/lsm_iter.h"
#include "lsm/table_iter.h"

#include "engine/base/poison.h"

enum {
    BATCH_BLOCKS_MAX = 16, /* Pinned by one batch. */
    ROWS_A_WORK_UNIT = 8,
    BORROW_BYTES_MIN = 64,      /* Smaller values are copied. */
    COPY_BYTES_SOFT = 64 << 10, /* No further row is copied when so much is. */
    COPY_BYTES = COPY_BYTES_SOFT + LSM_KEY_BYTES_MAX + LSM_VALUE_INLINE_BYTES_MAX,
};
_Static_assert(COPY_BYTES - COPY_BYTES_SOFT >= (int)BLOCK_ROWS_KEY_BYTES_MIN,
               "room for a block's keys");

struct batch_rows {
    struct lsm_batch batch; /* Of the arrays below. */
    struct slice keys[LSM_BATCH_ROWS_MAX];
    struct slice values[LSM_BATCH_ROWS_MAX];
    uint64_t ts[LSM_BATCH_ROWS_MAX];
    uint64_t expire_us[LSM_BATCH_ROWS_MAX];
    uint16_t slots[LSM_BATCH_ROWS_MAX];
    uint8_t kinds[LSM_BATCH_ROWS_MAX];
    uint16_t selection[LSM_BATCH_ROWS_MAX];
    uint32_t row_count; /* Live or not. */
    struct block_cache *cache;
    struct cached_block *pinned[BATCH_BLOCKS_MAX]; /* In which values lie. */
    uint32_t pinned_count;
    /* The block that was last found to be not alone: asked again only when the next one comes. */
    const struct cached_block *shared;
    size_t copied;
    uint8_t bytes[COPY_BYTES];
};

/* Only the parts that are used become resident. */
static struct batch_rows *
batch_rows_new(struct block_cache *cache)
{
    struct batch_rows *rows = mem_alloc(MEM_TABLES, sizeof(*rows));

    memset(&rows->batch, 0, sizeof(rows->batch));
    rows->batch.form = LSM_BATCH_ROWS;
    rows->batch.keys = rows->keys;
    rows->batch.values = rows->values;
    rows->batch.ts = rows->ts;
    rows->batch.expire_us = rows->expire_us;
    rows->batch.slots = rows->slots;
    rows->batch.kinds = rows->kinds;
    rows->row_count = 0;
    rows->copied = 0;
    rows->pinned_count = 0;
    rows->shared = NULL;
    rows->cache = cache;
    return rows;
}

void
batch_rows_release(struct batch_rows *rows)
{
    if (rows == NULL) {
        return;
    }
    rows->batch.count = 0;
    rows->batch.selection = NULL;
    rows->batch.has_large = false;
    rows->row_count = 0;
    rows->copied = 0;
    rows->shared = NULL;
    while (rows->pinned_count > 0) {
        block_cache_unpin(rows->cache, &rows->pinned[--rows->pinned_count]);
    }
}

void
batch_rows_free(struct batch_rows **pointer)
{
    struct batch_rows *rows = *pointer;

    *pointer = NULL;
    if (rows != NULL) {
        batch_rows_release(rows);
        mem_free(MEM_TABLES, rows, sizeof(*rows));
    }
}

/* Keep the block until the next batch; false when there are too many. */
static bool
block_pin(struct batch_rows *rows, struct cached_block *block)
{
    for (uint32_t i = rows->pinned_count; i-- > 0;) {
        if (rows->pinned[i] == block) {
            return true;
        }
    }
    if (rows->pinned_count == BATCH_BLOCKS_MAX) {
        return false;
    }
    block_cache_pin_again(rows->cache, block);
    rows->pinned[rows->pinned_count++] = block;
    return true;
}

/* ---- The selection. ---- */

/* Row number `row`, the last so far, is live. */
static inline void
row_select(struct batch_rows *rows, uint32_t row)
{
    if (rows->batch.selection != NULL) {
        rows->selection[rows->batch.count] = (uint16_t)row;
    }
    rows->batch.has_large |= rows->kinds[row] == LSM_PUT_LARGE;
    rows->batch.count++;
}

/* The first row that is not live: from now on the rows are named. */
static void
selection_begin(struct batch_rows *rows)
{
    if (rows->batch.selection == NULL) {
        for (uint32_t i = 0; i < rows->batch.count; i++) {
            rows->selection[i] = (uint16_t)i;
        }
        rows->batch.selection = rows->selection;
    }
}

/* Rows [row_count, row_count + count) were decoded. */
static void
rows_select(struct lsm_iter *iter, struct batch_rows *rows, uint32_t count, bool is_plain)
{
    uint32_t end = rows->row_count + count;

    if (is_plain && rows->batch.selection == NULL) {
        rows->batch.count += count;
        rows->row_count = end;
        return;
    }
    for (; rows->row_count < end; rows->row_count++) {
        const struct lsm_entry entry = {.kind = rows->kinds[rows->row_count],
                                        .expire_us = rows->expire_us[rows->row_count]};

        if (lsm_iter_sees(iter, &entry)) {
            row_select(rows, rows->row_count);
        } else {
            selection_begin(rows);
        }
    }
}

/* ---- Whole blocks. ---- */

/* Do the rows up to the end of the current entry's block come next, with nothing between them and
 * nothing that hides one of them, other than the upper bound? */
static bool
block_is_alone(const struct lsm_iter *iter, const struct merge_child *child)
{
    const struct merge *merge = &iter->merge;
    const struct table_meta *meta = child->tables[child->table_index]->meta;

    if (merge->heap_count > 1 &&
        !table_iter_block_is_below(child->table_iter, merge->heap[merge->runner_up].entry->key)) {
        return false;
    }
    if (!child->one_version_per_key || meta->ts_newest > iter->snapshot) {
        return false;
    }
    /* The cover is the current entry's, if there are range deletes at all. */
    return iter->source_count == 0 ||
           (iter->cover.ts <= meta->ts_oldest &&
            (iter->cover.high_is_open ||
             table_iter_block_is_below(child->table_iter, iter->cover.high)));
}

/* The table iterator whose block can be handed out, or NULL. The iterator stands on an entry. */
static struct table_iter *
block_alone(const struct lsm_iter *iter, struct batch_rows *rows)
{
    const struct merge_child *child = iter->merge.heap[0].child;

    if (child->kind != MERGE_LEVEL || child->table_iter->block == rows->shared ||
        rows->pinned_count == BATCH_BLOCKS_MAX) {
        return NULL;
    }
    if (!block_is_alone(iter, child)) {
        rows->shared = child->table_iter->block;
        return NULL;
    }
    return child->table_iter;
}

/* How many of the rows decoded lie below the upper bound. */
static uint32_t
rows_below_upper(const struct lsm_iter *iter, const struct slice *keys, uint32_t count)
{
    struct slice upper = buf_slice(&iter->upper);
    uint32_t low = 0;
    uint32_t high = count;

    if (!iter->has_upper || slice_compare(keys[count - 1], upper) < 0) {
        return count;
    }
    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (slice_compare(keys[middle], upper) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static YIELDS err_t
block_take(struct lsm_iter *iter, struct batch_rows *rows, struct table_iter *table_iter,
           uint32_t rows_max)
{
    const struct merge_child *child = iter->merge.heap[0].child;
    uint32_t first = rows->row_count;
    uint32_t live = rows->batch.count;
    struct block_rows out = {.capacity = rows_max - first,
                             .keys = rows->keys + first,
                             .values = rows->values + first,
                             .ts = rows->ts + first,
                             .expire_us = rows->expire_us + first,
                             .slots = rows->slots + first,
                             .kinds = rows->kinds + first,
                             .key_bytes = rows->bytes + rows->copied,
                             .key_bytes_size = sizeof(rows->bytes) - rows->copied};
    struct slice last;
    bool is_pinned;
    uint32_t below;
    err_t err;

    TRY(table_iter_rows(table_iter, &out));
    is_pinned = block_pin(rows, table_iter->block);
    ASSERT(is_pinned);
    last = out.keys[out.count - 1];
    rows->copied = (size_t)(last.data + last.size - rows->bytes);
    below = rows_below_upper(iter, out.keys, out.count);
    rows_select(iter, rows, below, !out.has_expiry && !out.has_special_kind);
    live = rows->batch.count - live;
    if (live < below) {
        lsm_iter_skipped(iter, child, child->tables[child->table_index], below - live);
    }
    fiber_work(out.count / ROWS_A_WORK_UNIT + 1);
    iter->current = NULL;
    if (below == out.count) {
        TRY(merge_step(&iter->merge));
        TRY(lsm_iter_settle(iter));
    }
out:
    return err == ERR_OK ? ERR_OK : lsm_iter_failed(iter, err);
}

/* ---- Row by row, through the merge. ---- */

static struct slice
bytes_copy(struct batch_rows *rows, struct slice from)
{
    uint8_t *to = rows->bytes + rows->copied;

    ASSERT(from.size <= sizeof(rows->bytes) - rows->copied);
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
        rows->copied += from.size;
    }
    return slice_of(to, from.size);
}

/* Memtables are pinned by the iterator, whose snapshot keeps the version; blocks are pinned here,
 * as long as there is room for pins. */
static struct slice
value_take(struct batch_rows *rows, const struct merge_child *child, struct slice value)
{
    if (value.size < BORROW_BYTES_MIN ||
        (child->kind == MERGE_LEVEL && !block_pin(rows, child->table_iter->block))) {
        return bytes_copy(rows, value);
    }
    return value;
}

/* The current entry, which the merge stands on. */
static void
row_take(struct batch_rows *rows, const struct merge_child *child, const struct lsm_entry *entry)
{
    uint32_t row = rows->row_count++;

    rows->keys[row] = bytes_copy(rows, entry->key);
    rows->values[row] = value_take(rows, child, entry->value);
    rows->ts[row] = entry->ts;
    rows->expire_us[row] = entry->expire_us;
    rows->slots[row] = entry->slot;
    rows->kinds[row] = entry->kind;
    row_select(rows, row);
}

YIELDS err_t
lsm_iter_batch(struct lsm_iter *iter, uint32_t rows_max, const struct lsm_batch **batch_out)
{
    struct batch_rows *rows;
    err_t err = ERR_OK;

    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    ASSERT(rows_max >= 1);
    ASSERT(rows_max <= LSM_BATCH_ROWS_MAX);
    if (iter->rows == NULL) {
        iter->rows = batch_rows_new(iter->lsm->cache);
    }
    rows = iter->rows;
    batch_rows_release(rows);
    while (iter->current != NULL && rows->row_count < rows_max && rows->copied < COPY_BYTES_SOFT) {
        struct table_iter *table_iter;

        ASSERT(iter->state == ITER_FORWARD);
        table_iter = block_alone(iter, rows);
        if (table_iter != NULL) {
            TRY(block_take(iter, rows, table_iter, rows_max));
        } else {
            row_take(rows, iter->merge.heap[0].child, iter->current);
            TRY(lsm_iter_next(iter));
        }
    }
    *batch_out = &rows->batch;
out:
    if (err != ERR_OK) {
        batch_rows_release(rows);
    }
    return err;
}

YIELDS err_t
lsm_batch_value(struct lsm_iter *iter, const struct lsm_batch *batch, uint32_t row,
                struct arena *arena, struct slice *value_out)
{
    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    if (batch->kinds[row] == LSM_PUT_LARGE) {
        return lsm_large_read(iter->lsm, batch->values[row], arena, value_out);
    }
    *value_out = batch->values[row];
    return ERR_OK;
}
