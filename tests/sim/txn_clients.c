/* tests/sim/txn_clients.c - see txn_clients.h. */
#include "tests/sim/txn_clients.h"

#include <inttypes.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "tests/sim/txn_steps.h"

enum {
    STEPS_MAX = 6,
    THINK_US_MAX = 3000,
    SLOW_US_MAX = 100 * 1000,
    LOCK_TIMEOUT_US = 200 * 1000,
    LEAVING_CLIENTS = 3, /* Their numbers are 1 to this; the other clients stay. */
};

struct txn_test txn_test;

/* ---- Errors. ---- */

/* Which refusals are in order? */
static bool
is_excused(const struct work *work, err_t err)
{
    switch (err) {
    case ERR_SERIALIZATION:
    case ERR_DEADLOCK:
        return !work->read_only;
    case ERR_LOCK_TIMEOUT:
    case ERR_TIMEOUT:
        return work->may_time_out;
    case ERR_CANCELED:
        return work->may_be_left;
    case ERR_SNAPSHOT_TOO_OLD:
        return work->is_historical;
    case ERR_BUSY:
        return true;
    case ERR_IO:
    case ERR_NO_SPACE:
        return txn_test.has_errors;
    default:
        return false;
    }
}

static void
check_error(const struct work *work, err_t err, const char *what)
{
    RUN_CHECK(txn_test.run, err == ERR_OK || is_excused(work, err), "%s at %s%s: %s: %s", what,
              work->isolation == TXN_READ_COMMITTED    ? "READ COMMITTED"
              : work->isolation == TXN_REPEATABLE_READ ? "REPEATABLE READ"
                                                       : "SERIALIZABLE",
              work->is_auto ? " (auto)" : "", err_name(err), err_message(err));
}

/* ---- A transaction. ---- */

struct remote_step {
    struct work *work;
    step_fn step;
    err_t err;
};

static YIELDS void
remote_step_run(struct txn *txn, void *arg)
{
    struct remote_step *remote = arg;

    remote->work->txn = txn;
    remote->err = remote->step(remote->work);
}

/* A step runs on the home shard; from elsewhere as another session's statement does. */
static YIELDS err_t
step_run(struct work *work, step_fn step)
{
    struct remote_step remote = {.work = work, .step = step};
    err_t err;

    if (work->id == 0) {
        return step(work);
    }
    TRY(txn_run(work->id, remote_step_run, &remote));
    err = remote.err;
out:
    return err;
}

static YIELDS err_t
statement_step(struct work *work)
{
    err_t err;

    if (work->is_auto) {
        return ERR_OK;
    }
    TRY(txn_statement(work->txn, false));
    txn_history_statement(&txn_test.history, work->record);
out:
    return err;
}

static void
work_draw(struct work *work, struct txn_options *options)
{
    work->is_auto = txn_chance(40);
    work->isolation =
        work->is_auto ? TXN_SERIALIZABLE : (enum txn_isolation)txn_below(TXN_SERIALIZABLE + 1);
    work->read_only = txn_chance(20);
    work->home = shard_id();
    if (!work->is_auto && shard_count() > 1 && txn_chance(20)) {
        work->home = (uint32_t)txn_below(shard_count());
    }
    *options = (struct txn_options){.isolation = work->isolation, .read_only = work->read_only};
    if (!work->is_auto && txn_chance(20)) {
        options->lock_timeout_us = 1 + txn_below(LOCK_TIMEOUT_US);
        work->may_time_out = true;
    }
    if (!work->is_auto && txn_chance(10)) {
        options->deadline_us = shard_now_us() + 1 + txn_below(LOCK_TIMEOUT_US);
        work->may_time_out = true;
    }
    if (!work->is_auto && work->read_only && txn_test.time_count > 0 && txn_chance(40)) {
        options->as_of =
            txn_test.times[txn_below(MIN(txn_test.time_count, (uint32_t)TXN_TIMES_MAX))];
        work->is_historical = true;
    }
}

static void
waits_cancel_run(void *arg)
{
    const uint64_t *client = arg;

    txn_waits_cancel(*client);
}

/* Some client goes away: what waits for locks on its behalf, on any shard, ends. */
static YIELDS void
client_leave(void)
{
    uint64_t client = 1 + txn_below(LEAVING_CLIENTS);

    msg_call_all(MSG_INLINE, waits_cancel_run, &client, 0);
}

struct begin_call {
    struct work *work;
    const struct txn_options *options;
    err_t err;
};

static YIELDS void
begin_run(void *arg)
{
    struct begin_call *call = arg;

    if (call->work->is_auto) {
        call->work->txn = txn_begin_auto(call->work->read_only, NULL);
    } else {
        call->err = txn_begin(call->options, &call->work->txn);
    }
}

static YIELDS err_t
work_begin(struct work *work, const struct txn_options *options)
{
    struct begin_call call = {.work = work, .options = options};
    static const enum cycles_level levels[] = {
        [TXN_READ_COMMITTED] = CYCLES_READ_COMMITTED,
        [TXN_REPEATABLE_READ] = CYCLES_REPEATABLE_READ,
        [TXN_SERIALIZABLE] = CYCLES_SERIALIZABLE,
    };

    work->record =
        txn_history_begin(&txn_test.history, levels[work->isolation], work->is_historical);
    msg_call(work->home, MSG_FIBER, begin_run, &call);
    if (call.err == ERR_OK && work->home == shard_id() && txn_chance(20)) {
        work->may_be_left = true;
        txn_client_set(work->txn, 1 + txn_below(LEAVING_CLIENTS));
    }
    if (call.err == ERR_OK && work->home != shard_id()) {
        work->id = txn_id(work->txn);
        work->txn = NULL;
        SOMETIMES("txn: a transaction was driven from another shard");
    }
    return call.err;
}

static YIELDS void
work_abort(struct work *work)
{
    if (work->id != 0) {
        err_t err = txn_abort_id(work->id);

        RUN_CHECK(txn_test.run, err == ERR_OK, "rollback of a transaction elsewhere: %s: %s",
                  err_name(err), err_message(err));
    } else {
        txn_abort(&work->txn);
    }
    txn_history_end(&txn_test.history, work->record, CYCLES_ABORTED, 0);
}

struct wait_call {
    lsn_t lsn;
};

static YIELDS void
wait_run(void *arg)
{
    const struct wait_call *wait = arg;

    store_wait_durable(store_self(), wait->lsn);
}

static void
time_remember(uint64_t ts)
{
    if (ts != 0) {
        txn_test.times[txn_test.time_count++ % TXN_TIMES_MAX] = ts;
    }
}

static void
memory_keep(const struct txn_memory *memory)
{
    txn_test.memories[txn_test.memory_count++ % TXN_MEMORIES_MAX] = *memory;
}

/* The answer of a commit: at `sync` it says that the commit is durable, unless the client went away
 * before. */
static YIELDS void
work_answer(struct work *work)
{
    struct wait_call wait = {.lsn = work->done.lsn};
    bool is_told = txn_test.is_sync && txn_chance(80);

    if (is_told && wait.lsn != 0) {
        msg_call(work->home, MSG_FIBER, wait_run, &wait);
    }
    time_remember(work->done.ts);
    if (is_told && work->seen.ts != 0) {
        memory_keep(&work->seen);
    }
    txn_history_end(&txn_test.history, work->record, is_told ? CYCLES_OK : CYCLES_UNKNOWN,
                    work->done.ts);
    SOMETIMES_IF(work->isolation == TXN_READ_COMMITTED, "txn: committed at READ COMMITTED");
    SOMETIMES_IF(work->isolation == TXN_REPEATABLE_READ, "txn: committed at REPEATABLE READ");
    SOMETIMES_IF(work->is_historical, "txn: a snapshot of the past was read");
}

static YIELDS void
work_commit(struct work *work)
{
    err_t err =
        work->id != 0 ? txn_commit_id(work->id, &work->done) : txn_commit(&work->txn, &work->done);

    check_error(work, err, "a commit");
    if (err == ERR_OK) {
        work_answer(work);
    } else {
        SOMETIMES_IF(err == ERR_SERIALIZATION, "txn: a commit was refused");
        txn_history_end(&txn_test.history, work->record, CYCLES_ABORTED, 0);
    }
}

/* ---- Savepoints. ---- */

struct savepoint {
    struct work work; /* First: the step gets this. */
    uint32_t number, mark;
    bool is_set;
};

static YIELDS err_t
savepoint_set_step(struct work *work)
{
    struct savepoint *savepoint = CONTAINER_OF(work, struct savepoint, work);
    err_t err;

    TRY(txn_savepoint(work->txn, &savepoint->number));
    savepoint->mark = txn_history_mark(&txn_test.history, work->record);
    savepoint->is_set = true;
out:
    return err;
}

static YIELDS err_t
savepoint_back_step(struct work *work)
{
    struct savepoint *savepoint = CONTAINER_OF(work, struct savepoint, work);
    err_t err;

    TRY(txn_rollback_to(work->txn, savepoint->number));
    txn_history_back_to(&txn_test.history, work->record, savepoint->mark);
    SOMETIMES("txn: back to a savepoint");
out:
    return err;
}

/* ---- What a client does. ---- */

/* A step failed: back to the savepoint, if there is one. False: the transaction is over. */
static YIELDS bool
work_recover(struct savepoint *savepoint, err_t err)
{
    check_error(&savepoint->work, err, "a statement");
    return savepoint->is_set && txn_chance(60) && err != ERR_TIMEOUT &&
           step_run(&savepoint->work, savepoint_back_step) == ERR_OK;
}

static step_fn
step_draw(const struct work *work)
{
    static const step_fn reads[] = {step_list_read, step_register_read, step_registers_scan_some};
    static const step_fn writes[] = {step_list_append,    step_list_append,
                                     step_register_write, step_register_change,
                                     step_register_write, step_registers_delete};

    return work->read_only || txn_chance(45) ? reads[txn_below(ARRAY_COUNT(reads))]
                                             : writes[txn_below(ARRAY_COUNT(writes))];
}

static YIELDS void
think(void)
{
    fiber_work((uint32_t)txn_below(300));
    if (txn_test.is_slow || txn_chance(30)) {
        fiber_sleep_us(txn_below(txn_test.is_slow ? SLOW_US_MAX : THINK_US_MAX));
    }
}

/* Lists and registers. False when the transaction has ended in an error. */
static YIELDS bool
mixed_steps(struct savepoint *savepoint)
{
    struct work *work = &savepoint->work;

    for (uint64_t steps = 1 + txn_below(STEPS_MAX); steps > 0; steps--) {
        err_t err = step_run(work, statement_step);

        if (err == ERR_OK) {
            err = step_run(work, step_draw(work));
        }
        txn_test.run->operations++;
        if (err != ERR_OK && !work_recover(savepoint, err)) {
            return false;
        }
        if (!work->is_auto && !savepoint->is_set && txn_chance(15)) {
            if (step_run(work, savepoint_set_step) != ERR_OK) {
                return false;
            }
        } else if (savepoint->is_set && txn_chance(20) &&
                   step_run(work, savepoint_back_step) != ERR_OK) {
            return false;
        }
        if (!work->is_auto) {
            think();
        }
    }
    return true;
}

static YIELDS bool
one_step(struct work *work, step_fn step)
{
    err_t err = step_run(work, statement_step);

    if (err == ERR_OK) {
        err = step_run(work, step);
    }
    txn_test.run->operations++;
    check_error(work, err, "a statement");
    return err == ERR_OK;
}

enum kind { MIXED, BANK, BANK_AUDIT, LEDGER, LEDGER_AUDIT, MEMORY };

/* A snapshot to be remembered, or one that is. */
static void
memory_draw(struct work *work, struct txn_options *options)
{
    uint32_t kept = MIN(txn_test.memory_count, (uint32_t)TXN_MEMORIES_MAX);

    work->isolation = txn_chance(50) ? TXN_REPEATABLE_READ : TXN_SERIALIZABLE;
    options->isolation = work->isolation;
    options->as_of = 0;
    work->is_historical = kept > 0 && txn_chance(60);
    if (work->is_historical) {
        work->remembered = txn_test.memories[txn_below(kept)];
        options->as_of = work->remembered.ts;
    }
}

static enum kind
kind_draw(struct work *work, struct txn_options *options)
{
    uint64_t drawn = txn_below(100);
    enum kind kind = drawn < 65 ? MIXED : drawn < 78 ? BANK : LEDGER;

    if (kind == LEDGER && !work->read_only) { /* Its rule needs SERIALIZABLE. */
        work->isolation = TXN_SERIALIZABLE;
        options->isolation = TXN_SERIALIZABLE;
    }
    if (work->read_only && !work->is_auto && txn_chance(40)) {
        memory_draw(work, options);
        kind = MEMORY;
    } else if (work->read_only && kind != MIXED) {
        kind = kind == BANK ? BANK_AUDIT : LEDGER_AUDIT;
    }
    return kind;
}

static YIELDS bool
work_steps(struct savepoint *savepoint, enum kind kind)
{
    switch (kind) {
    case MIXED:
        return mixed_steps(savepoint);
    case BANK:
        return one_step(&savepoint->work, step_bank_transfer);
    case BANK_AUDIT:
        return one_step(&savepoint->work, step_bank_audit);
    case LEDGER:
        return one_step(&savepoint->work, step_ledger_change);
    case LEDGER_AUDIT:
        return one_step(&savepoint->work, step_ledger_audit);
    case MEMORY:
        return one_step(&savepoint->work, step_memory_read);
    }
    UNREACHABLE();
}

static YIELDS void
transaction(void)
{
    struct savepoint savepoint = {0};
    struct work *work = &savepoint.work;
    struct txn_options options;
    enum kind kind;
    err_t err;

    work_draw(work, &options);
    kind = kind_draw(work, &options);
    err = work_begin(work, &options);
    check_error(work, err, "a begin");
    if (err != ERR_OK) {
        txn_history_end(&txn_test.history, work->record, CYCLES_ABORTED, 0);
    } else if (work_steps(&savepoint, kind) && !txn_chance(5)) {
        work_commit(work);
    } else {
        work_abort(work);
    }
}

/* A bulk load is a transaction that others see as any other. */
static YIELDS void
bulk_load(void)
{
    struct work work = {.isolation = TXN_READ_COMMITTED, .home = shard_id(), .may_time_out = true};
    err_t err;

    work.record = txn_history_begin(&txn_test.history, CYCLES_READ_COMMITTED, false);
    err = step_registers_load(&work);
    txn_test.run->operations++;
    check_error(&work, err, "a bulk load");
    if (err == ERR_OK) {
        SOMETIMES("txn: rows were loaded in bulk");
        work_answer(&work);
    } else {
        txn_history_end(&txn_test.history, work.record, CYCLES_ABORTED, 0);
    }
}

void
txn_client(void *arg)
{
    (void)arg;
    while (!txn_test.is_stopping) {
        if (txn_chance(3)) {
            bulk_load();
        } else {
            transaction();
        }
        if (txn_chance(5)) {
            client_leave();
        }
        think();
    }
    txn_test.running--;
}

/* ---- Looking at everything. ---- */

static YIELDS err_t
lists_read_all(struct work *work, int64_t *items_out)
{
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err = ERR_OK;

    *items_out = 0;
    for (uint32_t i = 0; i < txn_test.next_list && err == ERR_OK; i++) {
        step_list_name(&name, i);
        arena_init(&arena, MEM_SESSIONS);
        err = step_get(work, &name, &arena, &value);
        if (err == ERR_OK) {
            step_list_add_read(work, i, value.is_found ? value.value : (struct slice){0});
            *items_out += value.is_found ? (int64_t)(value.value.size / sizeof(uint64_t)) : 0;
        }
        arena_fini(&arena);
    }
    return err;
}

static YIELDS err_t
verify_all(struct work *work)
{
    int64_t appended;
    int64_t counted;
    int64_t sum;
    uint32_t found;
    err_t err;

    TRY(lists_read_all(work, &appended));
    TRY(txn_counter_sum(work->txn, APPENDS_COUNTER, &counted));
    RUN_CHECK(txn_test.run, appended == counted,
              "the lists have %" PRId64 " items, and %" PRId64 " were counted", appended, counted);
    TRY(step_registers_scan(work, true));
    TRY(step_ledger_audit(work));
    TRY(step_bank_read_all(work, &sum, &found));
    RUN_CHECK(txn_test.run,
              (found == 0 && sum == 0) ||
                  (found == TXN_ACCOUNTS && sum == (int64_t)TXN_ACCOUNTS * TXN_ACCOUNT_START),
              "%u accounts have a sum of %" PRId64, found, sum);
    for (uint32_t i = 0; i < TXN_ACCOUNTS && found == 0; i++) {
        struct name name;

        step_account_name(&name, i);
        step_put_word(work, &name, TXN_ACCOUNT_START);
    }
out:
    return err;
}

/* All registers at a time of before, as they are remembered (.ts only: as they may be). */
static YIELDS void
look_back(const struct txn_memory *memory, bool is_remembered)
{
    struct work work = {.isolation = TXN_REPEATABLE_READ,
                        .home = shard_id(),
                        .read_only = true,
                        .is_historical = true};
    struct txn_options options = {.isolation = TXN_REPEATABLE_READ, .as_of = memory->ts};
    err_t err;

    if (is_remembered) {
        work.remembered = *memory;
    }
    TRY(work_begin(&work, &options));
    TRY(step_memory_read(&work));
    err = txn_commit(&work.txn, &work.done);
out:
    check_error(&work, err, "a look back");
    txn_abort(&work.txn); /* If it has not ended. */
    txn_history_end(&txn_test.history, work.record, err == ERR_OK ? CYCLES_OK : CYCLES_ABORTED, 0);
}

static YIELDS void
look_back_at_all(void)
{
    for (uint32_t i = 0; i < MIN(txn_test.memory_count, (uint32_t)TXN_MEMORIES_MAX); i++) {
        look_back(&txn_test.memories[i], true);
    }
    for (uint32_t i = 0; i < MIN(txn_test.time_count, (uint32_t)TXN_TIMES_MAX); i++) {
        look_back(&(struct txn_memory){.ts = txn_test.times[i]}, false);
    }
}

/* What is there now, to be found again. */
static YIELDS void
look_now(void)
{
    struct work work = {.isolation = TXN_REPEATABLE_READ, .home = shard_id(), .read_only = true};
    struct txn_options options = {.isolation = TXN_REPEATABLE_READ, .read_only = true};
    struct wait_call wait;
    err_t err;

    TRY(work_begin(&work, &options));
    TRY(step_memory_read(&work));
    TRY(txn_commit(&work.txn, &work.done));
    wait.lsn = work.done.lsn;
    wait_run(&wait);
    memory_keep(&work.seen);
out:
    check_error(&work, err, "a look");
    txn_abort(&work.txn);
    txn_history_end(&txn_test.history, work.record, err == ERR_OK ? CYCLES_OK : CYCLES_ABORTED, 0);
}

static YIELDS void
all_durable_run(void *arg)
{
    (void)arg;
    store_wait_durable(store_self(), store_appended(store_self()));
}

void
txn_verify(void *arg)
{
    struct work work = {.is_auto = true, .isolation = TXN_SERIALIZABLE, .home = shard_id()};
    struct txn_options options = {0};
    err_t err;

    (void)arg;
    look_back_at_all();
    TRY(work_begin(&work, &options));
    TRY(verify_all(&work));
    TRY(txn_commit(&work.txn, &work.done));
    /* Without WAL_SYNC a commit waits for nothing of what was read elsewhere. */
    msg_call_all(MSG_FIBER, all_durable_run, NULL, 0);
    txn_history_end(&txn_test.history, work.record, CYCLES_OK, work.done.ts);
    if (txn_test.is_sync) {
        look_now();
    }
out:
    RUN_CHECK(txn_test.run, err == ERR_OK, "looking at everything: %s: %s", err_name(err),
              err_message(err));
    txn_test.running--;
}

void
txn_clients_begin(struct run *run)
{
    txn_test = (struct txn_test){.run = run, .next_value = 1};
    txn_history_init(&txn_test.history);
    for (uint32_t i = 0; i < TXN_LISTS; i++) {
        txn_test.lists[i] = txn_test.next_list++;
    }
}
