/* Shards on threads of their own: start, stop, messages, wakeups. Shard threads only count; the
 * test's thread asserts. */
#include "tests/unit/engine/test_uring_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

#include "engine/base/prng.h"
#include "engine/io/runtime.h"
#include "engine/io/uring_internal.h"
#include "engine/rt/msg.h"

TestSuite(uring_runtime, .timeout = 120);

#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
enum { MESSAGES = 200000 };
#else
enum { MESSAGES = 1000000 };
#endif

static struct runtime *
start(uint32_t shards, bool never_spin)
{
    struct runtime_options options = {.shards = shards, .seed = 7, .never_spin = never_spin};
    struct runtime *runtime = NULL;

    cr_assert_eq(runtime_start(&options, &runtime), ERR_OK, "%s", err_message(ERR_KERNEL));
    return runtime;
}

/* ---- Start and stop. ---- */

struct life {
    atomic_uint inits;
    atomic_uint finis;
    atomic_uint wrong;
    int failing; /* The shard whose init fails; -1: none. */
};

static err_t
life_init(void *arg)
{
    struct life *life = arg;
    struct io_file *file = NULL;
    char name[32];
    err_t err;

    atomic_fetch_add(&life->inits, 1);
    snprintf(name, sizeof(name), "shard-%u", shard_id());
    TRY(io_mkdir(name));
    snprintf(name, sizeof(name), "shard-%u/file", shard_id());
    TRY(io_open(name, IO_CREATE, &file));
    io_close(&file);
    if ((int)shard_id() == life->failing) {
        return err_set(ERR_KERNEL, "shard %u has no luck", shard_id());
    }
    err = fiber_sleep_us(1000);
out:
    return err;
}

static void
life_fini(void *arg)
{
    struct life *life = arg;

    atomic_fetch_add(&life->finis, 1);
    if (shard_self() == NULL || fiber_self() == NULL) {
        atomic_fetch_add(&life->wrong, 1);
    }
}

static void
life_limits(uint32_t shard, struct mem_account *account, void *arg)
{
    (void)arg;
    mem_limit_set(account, MEM_CACHE, MIB(shard + 1));
}

static void
remember_limit(void *arg)
{
    *(uint64_t *)arg = mem_limit(mem_account_current(), MEM_CACHE);
}

Test(uring_runtime, init_and_fini_run_once_on_every_shard)
{
    char dir[64];
    struct life life = {.failing = -1};
    uint64_t limits[3] = {0};
    struct runtime_options options = {
        .shards = 3,
        .data_dir = dir,
        .limits = life_limits,
        .init = life_init,
        .fini = life_fini,
        .arg = &life,
    };
    struct runtime *runtime = NULL;

    uring_dir_make(dir, sizeof(dir));
    cr_assert_eq(runtime_start(&options, &runtime), ERR_OK);
    cr_assert_eq(atomic_load(&life.inits), 3);
    cr_assert_eq(runtime_shard_count(runtime), 3);
    runtime_call_all(runtime, MSG_INLINE, remember_limit, limits, sizeof(limits[0]));
    runtime_stop(&runtime);
    cr_assert_null(runtime);
    cr_assert_eq(atomic_load(&life.finis), 3);
    cr_assert_eq(atomic_load(&life.wrong), 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(limits[i], MIB(i + 1));
    }
    uring_dir_remove(dir);
}

Test(uring_runtime, a_failing_init_stops_everything_and_its_message_is_kept)
{
    char dir[64];
    struct life life = {.failing = 1};
    struct runtime_options options = {
        .shards = 2,
        .data_dir = dir,
        .init = life_init,
        .fini = life_fini,
        .arg = &life,
    };
    struct runtime *runtime = NULL;

    uring_dir_make(dir, sizeof(dir));
    cr_assert_eq(runtime_start(&options, &runtime), ERR_KERNEL);
    cr_assert_str_eq(err_message(ERR_KERNEL), "shard 1 has no luck");
    cr_assert_null(runtime);
    cr_assert_eq(atomic_load(&life.finis), 2);
    uring_dir_remove(dir);
}

Test(uring_runtime, a_missing_data_folder_is_named)
{
    struct runtime_options options = {.shards = 1, .data_dir = "/nowhere/at/all"};
    struct runtime *runtime = NULL;

    cr_assert_eq(runtime_start(&options, &runtime), ERR_NOT_FOUND);
    cr_assert(strstr(err_message(ERR_NOT_FOUND), "/nowhere/at/all") != NULL);
    cr_assert_null(runtime);
}

Test(uring_runtime, a_cpu_that_does_not_exist_is_named)
{
    const int cpu = 1000;
    struct runtime_options options = {.shards = 2, .cpus = &cpu, .cpu_count = 1};
    struct runtime *runtime = NULL;

    cr_assert_eq(runtime_start(&options, &runtime), ERR_KERNEL);
    cr_assert(strstr(err_message(ERR_KERNEL), "cpu 1000") != NULL, "%s", err_message(ERR_KERNEL));
    cr_assert_null(runtime);
}

Test(uring_runtime, lists_of_cpus_are_parsed)
{
    int cpus[8];
    uint32_t count = 99;

    cr_assert_eq(runtime_cpus_parse("none", cpus, 8, &count), ERR_OK);
    cr_assert_eq(count, 0);
    cr_assert_eq(runtime_cpus_parse("0-2,7", cpus, 8, &count), ERR_OK);
    cr_assert_eq(count, 4);
    cr_assert_eq(cpus[2], 2);
    cr_assert_eq(cpus[3], 7);
    cr_assert_eq(runtime_cpus_parse("all", cpus, 8, &count), ERR_OK);
    cr_assert_gt(count, 0);
    count = 99;
    cr_assert_eq(runtime_cpus_parse("0-8", cpus, 8, &count), ERR_LIMIT);
    cr_assert_eq(runtime_cpus_parse("", cpus, 8, &count), ERR_INVALID);
    cr_assert_eq(runtime_cpus_parse("1,", cpus, 8, &count), ERR_INVALID);
    cr_assert_eq(runtime_cpus_parse("3-1", cpus, 8, &count), ERR_INVALID);
    cr_assert_eq(runtime_cpus_parse("one", cpus, 8, &count), ERR_INVALID);
    cr_assert_eq(runtime_cpus_parse("99999999999", cpus, 8, &count), ERR_INVALID);
    cr_assert_eq(count, 99, "the output stays untouched on error");
}

/* ---- A storm of messages. ---- */

struct storm_shard {
    struct storm *storm;
    uint64_t received;
    uint64_t last[SHARDS_MAX]; /* Sequence number by sender. */
    uint32_t out_of_order;
    uint32_t answered;
    struct cond answered_cond;
} __attribute__((aligned(64)));

struct storm {
    uint32_t shards;
    uint32_t messages; /* Each shard sends. */
    struct storm_shard of[8];
};

struct storm_msg {
    struct msg msg; /* First. */
    struct storm *storm;
    uint64_t sequence;
};

static void
storm_receive(void *arg)
{
    struct storm_msg *message = arg;
    struct storm_shard *self = &message->storm->of[shard_id()];
    uint64_t *last = &self->last[message->msg.from];

    self->received++;
    self->out_of_order += message->sequence != *last + 1;
    *last = message->sequence;
}

static void
storm_done(struct msg *msg)
{
    struct storm_msg *message = (struct storm_msg *)msg;
    struct storm_shard *self = &message->storm->of[shard_id()];

    self->answered++;
    mem_free(MEM_RUNTIME, message, sizeof(*message));
    cond_signal(&self->answered_cond);
}

static void
storm_send(void *arg)
{
    struct storm_shard *self = arg;
    struct storm *storm = self->storm;
    uint64_t sequences[8] = {0};

    cond_init(&self->answered_cond);
    for (uint32_t i = 0; i < storm->messages; i++) {
        struct storm_msg *message = MEM_NEW(MEM_RUNTIME, struct storm_msg);
        uint32_t hops = 1 + (uint32_t)prng_below(shard_prng(), storm->shards - 1);
        uint32_t to = (shard_id() + hops) % storm->shards;

        message->msg = (struct msg){
            .fn = storm_receive,
            .arg = message,
            .done = storm_done,
            .to = to,
            .kind = MSG_INLINE,
        };
        message->storm = storm;
        message->sequence = ++sequences[to];
        msg_send(&message->msg);
    }
    while (self->answered < storm->messages) {
        cond_wait_uncancelable(&self->answered_cond);
    }
}

static void
storm_run(uint32_t shards, bool never_spin)
{
    static struct storm storm;
    struct runtime *runtime = start(shards, never_spin);
    uint64_t received = 0;

    memset(&storm, 0, sizeof(storm));
    storm.shards = shards;
    storm.messages = MESSAGES / shards;
    for (uint32_t i = 0; i < shards; i++) {
        storm.of[i].storm = &storm;
    }
    runtime_call_all(runtime, MSG_FIBER, storm_send, storm.of, sizeof(storm.of[0]));
    runtime_stop(&runtime);
    for (uint32_t i = 0; i < shards; i++) {
        received += storm.of[i].received;
        cr_assert_eq(storm.of[i].answered, storm.messages);
        cr_assert_eq(storm.of[i].out_of_order, 0, "messages between two shards keep their order");
    }
    cr_assert_eq(received, (uint64_t)storm.messages * shards);
}

Test(uring_runtime, a_million_messages_between_two_shards_arrive_once_and_in_order)
{
    storm_run(2, false);
}

Test(uring_runtime, a_million_messages_between_four_shards_arrive_once_and_in_order)
{
    storm_run(4, false);
}

Test(uring_runtime, messages_arrive_when_shards_sleep_at_every_chance)
{
    storm_run(2, true);
}

/* ---- Lost wakeups. ---- */

enum { PINGS = 20000 };

static void
nothing(void *arg)
{
    ++*(uint32_t *)arg;
}

static void
ping(void *arg)
{
    uint32_t *count = arg;

    for (uint32_t i = 0; i < PINGS; i++) {
        msg_call(1, i % 2 == 0 ? MSG_INLINE : MSG_FIBER, nothing, count);
        /* Pauses of all lengths, so that posts meet the peer at each step of falling asleep. */
        for (uint64_t spins = prng_below(shard_prng(), 2000); spins > 0; spins--) {
            __asm__ volatile("pause");
        }
    }
}

/* Each call waits for the answer: a lost wakeup hangs the test. */
Test(uring_runtime, no_wakeup_is_lost)
{
    struct runtime *runtime = start(2, true);
    uint32_t count = 0;

    runtime_call(runtime, 0, MSG_FIBER, ping, &count);
    runtime_stop(&runtime);
    cr_assert_eq(count, PINGS);
}

static void
never_run(void *arg)
{
    (void)arg;
}

/* A ring that is not enabled takes no completion from another one. */
Test(uring_runtime, a_wakeup_that_the_ring_refuses_goes_through_the_eventfd)
{
    struct mem_account *accounts[2] = {mem_account_new("a"), mem_account_new("b")};
    struct uring_group_options options = {.shards = 2, .accounts = accounts};
    struct uring_group *group = NULL;
    struct msg msg = {.fn = never_run, .to = 1};
    struct uring *sleeper;
    struct io *io;
    uint64_t signals = 0;

    cr_assert_eq(uring_group_new(&options, &group), ERR_OK);
    io = uring_group_io(group, 0);
    sleeper = uring_of(uring_group_io(group, 1));
    mem_account_bind(accounts[0]);
    cr_assert_eq(uring_enable(io), ERR_OK);
    cr_assert(uring_sleep_begin(sleeper));
    io->ops->post(io, &msg);
    cr_assert(!atomic_load(&sleeper->is_sleeping));
    for (uint32_t turn = 0; turn < 100 && read(sleeper->wake_fd, &signals, 8) != 8; turn++) {
        io->ops->wait(io, io->ops->monotonic_us(io) + 1000);
        io->ops->poll(io);
    }
    cr_assert_eq(signals, 1);
    uring_disable(io);
    uring_group_free(&group);
    mem_account_bind(NULL);
    mem_account_free(accounts[0]);
    mem_account_free(accounts[1]);
}

/* ---- Threads that are no shard. ---- */

enum { OUTSIDERS = 4, OUTSIDER_CALLS = 3000 };

struct outsider {
    struct runtime *runtime;
    pthread_t thread;
    uint64_t seed;
    uint64_t calls;
};

static void
suspend_a_while(void *arg)
{
    uint64_t *calls = arg;

    if (*calls % 16 == 0) {
        (void)fiber_sleep_us(100);
    }
    ++*calls;
}

static void *
outsider_main(void *arg)
{
    struct outsider *outsider = arg;
    struct prng prng;

    prng_init(&prng, outsider->seed);
    for (uint32_t i = 0; i < OUTSIDER_CALLS; i++) {
        runtime_call(outsider->runtime,
                     (uint32_t)prng_below(&prng, runtime_shard_count(outsider->runtime)), MSG_FIBER,
                     suspend_a_while, &outsider->calls);
    }
    return NULL;
}

Test(uring_runtime, calls_from_many_outside_threads_are_all_answered)
{
    struct runtime *runtime = start(2, false);
    struct outsider outsiders[OUTSIDERS];

    for (uint32_t i = 0; i < OUTSIDERS; i++) {
        outsiders[i] = (struct outsider){.runtime = runtime, .seed = i};
        cr_assert_eq(pthread_create(&outsiders[i].thread, NULL, outsider_main, &outsiders[i]), 0);
    }
    for (uint32_t i = 0; i < OUTSIDERS; i++) {
        pthread_join(outsiders[i].thread, NULL);
        cr_assert_eq(outsiders[i].calls, OUTSIDER_CALLS);
    }
    runtime_stop(&runtime);
}

/* ---- Helpers from several shards. ---- */

enum { HELPER_FIBERS = 32, HELPER_CALLS = 50 };

static void
helped_step(void *arg)
{
    ++*(uint32_t *)arg; /* One fiber's own counter: the hand-over orders the accesses. */
}

struct helped {
    struct fiber_group group;
    uint32_t counts[HELPER_FIBERS];
};

static void
helped_fiber(void *arg)
{
    for (uint32_t i = 0; i < HELPER_CALLS; i++) {
        (void)io_helper_run(helped_step, arg);
    }
}

static void
helped_shard(void *arg)
{
    struct helped *helped = arg;

    fiber_group_init(&helped->group);
    for (uint32_t i = 0; i < HELPER_FIBERS; i++) {
        (void)fiber_group_spawn(&helped->group, "helped", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                helped_fiber, &helped->counts[i]);
    }
    fiber_group_wait(&helped->group);
}

Test(uring_runtime, helper_threads_serve_several_shards)
{
    struct runtime *runtime = start(2, false);
    static struct helped helped[2];

    runtime_call_all(runtime, MSG_FIBER, helped_shard, helped, sizeof(helped[0]));
    runtime_stop(&runtime);
    for (uint32_t i = 0; i < 2 * HELPER_FIBERS; i++) {
        cr_assert_eq(helped[i / HELPER_FIBERS].counts[i % HELPER_FIBERS], HELPER_CALLS);
    }
}
