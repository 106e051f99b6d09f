/* query/exec/partition.c - see partition.h. */
#include "query/exec/partition.h"

#include <xxhash.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

void
parts_init(struct parts *parts, struct exec *exec)
{
    *parts = (struct parts){.exec = exec};
    buf_init(&parts->record, MEM_SESSIONS);
}

static void
job_fini(struct part_job *job, bool file_is_open)
{
    for (uint32_t i = 0; i < PART_SIDES; i++) {
        tape_fini(&job->tapes[i], file_is_open);
    }
}

static void
reading_end(struct parts *parts)
{
    if (parts->is_reading) {
        tape_reader_fini(&parts->reader);
    }
    parts->is_reading = false;
}

void
parts_fini(struct parts *parts)
{
    reading_end(parts);
    job_fini(&parts->job, false);
    for (uint32_t i = 0; i < parts->count; i++) {
        job_fini(&parts->open[i], false);
    }
    mem_free(MEM_SESSIONS, parts->open, parts->count * sizeof(*parts->open));
    for (uint32_t i = 0; i < parts->job_count; i++) {
        job_fini(&parts->jobs[i], false);
    }
    mem_free(MEM_SESSIONS, parts->jobs, parts->job_capacity * sizeof(*parts->jobs));
    spill_file_close(&parts->file);
    buf_fini(&parts->record);
    *parts = (struct parts){.exec = parts->exec};
}

/* So many that their buffers take a half of the memory. */
static YIELDS err_t
parts_open(struct parts *parts)
{
    uint64_t fitting = parts->exec->budget->work_bytes / (2 * SPILL_CHUNK_BYTES);
    uint32_t count = (uint32_t)MIN(MAX(fitting, (uint64_t)PARTS_MIN), (uint64_t)PARTS_MAX);
    err_t err = ERR_OK;

    if (parts->file == NULL) {
        TRY(spill_file_open(parts->exec->budget, &parts->file));
    }
    parts->open = mem_zalloc(MEM_SESSIONS, count * sizeof(*parts->open));
    parts->count = count;
    for (uint32_t i = 0; i < count; i++) {
        parts->open[i].depth = parts->depth + 1;
        tape_init(&parts->open[i].tapes[PART_LEFT], parts->file);
        tape_init(&parts->open[i].tapes[PART_RIGHT], parts->file);
    }
out:
    return err;
}

err_t
parts_add(struct parts *parts, uint32_t side, struct slice key, struct slice record)
{
    uint64_t hash = XXH3_64bits_withSeed(key.data, key.size, parts->depth + 1);
    err_t err = ERR_OK;

    if (parts->count == 0) {
        TRY(parts_open(parts));
    }
    err = tape_add(&parts->open[hash % parts->count].tapes[side], record);
out:
    return err;
}

static void
job_push(struct parts *parts, const struct part_job *job)
{
    if (parts->job_count == parts->job_capacity) {
        uint32_t capacity = MAX((uint32_t)PARTS_MAX, parts->job_capacity * 2);

        parts->jobs =
            mem_realloc(MEM_SESSIONS, parts->jobs, parts->job_capacity * sizeof(*parts->jobs),
                        capacity * sizeof(*parts->jobs));
        parts->job_capacity = capacity;
    }
    parts->jobs[parts->job_count++] = *job;
}

/* A part that got all that its job had is not parted again: its keys are equal. */
static void
job_depth_set(const struct parts *parts, struct part_job *job)
{
    uint64_t rows = 0, parent_rows = 0;

    for (uint32_t i = 0; i < PART_SIDES; i++) {
        rows += job->tapes[i].records;
        parent_rows += parts->job.tapes[i].records;
    }
    if (parts->depth > 0 && rows == parent_rows) {
        job->depth = PARTS_DEPTH_MAX;
    }
}

static bool
has_rows(const struct part_job *job)
{
    return job->tapes[PART_LEFT].records + job->tapes[PART_RIGHT].records > 0;
}

err_t
parts_next(struct parts *parts, bool (*wants)(void *arg, const struct part_job *job), void *arg,
           bool *has_job_out)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < parts->count; i++) {
        TRY(tape_end(&parts->open[i].tapes[PART_LEFT]));
        TRY(tape_end(&parts->open[i].tapes[PART_RIGHT]));
    }
    for (uint32_t i = 0; i < parts->count; i++) {
        struct part_job *job = &parts->open[i];

        job_depth_set(parts, job);
        if (has_rows(job) && (wants == NULL || wants(arg, job))) {
            job_push(parts, job);
        } else {
            job_fini(job, true);
        }
    }
    mem_free(MEM_SESSIONS, parts->open, parts->count * sizeof(*parts->open));
    parts->open = NULL;
    parts->count = 0;
    reading_end(parts);
    job_fini(&parts->job, true);
    parts->jobs_ended++;
    *has_job_out = parts->job_count > 0;
    if (*has_job_out) {
        parts->job = parts->jobs[--parts->job_count];
        parts->depth = parts->job.depth;
    }
out:
    return err;
}

void
parts_read_begin(struct parts *parts, uint32_t side)
{
    reading_end(parts);
    tape_reader_init(&parts->reader, &parts->job.tapes[side]);
    parts->is_reading = true;
}

err_t
parts_read(struct parts *parts, struct slice *record_out, bool *is_end_out)
{
    ASSERT(parts->is_reading);
    return tape_read(&parts->reader, record_out, is_end_out);
}

err_t
parts_read_batch(struct parts *parts, const struct plan_column *columns, uint32_t count,
                 struct arena *arena, struct batch *batch)
{
    struct slice record;
    bool is_end = false;
    err_t err = ERR_OK;

    batch_make(batch, arena, count, BATCH_ROWS_MAX);
    batch->rows = 0;
    while (batch->rows < BATCH_ROWS_MAX) {
        TRY(parts_read(parts, &record, &is_end));
        if (is_end) {
            break;
        }
        TRY(spill_batch_row_get(columns, count, record, arena, batch, batch->rows));
        batch->rows++;
    }
out:
    return err;
}
