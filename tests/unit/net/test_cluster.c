/* tests/unit/net/test_cluster.c - shards as cluster nodes; SAVE; what needs replicas. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/unit/net/net_fixture.h"

/* Slots: a 15495 and d 11298 on shard 1 of 2, b 3300 and c 7365 on shard 0. */
static void
cluster_open(void)
{
    net_fixture_options();
    fixture.options.cluster_port = 7000;
    net_fixture_open_with();
    fixture.session->is_cluster = true;
    snprintf(fixture.session->local, sizeof(fixture.session->local), "[::1]:7000");
}

FIBER_TEST_ON(cluster, a_port_serves_the_keys_of_its_shard_and_names_the_port_of_others, 2)
{
    cluster_open();
    EXPECT("+OK\r\n", "SET", "b", "1");
    EXPECT("-MOVED 15495 ::1:7001\r\n", "GET", "a");
    EXPECT("-CROSSSLOT Keys in request don't hash to the same slot\r\n", "MGET", "b", "c");
    EXPECT("-CROSSSLOT Keys in request don't hash to the same slot\r\n", "MGET", "b", "a");
    EXPECT("+OK\r\n", "MSET", "{b}1", "1", "{b}2", "2");
    EXPECT("+OK\r\n", "MULTI");
    EXPECT("-MOVED 15495 ::1:7001\r\n", "GET", "a");
    EXPECT("-EXECABORT Transaction discarded because of previous errors.\r\n", "EXEC");
    EXPECT("-ERR SELECT is not allowed in cluster mode\r\n", "SELECT", "1");
    EXPECT("+OK\r\n", "SELECT", "0");
    EXPECT("-ERR Copying to another database is not allowed in cluster mode\r\n", "COPY", "b",
           "{b}3", "DB", "1");
    EXPECT("+OK\r\n", "READONLY");
    net_fixture_close();
}

FIBER_TEST_ON(cluster, what_walks_over_keys_walks_over_those_of_its_shard, 2)
{
    cluster_open();
    fixture.session->is_cluster = false;
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3", "d", "4", "e", "5");
    EXPECT(":5\r\n", "DBSIZE");
    fixture.session->is_cluster = true;
    EXPECT(":2\r\n", "DBSIZE");
    EXPECT_NOT("a\r\n", "KEYS", "*");
    EXPECT_PART("*2\r\n$1\r\n0\r\n*2\r\n$1\r\n", "SCAN", "0");
    EXPECT("*2\r\n$1\r\n0\r\n*0\r\n", "SCAN", "3940649673949184000");
    EXPECT_NOT("$1\r\na\r\n", "RANDOMKEY");
    net_fixture_close();
}

FIBER_TEST_ON(cluster, every_slot_has_a_node, 2)
{
    cluster_open();
    EXPECT_PART("*2\r\n*3\r\n:0\r\n:8191\r\n*4\r\n$3\r\n::1\r\n:7000\r\n$40\r\n", "CLUSTER",
                "SLOTS");
    EXPECT_PART("*3\r\n:8192\r\n:16383\r\n*4\r\n$3\r\n::1\r\n:7001\r\n", "CLUSTER", "SLOTS");
    EXPECT_PART("::1:7000@0 myself,master - 0 0 1 connected 0-8191\n", "CLUSTER", "NODES");
    EXPECT_PART("slots\r\n*2\r\n:8192\r\n:16383\r\n", "CLUSTER", "SHARDS");
    EXPECT_PART("cluster_known_nodes:2\r\n", "CLUSTER", "INFO");
    EXPECT(":15495\r\n", "CLUSTER", "KEYSLOT", "a");
    EXPECT_PART("is not possible", "CLUSTER", "MEET", "1", "2");
    EXPECT("-ERR Unknown node x\r\n", "CLUSTER", "REPLICAS", "x");
    EXPECT_PART("cluster_enabled:1\r\n", "INFO", "cluster");
    net_fixture_close();
}

FIBER_TEST_ON(cluster, the_keys_of_a_slot_are_counted_and_named, 2)
{
    cluster_open();
    fixture.session->is_cluster = false;
    EXPECT("+OK\r\n", "MSET", "{a}1", "1", "{a}2", "2", "b", "3");
    EXPECT("+OK\r\n", "SET", "{a}3", "1", "PX", "1");
    cr_assert_eq(fiber_sleep_us(3000), ERR_OK);
    EXPECT(":2\r\n", "CLUSTER", "COUNTKEYSINSLOT", "15495");
    EXPECT(":1\r\n", "CLUSTER", "COUNTKEYSINSLOT", "3300");
    EXPECT("*1\r\n$1\r\nb\r\n", "CLUSTER", "GETKEYSINSLOT", "3300", "10");
    EXPECT_PART("*1\r\n$4\r\n{a}", "CLUSTER", "GETKEYSINSLOT", "15495", "1");
    EXPECT("*0\r\n", "CLUSTER", "GETKEYSINSLOT", "15495", "0");
    EXPECT("-ERR Invalid or out of range slot\r\n", "CLUSTER", "COUNTKEYSINSLOT", "16384");
    EXPECT("-ERR Invalid number of keys\r\n", "CLUSTER", "GETKEYSINSLOT", "1", "-1");
    net_fixture_close();
}

FIBER_TEST(cluster, a_plain_server_is_no_cluster)
{
    net_fixture_open();
    EXPECT("-ERR This instance has cluster support disabled\r\n", "CLUSTER", "SLOTS");
    EXPECT("-ERR This instance has cluster support disabled\r\n", "ASKING");
    EXPECT_PART("cluster_enabled:0\r\n", "INFO", "cluster");
    net_fixture_close();
}

FIBER_TEST_ON(save, a_save_writes_memory_into_tables, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "SET", "a", "1");
    EXPECT("+OK\r\n", "SAVE");
    EXPECT_PART("lsm_flushes:1\r\n", "INFO", "orbit");
    EXPECT_PART("rdb_saves:1\r\n", "INFO", "persistence");
    EXPECT("+Background saving started\r\n", "BGSAVE");
    EXPECT_PART("already in progress", "SAVE");
    cr_assert_eq(fiber_sleep_us(100000), ERR_OK);
    EXPECT_PART("rdb_bgsave_in_progress:0\r\nrdb_saves:2\r\n", "INFO", "persistence");
    EXPECT("-ERR syntax error\r\n", "BGSAVE", "x");
    EXPECT("$1\r\n1\r\n", "GET", "a");
    net_fixture_close();
}

FIBER_TEST(replication, what_needs_replicas_is_refused)
{
    net_fixture_open();
    EXPECT("*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n", "ROLE");
    EXPECT("+OK\r\n", "REPLICAOF", "NO", "ONE");
    EXPECT("-ERR Invalid master port\r\n", "REPLICAOF", "host", "x");
    EXPECT_PART("does not replicate: it cannot follow host:1", "SLAVEOF", "host", "1");
    EXPECT("-ERR FAILOVER requires connected replicas.\r\n", "FAILOVER");
    EXPECT("-ERR No failover in progress.\r\n", "FAILOVER", "ABORT");
    EXPECT_PART("does not replicate", "PSYNC", "?", "-1");
    EXPECT("*0\r\n", "MODULE", "LIST");
    EXPECT_PART("no such module", "MODULE", "UNLOAD", "x");
    EXPECT_PART("does not run MIGRATE", "MIGRATE", "host", "1", "a", "0", "10");
    net_fixture_close();
}
