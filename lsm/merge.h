/* lsm/merge.h - one ordered stream out of memtables, tables and levels.
 *
 * All versions come out, in the order of lsm/entry.h; what they mean at a snapshot is decided
 * above (lsm_iter.c, collect.h). Children are kept in a heap; a level is one child, which opens
 * its tables one after the other.
 *
 * A node of the heap keeps the first sixteen bytes of its child's key as a number, which decides
 * nearly every comparison without touching the keys. Most steps end with one comparison: what
 * moved on top still comes before the runner-up. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "lsm/memtable.h"
#include "lsm/table.h"
#include "lsm/version.h"

/* Entries which a range delete hides: of keys in [low, high) (no high when high_is_open), older
 * than `ts`. */
struct merge_skip {
    struct slice low;
    struct slice high;
    bool high_is_open;
    uint64_t ts;
};

enum merge_child_kind { MERGE_MEMTABLE, MERGE_LEVEL };

struct merge_child {
    enum merge_child_kind kind;
    const struct lsm_entry *entry; /* NULL: at the end. Else the same place until a seek, or until
                                      the child enters another table. */
    struct memtable_iter memtable_iter;
    /* A run of disjoint tables in order; a level-0 table is a run of one. */
    struct lsm_table *const *tables; /* Borrowed. */
    uint32_t table_count;
    uint32_t table_index;
    struct table_iter *table_iter; /* Of tables[table_index]; NULL at the end. */
    bool one_version_per_key;      /* Of tables[table_index]. */
};

/* The beginning of a key, padded with zeros: a smaller head means a smaller key, and equal heads
 * mean nothing. */
__extension__ typedef unsigned __int128 merge_head;

enum { MERGE_HEAD_BYTES = 16 };

static inline merge_head
merge_head_of(struct slice key)
{
    uint8_t padded[MERGE_HEAD_BYTES] = {0};
    const uint8_t *at = key.data;

    if (__builtin_expect(key.size < MERGE_HEAD_BYTES, 0)) {
        if (key.size > 0) {
            memcpy(padded, key.data, key.size);
        }
        at = padded;
    }
    return (merge_head)get_be64(at) << 64 | get_be64(at + sizeof(uint64_t));
}

/* A child that has an entry. */
struct merge_node {
    merge_head head; /* Of the entry's key; its complement when the merge goes backward. */
    const struct lsm_entry *entry;
    struct merge_child *child;
};

struct merge {
    struct merge_child *children;
    uint32_t child_count, child_capacity;
    struct merge_node *heap; /* heap[0] gives the next entry. */
    uint32_t heap_count;
    uint32_t runner_up; /* Of heap[1] and heap[2] the one that comes first; 0: there is none. */
    bool is_backward;
    /* What may be left out: see merge_limit. */
    struct slice lower, upper;
    bool has_upper;
    struct table_iter_options table_options;
    struct lsm_table *failed; /* Whose table gave the last error; borrowed. */
};

void merge_init(struct merge *merge, uint32_t children_max,
                const struct table_iter_options *table_options);
void merge_fini(struct merge *merge);
/* The memtable and the tables must be pinned by the caller. */
void merge_add_memtable(struct merge *merge, struct memtable *memtable);
void merge_add_tables(struct merge *merge, struct lsm_table *const *tables, uint32_t count);

/* Forget the position; tables stay open for the next seek. */
void merge_release(struct merge *merge);
/* Nobody asks for entries outside [lower, upper) (without has_upper: from lower on): tables that
 * lie outside are not opened. Others may still give such entries. The bounds are borrowed. */
void merge_limit(struct merge *merge, struct slice lower, struct slice upper, bool has_upper);

/* Position all children; the direction is that of the moves that may follow: after seek_first and
 * seek forward, after seek_last and seek_before backward. Errors of tables; the merge must then
 * be positioned anew. */
YIELDS err_t merge_seek_first(struct merge *merge);
YIELDS err_t merge_seek_last(struct merge *merge);
YIELDS err_t merge_seek(struct merge *merge, struct slice key, uint64_t ts);
YIELDS err_t merge_seek_before(struct merge *merge, struct slice key);

/* The current entry; NULL at the end. Valid until the next call. */
static inline const struct lsm_entry *
merge_entry(const struct merge *merge)
{
    return merge->heap_count == 0 ? NULL : merge->heap[0].entry;
}

/* Is what follows the current entry of another key for sure? Only moves forward. */
static inline bool
merge_next_is_other_key(const struct merge *merge)
{
    const struct merge_node *top = &merge->heap[0];
    const struct merge_child *child = top->child;

    return child->kind == MERGE_LEVEL && child->one_version_per_key &&
           (merge->heap_count == 1 || merge->heap[merge->runner_up].head != top->head);
}

/* The table that the current entry is from; NULL at the end and for a memtable's. */
struct lsm_table *merge_table(const struct merge *merge);
/* One step in the direction of the last seek. */
YIELDS err_t merge_step(struct merge *merge);
/* The current entry is hidden: move the child that has it to its next entry, in the direction of
 * the last seek, that is not. Tables wholly hidden are not opened. */
YIELDS err_t merge_skip_hidden(struct merge *merge, const struct merge_skip *skip);
/* Forward only: move the child that has the current entry to (key, ts). */
YIELDS err_t merge_seek_child(struct merge *merge, struct slice key, uint64_t ts);
