/* models/kv/collection.c - see the header. */
#include "models/kv/collection.h"

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

/* ---- Ids ---- */

/* The end of the ids that a shard has taken: tag 0x00, the name, the shard. On shard 0, which stays
 * when the shard is given up and another one gets its number. */
enum { IDS_KEY_BYTES = 16, IDS_SHARD_SHIFT = 48 };

static struct slice
ids_key(uint8_t out[IDS_KEY_BYTES])
{
    memcpy(out, "\x00kv.collection", 14);
    put_be16(out + 14, (uint16_t)shard_id());
    return slice_of(out, IDS_KEY_BYTES);
}

static YIELDS void
block_sync(void *arg)
{
    (void)arg;
    store_wait_durable(store_self(), store_appended(store_self()));
}

/* Takes a block in a commit of its own, durable before an id of it is used: what is stored under
 * the id may lie in another shard's log. */
static YIELDS err_t
block_take(struct kv *kv, uint64_t *first_out)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    uint16_t slot = txn_slot_of_shard(0);
    uint64_t first = (uint64_t)shard_id() << IDS_SHARD_SHIFT | 1;
    struct txn_done done = {0};
    struct lsm_value value;
    uint8_t key[IDS_KEY_BYTES];
    uint8_t end[8];
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_RUNTIME);
    TRY(txn_get(txn, slot, ids_key(key), &arena, &value));
    if (value.is_found && value.value.size != sizeof(end)) {
        err = err_set(ERR_CORRUPT, "the record of collection ids has %zu bytes", value.value.size);
        goto out;
    }
    if (value.is_found) {
        first = get_le64(value.value.data);
    }
    put_le64(end, first + KV_COLLECTION_BLOCK);
    txn_put(txn, slot, ids_key(key), slice_of(end, sizeof(end)), 0);
    TRY(txn_commit(&txn, &done));
    store_wait_durable(kv->store, done.lsn);
    msg_call(0, MSG_FIBER, block_sync, NULL); /* At every level of durability. */
    *first_out = first;
out:
    txn_abort(&txn);
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
id_take(struct kv *kv, uint64_t *id_out)
{
    err_t err = ERR_OK;

    for (uint32_t attempt = 0; kv->collection_next == kv->collection_end; attempt++) {
        uint64_t first = 0;

        err = block_take(kv, &first);
        if (err == ERR_OK && kv->collection_next == kv->collection_end) {
            kv->collection_next = first;
            kv->collection_end = first + KV_COLLECTION_BLOCK;
        } else if (err != ERR_OK && (!kv_may_repeat(err) || attempt == KV_ATTEMPTS_MAX)) {
            return err;
        }
    }
    *id_out = kv->collection_next++;
    return ERR_OK;
}

struct kv_collection
kv_collection_of(const struct kv_object *object)
{
    ASSERT((object->head.flags & KV_HEAD_SPREAD) != 0);
    return (struct kv_collection){
        .keyspace = object->keyspace,
        .slot = kv_id_slot(object->id),
        .id = object->head.collection,
    };
}

err_t
kv_collection_new(struct kv_request *request, const struct kv_object *object,
                  struct kv_collection *out)
{
    struct kv *kv = kv_self();
    struct kv_collection collection = {
        .keyspace = object->keyspace,
        .slot = kv_id_slot(object->id),
    };
    err_t err;

    if (__builtin_expect(kv->collection_next == kv->collection_end, 0)) {
        txn_hold(request->txn);
    }
    err = id_take(kv, &collection.id);
    if (err == ERR_OK) {
        *out = collection;
    }
    return err;
}

/* ---- Elements ---- */

bool
kv_element_fits(struct kv_request *request, const char *what, size_t bytes)
{
    if (bytes > KV_ELEMENT_BYTES_MAX) {
        reply_error(request->reply, "ERR the %s of %zu bytes is longer than the limit of %d", what,
                    bytes, KV_ELEMENT_BYTES_MAX);
        return false;
    }
    return true;
}

static struct slice
element_key(struct kv_request *request, uint8_t small[KV_STORED_BYTES_SMALL],
            const struct kv_collection *collection, uint8_t kind, struct slice element)
{
    uint8_t *at = small;

    if (KV_ELEMENT_PREFIX_BYTES + element.size > KV_STORED_BYTES_SMALL) {
        at = arena_alloc(request->arena, KV_ELEMENT_PREFIX_BYTES + element.size);
    }
    return slice_of(at, kv_element_encode(at, collection->keyspace, collection->slot,
                                          collection->id, kind, element));
}

void
kv_element_put(struct kv_request *request, const struct kv_collection *collection, uint8_t kind,
               struct slice element, struct slice value)
{
    uint8_t small[KV_STORED_BYTES_SMALL];

    txn_put(request->txn, collection->slot, element_key(request, small, collection, kind, element),
            value, 0);
}

void
kv_element_delete(struct kv_request *request, const struct kv_collection *collection, uint8_t kind,
                  struct slice element)
{
    uint8_t small[KV_STORED_BYTES_SMALL];

    txn_delete(request->txn, collection->slot,
               element_key(request, small, collection, kind, element));
}

err_t
kv_element_get(struct kv_request *request, const struct kv_collection *collection, uint8_t kind,
               struct slice element, struct lsm_value *value_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    err_t err =
        txn_get(request->txn, collection->slot,
                element_key(request, small, collection, kind, element), request->arena, value_out);

    if (err == ERR_OK) {
        request->lsn = MAX(request->lsn, value_out->lsn);
    }
    return err;
}

err_t
kv_element_get_many(struct kv_request *request, const struct kv_collection *collection,
                    uint8_t kind, const struct slice *elements, uint32_t count,
                    struct lsm_value *results)
{
    struct txn_key *keys;
    err_t err;

    if (count == 1) {
        return kv_element_get(request, collection, kind, elements[0], results);
    }
    keys = arena_alloc(request->arena, count * sizeof(*keys));
    if (keys == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for reading %u elements", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *at = arena_alloc(request->arena, KV_ELEMENT_PREFIX_BYTES + elements[i].size);

        keys[i].slot = collection->slot;
        keys[i].key = slice_of(at, kv_element_encode(at, collection->keyspace, collection->slot,
                                                     collection->id, kind, elements[i]));
    }
    err = txn_multi_get(request->txn, keys, count, request->arena, results);
    for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
        request->lsn = MAX(request->lsn, results[i].lsn);
    }
    return err;
}

void
kv_elements_remove(struct kv_request *request, const struct kv_object *object)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t start[KV_COLLECTION_PREFIX_BYTES];
    uint8_t end[KV_COLLECTION_PREFIX_BYTES];

    kv_collection_encode(start, collection.keyspace, collection.slot, collection.id);
    kv_collection_encode(end, collection.keyspace, collection.slot, collection.id + 1);
    txn_delete_range(request->txn, collection.slot, slice_of(start, sizeof(start)),
                     slice_of(end, sizeof(end)));
}

/* ---- Scans ---- */

err_t
kv_elements_open(struct kv_request *request, const struct kv_collection *collection, uint8_t kind,
                 struct slice from, struct txn_scan **scan_out)
{
    uint8_t small[KV_STORED_BYTES_SMALL];
    uint8_t upper[KV_STORED_BYTES_SMALL];
    struct txn_scan *scan = NULL;
    err_t err;

    ASSERT(kind < UINT8_MAX);
    TRY(txn_scan_open(request->txn, collection->slot,
                      element_key(request, small, collection, kind, from),
                      element_key(request, upper, collection, kind + 1, slice_of(NULL, 0)), &scan));
    TRY(txn_scan_first(scan));
    *scan_out = scan;
    return ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
kv_elements_seek(struct txn_scan *scan, struct kv_request *request,
                 const struct kv_collection *collection, uint8_t kind, struct slice element)
{
    uint8_t small[KV_STORED_BYTES_SMALL];

    return txn_scan_seek(scan, element_key(request, small, collection, kind, element));
}

err_t
kv_elements_seek_before(struct txn_scan *scan, struct kv_request *request,
                        const struct kv_collection *collection, uint8_t kind, struct slice element)
{
    uint8_t small[KV_STORED_BYTES_SMALL];

    return txn_scan_seek_before(scan, element_key(request, small, collection, kind, element));
}

struct slice
kv_element_at(const struct txn_scan *scan)
{
    struct slice key = txn_scan_entry(scan)->key;

    ASSERT(key.size >= KV_ELEMENT_PREFIX_BYTES);
    return slice_of(key.data + KV_ELEMENT_PREFIX_BYTES, key.size - KV_ELEMENT_PREFIX_BYTES);
}

/* ---- Packed items ---- */

bool
kv_packed_next(struct kv_packed *packed, struct slice *item_out)
{
    const uint8_t *end = packed->left.data + packed->left.size;
    uint64_t size;
    size_t used;

    if (packed->left.size == 0) {
        return false;
    }
    used = get_varint(packed->left.data, end, &size);
    if (used == 0 || size > packed->left.size - used) {
        return false;
    }
    *item_out = slice_of(packed->left.data + used, (size_t)size);
    packed->left = slice_of(packed->left.data + used + size, packed->left.size - used - size);
    return true;
}

err_t
kv_packed_check(struct slice bytes, uint64_t items)
{
    struct kv_packed packed = {bytes};
    struct slice item;
    uint64_t found = 0;

    while (kv_packed_next(&packed, &item)) {
        found++;
    }
    if (packed.left.size != 0 || found != items) {
        return err_set(ERR_CORRUPT, "a packed collection holds %llu items and not %llu",
                       (unsigned long long)found, (unsigned long long)items);
    }
    return ERR_OK;
}

void
kv_packed_append(struct buf *out, struct slice item)
{
    buf_append_varint(out, item.size);
    buf_append(out, item.data, item.size);
}

size_t
kv_packed_size(size_t item_bytes)
{
    uint8_t length[VARINT_BYTES_MAX];

    return put_varint(length, item_bytes) + item_bytes;
}
