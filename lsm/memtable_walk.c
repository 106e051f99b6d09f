/* lsm/memtable_walk.c - reading the ordered index: tail and runs are merged on the fly.
 *
 * Every source has a cursor on its first key at or behind the current one (backwards: its last
 * at or before). After a change the cursors are found again by the current key, which stays where
 * it is. A seek that meets several sources pays for merging them about what they cost it. */
#include "engine/base/assert.h"
#include "lsm/memtable_head.h"

#include "engine/base/poison.h"

enum {
    CREDIT_PER_SOURCE = 64, /* Entries: as long as a search of one run lasts. */
    UNITS_PER_SEEK = 1024,
    CAPACITY_STEP = 8,
    PREFETCH_AHEAD = 6,   /* Records: as many as are on their way from memory at a time. */
    PREFETCH_LINES = 3,   /* Key, version, and the value's first bytes. */
    PREFETCH_BEFORE = 16, /* Bytes of the record before its key, in one line with it mostly. */
    CACHE_LINE_BYTES = 64,
};

/* What is looked for, as the entries of one source are compared. */
struct target {
    struct slice key;
    head_t head;
};

/* ---- Searching. ---- */

static bool
is_below(const uint64_t *head, const struct tree_key *key, const struct target *target)
{
    if (__builtin_expect(head_of_words(head) == target->head, 0)) {
        return slice_compare(tree_key_slice(key), target->key) < 0;
    }
    return head_of_words(head) < target->head;
}

static uint32_t
entries_below(const struct index_entry *entries, uint32_t count, const struct target *target)
{
    const struct index_entry *base = entries;

    while (count > 1) {
        uint32_t half = count / 2;

        base += is_below(base[half - 1].head, base[half - 1].key, target) ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - entries) + (count == 1 && is_below(base->head, base->key, target));
}

/* Chunks that begin below the target. */
static uint32_t
chunks_below(const struct index_run *run, const struct target *target)
{
    const struct index_chunk *base = run->chunks + run->first;
    uint32_t count = run->end - run->first;

    while (count > 1) {
        uint32_t half = count / 2;
        const struct index_chunk *at = &base[half - 1];

        base += is_below(at->head, at->entries[at->begin].key, target) ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - run->chunks) - run->first +
           (count == 1 && is_below(base->head, base->entries[base->begin].key, target));
}

/* Where `key` stands against the prefix of a source: <0 before all keys, >0 behind all, and
 * otherwise (0) the target is set. */
static int
target_set(const struct key_index *index, uint32_t prefix_size, struct slice key,
           struct target *target_out)
{
    struct slice prefix = slice_of(index->prefix->bytes, prefix_size);
    uint64_t words[INDEX_HEAD_WORDS];

    if (!slice_starts_with(key, prefix)) {
        return slice_compare(key, prefix);
    }
    head_words(key, prefix_size, words);
    target_out->key = key;
    target_out->head = head_of_words(words);
    return 0;
}

/* ---- Cursors. ---- */

static void
cursor_enter(struct index_cursor *cursor, uint32_t chunk_index)
{
    const struct index_chunk *chunk = &cursor->run->chunks[chunk_index];

    cursor->chunk = chunk_index;
    cursor->begin = chunk->entries + chunk->begin;
    cursor->end = chunk->entries + chunk->end;
}

static void
cursor_first(struct index_cursor *cursor)
{
    if (cursor->run != NULL) {
        cursor_enter(cursor, cursor->run->first);
    }
    cursor->at = cursor->begin;
}

static void
cursor_last(struct index_cursor *cursor)
{
    if (cursor->run != NULL) {
        cursor_enter(cursor, cursor->run->end - 1);
    }
    cursor->at = cursor->end - 1;
}

static void
record_prefetch(const struct tree_key *key)
{
    const uint8_t *at = key->bytes - PREFETCH_BEFORE;

    for (uint32_t i = 0; i < PREFETCH_LINES; i++) {
        __builtin_prefetch(at + i * CACHE_LINE_BYTES);
    }
}

static void
cursor_next(struct index_cursor *cursor)
{
    if (cursor->end - cursor->at > PREFETCH_AHEAD) {
        record_prefetch(cursor->at[PREFETCH_AHEAD].key);
    }
    if (++cursor->at < cursor->end) {
        return;
    }
    if (cursor->run == NULL || cursor->chunk + 1 == cursor->run->end) {
        cursor->at = NULL;
        return;
    }
    cursor_enter(cursor, cursor->chunk + 1);
    cursor->at = cursor->begin;
    for (uint32_t i = 0; i < PREFETCH_AHEAD && cursor->begin + i < cursor->end; i++) {
        record_prefetch(cursor->begin[i].key);
    }
}

static void
cursor_previous(struct index_cursor *cursor)
{
    if (cursor->at - cursor->begin > PREFETCH_AHEAD) {
        record_prefetch(cursor->at[-PREFETCH_AHEAD].key);
    }
    if (cursor->at-- > cursor->begin) {
        return;
    }
    if (cursor->run == NULL || cursor->chunk == cursor->run->first) {
        cursor->at = NULL;
        return;
    }
    cursor_enter(cursor, cursor->chunk - 1);
    cursor->at = cursor->end - 1;
}

/* At the first key at or behind `key`. */
static void
cursor_seek(const struct key_index *index, struct index_cursor *cursor, struct slice key)
{
    struct target target;
    int order = target_set(index, cursor->prefix_size, key, &target);
    uint32_t below;

    if (order < 0) {
        cursor_first(cursor);
        return;
    }
    if (order > 0) {
        cursor->at = NULL;
        return;
    }
    if (cursor->run != NULL) {
        below = chunks_below(cursor->run, &target);
        cursor_enter(cursor, cursor->run->first + (below > 0 ? below - 1 : 0));
    }
    below = entries_below(cursor->begin, (uint32_t)(cursor->end - cursor->begin), &target);
    cursor->at = cursor->begin + below;
    if (cursor->at == cursor->end) {
        cursor->at--;
        cursor_next(cursor);
    }
}

/* At the last key before `key`. */
static void
cursor_seek_before(const struct key_index *index, struct index_cursor *cursor, struct slice key)
{
    cursor_seek(index, cursor, key);
    if (cursor->at == NULL) {
        cursor_last(cursor);
    } else {
        cursor_previous(cursor);
    }
}

static bool
cursor_is_before(const struct index_cursor *a, const struct index_cursor *b)
{
    if (a->prefix_size == b->prefix_size && entry_head(a->at) != entry_head(b->at)) {
        return entry_head(a->at) < entry_head(b->at);
    }
    return slice_compare(tree_key_slice(a->at->key), tree_key_slice(b->at->key)) < 0;
}

/* ---- The iterator. ---- */

void
key_index_iter_init(struct index_iter *iter, struct key_index *index)
{
    memset(iter, 0, sizeof(*iter));
    iter->index = index;
}

void
key_index_iter_fini(struct index_iter *iter)
{
    mem_free(MEM_MEMTABLE, iter->cursors, iter->capacity * sizeof(iter->cursors[0]));
    memset(iter, 0, sizeof(*iter));
}

static struct index_cursor *
source_add(struct index_iter *iter, const struct index_run *run)
{
    struct index_cursor *cursor = &iter->cursors[iter->count++];

    cursor->run = run;
    cursor->prefix_size = run != NULL ? run->prefix_size : iter->index->prefix_size;
    return cursor;
}

/* Cursors for the sources of this moment. */
static void
sources_collect(struct index_iter *iter)
{
    struct key_index *index = iter->index;
    uint32_t count = 1 + index->run_count + 3 * index->merge_count;

    key_index_tail_sort(index);
    if (count > iter->capacity) {
        uint32_t capacity = count + CAPACITY_STEP;

        iter->cursors =
            mem_realloc(MEM_MEMTABLE, iter->cursors, iter->capacity * sizeof(iter->cursors[0]),
                        capacity * sizeof(iter->cursors[0]));
        iter->capacity = capacity;
    }
    iter->count = 0;
    iter->generation = index->generation;
    if (index->tail_count > 0) {
        struct index_cursor *cursor = source_add(iter, NULL);

        cursor->begin = index->tail;
        cursor->end = index->tail + index->tail_count;
    }
    for (uint32_t i = 0; i < index->run_count; i++) {
        source_add(iter, &index->runs[i]);
    }
    for (uint32_t i = 0; i < index->merge_count; i++) {
        const struct index_merge *merge = &index->merges[i];
        const struct index_run *runs[] = {&merge->out, &merge->in[0], &merge->in[1]};

        for (uint32_t k = 0; k < 3; k++) {
            if (runs[k]->keys > 0) {
                source_add(iter, runs[k]);
            }
        }
    }
}

/* The first of the cursors, or the last when the direction is backward, is the current key. */
static void
current_find(struct index_iter *iter)
{
    const struct index_cursor *best = NULL;

    for (uint32_t i = 0; i < iter->count; i++) {
        const struct index_cursor *cursor = &iter->cursors[i];

        if (cursor->at != NULL &&
            (best == NULL || cursor_is_before(cursor, best) != iter->is_backward)) {
            best = cursor;
        }
    }
    iter->key = best == NULL ? NULL : best->at->key;
    iter->current = best == NULL ? 0 : (uint32_t)(best - iter->cursors);
}

static void
iter_place(struct index_iter *iter, struct slice key, bool is_backward)
{
    sources_collect(iter);
    iter->is_backward = is_backward;
    for (uint32_t i = 0; i < iter->count; i++) {
        if (is_backward) {
            cursor_seek_before(iter->index, &iter->cursors[i], key);
        } else {
            cursor_seek(iter->index, &iter->cursors[i], key);
        }
    }
    current_find(iter);
}

static void
seek_pay(struct key_index *index)
{
    uint32_t sources = index->run_count + 3 * index->merge_count;

    if (sources > 1) {
        key_index_pay(index, (uint64_t)CREDIT_PER_SOURCE * (sources - 1), UNITS_PER_SEEK);
    }
}

void
key_index_seek(struct index_iter *iter, struct slice key)
{
    seek_pay(iter->index);
    iter_place(iter, key, false);
}

void
key_index_seek_before(struct index_iter *iter, struct slice key)
{
    seek_pay(iter->index);
    iter_place(iter, key, true);
}

void
key_index_seek_first(struct index_iter *iter)
{
    sources_collect(iter);
    iter->is_backward = false;
    for (uint32_t i = 0; i < iter->count; i++) {
        cursor_first(&iter->cursors[i]);
    }
    current_find(iter);
}

void
key_index_seek_last(struct index_iter *iter)
{
    sources_collect(iter);
    iter->is_backward = true;
    for (uint32_t i = 0; i < iter->count; i++) {
        cursor_last(&iter->cursors[i]);
    }
    current_find(iter);
}

void
key_index_next(struct index_iter *iter)
{
    struct tree_key *key = iter->key;

    ASSERT(key != NULL);
    if (iter->generation != iter->index->generation || iter->is_backward) {
        iter_place(iter, tree_key_slice(key), false);
        ASSERT(iter->key == key);
    }
    cursor_next(&iter->cursors[iter->current]);
    current_find(iter);
}

void
key_index_previous(struct index_iter *iter)
{
    struct tree_key *key = iter->key;

    ASSERT(key != NULL);
    if (iter->generation != iter->index->generation || !iter->is_backward) {
        iter_place(iter, tree_key_slice(key), true);
        return;
    }
    cursor_previous(&iter->cursors[iter->current]);
    current_find(iter);
}

/* ---- Estimates. ---- */

/* About how many keys of the run lie below `key`, as if chunks were equally full. */
static double
run_rank(const struct key_index *index, const struct index_run *run, struct slice key)
{
    struct target target;
    int order = target_set(index, run->prefix_size, key, &target);

    if (order != 0) {
        return order < 0 ? 0 : (double)run->keys;
    }
    return (double)chunks_below(run, &target) * (double)run->keys / (run->end - run->first);
}

uint64_t
key_index_estimate(const struct key_index *index, struct slice start, struct slice end)
{
    double keys = 0;

    for (uint32_t i = 0; i < index->run_count; i++) {
        keys += run_rank(index, &index->runs[i], end) - run_rank(index, &index->runs[i], start);
    }
    for (uint32_t i = 0; i < index->merge_count; i++) {
        const struct index_merge *merge = &index->merges[i];
        const struct index_run *runs[] = {&merge->out, &merge->in[0], &merge->in[1]};

        for (uint32_t k = 0; k < 3; k++) {
            if (runs[k]->keys > 0) {
                keys += run_rank(index, runs[k], end) - run_rank(index, runs[k], start);
            }
        }
    }
    return keys > 0 ? (uint64_t)keys : 0;
}
