/* tests/unit/net/test_session.c - sessions from the received byte to the sent one. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "models/kv/key.h"
#include "tests/unit/net/fake_conn.h"
#include "tests/unit/net/net_fixture.h"

static struct fake_conn peer;
static struct session *session;

static YIELDS void
peer_open(void)
{
    net_fixture_open();
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
    net_fixture_close();
}

static YIELDS void
expect_sent(const char *text)
{
    cr_assert(fake_conn_wait(&peer, strlen(text)), "only \"%.*s\" was sent", (int)peer.sent.size,
              (const char *)peer.sent.data);
    cr_assert(slice_equal(buf_slice(&peer.sent), slice_from_text(text)), "sent: \"%.*s\"",
              (int)peer.sent.size, (const char *)peer.sent.data);
    buf_clear(&peer.sent);
}

static void
receive(const char *text)
{
    fake_conn_receive(&peer, slice_from_text(text));
}

/* ---- Order and durability ---- */

static void
check_durable(struct fake_conn *fake, struct slice bytes)
{
    const struct session *sending = fake->owner;

    (void)bytes;
    cr_assert(sending->has_written);
    cr_assert_geq(store_durable(net_self()->store), sending->written_lsn,
                  "an acknowledgement left before its write was durable");
}

FIBER_TEST(session, an_acknowledgement_waits_until_the_write_is_durable)
{
    peer_open();
    peer.on_send = check_durable;
    for (int i = 0; i < 20; i++) {
        receive("SET key value\r\n");
        expect_sent("+OK\r\n");
    }
    peer_close();
}

FIBER_TEST(session, a_read_of_what_is_not_durable_waits_too)
{
    peer_open();
    peer.on_send = check_durable;
    receive("SET key value\r\nGET key\r\n");
    expect_sent("+OK\r\n$5\r\nvalue\r\n");
    peer_close();
}

/* More marks than the ring has places, of logs that alternate: the session waits in the middle of
 * a run's marks, while earlier sends end and more could leave. */
FIBER_TEST_ON(session, replies_leave_in_order_when_marks_of_several_logs_fill_the_ring, 3)
{
    enum { COMMANDS = 6000, RUN = 40 };
    static const char tags[] = "abc"; /* On the three shards. */
    struct buf input;
    struct buf expected;
    size_t first = 0;

    peer_open();
    buf_init(&input, MEM_SESSIONS);
    buf_init(&expected, MEM_SESSIONS);
    for (int i = 0; i < COMMANDS; i++) {
        first = i == RUN ? input.size : first;
        buf_printf(&input, "INCR {%c}%d\r\n", tags[i / RUN % 3], i % RUN);
        buf_printf(&expected, ":%d\r\n", i / RUN / 3 + 1);
    }
    /* The first replies wait for their log when the rest comes. */
    fake_conn_receive(&peer, slice_of(input.data, first));
    while (session->input.size > 0 || session->is_running) {
        cr_assert_eq(fiber_sleep_us(0), ERR_OK);
    }
    cr_assert_eq(peer.sent.size, 0);
    fake_conn_receive(&peer, slice_of(input.data + first, input.size - first));
    cr_assert(fake_conn_wait(&peer, expected.size), "%zu of %zu bytes", peer.sent.size,
              expected.size);
    cr_assert(slice_equal(buf_slice(&peer.sent), buf_slice(&expected)));
    cr_assert_gt(peer.sends, 1);
    buf_fini(&input);
    buf_fini(&expected);
    peer_close();
}

/* ---- Requests ---- */

FIBER_TEST(session, requests_may_come_byte_by_byte)
{
    static const char input[] = "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$5\r\nvalue\r\nGET key\r\n";

    peer_open();
    for (size_t i = 0; i + 1 < sizeof(input); i++) {
        fake_conn_receive(&peer, slice_of(input + i, 1));
        cr_assert_eq(fiber_sleep_us(0), ERR_OK);
    }
    expect_sent("+OK\r\n$5\r\nvalue\r\n");
    peer_close();
}

FIBER_TEST(session, reply_modes_leave_replies_out)
{
    peer_open();
    receive("CLIENT REPLY OFF\r\nPING\r\nSET key 1\r\nCLIENT REPLY ON\r\n");
    expect_sent("+OK\r\n");
    receive("CLIENT REPLY SKIP\r\nPING\r\nECHO next\r\n");
    expect_sent("$4\r\nnext\r\n");
    receive("GET key\r\n");
    expect_sent("$1\r\n1\r\n");
    peer_close();
}

FIBER_TEST(session, a_protocol_error_is_answered_and_then_closes)
{
    peer_open();
    receive("PING\r\n*1\r\nfoo\r\nPING\r\n");
    expect_sent("+PONG\r\n-ERR Protocol error: expected '$', got 'f'\r\n");
    cr_assert(fake_conn_wait_closed(&peer));
    peer_close();
}

FIBER_TEST(session, nothing_is_run_after_quit)
{
    peer_open();
    receive("SET key 1\r\nQUIT\r\nSET key 2\r\n");
    expect_sent("+OK\r\n+OK\r\n");
    cr_assert(fake_conn_wait_closed(&peer));
    EXPECT("$1\r\n1\r\n", "GET", "key");
    peer_close();
}

FIBER_TEST(session, a_peer_that_closed_its_side_gets_its_answers)
{
    peer_open();
    receive("SET key value\r\nGET key\r\n");
    fake_conn_end(&peer);
    expect_sent("+OK\r\n$5\r\nvalue\r\n");
    cr_assert(fake_conn_wait_closed(&peer));
    peer_close();
}

/* ---- Ends ---- */

FIBER_TEST(session, a_killed_session_is_gone_at_once)
{
    char id[24];

    peer_open();
    receive("PING\r\n");
    expect_sent("+PONG\r\n");
    snprintf(id, sizeof(id), "%llu", (unsigned long long)session->id);
    EXPECT(":1\r\n", "CLIENT", "KILL", "ID", id);
    EXPECT_PART("connected_clients:1\r\n", "INFO", "clients");
    cr_assert(fake_conn_wait_closed(&peer));
    peer_close();
}

FIBER_TEST(session, one_that_kills_itself_is_answered_first)
{
    char request[64];

    peer_open();
    snprintf(request, sizeof(request), "CLIENT KILL ID %llu SKIPME no\r\n",
             (unsigned long long)session->id);
    receive(request);
    expect_sent(":1\r\n");
    cr_assert(fake_conn_wait_closed(&peer));
    peer_close();
}

FIBER_TEST(session, may_end_while_its_command_waits)
{
    peer_open();
    receive("DEBUG SLEEP 100\r\n");
    cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    cr_assert_eq(net_self()->waiting, 1);
    session_close(session);
    cr_assert(fake_conn_wait_closed(&peer));
    for (int i = 0; i < 1000 && net_self()->waiting > 0; i++) {
        cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    }
    cr_assert_eq(net_self()->waiting, 0);
    peer_close();
}

/* ---- Backpressure ---- */

FIBER_TEST(session, a_peer_that_does_not_read_is_not_read_from)
{
    enum { ECHO_BYTES = 64 << 10, ECHOES = 64 };
    struct buf echo;

    peer_open();
    buf_init(&echo, MEM_SESSIONS);
    buf_printf(&echo, "*2\r\n$4\r\nECHO\r\n$%d\r\n", ECHO_BYTES);
    memset(buf_reserve(&echo, ECHO_BYTES), 'x', ECHO_BYTES);
    echo.size += ECHO_BYTES;
    buf_append(&echo, "\r\n", 2);
    peer.send_us = FAKE_CONN_STUCK;
    for (int i = 0; i < ECHOES; i++) {
        fake_conn_receive(&peer, buf_slice(&echo));
        cr_assert_eq(fiber_sleep_us(100), ERR_OK);
    }
    cr_assert(peer.is_paused, "receiving goes on although nothing can be sent");
    cr_assert_lt(session->output.buf.size + session->sending.size,
                 SESSION_OUTPUT_BYTES_HIGH + 2 * ECHO_BYTES);
    fake_conn_unstick(&peer, 10);
    cr_assert(fake_conn_wait(&peer, (size_t)ECHOES * ECHO_BYTES));
    cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    cr_assert(!peer.is_paused);
    buf_fini(&echo);
    peer_close();
}
