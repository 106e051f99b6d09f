/* engine/base/hist.h - a log-linear histogram: 2^HIST_SUB_BITS steps to a power of two, so a
 * quantile is off by at most 1/2^HIST_SUB_BITS of its value. Values are unsigned integers of
 * any unit (latencies: microseconds). Single owner. */
#pragma once

#include <stdint.h>

enum { HIST_SUB_BITS = 4, HIST_BUCKETS = (64 - HIST_SUB_BITS + 1) << HIST_SUB_BITS };

struct hist {
    uint64_t count;
    uint64_t sum;
    uint64_t max;
    uint32_t buckets[HIST_BUCKETS];
};

void hist_record(struct hist *hist, uint64_t value);
void hist_merge(struct hist *into, const struct hist *from);
/* The smallest recorded bucket's upper value that `fraction` (0..1) of the values do not exceed;
 * 0 when empty. */
uint64_t hist_quantile(const struct hist *hist, double fraction);
