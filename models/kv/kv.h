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
#include "models/kv/command.h"
#include "models/kv/key.h"
#include "models/kv/reply.h"
#include "txn/store.h"

enum { KV_DATABASES_DEFAULT = 16, KV_DATABASES_MAX = 256, KV_KEYS_LATCHED_MAX = 1 << 20 };

/* What the shard's commands depend on; net sets it on every shard (CONFIG SET). */
struct kv_config {
    uint32_t databases;
    uint64_t string_bytes_max; /* proto-max-bulk-len */
    bool active_expire;        /* DEBUG SET-ACTIVE-EXPIRE */
    bool lfu;                  /* maxmemory-policy is an LFU one: OBJECT FREQ answers */
    uint32_t hz;               /* Rounds of active expiry a second. */
};

struct kv_stats {
    uint64_t hits, misses, expired, expire_cycles;
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
void kv_stats_get(struct kv *kv, struct kv_stats *stats_out);
void kv_stats_reset(struct kv *kv);

/* One command. argv stays the caller's for the call. */
struct kv_request {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    uint32_t db;
    struct reply *reply; /* Exactly one reply is appended. */
    struct arena *arena; /* For the call; the caller resets it. */
    lsn_t lsn;           /* Out: log position of this shard that a sync reply waits for. */
    bool no_touch;       /* CLIENT NO-TOUCH */
    uint64_t now_ms;     /* In: wall clock. */
    /* The model's own: the id of the first key, so that it is hashed once. */
    struct slice first_name;
    uint64_t first_id;
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

/* Run it on this shard; the command's layer is DATA or KEYSPACE and its arity fits. */
YIELDS void kv_execute(struct kv_request *request);
