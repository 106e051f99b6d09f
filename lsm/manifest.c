/* lsm/manifest.c - the manifest's files: loading, appending, beginning anew. */
#include "lsm/manifest.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/log.h"
#include "engine/io/io.h"

#include "engine/base/poison.h"

enum { MANIFEST_OLD_MAX = 8, MANIFEST_READ_BYTES = 4 << 20, MANIFEST_WRITE_BYTES = 4 << 20 };

struct manifest {
    char dir[LSM_PATH_BYTES_MAX];
    struct io_file *file; /* NULL before the first manifest_begin and when in doubt. */
    struct manifest_chain chain;
    uint64_t snapshot_bytes;
    uint64_t old[MANIFEST_OLD_MAX]; /* Files that may still be what CURRENT names. */
    uint32_t old_count;
};

void
lsm_table_path(char path[LSM_PATH_BYTES_MAX], const char *dir, uint64_t file_number)
{
    snprintf(path, LSM_PATH_BYTES_MAX, "%.*s/%016llx.table", LSM_DIR_BYTES_MAX, dir,
             (unsigned long long)file_number);
}

void
lsm_manifest_path(char path[LSM_PATH_BYTES_MAX], const char *dir, uint64_t file_number)
{
    snprintf(path, LSM_PATH_BYTES_MAX, "%.*s/MANIFEST-%016llx", LSM_DIR_BYTES_MAX, dir,
             (unsigned long long)file_number);
}

static void
current_path(char path[LSM_PATH_BYTES_MAX], const char *dir, const char *suffix)
{
    snprintf(path, LSM_PATH_BYTES_MAX, "%.*s/CURRENT%s", LSM_DIR_BYTES_MAX, dir, suffix);
}

/* ---- Loading. ---- */

/* The whole file. *bytes_out is aligned and the caller's (size rounded to blocks). */
static YIELDS err_t
file_read(const char *path, uint8_t **bytes_out, uint64_t *size_out)
{
    struct io_file *file = NULL;
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    err_t err;

    TRY(io_open(path, IO_READ_ONLY, &file));
    size = io_file_size(file);
    if (size == 0 || size > MANIFEST_BYTES_MAX || size % IO_BLOCK_BYTES != 0) {
        err = err_set(ERR_CORRUPT, "%s: a file of %llu bytes cannot be whole", path,
                      (unsigned long long)size);
        goto out;
    }
    bytes = mem_alloc_aligned(MEM_TABLES, size);
    if (bytes == NULL) {
        err =
            err_set(ERR_NO_MEMORY, "%s: no memory for %llu bytes", path, (unsigned long long)size);
        goto out;
    }
    for (uint64_t at = 0; at < size; at += MANIFEST_READ_BYTES) {
        TRY(io_read(file, at, bytes + at, MIN(size - at, (uint64_t)MANIFEST_READ_BYTES)));
    }
    *bytes_out = bytes;
    *size_out = size;
    bytes = NULL;
out:
    mem_free_aligned(MEM_TABLES, bytes, size);
    io_close(&file);
    return err;
}

static YIELDS err_t
current_read(const char *dir, uint64_t *file_number_out)
{
    char path[LSM_PATH_BYTES_MAX];
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    err_t err;

    current_path(path, dir, "");
    TRY(file_read(path, &bytes, &size));
    TRY(manifest_current_decode(slice_of(bytes, size), path, file_number_out));
out:
    mem_free_aligned(MEM_TABLES, bytes, size);
    return err;
}

YIELDS err_t
manifest_load(const char *dir, bool has_data_files, struct manifest_state *state,
              uint64_t *file_number_out, bool *exists_out)
{
    char path[LSM_PATH_BYTES_MAX];
    uint8_t *bytes = NULL;
    uint64_t size = 0;
    err_t err;

    err = current_read(dir, file_number_out);
    if (err == ERR_NOT_FOUND && !has_data_files) {
        *exists_out = false;
        return ERR_OK;
    }
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT,
                      "%s: there are tables or value logs, but the file CURRENT, "
                      "which names the manifest, is missing",
                      dir);
    }
    TRY(err);
    lsm_manifest_path(path, dir, *file_number_out);
    err = file_read(path, &bytes, &size);
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT, "%s: the manifest that CURRENT names is missing", path);
    }
    TRY(err);
    TRY(manifest_replay(slice_of(bytes, size), *file_number_out, path, state));
    if (state->tail_was_cut) {
        LOG_W("%s: cut an edit which was not acknowledged, at offset %llu", path,
              (unsigned long long)state->bytes_valid);
    }
    *exists_out = true;
out:
    mem_free_aligned(MEM_TABLES, bytes, size);
    return err;
}

/* ---- Writing. ---- */

struct manifest *
manifest_new(const char *dir, uint64_t loaded_file_number)
{
    struct manifest *manifest = MEM_NEW(MEM_TABLES, struct manifest);

    ASSERT(strlen(dir) <= LSM_DIR_BYTES_MAX);
    memcpy(manifest->dir, dir, strlen(dir) + 1);
    manifest->chain.file_number = loaded_file_number;
    return manifest;
}

YIELDS void
manifest_close(struct manifest **pointer)
{
    struct manifest *manifest = *pointer;

    *pointer = NULL;
    if (manifest == NULL) {
        return;
    }
    io_close(&manifest->file);
    mem_free(MEM_TABLES, manifest, sizeof(*manifest));
}

uint64_t
manifest_file_number(const struct manifest *manifest)
{
    return manifest->chain.file_number;
}

bool
manifest_wants_begin(const struct manifest *manifest)
{
    uint64_t limit = MAX(manifest->snapshot_bytes * MANIFEST_REWRITE_FACTOR,
                         (uint64_t)MANIFEST_REWRITE_BYTES_MIN);

    return manifest->file == NULL || manifest->chain.offset >= limit;
}

/* Write one batch durably. The chain moves on only when it is written. */
static YIELDS err_t
batch_write(struct io_file *file, struct slice payload, enum manifest_kind kind,
            struct manifest_chain *chain)
{
    struct manifest_chain next = *chain;
    uint32_t flags = CANARY(MANIFEST_NO_SYNC) ? 0 : IO_DURABLE;
    uint64_t bytes = manifest_batch_bytes(payload.size);
    uint8_t *batch;
    err_t err = ERR_OK;

    if (payload.size > MANIFEST_PAYLOAD_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: an edit of %zu bytes is too large", io_file_path(file),
                       payload.size);
    }
    batch = mem_alloc_aligned(MEM_TABLES, bytes);
    if (batch == NULL) {
        return err_set(ERR_NO_MEMORY, "%s: no memory for an edit of %zu bytes", io_file_path(file),
                       payload.size);
    }
    if (payload.size > 0) {
        memcpy(batch + MANIFEST_HEADER_BYTES, payload.data, payload.size);
    }
    manifest_batch_seal(batch, payload.size, kind, &next);
    for (uint64_t at = 0; at < bytes; at += MANIFEST_WRITE_BYTES) {
        TRY(io_write(file, chain->offset + at, batch + at,
                     MIN(bytes - at, (uint64_t)MANIFEST_WRITE_BYTES), flags));
    }
    *chain = next;
out:
    mem_free_aligned(MEM_TABLES, batch, bytes);
    return err;
}

YIELDS err_t
manifest_append(struct manifest *manifest, struct slice edit)
{
    err_t err;

    ASSERT(manifest->file != NULL);
    TRY(batch_write(manifest->file, edit, MANIFEST_EDIT, &manifest->chain));
    TRY(batch_write(manifest->file, slice_of(NULL, 0), MANIFEST_SEAL, &manifest->chain));
out:
    if (err != ERR_OK) {
        io_close(&manifest->file);
    }
    return err;
}

/* A new file with snapshot and seal. Nothing names it yet. */
static YIELDS err_t
file_make(struct manifest *manifest, uint64_t file_number, struct slice snapshot,
          struct io_file **file_out, struct manifest_chain *chain_out)
{
    struct manifest_chain chain = {.file_number = file_number};
    char path[LSM_PATH_BYTES_MAX];
    struct io_file *file = NULL;
    err_t err;

    lsm_manifest_path(path, manifest->dir, file_number);
    TRY(io_open(path, IO_CREATE | IO_EXCLUSIVE, &file));
    TRY(batch_write(file, snapshot, MANIFEST_SNAPSHOT, &chain));
    TRY(batch_write(file, slice_of(NULL, 0), MANIFEST_SEAL, &chain));
    *file_out = file;
    *chain_out = chain;
    file = NULL;
out:
    if (file != NULL) {
        io_close(&file);
        (void)io_unlink(path); /* Whatever comes of it: the next open removes strays. */
    }
    return err;
}

static YIELDS err_t
current_switch(const char *dir, uint64_t file_number)
{
    char from[LSM_PATH_BYTES_MAX];
    char to[LSM_PATH_BYTES_MAX];
    uint8_t *block = mem_alloc_aligned(MEM_TABLES, IO_BLOCK_BYTES);
    struct io_file *file = NULL;
    err_t err;

    current_path(from, dir, ".new");
    current_path(to, dir, "");
    manifest_current_encode(block, file_number);
    TRY(io_open(from, IO_CREATE, &file));
    TRY(io_write(file, 0, block, IO_BLOCK_BYTES, IO_DURABLE));
    io_close(&file);
    /* The names of the manifest and of the tables it lists come before the switch, too. */
    TRY(io_sync_dir(dir));
    TRY(io_rename(from, to));
    TRY(io_sync_dir(dir));
out:
    io_close(&file);
    mem_free_aligned(MEM_TABLES, block, IO_BLOCK_BYTES);
    return err;
}

/* CURRENT durably names another file: these are not needed any more. */
static YIELDS void
old_remove(struct manifest *manifest)
{
    char path[LSM_PATH_BYTES_MAX];

    while (manifest->old_count > 0) {
        lsm_manifest_path(path, manifest->dir, manifest->old[--manifest->old_count]);
        if (io_unlink(path) != ERR_OK) {
            LOG_W("%s: cannot remove the old manifest; the next start will", path);
        }
    }
}

YIELDS err_t
manifest_begin(struct manifest *manifest, uint64_t file_number, struct slice snapshot)
{
    struct manifest_chain chain;
    struct io_file *file = NULL;
    err_t err;

    TRY(file_make(manifest, file_number, snapshot, &file, &chain));
    if (manifest->chain.file_number != 0 && manifest->old_count < MANIFEST_OLD_MAX) {
        manifest->old[manifest->old_count++] = manifest->chain.file_number;
    }
    io_close(&manifest->file);
    manifest->chain = chain;
    TRY(current_switch(manifest->dir, file_number));
    manifest->file = file;
    manifest->snapshot_bytes = chain.offset;
    file = NULL;
    old_remove(manifest);
out:
    io_close(&file);
    return err;
}
