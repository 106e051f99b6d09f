/* tests/sim/waiting.c - see waiting.h. */
#include "tests/sim/waiting.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/store.h"

enum {
    TICKET_INDEX_BITS = 8,
    START_MS = 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    QUIET_US = 20 * 1000 * 1000, /* Above all that a message or a stall may take. */
};

enum waiting_place {
    PLACE_REGISTERED = 1 << 0,
    PLACE_WOKEN = 1 << 1,     /* Since the present run began, */
    PLACE_ANSWERING = 1 << 2, /* and before it. */
};

uint64_t
waiting_now_ms(void)
{
    return START_MS + shard_now_us() / 1000;
}

void
waiting_init(struct waiting *waiting, struct run *run, uint32_t index, uint32_t shard)
{
    memset(waiting, 0, sizeof(*waiting));
    waiting->run = run;
    waiting->index = index;
    waiting->shard = shard;
    cond_init(&waiting->cond);
}

void
waiting_fini(struct waiting *waiting)
{
    ASSERT(waiting->ticket == 0);
    free(waiting->answer);
    waiting->answer = NULL;
}

/* ---- One run of the command ---- */

struct call {
    struct waiting *waiting;
    struct kv_request request;
    struct kv_block *block;
};

/* Where the keys are. The answer is plain memory, which belongs to no shard. */
static YIELDS void
run_here(void *arg)
{
    struct call *call = arg;
    struct kv_request *request = &call->request;
    struct arena arena;
    struct reply reply;

    kv_block_adopt(call->block);
    arena_init(&arena, MEM_SESSIONS);
    reply_init(&reply, 2);
    request->arena = &arena;
    request->reply = &reply;
    kv_execute(request);
    if (call->waiting->is_sync && request->lsn != 0) {
        store_wait_durable(store_self(), request->lsn);
    }
    free(call->waiting->answer);
    call->waiting->answer = malloc(reply.buf.size + 1);
    ASSERT(call->waiting->answer != NULL);
    if (reply.buf.size > 0) {
        memcpy(call->waiting->answer, reply.buf.data, reply.buf.size);
    }
    call->waiting->answer[reply.buf.size] = '\0';
    reply_fini(&reply);
    arena_fini(&arena);
    kv_block_disown(call->block);
}

static YIELDS void
run_once(struct waiting *waiting, struct kv_block *block)
{
    struct call call = {.waiting = waiting, .block = block};
    uint32_t shard = shard_id();

    waiting->now_ms = waiting_now_ms();
    call.request = (struct kv_request){
        .command = command_resolve(waiting->argv, waiting->argc),
        .argv = waiting->argv,
        .argc = waiting->argc,
        .block = block,
        .now_ms = waiting->now_ms,
    };
    if (kv_route(call.request.command, waiting->argv, waiting->argc, &shard) != KV_ROUTE_SHARD) {
        shard = shard_id();
    }
    kv_block_disown(block);
    msg_call(shard, MSG_FIBER, run_here, &call);
    kv_block_adopt(block);
}

/* ---- Waiting ---- */

/* As kv_block_wake_fn. */
static void
wake_hear(void *arg, uint64_t ticket, uint32_t from)
{
    const struct waiting_clients *clients = arg;
    uint32_t index = (uint32_t)(ticket & ((1U << TICKET_INDEX_BITS) - 1));
    struct waiting *waiting;

    ASSERT(index < clients->count);
    waiting = &clients->at[index];
    if (waiting->ticket != ticket) {
        return; /* It has left, and says so to that shard. */
    }
    ASSERT(waiting->shard == shard_id());
    waiting->at_shard[from] |= PLACE_WOKEN;
    waiting->is_woken = true;
    cond_signal(&waiting->cond);
}

void
waiting_leave(struct waiting *waiting)
{
    waiting->is_leaving = true;
    cond_signal(&waiting->cond);
}

static YIELDS void
wait_begin(struct waiting *waiting, struct kv_block *block)
{
    bool is_there[SHARDS_MAX] = {false};
    struct kv_request request = {.argv = waiting->argv, .argc = waiting->argc};
    err_t err;

    waiting->ticket = (uint64_t)++waiting->waits << TICKET_INDEX_BITS | waiting->index;
    block->shard = shard_id();
    block->ticket = waiting->ticket;
    memset(waiting->at_shard, 0, sizeof(waiting->at_shard));
    err = kv_block_register(&request, block, is_there);
    RUN_CHECK(waiting->run, err == ERR_OK, "kv_block_register: %s", err_message(err));
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        waiting->at_shard[shard] |= is_there[shard] ? PLACE_REGISTERED : 0;
    }
}

static void
wait_end(struct waiting *waiting)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if ((waiting->at_shard[shard] & PLACE_REGISTERED) != 0) {
            kv_block_leave(kv_self(), shard, waiting->ticket);
        }
    }
    waiting->ticket = 0;
}

/* A run begins: what changes from now on it may not see. */
static void
run_begin(struct waiting *waiting)
{
    waiting->is_woken = false;
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if ((waiting->at_shard[shard] & PLACE_WOKEN) != 0) {
            waiting->at_shard[shard] &= (uint8_t)~PLACE_WOKEN;
            waiting->at_shard[shard] |= PLACE_ANSWERING;
        }
    }
}

static void
run_found_nothing(struct waiting *waiting)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if ((waiting->at_shard[shard] & PLACE_ANSWERING) != 0) {
            waiting->at_shard[shard] &= (uint8_t)~PLACE_ANSWERING;
            kv_block_done(kv_self(), shard, waiting->ticket);
        }
    }
}

static bool
has_ended(const struct waiting *waiting, const struct kv_block *block)
{
    return waiting->is_leaving || shard_now_us() >= block->wait.deadline_us;
}

/* False: it leaves, or its time has come; nothing was taken. */
static YIELDS bool
wait_for_answer(struct waiting *waiting, struct kv_block *block)
{
    for (;;) {
        run_begin(waiting);
        block->is_asked = false;
        run_once(waiting, block);
        if (!block->is_asked) {
            return true;
        }
        run_found_nothing(waiting);
        waiting->is_parked = true;
        while (!waiting->is_woken && !has_ended(waiting, block)) {
            (void)cond_wait_until(&waiting->cond, block->wait.deadline_us);
        }
        waiting->is_parked = false;
        SOMETIMES_IF(waiting->is_woken && has_ended(waiting, block),
                     "waiting: one that was woken went without running again");
        if (has_ended(waiting, block)) {
            return false;
        }
    }
}

static void
words_split(struct waiting *waiting)
{
    waiting->argc = 0;
    for (char *save, *word = strtok_r(waiting->words, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        ASSERT(waiting->argc < WAITING_WORDS_MAX);
        waiting->argv[waiting->argc++] = slice_from_text(word);
    }
}

const char *
waiting_call(struct waiting *waiting, bool may_wait, const char *format, ...)
{
    struct kv_block block = {.wait = {.deadline_us = DEADLINE_NONE}};
    bool is_answered = true;
    va_list args;

    va_start(args, format);
    vsnprintf(waiting->words, sizeof(waiting->words), format, args);
    va_end(args);
    words_split(waiting);
    buf_init(&block.state, MEM_SESSIONS);
    run_once(waiting, may_wait ? &block : NULL);
    if (block.is_asked) {
        wait_begin(waiting, &block);
        is_answered = wait_for_answer(waiting, &block);
        wait_end(waiting);
    }
    buf_fini(&block.state);
    waiting->run->operations++;
    if (!is_answered && !waiting->is_leaving) {
        free(waiting->answer);
        waiting->answer = strdup("*-1\r\n");
    }
    return is_answered || !waiting->is_leaving ? waiting->answer : NULL;
}

/* ---- Shards ---- */

static struct {
    const struct store_options *options;
    struct waiting_clients *clients;
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
    struct kv *kvs[SIM_SHARDS_MAX];
} shards;

static err_t
open_store(void *arg)
{
    struct store_options options = *shards.options;
    char dir[32];

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    return store_open(&options, &shards.stores[shard_id()]);
}

static err_t
open_txns(void *arg)
{
    (void)arg;
    return txns_open(&shards.txns[shard_id()]);
}

static err_t
open_kv(void *arg)
{
    const struct kv_config config = {
        .databases = 1, .string_bytes_max = 1 << 20, .active_expire = true, .hz = 10};
    err_t err = kv_open(&config, &shards.kvs[shard_id()]);

    (void)arg;
    if (err == ERR_OK) {
        kv_block_on_wake(shards.kvs[shard_id()], wake_hear, shards.clients);
    }
    return err;
}

static err_t
close_kv(void *arg)
{
    (void)arg;
    kv_close(&shards.kvs[shard_id()]);
    return ERR_OK;
}

static err_t
close_txns(void *arg)
{
    (void)arg;
    txns_close(&shards.txns[shard_id()]);
    return ERR_OK;
}

static err_t
close_store(void *arg)
{
    (void)arg;
    store_close(&shards.stores[shard_id()]);
    return ERR_OK;
}

void
waiting_options_draw(struct run *run, struct store_options *options)
{
    struct lsm_options *lsm = &options->lsm;

    options->wal_segment_bytes = UINT64_C(256 << 10) << run_below(run, 3);
    options->memory_bytes = 4 << 20;
    lsm->memtable_bytes = run_between(run, 8 << 10, 200 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 4);
    lsm->cache_bytes = run_between(run, 32 << 10, 512 << 10);
}

void
waiting_start(struct run *run, const struct store_options *options, struct waiting_clients *clients)
{
    err_t err;

    shards.options = options;
    shards.clients = clients;
    run_start(run, open_store, NULL);
    err = sim_world_call_all(run->world, open_txns, NULL);
    RUN_CHECK(run, err == ERR_OK, "txns_open: %s", err_message(err));
    err = sim_world_call_all(run->world, open_kv, NULL);
    RUN_CHECK(run, err == ERR_OK, "kv_open: %s", err_message(err));
}

void
waiting_stop(struct run *run)
{
    RUN_CHECK(run, sim_world_call_all(run->world, close_kv, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_txns, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

/* ---- All clients ---- */

static bool
all_wait(void *arg)
{
    const struct waiting_clients *clients = arg;

    for (uint32_t i = clients->producers; i < clients->count; i++) {
        if (!clients->at[i].is_parked || clients->at[i].is_woken) {
            return false;
        }
    }
    return clients->running == clients->count - clients->producers;
}

static bool
none_runs(void *arg)
{
    const struct waiting_clients *clients = arg;

    return clients->running == 0;
}

static err_t
leave_here(void *arg)
{
    const struct waiting_clients *clients = arg;

    for (uint32_t i = 0; i < clients->count; i++) {
        if (clients->at[i].shard == shard_id()) {
            waiting_leave(&clients->at[i]);
        }
    }
    return ERR_OK;
}

void
waiting_all_wait(struct run *run, struct waiting_clients *clients)
{
    run_until(run, all_wait, clients, DRAIN_US, "everybody to wait");
    RUN_CHECK(run, run_for(run, QUIET_US), "fatal: %s", sim_world_fatal_message(run->world));
}

void
waiting_all_leave(struct run *run, struct waiting_clients *clients)
{
    RUN_CHECK(run, sim_world_call_all(run->world, leave_here, clients) == ERR_OK, "release");
    run_until(run, none_runs, clients, DRAIN_US, "the clients to end");
}
