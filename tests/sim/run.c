/* tests/sim/run.c - one run: what its seed draws, and what every scenario needs. */
#include "tests/sim/run.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"

/* Sets apart the scenario's draws from the world's, which start from the seed itself. */
static const uint64_t run_prng_salt = UINT64_C(0x9e3779b97f4a7c15);

/* The run of this process, for the hook, which has no argument. */
static struct run *run_current;

const struct scenario *
run_scenario_find(const char *name)
{
    for (uint32_t i = 0; i < run_scenario_count; i++) {
        if (strcmp(run_scenarios[i]->name, name) == 0) {
            return run_scenarios[i];
        }
    }
    return NULL;
}

const struct scenario *
run_scenario_draw(uint64_t seed)
{
    struct prng prng;
    uint64_t total = 0;
    uint64_t drawn;

    prng_init(&prng, ~seed);
    for (uint32_t i = 0; i < run_scenario_count; i++) {
        total += run_scenarios[i]->weight;
    }
    drawn = prng_below(&prng, total);
    for (uint32_t i = 0; i < run_scenario_count; i++) {
        if (drawn < run_scenarios[i]->weight) {
            return run_scenarios[i];
        }
        drawn -= run_scenarios[i]->weight;
    }
    UNREACHABLE();
}

/* ---- Failing. ---- */

static void
print_fiber(const struct fiber_info *info, void *arg)
{
    (void)arg;
    printf("  fiber %-24s %-9s %8llu switches, since %.6f s\n", info->name, info->state,
           (unsigned long long)info->switches, (double)info->since_us / 1e6);
}

void
run_fail(struct run *run, const char *format, ...)
{
    va_list args;

    printf("seed %llu, scenario %s, life %llu, %.6f s: ", (unsigned long long)run->seed,
           run->scenario->name, (unsigned long long)run->lives,
           (double)sim_world_now_us(run->world) / 1e6);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("\n");
    fflush(stdout);
    _exit(RUN_EXIT_FAILED);
}

/* ---- Drawing. ---- */

uint64_t
run_below(struct run *run, uint64_t bound)
{
    return prng_below(&run->prng, bound);
}

uint64_t
run_between(struct run *run, uint64_t min, uint64_t max)
{
    return min + prng_below(&run->prng, max - min + 1);
}

bool
run_chance(struct run *run, uint32_t percent)
{
    return prng_below(&run->prng, 100) < percent;
}

static uint64_t
run_crashes(const struct run *run)
{
    const struct sim_counters *counters = sim_world_counters(run->world);

    return counters->kills + counters->power_cuts;
}

bool
run_is_enough(const struct run *run)
{
    return run->operations >= RUN_OPERATIONS_MIN && run_crashes(run) >= RUN_CRASHES_MIN;
}

void
run_draw_harmless_faults(struct run *run)
{
    struct sim_options *options = sim_world_options(run->world);

    options->latency_spike_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 10000) : 0;
    options->short_transfer_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 200000) : 0;
    options->stall_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 3000) : 0;
    options->message_delay_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 20000) : 0;
    options->wall_step_ppm = run_chance(run, 30) ? (uint32_t)run_below(run, 300) : 0;
    if (run_chance(run, 25)) { /* A disk on which much is in flight. */
        options->write_durable = (struct sim_range){500, 20000};
        options->sync = (struct sim_range){1000, 30000};
    }
}

bool
run_draw_errors(struct run *run)
{
    struct sim_options *options = sim_world_options(run->world);

    if (!run_chance(run, 25)) {
        return false;
    }
    options->eio_read_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 3000) : 0;
    options->eio_write_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 2000) : 0;
    options->eio_sync_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 10000) : 0;
    options->no_space_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 100000) : 0;
    if (run_chance(run, 30)) {
        options->disk_bytes = sim_disk_used(run->world) + run_below(run, 4 << 20);
    }
    return true;
}

void
run_calm(struct run *run)
{
    sim_world_calm(run->world);
    sim_world_options(run->world)->disk_bytes = 0;
}

/* ---- Rot. ---- */

uint64_t
run_rot_faults(const struct run *run)
{
    const struct sim_counters *counters = sim_world_counters(run->world);

    return counters->faults[SIM_FAULT_BIT_FLIP] + counters->faults[SIM_FAULT_STALE] +
           counters->faults[SIM_FAULT_MISDIRECTED];
}

void
run_rot_one(struct run *run, const char *path_part)
{
    enum sim_astray astray = run_chance(run, 50) ? SIM_ASTRAY_STALE : SIM_ASTRAY_MISDIRECTED;

    if (run_chance(run, 60)) {
        sim_disk_astray_next(run->world, astray, run_chance(run, 50) ? path_part : NULL,
                             (uint32_t)run_below(run, 30));
    }
}

void
run_rot_bits(struct run *run)
{
    uint64_t bits = run_between(run, 1, 12);

    if (run_chance(run, 30)) {
        sim_disk_flip_any(run->world, NULL);
        return;
    }
    while (bits-- > 0 && sim_disk_flip_any(run->world, ".table")) {}
}

/* ---- Lives. ---- */

void
run_start(struct run *run, err_t (*init)(void *arg), void *arg)
{
    err_t err = sim_world_start(run->world, run->shards, init, arg);

    run->lives++;
    RUN_CHECK(run, err == ERR_OK, "the start failed: %s: %s", err_name(err), err_message(err));
}

static void
print_fibers(struct run *run)
{
    for (uint32_t i = 0; i < sim_world_shards(run->world); i++) {
        printf("shard %u:\n", i);
        sim_world_fibers_visit(run->world, i, print_fiber, NULL);
    }
}

void
run_until(struct run *run, bool (*until)(void *arg), void *arg, uint64_t for_us, const char *what)
{
    enum sim_stop stop = sim_world_run(run->world, until, arg, for_us);

    if (stop == SIM_STOP_DONE) {
        return;
    }
    if (stop == SIM_STOP_FATAL) {
        run_fail(run, "waiting for %s: fatal: %s", what, sim_world_fatal_message(run->world));
    }
    print_fibers(run);
    run_fail(run, "waiting for %s: %s", what, sim_stop_name(stop));
}

bool
run_for(struct run *run, uint64_t for_us)
{
    enum sim_stop stop = sim_world_run(run->world, NULL, NULL, for_us);

    RUN_CHECK(run, stop != SIM_STOP_LIMIT, "more turns than can be right in %llu us",
              (unsigned long long)for_us);
    return stop != SIM_STOP_FATAL;
}

static bool
operations_done(void *arg)
{
    const struct run *run = arg;

    return run->operations >= run->operations_target;
}

bool
run_for_operations(struct run *run, uint64_t operations, uint64_t for_us)
{
    enum sim_stop stop;

    run->operations_target = run->operations + operations;
    stop = sim_world_run(run->world, operations_done, run, for_us);
    RUN_CHECK(run, stop != SIM_STOP_LIMIT, "more turns than can be right in %llu us",
              (unsigned long long)for_us);
    return stop != SIM_STOP_FATAL;
}

void
run_crash(struct run *run)
{
    switch (run_below(run, 4)) {
    case 0:
        sim_world_crash(run->world, SIM_CRASH_KILL);
        break;
    case 1:
        SOMETIMES("sim: a kill and then a power cut");
        sim_world_crash(run->world, SIM_CRASH_KILL);
        sim_disk_power_cut(run->world);
        break;
    default:
        sim_world_crash(run->world, SIM_CRASH_POWER_CUT);
        break;
    }
}

int
run_in_child(struct run *run, void (*fn)(struct run *run, void *arg), void *arg)
{
    int status = 0;
    pid_t pid;

    fflush(stdout);
    pid = fork();
    RUN_CHECK(run, pid >= 0, "fork failed");
    if (pid == 0) {
        alarm(RUN_CHILD_SECONDS_MAX);
        fn(run, arg);
        fflush(stdout);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0) {
        RUN_CHECK(run, errno == EINTR, "waitpid failed");
    }
    return status;
}

/* ---- The run. ---- */

static void
run_on_point(const struct sometimes_point *point)
{
    size_t count;
    struct sometimes_point *const *points = sometimes_points(&count);

    for (size_t i = 0; i < count; i++) {
        if (points[i] == point) {
            run_current->result->points[i]++;
            return;
        }
    }
}

static void
run_trace_line(void *arg, const char *line)
{
    (void)arg;
    printf("%s\n", line);
}

static void
run_finish(struct run *run)
{
    const struct sim_counters *counters = sim_world_counters(run->world);
    struct run_result *result = run->result;

    RUN_CHECK(run, run->operations >= RUN_OPERATIONS_MIN, "only %llu operations",
              (unsigned long long)run->operations);
    RUN_CHECK(run, run_crashes(run) >= RUN_CRASHES_MIN, "only %llu crashes",
              (unsigned long long)run_crashes(run));
    result->trace_hash = sim_world_trace_hash(run->world);
    result->operations = run->operations;
    result->lives = run->lives;
    result->virtual_us = sim_world_now_us(run->world);
    result->counters = *counters;
    sim_world_free(&run->world);
    result->is_done = true;
}

void
run_seed(uint64_t seed, const struct scenario *scenario, bool is_traced, struct run_result *result)
{
    static const uint32_t shard_counts[] = {1, 1, 2, 2, 4};
    struct sim_options options;
    struct run run = {
        .seed = seed,
        .scenario = scenario != NULL ? scenario : run_scenario_draw(seed),
        .result = result,
    };

    sim_options_init(&options);
    if (is_traced) {
        options.trace = run_trace_line;
    }
    log_level_set(is_traced ? LOG_INFO : LOG_OFF);
    prng_init(&run.prng, seed ^ run_prng_salt);
    run.shards = shard_counts[run_below(&run, ARRAY_COUNT(shard_counts))];
    run.world = sim_world_new(seed, &options);
    run_current = &run;
    sometimes_hook = run_on_point;
    run_draw_harmless_faults(&run);
    printf("seed %llu: scenario %s, %u shards\n", (unsigned long long)seed, run.scenario->name,
           run.shards);
    run.scenario->main(&run);
    run_finish(&run);
    sometimes_hook = NULL;
    run_current = NULL;
}
