/* lsm/memtable_head.h - heads of keys as integers, for the files of the memtable's index. */
#pragma once

#include <stdint.h>

#include "engine/base/slice.h"
#include "lsm/memtable_index.h"

/* All bytes of a head, compared at once. */
__extension__ typedef unsigned __int128 head_t;

static inline head_t
head_of_words(const uint64_t *words)
{
    return (head_t)words[0] << 64 | words[1];
}

static inline head_t
entry_head(const struct index_entry *entry)
{
    return head_of_words(entry->head);
}

/* The bytes of the key from `offset` on, padded with zeros. */
static inline void
head_words(struct slice key, uint32_t offset, uint64_t words[INDEX_HEAD_WORDS])
{
    uint8_t padded[INDEX_HEAD_WORDS * 8] = {0};
    const uint8_t *at = padded;

    if (key.size >= (size_t)offset + sizeof(padded)) {
        at = key.data + offset;
    } else if (key.size > offset) {
        memcpy(padded, key.data + offset, key.size - offset);
    }
    words[0] = get_be64(at);
    words[1] = get_be64(at + 8);
}

static inline void
entry_set(struct index_entry *entry, struct tree_key *key, uint32_t prefix_size)
{
    entry->key = key;
    head_words(tree_key_slice(key), prefix_size, entry->head);
}

static inline uint32_t
key_common_prefix(struct slice a, struct slice b)
{
    uint32_t limit = (uint32_t)(a.size < b.size ? a.size : b.size);
    uint32_t size = 0;

    while (size + 8 <= limit && get_le64(a.data + size) == get_le64(b.data + size)) {
        size += 8;
    }
    while (size < limit && a.data[size] == b.data[size]) {
        size++;
    }
    return size;
}

/* memtable_index.c, for memtable_walk.c. */

/* A scan met several sources: it pays for `credit` entries to be merged, and does `units` of the
 * work at once. */
void key_index_pay(struct key_index *index, uint64_t credit, uint32_t units);
void key_index_tail_sort(struct key_index *index);
