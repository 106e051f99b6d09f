/* models/kv/block.h - commands that wait for a key: BLPOP, BZPOPMIN, XREAD BLOCK and the like.
 *
 *     run -> nothing found: kv_block_ask -> waiters on the keys' shards -> run once more -> parked
 *            ^                                                                                 |
 *            +------- one of the keys changed: woken, in the order of waiting -----------------+
 *
 * A command that blocks answers nothing. Whoever runs it (net/blocking.c) makes it wait, without a
 * fiber, and runs it again from its beginning when a key changed: as an ordinary transaction, so
 * that what it takes is taken by that commit and by nobody else. README.md has the theory. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/mem.h"
#include "engine/rt/fiber.h"
#include "models/kv/key.h"

struct kv;
struct kv_request;

enum {
    KV_BLOCK_KEYS_MAX = 16384,      /* That one command waits for: an error above. */
    KV_BLOCK_WAITERS_MAX = 4 << 20, /* Keys times commands of a shard: an error above. */
};

/* ---- For commands ---- */

/* What the command replies when its time has come and nothing was found. */
enum kv_block_reply { KV_BLOCK_NULL, KV_BLOCK_NULL_ARRAY };

struct kv_block_wait {
    uint32_t first, count; /* The keys: argv[first..first + count - 1], in the request's database.*/
    enum kv_type type;     /* Woken when a key that has this type was written, */
    bool on_removal;       /* and also when one is removed or gets another type (XREADGROUP). */
    /* Takes nothing away from others (XREAD): all such waiters of a key are woken together. Those
     * that take are woken one after the other, each when the one before it has run again. */
    bool is_shared;
    enum kv_block_reply reply;
    uint64_t deadline_us; /* Of shard_now_us; DEADLINE_NONE: none. By kv_block_parse_seconds. */
};

/* Whether, and how, the request may block; made by whoever runs it. NULL in the request: it may
 * not (EXEC, scripts, ORBIT.BEGIN). */
struct kv_block {
    bool is_asked; /* Out: the command has replied nothing and waits. */
    struct kv_block_wait wait;
    /* The command's own, at most a few bytes a key: what it appends at its first run is there at
     * each later one. Empty: this is the first. */
    struct buf state;
    uint32_t shard;  /* Of the session. */
    uint64_t ticket; /* Of the session's shard; 0: not registered yet. */
};

/* Nothing was found: wait as `wait` says, or, where that is not possible, reply as at the
 * deadline. The command returns after it. What it has written meanwhile is committed: write
 * nothing. The first run's deadline counts. */
void kv_block_ask(struct kv_request *request, const struct kv_block_wait *wait);
/* Somebody who has waited for the key longer is being served with what it has: treat it as one
 * that is not there. For commands that take something, before they look at a key. */
bool kv_block_is_taken(const struct kv_request *request, struct slice name);
/* Has the command waited already? A key of the wrong type is then one that is not there: it was not
 * when the command was woken for it. */
bool kv_block_is_repeat(const struct kv_request *request);
/* A timeout in seconds, with fractions (BLPOP), or in milliseconds (XREAD); 0: for ever. Replies
 * Redis's errors and returns false. */
bool kv_block_parse_seconds(struct kv_request *request, struct slice text, uint64_t *deadline_out);
bool kv_block_parse_milliseconds(struct kv_request *request, struct slice text,
                                 uint64_t *deadline_out);
/* The reply at the deadline. */
void kv_block_reply_nothing(struct kv_request *request, enum kv_block_reply reply);

/* ---- For whoever runs them, on the session's shard ---- */

/* Called on this shard when one of a ticket's keys on shard `from` changed. Each call is to be
 * answered by kv_block_done, after the command has run again and found nothing, or by
 * kv_block_leave. Must not suspend. One function a shard. */
typedef void (*kv_block_wake_fn)(void *arg, uint64_t ticket, uint32_t from);
void kv_block_on_wake(struct kv *kv, kv_block_wake_fn fn, void *arg);

/* Registers the request's waits at the shards of its keys; block->shard and ticket are set.
 * is_there[shard] becomes true for each. After it the command must run once more before it is
 * parked: what changed until now wakes nobody. ERR_LIMIT: nothing is registered. */
YIELDS err_t kv_block_register(struct kv_request *request, struct kv_block *block, bool *is_there);
/* Both do not suspend; in order with what was sent before. */
void kv_block_done(struct kv *kv, uint32_t shard, uint64_t ticket);
void kv_block_leave(struct kv *kv, uint32_t shard, uint64_t ticket);

/* The keys of these slots have gone to another shard: whoever waits for one here runs again, and
 * registers anew when it finds nothing (txn_slots_epoch has changed). */
void kv_blocks_moved(struct kv *kv, uint16_t first, uint32_t count);

/* The state is used by another shard from now on, or by this one. */
void kv_block_disown(struct kv_block *block);
void kv_block_adopt(struct kv_block *block);

/* ---- The shard's side ---- */

struct kv_blocks;
/* ERR_LIMIT: no fiber. */
err_t kv_blocks_new(struct kv *kv, struct kv_blocks **blocks_out);
YIELDS void kv_blocks_free(struct kv_blocks **blocks);
/* Keys of this shard that somebody waits for, and those where on_removal is set. */
uint64_t kv_blocks_keys(const struct kv *kv, uint64_t *on_removal_out);
