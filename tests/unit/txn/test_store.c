/* tests/unit/txn/test_store.c - commits, reads and lives of a store. */
#include <errno.h>
#include <stdio.h>

#include "engine/base/prng.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/internal.h"

TestSuite(store, .init = world_begin, .fini = world_end, .timeout = 120);

#define EXPECT_TEXT(actual, expected)                                                              \
    do {                                                                                           \
        const char *actual_ = (actual);                                                            \
        cr_assert(actual_ != NULL && strcmp(actual_, (expected)) == 0, "got %s, not %s",           \
                  actual_ == NULL ? "nothing" : actual_, (expected));                              \
    } while (0)

/* ---- Commits. ---- */

static void
put_and_get(void)
{
    struct store_batch batch;
    uint64_t ts = 0;
    lsn_t lsn = 0;

    cr_assert_null(get("a"));
    put("a", "1");
    EXPECT_TEXT(get("a"), "1");
    put("a", "2");
    EXPECT_TEXT(get("a"), "2");
    delete_key("a");
    cr_assert_null(get("a"));

    store_batch_init(&batch);
    cr_assert_eq(store_commit(store, &batch, &ts, &lsn), ERR_OK);
    cr_assert_eq(lsn, 0, "an empty batch does nothing");
    store_batch_put(&batch, 1, SLICE(""), SLICE("x"), 0);
    cr_assert_eq(store_commit(store, &batch, &ts, &lsn), ERR_INVALID);
    cr_assert_eq(lsn, 0);
    store_batch_fini(&batch);
}

Test(store, what_was_put_is_read)
{
    life_begin();
    life_run(put_and_get);
    life_close();
}

static void
commit_mixed(void)
{
    struct store_batch batch;
    uint64_t ts[2];
    lsn_t lsn;

    put("r1", "old");
    put("r2", "old");
    put("s", "stays");
    store_batch_init(&batch);
    store_batch_delete_range(&batch, SLICE("r"), SLICE("s"));
    store_batch_put(&batch, 1, SLICE("r2"), SLICE("new"), 0);
    store_batch_put(&batch, 1, SLICE("x"), SLICE("first"), 0);
    store_batch_put(&batch, 1, SLICE("x"), SLICE("last"), 0);
    store_batch_counter_add(&batch, 5, 10);
    store_batch_counter_add(&batch, 5, -3);
    store_batch_counter_add(&batch, 6, 42);
    cr_assert_eq(store_commit(store, &batch, &ts[0], &lsn), ERR_OK);
    store_wait_durable(store, lsn);
    cr_assert_geq(store_durable(store), lsn);
    store_batch_clear(&batch);
    store_batch_delete(&batch, 1, SLICE("nothing"));
    cr_assert_eq(store_commit(store, &batch, &ts[1], NULL), ERR_OK);
    cr_assert_gt(ts[1], ts[0]);
    store_batch_fini(&batch);
}

static void
check_mixed(void)
{
    cr_assert_null(get("r1"));
    EXPECT_TEXT(get("r2"), "new");
    EXPECT_TEXT(get("s"), "stays");
    EXPECT_TEXT(get("x"), "last");
    cr_assert_eq(store_counter(store, 5), 7);
    cr_assert_eq(store_counter(store, 6), 42);
    cr_assert_eq(store_counter(store, 7), 0);
}

Test(store, a_batch_takes_effect_as_a_whole_and_survives)
{
    life_begin();
    life_run(commit_mixed);
    life_run(check_mixed);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(check_mixed);
    life_close();
    life_begin();
    life_run(check_mixed);
    life_close();
}

/* ---- Snapshots. ---- */

static void
read_at_snapshots(void)
{
    struct store_snapshot before;
    struct store_snapshot between;
    struct lsm_iter *iter = NULL;

    put("k", "0");
    store_snapshot_take(store, &before);
    put("k", "1"); /* In the same microsecond, perhaps. */
    store_snapshot_take(store, &between);
    delete_key("k");
    put("l", "new");
    EXPECT_TEXT(get_at(&before, "k"), "0");
    EXPECT_TEXT(get_at(&between, "k"), "1");
    cr_assert_null(get("k"));
    cr_assert_null(get_at(&between, "l"));

    cr_assert_eq(store_scan_open(store, &between, SLICE("a"), SLICE("z"), &iter), ERR_OK);
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    cr_assert(lsm_iter_is_valid(iter));
    cr_assert(slice_equal(lsm_iter_entry(iter)->value, SLICE("1")));
    cr_assert_eq(lsm_iter_next(iter), ERR_OK);
    cr_assert_not(lsm_iter_is_valid(iter));
    lsm_iter_close(&iter);
    store_snapshot_drop(store, &between);
    EXPECT_TEXT(get_at(&before, "k"), "0");
    store_snapshot_drop(store, &before);
}

Test(store, a_snapshot_sees_what_was_there_when_it_was_taken)
{
    life_begin();
    life_run(read_at_snapshots);
    life_close();
}

/* ---- Large values, expiry. ---- */

static uint8_t large_value[200000];

static void
put_large(void)
{
    struct store_batch batch;
    lsn_t lsn;

    for (size_t i = 0; i < sizeof(large_value); i++) {
        large_value[i] = (uint8_t)(i * 31);
    }
    store_batch_init(&batch);
    store_batch_put(&batch, 1, SLICE("large"), slice_of(large_value, sizeof(large_value)), 0);
    store_batch_put(&batch, 1, SLICE("small"), SLICE("v"), 0);
    cr_assert_not(store_commit_is_immediate(store, &batch));
    cr_assert_eq(store_commit(store, &batch, NULL, &lsn), ERR_OK);
    store_wait_durable(store, lsn);
    store_batch_fini(&batch);
}

static void
check_large(void)
{
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = store_get(store, SLICE("large"), &arena, &value);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert(value.is_found);
    cr_assert(slice_equal(value.value, slice_of(large_value, sizeof(large_value))));
    arena_fini(&arena);
    EXPECT_TEXT(get("small"), "v");
}

Test(store, a_large_value_goes_beside_the_log_and_survives)
{
    life_begin();
    life_run(put_large);
    life_run(check_large);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(check_large);
    life_close();
    life_begin();
    life_run(check_large);
    life_close();
}

static void
put_expiring(void)
{
    uint64_t now_us = store_read_ts(store) >> CLOCK_COUNTER_BITS;
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_put(&batch, 1, SLICE("soon"), SLICE("v"), now_us + 50000);
    store_batch_put(&batch, 1, SLICE("late"), SLICE("v"), now_us + 50000000);
    cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK);
    store_batch_fini(&batch);
    EXPECT_TEXT(get("soon"), "v");
    cr_assert_eq(fiber_sleep_us(60000), ERR_OK);
    cr_assert_null(get("soon"));
    EXPECT_TEXT(get("late"), "v");
}

Test(store, a_key_ceases_at_its_expiry)
{
    life_begin();
    life_run(put_expiring);
    life_close();
}

/* ---- Growing. ---- */

enum { MANY = 3000 };

static void
put_many(void)
{
    char key[32];
    char value[256];

    for (uint32_t i = 0; i < MANY; i++) {
        struct store_batch batch;

        snprintf(key, sizeof(key), "key-%05u", i * 7919 % MANY);
        snprintf(value, sizeof(value), "%0200u", i * 7919 % MANY);
        store_batch_init(&batch);
        store_batch_put(&batch, 1, slice_from_text(key), slice_from_text(value), 0);
        store_batch_counter_add(&batch, 1, 1);
        cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK);
        store_batch_fini(&batch);
    }
    store_wait_durable(store, store_appended(store));
}

static void
check_many(void)
{
    char key[32];
    char value[256];

    cr_assert_eq(store_counter(store, 1), MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        snprintf(key, sizeof(key), "key-%05u", i);
        snprintf(value, sizeof(value), "%0200u", i);
        EXPECT_TEXT(get(key), value);
    }
}

static uint64_t
log_bytes_on_disk(void)
{
    struct wal_stats stats;

    wal_stats_get(store_wal(store), &stats);
    return stats.segments_live * options.wal_segment_bytes;
}

Test(store, data_beyond_the_memtables_is_flushed_and_the_log_is_recycled)
{
    struct lsm_stats stats;

    life_begin();
    life_run(put_many);
    life_idle(1000000);
    lsm_stats_get(store_lsm(store), &stats);
    cr_assert_gt(stats.flushes, 0);
    cr_assert_leq(log_bytes_on_disk(), 1536 << 10);
    life_run(check_many);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(check_many);
    life_close();
    life_begin();
    life_run(check_many);
    life_close();
}

static void
overwrite_one_key(void)
{
    char value[1000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (uint32_t i = 0; i < 5000; i++) {
        put("hot", value);
        if (i % 50 == 0) {
            store_wait_durable(store, store_appended(store));
        }
    }
}

Test(store, the_log_of_a_key_that_is_overwritten_for_ever_is_bounded)
{
    life_begin();
    life_run(overwrite_one_key);
    life_idle(1000000);
    cr_assert_leq(log_bytes_on_disk(), 2 << 20, "%llu", (unsigned long long)log_bytes_on_disk());
    life_close();
}

static void
count_for_ever(void)
{
    for (uint32_t i = 0; i < 40000; i++) {
        struct store_batch batch;

        store_batch_init(&batch);
        store_batch_counter_add(&batch, 9, 1);
        cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK);
        store_batch_fini(&batch);
        if (i % 100 == 0) {
            store_wait_durable(store, store_appended(store));
        }
    }
}

static void
check_count(void)
{
    cr_assert_eq(store_counter(store, 9), 40000);
}

Test(store, the_log_of_a_counter_is_bounded)
{
    life_begin();
    life_run(count_for_ever);
    life_idle(1000000);
    cr_assert_leq(log_bytes_on_disk(), 1536 << 10, "%llu", (unsigned long long)log_bytes_on_disk());
    life_close();
    life_begin();
    life_run(check_count);
    life_close();
}

/* ---- The clock. ---- */

static uint64_t clock_before;

static void
note_clock(void)
{
    put_durably("k", "v");
    clock_before = store_clock(store);
}

static void
clock_is_later(void)
{
    put("k", "w");
    cr_assert_gt(store_clock(store), clock_before);
}

Test(store, timestamps_grow_over_crashes_even_when_the_wall_clock_steps_back)
{
    life_begin();
    life_run(note_clock);
    life_crash(SIM_CRASH_POWER_CUT);
    sim_world_options(world)->wall_step_ppm = 1000000;
    sim_world_options(world)->wall_step_us_max = 3600000000;
    for (uint32_t i = 0; i < 20; i++) {
        life_begin();
        life_run(clock_is_later);
        life_run(note_clock);
        life_crash(i % 2 == 0 ? SIM_CRASH_POWER_CUT : SIM_CRASH_KILL);
    }
}

static void
commit_after_idling(void)
{
    for (uint32_t i = 0; i < 5; i++) {
        cr_assert_leq(store_clock(store), wal_clock_durable(store_wal(store)));
        put("k", "v");
        cr_assert_leq(store_clock(store), wal_clock_durable(store_wal(store)));
        cr_assert_eq(fiber_sleep_us(5000000), ERR_OK);
    }
}

Test(store, no_commit_passes_the_durable_ceiling)
{
    life_begin();
    life_run(commit_after_idling);
    life_close();
}

/* ---- The folder. ---- */

static err_t
open_plainly(void *arg)
{
    struct store *opened;

    (void)arg;
    return store_open(&options, &opened);
}

static void
open_plainly_fiber(void *arg)
{
    (void)open_plainly(arg);
}

Test(store, another_number_of_shards_is_refused_with_advice)
{
    life_begin();
    life_close();
    sim_world_boot(world, 2);
    cr_assert_eq(sim_world_call(world, 0, open_plainly, NULL), ERR_FORMAT);
    cr_assert(strstr(err_message(ERR_FORMAT), "written by 1 shards") != NULL);
    sim_world_stop(world);
}

/* Shard i opens the folder of shard i ^ *arg. */
static err_t
open_exchanged(void *arg)
{
    const uint32_t *with = arg;
    struct store *opened;
    char dir[16];

    snprintf(dir, sizeof(dir), "shard-%u", shard_id() ^ *with);
    options.dir = dir;
    return store_open(&options, &opened);
}

Test(store, a_folder_of_another_shard_is_refused)
{
    uint32_t with = 0;

    cr_assert_eq(sim_world_start(world, 2, open_exchanged, &with), ERR_OK);
    sim_world_crash(world, SIM_CRASH_KILL);
    with = 1;
    cr_assert_eq(sim_world_start(world, 2, open_exchanged, &with), ERR_FORMAT);
    cr_assert(strstr(err_message(ERR_FORMAT), "folders were exchanged") != NULL);
    sim_world_stop(world);
}

Test(store, a_shard_that_opens_alone_gives_up)
{
    sim_world_boot(world, 2);
    cr_assert_eq(sim_world_call(world, 0, open_plainly, NULL), ERR_TIMEOUT);
    cr_assert(strstr(err_message(ERR_TIMEOUT), "shard 1") != NULL);
    sim_world_stop(world);
}

Test(store, a_rotten_shape_file_is_corrupt)
{
    life_begin();
    life_close();
    cr_assert(sim_disk_flip_bit(world, "shard-0/STORE", 40 * 8));
    cr_assert_eq(life_try(), ERR_CORRUPT);
    cr_assert(strstr(err_message(ERR_CORRUPT), "shard-0/STORE") != NULL);
}

static err_t
remove_log(void *arg)
{
    (void)arg;
    return io_unlink("shard-0/wal/0000000000000000.log");
}

Test(store, a_store_without_its_log_is_corrupt)
{
    life_begin();
    life_run(note_clock);
    life_close();
    sim_world_boot(world, 1);
    cr_assert_eq(sim_world_call(world, 0, remove_log, NULL), ERR_OK);
    sim_world_stop(world);
    cr_assert_eq(life_try(), ERR_CORRUPT);
}

Test(store, a_crash_while_it_is_made_leaves_nothing_in_the_way)
{
    for (uint64_t us = 0; us < 8000; us += 100) {
        world_end();
        world_begin_seeded(us + 1);
        sim_world_boot(world, 1);
        sim_world_spawn(world, 0, "open", open_plainly_fiber, NULL);
        sim_world_run(world, NULL, NULL, us);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        life_begin();
        life_run(note_clock);
        life_crash(SIM_CRASH_POWER_CUT);
        life_begin();
        life_run(clock_is_later);
        life_close();
    }
}

/* ---- Failing disks. ---- */

static err_t last_error;

static void
fill(void)
{
    static uint8_t value[4000];
    struct store_batch batch;
    struct prng prng;
    char key[32];

    prng_init(&prng, 7);
    for (size_t i = 0; i < sizeof(value); i += sizeof(uint64_t)) {
        put_le64(value + i, prng_next(&prng)); /* Tables are compressed: this is not. */
    }
    store_batch_init(&batch);
    for (uint32_t i = 0; i < 3000; i++) {
        snprintf(key, sizeof(key), "fill-%u", i);
        store_batch_clear(&batch);
        store_batch_put(&batch, 1, slice_from_text(key), slice_of(value, sizeof(value)), 0);
        last_error = store_commit(store, &batch, NULL, NULL);
        if (last_error != ERR_OK) {
            break;
        }
    }
    store_batch_fini(&batch);
}

static void
read_first(void)
{
    struct lsm_value value = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(store_get(store, SLICE("fill-0"), &arena, &value), ERR_OK);
    cr_assert(value.is_found);
    cr_assert_eq(value.value.size, 4000);
    arena_fini(&arena);
}

Test(store, a_full_disk_refuses_commits_serves_reads_and_recovers)
{
    life_begin();
    sim_world_options(world)->disk_bytes = 3 << 20;
    life_run(fill);
    cr_assert_eq(last_error, ERR_NO_SPACE);
    life_run(read_first);
    life_idle(3000000);
    life_run(read_first);
    sim_world_options(world)->disk_bytes = 0;
    life_idle(3000000);
    life_run(fill);
    cr_assert_eq(last_error, ERR_OK);
    life_run(read_first);
    life_close();
    life_begin();
    life_run(read_first);
    life_close();
}

static void
put_large_without_space(void)
{
    struct store_batch batch;
    lsn_t before = store_appended(store);

    store_batch_init(&batch);
    store_batch_put(&batch, 1, SLICE("large"), slice_of(large_value, sizeof(large_value)), 0);
    store_batch_put(&batch, 1, SLICE("beside"), SLICE("v"), 0);
    cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_NO_SPACE);
    cr_assert_eq(store_appended(store), before);
    cr_assert_null(get("large"));
    cr_assert_null(get("beside"));
    cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK, "the batch is as it was");
    EXPECT_TEXT(get("beside"), "v");
    store_batch_fini(&batch);
}

Test(store, a_large_value_that_finds_no_space_leaves_nothing_of_its_batch)
{
    life_begin();
    sim_disk_fail_next(world, SIM_OP_WRITE, "lsm/", 0, 1, -ENOSPC);
    life_run(put_large_without_space);
    life_close();
}
