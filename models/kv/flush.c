/* models/kv/flush.c - FLUSHDB and FLUSHALL.
 *
 * A keyspace is one range of the store: emptying it is one range delete and three counters on each
 * shard, however many keys there are, in one transaction. It runs alone (multi.c): nobody changes
 * a counter between its being read and the commit. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* Returns when every commit is applied that the transaction sees on the shard: those of several
 * shards reach the others a little after their answer. */
static YIELDS err_t
shard_settle(struct kv_request *request, uint32_t shard)
{
    const uint8_t lower[] = {KV_MODEL_TAG};
    const uint8_t upper[] = {KV_MODEL_TAG + 1};
    struct txn_scan *scan = NULL;
    err_t err = txn_scan_open(request->txn, txn_slot_of_shard(shard), slice_of(lower, 1),
                              slice_of(upper, 1), &scan);

    if (err == ERR_OK) {
        txn_scan_close(&scan);
    }
    return err;
}

/* *is_zero_out: every entry belongs to a key that is counted, so that without keys there is
 * nothing to delete, and repeated flushes leave no trace. */
static YIELDS err_t
counter_clear(struct kv_request *request, uint32_t shard, uint32_t counter, bool *is_zero_out)
{
    uint16_t slot = txn_slot_of_shard(shard);
    int64_t value;
    err_t err;

    TRY(txn_counter(request->txn, slot, counter, &value));
    *is_zero_out = value == 0;
    if (value != 0) {
        txn_counter_add(request->txn, slot, counter, -value);
    }
out:
    return err;
}

static YIELDS err_t
keyspace_flush(struct kv_request *request, uint32_t shard, uint32_t keyspace)
{
    uint8_t start[5] = {KV_MODEL_TAG};
    uint8_t end[5] = {KV_MODEL_TAG};
    bool is_empty;
    bool has_none;
    err_t err;

    TRY(counter_clear(request, shard, kv_counter_keys(keyspace), &is_empty));
    if (!is_empty) {
        TRY(counter_clear(request, shard, kv_counter_expires(keyspace), &has_none));
        TRY(counter_clear(request, shard, kv_counter_bytes(keyspace), &has_none));
        TRY(counter_clear(request, shard, kv_counter_fields(keyspace), &has_none));
        put_be32(start + 1, keyspace);
        put_be32(end + 1, keyspace + 1);
        txn_delete_range(request->txn, txn_slot_of_shard(shard), slice_of(start, sizeof(start)),
                         slice_of(end, sizeof(end)));
    }
out:
    return err;
}

static YIELDS err_t
shard_flush(struct kv_request *request, uint32_t shard, bool is_all)
{
    uint32_t databases = kv_self()->config.databases;
    err_t err;

    ASSERT(request->keyspaces != NULL);
    TRY(shard_settle(request, shard));
    for (uint32_t db = 0; db < databases; db++) {
        if (is_all || db == request->db) {
            TRY(keyspace_flush(request, shard, request->keyspaces[db]));
        }
    }
out:
    return err;
}

static YIELDS void
flush(struct kv_request *request, bool is_all)
{
    /* Both ways are the same here: nothing is left to be freed later. */
    if (request->argc > 2 || (request->argc == 2 && !kv_word_is(request->argv[1], "async") &&
                              !kv_word_is(request->argv[1], "sync"))) {
        kv_reply_syntax_error(request);
        return;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        err_t err = shard_flush(request, shard, is_all);

        if (err != ERR_OK) {
            kv_fail(request, err);
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
