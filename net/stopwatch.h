/* net/stopwatch.h - how long a command took, for statistics only: no decision depends on it, so it
 * may bypass the io seam. Uses the processor's time-stamp counter (about 8 ns a reading), scaled
 * against the shard's clock as time goes by. */
#pragma once

#include <stdint.h>

struct stopwatch {
    uint64_t base_ticks;
    uint64_t base_us;
    double ns_per_tick;
};

/* now_us: the shard's clock. */
void stopwatch_init(struct stopwatch *watch, uint64_t now_us);
/* From time to time (at least a second apart): refines the scale. */
void stopwatch_calibrate(struct stopwatch *watch, uint64_t now_us);

static inline uint64_t
stopwatch_ticks(void)
{
    return __builtin_ia32_rdtsc();
}

static inline uint64_t
stopwatch_ns(const struct stopwatch *watch, uint64_t ticks)
{
    return (uint64_t)((double)ticks * watch->ns_per_tick);
}
