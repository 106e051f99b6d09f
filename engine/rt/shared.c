/* engine/rt/shared.c - see shared.h. */
#include "engine/rt/shared.h"

#include "engine/base/assert.h"
#include "engine/rt/internal.h"

#include "engine/base/poison.h"

enum { SHARED_MAGIC = 0x73776f72, SHARED_LINE_BYTES = 64 };

struct shared_word {
    uint64_t value;
    uint8_t rest[SHARED_LINE_BYTES - sizeof(uint64_t)];
};

struct shared {
    uint32_t magic;
    uint32_t shards;
    size_t bytes; /* Of this block. */
    struct shared_word *acked;
    struct shared_word *words; /* [shards * SHARD_WORD_COUNT], the words of a shard together. */
};

struct shared *
shared_new(uint32_t shards)
{
    size_t lines = 1 + (size_t)shards * SHARD_WORD_COUNT;
    size_t bytes = sizeof(struct shared) + (lines + 1) * SHARED_LINE_BYTES;
    struct shared *shared = mem_zalloc(MEM_RUNTIME, bytes);
    uintptr_t first = (uintptr_t)(shared + 1);

    ASSERT(shards >= 1);
    ASSERT(shards <= SHARDS_MAX);
    first = (first + SHARED_LINE_BYTES - 1) / SHARED_LINE_BYTES * SHARED_LINE_BYTES;
    shared->magic = SHARED_MAGIC;
    shared->shards = shards;
    shared->bytes = bytes;
    shared->acked = (struct shared_word *)first;
    shared->words = shared->acked + 1;
    return shared;
}

void
shared_free(struct shared **pointer)
{
    struct shared *shared = *pointer;

    *pointer = NULL;
    if (shared != NULL) {
        OBJ_CHECK(shared, SHARED_MAGIC);
        shared->magic = 0;
        mem_free(MEM_RUNTIME, shared, shared->bytes);
    }
}

uint32_t
shared_shards(const struct shared *shared)
{
    OBJ_CHECK(shared, SHARED_MAGIC);
    return shared->shards;
}

static struct shared *
shared_current(void)
{
    return shard_current()->shared;
}

uint64_t
shard_acked(void)
{
    return __atomic_load_n(&shared_current()->acked->value, __ATOMIC_ACQUIRE);
}

void
shard_acked_raise(uint64_t ts)
{
    struct shared *shared = shared_current();
    uint64_t *acked = &shared->acked->value;
    uint64_t seen = __atomic_load_n(acked, __ATOMIC_RELAXED);

    if (shared->shards == 1) { /* Nobody else writes: no locked instruction. */
        __atomic_store_n(acked, MAX(seen, ts), __ATOMIC_RELEASE);
        return;
    }
    while (seen < ts && !__atomic_compare_exchange_n(acked, &seen, ts, true, __ATOMIC_RELEASE,
                                                     __ATOMIC_RELAXED)) {}
}

static uint64_t *
word_at(struct shared *shared, enum shard_word word, uint32_t shard)
{
    ASSERT(word < SHARD_WORD_COUNT);
    ASSERT(shard < shared->shards);
    return &shared->words[shard * SHARD_WORD_COUNT + word].value;
}

void
shard_word_set(enum shard_word word, uint64_t value)
{
    __atomic_store_n(word_at(shared_current(), word, shard_id()), value, __ATOMIC_RELEASE);
}

uint64_t
shard_word_get(enum shard_word word, uint32_t shard)
{
    return __atomic_load_n(word_at(shared_current(), word, shard), __ATOMIC_ACQUIRE);
}

uint64_t
shard_word_min(enum shard_word word)
{
    struct shared *shared = shared_current();
    uint64_t smallest = UINT64_MAX;

    for (uint32_t i = 0; i < shared->shards; i++) {
        smallest = MIN(smallest, __atomic_load_n(word_at(shared, word, i), __ATOMIC_ACQUIRE));
    }
    return smallest;
}
