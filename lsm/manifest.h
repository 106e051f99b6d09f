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

enum {
    MANIFEST_FORMAT = 1,
    MANIFEST_HEADER_BYTES = 64,
    MANIFEST_PAYLOAD_BYTES_MAX = 256 << 20,
    MANIFEST_BYTES_MAX = 512 << 20,
    MANIFEST_REWRITE_BYTES_MIN = 1 << 20, /* Smaller files are not rewritten. */
    MANIFEST_REWRITE_FACTOR = 4,          /* Rewritten at so many times the last snapshot. */
    MANIFEST_NOTE_BYTES_MAX = 64 << 10,
    MANIFEST_VLOG_FILES_MAX = 1 << 16, /* Of one table. */
};

/* ---- Pure part: bytes to state and back. ---- */

struct manifest_table {
    uint32_t level;
    struct table_meta meta; /* Keys are owned. */
    uint64_t *vlog_files;
    uint32_t vlog_file_count;
};

struct manifest_state {
    struct manifest_table *tables; /* Rising by file number. */
    uint32_t table_count, table_capacity;
    uint64_t next_file_number;
    uint64_t flushed_lsn;
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
void manifest_encode_snapshot(struct buf *out, const struct version *version,
                              uint64_t next_file_number, uint64_t flushed_lsn, struct slice note);

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
