/* txn/api_many.c - many keys in one call of the C API. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "txn/api.h"

#include "engine/base/poison.h"

/* Shared by the shards, each of which reads its keys and fills in their results. */
struct many {
    const void *const *keys;
    const size_t *sizes;
    size_t count;
    const struct orbit *db;
    uint16_t *shards; /* Of key i. NULL with one shard. */
    struct orbit_result *results;
};

/* What one shard works on. */
struct many_part {
    struct many *many;
    struct slice *keys;
    struct lsm_value *values;
    uint32_t *indices; /* Of the caller's keys. */
    uint32_t count;
};

static bool
is_mine(const struct many *many, size_t i)
{
    return many->shards == NULL || many->shards[i] == shard_id();
}

static err_t
part_init(struct many_part *part, struct many *many, struct arena *arena)
{
    size_t count = 0;

    for (size_t i = 0; i < many->count; i++) {
        count += is_mine(many, i);
    }
    *part = (struct many_part){.many = many};
    part->keys = arena_alloc(arena, count * sizeof(*part->keys));
    part->values = arena_alloc(arena, count * sizeof(*part->values));
    part->indices = arena_alloc(arena, count * sizeof(*part->indices));
    if (part->keys == NULL || part->values == NULL || part->indices == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", count);
    }
    for (size_t i = 0; i < many->count; i++) {
        if (is_mine(many, i)) {
            part->keys[part->count] =
                api_key_encode(arena, slice_of(many->keys[i], many->sizes[i]));
            part->indices[part->count++] = (uint32_t)i;
        }
    }
    return ERR_OK;
}

static err_t
part_keep(const struct many_part *part)
{
    for (uint32_t i = 0; i < part->count; i++) {
        struct orbit_result *result = &part->many->results[part->indices[i]];
        const struct lsm_value *value = &part->values[i];

        result->error = value->is_found ? ORBIT_OK : ORBIT_NOT_FOUND;
        if (value->is_found) {
            result->size = value->value.size;
            result->value = api_value_new(value->value);
            if (result->value == NULL) {
                return err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes",
                               value->value.size);
            }
        }
    }
    return ERR_OK;
}

static YIELDS err_t
many_run(void *arg)
{
    struct many_part part;
    struct arena arena;
    lsn_t lsn = 0;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(part_init(&part, arg, &arena));
    if (part.count == 0) {
        goto out;
    }
    TRY(store_multi_get(store_self(), part.keys, part.count, &arena, part.values));
    for (uint32_t i = 0; i < part.count; i++) {
        lsn = MAX(lsn, part.values[i].lsn);
    }
    api_wait(lsn);
    err = part_keep(&part);
out:
    arena_fini(&arena);
    return err;
}

static err_t
many_shards(struct many *many)
{
    if (many->db->shards == 1) {
        return ERR_OK;
    }
    many->shards = mem_alloc(MEM_SESSIONS, many->count * sizeof(*many->shards));
    if (many->shards == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", many->count);
    }
    for (size_t i = 0; i < many->count; i++) {
        many->shards[i] = (uint16_t)api_shard_of(many->db, slice_of(many->keys[i], many->sizes[i]));
    }
    return ERR_OK;
}

static err_t
many_check(const void *const *keys, const size_t *sizes, size_t count)
{
    err_t err = ERR_OK;

    if (count > ORBIT_GET_MANY_MAX) {
        return err_set(ERR_LIMIT, "%zu keys are read at once; at most %d are possible", count,
                       ORBIT_GET_MANY_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        TRY(api_key_check(keys[i], sizes[i]));
    }
out:
    return err;
}

/* The results move to the caller, or are freed. */
static void
many_finish(struct many *many, bool is_ok, struct orbit_result *results)
{
    if (many->results != NULL && is_ok) {
        memcpy(results, many->results, many->count * sizeof(*results));
    }
    for (size_t i = 0; many->results != NULL && !is_ok && i < many->count; i++) {
        api_value_free(many->results[i].value);
    }
    mem_free(MEM_SESSIONS, many->results, many->count * sizeof(*many->results));
    if (many->shards != NULL) {
        mem_free(MEM_SESSIONS, many->shards, many->count * sizeof(*many->shards));
    }
}

int
orbit_get_many(struct orbit *db, const void *const *keys, const size_t *sizes, size_t count,
               struct orbit_result *results)
{
    struct many many = {.keys = keys, .sizes = sizes, .count = count, .db = db};
    err_t err;

    OBJ_CHECK(db, API_MAGIC);
    TRY(many_check(keys, sizes, count));
    if (count == 0) {
        goto out;
    }
    many.results = mem_zalloc(MEM_SESSIONS, count * sizeof(*many.results));
    if (many.results == NULL) {
        err = err_set(ERR_NO_MEMORY, "no memory to read %zu keys at once", count);
        goto out;
    }
    TRY(many_shards(&many));
    err = api_call_all(db, many_run, &many, 0);
out:
    many_finish(&many, err == ERR_OK, results);
    return api_result(err);
}
