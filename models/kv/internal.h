/* models/kv/internal.h - what the files of the model share: lookup, change, latches. */
#pragma once

#include "models/kv/kv.h"

#define KV_MAGIC UINT64_C(0x6f72626974206b76)
enum { KV_LATCH_BUCKETS = 1024 };

struct kv {
    uint64_t magic; /* KV_MAGIC */
    struct store *store;
    struct kv_config config;
    struct kv_stats stats;
    uint32_t keyspaces[KV_DATABASES_MAX]; /* By database: SWAPDB swaps. */
    struct list latches[KV_LATCH_BUCKETS];
    uint32_t shared_holders;    /* Commands that run. */
    bool is_exclusive;          /* FLUSHDB, FLUSHALL, SWAPDB runs. */
    uint32_t exclusive_waiters; /* New commands wait behind them. */
    struct cond gate_cond;
    struct fiber_group background;
    bool is_closing;
};

/* A latch on one key id, in the frame of the command that holds it. */
struct kv_latch {
    struct list link; /* In its bucket. */
    uint64_t id;
    struct cond released;
    uint32_t waiters;
};

/* Lock the ids in ascending order; duplicates are fine. `latches` has room for count. */
YIELDS void kv_latch_lock(struct kv *kv, struct kv_latch *latches, uint64_t *ids, uint32_t count,
                          uint32_t *held_out);
void kv_latch_unlock(struct kv *kv, struct kv_latch *latches, uint32_t held);

/* Every command is shared; what replaces a whole keyspace is exclusive. */
YIELDS void kv_gate_enter_shared(struct kv *kv);
void kv_gate_leave_shared(struct kv *kv);
YIELDS void kv_gate_enter_exclusive(struct kv *kv);
void kv_gate_leave_exclusive(struct kv *kv);

/* A key as a command sees it. */
struct kv_object {
    struct slice name;
    uint32_t db;
    uint32_t keyspace;
    uint64_t id;
    bool is_stored;  /* There is a head, maybe an expired one. */
    bool is_found;   /* There is one that has not expired. */
    struct kv_head head; /* When is_stored; body borrowed from the request's arena. */
    uint64_t write_us; /* When the head was written. */
};

/* Read the head of argv name in the request's database (or another). Replies to the client
 * itself on an error and returns false. An expired head is removed in passing. */
YIELDS bool kv_lookup(struct kv_request *request, struct slice name, struct kv_object *object_out);
YIELDS bool kv_lookup_db(struct kv_request *request, uint32_t db, struct slice name,
                         struct kv_object *object_out);
/* The same, for commands that read a value: counts a hit or a miss. */
YIELDS bool kv_lookup_read(struct kv_request *request, struct slice name,
                           struct kv_object *object_out);
/* The string's bytes: the body, or the payload fetched into the arena. */
YIELDS bool kv_string_bytes(struct kv_request *request, const struct kv_object *object,
                            struct slice *bytes_out);

/* Add to the batch: the head with its bytes in place of what the object was; expiry index, number
 * of keys and payload follow. `object` is what kv_lookup gave; head.body are the new bytes. */
void kv_put(struct store_batch *batch, const struct kv_object *object, const struct kv_head *head,
            struct slice bytes, struct arena *arena);
/* The head alone changes (expiry, access): the bytes stay where they are. */
void kv_put_head(struct store_batch *batch, const struct kv_object *object,
                 const struct kv_head *head, struct arena *arena);
void kv_remove(struct store_batch *batch, const struct kv_object *object);

/* Commit and note the position; replies to the client on an error and returns false. */
YIELDS bool kv_commit(struct kv_request *request, struct store_batch *batch);

/* Counters of the store: number of keys, and of keys that expire, by keyspace. */
static inline uint32_t
kv_counter_keys(uint32_t keyspace)
{
    return 2 * keyspace;
}
static inline uint32_t
kv_counter_expires(uint32_t keyspace)
{
    return 2 * keyspace + 1;
}

/* Absolute expiry from a command's words. */
enum kv_time_unit { KV_SECONDS, KV_MILLISECONDS };
/* Replies "invalid expire time in 'name' command" (or not an integer) and returns false. */
bool kv_parse_expire(struct kv_request *request, struct slice text, enum kv_time_unit unit,
                     bool is_absolute, int64_t *expire_ms_out);
bool kv_parse_int(struct kv_request *request, struct slice text, int64_t *value_out);
bool kv_word_is(struct slice word, const char *upper_case);

/* Glob patterns as Redis matches them: * ? [a-z] [^...] and backslash. Bounded work. */
bool kv_glob_match(struct slice pattern, struct slice text, bool ignore_case);
