/* lsm/checkpoint.c - moments of the tree that are held, named, and made into trees of their own.
 *
 *     hold        pins the version, so files stay            memory only
 *     named       the manifest lists what the hold had       until dropped, over restarts
 *     exported    links in another folder + a manifest       a tree of its own
 *
 * A table's file goes when neither the current version, nor a pin of an older one, nor a named
 * checkpoint has it. The last pin removes it if it is obsolete; a table that a checkpoint has is
 * never made obsolete, so its file goes with the last checkpoint, here. Holds exclude each other
 * and drops (hold_mutex): no file goes while a hold that may name it is at work. */
#include <stdio.h>

#include "lsm/checkpoint.h"
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"

#include "engine/base/poison.h"

#define LSM_HOLD_MAGIC UINT64_C(0x6c736d686f6c6431)

enum { LINKING_FIBERS = 16 };

struct lsm_hold {
    uint64_t magic;
    struct lsm *lsm;
    struct version *version;              /* Pinned. */
    struct manifest_checkpoint *captured; /* Without a name; its value logs are referred to. */
};

/* ---- Names. ---- */

err_t
lsm_checkpoint_name_check(const char *name)
{
    size_t size = strlen(name);

    if (size == 0 || size > LSM_CHECKPOINT_NAME_BYTES_MAX) {
        return err_set(ERR_INVALID, "a checkpoint's name has 1 to %d bytes, not %zu",
                       LSM_CHECKPOINT_NAME_BYTES_MAX, size);
    }
    for (size_t i = 0; i < size; i++) {
        char byte = name[i];

        if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
            !(byte >= '0' && byte <= '9') && byte != '_' && (byte != '-' || i == 0)) {
            return err_set(ERR_INVALID, "a checkpoint's name has letters, digits, _ and -, and "
                                        "does not begin with -");
        }
    }
    return ERR_OK;
}

static uint32_t
checkpoint_find(const struct lsm *lsm, const char *name)
{
    uint32_t at = 0;

    while (at < lsm->checkpoint_count && strcmp(lsm->checkpoints[at]->name, name) != 0) {
        at++;
    }
    return at;
}

bool
lsm_checkpoint_has_table(const struct lsm *lsm, uint64_t file_number)
{
    for (uint32_t i = 0; i < lsm->checkpoint_count; i++) {
        if (manifest_checkpoint_has(lsm->checkpoints[i], file_number)) {
            return true;
        }
    }
    return false;
}

/* ---- Holds. ---- */

/* Heap sort by file number: there may be very many. */
static void
tables_sift(struct manifest_table *tables, uint32_t at, uint32_t count)
{
    for (uint32_t child = 2 * at + 1; child < count; child = 2 * at + 1) {
        struct manifest_table moved = tables[at];

        if (child + 1 < count &&
            tables[child].meta.file_number < tables[child + 1].meta.file_number) {
            child++;
        }
        if (tables[at].meta.file_number >= tables[child].meta.file_number) {
            return;
        }
        tables[at] = tables[child];
        tables[child] = moved;
        at = child;
    }
}

static void
tables_sort(struct manifest_table *tables, uint32_t count)
{
    for (uint32_t i = count / 2; i-- > 0;) {
        tables_sift(tables, i, count);
    }
    for (uint32_t end = count; end-- > 1;) {
        struct manifest_table moved = tables[0];

        tables[0] = tables[end];
        tables[end] = moved;
        tables_sift(tables, 0, end);
    }
}

static void
capture_tables(struct manifest_checkpoint *captured, const struct version *version)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].count; i++) {
            struct manifest_table table;

            manifest_table_capture(&table, level, version->levels[level].tables[i]);
            manifest_checkpoint_add_table(captured, &table);
        }
    }
    tables_sort(captured->tables, captured->table_count);
}

YIELDS struct lsm_hold *
lsm_hold_take(struct lsm *lsm)
{
    struct lsm_hold *hold;
    struct manifest_checkpoint *captured;

    OBJ_CHECK(lsm, LSM_MAGIC);
    fiber_mutex_lock(&lsm->hold_mutex);
    hold = MEM_NEW(MEM_TABLES, struct lsm_hold);
    captured = manifest_checkpoint_new();
    hold->magic = LSM_HOLD_MAGIC;
    hold->lsm = lsm;
    hold->version = lsm->version;
    hold->captured = captured;
    version_pin(hold->version);
    captured->ts = lsm_horizon_ever(lsm); /* Until it has a name and a moment. */
    captured->flushed_lsn = lsm->flushed_lsn;
    captured->log_end = lsm->flushed_lsn;
    captured->next_file_number = lsm->next_file_number;
    buf_append(&captured->note, lsm->note.data, lsm->note.size);
    vlog_list(lsm->vlog, &captured->vlog_files, &captured->vlog_file_count);
    for (uint32_t i = 0; i < captured->vlog_file_count; i++) {
        vlog_ref(lsm->vlog, captured->vlog_files[i]);
    }
    capture_tables(captured, hold->version);
    return hold;
}

void
lsm_hold_drop(struct lsm_hold **pointer)
{
    struct lsm_hold *hold = *pointer;
    struct lsm *lsm;

    *pointer = NULL;
    if (hold == NULL) {
        return;
    }
    OBJ_CHECK(hold, LSM_HOLD_MAGIC);
    lsm = hold->lsm;
    for (uint32_t i = 0; i < hold->captured->vlog_file_count; i++) {
        vlog_unref(lsm->vlog, hold->captured->vlog_files[i]);
    }
    version_unpin(&hold->version);
    manifest_checkpoint_free(&hold->captured);
    hold->magic = 0;
    MEM_FREE(MEM_TABLES, hold);
    fiber_mutex_unlock(&lsm->hold_mutex);
}

uint64_t
lsm_hold_flushed_lsn(const struct lsm_hold *hold)
{
    OBJ_CHECK(hold, LSM_HOLD_MAGIC);
    return hold->captured->flushed_lsn;
}

/* ---- Exporting. ---- */

struct linking {
    const char *from;
    const char *to;
    const struct manifest_checkpoint *checkpoint;
    uint32_t next; /* Tables first, then value logs. */
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static void
file_path(char path[LSM_PATH_BYTES_MAX], const char *dir,
          const struct manifest_checkpoint *checkpoint, uint32_t index)
{
    char name[VLOG_NAME_BYTES];

    if (index < checkpoint->table_count) {
        lsm_table_path(path, dir, checkpoint->tables[index].meta.file_number);
        return;
    }
    vlog_name(checkpoint->vlog_files[index - checkpoint->table_count], name);
    snprintf(path, LSM_PATH_BYTES_MAX, "%.*s/%s", LSM_DIR_BYTES_MAX, dir, name);
}

static YIELDS err_t
link_one(const struct linking *linking, uint32_t index)
{
    char from[LSM_PATH_BYTES_MAX];
    char to[LSM_PATH_BYTES_MAX];
    err_t err;

    file_path(from, linking->from, linking->checkpoint, index);
    file_path(to, linking->to, linking->checkpoint, index);
    err = io_link(from, to);
    if (err == ERR_NOT_FOUND) {
        err = err_set(ERR_CORRUPT, "%s: the checkpoint needs this file, but it is missing", from);
    } else if (err == ERR_UNSUPPORTED) {
        err = err_set(ERR_UNSUPPORTED,
                      "%s is on another file system than %s: a checkpoint shares its files and "
                      "can only be made on the same one",
                      linking->to, linking->from);
    }
    return err;
}

static void
link_worker(void *arg)
{
    struct linking *linking = arg;
    uint32_t count = linking->checkpoint->table_count + linking->checkpoint->vlog_file_count;

    while (linking->next < count && linking->err == ERR_OK) {
        err_t err = link_one(linking, linking->next++);

        if (err != ERR_OK && linking->err == ERR_OK) {
            linking->err = err;
            snprintf(linking->message, sizeof(linking->message), "%s", err_message(err));
        }
    }
}

static YIELDS err_t
files_link(const char *from, const char *to, const struct manifest_checkpoint *checkpoint)
{
    struct linking linking = {.from = from, .to = to, .checkpoint = checkpoint};
    uint32_t count = checkpoint->table_count + checkpoint->vlog_file_count;
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 1; i < LINKING_FIBERS && i < count; i++) {
        if (!fiber_group_spawn(&group, "lsm link", FIBER_FOREGROUND, FIBER_STACK_SMALL, link_worker,
                               &linking)) {
            break;
        }
    }
    link_worker(&linking);
    fiber_group_wait(&group);
    return linking.err == ERR_OK ? ERR_OK : err_set(linking.err, "%s", linking.message);
}

static YIELDS err_t
manifest_make(const char *dir, const struct manifest_checkpoint *checkpoint)
{
    struct manifest *manifest = manifest_new(dir, 0);
    struct buf payload;
    err_t err;

    buf_init(&payload, MEM_TABLES);
    manifest_encode_checkpoint_tree(&payload, checkpoint);
    err = manifest_begin(manifest, checkpoint->next_file_number, buf_slice(&payload));
    buf_fini(&payload);
    manifest_close(&manifest);
    return err;
}

/* The files' names become durable with the folder, which making the manifest syncs. */
static YIELDS err_t
tree_make(const struct lsm *lsm, const struct manifest_checkpoint *checkpoint, const char *dir)
{
    err_t err;

    if (strlen(dir) > LSM_DIR_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: a folder's name may have %d bytes", dir, LSM_DIR_BYTES_MAX);
    }
    TRY(io_mkdir(dir));
    TRY(files_link(lsm->dir, dir, checkpoint));
    TRY(manifest_make(dir, checkpoint));
out:
    return err;
}

YIELDS err_t
lsm_hold_export(struct lsm_hold *hold, const char *dir)
{
    OBJ_CHECK(hold, LSM_HOLD_MAGIC);
    return tree_make(hold->lsm, hold->captured, dir);
}

YIELDS err_t
lsm_checkpoint_export(struct lsm *lsm, const char *name, const char *dir)
{
    uint32_t at;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    fiber_mutex_lock(&lsm->hold_mutex);
    at = checkpoint_find(lsm, name);
    if (at == lsm->checkpoint_count) {
        err = err_set(ERR_NOT_FOUND, "there is no checkpoint named %s", name);
    } else {
        err = tree_make(lsm, lsm->checkpoints[at], dir);
    }
    fiber_mutex_unlock(&lsm->hold_mutex);
    return err;
}

/* ---- Naming. ---- */

void
lsm_checkpoints_encode(const struct lsm *lsm, struct buf *out)
{
    for (uint32_t i = 0; i < lsm->checkpoint_count; i++) {
        manifest_encode_checkpoint(out, lsm->checkpoints[i]);
    }
}

/* One record behind the others, or with everything in a new file: of the checkpoints all but
 * number `without`. Tries once. */
static YIELDS err_t
record_write(struct lsm *lsm, struct slice record, bool is_add, uint32_t without)
{
    struct edit nothing;
    struct buf payload;
    err_t err;

    edit_init(&nothing);
    buf_init(&payload, MEM_TABLES);
    if (manifest_wants_begin(lsm->manifest)) {
        uint64_t file_number = lsm_file_number_new(lsm);

        manifest_encode_snapshot(&payload, lsm->version, lsm->next_file_number, lsm->flushed_lsn,
                                 buf_slice(&lsm->note));
        manifest_encode_horizon(&payload, lsm_horizon_ever(lsm));
        for (uint32_t i = 0; i < lsm->checkpoint_count; i++) {
            if (i != without) {
                manifest_encode_checkpoint(&payload, lsm->checkpoints[i]);
            }
        }
        if (is_add) {
            buf_append(&payload, record.data, record.size);
        }
        err = manifest_begin(lsm->manifest, file_number, buf_slice(&payload));
    } else {
        manifest_encode_edit(&payload, &nothing, lsm->next_file_number);
        buf_append(&payload, record.data, record.size);
        err = manifest_append(lsm->manifest, buf_slice(&payload));
    }
    buf_fini(&payload);
    edit_fini(&nothing);
    return err;
}

/* May it be added? The records of all checkpoints are in every new manifest, so they are bounded
 * together. */
static err_t
add_check(const struct lsm *lsm, const char *name, struct slice record)
{
    struct buf others;
    size_t bytes;
    err_t err;

    TRY(lsm_checkpoint_name_check(name));
    if (checkpoint_find(lsm, name) < lsm->checkpoint_count) {
        return err_set(ERR_EXISTS, "there is a checkpoint named %s", name);
    }
    buf_init(&others, MEM_TABLES);
    lsm_checkpoints_encode(lsm, &others);
    bytes = others.size + record.size;
    buf_fini(&others);
    if (lsm->checkpoint_count == LSM_CHECKPOINTS_MAX || bytes > MANIFEST_CHECKPOINT_BYTES_MAX) {
        err = err_set(ERR_LIMIT,
                      "there are %u checkpoints, described in %zu bytes; the limits are %d and %d: "
                      "drop one first",
                      lsm->checkpoint_count, bytes, LSM_CHECKPOINTS_MAX,
                      MANIFEST_CHECKPOINT_BYTES_MAX);
    }
out:
    return err;
}

/* Some tables may have left the version since they were held: they stay now. */
static void
tables_keep(const struct version *version)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].count; i++) {
            version->levels[level].tables[i]->is_obsolete = false;
        }
    }
}

/* The record is durable. The hold goes on by itself. */
static void
add_install(struct lsm_hold *hold, struct manifest_checkpoint *named)
{
    struct lsm *lsm = hold->lsm;

    for (uint32_t i = 0; i < named->vlog_file_count; i++) {
        vlog_ref(lsm->vlog, named->vlog_files[i]);
    }
    tables_keep(hold->version);
    lsm->checkpoints[lsm->checkpoint_count++] = named;
}

/* A second object with the same contents: written as a record and read again. */
static struct manifest_checkpoint *
checkpoint_copy(struct slice record)
{
    struct manifest_checkpoint *copy = manifest_checkpoint_new();
    bool is_read = manifest_decode_checkpoint(record, copy);

    ASSERT(is_read);
    return copy;
}

YIELDS err_t
lsm_checkpoint_add(struct lsm_hold *hold, const char *name, uint64_t ts, uint64_t log_end)
{
    struct lsm *lsm = hold->lsm;
    struct manifest_checkpoint *captured = hold->captured;
    struct manifest_checkpoint *named = NULL;
    struct buf record;
    err_t err;

    OBJ_CHECK(hold, LSM_HOLD_MAGIC);
    ASSERT(log_end >= captured->flushed_lsn);
    buf_init(&record, MEM_TABLES);
    fiber_mutex_lock(&lsm->manifest_mutex);
    TRY(lsm_checkpoint_name_check(name));
    snprintf(captured->name, sizeof(captured->name), "%s", name);
    captured->ts = ts;
    captured->log_end = log_end;
    manifest_encode_checkpoint(&record, captured);
    TRY(add_check(lsm, name, buf_slice(&record)));
    named = checkpoint_copy(buf_slice(&record));
    TRY(record_write(lsm, buf_slice(&record), true, UINT32_MAX));
    add_install(hold, named);
    named = NULL;
out:
    manifest_checkpoint_free(&named);
    buf_fini(&record);
    fiber_mutex_unlock(&lsm->manifest_mutex);
    return err;
}

static bool
version_has(const struct version *version, uint64_t file_number)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < version->levels[level].count; i++) {
            if (version->levels[level].tables[i]->meta->file_number == file_number) {
                return true;
            }
        }
    }
    return false;
}

/* Which files only the dropped checkpoint had is decided in the step in which it goes: what the
 * version has then goes with the version. Other tables get the number 0. */
static void
dropped_choose(const struct lsm *lsm, struct manifest_checkpoint *dropped)
{
    for (uint32_t i = 0; i < dropped->table_count; i++) {
        uint64_t file_number = dropped->tables[i].meta.file_number;

        if (version_has(lsm->version, file_number) || lsm_checkpoint_has_table(lsm, file_number)) {
            dropped->tables[i].meta.file_number = 0;
        }
    }
}

/* Where one cannot be removed, the next start does. */
static YIELDS void
dropped_remove(struct lsm *lsm, const struct manifest_checkpoint *dropped)
{
    char path[LSM_PATH_BYTES_MAX];

    for (uint32_t i = 0; i < dropped->table_count; i++) {
        if (dropped->tables[i].meta.file_number != 0) {
            lsm_table_path(path, lsm->dir, dropped->tables[i].meta.file_number);
            if (io_unlink(path) != ERR_OK) {
                LOG_W("%s: a table that no checkpoint needs stays until the next start", path);
            }
        }
    }
    for (uint32_t i = 0; i < dropped->vlog_file_count; i++) {
        vlog_unref(lsm->vlog, dropped->vlog_files[i]);
    }
}

YIELDS err_t
lsm_checkpoint_drop(struct lsm *lsm, const char *name)
{
    struct manifest_checkpoint *dropped = NULL;
    struct buf record;
    uint32_t at;
    err_t err;

    OBJ_CHECK(lsm, LSM_MAGIC);
    buf_init(&record, MEM_TABLES);
    fiber_mutex_lock(&lsm->hold_mutex);
    fiber_mutex_lock(&lsm->manifest_mutex);
    at = checkpoint_find(lsm, name);
    if (at == lsm->checkpoint_count) {
        err = err_set(ERR_NOT_FOUND, "there is no checkpoint named %s", name);
        goto out;
    }
    manifest_encode_checkpoint_drop(&record, name);
    TRY(record_write(lsm, buf_slice(&record), false, at));
    dropped = lsm->checkpoints[at];
    lsm->checkpoint_count--;
    memmove(&lsm->checkpoints[at], &lsm->checkpoints[at + 1],
            (lsm->checkpoint_count - at) * sizeof(lsm->checkpoints[0]));
    dropped_choose(lsm, dropped);
out:
    fiber_mutex_unlock(&lsm->manifest_mutex);
    if (dropped != NULL) {
        dropped_remove(lsm, dropped);
    }
    fiber_mutex_unlock(&lsm->hold_mutex);
    manifest_checkpoint_free(&dropped);
    buf_fini(&record);
    return err;
}

bool
lsm_checkpoint_get(const struct lsm *lsm, uint32_t index, struct lsm_checkpoint_info *out)
{
    const struct manifest_checkpoint *checkpoint;

    OBJ_CHECK(lsm, LSM_MAGIC);
    if (index >= lsm->checkpoint_count) {
        return false;
    }
    checkpoint = lsm->checkpoints[index];
    *out = (struct lsm_checkpoint_info){
        .ts = checkpoint->ts,
        .flushed_lsn = checkpoint->flushed_lsn,
        .log_end = checkpoint->log_end,
        .tables = checkpoint->table_count,
        .vlogs = checkpoint->vlog_file_count,
    };
    snprintf(out->name, sizeof(out->name), "%s", checkpoint->name);
    for (uint32_t i = 0; i < checkpoint->table_count; i++) {
        out->table_bytes += checkpoint->tables[i].meta.file_bytes;
    }
    return true;
}

/* ---- Opening and closing. ---- */

void
lsm_checkpoints_load(struct lsm *lsm, struct manifest_state *state)
{
    for (uint32_t i = 0; i < state->checkpoint_count; i++) {
        struct manifest_checkpoint *checkpoint = state->checkpoints[i];

        for (uint32_t k = 0; k < checkpoint->vlog_file_count; k++) {
            vlog_ref(lsm->vlog, checkpoint->vlog_files[k]);
        }
        lsm->checkpoints[i] = checkpoint;
        SOMETIMES("lsm: a named checkpoint was found at open");
    }
    lsm->checkpoint_count = state->checkpoint_count;
    state->checkpoint_count = 0;
}

void
lsm_checkpoints_fini(struct lsm *lsm)
{
    while (lsm->checkpoint_count > 0) {
        manifest_checkpoint_free(&lsm->checkpoints[--lsm->checkpoint_count]);
    }
}
