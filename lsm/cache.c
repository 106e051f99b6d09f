/* lsm/cache.c - the block cache. Theory and picture: cache.h. */
#include "lsm/cache.h"

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"

#include "engine/base/poison.h"

enum {
    CACHED_USES_MAX = 3,
    CACHED_USES_TO_MAIN = 2,  /* Uses in the small queue that make a block worth keeping. */
    CACHE_SMALL_SHARE = 10,   /* The small queue is one part in so many. */
    CACHE_BLOCK_BYTES = 4096, /* Expected, for the size of the hash table and the ghosts. */
    CACHE_BUCKETS_MIN = 16,
    CACHE_GHOST_WAYS = 4,
    CACHE_LEAST_SHARE = 4,         /* 1/4 of the capacity is never lent. */
    CACHE_GUIDES_SHARE = 2,        /* Indexes and filters may be as large as 1/2 of it; */
    CACHE_GUIDES_SPARE_SHARE = 16, /* what is above 1/16 is missing for blocks. */
    CACHE_EVICT_MAX = 64,          /* Blocks for the room of one. */
    CACHE_EVICT_UNITS = 3,         /* Of fiber_work. */
    CACHE_PINNED_MAX = 64,         /* Pinned blocks met in a row before eviction gives up. */
};
enum { CACHE_PREFETCH_BYTES = 4 * 64 }; /* A block's header, restarts and first timestamps. */
enum { CACHE_AHEAD_SHARE = 16, CACHE_AHEAD_BYTES_MIN = 256 << 10 };
#define BLOCK_CACHE_MAGIC UINT64_C(0x6f72626974636163)

/* The name of a block that was evicted from the small queue, and when. */
struct cache_ghost {
    uint32_t tag;    /* Of the block's hash; 0: empty. */
    uint32_t number; /* Of the eviction, counted from the cache's beginning. */
};

struct block_cache {
    uint64_t magic;
    uint32_t owners;        /* block_cache_pin. */
    struct cond alone_cond; /* The owner is the only one left. */
    bool is_freed;          /* By its owner; nothing is kept any more. */
    uint64_t pinned;        /* Pins in all. */

    struct cached_block **buckets;
    uint32_t bucket_count; /* A power of two. */

    struct list small; /* Oldest first. */
    struct list main;
    uint64_t small_bytes;
    uint64_t main_bytes;
    uint64_t capacity_bytes;
    uint64_t lent_bytes;        /* Of them, used by others. */
    uint64_t guide_spare_bytes; /* What guides may take without blocks giving way. */
    struct guide_pool guides;
    uint64_t guide_limit_bytes; /* Asked for; 0: CACHE_GUIDES_SHARE of the capacity. */
    uint64_t ahead_bytes;       /* That scans have taken to read ahead. */

    struct cache_ghost *ghosts; /* bucket_count of them, in sets of CACHE_GHOST_WAYS. */
    uint32_t ghost_number;

    uint64_t hits, misses, inserted, evicted, ghost_hits;
};

/* ---- Names. ---- */

static uint64_t
cache_hash(uint64_t file_number, uint64_t offset)
{
    uint64_t hash = (file_number + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ offset;

    hash = (hash ^ (hash >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return hash ^ (hash >> 32);
}

static uint64_t
block_hash(const struct cached_block *block)
{
    return cache_hash(block->file_number, block->offset);
}

static struct cached_block **
cache_bucket(struct block_cache *cache, uint64_t hash)
{
    return &cache->buckets[hash & (cache->bucket_count - 1)];
}

static struct cached_block *
cache_lookup(struct block_cache *cache, uint64_t file_number, uint64_t offset)
{
    struct cached_block *block = *cache_bucket(cache, cache_hash(file_number, offset));

    while (block != NULL && (block->offset != offset || block->file_number != file_number)) {
        block = block->chain;
    }
    return block;
}

static void
cache_hash_insert(struct block_cache *cache, struct cached_block *block)
{
    struct cached_block **bucket = cache_bucket(cache, block_hash(block));

    block->chain = *bucket;
    *bucket = block;
    block->is_hashed = true;
}

static void
cache_hash_remove(struct block_cache *cache, struct cached_block *block)
{
    struct cached_block **link = cache_bucket(cache, block_hash(block));

    ASSERT(block->is_hashed);
    while (*link != block) {
        ASSERT(*link != NULL);
        link = &(*link)->chain;
    }
    *link = block->chain;
    block->is_hashed = false;
}

/* ---- Ghosts. ---- */

static struct cache_ghost *
ghost_set(struct block_cache *cache, uint64_t hash)
{
    uint32_t sets = cache->bucket_count / CACHE_GHOST_WAYS;

    return &cache->ghosts[(hash >> 32 & (sets - 1)) * CACHE_GHOST_WAYS];
}

static uint32_t
ghost_tag(uint64_t hash)
{
    return (uint32_t)hash | 1;
}

static bool
ghost_is_live(const struct block_cache *cache, const struct cache_ghost *ghost)
{
    return ghost->tag != 0 && cache->ghost_number - ghost->number <= cache->bucket_count;
}

static void
ghost_add(struct block_cache *cache, uint64_t hash)
{
    struct cache_ghost *set = ghost_set(cache, hash);
    struct cache_ghost *oldest = &set[0];

    cache->ghost_number++;
    for (uint32_t i = 0; i < CACHE_GHOST_WAYS; i++) {
        if (!ghost_is_live(cache, &set[i])) {
            oldest = &set[i];
            break;
        }
        if (cache->ghost_number - set[i].number > cache->ghost_number - oldest->number) {
            oldest = &set[i];
        }
    }
    *oldest = (struct cache_ghost){.tag = ghost_tag(hash), .number = cache->ghost_number};
}

static bool
ghost_take(struct block_cache *cache, uint64_t hash)
{
    struct cache_ghost *set = ghost_set(cache, hash);

    for (uint32_t i = 0; i < CACHE_GHOST_WAYS; i++) {
        if (set[i].tag == ghost_tag(hash) && ghost_is_live(cache, &set[i])) {
            set[i].tag = 0;
            return true;
        }
    }
    return false;
}

/* ---- Blocks. ---- */

/* Counted as the allocator does, which for a block of a little over 4 KiB is a quarter more. */
static size_t
data_room(uint32_t data_bytes)
{
    return data_bytes == 0 ? 0 : mem_good_size(data_bytes);
}

static uint64_t
block_bytes(const struct cached_block *block)
{
    return sizeof(*block) + data_room(block->data_bytes);
}

static void
block_free(struct cached_block *block)
{
    ASSERT(block->pins == 0);
    ASSERT(block->queue == CACHED_NONE);
    ASSERT(!block->is_hashed);
    mem_free_dense(MEM_CACHE, block->data, data_room(block->data_bytes));
    mem_free_dense(MEM_CACHE, block, sizeof(*block));
}

void
cached_block_reserve(struct cached_block *block, uint32_t data_bytes)
{
    ASSERT(data_bytes <= BLOCK_BYTES_MAX);
    if (block->data_bytes != data_bytes || block->data == NULL) {
        mem_free_dense(MEM_CACHE, block->data, data_room(block->data_bytes));
        block->data = mem_alloc_dense(MEM_CACHE, data_room(data_bytes));
        block->data_bytes = data_bytes;
    }
}

static struct cached_block *
block_new(struct block_cache *cache)
{
    struct cached_block *block = mem_alloc_dense(MEM_CACHE, sizeof(*block));

    *block = (struct cached_block){0};
    list_init(&block->link);
    cond_init(&block->ready_cond);
    block->pins = 1;
    cache->pinned++;
    return block;
}

struct cached_block *
cached_block_new(struct block_cache *cache, uint32_t data_bytes)
{
    struct cached_block *block = block_new(cache);

    block->state = CACHED_GONE;
    cached_block_reserve(block, data_bytes);
    return block;
}

static void
block_enqueue(struct block_cache *cache, struct cached_block *block, enum cached_queue queue)
{
    if (queue == CACHED_SMALL) {
        cache->small_bytes += block_bytes(block);
        list_push_back(&cache->small, &block->link);
    } else {
        cache->main_bytes += block_bytes(block);
        list_push_back(&cache->main, &block->link);
    }
    block->queue = (uint8_t)queue;
    block->uses = 0;
}

static void
block_dequeue(struct block_cache *cache, struct cached_block *block)
{
    if (block->queue == CACHED_SMALL) {
        cache->small_bytes -= block_bytes(block);
    } else if (block->queue == CACHED_MAIN) {
        cache->main_bytes -= block_bytes(block);
    }
    list_remove(&block->link);
    block->queue = CACHED_NONE;
}

/* Out of the cache; its memory goes with the last pin. */
static void
block_drop(struct block_cache *cache, struct cached_block *block)
{
    block_dequeue(cache, block);
    cache_hash_remove(cache, block);
    block->state = CACHED_GONE;
    if (block->pins == 0) {
        block_free(block);
    }
}

/* ---- Eviction. ---- */

static uint64_t
cache_bytes(const struct block_cache *cache)
{
    return cache->small_bytes + cache->main_bytes;
}

/* Look at the oldest block of a queue: evict it, or let it go on. False when it was pinned and
 * went to the end of its queue as it is. */
static bool
evict_small(struct block_cache *cache)
{
    struct cached_block *block = LIST_ENTRY(cache->small.next, struct cached_block, link);
    uint8_t uses = block->uses;

    block_dequeue(cache, block);
    if (uses >= CACHED_USES_TO_MAIN) {
        block_enqueue(cache, block, CACHED_MAIN);
        return true;
    }
    if (block->pins > 0) {
        block_enqueue(cache, block, CACHED_SMALL);
        block->uses = uses;
        return false;
    }
    ghost_add(cache, block_hash(block));
    block_drop(cache, block);
    cache->evicted++;
    return true;
}

static bool
evict_main(struct block_cache *cache)
{
    struct cached_block *block = LIST_ENTRY(cache->main.next, struct cached_block, link);
    uint8_t uses = block->uses;

    block_dequeue(cache, block);
    if (uses > 0 || block->pins > 0) {
        block_enqueue(cache, block, CACHED_MAIN);
        block->uses = uses > 0 ? uses - 1 : 0;
        return uses > 0;
    }
    block_drop(cache, block);
    cache->evicted++;
    return true;
}

static uint64_t
cache_limit(const struct block_cache *cache)
{
    uint64_t least = cache->capacity_bytes / CACHE_LEAST_SHARE;
    uint64_t used = cache->lent_bytes;

    if (cache->guides.bytes > cache->guide_spare_bytes) {
        used += cache->guides.bytes - cache->guide_spare_bytes;
    }
    return MAX(least, cache->capacity_bytes - MIN(cache->capacity_bytes, used));
}

static bool
evict_one(struct block_cache *cache)
{
    bool from_small = list_is_empty(&cache->main) ||
                      (cache->small_bytes >= cache_limit(cache) / CACHE_SMALL_SHARE &&
                       !list_is_empty(&cache->small));

    return from_small ? evict_small(cache) : evict_main(cache);
}

/* Make room for `more` bytes, by at most CACHE_EVICT_MAX steps: after the limit has fallen, the
 * reader of one block does not pay for all. False when there is none. */
static bool
cache_make_room(struct block_cache *cache, uint64_t more)
{
    uint32_t pinned_in_a_row = 0;

    for (uint32_t steps = 0;
         cache_bytes(cache) > 0 && cache_bytes(cache) + more > cache_limit(cache); steps++) {
        pinned_in_a_row = evict_one(cache) ? 0 : pinned_in_a_row + 1;
        if (pinned_in_a_row > CACHE_PINNED_MAX || steps == CACHE_EVICT_MAX) {
            return false;
        }
    }
    return cache_bytes(cache) + more <= cache_limit(cache);
}

void
block_cache_lend(struct block_cache *cache, uint64_t bytes)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    cache->lent_bytes = bytes;
}

void
block_cache_settle(struct block_cache *cache)
{
    uint32_t pinned_in_a_row = 0;

    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    while (cache_bytes(cache) > cache_limit(cache) && pinned_in_a_row <= CACHE_PINNED_MAX) {
        pinned_in_a_row = evict_one(cache) ? 0 : pinned_in_a_row + 1;
        fiber_work(CACHE_EVICT_UNITS);
    }
}

/* ---- Use. ---- */

static void
block_use(struct block_cache *cache, struct cached_block *block)
{
    block->pins++;
    cache->pinned++;
    if (block->uses < CACHED_USES_MAX) {
        block->uses++;
    }
}

struct cached_block *
block_cache_find(struct block_cache *cache, uint64_t file_number, uint64_t offset, bool is_peek)
{
    struct cached_block *block = cache_lookup(cache, file_number, offset);

    if (block == NULL || block->state != CACHED_READY) {
        return NULL;
    }
    if (is_peek) {
        block->pins++;
        cache->pinned++;
        return block;
    }
    for (uint32_t i = 0; i < CACHE_PREFETCH_BYTES; i += 64) {
        __builtin_prefetch(block->data + i); /* What a search reads first, several lines at once. */
    }
    cache->hits++;
    block_use(cache, block);
    return block;
}

YIELDS struct cached_block *
block_cache_acquire(struct block_cache *cache, uint64_t file_number, uint64_t offset,
                    bool *must_load_out)
{
    struct cached_block *block;

    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    /* A round ends in a block or in one more fiber's own failed read, so the rounds are bounded
     * by the fibers that wait. */
    while ((block = cache_lookup(cache, file_number, offset)) != NULL) {
        block_use(cache, block);
        while (block->state == CACHED_LOADING) {
            SOMETIMES("lsm: a fiber waits for another one's read of a block");
            cond_wait_uncancelable(&block->ready_cond);
        }
        if (block->data != NULL) {
            cache->hits++; /* Perhaps evicted since it was read, but whole. */
            *must_load_out = false;
            return block;
        }
        block_cache_unpin(cache, &block);
    }
    cache->misses++;
    block = block_new(cache);
    block->file_number = file_number;
    block->offset = offset;
    block->state = CACHED_LOADING;
    cache_hash_insert(cache, block);
    *must_load_out = true;
    return block;
}

void
block_cache_adopt(struct block_cache *cache, uint64_t file_number, uint64_t offset,
                  struct cached_block *block)
{
    ASSERT(block->state == CACHED_GONE);
    ASSERT(block->data != NULL);
    if (cache_lookup(cache, file_number, offset) != NULL) {
        return; /* Somebody else has it, or reads it. */
    }
    block->file_number = file_number;
    block->offset = offset;
    block->state = CACHED_LOADING;
    cache_hash_insert(cache, block);
    block_cache_loaded(cache, block);
}

void
block_cache_loaded(struct block_cache *cache, struct cached_block *block)
{
    bool was_ghost = ghost_take(cache, block_hash(block));

    ASSERT(block->state == CACHED_LOADING);
    ASSERT(block->data != NULL);
    cache->ghost_hits += was_ghost;
    if (cache->is_freed || !cache_make_room(cache, block_bytes(block))) {
        cache_hash_remove(cache, block);
        block->state = CACHED_GONE; /* Goes with its last pin. */
    } else {
        block->state = CACHED_READY;
        block_enqueue(cache, block, was_ghost ? CACHED_MAIN : CACHED_SMALL);
        cache->inserted++;
    }
    cond_broadcast(&block->ready_cond);
}

void
block_cache_failed(struct block_cache *cache, struct cached_block *block)
{
    ASSERT(block->state == CACHED_LOADING);
    cache_hash_remove(cache, block);
    mem_free_dense(MEM_CACHE, block->data, data_room(block->data_bytes));
    block->data = NULL; /* What tells the others. */
    block->data_bytes = 0;
    block->state = CACHED_GONE;
    cond_broadcast(&block->ready_cond);
}

void
block_cache_pin_again(struct block_cache *cache, struct cached_block *block)
{
    ASSERT(block->pins > 0);
    block->pins++;
    cache->pinned++;
}

void
block_cache_unpin(struct block_cache *cache, struct cached_block **block)
{
    struct cached_block *taken = *block;

    *block = NULL;
    if (taken == NULL) {
        return;
    }
    ASSERT(taken->pins > 0);
    taken->pins--;
    cache->pinned--;
    if (taken->pins == 0 && taken->state == CACHED_GONE) {
        block_free(taken);
    }
}

void
block_cache_remove(struct block_cache *cache, uint64_t file_number, uint64_t offset)
{
    struct cached_block *block = cache_lookup(cache, file_number, offset);

    if (block != NULL && block->state == CACHED_READY) {
        block_drop(cache, block);
    }
}

/* ---- The cache itself. ---- */

static uint32_t
cache_buckets_for(uint64_t capacity_bytes)
{
    uint64_t wanted = MIN(capacity_bytes / CACHE_BLOCK_BYTES, (uint64_t)1 << 30);
    uint32_t buckets = CACHE_BUCKETS_MIN;

    while (buckets < wanted) {
        buckets *= 2;
    }
    return buckets;
}

static uint64_t
cache_fixed_bytes(uint32_t buckets)
{
    return buckets * (sizeof(struct cached_block *) + sizeof(struct cache_ghost));
}

static void
cache_tables_new(struct block_cache *cache, uint64_t capacity_bytes)
{
    uint32_t buckets = cache_buckets_for(capacity_bytes);
    uint64_t fixed = cache_fixed_bytes(buckets);

    cache->buckets = mem_zalloc(MEM_CACHE, buckets * sizeof(struct cached_block *));
    cache->ghosts = mem_zalloc(MEM_CACHE, buckets * sizeof(struct cache_ghost));
    if (cache->buckets == NULL || cache->ghosts == NULL) {
        fatal("out of memory: the tables of a block cache of %llu bytes",
              (unsigned long long)capacity_bytes);
    }
    cache->bucket_count = buckets;
    cache->capacity_bytes = capacity_bytes > fixed ? capacity_bytes - fixed : 0;
}

static void
cache_tables_free(struct cached_block **buckets, struct cache_ghost *ghosts, uint32_t count)
{
    mem_free(MEM_CACHE, buckets, count * sizeof(struct cached_block *));
    mem_free(MEM_CACHE, ghosts, count * sizeof(struct cache_ghost));
}

static void
cache_guides_size(struct block_cache *cache, uint64_t capacity_bytes)
{
    uint64_t share_bytes = capacity_bytes / CACHE_GUIDES_SHARE;

    if (cache->guide_limit_bytes > 0) {
        share_bytes = MIN(cache->guide_limit_bytes, share_bytes);
    }
    cache->guide_spare_bytes = capacity_bytes / CACHE_GUIDES_SPARE_SHARE;
    guide_pool_limit(&cache->guides, share_bytes);
}

struct block_cache *
block_cache_new(uint64_t capacity_bytes)
{
    struct block_cache *cache = MEM_NEW(MEM_CACHE, struct block_cache);

    cache->magic = BLOCK_CACHE_MAGIC;
    cache->owners = 1;
    cond_init(&cache->alone_cond);
    list_init(&cache->small);
    list_init(&cache->main);
    cache_tables_new(cache, capacity_bytes);
    guide_pool_init(&cache->guides, 0);
    cache_guides_size(cache, capacity_bytes);
    return cache;
}

bool
block_cache_ahead_take(struct block_cache *cache, uint64_t bytes)
{
    uint64_t limit =
        MAX(cache->capacity_bytes / CACHE_AHEAD_SHARE, (uint64_t)CACHE_AHEAD_BYTES_MIN);

    if (cache->ahead_bytes + bytes > limit) {
        return false;
    }
    cache->ahead_bytes += bytes;
    return true;
}

void
block_cache_ahead_give(struct block_cache *cache, uint64_t bytes)
{
    ASSERT(cache->ahead_bytes >= bytes);
    cache->ahead_bytes -= bytes;
}

struct guide_pool *
block_cache_guides(struct block_cache *cache)
{
    return &cache->guides;
}

void
block_cache_pin(struct block_cache *cache)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    cache->owners++;
}

void
block_cache_release(struct block_cache *cache)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    ASSERT(cache->owners > 0);
    if (--cache->owners > 0) {
        if (cache->owners == 1) {
            cond_broadcast(&cache->alone_cond);
        }
        return;
    }
    ASSERT(cache->is_freed);
    ASSERT(cache->pinned == 0);
    ASSERT(cache->guides.bytes == 0);
    cache_tables_free(cache->buckets, cache->ghosts, cache->bucket_count);
    cache->magic = 0;
    MEM_FREE(MEM_CACHE, cache);
}

YIELDS void
block_cache_drain(struct block_cache *cache)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    ASSERT(!cache->is_freed);
    while (cache->owners > 1) {
        cond_wait_uncancelable(&cache->alone_cond);
    }
}

static void
cache_drop_all(struct block_cache *cache, struct list *queue)
{
    LIST_FOR_EACH_SAFE(node, queue) {
        block_drop(cache, LIST_ENTRY(node, struct cached_block, link));
    }
}

void
block_cache_free(struct block_cache **cache)
{
    struct block_cache *taken = *cache;

    *cache = NULL;
    if (taken == NULL) {
        return;
    }
    OBJ_CHECK(taken, BLOCK_CACHE_MAGIC);
    taken->is_freed = true;
    cache_drop_all(taken, &taken->small);
    cache_drop_all(taken, &taken->main);
    block_cache_release(taken);
}

void
block_cache_resize(struct block_cache *cache, uint64_t capacity_bytes)
{
    struct cached_block **old_buckets = cache->buckets;
    struct cache_ghost *old_ghosts = cache->ghosts;
    uint32_t old_count = cache->bucket_count;

    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    cache_tables_new(cache, capacity_bytes);
    for (uint32_t i = 0; i < old_count; i++) {
        struct cached_block *next;

        for (struct cached_block *block = old_buckets[i]; block != NULL; block = next) {
            next = block->chain;
            cache_hash_insert(cache, block);
        }
    }
    cache_tables_free(old_buckets, old_ghosts, old_count);
    cache_guides_size(cache, capacity_bytes);
    while (cache_bytes(cache) > cache_limit(cache) && evict_one(cache)) {}
}

void
block_cache_guides_limit(struct block_cache *cache, uint64_t bytes)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    cache->guide_limit_bytes = bytes;
    cache_guides_size(cache, cache->capacity_bytes + cache_fixed_bytes(cache->bucket_count));
}

void
block_cache_stats_get(const struct block_cache *cache, struct block_cache_stats *stats_out)
{
    OBJ_CHECK(cache, BLOCK_CACHE_MAGIC);
    *stats_out = (struct block_cache_stats){
        .hits = cache->hits,
        .misses = cache->misses,
        .inserted = cache->inserted,
        .evicted = cache->evicted,
        .ghost_hits = cache->ghost_hits,
        .bytes = cache_bytes(cache) + cache_fixed_bytes(cache->bucket_count),
        .capacity_bytes = cache->capacity_bytes + cache_fixed_bytes(cache->bucket_count),
        .guide_bytes = cache->guides.bytes,
        .guides_loaded = cache->guides.loaded,
        .guides_evicted = cache->guides.evicted,
    };
}
