/* models/kv/zset_cursor.c - spread sorted sets in order. */
#include "engine/base/assert.h"
#include "models/kv/zset_tree.h"

#include "engine/base/poison.h"

enum { LEAF_ITEMS_EXPECTED = ZSET_LEAF_ITEMS_MAX / 2, WORK_UNITS_PER_PAGE = 3 };

static err_t
cursor_corrupt(void)
{
    return err_set(ERR_CORRUPT, "the pages of a sorted set do not fit together");
}

void
zset_cursor_open(struct kv_request *request, const struct kv_collection *collection,
                 bool is_reverse, uint64_t wanted, struct zset_cursor *cursor_out)
{
    cursor_out->request = request;
    cursor_out->collection = *collection;
    cursor_out->is_reverse = is_reverse;
    cursor_out->is_valid = false;
    cursor_out->wanted = wanted;
    cursor_out->rank = 0;
    cursor_out->depth = 0;
    cursor_out->ahead_count = 0;
    memset(cursor_out->pages, 0, sizeof(cursor_out->pages));
}

/* Reads the leaves from that below pages[depth] on, as many as are wanted, in the direction of the
 * cursor. */
static YIELDS err_t
leaves_read(struct zset_cursor *cursor, uint32_t depth)
{
    const struct zset_page *above = &cursor->pages[depth];
    uint64_t wanted = MIN(cursor->wanted / LEAF_ITEMS_EXPECTED + 1, (uint64_t)ZSET_PAGES_AHEAD);
    uint32_t at = cursor->at[depth];
    uint32_t count = (uint32_t)MIN(wanted, cursor->is_reverse ? at + 1U : above->count - at);
    uint32_t first = cursor->is_reverse ? at + 1 - count : at;
    struct slice elements[ZSET_PAGES_AHEAD];
    struct lsm_value values[ZSET_PAGES_AHEAD];
    err_t err;

    ASSERT(count > 0);
    for (uint32_t i = 0; i < count; i++) {
        elements[i] = zset_page_element(cursor->request, above->at[first + i].page);
    }
    cursor->ahead_count = 0;
    TRY(kv_element_get_many(cursor->request, &cursor->collection, ZSET_PAGES, elements, count,
                            values));
    for (uint32_t i = 0; i < count; i++) {
        TRY(zset_page_stored(&values[i], above->at[first + i].page));
        cursor->ahead[i] = values[i].value;
    }
    cursor->ahead_first = first;
    cursor->ahead_count = count;
    kv_work(cursor->request, count * WORK_UNITS_PER_PAGE);
out:
    return err;
}

/* From pages[depth] down to the page below its item, which becomes pages[depth + 1]. */
static YIELDS err_t
page_enter(struct zset_cursor *cursor, uint32_t depth)
{
    const struct zset_page *above = &cursor->pages[depth];
    struct zset_page *below = &cursor->pages[depth + 1];
    uint32_t at = cursor->at[depth];
    uint64_t number = above->at[at].page;
    err_t err;

    if (above->level > 1) {
        cursor->ahead_count = 0; /* Those were below another page. */
        TRY(zset_page_read(cursor->request, &cursor->collection, number, above->level - 1, below));
        kv_work(cursor->request, WORK_UNITS_PER_PAGE);
        return ERR_OK;
    }
    if (cursor->ahead_count == 0 || at < cursor->ahead_first ||
        at - cursor->ahead_first >= cursor->ahead_count) {
        TRY(leaves_read(cursor, depth));
    }
    TRY(zset_page_decode(cursor->request, cursor->ahead[at - cursor->ahead_first], number, below));
    if (below->level != 0) {
        return cursor_corrupt();
    }
out:
    return err;
}

static YIELDS err_t
root_enter(struct zset_cursor *cursor)
{
    cursor->depth = 0;
    cursor->is_valid = false;
    cursor->ahead_count = 0;
    return zset_page_read(cursor->request, &cursor->collection, ZSET_ROOT, -1, &cursor->pages[0]);
}

/* Leaves the leaf at its end: to the next one's beginning (or, backward, the last one's end). */
static YIELDS err_t
leaf_leave(struct zset_cursor *cursor)
{
    bool is_back = cursor->is_reverse;
    uint32_t depth = cursor->depth;
    err_t err = ERR_OK;

    cursor->is_valid = false;
    do {
        if (depth == 0) {
            return ERR_OK;
        }
        depth--;
    } while (is_back ? cursor->at[depth] == 0
                     : cursor->at[depth] + 1 == cursor->pages[depth].count);
    cursor->at[depth] += is_back ? -1U : 1U;
    for (; depth < cursor->depth; depth++) {
        TRY(page_enter(cursor, depth));
        cursor->at[depth + 1] = is_back ? cursor->pages[depth + 1].count - 1 : 0;
    }
    cursor->is_valid = true;
out:
    return err;
}

err_t
zset_cursor_seek_key(struct zset_cursor *cursor, struct slice key)
{
    uint64_t rank = 0;
    struct zset_page *page;
    err_t err;

    TRY(root_enter(cursor));
    for (page = cursor->pages; page->level > 0; page++, cursor->depth++) {
        uint32_t at = zset_inner_find(page, key);

        for (uint32_t i = 0; i < at; i++) {
            rank += page->at[i].members;
        }
        cursor->at[cursor->depth] = at;
        TRY(page_enter(cursor, cursor->depth));
    }
    cursor->at[cursor->depth] = zset_leaf_find(page, key);
    cursor->rank = rank + cursor->at[cursor->depth];
    cursor->is_valid = true;
    if (cursor->is_reverse) {
        TRY(zset_cursor_move(cursor));
    } else if (cursor->at[cursor->depth] == page->count) {
        TRY(leaf_leave(cursor));
    }
out:
    return err;
}

err_t
zset_cursor_seek_rank(struct zset_cursor *cursor, uint64_t rank)
{
    struct zset_page *page;
    err_t err;

    TRY(root_enter(cursor));
    for (page = cursor->pages; page->level > 0; page++, cursor->depth++) {
        uint32_t at = 0;

        while (at < page->count && rank >= page->at[at].members) {
            rank -= page->at[at++].members;
        }
        if (at == page->count) {
            return cursor_corrupt();
        }
        cursor->at[cursor->depth] = at;
        TRY(page_enter(cursor, cursor->depth));
    }
    if (rank >= page->count) {
        return cursor_corrupt();
    }
    cursor->at[cursor->depth] = (uint32_t)rank;
    cursor->is_valid = true;
out:
    return err;
}

err_t
zset_cursor_move(struct zset_cursor *cursor)
{
    uint32_t *at = &cursor->at[cursor->depth];

    ASSERT(cursor->is_valid);
    cursor->wanted -= cursor->wanted > 0;
    if (cursor->is_reverse ? *at == 0 : *at + 1 == cursor->pages[cursor->depth].count) {
        return leaf_leave(cursor);
    }
    *at += cursor->is_reverse ? -1U : 1U;
    return ERR_OK;
}

struct zset_entry
zset_cursor_entry(const struct zset_cursor *cursor)
{
    const struct zset_item *item;

    ASSERT(cursor->is_valid);
    item = &cursor->pages[cursor->depth].at[cursor->at[cursor->depth]];
    return (struct zset_entry){.score = item->score, .member = item->bytes};
}
