/* tests/unit/net/test_feed.c - ORBIT.FEED. Stored keys begin with 01 00, so that the fixture shows
 * of a transaction what stands before its first key. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "engine/rt/shard.h"
#include "tests/unit/net/net_fixture.h"

enum {
    DURABLE_US = 300 * 1000,
    ID_BYTES = 64,
    STEPS_MAX = 64,
};

/* Goes on behind the id, one transaction at a time, to the end: how many there were. The text of
 * the last one is left in *last. */
static uint32_t
follow(char id[ID_BYTES], char last[256])
{
    for (uint32_t steps = 0; steps < STEPS_MAX; steps++) {
        struct slice reply = CALL("ORBIT.FEED", id, "COUNT", "1");

        if (slice_equal(reply, SLICE("*0\r\n"))) {
            return steps;
        }
        snprintf(last, 256, "%.*s", (int)reply.size, (const char *)reply.data);
        cr_assert_eq(sscanf(last, "*1\r\n*5\r\n$%*d\r\n%63[0-9-]", id), 1, "%s", last);
    }
    cr_assert(false, "the same transactions again and again");
    return 0;
}

FIBER_TEST(feed, a_client_goes_on_where_it_stopped)
{
    char id[ID_BYTES] = "0";
    char last[256];

    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "first");
    EXPECT("+OK\r\n", "SET", "b", "second");
    (void)fiber_sleep_us(DURABLE_US);
    cr_assert_geq(follow(id, last), 2);
    EXPECT("*0\r\n", "ORBIT.FEED", id);
    EXPECT("+OK\r\n", "SET", "c", "third");
    EXPECT_PART("*1\r\n*5\r\n$", "ORBIT.FEED", id, "BLOCK", "2000");
    EXPECT_PART("$4\r\nresp\r\n$0\r\n\r\n*1\r\n*4\r\n$3\r\nput\r\n", "ORBIT.FEED", id);
    EXPECT("*0\r\n", "ORBIT.FEED", id, "PREFIX", "zz");
    cr_assert_eq(follow(id, last), 1);
    EXPECT(":1\r\n", "DEL", "c");
    EXPECT_PART("*1\r\n*2\r\n$6\r\ndelete\r\n", "ORBIT.FEED", id, "BLOCK", "2000");
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
    char id[ID_BYTES] = "0";
    char last[256];

    net_fixture_open();
    (void)fiber_sleep_us(DURABLE_US);
    (void)follow(id, last);
    EXPECT("+OK\r\n", "MSET", "a", "one", "b", "two", "c", "three");
    (void)fiber_sleep_us(DURABLE_US);
    cr_assert_eq(follow(id, last), 1);
    cr_assert_not_null(strstr(last, "*3\r\n*4\r\n$3\r\nput\r\n"), "%s", last);
    net_fixture_close();
}
