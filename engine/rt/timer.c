/* engine/rt/timer.c - timers in a binary heap.
 *
 *     parent(i) = i / 2, children 2i and 2i + 1; [1] is due first, [0] is unused so that index 0
 *     can mean "idle". Equal deadlines fire in the order in which they were started. */
#include "engine/base/assert.h"
#include "engine/rt/internal.h"

#include "engine/base/poison.h"

enum { TIMERS_MIN = 64 };

void
timer_init(struct timer *timer, void (*fn)(struct timer *timer))
{
    *timer = (struct timer){.fn = fn};
}

static bool
timer_is_before(const struct timer *a, const struct timer *b)
{
    return a->deadline_us != b->deadline_us ? a->deadline_us < b->deadline_us
                                            : a->sequence < b->sequence;
}

static void
timer_put(struct shard *shard, uint32_t index, struct timer *timer)
{
    shard->timers[index] = timer;
    timer->heap_index = index;
}

/* `timer` belongs at `index` or nearer to the root. */
static void
timer_sift_up(struct shard *shard, uint32_t index, struct timer *timer)
{
    while (index > 1 && timer_is_before(timer, shard->timers[index / 2])) {
        timer_put(shard, index, shard->timers[index / 2]);
        index /= 2;
    }
    timer_put(shard, index, timer);
}

/* `timer` belongs at `index` or farther from the root. */
static void
timer_sift_down(struct shard *shard, uint32_t index, struct timer *timer)
{
    for (uint32_t child = index * 2; child <= shard->timer_count; child = index * 2) {
        if (child < shard->timer_count &&
            timer_is_before(shard->timers[child + 1], shard->timers[child])) {
            child++;
        }
        if (!timer_is_before(shard->timers[child], timer)) {
            break;
        }
        timer_put(shard, index, shard->timers[child]);
        index = child;
    }
    timer_put(shard, index, timer);
}

void
timer_start(struct timer *timer, uint64_t deadline_us)
{
    struct shard *shard = shard_current();

    ASSERT(timer->fn != NULL);
    timer_stop(timer);
    if (shard->timer_count + 1 >= shard->timer_capacity) {
        uint32_t capacity = MAX(shard->timer_capacity * 2, (uint32_t)TIMERS_MIN);

        shard->timers =
            mem_realloc(MEM_RUNTIME, shard->timers, shard->timer_capacity * sizeof(struct timer *),
                        capacity * sizeof(struct timer *));
        if (shard->timers == NULL) {
            fatal("out of memory: %u timers", capacity);
        }
        shard->timer_capacity = capacity;
    }
    /* Not before now: else one that restarts itself in the past would always be first. */
    timer->deadline_us = MAX(deadline_us, shard_now_us());
    timer->sequence = shard->timer_sequence++;
    shard->timer_count++;
    timer_sift_up(shard, shard->timer_count, timer);
}

void
timer_stop(struct timer *timer)
{
    struct shard *shard = shard_current();
    uint32_t index = timer->heap_index;
    struct timer *last;

    if (index == 0) {
        return;
    }
    ASSERT(index <= shard->timer_count);
    ASSERT(shard->timers[index] == timer);
    timer->heap_index = 0;
    last = shard->timers[shard->timer_count];
    shard->timer_count--;
    if (last == timer) {
        return;
    }
    if (index > 1 && timer_is_before(last, shard->timers[index / 2])) {
        timer_sift_up(shard, index, last);
    } else {
        timer_sift_down(shard, index, last);
    }
}

uint64_t
shard_next_timer_us(const struct shard *shard)
{
    return shard->timer_count > 0 ? shard->timers[1]->deadline_us : DEADLINE_NONE;
}

bool
timer_fire_due(struct shard *shard, uint64_t now_us)
{
    uint64_t end = shard->timer_sequence;
    bool any = false;

    /* What a timer starts waits for the next turn, or one that restarts itself would never end;
     * being due now at the earliest, it stands behind all that was due before. */
    while (shard->timer_count > 0 && shard->timers[1]->deadline_us <= now_us &&
           shard->timers[1]->sequence < end) {
        struct timer *timer = shard->timers[1];

        timer_stop(timer);
        timer->fn(timer);
        any = true;
    }
    return any;
}
