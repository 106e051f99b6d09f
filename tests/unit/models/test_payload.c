/* Tests of models/kv/payload.c, crc64.c and lzf.c: values as Redis serialises them. */
#include "models/kv/payload.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>

#include "models/kv/crc64.h"
#include "models/kv/lzf.h"
#include "tests/lib/fiber_test.h"

TestSuite(payload, .timeout = 10);

enum { BYTES_MAX = 1 << 20 };

Test(payload, crc64_has_the_published_check_value)
{
    cr_expect_eq(crc64(0, SLICE("123456789")), UINT64_C(0xe9c6d914c4b8d9ca));
    cr_expect_eq(crc64(crc64(0, SLICE("1234")), SLICE("56789")), UINT64_C(0xe9c6d914c4b8d9ca));
    cr_expect_eq(crc64(0, SLICE("")), 0);
}

Test(payload, lzf_knows_literal_short_long_and_overlapping_runs)
{
    uint8_t out[300];

    /* Three literals, then six more from three bytes back. */
    cr_assert(lzf_decompress(SLICE("\x02"
                                   "abc\x80\x02"),
                             out, 9));
    cr_expect_arr_eq(out, "abcabcabc", 9);
    /* One literal, repeated 7 + 255 + 2 times. */
    cr_assert(lzf_decompress(slice_of("\x00z\xe0\xff\x00", 5), out, 265));
    for (size_t i = 0; i < 265; i++) {
        cr_assert_eq(out[i], 'z');
    }
}

Test(payload, lzf_that_reaches_outside_is_refused)
{
    uint8_t out[16];

    cr_expect_not(lzf_decompress(slice_of("\x80\x00", 2), out, 6), "nothing to repeat yet");
    cr_expect_not(lzf_decompress(slice_of("\x00z\x80\x05", 4), out, 7), "before the start");
    cr_expect_not(lzf_decompress(slice_of("\x05z", 2), out, 6), "the literals end early");
    cr_expect_not(lzf_decompress(slice_of("\x00z\xe0", 3), out, 10), "no length byte");
    cr_expect_not(lzf_decompress(slice_of("\x00z\x20", 3), out, 4), "no offset byte");
    cr_expect_not(lzf_decompress(slice_of("\x00z\x20\x00", 4), out, 3), "too much");
    cr_expect_not(lzf_decompress(slice_of("\x00z\x20\x00", 4), out, 5), "too little");
}

static err_t
read_back(struct slice payload, struct arena *arena, struct slice *string_out)
{
    err_t err = payload_check(payload);

    return err != ERR_OK ? err : payload_read_string(payload, BYTES_MAX, arena, string_out);
}

FIBER_TEST(payload, every_length_and_integer_form_reads_back)
{
    static const char *const integers[] = {
        "0", "-1", "127", "128", "-129", "32768", "2147483647", "2147483648", "-2147483648"};
    static const size_t sizes[] = {0, 1, 63, 64, 16383, 16384, 100000};
    static char bytes[100000];
    struct arena arena;
    struct slice string;
    struct buf payload;

    memset(bytes, 'x', sizeof(bytes));
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&payload, MEM_SESSIONS);
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        buf_clear(&payload);
        cr_assert_eq(payload_write_string(&payload, slice_from_text(integers[i])), ERR_OK);
        cr_assert_eq(read_back(buf_slice(&payload), &arena, &string), ERR_OK);
        cr_expect(slice_equal(string, slice_from_text(integers[i])), "%s", integers[i]);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        buf_clear(&payload);
        cr_assert_eq(payload_write_string(&payload, slice_of(bytes, sizes[i])), ERR_OK);
        cr_assert_eq(read_back(buf_slice(&payload), &arena, &string), ERR_OK);
        cr_expect(slice_equal(string, slice_of(bytes, sizes[i])), "%zu bytes", sizes[i]);
    }
    buf_fini(&payload);
    arena_fini(&arena);
}

/* What redis-server 7.0.15 gave for DUMP of "foobar" and of 100 times "a". */
static const uint8_t redis_short[] = {0x00, 0x06, 0x66, 0x6f, 0x6f, 0x62, 0x61, 0x72, 0x0a,
                                      0x00, 0x3b, 0x4c, 0x3c, 0xf6, 0xb7, 0xee, 0x7b, 0xae};
static const uint8_t redis_lzf[] = {0x00, 0xc3, 0x09, 0x40, 0x64, 0x01, 0x61, 0x61,
                                    0xe0, 0x57, 0x00, 0x01, 0x61, 0x61, 0x0a, 0x00,
                                    0xe8, 0xa3, 0xb5, 0x07, 0xb0, 0x6d, 0xf2, 0x71};

/* The footer of a body made by hand. */
static struct slice
seal(uint8_t *bytes, size_t size, uint16_t version)
{
    payload_seal(bytes, size, version);
    return slice_of(bytes, size + PAYLOAD_FOOTER_BYTES);
}

Test(payload, what_redis_wrote_is_read)
{
    struct arena arena;
    struct slice string;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(read_back(slice_of(redis_short, sizeof(redis_short)), &arena, &string), ERR_OK);
    cr_expect(slice_equal(string, SLICE("foobar")));
    cr_assert_eq(read_back(slice_of(redis_lzf, sizeof(redis_lzf)), &arena, &string), ERR_OK);
    cr_expect_eq(string.size, 100);
    for (size_t i = 0; i < string.size; i++) {
        cr_expect_eq(string.data[i], 'a');
    }
    arena_fini(&arena);
}

Test(payload, a_changed_byte_or_a_newer_version_is_refused)
{
    struct arena arena;
    struct slice string;
    uint8_t copy[sizeof(redis_short)];

    arena_init(&arena, MEM_SESSIONS);
    for (size_t i = 0; i < sizeof(copy); i++) {
        memcpy(copy, redis_short, sizeof(copy));
        copy[i] ^= 0x04;
        cr_expect_eq(read_back(slice_of(copy, sizeof(copy)), &arena, &string), ERR_INVALID);
    }
    memcpy(copy, redis_short, sizeof(copy));
    cr_expect_eq(payload_check(seal(copy, 8, PAYLOAD_VERSION_MAX)), ERR_OK);
    cr_expect_eq(payload_check(seal(copy, 8, PAYLOAD_VERSION_MAX + 1)), ERR_INVALID);
    cr_expect_eq(payload_check(slice_of(copy, PAYLOAD_FOOTER_BYTES - 1)), ERR_INVALID);
    arena_fini(&arena);
}

static err_t
read_body(const char *body, size_t size)
{
    uint8_t bytes[64];
    struct arena arena;
    struct slice string;
    err_t err;

    memcpy(bytes, body, size);
    arena_init(&arena, MEM_SESSIONS);
    err = read_back(seal(bytes, size, PAYLOAD_VERSION), &arena, &string);
    arena_fini(&arena);
    return err;
}

Test(payload, malformed_values_are_refused_and_other_types_are_named)
{
    cr_expect_eq(read_body("", 0), ERR_CORRUPT);
    cr_expect_eq(read_body("\x00", 1), ERR_CORRUPT);
    cr_expect_eq(read_body("\x00\x05"
                           "abc",
                           5),
                 ERR_CORRUPT, "the bytes end early");
    cr_expect_eq(read_body("\x00\x01"
                           "ab",
                           4),
                 ERR_CORRUPT, "a byte too many");
    cr_expect_eq(read_body("\x00\xc1\x01", 3), ERR_CORRUPT, "half of an integer");
    cr_expect_eq(read_body("\x00\xc4", 2), ERR_CORRUPT, "no such special form");
    cr_expect_eq(read_body("\x00\x80\xff", 3), ERR_CORRUPT, "half of a length");
    cr_expect_eq(read_body("\x00\x90\xff\xff\xff\xff", 6), ERR_CORRUPT, "no such length form");
    cr_expect_eq(read_body("\x00\xc3\x01\x80\x7f\xff\xff\xff\x00", 9), ERR_LIMIT);
    cr_expect_eq(read_body("\x04\x00", 2), ERR_UNSUPPORTED);
    cr_expect(strstr(err_message(ERR_UNSUPPORTED), "hash") != NULL);
    cr_expect_eq(read_body("\x63\x00", 2), ERR_CORRUPT);
}
