/* Tests of models/kv/hash_expire.c: fields that expire. The replies are those of Redis's manual. */
#include <stdio.h>
#include <string.h>

#include "models/kv/collection.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_hash_expire, .timeout = 60);

#define FIELDS_1 "FIELDS", "1"
#define FIELDS_2 "FIELDS", "2"
#define FIELDS_3 "FIELDS", "3"

enum { MANY = 300, TEXT_BYTES = 24, SECOND_US = 1000000 };

/* Small hashes are packed, larger ones spread: each case runs with both. */
static YIELDS void
fill(const char *key, bool is_large)
{
    EXPECT(":3\r\n", "HSET", key, "a", "1", "b", "2", "c", "3");
    for (uint32_t i = 0; is_large && i < MANY; i++) {
        char name[TEXT_BYTES];

        snprintf(name, sizeof(name), "f%u", i);
        EXPECT(":1\r\n", "HSET", key, name, "v");
    }
}

/* So many of the fields that fill gave. */
static void
expect_count(const char *key, bool is_large, int64_t less)
{
    cr_assert_eq(NUMBER("HLEN", key), (is_large ? MANY : 0) + 3 - less);
}

static YIELDS void
times_case(bool is_large)
{
    kv_fixture_open();
    fill("h", is_large);
    EXPECT("*3\r\n:-1\r\n:-1\r\n:-2\r\n", "HTTL", "h", FIELDS_3, "a", "b", "z");
    EXPECT("*3\r\n:1\r\n:1\r\n:-2\r\n", "HEXPIRE", "h", "100", FIELDS_3, "a", "b", "z");
    EXPECT("*3\r\n:100\r\n:100\r\n:-1\r\n", "HTTL", "h", FIELDS_3, "a", "b", "c");
    EXPECT("*2\r\n:0\r\n:1\r\n", "HPEXPIRE", "h", "9000", "NX", FIELDS_2, "a", "c");
    EXPECT("*2\r\n:0\r\n:1\r\n", "HPEXPIRE", "h", "50000", "GT", FIELDS_2, "a", "c");
    EXPECT("*2\r\n:1\r\n:0\r\n", "HPEXPIRE", "h", "60000", "LT", FIELDS_2, "a", "c");
    EXPECT("*1\r\n:1\r\n", "HPERSIST", "h", FIELDS_1, "c");
    EXPECT("*1\r\n:0\r\n", "HEXPIRE", "h", "9", "XX", FIELDS_1, "c");
    EXPECT("*3\r\n:-1\r\n:1\r\n:-2\r\n", "HPERSIST", "h", FIELDS_3, "c", "b", "z");
    EXPECT("*1\r\n:1\r\n", "HEXPIREAT", "h", "9999999999", FIELDS_1, "b");
    EXPECT("*1\r\n:9999999999\r\n", "HEXPIRETIME", "h", FIELDS_1, "b");
    EXPECT("*1\r\n:9999999999000\r\n", "HPEXPIRETIME", "h", FIELDS_1, "b");
    EXPECT("*1\r\n:2\r\n", "HPEXPIREAT", "h", "1", FIELDS_1, "b");
    EXPECT("$-1\r\n", "HGET", "h", "b");
    expect_count("h", is_large, 1);
    EXPECT("*2\r\n:-2\r\n:-2\r\n", "HTTL", "none", FIELDS_2, "a", "b");
    EXPECT("*1\r\n:-2\r\n", "HEXPIRE", "none", "5", FIELDS_1, "a");
    kv_fixture_close();
}

FIBER_TEST(kv_hash_expire, times_are_set_told_and_taken_back)
{
    times_case(false);
}

FIBER_TEST(kv_hash_expire, times_are_set_told_and_taken_back_of_spread_hashes)
{
    times_case(true);
}

static YIELDS void
gone_case(bool is_large)
{
    kv_fixture_open();
    fill("h", is_large);
    EXPECT("*2\r\n:1\r\n:1\r\n", "HPEXPIRE", "h", "50", FIELDS_2, "a", "b");
    (void)fiber_sleep_us(SECOND_US);
    EXPECT("*3\r\n$-1\r\n$-1\r\n$1\r\n3\r\n", "HMGET", "h", "a", "b", "c");
    EXPECT(":0\r\n", "HEXISTS", "h", "a");
    EXPECT(":0\r\n", "HDEL", "h", "a");
    EXPECT(":1\r\n", "HSETNX", "h", "b", "new");
    EXPECT("*1\r\n:-1\r\n", "HTTL", "h", FIELDS_1, "b");
    expect_count("h", is_large, 1);
    if (!is_large) {
        EXPECT("*4\r\n$1\r\nb\r\n$3\r\nnew\r\n$1\r\nc\r\n$1\r\n3\r\n", "HGETALL", "h");
    }
    kv_fixture_close();
}

FIBER_TEST(kv_hash_expire, a_field_whose_time_has_come_is_not_there)
{
    gone_case(false);
}

FIBER_TEST(kv_hash_expire, a_field_whose_time_has_come_is_not_there_of_spread_hashes)
{
    gone_case(true);
}

static YIELDS void
active_case(bool is_large)
{
    kv_fixture_open();
    kv_config(kv_self())->active_expire = true;
    fill("h", is_large);
    fill("g", false);
    EXPECT("*2\r\n:1\r\n:1\r\n", "HPEXPIRE", "h", "50", FIELDS_2, "a", "b");
    EXPECT("*3\r\n:1\r\n:1\r\n:1\r\n", "HPEXPIRE", "g", "50", FIELDS_3, "a", "b", "c");
    EXPECT("*1\r\n:1\r\n", "HPEXPIRE", "h", "5000", FIELDS_1, "c");
    (void)fiber_sleep_us(SECOND_US);
    expect_count("h", is_large, 2);
    EXPECT(":0\r\n", "EXISTS", "g");
    (void)fiber_sleep_us(9 * SECOND_US);
    cr_assert_eq(NUMBER("EXISTS", "h"), is_large);
    kv_fixture_close();
}

FIBER_TEST(kv_hash_expire, fields_are_removed_unasked_and_with_the_last_one_the_key)
{
    active_case(false);
}

FIBER_TEST(kv_hash_expire,
           fields_are_removed_unasked_and_with_the_last_one_the_key_of_spread_hashes)
{
    active_case(true);
}

/* The bytes of a bulk reply. */
static struct slice
bulk_of(struct slice reply)
{
    const uint8_t *begin = (const uint8_t *)memchr(reply.data, '\n', reply.size) + 1;

    return slice_of(begin, reply.size - (size_t)(begin - reply.data) - 2);
}

static YIELDS void
kept_case(bool is_large)
{
    struct slice payload;

    kv_fixture_open();
    fill("h", is_large);
    EXPECT("*1\r\n:1\r\n", "HEXPIREAT", "h", "9999999999", FIELDS_1, "a");
    EXPECT("*1\r\n:1\r\n", "HEXPIREAT", "h", "9999999998", FIELDS_1, "b");
    EXPECT(":1\r\n", "COPY", "h", "copy");
    EXPECT("+OK\r\n", "RENAME", "copy", "renamed");
    EXPECT("*2\r\n:9999999999\r\n:-1\r\n", "HEXPIRETIME", "renamed", FIELDS_2, "a", "c");
    payload = bulk_of(CALL("DUMP", "h"));
    {
        const struct slice words[] = {SLICE("RESTORE"), SLICE("r"), SLICE("0"), payload};

        cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    }
    EXPECT("*3\r\n:9999999999\r\n:9999999998\r\n:-1\r\n", "HEXPIRETIME", "r", FIELDS_3, "a", "b",
           "c");
    cr_assert_eq(NUMBER("HLEN", "r"), NUMBER("HLEN", "h"));
    EXPECT(":1\r\n", "HINCRBY", "h", "z", "1");
    EXPECT(":2\r\n", "HINCRBY", "h", "a", "1");
    EXPECT("*1\r\n:9999999999\r\n", "HEXPIRETIME", "h", FIELDS_1, "a");
    EXPECT(":0\r\n", "HSET", "h", "a", "7");
    EXPECT("*1\r\n:-1\r\n", "HEXPIRETIME", "h", FIELDS_1, "a");
    kv_fixture_reopen();
    EXPECT("*1\r\n:9999999998\r\n", "HEXPIRETIME", "h", FIELDS_1, "b");
    EXPECT("+OK\r\n", "SET", "h", "text");
    EXPECT(":2\r\n", "DEL", "renamed", "r");
    EXPECT("+OK\r\n", "FLUSHDB");
    kv_fixture_close();
}

FIBER_TEST(kv_hash_expire, times_go_with_the_fields_into_copies_and_dumps)
{
    kept_case(false);
}

FIBER_TEST(kv_hash_expire, times_go_with_the_fields_into_copies_and_dumps_of_spread_hashes)
{
    kept_case(true);
}

FIBER_TEST(kv_hash_expire, a_payload_of_redis_7_4_is_read)
{
    /* Type 24: the earliest time (9999999999000 ms), two fields, distances 0 (none) and 1. */
    static const uint8_t bytes[] = {24, 0x18, 0x9c, 0x72, 0x4e, 0x18, 0x09, 0,   0, 2,
                                    0,  1,    'a',  1,    '1',  1,    1,    'b', 1, '2',
                                    0,  0,    0,    0,    0,    0,    0,    0,   0, 0};
    uint8_t payload[sizeof(bytes)];
    const struct slice words[] = {SLICE("RESTORE"), SLICE("r"), SLICE("0"),
                                  slice_of(payload, sizeof(payload))};

    kv_fixture_open();
    memcpy(payload, bytes, sizeof(bytes));
    payload_seal(payload, sizeof(payload) - PAYLOAD_FOOTER_BYTES, PAYLOAD_VERSION_TIMES);
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT("*2\r\n:-1\r\n:9999999999000\r\n", "HPEXPIRETIME", "r", FIELDS_2, "a", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_hash_expire, wrong_calls_are_refused)
{
    kv_fixture_open();
    fill("h", false);
    EXPECT("+OK\r\n", "SET", "text", "v");
    EXPECT("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "HEXPIRE",
           "text", "5", FIELDS_1, "a");
    EXPECT("-ERR Mandatory argument FIELDS is missing or not at the right position\r\n", "HEXPIRE",
           "h", "5", "WHAT", "1", "a");
    EXPECT("-ERR The `numfields` parameter must match the number of arguments\r\n", "HTTL", "h",
           FIELDS_2, "a");
    EXPECT("-ERR Number of fields must be a positive integer\r\n", "HTTL", "h", "FIELDS", "0", "a");
    EXPECT("-ERR invalid expire time, must be >= 0\r\n", "HEXPIRE", "h", "-1", FIELDS_1, "a");
    EXPECT("-ERR invalid expire time in 'hexpire' command\r\n", "HEXPIRE", "h",
           "9223372036854775807", FIELDS_1, "a");
    EXPECT("-ERR value is not an integer or out of range\r\n", "HPEXPIRE", "h", "x", FIELDS_1, "a");
    kv_fixture_close();
}
