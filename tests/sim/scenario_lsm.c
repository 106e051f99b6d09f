/* tests/sim/scenario_lsm.c - whole histories of one or two trees (trees.h) against an ordered map.
 *
 * Fibers write, read at snapshots old and new, scan, hold snapshots, move the horizon, flush and
 * compact, and crash at any instant. One tree has its own life; two get the same history with
 * other options and must give the same answers. */
#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/trees.h"

enum {
    WORKERS_MAX = 6,
    LIVES_MIN = 4,
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    HEAL_US_MAX = 10 * 1000 * 1000,
    RETRY_US = 6 * 1000 * 1000,
    SLOW_US_MAX = 200 * 1000,
    IDLE_US = 30 * 1000 * 1000,
};

static struct trees trees;

static err_t
open_trees(void *arg)
{
    (void)arg;
    return trees_open(&trees);
}

static err_t
close_trees(void *arg)
{
    (void)arg;
    trees_close(&trees);
    return ERR_OK;
}

static err_t
check_trees(void *arg)
{
    (void)arg;
    return trees_check_all(&trees);
}

static void
work(void *arg)
{
    (void)arg;
    while (!trees.is_stopping) {
        trees_work_once(&trees);
        fiber_work((uint32_t)trees_draw(400)); /* What is in memory suspends nobody. */
        if (trees.is_slow) {
            fiber_sleep_us(trees_draw(SLOW_US_MAX));
        }
    }
    trees.running--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return trees.running == 0;
}

static void
spawn_workers(struct run *run)
{
    trees.is_stopping = false;
    trees.is_slow = false;
    trees.running = 0;
    trees.commits = 0;
    trees.errors = 0;
    for (uint64_t i = run_between(run, 1, WORKERS_MAX); i > 0; i--) {
        sim_world_spawn(run->world, 0, "worker", work, NULL);
        trees.running++;
    }
}

static void
stop_workers(struct run *run)
{
    trees.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the workers to end");
}

static void
crash(struct run *run)
{
    run_crash(run);
    trees_crash(&trees);
}

static void
open_fiber(void *arg)
{
    (void)trees_open(arg);
}

static void
crash_in_opening(struct run *run)
{
    sim_world_boot(run->world, run->shards);
    sim_world_spawn(run->world, 0, "open", open_fiber, &trees);
    run_for(run, run_between(run, 1, 20000));
    SOMETIMES("lsm: a crash while a tree was opened");
    crash(run);
}

static void
stop(struct run *run)
{
    run_calm(run);
    stop_workers(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_trees, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

static bool
has_committed(void *arg)
{
    (void)arg;
    return trees.commits > 0;
}

/* The disk is well again: everything must go on, without a restart. */
static void
heal(struct run *run)
{
    run_calm(run);
    trees.commits = 0;
    run_until(run, has_committed, NULL, HEAL_US_MAX, "writes after the disk has healed");
    trees.is_slow = true; /* What had failed is tried again. */
    run_for(run, RETRY_US);
    trees.is_slow = false;
    trees.has_errors = false;
    trees.commits = 0;
    run_until(run, has_committed, NULL, HEAL_US_MAX, "writes without errors");
    run_for_operations(run, run_between(run, 10, 200), LIFE_US_MAX);
    SOMETIMES("lsm: went on after errors of the disk");
}

/* Nobody asks for anything for a while, and then goes on. */
static void
idle(struct run *run)
{
    stop_workers(run);
    run_for(run, IDLE_US);
    spawn_workers(run);
    run_for_operations(run, run_between(run, 1, 100), LIFE_US_MAX);
}

static void
live(struct run *run)
{
    run_start(run, open_trees, NULL);
    run_draw_harmless_faults(run);
    trees.has_errors = run_draw_errors(run);
    spawn_workers(run);
    RUN_CHECK(run, run_for_operations(run, run_between(run, 10, 500), LIFE_US_MAX), "fatal: %s",
              sim_world_fatal_message(run->world));
    if (trees.has_errors && run_chance(run, 50)) {
        heal(run);
    }
    if (!trees.has_errors && run_chance(run, 10)) {
        idle(run);
    }
    if (run_chance(run, 80)) {
        crash(run);
    } else {
        stop(run);
    }
    run_calm(run);
    trees.has_errors = false;
}

static void
digests_compare(struct run *run)
{
    for (uint32_t i = 1; i < trees.count; i++) {
        RUN_CHECK(run, trees.trees[i].digest == trees.trees[0].digest,
                  "trees with the same history have given other answers");
    }
    SOMETIMES_IF(trees.count > 1, "lsm: two trees with other options gave the same answers");
}

static void
begin(struct run *run, uint32_t trees_max)
{
    run->shards = 1; /* A tree belongs to one. */
    trees_init(&trees, run, trees_max);
}

static void
lsm_main(struct run *run)
{
    begin(run, HISTORY_SUBJECTS_MAX);
    while (run_chance(run, 50)) { /* The very first opening may be cut short, too. */
        crash_in_opening(run);
    }
    for (uint32_t life = 0; life < LIVES_MIN || !run_is_enough(run); life++) {
        live(run);
        if (run_chance(run, 25)) {
            crash_in_opening(run);
        }
    }
    run_start(run, open_trees, NULL);
    digests_compare(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_trees, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

const struct scenario scenario_lsm = {
    .name = "lsm",
    .text = "trees against an ordered map: any options and snapshots, in every crash",
    .weight = 6,
    .main = lsm_main,
};

/* ---- Rot. ---- */

/* One thing goes wrong with what was durable. From then on every read gives an error or the truth,
 * also after a crash. */
static void
rot_episode(struct run *run)
{
    uint64_t faults_before = run_rot_faults(run);
    err_t err;

    sim_disk_wipe(run->world);
    trees_forget(&trees);
    run_start(run, open_trees, NULL);
    spawn_workers(run);
    run_for_operations(run, run_between(run, 50, 400), LIFE_US_MAX);
    trees.has_rot = true;
    run_rot_one(run, ".table");
    run_for_operations(run, run_between(run, 20, 200), LIFE_US_MAX);
    if (run_rot_faults(run) == faults_before) {
        run_rot_bits(run);
        run_for_operations(run, run_between(run, 1, 100), LIFE_US_MAX);
    }
    trees.is_stopping = true;
    sim_world_run(run->world, nobody_works, NULL, DRAIN_US);
    run_calm(run);
    if (run_chance(run, 50)) {
        err = sim_world_call_all(run->world, check_trees, NULL);
        SOMETIMES_IF(err != ERR_OK, "lsm: rot was found in a running tree");
    }
    crash(run);
    err = sim_world_start(run->world, run->shards, open_trees, NULL);
    run->lives++;
    SOMETIMES_IF(err == ERR_OK, "lsm: rot did no harm");
    SOMETIMES_IF(err != ERR_OK, "lsm: rot was found and named");
    RUN_CHECK(run,
              err == ERR_OK || err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_NOT_FOUND ||
                  err == ERR_IO,
              "rot was reported as %s: %s", err_name(err), err_message(err));
    if (err == ERR_OK) {
        spawn_workers(run);
        run_for_operations(run, run_between(run, 20, 100), LIFE_US_MAX);
    }
    sim_world_crash(run->world, SIM_CRASH_KILL);
    trees.has_rot = false;
}

static void
lsm_rot_main(struct run *run)
{
    begin(run, 1);
    while (run->lives < LIVES_MIN || !run_is_enough(run)) {
        rot_episode(run);
    }
}

const struct scenario scenario_lsm_rot = {
    .name = "lsm-rot",
    .text = "trees: bit flips, dropped and misplaced writes never give a wrong answer",
    .weight = 3,
    .main = lsm_rot_main,
};
