/* Keys, values and draws of perf/bench/keyspace.c. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "perf/bench/keyspace.h"

enum { KEYS = 5000 };

static struct keyspace space = {.keys = KEYS, .key_bytes = 20, .value_bytes = 100};

TestSuite(keyspace, .timeout = 30);

static int
number_compare(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

/* In every order: filled, inserted and absent keys are all different. */
Test(keyspace, no_two_keys_are_the_same_and_absent_ones_are_absent)
{
    static uint64_t numbers[3 * KEYS];

    for (int order = KEYSPACE_RANDOM; order <= KEYSPACE_SPREAD; order++) {
        space.order = (enum keyspace_order)order;
        for (uint64_t i = 0; i < 2 * KEYS; i++) {
            numbers[i] = keyspace_number(&space, i);
        }
        qsort(numbers, 2 * KEYS, sizeof(numbers[0]), number_compare);
        for (size_t i = 1; i < 2 * KEYS; i++) {
            cr_assert_lt(numbers[i - 1], numbers[i], "order %d", order);
        }
        for (uint64_t i = 0; i < KEYS; i++) {
            uint64_t absent = keyspace_absent(&space, i);

            cr_assert_null(bsearch(&absent, numbers, 2 * KEYS, sizeof(numbers[0]), number_compare));
        }
    }
}

Test(keyspace, keys_to_be_ingested_rise)
{
    uint8_t key[20], before[20] = {0};

    space.order = KEYSPACE_SPREAD;
    for (uint64_t i = 0; i < KEYS; i++) {
        keyspace_key(&space, keyspace_number(&space, i), key);
        cr_assert_gt(memcmp(key, before, sizeof(key)), 0);
        memcpy(before, key, sizeof(key));
    }
}

Test(keyspace, a_key_is_its_number_in_hex)
{
    uint8_t key[20];

    keyspace_key(&space, UINT64_C(0x0123456789abcdef), key);
    cr_assert_eq(memcmp(key, "0123456789abcdef....", sizeof(key)), 0);
}

Test(keyspace, what_was_saved_is_loaded)
{
    char base[] = "/tmp/orbit-keyspace-XXXXXX";
    struct keyspace saved = {.keys = 7,
                             .inserted = 3,
                             .key_bytes = 16,
                             .value_bytes = 9,
                             .order = KEYSPACE_SPREAD,
                             .is_whole = true};
    struct keyspace loaded = {0};
    char name[64];

    cr_assert_not_null(mkdtemp(base));
    cr_assert_not(keyspace_load(&loaded, base, "engine"));
    cr_assert(keyspace_save(&saved, base, "engine"));
    cr_assert(keyspace_load(&loaded, base, "engine"));
    cr_assert_eq(loaded.keys, 7);
    cr_assert_eq(loaded.inserted, 3);
    cr_assert_eq(loaded.value_bytes, 9);
    cr_assert_eq(loaded.order, KEYSPACE_SPREAD);
    cr_assert(loaded.is_whole);
    snprintf(name, sizeof(name), "%s/engine.keyspace", base);
    cr_assert_eq(remove(name), 0);
    cr_assert_eq(remove(base), 0);
}

Test(keyspace, a_value_names_its_key_and_repeats_its_half)
{
    struct value_maker maker;
    const uint8_t *value;
    uint64_t mark = 0;

    for (size_t bytes = 1; bytes <= 200; bytes += 7) {
        value_maker_init(&maker, 1, bytes);
        value = value_make(&maker, 42);
        memcpy(&mark, value, bytes < 8 ? bytes : 8);
        cr_assert_eq(mark, value_mark(42, bytes));
        if (bytes > 8) {
            size_t half = (bytes - 8 + 1) / 2;

            cr_assert_eq(memcmp(value + 8, value + 8 + half, bytes - 8 - half), 0);
        }
        value_maker_fini(&maker);
    }
}

/* The first rank's share is 1 / zeta, and ranks below 1 % of all take most of the draws. */
Test(keyspace, zipfian_draws_have_the_shares_of_the_distribution)
{
    enum { DRAWS = 200000 };
    struct zipf zipf;
    struct prng prng;
    uint32_t first = 0;
    uint32_t top = 0;

    zipf_init(&zipf, KEYS, 0.99);
    prng_init(&prng, 3);
    for (uint32_t i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_draw(&zipf, &prng);

        cr_assert_lt(rank, KEYS);
        first += rank == 0;
        top += rank < KEYS / 100;
        cr_assert_lt(zipf_scatter(&zipf, rank), KEYS);
    }
    cr_assert_float_eq((double)first / DRAWS, 1 / zipf.zeta, 0.01);
    cr_assert_float_eq((double)top / DRAWS, 0.49, 0.03);
}
