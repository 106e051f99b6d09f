/* engine/io/sim_world.c - the simulated world: virtual time, randomness, the trace, and the order
 * in which shards are turned.
 *
 * A turn of a shard takes a drawn time. When no shard has anything to do, time jumps to the next
 * event or timer. So minutes of virtual time pass in milliseconds, and every interleaving is a
 * function of the seed. */
#include "engine/io/sim_internal.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

#define SIM_WORLD_MAGIC UINT64_C(0x6f7262697473696d)

enum { SIM_FIRST_US = 1000 * 1000, SIM_TRACE_LINE_BYTES = 512 };
/* 2026-01-01: a plausible wall clock at the world's first microsecond. */
static const int64_t sim_wall_first_us = INT64_C(1767225600000000);

/* Read-only but for its one setting and clearing: assertions and fatal() have no argument. */
static struct sim_world *world_current;

static const char *const op_names[SIM_OP_COUNT] = {
#define SIM_OP_TEXT(name, text) text,
    SIM_OP_TABLE(SIM_OP_TEXT)
#undef SIM_OP_TEXT
};

static const char *const fault_names[SIM_FAULT_COUNT] = {
#define SIM_FAULT_TEXT(name, text) text,
    SIM_FAULT_TABLE(SIM_FAULT_TEXT)
#undef SIM_FAULT_TEXT
};

const char *
sim_op_name(enum sim_op op)
{
    ASSERT(op < SIM_OP_COUNT);
    return op_names[op];
}

const char *
sim_fault_name(enum sim_fault fault)
{
    ASSERT(fault < SIM_FAULT_COUNT);
    return fault_names[fault];
}

const char *
sim_stop_name(enum sim_stop stop)
{
    static const char *const names[] = {"done", "time is over", "idle", "turn limit", "fatal"};

    ASSERT(stop < ARRAY_COUNT(names));
    return names[stop];
}

/* ---- Memory, randomness, trace. ---- */

void *
sim_alloc(struct sim_world *world, size_t size)
{
    struct mem_account *outer = mem_account_current();
    void *block;

    mem_account_bind(world->account);
    block = mem_zalloc(MEM_RUNTIME, size);
    mem_account_bind(outer);
    return block;
}

void *
sim_realloc(struct sim_world *world, void *block, size_t old_size, size_t new_size)
{
    struct mem_account *outer = mem_account_current();

    mem_account_bind(world->account);
    block = mem_realloc(MEM_RUNTIME, block, old_size, new_size);
    mem_account_bind(outer);
    return block;
}

void
sim_free(struct sim_world *world, void *block, size_t size)
{
    struct mem_account *outer = mem_account_current();

    mem_account_bind(world->account);
    mem_free(MEM_RUNTIME, block, size);
    mem_account_bind(outer);
}

uint64_t
sim_prng_below(struct sim_world *world, uint64_t bound)
{
    return prng_below(&world->prng, bound);
}

bool
sim_prng_chance(struct sim_world *world, uint32_t ppm)
{
    return ppm > 0 && prng_below(&world->prng, 1000000) < ppm;
}

uint64_t
sim_draw_us(struct sim_world *world, const struct sim_range *range)
{
    ASSERT(range->min_us <= range->max_us);
    return MAX(UINT64_C(1), range->min_us + prng_below(&world->prng, (uint64_t)range->max_us -
                                                                         range->min_us + 1));
}

bool
sim_draw_fault(struct sim_world *world, enum sim_fault fault, uint32_t ppm)
{
    if (!sim_prng_chance(world, ppm)) {
        return false;
    }
    world->counters.faults[fault]++;
    return true;
}

void
sim_trace(struct sim_world *world, const char *what, uint32_t shard, const char *detail, uint64_t a,
          uint64_t b)
{
    uint64_t record[6] = {world->trace_hash, world->now_us, shard, a, b, 0};
    char line[SIM_TRACE_LINE_BYTES];

    record[5] = XXH3_64bits_withSeed(what, strlen(what), XXH3_64bits(detail, strlen(detail)));
    world->trace_hash = XXH3_64bits(record, sizeof(record));
    if (world->options.trace != NULL) {
        snprintf(line, sizeof(line), "%12.6f shard %u %s %s %llu %llu", (double)world->now_us / 1e6,
                 shard, what, detail, (unsigned long long)a, (unsigned long long)b);
        world->options.trace(world->options.trace_arg, line);
    }
}

void
sim_trace_note(struct sim_world *world, const char *text, uint64_t value)
{
    sim_trace(world, "note", 0, text, value, 0);
}

/* ---- The world. ---- */

void
sim_options_init(struct sim_options *options)
{
    *options = (struct sim_options){
        .read = {40, 160},
        .write = {10, 90},
        .write_durable = {40, 400},
        .sync = {80, 900},
        .name = {10, 120},
        .helper = {20, 500},
        .message = {1, 30},
        .turn = {1, 8},
        .latency_spike = {2000, 80000},
        .stall = {500, 30000},
        .message_delay = {100, 20000},
        .wall_step_us_max = UINT64_C(20) * 1000 * 1000,
        .turns_max = UINT64_C(20) * 1000 * 1000,
    };
}

/* fatal() ends the process in production; here it ends the life. */
static void
world_on_fatal(const char *message)
{
    struct sim_world *world = world_current;

    if (world == NULL || shard_self() == NULL) {
        return;
    }
    if (!world->is_fatal) {
        world->is_fatal = true;
        snprintf(world->fatal_message, sizeof(world->fatal_message), "%s", message);
        sim_trace(world, "fatal", shard_id(), message, 0, 0);
    }
    shard_abandon();
}

struct sim_world *
sim_world_new(uint64_t seed, const struct sim_options *options)
{
    struct mem_account *account;
    struct mem_account *outer;
    struct sim_world *world;

    ASSERT(world_current == NULL);
    mem_tracking_enable();
    account = mem_account_new("simulator");
    outer = mem_account_current();
    mem_account_bind(account);
    world = MEM_NEW(MEM_RUNTIME, struct sim_world);
    mem_account_bind(outer);
    world->magic = SIM_WORLD_MAGIC;
    world->account = account;
    world->options = *options;
    world->now_us = SIM_FIRST_US;
    world->wall_offset_us = sim_wall_first_us - SIM_FIRST_US;
    prng_init(&world->prng, seed);
    sim_disk_init(world);
    world_current = world;
    fatal_hook = world_on_fatal;
    return world;
}

void
sim_world_free(struct sim_world **world_at)
{
    struct sim_world *world = *world_at;
    struct mem_account *account;
    struct mem_account *outer;

    if (world == NULL) {
        return;
    }
    OBJ_CHECK(world, SIM_WORLD_MAGIC);
    ASSERT(world->shards == 0);
    sim_disk_fini(world);
    account = world->account;
    outer = mem_account_current();
    mem_account_bind(account);
    mem_free(MEM_RUNTIME, world, sizeof(*world));
    mem_account_bind(outer);
    mem_account_free(account);
    world_current = NULL;
    fatal_hook = NULL;
    *world_at = NULL;
}

struct sim_world *
sim_world_current(void)
{
    return world_current;
}

struct sim_options *
sim_world_options(struct sim_world *world)
{
    return &world->options;
}

void
sim_world_calm(struct sim_world *world)
{
    struct sim_options *options = &world->options;

    options->latency_spike_ppm = 0;
    options->eio_read_ppm = 0;
    options->eio_write_ppm = 0;
    options->eio_sync_ppm = 0;
    options->no_space_ppm = 0;
    options->short_transfer_ppm = 0;
    options->bit_flip_ppm = 0;
    options->misdirected_ppm = 0;
    options->stale_ppm = 0;
    options->stall_ppm = 0;
    options->message_delay_ppm = 0;
    options->wall_step_ppm = 0;
    memset(world->rules, 0, sizeof(world->rules));
    sim_disk_heal(world);
}

const struct sim_counters *
sim_world_counters(const struct sim_world *world)
{
    return &world->counters;
}

uint64_t
sim_world_trace_hash(const struct sim_world *world)
{
    return world->trace_hash;
}

uint64_t
sim_world_now_us(const struct sim_world *world)
{
    return world->now_us;
}

uint32_t
sim_world_shards(const struct sim_world *world)
{
    return world->shards;
}

const char *
sim_world_fatal_message(const struct sim_world *world)
{
    return world->is_fatal ? world->fatal_message : NULL;
}

uint64_t
sim_disk_count(const struct sim_world *world, enum sim_op op)
{
    ASSERT(op < SIM_OP_COUNT);
    return world->counters.ops[op];
}

static void
rule_add(struct sim_world *world, const struct sim_fail_rule *added, const char *path_part)
{
    struct sim_fail_rule *rule = NULL;

    for (uint32_t i = 0; i < SIM_FAIL_RULES_MAX && rule == NULL; i++) {
        rule = world->rules[i].is_active ? NULL : &world->rules[i];
    }
    ASSERT(rule != NULL);
    *rule = *added;
    rule->is_active = true;
    snprintf(rule->path_part, sizeof(rule->path_part), "%s", path_part == NULL ? "" : path_part);
}

void
sim_disk_fail_next(struct sim_world *world, enum sim_op op, const char *path_part, uint32_t skip,
                   uint32_t times, int negative_errno)
{
    struct sim_fail_rule rule = {
        .op = op,
        .skip = skip,
        .times = times,
        .negative_errno = negative_errno,
    };

    ASSERT(negative_errno < 0);
    ASSERT(times > 0);
    rule_add(world, &rule, path_part);
}

void
sim_disk_fail_clear(struct sim_world *world)
{
    for (uint32_t i = 0; i < SIM_FAIL_RULES_MAX; i++) {
        world->rules[i].is_active = false;
    }
}

void
sim_disk_astray_next(struct sim_world *world, enum sim_astray astray, const char *path_part,
                     uint32_t skip)
{
    struct sim_fail_rule rule = {
        .op = SIM_OP_WRITE,
        .skip = skip,
        .times = 1,
        .astray = astray,
    };

    ASSERT(astray != SIM_ASTRAY_NONE);
    rule_add(world, &rule, path_part);
}

/* ---- Shards. ---- */

/* One a simulated process; gone with it. */
static void
shared_make(struct sim_world *world)
{
    struct mem_account *outer = mem_account_current();

    mem_account_bind(world->account);
    world->shared = shared_new(world->shards);
    mem_account_bind(outer);
}

static void
shared_drop(struct sim_world *world)
{
    struct mem_account *outer = mem_account_current();

    mem_account_bind(world->account);
    shared_free(&world->shared);
    mem_account_bind(outer);
}

void
sim_world_boot(struct sim_world *world, uint32_t shards)
{
    OBJ_CHECK(world, SIM_WORLD_MAGIC);
    ASSERT(world->shards == 0);
    ASSERT(shards > 0);
    ASSERT(shards <= SIM_SHARDS_MAX);
    world->shards = shards;
    world->is_fatal = false;
    shared_make(world);
    for (uint32_t i = 0; i < shards; i++) {
        struct sim_io *io = &world->ios[i];
        struct shard_options options = {
            .id = i,
            .count = shards,
            .io = &io->base,
            .seed = prng_next(&world->prng),
            .random_slices = !world->options.fixed_slices,
            .shared = world->shared,
        };

        memset(io, 0, sizeof(*io));
        io->base = (struct io){.magic = IO_MAGIC, .ops = &sim_io_ops};
        io->world = world;
        io->id = i;
        io->account = mem_account_new("shard");
        options.account = io->account;
        io->shard = shard_new(&options);
    }
    sim_trace(world, "boot", 0, "", shards, 0);
}

static bool
world_in_use(const struct sim_world *world)
{
    return world->shards > 0 && shard_self() == NULL;
}

void
sim_world_crash(struct sim_world *world, enum sim_crash kind)
{
    ASSERT(world_in_use(world));
    sim_trace(world, "crash", 0, "", kind, 0);
    for (uint32_t i = 0; i < world->shards; i++) {
        sim_ops_crash(&world->ios[i]);
    }
    for (uint32_t i = 0; i < world->shards; i++) {
        shard_crash(world->ios[i].shard);
        mem_account_crash(world->ios[i].account);
        mem_account_free(world->ios[i].account);
    }
    world->shards = 0;
    shared_drop(world);
    sim_disk_collect(world);
    if (kind == SIM_CRASH_POWER_CUT) {
        sim_disk_power_cut(world);
    } else {
        world->counters.kills++;
    }
}

void
sim_world_stop(struct sim_world *world)
{
    ASSERT(world_in_use(world));
    ASSERT(!world->is_fatal);
    for (uint32_t i = 0; i < world->shards; i++) {
        struct sim_io *io = &world->ios[i];

        ASSERT(io->heap_count == 0);
        ASSERT(io->files == NULL);
        sim_ops_crash(io);
        shard_free(io->shard);
        mem_account_free(io->account);
    }
    world->shards = 0;
    shared_drop(world);
    sim_trace(world, "stop", 0, "", 0, 0);
}

void
sim_world_fibers_visit(struct sim_world *world, uint32_t shard,
                       void (*visit)(const struct fiber_info *, void *), void *arg)
{
    ASSERT(shard < world->shards);
    shard_fibers_visit(world->ios[shard].shard, visit, arg);
}

/* ---- Turning. ---- */

/* When the shard next has something to do; DEADLINE_NONE if nothing can happen to it. */
static uint64_t
shard_due_us(const struct sim_world *world, const struct sim_io *io)
{
    uint64_t due_us = MIN(sim_event_next_us(io), shard_next_timer_us(io->shard));

    if (io->is_runnable) {
        due_us = world->now_us;
    }
    return due_us == DEADLINE_NONE ? due_us : MAX(due_us, io->stall_until_us);
}

static void
world_turn(struct sim_world *world, struct sim_io *io)
{
    struct sim_options *options = &world->options;

    if (sim_draw_fault(world, SIM_FAULT_STALL, options->stall_ppm)) {
        io->stall_until_us = world->now_us + sim_draw_us(world, &options->stall);
        return;
    }
    if (options->wall_step_us_max > 0 &&
        sim_draw_fault(world, SIM_FAULT_WALL_STEP, options->wall_step_ppm)) {
        world->wall_offset_us += (int64_t)prng_below(&world->prng, 2 * options->wall_step_us_max) -
                                 (int64_t)options->wall_step_us_max;
    }
    world->counters.turns++;
    io->is_runnable = false;
    if (shard_turn(io->shard)) {
        io->is_runnable = true;
    }
    shard_bind(NULL);
    world->now_us += sim_draw_us(world, &options->turn);
    sim_trace(world, "turn", io->id, "", io->is_runnable, 0);
}

/* Turn one of the shards that have something to do now. Returns the time of the next thing to
 * happen when there is none. */
static uint64_t
world_step(struct sim_world *world)
{
    struct sim_io *ready[SIM_SHARDS_MAX];
    uint32_t count = 0;
    uint64_t next_us = DEADLINE_NONE;

    for (uint32_t i = 0; i < world->shards; i++) {
        uint64_t due_us = shard_due_us(world, &world->ios[i]);

        if (due_us <= world->now_us) {
            ready[count++] = &world->ios[i];
        }
        next_us = MIN(next_us, due_us);
    }
    if (count > 0) {
        world_turn(world, ready[count == 1 ? 0 : prng_below(&world->prng, count)]);
        return world->now_us;
    }
    return next_us;
}

enum sim_stop
sim_world_run(struct sim_world *world, bool (*until)(void *arg), void *arg, uint64_t for_us)
{
    uint64_t deadline_us = world->now_us + MIN(for_us, DEADLINE_NONE - 1 - world->now_us);

    ASSERT(world_in_use(world));
    for (uint64_t turns = 0; turns < world->options.turns_max; turns++) {
        uint64_t next_us;

        if (world->is_fatal) {
            return SIM_STOP_FATAL;
        }
        if (until != NULL && until(arg)) {
            return SIM_STOP_DONE;
        }
        if (world->now_us >= deadline_us) {
            return SIM_STOP_TIME;
        }
        next_us = world_step(world);
        if (next_us == DEADLINE_NONE) {
            return SIM_STOP_IDLE;
        }
        world->now_us = MAX(world->now_us, MIN(next_us, deadline_us));
    }
    return world->is_fatal ? SIM_STOP_FATAL : SIM_STOP_LIMIT;
}

/* ---- Calls into shards. ---- */

void
sim_world_spawn(struct sim_world *world, uint32_t shard, const char *name, fiber_fn fn, void *arg)
{
    struct fiber *fiber;

    ASSERT(world_in_use(world));
    ASSERT(shard < world->shards);
    shard_bind(world->ios[shard].shard);
    fiber = fiber_spawn(name, FIBER_FOREGROUND, FIBER_STACK_LARGE, fn, arg);
    shard_bind(NULL);
    ASSERT(fiber != NULL);
    world->ios[shard].is_runnable = true;
}

struct sim_call {
    err_t (*fn)(void *arg);
    void *arg;
    uint32_t *running;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static void
call_fiber(void *arg)
{
    struct sim_call *call = arg;

    call->err = call->fn(call->arg);
    if (call->err != ERR_OK) {
        snprintf(call->message, sizeof(call->message), "%s", err_message(call->err));
    }
    (*call->running)--;
}

static bool
calls_ended(void *arg)
{
    return *(uint32_t *)arg == 0;
}

/* Run fn on the shards first..first + count - 1. */
static err_t
world_call(struct sim_world *world, uint32_t first, uint32_t count, err_t (*fn)(void *arg),
           void *arg)
{
    struct sim_call calls[SIM_SHARDS_MAX];
    uint32_t running = count;
    enum sim_stop stop;

    for (uint32_t i = 0; i < count; i++) {
        calls[i] = (struct sim_call){.fn = fn, .arg = arg, .running = &running};
        sim_world_spawn(world, first + i, "call", call_fiber, &calls[i]);
    }
    stop = sim_world_run(world, calls_ended, &running, SIM_START_US_MAX);
    if (stop == SIM_STOP_FATAL) {
        return err_set(ERR_SHUTDOWN, "fatal: %s", world->fatal_message);
    }
    /* A call that has not ended writes into this frame: only an end by a crash is safe. */
    if (stop != SIM_STOP_DONE) {
        return err_set(ERR_TIMEOUT, "a call into %u shards has not returned: %s", count,
                       sim_stop_name(stop));
    }
    for (uint32_t i = 0; i < count; i++) {
        if (calls[i].err != ERR_OK) {
            return err_set(calls[i].err, "%s", calls[i].message);
        }
    }
    return ERR_OK;
}

err_t
sim_world_call(struct sim_world *world, uint32_t shard, err_t (*fn)(void *arg), void *arg)
{
    return world_call(world, shard, 1, fn, arg);
}

err_t
sim_world_call_all(struct sim_world *world, err_t (*fn)(void *arg), void *arg)
{
    return world_call(world, 0, world->shards, fn, arg);
}

err_t
sim_world_start(struct sim_world *world, uint32_t shards, err_t (*init)(void *arg), void *arg)
{
    sim_world_boot(world, shards);
    return sim_world_call_all(world, init, arg);
}
