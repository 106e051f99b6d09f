/* tests/sim/txn_steps.c - see txn_steps.h. */
#include "tests/sim/txn_steps.h"
#include "txn/bulk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"

enum {
    LIST_KEY_FIRST = TXN_REGISTERS, /* In the history: registers, then lists. */
    LEDGER_AMOUNT_MAX = 50,
    LEDGER_ENTRIES_MAX = 20, /* Beyond: one entry takes their place. */
};

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

void
step_list_name(struct name *name, uint32_t number)
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

void
step_account_name(struct name *name, uint32_t number)
{
    name_set(name, slot_spread(number * 3), "b%u", number, 0);
}

static void
ledger_name(struct name *name, uint32_t ledger, uint32_t entry)
{
    name_set(name, ledger == 0 ? 5 : SLOT_COUNT - 5, "e%u/%08u", ledger, entry);
}

/* ---- Values. ---- */

YIELDS err_t
step_get(struct work *work, const struct name *name, struct arena *arena,
         struct lsm_value *value_out)
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

void
step_put_word(struct work *work, const struct name *name, uint64_t word)
{
    txn_put(work->txn, name->slot, name->key, slice_of(&word, sizeof(word)), 0);
}

static YIELDS err_t
flush(struct work *work)
{
    return work->is_auto && txn_chance(80) ? ERR_OK : txn_flush(work->txn);
}

/* What is newest, at READ COMMITTED; at other levels a lock changes nothing of what is read. */
static YIELDS err_t
lock_first(struct work *work, const struct name *name)
{
    err_t err = ERR_OK;

    if (work->is_auto || (work->isolation != TXN_READ_COMMITTED && txn_chance(70))) {
        return ERR_OK;
    }
    TRY(txn_lock(work->txn, name->slot, name->key, LOCK_UPDATE, LOCK_WAIT));
    TRY(txn_statement(work->txn, false));
    txn_history_statement(&txn_test.history, work->record);
out:
    return err;
}

/* ---- Lists. ---- */

void
step_list_add_read(struct work *work, uint32_t number, struct slice values)
{
    txn_history_add_list(&txn_test.history, work->record, LIST_KEY_FIRST + number, values);
}

YIELDS err_t
step_list_read(struct work *work)
{
    uint32_t number = txn_test.lists[txn_below(TXN_LISTS)];
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    step_list_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    err = step_get(work, &name, &arena, &value);
    if (err == ERR_OK) {
        step_list_add_read(work, number, value.is_found ? value.value : (struct slice){0});
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

YIELDS err_t
step_list_append(struct work *work)
{
    uint32_t place = (uint32_t)txn_below(TXN_LISTS);
    uint32_t number = txn_test.lists[place];
    uint64_t added = txn_test.next_value++;
    struct name name;
    struct lsm_value value;
    struct arena arena;
    struct buf list;
    err_t err;

    step_list_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    buf_init(&list, MEM_SESSIONS);
    TRY(lock_first(work, &name));
    TRY(step_get(work, &name, &arena, &value));
    if (value.is_found) {
        buf_append(&list, value.value.data, value.value.size);
    }
    step_list_add_read(work, number, buf_slice(&list));
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

YIELDS err_t
step_register_read(struct work *work)
{
    enum { COUNT_MAX = 4 };
    uint32_t count = 1 + (uint32_t)txn_below(COUNT_MAX);
    uint32_t numbers[COUNT_MAX];
    struct name names[COUNT_MAX];
    struct txn_key keys[COUNT_MAX];
    struct lsm_value values[COUNT_MAX] = {0};
    struct arena arena;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        numbers[i] = (uint32_t)txn_below(TXN_REGISTERS);
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

YIELDS err_t
step_register_write(struct work *work)
{
    uint32_t number = (uint32_t)txn_below(TXN_REGISTERS);
    uint64_t value = txn_chance(15) ? CYCLES_NOTHING : txn_test.next_value++;
    struct name name;

    register_name(&name, number);
    if (value == CYCLES_NOTHING) {
        txn_delete(work->txn, name.slot, name.key);
    } else {
        step_put_word(work, &name, value);
    }
    register_add(work, CYCLES_WRITE, number, value, 0, false);
    return flush(work);
}

YIELDS err_t
step_register_change(struct work *work)
{
    uint32_t number = (uint32_t)txn_below(TXN_REGISTERS);
    uint64_t written = txn_test.next_value++;
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    register_name(&name, number);
    arena_init(&arena, MEM_SESSIONS);
    TRY(lock_first(work, &name));
    TRY(step_get(work, &name, &arena, &value));
    register_add(work, CYCLES_READ, number, value.is_found ? word_of(value.value) : CYCLES_NOTHING,
                 value.ts, false);
    step_put_word(work, &name, written);
    register_add(work, CYCLES_WRITE, number, written, 0, false);
    err = flush(work);
out:
    arena_fini(&arena);
    return err;
}

/* Neighbours of one group: from `first` to before `end`. */
YIELDS err_t
step_registers_delete(struct work *work)
{
    uint32_t group = (uint32_t)txn_below(TXN_GROUPS);
    uint32_t first = (uint32_t)txn_below(TXN_GROUP_KEYS - 1);
    uint32_t end = first + 1 + (uint32_t)txn_below(TXN_GROUP_KEYS - 1 - first);
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

/* Some of all registers, on all shards, as rows of tables. */
YIELDS err_t
step_registers_load(struct work *work)
{
    const struct txn_options options = {.lock_timeout_us = LOAD_LOCK_WAIT_US};
    struct txn_bulk *bulk = txn_bulk_new();
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < TXN_REGISTERS; i++) {
        uint64_t value;
        struct name name;

        if (txn_chance(40)) {
            continue;
        }
        value = txn_test.next_value++;
        register_name(&name, i);
        TRY(txn_bulk_add(bulk, name.slot, name.key, slice_of(&value, sizeof(value)), 0));
        register_add(work, CYCLES_WRITE, i, value, 0, false);
    }
    err = txn_bulk_commit(bulk, &options, &work->done);
out:
    txn_bulk_free(&bulk);
    return err;
}

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
registers_walk(struct txn_scan *scan, bool is_backward, struct txn_found *found)
{
    uint32_t last = TXN_REGISTERS;
    err_t err = is_backward ? txn_scan_last(scan) : txn_scan_first(scan);

    TRY(err);
    while (txn_scan_is_valid(scan)) {
        const struct lsm_entry *entry = txn_scan_entry(scan);
        uint32_t number = register_number(entry->key);

        RUN_CHECK(txn_test.run,
                  last == TXN_REGISTERS || (is_backward ? number < last : number > last),
                  "a scan goes from register %u to %u", last, number);
        last = number;
        found[number] = (struct txn_found){.value = word_of(entry->value), .ts = entry->ts};
        TRY(is_backward ? txn_scan_previous(scan) : txn_scan_next(scan));
    }
out:
    return err;
}

/* From `first` to before `end`; of one group, or over all shards. */
static YIELDS err_t
registers_find(struct work *work, bool is_all, uint32_t first, uint32_t end,
               struct txn_found *found)
{
    struct txn_scan *scan = NULL;
    struct name low;
    struct name high;
    err_t err;

    register_name(&low, first);
    register_name(&high, end - 1);
    high.bytes[high.key.size - 1]++; /* One behind the last. */
    TRY(txn_scan_open(work->txn, is_all ? TXN_ALL_SHARDS : low.slot, low.key, high.key, &scan));
    TRY(registers_walk(scan, txn_chance(30), found));
    for (uint32_t i = first; i < end; i++) {
        register_add(work, CYCLES_READ, i, found[i].value, found[i].ts, true);
    }
out:
    txn_scan_close(&scan);
    return err;
}

YIELDS err_t
step_registers_scan(struct work *work, bool is_all)
{
    uint32_t group = (uint32_t)txn_below(TXN_GROUPS);
    uint32_t first = is_all ? 0 : group * TXN_GROUP_KEYS + (uint32_t)txn_below(TXN_GROUP_KEYS);
    uint32_t end = is_all ? TXN_REGISTERS : (group + 1) * TXN_GROUP_KEYS;
    struct txn_found found[TXN_REGISTERS] = {0};

    return registers_find(work, is_all, first, end, found);
}

YIELDS err_t
step_memory_read(struct work *work)
{
    struct txn_memory seen = {.ts = txn_snapshot(work->txn)};
    err_t err;

    TRY(registers_find(work, true, 0, TXN_REGISTERS, seen.found));
    for (uint32_t i = 0; i < TXN_REGISTERS && work->remembered.ts != 0; i++) {
        const struct txn_found *then = &work->remembered.found[i];

        RUN_CHECK(txn_test.run, then->value == seen.found[i].value && then->ts == seen.found[i].ts,
                  "at the snapshot %" PRIu64 " register %u was %" PRIu64 " of %" PRIu64
                  " and now it was %" PRIu64 " of %" PRIu64,
                  seen.ts, i, then->value, then->ts, seen.found[i].value, seen.found[i].ts);
    }
    SOMETIMES_IF(work->remembered.ts != 0, "txn: a snapshot was read again");
    work->seen = seen;
out:
    return err;
}

YIELDS err_t
step_registers_scan_some(struct work *work)
{
    return step_registers_scan(work, txn_chance(40));
}

/* ---- The bank. ---- */

static YIELDS err_t
account_change(struct work *work, uint32_t account, int64_t amount)
{
    struct name name;
    struct lsm_value value;
    struct arena arena;
    err_t err;

    step_account_name(&name, account);
    arena_init(&arena, MEM_SESSIONS);
    if (work->isolation == TXN_READ_COMMITTED) {
        TRY(lock_first(work, &name));
    }
    TRY(step_get(work, &name, &arena, &value));
    RUN_CHECK(txn_test.run, value.is_found, "account %u is missing", account);
    step_put_word(work, &name, word_of(value.value) + (uint64_t)amount);
    err = flush(work);
out:
    arena_fini(&arena);
    return err;
}

YIELDS err_t
step_bank_transfer(struct work *work)
{
    uint32_t from = (uint32_t)txn_below(TXN_ACCOUNTS);
    uint32_t to = (from + 1 + (uint32_t)txn_below(TXN_ACCOUNTS - 1)) % TXN_ACCOUNTS;
    int64_t amount = (int64_t)txn_below(20);
    err_t err;

    TRY(account_change(work, from, -amount));
    TRY(account_change(work, to, amount));
out:
    return err;
}

YIELDS err_t
step_bank_read_all(struct work *work, int64_t *sum_out, uint32_t *found_out)
{
    struct name names[TXN_ACCOUNTS];
    struct txn_key keys[TXN_ACCOUNTS];
    struct lsm_value values[TXN_ACCOUNTS] = {0};
    struct arena arena;
    uint64_t sum = 0;
    err_t err;

    *found_out = 0;
    for (uint32_t i = 0; i < TXN_ACCOUNTS; i++) {
        step_account_name(&names[i], i);
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

YIELDS err_t
step_bank_audit(struct work *work)
{
    uint32_t found;
    int64_t sum;
    err_t err;

    TRY(step_bank_read_all(work, &sum, &found));
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
    step_put_word(work, &name, (uint64_t)amount);
}

/* Takes from one of the two what both together have. */
YIELDS err_t
step_ledger_change(struct work *work)
{
    uint32_t ledger = (uint32_t)txn_below(TXN_LEDGERS);
    int64_t amount = 1 + (int64_t)txn_below(LEDGER_AMOUNT_MAX);
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
    if (sums[0] + sums[1] >= amount && txn_chance(70)) {
        ledger_put(work, ledger, -amount);
    } else {
        ledger_put(work, ledger, amount);
    }
    err = flush(work);
out:
    return err;
}

/* In one statement, over all shards. */
YIELDS err_t
step_ledger_audit(struct work *work)
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
