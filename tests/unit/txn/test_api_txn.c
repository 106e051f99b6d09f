/* tests/unit/txn/test_api_txn.c - transactions of the C API, on a real disk, in both modes. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

enum { SAVINGS = 7, CHECKING = 9 };

static struct orbit_options options;

static void
begin(void)
{
    folder_make("txn");
    options = (struct orbit_options){.dir = folder, .memory_bytes = 32 << 20};
}

TestSuite(api_txn, .init = begin, .fini = end, .timeout = 120);

static void
open_as(enum orbit_mode mode, uint32_t shards)
{
    options.mode = mode;
    options.shards = shards;
    must(orbit_open(&options, &db));
}

static struct orbit_txn *
begun(enum orbit_isolation isolation)
{
    struct orbit_txn_options wanted = {.isolation = isolation};
    struct orbit_txn *txn;

    must(orbit_txn_begin(db, &wanted, &txn));
    return txn;
}

static int
put_in(struct orbit_txn *txn, orbit_keyspace keyspace, const char *key, const char *value)
{
    return orbit_txn_put(txn, keyspace, key, strlen(key), value, strlen(value), 0);
}

static int
put(struct orbit_txn *txn, const char *key, const char *value)
{
    return put_in(txn, 0, key, value);
}

/* The value is compared, NULL: there is none. */
static void
expect_in(struct orbit_txn *txn, orbit_keyspace keyspace, const char *key, const char *value)
{
    void *found = NULL;
    size_t size = 0;
    int error = orbit_txn_get(txn, keyspace, key, strlen(key), &found, &size);

    if (value == NULL) {
        must_be(error, ORBIT_NOT_FOUND);
        return;
    }
    must(error);
    cr_assert_eq(size, strlen(value), "%s: %.*s, not %s", key, (int)size, (char *)found, value);
    cr_assert_eq(memcmp(found, value, size), 0, "%s: %.*s, not %s", key, (int)size, (char *)found,
                 value);
    orbit_free(found);
}

static void
expect(struct orbit_txn *txn, const char *key, const char *value)
{
    expect_in(txn, 0, key, value);
}

/* What is committed. */
static void
expect_now(const char *key, const char *value)
{
    struct orbit_txn *txn = begun(ORBIT_ISOLATION_REPEATABLE_READ);

    expect(txn, key, value);
    orbit_txn_free(&txn);
}

static void
commit(struct orbit_txn **txn)
{
    must(orbit_txn_commit(*txn, NULL));
    orbit_txn_free(txn);
}

static void
set(const char *key, const char *value)
{
    must(orbit_put(db, key, strlen(key), value, strlen(value), 0));
}

/* ---- Life. ---- */

static void
own_writes(void)
{
    struct orbit_txn *txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    uint64_t commit_us = 0;

    set("a", "old");
    set("b", "old");
    expect(txn, "a", "old");
    must(put(txn, "a", "new"));
    must(put(txn, "c", "new"));
    must(orbit_txn_delete(txn, 0, "b", 1));
    expect(txn, "a", "new");
    expect(txn, "b", NULL);
    expect_now("a", "old");
    expect_now("b", "old");
    expect_now("c", NULL);
    must(orbit_txn_commit(txn, &commit_us));
    cr_assert_gt(commit_us, UINT64_C(1500000000000000));
    orbit_txn_free(&txn);
    expect_now("a", "new");
    expect_now("b", NULL);
    expect_now("c", "new");
    orbit_close(&db);
    must(orbit_open(&options, &db));
    expect_now("a", "new");
    expect_now("b", NULL);
    expect_now("c", "new");
}

Test(api_txn, own_writes_are_seen_at_once_and_by_others_after_the_commit_inline)
{
    open_as(ORBIT_INLINE, 1);
    own_writes();
}

Test(api_txn, own_writes_are_seen_at_once_and_by_others_after_the_commit_on_one_thread)
{
    open_as(ORBIT_THREADS, 1);
    own_writes();
}

Test(api_txn, own_writes_are_seen_at_once_and_by_others_after_the_commit_on_two_shards)
{
    open_as(ORBIT_THREADS, 2);
    own_writes();
}

Test(api_txn, what_is_rolled_back_leaves_nothing)
{
    struct orbit_txn *txn;

    open_as(ORBIT_INLINE, 1);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "1"));
    must(orbit_txn_abort(txn));
    orbit_txn_free(&txn);
    cr_assert_null(txn);
    orbit_txn_free(&txn);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "b", "1"));
    orbit_txn_free(&txn); /* Without an end: rolled back, and its lock is free. */
    set("b", "2");
    expect_now("a", NULL);
    expect_now("b", "2");
}

Test(api_txn, a_transaction_that_has_ended_refuses_every_call)
{
    struct orbit_txn *txn;
    void *value;
    size_t size;
    uint32_t savepoint;
    char token[ORBIT_TOKEN_BYTES + 1];

    open_as(ORBIT_INLINE, 1);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "1"));
    must(orbit_txn_commit(txn, NULL));
    must_be(put(txn, "a", "2"), ORBIT_INVALID);
    must_be(orbit_txn_get(txn, 0, "a", 1, &value, &size), ORBIT_INVALID);
    must_be(orbit_txn_savepoint(txn, &savepoint), ORBIT_INVALID);
    must_be(orbit_txn_token(txn, token), ORBIT_INVALID);
    must_be(orbit_txn_commit(txn, NULL), ORBIT_INVALID);
    must_be(orbit_txn_abort(txn), ORBIT_INVALID);
    must_be(put(NULL, "a", "2"), ORBIT_INVALID);
    orbit_txn_free(&txn);
    expect_now("a", "1");
}

Test(api_txn, one_that_was_never_used_commits)
{
    struct orbit_txn *txn;
    uint64_t commit_us = 1;

    open_as(ORBIT_INLINE, 1);
    must(orbit_txn_begin(db, NULL, &txn));
    must(orbit_txn_commit(txn, &commit_us));
    cr_assert_eq(commit_us, 0);
    orbit_txn_free(&txn);
}

Test(api_txn, wrong_arguments_change_nothing)
{
    struct orbit_txn_options wanted = {.isolation = (enum orbit_isolation)9};
    struct orbit_txn *txn;

    open_as(ORBIT_INLINE, 1);
    must_be(orbit_txn_begin(db, &wanted, &txn), ORBIT_INVALID);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "1"));
    must_be(orbit_txn_put(txn, 0, "", 0, "x", 1, 0), ORBIT_INVALID);
    must_be(put_in(txn, UINT32_MAX, "a", "x"), ORBIT_INVALID);
    must_be(orbit_txn_lock(txn, 0, "a", 1, (enum orbit_lock)17, ORBIT_WAIT), ORBIT_INVALID);
    commit(&txn);
    expect_now("a", "1");
}

Test(api_txn, savepoints_are_rolled_back_to)
{
    struct orbit_txn *txn;
    uint32_t first, second;

    open_as(ORBIT_THREADS, 2);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "1"));
    must(orbit_txn_savepoint(txn, &first));
    must(put(txn, "a", "2"));
    must(put(txn, "b", "2"));
    must(orbit_txn_savepoint(txn, &second));
    must(put(txn, "c", "3"));
    must(orbit_txn_rollback_to(txn, second));
    expect(txn, "c", NULL);
    expect(txn, "b", "2");
    must(orbit_txn_rollback_to(txn, first));
    expect(txn, "a", "1");
    expect(txn, "b", NULL);
    must_be(orbit_txn_rollback_to(txn, second), ORBIT_INVALID);
    must(put(txn, "d", "4"));
    commit(&txn);
    expect_now("a", "1");
    expect_now("b", NULL);
    expect_now("d", "4");
}

/* ---- Keyspaces, ranges, scans. ---- */

Test(api_txn, keyspaces_do_not_meet)
{
    struct orbit_batch *batch = orbit_batch_new();
    struct orbit_txn *txn;

    open_as(ORBIT_THREADS, 2);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "k", "zero"));
    must(put_in(txn, 1, "k", "one"));
    must(put_in(txn, ORBIT_KEYSPACE_MAX, "k", "last"));
    commit(&txn);
    must(orbit_batch_keyspace(batch, 1));
    must(orbit_batch_put(batch, "l", 1, "batch", 5, 0));
    must(orbit_batch_commit(db, batch));
    must_be(orbit_batch_keyspace(batch, UINT32_MAX), ORBIT_INVALID);
    orbit_batch_free(&batch);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    expect_in(txn, 0, "k", "zero");
    expect_in(txn, 1, "k", "one");
    expect_in(txn, 1, "l", "batch");
    expect_in(txn, 0, "l", NULL);
    expect_in(txn, 2, "k", NULL);
    expect_in(txn, ORBIT_KEYSPACE_MAX, "k", "last");
    must(orbit_txn_delete_range(txn, 1, NULL, 0, NULL, 0));
    expect_in(txn, 1, "k", NULL);
    commit(&txn);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    expect_in(txn, 0, "k", "zero");
    expect_in(txn, 1, "k", NULL);
    expect_in(txn, 1, "l", NULL);
    expect_in(txn, ORBIT_KEYSPACE_MAX, "k", "last");
    orbit_txn_free(&txn);
}

static unsigned
scan_count(struct orbit_txn *txn, orbit_keyspace keyspace, bool reverse, const char *first)
{
    struct orbit_scan_options wanted = {.txn = txn, .keyspace = keyspace, .reverse = reverse};
    struct orbit_scan *scan;
    const void *key, *value;
    size_t key_size, value_size;
    char before[32] = "";
    unsigned count = 0;
    int error;

    must(orbit_scan_new(db, &wanted, &scan));
    while ((error = orbit_scan_next(scan, &key, &key_size, &value, &value_size)) == ORBIT_OK) {
        char text[32];

        snprintf(text, sizeof(text), "%.*s", (int)key_size, (const char *)key);
        cr_assert(count > 0 || strcmp(text, first) == 0, "begins with %s, not %s", text, first);
        cr_assert(count == 0 || (reverse ? strcmp(text, before) < 0 : strcmp(text, before) > 0));
        memcpy(before, text, sizeof(before));
        count++;
    }
    must_be(error, ORBIT_NOT_FOUND);
    orbit_scan_free(&scan);
    return count;
}

/* Enough rows for several chunks. */
static void
scans(void)
{
    struct orbit_txn *txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    char key[32], value[200];

    memset(value, 'v', sizeof(value));
    for (unsigned i = 0; i < 2000; i += 2) {
        snprintf(key, sizeof(key), "row%05u", i);
        must(orbit_txn_put(txn, 5, key, strlen(key), value, sizeof(value), 0));
    }
    commit(&txn);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    for (unsigned i = 1; i < 2000; i += 2) {
        snprintf(key, sizeof(key), "row%05u", i);
        must(orbit_txn_put(txn, 5, key, strlen(key), value, sizeof(value), 0));
    }
    must(orbit_txn_delete(txn, 5, "row00000", 8));
    must(orbit_txn_delete_range(txn, 5, "row01000", 8, "row01010", 8));
    cr_assert_eq(scan_count(txn, 5, false, "row00001"), 1989);
    cr_assert_eq(scan_count(txn, 5, true, "row01999"), 1989);
    cr_assert_eq(scan_count(txn, 4, false, ""), 0);
    orbit_txn_free(&txn);
    txn = begun(ORBIT_ISOLATION_REPEATABLE_READ);
    cr_assert_eq(scan_count(txn, 5, true, "row01998"), 1000);
    orbit_txn_free(&txn);
}

Test(api_txn, a_scan_merges_own_writes_inline)
{
    open_as(ORBIT_INLINE, 1);
    scans();
}

Test(api_txn, a_scan_merges_own_writes_of_all_shards)
{
    open_as(ORBIT_THREADS, 3);
    scans();
}

/* ---- Isolation, by two transactions of one thread. ---- */

Test(api_txn, of_two_writers_of_a_key_the_second_must_begin_again)
{
    struct orbit_txn *one, *two;

    open_as(ORBIT_THREADS, 2);
    set("a", "0");
    one = begun(ORBIT_ISOLATION_REPEATABLE_READ);
    two = begun(ORBIT_ISOLATION_REPEATABLE_READ);
    expect(one, "a", "0");
    expect(two, "a", "0");
    must(put(one, "a", "1"));
    commit(&one);
    must_be(put(two, "a", "2"), ORBIT_SERIALIZATION);
    must_be(put(two, "b", "2"), ORBIT_TXN_ABORTED);
    must_be(orbit_txn_commit(two, NULL), ORBIT_TXN_ABORTED);
    orbit_txn_free(&two);
    expect_now("a", "1");
    expect_now("b", NULL);
}

static int
write_skew(enum orbit_isolation isolation)
{
    struct orbit_txn *one, *two;
    int error;

    set("x", "on");
    set("y", "on");
    one = begun(isolation);
    two = begun(isolation);
    expect(one, "x", "on");
    expect(one, "y", "on");
    expect(two, "x", "on");
    expect(two, "y", "on");
    must(put(one, "x", "off"));
    must(put(two, "y", "off"));
    must(orbit_txn_commit(one, NULL));
    error = orbit_txn_commit(two, NULL);
    orbit_txn_free(&one);
    orbit_txn_free(&two);
    return error;
}

Test(api_txn, write_skew_is_refused_when_serializable_and_only_then)
{
    open_as(ORBIT_THREADS, 2);
    must_be(write_skew(ORBIT_ISOLATION_SERIALIZABLE), ORBIT_SERIALIZATION);
    expect_now("y", "on");
    must(write_skew(ORBIT_ISOLATION_REPEATABLE_READ));
}

Test(api_txn, a_phantom_is_refused_when_serializable)
{
    struct orbit_txn *one;

    open_as(ORBIT_THREADS, 2);
    one = begun(ORBIT_ISOLATION_SERIALIZABLE);
    cr_assert_eq(scan_count(one, 0, false, ""), 0);
    set("appeared", "1");
    must(put(one, "none-was-there", "1"));
    must_be(orbit_txn_commit(one, NULL), ORBIT_SERIALIZATION);
    orbit_txn_free(&one);
}

Test(api_txn, read_committed_sees_what_was_committed_before_each_call)
{
    struct orbit_txn *one;
    struct orbit_txn *two;

    open_as(ORBIT_INLINE, 1);
    set("a", "0");
    one = begun(ORBIT_ISOLATION_READ_COMMITTED);
    two = begun(ORBIT_ISOLATION_REPEATABLE_READ);
    expect(one, "a", "0");
    expect(two, "a", "0");
    set("a", "1");
    expect(one, "a", "1");
    expect(two, "a", "0");
    must(put(one, "a", "2"));
    commit(&one);
    orbit_txn_free(&two);
    expect_now("a", "2");
}

Test(api_txn, a_transaction_that_only_reads_writes_nothing)
{
    struct orbit_txn_options wanted = {.read_only = true, .deferrable = true};
    struct orbit_txn *txn;

    open_as(ORBIT_INLINE, 1);
    must(orbit_txn_begin(db, &wanted, &txn));
    expect(txn, "a", NULL);
    must_be(put(txn, "a", "1"), ORBIT_READ_ONLY);
    orbit_txn_free(&txn);
    expect_now("a", NULL);
}

Test(api_txn, the_past_is_read_as_of_its_time_while_it_is_kept)
{
    struct orbit_txn_options wanted = {.as_of_us = 1};
    struct orbit_txn *txn;
    uint64_t commit_us;

    open_as(ORBIT_THREADS, 1);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "1"));
    must(orbit_txn_commit(txn, &commit_us));
    orbit_txn_free(&txn);
    must_be(orbit_txn_begin(db, &wanted, &txn), ORBIT_SNAPSHOT_TOO_OLD);
    wanted.as_of_us = commit_us + UINT64_C(3600000000);
    must_be(orbit_txn_begin(db, &wanted, &txn), ORBIT_INVALID);
    wanted.as_of_us = commit_us;
    must(orbit_txn_begin(db, &wanted, &txn));
    set("a", "2");
    expect(txn, "a", "1");
    must_be(put(txn, "a", "3"), ORBIT_READ_ONLY);
    orbit_txn_free(&txn);
}

/* ---- Locks. ---- */

Test(api_txn, locks_keep_others_out_until_the_end)
{
    struct orbit_txn *one, *two;
    struct orbit_txn_options patient = {.lock_timeout_ms = 20};

    open_as(ORBIT_THREADS, 2);
    one = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(orbit_txn_lock(one, 0, "a", 1, ORBIT_LOCK_SHARE, ORBIT_WAIT));
    two = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(orbit_txn_lock(two, 0, "a", 1, ORBIT_LOCK_SHARE, ORBIT_NOWAIT));
    must_be(orbit_txn_lock(two, 0, "a", 1, ORBIT_LOCK_UPDATE, ORBIT_SKIP), ORBIT_BUSY);
    must(put(two, "b", "1")); /* A skipped lock is no failure. */
    must_be(orbit_txn_lock(two, 0, "a", 1, ORBIT_LOCK_UPDATE, ORBIT_NOWAIT), ORBIT_LOCK_TIMEOUT);
    must_be(put(two, "c", "1"), ORBIT_TXN_ABORTED);
    orbit_txn_free(&two);
    must(orbit_txn_begin(db, &patient, &two));
    must_be(put(two, "a", "1"), ORBIT_LOCK_TIMEOUT);
    orbit_txn_free(&two);
    commit(&one);
    two = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(two, "a", "1"));
    commit(&two);
}

Test(api_txn, inline_a_lock_of_the_own_thread_is_not_waited_for_for_ever)
{
    struct orbit_txn *one, *two;

    open_as(ORBIT_INLINE, 1);
    one = begun(ORBIT_ISOLATION_SERIALIZABLE);
    two = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(one, "a", "1"));
    must_be(put(two, "a", "2"), ORBIT_LOCK_TIMEOUT);
    orbit_txn_free(&two);
    set("b", "plain"); /* Others go on; from here on there is room for a put at once. */
    must_be(orbit_put(db, "a", 1, "plain", 5, 0), ORBIT_LOCK_TIMEOUT);
    commit(&one);
    expect_now("a", "1");
    expect_now("b", "plain");
}

static atomic_bool plain_put_has_ended;

static void *
plain_put_main(void *arg)
{
    (void)arg;
    set("a", "plain");
    atomic_store(&plain_put_has_ended, true);
    return NULL;
}

Test(api_txn, a_plain_put_waits_for_a_locked_key)
{
    struct orbit_txn *txn;
    pthread_t thread;

    open_as(ORBIT_THREADS, 2);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    must(put(txn, "a", "transaction"));
    pthread_create(&thread, NULL, plain_put_main, NULL);
    usleep(20000); /* Time in which a put that does not wait would end. */
    cr_assert_not(atomic_load(&plain_put_has_ended));
    commit(&txn);
    pthread_join(thread, NULL);
    expect_now("a", "plain");
}

struct crossing {
    pthread_barrier_t *both;
    const char *first, *second;
    int error;
};

static void *
crossing_main(void *arg)
{
    struct crossing *crossing = arg;
    struct orbit_txn *txn = begun(ORBIT_ISOLATION_READ_COMMITTED);

    must(put(txn, crossing->first, "1"));
    pthread_barrier_wait(crossing->both);
    crossing->error = put(txn, crossing->second, "1");
    if (crossing->error == ORBIT_OK) {
        crossing->error = orbit_txn_commit(txn, NULL);
    }
    orbit_txn_free(&txn);
    return NULL;
}

Test(api_txn, of_two_that_wait_for_each_other_one_is_the_victim)
{
    pthread_barrier_t both;
    struct crossing crossings[] = {{&both, "a", "b", 0}, {&both, "b", "a", 0}};
    pthread_t threads[2];

    open_as(ORBIT_THREADS, 2);
    pthread_barrier_init(&both, NULL, 2);
    for (unsigned i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, crossing_main, &crossings[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    cr_assert((crossings[0].error == ORBIT_OK && crossings[1].error == ORBIT_DEADLOCK) ||
                  (crossings[0].error == ORBIT_DEADLOCK && crossings[1].error == ORBIT_OK),
              "%d %d", crossings[0].error, crossings[1].error);
    pthread_barrier_destroy(&both);
}

/* ---- Time. ---- */

Test(api_txn, one_that_is_left_alone_or_takes_too_long_is_rolled_back)
{
    struct orbit_txn_options idle = {.idle_timeout_ms = 20};
    struct orbit_txn_options hasty = {.timeout_ms = 20};
    struct orbit_txn *txn;
    int error = ORBIT_OK;

    open_as(ORBIT_THREADS, 1);
    must(orbit_txn_begin(db, &idle, &txn));
    must(put(txn, "a", "1"));
    set("b", "0");
    set("a", "2"); /* Waits for the lock, until the transaction is gone. */
    must_be(put(txn, "c", "1"), ORBIT_IDLE_TIMEOUT);
    must_be(orbit_txn_commit(txn, NULL), ORBIT_INVALID);
    orbit_txn_free(&txn);
    must(orbit_txn_begin(db, &hasty, &txn));
    for (unsigned i = 0; i < 100000 && error == ORBIT_OK; i++) {
        error = put(txn, "d", "1");
    }
    must_be(error, ORBIT_TIMEOUT);
    orbit_txn_free(&txn);
    expect_now("a", "2");
    expect_now("d", NULL);
}

/* ---- Hand-over. ---- */

Test(api_txn, who_has_the_token_drives_the_transaction)
{
    struct orbit_txn_options ann = {.principal = "ann"};
    struct orbit_txn *txn, *joined;
    char token[ORBIT_TOKEN_BYTES + 1];

    open_as(ORBIT_THREADS, 2);
    must(orbit_txn_begin(db, &ann, &txn));
    must(put(txn, "a", "1"));
    must(orbit_txn_token(txn, token));
    cr_assert_eq(strspn(token, "0123456789abcdef"), ORBIT_TOKEN_BYTES, "%s", token);
    must_be(orbit_txn_join(db, token, "bob", &joined), ORBIT_DENIED);
    must_be(orbit_txn_join(db, "00000000000000000000000000000000", "ann", &joined),
            ORBIT_NOT_FOUND);
    must_be(orbit_txn_join(db, "no token", "ann", &joined), ORBIT_NOT_FOUND);
    must(orbit_txn_join(db, token, "ann", &joined));
    expect(joined, "a", "1");
    must(put(joined, "b", "2"));
    orbit_txn_free(&joined); /* Leaves it to the others. */
    expect(txn, "b", "2");
    must(orbit_txn_join(db, token, "ann", &joined));
    commit(&joined);
    must_be(put(txn, "c", "3"), ORBIT_INVALID);
    orbit_txn_free(&txn);
    expect_now("a", "1");
    expect_now("b", "2");
}

/* ---- Functions that the database runs. ---- */

struct transfer {
    const char *from, *to;
    long amount;
    unsigned runs;
    int result; /* What the function returns. */
};

static long
balance(struct orbit_txn *txn, orbit_keyspace keyspace, const char *name, int *error)
{
    void *value;
    size_t size;
    long amount = 0;

    *error = orbit_txn_get(txn, keyspace, name, strlen(name), &value, &size);
    if (*error == ORBIT_OK) {
        amount = strtol(value, NULL, 10);
        orbit_free(value);
    }
    return amount;
}

static int
balance_set(struct orbit_txn *txn, orbit_keyspace keyspace, const char *name, long amount)
{
    char text[24];

    snprintf(text, sizeof(text), "%ld", amount);
    return orbit_txn_put(txn, keyspace, name, strlen(name), text, strlen(text) + 1, 0);
}

static int
transfer_run(struct orbit_txn *txn, void *arg)
{
    struct transfer *transfer = arg;
    long from, to;
    int error;

    transfer->runs++;
    from = balance(txn, SAVINGS, transfer->from, &error);
    if (error != ORBIT_OK) {
        return error;
    }
    to = balance(txn, CHECKING, transfer->to, &error);
    if (error != ORBIT_OK) {
        return error;
    }
    error = balance_set(txn, SAVINGS, transfer->from, from - transfer->amount);
    if (error == ORBIT_OK) {
        error = balance_set(txn, CHECKING, transfer->to, to + transfer->amount);
    }
    return error != ORBIT_OK ? error : transfer->result;
}

static int
accounts_make(struct orbit_txn *txn, void *arg)
{
    char name[16];

    (void)arg;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "account%u", i);
        must(balance_set(txn, SAVINGS, name, 100));
        must(balance_set(txn, CHECKING, name, 0));
    }
    return ORBIT_OK;
}

static int
accounts_sum(struct orbit_txn *txn, void *arg)
{
    long *sum = arg;
    char name[16];
    int error;

    *sum = 0;
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "account%u", i);
        *sum += balance(txn, SAVINGS, name, &error);
        if (error != ORBIT_OK) {
            return error;
        }
        *sum += balance(txn, CHECKING, name, &error);
        if (error != ORBIT_OK) {
            return error;
        }
    }
    return ORBIT_OK;
}

Test(api_txn, a_function_commits_or_rolls_back_by_what_it_returns)
{
    struct transfer transfer = {"account1", "account2", 30, 0, ORBIT_OK};
    struct orbit_run_options near = {.key = "account1", .key_size = 8, .tag = "test"};
    struct orbit_txn *txn;
    uint64_t commit_us = 0;
    int error;

    open_as(ORBIT_THREADS, 2);
    must(orbit_txn_run(db, NULL, accounts_make, NULL, NULL));
    must(orbit_txn_run(db, &near, transfer_run, &transfer, &commit_us));
    cr_assert_gt(commit_us, 0);
    transfer.result = 12345;
    cr_assert_eq(orbit_txn_run(db, &near, transfer_run, &transfer, NULL), 12345);
    transfer.result = ORBIT_NOT_FOUND;
    must_be(orbit_txn_run(db, &near, transfer_run, &transfer, NULL), ORBIT_NOT_FOUND);
    transfer.from = "nobody";
    must_be(orbit_txn_run(db, &near, transfer_run, &transfer, NULL), ORBIT_NOT_FOUND);
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    cr_assert_eq(balance(txn, SAVINGS, "account1", &error), 70);
    cr_assert_eq(balance(txn, CHECKING, "account2", &error), 30);
    orbit_txn_free(&txn);
}

static int
misuse_run(struct orbit_txn *txn, void *arg)
{
    struct orbit_txn *other;
    void *value;
    size_t size;

    (void)arg;
    must_be(orbit_put(db, "a", 1, "1", 1, 0), ORBIT_INVALID);
    must_be(orbit_get(db, "a", 1, &value, &size), ORBIT_INVALID);
    must_be(orbit_txn_begin(db, NULL, &other), ORBIT_INVALID);
    must_be(orbit_txn_commit(txn, NULL), ORBIT_INVALID);
    must_be(orbit_txn_run(db, NULL, misuse_run, NULL, NULL), ORBIT_INVALID);
    return put(txn, "b", "1");
}

Test(api_txn, a_function_uses_its_transaction_and_nothing_else)
{
    open_as(ORBIT_INLINE, 1);
    must(orbit_txn_run(db, NULL, misuse_run, NULL, NULL));
    expect_now("b", "1");
    orbit_close(&db);
    open_as(ORBIT_THREADS, 1);
    must(orbit_txn_run(db, NULL, misuse_run, NULL, NULL));
}

static atomic_bool transfers_stop;

static void *
transfers_main(void *arg)
{
    unsigned seed = *(unsigned *)arg;
    char from[16], to[16];

    for (unsigned i = 0; i < 100; i++) {
        struct transfer transfer = {from, to, (long)(rand_r(&seed) % 20), 0, ORBIT_OK};
        struct orbit_run_options near = {.key = from, .key_size = 8};

        snprintf(from, sizeof(from), "account%u", (unsigned)rand_r(&seed) % 8);
        snprintf(to, sizeof(to), "account%u", (unsigned)rand_r(&seed) % 8);
        must(orbit_txn_run(db, &near, transfer_run, &transfer, NULL));
        cr_assert_geq(transfer.runs, 1);
    }
    return NULL;
}

static void *
sums_main(void *arg)
{
    struct orbit_run_options reading = {.read_only = true};
    unsigned *seen = arg;

    while (!atomic_load(&transfers_stop) || *seen == 0) {
        long sum;

        must(orbit_txn_run(db, &reading, accounts_sum, &sum, NULL));
        cr_assert_eq(sum, 800, "the accounts hold %ld", sum);
        ++*seen;
    }
    return NULL;
}

Test(api_txn, transfers_between_shards_keep_the_sum_at_every_moment)
{
    unsigned seeds[3] = {1, 2, 3};
    pthread_t threads[3], reader;
    unsigned seen = 0;
    long sum;

    options.durability = ORBIT_NONE;
    open_as(ORBIT_THREADS, 2);
    must(orbit_txn_run(db, NULL, accounts_make, NULL, NULL));
    pthread_create(&reader, NULL, sums_main, &seen);
    for (unsigned i = 0; i < 3; i++) {
        pthread_create(&threads[i], NULL, transfers_main, &seeds[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    atomic_store(&transfers_stop, true);
    pthread_join(reader, NULL);
    orbit_close(&db);
    must(orbit_open(&options, &db));
    must(orbit_txn_run(db, NULL, accounts_sum, &sum, NULL));
    cr_assert_eq(sum, 800, "the accounts hold %ld after a restart", sum);
}

/* ---- Many under way on one thread. ---- */

static int
count_run(struct orbit_txn *txn, void *arg)
{
    const char *key = arg;
    int error;
    long count = balance(txn, 0, key, &error);

    if (error != ORBIT_OK && error != ORBIT_NOT_FOUND) {
        return error;
    }
    return balance_set(txn, 0, key, count + 1);
}

static unsigned counted;

static void
on_counted(struct orbit_op *op)
{
    must(op->error);
    counted++;
}

Test(api_txn, many_transactions_are_under_way_on_one_thread)
{
    struct orbit_op ops[32] = {0};
    struct orbit_txn *txn;
    int error;

    open_as(ORBIT_INLINE, 1);
    for (unsigned round = 0; round < 10; round++) {
        for (unsigned i = 0; i < 32; i++) {
            ops[i].done = on_counted;
            must(orbit_txn_run_start(db, &ops[i], NULL, count_run,
                                     (void *)(i % 2 == 0 ? "even" : "odd")));
        }
        while (counted < (round + 1) * 32) {
            (void)orbit_wait(db, 1000000);
        }
    }
    txn = begun(ORBIT_ISOLATION_SERIALIZABLE);
    cr_assert_eq(balance(txn, 0, "even", &error), 160);
    cr_assert_eq(balance(txn, 0, "odd", &error), 160);
    orbit_txn_free(&txn);
}

/* ---- What holds over shards without a transaction. ---- */

static atomic_bool batches_stop;

static void *
batches_main(void *arg)
{
    struct orbit_batch *batch = orbit_batch_new();
    char value[24];

    (void)arg;
    for (unsigned i = 1; i <= 200; i++) {
        snprintf(value, sizeof(value), "%u", i);
        orbit_batch_clear(batch);
        must(orbit_batch_put(batch, "left", 4, value, strlen(value) + 1, 0));
        must(orbit_batch_put(batch, "right", 5, value, strlen(value) + 1, 0));
        must(orbit_batch_put(batch, "third", 5, value, strlen(value) + 1, 0));
        must(orbit_batch_commit(db, batch));
    }
    orbit_batch_free(&batch);
    atomic_store(&batches_stop, true);
    return NULL;
}

Test(api_txn, a_batch_over_shards_is_seen_whole_by_snapshots_and_multi_gets)
{
    const void *keys[] = {"left", "right", "third"};
    size_t sizes[] = {4, 5, 5};
    struct orbit_result results[3];
    struct orbit_snapshot *snapshot;
    pthread_t thread;

    options.durability = ORBIT_NONE;
    open_as(ORBIT_THREADS, 3);
    pthread_create(&thread, NULL, batches_main, NULL);
    while (!atomic_load(&batches_stop)) {
        void *values[3] = {NULL, NULL, NULL};
        size_t size;

        must(orbit_get_many(db, keys, sizes, 3, results));
        cr_assert_eq(results[0].error, results[1].error);
        cr_assert_eq(results[0].error, results[2].error);
        for (unsigned i = 0; i < 3; i++) {
            cr_assert(results[0].value == NULL || strcmp(results[0].value, results[i].value) == 0);
        }
        for (unsigned i = 0; i < 3; i++) {
            orbit_free(results[i].value);
        }
        must(orbit_snapshot_new(db, &snapshot));
        for (unsigned i = 0; i < 3; i++) {
            (void)orbit_snapshot_get(snapshot, keys[i], sizes[i], &values[i], &size);
            cr_assert_eq(values[i] == NULL, values[0] == NULL);
            cr_assert(values[0] == NULL || strcmp(values[0], values[i]) == 0, "%s and %s",
                      (char *)values[0], (char *)values[i]);
        }
        for (unsigned i = 0; i < 3; i++) {
            orbit_free(values[i]);
        }
        orbit_snapshot_free(&snapshot);
    }
    pthread_join(thread, NULL);
}
