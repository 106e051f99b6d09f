/* Tests of net/tracking.c: a client on shard 0 caches keys of both shards, which others change. */
#include <stdio.h>

#include "tests/unit/net/fake_conn.h"
#include "tests/unit/net/net_fixture.h"

TestSuite(tracking, .timeout = 60);

static struct fake_conn peer;
static struct session *session;

static YIELDS void
peer_open(void)
{
    net_fixture_open();
    fake_conn_init(&peer);
    session = session_new(net_self(), &peer.conn);
    session->output.resp = 3;
}

static YIELDS void
peer_close(void)
{
    session_close(session);
    cr_assert(fake_conn_wait_closed(&peer));
    fake_conn_fini(&peer);
    net_fixture_close();
}

/* Sends (NULL: nothing) and expects these bytes and no others. */
static YIELDS void
talk(const char *sent, const char *received)
{
    if (sent != NULL) {
        fake_conn_receive(&peer, slice_from_text(sent));
    }
    cr_assert(fake_conn_wait(&peer, strlen(received)), "only \"%.*s\" came", (int)peer.sent.size,
              (const char *)peer.sent.data);
    cr_assert(slice_equal(buf_slice(&peer.sent), slice_from_text(received)), "\"%.*s\" came",
              (int)peer.sent.size, (const char *)peer.sent.data);
    buf_clear(&peer.sent);
}

/* A commit over both shards reaches the other one a little after its answer, at the latest when it
 * is read. */
static YIELDS void
settle(void)
{
    EXPECT("*2\r\n$1\r\n1\r\n$1\r\n1\r\n", "MGET", "{a}1", "{b}1");
}

/* {a} and {b} lie on different shards. */
#define INVALID(key) ">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\n" key "\r\n"

FIBER_TEST_ON(tracking, who_has_read_a_key_is_told_once, 2)
{
    peer_open();
    EXPECT("+OK\r\n", "MSET", "{a}1", "1", "{b}1", "1", "{a}2", "1");
    settle();
    talk("CLIENT TRACKING ON\r\n", "+OK\r\n");
    talk("MGET {a}1 {b}1\r\n", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    EXPECT("+OK\r\n", "SET", "{a}1", "2");
    talk(NULL, INVALID("{a}1"));
    EXPECT(":1\r\n", "DEL", "{b}1");
    talk(NULL, INVALID("{b}1"));
    EXPECT("+OK\r\n", "MSET", "{a}1", "3", "{b}1", "3", "{a}2", "3"); /* Not read since. */
    talk("PING\r\n", "+PONG\r\n");
    talk("CLIENT TRACKING OFF\r\n", "+OK\r\n");
    peer_close();
}

FIBER_TEST_ON(tracking, a_transaction_of_others_tells_after_its_commit, 2)
{
    peer_open();
    talk("CLIENT TRACKING ON\r\n", "+OK\r\n");
    talk("GET {b}1\r\n", "_\r\n");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "SET", "{b}1", "1");
    EXPECT("+QUEUED\r\n", "SET", "{a}1", "1");
    EXPECT("+OK\r\n", "DISCARD");
    talk("PING\r\n", "+PONG\r\n");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "SET", "{b}1", "1");
    EXPECT("+QUEUED\r\n", "SET", "{a}1", "1");
    EXPECT("*2\r\n+OK\r\n+OK\r\n", "EXEC");
    talk(NULL, INVALID("{b}1"));
    peer_close();
}

FIBER_TEST_ON(tracking, own_changes_follow_the_reply_or_are_left_out, 2)
{
    peer_open();
    talk("CLIENT TRACKING ON\r\n", "+OK\r\n");
    talk("GET {b}1\r\n", "_\r\n");
    talk("SET {b}1 1\r\n", "+OK\r\n" INVALID("{b}1"));
    talk("CLIENT TRACKING OFF\r\n", "+OK\r\n");
    talk("CLIENT TRACKING ON NOLOOP\r\n", "+OK\r\n");
    talk("GET {b}1\r\n", "$1\r\n1\r\n");
    talk("GET {a}1\r\n", "_\r\n");
    talk("SET {b}1 2\r\n", "+OK\r\n");
    talk("SET {a}1 2\r\n", "+OK\r\n");
    talk("GET {b}1\r\n", "$1\r\n2\r\n");
    EXPECT("+OK\r\n", "SET", "{b}1", "3");
    talk(NULL, INVALID("{b}1"));
    peer_close();
}

FIBER_TEST_ON(tracking, prefixes_are_told_without_being_read, 2)
{
    peer_open();
    talk("CLIENT TRACKING ON BCAST PREFIX {a} PREFIX {b}1\r\n", "+OK\r\n");
    EXPECT("+OK\r\n", "SET", "{b}2", "1");
    EXPECT("+OK\r\n", "SET", "{b}1", "1");
    talk(NULL, INVALID("{b}1"));
    EXPECT("+OK\r\n", "SET", "{a}1", "1");
    talk(NULL, INVALID("{a}1"));
    EXPECT_PART("tracking_clients:1\r\n", "INFO", "clients");
    EXPECT_PART("tracking_total_prefixes:2\r\n", "INFO", "stats");
    peer_close();
}

FIBER_TEST_ON(tracking, emptied_databases_are_told_once_to_all, 2)
{
    peer_open();
    EXPECT("+OK\r\n", "MSET", "{a}1", "1", "{b}1", "1");
    settle();
    talk("CLIENT TRACKING ON\r\n", "+OK\r\n");
    talk("MGET {a}1 {b}1\r\n", "*2\r\n$1\r\n1\r\n$1\r\n1\r\n");
    EXPECT("+OK\r\n", "FLUSHALL");
    talk(NULL, ">2\r\n$10\r\ninvalidate\r\n_\r\n");
    EXPECT_PART("tracking_total_keys:0\r\n", "INFO", "stats");
    talk("PING\r\n", "+PONG\r\n");
    peer_close();
}

FIBER_TEST_ON(tracking, beyond_the_limit_the_oldest_key_is_told, 2)
{
    peer_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "tracking-table-max-keys", "4");
    talk("CLIENT TRACKING ON\r\n", "+OK\r\n");
    talk("GET {b}1\r\n", "_\r\n");
    talk("GET {b}2\r\n", "_\r\n");
    talk("GET {b}3\r\n", "_\r\n" INVALID("{b}1"));
    peer_close();
}
