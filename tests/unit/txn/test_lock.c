#include <stdio.h>

#include "tests/unit/txn/lock_fixture.h"
#include "txn/lock_internal.h"

TestSuite(lock, .timeout = 60);

#define LOCK_TEST(name)                                                                            \
    static void lock_##name##_case(void);                                                          \
    FIBER_TEST(lock, name)                                                                         \
    {                                                                                              \
        locks_begin();                                                                             \
        locks = locks_here();                                                                      \
        story[0] = '\0';                                                                           \
        fiber_group_init(&group);                                                                  \
        for (uint32_t i = 0; i < OWNERS; i++) {                                                    \
            lock_owner_init(&owners[i], i + 1);                                                    \
        }                                                                                          \
        lock_##name##_case();                                                                      \
        fiber_group_wait(&group);                                                                  \
        for (uint32_t i = 0; i < OWNERS; i++) {                                                    \
            lock_release_all(locks, &owners[i]);                                                   \
        }                                                                                          \
        cr_assert(locks_are_none(locks));                                                          \
        locks_end();                                                                               \
    }                                                                                              \
    static void lock_##name##_case(void)

enum { OWNERS = 8 };

static struct locks *locks;
static struct lock_owner owners[OWNERS];
static struct fiber_group group;
static char story[4096]; /* Who got what, in order. */

static err_t
key_at_once(uint32_t owner, const char *key, enum lock_mode mode)
{
    return lock_key(locks, &owners[owner], slice_from_text(key), mode, LOCK_NOWAIT, DEADLINE_NONE);
}

static err_t
range_at_once(uint32_t owner, const char *start, const char *end, enum lock_mode mode)
{
    return lock_range(locks, &owners[owner], slice_from_text(start), slice_from_text(end), mode,
                      LOCK_NOWAIT, DEADLINE_NONE);
}

/* A fiber that waits for a lock and tells of it. */
struct waiter {
    struct fiber *fiber;
    uint32_t owner;
    const char *key, *end; /* end: a range. */
    enum lock_mode mode;
    uint64_t deadline_us;
    err_t err;
    bool has_ended;
};

static void
wait_for_lock(void *arg)
{
    struct waiter *waiter = arg;
    struct lock_owner *owner = &owners[waiter->owner];
    struct slice key = slice_from_text(waiter->key);
    char line[64];

    waiter->fiber = fiber_self();
    if (waiter->end != NULL) {
        waiter->err = lock_range(locks, owner, key, slice_from_text(waiter->end), waiter->mode,
                                 LOCK_WAIT, waiter->deadline_us);
    } else {
        waiter->err = lock_key(locks, owner, key, waiter->mode, LOCK_WAIT, waiter->deadline_us);
    }
    waiter->has_ended = true;
    snprintf(line, sizeof(line), "%u:%s ", waiter->owner,
             waiter->err == ERR_OK ? "ok" : err_name(waiter->err));
    strncat(story, line, sizeof(story) - strlen(story) - 1);
}

static void
start_waiter(struct waiter *waiter)
{
    if (waiter->deadline_us == 0) {
        waiter->deadline_us = DEADLINE_NONE;
    }
    cr_assert(fiber_group_spawn(&group, "waiter", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                wait_for_lock, waiter));
    fiber_sleep_us(100);
}

/* ---- Strengths. ---- */

LOCK_TEST(strengths_conflict_as_row_locks_do)
{
    static const bool conflict[LOCK_MODE_COUNT][LOCK_MODE_COUNT] = {
        {false, false, false, true},
        {false, false, true, true},
        {false, true, true, true},
        {true, true, true, true},
    };

    for (int held = 0; held < LOCK_MODE_COUNT; held++) {
        for (int asked = 0; asked < LOCK_MODE_COUNT; asked++) {
            bool is_refused = conflict[held][asked];

            cr_assert_eq(key_at_once(0, "k", (enum lock_mode)held), ERR_OK);
            cr_assert_eq(lock_key_is_free(locks, &owners[1], SLICE("k"), (enum lock_mode)asked),
                         !is_refused);
            cr_assert_eq(key_at_once(1, "k", (enum lock_mode)asked),
                         is_refused ? ERR_LOCK_TIMEOUT : ERR_OK, "%d against %d", asked, held);
            lock_release_all(locks, &owners[0]);
            lock_release_all(locks, &owners[1]);
        }
    }
}

LOCK_TEST(what_is_held_is_granted_again_and_other_keys_are_free)
{
    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK);
    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(owners[0].count, 1);
    cr_assert_eq(key_at_once(1, "kk", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(1, "", LOCK_UPDATE), ERR_OK);
    cr_assert_not(lock_key_is_free(locks, NULL, SLICE("k"), LOCK_KEY_SHARE));
    cr_assert(lock_key_is_free(locks, &owners[0], SLICE("k"), LOCK_UPDATE));
    cr_assert(lock_key_is_free(locks, NULL, SLICE("j"), LOCK_UPDATE));
}

LOCK_TEST(a_lock_that_is_skipped_costs_no_error_text)
{
    err_t err;

    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    err = lock_key(locks, &owners[1], SLICE("k"), LOCK_UPDATE, LOCK_SKIP, DEADLINE_NONE);
    cr_assert_eq(err, ERR_BUSY);
    cr_assert_eq(owners[1].count, 0);
}

/* ---- Waiting. ---- */

LOCK_TEST(waiters_are_served_in_their_order)
{
    struct waiter waiters[3] = {{.owner = 1, .key = "k", .mode = LOCK_UPDATE},
                                {.owner = 2, .key = "k", .mode = LOCK_SHARE},
                                {.owner = 3, .key = "k", .mode = LOCK_SHARE}};

    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    for (uint32_t i = 0; i < 3; i++) {
        start_waiter(&waiters[i]);
    }
    cr_assert_str_eq(story, "");
    lock_release_all(locks, &owners[0]);
    fiber_sleep_us(100);
    cr_assert_str_eq(story, "1:ok ");
    lock_release_all(locks, &owners[1]);
    fiber_group_wait(&group);
    cr_assert(waiters[1].err == ERR_OK && waiters[2].err == ERR_OK);
}

LOCK_TEST(who_comes_later_does_not_overtake_a_conflicting_waiter)
{
    struct waiter update = {.owner = 1, .key = "k", .mode = LOCK_UPDATE};

    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK);
    start_waiter(&update);
    cr_assert_eq(key_at_once(2, "k", LOCK_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK, "held already");
    lock_release_all(locks, &owners[0]);
    fiber_group_wait(&group);
    cr_assert_eq(update.err, ERR_OK);
}

LOCK_TEST(a_strengthening_goes_first)
{
    struct waiter later = {.owner = 2, .key = "k", .mode = LOCK_UPDATE};
    struct waiter stronger = {.owner = 0, .key = "k", .mode = LOCK_UPDATE};

    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK);
    cr_assert_eq(key_at_once(1, "k", LOCK_SHARE), ERR_OK);
    start_waiter(&later);
    start_waiter(&stronger);
    lock_release_all(locks, &owners[1]);
    fiber_sleep_us(100);
    cr_assert_str_eq(story, "0:ok ");
    lock_release_all(locks, &owners[0]);
    fiber_group_wait(&group);
    cr_assert_str_eq(story, "0:ok 2:ok ");
}

LOCK_TEST(a_deadline_ends_a_wait_and_lets_those_behind_it_go_on)
{
    struct waiter update = {.owner = 1, .key = "k", .mode = LOCK_UPDATE};
    struct waiter share = {.owner = 2, .key = "k", .mode = LOCK_SHARE};

    update.deadline_us = shard_now_us() + 5000;
    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK);
    start_waiter(&update);
    start_waiter(&share);
    fiber_sleep_us(1000);
    cr_assert_not(share.has_ended);
    fiber_group_wait(&group);
    cr_assert_eq(update.err, ERR_LOCK_TIMEOUT);
    cr_assert_eq(share.err, ERR_OK);
    cr_assert(shard_now_us() >= update.deadline_us);
    cr_assert(shard_now_us() < update.deadline_us + 2000);
    cr_assert_eq(owners[1].count, 0);
}

LOCK_TEST(a_canceled_wait_ends_without_a_lock)
{
    struct waiter waiter = {.owner = 1, .key = "k", .mode = LOCK_UPDATE};

    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    start_waiter(&waiter);
    fiber_cancel(waiter.fiber);
    fiber_group_wait(&group);
    cr_assert_eq(waiter.err, ERR_CANCELED);
    cr_assert_null(owners[1].waiting);
    lock_release_all(locks, &owners[0]);
    cr_assert(locks_are_none(locks));
}

/* ---- Marks. ---- */

LOCK_TEST(going_back_to_a_mark_releases_what_came_later_and_strengthenings)
{
    uint32_t mark;

    cr_assert_eq(key_at_once(0, "a", LOCK_SHARE), ERR_OK);
    cr_assert_eq(key_at_once(0, "b", LOCK_UPDATE), ERR_OK);
    mark = lock_mark(&owners[0]);
    cr_assert_eq(key_at_once(0, "a", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(0, "c", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(range_at_once(0, "x", "z", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(1, "a", LOCK_SHARE), ERR_LOCK_TIMEOUT);
    lock_release_to(locks, &owners[0], mark);
    cr_assert_eq(key_at_once(1, "a", LOCK_SHARE), ERR_OK);
    cr_assert_eq(key_at_once(1, "a", LOCK_UPDATE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(1, "b", LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(1, "c", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(1, "y", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(owners[0].count, 2);
}

LOCK_TEST(going_back_wakes_who_can_go_on_then)
{
    struct waiter waiter = {.owner = 1, .key = "k", .mode = LOCK_SHARE};
    uint32_t mark;

    cr_assert_eq(key_at_once(0, "k", LOCK_SHARE), ERR_OK);
    mark = lock_mark(&owners[0]);
    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    start_waiter(&waiter);
    cr_assert_not(waiter.has_ended);
    lock_release_to(locks, &owners[0], mark);
    fiber_group_wait(&group);
    cr_assert_eq(waiter.err, ERR_OK);
}

/* ---- Ranges. ---- */

LOCK_TEST(ranges_and_keys_stand_against_each_other)
{
    cr_assert_eq(range_at_once(0, "b", "d", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(1, "a", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(1, "b", LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(1, "czz", LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(1, "d", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(0, "c", LOCK_UPDATE), ERR_OK, "its own");
    cr_assert_eq(owners[0].count, 1, "a key of an own range costs no lock");
    cr_assert_eq(range_at_once(2, "", "a", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(range_at_once(2, "a", "aa", LOCK_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(range_at_once(2, "aa", "b", LOCK_SHARE), ERR_OK);
    cr_assert_eq(range_at_once(2, "aa", "bb", LOCK_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(range_at_once(2, "d", "", LOCK_SHARE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(range_at_once(2, "dd", "", LOCK_SHARE), ERR_OK);
    cr_assert_eq(key_at_once(1, "zzz", LOCK_UPDATE), ERR_LOCK_TIMEOUT);
    cr_assert_eq(key_at_once(1, "zzz", LOCK_SHARE), ERR_OK);
    cr_assert_eq(range_at_once(2, "c", "b", LOCK_UPDATE), ERR_OK, "empty");
}

LOCK_TEST(a_waiting_range_holds_up_later_keys_and_is_woken_by_the_last_key)
{
    struct waiter range = {.owner = 1, .key = "b", .end = "d", .mode = LOCK_UPDATE};
    struct waiter key = {.owner = 2, .key = "c", .mode = LOCK_UPDATE};

    cr_assert_eq(key_at_once(0, "b", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(3, "cc", LOCK_UPDATE), ERR_OK);
    start_waiter(&range);
    start_waiter(&key);
    lock_release_all(locks, &owners[0]);
    fiber_sleep_us(100);
    cr_assert_str_eq(story, "");
    lock_release_all(locks, &owners[3]);
    fiber_sleep_us(100);
    cr_assert_str_eq(story, "1:ok ");
    lock_release_all(locks, &owners[1]);
    fiber_group_wait(&group);
    cr_assert_str_eq(story, "1:ok 2:ok ");
}

LOCK_TEST(a_range_that_gives_up_lets_keys_go_on)
{
    struct waiter range = {.owner = 1, .key = "b", .end = "d", .mode = LOCK_UPDATE};
    struct waiter key = {.owner = 2, .key = "c", .mode = LOCK_UPDATE};

    range.deadline_us = shard_now_us() + 3000;
    cr_assert_eq(key_at_once(0, "b", LOCK_UPDATE), ERR_OK);
    start_waiter(&range);
    start_waiter(&key);
    cr_assert_not(key.has_ended);
    fiber_group_wait(&group);
    cr_assert_eq(range.err, ERR_LOCK_TIMEOUT);
    cr_assert_eq(key.err, ERR_OK);
}

/* ---- Prepared. ---- */

LOCK_TEST(a_prepared_writer_is_found_by_key_range_and_snapshot)
{
    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_OK);
    cr_assert_eq(key_at_once(0, "s", LOCK_SHARE), ERR_OK);
    cr_assert_null(lock_prepared_writer(locks, SLICE("k"), 1000));
    lock_owner_prepare(locks, &owners[0], 100);
    cr_assert_null(lock_prepared_writer(locks, SLICE("k"), 99));
    cr_assert_eq(lock_prepared_writer(locks, SLICE("k"), 100), &owners[0]);
    cr_assert_null(lock_prepared_writer(locks, SLICE("s"), 100), "it does not write that");
    cr_assert_null(lock_prepared_writer(locks, SLICE("kk"), 100));
    cr_assert_eq(lock_prepared_writer_range(locks, SLICE("a"), SLICE("l"), 100), &owners[0]);
    cr_assert_eq(lock_prepared_writer_range(locks, SLICE("a"), SLICE(""), 100), &owners[0]);
    cr_assert_null(lock_prepared_writer_range(locks, SLICE("a"), SLICE("k"), 100));
    cr_assert_null(lock_prepared_writer_range(locks, SLICE("a"), SLICE("l"), 99));
    lock_owner_decide(locks, &owners[0]);
    cr_assert_null(lock_prepared_writer(locks, SLICE("k"), 100));
    lock_release_all(locks, &owners[0]);
    cr_assert_eq(range_at_once(1, "a", "c", LOCK_UPDATE), ERR_OK);
    lock_owner_prepare(locks, &owners[1], 5);
    cr_assert_eq(lock_prepared_writer(locks, SLICE("b"), 5), &owners[1]);
    cr_assert_null(lock_prepared_writer(locks, SLICE("c"), 5));
    lock_owner_decide(locks, &owners[1]);
}

/* ---- Many. ---- */

static struct slice
number_key(uint32_t number, uint8_t *bytes)
{
    put_be32(bytes, number);
    return slice_of(bytes, 4);
}

static err_t
lock_number(uint32_t owner, uint32_t number, enum lock_mode mode)
{
    uint8_t bytes[4];

    return lock_key(locks, &owners[owner], number_key(number, bytes), mode, LOCK_NOWAIT,
                    DEADLINE_NONE);
}

LOCK_TEST(neighbours_of_an_owner_of_many_become_ranges)
{
    const uint32_t count = LOCK_OWNER_KEYS_MAX + 100;
    uint32_t mark = 0;

    for (uint32_t i = 0; i < 1000; i++) { /* Another's lie between. */
        cr_assert_eq(lock_number(1, 200 * i + 1, LOCK_UPDATE), ERR_OK);
    }
    for (uint32_t i = 0; i < count; i++) {
        mark = i == 1000 ? lock_mark(&owners[0]) : mark;
        cr_assert_eq(lock_number(0, 2 * i, LOCK_UPDATE), ERR_OK);
    }
    cr_assert(owners[0].count <= LOCK_OWNER_KEYS_MAX, "%u locks are left", owners[0].count);
    cr_assert(owners[0].ranges > 0);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(lock_number(2, 2 * i, LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT, "key %u", 2 * i);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(lock_number(1, 200 * i + 1, LOCK_UPDATE), ERR_OK);
    }
    cr_assert_eq(lock_number(2, 2 * count, LOCK_UPDATE), ERR_OK);
    lock_release_to(locks, &owners[0], mark);
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(lock_number(2, 2 * i, LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT,
                     "older than the mark");
    }
    cr_assert_eq(lock_number(2, 2 * count - 2, LOCK_UPDATE), ERR_OK);
}

LOCK_TEST(a_range_grows_with_rising_keys_up_to_what_another_has)
{
    const uint32_t first = LOCK_OWNER_KEYS_MAX + 100; /* Where ranges have begun. */
    const uint32_t foreign = 3 * LOCK_OWNER_KEYS_MAX + 1000;
    const uint32_t count = 4 * LOCK_OWNER_KEYS_MAX;
    uint32_t locks_then;
    uint32_t mark;

    cr_assert_eq(lock_number(1, foreign, LOCK_UPDATE), ERR_OK);
    for (uint32_t i = 0; i < first; i++) {
        cr_assert_eq(lock_number(0, i, LOCK_UPDATE), ERR_OK);
    }
    locks_then = owners[0].count;
    mark = lock_mark(&owners[0]);
    for (uint32_t i = first; i < count; i++) {
        cr_assert_eq(lock_number(0, i, LOCK_UPDATE), i == foreign ? ERR_LOCK_TIMEOUT : ERR_OK);
        /* A few, where the first half of a key changes. */
        cr_assert(i >= foreign || owners[0].count <= locks_then + 256, "%u locks more at key %u",
                  owners[0].count - locks_then, i);
    }
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(lock_number(i == foreign ? 1 : 2, i, LOCK_KEY_SHARE),
                     i == foreign ? ERR_OK : ERR_LOCK_TIMEOUT, "key %u", i);
    }
    cr_assert_eq(lock_number(2, count + 1, LOCK_UPDATE), ERR_OK);
    cr_assert_eq(range_at_once(0, "", "", LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT);
    lock_release_to(locks, &owners[0], mark);
    for (uint32_t i = 0; i < first; i++) {
        cr_assert_eq(lock_number(2, i, LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT, "older than the mark");
    }
}

LOCK_TEST(a_transaction_of_any_size_has_a_bounded_number_of_locks)
{
    const uint32_t count = 3 * LOCK_OWNER_KEYS_MAX;

    for (uint32_t i = 0; i < count; i++) { /* In no order. */
        uint32_t number = (uint32_t)((uint64_t)i * 7919 % count);

        cr_assert_eq(lock_number(0, 2 * number, LOCK_UPDATE), ERR_OK);
        if (i % 100 == 0 && i < LOCK_OWNER_KEYS_MAX) { /* Another's between. */
            cr_assert_eq(lock_number(1, 2 * number + 1, LOCK_UPDATE), ERR_OK);
        }
    }
    cr_assert(owners[0].count <= LOCK_OWNER_KEYS_MAX + 8192);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert_eq(lock_number(2, 2 * i, LOCK_KEY_SHARE), ERR_LOCK_TIMEOUT, "key %u", 2 * i);
    }
    lock_release_all(locks, &owners[0]);
    cr_assert_eq(locks->held, owners[1].count);
    cr_assert_eq(lock_number(2, 4, LOCK_UPDATE), ERR_OK);
}

LOCK_TEST(the_limit_is_an_error_that_names_itself)
{
    locks->held += LOCKS_MAX;
    cr_assert_eq(key_at_once(0, "k", LOCK_UPDATE), ERR_LIMIT);
    cr_assert_not_null(strstr(err_message(ERR_LIMIT), "LOCKS_MAX"));
    cr_assert_eq(range_at_once(0, "k", "l", LOCK_UPDATE), ERR_LIMIT);
    locks->held -= LOCKS_MAX;
}

/* ---- Against a list of who has what. ---- */

enum { MODEL_KEYS = 12, MODEL_LOCKS = 512, MODEL_ROUNDS = 300 };

struct model_lock {
    uint32_t owner;
    uint32_t from, to; /* Numbers of keys. */
    enum lock_mode mode;
    uint32_t mark; /* The owner's before it. */
    bool is_there;
};

static struct model_lock model[MODEL_LOCKS];
static uint32_t model_deadlocks;
static uint32_t model_granted;

static bool
modes_conflict(enum lock_mode a, enum lock_mode b)
{
    enum lock_mode weak = MIN(a, b);
    enum lock_mode strong = MAX(a, b);

    return strong == LOCK_UPDATE || (strong == LOCK_NO_KEY_UPDATE && weak != LOCK_KEY_SHARE);
}

static bool
model_is_free(uint32_t owner, uint32_t from, uint32_t to, enum lock_mode mode)
{
    for (uint32_t i = 0; i < MODEL_LOCKS; i++) {
        const struct model_lock *lock = &model[i];

        if (lock->is_there && lock->owner != owner && lock->from < to && from < lock->to &&
            modes_conflict(lock->mode, mode)) {
            return false;
        }
    }
    return true;
}

static void
model_add(uint32_t owner, uint32_t from, uint32_t to, enum lock_mode mode, uint32_t mark)
{
    uint32_t i = 0;

    while (model[i].is_there) {
        i++;
        cr_assert(i < MODEL_LOCKS);
    }
    model[i] = (struct model_lock){owner, from, to, mode, mark, true};
}

static void
model_release_to(uint32_t owner, uint32_t mark)
{
    for (uint32_t i = 0; i < MODEL_LOCKS; i++) {
        if (model[i].owner == owner && model[i].mark >= mark) {
            model[i].is_there = false;
        }
    }
}

/* One transaction's life, many times: everything it gets must be free of others' locks, and it
 * always gets an answer: the lock, or a deadlock. */
static void
model_round(uint32_t owner)
{
    struct prng *prng = shard_prng();
    uint32_t from = (uint32_t)prng_below(prng, MODEL_KEYS);
    bool is_range = prng_below(prng, 8) == 0;
    uint32_t to = is_range ? from + 1 + (uint32_t)prng_below(prng, 4) : from + 1;
    enum lock_mode mode = (enum lock_mode)prng_below(prng, LOCK_MODE_COUNT);
    uint32_t mark = lock_mark(&owners[owner]);
    uint8_t start[4];
    uint8_t end[4];
    err_t err;

    if (is_range) {
        err = lock_range(locks, &owners[owner], number_key(from, start), number_key(to, end), mode,
                         LOCK_WAIT, DEADLINE_NONE);
    } else {
        err = lock_key(locks, &owners[owner], number_key(from, start), mode, LOCK_WAIT,
                       DEADLINE_NONE);
    }
    if (err == ERR_DEADLOCK) {
        model_deadlocks++;
        model_release_to(owner, 0);
        lock_release_all(locks, &owners[owner]);
        return;
    }
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    model_granted++;
    cr_assert(model_is_free(owner, from, to, mode), "owner %u was granted what another has", owner);
    if (lock_mark(&owners[owner]) > mark) {
        model_add(owner, from, to, mode, mark);
    }
    fiber_sleep_us(prng_below(prng, 200));
    if (owners[owner].count > 3 || prng_below(prng, 4) == 0) {
        uint32_t back = (uint32_t)prng_below(prng, 2) * lock_mark(&owners[owner]) / 2;

        model_release_to(owner, back);
        lock_release_to(locks, &owners[owner], back);
    }
}

static void
model_fiber(void *arg)
{
    uint32_t owner = *(const uint32_t *)arg;

    for (uint32_t i = 0; i < MODEL_ROUNDS; i++) {
        model_round(owner);
        owners[owner].txn += OWNERS;
    }
    model_release_to(owner, 0);
    lock_release_all(locks, &owners[owner]);
}

/* What is free when nobody waits must be what the list says. */
static void
model_compare(void *arg)
{
    uint8_t start[4];
    uint8_t end[4];

    (void)arg;
    for (uint32_t round = 0; round < 400; round++) {
        fiber_sleep_us(500);
        if (locks->waiting > 0) {
            continue;
        }
        for (uint32_t from = 0; from < MODEL_KEYS + 4; from++) {
            for (int mode = 0; mode < LOCK_MODE_COUNT; mode++) {
                uint32_t to = from + 1 + round % 4;

                cr_assert_eq(
                    lock_key_is_free(locks, NULL, number_key(from, start), (enum lock_mode)mode),
                    model_is_free(OWNERS, from, from + 1, (enum lock_mode)mode));
                cr_assert_eq(lock_range_is_free(locks, NULL, number_key(from, start),
                                                number_key(to, end), (enum lock_mode)mode),
                             model_is_free(OWNERS, from, to, (enum lock_mode)mode));
            }
        }
    }
}

LOCK_TEST(many_owners_agree_with_a_list_of_who_has_what)
{
    static uint32_t numbers[OWNERS];

    memset(model, 0, sizeof(model));
    for (uint32_t i = 0; i < OWNERS; i++) {
        numbers[i] = i;
        cr_assert(fiber_group_spawn(&group, "owner", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    model_fiber, &numbers[i]));
    }
    cr_assert(fiber_group_spawn(&group, "compare", FIBER_FOREGROUND, FIBER_STACK_LARGE,
                                model_compare, NULL));
    fiber_group_wait(&group);
    cr_assert(model_deadlocks > 0);
    cr_assert(model_granted > OWNERS * MODEL_ROUNDS / 2);
}
