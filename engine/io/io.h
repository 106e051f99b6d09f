/* engine/io/io.h - the seam: all that is not deterministic reaches a shard through here.
 *
 * Two implementations: io_uring (uring.h) and the deterministic simulator (sim.h). Shard code
 * calls the functions below; they go through the current shard's struct io.
 *
 * Files: paths are relative to the data folder given to the implementation. Offsets, sizes and
 * buffers are multiples of IO_BLOCK_BYTES (O_DIRECT); files are opened O_DIRECT. A write is
 * durable only when it was made with IO_DURABLE (O_DSYNC semantics: that range, and the size it
 * grew the file to) or when io_sync returned after it. A created, renamed or removed name is
 * durable after io_sync_dir of its folder. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum { IO_BLOCK_BYTES = 4096, IO_PATH_BYTES_MAX = 256 };

struct io;
struct io_file; /* Opaque; owned by the io. */
struct io_conn;
struct io_listener;
struct msg;

/* One operation in flight. The memory is the caller's and stays until done was called. */
struct io_op {
    void (*done)(struct io_op *op); /* On the loop's stack; must not suspend. */
    int64_t result;                 /* Bytes, or a negative errno. */
    void *owner;                    /* The caller's. */
    struct io_file *file;           /* What the error message names. */
    uint64_t private_[4];           /* The implementation's. */
};

enum io_open_flags {
    IO_CREATE = 1 << 0,    /* Make it if it is missing. */
    IO_EXCLUSIVE = 1 << 1, /* With IO_CREATE: ERR_EXISTS when it is there. */
    IO_READ_ONLY = 1 << 2,
};

/* Errors: ERR_NOT_FOUND, ERR_EXISTS, ERR_NO_SPACE, ERR_IO; the diagnostic names the path. */
YIELDS err_t io_open(const char *path, uint32_t flags, struct io_file **file_out);
/* Harmless on NULL; clears the pointer. Nothing may be in flight. Does not suspend. */
void io_close(struct io_file **file);
const char *io_file_path(const struct io_file *file);
/* Bytes at open, and after the writes made through this handle. */
uint64_t io_file_size(const struct io_file *file);

/* Whole or not at all: a short transfer is retried inside; a read beyond the end gives ERR_CORRUPT
 * ("ends early"). Several may be in flight on one file. */
YIELDS err_t io_read(struct io_file *file, uint64_t offset, void *buffer, size_t size);
enum io_write_flags { IO_DURABLE = 1 << 0 };
YIELDS err_t io_write(struct io_file *file, uint64_t offset, const void *buffer, size_t size,
                      uint32_t flags);
YIELDS err_t io_sync(struct io_file *file);
/* Reserve zeroed space up to size; ERR_NO_SPACE leaves the file as it was. */
YIELDS err_t io_allocate(struct io_file *file, uint64_t size);
YIELDS err_t io_truncate(struct io_file *file, uint64_t size);

/* The same without waiting: op->done is called with op->result. A short transfer is the callee's
 * to retry: result is size or a negative errno. */
void io_read_start(struct io_op *op, struct io_file *file, uint64_t offset, void *buffer,
                   size_t size);
void io_write_start(struct io_op *op, struct io_file *file, uint64_t offset, const void *buffer,
                    size_t size, uint32_t flags);
/* What a finished op means. */
err_t io_op_result(const struct io_op *op, const char *what);

/* Wait for a number of started operations of one fiber:
 *     struct io_batch batch; io_batch_init(&batch);
 *     io_batch_read(&batch, &ops[i], ...); ...      at most one op each
 *     err = io_batch_wait(&batch);                  first error, after all have ended */
struct io_batch {
    uint32_t in_flight;
    int64_t first_error;
    struct io_file *first_error_file;
    struct fiber *waiter;
};
void io_batch_init(struct io_batch *batch);
void io_batch_read(struct io_batch *batch, struct io_op *op, struct io_file *file, uint64_t offset,
                   void *buffer, size_t size);
void io_batch_write(struct io_batch *batch, struct io_op *op, struct io_file *file, uint64_t offset,
                    const void *buffer, size_t size, uint32_t flags);
YIELDS err_t io_batch_wait(struct io_batch *batch);

YIELDS err_t io_rename(const char *from, const char *to);
/* A second name for a file (hard link), on the same file system (ERR_UNSUPPORTED across two).
 * ERR_EXISTS when `to` is there. */
YIELDS err_t io_link(const char *from, const char *to);
YIELDS err_t io_unlink(const char *path); /* ERR_NOT_FOUND when missing. */
YIELDS err_t io_rmdir(const char *path);  /* ERR_NOT_FOUND when missing; only an empty folder. */
YIELDS err_t io_mkdir(const char *path);  /* ERR_EXISTS when there. */
YIELDS err_t io_sync_dir(const char *path);
/* visit is called for each name in the folder (no . and ..) in an order that is stable for equal
 * contents, without suspension. */
YIELDS err_t io_list(const char *path, void (*visit)(const char *name, void *arg), void *arg);
/* Free bytes of the file system. */
YIELDS err_t io_free_bytes(uint64_t *bytes_out);

/* Microseconds since 1970 by the wall clock, read once a loop turn. */
uint64_t io_wall_us(void);
/* Unpredictable bytes (getrandom in production, the seed in the simulator). */
void io_random(void *out, size_t size);
/* fn(arg) on a helper thread, for what blocks or computes long; in the simulator inline, after a
 * drawn delay. */
YIELDS err_t io_helper_run(void (*fn)(void *arg), void *arg);

/* ---- Network. The simulator has none (ERR_UNSUPPORTED). Callbacks run on the loop's stack and
 * must not suspend. ---- */

struct io_conn_handlers {
    /* Bytes came; borrowed for the call. */
    void (*on_data)(void *owner, const uint8_t *data, size_t size);
    /* The send that was in flight has ended: 0, or a negative errno. */
    void (*on_sent)(void *owner, int result);
    /* No more data will come: the peer has closed its side (0: it may still read, so sends work
     * and on_sent is called until io_conn_close), or the connection failed (negative errno: no
     * callback follows but on_closed). The owner closes. */
    void (*on_end)(void *owner, int result);
    /* After io_conn_close: nothing is in flight any more, the owner may free itself. */
    void (*on_closed)(void *owner);
};

/* Accepts with SO_REUSEPORT. `address` is numeric IPv4 or IPv6; port 0 lets the kernel choose:
 * io_listener_port tells. on_accept gets a new connection for which it must call io_conn_start
 * or io_conn_close. Errors name address and port. */
YIELDS err_t io_listen(const char *address, uint16_t port, int backlog,
                       void (*on_accept)(void *owner, struct io_conn *conn), void *owner,
                       struct io_listener **listener_out);
uint16_t io_listener_port(const struct io_listener *listener);
void io_listener_close(struct io_listener **listener);

/* Begin to receive (multishot, provided buffers). */
void io_conn_start(struct io_conn *conn, const struct io_conn_handlers *handlers, void *owner);
/* Stop and resume receiving: backpressure. Data already received may still be delivered. */
void io_conn_pause(struct io_conn *conn);
void io_conn_resume(struct io_conn *conn);
/* At most one send in flight; the bytes stay the caller's until on_sent, which is called when all
 * were sent. */
void io_conn_send(struct io_conn *conn, const void *data, size_t size);
bool io_conn_is_sending(const struct io_conn *conn);
/* "127.0.0.1:6379"; valid while the connection is. */
const char *io_conn_peer(const struct io_conn *conn);
const char *io_conn_local(const struct io_conn *conn);
int io_conn_fd(const struct io_conn *conn);
/* Cancels what is in flight; on_closed follows later. */
void io_conn_close(struct io_conn *conn);

/* ---- The implementation's side. ---- */

struct io_ops {
    /* Files: each starts and calls op->done later (never inside the call). open sets op->file; a
     * read of what lies beyond the end gives -ENODATA. */
    void (*open)(struct io *io, struct io_op *op, const char *path, uint32_t flags);
    void (*close)(struct io *io, struct io_file *file);
    void (*read)(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset,
                 void *buffer, size_t size);
    void (*write)(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset,
                  const void *buffer, size_t size, uint32_t flags);
    void (*sync)(struct io *io, struct io_op *op, struct io_file *file);
    void (*allocate)(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
    void (*truncate)(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
    void (*rename)(struct io *io, struct io_op *op, const char *from, const char *to);
    void (*link)(struct io *io, struct io_op *op, const char *from, const char *to);
    void (*unlink)(struct io *io, struct io_op *op, const char *path);
    void (*rmdir)(struct io *io, struct io_op *op, const char *path);
    void (*mkdir)(struct io *io, struct io_op *op, const char *path);
    void (*sync_dir)(struct io *io, struct io_op *op, const char *path);
    /* Synchronous: used at start and by maintenance only. */
    int (*list)(struct io *io, const char *path, void (*visit)(const char *, void *), void *arg);
    int64_t (*free_bytes)(struct io *io);

    uint64_t (*monotonic_us)(struct io *io);
    uint64_t (*wall_us)(struct io *io);
    void (*random_bytes)(struct io *io, void *out, size_t size);
    void (*helper)(struct io *io, struct io_op *op, void (*fn)(void *), void *arg);

    /* Hand a message to peer io number msg->is_reply ? msg->from : msg->to. Never blocks and has
     * room by the credit rule. The receiving io calls msg_deliver on its loop. */
    void (*post)(struct io *io, struct msg *msg);

    /* The loop: read the clocks (what monotonic_us and wall_us return until the next poll), then
     * reap what has completed (calls done functions and msg_deliver). Returns how many. */
    uint32_t (*poll)(struct io *io);
    /* Would poll find something? Without a system call. May be NULL: not known. */
    bool (*peek)(struct io *io);
    /* Submit what was started. */
    void (*submit)(struct io *io);
    /* Submit, then sleep until a completion, a message or the deadline. */
    void (*wait)(struct io *io, uint64_t deadline_us);
    /* From any thread: end the sleep. */
    void (*wake)(struct io *io);

    /* Network; NULL members where there is none. */
    int (*listen)(struct io *io, const char *address, uint16_t port, int backlog,
                  void (*on_accept)(void *owner, struct io_conn *conn), void *owner,
                  struct io_listener **listener_out);
    void (*listener_close)(struct io *io, struct io_listener *listener);
    void (*conn_start)(struct io_conn *conn, const struct io_conn_handlers *handlers, void *owner);
    void (*conn_pause)(struct io_conn *conn);
    void (*conn_resume)(struct io_conn *conn);
    void (*conn_send)(struct io_conn *conn, const void *data, size_t size);
    void (*conn_close)(struct io_conn *conn);
};

/* First member of each implementation's object. */
struct io {
    uint64_t magic; /* IO_MAGIC */
    const struct io_ops *ops;
};
#define IO_MAGIC UINT64_C(0x6f72626974696f31)

/* First members of each implementation's objects, so that accessors need no call. */
struct io_file {
    struct io *io;
    uint64_t size;
    char path[IO_PATH_BYTES_MAX];
};
struct io_conn {
    struct io *io;
    int fd;
    bool is_sending;
    char peer[64];
    char local[64];
};
struct io_listener {
    struct io *io;
    int fd;
    uint16_t port;
};
