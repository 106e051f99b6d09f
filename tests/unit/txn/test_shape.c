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

static struct store_note sample_note;
static struct store_note decoded;
static uint8_t note[STORE_NOTE_BYTES_MAX];

Test(note, what_stood_comes_back_and_zeros_take_no_room)
{
    size_t bytes;

    sample_note.kept_from = 4711;
    sample_note.counters[0] = -1;
    sample_note.counters[STORE_COUNTERS_MAX - 1] = INT64_MAX;
    sample_note.position_count = 1;
    sample_note.positions[0] = (struct store_position){.log_id = UINT64_MAX, .applied = 9};
    memset(&decoded, 7, sizeof(decoded)); /* To be cleared. */
    bytes = note_encode(&sample_note, note);
    cr_assert_eq(bytes, STORE_NOTE_FIXED_BYTES + 2 * STORE_COUNTER_BYTES + STORE_POSITION_BYTES);
    cr_assert_eq(note_decode(slice_of(note, bytes), &decoded), ERR_OK);
    cr_assert_eq(memcmp(&sample_note, &decoded, sizeof(decoded)), 0);
}

Test(note, all_counters_and_positions_fit)
{
    for (uint32_t i = 0; i < STORE_COUNTERS_MAX; i++) {
        sample_note.counters[i] = (int64_t)i + 1;
    }
    sample_note.position_count = SHARDS_MAX;
    for (uint32_t i = 0; i < SHARDS_MAX; i++) {
        sample_note.positions[i] = (struct store_position){.log_id = i, .applied = i * 3};
    }
    cr_assert_eq(note_encode(&sample_note, note), STORE_NOTE_BYTES_MAX);
    cr_assert_eq(note_decode(slice_of(note, sizeof(note)), &decoded), ERR_OK);
    cr_assert_eq(memcmp(&sample_note, &decoded, sizeof(decoded)), 0);
}

Test(note, an_empty_one_means_zeros_and_an_impossible_one_is_corrupt)
{
    size_t bytes;

    sample_note.counters[3] = 5;
    sample_note.position_count = 1;
    bytes = note_encode(&sample_note, note);
    cr_assert_eq(note_decode(slice_of(NULL, 0), &decoded), ERR_OK);
    cr_assert_eq(decoded.counters[3], 0);
    for (size_t size = 1; size < bytes; size++) {
        cr_assert_eq(note_decode(slice_of(note, size), &decoded), ERR_CORRUPT);
    }
    cr_assert_eq(note_decode(slice_of(note, bytes + 1), &decoded), ERR_CORRUPT);
    put_le32(note + bytes - STORE_POSITION_BYTES - 4, SHARDS_MAX + 1);
    cr_assert_eq(note_decode(slice_of(note, bytes), &decoded), ERR_CORRUPT);
    put_le16(note + 12, STORE_COUNTERS_MAX);
    cr_assert_eq(note_decode(slice_of(note, bytes), &decoded), ERR_CORRUPT);
    put_le32(note + 8, UINT32_MAX);
    cr_assert_eq(note_decode(slice_of(note, bytes), &decoded), ERR_CORRUPT);
}
