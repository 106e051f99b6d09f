/* txn/api.h - what the files behind include/orbit.h share: reaching a shard from outside.
 *
 * A call is a function that runs in a fiber of a shard, with store_self() being the store. In
 * thread mode it travels as a message from the calling thread, which sleeps until it has ended;
 * inline the calling thread turns the shard itself until then. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "include/orbit.h"
#include "txn/store.h"

#define API_MAGIC UINT64_C(0x6f72626974617031)

enum {
    API_MODEL_TAG = 0x02, /* First byte of stored keys: docs/format/raw.md. */
    API_KEYSPACE = 0,     /* Of functions that take none. */
    API_KEY_PREFIX_BYTES = 5,
    /* The one thread cannot end the transaction that it waits for. */
    API_INLINE_LOCK_TIMEOUT_MS = 1000,
};

struct runtime;
struct api_inline;
struct api_async;

struct orbit {
    uint64_t magic;
    enum orbit_mode mode;
    uint32_t
        wanted; /* Shards that the program has asked for: transactions have their homes there. */
    uint32_t shards; /* That run: more, as long as others have data. */
    uint16_t *homes; /* [SLOT_COUNT], of ORBIT_THREADS: where calls for a slot go. */
    int lock_fd;
    uint64_t memory_bytes; /* Of each shard. */
    uint64_t index_bytes;  /* The same. */
    uint32_t block_bytes;
    bool no_compression;
    enum wal_durability durability;
    uint64_t interval_us;
    uint64_t retention_us;
    uint64_t retention_bytes;   /* Of each shard. */
    pthread_t owner;            /* ORBIT_INLINE: who may call. */
    struct runtime *runtime;    /* ORBIT_THREADS */
    struct api_inline *inline_; /* ORBIT_INLINE */
    struct api_async *async;    /* ORBIT_INLINE */
};

typedef YIELDS err_t (*api_fn)(void *arg);

/* ERR_INVALID: called by a function that runs on a shard. */
err_t api_caller_check(const struct orbit *db);
/* Errors: what fn returned, with its message in this thread's diagnostic; ERR_INVALID when the
 * wrong thread calls an inline database, or a function of orbit_txn_run. */
err_t api_call(struct orbit *db, uint32_t shard, api_fn fn, void *arg);
/* On all shards at a time: fn(args + i * arg_size). The first error. */
err_t api_call_all(struct orbit *db, api_fn fn, void *args, size_t arg_size);
/* The last step of every public function: remembers the error for orbit_message. */
int api_result(err_t err);
/* The other way round, of an enum orbit_error; ERR_OK of anything else. */
err_t api_error_of(int error);

/* Where the transaction of a key begins: near its data, once slots that move have come there. */
uint32_t api_shard_of(const struct orbit *db, struct slice key);
/* On a shard: does the key's slot lie here, and is not about to go? What is not a transaction may
 * then read it. */
bool api_key_is_here(struct slice key);
/* ERR_INVALID, ERR_LIMIT. */
err_t api_key_check(const void *key, size_t size);
/* Does nothing on this shard stand in the way of a write or read that takes no part in
 * transactions: a lock, a prepared part? On the shard. */
bool api_is_quiet(void);
/* ERR_INVALID, ERR_LIMIT: what cannot be put. */
err_t api_put_check(const void *key, size_t key_size, const void *value, size_t value_size,
                    uint64_t expire_ms);
err_t api_keyspace_check(orbit_keyspace keyspace);
/* The stored form: API_KEY_PREFIX_BYTES more than the key. */
void api_key_write(uint8_t *stored, orbit_keyspace keyspace, struct slice key);
/* The same, in the arena. */
struct slice api_key_encode(struct arena *arena, orbit_keyspace keyspace, struct slice key);
/* The stored form of a bound; of data NULL the keyspace's own. ERR_LIMIT, ERR_INVALID. */
err_t api_bound_append(struct buf *bound, orbit_keyspace keyspace, const void *data, size_t size,
                       bool is_upper);

/* In a call: waits as the level of the database wants it. */
YIELDS void api_wait(lsn_t lsn);
/* A copy that outlives the call and belongs to no shard: released by api_value_free. NULL when
 * there is no memory. Anywhere. */
void *api_value_new(struct slice bytes);
void api_value_free(void *value);
/* Memory that is made and grown in calls, but belongs to no shard. */
struct mem_account *api_outside_enter(void);
void api_outside_leave(struct mem_account *account);

/* ---- api_inline.c: one shard on the calling thread. ---- */
err_t api_inline_open(struct orbit *db, const char *dir, api_fn init, void *arg);
/* fini as the last call, then the shard ends. */
void api_inline_close(struct orbit *db, api_fn fini, void *arg);
err_t api_inline_call(struct orbit *db, api_fn fn, void *arg);
bool api_inline_poll(struct orbit *db);
/* ERR_INVALID when the calling thread is another than the owner. */
err_t api_inline_check(const struct orbit *db);

/* Work that need not suspend is done on the caller's stack, without a fiber or a turn:
 *     api_inline_enter(db, true);
 *     ... store_try_get(store_self(), key, api_inline_arena(db), ...)
 *     api_inline_leave(db, units);
 * Enter turns the shard first when that is due: now and then for the clock and, if may_turn, when
 * somebody else is runnable, when completions wait, or after some work of this kind. `units` are
 * those of fiber_work. The arena and the batch keep their memory from call to call; what is in the
 * arena stays until the next enter. */
void api_inline_enter(struct orbit *db, bool may_turn);
void api_inline_leave(struct orbit *db, uint32_t units);
void api_inline_bind(struct orbit *db, bool is_bound); /* The shard to this thread, alone. */
struct arena *api_inline_arena(struct orbit *db);
struct store_batch *api_inline_batch(struct orbit *db);
/* Turns the shard until the position is durable, if the level of the database wants that. Not
 * between enter and leave. */
void api_inline_wait(struct orbit *db, lsn_t lsn);
/* One turn; true when something is still runnable. If not, the caller may sleep until something
 * completes, or a time of the monotonic clock. */
bool api_inline_turn(struct orbit *db);
void api_inline_sleep(struct orbit *db, uint64_t deadline_us);
uint64_t api_inline_now_us(const struct orbit *db); /* Of the last turn. */

/* ---- api_async.c: operations under way, inline. ---- */
struct api_async *api_async_new(struct orbit *db);
/* Accepts NULL; clears the pointer. None may be under way. */
void api_async_free(struct api_async **async);
/* End all, and call their done functions. */
void api_async_drain(struct orbit *db);
/* Calls the done functions of all that have ended; how many. */
size_t api_async_deliver(struct orbit *db);
/* Does a started write wait for its turn? Then a further one must come after it: api_async_flush
 * turns the shard until none does. */
bool api_async_has_queued(const struct orbit *db);
void api_async_flush(struct orbit *db);

/* ---- api_ops.c ---- */
/* Key, value and expiry of a put, or a delete, as the only operation of the batch. */
struct api_write {
    struct slice key;
    struct slice value;
    uint64_t expire_us;
    bool is_delete;
};
void api_write_encode(const struct api_write *write, struct store_batch *batch,
                      struct arena *arena);
/* On the shard: the newest committed value of a key of keyspace 0; a write of one. Neither waits
 * for durability. */
YIELDS err_t api_read(struct slice user_key, struct arena *arena, struct lsm_value *value_out);
YIELDS err_t api_write_commit(const struct api_write *write, lsn_t *lsn_out);
/* Counted work, for api_inline_leave. */
enum { API_GET_UNITS = 10, API_PUT_UNITS = 20, API_RUN_UNITS = 5 };
