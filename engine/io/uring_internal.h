/* engine/io/uring_internal.h - what the files of the uring io share.
 *
 *     uring.c         group, options, the table of operations
 *     uring_ring.c    submission, completion, sleeping
 *     uring_files.c   files and folders
 *     uring_net.c     listeners and connections
 *     uring_lanes.c   messages between shards, waking a sleeping one
 *     uring_helper.c  helper threads
 *     uring_clock.c   clocks and random bytes
 *     uring_kernel.c  what the kernel refuses, in words
 *
 * A completion's user_data is a pointer with its kind in the lowest three bits. */
#pragma once

#include <liburing.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "engine/io/uring.h"
#include "engine/rt/msg.h"

enum uring_kind {
    URING_KIND_OP,             /* struct io_op */
    URING_KIND_RECV,           /* struct uring_conn */
    URING_KIND_SEND,           /* struct uring_conn */
    URING_KIND_CONN_CANCEL,    /* struct uring_conn */
    URING_KIND_ACCEPT,         /* struct uring_listener */
    URING_KIND_LISTENER_TIMER, /* struct uring_listener */
    URING_KIND_LISTENER_CANCEL,
    URING_KIND_INTERNAL, /* enum uring_internal_event, shifted */
    URING_KIND_MASK = 7,
};

enum uring_internal_event {
    URING_EVENT_WAKE = 1 << 3,     /* Somebody wrote to the eventfd. */
    URING_EVENT_CLOSE = 2 << 3,    /* A descriptor was closed. */
    URING_EVENT_MESSAGE = 3 << 3,  /* A peer posted while we slept. */
    URING_EVENT_NOT_SENT = 4 << 3, /* Our wakeup of a peer failed; its id is in the upper half. */
    URING_EVENT_MASK = 15 << 3,
};

/* Kept by the kernel since 6.9; liburing 2.3 does not name it. */
enum { URING_OP_FTRUNCATE = 55 };

/* One direction between two shards: one writer, one reader, so two indices that only grow. It
 * holds the requests of one and the replies to the other, which credits bound. */
enum { URING_LANE_SLOTS = 2 * MSG_CREDITS };
_Static_assert((URING_LANE_SLOTS & (URING_LANE_SLOTS - 1)) == 0, "slots are a power of two");

struct uring_lane {
    _Alignas(64) _Atomic uint32_t tail; /* The writer's: the next slot to fill. */
    _Alignas(64) _Atomic uint32_t head; /* The reader's: the next slot to empty. */
    _Alignas(64) struct msg *slots[URING_LANE_SLOTS];
};

struct uring_helpers {
    pthread_mutex_t mutex;
    pthread_cond_t work_cond;
    struct io_op *head; /* First come, first served; linked through private_[URING_OP_NEXT]. */
    struct io_op *tail;
    uint32_t waiting;
    bool is_stopping;
    uint32_t thread_count;
    pthread_t threads[URING_HELPER_THREADS];
};

struct uring_group {
    uint32_t shards;
    int data_fd; /* -1: no files. */
    bool has_ftruncate;
    struct uring **urings;
    struct uring_lane *lanes; /* [from * shards + to]; NULL for one shard. */
    size_t lanes_bytes;
    struct uring_helpers helpers;
};

#define URING_MAGIC UINT64_C(0x6f72626974757231)

struct uring {
    struct io io; /* First. */
    uint64_t magic;
    struct uring_group *group;
    struct mem_account *account;
    uint32_t id;
    bool is_enabled;
    bool has_fixed_files;
    bool warned_buffered; /* The file system takes no O_DIRECT; said once. */
    bool warned_conns;
    struct io_uring ring;
    struct uring_stats stats;

    /* The clock, read once a turn. The wall clock's distance is read again every millisecond. */
    uint64_t monotonic_us;
    uint64_t wall_read_us;
    uint64_t wall_minus_monotonic_us;

    /* Operations for which neither the queue nor the kernel had room; submitted first. */
    struct io_uring_sqe *backlog;
    uint32_t backlog_count;
    uint32_t backlog_capacity;

    /* Ended without the kernel: their done function is called by the next poll. */
    struct io_op *deferred;
    struct io_op *deferred_last;
    uint32_t closes_in_flight;

    uint16_t *fixed_free; /* A stack of free slots in the table of registered files. */
    uint32_t fixed_free_count;

    struct list conns;
    struct list conns_closed; /* Nothing in flight: on_closed is due. */
    struct list listeners;
    struct list listeners_closed;
    struct io_uring_buf_ring *recv_ring;
    uint8_t *recv_buffers;

    /* Written by other threads; on cache lines of their own. */
    int wake_fd;
    _Alignas(64) _Atomic bool is_sleeping;
    _Atomic bool is_woken;
    _Alignas(64) _Atomic(struct io_op *) helped; /* Newest first. */
};

/* An io_op's private words. */
enum {
    URING_OP_BUFFER = 0, /* Or the path. */
    URING_OP_OFFSET = 1, /* Or the second path, the new file, the argument. */
    URING_OP_SIZE = 2,   /* Or the function. */
    URING_OP_STATE = 3,  /* enum uring_op_step, flags << 8, retries << 32 */
    URING_OP_NEXT = 3,   /* While it stands in a list. */
};

enum uring_op_step {
    URING_STEP_NOP,
    URING_STEP_READ,
    URING_STEP_WRITE,
    URING_STEP_SYNC,
    URING_STEP_ALLOCATE,
    URING_STEP_TRUNCATE,
    URING_STEP_OPEN,
    URING_STEP_NAME, /* rename, link, unlink, rmdir, mkdir */
    URING_STEP_SYNC_DIR,
};

struct uring_file {
    struct io_file file; /* First. */
    int fd;
    int32_t slot; /* In the table of registered files; -1: not there. */
    uint32_t in_flight;
};

static inline struct uring *
uring_of(struct io *io)
{
    struct uring *uring = (struct uring *)io;

    ASSERT(uring->magic == URING_MAGIC);
    return uring;
}

/* uring_ring.c */

/* Room for one operation, never NULL; fill it before the next call. */
struct io_uring_sqe *uring_sqe(struct uring *uring);
static inline void
uring_sqe_tag(struct io_uring_sqe *sqe, void *object, enum uring_kind kind)
{
    sqe->user_data = (uint64_t)(uintptr_t)object | kind;
}
err_t uring_ring_setup(struct uring *uring);
void uring_ring_teardown(struct uring *uring);
void uring_wake_arm(struct uring *uring);
uint32_t uring_poll(struct io *io);
bool uring_peek(struct io *io);
void uring_submit(struct io *io);
void uring_wait(struct io *io, uint64_t deadline_us);
/* op ends with `result` in the next poll. */
void uring_defer(struct uring *uring, struct io_op *op, int64_t result);
/* Close fd without waiting; a helper thread of the kernel does it when it may take long. */
void uring_close_fd(struct uring *uring, int fd, bool may_take_long);

/* uring_files.c */
void uring_open(struct io *io, struct io_op *op, const char *path, uint32_t flags);
void uring_close(struct io *io, struct io_file *file);
void uring_read(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset,
                void *buffer, size_t size);
void uring_write(struct io *io, struct io_op *op, struct io_file *file, uint64_t offset,
                 const void *buffer, size_t size, uint32_t flags);
void uring_sync(struct io *io, struct io_op *op, struct io_file *file);
void uring_allocate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
void uring_truncate(struct io *io, struct io_op *op, struct io_file *file, uint64_t size);
void uring_rename(struct io *io, struct io_op *op, const char *from, const char *to);
void uring_unlink(struct io *io, struct io_op *op, const char *path);
void uring_link(struct io *io, struct io_op *op, const char *from, const char *to);
void uring_rmdir(struct io *io, struct io_op *op, const char *path);
void uring_mkdir(struct io *io, struct io_op *op, const char *path);
void uring_sync_dir(struct io *io, struct io_op *op, const char *path);
int uring_list(struct io *io, const char *path, void (*visit)(const char *, void *), void *arg);
int64_t uring_free_bytes(struct io *io);
void uring_op_completed(struct uring *uring, struct io_op *op, int result);

/* uring_net.c */
err_t uring_net_setup(struct uring *uring);
/* Closes what is left, without calling anybody's handlers. */
void uring_net_shutdown(struct uring *uring);
bool uring_net_is_idle(const struct uring *uring);
void uring_net_teardown(struct uring *uring);
void uring_net_completed(struct uring *uring, const struct io_uring_cqe *cqe);
/* Calls on_closed of the connections which have nothing in flight any more. */
uint32_t uring_net_reap_closed(struct uring *uring);
bool uring_net_has_closed(const struct uring *uring);
int uring_listen(struct io *io, const char *address, uint16_t port, int backlog,
                 void (*on_accept)(void *owner, struct io_conn *conn), void *owner,
                 struct io_listener **listener_out);
void uring_listener_close(struct io *io, struct io_listener *listener);
void uring_conn_start(struct io_conn *conn, const struct io_conn_handlers *handlers, void *owner);
void uring_conn_pause(struct io_conn *conn);
void uring_conn_resume(struct io_conn *conn);
void uring_conn_send(struct io_conn *conn, const void *data, size_t size);
void uring_conn_close(struct io_conn *conn);

/* uring_lanes.c */
void uring_post(struct io *io, struct msg *msg);
void uring_wake(struct io *io);
void uring_peer_wake_failed(struct uring *uring, uint32_t peer);
uint32_t uring_lanes_drain(struct uring *uring);
bool uring_lanes_are_empty(struct uring *uring);
/* False when something has arrived: do not sleep. After true, uring_sleep_end. */
bool uring_sleep_begin(struct uring *uring);
void uring_sleep_end(struct uring *uring);

/* uring_helper.c */

/* For threads about to be made: signals are for the main thread. *old is the mask to restore. */
void uring_signals_block(sigset_t *old);
err_t uring_helpers_start(struct uring_helpers *helpers);
void uring_helpers_stop(struct uring_helpers *helpers);
void uring_helper(struct io *io, struct io_op *op, void (*fn)(void *), void *arg);
uint32_t uring_helped_drain(struct uring *uring);

/* uring_clock.c */
void uring_clock_read(struct uring *uring);
/* Now, not the turn's time. */
uint64_t uring_clock_fresh_us(void);
uint64_t uring_monotonic_us(struct io *io);
uint64_t uring_wall_us(struct io *io);
void uring_random_bytes(struct io *io, void *out, size_t size);

/* uring_kernel.c */
/* Why io_uring_setup (or `call`) gave this negative errno, and what to change. */
err_t uring_kernel_refusal(const char *call, int negative_errno);
bool uring_kernel_has_op(uint32_t op);
