/* Tests of models/kv/bits.c and bitfield.c: replies, ranges, overflow and errors as in Redis. */
#include <stdio.h>

#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_bits, .timeout = 60);

#define SYNTAX      "-ERR syntax error\r\n"
#define NOT_INTEGER "-ERR value is not an integer or out of range\r\n"
#define BAD_OFFSET  "-ERR bit offset is not an integer or out of range\r\n"
#define BAD_BIT     "-ERR bit is not an integer or out of range\r\n"
#define WRONGTYPE   "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define BAD_TYPE                                                                                   \
    "-ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but "   \
    "i64 is.\r\n"

FIBER_TEST(kv_bits, setbit_grows_the_string_and_keeps_its_expiry)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "GETBIT", "k", "5");
    EXPECT(":0\r\n", "SETBIT", "k", "1", "1");
    EXPECT("$1\r\n@\r\n", "GET", "k");
    EXPECT(":1\r\n", "EXPIRE", "k", "100");
    EXPECT(":1\r\n", "SETBIT", "k", "1", "0");
    EXPECT(":0\r\n", "SETBIT", "k", "23", "1");
    EXPECT(":3\r\n", "STRLEN", "k");
    EXPECT(":100\r\n", "TTL", "k");
    EXPECT(":1\r\n", "GETBIT", "k", "23");
    EXPECT(":0\r\n", "GETBIT", "k", "22");
    EXPECT(":0\r\n", "GETBIT", "k", "4000000000");
    EXPECT(":0\r\n", "SETBIT", "new", "9", "0");
    EXPECT(":2\r\n", "STRLEN", "new");
    EXPECT(":0\r\n", "SETBIT", "large", "4000000", "1"); /* A payload beside its head. */
    EXPECT(":500001\r\n", "STRLEN", "large");
    EXPECT(":1\r\n", "SETBIT", "large", "4000000", "1");
    EXPECT(":1\r\n", "BITCOUNT", "large");
    EXPECT(":4000000\r\n", "BITPOS", "large", "1");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, offsets_bits_and_types_are_checked)
{
    kv_fixture_open();
    EXPECT(BAD_OFFSET, "SETBIT", "k", "-1", "1");
    EXPECT(BAD_OFFSET, "SETBIT", "k", "x", "1");
    EXPECT(BAD_OFFSET, "SETBIT", "k", "#1", "1");
    EXPECT(BAD_OFFSET, "SETBIT", "k", "4294967296", "1");
    EXPECT(BAD_OFFSET, "GETBIT", "k", "9223372036854775807");
    EXPECT(BAD_BIT, "SETBIT", "k", "0", "2");
    EXPECT(BAD_BIT, "SETBIT", "k", "0", "-1");
    EXPECT(BAD_BIT, "SETBIT", "k", "0", "x");
    EXPECT(":1\r\n", "SADD", "s", "m");
    EXPECT(WRONGTYPE, "SETBIT", "s", "0", "1");
    EXPECT(WRONGTYPE, "GETBIT", "s", "0");
    EXPECT(WRONGTYPE, "BITCOUNT", "s");
    EXPECT(WRONGTYPE, "BITPOS", "s", "1");
    EXPECT(WRONGTYPE, "BITOP", "OR", "d", "k", "s");
    EXPECT(WRONGTYPE, "BITFIELD", "s", "GET", "u8", "0");
    EXPECT(WRONGTYPE, "BITFIELD", "s", "SET", "u8", "0", "1");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitcount_takes_ranges_of_bytes_and_of_bits)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "BITCOUNT", "none");
    EXPECT("+OK\r\n", "SET", "k", "foobar");
    EXPECT(":26\r\n", "BITCOUNT", "k");
    EXPECT(":4\r\n", "BITCOUNT", "k", "0", "0");
    EXPECT(":6\r\n", "BITCOUNT", "k", "1", "1", "BYTE");
    EXPECT(":17\r\n", "BITCOUNT", "k", "5", "30", "bit");
    EXPECT(":26\r\n", "BITCOUNT", "k", "-100", "100");
    EXPECT(":18\r\n", "BITCOUNT", "k", "1", "-2");
    EXPECT(":1\r\n", "BITCOUNT", "k", "1", "1", "BIT");
    EXPECT(":0\r\n", "BITCOUNT", "k", "7", "7", "BIT");
    EXPECT(":0\r\n", "BITCOUNT", "k", "3", "1");
    EXPECT(":0\r\n", "BITCOUNT", "k", "-100", "-200");
    EXPECT(":4\r\n", "BITCOUNT", "k", "-200", "-100");
    EXPECT(SYNTAX, "BITCOUNT", "k", "0");
    EXPECT(SYNTAX, "BITCOUNT", "none", "0", "1", "word");
    EXPECT(SYNTAX, "BITCOUNT", "k", "0", "1", "BIT", "BIT");
    EXPECT(NOT_INTEGER, "BITCOUNT", "none", "a", "1");
    EXPECT(NOT_INTEGER, "BITCOUNT", "k", "0", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitpos_knows_zeros_behind_a_string_without_an_end)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "BITPOS", "none", "0");
    EXPECT(":-1\r\n", "BITPOS", "none", "1");
    EXPECT("+OK\r\n", "SET", "k", "~~~~~~~~~~~~~~~~~~~~~~~~~~~~~~");
    EXPECT(":1\r\n", "BITPOS", "k", "1");
    EXPECT(":0\r\n", "BITPOS", "k", "0");
    EXPECT(":81\r\n", "BITPOS", "k", "1", "10");
    EXPECT(":15\r\n", "BITPOS", "k", "0", "9", "20", "BIT");
    EXPECT(":-1\r\n", "BITPOS", "k", "0", "9", "14", "BIT");
    EXPECT(":0\r\n", "SETBIT", "z", "799", "0");
    EXPECT(":-1\r\n", "BITPOS", "z", "1");
    EXPECT(":0\r\n", "SETBIT", "z", "707", "1");
    EXPECT(":707\r\n", "BITPOS", "z", "1");
    EXPECT(":707\r\n", "BITPOS", "z", "1", "-12");
    EXPECT(":-1\r\n", "BITPOS", "z", "1", "89");
    EXPECT(":-1\r\n", "BITPOS", "z", "1", "0", "87");
    EXPECT("*1\r\n:0\r\n", "BITFIELD", "ones", "SET", "i16", "0", "-1");
    EXPECT(":16\r\n", "BITPOS", "ones", "0");
    EXPECT(":16\r\n", "BITPOS", "ones", "0", "1");
    EXPECT(":-1\r\n", "BITPOS", "ones", "0", "0", "-1");
    EXPECT(":-1\r\n", "BITPOS", "ones", "0", "3");
    EXPECT("+OK\r\n", "SET", "empty", "");
    EXPECT(":-1\r\n", "BITPOS", "empty", "0");
    EXPECT("-ERR The bit argument must be 1 or 0.\r\n", "BITPOS", "k", "2");
    EXPECT(NOT_INTEGER, "BITPOS", "k", "x");
    EXPECT(SYNTAX, "BITPOS", "k", "1", "0", "1", "what");
    EXPECT(SYNTAX, "BITPOS", "k", "1", "0", "1", "BIT", "BIT");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitop_pads_with_zeros_and_replaces_what_was_there)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "abcdefghijklm");
    EXPECT("+OK\r\n", "SET", "b", "ABC");
    EXPECT(":13\r\n", "BITOP", "AND", "d", "a", "b");
    EXPECT("$3\r\nABC\r\n", "GETRANGE", "d", "0", "2");
    EXPECT(":7\r\n", "BITCOUNT", "d");
    EXPECT(":13\r\n", "BITOP", "or", "d", "b", "a", "none");
    EXPECT("$13\r\nabcdefghijklm\r\n", "GET", "d");
    EXPECT(":13\r\n", "BITOP", "Xor", "d", "a", "a");
    EXPECT(":0\r\n", "BITCOUNT", "d");
    EXPECT(":13\r\n", "BITOP", "NOT", "d", "d");
    EXPECT(":104\r\n", "BITCOUNT", "d");
    EXPECT(":1\r\n", "SADD", "s", "m");
    EXPECT(":3\r\n", "BITOP", "OR", "s", "b");
    EXPECT("+string\r\n", "TYPE", "s");
    EXPECT(":1\r\n", "EXPIRE", "s", "10");
    EXPECT(":3\r\n", "BITOP", "AND", "s", "s");
    EXPECT(":-1\r\n", "TTL", "s");
    EXPECT(":0\r\n", "BITOP", "NOT", "s", "none");
    EXPECT(":0\r\n", "EXISTS", "s");
    EXPECT(SYNTAX, "BITOP", "NAND", "d", "a");
    EXPECT("-ERR BITOP NOT must be called with a single source key.\r\n", "BITOP", "NOT", "d", "a",
           "b");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitfield_reads_and_writes_fields_anywhere)
{
    kv_fixture_open();
    EXPECT("*0\r\n", "BITFIELD", "k");
    EXPECT("*2\r\n:0\r\n:0\r\n", "BITFIELD", "k", "GET", "u63", "0", "GET", "i64", "1000");
    EXPECT(":0\r\n", "EXISTS", "k");
    EXPECT("*2\r\n:0\r\n:-100\r\n", "BITFIELD", "k", "SET", "i8", "3", "-100", "GET", "i8", "3");
    EXPECT("*1\r\n:156\r\n", "BITFIELD_RO", "k", "GET", "u8", "3");
    EXPECT("*2\r\n:0\r\n:-9223372036854775808\r\n", "BITFIELD", "k", "SET", "i64", "#3",
           "-9223372036854775808", "GET", "i64", "192");
    EXPECT("*1\r\n:4611686018427387904\r\n", "BITFIELD_RO", "k", "GET", "u63", "192");
    EXPECT("*1\r\n:-1\r\n", "BITFIELD", "k", "INCRBY", "i1", "5", "1");
    EXPECT(":32\r\n", "STRLEN", "k");
    EXPECT("*1\r\n:0\r\n", "BITFIELD_RO", "k", "GET", "u8", "255");
    EXPECT("*0\r\n", "BITFIELD_RO", "k", "OVERFLOW", "SAT");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitfield_overflow_wraps_saturates_or_fails)
{
    kv_fixture_open();
    EXPECT("*1\r\n:-128\r\n", "BITFIELD", "w", "INCRBY", "i8", "0", "128");
    EXPECT("*1\r\n:127\r\n", "BITFIELD", "w", "INCRBY", "i8", "0", "-1");
    EXPECT("*1\r\n:127\r\n", "BITFIELD", "w", "OVERFLOW", "SAT", "INCRBY", "i8", "0", "9");
    EXPECT("*2\r\n$-1\r\n:-128\r\n", "BITFIELD", "w", "OVERFLOW", "FAIL", "INCRBY", "i8", "0", "9",
           "OVERFLOW", "wrap", "INCRBY", "i8", "0", "1");
    EXPECT("*2\r\n:0\r\n:255\r\n", "BITFIELD", "u", "OVERFLOW", "SAT", "SET", "u8", "0", "-5",
           "GET", "u8", "0");
    EXPECT("*2\r\n:0\r\n:0\r\n", "BITFIELD", "u", "INCRBY", "u8", "0", "1", "OVERFLOW", "SAT",
           "INCRBY", "u8", "0", "-7");
    EXPECT("*2\r\n:0\r\n:4\r\n", "BITFIELD", "u", "SET", "u8", "0", "260", "GET", "u8", "0");
    EXPECT("*1\r\n$-1\r\n", "BITFIELD", "u", "OVERFLOW", "FAIL", "SET", "u8", "0", "-1");
    EXPECT("*2\r\n:0\r\n:9223372036854775807\r\n", "BITFIELD", "x", "SET", "i64", "0",
           "9223372036854775807", "OVERFLOW", "SAT", "INCRBY", "i64", "0", "1");
    EXPECT("*1\r\n:-9223372036854775808\r\n", "BITFIELD", "x", "INCRBY", "i64", "0", "1");
    /* Nothing is stored, but the string has grown. */
    EXPECT("*1\r\n$-1\r\n", "BITFIELD", "f", "OVERFLOW", "FAIL", "INCRBY", "u2", "102", "4");
    EXPECT(":13\r\n", "STRLEN", "f");
    kv_fixture_close();
}

FIBER_TEST(kv_bits, bitfield_refuses_what_it_cannot_read_before_it_writes)
{
    kv_fixture_open();
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "u64", "0");
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "i65", "0");
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "i0", "0");
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "i", "0");
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "", "0");
    EXPECT(BAD_TYPE, "BITFIELD", "k", "GET", "U8", "0");
    EXPECT(BAD_OFFSET, "BITFIELD", "k", "GET", "u8", "#");
    EXPECT(BAD_OFFSET, "BITFIELD", "k", "GET", "u8", "#9223372036854775807");
    EXPECT(BAD_OFFSET, "BITFIELD", "k", "GET", "u8", "-1");
    EXPECT(NOT_INTEGER, "BITFIELD", "k", "SET", "u8", "0", "1", "SET", "u8", "8", "x");
    EXPECT(SYNTAX, "BITFIELD", "k", "SET", "u8", "0", "1", "SET", "u8", "8");
    EXPECT(SYNTAX, "BITFIELD", "k", "SET", "u8", "0", "1", "WHAT");
    EXPECT("-ERR Invalid OVERFLOW type specified\r\n", "BITFIELD", "k", "OVERFLOW", "x");
    EXPECT("-ERR BITFIELD_RO only supports the GET subcommand\r\n", "BITFIELD_RO", "k", "SET", "u8",
           "0", "1");
    EXPECT(":0\r\n", "EXISTS", "k");
    kv_fixture_close();
}
