/* txn/api_inline.c - one shard on the thread that opened it.
 *
 * The shard's loop runs only while the application calls. What need not wait is done on the
 * application's stack, between enter and leave; anything else is given to a fiber, and the shard is
 * turned until that has ended. This is the program's side of the library, as api.c is. */
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/io/uring.h"
#include "engine/rt/shard.h"
#include "txn/api.h"

#include "engine/base/poison.h"

enum {
    POLL_TURNS_MAX = 16,
    /* Work done on the application's stack, in units of fiber_work, after which a turn is due: log
     * writes are started there, and timers looked at. About 20 us. */
    ENTER_UNITS_MAX = 200,
};

struct api_inline {
    struct mem_account *account;
    struct uring_group *group;
    struct io *io;
    struct shard *shard;
    struct fiber *worker;
    bool is_enabled;
    bool is_ending;
    struct arena arena;
    struct store_batch batch;
    uint32_t units;     /* Since the last turn. */
    uint64_t coarse_ns; /* Of the last turn: its time is the present within a tick. */
    /* The request in hand. */
    api_fn fn; /* NULL: none. */
    void *arg;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS void
worker_main(void *arg)
{
    struct api_inline *self = arg;

    while (!self->is_ending) {
        if (self->fn == NULL) {
            fiber_suspend();
            continue;
        }
        self->err = self->fn(self->arg);
        if (self->err != ERR_OK) {
            snprintf(self->message, sizeof(self->message), "%s", err_message(self->err));
        }
        self->fn = NULL;
    }
    self->worker = NULL;
}

/* ---- Turns. ---- */

static bool
turn_once(struct api_inline *self)
{
    self->units = 0;
    self->coarse_ns = uring_clock_coarse_ns();
    return shard_turn(self->shard);
}

static void
sleep_until(struct api_inline *self, uint64_t deadline_us)
{
    shard_bind(self->shard);
    self->io->ops->wait(self->io, MIN(deadline_us, shard_next_timer_us(self->shard)));
    shard_bind(NULL);
}

/* Turns the shard until the request has ended, or the worker if it is to end. */
static void
turn_until_done(struct api_inline *self)
{
    while (self->is_ending ? self->worker != NULL : self->fn != NULL) {
        bool is_runnable = turn_once(self);

        if (!is_runnable && (self->is_ending ? self->worker != NULL : self->fn != NULL)) {
            sleep_until(self, DEADLINE_NONE);
        }
    }
}

static void
worker_wake(struct api_inline *self)
{
    shard_bind(self->shard);
    fiber_wake(self->worker);
    shard_bind(NULL);
}

static err_t
request_run(struct api_inline *self, api_fn fn, void *arg)
{
    self->fn = fn;
    self->arg = arg;
    worker_wake(self);
    turn_until_done(self);
    return self->err == ERR_OK ? ERR_OK : err_set(self->err, "%s", self->message);
}

err_t
api_inline_check(const struct orbit *db)
{
    if (!pthread_equal(db->owner, pthread_self())) {
        return err_set(ERR_INVALID, "an inline database was called by another thread than the one "
                                    "that opened it");
    }
    return api_caller_check(db);
}

err_t
api_inline_call(struct orbit *db, api_fn fn, void *arg)
{
    struct api_inline *self = db->inline_;
    err_t err;

    TRY(api_inline_check(db));
    ASSERT(self->fn == NULL);
    err = request_run(self, fn, arg);
out:
    return err;
}

bool
api_inline_poll(struct orbit *db)
{
    bool is_runnable = true;

    for (uint32_t i = 0; i < POLL_TURNS_MAX && is_runnable; i++) {
        is_runnable = turn_once(db->inline_);
    }
    return is_runnable;
}

bool
api_inline_turn(struct orbit *db)
{
    return turn_once(db->inline_);
}

void
api_inline_sleep(struct orbit *db, uint64_t deadline_us)
{
    sleep_until(db->inline_, deadline_us);
}

/* ---- Without a fiber. ---- */

void
api_inline_enter(struct orbit *db, bool may_turn)
{
    struct api_inline *self = db->inline_;

    if ((may_turn && (self->units >= ENTER_UNITS_MAX || shard_is_busy(self->shard))) ||
        self->coarse_ns != uring_clock_coarse_ns()) {
        (void)turn_once(self);
    }
    shard_bind(self->shard);
    arena_reset(&self->arena);
}

void
api_inline_leave(struct orbit *db, uint32_t units)
{
    struct api_inline *self = db->inline_;

    fiber_work(units);
    self->units += units;
    shard_bind(NULL);
}

void
api_inline_bind(struct orbit *db, bool is_bound)
{
    shard_bind(is_bound ? db->inline_->shard : NULL);
}

struct arena *
api_inline_arena(struct orbit *db)
{
    return &db->inline_->arena;
}

struct store_batch *
api_inline_batch(struct orbit *db)
{
    return &db->inline_->batch;
}

uint64_t
api_inline_now_us(const struct orbit *db)
{
    struct io *io = db->inline_->io;

    return io->ops->monotonic_us(io);
}

static bool
is_durable(struct api_inline *self, lsn_t lsn)
{
    struct store *store;
    bool is_done;

    if (lsn == 0) {
        return true;
    }
    shard_bind(self->shard);
    store = store_self();
    is_done = store_durability(store) != WAL_SYNC || store_durable(store) >= lsn;
    shard_bind(NULL);
    return is_done;
}

void
api_inline_wait(struct orbit *db, lsn_t lsn)
{
    struct api_inline *self = db->inline_;

    while (!is_durable(self, lsn)) {
        if (!turn_once(self) && !is_durable(self, lsn)) {
            sleep_until(self, DEADLINE_NONE);
        }
    }
}

/* ---- Life. ---- */

/* Frees what open made, in reverse; also a part of it. */
static void
inline_free(struct api_inline *self)
{
    if (self->worker != NULL) {
        self->is_ending = true;
        worker_wake(self);
        turn_until_done(self);
    }
    if (self->is_enabled) {
        shard_bind(self->shard);
        uring_disable(self->io);
        shard_bind(NULL);
    }
    if (self->shard != NULL) {
        shard_bind(self->shard);
        arena_fini(&self->arena);
        store_batch_fini(&self->batch);
        shard_bind(NULL);
        shard_free(self->shard);
    }
    uring_group_free(&self->group);
    if (self->account != NULL) {
        mem_account_free(self->account);
    }
    MEM_FREE(MEM_SESSIONS, self);
}

static err_t
shard_make(struct api_inline *self, const char *dir)
{
    struct uring_group_options group = {.shards = 1, .data_dir = dir, .accounts = &self->account};
    struct shard_options shard = {.id = 0, .count = 1};
    err_t err;

    self->account = mem_account_new("shard 0");
    TRY(uring_group_new(&group, &self->group));
    self->io = uring_group_io(self->group, 0);
    shard.io = self->io;
    shard.account = self->account;
    self->io->ops->random_bytes(self->io, &shard.seed, sizeof(shard.seed));
    self->shard = shard_new(&shard);
    arena_init(&self->arena, MEM_SESSIONS);
    store_batch_init(&self->batch);
    shard_bind(self->shard);
    err = uring_enable(self->io);
    self->is_enabled = err == ERR_OK;
    if (err == ERR_OK) {
        self->worker = fiber_spawn("api", FIBER_FOREGROUND, FIBER_STACK_LARGE, worker_main, self);
        ASSERT(self->worker != NULL);
    }
    shard_bind(NULL);
out:
    return err;
}

err_t
api_inline_open(struct orbit *db, const char *dir, api_fn init, void *arg)
{
    struct api_inline *self = MEM_NEW(MEM_SESSIONS, struct api_inline);
    char message[ERR_MESSAGE_BYTES_MAX];
    err_t err;

    TRY(shard_make(self, dir));
    TRY(request_run(self, init, arg));
    db->inline_ = self;
    db->async = api_async_new(db);
    return ERR_OK;
out:
    snprintf(message, sizeof(message), "%s", err_message(err));
    inline_free(self);
    return err_set(err, "%s", message);
}

void
api_inline_close(struct orbit *db, api_fn fini, void *arg)
{
    api_async_drain(db);
    api_async_free(&db->async);
    (void)request_run(db->inline_, fini, arg);
    inline_free(db->inline_);
    db->inline_ = NULL;
}
