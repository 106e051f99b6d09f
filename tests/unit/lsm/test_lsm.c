/* tests/unit/lsm/test_lsm.c - the whole tree against a model.
 *
 * The limits are tiny, so that a few thousand steps go through rotations, flushes, compactions
 * over several levels, and reopenings. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/lsm/tree_model.h"

TestSuite(lsm, .timeout = 120);

/* For a longer run by hand. */
static uint64_t
seed_count(uint64_t count)
{
    const char *more = getenv("ORBIT_TEST_SEEDS");

    return more == NULL ? count : strtoull(more, NULL, 10);
}

static void
random_run(uint64_t seed, bool background)
{
    const struct slice everything = slice_of(NULL, 0);
    struct model *model;
    char dir[32];

    snprintf(dir, sizeof(dir), "tree-%llu", (unsigned long long)seed);
    model = model_new(seed, dir, background);
    model_open(model);
    for (uint32_t i = 0; i < 3000; i++) {
        model_step(model);
    }
    cr_assert_gt(model->rotations, 10);
    model_close(model);
    model_open(model);
    model_check_all(model);
    lsm_horizon_set(model->lsm, model->ts);
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
    cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
    model_check_all(model);
    cr_assert_eq(lsm_verify(model->lsm), ERR_OK);
    model_close(model);
    model_free(model);
}

FIBER_TEST(lsm, random_operations_give_what_the_model_gives)
{
    for (uint64_t seed = 1; seed <= seed_count(3); seed++) {
        random_run(seed, false);
    }
}

FIBER_TEST(lsm, random_operations_with_background_work_give_what_the_model_gives)
{
    for (uint64_t seed = 1; seed <= seed_count(3); seed++) {
        random_run(1000 + seed, true);
    }
}

/* ---- Crashes. ---- */

struct life {
    struct model *model;
    bool is_over;
};

static void
life_run(void *arg)
{
    struct life *life = arg;

    if (model_open(life->model) == ERR_OK) {
        model_check_all(life->model);
        for (uint32_t i = 0; i < 600; i++) {
            model_step(life->model);
        }
        model_check_all(life->model);
        model_close(life->model);
    }
    life->is_over = true;
}

static bool
life_is_over(void *arg)
{
    return ((struct life *)arg)->is_over;
}

static void
crash_run(uint64_t seed, void (*set_faults)(struct sim_options *options))
{
    struct sim_options options;
    struct sim_world *world;
    struct model *model;

    sim_options_init(&options);
    world = sim_world_new(seed, &options);
    model = model_new(seed, "tree", true);
    for (uint32_t i = 0; i < 12; i++) {
        bool is_last = i == 11;
        bool is_calm = is_last || set_faults == NULL || sim_prng_below(world, 2) == 0;
        struct life life = {.model = model};

        model->faults = !is_calm;
        if (is_calm) {
            sim_world_calm(world);
        } else {
            set_faults(sim_world_options(world));
        }
        sim_world_boot(world, 1);
        sim_world_spawn(world, 0, "life", life_run, &life);
        sim_world_run(world, life_is_over, &life,
                      is_last ? UINT64_C(600000000) : sim_prng_below(world, 300000));
        if (is_last) {
            cr_assert(life.is_over);
        }
        sim_world_crash(world,
                        sim_prng_below(world, 2) == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
        model->lsm = NULL;
    }
    sim_world_free(&world);
    model_free(model);
}

Test(lsm, what_was_flushed_survives_kills_and_power_cuts)
{
    for (uint64_t seed = 1; seed <= seed_count(8); seed++) {
        crash_run(seed, NULL);
    }
}

static void
failing_disk(struct sim_options *options)
{
    options->eio_write_ppm = 3000;
    options->eio_sync_ppm = 3000;
    options->no_space_ppm = 10000;
    options->short_transfer_ppm = 1000;
}

Test(lsm, a_failing_disk_loses_nothing_that_was_flushed)
{
    for (uint64_t seed = 1; seed <= seed_count(8); seed++) {
        crash_run(seed, failing_disk);
    }
}
