/* tests/unit/lsm/test_compact_expired.c - what has expired goes, and when it may. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "lsm/internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_compact_expired, .timeout = 60);

enum { ENTRIES = 200, BOTTOM = LSM_LEVELS - 1 };

#define SECOND_US UINT64_C(1000000)
#define SECOND_TS (SECOND_US << 12)

static struct lsm *tree;
static uint64_t lsn;
static const struct slice everything = {NULL, 0};

static void
open_tree(bool background_off)
{
    const struct lsm_options options = {
        .dir = "tree", .memtable_bytes = 1 << 20, .background_off = background_off};
    struct lsm_recovered recovered;

    lsn = 0;
    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
}

static void
put(uint32_t number, uint64_t ts, uint64_t expire_us)
{
    char key[16];
    struct lsm_entry entry = {
        .value = SLICE("a value of some length, so that keys do not matter much"),
        .ts = ts,
        .expire_us = expire_us,
        .lsn = ++lsn,
        .kind = LSM_PUT,
    };

    snprintf(key, sizeof(key), "%08u", number);
    entry.key = slice_from_text(key);
    lsm_apply(tree, &entry);
}

static void
flush(void)
{
    lsm_rotate(tree, lsn, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(tree), ERR_OK);
}

/* Compacts while there is something to do; how many jobs that were. */
static uint32_t
compact(void)
{
    bool did = true;
    uint32_t jobs = 0;

    for (; did && jobs < 100; jobs += did) {
        cr_assert_eq(compact_step(tree, &did), ERR_OK);
    }
    return jobs;
}

static bool
found(uint32_t number, uint64_t snapshot)
{
    struct lsm_value value;
    struct arena arena;
    char key[16];

    snprintf(key, sizeof(key), "%08u", number);
    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(lsm_get(tree, slice_from_text(key), snapshot, &arena, &value), ERR_OK);
    arena_fini(&arena);
    return value.is_found;
}

static struct lsm_stats
stats(void)
{
    struct lsm_stats now;

    lsm_stats_get(tree, &now);
    return now;
}

static uint64_t
tables_of(uint32_t level)
{
    return stats().level_tables[level];
}

FIBER_TEST(lsm_compact_expired, a_table_in_which_all_has_expired_goes_unread)
{
    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, SECOND_US);
    }
    flush();
    cr_assert_eq(tree->version->levels[0].tables[0]->meta->expiry.entries, ENTRIES);
    cr_assert_eq(tree->version->levels[0].tables[0]->meta->expiry.all_us, SECOND_US);
    lsm_horizon_set(tree, SECOND_TS - 1);
    cr_assert_eq(compact(), 0);
    cr_assert(tree->expiry_waits);
    cr_assert(found(3, SECOND_TS - 1));
    lsm_horizon_set(tree, SECOND_TS);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(tables_of(0), 0);
    cr_assert_eq(stats().tables_dropped, 1);
    cr_assert_eq(stats().expired_compactions, 1);
    cr_assert_eq(stats().compaction_read_bytes, 0);
    cr_assert(!found(3, SECOND_TS));
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, a_held_snapshot_keeps_what_it_sees_alive)
{
    struct lsm_snapshot held;

    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, SECOND_US);
    }
    flush();
    lsm_snapshot_take(tree, ENTRIES, &held);
    lsm_horizon_set(tree, 2 * SECOND_TS);
    cr_assert_eq(compact(), 0);
    cr_assert(found(7, ENTRIES));
    lsm_snapshot_drop(tree, &held);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(tables_of(0), 0);
    lsm_close(&tree);
}

/* To drop the newer table would bring the older values back. */
FIBER_TEST(lsm_compact_expired, what_hides_an_older_version_stays_as_a_delete)
{
    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, 0);
    }
    flush();
    lsm_horizon_set(tree, ENTRIES);
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(tables_of(BOTTOM), 1);
    for (uint32_t i = 0; i < ENTRIES; i += 2) {
        put(i, 1000 + i, SECOND_US);
    }
    flush();
    lsm_horizon_set(tree, 2 * SECOND_TS);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(stats().tables_dropped, 0);
    cr_assert_eq(tree->version->levels[0].tables[0]->meta->deletes, ENTRIES / 2);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        cr_assert_eq(found(i, 2 * SECOND_TS), i % 2 == 1, "%u", i);
    }
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, what_lies_older_in_a_memtable_counts_as_well)
{
    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, 1000 + i, SECOND_US);
    }
    flush();
    put(5, 10, 0); /* As a bulk load or a slot's move writes. */
    lsm_horizon_set(tree, 2 * SECOND_TS);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(stats().tables_dropped, 0);
    cr_assert(!found(5, 2 * SECOND_TS));
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, a_table_of_which_half_has_expired_is_rewritten_once)
{
    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, i % 3 != 0 ? SECOND_US : 0);
    }
    flush();
    lsm_horizon_set(tree, ENTRIES);
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(compact(), 0);
    lsm_horizon_set(tree, 2 * SECOND_TS);
    cr_assert_eq(compact(), 1, "nothing it leaves is due again");
    cr_assert_eq(stats().entries_estimate, (ENTRIES + 2) / 3);
    cr_assert(!tree->expiry_waits);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        cr_assert_eq(found(i, 2 * SECOND_TS), i % 3 == 0);
    }
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, a_table_is_not_rewritten_when_the_rest_expires_soon)
{
    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, SECOND_US + i * 1000);
    }
    flush();
    lsm_horizon_set(tree, SECOND_TS + SECOND_TS / 1000 * (ENTRIES - 10));
    cr_assert_eq(compact(), 0, "nearly all has expired");
    lsm_horizon_set(tree, SECOND_TS + SECOND_TS / 1000 * ENTRIES);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(stats().tables_dropped, 1);
    cr_assert_eq(stats().compaction_read_bytes, 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, what_a_table_says_of_its_expiries_survives_a_restart)
{
    struct table_expiry before;
    const struct table_meta *meta;

    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, SECOND_US + i * 1000);
    }
    flush();
    before = tree->version->levels[0].tables[0]->meta->expiry;
    cr_assert_eq(lsm_verify(tree), ERR_OK);
    lsm_close(&tree);
    open_tree(true);
    meta = tree->version->levels[0].tables[0]->meta;
    cr_assert(table_expiry_equal(&meta->expiry, &before));
    lsm_horizon_set(tree, 9 * SECOND_TS);
    cr_assert_eq(compact(), 1);
    cr_assert_eq(tables_of(0), 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_expired, nobody_needs_to_touch_the_tree)
{
    open_tree(false);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        put(i, i + 1, SECOND_US);
    }
    flush();
    lsm_horizon_set(tree, ENTRIES);
    fiber_sleep_us(10 * SECOND_US);
    cr_assert_eq(stats().entries_estimate, ENTRIES);
    lsm_horizon_set(tree, 2 * SECOND_TS);
    fiber_sleep_us(3 * SECOND_US);
    cr_assert_eq(stats().entries_estimate, 0);
    lsm_close(&tree);
}
