/* Tests of models/kv/stream*.c: entries, ids, ranges, trimming, DUMP and RESTORE. Groups and
 * waiting: test_stream_group.c. */
#include <stdio.h>

#include "models/kv/stream.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_stream, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define INVALID   "-ERR Invalid stream ID specified as stream command argument\r\n"
#define SMALLER                                                                                    \
    "-ERR The ID specified in XADD is equal or smaller than the target stream top item\r\n"
#define ENTRY_1 "*2\r\n$3\r\n1-1\r\n*2\r\n$1\r\nf\r\n$1\r\na\r\n"
#define ENTRY_2 "*2\r\n$3\r\n2-0\r\n*2\r\n$1\r\nf\r\n$1\r\nb\r\n"
#define ENTRY_3 "*2\r\n$3\r\n3-0\r\n*4\r\n$1\r\nf\r\n$1\r\nc\r\n$1\r\ng\r\n$0\r\n\r\n"

enum { TEXT_BYTES = 24 };

static YIELDS void
add_three(const char *key)
{
    EXPECT("$3\r\n1-1\r\n", "XADD", key, "1-1", "f", "a");
    EXPECT("$3\r\n2-0\r\n", "XADD", key, "2-*", "f", "b");
    EXPECT("$3\r\n3-0\r\n", "XADD", key, "3", "f", "c", "g", "");
}

/* Entries 1-0 up to count-0. */
static YIELDS void
add_many(const char *key, uint32_t count)
{
    for (uint32_t i = 1; i <= count; i++) {
        char id[TEXT_BYTES];

        snprintf(id, sizeof(id), "%u-0", i);
        CALL("XADD", key, id, "f", "v");
    }
}

/* ---- Entries ---- */

FIBER_TEST(kv_stream, entries_come_back_in_the_order_of_their_ids)
{
    kv_fixture_open();
    add_three("s");
    EXPECT(":3\r\n", "XLEN", "s");
    EXPECT("+stream\r\n", "TYPE", "s");
    EXPECT("$6\r\nstream\r\n", "OBJECT", "ENCODING", "s");
    EXPECT("*3\r\n" ENTRY_1 ENTRY_2 ENTRY_3, "XRANGE", "s", "-", "+");
    EXPECT("*3\r\n" ENTRY_3 ENTRY_2 ENTRY_1, "XREVRANGE", "s", "+", "-");
    EXPECT("*1\r\n" ENTRY_2, "XRANGE", "s", "(1-1", "(3-0");
    EXPECT("*2\r\n" ENTRY_1 ENTRY_2, "XRANGE", "s", "1", "2");
    EXPECT("*1\r\n" ENTRY_3, "XREVRANGE", "s", "+", "-", "COUNT", "1");
    EXPECT("*-1\r\n", "XRANGE", "s", "-", "+", "COUNT", "0");
    EXPECT("*0\r\n", "XRANGE", "s", "5", "4");
    EXPECT("*0\r\n", "XRANGE", "none", "-", "+");
    kv_fixture_reopen();
    EXPECT("*3\r\n" ENTRY_1 ENTRY_2 ENTRY_3, "XRANGE", "s", "-", "+");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, ids_grow_and_are_refused_otherwise)
{
    kv_fixture_open();
    EXPECT("-ERR The ID specified in XADD must be greater than 0-0\r\n", "XADD", "s", "0-0", "f",
           "v");
    EXPECT(":0\r\n", "EXISTS", "s");
    EXPECT("$3\r\n0-1\r\n", "XADD", "s", "0-*", "f", "v");
    EXPECT("$3\r\n0-2\r\n", "XADD", "s", "0-*", "f", "v");
    EXPECT(SMALLER, "XADD", "s", "0-2", "f", "v");
    EXPECT(INVALID, "XADD", "s", "x", "f", "v");
    EXPECT(INVALID, "XADD", "s", "1-x", "f", "v");
    EXPECT(INVALID, "XADD", "s", "-", "f", "v");
    EXPECT(INVALID, "XADD", "s", "18446744073709551616", "f", "v");
    EXPECT("-ERR wrong number of arguments for 'xadd' command\r\n", "XADD", "s", "*", "f", "v",
           "g");
    EXPECT("$41\r\n18446744073709551615-18446744073709551615\r\n", "XADD", "s",
           "18446744073709551615-18446744073709551615", "f", "v");
    EXPECT("-ERR The stream has exhausted the last possible ID, unable to add more items\r\n",
           "XADD", "s", "*", "f", "v");
    EXPECT(":3\r\n", "XLEN", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, an_id_of_the_clock_never_goes_back)
{
    kv_fixture_open();
    EXPECT("$15\r\n9999999999999-5\r\n", "XADD", "s", "9999999999999-5", "f", "v");
    EXPECT("$15\r\n9999999999999-6\r\n", "XADD", "s", "*", "f", "v");
    EXPECT("$-1\r\n", "XADD", "none", "NOMKSTREAM", "*", "f", "v");
    EXPECT(":0\r\n", "EXISTS", "none");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, a_stream_outlives_its_entries)
{
    kv_fixture_open();
    add_three("s");
    EXPECT(":2\r\n", "XDEL", "s", "1-1", "3-0", "7-7", "1-1");
    EXPECT("*1\r\n" ENTRY_2, "XRANGE", "s", "-", "+");
    EXPECT(":1\r\n", "XDEL", "s", "2");
    EXPECT(":0\r\n", "XLEN", "s");
    EXPECT(":1\r\n", "EXISTS", "s");
    EXPECT("*0\r\n", "XRANGE", "s", "-", "+");
    kv_check();
    EXPECT(SMALLER, "XADD", "s", "3-0", "f", "v");
    EXPECT("$3\r\n3-1\r\n", "XADD", "s", "3-*", "f", "v");
    EXPECT(":1\r\n", "DEL", "s");
    EXPECT("$3\r\n1-1\r\n", "XADD", "s", "1-1", "f", "v");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, other_types_are_refused)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "k", "v");
    EXPECT(WRONGTYPE, "XADD", "k", "*", "f", "v");
    EXPECT(WRONGTYPE, "XLEN", "k");
    EXPECT(WRONGTYPE, "XRANGE", "k", "-", "+");
    EXPECT(WRONGTYPE, "XREAD", "STREAMS", "k", "0");
    EXPECT(WRONGTYPE, "XDEL", "k", "1");
    EXPECT(WRONGTYPE, "XTRIM", "k", "MAXLEN", "1");
    EXPECT("+OK\r\n", "MSET", "a", "1", "b", "2");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, large_values_come_back_whole)
{
    enum { LARGE = 200000 };
    static char value[LARGE + 1];
    struct slice reply;

    kv_fixture_open();
    for (uint32_t i = 0; i < LARGE; i++) {
        value[i] = (char)('a' + i % 26);
    }
    EXPECT("$3\r\n1-0\r\n", "XADD", "s", "1-0", "f", value);
    EXPECT("$3\r\n2-0\r\n", "XADD", "s", "2-0", "f", "b");
    reply = CALL("XRANGE", "s", "-", "+");
    cr_assert_gt(reply.size, LARGE);
    cr_assert_not_null(memmem(reply.data, reply.size, value, LARGE));
    EXPECT(":1\r\n", "XDEL", "s", "1-0");
    EXPECT("*1\r\n" ENTRY_2, "XRANGE", "s", "-", "+");
    kv_fixture_close();
}

/* ---- XREAD ---- */

FIBER_TEST(kv_stream, xread_gives_what_lies_behind_an_id)
{
    kv_fixture_open();
    add_three("s");
    EXPECT("*1\r\n*2\r\n$1\r\ns\r\n*2\r\n" ENTRY_2 ENTRY_3, "XREAD", "STREAMS", "s", "1-1");
    EXPECT("*1\r\n*2\r\n$1\r\ns\r\n*1\r\n" ENTRY_1, "XREAD", "COUNT", "1", "STREAMS", "s",
           "none{s}", "0", "0");
    EXPECT("*-1\r\n", "XREAD", "STREAMS", "s", "$");
    EXPECT("*-1\r\n", "XREAD", "BLOCK", "1", "STREAMS", "s", "3-0"); /* It may not wait here. */
    EXPECT("-ERR timeout is negative\r\n", "XREAD", "BLOCK", "-1", "STREAMS", "s", "$");
    EXPECT("-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be "
           "specified.\r\n",
           "XREAD", "STREAMS", "s", "t", "0");
    EXPECT("-ERR syntax error\r\n", "XREAD", "COUNT", "1", "STREAMS");
    fixture.resp = 3;
    EXPECT("%1\r\n$1\r\ns\r\n*1\r\n" ENTRY_3, "XREAD", "STREAMS", "s", "2");
    EXPECT("_\r\n", "XREAD", "STREAMS", "s", "9");
    kv_fixture_close();
}

/* ---- Trimming ---- */

FIBER_TEST(kv_stream, exact_trimming_leaves_exactly_what_was_asked)
{
    kv_fixture_open();
    add_many("s", 300);
    EXPECT(":290\r\n", "XTRIM", "s", "MAXLEN", "10"); /* By one range delete. */
    EXPECT(":10\r\n", "XLEN", "s");
    kv_check();
    EXPECT(":3\r\n", "XTRIM", "s", "MINID", "294");
    EXPECT(":0\r\n", "XTRIM", "s", "MINID", "294");
    EXPECT("$5\r\n301-0\r\n", "XADD", "s", "MAXLEN", "=", "2", "301", "f", "v");
    EXPECT("*2\r\n*2\r\n$5\r\n300-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n"
           "*2\r\n$5\r\n301-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
           "XRANGE", "s", "-", "+");
    EXPECT("$5\r\n302-0\r\n", "XADD", "s", "MAXLEN", "0", "302", "f", "v");
    EXPECT(":0\r\n", "XLEN", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, rough_trimming_removes_whole_nodes)
{
    kv_fixture_open();
    add_many("s", 250); /* Nodes of 100, 100, 50. */
    EXPECT(":100\r\n", "XTRIM", "s", "MAXLEN", "~", "120");
    EXPECT(":0\r\n", "XTRIM", "s", "MAXLEN", "~", "60");
    EXPECT(":0\r\n", "XTRIM", "s", "MINID", "~", "200");
    EXPECT(":0\r\n", "XTRIM", "s", "MINID", "~", "201", "LIMIT", "99");
    EXPECT(":100\r\n", "XTRIM", "s", "MINID", "~", "201", "LIMIT", "100");
    EXPECT(":50\r\n", "XLEN", "s");
    EXPECT(":50\r\n", "XTRIM", "s", "MAXLEN", "~", "0");
    kv_check();
    EXPECT("-ERR syntax error, LIMIT cannot be used without the special ~ option\r\n", "XTRIM", "s",
           "MAXLEN", "1", "LIMIT", "1");
    EXPECT("-ERR syntax error, MAXLEN and MINID options at the same time are not compatible\r\n",
           "XTRIM", "s", "MAXLEN", "1", "MINID", "1");
    EXPECT("-ERR syntax error, XTRIM must be called with a trimming strategy\r\n", "XTRIM", "s",
           "LIMIT", "0");
    EXPECT("-ERR The MAXLEN argument must be >= 0.\r\n", "XTRIM", "s", "MAXLEN", "-1");
    kv_fixture_close();
}

/* ---- The whole key ---- */

/* The payload in a reply of DUMP. */
static struct slice
payload_of(struct slice reply)
{
    const uint8_t *start = (const uint8_t *)memchr(reply.data, '\n', reply.size) + 1;

    return slice_of(start, reply.size - (size_t)(start - reply.data) - 2 /* line end */);
}

FIBER_TEST(kv_stream, xsetid_never_puts_the_last_id_below_an_entry)
{
    kv_fixture_open();
    EXPECT("-ERR no such key\r\n", "XSETID", "s", "1");
    add_three("s");
    EXPECT("-ERR The ID specified in XSETID is smaller than the target stream top item\r\n",
           "XSETID", "s", "2");
    EXPECT("+OK\r\n", "XSETID", "s", "9-9", "ENTRIESADDED", "100", "MAXDELETEDID", "1-1");
    EXPECT(SMALLER, "XADD", "s", "9-9", "f", "v");
    EXPECT(":1\r\n", "XDEL", "s", "3-0");
    EXPECT("+OK\r\n", "XSETID", "s", "2-5"); /* Only what is there counts. */
    EXPECT("-ERR The entries_added specified in XSETID is smaller than the target stream "
           "length\r\n",
           "XSETID", "s", "5", "ENTRIESADDED", "1");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, copies_and_payloads_are_the_same_stream)
{
    kv_fixture_open();
    add_three("{x}s");
    EXPECT(":1\r\n", "XDEL", "{x}s", "2-0");
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "{x}s", "g", "0");
    CALL("XREADGROUP", "GROUP", "g", "c", "STREAMS", "{x}s", ">");
    EXPECT(":1\r\n", "COPY", "{x}s", "{y}t");
    EXPECT("+OK\r\n", "RENAME", "{x}s", "{x}u");
    EXPECT("*2\r\n" ENTRY_1 ENTRY_3, "XRANGE", "{x}u", "-", "+");
    kv_check();
    for (uint32_t i = 0; i < 2; i++) {
        const char *key = i == 0 ? "{x}u" : "{y}t";
        struct slice words[] = {SLICE("RESTORE"), SLICE("{x}r"), SLICE("0"),
                                payload_of(CALL("DUMP", key)), SLICE("REPLACE")};

        cr_assert(slice_equal(kv_call(words, 5), SLICE("+OK\r\n")));
        EXPECT("*2\r\n" ENTRY_1 ENTRY_3, "XRANGE", "{x}r", "-", "+");
        EXPECT(":2\r\n", "XACK", "{x}r", "g", "1-1", "3-0");
        EXPECT(SMALLER, "XADD", "{x}r", "3-0", "f", "v");
    }
    EXPECT(":3\r\n", "DEL", "{x}u", "{x}r", "{y}t");
    kv_fixture_close();
}

FIBER_TEST(kv_stream, a_payload_with_any_byte_changed_does_no_harm)
{
    uint8_t bytes[512];

    kv_fixture_open();
    add_three("s");
    EXPECT("+OK\r\n", "XGROUP", "CREATE", "s", "g", "0");
    CALL("XREADGROUP", "GROUP", "g", "c", "STREAMS", "s", ">");
    for (size_t at = 0;; at++) {
        struct slice payload = payload_of(CALL("DUMP", "s"));
        struct slice words[] = {SLICE("RESTORE"), SLICE("r"), SLICE("0"),
                                slice_of(bytes, payload.size), SLICE("REPLACE")};
        size_t value = payload.size - PAYLOAD_FOOTER_BYTES;

        if (at == value) {
            break;
        }
        cr_assert_leq(payload.size, sizeof(bytes));
        memcpy(bytes, payload.data, payload.size);
        for (uint32_t flip = 1; flip < 256; flip *= 4) {
            bytes[at] ^= (uint8_t)flip;
            payload_seal(bytes, value, PAYLOAD_VERSION);
            (void)kv_call(words, 5); /* An error, or a stream that can be read. */
            (void)CALL("XINFO", "STREAM", "r", "FULL", "COUNT", "0");
            bytes[at] ^= (uint8_t)flip;
        }
    }
    kv_fixture_close();
}
