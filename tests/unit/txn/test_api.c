/* tests/unit/txn/test_api.c - the C API on a real disk, in both modes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

static struct orbit_options options;

static void
begin(void)
{
    folder_make("api");
    options = (struct orbit_options){.dir = folder, .memory_bytes = 32 << 20};
}

TestSuite(api, .init = begin, .fini = end, .timeout = 120);

static void
open_as(enum orbit_mode mode, uint32_t shards)
{
    options.mode = mode;
    options.shards = shards;
    must(orbit_open(&options, &db));
}

static void
put(const char *key, const char *value)
{
    must(orbit_put(db, key, strlen(key), value, strlen(value), 0));
}

static void
expect(const char *key, const char *value)
{
    void *found = NULL;
    size_t size = 0;
    int error = orbit_get(db, key, strlen(key), &found, &size);

    if (value == NULL) {
        cr_assert_eq(error, ORBIT_NOT_FOUND);
        return;
    }
    must(error);
    cr_assert_eq(size, strlen(value));
    cr_assert_eq(memcmp(found, value, size), 0);
    orbit_free(found);
}

/* ---- Both modes do the same. ---- */

static void
single_keys(void)
{
    expect("a", NULL);
    put("a", "1");
    put("a", "2");
    put("b", "");
    expect("a", "2");
    expect("b", "");
    must(orbit_delete(db, "a", 1));
    must(orbit_delete(db, "never", 5));
    expect("a", NULL);
}

static void
reopened_keys(void)
{
    orbit_close(&db);
    cr_assert_null(db);
    must(orbit_open(&options, &db));
    expect("a", NULL);
    expect("b", "");
}

Test(api, keys_are_put_got_and_deleted_inline)
{
    open_as(ORBIT_INLINE, 1);
    single_keys();
    reopened_keys();
}

Test(api, keys_are_put_got_and_deleted_by_threads)
{
    open_as(ORBIT_THREADS, 2);
    single_keys();
    reopened_keys();
}

Test(api, large_values_come_back)
{
    size_t size = 3000000;
    char *value = malloc(size);
    void *found;
    size_t found_size;

    for (size_t i = 0; i < size; i++) {
        value[i] = (char)(i * 17);
    }
    open_as(ORBIT_INLINE, 1);
    must(orbit_put(db, "large", 5, value, size, 0));
    must(orbit_get(db, "large", 5, &found, &found_size));
    cr_assert_eq(found_size, size);
    cr_assert_eq(memcmp(found, value, size), 0);
    orbit_free(found);
    free(value);
}

Test(api, a_key_ceases_at_its_expiry)
{
    struct timespec now;
    uint64_t now_ms;

    clock_gettime(CLOCK_REALTIME, &now);
    now_ms = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
    open_as(ORBIT_INLINE, 1);
    must(orbit_put(db, "past", 4, "x", 1, now_ms - 1000));
    must(orbit_put(db, "future", 6, "x", 1, now_ms + 3600000));
    expect("past", NULL);
    expect("future", "x");
}

/* ---- Batches. ---- */

static void
batches(void)
{
    struct orbit_batch *batch = orbit_batch_new();

    put("{t}gone", "x");
    must(orbit_batch_put(batch, "{t}one", 6, "1", 1, 0));
    must(orbit_batch_put(batch, "{t}two", 6, "2", 1, 0));
    must(orbit_batch_delete(batch, "{t}gone", 7));
    expect("{t}one", NULL);
    must(orbit_batch_commit(db, batch));
    expect("{t}one", "1");
    expect("{t}two", "2");
    expect("{t}gone", NULL);
    orbit_batch_clear(batch);
    must(orbit_batch_commit(db, batch));
    cr_assert_eq(orbit_batch_put(batch, "", 0, "1", 1, 0), ORBIT_INVALID);
    must(orbit_batch_put(batch, "{t}three", 8, "3", 1, 0));
    cr_assert_eq(orbit_batch_commit(db, batch), ORBIT_INVALID, "the error is kept");
    expect("{t}three", NULL);
    orbit_batch_free(&batch);
    cr_assert_null(batch);
    orbit_batch_free(&batch);
}

Test(api, batches_are_whole_inline)
{
    open_as(ORBIT_INLINE, 1);
    batches();
}

Test(api, batches_are_whole_by_threads)
{
    open_as(ORBIT_THREADS, 2);
    batches();
}

Test(api, a_batch_over_two_shards_is_whole_after_a_restart_too)
{
    struct orbit_batch *batch = orbit_batch_new();

    open_as(ORBIT_THREADS, 2);
    must(orbit_batch_put(batch, "foo", 3, "1", 1, 0)); /* Slot 12182. */
    must(orbit_batch_put(batch, "bar", 3, "1", 1, 0)); /* Slot 5061. */
    must(orbit_batch_commit(db, batch));
    expect("foo", "1");
    expect("bar", "1");
    orbit_batch_clear(batch);
    must(orbit_batch_put(batch, "foo", 3, "2", 1, 0));
    cr_assert_eq(orbit_batch_put(batch, "", 0, "2", 1, 0), ORBIT_INVALID);
    cr_assert_eq(orbit_batch_commit(db, batch), ORBIT_INVALID);
    orbit_batch_free(&batch);
    orbit_close(&db);
    must(orbit_open(&options, &db));
    expect("foo", "1");
    expect("bar", "1");
}

Test(api, a_batch_beyond_the_log_record_is_committed_whole)
{
    struct orbit_batch *batch = orbit_batch_new();
    static char value[60000];
    char key[32];

    open_as(ORBIT_INLINE, 1);
    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        must(orbit_batch_put(batch, key, strlen(key), value, sizeof(value), 0));
    }
    must(orbit_batch_commit(db, batch));
    orbit_batch_free(&batch);
    orbit_close(&db);
    must(orbit_open(&options, &db));
    for (unsigned i = 0; i < 300; i++) {
        void *found;
        size_t size;

        snprintf(key, sizeof(key), "k%u", i);
        must(orbit_get(db, key, strlen(key), &found, &size));
        cr_assert_eq(size, sizeof(value));
        orbit_free(found);
    }
}

/* ---- Scans and snapshots. ---- */

enum { SCANNED = 5000 };

static void
key_of(unsigned i, char key[16])
{
    snprintf(key, 16, "key-%06u", i);
}

static void
put_scanned(void)
{
    char key[16];

    for (unsigned i = 0; i < SCANNED; i++) {
        key_of(i * 4999 % SCANNED, key);
        put(key, key);
    }
}

/* The keys [from, to) in this direction, and no others. */
static void
expect_scan(const struct orbit_scan_options *scan_options, unsigned from, unsigned to)
{
    struct orbit_scan *scan = NULL;
    const void *key;
    const void *value;
    size_t key_size;
    size_t value_size;
    char expected[16];

    must(orbit_scan_new(db, scan_options, &scan));
    for (unsigned i = from; i < to; i++) {
        key_of(scan_options->reverse ? to - 1 - (i - from) : i, expected);
        must(orbit_scan_next(scan, &key, &key_size, &value, &value_size));
        cr_assert_eq(key_size, strlen(expected));
        cr_assert_eq(memcmp(key, expected, key_size), 0, "%.*s is not %s", (int)key_size,
                     (const char *)key, expected);
        cr_assert_eq(value_size, key_size);
        cr_assert_eq(memcmp(value, expected, key_size), 0);
    }
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(orbit_scan_next(scan, &key, &key_size, &value, &value_size), ORBIT_NOT_FOUND);
    }
    orbit_scan_free(&scan);
    cr_assert_null(scan);
}

/* The same, row by row and in batches of any size by turns; rows of a batch stand together. */
static void
expect_batches(const struct orbit_scan_options *scan_options, unsigned from, unsigned to)
{
    enum { ROWS = 300 };
    struct orbit_scan *scan = NULL;
    struct orbit_row rows[ROWS];
    char expected[16];
    size_t count = 0;

    must(orbit_scan_new(db, scan_options, &scan));
    cr_assert_eq(orbit_scan_batch(scan, rows, 0, &count), ORBIT_INVALID);
    for (unsigned i = from, call = 0; i < to; call++) {
        if (call % 3 == 2) {
            must(orbit_scan_next(scan, &rows[0].key, &rows[0].key_size, &rows[0].value,
                                 &rows[0].value_size));
            count = 1;
        } else {
            size_t capacity = 1 + call * 37 % ROWS;

            must(orbit_scan_batch(scan, rows, capacity, &count));
            cr_assert_geq(count, 1);
            cr_assert_leq(count, capacity);
        }
        for (size_t k = 0; k < count; k++, i++) {
            cr_assert_lt(i, to);
            key_of(scan_options->reverse ? to - 1 - (i - from) : i, expected);
            cr_assert_eq(rows[k].key_size, strlen(expected));
            cr_assert_eq(memcmp(rows[k].key, expected, rows[k].key_size), 0);
            cr_assert_eq(rows[k].value_size, rows[k].key_size);
            cr_assert_eq(memcmp(rows[k].value, expected, rows[k].value_size), 0);
        }
    }
    count = 77;
    cr_assert_eq(orbit_scan_batch(scan, rows, ROWS, &count), ORBIT_NOT_FOUND);
    cr_assert_eq(count, 77);
    orbit_scan_free(&scan);
}

static void
scans(void)
{
    struct orbit_scan_options all = {0};
    struct orbit_scan_options some = {
        .lower = "key-000100", .lower_size = 10, .upper = "key-000200", .upper_size = 10};
    struct orbit_scan_options none = {.lower = "l", .lower_size = 1};

    put_scanned();
    for (unsigned i = 0; i < 2; i++) {
        all.reverse = i == 1;
        some.reverse = i == 1;
        expect_scan(&all, 0, SCANNED);
        expect_batches(&all, 0, SCANNED);
        expect_scan(&some, 100, 200);
        expect_batches(&some, 100, 200);
        expect_scan(&none, 0, 0);
        expect_batches(&none, 0, 0);
    }
}

Test(api, scans_give_ranges_in_both_directions_inline)
{
    options.durability = ORBIT_NONE;
    open_as(ORBIT_INLINE, 1);
    scans();
}

Test(api, scans_merge_the_shards)
{
    options.durability = ORBIT_NONE;
    open_as(ORBIT_THREADS, 3);
    scans();
}

static void
snapshots(void)
{
    struct orbit_snapshot *snapshot = NULL;
    struct orbit_scan_options at = {0};
    void *value = NULL;
    size_t size;

    put_scanned();
    must(orbit_snapshot_new(db, &snapshot));
    for (unsigned i = 0; i < SCANNED; i += 2) {
        char key[16];

        key_of(i, key);
        must(orbit_delete(db, key, strlen(key)));
    }
    put("zzz", "later");
    at.snapshot = snapshot;
    expect_scan(&at, 0, SCANNED);
    must(orbit_snapshot_get(snapshot, "key-000000", 10, &value, &size));
    cr_assert_eq(size, 10);
    orbit_free(value);
    cr_assert_eq(orbit_snapshot_get(snapshot, "zzz", 3, &value, &size), ORBIT_NOT_FOUND);
    expect("key-000000", NULL);
    orbit_snapshot_free(&snapshot);
    cr_assert_null(snapshot);
}

Test(api, a_snapshot_stays_as_it_was_inline)
{
    options.durability = ORBIT_NONE;
    open_as(ORBIT_INLINE, 1);
    snapshots();
}

Test(api, a_snapshot_stays_as_it_was_by_threads)
{
    options.durability = ORBIT_NONE;
    open_as(ORBIT_THREADS, 2);
    snapshots();
}

/* ---- Threads. ---- */

static void *
thread_main(void *arg)
{
    char key[32];

    for (unsigned i = 0; i < 300; i++) {
        snprintf(key, sizeof(key), "thread-%u-%u", *(unsigned *)arg, i);
        put(key, key);
        expect(key, key);
    }
    return NULL;
}

Test(api, any_thread_may_call)
{
    pthread_t threads[4];
    unsigned numbers[4];

    options.durability = ORBIT_INTERVAL;
    open_as(ORBIT_THREADS, 2);
    for (unsigned i = 0; i < 4; i++) {
        numbers[i] = i;
        cr_assert_eq(pthread_create(&threads[i], NULL, thread_main, &numbers[i]), 0);
    }
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    expect("thread-3-299", "thread-3-299");
}

static void *
foreign_main(void *arg)
{
    void *value;
    size_t size;

    *(int *)arg = orbit_get(db, "k", 1, &value, &size);
    cr_assert(strstr(orbit_message(), "another thread") != NULL);
    return NULL;
}

Test(api, an_inline_database_refuses_other_threads)
{
    pthread_t thread;
    int error = ORBIT_OK;

    open_as(ORBIT_INLINE, 1);
    cr_assert_eq(pthread_create(&thread, NULL, foreign_main, &error), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(error, ORBIT_INVALID);
    put("k", "v");
    for (unsigned i = 0; i < 10; i++) {
        (void)orbit_poll(db);
    }
    expect("k", "v");
}

/* ---- Refusals. ---- */

Test(api, wrong_options_are_refused)
{
    struct orbit *other = NULL;

    options.shards = ORBIT_SHARDS_MAX + 1;
    cr_assert_eq(orbit_open(&options, &other), ORBIT_INVALID);
    options.shards = 2;
    options.mode = ORBIT_INLINE;
    cr_assert_eq(orbit_open(&options, &other), ORBIT_INVALID);
    options.shards = 1;
    options.memory_bytes = 1;
    cr_assert_eq(orbit_open(&options, &other), ORBIT_INVALID);
    options.dir = "";
    cr_assert_eq(orbit_open(&options, &other), ORBIT_INVALID);
    options.dir = "/no/such/parent/folder";
    options.memory_bytes = 0;
    cr_assert_eq(orbit_open(&options, &other), ORBIT_IO);
    cr_assert(strstr(orbit_message(), "/no/such/parent/folder") != NULL);
    cr_assert_null(other);
}

Test(api, a_folder_is_opened_once)
{
    struct orbit *other = NULL;

    open_as(ORBIT_INLINE, 1);
    cr_assert_eq(orbit_open(&options, &other), ORBIT_BUSY);
    cr_assert_null(other);
}

Test(api, keys_and_values_are_bounded)
{
    static char key[ORBIT_KEY_BYTES_MAX + 1];

    open_as(ORBIT_INLINE, 1);
    memset(key, 'k', sizeof(key));
    cr_assert_eq(orbit_put(db, key, sizeof(key), "v", 1, 0), ORBIT_LIMIT);
    must(orbit_put(db, key, sizeof(key) - 1, "v", 1, 0));
    cr_assert_eq(orbit_put(db, NULL, 0, "v", 1, 0), ORBIT_INVALID);
    cr_assert_eq(orbit_put(db, "k", 1, NULL, 1, 0), ORBIT_INVALID);
    cr_assert_eq(orbit_put(db, "k", 1, "v", 1, UINT64_MAX), ORBIT_INVALID);
    must(orbit_put(db, "k", 1, NULL, 0, 0));
    expect("k", "");
}
