/* engine/rt/shard.h - a shard: one core's loop, its fibers, its io, its memory account.
 *
 * In production shard_run loops on a thread of its own (or the opening thread of the C API calls
 * shard_turn); in the simulator one thread turns all shards in an order drawn from the seed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/prng.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shared.h"

enum { SHARDS_MAX = 256 };

struct io;
struct msg;

struct shard_options {
    uint32_t id;
    uint32_t count;              /* Shards in the process. */
    struct io *io;               /* Borrowed; outlives the shard. */
    struct mem_account *account; /* Borrowed; outlives the shard. */
    struct shared *shared;       /* Borrowed, of all shards of the process; outlives the shard.
                                    NULL: the shard makes one of its own (it is alone). */
    uint64_t seed;               /* Of shard_prng. */
    bool random_slices;          /* The simulator: draw each fiber's slice and the run order. */
    /* Poll for so long after a message was sent or came before sleeping: waking a sleeping shard
     * costs far more than a message. 0 (never) with one shard, with fewer cores than shards, and
     * in the simulator; otherwise SHARD_SPIN_US. */
    uint32_t spin_us;
};
enum { SHARD_SPIN_US = 50 };

struct shard *shard_new(const struct shard_options *options);
/* No fiber may be left (asserted). */
void shard_free(struct shard *shard);
/* The simulator: forget all fibers where they stand, and the shard; its memory goes with
 * mem_account_crash, which must follow (tracking is on). */
void shard_crash(struct shard *shard);

/* The simulator, from fatal_hook: leave the turn that is under way, from a fiber or from the loop's
 * stack, and never come back. shard_turn returns false; only shard_crash may follow. */
_Noreturn void shard_abandon(void);

/* The current shard of this thread; NULL outside. Set by shard_turn; the simulator and the C API
 * bind it while they call in from outside the loop. Also binds the memory account. */
struct shard *shard_self(void);
void shard_bind(struct shard *shard);

uint32_t shard_id(void);
uint32_t shard_count(void);
struct io *shard_io(void);
struct prng *shard_prng(void);
/* Monotonic microseconds, read once a loop turn by the io: what deadlines compare with. */
uint64_t shard_now_us(void);

/* Layers hang their per-shard root object here instead of using globals. */
enum shard_slot {
    SHARD_SLOT_STORE,      /* txn/store.h */
    SHARD_SLOT_MEETING,    /* txn/meeting.h: while stores are opened. */
    SHARD_SLOT_TXN,        /* txn/txn.h */
    SHARD_SLOT_KV,         /* models/kv */
    SHARD_SLOT_RELATIONAL, /* models/relational */
    SHARD_SLOT_NET,        /* net */
    SHARD_SLOT_PGWIRE,     /* net/pgwire */
    SHARD_SLOT_TEST,
    SHARD_SLOT_COUNT,
};
void shard_slot_set(enum shard_slot slot, void *object);
void *shard_slot_get(enum shard_slot slot);

/* One turn: reap completions and messages, fire due timers, run fibers until none is runnable or
 * the turn's bound is reached, call the turn hooks, submit. True when something is still
 * runnable. */
bool shard_turn(struct shard *shard);
/* Is there anything for a turn to do right now: a runnable fiber, a message, a completion? Costs a
 * few reads of memory. Timers are not looked at. */
bool shard_is_busy(struct shard *shard);
/* When the next timer is due; DEADLINE_NONE if none. */
uint64_t shard_next_timer_us(const struct shard *shard);
/* Turns until shard_stop, sleeping in io when idle. */
void shard_run(struct shard *shard);
/* From any thread. */
void shard_stop(struct shard *shard);
bool shard_is_stopping(void);

/* Called at the end of each turn in which something ran, on the loop's stack, before
 * submission: the log writes its open batch here, sessions flush their output. At most
 * SHARD_TURN_HOOKS_MAX. The order is that of registration. Must not suspend. */
enum { SHARD_TURN_HOOKS_MAX = 8 };
void shard_turn_hook_add(void (*hook)(void *arg), void *arg);
void shard_turn_hook_remove(void (*hook)(void *arg), void *arg);

/* The share of counted work, in percent (1..90), that background fibers get while others always
 * have work; what is left over is theirs anyway. Follows compaction debt. */
enum { SHARD_BACKGROUND_PERCENT = 10 };
void shard_background_share_set(uint32_t percent);

/* Timers: fn(timer) runs on the loop's stack at or after the deadline. The memory is the caller's;
 * stop is harmless on an idle timer. */
struct timer {
    uint64_t deadline_us;
    uint64_t sequence;   /* Equal deadlines fire in the order of their start. */
    uint32_t heap_index; /* 0: idle. */
    void (*fn)(struct timer *timer);
};
void timer_init(struct timer *timer, void (*fn)(struct timer *timer));
void timer_start(struct timer *timer, uint64_t deadline_us);
void timer_stop(struct timer *timer);

/* Fibers for lists (orbitctl, gdb): calls visit for each. */
struct fiber_info {
    const char *name;
    enum fiber_class class;
    const char *state; /* "running", "runnable", "waiting" */
    uint64_t switches;
    uint64_t since_us; /* Of the present state. */
};
void shard_fibers_visit(struct shard *shard, void (*visit)(const struct fiber_info *, void *),
                        void *arg);

/* Counters of the loop. */
struct shard_stats {
    uint64_t turns;
    uint64_t switches;
    uint64_t fibers;
    uint64_t fibers_peak;
    uint64_t messages_sent;
    uint64_t messages_received;
    uint64_t sleeps;
};
void shard_stats_get(const struct shard *shard, struct shard_stats *stats_out);
