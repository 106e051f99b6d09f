/* tests/unit/lsm/test_table_iter.c - what iterators over tables read, and when. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "lsm/cache.h"
#include "lsm/table.h"
#include "lsm/table_internal.h"
#include "lsm/table_iter.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_table_iter, .timeout = 60);

enum { KEYS = 30000 };

static struct slice
key_of(uint32_t i, char room[24])
{
    return slice_of(room, (size_t)snprintf(room, 24, "%08u", i));
}

static struct table *
make_table(struct block_cache *cache)
{
    const struct table_writer_options options = {.path = "1.tbl",
                                                 .file_number = 1,
                                                 .block_bytes = 4096,
                                                 .filter_bits_per_key = TABLE_FILTER_BITS_PER_KEY};
    static uint8_t value[100];
    struct table_writer *writer;
    struct table_meta meta;
    struct table *table;

    cr_assert_eq(table_writer_open(&options, &writer), ERR_OK);
    for (uint32_t i = 0; i < KEYS; i++) {
        char room[24];
        struct lsm_entry entry = {.key = key_of(i, room),
                                  .value = slice_of(value, sizeof(value)),
                                  .ts = i + 1,
                                  .kind = LSM_PUT};

        cr_assert_eq(table_writer_add(writer, &entry), ERR_OK);
    }
    cr_assert_eq(table_writer_finish(&writer, &meta), ERR_OK);
    table_meta_fini(&meta);
    cr_assert_eq(table_open("1.tbl", 1, cache, &table), ERR_OK);
    cr_assert_eq(table_warm(table), ERR_OK);
    return table;
}

static void
close_all(struct table *table, struct block_cache **cache)
{
    table_unpin(table);
    block_cache_drain(*cache);
    block_cache_free(cache);
}

static uint64_t
reads(void)
{
    return sim_disk_count(sim_world_current(), SIM_OP_READ);
}

/* Seek to `from`, then step over `count` rows, which must be the right ones. Gives the reads. */
static uint64_t
scan(struct table *table, uint32_t from, uint32_t count)
{
    const struct table_iter_options options = {.fill_cache = true};
    struct table_iter *iter = table_iter_new(table, &options);
    uint64_t before = reads();
    char room[24];

    cr_assert_eq(table_iter_seek(iter, key_of(from, room), LSM_TS_MAX), ERR_OK);
    for (uint32_t i = from; i < from + count; i++) {
        cr_assert(table_iter_is_valid(iter));
        cr_assert_eq(table_iter_at(iter)->ts, i + 1);
        cr_assert_eq(table_iter_step(iter), ERR_OK);
    }
    table_iter_free(&iter);
    return reads() - before;
}

FIBER_TEST(lsm_table_iter, a_short_scan_reads_its_first_block_and_the_rest_at_once)
{
    struct block_cache *cache = block_cache_new(16 << 20);
    struct table *table = make_table(cache);

    cr_assert_eq(scan(table, 5000, 3), 1);
    cr_assert_leq(scan(table, 10000, 100), 3);
    cr_assert_eq(scan(table, 10000, 100), 0, "now it is cached");
    close_all(table, &cache);
}

FIBER_TEST(lsm_table_iter, a_long_scan_reads_in_ever_larger_pieces)
{
    struct block_cache *cache = block_cache_new(32 << 20);
    struct table *table = make_table(cache);
    uint64_t pieces;

    cr_assert_gt(table->block_count, 800);
    pieces = scan(table, 0, KEYS);
    cr_assert_lt(pieces, 20, "%lu reads", pieces);
    cr_assert_eq(scan(table, 0, KEYS), 0, "now it is cached");
    close_all(table, &cache);
}

FIBER_TEST(lsm_table_iter, scans_share_a_bounded_room_to_read_ahead)
{
    enum { SCANS = 200, STEPS = 400 };
    static struct table_iter *iters[SCANS];
    const struct table_iter_options options = {.fill_cache = true};
    struct block_cache *cache = block_cache_new(1 << 20);
    struct table *table = make_table(cache);
    uint64_t used = mem_used(mem_account_current(), MEM_BACKGROUND);
    char room[24];

    for (uint32_t i = 0; i < SCANS; i++) {
        iters[i] = table_iter_new(table, &options);
        cr_assert_eq(table_iter_seek(iters[i], key_of(i * 100, room), LSM_TS_MAX), ERR_OK);
    }
    for (uint32_t step = 0; step < STEPS; step++) {
        for (uint32_t i = 0; i < SCANS; i++) {
            cr_assert_eq(table_iter_entry(iters[i])->ts, i * 100 + step + 1);
            cr_assert_eq(table_iter_next(iters[i]), ERR_OK);
        }
        cr_assert_leq(mem_used(mem_account_current(), MEM_BACKGROUND) - used, 256 << 10);
    }
    for (uint32_t i = 0; i < SCANS; i++) {
        table_iter_free(&iters[i]);
    }
    close_all(table, &cache);
}

FIBER_TEST(lsm_table_iter, a_failed_read_ahead_is_an_error_and_the_next_scan_goes_on)
{
    struct block_cache *cache = block_cache_new(1 << 20);
    struct table *table = make_table(cache);
    const struct table_iter_options options = {.fill_cache = true};

    for (uint32_t skip = 0; skip < 6; skip++) {
        struct table_iter *iter = table_iter_new(table, &options);
        err_t err;

        block_cache_resize(cache, 0); /* Drop what is cached. */
        block_cache_resize(cache, 1 << 20);
        sim_disk_fail_next(sim_world_current(), SIM_OP_READ, "1.tbl", 1 + skip, 1, -EIO);
        err = table_iter_seek_first(iter);
        for (uint64_t ts = 1; err == ERR_OK && table_iter_is_valid(iter); ts++) {
            cr_assert_eq(table_iter_at(iter)->ts, ts);
            err = table_iter_step(iter);
        }
        cr_assert_eq(err, ERR_IO);
        cr_assert(!table_iter_is_valid(iter));
        cr_assert_eq(table_iter_seek_first(iter), ERR_OK);
        cr_assert_eq(table_iter_at(iter)->ts, 1);
        table_iter_free(&iter);
    }
    close_all(table, &cache);
}
