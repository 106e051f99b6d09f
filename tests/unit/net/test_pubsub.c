/* Tests of net/pubsub.c, news.c and commands_pubsub.c: subscribers with connections on two shards,
 * publishers on both. */
#include <stdio.h>

#include "engine/rt/msg.h"
#include "net/news.h"
#include "net/pubsub.h"
#include "tests/unit/net/fake_conn.h"
#include "tests/unit/net/net_fixture.h"

TestSuite(pubsub, .timeout = 60);

enum { PEERS = 2 };

/* One on each shard. */
static struct fake_conn peers[PEERS];
static struct session *sessions[PEERS];

static YIELDS void
peer_open_step(void *arg)
{
    struct fake_conn *peer = arg;

    fake_conn_init(peer);
    sessions[peer - peers] = session_new(net_self(), &peer->conn);
}

static YIELDS void
peer_close_step(void *arg)
{
    struct fake_conn *peer = arg;

    if (!peer->is_closed) {
        session_close(sessions[peer - peers]);
        cr_assert(fake_conn_wait_closed(peer));
    }
    fake_conn_fini(peer);
}

static YIELDS void
peers_open(void)
{
    net_fixture_open();
    for (uint32_t i = 0; i < PEERS; i++) {
        msg_call(i, MSG_FIBER, peer_open_step, &peers[i]);
    }
}

static YIELDS void
peers_close(void)
{
    for (uint32_t i = 0; i < PEERS; i++) {
        msg_call(i, MSG_FIBER, peer_close_step, &peers[i]);
    }
    net_fixture_close();
}

struct talk {
    struct fake_conn *peer;
    const char *sent;     /* By the client; NULL: nothing. */
    const char *received; /* By it, all of what came since. */
};

static YIELDS void
talk_step(void *arg)
{
    const struct talk *talk = arg;
    struct buf *got = &talk->peer->sent;

    if (talk->sent != NULL) {
        fake_conn_receive(talk->peer, slice_from_text(talk->sent));
    }
    cr_assert(fake_conn_wait(talk->peer, strlen(talk->received)), "only \"%.*s\" came",
              (int)got->size, (const char *)got->data);
    cr_assert(slice_equal(buf_slice(got), slice_from_text(talk->received)), "\"%.*s\" came",
              (int)got->size, (const char *)got->data);
    buf_clear(got);
}

static YIELDS void
talk(uint32_t peer, const char *sent, const char *received)
{
    struct talk one = {&peers[peer], sent, received};

    msg_call(peer, MSG_FIBER, talk_step, &one);
}

#define SUBSCRIBED(channel) "*3\r\n$9\r\nsubscribe\r\n$1\r\n" channel "\r\n:1\r\n"
#define MESSAGE(text)       "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n" text "\r\n"

FIBER_TEST_ON(pubsub, a_message_reaches_every_shard_and_is_counted, 2)
{
    peers_open();
    EXPECT(":0\r\n", "PUBLISH", "c", "0");
    talk(0, "SUBSCRIBE c\r\n", SUBSCRIBED("c"));
    talk(1, "PSUBSCRIBE c*\r\n", "*3\r\n$10\r\npsubscribe\r\n$2\r\nc*\r\n:1\r\n");
    /* Whoever is told that he has subscribed is known everywhere. */
    EXPECT(":2\r\n", "PUBLISH", "c", "1");
    cr_assert(slice_equal(CALL_ON(1, "PUBLISH", "c", "2"), SLICE(":2\r\n")));
    cr_assert(slice_equal(CALL_ON(1, "PUBSUB", "NUMSUB", "c"), SLICE("*2\r\n$1\r\nc\r\n:1\r\n")));
    EXPECT(":1\r\n", "PUBSUB", "NUMPAT");
    talk(0, NULL, MESSAGE("1") MESSAGE("2"));
    talk(1, "UNSUBSCRIBE\r\n",
         "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$1\r\n1\r\n"
         "*4\r\n$8\r\npmessage\r\n$2\r\nc*\r\n$1\r\nc\r\n$1\r\n2\r\n"
         "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:1\r\n");
    talk(1, "PUNSUBSCRIBE\r\n", "*3\r\n$12\r\npunsubscribe\r\n$2\r\nc*\r\n:0\r\n");
    EXPECT(":1\r\n", "PUBLISH", "c", "3");
    talk(0, "UNSUBSCRIBE c\r\n", MESSAGE("3") "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n");
    EXPECT("*0\r\n", "PUBSUB", "CHANNELS");
    peers_close();
}

FIBER_TEST_ON(pubsub, messages_of_a_publisher_keep_their_order, 2)
{
    enum { MESSAGES = 200 };
    struct buf expected;

    peers_open();
    buf_init(&expected, MEM_SESSIONS);
    talk(1, "SUBSCRIBE c\r\n", SUBSCRIBED("c"));
    for (int i = 0; i < MESSAGES; i++) {
        char text[2] = {(char)('a' + i % 26), '\0'};

        EXPECT(":1\r\n", "PUBLISH", "c", text);
        buf_printf(&expected, "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\n%s\r\n", text);
    }
    buf_append_byte(&expected, '\0');
    talk(1, NULL, (const char *)expected.data);
    buf_fini(&expected);
    peers_close();
}

FIBER_TEST_ON(pubsub, in_a_transaction_it_takes_effect_with_exec, 2)
{
    peers_open();
    talk(1, "SUBSCRIBE c\r\n", SUBSCRIBED("c"));
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "PUBLISH", "c", "x");
    EXPECT("+OK\r\n", "DISCARD");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "PUBLISH", "c", "1");
    EXPECT("+QUEUED\r\n", "SET", "k", "v");
    EXPECT("+QUEUED\r\n", "PUBLISH", "c", "2");
    EXPECT("*3\r\n:1\r\n+OK\r\n:1\r\n", "EXEC");
    talk(1, NULL, MESSAGE("1") MESSAGE("2"));
    peers_close();
}

#define SET_EVENT "*3\r\n$7\r\nmessage\r\n$18\r\n__keyevent@0__:set\r\n$1\r\nk\r\n"

FIBER_TEST_ON(pubsub, what_an_open_transaction_publishes_leaves_at_its_commit, 2)
{
    char token[TXN_TOKEN_BYTES + 1] = {0};

    peers_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "notify-keyspace-events", "E$");
    talk(1, "SUBSCRIBE c\r\n", SUBSCRIBED("c"));
    talk(1, "SUBSCRIBE __keyevent@0__:set\r\n",
         "*3\r\n$9\r\nsubscribe\r\n$18\r\n__keyevent@0__:set\r\n:2\r\n");
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT(":1\r\n", "PUBLISH", "c", "x");
    EXPECT("+OK\r\n", "SET", "k", "x");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT(":1\r\n", "PUBLISH", "c", "1");
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT_PART("-WRONGTYPE ", "LPUSH", "k", "v");
    EXPECT("+OK\r\n", "EVAL", "redis.call('PUBLISH', 'c', '2') return redis.status_reply('OK')",
           "0");
    /* A session of another shard goes on with it, and ends it. */
    memcpy(token, strchr((const char *)CALL("ORBIT.TXN", "TOKEN").data, '\n') + 1, TXN_TOKEN_BYTES);
    cr_assert(slice_equal(CALL_ON(1, "ORBIT.TXN", "JOIN", token), SLICE("+OK\r\n")));
    cr_assert(slice_equal(CALL_ON(1, "PUBLISH", "c", "3"), SLICE(":1\r\n")));
    (void)fiber_sleep_us(100000);
    cr_assert_eq(peers[1].sent.size, 0);
    cr_assert(slice_equal(CALL_ON(1, "ORBIT.COMMIT"), SLICE("+OK\r\n")));
    talk(1, NULL, MESSAGE("1") SET_EVENT MESSAGE("2") MESSAGE("3"));
    EXPECT_PART("-TXNABORTED ", "PUBLISH", "c", "x");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    peers_close();
}

/* Goal: nobody hears of a change that a power cut may take back. */
static lsn_t wanted_lsn;

static void
check_durable(struct fake_conn *fake, struct slice bytes)
{
    (void)fake;
    (void)bytes;
    cr_assert_geq(store_durable(net_self()->store), wanted_lsn);
}

FIBER_TEST(pubsub, an_event_leaves_when_its_change_is_durable)
{
    net_fixture_open();
    peer_open_step(&peers[0]);
    EXPECT("+OK\r\n", "CONFIG", "SET", "notify-keyspace-events", "K$");
    talk(0, "SUBSCRIBE __keyspace@0__:k\r\n",
         "*3\r\n$9\r\nsubscribe\r\n$16\r\n__keyspace@0__:k\r\n:1\r\n");
    peers[0].on_send = check_durable;
    for (int i = 0; i < 20; i++) {
        EXPECT("+OK\r\n", "SET", "k", "v");
        wanted_lsn = store_appended(net_self()->store);
        talk(0, NULL, "*3\r\n$7\r\nmessage\r\n$16\r\n__keyspace@0__:k\r\n$3\r\nset\r\n");
    }
    peer_close_step(&peers[0]);
    net_fixture_close();
}

FIBER_TEST_ON(pubsub, a_subscriber_that_does_not_read_is_closed_at_its_limit, 2)
{
    static const char text[] = "a message of some bytes, again and again";

    peers_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "client-output-buffer-limit", "pubsub 10000 0 0");
    talk(1, "SUBSCRIBE c\r\n", SUBSCRIBED("c"));
    peers[1].send_us = FAKE_CONN_STUCK;
    for (int i = 0; i < 1000 && NUMBER("PUBLISH", "c", text) == 1; i++) {
        cr_assert_eq(fiber_sleep_us(10), ERR_OK);
    }
    cr_assert_eq(NUMBER("PUBLISH", "c", text), 0);
    EXPECT_PART("client_output_buffer_limit_disconnections:1", "INFO", "stats");
    peers_close();
}

FIBER_TEST_ON(pubsub, a_resp2_subscriber_may_only_do_what_cannot_be_taken_for_a_message, 2)
{
    peers_open();
    talk(0, "SSUBSCRIBE c\r\n", "*3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n");
    talk(0, "GET k\r\n",
         "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / "
         "RESET are allowed in this context\r\n");
    talk(0, "PING\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
    EXPECT(":0\r\n", "PUBLISH", "c", "1");
    EXPECT(":1\r\n", "SPUBLISH", "c", "1");
    talk(0, "RESET\r\n", "*3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$1\r\n1\r\n+RESET\r\n");
    talk(0, "GET k\r\n", "$-1\r\n");
    EXPECT(":0\r\n", "SPUBLISH", "c", "1");
    peers_close();
}
