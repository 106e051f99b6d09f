/* lsm/runs.c - see runs.h. */
#include "lsm/runs.h"

#include "engine/base/assert.h"
#include "lsm/ingest.h"
#include "lsm/internal.h"

#include "engine/base/poison.h"

struct lsm_runs {
    struct lsm *lsm;
    struct lsm_ingest *building; /* NULL: none. */
    struct lsm_ingest **runs;
    uint32_t count, capacity;
};

struct lsm_runs_iter {
    struct merge merge;
    struct lsm_table **tables; /* Of all runs, one run after the other; pinned. */
    uint32_t table_count;
    bool is_up;
    bool is_valid;
    struct lsm_entry entry; /* Of the copies below. */
    struct buf key, value;
};

/* ---- Runs. ---- */

struct lsm_runs *
lsm_runs_new(struct lsm *lsm)
{
    struct lsm_runs *runs = MEM_NEW(MEM_BACKGROUND, struct lsm_runs);

    runs->lsm = lsm;
    return runs;
}

YIELDS void
lsm_runs_free(struct lsm_runs **pointer)
{
    struct lsm_runs *runs = *pointer;

    *pointer = NULL;
    if (runs == NULL) {
        return;
    }
    lsm_ingest_free(&runs->building);
    lsm_runs_cut(runs, 0);
    mem_free(MEM_BACKGROUND, runs->runs, runs->capacity * sizeof(runs->runs[0]));
    MEM_FREE(MEM_BACKGROUND, runs);
}

YIELDS err_t
lsm_runs_add(struct lsm_runs *runs, const struct lsm_entry *entry)
{
    err_t err;

    if (runs->building == NULL) {
        if (runs->count == LSM_RUNS_MAX) {
            return err_set(ERR_LIMIT,
                           "a transaction was written to disk in %d pieces: use fewer savepoints, "
                           "or commit more often",
                           LSM_RUNS_MAX);
        }
        runs->building = lsm_ingest_new(runs->lsm);
    }
    err = lsm_ingest_add(runs->building, entry);
    if (err != ERR_OK) {
        lsm_ingest_free(&runs->building);
    }
    return err;
}

YIELDS err_t
lsm_runs_end(struct lsm_runs *runs)
{
    uint32_t tables = 0;
    err_t err;

    if (runs->building == NULL) {
        return ERR_OK;
    }
    TRY(lsm_ingest_finish(runs->building));
    for (uint32_t i = 0; i < lsm_ingest_table_count(runs->building); i++) {
        table_stamp(lsm_ingest_table(runs->building, i)->table, runs->count + 1);
        tables++;
    }
    ASSERT(tables > 0);
    if (runs->count == runs->capacity) {
        uint32_t capacity = MAX(8u, runs->capacity * 2);

        runs->runs = mem_realloc(MEM_BACKGROUND, runs->runs, runs->capacity * sizeof(runs->runs[0]),
                                 capacity * sizeof(runs->runs[0]));
        runs->capacity = capacity;
    }
    runs->runs[runs->count++] = runs->building;
    runs->building = NULL;
out:
    lsm_ingest_free(&runs->building);
    return err;
}

uint32_t
lsm_runs_count(const struct lsm_runs *runs)
{
    return runs->count;
}

YIELDS void
lsm_runs_cut(struct lsm_runs *runs, uint32_t count)
{
    while (runs->count > count) {
        lsm_ingest_free(&runs->runs[--runs->count]);
    }
}

uint64_t
lsm_runs_bytes(const struct lsm_runs *runs)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < runs->count; i++) {
        for (uint32_t k = 0; k < lsm_ingest_table_count(runs->runs[i]); k++) {
            bytes += lsm_ingest_table(runs->runs[i], k)->meta->file_bytes;
        }
    }
    return bytes;
}

/* ---- One key. ---- */

/* The table of the run that may have the key; NULL: none. */
static struct lsm_table *
table_for(const struct lsm_ingest *run, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = lsm_ingest_table_count(run);

    while (low < high) { /* The first table that ends at or behind the key. */
        uint32_t middle = (low + high) / 2;

        if (slice_compare(lsm_ingest_table(run, middle)->meta->largest, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == lsm_ingest_table_count(run) ||
        slice_compare(lsm_ingest_table(run, low)->meta->smallest, key) > 0) {
        return NULL;
    }
    return lsm_ingest_table(run, low);
}

YIELDS err_t
lsm_runs_get(const struct lsm_runs *runs, struct slice key, uint32_t limit, struct arena *arena,
             struct lsm_entry *entry_out, bool *found_out)
{
    uint64_t hash = table_key_hash(key);
    err_t err = ERR_OK;

    ASSERT(limit <= runs->count);
    *found_out = false;
    for (uint32_t i = limit; i > 0 && !*found_out; i--) {
        struct lsm_table *table = table_for(runs->runs[i - 1], key);

        if (table != NULL) {
            TRY(table_get(table->table, key, hash, LSM_TS_MAX, arena, entry_out, found_out));
        }
    }
out:
    return err;
}

YIELDS err_t
lsm_runs_value(struct lsm *lsm, const struct lsm_entry *entry, struct arena *arena,
               struct slice *value_out)
{
    if (entry->kind == LSM_PUT_LARGE) {
        return lsm_large_read(lsm, entry->value, arena, value_out);
    }
    *value_out = arena_copy(arena, entry->value);
    return ERR_OK;
}

/* ---- In order. ---- */

struct lsm_runs_iter *
lsm_runs_iter_new(const struct lsm_runs *runs, uint32_t limit, uint32_t ahead_bytes)
{
    const struct table_iter_options options = {.read_ahead_bytes = ahead_bytes,
                                               .fill_cache = ahead_bytes == 0};
    struct lsm_runs_iter *iter = MEM_NEW(MEM_BACKGROUND, struct lsm_runs_iter);
    uint32_t at = 0;

    ASSERT(limit <= runs->count);
    buf_init(&iter->key, MEM_BACKGROUND);
    buf_init(&iter->value, MEM_BACKGROUND);
    for (uint32_t i = 0; i < limit; i++) {
        iter->table_count += lsm_ingest_table_count(runs->runs[i]);
    }
    iter->tables = mem_alloc(MEM_BACKGROUND, iter->table_count * sizeof(iter->tables[0]));
    merge_init(&iter->merge, limit, &options);
    for (uint32_t i = 0; i < limit; i++) {
        uint32_t count = lsm_ingest_table_count(runs->runs[i]);

        for (uint32_t k = 0; k < count; k++) {
            iter->tables[at + k] = lsm_ingest_table(runs->runs[i], k);
            lsm_table_pin(iter->tables[at + k]);
        }
        merge_add_tables(&iter->merge, &iter->tables[at], count);
        at += count;
    }
    return iter;
}

void
lsm_runs_iter_free(struct lsm_runs_iter **pointer)
{
    struct lsm_runs_iter *iter = *pointer;

    *pointer = NULL;
    if (iter == NULL) {
        return;
    }
    merge_fini(&iter->merge);
    for (uint32_t i = 0; i < iter->table_count; i++) {
        lsm_table_unpin(iter->tables[i]);
    }
    mem_free(MEM_BACKGROUND, iter->tables, iter->table_count * sizeof(iter->tables[0]));
    buf_fini(&iter->key);
    buf_fini(&iter->value);
    MEM_FREE(MEM_BACKGROUND, iter);
}

static void
entry_take(struct lsm_runs_iter *iter, const struct lsm_entry *entry)
{
    buf_clear(&iter->value);
    buf_append(&iter->value, entry->value.data, entry->value.size);
    iter->entry = *entry;
    iter->entry.key = buf_slice(&iter->key);
    iter->entry.value = buf_slice(&iter->value);
}

/* All versions of the key that the merge stands on are passed, and the newest is copied: upwards it
 * comes first, downwards last. */
static YIELDS err_t
iter_take(struct lsm_runs_iter *iter)
{
    const struct lsm_entry *entry = merge_entry(&iter->merge);
    bool is_first = true;
    err_t err = ERR_OK;

    iter->is_valid = false;
    if (entry == NULL) {
        return ERR_OK;
    }
    buf_clear(&iter->key);
    buf_append(&iter->key, entry->key.data, entry->key.size);
    while (entry != NULL && slice_equal(entry->key, buf_slice(&iter->key))) {
        if (is_first || !iter->is_up) {
            entry_take(iter, entry);
        }
        is_first = false;
        TRY(merge_step(&iter->merge));
        fiber_work(1);
        entry = merge_entry(&iter->merge);
    }
    iter->is_valid = true;
out:
    return err;
}

YIELDS err_t
lsm_runs_iter_seek(struct lsm_runs_iter *iter, struct slice key)
{
    err_t err;

    iter->is_up = true;
    iter->is_valid = false;
    TRY(merge_seek(&iter->merge, key, LSM_TS_MAX));
    TRY(iter_take(iter));
out:
    return err;
}

YIELDS err_t
lsm_runs_iter_seek_before(struct lsm_runs_iter *iter, struct slice key)
{
    err_t err;

    iter->is_up = false;
    iter->is_valid = false;
    TRY(key.size == 0 ? merge_seek_last(&iter->merge) : merge_seek_before(&iter->merge, key));
    TRY(iter_take(iter));
out:
    return err;
}

YIELDS err_t
lsm_runs_iter_step(struct lsm_runs_iter *iter)
{
    ASSERT(iter->is_valid);
    return iter_take(iter);
}

const struct lsm_entry *
lsm_runs_iter_entry(const struct lsm_runs_iter *iter)
{
    return iter->is_valid ? &iter->entry : NULL;
}
