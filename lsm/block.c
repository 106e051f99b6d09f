/* lsm/block.c - reading blocks. */
#include "lsm/block.h"

#include "engine/base/assert.h"
#include "lsm/block_key.h"
#include "lsm/block_row.h"

#include "engine/base/poison.h"

/* ---- Rows. ---- */

/* Most numbers fit a byte. NULL when the input ends or the number is too large. */
static inline const uint8_t *
read_varint(const uint8_t *at, const uint8_t *end, uint64_t *value_out)
{
    size_t used;

    if (__builtin_expect(at < end && *at < 0x80, 1)) {
        *value_out = *at;
        return at + 1;
    }
    used = get_varint(at, end, value_out);
    return used == 0 ? NULL : at + used;
}

/* Slot, times: what follows the three sizes. */
static const uint8_t *
row_decode_stamps(const struct block *block, const uint8_t *at, const uint8_t *end, uint8_t flags,
                  struct block_row *row)
{
    uint64_t number;

    row->has_slot = (flags & ROW_SLOT_AS_BEFORE) == 0;
    if (row->has_slot) {
        if (end - at < 2) {
            return NULL;
        }
        row->slot = get_le16(at);
        at += 2;
    }
    at = read_varint(at, end, &number);
    if (at == NULL) {
        return NULL;
    }
    row->ts = block->ts_base + unzigzag(number);
    row->expire_us = 0;
    if (__builtin_expect((flags & ROW_HAS_EXPIRY) != 0, 0)) {
        at = read_varint(at, end, &number);
        if (at == NULL) {
            return NULL;
        }
        row->expire_us = (row->ts >> 12) + unzigzag(number);
    }
    return at;
}

bool
block_row_decode(const struct block *block, uint32_t offset, struct block_row *row)
{
    const uint8_t *at = block->data + offset;
    const uint8_t *end = block->data + block->bytes;
    uint64_t shared, unshared, value_bytes;
    uint8_t flags = *at++;

    if ((flags & ~ROW_FLAGS_ALL) != 0 || (flags & ROW_KIND_MASK) > LSM_PUT_LARGE) {
        return false;
    }
    at = read_varint(at, end, &shared);
    at = at == NULL ? NULL : read_varint(at, end, &unshared);
    at = at == NULL ? NULL : read_varint(at, end, &value_bytes);
    at = at == NULL ? NULL : row_decode_stamps(block, at, end, flags, row);
    if (at == NULL || shared > LSM_KEY_BYTES_MAX || unshared > LSM_KEY_BYTES_MAX - shared) {
        return false;
    }
    if (unshared > (uint64_t)(end - at) || value_bytes > (uint64_t)(end - at) - unshared) {
        return false;
    }
    row->kind = flags & ROW_KIND_MASK;
    row->shared = (uint32_t)shared;
    row->unshared = (uint32_t)unshared;
    row->suffix = at;
    row->value = slice_of(at + unshared, value_bytes);
    row->next = (uint32_t)(at + unshared + value_bytes - block->data);
    return true;
}

static err_t
block_corrupt(const struct block *block, uint32_t offset)
{
    return err_set(ERR_CORRUPT, "row at byte %u of %u in a block is malformed", offset,
                   block->bytes);
}

static inline uint32_t
restart_offset(const struct block *block, uint32_t restart)
{
    return get_le32(block->offsets + (size_t)restart * sizeof(uint32_t));
}

static inline uint64_t
restart_head(const struct block *block, uint32_t restart)
{
    return get_le64(block->heads + (size_t)restart * sizeof(uint64_t));
}

/* A restart stores key and slot whole. */
static err_t
restart_decode(const struct block *block, uint32_t restart, struct block_row *row)
{
    uint32_t offset = restart_offset(block, restart);

    if (!block_row_decode(block, offset, row) || row->shared != 0 || !row->has_slot) {
        return block_corrupt(block, offset);
    }
    return ERR_OK;
}

/* ---- Opening. ---- */

static bool
restarts_are_sound(const struct block *block)
{
    uint32_t first = BLOCK_HEADER_BYTES + block->restart_count * BLOCK_RESTART_BYTES;
    uint32_t previous = 0;

    for (uint32_t i = 0; i < block->restart_count; i++) {
        uint32_t offset = restart_offset(block, i);

        if (i == 0 ? offset != first : offset <= previous) {
            return false;
        }
        if (offset >= block->bytes) {
            return false;
        }
        previous = offset;
    }
    return true;
}

err_t
block_open(struct slice bytes, struct block *block_out)
{
    struct block block = {.data = bytes.data};
    struct block_row row;
    uint32_t prefix_bytes;

    if (bytes.size < BLOCK_HEADER_BYTES || bytes.size > BLOCK_BYTES_MAX) {
        return err_set(ERR_CORRUPT, "block of %zu bytes", bytes.size);
    }
    if (get_le32(bytes.data) != BLOCK_FORM_ROWS) {
        return err_set(ERR_CORRUPT, "block of unknown form %u", get_le32(bytes.data));
    }
    block.row_count = get_le32(bytes.data + 4);
    block.restart_count = get_le32(bytes.data + 8);
    prefix_bytes = get_le32(bytes.data + 12);
    block.ts_base = get_le64(bytes.data + 16);
    if (block.restart_count == 0 || block.restart_count > block.row_count ||
        block.restart_count > (bytes.size - BLOCK_HEADER_BYTES) / BLOCK_RESTART_BYTES) {
        return err_set(ERR_CORRUPT, "block with %u restarts for %u rows", block.restart_count,
                       block.row_count);
    }
    block.bytes = (uint32_t)bytes.size;
    block.heads = bytes.data + BLOCK_HEADER_BYTES;
    block.offsets = block.heads + (size_t)block.restart_count * sizeof(uint64_t);
    if (!restarts_are_sound(&block)) {
        return err_set(ERR_CORRUPT, "restarts of a block are out of order");
    }
    if (restart_decode(&block, 0, &row) != ERR_OK || prefix_bytes > row.unshared) {
        return err_set(ERR_CORRUPT, "first row of a block is malformed");
    }
    block.prefix = slice_of(row.suffix, prefix_bytes);
    *block_out = block;
    return ERR_OK;
}

/* ---- Searching. ---- */

/* First restart in [low, high) whose head is not below (or, with `above`, is above) `head`. */
static uint32_t
heads_bound(const struct block *block, uint32_t low, uint32_t high, uint64_t head, bool above)
{
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        uint64_t other = restart_head(block, middle);

        if (other < head || (above && other == head)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The last restart at or before (key, ts), or the first one when there is none: a search that
 * walks on from there meets all that it needs. */
static err_t
restart_find(const struct block *block, struct slice key, uint64_t ts, uint32_t *restart_out)
{
    enum key_place place = key_place(key, block->prefix);
    uint32_t low, high;
    uint64_t head;
    err_t err;

    if (place != KEY_AMONG) {
        *restart_out = place == KEY_BELOW ? 0 : block->restart_count - 1;
        return ERR_OK;
    }
    head = key_head(key, block->prefix.size);
    low = heads_bound(block, 0, block->restart_count, head, false);
    high = heads_bound(block, low, block->restart_count, head, true);
    while (low < high) { /* Those with an equal head: by the whole key. */
        uint32_t middle = low + (high - low) / 2;
        struct block_row row;

        TRY(restart_decode(block, middle, &row));
        if (version_compare(slice_of(row.suffix, row.unshared), row.ts, key, ts) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *restart_out = low == 0 ? 0 : low - 1;
    err = ERR_OK;
out:
    return err;
}

static void
entry_from_row(struct lsm_entry *entry, const struct block_row *row, struct slice key,
               uint16_t slot)
{
    *entry = (struct lsm_entry){
        .key = key,
        .value = row->value,
        .ts = row->ts,
        .expire_us = row->expire_us,
        .slot = slot,
        .kind = row->kind,
    };
}

/* The order of a row's key against `key`, of which the row before has the first *matched bytes.
 * Needs no copy of the row's key: rows are in order and share as much as they can. */
static int
row_compare(const struct block_row *row, struct slice key, size_t *matched)
{
    size_t common;

    if (row->shared == 0) {
        *matched = 0; /* A restart: compare from the start. */
    } else if (row->shared > *matched) {
        return -1; /* Differs from `key` where the row before, which was smaller, did. */
    } else if (row->shared < *matched) {
        return 1; /* Left the row before where that one still was `key`, and upwards. */
    }
    common = key_common(row->suffix, key.data + *matched,
                        MIN((size_t)row->unshared, key.size - *matched));
    *matched += common;
    if (common == row->unshared) {
        return *matched == key.size ? 0 : -1;
    }
    return *matched == key.size || row->suffix[common] > key.data[*matched] ? 1 : -1;
}

err_t
block_get(const struct block *block, struct slice key, uint64_t snapshot,
          struct lsm_entry *entry_out, bool *found_out)
{
    struct block_row row;
    size_t matched = 0;
    uint16_t slot = 0;
    uint32_t offset;
    uint32_t restart;
    err_t err;

    TRY(restart_find(block, key, snapshot, &restart));
    for (offset = restart_offset(block, restart); offset < block->bytes; offset = row.next) {
        int order;

        if (!block_row_decode(block, offset, &row)) {
            err = block_corrupt(block, offset);
            goto out;
        }
        slot = row.has_slot ? row.slot : slot;
        order = row_compare(&row, key, &matched);
        if (order > 0) {
            break;
        }
        if (order == 0 && row.ts <= snapshot) {
            entry_from_row(entry_out, &row, key, slot);
            *found_out = true;
            return ERR_OK;
        }
    }
    *found_out = false;
    err = ERR_OK;
out:
    return err;
}

/* ---- The cursor. ---- */

void
block_cursor_init(struct block_cursor *cursor, enum mem_tag tag)
{
    *cursor = (struct block_cursor){0};
    buf_init(&cursor->key, tag);
}

void
block_cursor_fini(struct block_cursor *cursor)
{
    buf_fini(&cursor->key);
    cursor->block = NULL;
}

static void
cursor_end(struct block_cursor *cursor)
{
    cursor->offset = cursor->block == NULL ? 0 : cursor->block->bytes;
    cursor->next = cursor->offset;
}

void
block_cursor_set(struct block_cursor *cursor, const struct block *block)
{
    cursor->block = block;
    cursor->restart = 0;
    cursor_end(cursor);
}

/* Make the row at `offset` current. The row before it was current, or it is a restart. */
static err_t
cursor_load(struct block_cursor *cursor, uint32_t offset)
{
    const struct block *block = cursor->block;
    struct block_row row;

    if (offset >= block->bytes) {
        cursor_end(cursor);
        return ERR_OK;
    }
    if (cursor->restart + 1 < block->restart_count &&
        offset >= restart_offset(block, cursor->restart + 1)) {
        cursor->restart++;
    }
    if (!block_row_decode(block, offset, &row) || row.shared > cursor->key.size) {
        cursor_end(cursor);
        return block_corrupt(block, offset);
    }
    cursor->key.size = row.shared;
    buf_append(&cursor->key, row.suffix, row.unshared);
    entry_from_row(&cursor->entry, &row, buf_slice(&cursor->key),
                   row.has_slot ? row.slot : cursor->entry.slot);
    cursor->offset = offset;
    cursor->next = row.next;
    return ERR_OK;
}

static err_t
cursor_load_restart(struct block_cursor *cursor, uint32_t restart)
{
    struct block_row row;
    err_t err;

    cursor_end(cursor);
    TRY(restart_decode(cursor->block, restart, &row));
    cursor->restart = restart;
    buf_clear(&cursor->key);
    TRY(cursor_load(cursor, restart_offset(cursor->block, restart)));
out:
    return err;
}

err_t
block_cursor_first(struct block_cursor *cursor)
{
    ASSERT(cursor->block != NULL);
    return cursor_load_restart(cursor, 0);
}

err_t
block_cursor_next(struct block_cursor *cursor)
{
    ASSERT(block_cursor_is_valid(cursor));
    return cursor_load(cursor, cursor->next);
}

/* From the restart at or before, to the last row that begins below `end`. */
static err_t
cursor_walk_to(struct block_cursor *cursor, uint32_t restart, uint32_t end)
{
    err_t err;

    TRY(cursor_load_restart(cursor, restart));
    while (cursor->next < end) {
        TRY(cursor_load(cursor, cursor->next));
    }
out:
    return err;
}

err_t
block_cursor_last(struct block_cursor *cursor)
{
    ASSERT(cursor->block != NULL);
    return cursor_walk_to(cursor, cursor->block->restart_count - 1, cursor->block->bytes);
}

err_t
block_cursor_previous(struct block_cursor *cursor)
{
    uint32_t end = cursor->offset;
    uint32_t restart = cursor->restart;

    ASSERT(block_cursor_is_valid(cursor));
    if (end == restart_offset(cursor->block, restart)) {
        if (restart == 0) {
            cursor_end(cursor);
            return ERR_OK;
        }
        restart--;
    }
    return cursor_walk_to(cursor, restart, end);
}

err_t
block_cursor_seek(struct block_cursor *cursor, struct slice key, uint64_t ts)
{
    uint32_t restart;
    err_t err;

    ASSERT(cursor->block != NULL);
    cursor_end(cursor);
    TRY(restart_find(cursor->block, key, ts, &restart));
    TRY(cursor_load_restart(cursor, restart));
    while (block_cursor_is_valid(cursor) &&
           version_compare(cursor->entry.key, cursor->entry.ts, key, ts) < 0) {
        TRY(cursor_load(cursor, cursor->next));
    }
out:
    return err;
}

err_t
block_cursor_seek_before(struct block_cursor *cursor, struct slice key)
{
    uint32_t last = 0;
    uint32_t last_restart = 0;
    uint32_t restart;
    err_t err;

    ASSERT(cursor->block != NULL);
    cursor_end(cursor);
    TRY(restart_find(cursor->block, key, LSM_TS_MAX, &restart));
    TRY(cursor_load_restart(cursor, restart));
    if (restart > 0 && slice_compare(cursor->entry.key, key) >= 0) {
        TRY(cursor_load_restart(cursor, restart - 1)); /* A version with LSM_TS_MAX itself. */
    }
    while (block_cursor_is_valid(cursor) && slice_compare(cursor->entry.key, key) < 0) {
        last = cursor->next;
        last_restart = cursor->restart;
        TRY(cursor_load(cursor, cursor->next));
    }
    if (last == 0) {
        cursor_end(cursor);
    } else {
        TRY(cursor_walk_to(cursor, last_restart, last));
    }
out:
    return err;
}
