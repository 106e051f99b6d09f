/* models/kv/internal.h - what the files of the model share: lookup, change, latches. */
#pragma once

#include "models/kv/commands.h"
#include "models/kv/kv.h"

#define KV_MAGIC UINT64_C(0x6f72626974206b76)
enum {
    KV_LATCH_BUCKETS = 1024,
    KV_BATCHES_KEPT = 16,
    KV_BATCH_BYTES_KEPT = 64 << 10,
    KV_LATCHES_INLINE = 4, /* A command with more keys takes memory for its latches. */
};

struct kv_access_table;

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
    struct kv_access_table *access;
    struct kv_batch *batches[KV_BATCHES_KEPT]; /* For reuse. */
    uint32_t batch_count;
    /* No entry of any expiry index lies before this time: rounds of active expiry begin here
     * and so pass no entries deleted earlier. */
    uint64_t expire_from_ms;
    struct fiber_group background;
    struct cond background_cond; /* Wakes the expiry fiber before its time. */
    bool is_closing;
};

/* ---- Latches and the gate: latch.c ---- */

/* A latch on one key id, in the frame of the command that holds it. */
struct kv_latch {
    struct list link; /* In its bucket. */
    uint64_t id;
    struct cond released;
    uint32_t waiters;
};

/* Lock the ids in ascending order; duplicates are fine. Sorts ids. `latches` has room for count. */
YIELDS void kv_latch_lock(struct kv *kv, struct kv_latch *latches, uint64_t *ids, uint32_t count,
                          uint32_t *held_out);
void kv_latch_unlock(struct kv *kv, struct kv_latch *latches, uint32_t held);

/* Every command on keys is shared; what replaces a whole keyspace is exclusive. Nobody enters
 * twice, and nobody waits for another shard's gate while in this one, but for SWAPDB, which takes
 * them in the order of the shards. */
YIELDS void kv_gate_enter_shared(struct kv *kv);
void kv_gate_leave_shared(struct kv *kv);
YIELDS void kv_gate_enter_exclusive(struct kv *kv);
void kv_gate_leave_exclusive(struct kv *kv);

/* ---- Objects: object.c ---- */

/* A key as a command sees it. */
struct kv_object {
    struct slice name;
    uint32_t db;
    uint32_t keyspace;
    uint64_t id;
    bool is_stored;      /* There is a head, maybe an expired one that could not be removed. */
    bool is_found;       /* There is one that has not expired. */
    struct kv_head head; /* When is_stored; body borrowed from the request's arena. */
    uint64_t write_us;   /* When the head was written. */
};

enum kv_lookup_flag {
    KV_LOOKUP_COUNT = 1 << 0, /* Counts as a hit or a miss. */
    KV_LOOKUP_TOUCH = 1 << 1, /* Is an access, for OBJECT IDLETIME and FREQ. */
    KV_LOOKUP_READ = KV_LOOKUP_COUNT | KV_LOOKUP_TOUCH,
};

/* Read the head of a key in the request's database (or another). On an error replies to the
 * client and returns false. An expired head is removed in passing, so the caller holds the latch
 * of the key (kv_execute has taken those of all keys). */
YIELDS bool kv_lookup(struct kv_request *request, struct slice name, uint32_t flags,
                      struct kv_object *object_out);
YIELDS bool kv_lookup_db(struct kv_request *request, uint32_t db, struct slice name, uint32_t flags,
                         struct kv_object *object_out);
/* The arguments first, first + step, ... : reads are in flight together. The objects are in the
 * arena. NULL after an error, which was replied. */
YIELDS struct kv_object *kv_lookup_many(struct kv_request *request, uint32_t first, uint32_t step,
                                        uint32_t count, uint32_t flags);
/* Which objects repeat the key of an earlier (or, is_last_kept, a later) one: true at is_repeat[i].
 * In the arena. */
bool *kv_find_repeats(struct kv_request *request, const struct kv_object *objects, uint32_t count,
                      bool is_last_kept);

/* Missing or a string? Otherwise replies WRONGTYPE and returns false. */
bool kv_is_string(struct kv_request *request, const struct kv_object *object);
/* The string's bytes: the body, or the payload fetched into the arena. Empty for a missing key. */
YIELDS bool kv_string_bytes(struct kv_request *request, const struct kv_object *object,
                            struct slice *bytes_out);
/* kv_lookup, kv_is_string and kv_string_bytes. */
YIELDS bool kv_lookup_string(struct kv_request *request, struct slice name, uint32_t flags,
                             struct kv_object *object_out, struct slice *bytes_out);

/* A command's effect: one store batch, from the shard's stock. kv_batch_commit gives it back,
 * kv_batch_give drops it unused. */
enum { KV_BATCH_KEYSPACES = 2 }; /* That one command changes: MOVE and COPY have two. */
struct kv_batch {
    struct store_batch store;
    uint64_t expire_min_ms; /* The earliest entry put into an expiry index. */
    struct kv_batch_counts {
        uint32_t keyspace;
        int64_t keys, expires; /* How many more. */
    } counts[KV_BATCH_KEYSPACES];
    uint32_t count_of_counts;
};
struct kv_batch *kv_batch_take(struct kv *kv);
void kv_batch_give(struct kv *kv, struct kv_batch *batch);
/* Errors: as store_commit. *lsn_io is raised to the position of the commit. */
YIELDS err_t kv_batch_commit(struct kv *kv, struct kv_batch *batch, lsn_t *lsn_io);
/* The same for a command: replies on an error and returns false. */
YIELDS bool kv_commit(struct kv_request *request, struct kv_batch *batch);

/* Add to the batch: the head with these bytes in place of what the object was; expiry index,
 * number of keys and payload follow. Of `head`, type, expiry and access count. The bytes are
 * borrowed until the commit; memory for long keys comes from the arena. */
void kv_put(struct kv_batch *batch, const struct kv_object *object, const struct kv_head *head,
            struct slice bytes, struct arena *arena);
/* The head alone changes (expiry, access): the bytes stay where they are. */
void kv_put_head(struct kv_batch *batch, const struct kv_object *object, const struct kv_head *head,
                 struct arena *arena);
/* Nothing for an object that is not stored. */
void kv_remove(struct kv_batch *batch, const struct kv_object *object, struct arena *arena);

/* Store a string under the object's key, with an expiry (0: none), in a commit of its own. */
YIELDS bool kv_write_string(struct kv_request *request, const struct kv_object *object,
                            struct slice bytes, uint64_t expire_ms);
/* Remove it in a commit of its own. */
YIELDS bool kv_delete(struct kv_request *request, const struct kv_object *object);

/* Remove the key if its head has expired; by name, for those who are no command. The gate is
 * entered, the latch is not held. index_ms: the entry of the expiry index that led here, or 0.
 * Errors: as store_get and kv_batch_commit. */
YIELDS err_t kv_expire_key(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name,
                           uint64_t now_ms, uint64_t index_ms);

/* The stored key, in `small` or the arena. */
enum { KV_STORED_BYTES_SMALL = 192 };
struct slice kv_stored_key(uint8_t small[KV_STORED_BYTES_SMALL], struct arena *arena, uint8_t kind,
                           uint32_t keyspace, uint64_t id, struct slice name);

static inline uint64_t
kv_head_expire_ms(const struct kv_head *head)
{
    return (head->flags & KV_HEAD_EXPIRES) != 0 ? head->expire_ms : 0;
}

static inline void
kv_head_expire_set(struct kv_head *head, uint64_t expire_ms)
{
    head->flags &= (uint8_t)~KV_HEAD_EXPIRES;
    head->flags |= expire_ms != 0 ? KV_HEAD_EXPIRES : 0;
    head->expire_ms = expire_ms;
}

static inline bool
kv_head_has_expired(const struct kv_head *head, uint64_t now_ms)
{
    return (head->flags & KV_HEAD_EXPIRES) != 0 && head->expire_ms < now_ms;
}

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

/* ---- Last accesses, in memory and approximate: access.c ---- */

struct kv_access_table *kv_access_new(void);
void kv_access_free(struct kv_access_table **table);
/* The key was read. */
void kv_access_note(struct kv *kv, const struct kv_object *object, uint64_t now_ms);
/* RESTORE has replaced the key: what its head says holds. */
void kv_access_forget(struct kv *kv, const struct kv_object *object);
uint32_t kv_access_idle_seconds(struct kv *kv, const struct kv_object *object, uint64_t now_ms);
uint8_t kv_access_frequency(struct kv *kv, const struct kv_object *object, uint64_t now_ms);

/* ---- Words of a call: words.c ---- */

bool kv_word_is(struct slice word, const char *lower_case);
/* Replies "value is not an integer or out of range" and returns false. */
bool kv_parse_int(struct kv_request *request, struct slice text, int64_t *value_out);
/* A database number as MOVE and COPY read it; replies on an error. */
bool kv_parse_db(struct kv_request *request, struct slice text, uint32_t *db_out);
/* Absolute expiry from a positive count of seconds or milliseconds, relative or since 1970.
 * Replies "invalid expire time in 'name' command" (or not an integer) and returns false. */
enum kv_time_unit { KV_SECONDS, KV_MILLISECONDS };
bool kv_parse_expire(struct kv_request *request, struct slice text, enum kv_time_unit unit,
                     bool is_absolute, uint64_t *expire_ms_out);
void kv_reply_syntax_error(struct kv_request *request);
void kv_reply_expire_error(struct kv_request *request);
/* Would a string of old + more bytes be too long? Replies and returns false. */
bool kv_length_fits(struct kv_request *request, uint64_t old, uint64_t more);

/* ---- Whole keyspaces ---- */

/* The first slot of a shard; KV_SLOTS for the shard after the last. */
uint32_t kv_shard_first_slot(uint32_t shard);

/* What a step at another shard brings back besides its result. */
struct kv_step {
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
    uint32_t session_shard; /* In. */
    lsn_t lsn;              /* Out, at the session's shard: what its reply waits for. */
};
/* Record a result, an error with its text. */
void kv_step_fail(struct kv_step *step, err_t err);
/* At the end of a step: records the result. After a success, what was seen is made
 * durable where the server promises it: at the session's shard the reply waits, elsewhere this. */
YIELDS void kv_step_end(struct kv *kv, struct kv_step *step, err_t err);
/* At the session's shard. On an error replies and returns false. */
bool kv_step_accept(struct kv_request *request, const struct kv_step *step);

/* The expiry fiber: arg is the struct kv. expire_cycle.c */
YIELDS void kv_expire_fiber(void *arg);
