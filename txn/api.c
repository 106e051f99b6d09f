/* txn/api.c - opening, closing, errors and the way to a shard. No poison.h: this is the program's
 * side of the library, with its threads, folders and locks. */
#include "txn/api.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "txn/api_shards.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum {
    API_MEMORY_DEFAULT = 256 << 20,
    API_SHARD_MEMORY_MIN = 8 << 20,
    API_INTERVAL_MS_DEFAULT = 1000,
    API_VALUE_HEADER_BYTES = 16, /* Keeps the value aligned. */
};

#define API_RETENTION_BYTES_DEFAULT (UINT64_C(10) << 30)

/* ---- Errors. ---- */

/* Of the application's thread, as errno is; shards have their own diagnostics. */
static _Thread_local err_t api_last_error;

static const struct {
    err_t err;
    enum orbit_error error;
} api_errors[] = {
    {ERR_OK, ORBIT_OK},
    {ERR_NOT_FOUND, ORBIT_NOT_FOUND},
    {ERR_INVALID, ORBIT_INVALID},
    {ERR_LIMIT, ORBIT_LIMIT},
    {ERR_NO_MEMORY, ORBIT_NO_MEMORY},
    {ERR_NO_SPACE, ORBIT_NO_SPACE},
    {ERR_IO, ORBIT_IO},
    {ERR_CORRUPT, ORBIT_CORRUPT},
    {ERR_FORMAT, ORBIT_FORMAT},
    {ERR_CROSS_SHARD, ORBIT_CROSS_SHARD},
    {ERR_KERNEL, ORBIT_KERNEL},
    {ERR_BUSY, ORBIT_BUSY},
    {ERR_EXISTS, ORBIT_EXISTS},
    {ERR_UNSUPPORTED, ORBIT_UNSUPPORTED},
    {ERR_SERIALIZATION, ORBIT_SERIALIZATION},
    {ERR_DEADLOCK, ORBIT_DEADLOCK},
    {ERR_LOCK_TIMEOUT, ORBIT_LOCK_TIMEOUT},
    {ERR_SNAPSHOT_TOO_OLD, ORBIT_SNAPSHOT_TOO_OLD},
    {ERR_READ_ONLY, ORBIT_READ_ONLY},
    {ERR_TXN_ABORTED, ORBIT_TXN_ABORTED},
    {ERR_TIMEOUT, ORBIT_TIMEOUT},
    {ERR_IDLE_TIMEOUT, ORBIT_IDLE_TIMEOUT},
    {ERR_DENIED, ORBIT_DENIED},
};

int
api_result(err_t err)
{
    api_last_error = err;
    for (size_t i = 0; i < ARRAY_COUNT(api_errors); i++) {
        if (api_errors[i].err == err) {
            return (int)api_errors[i].error;
        }
    }
    return ORBIT_INTERNAL;
}

err_t
api_error_of(int error)
{
    for (size_t i = 0; i < ARRAY_COUNT(api_errors); i++) {
        if ((int)api_errors[i].error == error) {
            return api_errors[i].err;
        }
    }
    return ERR_OK;
}

const char *
orbit_message(void)
{
    return err_message(api_last_error);
}

const char *
orbit_error_name(int error)
{
    static const char *const names[] = {
        "ORBIT_OK",
        "ORBIT_NOT_FOUND",
        "ORBIT_INVALID",
        "ORBIT_LIMIT",
        "ORBIT_NO_MEMORY",
        "ORBIT_NO_SPACE",
        "ORBIT_IO",
        "ORBIT_CORRUPT",
        "ORBIT_FORMAT",
        "ORBIT_CROSS_SHARD",
        "ORBIT_KERNEL",
        "ORBIT_BUSY",
        "ORBIT_INTERNAL",
        "ORBIT_EXISTS",
        "ORBIT_UNSUPPORTED",
        "ORBIT_SERIALIZATION",
        "ORBIT_DEADLOCK",
        "ORBIT_LOCK_TIMEOUT",
        "ORBIT_SNAPSHOT_TOO_OLD",
        "ORBIT_READ_ONLY",
        "ORBIT_TXN_ABORTED",
        "ORBIT_TIMEOUT",
        "ORBIT_IDLE_TIMEOUT",
        "ORBIT_DENIED",
    };

    return error >= 0 && (size_t)error < ARRAY_COUNT(names) ? names[error] : "unknown";
}

/* ---- Calls. ---- */

struct api_request {
    api_fn fn;
    void *arg;
    err_t err;
    char message[ERR_MESSAGE_BYTES_MAX];
};

/* On the shard. The message is copied because it dies with the fiber. */
static YIELDS void
request_run(void *arg)
{
    struct api_request *request = arg;

    request->err = request->fn(request->arg);
    if (request->err != ERR_OK) {
        snprintf(request->message, sizeof(request->message), "%s", err_message(request->err));
    }
}

static err_t
request_result(const struct api_request *request)
{
    return request->err == ERR_OK ? ERR_OK : err_set(request->err, "%s", request->message);
}

/* A function of orbit_txn_run runs on a shard: there is no way to the shards from there. */
err_t
api_caller_check(const struct orbit *db)
{
    OBJ_CHECK(db, API_MAGIC);
    return shard_self() == NULL
               ? ERR_OK
               : err_set(ERR_INVALID, "a function that orbit_txn_run runs called the database; it "
                                      "may use its transaction only");
}

err_t
api_call(struct orbit *db, uint32_t shard, api_fn fn, void *arg)
{
    struct api_request request = {.fn = fn, .arg = arg};
    err_t err;

    TRY(api_caller_check(db));
    if (db->mode == ORBIT_INLINE) {
        return api_inline_call(db, fn, arg);
    }
    runtime_call(db->runtime, shard, MSG_FIBER, request_run, &request);
    err = request_result(&request);
out:
    return err;
}

err_t
api_call_all(struct orbit *db, api_fn fn, void *args, size_t arg_size)
{
    struct api_request *requests;
    err_t err;

    TRY(api_caller_check(db));
    if (db->mode == ORBIT_INLINE) {
        return api_inline_call(db, fn, args);
    }
    requests = mem_zalloc(MEM_SESSIONS, db->shards * sizeof(*requests));
    for (uint32_t i = 0; i < db->shards; i++) {
        requests[i].fn = fn;
        requests[i].arg = (char *)args + i * arg_size;
    }
    runtime_call_all(db->runtime, MSG_FIBER, request_run, requests, sizeof(*requests));
    for (uint32_t i = 0; i < db->shards && err == ERR_OK; i++) {
        err = request_result(&requests[i]);
    }
    mem_free(MEM_SESSIONS, requests, db->shards * sizeof(*requests));
out:
    return err;
}

void
api_wait(lsn_t lsn)
{
    struct store *store = store_self();

    if (lsn > 0 && store_durability(store) == WAL_SYNC) {
        store_wait_durable(store, lsn);
    }
}

/* ---- Keys and values. ---- */

err_t
api_key_check(const void *key, size_t size)
{
    if (key == NULL || size == 0) {
        return err_set(ERR_INVALID, "a key is empty");
    }
    if (size > ORBIT_KEY_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a key has %zu bytes; at most %d are possible", size,
                       ORBIT_KEY_BYTES_MAX);
    }
    return ERR_OK;
}

err_t
api_keyspace_check(orbit_keyspace keyspace)
{
    return keyspace <= ORBIT_KEYSPACE_MAX
               ? ERR_OK
               : err_set(ERR_INVALID, "keyspaces are numbered up to %u", ORBIT_KEYSPACE_MAX);
}

void
api_key_write(uint8_t *stored, orbit_keyspace keyspace, struct slice key)
{
    stored[0] = API_MODEL_TAG;
    put_be32(stored + 1, keyspace);
    if (key.size > 0) {
        memcpy(stored + API_KEY_PREFIX_BYTES, key.data, key.size);
    }
}

struct slice
api_key_encode(struct arena *arena, orbit_keyspace keyspace, struct slice key)
{
    uint8_t *stored = arena_alloc(arena, API_KEY_PREFIX_BYTES + key.size);

    api_key_write(stored, keyspace, key);
    return slice_of(stored, API_KEY_PREFIX_BYTES + key.size);
}

err_t
api_bound_append(struct buf *bound, orbit_keyspace keyspace, const void *data, size_t size,
                 bool is_upper)
{
    err_t err;

    TRY(api_keyspace_check(keyspace));
    if (size > ORBIT_KEY_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a bound has more than %d bytes", ORBIT_KEY_BYTES_MAX);
    }
    if (data == NULL) {
        keyspace += is_upper;
        size = 0;
    }
    api_key_write(buf_reserve(bound, API_KEY_PREFIX_BYTES + size), keyspace, slice_of(data, size));
    bound->size += API_KEY_PREFIX_BYTES + size;
out:
    return err;
}

struct mem_account *
api_outside_enter(void)
{
    struct mem_account *account = mem_account_current();

    mem_account_bind(NULL);
    return account;
}

void
api_outside_leave(struct mem_account *account)
{
    mem_account_bind(account);
}

void *
api_value_new(struct slice bytes)
{
    struct mem_account *account = api_outside_enter();
    size_t size = API_VALUE_HEADER_BYTES + bytes.size;
    uint8_t *block = mem_alloc(MEM_SESSIONS, size);

    api_outside_leave(account);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof(size));
    if (bytes.size > 0) {
        memcpy(block + API_VALUE_HEADER_BYTES, bytes.data, bytes.size);
    }
    return block + API_VALUE_HEADER_BYTES;
}

void
api_value_free(void *value)
{
    struct mem_account *account;
    uint8_t *block;
    size_t size;

    if (value == NULL) {
        return;
    }
    block = (uint8_t *)value - API_VALUE_HEADER_BYTES;
    memcpy(&size, block, sizeof(size));
    account = api_outside_enter();
    mem_free(MEM_SESSIONS, block, size);
    api_outside_leave(account);
}

void
orbit_free(void *value)
{
    api_value_free(value);
}

/* ---- Opening. ---- */

static YIELDS err_t
shard_open(void *arg)
{
    struct orbit *db = arg;
    char dir[32];
    struct store_options options = {
        .dir = dir,
        .memory_bytes = db->memory_bytes,
        .durability = db->durability,
        .interval_us = db->interval_us,
        .retention_us = db->retention_us,
        .retention_bytes = db->retention_bytes,
        .may_move = true,
        .lsm = {.block_bytes = db->block_bytes,
                .plain_levels = db->no_compression ? UINT32_MAX : 0,
                .guide_bytes = db->index_bytes},
    };
    struct store *store;
    struct txns *txns;
    err_t err;

    if (db->mode == ORBIT_INLINE) {
        TRY(api_shards_plan_inline(db));
    }
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    TRY(store_open(&options, &store));
    TRY(txns_open(&txns));
    if (db->mode == ORBIT_INLINE) {
        txns_auto_lock_timeout_set(UINT64_C(1000) * API_INLINE_LOCK_TIMEOUT_MS);
    }
out:
    return err;
}

static YIELDS err_t
shard_close(void *arg)
{
    struct store *store = store_self();
    struct txns *txns = txns_self();

    (void)arg;
    txns_close(&txns);
    store_close(&store);
    return ERR_OK;
}

static YIELDS void
shard_fini(void *arg)
{
    (void)shard_close(arg);
}

static err_t
options_apply(struct orbit *db, const struct orbit_options *options)
{
    db->wanted = options->shards != 0 ? options->shards : 1;
    db->mode = options->mode;
    db->durability = (enum wal_durability)options->durability;
    db->interval_us =
        1000 * (uint64_t)(options->interval_ms != 0 ? options->interval_ms
                                                    : (uint32_t)API_INTERVAL_MS_DEFAULT);
    if (options->dir == NULL || options->dir[0] == '\0') {
        return err_set(ERR_INVALID, "no folder was given");
    }
    if (options->mode != ORBIT_THREADS && options->mode != ORBIT_INLINE) {
        return err_set(ERR_INVALID, "unknown mode %d", (int)options->mode);
    }
    if ((unsigned)options->durability > ORBIT_NONE) {
        return err_set(ERR_INVALID, "unknown durability %d", (int)options->durability);
    }
    if (db->wanted > ORBIT_SHARDS_MAX || (options->mode == ORBIT_INLINE && db->wanted != 1)) {
        return err_set(ERR_INVALID, "%u shards: at most %d are possible, and one inline",
                       db->wanted, ORBIT_SHARDS_MAX);
    }
    db->block_bytes = options->block_bytes;
    db->no_compression = options->no_compression;
    db->retention_us = UINT64_C(1000000) * options->retention_s;
    return ERR_OK;
}

/* Each of the shards that run has its share. */
static err_t
options_share(struct orbit *db, const struct orbit_options *options)
{
    uint64_t memory =
        options->memory_bytes != 0 ? options->memory_bytes : (uint64_t)API_MEMORY_DEFAULT;

    if (memory / db->shards < API_SHARD_MEMORY_MIN) {
        return err_set(ERR_INVALID, "%llu bytes of memory for %u shards: at least %d each",
                       (unsigned long long)memory, db->shards, API_SHARD_MEMORY_MIN);
    }
    db->memory_bytes = memory / db->shards;
    db->retention_bytes =
        (options->retention_bytes != 0 ? options->retention_bytes : API_RETENTION_BYTES_DEFAULT) /
        db->shards;
    db->index_bytes = (options->index_bytes + db->shards - 1) / db->shards;
    return ERR_OK;
}

/* The folder, with the lock that orbit-server takes as well. */
static err_t
folder_take(struct orbit *db, const char *dir)
{
    char path[4096];

    if (mkdir(dir, 0750) != 0 && errno != EEXIST) {
        return err_set(ERR_IO, "cannot make the folder %s: %s", dir, strerror(errno));
    }
    if (snprintf(path, sizeof(path), "%s/LOCK", dir) >= (int)sizeof(path)) {
        return err_set(ERR_LIMIT, "the folder's name is too long");
    }
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (db->lock_fd < 0) {
        return err_set(ERR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(ERR_BUSY, "another process uses the folder %s", dir);
    }
    return ERR_OK;
}

static err_t
shards_start(struct orbit *db, const char *dir)
{
    struct runtime_options options = {
        .shards = db->shards,
        .data_dir = dir,
        .init = shard_open,
        .fini = shard_fini,
        .arg = db,
    };
    char message[ERR_MESSAGE_BYTES_MAX];
    err_t err;

    if (db->mode == ORBIT_INLINE) {
        return api_inline_open(db, dir, shard_open, db);
    }
    TRY(runtime_start(&options, &db->runtime));
    err = api_shards_open(db);
    if (err != ERR_OK) {
        snprintf(message, sizeof(message), "%s", err_message(err));
        api_shards_close(db);
        runtime_stop(&db->runtime);
        err = err_set(err, "%s", message);
    }
out:
    return err;
}

int
orbit_open(const struct orbit_options *options, struct orbit **db_out)
{
    struct orbit *db = MEM_NEW(MEM_SESSIONS, struct orbit);
    err_t err;

    db->magic = API_MAGIC;
    db->lock_fd = -1;
    db->owner = pthread_self();
    TRY(options_apply(db, options));
    TRY(folder_take(db, options->dir));
    TRY(api_shards_plan(db, options->dir));
    TRY(options_share(db, options));
    TRY(shards_start(db, options->dir));
    *db_out = db;
    db = NULL;
out:
    if (db != NULL) {
        if (db->lock_fd >= 0) {
            close(db->lock_fd);
        }
        MEM_FREE(MEM_SESSIONS, db);
    }
    return api_result(err);
}

void
orbit_close(struct orbit **db_ref)
{
    struct orbit *db = *db_ref;

    if (db == NULL) {
        return;
    }
    OBJ_CHECK(db, API_MAGIC);
    if (db->mode == ORBIT_INLINE) {
        ASSERT(pthread_equal(db->owner, pthread_self()));
        api_inline_close(db, shard_close, db);
    } else {
        api_shards_close(db);
        runtime_stop(&db->runtime);
    }
    close(db->lock_fd);
    db->magic = 0;
    MEM_FREE(MEM_SESSIONS, db);
    *db_ref = NULL;
}
