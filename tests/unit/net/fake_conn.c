/* tests/unit/net/fake_conn.c - see fake_conn.h. */
#include "tests/unit/net/fake_conn.h"

#include <criterion/criterion.h>
#include <stdio.h>

enum { FAKE_SEND_US = 50, FAKE_CLOSE_US = 10, FAKE_WAIT_TURNS_MAX = 20000 };

static struct fake_conn *
fake_of(struct io_conn *conn)
{
    return (struct fake_conn *)conn;
}

static void
conn_start(struct io_conn *conn, const struct io_conn_handlers *handlers, void *owner)
{
    fake_of(conn)->handlers = handlers;
    fake_of(conn)->owner = owner;
}

static void
conn_pause(struct io_conn *conn)
{
    fake_of(conn)->is_paused = true;
}

static void
conn_resume(struct io_conn *conn)
{
    fake_of(conn)->is_paused = false;
}

static void
sent_fire(struct timer *timer)
{
    struct fake_conn *fake = CONTAINER_OF(timer, struct fake_conn, sent_timer);

    fake->conn.is_sending = false;
    fake->handlers->on_sent(fake->owner, 0);
}

static void
closed_fire(struct timer *timer)
{
    struct fake_conn *fake = CONTAINER_OF(timer, struct fake_conn, closed_timer);

    fake->is_closed = true;
    fake->handlers->on_closed(fake->owner);
}

static void
conn_send(struct io_conn *conn, const void *data, size_t size)
{
    struct fake_conn *fake = fake_of(conn);

    cr_assert_gt(size, 0);
    if (fake->on_send != NULL) {
        fake->on_send(fake, slice_of(data, size));
    }
    buf_append(&fake->sent, data, size);
    fake->sends++;
    conn->is_sending = true;
    if (fake->send_us != FAKE_CONN_STUCK) {
        timer_start(&fake->sent_timer, shard_now_us() + fake->send_us);
    }
}

static void
conn_close(struct io_conn *conn)
{
    struct fake_conn *fake = fake_of(conn);

    timer_stop(&fake->sent_timer);
    timer_start(&fake->closed_timer, shard_now_us() + FAKE_CLOSE_US);
}

static const struct io_ops fake_conn_ops = {
    .conn_start = conn_start,
    .conn_pause = conn_pause,
    .conn_resume = conn_resume,
    .conn_send = conn_send,
    .conn_close = conn_close,
};

void
fake_conn_init(struct fake_conn *fake)
{
    memset(fake, 0, sizeof(*fake));
    fake->io = (struct io){.magic = IO_MAGIC, .ops = &fake_conn_ops};
    fake->conn.io = &fake->io;
    fake->conn.fd = -1;
    snprintf(fake->conn.peer, sizeof(fake->conn.peer), "127.0.0.1:50000");
    snprintf(fake->conn.local, sizeof(fake->conn.local), "127.0.0.1:6379");
    fake->send_us = FAKE_SEND_US;
    buf_init(&fake->sent, MEM_SESSIONS);
    timer_init(&fake->sent_timer, sent_fire);
    timer_init(&fake->closed_timer, closed_fire);
}

void
fake_conn_fini(struct fake_conn *fake)
{
    buf_fini(&fake->sent);
}

void
fake_conn_receive(struct fake_conn *fake, struct slice bytes)
{
    fake->handlers->on_data(fake->owner, bytes.data, bytes.size);
}

void
fake_conn_end(struct fake_conn *fake)
{
    fake->handlers->on_end(fake->owner, 0);
}

void
fake_conn_unstick(struct fake_conn *fake, uint64_t send_us)
{
    fake->send_us = send_us;
    if (fake->conn.is_sending) {
        timer_start(&fake->sent_timer, shard_now_us() + send_us);
    }
}

bool
fake_conn_wait(struct fake_conn *fake, size_t bytes)
{
    for (int turn = 0; turn < FAKE_WAIT_TURNS_MAX && fake->sent.size < bytes; turn++) {
        (void)fiber_sleep_us(100);
    }
    return fake->sent.size >= bytes;
}

bool
fake_conn_wait_closed(struct fake_conn *fake)
{
    for (int turn = 0; turn < FAKE_WAIT_TURNS_MAX && !fake->is_closed; turn++) {
        (void)fiber_sleep_us(100);
    }
    return fake->is_closed;
}
