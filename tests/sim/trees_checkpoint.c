/* tests/sim/trees_checkpoint.c - naming, dropping and exporting moments of the trees of trees.h,
 * and opening what was exported. */
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/fiber.h"
#include "tests/sim/trees.h"

enum { FILES_MAX = 4096, COPY_DIR_BYTES = 24 };

/* ---- Folders. ---- */

struct names {
    char (*names)[IO_PATH_BYTES_MAX / 2];
    uint32_t count;
};

static void
names_visit(const char *name, void *arg)
{
    struct names *names = arg;

    ASSERT(names->count < FILES_MAX);
    snprintf(names->names[names->count], sizeof(names->names[0]), "%s", name);
    names->count++;
}

/* Of a folder without folders in it; one that is missing is fine. */
static YIELDS err_t
folder_remove(const char *dir)
{
    struct names names = {0};
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    names.names = mem_alloc(MEM_SESSIONS, FILES_MAX * sizeof(names.names[0]));
    err = io_list(dir, names_visit, &names);
    for (uint32_t i = 0; i < names.count && err == ERR_OK; i++) {
        snprintf(path, sizeof(path), "%.80s/%s", dir, names.names[i]);
        err = io_unlink(path);
    }
    if (err == ERR_OK) {
        err = io_rmdir(dir);
    }
    mem_free(MEM_SESSIONS, names.names, FILES_MAX * sizeof(names.names[0]));
    return err == ERR_NOT_FOUND ? ERR_OK : err;
}

static void
copy_dir(const struct tree *tree, char dir[COPY_DIR_BYTES])
{
    snprintf(dir, COPY_DIR_BYTES, "copy-%.12s", tree->dir);
}

/* What a crash has left of an export. */
YIELDS err_t
trees_copy_remove(const struct tree *tree)
{
    char dir[COPY_DIR_BYTES];

    copy_dir(tree, dir);
    return folder_remove(dir);
}

/* ---- Comparing a copy. ---- */

/* The tree as it was at the checkpoint: its tables, and the log behind them up to its end. Late
 * writes keep away from its ts, so that the history at the ts is still the same. */
static YIELDS err_t
copy_check(struct trees *trees, uint32_t which, const struct tree_checkpoint *checkpoint)
{
    const struct tree *tree = &trees->trees[which];
    struct lsm_recovered recovered = {0};
    struct tree copy = {.options = tree->options};
    err_t err;

    copy_dir(tree, copy.dir);
    copy.options.dir = copy.dir;
    TRY(lsm_open(&copy.options, &recovered, &copy.lsm));
    RUN_CHECK(trees->run, recovered.flushed_lsn == checkpoint->flushed_lsn,
              "%s: a copy was flushed up to %llu, its checkpoint up to %llu", copy.dir,
              (unsigned long long)recovered.flushed_lsn,
              (unsigned long long)checkpoint->flushed_lsn);
    TRY(trees_replay(trees, which, &copy, recovered.flushed_lsn, checkpoint->log_end));
    lsm_horizon_set(copy.lsm, checkpoint->horizon);
    TRY(trees_check_tree(trees, &copy, checkpoint->ts));
    TRY(lsm_verify(copy.lsm));
    SOMETIMES("lsm: a checkpoint's copy was opened and compared");
out:
    lsm_close(&copy.lsm);
    return err;
}

static YIELDS err_t
copy_use(struct trees *trees, uint32_t which, const struct tree_checkpoint *checkpoint,
         err_t exported)
{
    err_t err = exported;

    if (err == ERR_OK) {
        err = copy_check(trees, which, checkpoint);
    }
    if (err == ERR_OK) {
        err = trees_copy_remove(&trees->trees[which]);
    } else { /* What is left, an opening removes. */
        (void)trees_copy_remove(&trees->trees[which]);
    }
    return err;
}

/* ---- Making and dropping. ---- */

/* Of this moment; the caller has just taken a hold. */
static void
checkpoint_capture(const struct trees *trees, const struct lsm_hold *hold,
                   struct tree_checkpoint *checkpoint)
{
    checkpoint->ts = trees->history.ts;
    checkpoint->horizon = trees->horizon;
    checkpoint->flushed_lsn = lsm_hold_flushed_lsn(hold);
    checkpoint->log_end = trees->history.appended;
}

static struct tree_checkpoint *
checkpoint_free_slot(struct tree *tree)
{
    for (uint32_t i = 0; i < TREES_CHECKPOINTS_MAX; i++) {
        if (tree->checkpoints[i].state == CHECKPOINT_FREE) {
            return &tree->checkpoints[i];
        }
    }
    return NULL;
}

static YIELDS void
checkpoint_add(struct trees *trees, struct tree *tree)
{
    struct tree_checkpoint *checkpoint = checkpoint_free_slot(tree);
    struct lsm_hold *hold;
    err_t err;

    if (checkpoint == NULL) {
        return;
    }
    checkpoint->state = CHECKPOINT_UNSURE;
    snprintf(checkpoint->name, sizeof(checkpoint->name), "at-%llu",
             (unsigned long long)trees->history.next_id++);
    checkpoint->ts = UINT64_MAX; /* No write is late meanwhile. */
    hold = lsm_hold_take(tree->lsm);
    checkpoint_capture(trees, hold, checkpoint);
    /* The owner keeps the log, which must not end before. */
    tree->options.wait_durable(trees, checkpoint->log_end);
    err = lsm_checkpoint_add(hold, checkpoint->name, checkpoint->ts, checkpoint->log_end);
    lsm_hold_drop(&hold);
    TREES_CHECK_OK(trees, err, "lsm_checkpoint_add");
    checkpoint->state = err == ERR_OK ? CHECKPOINT_THERE : CHECKPOINT_UNSURE;
}

static YIELDS void
checkpoint_drop(struct trees *trees, struct tree *tree, struct tree_checkpoint *checkpoint)
{
    err_t err;

    checkpoint->state = CHECKPOINT_UNSURE;
    err = lsm_checkpoint_drop(tree->lsm, checkpoint->name);
    TREES_CHECK_OK(trees, err, "lsm_checkpoint_drop");
    if (err == ERR_OK) {
        *checkpoint = (struct tree_checkpoint){0};
        SOMETIMES("lsm: a checkpoint was dropped");
    }
}

static YIELDS void
checkpoint_export(struct trees *trees, uint32_t which, struct tree_checkpoint *checkpoint)
{
    struct tree *tree = &trees->trees[which];
    char dir[COPY_DIR_BYTES];
    err_t err;

    copy_dir(tree, dir);
    checkpoint->state = CHECKPOINT_IN_USE;
    err = lsm_checkpoint_export(tree->lsm, checkpoint->name, dir);
    TREES_CHECK_OK(trees, copy_use(trees, which, checkpoint, err), "a checkpoint's copy");
    checkpoint->state = CHECKPOINT_THERE;
}

/* A copy of this moment, without a name. */
static YIELDS void
moment_export(struct trees *trees, uint32_t which)
{
    struct tree *tree = &trees->trees[which];
    struct tree_checkpoint *moment = &tree->moment;
    struct lsm_hold *hold;
    char dir[COPY_DIR_BYTES];
    err_t err;

    copy_dir(tree, dir);
    moment->ts = UINT64_MAX;
    hold = lsm_hold_take(tree->lsm);
    checkpoint_capture(trees, hold, moment);
    err = lsm_hold_export(hold, dir);
    lsm_hold_drop(&hold);
    TREES_CHECK_OK(trees, copy_use(trees, which, moment, err), "a copy");
    moment->ts = 0;
}

void
trees_checkpoint(struct trees *trees)
{
    uint32_t which = (uint32_t)trees_draw(trees->count);
    struct tree *tree = &trees->trees[which];
    struct tree_checkpoint *checkpoint = &tree->checkpoints[trees_draw(TREES_CHECKPOINTS_MAX)];

    if (checkpoint->state == CHECKPOINT_FREE) {
        checkpoint_add(trees, tree);
    } else if (checkpoint->state == CHECKPOINT_THERE && trees_chance(40)) {
        checkpoint_drop(trees, tree, checkpoint);
    } else if (!tree->is_copying) { /* There is one folder for a copy. */
        tree->is_copying = true;
        if (checkpoint->state == CHECKPOINT_THERE) {
            checkpoint_export(trees, which, checkpoint);
        } else {
            moment_export(trees, which);
        }
        tree->is_copying = false;
    }
}

uint64_t
trees_checkpoint_ts(const struct trees *trees)
{
    uint64_t newest = 0;

    for (uint32_t i = 0; i < trees->count; i++) {
        newest = MAX(newest, trees->trees[i].moment.ts);
        for (uint32_t k = 0; k < TREES_CHECKPOINTS_MAX; k++) {
            newest = MAX(newest, trees->trees[i].checkpoints[k].ts);
        }
    }
    return newest;
}

/* ---- What an opening found. ---- */

void
trees_checkpoints_crash(struct trees *trees)
{
    for (uint32_t i = 0; i < trees->count; i++) {
        struct tree *tree = &trees->trees[i];

        tree->is_copying = false;
        tree->moment.ts = 0;
        for (uint32_t k = 0; k < TREES_CHECKPOINTS_MAX; k++) {
            struct tree_checkpoint *checkpoint = &tree->checkpoints[k];

            if (checkpoint->state == CHECKPOINT_IN_USE) {
                checkpoint->state = CHECKPOINT_THERE;
            } else if (checkpoint->state == CHECKPOINT_UNSURE && checkpoint->ts == UINT64_MAX) {
                *checkpoint = (struct tree_checkpoint){0}; /* It was not begun yet. */
            }
        }
    }
}

static bool
info_find(const struct tree *tree, const char *name, struct lsm_checkpoint_info *info)
{
    for (uint32_t i = 0; lsm_checkpoint_get(tree->lsm, i, info); i++) {
        if (strcmp(info->name, name) == 0) {
            return true;
        }
    }
    return false;
}

void
trees_checkpoints_check(struct trees *trees, struct tree *tree)
{
    struct lsm_checkpoint_info info;
    uint32_t found = 0;
    uint32_t listed = 0;

    for (uint32_t i = 0; i < TREES_CHECKPOINTS_MAX; i++) {
        struct tree_checkpoint *checkpoint = &tree->checkpoints[i];
        bool is_there =
            checkpoint->state != CHECKPOINT_FREE && info_find(tree, checkpoint->name, &info);

        RUN_CHECK(trees->run, is_there || checkpoint->state != CHECKPOINT_THERE || trees->has_rot,
                  "%s: checkpoint %s is gone", tree->dir, checkpoint->name);
        SOMETIMES_IF(checkpoint->state == CHECKPOINT_UNSURE && is_there,
                     "lsm: a checkpoint was found that nobody was sure of");
        SOMETIMES_IF(checkpoint->state == CHECKPOINT_UNSURE && !is_there,
                     "lsm: a checkpoint was not found that nobody was sure of");
        if (!is_there) {
            *checkpoint = (struct tree_checkpoint){0};
            continue;
        }
        RUN_CHECK(trees->run,
                  info.ts == checkpoint->ts && info.flushed_lsn == checkpoint->flushed_lsn &&
                      info.log_end == checkpoint->log_end,
                  "%s: checkpoint %s has changed", tree->dir, checkpoint->name);
        checkpoint->state = CHECKPOINT_THERE;
        found++;
    }
    while (lsm_checkpoint_get(tree->lsm, listed, &info)) {
        listed++;
    }
    RUN_CHECK(trees->run, listed == found || trees->has_rot,
              "%s: %u checkpoints are listed, %u of them are known", tree->dir, listed, found);
}
