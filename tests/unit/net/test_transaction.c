/* Tests of net/commands_transaction.c and commands_txn.c: MULTI and WATCH as Redis answers them,
 * and interactive transactions of one and two sessions, on two shards. */
#include <stdio.h>

#include "tests/unit/net/net_fixture.h"

TestSuite(multi, .timeout = 60);
TestSuite(orbit_txn, .timeout = 60);

#define QUEUED    "+QUEUED\r\n"
#define EXECABORT "-EXECABORT Transaction discarded because of previous errors.\r\n"

/* ---- MULTI ---- */

FIBER_TEST_ON(multi, exec_runs_what_was_queued_over_all_shards, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MULTI");
    EXPECT(QUEUED, "MSET", "a", "1", "b", "2", "c", "3", "d", "4");
    EXPECT(QUEUED, "INCR", "a");
    EXPECT(QUEUED, "MGET", "a", "d");
    EXPECT(QUEUED, "DBSIZE");
    EXPECT("*4\r\n+OK\r\n:2\r\n*2\r\n$1\r\n2\r\n$1\r\n4\r\n:4\r\n", "EXEC");
    EXPECT("-ERR EXEC without MULTI\r\n", "EXEC");
    EXPECT("-ERR DISCARD without MULTI\r\n", "DISCARD");
    net_fixture_close();
}

FIBER_TEST_ON(multi, a_failed_command_changes_nothing_and_the_others_take_effect, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "text", "x");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT(QUEUED, "SET", "before", "1");
    EXPECT(QUEUED, "INCR", "text");
    EXPECT(QUEUED, "SADD", "text", "m");
    EXPECT(QUEUED, "SET", "after", "1");
    EXPECT_PART("*4\r\n+OK\r\n-ERR value is not an integer or out of range\r\n-WRONGTYPE ", "EXEC");
    EXPECT("*3\r\n$1\r\n1\r\n$1\r\nx\r\n$1\r\n1\r\n", "MGET", "before", "text", "after");
    net_fixture_close();
}

FIBER_TEST(multi, a_refused_command_discards_all)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MULTI");
    EXPECT(QUEUED, "SET", "a", "1");
    EXPECT_PART("-ERR unknown command", "NONSENSE");
    EXPECT(EXECABORT, "EXEC");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("-ERR Command not allowed inside a transaction\r\n", "SHUTDOWN");
    EXPECT(EXECABORT, "EXEC");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT_PART("-ERR wrong number of arguments", "SET", "a");
    EXPECT(EXECABORT, "EXEC");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT_PART("-ERR MULTI calls can not be nested", "MULTI");
    EXPECT_PART("-ERR WATCH inside MULTI is not allowed", "WATCH", "a");
    EXPECT(QUEUED, "GET", "a");
    EXPECT("*1\r\n$-1\r\n", "EXEC");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
           "command\r\n",
           "EXEC", "x");
    EXPECT("-ERR EXEC without MULTI\r\n", "EXEC");
    net_fixture_close();
}

FIBER_TEST_ON(multi, flushes_and_swaps_are_seen_by_what_follows, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT(QUEUED, "SWAPDB", "0", "1");
    EXPECT(QUEUED, "GET", "a");
    EXPECT(QUEUED, "SELECT", "1");
    EXPECT(QUEUED, "GET", "a");
    EXPECT(QUEUED, "FLUSHDB");
    EXPECT(QUEUED, "SET", "new", "1");
    EXPECT(QUEUED, "DBSIZE");
    EXPECT("*7\r\n+OK\r\n$-1\r\n+OK\r\n$1\r\n1\r\n+OK\r\n+OK\r\n:1\r\n", "EXEC");
    EXPECT("*1\r\n$3\r\nnew\r\n", "KEYS", "*");
    EXPECT("+OK\r\n", "SELECT", "0");
    EXPECT(":0\r\n", "DBSIZE");
    net_fixture_close();
}

/* ---- WATCH ---- */

FIBER_TEST_ON(multi, exec_runs_only_if_no_watched_key_has_changed, 2)
{
    static const char *const keys[] = {"a", "b", "c", "d"};

    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "1", "c", "1");
    for (uint32_t i = 0; i < 4; i++) {
        EXPECT("+OK\r\n", "WATCH", keys[i]);
        CALL_ON(1, "SET", keys[i], "2");
        EXPECT("+OK\r\n", "MULTI");
        EXPECT(QUEUED, "SET", keys[i], "3");
        EXPECT("*-1\r\n", "EXEC");
        EXPECT("$1\r\n2\r\n", "GET", keys[i]);
    }
    EXPECT("+OK\r\n", "WATCH", "a", "b", "missing");
    CALL_ON(1, "SET", "c", "5"); /* Another key. */
    EXPECT("+OK\r\n", "MULTI");
    EXPECT(QUEUED, "SET", "a", "3");
    EXPECT("*1\r\n+OK\r\n", "EXEC");
    EXPECT("+OK\r\n", "WATCH", "a");
    CALL_ON(1, "DEL", "a");
    EXPECT("+OK\r\n", "UNWATCH");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("*0\r\n", "EXEC");
    net_fixture_close();
}

FIBER_TEST_ON(multi, watch_covers_the_elements_of_a_collection, 2)
{
    char member[16];

    net_fixture_open();
    for (uint32_t i = 0; i < 200; i++) {
        snprintf(member, sizeof(member), "m%u", i);
        EXPECT(":1\r\n", "SADD", "s", member);
    }
    EXPECT("+OK\r\n", "WATCH", "s");
    CALL_ON(1, "SREM", "s", "m7");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("*-1\r\n", "EXEC");
    EXPECT("+OK\r\n", "WATCH", "s");
    CALL_ON(1, "SREM", "s", "m7"); /* Changes nothing. */
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("*0\r\n", "EXEC");
    net_fixture_close();
}

FIBER_TEST_ON(multi, a_key_that_expires_has_changed_and_a_stale_one_has_not, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1", "PX", "5");
    EXPECT("+OK\r\n", "WATCH", "a");
    fiber_sleep_us(20000);
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("*-1\r\n", "EXEC");
    EXPECT("+OK\r\n", "SET", "a", "1", "PX", "5");
    fiber_sleep_us(20000);
    EXPECT("+OK\r\n", "WATCH", "a");
    CALL_ON(1, "GET", "a"); /* Removes it. */
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("*0\r\n", "EXEC");
    net_fixture_close();
}

/* ---- ORBIT.BEGIN ---- */

FIBER_TEST_ON(orbit_txn, nobody_sees_it_before_the_commit_and_all_of_it_afterwards, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3", "d", "4");
    EXPECT(":2\r\n", "SADD", "s", "x", "y");
    EXPECT("$1\r\n4\r\n", "GET", "d");
    EXPECT(":5\r\n", "DBSIZE");
    cr_assert(slice_equal(CALL_ON(1, "EXISTS", "a", "b", "c", "d", "s"), SLICE(":0\r\n")));
    EXPECT("+OK\r\n", "ORBIT.COMMIT");
    cr_assert(slice_equal(CALL_ON(1, "EXISTS", "a", "b", "c", "d", "s"), SLICE(":5\r\n")));
    EXPECT("-ERR no transaction is open\r\n", "ORBIT.COMMIT");
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "READ", "COMMITTED");
    EXPECT(":5\r\n", "DEL", "a", "b", "c", "d", "s");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    EXPECT(":5\r\n", "DBSIZE");
    net_fixture_close();
}

FIBER_TEST_ON(orbit_txn, a_refused_command_leaves_it_open_and_a_conflict_ends_it, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "REPEATABLE", "READ");
    EXPECT("+OK\r\n", "SET", "mine", "1");
    EXPECT_PART("-WRONGTYPE", "SADD", "mine", "m");
    EXPECT_PART("-ERR", "FLUSHALL");
    CALL_ON(1, "SET", "other", "1");
    EXPECT_PART("-CONFLICT", "SET", "other", "2");
    EXPECT_PART("-TXNABORTED", "SET", "mine", "2");
    cr_assert(slice_equal(CALL_ON(1, "EXISTS", "mine"), SLICE(":0\r\n")));
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    EXPECT("+OK\r\n", "SET", "mine", "3");
    net_fixture_close();
}

FIBER_TEST_ON(orbit_txn, a_serializable_one_is_refused_when_what_it_read_was_written, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "1");
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "SERIALIZABLE");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT("+OK\r\n", "SET", "b", "2");
    CALL_ON(1, "SET", "a", "2");
    EXPECT_PART("-CONFLICT", "ORBIT.COMMIT");
    EXPECT("$1\r\n1\r\n", "GET", "b");
    net_fixture_close();
}

FIBER_TEST_ON(orbit_txn, another_session_joins_and_commits, 2)
{
    char token[TXN_TOKEN_BYTES + 1] = "";
    struct slice reply;

    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "SET", "a", "1");
    reply = CALL("ORBIT.TXN", "TOKEN");
    cr_assert_gt(reply.size, TXN_TOKEN_BYTES + 5);
    memcpy(token, reply.data + 5, TXN_TOKEN_BYTES);
    cr_assert(slice_equal(CALL_ON(1, "ORBIT.TXN", "JOIN", token), SLICE("+OK\r\n")));
    cr_assert(slice_equal(CALL_ON(1, "GET", "a"), SLICE("$1\r\n1\r\n")));
    cr_assert(slice_equal(CALL_ON(1, "SET", "b", "2"), SLICE("+OK\r\n")));
    EXPECT("$1\r\n2\r\n", "GET", "b");
    cr_assert(slice_equal(CALL_ON(1, "ORBIT.COMMIT"), SLICE("+OK\r\n")));
    cr_assert(slice_equal(CALL_ON(1, "EXISTS", "a", "b"), SLICE(":2\r\n")));
    EXPECT_PART("-TXNABORTED", "GET", "a");
    EXPECT("+OK\r\n", "ORBIT.ROLLBACK");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT_PART("-", "ORBIT.TXN", "JOIN", token);
    net_fixture_close();
}

FIBER_TEST_ON(orbit_txn, leaving_rolls_back, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "ORBIT.BEGIN");
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT("+RESET\r\n", "RESET");
    EXPECT("$-1\r\n", "GET", "a");
    cr_assert(slice_equal(CALL_ON(1, "SET", "a", "2"), SLICE("+OK\r\n"))); /* No lock is left. */
    EXPECT("+OK\r\n", "ORBIT.BEGIN"); /* Rolled back by the end of the session. */
    EXPECT("+OK\r\n", "SET", "a", "3");
    net_fixture_close();
}

FIBER_TEST_ON(orbit_txn, a_read_only_one_and_the_past_refuse_writes, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT("+OK\r\n", "ORBIT.BEGIN", "READ", "ONLY");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    CALL_ON(1, "SET", "a", "2");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT_PART("-READONLY", "SET", "a", "3");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT("+OK\r\n", "ORBIT.COMMIT");
    EXPECT("$1\r\n2\r\n", "GET", "a");
    EXPECT_PART("-ERR", "ORBIT.ASOF", "soon");
    EXPECT_PART("-ERR", "ORBIT.ASOF", "99999999999999");
    EXPECT("+OK\r\n", "ORBIT.ASOF", "LATEST");
    EXPECT("$1\r\n2\r\n", "GET", "a");
    net_fixture_close();
}

FIBER_TEST(maxmemory, what_may_need_memory_is_refused_when_there_is_none)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "SET", "b", "1");
    cr_assert_str_eq((const char *)CALL_ON(0, "GET", "a").data, "+QUEUED\r\n");
    kv_config(net_self()->kv)->memory_bytes_max = 1;
    EXPECT("-EXECABORT Transaction discarded because of: OOM command not allowed when used memory "
           "> 'maxmemory'.\r\n",
           "EXEC");
    EXPECT("-OOM command not allowed when used memory > 'maxmemory'.\r\n", "SET", "a", "1");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("+QUEUED\r\n", "DEL", "a");
    EXPECT("*1\r\n:1\r\n", "EXEC");
    EXPECT("+OK\r\n", "CONFIG", "SET", "maxmemory", "1mb");
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT_PART("maxmemory_counted:1090\r\n", "INFO", "memory");
    EXPECT("+OK\r\n", "CONFIG", "SET", "maxmemory", "1100", "maxmemory-policy", "allkeys-lru");
    EXPECT("+OK\r\n", "SET", "b", "1");
    EXPECT("+OK\r\n", "SET", "c", "1");
    EXPECT(":2\r\n", "DBSIZE"); /* What was too much went before SET c. */
    EXPECT_PART("evicted_keys:1\r\n", "INFO", "stats");
    net_fixture_close();
}
