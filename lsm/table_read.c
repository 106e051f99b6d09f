/* lsm/table_read.c - blocks and single keys of a table.
 *
 * The path of a cached get: filter, index (a binary search over an array of numbers), hash table
 * of the cache, restarts of the block, at most BLOCK_RESTART_ROWS rows, one copy. Nothing is
 * allocated but the copy, nothing suspends. */
#include "lsm/table_internal.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "lsm/block_frame.h"
#include "lsm/metrics.h"

#include "engine/base/poison.h"

err_t
table_block_unpack(const struct table *table, uint32_t index, const uint8_t *bytes,
                   struct cached_block *into)
{
    uint64_t offset = table->index.offsets[index];
    uint64_t seed = frame_seed(table->salt, table->meta.file_number, offset);
    struct frame frame;
    err_t err;

    TRY(frame_open(slice_of(bytes, table->index.sizes[index]), FRAME_DATA, seed, BLOCK_BYTES_MAX,
                   &frame));
    cached_block_reserve(into, frame.raw_bytes);
    TRY(frame_unpack(&frame, into->data));
    TRY(block_open(slice_of(into->data, frame.raw_bytes), &into->block));
    block_stamp(&into->block, table->stamp); /* The rows of a stamped table have ts 0. */
    return ERR_OK;
out:
    SOMETIMES("lsm: a block of a table was found corrupt");
    return err_context(err, "table %s: block %u at offset %llu", table->path, index,
                       (unsigned long long)offset);
}

/* Read block `index` from the file. */
static YIELDS err_t
table_block_read(struct table *table, uint32_t index, struct cached_block *into)
{
    uint64_t offset = table->index.offsets[index];
    struct table_span span = table_span_of(offset, table->index.sizes[index]);
    uint8_t *buffer = mem_alloc_aligned(MEM_CACHE, span.bytes);
    uint64_t begin_us = shard_now_us();
    err_t err;

    if (buffer == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to read a block of %zu bytes", span.bytes);
    }
    TRY(io_read(table->file, span.offset, buffer, span.bytes));
    lsm_metrics_read(table->metrics, table->level, shard_now_us() - begin_us, span.bytes);
    TRY(table_block_unpack(table, index, buffer + (offset - span.offset), into));
    fiber_work(into->data_bytes / TABLE_BYTES_A_UNIT);
out:
    mem_free_aligned(MEM_CACHE, buffer, span.bytes);
    return err;
}

static YIELDS err_t
table_block_acquire_private(struct table *table, uint32_t index, struct cached_block **block_out)
{
    uint64_t offset = table->index.offsets[index];
    struct cached_block *block =
        block_cache_find(table->cache, table->meta.file_number, offset, true);
    err_t err;

    if (block == NULL) {
        block = cached_block_new(table->cache, 0);
        TRY(table_block_read(table, index, block));
    }
    *block_out = block;
    return ERR_OK;
out:
    block_cache_unpin(table->cache, &block);
    return err;
}

YIELDS err_t
table_block_acquire(struct table *table, uint32_t index, bool fill_cache,
                    struct cached_block **block_out)
{
    struct cached_block *block;
    bool must_load;
    err_t err;

    if (!fill_cache) {
        return table_block_acquire_private(table, index, block_out);
    }
    block = block_cache_acquire(table->cache, table->meta.file_number, table->index.offsets[index],
                                &must_load);
    if (must_load) {
        err = table_block_read(table, index, block);
        if (err != ERR_OK) {
            block_cache_failed(table->cache, block);
            block_cache_unpin(table->cache, &block);
            return err;
        }
        block_cache_loaded(table->cache, block);
    }
    *block_out = block;
    return ERR_OK;
}

/* ---- One key. ---- */

bool
table_may_contain(struct table *table, uint64_t key_hash)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    (void)guide_use(table, GUIDE_FILTER); /* An absent filter lets everything pass. */
    return filter_may_contain(&table->filter, key_hash);
}

void
table_prefetch(const struct table *table, uint64_t key_hash)
{
    filter_prefetch(&table->filter, key_hash);
}

/* The block that would hold (key, snapshot), pinned, when index and block are in memory. */
static struct cached_block *
table_block_find(struct table *table, struct slice key, uint64_t snapshot)
{
    uint32_t index;

    if (!guide_use(table, GUIDE_INDEX)) {
        return NULL;
    }
    index = index_find(&table->index, key, snapshot);
    return block_cache_find(table->cache, table->meta.file_number, table->index.offsets[index],
                            false);
}

/* What the block has of the key. The value is copied: the block may go. */
static err_t
block_answer(const struct cached_block *block, struct slice key, uint64_t snapshot,
             struct arena *arena, struct lsm_entry *entry_out, bool *found_out)
{
    struct lsm_entry entry;
    bool found;
    err_t err;

    TRY(block_get(&block->block, key, snapshot, &entry, &found));
    if (found) {
        entry.value = arena_copy(arena, entry.value);
        *entry_out = entry;
    }
    *found_out = found;
out:
    return err;
}

err_t
table_try_get(struct table *table, struct slice key, uint64_t snapshot, struct arena *arena,
              struct lsm_entry *entry_out, bool *found_out, bool *is_cached_out)
{
    struct cached_block *block;
    err_t err;

    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    if (table->block_count == 0) {
        *found_out = false;
        *is_cached_out = true;
        return ERR_OK;
    }
    block = table_block_find(table, key, snapshot);
    *is_cached_out = block != NULL;
    if (block == NULL) {
        return ERR_OK;
    }
    err = block_answer(block, key, snapshot, arena, entry_out, found_out);
    table_block_release(table, &block);
    return err;
}

/* The block that would hold (key, snapshot), unless the filter denies the key: NULL. */
static YIELDS err_t
table_get_read(struct table *table, struct slice key, uint64_t key_hash, uint64_t snapshot,
               struct cached_block **block_out)
{
    bool may_contain = false;
    err_t err;

    table_pin(table);
    TRY(guide_filter_ask(table, key_hash, &may_contain));
    if (may_contain) {
        TRY(guide_acquire(table, GUIDE_INDEX));
        err = table_block_acquire(table, index_find(&table->index, key, snapshot), true, block_out);
        guide_release(table, GUIDE_INDEX);
    }
out:
    ASSERT(table->pins > 1); /* The caller's own pin outlives the call. */
    table_unpin(table);
    return err;
}

YIELDS err_t
table_get(struct table *table, struct slice key, uint64_t key_hash, uint64_t snapshot,
          struct arena *arena, struct lsm_entry *entry_out, bool *found_out)
{
    struct cached_block *block;
    err_t err;

    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    *found_out = false;
    if (table->block_count == 0 || !table_may_contain(table, key_hash)) {
        return ERR_OK;
    }
    block = table_block_find(table, key, snapshot);
    if (block == NULL) {
        TRY(table_get_read(table, key, key_hash, snapshot, &block));
    }
    if (block != NULL) {
        err = block_answer(block, key, snapshot, arena, entry_out, found_out);
        table_block_release(table, &block);
    } else {
        err = ERR_OK;
    }
out:
    return err;
}
