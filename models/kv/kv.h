/* models/kv/kv.h - Redis keys over the store: execution of commands on the shard of their keys.
 *
 * A command runs under latches on its keys (in id order), so that one which waits for the disk
 * between reading and writing still takes effect as a whole; whole-keyspace commands take the
 * keyspace latch. Effects are one store batch a command. Theory: models/kv/README.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/hist.h"
#include "engine/base/list.h"
#include "engine/base/mem.h"
#include "models/kv/block.h"
#include "models/kv/command.h"
#include "models/kv/key.h"
#include "models/kv/notify.h"
#include "models/kv/reply.h"
#include "txn/store.h"
#include "txn/txn.h"

enum { KV_DATABASES_DEFAULT = 16, KV_DATABASES_MAX = 256, KV_KEYS_LATCHED_MAX = 1 << 20 };

/* Up to where Redis keeps collections in its compact encodings: OBJECT ENCODING goes by it. */
struct kv_encoding_limits {
    uint64_t set_intset, set_listpack, set_listpack_value;
    uint64_t hash_listpack, hash_listpack_value;
    uint64_t zset_listpack, zset_listpack_value;
    int64_t list_listpack;
    uint64_t hll_sparse_bytes; /* Of a sparse HyperLogLog: no name goes by it, but its form. */
    /* Of a node of a stream; 0: no limit. What "~" trims goes by it. */
    uint64_t stream_node_bytes, stream_node_entries;
};
extern const struct kv_encoding_limits kv_encoding_limits_default;

/* maxmemory-policy. */
enum kv_eviction {
    KV_EVICT_NONE, /* noeviction */
    KV_EVICT_ALLKEYS_LRU,
    KV_EVICT_ALLKEYS_LFU,
    KV_EVICT_ALLKEYS_RANDOM,
    KV_EVICT_VOLATILE_LRU,
    KV_EVICT_VOLATILE_LFU,
    KV_EVICT_VOLATILE_RANDOM,
    KV_EVICT_VOLATILE_TTL,
};

/* What the shard's commands depend on; net sets it on every shard (CONFIG SET). */
struct kv_config {
    uint32_t databases;
    uint64_t string_bytes_max; /* proto-max-bulk-len */
    bool active_expire;        /* DEBUG SET-ACTIVE-EXPIRE */
    bool lfu;                  /* maxmemory-policy is an LFU one: OBJECT FREQ answers */
    uint32_t hz;               /* Rounds of active expiry a second. */
    uint64_t memory_bytes_max; /* This shard's part of maxmemory; 0: no limit. */
    enum kv_eviction eviction;
    uint32_t eviction_samples;        /* maxmemory-samples; 0: the default. */
    uint64_t script_busy_ms;          /* busy-reply-threshold: scripts that run longer may be
                                         killed. */
    bool scripts_call_all;            /* DEBUG SET-DISABLE-DENY-SCRIPTS: scripts may call DEBUG. */
    struct kv_encoding_limits limits; /* All zero: the defaults. */
    uint32_t event_classes;           /* notify-keyspace-events: of enum kv_event_class. */
    kv_publish_fn publish;            /* Takes events of committed commands; may be NULL. */
};

struct kv_stats {
    uint64_t hits, misses, expired, expire_cycles, evicted;
    uint64_t memory_counted;           /* Of maxmemory; filled by kv_stats_get. */
    int64_t keys[KV_DATABASES_MAX];    /* Filled by kv_stats_get. */
    int64_t expires[KV_DATABASES_MAX]; /* Keys with an expiry. */
};

/* Opens the model on the current shard: database mapping (kept by shard 0), active expiry fiber.
 * Registers as SHARD_SLOT_KV. The store must be open on every shard before any calls this. */
struct kv;
YIELDS err_t kv_open(const struct kv_config *config, struct kv **kv_out);
YIELDS void kv_close(struct kv **kv);
struct kv *kv_self(void);
struct kv_config *kv_config(struct kv *kv);
/* Until then (of shard_now_us) no expired key is removed here: CLIENT PAUSE. */
void kv_pause_expiry(struct kv *kv, uint64_t until_us);
void kv_stats_get(struct kv *kv, struct kv_stats *stats_out);
void kv_stats_reset(struct kv *kv);

/* The bytes of this shard's keys that count for maxmemory: docs/protocol/resp.md. */
uint64_t kv_memory_counted(struct kv *kv);
#define KV_OUT_OF_MEMORY_TEXT "OOM command not allowed when used memory > 'maxmemory'."
/* Is there room under maxmemory, if need be after evicting keys? To be asked before a command that
 * may need some. The gate is not entered. */
YIELDS bool kv_memory_make_room(struct kv *kv);

/* A key that a command found expired: removed after it by a commit of its own. */
struct kv_expired {
    struct kv_expired *next;
    uint32_t keyspace;
    uint64_t id;
    struct slice name;
};

/* The session that a request came from, as far as the model needs it: scripts. */
struct kv_request;
struct kv_host {
    uint64_t session; /* Its id, of all shards. */
    uint32_t shard;   /* Its own. */
    /* Run a command of a script, checks of arity and flags being done: as kv_execute, with the
     * statistics of commands, and for commands of sessions too. The request's db may change. */
    YIELDS void (*execute)(struct kv_host *host, struct kv_request *request);
    /* May the session's user run this (command, argv)? NULL: yes. */
    YIELDS bool (*is_allowed)(struct kv_host *host, const struct kv_request *request);
};

/* One command. argv stays the caller's for the call. */
struct kv_request {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    uint32_t db;
    struct reply *reply; /* Exactly one reply is appended. */
    struct arena *arena; /* For the call; the caller resets it. */
    /* In: the transaction that the command belongs to; NULL: kv_execute begins and commits one. */
    struct txn *txn;
    const struct txn_origin *origin; /* Of one that it begins; borrowed, may be NULL. */
    lsn_t lsn;                       /* Out: log position of this shard that a sync reply waits
                                        for. */
    bool no_touch;                   /* CLIENT NO-TOUCH */
    bool is_of_shard;                /* SCAN, KEYS, DBSIZE, RANDOMKEY: of this shard alone. */
    bool in_script;                  /* In: it is a statement of a script. */
    bool is_before_statement;        /* In, kv_execute_within: it reads what was before the
                                        statement, and does not write. */
    bool is_over_memory;             /* In: of a script: what it calls may not need room. */
    struct kv_host *host;            /* In: borrowed; NULL: no session. */
    struct kv_block *block;          /* In: whether it may block (block.h); NULL: it may not. */
    uint64_t now_ms;                 /* In: wall clock. */
    /* The model's own. */
    struct slice first_name; /* With the id of the first key, so that it is hashed once. */
    uint64_t first_id;
    err_t err;    /* Of the store or the transaction: the command has failed, and replied it. */
    bool is_past; /* Nothing is removed in passing. */
    bool keeps_errors;        /* A script has ended well: errors in its reply are its value. */
    bool wants_alone;         /* A script has met a command that runs alone: again, alone. */
    uint32_t *keyspaces;      /* Of databases, where SWAPDB may run; NULL: the shard's. */
    uint32_t work;            /* Units since the last suspension. */
    uint64_t expire_min_ms;   /* The earliest entry put into an expiry index. */
    uint32_t expired_removed; /* Keys removed in passing, */
    uint32_t expired_count;   /* and those to be removed afterwards. */
    struct kv_expired *expired;
    uint32_t event_classes;  /* Of events that anybody asks for. */
    struct kv_events events; /* notify.h */
};

/* Where a COMMAND_DATA call runs. */
enum kv_route {
    KV_ROUTE_ANY,   /* No keys: here. */
    KV_ROUTE_SHARD, /* *shard_out */
    KV_ROUTE_CROSS, /* Keys lie on several shards. */
};
enum kv_route kv_route(const struct command *command, const struct slice *argv, uint32_t argc,
                       uint32_t *shard_out);
uint32_t kv_shard_of_slot(uint16_t slot);
/* The node that serves a shard's slots to cluster clients: itself, but for a shard that empties
 * itself and takes no connections. */
uint32_t kv_node_of_shard(uint32_t shard);
/* Replies how many keys of the request's database lie in a slot, counted up to `most`, or so many
 * of their names. From any shard. */
YIELDS void kv_slot_keys(struct kv_request *request, uint16_t slot, uint64_t most, bool are_named);

/* Run it on this shard; the command's layer is DATA or KEYSPACE and its arity fits. Without a
 * transaction it is one of its own: a conflict with others' commits repeats it, and an error reply
 * means that nothing was changed. With one it is a statement of it: after an error reply its
 * changes are taken back; after an error of the transaction (request->err) only rollback is
 * possible, or, for an auto one, running all of it again where kv_execute_multi does that. */
YIELDS void kv_execute(struct kv_request *request);

/* Run it as a part of the statement that request->txn (interactive) is in, at its snapshot: it sees
 * all that the transaction has written so far. An error reply has perhaps changed something: the
 * caller fails the statement. Errors of the transaction: request->err. */
YIELDS void kv_execute_within(struct kv_request *request);

/* Is the request of those that run alone on all shards: FLUSHDB, FLUSHALL, SWAPDB? */
bool kv_is_exclusive(const struct command *command);

/* EXEC: several commands as one transaction of this shard, each with its reply behind an array
 * header. `run` runs one: by kv_execute, or as the session does; all of them may run again, from
 * the first on, when others' commits came between. */
struct kv_watch;
struct kv_multi {
    struct kv_request *requests; /* reply, arena and txn are set here. */
    uint32_t count;
    const struct kv_watch *watches; /* If one has changed the reply is null. */
    struct reply *reply;
    struct arena *arena;
    const struct txn_origin *origin;
    uint64_t now_ms;
    YIELDS void (*run)(void *arg, struct kv_request *request);
    void *arg;
    lsn_t lsn; /* Out. */
};
YIELDS void kv_execute_multi(struct kv_multi *multi);

/* WATCH: what a key was when it was watched. Lists are the caller's, made by mem_*. */
struct kv_watch {
    struct kv_watch *next;
    uint32_t db;
    uint32_t keyspace;
    bool is_found; /* There, and not expired. */
    uint64_t ts;   /* Of its head. Every change of a key writes its head. */
    size_t name_bytes;
    uint8_t name[];
};
/* Notes each name in request->argv[1..] that is not in the list yet. Replies OK or an error. */
YIELDS void kv_watch(struct kv_request *request, struct kv_watch **watches);
void kv_unwatch(struct kv_watch **watches);
