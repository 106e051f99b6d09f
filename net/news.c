/* net/news.c - see the header.
 *
 * A record: bytes of the body (4), kind (1), body. The sender's memory is read by the receiver and
 * is the sender's again when the message comes back. */
#include "net/news.h"

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "net/net.h"
#include "net/observe.h"
#include "net/pubsub.h"
#include "net/tracking.h"

#include "engine/base/poison.h"

enum { RECORD_HEAD_BYTES = 5, WORK_BYTES_PER_UNIT = 512, RECORD_UNITS = 5 };

/* To one shard. */
struct news_peer {
    struct news *news;
    struct msg msg;
    struct buf gathered, flying;
    bool is_flying;
    uint32_t from;
    uint64_t sent, taken; /* Bytes, since the start. */
};

struct news {
    struct net *net;
    struct cond taken;
    bool is_stopped;
    struct news_peer peers[]; /* By shard; the own one is not used. */
};

/* ---- Receiving ---- */

static void
record_take(struct net *net, uint32_t from, enum news_kind kind, struct slice body)
{
    switch (kind) {
    case NEWS_SUBSCRIPTION:
        pubsub_take_subscription(net, from, body);
        return;
    case NEWS_MESSAGE:
        pubsub_take_message(net, body);
        return;
    case NEWS_INVALIDATION:
        tracking_take(net, from, body);
        return;
    case NEWS_OBSERVERS:
        observe_take_count(net, body);
        return;
    case NEWS_COMMAND:
        observe_take_line(net, body);
        return;
    case NEWS_KINDS:
        break;
    }
    UNREACHABLE();
}

/* At the peer. */
static YIELDS void
bundle_take(void *arg)
{
    const struct news_peer *peer = arg;
    const uint8_t *at = peer->flying.data;
    const uint8_t *end = at + peer->flying.size;

    while (at < end) {
        struct slice body = slice_of(at + RECORD_HEAD_BYTES, get_le32(at));

        ASSERT(body.size <= (size_t)(end - body.data));
        record_take(net_self(), peer->from, (enum news_kind)at[4], body);
        at = body.data + body.size;
        fiber_work((uint32_t)(RECORD_UNITS + body.size / WORK_BYTES_PER_UNIT));
    }
}

/* ---- Sending ---- */

static void
peer_flush(struct news_peer *peer)
{
    struct buf taken;

    if (peer->is_flying || peer->gathered.size == 0) {
        return;
    }
    taken = peer->flying;
    peer->flying = peer->gathered;
    peer->gathered = taken;
    if (!msg_try_send(&peer->msg)) { /* Without a credit: at the end of a later turn. */
        peer->gathered = peer->flying;
        peer->flying = taken;
        return;
    }
    peer->is_flying = true;
}

static void
bundle_done(struct msg *msg)
{
    struct news_peer *peer = msg->arg;

    peer->is_flying = false;
    peer->taken += peer->flying.size;
    buf_clear(&peer->flying);
    if (peer->flying.capacity > NEWS_BYTES_KEPT) {
        buf_fini(&peer->flying);
    }
    peer_flush(peer);
    cond_broadcast(&peer->news->taken);
}

void
news_flush(struct news *news)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        peer_flush(&news->peers[shard]);
    }
}

void
news_send(struct news *news, uint32_t shard, enum news_kind kind, const struct slice *parts,
          uint32_t part_count)
{
    struct news_peer *peer = &news->peers[shard];
    uint8_t head[RECORD_HEAD_BYTES];
    size_t size = 0;

    ASSERT(shard != shard_id());
    if (news->is_stopped) {
        return;
    }
    for (uint32_t i = 0; i < part_count; i++) {
        size += parts[i].size;
    }
    ASSERT(size <= UINT32_MAX);
    put_le32(head, (uint32_t)size);
    head[4] = (uint8_t)kind;
    buf_append(&peer->gathered, head, sizeof(head));
    for (uint32_t i = 0; i < part_count; i++) {
        buf_append(&peer->gathered, parts[i].data, parts[i].size);
    }
    peer->sent += sizeof(head) + size;
}

void
news_send_all(struct news *news, enum news_kind kind, const struct slice *parts,
              uint32_t part_count)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (shard != shard_id()) {
            news_send(news, shard, kind, parts, part_count);
        }
    }
}

/* ---- Waiting ---- */

static bool
has_room(const struct news *news)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (news->peers[shard].sent - news->peers[shard].taken > NEWS_BYTES_HIGH) {
            return false;
        }
    }
    return true;
}

void
news_wait_room(struct news *news)
{
    while (!news->is_stopped && !has_room(news)) {
        cond_wait_uncancelable(&news->taken);
    }
}

void
news_settle(struct news *news)
{
    uint64_t sent[SHARDS_MAX];

    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        sent[shard] = news->peers[shard].sent;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        while (!news->is_stopped && news->peers[shard].taken < sent[shard]) {
            cond_wait_uncancelable(&news->taken);
        }
    }
}

/* ---- Life ---- */

struct news *
news_new(struct net *net)
{
    struct news *news =
        mem_zalloc(MEM_RUNTIME, sizeof(*news) + shard_count() * sizeof(news->peers[0]));

    news->net = net;
    cond_init(&news->taken);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        struct news_peer *peer = &news->peers[shard];

        peer->news = news;
        peer->from = shard_id();
        buf_init(&peer->gathered, MEM_SESSIONS);
        buf_init(&peer->flying, MEM_SESSIONS);
        peer->msg = (struct msg){
            .fn = bundle_take,
            .arg = peer,
            .done = bundle_done,
            .to = shard,
            .kind = MSG_FIBER,
        };
    }
    return news;
}

static bool
is_flying(const struct news *news)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (news->peers[shard].is_flying) {
            return true;
        }
    }
    return false;
}

void
news_stop(struct news *news)
{
    news->is_stopped = true;
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        buf_clear(&news->peers[shard].gathered);
    }
    cond_broadcast(&news->taken);
    while (is_flying(news)) {
        cond_wait_uncancelable(&news->taken);
    }
}

void
news_free(struct news **news_in)
{
    struct news *news = *news_in;

    if (news == NULL) {
        return;
    }
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        ASSERT(!news->peers[shard].is_flying);
        buf_fini(&news->peers[shard].gathered);
        buf_fini(&news->peers[shard].flying);
    }
    mem_free(MEM_RUNTIME, news, sizeof(*news) + shard_count() * sizeof(news->peers[0]));
    *news_in = NULL;
}
