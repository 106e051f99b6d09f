/* txn/api_async.c - operations under way on one thread.
 *
 *     start --- answered from memory, or appended --+--> unsynced --> ended --> done
 *        |                                          |    (until durable)
 *        +--> a fiber reads from disk --------------+
 *        +--> queued --> one fiber, in order -------+
 *
 * A write that finds room is applied by the function that starts it, so a group of them shares one
 * log write. As soon as one has to wait for room, those behind it queue up: writes keep their
 * order. Positions in `unsynced` do not fall, so the durable position ends a run from the front. */
#include "engine/base/assert.h"
#include "engine/base/list.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "txn/api_txn.h"

#include "engine/base/poison.h"

#define TASK_MAGIC UINT64_C(0x6f72626974746b31)

/* One operation. The objects are kept, and with them a little memory for small values. */
struct api_task {
    uint64_t magic;
    struct list link; /* In one of the lists below, but while a fiber reads. */
    struct api_async *async;
    struct orbit_op *op;
    struct slice key;       /* Of a read; in the arena. */
    struct api_write write; /* Borrowed from the caller until done. */
    struct api_run *run;    /* In the arena; NULL: no transaction. */
    lsn_t lsn;
    err_t err;
    const char *message; /* With an error; in the arena. NULL: the default text. */
    struct slice value;  /* In the arena. */
    struct arena arena;
};

struct api_async {
    struct orbit *db;
    uint32_t under_way;
    uint32_t ended_count;
    struct list idle;
    struct list queued; /* Writes, in the order in which they were started. */
    struct list unsynced;
    struct list ended;
    struct fiber *writer; /* While `queued` has something. */
};

struct api_async *
api_async_new(struct orbit *db)
{
    struct api_async *async = MEM_NEW(MEM_SESSIONS, struct api_async);

    async->db = db;
    list_init(&async->idle);
    list_init(&async->queued);
    list_init(&async->unsynced);
    list_init(&async->ended);
    return async;
}

/* ---- Tasks. In the shard's account. ---- */

static struct api_task *
task_take(struct api_async *async, struct orbit_op *op)
{
    struct list *link = list_pop_front(&async->idle);
    struct api_task *task;

    if (link != NULL) {
        task = LIST_ENTRY(link, struct api_task, link);
    } else {
        task = MEM_NEW(MEM_SESSIONS, struct api_task);
        task->magic = TASK_MAGIC;
        task->async = async;
        list_init(&task->link);
        arena_init(&task->arena, MEM_SESSIONS);
    }
    task->op = op;
    task->lsn = 0;
    task->err = ERR_OK;
    task->message = NULL;
    task->run = NULL;
    task->value = slice_of(NULL, 0);
    async->under_way++;
    return task;
}

static void
task_give(struct api_async *async, struct api_task *task)
{
    arena_reset(&task->arena);
    list_push_front(&async->idle, &task->link); /* The warmest first. */
    async->under_way--;
}

static void
task_end(struct api_async *async, struct api_task *task)
{
    list_push_back(&async->ended, &task->link);
    async->ended_count++;
}

/* What it came to is known. With an error the diagnostic is still that of this fiber or thread. */
static void
task_settle(struct api_task *task, err_t err)
{
    struct api_async *async = task->async;
    struct store *store = store_self();

    task->err = err;
    if (err != ERR_OK && err != ERR_NOT_FOUND) {
        task->message = arena_printf(&task->arena, "%s", err_message(err));
    }
    if (task->lsn <= store_durable(store) || store_durability(store) != WAL_SYNC) {
        task_end(async, task);
        return;
    }
    if (!list_is_empty(&async->unsynced)) {
        const struct api_task *last = LIST_ENTRY(async->unsynced.previous, struct api_task, link);

        task->lsn = MAX(task->lsn, last->lsn);
    }
    list_push_back(&async->unsynced, &task->link);
}

static void
task_found(struct api_task *task, const struct lsm_value *value)
{
    task->lsn = value->lsn; /* Also of a delete: what was shown must not be undone. */
    task->value = value->value;
    task_settle(task, value->is_found ? ERR_OK : ERR_NOT_FOUND);
}

/* ---- Reading. ---- */

static YIELDS void
read_main(void *arg)
{
    struct api_task *task = arg;
    struct lsm_value value = {0};
    err_t err = api_read(task->key, &task->arena, &value);

    OBJ_CHECK(task, TASK_MAGIC);
    if (err == ERR_OK) {
        task_found(task, &value);
    } else {
        task_settle(task, err);
    }
}

static err_t
read_start(struct api_async *async, struct orbit_op *op, struct slice key)
{
    struct api_task *task = task_take(async, op);
    struct lsm_value value = {0};
    bool is_answered = false;
    err_t err = ERR_OK;

    if (api_is_quiet()) {
        err = store_try_get(store_self(), api_key_encode(&task->arena, API_KEYSPACE, key),
                            &task->arena, &value, &is_answered);
    }
    if (!is_answered) {
        task->key = arena_copy(&task->arena, key);
    }
    if (err != ERR_OK) {
        task_settle(task, err);
    } else if (is_answered) {
        task_found(task, &value);
    } else if (fiber_spawn("get", FIBER_FOREGROUND, FIBER_STACK_SMALL, read_main, task) == NULL) {
        task_give(async, task);
        return err_set(ERR_NO_MEMORY, "no stack for one more read");
    }
    return ERR_OK;
}

/* ---- Writing. ---- */

static YIELDS void
writer_main(void *arg)
{
    struct api_async *async = arg;

    while (!list_is_empty(&async->queued)) {
        struct api_task *task = LIST_ENTRY(async->queued.next, struct api_task, link);
        err_t err = api_write_commit(&task->write, &task->lsn);

        list_remove(&task->link);
        task_settle(task, err);
    }
    async->writer = NULL;
}

static err_t
write_start(struct api_async *async, struct orbit_op *op, const struct api_write *write)
{
    struct api_task *task = task_take(async, op);
    struct store_batch *batch = api_inline_batch(async->db);
    bool is_first = list_is_empty(&async->queued);

    if (is_first) {
        api_write_encode(write, batch, &task->arena);
        if (api_is_quiet() && store_commit_is_immediate(store_self(), batch)) {
            task_settle(task, store_commit(store_self(), batch, NULL, &task->lsn));
            return ERR_OK;
        }
        async->writer = fiber_spawn("put", FIBER_FOREGROUND, FIBER_STACK_SMALL, writer_main, async);
        if (async->writer == NULL) {
            task_give(async, task);
            return err_set(ERR_NO_MEMORY, "no stack for a write that must wait");
        }
    }
    task->write = *write;
    list_push_back(&async->queued, &task->link);
    return ERR_OK;
}

/* ---- Transactions. ---- */

static YIELDS void
run_main(void *arg)
{
    struct api_task *task = arg;
    err_t err = api_run_main(task->run);

    OBJ_CHECK(task, TASK_MAGIC);
    task->lsn = task->run->done.lsn;
    task_settle(task, err);
}

static err_t
run_start(struct api_async *async, struct orbit_op *op, const struct api_run *run)
{
    struct api_task *task = task_take(async, op);

    task->run = arena_alloc(&task->arena, sizeof(*run));
    *task->run = *run;
    if (fiber_spawn("txn", FIBER_FOREGROUND, FIBER_STACK_SMALL, run_main, task) == NULL) {
        task_give(async, task);
        return err_set(ERR_NO_MEMORY, "no stack for one more transaction");
    }
    return ERR_OK;
}

/* ---- Ending. ---- */

static void
sync_look(struct api_async *async)
{
    lsn_t durable;

    if (list_is_empty(&async->unsynced)) {
        return;
    }
    durable = store_durable(store_self());
    while (!list_is_empty(&async->unsynced)) {
        struct api_task *task = LIST_ENTRY(async->unsynced.next, struct api_task, link);

        if (task->lsn > durable) {
            break;
        }
        list_remove(&task->link);
        task_end(async, task);
    }
}

static void
task_deliver(struct api_task *task)
{
    struct orbit_op *op = task->op;

    OBJ_CHECK(task, TASK_MAGIC);
    op->error = api_result(task->err == ERR_OK || task->message == NULL
                               ? task->err
                               : err_set(task->err, "%s", task->message));
    if (task->run != NULL && task->run->code != 0) {
        op->error = task->run->code;
    }
    op->value = task->err == ERR_OK ? task->value.data : NULL;
    op->value_size = task->err == ERR_OK ? task->value.size : 0;
    op->done(op);
}

/* Those that end while it works wait for the next call, so that a done function which starts
 * operations does not keep it here for ever. */
size_t
api_async_deliver(struct orbit *db)
{
    struct api_async *async = db->async;
    size_t delivered = 0;

    if (async->under_way == 0) {
        return 0;
    }
    api_inline_bind(db, true);
    sync_look(async);
    api_inline_bind(db, false);
    for (uint32_t left = async->ended_count; left > 0 && !list_is_empty(&async->ended); left--) {
        struct api_task *task = LIST_ENTRY(async->ended.next, struct api_task, link);

        list_remove(&task->link);
        async->ended_count--;
        task_deliver(task);
        api_inline_bind(db, true);
        task_give(async, task);
        api_inline_bind(db, false);
        delivered++;
    }
    return delivered;
}

bool
api_async_has_queued(const struct orbit *db)
{
    return !list_is_empty(&db->async->queued);
}

void
api_async_flush(struct orbit *db)
{
    while (api_async_has_queued(db)) {
        if (!api_inline_turn(db) && api_async_has_queued(db)) {
            api_inline_sleep(db, DEADLINE_NONE);
        }
    }
}

static size_t
wait_until(struct orbit *db, uint64_t timeout_us)
{
    size_t delivered = api_async_deliver(db);
    uint64_t deadline_us = 0;

    while (delivered == 0 && db->async->under_way > 0) {
        bool is_runnable = api_inline_turn(db);

        if (deadline_us == 0) {
            uint64_t now_us = api_inline_now_us(db);

            deadline_us = timeout_us < DEADLINE_NONE - now_us ? now_us + timeout_us : DEADLINE_NONE;
        }
        delivered = api_async_deliver(db);
        if (delivered > 0 || api_inline_now_us(db) >= deadline_us) {
            break;
        }
        if (!is_runnable) {
            api_inline_sleep(db, deadline_us);
        }
    }
    return delivered;
}

void
api_async_drain(struct orbit *db)
{
    while (db->async->under_way > 0) {
        (void)wait_until(db, DEADLINE_NONE);
    }
}

void
api_async_free(struct api_async **async_ref)
{
    struct api_async *async = *async_ref;
    struct list *link;

    *async_ref = NULL;
    if (async == NULL) {
        return;
    }
    ASSERT(async->under_way == 0);
    ASSERT(async->writer == NULL);
    api_inline_bind(async->db, true);
    while ((link = list_pop_front(&async->idle)) != NULL) {
        struct api_task *task = LIST_ENTRY(link, struct api_task, link);

        arena_fini(&task->arena);
        task->magic = 0;
        MEM_FREE(MEM_SESSIONS, task);
    }
    api_inline_bind(async->db, false);
    MEM_FREE(MEM_SESSIONS, async);
}

/* ---- The public functions. ---- */

static err_t
start_check(struct orbit *db, const struct orbit_op *op)
{
    err_t err;

    OBJ_CHECK(db, API_MAGIC);
    if (db->mode != ORBIT_INLINE) {
        return err_set(ERR_INVALID, "operations are started in ORBIT_INLINE only; with threads, "
                                    "call from several threads, or use orbit_get_many");
    }
    TRY(api_inline_check(db));
    if (op->done == NULL) {
        return err_set(ERR_INVALID, "an operation has no function to be called when it ends");
    }
    if (db->async->under_way == ORBIT_OPS_MAX) {
        return err_set(ERR_LIMIT, "%d operations are under way already", ORBIT_OPS_MAX);
    }
    err = ERR_OK;
out:
    return err;
}

int
orbit_get_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size)
{
    err_t err;

    TRY(start_check(db, op));
    TRY(api_key_check(key, key_size));
    api_inline_enter(db, false);
    err = read_start(db->async, op, slice_of(key, key_size));
    api_inline_leave(db, API_GET_UNITS);
out:
    return api_result(err);
}

static err_t
write_begin(struct orbit *db, struct orbit_op *op, const struct api_write *write)
{
    err_t err;

    api_inline_enter(db, false);
    err = write_start(db->async, op, write);
    api_inline_leave(db, API_PUT_UNITS);
    return err;
}

int
orbit_put_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size,
                const void *value, size_t value_size, uint64_t expire_ms)
{
    struct api_write write = {
        .key = slice_of(key, key_size),
        .value = slice_of(value, value_size),
        .expire_us = expire_ms * 1000,
    };
    err_t err;

    TRY(start_check(db, op));
    TRY(api_put_check(key, key_size, value, value_size, expire_ms));
    TRY(write_begin(db, op, &write));
out:
    return api_result(err);
}

int
orbit_delete_start(struct orbit *db, struct orbit_op *op, const void *key, size_t key_size)
{
    struct api_write write = {.key = slice_of(key, key_size), .is_delete = true};
    err_t err;

    TRY(start_check(db, op));
    TRY(api_key_check(key, key_size));
    TRY(write_begin(db, op, &write));
out:
    return api_result(err);
}

int
orbit_txn_run_start(struct orbit *db, struct orbit_op *op, const struct orbit_run_options *options,
                    orbit_txn_fn fn, void *arg)
{
    struct api_run run;
    err_t err;

    TRY(start_check(db, op));
    TRY(api_run_init(&run, db, options, fn, arg));
    api_inline_enter(db, false);
    err = run_start(db->async, op, &run);
    api_inline_leave(db, API_RUN_UNITS);
out:
    return api_result(err);
}

size_t
orbit_wait(struct orbit *db, uint64_t timeout_us)
{
    OBJ_CHECK(db, API_MAGIC);
    if (db->mode != ORBIT_INLINE || api_inline_check(db) != ERR_OK) {
        return 0;
    }
    return wait_until(db, timeout_us);
}

bool
orbit_poll(struct orbit *db)
{
    bool is_runnable;

    OBJ_CHECK(db, API_MAGIC);
    if (db->mode != ORBIT_INLINE || api_inline_check(db) != ERR_OK) {
        return false;
    }
    is_runnable = api_inline_poll(db);
    (void)api_async_deliver(db);
    return is_runnable || db->async->ended_count > 0;
}
