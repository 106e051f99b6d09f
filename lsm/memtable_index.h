/* lsm/memtable_index.h - the ordered index of a memtable: a short tail and sorted runs.
 *
 *     tail   [ newest keys, sorted when somebody looks ]              up to INDEX_TAIL_KEYS
 *     runs   [ 256 ] [ 512 ] [ 2048 ] [ ...... 65536 ...... ]         disjoint, each in order
 *
 * There is one writer and point reads go through a hash index, so an insert need not find its
 * place: it is appended to the tail. A full tail is sorted and becomes a run, and runs of like
 * size are merged, so that there are about log2(keys / INDEX_TAIL_KEYS) / 2 of them. Merging
 * compares 16-byte heads from consecutive memory and costs 5-7 ns a key and doubling, a tenth of
 * what the cache misses and moves of one large tree cost. It is done in small steps by later
 * inserts, so no insert waits for a large merge; a scan works off what many sources cost it.
 *
 * An entry's head is the big-endian integer of the bytes behind the prefix which all keys of its
 * run share; only ties look at the keys.
 *
 * Keys are never removed, and neither moved nor freed before the arena they are in. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "lsm/memtable_tree.h"

enum {
    INDEX_TAIL_KEYS = 256,
    INDEX_CHUNK_KEYS = 256,
    INDEX_RUNS_MAX = 64,
    INDEX_MERGES_MAX = 12,
    INDEX_HEAD_WORDS = 2,
};

struct index_entry {
    uint64_t head[INDEX_HEAD_WORDS];
    struct tree_key *key;
};

/* Entries [begin, end) of a block of INDEX_CHUNK_KEYS are in use. */
struct index_chunk {
    uint64_t head[INDEX_HEAD_WORDS]; /* Of the first entry in use. */
    struct index_entry *entries;
    uint32_t begin;
    uint32_t end;
};

struct index_run {
    struct index_chunk *chunks; /* [first, end) are in use, none of them empty. */
    uint32_t first;
    uint32_t end;
    uint32_t capacity;
    uint32_t prefix_size; /* Where heads begin. */
    uint64_t keys;
};

/* Two runs on their way into one. What was merged is in `out` and no longer in the inputs, so at
 * any time the three are ordinary runs. */
struct index_merge {
    struct index_run out;
    struct index_run in[2];
    struct index_entry *scratch[2]; /* The input's first chunk with heads as `out` has them. */
    bool is_loaded[2];
};

struct key_index {
    struct arena *arena; /* Borrowed: blocks come from it. */
    struct index_entry *tail;
    uint32_t tail_count;
    uint32_t tail_sorted; /* The first so many are in order. */
    uint32_t run_count;
    uint32_t merge_count;
    struct index_run *runs;     /* Falling by keys. */
    struct index_merge *merges; /* A stack: the last is worked on first. */
    struct index_entry *free;   /* Blocks to use again, linked by their first key. */
    const struct tree_key *prefix;
    uint32_t prefix_size; /* Its first prefix_size bytes begin every key. */
    uint32_t generation;  /* Of iterators' places: raised when entries move. */
    uint64_t credit;      /* Entries that scans have paid to merge. */
    uint64_t count;
    uint64_t bytes; /* Taken from the arena and the account. */
};

void key_index_init(struct key_index *index, struct arena *arena);
/* The arena is the caller's to free, before or after. Does nothing the second time. */
void key_index_fini(struct key_index *index);
/* The key must not be in the index. It stands at the end of the caller's record, in an arena. */
void key_index_insert(struct key_index *index, struct tree_key *key);
/* About how many keys lie in [start, end). */
uint64_t key_index_estimate(const struct key_index *index, struct slice start, struct slice end);

/* A place in the index that survives changes: it stays on its key. Keys that came since the last
 * seek may or may not be met. */
struct index_cursor {
    const struct index_entry *at; /* NULL: at the end. */
    const struct index_entry *begin, *end;
    const struct index_run *run; /* NULL: the tail. */
    uint32_t chunk;
    uint32_t prefix_size;
};

struct index_iter {
    struct key_index *index;
    struct index_cursor *cursors;
    uint32_t count;
    uint32_t capacity;
    uint32_t generation;
    uint32_t current;
    bool is_backward;
    struct tree_key *key; /* NULL: nowhere. */
};

void key_index_iter_init(struct index_iter *iter, struct key_index *index);
void key_index_iter_fini(struct index_iter *iter);
/* First key at or after `key`; last key below `key`; the first and the last of all. */
void key_index_seek(struct index_iter *iter, struct slice key);
void key_index_seek_before(struct index_iter *iter, struct slice key);
void key_index_seek_first(struct index_iter *iter);
void key_index_seek_last(struct index_iter *iter);
/* From a key. */
void key_index_next(struct index_iter *iter);
void key_index_previous(struct index_iter *iter);
