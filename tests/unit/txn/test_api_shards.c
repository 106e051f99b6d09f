/* tests/unit/txn/test_api_shards.c - a folder is opened with one number of shards after another. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"
#include "txn/api.h"
#include "txn/txn.h"

enum {
    KEYS = 600,
    DELETED_FROM = 200, /* Of keyspace 1, by a range delete. */
    DELETED_TO = 300,
    LARGE_EVERY = 100,
    LARGE_BYTES = 100 << 10,
    TEXT_BYTES = 32,
    WAIT_ROUNDS_MAX = 3000,
    WAIT_US = 10000,
    EXPIRE_MS = 4000,
    RAISERS = 2,
};

static const orbit_keyspace spaces[] = {0, 1, 7};

static struct orbit_options options;

static void
begin(void)
{
    folder_make("api");
    options = (struct orbit_options){.dir = folder, .memory_bytes = 64 << 20};
}

TestSuite(api_shards, .init = begin, .fini = end, .timeout = 120);

static void
open_with(uint32_t shards)
{
    options.shards = shards;
    must(orbit_open(&options, &db));
}

static struct orbit_shards
shards_now(void)
{
    struct orbit_shards shards;

    must(orbit_shards_get(db, &shards));
    return shards;
}

static void
wait_moved(void)
{
    for (int i = 0; i < WAIT_ROUNDS_MAX && shards_now().is_moving; i++) {
        usleep(WAIT_US);
    }
    cr_assert_not(shards_now().is_moving);
    cr_assert_eq(shards_now().slots_left, 0);
}

/* ---- What lies in the keyspaces. ---- */

static const char *
name(int number, char text[TEXT_BYTES])
{
    snprintf(text, TEXT_BYTES, "key%06d", number);
    return text;
}

static size_t
value_of(int space, int number, char *value)
{
    size_t size = number % LARGE_EVERY == 0 ? LARGE_BYTES : TEXT_BYTES;

    memset(value, 'a' + (space + number) % 26, size);
    return size;
}

static uint64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void
fill(void)
{
    static char value[LARGE_BYTES];

    for (int space = 0; space < (int)ARRAY_COUNT(spaces); space++) {
        struct orbit_txn *txn;

        must(orbit_txn_begin(db, NULL, &txn));
        for (int i = 0; i < KEYS; i++) {
            char text[TEXT_BYTES];

            must(orbit_txn_put(txn, spaces[space], name(i, text), strlen(name(i, text)), value,
                               value_of(space, i, value), 0));
        }
        if (space == 1) {
            must(orbit_txn_delete_range(txn, 1, "key000200", 9, "key000300", 9));
        }
        must(orbit_txn_commit(txn, NULL));
        orbit_txn_free(&txn);
    }
}

static void
scan_check(int space)
{
    struct orbit_scan_options how = {.keyspace = spaces[space]};
    static char value[LARGE_BYTES];
    struct orbit_scan *scan;
    const void *key, *found;
    size_t key_size, size;
    int error;
    int i = 0;

    must(orbit_scan_new(db, &how, &scan));
    while ((error = orbit_scan_next(scan, &key, &key_size, &found, &size)) == ORBIT_OK) {
        char text[TEXT_BYTES];

        i = spaces[space] == 1 && i == DELETED_FROM ? DELETED_TO : i;
        cr_assert_eq(memcmp(key, name(i, text), key_size), 0, "%s", text);
        cr_assert_eq(size, value_of(space, i, value));
        cr_assert_eq(memcmp(found, value, size), 0);
        i++;
    }
    cr_assert_eq(error, ORBIT_NOT_FOUND, "%s", orbit_message());
    cr_assert_eq(i, KEYS);
    orbit_scan_free(&scan);
}

static void
keys_check(void)
{
    static char value[LARGE_BYTES];
    struct orbit_result results[KEYS];
    static char texts[KEYS][TEXT_BYTES];
    const void *keys[KEYS];
    size_t sizes[KEYS];

    for (int i = 0; i < KEYS; i++) {
        void *found;
        size_t size;

        keys[i] = name(i, texts[i]);
        sizes[i] = strlen(texts[i]);
        must(orbit_get(db, keys[i], sizes[i], &found, &size));
        cr_assert_eq(size, value_of(0, i, value));
        cr_assert_eq(memcmp(found, value, size), 0);
        orbit_free(found);
    }
    must(orbit_get_many(db, keys, sizes, KEYS, results));
    for (int i = 0; i < KEYS; i++) {
        cr_assert_eq(results[i].error, ORBIT_OK);
        cr_assert_eq(results[i].size, value_of(0, i, value));
        orbit_free(results[i].value);
    }
}

static void
all_check(void)
{
    keys_check();
    for (int space = 0; space < (int)ARRAY_COUNT(spaces); space++) {
        scan_check(space);
    }
}

/* ---- From number to number. ---- */

Test(api_shards, keys_of_all_keyspaces_follow_the_number_of_shards)
{
    static const uint32_t counts[] = {2, 4, 3, 1, 3, 1};

    open_with(counts[0]);
    fill();
    for (size_t i = 1; i < ARRAY_COUNT(counts); i++) {
        orbit_close(&db);
        open_with(counts[i]);
        cr_assert_eq(shards_now().wanted, counts[i]);
        cr_assert_eq(shards_now().running, MAX(counts[i], counts[i - 1]));
        all_check();
        wait_moved();
        cr_assert_gt(shards_now().keys_moved, 0);
        all_check();
    }
    orbit_close(&db);
    options.mode = ORBIT_INLINE;
    open_with(1);
    all_check();
}

Test(api_shards, a_close_in_the_middle_is_gone_on_from)
{
    open_with(1);
    fill();
    for (int i = 0; i < 6; i++) {
        orbit_close(&db);
        open_with(4);
        usleep(WAIT_US * (unsigned)i / 2);
    }
    wait_moved();
    all_check();
}

Test(api_shards, an_expiry_goes_with_its_key)
{
    uint64_t then = now_ms() + EXPIRE_MS;
    char text[TEXT_BYTES];
    void *found;
    size_t size;

    open_with(1);
    for (int i = 0; i < KEYS; i++) {
        must(orbit_put(db, name(i, text), strlen(name(i, text)), "x", 1, then));
    }
    orbit_close(&db);
    open_with(3);
    wait_moved();
    while (now_ms() <= then + 10) {
        usleep(WAIT_US);
    }
    for (int i = 0; i < KEYS; i++) {
        int error = orbit_get(db, name(i, text), strlen(name(i, text)), &found, &size);

        cr_assert_eq(error, ORBIT_NOT_FOUND, "%s", text);
    }
}

/* ---- While it moves. ---- */

Test(api_shards, a_snapshot_reads_what_was_before_the_keys_moved)
{
    struct orbit_scan_options how = {0};
    struct orbit_snapshot *snapshot;
    struct orbit_scan *scan;
    char text[TEXT_BYTES];
    int rows = 0;
    void *found;
    size_t size;

    open_with(2);
    fill();
    orbit_close(&db);
    open_with(3);
    must(orbit_snapshot_new(db, &snapshot));
    for (int i = 0; i < KEYS; i++) {
        must(orbit_put(db, name(i, text), strlen(name(i, text)), "new", 3, 0));
    }
    wait_moved();
    for (int i = 0; i < KEYS; i++) {
        must(orbit_snapshot_get(snapshot, name(i, text), strlen(name(i, text)), &found, &size));
        cr_assert_neq(size, 3, "%s", text);
        orbit_free(found);
    }
    how.snapshot = snapshot;
    must(orbit_scan_new(db, &how, &scan));
    for (const void *key, *value; orbit_scan_next(scan, &key, &size, &value, &size) == ORBIT_OK;) {
        cr_assert_neq(size, 3);
        rows++;
    }
    cr_assert_eq(rows, KEYS);
    orbit_scan_free(&scan);
    orbit_snapshot_free(&snapshot);
}

struct raiser {
    pthread_t thread;
    unsigned seed;
    int raised, error;
    volatile bool *is_over;
};

struct pair {
    char first[TEXT_BYTES], second[TEXT_BYTES];
};

static int
raise_one(struct orbit_txn *txn, const char *key)
{
    uint32_t number = 0;
    void *found;
    size_t size;
    int error = orbit_txn_get(txn, 0, key, strlen(key), &found, &size);

    if (error == ORBIT_OK) {
        memcpy(&number, found, sizeof(number));
        orbit_free(found);
    } else if (error != ORBIT_NOT_FOUND) {
        return error;
    }
    number++;
    return orbit_txn_put(txn, 0, key, strlen(key), &number, sizeof(number), 0);
}

static int
raise_both(struct orbit_txn *txn, void *arg)
{
    const struct pair *pair = arg;
    int error = raise_one(txn, pair->first);

    return error == ORBIT_OK ? raise_one(txn, pair->second) : error;
}

static void *
raiser_main(void *arg)
{
    struct raiser *raiser = arg;

    while (!*raiser->is_over && raiser->error == ORBIT_OK) {
        struct pair pair;

        name((int)((unsigned)rand_r(&raiser->seed) % KEYS), pair.first);
        do {
            name((int)((unsigned)rand_r(&raiser->seed) % KEYS), pair.second);
        } while (strcmp(pair.first, pair.second) == 0);
        raiser->error = orbit_txn_run(db, NULL, raise_both, &pair, NULL);
        raiser->raised += raiser->error == ORBIT_OK;
    }
    return NULL;
}

static uint64_t
numbers_sum(void)
{
    uint64_t sum = 0;

    for (int i = 0; i < KEYS; i++) {
        char text[TEXT_BYTES];
        uint32_t number;
        void *found;
        size_t size;

        if (orbit_get(db, name(i, text), strlen(name(i, text)), &found, &size) == ORBIT_OK) {
            memcpy(&number, found, sizeof(number));
            sum += number;
            orbit_free(found);
        }
    }
    return sum;
}

/* All shards that are given up, and all that come. */
Test(api_shards, nothing_is_lost_or_done_twice_meanwhile)
{
    static const uint32_t counts[] = {1, 3, 1, 2};
    uint64_t raised = 0;

    options.durability = ORBIT_NONE;
    for (size_t life = 0; life < ARRAY_COUNT(counts); life++) {
        volatile bool is_over = false;
        struct raiser raisers[RAISERS];

        open_with(counts[life]);
        for (unsigned i = 0; i < RAISERS; i++) {
            raisers[i] = (struct raiser){.seed = i + 1, .is_over = &is_over};
            pthread_create(&raisers[i].thread, NULL, raiser_main, &raisers[i]);
        }
        usleep(50000);
        wait_moved();
        usleep(50000);
        is_over = true;
        for (int i = 0; i < RAISERS; i++) {
            pthread_join(raisers[i].thread, NULL);
            cr_assert_eq(raisers[i].error, ORBIT_OK, "%s", orbit_error_name(raisers[i].error));
            cr_assert_gt(raisers[i].raised, 0);
            raised += 2 * (uint64_t)raisers[i].raised;
        }
        cr_assert_eq(numbers_sum(), raised);
        orbit_close(&db);
    }
}

/* ---- What is refused. ---- */

Test(api_shards, inline_asks_for_one_shard_first)
{
    open_with(2);
    fill();
    orbit_close(&db);
    options.mode = ORBIT_INLINE;
    options.shards = 1;
    cr_assert_eq(orbit_open(&options, &db), ORBIT_FORMAT);
    cr_assert_not_null(strstr(orbit_message(), "2 shards"), "%s", orbit_message());
    cr_assert_null(db);
    options.mode = ORBIT_THREADS;
    open_with(1);
    wait_moved();
    orbit_close(&db);
    options.mode = ORBIT_INLINE;
    open_with(1);
    all_check();
}

/* As a key of Redis is stored. */
static err_t
foreign_put(void *arg)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    (void)arg;
    txn_put(txn, 5, SLICE("\x01key"), SLICE("value"), 0);
    return txn_commit(&txn, NULL);
}

Test(api_shards, data_of_the_server_is_moved_by_the_server_only)
{
    open_with(2);
    fill();
    must(api_result(api_call(db, 0, foreign_put, NULL)));
    orbit_close(&db);
    options.shards = 3;
    cr_assert_eq(orbit_open(&options, &db), ORBIT_UNSUPPORTED);
    cr_assert_not_null(strstr(orbit_message(), "--shards 3"), "%s", orbit_message());
    cr_assert_null(db);
    open_with(2);
    all_check();
}
