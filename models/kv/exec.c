/* models/kv/exec.c - opening the model on a shard, and running one command under its latches. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/databases.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* ---- Open and close ---- */

static struct kv *
kv_new(const struct kv_config *config)
{
    struct kv *kv = MEM_NEW(MEM_RUNTIME, struct kv);

    ASSERT(config->databases > 0);
    ASSERT(config->databases <= KV_DATABASES_MAX);
    kv->magic = KV_MAGIC;
    kv->store = store_self();
    kv->config = *config;
    kv->access = kv_access_new();
    for (uint32_t i = 0; i < KV_LATCH_BUCKETS; i++) {
        list_init(&kv->latches[i]);
    }
    cond_init(&kv->gate_cond);
    cond_init(&kv->background_cond);
    fiber_group_init(&kv->background);
    return kv;
}

static void
kv_free(struct kv *kv)
{
    while (kv->batch_count > 0) {
        struct kv_batch *batch = kv->batches[--kv->batch_count];

        store_batch_fini(&batch->store);
        MEM_FREE(MEM_RUNTIME, batch);
    }
    kv_access_free(&kv->access);
    MEM_FREE(MEM_RUNTIME, kv);
}

err_t
kv_open(const struct kv_config *config, struct kv **kv_out)
{
    struct kv *kv = kv_new(config);
    err_t err;

    TRY(kv_databases_load(kv->keyspaces));
    if (!fiber_group_spawn(&kv->background, "kv-expire", FIBER_BACKGROUND, FIBER_STACK_SMALL,
                           kv_expire_fiber, kv)) {
        TRY(err_set(ERR_LIMIT, "no fiber for active expiry"));
    }
    shard_slot_set(SHARD_SLOT_KV, kv);
    *kv_out = kv;
    return ERR_OK;
out:
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
kv_stats_get(struct kv *kv, struct kv_stats *stats_out)
{
    *stats_out = kv->stats;
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

/* ---- One command ---- */

/* The keys of a call with what their latches need; from the frame or the arena. */
struct call {
    struct command_key few_keys[KV_LATCHES_INLINE];
    uint64_t few_ids[KV_LATCHES_INLINE];
    struct kv_latch few_latches[KV_LATCHES_INLINE];
    struct command_key *keys;
    uint64_t *ids;
    struct kv_latch *latches;
    uint32_t count;
    uint32_t held;
};

/* Room for more keys than the frame has; false after an error reply. */
static bool
call_enlarge(struct call *call, struct kv_request *request)
{
    size_t count = call->count;

    if (count > KV_KEYS_LATCHED_MAX) {
        reply_error(request->reply, "ERR the command names %zu keys, more than the limit of %d",
                    count, KV_KEYS_LATCHED_MAX);
        return false;
    }
    call->keys = arena_alloc(request->arena, count * sizeof(*call->keys));
    call->ids = arena_alloc(request->arena, count * sizeof(*call->ids));
    call->latches = arena_alloc(request->arena, count * sizeof(*call->latches));
    if (call->keys == NULL || call->ids == NULL || call->latches == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %zu keys", count);
        return false;
    }
    command_keys(request->command, request->argv, request->argc, call->keys, call->count);
    return true;
}

static bool
call_keys(struct call *call, struct kv_request *request)
{
    int32_t count = command_keys(request->command, request->argv, request->argc, call->few_keys,
                                 KV_LATCHES_INLINE);

    /* Arguments that fit no key specification: the command itself says what is wrong. */
    call->count = (uint32_t)MAX(count, 0);
    call->keys = call->few_keys;
    call->ids = call->few_ids;
    call->latches = call->few_latches;
    if (call->count > KV_LATCHES_INLINE && !call_enlarge(call, request)) {
        return false;
    }
    for (uint32_t i = 0; i < call->count; i++) {
        struct slice name = request->argv[call->keys[i].index];

        if (name.size > KV_NAME_BYTES_MAX) {
            reply_error(request->reply, "ERR the key of %zu bytes is longer than the limit of %d",
                        name.size, KV_NAME_BYTES_MAX);
            return false;
        }
        call->ids[i] = kv_key_id(name);
    }
    return true;
}

static YIELDS void
data_execute(struct kv *kv, struct kv_request *request)
{
    struct call call;

    if (!call_keys(&call, request)) {
        return;
    }
    if (call.count > 0) {
        request->first_name = request->argv[call.keys[0].index];
        request->first_id = call.ids[0];
    }
    kv_gate_enter_shared(kv);
    kv_latch_lock(kv, call.latches, call.ids, call.count, &call.held);
    request->command->run(request);
    kv_latch_unlock(kv, call.latches, call.held);
    kv_gate_leave_shared(kv);
}

void
kv_execute(struct kv_request *request)
{
    const struct command *command = request->command;
    struct kv *kv = kv_self();

    ASSERT(request->db < kv->config.databases);
    if (command->layer == COMMAND_DATA) {
        data_execute(kv, request);
    } else {
        ASSERT(command->layer == COMMAND_KEYSPACE);
        command->run(request);
    }
}
