/* engine/io/uring.c - the group of a process: making, enabling and dropping the shards' rings. */
#include "engine/io/uring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/log.h"
#include "engine/io/uring_internal.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

static const struct io_ops uring_ops = {
    .open = uring_open,
    .close = uring_close,
    .read = uring_read,
    .write = uring_write,
    .sync = uring_sync,
    .allocate = uring_allocate,
    .truncate = uring_truncate,
    .rename = uring_rename,
    .link = uring_link,
    .unlink = uring_unlink,
    .rmdir = uring_rmdir,
    .mkdir = uring_mkdir,
    .sync_dir = uring_sync_dir,
    .list = uring_list,
    .free_bytes = uring_free_bytes,
    .monotonic_us = uring_monotonic_us,
    .wall_us = uring_wall_us,
    .random_bytes = uring_random_bytes,
    .helper = uring_helper,
    .post = uring_post,
    .poll = uring_poll,
    .peek = uring_peek,
    .submit = uring_submit,
    .wait = uring_wait,
    .wake = uring_wake,
    .listen = uring_listen,
    .listener_close = uring_listener_close,
    .conn_start = uring_conn_start,
    .conn_pause = uring_conn_pause,
    .conn_resume = uring_conn_resume,
    .conn_send = uring_conn_send,
    .conn_close = uring_conn_close,
};

/* How long uring_disable waits for cancelled operations. */
enum { DISABLE_WAIT_US = 5000000 };

static void
uring_free(struct uring *uring)
{
    ASSERT(!uring->is_enabled);
    mem_account_bind(uring->account);
    uring_ring_teardown(uring);
    uring_net_teardown(uring);
    mem_free(MEM_RUNTIME, uring->fixed_free, URING_FIXED_FILES * sizeof(*uring->fixed_free));
    mem_free_aligned(MEM_RUNTIME, uring, sizeof(*uring));
}

/* With the shard's account bound. */
static err_t
uring_new(struct uring_group *group, uint32_t id, struct mem_account *account)
{
    struct uring *uring = mem_alloc_aligned(MEM_RUNTIME, sizeof(*uring));
    err_t err;

    memset(uring, 0, sizeof(*uring));
    uring->io.magic = IO_MAGIC;
    uring->io.ops = &uring_ops;
    uring->magic = URING_MAGIC;
    uring->group = group;
    uring->account = account;
    uring->id = id;
    uring->wake_fd = -1;
    uring->fixed_free = mem_alloc(MEM_RUNTIME, URING_FIXED_FILES * sizeof(*uring->fixed_free));
    group->urings[id] = uring;
    uring_clock_read(uring);
    TRY(uring_ring_setup(uring));
    TRY(uring_net_setup(uring));
out:
    return err;
}

static err_t
data_dir_open(struct uring_group *group, const char *path)
{
    group->data_fd = -1;
    if (path == NULL) {
        return ERR_OK;
    }
    group->data_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (group->data_fd < 0) {
        char what[IO_PATH_BYTES_MAX];

        snprintf(what, sizeof(what), "data folder %s", path);
        return err_from_errno(-errno, what);
    }
    return ERR_OK;
}

/* Of the process: no shard's account. */
static void
lanes_new(struct uring_group *group)
{
    if (group->shards == 1) {
        return;
    }
    group->lanes_bytes = (size_t)group->shards * group->shards * sizeof(struct uring_lane);
    group->lanes = mem_alloc_aligned(MEM_RUNTIME, group->lanes_bytes);
    if (group->lanes != NULL) {
        memset(group->lanes, 0, group->lanes_bytes);
    }
}

err_t
uring_group_new(const struct uring_group_options *options, struct uring_group **group_out)
{
    struct mem_account *account = mem_account_current();
    struct uring_group *group = NULL;
    err_t err;

    ASSERT(options->shards >= 1);
    ASSERT(options->shards <= SHARDS_MAX);
    TRY(uring_kernel_check());
    mem_account_bind(NULL);
    group = MEM_NEW(MEM_RUNTIME, struct uring_group);
    group->shards = options->shards;
    group->urings = mem_zalloc(MEM_RUNTIME, group->shards * sizeof(*group->urings));
    group->has_ftruncate = uring_kernel_has_op(URING_OP_FTRUNCATE);
    lanes_new(group);
    TRY(uring_helpers_start(&group->helpers));
    TRY(data_dir_open(group, options->data_dir));
    if (group->shards > 1 && group->lanes == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory for the messages of %u shards", group->shards);
        goto out;
    }
    for (uint32_t i = 0; i < group->shards; i++) {
        mem_account_bind(options->accounts[i]);
        TRY(uring_new(group, i, options->accounts[i]));
    }
    *group_out = group;
    group = NULL;
out:
    uring_group_free(&group);
    mem_account_bind(account);
    return err;
}

void
uring_group_free(struct uring_group **group_ref)
{
    struct mem_account *account = mem_account_current();
    struct uring_group *group = *group_ref;

    if (group == NULL) {
        return;
    }
    *group_ref = NULL;
    /* First: a helper that is about to wake a shard touches its ring's object. */
    uring_helpers_stop(&group->helpers);
    for (uint32_t i = 0; i < group->shards; i++) {
        if (group->urings[i] != NULL) {
            uring_free(group->urings[i]);
        }
    }
    if (group->data_fd >= 0) {
        close(group->data_fd);
    }
    mem_account_bind(NULL);
    if (group->lanes != NULL) {
        mem_free_aligned(MEM_RUNTIME, group->lanes, group->lanes_bytes);
    }
    mem_free(MEM_RUNTIME, group->urings, group->shards * sizeof(*group->urings));
    MEM_FREE(MEM_RUNTIME, group);
    mem_account_bind(account);
}

struct io *
uring_group_io(struct uring_group *group, uint32_t shard)
{
    ASSERT(shard < group->shards);
    return &group->urings[shard]->io;
}

/* Refusals cost speed only. */
static void
fixed_files_setup(struct uring *uring)
{
    if (io_uring_register_files_sparse(&uring->ring, URING_FIXED_FILES) < 0) {
        return;
    }
    for (uint32_t i = 0; i < URING_FIXED_FILES; i++) {
        uring->fixed_free[i] = (uint16_t)(URING_FIXED_FILES - 1 - i);
    }
    uring->fixed_free_count = URING_FIXED_FILES;
}

err_t
uring_enable(struct io *io)
{
    struct uring *uring = uring_of(io);
    int result;

    ASSERT(!uring->is_enabled);
    /* liburing 2.3 declares a function for it, and does not export it. */
    result =
        io_uring_register((unsigned)uring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (result < 0) {
        return uring_kernel_refusal("io_uring_register", result);
    }
    uring->is_enabled = true;
    fixed_files_setup(uring);
    /* Spares a look-up of the descriptor a call; it works without. */
    (void)io_uring_register_ring_fd(&uring->ring);
    uring_submit(io);
    return ERR_OK;
}

void
uring_disable(struct io *io)
{
    struct uring *uring = uring_of(io);
    uint64_t deadline_us = uring_clock_fresh_us() + DISABLE_WAIT_US;

    if (!uring->is_enabled) {
        return;
    }
    uring_net_shutdown(uring);
    while (!uring_net_is_idle(uring) || uring->closes_in_flight > 0) {
        uring_wait(io, MIN(deadline_us, uring_clock_fresh_us() + 1000));
        uring_poll(io);
        if (uring_clock_fresh_us() >= deadline_us) {
            fatal("shard %u: the kernel does not end %u connections", uring->id,
                  uring->stats.connections);
        }
    }
    (void)io_uring_unregister_ring_fd(&uring->ring);
    uring->is_enabled = false;
}

void
uring_stats_get(const struct io *io, struct uring_stats *stats_out)
{
    const struct uring *uring = (const struct uring *)io;

    ASSERT(uring->magic == URING_MAGIC);
    *stats_out = uring->stats;
}
