/* tests/unit/lsm/test_cache.c - the block cache: bounds, scans, shared reads, pins. */
#include "engine/base/prng.h"
#include "engine/rt/shard.h"
#include "lsm/cache.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_cache, .timeout = 60);

enum { BLOCK_DATA_BYTES = 4000, CAPACITY_BLOCKS = 256 };
#define CAPACITY (CAPACITY_BLOCKS * (uint64_t)(BLOCK_DATA_BYTES + sizeof(struct cached_block)))

/* Use a block as a reader does; true when it was a hit. */
static bool
use(struct block_cache *cache, uint64_t file_number, uint64_t offset)
{
    bool must_load = true;
    struct cached_block *block = block_cache_acquire(cache, file_number, offset, &must_load);

    if (must_load) {
        cached_block_reserve(block, BLOCK_DATA_BYTES);
        memset(block->data, (int)(file_number + offset), BLOCK_DATA_BYTES);
        block_cache_loaded(cache, block);
    }
    cr_assert_eq(block->data[17], (uint8_t)(file_number + offset));
    block_cache_unpin(cache, &block);
    cr_assert_null(block);
    return !must_load;
}

static struct block_cache_stats
stats_of(const struct block_cache *cache)
{
    struct block_cache_stats stats;

    block_cache_stats_get(cache, &stats);
    return stats;
}

FIBER_TEST(lsm_cache, stays_within_its_capacity_and_in_the_account)
{
    struct block_cache *cache = block_cache_new(CAPACITY);
    uint64_t fixed = stats_of(cache).bytes;
    struct prng prng;

    prng_init(&prng, 1);
    for (uint32_t i = 0; i < 20000; i++) {
        use(cache, prng_below(&prng, 5), prng_below(&prng, 1000));
        cr_assert_leq(stats_of(cache).bytes, CAPACITY);
    }
    cr_assert_gt(stats_of(cache).bytes, CAPACITY * 9 / 10);
    cr_assert_geq(mem_used(mem_account_current(), MEM_CACHE), stats_of(cache).bytes);
    cr_assert_eq(stats_of(cache).hits + stats_of(cache).misses, 20000);
    cr_assert_eq(stats_of(cache).inserted, stats_of(cache).misses);
    block_cache_resize(cache, CAPACITY / 4);
    cr_assert_leq(stats_of(cache).bytes, CAPACITY / 4);
    for (uint32_t i = 0; i < 2000; i++) {
        use(cache, prng_below(&prng, 5), prng_below(&prng, 1000));
        cr_assert_leq(stats_of(cache).bytes, CAPACITY / 4);
    }
    block_cache_resize(cache, 2 * CAPACITY);
    for (uint32_t i = 0; i < 5000; i++) {
        use(cache, prng_below(&prng, 5), prng_below(&prng, 1000));
    }
    cr_assert_gt(stats_of(cache).bytes, CAPACITY);
    cr_assert_gt(stats_of(cache).capacity_bytes, fixed);
    block_cache_free(&cache);
}

FIBER_TEST(lsm_cache, of_no_capacity_keeps_nothing)
{
    struct block_cache *cache = block_cache_new(0);

    for (uint32_t i = 0; i < 100; i++) {
        cr_assert(!use(cache, 1, i % 2));
    }
    cr_assert_eq(stats_of(cache).inserted, 0);
    block_cache_free(&cache);
}

/* Goal: a scan of everything must not drive out what is used again and again. */
FIBER_TEST(lsm_cache, a_scan_leaves_the_working_set_in_place)
{
    enum { HOT = CAPACITY_BLOCKS / 2, SCAN = CAPACITY_BLOCKS * 20 };
    struct block_cache *cache = block_cache_new(CAPACITY);
    struct prng prng;
    uint32_t hits = 0;

    prng_init(&prng, 2);
    for (uint32_t i = 0; i < 20 * HOT; i++) {
        use(cache, 1, prng_below(&prng, HOT));
    }
    for (uint32_t i = 0; i < SCAN; i++) {
        use(cache, 2, i);
    }
    for (uint32_t i = 0; i < HOT; i++) {
        hits += use(cache, 1, i) ? 1 : 0;
    }
    cr_assert_gt(hits, HOT * 9 / 10, "%u of %d", hits, HOT);
    block_cache_free(&cache);
}

/* A cache that keeps the latest blocks, to compare with. */
struct lru {
    uint64_t blocks[CAPACITY_BLOCKS]; /* Latest first. */
    uint32_t count;
};

static bool
lru_use(struct lru *lru, uint64_t block)
{
    uint32_t i = 0;
    bool is_hit;

    while (i < lru->count && lru->blocks[i] != block) {
        i++;
    }
    is_hit = i < lru->count;
    if (!is_hit && lru->count < CAPACITY_BLOCKS) {
        lru->count++;
    }
    i = MIN(i, lru->count - 1);
    memmove(&lru->blocks[1], &lru->blocks[0], i * sizeof(lru->blocks[0]));
    lru->blocks[0] = block;
    return is_hit;
}

/* The product of three uniform draws prefers small numbers, as real loads prefer some keys. */
FIBER_TEST(lsm_cache, keeps_frequent_blocks_better_than_the_latest_ones)
{
    static struct lru lru;
    struct block_cache *cache = block_cache_new(CAPACITY);
    struct prng prng;
    uint32_t hits = 0;
    uint32_t lru_hits = 0;

    prng_init(&prng, 3);
    for (uint32_t i = 0; i < 60000; i++) {
        uint64_t block = prng_below(&prng, 1000) * prng_below(&prng, 1000) / 1000 *
                         prng_below(&prng, 1000) / 100;

        hits += use(cache, 1, block) ? 1 : 0;
        lru_hits += lru_use(&lru, block) ? 1 : 0;
    }
    cr_assert_gt(hits, lru_hits + lru_hits / 10, "%u hits; the latest blocks would give %u", hits,
                 lru_hits);
    block_cache_free(&cache);
}

FIBER_TEST(lsm_cache, pinned_blocks_outlive_their_eviction)
{
    enum { PINNED = 100 };
    struct block_cache *cache = block_cache_new(CAPACITY);
    struct cached_block *pinned[PINNED];
    bool must_load;

    for (uint32_t i = 0; i < PINNED; i++) {
        pinned[i] = block_cache_acquire(cache, 1, i, &must_load);
        cr_assert(must_load);
        cached_block_reserve(pinned[i], BLOCK_DATA_BYTES);
        memset(pinned[i]->data, (int)i, BLOCK_DATA_BYTES);
        block_cache_loaded(cache, pinned[i]);
    }
    for (uint32_t i = 0; i < 10 * CAPACITY_BLOCKS; i++) {
        use(cache, 2, i);
    }
    block_cache_remove(cache, 1, 3);
    block_cache_resize(cache, 0);
    for (uint32_t i = 0; i < PINNED; i++) {
        cr_assert_eq(pinned[i]->data[100], i);
        block_cache_unpin(cache, &pinned[i]);
    }
    block_cache_free(&cache);
}

/* ---- Shared reads. ---- */

struct readers {
    struct block_cache *cache;
    uint32_t loads;
    uint32_t failures_left;
    uint32_t failed;
    uint32_t served;
};

static void
read_fiber(void *arg)
{
    struct readers *readers = arg;
    bool must_load;
    struct cached_block *block = block_cache_acquire(readers->cache, 1, 4096, &must_load);

    if (must_load) {
        readers->loads++;
        cr_assert_eq(fiber_sleep_us(100), ERR_OK); /* The read. */
        if (readers->failures_left > 0) {
            readers->failures_left--;
            readers->failed++;
            block_cache_failed(readers->cache, block);
            block_cache_unpin(readers->cache, &block);
            return;
        }
        cached_block_reserve(block, BLOCK_DATA_BYTES);
        block_cache_loaded(readers->cache, block);
    }
    cr_assert_not_null(block->data);
    readers->served++;
    block_cache_unpin(readers->cache, &block);
}

static void
run_readers(struct readers *readers, uint32_t count)
{
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(fiber_group_spawn(&group, "reader", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    read_fiber, readers));
    }
    fiber_group_wait(&group);
}

FIBER_TEST(lsm_cache, fibers_that_miss_one_block_share_one_read)
{
    struct readers readers = {.cache = block_cache_new(CAPACITY)};

    run_readers(&readers, 50);
    cr_assert_eq(readers.loads, 1);
    cr_assert_eq(readers.served, 50);
    block_cache_free(&readers.cache);
}

FIBER_TEST(lsm_cache, sharing_works_without_room_too)
{
    struct readers readers = {.cache = block_cache_new(0)};

    run_readers(&readers, 50);
    cr_assert_eq(readers.served, 50);
    block_cache_free(&readers.cache);
}

FIBER_TEST(lsm_cache, after_a_failed_read_the_next_fiber_tries_itself)
{
    struct readers readers = {.cache = block_cache_new(CAPACITY), .failures_left = 3};

    run_readers(&readers, 50);
    cr_assert_eq(readers.loads, 4);
    cr_assert_eq(readers.failed, 3);
    cr_assert_eq(readers.served, 47);
    block_cache_free(&readers.cache);
}

FIBER_TEST(lsm_cache, an_adopted_block_is_found_and_a_second_one_stays_private)
{
    struct block_cache *cache = block_cache_new(CAPACITY);
    struct cached_block *first = cached_block_new(cache, BLOCK_DATA_BYTES);
    struct cached_block *second = cached_block_new(cache, BLOCK_DATA_BYTES);
    struct cached_block *found;

    block_cache_adopt(cache, 1, 0, first);
    block_cache_adopt(cache, 1, 0, second);
    found = block_cache_find(cache, 1, 0, true);
    cr_assert_eq(found, first);
    cr_assert_null(block_cache_find(cache, 1, 1, true));
    cr_assert_eq(stats_of(cache).hits, 0, "a peek does not count");
    block_cache_unpin(cache, &found);
    block_cache_unpin(cache, &first);
    block_cache_unpin(cache, &second);
    block_cache_remove(cache, 1, 0);
    cr_assert_null(block_cache_find(cache, 1, 0, true));
    block_cache_free(&cache);
}
