/* The catalogue of anomalies, one by one, beside Hermitage's (test_hermitage.c): what a level
 * excludes does not happen, and what it allows is shown. docs/isolation.md has the table. */
#include <criterion/criterion.h>

#include "tests/unit/txn/sessions.h"

/* A script has a line for each command. */
/* clang-format off */

/* ---- Interactive transactions. ---- */

Test(isolation, a_dirty_delete_is_not_read)
{
    SCRIPT(
        {"1 delete x", {"ok"}},
        {"2 get x", {"10"}},
        {"2 scan", {"x=10 y=20"}},
        {"1 get x", {"none"}},
        {"1 abort", {"ok"}},
        {"2 get x", {"10"}});
}

Test(isolation, a_fuzzy_read_happens_at_read_committed_only)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 put x 11", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 get x", {"11", "10"}},
        {"1 commit", {"ok"}});
}

Test(isolation, a_phantom_comes_and_goes_at_read_committed_only)
{
    SCRIPT(
        {"1 scan", {"x=10 y=20"}},
        {"2 put z 5", {"ok"}},
        {"2 delete y", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 scan", {"x=10 z=5", "x=10 y=20"}},
        {"1 commit", {"ok"}});
}

Test(isolation, a_phantom_that_was_written_past_is_refused_at_serializable)
{
    SCRIPT(
        {"1 scan =5", {"none"}},
        {"2 put z 5", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 put w 1", {"ok"}},
        {"1 commit", {"ok", "ok", "serialization"}});
}

Test(isolation, a_delete_in_a_range_that_was_read_is_refused_at_serializable)
{
    SCRIPT(
        {"1 scan =20", {"y=20"}},
        {"2 delete y", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 put z 1", {"ok"}},
        {"1 commit", {"ok", "ok", "serialization"}});
}

Test(isolation, a_missing_key_that_was_read_and_then_made_is_refused_at_serializable)
{
    SCRIPT(
        {"1 get z", {"none"}},
        {"2 put z 5", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 put y 1", {"ok"}},
        {"1 commit", {"ok", "ok", "serialization"}});
}

Test(isolation, a_blind_write_over_a_newer_one_is_refused_from_repeatable_read_on)
{
    SCRIPT(
        {"1 get y", {"20"}},
        {"2 put x 11", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 put x 12", {"ok", "serialization"}},
        {"1 commit", {"ok", "aborted"}},
        {"3 get x", {"12", "11"}});
}

Test(isolation, who_only_reads_is_never_refused)
{
    SCRIPT(
        {"1 scan", {"x=10 y=20"}},
        {"2 put x 11", {"ok"}},
        {"2 put z 3", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 get y", {"20"}},
        {"1 commit", {"ok"}});
}

Test(isolation, who_begins_after_an_answer_sees_what_was_answered)
{
    SCRIPT(
        {"1 put y 21", {"ok"}},
        {"1 commit", {"ok"}},
        {"2 get y", {"21"}},
        {"3 get y", {"21"}},
        {"2 commit", {"ok"}},
        {"2 put x 11", {"ok"}},
        {"2 commit", {"ok"}},
        {"1 scan", {"x=11 y=21"}});
}

Test(isolation, own_writes_are_read_and_savepoints_take_them_back)
{
    SCRIPT(
        {"1 put x 1", {"ok"}},
        {"1 delete y", {"ok"}},
        {"1 scan", {"x=1"}},
        {"1 savepoint", {"ok"}},
        {"1 put x 2", {"ok"}},
        {"1 put w 3", {"ok"}},
        {"1 scan", {"w=3 x=2"}},
        {"1 rollback", {"ok"}},
        {"1 scan", {"x=1"}},
        {"1 commit", {"ok"}},
        {"2 scan", {"x=1"}});
}

Test(isolation, a_lock_taken_since_a_savepoint_goes_with_it)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"1 savepoint", {"ok"}},
        {"1 put x 11", {"ok"}},
        {"2 put x 12", {"waits"}},
        {"1 rollback", {"ok; 2: ok"}},
        {"2 commit", {"ok"}},
        {"1 commit", {"ok"}},
        {"3 get x", {"12"}});
}

Test(isolation, a_lock_that_nobody_waits_for_is_refused_at_once)
{
    SCRIPT(
        {"1 lock x", {"ok"}},
        {"2 lock x nowait", {"locked"}},
        {"1 commit", {"ok"}},
        {"3 lock x nowait", {"ok"}});
}

Test(isolation, a_deadlock_over_keys_of_all_shards_has_one_victim)
{
    SCRIPT(
        {"1 put x 1", {"ok"}},
        {"2 put y 2", {"ok"}},
        {"1 put y 1", {"waits"}},
        {"2 put x 2", {"waits"}},
        {"3 sleep 100", {"ok; 2: deadlock"}},
        {"2 abort", {"ok; 1: ok"}},
        {"1 commit", {"ok"}},
        {"3 scan", {"x=1 y=1"}});
}

Test(isolation, a_transaction_at_an_older_snapshot_reads_what_was)
{
    SCRIPT(
        {"1 get x", {"10"}},
        {"2 put x 11", {"ok"}},
        {"2 delete y", {"ok"}},
        {"2 commit", {"ok"}},
        {"3 as-of 1", {"ok"}},
        {"3 scan", {"x=10 y=20"}},
        {"3 commit", {"ok"}},
        {"3 scan", {"x=11"}});
}

Test(isolation, a_statement_that_failed_leaves_only_rollback)
{
    SCRIPT(
        {"1 lock x", {"ok"}},
        {"2 put y 5", {"ok"}},
        {"2 lock x nowait", {"locked"}},
        {"2 get y", {"aborted"}},
        {"2 commit", {"aborted"}},
        {"3 get y", {"20"}});
}

/* clang-format on */

/* ---- Auto transactions: commands. ---- */

static YIELDS void
put_at(struct txn *txn, uint16_t slot, const char *key, const char *value)
{
    txn_put(txn, slot, slice_from_text(key), slice_from_text(value), 0);
}

static YIELDS err_t
put_now(uint16_t slot, const char *key, const char *value)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    put_at(txn, slot, key, value);
    return txn_commit(&txn, NULL);
}

static YIELDS bool
is_there(struct txn *txn, uint16_t slot, const char *key)
{
    struct lsm_value value = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(txn_get(txn, slot, slice_from_text(key), &arena, &value), ERR_OK);
    arena_fini(&arena);
    return value.is_found;
}

enum { HERE = 0, THERE = 16383 };

static YIELDS err_t
command_meets_newer(void *arg)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    (void)arg;
    cr_assert(!is_there(txn, THERE, "a"));
    cr_assert(!is_there(txn, HERE, "b"));
    cr_assert_eq(put_now(HERE, "b", "1"), ERR_OK);
    put_at(txn, THERE, "c", "2");
    cr_assert_eq(txn_commit(&txn, NULL), ERR_SERIALIZATION);
    txn = txn_begin_auto(true, NULL);
    cr_assert(!is_there(txn, THERE, "c"), "a refused command must leave nothing");
    return txn_commit(&txn, NULL);
}

Test(isolation, a_command_whose_reads_have_changed_is_refused)
{
    shards_run(2, command_meets_newer, NULL);
}

static YIELDS err_t
command_writes_blindly(void *arg)
{
    struct txn *txn = txn_begin_auto(false, NULL);

    (void)arg;
    put_at(txn, HERE, "a", "1");
    put_at(txn, THERE, "b", "1");
    cr_assert_eq(put_now(HERE, "a", "2"), ERR_OK);
    cr_assert_eq(txn_commit(&txn, NULL), ERR_OK);
    txn = txn_begin_auto(true, NULL);
    cr_assert(is_there(txn, HERE, "a"));
    cr_assert(is_there(txn, THERE, "b"));
    return txn_commit(&txn, NULL);
}

Test(isolation, a_command_that_has_read_nothing_is_not_refused)
{
    shards_run(2, command_writes_blindly, NULL);
}

static YIELDS err_t
command_keeps_its_snapshot(void *arg)
{
    struct txn *txn = txn_begin_auto(true, NULL);

    (void)arg;
    cr_assert(!is_there(txn, THERE, "a"));
    cr_assert_eq(put_now(HERE, "b", "1"), ERR_OK);
    cr_assert(!is_there(txn, HERE, "b"), "one command reads one state");
    return txn_commit(&txn, NULL);
}

Test(isolation, a_command_reads_one_state_of_all_shards)
{
    shards_run(2, command_keeps_its_snapshot, NULL);
}
