/* wal/cursor.h - reading a log while it is written: batch after batch, up to the durable position.
 *
 * Every batch is checked as in replay: bytes, place, and the one before it. A cursor holds the
 * segments from its place on, so that they are not recycled under it; one that is further behind
 * the durable position than WAL_CURSOR_BEHIND_MAX, and does not read at the moment, holds nothing
 * and loses its place when its segment goes. Cursors are closed before the log. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "wal/wal.h"

struct wal_cursor;

enum {
    WAL_CURSORS_MAX = 64, /* Of a log: ERR_LIMIT. */
    WAL_CURSOR_BEHIND_MAX = 256 << 20,
};

/* Is what stands before this record of no interest? Asked for the first record of segments, the
 * newest first; the cursor begins with the first one that says so, or the oldest there is. */
typedef bool (*wal_cursor_may_begin)(void *arg, struct slice record);

/* ERR_LIMIT, ERR_CORRUPT, ERR_IO, ERR_NO_MEMORY. */
YIELDS err_t wal_cursor_open(struct wal *wal, wal_cursor_may_begin may_begin, void *arg,
                             struct wal_cursor **cursor_out);
/* Accepts NULL; clears the pointer. Not while another fiber reads with it. */
void wal_cursor_close(struct wal_cursor **cursor);
/* Does it begin where the log did, so that nothing was recycled before its first batch? */
bool wal_cursor_is_whole(const struct wal_cursor *cursor);

/* The next batch that is durable: its records (wal_record_next) until the next call, and its closed
 * timestamp. *is_there_out false, and nothing else is set: all that is durable was read. Errors:
 * ERR_SNAPSHOT_TOO_OLD (it has lost its place, for good), ERR_CORRUPT (naming file and offset),
 * ERR_IO, ERR_NO_MEMORY. */
YIELDS err_t wal_cursor_next(struct wal_cursor *cursor, struct slice *payload_out,
                             uint64_t *closed_out, bool *is_there_out);
