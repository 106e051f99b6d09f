/* tests/unit/lsm/test_block.c - blocks and frames, without I/O. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "lsm/block.h"
#include "lsm/block_frame.h"
#include "lsm/block_key.h"

TestSuite(lsm_block, .timeout = 60);

enum { ROWS_MAX = 400, KEY_ROOM = 40, VALUE_ROOM = 60 };

/* The oracle: entries in an array. */
struct row_set {
    struct lsm_entry entries[ROWS_MAX];
    uint8_t keys[ROWS_MAX][KEY_ROOM];
    uint8_t values[ROWS_MAX][VALUE_ROOM];
    uint32_t count;
};

static struct row_set rows;
static struct block_builder builder;

static int
entry_compare(const void *a, const void *b)
{
    const struct lsm_entry *x = a;
    const struct lsm_entry *y = b;

    return version_compare(x->key, x->ts, y->key, y->ts);
}

/* `count` entries over a small alphabet, so that keys share beginnings, are beginnings of one
 * another, and have several versions. */
static void
rows_draw(struct prng *prng, uint32_t count)
{
    static struct lsm_entry drawn[ROWS_MAX];
    size_t prefix = prng_below(prng, 12);

    for (uint32_t i = 0; i < count; i++) {
        size_t size = prefix + prng_below(prng, 20);
        size_t value = prng_below(prng, VALUE_ROOM);

        for (size_t j = 0; j < size; j++) {
            rows.keys[i][j] = j < prefix ? 'p' : (uint8_t)(prng_below(prng, 2) * 255);
        }
        for (size_t j = 0; j < value; j++) {
            rows.values[i][j] = (uint8_t)prng_next(prng);
        }
        drawn[i] = (struct lsm_entry){
            .key = slice_of(rows.keys[i], size),
            .value = slice_of(rows.values[i], value),
            .ts = prng_below(prng, 4) == 0 ? prng_next(prng) : 1000 + prng_below(prng, 50),
            .expire_us = prng_below(prng, 3) == 0 ? prng_next(prng) | 1 : 0,
            .slot = (uint16_t)prng_below(prng, 3),
            .kind = (uint8_t)prng_below(prng, 3),
        };
    }
    qsort(drawn, count, sizeof(drawn[0]), entry_compare);
    rows.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || entry_compare(&drawn[i - 1], &drawn[i]) != 0) {
            rows.entries[rows.count++] = drawn[i];
        }
    }
}

/* Most rows of real tables: one slot, no expiry, a put; a few have long values. */
static void
rows_make_usual(struct prng *prng)
{
    static uint8_t long_value[40000];

    for (uint32_t i = 0; i < rows.count; i++) {
        struct lsm_entry *entry = &rows.entries[i];

        if (prng_below(prng, 20) != 0) {
            entry->slot = 5;
            entry->expire_us = 0;
            entry->kind = LSM_PUT;
        }
        if (prng_below(prng, 40) == 0) {
            entry->value = slice_of(long_value, 100 + prng_below(prng, 20000));
        }
    }
}

static struct block
rows_build(void)
{
    struct block block;

    block_builder_reset(&builder);
    for (uint32_t i = 0; i < rows.count; i++) {
        block_builder_add(&builder, &rows.entries[i]);
    }
    cr_assert_eq(block_open(block_builder_finish(&builder), &block), ERR_OK);
    cr_assert_eq(block.row_count, rows.count);
    return block;
}

static void
assert_same(const struct lsm_entry *a, const struct lsm_entry *b)
{
    cr_assert(slice_equal(a->key, b->key));
    cr_assert(slice_equal(a->value, b->value));
    cr_assert_eq(a->ts, b->ts);
    cr_assert_eq(a->expire_us, b->expire_us);
    cr_assert_eq(a->slot, b->slot);
    cr_assert_eq(a->kind, b->kind);
    cr_assert_eq(a->lsn, 0);
}

/* The cursor stands at rows.entries[index], or nowhere for an index out of range. */
static void
assert_at(const struct block_cursor *cursor, int64_t index)
{
    if (index < 0 || index >= rows.count) {
        cr_assert(!block_cursor_is_valid(cursor));
        return;
    }
    cr_assert(block_cursor_is_valid(cursor));
    assert_same(&cursor->entry, &rows.entries[index]);
}

static void
setup(void)
{
    block_builder_init(&builder, MEM_BACKGROUND);
}

static void
teardown(void)
{
    block_builder_fini(&builder);
}

Test(lsm_block, walks_give_back_what_went_in, .init = setup, .fini = teardown)
{
    struct block_cursor cursor;
    struct prng prng;

    prng_init(&prng, 1);
    block_cursor_init(&cursor, MEM_BACKGROUND);
    for (uint32_t round = 0; round < 200; round++) {
        struct block block;

        rows_draw(&prng, 1 + (uint32_t)prng_below(&prng, ROWS_MAX));
        block = rows_build();
        block_cursor_set(&cursor, &block);
        cr_assert(!block_cursor_is_valid(&cursor));
        cr_assert_eq(block_cursor_first(&cursor), ERR_OK);
        for (uint32_t i = 0; i < rows.count; i++) {
            assert_at(&cursor, i);
            cr_assert_eq(block_cursor_next(&cursor), ERR_OK);
        }
        assert_at(&cursor, -1);
        cr_assert_eq(block_cursor_last(&cursor), ERR_OK);
        for (uint32_t i = rows.count; i > 0; i--) {
            assert_at(&cursor, i - 1);
            cr_assert_eq(block_cursor_previous(&cursor), ERR_OK);
        }
        assert_at(&cursor, -1);
    }
    block_cursor_fini(&cursor);
}

/* A key near those that are there: one of them, or one cut, or one with another byte. */
static struct slice
probe_draw(struct prng *prng, uint8_t room[KEY_ROOM])
{
    struct slice key = rows.entries[prng_below(prng, rows.count)].key;
    size_t size = key.size;

    if (size > 0) {
        memcpy(room, key.data, size);
    }
    switch (prng_below(prng, 4)) {
    case 0:
        size = prng_below(prng, size + 1);
        break;
    case 1:
        room[size++] = (uint8_t)prng_next(prng);
        break;
    case 2:
        if (size > 0) {
            room[prng_below(prng, size)] = (uint8_t)prng_next(prng);
        }
        break;
    default:
        break;
    }
    return slice_of(room, size);
}

static int64_t
oracle_seek(struct slice key, uint64_t ts)
{
    int64_t i = 0;

    while (i < rows.count &&
           version_compare(rows.entries[i].key, rows.entries[i].ts, key, ts) < 0) {
        i++;
    }
    return i;
}

Test(lsm_block, searches_find_what_a_walk_over_an_array_finds, .init = setup, .fini = teardown)
{
    struct block_cursor cursor;
    struct prng prng;

    prng_init(&prng, 2);
    block_cursor_init(&cursor, MEM_BACKGROUND);
    for (uint32_t round = 0; round < 20000; round++) {
        static struct block block;
        uint8_t room[KEY_ROOM];
        struct slice key;
        struct lsm_entry entry;
        uint64_t ts;
        int64_t index;
        bool found = false;

        if (round % 100 == 0) {
            rows_draw(&prng, 1 + (uint32_t)prng_below(&prng, ROWS_MAX));
            block = rows_build();
            block_cursor_set(&cursor, &block);
        }
        key = probe_draw(&prng, room);
        ts = prng_below(&prng, 3) == 0 ? rows.entries[prng_below(&prng, rows.count)].ts
                                       : prng_next(&prng) >> prng_below(&prng, 64);
        index = oracle_seek(key, ts);
        cr_assert_eq(block_cursor_seek(&cursor, key, ts), ERR_OK);
        assert_at(&cursor, index);
        cr_assert_eq(block_get(&block, key, ts, &entry, &found), ERR_OK);
        cr_assert_eq(found, index < rows.count && slice_equal(rows.entries[index].key, key));
        if (found) {
            assert_same(&entry, &rows.entries[index]);
        }
        index = oracle_seek(key, LSM_TS_MAX) - 1;
        cr_assert_eq(block_cursor_seek_before(&cursor, key), ERR_OK);
        assert_at(&cursor, index);
        if (block_cursor_is_valid(&cursor)) {
            cr_assert_eq(block_cursor_previous(&cursor), ERR_OK);
            assert_at(&cursor, index - 1);
        }
    }
    block_cursor_fini(&cursor);
}

/* All columns, some of which are left out in some rounds, in runs of any length from any row. */
Test(lsm_block, rows_as_columns_are_those_of_a_walk, .init = setup, .fini = teardown)
{
    static uint8_t key_bytes[BLOCK_ROWS_KEY_BYTES_MIN];
    static struct slice keys[ROWS_MAX], values[ROWS_MAX];
    static uint64_t ts[ROWS_MAX], expire_us[ROWS_MAX];
    static uint16_t slots[ROWS_MAX];
    static uint8_t kinds[ROWS_MAX];
    struct block_cursor cursor;
    struct prng prng;

    prng_init(&prng, 9);
    block_cursor_init(&cursor, MEM_BACKGROUND);
    for (uint32_t round = 0; round < 600; round++) {
        bool wants_all = round % 3 != 0;
        struct block_rows out = {.capacity = 1 + (uint32_t)prng_below(&prng, ROWS_MAX),
                                 .keys = keys,
                                 .values = values,
                                 .ts = ts,
                                 .expire_us = wants_all ? expire_us : NULL,
                                 .slots = wants_all ? slots : NULL,
                                 .kinds = wants_all ? kinds : NULL,
                                 .key_bytes = key_bytes,
                                 .key_bytes_size = sizeof(key_bytes)};
        struct block block;
        uint32_t i;

        rows_draw(&prng, 1 + (uint32_t)prng_below(&prng, ROWS_MAX));
        if (round % 2 == 0) {
            rows_make_usual(&prng);
        }
        block = rows_build();
        block_cursor_set(&cursor, &block);
        i = (uint32_t)prng_below(&prng, rows.count);
        cr_assert_eq(block_cursor_seek(&cursor, rows.entries[i].key, rows.entries[i].ts), ERR_OK);
        while (block_cursor_is_valid(&cursor)) {
            bool has_expiry = false;
            bool has_special_kind = false;

            cr_assert_eq(block_rows_decode(&cursor, &out), ERR_OK);
            cr_assert_eq(out.count, MIN(out.capacity, rows.count - i));
            for (uint32_t j = 0; j < out.count; j++, i++) {
                const struct lsm_entry *entry = &rows.entries[i];

                cr_assert(slice_equal(keys[j], entry->key));
                cr_assert(slice_equal(values[j], entry->value));
                cr_assert_eq(ts[j], entry->ts);
                cr_assert(!wants_all || (expire_us[j] == entry->expire_us &&
                                         slots[j] == entry->slot && kinds[j] == entry->kind));
                has_expiry |= entry->expire_us != 0;
                has_special_kind |= entry->kind != LSM_PUT;
            }
            cr_assert_eq(out.has_expiry, has_expiry);
            cr_assert_eq(out.has_special_kind, has_special_kind);
            assert_at(&cursor, (int64_t)i - 1);
            cr_assert_eq(block_cursor_next(&cursor), ERR_OK);
        }
        cr_assert_eq(i, rows.count);
    }
    block_cursor_fini(&cursor);
}

Test(lsm_block, rows_as_columns_end_where_the_room_for_keys_does, .init = setup, .fini = teardown)
{
    static uint8_t keys[4][LSM_KEY_BYTES_MAX];
    static uint8_t key_bytes[BLOCK_ROWS_KEY_BYTES_MIN];
    static struct slice out_keys[4], out_values[4];
    static uint64_t ts[4];
    struct block_rows out = {.capacity = 4,
                             .keys = out_keys,
                             .values = out_values,
                             .ts = ts,
                             .key_bytes = key_bytes,
                             .key_bytes_size = sizeof(key_bytes)};
    struct block_cursor cursor;
    struct block block;

    for (uint32_t i = 0; i < 4; i++) {
        memset(keys[i], 'k', LSM_KEY_BYTES_MAX);
        keys[i][0] = (uint8_t)('1' + i);
        block_builder_add(
            &builder, &(struct lsm_entry){.key = slice_of(keys[i], i == 0 ? 9 : LSM_KEY_BYTES_MAX),
                                          .ts = 7 + i,
                                          .kind = LSM_PUT});
    }
    cr_assert_eq(block_open(block_builder_finish(&builder), &block), ERR_OK);
    block_cursor_init(&cursor, MEM_BACKGROUND);
    block_cursor_set(&cursor, &block);
    cr_assert_eq(block_cursor_first(&cursor), ERR_OK);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(block_rows_decode(&cursor, &out), ERR_OK);
        cr_assert_eq(out.count, 1);
        cr_assert_eq(ts[0], 7 + i);
        cr_assert_eq(out_keys[0].data[0], '1' + i);
        cr_assert_eq(block_cursor_next(&cursor), ERR_OK);
    }
    cr_assert(!block_cursor_is_valid(&cursor));
    block_cursor_fini(&cursor);
}

/* Goal: the column is as wide as it must be, whatever the timestamps have in common. */
Test(lsm_block, timestamps_of_any_spread_come_back, .init = setup, .fini = teardown)
{
    struct block_cursor cursor;
    struct prng prng;

    prng_init(&prng, 10);
    block_cursor_init(&cursor, MEM_BACKGROUND);
    for (uint32_t spread = 0; spread <= 64; spread++) {
        for (uint32_t shift = 0; shift < 64; shift += 7) {
            uint64_t base = prng_next(&prng) >> prng_below(&prng, 40);
            struct block block;

            rows_draw(&prng, 40);
            for (uint32_t i = 0; i < rows.count; i++) {
                uint64_t more = spread == 0 ? 0 : prng_next(&prng) >> (64 - spread) << shift;

                rows.entries[i].ts = base + more;
                /* Keys in order and distinct, so that any timestamps are. */
                put_be32(rows.keys[i], i);
                rows.entries[i].key = slice_of(rows.keys[i], 4);
            }
            block = rows_build();
            block_cursor_set(&cursor, &block);
            cr_assert_eq(block_cursor_first(&cursor), ERR_OK);
            for (uint32_t i = 0; i < rows.count; i++) {
                assert_at(&cursor, i);
                cr_assert_eq(block_cursor_next(&cursor), ERR_OK);
            }
            cr_assert(spread + shift > 8 || block.ts_bytes <= 1);
        }
    }
    block_cursor_fini(&cursor);
}

Test(lsm_block, the_newest_possible_timestamp_is_a_version_like_others, .init = setup,
     .fini = teardown)
{
    struct block_cursor cursor;
    struct block block;

    rows.count = 0;
    for (uint32_t i = 0; i < 40; i++) {
        rows.keys[i][0] = (uint8_t)('a' + i / 2);
        rows.entries[rows.count++] = (struct lsm_entry){
            .key = slice_of(rows.keys[i], 1),
            .ts = i % 2 == 0 ? LSM_TS_MAX : 0,
            .kind = LSM_PUT,
        };
    }
    block = rows_build();
    block_cursor_init(&cursor, MEM_BACKGROUND);
    block_cursor_set(&cursor, &block);
    for (uint32_t i = 0; i < 40; i++) {
        cr_assert_eq(block_cursor_seek_before(&cursor, rows.entries[i].key), ERR_OK);
        assert_at(&cursor, (int64_t)(i / 2 * 2) - 1);
        cr_assert_eq(block_cursor_seek(&cursor, rows.entries[i].key, rows.entries[i].ts), ERR_OK);
        assert_at(&cursor, i);
    }
    block_cursor_fini(&cursor);
}

Test(lsm_block, keys_of_64_kib_fit, .init = setup, .fini = teardown)
{
    static uint8_t keys[3][LSM_KEY_BYTES_MAX];
    struct lsm_entry entry;
    struct block block;
    bool found = false;

    for (uint32_t i = 0; i < 3; i++) {
        memset(keys[i], 'k', LSM_KEY_BYTES_MAX);
        keys[i][LSM_KEY_BYTES_MAX - 1] = (uint8_t)('1' + i);
        block_builder_add(&builder, &(struct lsm_entry){.key = slice_of(keys[i], sizeof(keys[i])),
                                                        .value = SLICE("v"),
                                                        .ts = 7,
                                                        .slot = (uint16_t)i,
                                                        .kind = LSM_PUT});
    }
    cr_assert_eq(block_open(block_builder_finish(&builder), &block), ERR_OK);
    cr_assert_eq(block.prefix_bytes, LSM_KEY_BYTES_MAX - 1);
    for (uint16_t i = 0; i < 3; i++) {
        cr_assert_eq(block_get(&block, slice_of(keys[i], sizeof(keys[i])), 7, &entry, &found),
                     ERR_OK);
        cr_assert(found);
        cr_assert_eq(entry.slot, i);
    }
    cr_assert_eq(block_get(&block, slice_of(keys[0], LSM_KEY_BYTES_MAX - 1), 7, &entry, &found),
                 ERR_OK);
    cr_assert(!found);
}

static void
use_rows(struct block_cursor *cursor)
{
    static uint8_t key_bytes[BLOCK_ROWS_KEY_BYTES_MIN];
    static struct slice keys[16], values[16];
    static uint64_t ts[16];
    struct block_rows out = {.capacity = 16,
                             .keys = keys,
                             .values = values,
                             .ts = ts,
                             .key_bytes = key_bytes,
                             .key_bytes_size = sizeof(key_bytes)};

    while (block_cursor_is_valid(cursor) && block_rows_decode(cursor, &out) == ERR_OK) {
        for (uint32_t i = 0; i < out.count; i++) {
            (void)XXH3_64bits(values[i].data, values[i].size); /* Reads them. */
        }
        if (block_cursor_next(cursor) != ERR_OK) {
            break;
        }
    }
}

/* All that a program does with a block, on bytes which may be anything. */
static void
use_block(struct slice bytes)
{
    struct block_cursor cursor;
    struct lsm_entry entry;
    struct block block;
    bool found;

    if (block_open(bytes, &block) != ERR_OK) {
        return;
    }
    block_cursor_init(&cursor, MEM_BACKGROUND);
    block_cursor_set(&cursor, &block);
    for (err_t err = block_cursor_first(&cursor); err == ERR_OK && block_cursor_is_valid(&cursor);
         err = block_cursor_next(&cursor)) {}
    for (err_t err = block_cursor_last(&cursor); err == ERR_OK && block_cursor_is_valid(&cursor);
         err = block_cursor_previous(&cursor)) {}
    if (block_cursor_first(&cursor) == ERR_OK) {
        use_rows(&cursor);
    }
    for (uint32_t i = 0; i < rows.count; i += 7) {
        (void)block_get(&block, rows.entries[i].key, rows.entries[i].ts, &entry, &found);
        (void)block_cursor_seek(&cursor, rows.entries[i].key, rows.entries[i].ts);
        (void)block_cursor_seek_before(&cursor, rows.entries[i].key);
    }
    block_cursor_fini(&cursor);
}

/* Goal: a block is also safe to use when no checksum stood before it. */
Test(lsm_block, damaged_blocks_are_refused_or_read_within_their_bounds, .init = setup,
     .fini = teardown)
{
    struct prng prng;
    struct block block;
    size_t size;
    uint8_t *copy;

    prng_init(&prng, 3);
    rows_draw(&prng, 60);
    block = rows_build();
    size = block.bytes;
    for (uint32_t round = 0; round < 30000; round++) {
        size_t cut = round % 10 == 0 ? prng_below(&prng, size) : size;
        uint32_t flips = 1 + (uint32_t)prng_below(&prng, 4);

        copy = malloc(cut + 1); /* Of the exact size, so that the sanitizer sees every overrun. */
        memcpy(copy + 1, block.data, cut);
        for (uint32_t i = 0; i < flips && cut > 0; i++) {
            copy[1 + prng_below(&prng, cut)] ^= (uint8_t)(1 + prng_below(&prng, 255));
        }
        use_block(slice_of(copy + 1, cut));
        free(copy);
    }
}

Test(lsm_block, frames_give_back_their_contents_and_compress_when_it_pays)
{
    static const bool modes[] = {false, true};
    struct frame_maker maker;
    struct prng prng;
    uint8_t raw[4000];
    uint8_t out[4000];

    prng_init(&prng, 4);
    frame_maker_init(&maker, MEM_BACKGROUND);
    for (uint32_t round = 0; round < 200; round++) {
        size_t size = prng_below(&prng, sizeof(raw));
        bool is_random = round % 2 == 0;
        bool compress = modes[round / 2 % 2];
        struct slice bytes;
        struct frame frame;

        for (size_t i = 0; i < size; i++) {
            raw[i] = is_random ? (uint8_t)prng_next(&prng) : (uint8_t)(i / 100);
        }
        cr_assert_eq(frame_make(&maker, FRAME_DATA, slice_of(raw, size), compress, &bytes), ERR_OK);
        frame_seal(&maker, frame_seed(1, 2, 3));
        cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(1, 2, 3), 4000, &frame), ERR_OK);
        cr_assert_eq(frame.raw_bytes, size);
        cr_assert_eq(frame.is_compressed, compress && !is_random && size >= 64);
        if (frame.is_compressed) {
            cr_assert_leq(frame.stored.size, size - size / 8);
        }
        cr_assert_eq(frame_unpack(&frame, out), ERR_OK);
        cr_assert_eq(memcmp(raw, out, size), 0);
    }
    frame_maker_fini(&maker);
}

Test(lsm_block, a_frame_passes_at_its_own_place_and_kind_only)
{
    struct frame_maker maker;
    struct slice bytes;
    struct frame frame;

    frame_maker_init(&maker, MEM_BACKGROUND);
    cr_assert_eq(frame_make(&maker, FRAME_DATA, SLICE("contents"), true, &bytes), ERR_OK);
    frame_seal(&maker, frame_seed(11, 5, 8192));
    cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(11, 5, 8192), 100, &frame), ERR_OK);
    cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(12, 5, 8192), 100, &frame), ERR_CORRUPT);
    cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(11, 6, 8192), 100, &frame), ERR_CORRUPT);
    cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(11, 5, 4096), 100, &frame), ERR_CORRUPT);
    cr_assert_eq(frame_open(bytes, FRAME_INDEX, frame_seed(11, 5, 8192), 100, &frame), ERR_CORRUPT);
    cr_assert_eq(frame_open(bytes, FRAME_DATA, frame_seed(11, 5, 8192), 7, &frame), ERR_CORRUPT);
    frame_maker_fini(&maker);
}
