/* lsm/block_row.h - one row of a block, between block.c and block_builder.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"

enum block_row_flags {
    ROW_KIND_MASK = 0x03,
    ROW_HAS_EXPIRY = 0x04,
    ROW_SLOT_AS_BEFORE = 0x08,
    ROW_FLAGS_ALL = 0x0f,
};

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
    uint64_t ts;
    uint64_t expire_us;
    uint16_t slot;
    uint8_t kind;
    bool has_slot;
    uint32_t next; /* Offset of the following row. */
};

struct block;
/* Decode the row at `offset`, which is below block->bytes. False when it cannot be. slot is set
 * only when the row has one (has_slot); otherwise it is that of the row before. */
bool block_row_decode(const struct block *block, uint32_t offset, struct block_row *row);
