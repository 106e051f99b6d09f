/* lsm/block_key.h - comparing keys by their first eight differing bytes.
 *
 * Keys of one block, and the separators of one table, share a long prefix. The eight bytes after
 * it, read as a big-endian number, decide most comparisons without touching the key. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"

enum { KEY_HEAD_BYTES = 8 };

/* The bytes of key from `skip` on as a number, padded with zeros. key.size >= skip. A smaller head
 * means a smaller key; equal heads mean nothing. */
static inline uint64_t
key_head(struct slice key, size_t skip)
{
    const uint8_t *at = key.data + skip;
    size_t left = key.size - skip;
    uint64_t head = 0;

    if (left >= KEY_HEAD_BYTES) {
        return get_be64(at);
    }
    for (size_t i = 0; i < left; i++) {
        head |= (uint64_t)at[i] << (56 - 8 * i);
    }
    return head;
}

/* How many bytes two runs have in common from their start, at most `limit`. */
static inline size_t
key_common(const uint8_t *a, const uint8_t *b, size_t limit)
{
    size_t common = 0;

    while (limit - common >= sizeof(uint64_t)) {
        uint64_t differ = get_le64(a + common) ^ get_le64(b + common);

        if (differ != 0) {
            return common + (size_t)__builtin_ctzll(differ) / 8;
        }
        common += sizeof(uint64_t);
    }
    while (common < limit && a[common] == b[common]) {
        common++;
    }
    return common;
}

static inline size_t
slice_common(struct slice a, struct slice b)
{
    return key_common(a.data, b.data, a.size < b.size ? a.size : b.size);
}

/* Where `key` stands against keys that share `prefix`: below all of them, above all, or among. */
enum key_place { KEY_BELOW = -1, KEY_AMONG = 0, KEY_ABOVE = 1 };

static inline enum key_place
key_place(struct slice key, struct slice prefix)
{
    size_t common = key.size < prefix.size ? key.size : prefix.size;
    int order = common == 0 ? 0 : memcmp(key.data, prefix.data, common);

    if (order != 0) {
        return order < 0 ? KEY_BELOW : KEY_ABOVE;
    }
    return key.size < prefix.size ? KEY_BELOW : KEY_AMONG;
}

/* Order of versions: by key, then newest first. */
static inline int
version_compare(struct slice a, uint64_t a_ts, struct slice b, uint64_t b_ts)
{
    int order = slice_compare(a, b);

    return order != 0 ? order : (a_ts < b_ts) - (a_ts > b_ts);
}
