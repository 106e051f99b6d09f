/* txn/checkpoint.c - checkpoints of the whole store: what each shard does, and who asks them.
 *
 *     export:  note PATH in checkpoints/ -> make PATH.incomplete -> each shard its part
 *              -> rename to PATH -> remove the note
 *     create:  each shard its tail and its manifest record -> mark the name in checkpoints/
 *     drop:    remove the mark -> each shard its record and its tail
 *
 * A start finds by the notes which folders were not finished, and drops names without a mark. */
#include "txn/checkpoint.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/folder.h"
#include "txn/internal.h"
#include "txn/shape.h"

#include "engine/base/poison.h"

#define CHECKPOINTS_DIR   "checkpoints"
#define INCOMPLETE_SUFFIX ".incomplete"
#define TAILS_DIR         "tails"

enum {
    PENDING_VERSION = 1,
    PENDING_AT_CHECKSUM = 8,
    PENDING_AT_VERSION = 16, /* The checksum covers from here on. */
    PENDING_AT_SIZE = 20,
    PENDING_AT_PATH = 24,
    PENDING_NAME_DIGITS = 16,
    PART_PATH_BYTES_MAX = 180, /* A shard's folder in an export; a tail's name in the folder. */
    NAMES_MAX = 4096,          /* In checkpoints/ and tails/ that a start looks at. */
};

static const uint8_t pending_magic[8] = {'O', 'R', 'B', 'P', 'E', 'N', 'D', '\n'};

/* ---- Paths. ---- */

/* Lengths were checked where the parts came in. */
static void __attribute__((format(printf, 2, 3)))
path_print(char path[IO_PATH_BYTES_MAX], const char *format, ...)
{
    va_list args;
    int length;

    va_start(args, format);
    length = vsnprintf(path, IO_PATH_BYTES_MAX, format, args);
    va_end(args);
    ASSERT(length > 0);
    ASSERT(length < IO_PATH_BYTES_MAX);
}

static void
mark_path(char path[IO_PATH_BYTES_MAX], const char *name)
{
    path_print(path, CHECKPOINTS_DIR "/%s.mark", name);
}

static void
pending_path(char path[IO_PATH_BYTES_MAX], const char *of)
{
    path_print(path, CHECKPOINTS_DIR "/%016" PRIx64 ".pending",
               (uint64_t)XXH3_64bits(of, strlen(of)));
}

static void
tail_path(const struct store *store, char path[IO_PATH_BYTES_MAX], const char *name)
{
    path_print(path, "%s/" TAILS_DIR "/%s", store->dir, name);
}

/* checkpoints/ is made when it is needed first. */
static YIELDS err_t
checkpoints_dir_make(void)
{
    err_t err = io_mkdir(CHECKPOINTS_DIR);

    TRY(err == ERR_EXISTS ? ERR_OK : err);
    err = io_sync_dir("");
out:
    return err;
}

/* ---- One shard's part. ---- */

/* The state of one moment: tables, and the log from where this or another shard needs it. */
struct moment {
    struct store *store; /* NULL: none was taken. */
    struct lsm_hold *hold;
    lsn_t from, to;
    uint64_t ts;
};

static YIELDS void
moment_take(struct moment *moment, struct store *store)
{
    moment->store = store;
    moment->hold = lsm_hold_take(store->lsm);
    /* No suspension from its return to wal_hold: tables, log and value logs are of one moment. */
    moment->from = MIN(lsm_hold_flushed_lsn(moment->hold), retain_kept_from(store));
    moment->to = MAX(lsm_hold_flushed_lsn(moment->hold), wal_appended(store->wal));
    moment->ts = store->clock.last;
    wal_hold(store->wal, moment->from);
}

static void
moment_drop(struct moment *moment)
{
    if (moment->store != NULL) {
        wal_unhold(moment->store->wal);
        lsm_hold_drop(&moment->hold);
        fiber_mutex_unlock(&moment->store->capture_mutex);
        moment->store = NULL;
    }
}

static YIELDS err_t
part_export_now(struct moment *moment, const char *dir)
{
    struct wal *wal = moment->store->wal;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    wal_wait_durable(wal, moment->to);
    path_print(path, "%s/lsm", dir);
    TRY(lsm_hold_export(moment->hold, path));
    path_print(path, "%s/wal", dir);
    err = wal_copy(wal, moment->from, moment->to, path);
out:
    return err;
}

static YIELDS err_t
part_export_named(struct store *store, const char *name, const char *dir)
{
    char tail[IO_PATH_BYTES_MAX];
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    path_print(path, "%s/lsm", dir);
    TRY(lsm_checkpoint_export(store->lsm, name, path));
    tail_path(store, tail, name);
    path_print(path, "%s/wal", dir);
    TRY(folder_copy(tail, path));
out:
    return err;
}

/* name NULL: of the moment. `parent` is the folder of the whole export. */
static YIELDS err_t
part_export(struct store *store, struct moment *moment, const char *name, const char *parent)
{
    char dir[IO_PATH_BYTES_MAX];
    err_t err;

    if (strlen(parent) + strlen(store->dir) > PART_PATH_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: the folder's name is too long", parent);
    }
    path_print(dir, "%s/%s", parent, store->dir);
    TRY(io_mkdir(dir));
    TRY(name == NULL ? part_export_now(moment, dir) : part_export_named(store, name, dir));
    TRY(shape_copy(store->dir, dir));
    err = io_sync_dir(dir);
out:
    return err;
}

static YIELDS err_t
tail_make(struct moment *moment, const char *name)
{
    struct store *store = moment->store;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    path_print(path, "%s/" TAILS_DIR, store->dir);
    err = io_mkdir(path);
    TRY(err == ERR_EXISTS ? ERR_OK : err);
    TRY(io_sync_dir(store->dir));
    tail_path(store, path, name);
    TRY(folder_remove(path)); /* Left by an attempt that failed. */
    TRY(wal_copy(store->wal, moment->from, moment->to, path));
    path_print(path, "%s/" TAILS_DIR, store->dir);
    err = io_sync_dir(path);
out:
    return err;
}

static bool
part_has(const struct store *store, const char *name)
{
    struct lsm_checkpoint_info info;

    for (uint32_t i = 0; lsm_checkpoint_get(store->lsm, i, &info); i++) {
        if (strcmp(info.name, name) == 0) {
            return true;
        }
    }
    return false;
}

static YIELDS err_t
part_create(struct store *store, struct moment *moment, const char *name)
{
    err_t err;

    if (strlen(store->dir) + strlen(name) > PART_PATH_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: the folder's name is too long for checkpoints", store->dir);
    }
    wal_wait_durable(store->wal, moment->to);
    if (part_has(store, name)) {
        return err_set(ERR_EXISTS, "there is a checkpoint named %s", name);
    }
    TRY(tail_make(moment, name));
    err = lsm_checkpoint_add(moment->hold, name, moment->ts, moment->to);
    if (err != ERR_OK) {
        char path[IO_PATH_BYTES_MAX];
        char message[ERR_MESSAGE_BYTES_MAX];

        snprintf(message, sizeof(message), "%s", err_message(err));
        tail_path(store, path, name);
        (void)folder_remove(path);
        err = err_set(err, "%s", message);
    }
out:
    return err;
}

static YIELDS err_t
part_drop(struct store *store, const char *name)
{
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    TRY(lsm_checkpoint_drop(store->lsm, name));
    tail_path(store, path, name);
    if (folder_remove(path) != ERR_OK) {
        LOG_W("%s: a log tail that no checkpoint needs stays until the next start", path);
    }
out:
    return err;
}

/* ---- All shards. ---- */

struct part_call {
    err_t (*fn)(struct store *store, struct part_call *call);
    const char *name;
    const char *path;
    struct moment moment; /* The shard's. */
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS err_t
export_here(struct store *store, struct part_call *call)
{
    return part_export(store, &call->moment, call->name, call->path);
}

static YIELDS err_t
create_here(struct store *store, struct part_call *call)
{
    return part_create(store, &call->moment, call->name);
}

static YIELDS err_t
drop_here(struct store *store, struct part_call *call)
{
    return part_drop(store, call->name);
}

static YIELDS void
part_run(void *arg)
{
    struct part_call *call = arg;

    if (call->fn == NULL) {
        return;
    }
    call->err = call->fn(store_self(), call);
    moment_drop(&call->moment);
    if (call->err != ERR_OK) {
        snprintf(call->message, sizeof(call->message), "%s", err_message(call->err));
    }
}

static struct part_call *
calls_new(err_t (*fn)(struct store *store, struct part_call *call), const char *name,
          const char *path)
{
    struct part_call *calls = mem_zalloc(MEM_SESSIONS, shard_count() * sizeof(*calls));

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = (struct part_call){.fn = fn, .name = name, .path = path};
    }
    return calls;
}

static void
calls_free(struct part_call *calls)
{
    mem_free(MEM_SESSIONS, calls, shard_count() * sizeof(*calls));
}

/* ---- One moment of all shards. ----
 *
 *     one after the other:  nobody else captures or copies
 *     all at once:          no commit takes effect, no report of a flush is heard
 *     all at once:          capture
 *     all at once:          commits go on
 *
 * So no commit is in one shard's part that has seen, or is half of, one that is missing in
 * another's. What a record in one log has for another shard, the recovery of the copy hands on as
 * ever: each part's log begins where the tables of all parts, as captured, need it (retain.c). */

static YIELDS void
capture_begin(void *arg)
{
    (void)arg;
    fiber_mutex_lock(&store_self()->capture_mutex);
}

static void
commits_hold(void *arg)
{
    (void)arg;
    store_self()->is_held = true;
}

static YIELDS void
capture(void *arg)
{
    struct part_call *call = arg;

    moment_take(&call->moment, store_self());
}

static void
commits_go_on(void *arg)
{
    struct store *store = store_self();

    (void)arg;
    store->is_held = store->is_retired;
    cond_broadcast(&store->held_cond);
}

static YIELDS void
calls_capture(struct part_call *calls)
{
    for (uint32_t i = 0; i < shard_count(); i++) {
        msg_call(i, MSG_FIBER, capture_begin, NULL);
    }
    msg_call_all(MSG_INLINE, commits_hold, calls, sizeof(*calls));
    msg_call_all(MSG_FIBER, capture, calls, sizeof(*calls));
    msg_call_all(MSG_INLINE, commits_go_on, calls, sizeof(*calls));
}

/* The first error. */
static YIELDS err_t
calls_run(struct part_call *calls)
{
    msg_call_all(MSG_FIBER, part_run, calls, sizeof(calls[0]));
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (calls[i].err != ERR_OK) {
            return err_set(calls[i].err, "%s", calls[i].message);
        }
    }
    return ERR_OK;
}

/* ---- Pending exports. ---- */

static uint64_t
pending_checksum(const uint8_t *block)
{
    return XXH3_64bits(block + PENDING_AT_VERSION, CHECKPOINT_PENDING_BYTES - PENDING_AT_VERSION);
}

void
checkpoint_pending_encode(uint8_t out[CHECKPOINT_PENDING_BYTES], const char *path)
{
    size_t size = strlen(path);

    ASSERT(size <= CHECKPOINT_PATH_BYTES_MAX);
    memset(out, 0, CHECKPOINT_PENDING_BYTES);
    memcpy(out, pending_magic, sizeof(pending_magic));
    put_le32(out + PENDING_AT_VERSION, PENDING_VERSION);
    put_le32(out + PENDING_AT_SIZE, (uint32_t)size);
    memcpy(out + PENDING_AT_PATH, path, size);
    put_le64(out + PENDING_AT_CHECKSUM, pending_checksum(out));
}

err_t
checkpoint_pending_decode(struct slice bytes, const char *file,
                          char path_out[CHECKPOINT_PATH_BYTES_MAX + 1])
{
    uint32_t size;

    if (bytes.size != CHECKPOINT_PENDING_BYTES ||
        memcmp(bytes.data, pending_magic, sizeof(pending_magic)) != 0 ||
        get_le64(bytes.data + PENDING_AT_CHECKSUM) != pending_checksum(bytes.data)) {
        return err_set(ERR_CORRUPT, "%s: not the note of an export", file);
    }
    if (get_le32(bytes.data + PENDING_AT_VERSION) != PENDING_VERSION) {
        return err_format(file, get_le32(bytes.data + PENDING_AT_VERSION), PENDING_VERSION);
    }
    size = get_le32(bytes.data + PENDING_AT_SIZE);
    if (size == 0 || size > CHECKPOINT_PATH_BYTES_MAX ||
        memchr(bytes.data + PENDING_AT_PATH, 0, size) != NULL) {
        return err_set(ERR_CORRUPT, "%s: the note names no folder", file);
    }
    memcpy(path_out, bytes.data + PENDING_AT_PATH, size);
    path_out[size] = '\0';
    return ERR_OK;
}

static YIELDS err_t
pending_write(const char *path)
{
    uint8_t *block = mem_alloc_aligned(MEM_BACKGROUND, CHECKPOINT_PENDING_BYTES);
    char file_path[IO_PATH_BYTES_MAX];
    struct io_file *file = NULL;
    err_t err;

    checkpoint_pending_encode(block, path);
    pending_path(file_path, path);
    err = io_open(file_path, IO_CREATE | IO_EXCLUSIVE, &file);
    if (err == ERR_EXISTS) {
        err = err_set(ERR_EXISTS, "another checkpoint is being made in %s", path);
    }
    TRY(err);
    TRY(io_write(file, 0, block, CHECKPOINT_PENDING_BYTES, IO_DURABLE));
    err = io_sync_dir(CHECKPOINTS_DIR);
    if (err != ERR_OK) {
        io_close(&file);
        (void)io_unlink(file_path);
    }
out:
    io_close(&file);
    mem_free_aligned(MEM_BACKGROUND, block, CHECKPOINT_PENDING_BYTES);
    return err;
}

static YIELDS void
pending_remove(const char *path)
{
    char file_path[IO_PATH_BYTES_MAX];

    pending_path(file_path, path);
    if (io_unlink(file_path) != ERR_OK) {
        LOG_W("%s: the note of an export stays until the next start", file_path);
    }
}

/* ---- Exports. ---- */

static void
ignore_name(const char *name, void *arg)
{
    (void)name;
    (void)arg;
}

static YIELDS err_t
export_check(const char *path)
{
    size_t size = strlen(path);

    if (size == 0 || path[size - 1] == '/') {
        return err_set(ERR_INVALID, "a checkpoint needs the name of a folder that can be made");
    }
    if (size > CHECKPOINT_PATH_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: the name of a checkpoint's folder may have %d bytes", path,
                       CHECKPOINT_PATH_BYTES_MAX);
    }
    if (io_list(path, ignore_name, NULL) != ERR_NOT_FOUND) {
        return err_set(ERR_EXISTS, "%s is there already: a checkpoint overwrites nothing", path);
    }
    return ERR_OK;
}

/* The folder that the path's last name is in. */
static void
parent_path(char parent[IO_PATH_BYTES_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == path) {
        snprintf(parent, IO_PATH_BYTES_MAX, "/");
    } else {
        snprintf(parent, IO_PATH_BYTES_MAX, "%.*s", slash == NULL ? 0 : (int)(slash - path), path);
    }
}

static YIELDS err_t
export_finish(const char *incomplete, const char *path)
{
    char parent[IO_PATH_BYTES_MAX];
    err_t err;

    parent_path(parent, path);
    TRY(io_sync_dir(incomplete));
    TRY(io_rename(incomplete, path));
    if (!CANARY(CHECKPOINT_NO_SYNC)) {
        TRY(io_sync_dir(parent));
    }
out:
    return err;
}

static YIELDS void
export_abandon(const char *incomplete)
{
    if (folder_remove(incomplete) != ERR_OK) {
        LOG_W("%s: an unfinished checkpoint stays until the next start", incomplete);
    }
}

static YIELDS err_t
export_to(const char *name, const char *path)
{
    struct part_call *calls = calls_new(export_here, name, NULL);
    char incomplete[IO_PATH_BYTES_MAX];
    char message[ERR_MESSAGE_BYTES_MAX];
    err_t err;

    TRY(export_check(path));
    TRY(checkpoints_dir_make());
    TRY(pending_write(path));
    path_print(incomplete, "%s" INCOMPLETE_SUFFIX, path);
    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i].path = incomplete;
    }
    err = io_mkdir(incomplete);
    if (err == ERR_EXISTS) {
        err = err_set(ERR_EXISTS, "%s is in the way: remove it", incomplete);
    } else {
        if (err == ERR_OK && name == NULL) {
            calls_capture(calls);
        }
        err = err == ERR_OK ? calls_run(calls) : err;
        err = err == ERR_OK ? export_finish(incomplete, path) : err;
        snprintf(message, sizeof(message), "%s", err_message(err));
        if (err != ERR_OK) {
            export_abandon(incomplete);
            err = err_set(err, "%s", message);
        }
    }
    snprintf(message, sizeof(message), "%s", err_message(err));
    pending_remove(path);
    if (err != ERR_OK) {
        err_set(err, "%s", message);
    }
out:
    calls_free(calls);
    return err;
}

YIELDS err_t
checkpoint_export(const char *path)
{
    return export_to(NULL, path);
}

YIELDS err_t
checkpoint_export_named(const char *name, const char *path)
{
    err_t err;

    TRY(lsm_checkpoint_name_check(name));
    if (!part_has(store_self(), name)) {
        return err_set(ERR_NOT_FOUND, "there is no checkpoint named %s", name);
    }
    err = export_to(name, path);
out:
    return err;
}

/* ---- Names. ---- */

static YIELDS err_t
mark_make(const char *name)
{
    char path[IO_PATH_BYTES_MAX];
    struct io_file *file = NULL;
    err_t err;

    mark_path(path, name);
    TRY(checkpoints_dir_make());
    TRY(io_open(path, IO_CREATE, &file));
    io_close(&file);
    err = io_sync_dir(CHECKPOINTS_DIR);
out:
    return err;
}

/* The shards that have their part drop it. */
static YIELDS void
create_undo(struct part_call *calls)
{
    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i].fn = calls[i].err == ERR_OK ? drop_here : NULL;
        calls[i].err = ERR_OK;
    }
    if (calls_run(calls) != ERR_OK) {
        LOG_W("parts of a checkpoint that was not completed stay until the next start");
    }
}

YIELDS err_t
checkpoint_create(const char *name)
{
    struct part_call *calls = calls_new(create_here, name, NULL);
    char message[ERR_MESSAGE_BYTES_MAX];
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    TRY(lsm_checkpoint_name_check(name));
    calls_capture(calls);
    err = calls_run(calls);
    if (err == ERR_OK) {
        err = mark_make(name);
        if (err != ERR_OK) {
            snprintf(message, sizeof(message), "%s", err_message(err));
            mark_path(path, name);
            (void)io_unlink(path);
        }
    } else {
        snprintf(message, sizeof(message), "%s", err_message(err));
    }
    if (err != ERR_OK) {
        create_undo(calls);
        err = err_set(err, "%s", message);
    }
out:
    calls_free(calls);
    return err;
}

YIELDS err_t
checkpoint_drop(const char *name)
{
    struct part_call *calls = calls_new(drop_here, name, NULL);
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    TRY(lsm_checkpoint_name_check(name));
    if (!part_has(store_self(), name)) {
        err = err_set(ERR_NOT_FOUND, "there is no checkpoint named %s", name);
        goto out;
    }
    mark_path(path, name);
    err = io_unlink(path);
    TRY(err == ERR_NOT_FOUND ? ERR_OK : err);
    TRY(io_sync_dir(CHECKPOINTS_DIR));
    err = calls_run(calls);
out:
    calls_free(calls);
    return err;
}

/* ---- Listing. ---- */

struct list_call {
    uint32_t max, count;
    struct lsm_checkpoint_info *infos;
};

static void
list_here(void *arg)
{
    struct list_call *call = arg;

    while (call->count < call->max &&
           lsm_checkpoint_get(store_self()->lsm, call->count, &call->infos[call->count])) {
        call->count++;
    }
}

static void
info_add(struct checkpoint_info *infos, uint32_t max, uint32_t *count,
         const struct lsm_checkpoint_info *part)
{
    struct checkpoint_info *info;
    uint32_t at = 0;

    while (at < *count && strcmp(infos[at].name, part->name) != 0) {
        at++;
    }
    if (at == max) {
        return;
    }
    info = &infos[at];
    if (at == *count) {
        *info = (struct checkpoint_info){0};
        snprintf(info->name, sizeof(info->name), "%s", part->name);
        (*count)++;
    }
    info->ts = MAX(info->ts, part->ts);
    info->tables += part->tables;
    info->table_bytes += part->table_bytes;
}

YIELDS err_t
checkpoint_list(struct checkpoint_info *infos, uint32_t max, uint32_t *count_out)
{
    uint32_t shards = shard_count();
    size_t bytes = (size_t)shards * LSM_CHECKPOINTS_MAX * sizeof(struct lsm_checkpoint_info);
    struct lsm_checkpoint_info *parts = mem_zalloc(MEM_SESSIONS, bytes);
    struct list_call *calls = mem_zalloc(MEM_SESSIONS, shards * sizeof(*calls));
    uint32_t count = 0;

    for (uint32_t i = 0; i < shards; i++) {
        calls[i] = (struct list_call){.max = LSM_CHECKPOINTS_MAX,
                                      .infos = parts + (size_t)i * LSM_CHECKPOINTS_MAX};
    }
    msg_call_all(MSG_INLINE, list_here, calls, sizeof(*calls));
    for (uint32_t i = 0; i < shards; i++) {
        for (uint32_t k = 0; k < calls[i].count; k++) {
            info_add(infos, max, &count, &calls[i].infos[k]);
        }
    }
    mem_free(MEM_SESSIONS, calls, shards * sizeof(*calls));
    mem_free(MEM_SESSIONS, parts, bytes);
    *count_out = count;
    return ERR_OK;
}

/* ---- After a kill. ---- */

static YIELDS err_t
pending_recover(const char *name)
{
    uint8_t *block = mem_alloc_aligned(MEM_BACKGROUND, CHECKPOINT_PENDING_BYTES);
    char file_path[IO_PATH_BYTES_MAX];
    char path[CHECKPOINT_PATH_BYTES_MAX + 1];
    char incomplete[IO_PATH_BYTES_MAX];
    struct io_file *file = NULL;
    err_t err;

    path_print(file_path, CHECKPOINTS_DIR "/%s", name);
    TRY(io_open(file_path, IO_READ_ONLY, &file));
    if (io_file_size(file) == CHECKPOINT_PENDING_BYTES) {
        TRY(io_read(file, 0, block, CHECKPOINT_PENDING_BYTES));
        err = checkpoint_pending_decode(slice_of(block, CHECKPOINT_PENDING_BYTES), file_path, path);
        if (err == ERR_OK) {
            path_print(incomplete, "%s" INCOMPLETE_SUFFIX, path);
            LOG_W("%s: removing a checkpoint that was not finished", incomplete);
            TRY(folder_remove(incomplete));
            SOMETIMES("txn: an unfinished export was removed");
        } else if (err != ERR_CORRUPT) {
            goto out;
        }
    }
    /* A note that is not whole was not durable: its folder was never begun. */
    io_close(&file);
    err = io_unlink(file_path);
out:
    io_close(&file);
    mem_free_aligned(MEM_BACKGROUND, block, CHECKPOINT_PENDING_BYTES);
    return err;
}

static YIELDS err_t
exports_recover(void)
{
    struct folder_names names;
    err_t err;

    folder_names_init(&names, NAMES_MAX);
    err = folder_names_read(&names, CHECKPOINTS_DIR);
    if (err == ERR_NOT_FOUND) {
        err = ERR_OK;
        goto out;
    }
    TRY(err);
    for (uint32_t i = 0; i < names.count; i++) {
        const char *dot = strrchr(names.names[i], '.');

        if (dot == names.names[i] + PENDING_NAME_DIGITS && strcmp(dot, ".pending") == 0) {
            TRY(pending_recover(names.names[i]));
        }
    }
out:
    folder_names_fini(&names);
    return err;
}

static YIELDS err_t
names_recover(struct store *store)
{
    struct lsm_checkpoint_info info;
    char path[IO_PATH_BYTES_MAX];
    uint32_t at = 0;
    err_t err = ERR_OK;

    if (lsm_checkpoint_get(store->lsm, 0, &info)) {
        /* A kill may have left a mark in the cache only: what is trusted now must not be undone by
         * a power cut. */
        err = io_sync_dir(CHECKPOINTS_DIR);
        TRY(err == ERR_NOT_FOUND ? ERR_OK : err);
    }
    while (lsm_checkpoint_get(store->lsm, at, &info)) {
        struct io_file *file = NULL;

        mark_path(path, info.name);
        err = io_open(path, IO_READ_ONLY, &file);
        io_close(&file);
        if (err == ERR_NOT_FOUND) {
            LOG_W("%s: dropping the checkpoint %s, which was not finished", store->dir, info.name);
            SOMETIMES("txn: an unfinished named checkpoint was dropped");
            TRY(part_drop(store, info.name));
        } else {
            TRY(err);
            at++;
        }
    }
    err = ERR_OK;
out:
    return err;
}

static YIELDS err_t
tails_recover(struct store *store)
{
    struct folder_names names;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    folder_names_init(&names, NAMES_MAX);
    path_print(path, "%s/" TAILS_DIR, store->dir);
    err = folder_names_read(&names, path);
    if (err == ERR_NOT_FOUND) {
        err = ERR_OK;
        goto out;
    }
    TRY(err);
    for (uint32_t i = 0; i < names.count; i++) {
        if (strlen(names.names[i]) <= LSM_CHECKPOINT_NAME_BYTES_MAX &&
            !part_has(store, names.names[i])) {
            tail_path(store, path, names.names[i]);
            TRY(folder_remove(path));
        }
    }
out:
    folder_names_fini(&names);
    return err;
}

YIELDS err_t
checkpoint_recover(struct store *store)
{
    err_t err = ERR_OK;

    if (shard_id() == 0) {
        TRY(exports_recover());
    }
    TRY(names_recover(store));
    TRY(tails_recover(store));
out:
    return err;
}
