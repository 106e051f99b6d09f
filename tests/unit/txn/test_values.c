/* tests/unit/txn/test_values.c - value logs of which little is used give their space back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/txn/store_fixture.h"
#include "txn/internal.h"

enum { VALUES = 12, KEPT_EVERY = 6, VALUE_BYTES = 70000 };

static void
begin(void)
{
    world_begin_seeded(5);
    options.memory_bytes = 8 << 20;
}

TestSuite(values, .init = begin, .fini = world_end, .timeout = 120);

static void
key_of(int number, char key[16])
{
    snprintf(key, 16, "value%02d", number);
}

static struct slice
value_of(int number)
{
    static char bytes[VALUE_BYTES];

    memset(bytes, 'a' + number, sizeof(bytes));
    return slice_of(bytes, sizeof(bytes));
}

static void
flush(void)
{
    store_rotate(store, store_appended(store));
    cr_assert_eq(lsm_flush(store_lsm(store)), ERR_OK);
}

static void
write_all(void)
{
    for (int i = 0; i < VALUES; i++) {
        struct store_batch batch;
        char key[16];

        key_of(i, key);
        store_batch_init(&batch);
        store_batch_put(&batch, 1, slice_from_text(key), value_of(i), 0);
        cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK);
        store_batch_fini(&batch);
    }
    flush();
}

static void
delete_most(void)
{
    for (int i = 0; i < VALUES; i++) {
        char key[16];

        key_of(i, key);
        if (i % KEPT_EVERY != 0) {
            delete_key(key);
        }
    }
    flush();
    cr_assert_eq(lsm_compact(store_lsm(store), SLICE(""), SLICE("")), ERR_OK);
}

static void
expect_kept(void)
{
    for (int i = 0; i < VALUES; i++) {
        struct lsm_value value = {0};
        struct arena arena;
        char key[16];

        key_of(i, key);
        arena_init(&arena, MEM_SESSIONS);
        cr_assert_eq(store_get(store, slice_from_text(key), &arena, &value), ERR_OK);
        cr_assert_eq(value.is_found, i % KEPT_EVERY == 0);
        cr_assert(!value.is_found || slice_equal(value.value, value_of(i)));
        arena_fini(&arena);
    }
    cr_assert_eq(lsm_verify(store_lsm(store)), ERR_OK);
}

static void
sum_vlogs(const char *path, uint64_t size, void *arg)
{
    if (strstr(path, ".vlog") != NULL) {
        *(uint64_t *)arg += size;
    }
}

static uint64_t
vlog_bytes(void)
{
    uint64_t bytes = 0;

    sim_disk_visit(world, sum_vlogs, &bytes);
    return bytes;
}

Test(values, a_file_of_which_little_is_used_is_collected)
{
    life_begin();
    life_run(write_all);
    life_close();
    cr_assert_gt(vlog_bytes(), VALUES * VALUE_BYTES);
    life_begin(); /* The file is full now: nothing is added to one of an earlier run. */
    life_run(delete_most);
    life_idle(3000000);
    life_run(expect_kept);
    cr_assert_lt(vlog_bytes(), VALUES * VALUE_BYTES / 2, "%lu bytes stay", vlog_bytes());
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(expect_kept);
    life_close();
}

Test(values, a_power_cut_at_any_time_of_the_collection_loses_nothing)
{
    for (uint64_t us = 0; us < 60000; us += 2000) {
        sim_world_free(&world);
        begin();
        life_begin();
        life_run(write_all);
        life_close();
        life_begin();
        life_run(delete_most);
        life_idle(us);
        life_crash(SIM_CRASH_POWER_CUT);
        life_begin();
        life_run(expect_kept);
        life_idle(3000000);
        life_run(expect_kept);
        cr_assert_lt(vlog_bytes(), VALUES * VALUE_BYTES / 2);
        life_close();
    }
}

static struct store_snapshot old;

static void
hold_snapshot(void)
{
    store_snapshot_take(store, &old);
}

static void
drop_snapshot(void)
{
    struct lsm_value value = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(store_get_at(store, &old, SLICE("value01"), &arena, &value), ERR_OK);
    cr_assert(value.is_found, "the snapshot sees what was deleted after it");
    cr_assert(slice_equal(value.value, value_of(1)));
    arena_fini(&arena);
    store_snapshot_drop(store, &old);
}

Test(values, what_a_snapshot_sees_stays)
{
    life_begin();
    life_run(write_all);
    life_close();
    life_begin();
    life_run(hold_snapshot);
    life_run(delete_most);
    life_idle(3000000);
    life_run(drop_snapshot);
    life_run(expect_kept);
    life_close();
}
