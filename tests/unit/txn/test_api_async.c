/* tests/unit/txn/test_api_async.c - operations under way and multi-get of the C API, on a real
 * disk. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

enum { OPS = 200, ROUNDS = 50 };

static struct orbit_options options;

static void
begin(void)
{
    folder_make("async");
    options = (struct orbit_options){.dir = folder, .memory_bytes = 16 << 20, .mode = ORBIT_INLINE};
}

TestSuite(api_async, .init = begin, .fini = end, .timeout = 120);

static void
expect(const char *key, const char *value)
{
    void *found = NULL;
    size_t size = 0;

    must(orbit_get(db, key, strlen(key), &found, &size));
    cr_assert_eq(size, strlen(value));
    cr_assert_eq(memcmp(found, value, size), 0, "%s: %.*s, not %s", key, (int)size, (char *)found,
                 value);
    orbit_free(found);
}

/* An operation with what it is about and what came of it. */
struct probe {
    struct orbit_op op; /* First. */
    char key[24];
    char value[64];
    char found[64];
    char message[128];
    unsigned calls;
};

static struct probe probes[ORBIT_OPS_MAX + 1];
static unsigned finished;

static void
on_done(struct orbit_op *op)
{
    struct probe *probe = (struct probe *)op;

    probe->calls++;
    finished++;
    snprintf(probe->message, sizeof(probe->message), "%s", orbit_message());
    if (op->value != NULL) {
        cr_assert_lt(op->value_size, sizeof(probe->found));
        memcpy(probe->found, op->value, op->value_size);
        probe->found[op->value_size] = '\0';
    }
}

static struct probe *
probe_of(unsigned i, const char *format)
{
    struct probe *probe = &probes[i];

    memset(probe, 0, sizeof(*probe));
    probe->op.done = on_done;
    snprintf(probe->key, sizeof(probe->key), "key%05u", i);
    snprintf(probe->value, sizeof(probe->value), format, i);
    return probe;
}

static void
put_start(struct probe *probe)
{
    must(orbit_put_start(db, &probe->op, probe->key, strlen(probe->key), probe->value,
                         strlen(probe->value), 0));
}

static void
get_start(struct probe *probe)
{
    must(orbit_get_start(db, &probe->op, probe->key, strlen(probe->key)));
}

static void
wait_for(unsigned count)
{
    for (unsigned i = 0; finished < count; i++) {
        cr_assert_lt(i, 100000);
        orbit_wait(db, 1000000);
    }
    cr_assert_eq(orbit_wait(db, 0), 0);
}

static void
open_empty(void)
{
    finished = 0;
    must(orbit_open(&options, &db));
}

static void
put_all(void)
{
    for (unsigned i = 0; i < OPS; i++) {
        put_start(probe_of(i, "value of %u"));
    }
    wait_for(OPS);
    finished = 0;
}

Test(api_async, started_writes_end_and_started_reads_find_them)
{
    open_empty();
    put_all();
    for (unsigned i = 0; i < OPS; i++) {
        cr_assert_eq(probes[i].calls, 1);
        must(probes[i].op.error);
        get_start(probe_of(i, "value of %u"));
    }
    cr_assert_eq(finished, 0, "done must not be called by the function that starts");
    wait_for(OPS);
    for (unsigned i = 0; i < OPS; i++) {
        cr_assert_eq(probes[i].calls, 1);
        cr_assert_str_eq(probes[i].found, probes[i].value);
    }
}

/* After a new start everything has to come from the tables or the log again. */
Test(api_async, reads_that_need_the_disk_find_everything)
{
    struct orbit_options small = options;
    char value[1000];

    options.durability = ORBIT_NONE;
    open_empty();
    memset(value, 'x', sizeof(value));
    for (unsigned i = 0; i < 40000; i++) {
        char key[24];

        snprintf(key, sizeof(key), "filler%u", i);
        must(orbit_put(db, key, strlen(key), value, sizeof(value), 0));
        if (i % 200 == 0) {
            snprintf(key, sizeof(key), "key%05u", i / 200);
            must(orbit_put(db, key, strlen(key), key, strlen(key), 0));
        }
    }
    orbit_close(&db);
    must(orbit_open(&small, &db));
    for (unsigned i = 0; i < OPS; i++) {
        get_start(probe_of(i, "key%05u"));
    }
    wait_for(OPS);
    for (unsigned i = 0; i < OPS; i++) {
        must(probes[i].op.error);
        cr_assert_str_eq(probes[i].found, probes[i].value);
    }
}

Test(api_async, writes_of_one_key_take_effect_in_the_order_of_their_starts)
{
    static char large[100000]; /* Goes to a value log, so the write has to wait. */

    open_empty();
    memset(large, 'L', sizeof(large));
    for (unsigned i = 0; i < 30; i++) {
        struct probe *probe = probe_of(i, "number %u");

        strcpy(probe->key, "one");
        if (i % 7 == 3) {
            must(orbit_put_start(db, &probe->op, "one", 3, large, sizeof(large), 0));
        } else {
            put_start(probe);
        }
    }
    must(orbit_put(db, "two", 3, "after them", 10, 0));
    expect("one", "number 29");
    wait_for(30);
    expect("one", "number 29");
}

Test(api_async, a_delete_ends_and_the_key_is_gone)
{
    struct probe *probe;

    open_empty();
    must(orbit_put(db, "key00000", 8, "v", 1, 0));
    probe = probe_of(0, "");
    must(orbit_delete_start(db, &probe->op, probe->key, strlen(probe->key)));
    wait_for(1);
    must(probe->op.error);
    get_start(probe_of(0, ""));
    wait_for(2);
    cr_assert_eq(probes[0].op.error, ORBIT_NOT_FOUND);
    cr_assert_null(probes[0].op.value);
}

/* Every done function starts the next operation of its chain, from within. */
static unsigned chain_left;

static void
on_chain(struct orbit_op *op)
{
    struct probe *probe = (struct probe *)op;

    must(op->error);
    finished++;
    if (chain_left > 0) {
        chain_left--;
        must(orbit_get_start(db, op, probe->key, strlen(probe->key)));
    }
}

Test(api_async, a_done_function_may_start_the_next_operation)
{
    open_empty();
    put_all();
    chain_left = 1000;
    for (unsigned i = 0; i < 8; i++) {
        probe_of(i, "");
        probes[i].op.done = on_chain;
        get_start(&probes[i]);
    }
    wait_for(1008);
    cr_assert_eq(chain_left, 0);
}

static void
on_sync_call(struct orbit_op *op)
{
    must(op->error);
    finished++;
    must(orbit_put(db, "nested", 6, "1", 1, 0));
    expect("nested", "1");
    orbit_wait(db, 0);
}

Test(api_async, a_done_function_may_call_the_other_functions)
{
    open_empty();
    for (unsigned i = 0; i < 20; i++) {
        probe_of(i, "v");
        probes[i].op.done = on_sync_call;
        put_start(&probes[i]);
    }
    wait_for(20);
}

Test(api_async, too_many_operations_are_refused)
{
    struct probe *last = probe_of(ORBIT_OPS_MAX, "v");

    open_empty();
    for (unsigned i = 0; i < ORBIT_OPS_MAX; i++) {
        put_start(probe_of(i, "v"));
    }
    cr_assert_eq(orbit_get_start(db, &last->op, "k", 1), ORBIT_LIMIT);
    cr_assert_not_null(strstr(orbit_message(), "1024"), "%s", orbit_message());
    wait_for(ORBIT_OPS_MAX);
    cr_assert_eq(last->calls, 0);
    must(orbit_get_start(db, &last->op, "key00007", 8));
    wait_for(ORBIT_OPS_MAX + 1);
    must(last->op.error);
}

Test(api_async, what_is_wrong_is_refused_at_the_start)
{
    struct probe *probe = probe_of(0, "v");

    open_empty();
    cr_assert_eq(orbit_get_start(db, &probe->op, "", 0), ORBIT_INVALID);
    cr_assert_eq(orbit_put_start(db, &probe->op, "k", 1, NULL, 1, 0), ORBIT_INVALID);
    probe->op.done = NULL;
    cr_assert_eq(orbit_get_start(db, &probe->op, "k", 1), ORBIT_INVALID);
    cr_assert_eq(orbit_wait(db, UINT64_MAX), 0);
}

Test(api_async, threads_refuse_them_and_say_why)
{
    struct probe *probe = probe_of(0, "v");

    options.mode = ORBIT_THREADS;
    open_empty();
    cr_assert_eq(orbit_get_start(db, &probe->op, "k", 1), ORBIT_INVALID);
    cr_assert_not_null(strstr(orbit_message(), "ORBIT_INLINE"), "%s", orbit_message());
    cr_assert_eq(orbit_wait(db, UINT64_MAX), 0);
    cr_assert_not(orbit_poll(db));
}

Test(api_async, closing_ends_what_is_under_way)
{
    open_empty();
    for (unsigned i = 0; i < OPS; i++) {
        put_start(probe_of(i, "value of %u"));
    }
    orbit_close(&db);
    cr_assert_eq(finished, OPS);
    must(orbit_open(&options, &db));
    expect("key00199", "value of 199");
}

Test(api_async, polling_ends_operations_as_well)
{
    open_empty();
    put_start(probe_of(0, "v"));
    for (unsigned i = 0; finished == 0; i++) {
        cr_assert_lt(i, 10000000);
        orbit_poll(db);
    }
    must(probes[0].op.error);
}

/* Mixed with waits of no length, against a plain array. */
Test(api_async, a_random_history_reads_what_ended_before)
{
    static unsigned written[16];
    static unsigned last[16];
    unsigned state = 12345;

    open_empty();
    memset(written, 0, sizeof(written));
    memset(last, 0, sizeof(last));
    for (unsigned i = 0; i < 5000; i++) {
        unsigned key = (state = state * 1664525 + 1013904223) >> 28;
        struct probe *probe = probe_of(i % 8, "");
        unsigned before = finished;

        snprintf(probe->key, sizeof(probe->key), "k%u", key);
        if ((state >> 8) % 2 == 0) {
            snprintf(probe->value, sizeof(probe->value), "%u", i + 1);
            put_start(probe);
            last[key] = i + 1;
        } else {
            get_start(probe);
        }
        wait_for(before + 1);
        if (probe->op.value != NULL) {
            cr_assert_eq((unsigned)atoi(probe->found), last[key]);
        } else if (probe->op.error == ORBIT_NOT_FOUND) {
            cr_assert_eq(last[key], 0);
        }
    }
}

/* ---- Many keys at once. ---- */

static void
many_keys(void)
{
    const void *keys[OPS + 2];
    size_t sizes[OPS + 2];
    struct orbit_result results[OPS + 2];
    char names[OPS + 2][24];

    for (unsigned i = 0; i < OPS + 2; i++) {
        snprintf(names[i], sizeof(names[i]), "many%u", i);
        keys[i] = names[i];
        sizes[i] = strlen(names[i]);
        if (i < OPS) {
            must(orbit_put(db, keys[i], sizes[i], keys[i], sizes[i], 0));
        }
    }
    keys[OPS + 1] = keys[3]; /* One key twice. */
    sizes[OPS + 1] = sizes[3];
    must(orbit_get_many(db, keys, sizes, OPS + 2, results));
    for (unsigned i = 0; i < OPS + 2; i++) {
        if (i == OPS) {
            cr_assert_eq(results[i].error, ORBIT_NOT_FOUND);
            cr_assert_null(results[i].value);
            continue;
        }
        must(results[i].error);
        cr_assert_eq(results[i].size, sizes[i]);
        cr_assert_eq(memcmp(results[i].value, keys[i], sizes[i]), 0);
        orbit_free(results[i].value);
    }
    must(orbit_get_many(db, keys, sizes, 0, NULL));
    sizes[1] = 0;
    cr_assert_eq(orbit_get_many(db, keys, sizes, OPS, results), ORBIT_INVALID);
}

Test(api_async, many_keys_are_read_at_once_inline)
{
    open_empty();
    many_keys();
}

Test(api_async, many_keys_are_read_at_once_from_several_shards)
{
    options.mode = ORBIT_THREADS;
    options.shards = 3;
    options.memory_bytes = 48 << 20;
    options.durability = ORBIT_NONE;
    open_empty();
    many_keys();
}
