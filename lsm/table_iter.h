/* lsm/table_iter.h - the inside of a table's iterator, for merges and scans: the step within a
 * block, inlined, and whole runs of rows. Everything else about iterators: lsm/table.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/io/io.h"
#include "engine/rt/fiber.h"
#include "lsm/block.h"
#include "lsm/block_row.h"
#include "lsm/table.h"

enum { ITER_WINDOWS = 2 };
#define TABLE_ITER_MAGIC UINT64_C(0x6f726269746974)

/* Whole blocks of the file, read ahead. */
struct iter_window {
    struct io_op op;
    struct table_iter *iter;
    uint8_t *bytes;
    size_t capacity;
    uint64_t offset;      /* In the file. */
    uint32_t first_block; /* [first_block, last_block) are covered. */
    uint32_t last_block;
    bool is_in_flight;
};

struct cached_block;

struct table_iter {
    uint64_t magic;
    struct table *table; /* Pinned. */
    struct block_cursor cursor;
    struct cached_block *block; /* Pinned; what the cursor stands in. */
    uint32_t block_index;
    bool has_index; /* Pinned, from the first seek on. */
    struct table_iter_options options;

    struct iter_window windows[ITER_WINDOWS]; /* Of a reader ahead: [0] is used, [1] comes. */
    uint32_t window;                          /* Which of the two is used. */
    uint32_t ahead_bytes;                     /* Size of the next window. */
    struct fiber *waiter;
    bool is_closing; /* Freed by the last window that ends. */
};

/* table_iter_next, inlined for the usual row within a block. The iterator must be valid. */
static inline YIELDS err_t
table_iter_step(struct table_iter *iter)
{
    return block_cursor_next_usual(&iter->cursor) ? ERR_OK : table_iter_next(iter);
}

/* table_iter_is_valid and table_iter_entry, inlined. */
static inline bool
table_iter_stands(const struct table_iter *iter)
{
    return block_cursor_is_valid(&iter->cursor);
}

static inline const struct lsm_entry *
table_iter_at(const struct table_iter *iter)
{
    return &iter->cursor.entry;
}

/* The rows from the current one on, at most to the end of its block: block_rows_decode. The
 * iterator, which must be valid, then stands at the last of them; a step goes on with the row
 * after it, in the next block if need be. The keys are in the caller's room, the values are good
 * until the iterator moves to another block, so until the step after the last row of this one.
 * Does not suspend. ERR_CORRUPT. */
err_t table_iter_rows(struct table_iter *iter, struct block_rows *rows);
/* Are all keys of the current block, where the iterator stands, below `key`? May say no wrongly. */
bool table_iter_block_is_below(const struct table_iter *iter, struct slice key);
/* What the table says about all its rows: the newest timestamp, one version a key or not. */
const struct table_meta *table_iter_meta(const struct table_iter *iter);
