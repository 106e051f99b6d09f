/* models/kv/exec.c - opening the model on a shard, and running one command under its latches. */
#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "models/kv/databases.h"
#include "models/kv/internal.h"
#include "models/script/script.h"
#include "txn/clock.h"

#include "engine/base/poison.h"

enum { BACK_OFF_DOUBLINGS = 8 };

/* ---- Open and close ---- */

const struct kv_encoding_limits kv_encoding_limits_default = {
    .set_intset = 512,
    .set_listpack = 128,
    .set_listpack_value = 64,
    .hash_listpack = 128,
    .hash_listpack_value = 64,
    .zset_listpack = 128,
    .zset_listpack_value = 64,
    .list_listpack = -2,
    .hll_sparse_bytes = 3000,
    .stream_node_bytes = 4096,
    .stream_node_entries = 100,
};

static struct kv *
kv_new(const struct kv_config *config)
{
    struct kv *kv = MEM_NEW(MEM_RUNTIME, struct kv);

    ASSERT(config->databases > 0);
    ASSERT(config->databases <= KV_DATABASES_MAX);
    kv->magic = KV_MAGIC;
    kv->store = store_self();
    kv->config = *config;
    if (memcmp(&config->limits, &(struct kv_encoding_limits){0}, sizeof(config->limits)) == 0) {
        kv->config.limits = kv_encoding_limits_default;
    }
    kv->access = kv_access_new();
    for (uint32_t i = 0; i < KV_LATCH_BUCKETS; i++) {
        list_init(&kv->latches[i]);
    }
    list_init(&kv->change_listeners);
    cond_init(&kv->gate_cond);
    cond_init(&kv->background_cond);
    fiber_group_init(&kv->background);
    return kv;
}

static void
kv_free(struct kv *kv)
{
    kv_access_free(&kv->access);
    MEM_FREE(MEM_RUNTIME, kv);
}

err_t
kv_open(const struct kv_config *config, struct kv **kv_out)
{
    struct kv *kv = kv_new(config);
    err_t err;

    TRY(kv_databases_load(kv->keyspaces));
    TRY(kv_blocks_new(kv, &kv->blocks));
    if (!fiber_group_spawn(&kv->background, "kv-expire", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           kv_expire_fiber, kv)) {
        TRY(err_set(ERR_LIMIT, "no fiber for active expiry"));
    }
    shard_slot_set(SHARD_SLOT_KV, kv);
    *kv_out = kv;
    return ERR_OK;
out:
    kv_blocks_free(&kv->blocks);
    kv_free(kv);
    return err;
}

void
kv_close(struct kv **kv)
{
    if (*kv == NULL) {
        return;
    }
    OBJ_CHECK(*kv, KV_MAGIC);
    (*kv)->is_closing = true;
    cond_broadcast(&(*kv)->background_cond);
    fiber_group_wait(&(*kv)->background);
    ASSERT((*kv)->shared_holders == 0);
    shard_slot_set(SHARD_SLOT_KV, NULL);
    kv_blocks_free(&(*kv)->blocks);
    scripts_free(&(*kv)->scripts);
    kv_free(*kv);
    *kv = NULL;
}

struct kv *
kv_self(void)
{
    struct kv *kv = shard_slot_get(SHARD_SLOT_KV);

    OBJ_CHECK(kv, KV_MAGIC);
    return kv;
}

struct kv_config *
kv_config(struct kv *kv)
{
    return &kv->config;
}

void
kv_pause_expiry(struct kv *kv, uint64_t until_us)
{
    kv->expire_paused_until_us = until_us;
}

void
kv_stats_get(struct kv *kv, struct kv_stats *stats_out)
{
    *stats_out = kv->stats;
    stats_out->memory_counted = kv_memory_counted(kv);
    for (uint32_t db = 0; db < kv->config.databases; db++) {
        uint32_t keyspace = kv->keyspaces[db];

        stats_out->keys[db] = store_counter(kv->store, kv_counter_keys(keyspace));
        stats_out->expires[db] = store_counter(kv->store, kv_counter_expires(keyspace));
    }
}

void
kv_stats_reset(struct kv *kv)
{
    kv->stats = (struct kv_stats){0};
}

/* ---- What surrounds a command ---- */

void
kv_back_off(uint32_t attempt)
{
    uint64_t most_us = UINT64_C(20) << MIN(attempt, (uint32_t)BACK_OFF_DOUBLINGS);

    /* A client that went away cancels its command's fiber: the loop above is bounded. */
    (void)fiber_sleep_us(prng_below(shard_prng(), most_us + 1));
}

/* Active expiry begins its rounds where something may be due: until the commit a round could have
 * passed by. Entries on other shards are met by its whole rounds. */
static inline void
expiry_note(struct kv *kv, const struct kv_request *request)
{
    kv->expire_from_ms = MIN(kv->expire_from_ms, request->expire_min_ms);
}

static YIELDS void
expired_remove(struct kv *kv, struct kv_request *request)
{
    bool is_paused = shard_now_us() < kv->expire_paused_until_us;

    for (struct kv_expired *at = request->expired; at != NULL && !is_paused; at = at->next) {
        if (kv_shard_of_slot(kv_id_slot(at->id)) == shard_id()) {
            /* Its failure is none of the reader's. */
            (void)kv_expire_key(kv, at->keyspace, at->id, at->name, request->now_ms, 0);
        }
    }
    request->expired = NULL;
    request->expired_count = 0;
}

void
kv_committed(struct kv *kv, struct kv_request *request)
{
    kv->stats.expired += request->expired_removed;
    expiry_note(kv, request);
    if (__builtin_expect(request->events.first != NULL, 0)) {
        kv_events_publish(kv, request);
    }
    if (__builtin_expect(request->expired != NULL, 0)) {
        expired_remove(kv, request);
    }
}

static inline void
request_begin(struct kv *kv, struct kv_request *request)
{
    request->event_classes = kv->config.event_classes;
    request->events = (struct kv_events){0};
    request->err = ERR_OK;
    request->work = 0;
    request->expire_min_ms = UINT64_MAX;
    request->expired_removed = 0;
    request->expired_count = 0;
    request->expired = NULL;
    request->keeps_errors = false;
    request->wants_alone = false;
}

/* An error reply means that nothing is changed, but for the value of a script. */
static inline bool
is_refused(const struct kv_request *request, struct reply_mark mark)
{
    return request->reply->errors != mark.errors && !request->keeps_errors;
}

/* ---- One command in a transaction of its own ---- */

struct attempts {
    struct kv *kv;
    struct kv_call *call;
    struct reply_mark mark;
    struct arena *arena; /* The request's; `again` is used from the second attempt on. */
    struct arena again;
};

/* One attempt; the error of the transaction, if it is to be told or repeated. */
static YIELDS err_t
attempt_run(struct kv_request *request, struct attempts *attempts, bool is_locking)
{
    struct txn_done done;
    err_t err = ERR_OK;

    request_begin(attempts->kv, request);
    request->txn = txn_begin_auto(!kv_may_write(request->command), request->origin);
    if (__builtin_expect(is_locking, 0)) {
        err = kv_keys_lock(request->txn, request, 1);
    }
    if (err == ERR_OK) {
        request->command->run(request);
        err = request->err;
    }
    if (err != ERR_OK || is_refused(request, attempts->mark)) {
        txn_abort(&request->txn);
        return err;
    }
    err = txn_commit(&request->txn, &done);
    if (err == ERR_OK) {
        request->lsn = MAX(request->lsn, done.lsn);
    }
    return err;
}

/* Again, with locks on its keys, so that others wait for it; memory of attempts before is freed. */
static YIELDS err_t
attempts_repeat(struct kv_request *request, struct attempts *attempts, err_t err)
{
    arena_init(&attempts->again, MEM_SESSIONS);
    request->arena = &attempts->again;
    for (uint32_t i = 0; i < KV_ATTEMPTS_MAX && kv_may_repeat(err) && !request->wants_alone; i++) {
        SOMETIMES("kv: a command ran again, since another commit came between");
        reply_cut(request->reply, attempts->mark);
        kv_back_off(i);
        arena_reset(request->arena);
        if (request->block != NULL) {
            request->block->is_asked = false;
        }
        err = attempt_run(request, attempts, true);
    }
    return err;
}

/* The latches are let go as soon as it has committed: what is removed afterwards takes them anew. A
 * script may have met one of its own keys expired. */
static YIELDS void
auto_execute(struct kv *kv, struct kv_request *request, struct kv_call *call,
             struct kv_latch *latches, uint32_t held)
{
    struct attempts attempts = {
        .kv = kv,
        .call = call,
        .mark = reply_mark(request->reply),
        .arena = request->arena,
    };
    err_t err = attempt_run(request, &attempts, false);

    if (__builtin_expect(kv_may_repeat(err), 0)) {
        err = CANARY(CLAIM_UNCOMMITTED) ? ERR_OK : attempts_repeat(request, &attempts, err);
    }
    kv_latch_unlock(kv, latches, held);
    if (__builtin_expect(err == ERR_OK, 1)) {
        kv_committed(kv, request);
    } else if (request->err == ERR_OK) { /* Otherwise the command has replied it. */
        reply_cut(request->reply, attempts.mark);
        reply_err(request->reply, err);
        if (request->block != NULL) {
            request->block->is_asked = false;
        }
    }
    if (request->arena != attempts.arena) {
        arena_fini(&attempts.again);
        request->arena = attempts.arena;
    }
}

/* Commands that write hold latches on their keys here, so that one which waits for the disk is not
 * run again. Those that read need none: they have a snapshot. */
static YIELDS void
latched_execute(struct kv *kv, struct kv_request *request, struct kv_call *call)
{
    struct kv_latch few[KV_LATCHES_INLINE];
    struct kv_latch *latches = few;
    uint32_t held;

    if (call->count > KV_LATCHES_INLINE) {
        latches = arena_alloc(request->arena, call->count * sizeof(*latches));
        if (latches == NULL) {
            reply_error(request->reply, "OOM no memory for a command of %u keys", call->count);
            return;
        }
    }
    kv_latch_lock(kv, latches, call->ids, call->count, &held);
    auto_execute(kv, request, call, latches, held);
}

/* ---- A statement of a longer transaction ---- */

/* Does the error end the transaction, and not the command alone? */
static bool
is_of_transaction(err_t err)
{
    return err != ERR_OK && err != ERR_LIMIT && err != ERR_NO_MEMORY && err != ERR_CORRUPT &&
           err != ERR_UNSUPPORTED && err != ERR_INVALID;
}

void
kv_run(struct kv_request *request)
{
    struct reply_mark mark = reply_mark(request->reply);
    uint32_t savepoint = 0;
    err_t err = ERR_OK;

    request_begin(kv_self(), request);
    if (request->command->is_script) {
        err = txn_savepoint(request->txn, &savepoint);
    }
    if (err == ERR_OK) {
        err = txn_statement(request->txn, false);
    }
    if (err == ERR_OK) {
        request->command->run(request);
        if (!is_refused(request, mark) || is_of_transaction(request->err)) {
            return;
        }
        /* It was refused, and so changes nothing. */
        request->err = ERR_OK;
        request->events = (struct kv_events){0};
        err = savepoint != 0 ? txn_rollback_to(request->txn, savepoint)
                             : txn_statement_undo(request->txn);
    }
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
    }
}

/* Interactive. No gate: it may wait for the locks of others, who need it to get on. */
static YIELDS void
statement_execute(struct kv *kv, struct kv_request *request, const struct kv_call *call)
{
    struct reply_mark mark = reply_mark(request->reply);
    bool is_write = (request->command->flags & CMD_WRITE) != 0;
    err_t err = ERR_OK;

    request->is_past = true; /* Removing would wait for locks of its own. */
    if (txn_is_read_only(request->txn)) {
        if (is_write) {
            reply_error(request->reply, "READONLY cannot write in a read-only transaction");
            return;
        }
        /* What had not expired at its time is there. */
        request->now_ms = (txn_snapshot(request->txn) >> CLOCK_COUNTER_BITS) / 1000;
    }
    if (is_write) {
        err = kv_keyspaces_lock_call(request->txn, call);
    }
    if (err == ERR_OK) {
        kv_run(request);
        if (request->err != ERR_OK) {
            return;
        }
        err = txn_flush(request->txn);
    }
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
        return;
    }
    expiry_note(kv, request);
}

void
kv_execute_within(struct kv_request *request)
{
    struct kv *kv = kv_self();
    struct txn *txn = request->txn;
    bool is_write = (request->command->flags & CMD_WRITE) != 0;
    struct kv_call call = {.count = 0};
    bool was;
    err_t err = ERR_OK;

    ASSERT(!txn_is_auto(txn));
    request_begin(kv, request);
    if (request->command->is_script || kv_is_exclusive(request->command)) {
        reply_error(request->reply, "ERR '%s' is not possible inside of another statement",
                    command_full_name(request->command));
        return;
    }
    if (request->command->layer == COMMAND_DATA && !kv_call_keys(&call, request)) {
        return;
    }
    request->is_past = true; /* As of a statement. */
    if (txn_is_read_only(txn)) {
        if (is_write) {
            reply_error(request->reply, "READONLY cannot write in a read-only transaction");
            return;
        }
        request->now_ms = (txn_snapshot(txn) >> CLOCK_COUNTER_BITS) / 1000;
    }
    if (is_write) {
        err = kv_keyspaces_lock_call(txn, &call);
    }
    if (err == ERR_OK) {
        was = txn_statement_sees(txn, request->is_before_statement);
        request->command->run(request);
        err = request->err == ERR_OK && is_write ? txn_flush(txn) : ERR_OK;
        (void)txn_statement_sees(txn, was);
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    expiry_note(kv, request);
}

static YIELDS void
data_execute(struct kv *kv, struct kv_request *request)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct kv_call call;

    if (!kv_call_keys(&call, request)) {
        return;
    }
    if (request->txn != NULL && txn_is_auto(request->txn)) {
        kv_run(request);
    } else if (request->txn != NULL) {
        statement_execute(kv, request, &call);
    } else {
        kv_gate_enter_shared(kv);
        if (call.is_here && kv_may_write(request->command)) {
            latched_execute(kv, request, &call);
        } else {
            auto_execute(kv, request, &call, NULL, 0);
        }
        kv_gate_leave_shared(kv);
        if (__builtin_expect(request->wants_alone, 0)) {
            reply_cut(request->reply, mark);
            kv_execute_alone(request);
        }
    }
}

static YIELDS void
keyspace_execute(struct kv *kv, struct kv_request *request)
{
    struct kv_call none = {.count = 0};

    if (request->txn == NULL) {
        if (kv_is_exclusive(request->command)) {
            kv_execute_alone(request);
        } else {
            request_begin(kv, request);
            request->command->run(request);
        }
    } else if (txn_is_auto(request->txn)) {
        kv_run(request);
    } else if (kv_is_exclusive(request->command)) {
        reply_error(request->reply, "ERR '%s' is not possible in a transaction of ORBIT.BEGIN",
                    command_full_name(request->command));
    } else {
        statement_execute(kv, request, &none);
    }
}

void
kv_execute(struct kv_request *request)
{
    struct kv *kv = kv_self();

    ASSERT(request->db < kv->config.databases);
    if (request->command->layer == COMMAND_DATA) {
        data_execute(kv, request);
    } else {
        ASSERT(request->command->layer == COMMAND_KEYSPACE);
        keyspace_execute(kv, request);
    }
}
