/* lsm/compact_run.c - doing a job: merge, collect, write, and one edit.
 *
 * A large job is split by key ranges into parts, each on a fiber of its own: while one waits for
 * the disk another computes. All parts read the same inputs through iterators of their own, and
 * their tables go into one edit, so that nobody sees half of a job. What a job needs on disk beyond
 * its result is the size of its inputs, which go when the edit is durable. */
#include <stdio.h>

#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    READ_AHEAD_BYTES_MAX = 1 << 20, /* Of one table that is read, */
    READ_AHEAD_BYTES_MIN = 64 << 10,
    READ_AHEAD_BYTES_ALL = 16 << 20, /* and of a whole job, as long as each has the least. */
    READ_AHEAD_WINDOWS = 2,          /* lsm/table_iter.c */
    WORK_UNITS_PER_ENTRY = 3,
    PART_TABLES_MIN = 2,     /* A part should give so many tables at least. */
    GRANDPARENT_TABLES = 10, /* A table is cut where it would overlap more further down. */
    PACE_ENTRIES = 64,       /* Progress is reported every so many. */
};

/* One key range of a job. */
struct part {
    struct work *work;
    struct slice lower; /* Borrowed from an input. */
    struct slice upper;
    bool has_lower;
    bool has_upper;
    struct collect collect;
    struct edit edit;
    struct output output;
    struct merge merge;
};

/* One job in work. */
struct work {
    struct lsm *lsm;
    struct compaction *job;
    struct arena arena; /* Of the ranges. */
    struct range_map ranges;
    struct lsm_table **reads; /* Inputs that are read, inputs[0] first. */
    uint32_t read_counts[COMPACT_INPUTS];
    struct part parts[COMPACT_PARTS_MAX];
    uint32_t part_count;
    err_t err; /* The first error of any part; it stops the others. */
    char message[ERR_MESSAGE_BYTES_MAX];
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
    } else if (job->reason == COMPACT_EXPIRED) {
        SOMETIMES("lsm: tables were dropped unread because all in them had expired");
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

/* ---- Before. ---- */

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
reads_choose(struct work *work, const struct collect *collect)
{
    struct compaction *job = work->job;
    uint32_t count = 0;

    work->reads =
        mem_alloc(MEM_BACKGROUND, (job->counts[0] + job->counts[1]) * sizeof(work->reads[0]));
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        for (uint32_t i = 0; i < job->counts[which]; i++) {
            struct lsm_table *table = job->inputs[which][i];

            if (collect_covers_table(collect, table->meta)) {
                job->bytes -= MIN(job->bytes, table->meta->file_bytes);
                continue;
            }
            work->reads[count++] = table;
            work->read_counts[which]++;
        }
    }
}

/* The parts' borders: first keys of tables of the output level, at equal shares of its bytes. */
static void
parts_split(struct work *work)
{
    const struct compaction *job = work->job;
    uint64_t part_bytes =
        MAX(work->lsm->options.table_bytes * PART_TABLES_MIN, job->bytes / COMPACT_PARTS_MAX + 1);
    uint64_t below_bytes = 0;
    uint64_t bytes = 0;
    uint64_t share;

    work->part_count = 1;
    for (uint32_t i = 0; i < job->counts[1]; i++) {
        below_bytes += job->inputs[1][i]->meta->file_bytes;
    }
    share = below_bytes / MAX(job->bytes / part_bytes, UINT64_C(1));
    for (uint32_t i = 1; i < job->counts[1] && work->part_count < COMPACT_PARTS_MAX; i++) {
        struct slice border = job->inputs[1][i]->meta->smallest;
        struct part *last = &work->parts[work->part_count - 1];

        bytes += job->inputs[1][i - 1]->meta->file_bytes;
        if (bytes < share * work->part_count ||
            (last->has_lower && slice_compare(border, last->lower) <= 0)) {
            continue;
        }
        last->upper = border;
        last->has_upper = true;
        work->parts[work->part_count].lower = border;
        work->parts[work->part_count++].has_lower = true;
    }
}

static void
merge_open(struct part *part, uint32_t read_ahead_bytes)
{
    const struct work *work = part->work;
    const struct table_iter_options options = {.read_ahead_bytes = read_ahead_bytes,
                                               .fill_cache = false};
    uint32_t upper = work->read_counts[0];

    merge_init(&part->merge, upper + 1, &options);
    if (work->job->level == 0) {
        for (uint32_t i = 0; i < upper; i++) {
            merge_add_tables(&part->merge, &work->reads[i], 1);
        }
    } else if (upper > 0) {
        merge_add_tables(&part->merge, work->reads, upper);
    }
    if (work->read_counts[1] > 0) {
        merge_add_tables(&part->merge, work->reads + upper, work->read_counts[1]);
    }
}

static uint32_t
read_ahead_of(const struct work *work)
{
    uint32_t streams = 1 + (work->job->level == 0 ? work->read_counts[0] : 1);
    uint32_t share = READ_AHEAD_BYTES_ALL / (streams * work->part_count * READ_AHEAD_WINDOWS);

    return MIN(MAX(share, (uint32_t)READ_AHEAD_BYTES_MIN), (uint32_t)READ_AHEAD_BYTES_MAX);
}

static void
part_open(struct part *part, struct version *version, uint64_t memtables_oldest)
{
    struct work *work = part->work;
    struct lsm *lsm = work->lsm;
    const struct compaction *job = work->job;
    const struct output_options options = {
        .dir = lsm->dir,
        .file_number_new = lsm_file_number_new,
        .arg = lsm,
        .cache = lsm->cache,
        .vlog = lsm->vlog,
        .level = job->output_level,
        .table_bytes = job->output_level == 0 ? 0 : lsm->options.table_bytes,
        .block_bytes = lsm->options.block_bytes,
        .compress = lsm_compresses(lsm, job->output_level),
        .lower = part->has_lower ? part->lower : slice_of(NULL, 0),
        .upper = part->has_upper ? part->upper : slice_of(NULL, 0),
        .grandparents = job->output_level > 0 && job->output_level + 1 < LSM_LEVELS
                            ? &version->levels[job->output_level + 1]
                            : NULL,
        .grandparent_bytes_max = lsm->options.table_bytes * GRANDPARENT_TABLES,
    };

    edit_init(&part->edit);
    collect_init(&part->collect, &lsm->snapshots, &work->ranges, version, job, memtables_oldest);
    output_init(&part->output, &options, &part->collect, &part->edit);
    merge_open(part, read_ahead_of(work));
}

static void
part_close(struct part *part)
{
    merge_fini(&part->merge);
    output_fini(&part->output);
    collect_fini(&part->collect);
    edit_fini(&part->edit);
}

static YIELDS void
work_init(struct work *work, struct lsm *lsm, struct compaction *job)
{
    struct version *version;
    uint64_t memtables_oldest;
    struct collect collect;

    memset(work, 0, sizeof(*work));
    work->lsm = lsm;
    work->job = job;
    arena_init(&work->arena, MEM_BACKGROUND);
    range_map_init(&work->ranges, &work->arena);
    ranges_load(work);
    /* From here to the opening of the last part nothing suspends: they agree on what may go. */
    version = lsm->version;
    memtables_oldest = lsm_memtables_oldest(lsm, NULL);
    collect_init(&collect, &lsm->snapshots, &work->ranges, version, job, memtables_oldest);
    reads_choose(work, &collect);
    collect_fini(&collect);
    parts_split(work);
    for (uint32_t i = 0; i < work->part_count; i++) {
        work->parts[i].work = work;
        part_open(&work->parts[i], version, memtables_oldest);
    }
}

static void
work_fini(struct work *work)
{
    uint32_t inputs = work->job->counts[0] + work->job->counts[1];

    for (uint32_t i = 0; i < work->part_count; i++) {
        part_close(&work->parts[i]);
    }
    mem_free(MEM_BACKGROUND, work->reads, inputs * sizeof(work->reads[0]));
    arena_fini(&work->arena);
}

/* ---- The work. ---- */

static err_t
work_stopped(const struct work *work)
{
    return work->err != ERR_OK || work->lsm->is_closing ? ERR_CANCELED : ERR_OK;
}

static YIELDS err_t
entries_move(struct part *part)
{
    struct work *work = part->work;
    const struct lsm_entry *current;
    uint64_t bytes = 0;
    uint32_t count = 0;
    err_t err;

    TRY(part->has_lower ? merge_seek(&part->merge, part->lower, LSM_TS_MAX)
                        : merge_seek_first(&part->merge));
    while ((current = merge_entry(&part->merge)) != NULL) {
        struct lsm_entry entry = *current;

        if (part->has_upper && slice_compare(entry.key, part->upper) >= 0) {
            break;
        }
        bytes += entry.key.size + entry.value.size;
        if (collect_keeps(&part->collect, &entry)) {
            TRY(output_add(&part->output, &entry));
        }
        if (++count == PACE_ENTRIES) {
            TRY(work_stopped(work));
            work->job->bytes_done += bytes;
            lsm_pace_work(work->lsm, bytes);
            count = 0;
            bytes = 0;
        }
        fiber_work(WORK_UNITS_PER_ENTRY);
        TRY(merge_step(&part->merge));
    }
    TRY(work_stopped(work));
    lsm_pace_work(work->lsm, bytes);
out:
    return err;
}

/* A corrupt table is not read again and again. */
static void
failed_shun(struct part *part, err_t err)
{
    struct lsm_table *failed = part->merge.failed;

    if (failed == NULL) { /* Its blocks are whole, but an entry is not. */
        failed = merge_table(&part->merge);
    }
    if (err == ERR_CORRUPT && failed != NULL && !failed->is_shunned) {
        SOMETIMES("lsm: a corrupt table was taken out of compaction");
        failed->is_shunned = true;
        part->work->lsm->stats.tables_shunned++;
    }
}

static void
part_run(void *arg)
{
    struct part *part = arg;
    struct work *work = part->work;
    err_t err = entries_move(part);

    if (err == ERR_OK) {
        err = output_finish(&part->output);
    }
    if (err == ERR_OK) {
        return;
    }
    failed_shun(part, err);
    if (work->err == ERR_OK) {
        work->err = err;
        snprintf(work->message, sizeof(work->message), "%s", err_message(err));
    }
}

static YIELDS err_t
parts_run(struct work *work)
{
    struct fiber_group group;
    uint32_t started = 1;

    fiber_group_init(&group);
    while (started < work->part_count &&
           fiber_group_spawn(&group, "lsm part", FIBER_BACKGROUND, FIBER_STACK_SMALL, part_run,
                             &work->parts[started])) {
        started++;
    }
    part_run(&work->parts[0]);
    for (uint32_t i = started; i < work->part_count && work->err == ERR_OK; i++) {
        part_run(&work->parts[i]); /* For which there was no fiber. */
    }
    fiber_group_wait(&group);
    SOMETIMES_IF(work->part_count > 1, "lsm: a compaction ran in parts");
    return work->err == ERR_OK ? ERR_OK : err_set(work->err, "%s", work->message);
}

static void
work_count(const struct work *work, uint64_t bytes_written)
{
    const struct compaction *job = work->job;
    struct lsm_stats *stats = &work->lsm->stats;
    uint32_t count = work->read_counts[0] + work->read_counts[1];

    stats->compactions++;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t bytes = work->reads[i]->meta->file_bytes;

        stats->compaction_read_bytes += bytes;
        stats->level_read_bytes[i < work->read_counts[0] ? job->level : job->output_level] += bytes;
    }
    stats->compaction_write_bytes += bytes_written;
    stats->level_write_bytes[job->output_level] += bytes_written;
    SOMETIMES_IF(job->reason == COMPACT_WITHIN, "lsm: tables of level 0 were merged into one");
    SOMETIMES_IF(job->reason == COMPACT_EXPIRED, "lsm: a table was rewritten for what had expired");
    SOMETIMES_IF(job->reason == COMPACT_BY_SCANS, "lsm: tables were compacted because of scans");
}

static YIELDS err_t
job_rewrite(struct lsm *lsm, struct compaction *job)
{
    struct work *work = MEM_NEW(MEM_BACKGROUND, struct work);
    uint64_t begin_us = shard_now_us();
    uint64_t bytes_written = 0;
    struct edit edit;
    err_t err;

    edit_init(&edit);
    work_init(work, lsm, job);
    err = parts_run(work);
    if (err != ERR_OK) {
        for (uint32_t i = 0; i < work->part_count; i++) {
            output_abandon(&work->parts[i].output);
        }
        goto out;
    }
    edit_removes_inputs(&edit, job);
    for (uint32_t i = 0; i < work->part_count; i++) {
        const struct part *part = &work->parts[i];

        bytes_written += part->output.bytes_written;
        for (uint32_t k = 0; k < part->edit.add_count; k++) {
            edit_add_table(&edit, part->edit.adds[k].level, part->edit.adds[k].table);
        }
    }
    /* When this is given up, the edit may be on the disk: the files stay for the next opening. */
    TRY(lsm_commit(lsm, &edit, NULL, &lsm->compact_error));
    work_count(work, bytes_written);
    lsm_metrics_compaction(&lsm->metrics, job->output_level, shard_now_us() - begin_us,
                           bytes_written);
out:
    edit_fini(&edit);
    work_fini(work);
    MEM_FREE(MEM_BACKGROUND, work);
    return err;
}

YIELDS err_t
compaction_run(struct lsm *lsm, struct compaction *job)
{
    err_t err;

    list_push_back(&lsm->running, &job->link);
    lsm->stats.compactions_running++;
    SOMETIMES_IF(lsm->stats.compactions_running > 1, "lsm: several compactions ran at once");
    err = job->is_move || job->is_drop ? job_relabel(lsm, job) : job_rewrite(lsm, job);
    if (err == ERR_OK) {
        lsm->stats.expired_compactions += job->reason == COMPACT_EXPIRED;
        lsm->stats.scan_compactions += job->reason == COMPACT_BY_SCANS;
    }
    list_remove(&job->link);
    lsm->stats.compactions_running--;
    lsm_report(lsm, &lsm->compact_error, err == ERR_CANCELED ? ERR_OK : err);
    return err;
}
