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
    API_KEYSPACE = 0,
    API_KEY_PREFIX_BYTES = 5,
};

struct runtime;
struct api_inline;

struct orbit {
    uint64_t magic;
    enum orbit_mode mode;
    uint32_t shards;
    int lock_fd;
    uint64_t memory_bytes; /* Of each shard. */
    enum wal_durability durability;
    uint64_t interval_us;
    pthread_t owner;            /* ORBIT_INLINE: who may call. */
    struct runtime *runtime;    /* ORBIT_THREADS */
    struct api_inline *inline_; /* ORBIT_INLINE */
};

typedef YIELDS err_t (*api_fn)(void *arg);

/* Errors: what fn returned, with its message in this thread's diagnostic; ERR_INVALID when the
 * wrong thread calls an inline database. */
err_t api_call(struct orbit *db, uint32_t shard, api_fn fn, void *arg);
/* On all shards at a time: fn(args + i * arg_size). The first error. */
err_t api_call_all(struct orbit *db, api_fn fn, void *args, size_t arg_size);
/* The last step of every public function: remembers the error for orbit_message. */
int api_result(err_t err);

uint32_t api_shard_of(const struct orbit *db, struct slice key);
/* ERR_INVALID, ERR_LIMIT. */
err_t api_key_check(const void *key, size_t size);
/* The stored form, in the arena. */
struct slice api_key_encode(struct arena *arena, struct slice key);
/* Where the keys of this API end: the upper bound of a scan without one. */
struct slice api_keys_end(void);

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
