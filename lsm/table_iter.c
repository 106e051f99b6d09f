/* lsm/table_iter.c - iterators over a table.
 *
 * Without read-ahead an iterator takes one block at a time, through the cache. With it, forward
 * steps go over two windows of the file:
 *
 *     | blocks i .. j in memory | blocks j + 1 .. k being read |
 *
 * A window covers whole blocks, so the pages at its borders may be read twice. A step that leaves
 * the windows (a seek, a step back) takes the plain way until forward steps come again.
 *
 * An iterator that decides itself (adaptive) begins its first window when a step forward meets a
 * block that is not cached: a short scan costs a read for its first block and one for the rest. It
 * asks for the second window only when it is half through the first, and each one is twice as
 * large as that before. */
#include "lsm/table_iter.h"
#include "engine/base/assert.h"
#include "lsm/table_internal.h"

#include "engine/base/poison.h"

enum {
    ITER_READ_AHEAD_BYTES_MAX = 8 << 20,
    ITER_ADAPTIVE_BYTES_MIN = 16 << 10, /* Of a window, when the iterator decides itself. */
    ITER_ADAPTIVE_BYTES_MAX = 512 << 10,
};

struct table_iter *
table_iter_new(struct table *table, const struct table_iter_options *options)
{
    struct table_iter *iter = MEM_NEW(MEM_CACHE, struct table_iter);

    iter->magic = TABLE_ITER_MAGIC;
    iter->table = table;
    iter->options = *options;
    iter->ahead_bytes = ITER_ADAPTIVE_BYTES_MIN;
    iter->options.read_ahead_bytes =
        MIN(options->read_ahead_bytes, (uint32_t)ITER_READ_AHEAD_BYTES_MAX);
    table_pin(table);
    block_cursor_init(&iter->cursor, MEM_CACHE);
    for (uint32_t i = 0; i < ITER_WINDOWS; i++) {
        iter->windows[i].iter = iter;
    }
    return iter;
}

/* ---- Windows. ---- */

/* Everything but what a read in flight needs. */
static void
iter_release(struct table_iter *iter)
{
    table_block_release(iter->table, &iter->block);
    block_cursor_fini(&iter->cursor);
    if (iter->has_index) {
        guide_release(iter->table, GUIDE_INDEX);
        iter->has_index = false;
    }
}

/* Compaction and the like say how far ahead they read. */
static bool
iter_is_adaptive(const struct table_iter *iter)
{
    return iter->options.read_ahead_bytes == 0 && iter->options.fill_cache;
}

static void
window_free(struct iter_window *window)
{
    mem_free_aligned(MEM_BACKGROUND, window->bytes, window->capacity);
    if (iter_is_adaptive(window->iter)) {
        block_cache_ahead_give(window->iter->table->cache, window->capacity);
    }
    window->bytes = NULL;
    window->capacity = 0;
    window->last_block = window->first_block;
}

/* Room for a window; no bytes when there is none. */
static void
window_reserve(struct iter_window *window, size_t bytes)
{
    struct table_iter *iter = window->iter;

    if (window->capacity >= bytes) {
        return;
    }
    window_free(window);
    if (iter_is_adaptive(iter) && !block_cache_ahead_take(iter->table->cache, bytes)) {
        return; /* Other scans have it all. */
    }
    window->bytes = mem_alloc_aligned(MEM_BACKGROUND, bytes);
    window->capacity = bytes;
    if (window->bytes == NULL) {
        window_free(window);
    }
}

static void
iter_destroy(struct table_iter *iter)
{
    for (uint32_t i = 0; i < ITER_WINDOWS; i++) {
        window_free(&iter->windows[i]);
    }
    iter->magic = 0;
    table_unpin(iter->table);
    MEM_FREE(MEM_CACHE, iter);
}

static bool
iter_is_reading(const struct table_iter *iter)
{
    return iter->windows[0].is_in_flight || iter->windows[1].is_in_flight;
}

void
table_iter_free(struct table_iter **iter)
{
    struct table_iter *taken = *iter;

    *iter = NULL;
    if (taken == NULL) {
        return;
    }
    OBJ_CHECK(taken, TABLE_ITER_MAGIC);
    iter_release(taken);
    if (iter_is_reading(taken)) {
        taken->is_closing = true; /* The kernel still writes into a window. */
        return;
    }
    iter_destroy(taken);
}

static void
window_done(struct io_op *op)
{
    struct iter_window *window = CONTAINER_OF(op, struct iter_window, op);
    struct table_iter *iter = window->iter;

    window->is_in_flight = false;
    if (iter->is_closing) {
        if (!iter_is_reading(iter)) {
            iter_destroy(iter);
        }
        return;
    }
    if (iter->waiter != NULL) {
        fiber_wake(iter->waiter);
    }
}

static YIELDS void
window_wait(struct iter_window *window)
{
    struct table_iter *iter = window->iter;

    iter->waiter = fiber_self();
    while (window->is_in_flight) {
        fiber_suspend();
    }
    iter->waiter = NULL;
}

/* Start to read blocks from `first` on, as many as the window is to hold, at least one. Leaves the
 * window empty when there are none, or no memory. */
static void
window_start(struct iter_window *window, uint32_t first)
{
    const struct table_index *index = &window->iter->table->index;
    struct table_iter *iter = window->iter;
    uint32_t limit = iter_is_adaptive(iter) ? iter->ahead_bytes : iter->options.read_ahead_bytes;
    uint32_t last = first;
    struct table_span span = {0};

    ASSERT(!window->is_in_flight);
    window->first_block = first;
    window->last_block = first;
    while (last < index->block_count) {
        uint64_t end = index->offsets[last] + index->sizes[last];
        struct table_span wider = table_span_of(index->offsets[first], end - index->offsets[first]);

        if (last > first && wider.bytes > limit) {
            break;
        }
        span = wider;
        last++;
    }
    if (last == first) {
        return;
    }
    window_reserve(window, span.bytes);
    if (window->capacity < span.bytes) {
        return;
    }
    iter->ahead_bytes = MIN(2 * iter->ahead_bytes, (uint32_t)ITER_ADAPTIVE_BYTES_MAX);
    window->offset = span.offset;
    window->last_block = last;
    window->is_in_flight = true;
    window->op = (struct io_op){.done = window_done};
    io_read_start(&window->op, window->iter->table->file, span.offset, window->bytes, span.bytes);
}

static bool
window_covers(const struct iter_window *window, uint32_t block)
{
    return block >= window->first_block && block < window->last_block;
}

/* The window that holds `block`, read; NULL when it takes the plain way. */
static YIELDS err_t
iter_window_for(struct table_iter *iter, uint32_t block, struct iter_window **window_out)
{
    struct iter_window *used = &iter->windows[iter->window];
    struct iter_window *next = &iter->windows[1 - iter->window];
    err_t err;

    if (!window_covers(used, block)) {
        window_wait(used);
        window_wait(next);
        if (!window_covers(next, block)) {
            window_start(next, block);
        }
        iter->window = 1 - iter->window;
        if (!iter_is_adaptive(iter)) {
            window_start(used, next->last_block);
        }
        used = next;
        next = &iter->windows[1 - iter->window];
    }
    if (iter_is_adaptive(iter) && !next->is_in_flight && next->first_block != used->last_block &&
        block - used->first_block >= (used->last_block - used->first_block) / 2) {
        window_start(next, used->last_block);
    }
    if (!window_covers(used, block)) {
        *window_out = NULL;
        return ERR_OK;
    }
    window_wait(used);
    TRY(io_op_result(&used->op, "reading ahead in"));
    *window_out = used;
    return ERR_OK;
out:
    used->last_block = used->first_block; /* Read it again the next time. */
    return err;
}

/* ---- Blocks. ---- */

static YIELDS err_t
iter_load_ahead(struct table_iter *iter, uint32_t index, struct cached_block **block_out)
{
    const struct table *table = iter->table;
    struct cached_block *block = NULL;
    struct iter_window *window;
    err_t err;

    TRY(iter_window_for(iter, index, &window));
    if (window == NULL) {
        return table_block_acquire(iter->table, index, iter->options.fill_cache, block_out);
    }
    block = cached_block_new(table->cache, 0);
    TRY(table_block_unpack(table, index,
                           window->bytes + (table->index.offsets[index] - window->offset), block));
    if (iter->options.fill_cache) {
        block_cache_adopt(table->cache, table->meta.file_number, table->index.offsets[index],
                          block);
    }
    fiber_work(block->data_bytes / TABLE_BYTES_A_UNIT);
    *block_out = block;
    return ERR_OK;
out:
    block_cache_unpin(table->cache, &block);
    return err;
}

/* How the iterator comes to a block: on its way forward, as a place to go forward from, or as one
 * that nothing is known to follow. */
enum iter_enter { ENTER_STEP, ENTER_SEEK, ENTER_ALONE };

static bool
iter_reads_ahead(const struct table_iter *iter, enum iter_enter enter)
{
    return iter_is_adaptive(iter) ? enter == ENTER_STEP
                                  : enter != ENTER_ALONE && iter->options.read_ahead_bytes > 0;
}

/* Put the cursor into block `index`, with no current entry. */
static YIELDS err_t
iter_enter(struct table_iter *iter, uint32_t index, enum iter_enter enter)
{
    struct cached_block *block = NULL;
    err_t err;

    if (iter->block != NULL && iter->block_index == index) {
        block_cursor_set(&iter->cursor, &iter->block->block);
        return ERR_OK;
    }
    if (enter != ENTER_ALONE && iter->options.fill_cache) {
        block = block_cache_find(iter->table->cache, iter->table->meta.file_number,
                                 iter->table->index.offsets[index], false);
    }
    if (block == NULL && iter_reads_ahead(iter, enter)) {
        TRY(iter_load_ahead(iter, index, &block));
    } else if (block == NULL) {
        TRY(table_block_acquire(iter->table, index, iter->options.fill_cache, &block));
    }
    table_block_release(iter->table, &iter->block);
    iter->block = block;
    iter->block_index = index;
    block_cursor_set(&iter->cursor, &block->block);
    return ERR_OK;
out:
    block_cursor_set(&iter->cursor, NULL);
    return err;
}

/* The cursor ran off the end of its block: on to the first entry of the next one. */
static YIELDS err_t
iter_settle_forward(struct table_iter *iter)
{
    err_t err = ERR_OK;

    while (!block_cursor_is_valid(&iter->cursor) &&
           iter->block_index + 1 < iter->table->block_count) {
        TRY(iter_enter(iter, iter->block_index + 1, ENTER_STEP));
        TRY(block_cursor_first(&iter->cursor));
    }
out:
    return err;
}

static YIELDS err_t
iter_settle_backward(struct table_iter *iter)
{
    err_t err = ERR_OK;

    while (!block_cursor_is_valid(&iter->cursor) && iter->block_index > 0) {
        TRY(iter_enter(iter, iter->block_index - 1, ENTER_ALONE));
        TRY(block_cursor_last(&iter->cursor));
    }
out:
    return err;
}

/* What follows an error is no position. */
static err_t
iter_result(struct table_iter *iter, err_t err)
{
    if (err != ERR_OK) {
        block_cursor_set(&iter->cursor, NULL);
    }
    return err;
}

/* ---- Moves. ---- */

/* No current entry, and the index at hand. *is_empty_out: there is nothing to find. */
static YIELDS err_t
iter_begin(struct table_iter *iter, bool *is_empty_out)
{
    err_t err = ERR_OK;

    OBJ_CHECK(iter, TABLE_ITER_MAGIC);
    block_cursor_set(&iter->cursor, NULL);
    iter->ahead_bytes = ITER_ADAPTIVE_BYTES_MIN;
    *is_empty_out = iter->table->block_count == 0;
    if (!iter->has_index && !*is_empty_out) {
        TRY(guide_acquire(iter->table, GUIDE_INDEX));
        iter->has_index = true;
    }
out:
    return err;
}

YIELDS err_t
table_iter_seek_first(struct table_iter *iter)
{
    bool is_empty;
    err_t err;

    TRY(iter_begin(iter, &is_empty));
    if (!is_empty) {
        TRY(iter_enter(iter, 0, ENTER_SEEK));
        TRY(block_cursor_first(&iter->cursor));
    }
out:
    return iter_result(iter, err);
}

YIELDS err_t
table_iter_seek_last(struct table_iter *iter)
{
    bool is_empty;
    err_t err;

    TRY(iter_begin(iter, &is_empty));
    if (!is_empty) {
        TRY(iter_enter(iter, iter->table->block_count - 1, ENTER_ALONE));
        TRY(block_cursor_last(&iter->cursor));
    }
out:
    return iter_result(iter, err);
}

YIELDS err_t
table_iter_seek(struct table_iter *iter, struct slice key, uint64_t ts)
{
    bool is_empty;
    err_t err;

    TRY(iter_begin(iter, &is_empty));
    if (!is_empty) {
        TRY(iter_enter(iter, index_find(&iter->table->index, key, ts), ENTER_SEEK));
        TRY(block_cursor_seek(&iter->cursor, key, ts));
        TRY(iter_settle_forward(iter));
    }
out:
    return iter_result(iter, err);
}

YIELDS err_t
table_iter_seek_before(struct table_iter *iter, struct slice key)
{
    bool is_empty;
    err_t err;

    TRY(iter_begin(iter, &is_empty));
    if (!is_empty) {
        TRY(iter_enter(iter, index_find(&iter->table->index, key, LSM_TS_MAX), ENTER_ALONE));
        TRY(block_cursor_seek_before(&iter->cursor, key));
        TRY(iter_settle_backward(iter));
    }
out:
    return iter_result(iter, err);
}

YIELDS err_t
table_iter_next(struct table_iter *iter)
{
    err_t err;

    OBJ_CHECK(iter, TABLE_ITER_MAGIC);
    ASSERT(table_iter_is_valid(iter));
    TRY(block_cursor_next(&iter->cursor));
    if (__builtin_expect(!block_cursor_is_valid(&iter->cursor), 0)) {
        TRY(iter_settle_forward(iter));
    }
out:
    return iter_result(iter, err);
}

YIELDS err_t
table_iter_previous(struct table_iter *iter)
{
    err_t err;

    OBJ_CHECK(iter, TABLE_ITER_MAGIC);
    ASSERT(table_iter_is_valid(iter));
    TRY(block_cursor_previous(&iter->cursor));
    if (__builtin_expect(!block_cursor_is_valid(&iter->cursor), 0)) {
        TRY(iter_settle_backward(iter));
    }
out:
    return iter_result(iter, err);
}

bool
table_iter_is_valid(const struct table_iter *iter)
{
    return block_cursor_is_valid(&iter->cursor);
}

const struct lsm_entry *
table_iter_entry(const struct table_iter *iter)
{
    ASSERT(table_iter_is_valid(iter));
    return &iter->cursor.entry;
}

err_t
table_iter_rows(struct table_iter *iter, struct block_rows *rows)
{
    OBJ_CHECK(iter, TABLE_ITER_MAGIC);
    ASSERT(table_iter_is_valid(iter));
    return iter_result(iter, block_rows_decode(&iter->cursor, rows));
}

bool
table_iter_block_is_below(const struct table_iter *iter, struct slice key)
{
    const struct table *table = iter->table;

    ASSERT(table_iter_is_valid(iter));
    if (iter->block_index + 1 == table->block_count) {
        return slice_compare(table->meta.largest, key) < 0;
    }
    return index_compare(&table->index, iter->block_index + 1, key, LSM_TS_MAX) <= 0;
}

const struct table_meta *
table_iter_meta(const struct table_iter *iter)
{
    return table_meta(iter->table);
}

uint32_t
table_iter_block(const struct table_iter *iter)
{
    return iter->block_index;
}
