/* models/kv/key.c - see the header. */
#include "models/kv/key.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"

#include "engine/base/poison.h"

enum { HASH_BITS = 48 };

uint64_t
kv_key_id(struct slice name)
{
    uint64_t hash = XXH3_64bits(name.data, name.size) >> (64 - HASH_BITS);

    return (uint64_t)slot_of_key(name) << HASH_BITS | hash;
}

static size_t
prefix_encode(uint8_t *out, uint8_t kind, uint32_t keyspace)
{
    out[0] = KV_MODEL_TAG;
    put_be32(out + 1, keyspace);
    out[5] = kind;
    return 6;
}

size_t
kv_key_lower(uint8_t *out, uint8_t kind, uint32_t keyspace, uint64_t id)
{
    size_t size = prefix_encode(out, kind, keyspace);

    put_be64(out + size, id);
    return size + 8;
}

size_t
kv_key_encode(uint8_t *out, uint8_t kind, uint32_t keyspace, uint64_t id, struct slice name)
{
    size_t size = kv_key_lower(out, kind, keyspace, id);

    ASSERT(size == KV_KEY_PREFIX_BYTES);
    if (name.size > 0) {
        memcpy(out + size, name.data, name.size);
    }
    return size + name.size;
}

static size_t
index_encode(uint8_t *out, uint8_t kind, uint32_t keyspace, uint64_t expire_ms, uint64_t id,
             struct slice name)
{
    size_t size = prefix_encode(out, kind, keyspace);

    put_be64(out + size, expire_ms);
    put_be64(out + size + 8, id);
    size += 16;
    ASSERT(size == KV_EXPIRY_PREFIX_BYTES);
    if (name.size > 0) {
        memcpy(out + size, name.data, name.size);
    }
    return size + name.size;
}

size_t
kv_expiry_encode(uint8_t *out, uint32_t keyspace, uint64_t expire_ms, uint64_t id,
                 struct slice name)
{
    return index_encode(out, KV_KIND_EXPIRY, keyspace, expire_ms, id, name);
}

size_t
kv_field_expiry_encode(uint8_t *out, uint32_t keyspace, uint64_t expire_ms, uint64_t id,
                       struct slice name)
{
    return index_encode(out, KV_KIND_FIELD_EXPIRY, keyspace, expire_ms, id, name);
}

size_t
kv_collection_encode(uint8_t out[KV_COLLECTION_PREFIX_BYTES], uint32_t keyspace, uint16_t slot,
                     uint64_t collection)
{
    size_t size = prefix_encode(out, KV_KIND_ELEMENT, keyspace);

    put_be16(out + size, slot);
    put_be64(out + size + 2, collection);
    ASSERT(size + 10 == KV_COLLECTION_PREFIX_BYTES);
    return size + 10;
}

size_t
kv_element_encode(uint8_t *out, uint32_t keyspace, uint16_t slot, uint64_t collection, uint8_t kind,
                  struct slice element)
{
    size_t size = kv_collection_encode(out, keyspace, slot, collection);

    ASSERT(element.size <= KV_ELEMENT_BYTES_MAX);
    out[size++] = kind;
    if (element.size > 0) {
        memcpy(out + size, element.data, element.size);
    }
    return size + element.size;
}

static err_t
element_decode(struct slice stored, struct kv_key_parts *parts)
{
    if (stored.size < KV_ELEMENT_PREFIX_BYTES) {
        return err_set(ERR_CORRUPT, "an element of a collection has a key of only %zu bytes",
                       stored.size);
    }
    parts->id = (uint64_t)get_be16(stored.data + 6) << HASH_BITS;
    parts->collection = get_be64(stored.data + 8);
    parts->element_kind = stored.data[KV_COLLECTION_PREFIX_BYTES];
    parts->name =
        slice_of(stored.data + KV_ELEMENT_PREFIX_BYTES, stored.size - KV_ELEMENT_PREFIX_BYTES);
    return ERR_OK;
}

err_t
kv_key_decode(struct slice stored, struct kv_key_parts *parts_out)
{
    size_t prefix = KV_KEY_PREFIX_BYTES;
    struct kv_key_parts parts = {0};

    if (stored.size < KV_KEY_PREFIX_BYTES || stored.data[0] != KV_MODEL_TAG) {
        return err_set(ERR_CORRUPT, "a stored key of %zu bytes is no key of the kv model",
                       stored.size);
    }
    parts.keyspace = get_be32(stored.data + 1);
    parts.kind = stored.data[5];
    if (parts.kind == KV_KIND_ELEMENT) {
        err_t err = element_decode(stored, &parts);

        if (err == ERR_OK) {
            *parts_out = parts;
        }
        return err;
    }
    if (parts.kind == KV_KIND_EXPIRY || parts.kind == KV_KIND_FIELD_EXPIRY) {
        if (stored.size < KV_EXPIRY_PREFIX_BYTES) {
            return err_set(ERR_CORRUPT, "an entry of the expiry index has only %zu bytes",
                           stored.size);
        }
        parts.expire_ms = get_be64(stored.data + 6);
        prefix = KV_EXPIRY_PREFIX_BYTES;
    } else if (parts.kind != KV_KIND_HEAD && parts.kind != KV_KIND_PAYLOAD) {
        return err_set(ERR_CORRUPT, "a stored key has the unknown kind 0x%02x", parts.kind);
    }
    parts.id = get_be64(stored.data + prefix - 8);
    parts.name = slice_of(stored.data + prefix, stored.size - prefix);
    *parts_out = parts;
    return ERR_OK;
}

size_t
kv_head_encode(uint8_t out[KV_HEAD_BYTES_MAX], const struct kv_head *head)
{
    size_t size = 2;

    out[0] = head->type;
    out[1] = head->flags;
    if ((head->flags & KV_HEAD_EXPIRES) != 0) {
        put_le64(out + size, head->expire_ms);
        size += 8;
    }
    if ((head->flags & KV_HEAD_FIELDS_EXPIRE) != 0) {
        put_le64(out + size, head->field_expire_ms);
        size += 8;
    }
    if ((head->flags & KV_HEAD_ACCESS) != 0) {
        out[size] = head->access_is_frequency;
        put_le32(out + size + 1, head->access);
        size += 5;
    }
    if (head->type != KV_STRING) {
        put_le64(out + size, head->count);
        size += 8;
    }
    if ((head->flags & KV_HEAD_SPREAD) != 0) {
        put_le64(out + size, head->collection);
        size += 8;
    }
    ASSERT(size <= KV_HEAD_BYTES_MAX);
    return size;
}

/* Bytes of the head before the body; 0 when type and flags make no head. */
static size_t
head_size(struct slice stored)
{
    const uint8_t known =
        KV_HEAD_EXPIRES | KV_HEAD_ACCESS | KV_HEAD_PAYLOAD | KV_HEAD_SPREAD | KV_HEAD_FIELDS_EXPIRE;
    size_t size = 2;
    uint8_t flags;

    if (stored.size < size || stored.data[0] >= KV_TYPES || (stored.data[1] & ~known) != 0) {
        return 0;
    }
    flags = stored.data[1];
    if ((flags & (stored.data[0] == KV_STRING ? KV_HEAD_SPREAD : KV_HEAD_PAYLOAD)) != 0) {
        return 0;
    }
    if ((flags & KV_HEAD_FIELDS_EXPIRE) != 0 && stored.data[0] != KV_HASH) {
        return 0;
    }
    size += (flags & KV_HEAD_FIELDS_EXPIRE) != 0 ? 8 : 0;
    size += (flags & KV_HEAD_EXPIRES) != 0 ? 8 : 0;
    size += (flags & KV_HEAD_ACCESS) != 0 ? 5 : 0;
    size += stored.data[0] != KV_STRING ? 8 : 0;
    size += (flags & KV_HEAD_SPREAD) != 0 ? 8 : 0;
    return size;
}

err_t
kv_head_decode(struct slice stored, struct kv_head *head_out)
{
    struct kv_head head = {0};
    size_t size = 2;
    size_t whole;

    if (stored.size >= 2 && stored.data[0] == KV_STRING && stored.data[1] == 0) {
        /* Most heads: a small string and nothing else. */
        head.body = slice_of(stored.data + 2, stored.size - 2);
        head.length = head.body.size;
        *head_out = head;
        return ERR_OK;
    }
    whole = head_size(stored);
    if (whole == 0) {
        return err_set(ERR_CORRUPT, "the head of a key has an unknown type, unknown flags or is "
                                    "too short");
    }
    if (stored.size < whole) {
        return err_set(ERR_CORRUPT, "the head of a key ends after %zu bytes", stored.size);
    }
    head.type = stored.data[0];
    head.flags = stored.data[1];
    if ((head.flags & KV_HEAD_EXPIRES) != 0) {
        head.expire_ms = get_le64(stored.data + size);
        size += 8;
    }
    if ((head.flags & KV_HEAD_FIELDS_EXPIRE) != 0) {
        head.field_expire_ms = get_le64(stored.data + size);
        size += 8;
    }
    if ((head.flags & KV_HEAD_ACCESS) != 0) {
        head.access_is_frequency = stored.data[size];
        head.access = get_le32(stored.data + size + 1);
        size += 5;
    }
    if (head.type != KV_STRING) {
        head.count = get_le64(stored.data + size);
        size += 8;
    }
    if ((head.flags & KV_HEAD_SPREAD) != 0) {
        head.collection = get_le64(stored.data + size);
    }
    head.body = slice_of(stored.data + whole, stored.size - whole);
    head.length = head.body.size;
    if ((head.flags & KV_HEAD_PAYLOAD) != 0) {
        if (head.body.size != 8) {
            return err_set(ERR_CORRUPT, "the head of a large string has no length");
        }
        head.length = get_le64(head.body.data);
    }
    *head_out = head;
    return ERR_OK;
}
