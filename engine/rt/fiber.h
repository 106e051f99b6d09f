/* engine/rt/fiber.h - stackful fibers: code that waits reads top to bottom.
 *
 * A fiber belongs to one shard and runs until it suspends; between two suspension points it owns
 * the shard. Functions that may suspend are marked YIELDS. Theory: engine/README.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/assert.h"
#include "engine/base/err.h"
#include "engine/base/list.h"

/* The function may suspend the calling fiber: everything read before the call may be stale. */
#define YIELDS

struct fiber;
struct shard;

/* Scheduling classes, in order of precedence. Background gets a share that never is zero. */
enum fiber_class { FIBER_FOREGROUND, FIBER_QUERY, FIBER_BACKGROUND, FIBER_CLASS_COUNT };

/* 64 KiB and 512 KiB of stack. */
enum fiber_stack { FIBER_STACK_SMALL, FIBER_STACK_LARGE, FIBER_STACK_COUNT };

typedef void (*fiber_fn)(void *arg);

/* No deadline. Deadlines are absolute, in microseconds of shard_now_us(). */
#define DEADLINE_NONE UINT64_MAX

/* Start fn(arg) on the current shard; it first runs after the caller suspends or returns to the
 * loop. `name` must be a literal. The fiber frees itself at its end, so keep the pointer only
 * while it is known to run; to wait for the end, use a fiber_group.
 * NULL when FIBERS_MAX fibers of the shard exist or the kernel gives no more stacks. */
enum { FIBERS_MAX = 65536 };
struct fiber *fiber_spawn(const char *name, enum fiber_class class, enum fiber_stack stack,
                          fiber_fn fn, void *arg);

/* The running fiber; NULL on the loop's own stack. */
struct fiber *fiber_self(void);
const char *fiber_name(const struct fiber *fiber);
/* Bytes of its stack that are left: for recursion whose depth a client decides. Outside of fibers
 * FIBER_STACK_LEFT_UNKNOWN. */
enum { FIBER_STACK_LEFT_UNKNOWN = 1 << 20 };
size_t fiber_stack_left(void);

/* Give way to other runnable fibers and to completions. */
YIELDS void fiber_yield(void);

/* Counted work (entries or bytes scaled by the caller to about 100 ns a unit): yields when the
 * slice is used up (FIBER_SLICE_UNITS) or, after FIBER_GIVE_WAY_UNITS, when others wait. This
 * and no clock decides, so the simulator schedules as production does. In the simulator the
 * slice is drawn, so that every call site yields sometimes. On the loop's stack it counts and
 * never suspends. */
enum { FIBER_SLICE_UNITS = 1000, FIBER_GIVE_WAY_UNITS = 200 };
YIELDS void fiber_work(uint32_t units);

/* ERR_CANCELED when the fiber was cancelled before or meanwhile. A sleep of 0 gives way. */
YIELDS err_t fiber_sleep_us(uint64_t delay_us);
YIELDS err_t fiber_sleep_until(uint64_t deadline_us);

/* Ask a fiber to end: its present and later cancellable waits return ERR_CANCELED. */
void fiber_cancel(struct fiber *fiber);
bool fiber_is_canceled(void);

/* The lowest level: suspend until somebody calls fiber_wake; wakes are not counted: the caller
 * loops on its condition. fiber_wake on a running or runnable fiber does nothing more. */
YIELDS void fiber_suspend(void);
void fiber_wake(struct fiber *fiber);

/* Sections that rely on no suspension say so: suspending inside aborts.
 *     NO_YIELD { ... }     (do not leave by return, break or goto) */
void fiber_no_yield_enter(void);
void fiber_no_yield_leave(void);
#define NO_YIELD NO_YIELD_AS_(ASSERT_NAME_(no_yield_once_, __LINE__))
#define NO_YIELD_AS_(once)                                                                         \
    for (int once = (fiber_no_yield_enter(), 1); once; once = 0, fiber_no_yield_leave())

/* A condition: a queue of waiting fibers, first come first served. */
struct cond {
    struct list waiters;
};

void cond_init(struct cond *cond);
bool cond_has_waiters(const struct cond *cond);
/* ERR_OK when signalled, ERR_TIMEOUT at the deadline, ERR_CANCELED when cancelled. A deadline that
 * has passed, or a fiber already cancelled, returns at once. */
YIELDS err_t cond_wait_until(struct cond *cond, uint64_t deadline_us);
/* Without deadline, and deaf to cancellation. */
YIELDS void cond_wait_uncancelable(struct cond *cond);
void cond_signal(struct cond *cond);    /* Wakes the first waiter. */
void cond_broadcast(struct cond *cond); /* Wakes all present waiters. */

/* A counter of fibers to wait for: fiber_group_spawn adds one, its end takes one away. */
struct fiber_group {
    uint32_t running;
    struct cond idle_cond;
};

void fiber_group_init(struct fiber_group *group);
/* False when the fiber could not be made. */
bool fiber_group_spawn(struct fiber_group *group, const char *name, enum fiber_class class,
                       enum fiber_stack stack, fiber_fn fn, void *arg);
/* Until none of the group runs. Deaf to cancellation. */
YIELDS void fiber_group_wait(struct fiber_group *group);

/* Mutual exclusion between fibers of one shard over suspension points; fair. */
struct fiber_mutex {
    bool is_locked;
    struct cond free_cond;
};

void fiber_mutex_init(struct fiber_mutex *mutex);
YIELDS void fiber_mutex_lock(struct fiber_mutex *mutex);
void fiber_mutex_unlock(struct fiber_mutex *mutex);
