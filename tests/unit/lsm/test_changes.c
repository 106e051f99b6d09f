/* tests/unit/lsm/test_changes.c - what was written since, and writes that come in any order. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/lsm/tree_model.h"

TestSuite(lsm_changes, .timeout = 120);

static const struct slice everything;

/* ---- Beside a list of all writes. ---- */

/* Keys [low, high). */
static bool
model_changed(const struct model *model, uint32_t low, uint32_t high, uint64_t since)
{
    for (uint32_t i = 0; i < model->write_count; i++) {
        const struct write *write = &model->writes[i];
        uint32_t end = write->is_range ? write->end : write->key + 1;

        if (write->ts > since && write->key < MIN(high, end) && low < end) {
            return true;
        }
    }
    return false;
}

/* Mostly young; any that may be asked for. */
static uint64_t
since_draw(struct model *model)
{
    uint64_t floor = lsm_changes_oldest(model->lsm);
    uint64_t span = model_below(model, 3) == 0 ? UINT64_C(2000000) : 40;
    uint64_t back = (uint64_t)model_below(model, (uint32_t)span) * TS_STEP;

    return MAX(floor, model->ts - MIN(model->ts, back));
}

static bool
check_key(struct model *model, bool may_suspend)
{
    uint64_t since = since_draw(model);
    uint32_t key = model_below(model, KEYS);
    bool is_changed = false;
    bool is_answered = false;

    cr_assert_eq(
        lsm_changed(model->lsm, model->keys[key], since, may_suspend, &is_changed, &is_answered),
        ERR_OK);
    cr_assert(is_answered || !may_suspend);
    cr_assert(!is_answered || is_changed == model_changed(model, key, key + 1, since),
              "key %u since %llu", key, (unsigned long long)since);
    return is_answered;
}

static bool
check_range(struct model *model, bool may_suspend)
{
    uint64_t since = since_draw(model);
    uint32_t low = model_below(model, KEYS);
    uint32_t high = low + 1 + model_below(model, model_below(model, 2) == 0 ? KEYS - low : 4);
    struct slice lower = low == 0 && model_below(model, 2) == 0 ? everything : model->keys[low];
    struct slice upper = high >= KEYS ? everything : model->keys[high];
    bool is_changed = false;
    bool is_answered = false;

    cr_assert_eq(
        lsm_range_changed(model->lsm, lower, upper, since, may_suspend, &is_changed, &is_answered),
        ERR_OK);
    cr_assert(is_answered || !may_suspend);
    cr_assert(!is_answered || is_changed == model_changed(model, low, high, since),
              "keys %u to %u since %llu: %d", low, high, (unsigned long long)since, is_changed);
    return is_answered;
}

static void
random_run(uint64_t seed, bool background)
{
    struct model *model;
    uint32_t answered[2] = {0};
    char dir[32];

    snprintf(dir, sizeof(dir), "tree-%llu", (unsigned long long)seed);
    model = model_new(seed, dir, background);
    model_open(model);
    for (uint32_t i = 0; i < 3000; i++) {
        bool may_suspend = model_below(model, 2) == 0;

        model_step(model);
        answered[0] += check_key(model, may_suspend);
        answered[1] += check_range(model, may_suspend);
    }
    cr_assert_gt(answered[0], 2000);
    cr_assert_gt(answered[1], 2000);
    model_close(model);
    model_free(model);
}

FIBER_TEST(lsm_changes, keys_and_ranges_changed_as_a_list_of_all_writes_says)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        random_run(seed, seed % 2 == 0);
    }
}

/* ---- What is asked. ---- */

static void
tables_make(struct model *model)
{
    for (uint32_t i = 0; i < KEYS; i++) {
        model_write_key(model, i, LSM_PUT, 0);
    }
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
}

static uint64_t
blocks_read(const struct model *model)
{
    struct lsm_stats stats;

    lsm_stats_get(model->lsm, &stats);
    return stats.cache_misses;
}

FIBER_TEST(lsm_changes, tables_without_anything_so_new_are_not_read)
{
    struct model *model = model_new(1, "tree", false);
    uint64_t since, before;
    bool is_changed = true;
    bool is_answered = false;

    model_open(model);
    tables_make(model);
    model_close(model); /* Nothing of it is in the cache any more. */
    model_open(model);
    since = model->ts;
    before = blocks_read(model);
    model_write_key(model, 7, LSM_DELETE, 0);
    for (uint32_t i = 0; i < KEYS; i++) {
        cr_assert_eq(
            lsm_changed(model->lsm, model->keys[i], since, false, &is_changed, &is_answered),
            ERR_OK);
        cr_assert(is_answered);
        cr_assert_eq(is_changed, i == 7);
    }
    cr_assert_eq(lsm_range_changed(model->lsm, model->keys[8], everything, since, false,
                                   &is_changed, &is_answered),
                 ERR_OK);
    cr_assert(is_answered);
    cr_assert(!is_changed);
    cr_assert_eq(blocks_read(model), before);
    model_close(model);
    model_free(model);
}

enum { LARGE = LSM_CHANGES_KEYS_MAX + 1000 };

static void
put_number(struct lsm *lsm, uint32_t number, uint64_t ts)
{
    uint8_t key[5] = {'k'};
    struct lsm_entry entry = {.key = slice_of(key, 5), .ts = ts, .kind = LSM_PUT};

    put_be32(key + 1, number);
    lsm_apply(lsm, &entry);
}

/* [low, high); is it known without suspending, and if so, was it changed? */
static bool
knows(struct lsm *lsm, uint32_t low, uint32_t high, uint64_t since, bool *is_changed)
{
    uint8_t lower[5] = {'k'};
    uint8_t upper[5] = {'k'};
    bool is_answered = false;

    put_be32(lower + 1, low);
    put_be32(upper + 1, high);
    cr_assert_eq(lsm_range_changed(lsm, slice_of(lower, 5), slice_of(upper, 5), since, false,
                                   is_changed, &is_answered),
                 ERR_OK);
    return is_answered;
}

FIBER_TEST(lsm_changes, a_large_range_is_known_by_the_last_writes_when_it_is_asked_again)
{
    struct model *model;
    struct lsm *lsm;
    uint64_t ts = 1000;
    bool is_changed = false;

    model = model_new(1, "tree", false);
    model->options.memtable_bytes = 64 << 20;
    model_open(model);
    lsm = model->lsm;
    for (uint32_t i = 0; i < LARGE; i++) {
        put_number(lsm, 2 * i, ++ts);
    }
    cr_assert(!knows(lsm, 2, 2 * LARGE, ts - LARGE, &is_changed) || is_changed);
    put_number(lsm, 0, ++ts);
    cr_assert(!knows(lsm, 2, 2 * LARGE, ts - 1, &is_changed), "too much to look through");
    for (uint32_t i = 0; i < 100; i++) {
        put_number(lsm, 1, ++ts);
    }
    put_number(lsm, 1001, ts - 50); /* Late. */
    for (uint32_t i = 0; i < 100; i++) {
        put_number(lsm, 1, ++ts);
    }
    cr_assert(knows(lsm, 2, 2 * LARGE, ts - 200, &is_changed));
    cr_assert(is_changed);
    cr_assert(knows(lsm, 2, 2 * LARGE, ts - 149, &is_changed));
    cr_assert(!is_changed);
    cr_assert(knows(lsm, 1, 2 * LARGE, ts - 1, &is_changed));
    cr_assert(is_changed);
    cr_assert(knows(lsm, 1002, 2 * LARGE, ts - 200, &is_changed));
    cr_assert(!is_changed);
    for (uint32_t i = 0; i < MEMTABLE_RECENT_WRITES; i++) {
        put_number(lsm, 1, ++ts);
    }
    cr_assert(knows(lsm, 2, 2 * LARGE, ts - 1000, &is_changed));
    cr_assert(!is_changed);
    cr_assert(!knows(lsm, 2, 2 * LARGE, ts - MEMTABLE_RECENT_WRITES - 1, &is_changed),
              "too much was written since");
    model_close(model);
    model_free(model);
}

FIBER_TEST(lsm_changes, what_would_have_to_be_read_is_not_answered_from_memory)
{
    struct model *model = model_new(1, "tree", false);
    bool is_changed = false;
    bool is_answered = true;

    model_open(model);
    tables_make(model);
    model_close(model);
    model_open(model);
    cr_assert_eq(lsm_changed(model->lsm, model->keys[3], 0, false, &is_changed, &is_answered),
                 ERR_OK);
    cr_assert(!is_answered);
    cr_assert_eq(lsm_changed(model->lsm, model->keys[3], 0, true, &is_changed, &is_answered),
                 ERR_OK);
    cr_assert(is_answered && is_changed);
    cr_assert_eq(lsm_changed(model->lsm, model->keys[3], 0, false, &is_changed, &is_answered),
                 ERR_OK);
    cr_assert(is_answered && is_changed, "it was read a moment ago");
    model_close(model);
    model_free(model);
}

FIBER_TEST(lsm_changes, a_moment_from_which_deletes_may_be_gone_is_refused)
{
    struct model *model = model_new(1, "tree", false);
    struct lsm_snapshot held;
    uint64_t since;
    bool is_changed = false;
    bool is_answered = false;

    model_open(model);
    model_write_key(model, 3, LSM_PUT, 0);
    since = model->ts;
    lsm_snapshot_take(model->lsm, since, &held);
    model_write_key(model, 3, LSM_DELETE, 0);
    lsm_horizon_set(model->lsm, model->ts);
    tables_make(model);
    cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
    cr_assert_eq(lsm_changed(model->lsm, model->keys[3], since, true, &is_changed, &is_answered),
                 ERR_OK);
    cr_assert(is_changed);
    lsm_snapshot_drop(model->lsm, &held);
    cr_assert_eq(lsm_changed(model->lsm, model->keys[3], since, true, &is_changed, &is_answered),
                 ERR_SNAPSHOT_TOO_OLD);
    cr_assert_eq(lsm_range_changed(model->lsm, model->keys[3], everything, since, true, &is_changed,
                                   &is_answered),
                 ERR_SNAPSHOT_TOO_OLD);
    model_close(model);
    model_free(model);
}

/* ---- Writes in any order. ---- */

enum { SHUFFLED = 1500 };

static void
writes_draw(struct model *model)
{
    for (uint32_t i = 0; i < SHUFFLED; i++) {
        struct write *write = &model->writes[model->write_count];
        uint32_t kind = model_below(model, 100);

        memset(write, 0, sizeof(*write));
        model->ts += TS_STEP;
        write->ts = model->ts;
        write->lsn = ++model->write_count;
        write->key = model_below(model, KEYS - 1);
        write->kind = kind < 25 ? LSM_DELETE : LSM_PUT;
        write->value_size = kind < 25 ? 0 : model_below(model, 60);
        if (kind < 4) {
            write->is_range = true;
            write->end = write->key + 1 + model_below(model, KEYS - 1 - write->key);
        }
    }
}

static void
writes_apply_shuffled(struct model *model)
{
    uint32_t order[SHUFFLED];

    for (uint32_t i = 0; i < SHUFFLED; i++) {
        uint32_t other = model_below(model, i + 1);

        order[i] = order[other];
        order[other] = i;
    }
    for (uint32_t i = 0; i < SHUFFLED; i++) {
        model_apply(model, &model->writes[order[i]], 0);
        if (model_below(model, 10) ==
            0) { /* Once more: another log is replayed from further back. */
            model_apply(model, &model->writes[order[model_below(model, i + 1)]], 0);
        }
        if (model_below(model, 400) == 0) {
            model_rotate(model);
            cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
        }
    }
}

FIBER_TEST(lsm_changes, writes_of_other_logs_in_any_order_give_what_they_give_in_order)
{
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct model *model;
        char dir[32];

        snprintf(dir, sizeof(dir), "tree-%llu", (unsigned long long)seed);
        model = model_new(seed, dir, false);
        model_open(model);
        writes_draw(model);
        writes_apply_shuffled(model);
        for (uint32_t i = 0; i < 400; i++) {
            uint64_t snapshot = model->writes[model_below(model, SHUFFLED)].ts;

            model_check_get(model, snapshot);
            check_key(model, true);
            check_range(model, true);
        }
        model_rotate(model);
        lsm_horizon_set(model->lsm, model->ts);
        cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
        cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
        model_check_all(model);
        model_close(model);
        model_free(model);
    }
}

FIBER_TEST(lsm_changes, writes_without_a_position_do_not_disturb_those_that_have_one)
{
    struct model *model = model_new(1, "tree", false);
    struct arena arena;
    struct lsm_value value;

    arena_init(&arena, MEM_SESSIONS);
    model_open(model);
    model_write_key(model, 1, LSM_PUT, 0);
    model_write_key(model, 2, LSM_PUT, 0);
    model->write_count++; /* A write of another log. */
    model->writes[2] = (struct write){.key = 1, .kind = LSM_PUT, .ts = model->ts + 1, .lsn = 3};
    model_apply(model, &model->writes[2], 0);
    model_write_key(model, 3, LSM_PUT, 0);
    cr_assert_eq(model->lsm->active->lsn_first, 1);
    cr_assert_eq(model->lsm->active->lsn_newest, 4);
    cr_assert_eq(lsm_get(model->lsm, model->keys[1], LSM_TS_MAX, &arena, &value), ERR_OK);
    cr_assert_eq(value.ts, model->writes[2].ts);
    cr_assert_eq(value.lsn, 0, "durable, as the other log is");
    cr_assert_eq(lsm_get(model->lsm, model->keys[3], LSM_TS_MAX, &arena, &value), ERR_OK);
    cr_assert_eq(value.lsn, 4);
    arena_fini(&arena);
    model_close(model);
    model_free(model);
}
