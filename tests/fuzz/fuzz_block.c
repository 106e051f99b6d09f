/* tests/fuzz/fuzz_block.c - everything that a table or a value log has on disk, behind its
 * checksums.
 *
 * The first byte chooses: 0 the contents of a block; 1 a frame as it is; 2 a frame whose checksum
 * is made to fit; 3 an index; 4 range deletes; 5 properties; 6 a footer; 7 a filter; 8 a pointer
 * to a large value and the header of a value log. What a decoder accepts is then used, with keys
 * from the input. The decoders that suspend run in a fiber of a simulated shard. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/io/sim.h"
#include "lsm/block.h"
#include "lsm/block_frame.h"
#include "lsm/filter.h"
#include "lsm/table_format.h"
#include "lsm/table_index.h"
#include "lsm/table_ranges.h"
#include "lsm/vlog_internal.h"

enum { INPUT_BYTES_MAX = 1 << 16, RAW_BYTES_MAX = 1 << 20, KEY_BYTES = 12, MODES = 9 };
enum { COLUMN_ROWS = 16 };

/* Some key of the input, so that searches meet what is there. */
static struct slice
key_of(struct slice input, size_t at)
{
    size_t start = input.size == 0 ? 0 : at % input.size;

    return slice_of(input.data + start, MIN(input.size - start, (size_t)(at % KEY_BYTES)));
}

static void
walk_block(struct block_cursor *cursor)
{
    uint32_t steps = 0;
    err_t err;

    for (err = block_cursor_first(cursor); err == ERR_OK && block_cursor_is_valid(cursor);
         err = block_cursor_next(cursor)) {
        ASSERT(++steps <= INPUT_BYTES_MAX);
    }
    for (err = block_cursor_last(cursor), steps = 0;
         err == ERR_OK && block_cursor_is_valid(cursor) && steps < 100;
         err = block_cursor_previous(cursor)) {
        steps++;
    }
}

/* The same rows as columns: as many as a walk by steps finds, or an error. */
static void
walk_rows(struct block_cursor *cursor)
{
    static uint8_t key_bytes[BLOCK_ROWS_KEY_BYTES_MIN];
    static struct slice keys[COLUMN_ROWS], values[COLUMN_ROWS];
    static uint64_t ts[COLUMN_ROWS];
    struct block_rows rows = {.capacity = COLUMN_ROWS,
                              .keys = keys,
                              .values = values,
                              .ts = ts,
                              .key_bytes = key_bytes,
                              .key_bytes_size = sizeof(key_bytes)};
    uint32_t count = 0;
    err_t err = block_cursor_first(cursor);

    while (err == ERR_OK && block_cursor_is_valid(cursor)) {
        err = block_rows_decode(cursor, &rows);
        if (err == ERR_OK) {
            ASSERT(rows.count > 0);
            ASSERT(slice_equal(cursor->entry.key, keys[rows.count - 1]));
            count += rows.count;
            err = block_cursor_next(cursor);
        }
    }
    ASSERT(err != ERR_OK || count == cursor->block->row_count);
}

static void
try_block(struct slice input)
{
    struct block_cursor cursor;
    struct lsm_entry entry;
    struct block block;
    bool found;

    if (block_open(input, &block) != ERR_OK) {
        return;
    }
    block_cursor_init(&cursor, MEM_BACKGROUND);
    block_cursor_set(&cursor, &block);
    walk_block(&cursor);
    walk_rows(&cursor);
    for (size_t i = 0; i < input.size; i += 37) {
        struct slice key = key_of(input, i * 7);

        (void)block_get(&block, key, i, &entry, &found);
        (void)block_cursor_seek(&cursor, key, i);
        (void)block_cursor_seek_before(&cursor, key);
    }
    block_cursor_fini(&cursor);
}

static void
try_frame(struct slice input)
{
    struct frame frame;
    uint8_t *raw;

    if (frame_open(input, FRAME_DATA, frame_seed(1, 2, 3), RAW_BYTES_MAX, &frame) != ERR_OK) {
        return;
    }
    raw = malloc(frame.raw_bytes + 1);
    ASSERT(raw != NULL);
    if (frame_unpack(&frame, raw) == ERR_OK) {
        try_block(slice_of(raw, frame.raw_bytes));
    }
    free(raw);
}

/* The input is a compressed block; header and checksum are added. */
static void
try_sealed_frame(struct slice input)
{
    size_t size = FRAME_HEADER_BYTES + input.size;
    struct frame_maker maker;
    struct slice frame;

    frame_maker_init(&maker, MEM_BACKGROUND);
    if (frame_make(&maker, FRAME_DATA, input, false, &frame) == ERR_OK) {
        put_le32(maker.frame.data + 12, RAW_BYTES_MAX);
        if (input.size > 4) {
            put_le32(maker.frame.data + 12, get_le32(input.data) % RAW_BYTES_MAX);
        }
        maker.frame.data[17] = FRAME_LZ4;
        frame_seal(&maker, frame_seed(1, 2, 3));
        try_frame(slice_of(maker.frame.data, size));
    }
    frame_maker_fini(&maker);
}

static void
try_index(struct slice input)
{
    struct table_index index;

    if (index_decode(input, UINT64_C(1) << 40, &index) == ERR_OK && index.block_count > 0) {
        for (size_t i = 0; i < input.size; i += 17) {
            struct slice key = key_of(input, i * 7);
            uint32_t block = index_find(&index, key, i);

            ASSERT(block < index.block_count);
            ASSERT(block == 0 || index_compare(&index, block, key, i) <= 0);
            ASSERT(block + 1 == index.block_count || index_compare(&index, block + 1, key, i) > 0);
        }
    }
    index_fini(&index);
}

static void
try_ranges(struct slice input)
{
    struct table_ranges ranges;

    if (ranges_decode(input, &ranges) == ERR_OK) {
        for (size_t i = 0; i < input.size; i += 17) {
            struct slice key = key_of(input, i * 7);
            uint64_t best = 0;

            for (uint32_t j = 0; j < ranges.count; j++) {
                const struct lsm_range_delete *range = &ranges.ranges[j];
                bool covers = range->ts <= i && slice_compare(range->start, key) <= 0 &&
                              slice_compare(key, range->end) < 0;

                best = covers ? MAX(best, range->ts) : best;
            }
            ASSERT(ranges_find(&ranges, key, i) == best);
        }
    }
    ranges_fini(&ranges);
}

static void
try_properties(struct slice input)
{
    struct table_properties properties;
    struct buf again;

    if (properties_decode(input, &properties) == ERR_OK) {
        buf_init(&again, MEM_BACKGROUND);
        properties_encode(&properties, &again);
        ASSERT(slice_equal(buf_slice(&again), input));
        buf_fini(&again);
    }
}

static void
try_footer(struct slice input)
{
    struct table_footer footer;

    if (input.size == TABLE_FOOTER_BYTES) {
        (void)footer_decode(input.data, 2, 8192, &footer);
    }
}

static void
try_filter(struct slice input)
{
    struct filter filter;

    if (filter_open(input, &filter) == ERR_OK) {
        for (uint64_t i = 0; i < 1000; i++) {
            (void)filter_may_contain(&filter, filter_mix(i));
        }
    }
}

static void
try_vlog(struct slice input)
{
    struct vlog_pointer pointer;

    (void)vlog_pointer_decode(input, &pointer);
    if (input.size == VLOG_HEADER_BYTES) {
        (void)vlog_file_header_check(input.data, 2);
    }
}

static err_t
try_input(void *arg)
{
    static void (*const tries[MODES])(struct slice) = {
        try_block,      try_frame,  try_sealed_frame, try_index, try_ranges,
        try_properties, try_footer, try_filter,       try_vlog,
    };
    const struct slice *input = arg;

    tries[input->data[0] % MODES](slice_of(input->data + 1, input->size - 1));
    return ERR_OK;
}

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct sim_world *world;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sim_options options;

    (void)argc;
    (void)argv;
    sim_options_init(&options);
    world = sim_world_new(1, &options);
    sim_world_boot(world, 1);
    return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_of(data, size);

    if (size == 0 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    (void)sim_world_call(world, 0, try_input, &input);
    return 0;
}
