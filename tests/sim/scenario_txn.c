/* tests/sim/scenario_txn.c - transactions over all shards through crashes.
 *
 * Clients on every shard run transactions at every isolation level, interactive and auto, on keys
 * of all shards (txn_clients.h). At the end of each life the history of all lives so far is checked
 * for cycles of dependencies that a level excludes (lib/cycles.h): what was answered is there, what
 * was refused is not, what was never answered is there as a whole or not at all. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/txn_clients.h"

enum {
    SHARDS_MAX_HERE = 4,
    LIVES_MIN = 4,
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    RETENTION_US_MAX = 10 * 1000 * 1000,
    IDLE_US_MAX = 4 * 1000 * 1000,
    WALL_STEP_US_MAX = 150 * 1000 * 1000,
};

/* ---- Shards. ---- */

static err_t
open_shard(void *arg)
{
    struct store_options options = txn_test.options;
    char dir[32];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    TRY(store_open(&options, &txn_test.stores[shard_id()]));
    TRY(txns_open(&txn_test.txns[shard_id()]));
out:
    return err;
}

static void
open_fiber(void *arg)
{
    (void)open_shard(arg);
}

static err_t
close_txns(void *arg)
{
    (void)arg;
    txns_close(&txn_test.txns[shard_id()]);
    return ERR_OK;
}

static err_t
close_store(void *arg)
{
    (void)arg;
    store_close(&txn_test.stores[shard_id()]);
    return ERR_OK;
}

/* ---- Lives. ---- */

static bool
nobody_runs(void *arg)
{
    (void)arg;
    return txn_test.running == 0;
}

static void
print_member(uint32_t index)
{
    const struct cycles_txn *txn = &txn_test.history.records[index].txn;

    printf("T%u: level %d, %s, from %" PRIu64 " to %" PRIu64 ", timestamp %" PRIu64 "\n", index,
           (int)txn->level, txn->status == CYCLES_OK ? "answered" : "not answered", txn->begin,
           txn->end, txn->ts);
    for (uint32_t i = 0; i < txn->op_count; i++) {
        const struct cycles_op *op = &txn_test.history.records[index].ops[i];
        static const char *const kinds[] = {"append", "list", "write", "read"};

        printf("    %u: %s%s key %u: value %" PRIu64 ", timestamp %" PRIu64, op->statement,
               kinds[op->kind], op->is_predicate ? " in a range," : "", op->key, op->value, op->ts);
        if (op->kind == CYCLES_LIST && op->count > 0) {
            printf(", %u items, the last %" PRIu64, op->count, op->values[op->count - 1]);
        }
        printf("\n");
    }
}

static void
check_history(struct run *run)
{
    struct cycles_report report;
    enum cycles_anomaly anomaly = txn_history_check(&txn_test.history, &report);

    if (anomaly == CYCLES_NONE) {
        return;
    }
    for (uint32_t i = 0; i < report.member_count; i++) {
        print_member(report.members[i]);
    }
    run_fail(run, "%u transactions, %s: %s", txn_test.history.count, cycles_anomaly_text(anomaly),
             report.text);
}

static void
spawn(struct run *run, const char *name, fiber_fn fn)
{
    txn_test.running++;
    sim_world_spawn(run->world, (uint32_t)run_below(run, run->shards), name, fn, NULL);
}

/* Looks at everything while nobody else does anything. */
static void
look(struct run *run)
{
    spawn(run, "verify", txn_verify);
    run_until(run, nobody_runs, NULL, DRAIN_US, "the look at everything");
    check_history(run);
}

static void
spawn_clients(struct run *run)
{
    txn_test.is_stopping = false;
    txn_test.is_slow = run_chance(run, 10);
    for (uint64_t i = run_between(run, 2, TXN_CLIENTS_MAX); i > 0; i--) {
        spawn(run, "client", txn_client);
    }
}

static void
crash(struct run *run)
{
    run_crash(run);
    txn_history_crash(&txn_test.history);
    txn_test.running = 0;
}

static void
crash_in_recovery(struct run *run)
{
    sim_world_boot(run->world, run->shards);
    for (uint32_t i = 0; i < run->shards; i++) {
        sim_world_spawn(run->world, i, "open", open_fiber, NULL);
    }
    run_for(run, run_between(run, 1, 20000));
    SOMETIMES("txn: a crash in recovery");
    crash(run);
}

static void
stop(struct run *run)
{
    run_calm(run);
    txn_test.is_stopping = true;
    run_until(run, nobody_runs, NULL, DRAIN_US, "the clients to end");
    look(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_txns, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
    SOMETIMES("txn: an orderly end");
}

static void
draw_options(struct run *run)
{
    txn_test.options = (struct store_options){
        .memory_bytes = run_between(run, 1, 8) << 20,
        .retention_us = run_chance(run, 50) ? run_between(run, 1000, RETENTION_US_MAX) : 0,
        .wal_segment_bytes = UINT64_C(64) << (10 + run_below(run, 4)),
    };
    if (run_chance(run, 70)) { /* Many flushes, and positions of other logs in their notes. */
        txn_test.options.lsm.memtable_bytes = run_between(run, 16, 128) << 10;
    }
}

static void
draw_life(struct run *run)
{
    struct store_options *options = &txn_test.options;

    options->durability = run_chance(run, 70) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    options->interval_us = run_between(run, 1000, 200000);
    options->wal_in_flight_max = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 6) : 0;
    txn_test.is_sync = options->durability == WAL_SYNC;
}

static void
draw_faults(struct run *run)
{
    run_draw_harmless_faults(run);
    if (run_chance(run, 30)) {
        sim_world_options(run->world)->wall_step_us_max = WALL_STEP_US_MAX;
        sim_world_options(run->world)->wall_step_ppm = 20000;
    }
    if (run_chance(run, 40)) { /* Messages overtake whatever does not go by messages. */
        sim_world_options(run->world)->message_delay_ppm = 100000;
    }
}

/* Nobody asks for anything for longer than the ceilings of the clocks reach ahead, and then reads.
 */
static void
idle(struct run *run)
{
    txn_test.is_stopping = true;
    run_until(run, nobody_runs, NULL, DRAIN_US, "the clients to end");
    run_for(run, run_between(run, 1, IDLE_US_MAX));
    look(run);
    if (run_chance(run, 50)) {
        spawn_clients(run);
        run_for_operations(run, run_between(run, 1, 100), LIFE_US_MAX);
    }
    SOMETIMES("txn: went on after nobody had asked for anything");
}

static void
live(struct run *run)
{
    draw_life(run);
    run_start(run, open_shard, NULL);
    look(run);
    draw_faults(run);
    txn_test.has_errors = run_draw_errors(run);
    spawn_clients(run);
    if (!run_for_operations(run, run_between(run, 10, 600), LIFE_US_MAX)) {
        RUN_CHECK(run, txn_test.has_errors, "fatal without an error of the disk: %s",
                  sim_world_fatal_message(run->world));
        crash(run);
        return;
    }
    if (!txn_test.has_errors && run_chance(run, 15)) {
        idle(run);
    }
    if (run_chance(run, 80)) {
        crash(run);
    } else {
        stop(run);
    }
}

static void
txn_main(struct run *run)
{
    static const uint32_t shard_counts[] = {1, 2, 2, 2, 3, 4};

    run->shards = shard_counts[run_below(run, ARRAY_COUNT(shard_counts))];
    txn_clients_begin(run);
    draw_options(run);
    for (uint32_t life = 0; life < LIVES_MIN || !run_is_enough(run); life++) {
        live(run);
        run_calm(run);
        txn_test.has_errors = false;
        if (run_chance(run, 25)) {
            crash_in_recovery(run);
        }
    }
    draw_life(run);
    run_start(run, open_shard, NULL);
    stop(run);
}

const struct scenario scenario_txn = {
    .name = "txn",
    .text = "transactions at every level over all shards: no cycles, sums hold, in every crash",
    .weight = 8,
    .main = txn_main,
};
