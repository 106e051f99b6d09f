/* engine/io/uring_files.c - files and folders through the ring.
 *
 * Each io_op keeps in its private words what is needed to go on after a short transfer. Files
 * stand in the ring's table of registered files while there is room, which spares the kernel the
 * reference count a operation. Open, allocate, rename and the like are executed by the kernel's
 * own worker threads; reads and writes with O_DIRECT are truly asynchronous. */
#include "engine/io/uring_internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/log.h"

#include "engine/base/poison.h"

enum {
    FILE_MODE = 0600,
    FOLDER_MODE = 0700,
    RETRIES_MAX = 1000,           /* Of an operation that the kernel interrupts. */
    TRANSFER_BYTES_MAX = 1 << 30, /* A single operation; the rest follows. */
    LIST_NAMES_MAX = 1 << 20,     /* In one folder. */
    ZEROS_BYTES = 1 << 16,        /* A write of the substitute for fallocate. */
};

static const _Alignas(IO_BLOCK_BYTES) uint8_t zeros[ZEROS_BYTES];

static struct uring_file *
file_of(struct io_file *file)
{
    return (struct uring_file *)file;
}

static void
op_set(struct io_op *op, enum uring_op_step step, const void *buffer, uint64_t offset,
       uint64_t size, uint32_t flags)
{
    op->result = 0;
    op->private_[URING_OP_BUFFER] = (uint64_t)(uintptr_t)buffer;
    op->private_[URING_OP_OFFSET] = offset;
    op->private_[URING_OP_SIZE] = size;
    op->private_[URING_OP_STATE] = (uint64_t)step | (uint64_t)flags << 8;
}

static enum uring_op_step
op_step(const struct io_op *op)
{
    return (enum uring_op_step)(op->private_[URING_OP_STATE] & 0xff);
}

static uint32_t
op_flags(const struct io_op *op)
{
    return (uint32_t)(op->private_[URING_OP_STATE] >> 8) & 0xffffff;
}

/* False when it was tried too often. */
static bool
op_count_retry(struct io_op *op)
{
    op->private_[URING_OP_STATE] += UINT64_C(1) << 32;
    return op->private_[URING_OP_STATE] >> 32 <= RETRIES_MAX;
}

static void *
op_buffer(const struct io_op *op)
{
    return (void *)(uintptr_t)op->private_[URING_OP_BUFFER];
}

static void
op_end(struct io_op *op, int64_t result)
{
    if (op->file != NULL) {
        struct uring_file *file = file_of(op->file);

        ASSERT(file->in_flight > 0);
        file->in_flight--;
    }
    op->result = result;
    op->done(op);
}

static void
op_begin(struct io_op *op, struct io_file *file)
{
    op->file = file;
    file_of(file)->in_flight++;
}

/* The descriptor or the registered slot. */
static void
sqe_set_file(struct io_uring_sqe *sqe, const struct uring_file *file)
{
    if (file->slot >= 0) {
        sqe->fd = file->slot;
        sqe->flags |= IOSQE_FIXED_FILE;
    }
}

/* ---- Helper steps, for what the ring of this kernel cannot do. ---- */

struct blocking_step {
    struct io_op op; /* First; done goes back to the waiting one. */
    struct io_op *waiting;
    int fd;
    uint64_t from;
    uint64_t size;
    int64_t result;      /* Of fn. */
    int64_t result_then; /* What the waiting op ends with when fn succeeded. */
};

static void
blocking_step_done(struct io_op *op)
{
    struct blocking_step *step = (struct blocking_step *)op;
    struct io_op *waiting = step->waiting;
    int64_t result = op->result < 0 ? op->result : step->result;

    result = result < 0 ? result : step->result_then;
    if (result >= 0 && op_step(waiting) == URING_STEP_TRUNCATE) {
        waiting->file->size = step->size;
    } else if (result >= 0) {
        waiting->file->size = MAX(waiting->file->size, step->size);
    }
    MEM_FREE(MEM_RUNTIME, step);
    op_end(waiting, result);
}

static void
blocking_truncate(void *arg)
{
    struct blocking_step *step = arg;

    step->result = ftruncate(step->fd, (off_t)step->size) == 0 ? 0 : -errno;
}

/* On a helper thread: what fallocate would have done, slowly. */
static void
blocking_write_zeros(void *arg)
{
    struct blocking_step *step = arg;

    for (uint64_t at = step->from; at < step->size;) {
        ssize_t wrote =
            pwrite(step->fd, zeros, MIN(step->size - at, (uint64_t)ZEROS_BYTES), (off_t)at);

        if (wrote < 0 && errno == EINTR) {
            continue;
        }
        if (wrote <= 0) {
            step->result = wrote == 0 ? -EIO : -errno;
            (void)!ftruncate(step->fd, (off_t)step->from);
            return;
        }
        at += (uint64_t)wrote;
    }
}

static void
blocking_start(struct uring *uring, struct io_op *waiting, void (*fn)(void *), uint64_t from,
               uint64_t size, int64_t result_then)
{
    struct blocking_step *step = MEM_NEW(MEM_RUNTIME, struct blocking_step);

    step->op.done = blocking_step_done;
    step->waiting = waiting;
    step->fd = file_of(waiting->file)->fd;
    step->from = from;
    step->size = size;
    step->result_then = result_then;
    uring_helper(&uring->io, &step->op, fn, step);
}

/* ---- Reading and writing. ---- */

static void
transfer_issue(struct uring *uring, struct io_op *op)
{
    struct uring_file *file = file_of(op->file);
    struct io_uring_sqe *sqe = uring_sqe(uring);
    uint64_t done = (uint64_t)op->result;
    uint8_t *at = (uint8_t *)op_buffer(op) + done;
    uint64_t left = MIN(op->private_[URING_OP_SIZE] - done, (uint64_t)TRANSFER_BYTES_MAX);
    uint64_t offset = op->private_[URING_OP_OFFSET] + done;

    if (op_step(op) == URING_STEP_READ) {
        io_uring_prep_read(sqe, file->fd, at, (uint32_t)left, offset);
    } else {
        io_uring_prep_write(sqe, file->fd, at, (uint32_t)left, offset);
        sqe->rw_flags = (op_flags(op) & IO_DURABLE) != 0 ? RWF_DSYNC : 0;
    }
    sqe_set_file(sqe, file);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

/* op->result counts the bytes so far. */
static void
transfer_completed(struct uring *uring, struct io_op *op, int result)
{
    uint64_t size = op->private_[URING_OP_SIZE];
    uint64_t end = op->private_[URING_OP_OFFSET] + size;
    uint64_t done;

    if ((result == -EINTR || result == -EAGAIN) && op_count_retry(op)) {
        transfer_issue(uring, op);
        return;
    }
    if (result < 0) {
        op_end(op, result);
        return;
    }
    done = (uint64_t)op->result + (uint64_t)result;
    if (done >= size) {
        if (op_step(op) == URING_STEP_WRITE) {
            op->file->size = MAX(op->file->size, end);
        }
        op_end(op, (int64_t)size);
        return;
    }
    uring->stats.short_transfers++;
    /* Direct transfers go on at a block border. */
    done &= ~(uint64_t)(IO_BLOCK_BYTES - 1);
    if (result == 0 || done == (uint64_t)op->result || !op_count_retry(op)) {
        op_end(op, op_step(op) == URING_STEP_READ ? -ENODATA : -EIO);
        return;
    }
    op->result = (int64_t)done;
    transfer_issue(uring, op);
}

static void
transfer_start(struct io *io, struct io_op *op, struct io_file *file, enum uring_op_step step,
               const void *buffer, uint64_t offset, size_t size, uint32_t flags)
{
    ASSERT(file->io == io);
    ASSERT(offset % IO_BLOCK_BYTES == 0);
    ASSERT(size % IO_BLOCK_BYTES == 0);
    ASSERT((uintptr_t)buffer % IO_BLOCK_BYTES == 0);
    ASSERT(offset <= INT64_MAX - size);
    op_set(op, step, buffer, offset, size, flags);
    op_begin(op, file);
    transfer_issue(uring_of(io), op);
}

void
uring_read(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset, void *buffer,
           size_t size)
{
    transfer_start(io, op, file, URING_STEP_READ, buffer, offset, size, 0);
}

void
uring_write(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset,
            const void *buffer, size_t size, uint32_t flags)
{
    transfer_start(io, op, file, URING_STEP_WRITE, buffer, offset, size, flags);
}

/* ---- Sync, allocate, truncate. ---- */

static void
sync_issue(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_fsync(sqe, file_of(op->file)->fd, IORING_FSYNC_DATASYNC);
    sqe_set_file(sqe, file_of(op->file));
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_sync(struct io *io, struct io_op *op, struct io_file *file)
{
    op_set(op, URING_STEP_SYNC, NULL, 0, 0, 0);
    op_begin(op, file);
    sync_issue(uring_of(io), op);
}

static void
allocate_issue(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_rw(IORING_OP_FALLOCATE, sqe, file_of(op->file)->fd, NULL, 0, 0);
    sqe->addr = op->private_[URING_OP_SIZE];
    sqe_set_file(sqe, file_of(op->file));
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size)
{
    ASSERT(size > 0);
    ASSERT(size <= INT64_MAX);
    op_set(op, URING_STEP_ALLOCATE, NULL, 0, size, 0);
    op_begin(op, file);
    allocate_issue(uring_of(io), op);
}

static void
allocate_completed(struct uring *uring, struct io_op *op, int result)
{
    uint64_t size = op->private_[URING_OP_SIZE];
    uint64_t old_size = op->file->size;

    if (result == -EINTR && op_count_retry(op)) {
        allocate_issue(uring, op);
    } else if (result == -EOPNOTSUPP && size > old_size) {
        blocking_start(uring, op, blocking_write_zeros, old_size, size, 0);
    } else if (result == -EOPNOTSUPP) {
        op_end(op, 0);
    } else if (result == -ENOSPC) {
        /* It may have got a part, and grown the file. */
        blocking_start(uring, op, blocking_truncate, 0, old_size, -ENOSPC);
    } else {
        if (result == 0) {
            op->file->size = MAX(old_size, size);
        }
        op_end(op, result);
    }
}

static void
truncate_issue(struct uring *uring, struct io_op *op)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);

    io_uring_prep_rw(URING_OP_FTRUNCATE, sqe, file_of(op->file)->fd, NULL, 0,
                     op->private_[URING_OP_SIZE]);
    sqe_set_file(sqe, file_of(op->file));
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size)
{
    struct uring *uring = uring_of(io);

    ASSERT(size <= INT64_MAX);
    op_set(op, URING_STEP_TRUNCATE, NULL, 0, size, 0);
    op_begin(op, file);
    if (uring->group->has_ftruncate) {
        truncate_issue(uring, op);
    } else {
        blocking_start(uring, op, blocking_truncate, 0, size, 0);
    }
}

/* Sync and truncate. */
static void
simple_completed(struct uring *uring, struct io_op *op, int result)
{
    if ((result == -EINTR || result == -EAGAIN) && op_count_retry(op)) {
        if (op_step(op) == URING_STEP_SYNC) {
            sync_issue(uring, op);
        } else {
            truncate_issue(uring, op);
        }
        return;
    }
    if (result == 0 && op_step(op) == URING_STEP_TRUNCATE) {
        op->file->size = op->private_[URING_OP_SIZE];
    }
    op_end(op, result);
}

/* ---- Open and close. ---- */

static void
open_issue(struct uring *uring, struct io_op *op, bool direct)
{
    struct io_uring_sqe *sqe = uring_sqe(uring);
    uint32_t flags = op_flags(op);
    int how = O_CLOEXEC | O_NOFOLLOW | (direct ? O_DIRECT : 0);

    how |= (flags & IO_READ_ONLY) != 0 ? O_RDONLY : O_RDWR;
    how |= (flags & IO_CREATE) != 0 ? O_CREAT : 0;
    how |= (flags & IO_EXCLUSIVE) != 0 ? O_EXCL : 0;
    op->private_[URING_OP_SIZE] = direct;
    io_uring_prep_openat(sqe, uring->group->data_fd, op_buffer(op), how, FILE_MODE);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

static bool
path_fits(const char *path)
{
    return strnlen(path, IO_PATH_BYTES_MAX) < IO_PATH_BYTES_MAX;
}

void
uring_open(struct io *io, struct io_op *op, const char *path, uint32_t flags)
{
    struct uring *uring = uring_of(io);
    struct uring_file *file;

    op->file = NULL;
    if (!path_fits(path)) {
        uring_defer(uring, op, -ENAMETOOLONG);
        return;
    }
    file = MEM_NEW(MEM_RUNTIME, struct uring_file);
    file->file.io = io;
    file->fd = -1;
    file->slot = -1;
    memcpy(file->file.path, path, strlen(path) + 1);
    op_set(op, URING_STEP_OPEN, file->file.path, (uint64_t)(uintptr_t)file, 0, flags);
    open_issue(uring, op, true);
}

/* Not finding a slot costs speed only. */
static void
file_register(struct uring *uring, struct uring_file *file)
{
    uint32_t slot;

    if (uring->fixed_free_count == 0) {
        return;
    }
    slot = uring->fixed_free[uring->fixed_free_count - 1];
    if (io_uring_register_files_update(&uring->ring, slot, &file->fd, 1) == 1) {
        uring->fixed_free_count--;
        file->slot = (int32_t)slot;
    }
}

static void
file_unregister(struct uring *uring, struct uring_file *file)
{
    int none = -1;

    if (file->slot < 0) {
        return;
    }
    if (io_uring_register_files_update(&uring->ring, (uint32_t)file->slot, &none, 1) != 1) {
        fatal("shard %u: cannot unregister %s", uring->id, file->file.path);
    }
    uring->fixed_free[uring->fixed_free_count++] = (uint16_t)file->slot;
    file->slot = -1;
}

static int
file_opened(struct uring *uring, struct uring_file *file, int fd)
{
    struct stat status;
    int result = 0;

    file->fd = fd;
    if (fstat(fd, &status) != 0) {
        result = -errno;
    } else if (!S_ISREG(status.st_mode)) {
        result = S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    }
    if (result < 0) {
        uring_close_fd(uring, fd, false);
        return result;
    }
    file->file.size = (uint64_t)status.st_size;
    file_register(uring, file);
    return 0;
}

static void
open_completed(struct uring *uring, struct io_op *op, int result)
{
    struct uring_file *file = (struct uring_file *)(uintptr_t)op->private_[URING_OP_OFFSET];

    if ((result == -EINTR || result == -EAGAIN) && op_count_retry(op)) {
        open_issue(uring, op, op->private_[URING_OP_SIZE] != 0);
        return;
    }
    if (result == -EINVAL && op->private_[URING_OP_SIZE] != 0) {
        if (!uring->warned_buffered) {
            uring->warned_buffered = true;
            LOG_W("the file system of the data folder takes no O_DIRECT (seen at %s): its files "
                  "go through the page cache, which is slower and uses more memory",
                  file->file.path);
        }
        open_issue(uring, op, false);
        return;
    }
    result = result < 0 ? result : file_opened(uring, file, result);
    if (result < 0) {
        MEM_FREE(MEM_RUNTIME, file);
        op->result = result;
        op->done(op);
        return;
    }
    op->file = &file->file;
    op->result = 0;
    op->done(op);
}

void
uring_close(struct io *io, struct io_file *io_file)
{
    struct uring *uring = uring_of(io);
    struct uring_file *file = file_of(io_file);

    ASSERT(file->in_flight == 0);
    file_unregister(uring, file);
    /* The last close of an unlinked file frees its blocks. */
    uring_close_fd(uring, file->fd, true);
    MEM_FREE(MEM_RUNTIME, file);
}

/* ---- Names. ---- */

static void
name_op_prepare(struct io_op *op, const char *path)
{
    op->file = NULL;
    op_set(op, URING_STEP_NAME, path, 0, 0, 0);
}

void
uring_rename(struct io *io, struct io_op *op, const char *from, const char *to)
{
    struct uring *uring = uring_of(io);
    struct io_uring_sqe *sqe;

    name_op_prepare(op, from);
    if (!path_fits(from) || !path_fits(to)) {
        uring_defer(uring, op, -ENAMETOOLONG);
        return;
    }
    sqe = uring_sqe(uring);
    io_uring_prep_renameat(sqe, uring->group->data_fd, from, uring->group->data_fd, to, 0);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_link(struct io *io, struct io_op *op, const char *from, const char *to)
{
    struct uring *uring = uring_of(io);
    struct io_uring_sqe *sqe;

    name_op_prepare(op, from);
    if (!path_fits(from) || !path_fits(to)) {
        uring_defer(uring, op, -ENAMETOOLONG);
        return;
    }
    sqe = uring_sqe(uring);
    io_uring_prep_linkat(sqe, uring->group->data_fd, from, uring->group->data_fd, to, 0);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

static void
name_remove(struct io *io, struct io_op *op, const char *path, int flags)
{
    struct uring *uring = uring_of(io);
    struct io_uring_sqe *sqe;

    name_op_prepare(op, path);
    if (!path_fits(path)) {
        uring_defer(uring, op, -ENAMETOOLONG);
        return;
    }
    sqe = uring_sqe(uring);
    io_uring_prep_unlinkat(sqe, uring->group->data_fd, path, flags);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_unlink(struct io *io, struct io_op *op, const char *path)
{
    name_remove(io, op, path, 0);
}

void
uring_rmdir(struct io *io, struct io_op *op, const char *path)
{
    name_remove(io, op, path, AT_REMOVEDIR);
}

void
uring_mkdir(struct io *io, struct io_op *op, const char *path)
{
    struct uring *uring = uring_of(io);
    struct io_uring_sqe *sqe;

    name_op_prepare(op, path);
    if (!path_fits(path)) {
        uring_defer(uring, op, -ENAMETOOLONG);
        return;
    }
    sqe = uring_sqe(uring);
    io_uring_prep_mkdirat(sqe, uring->group->data_fd, path, FOLDER_MODE);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

static int
folder_open(struct uring *uring, const char *path)
{
    const char *name = path[0] == '\0' ? "." : path;

    if (!path_fits(path)) {
        return -ENAMETOOLONG;
    }
    /* A folder in use is in the kernel's name cache: this does not wait for the disk. */
    int fd = openat(uring->group->data_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return fd >= 0 ? fd : -errno;
}

void
uring_sync_dir(struct io *io, struct io_op *op, const char *path)
{
    struct uring *uring = uring_of(io);
    int fd = folder_open(uring, path);
    struct io_uring_sqe *sqe;

    op->file = NULL;
    if (fd < 0) {
        uring_defer(uring, op, fd);
        return;
    }
    op_set(op, URING_STEP_SYNC_DIR, NULL, (uint64_t)fd, 0, 0);
    sqe = uring_sqe(uring);
    io_uring_prep_fsync(sqe, fd, 0);
    uring_sqe_tag(sqe, op, URING_KIND_OP);
}

void
uring_op_completed(struct uring *uring, struct io_op *op, int result)
{
    switch (op_step(op)) {
    case URING_STEP_READ:
    case URING_STEP_WRITE:
        transfer_completed(uring, op, result);
        return;
    case URING_STEP_ALLOCATE:
        allocate_completed(uring, op, result);
        return;
    case URING_STEP_SYNC:
    case URING_STEP_TRUNCATE:
        simple_completed(uring, op, result);
        return;
    case URING_STEP_OPEN:
        open_completed(uring, op, result);
        return;
    case URING_STEP_SYNC_DIR:
        uring_close_fd(uring, (int)op->private_[URING_OP_OFFSET], false);
        op_end(op, result);
        return;
    case URING_STEP_NOP:
    case URING_STEP_NAME:
        op_end(op, result);
        return;
    }
    UNREACHABLE();
}

/* ---- Synchronous ones, for starts and maintenance. ---- */

static int
name_compare(const void *a, const void *b, void *names)
{
    const char *base = names;

    return strcmp(base + *(const uint32_t *)a, base + *(const uint32_t *)b);
}

/* Every name, terminated, and where each begins. */
static int
names_read(DIR *folder, struct buf *names, struct buf *starts)
{
    for (;;) {
        struct dirent *entry;
        uint32_t start = (uint32_t)names->size;

        errno = 0;
        entry = readdir(folder);
        if (entry == NULL) {
            return -errno;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (starts->size / sizeof(start) >= LIST_NAMES_MAX) {
            return -EOVERFLOW;
        }
        buf_append(names, entry->d_name, strlen(entry->d_name) + 1);
        buf_append(starts, &start, sizeof(start));
    }
}

int
uring_list(struct io *io, const char *path, void (*visit)(const char *, void *), void *arg)
{
    struct buf names;
    struct buf starts;
    int fd = folder_open(uring_of(io), path);
    DIR *folder;
    int result;

    if (fd < 0) {
        return fd;
    }
    folder = fdopendir(fd);
    if (folder == NULL) {
        result = -errno;
        close(fd);
        return result;
    }
    buf_init(&names, MEM_RUNTIME);
    buf_init(&starts, MEM_RUNTIME);
    result = names_read(folder, &names, &starts);
    if (result == 0 && starts.size > 0) {
        size_t count = starts.size / sizeof(uint32_t);

        qsort_r(starts.data, count, sizeof(uint32_t), name_compare, names.data);
        for (size_t i = 0; i < count; i++) {
            visit((const char *)names.data + ((uint32_t *)(void *)starts.data)[i], arg);
        }
    }
    buf_fini(&names);
    buf_fini(&starts);
    closedir(folder);
    return result;
}

int64_t
uring_free_bytes(struct io *io)
{
    struct statvfs status;

    if (fstatvfs(uring_of(io)->group->data_fd, &status) != 0) {
        return -errno;
    }
    return (int64_t)MIN((uint64_t)status.f_bavail * status.f_frsize, (uint64_t)INT64_MAX);
}
