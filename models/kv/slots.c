/* models/kv/slots.c - the keys of a group of slots on their way to another shard.
 *
 * Heads, payloads and elements lie by slot within their keyspace: three ranges each. Expiry entries
 * lie by time, and are made anew from the heads. */
#include "models/kv/slots.h"

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/block.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_ENTRY = 10 };

struct copy {
    struct slots_move *move;
    uint32_t keyspace;
    int64_t keys, expires, fields, bytes;
    struct arena arena;
};

/* The smallest key of a kind in a slot or behind it. */
static struct slice
kind_from(uint8_t out[KV_KEY_PREFIX_BYTES], uint8_t kind, uint32_t keyspace, uint32_t slot)
{
    size_t size = kv_key_lower(out, kind, keyspace, (uint64_t)slot << KV_ID_SLOT_SHIFT);

    return slice_of(out, size);
}

/* An entry of an index by time: gone here and made anew there. */
static YIELDS err_t
index_copy(struct copy *copy, const struct kv_key_parts *parts, uint8_t kind, uint64_t expire_ms)
{
    uint8_t *key = arena_alloc(&copy->arena, KV_EXPIRY_PREFIX_BYTES + parts->name.size);
    size_t size;

    if (key == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for an expiry entry");
    }
    size = kind == KV_KIND_EXPIRY
               ? kv_expiry_encode(key, copy->keyspace, expire_ms, parts->id, parts->name)
               : kv_field_expiry_encode(key, copy->keyspace, expire_ms, parts->id, parts->name);
    slots_move_delete(copy->move, kv_id_slot(parts->id), slice_of(key, size));
    return slots_move_put(copy->move, kv_id_slot(parts->id), slice_of(key, size), slice_of(NULL, 0),
                          0);
}

/* A head is counted, and what lies by time goes with it. */
static YIELDS err_t
head_copy(struct copy *copy, const struct kv_key_parts *parts, struct slice value)
{
    struct kv_head head;
    err_t err;

    TRY(kv_head_decode(value, &head));
    copy->keys++;
    copy->bytes += kv_counted_bytes(parts->name.size, &head);
    if ((head.flags & KV_HEAD_EXPIRES) != 0) {
        copy->expires++;
        TRY(index_copy(copy, parts, KV_KIND_EXPIRY, head.expire_ms));
    }
    if ((head.flags & KV_HEAD_FIELDS_EXPIRE) != 0) {
        copy->fields++;
        TRY(index_copy(copy, parts, KV_KIND_FIELD_EXPIRY, head.field_expire_ms));
    }
out:
    return err;
}

static YIELDS err_t
entry_copy(struct copy *copy, struct txn_scan *scan)
{
    struct kv_key_parts parts;
    struct slice key;
    struct slice value;
    err_t err;

    TRY(kv_key_decode(txn_scan_entry(scan)->key, &parts));
    /* Sending what was gathered may move the row. */
    key = arena_copy(&copy->arena, txn_scan_entry(scan)->key);
    TRY(txn_scan_value(scan, &copy->arena, &value));
    TRY(kv_key_decode(key, &parts));
    if (parts.kind == KV_KIND_HEAD) {
        TRY(head_copy(copy, &parts, value));
    }
    err = slots_move_put(copy->move, kv_id_slot(parts.id), key, value, 0);
out:
    return err;
}

static YIELDS err_t
kind_copy(struct copy *copy, uint8_t kind)
{
    struct slots_move *move = copy->move;
    uint8_t from[KV_KEY_PREFIX_BYTES];
    uint8_t to[KV_KEY_PREFIX_BYTES];
    struct slice lower = kind_from(from, kind, copy->keyspace, move->first);
    struct slice upper = kind_from(to, kind, copy->keyspace, move->first + move->count);
    struct txn_scan *scan = NULL;
    bool is_any = false;
    err_t err;

    TRY(txn_scan_open(move->txn, txn_slot_of_shard(move->from), lower, upper, &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        is_any = true;
        TRY(entry_copy(copy, scan));
        TRY(txn_scan_next(scan));
        arena_reset(&copy->arena);
        fiber_work(WORK_UNITS_PER_ENTRY);
    }
    if (is_any) {
        slots_move_delete_range(move, lower, upper);
    }
out:
    txn_scan_close(&scan);
    return err;
}

static YIELDS err_t
keyspace_copy(struct copy *copy)
{
    err_t err;

    copy->keys = 0;
    copy->expires = 0;
    copy->fields = 0;
    copy->bytes = 0;
    TRY(kind_copy(copy, KV_KIND_HEAD));
    if (copy->keys == 0) {
        return ERR_OK; /* Every other entry belongs to a head. */
    }
    TRY(kind_copy(copy, KV_KIND_PAYLOAD));
    TRY(kind_copy(copy, KV_KIND_ELEMENT));
    slots_move_counter(copy->move, kv_counter_keys(copy->keyspace), copy->keys);
    slots_move_counter(copy->move, kv_counter_expires(copy->keyspace), copy->expires);
    slots_move_counter(copy->move, kv_counter_fields(copy->keyspace), copy->fields);
    slots_move_counter(copy->move, kv_counter_bytes(copy->keyspace), copy->bytes);
    copy->move->keys += (uint64_t)copy->keys;
out:
    return err;
}

err_t
kv_slots_copy(struct slots_move *move)
{
    struct store *store = kv_self()->store;
    struct copy copy = {.move = move};
    err_t err = ERR_OK;

    arena_init(&copy.arena, MEM_BACKGROUND);
    for (uint32_t keyspace = 0; keyspace < KV_DATABASES_MAX; keyspace++) {
        if (store_counter(store, kv_counter_keys(keyspace)) != 0) {
            copy.keyspace = keyspace;
            TRY(keyspace_copy(&copy));
        }
    }
out:
    arena_fini(&copy.arena);
    return err;
}

void
kv_slots_on_move(uint16_t first, uint32_t count, bool is_mine)
{
    struct kv *kv = kv_self();

    if (is_mine) {
        kv->expire_from_ms = 0; /* What came may be due since long. */
    } else {
        kv_blocks_moved(kv, first, count);
    }
}
