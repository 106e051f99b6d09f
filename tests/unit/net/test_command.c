/* tests/unit/net/test_command.c - COMMAND, DEBUG, WAIT and what dispatch refuses. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/rt/shard.h"
#include "net/dispatch.h"
#include "tests/unit/net/net_fixture.h"

FIBER_TEST(command, info_describes_keys_flags_and_categories)
{
    net_fixture_open();
    EXPECT("*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
           "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n"
           "*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n"
           "$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n"
           "$5\r\nindex\r\n:1\r\n"
           "$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n"
           "$7\r\nlastkey\r\n:0\r\n$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n",
           "COMMAND", "INFO", "GET");
    EXPECT("*2\r\n*-1\r\n*-1\r\n", "COMMAND", "INFO", "get|key", "config|get|key");
    EXPECT_PART("+movablekeys\r\n", "COMMAND", "INFO", "zunionstore");
    EXPECT_NOT("+movablekeys\r\n", "COMMAND", "INFO", "mset", "rename", "memory|usage");
    net_fixture_close();
}

FIBER_TEST(command, legacy_key_ranges_are_those_of_redis)
{
    net_fixture_open();
    EXPECT_PART(":-3\r\n*2\r\n+write\r\n+denyoom\r\n:1\r\n:-1\r\n:2\r\n", "COMMAND", "INFO",
                "mset");
    EXPECT_PART(":1\r\n:2\r\n:1\r\n", "COMMAND", "INFO", "rename");
    EXPECT_PART(":0\r\n:0\r\n:0\r\n", "COMMAND", "INFO", "ping");
    EXPECT_PART(":1\r\n:1\r\n:1\r\n", "COMMAND", "INFO", "zunionstore");
    net_fixture_close();
}

FIBER_TEST(command, count_and_list_agree)
{
    struct slice reply;
    char expected[32];

    net_fixture_open();
    snprintf(expected, sizeof(expected), "*%u\r\n", command_ids());
    reply = CALL("COMMAND", "LIST");
    cr_assert(slice_starts_with(reply, slice_from_text(expected)));
    cr_assert_eq(NUMBER("COMMAND", "COUNT"), command_count());
    EXPECT("*2\r\n$16\r\nconfig|resetstat\r\n$14\r\nconfig|rewrite\r\n", "COMMAND", "LIST",
           "FILTERBY", "PATTERN", "config|*re*");
    EXPECT("*0\r\n", "COMMAND", "LIST", "FILTERBY", "MODULE", "none");
    EXPECT("*0\r\n", "COMMAND", "LIST", "FILTERBY", "ACLCAT", "none");
    EXPECT_PART("script|kill", "COMMAND", "LIST", "FILTERBY", "ACLCAT", "SCRIPTING");
    EXPECT("-ERR syntax error\r\n", "COMMAND", "LIST", "bad");
    EXPECT("-ERR syntax error\r\n", "COMMAND", "LIST", "FILTERBY", "bad");
    EXPECT("-ERR syntax error\r\n", "COMMAND", "LIST", "FILTERBY", "bad", "bad");
    net_fixture_close();
}

FIBER_TEST(command, docs_leave_out_what_is_no_command)
{
    net_fixture_open();
    EXPECT("*0\r\n", "COMMAND", "DOCS", "no-such-command");
    EXPECT_PART("key_spec_index", "COMMAND", "DOCS", "set");
    EXPECT_PART("subcommands", "COMMAND", "DOCS", "config");
    net_fixture_close();
}

FIBER_TEST(command, getkeys_picks_the_keys_of_any_call)
{
    net_fixture_open();
    EXPECT("*2\r\n$1\r\na\r\n$1\r\nb\r\n", "COMMAND", "GETKEYS", "mset", "a", "1", "b", "2");
    EXPECT("*3\r\n$1\r\nt\r\n$1\r\na\r\n$1\r\nb\r\n", "COMMAND", "GETKEYS", "zunionstore", "t", "2",
           "a", "b");
    EXPECT("*0\r\n", "COMMAND", "GETKEYS", "eval", "return 1", "0");
    EXPECT("-ERR Invalid command specified\r\n", "COMMAND", "GETKEYS", "no-such", "a");
    EXPECT("-ERR The command has no key arguments\r\n", "COMMAND", "GETKEYS", "ping", "a");
    EXPECT("-ERR Invalid number of arguments specified for command\r\n", "COMMAND", "GETKEYS",
           "get", "a", "b");
    EXPECT("-ERR Invalid arguments specified for command\r\n", "COMMAND", "GETKEYS", "zunionstore",
           "t", "9", "a");
    net_fixture_close();
}

FIBER_TEST(command, getkeysandflags_tells_what_this_call_does_to_its_keys)
{
    net_fixture_open();
    EXPECT("*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+OW\r\n+update\r\n", "COMMAND", "GETKEYSANDFLAGS", "set",
           "k", "get");
    EXPECT("*1\r\n*2\r\n$1\r\nk\r\n*3\r\n+RW\r\n+access\r\n+update\r\n", "COMMAND",
           "GETKEYSANDFLAGS", "set", "k", "v", "GET");
    EXPECT("*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+RO\r\n+access\r\n", "COMMAND", "GETKEYSANDFLAGS",
           "bitfield", "k", "GET", "u8", "0");
    net_fixture_close();
}

/* ---- What dispatch refuses ---- */

FIBER_TEST(dispatch, tells_unknown_absent_and_wrongly_called_commands_apart)
{
    net_fixture_open();
    EXPECT("-ERR unknown command 'nope', with args beginning with: 'a' 'b' \r\n", "nope", "a", "b");
    EXPECT("-ERR unknown subcommand 'nope'. Try CONFIG HELP.\r\n", "config", "nope");
    EXPECT("-ERR unknown command 'GET|SET', with args beginning with: \r\n", "GET|SET");
    EXPECT("-ERR wrong number of arguments for 'client|id' command\r\n", "CLIENT", "ID", "x");
    EXPECT_PART("rejected_calls=1", "INFO", "commandstats");
    for (uint32_t i = 0; i < command_count(); i++) {
        if (command_at(i)->layer == COMMAND_ABSENT && command_at(i)->arity == 1) {
            EXPECT_PART("is not supported by this version of Orbit", command_at(i)->name);
        }
    }
    net_fixture_close();
}

FIBER_TEST(dispatch, serves_nothing_but_authentication_before_it)
{
    net_fixture_options();
    fixture.options.password = "secret";
    net_fixture_open_with();
    EXPECT("-NOAUTH Authentication required.\r\n", "PING");
    EXPECT("-NOAUTH Authentication required.\r\n", "GET", "key");
    EXPECT("-WRONGPASS invalid username-password pair or user is disabled.\r\n", "AUTH", "wrong");
    EXPECT("+OK\r\n", "AUTH", "default", "secret");
    EXPECT("+PONG\r\n", "PING");
    EXPECT("+RESET\r\n", "RESET");
    EXPECT("-NOAUTH Authentication required.\r\n", "PING");
    net_fixture_close();
}

FIBER_TEST_ON(dispatch, keys_of_a_command_may_lie_on_several_shards, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2", "c", "3", "d", "4");
    EXPECT("*2\r\n$1\r\n1\r\n$1\r\n4\r\n", "MGET", "a", "d");
    EXPECT(":4\r\n", "DEL", "a", "b", "c", "d");
    EXPECT("+OK\r\n", "MSET", "{t}a", "1", "{t}b", "2");
    EXPECT("$1\r\n2\r\n", "GET", "{t}b");
    net_fixture_close();
}

/* ---- DEBUG ---- */

FIBER_TEST(debug, is_closed_without_dev_mode)
{
    net_fixture_options();
    fixture.options.dev_mode = false;
    net_fixture_open_with();
    EXPECT_PART("-ERR DEBUG command not allowed.", "DEBUG", "SLEEP", "0");
    net_fixture_close();
}

FIBER_TEST(debug, protocol_gives_each_type_in_both_versions)
{
    net_fixture_open();
    EXPECT("$39\r\nSome real reply following the attribute\r\n", "DEBUG", "PROTOCOL", "attrib");
    EXPECT(":1\r\n", "DEBUG", "PROTOCOL", "true");
    CALL("HELLO", "3");
    EXPECT("|1\r\n$14\r\nkey-popularity\r\n*2\r\n$7\r\nkey:123\r\n:90\r\n"
           "$39\r\nSome real reply following the attribute\r\n",
           "DEBUG", "PROTOCOL", "attrib");
    EXPECT("#t\r\n", "DEBUG", "PROTOCOL", "true");
    EXPECT("#f\r\n", "DEBUG", "PROTOCOL", "false");
    EXPECT("(1234567999999999999999999999999999999\r\n", "DEBUG", "PROTOCOL", "bignum");
    EXPECT("=29\r\ntxt:This is a verbatim\nstring\r\n", "DEBUG", "PROTOCOL", "verbatim");
    EXPECT("_\r\n", "DEBUG", "PROTOCOL", "null");
    EXPECT_PART("-ERR Wrong protocol type name.", "DEBUG", "PROTOCOL", "nothing");
    net_fixture_close();
}

FIBER_TEST_ON(debug, object_describes_a_key_of_any_shard, 2)
{
    net_fixture_open();
    for (int i = 0; i < 8; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key-%d", i);
        EXPECT("-ERR no such key\r\n", "DEBUG", "OBJECT", key);
        EXPECT("+OK\r\n", "SET", key, "12");
        EXPECT_PART("encoding:int", "DEBUG", "OBJECT", key);
    }
    net_fixture_close();
}

FIBER_TEST(debug, sleep_ends_when_its_time_has_come)
{
    uint64_t before_us;

    net_fixture_open();
    before_us = shard_now_us();
    EXPECT("+OK\r\n", "DEBUG", "SLEEP", "0.25");
    cr_assert_geq(shard_now_us() - before_us, 250000);
    cr_assert_lt(shard_now_us() - before_us, 400000);
    EXPECT("-ERR value is not a valid float\r\n", "DEBUG", "SLEEP", "soon");
    EXPECT("-ERR value is not a valid float\r\n", "DEBUG", "SLEEP", "-1");
    net_fixture_close();
}

FIBER_TEST_ON(debug, set_active_expire_reaches_every_shard, 2)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "DEBUG", "SET-ACTIVE-EXPIRE", "1");
    cr_assert(kv_config(net_self()->kv)->active_expire);
    EXPECT("+OK\r\n", "DEBUG", "SET-ACTIVE-EXPIRE", "0");
    cr_assert(!kv_config(net_self()->kv)->active_expire);
    EXPECT("+OK\r\n", "DEBUG", "RELOAD");
    EXPECT_PART("unknown subcommand or wrong number of arguments for 'SEGFAULT'", "DEBUG",
                "SEGFAULT");
    net_fixture_close();
}

/* ---- WAIT, WAITAOF and the rest ---- */

FIBER_TEST(server, wait_answers_at_its_timeout_since_there_are_no_replicas)
{
    uint64_t before_us;

    net_fixture_open();
    before_us = shard_now_us();
    EXPECT(":0\r\n", "WAIT", "0", "1000");
    cr_assert_lt(shard_now_us() - before_us, 100000);
    EXPECT(":0\r\n", "WAIT", "1", "1000");
    cr_assert_geq(shard_now_us() - before_us, 1000000);
    EXPECT("-ERR timeout is negative\r\n", "WAIT", "1", "-1");
    EXPECT("-ERR value is not an integer or out of range\r\n", "WAIT", "x", "1");
    net_fixture_close();
}

FIBER_TEST_ON(server, waitaof_answers_when_the_last_write_is_durable, 2)
{
    net_fixture_open();
    EXPECT("*2\r\n:1\r\n:0\r\n", "WAITAOF", "1", "0", "0");
    for (int i = 0; i < 8; i++) {
        char key[16];

        snprintf(key, sizeof(key), "key-%d", i);
        EXPECT("+OK\r\n", "SET", key, "value");
        EXPECT("*2\r\n:1\r\n:0\r\n", "WAITAOF", "1", "0", "10000");
    }
    EXPECT("-ERR value is out of range, must be between 0 and 1\r\n", "WAITAOF", "2", "0", "0");
    EXPECT("-ERR value is out of range, must be positive\r\n", "WAITAOF", "1", "-1", "0");
    net_fixture_close();
}

FIBER_TEST(server, waitaof_gives_up_at_its_timeout)
{
    net_fixture_open();
    EXPECT("+OK\r\n", "CONFIG", "SET", "appendfsync", "no");
    EXPECT("+OK\r\n", "SET", "key", "value");
    EXPECT("*2\r\n:0\r\n:0\r\n", "WAITAOF", "1", "0", "10");
    EXPECT("*2\r\n:1\r\n:0\r\n", "WAITAOF", "1", "0", "0");
    net_fixture_close();
}

FIBER_TEST(server, shutdown_refuses_options_that_exclude_each_other)
{
    net_fixture_open();
    EXPECT("-ERR syntax error\r\n", "SHUTDOWN", "SAVE", "NOSAVE");
    EXPECT("-ERR syntax error\r\n", "SHUTDOWN", "LATER");
    EXPECT("-ERR No shutdown in progress.\r\n", "SHUTDOWN", "ABORT");
    EXPECT("+OK\r\n", "FUNCTION", "FLUSH");
    EXPECT_PART("only supports SYNC|ASYNC", "FUNCTION", "FLUSH", "LATER");
    net_fixture_close();
}

FIBER_TEST_ON(client, a_pause_holds_back_writes_or_all_on_every_shard, 2)
{
    uint64_t before_us;

    net_fixture_open();
    before_us = shard_now_us();
    EXPECT("+OK\r\n", "CLIENT", "PAUSE", "200", "WRITE");
    EXPECT("+PONG\r\n", "PING");
    cr_assert_lt(shard_now_us() - before_us, 100000);
    CALL_ON(1, "SET", "key", "value");
    cr_assert_geq(shard_now_us() - before_us, 200000);
    before_us = shard_now_us();
    EXPECT("+OK\r\n", "CLIENT", "PAUSE", "200");
    EXPECT_PART("id=1 ", "CLIENT", "LIST");
    cr_assert_lt(shard_now_us() - before_us, 100000);
    EXPECT("+PONG\r\n", "PING");
    cr_assert_geq(shard_now_us() - before_us, 200000);
    EXPECT("+OK\r\n", "CLIENT", "PAUSE", "100000000");
    EXPECT("+OK\r\n", "CLIENT", "UNPAUSE");
    EXPECT("+PONG\r\n", "PING");
    net_fixture_close();
}

FIBER_TEST_ON(client, list_shows_the_sessions_of_all_shards, 3)
{
    net_fixture_open();
    CALL_ON(2, "CLIENT", "SETNAME", "third");
    EXPECT_PART("name=third ", "CLIENT", "LIST");
    EXPECT_NOT("name=third ", "CLIENT", "LIST", "ID", "1", "2");
    EXPECT("$0\r\n\r\n", "CLIENT", "LIST", "TYPE", "replica");
    EXPECT("-ERR Invalid client ID\r\n", "CLIENT", "LIST", "ID", "x");
    EXPECT("-ERR Unknown client type 'odd'\r\n", "CLIENT", "LIST", "TYPE", "odd");
    EXPECT(":0\r\n", "CLIENT", "KILL", "ID", "999");
    EXPECT("-ERR No such client\r\n", "CLIENT", "KILL", "1.2.3.4:5");
    net_fixture_close();
}
