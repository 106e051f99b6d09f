/* lsm/memtable_tree.h - a B+tree over byte strings, for the borders of range deletes.
 *
 * Keys of one model share long prefixes, and what differs is a hash, so every node keeps, beside
 * its keys, the eight bytes behind the prefix that all keys between its fences share, as an
 * integer: a search compares integers in one or two cache lines and looks at a key itself only
 * on a tie. Fences and prefix: the "normalised keys with prefix truncation" of Graefe, Modern
 * B-Tree Techniques (2011), 3.5.
 *
 * Keys are never removed, and neither moved nor freed before the arena they are in: a pointer to
 * one stays good. A position is good until the next insert (tree->generation tells). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum { TREE_NODE_KEYS_MAX = 32 };

/* The caller's record ends in this. */
struct tree_key {
    uint32_t size;
    uint8_t bytes[];
};

struct tree_node;

struct tree {
    struct arena *arena; /* Borrowed: nodes come from it. */
    struct tree_node *root;
    struct tree_node *first_leaf;
    const struct tree_key *prefix; /* Its first prefix_size bytes begin every key. */
    uint32_t prefix_size;
    uint32_t generation; /* Of positions: raised by each insert. */
    uint64_t count;
    uint64_t node_bytes; /* Taken from the arena. */
};

/* A key in the tree, or (leaf NULL) none. */
struct tree_position {
    const struct tree_node *leaf;
    uint32_t index;
};

static inline struct slice
tree_key_slice(const struct tree_key *key)
{
    return slice_of(key->bytes, key->size);
}

void tree_init(struct tree *tree, struct arena *arena);
/* The key must not be in the tree yet (asserted where it is met). */
void tree_insert(struct tree *tree, struct tree_key *key);

/* First key at or after `key`; last key at or below; last key below; the first and the last of
 * all. */
struct tree_position tree_seek_floor(const struct tree *tree, struct slice key);
struct tree_position tree_seek(const struct tree *tree, struct slice key);
struct tree_position tree_seek_before(const struct tree *tree, struct slice key);
struct tree_position tree_first(const struct tree *tree);
struct tree_position tree_last(const struct tree *tree);
void tree_next(struct tree_position *position);
void tree_previous(struct tree_position *position);
struct tree_key *tree_at(struct tree_position position);
/* Have the record some places behind this one on its way from memory, for who walks on. */
void tree_prefetch_next(struct tree_position position);
static inline bool
tree_position_is_valid(struct tree_position position)
{
    return position.leaf != NULL;
}

/* About how many keys lie in [start, end), from the shape of the tree alone. */
uint64_t tree_estimate(const struct tree *tree, struct slice start, struct slice end);
