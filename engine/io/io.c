/* engine/io/io.c - the seam as shard code calls it: an operation is started in the current
 * shard's io and its fiber sleeps until it has ended. */
#include "engine/io/io.h"

#include <errno.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum { IO_WHAT_BYTES_MAX = 2 * IO_PATH_BYTES_MAX + 64 };

static struct io *
io_current(void)
{
    struct io *io = shard_io();

    OBJ_CHECK(io, IO_MAGIC);
    return io;
}

/* ---- Waiting for one operation. ---- */

struct io_wait {
    struct io_op op;
    struct fiber *fiber;
    bool is_done;
};

static void
io_wait_done(struct io_op *op)
{
    struct io_wait *wait = CONTAINER_OF(op, struct io_wait, op);

    wait->is_done = true;
    fiber_wake(wait->fiber);
}

static void
io_wait_init(struct io_wait *wait, struct io_file *file)
{
    *wait = (struct io_wait){.op = {.done = io_wait_done, .file = file}, .fiber = fiber_self()};
    ASSERT(wait->fiber != NULL);
}

/* Deaf to cancellation: the kernel may still use the caller's buffer. */
static int64_t
io_wait_end(struct io_wait *wait)
{
    while (!wait->is_done) {
        fiber_suspend();
    }
    return wait->op.result;
}

/* ---- Files. ---- */

static void
io_check_range(uint64_t offset, const void *buffer, size_t size)
{
    ASSERT(offset % IO_BLOCK_BYTES == 0);
    ASSERT(size % IO_BLOCK_BYTES == 0);
    ASSERT(size > 0);
    ASSERT((uintptr_t)buffer % MEM_IO_ALIGN == 0);
}

static err_t
io_error(int64_t result, const char *verb, const char *path)
{
    char what[IO_WHAT_BYTES_MAX];

    snprintf(what, sizeof(what), "%s %s", verb, path);
    return err_from_errno((int)result, what);
}

/* What a result of `size` expected bytes means. */
static err_t
io_transfer_result(int64_t result, const char *verb, const struct io_file *file, uint64_t offset,
                   size_t size)
{
    char what[IO_WHAT_BYTES_MAX];

    if (result == (int64_t)size) {
        return ERR_OK;
    }
    snprintf(what, sizeof(what), "%s %s, %zu bytes at offset %llu", verb, file->path, size,
             (unsigned long long)offset);
    ASSERT(result < 0); /* The io retries short transfers. */
    return err_from_errno((int)result, what);
}

err_t
io_open(const char *path, uint32_t flags, struct io_file **file_out)
{
    struct io *io = io_current();
    struct io_wait wait;
    int64_t result;

    ASSERT(strlen(path) < IO_PATH_BYTES_MAX);
    io_wait_init(&wait, NULL);
    io->ops->open(io, &wait.op, path, flags);
    result = io_wait_end(&wait);
    if (result < 0) {
        return io_error(result, "opening", path);
    }
    ASSERT(wait.op.file != NULL);
    *file_out = wait.op.file;
    return ERR_OK;
}

void
io_close(struct io_file **file)
{
    if (*file != NULL) {
        struct io *io = (*file)->io;

        io->ops->close(io, *file);
        *file = NULL;
    }
}

const char *
io_file_path(const struct io_file *file)
{
    return file->path;
}

uint64_t
io_file_size(const struct io_file *file)
{
    return file->size;
}

void
io_read_start(struct io_op *op, struct io_file *file, uint64_t offset, void *buffer, size_t size)
{
    io_check_range(offset, buffer, size);
    op->file = file;
    file->io->ops->read(file->io, op, file, offset, buffer, size);
}

void
io_write_start(struct io_op *op, struct io_file *file, uint64_t offset, const void *buffer,
               size_t size, uint32_t flags)
{
    io_check_range(offset, buffer, size);
    op->file = file;
    file->io->ops->write(file->io, op, file, offset, buffer, size, flags);
}

err_t
io_op_result(const struct io_op *op, const char *what)
{
    if (op->result >= 0) {
        return ERR_OK;
    }
    return io_error(op->result, what, op->file != NULL ? op->file->path : "");
}

err_t
io_read(struct io_file *file, uint64_t offset, void *buffer, size_t size)
{
    struct io_wait wait;

    io_wait_init(&wait, file);
    io_read_start(&wait.op, file, offset, buffer, size);
    return io_transfer_result(io_wait_end(&wait), "reading", file, offset, size);
}

err_t
io_write(struct io_file *file, uint64_t offset, const void *buffer, size_t size, uint32_t flags)
{
    struct io_wait wait;

    io_wait_init(&wait, file);
    io_write_start(&wait.op, file, offset, buffer, size, flags);
    return io_transfer_result(io_wait_end(&wait), "writing", file, offset, size);
}

err_t
io_sync(struct io_file *file)
{
    struct io_wait wait;
    int64_t result;

    io_wait_init(&wait, file);
    file->io->ops->sync(file->io, &wait.op, file);
    result = io_wait_end(&wait);
    return result < 0 ? io_error(result, "syncing", file->path) : ERR_OK;
}

err_t
io_allocate(struct io_file *file, uint64_t size)
{
    struct io_wait wait;
    int64_t result;

    io_wait_init(&wait, file);
    file->io->ops->allocate(file->io, &wait.op, file, size);
    result = io_wait_end(&wait);
    return result < 0 ? io_error(result, "reserving space for", file->path) : ERR_OK;
}

err_t
io_truncate(struct io_file *file, uint64_t size)
{
    struct io_wait wait;
    int64_t result;

    io_wait_init(&wait, file);
    file->io->ops->truncate(file->io, &wait.op, file, size);
    result = io_wait_end(&wait);
    return result < 0 ? io_error(result, "truncating", file->path) : ERR_OK;
}

/* ---- Batches. ---- */

void
io_batch_init(struct io_batch *batch)
{
    *batch = (struct io_batch){.waiter = fiber_self()};
    ASSERT(batch->waiter != NULL);
}

static void
io_batch_done(struct io_op *op)
{
    struct io_batch *batch = op->owner;

    if (op->result < 0 && batch->first_error == 0) {
        batch->first_error = op->result;
        batch->first_error_file = op->file;
    }
    batch->in_flight--;
    if (batch->in_flight == 0) {
        fiber_wake(batch->waiter);
    }
}

static void
io_batch_add(struct io_batch *batch, struct io_op *op)
{
    *op = (struct io_op){.done = io_batch_done, .owner = batch};
    batch->in_flight++;
}

void
io_batch_read(struct io_batch *batch, struct io_op *op, struct io_file *file, uint64_t offset,
              void *buffer, size_t size)
{
    io_batch_add(batch, op);
    io_read_start(op, file, offset, buffer, size);
}

void
io_batch_write(struct io_batch *batch, struct io_op *op, struct io_file *file, uint64_t offset,
               const void *buffer, size_t size, uint32_t flags)
{
    io_batch_add(batch, op);
    io_write_start(op, file, offset, buffer, size, flags);
}

err_t
io_batch_wait(struct io_batch *batch)
{
    ASSERT(batch->waiter == fiber_self());
    while (batch->in_flight > 0) {
        fiber_suspend();
    }
    if (batch->first_error < 0) {
        return io_error(batch->first_error, "reading or writing", batch->first_error_file->path);
    }
    return ERR_OK;
}

/* ---- Names. ---- */

/* One operation on two paths. */
static err_t
io_paths_op(void (*start)(struct io *io, struct io_op *op, const char *from, const char *to),
            const char *verb, const char *from, const char *to)
{
    struct io_wait wait;
    int64_t result;
    char what[IO_WHAT_BYTES_MAX];

    io_wait_init(&wait, NULL);
    start(io_current(), &wait.op, from, to);
    result = io_wait_end(&wait);
    if (result < 0) {
        snprintf(what, sizeof(what), "%s %s to %s", verb, from, to);
        return err_from_errno((int)result, what);
    }
    return ERR_OK;
}

err_t
io_rename(const char *from, const char *to)
{
    return io_paths_op(io_current()->ops->rename, "renaming", from, to);
}

err_t
io_link(const char *from, const char *to)
{
    return io_paths_op(io_current()->ops->link, "linking", from, to);
}

/* One operation on one path. */
static err_t
io_path_op(void (*start)(struct io *io, struct io_op *op, const char *path), const char *verb,
           const char *path)
{
    struct io_wait wait;
    int64_t result;

    io_wait_init(&wait, NULL);
    start(io_current(), &wait.op, path);
    result = io_wait_end(&wait);
    return result < 0 ? io_error(result, verb, path) : ERR_OK;
}

err_t
io_unlink(const char *path)
{
    return io_path_op(io_current()->ops->unlink, "removing", path);
}

err_t
io_rmdir(const char *path)
{
    return io_path_op(io_current()->ops->rmdir, "removing folder", path);
}

err_t
io_mkdir(const char *path)
{
    return io_path_op(io_current()->ops->mkdir, "making folder", path);
}

err_t
io_sync_dir(const char *path)
{
    return io_path_op(io_current()->ops->sync_dir, "syncing folder", path);
}

err_t
io_list(const char *path, void (*visit)(const char *name, void *arg), void *arg)
{
    struct io *io = io_current();
    int result = io->ops->list(io, path, visit, arg);

    return result < 0 ? io_error(result, "listing folder", path) : ERR_OK;
}

err_t
io_free_bytes(uint64_t *bytes_out)
{
    struct io *io = io_current();
    int64_t result = io->ops->free_bytes(io);

    if (result < 0) {
        return err_from_errno((int)result, "asking for free space");
    }
    *bytes_out = (uint64_t)result;
    return ERR_OK;
}

/* ---- Clock, random, helpers. ---- */

uint64_t
io_wall_us(void)
{
    struct io *io = io_current();

    return io->ops->wall_us(io);
}

void
io_random(void *out, size_t size)
{
    struct io *io = io_current();

    io->ops->random_bytes(io, out, size);
}

err_t
io_helper_run(void (*fn)(void *arg), void *arg)
{
    struct io *io = io_current();
    struct io_wait wait;
    int64_t result;

    io_wait_init(&wait, NULL);
    io->ops->helper(io, &wait.op, fn, arg);
    result = io_wait_end(&wait);
    return result < 0 ? err_from_errno((int)result, "running on a helper thread") : ERR_OK;
}

/* ---- Network. ---- */

err_t
io_listen(const char *address, uint16_t port, int backlog,
          void (*on_accept)(void *owner, struct io_conn *conn), void *owner,
          struct io_listener **listener_out)
{
    struct io *io = io_current();
    struct io_listener *listener = NULL;
    char what[IO_WHAT_BYTES_MAX];
    int result;

    if (io->ops->listen == NULL) {
        return err_set(ERR_UNSUPPORTED, "there is no network here");
    }
    result = io->ops->listen(io, address, port, backlog, on_accept, owner, &listener);
    if (result < 0) {
        snprintf(what, sizeof(what), "listening on %s port %u", address, (unsigned)port);
        return err_from_errno(result, what);
    }
    *listener_out = listener;
    return ERR_OK;
}

uint16_t
io_listener_port(const struct io_listener *listener)
{
    return listener->port;
}

void
io_listener_close(struct io_listener **listener)
{
    if (*listener != NULL) {
        struct io *io = (*listener)->io;

        io->ops->listener_close(io, *listener);
        *listener = NULL;
    }
}

void
io_conn_start(struct io_conn *conn, const struct io_conn_handlers *handlers, void *owner)
{
    conn->io->ops->conn_start(conn, handlers, owner);
}

void
io_conn_pause(struct io_conn *conn)
{
    conn->io->ops->conn_pause(conn);
}

void
io_conn_resume(struct io_conn *conn)
{
    conn->io->ops->conn_resume(conn);
}

void
io_conn_send(struct io_conn *conn, const void *data, size_t size)
{
    ASSERT(!conn->is_sending);
    conn->io->ops->conn_send(conn, data, size);
}

bool
io_conn_is_sending(const struct io_conn *conn)
{
    return conn->is_sending;
}

const char *
io_conn_peer(const struct io_conn *conn)
{
    return conn->peer;
}

const char *
io_conn_local(const struct io_conn *conn)
{
    return conn->local;
}

int
io_conn_fd(const struct io_conn *conn)
{
    return conn->fd;
}

void
io_conn_close(struct io_conn *conn)
{
    conn->io->ops->conn_close(conn);
}
