/* tests/unit/txn/store_fixture.c - see store_fixture.h. */
#include "tests/unit/txn/store_fixture.h"

#include <stdio.h>

struct sim_world *world;
struct store_options options;
struct store *store;

void
world_begin_seeded(uint64_t seed)
{
    struct sim_options sim;

    sim_options_init(&sim);
    world = sim_world_new(seed, &sim);
    options = (struct store_options){
        .dir = "shard-0",
        .memory_bytes = 1 << 20,
        .wal_segment_bytes = 128 << 10,
    };
}

void
world_begin(void)
{
    world_begin_seeded(3);
}

void
world_end(void)
{
    sim_world_free(&world);
}

static err_t
open_body(void *arg)
{
    (void)arg;
    return store_open(&options, &store);
}

err_t
life_try(void)
{
    err_t err;

    store = NULL;
    sim_world_boot(world, 1);
    err = sim_world_call(world, 0, open_body, NULL);
    if (err != ERR_OK) {
        cr_assert_null(store, "outputs must stay untouched on error");
        sim_world_stop(world); /* Asserts that the failed opening left nothing. */
    }
    return err;
}

void
life_begin(void)
{
    err_t err = life_try();

    cr_assert_eq(err, ERR_OK, "opening failed: %s", err_message(err));
}

static err_t
run_body(void *arg)
{
    void (**fn)(void) = arg;

    (*fn)();
    return ERR_OK;
}

void
life_run(void (*fn)(void))
{
    err_t err = sim_world_call(world, 0, run_body, &fn);

    cr_assert_eq(err, ERR_OK, "the body did not end: %s", err_message(err));
}

void
life_idle(uint64_t us)
{
    sim_world_run(world, NULL, NULL, us);
}

void
life_crash(enum sim_crash kind)
{
    sim_world_crash(world, kind);
    store = NULL;
}

static void
close_body(void)
{
    store_close(&store);
    cr_assert_null(store);
}

void
life_close(void)
{
    life_run(close_body);
    sim_world_stop(world);
}

static lsn_t
commit(struct store_batch *batch)
{
    lsn_t lsn = 0;
    err_t err = store_commit(store, batch, NULL, &lsn);

    cr_assert_eq(err, ERR_OK, "commit failed: %s", err_message(err));
    store_batch_fini(batch);
    return lsn;
}

lsn_t
put(const char *key, const char *value)
{
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_put(&batch, 1, slice_from_text(key), slice_from_text(value), 0);
    return commit(&batch);
}

void
put_durably(const char *key, const char *value)
{
    store_wait_durable(store, put(key, value));
}

void
delete_key(const char *key)
{
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_delete(&batch, 1, slice_from_text(key));
    commit(&batch);
}

static const char *
value_text(err_t err, const struct lsm_value *value)
{
    static char text[4096];

    cr_assert_eq(err, ERR_OK, "get failed: %s", err_message(err));
    if (!value->is_found) {
        return NULL;
    }
    snprintf(text, sizeof(text), "%.*s", (int)value->value.size, (const char *)value->value.data);
    return text;
}

const char *
get(const char *key)
{
    struct lsm_value value = {0};
    struct arena arena;
    const char *text;

    arena_init(&arena, MEM_SESSIONS);
    text = value_text(store_get(store, slice_from_text(key), &arena, &value), &value);
    arena_fini(&arena);
    return text;
}

const char *
get_at(const struct store_snapshot *snapshot, const char *key)
{
    struct lsm_value value = {0};
    struct arena arena;
    const char *text;

    arena_init(&arena, MEM_SESSIONS);
    text = value_text(store_get_at(store, snapshot, slice_from_text(key), &arena, &value), &value);
    arena_fini(&arena);
    return text;
}
