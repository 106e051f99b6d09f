/* tests/unit/txn/test_api_feed.c - the change feed of the C API, on a real disk. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

enum {
    KEYSPACES = 4,
    KEYS = 9000,
    ROWS_AT_ONCE = 7,
    SPILL_ROWS = 5000, /* Of 4 KiB: more than is kept in memory. */
    WAIT_MS = 5000,
};

static struct orbit_options options;

static void
begin(void)
{
    folder_make("feed");
    options = (struct orbit_options){.dir = folder, .memory_bytes = 64 << 20};
}

TestSuite(api_feed, .init = begin, .fini = end, .timeout = 120);

static void
open_as(enum orbit_mode mode, uint32_t shards)
{
    options.mode = mode;
    options.shards = shards;
    must(orbit_open(&options, &db));
}

static struct orbit_feed *
feed_from(const struct orbit_feed_options *wanted)
{
    struct orbit_feed *feed;

    must(orbit_feed_open(db, wanted, &feed));
    return feed;
}

static void
put(const char *key, const char *value)
{
    must(orbit_put(db, key, strlen(key), value, strlen(value), 0));
}

/* ---- A copy made of the feed alone. Keys are "k" and a number. ---- */

static char *copy[KEYSPACES][KEYS];
static struct orbit_feed_place last;

static void
copy_clear(void)
{
    for (uint32_t i = 0; i < KEYSPACES; i++) {
        for (uint32_t k = 0; k < KEYS; k++) {
            free(copy[i][k]);
            copy[i][k] = NULL;
        }
    }
}

static void
change_apply(const struct orbit_change *change)
{
    char text[16] = "";
    uint32_t number;

    cr_assert_lt(change->keyspace, KEYSPACES);
    if (change->kind == ORBIT_CHANGE_DELETE_RANGE) {
        for (uint32_t i = 0; i < KEYS; i++) {
            snprintf(text, sizeof(text), "k%05u", i);
            if ((change->key == NULL || memcmp(text, change->key, 6) >= 0) &&
                (change->value == NULL || memcmp(text, change->value, 6) < 0)) {
                free(copy[change->keyspace][i]);
                copy[change->keyspace][i] = NULL;
            }
        }
        return;
    }
    cr_assert_eq(change->key_size, 6);
    memcpy(text, change->key, 6);
    number = (uint32_t)strtoul(text + 1, NULL, 10);
    cr_assert_lt(number, KEYS);
    free(copy[change->keyspace][number]);
    copy[change->keyspace][number] = NULL;
    if (change->kind == ORBIT_CHANGE_PUT) {
        cr_assert_not(change->is_gone);
        copy[change->keyspace][number] = strndup(change->value, change->value_size);
    }
}

/* How many changes. */
static uint32_t
changes_apply(struct orbit_feed *feed)
{
    struct orbit_change changes[ROWS_AT_ONCE];
    uint32_t total = 0;
    size_t count;
    int error;

    while ((error = orbit_feed_changes(feed, changes, ROWS_AT_ONCE, &count)) == ORBIT_OK) {
        cr_assert(count > 0 && count <= ROWS_AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            change_apply(&changes[i]);
        }
        total += (uint32_t)count;
    }
    must_be(error, ORBIT_NOT_FOUND);
    return total;
}

/* All there is behind the last place; how many transactions. */
static uint32_t
copy_on(void)
{
    struct orbit_feed_options wanted = {.behind = &last};
    struct orbit_feed *feed = feed_from(last.commit == 0 ? NULL : &wanted);
    struct orbit_feed_txn txn;
    uint32_t count = 0;
    int error;

    while ((error = orbit_feed_next(feed, count == 0 ? WAIT_MS : 300, &txn)) == ORBIT_OK) {
        cr_assert(txn.place.commit > last.commit ||
                  (txn.place.commit == last.commit && txn.place.shard > last.shard));
        last = txn.place;
        changes_apply(feed);
        count++;
    }
    must_be(error, ORBIT_TIMEOUT);
    orbit_feed_free(&feed);
    cr_assert_null(feed);
    return count;
}

static void
copy_check(orbit_keyspace keyspace)
{
    struct orbit_scan_options all = {.keyspace = keyspace};
    struct orbit_scan *scan;
    const void *key, *value;
    size_t key_size, value_size;
    uint32_t at = 0;

    must(orbit_scan_new(db, &all, &scan));
    while (orbit_scan_next(scan, &key, &key_size, &value, &value_size) == ORBIT_OK) {
        char text[16] = "";
        uint32_t number;

        memcpy(text, key, 6);
        number = (uint32_t)strtoul(text + 1, NULL, 10);
        for (; at < number; at++) {
            cr_assert_null(copy[keyspace][at], "k%05u of keyspace %u is not there", at, keyspace);
        }
        cr_assert_not_null(copy[keyspace][at], "%s of keyspace %u was not given", text, keyspace);
        cr_assert_eq(strlen(copy[keyspace][at]), value_size);
        cr_assert_eq(memcmp(copy[keyspace][at], value, value_size), 0);
        at++;
    }
    for (; at < KEYS; at++) {
        cr_assert_null(copy[keyspace][at]);
    }
    orbit_scan_free(&scan);
}

static char *
name(uint32_t number, char text[16])
{
    snprintf(text, 16, "k%05u", number);
    return text;
}

static void
txn_put(struct orbit_txn *txn, orbit_keyspace keyspace, uint32_t number, const char *value)
{
    char text[16];

    must(orbit_txn_put(txn, keyspace, name(number, text), 6, value, strlen(value), 0));
}

static void
some_writes(uint32_t round)
{
    const struct orbit_txn_options mine = {.principal = "anna", .tag = "some writes"};
    struct orbit_txn *txn;
    char text[16];

    must(orbit_txn_begin(db, &mine, &txn));
    for (uint32_t i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "v%u", round);
        txn_put(txn, i % KEYSPACES, 10 * round + i, text);
    }
    must(orbit_txn_delete_range(txn, 1, "k00000", 6, name(10 * round + 10, text), 6));
    must(orbit_txn_delete_range(txn, 2, NULL, 0, "k00003", 6));
    must(orbit_txn_delete(txn, 3, name(10 * round, text), 6));
    txn_put(txn, 1, 10 * round + 2, "behind the range delete");
    must(orbit_txn_commit(txn, NULL));
    orbit_txn_free(&txn);
    put(name(5000 + round, text), "alone");
}

static void
copies(enum orbit_mode mode, uint32_t shards)
{
    memset(&last, 0, sizeof(last));
    open_as(mode, shards);
    for (uint32_t life = 0; life < 3; life++) {
        for (uint32_t i = 0; i < 10; i++) {
            some_writes(10 * life + i);
        }
        cr_assert_eq(copy_on(), 20);
        for (uint32_t i = 0; i < KEYSPACES; i++) {
            copy_check(i);
        }
        orbit_close(&db);
        must(orbit_open(&options, &db));
    }
    copy_clear();
}

Test(api_feed, a_copy_made_from_it_is_the_database_over_restarts)
{
    copies(ORBIT_THREADS, 2);
}

Test(api_feed, a_copy_made_from_it_is_the_database_inline)
{
    copies(ORBIT_INLINE, 1);
}

/* ---- Tables. ---- */

static void
spill(uint32_t first, const char *mark)
{
    static char value[4096];
    struct orbit_txn *txn;
    char text[16];

    memset(value, 'v', sizeof(value) - 1);
    memcpy(value, mark, strlen(mark));
    must(orbit_txn_begin(db, NULL, &txn));
    for (uint32_t i = 0; i < SPILL_ROWS; i++) {
        txn_put(txn, 1, first + i, value);
    }
    for (uint32_t i = 0; i < SPILL_ROWS; i += 10) {
        must(orbit_txn_delete(txn, 1, name(first + i, text), 6));
    }
    must(orbit_txn_commit(txn, NULL));
    orbit_txn_free(&txn);
}

Test(api_feed, rows_of_a_transaction_larger_than_memory_are_listed)
{
    memset(&last, 0, sizeof(last));
    open_as(ORBIT_THREADS, 2);
    spill(0, "first");
    cr_assert_eq(copy_on(), 1);
    copy_check(1);
    spill(3000, "second");
    put("k00001", "x");
    cr_assert_eq(copy_on(), 2);
    copy_check(1);
    copy_clear();
}

static void
ingest(uint32_t from, uint32_t count, const char *value)
{
    struct orbit_ingest *rows;
    char text[16];

    must(orbit_ingest_new(db, &rows));
    for (uint32_t i = 0; i < count; i++) {
        must(orbit_ingest_put(rows, name(from + i, text), 6, value, strlen(value), 0));
    }
    must(orbit_ingest_commit(rows));
    orbit_ingest_free(&rows);
}

/* The rows of the first ingest are in other tables then. */
Test(api_feed, rows_of_an_ingest_are_listed_also_after_they_were_merged)
{
    memset(&last, 0, sizeof(last));
    open_as(ORBIT_THREADS, 1);
    ingest(0, 2000, "one");
    ingest(3000, 500, "two");
    put("k02500", "between");
    must(orbit_compact(db));
    must(orbit_compact(db));
    cr_assert_eq(copy_on(), 3);
    copy_check(0);
    copy_clear();
}

Test(api_feed, an_ingest_over_shards_is_one_transaction)
{
    char large[500];

    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    memset(&last, 0, sizeof(last));
    open_as(ORBIT_THREADS, 4);
    ingest(0, 3000, large); /* Handed over in several groups. */
    put("k02500", "between");
    ingest(1000, 300, "two");
    cr_assert_eq(copy_on(), 3);
    copy_check(0);
    orbit_close(&db);
    must(orbit_open(&options, &db));
    copy_check(0);
    copy_clear();
}

/* As above, replaced since: the retention keeps them. */
Test(api_feed, the_retention_keeps_the_rows_of_an_ingest_that_were_replaced_and_merged)
{
    struct orbit_change changes[4];
    struct orbit_feed_txn txn;
    struct orbit_feed *feed;
    size_t count;

    options.retention_s = 3600;
    open_as(ORBIT_THREADS, 1);
    ingest(0, 2000, "one");
    ingest(0, 1999, "two");
    must(orbit_compact(db));
    must(orbit_compact(db));
    orbit_close(&db);
    must(orbit_open(&options, &db));
    feed = feed_from(NULL);
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    must(orbit_feed_changes(feed, changes, 4, &count));
    cr_assert_eq(memcmp(changes[0].value, "one", 3), 0);
    cr_assert_eq(changes_apply(feed), 2000 - count);
    orbit_feed_free(&feed);
    copy_clear();
}

Test(api_feed, rows_that_were_collected_are_refused_and_it_goes_on)
{
    struct orbit_feed_options now = {.from_us = ORBIT_FEED_NOW};
    struct orbit_change changes[4];
    struct orbit_feed_txn txn;
    struct orbit_feed *feed;
    size_t count;

    open_as(ORBIT_THREADS, 1);
    feed = feed_from(&now);
    ingest(0, 2000, "one");
    ingest(0, 1999, "two");
    must(orbit_compact(db));
    must(orbit_compact(db));
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    must_be(orbit_feed_changes(feed, changes, 4, &count), ORBIT_SNAPSHOT_TOO_OLD);
    must_be(orbit_feed_changes(feed, changes, 4, &count), ORBIT_NOT_FOUND);
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    must(orbit_feed_changes(feed, changes, 4, &count));
    cr_assert_eq(memcmp(changes[0].value, "two", 3), 0);
    orbit_feed_free(&feed);
}

/* ---- Single things. ---- */

Test(api_feed, a_keyspace_alone_and_who_wrote)
{
    const orbit_keyspace two = 2;
    struct orbit_feed_options wanted = {.keyspace = &two};
    struct orbit_feed_txn txn;
    struct orbit_feed *feed;

    open_as(ORBIT_THREADS, 2);
    some_writes(1);
    feed = feed_from(&wanted);
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    cr_assert_str_eq(txn.principal, "anna");
    cr_assert_str_eq(txn.protocol, "c");
    cr_assert_str_eq(txn.tag, "some writes");
    cr_assert_eq(changes_apply(feed), 6); /* A range, and five keys. */
    cr_assert_null(copy[0][10]);
    cr_assert_not_null(copy[2][12]);
    must_be(orbit_feed_next(feed, 100, &txn), ORBIT_TIMEOUT);
    orbit_feed_free(&feed);
    copy_clear();
}

static void *
put_later(void *arg)
{
    const struct timespec pause = {.tv_nsec = 200 * 1000 * 1000};

    (void)arg;
    nanosleep(&pause, NULL);
    put("k00001", "later");
    return NULL;
}

Test(api_feed, a_reader_waits_for_what_is_committed_later)
{
    struct orbit_feed_options now = {.from_us = ORBIT_FEED_NOW};
    struct orbit_change change;
    struct orbit_feed_txn txn;
    struct orbit_feed *feed;
    pthread_t writer;
    size_t count;

    open_as(ORBIT_THREADS, 2);
    put("k00001", "before");
    feed = feed_from(&now);
    cr_assert_eq(pthread_create(&writer, NULL, put_later, NULL), 0);
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    must(orbit_feed_changes(feed, &change, 1, &count));
    cr_assert_eq(memcmp(change.value, "later", 5), 0);
    pthread_join(writer, NULL);
    orbit_feed_free(&feed);
}

Test(api_feed, from_a_time_on_and_large_values)
{
    struct orbit_feed_options from = {0};
    struct orbit_change changes[10];
    struct orbit_feed_txn txn;
    struct orbit_feed *feed;
    struct orbit_txn *writes;
    size_t count, size = 100000;
    char *value = malloc(size);

    memset(value, 'x', size);
    open_as(ORBIT_THREADS, 2);
    put("k00001", "before");
    must(orbit_txn_begin(db, NULL, &writes));
    for (uint32_t i = 0; i < 3; i++) {
        char text[16];

        must(orbit_txn_put(writes, 0, name(i, text), 6, value, size, 0));
    }
    must(orbit_txn_commit(writes, &from.from_us));
    orbit_txn_free(&writes);
    feed = feed_from(&from);
    must(orbit_feed_next(feed, WAIT_MS, &txn));
    cr_assert_eq(txn.commit_us, from.from_us);
    for (uint32_t i = 0; i < 3; i++) { /* One at a time. */
        must(orbit_feed_changes(feed, changes, 10, &count));
        cr_assert_eq(count, 1);
        cr_assert_eq(changes[0].value_size, size);
        cr_assert_eq(memcmp(changes[0].value, value, size), 0);
    }
    must_be(orbit_feed_changes(feed, changes, 10, &count), ORBIT_NOT_FOUND);
    orbit_feed_free(&feed);
    from.from_us += UINT64_C(3600) * 1000000;
    must_be(orbit_feed_open(db, &from, &feed), ORBIT_INVALID);
    from.from_us = UINT64_MAX - 1;
    must_be(orbit_feed_open(db, &from, &feed), ORBIT_INVALID);
    free(value);
}
