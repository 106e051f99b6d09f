/* txn/api_snapshot.c - snapshots of the C API: one moment over all shards.
 *
 * The first shard gives the moment and holds it, so that no shard collects what it sees; then the
 * others hold it too. Each raises its clock to it, so that later commits lie above, and waits until
 * what was prepared before is decided: from then on nothing at or below it can appear, and reads
 * need not look for undecided writes. */
#include "txn/api_snapshot.h"

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "txn/api.h"
#include "txn/closed.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

#define SNAPSHOT_MAGIC UINT64_C(0x6f72626974736e61)

struct orbit_snapshot {
    uint64_t magic;
    struct orbit *db;
    struct store_snapshot *parts; /* One a shard; each is touched by its shard only. */
};

const struct store_snapshot *
api_snapshot_part(const struct orbit_snapshot *snapshot, uint32_t shard)
{
    OBJ_CHECK(snapshot, SNAPSHOT_MAGIC);
    return &snapshot->parts[shard];
}

struct hold {
    uint64_t moment; /* Out of the first shard, into the others. */
    struct store_snapshot *parts;
};

static YIELDS err_t
hold_run(void *arg)
{
    struct hold *hold = arg;
    struct txns *txns = txns_self();
    struct clock *clock = &txns->store->clock;

    if (hold->moment == 0) {
        hold->moment =
            shard_count() == 1 ? clock_read(clock) : MAX(clock_read(clock), shard_acked());
    }
    clock_raise(clock, hold->moment);
    lsm_snapshot_take(store_lsm(txns->store), hold->moment, &hold->parts[shard_id()].held);
    closed_wait_decided(txns, hold->moment); /* Prepared before the clock was raised. */
    return ERR_OK;
}

static YIELDS err_t
hold_others_run(void *arg)
{
    return shard_id() == 0 ? ERR_OK : hold_run(arg);
}

static YIELDS err_t
drop_run(void *arg)
{
    struct store_snapshot *parts = arg;

    store_snapshot_drop(store_self(), &parts[shard_id()]);
    return ERR_OK;
}

err_t
api_snapshot_new(struct orbit *db, struct orbit_snapshot **snapshot_out)
{
    size_t bytes = db->shards * sizeof(struct store_snapshot);
    struct orbit_snapshot *snapshot;
    struct hold hold = {0};
    err_t err;

    TRY(api_caller_check(db));
    snapshot = MEM_NEW(MEM_SESSIONS, struct orbit_snapshot);
    snapshot->magic = SNAPSHOT_MAGIC;
    snapshot->db = db;
    snapshot->parts = mem_zalloc(MEM_SESSIONS, bytes);
    hold.parts = snapshot->parts;
    err = api_call(db, 0, hold_run, &hold);
    if (err != ERR_OK) { /* Of an inline database: another thread called. */
        mem_free(MEM_SESSIONS, snapshot->parts, bytes);
        MEM_FREE(MEM_SESSIONS, snapshot);
        return err;
    }
    if (db->shards > 1) {
        err = api_call_all(db, hold_others_run, &hold, 0);
        ASSERT(err == ERR_OK);
    }
    *snapshot_out = snapshot;
out:
    return err;
}

int
orbit_snapshot_new(struct orbit *db, struct orbit_snapshot **snapshot_out)
{
    return api_result(api_snapshot_new(db, snapshot_out));
}

void
orbit_snapshot_free(struct orbit_snapshot **snapshot_ref)
{
    struct orbit_snapshot *snapshot = *snapshot_ref;
    err_t err;

    if (snapshot == NULL) {
        return;
    }
    OBJ_CHECK(snapshot, SNAPSHOT_MAGIC);
    err = api_call_all(snapshot->db, drop_run, snapshot->parts, 0);
    ASSERT(err == ERR_OK); /* Otherwise another thread has called an inline database. */
    mem_free(MEM_SESSIONS, snapshot->parts, snapshot->db->shards * sizeof(*snapshot->parts));
    snapshot->magic = 0;
    MEM_FREE(MEM_SESSIONS, snapshot);
    *snapshot_ref = NULL;
}

enum { HOPS_MAX = 16 };

struct get_at_request {
    const struct orbit_snapshot *snapshot;
    struct slice key;
    uint32_t shard; /* Where it is asked; out: where it was at that moment. */
    void *value;
    size_t size;
};

static YIELDS err_t
get_at_run(void *arg)
{
    struct get_at_request *request = arg;
    const struct store_snapshot *at = &request->snapshot->parts[shard_id()];
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(slots_route_at(slot_of_key(request->key), at->held.ts, &request->shard));
    if (request->shard != shard_id()) {
        goto out;
    }
    TRY(store_get_at(store_self(), at, api_key_encode(&arena, API_KEYSPACE, request->key), &arena,
                     &value));
    api_wait(value.lsn);
    if (!value.is_found) {
        err = ERR_NOT_FOUND;
        goto out;
    }
    request->value = api_value_new(value.value);
    request->size = value.value.size;
    if (request->value == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.value.size);
    }
out:
    arena_fini(&arena);
    return err;
}

int
orbit_snapshot_get(struct orbit_snapshot *snapshot, const void *key, size_t key_size,
                   void **value_out, size_t *size_out)
{
    struct get_at_request request = {.snapshot = snapshot, .key = slice_of(key, key_size)};
    uint32_t shard = UINT32_MAX;
    err_t err;

    OBJ_CHECK(snapshot, SNAPSHOT_MAGIC);
    TRY(api_key_check(key, key_size));
    request.shard = api_shard_of(snapshot->db, request.key);
    for (uint32_t hops = 0; request.shard != shard; hops++) {
        if (hops == HOPS_MAX) {
            err = err_set(ERR_BUSY, "the key's slot changes shards all the time");
            goto out;
        }
        shard = request.shard;
        TRY(api_call(snapshot->db, shard, get_at_run, &request));
    }
    *value_out = request.value;
    *size_out = request.size;
out:
    return api_result(err);
}
