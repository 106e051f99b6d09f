/* tests/unit/net/test_feed.c - ORBIT.FEED. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/rt/shard.h"
#include "tests/unit/net/net_fixture.h"

/* Keys and values have NUL bytes. */
static bool
has(struct slice reply, const char *text)
{
    size_t size = strlen(text);

    for (size_t i = 0; i + size <= reply.size; i++) {
        if (memcmp(reply.data + i, text, size) == 0) {
            return true;
        }
    }
    return false;
}

/* The id of the last transaction in a reply: "$N\r\nmicroseconds-counter-shard\r\n" behind "*5". */
static void
last_id(struct slice reply, char id[64])
{
    const char *at = NULL;

    for (size_t i = 0; i + 4 < reply.size; i++) {
        if (memcmp(reply.data + i, "*5\r\n$", 5) == 0) {
            at = (const char *)reply.data + i + 5;
        }
    }
    cr_assert_not_null(at);
    cr_assert_eq(sscanf(at, "%*d\r\n%63[0-9-]", id), 1);
}

FIBER_TEST(feed, transactions_are_told_in_their_order_and_from_where_a_client_stopped)
{
    struct slice reply;
    char id[64];

    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "first");
    EXPECT("+OK\r\n", "SET", "b", "second");
    reply = CALL("ORBIT.FEED", "0", "COUNT", "1000", "BLOCK", "2000");
    last_id(reply, id);
    EXPECT("*0\r\n", "ORBIT.FEED", id);
    EXPECT("+OK\r\n", "SET", "c", "third");
    cr_assert(slice_starts_with(CALL("ORBIT.FEED", id, "BLOCK", "2000"), SLICE("*1\r\n*5\r\n$")));
    cr_assert(has(CALL("ORBIT.FEED", id), "third"));
    cr_assert(has(CALL("ORBIT.FEED", id), "$4\r\nresp\r\n"));
    cr_assert_not(has(CALL("ORBIT.FEED", id), "second"));
    EXPECT("*0\r\n", "ORBIT.FEED", id, "PREFIX", "zz");
    EXPECT("*0\r\n", "ORBIT.FEED", "$", "BLOCK", "100");
    net_fixture_close();
}

FIBER_TEST(feed, wrong_arguments_are_told)
{
    net_fixture_open();
    EXPECT_PART("-ERR from is microseconds", "ORBIT.FEED", "x");
    EXPECT_PART("-ERR from is microseconds", "ORBIT.FEED", "1-2");
    EXPECT_PART("-ERR from is microseconds", "ORBIT.FEED", "1-4096-0");
    EXPECT_PART("-ERR from is microseconds", "ORBIT.FEED", "99999999999999999999999");
    EXPECT_PART("-ERR syntax", "ORBIT.FEED", "0", "COUNT", "0");
    EXPECT_PART("-ERR syntax", "ORBIT.FEED", "0", "COUNT");
    EXPECT_PART("-ERR syntax", "ORBIT.FEED", "0", "BLOCK", "-1");
    EXPECT_PART("in the future", "ORBIT.FEED", "4000000000000000");
    net_fixture_close();
}

FIBER_TEST_ON(feed, one_command_over_all_shards_is_one_transaction, 2)
{
    struct slice reply;

    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "one", "b", "two", "c", "three");
    reply = CALL("ORBIT.FEED", "0", "BLOCK", "2000", "COUNT", "1000");
    cr_assert(slice_starts_with(reply, SLICE("*1\r\n")));
    cr_assert(has(reply, "one") && has(reply, "two") && has(reply, "three"));
    net_fixture_close();
}
