/* txn/txn_read.c - reads of a transaction, at home and on other shards. */
#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/closed.h"
#include "txn/slots.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

/* ---- Points. ---- */

err_t
txn_get(struct txn *txn, uint16_t slot, struct slice key, struct arena *arena,
        struct lsm_value *value_out)
{
    struct txn_key one = {.slot = slot, .key = key};
    uint32_t shard;
    err_t err;

    TRY(txn_check(txn));
    TRY(slots_route(txns_self()->slots, txn, slot, &shard));
    if (shard == shard_id()) {
        err = part_get(&txn->part, key, arena, value_out);
    } else {
        err = txn_multi_get(txn, &one, 1, arena, value_out);
    }
out:
    return txn_fail(txn, err);
}

/* What one shard is asked for, and answers: results and their bytes are made there and taken over
 * at home. */
struct shard_reads {
    const struct txn_key *keys; /* Of the whole call; borrowed. */
    const uint32_t *places;     /* Which of them lie on this shard. */
    uint32_t count;
    struct lsm_value *values; /* Out: [count]; value.data is an offset into bytes. */
    struct buf bytes;         /* Out. */
    lsn_t noted;              /* Out. */
};

static YIELDS err_t
shard_reads_run(struct part *part, void *arg)
{
    struct shard_reads *reads = arg;
    struct slice *keys;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    keys = arena_alloc(&arena, reads->count * sizeof(*keys));
    for (uint32_t i = 0; i < reads->count; i++) {
        keys[i] = reads->keys[reads->places[i]].key;
    }
    TRY(part_multi_get(part, keys, reads->count, &arena, reads->values));
    for (uint32_t i = 0; i < reads->count; i++) {
        struct lsm_value *value = &reads->values[i];
        size_t offset = reads->bytes.size;

        buf_append(&reads->bytes, value->value.data, value->value.size);
        value->value.data = (const uint8_t *)(uintptr_t)offset;
    }
    reads->noted = part->noted;
out:
    arena_fini(&arena);
    mem_disown(MEM_SESSIONS, reads->bytes.data, reads->bytes.capacity);
    return err;
}

/* Into the places of the call; the home shard owns the bytes from here on. */
static void
shard_reads_accept(struct txn *txn, uint32_t shard, struct shard_reads *reads, struct arena *arena,
                   struct lsm_value *results)
{
    for (uint32_t i = 0; i < reads->count; i++) {
        struct lsm_value *value = &results[reads->places[i]];

        *value = reads->values[i];
        value->value.data = reads->bytes.data + (uintptr_t)value->value.data;
        value->value = arena_copy(arena, value->value);
        value->lsn = 0; /* Perhaps of another log: part or remote have noted it. */
    }
    if (shard != shard_id()) {
        txn->remotes[shard].noted = MAX(txn->remotes[shard].noted, reads->noted);
    }
}

struct gather {
    struct shard_reads *shards; /* [shard_count()] */
    bool *is_wanted;
    uint32_t *places; /* By shard, one after the other. */
};

static void
gather_init(struct gather *gather, const struct txn_key *keys, uint32_t count,
            const uint32_t *routes, struct arena *arena)
{
    uint32_t shards = shard_count();
    uint32_t first = 0;

    gather->shards = arena_alloc(arena, shards * sizeof(*gather->shards));
    gather->is_wanted = arena_alloc(arena, shards * sizeof(*gather->is_wanted));
    gather->places = arena_alloc(arena, count * sizeof(*gather->places));
    for (uint32_t shard = 0; shard < shards; shard++) {
        uint32_t at = first;

        for (uint32_t i = 0; i < count; i++) {
            if (routes[i] == shard) {
                gather->places[at++] = i;
            }
        }
        gather->is_wanted[shard] = at > first;
        gather->shards[shard] = (struct shard_reads){
            .keys = keys,
            .places = gather->places + first,
            .count = at - first,
            .values = arena_alloc(arena, (at - first) * sizeof(struct lsm_value)),
        };
        buf_init(&gather->shards[shard].bytes, MEM_SESSIONS);
        first = at;
    }
}

static YIELDS err_t
many_get(struct txn *txn, const struct txn_key *keys, uint32_t count, const uint32_t *routes,
         struct arena *arena, struct lsm_value *results)
{
    struct gather gather;
    err_t err;

    gather_init(&gather, keys, count, routes, arena);
    part_hold(&txn->part);
    err = txn_call_many(txn, gather.is_wanted, shard_reads_run, gather.shards,
                        sizeof(struct shard_reads));
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        struct shard_reads *reads = &gather.shards[shard];

        if (!gather.is_wanted[shard]) {
            continue;
        }
        mem_adopt(MEM_SESSIONS, reads->bytes.data, reads->bytes.capacity);
        if (err == ERR_OK) {
            shard_reads_accept(txn, shard, reads, arena, results);
        }
        buf_fini(&reads->bytes);
    }
    return err;
}

/* Where each key is read. When this returns nothing was suspended since the first answer. */
static YIELDS err_t
keys_route(struct txn *txn, const struct txn_key *keys, uint32_t count, uint32_t *routes)
{
    struct slots *slots = txns_self()->slots;
    uint64_t epoch;
    err_t err = ERR_OK;

    do {
        epoch = slots->epoch;
        for (uint32_t i = 0; i < count; i++) {
            TRY(slots_route(slots, txn, keys[i].slot, &routes[i]));
        }
    } while (epoch != slots->epoch);
out:
    return err;
}

err_t
txn_multi_get(struct txn *txn, const struct txn_key *keys, uint32_t count, struct arena *arena,
              struct lsm_value *results)
{
    bool is_home = true;
    uint32_t *routes;
    err_t err;

    TRY(txn_check(txn));
    if (count > TXN_KEYS_AT_ONCE) {
        err = err_set(ERR_LIMIT, "%u keys are read at once: at most %d", count, TXN_KEYS_AT_ONCE);
        goto out;
    }
    routes = arena_alloc(arena, count * sizeof(*routes));
    if (routes == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory for reading %u keys", count);
        goto out;
    }
    TRY(keys_route(txn, keys, count, routes));
    for (uint32_t i = 0; i < count && is_home; i++) {
        is_home = routes[i] == shard_id();
    }
    if (is_home) {
        struct slice *slices = arena_alloc(arena, count * sizeof(*slices));

        for (uint32_t i = 0; i < count; i++) {
            slices[i] = keys[i].key;
        }
        err = part_multi_get(&txn->part, slices, count, arena, results);
    } else {
        err = many_get(txn, keys, count, routes, arena, results);
    }
out:
    return txn_fail(txn, err);
}

/* ---- Counters. ---- */

struct counter_read {
    uint32_t counter;
    int64_t value; /* Out. */
};

static YIELDS err_t
counter_run(struct part *part, void *arg)
{
    struct counter_read *read = arg;
    struct store *store = txns_self()->store;

    /* What has been decided is counted where it is applied: a commit over several shards may be in
     * the snapshot and not yet in the sum. */
    closed_wait_decided(txns_self(), part->snapshot);
    read->value = (int64_t)((uint64_t)store_counter(store, read->counter) +
                            (uint64_t)overlay_counter(&part->writes, read->counter));
    /* A counter keeps no position, and any commit may be in its sum: what is derived from it must
     * not outlive the last one. Those of other logs are applied when they are durable there. */
    part_note_lsn(part, store_appended(store));
    return ERR_OK;
}

err_t
txn_counter(struct txn *txn, uint16_t slot, uint32_t counter, int64_t *value_out)
{
    struct counter_read read = {.counter = counter};
    uint32_t shard;
    err_t err;

    TRY(txn_check(txn));
    TRY(slots_route(txns_self()->slots, txn, slot, &shard));
    part_hold(&txn->part);
    if (shard == shard_id()) {
        TRY(counter_run(&txn->part, &read));
    } else {
        TRY(txn_call(txn, shard, counter_run, &read));
    }
    *value_out = read.value;
out:
    return txn_fail(txn, err);
}

err_t
txn_counter_sum(struct txn *txn, uint32_t counter, int64_t *sum_out)
{
    uint32_t count = shard_count();
    struct counter_read *reads = mem_alloc(MEM_RUNTIME, count * sizeof(*reads));
    bool *is_wanted = mem_alloc(MEM_RUNTIME, count * sizeof(*is_wanted));
    uint64_t sum = 0;
    err_t err;

    TRY(txn_check(txn));
    for (uint32_t i = 0; i < count; i++) {
        reads[i] = (struct counter_read){.counter = counter};
        is_wanted[i] = true;
    }
    if (count == 1) {
        TRY(counter_run(&txn->part, &reads[0]));
    } else {
        part_hold(&txn->part);
        TRY(txn_call_many(txn, is_wanted, counter_run, reads, sizeof(*reads)));
    }
    for (uint32_t i = 0; i < count; i++) {
        sum += (uint64_t)reads[i].value;
    }
    *sum_out = (int64_t)sum;
out:
    mem_free(MEM_RUNTIME, reads, count * sizeof(*reads));
    mem_free(MEM_RUNTIME, is_wanted, count * sizeof(*is_wanted));
    return txn_fail(txn, err);
}

/* ---- Locks. ---- */

struct lock_ask {
    struct slice key;
    enum lock_mode mode;
    enum lock_wait wait;
    bool looks;      /* Was it written since the snapshot? */
    bool is_changed; /* Out. */
};

static YIELDS err_t
lock_run(struct part *part, void *arg)
{
    struct lock_ask *ask = arg;
    bool is_answered = false;
    err_t err;

    part_hold(part);
    TRY(lock_key(txns_self()->locks, &part->locks, ask->key, ask->mode, ask->wait,
                 part_lock_deadline(part)));
    if (ask->looks) {
        err = lsm_changed(store_lsm(txns_self()->store), ask->key, part->snapshot, true,
                          &ask->is_changed, &is_answered);
        ASSERT(err != ERR_OK || is_answered);
    }
out:
    return err;
}

static YIELDS err_t
lock_ask(struct txn *txn, uint16_t slot, struct lock_ask *ask)
{
    struct slots *slots = txns_self()->slots;
    uint32_t shard;
    err_t err;

    TRY(txn_check(txn));
    txn->state = "waits for a lock";
    part_hold(&txn->part);
    shard = slots_owner_wait(txn, slot);
    err = shard == shard_id() ? lock_run(&txn->part, ask) : txn_call(txn, shard, lock_run, ask);
    if (err == ERR_OK && slots_has_left(slots, slot, shard)) {
        /* Who comes later asks for it elsewhere: it protects nothing. */
        err = err_set(ERR_SERIALIZATION, "could not lock: the key is being moved to another shard; "
                                         "run the transaction again");
    }
    txn->state = "active";
out:
    return txn_fail(txn, err);
}

err_t
txn_lock(struct txn *txn, uint16_t slot, struct slice key, enum lock_mode mode, enum lock_wait wait)
{
    struct lock_ask ask = {.key = key, .mode = mode, .wait = wait};

    return lock_ask(txn, slot, &ask);
}

err_t
txn_lock_row(struct txn *txn, uint16_t slot, struct slice key, enum lock_mode mode,
             enum lock_wait wait, bool *is_changed_out)
{
    struct lock_ask ask = {.key = key, .mode = mode, .wait = wait, .looks = true};
    err_t err = lock_ask(txn, slot, &ask);

    *is_changed_out = ask.is_changed;
    return err;
}

/* ---- Durability of what was read. ---- */

static YIELDS void
noted_run(void *arg)
{
    const lsn_t *noted = arg;

    store_wait_durable(store_self(), *noted);
}

err_t
txn_noted_wait(struct txn *txn)
{
    if (store_durability(txns_self()->store) != WAL_SYNC) {
        return ERR_OK;
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (txn->remotes[i].noted != 0) {
            msg_call(i, MSG_FIBER, noted_run, &txn->remotes[i].noted);
            txn->remotes[i].noted = 0;
        }
    }
    return ERR_OK;
}
