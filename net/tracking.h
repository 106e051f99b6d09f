/* net/tracking.h - client-side caching: who has read which keys, and who is told that they changed.
 *
 * The shard of a key remembers who reads it, before the command takes its snapshot: a commit is
 * either in what was read, or it invalidates. A key is forgotten when it was told: a client hears
 * of it once until it reads it again. Clients in BCAST mode are told by prefixes, on their own
 * shards. What is told reaches a session after the reply of the command that runs. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"
#include "models/kv/kv.h"
#include "net/names.h"

struct net;
struct session;
struct tracking;

enum {
    TRACKING_ITEMS_MAX = 16 << 20,     /* Clients of keys, of a shard. */
    TRACKING_PREFIX_BYTES_MAX = 65535, /* Of a prefix, */
    TRACKING_PREFIXES_MAX = 1024,      /* and of them, of a session. */
};

enum tracking_caching { CACHING_UNSAID, CACHING_YES, CACHING_NO };

/* One prefix of a session, with the keys that changed in this turn. */
struct tracking_prefix {
    struct list link;
    struct buf keys; /* As RESP strings. */
    uint32_t key_count;
    size_t size;
    uint8_t bytes[];
};

/* Of a session that tracks. */
struct session_tracking {
    struct names_node node; /* tracking->owners */
    struct list link;       /* tracking->sessions */
    struct session *session;
    uint64_t redirect; /* Id of the session that is told instead; 0: itself. */
    bool is_bcast, is_optin, is_optout, is_noloop;
    bool is_clear;                 /* It was told of all keys, and has read none since. */
    bool is_broken;                /* The session to redirect to has gone. */
    enum tracking_caching caching; /* CLIENT CACHING, for the next command. */
    uint32_t prefix_count;
    struct list prefixes;
};

struct tracking *tracking_new(struct net *net);
void tracking_free(struct tracking **tracking);

/* Begins, or goes on with other options: those of `wanted` (prefixes apart). The others know it
 * after news_settle. */
void tracking_begin(struct session *session, const struct session_tracking *wanted);
void tracking_prefix_add(struct session *session, struct slice prefix);
/* Harmless when repeated. */
void tracking_end(struct session *session);

/* Before the request runs, on the shard where it does: its keys are remembered where they lie. */
YIELDS void tracking_note_reads(struct session *session, struct kv_request *request);
/* Of what is read in a transaction's past nobody is told later: it is invalid at once. */
YIELDS void tracking_note_past(struct session *session, const struct kv_request *request);
/* After a command: what it changed has been told to clients on other shards when this returns, and
 * emptied databases to all. */
YIELDS void tracking_after(struct net *net, const struct kv_request *request);
/* Now and then: databases were emptied by something else than a command that runs here. */
YIELDS void tracking_tell_emptied(struct tracking *tracking);
/* At the end of a turn: what was gathered is told. */
void tracking_flush(struct tracking *tracking);

/* Sessions that track, over all shards. */
uint64_t tracking_clients(const struct tracking *tracking);
/* Of this shard. */
struct tracking_stats {
    uint64_t keys, items, prefixes;
};
void tracking_stats_add(const struct tracking *tracking, struct tracking_stats *stats);

/* For net/news.c */
void tracking_take(struct net *net, uint32_t from, struct slice body);
