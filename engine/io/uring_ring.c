/* engine/io/uring_ring.c - submission and completion.
 *
 * A turn costs at most one io_uring_enter: operations only fill the queue; submit() hands all of
 * them over and runs the kernel's deferred work in the same call, and when nothing is runnable
 * wait() does that and sleeps. poll() enters the kernel only when the kernel says that it has
 * work for us (IORING_SQ_TASKRUN), otherwise it reads shared memory. */
#include "engine/io/uring_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/base/log.h"

#include "engine/base/poison.h"

enum { BACKLOG_FIRST = 64, BACKLOG_MAX = 1 << 20 };

static void
backlog_flush(struct uring *uring)
{
    uint32_t moved = 0;

    if (uring->backlog_count == 0) {
        return;
    }
    while (moved < uring->backlog_count) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);

        if (sqe == NULL) {
            break;
        }
        *sqe = uring->backlog[moved++];
    }
    uring->backlog_count -= moved;
    memmove(uring->backlog, uring->backlog + moved, uring->backlog_count * sizeof(*uring->backlog));
}

/* What io_uring_enter may answer in a healthy process: the rest stays queued and goes with the
 * next call. Anything else means that the ring is unusable. */
static void
enter_check(struct uring *uring, int result)
{
    uring->stats.enters++;
    if (result >= 0) {
        uring->stats.submissions += (uint64_t)result;
        return;
    }
    switch (-result) {
    case ETIME:
    case EINTR:
    case EAGAIN:
    case EBUSY:
    case ENOMEM:
    case EBADFD: /* Not enabled yet. */
        return;
    default:
        fatal("shard %u: io_uring_enter failed: %s", uring->id, strerror(-result));
    }
}

/* Hands over the queue and the backlog behind it, as far as the kernel takes them. */
static void
submit_all(struct uring *uring)
{
    for (;;) {
        uint32_t left = uring->backlog_count;

        backlog_flush(uring);
        if (io_uring_sq_ready(&uring->ring) == 0) {
            return;
        }
        enter_check(uring, io_uring_submit_and_get_events(&uring->ring));
        if (uring->backlog_count == 0 || uring->backlog_count == left) {
            return;
        }
    }
}

static struct io_uring_sqe *
backlog_push(struct uring *uring)
{
    if (uring->backlog_count == uring->backlog_capacity) {
        uint32_t more = MAX(uring->backlog_capacity * 2, (uint32_t)BACKLOG_FIRST);

        /* Bounded by what the callers hold in flight, each with memory of its own. */
        ASSERT(more <= BACKLOG_MAX);
        uring->backlog = mem_realloc(MEM_RUNTIME, uring->backlog,
                                     uring->backlog_capacity * sizeof(*uring->backlog),
                                     more * sizeof(*uring->backlog));
        ASSERT(uring->backlog != NULL);
        uring->backlog_capacity = more;
    }
    return &uring->backlog[uring->backlog_count++];
}

struct io_uring_sqe *
uring_sqe(struct uring *uring)
{
    struct io_uring_sqe *sqe = NULL;

    if (uring->backlog_count == 0) {
        sqe = io_uring_get_sqe(&uring->ring);
    }
    if (sqe == NULL) {
        uring->stats.sq_full++;
        submit_all(uring);
        if (uring->backlog_count == 0) {
            sqe = io_uring_get_sqe(&uring->ring);
        }
    }
    return sqe != NULL ? sqe : backlog_push(uring);
}

void
uring_defer(struct uring *uring, struct io_op *op, int64_t result)
{
    op->result = result;
    op->private_[URING_OP_NEXT] = 0;
    if (uring->deferred == NULL) {
        uring->deferred = op;
    } else {
        uring->deferred_last->private_[URING_OP_NEXT] = (uint64_t)(uintptr_t)op;
    }
    uring->deferred_last = op;
}

static uint32_t
deferred_drain(struct uring *uring)
{
    struct io_op *op = uring->deferred;
    uint32_t count = 0;

    uring->deferred = NULL;
    uring->deferred_last = NULL;
    while (op != NULL) {
        struct io_op *next = (struct io_op *)(uintptr_t)op->private_[URING_OP_NEXT];

        op->done(op);
        op = next;
        count++;
    }
    return count;
}

void
uring_close_fd(struct uring *uring, int fd, bool may_take_long)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_close(sqe, fd);
    sqe->user_data = URING_EVENT_CLOSE | URING_KIND_INTERNAL;
    if (may_take_long) {
        sqe->flags |= IOSQE_ASYNC;
    }
    uring->closes_in_flight++;
}

/* A multishot poll reports every write to the eventfd; nobody needs to read it, as its counter
 * does not fill up in the life of a machine. */
void
uring_wake_arm(struct uring *uring)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_poll_multishot(sqe, uring->wake_fd, POLLIN);
    sqe->user_data = URING_EVENT_WAKE | URING_KIND_INTERNAL;
}

static void
internal_completed(struct uring *uring, const struct io_uring_cqe *cqe)
{
    switch ((enum uring_internal_event)(cqe->user_data & URING_EVENT_MASK)) {
    case URING_EVENT_WAKE:
        if (cqe->res == -EINVAL || cqe->res == -EBADF) {
            fatal("shard %u: cannot poll its eventfd: %s", uring->id, strerror(-cqe->res));
        }
        if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
            uring_wake_arm(uring);
        }
        return;
    case URING_EVENT_CLOSE:
        ASSERT(uring->closes_in_flight > 0);
        uring->closes_in_flight--;
        return;
    case URING_EVENT_MESSAGE:
        return;
    case URING_EVENT_NOT_SENT:
        uring_peer_wake_failed(uring, (uint32_t)(cqe->user_data >> 32));
        return;
    case URING_EVENT_MASK:
        break;
    }
    UNREACHABLE();
}

static void
dispatch(struct uring *uring, const struct io_uring_cqe *cqe)
{
    uint32_t kind = (uint32_t)(cqe->user_data & URING_KIND_MASK);

    if (kind == URING_KIND_INTERNAL) {
        internal_completed(uring, cqe);
    } else if (kind == URING_KIND_OP) {
        uring_op_completed(uring, (struct io_op *)(uintptr_t)cqe->user_data, cqe->res);
    } else {
        uring_net_completed(uring, cqe);
    }
}

/* What has completed up to now; what the handlers cause meanwhile is for the next turn. */
static uint32_t
reap(struct uring *uring)
{
    uint32_t ready = io_uring_cq_ready(&uring->ring);

    for (uint32_t i = 0; i < ready; i++) {
        struct io_uring *ring = &uring->ring;
        /* A copy: a handler may submit, and the kernel reuses the slot. */
        struct io_uring_cqe cqe = {0};
        const struct io_uring_cqe *slot = &ring->cq.cqes[*ring->cq.khead & ring->cq.ring_mask];

        cqe.user_data = slot->user_data;
        cqe.res = slot->res;
        cqe.flags = slot->flags;
        io_uring_cq_advance(ring, 1);
        dispatch(uring, &cqe);
    }
    uring->stats.completions += ready;
    return ready;
}

static uint32_t
kernel_flags(const struct uring *uring)
{
    return IO_URING_READ_ONCE(*uring->ring.sq.kflags);
}

uint32_t
uring_poll(struct io *io)
{
    struct uring *uring = uring_of(io);
    uint32_t flags = kernel_flags(uring);
    uint32_t count = 0;

    uring_clock_read(uring);
    if ((flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0) {
        uring->stats.cq_overflows += (flags & IORING_SQ_CQ_OVERFLOW) != 0;
        enter_check(uring, io_uring_get_events(&uring->ring));
    }
    if (uring->deferred != NULL) {
        count += deferred_drain(uring);
    }
    count += uring_lanes_drain(uring);
    count += uring_helped_drain(uring);
    count += reap(uring);
    count += uring_net_reap_closed(uring);
    return count;
}

bool
uring_peek(struct io *io)
{
    struct uring *uring = uring_of(io);

    return io_uring_cq_ready(&uring->ring) > 0 ||
           (kernel_flags(uring) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0 ||
           uring->deferred != NULL || !uring_lanes_are_empty(uring) ||
           atomic_load_explicit(&uring->helped, memory_order_relaxed) != NULL;
}

void
uring_submit(struct io *io)
{
    submit_all(uring_of(io));
}

static bool
has_something_to_do(struct uring *uring)
{
    return uring->deferred != NULL || uring_net_has_closed(uring) || uring->backlog_count > 0;
}

void
uring_wait(struct io *io, uint64_t deadline_us)
{
    struct uring *uring = uring_of(io);
    struct __kernel_timespec timeout = {0};
    struct io_uring_cqe *cqe = NULL;
    uint64_t now_us;

    backlog_flush(uring);
    if (has_something_to_do(uring) || !uring_sleep_begin(uring)) {
        submit_all(uring);
        return;
    }
    if (deadline_us == UINT64_MAX) {
        enter_check(uring, io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, NULL, NULL));
    } else if ((now_us = uring_clock_fresh_us()) < deadline_us) {
        timeout.tv_sec = (int64_t)((deadline_us - now_us) / 1000000);
        timeout.tv_nsec = (int64_t)((deadline_us - now_us) % 1000000) * 1000;
        enter_check(uring, io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &timeout, NULL));
    } else {
        submit_all(uring);
    }
    uring_sleep_end(uring);
}

err_t
uring_ring_setup(struct uring *uring)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                 IORING_SETUP_TASKRUN_FLAG | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = URING_CQ_ENTRIES,
    };
    int result = io_uring_queue_init_params(URING_SQ_ENTRIES, &uring->ring, &params);

    if (result < 0) {
        uring->ring.ring_fd = -1;
        return uring_kernel_refusal("io_uring_setup", result);
    }
    uring->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (uring->wake_fd < 0) {
        return err_from_errno(-errno, "eventfd");
    }
    uring_wake_arm(uring);
    return ERR_OK;
}

void
uring_ring_teardown(struct uring *uring)
{
    if (uring->ring.ring_fd >= 0) {
        io_uring_queue_exit(&uring->ring);
    }
    if (uring->wake_fd >= 0) {
        close(uring->wake_fd);
    }
    mem_free(MEM_RUNTIME, uring->backlog, uring->backlog_capacity * sizeof(*uring->backlog));
}
