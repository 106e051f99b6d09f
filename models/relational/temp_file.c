/* models/relational/temp_file.c - see temp_file.h. */
#include "models/relational/temp_file.h"

#include <stdio.h>

#include "engine/base/mem.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum { STRAYS_MAX = 4096, NAME_BYTES_MAX = 32 }; /* What is beyond goes at the next start. */

struct strays {
    char (*names)[NAME_BYTES_MAX];
    uint32_t count;
};

static void
folder_name(char out[IO_PATH_BYTES_MAX])
{
    (void)snprintf(out, IO_PATH_BYTES_MAX, "temp-%u", shard_id());
}

static void
stray_note(const char *name, void *arg)
{
    struct strays *strays = arg;

    if (strays->count < STRAYS_MAX && strlen(name) < NAME_BYTES_MAX) {
        (void)snprintf(strays->names[strays->count++], NAME_BYTES_MAX, "%s", name);
    }
}

err_t
temp_files_clear(void)
{
    size_t bytes = (size_t)STRAYS_MAX * NAME_BYTES_MAX;
    struct strays strays = {.names = mem_alloc(MEM_RUNTIME, bytes)};
    char folder[IO_PATH_BYTES_MAX], path[IO_PATH_BYTES_MAX + NAME_BYTES_MAX + 1];
    err_t err;

    folder_name(folder);
    err = io_list(folder, stray_note, &strays);
    err = err == ERR_NOT_FOUND ? ERR_OK : err;
    for (uint32_t i = 0; err == ERR_OK && i < strays.count; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", folder, strays.names[i]);
        err = io_unlink(path);
        err = err == ERR_NOT_FOUND ? ERR_OK : err;
    }
    mem_free(MEM_RUNTIME, strays.names, bytes);
    return err;
}

err_t
temp_file_open(uint64_t number, struct io_file **file_out)
{
    char folder[IO_PATH_BYTES_MAX], path[IO_PATH_BYTES_MAX];
    struct io_file *file = NULL;
    err_t err;

    folder_name(folder);
    (void)snprintf(path, sizeof(path), "temp-%u/%llu", shard_id(), (unsigned long long)number);
    err = io_open(path, IO_CREATE | IO_EXCLUSIVE, &file);
    if (err == ERR_NOT_FOUND) {
        err = io_mkdir(folder);
        if (err == ERR_OK || err == ERR_EXISTS) {
            err = io_open(path, IO_CREATE | IO_EXCLUSIVE, &file);
        }
    }
    TRY(err);
    TRY(io_unlink(path));
    *file_out = file;
    file = NULL;
out:
    io_close(&file);
    return err;
}
