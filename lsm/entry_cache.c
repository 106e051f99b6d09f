/* lsm/entry_cache.c - theory and invariants: entry_cache.h.
 *
 *     index: buckets of eight places, one cache line      chunks, in two queues
 *     | hash, position | hash, position | ... |           small: oldest ... filling
 *              |                                          main:  oldest ... filling
 *              +--> chunk number, offset / 8
 *
 * An entry lives as long as a place names it. What no place names is left where it is, until its
 * chunk comes to the end of its queue. A full bucket gives up its least used place. */
#include "lsm/entry_cache.h"

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/base/sometimes.h"
#include "lsm/table.h"

#include "engine/base/poison.h"

#define ENTRY_CACHE_MAGIC UINT64_C(0x6f72626974656e74)

enum {
    PLACES = 8,
    POSITION_BITS = 12, /* Of a chunk, in units of eight bytes. */
    POSITION_NONE = UINT32_MAX,
    CHUNKS_MAX = 1 << (32 - POSITION_BITS - 1), /* 16 GiB of them. */
    USES_MAX = 3,
    ENTRY_BYTES_EXPECTED = 160,
    ENTRIES_A_BUCKET = 5, /* The index is sized so that buckets hold about so many. */
    SMALL_SHARE = 10,     /* The small queue has one part in so many. */
    CHUNKS_MIN = 4,
    GHOST_WAYS = 4,
    GHOST_SHARE = 1024,  /* One ghost for so many bytes of the budget. */
    ADAPT_OFFERS = 4096, /* Between two looks at the share. */
    BLOCK_BYTES = 4096,  /* Expected. */
};

_Static_assert(ENTRY_CACHE_CHUNK_BYTES == 8 << POSITION_BITS, "a position names every eighth byte");

struct cached_entry {
    uint64_t ts;
    uint64_t expire_us;
    uint32_t hash; /* Upper half. */
    uint16_t key_size;
    uint16_t value_size;
    uint16_t value_capacity;
    uint16_t slot;
    uint8_t kind;
    uint8_t uses;
    uint8_t bytes[]; /* Key, value. */
};

struct entry_place {
    uint32_t hash;
    uint32_t position; /* POSITION_NONE: free. */
};

struct entry_chunk {
    uint8_t *data; /* NULL: this number is free. */
    uint32_t used;
    uint32_t next; /* Younger one of its queue, or the next free number; CHUNKS_MAX: none. */
};

struct entry_queue {
    uint32_t oldest; /* CHUNKS_MAX: empty. */
    uint32_t filling;
    uint32_t chunks;
};

struct entry_ghost {
    uint32_t hash; /* 0: empty. */
    uint32_t number;
};

struct entry_cache {
    uint64_t magic;
    uint64_t budget_bytes;
    uint64_t generation;
    uint32_t share;
    uint32_t entries; /* Named by places. */

    struct entry_place *index; /* NULL while nothing was ever kept. */
    uint32_t bucket_count;     /* A power of two. */

    struct entry_chunk *chunks;
    uint32_t chunk_count; /* Numbers in use and free ones. */
    uint32_t chunk_capacity;
    uint32_t chunk_free; /* The first free number. */
    struct entry_queue small;
    struct entry_queue main;

    struct entry_ghost *ghosts;
    uint32_t ghost_count; /* A power of two. */
    uint32_t ghost_number;

    uint32_t offers; /* Since the last look at the share. */
    uint64_t ghost_hits_before;
    uint64_t block_ghost_hits_before;
    struct entry_cache_stats stats;
};

/* ---- Sizes. ---- */

static uint32_t
chunks_allowed(const struct entry_cache *cache)
{
    uint64_t bytes = cache->budget_bytes / ENTRY_CACHE_SHARES * cache->share;

    return (uint32_t)MIN(MAX(bytes / ENTRY_CACHE_CHUNK_BYTES, (uint64_t)CHUNKS_MIN),
                         (uint64_t)CHUNKS_MAX - 2);
}

static uint32_t
buckets_wanted(const struct entry_cache *cache)
{
    uint64_t entries =
        (uint64_t)chunks_allowed(cache) * ENTRY_CACHE_CHUNK_BYTES / ENTRY_BYTES_EXPECTED;
    uint32_t buckets = 16;

    while ((uint64_t)buckets * ENTRIES_A_BUCKET < entries) {
        buckets *= 2;
    }
    return buckets;
}

static size_t
index_bytes(uint32_t buckets)
{
    return (size_t)buckets * PLACES * sizeof(struct entry_place);
}

static uint32_t
ghosts_wanted(uint64_t budget_bytes)
{
    uint32_t count = 64;

    while ((uint64_t)count * GHOST_SHARE < budget_bytes && count < 1u << 24) {
        count *= 2;
    }
    return count;
}

uint64_t
entry_cache_bytes(const struct entry_cache *cache)
{
    uint64_t chunks = cache->index == NULL ? 0 : chunks_allowed(cache);

    return chunks * ENTRY_CACHE_CHUNK_BYTES + index_bytes(cache->bucket_count) +
           cache->ghost_count * sizeof(struct entry_ghost);
}

bool
entry_cache_is_empty(const struct entry_cache *cache)
{
    return cache->entries == 0;
}

/* ---- The index. The upper half of the hash names bucket and place. ---- */

static uint32_t
hash_upper(uint64_t hash)
{
    return (uint32_t)(hash >> 32);
}

static struct entry_place *
bucket_of(struct entry_cache *cache, uint32_t hash)
{
    return &cache->index[(size_t)(hash & (cache->bucket_count - 1)) * PLACES];
}

static struct cached_entry *
entry_at(const struct entry_cache *cache, uint32_t position)
{
    const struct entry_chunk *chunk = &cache->chunks[position >> POSITION_BITS];

    return (void *)(chunk->data + (size_t)(position & ((1 << POSITION_BITS) - 1)) * 8);
}

static bool
entry_is(const struct cached_entry *entry, struct slice key)
{
    return entry->key_size == key.size && memcmp(entry->bytes, key.data, key.size) == 0;
}

/* The place of the key, or NULL. */
static struct entry_place *
place_find(struct entry_cache *cache, struct slice key, uint32_t hash)
{
    struct entry_place *bucket = bucket_of(cache, hash);

    for (uint32_t i = 0; i < PLACES; i++) {
        if (bucket[i].hash == hash && bucket[i].position != POSITION_NONE &&
            entry_is(entry_at(cache, bucket[i].position), key)) {
            return &bucket[i];
        }
    }
    return NULL;
}

/* A free place, or the least used one, whose entry is given up. */
static struct entry_place *
place_take(struct entry_cache *cache, uint32_t hash)
{
    struct entry_place *bucket = bucket_of(cache, hash);
    struct entry_place *least = NULL;
    uint32_t least_uses = USES_MAX + 1;

    for (uint32_t i = 0; i < PLACES; i++) {
        if (bucket[i].position == POSITION_NONE) {
            cache->entries++;
            return &bucket[i];
        }
        if (entry_at(cache, bucket[i].position)->uses < least_uses) {
            least = &bucket[i];
            least_uses = entry_at(cache, bucket[i].position)->uses;
        }
    }
    cache->stats.evicted++;
    return least;
}

static void
place_free(struct entry_cache *cache, struct entry_place *place)
{
    ASSERT(cache->entries > 0);
    place->position = POSITION_NONE;
    cache->entries--;
}

/* Another number of buckets. A place that finds its new bucket full is given up. */
static void
index_resize(struct entry_cache *cache, uint32_t buckets)
{
    struct entry_place *old = cache->index;
    uint32_t old_count = cache->bucket_count;
    struct entry_place *index = mem_alloc(MEM_CACHE, index_bytes(buckets));

    if (index == NULL) {
        return; /* Goes on with the one there is. */
    }
    memset(index, 0xff, index_bytes(buckets));
    cache->index = index;
    cache->bucket_count = buckets;
    cache->entries = 0;
    for (size_t i = 0; i < (size_t)old_count * PLACES; i++) {
        if (old[i].position != POSITION_NONE) {
            *place_take(cache, old[i].hash) = old[i];
        }
    }
    mem_free(MEM_CACHE, old, index_bytes(old_count));
}

/* ---- Ghosts. ---- */

static struct entry_ghost *
ghost_set(struct entry_cache *cache, uint32_t hash)
{
    return &cache->ghosts[(hash & (cache->ghost_count / GHOST_WAYS - 1)) * GHOST_WAYS];
}

static bool
ghost_is_live(const struct entry_cache *cache, const struct entry_ghost *ghost)
{
    return ghost->hash != 0 && cache->ghost_number - ghost->number <= cache->ghost_count;
}

static void
ghost_add(struct entry_cache *cache, uint32_t hash)
{
    struct entry_ghost *set = ghost_set(cache, hash);
    struct entry_ghost *oldest = &set[0];

    cache->ghost_number++;
    for (uint32_t i = 0; i < GHOST_WAYS; i++) {
        if (!ghost_is_live(cache, &set[i])) {
            oldest = &set[i];
            break;
        }
        if (cache->ghost_number - set[i].number > cache->ghost_number - oldest->number) {
            oldest = &set[i];
        }
    }
    *oldest = (struct entry_ghost){.hash = hash | 1, .number = cache->ghost_number};
}

static bool
ghost_take(struct entry_cache *cache, uint32_t hash)
{
    struct entry_ghost *set = ghost_set(cache, hash);

    for (uint32_t i = 0; i < GHOST_WAYS; i++) {
        if (set[i].hash == (hash | 1) && ghost_is_live(cache, &set[i])) {
            set[i].hash = 0;
            return true;
        }
    }
    return false;
}

/* ---- Chunks. ---- */

static void
queue_init(struct entry_queue *queue)
{
    *queue = (struct entry_queue){.oldest = CHUNKS_MAX, .filling = CHUNKS_MAX};
}

/* A number for one more chunk; CHUNKS_MAX when there is none. */
static uint32_t
chunk_number(struct entry_cache *cache)
{
    uint32_t number = cache->chunk_free;

    if (number != CHUNKS_MAX) {
        cache->chunk_free = cache->chunks[number].next;
        return number;
    }
    if (cache->chunk_count == cache->chunk_capacity) {
        uint32_t capacity = MAX(cache->chunk_capacity * 2, 16u);

        if (cache->chunk_count >= CHUNKS_MAX - 1) {
            return CHUNKS_MAX;
        }
        cache->chunks =
            mem_realloc(MEM_CACHE, cache->chunks, cache->chunk_capacity * sizeof(*cache->chunks),
                        capacity * sizeof(*cache->chunks));
        cache->chunk_capacity = capacity;
    }
    return cache->chunk_count++;
}

/* A new chunk at the young end of the queue. */
static bool
chunk_add(struct entry_cache *cache, struct entry_queue *queue)
{
    uint32_t number = chunk_number(cache);

    if (number == CHUNKS_MAX) {
        return false;
    }
    cache->chunks[number] = (struct entry_chunk){
        .data = mem_alloc(MEM_CACHE, ENTRY_CACHE_CHUNK_BYTES), .next = CHUNKS_MAX};
    if (queue->filling == CHUNKS_MAX) {
        queue->oldest = number;
    } else {
        cache->chunks[queue->filling].next = number;
    }
    queue->filling = number;
    queue->chunks++;
    return true;
}

static void
chunk_free(struct entry_cache *cache, uint32_t number)
{
    struct entry_chunk *chunk = &cache->chunks[number];

    mem_free(MEM_CACHE, chunk->data, ENTRY_CACHE_CHUNK_BYTES);
    chunk->data = NULL;
    chunk->next = cache->chunk_free;
    cache->chunk_free = number;
}

static uint32_t
entry_bytes(uint32_t key_size, uint32_t value_capacity)
{
    return (uint32_t)align_up(offsetof(struct cached_entry, bytes) + key_size + value_capacity, 8);
}

/* Room in the chunk that the queue fills; POSITION_NONE when there can be no further chunk. */
static uint32_t
queue_reserve(struct entry_cache *cache, struct entry_queue *queue, uint32_t bytes)
{
    struct entry_chunk *chunk;
    uint32_t position;

    if ((queue->filling == CHUNKS_MAX ||
         cache->chunks[queue->filling].used + bytes > ENTRY_CACHE_CHUNK_BYTES) &&
        !chunk_add(cache, queue)) {
        return POSITION_NONE;
    }
    chunk = &cache->chunks[queue->filling];
    position = queue->filling << POSITION_BITS | chunk->used / 8;
    chunk->used += bytes;
    return position;
}

/* ---- Eviction: the oldest chunk of a queue goes, and its entries with it or onwards. ---- */

static struct entry_place *
place_of(struct entry_cache *cache, uint32_t hash, uint32_t position)
{
    struct entry_place *bucket = bucket_of(cache, hash);

    for (uint32_t i = 0; i < PLACES; i++) {
        if (bucket[i].position == position) {
            return &bucket[i];
        }
    }
    return NULL;
}

/* False when it finds no room and is given up. */
static bool
entry_move(struct entry_cache *cache, struct entry_place *place, const struct cached_entry *entry,
           uint8_t uses)
{
    uint32_t bytes = entry_bytes(entry->key_size, entry->value_capacity);
    uint32_t position = queue_reserve(cache, &cache->main, bytes);
    struct cached_entry *to;

    if (position == POSITION_NONE) {
        return false;
    }
    to = entry_at(cache, position);
    memcpy(to, entry, bytes);
    to->uses = uses;
    place->position = position;
    return true;
}

static void
entry_leave(struct entry_cache *cache, const struct cached_entry *entry, uint32_t position,
            bool is_small)
{
    struct entry_place *place = place_of(cache, entry->hash, position);

    if (place == NULL) {
        return; /* Dropped long ago, or replaced. */
    }
    if (entry->uses > 0 &&
        entry_move(cache, place, entry, is_small ? 0 : (uint8_t)(entry->uses - 1))) {
        return;
    }
    if (is_small) {
        ghost_add(cache, entry->hash);
    }
    place_free(cache, place);
    cache->stats.evicted++;
}

static void
evict_chunk(struct entry_cache *cache, struct entry_queue *queue)
{
    bool is_small = queue == &cache->small;
    uint32_t number = queue->oldest;
    struct entry_chunk chunk = cache->chunks[number];
    uint32_t bytes;

    queue->oldest = chunk.next;
    queue->chunks--;
    if (queue->oldest == CHUNKS_MAX) {
        queue->filling = CHUNKS_MAX;
    }
    for (uint32_t at = 0; at < chunk.used; at += bytes) {
        const struct cached_entry *entry = (void *)(chunk.data + at);

        bytes = entry_bytes(entry->key_size, entry->value_capacity);
        entry_leave(cache, entry, number << POSITION_BITS | at / 8, is_small);
    }
    chunk_free(cache, number);
}

/* Chunks beyond what is allowed go. A round over main may free nothing, when all of it was used;
 * uses fall with each round, so there are few. */
static void
evict(struct entry_cache *cache)
{
    uint32_t allowed = chunks_allowed(cache);
    uint32_t rounds = (USES_MAX + 2) * (cache->small.chunks + cache->main.chunks + 1);

    while (cache->small.chunks + cache->main.chunks > allowed && rounds-- > 0) {
        bool from_small =
            cache->main.chunks == 0 || cache->small.chunks > MAX(allowed / SMALL_SHARE, 1u);

        evict_chunk(cache, from_small ? &cache->small : &cache->main);
    }
}

/* ---- Use. ---- */

bool
entry_cache_find(struct entry_cache *cache, struct slice key, uint64_t hash,
                 struct lsm_entry *entry_out)
{
    struct entry_place *place;
    struct cached_entry *entry;

    if (cache->entries == 0) {
        return false;
    }
    place = place_find(cache, key, hash_upper(hash));
    if (place == NULL) {
        cache->stats.misses++;
        return false;
    }
    entry = entry_at(cache, place->position);
    entry->uses += entry->uses < USES_MAX;
    cache->stats.hits++;
    *entry_out = (struct lsm_entry){
        .key = key,
        .value = slice_of(entry->bytes + entry->key_size, entry->value_size),
        .ts = entry->ts,
        .expire_us = entry->expire_us,
        .slot = entry->slot,
        .kind = entry->kind,
    };
    return true;
}

static void
entry_fill(struct cached_entry *to, const struct lsm_entry *entry)
{
    to->ts = entry->ts;
    to->expire_us = entry->expire_us;
    to->value_size = (uint16_t)entry->value.size;
    to->slot = entry->slot;
    to->kind = entry->kind;
    if (entry->value.size > 0) {
        memcpy(to->bytes + to->key_size, entry->value.data, entry->value.size);
    }
}

static void
entry_insert(struct entry_cache *cache, uint32_t hash, const struct lsm_entry *entry)
{
    bool was_ghost = ghost_take(cache, hash);
    struct entry_queue *queue = was_ghost ? &cache->main : &cache->small;
    uint32_t position = queue_reserve(
        cache, queue, entry_bytes((uint32_t)entry->key.size, (uint32_t)entry->value.size));
    struct cached_entry *to;

    cache->stats.ghost_hits += was_ghost;
    if (position == POSITION_NONE) {
        return;
    }
    to = entry_at(cache, position);
    *to = (struct cached_entry){
        .hash = hash,
        .key_size = (uint16_t)entry->key.size,
        .value_capacity = (uint16_t)entry->value.size,
    };
    memcpy(to->bytes, entry->key.data, entry->key.size);
    entry_fill(to, entry);
    *place_take(cache, hash) = (struct entry_place){.hash = hash, .position = position};
    cache->stats.inserted++;
    evict(cache);
}

uint64_t
entry_cache_generation(const struct entry_cache *cache)
{
    return cache->generation;
}

void
entry_cache_next_generation(struct entry_cache *cache)
{
    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    cache->generation++;
}

void
entry_cache_offer(struct entry_cache *cache, uint64_t hash, const struct lsm_entry *entry,
                  uint64_t generation)
{
    struct entry_place *place;

    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    cache->offers++;
    if (generation != cache->generation || entry->kind == LSM_PUT_LARGE ||
        entry->key.size + entry->value.size > ENTRY_CACHE_BYTES_MAX) {
        return;
    }
    if (cache->index == NULL) {
        index_resize(cache, buckets_wanted(cache));
        if (cache->index == NULL) {
            return;
        }
    }
    place = place_find(cache, entry->key, hash_upper(hash));
    if (place == NULL) { /* Another reader may have been quicker. */
        entry_insert(cache, hash_upper(hash), entry);
    }
}

void
entry_cache_flushed(struct entry_cache *cache, const struct lsm_entry *entry)
{
    struct entry_place *place;
    struct cached_entry *cached;

    if (cache->entries == 0) {
        return;
    }
    place = place_find(cache, entry->key, hash_upper(table_key_hash(entry->key)));
    if (place == NULL || entry_at(cache, place->position)->ts >= entry->ts) {
        return;
    }
    cached = entry_at(cache, place->position);
    if (entry->kind != LSM_PUT_LARGE && entry->value.size <= cached->value_capacity) {
        entry_fill(cached, entry);
        cache->stats.updated++;
    } else {
        place_free(cache, place);
        cache->stats.dropped++;
    }
}

static void
queue_clear(struct entry_cache *cache, struct entry_queue *queue)
{
    while (queue->oldest != CHUNKS_MAX) {
        uint32_t number = queue->oldest;

        queue->oldest = cache->chunks[number].next;
        chunk_free(cache, number);
    }
    queue_init(queue);
}

void
entry_cache_clear(struct entry_cache *cache)
{
    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    if (cache->entries > 0) {
        SOMETIMES("lsm: the entry cache was cleared");
    }
    cache->stats.dropped += cache->entries;
    queue_clear(cache, &cache->small);
    queue_clear(cache, &cache->main);
    if (cache->index != NULL) {
        memset(cache->index, 0xff, index_bytes(cache->bucket_count));
    }
    cache->entries = 0;
}

/* ---- The share. ---- */

static void
share_set(struct entry_cache *cache, uint32_t share)
{
    uint32_t buckets;

    cache->share = share;
    buckets = buckets_wanted(cache);
    evict(cache);
    if (cache->index != NULL && buckets != cache->bucket_count) {
        index_resize(cache, buckets);
    }
}

/* Ghosts of entries stand for ENTRY_BYTES_EXPECTED each, those of blocks for as much as the budget
 * (cache.c). What counts is hits for a byte. */
bool
entry_cache_adapt(struct entry_cache *cache, uint64_t block_ghost_hits)
{
    uint64_t entry_hits = cache->stats.ghost_hits - cache->ghost_hits_before;
    uint64_t block_hits = block_ghost_hits - cache->block_ghost_hits_before;
    uint32_t share = cache->share;

    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    if (cache->offers < ADAPT_OFFERS) {
        return false;
    }
    cache->offers = 0;
    cache->ghost_hits_before = cache->stats.ghost_hits;
    cache->block_ghost_hits_before = block_ghost_hits;
    entry_hits *= cache->budget_bytes / ((uint64_t)cache->ghost_count * ENTRY_BYTES_EXPECTED) + 1;
    if (entry_hits * 2 > block_hits * 3 && share < ENTRY_CACHE_SHARE_MAX) {
        share_set(cache, MIN(share * 2, (uint32_t)ENTRY_CACHE_SHARE_MAX));
    } else if (entry_hits * 3 < block_hits * 2 && share > ENTRY_CACHE_SHARE_MIN) {
        share_set(cache, MAX(share / 2, (uint32_t)ENTRY_CACHE_SHARE_MIN));
    }
    return cache->share != share;
}

/* ---- Life. ---- */

struct entry_cache *
entry_cache_new(uint64_t budget_bytes)
{
    struct entry_cache *cache = MEM_NEW(MEM_CACHE, struct entry_cache);

    cache->magic = ENTRY_CACHE_MAGIC;
    cache->budget_bytes = budget_bytes;
    cache->share = ENTRY_CACHE_SHARE_MIN;
    cache->chunk_free = CHUNKS_MAX;
    cache->ghost_count = ghosts_wanted(budget_bytes);
    cache->ghosts = mem_zalloc(MEM_CACHE, cache->ghost_count * sizeof(*cache->ghosts));
    if (cache->ghosts == NULL) {
        fatal("out of memory: the ghosts of an entry cache of %llu bytes",
              (unsigned long long)budget_bytes);
    }
    queue_init(&cache->small);
    queue_init(&cache->main);
    return cache;
}

void
entry_cache_free(struct entry_cache **cache_ref)
{
    struct entry_cache *cache = *cache_ref;

    *cache_ref = NULL;
    if (cache == NULL) {
        return;
    }
    entry_cache_clear(cache);
    mem_free(MEM_CACHE, cache->index, index_bytes(cache->bucket_count));
    mem_free(MEM_CACHE, cache->chunks, cache->chunk_capacity * sizeof(*cache->chunks));
    mem_free(MEM_CACHE, cache->ghosts, cache->ghost_count * sizeof(*cache->ghosts));
    cache->magic = 0;
    MEM_FREE(MEM_CACHE, cache);
}

void
entry_cache_resize(struct entry_cache *cache, uint64_t budget_bytes)
{
    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    cache->budget_bytes = budget_bytes;
    share_set(cache, cache->share);
}

void
entry_cache_stats_get(const struct entry_cache *cache, struct entry_cache_stats *stats_out)
{
    *stats_out = cache->stats;
    stats_out->bytes = entry_cache_bytes(cache);
    stats_out->share = cache->share;
}

static uint32_t
queue_check(const struct entry_cache *cache, const struct entry_queue *queue)
{
    uint32_t chunks = 0;

    for (uint32_t i = queue->oldest; i != CHUNKS_MAX; i = cache->chunks[i].next) {
        ASSERT(cache->chunks[i].data != NULL);
        ASSERT(cache->chunks[i].used <= ENTRY_CACHE_CHUNK_BYTES);
        chunks++;
    }
    ASSERT(chunks == queue->chunks);
    return chunks;
}

void
entry_cache_check(const struct entry_cache *cache)
{
    uint32_t entries = 0;

    OBJ_CHECK(cache, ENTRY_CACHE_MAGIC);
    ASSERT(queue_check(cache, &cache->small) + queue_check(cache, &cache->main) <=
           chunks_allowed(cache) + 1);
    for (size_t i = 0; i < (size_t)cache->bucket_count * PLACES; i++) {
        const struct entry_place *place = &cache->index[i];
        const struct cached_entry *entry;

        if (place->position == POSITION_NONE) {
            continue;
        }
        entry = entry_at(cache, place->position);
        ASSERT(entry->hash == place->hash);
        ASSERT(i / PLACES == (place->hash & (cache->bucket_count - 1)));
        ASSERT(hash_upper(table_key_hash(slice_of(entry->bytes, entry->key_size))) == entry->hash);
        entries++;
    }
    ASSERT(entries == cache->entries);
}
