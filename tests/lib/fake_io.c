/* tests/lib/fake_io.c - see fake_io.h. */
#include "tests/lib/fake_io.h"

#include <errno.h>
#include <time.h>

#include "engine/base/assert.h"
#include "tests/lib/fiber_test.h"

enum { FAKE_TURNS_MAX = 1000 * 1000, FAKE_SLEEP_MS_MAX = 100 };

static struct fake_io *
fake_of(struct io *io)
{
    return CONTAINER_OF(io, struct fake_io, io);
}

static uint64_t
fake_real_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t
fake_monotonic_us(struct io *io)
{
    return fake_of(io)->now_us;
}

static void
fake_helper(struct io *io, struct io_op *op, void (*fn)(void *arg), void *arg)
{
    struct fake_io *fake = fake_of(io);

    fn(arg);
    op->result = 0;
    op->private_[0] = (uint64_t)(uintptr_t)fake->ended;
    fake->ended = op;
}

static void
fake_wake(struct io *io)
{
    struct fake_io *fake = fake_of(io);

    pthread_mutex_lock(&fake->lock);
    fake->is_woken = true;
    pthread_cond_signal(&fake->wake_cond);
    pthread_mutex_unlock(&fake->lock);
}

static void
fake_post(struct io *io, struct msg *msg)
{
    struct fake_io *peer = &fake_of(io)->peers[msg->is_reply ? msg->from : msg->to];

    fake_of(io)->posted++;
    msg->next = NULL;
    pthread_mutex_lock(&peer->lock);
    *peer->last_next = msg;
    peer->last_next = &msg->next;
    pthread_cond_signal(&peer->wake_cond);
    pthread_mutex_unlock(&peer->lock);
}

static uint32_t
fake_poll(struct io *io)
{
    struct fake_io *fake = fake_of(io);
    struct msg *msg;
    uint32_t count = 0;

    if (fake->is_real_time) {
        fake->now_us = fake_real_us();
    }
    pthread_mutex_lock(&fake->lock);
    msg = fake->first;
    fake->first = NULL;
    fake->last_next = &fake->first;
    fake->is_woken = false;
    pthread_mutex_unlock(&fake->lock);
    while (msg != NULL) {
        struct msg *next = msg->next;

        msg_deliver(msg);
        msg = next;
        count++;
    }
    while (fake->ended != NULL) {
        struct io_op *op = fake->ended;

        fake->ended = (struct io_op *)(uintptr_t)op->private_[0];
        op->done(op);
        count++;
    }
    return count;
}

static void
fake_submit(struct io *io)
{
    (void)io;
}

static void
fake_wait(struct io *io, uint64_t deadline_us)
{
    struct fake_io *fake = fake_of(io);
    struct timespec until;

    if (fake->ended != NULL) {
        return;
    }
    if (!fake->is_real_time) {
        if (deadline_us != DEADLINE_NONE) {
            fake->now_us = MAX(fake->now_us, deadline_us);
        }
        return;
    }
    deadline_us = MIN(deadline_us, fake_real_us() + FAKE_SLEEP_MS_MAX * UINT64_C(1000));
    until.tv_sec = (time_t)(deadline_us / 1000000);
    until.tv_nsec = (long)(deadline_us % 1000000) * 1000;
    pthread_mutex_lock(&fake->lock);
    while (fake->first == NULL && !fake->is_woken) {
        if (pthread_cond_timedwait(&fake->wake_cond, &fake->lock, &until) == ETIMEDOUT) {
            break;
        }
    }
    pthread_mutex_unlock(&fake->lock);
}

static const struct io_ops fake_ops = {
    .monotonic_us = fake_monotonic_us,
    .wall_us = fake_monotonic_us,
    .helper = fake_helper,
    .post = fake_post,
    .poll = fake_poll,
    .submit = fake_submit,
    .wait = fake_wait,
    .wake = fake_wake,
};

void
fake_io_init(struct fake_io *fake, struct fake_io *peers, bool is_real_time)
{
    pthread_condattr_t attributes;

    *fake = (struct fake_io){
        .io = {.magic = IO_MAGIC, .ops = &fake_ops}, .peers = peers, .is_real_time = is_real_time};
    fake->now_us = is_real_time ? fake_real_us() : 1;
    fake->last_next = &fake->first;
    pthread_mutex_init(&fake->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&fake->wake_cond, &attributes);
    pthread_condattr_destroy(&attributes);
}

void
fake_io_fini(struct fake_io *fake)
{
    ASSERT(fake->first == NULL);
    ASSERT(fake->ended == NULL);
    pthread_mutex_destroy(&fake->lock);
    pthread_cond_destroy(&fake->wake_cond);
}

static void
fake_body(void *arg)
{
    void (*const *body)(void) = arg;

    (*body)();
}

void
fake_shard_run(void (*body)(void))
{
    struct mem_account *account = mem_account_new("test");
    struct fake_io fake;
    struct shard_options options = {.count = 1, .io = &fake.io, .account = account, .seed = 1};
    struct shard_stats stats;
    struct shard *shard;

    fake_io_init(&fake, &fake, false);
    shard = shard_new(&options);
    shard_bind(shard);
    ASSERT(fiber_spawn("test", FIBER_FOREGROUND, FIBER_STACK_SMALL, fake_body, &body) != NULL);
    shard_bind(NULL);
    for (uint32_t turn = 0;; turn++) {
        ASSERT(turn < FAKE_TURNS_MAX);
        if (!shard_turn(shard)) {
            shard_stats_get(shard, &stats);
            if (stats.fibers == 0) {
                break;
            }
            ASSERT(fake.ended != NULL || shard_next_timer_us(shard) != DEADLINE_NONE);
            fake_wait(&fake.io, shard_next_timer_us(shard));
        }
    }
    shard_free(shard);
    fake_io_fini(&fake);
    mem_account_free(account);
    fiber_test_check_leaks();
}
