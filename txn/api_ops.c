/* txn/api_ops.c - single keys and batches of the C API. */
#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "txn/api_txn.h"

#include "engine/base/poison.h"

/* Memory of a batch that is being built: above this a put is refused. */
#define BATCH_MEMORY_MAX (ORBIT_VALUE_BYTES_MAX + (32 << 20))

#define BATCH_MAGIC UINT64_C(0x6f72626974626174)

/* ---- Reading. ---- */

struct get_request {
    struct slice key;
    void *value;
    size_t size;
};

static err_t
get_keep(struct get_request *request, const struct lsm_value *value)
{
    if (!value->is_found) {
        return ERR_NOT_FOUND;
    }
    request->value = api_value_new(value->value);
    request->size = value->value.size;
    return request->value != NULL
               ? ERR_OK
               : err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value->value.size);
}

struct read_step {
    struct slice user_key;
    struct slice key;
    struct arena *arena;
    struct lsm_value *value;
};

static YIELDS err_t
read_step(struct txn *txn, void *arg)
{
    const struct read_step *step = arg;

    return txn_get(txn, slot_of_key(step->user_key), step->key, step->arena, step->value);
}

err_t
api_read(struct slice user_key, struct arena *arena, struct lsm_value *value_out)
{
    struct read_step step = {
        .user_key = user_key,
        .key = api_key_encode(arena, API_KEYSPACE, user_key),
        .arena = arena,
        .value = value_out,
    };
    struct txn_done done = {0};
    err_t err;

    if (api_is_quiet() && api_key_is_here(user_key)) {
        return store_get(store_self(), step.key, arena, value_out);
    }
    err = api_auto(true, NULL, DEADLINE_NONE, read_step, &step, &done);
    value_out->lsn = MAX(value_out->lsn, done.lsn);
    return err;
}

static YIELDS err_t
get_run(void *arg)
{
    struct get_request *request = arg;
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(api_read(request->key, &arena, &value));
    api_wait(value.lsn); /* Also of a delete: what was shown must not be undone. */
    err = get_keep(request, &value);
out:
    arena_fini(&arena);
    return err;
}

/* Inline, and if nothing has to be read from disk. */
static err_t
get_at_once(struct orbit *db, struct get_request *request, bool *is_done)
{
    struct lsm_value value = {0};
    struct arena *arena;
    err_t err;

    TRY(api_inline_check(db));
    api_inline_enter(db, true);
    arena = api_inline_arena(db);
    if (api_is_quiet()) {
        err = store_try_get(store_self(), api_key_encode(arena, API_KEYSPACE, request->key), arena,
                            &value, is_done);
    }
    if (err == ERR_OK && *is_done) {
        err = get_keep(request, &value);
    }
    api_inline_leave(db, API_GET_UNITS);
    if (*is_done) {
        api_inline_wait(db, value.lsn);
    }
out:
    return err;
}

int
orbit_get(struct orbit *db, const void *key, size_t key_size, void **value_out, size_t *size_out)
{
    struct get_request request = {.key = slice_of(key, key_size)};
    bool is_done = false;
    err_t err;

    OBJ_CHECK(db, API_MAGIC);
    TRY(api_key_check(key, key_size));
    if (db->mode == ORBIT_INLINE) {
        TRY(get_at_once(db, &request, &is_done));
    }
    if (!is_done) {
        TRY(api_call(db, api_shard_of(db, request.key), get_run, &request));
    }
    *value_out = request.value;
    *size_out = request.size;
out:
    return api_result(err);
}

/* ---- Writing one key. ---- */

void
api_write_encode(const struct api_write *write, struct store_batch *batch, struct arena *arena)
{
    uint16_t slot = slot_of_key(write->key);
    struct slice key = api_key_encode(arena, API_KEYSPACE, write->key);

    store_batch_clear(batch);
    if (write->is_delete) {
        store_batch_delete(batch, slot, key);
    } else {
        store_batch_put(batch, slot, key, write->value, write->expire_us);
    }
}

void
api_txn_write(struct txn *txn, orbit_keyspace keyspace, const struct api_write *write)
{
    uint16_t slot = slot_of_key(write->key);
    struct arena arena;
    struct slice key;

    arena_init(&arena, MEM_SESSIONS);
    key = api_key_encode(&arena, keyspace, write->key);
    if (write->is_delete) {
        txn_delete(txn, slot, key);
    } else {
        txn_put(txn, slot, key, write->value, write->expire_us);
    }
    arena_fini(&arena);
}

static YIELDS err_t
write_step(struct txn *txn, void *arg)
{
    api_txn_write(txn, API_KEYSPACE, arg);
    return ERR_OK;
}

err_t
api_write_commit(const struct api_write *write, lsn_t *lsn_out)
{
    struct txn_done done = {0};
    err_t err;

    TRY(api_auto(false, NULL, DEADLINE_NONE, write_step, (void *)write, &done));
    *lsn_out = done.lsn;
out:
    return err;
}

static YIELDS err_t
write_run(void *arg)
{
    lsn_t lsn = 0;
    err_t err;

    TRY(api_write_commit(arg, &lsn));
    api_wait(lsn);
out:
    return err;
}

/* Inline, and if there is room for it. */
static err_t
write_at_once(struct orbit *db, const struct api_write *write, bool *is_done)
{
    struct store_batch *batch;
    lsn_t lsn = 0;
    err_t err;

    TRY(api_inline_check(db));
    api_async_flush(db);
    api_inline_enter(db, true);
    batch = api_inline_batch(db);
    api_write_encode(write, batch, api_inline_arena(db));
    *is_done = api_is_quiet() && store_commit_is_immediate(store_self(), batch);
    if (*is_done) {
        err = store_commit(store_self(), batch, NULL, &lsn);
    }
    api_inline_leave(db, API_PUT_UNITS);
    if (*is_done) {
        api_inline_wait(db, lsn);
    }
out:
    return err;
}

static err_t
write_one(struct orbit *db, const struct api_write *write)
{
    bool is_done = false;
    err_t err;

    OBJ_CHECK(db, API_MAGIC);
    if (db->mode == ORBIT_INLINE) {
        TRY(write_at_once(db, write, &is_done));
    }
    if (!is_done) {
        TRY(api_call(db, api_shard_of(db, write->key), write_run, (void *)write));
    }
    err = ERR_OK;
out:
    return err;
}

err_t
api_put_check(const void *key, size_t key_size, const void *value, size_t value_size,
              uint64_t expire_ms)
{
    if (value == NULL && value_size > 0) {
        return err_set(ERR_INVALID, "no value was given");
    }
    if (value_size > ORBIT_VALUE_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a value has %zu bytes; at most %zu are possible", value_size,
                       ORBIT_VALUE_BYTES_MAX);
    }
    if (expire_ms > UINT64_MAX / 1000) {
        return err_set(ERR_INVALID, "the time of expiry is out of range");
    }
    return api_key_check(key, key_size);
}

int
orbit_put(struct orbit *db, const void *key, size_t key_size, const void *value, size_t value_size,
          uint64_t expire_ms)
{
    struct api_write write = {
        .key = slice_of(key, key_size),
        .value = slice_of(value, value_size),
        .expire_us = expire_ms * 1000,
    };
    err_t err;

    TRY(api_put_check(key, key_size, value, value_size, expire_ms));
    TRY(write_one(db, &write));
out:
    return api_result(err);
}

int
orbit_delete(struct orbit *db, const void *key, size_t key_size)
{
    struct api_write write = {.key = slice_of(key, key_size), .is_delete = true};
    err_t err;

    TRY(api_key_check(key, key_size));
    TRY(write_one(db, &write));
out:
    return api_result(err);
}

/* ---- Batches. Built outside of shards, as a list of
 *     struct batch_op | key | value
 * and written into a commit by the shard. ---- */

struct batch_op {
    uint64_t value_size;
    uint64_t expire_us;
    uint32_t key_size;
    orbit_keyspace keyspace;
    bool is_delete;
};

struct orbit_batch {
    uint64_t magic;
    struct buf ops;
    orbit_keyspace keyspace; /* Of what follows. */
    err_t error;             /* The first one. */
};

struct orbit_batch *
orbit_batch_new(void)
{
    struct orbit_batch *batch = MEM_NEW(MEM_SESSIONS, struct orbit_batch);

    batch->magic = BATCH_MAGIC;
    buf_init(&batch->ops, MEM_SESSIONS);
    return batch;
}

void
orbit_batch_free(struct orbit_batch **batch_ref)
{
    struct orbit_batch *batch = *batch_ref;

    if (batch == NULL) {
        return;
    }
    OBJ_CHECK(batch, BATCH_MAGIC);
    batch->magic = 0;
    buf_fini(&batch->ops);
    MEM_FREE(MEM_SESSIONS, batch);
    *batch_ref = NULL;
}

void
orbit_batch_clear(struct orbit_batch *batch)
{
    OBJ_CHECK(batch, BATCH_MAGIC);
    buf_clear(&batch->ops);
    batch->keyspace = API_KEYSPACE;
    batch->error = ERR_OK;
}

int
orbit_batch_keyspace(struct orbit_batch *batch, orbit_keyspace keyspace)
{
    err_t err;

    OBJ_CHECK(batch, BATCH_MAGIC);
    err = api_keyspace_check(keyspace);
    if (err == ERR_OK) {
        batch->keyspace = keyspace;
    }
    batch->error = batch->error != ERR_OK ? batch->error : err;
    return api_result(err);
}

static err_t
batch_append(struct orbit_batch *batch, const struct batch_op *op, const void *key,
             const void *value)
{
    size_t bytes = sizeof(*op) + op->key_size + op->value_size;

    if (bytes > BATCH_MEMORY_MAX - MIN(batch->ops.size, BATCH_MEMORY_MAX)) {
        return err_set(ERR_LIMIT, "a batch holds more than %zu bytes", (size_t)BATCH_MEMORY_MAX);
    }
    if (!buf_try_reserve(&batch->ops, bytes)) {
        return err_set(ERR_NO_MEMORY, "no memory for %zu more bytes of a batch", bytes);
    }
    buf_append(&batch->ops, op, sizeof(*op));
    buf_append(&batch->ops, key, op->key_size);
    buf_append(&batch->ops, value, op->value_size);
    return ERR_OK;
}

int
orbit_batch_put(struct orbit_batch *batch, const void *key, size_t key_size, const void *value,
                size_t value_size, uint64_t expire_ms)
{
    struct batch_op op = {
        .value_size = value_size, .expire_us = expire_ms * 1000, .key_size = (uint32_t)key_size};
    err_t err;

    OBJ_CHECK(batch, BATCH_MAGIC);
    op.keyspace = batch->keyspace;
    TRY(api_put_check(key, key_size, value, value_size, expire_ms));
    TRY(batch_append(batch, &op, key, value));
out:
    batch->error = batch->error != ERR_OK ? batch->error : err;
    return api_result(err);
}

int
orbit_batch_delete(struct orbit_batch *batch, const void *key, size_t key_size)
{
    struct batch_op op = {.key_size = (uint32_t)key_size, .is_delete = true};
    err_t err;

    OBJ_CHECK(batch, BATCH_MAGIC);
    op.keyspace = batch->keyspace;
    TRY(api_key_check(key, key_size));
    TRY(batch_append(batch, &op, key, NULL));
out:
    batch->error = batch->error != ERR_OK ? batch->error : err;
    return api_result(err);
}

/* Moves *at behind the op; false at the end. */
static bool
batch_next(const struct orbit_batch *batch, size_t *at, struct batch_op *op, struct slice *key,
           struct slice *value)
{
    if (*at == batch->ops.size) {
        return false;
    }
    memcpy(op, batch->ops.data + *at, sizeof(*op));
    *key = slice_of(batch->ops.data + *at + sizeof(*op), op->key_size);
    *value = slice_of(key->data + key->size, op->value_size);
    *at += sizeof(*op) + op->key_size + op->value_size;
    return true;
}

static YIELDS err_t
batch_step(struct txn *txn, void *arg)
{
    const struct orbit_batch *batch = arg;
    struct api_write write;
    struct batch_op op;
    size_t at = 0;

    while (batch_next(batch, &at, &op, &write.key, &write.value)) {
        write.expire_us = op.expire_us;
        write.is_delete = op.is_delete;
        api_txn_write(txn, op.keyspace, &write);
    }
    return ERR_OK;
}

static YIELDS err_t
batch_commit_run(void *arg)
{
    struct txn_done done = {0};
    err_t err;

    TRY(api_auto(false, NULL, DEADLINE_NONE, batch_step, arg, &done));
    api_wait(done.lsn);
out:
    return err;
}

/* That of the first key. */
static uint32_t
batch_home(const struct orbit *db, const struct orbit_batch *batch)
{
    struct batch_op op;
    struct slice key = {0};
    struct slice value;
    size_t at = 0;

    (void)batch_next(batch, &at, &op, &key, &value);
    return api_shard_of(db, key);
}

int
orbit_batch_commit(struct orbit *db, struct orbit_batch *batch)
{
    err_t err;

    OBJ_CHECK(batch, BATCH_MAGIC);
    if (batch->error != ERR_OK) {
        err = err_set(batch->error, "a put or delete of this batch failed: it was not committed");
        goto out;
    }
    err = ERR_OK;
    if (batch->ops.size > 0 && db->mode == ORBIT_INLINE) {
        TRY(api_inline_check(db));
        api_async_flush(db);
    }
    if (batch->ops.size > 0) {
        TRY(api_call(db, batch_home(db, batch), batch_commit_run, batch));
    }
out:
    return api_result(err);
}
