/* tests/unit/net/fake_conn.h - a connection without a socket: what a session sends is kept, and
 * sends end after a while of the simulated clock, or never. */
#pragma once

#include "engine/base/mem.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"

#define FAKE_CONN_STUCK UINT64_MAX

struct fake_conn {
    struct io_conn conn; /* First. */
    struct io io;
    const struct io_conn_handlers *handlers;
    void *owner;
    struct buf sent;
    uint32_t sends;
    uint64_t send_us; /* How long a send takes; FAKE_CONN_STUCK: the peer does not read. */
    struct timer sent_timer, closed_timer;
    bool is_paused, is_closed;
    /* Called when bytes leave, before they are kept. May be NULL. */
    void (*on_send)(struct fake_conn *fake, struct slice bytes);
};

void fake_conn_init(struct fake_conn *fake);
void fake_conn_fini(struct fake_conn *fake);
/* Bytes come from the peer. */
void fake_conn_receive(struct fake_conn *fake, struct slice bytes);
/* The peer closes its side. */
void fake_conn_end(struct fake_conn *fake);
/* The peer reads again. */
void fake_conn_unstick(struct fake_conn *fake, uint64_t send_us);
/* Until so many bytes were sent, or a while has passed: false. */
YIELDS bool fake_conn_wait(struct fake_conn *fake, size_t bytes);
YIELDS bool fake_conn_wait_closed(struct fake_conn *fake);
