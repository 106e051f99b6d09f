/* models/kv/zset_tree.h - the order of a spread sorted set: a B+ tree that counts.
 *
 *                        +- root, level 2 ---------------------+
 *                        | page 7: 700 members | page 9: 612   |
 *                        +-----|--------------------|----------+
 *              +- page 7, level 1 -----+     +- page 9 ... ----+
 *              | page 1: 28 | page 3: 30 ... |
 *              +----|------------|-----+
 *         +- page 1, a leaf --+
 *         | 1 "a" | 1.5 "b" ...
 *
 * Each page is one element of the collection, found by its number: no read passes over what was
 * removed, however often scores change. A page above the leaves says of each page below how many
 * members are there, so that ranks are sums over one path. The root is page 0 for ever.
 *
 *     kind 1 | page number (8, big-endian)  ->  level (1) | items
 *     item of a leaf (level 0)              bits of the score (8, little-endian)
 *                                           | length (varint) | member
 *     item of another                       page (varint) | members (varint)
 *                                           | length (varint) | key
 *
 * Items are in order. A page's key is at most the sort key of its first member and above that of
 * the last member before; the key of a page's first item means nothing. Pages with few items are
 * joined with a neighbour; only the root of an empty tree has none. */
#pragma once

#include "models/kv/zset.h"

enum {
    ZSET_ROOT = 0,
    ZSET_LEVELS_MAX = 16,
    ZSET_LEAF_ITEMS_MAX = 32,
    ZSET_INNER_ITEMS_MAX = 64,
    /* A page of several items splits beyond these, too. */
    ZSET_LEAF_BYTES_MAX = 1400,
    ZSET_INNER_BYTES_MAX = 4096,
    ZSET_PAGES_AHEAD = 16, /* Leaves read together. */
};

/* Of a leaf: score and member. Otherwise: key, page and how many members are below. */
struct zset_item {
    struct slice bytes;
    double score;
    uint64_t page;
    uint64_t members;
};

struct zset_page {
    uint64_t number;
    uint8_t level;
    bool is_changed, is_stored, is_removed;
    uint32_t count, capacity;
    struct zset_item *at; /* In the arena; bytes are borrowed from what was read. */
};

/* ---- Pages: zset_page.c ---- */

/* From its stored form, into page->at. ERR_CORRUPT, ERR_NO_MEMORY. */
err_t zset_page_decode(struct kv_request *request, struct slice stored, uint64_t number,
                       struct zset_page *page);
/* In the arena. */
err_t zset_page_encode(struct kv_request *request, const struct zset_page *page,
                       struct slice *stored_out);
/* Without the level. */
size_t zset_page_bytes(const struct zset_page *page);
/* Room for one more item. ERR_NO_MEMORY. */
err_t zset_page_grow(struct kv_request *request, struct zset_page *page);
/* Of a leaf: the first member at or behind the sort key. */
uint32_t zset_leaf_find(const struct zset_page *page, struct slice key);
/* Otherwise: the item whose page is the sort key's. */
uint32_t zset_inner_find(const struct zset_page *page, struct slice key);
/* Reads a page that lies at this level (-1: any). */
YIELDS err_t zset_page_read(struct kv_request *request, const struct kv_collection *collection,
                            uint64_t number, int level, struct zset_page *page);
/* The stored form of a page that was read, or ERR_CORRUPT. */
err_t zset_page_stored(const struct lsm_value *value, uint64_t number);
struct slice zset_page_element(struct kv_request *request, uint64_t number);

/* ---- Changes: zset_tree.c. Pages are read once and written once, by zset_tree_finish. ---- */

struct zset_tree {
    struct kv_request *request;
    struct kv_collection collection;
    uint64_t next;            /* Number of the next new page. */
    struct zset_page **slots; /* By number, open addressing; in the arena. */
    uint32_t slot_count, page_count;
};

void zset_tree_open(struct kv_request *request, const struct kv_collection *collection,
                    uint64_t next, struct zset_tree *tree_out);
/* The member is not (is) there. */
YIELDS err_t zset_tree_add(struct zset_tree *tree, const struct zset_entry *entry);
YIELDS err_t zset_tree_remove(struct zset_tree *tree, const struct zset_entry *entry);
YIELDS err_t zset_tree_finish(struct zset_tree *tree);
/* A new tree of all these, which are in order; *next_out: the number of the next new page. */
YIELDS err_t zset_tree_build(struct kv_request *request, const struct kv_collection *collection,
                             const struct zset_entries *entries, uint64_t *next_out);

/* ---- Reading in order: zset_cursor.c. Nothing changes the tree meanwhile. ---- */

struct zset_cursor {
    struct kv_request *request;
    struct kv_collection collection;
    uint64_t wanted; /* Members that will be read, at most: leaves are read ahead for them. */
    uint64_t rank;   /* After zset_cursor_seek_key: of where it stands. */
    bool is_reverse;
    bool is_valid;
    uint32_t depth;                          /* Of the leaf. */
    struct zset_page pages[ZSET_LEVELS_MAX]; /* From the root on. */
    uint32_t at[ZSET_LEVELS_MAX];            /* The item in each. */
    struct slice ahead[ZSET_PAGES_AHEAD];    /* Leaves below pages[depth - 1], */
    uint32_t ahead_first, ahead_count;       /* from this item on. */
};

void zset_cursor_open(struct kv_request *request, const struct kv_collection *collection,
                      bool is_reverse, uint64_t wanted, struct zset_cursor *cursor_out);
/* On the first member at or behind the sort key (is_reverse: the last before it). */
YIELDS err_t zset_cursor_seek_key(struct zset_cursor *cursor, struct slice key);
/* On the member of this rank, counted from the first one. */
YIELDS err_t zset_cursor_seek_rank(struct zset_cursor *cursor, uint64_t rank);
YIELDS err_t zset_cursor_move(struct zset_cursor *cursor);
/* Borrowed from the arena. */
struct zset_entry zset_cursor_entry(const struct zset_cursor *cursor);
