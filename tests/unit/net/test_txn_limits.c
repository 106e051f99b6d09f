/* tests/unit/net/test_txn_limits.c - what ends a transaction of ORBIT.BEGIN, or a wait for its
 * locks, when its client does not: time limits, and connections that go. On two shards; the key a
 * lies on the second one, b on the first. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/rt/msg.h"
#include "tests/unit/net/fake_conn.h"
#include "tests/unit/net/net_fixture.h"
#include "txn/txn.h"

TestSuite(txn_limits, .timeout = 60);

enum { MS = 1000 };

/* A second client, with a connection. */
static struct fake_conn peer;
static struct session *session;

static YIELDS void
peer_open(void)
{
    fake_conn_init(&peer);
    session = session_new(net_self(), &peer.conn);
}

static YIELDS void
peer_close(void)
{
    if (!peer.is_closed) {
        session_close(session);
        cr_assert(fake_conn_wait_closed(&peer));
    }
    fake_conn_fini(&peer);
}

static void
receive(const char *text)
{
    fake_conn_receive(&peer, slice_from_text(text));
}

static YIELDS void
expect_sent(const char *text)
{
    cr_assert(fake_conn_wait(&peer, strlen(text)), "only \"%.*s\" was sent", (int)peer.sent.size,
              (const char *)peer.sent.data);
    cr_assert(slice_starts_with(buf_slice(&peer.sent), slice_from_text(text)), "sent: \"%.*s\"",
              (int)peer.sent.size, (const char *)peer.sent.data);
    buf_clear(&peer.sent);
}

static YIELDS void
sleep_ms(uint64_t ms)
{
    cr_assert_eq(fiber_sleep_us(ms * MS), ERR_OK);
}

static void
waiting_run(void *arg)
{
    struct txn_stats stats;

    txn_stats_get(&stats);
    *(uint64_t *)arg += stats.locks.waiting;
}

static YIELDS uint64_t
waiting(void)
{
    uint64_t count = 0;

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_INLINE, waiting_run, &count);
    }
    return count;
}

FIBER_TEST_ON(txn_limits, an_idle_transaction_is_rolled_back_after_the_servers_limit, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "orbit-txn-idle-timeout", "500");
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    for (int i = 0; i < 4; i++) { /* It is not idle. */
        sleep_ms(300);
        EXPECT("+OK\r\n", "SET", "a", "1");
    }
    sleep_ms(600);
    EXPECT_PART("-TXNABORTED", "GET", "a");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    EXPECT("$-1\r\n", "GET", "a");
    /* Also one that has never had a command. */
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT_PART("txn_open:1\r\n", "INFO", "orbit");
    sleep_ms(600);
    EXPECT_PART("txn_open:0\r\n", "INFO", "orbit");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    net_fixture_close();
}

FIBER_TEST_ON(txn_limits, a_transaction_that_keeps_busy_ends_at_its_own_limit, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "TIMEOUT", "1000");
    for (int i = 0; i < 3; i++) {
        sleep_ms(300);
        EXPECT("+OK\r\n", "SET", "a", "1");
    }
    sleep_ms(200);
    EXPECT_PART("txn_open:0\r\n", "INFO", "orbit"); /* Nobody had to ask. */
    EXPECT_PART("-TXNABORTED", "SET", "a", "2");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    net_fixture_close();
}

FIBER_TEST_ON(txn_limits, a_wait_for_a_lock_ends_after_the_limit_here_and_elsewhere, 2)
{
    static const char *const keys[] = {"a", "b"};

    net_fixture_open();
    peer_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "orbit-lock-timeout", "200");
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "1");
    for (int i = 0; i < 2; i++) {
        char line[64];
        uint64_t begun_us = shard_now_us();

        /* A command of its own, */
        snprintf(line, sizeof(line), "SET %s 2\r\n", keys[i]);
        receive(line);
        expect_sent("-LOCKED");
        cr_assert_geq(shard_now_us() - begun_us, 200 * MS);
        cr_assert_lt(shard_now_us() - begun_us, 400 * MS);
        /* several, */
        snprintf(line, sizeof(line), "MULTI\r\nSET %s 2\r\nEXEC\r\n", keys[i]);
        receive(line);
        expect_sent("+OK\r\n+QUEUED\r\n-LOCKED");
        /* and another transaction, which asks for less. */
        begun_us = shard_now_us();
        snprintf(line, sizeof(line), "ORBIT.BEGIN LOCKTIMEOUT 50\r\nSET %s 2\r\n", keys[i]);
        receive(line);
        expect_sent("+OK\r\n-LOCKED");
        cr_assert_lt(shard_now_us() - begun_us, 190 * MS);
        receive("ORBIT.ROLLBACK\r\n");
        expect_sent("+OK\r\n");
    }
    EXPECT("+OK\r\n", "ORBIT.COMMIT");
    peer_close();
    net_fixture_close();
}

FIBER_TEST_ON(txn_limits, a_statements_limit_is_of_one_command_and_not_of_the_next, 2)
{
    net_fixture_open();
    peer_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "SET", "a", "1");
    receive("ORBIT.BEGIN STATEMENTTIMEOUT 100\r\nGET b\r\n");
    expect_sent("+OK\r\n$-1\r\n");
    sleep_ms(200);
    receive("SET b 2\r\n");
    expect_sent("+OK\r\n");
    sleep_ms(200);
    receive("ORBIT.COMMIT\r\n");
    expect_sent("+OK\r\n");
    receive("ORBIT.BEGIN STATEMENTTIMEOUT 100\r\nSET a 2\r\n");
    expect_sent("+OK\r\n-LOCKED");
    receive("ORBIT.ROLLBACK\r\n");
    expect_sent("+OK\r\n");
    EXPECT("+OK\r\n", "ORBIT.COMMIT");
    peer_close();
    net_fixture_close();
}

FIBER_TEST(txn_limits, limits_are_lowered_and_never_raised)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "orbit-txn-idle-timeout", "500");
    EXPECT_PART("-ERR the server allows at most 500 milliseconds", "ORBIT.BEGIN", "IDLETIMEOUT",
                "501");
    EXPECT_PART("-ERR a timeout is a positive number", "ORBIT.BEGIN", "IDLETIMEOUT", "0");
    EXPECT_PART("-ERR a timeout is a positive number", "ORBIT.BEGIN", "TIMEOUT", "-1");
    EXPECT_PART("-ERR a timeout is a positive number", "ORBIT.BEGIN", "LOCKTIMEOUT", "soon");
    EXPECT("-ERR syntax error\r\n", "ORBIT.BEGIN", "LOCKTIMEOUT");
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "READ", "COMMITTED", "READ", "WRITE", "IDLETIMEOUT", "400",
           "LOCKTIMEOUT", "10", "STATEMENTTIMEOUT", "9223372036854775807", "TIMEOUT", "10");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    net_fixture_close();
}

/* `text` waits for the lock of a or b; then its connection breaks, or its peer says no more. */
static YIELDS void
goes_away(const char *text, bool is_broken)
{
    uint64_t begun_us;

    peer_open();
    receive(text);
    for (int i = 0; i < 1000 && waiting() == 0; i++) {
        sleep_ms(1);
    }
    cr_assert_eq(waiting(), 1, "%s", text);
    begun_us = shard_now_us();
    if (is_broken) {
        session_close(session);
    } else {
        fake_conn_end(&peer);
    }
    for (int i = 0; i < 1000 && waiting() > 0; i++) {
        sleep_ms(1);
    }
    cr_assert_eq(waiting(), 0, "%s", text);
    cr_assert_lt(shard_now_us() - begun_us, 20 * MS);
    cr_assert(fake_conn_wait_closed(&peer));
    peer_close();
}

FIBER_TEST_ON(txn_limits, a_client_that_goes_away_waits_no_longer_on_any_shard, 2)
{
    static const char *const texts[] = {
        "SET a 2\r\n",
        "SET b 2\r\n",
        "MULTI\r\nMSET a 2 b 2\r\nEXEC\r\n",
        "MULTI\r\nSET a 2\r\nEXEC\r\n",
        "ORBIT.BEGIN\r\nSET a 2\r\n",
        "ORBIT.BEGIN\r\nSET b 2\r\n",
    };

    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "1");
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        goes_away(texts[i], true);
        goes_away(texts[i], false);
    }
    EXPECT_PART("txn_open:1\r\n", "INFO", "orbit");
    EXPECT("+OK\r\n", "ORBIT.COMMIT");
    EXPECT("*2\r\n$1\r\n1\r\n$1\r\n1\r\n", "MGET", "a", "b");
    net_fixture_close();
}
