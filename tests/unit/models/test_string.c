/* Tests of models/kv/string.c and lcs.c: replies, options and errors as Redis has them. */
#include <stdio.h>

#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_string, .timeout = 30);

#define SYNTAX      "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define NOT_FLOAT   "-ERR value is not a valid float\r\n"
#define BAD_TIME(c) "-ERR invalid expire time in '" c "' command\r\n"
#define TOO_LONG    "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n"

FIBER_TEST(kv_string, set_and_get_keep_bytes_and_replace_values)
{
    kv_fixture_open();
    EXPECT("$-1\r\n", "GET", "k");
    EXPECT("+OK\r\n", "SET", "k", "v");
    cr_expect_gt(fixture.lsn, 0, "the reply has to wait for the log");
    EXPECT("$1\r\nv\r\n", "GET", "k");
    EXPECT("+OK\r\n", "SET", "k", "");
    EXPECT("$0\r\n\r\n", "GET", "k");
    EXPECT(":1\r\n", "DBSIZE");
    EXPECT("+OK\r\n", "SET", "", "empty name");
    EXPECT("$10\r\nempty name\r\n", "GET", "");
    kv_fixture_close();
}

FIBER_TEST(kv_string, set_conditions_and_get_work_together)
{
    kv_fixture_open();
    EXPECT("$-1\r\n", "SET", "k", "1", "XX");
    EXPECT("+OK\r\n", "SET", "k", "1", "NX");
    EXPECT("$-1\r\n", "SET", "k", "2", "nx");
    EXPECT("$1\r\n1\r\n", "SET", "k", "2", "NX", "GET");
    EXPECT("$1\r\n1\r\n", "SET", "k", "3", "XX", "GET");
    EXPECT("$1\r\n3\r\n", "GET", "k");
    EXPECT("$-1\r\n", "SET", "new", "1", "GET", "NX");
    EXPECT("$1\r\n1\r\n", "GET", "new");
    EXPECT(SYNTAX, "SET", "k", "v", "NX", "XX");
    EXPECT("+OK\r\n", "SET", "k", "v", "XX", "XX");
    EXPECT(":0\r\n", "SETNX", "k", "v");
    EXPECT(":1\r\n", "SETNX", "l", "v");
    kv_fixture_close();
}

FIBER_TEST(kv_string, set_expiries_exclude_each_other_and_must_be_positive)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "k", "v", "EX", "100");
    EXPECT(":100\r\n", "TTL", "k");
    EXPECT("+OK\r\n", "SET", "k", "v", "KEEPTTL");
    EXPECT(":100\r\n", "TTL", "k");
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT(":-1\r\n", "TTL", "k");
    EXPECT("+OK\r\n", "SET", "k", "v", "PX", "5000");
    EXPECT(":5\r\n", "TTL", "k");
    EXPECT("+OK\r\n", "SET", "k", "v", "PXAT", "9000000000123");
    EXPECT(":9000000000123\r\n", "PEXPIRETIME", "k");
    EXPECT("+OK\r\n", "SET", "k", "v", "EXAT", "9000000000");
    EXPECT(":9000000000\r\n", "EXPIRETIME", "k");
    EXPECT("+OK\r\n", "SET", "k", "v", "EX", "10", "EX", "20");
    EXPECT(":20\r\n", "TTL", "k");
    EXPECT(SYNTAX, "SET", "k", "v", "EX", "10", "PX", "20");
    EXPECT(SYNTAX, "SET", "k", "v", "EX", "10", "KEEPTTL");
    EXPECT(SYNTAX, "SET", "k", "v", "KEEPTTL", "EX", "10");
    EXPECT(SYNTAX, "SET", "k", "v", "EX");
    EXPECT(SYNTAX, "SET", "k", "v", "PERSIST");
    EXPECT(SYNTAX, "SET", "k", "v", "what");
    EXPECT(NOT_INTEGER, "SET", "k", "v", "EX", "ten");
    EXPECT(BAD_TIME("set"), "SET", "k", "v", "EX", "0");
    EXPECT(BAD_TIME("set"), "SET", "k", "v", "PX", "-1");
    EXPECT(BAD_TIME("set"), "SET", "k", "v", "EX", "9223372036854775807");
    EXPECT(BAD_TIME("set"), "SET", "k", "v", "PX", "9223372036854775807");
    EXPECT(BAD_TIME("setex"), "SETEX", "k", "-10", "v");
    EXPECT(BAD_TIME("psetex"), "PSETEX", "k", "0", "v");
    EXPECT("+OK\r\n", "SETEX", "k", "10", "w");
    EXPECT("+OK\r\n", "PSETEX", "k", "10000", "w");
    EXPECT(":10\r\n", "TTL", "k");
    EXPECT("$1\r\nw\r\n", "GET", "k");
    kv_fixture_close();
}

FIBER_TEST(kv_string, a_value_whose_time_has_passed_leaves_no_key)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT("+OK\r\n", "SET", "k", "v", "EXAT", "1");
    EXPECT("$-1\r\n", "GET", "k");
    EXPECT(":0\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST(kv_string, getset_getdel_and_getex_read_before_they_change)
{
    kv_fixture_open();
    EXPECT("$-1\r\n", "GETSET", "k", "1");
    EXPECT(":1\r\n", "EXPIRE", "k", "100");
    EXPECT("$1\r\n1\r\n", "GETSET", "k", "2");
    EXPECT(":-1\r\n", "TTL", "k");
    EXPECT("$1\r\n2\r\n", "GETEX", "k", "EX", "50");
    EXPECT(":50\r\n", "TTL", "k");
    EXPECT("$1\r\n2\r\n", "GETEX", "k");
    EXPECT(":50\r\n", "TTL", "k");
    EXPECT("$1\r\n2\r\n", "GETEX", "k", "PERSIST");
    EXPECT(":-1\r\n", "TTL", "k");
    EXPECT("$1\r\n2\r\n", "GETEX", "k", "PXAT", "9000000000000");
    EXPECT("$1\r\n2\r\n", "GETEX", "k", "EXAT", "1");
    EXPECT(":0\r\n", "EXISTS", "k");
    EXPECT("$-1\r\n", "GETEX", "k", "EX", "no number");
    EXPECT("+OK\r\n", "SET", "k", "3");
    EXPECT(NOT_INTEGER, "GETEX", "k", "EX", "no number");
    EXPECT(BAD_TIME("getex"), "GETEX", "k", "EX", "0");
    EXPECT(SYNTAX, "GETEX", "k", "PERSIST", "EX", "1");
    EXPECT(SYNTAX, "GETEX", "k", "KEEPTTL");
    EXPECT("$1\r\n3\r\n", "GETDEL", "k");
    EXPECT("$-1\r\n", "GETDEL", "k");
    EXPECT(":0\r\n", "DBSIZE");
    kv_fixture_close();
}

FIBER_TEST(kv_string, several_keys_are_written_and_read_as_one)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "a", "3");
    EXPECT("*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1\r\n", "MGET", "a", "b", "c");
    EXPECT(":2\r\n", "DBSIZE");
    EXPECT(":0\r\n", "MSETNX", "c", "1", "a", "2");
    EXPECT(":0\r\n", "EXISTS", "c");
    EXPECT(":1\r\n", "MSETNX", "c", "1", "d", "2", "c", "3");
    EXPECT("$1\r\n3\r\n", "GET", "c");
    EXPECT("-ERR wrong number of arguments for 'mset' command\r\n", "MSET", "a", "1", "b");
    EXPECT("-ERR wrong number of arguments for 'msetnx' command\r\n", "MSETNX", "a", "1", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_string, hundreds_of_keys_with_repeats_are_counted_once)
{
    enum { PAIRS = 300 };
    struct slice words[1 + 2 * PAIRS] = {SLICE("MSET")};
    char names[PAIRS][8];

    kv_fixture_open();
    for (uint32_t i = 0; i < PAIRS; i++) {
        int size = snprintf(names[i], sizeof(names[i]), "k%u", i % 200);

        words[1 + 2 * i] = slice_of(names[i], (size_t)size);
        words[2 + 2 * i] = i < 200 ? SLICE("first") : SLICE("last");
    }
    cr_assert(slice_equal(kv_call(words, 1 + 2 * PAIRS), SLICE("+OK\r\n")));
    EXPECT(":200\r\n", "DBSIZE");
    EXPECT("$4\r\nlast\r\n", "GET", "k0");
    EXPECT("$5\r\nfirst\r\n", "GET", "k150");
    words[0] = SLICE("DEL");
    for (uint32_t i = 0; i < PAIRS; i++) {
        words[1 + i] = slice_from_text(names[i]);
    }
    cr_assert(slice_equal(kv_call(words, 1 + PAIRS), SLICE(":200\r\n")));
    kv_fixture_close();
}

FIBER_TEST(kv_string, counters_stay_within_64_bits_and_keep_the_expiry)
{
    kv_fixture_open();
    EXPECT(":1\r\n", "INCR", "n");
    EXPECT(":1\r\n", "EXPIRE", "n", "100");
    EXPECT(":11\r\n", "INCRBY", "n", "10");
    EXPECT(":10\r\n", "DECR", "n");
    EXPECT(":-5\r\n", "DECRBY", "n", "15");
    EXPECT(":100\r\n", "TTL", "n");
    EXPECT("$2\r\n-5\r\n", "GET", "n");
    EXPECT("+OK\r\n", "SET", "n", "9223372036854775807");
    EXPECT("-ERR increment or decrement would overflow\r\n", "INCR", "n");
    EXPECT("+OK\r\n", "SET", "n", "-9223372036854775808");
    EXPECT("-ERR increment or decrement would overflow\r\n", "DECR", "n");
    EXPECT("-ERR decrement would overflow\r\n", "DECRBY", "n", "-9223372036854775808");
    EXPECT(NOT_INTEGER, "INCRBY", "n", "9223372036854775808");
    EXPECT("+OK\r\n", "SET", "n", " 1");
    EXPECT(NOT_INTEGER, "INCR", "n");
    EXPECT("+OK\r\n", "SET", "n", "");
    EXPECT(NOT_INTEGER, "INCR", "n");
    kv_fixture_close();
}

FIBER_TEST(kv_string, incrbyfloat_prints_as_redis_does)
{
    kv_fixture_open();
    EXPECT("$3\r\n0.1\r\n", "INCRBYFLOAT", "f", "0.1");
    EXPECT("$1\r\n0\r\n", "INCRBYFLOAT", "f", "-0.1");
    EXPECT("+OK\r\n", "SET", "f", "5.0e3");
    EXPECT("$4\r\n5200\r\n", "INCRBYFLOAT", "f", "2.0e2");
    EXPECT("+OK\r\n", "SET", "f", "3");
    EXPECT("$3\r\n4.1\r\n", "INCRBYFLOAT", "f", "1.1");
    EXPECT("+OK\r\n", "SET", "f", "17179869184");
    EXPECT("$13\r\n17179869185.5\r\n", "INCRBYFLOAT", "f", "1.5");
    EXPECT(NOT_FLOAT, "INCRBYFLOAT", "f", " 1");
    EXPECT(NOT_FLOAT, "INCRBYFLOAT", "f", "1x");
    EXPECT(NOT_FLOAT, "INCRBYFLOAT", "f", "");
    EXPECT(NOT_FLOAT, "INCRBYFLOAT", "f", "nan");
    EXPECT("-ERR increment would produce NaN or Infinity\r\n", "INCRBYFLOAT", "f", "+inf");
    EXPECT("+OK\r\n", "SET", "f", "a");
    EXPECT(NOT_FLOAT, "INCRBYFLOAT", "f", "1");
    kv_fixture_close();
}

FIBER_TEST(kv_string, parts_are_read_by_positions_from_both_ends)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "k", "Hello World");
    EXPECT("$4\r\nHell\r\n", "GETRANGE", "k", "0", "3");
    EXPECT("$11\r\nHello World\r\n", "GETRANGE", "k", "0", "-1");
    EXPECT("$4\r\norld\r\n", "GETRANGE", "k", "-4", "-1");
    EXPECT("$0\r\n\r\n", "GETRANGE", "k", "5", "3");
    EXPECT("$0\r\n\r\n", "GETRANGE", "k", "-1", "-5");
    EXPECT("$6\r\n World\r\n", "GETRANGE", "k", "5", "5000");
    EXPECT("$11\r\nHello World\r\n", "GETRANGE", "k", "-5000", "10000");
    EXPECT("$1\r\nH\r\n", "GETRANGE", "k", "0", "-100");
    EXPECT("$11\r\nHello World\r\n", "GETRANGE", "k", "-9223372036854775808",
           "9223372036854775807");
    EXPECT("$0\r\n\r\n", "GETRANGE", "none", "0", "-1");
    EXPECT(NOT_INTEGER, "GETRANGE", "none", "x", "-1");
    EXPECT("$5\r\nWorld\r\n", "SUBSTR", "k", "6", "-1");
    EXPECT(":11\r\n", "STRLEN", "k");
    EXPECT(":0\r\n", "STRLEN", "none");
    kv_fixture_close();
}

FIBER_TEST(kv_string, append_and_setrange_grow_strings_up_to_the_limit)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "APPEND", "k", "foo");
    EXPECT(":1\r\n", "EXPIRE", "k", "100");
    EXPECT(":6\r\n", "APPEND", "k", "bar");
    EXPECT("$6\r\nfoobar\r\n", "GET", "k");
    EXPECT(":100\r\n", "TTL", "k");
    EXPECT(":6\r\n", "SETRANGE", "k", "3", "BAR");
    EXPECT("$6\r\nfooBAR\r\n", "GET", "k");
    EXPECT(":0\r\n", "SETRANGE", "none", "5", "");
    EXPECT(":0\r\n", "EXISTS", "none");
    EXPECT(":6\r\n", "SETRANGE", "k", "900", "");
    EXPECT("-ERR offset is out of range\r\n", "SETRANGE", "k", "-1", "x");
    EXPECT(NOT_INTEGER, "SETRANGE", "k", "x", "x");
    EXPECT(TOO_LONG, "SETRANGE", "k", "536870912", "x");
    EXPECT(TOO_LONG, "SETRANGE", "k", "9223372036854775807", "x");
    EXPECT(":3\r\n", "SETRANGE", "pad", "2", "x");
    cr_assert(slice_equal(CALL("GET", "pad"), SLICE("$3\r\n\0\0x\r\n")));
    kv_config(kv_self())->string_bytes_max = 8;
    EXPECT(":8\r\n", "APPEND", "k", "12");
    EXPECT(TOO_LONG, "APPEND", "k", "3");
    EXPECT("$8\r\nfooBAR12\r\n", "GET", "k");
    kv_fixture_close();
}

/* The bytes of a large string lie in an entry of their own; the head alone answers for them. */
FIBER_TEST(kv_string, strings_cross_the_payload_border_both_ways)
{
    static const size_t sizes[] = {
        KV_PAYLOAD_ABOVE_BYTES,    KV_PAYLOAD_ABOVE_BYTES + 1, 200000, 10, 70000,
        KV_PAYLOAD_ABOVE_BYTES + 1};
    static char bytes[200000];

    kv_fixture_open();
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)('a' + i % 23);
    }
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct slice set[] = {SLICE("SET"), SLICE("k"), slice_of(bytes, sizes[i])};
        struct slice got;

        cr_assert(slice_equal(kv_call(set, 3), SLICE("+OK\r\n")));
        cr_assert_eq(NUMBER("STRLEN", "k"), (int64_t)sizes[i]);
        EXPECT(":1\r\n", "EXPIRE", "k", "100");
        EXPECT("+OK\r\n", "RENAME", "k", "{k}2");
        EXPECT(":1\r\n", "COPY", "{k}2", "k");
        got = CALL("GET", "k");
        cr_assert(slice_equal(slice_of(got.data + got.size - 2 - sizes[i], sizes[i]),
                              slice_of(bytes, sizes[i])));
        cr_assert_eq(NUMBER("APPEND", "k", "x"), (int64_t)sizes[i] + 1);
        kv_check();
    }
    EXPECT(":2\r\n", "DEL", "k", "{k}2");
    kv_fixture_close();
}

FIBER_TEST(kv_string, lcs_finds_the_subsequence_its_length_and_its_ranges)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "MSET", "{s}a", "ohmytext", "{s}b", "mynewtext");
    EXPECT("$6\r\nmytext\r\n", "LCS", "{s}a", "{s}b");
    EXPECT(":6\r\n", "LCS", "{s}a", "{s}b", "LEN");
    EXPECT("*4\r\n$7\r\nmatches\r\n*2\r\n*2\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n"
           "*2\r\n*2\r\n:2\r\n:3\r\n*2\r\n:0\r\n:1\r\n$3\r\nlen\r\n:6\r\n",
           "LCS", "{s}a", "{s}b", "IDX");
    EXPECT("*4\r\n$7\r\nmatches\r\n*1\r\n*3\r\n*2\r\n:4\r\n:7\r\n*2\r\n:5\r\n:8\r\n:4\r\n"
           "$3\r\nlen\r\n:6\r\n",
           "LCS", "{s}a", "{s}b", "IDX", "MINMATCHLEN", "4", "WITHMATCHLEN");
    EXPECT("$0\r\n\r\n", "LCS", "{s}a", "{s}none");
    EXPECT("-ERR If you want both the length and indexes, please just use IDX.\r\n", "LCS", "{s}a",
           "{s}b", "IDX", "LEN");
    EXPECT(SYNTAX, "LCS", "{s}a", "{s}b", "MINMATCHLEN");
    EXPECT(NOT_INTEGER, "LCS", "{s}a", "{s}b", "IDX", "MINMATCHLEN", "x");
    kv_config(kv_self())->string_bytes_max = 64;
    EXPECT("-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len\r\n",
           "LCS", "{s}a", "{s}b");
    kv_fixture_close();
}
