/* txn/api_cursor.h - a scan of the C API inline: one iterator, open from the first call to the
 * last, whose batches are handed out where they lie. Called on the application's stack. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "include/orbit.h"
#include "txn/store.h"

struct api_cursor;

struct api_cursor_options {
    struct slice lower; /* Stored form; borrowed. */
    struct slice upper;
    bool is_reverse;
    const struct store_snapshot *snapshot; /* NULL: this moment. */
};

/* ERR_INVALID when another thread calls than the one that opened the database. */
err_t api_cursor_open(struct orbit *db, const struct api_cursor_options *options,
                      struct api_cursor **cursor_out);
/* Accepts NULL; clears the pointer. */
void api_cursor_close(struct api_cursor **cursor);
/* 1..capacity rows, good until the next call; ERR_NOT_FOUND behind the last one. After any other
 * error the next call tries again. */
err_t api_cursor_rows(struct api_cursor *cursor, struct orbit_row *rows, size_t capacity,
                      size_t *count_out);
/* The next row, if it is at hand; otherwise ask api_cursor_rows. */
bool api_cursor_row(struct api_cursor *cursor, struct orbit_row *row);
