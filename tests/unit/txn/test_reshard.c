/* tests/unit/txn/test_reshard.c - slots change shards; the toy model has one key a slot. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/io/sim.h"
#include "engine/rt/msg.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/reshard.h"
#include "txn/slots.h"
#include "txn/spill.h"
#include "txn/txns.h"

enum { SLOTS_USED = 64, MOVE_ROUNDS_MAX = 2000, LONG_US = 60000000 };

static struct store *stores[SIM_SHARDS_MAX];
static struct txns *all_txns[SIM_SHARDS_MAX];
static uint32_t wanted;
static struct txn *held;
static uint32_t moves_seen;

/* ---- Lives. ---- */

static err_t
open_one(void *arg)
{
    struct store_options one = options;
    char dir[16];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    one.dir = dir;
    one.may_move = true;
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

static err_t
plan_run(void *arg)
{
    return reshard_plan(wanted, arg);
}

static uint32_t
plan(uint32_t count)
{
    uint32_t shards = 0;

    wanted = count;
    cr_assert_eq(sim_world_start(world, 1, plan_run, &shards), ERR_OK);
    sim_world_stop(world);
    return shards;
}

static void
begin(uint32_t shards)
{
    cr_assert_eq(sim_world_start(world, shards, open_one, NULL), ERR_OK, "%s",
                 err_message(ERR_CORRUPT));
}

static void
end(void)
{
    cr_assert_eq(sim_world_call_all(world, close_one, NULL), ERR_OK);
    sim_world_stop(world);
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

TestSuite(reshard, .init = world_begin, .fini = world_end, .timeout = 60);

/* ---- The toy model: "d" and the slot. Used slots are spread over all. ---- */

static uint16_t
slot_at(uint32_t number)
{
    return (uint16_t)(number * (SLOT_COUNT / SLOTS_USED));
}

static struct slice
key_of(uint8_t out[3], uint32_t slot)
{
    out[0] = 'd';
    put_be16(out + 1, (uint16_t)slot);
    return slice_of(out, 3);
}

static YIELDS err_t
copy(struct slots_move *move)
{
    uint8_t lower[3];
    uint8_t upper[3];
    struct slice from = key_of(lower, move->first);
    struct slice to = key_of(upper, move->first + move->count);
    struct txn_scan *scan = NULL;
    err_t err;

    TRY(txn_scan_open(move->txn, txn_slot_of_shard(move->from), from, to, &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        const struct lsm_entry *entry = txn_scan_entry(scan);

        slots_move_counter(move, 1, 1);
        TRY(slots_move_put(move, entry->slot, entry->key, entry->value, 0));
        TRY(txn_scan_next(scan));
    }
    slots_move_delete_range(move, from, to);
out:
    txn_scan_close(&scan);
    return err;
}

static void
on_move(uint16_t first, uint32_t count, bool is_mine)
{
    (void)first;
    moves_seen += is_mine ? count : 0;
}

static bool
is_moving(void)
{
    struct reshard_stats stats;

    reshard_stats_get(&stats);
    return stats.is_moving;
}

static void
move_all(void)
{
    struct reshard_options move = {.shards = wanted, .copy = copy, .on_move = on_move};

    cr_assert_eq(reshard_open(&move), ERR_OK);
    for (uint32_t i = 0; i < MOVE_ROUNDS_MAX && is_moving(); i++) {
        fiber_sleep_us(10000);
    }
    cr_assert(!is_moving());
    reshard_close();
}

static void
put_one(struct txn *txn, uint32_t number, const char *text)
{
    uint8_t key[3];

    txn_put(txn, slot_at(number), key_of(key, slot_at(number)), slice_from_text(text), 0);
}

static const char *
get_one(struct txn *txn, uint32_t number)
{
    static char text[32];
    struct lsm_value value = {0};
    struct arena arena;
    uint8_t key[3];

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(txn_get(txn, slot_at(number), key_of(key, slot_at(number)), &arena, &value),
                 ERR_OK);
    snprintf(text, sizeof(text), "%.*s", (int)value.value.size, (const char *)value.value.data);
    arena_fini(&arena);
    return value.is_found ? text : "none";
}

static void
fill(void)
{
    for (uint32_t i = 0; i < SLOTS_USED; i++) {
        struct txn *txn = txn_begin_auto(false, NULL);
        char text[16];

        snprintf(text, sizeof(text), "v%u", i);
        put_one(txn, i, text);
        txn_counter_add(txn, slot_at(i), 1, 1);
        cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    }
}

static void
look(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct txn_scan *scan = NULL;
    uint32_t found = 0;
    int64_t sum = 0;

    for (uint32_t i = 0; i < SLOTS_USED; i++) {
        char text[16];

        snprintf(text, sizeof(text), "v%u", i);
        cr_assert_str_eq(get_one(txn, i), text);
    }
    cr_assert_eq(txn_scan_open(txn, TXN_ALL_SHARDS, SLICE("d"), SLICE("e"), &scan), ERR_OK);
    for (err_t err = txn_scan_first(scan); txn_scan_is_valid(scan); err = txn_scan_next(scan)) {
        cr_assert_eq(err, ERR_OK);
        found++;
    }
    txn_scan_close(&scan);
    cr_assert_eq(found, SLOTS_USED);
    cr_assert_eq(txn_counter_sum(txn, 1, &sum), ERR_OK);
    cr_assert_eq(sum, SLOTS_USED);
    txn_abort(&txn);
}

/* Nothing lies on this shard that is not its own, and its counter says how much does. */
static err_t
look_here(void *arg)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct txn_scan *scan = NULL;
    int64_t count = 0;

    (void)arg;
    cr_assert_eq(txn_scan_open(txn, txn_slot_of_shard(shard_id()), SLICE("d"), SLICE("e"), &scan),
                 ERR_OK);
    for (err_t err = txn_scan_first(scan); txn_scan_is_valid(scan); err = txn_scan_next(scan)) {
        cr_assert_eq(err, ERR_OK);
        cr_assert_eq(txn_shard_of_slot(txn_scan_entry(scan)->slot), shard_id());
        count++;
    }
    txn_scan_close(&scan);
    txn_abort(&txn);
    cr_assert_eq(count, store_counter(store_self(), 1));
    cr_assert_eq(reshard_slots_owned(NULL) > 0, shard_id() < wanted);
    return ERR_OK;
}

/* ---- From number to number. ---- */

Test(reshard, data_and_counters_follow_the_number_of_shards)
{
    static const uint32_t counts[] = {2, 4, 3, 1, 2};

    begin(plan(2));
    run_on(0, fill);
    end();
    for (uint32_t i = 1; i < ARRAY_COUNT(counts); i++) {
        uint32_t before = counts[i - 1];

        cr_assert_eq(plan(counts[i]), MAX(before, counts[i]), "%u to %u", before, counts[i]);
        begin(MAX(before, counts[i]));
        run_on(0, look);
        run_on(0, move_all);
        run_on(0, look);
        cr_assert_eq(sim_world_call_all(world, look_here, NULL), ERR_OK);
        end();
    }
}

Test(reshard, only_the_share_of_the_new_shards_moves)
{
    begin(plan(4));
    run_on(0, fill);
    end();
    begin(plan(5));
    moves_seen = 0;
    run_on(0, move_all);
    cr_assert_eq(moves_seen, slots_even_first(5, 5) - slots_even_first(4, 5));
    end();
}

Test(reshard, a_power_cut_at_any_step_leaves_all_of_a_group_on_one_side)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    for (uint32_t us = 200; us < 40000; us = us * 5 / 4) {
        uint32_t shards = plan(1 + us % 3);

        begin(shards);
        run_on(0, look);
        sim_world_spawn(world, 0, "mover", (void (*)(void *))move_all, NULL);
        sim_world_run(world, NULL, NULL, us);
        sim_world_crash(world, us % 2 == 0 ? SIM_CRASH_POWER_CUT : SIM_CRASH_KILL);
    }
    begin(plan(3));
    run_on(0, move_all);
    run_on(0, look);
    cr_assert_eq(sim_world_call_all(world, look_here, NULL), ERR_OK);
    end();
}

/* ---- Transactions over a move. ---- */

static void
begin_old(void)
{
    cr_assert_eq(txn_begin(&(struct txn_options){.isolation = TXN_REPEATABLE_READ}, &held), ERR_OK);
    cr_assert_str_eq(get_one(held, 1), "v1");
}

static void
write_new(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    put_one(txn, 60, "new");
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
}

static void
read_old(void)
{
    struct txn_scan *scan = NULL;
    uint32_t found = 0;

    for (uint32_t i = 0; i < SLOTS_USED; i++) {
        char text[16];

        snprintf(text, sizeof(text), "v%u", i);
        cr_assert_str_eq(get_one(held, i), text);
    }
    cr_assert_eq(txn_scan_open(held, TXN_ALL_SHARDS, SLICE("d"), SLICE("e"), &scan), ERR_OK);
    for (err_t err = txn_scan_first(scan); txn_scan_is_valid(scan); err = txn_scan_next(scan)) {
        cr_assert_eq(err, ERR_OK);
        found++;
    }
    txn_scan_close(&scan);
    cr_assert_eq(found, SLOTS_USED);
    cr_assert_eq(txn_commit(&held, NULL), ERR_OK);
}

Test(reshard, a_snapshot_from_before_a_move_reads_what_was)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    begin(plan(3));
    run_on(1, begin_old);
    run_on(0, move_all);
    run_on(0, write_new);
    run_on(1, read_old);
    end();
}

static void
write_blindly(void)
{
    held = txn_begin_auto(false, NULL);
    txn_hold(held);
    put_one(held, SLOTS_USED - 1, "lost");
}

static void
commit_late(void)
{
    struct txn *again;

    cr_assert_eq(txn_commit(&held, NULL), ERR_SERIALIZATION);
    again = txn_begin_auto(false, NULL);
    put_one(again, SLOTS_USED - 1, "kept");
    cr_assert_eq(txn_commit(&again, NULL), ERR_OK);
    again = txn_begin_auto(true, NULL);
    cr_assert_str_eq(get_one(again, SLOTS_USED - 1), "kept");
    txn_abort(&again);
}

Test(reshard, a_write_that_was_sent_to_the_old_owner_is_refused)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    begin(plan(3));
    run_on(0, write_blindly); /* Of shard 1, until the move. */
    run_on(0, move_all);
    run_on(0, commit_late);
    end();
}

/* On disk already when other slots move; those that it has written itself stay. */
static void
write_to_disk(void)
{
    cr_assert_eq(txn_begin(&(struct txn_options){.isolation = TXN_REPEATABLE_READ}, &held), ERR_OK);
    put_one(held, 1, "v1");
    put_one(held, 2, "v2");
    cr_assert_eq(txn_flush(held), ERR_OK);
    cr_assert_eq(part_spill(&held->part), ERR_OK);
    cr_assert_not_null(held->part.writes.spill);
}

static void
commit_from_disk(void)
{
    cr_assert_eq(txn_commit(&held, NULL), ERR_OK, "%s", err_message(ERR_SERIALIZATION));
}

static void
commit_from_disk_refused(void)
{
    spill_note_slot(held->part.writes.spill, slot_at(SLOTS_USED - 1)); /* It has moved. */
    cr_assert_eq(txn_commit(&held, NULL), ERR_SERIALIZATION);
}

Test(reshard, writes_on_disk_are_judged_by_their_own_slots)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    begin(plan(3));
    run_on(0, write_to_disk);
    run_on(0, move_all);
    run_on(0, commit_from_disk);
    run_on(0, look);
    end();
    begin(plan(2));
    run_on(0, write_to_disk);
    run_on(0, move_all);
    run_on(0, commit_from_disk_refused);
    run_on(0, look);
    end();
}

static void
pin(void)
{
    txn_slots_pin();
}

static void
unpin(void)
{
    txn_slots_unpin();
}

static void
expect_unmoved(void)
{
    struct reshard_stats stats;

    reshard_stats_get(&stats);
    cr_assert(stats.is_moving);
    cr_assert_eq(stats.slots_moved, 0);
}

Test(reshard, a_pin_keeps_every_slot_where_it_is)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    begin(plan(4));
    run_on(3, pin);
    sim_world_spawn(world, 0, "mover", (void (*)(void *))move_all, NULL);
    sim_world_run(world, NULL, NULL, 5000000);
    run_on(0, expect_unmoved);
    run_on(3, unpin);
    sim_world_run(world, NULL, NULL, LONG_US);
    run_on(0, look);
    cr_assert_eq(sim_world_call_all(world, look_here, NULL), ERR_OK);
    end();
}

static struct txn *holder;

static void
lock_one(void)
{
    const struct txn_options plain = {.isolation = TXN_READ_COMMITTED};
    uint16_t slot = slot_at(SLOTS_USED - 1);
    uint8_t key[3];

    cr_assert_eq(txn_begin(&plain, &holder), ERR_OK);
    cr_assert_eq(txn_lock(holder, slot, key_of(key, slot), LOCK_UPDATE, LOCK_WAIT), ERR_OK);
}

static void
expect_blocked(void)
{
    struct reshard_stats stats;

    reshard_stats_get(&stats);
    cr_assert(stats.is_moving);
    cr_assert_eq(stats.slots_left, 1, "%u", stats.slots_left);
    cr_assert_eq(stats.blocked_by, txn_id(holder));
}

static void
unlock_one(void)
{
    txn_abort(&holder);
}

static void
mover_open(void)
{
    struct reshard_options move = {.shards = wanted, .copy = copy, .on_move = on_move};

    cr_assert_eq(reshard_open(&move), ERR_OK);
}

static void
mover_close(void)
{
    cr_assert_not(is_moving());
    reshard_close();
}

Test(reshard, all_but_the_slot_that_is_locked_moves_and_the_holder_is_told)
{
    begin(plan(2));
    run_on(0, fill);
    end();
    begin(plan(4));
    run_on(0, lock_one);
    run_on(0, mover_open);
    sim_world_run(world, NULL, NULL, LONG_US);
    run_on(0, expect_blocked);
    run_on(0, unlock_one);
    sim_world_run(world, NULL, NULL, LONG_US);
    run_on(0, mover_close);
    run_on(0, look);
    cr_assert_eq(sim_world_call_all(world, look_here, NULL), ERR_OK);
    end();
}

/* ---- What a start refuses. ---- */

Test(reshard, a_shard_that_owns_slots_and_is_not_there_is_named)
{
    err_t err;

    begin(plan(3));
    run_on(0, fill);
    end();
    err = sim_world_start(world, 2, open_one, NULL);
    cr_assert_eq(err, ERR_FORMAT);
    cr_assert_not_null(strstr(err_message(err), "lies on shard 2"), "%s", err_message(err));
    sim_world_crash(world, SIM_CRASH_KILL);
}
