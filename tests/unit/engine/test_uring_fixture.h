/* tests/unit/engine/test_uring_fixture.h - one shard with the production io, turned by the test's
 * own thread, and its data in a fresh folder. */
#pragma once

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "engine/io/uring.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"

struct uring_world {
    char dir[64];
    struct mem_account *account;
    struct uring_group *group;
    struct io *io;
    struct shard *shard;
};

static inline void
uring_dir_make(char *dir, size_t size)
{
    snprintf(dir, size, "/var/tmp/orbit-uring-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}

static inline int
uring_dir_remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw)
{
    (void)status;
    (void)type;
    (void)ftw;
    return remove(path);
}

static inline void
uring_dir_remove(const char *path)
{
    nftw(path, uring_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void
uring_world_open(struct uring_world *world)
{
    struct uring_group_options options = {.shards = 1};
    struct shard_options shard = {.count = 1, .seed = 1};

    memset(world, 0, sizeof(*world));
    uring_dir_make(world->dir, sizeof(world->dir));
    world->account = mem_account_new("test");
    options.data_dir = world->dir;
    options.accounts = &world->account;
    cr_assert_eq(uring_group_new(&options, &world->group), ERR_OK, "%s", err_message(ERR_KERNEL));
    world->io = uring_group_io(world->group, 0);
    shard.io = world->io;
    shard.account = world->account;
    world->shard = shard_new(&shard);
    cr_assert_eq(uring_enable(world->io), ERR_OK);
}

static inline void
uring_world_close(struct uring_world *world)
{
    shard_bind(world->shard);
    uring_disable(world->io);
    shard_bind(NULL);
    shard_free(world->shard);
    uring_group_free(&world->group);
    mem_account_free(world->account);
    uring_dir_remove(world->dir);
}

struct uring_world_body {
    void (*fn)(void *arg);
    void *arg;
    bool is_done;
};

static inline void
uring_world_fiber(void *arg)
{
    struct uring_world_body *body = arg;

    body->fn(body->arg);
    body->is_done = true;
}

/* fn(arg) in a fiber; returns when it has ended. */
static inline void
uring_world_run(struct uring_world *world, void (*fn)(void *arg), void *arg)
{
    struct uring_world_body body = {.fn = fn, .arg = arg};

    shard_bind(world->shard);
    cr_assert_not_null(
        fiber_spawn("test", FIBER_FOREGROUND, FIBER_STACK_LARGE, uring_world_fiber, &body));
    while (!body.is_done) {
        if (!shard_turn(world->shard) && !body.is_done) {
            world->io->ops->wait(world->io, shard_next_timer_us(world->shard));
        }
        shard_bind(world->shard);
    }
    shard_bind(NULL);
}
