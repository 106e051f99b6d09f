/* Tests of net/blocking.c, models/kv/block.c and the blocking commands of lists, over shards. */
#include <string.h>

#include "net/blocking.h"
#include "tests/unit/net/net_fixture.h"

TestSuite(blocking, .timeout = 60);

enum { ANSWER_BYTES = 256, WAIT_US = 50000, WAITS_MAX = 400 };

/* A request of another shard's session, in a fiber of its own. */
struct waiting {
    const char *const *words;
    uint32_t shard;
    char answer[ANSWER_BYTES];
    bool is_done;
    struct fiber_group group;
};

static YIELDS void
waiting_run(void *arg)
{
    struct waiting *waiting = arg;
    struct slice answer = net_call_on(waiting->shard, waiting->words);

    memcpy(waiting->answer, answer.data, MIN(answer.size, (size_t)ANSWER_BYTES - 1));
    waiting->is_done = true;
}

/* Returns when it waits. */
static YIELDS void
wait_begin(struct waiting *waiting)
{
    fiber_group_init(&waiting->group);
    cr_assert(fiber_group_spawn(&waiting->group, "waiting", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                waiting_run, waiting));
    (void)fiber_sleep_us(WAIT_US);
    cr_assert_not(waiting->is_done);
}

static YIELDS void
wait_end(const struct waiting *waiting, const char *answer)
{
    for (uint32_t i = 0; !waiting->is_done; i++) {
        cr_assert_lt(i, WAITS_MAX, "the command is not answered");
        (void)fiber_sleep_us(WAIT_US);
    }
    cr_assert_str_eq(waiting->answer, answer);
}

FIBER_TEST_ON(blocking, a_push_ends_the_wait_on_another_shard, 2)
{
    struct waiting one = {WORDS("BLPOP", "k", "0"), .shard = 1};
    struct waiting two = {WORDS("BRPOP", "a", "b", "c", "d", "0"), .shard = 1};

    net_fixture_open();
    wait_begin(&one);
    EXPECT_PART("flags=b ", "CLIENT", "LIST");
    EXPECT(":1\r\n", "RPUSH", "k", "v");
    wait_end(&one, "*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
    EXPECT(":0\r\n", "EXISTS", "k");
    wait_begin(&two);
    EXPECT(":2\r\n", "RPUSH", "c", "x", "y");
    wait_end(&two, "*2\r\n$1\r\nc\r\n$1\r\ny\r\n");
    EXPECT_PART("blocked_clients:0\r\n", "INFO", "clients");
    net_fixture_close();
}

FIBER_TEST_ON(blocking, who_waits_longest_is_served_first_and_nobody_twice, 3)
{
    struct waiting first = {WORDS("BLPOP", "k", "0"), .shard = 2};
    struct waiting second = {WORDS("BLMOVE", "k", "to", "LEFT", "RIGHT", "0"), .shard = 1};

    net_fixture_open();
    wait_begin(&first);
    wait_begin(&second);
    EXPECT(":1\r\n", "RPUSH", "k", "1");
    wait_end(&first, "*2\r\n$1\r\nk\r\n$1\r\n1\r\n");
    (void)fiber_sleep_us(WAIT_US);
    cr_assert_not(second.is_done);
    EXPECT(":2\r\n", "RPUSH", "k", "2", "3");
    wait_end(&second, "$1\r\n2\r\n");
    EXPECT("*1\r\n$1\r\n3\r\n", "LRANGE", "k", "0", "-1");
    EXPECT("*1\r\n$1\r\n2\r\n", "LRANGE", "to", "0", "-1");
    net_fixture_close();
}

FIBER_TEST_ON(blocking, a_wait_ends_at_its_time_or_by_another_client, 2)
{
    struct waiting timed = {WORDS("BRPOPLPUSH", "k", "to", "0.3"), .shard = 1};
    struct waiting ended = {WORDS("BLMPOP", "0", "2", "k", "j", "LEFT"), .shard = 1};
    struct waiting refused = {WORDS("BLPOP", "k", "0"), .shard = 1};

    net_fixture_open();
    wait_begin(&timed);
    wait_end(&timed, "$-1\r\n");
    wait_begin(&ended);
    EXPECT(":1\r\n", "CLIENT", "UNBLOCK", "2");
    wait_end(&ended, "*-1\r\n");
    wait_begin(&refused);
    EXPECT(":1\r\n", "CLIENT", "UNBLOCK", "2", "ERROR");
    wait_end(&refused, "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n");
    EXPECT(":0\r\n", "CLIENT", "UNBLOCK", "2");
    /* Whoever has gone takes nothing. */
    EXPECT(":1\r\n", "RPUSH", "k", "v");
    (void)fiber_sleep_us(WAIT_US);
    EXPECT(":1\r\n", "LLEN", "k");
    net_fixture_close();
}

FIBER_TEST_ON(blocking, only_what_a_commit_leaves_wakes, 2)
{
    struct waiting one = {WORDS("BLPOP", "k", "0"), .shard = 1};

    net_fixture_open();
    wait_begin(&one);
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "RPUSH", "k", "v");
    EXPECT("+QUEUED\r\n", "DEL", "k");
    EXPECT("+QUEUED\r\n", "SET", "k", "text");
    EXPECT("*3\r\n:1\r\n:1\r\n+OK\r\n", "EXEC");
    EXPECT("+OK\r\n", "SET", "k", "other");
    EXPECT("+OK\r\n", "FLUSHALL");
    (void)fiber_sleep_us(WAIT_US);
    cr_assert_not(one.is_done);
    /* Another database has the key, and comes in this one's place. */
    EXPECT("+OK\r\n", "SELECT", "3");
    EXPECT(":1\r\n", "RPUSH", "k", "w");
    (void)fiber_sleep_us(WAIT_US);
    cr_assert_not(one.is_done);
    EXPECT("+OK\r\n", "SWAPDB", "0", "3");
    wait_end(&one, "*2\r\n$1\r\nk\r\n$1\r\nw\r\n");
    net_fixture_close();
}

/* An exchange of databases says of no key what it is now: all who wait are woken. */
static YIELDS void
wait_out_other_type(const char *const *words, const char *const *give, const char *answer)
{
    struct waiting one = {words, .shard = 1};

    EXPECT("+OK\r\n", "SELECT", "3");
    EXPECT("+OK\r\n", "SET", "k", "text");
    EXPECT("+OK\r\n", "SELECT", "0");
    wait_begin(&one);
    EXPECT("+OK\r\n", "SWAPDB", "0", "3");
    (void)fiber_sleep_us(WAIT_US);
    cr_assert_not(one.is_done, "%s: %s", words[0], one.answer);
    EXPECT(":1\r\n", "DEL", "k");
    (void)net_call_texts(give);
    wait_end(&one, answer);
    EXPECT("+OK\r\n", "FLUSHALL");
}

FIBER_TEST_ON(blocking, a_key_of_another_type_is_waited_out, 2)
{
    net_fixture_open();
    wait_out_other_type(WORDS("BLPOP", "k", "0"), WORDS("RPUSH", "k", "v"),
                        "*2\r\n$1\r\nk\r\n$1\r\nv\r\n");
    wait_out_other_type(WORDS("BZPOPMIN", "k", "0"), WORDS("ZADD", "k", "1", "a"),
                        "*3\r\n$1\r\nk\r\n$1\r\na\r\n$1\r\n1\r\n");
    wait_out_other_type(WORDS("BZMPOP", "0", "1", "k", "MAX"), WORDS("ZADD", "k", "1", "a"),
                        "*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n");
    wait_out_other_type(WORDS("XREAD", "BLOCK", "0", "STREAMS", "k", "$"),
                        WORDS("XADD", "k", "1-1", "f", "v"),
                        "*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n"
                        "$1\r\nf\r\n$1\r\nv\r\n");
    /* Who has not waited yet is told. */
    EXPECT("+OK\r\n", "SET", "k", "text");
    EXPECT_PART("-WRONGTYPE ", "BZPOPMIN", "k", "0");
    net_fixture_close();
}

FIBER_TEST_ON(blocking, in_a_transaction_nothing_waits, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "BLPOP", "k", "0");
    EXPECT("+QUEUED\r\n", "BLMOVE", "k", "j", "LEFT", "LEFT", "0");
    EXPECT("*2\r\n*-1\r\n$-1\r\n", "EXEC");
    EXPECT("-ERR timeout is negative\r\n", "BLPOP", "k", "-1");
    EXPECT("-ERR timeout is not a float or out of range\r\n", "BLPOP", "k", "x");
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", "BLPOP", "k",
           "0");
    net_fixture_close();
}
