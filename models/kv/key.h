/* models/kv/key.h - where a Redis key lies in the sorted store. Bytes: docs/format/kv.md.
 *
 *     0x01 | keyspace (4) | 0x10 | slot (2) | hash (6) | name         head
 *     0x01 | keyspace (4) | 0x20 | slot (2) | hash (6) | name         payload of a large string
 *     0x01 | keyspace (4) | 0x30 | expiry ms (8) | slot (2) | hash (6) | name   expiry index
 *     0x01 | keyspace (4) | 0x38 | expiry ms (8) | slot (2) | hash (6) | name   fields of hashes
 *     0x01 | keyspace (4) | 0x40 | slot (2) | collection (8) | kind (1) | element
 *
 * Numbers are big-endian. The slot is Redis Cluster's; the hash is the upper 48 bits of XXH3-64
 * of the name. slot << 48 | hash is the SCAN cursor and the identity that latches lock. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum {
    KV_MODEL_TAG = 0x01,
    KV_KIND_HEAD = 0x10,
    KV_KIND_PAYLOAD = 0x20,
    KV_KIND_EXPIRY = 0x30,
    KV_KIND_FIELD_EXPIRY = 0x38, /* As KV_KIND_EXPIRY: when the first field of a hash expires. */
    KV_KIND_ELEMENT = 0x40,
    KV_SLOTS = 16384,
    KV_ID_SLOT_SHIFT = 48,
    KV_KEY_PREFIX_BYTES = 14,
    KV_EXPIRY_PREFIX_BYTES = 22,
    KV_COLLECTION_PREFIX_BYTES = 16, /* Up to the collection's id. */
    KV_ELEMENT_PREFIX_BYTES = 17,    /* Up to the kind of element. */
    KV_ELEMENT_BYTES_MAX = 64000,    /* What follows it: ERR_LIMIT. */
    KV_NAME_BYTES_MAX = 65000,       /* A longer key is refused: ERR_LIMIT. */
};

/* 62 bits: slot << 48 | hash. */
uint64_t kv_key_id(struct slice name);
static inline uint16_t
kv_id_slot(uint64_t id)
{
    return (uint16_t)(id >> KV_ID_SLOT_SHIFT);
}

/* Write the stored form to `out` (at least PREFIX + name.size bytes); returns its size. */
size_t kv_key_encode(uint8_t *out, uint8_t kind, uint32_t keyspace, uint64_t id, struct slice name);
size_t kv_expiry_encode(uint8_t *out, uint32_t keyspace, uint64_t expire_ms, uint64_t id,
                        struct slice name);
size_t kv_field_expiry_encode(uint8_t *out, uint32_t keyspace, uint64_t expire_ms, uint64_t id,
                              struct slice name);
/* The smallest stored key of (kind, id): where a scan from a cursor begins. */
size_t kv_key_lower(uint8_t *out, uint8_t kind, uint32_t keyspace, uint64_t id);

/* An element of a spread collection, and the range that holds all of them (or all of one kind). */
size_t kv_element_encode(uint8_t *out, uint32_t keyspace, uint16_t slot, uint64_t collection,
                         uint8_t kind, struct slice element);
size_t kv_collection_encode(uint8_t out[KV_COLLECTION_PREFIX_BYTES], uint32_t keyspace,
                            uint16_t slot, uint64_t collection);

/* Parts of a stored key; ERR_CORRUPT when it is none. Slices are borrowed. */
struct kv_key_parts {
    uint32_t keyspace;
    uint8_t kind;
    uint64_t id;
    uint64_t expire_ms; /* KV_KIND_EXPIRY, KV_KIND_FIELD_EXPIRY */
    struct slice name;  /* KV_KIND_ELEMENT: the element. */
    /* KV_KIND_ELEMENT, whose id has the slot and nothing else. */
    uint64_t collection;
    uint8_t element_kind;
};
err_t kv_key_decode(struct slice stored, struct kv_key_parts *parts_out);

/* The head: what every key has.
 *     type (1) | flags (1) | [expiry ms (8)] | [field expiry ms (8)] | [access: kind (1) value (4)]
 *              | [count (8)] | [collection (8)] | body
 * Integers are little-endian. The body of a string is its bytes; of a large one its length (8).
 * Collections have a count; the body is their elements, or with KV_HEAD_SPREAD what the type keeps
 * beside elements that are entries of their own (collection.h). */
enum kv_type { KV_STRING, KV_SET, KV_LIST, KV_ZSET, KV_HASH, KV_STREAM, KV_TYPES };
enum kv_head_flag {
    KV_HEAD_EXPIRES = 1 << 0,
    KV_HEAD_ACCESS = 1 << 1,        /* Idle time or frequency given by RESTORE. */
    KV_HEAD_PAYLOAD = 1 << 2,       /* String: the bytes are in the payload entry. */
    KV_HEAD_SPREAD = 1 << 3,        /* Collection: the elements are entries of their own. */
    KV_HEAD_FIELDS_EXPIRE = 1 << 4, /* Hash: a field has a time of its own. */
};
enum { KV_HEAD_BYTES_MAX = 39, KV_PAYLOAD_ABOVE_BYTES = 60 << 10 };

struct kv_head {
    uint8_t type;
    uint8_t flags;
    uint8_t access_is_frequency;
    uint32_t access; /* Seconds since 1970 of the last access, or the LFU counter. */
    uint64_t expire_ms;
    uint64_t field_expire_ms; /* KV_HEAD_FIELDS_EXPIRE: the earliest of its fields' times. */
    uint64_t count;           /* Elements of a collection, as the type counts them. */
    uint64_t collection;      /* KV_HEAD_SPREAD: its id. */
    struct slice body;
    uint64_t length; /* Of the string, also when it is in the payload. */
};
/* Without the body; returns the size. */
size_t kv_head_encode(uint8_t out[KV_HEAD_BYTES_MAX], const struct kv_head *head);
err_t kv_head_decode(struct slice stored, struct kv_head *head_out);
