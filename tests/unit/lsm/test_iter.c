/* tests/unit/lsm/test_iter.c - scans over trees in which one table often stands alone, so that
 * batches are whole blocks, and over what ends such a stretch: other tables, memtables, range
 * deletes, snapshots below the table's newest entry, expiry, bounds. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "lsm/lsm_batch.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/lsm/tree_model.h"

TestSuite(lsm_iter, .timeout = 120);

enum { ROUNDS = 60, SCANS_A_ROUND = 6 };

static struct model *
model_begin(uint64_t seed)
{
    static char dir[32];
    struct model *model;

    snprintf(dir, sizeof(dir), "iter-%llu", (unsigned long long)seed);
    model = model_new(seed, dir, false);
    model->options.memtable_bytes = 1 << 20;
    model->options.table_bytes = 16 << 10;
    model->options.level0_tables = 100;
    model_open(model);
    return model;
}

static void
model_end(struct model *model)
{
    model_check_all(model);
    model_close(model);
    model_free(model);
}

static void
flush(struct model *model)
{
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
}

static void
hold_toggle(struct model *model)
{
    uint32_t which = model_below(model, SNAPSHOTS_MAX);

    if (model->is_held[which]) {
        lsm_snapshot_drop(model->lsm, &model->held[which]);
    } else {
        lsm_snapshot_take(model->lsm, model->ts, &model->held[which]);
        model->ts += TS_STEP;
    }
    model->is_held[which] = !model->is_held[which];
}

/* Each key of a stretch once: what one table may then hold alone. */
static void
stretch_write(struct model *model, uint32_t from, uint32_t to)
{
    bool may_expire = model_below(model, 3) == 0;
    uint32_t step = 1 + model_below(model, 3);

    for (uint32_t key = from; key < to; key += step) {
        bool is_delete = model_below(model, 10) == 0;
        uint64_t expire_us = 0;

        if (may_expire && model_below(model, 2) == 0) {
            expire_us = (model->ts >> 12) + model_below(model, 1000);
        }
        model_write_key(model, key, is_delete ? LSM_DELETE : LSM_PUT, is_delete ? 0 : expire_us);
    }
}

static void
round_change(struct model *model)
{
    uint32_t from = model_below(model, KEYS);
    uint32_t to = from + model_below(model, KEYS - from);

    switch (model_below(model, 8)) {
    case 0:
    case 1:
    case 2:
        stretch_write(model, from, to);
        break;
    case 3:
        model_write_range(model, from, to);
        break;
    case 4:
        hold_toggle(model);
        break;
    case 5:
        flush(model);
        break;
    case 6:
        lsm_horizon_set(model->lsm, model->ts);
        break;
    default:
        flush(model);
        cr_assert_eq(lsm_compact(model->lsm, slice_of(NULL, 0), slice_of(NULL, 0)), ERR_OK);
        break;
    }
}

/* At this moment, a while later (when more has expired), or at a held snapshot. */
static void
round_check(struct model *model)
{
    for (uint32_t i = 0; i < SCANS_A_ROUND; i++) {
        uint32_t which = model_below(model, SNAPSHOTS_MAX);
        uint64_t later = model_below(model, 2) * UINT64_C(500) * TS_STEP;

        model_check_scan(model, model->is_held[which] && model_below(model, 2) == 0
                                    ? model->held[which].ts
                                    : model->ts + later);
    }
}

FIBER_TEST(lsm_iter, batches_of_whole_blocks_give_what_the_model_gives)
{
    const char *more = getenv("ORBIT_TEST_SEEDS");
    uint64_t seeds = more == NULL ? 6 : strtoull(more, NULL, 10);

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        struct model *model = model_begin(seed);

        for (uint32_t round = 0; round < ROUNDS; round++) {
            round_change(model);
            round_check(model);
        }
        model_end(model);
    }
}

/* All keys, once, in tables at the bottom. */
static struct model *
model_with_bottom(uint64_t seed)
{
    struct model *model = model_begin(seed);

    for (uint32_t key = 0; key < KEYS; key++) {
        model_write_key(model, key, LSM_PUT, 0);
    }
    flush(model);
    lsm_horizon_set(model->lsm, model->ts);
    cr_assert_eq(lsm_compact(model->lsm, slice_of(NULL, 0), slice_of(NULL, 0)), ERR_OK);
    return model;
}

static struct lsm_iter *
scan_all(struct model *model, uint64_t snapshot)
{
    struct lsm_iter *iter = NULL;

    cr_assert_eq(lsm_iter_open(model->lsm, slice_of(NULL, 0), slice_of(NULL, 0), snapshot, &iter),
                 ERR_OK);
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    return iter;
}

FIBER_TEST(lsm_iter, a_table_that_stands_alone_is_handed_out_without_copies)
{
    struct model *model = model_with_bottom(1);
    struct lsm_iter *iter = scan_all(model, model->ts);
    const struct lsm_batch *batch;
    uint32_t count = 0;

    while (lsm_iter_is_valid(iter)) {
        cr_assert_eq(lsm_iter_batch(iter, LSM_BATCH_ROWS_MAX, &batch), ERR_OK);
        cr_assert_null(batch->selection);
        for (uint32_t row = 0; row < batch->count; row++) { /* A copy would follow its key. */
            const uint8_t *key_end = batch->keys[row].data + batch->keys[row].size;

            cr_assert_neq(batch->values[row].data, key_end);
        }
        count += batch->count;
    }
    cr_assert_eq(count, KEYS);
    lsm_iter_close(&iter);
    model_end(model);
}

FIBER_TEST(lsm_iter, a_batch_leaves_out_what_a_range_delete_hides_in_the_middle_of_a_block)
{
    struct model *model = model_with_bottom(2);
    struct lsm_iter *iter;
    const struct lsm_batch *batch;
    uint32_t count = 0;

    model_write_range(model, 3, 5);
    model_write_range(model, 100, 140);
    iter = scan_all(model, model->ts);
    while (lsm_iter_is_valid(iter)) {
        cr_assert_eq(lsm_iter_batch(iter, LSM_BATCH_ROWS_MAX, &batch), ERR_OK);
        for (uint32_t i = 0; i < batch->count; i++, count++) {
            uint32_t key = count < 3 ? count : count < 98 ? count + 2 : count + 42;

            cr_assert(slice_equal(batch->keys[lsm_batch_row(batch, i)], model->keys[key]));
        }
    }
    cr_assert_eq(count, KEYS - 42);
    lsm_iter_close(&iter);
    model_end(model);
}

FIBER_TEST(lsm_iter, a_batch_selects_what_has_not_expired)
{
    struct model *model = model_begin(3);
    struct lsm_iter *iter;
    const struct lsm_batch *batch;
    uint32_t count = 0;
    uint32_t selections = 0;

    for (uint32_t key = 0; key < KEYS; key++) {
        model_write_key(model, key, LSM_PUT, key % 3 == 1 ? (model->ts >> 12) + 1000 : 0);
    }
    flush(model);
    iter = scan_all(model, model->ts + UINT64_C(5000) * TS_STEP);
    while (lsm_iter_is_valid(iter)) {
        cr_assert_eq(lsm_iter_batch(iter, LSM_BATCH_ROWS_MAX, &batch), ERR_OK);
        selections += batch->selection != NULL;
        for (uint32_t i = 0; i < batch->count; i++, count++) {
            uint32_t key = count / 2 * 3 + (count % 2 == 0 ? 0 : 2);

            cr_assert(slice_equal(batch->keys[lsm_batch_row(batch, i)], model->keys[key]));
        }
    }
    cr_assert_eq(count, KEYS / 3 * 2);
    cr_assert_gt(selections, 0);
    lsm_iter_close(&iter);
    model_end(model);
}

/* The rows of all batches have the keys from `first` on, each `step` further, below `end`. */
static void
expect_keys(struct model *model, uint64_t snapshot, uint32_t first, uint32_t step, uint32_t end)
{
    struct lsm_iter *iter = scan_all(model, snapshot);
    const struct lsm_batch *batch;
    uint32_t key = first;

    while (lsm_iter_is_valid(iter)) {
        cr_assert_eq(lsm_iter_batch(iter, LSM_BATCH_ROWS_MAX, &batch), ERR_OK);
        for (uint32_t i = 0; i < batch->count; i++, key += step) {
            cr_assert_lt(key, end, "a row too many");
            cr_assert(slice_equal(batch->keys[lsm_batch_row(batch, i)], model->keys[key]));
        }
    }
    cr_assert_geq(key, end, "key %u is missing", key);
    lsm_iter_close(&iter);
}

FIBER_TEST(lsm_iter, a_batch_gives_nothing_newer_than_its_snapshot)
{
    struct model *model = model_begin(5);
    uint64_t before;

    for (uint32_t key = 0; key < KEYS; key += 2) {
        model_write_key(model, key, LSM_PUT, 0);
    }
    before = model->ts;
    for (uint32_t key = 1; key < KEYS; key += 2) {
        model_write_key(model, key, LSM_PUT, 0);
    }
    flush(model);
    expect_keys(model, before, 0, 2, KEYS);
    expect_keys(model, model->ts, 0, 1, KEYS);
    model_end(model);
}

FIBER_TEST(lsm_iter, a_batch_leaves_out_what_a_range_delete_in_the_same_table_hides)
{
    struct model *model = model_begin(6);

    for (uint32_t key = 1; key < KEYS - 1; key += 2) {
        model_write_key(model, key, LSM_PUT, 0);
    }
    lsm_snapshot_take(model->lsm, model->ts, &model->held[0]);
    model->is_held[0] = true;
    model_write_range(model, 0, KEYS - 1);
    for (uint32_t key = 0; key < KEYS; key += 2) {
        model_write_key(model, key, LSM_PUT, 0);
    }
    flush(model);
    expect_keys(model, model->ts, 0, 2, KEYS);
    expect_keys(model, model->held[0].ts, 1, 2, KEYS - 1);
    model_end(model);
}

FIBER_TEST(lsm_iter, an_iterator_opened_again_sees_its_own_bounds_and_moment)
{
    struct model *model = model_with_bottom(4);
    struct lsm_iter *iter = scan_all(model, model->ts);
    struct lsm_iter *other;
    uint64_t before = model->ts;

    lsm_iter_close(&iter);
    cr_assert_not_null(model->lsm->iter_spare);
    model_write_range(model, 0, 10);
    cr_assert_eq(lsm_iter_open(model->lsm, model->keys[2], model->keys[20], model->ts, &iter),
                 ERR_OK);
    cr_assert_null(model->lsm->iter_spare, "the spare was not used");
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    cr_assert(slice_equal(lsm_iter_entry(iter)->key, model->keys[10]));
    other = scan_all(model, before);
    cr_assert(slice_equal(lsm_iter_entry(other)->key, model->keys[0]));
    lsm_iter_close(&iter);
    lsm_iter_close(&other);
    model_rotate(model);
    cr_assert_null(model->lsm->iter_spare, "a memtable that was frozen is kept by nobody idle");
    model_end(model);
}
