/* lsm/lsm_iter.c - scans: live entries at a snapshot.
 *
 * The iterator holds its snapshot, so the version it stands on is not collected under it, and it
 * pins memtables and tables. Forwards the merge stands on the current entry, of which nothing is
 * copied; the key is only when another version of it may follow. Backwards it stands
 * before all versions of the current key, which is a copy, because which version counts is known
 * only when all were seen. A change of direction seeks anew. */
#include "lsm/lsm_iter.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    STEPS_BEFORE_SEEK = 8, /* Over versions of a key that are too new. */
    STEPS_A_WORK_UNIT = 4, /* A step is about 25 ns. */
};

/* ---- Open and close. ---- */

static uint32_t
table_count(const struct version *version)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        count += version->levels[i].count;
    }
    return count;
}

static void
memtables_pin(struct lsm_iter *iter)
{
    struct lsm *lsm = iter->lsm;
    uint32_t at = 0;

    iter->memtable_count = lsm->frozen_count + 1;
    iter->memtables = mem_alloc(MEM_TABLES, iter->memtable_count * sizeof(iter->memtables[0]));
    memtable_pin(lsm->active);
    iter->memtables[at++] = lsm->active;
    for (struct memtable *frozen = lsm->frozen_newest; frozen != NULL; frozen = frozen->older) {
        memtable_pin(frozen);
        iter->memtables[at++] = frozen;
    }
    ASSERT(at == iter->memtable_count);
}

static void
source_add(struct lsm_iter *iter, struct range_source source)
{
    if (iter->source_count == iter->source_capacity) {
        uint32_t grown = iter->memtable_count + table_count(iter->version);

        ASSERT(iter->source_count < grown);
        iter->sources =
            mem_realloc(MEM_TABLES, iter->sources, iter->source_capacity * sizeof(iter->sources[0]),
                        grown * sizeof(iter->sources[0]));
        iter->source_capacity = grown;
    }
    iter->sources[iter->source_count++] = source;
}

/* A range delete that comes later is newer than the snapshot, so what is empty now may be left
 * out. */
static void
sources_collect(struct lsm_iter *iter)
{
    iter->source_count = 0;
    for (uint32_t i = 0; i < iter->memtable_count; i++) {
        if (!range_map_is_empty(&iter->memtables[i]->ranges)) {
            source_add(iter, (struct range_source){.map = &iter->memtables[i]->ranges});
        }
    }
    for (uint32_t i = 0; i < LSM_LEVELS && iter->version->range_deletes > 0; i++) {
        const struct level *level = &iter->version->levels[i];

        for (uint32_t k = 0; k < level->count; k++) {
            if (level->tables[k]->meta->range_deletes > 0) {
                source_add(iter, (struct range_source){.table = level->tables[k]});
            }
        }
    }
}

static void
children_add(struct lsm_iter *iter)
{
    const struct table_iter_options options = {.read_ahead_bytes = 0, .fill_cache = true};
    const struct version *version = iter->version;
    struct merge *merge = &iter->merge;

    merge_init(merge, iter->memtable_count + version->levels[0].count + LSM_LEVELS, &options);
    for (uint32_t i = 0; i < iter->memtable_count; i++) {
        merge_add_memtable(merge, iter->memtables[i]);
    }
    for (uint32_t i = 0; i < version->levels[0].count; i++) {
        merge_add_tables(merge, &version->levels[0].tables[i], 1);
    }
    for (uint32_t i = 1; i < LSM_LEVELS; i++) {
        if (version->levels[i].count > 0) {
            merge_add_tables(merge, version->levels[i].tables, version->levels[i].count);
        }
    }
}

/* Over the tree as it is, with neither bounds nor a snapshot. */
static struct lsm_iter *
iter_new(struct lsm *lsm)
{
    struct lsm_iter *iter = MEM_NEW(MEM_TABLES, struct lsm_iter);

    iter->magic = LSM_ITER_MAGIC;
    iter->lsm = lsm;
    buf_init(&iter->lower, MEM_TABLES);
    buf_init(&iter->upper, MEM_TABLES);
    buf_init(&iter->key, MEM_TABLES);
    buf_init(&iter->value, MEM_TABLES);
    buf_init(&iter->target, MEM_TABLES);
    iter->version = lsm->version;
    version_pin(iter->version);
    memtables_pin(iter);
    children_add(iter);
    return iter;
}

static void
iter_free(struct lsm_iter *iter)
{
    batch_rows_free(&iter->rows);
    merge_fini(&iter->merge);
    for (uint32_t i = 0; i < iter->memtable_count; i++) {
        memtable_unpin(&iter->memtables[i]);
    }
    mem_free(MEM_TABLES, iter->memtables, iter->memtable_count * sizeof(iter->memtables[0]));
    mem_free(MEM_TABLES, iter->sources, iter->source_capacity * sizeof(iter->sources[0]));
    version_unpin(&iter->version);
    buf_fini(&iter->lower);
    buf_fini(&iter->upper);
    buf_fini(&iter->key);
    buf_fini(&iter->value);
    buf_fini(&iter->target);
    iter->magic = 0;
    MEM_FREE(MEM_TABLES, iter);
}

void
lsm_iter_spare_drop(struct lsm *lsm)
{
    struct lsm_iter *iter = lsm->iter_spare;

    lsm->iter_spare = NULL;
    if (iter != NULL) {
        iter_free(iter);
    }
}

/* Does it stand on the present memtables and tables? */
static bool
iter_is_current(const struct lsm_iter *iter)
{
    const struct lsm *lsm = iter->lsm;

    return iter->version == lsm->version && iter->memtables[0] == lsm->active &&
           iter->memtable_count == lsm->frozen_count + 1;
}

static void
iter_begin(struct lsm_iter *iter, struct slice lower, struct slice upper, uint64_t snapshot)
{
    iter->snapshot = snapshot;
    snapshots_take(&iter->lsm->snapshots, snapshot, &iter->held);
    buf_clear(&iter->lower);
    buf_append(&iter->lower, lower.data, lower.size);
    buf_clear(&iter->upper);
    buf_append(&iter->upper, upper.data, upper.size);
    iter->has_upper = upper.size > 0;
    iter->upper_head = merge_head_of(upper);
    merge_limit(&iter->merge, buf_slice(&iter->lower), buf_slice(&iter->upper), iter->has_upper);
    sources_collect(iter);
    iter->has_cover = false;
    memset(&iter->cover, 0, sizeof(iter->cover));
    iter->state = ITER_NOWHERE;
    iter->current = NULL;
    /* Ingested tables which the log may still lose: as if rows of all of them had been passed. */
    iter->lsn = iter->lsm->settle_count > 0 ? iter->lsm->settle_lsn : 0;
}

YIELDS err_t
lsm_iter_open(struct lsm *lsm, struct slice lower, struct slice upper, uint64_t snapshot,
              struct lsm_iter **iter_out)
{
    struct lsm_iter *iter = lsm->iter_spare;

    OBJ_CHECK(lsm, LSM_MAGIC);
    if (snapshot < lsm->snapshots.horizon && !snapshots_hold(&lsm->snapshots, snapshot)) {
        return err_set(ERR_SNAPSHOT_TOO_OLD,
                       "the snapshot %llu lies before the horizon %llu and is not held",
                       (unsigned long long)snapshot, (unsigned long long)lsm->snapshots.horizon);
    }
    if (iter != NULL && iter_is_current(iter)) {
        lsm->iter_spare = NULL;
    } else {
        lsm_iter_spare_drop(lsm);
        iter = iter_new(lsm);
    }
    iter_begin(iter, lower, upper, snapshot);
    lsm->iterators++;
    *iter_out = iter;
    return ERR_OK;
}

void
lsm_iter_close(struct lsm_iter **pointer)
{
    struct lsm_iter *iter = *pointer;
    struct lsm *lsm;

    *pointer = NULL;
    if (iter == NULL) {
        return;
    }
    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    lsm = iter->lsm;
    lsm->iterators--;
    snapshots_drop(&iter->held);
    batch_rows_release(iter->rows);
    if (lsm->iter_spare == NULL && !lsm->is_closing && iter_is_current(iter)) {
        merge_release(&iter->merge);
        lsm->iter_spare = iter;
    } else {
        iter_free(iter);
    }
}

/* ---- Range deletes. ---- */

/* As range_map_find. The range deletes of a table of ours are disjoint pieces in order; those of
 * one piece stand together, newest first. */
static void
table_cover(const struct lsm_table *table, struct slice key, uint64_t snapshot,
            struct range_cover *cover)
{
    uint32_t count = table_range_delete_count(table->table);
    uint32_t low = 0;
    uint32_t high = count;
    struct lsm_range_delete range;

    memset(cover, 0, sizeof(*cover));
    while (low < high) { /* The first range that ends behind the key. */
        uint32_t middle = (low + high) / 2;

        if (slice_compare(table_range_delete_at(table->table, middle).end, key) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low > 0) {
        cover->low = table_range_delete_at(table->table, low - 1).end;
    }
    if (low == count) {
        cover->high_is_open = true;
        return;
    }
    range = table_range_delete_at(table->table, low);
    if (slice_compare(range.start, key) > 0) {
        cover->high = range.start;
        return;
    }
    cover->low = range.start;
    cover->high = range.end;
    for (uint32_t i = low; i < count && slice_compare(range.start, key) <= 0; i++) {
        if (range.ts <= snapshot) {
            cover->ts = range.ts;
            return;
        }
        range = table_range_delete_at(table->table, MIN(i + 1, count - 1));
    }
}

static void
cover_narrow(struct range_cover *cover, const struct range_cover *by)
{
    if (slice_compare(by->low, cover->low) > 0) {
        cover->low = by->low;
    }
    if (!by->high_is_open && (cover->high_is_open || slice_compare(by->high, cover->high) < 0)) {
        cover->high = by->high;
        cover->high_is_open = false;
    }
    if (by->ts > cover->ts) {
        cover->ts = by->ts;
        cover->lsn = by->lsn;
    }
}

/* Make iter->cover the one of the key. */
static void
cover_find(struct lsm_iter *iter, struct slice key)
{
    struct range_cover one;

    if (iter->has_cover && slice_compare(key, iter->cover.low) >= 0 &&
        (iter->cover.high_is_open || slice_compare(key, iter->cover.high) < 0)) {
        return;
    }
    memset(&iter->cover, 0, sizeof(iter->cover));
    iter->cover.high_is_open = true;
    iter->has_cover = true;
    for (uint32_t i = 0; i < iter->source_count; i++) {
        if (iter->sources[i].map != NULL) {
            range_map_find(iter->sources[i].map, &iter->sources[i].cursor, key, iter->snapshot,
                           &one);
        } else {
            table_cover(iter->sources[i].table, key, iter->snapshot, &one);
        }
        cover_narrow(&iter->cover, &one);
    }
}

/* ---- Moving. ---- */

static inline void
step_count(struct lsm_iter *iter)
{
    if (++iter->work >= STEPS_A_WORK_UNIT) {
        iter->work = 0;
        fiber_work(1);
    }
}

static inline void
key_copy(struct lsm_iter *iter, struct slice key)
{
    buf_clear(&iter->key);
    buf_append(&iter->key, key.data, key.size);
}

void
lsm_iter_skipped(struct lsm_iter *iter, const struct merge_child *child, struct lsm_table *table,
                 uint64_t steps)
{
    if (child->kind == MERGE_LEVEL) {
        lsm_scan_skipped(iter->lsm, table, steps);
    } else if (child->memtable_iter.memtable == iter->lsm->active) {
        lsm_scan_skipped(iter->lsm, NULL, steps);
    }
}

/* From the version of a key that decides to the next key. is_gone: there was no value. */
static inline YIELDS err_t
key_leave(struct lsm_iter *iter, bool is_gone)
{
    const struct lsm_entry *entry = merge_entry(&iter->merge);
    const struct merge_child *child = iter->merge.heap[0].child;
    struct lsm_table *table = NULL;
    merge_head head = iter->merge.heap[0].head;
    uint32_t steps = 0;
    err_t err;

    if (merge_next_is_other_key(&iter->merge)) {
        if (is_gone) {
            lsm_iter_skipped(iter, child, merge_table(&iter->merge), 1);
        }
        TRY(merge_step(&iter->merge));
        step_count(iter);
        return ERR_OK;
    }
    table = merge_table(&iter->merge);
    key_copy(iter, entry->key);
    do {
        TRY(merge_step(&iter->merge));
        step_count(iter);
        steps++;
        entry = merge_entry(&iter->merge);
    } while (entry != NULL && iter->merge.heap[0].head == head &&
             slice_equal(entry->key, buf_slice(&iter->key)));
    /* What a memtable supersedes by values is no reason to flush it. */
    if (is_gone || (steps > 1 && table != NULL)) {
        lsm_iter_skipped(iter, child, table, steps - !is_gone);
    }
out:
    return err;
}

/* The current entry is newer than the snapshot. */
static YIELDS err_t
too_new_skip(struct lsm_iter *iter)
{
    const struct lsm_entry *entry = merge_entry(&iter->merge);
    err_t err = ERR_OK;

    key_copy(iter, entry->key);
    for (uint32_t steps = 0; entry != NULL && entry->ts > iter->snapshot &&
                             slice_equal(entry->key, buf_slice(&iter->key));
         steps++) {
        if (steps < STEPS_BEFORE_SEEK) {
            TRY(merge_step(&iter->merge));
        } else {
            TRY(merge_seek_child(&iter->merge, buf_slice(&iter->key), iter->snapshot));
        }
        step_count(iter);
        entry = merge_entry(&iter->merge);
    }
out:
    return err;
}

/* The current entry is under iter->cover: on to what it does not hide. */
static YIELDS err_t
hidden_skip(struct lsm_iter *iter)
{
    const struct merge_skip skip = {.low = iter->cover.low,
                                    .high = iter->cover.high,
                                    .high_is_open = iter->cover.high_is_open,
                                    .ts = iter->cover.ts};
    err_t err;

    iter->lsn = MAX(iter->lsn, iter->cover.lsn);
    TRY(merge_skip_hidden(&iter->merge, &skip));
    step_count(iter);
out:
    return err;
}

/* Does the merge, which goes forward, stand at or behind the upper bound? */
static inline bool
is_at_upper(const struct lsm_iter *iter)
{
    const struct merge_node *top = &iter->merge.heap[0];

    if (__builtin_expect(!iter->has_upper || top->head < iter->upper_head, 1)) {
        return false;
    }
    return top->head > iter->upper_head ||
           slice_compare(top->entry->key, buf_slice(&iter->upper)) >= 0;
}

YIELDS err_t
lsm_iter_settle(struct lsm_iter *iter)
{
    const struct lsm_entry *entry;
    err_t err = ERR_OK;

    iter->state = ITER_FORWARD;
    while ((entry = merge_entry(&iter->merge)) != NULL) {
        if (is_at_upper(iter)) {
            break;
        }
        if (__builtin_expect(entry->ts > iter->snapshot, 0)) {
            TRY(too_new_skip(iter));
            continue;
        }
        iter->lsn = MAX(iter->lsn, entry->lsn);
        if (iter->source_count > 0) {
            cover_find(iter, entry->key);
            if (iter->cover.ts > entry->ts) {
                TRY(hidden_skip(iter));
                continue;
            }
        }
        if (__builtin_expect(lsm_iter_sees(iter, entry), 1)) {
            iter->current = entry;
            break;
        }
        TRY(key_leave(iter, true));
    }
out:
    return err;
}

/* All versions of the key that the merge stands on are passed; the newest that the snapshot sees
 * is copied to iter->entry. */
static YIELDS err_t
backward_key_take(struct lsm_iter *iter, bool *found_out)
{
    const struct lsm_entry *entry = merge_entry(&iter->merge);
    const struct merge_child *child = NULL; /* That has it, */
    struct lsm_table *table = NULL;         /* in this table. */
    uint32_t steps = 0;
    err_t err = ERR_OK;

    *found_out = false;
    key_copy(iter, entry->key);
    while (entry != NULL && slice_equal(entry->key, buf_slice(&iter->key))) {
        if (entry->ts <= iter->snapshot) {
            *found_out = true;
            child = iter->merge.heap[0].child;
            table = merge_table(&iter->merge);
            steps++;
            iter->entry = *entry;
            buf_clear(&iter->value);
            buf_append(&iter->value, entry->value.data, entry->value.size);
        }
        TRY(merge_step(&iter->merge));
        step_count(iter);
        entry = merge_entry(&iter->merge);
    }
    iter->entry.key = buf_slice(&iter->key);
    iter->entry.value = buf_slice(&iter->value);
    if (steps > 0 && !lsm_iter_sees(iter, &iter->entry)) {
        lsm_iter_skipped(iter, child, table, steps);
    } else if (steps > 1 && table != NULL) {
        lsm_iter_skipped(iter, child, table, steps - 1);
    }
out:
    return err;
}

static YIELDS err_t
backward_find(struct lsm_iter *iter)
{
    const struct lsm_entry *entry;
    err_t err = ERR_OK;

    iter->state = ITER_BACKWARD;
    while ((entry = merge_entry(&iter->merge)) != NULL) {
        bool found;

        if (slice_compare(entry->key, buf_slice(&iter->lower)) < 0) {
            break;
        }
        cover_find(iter, entry->key);
        if (entry->ts < iter->cover.ts) {
            TRY(hidden_skip(iter));
            continue;
        }
        TRY(backward_key_take(iter, &found));
        if (!found) {
            continue;
        }
        iter->lsn = MAX(iter->lsn, iter->entry.lsn);
        if (lsm_iter_sees(iter, &iter->entry)) {
            iter->current = &iter->entry;
            break;
        }
    }
out:
    return err;
}

static void
iter_begin_move(struct lsm_iter *iter)
{
    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    iter->current = NULL;
}

err_t
lsm_iter_failed(struct lsm_iter *iter, err_t err)
{
    iter->current = NULL;
    iter->state = ITER_NOWHERE;
    return err;
}

static inline err_t
iter_end_move(struct lsm_iter *iter, err_t err)
{
    return __builtin_expect(err == ERR_OK, 1) ? ERR_OK : lsm_iter_failed(iter, err);
}

/* The key may be the current entry's, which goes as soon as the first child moves. */
static struct slice
target_copy(struct lsm_iter *iter, struct slice key)
{
    buf_clear(&iter->target);
    buf_append(&iter->target, key.data, key.size);
    return buf_slice(&iter->target);
}

YIELDS err_t
lsm_iter_seek(struct lsm_iter *iter, struct slice key)
{
    err_t err;

    iter_begin_move(iter);
    if (slice_compare(key, buf_slice(&iter->lower)) < 0) {
        key = buf_slice(&iter->lower);
    } else {
        key = target_copy(iter, key);
    }
    TRY(merge_seek(&iter->merge, key, iter->snapshot));
    TRY(lsm_iter_settle(iter));
out:
    return iter_end_move(iter, err);
}

YIELDS err_t
lsm_iter_first(struct lsm_iter *iter)
{
    return lsm_iter_seek(iter, buf_slice(&iter->lower));
}

YIELDS err_t
lsm_iter_seek_before(struct lsm_iter *iter, struct slice key)
{
    err_t err;

    iter_begin_move(iter);
    if (iter->has_upper && slice_compare(key, buf_slice(&iter->upper)) > 0) {
        key = buf_slice(&iter->upper);
    } else {
        key = target_copy(iter, key);
    }
    TRY(merge_seek_before(&iter->merge, key));
    TRY(backward_find(iter));
out:
    return iter_end_move(iter, err);
}

YIELDS err_t
lsm_iter_last(struct lsm_iter *iter)
{
    err_t err;

    if (iter->has_upper) {
        return lsm_iter_seek_before(iter, buf_slice(&iter->upper));
    }
    iter_begin_move(iter);
    TRY(merge_seek_last(&iter->merge));
    TRY(backward_find(iter));
out:
    return iter_end_move(iter, err);
}

YIELDS err_t
lsm_iter_next(struct lsm_iter *iter)
{
    enum iter_state state = iter->state;
    err_t err;

    ASSERT(iter->current != NULL);
    iter_begin_move(iter);
    if (state == ITER_FORWARD) {
        TRY(key_leave(iter, false));
    } else {
        /* Behind the oldest version of the current key. */
        TRY(merge_seek(&iter->merge, buf_slice(&iter->key), 0));
    }
    TRY(lsm_iter_settle(iter));
out:
    return iter_end_move(iter, err);
}

YIELDS err_t
lsm_iter_previous(struct lsm_iter *iter)
{
    enum iter_state state = iter->state;
    err_t err = ERR_OK;

    ASSERT(iter->current != NULL);
    if (state != ITER_BACKWARD) {
        key_copy(iter, iter->current->key); /* The merge takes it away while it seeks. */
    }
    iter_begin_move(iter);
    if (state != ITER_BACKWARD) {
        TRY(merge_seek_before(&iter->merge, buf_slice(&iter->key)));
    }
    TRY(backward_find(iter));
out:
    return iter_end_move(iter, err);
}

/* ---- Looking. ---- */

bool
lsm_iter_is_valid(const struct lsm_iter *iter)
{
    return iter->current != NULL;
}

const struct lsm_entry *
lsm_iter_entry(const struct lsm_iter *iter)
{
    ASSERT(iter->current != NULL);
    return iter->current;
}

YIELDS err_t
lsm_iter_value(struct lsm_iter *iter, struct arena *arena, struct slice *value_out)
{
    ASSERT(iter->current != NULL);
    if (iter->current->kind == LSM_PUT_LARGE) {
        return lsm_large_read(iter->lsm, iter->current->value, arena, value_out);
    }
    *value_out = arena_copy(arena, iter->current->value);
    return ERR_OK;
}

uint64_t
lsm_iter_lsn(const struct lsm_iter *iter)
{
    return iter->lsn;
}
