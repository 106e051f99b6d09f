/* txn/folder.c - see folder.h. */
#include "txn/folder.h"

#include <stdio.h>

#include "engine/base/mem.h"

#include "engine/base/poison.h"

enum { COPY_BYTES = 1 << 20 };

/* ---- Names. ---- */

void
folder_names_init(struct folder_names *names, uint32_t max)
{
    *names = (struct folder_names){.max = max};
}

void
folder_names_fini(struct folder_names *names)
{
    mem_free(MEM_BACKGROUND, names->names, names->capacity * sizeof(names->names[0]));
    *names = (struct folder_names){0};
}

static void
names_visit(const char *name, void *arg)
{
    struct folder_names *names = arg;

    if (names->count == names->max) {
        names->is_over = true;
        return;
    }
    if (names->count == names->capacity) {
        uint32_t capacity = MAX(16u, names->capacity * 2);

        names->names =
            mem_realloc(MEM_BACKGROUND, names->names, names->capacity * sizeof(names->names[0]),
                        capacity * sizeof(names->names[0]));
        names->capacity = capacity;
    }
    snprintf(names->names[names->count++], sizeof(names->names[0]), "%s", name);
}

err_t
folder_names_read(struct folder_names *names, const char *path)
{
    err_t err;

    TRY(io_list(path, names_visit, names));
    if (names->is_over) {
        err = err_set(ERR_LIMIT, "%s: more than %u names", path, names->max);
    }
out:
    return err;
}

static err_t
path_join(char path[IO_PATH_BYTES_MAX], const char *dir, const char *name)
{
    if (snprintf(path, IO_PATH_BYTES_MAX, "%s/%s", dir, name) >= IO_PATH_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s/%s: the name is too long", dir, name);
    }
    return ERR_OK;
}

/* ---- Removing. ---- */

static YIELDS err_t
remove_below(const char *path, uint32_t depth)
{
    struct folder_names names;
    char child[IO_PATH_BYTES_MAX];
    err_t err;

    folder_names_init(&names, FOLDER_NAMES_MAX);
    if (depth == FOLDER_DEPTH_MAX) {
        err = err_set(ERR_LIMIT, "%s: folders within folders, deeper than %d", path,
                      FOLDER_DEPTH_MAX);
        goto out;
    }
    err = folder_names_read(&names, path);
    if (err == ERR_NOT_FOUND) {
        err = ERR_OK;
        goto out;
    }
    TRY(err);
    for (uint32_t i = 0; i < names.count; i++) {
        TRY(path_join(child, path, names.names[i]));
        if (io_unlink(child) != ERR_OK) {
            TRY(remove_below(child, depth + 1));
        }
    }
    err = io_rmdir(path);
out:
    folder_names_fini(&names);
    return err;
}

err_t
folder_remove(const char *path)
{
    return remove_below(path, 0);
}

/* ---- Copying. ---- */

static YIELDS err_t
file_copy(const char *from_path, const char *to_path, uint8_t *buffer)
{
    struct io_file *from = NULL;
    struct io_file *to = NULL;
    uint64_t size;
    err_t err;

    TRY(io_open(from_path, IO_READ_ONLY, &from));
    TRY(io_open(to_path, IO_CREATE | IO_EXCLUSIVE, &to));
    size = io_file_size(from);
    if (size % IO_BLOCK_BYTES != 0) {
        err = err_set(ERR_CORRUPT, "%s: %llu bytes are no whole blocks", from_path,
                      (unsigned long long)size);
        goto out;
    }
    for (uint64_t at = 0; at < size; at += COPY_BYTES) {
        size_t step = (size_t)MIN(size - at, (uint64_t)COPY_BYTES);

        TRY(io_read(from, at, buffer, step));
        TRY(io_write(to, at, buffer, step, 0));
    }
    err = io_sync(to);
out:
    io_close(&from);
    io_close(&to);
    return err;
}

err_t
folder_copy(const char *from, const char *to)
{
    uint8_t *buffer = mem_alloc_aligned(MEM_BACKGROUND, COPY_BYTES);
    struct folder_names names;
    char from_path[IO_PATH_BYTES_MAX];
    char to_path[IO_PATH_BYTES_MAX];
    err_t err;

    folder_names_init(&names, FOLDER_NAMES_MAX);
    if (buffer == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory to copy %s", from);
        goto out;
    }
    TRY(folder_names_read(&names, from));
    TRY(io_mkdir(to));
    for (uint32_t i = 0; i < names.count; i++) {
        TRY(path_join(from_path, from, names.names[i]));
        TRY(path_join(to_path, to, names.names[i]));
        TRY(file_copy(from_path, to_path, buffer));
    }
    err = io_sync_dir(to);
out:
    folder_names_fini(&names);
    mem_free_aligned(MEM_BACKGROUND, buffer, COPY_BYTES);
    return err;
}
