/* net/news.h - what shards tell each other without waiting for an answer: messages of PUBLISH,
 * who subscribes to what, invalidated keys, lines for MONITOR.
 *
 * Records to one shard keep their order. They are gathered during a turn of the loop and leave
 * together; the next bundle leaves when the one before has been taken. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

struct net;
struct news;

enum news_kind {
    NEWS_SUBSCRIPTION, /* pubsub.h: the number of a channel's subscribers has changed. */
    NEWS_MESSAGE,      /* pubsub.h: for who subscribes to the channel. */
    NEWS_INVALIDATION, /* tracking.h: keys that a session may have cached. */
    NEWS_OBSERVERS,    /* observe.h: how many sessions MONITOR. */
    NEWS_COMMAND,      /* observe.h: a line for them. */
    NEWS_KINDS
};

enum {
    NEWS_BYTES_KEPT = 64 << 10, /* Of an empty buffer. */
    NEWS_BYTES_HIGH = 64 << 20, /* Not yet taken by a shard: who publishes waits below it. */
};

struct news *news_new(struct net *net);
void news_free(struct news **news);

/* To another shard: the parts one after the other make the record's body; they are copied. Does
 * not suspend, so the caller bounds what it sends: by news_wait_room, or because it is little. */
void news_send(struct news *news, uint32_t shard, enum news_kind kind, const struct slice *parts,
               uint32_t part_count);
/* To all others. */
void news_send_all(struct news *news, enum news_kind kind, const struct slice *parts,
                   uint32_t part_count);
/* Until no shard has more than NEWS_BYTES_HIGH waiting; at once when the server ends. */
YIELDS void news_wait_room(struct news *news);
/* Until all shards have taken what was sent so far. */
YIELDS void news_settle(struct news *news);
/* At the end of a turn: what was gathered leaves. */
void news_flush(struct news *news);
/* Nothing more leaves; returns when nothing is on its way. */
YIELDS void news_stop(struct news *news);
