/* tests/sim/scenario_commit.c - transactions over shards, and what crashes leave of them.
 *
 * A *row* is one key on each of some shards; all its keys have the same value, which says how often
 * the row was written. A transaction reads a row and writes it one higher, and remembers a
 * second row that it has read. Whatever happens: all keys of a row are equal in every snapshot,
 * after every start, and in every checkpoint; nothing that was acknowledged or shown is lost; what
 * was read is as durable as who has read it; and each shard's counter is the sum of its rows, so
 * that nothing is applied twice. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/msg.h"
#include "tests/sim/scenarios.h"
#include "txn/checkpoint.h"
#include "txn/txn.h"

enum {
    ROWS_MAX = 12,
    WORKERS_MAX = 5,
    COUNTER = 7,
    PADDING_MAX = 3000,
    LARGE_BYTES = 70000,
    ROUNDS_MAX = 2000, /* Of a transaction that is run again. */
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    HEAL_US = 60 * 1000 * 1000,
};

struct row {
    uint32_t shards;       /* Bits. */
    uint64_t acknowledged; /* This state was reported, or shown to a reader who waited. */
    uint64_t attempted;    /* No state above was ever tried. */
};

/* What a key holds. */
struct state {
    uint64_t number;
    uint64_t seen_row, seen_number; /* Another row, as the writer saw it. */
};

struct copy {
    enum { COPY_NONE, COPY_BEGUN, COPY_MADE } state;
    char name[24];
    uint64_t from[ROWS_MAX]; /* At least these numbers are in it. */
};

static struct {
    struct run *run;
    struct row rows[ROWS_MAX];
    uint32_t row_count;
    struct store_options options;
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
    uint32_t workers, running;
    bool is_stopping, has_errors, is_copying;
    struct copy copy;
    const char *opened; /* The folder of a checkpoint, or NULL. */
    uint64_t copies, commits;
} test;

/* ---- Opening. ---- */

static err_t
open_here(void *arg)
{
    struct store_options options = test.options;
    char dir[48];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "%s%sshard-%u", test.opened != NULL ? test.opened : "",
             test.opened != NULL ? "/" : "", shard_id());
    options.dir = dir;
    test.stores[shard_id()] = NULL;
    test.txns[shard_id()] = NULL;
    TRY(store_open(&options, &test.stores[shard_id()]));
    err = txns_open(&test.txns[shard_id()]);
out:
    return err;
}

static err_t
close_here(void *arg)
{
    (void)arg;
    txns_close(&test.txns[shard_id()]);
    store_close(&test.stores[shard_id()]);
    return ERR_OK;
}

/* ---- Rows. ---- */

static uint16_t
slot_of(uint32_t shard)
{
    return (uint16_t)((shard * SLOT_COUNT + shard_count() - 1) / shard_count());
}

static struct slice
key_of(uint32_t row, char text[16])
{
    return slice_of(text, (size_t)snprintf(text, 16, "row-%u", row));
}

static bool
row_is_on(const struct row *row, uint32_t shard)
{
    return (row->shards >> shard & 1) != 0;
}

static void
state_decode(struct slice value, struct state *state)
{
    RUN_CHECK(test.run, value.size >= 24, "a value of %zu bytes", value.size);
    *state = (struct state){
        .number = get_le64(value.data),
        .seen_row = get_le64(value.data + 8),
        .seen_number = get_le64(value.data + 16),
    };
}

/* All keys of a row: they must be equal. */
static YIELDS err_t
row_read(struct txn *txn, uint32_t index, struct state *state_out)
{
    const struct row *row = &test.rows[index];
    struct txn_key keys[SIM_SHARDS_MAX];
    struct lsm_value values[SIM_SHARDS_MAX];
    struct state state = {0};
    struct arena arena;
    char text[16];
    uint32_t count = 0;
    err_t err;

    for (uint32_t i = 0; i < shard_count(); i++) {
        if (row_is_on(row, i)) {
            keys[count++] = (struct txn_key){.slot = slot_of(i), .key = key_of(index, text)};
        }
    }
    arena_init(&arena, MEM_SESSIONS);
    TRY(txn_multi_get(txn, keys, count, &arena, values));
    for (uint32_t i = 0; i < count; i++) {
        struct state other = {0};

        if (values[i].is_found) {
            state_decode(values[i].value, &other);
        }
        if (i == 0) {
            state = other;
        }
        RUN_CHECK(test.run, memcmp(&state, &other, sizeof(state)) == 0,
                  "half a transaction: row %u is %llu at one shard and %llu at another", index,
                  (unsigned long long)state.number, (unsigned long long)other.number);
    }
    *state_out = state;
out:
    arena_fini(&arena);
    return err;
}

/* `value`, of LARGE_BYTES, lives until the transaction has ended. */
static void
row_write(struct txn *txn, uint32_t index, const struct state *state, uint8_t *value)
{
    const struct row *row = &test.rows[index];
    size_t bytes = 24 + (size_t)prng_below(shard_prng(), PADDING_MAX);
    char text[16];

    if (prng_below(shard_prng(), 40) == 0) {
        bytes = LARGE_BYTES;
    }
    put_le64(value, state->number);
    put_le64(value + 8, state->seen_row);
    put_le64(value + 16, state->seen_number);
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (row_is_on(row, i)) {
            txn_put(txn, slot_of(i), key_of(index, text), slice_of(value, bytes), 0);
            txn_counter_add(txn, slot_of(i), COUNTER, 1);
        }
    }
}

/* ---- Transactions. ---- */

static bool
is_retried(err_t err)
{
    return err == ERR_SERIALIZATION || err == ERR_DEADLOCK || err == ERR_LOCK_TIMEOUT;
}

static bool
is_excused(err_t err)
{
    return test.has_errors && (err == ERR_IO || err == ERR_NO_SPACE);
}

/* A lowered level promises nothing about logs of other shards. */
static YIELDS void
acknowledge(uint32_t index, uint64_t number, const struct txn_done *done)
{
    if (store_durability(store_self()) == WAL_SYNC) {
        store_wait_durable(store_self(), done->lsn);
        test.rows[index].acknowledged = MAX(test.rows[index].acknowledged, number);
    }
}

static YIELDS err_t
row_raise(struct txn *txn, uint32_t index, uint8_t *value, uint64_t *number_out)
{
    struct state state;
    struct state seen;
    uint32_t other = (uint32_t)prng_below(shard_prng(), test.row_count);
    err_t err;

    TRY(row_read(txn, index, &state));
    TRY(row_read(txn, other, &seen));
    state.number++;
    state.seen_row = other;
    state.seen_number = other == index ? 0 : seen.number;
    test.rows[index].attempted = MAX(test.rows[index].attempted, state.number);
    row_write(txn, index, &state, value);
    *number_out = state.number;
out:
    return err;
}

/* Interactive: the row is locked before it is read. */
static YIELDS err_t
row_lock(struct txn *txn, uint32_t index)
{
    char text[16];
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count() && err == ERR_OK; i++) {
        if (row_is_on(&test.rows[index], i)) {
            err = txn_lock(txn, slot_of(i), key_of(index, text), LOCK_UPDATE, LOCK_WAIT);
        }
    }
    return err;
}

static YIELDS err_t
raise_interactively(uint32_t index, uint8_t *value, uint64_t *number_out, struct txn_done *done)
{
    struct txn_options options = {
        .isolation = (enum txn_isolation)prng_below(shard_prng(), 3),
        .lock_timeout_us = 1000 * 1000,
        .tag = SLICE("raise"),
    };
    struct txn *txn = NULL;
    err_t err;

    TRY(txn_begin(&options, &txn));
    TRY(txn_statement(txn, false));
    TRY(row_lock(txn, index));
    TRY(txn_statement(txn, false));
    TRY(row_raise(txn, index, value, number_out));
    if (prng_below(shard_prng(), 10) == 0) {
        txn_abort(&txn);
        *number_out = 0;
        return ERR_OK;
    }
    return txn_commit(&txn, done);
out:
    txn_abort(&txn);
    return err;
}

static YIELDS err_t
raise_at_once(uint32_t index, uint8_t *value, uint64_t *number_out, struct txn_done *done)
{
    struct txn *txn = txn_begin_auto(false, NULL);
    err_t err = row_raise(txn, index, value, number_out);

    if (err == ERR_OK) {
        return txn_commit(&txn, done);
    }
    txn_abort(&txn);
    return err;
}

static YIELDS void
raise_one(void)
{
    uint32_t index = (uint32_t)prng_below(shard_prng(), test.row_count);
    bool is_interactive = prng_below(shard_prng(), 4) == 0;
    struct txn_done done = {0};
    uint64_t number = 0;
    uint8_t *value = mem_zalloc(MEM_SESSIONS, LARGE_BYTES);
    uint32_t round = 0;
    err_t err = ERR_SERIALIZATION;

    while (is_retried(err) && round++ < ROUNDS_MAX && !test.is_stopping) {
        err = is_interactive ? raise_interactively(index, value, &number, &done)
                             : raise_at_once(index, value, &number, &done);
        if (err != ERR_OK) {
            (void)fiber_sleep_us(prng_below(shard_prng(), 2000));
        }
    }
    mem_free(MEM_SESSIONS, value, LARGE_BYTES);
    RUN_CHECK(test.run, err == ERR_OK || is_excused(err) || (test.is_stopping && is_retried(err)),
              "row %u: %s: %s", index, err_name(err), err_message(err));
    test.run->operations++;
    if (err == ERR_OK && number != 0) {
        acknowledge(index, number, &done);
        test.commits++;
    }
}

static YIELDS void
look_at_one(void)
{
    uint32_t index = (uint32_t)prng_below(shard_prng(), test.row_count);
    struct txn *txn = txn_begin_auto(true, NULL);
    uint64_t least = test.rows[index].acknowledged;
    struct txn_done done = {0};
    struct state state = {0};
    err_t err = row_read(txn, index, &state);

    if (err == ERR_OK) {
        err = txn_commit(&txn, &done);
        RUN_CHECK(test.run, err == ERR_OK, "a reader's end: %s", err_message(err));
        RUN_CHECK(test.run, state.number >= least, "row %u is %llu, but was reported as %llu",
                  index, (unsigned long long)state.number, (unsigned long long)least);
        acknowledge(index, state.number, &done);
    } else {
        txn_abort(&txn);
        RUN_CHECK(test.run, is_excused(err), "a reader: %s: %s", err_name(err), err_message(err));
    }
    test.run->operations++;
}

/* ---- After a start. ---- */

struct sums {
    uint64_t of_shard[SIM_SHARDS_MAX];
    uint64_t of_row[ROWS_MAX];
};

static YIELDS err_t
rows_check(struct txn *txn, struct sums *sums)
{
    struct state states[ROWS_MAX];
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < test.row_count; i++) {
        const struct row *row = &test.rows[i];

        TRY(row_read(txn, i, &states[i]));
        sums->of_row[i] = states[i].number;
        RUN_CHECK(test.run, states[i].number >= row->acknowledged,
                  "row %u stands at %llu, but %llu was acknowledged", i,
                  (unsigned long long)states[i].number, (unsigned long long)row->acknowledged);
        RUN_CHECK(test.run, states[i].number <= row->attempted,
                  "row %u stands at %llu, which nobody has written", i,
                  (unsigned long long)states[i].number);
        for (uint32_t shard = 0; shard < shard_count(); shard++) {
            sums->of_shard[shard] += row_is_on(row, shard) ? states[i].number : 0;
        }
    }
    for (uint32_t i = 0; i < test.row_count; i++) {
        RUN_CHECK(test.run, states[states[i].seen_row].number >= states[i].seen_number,
                  "row %u has seen row %llu at %llu, which is not there", i,
                  (unsigned long long)states[i].seen_row,
                  (unsigned long long)states[i].seen_number);
    }
out:
    return err;
}

static err_t
all_check(void *arg)
{
    struct txn *txn = txn_begin_auto(true, NULL);
    struct sums sums = {0};
    err_t err;

    (void)arg;
    TRY(rows_check(txn, &sums));
    for (uint32_t i = 0; i < shard_count(); i++) {
        int64_t value;

        TRY(txn_counter(txn, slot_of(i), COUNTER, &value));
        RUN_CHECK(test.run, value == (int64_t)sums.of_shard[i],
                  "the counter of shard %u is %lld, its rows were written %llu times", i,
                  (long long)value, (unsigned long long)sums.of_shard[i]);
    }
    for (uint32_t i = 0; i < test.row_count; i++) { /* What is found now is durable. */
        test.rows[i].acknowledged = sums.of_row[i];
    }
out:
    txn_abort(&txn);
    RUN_CHECK(test.run, err == ERR_OK, "looking at all: %s", err_message(err));
    return err;
}

/* ---- Working. ---- */

static YIELDS void
copy_all(void)
{
    err_t err;

    if (test.is_copying || test.copy.state != COPY_NONE) {
        return;
    }
    test.is_copying = true;
    test.copy = (struct copy){.state = COPY_BEGUN};
    snprintf(test.copy.name, sizeof(test.copy.name), "copy-%llu",
             (unsigned long long)test.copies++);
    for (uint32_t i = 0; i < test.row_count; i++) {
        test.copy.from[i] = test.rows[i].acknowledged;
    }
    err = checkpoint_export(test.copy.name);
    RUN_CHECK(test.run, err == ERR_OK || is_excused(err), "checkpoint_export: %s",
              err_message(err));
    test.copy.state = err == ERR_OK ? COPY_MADE : COPY_NONE;
    test.is_copying = false;
}

static YIELDS void
work_once(void)
{
    uint64_t draw = prng_below(shard_prng(), 100);

    if (draw < 55) {
        raise_one();
    } else if (draw < 85) {
        look_at_one();
    } else if (draw < 90) {
        err_t err = lsm_flush(store_lsm(store_self()));

        RUN_CHECK(test.run, err == ERR_OK || is_excused(err), "lsm_flush: %s", err_message(err));
    } else if (draw < 91) {
        copy_all();
    } else {
        (void)fiber_sleep_us(prng_below(shard_prng(), draw < 94 ? 100000 : 1000));
    }
}

static void
work(void *arg)
{
    (void)arg;
    while (!test.is_stopping) {
        work_once();
    }
    test.running--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return test.running == 0;
}

static void
workers_begin(struct run *run)
{
    test.is_stopping = false;
    test.is_copying = false;
    test.running = 0;
    for (uint32_t shard = 0; shard < run->shards; shard++) {
        for (uint32_t i = 0; i < test.workers; i++) {
            sim_world_spawn(run->world, shard, "worker", work, NULL);
            test.running++;
        }
    }
}

/* ---- Lives. ---- */

static void
open_fiber(void *arg)
{
    (void)open_here(arg);
}

static void
crash_in_recovery(struct run *run)
{
    sim_world_boot(run->world, run->shards);
    for (uint32_t i = 0; i < run->shards; i++) {
        sim_world_spawn(run->world, i, "open", open_fiber, NULL);
    }
    run_for(run, run_between(run, 1, 20000));
    SOMETIMES("commit: a crash in recovery");
    run_crash(run);
}

static void
copy_child(struct run *run, void *arg)
{
    (void)arg;
    test.opened = test.copy.name;
    for (uint32_t i = 0; i < test.row_count; i++) {
        test.rows[i].acknowledged = test.copy.from[i];
    }
    run_start(run, open_here, NULL);
    RUN_CHECK(run, sim_world_call(run->world, 0, all_check, NULL) == ERR_OK, "a copy");
    SOMETIMES("commit: a copy of all shards was opened and compared");
}

static void
copy_check(struct run *run)
{
    if (test.copy.state == COPY_MADE) {
        int status = run_in_child(run, copy_child, NULL);

        RUN_CHECK(run, status == 0, "%s: wait status %d", test.copy.name, status);
    }
    test.copy.state = COPY_NONE;
}

static bool
all_commit(void *arg)
{
    (void)arg;
    return test.commits >= 5;
}

static void
end_life(struct run *run)
{
    if (sim_world_fatal_message(run->world) == NULL && test.has_errors && run_chance(run, 40)) {
        run_calm(run);
        test.commits = 0;
        run_until(run, all_commit, NULL, HEAL_US, "commits after the disk has healed");
    }
    if (run_chance(run, 80) || sim_world_fatal_message(run->world) != NULL) {
        run_crash(run);
        return;
    }
    run_calm(run);
    test.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the workers to end");
    RUN_CHECK(run, sim_world_call_all(run->world, close_here, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
    SOMETIMES("commit: closed in order");
}

static void
live(struct run *run)
{
    test.options.durability =
        run_chance(run, 80) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    test.options.interval_us = run_between(run, 1000, 100000);
    run_start(run, open_here, NULL);
    RUN_CHECK(run,
              sim_world_call(run->world, (uint32_t)run_below(run, run->shards), all_check, NULL) ==
                  ERR_OK,
              "looking at all rows");
    run_draw_harmless_faults(run);
    test.has_errors = run_draw_errors(run);
    workers_begin(run);
    if (!run_for_operations(run, run_between(run, 10, 400), LIFE_US_MAX)) {
        RUN_CHECK(run, test.has_errors, "fatal without an error of the disk: %s",
                  sim_world_fatal_message(run->world));
    }
    end_life(run);
    run_calm(run);
    test.has_errors = false;
    copy_check(run);
}

static void
commit_begin(struct run *run)
{
    struct lsm_options *lsm = &test.options.lsm;

    memset(&test, 0, sizeof(test));
    test.run = run;
    test.row_count = (uint32_t)run_between(run, 2, ROWS_MAX);
    for (uint32_t i = 0; i < test.row_count; i++) {
        test.rows[i].shards = 1 + (uint32_t)run_below(run, (UINT64_C(1) << run->shards) - 1);
    }
    test.workers = (uint32_t)run_between(run, 1, WORKERS_MAX);
    test.options.wal_segment_bytes = UINT64_C(256 << 10) << run_below(run, 3);
    test.options.memory_bytes = 4 << 20;
    lsm->memtable_bytes = run_between(run, 16 << 10, 200 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 4);
    lsm->cache_bytes = run_between(run, 32 << 10, 512 << 10);
    lsm->level0_tables = (uint32_t)run_between(run, 2, 4);
}

static void
commit_main(struct run *run)
{
    commit_begin(run);
    while (run_chance(run, 40)) {
        crash_in_recovery(run);
    }
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
        if (run_chance(run, 25)) {
            crash_in_recovery(run);
        }
    }
    run_start(run, open_here, NULL);
    RUN_CHECK(run, sim_world_call(run->world, 0, all_check, NULL) == ERR_OK, "the end");
    RUN_CHECK(run, sim_world_call_all(run->world, close_here, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

const struct scenario scenario_commit = {
    .name = "commit",
    .text = "transactions over shards: whole after every crash and in every checkpoint",
    .weight = 4,
    .main = commit_main,
};
