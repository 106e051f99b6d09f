/* tests/unit/net/test_monitor.c - SLOWLOG, LATENCY, INFO and MEMORY over several shards. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/rt/msg.h"
#include "net/monitor.h"
#include "net/totals.h"
#include "tests/unit/net/net_fixture.h"

/* ---- Slow log ---- */

FIBER_TEST(slowlog, keeps_the_newest_and_shrinks_with_its_bound)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "0", "slowlog-max-len", "5");
    for (int i = 0; i < 20; i++) {
        CALL("PING");
    }
    EXPECT(":5\r\n", "SLOWLOG", "LEN");
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-max-len", "2");
    EXPECT(":2\r\n", "SLOWLOG", "LEN");
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "-1");
    EXPECT("+OK\r\n", "SLOWLOG", "RESET");
    EXPECT(":0\r\n", "SLOWLOG", "LEN");
    EXPECT("*0\r\n", "SLOWLOG", "GET");
    net_fixture_close();
}

FIBER_TEST(slowlog, cuts_long_calls_short)
{
    struct slice words[40];
    char text[200];

    net_fixture_open();
    memset(text, 'x', sizeof(text));
    words[0] = SLICE("EXISTS");
    for (uint32_t i = 1; i < 40; i++) {
        words[i] = slice_of(text, i == 1 ? 200 : 1);
    }
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "0");
    EXPECT("+OK\r\n", "SLOWLOG", "RESET");
    net_call(words, 40);
    EXPECT_PART("*32\r\n$6\r\nEXISTS\r\n", "SLOWLOG", "GET", "2");
    EXPECT_PART("... (72 more bytes)", "SLOWLOG", "GET", "-1");
    EXPECT_PART("... (9 more arguments)", "SLOWLOG", "GET", "-1");
    EXPECT("-ERR count should be greater than or equal to -1\r\n", "SLOWLOG", "GET", "-2");
    net_fixture_close();
}

FIBER_TEST(slowlog, keeps_passwords_out)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "0");
    CALL("CONFIG", "SET", "requirepass", "hunter2");
    CALL("AUTH", "hunter2");
    CALL("HELLO", "2", "AUTH", "default", "hunter2");
    EXPECT_PART("(redacted)", "SLOWLOG", "GET", "-1");
    EXPECT_NOT("hunter2", "SLOWLOG", "GET", "-1");
    net_fixture_close();
}

FIBER_TEST_ON(slowlog, merges_the_shards_newest_first, 3)
{
    const char *first;
    const char *second;
    struct slice reply;

    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "0");
    EXPECT("+OK\r\n", "SLOWLOG", "RESET");
    CALL_ON(2, "ECHO", "older");
    cr_assert_eq(fiber_sleep_us(1000), ERR_OK);
    CALL_ON(1, "ECHO", "newer");
    reply = CALL("SLOWLOG", "GET", "-1");
    first = strstr((const char *)reply.data, "newer");
    second = strstr((const char *)reply.data, "older");
    cr_assert_not_null(first);
    cr_assert_not_null(second);
    cr_assert_lt(first, second);
    EXPECT("+OK\r\n", "CONFIG", "SET", "slowlog-log-slower-than", "-1", "slowlog-max-len", "1");
    EXPECT(":1\r\n", "SLOWLOG", "LEN");
    net_fixture_close();
}

/* ---- Latency ---- */

FIBER_TEST(latency, a_second_has_one_sample_its_worst)
{
    const struct latency_event *event;

    net_fixture_open();
    latency_note(net_self(), "command", 5);
    latency_note(net_self(), "command", 9);
    latency_note(net_self(), "command", 7);
    event = latency_find(net_self()->latency, SLICE("COMMAND"));
    cr_assert_not_null(event);
    cr_assert_leq(event->count, 2); /* The second may have changed in between. */
    cr_assert_eq(event->max_ms, 9);
    cr_assert_eq(event->seen, 3);
    net_fixture_close();
}

FIBER_TEST(latency, the_ring_keeps_the_newest_samples)
{
    net_fixture_open();
    for (uint64_t i = 1; i <= LATENCY_SAMPLES_MAX + 5; i++) {
        latency_note(net_self(), "command", i);
        cr_assert_eq(fiber_sleep_us(1000000), ERR_OK);
    }
    EXPECT_PART("*160\r\n", "LATENCY", "HISTORY", "command");
    cr_assert_eq(latency_sample_at(&net_self()->latency->events[0], 0)->ms, 6);
    EXPECT_PART(":165\r\n:165\r\n", "LATENCY", "LATEST");
    EXPECT_PART("high 165 ms, low 86 ms (all time high 165 ms)", "LATENCY", "GRAPH", "command");
    EXPECT(":1\r\n", "LATENCY", "RESET", "command", "no-such-event");
    EXPECT("*0\r\n", "LATENCY", "HISTORY", "command");
    EXPECT("-ERR No samples available for event 'command'\r\n", "LATENCY", "GRAPH", "command");
    net_fixture_close();
}

static YIELDS void
note_here(void *arg)
{
    latency_note(net_self(), "command", *(const uint64_t *)arg);
}

FIBER_TEST_ON(latency, samples_of_all_shards_are_one_history, 2)
{
    uint64_t slow = 30;
    uint64_t slower = 40;

    net_fixture_open();
    msg_call(1, MSG_FIBER, note_here, &slow);
    cr_assert_eq(fiber_sleep_us(2000000), ERR_OK);
    msg_call(0, MSG_FIBER, note_here, &slower);
    EXPECT_PART("*2\r\n*2\r\n", "LATENCY", "HISTORY", "command");
    EXPECT_PART(":40\r\n:40\r\n", "LATENCY", "LATEST");
    EXPECT(":1\r\n", "LATENCY", "RESET");
    EXPECT(":0\r\n", "LATENCY", "RESET");
    EXPECT("*0\r\n", "LATENCY", "LATEST");
    net_fixture_close();
}

FIBER_TEST(latency, kinds_of_events_are_bounded)
{
    net_fixture_open();
    for (int i = 0; i < 2 * LATENCY_EVENTS_MAX; i++) {
        char name[32];

        snprintf(name, sizeof(name), "event-%d", i);
        latency_note(net_self(), name, 1);
    }
    cr_assert_eq(net_self()->latency->event_count, LATENCY_EVENTS_MAX);
    net_fixture_close();
}

FIBER_TEST_ON(latency, histograms_add_up_over_shards, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "RESETSTAT");
    CALL_ON(0, "PING");
    CALL_ON(1, "PING");
    CALL_ON(1, "CLIENT", "ID");
    EXPECT_PART("$4\r\nping\r\n*4\r\n$5\r\ncalls\r\n:2\r\n", "LATENCY", "HISTOGRAM", "ping",
                "no-such-command");
    EXPECT_PART("$9\r\nclient|id\r\n", "LATENCY", "HISTOGRAM", "client");
    EXPECT_NOT("client|info", "LATENCY", "HISTOGRAM", "client");
    net_fixture_close();
}

Test(totals, counts_below_a_power_of_two_are_exact)
{
    static struct hist hist;

    hist_record(&hist, 1023);
    hist_record(&hist, 1024);
    hist_record(&hist, 3);
    cr_assert_eq(totals_count_below(&hist, 2), 1);
    cr_assert_eq(totals_count_below(&hist, 10), 2);
    cr_assert_eq(totals_count_below(&hist, 11), 3);
    cr_assert_eq(totals_count_below(&hist, 63), 3);
}

/* ---- INFO, MEMORY ---- */

FIBER_TEST_ON(info, adds_up_the_shards, 3)
{
    net_fixture_open();
    CALL_ON(0, "SET", "{a}key", "value");
    CALL_ON(1, "SET", "{b}key", "value");
    CALL_ON(2, "SET", "{c}key", "value", "EX", "100");
    EXPECT_PART("db0:keys=3,expires=1,avg_ttl=0\r\n", "INFO", "keyspace");
    EXPECT_PART("connected_clients:3\r\n", "INFO", "clients");
    EXPECT_PART("cmdstat_set:calls=3,", "INFO", "commandstats");
    EXPECT_PART("shards:3\r\n", "INFO", "orbit");
    net_fixture_close();
}

FIBER_TEST(info, gives_the_sections_asked_for_once)
{
    struct slice reply;

    net_fixture_open();
    EXPECT_NOT("# Commandstats", "INFO");
    EXPECT_NOT("# Commandstats", "INFO", "default");
    EXPECT_PART("# Commandstats", "INFO", "default", "COMMANDSTATS");
    EXPECT_NOT("# Modules", "INFO", "all");
    EXPECT_PART("# Modules", "INFO", "everything");
    EXPECT("$0\r\n\r\n", "INFO", "no-such-section");
    reply = CALL("INFO", "cpu", "CPU", "cpu");
    cr_assert_null(strstr(strstr((const char *)reply.data, "# CPU") + 1, "# CPU"));
    EXPECT_PART("redis_version:7.2.0\r\n", "INFO", "server");
    net_fixture_close();
}

FIBER_TEST_ON(memory, stats_name_the_parts_of_the_budget, 2)
{
    net_fixture_open();
    EXPECT_PART("orbit.memtables", "MEMORY", "STATS");
    EXPECT_PART("of the budget are in use", "MEMORY", "DOCTOR");
    EXPECT_PART("latency-monitor-threshold is 0", "LATENCY", "DOCTOR");
    net_fixture_close();
}
