/* Tests of models/kv/generic.c, expire.c and dump.c. */
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_generic, .timeout = 30);

#define SYNTAX      "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define BAD_DB      "-ERR DB index is out of range\r\n"
#define SAME        "-ERR source and destination objects are the same\r\n"
#define NO_KEY      "-ERR no such key\r\n"

FIBER_TEST(kv_generic, keys_are_counted_as_often_as_redis_counts_them)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3");
    EXPECT(":4\r\n", "EXISTS", "a", "b", "a", "none", "c");
    EXPECT(":3\r\n", "TOUCH", "a", "b", "none", "a");
    EXPECT(":2\r\n", "DEL", "a", "a", "none", "b");
    EXPECT(":1\r\n", "UNLINK", "c");
    EXPECT("+none\r\n", "TYPE", "a");
    EXPECT(":1\r\n", "APPEND", "a", "x");
    EXPECT("+string\r\n", "TYPE", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, rename_moves_value_and_expiry)
{
    kv_fixture_open();
    EXPECT(NO_KEY, "RENAME", "a", "b");
    EXPECT(NO_KEY, "RENAME", "a", "a");
    EXPECT(NO_KEY, "RENAMENX", "a", "b");
    EXPECT("+OK\r\n", "SET", "a", "1", "EX", "100");
    EXPECT("+OK\r\n", "SET", "b", "2", "EX", "5");
    EXPECT("+OK\r\n", "RENAME", "a", "a");
    EXPECT(":0\r\n", "RENAMENX", "a", "a");
    EXPECT(":0\r\n", "RENAMENX", "a", "b");
    EXPECT("+OK\r\n", "RENAME", "a", "b");
    EXPECT("$1\r\n1\r\n", "GET", "b");
    EXPECT(":100\r\n", "TTL", "b");
    EXPECT(":1\r\n", "RENAMENX", "b", "c");
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT("+OK\r\n", "SET", "d", "no expiry");
    EXPECT("+OK\r\n", "RENAME", "d", "c");
    EXPECT(":-1\r\n", "TTL", "c");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, copy_and_move_reach_other_databases)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1", "EX", "100");
    EXPECT(":0\r\n", "COPY", "none", "b");
    EXPECT(":1\r\n", "COPY", "a", "b");
    EXPECT(":0\r\n", "COPY", "a", "b");
    EXPECT(":1\r\n", "COPY", "a", "b", "REPLACE");
    EXPECT(":1\r\n", "COPY", "a", "a", "DB", "3");
    EXPECT(SAME, "COPY", "a", "a");
    EXPECT(SAME, "COPY", "a", "a", "DB", "0");
    EXPECT(BAD_DB, "COPY", "a", "b", "DB", "16");
    EXPECT(NOT_INTEGER, "COPY", "a", "b", "DB", "notanumber");
    EXPECT(SYNTAX, "COPY", "a", "b", "DB");
    EXPECT(SYNTAX, "COPY", "a", "b", "what");
    EXPECT(":0\r\n", "MOVE", "a", "3");
    EXPECT(":1\r\n", "MOVE", "b", "3");
    EXPECT(":0\r\n", "MOVE", "b", "3");
    EXPECT(SAME, "MOVE", "a", "0");
    EXPECT(BAD_DB, "MOVE", "a", "-1");
    EXPECT(NOT_INTEGER, "MOVE", "a", "x");
    EXPECT(":1\r\n", "DBSIZE");
    fixture.db = 3;
    EXPECT(":2\r\n", "DBSIZE");
    EXPECT("$1\r\n1\r\n", "GET", "b");
    EXPECT(":100\r\n", "TTL", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, expire_obeys_its_flags)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "EXPIRE", "k", "10");
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT(":0\r\n", "EXPIRE", "k", "10", "XX");
    EXPECT(":0\r\n", "EXPIRE", "k", "10", "GT");
    EXPECT(":1\r\n", "EXPIRE", "k", "10", "LT");
    EXPECT(":0\r\n", "EXPIRE", "k", "20", "NX");
    EXPECT(":0\r\n", "EXPIRE", "k", "20", "LT");
    EXPECT(":1\r\n", "EXPIRE", "k", "20", "GT");
    EXPECT(":0\r\n", "EXPIRE", "k", "20", "GT");
    EXPECT(":1\r\n", "EXPIRE", "k", "30", "XX");
    EXPECT(":1\r\n", "PERSIST", "k");
    EXPECT(":0\r\n", "PERSIST", "k");
    EXPECT(":1\r\n", "EXPIRE", "k", "30", "NX", "NX");
    EXPECT(":1\r\n", "EXPIRE", "k", "40", "XX", "GT");
    EXPECT("-ERR NX and XX, GT or LT options at the same time are not compatible\r\n", "EXPIRE",
           "k", "1", "NX", "XX");
    EXPECT("-ERR GT and LT options at the same time are not compatible\r\n", "EXPIRE", "k", "1",
           "GT", "LT");
    EXPECT("-ERR Unsupported option Ab\r\n", "EXPIRE", "k", "1", "Ab");
    EXPECT(NOT_INTEGER, "EXPIRE", "k", "x");
    EXPECT("-ERR invalid expire time in 'expire' command\r\n", "EXPIRE", "k",
           "9223372036854775807");
    EXPECT("-ERR invalid expire time in 'pexpire' command\r\n", "PEXPIRE", "k",
           "9223372036854775807");
    EXPECT("-ERR invalid expire time in 'expireat' command\r\n", "EXPIREAT", "k",
           "-9223372036854775808");
    EXPECT(":1\r\n", "EXPIRE", "k", "-1");
    EXPECT(":0\r\n", "EXISTS", "k");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, times_are_told_in_seconds_and_milliseconds)
{
    kv_fixture_open();
    EXPECT(":-2\r\n", "TTL", "k");
    EXPECT(":-2\r\n", "PEXPIRETIME", "k");
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT(":-1\r\n", "PTTL", "k");
    EXPECT(":-1\r\n", "EXPIRETIME", "k");
    EXPECT(":1\r\n", "PEXPIREAT", "k", "9000000000500");
    EXPECT(":9000000001\r\n", "EXPIRETIME", "k");
    EXPECT(":9000000000500\r\n", "PEXPIRETIME", "k");
    EXPECT(":1\r\n", "EXPIREAT", "k", "9000000000");
    EXPECT(":9000000000\r\n", "EXPIRETIME", "k");
    EXPECT(":1\r\n", "PEXPIRE", "k", "1400");
    EXPECT(":1\r\n", "TTL", "k");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, a_key_longer_than_the_limit_is_refused_and_one_as_long_works)
{
    static char name[KV_NAME_BYTES_MAX + 1];
    struct slice set[] = {SLICE("SET"), slice_of(name, KV_NAME_BYTES_MAX), SLICE("v"), SLICE("EX"),
                          SLICE("100")};

    kv_fixture_open();
    memset(name, 'n', sizeof(name));
    cr_expect(slice_equal(kv_call(set, 5), SLICE("+OK\r\n")));
    set[0] = SLICE("STRLEN");
    cr_expect(slice_equal(kv_call(set, 2), SLICE(":1\r\n")));
    set[0] = SLICE("DEL");
    cr_expect(slice_equal(kv_call(set, 2), SLICE(":1\r\n")));
    set[0] = SLICE("GET");
    set[1] = slice_of(name, sizeof(name));
    cr_expect(
        slice_equal(kv_call(set, 2),
                    SLICE("-ERR the key of 65001 bytes is longer than the limit of 65000\r\n")));
    kv_fixture_close();
}

FIBER_TEST(kv_generic, object_tells_encoding_idle_time_and_frequency)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "i", "123", "e", "short", "r",
           "a string of more than forty-four bytes is called raw");
    EXPECT("$3\r\nint\r\n", "OBJECT", "ENCODING", "i");
    EXPECT("$6\r\nembstr\r\n", "OBJECT", "ENCODING", "e");
    EXPECT("$3\r\nraw\r\n", "OBJECT", "ENCODING", "r");
    EXPECT("$-1\r\n", "OBJECT", "ENCODING", "none");
    EXPECT(":1\r\n", "OBJECT", "REFCOUNT", "i");
    cr_assert_eq(fiber_sleep_us(3000000), ERR_OK);
    EXPECT(":1\r\n", "EXISTS", "i");
    EXPECT(":-1\r\n", "TTL", "i");
    cr_expect_geq(NUMBER("OBJECT", "IDLETIME", "i"), 2, "neither EXISTS nor TTL is an access");
    EXPECT(":1\r\n", "TOUCH", "i");
    cr_expect_lt(NUMBER("OBJECT", "IDLETIME", "i"), 2);
    cr_expect(slice_starts_with(CALL("OBJECT", "FREQ", "i"), SLICE("-ERR An LFU maxmemory")));
    kv_config(kv_self())->lfu = true;
    cr_expect_geq(NUMBER("OBJECT", "FREQ", "i"), 5);
    cr_expect(slice_starts_with(CALL("OBJECT", "IDLETIME", "i"), SLICE("-ERR An LFU maxmemory")));
    cr_expect_gt(NUMBER("MEMORY", "USAGE", "r"), 52);
    cr_expect_lt(NUMBER("MEMORY", "USAGE", "r", "SAMPLES", "0"), 300);
    EXPECT("$-1\r\n", "MEMORY", "USAGE", "none");
    EXPECT(SYNTAX, "MEMORY", "USAGE", "r", "SAMPLES", "-1");
    EXPECT(SYNTAX, "MEMORY", "USAGE", "r", "SAMPLES");
    kv_fixture_close();
}

/* The body of a bulk reply, copied. */
static struct slice
bulk_body(struct slice reply, uint8_t out[256])
{
    const uint8_t *line = memchr(reply.data, '\n', reply.size);
    size_t size = reply.size - (size_t)(line + 1 - reply.data) - 2;

    cr_assert_leq(size, 256);
    memcpy(out, line + 1, size);
    return slice_of(out, size);
}

FIBER_TEST(kv_generic, restore_brings_back_what_dump_gave)
{
    uint8_t copy[256];
    struct slice words[10] = {SLICE("RESTORE"), SLICE("t"), SLICE("0")};

    kv_fixture_open();
    EXPECT("$-1\r\n", "DUMP", "s");
    EXPECT("+OK\r\n", "SET", "s", "some text", "EX", "100");
    words[3] = bulk_body(CALL("DUMP", "s"), copy);
    cr_expect(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT("$9\r\nsome text\r\n", "GET", "t");
    EXPECT(":-1\r\n", "TTL", "t");
    cr_expect(
        slice_equal(kv_call(words, 4), SLICE("-BUSYKEY Target key name already exists.\r\n")));
    words[2] = SLICE("2569591501");
    words[4] = SLICE("REPLACE");
    cr_expect(slice_equal(kv_call(words, 5), SLICE("+OK\r\n")));
    cr_expect_gt(NUMBER("PTTL", "t"), INT64_C(2569591000));
    words[5] = SLICE("ABSTTL");
    words[2] = SLICE("9000000000000");
    cr_expect(slice_equal(kv_call(words, 6), SLICE("+OK\r\n")));
    EXPECT(":9000000000000\r\n", "PEXPIRETIME", "t");
    words[2] = SLICE("0");
    words[5] = SLICE("IDLETIME");
    words[6] = SLICE("1000");
    cr_expect(slice_equal(kv_call(words, 7), SLICE("+OK\r\n")));
    cr_expect_geq(NUMBER("OBJECT", "IDLETIME", "t"), 1000);
    words[5] = SLICE("FREQ");
    words[6] = SLICE("100");
    kv_config(kv_self())->lfu = true;
    cr_expect(slice_equal(kv_call(words, 7), SLICE("+OK\r\n")));
    EXPECT(":100\r\n", "OBJECT", "FREQ", "t");
    words[6] = SLICE("256");
    cr_expect(slice_equal(kv_call(words, 7),
                          SLICE("-ERR Invalid FREQ value, must be >= 0 and <= 255\r\n")));
    words[7] = SLICE("IDLETIME");
    words[6] = SLICE("1");
    words[8] = SLICE("1");
    cr_expect(slice_equal(kv_call(words, 9), SLICE(SYNTAX)));
    words[2] = SLICE("-1");
    cr_expect(slice_equal(kv_call(words, 5), SLICE("-ERR Invalid TTL value, must be >= 0\r\n")));
    words[2] = SLICE("0");
    copy[3] ^= 1;
    cr_expect(slice_equal(kv_call(words, 5),
                          SLICE("-ERR DUMP payload version or checksum are wrong\r\n")));
    kv_fixture_close();
}

FIBER_TEST(kv_generic, restore_with_a_time_in_the_past_removes_the_key)
{
    uint8_t copy[256];
    struct slice words[6] = {SLICE("RESTORE"), SLICE("s"),     SLICE("1"), {0},
                             SLICE("REPLACE"), SLICE("ABSTTL")};

    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "s", "12345");
    words[3] = bulk_body(CALL("DUMP", "s"), copy);
    cr_expect(slice_equal(kv_call(words, 6), SLICE("+OK\r\n")));
    EXPECT(":0\r\n", "EXISTS", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_generic, what_was_written_is_there_after_a_restart)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2");
    EXPECT(":1\r\n", "EXPIRE", "a", "100");
    EXPECT(":1\r\n", "DEL", "b");
    EXPECT("+OK\r\n", "SWAPDB", "0", "7");
    kv_fixture_reopen();
    EXPECT(":0\r\n", "DBSIZE");
    fixture.db = 7;
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT(":100\r\n", "TTL", "a");
    kv_fixture_close();
}
