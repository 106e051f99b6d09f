/* lsm/filter.c - making binary fuse filters.
 *
 * Every slot knows how many keys fall on it, and the xor of their hashes. A slot with one key
 * settles that key: it is taken away, which may leave other slots with one. When all keys have
 * been taken, they are put back in reverse order, each one setting the slot that it was taken from
 * so that its three slots give its fingerprint. When some remain, another seed is tried; with
 * these sizes the first works nearly always. */
#include "lsm/filter.h"

#include <math.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    FILTER_TYPE_FUSE8 = 1,
    FILTER_SEGMENT_SLOTS_MAX = 1 << 18,
    FILTER_SEEDS_MAX = 64,
    FILTER_KEYS_A_UNIT = 4, /* For fiber_work. */
    FILTER_WORK_KEYS = 256,
};

/* The working memory: one slot of the filter to be. */
struct filter_slot {
    uint64_t hashes; /* The xor of the hashes that fall here. */
    uint32_t count;
};

struct filter_taken {
    uint64_t hash;
    uint32_t slot;
};

struct filter_work {
    uint32_t segment_slots;
    uint32_t segment_count;
    uint32_t slot_count;
    uint32_t key_count;
    uint64_t seed;
    struct filter_slot *slots;
    struct filter_taken *taken; /* In the order of taking. */
    uint32_t *ready;            /* Slots with one key, a stack. */
};

/* The sizes of the paper, which make success likely. */
static void
filter_size(uint32_t keys, struct filter_work *work)
{
    double count = keys < 2 ? 2 : keys;
    double factor = fmax(1.125, 0.875 + 0.25 * log(1e6) / log(count));
    int exponent = (int)floor(log(count) / log(3.33) + 2.25);
    uint64_t slots = (uint64_t)(count * factor + 0.5);

    work->segment_slots = MIN((uint32_t)1 << exponent, (uint32_t)FILTER_SEGMENT_SLOTS_MAX);
    work->segment_count = (uint32_t)((slots + work->segment_slots - 1) / work->segment_slots);
    work->segment_count = work->segment_count > 2 ? work->segment_count - 2 : 1;
    work->slot_count = (work->segment_count + 2) * work->segment_slots;
    work->key_count = keys;
}

static err_t
filter_work_init(struct filter_work *work, uint32_t keys)
{
    *work = (struct filter_work){0};
    filter_size(keys, work);
    work->slots = mem_alloc(MEM_BACKGROUND, work->slot_count * sizeof(*work->slots));
    work->taken = mem_alloc(MEM_BACKGROUND, (size_t)keys * sizeof(*work->taken));
    work->ready = mem_alloc(MEM_BACKGROUND, work->slot_count * sizeof(*work->ready));
    if (work->slots == NULL || work->taken == NULL || work->ready == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to make the filter of %u keys", keys);
    }
    return ERR_OK;
}

static void
filter_work_fini(struct filter_work *work)
{
    mem_free(MEM_BACKGROUND, work->slots, work->slot_count * sizeof(*work->slots));
    mem_free(MEM_BACKGROUND, work->taken, (size_t)work->key_count * sizeof(*work->taken));
    mem_free(MEM_BACKGROUND, work->ready, work->slot_count * sizeof(*work->ready));
}

static inline struct filter_place
filter_work_place(const struct filter_work *work, uint64_t hash)
{
    return filter_place(hash, work->seed, work->segment_slots, work->segment_count);
}

/* Suspends now and then in a loop over keys; nothing else touches the working memory. */
static inline YIELDS void
filter_pace(uint32_t i)
{
    if (i % FILTER_WORK_KEYS == FILTER_WORK_KEYS - 1) {
        fiber_work(FILTER_WORK_KEYS / FILTER_KEYS_A_UNIT);
    }
}

static YIELDS void
filter_fill(struct filter_work *work, const uint64_t *hashes)
{
    memset(work->slots, 0, work->slot_count * sizeof(*work->slots));
    for (uint32_t i = 0; i < work->key_count; i++) {
        struct filter_place place = filter_work_place(work, hashes[i]);

        for (uint32_t j = 0; j < 3; j++) {
            work->slots[place.slots[j]].hashes ^= hashes[i];
            work->slots[place.slots[j]].count++;
        }
        filter_pace(i);
    }
}

/* Take keys away while some slot has one alone. True when all were taken. */
static YIELDS bool
filter_peel(struct filter_work *work)
{
    uint32_t ready = 0;
    uint32_t taken = 0;

    for (uint32_t i = 0; i < work->slot_count; i++) {
        if (work->slots[i].count == 1) {
            work->ready[ready++] = i;
        }
        filter_pace(i);
    }
    while (ready > 0) {
        uint32_t slot = work->ready[--ready];
        uint64_t hash = work->slots[slot].hashes;
        struct filter_place place;

        if (work->slots[slot].count != 1) {
            continue; /* Its key was taken through another slot. */
        }
        place = filter_work_place(work, hash);
        work->taken[taken++] = (struct filter_taken){.hash = hash, .slot = slot};
        for (uint32_t j = 0; j < 3; j++) {
            struct filter_slot *other = &work->slots[place.slots[j]];

            other->hashes ^= hash;
            other->count--;
            if (other->count == 1) {
                work->ready[ready++] = place.slots[j];
            }
        }
        filter_pace(taken);
    }
    return taken == work->key_count;
}

static YIELDS void
filter_assign(const struct filter_work *work, uint8_t *slots)
{
    memset(slots, 0, work->slot_count);
    for (uint32_t i = work->key_count; i > 0; i--) {
        const struct filter_taken *taken = &work->taken[i - 1];
        struct filter_place place = filter_work_place(work, taken->hash);

        /* Its own slot is still 0: whoever else uses it comes later. */
        slots[taken->slot] = place.fingerprint ^ slots[place.slots[0]] ^ slots[place.slots[1]] ^
                             slots[place.slots[2]];
        filter_pace(i);
    }
}

static void
filter_put_header(uint8_t *out, const struct filter_work *work)
{
    memset(out, 0, FILTER_HEADER_BYTES);
    put_le32(out, FILTER_TYPE_FUSE8);
    put_le32(out + 4, work->key_count);
    put_le32(out + 8, work->segment_slots);
    put_le32(out + 12, work->segment_count);
    put_le64(out + 16, work->seed);
}

YIELDS err_t
filter_build(const uint64_t *hashes, uint32_t count, struct buf *out)
{
    struct filter_work work;
    uint8_t *at;
    err_t err;

    if (count > FILTER_KEYS_MAX) {
        return err_set(ERR_LIMIT, "a table has more than %d keys", FILTER_KEYS_MAX);
    }
    TRY(filter_work_init(&work, count));
    for (uint32_t attempt = 0;; attempt++) {
        if (attempt == FILTER_SEEDS_MAX) {
            err = err_set(ERR_INVALID, "no seed makes a filter of %u keys", count);
            goto out;
        }
        work.seed = filter_mix(attempt + 1);
        filter_fill(&work, hashes);
        if (filter_peel(&work)) {
            break;
        }
    }
    if (!buf_try_reserve(out, FILTER_HEADER_BYTES + (size_t)work.slot_count)) {
        err = err_set(ERR_NO_MEMORY, "no memory for the filter of %u keys", count);
        goto out;
    }
    at = out->data + out->size;
    filter_put_header(at, &work);
    filter_assign(&work, at + FILTER_HEADER_BYTES);
    out->size += FILTER_HEADER_BYTES + (size_t)work.slot_count;
    err = ERR_OK;
out:
    filter_work_fini(&work);
    return err;
}

err_t
filter_open(struct slice bytes, struct filter *filter_out)
{
    struct filter filter;
    uint64_t slots;

    if (bytes.size < FILTER_HEADER_BYTES || get_le32(bytes.data) != FILTER_TYPE_FUSE8) {
        return err_set(ERR_CORRUPT, "filter of unknown type");
    }
    filter.keys = get_le32(bytes.data + 4);
    filter.segment_slots = get_le32(bytes.data + 8);
    filter.segment_count = get_le32(bytes.data + 12);
    filter.seed = get_le64(bytes.data + 16);
    slots = bytes.size - FILTER_HEADER_BYTES;
    if (filter.segment_slots == 0 || filter.segment_slots > FILTER_SEGMENT_SLOTS_MAX ||
        (filter.segment_slots & (filter.segment_slots - 1)) != 0 || filter.segment_count == 0 ||
        ((uint64_t)filter.segment_count + 2) * filter.segment_slots != slots) {
        return err_set(ERR_CORRUPT, "filter of %u segments of %u slots in %llu bytes",
                       filter.segment_count, filter.segment_slots, (unsigned long long)slots);
    }
    filter.slots = bytes.data + FILTER_HEADER_BYTES;
    *filter_out = filter;
    return ERR_OK;
}
