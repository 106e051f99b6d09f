/* txn/api_many.c - many keys in one call of the C API. On one shard on which nothing is locked or
 * undecided they are read at once; otherwise by a transaction that reads. */
#include <string.h>

#include "engine/base/assert.h"
#include "txn/api_txn.h"

#include "engine/base/poison.h"

err_t
api_many_keep(struct orbit_result *result, const struct lsm_value *value)
{
    result->error = value->is_found ? ORBIT_OK : ORBIT_NOT_FOUND;
    if (value->is_found) {
        result->size = value->value.size;
        result->value = api_value_new(value->value);
        if (result->value == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", value->value.size);
        }
    }
    return ERR_OK;
}

err_t
api_many_begin(struct api_many *many)
{
    struct mem_account *account;
    err_t err = ERR_OK;

    if (many->count > ORBIT_GET_MANY_MAX) {
        return err_set(ERR_LIMIT, "%zu keys are read at once; at most %d are possible", many->count,
                       ORBIT_GET_MANY_MAX);
    }
    for (size_t i = 0; i < many->count; i++) {
        TRY(api_key_check(many->keys[i], many->sizes[i]));
    }
    if (many->count > 0) {
        account = api_outside_enter();
        many->results = mem_zalloc(MEM_SESSIONS, many->count * sizeof(*many->results));
        api_outside_leave(account);
    }
out:
    return err;
}

void
api_many_end(struct api_many *many, bool is_ok, struct orbit_result *results)
{
    struct mem_account *account;

    if (many->results == NULL) {
        return;
    }
    if (is_ok) {
        memcpy(results, many->results, many->count * sizeof(*results));
    }
    for (size_t i = 0; !is_ok && i < many->count; i++) {
        api_value_free(many->results[i].value);
    }
    account = api_outside_enter();
    mem_free(MEM_SESSIONS, many->results, many->count * sizeof(*many->results));
    api_outside_leave(account);
    many->results = NULL;
}

/* All on this shard, and nothing stands in the way. */
static YIELDS err_t
quiet_run(struct api_many *many)
{
    struct slice *keys;
    struct lsm_value *values;
    struct arena arena;
    lsn_t lsn = 0;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    keys = arena_alloc(&arena, many->count * sizeof(*keys));
    values = arena_alloc(&arena, many->count * sizeof(*values));
    if (keys == NULL || values == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", many->count);
        goto out;
    }
    for (size_t i = 0; i < many->count; i++) {
        keys[i] = api_key_encode(&arena, many->keyspace, slice_of(many->keys[i], many->sizes[i]));
    }
    TRY(store_multi_get(store_self(), keys, (uint32_t)many->count, &arena, values));
    for (size_t i = 0; i < many->count; i++) {
        lsn = MAX(lsn, values[i].lsn);
    }
    api_wait(lsn);
    for (size_t i = 0; i < many->count; i++) {
        TRY(api_many_keep(&many->results[i], &values[i]));
    }
out:
    arena_fini(&arena);
    return err;
}

static bool
all_are_here(const struct api_many *many)
{
    for (size_t i = 0; i < many->count; i++) {
        if (!api_key_is_here(slice_of(many->keys[i], many->sizes[i]))) {
            return false;
        }
    }
    return true;
}

static YIELDS err_t
one_shard_run(void *arg)
{
    struct txn_done done = {0};
    err_t err;

    if (api_is_quiet() && all_are_here(arg)) {
        return quiet_run(arg);
    }
    TRY(api_auto(true, NULL, DEADLINE_NONE, api_many_step, arg, &done));
    api_wait(done.lsn);
out:
    return err;
}

static YIELDS err_t
shards_run(void *arg)
{
    struct txn_done done = {0};
    err_t err;

    TRY(api_auto(true, NULL, DEADLINE_NONE, api_many_step, arg, &done));
    api_wait(done.lsn);
out:
    return err;
}

static bool
is_on_one_shard(const struct orbit *db, const struct api_many *many, uint32_t *shard_out)
{
    *shard_out = api_shard_of(db, slice_of(many->keys[0], many->sizes[0]));
    for (size_t i = 1; i < many->count && db->shards > 1; i++) {
        if (api_shard_of(db, slice_of(many->keys[i], many->sizes[i])) != *shard_out) {
            return false;
        }
    }
    return true;
}

int
orbit_get_many(struct orbit *db, const void *const *keys, const size_t *sizes, size_t count,
               struct orbit_result *results)
{
    struct api_many many = {.keyspace = API_KEYSPACE, .keys = keys, .sizes = sizes, .count = count};
    uint32_t shard;
    bool is_one;
    err_t err;

    OBJ_CHECK(db, API_MAGIC);
    TRY(api_many_begin(&many));
    if (count > 0) {
        is_one = is_on_one_shard(db, &many, &shard);
        err = api_call(db, shard, is_one ? one_shard_run : shards_run, &many);
    }
    api_many_end(&many, err == ERR_OK, results);
out:
    return api_result(err);
}
