/* tests/sim/scenario_feed.c - the change feed through crashes and while slots move.
 *
 * Writers on every shard commit numbered transactions, small ones and some that go to disk as
 * tables. Readers follow the feed, each from a place of its own, and begin again at any place that
 * they have passed. What one reader has been given is the truth from then on: every other one, in
 * this life or a later one, is given the same transactions at the same places. Each comes whole and
 * once, in the order of places, with the timestamp that was answered; none comes that was refused;
 * and when nobody writes, all that were acknowledged durably have come. What was given makes, put
 * together, the store.
 *
 * With moving slots each life has another number of shards; a shard that is given up takes its log
 * with it, and the feed says so. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "tests/sim/scenarios.h"
#include "txn/feed.h"
#include "txn/feed_rows.h"
#include "txn/reshard.h"
#include "txn/slots.h"
#include "txn/txns.h"

enum {
    SHARDS_MAX_HERE = 4,
    SLOTS = 24,
    KEYS = 96,
    KEY_BYTES = 5, /* 7e | slot (2) | number (2) */
    MODEL_TAG = 0x7e,
    WRITERS_MAX = 5,
    READERS_MAX = 3,
    NUMBERS_MAX = 60000,
    PADDING_MAX = 1500,
    LARGE_BYTES = 70000,
    LOOK_US = 20 * 1000,
    QUIET_US = 3 * 1000 * 1000,
    LIVES_MIN = 4,
    LIFE_US_MAX = 60 * 1000 * 1000,
    DRAIN_US = 600 * 1000 * 1000,
    WALL_STEP_US_MAX = 150 * 1000 * 1000,
};
#define RETENTION_US (UINT64_C(100) * 3600 * 1000 * 1000)

enum number_state { NUMBER_OPEN, NUMBER_ANSWERED, NUMBER_REFUSED };

/* A transaction, by its number. */
struct number {
    enum number_state state;
    bool is_durable; /* It was acknowledged so. */
    bool is_seen;
    uint64_t ts;
    uint64_t hash; /* Over its writes, in any order. */
    uint32_t writes;
};

/* What was given, in order. */
struct given {
    struct feed_place place;
    uint32_t number;
    bool is_whole; /* Somebody has read all of it. */
};

static struct {
    struct run *run;
    struct store_options options;
    bool reshards;
    uint32_t wanted; /* Shards of the life, when the slots have moved. */
    bool is_sync, is_stopping;
    uint32_t running;
    uint32_t count; /* Numbers given out: 1..count. */
    uint32_t given_count;
    /* Up to here nothing is told any more: the log of a shard has gone. */
    struct feed_place floor;
    uint32_t floor_index; /* The first that was given behind it. */
    uint64_t floors;
    /* What the feed makes of each key. */
    struct copied {
        uint32_t number; /* Who has written it last; 0: it is not there. */
        uint32_t from;   /* In the order of what was given. */
    } copy[KEYS];
    struct number numbers[NUMBERS_MAX + 1];
    struct given given[NUMBERS_MAX];
    struct store *stores[SIM_SHARDS_MAX];
    struct txns *txns[SIM_SHARDS_MAX];
} test;

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

/* ---- Keys. ---- */

static uint16_t
slot_of(uint32_t key)
{
    return (uint16_t)(key % SLOTS * (SLOT_COUNT / SLOTS) + 7);
}

static struct slice
key_of(uint32_t key, uint8_t bytes[KEY_BYTES])
{
    bytes[0] = MODEL_TAG;
    put_be16(bytes + 1, slot_of(key));
    put_be16(bytes + 3, (uint16_t)key);
    return slice_of(bytes, KEY_BYTES);
}

static uint32_t
key_number(struct slice key)
{
    RUN_CHECK(test.run, key.size == KEY_BYTES && key.data[0] == MODEL_TAG,
              "the feed gives a key that nobody has written");
    return get_be16(key.data + 3) % KEYS;
}

/* Large values are only known by their key here. */
static uint64_t
write_hash(enum feed_kind kind, struct slice key, struct slice value)
{
    uint64_t hash = XXH3_64bits_withSeed(key.data, key.size, (uint64_t)kind + 1);

    return kind == FEED_PUT ? XXH3_64bits_withSeed(value.data, value.size, hash) : hash;
}

/* ---- Writers. ---- */

struct draft {
    struct txn *txn;
    uint32_t number;
    uint8_t *value; /* LARGE_BYTES: lives until the transaction has ended. */
};

static void
draft_write(struct draft *draft, uint32_t key, bool may_be_large)
{
    struct number *number = &test.numbers[draft->number];
    uint8_t bytes[KEY_BYTES];
    struct slice stored = key_of(key, bytes);
    enum feed_kind kind = below(8) == 0 ? FEED_DELETE : FEED_PUT;
    struct slice value = slice_of(draft->value, 8 + (size_t)below(PADDING_MAX));

    if (may_be_large && below(40) == 0) {
        kind = FEED_PUT_LARGE;
        value.size = LARGE_BYTES;
    }
    number->hash += write_hash(kind, stored, value);
    number->writes++;
    if (kind == FEED_DELETE) {
        txn_delete(draft->txn, slot_of(key), stored);
    } else {
        txn_put(draft->txn, slot_of(key), stored, value, 0);
    }
}

/* So many keys, each once. */
static YIELDS err_t
draft_fill(struct draft *draft, bool is_auto)
{
    bool is_big = below(12) == 0;
    uint32_t count = is_big ? KEYS / 2 + (uint32_t)below(KEYS / 2) : 1 + (uint32_t)below(6);
    uint32_t first = (uint32_t)below(KEYS);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        draft_write(draft, (first + i * 5) % KEYS, !is_big);
        if (!is_auto && below(4) == 0) {
            TRY(txn_flush(draft->txn));
            if (!is_big && below(4) == 0) {
                (void)fiber_sleep_us(below(500));
            }
        }
    }
    if (!is_auto) {
        err = txn_flush(draft->txn);
    }
out:
    return err;
}

static void
answered(uint32_t index, err_t err, const struct txn_done *done)
{
    struct number *number = &test.numbers[index];

    if (err != ERR_OK) {
        RUN_CHECK(test.run,
                  err == ERR_SERIALIZATION || err == ERR_DEADLOCK || err == ERR_LOCK_TIMEOUT,
                  "transaction %u: %s", index, err_message(err));
        number->state = NUMBER_REFUSED;
        return;
    }
    number->ts = done->ts;
    number->state = NUMBER_ANSWERED;
    if (test.is_sync) {
        store_wait_durable(store_self(), done->lsn);
        number->is_durable = true;
    }
    test.run->operations++;
}

static YIELDS void
write_one(uint8_t *value)
{
    char tag[16];
    struct draft draft = {.number = ++test.count, .value = value};
    bool is_auto = below(3) > 0;
    struct txn_done done = {0};
    err_t err = ERR_OK;

    snprintf(tag, sizeof(tag), "%u", draft.number);
    put_le64(value, draft.number);
    if (is_auto) {
        const struct txn_origin origin = {.tag = slice_from_text(tag)};

        draft.txn = txn_begin_auto(false, &origin);
        err = draft_fill(&draft, true);
        err = err == ERR_OK ? txn_commit(&draft.txn, &done) : err;
    } else {
        const struct txn_options options = {.isolation = TXN_READ_COMMITTED,
                                            .tag = slice_from_text(tag),
                                            .lock_timeout_us = 1000000};

        err = txn_begin(&options, &draft.txn);
        RUN_CHECK(test.run, err == ERR_OK, "txn_begin: %s", err_message(err));
        err = draft_fill(&draft, false);
        if (err == ERR_OK && below(8) > 0) {
            err = txn_commit(&draft.txn, &done);
        } else {
            err = err == ERR_OK ? ERR_SERIALIZATION : err; /* Taken back: as good as refused. */
        }
    }
    answered(draft.number, err, &done);
    txn_abort(&draft.txn);
}

static void
writer_main(void *arg)
{
    uint8_t *value = malloc(LARGE_BYTES);

    (void)arg;
    ASSERT(value != NULL);
    memset(value, 'v', LARGE_BYTES);
    while (!test.is_stopping && test.count < NUMBERS_MAX) {
        write_one(value);
        if (below(4) == 0) {
            (void)fiber_sleep_us(below(3000));
        }
    }
    free(value);
    test.running--;
}

/* ---- What a reader is given. ---- */

struct sum {
    uint64_t hash;
    uint32_t writes, number;
    uint32_t index; /* In what was given. */
};

static YIELDS void
check_large(const struct sum *sum, const struct feed_write *write)
{
    struct buf value;
    err_t err;

    buf_init(&value, MEM_SESSIONS);
    err = feed_value(write, &value);
    RUN_CHECK(test.run, err == ERR_OK || err == ERR_SNAPSHOT_TOO_OLD, "a large value: %s",
              err_message(err));
    RUN_CHECK(test.run,
              err != ERR_OK || (value.size == LARGE_BYTES && get_le64(value.data) == sum->number),
              "a large value of transaction %u is another's", sum->number);
    buf_fini(&value);
}

static YIELDS void
sum_add(struct sum *sum, const struct feed_write *write)
{
    struct copied *copied = &test.copy[key_number(write->key)];

    sum->hash += write_hash(write->kind, write->key, write->value);
    sum->writes++;
    if (sum->index >= copied->from) {
        copied->number = write->kind == FEED_DELETE ? 0 : sum->number;
        copied->from = sum->index;
    }
    if (write->kind == FEED_PUT_LARGE && below(4) == 0) {
        check_large(sum, write);
    }
}

static YIELDS void
sum_add_rows(struct sum *sum, const struct feed *feed, const struct feed_txn *txn, uint32_t shard)
{
    const struct feed_write *rows;
    struct feed_rows *reader = NULL;
    uint32_t count = 1;
    err_t err = feed_rows_open(feed, txn, shard, &reader);

    while (err == ERR_OK && count > 0) {
        err = feed_rows_next(reader, &rows, &count);
        for (uint32_t i = 0; err == ERR_OK && i < count; i++) {
            sum_add(sum, &rows[i]);
        }
    }
    RUN_CHECK(test.run, err == ERR_OK, "rows of transaction %u on shard %u: %s", sum->number, shard,
              err_message(err));
    feed_rows_close(&reader);
    SOMETIMES("feed: rows were read from a table");
}

static void
sum_check(const struct sum *sum)
{
    const struct number *number = &test.numbers[sum->number];

    RUN_CHECK(test.run, sum->hash == number->hash && sum->writes == number->writes,
              "transaction %u comes with %u writes, and has %u", sum->number, sum->writes,
              number->writes);
}

static uint32_t
number_of(const struct feed_txn *txn)
{
    char text[16];
    uint32_t number;

    RUN_CHECK(test.run, txn->tag.size > 0 && txn->tag.size < sizeof(text), "a tag of %zu bytes",
              txn->tag.size);
    memcpy(text, txn->tag.data, txn->tag.size);
    text[txn->tag.size] = '\0';
    number = (uint32_t)strtoul(text, NULL, 10);
    RUN_CHECK(test.run, number > 0 && number <= test.count, "a transaction has the tag %s", text);
    return number;
}

/* Nobody was given this one before. */
static void
check_new(const struct feed_txn *txn, uint32_t number, struct feed_place before)
{
    struct number *of = &test.numbers[number];

    RUN_CHECK(test.run, txn->place.ts > before.ts,
              "transaction %u comes behind a later one, or has the timestamp of another", number);
    RUN_CHECK(test.run, !of->is_seen, "transaction %u comes a second time", number);
    RUN_CHECK(test.run, of->state != NUMBER_REFUSED,
              "transaction %u was refused, or was gone after a crash", number);
    RUN_CHECK(test.run, of->state != NUMBER_ANSWERED || of->ts == txn->place.ts,
              "transaction %u comes with another timestamp than its answer", number);
    of->is_seen = true;
    of->ts = txn->place.ts;
    ASSERT(test.given_count < NUMBERS_MAX);
    test.given[test.given_count++] = (struct given){.place = txn->place, .number = number};
}

static YIELDS void
take(const struct feed *feed, const struct feed_txn *txn, uint32_t index, struct feed_place before)
{
    struct sum sum = {.number = number_of(txn), .index = index};
    uint32_t shard = UINT32_MAX;

    if (index == test.given_count) {
        check_new(txn, sum.number, before);
    } else {
        const struct given *given = &test.given[index];

        RUN_CHECK(test.run,
                  given->number == sum.number && given->place.ts == txn->place.ts &&
                      given->place.home == txn->place.home,
                  "another reader was given transaction %u (%" PRIu64
                  "-%u) where now %u is (%" PRIu64 "-%u), behind %" PRIu64
                  "-%u; the floor is %" PRIu64,
                  given->number, given->place.ts, given->place.home, sum.number, txn->place.ts,
                  txn->place.home, before.ts, before.home, test.floor.ts);
    }
    for (uint32_t i = 0; i < txn->count; i++) {
        const struct feed_write *write = &txn->writes[i];

        if (write->kind != FEED_INGEST) {
            sum_add(&sum, write);
        } else if (write->shard != shard) {
            shard = write->shard;
            sum_add_rows(&sum, feed, txn, shard);
        }
    }
    sum_check(&sum);
    test.given[index].is_whole = true;
}

/* ---- Readers. ---- */

struct reader {
    struct feed *feed;
    uint32_t next; /* In what was given. */
    uint64_t floors;
    struct feed_place place;
};

static void
reader_place(struct reader *reader, uint32_t index)
{
    reader->floors = test.floors;
    reader->next = MAX(index, test.floor_index);
    reader->place =
        reader->next == test.floor_index ? test.floor : test.given[reader->next - 1].place;
}

static YIELDS void
reader_close(struct reader *reader)
{
    feed_close(&reader->feed);
}

static bool
is_behind(struct feed_place a, struct feed_place b)
{
    return a.ts > b.ts || (a.ts == b.ts && a.home > b.home);
}

/* Something has gone with the log of a shard that was given up. */
static void
floor_raise(const struct reader *reader, err_t err)
{
    struct feed_place floor = {.ts = txns_self()->slots->retired_ts};

    RUN_CHECK(test.run, test.reshards && floor.ts > reader->place.ts, "behind %" PRIu64 "-%u: %s",
              reader->place.ts, reader->place.home, err_message(err));
    if (floor.ts <= test.floor.ts) {
        return;
    }
    SOMETIMES("feed: a log had gone with its shard");
    test.floor = floor;
    test.floors++;
    while (test.floor_index < test.given_count &&
           !is_behind(test.given[test.floor_index].place, floor)) {
        test.floor_index++;
    }
}

static YIELDS void
reader_open(struct reader *reader)
{
    while (reader->feed == NULL) {
        err_t err = feed_open(reader->place, NULL, 0, &reader->feed);

        if (err != ERR_OK) {
            RUN_CHECK(test.run, err == ERR_SNAPSHOT_TOO_OLD, "feed_open: %s", err_message(err));
            floor_raise(reader, err);
        }
        if (reader->floors != test.floors) {
            reader_close(reader);
            reader_place(reader, reader->next);
        }
    }
}

/* The next one within the time; false: there is none. */
static YIELDS bool
reader_next(struct reader *reader, uint64_t wait_us)
{
    struct feed_txn txn;
    bool is_there = false;
    err_t err;

    reader_open(reader);
    err = feed_wait(reader->feed, shard_now_us() + wait_us, &txn, &is_there);
    RUN_CHECK(test.run, err == ERR_OK, "feed_wait: %s", err_message(err));
    if (reader->floors != test.floors) { /* What is behind the new floor counts, for everybody. */
        reader_close(reader);
        reader_place(reader, reader->next);
        return true;
    }
    if (is_there) {
        take(reader->feed, &txn, reader->next, reader->place);
        reader->next++;
        reader->place = txn.place;
    }
    return is_there;
}

static void
reader_main(void *arg)
{
    struct reader reader = {0};

    (void)arg;
    reader_place(&reader, (uint32_t)below(test.given_count + 1));
    while (!test.is_stopping) {
        bool is_there = reader_next(&reader, below(LOOK_US));

        if (below(30) == 0) {
            reader_close(&reader);
            if (below(3) == 0) {
                SOMETIMES("feed: a reader went back");
                reader_place(&reader, (uint32_t)below(reader.next + 1));
            }
        } else if (!is_there && below(3) == 0) {
            (void)fiber_sleep_us(below(LOOK_US));
        }
    }
    reader_close(&reader);
    test.running--;
}

/* ---- When nobody writes. ---- */

static void
check_numbers(void)
{
    for (uint32_t i = 1; i <= test.count; i++) {
        struct number *number = &test.numbers[i];

        RUN_CHECK(test.run, number->is_seen || !number->is_durable || number->ts <= test.floor.ts,
                  "transaction %u was acknowledged, and is not in the feed", i);
        if (!number->is_seen && !number->is_durable && number->ts > test.floor.ts) {
            number->state = NUMBER_REFUSED; /* It is gone for good. */
        } else if (!number->is_seen && number->state == NUMBER_OPEN && test.floor.ts == 0) {
            number->state = NUMBER_REFUSED;
        }
    }
}

static YIELDS void
check_copy(void)
{
    struct txn *txn = txn_begin_auto(true, NULL);

    for (uint32_t i = 0; i < KEYS; i++) {
        struct lsm_value value = {0};
        uint8_t bytes[KEY_BYTES];
        struct arena arena;
        uint64_t number;
        err_t err;

        arena_init(&arena, MEM_SESSIONS);
        err = txn_get(txn, slot_of(i), key_of(i, bytes), &arena, &value);
        RUN_CHECK(test.run, err == ERR_OK, "reading: %s", err_message(err));
        number = value.is_found ? get_le64(value.value.data) : 0;
        RUN_CHECK(test.run, test.copy[i].number == number,
                  "key %u (slot %u, shard %u) was written by %" PRIu64 " at %" PRIu64
                  ", by what the feed gave by %u at %" PRIu64 ", in the store it is of %" PRIu64,
                  i, slot_of(i), txn_shard_of_slot(slot_of(i)), number, test.numbers[number].ts,
                  test.copy[i].number, test.numbers[test.copy[i].number].ts, value.ts);
        arena_fini(&arena);
    }
    txn_abort(&txn);
}

/* A crash may have come while the last ones were read. */
static uint32_t
first_unread(void)
{
    uint32_t index = test.given_count;

    for (uint32_t i = test.given_count; i > test.floor_index; i--) {
        index = test.given[i - 1].is_whole ? index : i - 1;
    }
    return index;
}

/* Everything is read, at times from the beginning, and compared. */
static err_t
look(void *arg)
{
    struct reader reader = {0};

    (void)arg;
    reader_place(&reader, below(2) == 0 ? 0 : first_unread());
    while (reader_next(&reader, QUIET_US)) {
        continue;
    }
    RUN_CHECK(test.run, reader.next == test.given_count,
              "%u transactions were given once, and are gone", test.given_count - reader.next);
    reader_close(&reader);
    check_numbers();
    if (test.floor.ts == 0) {
        check_copy();
    }
    return ERR_OK;
}

/* ---- Shards, and slots that move. ---- */

static YIELDS err_t
copy_slots(struct slots_move *move)
{
    uint8_t from[3] = {MODEL_TAG};
    uint8_t to[3] = {MODEL_TAG};
    struct txn_scan *scan = NULL;
    struct arena arena;
    bool is_any = false;
    err_t err;

    put_be16(from + 1, move->first);
    put_be16(to + 1, (uint16_t)(move->first + move->count));
    arena_init(&arena, MEM_SESSIONS);
    TRY(txn_scan_open(move->txn, txn_slot_of_shard(move->from), slice_of(from, 3), slice_of(to, 3),
                      &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        struct slice key = arena_copy(&arena, txn_scan_entry(scan)->key);
        uint16_t slot = txn_scan_entry(scan)->slot;
        struct slice value;

        is_any = true;
        TRY(txn_scan_value(scan, &arena, &value));
        TRY(slots_move_put(move, slot, key, value, 0));
        TRY(txn_scan_next(scan));
    }
    if (is_any) {
        slots_move_delete_range(move, slice_of(from, 3), slice_of(to, 3));
    }
out:
    txn_scan_close(&scan);
    arena_fini(&arena);
    return err;
}

static err_t
open_shard(void *arg)
{
    struct store_options options = test.options;
    char dir[32];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    options.dir = dir;
    options.may_move = test.reshards;
    TRY(store_open(&options, &test.stores[shard_id()]));
    TRY(txns_open(&test.txns[shard_id()]));
out:
    return err;
}

static err_t
open_reshard(void *arg)
{
    const struct reshard_options options = {.shards = test.wanted, .copy = copy_slots};

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

    test.wanted = (uint32_t)run_between(run, 1, SHARDS_MAX_HERE);
    err = sim_world_start(run->world, 1, plan, &shards);
    RUN_CHECK(run, err == ERR_OK, "reshard_plan: %s", err_message(err));
    sim_world_stop(run->world);
    run->shards = shards;
}

/* ---- Lives. ---- */

static bool
nobody_runs(void *arg)
{
    (void)arg;
    return test.running == 0;
}

static err_t
sync_shard(void *arg)
{
    struct store *store = store_self();

    (void)arg;
    store_wait_durable(store, wal_appended(store_wal(store)));
    return ERR_OK;
}

/* A feed gives what is durable, and below sync nobody waits for that. */
static void
look_from_anywhere(struct run *run)
{
    err_t err = sim_world_call_all(run->world, sync_shard, NULL);

    RUN_CHECK(run, err == ERR_OK, "syncing: %s", err_message(err));
    err = sim_world_call(run->world, (uint32_t)run_below(run, test.wanted), look, NULL);
    RUN_CHECK(run, err == ERR_OK, "looking: %s", err_message(err));
}

static void
start(struct run *run)
{
    struct store_options *options = &test.options;

    options->durability = run_chance(run, 70) ? WAL_SYNC : (enum wal_durability)run_below(run, 3);
    options->interval_us = run_between(run, 1000, 200000);
    options->wal_in_flight_max = run_chance(run, 50) ? (uint32_t)run_between(run, 1, 6) : 0;
    test.is_sync = options->durability == WAL_SYNC;
    if (test.reshards) {
        shards_draw(run);
    }
    run_start(run, open_shard, NULL);
    look_from_anywhere(run);
    if (test.reshards) {
        err_t err = sim_world_call(run->world, 0, open_reshard, NULL);

        RUN_CHECK(run, err == ERR_OK, "reshard_open: %s", err_message(err));
    }
}

static void
spawn(struct run *run, const char *name, fiber_fn fn)
{
    test.running++;
    sim_world_spawn(run->world, (uint32_t)run_below(run, test.wanted), name, fn, NULL);
}

static void
spawn_all(struct run *run)
{
    test.is_stopping = false;
    for (uint64_t i = run_between(run, 1, WRITERS_MAX); i > 0; i--) {
        spawn(run, "writer", writer_main);
    }
    for (uint64_t i = run_between(run, 1, READERS_MAX); i > 0; i--) {
        spawn(run, "reader", reader_main);
    }
}

static void
stop(struct run *run)
{
    run_calm(run);
    test.is_stopping = true;
    run_until(run, nobody_runs, NULL, DRAIN_US, "writers and readers to end");
    RUN_CHECK(run, sim_world_call(run->world, 0, close_reshard, NULL) == ERR_OK, "closing");
    look_from_anywhere(run);
    RUN_CHECK(run, sim_world_call_all(run->world, close_txns, NULL) == ERR_OK, "closing");
    RUN_CHECK(run, sim_world_call_all(run->world, close_store, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

static void
live(struct run *run)
{
    start(run);
    run_draw_harmless_faults(run);
    if (run_chance(run, 30)) {
        sim_world_options(run->world)->wall_step_us_max = WALL_STEP_US_MAX;
        sim_world_options(run->world)->wall_step_ppm = 20000;
    }
    if (run_chance(run, 40)) { /* Messages overtake whatever does not go by messages. */
        sim_world_options(run->world)->message_delay_ppm = 100000;
    }
    spawn_all(run);
    RUN_CHECK(run, run_for_operations(run, run_between(run, 10, 400), LIFE_US_MAX), "fatal: %s",
              sim_world_fatal_message(run->world));
    if (run_chance(run, 80)) {
        run_crash(run);
        test.running = 0;
    } else {
        stop(run);
    }
    run_calm(run);
}

static void
lives(struct run *run, bool reshards)
{
    static const uint32_t shard_counts[] = {1, 2, 2, 3, 4};

    memset(&test, 0, sizeof(test));
    test.run = run;
    test.reshards = reshards;
    run->shards = shard_counts[run_below(run, ARRAY_COUNT(shard_counts))];
    test.wanted = run->shards;
    test.options = (struct store_options){
        .memory_bytes = run_between(run, 1, 8) << 20,
        .retention_us = RETENTION_US,
        .wal_segment_bytes = UINT64_C(64) << (10 + run_below(run, 4)),
    };
    if (run_chance(run, 70)) { /* Many flushes, so that ingested tables are merged. */
        test.options.lsm.memtable_bytes = run_between(run, 16, 128) << 10;
    }
    for (uint32_t life = 0; life < LIVES_MIN || !run_is_enough(run); life++) {
        live(run);
    }
    start(run);
    spawn_all(run);
    stop(run);
}

static void
feed_main(struct run *run)
{
    lives(run, false);
}

static void
feed_reshard_main(struct run *run)
{
    lives(run, true);
}

const struct scenario scenario_feed = {
    .name = "feed",
    .text = "the change feed: every transaction once, whole, in order, whoever reads and crashes",
    .weight = 4,
    .main = feed_main,
};

const struct scenario scenario_feed_reshard = {
    .name = "feed_reshard",
    .text = "the same while the number of shards changes from life to life, and slots move",
    .weight = 2,
    .main = feed_reshard_main,
};
