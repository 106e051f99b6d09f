/* query/exec/partition.h - rows that wait in temporary files, parted by the hash of their keys.
 *
 * A hash table that is full takes no new keys: rows with others go to parts, each of which is a
 * job for later, with a table of its own, and may be parted again at a greater depth. Rows with
 * equal keys are always in one part. */
#pragma once

#include "query/exec/exec.h"

enum {
    PARTS_MAX = 32,
    PARTS_MIN = 4,
    PARTS_DEPTH_MAX = 8, /* At this depth a table may grow beyond work_mem. */
};

/* Streams of rows that belong together: the left side's and the right side's of a join. */
enum { PART_LEFT, PART_RIGHT, PART_SIDES };

struct part_job {
    struct tape tapes[PART_SIDES];
    uint32_t depth;
};

struct parts {
    struct exec *exec;
    struct spill_file *file; /* NULL: nothing has been written. */
    uint32_t depth;          /* Of the job that runs. */
    uint32_t count;          /* Of its parts; 0: it has none. */
    struct part_job *open;   /* They. */
    struct part_job *jobs;   /* To be done, the last first. */
    uint32_t job_count, job_capacity;
    uint32_t jobs_ended;
    struct part_job job; /* That runs; depth 0: the operator's own input. */
    struct tape_reader reader;
    bool is_reading;
    struct buf record;
};

void parts_init(struct parts *parts, struct exec *exec);
void parts_fini(struct parts *parts);
/* Has the job that runs parts? */
static inline bool
parts_are_open(const struct parts *parts)
{
    return parts->count > 0;
}
/* May it have some? */
static inline bool
parts_may_open(const struct parts *parts)
{
    return parts->count > 0 || parts->depth < PARTS_DEPTH_MAX;
}
/* Opens them if they are not. The record goes to the part of the key. */
YIELDS err_t parts_add(struct parts *parts, uint32_t side, struct slice key, struct slice record);
/* The job is done; its parts become jobs, and the next one begins. *has_job_out false: there is
 * none. Those for which `wants` says no are left out (NULL: only those without rows). */
YIELDS err_t parts_next(struct parts *parts, bool (*wants)(void *arg, const struct part_job *job),
                        void *arg, bool *has_job_out);
/* Begins to read a side of the job; then record by record. */
void parts_read_begin(struct parts *parts, uint32_t side);
YIELDS err_t parts_read(struct parts *parts, struct slice *record_out, bool *is_end_out);
/* Up to BATCH_ROWS_MAX rows that were written with spill_batch_row_put; 0 rows at the end. */
YIELDS err_t parts_read_batch(struct parts *parts, const struct plan_column *columns,
                              uint32_t count, struct arena *arena, struct batch *batch);
