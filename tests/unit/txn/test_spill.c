/* tests/unit/txn/test_spill.c - transactions larger than memory: committed whole, or without a
 * trace. What is read of them meanwhile is in test_scan.c. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/bulk.h"
#include "txn/spill.h"
#include "txn/txns.h"

enum {
    SHARDS = 2,
    LARGE_ROWS = 3000, /* Of 8 KiB: more than a log record takes. */
    VALUE_BYTES = 8 << 10,
    FLUSH_EVERY = 100,
    SMALL_ROWS = 60,
    SMALL_PIECES = 3,
    STEP_US = 400,
    CUT_US_MAX = 60000,
};

static struct store *stores[SIM_SHARDS_MAX];
static struct txns *tables[SIM_SHARDS_MAX];

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
    TRY(store_open(&one, &stores[shard_id()]));
    err = txns_open(&tables[shard_id()]);
out:
    return err;
}

static err_t
close_one(void *arg)
{
    (void)arg;
    txns_close(&tables[shard_id()]);
    store_close(&stores[shard_id()]);
    return ERR_OK;
}

static void
shards_begin(void)
{
    cr_assert_eq(sim_world_start(world, SHARDS, open_one, NULL), ERR_OK);
}

static void
shards_close(void)
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

static void
begin(void)
{
    world_begin_seeded(5);
    options.memory_bytes = 8 << 20;
}

TestSuite(spill, .init = begin, .fini = world_end, .timeout = 240);

/* ---- Rows. ---- */

static uint16_t
slot_of(uint32_t shard)
{
    return (uint16_t)((shard * SLOT_COUNT + SHARDS - 1) / SHARDS);
}

static struct slice
row_key(int row, char out[16])
{
    snprintf(out, 16, "row%07d", row);
    return slice_from_text(out);
}

static struct txn *
txn_new(void)
{
    struct txn_options begun = {.isolation = TXN_REPEATABLE_READ};
    struct txn *txn = NULL;

    cr_assert_eq(txn_begin(&begun, &txn), ERR_OK);
    return txn;
}

static void
row_put(struct txn *txn, uint32_t shard, int row, char letter, size_t size)
{
    static uint8_t value[VALUE_BYTES];
    char key[16];

    memset(value, letter, size);
    txn_put(txn, slot_of(shard), row_key(row, key), slice_of(value, size), 0);
}

static int rows_found;
static char letter_found;

static void
rows_count(uint32_t slot)
{
    struct txn *txn = txn_new();
    struct txn_scan *scan;
    err_t err;

    rows_found = 0;
    cr_assert_eq(txn_scan_open(txn, slot, SLICE("row"), SLICE("rox"), &scan), ERR_OK);
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan);
         err = txn_scan_next(scan)) {
        letter_found = (char)txn_scan_entry(scan)->value.data[0];
        rows_found++;
    }
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    txn_scan_close(&scan);
    txn_abort(&txn);
}

static void
all_count(void)
{
    rows_count(TXN_ALL_SHARDS);
}

/* ---- Large. ---- */

static void
large_write(struct txn *txn)
{
    err_t err;

    for (int i = 0; i < LARGE_ROWS; i++) {
        row_put(txn, 0, i * 7919 % LARGE_ROWS, 'a', VALUE_BYTES);
        txn_counter_add(txn, slot_of(0), 3, 1);
        if (i % FLUSH_EVERY == 0) {
            err = txn_flush(txn);
            cr_assert_eq(err, ERR_OK, "%s", err_message(err));
            cr_assert_leq(overlay_bytes(&txn->part.writes), (size_t)TXN_MEMORY_BYTES_MAX * 5 / 4);
        }
    }
    cr_assert_not_null(txn->part.writes.spill);
}

static void
large_commit(void)
{
    struct txn *txn = txn_new();
    struct txn_done done = {0};
    lsn_t before = store_appended(store_self());
    int64_t sum;
    err_t err;

    large_write(txn);
    cr_assert_eq(txn_counter(txn, slot_of(0), 3, &sum), ERR_OK);
    cr_assert_eq(sum, LARGE_ROWS);
    err = txn_commit(&txn, &done);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_lt(store_appended(store_self()) - before, 1 << 20, "the record must be small");
    store_wait_durable(store_self(), done.lsn);
    all_count();
    cr_assert_eq(rows_found, LARGE_ROWS);
}

static void
large_check(void)
{
    all_count();
    cr_assert_eq(rows_found, LARGE_ROWS);
    cr_assert_eq(store_counter(store_self(), 3), LARGE_ROWS);
}

Test(spill, what_no_log_record_can_hold_is_committed_and_survives_a_power_cut)
{
    shards_begin();
    run_on(0, large_commit);
    sim_world_crash(world, SIM_CRASH_POWER_CUT);
    shards_begin();
    run_on(0, large_check);
    shards_close();
    shards_begin();
    run_on(0, large_check);
    shards_close();
}

/* ---- No trace. ---- */

static void
files_count(const char *path, uint64_t size, void *arg)
{
    (void)size;
    *(int *)arg += strstr(path, "/lsm/") != NULL;
}

static int
files_now(void)
{
    int files = 0;

    sim_disk_visit(world, files_count, &files);
    return files;
}

static struct txn *open_txn;

static err_t
spill_run(struct part *part, void *arg)
{
    err_t err;

    (void)arg;
    TRY(part_lock_writes(part));
    TRY(part_spill(part));
out:
    return err;
}

/* A few rows of each shard, in pieces on disk. */
static void
small_write(struct txn *txn, char letter)
{
    err_t err;

    for (int piece = 0; piece < SMALL_PIECES; piece++) {
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            for (int row = 0; row < SMALL_ROWS; row++) {
                row_put(txn, shard, row * SHARDS + (int)shard, letter, 100);
            }
            err = txn_call(txn, shard, spill_run, NULL);
            cr_assert_eq(err, ERR_OK, "%s", err_message(err));
        }
    }
}

static void
small_begin(void)
{
    open_txn = txn_new();
    small_write(open_txn, 'b');
}

static void
small_abort(void)
{
    txn_abort(&open_txn);
}

Test(spill, an_abort_leaves_no_files)
{
    int before;

    shards_begin();
    run_on(0, all_count);
    before = files_now();
    run_on(0, small_begin);
    cr_assert_geq(files_now(), before + SMALL_PIECES * SHARDS);
    run_on(0, small_abort);
    (void)sim_world_run(world, NULL, NULL, 1000000);
    cr_assert_eq(files_now(), before);
    shards_close();
}

Test(spill, a_crash_leaves_no_files)
{
    int before;

    shards_begin();
    before = files_now();
    run_on(0, small_begin);
    cr_assert_geq(files_now(), before + SMALL_PIECES * SHARDS);
    sim_world_crash(world, SIM_CRASH_KILL);
    shards_begin();
    (void)sim_world_run(world, NULL, NULL, 1000000);
    cr_assert_eq(files_now(), before);
    run_on(0, all_count);
    cr_assert_eq(rows_found, 0);
    shards_close();
}

/* ---- Cut at any moment, over shards. ---- */

static bool was_acknowledged;
static char letter_written;

static void
small_commit(void *arg)
{
    struct txn *txn = txn_new();
    struct txn_done done = {0};
    err_t err;

    (void)arg;
    small_write(txn, letter_written);
    err = txn_commit(&txn, &done);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    store_wait_durable(store_self(), done.lsn);
    was_acknowledged = true;
}

static void
small_check(void)
{
    char first = 0;

    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        rows_count(slot_of(shard));
        cr_assert_eq(rows_found, SMALL_ROWS, "%d rows", rows_found);
        cr_assert(shard == 0 || letter_found == first, "half a transaction");
        first = letter_found;
    }
}

static void
small_commit_first(void)
{
    letter_written = 'a';
    small_commit(NULL);
}

Test(spill, a_commit_over_shards_is_whole_whenever_it_is_cut)
{
    uint32_t kept = 0;
    uint32_t lost = 0;

    shards_begin();
    run_on(0, small_commit_first);
    shards_close();
    for (uint64_t us = STEP_US; us < CUT_US_MAX; us += STEP_US) {
        char before = letter_written;

        letter_written = (char)('a' + us / STEP_US % 26);
        was_acknowledged = false;
        shards_begin();
        run_on(0, small_check);
        before = letter_found;
        sim_world_spawn(world, 1, "committer", small_commit, NULL);
        (void)sim_world_run(world, NULL, NULL, us);
        sim_world_crash(world, us / STEP_US % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
        shards_begin();
        run_on(1, small_check);
        cr_assert(letter_found == letter_written || letter_found == before);
        cr_assert(!was_acknowledged || letter_found == letter_written);
        *(letter_found == letter_written ? &kept : &lost) += 1;
        shards_close();
    }
    cr_assert_gt(kept, 0);
    cr_assert_gt(lost, 0);
}

/* ---- Bulk loading, as one commit over shards. ---- */

static err_t load_error;
static struct txn_bulk *load;

static void
load_add(char letter)
{
    uint8_t value[100];
    char key[16];

    memset(value, letter, sizeof(value));
    load = txn_bulk_new();
    for (int row = 0; row < SMALL_ROWS * SHARDS; row++) {
        cr_assert_eq(txn_bulk_add(load, slot_of((uint32_t)(row % SHARDS)), row_key(row, key),
                                  slice_of(value, sizeof(value)), 0),
                     ERR_OK);
    }
}

static void
load_commit(void *arg)
{
    struct txn_options how = {.lock_timeout_us = 20000};
    struct txn_done done = {0};

    (void)arg;
    load_add(letter_written);
    load_error = txn_bulk_commit(load, &how, &done);
    txn_bulk_free(&load);
    if (load_error == ERR_OK) {
        store_wait_durable(store_self(), done.lsn);
        was_acknowledged = true;
    }
}

static void
load_commit_first(void)
{
    letter_written = 'a';
    load_commit(NULL);
    cr_assert_eq(load_error, ERR_OK);
}

Test(spill, a_bulk_load_over_shards_is_whole_whenever_it_is_cut)
{
    uint32_t kept = 0;
    uint32_t lost = 0;

    shards_begin();
    run_on(0, load_commit_first);
    shards_close();
    for (uint64_t us = STEP_US; us < CUT_US_MAX / 2; us += STEP_US) {
        char before;

        letter_written = (char)('a' + us / STEP_US % 26);
        was_acknowledged = false;
        shards_begin();
        run_on(0, small_check);
        before = letter_found;
        sim_world_spawn(world, us / STEP_US % 3 == 0, "loader", load_commit, NULL);
        (void)sim_world_run(world, NULL, NULL, us);
        sim_world_crash(world, us / STEP_US % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
        shards_begin();
        run_on(1, small_check);
        cr_assert(letter_found == letter_written || letter_found == before);
        cr_assert(!was_acknowledged || letter_found == letter_written);
        *(letter_found == letter_written ? &kept : &lost) += 1;
        shards_close();
    }
    cr_assert_gt(kept, 0);
    cr_assert_gt(lost, 0);
}

static void
load_abandon(void)
{
    load_add('b');
    txn_bulk_free(&load);
}

Test(spill, a_bulk_load_that_is_given_up_leaves_no_files)
{
    int before;

    shards_begin();
    before = files_now();
    run_on(0, load_abandon);
    (void)sim_world_run(world, NULL, NULL, 1000000);
    cr_assert_eq(files_now(), before);
    run_on(0, all_count);
    cr_assert_eq(rows_found, 0);
    shards_close();
}

static void
load_against_a_lock(void)
{
    struct txn *holder = txn_new();

    row_put(holder, 1, SMALL_ROWS + 1, 'x', 10);
    cr_assert_eq(txn_flush(holder), ERR_OK);
    letter_written = 'b';
    load_commit(NULL);
    cr_assert_eq(load_error, ERR_LOCK_TIMEOUT);
    txn_abort(&holder);
    all_count();
    cr_assert_eq(rows_found, 0);
    load_commit(NULL);
    cr_assert_eq(load_error, ERR_OK);
    all_count();
    cr_assert_eq(rows_found, SMALL_ROWS * SHARDS);
}

Test(spill, a_bulk_load_waits_for_locks_on_any_shard)
{
    shards_begin();
    run_on(0, load_against_a_lock);
    shards_close();
}

static void
load_out_of_order(void)
{
    struct txn_options how = {0};
    struct txn_done done;
    char key[16];

    load_add('c');
    cr_assert_eq(txn_bulk_add(load, slot_of(1), row_key(7, key), SLICE("x"), 0), ERR_INVALID);
    cr_assert_eq(txn_bulk_commit(load, &how, &done), ERR_INVALID);
    txn_bulk_free(&load);
    all_count();
    cr_assert_eq(rows_found, 0);
}

Test(spill, a_bulk_load_whose_keys_do_not_rise_is_refused)
{
    shards_begin();
    run_on(0, load_out_of_order);
    shards_close();
}

/* ---- Transactions of one command. ---- */

enum { AUTO_ROWS = 2400, AUTO_STEP = 50 };

/* More than a log record on each of the shards given. */
static void
auto_write(struct txn *txn, uint32_t shards, char letter, bool is_relieved)
{
    for (int row = 0; row < AUTO_ROWS; row++) {
        for (uint32_t shard = 0; shard < shards; shard++) {
            row_put(txn, shard, row * SHARDS + (int)shard, letter, VALUE_BYTES);
        }
        if (is_relieved && row % AUTO_STEP == 0) {
            txn_relieve(txn);
            cr_assert_leq(overlay_bytes(&txn->part.writes), (size_t)TXN_MEMORY_BYTES_MAX * 5 / 4);
        }
    }
}

static void
auto_commit(uint32_t shards, char letter, bool is_relieved)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct txn_done done = {0};
    lsn_t before = store_appended(store_self());
    err_t err;

    auto_write(txn, shards, letter, is_relieved);
    cr_assert_eq(txn->part.writes.spill != NULL, is_relieved);
    err = txn_commit(&txn, &done);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_lt(store_appended(store_self()) - before, 1 << 20, "the record must be small");
    store_wait_durable(store_self(), done.lsn);
    all_count();
    cr_assert_eq(rows_found, AUTO_ROWS * (int)shards);
    cr_assert_eq(letter_found, letter);
}

static void
auto_commits(void)
{
    auto_commit(1, 'a', false);
    auto_commit(1, 'b', true);
    auto_commit(2, 'c', false);
    auto_commit(2, 'd', true);
}

static void
auto_check(void)
{
    all_count();
    cr_assert_eq(rows_found, 2 * AUTO_ROWS);
    cr_assert_eq(letter_found, 'd');
}

Test(spill, a_command_of_any_size_is_committed_on_one_shard_and_on_several)
{
    shards_begin();
    run_on(0, auto_commits);
    sim_world_crash(world, SIM_CRASH_POWER_CUT);
    shards_begin();
    run_on(1, auto_check);
    shards_close();
}

static bool may_rival_go, has_rival_committed;

static void
rival_commit(void *arg)
{
    struct txn *txn;

    (void)arg;
    while (!may_rival_go) {
        (void)fiber_sleep_us(100);
    }
    txn = txn_begin_auto(false, NULL);
    row_put(txn, 1, 1, 'r', 10);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    has_rival_committed = true;
}

static void
rival_expect(bool is_over)
{
    (void)fiber_sleep_us(5000);
    cr_assert_eq(has_rival_committed, is_over);
}

static void
auto_against_rival(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    struct lsm_value value;
    struct arena arena;
    char key[16];
    err_t err;

    auto_write(txn, 2, 'a', true);
    may_rival_go = true;
    rival_expect(false); /* What is on disk is locked. */
    err = txn_commit(&txn, NULL);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    rival_expect(true);
    arena_init(&arena, MEM_SESSIONS);
    txn = txn_new();
    cr_assert_eq(txn_get(txn, slot_of(1), row_key(1, key), &arena, &value), ERR_OK);
    cr_assert_eq(value.value.data[0], 'r', "the later commit is the newer one");
    txn_abort(&txn);
    arena_fini(&arena);
}

Test(spill, who_writes_what_a_large_command_has_written_waits_for_it)
{
    may_rival_go = false;
    has_rival_committed = false;
    shards_begin();
    sim_world_spawn(world, 1, "rival", rival_commit, NULL);
    run_on(0, auto_against_rival);
    shards_close();
}

static void
halves_commit(void)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    err_t err;

    for (int row = 0; row < 900; row++) { /* 7.2 MiB on each, no more than one may have. */
        row_put(txn, 0, row * SHARDS, 'h', VALUE_BYTES);
        row_put(txn, 1, row * SHARDS + 1, 'h', VALUE_BYTES);
    }
    for (int row = 900; row < 1020; row++) { /* Together more than one record. */
        row_put(txn, 1, row * SHARDS + 1, 'h', VALUE_BYTES);
    }
    err = txn_commit(&txn, NULL);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    all_count();
    cr_assert_eq(rows_found, 900 + 1020);
}

Test(spill, what_fits_a_record_on_each_shard_but_not_together_is_committed)
{
    shards_begin();
    run_on(0, halves_commit);
    shards_close();
}
