/* tests/unit/txn/test_clock.c - timestamps. */
#include "tests/lib/fiber_test.h"
#include "txn/clock.h"

#include "engine/io/io.h"

static uint64_t
microseconds(uint64_t ts)
{
    return ts >> CLOCK_COUNTER_BITS;
}

FIBER_TEST(clock, follows_the_wall_clock)
{
    struct clock clock;

    clock_init(&clock, 0, 0);
    cr_assert_eq(microseconds(clock_read(&clock)), io_wall_us());
    cr_assert_eq(fiber_sleep_us(1000000), ERR_OK);
    cr_assert_eq(microseconds(clock_next(&clock)), io_wall_us());
}

FIBER_TEST(clock, begins_above_what_was_given_before)
{
    uint64_t ahead = (io_wall_us() + 500000) << CLOCK_COUNTER_BITS;
    struct clock clock;

    clock_init(&clock, 3, ahead);
    cr_assert_eq(clock_next(&clock), ahead + 3);
    clock.last = clock_next(&clock);
    cr_assert_eq(clock_next(&clock), ahead + 256 + 3);
    cr_assert_eq(clock_read(&clock), ahead + 3);
    cr_assert_eq(fiber_sleep_us(600000), ERR_OK);
    cr_assert_gt(clock_next(&clock), ahead + 256 + 3);
    cr_assert_eq(microseconds(clock_next(&clock)), io_wall_us());
}

FIBER_TEST(clock, a_wall_clock_that_steps_back_does_not_turn_it_back)
{
    struct sim_options *options = sim_world_options(sim_world_current());
    struct clock clock;

    clock_init(&clock, 0, 0);
    options->wall_step_ppm = 1000000;
    options->wall_step_us_max = 20000000;
    for (uint32_t i = 0; i < 200; i++) {
        uint64_t before = clock.last;

        clock.last = clock_next(&clock);
        cr_assert_gt(clock.last, before);
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
}

FIBER_TEST(clock, a_leap_of_the_wall_clock_is_not_followed)
{
    struct sim_options *options = sim_world_options(sim_world_current());
    uint64_t started = io_wall_us();
    struct clock clock;

    clock_init(&clock, 0, 0);
    options->wall_step_ppm = 1000000;
    options->wall_step_us_max = UINT64_C(86400000000) * 365;
    for (uint32_t i = 0; i < 50; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
        clock.last = clock_next(&clock);
    }
    cr_assert_lt(microseconds(clock.last), started + 50 * CLOCK_LEAP_US_MAX);
    cr_assert_lt(microseconds(clock.last), io_wall_us() + CLOCK_LEAP_US_MAX * 50);
}

FIBER_TEST(clock, what_another_shard_has_served_raises_it)
{
    struct clock clock;
    uint64_t ahead;

    clock_init(&clock, 0, 0);
    ahead = clock_next(&clock) + (UINT64_C(5000000) << CLOCK_COUNTER_BITS);
    clock_raise(&clock, ahead);
    cr_assert_eq(clock_read(&clock), ahead);
    cr_assert_eq(clock_next(&clock), ahead + 256);
    clock_raise(&clock, ahead - 10);
    cr_assert_eq(clock_read(&clock), ahead, "never back");
}

FIBER_TEST(clock, no_two_shards_give_the_same_timestamp)
{
    enum { SHARDS = SHARDS_MAX };
    struct clock clocks[SHARDS];
    uint64_t newest = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        clock_init(&clocks[i], i, 0);
    }
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; i < SHARDS; i++) {
            uint64_t ts = clock_next(&clocks[i]);

            cr_assert_gt(ts, clocks[i].last);
            cr_assert_eq(ts % SHARDS, i, "no other shard's timestamps have this remainder");
            clocks[i].last = ts;
            newest = MAX(newest, ts);
            clock_raise(&clocks[(i * 7 + round) % SHARDS], newest);
        }
    }
}
