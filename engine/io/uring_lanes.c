/* engine/io/uring_lanes.c - messages between shards, and waking a shard that sleeps.
 *
 * A post is a store and, if the peer sleeps, a write to its eventfd. No wakeup is lost: the
 * poster stores the index and then reads the flag, the sleeper stores the flag and then reads
 * the indices, all sequentially consistent, so at least one of the two sees the other. (Fences
 * would do the same, but ThreadSanitizer does not know them.) */
#include "engine/io/uring_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>

#include "engine/base/poison.h"

static struct uring_lane *
lane_of(struct uring_group *group, uint32_t from, uint32_t to)
{
    return &group->lanes[(size_t)from * group->shards + to];
}

/* Whoever clears the flag writes: one write for any number of posts. */
static void
wake_if_sleeping(struct uring *uring)
{
    if (!atomic_load(&uring->is_sleeping) || !atomic_exchange(&uring->is_sleeping, false)) {
        return;
    }
    if (eventfd_write(uring->wake_fd, 1) != 0) {
        fatal("cannot wake shard %u: %s", uring->id, strerror(errno));
    }
}

void
uring_wake(struct io *io)
{
    struct uring *uring = uring_of(io);

    atomic_store(&uring->is_woken, true);
    wake_if_sleeping(uring);
}

void
uring_post(struct io *io, struct msg *msg)
{
    struct uring *uring = uring_of(io);
    struct uring_group *group = uring->group;
    uint32_t to = msg->is_reply ? msg->from : msg->to;
    struct uring_lane *lane;
    struct uring *peer;
    uint32_t tail;

    ASSERT(to < group->shards);
    ASSERT(to != uring->id);
    lane = lane_of(group, uring->id, to);
    peer = group->urings[to];
    tail = atomic_load_explicit(&lane->tail, memory_order_relaxed);
    /* Guaranteed by the credits. */
    ASSERT(tail - atomic_load_explicit(&lane->head, memory_order_acquire) < URING_LANE_SLOTS);
    lane->slots[tail % URING_LANE_SLOTS] = msg;
    atomic_store(&lane->tail, tail + 1);
    if (atomic_load(&peer->is_sleeping)) {
        uring->stats.wakeups_sent++;
        wake_if_sleeping(peer);
    }
}

static uint32_t
lane_drain(struct uring_lane *lane)
{
    uint32_t head = atomic_load_explicit(&lane->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&lane->tail, memory_order_acquire);
    uint32_t count = tail - head;

    while (head != tail) {
        struct msg *msg = lane->slots[head % URING_LANE_SLOTS];

        head++;
        atomic_store_explicit(&lane->head, head, memory_order_release);
        msg_deliver(msg);
    }
    return count;
}

uint32_t
uring_lanes_drain(struct uring *uring)
{
    uint32_t count = 0;

    if (uring->group->lanes == NULL) {
        return 0;
    }
    for (uint32_t from = 0; from < uring->group->shards; from++) {
        if (from != uring->id) {
            count += lane_drain(lane_of(uring->group, from, uring->id));
        }
    }
    return count;
}

bool
uring_lanes_are_empty(struct uring *uring)
{
    for (uint32_t from = 0; uring->group->lanes != NULL && from < uring->group->shards; from++) {
        struct uring_lane *lane = lane_of(uring->group, from, uring->id);

        if (atomic_load(&lane->tail) != atomic_load_explicit(&lane->head, memory_order_relaxed)) {
            return false;
        }
    }
    return true;
}

bool
uring_sleep_begin(struct uring *uring)
{
    atomic_store(&uring->is_sleeping, true);
    if (atomic_load(&uring->is_woken) || atomic_load(&uring->helped) != NULL ||
        !uring_lanes_are_empty(uring)) {
        uring_sleep_end(uring);
        return false;
    }
    return true;
}

/* The next turn looks at everything, so a wake up to here is answered. */
void
uring_sleep_end(struct uring *uring)
{
    atomic_store(&uring->is_sleeping, false);
    atomic_store(&uring->is_woken, false);
}
