/* net/blocking.h - sessions whose command waits for a key.
 *
 *     running --found nothing--> parked --key changed, deadline, CLIENT UNBLOCK--> running
 *
 * A parked session holds no fiber: its request stays in its input, what its client sends meanwhile
 * waits behind it, and the request is run again from its beginning. Which commands block, and for
 * what, is the model's: models/kv/block.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "engine/rt/shard.h"
#include "models/kv/kv.h"

struct net;
struct session;

enum block_end {
    BLOCK_GOES_ON,
    BLOCK_TIMED_OUT, /* At its deadline, or by CLIENT UNBLOCK id TIMEOUT. */
    BLOCK_REFUSED,   /* CLIENT UNBLOCK id ERROR */
};

/* Of a session whose command has found nothing; from then until its reply. */
struct session_block {
    struct session *session;
    struct kv_block kv;
    struct timer timer;
    enum block_end end;
    bool is_parked;
    bool is_woken;      /* A key changed since the last run began. */
    uint64_t epoch;     /* txn_slots_epoch when its keys were registered. */
    uint32_t shards;    /* shard_count() */
    uint8_t at_shard[]; /* enum block_place, or-ed. */
};
enum block_place {
    BLOCK_REGISTERED = 1 << 0,
    BLOCK_WOKEN = 1 << 1,     /* It has woken this session since the present run began, */
    BLOCK_ANSWERING = 1 << 2, /* and before it: the run's outcome is the answer. */
};

/* The tickets of a shard. */
struct blocking;
struct blocking *blocking_new(struct net *net);
void blocking_free(struct blocking **blocking);

/* Run a request of a command that may block: as dispatch_route, which it calls. False: it waits,
 * and stays in the input. *is_used_out: the request has taken its bytes itself. */
YIELDS bool blocking_request(struct session *session, struct kv_request *request,
                             struct slice input, uint64_t consumed, bool *is_used_out);
/* The session ends, or its command has replied: nobody wakes it any more. Harmless without. */
void blocking_leave(struct session *session);
/* CLIENT PAUSE: the session's request stays in its input until net_pause ends the pause, or its
 * time has come. */
void blocking_postpone(struct session *session);
void blocking_postponed_go_on(struct net *net);
/* The session ends. Harmless without. */
void blocking_postponed_leave(struct session *session);
/* CLIENT UNBLOCK: false if it is not blocked. */
bool blocking_unblock(struct session *session, enum block_end end);

static inline bool
blocking_is_parked(const struct session_block *block)
{
    return __builtin_expect(block != NULL, 0) && block->is_parked;
}
