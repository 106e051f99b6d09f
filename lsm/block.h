/* lsm/block.h - the contents of one block of a table: a run of entries in order.
 *
 * Pure: bytes in memory, no I/O, no suspension. A block has a form; there is one so far, rows.
 * Bytes: docs/format/table.md.
 *
 *     header | heads (8 bytes a restart) | offsets (4 bytes a restart) | times | slots | row ...
 *
 * A row stores what its key does not share with the key before. Every BLOCK_RESTART_ROWS-th row
 * is a restart, which stores its key whole. A search compares the heads of the restarts (the eight
 * bytes after what all keys of the block share) as numbers, then walks a few rows. Timestamps are
 * a column of their own, as wide as the block's need, and so are slots where they differ: columns
 * are read for the row that was searched, not for those on the way.
 *
 * Blocks come from disk: every function that reads one gives ERR_CORRUPT for what cannot be, and
 * never reads outside the bytes, whether or not a checksum was right. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "lsm/entry.h"

enum {
    BLOCK_RESTART_ROWS = 8,
    BLOCK_HEADER_BYTES = 24,
    BLOCK_RESTART_BYTES = 12, /* Head and offset. */
    BLOCK_SLOT_BYTES = 2,     /* A row, where slots differ. */
    BLOCK_ROW_BYTES_MIN = 4,  /* Flags and three sizes, without a timestamp. */
    BLOCK_BYTES_MAX = 1 << 20,
    BLOCK_TARGET_BYTES_MAX = 256 << 10, /* A block of this and one huge entry stay below. */
    BLOCK_FORM_ROWS = 1,
};

/* A checked view of a block; borrows the bytes. */
struct block {
    const uint8_t *data;
    uint32_t bytes; /* The rows end with the block. */
    uint32_t row_count;
    uint32_t prefix_at; /* Offset of what all keys share: the beginning of the first key. */
    uint32_t prefix_bytes;
    uint32_t restart_count;
    uint32_t times; /* Offset of the timestamps. */
    uint32_t slots; /* Of the column of slots; 0: all rows have `slot`. */
    uint64_t ts_base;
    uint64_t stamp;   /* Is in ts_base, but in no timestamp that is stored (block_stamp). */
    uint64_t ts_mask; /* Of ts_bytes bytes. */
    uint16_t slot;
    uint8_t ts_bytes;
    uint8_t ts_shift;
};

/* ERR_CORRUPT when header or restarts cannot be. */
err_t block_open(struct slice bytes, struct block *block_out);
/* Every timestamp is by `ts` greater than the one stored. Once; expiries stay what they are. */
static inline void
block_stamp(struct block *block, uint64_t ts)
{
    block->ts_base += ts;
    block->stamp = ts;
}

/* The newest version of key with ts <= snapshot; entry_out->key is the caller's key and
 * entry_out->value points into the block. */
err_t block_get(const struct block *block, struct slice key, uint64_t snapshot,
                struct lsm_entry *entry_out, bool *found_out);

/* Walks a block in both directions. The entry's key lies in the cursor, its value in the block;
 * both are good until the cursor moves. The block must outlive its use. The inlined step for
 * usual rows: lsm/block_row.h. */
struct block_cursor {
    const struct block *block;
    uint32_t offset; /* Of the current row; block->bytes when there is none. */
    uint32_t next;   /* Of the row after it. */
    uint32_t row;    /* Number of the current row. */
    struct buf key;  /* Has always room for a usual row's. */
    struct lsm_entry entry;
};

void block_cursor_init(struct block_cursor *cursor, enum mem_tag tag);
void block_cursor_fini(struct block_cursor *cursor);
/* No current entry. block may be NULL. */
void block_cursor_set(struct block_cursor *cursor, const struct block *block);
static inline bool
block_cursor_is_valid(const struct block_cursor *cursor)
{
    return cursor->block != NULL && cursor->offset < cursor->block->bytes;
}
err_t block_cursor_first(struct block_cursor *cursor);
err_t block_cursor_last(struct block_cursor *cursor);
/* First entry at or after (key, ts), or none. */
err_t block_cursor_seek(struct block_cursor *cursor, struct slice key, uint64_t ts);
/* Last entry whose key is below `key`, or none. */
err_t block_cursor_seek_before(struct block_cursor *cursor, struct slice key);
/* The cursor must be valid; stepping off either end leaves it invalid. */
err_t block_cursor_next(struct block_cursor *cursor);
err_t block_cursor_previous(struct block_cursor *cursor);

/* Rows of a block as columns: arrays of the caller, `capacity` long each; expire_us, slots and
 * kinds may be NULL and are then left out. Keys are written to key_bytes, values stay in the
 * block. */
enum { BLOCK_ROWS_KEY_BYTES_MIN = LSM_KEY_BYTES_MAX };
struct block_rows {
    uint32_t capacity;
    struct slice *keys;
    struct slice *values;
    uint64_t *ts;
    uint64_t *expire_us;
    uint16_t *slots;
    uint8_t *kinds;
    uint8_t *key_bytes;
    size_t key_bytes_size; /* At least BLOCK_ROWS_KEY_BYTES_MIN. */

    /* Set by block_rows_decode. */
    uint32_t count;
    bool has_expiry;       /* Some row has one. */
    bool has_special_kind; /* Some row is not an LSM_PUT. */
};

/* The rows from the cursor's current one on, as many as the block has and fit: at least one. The
 * cursor, which must be valid, then stands at the last of them. On ERR_CORRUPT the cursor is
 * invalid. */
err_t block_rows_decode(struct block_cursor *cursor, struct block_rows *rows);

/* Makes blocks, one after the other. */
struct block_builder {
    struct buf bytes; /* The whole block, by block_builder_finish. */
    struct buf rows;
    struct buf restarts; /* Offsets in rows, 4 bytes each. */
    struct buf times;    /* 8 bytes a row, as they are. */
    struct buf slots;    /* BLOCK_SLOT_BYTES a row. */
    struct buf last_key; /* Of the last entry added, also over block_builder_reset. */
    uint32_t row_count;
    uint16_t slot;  /* Of the first row, */
    bool has_slots; /* from which another differs. */
    uint64_t ts_first;
    uint64_t ts_min, ts_max;
    uint64_t ts_differ; /* The bits in which timestamps differ from the first. */
};

void block_builder_init(struct block_builder *builder, enum mem_tag tag);
void block_builder_fini(struct block_builder *builder);
/* Begin the next block. */
void block_builder_reset(struct block_builder *builder);
/* Entries in order; the caller asserts it. */
void block_builder_add(struct block_builder *builder, const struct lsm_entry *entry);
/* Bytes of the block if it ended now, and at most after one more entry. */
size_t block_builder_bytes(const struct block_builder *builder);
size_t block_builder_bytes_with(const struct block_builder *builder, const struct lsm_entry *entry);
/* The whole block; borrowed until the builder is touched again. At least one entry. */
struct slice block_builder_finish(struct block_builder *builder);
