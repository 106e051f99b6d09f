/* net/commands_pubsub.c - SUBSCRIBE and its kin, PUBLISH, SPUBLISH, PUBSUB. */
#include "engine/base/assert.h"
#include "models/kv/glob.h"
#include "net/dispatch.h"
#include "net/news.h"
#include "net/pubsub.h"

#include "engine/base/poison.h"

/* ---- Subscribing ---- */

static const char *const subscribe_names[] = {"subscribe", "psubscribe", "ssubscribe"};
static const char *const unsubscribe_names[] = {"unsubscribe", "punsubscribe", "sunsubscribe"};

/* What the confirmation counts: channels and patterns together, shard channels apart. */
static uint64_t
counted(const struct session *session, enum pubsub_kind kind)
{
    return kind == PUBSUB_SHARD_CHANNEL ? session->subscriptions[kind].count
                                        : session->subscriptions[PUBSUB_CHANNEL].count +
                                              session->subscriptions[PUBSUB_PATTERN].count;
}

static void
confirm(const struct session *session, struct reply *reply, const char *name, enum pubsub_kind kind,
        const struct slice *channel)
{
    reply_push(reply, 3);
    reply_bulk_text(reply, name);
    if (channel != NULL) {
        reply_bulk(reply, *channel);
    } else {
        reply_null(reply);
    }
    reply_int(reply, (int64_t)counted(session, kind));
}

/* Confirmations are pushes: they are sent whatever CLIENT REPLY says. */
static struct reply *
confirmations_begin(const struct session *session, struct kv_request *request, struct reply *own)
{
    if (session->reply_mode == SESSION_REPLY_ON || request->reply != &session->output) {
        return request->reply;
    }
    reply_init(own, session->output.resp);
    return own;
}

static void
confirmations_end(struct session *session, struct reply *confirmations, struct reply *own)
{
    if (confirmations == own) {
        session_push(session, slice_of(NULL, 0), buf_slice(&own->buf));
        reply_fini(own);
    }
}

static bool
names_fit(const struct session *session, struct kv_request *request)
{
    uint64_t count = request->argc - 1;

    for (uint32_t kind = 0; kind < PUBSUB_KINDS; kind++) {
        count += session->subscriptions[kind].count;
    }
    if (count > PUBSUB_SUBSCRIPTIONS_MAX) {
        reply_error(request->reply, "ERR a connection has at most %d subscriptions",
                    PUBSUB_SUBSCRIPTIONS_MAX);
        return false;
    }
    for (uint32_t i = 1; i < request->argc; i++) {
        if (request->argv[i].size > PUBSUB_NAME_BYTES_MAX) {
            reply_error(request->reply, "ERR the channel of %zu bytes is longer than %d",
                        request->argv[i].size, PUBSUB_NAME_BYTES_MAX);
            return false;
        }
    }
    return true;
}

static YIELDS void
subscribe(struct session *session, struct kv_request *request, enum pubsub_kind kind)
{
    struct reply *confirmations;
    struct reply own;

    if (!names_fit(session, request)) {
        return;
    }
    confirmations = confirmations_begin(session, request, &own);
    for (uint32_t i = 1; i < request->argc; i++) {
        pubsub_subscribe(session, kind, request->argv[i]);
        confirm(session, confirmations, subscribe_names[kind], kind, &request->argv[i]);
    }
    confirmations_end(session, confirmations, &own);
    news_settle(session->net->news);
}

static YIELDS void
unsubscribe(struct session *session, struct kv_request *request, enum pubsub_kind kind)
{
    struct reply own;
    struct reply *confirmations = confirmations_begin(session, request, &own);
    bool had_any = session->subscriptions[kind].count > 0;
    struct slice name;

    for (uint32_t i = 1; i < request->argc; i++) {
        pubsub_unsubscribe(session, kind, request->argv[i]);
        confirm(session, confirmations, unsubscribe_names[kind], kind, &request->argv[i]);
    }
    while (request->argc == 1 && pubsub_any(session, kind, &name)) {
        name = arena_copy(request->arena, name);
        pubsub_unsubscribe(session, kind, name);
        confirm(session, confirmations, unsubscribe_names[kind], kind, &name);
    }
    if (request->argc == 1 && !had_any) {
        confirm(session, confirmations, unsubscribe_names[kind], kind, NULL);
    }
    confirmations_end(session, confirmations, &own);
    news_settle(session->net->news);
}

static YIELDS void
run_subscribe(struct session *session, struct kv_request *request)
{
    subscribe(session, request, PUBSUB_CHANNEL);
}

static YIELDS void
run_psubscribe(struct session *session, struct kv_request *request)
{
    subscribe(session, request, PUBSUB_PATTERN);
}

static YIELDS void
run_ssubscribe(struct session *session, struct kv_request *request)
{
    subscribe(session, request, PUBSUB_SHARD_CHANNEL);
}

static YIELDS void
run_unsubscribe(struct session *session, struct kv_request *request)
{
    unsubscribe(session, request, PUBSUB_CHANNEL);
}

static YIELDS void
run_punsubscribe(struct session *session, struct kv_request *request)
{
    unsubscribe(session, request, PUBSUB_PATTERN);
}

static YIELDS void
run_sunsubscribe(struct session *session, struct kv_request *request)
{
    unsubscribe(session, request, PUBSUB_SHARD_CHANNEL);
}

/* ---- Publishing ---- */

static YIELDS void
publish(struct session *session, struct kv_request *request, enum pubsub_kind kind)
{
    (void)session;
    /* Of this shard: a script's command runs where the script does. */
    struct net *net = net_self();
    struct pubsub *pubsub = net->pubsub;
    struct kv_event message = {
        .event_class = kind == PUBSUB_CHANNEL ? KV_EVENT_PUBLISH : KV_EVENT_SHARD_PUBLISH,
        .name = request->argv[1],
        .payload = request->argv[2],
    };

    reply_int(request->reply, (int64_t)pubsub_receivers(pubsub, kind, message.name));
    if (request->txn != NULL) { /* It takes effect with the transaction. */
        kv_event_add(request, &message);
    } else {
        pubsub_publish(pubsub, kind, message.name, message.payload, 0);
        /* Whoever publishes after he has heard of this answer comes after it everywhere. */
        news_settle(net->news);
    }
}

static YIELDS void
run_publish(struct session *session, struct kv_request *request)
{
    publish(session, request, PUBSUB_CHANNEL);
}

static YIELDS void
run_spublish(struct session *session, struct kv_request *request)
{
    publish(session, request, PUBSUB_SHARD_CHANNEL);
}

/* ---- PUBSUB ---- */

struct matches {
    struct reply names;
    uint64_t count;
    struct slice pattern; /* NULL data: all. */
};

static void
match(void *arg, struct slice name)
{
    struct matches *matches = arg;

    if (matches->pattern.data == NULL || kv_glob_match(matches->pattern, name, false)) {
        reply_bulk(&matches->names, name);
        matches->count++;
    }
}

static void
channels_reply(struct kv_request *request, enum pubsub_kind kind)
{
    struct matches matches = {.count = 0};

    if (request->argc > 3) {
        reply_error(request->reply,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. "
                    "Try PUBSUB HELP.",
                    (int)MIN(request->argv[1].size, (size_t)128),
                    (const char *)request->argv[1].data);
        return;
    }
    if (request->argc == 3) {
        matches.pattern = request->argv[2];
    }
    reply_init(&matches.names, request->reply->resp);
    pubsub_visit(net_self()->pubsub, kind, match, &matches);
    reply_array(request->reply, matches.count);
    buf_append(&request->reply->buf, matches.names.buf.data, matches.names.buf.size);
    reply_fini(&matches.names);
}

static void
subscribers_reply(struct kv_request *request, enum pubsub_kind kind)
{
    reply_array(request->reply, 2 * (uint64_t)(request->argc - 2));
    for (uint32_t i = 2; i < request->argc; i++) {
        reply_bulk(request->reply, request->argv[i]);
        reply_int(request->reply,
                  (int64_t)pubsub_subscribers(net_self()->pubsub, kind, request->argv[i]));
    }
}

static YIELDS void
run_channels(struct session *session, struct kv_request *request)
{
    (void)session;
    channels_reply(request, PUBSUB_CHANNEL);
}

static YIELDS void
run_shardchannels(struct session *session, struct kv_request *request)
{
    (void)session;
    channels_reply(request, PUBSUB_SHARD_CHANNEL);
}

static YIELDS void
run_numsub(struct session *session, struct kv_request *request)
{
    (void)session;
    subscribers_reply(request, PUBSUB_CHANNEL);
}

static YIELDS void
run_shardnumsub(struct session *session, struct kv_request *request)
{
    (void)session;
    subscribers_reply(request, PUBSUB_SHARD_CHANNEL);
}

static YIELDS void
run_numpat(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_int(request->reply, (int64_t)pubsub_count(net_self()->pubsub, PUBSUB_PATTERN));
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_pubsub[] = {
    {"subscribe", run_subscribe},
    {"psubscribe", run_psubscribe},
    {"ssubscribe", run_ssubscribe},
    {"unsubscribe", run_unsubscribe},
    {"punsubscribe", run_punsubscribe},
    {"sunsubscribe", run_sunsubscribe},
    {"publish", run_publish},
    {"spublish", run_spublish},
    {"pubsub|channels", run_channels},
    {"pubsub|shardchannels", run_shardchannels},
    {"pubsub|numsub", run_numsub},
    {"pubsub|shardnumsub", run_shardnumsub},
    {"pubsub|numpat", run_numpat},
    {"pubsub|help", run_help},
    {NULL, NULL},
};
