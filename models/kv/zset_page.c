/* models/kv/zset_page.c - pages of the trees of sorted sets. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/zset_tree.h"

#include "engine/base/poison.h"

enum { NUMBER_BYTES = 8 };

static err_t
page_corrupt(uint64_t number)
{
    return err_set(ERR_CORRUPT, "page %llu of a sorted set is malformed",
                   (unsigned long long)number);
}

err_t
zset_page_grow(struct kv_request *request, struct zset_page *page)
{
    uint32_t first = 1 + (page->level == 0 ? ZSET_LEAF_ITEMS_MAX : ZSET_INNER_ITEMS_MAX);
    uint32_t capacity = MAX(first, page->capacity * 2);
    size_t bytes = (size_t)capacity * sizeof(*page->at);
    struct zset_item *at;

    if (page->count < page->capacity) {
        return ERR_OK;
    }
    if (kv_memory_lacks(request, bytes)) {
        return err_set(ERR_NO_MEMORY, "no memory for a page of a sorted set; raise --memory");
    }
    at = arena_alloc(request->arena, bytes);
    if (at == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a page of a sorted set; raise --memory");
    }
    if (page->count > 0) {
        memcpy(at, page->at, page->count * sizeof(*at));
    }
    page->at = at;
    page->capacity = capacity;
    return ERR_OK;
}

/* ---- Stored forms ---- */

static bool
bytes_decode(struct slice *left, struct slice *bytes_out)
{
    uint64_t size;
    size_t used = get_varint(left->data, left->data + left->size, &size);

    if (used == 0 || size > left->size - used) {
        return false;
    }
    *bytes_out = slice_of(left->data + used, (size_t)size);
    *left = slice_of(left->data + used + size, left->size - used - size);
    return true;
}

static bool
number_decode(struct slice *left, uint64_t *number_out)
{
    size_t used = get_varint(left->data, left->data + left->size, number_out);

    *left = slice_of(left->data + used, left->size - used);
    return used != 0;
}

static bool
item_decode(struct slice *left, uint8_t level, struct zset_item *item)
{
    if (level > 0) {
        return number_decode(left, &item->page) && number_decode(left, &item->members) &&
               bytes_decode(left, &item->bytes);
    }
    if (left->size < ZSET_SCORE_BYTES) {
        return false;
    }
    memcpy(&item->score, left->data, sizeof(item->score));
    *left = slice_of(left->data + ZSET_SCORE_BYTES, left->size - ZSET_SCORE_BYTES);
    return !isnan(item->score) && bytes_decode(left, &item->bytes);
}

err_t
zset_page_decode(struct kv_request *request, struct slice stored, uint64_t number,
                 struct zset_page *page)
{
    struct slice left = stored;
    err_t err = ERR_OK;

    if (stored.size == 0 || stored.data[0] >= ZSET_LEVELS_MAX) {
        return page_corrupt(number);
    }
    page->number = number;
    page->level = stored.data[0];
    page->is_stored = true;
    page->is_changed = page->is_removed = false;
    page->count = 0;
    left = slice_of(stored.data + 1, stored.size - 1);
    while (left.size > 0) {
        TRY(zset_page_grow(request, page));
        if (!item_decode(&left, page->level, &page->at[page->count])) {
            return page_corrupt(number);
        }
        page->count++;
    }
    if (page->count == 0 && (page->level > 0 || number != ZSET_ROOT)) {
        return page_corrupt(number);
    }
out:
    return err;
}

static size_t
varint_bytes(uint64_t value)
{
    size_t bytes = 1;

    for (; value > 0x7f; value >>= 7) {
        bytes++;
    }
    return bytes;
}

size_t
zset_page_bytes(const struct zset_page *page)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < page->count; i++) {
        const struct zset_item *item = &page->at[i];

        bytes += varint_bytes(item->bytes.size) + item->bytes.size;
        bytes += page->level == 0 ? (size_t)ZSET_SCORE_BYTES
                                  : varint_bytes(item->page) + varint_bytes(item->members);
    }
    return bytes;
}

err_t
zset_page_encode(struct kv_request *request, const struct zset_page *page, struct slice *stored_out)
{
    uint8_t *stored = arena_alloc(request->arena, 1 + zset_page_bytes(page));
    uint8_t *to = stored;

    if (stored == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a page of a sorted set");
    }
    *to++ = page->level;
    for (uint32_t i = 0; i < page->count; i++) {
        const struct zset_item *item = &page->at[i];

        if (page->level == 0) {
            memcpy(to, &item->score, ZSET_SCORE_BYTES);
            to += ZSET_SCORE_BYTES;
        } else {
            to += put_varint(to, item->page);
            to += put_varint(to, item->members);
        }
        to += put_varint(to, item->bytes.size);
        if (item->bytes.size > 0) {
            memcpy(to, item->bytes.data, item->bytes.size);
        }
        to += item->bytes.size;
    }
    *stored_out = slice_of(stored, (size_t)(to - stored));
    return ERR_OK;
}

/* ---- Finding ---- */

uint32_t
zset_leaf_find(const struct zset_page *page, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = page->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        struct zset_entry entry = {
            .score = page->at[middle].score,
            .member = page->at[middle].bytes,
        };

        if (zset_entry_compare(&entry, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t
zset_inner_find(const struct zset_page *page, struct slice key)
{
    uint32_t low = 0;
    uint32_t high = page->count - 1; /* The first item is for all before the second. */

    while (low < high) {
        uint32_t middle = low + (high - low + 1) / 2;

        if (slice_compare(page->at[middle].bytes, key) <= 0) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

/* ---- Reading ---- */

struct slice
zset_page_element(struct kv_request *request, uint64_t number)
{
    uint8_t *at = arena_alloc(request->arena, NUMBER_BYTES);

    put_be64(at, number);
    return slice_of(at, NUMBER_BYTES);
}

err_t
zset_page_stored(const struct lsm_value *value, uint64_t number)
{
    return value->is_found ? ERR_OK
                           : err_set(ERR_CORRUPT, "page %llu of a sorted set is missing",
                                     (unsigned long long)number);
}

err_t
zset_page_read(struct kv_request *request, const struct kv_collection *collection, uint64_t number,
               int level, struct zset_page *page)
{
    struct lsm_value value;
    err_t err;

    TRY(kv_element_get(request, collection, ZSET_PAGES, zset_page_element(request, number),
                       &value));
    TRY(zset_page_stored(&value, number));
    TRY(zset_page_decode(request, value.value, number, page));
    if (level >= 0 && page->level != level) {
        return page_corrupt(number);
    }
out:
    return err;
}
