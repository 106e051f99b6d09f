/* tests/sim/txn_clients.c - see txn_clients.h. */
#include "tests/sim/txn_clients.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/msg.h"

enum {
    NAME_BYTES_MAX = 24,
    STEPS_MAX = 6,
    REGISTERS = TXN_GROUPS * TXN_GROUP_KEYS,
    LIST_KEY_FIRST = REGISTERS, /* In the history: registers, then lists. */
    APPENDS_COUNTER = 3,
    LEDGER_AMOUNT_MAX = 50,
    LEDGER_ENTRIES_MAX = 20, /* Beyond: one entry takes their place. */
    THINK_US_MAX = 3000,
    SLOW_US_MAX = 100 * 1000,
    LOCK_TIMEOUT_US = 200 * 1000,
};

struct txn_test txn_test;

struct name {
    uint8_t bytes[NAME_BYTES_MAX];
    struct slice key;
    uint16_t slot;
};

/* A transaction under way. */
struct work {
    struct txn *txn;
    uint64_t id; /* Driven from another shard, by txn_run; 0: this fiber has `txn`. */
    uint32_t home;
    uint32_t record;
    enum txn_isolation isolation;
    bool is_auto, read_only, is_historical, may_time_out;
    struct txn_done done;
};

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

static bool
chance(uint32_t percent)
{
    return below(100) < percent;
}

/* ---- Keys. ---- */

static void
name_set(struct name *name, uint16_t slot, const char *format, uint32_t a, uint32_t b)
{
    int size = snprintf((char *)name->bytes, sizeof(name->bytes), format, a, b);

    ASSERT(size > 0 && size < NAME_BYTES_MAX);
    name->key = slice_of(name->bytes, (size_t)size);
    name->slot = slot;
}

/* Spread over all shards. */
static uint16_t
slot_spread(uint32_t number)
{
    return (uint16_t)(number * 7919U % SLOT_COUNT);
}

static void
list_name(struct name *name, uint32_t number)
{
    name_set(name, slot_spread(number + 11), "l%05u", number, 0);
}

static void
register_name(struct name *name, uint32_t number)
{
    uint32_t group = number / TXN_GROUP_KEYS;

    name_set(name, (uint16_t)(group * (SLOT_COUNT - 1U) / (TXN_GROUPS - 1U)), "r%u/%u", group,
             number % TXN_GROUP_KEYS);
}

static void
account_name(struct name *name, uint32_t number)
{
    name_set(name, slot_spread(number * 3), "b%u", number, 0);
}

static void
ledger_name(struct name *name, uint32_t ledger, uint32_t entry)
{
    name_set(name, ledger == 0 ? 5 : SLOT_COUNT - 5, "e%u/%08u", ledger, entry);
}

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

/* ---- Values. ---- */

static YIELDS err_t
get(struct work *work, const struct name *name, struct arena *arena, struct lsm_value *value_out)
{
    *value_out = (struct lsm_value){0};
    return txn_get(work->txn, name->slot, name->key, arena, value_out);
}

static uint64_t
word_of(struct slice value)
{
    uint64_t word;

    RUN_CHECK(txn_test.run, value.size >= sizeof(word), "a value of %zu bytes", value.size);
    memcpy(&word, value.data, sizeof(word));
    return word;
}

static void
put_word(struct work *work, const struct name *name, uint64_t word)
{
    txn_put(work->txn, name->slot, name->key, slice_of(&word, sizeof(word)), 0);
}

static YIELDS err_t
flush(struct work *work)
{
    return work->is_auto && chance(80) ? ERR_OK : txn_flush(work->txn);
}

/* What is newest, at READ COMMITTED; at other levels a lock changes nothing of what is read. */
static YIELDS err_t
lock_first(struct work *work, const struct name *name)
{
    err_t err = ERR_OK;

    if (work->is_auto || (work->isolation != TXN_READ_COMMITTED && chance(70))) {
        return ERR_OK;
    }
    TRY(txn_lock(work->txn, name->slot, name->key, LOCK_UPDATE, LOCK_WAIT));
    TRY(txn_statement(work->txn, false));
    txn_history_statement(&txn_test.history, work->record);
out:
    return err;
}

/* ---- Lists. ---- */

static void
list_add_read(struct work *work, uint32_t number, struct slice values)
{
    txn_history_add_list(&txn_test.history, work->record, LIST_KEY_FIRST + number, values);
}

static YIELDS err_t
list_read(struct work *work)
{
    uint32_t number = txn_test.lists[below(TXN_LISTS)];
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    list_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    err = get(work, &name, &arena, &value);
    if (err == ERR_OK) {
        list_add_read(work, number, value.is_found ? value.value : (struct slice){0});
    }
    arena_fini(&arena);
    return err;
}

/* A list that has grown long rests, and a new one takes its place. */
static void
list_replace(uint32_t place, size_t bytes)
{
    if (bytes / sizeof(uint64_t) >= TXN_LIST_ITEMS_MAX && txn_test.next_list < TXN_LISTS_MAX) {
        txn_test.lists[place] = txn_test.next_list++;
    }
}

static YIELDS err_t
list_append(struct work *work)
{
    uint32_t place = (uint32_t)below(TXN_LISTS);
    uint32_t number = txn_test.lists[place];
    uint64_t added = txn_test.next_value++;
    struct name name;
    struct lsm_value value;
    struct arena arena;
    struct buf list;
    err_t err;

    list_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&list, MEM_SESSIONS);
    TRY(lock_first(work, &name));
    TRY(get(work, &name, &arena, &value));
    if (value.is_found) {
        buf_append(&list, value.value.data, value.value.size);
    }
    list_add_read(work, number, buf_slice(&list));
    list_replace(place, list.size);
    buf_append(&list, &added, sizeof(added));
    txn_put(work->txn, name.slot, name.key, buf_slice(&list), 0);
    txn_counter_add(work->txn, name.slot, APPENDS_COUNTER, 1);
    txn_history_add(
        &txn_test.history, work->record,
        &(struct cycles_op){.kind = CYCLES_APPEND, .key = LIST_KEY_FIRST + number, .value = added});
    err = flush(work);
out:
    buf_fini(&list);
    arena_fini(&arena);
    return err;
}

/* ---- Registers. ---- */

static void
register_add(struct work *work, enum cycles_kind kind, uint32_t number, uint64_t value, uint64_t ts,
             bool is_predicate)
{
    txn_history_add(
        &txn_test.history, work->record,
        &(struct cycles_op){
            .kind = kind, .is_predicate = is_predicate, .key = number, .value = value, .ts = ts});
}

static YIELDS err_t
register_read(struct work *work)
{
    enum { COUNT_MAX = 4 };
    uint32_t count = 1 + (uint32_t)below(COUNT_MAX);
    uint32_t numbers[COUNT_MAX];
    struct name names[COUNT_MAX];
    struct txn_key keys[COUNT_MAX];
    struct lsm_value values[COUNT_MAX] = {0};
    struct arena arena;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)below(REGISTERS);
        register_name(&names[i], numbers[i]);
        keys[i] = (struct txn_key){.slot = names[i].slot, .key = names[i].key};
    }
    arena_init(&arena, MEM_SESSIONS);
    err = txn_multi_get(work->txn, keys, count, &arena, values);
    for (uint32_t i = 0; i < count && err == ERR_OK; i++) {
        register_add(work, CYCLES_READ, numbers[i],
                     values[i].is_found ? word_of(values[i].value) : CYCLES_NOTHING, values[i].ts,
                     false);
    }
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
register_write(struct work *work)
{
    uint32_t number = (uint32_t)below(REGISTERS);
    uint64_t value = chance(15) ? CYCLES_NOTHING : txn_test.next_value++;
    struct name name;

    register_name(&name, number);
    if (value == CYCLES_NOTHING) {
        txn_delete(work->txn, name.slot, name.key);
    } else {
        put_word(work, &name, value);
    }
    register_add(work, CYCLES_WRITE, number, value, 0, false);
    return flush(work);
}

static YIELDS err_t
register_change(struct work *work)
{
    uint32_t number = (uint32_t)below(REGISTERS);
    uint64_t written = txn_test.next_value++;
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    register_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    TRY(lock_first(work, &name));
    TRY(get(work, &name, &arena, &value));
    register_add(work, CYCLES_READ, number, value.is_found ? word_of(value.value) : CYCLES_NOTHING,
                 value.ts, false);
    put_word(work, &name, written);
    register_add(work, CYCLES_WRITE, number, written, 0, false);
    err = flush(work);
out:
    arena_fini(&arena);
    return err;
}

/* Neighbours of one group: from `first` to before `end`. */
static YIELDS err_t
registers_delete(struct work *work)
{
    uint32_t group = (uint32_t)below(TXN_GROUPS);
    uint32_t first = (uint32_t)below(TXN_GROUP_KEYS - 1);
    uint32_t end = first + 1 + (uint32_t)below(TXN_GROUP_KEYS - 1 - first);
    struct name low;
    struct name high;

    register_name(&low, group * TXN_GROUP_KEYS + first);
    register_name(&high, group * TXN_GROUP_KEYS + end);
    txn_delete_range(work->txn, low.slot, low.key, high.key);
    for (uint32_t i = first; i < end; i++) {
        register_add(work, CYCLES_WRITE, group * TXN_GROUP_KEYS + i, CYCLES_NOTHING, 0, false);
    }
    return flush(work);
}

struct found {
    uint64_t value, ts;
};

static uint32_t
register_number(struct slice key)
{
    uint32_t group = (uint32_t)(key.data[1] - '0');
    uint32_t number = (uint32_t)(key.data[3] - '0');

    RUN_CHECK(txn_test.run,
              key.size == 4 && key.data[0] == 'r' && group < TXN_GROUPS && number < TXN_GROUP_KEYS,
              "a scan of registers came to a key of %zu bytes", key.size);
    return group * TXN_GROUP_KEYS + number;
}

static YIELDS err_t
registers_walk(struct txn_scan *scan, bool is_backward, struct found *found)
{
    uint32_t last = REGISTERS;
    err_t err = is_backward ? txn_scan_last(scan) : txn_scan_first(scan);

    TRY(err);
    while (txn_scan_is_valid(scan)) {
        const struct lsm_entry *entry = txn_scan_entry(scan);
        uint32_t number = register_number(entry->key);

        RUN_CHECK(txn_test.run, last == REGISTERS || (is_backward ? number < last : number > last),
                  "a scan goes from register %u to %u", last, number);
        last = number;
        found[number] = (struct found){.value = word_of(entry->value), .ts = entry->ts};
        TRY(is_backward ? txn_scan_previous(scan) : txn_scan_next(scan));
    }
out:
    return err;
}

/* Of one group, or of all of them over all shards. */
static YIELDS err_t
registers_scan(struct work *work, bool is_all)
{
    uint32_t group = (uint32_t)below(TXN_GROUPS);
    uint32_t first = is_all ? 0 : group * TXN_GROUP_KEYS + (uint32_t)below(TXN_GROUP_KEYS);
    uint32_t end = is_all ? REGISTERS : (group + 1) * TXN_GROUP_KEYS;
    struct found found[REGISTERS] = {0};
    struct txn_scan *scan = NULL;
    struct name low;
    struct name high;
    err_t err;

    register_name(&low, first);
    register_name(&high, end - 1);
    high.bytes[high.key.size - 1]++; /* One behind the last. */
    TRY(txn_scan_open(work->txn, is_all ? TXN_ALL_SHARDS : low.slot, low.key, high.key, &scan));
    TRY(registers_walk(scan, chance(30), found));
    for (uint32_t i = first; i < end; i++) {
        register_add(work, CYCLES_READ, i, found[i].value, found[i].ts, true);
    }
out:
    txn_scan_close(&scan);
    return err;
}

static YIELDS err_t
registers_scan_some(struct work *work)
{
    return registers_scan(work, chance(40));
}

/* ---- The bank. ---- */

static YIELDS err_t
account_change(struct work *work, uint32_t account, int64_t amount)
{
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    account_name(&name, account);
    arena_init(&arena, MEM_SESSIONS);
    if (work->isolation == TXN_READ_COMMITTED) {
        TRY(lock_first(work, &name));
    }
    TRY(get(work, &name, &arena, &value));
    RUN_CHECK(txn_test.run, value.is_found, "account %u is missing", account);
    put_word(work, &name, word_of(value.value) + (uint64_t)amount);
    err = flush(work);
out:
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
bank_transfer(struct work *work)
{
    uint32_t from = (uint32_t)below(TXN_ACCOUNTS);
    uint32_t to = (from + 1 + (uint32_t)below(TXN_ACCOUNTS - 1)) % TXN_ACCOUNTS;
    int64_t amount = (int64_t)below(20);
    err_t err;

    TRY(account_change(work, from, -amount));
    TRY(account_change(work, to, amount));
out:
    return err;
}

static YIELDS err_t
bank_read_all(struct work *work, int64_t *sum_out, uint32_t *found_out)
{
    struct name names[TXN_ACCOUNTS];
    struct txn_key keys[TXN_ACCOUNTS];
    struct lsm_value values[TXN_ACCOUNTS] = {0};
    struct arena arena;
    uint64_t sum = 0;
    err_t err;

    *found_out = 0;
    for (uint32_t i = 0; i < TXN_ACCOUNTS; i++) {
        account_name(&names[i], i);
        keys[i] = (struct txn_key){.slot = names[i].slot, .key = names[i].key};
    }
    arena_init(&arena, MEM_SESSIONS);
    err = txn_multi_get(work->txn, keys, TXN_ACCOUNTS, &arena, values);
    for (uint32_t i = 0; i < TXN_ACCOUNTS && err == ERR_OK; i++) {
        *found_out += values[i].is_found;
        sum += values[i].is_found ? word_of(values[i].value) : 0;
    }
    *sum_out = (int64_t)sum;
    arena_fini(&arena);
    return err;
}

static YIELDS err_t
bank_audit(struct work *work)
{
    uint32_t found;
    int64_t sum;
    err_t err;

    TRY(bank_read_all(work, &sum, &found));
    RUN_CHECK(txn_test.run,
              work->is_historical ||
                  (found == TXN_ACCOUNTS && sum == (int64_t)TXN_ACCOUNTS * TXN_ACCOUNT_START),
              "a snapshot has %u accounts with a sum of %" PRId64, found, sum);
    RUN_CHECK(txn_test.run, sum == 0 || sum == (int64_t)TXN_ACCOUNTS * TXN_ACCOUNT_START,
              "an old snapshot has %u accounts with a sum of %" PRId64, found, sum);
out:
    return err;
}

/* ---- The ledger. ---- */

static YIELDS err_t
entries_sum(struct txn_scan *scan, int64_t *sum, uint32_t *count)
{
    err_t err;

    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        *sum += (int64_t)word_of(txn_scan_entry(scan)->value);
        (*count)++;
        TRY(txn_scan_next(scan));
    }
out:
    return err;
}

static YIELDS err_t
ledger_sum(struct work *work, uint32_t ledger, int64_t *sum, uint32_t *count)
{
    struct txn_scan *scan = NULL;
    struct name low;
    struct name high;
    err_t err;

    ledger_name(&low, ledger, 0);
    ledger_name(&high, ledger, 99999999);
    TRY(txn_scan_open(work->txn, low.slot, low.key, high.key, &scan));
    err = entries_sum(scan, sum, count);
out:
    txn_scan_close(&scan);
    return err;
}

static void
ledger_put(struct work *work, uint32_t ledger, int64_t amount)
{
    struct name name;

    ledger_name(&name, ledger, (uint32_t)(txn_test.next_value++));
    put_word(work, &name, (uint64_t)amount);
}

/* Takes from one of the two what both together have. */
static YIELDS err_t
ledger_change(struct work *work)
{
    uint32_t ledger = (uint32_t)below(TXN_LEDGERS);
    int64_t amount = 1 + (int64_t)below(LEDGER_AMOUNT_MAX);
    int64_t sums[TXN_LEDGERS] = {0};
    uint32_t counts[TXN_LEDGERS] = {0};
    struct name low;
    struct name high;
    err_t err;

    for (uint32_t i = 0; i < TXN_LEDGERS; i++) {
        TRY(ledger_sum(work, i, &sums[i], &counts[i]));
    }
    if (counts[ledger] > LEDGER_ENTRIES_MAX) {
        ledger_name(&low, ledger, 0);
        ledger_name(&high, ledger, 99999999);
        txn_delete_range(work->txn, low.slot, low.key, high.key);
        ledger_put(work, ledger, sums[ledger]);
    }
    if (sums[0] + sums[1] >= amount && chance(70)) {
        ledger_put(work, ledger, -amount);
    } else {
        ledger_put(work, ledger, amount);
    }
    err = flush(work);
out:
    return err;
}

/* In one statement, over all shards. */
static YIELDS err_t
ledger_audit(struct work *work)
{
    struct txn_scan *scan = NULL;
    uint32_t count = 0;
    int64_t sum = 0;
    err_t err;

    TRY(txn_scan_open(work->txn, TXN_ALL_SHARDS, SLICE("e"), SLICE("f"), &scan));
    TRY(entries_sum(scan, &sum, &count));
    RUN_CHECK(txn_test.run, sum >= 0, "a snapshot of the ledger has the sum %" PRId64, sum);
out:
    txn_scan_close(&scan);
    return err;
}

/* ---- A transaction. ---- */

typedef YIELDS err_t (*step_fn)(struct work *work);

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
    work->is_auto = chance(40);
    work->isolation =
        work->is_auto ? TXN_SERIALIZABLE : (enum txn_isolation)below(TXN_SERIALIZABLE + 1);
    work->read_only = chance(20);
    work->home = shard_id();
    if (!work->is_auto && shard_count() > 1 && chance(20)) {
        work->home = (uint32_t)below(shard_count());
    }
    *options = (struct txn_options){.isolation = work->isolation, .read_only = work->read_only};
    if (!work->is_auto && chance(20)) {
        options->lock_timeout_us = 1 + below(LOCK_TIMEOUT_US);
        work->may_time_out = true;
    }
    if (!work->is_auto && chance(10)) {
        options->deadline_us = shard_now_us() + 1 + below(LOCK_TIMEOUT_US);
        work->may_time_out = true;
    }
    if (!work->is_auto && work->read_only && txn_test.time_count > 0 && chance(40)) {
        options->as_of = txn_test.times[below(MIN(txn_test.time_count, (uint32_t)TXN_TIMES_MAX))];
        work->is_historical = true;
    }
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

/* The answer of a commit: at `sync` it says that the commit is durable, unless the client went away
 * before. */
static YIELDS void
work_answer(struct work *work)
{
    struct wait_call wait = {.lsn = work->done.lsn};
    bool is_told = txn_test.is_sync && chance(80);

    if (is_told && wait.lsn != 0) {
        msg_call(work->home, MSG_FIBER, wait_run, &wait);
    }
    time_remember(work->done.ts);
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
    return savepoint->is_set && chance(60) && err != ERR_TIMEOUT &&
           step_run(&savepoint->work, savepoint_back_step) == ERR_OK;
}

static step_fn
step_draw(const struct work *work)
{
    static const step_fn reads[] = {list_read, register_read, registers_scan_some};
    static const step_fn writes[] = {list_append,     list_append,    register_write,
                                     register_change, register_write, registers_delete};

    return work->read_only || chance(45) ? reads[below(ARRAY_COUNT(reads))]
                                         : writes[below(ARRAY_COUNT(writes))];
}

static YIELDS void
think(void)
{
    fiber_work((uint32_t)below(300));
    if (txn_test.is_slow || chance(30)) {
        fiber_sleep_us(below(txn_test.is_slow ? SLOW_US_MAX : THINK_US_MAX));
    }
}

/* Lists and registers. False when the transaction has ended in an error. */
static YIELDS bool
mixed_steps(struct savepoint *savepoint)
{
    struct work *work = &savepoint->work;

    for (uint64_t steps = 1 + below(STEPS_MAX); steps > 0; steps--) {
        err_t err = step_run(work, statement_step);

        if (err == ERR_OK) {
            err = step_run(work, step_draw(work));
        }
        txn_test.run->operations++;
        if (err != ERR_OK && !work_recover(savepoint, err)) {
            return false;
        }
        if (!work->is_auto && !savepoint->is_set && chance(15)) {
            if (step_run(work, savepoint_set_step) != ERR_OK) {
                return false;
            }
        } else if (savepoint->is_set && chance(20) &&
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

enum kind { MIXED, BANK, BANK_AUDIT, LEDGER, LEDGER_AUDIT };

static enum kind
kind_draw(struct work *work, struct txn_options *options)
{
    uint64_t drawn = below(100);
    enum kind kind = drawn < 65 ? MIXED : drawn < 78 ? BANK : LEDGER;

    if (kind == LEDGER && !work->read_only) { /* Its rule needs SERIALIZABLE. */
        work->isolation = TXN_SERIALIZABLE;
        options->isolation = TXN_SERIALIZABLE;
    }
    if (work->read_only && kind != MIXED) {
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
        return one_step(&savepoint->work, bank_transfer);
    case BANK_AUDIT:
        return one_step(&savepoint->work, bank_audit);
    case LEDGER:
        return one_step(&savepoint->work, ledger_change);
    case LEDGER_AUDIT:
        return one_step(&savepoint->work, ledger_audit);
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
    } else if (work_steps(&savepoint, kind) && !chance(5)) {
        work_commit(work);
    } else {
        work_abort(work);
    }
}

void
txn_client(void *arg)
{
    (void)arg;
    while (!txn_test.is_stopping) {
        transaction();
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
        list_name(&name, i);
        arena_init(&arena, MEM_SESSIONS);
        err = get(work, &name, &arena, &value);
        if (err == ERR_OK) {
            list_add_read(work, i, value.is_found ? value.value : (struct slice){0});
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
    TRY(registers_scan(work, true));
    TRY(ledger_audit(work));
    TRY(bank_read_all(work, &sum, &found));
    RUN_CHECK(txn_test.run,
              (found == 0 && sum == 0) ||
                  (found == TXN_ACCOUNTS && sum == (int64_t)TXN_ACCOUNTS * TXN_ACCOUNT_START),
              "%u accounts have a sum of %" PRId64, found, sum);
    for (uint32_t i = 0; i < TXN_ACCOUNTS && found == 0; i++) {
        struct name name;

        account_name(&name, i);
        put_word(work, &name, TXN_ACCOUNT_START);
    }
out:
    return err;
}

void
txn_verify(void *arg)
{
    struct work work = {.is_auto = true, .isolation = TXN_SERIALIZABLE, .home = shard_id()};
    struct txn_options options = {0};
    struct wait_call wait;
    err_t err;

    (void)arg;
    TRY(work_begin(&work, &options));
    TRY(verify_all(&work));
    TRY(txn_commit(&work.txn, &work.done));
    wait.lsn = work.done.lsn;
    wait_run(&wait);
    txn_history_end(&txn_test.history, work.record, CYCLES_OK, work.done.ts);
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
