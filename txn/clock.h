/* txn/clock.h - the shard's clock: timestamps that only grow and follow the wall clock.
 *
 * A timestamp is microseconds since 1970 << 12 | counter << 8 | home. The home is the number of the
 * shard whose log has the record, so that no two transactions have one timestamp; what has no home
 * (moments, snapshots) may have any bits there. A shard that commits more than 16 times in a
 * microsecond runs ahead of the time. The microseconds are monotonic time plus
 * an offset that only grows: a wall clock that steps back is outrun until it has caught up, one
 * that leaps ahead by more than CLOCK_LEAP_US_MAX is not followed before the next start, because
 * timestamps could never come back from there. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    CLOCK_COUNTER_BITS = 12, /* All below the microseconds. */
    CLOCK_HOME_BITS = 8,
};
#define CLOCK_LEAP_US_MAX  UINT64_C(60000000)
#define CLOCK_AHEAD_US     UINT64_C(1000000) /* How far the ceiling lies ahead of the clock. */
#define CLOCK_CEILING_LEFT (UINT64_C(500000) << CLOCK_COUNTER_BITS) /* Less: raise it. */

struct clock {
    uint64_t last;    /* The last timestamp given. */
    uint64_t ceiling; /* The last one asked to be made durable. */
    uint64_t offset_us;
    uint64_t turn_us; /* When now_us was computed: once a turn. */
    uint64_t now_us;
    uint8_t home;
    bool has_leapt; /* The leap was logged. */
};

/* The clock of shard `home` begins at `last`, which no timestamp of the past exceeds. */
void clock_init(struct clock *clock, uint32_t home, uint64_t last);
/* A timestamp that another shard has given or served: from now on this clock gives and serves only
 * later ones. Never one from a client, which could carry every clock away. It may lie above this
 * shard's ceiling: it is below that of the shard it comes from, and a restart begins every clock
 * at the largest ceiling of all logs (clock_raise with it, before anything is served). */
void clock_raise(struct clock *clock, uint64_t ts);
/* The clock now, as a timestamp at or above all given; does not move it. */
uint64_t clock_read(struct clock *clock);
/* The timestamp that the next commit would get: above all given, and no other shard gives it. */
uint64_t clock_next(struct clock *clock);
