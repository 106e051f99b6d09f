/* tests/unit/lsm/test_entry_cache.c - the cache of entries, alone against a model and in a tree. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/canary.h"
#include "engine/base/mem.h"
#include "engine/base/prng.h"
#include "lsm/entry_cache.h"
#include "lsm/lsm.h"
#include "lsm/table.h"
#include "tests/lib/fiber_test.h"

enum { KEYS = 600, STEPS = 60000, BUDGET = 16 << 20 };

TestSuite(entry_cache, .timeout = 60);

/* What the tables say at present, and what memory has that is not flushed yet. */
struct truth {
    char name[24];
    uint64_t ts; /* 0: nothing yet. */
    uint32_t value_size;
    uint64_t pending_ts; /* In the memtable; 0: none. */
    uint32_t pending_size;
    uint8_t kind;
    uint8_t pending_kind;
};

static struct truth truths[KEYS];
static uint8_t bytes[ENTRY_CACHE_BYTES_MAX * 2];

static struct lsm_entry
entry_of(const struct truth *truth, uint64_t ts, uint32_t value_size, uint8_t kind)
{
    struct lsm_entry entry = {
        .key = slice_of(truth->name, strlen(truth->name)),
        .value = slice_of(bytes, kind == LSM_DELETE ? 0 : value_size),
        .ts = ts,
        .expire_us = ts * 3,
        .slot = (uint16_t)(ts & 0xfff),
        .kind = kind,
    };

    memset(bytes, (int)(ts & 0xff), value_size);
    return entry;
}

static uint64_t
hash_of(const struct truth *truth)
{
    return table_key_hash(slice_of(truth->name, strlen(truth->name)));
}

static void
expect_truth(struct entry_cache *cache, const struct truth *truth)
{
    struct slice key = slice_of(truth->name, strlen(truth->name));
    struct lsm_entry found;

    if (!entry_cache_find(cache, key, hash_of(truth), &found)) {
        return;
    }
    /* A flush updates before its tables are visible: then memory has the same version. */
    cr_assert(found.ts == truth->ts || (truth->pending_ts != 0 && found.ts == truth->pending_ts),
              "%s: %llu, not %llu", truth->name, (unsigned long long)found.ts,
              (unsigned long long)truth->ts);
    cr_assert_eq(found.expire_us, found.ts * 3);
    cr_assert_eq(found.slot, found.ts & 0xfff);
    for (size_t i = 0; i < found.value.size; i++) {
        cr_assert_eq(found.value.data[i], found.ts & 0xff);
    }
}

/* All that is pending is flushed; the table is visible at the end. */
static void
flush_all(struct entry_cache *cache)
{
    entry_cache_next_generation(cache); /* The rotation. */
    for (uint32_t i = 0; i < KEYS; i++) {
        struct truth *truth = &truths[i];

        if (truth->pending_ts != 0) {
            struct lsm_entry entry =
                entry_of(truth, truth->pending_ts, truth->pending_size, truth->pending_kind);

            entry_cache_flushed(cache, &entry);
        }
    }
    for (uint32_t i = 0; i < KEYS; i++) {
        struct truth *truth = &truths[i];

        if (truth->pending_ts != 0) {
            truth->ts = truth->pending_ts;
            truth->value_size = truth->pending_size;
            truth->kind = truth->pending_kind;
            truth->pending_ts = 0;
        }
    }
}

static void
write_step(struct truth *truth, struct prng *prng, uint64_t ts)
{
    static const uint8_t kinds[] = {LSM_PUT, LSM_PUT, LSM_PUT, LSM_DELETE, LSM_PUT_LARGE};

    truth->pending_ts = ts;
    truth->pending_size = (uint32_t)prng_below(prng, prng_below(prng, 10) == 0 ? 3000 : 200);
    truth->pending_kind = kinds[prng_below(prng, 5)];
}

Test(entry_cache, never_gives_but_the_newest_version_of_the_tables)
{
    struct entry_cache *cache = entry_cache_new(BUDGET);
    struct entry_cache_stats stats;
    struct lsm_entry old = {0}; /* What a slow reader holds. */
    uint64_t old_hash = 0;
    uint64_t old_generation = 0;
    struct prng prng;

    prng_init(&prng, 7);
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(truths[i].name, sizeof(truths[i].name), "key-%u", i * i);
        truths[i] = (struct truth){.ts = 0};
        snprintf(truths[i].name, sizeof(truths[i].name), "key-%u", i * i);
    }
    for (uint32_t step = 1; step <= STEPS; step++) {
        /* Some keys are used far more often. */
        struct truth *truth = &truths[prng_below(&prng, 1 + prng_below(&prng, KEYS))];
        uint64_t what = prng_below(&prng, 1000);

        if (what < 300) {
            write_step(truth, &prng, step);
        } else if (what < 600 && truth->ts != 0 && truth->pending_ts == 0) {
            struct lsm_entry entry = entry_of(truth, truth->ts, truth->value_size, truth->kind);

            entry_cache_offer(cache, hash_of(truth), &entry, entry_cache_generation(cache));
        } else if (what < 620 && truth->ts != 0 && truth->pending_ts == 0) {
            old = entry_of(truth, truth->ts, 0, truth->kind);
            old_hash = hash_of(truth);
            old_generation = entry_cache_generation(cache);
        } else if (what < 640 && old.ts != 0) {
            entry_cache_offer(cache, old_hash, &old, old_generation);
        } else if (what < 650) {
            flush_all(cache);
        } else if (what == 650) {
            entry_cache_clear(cache);
            cr_assert(entry_cache_is_empty(cache));
        } else if (what == 651) {
            entry_cache_resize(cache, (1 + prng_below(&prng, 16)) << 20);
        } else {
            expect_truth(cache, truth);
        }
        if (step % 500 == 0) {
            entry_cache_check(cache);
        }
    }
    entry_cache_stats_get(cache, &stats);
    cr_assert_gt(stats.hits, 1000);
    cr_assert_gt(stats.updated, 100);
    cr_assert_gt(stats.dropped, 100);
    entry_cache_free(&cache);
    cr_assert_null(cache);
}

static struct lsm_entry
numbered(char *name, size_t name_bytes, uint32_t number)
{
    snprintf(name, name_bytes, "number-%u", number);
    return (struct lsm_entry){
        .key = slice_of(name, strlen(name)),
        .value = slice_of(bytes, 100),
        .ts = number + 1,
        .kind = LSM_PUT,
    };
}

static bool
find_number(struct entry_cache *cache, uint32_t number)
{
    char name[24];
    struct lsm_entry entry = numbered(name, sizeof(name), number);

    return entry_cache_find(cache, entry.key, table_key_hash(entry.key), &entry);
}

static void
offer_number(struct entry_cache *cache, uint32_t number)
{
    char name[24];
    struct lsm_entry entry = numbered(name, sizeof(name), number);

    entry_cache_offer(cache, table_key_hash(entry.key), &entry, entry_cache_generation(cache));
}

Test(entry_cache, keeps_what_is_used_again_and_lets_the_rest_pass)
{
    struct entry_cache *cache = entry_cache_new(8 << 20); /* Room for some 800 entries. */
    uint32_t hot = 0;

    for (uint32_t i = 0; i < 100; i++) {
        offer_number(cache, i);
        cr_assert(find_number(cache, i));
    }
    for (uint32_t i = 1000; i < 21000; i++) {
        offer_number(cache, i); /* Each once. */
        if (i % 20 == 0) {
            (void)find_number(cache, i / 20 % 100);
        }
    }
    entry_cache_check(cache);
    for (uint32_t i = 0; i < 100; i++) {
        hot += find_number(cache, i);
    }
    cr_assert_gt(hot, 90);
    cr_assert_lt(entry_cache_bytes(cache), 300 << 10);
    entry_cache_free(&cache);
}

Test(entry_cache, its_share_follows_what_ghosts_would_have_hit)
{
    struct entry_cache *cache = entry_cache_new(8 << 20);
    struct entry_cache_stats stats;
    uint64_t block_hits = 0;

    /* Twice as many keys as fit, read in turn: every second read is of a ghost. */
    for (uint32_t round = 0; round < 12; round++) {
        for (uint32_t i = 0; i < 4096; i++) {
            uint32_t number = i % 2048;

            if (!find_number(cache, number)) {
                offer_number(cache, number);
            }
        }
        (void)entry_cache_adapt(cache, block_hits);
        entry_cache_check(cache);
    }
    entry_cache_stats_get(cache, &stats);
    cr_assert_gt(stats.share, ENTRY_CACHE_SHARE_MIN);
    /* Then blocks would profit, and entries not. */
    for (uint32_t i = 0; stats.share > ENTRY_CACHE_SHARE_MIN; i++) {
        cr_assert_lt(i, 40);
        for (uint32_t k = 0; k < 4096; k++) {
            offer_number(cache, 100000 + i * 4096 + k);
        }
        block_hits += 100000;
        (void)entry_cache_adapt(cache, block_hits);
        entry_cache_check(cache);
        entry_cache_stats_get(cache, &stats);
    }
    entry_cache_free(&cache);
}

/* ---- In a tree. ---- */

static struct lsm *lsm;
static struct arena arena;

static void
tree_open(void)
{
    const struct lsm_options options = {
        .dir = "tree", .background_off = true, .cache_bytes = 4 << 20};
    struct lsm_recovered recovered;

    cr_assert_eq(lsm_open(&options, &recovered, &lsm), ERR_OK);
}

static void
tree_write(const char *key, const char *value, uint64_t ts)
{
    struct lsm_entry entry = {
        .key = slice_of(key, strlen(key)),
        .value = slice_of(value, value == NULL ? 0 : strlen(value)),
        .ts = ts,
        .lsn = ts,
        .kind = value == NULL ? LSM_DELETE : LSM_PUT,
    };

    lsm_apply(lsm, &entry);
}

static void
tree_flush(uint64_t lsn)
{
    lsm_rotate(lsm, lsn, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(lsm), ERR_OK);
}

static void
tree_expect(const char *key, uint64_t snapshot, const char *value)
{
    struct lsm_value found;

    cr_assert_eq(lsm_get(lsm, slice_of(key, strlen(key)), snapshot, &arena, &found), ERR_OK);
    cr_assert_eq(found.is_found, value != NULL, "%s at %llu", key, (unsigned long long)snapshot);
    if (value != NULL) {
        cr_assert(slice_equal(found.value, slice_of(value, strlen(value))), "%s: %.*s, not %s", key,
                  (int)found.value.size, (const char *)found.value.data, value);
    }
}

static uint64_t
tree_entry_hits(void)
{
    struct lsm_stats stats;

    lsm_stats_get(lsm, &stats);
    return stats.entry_cache_hits;
}

/* A tree whose keys a, b and c were read from disk, and so are in the entry cache. */
static void
tree_begin(void)
{
    struct lsm_snapshot held;

    arena_init(&arena, MEM_SESSIONS);
    tree_open();
    lsm_snapshot_take(lsm, 10, &held);
    tree_write("a", "a1", 10);
    tree_write("b", "b1", 11);
    tree_write("c", "c1", 12);
    tree_flush(12);
    lsm_snapshot_drop(lsm, &held);
    lsm_close(&lsm); /* The block cache forgets. */
    tree_open();
    tree_expect("a", 50, "a1");
    tree_expect("a", 50, "a1");
    cr_assert_eq(tree_entry_hits(), 1);
}

static void
tree_end(void)
{
    lsm_close(&lsm);
    arena_fini(&arena);
}

FIBER_TEST(entry_cache, what_a_flush_writes_replaces_what_is_kept)
{
    tree_begin();
    tree_write("a", "a2", 60);
    tree_expect("a", 70, "a2");
    tree_expect("a", 50, "a1");
    tree_flush(60);
    tree_expect("a", 70, "a2");
    tree_expect("a", 70, "a2");
    tree_write("a", NULL, 80);
    tree_flush(80);
    tree_expect("a", 90, NULL);
    tree_write("a", "a value that needs far more room than the one before", 100);
    tree_flush(100);
    tree_expect("a", 110, "a value that needs far more room than the one before");
    tree_end();
}

FIBER_TEST(entry_cache, a_snapshot_below_what_is_kept_is_read_from_tables)
{
    struct lsm_snapshot held;

    tree_begin();
    lsm_snapshot_take(lsm, 50, &held);
    tree_write("a", "a2", 60);
    tree_flush(60);
    tree_expect("a", 70, "a2");
    tree_expect("a", 50, "a1");
    tree_expect("a", 70, "a2");
    lsm_snapshot_drop(lsm, &held);
    tree_end();
}

/* Found by the simulator: nothing is in memory, so memtables alone do not tell that the reader is
 * one of the past. */
FIBER_TEST(entry_cache, a_reader_of_the_past_leaves_nothing)
{
    struct lsm_snapshot held;

    tree_begin();
    lsm_snapshot_take(lsm, 50, &held);
    tree_write("a", "a2", 60);
    tree_flush(60);
    lsm_snapshot_drop(lsm, &held);
    lsm_close(&lsm);
    tree_open();
    tree_expect("a", 50, "a1");
    tree_expect("a", 70, "a2");
    tree_expect("a", 70, "a2");
    tree_end();
}

FIBER_TEST(entry_cache, a_range_delete_hides_what_is_kept)
{
    struct lsm_range_delete range = {
        .start = slice_of("a", 1), .end = slice_of("b", 1), .ts = 60, .lsn = 60};

    tree_begin();
    lsm_apply_range_delete(lsm, &range);
    tree_expect("a", 70, NULL);
    tree_expect("a", 50, "a1");
    tree_flush(60);
    tree_expect("a", 70, NULL);
    tree_expect("a", 70, NULL);
    tree_end();
}

/* The proof that these tests can fail: without the update in the flush they do. */
FIBER_TEST(entry_cache, the_planted_bug_is_seen)
{
    struct lsm_value found;

    tree_begin();
    canary_active = CANARY_ENTRY_CACHE_STALE;
    tree_write("a", "a2", 60);
    tree_flush(60);
    cr_assert_eq(lsm_get(lsm, slice_of("a", 1), 70, &arena, &found), ERR_OK);
    canary_active = CANARY_NONE;
    cr_assert(slice_equal(found.value, slice_of("a1", 2)), "the bug was not planted");
    tree_end();
}
