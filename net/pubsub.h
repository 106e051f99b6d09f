/* net/pubsub.h - channels, their subscribers, and the messages to them.
 *
 * Every shard knows how many subscribers each channel has on each shard: a subscriber hears that it
 * has subscribed when all shards know it. So PUBLISH finds out here whom to send to, and answers at
 * once; where nobody listens it costs a look into a table. Messages of a publisher arrive in their
 * order. What a transaction publishes leaves when the transaction is durable (at `sync`), and what
 * is published on this shard after it, after it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "models/kv/kv.h"
#include "net/names.h"

struct net;
struct pubsub;
struct session;

enum pubsub_kind { PUBSUB_CHANNEL, PUBSUB_PATTERN, PUBSUB_SHARD_CHANNEL, PUBSUB_KINDS };

enum {
    PUBSUB_NAME_BYTES_MAX = 64 << 10,    /* Of a channel or pattern. */
    PUBSUB_SUBSCRIPTIONS_MAX = 1 << 20,  /* Of a session. */
    PUBSUB_PENDING_BYTES_MAX = 64 << 20, /* Of what waits for its durability, of a shard. */
};

struct subscription;

struct pubsub *pubsub_new(struct net *net);
void pubsub_free(struct pubsub **pubsub);

/* ---- Sessions of this shard. None suspends. ---- */

/* False: it was subscribed already (or, leaving, it was not). Other shards learn it by the next
 * news: news_settle waits for that. */
bool pubsub_subscribe(struct session *session, enum pubsub_kind kind, struct slice name);
bool pubsub_unsubscribe(struct session *session, enum pubsub_kind kind, struct slice name);
/* One of the session's subscriptions of that kind, the oldest; false: none is left. The name is
 * valid until it is unsubscribed. */
bool pubsub_any(const struct session *session, enum pubsub_kind kind, struct slice *name_out);
/* Are all the session's subscriptions of that kind fine for `is_fine`? */
bool pubsub_all(const struct session *session, enum pubsub_kind kind,
                bool (*is_fine)(const void *arg, struct slice name), const void *arg);
/* The session goes, or is reset. */
void pubsub_leave(struct session *session);
/* Does it subscribe to anything? */
bool pubsub_is_subscriber(const struct session *session);

/* ---- Publishing ---- */

/* To how many sessions a message goes now, over all shards. */
uint64_t pubsub_receivers(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel);
/* kind: PUBSUB_CHANNEL or PUBSUB_SHARD_CHANNEL. With an lsn it leaves when this shard's log is
 * durable up to there. Suspends only when too much waits. */
YIELDS void pubsub_publish(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel,
                           struct slice payload, lsn_t lsn);
/* For kv_config.publish: keyspace events and messages of a transaction. */
YIELDS void pubsub_publish_events(const struct kv_event *events, lsn_t lsn);
/* This shard's log is durable up to there. */
void pubsub_durable(struct pubsub *pubsub, lsn_t durable);

/* ---- What there is, over all shards ---- */

/* Channels of the kind that have subscribers; their number, or each of them. */
uint64_t pubsub_count(const struct pubsub *pubsub, enum pubsub_kind kind);
void pubsub_visit(const struct pubsub *pubsub, enum pubsub_kind kind,
                  void (*visit)(void *arg, struct slice name), void *arg);
uint64_t pubsub_subscribers(const struct pubsub *pubsub, enum pubsub_kind kind, struct slice name);

/* ---- For net/news.c ---- */
void pubsub_take_subscription(struct net *net, uint32_t from, struct slice body);
void pubsub_take_message(struct net *net, struct slice body);
