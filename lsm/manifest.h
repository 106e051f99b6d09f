/* lsm/manifest.h - the durable record of which tables make up the tree.
 *
 * A manifest file is a chain of batches: first a snapshot of everything, then edits, and behind
 * each edit a seal, which is written when the edit is durable. The rule at open:
 *
 *     snapshot  seal  edit  seal  edit  seal  edit ...
 *                                        ^ the first batch that does not chain:
 *                                          nothing valid behind it: a torn tail. Its edit was
 *                                          never acknowledged (its seal is missing): cut it;
 *                                          a valid batch behind it: it was durable once:
 *                                          ERR_CORRUPT, naming file and offset.
 *
 * Open always begins a new file, so nothing is ever written behind a cut. The file named by
 * CURRENT counts; the name is switched when the new file's snapshot and seal are durable. After a
 * failed write nobody can tell what the file holds: the next edit goes, with a snapshot, to a new
 * file. Bytes: docs/format/manifest.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "lsm/version.h"
#include "lsm/vlog.h"

enum {
    MANIFEST_FORMAT = 3,
    MANIFEST_HEADER_BYTES = 64,
    MANIFEST_PAYLOAD_BYTES_MAX = 256 << 20,
    MANIFEST_CHECKPOINT_BYTES_MAX = 128 << 20, /* All named checkpoints together. */
    MANIFEST_BYTES_MAX = 512 << 20,
    MANIFEST_REWRITE_BYTES_MIN = 1 << 20, /* Smaller files are not rewritten. */
    MANIFEST_REWRITE_FACTOR = 4,          /* Rewritten at so many times the last snapshot. */
    MANIFEST_NOTE_BYTES_MAX = 64 << 10,
    MANIFEST_VLOG_FILES_MAX = 1 << 16, /* Of one table. */
};

/* ---- Pure part: bytes to state and back. ---- */

struct manifest_table {
    uint32_t level;
    bool is_pending;        /* Of a checkpoint: the log names it, the tree does not list it. */
    bool is_stamped;        /* meta has the stamp, the file's entries have ts 0. */
    struct table_meta meta; /* Keys are owned. */
    struct vlog_use *vlog_uses;
    uint32_t vlog_use_count;
};

/* A named checkpoint: what lsm_hold_take captured, and the names that were given to it. */
struct manifest_checkpoint {
    char name[LSM_CHECKPOINT_NAME_BYTES_MAX + 1];
    uint64_t ts; /* What a reader at or above it sees is there: an export's horizon. */
    uint64_t flushed_lsn;
    uint64_t log_end;
    uint64_t next_file_number; /* No file in it has this number or a larger one. */
    struct buf note;
    struct manifest_table *tables; /* Rising by file number. */
    uint32_t table_count, table_capacity;
    uint64_t *vlog_files; /* All that were there; more than the tables' own. */
    uint32_t vlog_file_count;
};
struct manifest_checkpoint *manifest_checkpoint_new(void);
/* Accepts NULL; clears the pointer. */
void manifest_checkpoint_free(struct manifest_checkpoint **checkpoint);
bool manifest_checkpoint_has(const struct manifest_checkpoint *checkpoint, uint64_t file_number);
/* Copies what an open table is; `table` is emptied by the call when it was taken. */
void manifest_table_capture(struct manifest_table *table, uint32_t level,
                            const struct lsm_table *from);
void manifest_checkpoint_add_table(struct manifest_checkpoint *checkpoint,
                                   struct manifest_table *table);

struct manifest_state {
    struct manifest_checkpoint *checkpoints[LSM_CHECKPOINTS_MAX]; /* In order of their making. */
    uint32_t checkpoint_count;
    struct manifest_table *tables; /* Rising by file number. */
    uint32_t table_count, table_capacity;
    uint64_t next_file_number;
    uint64_t flushed_lsn;
    uint64_t horizon; /* By which versions were collected; 0: none was. */
    struct buf note;
    uint32_t batches;
    uint64_t bytes_valid; /* Of the file. */
    bool tail_was_cut;
};
void manifest_state_init(struct manifest_state *state);
void manifest_state_fini(struct manifest_state *state);

/* Read a whole manifest file. ERR_CORRUPT names `path` and the offset; ERR_FORMAT the version. */
err_t manifest_replay(struct slice bytes, uint64_t file_number, const char *path,
                      struct manifest_state *state);

/* Payloads. */
void manifest_encode_edit(struct buf *out, const struct edit *edit, uint64_t next_file_number);
/* The tables of a version which are not pending (lsm/ingest.h). */
void manifest_encode_snapshot(struct buf *out, const struct version *version,
                              uint64_t next_file_number, uint64_t flushed_lsn, struct slice note);

/* Behind either: tables were written without what nobody can see at or above `horizon`. */
void manifest_encode_horizon(struct buf *out, uint64_t horizon);
/* Behind a snapshot: what the edit settles. */
void manifest_encode_settled(struct buf *out, const struct edit *edit);

/* A named checkpoint is added by a record, and goes by one. */
void manifest_encode_checkpoint(struct buf *out, const struct manifest_checkpoint *checkpoint);
/* The record's way back; false when it is malformed. */
bool manifest_decode_checkpoint(struct slice record, struct manifest_checkpoint *checkpoint);
void manifest_encode_checkpoint_drop(struct buf *out, const char *name);
/* The snapshot that a tree made from the checkpoint begins with. */
void manifest_encode_checkpoint_tree(struct buf *out, const struct manifest_checkpoint *checkpoint);

/* The 4 KiB that CURRENT holds. */
void manifest_current_encode(uint8_t *block, uint64_t file_number);
err_t manifest_current_decode(struct slice bytes, const char *path, uint64_t *file_number_out);

enum manifest_kind { MANIFEST_SNAPSHOT = 1, MANIFEST_EDIT = 2, MANIFEST_SEAL = 3 };
/* Fill in header, checksum and padding of a batch whose payload stands behind the header; the
 * buffer has the length that is returned. */
struct manifest_chain {
    uint64_t file_number;
    uint64_t offset;
    uint64_t sequence;
    uint64_t previous_checksum;
};
uint64_t manifest_batch_bytes(uint64_t payload_bytes);
void manifest_batch_seal(uint8_t *batch, uint64_t payload_bytes, enum manifest_kind kind,
                         struct manifest_chain *chain);

/* ---- Files. ---- */

struct manifest; /* The one being written to. */

/* Read the file that CURRENT names. *exists_out is false when there is neither CURRENT nor any
 * sign of a tree (tables, value logs): a new folder. */
YIELDS err_t manifest_load(const char *dir, bool has_data_files, struct manifest_state *state,
                           uint64_t *file_number_out, bool *exists_out);

/* Nothing is written before manifest_begin, which removes the file that was loaded (0: none). */
struct manifest *manifest_new(const char *dir, uint64_t loaded_file_number);
YIELDS void manifest_close(struct manifest **manifest);
uint64_t manifest_file_number(const struct manifest *manifest);
/* Begin a new file with this snapshot and make it current. The old one is removed. On an error
 * the old one stays current, or nobody knows: call it again, with another number. */
YIELDS err_t manifest_begin(struct manifest *manifest, uint64_t file_number, struct slice snapshot);
/* Append an edit; durable and sealed on return. On an error the edit is in doubt: only
 * manifest_begin may follow. */
YIELDS err_t manifest_append(struct manifest *manifest, struct slice edit);
/* Is a new file due: large, or in doubt? */
bool manifest_wants_begin(const struct manifest *manifest);

/* "lsm/000000000000000c.table" and so on. */
enum { LSM_DIR_BYTES_MAX = 200, LSM_PATH_BYTES_MAX = 256 };
void lsm_table_path(char path[LSM_PATH_BYTES_MAX], const char *dir, uint64_t file_number);
void lsm_manifest_path(char path[LSM_PATH_BYTES_MAX], const char *dir, uint64_t file_number);
