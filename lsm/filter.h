/* lsm/filter.h - which keys a table may have: a binary fuse filter.
 *
 * From T. M. Graf and D. Lemire, "Binary Fuse Filters: Fast and Smaller Than Xor Filters" (2022).
 * A key's hash names one slot in each of three neighbouring segments; the xor of the three bytes
 * there is the key's fingerprint. 8 bits of fingerprint give 1/256 = 0.39 % false positives for
 * about 9.1 bits a key from 100,000 keys on (10 at 10,000); a Bloom filter of one cache line a key
 * needs 10 bits for about 1 %. It can only be made when all keys are known, as a table's are.
 *
 * Bytes: docs/format/table.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

enum {
    FILTER_HEADER_BYTES = 32,
    FILTER_KEYS_MAX = 200 << 20, /* So that a filter fits a frame. */
};

/* A checked view; borrows the bytes. */
struct filter {
    const uint8_t *slots; /* NULL: no filter, everything may be there. */
    uint64_t seed;
    uint32_t segment_slots; /* A power of two. */
    uint32_t segment_count; /* Of first slots; two more follow. */
    uint32_t keys;
};

/* Make a filter for the hashes, which are distinct (two equal ones cost an attempt each time: the
 * caller drops neighbours that are equal), and append it to `out`. The hashes are borrowed.
 * ERR_NO_MEMORY, ERR_LIMIT; ERR_INVALID when no seed works, as with equal hashes. */
YIELDS err_t filter_build(const uint64_t *hashes, uint32_t count, struct buf *out);

/* ERR_CORRUPT when the header cannot be. */
err_t filter_open(struct slice bytes, struct filter *filter_out);

/* The last step of a good 64-bit mixer (D. Stafford's mix 13). */
static inline uint64_t
filter_mix(uint64_t value)
{
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

struct filter_place {
    uint32_t slots[3];
    uint8_t fingerprint;
};

static inline struct filter_place
filter_place(uint64_t hash, uint64_t seed, uint32_t segment_slots, uint32_t segment_count)
{
    uint64_t mixed = filter_mix(hash + seed);
    uint32_t mask = segment_slots - 1;
    uint64_t range = (uint64_t)segment_slots * segment_count;
    uint32_t first = (uint32_t)(((unsigned __int128)mixed * range) >> 64);

    /* `first` uses the upper bits, the other two and the fingerprint lower ones. */
    return (struct filter_place){
        .slots = {first, (first + segment_slots) ^ ((uint32_t)(mixed >> 18) & mask),
                  (first + 2 * segment_slots) ^ ((uint32_t)mixed & mask)},
        .fingerprint = (uint8_t)(mixed ^ (mixed >> 32)),
    };
}

/* Fetch what filter_may_contain will look at. */
static inline void
filter_prefetch(const struct filter *filter, uint64_t hash)
{
    if (filter->slots != NULL && filter->keys > 0) {
        struct filter_place place =
            filter_place(hash, filter->seed, filter->segment_slots, filter->segment_count);

        for (uint32_t i = 0; i < 3; i++) {
            __builtin_prefetch(&filter->slots[place.slots[i]]);
        }
    }
}

static inline bool
filter_may_contain(const struct filter *filter, uint64_t hash)
{
    struct filter_place place;

    if (filter->slots == NULL) {
        return true;
    }
    if (filter->keys == 0) {
        return false;
    }
    place = filter_place(hash, filter->seed, filter->segment_slots, filter->segment_count);
    return (uint8_t)(filter->slots[place.slots[0]] ^ filter->slots[place.slots[1]] ^
                     filter->slots[place.slots[2]]) == place.fingerprint;
}
