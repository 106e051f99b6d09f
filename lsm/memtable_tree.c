/* lsm/memtable_tree.c - insertion splits full nodes on the way down, so no path is kept. */
#include "lsm/memtable_tree.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* heads[i] is the big-endian integer of the eight bytes of keys[i] from prefix_size on, padded
 * with zeros. In an inner node keys[i] is the smallest key that children[i + 1] may hold. */
struct tree_node {
    uint16_t count;
    bool is_leaf;
    uint32_t prefix_size;
    uint64_t heads[TREE_NODE_KEYS_MAX];
    struct tree_key *keys[TREE_NODE_KEYS_MAX];
};

enum {
    CACHE_LINE_BYTES = 64,
    PREFETCH_AHEAD = 8, /* Records. */
    PREFETCH_RECORD_LINES = 2,
};

struct tree_leaf {
    struct tree_node node;
    struct tree_leaf *next;
    struct tree_leaf *previous;
};

struct tree_inner {
    struct tree_node node;
    struct tree_node *children[TREE_NODE_KEYS_MAX + 1];
};

static struct tree_leaf *
leaf_of(const struct tree_node *node)
{
    return CONTAINER_OF(node, struct tree_leaf, node);
}

static struct tree_inner *
inner_of(const struct tree_node *node)
{
    return CONTAINER_OF(node, struct tree_inner, node);
}

/* All heads of a node (its keys too, which an insert moves) at once, instead of one cache miss
 * after the other. */
static void
node_prefetch(const void *node, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += CACHE_LINE_BYTES) {
        __builtin_prefetch((const uint8_t *)node + at);
    }
}

static uint64_t
head_of(struct slice key, uint32_t offset)
{
    uint8_t padded[8] = {0};

    if (key.size >= (size_t)offset + 8) {
        return get_be64(key.data + offset);
    }
    if (key.size > offset) {
        memcpy(padded, key.data + offset, key.size - offset);
    }
    return get_be64(padded);
}

static uint32_t
common_prefix(struct slice a, struct slice b)
{
    uint32_t limit = (uint32_t)(a.size < b.size ? a.size : b.size);
    uint32_t size = 0;

    while (size + 8 <= limit && get_le64(a.data + size) == get_le64(b.data + size)) {
        size += 8;
    }
    while (size < limit && a.data[size] == b.data[size]) {
        size++;
    }
    return size;
}

/* How many of heads[0..count) are below `head`: branch-free halving. */
static uint32_t
heads_below(const uint64_t *heads, uint32_t count, uint64_t head)
{
    const uint64_t *base = heads;

    while (count > 1) {
        uint32_t half = count / 2;

        base += base[half - 1] < head ? half : 0;
        count -= half;
    }
    return (uint32_t)(base - heads) + (count == 1 && *base < head);
}

/* Keys of the node below `key`; with or_equal, at or below. */
static uint32_t
node_rank(const struct tree_node *node, struct slice key, bool or_equal)
{
    uint64_t head = head_of(key, node->prefix_size);
    uint32_t low = heads_below(node->heads, node->count, head);
    uint32_t high = low;

    if (low == node->count || node->heads[low] != head) {
        return low;
    }
    /* Ties: the keys decide, by halving again. */
    high = head == UINT64_MAX ? node->count : heads_below(node->heads, node->count, head + 1);
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        int order = slice_compare(tree_key_slice(node->keys[middle]), key);

        if (order < 0 || (order == 0 && or_equal)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static struct tree_node *
node_new(struct tree *tree, bool is_leaf)
{
    size_t bytes = is_leaf ? sizeof(struct tree_leaf) : sizeof(struct tree_inner);
    struct tree_node *node = arena_alloc(tree->arena, bytes);

    node->count = 0;
    node->is_leaf = is_leaf;
    node->prefix_size = tree->prefix_size;
    if (is_leaf) {
        leaf_of(node)->next = NULL;
        leaf_of(node)->previous = NULL;
    }
    tree->node_bytes += bytes;
    return node;
}

static void
node_prefix_set(struct tree_node *node, uint32_t prefix_size)
{
    if (node->prefix_size == prefix_size) {
        return;
    }
    node->prefix_size = prefix_size;
    for (uint32_t i = 0; i < node->count; i++) {
        node->heads[i] = head_of(tree_key_slice(node->keys[i]), prefix_size);
    }
}

/* Every key k with low <= k < high begins with what low and high share; a node at the edge of
 * the tree has no fence on one side and knows only what all keys share. */
static void
node_fences_set(const struct tree *tree, struct tree_node *node, const struct tree_key *low,
                const struct tree_key *high)
{
    uint32_t prefix_size = tree->prefix_size;

    if (low != NULL && high != NULL) {
        prefix_size = common_prefix(tree_key_slice(low), tree_key_slice(high));
    }
    node_prefix_set(node, prefix_size);
}

/* A key came that does not begin with the tree's prefix: only the nodes along the two edges rely
 * on it, the others have fences. */
static void
prefix_shrink(struct tree *tree, uint32_t prefix_size)
{
    struct tree_node *node = tree->root;

    tree->prefix_size = prefix_size;
    while (!node->is_leaf) {
        node_prefix_set(node, prefix_size);
        node = inner_of(node)->children[0];
    }
    node_prefix_set(node, prefix_size);
    node = tree->root;
    while (!node->is_leaf) {
        node = inner_of(node)->children[node->count];
        node_prefix_set(node, prefix_size);
    }
}

static void
node_put(struct tree_node *node, uint32_t index, struct tree_key *key)
{
    uint32_t behind = node->count - index;

    memmove(&node->heads[index + 1], &node->heads[index], behind * sizeof(node->heads[0]));
    memmove(&node->keys[index + 1], &node->keys[index], behind * sizeof(node->keys[0]));
    node->heads[index] = head_of(tree_key_slice(key), node->prefix_size);
    node->keys[index] = key;
    node->count++;
}

static void
node_move_tail(struct tree_node *from, uint32_t index, struct tree_node *to)
{
    uint32_t moved = from->count - index;

    memcpy(to->heads, &from->heads[index], moved * sizeof(to->heads[0]));
    memcpy(to->keys, &from->keys[index], moved * sizeof(to->keys[0]));
    to->prefix_size = from->prefix_size;
    to->count = (uint16_t)moved;
    from->count = (uint16_t)index;
}

static struct tree_key *
leaf_split(struct tree *tree, struct tree_node *node, struct tree_node **right_out)
{
    struct tree_leaf *left = leaf_of(node);
    struct tree_node *right_node = node_new(tree, true);
    struct tree_leaf *right = leaf_of(right_node);
    /* Keys that arrive in order leave full leaves behind. */
    uint32_t at = left->next == NULL ? node->count - 1 : node->count / 2;

    node_move_tail(node, at, right_node);
    right->next = left->next;
    right->previous = left;
    if (left->next != NULL) {
        left->next->previous = right;
    }
    left->next = right;
    *right_out = right_node;
    return right_node->keys[0];
}

static struct tree_key *
inner_split(struct tree *tree, struct tree_node *node, struct tree_node **right_out)
{
    struct tree_node *right = node_new(tree, false);
    uint32_t at = node->count / 2;
    struct tree_key *separator = node->keys[at];

    node_move_tail(node, at + 1, right);
    memcpy(inner_of(right)->children, &inner_of(node)->children[at + 1],
           (right->count + 1u) * sizeof(struct tree_node *));
    node->count--; /* The separator moves up. */
    *right_out = right;
    return separator;
}

/* Split the full child number `index` of a parent which has room. */
static void
child_split(struct tree *tree, struct tree_node *parent, uint32_t index, const struct tree_key *low,
            const struct tree_key *high)
{
    struct tree_inner *inner = inner_of(parent);
    struct tree_node *child = inner->children[index];
    struct tree_node *right = NULL;
    struct tree_key *separator =
        child->is_leaf ? leaf_split(tree, child, &right) : inner_split(tree, child, &right);

    memmove(&inner->children[index + 2], &inner->children[index + 1],
            (parent->count - index) * sizeof(struct tree_node *));
    inner->children[index + 1] = right;
    node_put(parent, index, separator);
    node_fences_set(tree, child, low, separator);
    node_fences_set(tree, right, separator, high);
}

static void
root_split(struct tree *tree)
{
    struct tree_node *root = node_new(tree, false);

    inner_of(root)->children[0] = tree->root;
    tree->root = root;
    child_split(tree, root, 0, NULL, NULL);
}

void
tree_init(struct tree *tree, struct arena *arena)
{
    memset(tree, 0, sizeof(*tree));
    tree->arena = arena;
}

static void
prefix_admit(struct tree *tree, const struct tree_key *key)
{
    struct slice prefix;
    uint32_t shared;

    if (tree->root == NULL) {
        tree->prefix = key;
        tree->prefix_size = key->size;
        tree->root = node_new(tree, true);
        tree->first_leaf = tree->root;
    }
    prefix = slice_of(tree->prefix->bytes, tree->prefix_size);
    shared = common_prefix(prefix, tree_key_slice(key));
    if (shared < tree->prefix_size) {
        prefix_shrink(tree, shared);
    }
}

void
tree_insert(struct tree *tree, struct tree_key *key)
{
    struct slice bytes = tree_key_slice(key);
    const struct tree_key *low = NULL;
    const struct tree_key *high = NULL;
    struct tree_node *node;
    uint32_t rank;

    prefix_admit(tree, key);
    if (tree->root->count == TREE_NODE_KEYS_MAX) {
        root_split(tree);
    }
    node = tree->root;
    while (!node->is_leaf) {
        struct tree_inner *inner = inner_of(node);

        rank = node_rank(node, bytes, true);
        if (inner->children[rank]->count == TREE_NODE_KEYS_MAX) {
            child_split(tree, node, rank, rank > 0 ? node->keys[rank - 1] : low,
                        rank < node->count ? node->keys[rank] : high);
            rank = node_rank(node, bytes, true);
        }
        low = rank > 0 ? node->keys[rank - 1] : low;
        high = rank < node->count ? node->keys[rank] : high;
        node = inner->children[rank];
        node_prefetch(node, sizeof(*node));
    }
    rank = node_rank(node, bytes, false);
    ASSERT(rank == node->count || !slice_equal(tree_key_slice(node->keys[rank]), bytes));
    node_put(node, rank, key);
    tree->count++;
    tree->generation++;
}

static struct tree_position
position_at(const struct tree_node *leaf, uint32_t index)
{
    return (struct tree_position){.leaf = leaf, .index = index};
}

static struct tree_position
position_none(void)
{
    return position_at(NULL, 0);
}

/* Where `key` stands against the tree's prefix: <0 before all keys, >0 behind all, 0 within. */
static int
prefix_order(const struct tree *tree, struct slice key)
{
    struct slice prefix = slice_of(tree->prefix->bytes, tree->prefix_size);

    return slice_starts_with(key, prefix) ? 0 : slice_compare(key, prefix);
}

static struct tree_node *
leaf_find(const struct tree *tree, struct slice key)
{
    struct tree_node *node = tree->root;

    while (!node->is_leaf) {
        node = inner_of(node)->children[node_rank(node, key, true)];
        node_prefetch(node, offsetof(struct tree_node, keys));
    }
    return node;
}

struct tree_position
tree_seek(const struct tree *tree, struct slice key)
{
    struct tree_node *leaf;
    uint32_t rank;
    int order;

    if (tree->count == 0) {
        return position_none();
    }
    order = prefix_order(tree, key);
    if (order != 0) {
        return order < 0 ? tree_first(tree) : position_none();
    }
    leaf = leaf_find(tree, key);
    rank = node_rank(leaf, key, false);
    if (rank < leaf->count) {
        return position_at(leaf, rank);
    }
    return leaf_of(leaf)->next == NULL ? position_none()
                                       : position_at(&leaf_of(leaf)->next->node, 0);
}

/* The last key below `key`; with or_equal, at or below. */
static struct tree_position
seek_down(const struct tree *tree, struct slice key, bool or_equal)
{
    struct tree_node *leaf;
    struct tree_leaf *previous;
    uint32_t rank;
    int order;

    if (tree->count == 0) {
        return position_none();
    }
    order = prefix_order(tree, key);
    if (order != 0) {
        return order < 0 ? position_none() : tree_last(tree);
    }
    leaf = leaf_find(tree, key);
    rank = node_rank(leaf, key, or_equal);
    if (rank > 0) {
        return position_at(leaf, rank - 1);
    }
    previous = leaf_of(leaf)->previous;
    return previous == NULL ? position_none()
                            : position_at(&previous->node, previous->node.count - 1u);
}

struct tree_position
tree_seek_before(const struct tree *tree, struct slice key)
{
    return seek_down(tree, key, false);
}

struct tree_position
tree_seek_floor(const struct tree *tree, struct slice key)
{
    return seek_down(tree, key, true);
}

struct tree_position
tree_first(const struct tree *tree)
{
    return tree->count == 0 ? position_none() : position_at(tree->first_leaf, 0);
}

struct tree_position
tree_last(const struct tree *tree)
{
    struct tree_node *node = tree->root;

    if (tree->count == 0) {
        return position_none();
    }
    while (!node->is_leaf) {
        node = inner_of(node)->children[node->count];
    }
    return position_at(node, node->count - 1u);
}

void
tree_next(struct tree_position *position)
{
    if (++position->index == position->leaf->count) {
        struct tree_leaf *next = leaf_of(position->leaf)->next;

        *position = next == NULL ? position_none() : position_at(&next->node, 0);
    }
}

void
tree_previous(struct tree_position *position)
{
    if (position->index-- == 0) {
        struct tree_leaf *previous = leaf_of(position->leaf)->previous;

        *position = previous == NULL ? position_none()
                                     : position_at(&previous->node, previous->node.count - 1u);
    }
}

struct tree_key *
tree_at(struct tree_position position)
{
    return position.leaf->keys[position.index];
}

void
tree_prefetch_next(struct tree_position position)
{
    const struct tree_node *leaf = position.leaf;
    uint32_t index = position.index + PREFETCH_AHEAD;

    if (index >= leaf->count && leaf_of(leaf)->next != NULL) {
        index -= leaf->count;
        leaf = &leaf_of(leaf)->next->node;
    }
    if (index < leaf->count) {
        node_prefetch(leaf->keys[index], (size_t)PREFETCH_RECORD_LINES * CACHE_LINE_BYTES);
    }
}

/* The share of the tree's keys that lie below `key`, as if all subtrees were equally full. */
static double
rank_share(const struct tree *tree, struct slice key)
{
    struct tree_node *node = tree->root;
    double share = 0;
    double width = 1;
    int order = prefix_order(tree, key);

    if (order != 0) {
        return order < 0 ? 0 : 1;
    }
    while (!node->is_leaf) {
        uint32_t rank = node_rank(node, key, true);

        width /= node->count + 1u;
        share += width * rank;
        node = inner_of(node)->children[rank];
    }
    return share + width * node_rank(node, key, false) / (node->count > 0 ? node->count : 1u);
}

uint64_t
tree_estimate(const struct tree *tree, struct slice start, struct slice end)
{
    double share;

    if (tree->count == 0) {
        return 0;
    }
    share = rank_share(tree, end) - rank_share(tree, start);
    return share > 0 ? (uint64_t)(share * (double)tree->count) : 0;
}
