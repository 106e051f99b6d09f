/* lsm/vlog_file.c - the files of a value log: making, opening, counting, removing them. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "lsm/vlog_internal.h"

#include "engine/base/poison.h"

enum { VLOG_NUMBERS_TRIED_MAX = 1000 };

static void
vlog_path(const struct vlog *vlog, uint64_t number, char out[IO_PATH_BYTES_MAX])
{
    char name[VLOG_NAME_BYTES];

    vlog_name(number, name);
    snprintf(out, IO_PATH_BYTES_MAX, "%.*s/%s", IO_PATH_BYTES_MAX - VLOG_NAME_BYTES - 1, vlog->dir,
             name);
}

/* ---- The list of files. ---- */

/* Index of the first file whose number is not below. */
static uint32_t
files_bound(const struct vlog *vlog, uint64_t number)
{
    uint32_t low = 0;
    uint32_t high = vlog->file_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (vlog->files[middle]->number < number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

struct vlog_file *
vlog_file_find(struct vlog *vlog, uint64_t number)
{
    uint32_t index = files_bound(vlog, number);

    return index < vlog->file_count && vlog->files[index]->number == number ? vlog->files[index]
                                                                            : NULL;
}

static struct vlog_file *
files_add(struct vlog *vlog, uint64_t number)
{
    uint32_t index = files_bound(vlog, number);
    struct vlog_file *file = MEM_NEW(MEM_TABLES, struct vlog_file);

    if (vlog->file_count == vlog->file_capacity) {
        uint32_t capacity = MAX(2 * vlog->file_capacity, 16u);

        vlog->files =
            mem_realloc(MEM_TABLES, vlog->files, vlog->file_capacity * sizeof(struct vlog_file *),
                        capacity * sizeof(struct vlog_file *));
        ASSERT(vlog->files != NULL);
        vlog->file_capacity = capacity;
    }
    memmove(&vlog->files[index + 1], &vlog->files[index],
            (vlog->file_count - index) * sizeof(struct vlog_file *));
    vlog->files[index] = file;
    vlog->file_count++;
    file->number = number;
    fiber_mutex_init(&file->open_mutex);
    list_init(&file->open_link);
    return file;
}

static void
files_take(struct vlog *vlog, struct vlog_file *file)
{
    uint32_t index = files_bound(vlog, file->number);

    ASSERT(vlog->files[index] == file);
    memmove(&vlog->files[index], &vlog->files[index + 1],
            (vlog->file_count - index - 1) * sizeof(struct vlog_file *));
    vlog->file_count--;
}

/* ---- Handles. ---- */

static void
file_close(struct vlog *vlog, struct vlog_file *file)
{
    if (file->file != NULL) {
        io_close(&file->file);
        list_remove(&file->open_link);
        vlog->open_count--;
    }
}

static void
file_opened(struct vlog *vlog, struct vlog_file *file)
{
    list_push_back(&vlog->open_files, &file->open_link);
    vlog->open_count++;
}

/* Close what was used least recently while too many are open. */
static void
vlog_close_idle(struct vlog *vlog)
{
    LIST_FOR_EACH_SAFE(node, &vlog->open_files) {
        struct vlog_file *file = LIST_ENTRY(node, struct vlog_file, open_link);

        if (vlog->open_count <= VLOG_OPEN_FILES_MAX) {
            break;
        }
        if (file->users == 0 && file != vlog->active) {
            file_close(vlog, file);
        }
    }
}

/* Open the file and check its header. */
static YIELDS err_t
file_open(struct vlog *vlog, struct vlog_file *file)
{
    char path[IO_PATH_BYTES_MAX];
    struct io_file *handle = NULL;
    uint8_t *block = mem_alloc_aligned(MEM_BACKGROUND, IO_BLOCK_BYTES);
    err_t err;

    vlog_path(vlog, file->number, path);
    TRY(io_open(path, IO_READ_ONLY, &handle));
    TRY(io_read(handle, 0, block, IO_BLOCK_BYTES));
    TRY(vlog_file_header_check(block, file->number));
    file->file = handle;
    if (file->end == 0) {
        file->end = io_file_size(handle);
    }
    file_opened(vlog, file);
    handle = NULL;
out:
    io_close(&handle);
    mem_free_aligned(MEM_BACKGROUND, block, IO_BLOCK_BYTES);
    return err == ERR_OK ? ERR_OK : err_context(err, "value log %s", path);
}

YIELDS err_t
vlog_file_acquire(struct vlog *vlog, uint64_t number, struct vlog_file **file_out)
{
    struct vlog_file *file = vlog_file_find(vlog, number);
    err_t err = ERR_OK;

    if (file == NULL || file->is_missing) {
        return err_set(ERR_CORRUPT, "value log %016llx of %s is missing",
                       (unsigned long long)number, vlog->dir);
    }
    file->users++;
    if (file->file == NULL) {
        fiber_mutex_lock(&file->open_mutex);
        err = file->file == NULL ? file_open(vlog, file) : ERR_OK;
        fiber_mutex_unlock(&file->open_mutex);
    }
    if (err != ERR_OK) {
        vlog_file_release(vlog, file);
        return err;
    }
    list_remove(&file->open_link);
    list_push_back(&vlog->open_files, &file->open_link);
    vlog_close_idle(vlog);
    *file_out = file;
    return ERR_OK;
}

/* ---- Making files. ---- */

static YIELDS err_t
file_create_handle(struct vlog *vlog, uint64_t *number_out, struct io_file **handle_out)
{
    char path[IO_PATH_BYTES_MAX];
    err_t err = ERR_EXISTS;

    for (uint32_t i = 0; i < VLOG_NUMBERS_TRIED_MAX && err == ERR_EXISTS; i++) {
        *number_out = vlog->next_file_number(vlog->arg);
        if (vlog_file_find(vlog, *number_out) == NULL) {
            vlog_path(vlog, *number_out, path);
            err = io_open(path, IO_CREATE | IO_EXCLUSIVE, handle_out);
        }
    }
    return err;
}

static YIELDS err_t
file_create(struct vlog *vlog)
{
    uint8_t *block = mem_alloc_aligned(MEM_BACKGROUND, IO_BLOCK_BYTES);
    struct io_file *handle = NULL;
    struct vlog_file *file;
    uint64_t number = 0;
    err_t err;

    if (vlog->file_count >= VLOG_FILES_MAX) {
        err = err_set(ERR_LIMIT, "%s has %d value logs", vlog->dir, VLOG_FILES_MAX);
        goto out;
    }
    TRY(file_create_handle(vlog, &number, &handle));
    memset(block, 0, IO_BLOCK_BYTES);
    vlog_file_header_encode(number, block);
    TRY(io_write(handle, 0, block, IO_BLOCK_BYTES, IO_DURABLE));
    TRY(io_sync_dir(vlog->dir));
    file = files_add(vlog, number);
    file->file = handle;
    file->is_ours = true;
    file->end = VLOG_FIRST_VALUE_OFFSET;
    file_opened(vlog, file);
    vlog->active = file;
    handle = NULL;
out:
    if (handle != NULL) {
        char path[IO_PATH_BYTES_MAX];
        char message[ERR_MESSAGE_BYTES_MAX];

        snprintf(message, sizeof(message), "%s", err_message(err));
        io_close(&handle);
        vlog_path(vlog, number, path);
        (void)io_unlink(path); /* What stays has no references and goes at the next collection. */
        err = err_set(err, "%s", message);
    }
    mem_free_aligned(MEM_BACKGROUND, block, IO_BLOCK_BYTES);
    return err;
}

void
vlog_file_retire(struct vlog *vlog, struct vlog_file *file)
{
    if (vlog->active == file) {
        vlog->active = NULL;
        vlog_file_consider(vlog, file);
    }
}

static bool
active_has_room(const struct vlog *vlog, uint64_t span)
{
    const struct vlog_file *file = vlog->active;

    return file != NULL && (file->end == VLOG_FIRST_VALUE_OFFSET ||
                            file->end + span <= (uint64_t)VLOG_FILE_BYTES_TARGET);
}

YIELDS err_t
vlog_file_reserve(struct vlog *vlog, uint64_t span, struct vlog_file **file_out,
                  uint64_t *offset_out)
{
    err_t err = ERR_OK;

    fiber_mutex_lock(&vlog->active_mutex);
    if (!active_has_room(vlog, span)) {
        if (vlog->active != NULL) {
            vlog_file_retire(vlog, vlog->active);
        }
        TRY(file_create(vlog));
    }
    *offset_out = vlog->active->end;
    vlog->active->end += span;
    vlog->active->holds++;
    vlog->active->users++;
    *file_out = vlog->active;
out:
    fiber_mutex_unlock(&vlog->active_mutex);
    return err;
}

YIELDS void
vlog_file_give_back(struct vlog *vlog, struct vlog_file *file, uint64_t offset, uint64_t span)
{
    fiber_mutex_lock(&vlog->active_mutex); /* No new value begins. */
    if (file == vlog->active && file->users == 1 && file->end == offset + span) {
        file->end = offset;
        /* What cannot be cut off is overwritten by the next value. */
        (void)io_truncate(file->file, offset);
    }
    fiber_mutex_unlock(&vlog->active_mutex);
}

/* ---- Removing files. ---- */

struct vlog_removal {
    struct vlog *vlog;
    struct vlog_file *file;
};

static YIELDS void
file_remove(struct vlog *vlog, struct vlog_file *file)
{
    char path[IO_PATH_BYTES_MAX];

    vlog_path(vlog, file->number, path);
    file_close(vlog, file);
    if (!file->is_missing && io_unlink(path) != ERR_OK) {
        LOG_W("a value log that is no longer needed stays until the next start: %s", path);
    }
    MEM_FREE(MEM_TABLES, file);
}

static YIELDS void
vlog_removal_fiber(void *arg)
{
    struct vlog_removal *removal = arg;

    file_remove(removal->vlog, removal->file);
    MEM_FREE(MEM_TABLES, removal);
}

static bool
file_is_needed(const struct vlog *vlog, const struct vlog_file *file)
{
    return file->refs > 0 || file->holds > 0 || file->users > 0 || file == vlog->active ||
           vlog->keeps_files || !(file->is_ours || vlog->is_collected);
}

void
vlog_file_consider(struct vlog *vlog, struct vlog_file *file)
{
    struct vlog_removal *removal;

    if (file_is_needed(vlog, file)) {
        return;
    }
    removal = MEM_NEW(MEM_TABLES, struct vlog_removal);
    removal->vlog = vlog;
    removal->file = file;
    files_take(vlog, file);
    if (!fiber_group_spawn(&vlog->removals, "vlog_remove", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           vlog_removal_fiber, removal)) {
        LOG_W("too many fibers: value log %016llx stays until the next start",
              (unsigned long long)file->number);
        file_close(vlog, file);
        MEM_FREE(MEM_TABLES, file);
        MEM_FREE(MEM_TABLES, removal);
    }
}

void
vlog_file_release(struct vlog *vlog, struct vlog_file *file)
{
    ASSERT(file->users > 0);
    file->users--;
    vlog_file_consider(vlog, file);
}

void
vlog_ref(struct vlog *vlog, uint64_t file_number)
{
    struct vlog_file *file = vlog_file_find(vlog, file_number);

    OBJ_CHECK(vlog, VLOG_MAGIC);
    if (file == NULL) {
        file = files_add(vlog, file_number);
        file->is_missing = true; /* Reading says so. */
    }
    file->refs++;
}

void
vlog_unref(struct vlog *vlog, uint64_t file_number)
{
    struct vlog_file *file = vlog_file_find(vlog, file_number);

    OBJ_CHECK(vlog, VLOG_MAGIC);
    ASSERT(file != NULL);
    ASSERT(file->refs > 0);
    file->refs--;
    vlog_file_consider(vlog, file);
}

static struct vlog_file *
file_of_ref(struct vlog *vlog, uint64_t file_number)
{
    struct vlog_file *file = vlog_file_find(vlog, file_number);

    ASSERT(file != NULL);
    return file;
}

void
vlog_ref_table(struct vlog *vlog, const struct vlog_use *use)
{
    struct vlog_file *file;

    vlog_ref(vlog, use->file_number);
    file = file_of_ref(vlog, use->file_number);
    file->table_refs++;
    file->used_bytes += use->bytes;
}

void
vlog_unref_table(struct vlog *vlog, const struct vlog_use *use)
{
    struct vlog_file *file = file_of_ref(vlog, use->file_number);

    ASSERT(file->table_refs > 0);
    ASSERT(file->used_bytes >= use->bytes);
    file->table_refs--;
    file->used_bytes -= use->bytes;
    vlog_unref(vlog, use->file_number);
}

/* A file of an earlier run counts from its first opening on, when its size is known. */
static bool
file_is_victim(const struct vlog *vlog, const struct vlog_file *file)
{
    return file != vlog->active && !file->is_missing && !file->is_damaged && file->holds == 0 &&
           file->refs == file->table_refs && file->refs > 0 && file->end > 0 &&
           file->used_bytes * 100 < file->end * VLOG_USED_SHARE_MIN;
}

uint64_t
vlog_victim(const struct vlog *vlog)
{
    OBJ_CHECK(vlog, VLOG_MAGIC);
    for (uint32_t i = 0; i < vlog->file_count; i++) {
        if (file_is_victim(vlog, vlog->files[i])) {
            return vlog->files[i]->number;
        }
    }
    return 0;
}

bool
vlog_is_victim(const struct vlog *vlog, uint64_t file_number)
{
    const struct vlog_file *file = vlog_file_find((struct vlog *)(uintptr_t)vlog, file_number);

    return file != NULL && file_is_victim(vlog, file);
}

void
vlog_mark_damaged(struct vlog *vlog, uint64_t file_number)
{
    struct vlog_file *file = vlog_file_find(vlog, file_number);

    if (file != NULL) {
        file->is_damaged = true;
    }
}

YIELDS void
vlog_measure(struct vlog *vlog, bool *did_out)
{
    err_t err;

    OBJ_CHECK(vlog, VLOG_MAGIC);
    *did_out = false;
    for (uint32_t i = 0; i < vlog->file_count; i++) {
        struct vlog_file *file = vlog->files[i];
        uint64_t number = file->number;

        if (file->end > 0 || file->is_missing || file->is_damaged) {
            continue;
        }
        *did_out = true;
        err = vlog_file_acquire(vlog, number, &file);
        if (err != ERR_OK) {
            LOG_W("a value log stays as it is: %s", err_message(err));
            vlog_mark_damaged(vlog, number);
        } else {
            vlog_file_release(vlog, file);
        }
        return;
    }
}

void
vlog_uses_add(struct vlog_uses *uses, const struct vlog_pointer *pointer)
{
    uint64_t bytes = vlog_value_span(pointer->bytes);

    for (uint32_t i = uses->count; i-- > 0;) { /* Most often it is the last one. */
        if (uses->uses[i].file_number == pointer->file_number) {
            uses->uses[i].bytes += bytes;
            return;
        }
    }
    if (uses->count == uses->capacity) {
        uint32_t capacity = MAX(8u, uses->capacity * 2);

        uses->uses = mem_realloc(MEM_BACKGROUND, uses->uses, uses->capacity * sizeof(uses->uses[0]),
                                 capacity * sizeof(uses->uses[0]));
        uses->capacity = capacity;
    }
    uses->uses[uses->count++] =
        (struct vlog_use){.file_number = pointer->file_number, .bytes = bytes};
}

void
vlog_uses_fini(struct vlog_uses *uses)
{
    mem_free(MEM_BACKGROUND, uses->uses, uses->capacity * sizeof(uses->uses[0]));
    memset(uses, 0, sizeof(*uses));
}

void
vlog_release_hold(struct vlog *vlog, const struct vlog_pointer *pointer)
{
    struct vlog_file *file = vlog_file_find(vlog, pointer->file_number);

    OBJ_CHECK(vlog, VLOG_MAGIC);
    ASSERT(file != NULL);
    ASSERT(file->holds > 0);
    file->holds--;
    vlog_file_consider(vlog, file);
}

void
vlog_list(const struct vlog *vlog, uint64_t **numbers_out, uint32_t *count_out)
{
    uint32_t count = 0;

    OBJ_CHECK(vlog, VLOG_MAGIC);
    for (uint32_t i = 0; i < vlog->file_count; i++) {
        count += !vlog->files[i]->is_missing;
    }
    *numbers_out = mem_alloc(MEM_TABLES, count * sizeof(uint64_t));
    *count_out = count;
    count = 0;
    for (uint32_t i = 0; i < vlog->file_count; i++) {
        if (!vlog->files[i]->is_missing) {
            (*numbers_out)[count++] = vlog->files[i]->number;
        }
    }
}

YIELDS err_t
vlog_collect(struct vlog *vlog)
{
    OBJ_CHECK(vlog, VLOG_MAGIC);
    vlog->is_collected = true;
    for (uint32_t i = vlog->file_count; i > 0; i--) {
        vlog_file_consider(vlog, vlog->files[i - 1]);
    }
    fiber_group_wait(&vlog->removals);
    return ERR_OK;
}

void
vlog_keep_files(struct vlog *vlog)
{
    OBJ_CHECK(vlog, VLOG_MAGIC);
    vlog->keeps_files = true;
}

/* ---- Opening and closing. ---- */

static void
vlog_visit_name(const char *name, void *arg)
{
    struct vlog *vlog = arg;
    uint64_t number;

    if (vlog_name_parse(name, &number) && vlog->file_count < VLOG_FILES_MAX) {
        files_add(vlog, number);
    }
}

YIELDS err_t
vlog_open(const char *dir, uint64_t (*next_file_number)(void *arg), void *arg,
          struct vlog **vlog_out)
{
    struct vlog *vlog = MEM_NEW(MEM_TABLES, struct vlog);
    err_t err;

    ASSERT(strlen(dir) + 1 + VLOG_NAME_BYTES <= IO_PATH_BYTES_MAX);
    vlog->magic = VLOG_MAGIC;
    memcpy(vlog->dir, dir, strlen(dir) + 1);
    vlog->next_file_number = next_file_number;
    vlog->arg = arg;
    fiber_mutex_init(&vlog->active_mutex);
    list_init(&vlog->open_files);
    cond_init(&vlog->writers_cond);
    fiber_group_init(&vlog->removals);
    TRY(io_list(dir, vlog_visit_name, vlog));
    *vlog_out = vlog;
    return ERR_OK;
out:
    vlog_close(&vlog);
    return err;
}

YIELDS void
vlog_close(struct vlog **vlog)
{
    struct vlog *taken = *vlog;

    *vlog = NULL;
    if (taken == NULL) {
        return;
    }
    OBJ_CHECK(taken, VLOG_MAGIC);
    ASSERT(taken->writers == 0);
    taken->keeps_files = true;
    fiber_group_wait(&taken->removals);
    for (uint32_t i = 0; i < taken->file_count; i++) {
        ASSERT(taken->files[i]->users == 0);
        file_close(taken, taken->files[i]);
        MEM_FREE(MEM_TABLES, taken->files[i]);
    }
    mem_free(MEM_TABLES, taken->files, taken->file_capacity * sizeof(struct vlog_file *));
    taken->magic = 0;
    MEM_FREE(MEM_TABLES, taken);
}
