/* tests/unit/lsm/test_expiry.c - what a table says of its expiries, against a sorted list. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "lsm/expiry.h"

TestSuite(lsm_expiry, .timeout = 60);

enum { ENTRIES_MAX = 400, BYTES_MAX = 200 };

struct sample {
    uint64_t expire_us;
    uint64_t bytes;
};

static const uint8_t bytes[BYTES_MAX];

static void
add(struct expiry_tally *tally, enum lsm_kind kind, uint64_t expire_us, uint64_t size)
{
    const struct lsm_entry entry = {
        .key = slice_of(bytes, size), .expire_us = expire_us, .kind = (uint8_t)kind};

    expiry_tally_add(tally, &entry);
}

static int
sample_order(const void *a, const void *b)
{
    const struct sample *left = a;
    const struct sample *right = b;

    return (left->expire_us > right->expire_us) - (left->expire_us < right->expire_us);
}

/* The first moment at which half of `total` has expired; 0: there is none. */
static uint64_t
exact_half(struct sample *samples, uint32_t count, uint64_t total)
{
    uint64_t expired = 0;

    qsort(samples, count, sizeof(samples[0]), sample_order);
    for (uint32_t i = 0; i < count; i++) {
        expired += samples[i].bytes;
        if (expired >= total - expired) {
            return samples[i].expire_us;
        }
    }
    return 0;
}

Test(lsm_expiry, nothing_is_said_of_a_table_in_which_nothing_expires)
{
    struct expiry_tally tally = {0};
    struct table_expiry said;

    add(&tally, LSM_PUT, 0, 10);
    add(&tally, LSM_DELETE, 0, 10);
    said = expiry_tally_result(&tally);
    cr_assert_eq(said.entries, 0);
    cr_assert_eq(said.half_us, 0);
    cr_assert_eq(said.all_us, 0);
}

Test(lsm_expiry, deletes_do_not_keep_a_table_from_having_expired)
{
    struct expiry_tally tally = {0};
    struct table_expiry said;

    add(&tally, LSM_DELETE, 0, 50);
    add(&tally, LSM_PUT, 700, 10);
    add(&tally, LSM_PUT_LARGE, 300, 10);
    said = expiry_tally_result(&tally);
    cr_assert_eq(said.entries, 2);
    cr_assert_eq(said.half_us, 0, "the deletes are more than half of the bytes");
    cr_assert_eq(said.all_us, 700);
}

Test(lsm_expiry, the_half_is_never_early_and_late_by_a_small_part_of_the_span)
{
    static struct sample samples[ENTRIES_MAX];
    struct prng prng;

    prng_init(&prng, 5);
    for (uint32_t round = 0; round < 2000; round++) {
        struct expiry_tally tally = {0};
        uint32_t count = 1 + (uint32_t)prng_below(&prng, ENTRIES_MAX);
        uint64_t base = prng_below(&prng, UINT64_C(1) << prng_below(&prng, 63));
        uint64_t span = 1 + prng_below(&prng, UINT64_C(1) << prng_below(&prng, 62));
        uint64_t staying = prng_below(&prng, 3) == 0 ? prng_below(&prng, count) : 0;
        uint64_t total = 0;
        uint64_t low = UINT64_MAX;
        uint64_t high = 0;
        uint64_t half;
        struct table_expiry said;

        for (uint32_t i = 0; i < count; i++) {
            samples[i].expire_us = 1 + base + prng_below(&prng, span);
            samples[i].bytes = prng_below(&prng, BYTES_MAX);
            total += samples[i].bytes;
            low = MIN(low, samples[i].expire_us);
            high = MAX(high, samples[i].expire_us);
            add(&tally, LSM_PUT, samples[i].expire_us, samples[i].bytes);
        }
        for (uint64_t i = 0; i < staying; i++) {
            add(&tally, LSM_PUT, 0, BYTES_MAX / 2);
            total += BYTES_MAX / 2;
        }
        said = expiry_tally_result(&tally);
        half = exact_half(samples, count, total);
        cr_assert_eq(said.entries, count);
        cr_assert_eq(said.all_us, staying == 0 ? high : 0);
        cr_assert_eq(said.half_us == 0, half == 0);
        cr_assert_geq(said.half_us, half);
        cr_assert_leq(said.half_us - half, (high - low) / 30 + 1);
        cr_assert(table_expiry_is_sound(&said, count + staying, 0));
    }
}

Test(lsm_expiry, the_largest_times_do_not_overflow)
{
    struct expiry_tally tally = {0};
    struct table_expiry said;

    add(&tally, LSM_PUT, 1, 10);
    add(&tally, LSM_PUT, UINT64_MAX, 100);
    said = expiry_tally_result(&tally);
    cr_assert_eq(said.half_us, UINT64_MAX);
    cr_assert_eq(said.all_us, UINT64_MAX);
}
