/* txn/shape.h - the file STORE: what a shard's folder was made for. docs/format/store.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum { SHAPE_BYTES = 4096 };

struct shape {
    uint32_t shard;
    uint32_t shards;
    uint64_t log_id;
    uint64_t born; /* What other logs have for this shard at or before this timestamp was for an
                      earlier shard of its number, which was given up. */
};

void shape_encode(uint8_t out[SHAPE_BYTES], const struct shape *shape);
/* ERR_CORRUPT; ERR_FORMAT for another version. `path` is for the message. */
err_t shape_decode(struct slice bytes, const char *path, struct shape *shape_out);

/* Reads the folder's shape and checks it against this shard; in a new folder draws a log id and
 * writes it down under a preliminary name, so that a crash while the store is made finds it.
 * *is_new_out: shape_commit is still to be called, when everything else is there. With `may_move`
 * (txn/reshard.h) it may have been made for another number of shards.
 * Errors: ERR_FORMAT for a folder of another shape (says what to do), ERR_CORRUPT, ERR_IO. */
YIELDS err_t shape_open(const char *dir, bool may_move, struct shape *shape_out, bool *is_new_out);
/* What the folder was made for, whatever this shard is; for tools. ERR_NOT_FOUND without STORE. */
YIELDS err_t shape_load(const char *dir, struct shape *shape_out);
/* The same shape for a folder that is a copy of this one; durable but for its name. */
YIELDS err_t shape_copy(const char *from_dir, const char *to_dir);
/* From now on the folder holds a store of this shape. */
YIELDS err_t shape_commit(const char *dir, const struct shape *shape);
