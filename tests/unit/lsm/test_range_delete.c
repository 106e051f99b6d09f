/* tests/unit/lsm/test_range_delete.c - range deletes in memory against an array of them. */
#include <criterion/criterion.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "lsm/range_delete.h"

TestSuite(lsm_range_delete, .timeout = 30);

enum { POINTS = 64, RANGES = 60 };

static uint8_t point_bytes[POINTS + 1];

static struct slice
point(uint32_t index)
{
    point_bytes[index] = (uint8_t)(index + 1);
    return slice_of(&point_bytes[index], 1);
}

struct added {
    uint32_t start, end;
    uint64_t ts;
};

static uint64_t
expected_ts(const struct added *added, uint32_t count, uint32_t key, uint64_t snapshot)
{
    uint64_t ts = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (added[i].start <= key && key < added[i].end && added[i].ts <= snapshot) {
            ts = MAX(ts, added[i].ts);
        }
    }
    return ts;
}

static void
check_key(const struct range_map *map, struct range_cursor *scan, const struct added *added,
          uint32_t count, uint32_t key, uint64_t snapshot)
{
    uint64_t expected = expected_ts(added, count, key, snapshot);
    struct range_cover cover;
    uint64_t lsn = 0;

    cr_assert_eq(range_map_ts(map, point(key), snapshot, &lsn), expected);
    cr_assert_eq(lsn, expected);
    range_map_find(map, scan, point(key), snapshot, &cover);
    cr_assert_eq(cover.ts, expected);
    for (uint32_t other = 0; other < POINTS; other++) { /* The answer holds for all within. */
        if (slice_compare(point(other), cover.low) >= 0 &&
            (cover.high_is_open || slice_compare(point(other), cover.high) < 0)) {
            cr_assert_eq(expected_ts(added, count, other, snapshot), expected);
        }
    }
}

Test(lsm_range_delete, lookups_give_what_an_array_of_ranges_gives)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct added added[RANGES];
        struct snapshots snapshots;
        struct range_cursor scan = {.generation = 0};
        struct range_map map;
        struct arena arena;
        struct prng prng;

        prng_init(&prng, seed);
        snapshots_init(&snapshots);
        arena_init(&arena, MEM_MEMTABLE);
        range_map_init(&map, &arena);
        for (uint32_t i = 0; i < RANGES; i++) {
            uint32_t start = (uint32_t)prng_below(&prng, POINTS);
            uint32_t end = start + (uint32_t)prng_below(&prng, POINTS - start + 1);
            /* Timestamps in order, or not. */
            uint64_t ts = seed % 2 == 0 ? i + 1 : 1 + prng_below(&prng, 1000);
            struct lsm_range_delete range = {
                .start = point(start), .end = point(end), .ts = ts, .lsn = ts};

            added[i] = (struct added){.start = start, .end = end, .ts = ts};
            range_map_add(&map, &range, &snapshots);
            if (range_map_is_empty(&map)) {
                continue;
            }
            for (uint32_t key = 0; key < POINTS; key++) {
                check_key(&map, &scan, added, i + 1, key, prng_below(&prng, ts + 10));
                check_key(&map, &scan, added, i + 1, key, UINT64_MAX);
            }
        }
        arena_fini(&arena);
    }
}

/* Disjoint ranges [4k, 4k + 2) of two-byte keys, in any order: borders fill many nodes. */
Test(lsm_range_delete, a_scan_keeps_its_place_while_ranges_come)
{
    enum { MANY = 2000 };
    static bool is_added[MANY];
    struct range_cursor scan = {.generation = 0};
    struct snapshots snapshots;
    struct range_map map;
    struct arena arena;
    struct prng prng;
    uint32_t key = 0;

    prng_init(&prng, 11);
    snapshots_init(&snapshots);
    arena_init(&arena, MEM_MEMTABLE);
    range_map_init(&map, &arena);
    for (uint32_t i = 0; i < 20000; i++) {
        uint32_t which = (uint32_t)prng_below(&prng, MANY);
        struct range_cover cover;
        uint8_t start[2];
        uint8_t end[2];
        uint8_t at[2];

        put_be16(start, (uint16_t)(which * 4));
        put_be16(end, (uint16_t)(which * 4 + 2));
        if (i % 4 == 0) {
            range_map_add(&map,
                          &(struct lsm_range_delete){
                              .start = slice_of(start, 2), .end = slice_of(end, 2), .ts = 1},
                          &snapshots);
            is_added[which] = true;
        }
        key += (uint32_t)prng_below(&prng, 12);
        key = key < MANY * 4 ? key : (uint32_t)prng_below(&prng, 100);
        put_be16(at, (uint16_t)key);
        range_map_find(&map, &scan, slice_of(at, 2), UINT64_MAX, &cover);
        cr_assert_eq(cover.ts, key % 4 < 2 && is_added[key / 4] ? 1 : 0);
        cr_assert(slice_compare(cover.low, slice_of(at, 2)) <= 0);
        cr_assert(cover.high_is_open || slice_compare(cover.high, slice_of(at, 2)) > 0);
    }
    arena_fini(&arena);
}

Test(lsm_range_delete, range_deletes_that_nobody_sees_are_collected)
{
    struct snapshots snapshots;
    struct lsm_snapshot held;
    struct range_map map;
    struct arena arena;
    uint64_t lsn;
    uint64_t bytes = 0;

    snapshots_init(&snapshots);
    arena_init(&arena, MEM_MEMTABLE);
    range_map_init(&map, &arena);
    for (uint64_t ts = 1; ts <= 1000; ts++) {
        struct lsm_range_delete range = {.start = point(3), .end = point(9), .ts = ts, .lsn = ts};

        snapshots.horizon = ts;
        if (ts == 500) {
            snapshots_take(&snapshots, 499, &held);
        }
        range_map_add(&map, &range, &snapshots);
        if (ts == 10) {
            bytes = map.bytes;
        }
    }
    cr_assert_eq(map.layers, 2); /* The newest, and the one that the snapshot sees. */
    cr_assert_eq(range_map_ts(&map, point(5), 499, &lsn), 499);
    cr_assert_leq(map.bytes, bytes + 2 * sizeof(struct range_layer));
    snapshots_drop(&held);
    arena_fini(&arena);
}

Test(lsm_range_delete, a_table_is_covered_only_without_gaps_and_by_newer_ranges)
{
    struct range_map map;
    struct arena arena;
    uint64_t until = 0;

    arena_init(&arena, MEM_MEMTABLE);
    range_map_init(&map, &arena);
    range_map_add(&map, &(struct lsm_range_delete){.start = point(2), .end = point(5), .ts = 10},
                  NULL);
    range_map_add(&map, &(struct lsm_range_delete){.start = point(5), .end = point(9), .ts = 20},
                  NULL);
    cr_assert(range_map_covers(&map, point(2), point(8), false, 9, &until));
    cr_assert_eq(until, 20);
    cr_assert(range_map_covers(&map, point(3), point(9), true, 9, &until));
    cr_assert(!range_map_covers(&map, point(3), point(9), false, 9, &until), "the end itself");
    cr_assert(!range_map_covers(&map, point(1), point(8), false, 9, &until), "begins before");
    cr_assert(!range_map_covers(&map, point(2), point(8), false, 10, &until), "not newer");
    cr_assert(range_map_covers(&map, point(5), point(8), false, 15, &until));
    range_map_add(&map, &(struct lsm_range_delete){.start = point(10), .end = point(12), .ts = 30},
                  NULL);
    cr_assert(!range_map_covers(&map, point(3), point(11), false, 9, &until), "a gap");
    cr_assert_eq(range_map_superseded_at(&map, point(6), 5), 20);
    cr_assert_eq(range_map_superseded_at(&map, point(6), 20), UINT64_MAX);
    cr_assert_eq(range_map_superseded_at(&map, point(9), 5), UINT64_MAX);
    arena_fini(&arena);
}
