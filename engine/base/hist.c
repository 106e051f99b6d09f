/* engine/base/hist.c - see hist.h. */
#include "engine/base/hist.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { HIST_STEPS = 1 << HIST_SUB_BITS };

/* Values below HIST_STEPS have a bucket each; above, the bits behind the leading one choose the
 * step within the power of two:
 *
 *     value    1sssSxxxxx     leading one, HIST_SUB_BITS of step, the rest is dropped
 *     index    (shift + 1) * HIST_STEPS + step */
static uint32_t
hist_index(uint64_t value)
{
    unsigned shift;

    if (value < HIST_STEPS) {
        return (uint32_t)value;
    }
    shift = 63 - (unsigned)__builtin_clzll(value) - HIST_SUB_BITS;
    return ((shift + 1) << HIST_SUB_BITS) + (uint32_t)((value >> shift) - HIST_STEPS);
}

/* The largest value that falls into the bucket. */
static uint64_t
hist_upper(uint32_t index)
{
    uint32_t group = index >> HIST_SUB_BITS;
    uint64_t step = index & (HIST_STEPS - 1);
    unsigned shift;

    if (group == 0) {
        return step;
    }
    shift = group - 1;
    return ((HIST_STEPS + step) << shift) + ((UINT64_C(1) << shift) - 1);
}

void
hist_record(struct hist *hist, uint64_t value)
{
    uint32_t *bucket = &hist->buckets[hist_index(value)];

    hist->count++;
    hist->sum += value;
    hist->max = MAX(hist->max, value);
    if (*bucket < UINT32_MAX) {
        (*bucket)++;
    }
}

void
hist_merge(struct hist *into, const struct hist *from)
{
    into->count += from->count;
    into->sum += from->sum;
    into->max = MAX(into->max, from->max);
    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        uint64_t both = (uint64_t)into->buckets[i] + from->buckets[i];

        into->buckets[i] = (uint32_t)MIN(both, (uint64_t)UINT32_MAX);
    }
}

uint64_t
hist_quantile(const struct hist *hist, double fraction)
{
    double wanted = fraction * (double)hist->count;
    uint64_t seen = 0;

    for (uint32_t i = 0; i < HIST_BUCKETS; i++) {
        seen += hist->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            return MIN(hist_upper(i), hist->max);
        }
    }
    return hist->max;
}
