/* Tests of models/kv/scan.c, flush.c, databases.c and expire_cycle.c: what concerns all keys. */
#include <stdio.h>
#include <stdlib.h>

#include "engine/rt/msg.h"
#include "models/kv/databases.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_keyspace, .timeout = 60);

enum { SHARDS = 3, KEYS_MAX = 2000 };

static YIELDS void
set_number(const char *prefix, uint32_t number)
{
    char name[32];

    snprintf(name, sizeof(name), "%s%u", prefix, number);
    EXPECT("+OK\r\n", "SET", name, "v");
}

/* ---- SCAN ---- */

static bool seen[KEYS_MAX];

/* A line of the reply, and what follows. */
static struct slice
line_take(struct slice *left)
{
    const uint8_t *end = memchr(left->data, '\r', left->size);
    struct slice line = slice_of(left->data, (size_t)(end - left->data));

    *left = slice_of(end + 2, left->size - line.size - 2);
    return line;
}

/* One call; marks the keys "key:N" in seen, counts all. Returns the next cursor. */
static YIELDS uint64_t
scan_once(uint64_t cursor, const char *count, const char *const *more, uint32_t *found_io)
{
    char text[24];
    const char *words[10] = {"SCAN", text, "COUNT", count};
    struct slice reply;
    uint64_t names;

    for (uint32_t i = 0; more[i] != NULL; i++) {
        words[4 + i] = more[i];
    }
    snprintf(text, sizeof(text), "%llu", (unsigned long long)cursor);
    reply = kv_call_texts(words);
    cr_assert(slice_equal(line_take(&reply), SLICE("*2")));
    line_take(&reply);
    cursor = strtoull((const char *)line_take(&reply).data, NULL, 10);
    names = strtoull((const char *)line_take(&reply).data + 1, NULL, 10);
    for (uint64_t i = 0; i < names; i++) {
        struct slice name;

        line_take(&reply);
        name = line_take(&reply);
        if (slice_starts_with(name, SLICE("key:"))) {
            seen[strtoul((const char *)name.data + 4, NULL, 10) % KEYS_MAX] = true;
        }
        (*found_io)++;
    }
    cr_assert_eq(reply.size, 0);
    return cursor;
}

static YIELDS uint32_t
scan_all(const char *count, const char *const *more)
{
    uint64_t cursor = 0;
    uint32_t found = 0;
    uint32_t calls = 0;

    memset(seen, 0, sizeof(seen));
    do {
        cursor = scan_once(cursor, count, more, &found);
        cr_assert_lt(++calls, 5000, "the scan does not end");
    } while (cursor != 0);
    return found;
}

FIBER_TEST_ON(kv_keyspace, scan_passes_every_key_once_on_all_shards, SHARDS)
{
    kv_fixture_open();
    cr_expect_eq(scan_all("10", WORDS(NULL)), 0);
    for (uint32_t i = 0; i < 500; i++) {
        set_number("key:", i);
    }
    cr_expect_eq(scan_all("1", WORDS(NULL)), 500);
    cr_expect_eq(scan_all("7", WORDS(NULL)), 500);
    cr_expect_eq(scan_all("1000", WORDS(NULL)), 500);
    cr_expect_eq(scan_all("10", WORDS("MATCH", "key:1?")), 10);
    cr_expect_eq(scan_all("10", WORDS("TYPE", "string")), 500);
    cr_expect_eq(scan_all("10", WORDS("TYPE", "hash")), 0);
    kv_fixture_close();
}

FIBER_TEST(kv_keyspace, scan_refuses_what_redis_refuses)
{
    kv_fixture_open();
    EXPECT("-ERR invalid cursor\r\n", "SCAN", "x");
    EXPECT("-ERR invalid cursor\r\n", "SCAN", "99999999999999999999");
    EXPECT("-ERR syntax error\r\n", "SCAN", "0", "COUNT", "0");
    EXPECT("-ERR syntax error\r\n", "SCAN", "0", "COUNT");
    EXPECT("-ERR syntax error\r\n", "SCAN", "0", "what", "1");
    EXPECT("-ERR value is not an integer or out of range\r\n", "SCAN", "0", "COUNT", "x");
    EXPECT("*2\r\n$1\r\n0\r\n*0\r\n", "SCAN", "18446744073709551615");
    kv_fixture_close();
}

/* The promise: what is there from the first call to the last is returned. */
FIBER_TEST_ON(kv_keyspace, scan_misses_nothing_that_stays_while_other_keys_come_and_go, SHARDS)
{
    uint64_t cursor = 0;
    uint32_t found = 0;
    uint32_t round = 0;
    char name[32];

    kv_fixture_open();
    for (uint32_t i = 0; i < 300; i++) {
        set_number("key:", i);
        set_number("gone:", i);
    }
    memset(seen, 0, sizeof(seen));
    do {
        cursor = scan_once(cursor, "5", WORDS(NULL), &found);
        set_number("new:", round);
        snprintf(name, sizeof(name), "gone:%u", round % 300);
        (void)NUMBER("DEL", name);
        cr_assert_lt(++round, 2000);
    } while (cursor != 0);
    for (uint32_t i = 0; i < 300; i++) {
        cr_expect(seen[i], "key:%u was missed", i);
    }
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, scan_leaves_out_expired_keys_and_removes_them, SHARDS)
{
    kv_fixture_open();
    for (uint32_t i = 0; i < 100; i++) {
        set_number("key:", i);
    }
    EXPECT("+OK\r\n", "SET", "foo", "bar", "PX", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    EXPECT(":101\r\n", "DBSIZE");
    cr_expect_eq(scan_all("10", WORDS(NULL)), 100);
    EXPECT(":100\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, keys_gathers_from_all_shards, SHARDS)
{
    struct slice reply;

    kv_fixture_open();
    EXPECT("*0\r\n", "KEYS", "*");
    for (uint32_t i = 0; i < 20; i++) {
        set_number("key:", i);
    }
    EXPECT("+OK\r\n", "SET", "other", "v", "PX", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    reply = CALL("KEYS", "*");
    cr_expect(slice_starts_with(reply, SLICE("*20\r\n")), "got %s", (const char *)reply.data);
    reply = CALL("KEYS", "key:1*");
    cr_expect(slice_starts_with(reply, SLICE("*11\r\n")), "got %s", (const char *)reply.data);
    EXPECT("*1\r\n$5\r\nkey:7\r\n", "KEYS", "key:7");
    kv_fixture_close();
}

/* ---- RANDOMKEY ---- */

static YIELDS void
count_picks(uint32_t keys, uint32_t picks, uint32_t *counts)
{
    memset(counts, 0, keys * sizeof(*counts));
    for (uint32_t i = 0; i < picks; i++) {
        struct slice reply = CALL("RANDOMKEY");
        const char *number = strchr((const char *)reply.data, ':');

        cr_assert_not_null(number, "got %s", (const char *)reply.data);
        counts[strtoul(number + 1, NULL, 10)]++;
    }
}

FIBER_TEST_ON(kv_keyspace, randomkey_picks_each_of_few_keys_about_as_often, SHARDS)
{
    uint32_t counts[10];

    kv_fixture_open();
    EXPECT("$-1\r\n", "RANDOMKEY");
    for (uint32_t i = 0; i < 10; i++) {
        set_number("key:", i);
    }
    count_picks(10, 1000, counts);
    for (uint32_t i = 0; i < 10; i++) {
        cr_expect(counts[i] > 50 && counts[i] < 200, "key:%u was picked %u times", i, counts[i]);
    }
    kv_fixture_close();
}

/* All keys share one slot: a place drawn among all slots would always find the same one. */
FIBER_TEST(kv_keyspace, randomkey_reaches_many_keys_of_one_slot)
{
    uint32_t counts[200];
    uint32_t reached = 0;

    kv_fixture_open();
    for (uint32_t i = 0; i < 200; i++) {
        set_number("{tag}key:", i);
    }
    count_picks(200, 2000, counts);
    for (uint32_t i = 0; i < 200; i++) {
        reached += counts[i] > 0;
        cr_expect_lt(counts[i], 200, "key:%u was picked %u times", i, counts[i]);
    }
    cr_expect_gt(reached, 120);
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, randomkey_never_gives_an_expired_key, SHARDS)
{
    char name[16];

    kv_fixture_open();
    for (uint32_t i = 0; i < 50; i++) {
        snprintf(name, sizeof(name), "%u", i);
        EXPECT("+OK\r\n", "SET", name, "v", "PX", "1");
    }
    EXPECT("+OK\r\n", "SET", "live", "v");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    for (uint32_t i = 0; i < 20; i++) {
        EXPECT("$4\r\nlive\r\n", "RANDOMKEY");
    }
    EXPECT(":1\r\n", "DEL", "live");
    EXPECT("$-1\r\n", "RANDOMKEY");
    kv_fixture_close();
}

/* ---- FLUSHDB, FLUSHALL, SWAPDB ---- */

FIBER_TEST_ON(kv_keyspace, flush_empties_one_database_or_all_and_lasts, SHARDS)
{
    kv_fixture_open();
    for (uint32_t i = 0; i < 50; i++) {
        set_number("key:", i);
        fixture.db = 1;
        set_number("key:", i);
        EXPECT("+OK\r\n", "SET", "volatile", "v", "EX", "100");
        fixture.db = 0;
    }
    EXPECT("-ERR syntax error\r\n", "FLUSHDB", "LATER");
    EXPECT("-ERR syntax error\r\n", "FLUSHALL", "ASYNC", "SYNC");
    EXPECT("+OK\r\n", "FLUSHDB", "ASYNC");
    EXPECT(":0\r\n", "DBSIZE");
    EXPECT("$-1\r\n", "GET", "key:1");
    cr_expect_eq(scan_all("10", WORDS(NULL)), 0);
    fixture.db = 1;
    EXPECT(":51\r\n", "DBSIZE");
    kv_check();
    EXPECT("+OK\r\n", "FLUSHALL", "SYNC");
    EXPECT(":0\r\n", "DBSIZE");
    set_number("key:", 3);
    kv_fixture_reopen();
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT("$1\r\nv\r\n", "GET", "key:3");
    EXPECT("$-1\r\n", "GET", "key:4");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, swapdb_swaps_on_every_shard_and_survives_a_restart, SHARDS)
{
    kv_fixture_open();
    for (uint32_t i = 0; i < 30; i++) {
        set_number("key:", i);
    }
    EXPECT("-ERR invalid first DB index\r\n", "SWAPDB", "a", "1");
    EXPECT("-ERR invalid second DB index\r\n", "SWAPDB", "0", "b");
    EXPECT("-ERR DB index is out of range\r\n", "SWAPDB", "0", "16");
    EXPECT("-ERR DB index is out of range\r\n", "SWAPDB", "-1", "0");
    EXPECT("+OK\r\n", "SWAPDB", "2", "2");
    EXPECT("+OK\r\n", "SWAPDB", "0", "5");
    EXPECT(":0\r\n", "DBSIZE");
    set_number("key:", 99);
    kv_fixture_reopen();
    EXPECT(":1\r\n", "DBSIZE");
    fixture.db = 5;
    EXPECT(":30\r\n", "DBSIZE");
    cr_expect_eq(scan_all("10", WORDS(NULL)), 30);
    EXPECT("+OK\r\n", "SWAPDB", "5", "0");
    EXPECT(":1\r\n", "DBSIZE");
    kv_fixture_close();
}

Test(kv_keyspace, a_mapping_of_databases_that_is_no_permutation_is_corrupt)
{
    uint32_t keyspaces[KV_DATABASES_MAX];
    uint8_t stored[KV_DATABASES_BYTES];

    for (uint32_t i = 0; i < KV_DATABASES_MAX; i++) {
        keyspaces[i] = KV_DATABASES_MAX - 1 - i;
    }
    kv_databases_encode(stored, keyspaces);
    cr_assert_eq(kv_databases_decode(slice_of(stored, sizeof(stored)), keyspaces), ERR_OK);
    cr_expect_eq(keyspaces[0], KV_DATABASES_MAX - 1);
    cr_expect_eq(kv_databases_decode(slice_of(stored, sizeof(stored) - 1), keyspaces), ERR_CORRUPT);
    stored[0] = stored[4];
    cr_expect_eq(kv_databases_decode(slice_of(stored, sizeof(stored)), keyspaces), ERR_CORRUPT);
    put_le32(stored, KV_DATABASES_MAX);
    cr_expect_eq(kv_databases_decode(slice_of(stored, sizeof(stored)), keyspaces), ERR_CORRUPT);
}

/* ---- Expiry ---- */

FIBER_TEST(kv_keyspace, whoever_meets_an_expired_key_removes_it)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3");
    EXPECT(":1\r\n", "PEXPIRE", "a", "1");
    EXPECT(":1\r\n", "PEXPIRE", "b", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    EXPECT(":3\r\n", "DBSIZE");
    EXPECT("*3\r\n$-1\r\n$-1\r\n$-1\r\n", "MGET", "a", "a", "b");
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT("$-1\r\n", "SET", "a", "1", "XX");
    EXPECT("+OK\r\n", "SET", "c", "1", "PX", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    EXPECT("+OK\r\n", "SET", "c", "1", "NX");
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT(":1\r\n", "PEXPIRE", "c", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    EXPECT(":0\r\n", "DEL", "c", "c");
    kv_fixture_close();
}

static YIELDS void
active_expire_on(void *arg)
{
    (void)arg;
    kv_config(kv_self())->active_expire = true;
}

static YIELDS void
wait_for_size(int64_t size)
{
    for (uint32_t i = 0; i < 100 && NUMBER("DBSIZE") != size; i++) {
        cr_assert_eq(fiber_sleep_us(50000), ERR_OK);
    }
    cr_assert_eq(NUMBER("DBSIZE"), size);
}

FIBER_TEST_ON(kv_keyspace, keys_nobody_asks_for_expire_by_themselves, SHARDS)
{
    char name[16];

    kv_fixture_open();
    for (uint32_t i = 0; i < SHARDS; i++) {
        msg_call(i, MSG_FIBER, active_expire_on, NULL);
    }
    for (uint32_t i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "k%u", i);
        fixture.db = i % 2;
        EXPECT("+OK\r\n", "SET", name, "v", "PX", i % 5 == 0 ? "100000" : "50");
    }
    wait_for_size(50);
    fixture.db = 0;
    wait_for_size(50);
    /* A time before those that were passed: the mark has to come back for it. */
    EXPECT(":1\r\n", "PEXPIRE", "k0", "20");
    wait_for_size(49);
    kv_fixture_close();
}

FIBER_TEST(kv_keyspace, an_expiry_that_was_moved_or_taken_away_does_not_strike)
{
    kv_fixture_open();
    active_expire_on(NULL);
    EXPECT("+OK\r\n", "SET", "moved", "v", "PX", "300");
    EXPECT("+OK\r\n", "SET", "kept", "v", "PX", "300");
    EXPECT(":1\r\n", "PEXPIRE", "moved", "5000");
    EXPECT(":1\r\n", "PERSIST", "kept");
    cr_assert_eq(fiber_sleep_us(1000000), ERR_OK);
    EXPECT(":2\r\n", "EXISTS", "moved", "kept");
    cr_assert_eq(fiber_sleep_us(6000000), ERR_OK);
    EXPECT(":1\r\n", "DBSIZE");
    kv_fixture_close();
}

/* ---- Commands that wait for each other ---- */

enum { WRITERS = 8, WRITES = 50 };

static struct fiber_group writers;

static YIELDS void
increment_often(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < WRITES; i++) {
        (void)NUMBER("INCR", "counter");
        (void)NUMBER("APPEND", "{counter}log", "x");
        fiber_yield();
    }
}

/* Each waits for the store between its read and its write; without the latch they would lose
 * updates. */
FIBER_TEST(kv_keyspace, commands_on_one_key_do_not_lose_updates)
{
    char text[32];

    kv_fixture_open();
    fiber_group_init(&writers);
    for (uint32_t i = 0; i < WRITERS; i++) {
        cr_assert(fiber_group_spawn(&writers, "writer", FIBER_FOREGROUND, FIBER_STACK_LARGE,
                                    increment_often, NULL));
    }
    fiber_group_wait(&writers);
    snprintf(text, sizeof(text), ":%d\r\n", WRITERS * WRITES);
    EXPECT(text, "INCRBY", "counter", "0");
    EXPECT(text, "STRLEN", "{counter}log");
    kv_fixture_close();
}

/* The latches under a suspension at the worst place: between lock and unlock. */
static uint32_t inside;
static uint32_t entered;

static YIELDS void
latch_holder(void *arg)
{
    const uint64_t *wanted = arg;
    uint64_t ids[3] = {wanted[0], wanted[1], wanted[2]};
    struct kv_latch latches[3];
    uint32_t held;

    for (uint32_t i = 0; i < 20; i++) {
        memcpy(ids, wanted, sizeof(ids));
        kv_latch_lock(kv_self(), latches, ids, 3, &held);
        cr_assert_eq(inside, 0, "two hold the latch of one key");
        inside++;
        entered++;
        cr_assert_eq(fiber_sleep_us(100), ERR_OK);
        inside--;
        kv_latch_unlock(kv_self(), latches, held);
    }
}

FIBER_TEST(kv_keyspace, latches_exclude_each_other_whatever_the_order_of_the_keys)
{
    /* All share id 7; the last one names it twice. 7 and 7 + 1024 share a bucket. */
    static const uint64_t wanted[4][3] = {{1, 7, 9}, {9, 7, 1}, {7, 7 + 1024, 3}, {7, 7, 5}};

    kv_fixture_open();
    inside = 0;
    entered = 0;
    fiber_group_init(&writers);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert(fiber_group_spawn(&writers, "holder", FIBER_FOREGROUND, FIBER_STACK_LARGE,
                                    latch_holder, (void *)wanted[i]));
    }
    fiber_group_wait(&writers);
    cr_expect_eq(entered, 80);
    kv_fixture_close();
}

static YIELDS void
write_until_flushed(void *arg)
{
    char name[32];

    for (uint32_t i = 0; i < WRITES; i++) {
        snprintf(name, sizeof(name), "w%u:%u", *(const uint32_t *)arg, i);
        EXPECT("+OK\r\n", "SET", name, "v", "EX", "100");
    }
}

FIBER_TEST_ON(kv_keyspace, flush_among_writers_leaves_counters_and_keys_in_agreement, SHARDS)
{
    static const uint32_t numbers[WRITERS] = {0, 1, 2, 3, 4, 5, 6, 7};

    kv_fixture_open();
    fiber_group_init(&writers);
    for (uint32_t i = 0; i < WRITERS; i++) {
        cr_assert(fiber_group_spawn(&writers, "writer", FIBER_FOREGROUND, FIBER_STACK_LARGE,
                                    write_until_flushed, (void *)&numbers[i]));
    }
    for (uint32_t i = 0; i < 10; i++) {
        EXPECT("+OK\r\n", i % 2 == 0 ? "FLUSHALL" : "FLUSHDB");
        EXPECT("+OK\r\n", "SWAPDB", "0", "1");
    }
    fiber_group_wait(&writers);
    kv_check();
    EXPECT("+OK\r\n", "FLUSHALL");
    EXPECT(":0\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, statistics_follow_hits_misses_and_keys, 1)
{
    struct kv_stats stats;

    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1", "EX", "100");
    (void)CALL("GET", "a");
    (void)CALL("GET", "none");
    EXPECT("+OK\r\n", "SET", "b", "1", "PX", "1");
    cr_assert_eq(fiber_sleep_us(10000), ERR_OK);
    (void)CALL("GET", "b");
    kv_stats_get(kv_self(), &stats);
    cr_expect_eq(stats.hits, 1);
    cr_expect_eq(stats.misses, 2);
    cr_expect_eq(stats.expired, 1);
    cr_expect_eq(stats.keys[0], 1);
    cr_expect_eq(stats.expires[0], 1);
    kv_stats_reset(kv_self());
    kv_stats_get(kv_self(), &stats);
    cr_expect_eq(stats.hits, 0);
    cr_expect_eq(stats.keys[0], 1);
    kv_fixture_close();
}

FIBER_TEST_ON(kv_keyspace, commands_are_routed_to_the_shard_of_their_keys, SHARDS)
{
    struct slice one[] = {SLICE("GET"), SLICE("foo")};
    struct slice apart[] = {SLICE("MGET"), SLICE("foo"), SLICE("bar")};
    struct slice tagged[] = {SLICE("MGET"), SLICE("{x}foo"), SLICE("{x}bar")};
    uint32_t shard = 99;

    kv_fixture_open();
    cr_expect_eq(kv_route(command_find(SLICE("get")), one, 2, &shard), KV_ROUTE_SHARD);
    cr_expect_eq(shard, 12182 * SHARDS / KV_SLOTS);
    cr_expect_eq(kv_route(command_find(SLICE("mget")), apart, 3, &shard), KV_ROUTE_CROSS);
    cr_expect_eq(kv_route(command_find(SLICE("mget")), tagged, 3, &shard), KV_ROUTE_SHARD);
    for (uint32_t slot = 0; slot < KV_SLOTS; slot++) {
        uint32_t owner = kv_shard_of_slot((uint16_t)slot);

        cr_assert_eq(owner, slot * SHARDS / KV_SLOTS);
    }
    kv_fixture_close();
}
