/* models/kv/evict.c - maxmemory: what counts, and which keys go when there is too much.
 *
 * What counts is told by heads alone (kv_counted_bytes), so that every commit can keep the sum in
 * a counter of the store, exactly. Each shard has an equal part of maxmemory. Keys are evicted by
 * transactions of their own, on the shard of their own: a few are drawn at random and the best of
 * them goes, as Redis does it. */
#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum {
    KEYS_A_CALL_MAX = 1024, /* Evicted by one call; what is still too much waits for the next. */
    DRAWN_FACTOR = 16,      /* Looked at for each sample wanted, when only some keys may go. */
    SAMPLES_DEFAULT = 5,
    SAMPLES_MAX = 64,
};

/* ---- What counts ---- */

uint64_t
kv_memory_counted(struct kv *kv)
{
    int64_t bytes = KV_COUNTED_SHARD_BYTES;

    for (uint32_t db = 0; db < kv->config.databases; db++) {
        bytes += store_counter(kv->store, kv_counter_bytes(kv->keyspaces[db]));
    }
    return (uint64_t)MAX(bytes, INT64_C(0));
}

static bool
is_over(struct kv *kv)
{
    return kv->config.memory_bytes_max != 0 && kv_memory_counted(kv) > kv->config.memory_bytes_max;
}

/* ---- Which key ---- */

struct victim {
    uint32_t db;
    uint64_t id;
    struct slice name; /* In the arena of the round. */
    uint64_t score;    /* The highest goes. */
    bool is_found;
};

static bool
is_volatile(enum kv_eviction policy)
{
    return policy == KV_EVICT_VOLATILE_LRU || policy == KV_EVICT_VOLATILE_LFU ||
           policy == KV_EVICT_VOLATILE_RANDOM || policy == KV_EVICT_VOLATILE_TTL;
}

static uint64_t
score_of(struct kv *kv, const struct kv_object *object, uint64_t now_ms)
{
    switch (kv->config.eviction) {
    case KV_EVICT_ALLKEYS_LRU:
    case KV_EVICT_VOLATILE_LRU:
        return kv_access_idle_seconds(kv, object, now_ms);
    case KV_EVICT_ALLKEYS_LFU:
    case KV_EVICT_VOLATILE_LFU:
        return UINT8_MAX - kv_access_frequency(kv, object, now_ms);
    case KV_EVICT_VOLATILE_TTL:
        return UINT64_MAX - kv_head_expire_ms(&object->head);
    case KV_EVICT_ALLKEYS_RANDOM:
    case KV_EVICT_VOLATILE_RANDOM:
    case KV_EVICT_NONE:
        break;
    }
    return 0;
}

/* Is the key where the scan stands a better one? Corrupt entries are left to who reads them. */
static bool
candidate_take(struct kv *kv, struct txn_scan *heads, uint32_t db, uint64_t now_ms,
               struct arena *arena, struct victim *victim)
{
    const struct lsm_entry *entry = txn_scan_entry(heads);
    struct kv_object object = {.db = db, .keyspace = kv->keyspaces[db], .is_stored = true};
    struct kv_key_parts parts;
    uint64_t score;

    if (kv_key_decode(entry->key, &parts) != ERR_OK ||
        kv_head_decode(entry->value, &object.head) != ERR_OK) {
        return false;
    }
    object.id = parts.id;
    object.ts = entry->ts;
    if (is_volatile(kv->config.eviction) && (object.head.flags & KV_HEAD_EXPIRES) == 0) {
        return false;
    }
    score = score_of(kv, &object, now_ms);
    if (!victim->is_found || score > victim->score) {
        *victim = (struct victim){
            .db = db,
            .id = parts.id,
            .name = arena_copy(arena, parts.name),
            .score = score,
            .is_found = true,
        };
    }
    return true;
}

/* Of neighbours in the order of hashes, from a random place on: they are as good as drawn. */
static YIELDS err_t
draw(struct kv *kv, struct txn *txn, uint32_t db, struct arena *arena, struct victim *victim)
{
    uint16_t slot = txn_slot_of_shard(shard_id());
    uint32_t samples = kv->config.eviction_samples;
    uint32_t wanted = samples == 0 ? SAMPLES_DEFAULT : MIN(samples, (uint32_t)SAMPLES_MAX);
    uint32_t looks = wanted * DRAWN_FACTOR;
    uint64_t now_ms = io_wall_us() / 1000;
    uint8_t lower[KV_KEY_PREFIX_BYTES], upper[KV_KEY_PREFIX_BYTES], from[KV_KEY_PREFIX_BYTES];
    size_t lower_size = kv_key_lower(lower, KV_KIND_HEAD, kv->keyspaces[db], 0);
    size_t upper_size = kv_key_lower(upper, KV_KIND_HEAD + 1, kv->keyspaces[db], 0);
    size_t from_size = kv_key_lower(from, KV_KIND_HEAD, kv->keyspaces[db],
                                    prng_below(shard_prng(), (uint64_t)KV_SLOTS << 48));
    struct txn_scan *heads = NULL;
    err_t err;

    TRY(txn_scan_open(txn, slot, slice_of(lower, lower_size), slice_of(upper, upper_size), &heads));
    TRY(txn_scan_seek(heads, slice_of(from, from_size)));
    for (uint32_t found = 0; found < wanted && looks > 0; looks--) {
        if (!txn_scan_is_valid(heads)) {
            TRY(txn_scan_first(heads));
        }
        if (!txn_scan_is_valid(heads)) {
            break;
        }
        found += candidate_take(kv, heads, db, now_ms, arena, victim);
        TRY(txn_scan_next(heads));
        fiber_work(1);
    }
    err = ERR_OK;
out:
    txn_scan_close(&heads);
    return err;
}

/* The key whose time comes first: what volatile-ttl looks for, and a key to go when drawing finds
 * none that expires. */
static YIELDS err_t
first_to_expire(struct kv *kv, struct txn *txn, uint32_t db, struct arena *arena,
                struct victim *victim)
{
    uint16_t slot = txn_slot_of_shard(shard_id());
    uint8_t lower[KV_EXPIRY_PREFIX_BYTES], upper[KV_KEY_PREFIX_BYTES];
    size_t lower_size = kv_expiry_encode(lower, kv->keyspaces[db], 0, 0, slice_of(NULL, 0));
    size_t upper_size = kv_key_lower(upper, KV_KIND_EXPIRY + 1, kv->keyspaces[db], 0);
    struct txn_scan *index = NULL;
    struct kv_key_parts parts;
    err_t err;

    TRY(txn_scan_open(txn, slot, slice_of(lower, lower_size), slice_of(upper, upper_size), &index));
    TRY(txn_scan_first(index));
    if (txn_scan_is_valid(index)) {
        TRY(kv_key_decode(txn_scan_entry(index)->key, &parts));
        if (!victim->is_found || UINT64_MAX - parts.expire_ms > victim->score) {
            *victim = (struct victim){
                .db = db,
                .id = parts.id,
                .name = arena_copy(arena, parts.name),
                .score = UINT64_MAX - parts.expire_ms,
                .is_found = true,
            };
        }
    }
    err = ERR_OK;
out:
    txn_scan_close(&index);
    return err;
}

static YIELDS err_t
victim_find(struct kv *kv, struct arena *arena, struct victim *victim)
{
    bool by_time = kv->config.eviction == KV_EVICT_VOLATILE_TTL;
    struct txn *txn = txn_begin_auto(true, NULL);
    err_t err = ERR_OK;

    *victim = (struct victim){0};
    txn_hold(txn);
    for (uint32_t db = 0; db < kv->config.databases && err == ERR_OK; db++) {
        bool has_keys = store_counter(kv->store, kv_counter_keys(kv->keyspaces[db])) > 0;

        if (has_keys) {
            err = by_time ? first_to_expire(kv, txn, db, arena, victim)
                          : draw(kv, txn, db, arena, victim);
        }
    }
    for (uint32_t db = 0; is_volatile(kv->config.eviction) && !victim->is_found && err == ERR_OK &&
                          db < kv->config.databases;
         db++) {
        err = first_to_expire(kv, txn, db, arena, victim);
    }
    txn_abort(&txn);
    return err;
}

/* ---- Eviction ---- */

/* In a transaction of its own, under the key's latch. *is_gone_out: it was there. */
static YIELDS err_t
victim_remove(struct kv *kv, const struct victim *victim, struct arena *arena, bool *is_gone_out)
{
    struct reply reply;
    struct kv_request request = {
        .command = command_find(SLICE("del")),
        .db = victim->db,
        .reply = &reply,
        .arena = arena,
        .now_ms = io_wall_us() / 1000,
        .expire_min_ms = UINT64_MAX,
    };
    struct kv_object object;
    struct txn_done done = {0};
    uint32_t keyspace = kv->keyspaces[victim->db];
    err_t err;

    reply_init(&reply, 2);
    request.txn = txn_begin_auto(false, NULL);
    if (!kv_lookup_db(&request, victim->db, victim->name, 0, &object)) {
        err = request.err;
        txn_abort(&request.txn);
    } else {
        *is_gone_out = object.is_stored;
        kv_remove(&request, &object);
        err = txn_commit(&request.txn, &done);
    }
    reply_fini(&reply);
    if (err == ERR_OK && *is_gone_out) {
        kv->stats.evicted++;
        kv_event_publish(kv, keyspace, KV_EVENT_EVICTED, "evicted", victim->name, done.lsn);
    }
    return err;
}

/* False when there is no key that may go, or the store fails. */
static YIELDS bool
evict_one(struct kv *kv, struct arena *arena)
{
    struct victim victim;
    struct kv_latch latch;
    uint32_t held;
    bool is_gone = false;
    err_t err = victim_find(kv, arena, &victim);

    if (err != ERR_OK || !victim.is_found) {
        return err != ERR_OK && kv_may_repeat(err);
    }
    kv_gate_enter_shared(kv);
    kv_latch_lock(kv, &latch, &victim.id, 1, &held);
    err = victim_remove(kv, &victim, arena, &is_gone);
    kv_latch_unlock(kv, &latch, held);
    kv_gate_leave_shared(kv);
    return err == ERR_OK || kv_may_repeat(err);
}

bool
kv_memory_make_room(struct kv *kv)
{
    struct arena arena;
    bool may_go_on = kv->config.eviction != KV_EVICT_NONE;

    if (!is_over(kv)) {
        return true;
    }
    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < KEYS_A_CALL_MAX && may_go_on && is_over(kv); i++) {
        arena_reset(&arena);
        may_go_on = evict_one(kv, &arena);
    }
    arena_fini(&arena);
    return !is_over(kv);
}
