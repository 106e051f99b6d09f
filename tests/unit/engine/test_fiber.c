#include <criterion/criterion.h>
#include <errno.h>
#include <fenv.h>
#include <signal.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/base/sanitize.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"
#include "tests/lib/fake_io.h"

TestSuite(fiber, .timeout = 20);

/* Run by a fiber in first-come order with a virtual clock: see tests/lib/fake_io.h. */
#define RT_TEST(suite, name, ...)                                                                  \
    static void suite##_##name(void);                                                              \
    Test(suite, name, ##__VA_ARGS__)                                                               \
    {                                                                                              \
        fake_shard_run(suite##_##name);                                                            \
    }                                                                                              \
    static void suite##_##name(void)

/* What fibers did, as a text to compare. */
static char story[4096];

static void
tell(const char *what)
{
    strncat(story, what, sizeof(story) - strlen(story) - 1);
}

/* ---- The switch. ---- */

/* All six registers that a callee must preserve carry a value over a switch, in two fibers with
 * different values at a time. */
static uint64_t
yield_with_registers(uint64_t seed)
{
    uint64_t result;

    __asm__ volatile("movq %1, %%rbx\n"
                     "leaq 1(%%rbx), %%r12\n"
                     "leaq 2(%%rbx), %%r13\n"
                     "leaq 3(%%rbx), %%r14\n"
                     "leaq 4(%%rbx), %%r15\n"
                     "subq $128, %%rsp\n" /* Past the red zone. */
                     "pushq %%rbp\n"
                     "leaq 5(%%rbx), %%rbp\n"
                     "pushq %%rsp\n"
                     "pushq (%%rsp)\n"
                     "andq $-16, %%rsp\n"
                     "callq fiber_yield\n"
                     "movq 8(%%rsp), %%rsp\n"
                     "movq %%rbp, %%rax\n"
                     "popq %%rbp\n"
                     "addq $128, %%rsp\n"
                     "addq %%rbx, %%rax\n"
                     "addq %%r12, %%rax\n"
                     "addq %%r13, %%rax\n"
                     "addq %%r14, %%rax\n"
                     "addq %%r15, %%rax\n"
                     : "=&a"(result)
                     : "D"(seed)
                     : "rbx", "r12", "r13", "r14", "r15", "rcx", "rdx", "rsi", "r8", "r9", "r10",
                       "r11", "memory", "cc");
    return result;
}

static void
check_registers(void *arg)
{
    uint64_t seed = *(uint64_t *)arg;

    for (unsigned i = 0; i < 100; i++) {
        cr_assert_eq(yield_with_registers(seed + i), 6 * (seed + i) + 15);
    }
}

RT_TEST(fiber, a_switch_preserves_the_registers_of_the_callee)
{
    static uint64_t seeds[] = {1000, UINT64_C(1) << 60, 77};
    struct fiber_group group;

    fiber_group_init(&group);
    for (size_t i = 0; i < ARRAY_COUNT(seeds); i++) {
        cr_assert(fiber_group_spawn(&group, "registers", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    check_registers, &seeds[i]));
    }
    fiber_group_wait(&group);
}

static void
round_upwards(void *arg)
{
    (void)arg;
    cr_assert_eq(fegetround(), FE_TONEAREST, "a new fiber begins with the ABI's modes");
    fesetround(FE_UPWARD);
    fiber_yield();
    cr_assert_eq(fegetround(), FE_UPWARD);
}

RT_TEST(fiber, floating_point_modes_and_errno_belong_to_the_fiber)
{
    cr_assert_not_null(
        fiber_spawn("round", FIBER_FOREGROUND, FIBER_STACK_SMALL, round_upwards, NULL));
    errno = EDOM;
    fiber_yield();
    cr_assert_eq(fegetround(), FE_TONEAREST);
    cr_assert_eq(errno, EDOM);
    errno = 0;
    fiber_yield();
    cr_assert_eq(fegetround(), FE_TONEAREST);
    /* The stack of the one that has ended is reused; its modes are not. */
    cr_assert_not_null(
        fiber_spawn("round", FIBER_FOREGROUND, FIBER_STACK_SMALL, round_upwards, NULL));
    fiber_yield();
    fiber_yield();
}

static __attribute__((noinline)) uint64_t
use_stack(size_t bytes)
{
    volatile uint8_t frame[1024];
    uint64_t sum = 0;

    for (size_t i = 0; i < sizeof(frame); i++) {
        frame[i] = (uint8_t)bytes;
    }
    if (bytes % 8192 == 0) {
        fiber_yield();
    }
    sum = bytes > sizeof(frame) ? use_stack(bytes - sizeof(frame)) : 0;
    for (size_t i = 0; i < sizeof(frame); i++) {
        sum += frame[i];
    }
    return sum;
}

static void
use_much_stack(void *arg)
{
    *(uint64_t *)arg = use_stack(*(uint64_t *)arg);
}

RT_TEST(fiber, stacks_can_be_used_deeply_over_switches)
{
    uint64_t small[20];
    uint64_t large[3];
    struct fiber_group group;

    fiber_group_init(&group);
    for (unsigned i = 0; i < 20; i++) {
        small[i] = 40 << 10;
        cr_assert(fiber_group_spawn(&group, "small", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    use_much_stack, &small[i]));
    }
    for (unsigned i = 0; i < 3; i++) {
        large[i] = 400 << 10;
        cr_assert(fiber_group_spawn(&group, "large", FIBER_QUERY, FIBER_STACK_LARGE, use_much_stack,
                                    &large[i]));
    }
    fiber_group_wait(&group);
    for (unsigned i = 1; i < 20; i++) {
        cr_assert_eq(small[i], small[0]);
    }
    cr_assert_eq(large[1], large[0]);
}

static __attribute__((noinline)) uint64_t
never_ends(uint64_t depth)
{
    volatile uint8_t frame[512];

    frame[depth % sizeof(frame)] = 1;
    return depth == UINT64_MAX ? 0 : never_ends(depth + 1) + frame[0];
}

static void
overflow(void *arg)
{
    *(uint64_t *)arg = never_ends(0);
}

static void
spawn_overflow(void)
{
    uint64_t result = 0;
    struct fiber_group group;

    fiber_group_init(&group);
    cr_assert(fiber_group_spawn(&group, "overflow", FIBER_FOREGROUND, FIBER_STACK_SMALL, overflow,
                                &result));
    fiber_group_wait(&group);
}

/* A handler needs a stack of its own to run when the fiber's is used up. */
static void
leave_quietly(int signal_number)
{
    (void)signal_number;
    _exit(71);
}

Test(fiber, a_stack_that_overflows_meets_its_guard, .exit_code = 71)
{
    static char stack[64 << 10];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction action = {.sa_handler = leave_quietly, .sa_flags = SA_ONSTACK};

    sigaltstack(&alternate, NULL);
    sigaction(SIGSEGV, &action, NULL);
    fake_shard_run(spawn_overflow);
}

static void
count_up(void *arg)
{
    (*(uint32_t *)arg)++;
    fiber_yield();
    (*(uint32_t *)arg)++;
}

RT_TEST(fiber, thousands_of_fibers_run_and_their_stacks_are_reused)
{
#ifdef ORBIT_TSAN
    enum { FIBERS = 2000 }; /* ThreadSanitizer knows 8,128 at a time. */
#else
    enum { FIBERS = 10000 };
#endif
    struct shard_stats stats;
    struct fiber_group group;
    uint32_t count = 0;

    fiber_group_init(&group);
    for (unsigned round = 0; round < 2; round++) {
        count = 0;
        for (unsigned i = 0; i < FIBERS; i++) {
            cr_assert(fiber_group_spawn(&group, "count", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                        count_up, &count));
        }
        fiber_group_wait(&group);
        cr_assert_eq(count, 2 * FIBERS);
    }
    shard_stats_get(shard_self(), &stats);
    cr_assert_eq(stats.fibers, 1);
    cr_assert_eq(stats.fibers_peak, FIBERS + 1);
}

/* ---- Waiting. ---- */

struct waiter {
    struct cond *cond;
    const char *name;
    uint64_t deadline_us;
    err_t result;
};

static void
wait_and_tell(void *arg)
{
    struct waiter *waiter = arg;

    waiter->result = cond_wait_until(waiter->cond, waiter->deadline_us);
    tell(waiter->name);
}

static struct fiber *
spawn_waiter(struct waiter *waiter)
{
    struct fiber *fiber =
        fiber_spawn("waiter", FIBER_FOREGROUND, FIBER_STACK_SMALL, wait_and_tell, waiter);

    cr_assert_not_null(fiber);
    return fiber;
}

RT_TEST(fiber, a_condition_wakes_in_the_order_of_waiting)
{
    struct cond cond;
    struct waiter waiters[] = {{&cond, "a", DEADLINE_NONE, ERR_OK},
                               {&cond, "b", DEADLINE_NONE, ERR_OK},
                               {&cond, "c", DEADLINE_NONE, ERR_OK}};

    cond_init(&cond);
    for (unsigned i = 0; i < 3; i++) {
        spawn_waiter(&waiters[i]);
    }
    fiber_yield();
    cond_signal(&cond);
    fiber_yield();
    cr_assert_str_eq(story, "a");
    cond_broadcast(&cond);
    cond_signal(&cond); /* Nobody is left: is not kept for later. */
    fiber_yield();
    cr_assert_str_eq(story, "abc");
    cr_assert_not(cond_has_waiters(&cond));
}

RT_TEST(fiber, a_wait_ends_at_its_deadline)
{
    struct cond cond;
    struct waiter early = {&cond, "early ", shard_now_us() + 1000, ERR_OK};
    struct waiter late = {&cond, "late ", shard_now_us() + 9000, ERR_OK};
    uint64_t start_us = shard_now_us();

    cond_init(&cond);
    spawn_waiter(&late);
    spawn_waiter(&early);
    cr_assert_eq(fiber_sleep_us(5000), ERR_OK);
    cr_assert_eq(shard_now_us() - start_us, 5000);
    cr_assert_eq(early.result, ERR_TIMEOUT);
    cr_assert_str_eq(story, "early ");
    cond_signal(&cond);
    cr_assert_eq(fiber_sleep_us(5000), ERR_OK);
    cr_assert_eq(late.result, ERR_OK);
    cr_assert_eq(cond_wait_until(&cond, shard_now_us()), ERR_TIMEOUT, "at once");
    cr_assert_str_eq(err_message(ERR_TIMEOUT), "timed out");
}

RT_TEST(fiber, cancelling_ends_the_present_wait_and_all_later_ones)
{
    struct cond cond;
    struct waiter waiter = {&cond, "x", DEADLINE_NONE, ERR_OK};
    struct fiber *fiber;

    cond_init(&cond);
    fiber = spawn_waiter(&waiter);
    fiber_yield();
    cr_assert(cond_has_waiters(&cond));
    fiber_cancel(fiber);
    cr_assert_not(cond_has_waiters(&cond));
    fiber_yield();
    cr_assert_eq(waiter.result, ERR_CANCELED);

    fiber_cancel(fiber_self());
    cr_assert(fiber_is_canceled());
    cr_assert_eq(fiber_sleep_us(1000), ERR_CANCELED);
    cr_assert_eq(cond_wait_until(&cond, DEADLINE_NONE), ERR_CANCELED);
}

static void
signal_twice(void *arg)
{
    struct cond *cond = arg;

    fiber_sleep_us(100);
    cond_signal(cond);
}

static void
wake_for_nothing(void *arg)
{
    fiber_wake(arg);
    fiber_wake(arg);
}

RT_TEST(fiber, an_uncancelable_wait_is_deaf_to_cancel_and_to_bare_wakes)
{
    struct cond cond;
    uint64_t start_us = shard_now_us();

    cond_init(&cond);
    fiber_spawn("signal", FIBER_FOREGROUND, FIBER_STACK_SMALL, signal_twice, &cond);
    fiber_spawn("wake", FIBER_FOREGROUND, FIBER_STACK_SMALL, wake_for_nothing, fiber_self());
    fiber_cancel(fiber_self());
    cond_wait_uncancelable(&cond);
    cr_assert_eq(shard_now_us() - start_us, 100);
}

RT_TEST(fiber, a_wake_ends_a_suspension_once)
{
    struct fiber *self = fiber_self();

    fiber_wake(self); /* It runs: nothing happens. */
    fiber_spawn("wake", FIBER_FOREGROUND, FIBER_STACK_SMALL, wake_for_nothing, self);
    fiber_suspend();
    cr_assert_eq(fiber_self(), self);
}

static struct fiber_mutex mutex;
static uint32_t inside;

static void
lock_and_tell(void *arg)
{
    fiber_mutex_lock(&mutex);
    cr_assert_eq(inside++, 0);
    fiber_sleep_us(10);
    tell(arg);
    inside--;
    fiber_mutex_unlock(&mutex);
}

RT_TEST(fiber, a_mutex_admits_one_and_is_fair)
{
    static char names[] = "a\0b\0c\0d";
    struct fiber_group group;

    fiber_mutex_init(&mutex);
    fiber_group_init(&group);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert(fiber_group_spawn(&group, "lock", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    lock_and_tell, names + 2 * i));
    }
    fiber_sleep_us(15);
    lock_and_tell("main");
    fiber_group_wait(&group);
    cr_assert_str_eq(story, "abcdmain");
    cr_assert_not(mutex.is_locked);
}

static void
sleep_for(void *arg)
{
    fiber_sleep_us(*(uint64_t *)arg);
}

RT_TEST(fiber, a_group_is_waited_for_until_the_last_has_ended)
{
    uint64_t delays[] = {300, 100, 200};
    uint64_t start_us = shard_now_us();
    struct fiber_group group;

    fiber_group_init(&group);
    fiber_group_wait(&group); /* Nobody: returns at once. */
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(fiber_group_spawn(&group, "sleep", FIBER_BACKGROUND, FIBER_STACK_SMALL, sleep_for,
                                    &delays[i]));
    }
    fiber_group_wait(&group);
    cr_assert_eq(shard_now_us() - start_us, 300);
    cr_assert_eq(group.running, 0);
}

static void
say_error(void *arg)
{
    err_set(ERR_IO, "of %s", (const char *)arg);
    fiber_yield();
    cr_assert_str_eq(err_message(ERR_IO) + 3, arg);
}

RT_TEST(fiber, each_fiber_has_its_own_diagnostic)
{
    err_set(ERR_IO, "mine");
    fiber_spawn("a", FIBER_FOREGROUND, FIBER_STACK_SMALL, say_error, "a");
    fiber_spawn("b", FIBER_FOREGROUND, FIBER_STACK_SMALL, say_error, "b");
    fiber_yield();
    fiber_yield();
    cr_assert_str_eq(err_message(ERR_IO), "mine");
}

RT_TEST(fiber, suspending_where_no_yield_was_promised_aborts, .signal = SIGABRT)
{
    NO_YIELD {
        fiber_yield();
    }
}

RT_TEST(fiber, counting_work_where_no_yield_was_promised_aborts_at_the_first_unit,
        .signal = SIGABRT)
{
    NO_YIELD {
        fiber_work(1);
    }
}

RT_TEST(fiber, promises_of_no_yield_nest)
{
    NO_YIELD {
        NO_YIELD {}
    }
    fiber_yield();
}

static void
run_helper(void *arg)
{
    *(int *)arg = 42;
}

RT_TEST(fiber, a_helper_function_ends_before_the_call_returns)
{
    int answer = 0;

    cr_assert_eq(io_helper_run(run_helper, &answer), ERR_OK);
    cr_assert_eq(answer, 42);
}

/* ---- Scheduling. ---- */

struct worker {
    uint64_t units;
    bool *stop;
};

static void
work_until_stopped(void *arg)
{
    struct worker *worker = arg;

    while (!*worker->stop) {
        fiber_work(10);
        worker->units += 10;
    }
}

RT_TEST(fiber, classes_share_by_precedence_and_nobody_starves)
{
    bool stop = false;
    struct worker workers[FIBER_CLASS_COUNT] = {{0, &stop}, {0, &stop}, {0, &stop}};
    struct fiber_group group;
    uint64_t total = 0;

    fiber_group_init(&group);
    for (unsigned i = 0; i < FIBER_CLASS_COUNT; i++) {
        cr_assert(fiber_group_spawn(&group, "work", (enum fiber_class)i, FIBER_STACK_SMALL,
                                    work_until_stopped, &workers[i]));
    }
    for (unsigned i = 0; i < 2000; i++) {
        fiber_yield();
    }
    stop = true;
    fiber_group_wait(&group);
    for (unsigned i = 0; i < FIBER_CLASS_COUNT; i++) {
        total += workers[i].units;
    }
    cr_assert(workers[FIBER_FOREGROUND].units > total / 2);
    cr_assert(workers[FIBER_QUERY].units > total / 10);
    cr_assert(workers[FIBER_BACKGROUND].units > total / 20);
    cr_assert(workers[FIBER_BACKGROUND].units < total / 5);
}

static void
work_and_tell(void *arg)
{
    for (unsigned i = 0; i < 3; i++) {
        fiber_work(FIBER_GIVE_WAY_UNITS);
        tell(arg);
    }
}

RT_TEST(fiber, a_slice_gives_way_when_others_of_the_class_wait)
{
    struct fiber_group group;

    fiber_group_init(&group);
    fiber_group_spawn(&group, "a", FIBER_QUERY, FIBER_STACK_SMALL, work_and_tell, "a");
    fiber_group_spawn(&group, "b", FIBER_QUERY, FIBER_STACK_SMALL, work_and_tell, "b");
    fiber_group_wait(&group);
    cr_assert_str_eq(story, "ababab");
}

/* ---- Timers. ---- */

enum { TIMERS = 1000 };

static struct timer timers[TIMERS];
static uint32_t timers_fired;
static uint64_t timer_last_us;

static void
on_timer(struct timer *timer)
{
    cr_assert(shard_now_us() >= timer->deadline_us);
    cr_assert(timer->deadline_us >= timer_last_us);
    timer_last_us = timer->deadline_us;
    timers_fired++;
}

RT_TEST(fiber, timers_fire_in_order_and_stopped_ones_do_not)
{
    uint32_t stopped = 0;
    struct prng prng;

    prng_init(&prng, 3);
    for (unsigned i = 0; i < TIMERS; i++) {
        timer_init(&timers[i], on_timer);
        timer_stop(&timers[i]);
        timer_start(&timers[i], shard_now_us() + 1 + prng_below(&prng, 5000));
    }
    for (unsigned i = 0; i < TIMERS; i += 3) {
        if (i % 2 == 0) {
            timer_stop(&timers[i]);
            stopped++;
        } else {
            timer_start(&timers[i], shard_now_us() + 1 + prng_below(&prng, 5000));
        }
    }
    fiber_sleep_us(10000);
    cr_assert_eq(timers_fired, TIMERS - stopped);
    for (unsigned i = 0; i < TIMERS; i++) {
        cr_assert_eq(timers[i].heap_index, 0);
    }
}

static struct timer tied[3];

static void
on_tied(struct timer *timer)
{
    tell(timer == &tied[0] ? "0" : timer == &tied[1] ? "1" : "2");
}

RT_TEST(fiber, equal_deadlines_fire_in_the_order_of_their_start)
{
    static const unsigned order[] = {2, 0, 1};

    for (unsigned i = 0; i < 3; i++) {
        timer_init(&tied[order[i]], on_tied);
        timer_start(&tied[order[i]], shard_now_us() + 10);
    }
    fiber_sleep_us(20);
    cr_assert_str_eq(story, "201");
}

static uint32_t restarts;

static void
on_restart(struct timer *timer)
{
    restarts++;
    timer_start(timer, 0);
}

RT_TEST(fiber, a_timer_that_restarts_itself_does_not_hold_up_the_loop)
{
    struct timer timer;

    timer_init(&timer, on_restart);
    timer_start(&timer, 0);
    for (unsigned i = 0; i < 10; i++) {
        fiber_sleep_us(0);
    }
    cr_assert(restarts >= 5);
    timer_stop(&timer);
}

/* ---- Hooks, slots, lists. ---- */

static uint32_t hook_calls;

static void
on_turn(void *arg)
{
    cr_assert_null(fiber_self());
    hook_calls += *(uint32_t *)arg;
}

RT_TEST(fiber, hooks_run_each_turn_until_removed)
{
    uint32_t one = 1;
    uint32_t ten = 10;
    uint32_t calls;

    shard_turn_hook_add(on_turn, &one);
    shard_turn_hook_add(on_turn, &ten);
    fiber_sleep_us(10);
    cr_assert(hook_calls >= 11);
    cr_assert_eq(hook_calls % 11, 0);
    shard_turn_hook_remove(on_turn, &ten);
    calls = hook_calls;
    fiber_sleep_us(10);
    cr_assert(hook_calls > calls);
    cr_assert(hook_calls - calls < 10);
    shard_turn_hook_remove(on_turn, &one);
    shard_slot_set(SHARD_SLOT_TEST, &one);
    cr_assert_eq(shard_slot_get(SHARD_SLOT_TEST), &one);
}

static void
visit(const struct fiber_info *info, void *arg)
{
    (void)arg;
    tell(info->name);
    tell("=");
    tell(info->state);
    tell(" ");
}

RT_TEST(fiber, fibers_can_be_listed_with_their_state)
{
    uint64_t delay = 5;
    struct fiber_group group;

    fiber_group_init(&group);
    fiber_group_spawn(&group, "sleeper", FIBER_QUERY, FIBER_STACK_SMALL, sleep_for, &delay);
    shard_fibers_visit(shard_self(), visit, NULL);
    cr_assert_str_eq(story, "test=running sleeper=runnable ");
    fiber_sleep_us(1);
    story[0] = '\0';
    shard_fibers_visit(shard_self(), visit, NULL);
    cr_assert_str_eq(story, "test=running sleeper=waiting ");
    fiber_group_wait(&group);
}

/* ---- Crash. ---- */

static void
hold_much(void *arg)
{
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    arena_alloc(&arena, 100000);
    mem_alloc(MEM_CACHE, 1234);
    cond_wait_until(arg, DEADLINE_NONE);
    cr_assert_fail("a crashed fiber ran on");
}

Test(fiber, a_crash_takes_fibers_stacks_and_memory, .timeout = 20)
{
    static struct cond cond;

    mem_tracking_enable();
    for (unsigned life = 0; life < 20; life++) {
        struct mem_account *account = mem_account_new("shard");
        struct fake_io fake;
        struct shard_options options = {
            .count = 1, .io = &fake.io, .account = account, .seed = life, .random_slices = true};
        struct shard *shard;

        fake_io_init(&fake, &fake, false);
        cond_init(&cond);
        shard = shard_new(&options);
        shard_bind(shard);
        for (unsigned i = 0; i < 50; i++) {
            cr_assert_not_null(fiber_spawn("hold", (enum fiber_class)(i % FIBER_CLASS_COUNT),
                                           (enum fiber_stack)(i % FIBER_STACK_COUNT), hold_much,
                                           &cond));
        }
        shard_bind(NULL);
        for (unsigned turn = 0; turn < 5; turn++) {
            shard_turn(shard);
        }
        cr_assert(mem_used(account, MEM_CACHE) >= 10 * 1234);
        shard_crash(shard);
        mem_account_crash(account);
        cr_assert_eq(mem_used_total(account), 0);
        mem_account_free(account);
        fake_io_fini(&fake);
    }
}
