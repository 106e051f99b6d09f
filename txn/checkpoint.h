/* txn/checkpoint.h - checkpoints of the whole store, all shards.
 *
 * An *export* is a folder that opens as a data folder of its own. It shares tables and value logs
 * with the store by hard links, so it must lie on the same file system; the log's tail is copied.
 * A *named* checkpoint stays in the store: its manifests keep the files until it is dropped, and
 * it can be exported at any time. Both take as long as the log's tail is to copy, whatever the size
 * of the store.
 *
 * What is in it: every write that was acknowledged before the call, and the state of one moment of
 * all shards: while it is captured, which takes as long as a few messages, no commit takes effect
 * anywhere. Copying and linking follow after that.
 *
 * These functions run in a fiber of any shard and ask all of them. A kill in the middle leaves
 * nothing behind after the next start. Theory: txn/README.md. Bytes: docs/format/store.md. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/rt/fiber.h"
#include "lsm/lsm.h"

struct store;

enum {
    CHECKPOINT_PATH_BYTES_MAX = 120, /* Of an export's folder: names of files in it follow. */
};

/* Makes the folder `path` (absolute, or relative to the data folder); its parent must be there.
 * ERR_EXISTS when something is there already, or another export to it is under way; ERR_NOT_FOUND
 * without a parent; ERR_UNSUPPORTED on another file system; ERR_LIMIT, ERR_NO_SPACE, ERR_IO. After
 * an error nothing is left. */
YIELDS err_t checkpoint_export(const char *path);
/* The same from a named checkpoint. ERR_NOT_FOUND when there is none. */
YIELDS err_t checkpoint_export_named(const char *name, const char *path);

/* ERR_EXISTS, ERR_INVALID (the name: lsm_checkpoint_name_check), ERR_LIMIT, ERR_NO_SPACE,
 * ERR_IO. */
YIELDS err_t checkpoint_create(const char *name);
/* ERR_NOT_FOUND. */
YIELDS err_t checkpoint_drop(const char *name);

struct checkpoint_info {
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    uint64_t ts; /* The newest of the shards': no commit above it is there. */
    uint64_t tables;
    uint64_t table_bytes; /* Shared with the store, or kept by this checkpoint alone. */
};
/* At most `max`; all shards' parts added up. */
YIELDS err_t checkpoint_list(struct checkpoint_info *infos, uint32_t max, uint32_t *count_out);

/* ---- For recovery: at the end of store_recover. ---- */

/* Removes what a kill left: exports that were not finished (shard 0), names that not every shard
 * has, and copies of log tails that no name needs. */
YIELDS err_t checkpoint_recover(struct store *store);

/* ---- Pending exports as bytes, for tests and orbitctl. ---- */

enum { CHECKPOINT_PENDING_BYTES = 4096 };
void checkpoint_pending_encode(uint8_t out[CHECKPOINT_PENDING_BYTES], const char *path);
/* ERR_CORRUPT, ERR_FORMAT; `file` is for the message. */
err_t checkpoint_pending_decode(struct slice bytes, const char *file,
                                char path_out[CHECKPOINT_PATH_BYTES_MAX + 1]);
