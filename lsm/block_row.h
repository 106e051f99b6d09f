/* lsm/block_row.h - rows of a block, decoded: the fast path that searches, cursors, batches and
 * the iterators above share.
 *
 * The usual row has no expiry, shares and adds less than 128 bytes of key, and its value has less
 * than 16 KiB: then its first four bytes are flags and the three sizes (the
 * last may go on in a fifth), and one mask tells so. Everything else, damage included, goes the
 * long way, block_row_decode. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "lsm/block.h"

enum block_row_flags {
    ROW_KIND_MASK = 0x03,
    ROW_HAS_EXPIRY = 0x04,
    ROW_FLAGS_ALL = 0x07,
};

enum {
    ROW_USUAL_BYTES = 4,      /* Flags and three sizes of a byte. */
    ROW_USUAL_SIZE_MAX = 127, /* What fits a byte. */
    ROW_COPY_BYTES = 16,      /* Short keys are copied in such steps, over their end. */
};
/* Any of these bits in a row's first four bytes makes it an unusual one. */
#define ROW_UNUSUAL_BITS UINT32_C(0x008080fc)

/* Signed differences as small unsigned numbers: 0, -1, 1, -2, ... become 0, 1, 2, 3, ... */
static inline uint64_t
zigzag(uint64_t difference)
{
    return (difference << 1) ^ (uint64_t)((int64_t)difference >> 63);
}

static inline uint64_t
unzigzag(uint64_t value)
{
    return (value >> 1) ^ (0 - (value & 1));
}

struct block_row {
    uint32_t shared;
    uint32_t unshared;
    const uint8_t *suffix;
    struct slice value;
    uint8_t kind;
    bool has_expiry;
    uint64_t expiry; /* Against the row's timestamp; see block_row_expiry. */
    uint32_t next;   /* Offset of the following row. */
};

/* The row at `offset`, which is below block->bytes. False when it cannot be. */
bool block_row_decode(const struct block *block, uint32_t offset, struct block_row *row);

/* The timestamp of row number `row` < block->row_count. */
static inline uint64_t
block_row_ts(const struct block *block, uint32_t row)
{
    uint32_t at = block->times + row * block->ts_bytes;
    uint64_t stored = 0;

    if (__builtin_expect(block->bytes - at >= sizeof(uint64_t), 1)) {
        stored = get_le64(block->data + at) & block->ts_mask;
    } else {
        memcpy(&stored, block->data + at, block->ts_bytes);
    }
    return block->ts_base + (stored << block->ts_shift);
}

static inline uint16_t
block_row_slot(const struct block *block, uint32_t row)
{
    return block->slots == 0 ? block->slot
                             : get_le16(block->data + block->slots + row * BLOCK_SLOT_BYTES);
}

/* `ts`: of the row, as it is stored. */
static inline uint64_t
block_row_expiry(const struct block_row *row, uint64_t ts)
{
    return row->has_expiry ? (ts >> 12) + unzigzag(row->expiry) : 0;
}

/* A usual row's head, and whether it is one that lies in the block. */
struct block_row_usual {
    uint32_t shared;
    uint32_t unshared;
    uint32_t value_bytes;
    uint32_t key_at; /* Offset of the rest of the key; the value follows. */
    uint32_t next;
    uint8_t kind;
};

static inline bool
block_row_usual(const struct block *block, uint32_t offset, struct block_row_usual *row)
{
    uint32_t head;

    if (__builtin_expect(block->bytes - offset <= ROW_USUAL_BYTES, 0)) {
        return false;
    }
    head = get_le32(block->data + offset);
    row->kind = head & ROW_KIND_MASK;
    row->shared = head >> 8 & 0xff;
    row->unshared = head >> 16 & 0xff;
    row->value_bytes = head >> 24;
    row->key_at = offset + ROW_USUAL_BYTES;
    if (row->value_bytes > ROW_USUAL_SIZE_MAX) { /* Two bytes. */
        uint32_t high = block->data[row->key_at++];

        row->value_bytes = (row->value_bytes & ROW_USUAL_SIZE_MAX) | high << 7;
        head |= (high & 0x80) << 8; /* A third one is unusual. */
    }
    row->next = row->key_at + row->unshared + row->value_bytes;
    return __builtin_expect((head & ROW_UNUSUAL_BITS) == 0, 1) && row->kind <= LSM_PUT_LARGE &&
           row->next <= block->bytes;
}

/* Copy a usual row's short run of bytes; up to ROW_COPY_BYTES - 1 more are read (when they lie
 * below `end`) and written. */
static inline void
block_row_copy(uint8_t *to, const uint8_t *from, uint32_t size, const uint8_t *end)
{
    if (__builtin_expect((size_t)(end - from) < (size_t)size + ROW_COPY_BYTES, 0)) {
        memcpy(to, from, size);
        return;
    }
    for (uint32_t done = 0; done < size; done += ROW_COPY_BYTES) {
        uint8_t step[ROW_COPY_BYTES]; /* The runs may overlap behind their `size` bytes. */

        memcpy(step, from + done, sizeof(step));
        memcpy(to + done, step, sizeof(step));
    }
}

/* block_cursor_next for the usual row that follows in the same block. False, and nothing has
 * changed, when block_cursor_next is to be asked. */
static inline bool
block_cursor_next_usual(struct block_cursor *cursor)
{
    const struct block *block = cursor->block;
    uint32_t number = cursor->row + 1;
    struct block_row_usual row;

    if (__builtin_expect(number >= block->row_count, 0) ||
        !block_row_usual(block, cursor->next, &row) || row.shared > cursor->key.size) {
        return false;
    }
    block_row_copy(cursor->key.data + row.shared, block->data + row.key_at, row.unshared,
                   block->data + block->bytes);
    cursor->key.size = row.shared + row.unshared;
    cursor->offset = cursor->next;
    cursor->next = row.next;
    cursor->row = number;
    cursor->entry.key = buf_slice(&cursor->key);
    cursor->entry.value = slice_of(block->data + row.key_at + row.unshared, row.value_bytes);
    cursor->entry.ts = block_row_ts(block, number);
    cursor->entry.expire_us = 0;
    cursor->entry.slot = block_row_slot(block, number);
    cursor->entry.kind = row.kind;
    return true;
}
