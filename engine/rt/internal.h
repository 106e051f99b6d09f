/* engine/rt/internal.h - the insides of struct shard and struct fiber, for engine/rt only (and
 * for tools/gdb/orbit-fibers.py, which walks them). */
#pragma once

#include <pthread.h>
#include <setjmp.h>

#include "engine/base/err.h"
#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/base/prng.h"
#include "engine/rt/context.h"
#include "engine/rt/fiber.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "engine/rt/shared.h"
#include "engine/rt/stack.h"

enum {
    SHARD_MAGIC = 0x73686172,
    FIBER_MAGIC = 0x66696265,
    /* What one run costs at least, in units of counted work: a switch and what a handler does. */
    FIBER_RUN_UNITS = 10,
    /* The loop reaps completions at least this often, in units. */
    SHARD_TURN_UNITS = 2000,
    /* Ended fibers whose stacks keep their pages, per stack class. */
    FIBERS_WARM_MAX = 256,
    /* Between two looks at who else waits, in units. */
    FIBER_LOOK_UNITS = 50,
};

enum fiber_state { FIBER_WAITING, FIBER_RUNNABLE, FIBER_RUNNING, FIBER_ENDED };

struct fiber {
    uint32_t magic;
    enum fiber_state state;
    struct context context;
    struct shard *shard;
    const char *name;
    fiber_fn fn;
    void *arg;
    struct fiber_group *group; /* NULL: of none. */
    enum fiber_class class;
    enum fiber_stack stack_class;
    uint8_t *stack_low;    /* Stays with the object over its lives. */
    struct list all_link;  /* In shard.fibers or shard.idle_fibers. */
    struct list run_link;  /* In a run queue while runnable. */
    struct list wait_link; /* In a condition's queue, or alone. */
    struct timer timer;    /* Ends the present wait. */
    err_t wait_result;     /* ERR_COUNT while a wait goes on. */
    bool wait_is_cancelable;
    bool is_canceled;
    bool starts_in_order; /* Runs a message and has not begun. */
    bool is_cold;         /* Idle, and its stack's pages were given back. */
    int saved_errno;
    uint32_t units;       /* Counted work of this slice. */
    uint32_t look_units;  /* fiber_work looks around when units reach this. */
    uint32_t slice_units; /* The end of this slice. */
    uint64_t switches;
    uint64_t since_us;
    struct err_diag diag;
};

struct shard_hook {
    void (*fn)(void *arg);
    void *arg;
};

/* The sender's side of the way to one other shard. */
struct msg_peer {
    uint32_t in_flight;      /* At most MSG_CREDITS. */
    struct cond credit_cond; /* Who waits is handed the credit that returns. */
};

/* A singly linked queue of messages. */
struct msg_queue {
    struct msg *first;
    struct msg **last_next;
};

struct shard {
    uint32_t magic;
    uint32_t id;
    uint32_t count;
    struct io *io;
    struct mem_account *account;
    struct shared *shared;
    struct shared *own_shared; /* The same, when it is this shard's to free; else NULL. */
    struct prng prng;
    bool random_slices;
    uint32_t spin_us;

    struct fiber *running; /* NULL on the loop's stack. */
    struct context loop;
    uint32_t no_yield_depth;
    uint32_t loop_units; /* Counted work done on the loop's stack since the last turn. */
    struct list run_queues[FIBER_CLASS_COUNT];
    uint32_t run_counts[FIBER_CLASS_COUNT];
    uint32_t share_percent[FIBER_CLASS_COUNT]; /* Of work, while higher classes have some. */
    uint32_t credit_units[FIBER_CLASS_COUNT];  /* Earned by waiting while others ran. */
    struct list fibers;
    struct list idle_fibers[FIBER_STACK_COUNT];
    uint32_t idle_counts[FIBER_STACK_COUNT];
    struct stack_pool stacks;
    uint64_t turn_us; /* shard_now_us of this turn. */

    struct timer **timers; /* A binary heap; [0] is unused. */
    uint32_t timer_count;
    uint32_t timer_capacity;
    uint64_t timer_sequence;

    struct shard_hook hooks[SHARD_TURN_HOOKS_MAX];
    uint32_t hook_count;
    void *slots[SHARD_SLOT_COUNT];
    bool is_abandoned; /* shard_abandon was called; the way out of the turn: */
    jmp_buf turn_exit;

    struct msg_peer *peers;   /* [count] */
    struct msg_queue local;   /* From and to this shard. */
    struct msg_queue backlog; /* Arrived when no fiber was to be had. */
    uint64_t message_us;      /* When the last one was sent or came. */
    pthread_mutex_t foreign_lock;
    struct msg_queue foreign; /* Guarded by foreign_lock. */
    bool has_foreign;         /* Atomic: a look without the lock. */
    bool is_stopping;         /* Atomic. */

    struct shard_stats stats;
};

/* fiber.c */
void fiber_run(struct shard *shard, struct fiber *fiber);
void fiber_make_runnable(struct fiber *fiber);
/* Free the ended fibers that are kept; fibers that have not ended are not touched. */
void fiber_idle_free_all(struct shard *shard);
void fiber_start_in_order(struct fiber *fiber);
/* A condition's wait ended: off its queue, and runnable. */
void fiber_wait_end(struct fiber *fiber, err_t result);

/* shared.c */
uint32_t shared_shards(const struct shared *shared);

/* shard.c: the shard of this thread, asserted to be there. */
struct shard *shard_current(void);
/* Does somebody else deserve the shard now? */
bool shard_others_wait(struct shard *shard, enum fiber_class class);

/* timer.c: true when any was due. */
bool timer_fire_due(struct shard *shard, uint64_t now_us);

/* msg.c */
void msg_init(struct shard *shard);
void msg_fini(struct shard *shard);
/* Deliver what came from this shard and from foreign threads; true when there was any. */
bool msg_turn(struct shard *shard);
/* Is something left to deliver in the next turn? */
bool msg_is_pending(const struct shard *shard);
