/* tests/unit/lsm/test_table.c - tables against a sorted array. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "engine/base/canary.h"
#include "engine/base/prng.h"
#include "engine/rt/shard.h"
#include "lsm/block.h"
#include "lsm/block_frame.h"
#include "lsm/block_key.h"
#include "lsm/table.h"
#include "lsm/table_format.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_table, .timeout = 120);

/* ---- The oracle: entries in an array, in order. ---- */

struct entries {
    struct lsm_entry *list;
    uint32_t count;
    struct arena arena;
};

static void
entries_init(struct entries *entries, uint32_t room)
{
    arena_init(&entries->arena, MEM_BACKGROUND);
    entries->list = mem_alloc(MEM_BACKGROUND, room * sizeof(*entries->list));
    entries->count = 0;
}

static void
entries_fini(struct entries *entries, uint32_t room)
{
    mem_free(MEM_BACKGROUND, entries->list, room * sizeof(*entries->list));
    arena_fini(&entries->arena);
}

static int
entry_compare(const void *a, const void *b)
{
    const struct lsm_entry *x = a;
    const struct lsm_entry *y = b;

    return version_compare(x->key, x->ts, y->key, y->ts);
}

static struct slice
bytes_draw(struct arena *arena, struct prng *prng, size_t size, uint32_t alphabet)
{
    uint8_t *bytes = arena_alloc(arena, size);

    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)('a' + prng_below(prng, alphabet));
    }
    return slice_of(bytes, size);
}

/* Sort, and drop equal versions. */
static void
entries_settle(struct entries *entries)
{
    uint32_t kept = 0;

    qsort(entries->list, entries->count, sizeof(*entries->list), entry_compare);
    for (uint32_t i = 0; i < entries->count; i++) {
        if (kept == 0 || entry_compare(&entries->list[kept - 1], &entries->list[i]) != 0) {
            entries->list[kept++] = entries->list[i];
        }
    }
    entries->count = kept;
}

/* Entries with shared beginnings, several versions, deletes, expiries. */
static void
entries_draw(struct entries *entries, struct prng *prng, uint32_t count, size_t value_bytes_max)
{
    uint32_t alphabet = 2 + (uint32_t)prng_below(prng, 20);
    struct slice key = SLICE("prefix");

    for (uint32_t i = 0; i < count; i++) {
        struct lsm_entry *entry = &entries->list[entries->count++];
        bool is_same = i > 0 && prng_below(prng, 4) == 0;

        if (!is_same) {
            size_t size = 6 + prng_below(prng, 12);

            key = bytes_draw(&entries->arena, prng, size, alphabet);
            memcpy((void *)(uintptr_t)key.data, "prefix", 6);
        }
        *entry = (struct lsm_entry){
            .key = key,
            .ts = 1 + prng_below(prng, 1000000),
            .kind = (uint8_t)(prng_below(prng, 8) == 0 ? LSM_DELETE : LSM_PUT),
            .slot = (uint16_t)prng_below(prng, 16384),
            .expire_us = prng_below(prng, 10) == 0 ? 1 + prng_next(prng) / 2 : 0,
        };
        if (entry->kind == LSM_PUT) {
            entry->value = bytes_draw(&entries->arena, prng, prng_below(prng, value_bytes_max), 26);
        }
    }
    entries_settle(entries);
}

static void
assert_same(const struct lsm_entry *a, const struct lsm_entry *b)
{
    cr_assert(slice_equal(a->key, b->key));
    cr_assert(slice_equal(a->value, b->value));
    cr_assert_eq(a->ts, b->ts);
    cr_assert_eq(a->expire_us, b->expire_us);
    cr_assert_eq(a->slot, b->slot);
    cr_assert_eq(a->kind, b->kind);
    cr_assert_eq(a->lsn, 0);
}

/* ---- Fixture. ---- */

static const struct table_writer_options writer_defaults = {
    .path = "1.tbl",
    .file_number = 1,
    .block_bytes = TABLE_BLOCK_BYTES_DEFAULT,
    .filter_bits_per_key = TABLE_FILTER_BITS_PER_KEY,
    .compress = true,
};

static void
write_table(const struct entries *entries, const struct table_writer_options *options,
            const struct lsm_range_delete *ranges, uint32_t range_count)
{
    struct table_writer *writer;
    struct table_meta meta;

    cr_assert_eq(table_writer_open(options, &writer), ERR_OK, "%s", err_message(ERR_IO));
    for (uint32_t i = 0; i < range_count; i++) {
        cr_assert_eq(table_writer_add_range_delete(writer, &ranges[i]), ERR_OK);
    }
    for (uint32_t i = 0; i < entries->count; i++) {
        cr_assert_eq(table_writer_add(writer, &entries->list[i]), ERR_OK);
    }
    cr_assert_eq(table_writer_finish(&writer, &meta), ERR_OK);
    cr_assert_null(writer);
    cr_assert_eq(meta.entries, entries->count);
    cr_assert_eq(meta.file_bytes, sim_disk_size(sim_world_current(), options->path));
    table_meta_fini(&meta);
}

static struct table *
open_table(const struct table_writer_options *options, struct block_cache *cache)
{
    struct table *table = NULL;
    err_t err = table_open(options->path, options->file_number, cache, &table);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    return table;
}

static void
close_cache(struct block_cache **cache)
{
    block_cache_drain(*cache); /* Reads ahead and removals end by themselves. */
    block_cache_free(cache);
}

static struct table_iter *
new_iter(struct table *table, uint32_t read_ahead_bytes, bool fill_cache)
{
    return table_iter_new(table, &(struct table_iter_options){.read_ahead_bytes = read_ahead_bytes,
                                                              .fill_cache = fill_cache});
}

/* First index at or after (key, ts). */
static uint32_t
oracle_seek(const struct entries *entries, struct slice key, uint64_t ts)
{
    uint32_t low = 0;
    uint32_t high = entries->count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (version_compare(entries->list[middle].key, entries->list[middle].ts, key, ts) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void
check_forward(struct table_iter *iter, const struct entries *entries)
{
    uint32_t i = 0;

    cr_assert_eq(table_iter_seek_first(iter), ERR_OK);
    for (; table_iter_is_valid(iter); i++) {
        cr_assert_lt(i, entries->count);
        assert_same(table_iter_entry(iter), &entries->list[i]);
        cr_assert_eq(table_iter_next(iter), ERR_OK);
    }
    cr_assert_eq(i, entries->count);
}

static void
check_backward(struct table_iter *iter, const struct entries *entries)
{
    uint32_t i = entries->count;

    cr_assert_eq(table_iter_seek_last(iter), ERR_OK);
    for (; table_iter_is_valid(iter); i--) {
        cr_assert_gt(i, 0);
        assert_same(table_iter_entry(iter), &entries->list[i - 1]);
        cr_assert_eq(table_iter_previous(iter), ERR_OK);
    }
    cr_assert_eq(i, 0);
}

static void
check_walks(struct table *table, const struct entries *entries)
{
    static const uint32_t read_ahead[] = {0, 4096, 20000, 1 << 20};

    for (uint32_t i = 0; i < 2 * ARRAY_COUNT(read_ahead); i++) {
        struct table_iter *iter = new_iter(table, read_ahead[i / 2], i % 2 == 0);

        check_forward(iter, entries);
        check_backward(iter, entries);
        table_iter_free(&iter);
    }
    cr_assert_eq(table_verify(table), ERR_OK, "%s", err_message(ERR_CORRUPT));
}

/* A key of the table, or one that is near it. */
static struct slice
probe_draw(const struct entries *entries, struct prng *prng, uint8_t room[64])
{
    struct slice key = entries->list[prng_below(prng, entries->count)].key;
    size_t size = MIN(key.size, (size_t)62);

    memcpy(room, key.data, size);
    if (prng_below(prng, 3) == 0) {
        size = prng_below(prng, size + 1);
    } else if (prng_below(prng, 3) == 0) {
        room[size++] = (uint8_t)prng_next(prng);
    } else if (size > 0 && prng_below(prng, 3) == 0) {
        room[prng_below(prng, size)] = (uint8_t)prng_next(prng);
    }
    return slice_of(room, size);
}

static void
check_get(struct table *table, const struct entries *entries, struct slice key, uint64_t ts,
          struct arena *arena)
{
    uint32_t index = oracle_seek(entries, key, ts);
    bool is_there = index < entries->count && slice_equal(entries->list[index].key, key);
    struct lsm_entry entry;
    bool found = false;

    cr_assert_eq(table_get(table, key, table_key_hash(key), ts, arena, &entry, &found), ERR_OK);
    cr_assert_eq(found, is_there);
    if (found) {
        assert_same(&entry, &entries->list[index]);
        cr_assert(table_may_contain(table, table_key_hash(key)));
    }
}

static void
check_seeks(struct table *table, const struct entries *entries, struct table_iter *iter,
            struct slice key, uint64_t ts)
{
    uint32_t index = oracle_seek(entries, key, ts);

    cr_assert_eq(table_iter_seek(iter, key, ts), ERR_OK);
    cr_assert_eq(table_iter_is_valid(iter), index < entries->count);
    if (table_iter_is_valid(iter)) {
        assert_same(table_iter_entry(iter), &entries->list[index]);
        cr_assert_eq(table_iter_next(iter), ERR_OK);
        cr_assert_eq(table_iter_is_valid(iter), index + 1 < entries->count);
    }
    index = oracle_seek(entries, key, LSM_TS_MAX);
    cr_assert_eq(table_iter_seek_before(iter, key), ERR_OK);
    cr_assert_eq(table_iter_is_valid(iter), index > 0);
    if (table_iter_is_valid(iter)) {
        assert_same(table_iter_entry(iter), &entries->list[index - 1]);
        cr_assert_eq(table_iter_previous(iter), ERR_OK);
        cr_assert_eq(table_iter_is_valid(iter), index > 1);
    }
    (void)table;
}

static void
check_probes(struct table *table, const struct entries *entries, struct prng *prng, uint32_t count)
{
    struct table_iter *iters[] = {new_iter(table, 0, true), new_iter(table, 16384, false)};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t room[64];
        struct slice key = probe_draw(entries, prng, room);
        uint64_t ts = prng_below(prng, 4) == 0 ? entries->list[prng_below(prng, entries->count)].ts
                                               : prng_next(prng) >> prng_below(prng, 64);

        check_get(table, entries, key, ts, &arena);
        check_seeks(table, entries, iters[i % 2], key, ts);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    table_iter_free(&iters[0]);
    table_iter_free(&iters[1]);
}

/* ---- Round trips. ---- */

FIBER_TEST(lsm_table, drawn_entries_come_back_in_all_ways)
{
    static const uint32_t sizes[] = {1, 2, 9, 100, 5000};
    static const uint32_t blocks[] = {1, 256, 4096, 65536};
    struct prng prng;

    prng_init(&prng, 5);
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t room = sizes[round % ARRAY_COUNT(sizes)];
        struct table_writer_options options = writer_defaults;
        struct block_cache *cache = block_cache_new(round % 3 == 0 ? 0 : 200000);
        struct entries entries;
        struct table *table;
        char path[32];

        snprintf(path, sizeof(path), "%u.tbl", round);
        options.path = path;
        options.file_number = round;
        options.block_bytes = blocks[round % ARRAY_COUNT(blocks)];
        options.compress = round % 2 == 0;
        options.filter_bits_per_key = round % 7 == 0 ? 0 : TABLE_FILTER_BITS_PER_KEY;
        entries_init(&entries, room);
        entries_draw(&entries, &prng, room, 200);
        write_table(&entries, &options, NULL, 0);
        table = open_table(&options, cache);
        check_walks(table, &entries);
        check_probes(table, &entries, &prng, 300);
        table_unpin(table);
        close_cache(&cache);
        entries_fini(&entries, room);
    }
}

FIBER_TEST(lsm_table, a_table_of_several_pieces_comes_back)
{
    enum { ROOM = 8000 };
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct table *table;
    struct prng prng;

    prng_init(&prng, 6);
    entries_init(&entries, ROOM);
    entries_draw(&entries, &prng, ROOM, 2000);
    struct table_writer_options options = writer_defaults;
    options.compress = false;
    write_table(&entries, &options, NULL, 0);
    cr_assert_gt(sim_disk_size(sim_world_current(), "1.tbl"), 5 << 20);
    table = open_table(&options, cache);
    check_walks(table, &entries);
    check_probes(table, &entries, &prng, 2000);
    table_unpin(table);
    close_cache(&cache);
    entries_fini(&entries, ROOM);
}

/* The versions of one key fill many blocks: every one is found by one block's read. */
FIBER_TEST(lsm_table, versions_of_a_key_may_straddle_blocks)
{
    enum { ROOM = 3000 };
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct table *table;
    struct prng prng;
    struct arena arena;

    prng_init(&prng, 7);
    entries_init(&entries, ROOM);
    for (uint32_t i = 0; i < ROOM; i++) {
        entries.list[entries.count++] = (struct lsm_entry){
            .key = i < 1000   ? SLICE("hot")
                   : i < 2000 ? SLICE("hot2")
                              : SLICE("iron"),
            .value = bytes_draw(&entries.arena, &prng, 100, 26),
            .ts = 10 + 10 * (uint64_t)(i % 1000),
            .kind = LSM_PUT,
        };
    }
    entries_settle(&entries);
    write_table(&entries, &writer_defaults, NULL, 0);
    table = open_table(&writer_defaults, cache);
    cr_assert(!table_meta(table)->one_version_per_key);
    check_walks(table, &entries);
    arena_init(&arena, MEM_SESSIONS);
    for (uint64_t ts = 0; ts < 10030; ts += 3) {
        struct block_cache_stats before, after;

        block_cache_stats_get(cache, &before);
        check_get(table, &entries, SLICE("hot"), ts, &arena);
        block_cache_stats_get(cache, &after);
        cr_assert_leq(after.hits + after.misses - before.hits - before.misses, 1);
        check_get(table, &entries, SLICE("hot2"), ts, &arena);
        check_get(table, &entries, SLICE("iron"), ts, &arena);
        check_get(table, &entries, SLICE("hot1"), ts, &arena);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    check_probes(table, &entries, &prng, 1000);
    table_unpin(table);
    close_cache(&cache);
    entries_fini(&entries, ROOM);
}

FIBER_TEST(lsm_table, keys_and_values_of_64_kib_come_back)
{
    enum { ROOM = 60 };
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct table *table;
    struct arena arena;
    struct prng prng;

    prng_init(&prng, 8);
    entries_init(&entries, ROOM);
    for (uint32_t i = 0; i < ROOM; i++) {
        uint8_t *key = arena_alloc(&entries.arena, LSM_KEY_BYTES_MAX);

        memset(key, 'k', LSM_KEY_BYTES_MAX);
        key[i % 3 == 0 ? LSM_KEY_BYTES_MAX - 1 : 5] = (uint8_t)i;
        entries.list[entries.count++] = (struct lsm_entry){
            .key = slice_of(key, LSM_KEY_BYTES_MAX),
            .value = bytes_draw(&entries.arena, &prng, LSM_VALUE_INLINE_BYTES_MAX, 200),
            .ts = i,
            .kind = LSM_PUT,
        };
    }
    entries_settle(&entries);
    write_table(&entries, &writer_defaults, NULL, 0);
    table = open_table(&writer_defaults, cache);
    check_walks(table, &entries);
    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < entries.count; i++) {
        check_get(table, &entries, entries.list[i].key, LSM_TS_MAX, &arena);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    table_unpin(table);
    close_cache(&cache);
    entries_fini(&entries, ROOM);
}

/* ---- Properties and bounds. ---- */

FIBER_TEST(lsm_table, an_empty_table_can_be_written_and_read)
{
    struct block_cache *cache = block_cache_new(0);
    struct entries entries = {0};
    struct table_iter *iter;
    struct lsm_entry entry;
    struct table *table;
    struct arena arena;
    bool found = true;

    write_table(&entries, &writer_defaults, NULL, 0);
    table = open_table(&writer_defaults, cache);
    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(table_get(table, SLICE("a"), 1, LSM_TS_MAX, &arena, &entry, &found), ERR_OK);
    cr_assert(!found);
    arena_fini(&arena);
    iter = new_iter(table, 4096, false);
    check_forward(iter, &entries);
    check_backward(iter, &entries);
    cr_assert_eq(table_iter_seek(iter, SLICE("a"), 5), ERR_OK);
    cr_assert(!table_iter_is_valid(iter));
    cr_assert_eq(table_iter_seek_before(iter, SLICE("a")), ERR_OK);
    cr_assert(!table_iter_is_valid(iter));
    table_iter_free(&iter);
    cr_assert_eq(table_range_delete_ts(table, SLICE("a"), LSM_TS_MAX), 0);
    cr_assert_eq(table_meta(table)->ts_oldest, 0);
    cr_assert_eq(table_meta(table)->ts_newest, 0);
    cr_assert_eq(table_verify(table), ERR_OK);
    table_unpin(table);
    close_cache(&cache);
}

FIBER_TEST(lsm_table, properties_are_those_of_the_contents)
{
    static const struct lsm_entry list[] = {
        {.key = {(const uint8_t *)"b", 1}, .ts = 9, .kind = LSM_PUT},
        {.key = {(const uint8_t *)"b", 1}, .ts = 4, .kind = LSM_DELETE},
        {.key = {(const uint8_t *)"c", 1}, .ts = 7, .kind = LSM_DELETE},
    };
    struct lsm_range_delete range = {.start = SLICE("a"), .end = SLICE("bb"), .ts = 2};
    struct entries entries = {.list = (struct lsm_entry *)(uintptr_t)list, .count = 3};
    struct block_cache *cache = block_cache_new(0);
    const struct table_meta *meta;
    struct table *table;

    write_table(&entries, &writer_defaults, &range, 1);
    table = open_table(&writer_defaults, cache);
    meta = table_meta(table);
    cr_assert_eq(meta->file_number, 1);
    cr_assert_eq(meta->entries, 3);
    cr_assert_eq(meta->deletes, 2);
    cr_assert_eq(meta->range_deletes, 1);
    cr_assert_eq(meta->ts_oldest, 2);
    cr_assert_eq(meta->ts_newest, 9);
    cr_assert_eq(meta->raw_bytes, 6);
    cr_assert(slice_equal(meta->smallest, SLICE("a")));
    cr_assert(slice_equal(meta->largest, SLICE("c")));
    cr_assert(!meta->largest_is_exclusive);
    cr_assert(!meta->one_version_per_key);
    cr_assert_eq(table_verify(table), ERR_OK);
    table_unpin(table);
    close_cache(&cache);
}

/* ---- Range deletes. ---- */

static uint64_t
oracle_range_ts(const struct lsm_range_delete *ranges, uint32_t count, struct slice key,
                uint64_t snapshot)
{
    uint64_t best = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (ranges[i].ts <= snapshot && slice_compare(ranges[i].start, key) <= 0 &&
            slice_compare(key, ranges[i].end) < 0) {
            best = MAX(best, ranges[i].ts);
        }
    }
    return best;
}

FIBER_TEST(lsm_table, range_deletes_answer_as_a_walk_over_all_of_them)
{
    enum { ROOM = 300 };
    struct lsm_range_delete *ranges = mem_alloc(MEM_BACKGROUND, ROOM * sizeof(*ranges));
    struct entries entries = {0};
    struct prng prng;
    struct arena arena;

    prng_init(&prng, 9);
    arena_init(&arena, MEM_BACKGROUND);
    for (uint32_t round = 0; round < 30; round++) {
        struct table_writer_options options = writer_defaults;
        struct block_cache *cache = block_cache_new(0);
        uint32_t count = 1 + (uint32_t)prng_below(&prng, ROOM);
        struct table *table;

        options.file_number = round;
        options.path = arena_printf(&arena, "%u.tbl", round);
        for (uint32_t i = 0; i < count; i++) {
            do {
                ranges[i].start = bytes_draw(&arena, &prng, prng_below(&prng, 4), 6);
                ranges[i].end = bytes_draw(&arena, &prng, 1 + prng_below(&prng, 3), 6);
            } while (slice_compare(ranges[i].start, ranges[i].end) >= 0);
            ranges[i].ts = 1 + prng_below(&prng, 100);
        }
        write_table(&entries, &options, ranges, count);
        table = open_table(&options, cache);
        cr_assert_leq(table_range_delete_count(table), count);
        for (uint32_t i = 0; i < 500; i++) {
            struct slice key = bytes_draw(&arena, &prng, prng_below(&prng, 5), 7);
            uint64_t snapshot = prng_below(&prng, 120);

            cr_assert_eq(table_range_delete_ts(table, key, snapshot),
                         oracle_range_ts(ranges, count, key, snapshot));
        }
        cr_assert(table_meta(table)->largest_is_exclusive);
        for (uint32_t i = 1; i < table_range_delete_count(table); i++) {
            cr_assert_leq(slice_compare(table_range_delete_at(table, i - 1).start,
                                        table_range_delete_at(table, i).start),
                          0);
        }
        cr_assert_eq(table_verify(table), ERR_OK);
        table_unpin(table);
        close_cache(&cache);
    }
    arena_fini(&arena);
    mem_free(MEM_BACKGROUND, ranges, ROOM * sizeof(*ranges));
}

/* ---- Life of the file. ---- */

FIBER_TEST(lsm_table, an_abandoned_table_leaves_no_file)
{
    struct table_writer *writer;

    cr_assert_eq(table_writer_open(&writer_defaults, &writer), ERR_OK);
    cr_assert(sim_disk_exists(sim_world_current(), "1.tbl"));
    cr_assert_eq(table_writer_add(writer, &(struct lsm_entry){.key = SLICE("a"), .ts = 1}), ERR_OK);
    table_writer_abandon(&writer);
    cr_assert_null(writer);
    cr_assert(!sim_disk_exists(sim_world_current(), "1.tbl"));
    table_writer_abandon(&writer);
}

FIBER_TEST(lsm_table, an_obsolete_table_is_removed_with_its_last_pin)
{
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct table_iter *iter;
    struct table *table;
    struct prng prng;

    prng_init(&prng, 10);
    entries_init(&entries, 2000);
    entries_draw(&entries, &prng, 2000, 100);
    write_table(&entries, &writer_defaults, NULL, 0);
    table = open_table(&writer_defaults, cache);
    iter = new_iter(table, 0, true);
    table_mark_obsolete(table);
    table_unpin(table);
    check_forward(iter, &entries); /* The iterator's pin keeps it. */
    cr_assert(sim_disk_exists(sim_world_current(), "1.tbl"));
    table_iter_free(&iter);
    close_cache(&cache);
    cr_assert(!sim_disk_exists(sim_world_current(), "1.tbl"));
    entries_fini(&entries, 2000);
}

FIBER_TEST(lsm_table, a_reader_ahead_may_be_freed_while_it_reads)
{
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct table_iter *iter;
    struct table *table;
    struct prng prng;

    prng_init(&prng, 11);
    entries_init(&entries, 5000);
    entries_draw(&entries, &prng, 5000, 100);
    write_table(&entries, &writer_defaults, NULL, 0);
    table = open_table(&writer_defaults, cache);
    iter = new_iter(table, 16384, false);
    cr_assert_eq(table_iter_seek_first(iter), ERR_OK); /* The next window is in flight. */
    table_mark_obsolete(table);
    table_unpin(table);
    table_iter_free(&iter);
    close_cache(&cache);
    cr_assert(!sim_disk_exists(sim_world_current(), "1.tbl"));
    entries_fini(&entries, 5000);
}

/* ---- Faults. ---- */

/* Every operation of a writer fails once; nothing may be left. */
static void
check_writer_fault(enum sim_op op, uint32_t skip, int negative_errno, err_t expected)
{
    struct entries entries;
    struct table_writer *writer = NULL;
    struct table_meta meta;
    struct prng prng;
    err_t err = ERR_OK;

    prng_init(&prng, 12);
    entries_init(&entries, 3000);
    entries_draw(&entries, &prng, 3000, 2000);
    sim_disk_fail_next(sim_world_current(), op, "1.tbl", skip, 1, negative_errno);
    err = table_writer_open(&writer_defaults, &writer);
    for (uint32_t i = 0; err == ERR_OK && i < entries.count; i++) {
        err = table_writer_add(writer, &entries.list[i]);
    }
    if (err == ERR_OK) {
        err = table_writer_finish(&writer, &meta);
    } else {
        table_writer_abandon(&writer);
    }
    cr_assert_eq(err, expected, "op %d after %u: %s", (int)op, skip, err_name(err));
    cr_assert(!sim_disk_exists(sim_world_current(), "1.tbl"));
    entries_fini(&entries, 3000);
}

FIBER_TEST(lsm_table, a_failed_write_or_sync_gives_its_error_and_leaves_no_file)
{
    check_writer_fault(SIM_OP_OPEN, 0, -EIO, ERR_IO);
    check_writer_fault(SIM_OP_WRITE, 0, -ENOSPC, ERR_NO_SPACE);
    check_writer_fault(SIM_OP_WRITE, 0, -EIO, ERR_IO);
    check_writer_fault(SIM_OP_WRITE, 1, -EIO, ERR_IO);
    check_writer_fault(SIM_OP_WRITE, 2, -ENOSPC, ERR_NO_SPACE);
    check_writer_fault(SIM_OP_SYNC, 0, -EIO, ERR_IO);
}

FIBER_TEST(lsm_table, a_file_that_is_there_is_not_overwritten)
{
    struct entries entries = {0};
    struct table_writer *writer;

    write_table(&entries, &writer_defaults, NULL, 0);
    cr_assert_eq(table_writer_open(&writer_defaults, &writer), ERR_EXISTS);
}

FIBER_TEST(lsm_table, a_failed_read_is_an_error_once_and_no_more)
{
    struct block_cache *cache = block_cache_new(1 << 20);
    struct entries entries;
    struct lsm_entry entry;
    struct table_iter *iter;
    struct table *table;
    struct arena arena;
    struct prng prng;
    bool found;

    prng_init(&prng, 13);
    entries_init(&entries, 3000);
    entries_draw(&entries, &prng, 3000, 100);
    write_table(&entries, &writer_defaults, NULL, 0);
    sim_disk_fail_next(sim_world_current(), SIM_OP_READ, "1.tbl", 0, 1, -EIO);
    table = NULL;
    cr_assert_eq(table_open("1.tbl", 1, cache, &table), ERR_IO);
    cr_assert_null(table);
    table = open_table(&writer_defaults, cache);
    arena_init(&arena, MEM_SESSIONS);
    sim_disk_fail_next(sim_world_current(), SIM_OP_READ, "1.tbl", 0, 1, -EIO);
    cr_assert_eq(table_get(table, entries.list[5].key, table_key_hash(entries.list[5].key),
                           LSM_TS_MAX, &arena, &entry, &found),
                 ERR_IO);
    check_get(table, &entries, entries.list[5].key, entries.list[5].ts, &arena);
    for (uint32_t read_ahead = 0; read_ahead < 2; read_ahead++) {
        iter = new_iter(table, read_ahead * 20000, false);
        sim_disk_fail_next(sim_world_current(), SIM_OP_READ, "1.tbl", 2, 1, -EIO);
        cr_assert_eq(table_iter_seek_first(iter), ERR_OK);
        err_t err = ERR_OK;
        while (err == ERR_OK && table_iter_is_valid(iter)) {
            err = table_iter_next(iter);
        }
        cr_assert_eq(err, ERR_IO);
        cr_assert(!table_iter_is_valid(iter));
        check_forward(iter, &entries);
        table_iter_free(&iter);
    }
    arena_fini(&arena);
    table_unpin(table);
    close_cache(&cache);
    entries_fini(&entries, 3000);
}

/* ---- Corruption. ---- */

/* Ask for some keys of the damaged table: ERR_CORRUPT, or what was written. */
static err_t
get_damaged(struct table *table, const struct entries *entries)
{
    struct arena arena;
    err_t err = ERR_OK;

    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < entries->count && err == ERR_OK; i += 7) {
        const struct lsm_entry *wanted = &entries->list[i];
        struct lsm_entry entry;
        bool found = false;

        err = table_get(table, wanted->key, table_key_hash(wanted->key), wanted->ts, &arena, &entry,
                        &found);
        if (err == ERR_OK) {
            cr_assert(found);
            assert_same(&entry, wanted);
        }
    }
    arena_fini(&arena);
    return err;
}

/* Read the whole damaged table: ERR_CORRUPT somewhere, or exactly what was written. Without room
 * in the cache index and filter are read at each use. */
static err_t
read_damaged(const struct entries *entries, uint64_t cache_bytes)
{
    struct block_cache *cache = block_cache_new(cache_bytes);
    struct table_iter *iter = NULL;
    struct table *table = NULL;
    uint32_t i = 0;
    err_t err = table_open("1.tbl", 1, cache, &table);

    if (err == ERR_OK) {
        iter = new_iter(table, 0, true);
        err = table_iter_seek_first(iter);
        while (err == ERR_OK && table_iter_is_valid(iter)) {
            cr_assert_lt(i, entries->count);
            assert_same(table_iter_entry(iter), &entries->list[i++]);
            err = table_iter_next(iter);
        }
        if (err == ERR_OK) {
            cr_assert_eq(i, entries->count);
            err = get_damaged(table, entries);
        }
        if (err == ERR_OK) {
            cr_assert_eq(table_range_delete_count(table), 2);
            err = table_verify(table); /* Alone asks an absent filter. */
        }
        table_iter_free(&iter);
        table_unpin(table);
    }
    close_cache(&cache);
    return err;
}

static void
write_small(struct entries *entries, struct prng *prng, uint32_t count)
{
    struct lsm_range_delete ranges[] = {
        {.start = SLICE("a"), .end = SLICE("b"), .ts = 5},
        {.start = SLICE("pr"), .end = SLICE("prz"), .ts = 6},
    };
    struct table_writer_options options = writer_defaults;

    entries_draw(entries, prng, count, 30);
    options.block_bytes = 512;
    write_table(entries, &options, ranges, 2);
}

FIBER_TEST(lsm_table, any_flipped_byte_gives_an_error_or_changes_nothing)
{
    struct sim_world *world = sim_world_current();
    struct entries entries;
    struct prng prng;
    uint64_t size;
    uint32_t refused = 0;

    prng_init(&prng, 14);
    entries_init(&entries, 60);
    write_small(&entries, &prng, 60);
    size = sim_disk_size(world, "1.tbl");
    cr_assert_leq(size, 8192);
    cr_assert_eq(read_damaged(&entries, 1 << 16), ERR_OK);
    cr_assert_eq(read_damaged(&entries, 0), ERR_OK);
    for (uint64_t i = 0; i < size; i++) {
        uint8_t old, damaged;
        err_t err;

        cr_assert(sim_disk_peek(world, "1.tbl", i, &old, 1));
        damaged = old ^ (uint8_t)(1 << prng_below(&prng, 8));
        cr_assert(sim_disk_poke(world, "1.tbl", i, &damaged, 1));
        err = read_damaged(&entries, i % 2 == 0 ? 1 << 16 : 0);
        cr_assert(err == ERR_OK || err == ERR_CORRUPT, "byte %lu: %s", i, err_name(err));
        if (err == ERR_CORRUPT) {
            refused++;
            cr_assert_not_null(strstr(err_message(err), "1.tbl"), "%s", err_message(err));
        } else {
            cr_assert_eq(old, 0, "byte %lu may be damaged unnoticed", i); /* Padding. */
        }
        cr_assert(sim_disk_poke(world, "1.tbl", i, &old, 1));
    }
    cr_assert_gt(refused, 1000);
    entries_fini(&entries, 60);
}

/* Goal: the footer names all the rest, so each of its bits counts. */
FIBER_TEST(lsm_table, any_flipped_bit_of_the_footer_gives_an_error)
{
    struct sim_world *world = sim_world_current();
    struct entries entries;
    struct prng prng;
    uint64_t size, start;

    prng_init(&prng, 24);
    entries_init(&entries, 40);
    write_small(&entries, &prng, 40);
    size = sim_disk_size(world, "1.tbl");
    start = size - TABLE_FOOTER_BYTES;
    for (uint64_t bit = 0; bit < (uint64_t)TABLE_FOOTER_BYTES * 8; bit++) {
        uint64_t at = start + bit / 8;
        uint8_t old, damaged;

        cr_assert(sim_disk_peek(world, "1.tbl", at, &old, 1));
        damaged = old ^ (uint8_t)(1 << bit % 8);
        cr_assert(sim_disk_poke(world, "1.tbl", at, &damaged, 1));
        cr_assert_neq(read_damaged(&entries, 0), ERR_OK, "bit %lu", bit);
        cr_assert(sim_disk_poke(world, "1.tbl", at, &old, 1));
    }
    entries_fini(&entries, 40);
}

FIBER_TEST(lsm_table, a_file_that_ends_early_is_refused)
{
    struct sim_world *world = sim_world_current();
    struct block_cache *cache = block_cache_new(0);
    struct table *table = NULL;
    struct entries entries;
    struct io_file *file = NULL;
    struct prng prng;
    uint64_t size;

    prng_init(&prng, 15);
    entries_init(&entries, 2000);
    entries_draw(&entries, &prng, 2000, 100);
    write_table(&entries, &writer_defaults, NULL, 0);
    size = sim_disk_size(world, "1.tbl");
    while (size > 0) {
        size -= 4096;
        cr_assert_eq(io_open("1.tbl", 0, &file), ERR_OK);
        cr_assert_eq(io_truncate(file, size), ERR_OK);
        io_close(&file);
        cr_assert_eq(table_open("1.tbl", 1, cache, &table), ERR_CORRUPT);
    }
    close_cache(&cache);
    entries_fini(&entries, 2000);
}

static void
copy_page(const char *from, uint64_t from_page, const char *to, uint64_t to_page)
{
    static uint8_t page[4096];

    cr_assert(sim_disk_peek(sim_world_current(), from, from_page * 4096, page, sizeof(page)));
    cr_assert(sim_disk_poke(sim_world_current(), to, to_page * 4096, page, sizeof(page)));
}

/* A page of the table replaced by what stands elsewhere: another page of the same table, the same
 * page of another one, or of an earlier one with the same file number. */
FIBER_TEST(lsm_table, misdirected_and_stale_pages_are_noticed)
{
    struct table_writer_options options = writer_defaults;
    struct block_cache *cache = block_cache_new(0);
    struct table *table;
    struct entries entries;
    struct prng prng;

    prng_init(&prng, 16);
    entries_init(&entries, 3000);
    entries_draw(&entries, &prng, 3000, 100);
    options.compress = false;
    write_table(&entries, &options, NULL, 0);
    options.path = "earlier.tbl"; /* The same contents under the same number. */
    write_table(&entries, &options, NULL, 0);
    options.path = "2.tbl";
    options.file_number = 2;
    write_table(&entries, &options, NULL, 0);
    options = writer_defaults;

    for (uint32_t kind = 0; kind < 3; kind++) {
        table = open_table(&options, cache);
        copy_page("1.tbl", 3, "earlier.tbl", 0); /* Keep a copy. */
        if (kind == 0) {
            copy_page("1.tbl", 4, "1.tbl", 3);
        } else if (kind == 1) {
            copy_page("2.tbl", 3, "1.tbl", 3);
        } else {
            copy_page("earlier.tbl", 3, "1.tbl", 3);
        }
        cr_assert_eq(table_verify(table), ERR_CORRUPT, "kind %u", kind);
        copy_page("earlier.tbl", 0, "1.tbl", 3);
        cr_assert_eq(table_verify(table), ERR_OK);
        table_unpin(table);
    }
    close_cache(&cache);
    entries_fini(&entries, 3000);
}

FIBER_TEST(lsm_table, an_ignored_checksum_is_a_canary_that_a_scan_can_notice)
{
    struct sim_world *world = sim_world_current();
    struct block_cache *cache = block_cache_new(0);
    struct table_writer_options options = writer_defaults;
    struct lsm_entry list[] = {
        {.key = SLICE("key"), .value = SLICE("valuevaluevalue"), .ts = 1, .kind = LSM_PUT}};
    struct entries entries = {.list = list, .count = 1};
    struct table_iter *iter;
    struct table *table;
    uint8_t page[4096];
    uint8_t *at;

    options.compress = false;
    write_table(&entries, &options, NULL, 0);
    cr_assert(sim_disk_peek(world, "1.tbl", 0, page, sizeof(page)));
    at = memmem(page, sizeof(page), "valuevalue", 10);
    cr_assert_not_null(at);
    cr_assert(sim_disk_poke(world, "1.tbl", (uint64_t)(at - page), "V", 1));
    table = open_table(&options, cache);
    iter = new_iter(table, 0, false);
    cr_assert_eq(table_iter_seek_first(iter), ERR_CORRUPT);
    canary_active = CANARY_BLOCK_CHECKSUM_IGNORED;
    cr_assert_eq(table_iter_seek_first(iter), ERR_OK);
    cr_assert(slice_equal(table_iter_entry(iter)->value, SLICE("Valuevaluevalue")));
    canary_active = CANARY_NONE;
    table_iter_free(&iter);
    table_unpin(table);
    close_cache(&cache);
}

FIBER_TEST(lsm_table, an_unknown_version_is_named_and_a_wrong_file_refused)
{
    struct sim_world *world = sim_world_current();
    struct block_cache *cache = block_cache_new(0);
    struct entries entries = {0};
    struct table *table = NULL;
    uint8_t footer[TABLE_FOOTER_BYTES];
    uint64_t offset;

    write_table(&entries, &writer_defaults, NULL, 0);
    cr_assert_eq(table_open("1.tbl", 2, cache, &table), ERR_CORRUPT, "another file number");
    cr_assert_eq(table_open("none.tbl", 1, cache, &table), ERR_NOT_FOUND);

    offset = sim_disk_size(world, "1.tbl") - sizeof(footer);
    cr_assert(sim_disk_peek(world, "1.tbl", offset, footer, sizeof(footer)));
    put_le32(footer + 8, 99);
    put_le64(footer + 120, XXH3_64bits_withSeed(footer, 120, frame_seed(0, 1, offset)));
    cr_assert(sim_disk_poke(world, "1.tbl", offset, footer, sizeof(footer)));
    cr_assert_eq(table_open("1.tbl", 1, cache, &table), ERR_FORMAT);
    cr_assert_not_null(strstr(err_message(ERR_FORMAT), "99"));
    close_cache(&cache);
}

/* ---- Power cuts. ---- */

struct cut_state {
    bool is_finished;
};

static void
cut_entries(struct entries *entries)
{
    struct prng prng;

    prng_init(&prng, 18);
    entries_init(entries, 4000);
    entries_draw(entries, &prng, 4000, 800);
}

static void
cut_body(void *arg)
{
    struct cut_state *state = arg;
    struct entries entries;

    cut_entries(&entries);
    write_table(&entries, &writer_defaults, NULL, 0);
    cr_assert_eq(io_sync_dir(""), ERR_OK);
    state->is_finished = true;
    entries_fini(&entries, 4000);
}

static err_t
cut_check(void *arg)
{
    struct cut_state *state = arg;
    struct block_cache *cache = block_cache_new(0);
    struct table *table = NULL;
    struct entries entries;
    err_t err = table_open("1.tbl", 1, cache, &table);

    cut_entries(&entries);
    if (state->is_finished) {
        cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    }
    /* The cut keeps blocks in any order: of an unfinished table the footer may be there without
     * what it describes, and then the checksums say so. */
    if (err == ERR_OK) {
        err = table_verify(table);
        cr_assert(err == ERR_OK || !state->is_finished, "%s", err_message(err));
    }
    if (err == ERR_OK) {
        struct table_iter *iter = new_iter(table, 1 << 16, false);

        check_forward(iter, &entries);
        table_iter_free(&iter);
    } else {
        cr_assert(err == ERR_NOT_FOUND || err == ERR_CORRUPT, "%s", err_name(err));
    }
    if (table != NULL) {
        table_unpin(table);
    }
    close_cache(&cache);
    entries_fini(&entries, 4000);
    return ERR_OK;
}

/* Goal: a finished table is whole after a power cut; an unfinished one is not taken for whole. */
Test(lsm_table, finished_tables_survive_power_cuts)
{
    uint32_t finished = 0;

    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cut_state state = {0};
        struct sim_options options;
        struct sim_world *world;

        sim_options_init(&options);
        world = sim_world_new(seed, &options);
        sim_world_boot(world, 1);
        sim_world_spawn(world, 0, "cut", cut_body, &state);
        sim_world_run(world, NULL, NULL, seed * 150);
        finished += state.is_finished ? 1 : 0;
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        sim_world_boot(world, 1);
        cr_assert_eq(sim_world_call(world, 0, cut_check, &state), ERR_OK);
        sim_world_stop(world);
        sim_world_free(&world);
    }
    cr_assert_gt(finished, 5);
    cr_assert_lt(finished, 25);
}

/* ---- Several fibers. ---- */

struct getters {
    struct table *table;
    const struct entries *entries;
    uint32_t done;
};

static void
get_fiber(void *arg)
{
    struct getters *getters = arg;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < getters->entries->count; i += 17) {
        check_get(getters->table, getters->entries, getters->entries->list[i].key,
                  getters->entries->list[i].ts, &arena);
        arena_reset(&arena);
    }
    arena_fini(&arena);
    getters->done++;
}

FIBER_TEST(lsm_table, fibers_that_miss_one_block_share_one_read)
{
    enum { FIBERS = 20 };
    struct block_cache *cache = block_cache_new(8 << 20);
    struct block_cache_stats stats;
    struct fiber_group group;
    struct entries entries;
    struct getters getters;
    struct prng prng;
    uint64_t reads;

    prng_init(&prng, 17);
    entries_init(&entries, 3000);
    entries_draw(&entries, &prng, 3000, 100);
    write_table(&entries, &writer_defaults, NULL, 0);
    getters = (struct getters){.table = open_table(&writer_defaults, cache), .entries = &entries};
    reads = sim_disk_count(sim_world_current(), SIM_OP_READ);
    fiber_group_init(&group);
    for (uint32_t i = 0; i < FIBERS; i++) {
        cr_assert(fiber_group_spawn(&group, "get", FIBER_FOREGROUND, FIBER_STACK_SMALL, get_fiber,
                                    &getters));
    }
    fiber_group_wait(&group);
    cr_assert_eq(getters.done, FIBERS);
    block_cache_stats_get(cache, &stats);
    cr_assert_eq(stats.misses, stats.inserted);
    cr_assert_eq(sim_disk_count(sim_world_current(), SIM_OP_READ) - reads, stats.misses);
    cr_assert_lt(stats.misses, 200);
    table_unpin(getters.table);
    close_cache(&cache);
    entries_fini(&entries, 3000);
}
