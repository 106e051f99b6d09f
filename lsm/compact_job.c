/* lsm/compact_job.c - what a compaction consists of and what keeps several apart. See compact.h. */
#include "lsm/internal.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* ---- Bounds. ---- */

void
key_bounds_add(struct key_bounds *bounds, const struct table_meta *meta)
{
    int order;

    if (bounds->is_empty) {
        *bounds = (struct key_bounds){.low = meta->smallest,
                                      .high = meta->largest,
                                      .high_is_exclusive = meta->largest_is_exclusive};
        return;
    }
    if (slice_compare(meta->smallest, bounds->low) < 0) {
        bounds->low = meta->smallest;
    }
    order = slice_compare(meta->largest, bounds->high);
    if (order > 0 || (order == 0 && !meta->largest_is_exclusive)) {
        bounds->high = meta->largest;
        bounds->high_is_exclusive = meta->largest_is_exclusive;
    }
}

struct key_bounds
key_bounds_of(struct lsm_table *const *tables, uint32_t count)
{
    struct key_bounds bounds = {.is_empty = true};

    for (uint32_t i = 0; i < count; i++) {
        key_bounds_add(&bounds, tables[i]->meta);
    }
    return bounds;
}

/* Does a end before b begins? */
static bool
bounds_end_before(const struct key_bounds *a, const struct key_bounds *b)
{
    int order = slice_compare(a->high, b->low);

    return order < 0 || (order == 0 && a->high_is_exclusive);
}

bool
key_bounds_overlap(const struct key_bounds *a, const struct key_bounds *b)
{
    return !a->is_empty && !b->is_empty && !bounds_end_before(a, b) && !bounds_end_before(b, a);
}

uint32_t
level_overlap(const struct level *level, const struct key_bounds *bounds, uint32_t *first_out)
{
    uint32_t first = level_find(level, bounds->low);
    uint32_t end = first;

    while (end < level->count && table_meta_overlaps(level->tables[end]->meta, bounds->low,
                                                     bounds->high, bounds->high_is_exclusive)) {
        end++;
    }
    *first_out = first;
    return end - first;
}

/* ---- What is taken. ---- */

bool
compact_is_taken(const struct lsm_table *table)
{
    return table->is_shunned || table->busy_with != NULL;
}

bool
compact_any_taken(struct lsm_table *const *tables, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (compact_is_taken(tables[i])) {
            return true;
        }
    }
    return false;
}

bool
compact_conflicts(const struct lsm *lsm, uint32_t level, const struct key_bounds *bounds)
{
    if (level == 0) {
        return false;
    }
    LIST_FOR_EACH(node, &lsm->running) {
        const struct compaction *job = LIST_ENTRY(node, struct compaction, link);

        if (job->output_level == level && !job->is_drop &&
            key_bounds_overlap(&job->bounds, bounds)) {
            return true;
        }
    }
    return false;
}

bool
compact_writes_into(const struct lsm *lsm, uint32_t level, struct slice low, struct slice high)
{
    const struct key_bounds bounds = {.low = low, .high = high};

    return compact_conflicts(lsm, level, &bounds);
}

/* ---- Jobs. ---- */

void
compaction_init(struct compaction *job)
{
    memset(job, 0, sizeof(*job));
    list_init(&job->link);
    job->bounds.is_empty = true;
}

void
compaction_add_inputs(struct compaction *job, uint32_t which, struct lsm_table *const *tables,
                      uint32_t count)
{
    size_t bytes = count * sizeof(tables[0]);

    ASSERT(job->inputs[which] == NULL);
    job->inputs[which] = mem_alloc(MEM_BACKGROUND, bytes);
    job->counts[which] = count;
    if (count > 0) {
        memcpy(job->inputs[which], tables, bytes);
    }
    for (uint32_t i = 0; i < count; i++) {
        ASSERT(tables[i]->busy_with == NULL);
        lsm_table_pin(tables[i]);
        tables[i]->busy_with = job;
        key_bounds_add(&job->bounds, tables[i]->meta);
        job->bytes += tables[i]->meta->file_bytes;
    }
}

void
compaction_fini(struct compaction *job)
{
    ASSERT(list_is_empty(&job->link)); /* Does not run any more. */
    for (uint32_t which = 0; which < COMPACT_INPUTS; which++) {
        for (uint32_t i = 0; i < job->counts[which]; i++) {
            job->inputs[which][i]->busy_with = NULL;
            lsm_table_unpin(job->inputs[which][i]);
        }
        mem_free(MEM_BACKGROUND, job->inputs[which],
                 job->counts[which] * sizeof(job->inputs[which][0]));
    }
    compaction_init(job);
}

/* One table, alone where it is and without anything below: it may move as it is, unless it
 * should be cut at a border of keyspaces on the way out of level 0. */
static bool
may_move(const struct lsm_table *table, uint32_t level)
{
    const struct table_meta *meta = table->meta;

    if (level > 0) {
        return true;
    }
    return meta->smallest.size >= LSM_KEYSPACE_BYTES && meta->largest.size >= LSM_KEYSPACE_BYTES &&
           memcmp(meta->smallest.data, meta->largest.data, LSM_KEYSPACE_BYTES) == 0;
}

bool
compaction_complete(struct lsm *lsm, struct compaction *job)
{
    const struct level *below = &lsm->version->levels[job->output_level];
    uint32_t first = 0;
    uint32_t count = 0;

    ASSERT(job->counts[0] > 0);
    if (job->output_level != job->level) {
        count = level_overlap(below, &job->bounds, &first);
    }
    if (compact_any_taken(below->tables + first, count)) {
        return false;
    }
    compaction_add_inputs(job, 1, count > 0 ? below->tables + first : NULL, count);
    job->is_move = job->output_level != job->level && job->counts[0] == 1 && count == 0 &&
                   may_move(job->inputs[0][0], job->level);
    return !compact_conflicts(lsm, job->output_level, &job->bounds);
}
