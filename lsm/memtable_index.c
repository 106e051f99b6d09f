/* lsm/memtable_index.c - inserting and merging; memtable_walk.c reads. */
#include "lsm/memtable_index.h"

#include "engine/base/assert.h"
#include "lsm/memtable_head.h"

#include "engine/base/poison.h"

enum {
    /* Merging is done every so many inserts, so many entries at a time: 32 an insert, where
     * log2(keys / INDEX_TAIL_KEYS) are needed on average. */
    INSERTS_PER_STEP = 16,
    ENTRIES_PER_STEP = 512,
    INSERTION_SORT_KEYS = 8,
    SPLICE_CHUNKS_MIN = 4, /* From here on whole chunks are passed on, not copied. */
    SPLICE_UNITS = 16,
    CHUNKS_MIN = 4,
};

static const size_t block_bytes = INDEX_CHUNK_KEYS * sizeof(struct index_entry);
static const size_t runs_bytes = INDEX_RUNS_MAX * sizeof(struct index_run);
static const size_t merges_bytes = INDEX_MERGES_MAX * sizeof(struct index_merge);

_Static_assert((int)INDEX_TAIL_KEYS == (int)INDEX_CHUNK_KEYS, "a full tail is a chunk");

/* ---- Blocks and chunks. ---- */

static struct index_entry *
block_new(struct key_index *index)
{
    struct index_entry *block = index->free;

    if (block != NULL) {
        index->free = (struct index_entry *)(void *)block->key;
        return block;
    }
    index->bytes += block_bytes;
    return arena_alloc(index->arena, block_bytes);
}

static void
block_free(struct key_index *index, struct index_entry *block)
{
    block->key = (struct tree_key *)(void *)index->free;
    index->free = block;
}

static void
run_reserve(struct key_index *index, struct index_run *run, uint32_t chunks)
{
    if (run->end + chunks > run->capacity) {
        uint32_t capacity = MAX(MAX(run->capacity * 2, run->end + chunks), (uint32_t)CHUNKS_MIN);

        run->chunks = mem_realloc(MEM_MEMTABLE, run->chunks, run->capacity * sizeof(run->chunks[0]),
                                  capacity * sizeof(run->chunks[0]));
        index->bytes += (capacity - run->capacity) * sizeof(run->chunks[0]);
        run->capacity = capacity;
    }
}

/* The chunks themselves were passed on. */
static void
run_fini(struct key_index *index, struct index_run *run)
{
    mem_free(MEM_MEMTABLE, run->chunks, run->capacity * sizeof(run->chunks[0]));
    index->bytes -= run->capacity * sizeof(run->chunks[0]);
    memset(run, 0, sizeof(*run));
}

static void
run_add(struct key_index *index, struct index_run *run, const struct index_chunk *chunk)
{
    run_reserve(index, run, 1);
    run->chunks[run->end++] = *chunk;
    run->keys += chunk->end - chunk->begin;
}

static void
run_drop_first(struct index_run *run)
{
    const struct index_chunk *chunk = &run->chunks[run->first++];

    run->keys -= chunk->end - chunk->begin;
}

/* Keep runs[] falling by keys: the new one goes behind those that are not smaller. */
static void
runs_insert(struct key_index *index, const struct index_run *run)
{
    uint32_t at = index->run_count++;

    ASSERT(at < INDEX_RUNS_MAX);
    for (; at > 0 && index->runs[at - 1].keys < run->keys; at--) {
        index->runs[at] = index->runs[at - 1];
    }
    index->runs[at] = *run;
}

static void
runs_take(struct key_index *index, uint32_t at, struct index_run *run_out)
{
    *run_out = index->runs[at];
    memmove(&index->runs[at], &index->runs[at + 1],
            (index->run_count - at - 1) * sizeof(index->runs[0]));
    index->run_count--;
}

/* ---- Life. ---- */

void
key_index_init(struct key_index *index, struct arena *arena)
{
    memset(index, 0, sizeof(*index));
    index->arena = arena;
}

void
key_index_fini(struct key_index *index)
{
    for (uint32_t i = 0; i < index->run_count; i++) {
        run_fini(index, &index->runs[i]);
    }
    for (uint32_t i = 0; i < index->merge_count; i++) {
        run_fini(index, &index->merges[i].out);
        run_fini(index, &index->merges[i].in[0]);
        run_fini(index, &index->merges[i].in[1]);
    }
    index->run_count = 0;
    index->merge_count = 0;
    mem_free(MEM_MEMTABLE, index->runs, runs_bytes);
    mem_free(MEM_MEMTABLE, index->merges, merges_bytes);
    index->runs = NULL;
    index->merges = NULL;
}

/* With the first key, as many memtables hold range deletes only, or nothing. */
static void
key_index_begin(struct key_index *index, const struct tree_key *key)
{
    index->tail = block_new(index);
    index->runs = mem_alloc(MEM_MEMTABLE, runs_bytes);
    index->merges = mem_alloc(MEM_MEMTABLE, merges_bytes);
    index->bytes += runs_bytes + merges_bytes;
    index->prefix = key;
    index->prefix_size = key->size;
}

/* ---- Merging. ---- */

static void
merge_begin(struct key_index *index, uint32_t larger, uint32_t smaller)
{
    struct index_merge *merge = &index->merges[index->merge_count++];

    ASSERT(larger < smaller);
    memset(merge, 0, sizeof(*merge));
    runs_take(index, smaller, &merge->in[1]);
    runs_take(index, larger, &merge->in[0]);
    /* Both prefixes begin the first key of all, so the shorter one begins all keys here. */
    merge->out.prefix_size = MIN(merge->in[0].prefix_size, merge->in[1].prefix_size);
    run_reserve(index, &merge->out,
                merge->in[0].end - merge->in[0].first + merge->in[1].end - merge->in[1].first + 1);
}

static uint64_t
merge_left(const struct index_merge *merge)
{
    return merge->in[0].keys + merge->in[1].keys;
}

static void
merge_end(struct key_index *index)
{
    struct index_merge *merge = &index->merges[--index->merge_count];

    for (uint32_t i = 0; i < 2; i++) {
        ASSERT(merge->in[i].keys == 0);
        run_fini(index, &merge->in[i]);
        if (merge->scratch[i] != NULL) {
            block_free(index, merge->scratch[i]);
        }
    }
    runs_insert(index, &merge->out);
}

/* The entries of the input's first chunk that are in use, with heads as the output has them. */
static const struct index_entry *
input_entries(struct key_index *index, struct index_merge *merge, uint32_t which,
              uint32_t *count_out)
{
    const struct index_run *in = &merge->in[which];
    const struct index_chunk *chunk = &in->chunks[in->first];
    struct index_entry *scratch = merge->scratch[which];

    *count_out = chunk->end - chunk->begin;
    if (in->prefix_size == merge->out.prefix_size) {
        return chunk->entries + chunk->begin;
    }
    if (!merge->is_loaded[which]) {
        if (scratch == NULL) {
            scratch = merge->scratch[which] = block_new(index);
        }
        for (uint32_t i = chunk->begin; i < chunk->end; i++) {
            __builtin_prefetch(chunk->entries[MIN(i + 8, chunk->end - 1)].key->bytes);
            entry_set(&scratch[i], chunk->entries[i].key, merge->out.prefix_size);
        }
        merge->is_loaded[which] = true;
    }
    return scratch + chunk->begin;
}

static void
input_consume(struct key_index *index, struct index_merge *merge, uint32_t which, uint32_t count)
{
    struct index_run *in = &merge->in[which];
    struct index_chunk *chunk = &in->chunks[in->first];

    chunk->begin += count;
    in->keys -= count;
    if (chunk->begin < chunk->end) {
        /* The chunk may stand between others soon, where a search goes by its head. */
        memcpy(chunk->head, chunk->entries[chunk->begin].head, sizeof(chunk->head));
    } else {
        block_free(index, chunk->entries);
        in->first++;
        merge->is_loaded[which] = false;
    }
}

/* Where the output goes on: its last chunk, which has room. */
static struct index_chunk *
output_chunk(struct key_index *index, struct index_run *out, const struct index_entry *next)
{
    if (out->end == out->first || out->chunks[out->end - 1].end == INDEX_CHUNK_KEYS) {
        struct index_chunk chunk = {.entries = block_new(index)};

        memcpy(chunk.head, next->head, sizeof(chunk.head));
        run_add(index, out, &chunk);
    }
    return &out->chunks[out->end - 1];
}

/* `count` times the smaller of two entries; neither side has fewer. Returns how many were from
 * `b`. No branch depends on the order of random keys. */
static uint32_t
entries_merge(struct index_entry *out, const struct index_entry *a, const struct index_entry *b,
              uint32_t count)
{
    const struct index_entry *begin = b;

    for (uint32_t i = 0; i < count; i++) {
        head_t head_a = entry_head(a);
        head_t head_b = entry_head(b);
        bool takes_b = head_b < head_a;

        if (__builtin_expect(head_a == head_b, 0)) {
            takes_b = slice_compare(tree_key_slice(b->key), tree_key_slice(a->key)) < 0;
        }
        out[i] = *(takes_b ? b : a);
        b += takes_b;
        a += !takes_b;
    }
    return (uint32_t)(b - begin);
}

static uint32_t
merge_both(struct key_index *index, struct index_merge *merge, uint32_t units)
{
    uint32_t count_a;
    uint32_t count_b;
    const struct index_entry *a = input_entries(index, merge, 0, &count_a);
    const struct index_entry *b = input_entries(index, merge, 1, &count_b);
    struct index_chunk *chunk =
        output_chunk(index, &merge->out, entry_head(a) < entry_head(b) ? a : b);
    uint32_t count = MIN(MIN(units, INDEX_CHUNK_KEYS - chunk->end), MIN(count_a, count_b));
    uint32_t from_b = entries_merge(chunk->entries + chunk->end, a, b, count);

    chunk->end += count;
    merge->out.keys += count;
    input_consume(index, merge, 0, count - from_b);
    input_consume(index, merge, 1, from_b);
    return count;
}

/* One input is left: whole chunks of a long one change hands, the rest is copied. */
static uint32_t
merge_rest(struct key_index *index, struct index_merge *merge, uint32_t which, uint32_t units)
{
    struct index_run *in = &merge->in[which];
    struct index_run *out = &merge->out;
    const struct index_entry *entries;
    struct index_chunk *chunk;
    uint32_t count;

    if (in->end - in->first >= SPLICE_CHUNKS_MIN && in->prefix_size == out->prefix_size) {
        run_add(index, out, &in->chunks[in->first]);
        run_drop_first(in);
        return MIN(units, (uint32_t)SPLICE_UNITS);
    }
    entries = input_entries(index, merge, which, &count);
    chunk = output_chunk(index, out, entries);
    count = MIN(MIN(units, INDEX_CHUNK_KEYS - chunk->end), count);
    memcpy(chunk->entries + chunk->end, entries, count * sizeof(entries[0]));
    chunk->end += count;
    out->keys += count;
    input_consume(index, merge, which, count);
    return count;
}

/* The first pair, from the smallest run on, of like size; 0 when there is none. */
static uint32_t
pair_find(const struct key_index *index)
{
    for (uint32_t i = index->run_count; i-- > 1;) {
        if (index->runs[i - 1].keys < 2 * index->runs[i].keys) {
            return i;
        }
    }
    return 0;
}

/* Merge about so many entries, small runs first: they are the ones that become many. */
static void
key_index_work(struct key_index *index, uint32_t units)
{
    while (units > 0) {
        uint32_t at = index->merge_count < INDEX_MERGES_MAX ? pair_find(index) : 0;
        struct index_merge *merge = NULL;

        if (index->merge_count > 0) {
            merge = &index->merges[index->merge_count - 1];
        }
        if (at > 0 && (merge == NULL ||
                       index->runs[at].keys + index->runs[at - 1].keys < merge_left(merge))) {
            merge_begin(index, at - 1, at);
            continue;
        }
        if (merge == NULL) {
            return;
        }
        index->generation++;
        if (merge->in[0].keys > 0 && merge->in[1].keys > 0) {
            units -= merge_both(index, merge, units);
        } else if (merge_left(merge) > 0) {
            units -= merge_rest(index, merge, merge->in[0].keys > 0 ? 0 : 1, units);
        } else {
            merge_end(index);
        }
    }
}

void
key_index_pay(struct key_index *index, uint64_t credit, uint32_t units)
{
    uint64_t price;

    index->credit = MIN(index->credit + credit, index->count);
    if (index->run_count >= 2 && index->merge_count < INDEX_MERGES_MAX) {
        price = index->runs[index->run_count - 1].keys + index->runs[index->run_count - 2].keys;
        if (price <= index->credit) {
            index->credit -= price;
            merge_begin(index, index->run_count - 2, index->run_count - 1);
            index->generation++;
        }
    }
    key_index_work(index, units);
}

/* ---- The tail. ---- */

static bool
entry_is_before(const struct index_entry *a, const struct index_entry *b)
{
    if (__builtin_expect(entry_head(a) == entry_head(b), 0)) {
        return slice_compare(tree_key_slice(a->key), tree_key_slice(b->key)) < 0;
    }
    return entry_head(a) < entry_head(b);
}

static void
insertion_sort(struct index_entry *entries, uint32_t sorted, uint32_t count)
{
    for (uint32_t i = MAX(sorted, 1u); i < count; i++) {
        struct index_entry moved = entries[i];
        uint32_t at = i;

        for (; at > 0 && entry_is_before(&moved, &entries[at - 1]); at--) {
            entries[at] = entries[at - 1];
        }
        entries[at] = moved;
    }
}

/* Merge [0, middle) and [middle, count) of `from` into `to`. */
static void
halves_merge(struct index_entry *to, const struct index_entry *from, uint32_t middle,
             uint32_t count)
{
    uint32_t a = 0;
    uint32_t b = middle;

    while (a < middle && b < count) {
        uint32_t sure = MIN(middle - a, count - b);
        uint32_t from_b = entries_merge(to, from + a, from + b, sure);

        to += sure;
        a += sure - from_b;
        b += from_b;
    }
    memcpy(to, from + a, (middle - a) * sizeof(*to));
    memcpy(to + (middle - a), from + b, (count - b) * sizeof(*to));
}

/* Bottom-up, back and forth between two blocks; the result is in the tail. */
static void
tail_sort_all(struct key_index *index)
{
    struct index_entry *from = index->tail;
    struct index_entry *to = block_new(index);
    uint32_t count = index->tail_count;

    for (uint32_t i = 0; i < count; i += INSERTION_SORT_KEYS) {
        insertion_sort(from + i, 1, MIN(count - i, (uint32_t)INSERTION_SORT_KEYS));
    }
    for (uint32_t width = INSERTION_SORT_KEYS; width < count; width *= 2) {
        struct index_entry *swap = from;

        for (uint32_t i = 0; i < count; i += 2 * width) {
            halves_merge(to + i, from + i, MIN(width, count - i), MIN(2 * width, count - i));
        }
        from = to;
        to = swap;
    }
    index->tail = from;
    block_free(index, to);
}

void
key_index_tail_sort(struct key_index *index)
{
    struct index_entry *tail = index->tail;
    uint32_t sorted = index->tail_sorted;

    while (sorted > 0 && sorted < index->tail_count &&
           entry_is_before(&tail[sorted - 1], &tail[sorted])) {
        sorted++; /* Keys that come in order. */
    }
    if (sorted < index->tail_count) {
        if (index->tail_count - sorted <= INSERTION_SORT_KEYS) {
            insertion_sort(tail, sorted, index->tail_count);
        } else {
            tail_sort_all(index);
        }
    }
    if (index->tail_sorted < index->tail_count) {
        index->generation++;
    }
    index->tail_sorted = index->tail_count;
}

/* A run that the chunk continues: keys came in order. */
static struct index_run *
run_before(struct key_index *index, const struct index_chunk *chunk)
{
    for (uint32_t i = 0; i < index->run_count; i++) {
        struct index_run *run = &index->runs[i];
        const struct index_chunk *last = &run->chunks[run->end - 1];

        if (run->prefix_size == index->prefix_size &&
            entry_is_before(&last->entries[last->end - 1], &chunk->entries[0])) {
            return run;
        }
    }
    return NULL;
}

/* The full tail becomes a run, or the end of one. */
static void
tail_emit(struct key_index *index)
{
    struct index_chunk chunk = {.end = index->tail_count};
    struct index_run *before;
    struct index_run run;

    key_index_tail_sort(index);
    chunk.entries = index->tail;
    memcpy(chunk.head, chunk.entries[0].head, sizeof(chunk.head));
    before = run_before(index, &chunk);
    if (before != NULL) {
        runs_take(index, (uint32_t)(before - index->runs), &run);
    } else {
        memset(&run, 0, sizeof(run));
        run.prefix_size = index->prefix_size;
    }
    run_add(index, &run, &chunk);
    while (index->run_count == INDEX_RUNS_MAX) {
        key_index_work(index, ENTRIES_PER_STEP);
    }
    runs_insert(index, &run);
    index->tail = block_new(index);
    index->tail_count = 0;
    index->tail_sorted = 0;
    index->generation++;
}

/* A key that does not begin with the prefix of all before it. */
static void
prefix_shrink(struct key_index *index, uint32_t prefix_size)
{
    index->prefix_size = prefix_size;
    for (uint32_t i = 0; i < index->tail_count; i++) {
        entry_set(&index->tail[i], index->tail[i].key, prefix_size);
    }
    index->generation++;
}

void
key_index_insert(struct key_index *index, struct tree_key *key)
{
    uint32_t shared;

    if (__builtin_expect(index->prefix == NULL, 0)) {
        key_index_begin(index, key);
    }
    shared =
        key_common_prefix(slice_of(index->prefix->bytes, index->prefix_size), tree_key_slice(key));
    if (__builtin_expect(shared < index->prefix_size, 0)) {
        prefix_shrink(index, shared);
    }
    if (index->tail_count == INDEX_TAIL_KEYS) {
        tail_emit(index);
    }
    entry_set(&index->tail[index->tail_count++], key, index->prefix_size);
    index->count++;
    if (index->tail_count % INSERTS_PER_STEP == 0) {
        key_index_work(index, ENTRIES_PER_STEP);
    }
}
