/* lsm/table_open.c - opening and closing tables. */
#include "lsm/table_internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "lsm/block_frame.h"

#include "engine/base/poison.h"

enum {
    TABLE_TAIL_BYTES = 16 << 10, /* The first read: all of a small table's sections. */
    TABLE_REMOVE_BLOCKS = 64,    /* Between two calls of fiber_work. */
};

/* ---- Opening. ---- */

/* The end of the file in memory, from `offset` on. */
struct table_tail {
    uint8_t *bytes;
    uint64_t offset;
    size_t size;
};

static void
tail_free(struct table_tail *tail)
{
    mem_free_aligned(MEM_BACKGROUND, tail->bytes, tail->size);
    *tail = (struct table_tail){0};
}

static YIELDS err_t
tail_read(struct table_tail *tail, struct io_file *file, uint64_t offset)
{
    size_t size = (size_t)(io_file_size(file) - offset);

    tail_free(tail);
    tail->bytes = mem_alloc_aligned(MEM_BACKGROUND, size);
    if (tail->bytes == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for the %zu bytes at the end of %s", size,
                       io_file_path(file));
    }
    tail->offset = offset;
    tail->size = size;
    return table_span_read(file, offset, tail->bytes, size);
}

/* The footer, and a tail that holds what stays in memory: properties and range deletes. */
static YIELDS err_t
table_read_tail(struct table *table, struct table_tail *tail)
{
    uint64_t file_bytes = io_file_size(table->file);
    uint64_t needed;
    err_t err;

    if (file_bytes < IO_BLOCK_BYTES || file_bytes % IO_BLOCK_BYTES != 0) {
        return err_set(ERR_CORRUPT, "a table of %llu bytes", (unsigned long long)file_bytes);
    }
    TRY(tail_read(tail, table->file, file_bytes - MIN(file_bytes, (uint64_t)TABLE_TAIL_BYTES)));
    TRY(footer_decode(tail->bytes + tail->size - TABLE_FOOTER_BYTES, table->meta.file_number,
                      file_bytes, &table->footer));
    table->salt = table->footer.salt;
    needed = table->footer.sections[SECTION_RANGES].offset;
    if (needed < tail->offset) {
        TRY(tail_read(tail, table->file, table_span_of(needed, 0).offset));
    }
out:
    return err;
}

YIELDS err_t
table_section_unpack(const struct table *table, enum table_section section, const uint8_t *bytes,
                     struct buf *raw)
{
    static const enum frame_kind kinds[SECTION_COUNT] = {
        [SECTION_INDEX] = FRAME_INDEX,
        [SECTION_FILTER] = FRAME_FILTER,
        [SECTION_RANGES] = FRAME_RANGES,
        [SECTION_PROPERTIES] = FRAME_PROPERTIES,
    };
    uint64_t offset = table->footer.sections[section].offset;
    uint32_t size = table->footer.sections[section].bytes;
    struct frame frame;
    err_t err;

    TRY(frame_open(slice_of(bytes, size), kinds[section],
                   frame_seed(table->salt, table->meta.file_number, offset), FRAME_RAW_BYTES_MAX,
                   &frame));
    fiber_work(size / TABLE_BYTES_A_UNIT);
    buf_clear(raw);
    if (!buf_try_reserve(raw, frame.raw_bytes)) {
        err = err_set(ERR_NO_MEMORY, "no memory for %u bytes", frame.raw_bytes);
        goto out;
    }
    TRY(frame_unpack(&frame, raw->data));
    raw->size = frame.raw_bytes;
    fiber_work(frame.raw_bytes / TABLE_BYTES_A_UNIT);
out:
    return err == ERR_OK ? ERR_OK
                         : err_context(err, "section %d at offset %llu", (int)section,
                                       (unsigned long long)offset);
}

static YIELDS err_t
tail_unpack(const struct table *table, const struct table_tail *tail, enum table_section section,
            struct buf *raw)
{
    uint64_t offset = table->footer.sections[section].offset;

    return table_section_unpack(table, section, tail->bytes + (offset - tail->offset), raw);
}

static YIELDS err_t
table_load_properties(struct table *table, const struct table_tail *tail)
{
    const struct table_footer *footer = &table->footer;
    struct table_properties properties;
    err_t err;

    TRY(tail_unpack(table, tail, SECTION_PROPERTIES, &table->properties_bytes));
    TRY(properties_decode(buf_slice(&table->properties_bytes), &properties));
    if (properties.meta.file_number != table->meta.file_number ||
        properties.data_bytes != footer->sections[SECTION_INDEX].offset ||
        (properties.meta.range_deletes > 0) != (footer->sections[SECTION_RANGES].bytes > 0)) {
        err = err_set(ERR_CORRUPT, "properties do not agree with the footer");
        goto out;
    }
    table->meta = properties.meta;
    table->meta.file_bytes = footer->file_bytes;
    table->block_count = properties.block_count;
out:
    return err;
}

static YIELDS err_t
table_load_ranges(struct table *table, const struct table_tail *tail)
{
    err_t err = ERR_OK;

    if (table->footer.sections[SECTION_RANGES].bytes > 0) {
        TRY(tail_unpack(table, tail, SECTION_RANGES, &table->ranges_bytes));
        TRY(ranges_decode(buf_slice(&table->ranges_bytes), &table->ranges));
    }
    if (table->ranges.count != table->meta.range_deletes) {
        err = err_set(ERR_CORRUPT, "the table has %u range deletes, the properties say %llu",
                      table->ranges.count, (unsigned long long)table->meta.range_deletes);
    }
out:
    return err;
}

static void
table_free(struct table *table)
{
    guides_fini(table);
    ranges_fini(&table->ranges);
    buf_fini(&table->ranges_bytes);
    buf_fini(&table->properties_bytes);
    io_close(&table->file);
    block_cache_release(table->cache);
    table->magic = 0;
    MEM_FREE(MEM_TABLES, table);
}

YIELDS err_t
table_open(const char *path, uint64_t file_number, struct block_cache *cache,
           struct table **table_out)
{
    struct table *table = MEM_NEW(MEM_TABLES, struct table);
    struct table_tail tail = {0};
    err_t err;

    ASSERT(strlen(path) < IO_PATH_BYTES_MAX);
    table->magic = TABLE_MAGIC_OBJECT;
    table->pins = 1;
    table->cache = cache;
    table->meta.file_number = file_number;
    memcpy(table->path, path, strlen(path) + 1);
    block_cache_pin(cache);
    guides_init(table);
    buf_init(&table->ranges_bytes, MEM_TABLES);
    buf_init(&table->properties_bytes, MEM_TABLES);
    TRY(io_open(path, IO_READ_ONLY, &table->file));
    TRY(table_read_tail(table, &tail));
    TRY(table_load_properties(table, &tail));
    TRY(table_load_ranges(table, &tail));
    for (uint32_t kind = 0; kind < GUIDE_KINDS; kind++) {
        TRY(guide_offer(table, kind, slice_of(tail.bytes, tail.size), tail.offset));
    }
    *table_out = table;
out:
    tail_free(&tail);
    if (err != ERR_OK) {
        table_free(table);
        return err_context(err, "table %s", path);
    }
    return ERR_OK;
}

/* ---- Pins. ---- */

void
table_pin(struct table *table)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    ASSERT(table->pins > 0);
    table->pins++;
}

/* Takes the blocks out of the cache, as nobody will ask for them, and removes the file. Without the
 * index at hand they leave the cache as other unused ones do. */
static YIELDS void
table_remove_fiber(void *arg)
{
    struct table *table = arg;

    for (uint32_t i = 0; i < table->index.block_count; i++) {
        block_cache_remove(table->cache, table->meta.file_number, table->index.offsets[i]);
        if (i % TABLE_REMOVE_BLOCKS == TABLE_REMOVE_BLOCKS - 1) {
            fiber_work(TABLE_REMOVE_BLOCKS);
        }
    }
    io_close(&table->file);
    if (io_unlink(table->path) != ERR_OK) {
        LOG_W("a table that is no longer needed stays until the next start: %s", table->path);
    }
    table_free(table);
}

void
table_unpin(struct table *table)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    ASSERT(table->pins > 0);
    if (--table->pins > 0) {
        return;
    }
    if (table->is_obsolete) {
        if (fiber_spawn("table_remove", FIBER_BACKGROUND, FIBER_STACK_SMALL, table_remove_fiber,
                        table) != NULL) {
            return;
        }
        LOG_W("too many fibers: %s stays until the next start", table->path);
    }
    table_free(table);
}

void
table_mark_obsolete(struct table *table)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    table->is_obsolete = true;
}

void
table_stamp(struct table *table, uint64_t ts)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    ASSERT(table->meta.ts_newest == 0);
    ASSERT(table->meta.range_deletes == 0);
    table->stamp = ts;
    table->meta.ts_oldest = ts;
    table->meta.ts_newest = ts;
}

void
table_place(struct table *table, struct lsm_metrics *metrics, uint32_t level)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    table->metrics = metrics;
    table->level = level;
}

const struct table_meta *
table_meta(const struct table *table)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    return &table->meta;
}

/* ---- Range deletes. ---- */

uint64_t
table_range_delete_ts(const struct table *table, struct slice key, uint64_t snapshot)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    return ranges_find(&table->ranges, key, snapshot);
}

uint32_t
table_range_delete_count(const struct table *table)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    return table->ranges.count;
}

struct lsm_range_delete
table_range_delete_at(const struct table *table, uint32_t index)
{
    OBJ_CHECK(table, TABLE_MAGIC_OBJECT);
    ASSERT(index < table->ranges.count);
    return table->ranges.ranges[index];
}
