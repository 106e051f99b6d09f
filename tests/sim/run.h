/* tests/sim/run.h - one run of the simulator: a seed, a scenario, a world, and what it counted.
 *
 * A run has a process of its own (jobs.c), so a scenario that finds a bug prints and exits, and an
 * assertion of the code under test is a failed run like any other. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/prng.h"
#include "engine/io/sim.h"

enum {
    RUN_OPERATIONS_MIN = 1000, /* A run with fewer proves too little, and fails. */
    RUN_CRASHES_MIN = 3,
    RUN_POINTS_MAX = 512, /* "Sometimes" points linked into the program. */
    RUN_EXIT_FAILED = 1,
    RUN_CHILD_SECONDS_MAX = 60, /* Of run_in_child. */
};

struct run;

struct scenario {
    const char *name;
    const char *text;
    uint32_t weight; /* Of the draw among all; 0: only when named. */
    void (*main)(struct run *run);
};

/* What a run hands to the process that started it, in shared memory. */
struct run_result {
    bool is_done;
    uint64_t trace_hash;
    uint64_t operations;
    uint64_t lives;
    uint64_t virtual_us;
    struct sim_counters counters;
    uint64_t points[RUN_POINTS_MAX]; /* Hits, by index in sometimes_points(). */
};

struct run {
    uint64_t seed;
    const struct scenario *scenario;
    struct prng prng; /* The scenario's own draws; the world has others. */
    uint32_t shards;
    struct sim_world *world;
    uint64_t operations; /* Counted by the scenario. */
    uint64_t operations_target;
    uint64_t lives;
    struct run_result *result;
};

extern const struct scenario *const run_scenarios[];
extern const uint32_t run_scenario_count;
/* NULL when there is none of that name. */
const struct scenario *run_scenario_find(const char *name);
/* What the seed draws. */
const struct scenario *run_scenario_draw(uint64_t seed);

/* The whole run in this process: draws, the scenario, the checks that it did enough. Returns when
 * all was well, and exits otherwise. scenario NULL: the seed draws it. */
void run_seed(uint64_t seed, const struct scenario *scenario, bool is_traced,
              struct run_result *result);

/* ---- For scenarios. ---- */

/* Print seed, scenario, time and the message, and exit: the run has failed. Anywhere. */
_Noreturn void run_fail(struct run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
#define RUN_CHECK(run, condition, ...)                                                             \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            run_fail((run), __VA_ARGS__);                                                          \
        }                                                                                          \
    } while (0)

uint64_t run_below(struct run *run, uint64_t bound);
/* min..max */
uint64_t run_between(struct run *run, uint64_t min, uint64_t max);
bool run_chance(struct run *run, uint32_t percent);

/* Have there been as many operations and crashes as a run must have? */
bool run_is_enough(const struct run *run);

/* Rates of faults that no correct program may be hurt by: delays, stalls, short transfers, wall
 * clock steps. Called before every run; a scenario may change the options later. */
void run_draw_harmless_faults(struct run *run);

/* Errors of the disk, in one life of four: true when there are any. */
bool run_draw_errors(struct run *run);
/* The disk is well again; what failed before may still be reported. */
void run_calm(struct run *run);

/* Writes that went astray and bits that were flipped so far. */
uint64_t run_rot_faults(const struct run *run);
/* Perhaps: one of the next writes, or of those to paths with path_part, is lost or lands elsewhere,
 * and is acknowledged. */
void run_rot_one(struct run *run, const char *path_part);
/* One bit of any file, or some in tables, which depend on no tail. */
void run_rot_bits(struct run *run);

/* Start a life. After a failure without faults that would excuse it the run fails. */
void run_start(struct run *run, err_t (*init)(void *arg), void *arg);
/* Turn the world until `until`, which must become true within for_us. */
void run_until(struct run *run, bool (*until)(void *arg), void *arg, uint64_t for_us,
               const char *what);
/* Turn it for a time; false when a shard called fatal(). */
bool run_for(struct run *run, uint64_t for_us);
/* The same until `operations` more were counted, or the time is over. */
bool run_for_operations(struct run *run, uint64_t operations, uint64_t for_us);
/* fn(run, arg) in a process of its own, which starts from the world as it is and leaves no trace in
 * it: between lives. Returns 0 when it returned and failed nothing; else what waitpid said. */
int run_in_child(struct run *run, void (*fn)(struct run *run, void *arg), void *arg);
/* End the life: killed, killed and later cut from power, or cut. */
void run_crash(struct run *run);
