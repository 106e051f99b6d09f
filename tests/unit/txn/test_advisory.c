#include "tests/unit/txn/lock_fixture.h"

TestSuite(advisory, .timeout = 60);

enum { SHARDS = 3, SESSIONS = 3, KEYS = 20 };

static struct advisory *sessions[SESSIONS];
static struct fiber_group group;

#define ADVISORY_TEST(name)                                                                        \
    static void advisory_##name##_case(void);                                                      \
    FIBER_TEST_ON(advisory, name, SHARDS)                                                          \
    {                                                                                              \
        locks_begin();                                                                             \
        fiber_group_init(&group);                                                                  \
        for (uint32_t i = 0; i < SESSIONS; i++) {                                                  \
            sessions[i] = advisory_new();                                                          \
        }                                                                                          \
        advisory_##name##_case();                                                                  \
        fiber_group_wait(&group);                                                                  \
        for (uint32_t i = 0; i < SESSIONS; i++) {                                                  \
            advisory_free(&sessions[i]);                                                           \
        }                                                                                          \
        locks_end();                                                                               \
    }                                                                                              \
    static void advisory_##name##_case(void)

static bool
try(uint32_t session, struct advisory_key key, enum advisory_mode mode, enum advisory_level level)
{
    err_t err = advisory_lock(sessions[session], key, mode, level, LOCK_NOWAIT, DEADLINE_NONE);

    cr_assert(err == ERR_OK || err == ERR_LOCK_TIMEOUT, "%s", err_name(err));
    return err == ERR_OK;
}

static bool
try_exclusive(uint32_t session, int64_t number)
{
    return try(session, advisory_key(1, number), ADVISORY_EXCLUSIVE, ADVISORY_SESSION);
}

static bool
unlock(uint32_t session, int64_t number)
{
    return advisory_unlock(sessions[session], advisory_key(1, number), ADVISORY_EXCLUSIVE);
}

ADVISORY_TEST(names_are_numbers_or_pairs_of_a_database)
{
    for (int64_t i = 0; i < KEYS; i++) { /* On all shards. */
        cr_assert(try_exclusive(0, i));
        cr_assert_not(try_exclusive(1, i));
    }
    cr_assert(try(1, advisory_key(2, 0), ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert(try(1, advisory_key_pair(1, 0, 0), ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert(try(1, advisory_key_pair(1, 0, -1), ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert_not(try(2, advisory_key_pair(1, 0, -1), ADVISORY_SHARED, ADVISORY_SESSION));
    cr_assert(try_exclusive(1, -1));
    advisory_unlock_all(sessions[0]);
    for (int64_t i = 0; i < KEYS; i++) {
        cr_assert(try_exclusive(1, i));
    }
}

ADVISORY_TEST(a_session_unlocks_as_often_as_it_locked)
{
    cr_assert(try_exclusive(0, 7));
    cr_assert(try_exclusive(0, 7));
    cr_assert(unlock(0, 7));
    cr_assert_not(try_exclusive(1, 7));
    cr_assert(unlock(0, 7));
    cr_assert(try_exclusive(1, 7));
    cr_assert_not(unlock(0, 7), "not its own any more");
    cr_assert_not(advisory_unlock(sessions[1], advisory_key(1, 7), ADVISORY_SHARED));
}

ADVISORY_TEST(shared_locks_are_shared_and_are_left_when_the_exclusive_one_goes)
{
    struct advisory_key key = advisory_key(1, 3);

    cr_assert(try(0, key, ADVISORY_SHARED, ADVISORY_SESSION));
    cr_assert(try(1, key, ADVISORY_SHARED, ADVISORY_SESSION));
    cr_assert_not(try(0, key, ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert(advisory_unlock(sessions[1], key, ADVISORY_SHARED));
    cr_assert(try(0, key, ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert_not(try(1, key, ADVISORY_SHARED, ADVISORY_SESSION));
    cr_assert(advisory_unlock(sessions[0], key, ADVISORY_EXCLUSIVE));
    cr_assert(try(1, key, ADVISORY_SHARED, ADVISORY_SESSION));
    cr_assert_not(try(1, key, ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
}

ADVISORY_TEST(locks_of_the_transaction_go_with_it_and_back_to_savepoints)
{
    struct advisory_key key = advisory_key(1, 4);
    uint32_t mark;

    cr_assert(try(0, key, ADVISORY_EXCLUSIVE, ADVISORY_TXN));
    cr_assert(try(0, key, ADVISORY_EXCLUSIVE, ADVISORY_TXN));
    cr_assert_not(advisory_unlock(sessions[0], key, ADVISORY_EXCLUSIVE));
    advisory_unlock_all(sessions[0]);
    cr_assert_not(try(1, key, ADVISORY_SHARED, ADVISORY_SESSION));
    mark = advisory_mark(sessions[0]);
    cr_assert(try(0, advisory_key(1, 5), ADVISORY_EXCLUSIVE, ADVISORY_TXN));
    cr_assert(try(0, advisory_key(1, 6), ADVISORY_EXCLUSIVE, ADVISORY_TXN));
    cr_assert(try(0, advisory_key(1, 6), ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    advisory_release_to(sessions[0], mark);
    cr_assert(try(1, advisory_key(1, 5), ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert_not(try(1, key, ADVISORY_SHARED, ADVISORY_SESSION));
    advisory_txn_end(sessions[0]);
    cr_assert(try(1, key, ADVISORY_EXCLUSIVE, ADVISORY_SESSION));
    cr_assert_not(try(1, advisory_key(1, 6), ADVISORY_SHARED, ADVISORY_SESSION));
}

static uint32_t seen;

static void
count_info(void *arg, const struct advisory_info *info)
{
    (void)arg;
    cr_assert_eq(info->key.value, 9);
    seen += info->session_count + 100 * info->is_txn;
}

ADVISORY_TEST(what_a_session_has_is_shown)
{
    cr_assert(try_exclusive(0, 9));
    cr_assert(try_exclusive(0, 9));
    cr_assert(try(0, advisory_key(1, 9), ADVISORY_SHARED, ADVISORY_TXN));
    seen = 0;
    advisory_visit(sessions[0], count_info, NULL);
    cr_assert_eq(seen, 102);
}

/* ---- Waiting. ---- */

struct wait {
    uint32_t session;
    int64_t number;
    uint64_t txn; /* Its statement's. */
    err_t err;
    bool has_ended;
};

static void
wait_run(void *arg)
{
    struct wait *wait = arg;

    advisory_statement(sessions[wait->session], wait->txn);
    wait->err = advisory_lock(sessions[wait->session], advisory_key(1, wait->number),
                              ADVISORY_EXCLUSIVE, ADVISORY_SESSION, LOCK_WAIT, DEADLINE_NONE);
    advisory_statement(sessions[wait->session], 0);
    wait->has_ended = true;
}

static void
wait_start(struct wait *wait)
{
    cr_assert(
        fiber_group_spawn(&group, "wait", FIBER_FOREGROUND, FIBER_STACK_SMALL, wait_run, wait));
    fiber_sleep_us(2000);
}

ADVISORY_TEST(a_wait_ends_with_the_lock_or_when_it_is_canceled)
{
    struct wait first = {.session = 1, .number = 2};
    struct wait second = {.session = 2, .number = 2};

    cr_assert(try_exclusive(0, 2));
    wait_start(&first);
    wait_start(&second);
    advisory_cancel(sessions[1]);
    fiber_sleep_us(2000);
    cr_assert(first.has_ended);
    cr_assert_eq(first.err, ERR_CANCELED);
    cr_assert_not(second.has_ended);
    cr_assert(unlock(0, 2));
    fiber_group_wait(&group);
    cr_assert_eq(second.err, ERR_OK);
}

ADVISORY_TEST(two_sessions_that_wait_for_each_other_are_a_deadlock)
{
    struct wait first = {.session = 0, .number = 2};
    struct wait second = {.session = 1, .number = 1};

    cr_assert(try_exclusive(0, 1));
    cr_assert(try_exclusive(1, 2));
    wait_start(&first);
    wait_start(&second);
    fiber_sleep_us(60000);
    cr_assert_not(first.has_ended);
    cr_assert_eq(second.err, ERR_DEADLOCK, "the younger one");
    cr_assert(unlock(1, 2));
    fiber_group_wait(&group);
    cr_assert_eq(first.err, ERR_OK);
}

/* A row of one transaction, and an advisory lock of the other's session. */
static struct lock_owner rows[2];

struct row_wait {
    uint64_t txn;
    err_t err;
    bool has_ended;
};

static void
row_run(void *arg)
{
    struct row_wait *wait = arg;

    advisory_statement(sessions[0], wait->txn);
    wait->err = lock_key(locks_here(), &rows[0], SLICE("row"), LOCK_UPDATE, LOCK_WAIT,
                         shard_now_us() + 2000000);
    advisory_statement(sessions[0], 0);
    wait->has_ended = true;
}

ADVISORY_TEST(a_row_and_an_advisory_lock_make_a_deadlock_too)
{
    struct row_wait row = {.txn = 100};
    struct wait advisory = {.session = 1, .number = 1, .txn = 200};

    lock_owner_init(&rows[0], 100);
    lock_owner_init(&rows[1], 200);
    cr_assert(try_exclusive(0, 1));
    cr_assert_eq(lock_key(locks_here(), &rows[1], SLICE("row"), LOCK_UPDATE, LOCK_NOWAIT, 0),
                 ERR_OK);
    cr_assert(fiber_group_spawn(&group, "row", FIBER_FOREGROUND, FIBER_STACK_SMALL, row_run, &row));
    fiber_sleep_us(2000);
    wait_start(&advisory);
    fiber_sleep_us(60000);
    cr_assert_eq(advisory.err, ERR_DEADLOCK, "transaction 200 is the younger one");
    cr_assert_not(row.has_ended);
    lock_release_all(locks_here(), &rows[1]);
    fiber_group_wait(&group);
    cr_assert_eq(row.err, ERR_OK);
    lock_release_all(locks_here(), &rows[0]);
}
