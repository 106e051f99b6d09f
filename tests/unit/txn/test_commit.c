/* tests/unit/txn/test_commit.c - commits on one shard and over several, and what is left of them.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/crc16.h"
#include "engine/io/sim.h"
#include "engine/rt/msg.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/txns.h"

enum {
    SHARDS = 3,
    STEP_US = 7,       /* Between the moments at which a commit is cut. */
    CUT_US_MAX = 4000, /* A commit over shards is long done by then. */
    ROUNDS_MAX = 64,   /* Of a statement that is run again. */
    LONG_US = 60000000,
};

static struct store *stores[SIM_SHARDS_MAX];
static struct txns *all_txns[SIM_SHARDS_MAX];

/* ---- Lives of all shards. ---- */

static err_t
open_one(void *arg)
{
    struct store_options one = options;
    char dir[16];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    one.dir = dir;
    TRY(store_open(&one, &stores[shard_id()]));
    err = txns_open(&all_txns[shard_id()]);
out:
    return err;
}

static err_t
close_one(void *arg)
{
    (void)arg;
    txns_close(&all_txns[shard_id()]);
    store_close(&stores[shard_id()]);
    return ERR_OK;
}

static void
shards_begin(void)
{
    cr_assert_eq(sim_world_start(world, SHARDS, open_one, NULL), ERR_OK, "%s",
                 err_message(ERR_CORRUPT));
}

static void
shards_close(void)
{
    cr_assert_eq(sim_world_call_all(world, close_one, NULL), ERR_OK);
    sim_world_stop(world);
}

static void
shards_crash(enum sim_crash kind)
{
    sim_world_crash(world, kind);
}

static err_t
body(void *arg)
{
    void (**fn)(void) = arg;

    (*fn)();
    return ERR_OK;
}

static void
run_on(uint32_t shard, void (*fn)(void))
{
    cr_assert_eq(sim_world_call(world, shard, body, &fn), ERR_OK);
}

TestSuite(commit, .init = world_begin, .fini = world_end, .timeout = 60);

/* ---- Words. A key's number is its shard. ---- */

static uint16_t
slot_of(uint32_t shard)
{
    return (uint16_t)((shard * SLOT_COUNT + SHARDS - 1) / SHARDS);
}

static void
write_text(struct txn *txn, uint32_t shard, const char *key, const char *value)
{
    txn_put(txn, slot_of(shard), slice_from_text(key), slice_from_text(value), 0);
}

static const char *
read_text(struct txn *txn, uint32_t shard, const char *key)
{
    static char texts[8][64];
    static uint32_t next;
    char *text = texts[next++ % 8];
    struct lsm_value value = {0};
    struct arena arena;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = txn_get(txn, slot_of(shard), slice_from_text(key), &arena, &value);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    snprintf(text, sizeof(texts[0]), "%.*s", (int)value.value.size, (const char *)value.value.data);
    arena_fini(&arena);
    return value.is_found ? text : NULL;
}

static const char *
read_alone(uint32_t shard, const char *key)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    const char *text = read_text(txn, shard, key);

    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    return text;
}

#define EXPECT_TEXT(found, expected)                                                               \
    do {                                                                                           \
        const char *found_ = (found);                                                              \
        cr_assert_not_null(found_);                                                                \
        cr_assert_str_eq(found_, (expected));                                                      \
    } while (0)

static struct txn_done
put_everywhere(const char *key, const char *value)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};
    err_t err;

    for (uint32_t i = 0; i < SHARDS; i++) {
        write_text(txn, i, key, value);
    }
    err = txn_commit(&txn, &done);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_null(txn);
    return done;
}

static void
expect_everywhere(const char *key, const char *value)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        EXPECT_TEXT(read_alone(i, key), value);
    }
}

/* ---- One shard. ---- */

static void
commit_at_home(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};

    write_text(txn, shard_id(), "k", "v");
    EXPECT_TEXT(read_text(txn, shard_id(), "k"), "v");
    cr_assert_eq(txn_commit(&txn, &done), ERR_OK);
    cr_assert_neq(done.ts, 0);
    cr_assert_neq(done.lsn, 0);
    cr_assert_geq(shard_acked(), done.ts);
    EXPECT_TEXT(read_alone(shard_id(), "k"), "v");
}

Test(commit, on_its_own_shard_it_is_one_record_and_visible_at_once)
{
    shards_begin();
    run_on(1, commit_at_home);
    shards_close();
}

static void
commit_elsewhere(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};

    write_text(txn, 2, "k", "v");
    cr_assert_eq(txn_commit(&txn, &done), ERR_OK);
    cr_assert_neq(done.ts, 0);
    cr_assert_eq(done.lsn, 0, "the record stands in another log, and is durable");
    EXPECT_TEXT(read_alone(2, "k"), "v");
}

Test(commit, what_is_written_on_one_other_shard_is_committed_there)
{
    shards_begin();
    run_on(0, commit_elsewhere);
    shards_crash(SIM_CRASH_POWER_CUT);
    shards_begin();
    cr_assert_eq(stores[0]->now.position_count, 0, "no section was needed");
    shards_close();
}

/* ---- Several shards. ---- */

static void
commit_everywhere(void)
{
    struct txn_done done = put_everywhere("k", "new");

    cr_assert_geq(shard_acked(), done.ts);
    expect_everywhere("k", "new");
}

static void
see_everywhere(void)
{
    expect_everywhere("k", "new");
}

Test(commit, over_shards_it_is_seen_whole_from_every_shard)
{
    shards_begin();
    run_on(1, commit_everywhere);
    for (uint32_t i = 0; i < SHARDS; i++) {
        run_on(i, see_everywhere);
    }
    shards_close();
    shards_begin();
    run_on(2, see_everywhere);
    shards_close();
}

static void
large_everywhere(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct buf value;

    buf_init(&value, MEM_SESSIONS);
    memset(buf_reserve(&value, 200000), 'x', 200000);
    value.size = 200000;
    for (uint32_t i = 0; i < SHARDS; i++) {
        txn_put(txn, slot_of(i), SLICE("large"), buf_slice(&value), 0);
    }
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    buf_fini(&value);
}

static void
large_check(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct lsm_value value = {0};
    struct arena arena;

    for (uint32_t i = 0; i < SHARDS; i++) {
        arena_init(&arena, MEM_SESSIONS);
        cr_assert_eq(txn_get(txn, slot_of(i), SLICE("large"), &arena, &value), ERR_OK);
        cr_assert_eq(value.value.size, 200000);
        arena_fini(&arena);
    }
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

Test(commit, large_values_go_to_the_value_log_of_their_shard)
{
    shards_begin();
    run_on(0, large_everywhere);
    run_on(2, large_check);
    shards_close();
    shards_begin();
    run_on(1, large_check);
    shards_close();
}

/* ---- Cut at any moment. ---- */

static bool was_acknowledged;
static char written[16];

static void
commit_and_acknowledge(void *arg)
{
    struct txn_done done = put_everywhere("k", written);

    (void)arg;
    store_wait_durable(store_self(), done.lsn);
    was_acknowledged = true;
}

static char found[SHARDS][64];

static void
find_everywhere(void)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        const char *text = read_alone(i, "k");

        snprintf(found[i], sizeof(found[i]), "%s", text == NULL ? "" : text);
    }
}

static void
cut_after(uint64_t us, enum sim_crash kind, uint32_t *kept, uint32_t *lost)
{
    char before[64];

    shards_begin();
    run_on(0, find_everywhere);
    snprintf(before, sizeof(before), "%s", found[0]);
    snprintf(written, sizeof(written), "%llu", (unsigned long long)us);
    was_acknowledged = false;
    sim_world_spawn(world, 1, "committer", commit_and_acknowledge, NULL);
    (void)sim_world_run(world, NULL, NULL, us);
    shards_crash(kind);
    shards_begin();
    run_on(2, find_everywhere);
    cr_assert_str_eq(found[0], found[1], "half a transaction after %s us", written);
    cr_assert_str_eq(found[0], found[2], "half a transaction after %s us", written);
    cr_assert(strcmp(found[0], written) == 0 || strcmp(found[0], before) == 0);
    cr_assert(!was_acknowledged || strcmp(found[0], written) == 0, "an acknowledged one is lost");
    *(strcmp(found[0], written) == 0 ? kept : lost) += 1;
    shards_crash(SIM_CRASH_KILL);
}

static void
cut_everywhere(enum sim_crash kind)
{
    uint32_t kept = 0;
    uint32_t lost = 0;

    for (uint64_t us = 1; us < CUT_US_MAX; us += STEP_US) {
        cut_after(us, kind, &kept, &lost);
    }
    cr_assert_gt(kept, 0);
    cr_assert_gt(lost, 0);
}

Test(commit, a_kill_at_any_moment_leaves_all_of_it_or_nothing)
{
    cut_everywhere(SIM_CRASH_KILL);
}

Test(commit, a_power_cut_at_any_moment_leaves_all_of_it_or_nothing)
{
    cut_everywhere(SIM_CRASH_POWER_CUT);
}

/* ---- Conflicts. ---- */

/* Each of two reads both keys and writes one: not both may pass. */
struct skew {
    uint32_t reads, writes;
    err_t err;
    bool is_done;
};
static struct skew skews[2];

static void
skew_run(void *arg)
{
    struct skew *skew = arg;
    struct txn *txn = txn_begin_auto(false, NULL);

    read_text(txn, skew->reads, "k");
    read_text(txn, skew->writes, "k");
    write_text(txn, skew->writes, "k", "changed");
    skew->err = txn_commit(&txn, NULL);
    skew->is_done = true;
}

static bool
skews_are_done(void *arg)
{
    (void)arg;
    return skews[0].is_done && skews[1].is_done;
}

Test(commit, of_two_that_write_what_the_other_has_read_one_is_refused)
{
    uint32_t refused = 0;

    shards_begin();
    run_on(1, commit_everywhere);
    for (uint32_t round = 0; round < ROUNDS_MAX; round++) {
        skews[0] = (struct skew){.reads = 0, .writes = 2};
        skews[1] = (struct skew){.reads = 2, .writes = 0};
        sim_world_spawn(world, 0, "skew", skew_run, &skews[0]);
        (void)sim_world_run(world, NULL, NULL, sim_prng_below(world, 50));
        sim_world_spawn(world, 1, "skew", skew_run, &skews[1]);
        cr_assert_eq(sim_world_run(world, skews_are_done, NULL, LONG_US), SIM_STOP_DONE);
        for (uint32_t i = 0; i < 2; i++) {
            cr_assert(skews[i].err == ERR_OK || skews[i].err == ERR_SERIALIZATION);
            refused += skews[i].err != ERR_OK;
        }
    }
    cr_assert_gt(refused, 0);
    shards_close();
}

/* A transfer keeps the sum; whoever reads both sees it kept. */
enum { MONEY = 100, WORKERS = 6, TRANSFERS = 40 };
static uint32_t working;
static uint64_t conflicts, sums;

static int64_t
balance(struct txn *txn, uint32_t shard)
{
    const char *text = read_text(txn, shard, "money");

    return text == NULL ? MONEY : strtoll(text, NULL, 10);
}

static err_t
transfer(uint32_t from, uint32_t to, int64_t amount)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    char texts[2][32];

    snprintf(texts[0], sizeof(texts[0]), "%lld", (long long)(balance(txn, from) - amount));
    snprintf(texts[1], sizeof(texts[1]), "%lld", (long long)(balance(txn, to) + amount));
    write_text(txn, from, "money", texts[0]);
    write_text(txn, to, "money", texts[1]);
    txn_counter_add(txn, slot_of(from), 3, -amount);
    txn_counter_add(txn, slot_of(to), 3, amount);
    return txn_commit(&txn, NULL);
}

static void
sum_check(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    int64_t sum = 0;

    for (uint32_t i = 0; i < SHARDS; i++) {
        sum += balance(txn, i);
    }
    cr_assert_eq(sum, SHARDS * MONEY, "the sum is %lld", (long long)sum);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    sums++;
}

static void
transfer_much(void *arg)
{
    (void)arg;
    for (uint32_t i = 0; i < TRANSFERS; i++) {
        uint32_t from = (uint32_t)prng_below(shard_prng(), SHARDS);
        uint32_t to = (from + 1 + (uint32_t)prng_below(shard_prng(), SHARDS - 1)) % SHARDS;
        int64_t amount = (int64_t)prng_below(shard_prng(), 10);
        uint32_t rounds = 0;
        err_t err;

        while ((err = transfer(from, to, amount)) != ERR_OK) {
            cr_assert_eq(err, ERR_SERIALIZATION, "%s", err_message(err));
            cr_assert_lt(++rounds, 10000u);
            conflicts++;
            (void)fiber_sleep_us(prng_below(shard_prng(), 500));
        }
        sum_check();
    }
    working--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return working == 0;
}

static void
counters_check(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    int64_t sum = -1;

    for (uint32_t i = 0; i < SHARDS; i++) {
        int64_t value;

        cr_assert_eq(txn_counter(txn, slot_of(i), 3, &value), ERR_OK);
        cr_assert_eq(value, balance(txn, i) - MONEY, "counters follow their commits");
    }
    cr_assert_eq(txn_counter_sum(txn, 3, &sum), ERR_OK);
    cr_assert_eq(sum, 0);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

static void
transfers(void)
{
    working = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        sim_world_spawn(world, i % SHARDS, "transfers", transfer_much, NULL);
        working++;
    }
}

Test(commit, transfers_keep_the_sum_at_every_snapshot_and_over_restarts)
{
    shards_begin();
    transfers();
    cr_assert_eq(sim_world_run(world, nobody_works, NULL, LONG_US), SIM_STOP_DONE);
    run_on(1, counters_check);
    cr_assert_gt(conflicts, 0);
    shards_crash(SIM_CRASH_POWER_CUT);
    shards_begin();
    run_on(0, sum_check);
    run_on(0, counters_check);
    shards_close();
    shards_begin();
    run_on(2, sum_check);
    run_on(2, counters_check);
    shards_close();
}

Test(commit, crashes_during_transfers_keep_the_sum)
{
    for (uint32_t life = 0; life < 12; life++) {
        shards_begin();
        run_on(life % SHARDS, sum_check);
        run_on(life % SHARDS, counters_check);
        transfers();
        (void)sim_world_run(world, nobody_works, NULL, 1 + sim_prng_below(world, 20000));
        shards_crash(life % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
    }
}

/* ---- What is derived from a counter. ---- */

static int64_t
counter_of(struct txn *txn, uint32_t shard)
{
    int64_t value = INT64_MIN;

    cr_assert_eq(txn_counter(txn, slot_of(shard), 3, &value), ERR_OK);
    return value;
}

static void
count_here(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};

    txn_counter_add(txn, slot_of(shard_id()), 3, 1);
    cr_assert_eq(txn_commit(&txn, &done), ERR_OK);
    cr_assert_gt(done.lsn, store_durable(store_self()), "its log has no reason to be synced");
}

static void
clear_durably(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};
    int64_t value = counter_of(txn, 1);

    cr_assert_eq(value, 1);
    txn_counter_add(txn, slot_of(1), 3, -value);
    write_text(txn, 0, "cleared", "yes");
    cr_assert_eq(txn_commit(&txn, &done), ERR_OK);
    store_wait_durable(store_self(), done.lsn);
}

static void
cleared_check(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);

    cr_assert_eq(counter_of(txn, 1), 0, "what was subtracted had been added");
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

Test(commit, what_is_derived_from_a_counter_does_not_outlive_what_was_counted)
{
    options.durability = WAL_INTERVAL;
    options.interval_us = LONG_US;
    for (uint32_t life = 0; life < 8; life++) {
        shards_begin();
        run_on(2, cleared_check);
        run_on(1, count_here);
        run_on(0, clear_durably);
        shards_crash(SIM_CRASH_POWER_CUT);
    }
    shards_begin();
    run_on(2, cleared_check);
    shards_close();
}

/* ---- Logs. ---- */

static void
fill(void)
{
    char key[16];
    char value[2000];

    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    for (uint32_t i = 0; i < 600; i++) {
        struct txn *txn = txn_begin_auto(false, NULL);

        snprintf(key, sizeof(key), "f%u", i);
        write_text(txn, shard_id(), key, value);
        if (i % 100 == 0) { /* Little for another shard, which so has no reason to flush. */
            write_text(txn, 2, key, "small");
        }
        cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    }
    cr_assert_eq(fiber_sleep_us(3000000), ERR_OK);
}

static void
log_is_short(void)
{
    struct wal_stats stats;

    wal_stats_get(store_wal(store_self()), &stats);
    cr_assert_leq(stats.segments_live, 8, "%llu segments", (unsigned long long)stats.segments_live);
}

static void
small_check(void)
{
    EXPECT_TEXT(read_alone(2, "f0"), "small");
    EXPECT_TEXT(read_alone(2, "f500"), "small");
}

Test(commit, a_log_is_kept_for_other_shards_and_they_are_asked_to_let_it_go)
{
    options.lsm.memtable_bytes = 64 << 10;
    shards_begin();
    for (uint32_t i = 0; i < 6; i++) {
        run_on(0, fill);
    }
    run_on(0, log_is_short);
    shards_crash(SIM_CRASH_POWER_CUT);
    shards_begin();
    run_on(1, small_check);
    shards_close();
}

/* ---- Reads at home, the only write elsewhere. ---- */

static bool was_read;
static uint64_t reader_ts, writer_ts;
static err_t reader_err;

static void
read_here_write_there(void *arg)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {.ts = UINT64_MAX};

    (void)arg;
    read_text(txn, shard_id(), "k"); /* From memory: nothing suspends before the commit. */
    write_text(txn, 2, "other", "changed");
    was_read = true;
    reader_err = txn_commit(&txn, &done);
    reader_ts = done.ts;
}

static void
write_here(void *arg)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};

    (void)arg;
    write_text(txn, shard_id(), "k", "newer");
    cr_assert_eq(txn_commit(&txn, &done), ERR_OK);
    writer_ts = done.ts;
}

static bool
is_over(void *arg)
{
    (void)arg;
    return reader_ts != 0 && writer_ts != 0;
}

Test(commit, what_was_read_at_home_is_checked_when_the_only_write_is_elsewhere)
{
    struct sim_options *sim = sim_world_options(world);

    shards_begin();
    run_on(0, commit_everywhere);
    sim->message = (struct sim_range){500, 500};
    sim_world_spawn(world, 0, "reader", read_here_write_there, NULL);
    (void)sim_world_run(world, NULL, NULL, 100); /* Its messages are on their way. */
    cr_assert(was_read);
    cr_assert_eq(reader_ts, 0);
    sim_world_spawn(world, 0, "writer", write_here, NULL);
    cr_assert_eq(sim_world_run(world, is_over, NULL, LONG_US), SIM_STOP_DONE);
    cr_assert(reader_err == ERR_SERIALIZATION || writer_ts > reader_ts,
              "what was read had been overwritten at the time of the commit");
    shards_close();
}
