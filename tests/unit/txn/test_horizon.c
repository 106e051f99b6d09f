/* tests/unit/txn/test_horizon.c - what is kept for snapshots of all shards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/canary.h"
#include "engine/base/prng.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "lsm/internal.h"
#include "tests/lib/fiber_test.h"
#include "txn/internal.h"

TestSuite(horizon, .timeout = 120);

enum { SHARDS = 3, WAIT_US = 100000 };

/* ---- Stores on all shards. ---- */

static uint64_t retention_us;
static uint64_t retention_bytes;

static void
store_begin(void *arg)
{
    struct store_options options = {.retention_us = retention_us,
                                    .retention_bytes = retention_bytes};
    struct store *store = NULL;
    char dir[24];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    err = store_open(&options, &store);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

static void
store_end(void *arg)
{
    struct store *store = store_self();

    (void)arg;
    store_close(&store);
}

static void
stores_begin(uint64_t retention)
{
    retention_us = retention;
    msg_call_all(MSG_FIBER, store_begin, NULL, 0);
}

static void
stores_end(void)
{
    msg_call_all(MSG_FIBER, store_end, NULL, 0);
}

/* ---- What is done on a shard. ---- */

struct put {
    const char *value;
    uint64_t ts;
};

static void
put_hot(void *arg)
{
    struct put *put = arg;
    struct store_batch batch;

    store_batch_init(&batch);
    store_batch_put(&batch, 1, SLICE("hot"), slice_from_text(put->value), 0);
    cr_assert_eq(store_commit(store_self(), &batch, &put->ts, NULL), ERR_OK);
    store_batch_fini(&batch);
}

static uint64_t
put_on(uint32_t shard, const char *value)
{
    struct put put = {.value = value};

    msg_call(shard, MSG_FIBER, put_hot, &put);
    return put.ts;
}

struct look {
    uint64_t ts;
    err_t err;
    bool is_found;
    char value[32];
};

static void
look_at(void *arg)
{
    struct look *look = arg;
    struct lsm_value value = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    look->err = lsm_get(store_lsm(store_self()), SLICE("hot"), look->ts, &arena, &value);
    look->is_found = look->err == ERR_OK && value.is_found;
    if (look->is_found) {
        snprintf(look->value, sizeof(look->value), "%.*s", (int)value.value.size,
                 (const char *)value.value.data);
    }
    arena_fini(&arena);
}

static void
expect_on(uint32_t shard, uint64_t ts, const char *value)
{
    struct look look = {.ts = ts};

    msg_call(shard, MSG_FIBER, look_at, &look);
    cr_assert_eq(look.err, ERR_OK, "shard %u at %llu: %s", shard, (unsigned long long)ts,
                 err_name(look.err));
    cr_assert_eq(look.is_found, value != NULL);
    cr_assert(value == NULL || strcmp(look.value, value) == 0, "%s, not %s", look.value, value);
}

static err_t
error_on(uint32_t shard, uint64_t ts)
{
    struct look look = {.ts = ts};

    msg_call(shard, MSG_FIBER, look_at, &look);
    return look.err;
}

struct seen {
    uint64_t horizon;
    uint64_t versions;
    uint32_t held;
};

static void
see(void *arg)
{
    struct seen *seen = arg;
    const struct lsm *lsm = store_lsm(store_self());

    *seen = (struct seen){.horizon = lsm->snapshots.horizon,
                          .versions = lsm->active->versions,
                          .held = lsm->snapshots.count};
}

static struct seen
seen_on(uint32_t shard)
{
    struct seen seen;

    msg_call(shard, MSG_INLINE, see, &seen);
    return seen;
}

static void
hold(void *arg)
{
    store_snapshot_take(store_self(), arg);
}

static void
release(void *arg)
{
    store_snapshot_drop(store_self(), arg);
}

static void
overwrite_for(uint32_t shard, uint64_t us)
{
    uint64_t end_us = shard_now_us() + us;

    while (shard_now_us() < end_us) {
        put_on(shard, "again");
        cr_assert_eq(fiber_sleep_us(100), ERR_OK);
    }
}

/* ---- Tests. ---- */

FIBER_TEST(horizon, on_one_shard_it_follows_each_commit)
{
    stores_begin(0);
    for (uint32_t i = 0; i < 100; i++) {
        cr_assert_eq(put_on(0, "value"), seen_on(0).horizon);
        cr_assert_eq(seen_on(0).versions, 1);
    }
    stores_end();
}

FIBER_TEST_ON(horizon, idle_shards_do_not_hold_it_back, SHARDS)
{
    uint64_t last;

    stores_begin(0);
    overwrite_for(1, WAIT_US);
    last = put_on(1, "last");
    cr_assert_leq(seen_on(1).versions, 4000);
    cr_assert_gt(seen_on(1).horizon, last - (UINT64_C(50000) << CLOCK_COUNTER_BITS));
    cr_assert_eq(fiber_sleep_us(WAIT_US), ERR_OK);
    cr_assert_geq(seen_on(1).horizon, last);
    overwrite_for(1, 1000000);
    cr_assert_leq(seen_on(1).versions, 4000, "as many as come while the horizon lags");
    stores_end();
}

FIBER_TEST_ON(horizon, a_snapshot_on_one_shard_is_kept_on_all, SHARDS)
{
    struct store_snapshot snapshot;

    stores_begin(0);
    put_on(0, "old");
    put_on(2, "old");
    msg_call(1, MSG_INLINE, hold, &snapshot);
    for (uint32_t i = 0; i < 10; i++) {
        overwrite_for(0, 30000);
        overwrite_for(2, 30000);
        expect_on(0, snapshot.held.ts, "old");
        expect_on(1, snapshot.held.ts, NULL);
        expect_on(2, snapshot.held.ts, "old");
    }
    msg_call(1, MSG_INLINE, release, &snapshot);
    overwrite_for(0, 3000000);
    cr_assert_eq(error_on(0, snapshot.held.ts), ERR_SNAPSHOT_TOO_OLD);
    for (uint32_t i = 0; i < SHARDS; i++) {
        cr_assert_eq(seen_on(i).held, 0, "shard %u holds a snapshot for nobody", i);
    }
    stores_end();
}

FIBER_TEST_ON(horizon, a_shard_that_goes_by_its_own_clock_loses_what_another_reads, SHARDS)
{
    struct store_snapshot snapshot;

    canary_active = CANARY_HORIZON_LOCAL;
    stores_begin(0);
    put_on(0, "old");
    msg_call(1, MSG_INLINE, hold, &snapshot);
    overwrite_for(0, 50000);
    cr_assert_eq(error_on(0, snapshot.held.ts), ERR_SNAPSHOT_TOO_OLD);
    msg_call(1, MSG_INLINE, release, &snapshot);
    stores_end();
    canary_active = CANARY_NONE;
}

FIBER_TEST_ON(horizon, a_snapshot_that_is_held_for_long_costs_one_version_of_each_key, SHARDS)
{
    struct store_snapshot snapshot;

    stores_begin(0);
    put_on(0, "old");
    msg_call(1, MSG_INLINE, hold, &snapshot);
    for (uint32_t i = 0; i < 10; i++) {
        overwrite_for(0, 200000);
        expect_on(0, snapshot.held.ts, "old");
    }
    cr_assert_gt(seen_on(0).horizon, snapshot.held.ts, "others hold it as well");
    cr_assert_leq(seen_on(0).versions, 1000);
    cr_assert_eq(seen_on(0).held, 1);
    msg_call(1, MSG_INLINE, release, &snapshot);
    overwrite_for(0, 3000000);
    cr_assert_eq(seen_on(0).held, 0);
    stores_end();
}

FIBER_TEST_ON(horizon, what_lies_within_the_retention_is_kept, SHARDS)
{
    uint64_t ts[20];

    stores_begin(500000);
    for (uint32_t i = 0; i < 20; i++) {
        char value[8];

        snprintf(value, sizeof(value), "%u", i);
        ts[i] = put_on(i % SHARDS, value);
        cr_assert_eq(fiber_sleep_us(20000), ERR_OK);
    }
    for (uint32_t i = 0; i < 20; i++) { /* The first was written 400 ms ago. */
        char value[8];

        snprintf(value, sizeof(value), "%u", i);
        expect_on(i % SHARDS, ts[i], value);
        cr_assert_geq(ts[i], store_self()->horizon.word);
    }
    overwrite_for(0, 700000);
    cr_assert_eq(error_on(0, ts[0]), ERR_SNAPSHOT_TOO_OLD);
    cr_assert_lt(ts[0], horizon_oldest(&store_self()->horizon));
    stores_end();
}

FIBER_TEST(horizon, retention_holds_on_a_single_shard_too)
{
    uint64_t first, second;

    stores_begin(500000);
    first = put_on(0, "first");
    cr_assert_eq(fiber_sleep_us(100000), ERR_OK);
    second = put_on(0, "second");
    expect_on(0, first, "first");
    expect_on(0, second - 1, "first");
    cr_assert_leq(horizon_oldest(&store_self()->horizon), first);
    cr_assert_eq(fiber_sleep_us(4000000), ERR_OK);
    cr_assert_geq(seen_on(0).horizon, second, "also while nothing is written");
    cr_assert_eq(error_on(0, first), ERR_SNAPSHOT_TOO_OLD);
    expect_on(0, LSM_TS_MAX, "second");
    stores_end();
}

static void
history_see(void *arg)
{
    store_history_get(store_self(), arg);
}

static struct store_history
history_on(uint32_t shard)
{
    struct store_history history;

    msg_call(shard, MSG_INLINE, history_see, &history);
    return history;
}

FIBER_TEST_ON(horizon, beyond_the_limit_in_bytes_the_oldest_history_goes_on_all_shards, SHARDS)
{
    uint64_t first, late;

    retention_bytes = 256 << 10;
    stores_begin(UINT64_C(3600) * 1000000);
    retention_bytes = 0;
    first = put_on(1, "first");
    overwrite_for(1, 20000);
    expect_on(1, first, "first");
    cr_assert_eq(history_on(0).cuts, 0);
    overwrite_for(0, 4000000);
    cr_assert_gt(history_on(0).cuts, 0);
    cr_assert_leq(history_on(0).log_bytes, (256 << 10) * 5 / 4);
    cr_assert_eq(error_on(0, first), ERR_SNAPSHOT_TOO_OLD);
    overwrite_for(1, 50000);
    cr_assert_eq(error_on(1, first), ERR_SNAPSHOT_TOO_OLD, "a reader needs all shards");
    cr_assert_lt(first >> CLOCK_COUNTER_BITS, history_on(1).from_us);
    late = put_on(0, "late");
    put_on(0, "later");
    expect_on(0, late, "late");
    stores_end();
}

static void
retention_set(void *arg)
{
    store_retention_set(store_self(), *(uint64_t *)arg, 0);
}

static void
retention_change(uint64_t us)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        msg_call(shard, MSG_INLINE, retention_set, &us);
    }
}

static void
retention_changes(void)
{
    uint64_t before, within;

    stores_begin(0);
    before = put_on(0, "before");
    put_on(0, "hides it");
    cr_assert_eq(fiber_sleep_us(100000), ERR_OK);
    retention_change(10000000);
    cr_assert_eq(fiber_sleep_us(100000), ERR_OK);
    within = put_on(0, "within");
    overwrite_for(0, 100000);
    expect_on(0, within, "within");
    cr_assert_lt(before >> CLOCK_COUNTER_BITS, history_on(0).from_us);
    cr_assert_geq(within >> CLOCK_COUNTER_BITS, history_on(0).from_us);
    retention_change(0);
    overwrite_for(0, 100000);
    cr_assert_eq(error_on(0, within), ERR_SNAPSHOT_TOO_OLD);
    stores_end();
}

FIBER_TEST(horizon, a_retention_may_be_set_and_lifted_while_one_shard_serves)
{
    retention_changes();
}

FIBER_TEST_ON(horizon, a_retention_may_be_set_and_lifted_while_several_serve, SHARDS)
{
    retention_changes();
}

/* As an answer of a shard whose clock has leapt: by more than the retention. */
static void
clock_leap(void *arg)
{
    struct clock *clock = &store_self()->clock;

    clock_raise(clock, clock_read(clock) + (*(uint64_t *)arg << CLOCK_COUNTER_BITS));
}

FIBER_TEST_ON(horizon, a_clock_ahead_by_more_than_the_retention_leaves_others_their_snapshots,
              SHARDS)
{
    uint64_t leap_us = 20000000;
    struct store_snapshot snapshot;

    stores_begin(1000000);
    put_on(0, "first");
    msg_call(1, MSG_INLINE, clock_leap, &leap_us);
    for (uint32_t round = 0; round < 20; round++) {
        put_on(1, "again");
        cr_assert_eq(fiber_sleep_us(20000), ERR_OK);
        hold(&snapshot);
        cr_assert_geq(snapshot.held.ts, horizon_oldest(&store_self()->horizon));
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            cr_assert_leq(seen_on(shard).horizon, snapshot.held.ts);
        }
        release(&snapshot);
    }
    stores_end();
}

/* ---- Many snapshots of many shards, beside a list of all commits. ---- */

enum { COMMITS_MAX = 4000, HELD_MAX = 40 };

struct history {
    uint64_t ts[COMMITS_MAX]; /* On one shard; the value is the index. */
    uint32_t count;
};

static struct history histories[SHARDS];

struct held {
    struct store_snapshot snapshot;
    uint32_t shard;
    bool is_held;
};

static void
commit_on(uint32_t shard)
{
    struct history *history = &histories[shard];
    char value[16];

    snprintf(value, sizeof(value), "%u", history->count);
    history->ts[history->count] = put_on(shard, value);
    history->count++;
}

static void
check_on(uint32_t shard, uint64_t ts)
{
    const struct history *history = &histories[shard];
    uint32_t at = history->count;
    char value[16];

    while (at > 0 && history->ts[at - 1] > ts) {
        at--;
    }
    snprintf(value, sizeof(value), "%u", at - 1);
    expect_on(shard, ts, at == 0 ? NULL : value);
}

FIBER_TEST_ON(horizon, every_held_snapshot_reads_the_same_on_all_shards_for_ever, SHARDS)
{
    static struct held held[HELD_MAX];
    struct prng prng;

    prng_init(&prng, 5);
    memset(histories, 0, sizeof(histories));
    stores_begin(0);
    for (uint32_t i = 0; i < 6000; i++) {
        struct held *one = &held[prng_below(&prng, HELD_MAX)];
        uint32_t shard = (uint32_t)prng_below(&prng, SHARDS);
        uint64_t draw = prng_below(&prng, 100);

        if (draw < 50 && histories[shard].count < COMMITS_MAX) {
            commit_on(shard);
        } else if (draw < 55 && !one->is_held) {
            /* Not through a message that waits: its clock may lag behind what is committed
             * elsewhere, and it must not lag behind what it has read itself. */
            one->shard = shard;
            msg_call(shard, MSG_INLINE, hold, &one->snapshot);
            one->is_held = true;
        } else if (draw < 57 && one->is_held) {
            one->is_held = false;
            msg_call(one->shard, MSG_INLINE, release, &one->snapshot);
        } else if (draw < 80 && one->is_held) {
            uint64_t ts = one->snapshot.held.ts;

            if (histories[shard].count == 0 ||
                histories[shard].ts[histories[shard].count - 1] >= ts) {
                check_on(shard, ts);
            }
        } else {
            cr_assert_eq(fiber_sleep_us(prng_below(&prng, draw < 98 ? 500 : 20000)), ERR_OK);
        }
    }
    for (uint32_t i = 0; i < HELD_MAX; i++) {
        if (held[i].is_held) {
            held[i].is_held = false;
            msg_call(held[i].shard, MSG_INLINE, release, &held[i].snapshot);
        }
    }
    overwrite_for(0, 3000000);
    for (uint32_t i = 0; i < SHARDS; i++) {
        cr_assert_eq(seen_on(i).held, 0);
    }
    stores_end();
}
