/* tests/sim/scenario_wal.c - the log alone: appends of many fibers, levels, segments, crashes.
 *
 * Per shard the world outside keeps every record that is part of the history: a random nonce, the
 * size and the position. After a crash the log must give exactly the records that follow the
 * flushed position, in order, at their positions, without a gap: at least those that were durable,
 * and none that is not in the history. A record that was lost is lost for good: its number gets
 * another nonce, so that its return would be seen. */
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/scenarios.h"
#include "wal/wal.h"

enum {
    RECORDS_MAX = 65536,
    APPENDERS_MAX = 6,
    LIFE_US_MAX = 20 * 1000 * 1000,
    DRAIN_US = 300 * 1000 * 1000,
    CLAIM_US = 3 * WAL_HEARTBEAT_US, /* After so long without work a later batch claims all. */
};

struct record_head {
    uint64_t number; /* From 1. */
    uint64_t nonce;
    uint32_t shard;
    uint32_t bytes;
};

struct history_record {
    uint64_t nonce;
    lsn_t lsn;
    uint64_t ceiling; /* Of the clock, when it was appended. */
    uint32_t bytes;
};

struct wal_shard {
    struct history_record *records; /* [RECORDS_MAX + 1], by number. */
    uint64_t count;                 /* Appended. */
    uint64_t durable;               /* Numbers at or below were reported durable. */
    uint64_t flushed;               /* Numbers at or below need no replay. */
    uint64_t found;                 /* By this replay. */
    uint64_t ceiling;
    struct wal *wal;
};

struct wal_test {
    struct run *run;
    bool has_errors; /* EIO or ENOSPC are among the faults. */
    bool has_rot;    /* Something on the disk was changed: an error is as good as the truth. */
    bool is_stopping;
    uint32_t running;
    uint32_t appenders;
    uint32_t segment_bytes;
    uint32_t record_bytes_max;
    enum wal_durability durability;
    uint64_t interval_us;
    uint32_t in_flight_max; /* These three: 0 for the log's own choice. */
    uint32_t group_bytes;
    uint64_t pending_bytes_max;
    struct wal_shard shards[SIM_SHARDS_MAX];
};

static struct wal_test test;

static struct wal_shard *
here(void)
{
    return &test.shards[shard_id()];
}

/* ---- Records. ---- */

static void
record_fill(uint8_t *out, const struct record_head *head)
{
    memcpy(out, head, sizeof(*head));
    for (uint32_t i = sizeof(*head); i < head->bytes; i++) {
        out[i] = (uint8_t)(head->nonce >> (8 * (i % 8))) ^ (uint8_t)i;
    }
}

static void
record_check(struct slice payload, lsn_t lsn)
{
    struct wal_shard *shard = here();
    uint64_t number = shard->found + 1;
    const struct history_record *record = &shard->records[number];
    struct record_head head;

    RUN_CHECK(test.run, payload.size >= sizeof(head), "a record of %zu bytes was replayed",
              payload.size);
    memcpy(&head, payload.data, sizeof(head));
    RUN_CHECK(test.run, number <= shard->count,
              "shard %u: a ghost: record %llu at %llu was replayed, the last appended is %llu",
              shard_id(), (unsigned long long)head.number, (unsigned long long)lsn,
              (unsigned long long)shard->count);
    RUN_CHECK(test.run,
              head.number == number && head.nonce == record->nonce && head.shard == shard_id() &&
                  head.bytes == record->bytes && payload.size == record->bytes &&
                  lsn == record->lsn,
              "shard %u: record %llu (nonce %llx, %zu bytes, at %llu) was replayed where record "
              "%llu (nonce %llx, %u bytes, at %llu) was appended",
              shard_id(), (unsigned long long)head.number, (unsigned long long)head.nonce,
              payload.size, (unsigned long long)lsn, (unsigned long long)number,
              (unsigned long long)record->nonce, record->bytes, (unsigned long long)record->lsn);
    for (uint32_t i = sizeof(head); i < head.bytes; i++) {
        RUN_CHECK(
            test.run, payload.data[i] == ((uint8_t)(head.nonce >> (8 * (i % 8))) ^ (uint8_t)i),
            "shard %u: record %llu differs in byte %u", shard_id(), (unsigned long long)number, i);
    }
}

static err_t
replay(void *arg, lsn_t lsn, struct slice payload)
{
    (void)arg;
    record_check(payload, lsn);
    here()->found++;
    if (prng_below(shard_prng(), 16) == 0) {
        fiber_yield();
    }
    return ERR_OK;
}

/* ---- Opening. ---- */

static void
on_durable(void *arg, lsn_t durable)
{
    struct wal_shard *shard = arg;

    while (shard->durable < shard->count && shard->records[shard->durable + 1].lsn <= durable) {
        shard->durable++;
    }
}

/* What replay found is the history from now on. */
static void
settle(struct wal_shard *shard, const struct wal_recovered *recovered)
{
    const struct history_record *last = &shard->records[shard->durable];

    RUN_CHECK(test.run, shard->found >= shard->durable,
              "shard %u: record %llu was durable, only %llu records were replayed", shard_id(),
              (unsigned long long)shard->durable, (unsigned long long)shard->found);
    RUN_CHECK(test.run, shard->durable == 0 || recovered->clock_ceiling >= last->ceiling,
              "shard %u: the clock's ceiling is %llu, a durable record was written under %llu",
              shard_id(), (unsigned long long)recovered->clock_ceiling,
              (unsigned long long)last->ceiling);
    SOMETIMES_IF(shard->found > shard->durable, "wal: unacknowledged records were kept");
    SOMETIMES_IF(shard->found < shard->count, "wal: unacknowledged records were lost");
    shard->count = shard->found;
    shard->durable = shard->found;
    shard->ceiling = recovered->clock_ceiling;
}

static err_t
open_log(void *arg)
{
    struct wal_shard *shard = here();
    struct wal_recovered recovered;
    char dir[32];
    struct wal_options options = {
        .dir = dir,
        .log_id = 1000 + shard_id(),
        .segment_bytes = test.segment_bytes,
        .durability = test.durability,
        .interval_us = test.interval_us,
        .in_flight_max = test.in_flight_max,
        .group_bytes = test.group_bytes,
        .pending_bytes_max = test.pending_bytes_max,
        .needed_from = shard->flushed > 0 ? shard->records[shard->flushed].lsn : 0,
        .replay = replay,
    };
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "wal-%u", shard_id());
    shard->wal = NULL;
    shard->found = shard->flushed;
    TRY(wal_open(&options, &recovered, &shard->wal));
    settle(shard, &recovered);
    wal_on_durable(shard->wal, on_durable, shard);
out:
    return err;
}

static err_t
close_log(void *arg)
{
    struct wal_shard *shard = here();

    (void)arg;
    wal_close(&shard->wal);
    shard->durable = shard->count;
    return ERR_OK;
}

/* ---- Working. ---- */

static uint32_t
draw_bytes(void)
{
    uint64_t max = test.record_bytes_max;

    switch (prng_below(shard_prng(), 20)) {
    case 0:
        max = MIN(max, 20000ul);
        break;
    case 1:
        break;
    default:
        max = MIN(max, 400ul);
        break;
    }
    return (uint32_t)(sizeof(struct record_head) + prng_below(shard_prng(), max));
}

static void
append_one(void)
{
    struct wal_shard *shard = here();
    uint32_t bytes = draw_bytes();
    struct record_head head = {.shard = shard_id(), .bytes = bytes};
    lsn_t lsn = 0;
    err_t err;

    if (shard->count >= RECORDS_MAX) {
        return;
    }
    err = wal_reserve(shard->wal, bytes);
    if (err != ERR_OK) {
        RUN_CHECK(test.run, test.has_errors && (err == ERR_NO_SPACE || err == ERR_IO),
                  "wal_reserve: %s", err_message(err));
        SOMETIMES_IF(err == ERR_NO_SPACE, "wal: an append was refused for lack of space");
        fiber_sleep_us(10000);
        return;
    }
    NO_YIELD {
        head.number = ++shard->count;
        head.nonce = prng_next(shard_prng());
        record_fill(wal_append(shard->wal, bytes, &lsn), &head);
        shard->records[head.number] = (struct history_record){
            .nonce = head.nonce, .lsn = lsn, .ceiling = shard->ceiling, .bytes = bytes};
        RUN_CHECK(test.run, lsn > shard->records[head.number - 1].lsn, "positions do not grow");
    }
    test.run->operations++;
    if (prng_below(shard_prng(), 10) < 6) {
        wal_wait_durable(shard->wal, lsn);
        RUN_CHECK(test.run, wal_durable(shard->wal) >= lsn, "the wait ended too early");
        RUN_CHECK(test.run, shard->durable >= head.number, "the listener was not called");
    }
}

static void
release_some(void)
{
    struct wal_shard *shard = here();
    uint64_t number;

    if (shard->durable == shard->flushed) {
        return;
    }
    number = shard->flushed + prng_below(shard_prng(), shard->durable - shard->flushed + 1);
    if (number > shard->flushed) {
        shard->flushed = number;
        wal_release(shard->wal, shard->records[number].lsn);
    }
}

static void
work(void *arg)
{
    struct wal_shard *shard = here();

    (void)arg;
    while (!test.is_stopping) {
        switch (prng_below(shard_prng(), 40)) {
        case 0:
            release_some();
            break;
        case 1:
            shard->ceiling += prng_below(shard_prng(), 1000);
            wal_set_clock(shard->wal, shard->ceiling, 0);
            break;
        case 2:
            wal_set_durability(shard->wal, (enum wal_durability)prng_below(shard_prng(), 3),
                               1000 + prng_below(shard_prng(), 50000));
            break;
        case 3:
            fiber_sleep_us(prng_below(shard_prng(), 400000));
            break;
        case 4:
        case 5:
            fiber_sleep_us(prng_below(shard_prng(), 2000));
            break;
        default:
            append_one();
            break;
        }
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
spawn_workers(struct run *run)
{
    test.is_stopping = false;
    test.running = 0;
    for (uint32_t shard = 0; shard < run->shards; shard++) {
        for (uint32_t i = 0; i < test.appenders; i++) {
            sim_world_spawn(run->world, shard, "appender", work, NULL);
            test.running++;
        }
    }
}

static void
stop_workers(struct run *run)
{
    test.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the appenders to end");
}

/* ---- Lives. ---- */

/* The size may change from one life to the next. */
static void
draw_segments(struct run *run)
{
    static const uint32_t segments[] = {64 << 10, 128 << 10, 256 << 10, 1 << 20};

    test.segment_bytes = segments[run_below(run, ARRAY_COUNT(segments))];
    test.record_bytes_max = (uint32_t)run_between(run, 100, test.segment_bytes - 4096);
}

static void
draw_options(struct run *run)
{
    draw_segments(run);
    test.appenders = (uint32_t)run_between(run, 1, APPENDERS_MAX);
}

static void
draw_life(struct run *run)
{
    test.durability = run_chance(run, 60) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    test.interval_us = run_between(run, 1000, 200000);
    test.in_flight_max = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 6) : 0;
    test.group_bytes = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 65536) : 0;
    test.pending_bytes_max = run_chance(run, 30) ? run_between(run, 8 << 10, 256 << 10) : 0;
}

static void
draw_errors(struct run *run)
{
    struct sim_options *options = sim_world_options(run->world);

    test.has_errors = run_chance(run, 30);
    if (test.has_errors) {
        options->eio_write_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 3000) : 0;
        options->eio_sync_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 20000) : 0;
        options->no_space_ppm = run_chance(run, 50) ? (uint32_t)run_below(run, 300000) : 0;
        options->disk_bytes = run_chance(run, 50) ? run_between(run, 1 << 20, 8 << 20) : 0;
    }
}

static void
open_fiber(void *arg)
{
    (void)arg;
    (void)open_log(NULL);
}

/* A start that is cut short at any instant. */
static void
crash_in_recovery(struct run *run)
{
    sim_world_boot(run->world, run->shards);
    for (uint32_t i = 0; i < run->shards; i++) {
        sim_world_spawn(run->world, i, "open", open_fiber, NULL);
    }
    run_for(run, run_between(run, 1, 3000));
    SOMETIMES("wal: a crash in recovery");
    run_crash(run);
}

static void
end_life(struct run *run)
{
    if (run_chance(run, 85) || sim_world_fatal_message(run->world) != NULL) {
        run_crash(run);
        return;
    }
    sim_world_calm(run->world);
    sim_world_options(run->world)->disk_bytes = 0;
    stop_workers(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_log, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

static void
live(struct run *run)
{
    draw_life(run);
    run_start(run, open_log, NULL);
    run_draw_harmless_faults(run);
    draw_errors(run);
    spawn_workers(run);
    if (!run_for_operations(run, run_between(run, 10, 400), LIFE_US_MAX)) {
        RUN_CHECK(run, test.has_errors, "fatal without an error of the disk: %s",
                  sim_world_fatal_message(run->world));
        SOMETIMES("wal: a failed write ended the process");
    }
    end_life(run);
    sim_world_calm(run->world);
    sim_world_options(run->world)->disk_bytes = 0;
}

static void
test_begin(struct run *run)
{
    static struct history_record records[SIM_SHARDS_MAX][RECORDS_MAX + 1];

    memset(&test, 0, sizeof(test));
    test.run = run;
    for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++) {
        test.shards[i].records = records[i];
    }
    draw_options(run);
}

static void
wal_main(struct run *run)
{
    test_begin(run);
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
        if (run_chance(run, 10)) {
            draw_segments(run);
        }
        if (run_chance(run, 30)) {
            crash_in_recovery(run);
        }
    }
    run_start(run, open_log, NULL);
    RUN_CHECK(run, sim_world_call_all(run->world, close_log, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

const struct scenario scenario_wal = {
    .name = "wal",
    .text = "the log: what was durable is replayed, in order, and no ghost",
    .weight = 3,
    .main = wal_main,
};

/* ---- Rot. ---- */

/* One thing goes wrong with what was durable: a flipped bit, a dropped write or a misplaced one.
 * Afterwards each log gives an error, or the truth. */
static void
rot_one(struct run *run)
{
    switch (run_below(run, 3)) {
    case 0:
        break; /* A bit, after the crash. */
    case 1:
        sim_disk_astray_next(run->world, SIM_ASTRAY_STALE, NULL, (uint32_t)run_below(run, 20));
        return;
    default:
        sim_disk_astray_next(run->world, SIM_ASTRAY_MISDIRECTED, NULL,
                             (uint32_t)run_below(run, 20));
        return;
    }
}

static void
new_history(struct run *run)
{
    sim_disk_wipe(run->world);
    for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++) {
        test.shards[i].count = 0;
        test.shards[i].durable = 0;
        test.shards[i].flushed = 0;
        test.shards[i].ceiling = 0;
    }
}

static uint64_t
rot_faults(const struct run *run)
{
    const struct sim_counters *counters = sim_world_counters(run->world);

    return counters->faults[SIM_FAULT_BIT_FLIP] + counters->faults[SIM_FAULT_STALE] +
           counters->faults[SIM_FAULT_MISDIRECTED];
}

/* Long enough without work that a later batch says that all was durable: a loss of the very last
 * batches is the one that nobody can see. */
static bool
quiet(struct run *run)
{
    test.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the appenders to end");
    return run_for(run, CLAIM_US);
}

static void
rot_episode(struct run *run)
{
    uint64_t faults_before;
    err_t err;

    new_history(run);
    draw_life(run);
    run_start(run, open_log, NULL);
    spawn_workers(run);
    run_for_operations(run, run_between(run, 20, 100), LIFE_US_MAX);
    faults_before = rot_faults(run);
    rot_one(run);
    run_for_operations(run, run_between(run, 20, 200), LIFE_US_MAX);
    quiet(run);
    sim_world_calm(run->world);
    run_crash(run);
    if (rot_faults(run) == faults_before) {
        sim_disk_flip_any(run->world, NULL);
    }
    err = sim_world_start(run->world, run->shards, open_log, NULL);
    run->lives++;
    if (err != ERR_OK) {
        RUN_CHECK(run, err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_INVALID,
                  "rot was reported as %s: %s", err_name(err), err_message(err));
        SOMETIMES("wal: rot was found and named");
    } else {
        SOMETIMES("wal: rot did no harm");
    }
    sim_world_crash(run->world, SIM_CRASH_KILL);
}

static void
wal_rot_main(struct run *run)
{
    test_begin(run);
    test.segment_bytes = 256 << 10;
    test.record_bytes_max = MIN(test.record_bytes_max, 200u << 10);
    while (run->lives < 8 || !run_is_enough(run)) {
        rot_episode(run);
    }
}

const struct scenario scenario_wal_rot = {
    .name = "wal-rot",
    .text = "the log: bit flips, dropped and misplaced writes give an error or the truth",
    .weight = 2,
    .main = wal_rot_main,
};
