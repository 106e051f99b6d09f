/* txn/api_txn_ops.c - reads, writes and locks of a transaction of the C API. */
#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "txn/api_txn.h"

#include "engine/base/poison.h"

/* ---- Reading. ---- */

struct get_call {
    orbit_keyspace keyspace;
    struct slice key;
    void *value; /* Out. */
    size_t size;
};

static YIELDS err_t
get_step(struct txn *txn, void *arg)
{
    struct get_call *call = arg;
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(txn_get(txn, slot_of_key(call->key), api_key_encode(&arena, call->keyspace, call->key),
                &arena, &value));
    if (!value.is_found) {
        err = ERR_NOT_FOUND;
        goto out;
    }
    call->value = api_value_new(value.value);
    call->size = value.value.size;
    if (call->value == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value.value.size);
    }
out:
    arena_fini(&arena);
    return err;
}

static err_t
key_check(orbit_keyspace keyspace, const void *key, size_t key_size)
{
    err_t err;

    TRY(api_keyspace_check(keyspace));
    err = api_key_check(key, key_size);
out:
    return err;
}

int
orbit_txn_get(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
              void **value_out, size_t *size_out)
{
    struct get_call call = {.keyspace = keyspace, .key = slice_of(key, key_size)};
    err_t err;

    TRY(key_check(keyspace, key, key_size));
    TRY(api_txn_call(txn, API_STATEMENT, call.key, get_step, &call));
    *value_out = call.value;
    *size_out = call.size;
out:
    return api_result(err);
}

static YIELDS err_t
many_ask(struct txn *txn, const struct api_many *many, struct arena *arena,
         struct lsm_value *values)
{
    struct txn_key *keys = arena_alloc(arena, many->count * sizeof(*keys));

    if (keys == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", many->count);
    }
    for (size_t i = 0; i < many->count; i++) {
        struct slice key = slice_of(many->keys[i], many->sizes[i]);

        keys[i].slot = slot_of_key(key);
        keys[i].key = api_key_encode(arena, many->keyspace, key);
    }
    return txn_multi_get(txn, keys, (uint32_t)many->count, arena, values);
}

err_t
api_many_step(struct txn *txn, void *arg)
{
    struct api_many *many = arg;
    struct lsm_value *values;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    values = arena_alloc(&arena, many->count * sizeof(*values));
    if (values == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", many->count);
        goto out;
    }
    TRY(many_ask(txn, many, &arena, values));
    for (size_t i = 0; i < many->count; i++) {
        TRY(api_many_keep(&many->results[i], &values[i]));
    }
out:
    arena_fini(&arena);
    return err;
}

int
orbit_txn_get_many(struct orbit_txn *txn, orbit_keyspace keyspace, const void *const *keys,
                   const size_t *sizes, size_t count, struct orbit_result *results)
{
    struct api_many many = {.keyspace = keyspace, .keys = keys, .sizes = sizes, .count = count};
    err_t err;

    TRY(api_keyspace_check(keyspace));
    TRY(api_many_begin(&many));
    if (count > 0) {
        err = api_txn_call(txn, API_STATEMENT, slice_of(keys[0], sizes[0]), api_many_step, &many);
    }
    api_many_end(&many, err == ERR_OK, results);
out:
    return api_result(err);
}

/* ---- Writing. ---- */

/* It changes nothing, so that the transaction goes on. */
static err_t
write_check(const struct txn *txn)
{
    return txn_is_read_only(txn)
               ? err_set(ERR_READ_ONLY, "a transaction that only reads cannot write")
               : ERR_OK;
}

/* The errors of a write are its own; of a transaction that locks nothing, the commit's. */
static YIELDS err_t
write_end(struct txn *txn)
{
    return txn_is_auto(txn) ? ERR_OK : txn_flush(txn);
}

struct put_call {
    orbit_keyspace keyspace;
    struct api_write write;
};

static YIELDS err_t
put_step(struct txn *txn, void *arg)
{
    const struct put_call *call = arg;
    err_t err;

    TRY(write_check(txn));
    api_txn_write(txn, call->keyspace, &call->write);
    err = write_end(txn);
out:
    return err;
}

int
orbit_txn_put(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
              const void *value, size_t value_size, uint64_t expire_ms)
{
    struct put_call call = {.keyspace = keyspace,
                            .write = {.key = slice_of(key, key_size),
                                      .value = slice_of(value, value_size),
                                      .expire_us = expire_ms * 1000}};
    err_t err;

    TRY(api_keyspace_check(keyspace));
    TRY(api_put_check(key, key_size, value, value_size, expire_ms));
    err = api_txn_call(txn, API_STATEMENT, call.write.key, put_step, &call);
out:
    return api_result(err);
}

int
orbit_txn_delete(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size)
{
    struct put_call call = {.keyspace = keyspace,
                            .write = {.key = slice_of(key, key_size), .is_delete = true}};
    err_t err;

    TRY(key_check(keyspace, key, key_size));
    err = api_txn_call(txn, API_STATEMENT, call.write.key, put_step, &call);
out:
    return api_result(err);
}

struct range_call {
    struct buf lower; /* Stored form. */
    struct buf upper;
};

static YIELDS err_t
range_step(struct txn *txn, void *arg)
{
    const struct range_call *call = arg;
    err_t err;

    TRY(write_check(txn));
    txn_delete_range_all(txn, buf_slice(&call->lower), buf_slice(&call->upper));
    err = write_end(txn);
out:
    return err;
}

int
orbit_txn_delete_range(struct orbit_txn *txn, orbit_keyspace keyspace, const void *lower,
                       size_t lower_size, const void *upper, size_t upper_size)
{
    struct mem_account *account = api_outside_enter();
    struct range_call call;
    err_t err;

    buf_init(&call.lower, MEM_SESSIONS);
    buf_init(&call.upper, MEM_SESSIONS);
    err = api_bound_append(&call.lower, keyspace, lower, lower_size, false);
    if (err == ERR_OK) {
        err = api_bound_append(&call.upper, keyspace, upper, upper_size, true);
    }
    api_outside_leave(account);
    if (err == ERR_OK && slice_compare(buf_slice(&call.lower), buf_slice(&call.upper)) < 0) {
        err = api_txn_call(txn, API_STATEMENT, slice_of(NULL, 0), range_step, &call);
    }
    account = api_outside_enter();
    buf_fini(&call.lower);
    buf_fini(&call.upper);
    api_outside_leave(account);
    return api_result(err);
}

/* ---- Locks. ---- */

struct lock_call {
    orbit_keyspace keyspace;
    struct slice key;
    enum lock_mode mode;
    enum lock_wait wait;
};

static YIELDS err_t
lock_step(struct txn *txn, void *arg)
{
    const struct lock_call *call = arg;
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = txn_lock(txn, slot_of_key(call->key), api_key_encode(&arena, call->keyspace, call->key),
                   call->mode, call->wait);
    arena_fini(&arena);
    return err;
}

int
orbit_txn_lock(struct orbit_txn *txn, orbit_keyspace keyspace, const void *key, size_t key_size,
               enum orbit_lock strength, enum orbit_lock_wait wait)
{
    static const enum lock_mode modes[] = {
        [ORBIT_LOCK_UPDATE] = LOCK_UPDATE,
        [ORBIT_LOCK_NO_KEY_UPDATE] = LOCK_NO_KEY_UPDATE,
        [ORBIT_LOCK_SHARE] = LOCK_SHARE,
        [ORBIT_LOCK_KEY_SHARE] = LOCK_KEY_SHARE,
    };
    static const enum lock_wait waits[] = {
        [ORBIT_WAIT] = LOCK_WAIT, [ORBIT_NOWAIT] = LOCK_NOWAIT, [ORBIT_SKIP] = LOCK_SKIP};
    struct lock_call call = {.keyspace = keyspace, .key = slice_of(key, key_size)};
    err_t err;

    TRY(key_check(keyspace, key, key_size));
    if ((size_t)strength >= ARRAY_COUNT(modes) || (size_t)wait >= ARRAY_COUNT(waits)) {
        err =
            err_set(ERR_INVALID, "unknown strength %d or way to wait %d", (int)strength, (int)wait);
        goto out;
    }
    call.mode = modes[strength];
    call.wait = waits[wait];
    err = api_txn_call(txn, API_STATEMENT, call.key, lock_step, &call);
out:
    return api_result(err);
}
