/* tests/unit/engine/test_sim.c - the simulator keeps the promises of engine/io/io.h, breaks all
 * else, and repeats itself. */
#include "engine/io/sim.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"

enum { SEEDS = 60, FOREVER_US = 10 * 1000 * 1000 };

static struct sim_options options;
static struct sim_world *world;

static void
setup(void)
{
    sim_options_init(&options);
}

TestSuite(sim, .init = setup, .timeout = 60);

/* Fill a block with a byte. */
static uint8_t *
block_new(uint8_t byte)
{
    uint8_t *block = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);

    memset(block, byte, IO_BLOCK_BYTES);
    return block;
}

static void
block_free(uint8_t *block)
{
    mem_free_aligned(MEM_RUNTIME, block, IO_BLOCK_BYTES);
}

static err_t
write_byte(struct io_file *file, uint64_t index, uint8_t byte, uint32_t flags)
{
    uint8_t *block = block_new(byte);
    err_t err = io_write(file, index * IO_BLOCK_BYTES, block, IO_BLOCK_BYTES, flags);

    block_free(block);
    return err;
}

/* The first byte of a block at rest. */
static uint8_t
peek(const char *path, uint64_t index)
{
    uint8_t byte = 0;

    cr_assert(sim_disk_peek(world, path, index * IO_BLOCK_BYTES, &byte, 1), "%s", path);
    return byte;
}

/* One life: fn in a fiber of a single shard, then the given end. */
static err_t
live(err_t (*fn)(void *arg), void *arg)
{
    sim_world_boot(world, 1);
    return sim_world_call(world, 0, fn, arg);
}

static err_t
make_durable_file(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_open("a", IO_CREATE | IO_EXCLUSIVE, &file));
    TRY(write_byte(file, 0, 1, IO_DURABLE));
    TRY(write_byte(file, 1, 1, 0));
    TRY(io_sync(file));
    TRY(io_sync_dir(""));
    err = write_byte(file, 0, 2, 0);
    io_close(&file);
out:
    return err;
}

Test(sim, a_durable_or_synced_write_survives_every_power_cut)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world = sim_world_new(seed, &options);
        cr_assert_eq(live(make_durable_file, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        cr_assert(sim_disk_exists(world, "a"));
        cr_assert_eq(sim_disk_size(world, "a"), 2 * IO_BLOCK_BYTES);
        cr_assert_eq(peek("a", 1), 1, "seed %lu", seed);
        sim_world_free(&world);
    }
}

Test(sim, an_unsynced_write_is_kept_lost_or_torn_at_a_power_cut)
{
    uint32_t kept = 0;
    uint32_t lost = 0;
    uint32_t torn = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint8_t block[IO_BLOCK_BYTES];
        uint32_t new_sectors = 0;

        world = sim_world_new(seed, &options);
        cr_assert_eq(live(make_durable_file, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        cr_assert(sim_disk_peek(world, "a", 0, block, sizeof(block)));
        for (size_t at = 0; at < sizeof(block); at += SIM_SECTOR_BYTES) {
            cr_assert(block[at] == 1 || block[at] == 2);
            new_sectors += block[at] == 2;
        }
        kept += new_sectors == IO_BLOCK_BYTES / SIM_SECTOR_BYTES;
        lost += new_sectors == 0;
        torn += new_sectors > 0 && new_sectors < IO_BLOCK_BYTES / SIM_SECTOR_BYTES;
        sim_world_free(&world);
    }
    cr_assert_gt(kept, 0);
    cr_assert_gt(lost, 0);
    cr_assert_gt(torn, 0);
}

Test(sim, a_kill_keeps_what_was_written_and_a_later_power_cut_may_take_it)
{
    uint32_t lost = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world = sim_world_new(seed, &options);
        cr_assert_eq(live(make_durable_file, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_KILL);
        cr_assert_eq(peek("a", 0), 2);
        sim_disk_power_cut(world);
        lost += peek("a", 0) == 1;
        sim_world_free(&world);
    }
    cr_assert_gt(lost, 0);
}

static err_t
make_unsynced_name(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_mkdir("d"));
    TRY(io_sync_dir(""));
    TRY(io_open("d/old", IO_CREATE, &file));
    err = write_byte(file, 0, 7, IO_DURABLE);
    io_close(&file);
    TRY(err);
    TRY(io_sync_dir("d"));
    TRY(io_rename("d/old", "d/new"));
out:
    return err;
}

Test(sim, a_rename_is_seen_as_a_whole_or_not_at_all_after_a_power_cut)
{
    uint32_t renamed = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world = sim_world_new(seed, &options);
        cr_assert_eq(live(make_unsynced_name, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        cr_assert_neq(sim_disk_exists(world, "d/old"), sim_disk_exists(world, "d/new"));
        renamed += sim_disk_exists(world, "d/new");
        cr_assert_eq(peek(sim_disk_exists(world, "d/new") ? "d/new" : "d/old", 0), 7);
        sim_world_free(&world);
    }
    cr_assert_gt(renamed, 0);
    cr_assert_lt(renamed, SEEDS);
}

static err_t
make_links(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_open("a", IO_CREATE, &file));
    err = write_byte(file, 0, 7, IO_DURABLE);
    io_close(&file);
    TRY(err);
    TRY(io_mkdir("d"));
    TRY(io_link("a", "d/durable"));
    TRY(io_sync_dir(""));
    TRY(io_sync_dir("d"));
    TRY(io_unlink("a"));
    TRY(io_sync_dir(""));
    TRY(io_link("d/durable", "d/perhaps"));
    cr_assert_eq(io_link("d/durable", "d/perhaps"), ERR_EXISTS);
    cr_assert_eq(io_link("missing", "d/other"), ERR_NOT_FOUND);
    cr_assert_eq(io_rmdir("d"), ERR_EXISTS, "a folder with a name in it stays");
out:
    return err;
}

Test(sim, a_second_name_keeps_the_file_when_the_first_one_goes)
{
    uint32_t kept = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world = sim_world_new(seed, &options);
        cr_assert_eq(live(make_links, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        cr_assert_not(sim_disk_exists(world, "a"));
        cr_assert_eq(peek("d/durable", 0), 7);
        kept += sim_disk_exists(world, "d/perhaps");
        sim_world_free(&world);
    }
    cr_assert_gt(kept, 0);
    cr_assert_lt(kept, SEEDS, "an unsynced name may be lost");
}

static err_t
fail_a_sync(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_open("a", IO_CREATE, &file));
    TRY(write_byte(file, 0, 1, IO_DURABLE));
    TRY(io_sync_dir(""));
    TRY(write_byte(file, 0, 2, 0));
    sim_disk_fail_next(world, SIM_OP_SYNC, "a", 0, 1, -EIO);
    cr_assert_eq(io_sync(file), ERR_IO);
    err = io_sync(file); /* Succeeds, and means nothing for the block. */
    io_close(&file);
out:
    return err;
}

/* Goal: code that retries a failed sync must be caught. */
Test(sim, a_sync_after_a_failed_one_does_not_make_the_old_write_durable)
{
    uint32_t lost = 0;

    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        world = sim_world_new(seed, &options);
        cr_assert_eq(live(fail_a_sync, NULL), ERR_OK);
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        lost += peek("a", 0) == 1;
        sim_world_free(&world);
    }
    cr_assert_gt(lost, 0);
}

static err_t
fill_the_disk(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_open("a", IO_CREATE, &file));
    TRY(io_allocate(file, 4 * IO_BLOCK_BYTES));
    cr_assert_eq(io_allocate(file, 5 * IO_BLOCK_BYTES), ERR_NO_SPACE);
    cr_assert_eq(io_file_size(file), 4 * IO_BLOCK_BYTES);
    cr_assert_eq(write_byte(file, 4, 1, 0), ERR_NO_SPACE);
    TRY(write_byte(file, 3, 1, 0));
    TRY(io_truncate(file, IO_BLOCK_BYTES));
    err = write_byte(file, 3, 1, 0);
    io_close(&file);
    TRY(err);
    TRY(io_unlink("a"));
    cr_assert_eq(io_unlink("a"), ERR_NOT_FOUND);
out:
    return err;
}

Test(sim, a_full_disk_refuses_growth_and_nothing_else)
{
    options.disk_bytes = 4 * IO_BLOCK_BYTES;
    world = sim_world_new(1, &options);
    cr_assert_eq(live(fill_the_disk, NULL), ERR_OK);
    sim_world_stop(world);
    cr_assert_eq(sim_disk_used(world), 0);
    sim_world_free(&world);
}

static err_t
read_beyond_the_end(void *arg)
{
    struct io_file *file;
    uint8_t *block = block_new(0);
    err_t err;

    (void)arg;
    cr_assert_eq(io_open("missing", 0, &file), ERR_NOT_FOUND);
    TRY(io_open("a", IO_CREATE, &file));
    cr_assert_eq(io_open("a", IO_CREATE | IO_EXCLUSIVE, &file), ERR_EXISTS);
    cr_assert_eq(io_read(file, 0, block, IO_BLOCK_BYTES), ERR_CORRUPT);
    sim_disk_fail_next(world, SIM_OP_WRITE, NULL, 1, 1, -EIO);
    TRY(write_byte(file, 0, 3, 0));
    cr_assert_eq(write_byte(file, 0, 4, 0), ERR_IO);
    TRY(io_read(file, 0, block, IO_BLOCK_BYTES));
    cr_assert(block[0] == 3 || block[0] == 4);
    io_close(&file);
    err = ERR_OK;
out:
    block_free(block);
    return err;
}

Test(sim, errors_are_those_of_the_seam)
{
    world = sim_world_new(1, &options);
    cr_assert_eq(live(read_beyond_the_end, NULL), ERR_OK);
    sim_world_stop(world);
    sim_world_free(&world);
}

/* ---- Messages, time, order. ---- */

enum { MESSAGES = 200 };

struct mail {
    struct msg msg;
    uint32_t number;
};

static struct mail mails[MESSAGES];
static uint32_t arrived[MESSAGES];
static uint32_t arrived_count;
static uint32_t returned_count;

static void
mail_arrives(void *arg)
{
    cr_assert_eq(shard_id(), 1);
    arrived[arrived_count++] = ((struct mail *)arg)->number;
}

static void
mail_returns(struct msg *msg)
{
    (void)msg;
    cr_assert_eq(shard_id(), 0);
    returned_count++;
}

static err_t
send_mails(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < MESSAGES; i++) {
        mails[i] = (struct mail){
            .msg = {.fn = mail_arrives, .arg = &mails[i], .done = mail_returns, .to = 1},
            .number = i,
        };
        mails[i].msg.kind = MSG_INLINE;
        msg_send(&mails[i].msg);
    }
    return ERR_OK;
}

static bool
all_returned(void *arg)
{
    (void)arg;
    return returned_count == MESSAGES;
}

Test(sim, messages_keep_their_order_whatever_their_delays)
{
    options.message_delay_ppm = 200000;
    options.stall_ppm = 300000;
    world = sim_world_new(3, &options);
    sim_world_boot(world, 2);
    cr_assert_eq(sim_world_call(world, 0, send_mails, NULL), ERR_OK);
    cr_assert_eq(sim_world_run(world, all_returned, NULL, FOREVER_US), SIM_STOP_DONE);
    for (uint32_t i = 0; i < MESSAGES; i++) {
        cr_assert_eq(arrived[i], i);
    }
    cr_assert_gt(sim_world_counters(world)->faults[SIM_FAULT_MESSAGE_DELAY], 0);
    cr_assert_gt(sim_world_counters(world)->faults[SIM_FAULT_STALL], 0);
    sim_world_stop(world);
    sim_world_free(&world);
}

static err_t
sleep_an_hour(void *arg)
{
    uint64_t before_us = shard_now_us();

    (void)arg;
    cr_assert_eq(fiber_sleep_us(UINT64_C(3600) * 1000 * 1000), ERR_OK);
    cr_assert_geq(shard_now_us() - before_us, UINT64_C(3600) * 1000 * 1000);
    return ERR_OK;
}

static void
sleeper(void *arg)
{
    sleep_an_hour(NULL);
    *(bool *)arg = true;
}

Test(sim, an_hour_passes_at_once_and_an_idle_world_says_so)
{
    bool is_done = false;

    world = sim_world_new(3, &options);
    sim_world_boot(world, 1);
    sim_world_spawn(world, 0, "sleeper", sleeper, &is_done);
    cr_assert_eq(sim_world_run(world, NULL, NULL, FOREVER_US), SIM_STOP_TIME);
    cr_assert_not(is_done);
    cr_assert_eq(sim_world_run(world, NULL, NULL, UINT64_MAX), SIM_STOP_IDLE);
    cr_assert(is_done);
    sim_world_stop(world);
    sim_world_free(&world);
}

/* Writes of several fibers, on two shards, with faults: a run with many draws. */
static void
scribble(void *arg)
{
    struct io_file *file;
    char path[16];

    (void)arg;
    snprintf(path, sizeof(path), "s%u", shard_id());
    if (io_open(path, IO_CREATE, &file) != ERR_OK) {
        return;
    }
    for (uint32_t i = 0; i < 50; i++) {
        write_byte(file, prng_below(shard_prng(), 8), (uint8_t)i, i % 3 == 0 ? IO_DURABLE : 0);
        fiber_work(100);
    }
    io_close(&file);
}

static uint64_t
scribbled_hash(uint64_t seed)
{
    uint64_t hash;

    options.eio_write_ppm = 20000;
    options.latency_spike_ppm = 20000;
    options.short_transfer_ppm = 50000;
    options.wall_step_ppm = 1000;
    world = sim_world_new(seed, &options);
    for (uint32_t life = 0; life < 3; life++) {
        sim_world_boot(world, 2);
        for (uint32_t i = 0; i < 6; i++) {
            sim_world_spawn(world, i % 2, "scribble", scribble, NULL);
        }
        sim_world_run(world, NULL, NULL, 3000);
        sim_world_crash(world, life == 1 ? SIM_CRASH_POWER_CUT : SIM_CRASH_KILL);
    }
    hash = sim_world_trace_hash(world);
    sim_world_free(&world);
    return hash;
}

Test(sim, the_same_seed_gives_the_same_trace_and_another_seed_another)
{
    uint64_t first = scribbled_hash(11);

    cr_assert_eq(scribbled_hash(11), first);
    cr_assert_neq(scribbled_hash(12), first);
}

/* ---- fatal(), corruption, what is counted. ---- */

static err_t
die_in_a_fiber(void *arg)
{
    (void)arg;
    NO_YIELD {
        fatal("the log is gone");
    }
    return ERR_OK;
}

static void
die_on_the_loop(struct timer *timer)
{
    (void)timer;
    fatal("the clock is gone");
}

static err_t
start_deadly_timer(void *arg)
{
    timer_start(arg, shard_now_us() + 10);
    return ERR_OK;
}

Test(sim, fatal_ends_the_life_and_not_the_test)
{
    static struct timer timer;

    world = sim_world_new(1, &options);
    cr_assert_eq(live(die_in_a_fiber, NULL), ERR_SHUTDOWN);
    cr_assert_str_eq(sim_world_fatal_message(world), "the log is gone");
    sim_world_crash(world, SIM_CRASH_KILL);

    timer_init(&timer, die_on_the_loop);
    cr_assert_eq(live(start_deadly_timer, &timer), ERR_OK);
    cr_assert_eq(sim_world_run(world, NULL, NULL, FOREVER_US), SIM_STOP_FATAL);
    cr_assert_str_eq(sim_world_fatal_message(world), "the clock is gone");
    sim_world_crash(world, SIM_CRASH_POWER_CUT);
    sim_world_free(&world);
}

static err_t
read_back(void *arg)
{
    struct io_file *file;
    uint8_t *block = block_new(0);
    err_t err;

    TRY(io_open("a", 0, &file));
    err = io_read(file, IO_BLOCK_BYTES, block, IO_BLOCK_BYTES);
    *(uint8_t *)arg = block[0];
    io_close(&file);
out:
    block_free(block);
    return err;
}

Test(sim, a_flipped_bit_is_read_back_flipped)
{
    uint8_t byte = 0;

    world = sim_world_new(1, &options);
    cr_assert_eq(live(make_durable_file, NULL), ERR_OK);
    cr_assert(sim_disk_flip_bit(world, "a", UINT64_C(8) * IO_BLOCK_BYTES + 1));
    cr_assert_not(sim_disk_flip_bit(world, "a", UINT64_C(16) * IO_BLOCK_BYTES));
    cr_assert_eq(sim_world_call(world, 0, read_back, &byte), ERR_OK);
    cr_assert_eq(byte, 1 ^ 2);
    cr_assert(sim_disk_flip_any(world, NULL));
    cr_assert_eq(sim_world_counters(world)->faults[SIM_FAULT_BIT_FLIP], 2);
    sim_world_stop(world);
    sim_world_free(&world);
}

static err_t
write_many_durably(void *arg)
{
    struct io_file *file;
    err_t err;

    (void)arg;
    TRY(io_open("a", IO_CREATE, &file));
    for (uint32_t i = 0; i < 64; i++) {
        TRY(write_byte(file, i, (uint8_t)(i + 1), IO_DURABLE));
    }
    io_close(&file);
out:
    return err;
}

Test(sim, misdirected_and_stale_writes_are_acknowledged_and_not_there)
{
    uint32_t wrong = 0;

    options.misdirected_ppm = 100000;
    options.stale_ppm = 100000;
    world = sim_world_new(1, &options);
    cr_assert_eq(live(write_many_durably, NULL), ERR_OK);
    for (uint32_t i = 0; i < 64; i++) {
        wrong += peek("a", i) != i + 1;
    }
    cr_assert_gt(sim_world_counters(world)->faults[SIM_FAULT_MISDIRECTED], 0);
    cr_assert_gt(sim_world_counters(world)->faults[SIM_FAULT_STALE], 0);
    cr_assert_geq(wrong, sim_world_counters(world)->faults[SIM_FAULT_STALE]);
    sim_world_stop(world);
    sim_world_free(&world);
}
