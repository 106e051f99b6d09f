/* tests/unit/lsm/test_checkpoint.c - holds, names and exports: what was there at the moment stays,
 * whatever the tree does afterwards, and its files go with the last reference. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/lsm/tree_model.h"

TestSuite(checkpoint, .timeout = 120);

enum { STEPS = 600 };

/* A model whose present state is in tables. */
static struct model *
filled_new(uint64_t seed)
{
    struct model *model = model_new(seed, "tree", false);

    cr_assert_eq(model_open(model), ERR_OK);
    for (uint32_t i = 0; i < STEPS; i++) {
        model_step(model);
    }
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
    return model;
}

/* Newer writes, and compactions that rewrite every table. */
static void
overwrite(struct model *model)
{
    const struct slice everything = slice_of(NULL, 0);

    for (uint32_t i = 0; i < STEPS; i++) {
        model_step(model);
    }
    lsm_horizon_set(model->lsm, model->ts);
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
    cr_assert_eq(lsm_compact(model->lsm, everything, everything), ERR_OK);
}

static void
name_now(struct model *model, const char *name)
{
    struct lsm_hold *hold = lsm_hold_take(model->lsm);

    cr_assert_eq(lsm_checkpoint_add(hold, name, model->ts, lsm_hold_flushed_lsn(hold)), ERR_OK);
    lsm_hold_drop(&hold);
    cr_assert_null(hold);
}

/* The tree in `dir` answers as the model did when it had so many writes. The checks write, too: in
 * a copy of the model. */
static void
tree_is(const struct model *model, const char *dir, uint32_t write_count, uint64_t ts)
{
    struct model *then = malloc(sizeof(*then));

    cr_assert_not_null(then);
    *then = *model;
    then->lsm = NULL;
    then->options.dir = dir;
    then->write_count = write_count;
    then->ts = ts;
    then->flushed_lsn = 0;
    cr_assert_eq(model_open(then), ERR_OK, "%s", err_message(ERR_CORRUPT));
    model_check_get(then, ts);
    model_check_all(then);
    cr_assert_eq(lsm_verify(then->lsm), ERR_OK);
    model_close(then);
    free(then);
}

struct names {
    uint32_t tables, vlogs;
};

static void
count_name(const char *name, void *arg)
{
    struct names *names = arg;
    const char *dot = strrchr(name, '.');

    names->tables += dot != NULL && strcmp(dot, ".table") == 0;
    names->vlogs += dot != NULL && strcmp(dot, ".vlog") == 0;
}

static struct names
names_in(const char *dir)
{
    struct names names = {0};

    cr_assert_eq(io_list(dir, count_name, &names), ERR_OK);
    return names;
}

static uint32_t
tables_in_levels(const struct model *model)
{
    struct lsm_stats stats;
    uint32_t count = 0;

    lsm_stats_get(model->lsm, &stats);
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        count += (uint32_t)stats.level_tables[i];
    }
    return count;
}

static void
wait_for_removals(void)
{
    for (uint32_t i = 0; i < 100; i++) {
        fiber_sleep_us(1000);
    }
}

/* ---- Exports. ---- */

FIBER_TEST(checkpoint, an_export_is_a_tree_of_its_own)
{
    struct model *model = filled_new(1);
    uint32_t count = model->write_count;
    uint64_t ts = model->ts;
    struct lsm_hold *hold = lsm_hold_take(model->lsm);

    cr_assert_eq(lsm_hold_export(hold, "copy"), ERR_OK);
    cr_assert_eq(lsm_hold_export(hold, "copy"), ERR_EXISTS, "nothing is overwritten");
    lsm_hold_drop(&hold);
    overwrite(model);
    tree_is(model, "copy", count, ts);
    model_check_all(model);
    model_close(model);
    tree_is(model, "copy", count, ts);
    model_free(model);
}

FIBER_TEST(checkpoint, a_hold_keeps_its_files_while_they_are_compacted_away)
{
    struct model *model = filled_new(2);
    uint32_t count = model->write_count;
    uint64_t ts = model->ts;
    struct lsm_hold *hold = lsm_hold_take(model->lsm);

    model->faults = true; /* Only so that no step closes the tree. */
    overwrite(model);
    model->faults = false;
    cr_assert_eq(lsm_hold_export(hold, "copy"), ERR_OK, "%s", err_message(ERR_CORRUPT));
    lsm_hold_drop(&hold);
    tree_is(model, "copy", count, ts);
    wait_for_removals();
    cr_assert_eq(names_in("tree").tables, tables_in_levels(model), "then they go");
    model_close(model);
    model_free(model);
}

FIBER_TEST(checkpoint, a_long_name_of_a_folder_is_refused)
{
    struct model *model = filled_new(3);
    struct lsm_hold *hold = lsm_hold_take(model->lsm);
    char dir[LSM_DIR_BYTES_MAX + 10];

    memset(dir, 'x', sizeof(dir) - 1);
    dir[sizeof(dir) - 1] = '\0';
    cr_assert_eq(lsm_hold_export(hold, dir), ERR_LIMIT);
    lsm_hold_drop(&hold);
    model_close(model);
    model_free(model);
}

/* ---- Names. ---- */

FIBER_TEST(checkpoint, named_checkpoints_stay_over_compactions_and_openings)
{
    struct model *model = filled_new(4);
    uint32_t counts[2] = {model->write_count};
    uint64_t moments[2] = {model->ts};
    struct lsm_checkpoint_info info;

    name_now(model, "first");
    overwrite(model);
    counts[1] = model->write_count;
    moments[1] = model->ts;
    name_now(model, "second");
    overwrite(model);
    model_close(model);
    cr_assert_eq(model_open(model), ERR_OK);
    overwrite(model);
    model_check_all(model);
    cr_assert(lsm_checkpoint_get(model->lsm, 0, &info));
    cr_assert_str_eq(info.name, "first");
    cr_assert_eq(info.ts, moments[0]);
    cr_assert_eq(info.flushed_lsn, counts[0]);
    cr_assert_gt(info.tables, 0);
    cr_assert(lsm_checkpoint_get(model->lsm, 1, &info));
    cr_assert_str_eq(info.name, "second");
    cr_assert_not(lsm_checkpoint_get(model->lsm, 2, &info));
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "first", "copy-1"), ERR_OK);
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "second", "copy-2"), ERR_OK);
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "third", "copy-3"), ERR_NOT_FOUND);
    tree_is(model, "copy-1", counts[0], moments[0]);
    tree_is(model, "copy-2", counts[1], moments[1]);
    model_close(model);
    model_free(model);
}

FIBER_TEST(checkpoint, files_go_with_the_last_name_that_has_them)
{
    struct model *model = filled_new(5);
    uint32_t first = tables_in_levels(model);

    name_now(model, "a");
    name_now(model, "b");
    overwrite(model);
    wait_for_removals();
    cr_assert_eq(names_in("tree").tables, first + tables_in_levels(model));
    cr_assert_eq(lsm_checkpoint_drop(model->lsm, "a"), ERR_OK);
    cr_assert_eq(lsm_checkpoint_drop(model->lsm, "a"), ERR_NOT_FOUND);
    cr_assert_eq(names_in("tree").tables, first + tables_in_levels(model), "b has them");
    model_close(model);
    cr_assert_eq(model_open(model), ERR_OK);
    cr_assert_eq(lsm_files_collect(model->lsm), ERR_OK);
    cr_assert_eq(names_in("tree").tables, first + tables_in_levels(model), "over an opening");
    cr_assert_eq(lsm_checkpoint_drop(model->lsm, "b"), ERR_OK);
    cr_assert_eq(names_in("tree").tables, tables_in_levels(model));
    model_check_all(model);
    model_close(model);
    model_free(model);
}

FIBER_TEST(checkpoint, a_drop_keeps_what_the_tree_still_has)
{
    struct model *model = filled_new(6);

    name_now(model, "a");
    cr_assert_eq(lsm_checkpoint_drop(model->lsm, "a"), ERR_OK);
    cr_assert_eq(names_in("tree").tables, tables_in_levels(model));
    model_check_all(model);
    overwrite(model);
    wait_for_removals();
    cr_assert_eq(names_in("tree").tables, tables_in_levels(model), "nothing is left behind");
    model_close(model);
    model_free(model);
}

FIBER_TEST(checkpoint, names_are_checked_and_not_given_twice)
{
    static const char *const bad[] = {"", "-a", "a/b", "..", "a b", "\xc3\xa4"};
    struct model *model = filled_new(7);
    struct lsm_hold *hold;
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 2];

    name_now(model, "a");
    hold = lsm_hold_take(model->lsm);
    cr_assert_eq(lsm_checkpoint_add(hold, "a", 1, lsm_hold_flushed_lsn(hold)), ERR_EXISTS);
    for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
        cr_assert_eq(lsm_checkpoint_add(hold, bad[i], 1, lsm_hold_flushed_lsn(hold)), ERR_INVALID);
    }
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    cr_assert_eq(lsm_checkpoint_add(hold, name, 1, lsm_hold_flushed_lsn(hold)), ERR_INVALID);
    for (uint32_t i = 1; i < LSM_CHECKPOINTS_MAX; i++) {
        snprintf(name, sizeof(name), "n%u", i);
        cr_assert_eq(lsm_checkpoint_add(hold, name, 1, lsm_hold_flushed_lsn(hold)), ERR_OK);
    }
    cr_assert_eq(lsm_checkpoint_add(hold, "more", 1, lsm_hold_flushed_lsn(hold)), ERR_LIMIT);
    lsm_hold_drop(&hold);
    model_close(model);
    model_free(model);
}

/* ---- Faults. ---- */

FIBER_TEST(checkpoint, a_failed_manifest_write_adds_no_name_and_the_tree_goes_on)
{
    struct model *model = filled_new(8);
    struct lsm_checkpoint_info info;
    struct lsm_hold *hold = lsm_hold_take(model->lsm);

    sim_disk_fail_next(sim_world_current(), SIM_OP_WRITE, "MANIFEST", 0, 1, -EIO);
    cr_assert_eq(lsm_checkpoint_add(hold, "a", 1, lsm_hold_flushed_lsn(hold)), ERR_IO);
    cr_assert_not(lsm_checkpoint_get(model->lsm, 0, &info));
    cr_assert_eq(lsm_checkpoint_add(hold, "b", 1, lsm_hold_flushed_lsn(hold)), ERR_OK);
    lsm_hold_drop(&hold);
    sim_disk_fail_next(sim_world_current(), SIM_OP_WRITE, "MANIFEST", 0, 1, -EIO);
    cr_assert_eq(lsm_checkpoint_drop(model->lsm, "b"), ERR_IO);
    overwrite(model);
    cr_assert(lsm_checkpoint_get(model->lsm, 0, &info));
    cr_assert_str_eq(info.name, "b");
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "b", "copy"), ERR_OK);
    model_close(model);
    cr_assert_eq(model_open(model), ERR_OK);
    cr_assert(lsm_checkpoint_get(model->lsm, 0, &info));
    cr_assert_str_eq(info.name, "b");
    cr_assert_not(lsm_checkpoint_get(model->lsm, 1, &info));
    model_close(model);
    model_free(model);
}

FIBER_TEST(checkpoint, a_missing_file_is_named_and_other_errors_pass_through)
{
    struct model *model = filled_new(9);
    char path[LSM_PATH_BYTES_MAX];

    name_now(model, "a");
    sim_disk_fail_next(sim_world_current(), SIM_OP_LINK, "tree", 0, 1, -ENOSPC);
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "a", "full"), ERR_NO_SPACE);
    sim_disk_fail_next(sim_world_current(), SIM_OP_LINK, "tree", 0, 1, -EXDEV);
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "a", "far"), ERR_UNSUPPORTED);
    overwrite(model);
    lsm_table_path(path, "tree", model->lsm->checkpoints[0]->tables[0].meta.file_number);
    cr_assert_eq(io_unlink(path), ERR_OK);
    cr_assert_eq(lsm_checkpoint_export(model->lsm, "a", "copy"), ERR_CORRUPT);
    cr_assert(strstr(err_message(ERR_CORRUPT), path) != NULL);
    model_close(model);
    model_free(model);
}

/* ---- Crashes: a kill or a power cut at any instant. ---- */

struct life {
    struct model *model;
    uint32_t named_writes; /* When the last name was given. */
    uint64_t named_ts;
    bool is_named;
    bool is_dropping;
    bool is_over;
    uint32_t exports; /* Begun: a life may end without a write. */
};

static void
life_run(void *arg)
{
    struct life *life = arg;
    struct model *model = life->model;
    struct lsm_checkpoint_info info;
    bool is_there;

    cr_assert_eq(model_open(model), ERR_OK, "%s", err_message(ERR_CORRUPT));
    model_check_all(model);
    cr_assert_eq(lsm_files_collect(model->lsm), ERR_OK);
    is_there = lsm_checkpoint_get(model->lsm, 0, &info);
    cr_assert(is_there || !life->is_named || life->is_dropping, "an acknowledged name is there");
    if (is_there && life->named_ts == info.ts) {
        char dir[32];

        snprintf(dir, sizeof(dir), "copy-%u-%u", model->write_count, life->exports++);
        cr_assert_eq(lsm_checkpoint_export(model->lsm, "n", dir), ERR_OK, "%s",
                     err_message(ERR_CORRUPT));
        tree_is(model, dir, life->named_writes, life->named_ts);
    }
    if (is_there) {
        life->is_dropping = true;
        cr_assert_eq(lsm_checkpoint_drop(model->lsm, "n"), ERR_OK);
    }
    life->is_dropping = false;
    life->is_named = false;
    for (uint32_t i = 0; i < 150; i++) {
        model_step(model);
    }
    model_rotate(model);
    cr_assert_eq(lsm_flush(model->lsm), ERR_OK);
    life->named_writes = model->write_count;
    life->named_ts = model->ts;
    name_now(model, "n");
    life->is_named = true;
    for (uint32_t i = 0; i < 150; i++) {
        model_step(model);
    }
    model_close(model);
    life->is_over = true;
}

static bool
life_is_over(void *arg)
{
    return ((struct life *)arg)->is_over;
}

Test(checkpoint, an_acknowledged_name_survives_kills_and_power_cuts)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct sim_options options;
        struct sim_world *world;
        struct life life = {0};

        sim_options_init(&options);
        world = sim_world_new(seed, &options);
        life.model = model_new(seed, "tree", true);
        for (uint32_t i = 0; i < 6; i++) {
            life.is_over = false;
            sim_world_boot(world, 1);
            sim_world_spawn(world, 0, "life", life_run, &life);
            sim_world_run(world, life_is_over, &life, sim_prng_below(world, 400000));
            sim_world_crash(world,
                            sim_prng_below(world, 2) == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
            life.model->lsm = NULL;
        }
        sim_world_free(&world);
        model_free(life.model);
    }
}
