/* lsm/block.c - reading blocks. */
#include "lsm/block.h"

#include "engine/base/assert.h"
#include "lsm/block_key.h"
#include "lsm/block_row.h"

#include "engine/base/poison.h"

/* A usual row's key, and what the copy writes over its end. */
enum { CURSOR_KEY_BYTES = 2 * ROW_USUAL_SIZE_MAX + 2 * ROW_COPY_BYTES };

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
    row->has_expiry = (flags & ROW_HAS_EXPIRY) != 0;
    if (at != NULL && row->has_expiry) {
        at = read_varint(at, end, &row->expiry);
    }
    if (at == NULL || shared > LSM_KEY_BYTES_MAX || unshared > LSM_KEY_BYTES_MAX - shared ||
        unshared > (uint64_t)(end - at) || value_bytes > (uint64_t)(end - at) - unshared) {
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

/* The same, by the fast path when the row is a usual one. */
static inline bool
row_decode(const struct block *block, uint32_t offset, struct block_row *row)
{
    struct block_row_usual usual;

    if (!block_row_usual(block, offset, &usual)) {
        return block_row_decode(block, offset, row);
    }
    row->kind = usual.kind;
    row->shared = usual.shared;
    row->unshared = usual.unshared;
    row->suffix = block->data + usual.key_at;
    row->value = slice_of(row->suffix + usual.unshared, usual.value_bytes);
    row->has_expiry = false;
    row->next = usual.next;
    return true;
}

static err_t
block_corrupt(const struct block *block, uint32_t offset)
{
    return err_set(ERR_CORRUPT, "row at byte %u of %u in a block is malformed", offset,
                   block->bytes);
}

static inline struct slice
block_prefix(const struct block *block)
{
    return slice_of(block->data + block->prefix_at, block->prefix_bytes);
}

static inline uint32_t
restart_offset(const struct block *block, uint32_t restart)
{
    return get_le32(block->data + BLOCK_HEADER_BYTES +
                    (size_t)block->restart_count * sizeof(uint64_t) +
                    (size_t)restart * sizeof(uint32_t));
}

static inline uint64_t
restart_head(const struct block *block, uint32_t restart)
{
    return get_le64(block->data + BLOCK_HEADER_BYTES + (size_t)restart * sizeof(uint64_t));
}

/* A restart stores its key whole. */
static err_t
restart_decode(const struct block *block, uint32_t restart, struct block_row *row)
{
    uint32_t offset = restart_offset(block, restart);

    if (!row_decode(block, offset, row) || row->shared != 0) {
        return block_corrupt(block, offset);
    }
    return ERR_OK;
}

/* ---- Opening. ---- */

/* Where the columns end and the first row begins. */
static uint32_t
rows_start(const struct block *block)
{
    uint32_t slot_bytes = block->slots == 0 ? 0 : BLOCK_SLOT_BYTES;

    return block->times + block->row_count * (block->ts_bytes + slot_bytes);
}

static bool
restarts_are_sound(const struct block *block)
{
    uint32_t previous = 0;

    for (uint32_t i = 0; i < block->restart_count; i++) {
        uint32_t offset = restart_offset(block, i);

        if (i == 0 ? offset != rows_start(block) : offset <= previous) {
            return false;
        }
        if (offset >= block->bytes) {
            return false;
        }
        previous = offset;
    }
    return true;
}

/* What the header says; the numbers fit the bytes. */
static err_t
block_open_header(struct slice bytes, struct block *block)
{
    uint64_t fixed_bytes;
    uint16_t slot_bytes;

    if (bytes.size < BLOCK_HEADER_BYTES || bytes.size > BLOCK_BYTES_MAX) {
        return err_set(ERR_CORRUPT, "block of %zu bytes", bytes.size);
    }
    if (get_le16(bytes.data) != BLOCK_FORM_ROWS) {
        return err_set(ERR_CORRUPT, "block of unknown form %u", get_le16(bytes.data));
    }
    block->data = bytes.data;
    block->bytes = (uint32_t)bytes.size;
    block->ts_bytes = bytes.data[2];
    block->ts_shift = bytes.data[3];
    block->row_count = get_le32(bytes.data + 4);
    block->prefix_bytes = get_le32(bytes.data + 8);
    block->slot = get_le16(bytes.data + 12);
    slot_bytes = get_le16(bytes.data + 14);
    block->ts_base = get_le64(bytes.data + 16);
    block->stamp = 0;
    if (block->ts_bytes > sizeof(uint64_t) || block->ts_shift > 63 ||
        (slot_bytes != 0 && slot_bytes != BLOCK_SLOT_BYTES) || block->row_count == 0 ||
        block->row_count > block->bytes / BLOCK_ROW_BYTES_MIN) {
        return err_set(ERR_CORRUPT, "header of a block is malformed");
    }
    block->ts_mask = block->ts_bytes == 0 ? 0 : UINT64_MAX >> (64 - 8 * block->ts_bytes);
    block->restart_count = (block->row_count + BLOCK_RESTART_ROWS - 1) / BLOCK_RESTART_ROWS;
    block->times = BLOCK_HEADER_BYTES + block->restart_count * BLOCK_RESTART_BYTES;
    fixed_bytes = (uint64_t)block->times +
                  (uint64_t)block->row_count * (block->ts_bytes + slot_bytes + BLOCK_ROW_BYTES_MIN);
    block->slots = slot_bytes == 0 ? 0 : block->times + block->row_count * block->ts_bytes;
    if (fixed_bytes > block->bytes) {
        return err_set(ERR_CORRUPT, "block of %u bytes with %u rows", block->bytes,
                       block->row_count);
    }
    return ERR_OK;
}

err_t
block_open(struct slice bytes, struct block *block_out)
{
    struct block block;
    struct block_row row;
    err_t err;

    TRY(block_open_header(bytes, &block));
    if (!restarts_are_sound(&block)) {
        return err_set(ERR_CORRUPT, "restarts of a block are out of order");
    }
    if (restart_decode(&block, 0, &row) != ERR_OK || block.prefix_bytes > row.unshared) {
        return err_set(ERR_CORRUPT, "first row of a block is malformed");
    }
    block.prefix_at = (uint32_t)(row.suffix - block.data);
    *block_out = block;
out:
    return err;
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
    enum key_place place = key_place(key, block_prefix(block));
    uint32_t low, high;
    uint64_t head;
    err_t err;

    if (place != KEY_AMONG) {
        *restart_out = place == KEY_BELOW ? 0 : block->restart_count - 1;
        return ERR_OK;
    }
    head = key_head(key, block->prefix_bytes);
    low = heads_bound(block, 0, block->restart_count, head, false);
    high = heads_bound(block, low, block->restart_count, head, true);
    while (low < high) { /* Those with an equal head: by the whole key. */
        uint32_t middle = low + (high - low) / 2;
        struct block_row row;

        TRY(restart_decode(block, middle, &row));
        if (version_compare(slice_of(row.suffix, row.unshared),
                            block_row_ts(block, middle * BLOCK_RESTART_ROWS), key, ts) <= 0) {
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
entry_from_row(struct lsm_entry *entry, const struct block *block, uint32_t number,
               const struct block_row *row, struct slice key)
{
    uint64_t ts = block_row_ts(block, number);

    *entry = (struct lsm_entry){
        .key = key,
        .value = row->value,
        .ts = ts,
        .expire_us = block_row_expiry(row, ts - block->stamp),
        .slot = block_row_slot(block, number),
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
    uint32_t restart, offset, number;
    err_t err;

    TRY(restart_find(block, key, snapshot, &restart));
    offset = restart_offset(block, restart);
    for (number = restart * BLOCK_RESTART_ROWS; number < block->row_count; number++) {
        int order;

        if (offset >= block->bytes || !row_decode(block, offset, &row)) {
            err = block_corrupt(block, offset);
            goto out;
        }
        order = row_compare(&row, key, &matched);
        if (order > 0) {
            break;
        }
        if (order == 0 && block_row_ts(block, number) <= snapshot) {
            entry_from_row(entry_out, block, number, &row, key);
            *found_out = true;
            return ERR_OK;
        }
        offset = row.next;
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
    buf_reserve(&cursor->key, CURSOR_KEY_BYTES);
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
    cursor->row = 0;
    cursor_end(cursor);
    buf_clear(&cursor->key);
}

/* Make row `number` at `offset` the current one; the cursor's key is that of the row before, or of
 * any row when this one is a restart. */
static err_t
cursor_load(struct block_cursor *cursor, uint32_t offset, uint32_t number)
{
    const struct block *block = cursor->block;
    struct block_row row;

    if (number == block->row_count && offset == block->bytes) {
        cursor_end(cursor);
        return ERR_OK;
    }
    if (number >= block->row_count || offset >= block->bytes || !row_decode(block, offset, &row) ||
        row.shared > cursor->key.size) {
        cursor_end(cursor);
        return block_corrupt(block, offset);
    }
    cursor->key.size = row.shared;
    buf_append(&cursor->key, row.suffix, row.unshared);
    entry_from_row(&cursor->entry, block, number, &row, buf_slice(&cursor->key));
    cursor->offset = offset;
    cursor->next = row.next;
    cursor->row = number;
    return ERR_OK;
}

static err_t
cursor_load_restart(struct block_cursor *cursor, uint32_t restart)
{
    buf_clear(&cursor->key); /* So that a restart which shares something is found out. */
    return cursor_load(cursor, restart_offset(cursor->block, restart),
                       restart * BLOCK_RESTART_ROWS);
}

err_t
block_cursor_first(struct block_cursor *cursor)
{
    ASSERT(cursor->block != NULL);
    return cursor_load_restart(cursor, 0);
}

static err_t
cursor_step(struct block_cursor *cursor)
{
    return block_cursor_next_usual(cursor) ? ERR_OK
                                           : cursor_load(cursor, cursor->next, cursor->row + 1);
}

err_t
block_cursor_next(struct block_cursor *cursor)
{
    ASSERT(block_cursor_is_valid(cursor));
    return cursor_step(cursor);
}

/* From the restart at or before, to row number `row` or the end. */
static err_t
cursor_walk_to(struct block_cursor *cursor, uint32_t row)
{
    err_t err;

    TRY(cursor_load_restart(cursor, row / BLOCK_RESTART_ROWS));
    while (block_cursor_is_valid(cursor) && cursor->row < row) {
        TRY(cursor_step(cursor));
    }
out:
    return err;
}

err_t
block_cursor_last(struct block_cursor *cursor)
{
    ASSERT(cursor->block != NULL);
    return cursor_walk_to(cursor, cursor->block->row_count - 1);
}

err_t
block_cursor_previous(struct block_cursor *cursor)
{
    ASSERT(block_cursor_is_valid(cursor));
    if (cursor->row == 0) {
        cursor_end(cursor);
        return ERR_OK;
    }
    return cursor_walk_to(cursor, cursor->row - 1);
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
        TRY(cursor_step(cursor));
    }
out:
    return err;
}

err_t
block_cursor_seek_before(struct block_cursor *cursor, struct slice key)
{
    uint32_t restart;
    uint32_t row = 0;
    err_t err;

    ASSERT(cursor->block != NULL);
    cursor_end(cursor);
    TRY(restart_find(cursor->block, key, LSM_TS_MAX, &restart));
    TRY(cursor_load_restart(cursor, restart));
    if (restart > 0 && slice_compare(cursor->entry.key, key) >= 0) {
        TRY(cursor_load_restart(cursor, restart - 1)); /* A version with LSM_TS_MAX itself. */
    }
    while (block_cursor_is_valid(cursor) && slice_compare(cursor->entry.key, key) < 0) {
        row = cursor->row + 1;
        TRY(cursor_step(cursor));
    }
    if (row == 0) {
        cursor_end(cursor);
    } else {
        TRY(cursor_walk_to(cursor, row - 1));
    }
out:
    return err;
}

/* ---- Many rows. ---- */

static void
rows_put(struct block_rows *rows, uint32_t i, const struct block_cursor *cursor, uint8_t *key)
{
    const struct lsm_entry *entry = &cursor->entry;

    memcpy(key, entry->key.data, entry->key.size);
    rows->keys[i] = slice_of(key, entry->key.size);
    rows->values[i] = entry->value;
    rows->ts[i] = entry->ts;
    if (rows->expire_us != NULL) {
        rows->expire_us[i] = entry->expire_us;
    }
    if (rows->slots != NULL) {
        rows->slots[i] = entry->slot;
    }
    if (rows->kinds != NULL) {
        rows->kinds[i] = entry->kind;
    }
    rows->has_expiry |= entry->expire_us != 0;
    rows->has_special_kind |= entry->kind != LSM_PUT;
}

/* The last key written, while it is short: rows are put together in registers, as reading back a
 * key that was just written in two pieces stalls the processor. */
typedef uint8_t key_half __attribute__((vector_size(16)));
enum { KEY_HALF_BYTES = 16, SHORT_KEY_BYTES = 2 * KEY_HALF_BYTES };

struct short_key {
    key_half low, high;
};

static inline struct short_key
short_key_load(const uint8_t *from)
{
    struct short_key key;

    memcpy(&key.low, from, KEY_HALF_BYTES);
    memcpy(&key.high, from + KEY_HALF_BYTES, KEY_HALF_BYTES);
    return key;
}

/* The first `shared` bytes of `last`, then those of `next`, in which they lie in place. */
static inline struct short_key
short_key_join(struct short_key last, struct short_key next, uint32_t shared)
{
    static const key_half numbers = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    key_half border = (key_half){0} + (uint8_t)shared;
    key_half takes_low = (key_half)(numbers < border);
    key_half takes_high = (key_half)(numbers + KEY_HALF_BYTES < border);

    return (struct short_key){
        .low = (last.low & takes_low) | (next.low & ~takes_low),
        .high = (last.high & takes_high) | (next.high & ~takes_high),
    };
}

/* The usual rows that follow row i of the output, which the cursor stands at. Gives the number of
 * the last row written. The cursor is left behind: rows_leave brings it up. */
static uint32_t
rows_put_usual(struct block_rows *rows, uint32_t i, struct block_cursor *cursor)
{
    const struct block block = *cursor->block; /* Copies: what is written aliases nothing. */
    const struct block_rows out = *rows;
    const uint8_t *end = block.data + block.bytes;
    uint32_t count = MIN(out.capacity, block.row_count - cursor->row + i);
    uint32_t first = i;
    uint32_t offset = cursor->offset;
    uint32_t next = cursor->next;
    uint8_t *key = out.key_bytes + (out.keys[i].data - out.key_bytes);
    size_t key_size = out.keys[i].size;
    size_t room = out.key_bytes_size - (size_t)(key - out.key_bytes);
    struct short_key last = {0};
    bool has_last = false;
    uint8_t kind = cursor->entry.kind;
    uint8_t kinds_differ = 0;

    while (i + 1 < count && room > key_size + CURSOR_KEY_BYTES) {
        uint8_t *before = key;
        struct block_row_usual row;

        if (!block_row_usual(&block, next, &row) || row.shared > key_size) {
            break;
        }
        key += key_size;
        room -= key_size;
        key_size = row.shared + row.unshared;
        if (__builtin_expect(key_size <= SHORT_KEY_BYTES && row.key_at >= row.shared &&
                                 block.bytes - row.key_at >= SHORT_KEY_BYTES,
                             1)) {
            last = has_last ? last : short_key_load(before);
            last = short_key_join(last, short_key_load(block.data + row.key_at - row.shared),
                                  row.shared);
            memcpy(key, &last, sizeof(last));
            has_last = true;
        } else {
            block_row_copy(key, before, row.shared, key + CURSOR_KEY_BYTES);
            block_row_copy(key + row.shared, block.data + row.key_at, row.unshared, end);
            has_last = false;
        }
        i++;
        out.keys[i] = slice_of(key, key_size);
        out.values[i] = slice_of(block.data + row.key_at + row.unshared, row.value_bytes);
        out.ts[i] = block_row_ts(&block, cursor->row + i - first);
        if (out.expire_us != NULL) {
            out.expire_us[i] = 0;
        }
        if (out.slots != NULL) {
            out.slots[i] = block_row_slot(&block, cursor->row + i - first);
        }
        if (out.kinds != NULL) {
            out.kinds[i] = row.kind;
        }
        kind = row.kind;
        kinds_differ |= kind ^ LSM_PUT;
        offset = next;
        next = row.next;
    }
    rows->has_special_kind |= kinds_differ != 0;
    cursor->row += i - first;
    cursor->offset = offset;
    cursor->next = next;
    cursor->entry.kind = kind;
    return i;
}

/* Bring the cursor, whose row, offset and kind are right, up to row i of the output. */
static void
rows_leave(const struct block_rows *rows, uint32_t i, struct block_cursor *cursor)
{
    buf_clear(&cursor->key);
    buf_append(&cursor->key, rows->keys[i].data, rows->keys[i].size);
    cursor->entry.key = buf_slice(&cursor->key);
    cursor->entry.value = rows->values[i];
    cursor->entry.ts = rows->ts[i];
    cursor->entry.expire_us = 0;
    cursor->entry.slot = block_row_slot(cursor->block, cursor->row);
}

/* Is there room at `key` for the key of the row after the cursor's? Yes when that is malformed. */
static bool
rows_have_room(const struct block_rows *rows, const uint8_t *key, const struct block_cursor *cursor)
{
    size_t room = rows->key_bytes_size - (size_t)(key - rows->key_bytes);
    struct block_row row;

    return cursor->next >= cursor->block->bytes || !row_decode(cursor->block, cursor->next, &row) ||
           (size_t)row.shared + row.unshared <= room;
}

err_t
block_rows_decode(struct block_cursor *cursor, struct block_rows *rows)
{
    uint8_t *key = rows->key_bytes;
    uint32_t i = 0;
    err_t err = ERR_OK;

    ASSERT(block_cursor_is_valid(cursor));
    ASSERT(rows->capacity > 0);
    ASSERT(rows->key_bytes_size >= BLOCK_ROWS_KEY_BYTES_MIN);
    rows->has_expiry = false;
    rows->has_special_kind = false;
    for (;;) {
        uint32_t last;

        rows_put(rows, i, cursor, key);
        last = rows_put_usual(rows, i, cursor);
        if (last != i) {
            rows_leave(rows, last, cursor);
        }
        i = last + 1;
        key = rows->key_bytes + (rows->keys[last].data - rows->key_bytes) + rows->keys[last].size;
        if (i == rows->capacity || cursor->row + 1 == cursor->block->row_count ||
            !rows_have_room(rows, key, cursor)) {
            break;
        }
        TRY(cursor_load(cursor, cursor->next, cursor->row + 1));
    }
    rows->count = i;
out:
    return err;
}
