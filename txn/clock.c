/* txn/clock.c - see clock.h. */
#include "txn/clock.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

_Static_assert(SHARDS_MAX <= 1 << CLOCK_HOME_BITS, "the number of a shard fits into a timestamp");

static uint64_t
follow_wall(struct clock *clock, uint64_t monotonic_us)
{
    uint64_t expected = monotonic_us + clock->offset_us;
    uint64_t wall = io_wall_us();

    if (wall <= expected) {
        return expected;
    }
    if (wall - expected <= CLOCK_LEAP_US_MAX) {
        clock->offset_us += wall - expected;
        return wall;
    }
    if (!clock->has_leapt) {
        SOMETIMES("txn: a leap of the wall clock was not followed");
        LOG_W("the system's clock leapt ahead by %llu s; timestamps follow it after a restart",
              (unsigned long long)((wall - expected) / 1000000));
        clock->has_leapt = true;
    }
    return expected;
}

static uint64_t
now_us(struct clock *clock)
{
    uint64_t monotonic_us = shard_now_us();

    if (monotonic_us != clock->turn_us) {
        clock->now_us = follow_wall(clock, monotonic_us);
        clock->turn_us = monotonic_us;
    }
    return clock->now_us;
}

void
clock_init(struct clock *clock, uint32_t home, uint64_t last)
{
    uint64_t monotonic_us = shard_now_us();
    uint64_t wall = io_wall_us();

    ASSERT(home < 1u << CLOCK_HOME_BITS);
    *clock = (struct clock){.last = last, .ceiling = last, .home = (uint8_t)home};
    clock->offset_us = wall > monotonic_us ? wall - monotonic_us : 0;
    clock->turn_us = monotonic_us;
    clock->now_us = monotonic_us + clock->offset_us;
}

void
clock_raise(struct clock *clock, uint64_t ts)
{
    clock->last = MAX(clock->last, ts);
}

uint64_t
clock_read(struct clock *clock)
{
    return MAX(now_us(clock) << CLOCK_COUNTER_BITS, clock->last);
}

uint64_t
clock_next(struct clock *clock)
{
    uint64_t least = MAX(now_us(clock) << CLOCK_COUNTER_BITS, clock->last + 1);

    /* The smallest at or above it that is this shard's. */
    return least + ((clock->home - least) & ((1u << CLOCK_HOME_BITS) - 1));
}
