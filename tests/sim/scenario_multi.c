/* tests/sim/scenario_multi.c - Redis commands whose keys lie on several shards, MULTI with WATCH,
 * and interactive transactions, through crashes.
 *
 * Money moves between accounts, one value is written under several keys, members move between
 * sets. Whoever looks, at any moment and after every crash, finds all of a change or nothing: the
 * money and the members are as many as ever, and the keys of the group are equal. A counter that
 * every transfer raises in its transaction tells that none is lost that was answered.
 *
 * With resharding each life has another number of shards, and slots move meanwhile. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "models/kv/kv.h"
#include "models/kv/slots.h"
#include "tests/sim/scenarios.h"
#include "txn/reshard.h"
#include "txn/store.h"

enum {
    ACCOUNTS = 8,
    MONEY = 1000, /* Of an account at first. */
    GROUP = 4,
    SETS = 3,
    MEMBERS = 170, /* More than a packed set has. */
    CLIENTS_MAX = 8,
    COMMANDS_MAX = 6,
    WORDS_MAX = 2 + 2 * ACCOUNTS,
    KEYS = ACCOUNTS + GROUP + SETS + 1,
    RESHARD_SHARDS_MAX = 5,
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
};

struct multi_test {
    struct run *run;
    struct store_options options;
    bool is_stopping;
    uint32_t running;
    uint32_t client_count;
    uint64_t next_stamp;
    bool is_made;
    bool reshards;
    uint32_t wanted; /* Shards of the life, when the slots have moved. */
    int64_t started; /* Transfers begun since the start, above `base`. */
    int64_t base;    /* The counter at the start of the life. */
    int64_t durable; /* Answers at or below were acknowledged durably. */
    uint32_t sessions[CLIENTS_MAX];
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
    struct kv *kvs[SIM_SHARDS_MAX];
};

static struct multi_test test;

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

/* ---- Calls: from the session's shard, wherever the keys lie. ---- */

struct batch {
    struct arena arena;
    struct reply reply;
    struct slice argv[COMMANDS_MAX][WORDS_MAX];
    struct kv_request requests[COMMANDS_MAX];
    uint32_t count;
    struct txn *txn;
    struct kv_watch *watches;
};

static void
batch_init(struct batch *batch)
{
    memset(batch, 0, sizeof(*batch));
    arena_init(&batch->arena, MEM_SESSIONS);
    reply_init(&batch->reply, 2);
}

static void
batch_fini(struct batch *batch)
{
    kv_unwatch(&batch->watches);
    reply_fini(&batch->reply);
    arena_fini(&batch->arena);
}

/* The words of one more command, separated by spaces. */
static void
add(struct batch *batch, const char *format, ...)
{
    struct slice *argv = batch->argv[batch->count];
    char text[512];
    uint32_t argc = 0;
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    for (char *save, *word = strtok_r(text, " ", &save); word != NULL;
         word = strtok_r(NULL, " ", &save)) {
        ASSERT(argc < WORDS_MAX);
        argv[argc++] = arena_copy(&batch->arena, slice_from_text(word));
    }
    batch->requests[batch->count++] = (struct kv_request){
        .command = command_resolve(argv, argc),
        .argv = argv,
        .argc = argc,
        .reply = &batch->reply,
        .arena = &batch->arena,
        .now_ms = io_wall_us() / 1000,
    };
}

static void
run_one(void *arg, struct kv_request *request)
{
    (void)arg;
    kv_execute(request);
}

/* The answer is whole, and durable where it must be. The text ends with a zero. */
static const char *
answer(struct batch *batch, lsn_t lsn)
{
    if (test.options.durability == WAL_SYNC && lsn != 0) {
        store_wait_durable(store_self(), lsn);
    }
    buf_append_byte(&batch->reply.buf, 0);
    batch->count = 0;
    test.run->operations++;
    return (const char *)batch->reply.buf.data;
}

/* The last command alone, or (in a transaction) as a statement of it. */
static const char *
call(struct batch *batch)
{
    struct kv_request *request = &batch->requests[batch->count - 1];

    buf_clear(&batch->reply.buf);
    request->txn = batch->txn;
    kv_execute(request);
    return answer(batch, request->lsn);
}

static const char *
exec(struct batch *batch)
{
    struct kv_multi multi = {
        .requests = batch->requests,
        .count = batch->count,
        .watches = batch->watches,
        .reply = &batch->reply,
        .arena = &batch->arena,
        .now_ms = io_wall_us() / 1000,
        .run = run_one,
    };

    buf_clear(&batch->reply.buf);
    kv_execute_multi(&multi);
    return answer(batch, multi.lsn);
}

static bool
is_conflict(const char *text)
{
    return strncmp(text, "-CONFLICT ", 10) == 0 || strncmp(text, "-DEADLOCK ", 10) == 0;
}

/* ---- What must hold. ---- */

/* The numbers of `count` bulk strings. */
static const char *
sum_take(const char *at, uint32_t count, int64_t *sum_out)
{
    long long number;

    *sum_out = 0;
    for (uint32_t i = 0; i < count; i++) {
        int used = 0;

        RUN_CHECK(test.run, sscanf(at, "$%*d\r\n%lld\r\n%n", &number, &used) == 1 && used > 0,
                  "account %u is %.60s", i, at);
        *sum_out += number;
        at += used;
    }
    return at;
}

static void
check_looks(const char *text)
{
    long long members[SETS];
    char group[GROUP][24];
    const char *at = text;
    int64_t sum;
    int used = 0;

    RUN_CHECK(test.run, strncmp(at, "*5\r\n*8\r\n", 8) == 0, "looking answers %.60s", at);
    at = sum_take(at + 8, ACCOUNTS, &sum);
    RUN_CHECK(test.run, sum == ACCOUNTS * MONEY, "there is money for %lld", (long long)sum);
    RUN_CHECK(test.run,
              sscanf(at, "*4\r\n$%*d\r\n%23s\r\n$%*d\r\n%23s\r\n$%*d\r\n%23s\r\n$%*d\r\n%23s\r\n%n",
                     group[0], group[1], group[2], group[3], &used) == GROUP,
              "the group is %.100s", at);
    for (uint32_t i = 1; i < GROUP; i++) {
        RUN_CHECK(test.run, strcmp(group[0], group[i]) == 0, "half of the group is %s, half %s",
                  group[0], group[i]);
    }
    at += used;
    RUN_CHECK(test.run,
              sscanf(at, ":%lld\r\n:%lld\r\n:%lld", &members[0], &members[1], &members[2]) == SETS,
              "the sets have %.60s", at);
    RUN_CHECK(test.run, members[0] + members[1] + members[2] == MEMBERS,
              "the sets have %lld + %lld + %lld members", members[0], members[1], members[2]);
}

static void
look(struct batch *batch)
{
    add(batch, "MGET a0 a1 a2 a3 a4 a5 a6 a7");
    add(batch, "MGET g0 g1 g2 g3");
    for (uint32_t i = 0; i < SETS; i++) {
        add(batch, "SCARD s%u", i);
    }
    check_looks(exec(batch));
}

/* Each command has a snapshot of its own, and it is of one moment. */
static void
look_once(struct batch *batch)
{
    const char *text;
    int64_t sum;

    if (below(2) == 0) {
        add(batch, "MGET a0 a1 a2 a3 a4 a5 a6 a7");
        text = call(batch);
        RUN_CHECK(test.run, strncmp(text, "*8\r\n", 4) == 0, "MGET answers %.60s", text);
        sum_take(text + 4, ACCOUNTS, &sum);
        RUN_CHECK(test.run, sum == ACCOUNTS * MONEY, "MGET sees money for %lld", (long long)sum);
    } else {
        add(batch, "SUNION s0 s1 s2");
        text = call(batch);
        RUN_CHECK(test.run, strncmp(text, "*170\r\n", 6) == 0, "SUNION answers %.20s", text);
    }
}

/* All keys are counted once, wherever they are. */
static void
look_around(struct batch *batch)
{
    char cursor[24] = "0";
    unsigned long long found = 0;
    const char *text;

    add(batch, "DBSIZE");
    text = call(batch);
    RUN_CHECK(test.run, strtoull(text + 1, NULL, 10) == KEYS, "DBSIZE answers %.40s", text);
    add(batch, "KEYS *");
    text = call(batch);
    RUN_CHECK(test.run, strtoull(text + 1, NULL, 10) == KEYS, "KEYS answers %.40s", text);
    do { /* Nothing is made or removed, so that nothing is seen twice. */
        unsigned long long count = 0;

        add(batch, "SCAN %s COUNT 3", cursor);
        text = call(batch);
        RUN_CHECK(test.run, sscanf(text, "*2\r\n$%*d\r\n%20s\r\n*%llu", cursor, &count) == 2,
                  "SCAN answers %.60s", text);
        found += count;
    } while (strcmp(cursor, "0") != 0);
    RUN_CHECK(test.run, found == KEYS, "SCAN finds %llu keys", found);
}

/* ---- What clients do. ---- */

static void
transfer_answered(const char *text)
{
    const char *last = strrchr(text, ':');
    long long number = 0;

    RUN_CHECK(test.run, last != NULL && sscanf(last, ":%lld", &number) == 1,
              "a transfer answers %.80s", text);
    RUN_CHECK(test.run, number > test.base && number <= test.base + test.started,
              "transfer %lld: they began at %lld and %lld were made", number, (long long)test.base,
              (long long)test.started);
    if (test.options.durability == WAL_SYNC) {
        test.durable = MAX(test.durable, number);
    }
}

static void
transfer(struct batch *batch, bool with_watch)
{
    uint32_t from = (uint32_t)below(ACCOUNTS);
    uint32_t to = (from + 1 + (uint32_t)below(ACCOUNTS - 1)) % ACCOUNTS;
    uint32_t amount = (uint32_t)below(50);
    const char *text;
    long long before = 0;

    if (with_watch) {
        add(batch, "WATCH a%u a%u", from, to);
        buf_clear(&batch->reply.buf);
        kv_watch(&batch->requests[0], &batch->watches);
        batch->count = 0;
        add(batch, "GET a%u", from);
        text = call(batch);
        RUN_CHECK(test.run, sscanf(text, "$%*d\r\n%lld", &before) == 1, "GET answers %.40s", text);
        add(batch, "SET a%u %lld", from, before - (long long)amount);
    } else {
        add(batch, "DECRBY a%u %u", from, amount);
    }
    add(batch, "INCRBY a%u %u", to, amount);
    add(batch, "INCR transfers");
    test.started++;
    text = exec(batch);
    kv_unwatch(&batch->watches);
    if (strcmp(text, "*-1\r\n") == 0) {
        SOMETIMES("multi: a watched key had changed");
        return;
    }
    transfer_answered(text);
}

static void
transfer_interactively(struct batch *batch)
{
    static const enum txn_isolation levels[] = {TXN_REPEATABLE_READ, TXN_SERIALIZABLE};
    const struct txn_options options = {.isolation = levels[below(2)], .principal = SLICE("sim")};
    uint32_t from = (uint32_t)below(ACCOUNTS);
    uint32_t to = (from + 1 + (uint32_t)below(ACCOUNTS - 1)) % ACCOUNTS;
    uint32_t amount = (uint32_t)below(50);
    struct txn_done done;
    const char *text = "";
    char last[64];
    err_t err = txn_begin(&options, &batch->txn);

    RUN_CHECK(test.run, err == ERR_OK, "txn_begin: %s", err_message(err));
    test.started++;
    for (uint32_t step = 0; step < 3 && !is_conflict(text); step++) {
        if (step < 2) {
            add(batch, step == 0 ? "DECRBY a%u %u" : "INCRBY a%u %u", step == 0 ? from : to,
                amount);
        } else {
            add(batch, "INCR transfers");
        }
        text = call(batch);
        fiber_sleep_us(below(300));
    }
    snprintf(last, sizeof(last), "%.60s", text);
    if (is_conflict(last) || below(4) == 0) {
        SOMETIMES_IF(is_conflict(last), "multi: an interactive transaction met another's write");
        txn_abort(&batch->txn);
        return;
    }
    err = txn_commit(&batch->txn, &done);
    RUN_CHECK(test.run, err == ERR_OK || err == ERR_SERIALIZATION, "txn_commit: %s",
              err_message(err));
    if (err == ERR_OK) {
        if (test.options.durability == WAL_SYNC) {
            store_wait_durable(store_self(), done.lsn);
        }
        transfer_answered(last);
    }
}

static void
stamp(struct batch *batch)
{
    unsigned long long value = test.next_stamp++;

    add(batch, "MSET g0 %llu g1 %llu g2 %llu g3 %llu", value, value, value, value);
    RUN_CHECK(test.run, strcmp(call(batch), "+OK\r\n") == 0, "MSET answers %s",
              (const char *)batch->reply.buf.data);
}

static void
move_member(struct batch *batch)
{
    uint32_t from = (uint32_t)below(SETS);
    const char *text;

    add(batch, "SMOVE s%u s%u m%llu", from, (from + 1) % SETS, (unsigned long long)below(MEMBERS));
    text = call(batch);
    RUN_CHECK(test.run, text[0] == ':', "SMOVE answers %.60s", text);
}

static void
client_run(void *arg)
{
    struct batch *batch = malloc(sizeof(*batch));

    (void)arg;
    ASSERT(batch != NULL);
    while (!test.is_stopping) {
        uint64_t draw = below(100);

        batch_init(batch);
        if (draw < 20) {
            transfer(batch, false);
        } else if (draw < 35) {
            transfer(batch, true);
        } else if (draw < 50) {
            transfer_interactively(batch);
        } else if (draw < 60) {
            stamp(batch);
        } else if (draw < 75) {
            move_member(batch);
        } else if (draw < 85) {
            look(batch);
        } else if (draw < 92) {
            look_once(batch);
        } else if (draw < 95) {
            look_around(batch);
        } else {
            fiber_sleep_us(below(1500));
        }
        batch_fini(batch);
    }
    free(batch);
    test.running--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return test.running == 0;
}

/* ---- Another number of shards. ---- */

static err_t
plan(void *arg)
{
    return reshard_plan(test.wanted, arg);
}

/* The shards that there are data of, and those that are wanted. */
static void
shards_draw(struct run *run)
{
    uint32_t shards = 0;
    err_t err;

    test.wanted = (uint32_t)run_between(run, 1, RESHARD_SHARDS_MAX);
    err = sim_world_start(run->world, 1, plan, &shards);
    RUN_CHECK(run, err == ERR_OK, "reshard_plan: %s", err_message(err));
    sim_world_stop(run->world);
    RUN_CHECK(run, shards >= test.wanted && shards <= RESHARD_SHARDS_MAX, "%u shards for %u",
              shards, test.wanted);
    run->shards = shards;
}

static err_t
open_reshard(void *arg)
{
    const struct reshard_options options = {
        .shards = test.wanted, .copy = kv_slots_copy, .on_move = kv_slots_on_move};

    (void)arg;
    return reshard_open(&options);
}

static err_t
close_reshard(void *arg)
{
    (void)arg;
    reshard_close();
    return ERR_OK;
}

static err_t
ask_reshard(void *arg)
{
    reshard_stats_get(arg);
    return ERR_OK;
}

/* Every entry lies where its slot is, and nothing lies on the shards that are given up. */
static err_t
check_place(void *arg)
{
    const uint8_t lower[] = {0x01};
    const uint8_t upper[] = {0x02};
    struct txn *txn = txn_begin_auto(true, NULL);
    struct txn_scan *scan = NULL;
    err_t err;

    (void)arg;
    TRY(txn_scan_open(txn, txn_slot_of_shard(shard_id()), slice_of(lower, 1), slice_of(upper, 1),
                      &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        uint16_t slot = txn_scan_entry(scan)->slot;

        RUN_CHECK(test.run, txn_shard_of_slot(slot) == shard_id(), "slot %u lies on shard %u", slot,
                  shard_id());
        TRY(txn_scan_next(scan));
    }
    RUN_CHECK(test.run, (reshard_slots_owned(NULL) > 0) == (shard_id() < test.wanted),
              "shard %u of %u has %u slots", shard_id(), test.wanted, reshard_slots_owned(NULL));
out:
    txn_scan_close(&scan);
    txn_abort(&txn);
    return err;
}

static void
wait_reshard(struct run *run)
{
    struct reshard_stats stats = {.is_moving = true};
    err_t err;

    for (uint32_t i = 0; i < 10000 && stats.is_moving; i++) {
        RUN_CHECK(run, run_for(run, 100000), "fatal: %s", sim_world_fatal_message(run->world));
        err = sim_world_call(run->world, 0, ask_reshard, &stats);
        RUN_CHECK(run, err == ERR_OK, "asking: %s", err_message(err));
    }
    RUN_CHECK(run, !stats.is_moving, "%u slots are still to be moved, after %llu retries: %s",
              stats.slots_left, (unsigned long long)stats.retries, stats.last_error);
    err = sim_world_call_all(run->world, check_place, NULL);
    RUN_CHECK(run, err == ERR_OK, "looking at all entries: %s", err_message(err));
}

/* ---- Lives. ---- */

static err_t
open_store(void *arg)
{
    struct store_options options = test.options;
    char dir[32];

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    options.may_move = test.reshards;
    return store_open(&options, &test.stores[shard_id()]);
}

static err_t
open_txns(void *arg)
{
    (void)arg;
    return txns_open(&test.txns[shard_id()]);
}

static err_t
open_kv(void *arg)
{
    const struct kv_config config = {
        .databases = 1, .string_bytes_max = 1 << 20, .active_expire = true, .hz = 10};

    (void)arg;
    return kv_open(&config, &test.kvs[shard_id()]);
}

static err_t
close_kv(void *arg)
{
    (void)arg;
    kv_close(&test.kvs[shard_id()]);
    return ERR_OK;
}

static err_t
close_txns(void *arg)
{
    (void)arg;
    txns_close(&test.txns[shard_id()]);
    return ERR_OK;
}

static err_t
close_store(void *arg)
{
    (void)arg;
    store_close(&test.stores[shard_id()]);
    return ERR_OK;
}

/* Everything in one transaction. */
static void
make_all(struct batch *batch)
{
    add(batch, "MSET a0 %d a1 %d a2 %d a3 %d a4 %d a5 %d a6 %d a7 %d", MONEY, MONEY, MONEY, MONEY,
        MONEY, MONEY, MONEY, MONEY);
    add(batch, "MSET g0 0 g1 0 g2 0 g3 0");
    add(batch, "SET transfers 0");
    exec(batch);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        add(batch, "SADD s%u m%u", i % SETS, i);
        call(batch);
    }
}

static err_t
check_all(void *arg)
{
    struct batch *batch = malloc(sizeof(*batch));
    long long found = 0;
    const char *text;

    (void)arg;
    ASSERT(batch != NULL);
    batch_init(batch);
    if (!test.is_made) {
        make_all(batch);
        /* The last of several logs. */
        for (uint32_t i = 0; i < SIM_SHARDS_MAX; i++) {
            fiber_sleep_us(10000);
        }
    }
    look(batch);
    add(batch, "GET transfers");
    text = call(batch);
    RUN_CHECK(test.run, sscanf(text, "$%*d\r\n%lld", &found) == 1, "the counter is %.40s", text);
    RUN_CHECK(test.run, found >= test.durable && found <= test.base + test.started,
              "%lld transfers are there; %lld were acknowledged, and they began at %lld with %lld",
              found, (long long)test.durable, (long long)test.base, (long long)test.started);
    test.base = found;
    test.durable = found;
    test.started = 0;
    batch_fini(batch);
    free(batch);
    return ERR_OK;
}

static void
start(struct run *run)
{
    err_t err;

    test.wanted = run->shards;
    if (test.reshards) {
        shards_draw(run);
    }
    run_start(run, open_store, NULL);
    err = sim_world_call_all(run->world, open_txns, NULL);
    RUN_CHECK(run, err == ERR_OK, "txns_open: %s", err_message(err));
    err = sim_world_call_all(run->world, open_kv, NULL);
    RUN_CHECK(run, err == ERR_OK, "kv_open: %s", err_message(err));
    if (test.reshards) {
        err = sim_world_call(run->world, 0, open_reshard, NULL);
        RUN_CHECK(run, err == ERR_OK, "reshard_open: %s", err_message(err));
    }
    err = sim_world_call(run->world, (uint32_t)run_below(run, test.wanted), check_all, NULL);
    RUN_CHECK(run, err == ERR_OK, "after the start: %s", err_message(err));
}

static void
spawn_clients(struct run *run)
{
    test.is_stopping = false;
    test.running = test.client_count;
    for (uint32_t i = 0; i < test.client_count; i++) {
        sim_world_spawn(run->world, test.sessions[i] % test.wanted, "client", client_run, NULL);
    }
}

static void
stop(struct run *run)
{
    test.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the clients to end");
    RUN_CHECK(run, sim_world_call(run->world, 0, close_reshard, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_kv, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_txns, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

/* The first life makes the data, and ends in order. */
static void
live(struct run *run)
{
    test.options.durability =
        !test.is_made || run_chance(run, 70) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    test.options.interval_us = run_between(run, 1000, 100000);
    start(run);
    if (test.is_made) {
        run_draw_harmless_faults(run);
    }
    spawn_clients(run);
    RUN_CHECK(run, run_for_operations(run, run_between(run, 20, 400), LIFE_US_MAX), "fatal: %s",
              sim_world_fatal_message(run->world));
    if (test.is_made && run_chance(run, 85)) {
        run_crash(run);
    } else {
        sim_world_calm(run->world);
        stop(run);
    }
    sim_world_calm(run->world);
    test.is_made = true;
}

static void
lives(struct run *run, bool reshards)
{
    struct lsm_options *lsm = &test.options.lsm;

    command_table_init();
    memset(&test, 0, sizeof(test));
    test.run = run;
    test.reshards = reshards;
    test.client_count = (uint32_t)run_between(run, 2, CLIENTS_MAX);
    for (uint32_t i = 0; i < test.client_count; i++) {
        test.sessions[i] = (uint32_t)run_below(run, reshards ? RESHARD_SHARDS_MAX : run->shards);
    }
    test.options.wal_segment_bytes = UINT64_C(256 << 10) << run_below(run, 3);
    test.options.memory_bytes = 4 << 20;
    lsm->memtable_bytes = run_between(run, 8 << 10, 200 << 10);
    lsm->memtables_max = (uint32_t)run_between(run, 2, 4);
    lsm->cache_bytes = run_between(run, 32 << 10, 512 << 10);
    for (uint32_t life = 0; life < 5 || !run_is_enough(run); life++) {
        live(run);
    }
    start(run);
    spawn_clients(run);
    if (reshards) {
        wait_reshard(run);
    }
    stop(run);
}

static void
multi_main(struct run *run)
{
    lives(run, false);
}

static void
reshard_main(struct run *run)
{
    lives(run, true);
}

const struct scenario scenario_multi = {
    .name = "multi",
    .text = "Redis commands over several shards, MULTI, WATCH, interactive: all of it or nothing",
    .weight = 4,
    .main = multi_main,
};

const struct scenario scenario_reshard = {
    .name = "reshard",
    .text = "the same while the number of shards changes from life to life, and slots move",
    .weight = 4,
    .main = reshard_main,
};
