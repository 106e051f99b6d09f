/* tests/unit/lsm/test_compact_scanned.c - scans that step over what is gone have it removed. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "lsm/internal.h"
#include "lsm/lsm_batch.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_compact_scanned, .timeout = 60);

enum { ENTRIES = 4000, GONE = 1000 };

static struct lsm *tree;
static uint64_t lsn;
static const struct slice everything = {NULL, 0};

static void
open_tree(bool background_off)
{
    const struct lsm_options options = {.dir = "tree",
                                        .memtable_bytes = 8 << 20,
                                        .scan_skips_min = 100,
                                        .background_off = background_off};
    struct lsm_recovered recovered;

    lsn = 0;
    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
}

/* The position in the log is the timestamp as well. */
static void
write_one(uint32_t number, enum lsm_kind kind)
{
    char key[16];
    struct lsm_entry entry = {.kind = (uint8_t)kind};

    snprintf(key, sizeof(key), "%08u", number);
    entry.key = slice_from_text(key);
    entry.value = kind == LSM_PUT ? SLICE("something") : slice_of(NULL, 0);
    entry.lsn = ++lsn;
    entry.ts = lsn;
    lsm_horizon_set(tree, entry.ts);
    lsm_apply(tree, &entry);
}

static void
flush(void)
{
    lsm_rotate(tree, lsn, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(tree), ERR_OK);
}

static uint64_t
skips(void)
{
    struct lsm_stats stats;

    lsm_stats_get(tree, &stats);
    return stats.scan_skips;
}

static uint64_t
scan_compactions(void)
{
    struct lsm_stats stats;

    lsm_stats_get(tree, &stats);
    return stats.scan_compactions;
}

/* The first row; how many versions were stepped over on the way to it. */
static uint64_t
scan_first(uint64_t snapshot, uint32_t expected)
{
    uint64_t before = skips();
    struct lsm_iter *iter;
    char key[16];

    snprintf(key, sizeof(key), "%08u", expected);
    cr_assert_eq(lsm_iter_open(tree, everything, everything, snapshot, &iter), ERR_OK);
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    cr_assert(lsm_iter_is_valid(iter));
    cr_assert(slice_equal(lsm_iter_entry(iter)->key, slice_from_text(key)));
    lsm_iter_close(&iter);
    return skips() - before;
}

static bool
compact_once(void)
{
    bool did = false;

    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    return did;
}

/* ENTRIES at the bottom, of which the first GONE are deleted in a table of level 0. */
static void
queue_make(bool background_off)
{
    open_tree(background_off);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        write_one(i, LSM_PUT);
    }
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    for (uint32_t i = 0; i < GONE; i++) {
        write_one(i, LSM_DELETE);
    }
    flush();
}

FIBER_TEST(lsm_compact_scanned, scans_over_deletes_have_them_merged_away)
{
    uint32_t scans = 0;

    queue_make(true);
    cr_assert(!compact_once(), "level 0 has one table, which is not due");
    cr_assert_eq(scan_first(lsn, GONE), 2 * GONE, "deletes and what they hide");
    while (!compact_once()) {
        cr_assert_lt(++scans, 100);
        scan_first(lsn, GONE);
    }
    cr_assert_gt(scans, 10, "not before scans have lost what the merge costs");
    cr_assert_eq(scan_compactions(), 1);
    cr_assert_eq(scan_first(lsn, GONE), 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_scanned, scans_in_batches_and_backwards_count_as_well)
{
    const struct lsm_batch *batch;
    struct lsm_iter *iter;
    uint64_t before;
    uint32_t rows = 0;

    queue_make(true);
    before = skips();
    cr_assert_eq(lsm_iter_open(tree, everything, SLICE("00001001"), lsn, &iter), ERR_OK);
    cr_assert_eq(lsm_iter_last(iter), ERR_OK);
    cr_assert_eq(skips() - before, 0);
    cr_assert_eq(lsm_iter_previous(iter), ERR_OK);
    cr_assert(!lsm_iter_is_valid(iter));
    cr_assert_eq(skips() - before, 2 * GONE);
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    cr_assert_eq(skips() - before, 4 * GONE);
    while (lsm_iter_is_valid(iter)) {
        cr_assert_eq(lsm_iter_batch(iter, LSM_BATCH_ROWS_MAX, &batch), ERR_OK);
        rows += batch->count;
    }
    cr_assert_eq(rows, 1);
    lsm_iter_close(&iter);
    cr_assert_eq(tree->version->levels[0].tables[0]->scan_skips, skips());
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_scanned, nothing_is_done_while_a_snapshot_needs_what_is_hidden)
{
    struct lsm_snapshot held;

    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        write_one(i, LSM_PUT);
    }
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    lsm_snapshot_take(tree, lsn, &held);
    for (uint32_t i = 0; i < GONE; i++) {
        write_one(i, LSM_DELETE);
    }
    flush();
    for (uint32_t i = 0; i < 40; i++) {
        scan_first(lsn, GONE);
    }
    cr_assert(!compact_once());
    cr_assert(tree->garbage_waits, "it is looked at again");
    cr_assert_eq(scan_first(held.ts, 0), 0);
    lsm_snapshot_drop(tree, &held);
    cr_assert(compact_once());
    cr_assert_eq(scan_first(lsn, GONE), 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compact_scanned, a_memtable_full_of_deletes_is_frozen_and_leaves_none)
{
    uint32_t scans = 0;

    open_tree(true);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        write_one(i, LSM_PUT);
    }
    for (uint32_t i = 0; i < GONE; i++) {
        write_one(i, LSM_DELETE); /* Of what no table has. */
    }
    while (!lsm_wants_rotation(tree)) {
        cr_assert_lt(++scans, 100);
        cr_assert_eq(scan_first(lsn, GONE), GONE);
    }
    cr_assert_gt(scans, 10);
    flush();
    cr_assert(!lsm_wants_rotation(tree));
    cr_assert_eq(scan_first(lsn, GONE), 0);
    lsm_close(&tree);
}

/* The workload that asks for all this: one end grows, the other is taken from, and whoever takes
 * looks for the first. Without compaction each look would step over all that was ever taken. */
FIBER_TEST(lsm_compact_scanned, looking_for_the_first_of_a_queue_stays_cheap)
{
    enum { LENGTH = 500, TURNS = 30000 };
    uint64_t worst = 0;

    open_tree(false);
    for (uint32_t i = 0; i < LENGTH; i++) {
        write_one(i, LSM_PUT);
    }
    for (uint32_t i = 0; i < TURNS; i++) {
        cr_assert_eq(lsm_wait_room(tree, 100), ERR_OK);
        worst = MAX(worst, scan_first(lsn, i));
        write_one(i, LSM_DELETE);
        write_one(LENGTH + i, LSM_PUT);
        if (lsm_wants_rotation(tree)) {
            lsm_rotate(tree, lsn, slice_of(NULL, 0));
        }
        fiber_sleep_us(20); /* The disk takes its time, too. */
    }
    cr_assert_lt(worst, 3000, "%llu versions", (unsigned long long)worst);
    cr_assert_lt(skips() / TURNS, 1000, "%llu versions a scan",
                 (unsigned long long)skips() / TURNS);
    lsm_close(&tree);
}
