/* lsm/table_writer.c - writing tables.
 *
 *     entries -> block builder -> frame -> piece (1 MiB) -> disk, while the next piece fills
 *
 * Index, filter hashes and range deletes gather in memory and follow the last block. */
#include "lsm/table.h"

#include <stdio.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "lsm/block.h"
#include "lsm/block_frame.h"
#include "lsm/filter.h"
#include "lsm/table_format.h"
#include "lsm/table_index.h"
#include "lsm/table_ranges.h"

#include "engine/base/poison.h"

enum {
    WRITER_PIECE_BYTES = 1 << 20,
    WRITER_PIECES = 3,         /* One fills while two are written. */
    WRITER_BYTES_A_UNIT = 128, /* Building, compressing, hashing, copying. */
    WRITER_PAD_SHIFT = 3,      /* Padding up to an eighth of a frame spares a page at each read. */
};
#define TABLE_WRITER_MAGIC UINT64_C(0x6f72626974747772)

struct writer_piece {
    struct io_op op;
    struct table_writer *writer;
    uint8_t *bytes; /* NULL until it is needed. */
    bool is_in_flight;
};

struct table_writer {
    uint64_t magic;
    struct table_writer_options options;
    char path[IO_PATH_BYTES_MAX];
    struct io_file *file;
    uint64_t salt;
    err_t failed; /* The first error, with its message; every later call gives it again. */
    char failed_message[ERR_MESSAGE_BYTES_MAX];

    struct writer_piece pieces[WRITER_PIECES];
    uint32_t piece;        /* The one that fills. */
    size_t piece_bytes;    /* In it. */
    uint64_t piece_offset; /* In the file. */
    struct fiber *waiter;  /* Waits for a piece. */

    struct block_builder block;
    struct frame_maker frames;
    struct index_builder index;
    struct ranges_builder ranges;
    struct buf hashes;          /* Of distinct keys, 8 bytes each. */
    struct buf block_first_key; /* The first of the open block and the last before it. */
    struct buf block_last_key;
    uint64_t block_last_ts;
    struct buf first_key; /* Of the table. */
    uint64_t last_ts;
    uint32_t block_count;
    struct table_meta meta; /* Without keys and expiry until the end. */
    struct expiry_tally expiry;
};

/* ---- Pieces. ---- */

static uint64_t
writer_position(const struct table_writer *writer)
{
    return writer->piece_offset + writer->piece_bytes;
}

static err_t
writer_fail(struct table_writer *writer, err_t err)
{
    if (writer->failed == ERR_OK) {
        writer->failed = err;
        snprintf(writer->failed_message, sizeof(writer->failed_message), "%s", err_message(err));
    }
    return err;
}

static err_t
writer_failure(const struct table_writer *writer)
{
    return err_set(writer->failed, "%s", writer->failed_message);
}

static void
piece_done(struct io_op *op)
{
    struct writer_piece *piece = CONTAINER_OF(op, struct writer_piece, op);

    piece->is_in_flight = false;
    if (piece->writer->waiter != NULL) {
        fiber_wake(piece->writer->waiter);
    }
}

/* Until the piece is free; its write may have failed. */
static YIELDS err_t
piece_wait(struct table_writer *writer, struct writer_piece *piece)
{
    err_t err;

    writer->waiter = fiber_self();
    while (piece->is_in_flight) {
        fiber_suspend();
    }
    writer->waiter = NULL;
    err = io_op_result(&piece->op, "writing");
    piece->op.result = 0;
    return err == ERR_OK ? ERR_OK : writer_fail(writer, err);
}

static YIELDS void
writer_wait_all(struct table_writer *writer)
{
    for (uint32_t i = 0; i < WRITER_PIECES; i++) {
        (void)piece_wait(writer, &writer->pieces[i]); /* writer->failed keeps the error. */
    }
}

/* Start writing what is in the current piece (a multiple of a block) and go on with the next. */
static YIELDS err_t
writer_flush_piece(struct table_writer *writer)
{
    struct writer_piece *piece = &writer->pieces[writer->piece];

    ASSERT(writer->piece_bytes % IO_BLOCK_BYTES == 0);
    piece->is_in_flight = true;
    piece->op = (struct io_op){.done = piece_done, .owner = writer};
    io_write_start(&piece->op, writer->file, writer->piece_offset, piece->bytes,
                   writer->piece_bytes, 0);
    writer->piece_offset += writer->piece_bytes;
    writer->piece_bytes = 0;
    writer->piece = (writer->piece + 1) % WRITER_PIECES;
    piece = &writer->pieces[writer->piece];
    if (piece->bytes == NULL) {
        piece->bytes = mem_alloc_aligned(MEM_BACKGROUND, WRITER_PIECE_BYTES);
    }
    return piece_wait(writer, piece);
}

/* Bytes, or zeros for a NULL. */
static YIELDS err_t
writer_put(struct table_writer *writer, const uint8_t *bytes, size_t size)
{
    err_t err = ERR_OK;

    while (size > 0) {
        size_t part = MIN(size, WRITER_PIECE_BYTES - writer->piece_bytes);
        uint8_t *at = writer->pieces[writer->piece].bytes + writer->piece_bytes;

        if (bytes == NULL) {
            memset(at, 0, part);
        } else {
            memcpy(at, bytes, part);
            bytes += part;
        }
        size -= part;
        writer->piece_bytes += part;
        if (writer->piece_bytes == WRITER_PIECE_BYTES) {
            TRY(writer_flush_piece(writer));
        }
    }
out:
    return err;
}

/* ---- Blocks. ---- */

/* Zeros to put before a frame so that it lies in as few pages as it can, when they are few. */
static size_t
frame_padding(uint64_t position, size_t frame_bytes)
{
    size_t in_page = position % IO_BLOCK_BYTES;
    size_t pages = (in_page + frame_bytes + IO_BLOCK_BYTES - 1) / IO_BLOCK_BYTES;
    size_t pages_min = (frame_bytes + IO_BLOCK_BYTES - 1) / IO_BLOCK_BYTES;
    size_t padding = in_page == 0 ? 0 : IO_BLOCK_BYTES - in_page;

    return pages > pages_min && padding <= frame_bytes >> WRITER_PAD_SHIFT ? padding : 0;
}

static YIELDS err_t
writer_put_frame(struct table_writer *writer, enum frame_kind kind, struct slice raw, bool compress,
                 uint64_t *offset_out, uint32_t *bytes_out)
{
    struct slice frame;
    size_t padding = 0;
    err_t err;

    TRY(frame_make(&writer->frames, kind, raw, compress, &frame));
    if (kind == FRAME_DATA) {
        padding = frame_padding(writer_position(writer), frame.size);
    }
    TRY(writer_put(writer, NULL, padding));
    *offset_out = writer_position(writer);
    *bytes_out = (uint32_t)frame.size;
    frame_seal(&writer->frames, frame_seed(writer->salt, writer->options.file_number, *offset_out));
    TRY(writer_put(writer, frame.data, frame.size));
    fiber_work((uint32_t)(raw.size / WRITER_BYTES_A_UNIT) + 1);
out:
    return err;
}

static YIELDS err_t
writer_finish_block(struct table_writer *writer)
{
    struct slice raw = block_builder_finish(&writer->block);
    uint64_t offset;
    uint32_t frame_bytes;
    err_t err;

    TRY(writer_put_frame(writer, FRAME_DATA, raw, writer->options.compress, &offset, &frame_bytes));
    TRY(index_builder_add(&writer->index, buf_slice(&writer->block_last_key), writer->block_last_ts,
                          buf_slice(&writer->block_first_key), offset, frame_bytes));
    buf_clear(&writer->block_last_key);
    buf_append(&writer->block_last_key, writer->block.last_key.data, writer->block.last_key.size);
    writer->block_last_ts = writer->last_ts;
    block_builder_reset(&writer->block);
    writer->block_count++;
out:
    return err;
}

/* ---- Entries. ---- */

static void
writer_count(struct table_writer *writer, const struct lsm_entry *entry, bool is_new_key)
{
    struct table_meta *meta = &writer->meta;

    if (is_new_key && writer->options.filter_bits_per_key > 0) {
        uint64_t hash = table_key_hash(entry->key);

        buf_append(&writer->hashes, &hash, sizeof(hash));
    }
    meta->one_version_per_key = meta->one_version_per_key && is_new_key;
    meta->entries++;
    meta->deletes += entry->kind == LSM_DELETE ? 1 : 0;
    meta->ts_oldest = MIN(meta->ts_oldest, entry->ts);
    meta->ts_newest = MAX(meta->ts_newest, entry->ts);
    meta->raw_bytes += entry->key.size + entry->value.size;
    expiry_tally_add(&writer->expiry, entry);
    writer->last_ts = entry->ts;
}

YIELDS err_t
table_writer_add(struct table_writer *writer, const struct lsm_entry *entry)
{
    bool is_new_key = true;
    err_t err;

    OBJ_CHECK(writer, TABLE_WRITER_MAGIC);
    if (writer->failed != ERR_OK) {
        return writer_failure(writer);
    }
    if (writer->meta.entries > 0) {
        int order = slice_compare(buf_slice(&writer->block.last_key), entry->key);

        ASSERT(order <= 0);
        ASSERT(order < 0 || entry->ts < writer->last_ts);
        is_new_key = order < 0;
    } else {
        buf_append(&writer->first_key, entry->key.data, entry->key.size);
    }
    if (writer->block.row_count > 0 &&
        block_builder_bytes_with(&writer->block, entry) + FRAME_HEADER_BYTES >
            writer->options.block_bytes) {
        TRY(writer_finish_block(writer));
    }
    if (writer->block.row_count == 0) {
        buf_clear(&writer->block_first_key);
        buf_append(&writer->block_first_key, entry->key.data, entry->key.size);
    }
    block_builder_add(&writer->block, entry);
    writer_count(writer, entry, is_new_key);
    return ERR_OK;
out:
    return writer_fail(writer, err);
}

err_t
table_writer_add_range_delete(struct table_writer *writer, const struct lsm_range_delete *range)
{
    err_t err;

    OBJ_CHECK(writer, TABLE_WRITER_MAGIC);
    if (writer->failed != ERR_OK) {
        return writer_failure(writer);
    }
    TRY(ranges_builder_add(&writer->ranges, range));
    writer->meta.ts_oldest = MIN(writer->meta.ts_oldest, range->ts);
    writer->meta.ts_newest = MAX(writer->meta.ts_newest, range->ts);
    writer->meta.raw_bytes += range->start.size + range->end.size;
    return ERR_OK;
out:
    return writer_fail(writer, err);
}

uint64_t
table_writer_bytes(const struct table_writer *writer)
{
    uint64_t bytes = writer_position(writer) + writer->index.bytes.size +
                     writer->hashes.size / sizeof(uint64_t) * 10 / 8 + writer->ranges.keys.size +
                     TABLE_FOOTER_BYTES;

    OBJ_CHECK(writer, TABLE_WRITER_MAGIC);
    if (writer->block.row_count > 0) {
        bytes += block_builder_bytes(&writer->block);
    }
    return align_up(bytes, IO_BLOCK_BYTES);
}

/* ---- Opening and closing. ---- */

YIELDS err_t
table_writer_open(const struct table_writer_options *options, struct table_writer **writer_out)
{
    struct table_writer *writer;
    err_t err;

    ASSERT(options->block_bytes > 0);
    ASSERT(options->block_bytes <= BLOCK_TARGET_BYTES_MAX);
    ASSERT(strlen(options->path) < IO_PATH_BYTES_MAX);
    writer = MEM_NEW(MEM_BACKGROUND, struct table_writer);
    writer->magic = TABLE_WRITER_MAGIC;
    writer->options = *options;
    memcpy(writer->path, options->path, strlen(options->path) + 1);
    writer->options.path = writer->path;
    TRY(io_open(writer->path, IO_CREATE | IO_EXCLUSIVE, &writer->file));
    io_random(&writer->salt, sizeof(writer->salt));
    for (uint32_t i = 0; i < WRITER_PIECES; i++) {
        writer->pieces[i].writer = writer;
    }
    writer->pieces[0].bytes = mem_alloc_aligned(MEM_BACKGROUND, WRITER_PIECE_BYTES);
    block_builder_init(&writer->block, MEM_BACKGROUND);
    frame_maker_init(&writer->frames, MEM_BACKGROUND);
    index_builder_init(&writer->index, MEM_BACKGROUND);
    ranges_builder_init(&writer->ranges, MEM_BACKGROUND);
    buf_init(&writer->hashes, MEM_BACKGROUND);
    buf_init(&writer->block_first_key, MEM_BACKGROUND);
    buf_init(&writer->block_last_key, MEM_BACKGROUND);
    buf_init(&writer->first_key, MEM_BACKGROUND);
    writer->meta.file_number = options->file_number;
    writer->meta.ts_oldest = UINT64_MAX;
    writer->meta.one_version_per_key = true;
    *writer_out = writer;
    return ERR_OK;
out:
    MEM_FREE(MEM_BACKGROUND, writer);
    return err;
}

static void
writer_free(struct table_writer *writer)
{
    for (uint32_t i = 0; i < WRITER_PIECES; i++) {
        ASSERT(!writer->pieces[i].is_in_flight);
        mem_free_aligned(MEM_BACKGROUND, writer->pieces[i].bytes, WRITER_PIECE_BYTES);
    }
    block_builder_fini(&writer->block);
    frame_maker_fini(&writer->frames);
    index_builder_fini(&writer->index);
    ranges_builder_fini(&writer->ranges);
    buf_fini(&writer->hashes);
    buf_fini(&writer->block_first_key);
    buf_fini(&writer->block_last_key);
    buf_fini(&writer->first_key);
    io_close(&writer->file);
    writer->magic = 0;
    MEM_FREE(MEM_BACKGROUND, writer);
}

YIELDS void
table_writer_abandon(struct table_writer **writer)
{
    struct table_writer *taken = *writer;

    *writer = NULL;
    if (taken == NULL) {
        return;
    }
    OBJ_CHECK(taken, TABLE_WRITER_MAGIC);
    writer_wait_all(taken);
    io_close(&taken->file);
    /* When this fails, the file is a stray one, which recovery removes. */
    (void)io_unlink(taken->path);
    writer_free(taken);
}

/* ---- The end. ---- */

static YIELDS err_t
writer_put_filter(struct table_writer *writer, uint64_t *offset_out, uint32_t *bytes_out)
{
    uint32_t count = (uint32_t)(writer->hashes.size / sizeof(uint64_t));
    struct buf filter;
    err_t err;

    buf_init(&filter, MEM_BACKGROUND);
    *offset_out = writer_position(writer);
    *bytes_out = 0;
    if (writer->options.filter_bits_per_key > 0) {
        err = filter_build((const uint64_t *)(const void *)writer->hashes.data, count, &filter);
        if (err == ERR_INVALID) { /* Equal hashes of different keys: do without. */
            err = ERR_OK;
            goto out;
        }
        TRY(err);
        TRY(writer_put_frame(writer, FRAME_FILTER, buf_slice(&filter), false, offset_out,
                             bytes_out));
    }
    err = ERR_OK;
out:
    buf_fini(&filter);
    return err;
}

/* Where the range deletes reach further than the entries, they decide the bounds. */
static void
writer_set_bounds(struct table_writer *writer, struct slice first_start, struct slice last_end)
{
    struct table_meta *meta = &writer->meta;

    meta->smallest = buf_slice(&writer->first_key);
    meta->largest = buf_slice(&writer->block.last_key);
    if (meta->entries == 0 && meta->range_deletes == 0) {
        meta->ts_oldest = 0;
        return;
    }
    if (meta->range_deletes == 0) {
        return;
    }
    if (meta->entries == 0 || slice_compare(first_start, meta->smallest) < 0) {
        meta->smallest = first_start;
    }
    if (meta->entries == 0 || slice_compare(last_end, meta->largest) > 0) {
        meta->largest = last_end;
        meta->largest_is_exclusive = true;
    }
}

static YIELDS err_t
writer_put_ranges(struct table_writer *writer, uint64_t *offset_out, uint32_t *bytes_out)
{
    struct slice first_start = {0};
    struct slice last_end = {0};
    uint32_t count = 0;
    struct buf raw;
    err_t err = ERR_OK;

    buf_init(&raw, MEM_BACKGROUND);
    *offset_out = writer_position(writer);
    *bytes_out = 0;
    if (writer->ranges.count > 0) {
        TRY(ranges_builder_finish(&writer->ranges, &raw, &count, &first_start, &last_end));
        TRY(writer_put_frame(writer, FRAME_RANGES, buf_slice(&raw), true, offset_out, bytes_out));
    }
    writer->meta.range_deletes = count;
    writer_set_bounds(writer, first_start, last_end);
out:
    buf_fini(&raw);
    return err;
}

static YIELDS err_t
writer_put_properties(struct table_writer *writer, uint64_t data_bytes, uint64_t *offset_out,
                      uint32_t *bytes_out)
{
    struct table_properties properties = {
        .meta = writer->meta,
        .data_bytes = data_bytes,
        .block_count = writer->block_count,
        .block_bytes = writer->options.block_bytes,
    };
    struct buf raw;
    err_t err;

    buf_init(&raw, MEM_BACKGROUND);
    properties_encode(&properties, &raw);
    TRY(writer_put_frame(writer, FRAME_PROPERTIES, buf_slice(&raw), true, offset_out, bytes_out));
out:
    buf_fini(&raw);
    return err;
}

static YIELDS err_t
writer_put_footer(struct table_writer *writer, struct table_footer *footer)
{
    uint64_t position = writer_position(writer);
    uint8_t bytes[TABLE_FOOTER_BYTES];
    err_t err;

    footer->file_number = writer->options.file_number;
    footer->salt = writer->salt;
    footer->file_bytes = align_up(position + TABLE_FOOTER_BYTES, IO_BLOCK_BYTES);
    footer_encode(footer, bytes);
    TRY(writer_put(writer, NULL, footer->file_bytes - TABLE_FOOTER_BYTES - position));
    TRY(writer_put(writer, bytes, sizeof(bytes)));
    writer->meta.file_bytes = footer->file_bytes;
out:
    return err;
}

static YIELDS err_t
writer_put_end(struct table_writer *writer)
{
    struct table_footer footer = {0};
    uint64_t offsets[SECTION_COUNT];
    uint32_t bytes[SECTION_COUNT];
    uint64_t data_bytes;
    err_t err;

    if (writer->block.row_count > 0) {
        TRY(writer_finish_block(writer));
    }
    data_bytes = writer_position(writer);
    writer->meta.expiry = expiry_tally_result(&writer->expiry);
    TRY(writer_put_frame(writer, FRAME_INDEX, index_builder_finish(&writer->index), true,
                         &offsets[SECTION_INDEX], &bytes[SECTION_INDEX]));
    TRY(writer_put_filter(writer, &offsets[SECTION_FILTER], &bytes[SECTION_FILTER]));
    TRY(writer_put_ranges(writer, &offsets[SECTION_RANGES], &bytes[SECTION_RANGES]));
    TRY(writer_put_properties(writer, data_bytes, &offsets[SECTION_PROPERTIES],
                              &bytes[SECTION_PROPERTIES]));
    for (uint32_t i = 0; i < SECTION_COUNT; i++) {
        footer.sections[i].offset = offsets[i];
        footer.sections[i].bytes = bytes[i];
    }
    TRY(writer_put_footer(writer, &footer));
    if (writer->piece_bytes > 0) {
        TRY(writer_flush_piece(writer));
    }
    writer_wait_all(writer);
    if (writer->failed != ERR_OK) {
        err = writer_failure(writer);
        goto out;
    }
    TRY(io_sync(writer->file));
out:
    return err;
}

static struct slice
meta_key_copy(struct slice key)
{
    uint8_t *copy = mem_alloc(MEM_TABLES, key.size);

    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    return slice_of(copy, key.size);
}

YIELDS err_t
table_writer_finish(struct table_writer **writer, struct table_meta *meta_out)
{
    struct table_writer *taken = *writer;
    err_t err;

    OBJ_CHECK(taken, TABLE_WRITER_MAGIC);
    *writer = NULL;
    err = taken->failed != ERR_OK ? writer_failure(taken) : writer_put_end(taken);
    if (err != ERR_OK) {
        char message[ERR_MESSAGE_BYTES_MAX];

        writer_fail(taken, err);
        memcpy(message, taken->failed_message, sizeof(message));
        table_writer_abandon(&taken);
        return err_set(err, "%s", message);
    }
    taken->meta.smallest = meta_key_copy(taken->meta.smallest);
    taken->meta.largest = meta_key_copy(taken->meta.largest);
    *meta_out = taken->meta;
    writer_free(taken);
    return ERR_OK;
}

void
table_meta_fini(struct table_meta *meta)
{
    mem_free(MEM_TABLES, (void *)(uintptr_t)meta->smallest.data, meta->smallest.size);
    mem_free(MEM_TABLES, (void *)(uintptr_t)meta->largest.data, meta->largest.size);
    meta->smallest = (struct slice){0};
    meta->largest = (struct slice){0};
}

uint64_t
table_key_hash(struct slice key)
{
    return XXH3_64bits(key.data, key.size);
}
