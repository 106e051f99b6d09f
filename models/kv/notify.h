/* models/kv/notify.h - keyspace events: what commands did to keys, told after their commit.
 *
 * A command records an event with kv_notify where Redis raises it, under Redis's name and in its
 * order. The events lie in the request: an attempt that is repeated, or fails, drops its own. After
 * the commit they go to kv_config.publish (net/), which sends them to who has subscribed. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "wal/wal.h"

struct kv;
struct kv_request;
struct txn;

/* The letters of notify-keyspace-events. */
enum kv_event_class {
    KV_EVENT_KEYSPACE = 1 << 0,  /* K: published on __keyspace@db__:name */
    KV_EVENT_KEYEVENT = 1 << 1,  /* E: published on __keyevent@db__:event */
    KV_EVENT_GENERIC = 1 << 2,   /* g */
    KV_EVENT_STRING = 1 << 3,    /* $ */
    KV_EVENT_LIST = 1 << 4,      /* l */
    KV_EVENT_SET = 1 << 5,       /* s */
    KV_EVENT_HASH = 1 << 6,      /* h */
    KV_EVENT_ZSET = 1 << 7,      /* z */
    KV_EVENT_EXPIRED = 1 << 8,   /* x */
    KV_EVENT_EVICTED = 1 << 9,   /* e */
    KV_EVENT_STREAM = 1 << 10,   /* t */
    KV_EVENT_MODULE = 1 << 11,   /* d: there are no modules. */
    KV_EVENT_KEY_MISS = 1 << 12, /* m: not in A */
    KV_EVENT_NEW = 1 << 13,      /* n: not in A */
    /* A */
    KV_EVENT_ALL = KV_EVENT_GENERIC | KV_EVENT_STRING | KV_EVENT_LIST | KV_EVENT_SET |
                   KV_EVENT_HASH | KV_EVENT_ZSET | KV_EVENT_EXPIRED | KV_EVENT_EVICTED |
                   KV_EVENT_STREAM | KV_EVENT_MODULE,
    /* No letters: PUBLISH and SPUBLISH in a transaction, which take effect with it. */
    KV_EVENT_PUBLISH = 1 << 14,
    KV_EVENT_SHARD_PUBLISH = 1 << 15,
};

enum { KV_EVENT_FLAGS_TEXT_BYTES = 24 };

struct kv_event {
    struct kv_event *next;
    uint32_t db;
    uint32_t event_class; /* One of enum kv_event_class. */
    const char *event;    /* "set"; NULL: a message of PUBLISH. */
    struct slice name;    /* The key; of a message the channel. */
    struct slice payload; /* Of a message. */
};

/* In the order in which they happened. */
struct kv_events {
    struct kv_event *first, *last;
};

/* What the committed transaction did; lsn: the position of this shard's log from which on it is
 * durable (0: it wrote nothing). The events are borrowed for the call. */
typedef YIELDS void (*kv_publish_fn)(const struct kv_event *events, lsn_t lsn);

/* Records whatever the configuration says; for messages, and for those below. `name` and `payload`
 * are borrowed until the commit: arguments and the request's arena last so long. */
void kv_event_add(struct kv_request *request, const struct kv_event *event);
/* The events of a statement join those of the request that it is part of (a script), copied into
 * its arena. */
void kv_events_take(struct kv_request *to, const struct kv_request *from);
/* The events of a statement of an interactive transaction: kept, and published on the transaction's
 * home shard when it commits. ERR_LIMIT: they are more than KV_TXN_EVENT_BYTES_MAX. */
enum { KV_TXN_EVENT_BYTES_MAX = 64 << 20 };
err_t kv_events_keep(struct txn *txn, const struct kv_request *request);
/* For a savepoint: what was kept so far (NULL: nothing), and back to it. */
struct kv_event *kv_events_kept(struct txn *txn);
void kv_events_cut(struct txn *txn, struct kv_event *last);
/* Publish what the request has recorded; its transaction is committed. */
YIELDS void kv_events_publish(struct kv *kv, struct kv_request *request);
/* What happens without a command (expiry, eviction): one event of a key, after its commit. */
YIELDS void kv_event_publish(struct kv *kv, uint32_t keyspace, uint32_t event_class,
                             const char *event, struct slice name, lsn_t lsn);

/* The value of notify-keyspace-events, to a set of classes and back. False: unknown letters. */
bool kv_event_flags_parse(struct slice text, uint32_t *classes_out);
void kv_event_flags_text(uint32_t classes, char out[KV_EVENT_FLAGS_TEXT_BYTES]);
