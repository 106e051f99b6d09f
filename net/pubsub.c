/* net/pubsub.c - see the header.
 *
 *     channel (kind, name) -> subscribers by shard -> list of subscriptions of sessions here
 *     (session, kind, name) -> subscription
 *
 * A channel is in the table while it has a subscriber on any shard. */
#include "net/pubsub.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/glob.h"
#include "net/net.h"
#include "net/news.h"
#include "net/session.h"

#include "engine/base/poison.h"

struct channel {
    struct names_node node;
    struct list pattern_link; /* pubsub->patterns; of a pattern. */
    struct subscription *first, *last;
    enum pubsub_kind kind;
    uint64_t total;
    size_t name_size;
    const uint8_t *name; /* Behind counts. */
    uint32_t counts[];   /* By shard. */
};

struct subscription {
    struct names_node node;
    struct session *session;
    struct channel *channel;
    struct subscription *previous, *next;                 /* Of the channel. */
    struct subscription *session_previous, *session_next; /* Of the session, by kind. */
};

/* A message that waits: lsn (8), kind (1), bytes of channel (4) and payload (4), both. */
enum { PENDING_HEAD_BYTES = 17 };

struct pubsub {
    struct net *net;
    struct names channels, subscriptions;
    struct list patterns;
    uint64_t counts[PUBSUB_KINDS]; /* Of channels. */
    struct buf pending;
    size_t pending_done; /* Bytes of it that have left. */
    struct cond pending_room;
};

static struct slice
name_of(const struct channel *channel)
{
    return slice_of(channel->name, channel->name_size);
}

/* ---- The directory ---- */

static struct channel *
channel_find(const struct pubsub *pubsub, enum pubsub_kind kind, struct slice name)
{
    uint64_t hash = names_hash(kind, name);

    for (struct names_node *node = names_first(&pubsub->channels, hash); node != NULL;
         node = names_next(node)) {
        struct channel *channel = CONTAINER_OF(node, struct channel, node);

        if (channel->kind == kind && slice_equal(name_of(channel), name)) {
            return channel;
        }
    }
    return NULL;
}

static size_t
channel_bytes(size_t name_size)
{
    return sizeof(struct channel) + shard_count() * sizeof(uint32_t) + name_size;
}

static struct channel *
channel_make(struct pubsub *pubsub, enum pubsub_kind kind, struct slice name)
{
    struct channel *channel = mem_zalloc(MEM_SESSIONS, channel_bytes(name.size));
    uint8_t *bytes = (uint8_t *)&channel->counts[shard_count()];

    channel->kind = kind;
    channel->name = bytes;
    channel->name_size = name.size;
    if (name.size > 0) {
        memcpy(bytes, name.data, name.size);
    }
    list_init(&channel->pattern_link);
    if (kind == PUBSUB_PATTERN) {
        list_push_back(&pubsub->patterns, &channel->pattern_link);
    }
    names_add(&pubsub->channels, &channel->node, names_hash(kind, name));
    pubsub->counts[kind]++;
    return channel;
}

static void
channel_drop_if_unused(struct pubsub *pubsub, struct channel *channel)
{
    if (channel->total > 0) {
        return;
    }
    ASSERT(channel->first == NULL);
    list_remove(&channel->pattern_link);
    names_remove(&pubsub->channels, &channel->node);
    pubsub->counts[channel->kind]--;
    mem_free(MEM_SESSIONS, channel, channel_bytes(channel->name_size));
}

/* A shard has one subscriber more or less. */
static void
channel_count(struct pubsub *pubsub, struct channel *channel, uint32_t shard, bool is_more)
{
    channel->counts[shard] += is_more ? 1 : -1u;
    channel->total += is_more ? 1 : UINT64_MAX;
    channel_drop_if_unused(pubsub, channel);
}

/* The others count too. A record: kind (1), more or less (1), name. */
static void
count_tell(struct pubsub *pubsub, enum pubsub_kind kind, struct slice name, bool is_more)
{
    const uint8_t head[2] = {(uint8_t)kind, is_more};
    const struct slice parts[] = {slice_of(head, sizeof(head)), name};

    news_send_all(pubsub->net->news, NEWS_SUBSCRIPTION, parts, ARRAY_COUNT(parts));
}

void
pubsub_take_subscription(struct net *net, uint32_t from, struct slice body)
{
    struct pubsub *pubsub = net->pubsub;
    enum pubsub_kind kind = (enum pubsub_kind)body.data[0];
    struct slice name = slice_of(body.data + 2, body.size - 2);
    struct channel *channel = channel_find(pubsub, kind, name);
    bool is_more = body.data[1] != 0;

    if (channel == NULL) {
        ASSERT(is_more);
        channel = channel_make(pubsub, kind, name);
    }
    channel_count(pubsub, channel, from, is_more);
}

/* ---- Subscriptions of this shard's sessions ---- */

static uint64_t
subscription_hash(const struct session *session, enum pubsub_kind kind, struct slice name)
{
    return names_hash(session->id * PUBSUB_KINDS + kind, name);
}

static struct subscription *
subscription_find(const struct pubsub *pubsub, const struct session *session, enum pubsub_kind kind,
                  struct slice name)
{
    uint64_t hash = subscription_hash(session, kind, name);

    for (struct names_node *node = names_first(&pubsub->subscriptions, hash); node != NULL;
         node = names_next(node)) {
        struct subscription *subscription = CONTAINER_OF(node, struct subscription, node);

        if (subscription->session == session && subscription->channel->kind == kind &&
            slice_equal(name_of(subscription->channel), name)) {
            return subscription;
        }
    }
    return NULL;
}

bool
pubsub_subscribe(struct session *session, enum pubsub_kind kind, struct slice name)
{
    struct pubsub *pubsub = session->net->pubsub;
    struct session_subscriptions *own = &session->subscriptions[kind];
    struct subscription *subscription;
    struct channel *channel;

    if (subscription_find(pubsub, session, kind, name) != NULL) {
        return false;
    }
    channel = channel_find(pubsub, kind, name);
    if (channel == NULL) {
        channel = channel_make(pubsub, kind, name);
    }
    subscription = MEM_NEW(MEM_SESSIONS, struct subscription);
    subscription->session = session;
    subscription->channel = channel;
    subscription->previous = channel->last;
    *(channel->last != NULL ? &channel->last->next : &channel->first) = subscription;
    channel->last = subscription;
    subscription->session_previous = own->last;
    *(own->last != NULL ? &own->last->session_next : &own->first) = subscription;
    own->last = subscription;
    own->count++;
    names_add(&pubsub->subscriptions, &subscription->node, subscription_hash(session, kind, name));
    channel_count(pubsub, channel, shard_id(), true);
    count_tell(pubsub, kind, name, true);
    return true;
}

static void
subscription_end(struct pubsub *pubsub, struct subscription *subscription)
{
    struct channel *channel = subscription->channel;
    struct session_subscriptions *own = &subscription->session->subscriptions[channel->kind];
    struct subscription *previous = subscription->previous;
    struct subscription *next = subscription->next;

    *(previous != NULL ? &previous->next : &channel->first) = next;
    *(next != NULL ? &next->previous : &channel->last) = previous;
    previous = subscription->session_previous;
    next = subscription->session_next;
    *(previous != NULL ? &previous->session_next : &own->first) = next;
    *(next != NULL ? &next->session_previous : &own->last) = previous;
    own->count--;
    names_remove(&pubsub->subscriptions, &subscription->node);
    MEM_FREE(MEM_SESSIONS, subscription);
    count_tell(pubsub, channel->kind, name_of(channel), false);
    channel_count(pubsub, channel, shard_id(), false);
}

bool
pubsub_unsubscribe(struct session *session, enum pubsub_kind kind, struct slice name)
{
    struct subscription *subscription =
        subscription_find(session->net->pubsub, session, kind, name);

    if (subscription != NULL) {
        subscription_end(session->net->pubsub, subscription);
    }
    return subscription != NULL;
}

bool
pubsub_any(const struct session *session, enum pubsub_kind kind, struct slice *name_out)
{
    const struct subscription *first = session->subscriptions[kind].first;

    if (first != NULL) {
        *name_out = name_of(first->channel);
    }
    return first != NULL;
}

bool
pubsub_all(const struct session *session, enum pubsub_kind kind,
           bool (*is_fine)(const void *arg, struct slice name), const void *arg)
{
    const struct subscription *at = session->subscriptions[kind].first;

    while (at != NULL && is_fine(arg, name_of(at->channel))) {
        at = at->session_next;
    }
    return at == NULL;
}

void
pubsub_leave(struct session *session)
{
    for (uint32_t kind = 0; kind < PUBSUB_KINDS; kind++) {
        while (session->subscriptions[kind].first != NULL) {
            subscription_end(session->net->pubsub, session->subscriptions[kind].first);
        }
    }
}

bool
pubsub_is_subscriber(const struct session *session)
{
    for (uint32_t kind = 0; kind < PUBSUB_KINDS; kind++) {
        if (session->subscriptions[kind].count > 0) {
            return true;
        }
    }
    return false;
}

/* ---- Messages to the sessions here ---- */

static void
bulk_append(struct buf *buf, struct slice bytes)
{
    buf_printf(buf, "$%zu\r\n", bytes.size);
    buf_append(buf, bytes.data, bytes.size);
    buf_append(buf, "\r\n", 2);
}

/* To every session of the channel: an array, or a push, of the same elements. */
static void
channel_push(const struct channel *channel, struct slice rest)
{
    const struct subscription *next;

    for (const struct subscription *at = channel->first; at != NULL; at = next) {
        next = at->next; /* A session that is too slow may be closed, and leaves. */
        session_push(at->session, at->session->output.resp == 3 ? SLICE(">") : SLICE("*"), rest);
    }
}

static void
pattern_deliver(const struct channel *pattern, struct slice channel, struct slice payload)
{
    struct buf rest;

    buf_init(&rest, MEM_SESSIONS);
    buf_append(&rest, "4\r\n$8\r\npmessage\r\n", 17);
    bulk_append(&rest, name_of(pattern));
    bulk_append(&rest, channel);
    bulk_append(&rest, payload);
    channel_push(pattern, buf_slice(&rest));
    buf_fini(&rest);
}

static void
patterns_deliver(struct pubsub *pubsub, struct slice channel, struct slice payload)
{
    struct list *next;

    for (struct list *at = pubsub->patterns.next; at != &pubsub->patterns; at = next) {
        const struct channel *pattern = LIST_ENTRY(at, struct channel, pattern_link);

        next = at->next; /* Of this pattern alone: closing others' sessions is left to later. */
        if (pattern->first != NULL && kv_glob_match(name_of(pattern), channel, false)) {
            pattern_deliver(pattern, channel, payload);
        }
    }
}

static void
deliver_here(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel,
             struct slice payload)
{
    const struct channel *found = channel_find(pubsub, kind, channel);

    if (found != NULL && found->first != NULL) {
        struct buf rest;

        buf_init(&rest, MEM_SESSIONS);
        buf_printf(&rest, "3\r\n$%d\r\n%s\r\n", kind == PUBSUB_CHANNEL ? 7 : 8,
                   kind == PUBSUB_CHANNEL ? "message" : "smessage");
        bulk_append(&rest, channel);
        bulk_append(&rest, payload);
        channel_push(found, buf_slice(&rest));
        buf_fini(&rest);
    }
    if (kind == PUBSUB_CHANNEL) {
        patterns_deliver(pubsub, channel, payload);
    }
}

/* A record: kind (1), bytes of the channel (4), channel, payload. */
void
pubsub_take_message(struct net *net, struct slice body)
{
    uint32_t name_size = get_le32(body.data + 1);
    struct slice channel = slice_of(body.data + 5, name_size);
    struct slice payload = slice_of(body.data + 5 + name_size, body.size - 5 - name_size);

    deliver_here(net->pubsub, (enum pubsub_kind)body.data[0], channel, payload);
}

/* ---- Publishing ---- */

/* Sums up who hears it; shards[i] becomes true where somebody does. */
static uint64_t
receivers(const struct pubsub *pubsub, enum pubsub_kind kind, struct slice name, bool *shards)
{
    const struct channel *channel = channel_find(pubsub, kind, name);
    uint64_t count = 0;

    if (channel != NULL) {
        count += channel->total;
        for (uint32_t shard = 0; shards != NULL && shard < shard_count(); shard++) {
            shards[shard] |= channel->counts[shard] > 0;
        }
    }
    if (kind != PUBSUB_CHANNEL) {
        return count;
    }
    LIST_FOR_EACH(at, &pubsub->patterns) {
        const struct channel *pattern = LIST_ENTRY(at, struct channel, pattern_link);

        if (!kv_glob_match(name_of(pattern), name, false)) {
            continue;
        }
        count += pattern->total;
        for (uint32_t shard = 0; shards != NULL && shard < shard_count(); shard++) {
            shards[shard] |= pattern->counts[shard] > 0;
        }
    }
    return count;
}

uint64_t
pubsub_receivers(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel)
{
    return receivers(pubsub, kind, channel, NULL);
}

static void
deliver(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel, struct slice payload)
{
    bool shards[SHARDS_MAX] = {false};
    uint8_t head[5];
    const struct slice parts[] = {slice_of(head, sizeof(head)), channel, payload};

    if (receivers(pubsub, kind, channel, shards) == 0) {
        return;
    }
    head[0] = (uint8_t)kind;
    put_le32(head + 1, (uint32_t)channel.size);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (shards[shard] && shard != shard_id()) {
            news_send(pubsub->net->news, shard, NEWS_MESSAGE, parts, ARRAY_COUNT(parts));
        }
    }
    if (shards[shard_id()]) {
        deliver_here(pubsub, kind, channel, payload);
    }
}

static bool
has_pending(const struct pubsub *pubsub)
{
    return pubsub->pending_done < pubsub->pending.size;
}

static void
pending_add(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel,
            struct slice payload, lsn_t lsn)
{
    uint8_t head[PENDING_HEAD_BYTES];

    put_le64(head, lsn);
    head[8] = (uint8_t)kind;
    put_le32(head + 9, (uint32_t)channel.size);
    put_le32(head + 13, (uint32_t)payload.size);
    buf_append(&pubsub->pending, head, sizeof(head));
    buf_append(&pubsub->pending, channel.data, channel.size);
    buf_append(&pubsub->pending, payload.data, payload.size);
}

void
pubsub_durable(struct pubsub *pubsub, lsn_t durable)
{
    while (has_pending(pubsub)) {
        const uint8_t *at = pubsub->pending.data + pubsub->pending_done;
        struct slice channel = slice_of(at + PENDING_HEAD_BYTES, get_le32(at + 9));
        struct slice payload = slice_of(channel.data + channel.size, get_le32(at + 13));

        if (get_le64(at) > durable) {
            return;
        }
        deliver(pubsub, (enum pubsub_kind)at[8], channel, payload);
        pubsub->pending_done += PENDING_HEAD_BYTES + channel.size + payload.size;
    }
    if (pubsub->pending.size > 0) {
        buf_clear(&pubsub->pending);
        pubsub->pending_done = 0;
        if (pubsub->pending.capacity > SESSION_BUFFER_BYTES_KEPT) {
            buf_fini(&pubsub->pending);
        }
        cond_broadcast(&pubsub->pending_room);
    }
}

void
pubsub_publish(struct pubsub *pubsub, enum pubsub_kind kind, struct slice channel,
               struct slice payload, lsn_t lsn)
{
    struct net *net = pubsub->net;

    if (receivers(pubsub, kind, channel, NULL) == 0) {
        return;
    }
    news_wait_room(net->news);
    while (pubsub->pending.size > PUBSUB_PENDING_BYTES_MAX) {
        cond_wait_uncancelable(&pubsub->pending_room);
    }
    if (store_durability(net->store) != WAL_SYNC) {
        lsn = 0;
    }
    if (has_pending(pubsub) || lsn > net->peers[shard_id()].durable) {
        pending_add(pubsub, kind, channel, payload, lsn);
    } else {
        deliver(pubsub, kind, channel, payload);
    }
}

/* ---- Keyspace events ---- */

enum { EVENT_CHANNEL_PREFIX_BYTES = 40 };

/* "__keyspace@0__:" and the rest, in buf. */
static struct slice
event_channel(struct buf *buf, const char *type, uint32_t db, struct slice rest)
{
    buf_clear(buf);
    buf_printf(buf, "__%s@%u__:", type, db);
    buf_append(buf, rest.data, rest.size);
    return buf_slice(buf);
}

static YIELDS void
event_publish(struct pubsub *pubsub, const struct kv_event *event, lsn_t lsn, struct buf *buf)
{
    uint32_t classes = kv_config(pubsub->net->kv)->event_classes;
    struct slice text = slice_from_text(event->event);

    if ((classes & event->event_class) == 0) {
        return;
    }
    if ((classes & KV_EVENT_KEYSPACE) != 0) {
        pubsub_publish(pubsub, PUBSUB_CHANNEL,
                       event_channel(buf, "keyspace", event->db, event->name), text, lsn);
    }
    if ((classes & KV_EVENT_KEYEVENT) != 0) {
        pubsub_publish(pubsub, PUBSUB_CHANNEL, event_channel(buf, "keyevent", event->db, text),
                       event->name, lsn);
    }
}

void
pubsub_publish_events(const struct kv_event *events, lsn_t lsn)
{
    struct pubsub *pubsub = net_self()->pubsub;
    struct buf buf;

    if (pubsub->channels.count == 0) { /* Nobody listens to anything. */
        return;
    }
    buf_init(&buf, MEM_SESSIONS);
    for (; events != NULL; events = events->next) {
        if (events->event != NULL) {
            event_publish(pubsub, events, lsn, &buf);
        } else {
            pubsub_publish(pubsub,
                           events->event_class == KV_EVENT_PUBLISH ? PUBSUB_CHANNEL
                                                                   : PUBSUB_SHARD_CHANNEL,
                           events->name, events->payload, lsn);
        }
    }
    buf_fini(&buf);
}

/* ---- What there is ---- */

uint64_t
pubsub_count(const struct pubsub *pubsub, enum pubsub_kind kind)
{
    return pubsub->counts[kind];
}

void
pubsub_visit(const struct pubsub *pubsub, enum pubsub_kind kind,
             void (*visit)(void *arg, struct slice name), void *arg)
{
    for (struct names_node *node = names_walk(&pubsub->channels, NULL); node != NULL;
         node = names_walk(&pubsub->channels, node)) {
        const struct channel *channel = CONTAINER_OF(node, struct channel, node);

        if (channel->kind == kind) {
            visit(arg, name_of(channel));
        }
    }
}

uint64_t
pubsub_subscribers(const struct pubsub *pubsub, enum pubsub_kind kind, struct slice name)
{
    const struct channel *channel = channel_find(pubsub, kind, name);

    return channel != NULL ? channel->total : 0;
}

/* ---- Life ---- */

struct pubsub *
pubsub_new(struct net *net)
{
    struct pubsub *pubsub = MEM_NEW(MEM_RUNTIME, struct pubsub);

    pubsub->net = net;
    list_init(&pubsub->patterns);
    buf_init(&pubsub->pending, MEM_SESSIONS);
    cond_init(&pubsub->pending_room);
    return pubsub;
}

/* Channels of other shards' sessions may be left: their last news found us stopped. */
static void
channels_drop(struct pubsub *pubsub)
{
    struct names_node *node;

    while ((node = names_walk(&pubsub->channels, NULL)) != NULL) {
        struct channel *channel = CONTAINER_OF(node, struct channel, node);

        channel->total = 0;
        channel_drop_if_unused(pubsub, channel);
    }
}

void
pubsub_free(struct pubsub **pubsub_in)
{
    struct pubsub *pubsub = *pubsub_in;

    if (pubsub == NULL) {
        return;
    }
    channels_drop(pubsub);
    names_fini(&pubsub->channels);
    names_fini(&pubsub->subscriptions);
    buf_fini(&pubsub->pending);
    MEM_FREE(MEM_RUNTIME, *pubsub_in);
}
