/* tests/unit/lsm/test_guide.c - indexes and filters that come and go. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "lsm/block_frame.h"
#include "lsm/cache.h"
#include "lsm/table.h"
#include "lsm/table_internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_guide, .timeout = 60);

enum { TABLES = 12, KEYS = 20000, CACHE_BYTES = 500 << 10, GUIDES_MAX = CACHE_BYTES / 2 };

static struct slice
key_of(uint32_t table, uint32_t i, char room[24])
{
    return slice_of(room, (size_t)snprintf(room, 24, "%02u-%08u", table, i * 2));
}

static struct table *
make_table(uint32_t number, struct block_cache *cache)
{
    struct table_writer_options options = {.file_number = number + 1,
                                           .block_bytes = 1024,
                                           .filter_bits_per_key = TABLE_FILTER_BITS_PER_KEY,
                                           .compress = true};
    struct table_writer *writer;
    struct table_meta meta;
    struct table *table;
    char path[16];

    snprintf(path, sizeof(path), "%u.tbl", number);
    options.path = path;
    cr_assert_eq(table_writer_open(&options, &writer), ERR_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        char room[24];
        struct lsm_entry entry = {
            .key = key_of(number, i, room), .value = SLICE("v"), .ts = i + 1, .kind = LSM_PUT};

        cr_assert_eq(table_writer_add(writer, &entry), ERR_OK);
    }
    cr_assert_eq(table_writer_finish(&writer, &meta), ERR_OK);
    table_meta_fini(&meta);
    cr_assert_eq(table_open(path, number + 1, cache, &table), ERR_OK);
    return table;
}

static uint64_t
guide_bytes(const struct block_cache *cache)
{
    struct block_cache_stats stats;

    block_cache_stats_get(cache, &stats);
    return stats.guide_bytes;
}

/* One key that is there and one that is not. */
static void
check_key(struct table *table, uint32_t number, uint32_t i)
{
    struct lsm_entry entry = {0};
    struct arena arena;
    char room[24];
    struct slice key = key_of(number, i, room);
    bool found = false;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(table_get(table, key, table_key_hash(key), LSM_TS_MAX, &arena, &entry, &found),
                 ERR_OK);
    cr_assert(found);
    cr_assert_eq(entry.ts, i + 1);
    room[key.size - 1]++;
    cr_assert_eq(table_get(table, key, table_key_hash(key), LSM_TS_MAX, &arena, &entry, &found),
                 ERR_OK);
    cr_assert(!found);
    arena_fini(&arena);
}

static void
close_all(struct table **tables, uint32_t count, struct block_cache **cache)
{
    for (uint32_t i = 0; i < count; i++) {
        table_unpin(tables[i]);
    }
    cr_assert_eq(guide_bytes(*cache), 0);
    block_cache_drain(*cache);
    block_cache_free(cache);
}

FIBER_TEST(lsm_guide, opening_reads_neither_index_nor_filter_of_a_table_of_some_size)
{
    struct block_cache *cache = block_cache_new(16 << 20);
    struct table *table = make_table(0, cache);

    cr_assert_eq(guide_bytes(cache), 0);
    cr_assert_eq(table->index.heads, NULL);
    cr_assert(table_may_contain(table, 12345), "what is not known may be there");
    cr_assert_eq(table_warm(table), ERR_OK);
    cr_assert_gt(guide_bytes(cache), KEYS * 9 / 8);
    cr_assert(table->guides[GUIDE_INDEX].is_there);
    cr_assert(table->guides[GUIDE_FILTER].is_there);
    close_all(&table, 1, &cache);
}

FIBER_TEST(lsm_guide, lookups_in_many_tables_stay_within_the_room_for_guides)
{
    struct block_cache *cache = block_cache_new(CACHE_BYTES);
    struct table *tables[TABLES];
    struct block_cache_stats stats;
    struct prng prng;

    prng_init(&prng, 1);
    for (uint32_t i = 0; i < TABLES; i++) {
        tables[i] = make_table(i, cache);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        uint32_t number = (uint32_t)prng_below(&prng, i % 2 == 0 ? 2 : TABLES);

        check_key(tables[number], number, (uint32_t)prng_below(&prng, KEYS));
        cr_assert_leq(guide_bytes(cache), GUIDES_MAX);
    }
    block_cache_stats_get(cache, &stats);
    cr_assert_gt(stats.guides_evicted, 20, "%lu evicted", stats.guides_evicted);
    cr_assert_lt(stats.guides_loaded, 4000, "%lu loaded", stats.guides_loaded);
    close_all(tables, TABLES, &cache);
}

FIBER_TEST(lsm_guide, a_guide_stays_while_an_iterator_needs_it)
{
    struct block_cache *cache = block_cache_new(CACHE_BYTES);
    struct table_iter_options options = {.fill_cache = true};
    struct table *tables[TABLES];
    struct table_iter *iters[TABLES];

    for (uint32_t i = 0; i < TABLES; i++) {
        tables[i] = make_table(i, cache);
        iters[i] = table_iter_new(tables[i], &options);
        cr_assert_eq(table_iter_seek_first(iters[i]), ERR_OK);
    }
    block_cache_resize(cache, 0);
    for (uint32_t k = 0; k < KEYS; k++) {
        for (uint32_t i = 0; i < TABLES; i++) {
            cr_assert_eq(table_iter_entry(iters[i])->ts, k + 1);
            cr_assert_eq(table_iter_next(iters[i]), ERR_OK);
        }
    }
    cr_assert_gt(guide_bytes(cache), 0);
    for (uint32_t i = 0; i < TABLES; i++) {
        cr_assert(!table_iter_is_valid(iters[i]));
        table_iter_free(&iters[i]);
    }
    cr_assert_eq(guide_bytes(cache), 0, "nothing fits, and nothing is pinned any more");
    close_all(tables, TABLES, &cache);
}

struct asking {
    struct table *table;
    uint32_t done;
};

static void
ask_fiber(void *arg)
{
    struct asking *asking = arg;

    for (uint32_t i = 0; i < 50; i++) {
        check_key(asking->table, 0, (i * 79 + asking->done) % KEYS);
    }
    asking->done++;
}

FIBER_TEST(lsm_guide, fibers_that_need_one_guide_share_one_read)
{
    struct block_cache *cache = block_cache_new(16 << 20);
    struct asking asking = {.table = make_table(0, cache)};
    struct block_cache_stats stats;
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 0; i < 20; i++) {
        cr_assert(fiber_group_spawn(&group, "ask", FIBER_FOREGROUND, FIBER_STACK_SMALL, ask_fiber,
                                    &asking));
    }
    fiber_group_wait(&group);
    cr_assert_eq(asking.done, 20);
    block_cache_stats_get(cache, &stats);
    cr_assert_eq(stats.guides_loaded, 2);
    close_all(&asking.table, 1, &cache);
}

FIBER_TEST(lsm_guide, fibers_get_answers_while_guides_have_no_room_at_all)
{
    struct block_cache *cache = block_cache_new(0);
    struct asking asking = {.table = make_table(0, cache)};
    struct fiber_group group;

    fiber_group_init(&group);
    for (uint32_t i = 0; i < 8; i++) {
        cr_assert(fiber_group_spawn(&group, "ask", FIBER_FOREGROUND, FIBER_STACK_SMALL, ask_fiber,
                                    &asking));
    }
    fiber_group_wait(&group);
    cr_assert_eq(asking.done, 8);
    close_all(&asking.table, 1, &cache);
}

/* A failed or damaged read of a guide is an error of that lookup, and the next one tries again. */
FIBER_TEST(lsm_guide, a_guide_that_cannot_be_read_is_an_error_and_is_read_again)
{
    struct sim_world *world = sim_world_current();
    struct block_cache *cache = block_cache_new(16 << 20);
    struct table *table = make_table(0, cache);
    struct slice key = SLICE("00-00000000");
    struct lsm_entry entry;
    struct arena arena;
    bool found;

    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < 2; i++) { /* The filter's, then the index's. */
        sim_disk_fail_next(world, SIM_OP_READ, "0.tbl", i, 1, -EIO);
        cr_assert_eq(table_get(table, key, table_key_hash(key), LSM_TS_MAX, &arena, &entry, &found),
                     ERR_IO);
        check_key(table, 0, 7);
        block_cache_resize(cache, 0);
        block_cache_resize(cache, 16 << 20);
        cr_assert_eq(guide_bytes(cache), 0);
    }
    for (uint32_t section = SECTION_INDEX; section <= SECTION_FILTER; section++) {
        uint64_t offset = table->footer.sections[section].offset;
        uint32_t bytes = table->footer.sections[section].bytes;

        for (uint32_t at = 0; at < bytes; at += 1 + bytes / 97) {
            uint8_t old, damaged;

            cr_assert(sim_disk_peek(world, "0.tbl", offset + at, &old, 1));
            damaged = old ^ 0x10;
            cr_assert(sim_disk_poke(world, "0.tbl", offset + at, &damaged, 1));
            cr_assert_eq(
                table_get(table, key, table_key_hash(key), LSM_TS_MAX, &arena, &entry, &found),
                ERR_CORRUPT, "section %u, byte %u", section, at);
            cr_assert_not_null(strstr(err_message(ERR_CORRUPT), "0.tbl"));
            cr_assert(sim_disk_poke(world, "0.tbl", offset + at, &old, 1));
            block_cache_resize(cache, 0);
            block_cache_resize(cache, 16 << 20);
        }
    }
    check_key(table, 0, 7);
    arena_fini(&arena);
    close_all(&table, 1, &cache);
}
