/* engine/rt/msg.h - messages between shards: a function that runs at the peer.
 *
 * The sender owns the message's memory and gets it back with the reply. Between two shards
 * messages keep their order. A request needs a credit (MSG_CREDITS in flight to one peer), and a
 * credit is room for its reply, so receiving never waits for sending. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/rt/fiber.h"

enum { MSG_CREDITS = 256 };

struct msg;
typedef void (*msg_fn)(void *arg);

enum msg_kind {
    MSG_FIBER,  /* The peer runs fn in a foreground fiber: fn may suspend. */
    MSG_INLINE, /* The peer runs fn on its loop's stack: fn must not suspend. */
};

struct msg {
    struct msg *next; /* The transport's. */
    msg_fn fn;
    void *arg;
    void (*done)(struct msg *msg); /* Runs on the sender's loop when the reply is back; may be NULL
                                      for a message from a foreign thread. */
    uint32_t from;                 /* Shard id, or MSG_FROM_FOREIGN. */
    uint32_t to;
    uint8_t kind; /* enum msg_kind */
    bool is_reply;
};

#define MSG_FROM_FOREIGN UINT32_MAX

/* Run fn(arg) at shard `to` and return when it has ended there. To the own shard: a plain call.
 * arg stays the caller's and must live until the return. Deaf to cancellation. */
YIELDS void msg_call(uint32_t to, enum msg_kind kind, msg_fn fn, void *arg);

/* Send to every shard (the own one included) and wait for all: fn(args + i * arg_size). */
YIELDS void msg_call_all(enum msg_kind kind, msg_fn fn, void *args, size_t arg_size);

/* Without waiting for the reply: done(msg) is called later on this shard's loop and must not
 * suspend; the message may be sent again from it. The caller has set to, kind, fn, arg, done.
 * Waits only for a credit. */
YIELDS void msg_send(struct msg *msg);
/* The same from the loop's stack: false, and nothing is sent, when there is no credit. */
bool msg_try_send(struct msg *msg);

/* From a thread that is no shard (C API, signal handling): queues the message; done runs on the
 * *receiving* shard's loop after fn, and may signal the thread. Takes a lock. */
struct shard;
void msg_post_foreign(struct shard *shard, struct msg *msg);

/* For the transport in io: hand over what arrived (on the receiving shard's loop). */
void msg_deliver(struct msg *msg);
