/* engine/io/uring_lanes.c - messages between shards, and waking a shard that sleeps.
 *
 * A post is a store and, if the peer sleeps, an operation in the own ring which completes in the
 * peer's (MSG_RING). It goes with the submission of this turn and so costs no call of its own: a
 * round trip between two sleeping shards took 43-52 us with it, 52-64 us with a write to an eventfd
 * (two cores, quiet; on a busy machine no difference showed). Threads which have no ring use the
 * eventfd.
 *
 * No wakeup is lost: the poster stores the index and then reads the flag, the sleeper stores the
 * flag and then reads the indices, all sequentially consistent, so at least one of the two sees
 * the other. (Fences would do the same, but ThreadSanitizer does not know them.) */
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

static void
eventfd_signal(struct uring *uring)
{
    if (eventfd_write(uring->wake_fd, 1) != 0) {
        fatal("cannot wake shard %u: %s", uring->id, strerror(errno));
    }
}

/* True for the one who has to wake it: any number of posts makes one wakeup. */
static bool
takes_the_wakeup(struct uring *uring)
{
    return atomic_load(&uring->is_sleeping) && atomic_exchange(&uring->is_sleeping, false);
}

void
uring_wake(struct io *io)
{
    struct uring *uring = uring_of(io);

    atomic_store(&uring->is_woken, true);
    if (takes_the_wakeup(uring)) {
        eventfd_signal(uring);
    }
}

static void
peer_wake(struct uring *uring, struct uring *peer)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_msg_ring(sqe, peer->ring.ring_fd, 0, URING_EVENT_MESSAGE | URING_KIND_INTERNAL,
                           0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = URING_EVENT_NOT_SENT | URING_KIND_INTERNAL | (uint64_t)peer->id << 32;
    uring->stats.wakeups_sent++;
}

/* The kernel could not put the completion into the peer's ring, or the peer is leaving. */
void
uring_peer_wake_failed(struct uring *uring, uint32_t peer)
{
    ASSERT(peer < uring->group->shards);
    eventfd_signal(uring->group->urings[peer]);
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
    if (takes_the_wakeup(peer)) {
        peer_wake(uring, peer);
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
