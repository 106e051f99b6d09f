/* tests/unit/net/test_txns.c - ORBIT.TXNS and the counters of transactions in INFO. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "tests/unit/net/net_fixture.h"
#include "txn/txn.h"

static struct txn *
opened(enum txn_isolation isolation, const char *principal)
{
    struct txn_options options = {.isolation = isolation,
                                  .principal = slice_from_text(principal),
                                  .protocol = slice_from_text("redis")};
    struct txn *txn = NULL;

    cr_assert_eq(txn_begin(&options, &txn), ERR_OK);
    cr_assert_eq(txn_statement(txn, false), ERR_OK);
    return txn;
}

FIBER_TEST(txns, an_idle_server_has_none)
{
    net_fixture_open();
    EXPECT("*0\r\n", "ORBIT.TXNS");
    EXPECT_PART("txn_open:0\r\n", "INFO", "orbit");
    EXPECT_PART("txn_oldest_snapshot_age_us:0\r\n", "INFO", "orbit");
    EXPECT_PART("wrong number of arguments", "ORBIT.TXNS", "x");
    net_fixture_close();
}

FIBER_TEST(txns, what_is_open_is_told_with_what_it_holds)
{
    struct slice key = slice_from_text("\x02\0\0\0\0k");
    struct txn *first, *second;

    net_fixture_open();
    first = opened(TXN_REPEATABLE_READ, "ann");
    cr_assert_eq(fiber_sleep_us(3000), ERR_OK);
    second = opened(TXN_READ_COMMITTED, "ben");
    key.size = 6;
    txn_put(second, slot_of_key(key), key, slice_from_text("v"), 0);
    cr_assert_eq(txn_flush(second), ERR_OK);
    EXPECT_PART("*2\r\n*32\r\n", "ORBIT.TXNS");
    EXPECT_PART("$9\r\nprincipal\r\n$3\r\nann\r\n", "ORBIT.TXNS");
    EXPECT_PART("$9\r\nprincipal\r\n$3\r\nben\r\n", "ORBIT.TXNS");
    EXPECT_PART("$9\r\nisolation\r\n$15\r\nrepeatable read\r\n", "ORBIT.TXNS");
    /* The older snapshot holds the horizon, the other does not. */
    EXPECT_PART("$13\r\nholds_horizon\r\n:1\r\n$10\r\nstatements\r\n:1\r\n$6\r\nwrites\r\n:0\r\n",
                "ORBIT.TXNS");
    EXPECT_PART("$13\r\nholds_horizon\r\n:0\r\n$10\r\nstatements\r\n", "ORBIT.TXNS");
    EXPECT_PART("txn_open:2\r\n", "INFO", "orbit");
    EXPECT_PART("txn_locks_held:1\r\n", "INFO", "orbit");
    EXPECT_NOT("txn_oldest_snapshot_age_us:0\r\n", "INFO", "orbit");
    txn_abort(&first);
    cr_assert_eq(txn_commit(&second, NULL), ERR_OK);
    EXPECT("*0\r\n", "ORBIT.TXNS");
    EXPECT_PART("txn_begun:2\r\ntxn_committed:1\r\ntxn_aborted:1\r\n", "INFO", "orbit");
    net_fixture_close();
}

FIBER_TEST_ON(txns, those_of_all_shards_are_listed_oldest_first, 2)
{
    struct txn *mine;
    struct slice reply;

    net_fixture_open();
    mine = opened(TXN_SERIALIZABLE, "here");
    reply = CALL_ON(1, "ORBIT.TXNS");
    cr_assert(slice_starts_with(reply, slice_from_text("*1\r\n*32\r\n$2\r\nid\r\n")));
    txn_abort(&mine);
    net_fixture_close();
}

FIBER_TEST_ON(txns, what_a_transaction_holds_elsewhere_counts, 2)
{
    static const char *const keys[] = {"\x02\0\0\0\0a", "\x02\0\0\0\0b"};
    static const uint16_t slots[] = {0, SLOT_COUNT - 1};
    struct txn *txn;

    net_fixture_open();
    txn = opened(TXN_REPEATABLE_READ, "ann");
    for (int i = 0; i < 2; i++) {
        txn_put(txn, slots[i], slice_of(keys[i], 6), slice_from_text("v"), 0);
    }
    EXPECT_PART("$6\r\nwrites\r\n:2\r\n", "ORBIT.TXNS");
    cr_assert_eq(txn_flush(txn), ERR_OK);
    EXPECT_PART("$6\r\nwrites\r\n:2\r\n", "ORBIT.TXNS");
    EXPECT_PART("$5\r\nlocks\r\n:2\r\n", "ORBIT.TXNS");
    txn_abort(&txn);
    net_fixture_close();
}
