/* models/kv/zset_tree.c - changes of the trees of sorted sets. */
#include "models/kv/zset_tree.h"
#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    SLOTS_FIRST = 32,
    /* A new tree's pages, and those that joining makes, have room for more. */
    LEAF_ITEMS_NEW = ZSET_LEAF_ITEMS_MAX * 7 / 8,
    INNER_ITEMS_NEW = ZSET_INNER_ITEMS_MAX * 7 / 8,
    WORK_UNITS_PER_PAGE = 3,
    WORK_UNITS_PER_MEMBER = 5,
};

/* One page of the path from the root to a member, and the item that leads on. */
struct step {
    struct zset_page *page;
    uint32_t at;
};

static err_t
tree_corrupt(void)
{
    return err_set(ERR_CORRUPT, "the pages of a sorted set do not fit together");
}

static uint32_t
items_max(uint8_t level)
{
    return level == 0 ? ZSET_LEAF_ITEMS_MAX : ZSET_INNER_ITEMS_MAX;
}

static size_t
bytes_max(uint8_t level)
{
    return level == 0 ? ZSET_LEAF_BYTES_MAX : ZSET_INNER_BYTES_MAX;
}

/* ---- Pages in memory ---- */

void
zset_tree_open(struct kv_request *request, const struct kv_collection *collection, uint64_t next,
               struct zset_tree *tree_out)
{
    *tree_out =
        (struct zset_tree){.request = request, .collection = *collection, .next = MAX(next, 1UL)};
}

static struct zset_page **
slot_of(const struct zset_tree *tree, uint64_t number)
{
    uint32_t at = (uint32_t)number & (tree->slot_count - 1); /* Numbers are dense. */

    while (tree->slots[at] != NULL && tree->slots[at]->number != number) {
        at = (at + 1) & (tree->slot_count - 1);
    }
    return &tree->slots[at];
}

static err_t
slots_grow(struct zset_tree *tree)
{
    struct zset_tree larger = *tree;
    size_t bytes;

    larger.slot_count = MAX((uint32_t)SLOTS_FIRST, tree->slot_count * 2);
    bytes = larger.slot_count * sizeof(struct zset_page *);
    larger.slots = arena_alloc(tree->request->arena, bytes);
    if (larger.slots == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u pages of a sorted set", tree->page_count);
    }
    memset(larger.slots, 0, bytes);
    for (uint32_t i = 0; i < tree->slot_count; i++) {
        if (tree->slots[i] != NULL) {
            *slot_of(&larger, tree->slots[i]->number) = tree->slots[i];
        }
    }
    *tree = larger;
    return ERR_OK;
}

/* An empty one, known by its number. */
static err_t
page_make(struct zset_tree *tree, uint64_t number, struct zset_page **page_out)
{
    struct zset_page *page = arena_alloc(tree->request->arena, sizeof(*page));
    err_t err = ERR_OK;

    if (2 * (tree->page_count + 1) > tree->slot_count) {
        TRY(slots_grow(tree));
    }
    *page = (struct zset_page){.number = number};
    *slot_of(tree, number) = page;
    tree->page_count++;
    *page_out = page;
out:
    return err;
}

static err_t
page_new(struct zset_tree *tree, uint8_t level, struct zset_page **page_out)
{
    err_t err;

    TRY(page_make(tree, tree->next, page_out));
    tree->next++;
    (*page_out)->level = level;
    (*page_out)->is_changed = true;
out:
    return err;
}

static YIELDS err_t
page_get(struct zset_tree *tree, uint64_t number, int level, struct zset_page **page_out)
{
    struct zset_page read = {0};
    struct zset_page *page = tree->slot_count == 0 ? NULL : *slot_of(tree, number);
    err_t err = ERR_OK;

    if (page == NULL) {
        TRY(zset_page_read(tree->request, &tree->collection, number, level, &read));
        TRY(page_make(tree, number, &page));
        *page = read;
        kv_work(tree->request, WORK_UNITS_PER_PAGE);
    }
    if (page->is_removed || (level >= 0 && page->level != level)) {
        return tree_corrupt();
    }
    *page_out = page;
out:
    return err;
}

static err_t
item_insert(struct zset_tree *tree, struct zset_page *page, uint32_t at,
            const struct zset_item *item)
{
    err_t err;

    TRY(zset_page_grow(tree->request, page));
    memmove(&page->at[at + 1], &page->at[at], (page->count - at) * sizeof(*item));
    page->at[at] = *item;
    page->count++;
    page->is_changed = true;
out:
    return err;
}

static void
item_remove(struct zset_page *page, uint32_t at)
{
    page->count--;
    memmove(&page->at[at], &page->at[at + 1], (page->count - at) * sizeof(*page->at));
    page->is_changed = true;
}

/* ---- Finding the place of a member ---- */

static YIELDS err_t
path_find(struct zset_tree *tree, struct slice key, struct step path[ZSET_LEVELS_MAX],
          uint32_t *depth_out)
{
    struct zset_page *page;
    uint32_t depth = 0;
    err_t err;

    TRY(page_get(tree, ZSET_ROOT, -1, &page));
    while (page->level > 0) {
        uint32_t at = zset_inner_find(page, key);

        path[depth++] = (struct step){page, at};
        TRY(page_get(tree, page->at[at].page, page->level - 1, &page));
    }
    path[depth] = (struct step){page, zset_leaf_find(page, key)};
    *depth_out = depth;
out:
    return err;
}

/* ---- Adding ---- */

static bool
is_full(const struct zset_page *page)
{
    uint32_t few = page->level == 0 ? 1 : 3; /* So many always have room. */

    return page->count > items_max(page->level) ||
           (page->count > few && zset_page_bytes(page) > bytes_max(page->level));
}

/* The shortest key that is above that of the member `last` and not above that of `first`. */
static struct slice
key_between(struct kv_request *request, const struct zset_item *last, const struct zset_item *first)
{
    struct slice low = zset_sort_key(request, last->score, last->bytes);
    struct slice high = zset_sort_key(request, first->score, first->bytes);
    size_t common = 0;

    while (common < low.size && common + 1 < high.size && low.data[common] == high.data[common]) {
        common++;
    }
    return slice_of(high.data, MIN(common + 1, high.size));
}

/* Moves the root's items into a page of their own, which the root becomes one above. */
static err_t
root_raise(struct zset_tree *tree, struct step path[ZSET_LEVELS_MAX], uint32_t *depth)
{
    struct zset_page *root = path[0].page;
    struct zset_item item = {.members = 0};
    struct zset_page *page;
    err_t err;

    if (root->level + 1 >= ZSET_LEVELS_MAX) {
        return err_set(ERR_LIMIT, "a sorted set has more than %d levels", ZSET_LEVELS_MAX);
    }
    TRY(page_new(tree, root->level, &page));
    page->at = root->at;
    page->count = root->count;
    page->capacity = root->capacity;
    item.page = page->number;
    for (uint32_t i = 0; i < page->count; i++) {
        item.members += page->level == 0 ? 1 : page->at[i].members;
    }
    root->level++;
    root->at = NULL;
    root->count = root->capacity = 0;
    TRY(item_insert(tree, root, 0, &item));
    memmove(&path[1], &path[0], (*depth + 1) * sizeof(*path));
    path[1].page = page;
    path[0] = (struct step){root, 0};
    ++*depth;
out:
    return err;
}

/* Where to part a full page: at its half, or before an item that came at the end of the tree, so
 * that what is added in order fills its pages. */
static uint32_t
split_place(const struct step *path, uint32_t depth)
{
    const struct zset_page *page = path[depth].page;
    bool is_last = path[depth].at + 1 == page->count;

    for (uint32_t i = 0; i < depth && is_last; i++) {
        is_last = path[i].at + 1 == path[i].page->count;
    }
    return is_last ? page->count - 1 : page->count / 2;
}

/* The items of path[depth] from its half on go to a new page behind it. */
static err_t
page_split(struct zset_tree *tree, struct step *path, uint32_t depth)
{
    struct zset_page *page = path[depth].page;
    struct step *above = &path[depth - 1];
    struct zset_item item = {.members = 0};
    struct zset_page *second;
    uint32_t from = split_place(path, depth);
    err_t err;

    TRY(page_new(tree, page->level, &second));
    item.page = second->number;
    item.bytes = page->level > 0 ? page->at[from].bytes
                                 : key_between(tree->request, &page->at[from - 1], &page->at[from]);
    for (uint32_t i = from; i < page->count; i++) {
        item.members += page->level == 0 ? 1 : page->at[i].members;
        TRY(item_insert(tree, second, second->count, &page->at[i]));
    }
    page->count = from;
    page->is_changed = true;
    if (item.members > above->page->at[above->at].members) {
        return tree_corrupt();
    }
    above->page->at[above->at].members -= item.members;
    TRY(item_insert(tree, above->page, above->at + 1, &item));
    above->at += path[depth].at >= from; /* Where what was added is now. */
out:
    return err;
}

err_t
zset_tree_add(struct zset_tree *tree, const struct zset_entry *entry)
{
    struct slice key = zset_sort_key(tree->request, entry->score, entry->member);
    struct zset_item item = {.score = entry->score, .bytes = entry->member};
    struct step path[ZSET_LEVELS_MAX + 1];
    uint32_t depth = 0;
    err_t err;

    TRY(path_find(tree, key, path, &depth));
    TRY(item_insert(tree, path[depth].page, path[depth].at, &item));
    for (uint32_t i = 0; i < depth; i++) {
        path[i].page->at[path[i].at].members++;
        path[i].page->is_changed = true;
    }
    while (is_full(path[depth].page)) {
        if (depth == 0) {
            TRY(root_raise(tree, path, &depth));
        }
        TRY(page_split(tree, path, depth));
        depth--;
    }
    kv_work(tree->request, WORK_UNITS_PER_MEMBER);
out:
    return err;
}

/* ---- Removing ---- */

/* Of few items, now and then: so that a page whose neighbours are full is not looked at each time
 * that a member leaves. */
static bool
is_sparse(const struct zset_page *page)
{
    return page->count <= items_max(page->level) / 4 && (page->count & (page->count - 1)) == 0;
}

/* The page below item `right` of `above` goes into the one before it, if there is room. */
static YIELDS err_t
pages_join(struct zset_tree *tree, struct zset_page *above, uint32_t right, bool *is_joined)
{
    struct zset_page *first;
    struct zset_page *second;
    err_t err;

    TRY(page_get(tree, above->at[right - 1].page, above->level - 1, &first));
    TRY(page_get(tree, above->at[right].page, above->level - 1, &second));
    if (first->count + second->count > items_max(first->level) * 7 / 8 ||
        zset_page_bytes(first) + zset_page_bytes(second) > bytes_max(first->level)) {
        return ERR_OK;
    }
    if (second->count > 0) {
        second->at[0].bytes = second->level > 0 ? above->at[right].bytes : second->at[0].bytes;
    }
    for (uint32_t i = 0; i < second->count; i++) {
        TRY(item_insert(tree, first, first->count, &second->at[i]));
    }
    above->at[right - 1].members += above->at[right].members;
    second->is_removed = true;
    item_remove(above, right);
    *is_joined = true;
out:
    return err;
}

/* Few items are left in path[depth]: is it joined with a neighbour, or gone? */
static YIELDS err_t
page_shrunk(struct zset_tree *tree, struct step *path, uint32_t depth, bool *is_joined)
{
    struct zset_page *above = path[depth - 1].page;
    uint32_t at = path[depth - 1].at;

    *is_joined = false;
    if (path[depth].page->count == 0) {
        path[depth].page->is_removed = true;
        item_remove(above, at);
        *is_joined = true;
        return ERR_OK;
    }
    return above->count > 1 ? pages_join(tree, above, MAX(at, 1U), is_joined) : ERR_OK;
}

/* A root with one page below becomes that page. */
static YIELDS err_t
root_lower(struct zset_tree *tree, struct zset_page *root)
{
    err_t err = ERR_OK;

    while (root->level > 0 && root->count <= 1) {
        struct zset_page *only;

        if (root->count == 0) {
            root->level = 0;
            break;
        }
        TRY(page_get(tree, root->at[0].page, root->level - 1, &only));
        root->level = only->level;
        root->at = only->at;
        root->count = only->count;
        root->capacity = only->capacity;
        root->is_changed = true;
        only->is_removed = true;
    }
out:
    return err;
}

err_t
zset_tree_remove(struct zset_tree *tree, const struct zset_entry *entry)
{
    struct slice key = zset_sort_key(tree->request, entry->score, entry->member);
    struct step path[ZSET_LEVELS_MAX + 1];
    bool is_joined = true;
    uint32_t depth = 0;
    struct step *leaf;
    err_t err;

    TRY(path_find(tree, key, path, &depth));
    leaf = &path[depth];
    if (leaf->at == leaf->page->count || leaf->page->at[leaf->at].score != entry->score ||
        !slice_equal(leaf->page->at[leaf->at].bytes, entry->member)) {
        return tree_corrupt();
    }
    item_remove(leaf->page, leaf->at);
    for (uint32_t i = 0; i < depth; i++) {
        if (path[i].page->at[path[i].at].members == 0) {
            return tree_corrupt();
        }
        path[i].page->at[path[i].at].members--;
        path[i].page->is_changed = true;
    }
    for (; depth > 0 && is_joined && is_sparse(path[depth].page); depth--) {
        TRY(page_shrunk(tree, path, depth, &is_joined));
    }
    TRY(root_lower(tree, path[0].page));
    kv_work(tree->request, WORK_UNITS_PER_MEMBER);
out:
    return err;
}

/* ---- Writing ---- */

static YIELDS err_t
page_write(struct zset_tree *tree, const struct zset_page *page)
{
    struct slice element = zset_page_element(tree->request, page->number);
    struct slice stored;
    err_t err = ERR_OK;

    if (page->is_removed) {
        if (page->is_stored) {
            kv_element_delete(tree->request, &tree->collection, ZSET_PAGES, element);
        }
        return ERR_OK;
    }
    TRY(zset_page_encode(tree->request, page, &stored));
    kv_element_put(tree->request, &tree->collection, ZSET_PAGES, element, stored);
    kv_work(tree->request, WORK_UNITS_PER_PAGE);
out:
    return err;
}

err_t
zset_tree_finish(struct zset_tree *tree)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < tree->slot_count; i++) {
        const struct zset_page *page = tree->slots[i];

        if (page != NULL && (page->is_changed || page->is_removed)) {
            TRY(page_write(tree, page));
        }
    }
out:
    return err;
}

/* ---- Building ---- */

/* The items of one level, from which the pages of it are made. */
struct level {
    uint8_t level;
    uint64_t count;
    struct zset_item *at;
};

/* Writes items [from, to) as one page, behind the item `last`; *item_out: what is above it. */
static YIELDS err_t
built_write(struct zset_tree *tree, const struct level *level, uint64_t from, uint64_t to,
            const struct zset_item *last, struct zset_item *item_out)
{
    bool is_root = from == 0 && to == level->count;
    struct zset_page page = {
        .number = is_root ? (uint64_t)ZSET_ROOT : tree->next,
        .level = level->level,
        .count = (uint32_t)(to - from),
        .at = level->at + from,
    };

    tree->next += !is_root;
    *item_out = (struct zset_item){.page = page.number};
    for (uint64_t i = from; i < to; i++) {
        item_out->members += page.level == 0 ? 1 : level->at[i].members;
    }
    if (from > 0) {
        item_out->bytes = page.level > 0 ? level->at[from].bytes
                                         : key_between(tree->request, last, &level->at[from]);
    }
    return page_write(tree, &page);
}

/* The end of the page that begins with item `from`. */
static uint64_t
built_end(const struct level *level, uint64_t from)
{
    uint32_t items = level->level == 0 ? LEAF_ITEMS_NEW : INNER_ITEMS_NEW;
    uint64_t few = level->level == 0 ? 1 : 2;
    size_t bytes = 0;
    uint64_t end = from;

    while (end < level->count && end - from < items &&
           (end - from < few || bytes < bytes_max(level->level) * 3 / 4)) {
        bytes += level->at[end++].bytes.size + ZSET_SCORE_BYTES;
    }
    return end + 1 == level->count ? level->count : end; /* No page of one item at the end. */
}

/* Writes the pages of a level; the level above takes its place. */
static YIELDS err_t
level_build(struct zset_tree *tree, struct level *level)
{
    struct zset_item last = {.members = 0};
    uint64_t count = 0;
    err_t err = ERR_OK;

    for (uint64_t from = 0; from < level->count; count++) {
        uint64_t to = built_end(level, from);
        struct zset_item item;

        TRY(built_write(tree, level, from, to, &last, &item));
        last = level->at[to - 1];
        level->at[count] = item; /* In place of items that are written already. */
        from = to;
    }
    level->count = count;
    level->level++;
out:
    return err;
}

err_t
zset_tree_build(struct kv_request *request, const struct kv_collection *collection,
                const struct zset_entries *entries, uint64_t *next_out)
{
    struct level level = {.count = entries->count};
    size_t bytes = entries->count * sizeof(*level.at);
    struct zset_tree tree;
    err_t err = ERR_OK;

    ASSERT(entries->count > 0);
    zset_tree_open(request, collection, 1, &tree);
    if (!kv_memory_lacks(request, bytes)) {
        level.at = arena_alloc(request->arena, bytes);
    }
    if (level.at == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a sorted set of %u members; raise --memory",
                       entries->count);
    }
    for (uint32_t i = 0; i < entries->count; i++) {
        level.at[i] =
            (struct zset_item){.score = entries->at[i].score, .bytes = entries->at[i].member};
    }
    do {
        TRY(level_build(&tree, &level));
    } while (level.count > 1);
    *next_out = tree.next;
out:
    return err;
}
