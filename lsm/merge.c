/* lsm/merge.c - see merge.h. */
#include "lsm/merge.h"

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "lsm/block_key.h"
#include "lsm/table_iter.h"

#include "engine/base/poison.h"

enum {
    /* A run's second table in a row is read ahead: this is a long scan. */
    READ_AHEAD_BYTES = 256 << 10,
    WORK_UNITS_PER_SKIP = 1,
};

void
merge_init(struct merge *merge, uint32_t children_max,
           const struct table_iter_options *table_options)
{
    memset(merge, 0, sizeof(*merge));
    merge->child_capacity = children_max;
    merge->children = mem_zalloc(MEM_TABLES, children_max * sizeof(merge->children[0]));
    merge->heap = mem_alloc(MEM_TABLES, children_max * sizeof(merge->heap[0]));
    merge->table_options = *table_options;
}

void
merge_release(struct merge *merge)
{
    merge->heap_count = 0;
    merge->runner_up = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        merge->children[i].entry = NULL;
    }
}

void
merge_limit(struct merge *merge, struct slice lower, struct slice upper, bool has_upper)
{
    merge->lower = lower;
    merge->upper = upper;
    merge->has_upper = has_upper;
}

void
merge_fini(struct merge *merge)
{
    for (uint32_t i = 0; i < merge->child_count; i++) {
        if (merge->children[i].kind == MERGE_MEMTABLE) {
            memtable_iter_fini(&merge->children[i].memtable_iter);
        }
        if (merge->children[i].table_iter != NULL) {
            table_iter_free(&merge->children[i].table_iter);
        }
    }
    mem_free(MEM_TABLES, merge->children, merge->child_capacity * sizeof(merge->children[0]));
    mem_free(MEM_TABLES, merge->heap, merge->child_capacity * sizeof(merge->heap[0]));
    memset(merge, 0, sizeof(*merge));
}

static struct merge_child *
child_new(struct merge *merge, enum merge_child_kind kind)
{
    struct merge_child *child = &merge->children[merge->child_count];

    ASSERT(merge->child_count < merge->child_capacity);
    merge->child_count++;
    child->kind = kind;
    return child;
}

void
merge_add_memtable(struct merge *merge, struct memtable *memtable)
{
    memtable_iter_init(&child_new(merge, MERGE_MEMTABLE)->memtable_iter, memtable);
}

void
merge_add_tables(struct merge *merge, struct lsm_table *const *tables, uint32_t count)
{
    struct merge_child *child = child_new(merge, MERGE_LEVEL);

    child->tables = tables;
    child->table_count = count;
}

struct lsm_table *
merge_table(const struct merge *merge)
{
    const struct merge_child *child;

    if (merge->heap_count == 0) {
        return NULL;
    }
    child = merge->heap[0].child;
    return child->kind == MERGE_LEVEL ? child->tables[child->table_index] : NULL;
}

/* ---- Children. ---- */

static void
child_refresh(struct merge_child *child)
{
    child->entry = NULL;
    if (child->kind == MERGE_MEMTABLE) {
        if (memtable_iter_is_valid(&child->memtable_iter)) {
            child->entry = &child->memtable_iter.entry;
        }
    } else if (child->table_iter != NULL && table_iter_is_valid(child->table_iter)) {
        child->entry = table_iter_entry(child->table_iter);
    }
}

static void
child_table_leave(struct merge_child *child)
{
    if (child->table_iter != NULL) {
        table_iter_free(&child->table_iter);
    }
}

/* Make `index` the run's table; an iterator on it is kept. */
static void
child_table_enter(struct merge *merge, struct merge_child *child, uint32_t index, bool is_next)
{
    struct table_iter_options options = merge->table_options;

    if (child->table_iter != NULL && child->table_index == index) {
        return;
    }
    child_table_leave(child);
    child->table_index = index;
    if (is_next && options.read_ahead_bytes < READ_AHEAD_BYTES) {
        options.read_ahead_bytes = READ_AHEAD_BYTES;
    }
    child->table_iter = table_iter_new(child->tables[index]->table, &options);
    child->one_version_per_key = child->tables[index]->meta->one_version_per_key;
}

/* Does the table lie outside of what is asked for, on the side to which the merge moves? */
static inline bool
is_above(const struct merge *merge, const struct lsm_table *table)
{
    return merge->has_upper && slice_compare(table->meta->smallest, merge->upper) >= 0;
}

static bool
is_below(const struct merge *merge, const struct lsm_table *table)
{
    return merge->lower.size > 0 && table_meta_compare_end(table->meta, merge->lower) < 0;
}

static err_t
child_failed(struct merge *merge, struct merge_child *child, err_t err)
{
    merge->failed = child->tables[child->table_index];
    return err;
}

/* At the end of a table, or in a table without entries: on to the next that has one. */
static YIELDS err_t
child_settle_forward(struct merge *merge, struct merge_child *child)
{
    err_t err = ERR_OK;

    while (child->table_iter != NULL && !table_iter_is_valid(child->table_iter)) {
        if (child->table_index + 1 >= child->table_count ||
            is_above(merge, child->tables[child->table_index + 1])) {
            child_table_leave(child);
            break;
        }
        child_table_enter(merge, child, child->table_index + 1, true);
        err = table_iter_seek_first(child->table_iter);
        if (err != ERR_OK) {
            return child_failed(merge, child, err);
        }
    }
    child_refresh(child);
    return err;
}

static YIELDS err_t
child_settle_backward(struct merge *merge, struct merge_child *child)
{
    err_t err = ERR_OK;

    while (child->table_iter != NULL && !table_iter_is_valid(child->table_iter)) {
        if (child->table_index == 0 || is_below(merge, child->tables[child->table_index - 1])) {
            child_table_leave(child);
            break;
        }
        child_table_enter(merge, child, child->table_index - 1, true);
        err = table_iter_seek_last(child->table_iter);
        if (err != ERR_OK) {
            return child_failed(merge, child, err);
        }
    }
    child_refresh(child);
    return err;
}

/* Index of the first table of the run that does not end before the key. */
static uint32_t
child_find(const struct merge_child *child, struct slice key)
{
    const struct level run = {.tables = (struct lsm_table **)(uintptr_t)child->tables,
                              .count = child->table_count};

    return level_find(&run, key);
}

static YIELDS err_t
run_seek(struct merge *merge, struct merge_child *child, struct slice key, uint64_t ts)
{
    uint32_t index = child_find(child, key);
    err_t err;

    if (index == child->table_count || is_above(merge, child->tables[index])) {
        child_table_leave(child);
        child_refresh(child);
        return ERR_OK;
    }
    child_table_enter(merge, child, index, false);
    err = table_iter_seek(child->table_iter, key, ts);
    return err != ERR_OK ? child_failed(merge, child, err) : child_settle_forward(merge, child);
}

static YIELDS err_t
run_seek_before(struct merge *merge, struct merge_child *child, struct slice key)
{
    uint32_t index = child_find(child, key);
    err_t err;

    /* Table `index` may begin at or behind the key; then the one before it is meant. */
    if (index == child->table_count ||
        slice_compare(child->tables[index]->meta->smallest, key) >= 0) {
        if (index == 0) {
            child_table_leave(child);
            child_refresh(child);
            return ERR_OK;
        }
        index--;
        if (is_below(merge, child->tables[index])) {
            child_table_leave(child);
            child_refresh(child);
            return ERR_OK;
        }
    }
    child_table_enter(merge, child, index, false);
    err = table_iter_seek_before(child->table_iter, key);
    return err != ERR_OK ? child_failed(merge, child, err) : child_settle_backward(merge, child);
}

static YIELDS err_t
run_seek_end(struct merge *merge, struct merge_child *child, bool is_last)
{
    err_t err;

    if (child->table_count == 0) {
        child_refresh(child);
        return ERR_OK;
    }
    child_table_enter(merge, child, is_last ? child->table_count - 1 : 0, false);
    if (is_last) {
        err = table_iter_seek_last(child->table_iter);
        return err != ERR_OK ? child_failed(merge, child, err)
                             : child_settle_backward(merge, child);
    }
    err = table_iter_seek_first(child->table_iter);
    return err != ERR_OK ? child_failed(merge, child, err) : child_settle_forward(merge, child);
}

static inline YIELDS err_t
child_step(struct merge *merge, struct merge_child *child)
{
    err_t err;

    if (child->kind == MERGE_MEMTABLE) {
        if (merge->is_backward) {
            memtable_iter_previous(&child->memtable_iter);
        } else {
            memtable_iter_next(&child->memtable_iter);
        }
        child_refresh(child);
        return ERR_OK;
    }
    if (merge->is_backward) {
        err = table_iter_previous(child->table_iter);
        return err != ERR_OK ? child_failed(merge, child, err)
                             : child_settle_backward(merge, child);
    }
    err = table_iter_step(child->table_iter);
    if (__builtin_expect(err == ERR_OK && table_iter_stands(child->table_iter), 1)) {
        return ERR_OK; /* Its entry stays where it is. */
    }
    return err != ERR_OK ? child_failed(merge, child, err) : child_settle_forward(merge, child);
}

/* ---- The heap. ---- */

static bool
tie_comes_first(const struct merge *merge, const struct merge_node *a, const struct merge_node *b)
{
    int order = version_compare(a->entry->key, a->entry->ts, b->entry->key, b->entry->ts);

    if (order == 0) {
        order = (a->child > b->child) - (a->child < b->child); /* The same write twice. */
    }
    return merge->is_backward ? order > 0 : order < 0;
}

static inline bool
comes_first(const struct merge *merge, const struct merge_node *a, const struct merge_node *b)
{
    if (__builtin_expect(a->head != b->head, 1)) {
        return a->head < b->head;
    }
    return tie_comes_first(merge, a, b);
}

static void
runner_up_find(struct merge *merge)
{
    merge->runner_up = merge->heap_count > 1 ? 1 : 0;
    if (merge->heap_count > 2 && comes_first(merge, &merge->heap[2], &merge->heap[1])) {
        merge->runner_up = 2;
    }
}

static void
heap_sift(struct merge *merge, uint32_t at)
{
    struct merge_node moved = merge->heap[at];

    for (uint32_t child = 2 * at + 1; child < merge->heap_count; child = 2 * at + 1) {
        if (child + 1 < merge->heap_count &&
            comes_first(merge, &merge->heap[child + 1], &merge->heap[child])) {
            child++;
        }
        if (!comes_first(merge, &merge->heap[child], &moved)) {
            break;
        }
        merge->heap[at] = merge->heap[child];
        at = child;
    }
    merge->heap[at] = moved;
}

static inline merge_head
node_head(const struct merge *merge, const struct lsm_entry *entry)
{
    merge_head head = merge_head_of(entry->key);

    return merge->is_backward ? ~head : head;
}

static void
heap_build(struct merge *merge, bool is_backward)
{
    merge->is_backward = is_backward;
    merge->heap_count = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        struct merge_child *child = &merge->children[i];

        if (child->entry != NULL) {
            merge->heap[merge->heap_count++] =
                (struct merge_node){node_head(merge, child->entry), child->entry, child};
        }
    }
    for (uint32_t i = merge->heap_count / 2; i-- > 0;) {
        heap_sift(merge, i);
    }
    runner_up_find(merge);
}

/* The child on top has moved. */
static inline void
heap_top_moved(struct merge *merge)
{
    struct merge_node *top = &merge->heap[0];

    top->entry = top->child->entry;
    if (__builtin_expect(top->entry != NULL, 1)) {
        top->head = node_head(merge, top->entry);
        if (merge->heap_count == 1 || comes_first(merge, top, &merge->heap[merge->runner_up])) {
            return;
        }
    } else {
        *top = merge->heap[--merge->heap_count];
    }
    heap_sift(merge, 0);
    runner_up_find(merge);
}

/* ---- Moving. ---- */

YIELDS err_t
merge_seek_first(struct merge *merge)
{
    err_t err;

    merge->heap_count = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        struct merge_child *child = &merge->children[i];

        if (child->kind == MERGE_LEVEL) {
            TRY(run_seek_end(merge, child, false));
        } else {
            memtable_iter_seek_first(&child->memtable_iter);
            child_refresh(child);
        }
    }
    heap_build(merge, false);
    err = ERR_OK;
out:
    return err;
}

YIELDS err_t
merge_seek_last(struct merge *merge)
{
    err_t err;

    merge->heap_count = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        struct merge_child *child = &merge->children[i];

        if (child->kind == MERGE_LEVEL) {
            TRY(run_seek_end(merge, child, true));
        } else {
            memtable_iter_seek_last(&child->memtable_iter);
            child_refresh(child);
        }
    }
    heap_build(merge, true);
    err = ERR_OK;
out:
    return err;
}

YIELDS err_t
merge_seek(struct merge *merge, struct slice key, uint64_t ts)
{
    err_t err;

    merge->heap_count = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        struct merge_child *child = &merge->children[i];

        if (child->kind == MERGE_LEVEL) {
            TRY(run_seek(merge, child, key, ts));
        } else {
            memtable_iter_seek(&child->memtable_iter, key, ts);
            child_refresh(child);
        }
    }
    heap_build(merge, false);
    err = ERR_OK;
out:
    return err;
}

YIELDS err_t
merge_seek_before(struct merge *merge, struct slice key)
{
    err_t err;

    merge->heap_count = 0;
    for (uint32_t i = 0; i < merge->child_count; i++) {
        struct merge_child *child = &merge->children[i];

        if (child->kind == MERGE_LEVEL) {
            TRY(run_seek_before(merge, child, key));
        } else {
            memtable_iter_seek_before(&child->memtable_iter, key);
            child_refresh(child);
        }
    }
    heap_build(merge, true);
    err = ERR_OK;
out:
    return err;
}

YIELDS err_t
merge_step(struct merge *merge)
{
    err_t err;

    ASSERT(merge->heap_count > 0);
    TRY(child_step(merge, merge->heap[0].child));
    heap_top_moved(merge);
out:
    return err;
}

YIELDS err_t
merge_seek_child(struct merge *merge, struct slice key, uint64_t ts)
{
    struct merge_child *child;
    err_t err = ERR_OK;

    ASSERT(merge->heap_count > 0);
    ASSERT(!merge->is_backward);
    child = merge->heap[0].child;
    if (child->kind == MERGE_LEVEL) {
        TRY(run_seek(merge, child, key, ts));
    } else {
        memtable_iter_seek(&child->memtable_iter, key, ts);
        child_refresh(child);
    }
    heap_top_moved(merge);
out:
    return err;
}

/* ---- Skipping what a range delete hides. ---- */

/* Is it hidden, for one that comes from within the range? */
static bool
skip_hides(const struct merge *merge, const struct merge_skip *skip, const struct lsm_entry *entry)
{
    if (entry->ts >= skip->ts) {
        return false;
    }
    if (merge->is_backward) {
        return slice_compare(entry->key, skip->low) >= 0;
    }
    return skip->high_is_open || slice_compare(entry->key, skip->high) < 0;
}

static YIELDS void
memtable_skip(const struct merge *merge, struct merge_child *child, const struct merge_skip *skip)
{
    struct memtable_iter *iter = &child->memtable_iter;

    if (iter->memtable->entry_ts_newest < skip->ts) { /* All of it is older. */
        if (merge->is_backward) {
            memtable_iter_seek_before(iter, skip->low);
        } else if (skip->high_is_open) {
            iter->key = NULL;
        } else {
            memtable_iter_seek(iter, skip->high, LSM_TS_MAX);
        }
    }
    while (memtable_iter_is_valid(iter) && skip_hides(merge, skip, &iter->entry)) {
        if (merge->is_backward) {
            memtable_iter_previous(iter);
        } else {
            memtable_iter_next(iter);
        }
        fiber_work(WORK_UNITS_PER_SKIP);
    }
    child_refresh(child);
}

/* Does the range delete hide all of this table that lies ahead of the child? */
static bool
table_is_hidden(const struct merge *merge, const struct lsm_table *table,
                const struct merge_skip *skip)
{
    if (table->meta->ts_newest >= skip->ts) {
        return false;
    }
    if (merge->is_backward) {
        return slice_compare(table->meta->smallest, skip->low) >= 0;
    }
    return skip->high_is_open || table_meta_compare_end(table->meta, skip->high) < 0;
}

/* Step over whole tables without opening them. *moved_out: the child left its table. */
static YIELDS err_t
run_skip_tables(struct merge *merge, struct merge_child *child, const struct merge_skip *skip,
                bool *moved_out)
{
    int64_t step = merge->is_backward ? -1 : 1;
    int64_t index = child->table_index;
    err_t err;

    while (index >= 0 && index < child->table_count &&
           table_is_hidden(merge, child->tables[index], skip)) {
        index += step;
    }
    *moved_out = index != child->table_index;
    if (!*moved_out) {
        return ERR_OK;
    }
    if (index < 0 || index >= child->table_count) {
        child_table_leave(child);
        child_refresh(child);
        return ERR_OK;
    }
    child_table_enter(merge, child, (uint32_t)index, true);
    if (merge->is_backward) {
        err = table_iter_seek_last(child->table_iter);
        return err != ERR_OK ? child_failed(merge, child, err)
                             : child_settle_backward(merge, child);
    }
    err = table_iter_seek_first(child->table_iter);
    return err != ERR_OK ? child_failed(merge, child, err) : child_settle_forward(merge, child);
}

static YIELDS err_t
run_skip(struct merge *merge, struct merge_child *child, const struct merge_skip *skip)
{
    err_t err = ERR_OK;

    while (child->entry != NULL && skip_hides(merge, skip, child->entry)) {
        bool moved = false;

        TRY(run_skip_tables(merge, child, skip, &moved));
        if (moved) {
            continue;
        }
        if (child->tables[child->table_index]->meta->ts_newest < skip->ts) {
            /* Its older part is hidden, so the range ends within it. */
            TRY(merge->is_backward ? run_seek_before(merge, child, skip->low)
                                   : run_seek(merge, child, skip->high, LSM_TS_MAX));
            break;
        }
        TRY(child_step(merge, child));
        fiber_work(WORK_UNITS_PER_SKIP);
    }
out:
    return err;
}

YIELDS err_t
merge_skip_hidden(struct merge *merge, const struct merge_skip *skip)
{
    struct merge_child *child;
    err_t err = ERR_OK;

    ASSERT(merge->heap_count > 0);
    child = merge->heap[0].child;
    if (child->kind == MERGE_MEMTABLE) {
        memtable_skip(merge, child, skip);
    } else {
        TRY(run_skip(merge, child, skip));
    }
    heap_top_moved(merge);
out:
    return err;
}
