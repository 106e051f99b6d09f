/* tests/unit/wal/test_writer.c - appending, group commit, durability. */
#include <errno.h>

#include "engine/rt/fiber.h"
#include "tests/unit/wal/wal_fixture.h"
#include "wal/internal.h"

TestSuite(wal_writer, .init = world_begin, .fini = world_end, .timeout = 60);

/* ---- Bodies. ---- */

static lsn_t last_lsn;
static uint64_t heard_durable;
static uint32_t heard_count;

static void
append_hundred(void)
{
    for (uint64_t i = 0; i < 100; i++) {
        last_lsn = append(i, 50);
    }
}

static void
append_hundred_durably(void)
{
    append_hundred();
    wal_wait_durable(wal, last_lsn);
}

static void
heard(void *arg, lsn_t durable)
{
    cr_assert_eq(arg, &heard_durable);
    cr_assert_gt(durable, heard_durable);
    heard_durable = durable;
    heard_count++;
}

static void
append_with_listener(void)
{
    heard_durable = 0;
    heard_count = 0;
    wal_on_durable(wal, heard, &heard_durable);
    for (uint64_t i = 0; i < 10; i++) {
        append_durably(i, 100);
    }
}

static struct wal_stats
stats(void)
{
    struct wal_stats taken;

    wal_stats_get(wal, &taken);
    return taken;
}

/* ---- Records. ---- */

Test(wal_writer, durable_records_are_replayed_in_order_with_their_positions)
{
    lsn_t last;

    life_begin();
    life_run(append_hundred_durably);
    last = last_lsn;
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 100);
    cr_assert_eq(recovered.records, 100);
    cr_assert_eq(journal.lsns[99], last);
    cr_assert_geq(recovered.end, last);
    for (uint64_t i = 0; i < 100; i++) {
        cr_assert_eq(journal.values[i], i);
        cr_assert(i == 0 || journal.lsns[i] > journal.lsns[i - 1]);
    }
    life_close();
}

Test(wal_writer, records_of_one_turn_share_a_batch)
{
    struct wal_stats before;

    life_begin();
    before = stats();
    life_run(append_hundred_durably);
    cr_assert_eq(stats().batches, before.batches + 1);
    cr_assert_eq(stats().records, 100);
    life_close();
}

Test(wal_writer, listeners_hear_each_growth_of_the_durable_position)
{
    life_begin();
    life_run(append_with_listener);
    cr_assert_geq(heard_count, 10);
    cr_assert_eq(heard_durable, wal_durable(wal));
    life_close();
}

static void
append_of_odd_sizes(void)
{
    for (uint64_t i = 0; i < 2000; i++) {
        append(i, 8 + (i * 7919) % 9000);
    }
}

Test(wal_writer, records_of_all_sizes_cross_segments)
{
    life_begin();
    life_run(append_of_odd_sizes);
    life_close();
    life_begin();
    cr_assert_eq(journal.count, 2000);
    for (uint64_t i = 0; i < 2000; i++) {
        cr_assert_eq(journal.values[i], i);
        cr_assert_eq(journal.sizes[i], 8 + (i * 7919) % 9000);
    }
    life_close();
}

static void
append_largest(void)
{
    size_t largest = options.segment_bytes - WAL_HEADER_BYTES - WAL_RECORD_PREFIX_BYTES;
    lsn_t before = wal_appended(wal);

    cr_assert_eq(wal_reserve(wal, largest + 1), ERR_LIMIT);
    cr_assert_eq(wal_appended(wal), before);
    append_durably(1, largest);
    append_durably(2, 8);
    append_durably(3, largest);
}

Test(wal_writer, a_record_may_fill_a_segment_and_no_more)
{
    options.segment_bytes = 64 << 10;
    life_begin();
    life_run(append_largest);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 3);
    life_close();
}

static void
append_sixteen_mib(void)
{
    cr_assert_eq(wal_reserve(wal, WAL_RECORD_BYTES_MAX + 1), ERR_LIMIT);
    append(1, 100);
    append(2, WAL_RECORD_BYTES_MAX);
    append_durably(3, 100);
}

Test(wal_writer, a_record_of_the_largest_size_gets_a_batch_of_its_own)
{
    options.segment_bytes = 32 << 20;
    life_begin();
    life_run(append_sixteen_mib);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 3);
    cr_assert_eq(journal.sizes[1], WAL_RECORD_BYTES_MAX);
    life_close();
}

/* ---- Bounds. ---- */

static void
append_without_waiting(void)
{
    /* The disk of the simulator takes time, so this gets ahead of it: reserve must wait. */
    for (uint64_t i = 0; i < 200; i++) {
        append(i, 1 << 20);
        cr_assert_leq(wal_appended(wal) - wal_durable(wal),
                      (uint64_t)WAL_PENDING_BYTES_MAX + (2 << 20) + options.segment_bytes);
    }
}

Test(wal_writer, pending_bytes_are_bounded)
{
    options.segment_bytes = 8 << 20;
    life_begin();
    life_run(append_without_waiting);
    life_close();
}

static void
reserve_more_and_more(void)
{
    append_durably(1, 100);
    for (size_t bytes = 100000; bytes < 1000000; bytes += 100000) {
        cr_assert_eq(wal_reserve(wal, bytes), ERR_OK); /* And goes away without an append. */
    }
    append_durably(2, 900000);
}

Test(wal_writer, the_unused_end_of_a_segment_does_not_block_an_idle_log)
{
    options.segment_bytes = 1 << 20;
    options.pending_bytes_max = 64 << 10;
    life_begin();
    life_run(reserve_more_and_more);
    life_close();
}

Test(wal_writer, room_is_told_without_waiting)
{
    life_begin();
    cr_assert(wal_has_room(wal, 100));
    cr_assert_not(wal_has_room(wal, options.segment_bytes));
    life_close();
}

/* ---- Levels. ---- */

Test(wal_writer, at_interval_a_batch_is_written_after_the_interval)
{
    struct wal_stats before;

    options.durability = WAL_INTERVAL;
    options.interval_us = 50000;
    life_begin();
    before = stats();
    life_run(append_hundred);
    life_idle(40000);
    cr_assert_eq(stats().batches, before.batches);
    cr_assert_lt(wal_durable(wal), last_lsn);
    life_idle(20000);
    cr_assert_eq(stats().batches, before.batches + 1);
    cr_assert_geq(wal_durable(wal), last_lsn);
    life_close();
}

Test(wal_writer, at_none_a_waiter_still_gets_its_position_durable)
{
    options.durability = WAL_NONE;
    life_begin();
    life_run(append_hundred_durably);
    cr_assert_geq(wal_durable(wal), last_lsn);
    life_close();
}

Test(wal_writer, at_none_a_batch_is_written_in_the_end)
{
    options.durability = WAL_NONE;
    life_begin();
    life_run(append_hundred);
    life_idle(WAL_NONE_WRITE_US / 2);
    cr_assert_lt(wal_durable(wal), last_lsn);
    life_idle(WAL_NONE_WRITE_US);
    cr_assert_geq(wal_durable(wal), last_lsn);
    life_close();
}

static void
append_then_sync_level(void)
{
    append_hundred();
    wal_set_durability(wal, WAL_SYNC, 0);
}

Test(wal_writer, changing_to_sync_asks_for_the_pending_bytes_at_once)
{
    options.durability = WAL_NONE;
    life_begin();
    life_run(append_then_sync_level);
    life_idle(20000);
    cr_assert_geq(wal_durable(wal), last_lsn);
    life_close();
}

Test(wal_writer, a_closed_log_has_everything_durable_at_every_level)
{
    options.durability = WAL_NONE;
    life_begin();
    life_run(append_hundred);
    life_close();
    sim_disk_power_cut(world);
    life_begin();
    cr_assert_eq(journal.count, 100);
    life_close();
}

/* ---- Heartbeat. ---- */

Test(wal_writer, one_batch_without_records_follows_the_last_write_and_then_the_log_rests)
{
    uint64_t writes;

    life_begin();
    life_run(append_hundred_durably);
    cr_assert_eq(stats().batches_empty, 1, "the first batch of a life");
    life_idle(3 * WAL_HEARTBEAT_US);
    cr_assert_eq(stats().batches_empty, 2);
    writes = sim_disk_count(world, SIM_OP_WRITE);
    life_idle(100 * WAL_HEARTBEAT_US);
    cr_assert_eq(sim_disk_count(world, SIM_OP_WRITE), writes);
    life_close();
}

/* ---- Clock. ---- */

static void
raise_clock(void)
{
    wal_set_clock(wal, 5000, 4000);
    cr_assert_lt(wal_clock_durable(wal), 5000);
    cr_assert_eq(wal_clock_sync(wal), ERR_OK);
    cr_assert_eq(wal_clock_durable(wal), 5000);
}

Test(wal_writer, a_crash_leaves_the_largest_ceiling)
{
    life_begin();
    life_run(raise_clock);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(recovered.clock_ceiling, 5000);
    cr_assert_eq(recovered.closed, 4000);
    cr_assert_eq(wal_clock_durable(wal), 5000);
    life_close();
}

Test(wal_writer, an_orderly_end_leaves_the_clock_where_it_stood)
{
    life_begin();
    life_run(raise_clock);
    wal_set_clock(wal, 4500, 4500);
    life_close();
    life_begin();
    cr_assert_eq(recovered.clock_ceiling, 4500);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(recovered.clock_ceiling, 4500);
    life_close();
}

/* ---- Failing disks. ---- */

static bool
never(void *arg)
{
    (void)arg;
    return false;
}

static void
append_fiber(void *arg)
{
    (void)arg;
    append_hundred_durably();
    cr_assert_fail("a wait must not return after a failed write");
}

Test(wal_writer, a_failed_write_stops_the_process)
{
    life_begin();
    sim_disk_fail_next(world, SIM_OP_WRITE, "wal/", 0, 1, -EIO);
    sim_world_spawn(world, 0, "append", append_fiber, NULL);
    cr_assert_eq(sim_world_run(world, never, NULL, 1000000), SIM_STOP_FATAL);
    cr_assert(strstr(sim_world_fatal_message(world), "wal/0000000000000000.log") != NULL);
    life_crash(SIM_CRASH_KILL);
    life_begin();
    life_close();
}

static err_t refused;

static void
fill_until_refused(void)
{
    refused = ERR_OK;
    for (uint64_t i = 0; i < 1000 && refused == ERR_OK; i++) {
        lsn_t lsn;

        refused = wal_reserve(wal, 4000);
        if (refused == ERR_OK) {
            uint8_t *at = wal_append(wal, 4000, &lsn);

            for (size_t k = 0; k < 4000; k++) {
                at[k] = (uint8_t)(i + k);
            }
            put_le64(at, i);
            wal_wait_durable(wal, lsn);
            last_lsn = lsn;
        }
    }
}

Test(wal_writer, a_full_disk_refuses_appends_until_there_is_room)
{
    life_begin();
    sim_world_options(world)->disk_bytes = 200 << 10;
    life_run(fill_until_refused);
    cr_assert_eq(refused, ERR_NO_SPACE);
    cr_assert(strlen(err_message(ERR_NO_SPACE)) > 0);
    life_idle(5000000);
    life_run(fill_until_refused);
    cr_assert_eq(refused, ERR_NO_SPACE, "still full");
    sim_world_options(world)->disk_bytes = 0;
    life_run(append_hundred_durably);
    life_close();
    life_begin();
    cr_assert_geq(journal.count, 100);
    life_close();
}

static void
append_a_third_of_a_segment(void)
{
    append_durably(1, 20000);
}

Test(wal_writer, a_segment_that_cannot_be_made_is_tried_again)
{
    life_begin();
    sim_disk_fail_next(world, SIM_OP_SYNC_DIR, "wal", 0, 1, -EIO);
    life_run(append_a_third_of_a_segment);
    life_idle(2 * WAL_PREPARE_RETRY_US);
    life_run(fill_until_refused);
    cr_assert_eq(refused, ERR_OK);
    life_close();
}

/* ---- Holding a write for those who were just answered. ---- */

enum { CLIENTS = 16, ROUNDS = 200, WRITE_US = 100 };

static uint64_t away_us; /* What a client does between an answer and its next commit. */

static void
client_main(void *arg)
{
    bool is_late = *(const bool *)arg;

    if (is_late) { /* The others are in flight: two halves. */
        (void)fiber_sleep_us(WRITE_US / 2);
    }
    for (uint64_t i = 0; i < ROUNDS; i++) {
        append_durably(i, 100);
        if (away_us > 0) {
            (void)fiber_sleep_us(away_us);
        }
    }
}

static void
clients_run(void)
{
    static const bool lateness[2] = {false, true};
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 0; i < CLIENTS; i++) {
        cr_assert(fiber_group_spawn(&group, "client", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    client_main, (void *)(uintptr_t)&lateness[i % 2]));
    }
    fiber_group_wait(&group);
}

/* The batches that the clients' commits took. */
static uint64_t
clients_batches(uint64_t away)
{
    uint64_t before;

    away_us = away;
    options.segment_bytes = 16 << 20;
    sim_world_options(world)->write_durable =
        (struct sim_range){.min_us = WRITE_US, .max_us = WRITE_US};
    life_begin();
    before = stats().batches;
    life_run(clients_run);
    cr_assert_eq(stats().records, CLIENTS * ROUNDS);
    return stats().batches - before;
}

Test(wal_writer, those_who_wait_together_are_written_together)
{
    uint64_t batches = clients_batches(0);

    cr_assert_lt(batches, ROUNDS * 5 / 4);
    cr_assert_gt(stats().holds_met, ROUNDS / 2);
    life_close();
}

Test(wal_writer, a_write_is_hardly_held_for_those_who_do_not_come_back_soon)
{
    (void)clients_batches(3 * WRITE_US);
    cr_assert_lt(stats().holds_missed, stats().batches / 16 + WAL_HOLD_FAILURES_MAX);
    life_close();
}

static void
one_of_two_comes_back(void)
{
    uint64_t begin_us;
    lsn_t lsn;

    (void)append(1, 100);
    lsn = append(2, 100);
    wal_wait_durable(wal, lsn);
    begin_us = shard_now_us();
    append_durably(3, 100);
    cr_assert_leq(shard_now_us() - begin_us, 2 * WRITE_US);
}

Test(wal_writer, a_held_write_starts_after_half_of_what_a_write_takes)
{
    sim_world_options(world)->write_durable =
        (struct sim_range){.min_us = WRITE_US, .max_us = WRITE_US};
    life_begin();
    life_run(one_of_two_comes_back);
    cr_assert_eq(stats().holds_missed, 1);
    life_close();
}

/* ---- Spare segments. ---- */

static void
append_and_release(void)
{
    for (uint64_t i = 0; i < 200; i++) {
        last_lsn = append_durably(i, 1000);
    }
    wal_release(wal, last_lsn);
    options.needed_from = last_lsn;
}

Test(wal_writer, a_log_that_rests_gives_its_spare_segments_back)
{
    life_begin();
    life_run(append_and_release);
    life_idle(WAL_SPARE_IDLE_US / 2);
    cr_assert_geq(count_segments(), 3, "two spares");
    life_idle(WAL_SPARE_IDLE_US);
    cr_assert_leq(count_segments(), 2, "the one in use and the next");
    life_run(append_and_release);
    life_close();
}

Test(wal_writer, an_orderly_end_leaves_no_segment_without_records)
{
    life_begin();
    life_run(append_and_release);
    life_run(append_hundred_durably);
    life_close();
    cr_assert_leq(count_segments(), 2, "%u", count_segments());
    life_begin();
    cr_assert_eq(journal.count, 100);
    cr_assert_eq(journal.lsns[journal.count - 1], last_lsn);
    life_run(append_hundred_durably);
    life_close();
}
