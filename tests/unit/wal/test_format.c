/* tests/unit/wal/test_format.c - the bytes of a batch. */
#include <criterion/criterion.h>
#include <xxhash.h>

#include "engine/base/mem.h"
#include "wal/format.h"

enum { LOG_ID = 77, POSITION = 12288, PAYLOAD_BYTES = 4 + 5 + 4 + 300 };

static uint8_t batch[WAL_BLOCK_BYTES];

static struct wal_header
sample_header(void)
{
    return (struct wal_header){
        .log_id = LOG_ID,
        .position = POSITION,
        .previous = 0xabcdef,
        .durable = 8192,
        .ceiling = 1000,
        .closed = 900,
        .life = 5,
        .payload_bytes = PAYLOAD_BYTES,
        .records = 2,
    };
}

static void
sample_payload(void)
{
    memset(batch, 0x5a, sizeof(batch));
    put_le32(batch + WAL_HEADER_BYTES, 5);
    put_le32(batch + WAL_HEADER_BYTES + 9, 300);
}

static void
sample_seal(void)
{
    struct wal_header header = sample_header();

    sample_payload();
    wal_batch_seal(batch, &header);
}

static err_t
check(uint64_t log_id, uint64_t position)
{
    uint64_t bytes = 0;
    err_t err = wal_batch_check(slice_of(batch, sizeof(batch)), log_id, position, &bytes);

    cr_assert_eq(bytes, err == ERR_OK ? sizeof(batch) : 0, "outputs stay untouched on error");
    return err;
}

Test(wal_format, a_sealed_batch_is_valid_and_gives_its_header_back)
{
    struct wal_header header;

    sample_seal();
    cr_assert_eq(check(LOG_ID, POSITION), ERR_OK);
    cr_assert(wal_header_decode(batch, LOG_ID, POSITION, &header));
    cr_assert_eq(header.previous, 0xabcdef);
    cr_assert_eq(header.durable, 8192);
    cr_assert_eq(header.ceiling, 1000);
    cr_assert_eq(header.closed, 900);
    cr_assert_eq(header.life, 5);
    cr_assert_eq(header.payload_bytes, PAYLOAD_BYTES);
    cr_assert_eq(header.records, 2);
}

Test(wal_format, the_rest_of_the_block_is_zero)
{
    sample_seal();
    for (size_t i = WAL_HEADER_BYTES + PAYLOAD_BYTES; i < sizeof(batch); i++) {
        cr_assert_eq(batch[i], 0);
    }
}

Test(wal_format, every_flipped_bit_is_found)
{
    sample_seal();
    for (size_t bit = 0; bit < (WAL_HEADER_BYTES + PAYLOAD_BYTES) * 8; bit++) {
        batch[bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT, "bit %zu", bit);
        batch[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_eq(check(LOG_ID, POSITION), ERR_OK);
}

Test(wal_format, a_batch_is_valid_at_its_own_place_only)
{
    sample_seal();
    cr_assert_eq(check(LOG_ID, POSITION + WAL_BLOCK_BYTES), ERR_CORRUPT);
    cr_assert_eq(check(LOG_ID + 1, POSITION), ERR_CORRUPT);
    /* Even if the fields were changed to fit: the checksum is seeded with both. */
    put_le64(batch + 32, POSITION + WAL_BLOCK_BYTES);
    cr_assert_eq(check(LOG_ID, POSITION + WAL_BLOCK_BYTES), ERR_CORRUPT);
}

Test(wal_format, a_batch_that_ends_early_is_corrupt_and_not_read_beyond_its_end)
{
    sample_seal();
    for (size_t size = 0; size < sizeof(batch); size += 37) {
        uint8_t *copy = mem_alloc(MEM_RUNTIME, size); /* So that a sanitizer sees its end. */
        uint64_t bytes = 0;

        memcpy(copy, batch, size);
        cr_assert_eq(wal_batch_check(slice_of(copy, size), LOG_ID, POSITION, &bytes), ERR_CORRUPT);
        mem_free(MEM_RUNTIME, copy, size);
    }
}

Test(wal_format, an_unknown_version_is_named_if_the_batch_is_whole)
{
    uint64_t seed = LOG_ID ^ (POSITION * UINT64_C(0x9e3779b97f4a7c15));

    sample_seal();
    put_le16(batch + 16, 2);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);
    put_le64(batch + 8,
             XXH3_64bits_withSeed(batch + 16, WAL_HEADER_BYTES - 16 + PAYLOAD_BYTES, seed));
    cr_assert_eq(check(LOG_ID, POSITION), ERR_FORMAT);
    cr_assert(strstr(err_message(ERR_FORMAT), "version 2") != NULL);
}

Test(wal_format, records_must_fill_the_payload_as_the_header_says)
{
    struct wal_header header = sample_header();

    sample_payload();
    header.records = 3;
    wal_batch_seal(batch, &header);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);

    header = sample_header();
    sample_payload();
    put_le32(batch + WAL_HEADER_BYTES + 9, 299);
    wal_batch_seal(batch, &header);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);

    header = sample_header();
    sample_payload();
    put_le32(batch + WAL_HEADER_BYTES, 0);
    wal_batch_seal(batch, &header);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);
}

Test(wal_format, a_durable_position_beyond_the_batch_is_impossible)
{
    struct wal_header header = sample_header();

    sample_payload();
    header.durable = POSITION + 1;
    wal_batch_seal(batch, &header);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);
}

Test(wal_format, a_payload_longer_than_any_batch_is_refused_before_it_is_read)
{
    sample_seal();
    put_le32(batch + 80, UINT32_MAX);
    cr_assert_eq(check(LOG_ID, POSITION), ERR_CORRUPT);
}
