/* models/kv/internal.h - what the files of the model share: lookup, change, latches. */
#pragma once

#include "models/kv/changed.h"
#include "models/kv/commands.h"
#include "models/kv/kv.h"

#define KV_MAGIC UINT64_C(0x6f72626974206b76)
enum {
    KV_LATCH_BUCKETS = 1024,
    KV_LATCHES_INLINE = 4,       /* A command with more keys takes memory for its latches. */
    KV_ATTEMPTS_MAX = 64,        /* Of one command, when others commit in between: then CONFLICT. */
    KV_EXPIRED_MAX = 64,         /* Removed in passing after one command that only reads. */
    KV_WORK_UNITS = 100,         /* Counted before the command gives way. */
    KV_BYTES_GRANTED = 32 << 10, /* Of memory, to a command, also when the budget is used up. */
};

struct kv_access_table;
struct scripts;

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
    struct scripts *scripts;      /* models/script; NULL: none has run yet. */
    struct list change_listeners; /* changed.h */
    struct kv_blocks *blocks;     /* Commands that wait for keys of this shard: block.h. */
    /* Ids for collections: the next, and the end of the block that is this shard's. collection.c */
    uint64_t collection_next, collection_end;
    /* No entry of any expiry index lies before this time: rounds of active expiry begin here
     * and so pass no entries deleted earlier. */
    uint64_t expire_from_ms;
    uint64_t expire_paused_until_us; /* kv_pause_expiry */
    uint64_t expire_whole_ms;        /* When a round begins at the first entry again. */
    struct fiber_group background;
    struct cond background_cond; /* Wakes the expiry fiber before its time. */
    bool is_closing;
};

/* ---- The keys of a call, for latches and locks: keys.c ---- */

struct kv_latch;
struct kv_call {
    struct command_key few_keys[KV_LATCHES_INLINE];
    uint64_t few_ids[KV_LATCHES_INLINE];
    struct command_key *keys;
    uint64_t *ids; /* Of keys; sorted once latches were taken. */
    uint32_t count;
    bool is_here; /* All lie on this shard. */
};
/* From the frame or the request's arena. False after an error reply (names too long). */
bool kv_call_keys(struct kv_call *call, struct kv_request *request);
/* Locks the keys of the requests in one order, for a transaction that others have made repeat; then
 * its snapshot is taken anew. Errors: as txn_lock. */
YIELDS err_t kv_keys_lock(struct txn *txn, struct kv_request *requests, uint32_t count);
/* What interactive transactions that write hold weakly on the shards they write to, and what
 * replaces keyspaces holds strongly on all. */
YIELDS err_t kv_keyspaces_lock_call(struct txn *txn, const struct kv_call *call);
YIELDS err_t kv_keyspaces_lock_all(struct txn *txn);

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

/* Every command on keys is shared, but for those of interactive transactions; what replaces a
 * whole keyspace is exclusive. Nobody enters twice, and nobody waits for another shard's gate
 * while in this one, but for those that enter all exclusively, in the order of the shards. */
YIELDS void kv_gate_enter_shared(struct kv *kv);
void kv_gate_leave_shared(struct kv *kv);
YIELDS void kv_gate_enter_exclusive(struct kv *kv);
void kv_gate_leave_exclusive(struct kv *kv);
/* On every shard. Leaving hands over a new mapping of databases (NULL: none), which is durable. */
YIELDS void kv_gates_enter_all(void);
YIELDS void kv_gates_leave_all(const uint32_t *keyspaces);

/* ---- Slots that change shards: slots.c ---- */

/* While a command visits all shards no slot changes hands. What runs alone has seen to that. */
static inline YIELDS void
kv_slots_pin(const struct kv_request *request)
{
    if (request->keyspaces == NULL) {
        txn_slots_pin();
    }
}
static inline void
kv_slots_unpin(const struct kv_request *request)
{
    if (request->keyspaces == NULL) {
        txn_slots_unpin();
    }
}

/* ---- exec.c, for multi.c ---- */

/* Runs the command in request->txn, which is an auto one, without gate and latches. */
YIELDS void kv_run(struct kv_request *request);
/* After the commit: statistics, keys removed in passing, and what active expiry must know. */
YIELDS void kv_committed(struct kv *kv, struct kv_request *request);
/* One command that runs alone on all shards. */
YIELDS void kv_execute_alone(struct kv_request *request);

/* ---- Objects: object.c ---- */

/* A key as a command sees it. */
struct kv_object {
    struct slice name;
    uint32_t db;
    uint32_t keyspace;
    uint64_t id;
    bool is_stored;      /* There is a head, maybe an expired one. Changes keep it true. */
    bool is_found;       /* There was one that had not expired, when it was looked up. */
    struct kv_head head; /* When is_stored; body borrowed from the request's arena. */
    uint64_t ts;         /* Of the commit that wrote the head; 0: this transaction. */
};

enum kv_lookup_flag {
    KV_LOOKUP_COUNT = 1 << 0, /* Counts as a hit or a miss. */
    KV_LOOKUP_TOUCH = 1 << 1, /* Is an access, for OBJECT IDLETIME and FREQ. */
    KV_LOOKUP_READ = KV_LOOKUP_COUNT | KV_LOOKUP_TOUCH,
};

/* Read the head of a key in the request's database (or another), as the request's transaction sees
 * it. On an error replies to the client and returns false. A key whose time has come is not found;
 * it is removed in passing. */
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

/* Missing or of this type? Otherwise replies WRONGTYPE and returns false. */
bool kv_is_type(struct kv_request *request, const struct kv_object *object, enum kv_type type);
bool kv_is_string(struct kv_request *request, const struct kv_object *object);
/* The string's bytes: the body, or the payload fetched into the arena. Empty for a missing key. */
YIELDS bool kv_string_bytes(struct kv_request *request, const struct kv_object *object,
                            struct slice *bytes_out);
/* The same without a reply. Errors: as txn_get, ERR_CORRUPT, ERR_NO_MEMORY. */
YIELDS err_t kv_string_get(struct kv_request *request, const struct kv_object *object,
                           struct slice *bytes_out);
/* kv_lookup, kv_is_string and kv_string_bytes. */
YIELDS bool kv_lookup_string(struct kv_request *request, struct slice name, uint32_t flags,
                             struct kv_object *object_out, struct slice *bytes_out);
/* A copy to change, of `size` bytes, with zeros behind the old ones; in the arena, and so fit for
 * kv_write_string. NULL after an error reply: memory is short. */
uint8_t *kv_string_copy(struct kv_request *request, struct slice old, size_t size);

/* ---- Changes: they are the transaction's of the request. Errors of writing come with the commit.
 * Objects become what was put. Bytes are copied, but those above LSM_VALUE_INLINE_BYTES_MAX must
 * stay until the commit: arguments and the request's arena do. ---- */

/* An error of the store or the transaction: replied, and the command has failed. */
void kv_fail(struct kv_request *request, err_t err);
/* A string with these bytes in place of what the object was; expiry index, number of keys and
 * payload follow. Of `head`, type, expiry and access count. */
void kv_put(struct kv_request *request, struct kv_object *object, const struct kv_head *head,
            struct slice bytes);
/* The same for a collection, head->body and all; with a count of 0 it is removed. Elements of a
 * spread collection that the new head does not name are removed with what was there. */
void kv_put_collection(struct kv_request *request, struct kv_object *object,
                       const struct kv_head *head);
/* The head alone changes (expiry, access): the bytes stay where they are. */
void kv_put_head(struct kv_request *request, struct kv_object *object, const struct kv_head *head);
/* Nothing for an object that is not stored. kv_remove_head leaves elements and payload alone: they
 * have another head now. */
void kv_remove(struct kv_request *request, struct kv_object *object);
void kv_remove_head(struct kv_request *request, struct kv_object *object);
/* Store a string under the object's key, with an expiry (0: none). */
void kv_write_string(struct kv_request *request, struct kv_object *object, struct slice bytes,
                     uint64_t expire_ms);
/* All elements of a spread collection, by one range delete: collection.c. */
void kv_elements_remove(struct kv_request *request, const struct kv_object *object);

/* Whether the request may not have so many bytes more of memory. What is small it always gets, so
 * that very many clients who wait refuse nobody a short command. */
static inline bool
kv_memory_lacks(const struct kv_request *request, uint64_t bytes)
{
    if (bytes <= KV_BYTES_GRANTED && request->arena->bytes <= KV_BYTES_GRANTED) {
        return false;
    }
    return mem_over(mem_account_current(), MEM_SESSIONS, bytes);
}

/* Counted work of a command (units as of fiber_work): gives way now and then, and says so to the
 * transaction. */
static inline void
kv_work(struct kv_request *request, uint32_t units)
{
    request->work += units;
    if (__builtin_expect(request->work >= KV_WORK_UNITS, 0)) {
        txn_hold(request->txn);
        txn_relieve(request->txn);
        fiber_work(request->work);
        request->work = 0;
    }
}

/* Records an event of the request's database (or another), when anybody may have subscribed to its
 * class; `event` is a literal, `name` is borrowed until the commit (an argument, or in the arena).
 * notify.c */
void kv_notify_record(struct kv_request *request, uint32_t db, uint32_t event_class,
                      const char *event, struct slice name);

static inline void
kv_notify_db(struct kv_request *request, uint32_t db, uint32_t event_class, const char *event,
             struct slice name)
{
    if (__builtin_expect((request->event_classes & event_class) != 0, 0)) {
        kv_notify_record(request, db, event_class, event, name);
    }
}

static inline void
kv_notify(struct kv_request *request, uint32_t event_class, const char *event, struct slice name)
{
    kv_notify_db(request, request->db, event_class, event, name);
}

/* "del", when a change of its elements has left nothing of the key. */
static inline void
kv_notify_if_gone(struct kv_request *request, const struct kv_object *object)
{
    if (!object->is_stored) {
        kv_notify(request, KV_EVENT_GENERIC, "del", object->name);
    }
}

/* May the command write, or a statement of it? */
static inline bool
kv_may_write(const struct command *command)
{
    return (command->flags & CMD_WRITE) != 0 ||
           (command->is_script && (command->flags & CMD_READONLY) == 0);
}

/* Should what failed with this error run again, as somebody else's commit came between? */
static inline bool
kv_may_repeat(err_t err)
{
    return err == ERR_SERIALIZATION || err == ERR_SNAPSHOT_TOO_OLD || err == ERR_DEADLOCK;
}
/* Waits a little, longer each time. */
YIELDS void kv_back_off(uint32_t attempt);

/* Remove the key if its head has expired, in a commit of its own; by name, for those who are no
 * command. On the shard of the key; the gate is entered, the latch is not held. index_ms: the entry
 * of the expiry index that led here, or 0. Errors: as txn_get and txn_commit. */
YIELDS err_t kv_expire_key(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name,
                           uint64_t now_ms, uint64_t index_ms);

/* Remove the fields of a hash whose time has come: hash_expire.c. As kv_expire_key. */
YIELDS err_t kv_expire_fields(struct kv *kv, uint32_t keyspace, uint64_t id, struct slice name,
                              uint64_t now_ms, uint64_t index_ms);

/* The entry of a hash in the index of field times goes, whatever its head says. */
void kv_field_expiry_delete(struct kv_request *request, const struct kv_object *object,
                            uint64_t expire_ms);

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

/* Bytes that count for maxmemory, by keyspace. */
static inline uint32_t
kv_counter_bytes(uint32_t keyspace)
{
    return 2 * KV_DATABASES_MAX + keyspace;
}
enum {
    KV_COUNTED_SHARD_BYTES = 1024, /* Without any key. */
    KV_COUNTED_KEY_BYTES = 64,     /* Beside name and value. */
    KV_COUNTED_ELEMENT_BYTES = 64, /* Of an element that is an entry of its own. */
};
/* What a key counts: by its head alone. */
static inline int64_t
kv_counted_bytes(size_t name_bytes, const struct kv_head *head)
{
    uint64_t bytes = KV_COUNTED_KEY_BYTES + name_bytes + head->body.size;

    if ((head->flags & KV_HEAD_PAYLOAD) != 0) {
        bytes += head->length;
    }
    if ((head->flags & KV_HEAD_SPREAD) != 0) {
        bytes += head->count * KV_COUNTED_ELEMENT_BYTES;
    }
    return (int64_t)bytes;
}
/* Hashes with a field that expires. */
static inline uint32_t
kv_counter_fields(uint32_t keyspace)
{
    return 3 * KV_DATABASES_MAX + keyspace;
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
/* The count of SRANDMEMBER, HRANDFIELD and ZRANDMEMBER in argv[2] (1 without it), and the word that
 * may follow it (NULL: none may). */
bool kv_parse_random_count(struct kv_request *request, const char *with, int64_t *count_out);
/* As Redis reads a float: all of the text, no space before it, in range, a number. No reply. */
bool kv_parse_long_double(struct slice text, long double *value_out);
/* A database number as MOVE and COPY read it; replies on an error. */
bool kv_parse_db(struct kv_request *request, struct slice text, uint32_t *db_out);
/* Absolute expiry from a positive count of seconds or milliseconds, relative or since 1970.
 * Replies "invalid expire time in 'name' command" (or not an integer) and returns false. */
enum kv_time_unit { KV_SECONDS, KV_MILLISECONDS };
bool kv_parse_expire(struct kv_request *request, struct slice text, enum kv_time_unit unit,
                     bool is_absolute, uint64_t *expire_ms_out);
/* A position of a bit that a string can have; with a width also "#n", n fields of so many bits.
 * Replies and returns false: bits.c. */
bool kv_parse_bit_offset(struct kv_request *request, struct slice text, uint32_t width,
                         uint64_t *offset_out);
void kv_reply_syntax_error(struct kv_request *request);
void kv_reply_expire_error(struct kv_request *request);
/* Would a string of old + more bytes be too long? Replies and returns false. */
bool kv_length_fits(struct kv_request *request, uint64_t old, uint64_t more);

/* SSCAN, HSCAN, ZSCAN: the cursor at argv[2], then the lookup, then options, as Redis looks at
 * them. Each replies on an error; the options of a missing key are not looked at: the reply is an
 * empty page, and false. */
struct kv_scan_options {
    uint64_t cursor;
    uint64_t count;
    struct slice pattern; /* NULL data: all. */
};
bool kv_scan_cursor_parse(struct kv_request *request, struct kv_scan_options *options_out);
bool kv_scan_options_parse(struct kv_request *request, const struct kv_object *object,
                           struct kv_scan_options *options);

/* ---- Whole keyspaces ---- */

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
