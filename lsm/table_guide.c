/* lsm/table_guide.c - reading and evicting indexes and filters. */
#include "lsm/table_guide.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "lsm/table_internal.h"

#include "engine/base/poison.h"

static const enum table_section guide_sections[GUIDE_KINDS] = {
    [GUIDE_INDEX] = SECTION_INDEX,
    [GUIDE_FILTER] = SECTION_FILTER,
};

/* ---- The pool. ---- */

void
guide_pool_init(struct guide_pool *pool, uint64_t limit_bytes)
{
    *pool = (struct guide_pool){.limit_bytes = limit_bytes};
    list_init(&pool->guides);
}

static struct guide_pool *
guide_pool(const struct table *table)
{
    return block_cache_guides(table->cache);
}

static void
guide_drop(struct guide_pool *pool, struct guide *guide)
{
    struct table *table = guide->table;

    ASSERT(guide->is_there);
    ASSERT(guide->pins == 0);
    if (guide->kind == GUIDE_INDEX) {
        index_fini(&table->index);
    } else {
        table->filter = (struct filter){0};
        mem_free_dense(MEM_TABLES, table->filter_bytes, table->filter_size);
        table->filter_bytes = NULL;
    }
    list_remove(&guide->link);
    pool->count--;
    pool->bytes -= guide->bytes;
    guide->bytes = 0;
    guide->is_there = false;
    guide->misses = 0;
}

/* Evict until `more` bytes fit, as far as that can be: each guide is looked at twice at most. */
static void
guide_pool_make_room(struct guide_pool *pool, uint64_t more)
{
    for (uint32_t looks = 2 * pool->count;
         looks > 0 && pool->count > 0 && pool->bytes + more > pool->limit_bytes; looks--) {
        struct guide *guide = LIST_ENTRY(pool->guides.next, struct guide, link);

        if (guide->pins == 0 && !guide->was_used) {
            SOMETIMES("lsm: an index or a filter was evicted");
            guide_drop(pool, guide);
            pool->evicted++;
            continue;
        }
        guide->was_used = false;
        list_remove(&guide->link);
        list_push_back(&pool->guides, &guide->link);
    }
}

void
guide_pool_limit(struct guide_pool *pool, uint64_t limit_bytes)
{
    pool->limit_bytes = limit_bytes;
    guide_pool_make_room(pool, 0);
}

/* ---- One guide. ---- */

void
guides_init(struct table *table)
{
    cond_init(&table->guide_cond);
    for (uint8_t i = 0; i < GUIDE_KINDS; i++) {
        table->guides[i] = (struct guide){.table = table, .kind = i};
        list_init(&table->guides[i].link);
    }
}

void
guides_fini(struct table *table)
{
    for (uint32_t i = 0; i < GUIDE_KINDS; i++) {
        if (table->guides[i].is_there) {
            guide_drop(guide_pool(table), &table->guides[i]);
        }
    }
}

/* About what the guide will take, from its size in the file. */
static uint64_t
guide_bytes_estimate(const struct table *table, enum guide_kind kind)
{
    uint64_t stored = table->footer.sections[guide_sections[kind]].bytes;

    return kind == GUIDE_INDEX ? stored + (uint64_t)table->block_count * INDEX_BLOCK_BYTES : stored;
}

static bool
guide_has_room(const struct table *table, enum guide_kind kind)
{
    const struct guide_pool *pool = guide_pool(table);

    return pool->bytes + guide_bytes_estimate(table, kind) <= pool->limit_bytes;
}

static err_t
filter_take(struct table *table, struct slice raw, uint64_t *bytes_out)
{
    uint8_t *bytes = mem_alloc_dense(MEM_TABLES, raw.size);
    struct filter filter;
    err_t err;

    if (bytes == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a filter of %zu bytes", raw.size);
    }
    memcpy(bytes, raw.data, raw.size);
    TRY(filter_open(slice_of(bytes, raw.size), &filter));
    table->filter = filter;
    table->filter_bytes = bytes;
    table->filter_size = raw.size;
    *bytes_out = raw.size;
    return ERR_OK;
out:
    mem_free_dense(MEM_TABLES, bytes, raw.size);
    return err;
}

static YIELDS err_t
index_take(struct table *table, struct slice raw, uint64_t *bytes_out)
{
    struct table_index index = {0};
    err_t err;

    TRY(index_decode(raw, table->footer.sections[SECTION_INDEX].offset, &index));
    if (index.block_count != table->block_count) {
        err = err_set(ERR_CORRUPT, "the index has %u blocks, the properties %u", index.block_count,
                      table->block_count);
        goto out;
    }
    table->index = index;
    *bytes_out = index_bytes(&index);
    return ERR_OK;
out:
    index_fini(&index);
    return err;
}

/* From the section's frame to what lookups use. */
static YIELDS err_t
guide_decode(struct table *table, enum guide_kind kind, const uint8_t *bytes, uint64_t *bytes_out)
{
    struct buf raw;
    err_t err;

    buf_init(&raw, MEM_BACKGROUND);
    TRY(table_section_unpack(table, guide_sections[kind], bytes, &raw));
    err = kind == GUIDE_INDEX ? index_take(table, buf_slice(&raw), bytes_out)
                              : filter_take(table, buf_slice(&raw), bytes_out);
out:
    buf_fini(&raw);
    return err;
}

static YIELDS err_t
guide_read(struct table *table, enum guide_kind kind, uint64_t *bytes_out)
{
    enum table_section section = guide_sections[kind];
    uint64_t offset = table->footer.sections[section].offset;
    uint32_t size = table->footer.sections[section].bytes;
    struct table_span span = table_span_of(offset, size);
    uint8_t *bytes;
    err_t err;

    if (size == 0) {
        *bytes_out = 0; /* No filter: an empty one, which lets everything pass. */
        return ERR_OK;
    }
    bytes = mem_alloc_aligned(MEM_BACKGROUND, span.bytes);
    if (bytes == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u bytes of %s", size, table->path);
    }
    TRY(table_span_read(table->file, span.offset, bytes, span.bytes));
    TRY(guide_decode(table, kind, bytes + (offset - span.offset), bytes_out));
out:
    mem_free_aligned(MEM_BACKGROUND, bytes, span.bytes);
    return err;
}

/* Read it, or take it from `bytes` (NULL: read), while others wait. */
static YIELDS err_t
guide_load(struct table *table, enum guide_kind kind, const uint8_t *bytes)
{
    struct guide *guide = &table->guides[kind];
    struct guide_pool *pool = guide_pool(table);
    uint64_t size = 0;
    err_t err;

    ASSERT(!guide->is_there);
    ASSERT(!guide->is_loading);
    guide->is_loading = true;
    err = bytes != NULL ? guide_decode(table, kind, bytes, &size) : guide_read(table, kind, &size);
    guide->is_loading = false;
    cond_broadcast(&table->guide_cond);
    if (err != ERR_OK) {
        return err_context(err, "table %s", table->path);
    }
    guide_pool_make_room(pool, size);
    guide->is_there = true;
    guide->was_used = true;
    guide->bytes = size;
    pool->count++;
    pool->bytes += size;
    pool->loaded++;
    list_push_back(&pool->guides, &guide->link);
    return ERR_OK;
}

YIELDS err_t
guide_acquire(struct table *table, enum guide_kind kind)
{
    struct guide *guide = &table->guides[kind];
    err_t err = ERR_OK;

    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    /* A round ends with the guide, or in one more fiber's own failed read. */
    while (!guide->is_there) {
        if (guide->is_loading) {
            SOMETIMES("lsm: a fiber waits for another one's read of an index or a filter");
            cond_wait_uncancelable(&table->guide_cond);
            continue;
        }
        TRY(guide_load(table, kind, NULL));
    }
    guide->was_used = true;
    guide->pins++;
out:
    return err;
}

void
guide_release(struct table *table, enum guide_kind kind)
{
    struct guide *guide = &table->guides[kind];
    struct guide_pool *pool = guide_pool(table);

    ASSERT(guide->pins > 0);
    if (--guide->pins == 0 && pool->bytes > pool->limit_bytes) {
        guide_pool_make_room(pool, 0);
    }
}

YIELDS err_t
guide_offer(struct table *table, enum guide_kind kind, struct slice tail, uint64_t tail_offset)
{
    uint64_t offset = table->footer.sections[guide_sections[kind]].offset;

    if (table->guides[kind].is_there || offset < tail_offset || !guide_has_room(table, kind) ||
        table->footer.sections[guide_sections[kind]].bytes == 0) {
        return ERR_OK;
    }
    return guide_load(table, kind, tail.data + (offset - tail_offset));
}

YIELDS err_t
guide_filter_ask(struct table *table, uint64_t key_hash, bool *may_contain_out)
{
    struct guide *guide = &table->guides[GUIDE_FILTER];
    err_t err = ERR_OK;

    if (!guide_use(table, GUIDE_FILTER)) {
        if (!guide_has_room(table, GUIDE_FILTER) && ++guide->misses < GUIDE_FILTER_MISSES) {
            SOMETIMES("lsm: a lookup goes without a filter");
            *may_contain_out = true;
            return ERR_OK;
        }
        TRY(guide_acquire(table, GUIDE_FILTER));
        *may_contain_out = filter_may_contain(&table->filter, key_hash);
        guide_release(table, GUIDE_FILTER);
        return ERR_OK;
    }
    *may_contain_out = filter_may_contain(&table->filter, key_hash);
out:
    return err;
}

YIELDS err_t
table_warm(struct table *table)
{
    err_t err = ERR_OK;

    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    for (uint32_t kind = 0; kind < GUIDE_KINDS; kind++) {
        if (!table->guides[kind].is_there && guide_has_room(table, kind)) {
            TRY(guide_acquire(table, kind));
            guide_release(table, kind);
        }
    }
out:
    return err;
}
