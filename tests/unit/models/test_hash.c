/* Tests of models/kv/hash*.c; what hashes share with sets is tested there too. */
#include <stdio.h>
#include <stdlib.h>

#include "models/kv/collection.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_hash, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

enum { MANY = 700, TEXT_BYTES = 24 };

/* HSET of f0 = v0, f1 = v1, ... */
static YIELDS void
set_many(const char *key, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[TEXT_BYTES];
        char value[TEXT_BYTES];

        snprintf(name, sizeof(name), "f%u", i);
        snprintf(value, sizeof(value), "v%u", i);
        EXPECT(":1\r\n", "HSET", key, name, value);
    }
}

FIBER_TEST(kv_hash, fields_are_added_replaced_and_removed)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "HSET", "h", "a", "1", "b", "2");
    EXPECT(":1\r\n", "HSET", "h", "a", "3", "c", "4");
    EXPECT(":3\r\n", "HLEN", "h");
    EXPECT("$1\r\n3\r\n", "HGET", "h", "a");
    EXPECT("$-1\r\n", "HGET", "h", "z");
    EXPECT("*3\r\n$1\r\n4\r\n$-1\r\n$1\r\n3\r\n", "HMGET", "h", "c", "z", "a");
    EXPECT("*6\r\n$1\r\na\r\n$1\r\n3\r\n$1\r\nb\r\n$1\r\n2\r\n$1\r\nc\r\n$1\r\n4\r\n", "HGETALL",
           "h");
    EXPECT(":2\r\n", "HDEL", "h", "a", "a", "z", "b");
    EXPECT("*1\r\n$1\r\nc\r\n", "HKEYS", "h");
    EXPECT("*1\r\n$1\r\n4\r\n", "HVALS", "h");
    EXPECT(":1\r\n", "HDEL", "h", "c");
    EXPECT(":0\r\n", "EXISTS", "h");
    kv_fixture_close();
}

FIBER_TEST(kv_hash, the_last_of_repeated_fields_counts)
{
    kv_fixture_open();
    EXPECT(":1\r\n", "HSET", "h", "a", "1", "a", "2", "a", "3");
    EXPECT("$1\r\n3\r\n", "HGET", "h", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_hash, another_type_is_refused)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "text", "v");
    EXPECT(WRONGTYPE, "HSET", "text", "a", "b");
    EXPECT(WRONGTYPE, "HGETALL", "text");
    EXPECT(":1\r\n", "HSET", "h", "a", "b");
    EXPECT(WRONGTYPE, "SADD", "h", "a");
    EXPECT(WRONGTYPE, "GET", "h");
    EXPECT("-ERR wrong number of arguments for 'hset' command\r\n", "HSET", "h", "a", "b", "c");
    kv_fixture_close();
}

FIBER_TEST(kv_hash, numbers_are_added_exactly_or_not_at_all)
{
    kv_fixture_open();
    EXPECT(":5\r\n", "HINCRBY", "h", "n", "5");
    EXPECT(":-2\r\n", "HINCRBY", "h", "n", "-7");
    EXPECT(":1\r\n", "HSET", "h", "max", "9223372036854775807");
    EXPECT("-ERR increment or decrement would overflow\r\n", "HINCRBY", "h", "max", "1");
    EXPECT(":1\r\n", "HSET", "h", "t", "text");
    EXPECT("-ERR hash value is not an integer\r\n", "HINCRBY", "h", "t", "1");
    EXPECT("-ERR hash value is not a float\r\n", "HINCRBYFLOAT", "h", "t", "1");
    EXPECT("$3\r\n1.5\r\n", "HINCRBYFLOAT", "h", "f", "1.5");
    EXPECT("$1\r\n3\r\n", "HINCRBYFLOAT", "h", "f", "1.5");
    EXPECT("-ERR value is NaN or Infinity\r\n", "HINCRBYFLOAT", "h", "f", "inf");
    EXPECT(":0\r\n", "HSETNX", "h", "f", "x");
    EXPECT(":1\r\n", "HSETNX", "h", "g", "x");
    EXPECT(":1\r\n", "HSTRLEN", "h", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_hash, a_large_one_spreads_and_shrinks_to_nothing)
{
    kv_fixture_open();
    set_many("h", MANY);
    EXPECT(":700\r\n", "HLEN", "h");
    EXPECT("$9\r\nhashtable\r\n", "OBJECT", "ENCODING", "h");
    EXPECT("$4\r\nv123\r\n", "HGET", "h", "f123");
    EXPECT(":0\r\n", "HSET", "h", "f123", "new");
    EXPECT("$3\r\nnew\r\n", "HGET", "h", "f123");
    EXPECT("+OK\r\n", "RENAME", "h", "other");
    EXPECT(":1\r\n", "COPY", "other", "h");
    EXPECT("$3\r\nnew\r\n", "HGET", "h", "f123");
    EXPECT(":1\r\n", "HDEL", "other", "f123");
    EXPECT(":699\r\n", "HLEN", "other");
    EXPECT(":700\r\n", "HLEN", "h");
    EXPECT(":2\r\n", "DEL", "h", "other");
    EXPECT("$-1\r\n", "HGET", "h", "f1");
    kv_fixture_close();
}
