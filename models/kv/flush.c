/* models/kv/flush.c - FLUSHDB and FLUSHALL.
 *
 * A keyspace is one range of the store: emptying it is one range delete and two counters, however
 * many keys there are, in one batch on each shard. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

struct flush_step {
    struct kv_step step;
    uint32_t db; /* With is_all: of no meaning. */
    bool is_all;
};

/* The gate is held, so that nobody changes it before the batch does. */
static void
counter_clear(struct kv *kv, struct kv_batch *batch, uint32_t counter)
{
    store_batch_counter_add(&batch->store, counter, -store_counter(kv->store, counter));
}

static void
keyspace_flush(struct kv *kv, struct kv_batch *batch, uint32_t keyspace)
{
    uint8_t start[5] = {KV_MODEL_TAG};
    uint8_t end[5] = {KV_MODEL_TAG};

    /* Every entry belongs to a key that is counted, so that without keys there is nothing to
     * delete, and repeated flushes leave no trace. */
    if (store_counter(kv->store, kv_counter_keys(keyspace)) == 0) {
        return;
    }
    put_be32(start + 1, keyspace);
    put_be32(end + 1, keyspace + 1);
    store_batch_delete_range(&batch->store, slice_of(start, sizeof(start)),
                             slice_of(end, sizeof(end)));
    counter_clear(kv, batch, kv_counter_keys(keyspace));
    counter_clear(kv, batch, kv_counter_expires(keyspace));
}

static YIELDS void
flush_run(void *arg)
{
    struct flush_step *flush = arg;
    struct kv *kv = kv_self();
    struct kv_batch *batch;
    lsn_t lsn = 0;
    err_t err;

    kv_gate_enter_exclusive(kv);
    batch = kv_batch_take(kv);
    if (flush->is_all) {
        for (uint32_t keyspace = 0; keyspace < KV_DATABASES_MAX; keyspace++) {
            keyspace_flush(kv, batch, keyspace);
        }
    } else {
        keyspace_flush(kv, batch, kv->keyspaces[flush->db]);
    }
    err = kv_batch_commit(kv, batch, &lsn);
    kv_gate_leave_exclusive(kv);
    kv_step_end(kv, &flush->step, err);
}

static YIELDS void
flush(struct kv_request *request, bool is_all)
{
    uint32_t count = shard_count();
    struct flush_step *steps;

    /* Both ways are the same here: nothing is left to be freed later. */
    if (request->argc > 2 || (request->argc == 2 && !kv_word_is(request->argv[1], "async") &&
                              !kv_word_is(request->argv[1], "sync"))) {
        kv_reply_syntax_error(request);
        return;
    }
    steps = arena_alloc(request->arena, count * sizeof(*steps));
    for (uint32_t i = 0; i < count; i++) {
        steps[i] = (struct flush_step){
            .step.session_shard = shard_id(),
            .db = request->db,
            .is_all = is_all,
        };
    }
    msg_call_all(MSG_FIBER, flush_run, steps, sizeof(*steps));
    for (uint32_t i = 0; i < count; i++) {
        if (!kv_step_accept(request, &steps[i].step)) {
            return;
        }
    }
    reply_ok(request->reply);
}

void
kv_command_flushdb(struct kv_request *request)
{
    flush(request, false);
}

void
kv_command_flushall(struct kv_request *request)
{
    flush(request, true);
}
