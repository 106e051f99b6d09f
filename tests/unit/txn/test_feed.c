/* tests/unit/txn/test_feed.c - the change feed: a copy that is built from it alone is the store. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/crc16.h"
#include "engine/base/prng.h"
#include "engine/io/sim.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/closed.h"
#include "txn/feed.h"
#include "txn/txns.h"

enum {
    SHARDS = 3,
    KEYS = 8,    /* A shard. */
    WRITERS = 2, /* A shard. */
    ROUNDS = 40, /* Transactions of a writer in a life. */
    LIVES = 4,
    LARGE_BYTES = 100000,
    FOLLOW_US = 2000000,
};

static struct store *stores[SIM_SHARDS_MAX];
static struct txns *all_txns[SIM_SHARDS_MAX];

/* What the feed has told so far; it survives crashes, as a client's would. */
static uint64_t copy[SHARDS][KEYS];
static struct feed_place copied;
static uint64_t copied_txns;

/* ---- Lives of all shards. ---- */

static err_t
open_one(void *arg)
{
    struct store_options one = options;
    char dir[16];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    one.dir = dir;
    TRY(store_open(&one, &stores[shard_id()]));
    err = txns_open(&all_txns[shard_id()]);
out:
    return err;
}

static err_t
close_one(void *arg)
{
    (void)arg;
    txns_close(&all_txns[shard_id()]);
    store_close(&stores[shard_id()]);
    return ERR_OK;
}

static void
shards_begin(void)
{
    err_t err = sim_world_start(world, SHARDS, open_one, NULL);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

static void
shards_close(void)
{
    cr_assert_eq(sim_world_call_all(world, close_one, NULL), ERR_OK);
    sim_world_stop(world);
}

static err_t
body(void *arg)
{
    void (**fn)(void) = arg;

    (*fn)();
    return ERR_OK;
}

static void
run_on(uint32_t shard, void (*fn)(void))
{
    cr_assert_eq(sim_world_call(world, shard, body, &fn), ERR_OK);
}

static void
feed_world_begin(void)
{
    world_begin();
    memset(copy, 0, sizeof(copy));
    copied = (struct feed_place){0};
    copied_txns = 0;
}

TestSuite(feed, .init = feed_world_begin, .fini = world_end, .timeout = 120);

/* ---- Words. ---- */

static uint16_t
slot_of(uint32_t shard)
{
    return (uint16_t)((shard * SLOT_COUNT + SHARDS - 1) / SHARDS);
}

static struct slice
key_of(uint32_t shard, uint32_t number, char text[16])
{
    snprintf(text, 16, "s%u-k%u", shard, number);
    return slice_from_text(text);
}

/* The same number to a key of each shard that is wanted. */
static void
put_number(const bool *wanted, uint32_t key, uint64_t number)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    uint8_t bytes[8];
    char text[16];
    err_t err;

    put_le64(bytes, number);
    for (uint32_t i = 0; i < SHARDS; i++) {
        if (wanted[i]) {
            txn_put(txn, slot_of(i), key_of(i, key, text), slice_of(bytes, 8), 0);
        }
    }
    err = txn_commit(&txn, NULL);
    cr_assert(err == ERR_OK || err == ERR_SERIALIZATION, "%s", err_message(err));
}

static void
put_text(const char *key, const char *value)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    txn_put(txn, slot_of(shard_id()), slice_from_text(key), slice_from_text(value), 0);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

/* ---- The copy. ---- */

static void
copy_apply(const struct feed_txn *txn)
{
    uint64_t number = 0;

    cr_assert(txn->place.ts > copied.ts ||
                  (txn->place.ts == copied.ts && txn->place.home > copied.home),
              "transactions out of order, or twice");
    copied = txn->place;
    copied_txns++;
    for (uint32_t i = 0; i < txn->count; i++) {
        const struct feed_write *write = &txn->writes[i];
        unsigned shard, key;
        char text[16];

        cr_assert_eq(write->kind, FEED_PUT);
        snprintf(text, sizeof(text), "%.*s", (int)write->key.size, (const char *)write->key.data);
        cr_assert_eq(sscanf(text, "s%u-k%u", &shard, &key), 2);
        cr_assert_eq(shard, write->shard);
        cr_assert(i == 0 || number == get_le64(write->value.data), "half of a transaction");
        number = get_le64(write->value.data);
        copy[shard][key] = number;
    }
}

/* All that is ready, from where the copy stands. */
static void
copy_on(void)
{
    struct feed *feed = NULL;
    struct feed_txn txn;
    bool is_there = true;
    err_t err = feed_open(copied, NULL, 0, &feed);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    while (is_there) {
        err = feed_next(feed, &txn, &is_there);
        cr_assert_eq(err, ERR_OK, "%s", err_message(err));
        if (is_there) {
            copy_apply(&txn);
        }
    }
    feed_close(&feed);
    cr_assert_null(feed);
}

/* Nothing is written any more: the feed gets to the present, and the copy is the store. */
static void
copy_check(void)
{
    struct txn *txn;

    (void)fiber_sleep_us(300000);
    copy_on();
    txn = txn_begin_auto(true, NULL);
    for (uint32_t i = 0; i < SHARDS; i++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            struct lsm_value value = {0};
            struct arena arena;
            char text[16];
            uint64_t number;

            arena_init(&arena, MEM_SESSIONS);
            cr_assert_eq(txn_get(txn, slot_of(i), key_of(i, k, text), &arena, &value), ERR_OK);
            number = value.is_found ? get_le64(value.value.data) : 0;
            cr_assert_eq(copy[i][k], number, "shard %u key %u: the copy has %lu, the store %lu", i,
                         k, copy[i][k], number);
            arena_fini(&arena);
        }
    }
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

/* ---- A life with writers everywhere and a reader. ---- */

static uint64_t numbers;
static uint32_t writers_running;

static void
writer_main(void *arg)
{
    uint32_t writer = (uint32_t)(uintptr_t)arg;
    struct prng prng;

    prng_init(&prng, 1000 * numbers + 10 * writer + shard_id());
    for (uint32_t i = 0; i < ROUNDS; i++) {
        bool wanted[SHARDS];
        bool is_any = false;

        for (uint32_t s = 0; s < SHARDS; s++) {
            wanted[s] = prng_below(&prng, 2) == 0;
            is_any = is_any || wanted[s];
        }
        wanted[shard_id()] = wanted[shard_id()] || !is_any;
        put_number(wanted, (uint32_t)prng_below(&prng, KEYS), ++numbers);
        (void)fiber_sleep_us(prng_below(&prng, 2000));
    }
    writers_running--;
}

static err_t
writers_begin(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers_running++;
        cr_assert_not_null(fiber_spawn("writer", FIBER_FOREGROUND, FIBER_STACK_LARGE, writer_main,
                                       (void *)(uintptr_t)i));
    }
    return ERR_OK;
}

static void
copy_while_writing(void)
{
    for (uint32_t i = 0; i < 6; i++) {
        (void)fiber_sleep_us(5000);
        copy_on();
    }
}

static void
copy_to_the_end(void)
{
    while (writers_running > 0) {
        (void)fiber_sleep_us(5000);
    }
    copy_check();
}

static void
lives(enum sim_crash kind)
{
    for (uint32_t life = 0; life < LIVES; life++) {
        shards_begin();
        run_on(0, copy_check);
        writers_running = 0;
        cr_assert_eq(sim_world_call_all(world, writers_begin, NULL), ERR_OK);
        run_on(life % SHARDS, copy_while_writing);
        if (life + 1 < LIVES) {
            sim_world_crash(world, kind);
        }
    }
    run_on(1, copy_to_the_end);
    cr_assert_gt(copied_txns, ROUNDS);
    shards_close();
}

Test(feed, a_copy_made_from_the_feed_alone_is_the_store_over_power_cuts)
{
    lives(SIM_CRASH_POWER_CUT);
}

Test(feed, a_copy_made_from_the_feed_alone_is_the_store_over_kills)
{
    lives(SIM_CRASH_KILL);
}

/* ---- Single things. ---- */

static void
idle_shards(void)
{
    struct feed *feed = NULL;
    struct feed_txn txn;
    bool is_there;

    (void)fiber_sleep_us(3000000); /* The ceiling of every shard is behind its clock. */
    put_text("k", "v");
    cr_assert_eq(feed_open((struct feed_place){0}, NULL, 0, &feed), ERR_OK);
    cr_assert_eq(feed_wait(feed, shard_now_us() + FOLLOW_US, &txn, &is_there), ERR_OK);
    cr_assert(is_there, "shards where nothing happens held the feed up");
    cr_assert_eq(txn.count, 1);
    cr_assert(slice_equal(txn.writes[0].key, SLICE("k")));
    cr_assert(slice_equal(txn.writes[0].value, SLICE("v")));
    cr_assert_eq(txn.place.home, 0);
    cr_assert_eq(feed_wait(feed, shard_now_us() + 50000, &txn, &is_there), ERR_OK);
    cr_assert_not(is_there);
    feed_close(&feed);
}

Test(feed, idle_shards_do_not_hold_it_up)
{
    shards_begin();
    run_on(0, idle_shards);
    shards_close();
}

static void
filtered(void)
{
    struct slice prefixes[] = {SLICE("b"), SLICE("dd")};
    static const char *const keys[] = {"a", "b1", "c", "d", "dd", "e"};
    struct feed *feed = NULL;
    struct feed_txn txn;
    uint32_t found = 0;
    bool is_there;

    for (uint32_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        put_text(keys[i], "x");
    }
    cr_assert_eq(feed_open((struct feed_place){0}, prefixes, 2, &feed), ERR_OK);
    for (;;) {
        cr_assert_eq(feed_wait(feed, shard_now_us() + 200000, &txn, &is_there), ERR_OK);
        if (!is_there) {
            break;
        }
        cr_assert_eq(txn.count, 1);
        cr_assert(slice_equal(txn.writes[0].key, slice_from_text(found == 0 ? "b1" : "dd")));
        found++;
    }
    cr_assert_eq(found, 2);
    feed_close(&feed);
}

Test(feed, only_wanted_prefixes_are_given)
{
    shards_begin();
    run_on(0, filtered);
    shards_close();
}

static void
large(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    uint8_t *bytes = mem_alloc(MEM_SESSIONS, LARGE_BYTES);
    struct feed *feed = NULL;
    struct feed_txn given;
    struct buf value;
    bool is_there;

    memset(bytes, 'x', LARGE_BYTES);
    txn_put(txn, slot_of(2), SLICE("large"), slice_of(bytes, LARGE_BYTES), 0);
    txn_put(txn, slot_of(0), SLICE("small"), SLICE("y"), 0);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    cr_assert_eq(feed_open((struct feed_place){0}, NULL, 0, &feed), ERR_OK);
    cr_assert_eq(feed_wait(feed, shard_now_us() + FOLLOW_US, &given, &is_there), ERR_OK);
    cr_assert(is_there);
    cr_assert_eq(given.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        if (given.writes[i].kind == FEED_PUT_LARGE) {
            buf_init(&value, MEM_SESSIONS);
            cr_assert_eq(given.writes[i].shard, 2);
            cr_assert_eq(feed_value(&given.writes[i], &value), ERR_OK);
            cr_assert(slice_equal(buf_slice(&value), slice_of(bytes, LARGE_BYTES)));
            buf_fini(&value);
        }
    }
    feed_close(&feed);
    mem_free(MEM_SESSIONS, bytes, LARGE_BYTES);
}

Test(feed, large_values_are_fetched_from_their_shard)
{
    shards_begin();
    run_on(0, large);
    shards_close();
}

static void
too_old(void)
{
    struct feed_place later = {0};
    struct feed *feed = NULL;
    struct feed_txn txn;
    bool is_there;
    char value[2000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (uint32_t i = 0; i < 1500; i++) { /* Many segments and flushes. */
        put_text("k", value);
    }
    (void)fiber_sleep_us(1000000);
    cr_assert_eq(feed_open((struct feed_place){0}, NULL, 0, &feed), ERR_SNAPSHOT_TOO_OLD);
    cr_assert_not_null(strstr(err_message(ERR_SNAPSHOT_TOO_OLD), "goes back to"));
    cr_assert_null(feed);
    later = feed_place_now();
    put_text("k", "last");
    cr_assert_eq(feed_open(later, NULL, 0, &feed), ERR_OK);
    cr_assert_eq(feed_wait(feed, shard_now_us() + FOLLOW_US, &txn, &is_there), ERR_OK);
    cr_assert(is_there);
    cr_assert_gt(txn.place.ts, later.ts);
    feed_close(&feed);
    later.ts += UINT64_C(3600) * 1000000 << 12;
    cr_assert_eq(feed_open(later, NULL, 0, &feed), ERR_INVALID);
}

Test(feed, what_the_logs_no_longer_have_is_too_old)
{
    shards_begin();
    run_on(0, too_old);
    shards_close();
}

static struct feed_place kept_from;

static void
kept_write(void)
{
    char value[2000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    kept_from = feed_place_now();
    for (uint32_t i = 0; i < 1500; i++) { /* Many segments and flushes. */
        put_text("k", value);
    }
    (void)fiber_sleep_us(1000000);
}

static void
kept_expect(void)
{
    struct feed *feed = NULL;
    struct feed_txn txn;
    bool is_there = true;
    uint32_t count = 0;
    err_t err = feed_open(kept_from, NULL, 0, &feed);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    while (is_there) {
        cr_assert_eq(feed_next(feed, &txn, &is_there), ERR_OK);
        count += is_there;
    }
    cr_assert_eq(count, 1500, "%u", count);
    feed_close(&feed);
}

Test(feed, goes_back_as_far_as_the_retention_over_flushes_and_crashes)
{
    options.retention_us = UINT64_C(3600) * 1000000;
    shards_begin();
    run_on(0, kept_write);
    run_on(1, kept_expect);
    sim_world_crash(world, SIM_CRASH_POWER_CUT);
    shards_begin();
    run_on(0, kept_expect);
    shards_close();
}
