#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "tests/lib/fake_io.h"

TestSuite(msg, .timeout = 60);

enum { SHARDS = 2 };

/* Two shards on two threads with the real clock; shard 0 runs the body. */
struct pair {
    struct fake_io ios[SHARDS];
    struct mem_account *accounts[SHARDS];
    struct shard *shards[SHARDS];
    pthread_t threads[SHARDS];
};

static struct pair pair;

static void *
pair_thread(void *arg)
{
    shard_run(arg);
    return NULL;
}

static void
pair_body(void *arg)
{
    void (*const *body)(void) = arg;

    (*body)();
    for (unsigned i = 0; i < SHARDS; i++) {
        shard_stop(pair.shards[i]);
    }
}

static void
pair_run(void (*body)(void), uint32_t spin_us)
{
    for (unsigned i = 0; i < SHARDS; i++) {
        struct shard_options options = {
            .id = i, .count = SHARDS, .io = &pair.ios[i].io, .seed = i, .spin_us = spin_us};

        fake_io_init(&pair.ios[i], pair.ios, true);
        pair.accounts[i] = options.account = mem_account_new("shard");
        pair.shards[i] = shard_new(&options);
    }
    shard_bind(pair.shards[0]);
    cr_assert_not_null(fiber_spawn("test", FIBER_FOREGROUND, FIBER_STACK_SMALL, pair_body, &body));
    shard_bind(NULL);
    for (unsigned i = 0; i < SHARDS; i++) {
        cr_assert_eq(pthread_create(&pair.threads[i], NULL, pair_thread, pair.shards[i]), 0);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        pthread_join(pair.threads[i], NULL);
    }
    for (unsigned i = 0; i < SHARDS; i++) {
        shard_free(pair.shards[i]);
        mem_account_free(pair.accounts[i]);
        fake_io_fini(&pair.ios[i]);
    }
}

#define PAIR_TEST(name, spin_us)                                                                   \
    static void msg_##name(void);                                                                  \
    Test(msg, name)                                                                                \
    {                                                                                              \
        pair_run(msg_##name, spin_us);                                                             \
    }                                                                                              \
    static void msg_##name(void)

static void
note_shard(void *arg)
{
    *(uint32_t *)arg = shard_id() + 1;
}

static void
note_shard_slowly(void *arg)
{
    fiber_sleep_us(1000);
    note_shard(arg);
}

PAIR_TEST(a_call_runs_at_the_peer_and_returns_when_it_has_ended, 0)
{
    uint32_t seen = 0;

    msg_call(1, MSG_INLINE, note_shard, &seen);
    cr_assert_eq(seen, 2);
    msg_call(1, MSG_FIBER, note_shard_slowly, &seen);
    cr_assert_eq(seen, 2);
    msg_call(0, MSG_FIBER, note_shard_slowly, &seen);
    cr_assert_eq(seen, 1);
}

PAIR_TEST(a_call_to_all_reaches_each_shard_once, 50)
{
    uint32_t seen[SHARDS] = {0};

    for (unsigned i = 0; i < 200; i++) {
        memset(seen, 0, sizeof(seen));
        msg_call_all(i % 2 == 0 ? MSG_INLINE : MSG_FIBER, note_shard, seen, sizeof(seen[0]));
        cr_assert_eq(seen[0], 1);
        cr_assert_eq(seen[1], 2);
    }
}

/* ---- Many messages, in order, within the credits. ---- */

enum { MESSAGES = 20000, SLOTS = 2 * MSG_CREDITS };

struct numbered {
    struct msg msg;
    uint32_t number;
    bool is_busy;
};

static struct numbered slots[SLOTS];
static uint32_t next_at_peer; /* Only the peer touches it. */
static uint32_t next_back;
static uint32_t in_flight;
static uint32_t in_flight_peak;

static void
expect_next(void *arg)
{
    struct numbered *numbered = arg;

    cr_assert_eq(numbered->number, next_at_peer++);
}

static void
on_back(struct msg *msg)
{
    struct numbered *numbered = CONTAINER_OF(msg, struct numbered, msg);

    cr_assert_null(fiber_self());
    cr_assert_eq(numbered->number, next_back++);
    numbered->is_busy = false;
    in_flight--;
}

static void
send_many(enum msg_kind kind, uint32_t to)
{
    next_at_peer = 0;
    next_back = 0;
    for (uint32_t number = 0; number < MESSAGES; number++) {
        struct numbered *numbered = &slots[number % SLOTS];

        cr_assert_not(numbered->is_busy);
        *numbered = (struct numbered){
            .msg = {.to = to, .kind = (uint8_t)kind, .fn = expect_next, .done = on_back},
            .number = number,
            .is_busy = true,
        };
        numbered->msg.arg = numbered;
        msg_send(&numbered->msg);
        in_flight++;
        in_flight_peak = MAX(in_flight_peak, in_flight);
    }
    while (next_back < MESSAGES) {
        fiber_sleep_us(50);
    }
    cr_assert_eq(in_flight, 0);
    cr_assert(in_flight_peak <= MSG_CREDITS);
    cr_assert(in_flight_peak > 1);
}

PAIR_TEST(inline_messages_keep_their_order_within_the_credits, 0)
{
    send_many(MSG_INLINE, 1);
}

PAIR_TEST(fiber_messages_begin_in_order_within_the_credits, 50)
{
    send_many(MSG_FIBER, 1);
}

PAIR_TEST(messages_to_the_own_shard_are_like_others, 0)
{
    send_many(MSG_INLINE, 0);
    send_many(MSG_FIBER, 0);
}

static struct msg extra[MSG_CREDITS + 1];
static uint32_t extra_done;

static void
do_nothing(void *arg)
{
    (void)arg;
}

static void
on_extra(struct msg *msg)
{
    (void)msg;
    extra_done++;
}

PAIR_TEST(a_try_without_credit_sends_nothing, 0)
{
    for (unsigned i = 0; i <= MSG_CREDITS; i++) {
        extra[i] = (struct msg){.to = 0, .kind = MSG_INLINE, .fn = do_nothing, .done = on_extra};
        cr_assert_eq(msg_try_send(&extra[i]), i < MSG_CREDITS);
    }
    cr_assert_eq(extra_done, 0, "never inside the call");
    msg_send(&extra[MSG_CREDITS]); /* Waits for the first credit to come back. */
    cr_assert(extra_done >= 1);
    while (extra_done <= MSG_CREDITS) {
        fiber_yield();
    }
}

/* Both send as fast as they can to each other: neither may wait for the other's receiving. */
static struct numbered back_slots[SLOTS];
static uint32_t flood_done[SHARDS];

static void
on_flood_back(struct msg *msg)
{
    flood_done[msg->from]++;
    CONTAINER_OF(msg, struct numbered, msg)->is_busy = false;
}

static void
flood(void *arg)
{
    uint32_t self = shard_id();
    struct numbered *mine = self == 0 ? slots : back_slots;

    (void)arg;
    for (uint32_t number = 0; number < MESSAGES; number++) {
        struct numbered *numbered = &mine[number % SLOTS];

        while (numbered->is_busy) { /* Replies of fibers may come in any order. */
            fiber_yield();
        }
        numbered->is_busy = true;
        numbered->msg = (struct msg){.to = 1 - self,
                                     .kind = number % 3 == 0 ? MSG_FIBER : MSG_INLINE,
                                     .fn = do_nothing,
                                     .done = on_flood_back};
        msg_send(&numbered->msg);
    }
    while (flood_done[self] < MESSAGES) {
        fiber_sleep_us(50);
    }
}

static void
flood_at_peer(void *arg)
{
    msg_call(1, MSG_FIBER, flood, arg);
}

PAIR_TEST(full_load_in_both_directions_does_not_deadlock, 50)
{
    struct fiber_group group;

    fiber_group_init(&group);
    cr_assert(fiber_group_spawn(&group, "peer", FIBER_FOREGROUND, FIBER_STACK_SMALL, flood_at_peer,
                                NULL));
    flood(NULL);
    fiber_group_wait(&group);
    cr_assert_eq(flood_done[0], MESSAGES);
    cr_assert_eq(flood_done[1], MESSAGES);
}

/* ---- From threads that are no shard. ---- */

struct foreign {
    struct msg msg;
    sem_t is_done;
    uint32_t shard;
};

static void
on_foreign(struct msg *msg)
{
    sem_post(&CONTAINER_OF(msg, struct foreign, msg)->is_done);
}

static void
foreign_call(uint32_t to, enum msg_kind kind)
{
    struct foreign foreign = {.msg = {.kind = (uint8_t)kind, .done = on_foreign}};

    foreign.msg.fn = kind == MSG_FIBER ? note_shard_slowly : note_shard;
    foreign.msg.arg = &foreign.shard;
    sem_init(&foreign.is_done, 0, 0);
    msg_post_foreign(pair.shards[to], &foreign.msg);
    while (sem_wait(&foreign.is_done) != 0) {}
    sem_destroy(&foreign.is_done);
    cr_assert_eq(foreign.shard, to + 1);
}

static void *
foreign_thread(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < 100; i++) {
        foreign_call(i % SHARDS, i % 10 == 0 ? MSG_FIBER : MSG_INLINE);
    }
    return NULL;
}

PAIR_TEST(foreign_threads_are_served_also_by_a_sleeping_shard, 0)
{
    pthread_t threads[3];

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(pthread_create(&threads[i], NULL, foreign_thread, NULL), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        while (pthread_tryjoin_np(threads[i], NULL) != 0) {
            fiber_sleep_us(1000);
        }
    }
}
