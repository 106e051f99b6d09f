/* engine/io/uring.h - the production io: one io_uring a shard.
 *
 * A process makes one group for its shards: it holds what they share, the message rings between
 * them and the helper threads. Everything is made by the starting thread, so that a refusal is
 * reported before any shard runs; the ring then belongs to the thread which calls uring_enable.
 * Usually engine/io/runtime.h does all of this. Theory and limits: engine/README.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"

struct io;
struct uring_group; /* Opaque. */

enum {
    URING_SQ_ENTRIES = 1024,         /* Operations a turn before an extra submission. */
    URING_CQ_ENTRIES = 8192,         /* Beyond it the kernel keeps completions in a list. */
    URING_RECV_BUFFERS = 256,        /* Provided buffers of a shard's connections. */
    URING_RECV_BUFFER_BYTES = 16384, /* Each; 4 MiB a shard in all. */
    URING_CONNS_MAX = 65536,         /* A shard's connections; a further one is closed. */
    URING_FIXED_FILES = 4096,        /* Registered files; a further one works unregistered. */
    URING_HELPER_THREADS = 2,        /* A process. */
    URING_HELPER_QUEUE_MAX = 65536,  /* Waiting helper calls; beyond it -EAGAIN. */
    URING_ACCEPT_PAUSE_US = 100000,  /* After running out of descriptors. */
    URING_SEND_BYTES_MAX = 1 << 30,  /* One send operation; the rest follows in the next. */
    URING_KERNEL_MAJOR = 6,          /* The oldest kernel: DEFER_TASKRUN came with it. */
    URING_KERNEL_MINOR = 1,
};

struct uring_group_options {
    uint32_t shards;               /* 1..SHARDS_MAX */
    const char *data_dir;          /* What paths are relative to; must exist. NULL: no files. */
    struct mem_account **accounts; /* One a shard, borrowed; what its io allocates goes there. */
};

/* Can this kernel, as it is configured, run a shard? Makes a small ring and drops it.
 * Errors  ERR_KERNEL: the message names what to change (kernel, sysctl, container profile,
 *         memlock limit). */
err_t uring_kernel_check(void);

/* Includes the kernel check.
 * Errors  ERR_KERNEL as above; ERR_NOT_FOUND and ERR_IO for the data folder. */
err_t uring_group_new(const struct uring_group_options *options, struct uring_group **group_out);
/* Every shard must have called uring_disable. Harmless on NULL; clears the pointer. */
void uring_group_free(struct uring_group **group);

/* Borrowed; lives as long as the group. */
struct io *uring_group_io(struct uring_group *group, uint32_t shard);

/* Makes the calling thread the owner of this shard's ring: afterwards only that thread may use
 * the io (`wake` excepted). Errors: ERR_KERNEL. */
err_t uring_enable(struct io *io);
/* By the owner, before it leaves: cancels what is left of the network and closes it. No file
 * operation may be in flight. */
void uring_disable(struct io *io);

/* Several shards share a port by SO_REUSEPORT, which would also let a second server in. Asks
 * whether somebody listens there already, before the first shard does.
 * Errors  ERR_BUSY     the port is in use; the message names address and port.
 *         ERR_INVALID  not a numeric address.
 *         ERR_DENIED   a privileged port.
 *         ERR_IO       anything else, such as an address this machine does not have. */
err_t uring_port_check(const char *address, uint16_t port);

/* Nanoseconds of a clock that moves every few milliseconds and costs next to nothing to read: to
 * notice that time has passed, for who turns a shard from outside. Anywhere. */
uint64_t uring_clock_coarse_ns(void);

/* Counters of one shard's ring; read by its owner. */
struct uring_stats {
    uint64_t enters;          /* io_uring_enter calls. */
    uint64_t submissions;     /* Operations handed to the kernel. */
    uint64_t completions;     /* Reaped. */
    uint64_t wakeups_sent;    /* Sleeping peers that were woken. */
    uint64_t recv_starved;    /* Receives that found no provided buffer. */
    uint64_t sq_full;         /* Extra submissions because the queue was full. */
    uint64_t cq_overflows;    /* Times the kernel had to keep completions in a list. */
    uint64_t short_transfers; /* Retried. */
    uint32_t connections;
};
void uring_stats_get(const struct io *io, struct uring_stats *stats_out);
