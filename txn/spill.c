/* txn/spill.c - see spill.h. */
#include "txn/spill.h"

#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "txn/overlay_index.h"
#include "txn/own.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum { AHEAD_BYTES_MIN = 16 << 10 };

size_t
spill_memory_max(const struct store *store)
{
    return (size_t)MIN(MAX(store->memory_bytes / TXN_MEMORY_SHARE, (uint64_t)TXN_MEMORY_BYTES_MIN),
                       (uint64_t)TXN_MEMORY_BYTES_MAX);
}

/* ---- Pieces. ---- */

static struct spill *
spill_new(struct lsm *lsm)
{
    struct spill *spill = MEM_NEW(MEM_SESSIONS, struct spill);

    spill->runs = lsm_runs_new(lsm);
    buf_init(&spill->low, MEM_SESSIONS);
    buf_init(&spill->high, MEM_SESSIONS);
    return spill;
}

void
spill_free(struct spill **pointer)
{
    struct spill *spill = *pointer;

    *pointer = NULL;
    if (spill == NULL) {
        return;
    }
    lsm_ingest_free(&spill->ingest);
    lsm_runs_free(&spill->runs);
    mem_free(MEM_SESSIONS, spill->pieces, spill->capacity * sizeof(spill->pieces[0]));
    buf_fini(&spill->low);
    buf_fini(&spill->high);
    MEM_FREE(MEM_SESSIONS, spill);
}

struct overlay_limit
spill_limit(const struct spill *spill, const struct overlay_mark *mark, uint32_t ops)
{
    struct overlay_limit limit = {.spills = mark->spills};

    if (mark->spills >= spill->count) {
        return (struct overlay_limit){.ops = MIN(mark->ops, ops), .spills = spill->count};
    }
    while (limit.spills < spill->count && spill->pieces[limit.spills].begun == mark->spills &&
           spill->pieces[limit.spills].ops_to <= mark->ops) {
        limit.spills++;
    }
    limit.ops = limit.spills == 0 ? 0 : spill->pieces[limit.spills - 1].kept_to;
    return limit;
}

const struct spill_piece *
spill_piece_of_run(const struct spill *spill, uint64_t run)
{
    uint32_t low = 0;
    uint32_t high = spill->count;

    while (low < high) { /* The first piece that reaches the run. */
        uint32_t middle = (low + high) / 2;

        if (spill->pieces[middle].runs_to < run) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    ASSERT(low < spill->count);
    return &spill->pieces[low];
}

static void
piece_push(struct spill *spill, struct spill_piece piece)
{
    if (spill->count == spill->capacity) {
        uint32_t capacity = MAX(8u, spill->capacity * 2);

        spill->pieces =
            mem_realloc(MEM_SESSIONS, spill->pieces, spill->capacity * sizeof(spill->pieces[0]),
                        capacity * sizeof(spill->pieces[0]));
        spill->capacity = capacity;
    }
    spill->pieces[spill->count++] = piece;
}

bool
spill_meets_reads(const struct spill *spill, struct reads *reads)
{
    return spill->low.size > 0 &&
           (reads_has_key(reads, buf_slice(&spill->high)) ||
            reads_has_range(reads, buf_slice(&spill->low), buf_slice(&spill->high)));
}

/* ---- Replacing the record. ---- */

/* From here on the overlay has `record`, with `ops` ops, none of which has a key. */
static void
record_replace(struct overlay *overlay, struct buf *record, uint32_t ops)
{
    struct store_batch *batch = &overlay->batch;
    struct overlay_mark at = {0};
    struct record_op op;

    overlay_large_drop(overlay);
    overlay_index_free(&overlay->index);
    buf_fini(&batch->record);
    batch->record = *record;
    buf_init(record, MEM_SESSIONS);
    batch->ops = ops;
    batch->large_count = 0;
    while (overlay_next_after(overlay, &at, &op)) {}
    overlay->range_deletes = at.range_deletes;
    overlay->counters = at.counters;
    overlay->cuts++;
}

/* Up to op number `ops`, as they stand. */
static void
record_copy(const struct overlay *overlay, uint32_t ops, struct buf *out)
{
    const struct buf *record = &overlay->batch.record;
    struct record_reader reader = overlay_ops_begin(overlay);
    struct record_op op;

    for (uint32_t i = 0; i < ops; i++) {
        err_t err = record_next(&reader, &op);

        ASSERT(err == ERR_OK);
    }
    buf_append(out, record->data, (size_t)(reader.at - record->data));
}

void
spill_cut(struct overlay *overlay, const struct overlay_mark *mark)
{
    struct spill *spill = overlay->spill;
    struct overlay_limit limit = overlay_limit(overlay, mark);
    struct buf record;

    buf_init(&record, MEM_SESSIONS);
    record_copy(overlay, limit.ops, &record);
    record_replace(overlay, &record, limit.ops);
    lsm_runs_cut(spill->runs, limit.spills == 0 ? 0 : spill->pieces[limit.spills - 1].runs_to);
    spill->count = limit.spills;
    spill->rows = limit.spills == 0 ? 0 : spill->pieces[limit.spills - 1].rows_to;
    spill->kept = limit.ops;
}

/* ---- Writing. ---- */

static int
border_compare(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a;
    uint32_t right = *(const uint32_t *)b;

    return (left > right) - (left < right);
}

static void
border_add(const struct overlay *overlay, const struct overlay_mark *mark, struct buf *borders)
{
    if (mark->spills == spill_count(overlay->spill) && mark->ops < overlay->batch.ops) {
        buf_append(borders, &mark->ops, sizeof(mark->ops));
    }
}

/* Where pieces end, rising; some perhaps more than once. */
static void
borders_find(const struct overlay *overlay, const struct overlay_mark *marks, uint32_t count,
             struct buf *borders)
{
    for (uint32_t i = 0; i < count; i++) {
        border_add(overlay, &marks[i], borders);
    }
    LIST_FOR_EACH(node, &overlay->viewers) {
        border_add(overlay, &LIST_ENTRY(node, struct own_iter, viewer)->memory.before, borders);
    }
    buf_append(borders, &overlay->batch.ops, sizeof(overlay->batch.ops));
    qsort(borders->data, borders->size / sizeof(uint32_t), sizeof(uint32_t), border_compare);
}

static void
bounds_widen(struct spill *spill, struct slice key)
{
    if (spill->low.size == 0 || slice_compare(key, buf_slice(&spill->low)) < 0) {
        buf_clear(&spill->low);
        buf_append(&spill->low, key.data, key.size);
    }
    if (slice_compare(key, buf_slice(&spill->high)) > 0) {
        buf_clear(&spill->high);
        buf_append(&spill->high, key.data, key.size);
    }
}

static struct lsm_entry
row_of(const struct record_op *op, bool is_pointer)
{
    return (struct lsm_entry){
        .key = op->key,
        .value = op->kind == RECORD_DELETE ? slice_of(NULL, 0) : op->value,
        .expire_us = op->expire_us,
        .slot = op->slot,
        .kind = op->kind == RECORD_DELETE ? LSM_DELETE
                : is_pointer              ? LSM_PUT_LARGE
                                          : LSM_PUT,
    };
}

/* The newest op of each key among numbers [from, to) becomes a run. */
static YIELDS err_t
run_write(struct overlay *overlay, uint32_t from, uint32_t to)
{
    struct spill *spill = overlay->spill;
    struct overlay_index *index = overlay_index_get(overlay);
    struct tree_position place = tree_first(overlay_index_keys(index));
    err_t err = ERR_OK;

    for (; tree_position_is_valid(place); tree_next(&place)) {
        struct record_op op;
        struct lsm_entry row;
        uint32_t offset;

        if (!overlay_index_op_since(index, overlay_key_at(place), from, to, &offset)) {
            continue;
        }
        overlay_op_at(overlay, offset, &op);
        row = row_of(&op, false);
        TRY(lsm_runs_add(spill->runs, &row));
        bounds_widen(spill, op.key);
        spill_note_slot(spill, op.slot);
        spill->rows++;
    }
    TRY(lsm_runs_end(spill->runs));
out:
    return err;
}

/* What cannot be a row: range deletes as they are, and the sum of each counter. */
struct keeping {
    struct buf *record;
    uint32_t ops;
    struct counter_kept {
        uint32_t counter;
        int64_t sum;
    } * sums;
    uint32_t count, capacity;
};

static void
counter_keep(struct keeping *keeping, const struct record_op *op)
{
    uint32_t i = 0;

    while (i < keeping->count && keeping->sums[i].counter != op->counter) {
        i++;
    }
    if (i == keeping->count) {
        if (keeping->count == keeping->capacity) {
            uint32_t capacity = MAX(8u, keeping->capacity * 2);

            keeping->sums = mem_realloc(MEM_SESSIONS, keeping->sums,
                                        keeping->capacity * sizeof(keeping->sums[0]),
                                        capacity * sizeof(keeping->sums[0]));
            keeping->capacity = capacity;
        }
        keeping->sums[keeping->count++] = (struct counter_kept){.counter = op->counter};
    }
    keeping->sums[i].sum = (int64_t)((uint64_t)keeping->sums[i].sum + (uint64_t)op->number);
}

static void
op_keep(struct keeping *keeping, const struct record_op *op)
{
    if (op->kind == RECORD_DELETE_RANGE) {
        record_append_delete_range(keeping->record, op->key, op->value);
        keeping->ops++;
    } else if (op->kind == RECORD_COUNTER_ADD) {
        counter_keep(keeping, op);
    }
}

static void
counters_keep(struct keeping *keeping)
{
    for (uint32_t i = 0; i < keeping->count; i++) {
        record_append_counter(keeping->record, keeping->sums[i].counter, keeping->sums[i].sum);
        keeping->ops++;
    }
    keeping->count = 0;
}

/* The pieces of the present record, and the record that follows. */
static YIELDS err_t
pieces_write(struct overlay *overlay, const struct buf *borders, struct keeping *keeping)
{
    struct spill *spill = overlay->spill;
    uint32_t begun = spill->count;
    const uint32_t *ends = (const uint32_t *)(const void *)borders->data;
    struct overlay_mark at = {0};
    struct record_op op;
    err_t err = ERR_OK;

    while (at.ops < spill->kept && overlay_next_after(overlay, &at, &op)) {}
    for (uint32_t i = 0; i < borders->size / sizeof(ends[0]); i++) {
        uint32_t from = at.ops;

        if (ends[i] <= from) {
            continue; /* Nothing was written since the border before. */
        }
        TRY(run_write(overlay, from, ends[i]));
        while (at.ops < ends[i] && overlay_next_after(overlay, &at, &op)) {
            op_keep(keeping, &op);
        }
        counters_keep(keeping);
        piece_push(spill, (struct spill_piece){.begun = begun,
                                               .ops_to = ends[i],
                                               .kept_to = keeping->ops,
                                               .runs_to = lsm_runs_count(spill->runs),
                                               .rows_to = spill->rows});
    }
    if (keeping->record->size > SPILL_KEPT_BYTES_MAX) {
        err = err_set(ERR_LIMIT, "the range deletes of a transaction exceed %d bytes",
                      SPILL_KEPT_BYTES_MAX);
    }
out:
    return err;
}

YIELDS err_t
spill_write(struct overlay *overlay, struct lsm *lsm, const struct overlay_mark *marks,
            uint32_t count)
{
    struct keeping keeping = {0};
    struct buf borders;
    struct buf record;
    uint32_t before = spill_count(overlay->spill);
    err_t err = ERR_OK;

    if (overlay->batch.ops == 0 || overlay->batch.error != ERR_OK) {
        return ERR_OK; /* Nothing to write, or a flush is about to tell the error. */
    }
    if (overlay->spill != NULL && overlay->spill->ingest != NULL) {
        return ERR_OK; /* All of it is in tables that the record names. */
    }
    if (overlay->spill == NULL) {
        overlay->spill = spill_new(lsm);
    }
    buf_init(&borders, MEM_SESSIONS);
    buf_init(&record, MEM_SESSIONS);
    borders_find(overlay, marks, count, &borders);
    record_copy(overlay, overlay->spill->kept, &record);
    keeping.record = &record;
    keeping.ops = overlay->spill->kept;
    err = pieces_write(overlay, &borders, &keeping);
    if (err == ERR_OK) {
        overlay->spill->kept = keeping.ops;
        record_replace(overlay, &record, keeping.ops);
    } else {
        overlay->spill->count = before;
        overlay->spill->rows = before == 0 ? 0 : overlay->spill->pieces[before - 1].rows_to;
        lsm_runs_cut(overlay->spill->runs,
                     before == 0 ? 0 : overlay->spill->pieces[before - 1].runs_to);
        if (before == 0) {
            spill_free(&overlay->spill);
        }
    }
    mem_free(MEM_SESSIONS, keeping.sums, keeping.capacity * sizeof(keeping.sums[0]));
    buf_fini(&borders);
    buf_fini(&record);
    return err;
}

/* ---- Committing. ---- */

static YIELDS err_t
merge_all(struct overlay *overlay, struct lsm_ingest *ingest)
{
    struct spill *spill = overlay->spill;
    uint32_t ahead = (uint32_t)spill_memory_max(txns_self()->store);
    uint32_t share = ahead / MAX(1u, lsm_runs_count(spill->runs));
    struct overlay_mark all = OVERLAY_ALL;
    struct own_iter iter;
    err_t err;

    own_iter_init(&iter, overlay, &all, MAX((uint32_t)AHEAD_BYTES_MIN, share / 2));
    TRY(own_iter_seek(&iter, slice_of(NULL, 0)));
    while (iter.key.size > 0) {
        struct lsm_entry row = row_of(&iter.op, iter.is_pointer);

        row.key = iter.key;
        if (!CANARY(SPILL_DELETES_LOST) || row.kind != LSM_DELETE) {
            TRY(lsm_ingest_add(ingest, &row));
        }
        bounds_widen(spill, iter.key);
        TRY(own_iter_step(&iter));
    }
    TRY(lsm_ingest_finish(ingest));
out:
    own_iter_fini(&iter);
    return err;
}

YIELDS err_t
spill_finish(struct overlay *overlay, struct lsm *lsm)
{
    struct spill *spill = overlay->spill;
    struct keeping keeping = {0};
    struct overlay_mark at = {0};
    struct lsm_ingest *ingest = NULL;
    struct record_op op;
    struct buf record;
    err_t err;

    if (spill == NULL || spill->ingest != NULL) {
        return ERR_OK;
    }
    buf_init(&record, MEM_SESSIONS);
    ingest = lsm_ingest_new(lsm);
    TRY(merge_all(overlay, ingest));
    record_copy(overlay, 0, &record);
    keeping.record = &record;
    while (overlay_next_after(overlay, &at, &op)) {
        op_keep(&keeping, &op);
    }
    counters_keep(&keeping);
    record_replace(overlay, &record, keeping.ops);
    spill->ingest = ingest;
    ingest = NULL;
    if (lsm_ingest_table_count(spill->ingest) > 0) {
        store_batch_ingest(&overlay->batch, spill->ingest);
    }
    err = overlay->batch.error == ERR_OK
              ? ERR_OK
              : err_set(overlay->batch.error, "%s", err_message(overlay->batch.error));
out:
    lsm_ingest_free(&ingest);
    mem_free(MEM_SESSIONS, keeping.sums, keeping.capacity * sizeof(keeping.sums[0]));
    buf_fini(&record);
    return err;
}

/* ---- Bulk loading. ---- */

struct spill *
spill_load_new(struct lsm *lsm)
{
    struct spill *spill = spill_new(lsm);

    spill->ingest = lsm_ingest_new(lsm);
    return spill;
}

err_t
spill_load_add(struct spill *spill, const struct lsm_entry *entry)
{
    err_t err;

    TRY(lsm_ingest_add(spill->ingest, entry));
    bounds_widen(spill, entry->key);
    spill_note_slot(spill, entry->slot);
    spill->rows++;
out:
    return err;
}

err_t
spill_load_end(struct spill *spill)
{
    return lsm_ingest_finish(spill->ingest);
}

void
overlay_load(struct overlay *overlay, struct spill **spill)
{
    ASSERT(overlay_is_empty(overlay));
    ASSERT((*spill)->ingest != NULL);
    overlay->spill = *spill;
    *spill = NULL;
    store_batch_ingest(&overlay->batch, overlay->spill->ingest);
}
