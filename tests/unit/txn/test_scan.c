/* tests/unit/txn/test_scan.c - scans of transactions against plain arrays of what they should see.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/base/prng.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"
#include "txn/txns.h"

TestSuite(scan, .timeout = 120);

enum { STORES_MAX = 4, KEYS = 48, NAME_BYTES = 16, LARGE_EVERY = 13 };

/* ---- Shards with stores. ---- */

static struct store *stores[STORES_MAX];
static struct txns *tables[STORES_MAX];

static YIELDS void
open_run(void *arg)
{
    struct store_options options = {.memory_bytes = 1 << 20, .wal_segment_bytes = 256 << 10};
    char dir[32];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    err = store_open(&options, &stores[shard_id()]);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    err = txns_open(&tables[shard_id()]);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

static YIELDS void
txns_close_run(void *arg)
{
    (void)arg;
    txns_close(&tables[shard_id()]);
}

static YIELDS void
store_close_run(void *arg)
{
    (void)arg;
    store_close(&stores[shard_id()]);
}

static YIELDS void
world_open(void)
{
    msg_call_all(MSG_FIBER, open_run, NULL, 0);
}

static YIELDS void
world_close(void)
{
    msg_call_all(MSG_FIBER, txns_close_run, NULL, 0);
    msg_call_all(MSG_FIBER, store_close_run, NULL, 0);
}

/* ---- Keys and values. ---- */

static struct slice
name_of(int key, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "key-%03d", key);
    return slice_from_text(out);
}

static uint16_t
slot_of(int key)
{
    return (uint16_t)(((unsigned)key * 5413U) % SLOT_COUNT);
}

static uint32_t
shard_of(int key)
{
    return txn_shard_of_slot(slot_of(key));
}

/* Some are large. */
static struct slice
value_of(int value)
{
    static char bytes[LSM_VALUE_INLINE_BYTES_MAX + 1000];
    size_t size = value % LARGE_EVERY == 0 ? sizeof(bytes) : 16;

    memset(bytes, 'a' + value % 26, size);
    snprintf(bytes, 16, "%d", value);
    return slice_of(bytes, size);
}

static void
put(struct txn *txn, int key, int value)
{
    char name[NAME_BYTES];
    struct slice bytes = value_of(value);

    if (!txn_is_auto(txn) || bytes.size <= LSM_VALUE_INLINE_BYTES_MAX) {
        txn_put(txn, slot_of(key), name_of(key, name), bytes, 0);
    }
}

static void
erase(struct txn *txn, int key)
{
    char name[NAME_BYTES];

    txn_delete(txn, slot_of(key), name_of(key, name));
}

static YIELDS void
commit(struct txn **txn)
{
    err_t err = txn_commit(txn, NULL);

    cr_assert_eq(err, ERR_OK, "commit failed: %s", err_message(err));
}

static YIELDS struct txn *
begin(enum txn_isolation isolation)
{
    struct txn_options begin_options = {.isolation = isolation};
    struct txn *txn = NULL;
    err_t err = txn_begin(&begin_options, &txn);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    return txn;
}

/* ---- What a scan should see: 0 is nothing. ---- */

struct model {
    int stored[KEYS]; /* At the snapshot. */
    int own[KEYS];    /* > 0: put, -1: deleted, 0: not written. */
    int sees[KEYS];   /* What of it a scan sees that is opened now. */
    bool sees_all;
};

struct scan_model {
    const struct model *model;
    struct txn_scan *scan;
    int sees[KEYS];
    bool sees_all;
    uint32_t shard; /* TXN_ALL_SHARDS */
    int lower, upper;
    int at; /* -1: nowhere. */
};

static int
seen(const struct scan_model *scan, int key)
{
    const struct model *model = scan->model;
    int own = scan->sees_all ? model->own[key] : scan->sees[key];
    int value = own != 0 ? own : model->stored[key];

    return key < scan->lower || key >= scan->upper || value < 0 ||
                   (scan->shard != (uint32_t)TXN_ALL_SHARDS && scan->shard != shard_of(key))
               ? 0
               : value;
}

static int
first_at(const struct scan_model *scan, int key)
{
    for (key = MAX(key, 0); key < KEYS; key++) {
        if (seen(scan, key) != 0) {
            return key;
        }
    }
    return -1;
}

static int
last_at(const struct scan_model *scan, int key)
{
    for (key = MIN(key, KEYS - 1); key >= 0; key--) {
        if (seen(scan, key) != 0) {
            return key;
        }
    }
    return -1;
}

static YIELDS void
check_value(const struct scan_model *scan, struct arena *arena)
{
    struct slice value;
    err_t err = txn_scan_value(scan->scan, arena, &value);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert(slice_equal(value, value_of(seen(scan, scan->at))));
}

static YIELDS void
check(const struct scan_model *scan, err_t err, bool with_value)
{
    const struct lsm_entry *entry;
    char name[NAME_BYTES];
    struct arena arena;

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_eq(txn_scan_is_valid(scan->scan), scan->at >= 0);
    if (scan->at < 0) {
        return;
    }
    entry = txn_scan_entry(scan->scan);
    cr_assert(slice_equal(entry->key, name_of(scan->at, name)), "at %.*s, not at %s",
              (int)entry->key.size, (const char *)entry->key.data, name);
    cr_assert_eq(entry->slot, slot_of(scan->at));
    if (entry->kind == LSM_PUT) {
        cr_assert(slice_equal(entry->value, value_of(seen(scan, scan->at))));
    }
    if (with_value) {
        arena_init(&arena, MEM_SESSIONS);
        check_value(scan, &arena);
        arena_fini(&arena);
    }
}

/* ---- Random moves. ---- */

static YIELDS void
scan_begin(struct txn *txn, const struct model *model, struct prng *prng, struct scan_model *scan)
{
    char lower[NAME_BYTES];
    char upper[NAME_BYTES];
    bool is_all = prng_below(prng, 3) > 0;
    uint16_t slot = slot_of((int)prng_below(prng, KEYS));
    err_t err;

    *scan = (struct scan_model){.model = model,
                                .sees_all = model->sees_all,
                                .shard = is_all ? TXN_ALL_SHARDS : txn_shard_of_slot(slot),
                                .upper = KEYS,
                                .at = -1};
    memcpy(scan->sees, model->sees, sizeof(scan->sees));
    if (prng_below(prng, 2) == 0) {
        scan->lower = (int)prng_below(prng, KEYS);
        scan->upper = scan->lower + (int)prng_below(prng, (uint64_t)(KEYS - scan->lower));
    }
    err = txn_scan_open(txn, is_all ? (uint32_t)TXN_ALL_SHARDS : slot,
                        scan->lower == 0 ? slice_of(NULL, 0) : name_of(scan->lower, lower),
                        scan->upper == KEYS ? slice_of(NULL, 0) : name_of(scan->upper, upper),
                        &scan->scan);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

static YIELDS void
scan_seek(struct scan_model *scan, struct prng *prng)
{
    int key = (int)prng_below(prng, KEYS);
    char name[NAME_BYTES + 1];
    bool is_between = prng_below(prng, 2) == 0;
    err_t err;

    name_of(key, name);
    strcat(name, is_between ? "x" : "");
    if (prng_below(prng, 2) == 0) {
        scan->at = first_at(scan, key + is_between);
        err = txn_scan_seek(scan->scan, slice_from_text(name));
    } else {
        scan->at = last_at(scan, is_between ? key : key - 1);
        err = txn_scan_seek_before(scan->scan, slice_from_text(name));
    }
    check(scan, err, true);
}

static YIELDS void
scan_move(struct scan_model *scan, struct prng *prng)
{
    uint64_t choice = prng_below(prng, 20);

    if (choice == 0) {
        scan->at = first_at(scan, 0);
        check(scan, txn_scan_first(scan->scan), false);
    } else if (choice == 1) {
        scan->at = last_at(scan, KEYS);
        check(scan, txn_scan_last(scan->scan), false);
    } else if (choice < 4 || scan->at < 0) {
        scan_seek(scan, prng);
    } else if (choice < 13) {
        scan->at = first_at(scan, scan->at + 1);
        check(scan, txn_scan_next(scan->scan), choice % 4 == 0);
    } else {
        scan->at = last_at(scan, scan->at - 1);
        check(scan, txn_scan_previous(scan->scan), choice % 4 == 0);
    }
}

static void
own_write(struct txn *txn, struct model *model, struct prng *prng, int *next_value)
{
    int key = (int)prng_below(prng, KEYS);
    uint64_t choice = prng_below(prng, 10);
    int end = MIN(KEYS, key + 1 + (int)prng_below(prng, 12));
    char start_name[NAME_BYTES];
    char end_name[NAME_BYTES];

    if (choice < 6) {
        model->own[key] = ++*next_value;
        put(txn, key, *next_value);
    } else if (choice < 9) {
        model->own[key] = -1;
        erase(txn, key);
    } else {
        for (int i = key; i < end; i++) {
            model->own[i] = -1;
        }
        txn_delete_range_all(txn, name_of(key, start_name), name_of(end, end_name));
    }
}

static YIELDS err_t
spill_run(struct part *part, void *arg)
{
    err_t err;

    (void)arg;
    TRY(part_lock_writes(part));
    TRY(part_spill(part));
out:
    return err;
}

/* To disk with what was written on some shards. */
static YIELDS void
spill(struct txn *txn, struct prng *prng)
{
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        if (prng_below(prng, 2) == 0) {
            err_t err = txn_call(txn, shard, spill_run, NULL);

            cr_assert_eq(err, ERR_OK, "%s", err_message(err));
        }
    }
}

struct savepoint {
    uint32_t number;
    int own[KEYS];
};

enum { SAVEPOINTS = 4 };

static YIELDS void
savepoint_some(struct txn *txn, struct model *model, struct prng *prng, struct savepoint *saved,
               int *count)
{
    err_t err;

    if (prng_below(prng, 2) == 0 && *count < SAVEPOINTS) {
        err = txn_savepoint(txn, &saved[*count].number);
        memcpy(saved[(*count)++].own, model->own, sizeof(model->own));
    } else if (*count > 0) {
        int at = (int)prng_below(prng, (uint64_t)*count);

        err = txn_rollback_to(txn, saved[at].number);
        memcpy(model->own, saved[at].own, sizeof(model->own));
        *count = at + 1;
    } else {
        return;
    }
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
}

/* Others write meanwhile, and the scan must not see it. */
static YIELDS void
other_write(struct prng *prng, int *next_value)
{
    struct txn *other = txn_begin_auto(false, NULL);
    int key = (int)prng_below(prng, KEYS);

    if (prng_below(prng, 3) == 0) {
        erase(other, key);
    } else {
        *next_value += 1 + ((*next_value + 1) % LARGE_EVERY == 0);
        put(other, key, *next_value);
    }
    commit(&other);
}

static YIELDS void
store_fill(struct model *model, struct prng *prng, int *next_value)
{
    struct txn *txn = begin(TXN_REPEATABLE_READ);

    for (int key = 0; key < KEYS; key++) {
        model->stored[key] = 0;
        if (prng_below(prng, 3) > 0) {
            model->stored[key] = ++*next_value;
            put(txn, key, *next_value);
        } else {
            erase(txn, key);
        }
    }
    commit(&txn);
}

static YIELDS void
statement(struct txn *txn, struct model *model, bool sees_own_only_before)
{
    err_t err = txn_statement(txn, sees_own_only_before);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    model->sees_all = !sees_own_only_before;
    memcpy(model->sees, model->own, sizeof(model->sees));
}

/* Everything that was written, by key. */
static YIELDS void
check_gets(struct txn *txn, struct model *model)
{
    statement(txn, model, false);
    for (int key = 0; key < KEYS; key++) {
        int expected = model->own[key] != 0 ? model->own[key] : model->stored[key];
        struct lsm_value value = {0};
        char name[NAME_BYTES];
        struct arena arena;
        err_t err;

        arena_init(&arena, MEM_SESSIONS);
        err = txn_get(txn, slot_of(key), name_of(key, name), &arena, &value);
        cr_assert_eq(err, ERR_OK, "%s", err_message(err));
        cr_assert_eq(value.is_found, expected > 0, "key %d", key);
        cr_assert(!value.is_found || slice_equal(value.value, value_of(expected)));
        arena_fini(&arena);
    }
}

static YIELDS void
check_committed(const struct model *written)
{
    struct model model = {.sees_all = true};
    struct scan_model scan = {
        .model = &model, .sees_all = true, .shard = TXN_ALL_SHARDS, .upper = KEYS, .at = -1};
    struct txn *txn = begin(TXN_REPEATABLE_READ);

    for (int key = 0; key < KEYS; key++) {
        model.stored[key] = written->own[key] != 0 ? written->own[key] : written->stored[key];
    }
    check_gets(txn, &model);
    cr_assert_eq(
        txn_scan_open(txn, TXN_ALL_SHARDS, slice_of(NULL, 0), slice_of(NULL, 0), &scan.scan),
        ERR_OK);
    scan.at = first_at(&scan, 0);
    check(&scan, txn_scan_first(scan.scan), true);
    while (scan.at >= 0) {
        scan.at = first_at(&scan, scan.at + 1);
        check(&scan, txn_scan_next(scan.scan), true);
    }
    txn_scan_close(&scan.scan);
    txn_abort(&txn);
}

static YIELDS void
random_round(struct prng *prng, bool others_write)
{
    static int next_value;
    struct model model = {.sees_all = true};
    struct savepoint saved[SAVEPOINTS];
    struct scan_model scan;
    struct txn *txn;
    bool spills = prng_below(prng, 2) == 0;
    int savepoints = 0;

    store_fill(&model, prng, &next_value);
    txn = begin((enum txn_isolation)(1 + prng_below(prng, 2)));
    for (int opened = 0; opened < 10; opened++) {
        savepoint_some(txn, &model, prng, saved, &savepoints);
        statement(txn, &model, prng_below(prng, 2) == 0);
        for (uint64_t i = others_write ? 0 : prng_below(prng, 8); i > 0; i--) {
            own_write(txn, &model, prng, &next_value);
        }
        scan_begin(txn, &model, prng, &scan);
        for (uint64_t i = 10 + prng_below(prng, 60); i > 0; i--) {
            uint64_t choice = prng_below(prng, 20);

            if (choice == 0 && !others_write) {
                own_write(txn, &model, prng, &next_value);
            } else if (choice == 1 && spills) {
                spill(txn, prng);
            } else if (choice == 0) {
                other_write(prng, &next_value);
            } else {
                scan_move(&scan, prng);
            }
        }
        txn_scan_close(&scan.scan);
    }
    check_gets(txn, &model);
    if (prng_below(prng, 2) == 0 || others_write) {
        txn_abort(&txn);
    } else {
        commit(&txn);
        check_committed(&model);
    }
}

static YIELDS void
random_rounds(void)
{
    struct prng prng;

    world_open();
    for (uint64_t seed = 1; seed <= 30; seed++) {
        prng_init(&prng, seed);
        random_round(&prng, seed % 3 == 0);
    }
    world_close();
}

FIBER_TEST(scan, random_scans_of_one_shard_match_plain_arrays)
{
    random_rounds();
}

FIBER_TEST_ON(scan, random_scans_of_three_shards_match_plain_arrays, 3)
{
    random_rounds();
}

/* ---- What was read. ---- */

static YIELDS void
three_rows_read(void)
{
    struct txn *txn = begin(TXN_SERIALIZABLE);
    struct txn_scan *scan = NULL;
    char name[NAME_BYTES];

    for (int key = 0; key < KEYS; key += 2) {
        put(txn, key, 1);
    }
    commit(&txn);
    txn = begin(TXN_SERIALIZABLE);
    cr_assert_eq(txn_scan_open(txn, slot_of(0), name_of(4, name), name_of(40, name), &scan),
                 ERR_OK);
    txn_scan_close(&scan);
    cr_assert(reads_is_empty(&txn->part.reads), "nothing was passed");
    txn_abort(&txn);
}

static YIELDS void
expect_reads(struct txn *txn, int first, int last)
{
    char name[NAME_BYTES];

    for (int key = 0; key < KEYS; key++) {
        cr_assert_eq(reads_has_key(&txn->part.reads, name_of(key, name)),
                     key >= first && key <= last, "key %d", key);
    }
}

static YIELDS void
passed_ranges(void)
{
    char lower[NAME_BYTES];
    char upper[NAME_BYTES];
    char name[NAME_BYTES];
    struct txn_scan *scan;
    struct txn *txn;

    world_open();
    three_rows_read();
    txn = begin(TXN_SERIALIZABLE);
    cr_assert_eq(txn_scan_open(txn, slot_of(0), name_of(3, lower), name_of(41, upper), &scan),
                 ERR_OK);
    cr_assert_eq(txn_scan_first(scan), ERR_OK);
    cr_assert_eq(txn_scan_next(scan), ERR_OK); /* 6 */
    txn_scan_close(&scan);
    expect_reads(txn, 3, 6);

    cr_assert_eq(txn_scan_open(txn, slot_of(0), name_of(3, lower), name_of(41, upper), &scan),
                 ERR_OK);
    cr_assert_eq(txn_scan_seek(scan, name_of(10, name)), ERR_OK);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(txn_scan_previous(scan), ERR_OK); /* 2 is below the range. */
        if (!txn_scan_is_valid(scan)) {
            break;
        }
    }
    cr_assert(!txn_scan_is_valid(scan));
    txn_scan_close(&scan);
    expect_reads(txn, 3, 10);
    txn_abort(&txn);

    txn = begin(TXN_SERIALIZABLE);
    cr_assert_eq(txn_scan_open(txn, slot_of(0), slice_of(NULL, 0), slice_of(NULL, 0), &scan),
                 ERR_OK);
    cr_assert_eq(txn_scan_last(scan), ERR_OK);     /* 46 */
    cr_assert_eq(txn_scan_previous(scan), ERR_OK); /* 44 */
    cr_assert_eq(txn_scan_previous(scan), ERR_OK); /* 42 */
    cr_assert_eq(txn_scan_next(scan), ERR_OK);     /* 44 */
    txn_scan_close(&scan);
    expect_reads(txn, 42, KEYS - 1);
    txn_abort(&txn);
    world_close();
}

FIBER_TEST(scan, what_was_passed_is_the_read_set)
{
    passed_ranges();
}

/* ---- The same key on several shards. ---- */

FIBER_TEST_ON(scan, a_key_that_every_shard_has_comes_once_from_each, 3)
{
    struct txn_scan *scan;
    struct txn *txn;
    uint32_t rows = 0;

    world_open();
    txn = begin(TXN_REPEATABLE_READ);
    for (uint32_t shard = 0; shard < shard_count(); shard++) {
        uint16_t slot = (uint16_t)(shard * SLOT_COUNT / shard_count() + 1);

        cr_assert_eq(txn_shard_of_slot(slot), shard);
        txn_put(txn, slot, slice_from_text("b"), slice_of(&shard, sizeof(shard)), 0);
    }
    txn_put(txn, 0, slice_from_text("a"), slice_from_text("x"), 0);
    txn_put(txn, SLOT_COUNT - 1, slice_from_text("c"), slice_from_text("x"), 0);
    cr_assert_eq(txn_scan_open(txn, TXN_ALL_SHARDS, slice_of(NULL, 0), slice_of(NULL, 0), &scan),
                 ERR_OK);
    for (err_t err = txn_scan_first(scan); txn_scan_is_valid(scan); err = txn_scan_next(scan)) {
        cr_assert_eq(err, ERR_OK);
        cr_assert(rows < 1 || rows > 3 ||
                  txn_scan_entry(scan)->slot * shard_count() / SLOT_COUNT == rows - 1);
        rows++;
        if (rows == 3) { /* Back and forth between equal keys. */
            cr_assert_eq(txn_scan_previous(scan), ERR_OK);
            cr_assert_eq(txn_scan_previous(scan), ERR_OK);
            cr_assert_eq(txn_scan_entry(scan)->key.data[0], 'a');
            cr_assert_eq(txn_scan_next(scan), ERR_OK);
            cr_assert_eq(txn_scan_next(scan), ERR_OK);
            cr_assert_eq(txn_shard_of_slot(txn_scan_entry(scan)->slot), 1);
        }
    }
    cr_assert_eq(rows, 5);
    txn_scan_close(&scan);
    txn_abort(&txn);
    world_close();
}

/* ---- Statements. ---- */

FIBER_TEST(scan, after_a_rollback_a_statement_sees_what_the_savepoint_had)
{
    struct lsm_value value;
    struct arena arena;
    char name[NAME_BYTES];
    struct txn *txn;
    uint32_t savepoint;

    world_open();
    arena_init(&arena, MEM_SESSIONS);
    txn = begin(TXN_REPEATABLE_READ);
    cr_assert_eq(txn_statement(txn, true), ERR_OK);
    txn_put(txn, slot_of(0), name_of(1, name), SLICE("kept"), 0);
    cr_assert_eq(txn_savepoint(txn, &savepoint), ERR_OK);
    cr_assert_eq(txn_statement(txn, true), ERR_OK);
    txn_put(txn, slot_of(0), name_of(2, name), SLICE("undone"), 0);
    cr_assert_eq(txn_rollback_to(txn, savepoint), ERR_OK);
    txn_put(txn, slot_of(0), name_of(3, name), SLICE("of this statement"), 0);
    cr_assert_eq(txn_get(txn, slot_of(0), name_of(1, name), &arena, &value), ERR_OK);
    cr_assert(value.is_found);
    cr_assert_eq(txn_get(txn, slot_of(0), name_of(2, name), &arena, &value), ERR_OK);
    cr_assert_not(value.is_found);
    cr_assert_eq(txn_get(txn, slot_of(0), name_of(3, name), &arena, &value), ERR_OK);
    cr_assert_not(value.is_found);
    txn_abort(&txn);
    arena_fini(&arena);
    world_close();
}

/* The own write that comes next lies in memory that further own writes move. */
FIBER_TEST(scan, what_a_statement_writes_while_it_reads_leaves_what_it_reads_alone)
{
    enum { ROWS = 200, WRITES = 200 };
    char name[NAME_BYTES];
    struct txn_scan *scan;
    struct txn *txn;
    int rows = 0;

    world_open();
    txn = begin(TXN_REPEATABLE_READ);
    for (int i = 0; i < ROWS; i += 2) {
        txn_put(txn, slot_of(0), name_of(i, name), SLICE("old"), 0);
    }
    commit(&txn);
    txn = begin(TXN_REPEATABLE_READ);
    for (int i = 1; i < ROWS; i += 2) {
        txn_put(txn, slot_of(0), name_of(i, name), SLICE("own"), 0);
    }
    cr_assert_eq(txn_statement(txn, true), ERR_OK);
    cr_assert_eq(txn_scan_open(txn, TXN_ALL_SHARDS, slice_of(NULL, 0), slice_of(NULL, 0), &scan),
                 ERR_OK);
    for (err_t err = txn_scan_first(scan); txn_scan_is_valid(scan); err = txn_scan_next(scan)) {
        cr_assert_eq(err, ERR_OK);
        cr_assert_eq(slice_compare(txn_scan_entry(scan)->key, name_of(rows, name)), 0);
        cr_assert_eq(
            slice_compare(txn_scan_entry(scan)->value, rows % 2 == 0 ? SLICE("old") : SLICE("own")),
            0);
        for (int i = 0; i < WRITES; i++) { /* Of what was passed, is here, and comes. */
            txn_put(txn, slot_of(0), name_of(i + rows, name), SLICE("of this statement"), 0);
        }
        rows++;
    }
    cr_assert_eq(rows, ROWS);
    txn_scan_close(&scan);
    txn_abort(&txn);
    world_close();
}

FIBER_TEST(scan, a_write_that_may_not_be_is_told_by_the_next_call)
{
    const struct txn_options options_read = {.isolation = TXN_SERIALIZABLE, .read_only = true};
    char name[NAME_BYTES];
    struct txn *txn;

    world_open();
    cr_assert_eq(txn_begin(&options_read, &txn), ERR_OK);
    txn_put(txn, slot_of(0), name_of(1, name), SLICE("v"), 0);
    cr_assert_eq(txn_flush(txn), ERR_READ_ONLY);
    cr_assert_eq(txn_flush(txn), ERR_TXN_ABORTED);
    txn_abort(&txn);
    world_close();
}
