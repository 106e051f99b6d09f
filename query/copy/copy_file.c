/* query/copy/copy_file.c - COPY's files on the server. */
#include "query/copy/copy_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/io/io.h"
#include "models/types/sql_error.h"
#include "query/copy/copy.h"

#include "engine/base/poison.h"

struct copy_file {
    int descriptor;
    struct buf gathered;
};

/* Below the folder, and nowhere else by way of "..". */
static bool
is_below(const char *path, const char *folder)
{
    size_t size = strlen(folder);

    while (size > 0 && folder[size - 1] == '/') {
        size--;
    }
    return strncmp(path, folder, size) == 0 && path[size] == '/' && strstr(path, "/../") == NULL &&
           (strlen(path) < 3 || strcmp(path + strlen(path) - 3, "/..") != 0);
}

static err_t
refused(bool is_from)
{
    (void)sql_error("42501",
                    "must be superuser or have privileges of the pg_%s_server_files role to COPY "
                    "%s a file",
                    is_from ? "read" : "write", is_from ? "from" : "to");
    return sql_hint("Anyone can COPY to stdout or from stdin. psql's \\copy command also works for "
                    "anyone.");
}

static err_t
open_failed(const CopyStmt *node, int error)
{
    (void)sql_error(error == ENOENT   ? "58P01"
                    : error == EACCES ? "42501"
                                      : "58030",
                    "could not open file \"%s\" for %s: %s", node->filename,
                    node->is_from ? "reading" : "writing", strerror(error));
    return sql_hint("COPY %s instructs the PostgreSQL server process to %s a file. You may want a "
                    "client-side facility such as psql's \\copy.",
                    node->is_from ? "FROM" : "TO", node->is_from ? "read" : "write");
}

/* One step on a helper thread: these files are not the store's, and may lie on slow disks. */
struct file_step {
    const char *path;
    int descriptor;
    bool is_read;
    void *buffer;
    size_t size;
    int error;
};

static void
open_step(void *arg)
{
    struct file_step *step = arg;
    int flags = step->is_read ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
    struct stat status;

    step->descriptor = open(step->path, flags | O_CLOEXEC | O_NONBLOCK, 0644);
    step->error = step->descriptor < 0 ? errno : 0;
    if (step->descriptor >= 0 &&
        (fstat(step->descriptor, &status) != 0 || !S_ISREG(status.st_mode))) {
        step->error = S_ISDIR(status.st_mode) ? EISDIR : EINVAL;
        (void)close(step->descriptor);
        step->descriptor = -1;
    }
}

static void
read_step(void *arg)
{
    struct file_step *step = arg;
    ssize_t got = read(step->descriptor, step->buffer, step->size);

    step->error = got < 0 ? errno : 0;
    step->size = got < 0 ? 0 : (size_t)got;
}

static void
write_step(void *arg)
{
    struct file_step *step = arg;
    const uint8_t *at = step->buffer;

    while (step->size > 0 && step->error == 0) {
        ssize_t put = write(step->descriptor, at, step->size);

        if (put <= 0) {
            step->error = put < 0 ? errno : ENOSPC;
        } else {
            at += put;
            step->size -= (size_t)put;
        }
    }
}

err_t
copy_file_open(const CopyStmt *node, const char *folder, struct copy_file **file_out)
{
    struct file_step step = {.path = node->filename, .is_read = node->is_from};
    struct copy_file *file;
    err_t err;

    if (node->is_program) {
        return sql_error("0A000", "COPY to or from an external program is not supported");
    }
    if (folder == NULL) {
        return refused(node->is_from);
    }
    if (!node->is_from && node->filename[0] != '/') {
        return sql_error("42602", "relative path not allowed for COPY to file");
    }
    if (!is_below(node->filename, folder)) {
        return refused(node->is_from);
    }
    TRY(io_helper_run(open_step, &step));
    if (step.error != 0) {
        return open_failed(node, step.error);
    }
    file = MEM_NEW(MEM_SESSIONS, struct copy_file);
    file->descriptor = step.descriptor;
    buf_init(&file->gathered, MEM_SESSIONS);
    *file_out = file;
out:
    return err;
}

err_t
copy_file_read(struct copy_file *file, struct buf *out)
{
    struct file_step step = {
        .descriptor = file->descriptor,
        .buffer = buf_reserve(out, COPY_FILE_CHUNK_BYTES),
        .size = COPY_FILE_CHUNK_BYTES,
    };
    err_t err;

    TRY(io_helper_run(read_step, &step));
    if (step.error != 0) {
        return sql_error("58030", "could not read from COPY file: %s", strerror(step.error));
    }
    out->size += step.size;
out:
    return err;
}

err_t
copy_file_flush(struct copy_file *file)
{
    struct file_step step = {
        .descriptor = file->descriptor,
        .buffer = file->gathered.data,
        .size = file->gathered.size,
    };
    err_t err;

    TRY(io_helper_run(write_step, &step));
    buf_clear(&file->gathered);
    if (step.error != 0) {
        err = sql_error(step.error == ENOSPC ? "53100" : "58030",
                        "could not write to COPY file: %s", strerror(step.error));
    }
out:
    return err;
}

err_t
copy_file_write(struct copy_file *file, struct slice bytes)
{
    buf_append(&file->gathered, bytes.data, bytes.size);
    return file->gathered.size >= COPY_FILE_CHUNK_BYTES ? copy_file_flush(file) : ERR_OK;
}

void
copy_file_close(struct copy_file **file)
{
    if (*file != NULL) {
        (void)close((*file)->descriptor);
        buf_fini(&(*file)->gathered);
        MEM_FREE(MEM_SESSIONS, *file);
    }
}
