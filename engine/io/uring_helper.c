/* engine/io/uring_helper.c - helper threads, for what blocks or computes long.
 *
 * A few threads for the whole process behind one queue. What they have done comes back through
 * an atomic stack a shard, which wakes the shard. No poison.h here: it makes the threads. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "engine/io/uring_internal.h"

static struct io_op *
op_next(const struct io_op *op)
{
    return (struct io_op *)(uintptr_t)op->private_[URING_OP_NEXT];
}

/* NULL when the threads are to end. */
static struct io_op *
take(struct uring_helpers *helpers)
{
    struct io_op *op;

    pthread_mutex_lock(&helpers->mutex);
    while (helpers->head == NULL && !helpers->is_stopping) {
        pthread_cond_wait(&helpers->work_cond, &helpers->mutex);
    }
    op = helpers->head;
    if (op != NULL) {
        helpers->head = op_next(op);
        helpers->waiting--;
    }
    pthread_mutex_unlock(&helpers->mutex);
    return op;
}

static void
give_back(struct io_op *op)
{
    struct uring *uring = (struct uring *)(uintptr_t)op->private_[URING_OP_BUFFER];
    struct io_op *newest = atomic_load(&uring->helped);

    do {
        op->private_[URING_OP_NEXT] = (uint64_t)(uintptr_t)newest;
    } while (!atomic_compare_exchange_weak(&uring->helped, &newest, op));
    uring_wake(&uring->io);
}

static void *
helper_main(void *arg)
{
    struct uring_helpers *helpers = arg;
    struct io_op *op;

    pthread_setname_np(pthread_self(), "orbit-helper");
    while ((op = take(helpers)) != NULL) {
        void (*fn)(void *) = (void (*)(void *))(uintptr_t)op->private_[URING_OP_SIZE];

        fn((void *)(uintptr_t)op->private_[URING_OP_OFFSET]);
        give_back(op);
    }
    return NULL;
}

/* A blocked fault would end the process without the report of its handler. */
void
uring_signals_block(sigset_t *old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t set;

    sigfillset(&set);
    for (size_t i = 0; i < ARRAY_COUNT(faults); i++) {
        sigdelset(&set, faults[i]);
    }
    pthread_sigmask(SIG_SETMASK, &set, old);
}

err_t
uring_helpers_start(struct uring_helpers *helpers)
{
    sigset_t old;
    int result = 0;

    pthread_mutex_init(&helpers->mutex, NULL);
    pthread_cond_init(&helpers->work_cond, NULL);
    uring_signals_block(&old);
    while (helpers->thread_count < URING_HELPER_THREADS && result == 0) {
        result =
            pthread_create(&helpers->threads[helpers->thread_count], NULL, helper_main, helpers);
        helpers->thread_count += result == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (result != 0) {
        return err_set(ERR_KERNEL, "cannot make a helper thread: %s", strerror(result));
    }
    return ERR_OK;
}

void
uring_helpers_stop(struct uring_helpers *helpers)
{
    pthread_mutex_lock(&helpers->mutex);
    helpers->is_stopping = true;
    pthread_cond_broadcast(&helpers->work_cond);
    pthread_mutex_unlock(&helpers->mutex);
    for (uint32_t i = 0; i < helpers->thread_count; i++) {
        pthread_join(helpers->threads[i], NULL);
    }
    pthread_cond_destroy(&helpers->work_cond);
    pthread_mutex_destroy(&helpers->mutex);
}

void
uring_helper(struct io *io, struct io_op *op, void (*fn)(void *), void *arg)
{
    struct uring *uring = uring_of(io);
    struct uring_helpers *helpers = &uring->group->helpers;
    bool is_full;

    op->result = 0;
    op->private_[URING_OP_BUFFER] = (uint64_t)(uintptr_t)uring;
    op->private_[URING_OP_OFFSET] = (uint64_t)(uintptr_t)arg;
    op->private_[URING_OP_SIZE] = (uint64_t)(uintptr_t)fn;
    op->private_[URING_OP_NEXT] = 0;
    pthread_mutex_lock(&helpers->mutex);
    is_full = helpers->waiting >= URING_HELPER_QUEUE_MAX;
    if (!is_full) {
        if (helpers->head == NULL) {
            helpers->head = op;
        } else {
            helpers->tail->private_[URING_OP_NEXT] = (uint64_t)(uintptr_t)op;
        }
        helpers->tail = op;
        helpers->waiting++;
        pthread_cond_signal(&helpers->work_cond);
    }
    pthread_mutex_unlock(&helpers->mutex);
    if (is_full) {
        uring_defer(uring, op, -EAGAIN);
    }
}

uint32_t
uring_helped_drain(struct uring *uring)
{
    struct io_op *newest;
    struct io_op *oldest = NULL;
    uint32_t count = 0;

    if (atomic_load_explicit(&uring->helped, memory_order_relaxed) == NULL) {
        return 0;
    }
    newest = atomic_exchange(&uring->helped, NULL);
    while (newest != NULL) {
        struct io_op *next = op_next(newest);

        newest->private_[URING_OP_NEXT] = (uint64_t)(uintptr_t)oldest;
        oldest = newest;
        newest = next;
    }
    while (oldest != NULL) {
        struct io_op *next = op_next(oldest);

        oldest->done(oldest);
        oldest = next;
        count++;
    }
    return count;
}
