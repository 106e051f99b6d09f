/* engine/rt/fiber.c - the life of a fiber.
 *
 *              spawn           loop             fn returns
 *     (idle) --------> RUNNABLE ----> RUNNING ------------> ENDED --> (idle: reused)
 *                        ^  ^            | | yield, slice used
 *                        |  +------------+-+
 *                   wake |               | suspend
 *                        +--- WAITING <--+ */
#include <errno.h>

#include "engine/base/assert.h"
#include "engine/rt/internal.h"

#include "engine/base/poison.h"

static void fiber_main(void *arg);
static void fiber_timeout(struct timer *timer);

struct fiber *
fiber_self(void)
{
    struct shard *shard = shard_self();

    return shard != NULL ? shard->running : NULL;
}

size_t
fiber_stack_left(void)
{
    const struct fiber *fiber = fiber_self();

    return fiber == NULL ? FIBER_STACK_LEFT_UNKNOWN
                         : (size_t)((const uint8_t *)__builtin_frame_address(0) - fiber->stack_low);
}

const char *
fiber_name(const struct fiber *fiber)
{
    OBJ_CHECK(fiber, FIBER_MAGIC);
    return fiber->name;
}

/* The running fiber, about to call something that may suspend it. */
static struct fiber *
fiber_about_to_yield(void)
{
    struct shard *shard = shard_current();

    ASSERT(shard->running != NULL);
    ASSERT(shard->no_yield_depth == 0);
    return shard->running;
}

/* ---- Life. ---- */

static void
fiber_stack_begin(struct fiber *fiber)
{
    fiber->is_cold = false;
    context_make(&fiber->context, fiber->stack_low, stack_bytes(fiber->stack_class), fiber_main,
                 fiber);
}

/* An ended fiber, or a new object with a stack; NULL when there can be no more. */
static struct fiber *
fiber_take(struct shard *shard, enum fiber_stack stack)
{
    struct list *node = list_pop_front(&shard->idle_fibers[stack]);
    struct fiber *fiber;
    uint8_t *low;

    if (node != NULL) {
        shard->idle_counts[stack]--;
        fiber = LIST_ENTRY(node, struct fiber, all_link);
        if (fiber->is_cold) {
            fiber_stack_begin(fiber);
        }
        return fiber;
    }
    low = stack_pool_take(&shard->stacks, stack);
    if (low == NULL) {
        return NULL;
    }
    fiber = MEM_NEW(MEM_RUNTIME, struct fiber);
    fiber->shard = shard;
    fiber->stack_class = stack;
    fiber->stack_low = low;
    list_init(&fiber->all_link);
    list_init(&fiber->run_link);
    list_init(&fiber->wait_link);
    timer_init(&fiber->timer, fiber_timeout);
    fiber_stack_begin(fiber);
    return fiber;
}

struct fiber *
fiber_spawn(const char *name, enum fiber_class class, enum fiber_stack stack, fiber_fn fn,
            void *arg)
{
    struct shard *shard = shard_current();
    struct fiber *fiber;

    ASSERT(class < FIBER_CLASS_COUNT);
    ASSERT(stack < FIBER_STACK_COUNT);
    ASSERT(fn != NULL);
    if (shard->stats.fibers >= FIBERS_MAX) {
        return NULL;
    }
    fiber = fiber_take(shard, stack);
    if (fiber == NULL) {
        return NULL;
    }
    fiber->magic = FIBER_MAGIC;
    fiber->state = FIBER_WAITING;
    fiber->name = name;
    fiber->fn = fn;
    fiber->arg = arg;
    fiber->group = NULL;
    fiber->class = class;
    fiber->wait_result = ERR_OK;
    fiber->is_canceled = false;
    fiber->starts_in_order = false;
    fiber->saved_errno = 0;
    fiber->switches = 0;
    fiber->diag.code = ERR_OK;
    fiber->diag.message[0] = '\0';
    list_push_back(&shard->fibers, &fiber->all_link);
    shard->stats.fibers++;
    shard->stats.fibers_peak = MAX(shard->stats.fibers_peak, shard->stats.fibers);
    fiber_make_runnable(fiber);
    return fiber;
}

void
fiber_start_in_order(struct fiber *fiber)
{
    fiber->starts_in_order = true;
}

/* One life after the other, so that a spawn costs no new stack frame. */
static void
fiber_main(void *arg)
{
    struct fiber *fiber = arg;
    struct shard *shard = fiber->shard;

    context_entered(&shard->loop);
    for (;;) {
        context_modes_reset();
        fiber->fn(fiber->arg);
        ASSERT(shard->no_yield_depth == 0);
        ASSERT(shard->running == fiber);
        fiber->state = FIBER_ENDED;
        context_switch(&fiber->context, &shard->loop);
    }
}

/* On the loop's stack. The most recently used stack, whose lines are in the cache, is the next
 * to be reused; beyond FIBERS_WARM_MAX the pages go back to the kernel, and what stood on them. */
static void
fiber_retire(struct shard *shard, struct fiber *fiber)
{
    struct fiber_group *group = fiber->group;

    ASSERT(fiber->timer.heap_index == 0);
    ASSERT(list_is_empty(&fiber->wait_link));
    fiber->magic = 0;
    list_remove(&fiber->all_link);
    shard->stats.fibers--;
    if (shard->idle_counts[fiber->stack_class]++ < FIBERS_WARM_MAX) {
        list_push_front(&shard->idle_fibers[fiber->stack_class], &fiber->all_link);
    } else {
        context_forget(&fiber->context);
        stack_release_pages(fiber->stack_low, stack_bytes(fiber->stack_class));
        fiber->is_cold = true;
        list_push_back(&shard->idle_fibers[fiber->stack_class], &fiber->all_link);
    }
    if (group != NULL) {
        ASSERT(group->running > 0);
        group->running--;
        if (group->running == 0) {
            cond_broadcast(&group->idle_cond);
        }
    }
}

void
fiber_idle_free_all(struct shard *shard)
{
    for (unsigned stack = 0; stack < FIBER_STACK_COUNT; stack++) {
        struct list *node;

        while ((node = list_pop_front(&shard->idle_fibers[stack])) != NULL) {
            struct fiber *fiber = LIST_ENTRY(node, struct fiber, all_link);

            context_forget(&fiber->context);
            MEM_FREE(MEM_RUNTIME, fiber);
        }
        shard->idle_counts[stack] = 0;
    }
}

/* ---- Running. ---- */

/* The simulator draws the length, most of them short, so that every call of fiber_work yields
 * sometimes. */
static void
fiber_slice_begin(struct shard *shard, struct fiber *fiber)
{
    fiber->units = 0;
    if (shard->random_slices) {
        uint64_t bound = FIBER_SLICE_UNITS >> prng_below(&shard->prng, 10);

        fiber->slice_units = 1 + (uint32_t)prng_below(&shard->prng, bound);
        fiber->look_units = fiber->slice_units;
    } else {
        fiber->slice_units = FIBER_SLICE_UNITS;
        fiber->look_units = FIBER_GIVE_WAY_UNITS;
    }
}

void
fiber_run(struct shard *shard, struct fiber *fiber)
{
    int saved_errno = errno;

    ASSERT(shard->running == NULL);
    ASSERT(fiber->state == FIBER_RUNNABLE);
    list_remove(&fiber->run_link);
    shard->run_counts[fiber->class]--;
    fiber->state = FIBER_RUNNING;
    fiber->starts_in_order = false;
    fiber->since_us = shard->turn_us;
    fiber->switches++;
    fiber_slice_begin(shard, fiber);
    shard->running = fiber;
    shard->stats.switches++;
    err_diag_bind(&fiber->diag);
    errno = fiber->saved_errno;
    context_switch(&shard->loop, &fiber->context);
    errno = saved_errno;
    err_diag_bind(NULL);
    shard->running = NULL;
    ASSERT(shard->no_yield_depth == 0);
    if (fiber->state == FIBER_ENDED) {
        fiber_retire(shard, fiber);
    }
}

/* Leave the running fiber, which is already on the list that will bring it back. */
static void
fiber_leave(struct fiber *fiber)
{
    fiber->saved_errno = errno;
    fiber->since_us = fiber->shard->turn_us;
    context_switch(&fiber->context, &fiber->shard->loop);
}

void
fiber_make_runnable(struct fiber *fiber)
{
    struct shard *shard = fiber->shard;

    fiber->state = FIBER_RUNNABLE;
    fiber->since_us = shard->turn_us;
    list_push_back(&shard->run_queues[fiber->class], &fiber->run_link);
    shard->run_counts[fiber->class]++;
}

void
fiber_suspend(void)
{
    struct fiber *fiber = fiber_about_to_yield();

    fiber->state = FIBER_WAITING;
    fiber_leave(fiber);
}

void
fiber_wake(struct fiber *fiber)
{
    OBJ_CHECK(fiber, FIBER_MAGIC);
    ASSERT(fiber->shard == shard_self());
    if (fiber->state == FIBER_WAITING) {
        fiber_make_runnable(fiber);
    }
}

void
fiber_yield(void)
{
    struct fiber *fiber = fiber_about_to_yield();

    fiber_make_runnable(fiber);
    fiber_leave(fiber);
}

void
fiber_work(uint32_t units)
{
    struct shard *shard = shard_current();
    struct fiber *fiber = shard->running;

    ASSERT(shard->no_yield_depth == 0);
    if (fiber == NULL) {
        shard->loop_units += units;
        return;
    }
    fiber->units += units;
    if (__builtin_expect(fiber->units < fiber->look_units, 1)) {
        return;
    }
    if (fiber->units >= fiber->slice_units || shard_others_wait(shard, fiber->class)) {
        fiber_yield();
    } else {
        fiber->look_units = fiber->units + FIBER_LOOK_UNITS;
    }
}

/* ---- Waiting with an end: sleeps and conditions. ---- */

void
fiber_wait_end(struct fiber *fiber, err_t result)
{
    ASSERT(fiber->wait_result == ERR_COUNT);
    fiber->wait_result = result;
    list_remove(&fiber->wait_link);
    fiber_wake(fiber);
}

static void
fiber_timeout(struct timer *timer)
{
    struct fiber *fiber = CONTAINER_OF(timer, struct fiber, timer);

    if (fiber->wait_result == ERR_COUNT) {
        fiber_wait_end(fiber, ERR_TIMEOUT);
    }
}

/* Until fiber_wait_end. A bare fiber_wake is no end: the caller's promise is about the cause. */
static err_t
fiber_wait(struct fiber *fiber, struct list *waiters, uint64_t deadline_us, bool is_cancelable)
{
    fiber->wait_result = ERR_COUNT;
    fiber->wait_is_cancelable = is_cancelable;
    if (waiters != NULL) {
        list_push_back(waiters, &fiber->wait_link);
    }
    if (deadline_us != DEADLINE_NONE) {
        timer_start(&fiber->timer, deadline_us);
    }
    while (fiber->wait_result == ERR_COUNT) {
        fiber->state = FIBER_WAITING;
        fiber_leave(fiber);
    }
    timer_stop(&fiber->timer);
    return fiber->wait_result;
}

err_t
fiber_sleep_until(uint64_t deadline_us)
{
    struct fiber *fiber = fiber_about_to_yield();

    if (fiber->is_canceled) {
        return err_set_default(ERR_CANCELED);
    }
    if (fiber_wait(fiber, NULL, deadline_us, true) == ERR_CANCELED) {
        return err_set_default(ERR_CANCELED);
    }
    return ERR_OK;
}

err_t
fiber_sleep_us(uint64_t delay_us)
{
    uint64_t now_us = shard_now_us();

    return fiber_sleep_until(delay_us < DEADLINE_NONE - now_us ? now_us + delay_us : DEADLINE_NONE);
}

void
fiber_cancel(struct fiber *fiber)
{
    OBJ_CHECK(fiber, FIBER_MAGIC);
    ASSERT(fiber->shard == shard_self());
    fiber->is_canceled = true;
    if (fiber->wait_result == ERR_COUNT && fiber->wait_is_cancelable) {
        fiber_wait_end(fiber, ERR_CANCELED);
    }
}

bool
fiber_is_canceled(void)
{
    struct fiber *fiber = fiber_self();

    ASSERT(fiber != NULL);
    return fiber->is_canceled;
}

void
fiber_no_yield_enter(void)
{
    struct shard *shard = shard_self();

    if (shard != NULL) {
        shard->no_yield_depth++;
    }
}

void
fiber_no_yield_leave(void)
{
    struct shard *shard = shard_self();

    if (shard != NULL) {
        ASSERT(shard->no_yield_depth > 0);
        shard->no_yield_depth--;
    }
}

/* ---- Conditions, groups, mutexes. ---- */

void
cond_init(struct cond *cond)
{
    list_init(&cond->waiters);
}

bool
cond_has_waiters(const struct cond *cond)
{
    return !list_is_empty(&cond->waiters);
}

err_t
cond_wait_until(struct cond *cond, uint64_t deadline_us)
{
    struct fiber *fiber = fiber_about_to_yield();
    err_t err;

    if (fiber->is_canceled) {
        return err_set_default(ERR_CANCELED);
    }
    if (deadline_us <= shard_now_us()) {
        return err_set_default(ERR_TIMEOUT);
    }
    err = fiber_wait(fiber, &cond->waiters, deadline_us, true);
    return err == ERR_OK ? ERR_OK : err_set_default(err);
}

void
cond_wait_uncancelable(struct cond *cond)
{
    struct fiber *fiber = fiber_about_to_yield();
    err_t err = fiber_wait(fiber, &cond->waiters, DEADLINE_NONE, false);

    ASSERT(err == ERR_OK);
}

void
cond_signal(struct cond *cond)
{
    if (cond_has_waiters(cond)) {
        fiber_wait_end(LIST_ENTRY(cond->waiters.next, struct fiber, wait_link), ERR_OK);
    }
}

void
cond_broadcast(struct cond *cond)
{
    while (cond_has_waiters(cond)) {
        cond_signal(cond);
    }
}

void
fiber_group_init(struct fiber_group *group)
{
    group->running = 0;
    cond_init(&group->idle_cond);
}

bool
fiber_group_spawn(struct fiber_group *group, const char *name, enum fiber_class class,
                  enum fiber_stack stack, fiber_fn fn, void *arg)
{
    struct fiber *fiber = fiber_spawn(name, class, stack, fn, arg);

    if (fiber == NULL) {
        return false;
    }
    fiber->group = group;
    group->running++;
    return true;
}

void
fiber_group_wait(struct fiber_group *group)
{
    while (group->running > 0) {
        cond_wait_uncancelable(&group->idle_cond);
    }
}

void
fiber_mutex_init(struct fiber_mutex *mutex)
{
    mutex->is_locked = false;
    cond_init(&mutex->free_cond);
}

void
fiber_mutex_lock(struct fiber_mutex *mutex)
{
    ASSERT(fiber_about_to_yield() != NULL);
    if (!mutex->is_locked) {
        mutex->is_locked = true;
        return;
    }
    /* The one who unlocks hands the lock over, so it is ours when we wake. */
    cond_wait_uncancelable(&mutex->free_cond);
    ASSERT(mutex->is_locked);
}

void
fiber_mutex_unlock(struct fiber_mutex *mutex)
{
    ASSERT(mutex->is_locked);
    if (cond_has_waiters(&mutex->free_cond)) {
        cond_signal(&mutex->free_cond);
    } else {
        mutex->is_locked = false;
    }
}
