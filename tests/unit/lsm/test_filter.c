/* tests/unit/lsm/test_filter.c - the filter: never a wrong no, seldom a wrong yes. */
#include "engine/base/prng.h"
#include "lsm/filter.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_filter, .timeout = 120);

enum { PROBES = 200000 };

/* A filter of `count` drawn hashes: all are found; the share of others that are found, in parts
 * of a million. */
static uint64_t
false_positive_ppm(uint32_t count, double *bits_per_key_out)
{
    uint64_t *hashes = mem_alloc(MEM_BACKGROUND, (size_t)count * sizeof(*hashes));
    struct prng prng;
    struct filter filter;
    struct buf bytes;
    uint64_t found = 0;

    prng_init(&prng, count + 1);
    buf_init(&bytes, MEM_BACKGROUND);
    for (uint32_t i = 0; i < count; i++) {
        hashes[i] = prng_next(&prng);
    }
    cr_assert_eq(filter_build(hashes, count, &bytes), ERR_OK);
    cr_assert_eq(filter_open(buf_slice(&bytes), &filter), ERR_OK);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(filter_may_contain(&filter, hashes[i]), "key %u of %u is denied", i, count);
    }
    for (uint32_t i = 0; i < PROBES; i++) {
        found += filter_may_contain(&filter, prng_next(&prng)) ? 1 : 0;
    }
    *bits_per_key_out = 8.0 * (double)bytes.size / (count > 0 ? count : 1);
    buf_fini(&bytes);
    mem_free(MEM_BACKGROUND, hashes, (size_t)count * sizeof(*hashes));
    return found * 1000000 / PROBES;
}

FIBER_TEST(lsm_filter, less_than_one_in_a_hundred_absent_keys_passes)
{
    static const uint32_t counts[] = {1, 2, 3, 5, 10, 17, 100, 1000, 3333, 10000, 60000, 300000};
    double bits;

    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        uint64_t ppm = false_positive_ppm(counts[i], &bits);

        cr_assert_lt(ppm, 6000, "%lu ppm for %u keys", ppm, counts[i]);
    }
    cr_assert_lt(bits, 9.4, "%.2f bits a key", bits);
    (void)false_positive_ppm(10000, &bits);
    cr_assert_lt(bits, 10.6, "%.2f bits a key", bits);
}

FIBER_TEST(lsm_filter, of_no_keys_denies_everything)
{
    double bits;

    cr_assert_eq(false_positive_ppm(0, &bits), 0);
}

FIBER_TEST(lsm_filter, many_small_ones_can_all_be_made)
{
    double bits;

    for (uint32_t count = 1; count < 60; count++) {
        cr_assert_lt(false_positive_ppm(count, &bits), 6000);
    }
}

FIBER_TEST(lsm_filter, equal_hashes_are_refused_instead_of_looping)
{
    static const uint64_t hashes[] = {7, 7};
    struct buf bytes;

    buf_init(&bytes, MEM_BACKGROUND);
    cr_assert_eq(filter_build(hashes, 2, &bytes), ERR_INVALID);
    buf_fini(&bytes);
}

FIBER_TEST(lsm_filter, impossible_headers_are_refused)
{
    static const uint64_t hashes[] = {1, 2, 3, 4};
    struct filter filter;
    struct buf bytes;

    buf_init(&bytes, MEM_BACKGROUND);
    cr_assert_eq(filter_build(hashes, 4, &bytes), ERR_OK);
    cr_assert_eq(filter_open(buf_slice(&bytes), &filter), ERR_OK);
    for (size_t size = 0; size < bytes.size; size++) {
        cr_assert_eq(filter_open(slice_of(bytes.data, size), &filter), ERR_CORRUPT);
    }
    for (size_t i = 0; i < 16; i++) {
        if (i >= 4 && i < 8) {
            continue; /* The number of keys, which nothing contradicts. */
        }
        bytes.data[i] ^= 0x40;
        cr_assert_eq(filter_open(buf_slice(&bytes), &filter), ERR_CORRUPT, "byte %zu", i);
        bytes.data[i] ^= 0x40;
    }
    buf_fini(&bytes);
}

FIBER_TEST(lsm_filter, a_missing_filter_lets_everything_pass)
{
    struct filter filter = {0};

    cr_assert(filter_may_contain(&filter, 1));
}
