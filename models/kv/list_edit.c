/* models/kv/list_edit.c - changes amid a list: LSET, LINSERT, LREM. */
#include "models/kv/list.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

/* ---- Renumbering ---- */

/* Elements on their way to other numbers. Items are in `arena` but for large ones, which the
 * transaction borrows and which are therefore in the request's. */
struct chunk {
    struct arena arena;
    struct slice items[LIST_CHUNK];
    uint32_t count;
};

static YIELDS err_t
chunk_read(struct kv_request *request, const struct kv_list *list, uint64_t position,
           uint32_t count, struct chunk *chunk)
{
    struct kv_list_cursor cursor;
    struct slice item;
    bool is_found;
    err_t err;

    arena_reset(&chunk->arena);
    chunk->count = 0;
    TRY(kv_list_cursor_open(request, list, position, count, false, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        bool is_large = item.size > LSM_VALUE_INLINE_BYTES_MAX;

        chunk->items[chunk->count++] = arena_copy(is_large ? request->arena : &chunk->arena, item);
    }
    kv_list_cursor_close(&cursor);
out:
    return err;
}

/* The items of [from, end) take the numbers from `to`, which is at or before theirs, on; but for
 * those at the positions of `gone`, which all lie there. */
static YIELDS err_t
move_down(struct kv_request *request, const struct kv_list *list, uint64_t from, uint64_t end,
          uint64_t to, const uint64_t *gone, uint64_t gone_count)
{
    struct chunk chunk;
    uint64_t passed = 0;
    err_t err = ERR_OK;

    arena_init(&chunk.arena, MEM_SESSIONS);
    while (from < end) {
        TRY(chunk_read(request, list, from, (uint32_t)MIN(end - from, (uint64_t)LIST_CHUNK),
                       &chunk));
        for (uint32_t i = 0; i < chunk.count; i++, from++) {
            if (passed < gone_count && gone[passed] == from) {
                passed++;
            } else {
                kv_list_put(request, list, to++, chunk.items[i]);
            }
        }
    }
out:
    arena_fini(&chunk.arena);
    return err;
}

/* The same upward: the items of [from, end) take the numbers that end before to_end. */
static YIELDS err_t
move_up(struct kv_request *request, const struct kv_list *list, uint64_t from, uint64_t end,
        uint64_t to_end, const uint64_t *gone, uint64_t gone_count)
{
    struct chunk chunk;
    err_t err = ERR_OK;

    arena_init(&chunk.arena, MEM_SESSIONS);
    while (from < end) {
        uint32_t count = (uint32_t)MIN(end - from, (uint64_t)LIST_CHUNK);

        TRY(chunk_read(request, list, end - count, count, &chunk));
        for (uint32_t i = chunk.count; i > 0; i--) {
            end--;
            if (gone_count > 0 && gone[gone_count - 1] == end) {
                gone_count--;
            } else {
                kv_list_put(request, list, --to_end, chunk.items[i - 1]);
            }
        }
    }
out:
    arena_fini(&chunk.arena);
    return err;
}

/* ---- LSET ---- */

err_t
kv_list_set(struct kv_request *request, struct kv_list *list, uint64_t position, struct slice item)
{
    struct slice *items;
    struct slice old;
    err_t err;

    kv_list_will_grow(list, &item, 1);
    TRY(kv_list_get(request, list, position, &old));
    list->bytes -= MIN(kv_list_entry_bytes(old), list->bytes);
    list->bytes += kv_list_entry_bytes(item);
    if (list->is_spread) {
        kv_list_put(request, list, list->first + position, item);
        return ERR_OK;
    }
    TRY(kv_list_items_new(request, list->count, &items));
    memcpy(items, list->items, list->count * sizeof(*items));
    items[position] = item;
    list->items = items;
out:
    return err;
}

/* ---- LINSERT ---- */

static YIELDS err_t
packed_insert(struct kv_request *request, struct kv_list *list, uint64_t position,
              struct slice item)
{
    struct slice *items;
    err_t err;

    TRY(kv_list_items_new(request, list->count + 1, &items));
    for (uint64_t i = 0; i < list->count; i++) {
        items[i < position ? i : i + 1] = list->items[i];
    }
    items[position] = item;
    list->items = items;
out:
    return err;
}

static YIELDS err_t
spread_insert(struct kv_request *request, struct kv_list *list, uint64_t position,
              struct slice item)
{
    bool is_left_moved = position <= list->count - position;
    uint64_t number = list->first + position;
    err_t err;

    if (is_left_moved ? list->first == 0 : list->first + list->count == UINT64_MAX) {
        return err_set(ERR_LIMIT, "the list has no numbers left at this end for one element");
    }
    if (is_left_moved) {
        TRY(move_down(request, list, 0, position, list->first - 1, NULL, 0));
        list->first--;
        number--;
    } else {
        TRY(move_up(request, list, position, list->count, list->first + list->count + 1, NULL, 0));
    }
    kv_list_put(request, list, number, item);
out:
    return err;
}

err_t
kv_list_insert(struct kv_request *request, struct kv_list *list, uint64_t position,
               struct slice item)
{
    err_t err;

    ASSERT(position <= list->count);
    kv_list_will_grow(list, &item, 1);
    TRY(list->is_spread ? spread_insert(request, list, position, item)
                        : packed_insert(request, list, position, item));
    list->count++;
    list->bytes += kv_list_entry_bytes(item);
out:
    return err;
}

/* ---- LREM ---- */

static void
packed_remove(struct kv_list *list, const uint64_t *positions, uint64_t count)
{
    uint64_t kept = 0;
    uint64_t passed = 0;

    for (uint64_t i = 0; i < list->count; i++) {
        if (passed < count && positions[passed] == i) {
            passed++;
        } else {
            list->items[kept++] = list->items[i];
        }
    }
}

static YIELDS err_t
spread_remove(struct kv_request *request, struct kv_list *list, const uint64_t *positions,
              uint64_t count)
{
    uint64_t behind = list->count - positions[0]; /* The first that goes and all after it. */
    uint64_t before = positions[count - 1] + UINT64_C(1); /* All up to the last that goes. */
    err_t err;

    if (behind <= before) {
        TRY(move_down(request, list, positions[0], list->count, list->first + positions[0],
                      positions, count));
        kv_list_delete(request, list, list->first + list->count - count, count);
    } else {
        TRY(move_up(request, list, 0, before, list->first + before, positions, count));
        kv_list_delete(request, list, list->first, count);
        list->first += count;
    }
out:
    return err;
}

err_t
kv_list_remove(struct kv_request *request, struct kv_list *list, const uint64_t *positions,
               uint64_t count, uint64_t bytes)
{
    err_t err = ERR_OK;

    ASSERT(count <= list->count);
    if (count == 0) {
        return ERR_OK;
    }
    if (!list->is_spread) {
        packed_remove(list, positions, count);
    } else if (count < list->count) { /* Otherwise all goes with the head. */
        TRY(spread_remove(request, list, positions, count));
    }
    list->count -= count;
    list->bytes -= MIN(bytes, list->bytes);
out:
    return err;
}
