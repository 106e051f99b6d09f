/* engine/rt/shard.c - one core's loop.
 *
 * A turn: reap completions and messages, fire timers, run fibers up to SHARD_TURN_UNITS of counted
 * work, call the hooks, submit. Precedence of the classes is strict but for the credit that a
 * lower class earns while it waits: with a share of s percent, s/(100-s) units for each unit that
 * others use; with a slice's worth of credit it goes first. */
#include "engine/rt/shard.h"

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/internal.h"

#include "engine/base/poison.h"

enum { SHARD_QUERY_PERCENT = 30, SHARD_PERCENT_MAX = 90 };

/* The current shard of the thread: the one piece of thread state that shard code may see. */
static _Thread_local struct shard *shard_bound;

struct shard *
shard_self(void)
{
    return shard_bound;
}

struct shard *
shard_current(void)
{
    ASSERT(shard_bound != NULL);
    return shard_bound;
}

void
shard_bind(struct shard *shard)
{
    shard_bound = shard;
    mem_account_bind(shard != NULL ? shard->account : NULL);
}

/* ---- Life. ---- */

static void
shard_lists_init(struct shard *shard)
{
    for (unsigned i = 0; i < FIBER_CLASS_COUNT; i++) {
        list_init(&shard->run_queues[i]);
    }
    for (unsigned stack = 0; stack < FIBER_STACK_COUNT; stack++) {
        list_init(&shard->idle_fibers[stack]);
    }
    list_init(&shard->fibers);
}

struct shard *
shard_new(const struct shard_options *options)
{
    struct mem_account *account_before = mem_account_current();
    struct shard *shard;

    ASSERT(options->io != NULL);
    ASSERT(options->io->magic == IO_MAGIC);
    ASSERT(options->account != NULL);
    ASSERT(options->count >= 1);
    ASSERT(options->count <= SHARDS_MAX);
    ASSERT(options->id < options->count);
    mem_account_bind(options->account);
    shard = MEM_NEW(MEM_RUNTIME, struct shard);
    shard->magic = SHARD_MAGIC;
    shard->id = options->id;
    shard->count = options->count;
    shard->io = options->io;
    shard->account = options->account;
    shard->shared = options->shared;
    if (shard->shared == NULL) {
        shard->own_shared = shared_new(options->count);
        shard->shared = shard->own_shared;
    }
    ASSERT(shared_shards(shard->shared) == options->count);
    shard->random_slices = options->random_slices;
    shard->spin_us = options->count > 1 ? options->spin_us : 0;
    shard->share_percent[FIBER_QUERY] = SHARD_QUERY_PERCENT;
    shard->share_percent[FIBER_BACKGROUND] = SHARD_BACKGROUND_PERCENT;
    prng_init(&shard->prng, options->seed);
    shard_lists_init(shard);
    msg_init(shard);
    mem_account_bind(account_before);
    return shard;
}

void
shard_free(struct shard *shard)
{
    struct shard *before = shard_bound;

    if (shard == NULL) {
        return;
    }
    OBJ_CHECK(shard, SHARD_MAGIC);
    ASSERT(shard->running == NULL);
    ASSERT(shard->stats.fibers == 0);
    ASSERT(list_is_empty(&shard->fibers));
    shard_bind(shard);
    fiber_idle_free_all(shard);
    stack_pool_fini(&shard->stacks);
    msg_fini(shard);
    mem_free(MEM_RUNTIME, shard->timers, shard->timer_capacity * sizeof(struct timer *));
    shared_free(&shard->own_shared);
    shard->magic = 0;
    MEM_FREE(MEM_RUNTIME, shard);
    shard_bind(before == shard ? NULL : before);
}

void
shard_crash(struct shard *shard)
{
    struct shard *before = shard_bound;

    OBJ_CHECK(shard, SHARD_MAGIC);
    ASSERT(shard->running == NULL);
    shard_bind(shard);
    LIST_FOR_EACH(node, &shard->fibers) {
        context_forget(&LIST_ENTRY(node, struct fiber, all_link)->context);
    }
    fiber_idle_free_all(shard);
    stack_pool_fini(&shard->stacks);
    msg_fini(shard);
    shard->magic = 0;
    shard_bind(before == shard ? NULL : before);
}

/* ---- What the current shard is and has. ---- */

uint32_t
shard_id(void)
{
    return shard_current()->id;
}

uint32_t
shard_count(void)
{
    return shard_current()->count;
}

struct io *
shard_io(void)
{
    return shard_current()->io;
}

struct prng *
shard_prng(void)
{
    return &shard_current()->prng;
}

uint64_t
shard_now_us(void)
{
    struct io *io = shard_current()->io;

    return io->ops->monotonic_us(io);
}

void
shard_slot_set(enum shard_slot slot, void *object)
{
    ASSERT(slot < SHARD_SLOT_COUNT);
    shard_current()->slots[slot] = object;
}

void *
shard_slot_get(enum shard_slot slot)
{
    ASSERT(slot < SHARD_SLOT_COUNT);
    return shard_current()->slots[slot];
}

void
shard_background_share_set(uint32_t percent)
{
    ASSERT(percent >= 1);
    ASSERT(percent <= SHARD_PERCENT_MAX);
    shard_current()->share_percent[FIBER_BACKGROUND] = percent;
}

void
shard_turn_hook_add(void (*hook)(void *arg), void *arg)
{
    struct shard *shard = shard_current();

    ASSERT(shard->hook_count < SHARD_TURN_HOOKS_MAX);
    shard->hooks[shard->hook_count++] = (struct shard_hook){hook, arg};
}

void
shard_turn_hook_remove(void (*hook)(void *arg), void *arg)
{
    struct shard *shard = shard_current();
    uint32_t kept = 0;

    for (uint32_t i = 0; i < shard->hook_count; i++) {
        if (shard->hooks[i].fn != hook || shard->hooks[i].arg != arg) {
            shard->hooks[kept++] = shard->hooks[i];
        }
    }
    ASSERT(kept + 1 == shard->hook_count);
    shard->hook_count = kept;
}

void
shard_fibers_visit(struct shard *shard, void (*visit)(const struct fiber_info *, void *), void *arg)
{
    static const char *const names[] = {
        [FIBER_WAITING] = "waiting",
        [FIBER_RUNNABLE] = "runnable",
        [FIBER_RUNNING] = "running",
        [FIBER_ENDED] = "ended",
    };

    LIST_FOR_EACH(node, &shard->fibers) {
        const struct fiber *fiber = LIST_ENTRY(node, struct fiber, all_link);
        struct fiber_info info = {
            .name = fiber->name,
            .class = fiber->class,
            .state = names[fiber->state],
            .switches = fiber->switches,
            .since_us = fiber->since_us,
        };

        visit(&info, arg);
    }
}

void
shard_stats_get(const struct shard *shard, struct shard_stats *stats_out)
{
    *stats_out = shard->stats;
}

/* ---- Choosing a fiber. ---- */

static bool
shard_is_owed(const struct shard *shard, unsigned class)
{
    return shard->run_counts[class] > 0 && shard->credit_units[class] >= FIBER_GIVE_WAY_UNITS;
}

static bool
shard_io_waits(struct shard *shard)
{
    struct io *io = shard->io;

    return (io->ops->peek != NULL && io->ops->peek(io)) || msg_is_pending(shard);
}

bool
shard_others_wait(struct shard *shard, enum fiber_class class)
{
    for (unsigned other = 0; other < FIBER_CLASS_COUNT; other++) {
        if (other <= (unsigned)class ? shard->run_counts[other] > 0 : shard_is_owed(shard, other)) {
            return true;
        }
    }
    return shard_io_waits(shard);
}

static struct fiber *
shard_first_of(struct shard *shard, unsigned class)
{
    return LIST_ENTRY(shard->run_queues[class].next, struct fiber, run_link);
}

/* Any of the first few of any class, but messages begin in the order in which they came. */
static struct fiber *
shard_draw(struct shard *shard)
{
    enum { DRAW_DEPTH_MAX = 64 };
    unsigned class = (unsigned)prng_below(&shard->prng, FIBER_CLASS_COUNT);
    uint64_t index;
    struct fiber *drawn;

    while (shard->run_counts[class] == 0) {
        class = (class + 1) % FIBER_CLASS_COUNT;
    }
    index = prng_below(&shard->prng, MIN(shard->run_counts[class], (uint32_t)DRAW_DEPTH_MAX));
    drawn = shard_first_of(shard, class);
    for (; index > 0; index--) {
        drawn = LIST_ENTRY(drawn->run_link.next, struct fiber, run_link);
    }
    if (drawn->starts_in_order) {
        drawn = shard_first_of(shard, class);
        while (!drawn->starts_in_order) {
            drawn = LIST_ENTRY(drawn->run_link.next, struct fiber, run_link);
        }
    }
    return drawn;
}

/* NULL when none is runnable. */
static struct fiber *
shard_pick(struct shard *shard)
{
    unsigned chosen = FIBER_CLASS_COUNT;

    for (unsigned class = FIBER_CLASS_COUNT; class -- > 0;) {
        if (shard->run_counts[class] > 0) {
            chosen = class;
        }
    }
    if (chosen == FIBER_CLASS_COUNT) {
        return NULL;
    }
    if (shard->random_slices) {
        return shard_draw(shard);
    }
    for (unsigned class = FIBER_CLASS_COUNT - 1; class > chosen; class --) {
        if (shard_is_owed(shard, class)) {
            return shard_first_of(shard, class);
        }
    }
    return shard_first_of(shard, chosen);
}

/* `class` used units: who waits below earns, and what it had earned is spent. */
static void
shard_account_work(struct shard *shard, enum fiber_class class, uint32_t units)
{
    uint32_t *spent = &shard->credit_units[class];

    *spent -= MIN(*spent, units);
    for (unsigned other = FIBER_QUERY; other < FIBER_CLASS_COUNT; other++) {
        if (other != (unsigned)class && shard->run_counts[other] > 0) {
            uint64_t share = shard->share_percent[other];
            uint64_t credit =
                shard->credit_units[other] + (units * share + 99 - share) / (100 - share);

            shard->credit_units[other] = (uint32_t)MIN(credit, (uint64_t)2 * FIBER_SLICE_UNITS);
        }
    }
}

/* True when any ran. */
static bool
shard_run_fibers(struct shard *shard)
{
    uint32_t units = shard->loop_units;
    uint32_t look_units = FIBER_GIVE_WAY_UNITS;
    bool any = false;
    struct fiber *fiber;

    shard_account_work(shard, FIBER_FOREGROUND, units);
    shard->loop_units = 0;
    while ((fiber = shard_pick(shard)) != NULL) {
        enum fiber_class class = fiber->class;
        uint32_t used;

        fiber_run(shard, fiber);
        if (__builtin_expect(shard->is_abandoned, 0)) {
            longjmp(shard->turn_exit, 1);
        }
        any = true;
        used = MAX(fiber->units, (uint32_t)FIBER_RUN_UNITS);
        shard_account_work(shard, class, used);
        units += used;
        if (units >= SHARD_TURN_UNITS) {
            break;
        }
        /* Without a way to look at the io, a long slice of a lower class ends the turn. */
        if (class != FIBER_FOREGROUND && shard->io->ops->peek == NULL &&
            used >= FIBER_GIVE_WAY_UNITS) {
            break;
        }
        if (units >= look_units) {
            if (shard_io_waits(shard)) {
                break;
            }
            look_units = units + FIBER_GIVE_WAY_UNITS;
        }
    }
    return any;
}

/* ---- The loop. ---- */

static bool
shard_is_runnable(const struct shard *shard)
{
    for (unsigned i = 0; i < FIBER_CLASS_COUNT; i++) {
        if (shard->run_counts[i] > 0) {
            return true;
        }
    }
    return msg_is_pending(shard);
}

bool
shard_is_busy(struct shard *shard)
{
    return shard_is_runnable(shard) ||
           (shard->io->ops->peek != NULL && shard->io->ops->peek(shard->io));
}

/* All but the submission. Work on the loop's stack between two turns counts as something that ran:
 * the hooks write what it appended. */
static bool
shard_turn_body(struct shard *shard)
{
    struct io *io = shard->io;
    bool any;

    ASSERT(shard->running == NULL);
    shard->stats.turns++;
    any = shard->loop_units > 0;
    any = io->ops->poll(io) > 0 || any;
    shard->turn_us = io->ops->monotonic_us(io);
    any = msg_turn(shard) || any;
    any = timer_fire_due(shard, shard->turn_us) || any;
    any = shard_run_fibers(shard) || any;
    if (any) {
        for (uint32_t i = 0; i < shard->hook_count; i++) {
            shard->hooks[i].fn(shard->hooks[i].arg);
        }
    }
    return shard_is_runnable(shard);
}

/* Apart, so that no local variable lives across the jump. */
static bool
shard_turn_guarded(struct shard *shard)
{
    if (setjmp(shard->turn_exit) != 0) {
        shard->running = NULL;
        err_diag_bind(NULL);
        return false;
    }
    return shard_turn_body(shard);
}

void
shard_abandon(void)
{
    struct shard *shard = shard_current();
    struct fiber *fiber = shard->running;

    ASSERT(fatal_hook != NULL); /* Else the turn is not guarded. */
    shard->is_abandoned = true;
    shard->no_yield_depth = 0;
    if (fiber != NULL) {
        fiber->state = FIBER_WAITING;
        context_switch(&fiber->context, &shard->loop);
        UNREACHABLE();
    }
    longjmp(shard->turn_exit, 1);
}

bool
shard_turn(struct shard *shard)
{
    struct shard *before = shard_bound;
    bool is_runnable;

    OBJ_CHECK(shard, SHARD_MAGIC);
    shard_bind(shard);
    is_runnable = fatal_hook != NULL ? shard_turn_guarded(shard) : shard_turn_body(shard);
    shard->io->ops->submit(shard->io);
    shard_bind(before);
    return is_runnable;
}

static bool
shard_may_spin(const struct shard *shard)
{
    return shard->spin_us > 0 && shard->turn_us - shard->message_us < shard->spin_us;
}

void
shard_run(struct shard *shard)
{
    struct shard *before = shard_bound;
    struct io *io = shard->io;

    OBJ_CHECK(shard, SHARD_MAGIC);
    shard_bind(shard);
    while (!__atomic_load_n(&shard->is_stopping, __ATOMIC_ACQUIRE)) {
        if (shard_turn_body(shard) || shard_may_spin(shard)) {
            io->ops->submit(io);
        } else {
            shard->stats.sleeps++;
            io->ops->wait(io, shard_next_timer_us(shard)); /* Submits as well. */
        }
    }
    shard_bind(before);
}

void
shard_stop(struct shard *shard)
{
    struct io *io = shard->io;

    __atomic_store_n(&shard->is_stopping, true, __ATOMIC_RELEASE);
    io->ops->wake(io);
}

bool
shard_is_stopping(void)
{
    return __atomic_load_n(&shard_current()->is_stopping, __ATOMIC_ACQUIRE);
}
