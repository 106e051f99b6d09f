/* tests/unit/wal/test_replay.c - what counts after a crash, and what is told from it. */
#include <errno.h>
#include <stdio.h>

#include "engine/base/canary.h"
#include "tests/unit/wal/wal_fixture.h"
#include "wal/internal.h"

TestSuite(wal_replay, .init = world_begin, .fini = world_end, .timeout = 120);

enum { RECORDS = 20 };

/* Positions of the batches, one record each. */
static uint64_t positions[RECORDS];
static lsn_t lsns[RECORDS];

static void
append_batches(void)
{
    for (uint64_t i = 0; i < RECORDS; i++) {
        lsns[i] = append_durably(i, 1000);
        positions[i] = lsns[i] - 1000 - WAL_RECORD_PREFIX_BYTES - WAL_HEADER_BYTES;
    }
}

static void
append_one(void)
{
    append_durably(1000, 1000);
}

/* A log of RECORDS durable batches, ended by a power cut before any heartbeat. */
static void
log_make(void)
{
    options.segment_bytes = 1 << 20;
    life_begin();
    life_run(append_batches);
    life_crash(SIM_CRASH_POWER_CUT);
}

static void
log_is_corrupt_at(uint64_t position)
{
    char path[IO_PATH_BYTES_MAX];
    char offset_text[64];
    uint64_t offset;

    place_of(position, path, &offset);
    snprintf(offset_text, sizeof(offset_text), "offset %llu", (unsigned long long)offset);
    cr_assert_eq(life_try(), ERR_CORRUPT);
    cr_assert(strstr(err_message(ERR_CORRUPT), path) != NULL, "%s", err_message(ERR_CORRUPT));
    cr_assert(strstr(err_message(ERR_CORRUPT), offset_text) != NULL, "%s",
              err_message(ERR_CORRUPT));
}

/* ---- Tails and holes. ---- */

Test(wal_replay, a_new_log_is_empty)
{
    life_begin();
    cr_assert_eq(journal.count, 0);
    cr_assert_eq(recovered.end, 0);
    cr_assert_not(recovered.tail_was_cut);
    life_close();
    life_begin();
    cr_assert_eq(journal.count, 0);
    life_close();
}

Test(wal_replay, rot_in_the_middle_names_file_and_offset)
{
    log_make();
    flip_at(positions[10] + 200);
    log_is_corrupt_at(positions[10]);
}

Test(wal_replay, rot_in_a_header_is_found_as_well)
{
    log_make();
    flip_at(positions[7] + 3);
    log_is_corrupt_at(positions[7]);
}

Test(wal_replay, a_lost_durable_batch_is_found)
{
    log_make();
    lose_blocks(positions[3], 1);
    log_is_corrupt_at(positions[3]);
}

Test(wal_replay, an_incomplete_batch_at_the_end_is_a_tail)
{
    log_make();
    flip_at(positions[RECORDS - 1] + 200);
    life_begin();
    cr_assert_eq(journal.count, RECORDS - 1);
    cr_assert(recovered.tail_was_cut);
    cr_assert_eq(recovered.end, positions[RECORDS - 1]);
    life_close();
}

Test(wal_replay, after_the_heartbeat_the_same_rot_is_a_hole)
{
    options.segment_bytes = 1 << 20;
    life_begin();
    life_run(append_batches);
    life_idle(2 * WAL_HEARTBEAT_US);
    life_crash(SIM_CRASH_POWER_CUT);
    flip_at(positions[RECORDS - 1] + 200);
    log_is_corrupt_at(positions[RECORDS - 1]);
}

Test(wal_replay, a_heartbeat_that_the_disk_put_over_the_last_batch_gives_the_hole_away)
{
    uint8_t block[IO_BLOCK_BYTES];
    char path[IO_PATH_BYTES_MAX];
    uint64_t from;
    uint64_t to;

    options.segment_bytes = 1 << 20;
    life_begin();
    life_run(append_batches);
    life_idle(2 * WAL_HEARTBEAT_US);
    life_crash(SIM_CRASH_POWER_CUT);
    place_of(positions[RECORDS - 1], path, &to);
    from = to + IO_BLOCK_BYTES;
    cr_assert(sim_disk_peek(world, path, from, block, sizeof(block)));
    cr_assert(sim_disk_poke(world, path, to, block, sizeof(block)));
    lose_blocks(positions[RECORDS - 1] + IO_BLOCK_BYTES, 1);
    log_is_corrupt_at(positions[RECORDS - 1]);
}

Test(wal_replay, the_first_batch_of_the_next_life_proves_the_last_one_before)
{
    log_make();
    life_begin();
    life_crash(SIM_CRASH_KILL);
    flip_at(positions[RECORDS - 1] + 200);
    log_is_corrupt_at(positions[RECORDS - 1]);
}

Test(wal_replay, rot_in_padding_harms_nobody)
{
    log_make();
    flip_at(positions[5] + 4000);
    life_begin();
    cr_assert_eq(journal.count, RECORDS);
    life_close();
}

static uint32_t replay_refused_at;

static err_t
replay_refuses(void *arg, lsn_t lsn, struct slice payload)
{
    (void)arg;
    (void)lsn;
    (void)payload;
    return --replay_refused_at == 0 ? err_set(ERR_INVALID, "refused") : ERR_OK;
}

Test(wal_replay, an_error_of_the_reader_ends_it)
{
    log_make();
    options.replay = replay_refuses;
    replay_refused_at = 5;
    cr_assert_eq(life_try(), ERR_INVALID);
    cr_assert_eq(replay_refused_at, 0);
}

/* ---- What must never come back. ---- */

static void
append_two_in_flight(void)
{
    append(1, 1000);
    (void)fiber_sleep_us(1); /* Another turn, another batch. */
    append(2, 1000);
    wal_wait_durable(wal, wal_appended(wal));
}

/* Two batches were in flight; the disk kept the second only. */
static void
log_with_reordered_tail(void)
{
    uint64_t first;

    options.group_bytes = 1;
    life_begin();
    first = wal_durable(wal);
    life_run(append_two_in_flight);
    life_crash(SIM_CRASH_POWER_CUT);
    lose_blocks(first, 1);
}

Test(wal_replay, a_batch_whose_predecessor_was_lost_does_not_count)
{
    log_with_reordered_tail();
    life_begin();
    cr_assert_eq(journal.count, 0);
    cr_assert(recovered.tail_was_cut);
    life_close();
}

Test(wal_replay, a_cut_batch_never_chains_to_a_new_one_at_the_lost_place)
{
    log_with_reordered_tail();
    life_begin(); /* Its first batch takes the lost one's place, and has its size. */
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 0);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 0);
    life_run(append_one);
    life_close();
    life_begin();
    cr_assert_eq(journal.count, 1);
    cr_assert_eq(journal.values[0], 1000);
    life_close();
}

Test(wal_replay, the_tests_above_fail_when_the_chain_is_not_checked)
{
    canary_active = CANARY_WAL_CHAIN_UNCHECKED;
    log_with_reordered_tail();
    life_begin();
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 1, "the cut batch comes back");
    life_close();
}

Test(wal_replay, rot_is_replayed_when_the_checksum_is_ignored)
{
    canary_active = CANARY_WAL_CHECKSUM_IGNORED;
    log_make();
    flip_at(positions[10] + WAL_HEADER_BYTES + WAL_RECORD_PREFIX_BYTES);
    options.replay = replay_refuses;
    replay_refused_at = RECORDS + 1;
    life_begin();
    cr_assert_eq(recovered.records, RECORDS);
    life_close();
}

static void
append_and_release(void)
{
    for (uint64_t i = 0; i < 500; i++) {
        lsn_t lsn = append_durably(i, 1000);

        wal_release(wal, lsn);
        options.needed_from = lsn;
    }
}

Test(wal_replay, stale_batches_of_a_recycled_segment_do_not_count)
{
    struct wal_stats stats;

    life_begin();
    life_run(append_and_release);
    wal_stats_get(wal, &stats);
    cr_assert_geq(stats.segments_recycled, 20, "the test must recycle to prove anything");
    cr_assert_leq(count_segments(), 6);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 0);
    life_run(append_one);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    cr_assert_eq(journal.count, 1);
    life_close();
}

/* ---- What is needed. ---- */

Test(wal_replay, records_at_or_below_needed_from_are_skipped)
{
    log_make();
    options.needed_from = lsns[11];
    life_begin();
    cr_assert_eq(journal.count, RECORDS - 12);
    cr_assert_eq(journal.values[0], 12);
    life_close();
}

Test(wal_replay, a_log_that_ends_below_needed_from_is_corrupt)
{
    log_make();
    options.needed_from = positions[RECORDS - 1] + 4096 + 1;
    cr_assert_eq(life_try(), ERR_CORRUPT);
}

Test(wal_replay, a_log_that_must_exist_and_does_not_is_corrupt)
{
    options.must_exist = true;
    cr_assert_eq(life_try(), ERR_CORRUPT);
}

Test(wal_replay, a_log_that_must_exist_and_was_never_written_is_corrupt)
{
    life_begin();
    life_close();
    lose_blocks(0, 16);
    options.must_exist = true;
    cr_assert_eq(life_try(), ERR_CORRUPT);
}

static err_t
unlink_first(void *arg)
{
    return io_unlink(arg);
}

static void
file_remove(const char *path)
{
    sim_world_boot(world, 1);
    cr_assert_eq(sim_world_call(world, 0, unlink_first, (void *)path), ERR_OK);
    sim_world_stop(world);
}

static void
append_four_segments(void)
{
    for (uint64_t i = 0; i < 200; i++) {
        append_durably(i, 1000);
    }
}

Test(wal_replay, a_missing_segment_is_corrupt)
{
    life_begin();
    life_run(append_four_segments);
    life_close();
    cr_assert_geq(count_segments(), 4);
    file_remove("wal/0000000000010000.log");
    cr_assert_eq(life_try(), ERR_CORRUPT);
    file_remove("wal/0000000000000000.log");
    cr_assert_eq(life_try(), ERR_CORRUPT);
}

Test(wal_replay, another_log_in_the_folder_is_refused_by_name)
{
    log_make();
    options.log_id = 99;
    cr_assert_eq(life_try(), ERR_FORMAT);
    cr_assert(strstr(err_message(ERR_FORMAT), "1122334455667788") != NULL);
}

static err_t
write_short_segment(void *arg)
{
    struct io_file *file;
    static uint8_t block[IO_BLOCK_BYTES] __attribute__((aligned(IO_BLOCK_BYTES)));
    err_t err;

    (void)arg;
    TRY(io_open("wal/0000000000100000.log", IO_CREATE, &file));
    err = io_write(file, 0, block, sizeof(block), 0);
    io_close(&file);
out:
    return err;
}

Test(wal_replay, a_file_that_is_no_segment_by_its_size_is_refused)
{
    log_make();
    sim_world_boot(world, 1);
    cr_assert_eq(sim_world_call(world, 0, write_short_segment, NULL), ERR_OK);
    sim_world_stop(world);
    cr_assert_eq(life_try(), ERR_CORRUPT);
    cr_assert(strstr(err_message(ERR_CORRUPT), "wal/0000000000100000.log") != NULL);
}

Test(wal_replay, segments_of_another_size_are_read_and_then_replaced)
{
    options.segment_bytes = 64 << 10;
    life_begin();
    life_run(append_four_segments);
    life_close();
    options.segment_bytes = 256 << 10;
    life_begin();
    cr_assert_eq(journal.count, 200);
    life_run(append_four_segments);
    life_crash(SIM_CRASH_POWER_CUT);
    options.segment_bytes = 128 << 10;
    life_begin();
    cr_assert_eq(journal.count, 400);
    life_run(append_four_segments);
    life_close();
    life_begin();
    cr_assert_eq(journal.count, 600);
    life_close();
}

/* ---- Crash after crash, against a model. ---- */

struct model {
    uint64_t appended;     /* Values 0..appended-1 were appended, in this order. */
    uint64_t acknowledged; /* Values below were durable. */
    uint64_t lsn_of[JOURNAL_MAX];
    uint64_t sizes[JOURNAL_MAX];
};

static struct model model;

static void
model_append_fiber(void *arg)
{
    uint64_t count = (uint64_t)(uintptr_t)arg;

    for (uint64_t i = 0; i < count; i++) {
        size_t size = 8 + sim_prng_below(world, 3) * sim_prng_below(world, 5000);
        lsn_t lsn;
        uint64_t value;

        cr_assert_eq(wal_reserve(wal, size), ERR_OK);
        value = model.appended++;
        lsn = append(value, size);
        model.lsn_of[value] = lsn;
        model.sizes[value] = size;
        if (sim_prng_below(world, 3) == 0) {
            wal_wait_durable(wal, lsn);
            model.acknowledged = MAX(model.acknowledged, value + 1);
        } else if (sim_prng_below(world, 2) == 0) {
            fiber_yield();
        }
    }
}

/* Replay gave a prefix of what was appended, with all that had been acknowledged. */
static void
model_check(uint64_t base)
{
    uint64_t count = base + journal.count;

    cr_assert_geq(count, model.acknowledged, "acknowledged records are missing: %llu < %llu",
                  (unsigned long long)count, (unsigned long long)model.acknowledged);
    cr_assert_leq(count, model.appended);
    for (uint32_t i = 0; i < journal.count; i++) {
        cr_assert_eq(journal.values[i], base + i);
        cr_assert_eq(journal.lsns[i], model.lsn_of[base + i]);
        cr_assert_eq(journal.sizes[i], model.sizes[base + i]);
    }
    model.appended = count;
    model.acknowledged = count; /* What was shown must stay. */
}

static void
release_needed(void)
{
    wal_release(wal, options.needed_from);
}

/* One world: lives that end in kills and power cuts at drawn times. */
static void
crash_rounds(uint64_t seed)
{
    uint64_t base = 0;

    world_begin_seeded(seed);
    model = (struct model){0};
    options.group_bytes = sim_prng_below(world, 2) == 0 ? 1 : 0;
    options.segment_bytes = (64 << 10) << sim_prng_below(world, 3);
    options.durability = (enum wal_durability)sim_prng_below(world, 3);
    options.interval_us = 3000;
    for (uint32_t life = 0; life < 8; life++) {
        life_begin();
        model_check(base);
        for (uint64_t fibers = 1 + sim_prng_below(world, 4); fibers > 0; fibers--) {
            sim_world_spawn(world, 0, "append", model_append_fiber,
                            (void *)(uintptr_t)sim_prng_below(world, 100));
        }
        life_idle(sim_prng_below(world, 60000));
        if (journal.count > 0 && sim_prng_below(world, 3) == 0) { /* As if tables had them. */
            base += journal.count;
            options.needed_from = journal.lsns[journal.count - 1];
            life_run(release_needed);
            life_idle(sim_prng_below(world, 20000));
        }
        options.must_exist = true;
        life_crash(sim_prng_below(world, 2) == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
        if (sim_prng_below(world, 4) == 0) {
            sim_disk_power_cut(world);
        }
    }
    world_end();
}

Test(wal_crash, every_life_continues_a_prefix_with_all_that_was_acknowledged, .timeout = 300)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        crash_rounds(seed);
    }
}
