/* lsm/compact.c - doing what compact_pick.c chose. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    READ_AHEAD_BYTES = 1 << 20,
    WORK_UNITS_PER_ENTRY = 3,
    IDLE_CHECK_US = 100000, /* Range deletes wait for the horizon; nothing wakes us then. */
};

/* One compaction in work. */
struct work {
    struct lsm *lsm;
    struct compaction *job;
    struct arena arena; /* Of the ranges. */
    struct range_map ranges;
    struct collect collect;
    struct edit edit;
    struct output output;
    struct merge merge;
    struct lsm_table **reads; /* Inputs that are read, inputs[0] first. */
    uint32_t read_counts[COMPACT_INPUTS];
    uint64_t bytes_read;
};

static void
edit_removes_inputs(struct edit *edit, const struct compaction *job)
{
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        uint32_t level = which == 0 ? job->level : job->output_level;

        for (uint32_t i = 0; i < job->counts[which]; i++) {
            edit_remove_table(edit, level, job->inputs[which][i]->meta->file_number);
        }
    }
}

/* No bytes are read: the tables go, or one changes its level. */
static YIELDS err_t
job_relabel(struct lsm *lsm, struct compaction *job)
{
    struct edit edit;
    err_t err;

    edit_init(&edit);
    edit_removes_inputs(&edit, job);
    if (job->is_move) {
        edit_add_table(&edit, job->output_level, job->inputs[0][0]);
    } else {
        SOMETIMES("lsm: tables under a range delete were dropped unread");
    }
    TRY(lsm_commit(lsm, &edit, NULL, &lsm->compact_error));
    lsm->stats.trivial_moves += job->is_move;
    lsm->stats.tables_dropped += job->is_move ? 0 : job->counts[0];
out:
    edit_fini(&edit);
    return err;
}

static YIELDS void
ranges_load(struct work *work)
{
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        for (uint32_t i = 0; i < work->job->counts[which]; i++) {
            const struct table *table = work->job->inputs[which][i]->table;

            for (uint32_t k = 0; k < table_range_delete_count(table); k++) {
                struct lsm_range_delete range = table_range_delete_at(table, k);

                range_map_add(&work->ranges, &range, NULL);
                fiber_work(WORK_UNITS_PER_ENTRY);
            }
        }
    }
}

/* What is to be read: inputs that are wholly hidden are left out. */
static void
reads_choose(struct work *work)
{
    const struct compaction *job = work->job;
    uint32_t count = 0;

    work->reads =
        mem_alloc(MEM_BACKGROUND, (job->counts[0] + job->counts[1]) * sizeof(work->reads[0]));
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        for (uint32_t i = 0; i < job->counts[which]; i++) {
            struct lsm_table *table = job->inputs[which][i];

            if (collect_covers_table(&work->collect, table->meta)) {
                continue;
            }
            work->reads[count++] = table;
            work->read_counts[which]++;
            work->bytes_read += table->meta->file_bytes;
        }
    }
}

static void
merge_open(struct work *work)
{
    const struct table_iter_options options = {.read_ahead_bytes = READ_AHEAD_BYTES,
                                               .fill_cache = false};
    uint32_t upper = work->read_counts[0];

    merge_init(&work->merge, upper + 1, &options);
    if (work->job->level == 0) {
        for (uint32_t i = 0; i < upper; i++) {
            merge_add_tables(&work->merge, &work->reads[i], 1);
        }
    } else if (upper > 0) {
        merge_add_tables(&work->merge, work->reads, upper);
    }
    if (work->read_counts[1] > 0) {
        merge_add_tables(&work->merge, work->reads + upper, work->read_counts[1]);
    }
}

static YIELDS void
work_init(struct work *work, struct lsm *lsm, struct compaction *job)
{
    const struct output_options options = {
        .dir = lsm->dir,
        .file_number_new = lsm_file_number_new,
        .arg = lsm,
        .cache = lsm->cache,
        .vlog = lsm->vlog,
        .level = job->output_level,
        .table_bytes = lsm->options.table_bytes,
        .compress = true,
    };

    memset(work, 0, sizeof(*work));
    work->lsm = lsm;
    work->job = job;
    arena_init(&work->arena, MEM_BACKGROUND);
    range_map_init(&work->ranges, &work->arena);
    edit_init(&work->edit);
    ranges_load(work);
    collect_init(&work->collect, &lsm->snapshots, &work->ranges, lsm->version, job,
                 lsm_memtables_oldest(lsm, NULL));
    output_init(&work->output, &options, &work->collect, &work->edit);
    reads_choose(work);
    merge_open(work);
}

static void
work_fini(struct work *work)
{
    uint32_t inputs = work->job->counts[0] + work->job->counts[1];

    merge_fini(&work->merge);
    mem_free(MEM_BACKGROUND, work->reads, inputs * sizeof(work->reads[0]));
    output_fini(&work->output);
    collect_fini(&work->collect);
    edit_fini(&work->edit);
    arena_fini(&work->arena);
}

static YIELDS err_t
entries_move(struct work *work)
{
    const struct lsm_entry *current;
    err_t err;

    TRY(merge_seek_first(&work->merge));
    while ((current = merge_entry(&work->merge)) != NULL) {
        struct lsm_entry entry = *current;

        if (work->lsm->is_closing) {
            err = ERR_CANCELED;
            goto out;
        }
        if (collect_keeps(&work->collect, &entry)) {
            TRY(output_add(&work->output, &entry));
        }
        fiber_work(WORK_UNITS_PER_ENTRY);
        TRY(merge_step(&work->merge));
    }
out:
    return err;
}

/* A corrupt table is not read again and again. */
static void
failed_shun(struct work *work, err_t err)
{
    struct lsm_table *failed = work->merge.failed;

    if (failed == NULL) { /* Its blocks are whole, but an entry is not. */
        failed = merge_table(&work->merge);
    }
    if (err == ERR_CORRUPT && failed != NULL && !failed->is_shunned) {
        SOMETIMES("lsm: a corrupt table was taken out of compaction");
        failed->is_shunned = true;
        work->lsm->stats.tables_shunned++;
    }
}

static YIELDS err_t
job_rewrite(struct lsm *lsm, struct compaction *job)
{
    struct work work;
    err_t err;

    work_init(&work, lsm, job);
    err = entries_move(&work);
    if (err == ERR_OK) {
        err = output_finish(&work.output);
    }
    if (err != ERR_OK) {
        failed_shun(&work, err);
        output_abandon(&work.output);
        goto out;
    }
    edit_removes_inputs(&work.edit, job);
    TRY(lsm_commit(lsm, &work.edit, NULL, &lsm->compact_error));
    lsm->stats.compactions++;
    lsm->stats.compaction_read_bytes += work.bytes_read;
    lsm->stats.compaction_write_bytes += work.output.bytes_written;
out:
    work_fini(&work);
    return err;
}

static YIELDS err_t
job_run(struct lsm *lsm, struct compaction *job)
{
    err_t err = job->is_move || job->is_drop ? job_relabel(lsm, job) : job_rewrite(lsm, job);

    lsm_report(lsm, &lsm->compact_error, err == ERR_CANCELED ? ERR_OK : err);
    lsm_pace(lsm);
    return err;
}

YIELDS err_t
compact_step(struct lsm *lsm, bool *did_out)
{
    struct compaction job;
    err_t err = ERR_OK;

    fiber_mutex_lock(&lsm->compact_mutex);
    compaction_init(&job);
    lsm->compact_is_due = false;
    *did_out = compact_pick(lsm, &job);
    if (*did_out) {
        err = job_run(lsm, &job);
        compaction_fini(&job);
    }
    fiber_mutex_unlock(&lsm->compact_mutex);
    return err;
}

void
compact_fiber(void *arg)
{
    struct lsm *lsm = arg;
    uint32_t attempt = 0;

    while (!lsm->is_closing) {
        bool did = false;
        err_t err = compact_step(lsm, &did);

        if (err != ERR_OK && err != ERR_CANCELED) {
            LOG_E("%s: a compaction failed: %s", lsm->dir, lsm->error_message);
            (void)lsm_back_off(lsm, attempt++);
            continue;
        }
        attempt = 0;
        if (!did && !lsm->compact_is_due && !lsm->is_closing) {
            bool may_wait_for_horizon = lsm->version->range_deletes > 0;

            (void)cond_wait_until(&lsm->compact_cond, may_wait_for_horizon
                                                          ? shard_now_us() + IDLE_CHECK_US
                                                          : DEADLINE_NONE);
        }
    }
}

/* ---- By hand. ---- */

static uint32_t
deepest_level(const struct lsm *lsm)
{
    uint32_t deepest = 0;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        if (lsm->version->levels[i].count > 0) {
            deepest = i;
        }
    }
    return deepest;
}

static YIELDS err_t
compact_range_once(struct lsm *lsm, uint32_t level, bool is_bottom, struct slice lower,
                   struct slice upper)
{
    struct compaction job;
    err_t err = ERR_OK;

    fiber_mutex_lock(&lsm->compact_mutex);
    compaction_init(&job);
    if (compact_pick_range(lsm, level, is_bottom, lower, upper, &job)) {
        err = job_run(lsm, &job);
        compaction_fini(&job);
    }
    fiber_mutex_unlock(&lsm->compact_mutex);
    return err;
}

YIELDS err_t
lsm_compact(struct lsm *lsm, struct slice lower, struct slice upper)
{
    uint32_t bottom;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    TRY(lsm_flush(lsm));
    bottom = MAX(1u, deepest_level(lsm));
    for (uint32_t level = 0; level < bottom; level++) {
        TRY(compact_range_once(lsm, level, false, lower, upper));
    }
    TRY(compact_range_once(lsm, bottom, true, lower, upper));
out:
    return err;
}
