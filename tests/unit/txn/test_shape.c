/* tests/unit/txn/test_shape.c - the file STORE and the note of a flush, as bytes. */
#include <criterion/criterion.h>
#include <xxhash.h>

#include "txn/internal.h"
#include "txn/shape.h"

static uint8_t block[SHAPE_BYTES];

static void
sample(void)
{
    struct shape shape = {.shard = 3, .shards = 8, .log_id = 0x1234567890abcdef};

    shape_encode(block, &shape);
}

static err_t
decode(void)
{
    struct shape shape;

    return shape_decode(slice_of(block, sizeof(block)), "shard-3/STORE", &shape);
}

Test(shape, comes_back_as_it_was)
{
    struct shape shape;

    sample();
    cr_assert_eq(shape_decode(slice_of(block, sizeof(block)), "STORE", &shape), ERR_OK);
    cr_assert_eq(shape.shard, 3);
    cr_assert_eq(shape.shards, 8);
    cr_assert_eq(shape.log_id, 0x1234567890abcdef);
}

Test(shape, every_changed_byte_is_found)
{
    sample();
    for (size_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x10;
        cr_assert_eq(decode(), ERR_CORRUPT, "byte %zu", i);
        block[i] ^= 0x10;
    }
    cr_assert_eq(decode(), ERR_OK);
}

Test(shape, another_version_is_named)
{
    sample();
    put_le32(block + 16, 9);
    put_le64(block + 8, XXH3_64bits(block + 16, sizeof(block) - 16));
    cr_assert_eq(decode(), ERR_FORMAT);
    cr_assert(strstr(err_message(ERR_FORMAT), "version 9") != NULL);
    cr_assert(strstr(err_message(ERR_FORMAT), "shard-3/STORE") != NULL);
}

/* ---- Notes. ---- */

static int64_t counters[STORE_COUNTERS_MAX];
static int64_t decoded[STORE_COUNTERS_MAX];
static uint8_t note[STORE_NOTE_BYTES_MAX];

Test(note, counters_come_back_and_zeros_take_no_room)
{
    size_t bytes;

    counters[0] = -1;
    counters[STORE_COUNTERS_MAX - 1] = INT64_MAX;
    decoded[5] = 7; /* To be cleared. */
    bytes = note_encode(counters, note);
    cr_assert_eq(bytes, 4 + 2 * STORE_COUNTER_BYTES);
    cr_assert_eq(note_decode(slice_of(note, bytes), decoded), ERR_OK);
    cr_assert_eq(memcmp(counters, decoded, sizeof(counters)), 0);
}

Test(note, all_counters_fit)
{
    for (uint32_t i = 0; i < STORE_COUNTERS_MAX; i++) {
        counters[i] = (int64_t)i + 1;
    }
    cr_assert_eq(note_encode(counters, note), STORE_NOTE_BYTES_MAX);
    cr_assert_eq(note_decode(slice_of(note, sizeof(note)), decoded), ERR_OK);
    cr_assert_eq(memcmp(counters, decoded, sizeof(counters)), 0);
}

Test(note, an_empty_one_means_zeros_and_an_impossible_one_is_corrupt)
{
    size_t bytes;

    counters[3] = 5;
    bytes = note_encode(counters, note);
    cr_assert_eq(note_decode(slice_of(NULL, 0), decoded), ERR_OK);
    cr_assert_eq(decoded[3], 0);
    for (size_t size = 1; size < bytes; size++) {
        cr_assert_eq(note_decode(slice_of(note, size), decoded), ERR_CORRUPT);
    }
    put_le16(note + 4, STORE_COUNTERS_MAX);
    cr_assert_eq(note_decode(slice_of(note, bytes), decoded), ERR_CORRUPT);
    put_le32(note, UINT32_MAX);
    cr_assert_eq(note_decode(slice_of(note, bytes), decoded), ERR_CORRUPT);
}
