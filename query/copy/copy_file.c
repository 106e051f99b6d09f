/* query/copy/copy_file.c - COPY's files on the server. */
#include "query/copy/copy_file.h"

#include <string.h>

#include "engine/io/io.h"
#include "models/types/sql_error.h"
#include "query/copy/copy.h"

#include "engine/base/poison.h"

struct copy_file {
    struct io_file *file;
    uint64_t at;
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
open_failed(const CopyStmt *node, err_t err)
{
    const char *cause = err == ERR_NOT_FOUND ? "No such file or directory" : NULL;

    (void)sql_error(err == ERR_NOT_FOUND ? "58P01" : err_sqlstate(err),
                    "could not open file \"%s\" for %s: %s", node->filename,
                    node->is_from ? "reading" : "writing",
                    cause != NULL ? cause : "input/output error");
    return sql_hint("COPY %s instructs the PostgreSQL server process to %s a file. You may want a "
                    "client-side facility such as psql's \\copy.",
                    node->is_from ? "FROM" : "TO", node->is_from ? "read" : "write");
}

err_t
copy_file_open(const CopyStmt *node, const char *folder, struct copy_file **file_out)
{
    struct copy_file *file = NULL;
    struct io_file *opened = NULL;
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
    err = io_open(node->filename, node->is_from ? IO_READ_ONLY : IO_CREATE, &opened);
    if (err == ERR_OK && !node->is_from) {
        err = io_truncate(opened, 0);
    }
    if (err != ERR_OK) {
        io_close(&opened);
        return open_failed(node, err);
    }
    file = MEM_NEW(MEM_SESSIONS, struct copy_file);
    file->file = opened;
    buf_init(&file->gathered, MEM_SESSIONS);
    *file_out = file;
    return ERR_OK;
}

err_t
copy_file_read(struct copy_file *file, struct buf *out)
{
    size_t size = (size_t)MIN((uint64_t)COPY_FILE_CHUNK_BYTES, io_file_size(file->file) - file->at);
    err_t err = ERR_OK;

    if (size > 0) {
        err = io_read(file->file, file->at, buf_reserve(out, size), size);
    }
    if (err == ERR_OK) {
        out->size += size;
        file->at += size;
    }
    return err;
}

err_t
copy_file_flush(struct copy_file *file)
{
    err_t err = ERR_OK;

    if (file->gathered.size > 0) {
        err = io_write(file->file, file->at, file->gathered.data, file->gathered.size, 0);
        file->at += file->gathered.size;
        buf_clear(&file->gathered);
    }
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
        io_close(&(*file)->file);
        buf_fini(&(*file)->gathered);
        MEM_FREE(MEM_SESSIONS, *file);
    }
}
