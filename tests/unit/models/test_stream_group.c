/* Tests of models/kv/stream_group*.c, stream_claim.c, stream_read.c: consumer groups. */
#include <stdio.h>

#include "models/kv/stream.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_stream_group, .timeout = 60);

#define ENTRY_1  "*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
#define ENTRY_2  "*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
#define ENTRY_3  "*2\r\n$3\r\n3-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
#define OF_S     "*1\r\n*2\r\n$1\r\ns\r\n"
#define NO_GROUP "-NOGROUP No such key 's' or consumer group 'x'"

/* Entries 1-0 to 3-0, and a group that begins before them. */
static YIELDS void
make(void)
{
    CALL("XADD", "s", "1-0", "f", "v");
    CALL("XADD", "s", "2-0", "f", "v");
    CALL("XADD", "s", "3-0", "f", "v");
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "s", "g", "0");
}

FIBER_TEST(kv_stream_group, each_entry_goes_to_one_consumer)
{
    kv_fixture_open();
    make();
    EXPECT(OF_S "*2\r\n" ENTRY_1 ENTRY_2, "XREADGROUP", "GROUP", "g", "a", "COUNT", "2", "STREAMS",
           "s", ">");
    EXPECT(OF_S "*1\r\n" ENTRY_3, "XREADGROUP", "GROUP", "g", "b", "STREAMS", "s", ">");
    EXPECT("*-1\r\n", "XREADGROUP", "GROUP", "g", "b", "STREAMS", "s", ">");
    EXPECT(OF_S "*2\r\n" ENTRY_1 ENTRY_2, "XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0");
    EXPECT("*4\r\n:3\r\n$3\r\n1-0\r\n$3\r\n3-0\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n2\r\n"
           "*2\r\n$1\r\nb\r\n$1\r\n1\r\n",
           "XPENDING", "s", "g");
    kv_check();
    EXPECT(":1\r\n", "XACK", "s", "g", "1-0", "1-0", "9-9");
    EXPECT(OF_S "*1\r\n" ENTRY_2, "XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0");
    kv_fixture_reopen();
    EXPECT(":2\r\n", "XACK", "s", "g", "2-0", "3-0");
    EXPECT("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", "XPENDING", "s", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, noack_leaves_nothing_pending)
{
    kv_fixture_open();
    make();
    EXPECT(OF_S "*3\r\n" ENTRY_1 ENTRY_2 ENTRY_3, "XREADGROUP", "GROUP", "g", "a", "NOACK",
           "STREAMS", "s", ">");
    EXPECT("*4\r\n:0\r\n$-1\r\n$-1\r\n*-1\r\n", "XPENDING", "s", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, a_deleted_entry_stays_pending_as_its_id)
{
    kv_fixture_open();
    make();
    CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">");
    EXPECT(":1\r\n", "XDEL", "s", "2-0");
    EXPECT(OF_S "*3\r\n" ENTRY_1 "*2\r\n$3\r\n2-0\r\n*-1\r\n" ENTRY_3, "XREADGROUP", "GROUP", "g",
           "a", "STREAMS", "s", "0");
    EXPECT("*3\r\n$3\r\n0-0\r\n*2\r\n" ENTRY_1 ENTRY_3 "*1\r\n$3\r\n2-0\r\n", "XAUTOCLAIM", "s",
           "g", "b", "0", "-");
    EXPECT("*4\r\n:2\r\n$3\r\n1-0\r\n$3\r\n3-0\r\n*1\r\n*2\r\n$1\r\nb\r\n$1\r\n2\r\n", "XPENDING",
           "s", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, claims_move_entries_between_consumers)
{
    kv_fixture_open();
    make();
    CALL("XREADGROUP", "GROUP", "g", "a", "COUNT", "2", "STREAMS", "s", ">");
    EXPECT("*1\r\n" ENTRY_1, "XCLAIM", "s", "g", "b", "0", "1-0", "3-0", "9-9");
    EXPECT("*1\r\n$3\r\n3-0\r\n", "XCLAIM", "s", "g", "b", "0", "3-0", "FORCE", "JUSTID");
    EXPECT("*0\r\n", "XCLAIM", "s", "g", "c", "100000", "1-0");
    EXPECT("*1\r\n$3\r\n1-0\r\n", "XCLAIM", "s", "g", "b", "0", "1-0", "RETRYCOUNT", "7", "JUSTID");
    EXPECT("*1\r\n*4\r\n$3\r\n1-0\r\n$1\r\nb\r\n:0\r\n:7\r\n", "XPENDING", "s", "g", "-", "+", "1");
    EXPECT("*3\r\n$3\r\n2-0\r\n*1\r\n$3\r\n1-0\r\n*0\r\n", "XAUTOCLAIM", "s", "g", "c", "0", "0",
           "COUNT", "1", "JUSTID");
    EXPECT("-ERR Unrecognized XCLAIM option 'x'\r\n", "XCLAIM", "s", "g", "c", "0", "1-0", "x");
    EXPECT("-ERR COUNT must be > 0\r\n", "XAUTOCLAIM", "s", "g", "c", "0", "0", "COUNT", "0");
    EXPECT(NO_GROUP "\r\n", "XCLAIM", "s", "x", "c", "0", "1-0");
    EXPECT(NO_GROUP "\r\n", "XAUTOCLAIM", "s", "x", "c", "0", "0");
    EXPECT(NO_GROUP "\r\n", "XPENDING", "s", "x");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, groups_and_consumers_go_with_all_that_is_theirs)
{
    kv_fixture_open();
    make();
    EXPECT("-BUSYGROUP Consumer Group name already exists\r\n", "XGROUP", "CREATE", "s", "g", "0");
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "s", "h", "$");
    EXPECT(":1\r\n", "XGROUP", "CREATECONSUMER", "s", "g", "b");
    EXPECT(":0\r\n", "XGROUP", "CREATECONSUMER", "s", "g", "b");
    CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">");
    EXPECT(":3\r\n", "XGROUP", "DELCONSUMER", "s", "g", "a");
    kv_check();
    EXPECT(":0\r\n", "XGROUP", "DELCONSUMER", "s", "g", "a");
    EXPECT("+OK\r\n", "XGROUP", "SETID", "s", "g", "1");
    EXPECT(OF_S "*2\r\n" ENTRY_2 ENTRY_3, "XREADGROUP", "GROUP", "g", "b", "STREAMS", "s", ">");
    EXPECT(":1\r\n", "XGROUP", "DESTROY", "s", "g");
    EXPECT(":0\r\n", "XGROUP", "DESTROY", "s", "g");
    kv_check();
    EXPECT("-NOGROUP No such consumer group 'g' for key name 's'\r\n", "XGROUP", "SETID", "s", "g",
           "1");
    EXPECT("-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n",
           "XREADGROUP", "GROUP", "g", "b", "STREAMS", "s", ">");
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "new", "g", "$", "MKSTREAM");
    EXPECT(":0\r\n", "XLEN", "new");
    EXPECT(":2\r\n", "DEL", "s", "new");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, a_group_set_back_takes_entries_from_their_owner)
{
    kv_fixture_open();
    make();
    CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">");
    EXPECT("+OK\r\n", "XGROUP", "SETID", "s", "g", "0");
    CALL("XREADGROUP", "GROUP", "g", "b", "COUNT", "2", "STREAMS", "s", ">");
    CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">");
    EXPECT("*4\r\n:3\r\n$3\r\n1-0\r\n$3\r\n3-0\r\n*2\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n"
           "*2\r\n$1\r\nb\r\n$1\r\n2\r\n",
           "XPENDING", "s", "g");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, lag_is_known_as_long_as_nothing_is_missing)
{
    kv_fixture_open();
    make();
    CALL("XREADGROUP", "GROUP", "g", "a", "COUNT", "1", "STREAMS", "s", ">");
    EXPECT("*1\r\n*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:1\r\n"
           "$17\r\nlast-delivered-id\r\n$3\r\n1-0\r\n$12\r\nentries-read\r\n:1\r\n"
           "$3\r\nlag\r\n:2\r\n",
           "XINFO", "GROUPS", "s");
    EXPECT(":1\r\n", "XDEL", "s", "2-0");
    EXPECT("*1\r\n*12\r\n$4\r\nname\r\n$1\r\ng\r\n$9\r\nconsumers\r\n:1\r\n$7\r\npending\r\n:1\r\n"
           "$17\r\nlast-delivered-id\r\n$3\r\n1-0\r\n$12\r\nentries-read\r\n:1\r\n"
           "$3\r\nlag\r\n$-1\r\n",
           "XINFO", "GROUPS", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_stream_group, many_pending_entries_are_read_in_runs)
{
    enum { MANY = 3 * STREAM_CHUNK + 5 };
    char id[24];

    kv_fixture_open();
    for (uint32_t i = 1; i <= MANY; i++) {
        snprintf(id, sizeof(id), "%u-0", i);
        CALL("XADD", "s", id, "f", "v");
    }
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "s", "g", "0");
    CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", ">");
    cr_assert(slice_starts_with(CALL("XREADGROUP", "GROUP", "g", "a", "STREAMS", "s", "0"),
                                SLICE(OF_S "*389\r\n")));
    cr_assert(
        slice_starts_with(CALL("XPENDING", "s", "g", "-", "+", "1000", "a"), SLICE("*389\r\n")));
    cr_assert(slice_starts_with(CALL("XAUTOCLAIM", "s", "g", "b", "0", "0", "COUNT", "1000"),
                                SLICE("*3\r\n$3\r\n0-0\r\n*389\r\n")));
    EXPECT(":0\r\n", "XGROUP", "DELCONSUMER", "s", "g", "a");
    EXPECT(":389\r\n", "XGROUP", "DELCONSUMER", "s", "g", "b");
    kv_fixture_close();
}
