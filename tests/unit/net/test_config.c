/* tests/unit/net/test_config.c - CONFIG: syntax of values, all or nothing, all shards. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/config.h"
#include "net/config_table.h"
#include "tests/unit/net/net_fixture.h"

static void
expect_value(const char *name, const char *value)
{
    char reply[512];

    snprintf(reply, sizeof(reply), "*2\r\n$%zu\r\n%s\r\n$%zu\r\n%s\r\n", strlen(name), name,
             strlen(value), value);
    EXPECT(reply, "CONFIG", "GET", name);
}

Test(config_table, is_sorted_and_has_a_reason_for_each_effect)
{
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        const struct config_parameter *parameter = &config_parameters[i];

        cr_assert(i == 0 || strcmp(config_parameters[i - 1].name, parameter->name) < 0, "%s",
                  parameter->name);
        cr_assert_not_null(parameter->reason, "%s", parameter->name);
        cr_assert_not_null(parameter->start, "%s", parameter->name);
        cr_assert_eq(config_find(slice_from_text(parameter->name)), (int32_t)i);
        cr_assert(parameter->type != CONFIG_ENUM || parameter->values != NULL, "%s",
                  parameter->name);
    }
}

FIBER_TEST(config, every_value_given_by_get_is_taken_by_set)
{
    struct config *config;
    char message[ERR_MESSAGE_BYTES_MAX];

    net_fixture_open();
    config = fixture.session->net->config;
    for (uint32_t i = 0; i < config_parameter_count; i++) {
        static struct config_change change;
        const char *text = config_text(config, i);

        if ((config_parameters[i].flags & CONFIG_IMMUTABLE) == 0) {
            cr_assert(config_check(config, i, slice_from_text(text), &change, message),
                      "%s = %s: %s", config_parameters[i].name, text, message);
            cr_assert_str_eq(change.text, text, "%s changes its form", config_parameters[i].name);
        }
    }
    net_fixture_close();
}

FIBER_TEST(config, get_gives_each_parameter_once_and_its_alias)
{
    struct slice reply;

    net_fixture_open();
    expect_value("timeout", "0");
    reply = CALL("CONFIG", "GET", "maxmemory", "maxmemory*", "*of");
    cr_assert(slice_starts_with(reply, SLICE("*14\r\n")), "%.*s", (int)reply.size, reply.data);
    EXPECT_PART("slaveof", "CONFIG", "GET", "*of");
    EXPECT_PART("replicaof", "CONFIG", "GET", "*of");
    EXPECT("*0\r\n", "CONFIG", "GET", "no-such-parameter");
    EXPECT("-ERR wrong number of arguments for 'config|get' command\r\n", "CONFIG", "GET");
    net_fixture_close();
}

FIBER_TEST(config, a_hidden_parameter_is_given_by_its_name_only)
{
    net_fixture_open();
    EXPECT_NOT("key-load-delay", "CONFIG", "GET", "*");
    EXPECT_PART("key-load-delay", "CONFIG", "GET", "key-load-delay");
    net_fixture_close();
}

FIBER_TEST(config, memory_is_read_with_units)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "client-query-buffer-limit", "10mb");
    expect_value("client-query-buffer-limit", "10485760");
    EXPECT("+OK\r\n", "CONFIG", "SET", "client-query-buffer-limit", "2M");
    expect_value("client-query-buffer-limit", "2000000");
    EXPECT_PART("argument must be a memory value", "CONFIG", "SET", "client-query-buffer-limit",
                "2x");
    EXPECT_PART("argument must be a memory value", "CONFIG", "SET", "client-query-buffer-limit",
                "99999999999999999999gb");
    expect_value("client-query-buffer-limit", "2000000");
    net_fixture_close();
}

FIBER_TEST(config, numbers_stay_within_their_bounds)
{
    net_fixture_open();
    EXPECT_PART("argument couldn't be parsed into an integer", "CONFIG", "SET", "timeout", "x");
    EXPECT_PART("argument must be between", "CONFIG", "SET", "timeout", "-1");
    EXPECT_PART("argument couldn't be parsed into an integer", "CONFIG", "SET", "timeout", "");
    EXPECT_PART("argument must be 'yes' or 'no'", "CONFIG", "SET", "latency-tracking", "maybe");
    EXPECT_PART("one of the following", "CONFIG", "SET", "maxmemory-policy", "sometimes");
    EXPECT("+OK\r\n", "CONFIG", "SET", "maxmemory-policy", "ALLKEYS-LRU");
    expect_value("maxmemory-policy", "allkeys-lru");
    net_fixture_close();
}

FIBER_TEST(config, an_output_limit_changes_only_the_classes_named)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "client-output-buffer-limit", "replica 1mb 2mb 3");
    expect_value("client-output-buffer-limit",
                 "normal 0 0 0 slave 1048576 2097152 3 pubsub 33554432 8388608 60");
    EXPECT_PART("Invalid client class", "CONFIG", "SET", "client-output-buffer-limit",
                "nobody 1 2 3");
    EXPECT_PART("Wrong number of arguments", "CONFIG", "SET", "client-output-buffer-limit",
                "normal 1 2");
    net_fixture_close();
}

FIBER_TEST(config, set_takes_all_of_a_call_or_nothing)
{
    net_fixture_open();
    EXPECT("-ERR CONFIG SET failed (possibly related to argument 'maxmemory-clients') - "
           "percentage argument must be less or equal to 100\r\n",
           "CONFIG", "SET", "timeout", "7", "maxmemory-clients", "200%", "hz", "20");
    expect_value("timeout", "0");
    expect_value("hz", "10");
    EXPECT_PART("duplicate parameter", "CONFIG", "SET", "timeout", "1", "timeout", "2");
    EXPECT_PART("duplicate parameter", "CONFIG", "SET", "hash-max-ziplist-entries", "1",
                "hash-max-listpack-entries", "2");
    EXPECT("-ERR wrong number of arguments for 'config|set' command\r\n", "CONFIG", "SET",
           "timeout", "1", "hz");
    EXPECT_PART("Unknown option", "CONFIG", "SET", "timeout", "1", "no-such", "2");
    expect_value("timeout", "0");
    net_fixture_close();
}

FIBER_TEST(config, what_would_promise_something_untrue_is_refused_unless_unchanged)
{
    net_fixture_open();
    EXPECT_PART("can't set immutable config", "CONFIG", "SET", "daemonize", "yes");
    EXPECT_PART("Unable to listen on this port", "CONFIG", "SET", "port", "6380");
    EXPECT("+OK\r\n", "CONFIG", "SET", "port", "6379");
    EXPECT("+OK\r\n", "CONFIG", "SET", "bind", "127.0.0.1");
    EXPECT_PART("Invalid event class character", "CONFIG", "SET", "notify-keyspace-events", "KQ");
    EXPECT("+OK\r\n", "CONFIG", "SET", "notify-keyspace-events", "KEA");
    EXPECT("*2\r\n$22\r\nnotify-keyspace-events\r\n$3\r\nAKE\r\n", "CONFIG", "GET",
           "notify-keyspace-events");
    net_fixture_close();
}

FIBER_TEST_ON(config, set_reaches_every_shard, 3)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "timeout", "9", "requirepass", "secret");
    for (uint32_t shard = 0; shard < 3; shard++) {
        struct slice reply = CALL_ON(shard, "CONFIG", "GET", "timeout");

        cr_assert(slice_equal(reply, SLICE("*2\r\n$7\r\ntimeout\r\n$1\r\n9\r\n")), "shard %u",
                  shard);
        reply = CALL_ON(shard, "AUTH", "wrong");
        cr_assert(slice_starts_with(reply, SLICE("-WRONGPASS")), "shard %u", shard);
        reply = CALL_ON(shard, "AUTH", "secret");
        cr_assert(slice_equal(reply, SLICE("+OK\r\n")), "shard %u", shard);
    }
    net_fixture_close();
}

FIBER_TEST(config, rewrite_says_that_there_is_no_file)
{
    net_fixture_open();
    EXPECT("-ERR The server is running without a config file\r\n", "CONFIG", "REWRITE");
    net_fixture_close();
}

FIBER_TEST_ON(config, resetstat_forgets_the_statistics_of_all_shards, 2)
{
    net_fixture_open();
    CALL_ON(1, "PING");
    CALL_ON(1, "GET");
    EXPECT_PART("cmdstat_ping:calls=1", "INFO", "commandstats");
    EXPECT_PART("errorstat_ERR:count=1", "INFO", "errorstats");
    EXPECT("+OK\r\n", "CONFIG", "RESETSTAT");
    EXPECT_NOT("cmdstat_ping", "INFO", "commandstats");
    EXPECT_NOT("errorstat_ERR", "INFO", "errorstats");
    net_fixture_close();
}
