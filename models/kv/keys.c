/* models/kv/keys.c - the keys that calls name, and their locks. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

/* Room for more keys than the frame has; false after an error reply. */
static bool
call_enlarge(struct kv_call *call, struct kv_request *request)
{
    size_t count = call->count;

    if (count > KV_KEYS_LATCHED_MAX) {
        reply_error(request->reply, "ERR the command names %zu keys, more than the limit of %d",
                    count, KV_KEYS_LATCHED_MAX);
        return false;
    }
    call->keys = arena_alloc(request->arena, count * sizeof(*call->keys));
    call->ids = arena_alloc(request->arena, count * sizeof(*call->ids));
    if (call->keys == NULL || call->ids == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %zu keys", count);
        return false;
    }
    command_keys(request->command, request->argv, request->argc, call->keys, call->count);
    return true;
}

bool
kv_call_keys(struct kv_call *call, struct kv_request *request)
{
    int32_t count = command_keys(request->command, request->argv, request->argc, call->few_keys,
                                 KV_LATCHES_INLINE);
    bool is_alone = shard_count() == 1;

    /* Arguments that fit no key specification: the command itself says what is wrong. */
    call->count = (uint32_t)MAX(count, 0);
    call->keys = call->few_keys;
    call->ids = call->few_ids;
    call->is_here = true;
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
        if (!is_alone && kv_shard_of_slot(kv_id_slot(call->ids[i])) != shard_id()) {
            call->is_here = false;
        }
    }
    if (call->count > 0) {
        request->first_name = request->argv[call->keys[0].index];
        request->first_id = call->ids[0];
    }
    return true;
}

/* ---- Locks on keys ---- */

struct key_place {
    uint64_t id;
    uint32_t keyspace;
    struct slice name;
};

static int
place_compare(const struct key_place *a, const struct key_place *b)
{
    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    if (a->keyspace != b->keyspace) {
        return a->keyspace < b->keyspace ? -1 : 1;
    }
    return slice_compare(a->name, b->name);
}

static void
places_sort(struct key_place *places, uint32_t count)
{
    for (uint32_t gap = count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < count; i++) {
            struct key_place place = places[i];
            uint32_t at = i;

            while (at >= gap && place_compare(&places[at - gap], &place) > 0) {
                places[at] = places[at - gap];
                at -= gap;
            }
            places[at] = place;
        }
    }
}

static YIELDS err_t
place_lock(struct txn *txn, const struct key_place *place, struct arena *arena)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    struct slice key =
        kv_stored_key(small, arena, KV_KIND_HEAD, place->keyspace, place->id, place->name);

    return txn_lock(txn, kv_id_slot(place->id), key, LOCK_UPDATE, LOCK_WAIT);
}

/* The keys of one call, behind those that are there; the array is in the arena of the call. */
static uint32_t
places_gather(struct kv_request *request, struct key_place *places, uint32_t max)
{
    const uint32_t *keyspaces =
        request->keyspaces != NULL ? request->keyspaces : kv_self()->keyspaces;
    struct command_key *keys = arena_alloc(request->arena, max * sizeof(*keys));
    int32_t count = command_keys(request->command, request->argv, request->argc, keys, max);

    for (int32_t i = 0; i < count; i++) {
        struct slice name = request->argv[keys[i].index];

        places[i] = (struct key_place){kv_key_id(name), keyspaces[request->db], name};
    }
    return (uint32_t)MAX(count, 0);
}

err_t
kv_keys_lock(struct txn *txn, struct kv_request *requests, uint32_t count)
{
    struct arena *arena = requests[0].arena;
    struct key_place *places;
    uint32_t places_max = 0;
    uint32_t place_count = 0;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        places_max += requests[i].argc;
    }
    places = arena_alloc(arena, places_max * sizeof(*places));
    if (places == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for the locks of %u words", places_max);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (requests[i].command->layer == COMMAND_DATA) {
            place_count += places_gather(&requests[i], places + place_count, requests[i].argc);
        }
    }
    places_sort(places, place_count);
    for (uint32_t i = 0; i < place_count; i++) {
        if (i == 0 || place_compare(&places[i], &places[i - 1]) != 0) {
            TRY(place_lock(txn, &places[i], arena));
        }
    }
    txn_refresh(txn);
out:
    return err;
}

/* ---- The lock on what keyspaces hold ---- */

/* Nothing is stored under it. */
static const char keyspaces_key[] = "\x00kv.keyspaces";

static YIELDS err_t
keyspaces_lock(struct txn *txn, uint32_t shard, enum lock_mode mode)
{
    return txn_lock(txn, txn_slot_of_shard(shard),
                    slice_of(keyspaces_key, sizeof(keyspaces_key) - 1), mode, LOCK_WAIT);
}

err_t
kv_keyspaces_lock_call(struct txn *txn, const struct kv_call *call)
{
    uint32_t last = UINT32_MAX;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < call->count; i++) {
        uint32_t shard = kv_shard_of_slot(kv_id_slot(call->ids[i]));

        if (shard != last) {
            TRY(keyspaces_lock(txn, shard, LOCK_KEY_SHARE));
            last = shard;
        }
    }
out:
    return err;
}

err_t
kv_keyspaces_lock_all(struct txn *txn)
{
    err_t err = ERR_OK;

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        TRY(keyspaces_lock(txn, shard, LOCK_UPDATE));
    }
out:
    return err;
}
