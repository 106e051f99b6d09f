/* net/stopwatch.c - see the header. */
#include "net/stopwatch.h"

#include "engine/base/poison.h"

/* Until the first calibration: a plausible 2.5 GHz. */
#define STOPWATCH_NS_PER_TICK_START 0.4

void
stopwatch_init(struct stopwatch *watch, uint64_t now_us)
{
    watch->base_ticks = stopwatch_ticks();
    watch->base_us = now_us;
    watch->ns_per_tick = STOPWATCH_NS_PER_TICK_START;
}

void
stopwatch_calibrate(struct stopwatch *watch, uint64_t now_us)
{
    uint64_t ticks = stopwatch_ticks() - watch->base_ticks;

    if (now_us > watch->base_us && ticks > 0) {
        watch->ns_per_tick = (double)(now_us - watch->base_us) * 1000.0 / (double)ticks;
    }
}
