/* models/kv/collection.h - what all types but strings share: packed and spread collections.
 *
 * A small collection is *packed*: its items lie in the head's body, one after the other, and a
 * change writes the head. A large one is *spread*: each element is an entry of its own under the
 * collection's id, and the head says type, count and id:
 *
 *     head      type | flags | [expiry] | count | body: the type's first bytes, packed items
 *     head      type | flags | [expiry] | count | collection id | body: the type's first bytes
 *     element   0x01 | keyspace | 0x40 | slot | collection id | kind | element  ->  value
 *
 * Ids are never used again, so that a collection goes by one range delete, and RENAME within a slot
 * moves the head alone. Every change of a collection writes its head: WATCH goes by that.
 * How a type is made of this: "Adding a type" in models/kv/README.md. */
#pragma once

#include "models/kv/internal.h"
#include "models/kv/payload.h"

enum {
    /* Beyond either a collection is spread; it is packed again only when it is written anew. */
    KV_PACKED_ITEMS_MAX = 128,
    KV_PACKED_BYTES_MAX = 1024,
    KV_COLLECTION_BLOCK = 1 << 20, /* Ids that a shard takes at a time. */
};

/* ---- Types: types.c has the table. ---- */

struct kv_type_ops {
    const char *name; /* Of TYPE, and of SCAN's option. */
    /* OBJECT ENCODING: the one that Redis would choose. */
    const char *(*encoding)(const struct kv_object *object);
    /* The value as Redis's RDB files hold it: the type byte and what follows it. Appends to out. */
    YIELDS err_t (*dump)(struct kv_request *request, const struct kv_object *object,
                         struct buf *out);
    /* Reads the value behind a type byte that is the type's own, and stores it under `object` with
     * expiry and access of `head`. ERR_CORRUPT: malformed. */
    YIELDS err_t (*restore)(struct kv_request *request, uint8_t rdb_type,
                            struct payload_reader *reader, struct kv_object *object,
                            const struct kv_head *head);
    /* Is it one of the type's forms in RDB files? */
    bool (*restores)(uint8_t rdb_type);
};

extern const struct kv_type_ops kv_type_hash, kv_type_set, kv_type_string, kv_type_list,
    kv_type_stream, kv_type_zset;
/* Of one of enum kv_type; a type that has no commands yet has a name only. */
const struct kv_type_ops *kv_type_ops(uint8_t type);
/* The value under the key `to`, in another slot or keyspace or beside the first: with the expiry
 * and access of `from`. On an error replies and returns false. */
YIELDS bool kv_copy(struct kv_request *request, const struct kv_object *from, struct kv_object *to);

/* ---- Spread collections: collection.c. Errors: as txn_get; kv_fail is the caller's. ---- */

struct kv_collection {
    uint32_t keyspace;
    uint16_t slot;
    uint64_t id;
};

/* Of an object whose head is spread. */
struct kv_collection kv_collection_of(const struct kv_object *object);
/* A new one for the object, whose head is to name its id. */
YIELDS err_t kv_collection_new(struct kv_request *request, const struct kv_object *object,
                               struct kv_collection *out);

/* Elements have at most KV_ELEMENT_BYTES_MAX bytes (asserted): kv_element_fits replies otherwise.
 */
bool kv_element_fits(struct kv_request *request, const char *what, size_t bytes);
void kv_element_put(struct kv_request *request, const struct kv_collection *collection,
                    uint8_t kind, struct slice element, struct slice value);
void kv_element_delete(struct kv_request *request, const struct kv_collection *collection,
                       uint8_t kind, struct slice element);
/* Values are in the request's arena. */
YIELDS err_t kv_element_get(struct kv_request *request, const struct kv_collection *collection,
                            uint8_t kind, struct slice element, struct lsm_value *value_out);
YIELDS err_t kv_element_get_many(struct kv_request *request, const struct kv_collection *collection,
                                 uint8_t kind, const struct slice *elements, uint32_t count,
                                 struct lsm_value *results);
/* The elements of a kind in order, from `from` (NULL data: the first) on; closed by
 * txn_scan_close. Placed on the first. To go backward: kv_elements_seek_before. */
YIELDS err_t kv_elements_open(struct kv_request *request, const struct kv_collection *collection,
                              uint8_t kind, struct slice from, struct txn_scan **scan_out);
YIELDS err_t kv_elements_seek(struct txn_scan *scan, struct kv_request *request,
                              const struct kv_collection *collection, uint8_t kind,
                              struct slice element);
YIELDS err_t kv_elements_seek_before(struct txn_scan *scan, struct kv_request *request,
                                     const struct kv_collection *collection, uint8_t kind,
                                     struct slice element);
/* The element under a scan, borrowed until it moves. */
struct slice kv_element_at(const struct txn_scan *scan);
static inline struct slice
kv_element_value(const struct txn_scan *scan)
{
    return txn_scan_entry(scan)->value;
}

/* ---- Packed items: a varint length and bytes, each. ---- */

struct kv_packed {
    struct slice left;
};
/* The next item, borrowed; false at the end, and when what is left is no item (kv_packed_check). */
bool kv_packed_next(struct kv_packed *packed, struct slice *item_out);
/* Exactly so many items? Otherwise ERR_CORRUPT. Whoever reads a head calls it first. */
err_t kv_packed_check(struct slice packed, uint64_t items);
void kv_packed_append(struct buf *out, struct slice item);
size_t kv_packed_size(size_t item_bytes);
