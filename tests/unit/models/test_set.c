/* Tests of models/kv/set*.c, and with sets of what all collections share (collection.c, types.c):
 * packed and spread, copies, moves, removal, DUMP and RESTORE. */
#include <stdio.h>
#include <stdlib.h>

#include "models/kv/collection.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_set, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

enum { MANY = 700, TEXT_BYTES = 24 };

/* SADD of "m0", "m1", ... in calls of several. */
static YIELDS void
add_many(const char *key, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char name[TEXT_BYTES];

        snprintf(name, sizeof(name), "m%u", i);
        EXPECT(":1\r\n", "SADD", key, name);
    }
}

/* ---- One set ---- */

FIBER_TEST(kv_set, members_are_added_once_and_removed_once)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "SADD", "s", "a", "b", "a");
    EXPECT(":1\r\n", "SADD", "s", "b", "c");
    EXPECT(":3\r\n", "SCARD", "s");
    EXPECT(":1\r\n", "SISMEMBER", "s", "a");
    EXPECT(":0\r\n", "SISMEMBER", "s", "d");
    EXPECT("*3\r\n:1\r\n:0\r\n:1\r\n", "SMISMEMBER", "s", "a", "d", "c");
    EXPECT(":2\r\n", "SREM", "s", "a", "a", "b", "d");
    EXPECT("*1\r\n$1\r\nc\r\n", "SMEMBERS", "s");
    EXPECT(":1\r\n", "SREM", "s", "c");
    EXPECT(":0\r\n", "EXISTS", "s");
    EXPECT("*0\r\n", "SMEMBERS", "s");
    EXPECT(":0\r\n", "SREM", "s", "c");
    EXPECT("*2\r\n:0\r\n:0\r\n", "SMISMEMBER", "s", "a", "b");
    kv_fixture_close();
}

FIBER_TEST(kv_set, another_type_is_refused_both_ways)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "text", "v");
    EXPECT(":1\r\n", "SADD", "s", "a");
    EXPECT(WRONGTYPE, "SADD", "text", "a");
    EXPECT(WRONGTYPE, "SMEMBERS", "text");
    EXPECT(WRONGTYPE, "SINTER", "s", "text");
    EXPECT(WRONGTYPE, "SUNIONSTORE", "d", "s", "text");
    EXPECT(WRONGTYPE, "SMOVE", "s", "text", "a");
    EXPECT(WRONGTYPE, "GET", "s");
    EXPECT(WRONGTYPE, "APPEND", "s", "a");
    EXPECT("+set\r\n", "TYPE", "s");
    EXPECT("+OK\r\n", "SET", "s", "now a string");
    EXPECT("+string\r\n", "TYPE", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_set, a_large_set_has_each_member_once_and_leaves_nothing)
{
    kv_fixture_open();
    add_many("s", MANY);
    EXPECT(":700\r\n", "SCARD", "s");
    EXPECT(":0\r\n", "SADD", "s", "m0", "m699", "m350");
    EXPECT(":1\r\n", "SISMEMBER", "s", "m698");
    EXPECT(":0\r\n", "SISMEMBER", "s", "m700");
    cr_assert(slice_starts_with(CALL("SMEMBERS", "s"), SLICE("*700\r\n")));
    kv_check();
    EXPECT(":2\r\n", "SREM", "s", "m5", "none", "m6");
    EXPECT(":698\r\n", "SCARD", "s");
    kv_check();
    EXPECT(":1\r\n", "DEL", "s");
    kv_check(); /* No element without its head. */
    EXPECT(":1\r\n", "SADD", "s", "m5");
    EXPECT("*1\r\n$2\r\nm5\r\n", "SMEMBERS", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_set, overwriting_and_flushing_remove_the_elements)
{
    kv_fixture_open();
    add_many("s", 200);
    EXPECT("+OK\r\n", "SET", "s", "v");
    kv_check();
    add_many("t", 200);
    EXPECT(":0\r\n", "SINTERSTORE", "t", "t", "missing");
    EXPECT(":0\r\n", "EXISTS", "t");
    kv_check();
    add_many("u", 200);
    EXPECT("+OK\r\n", "FLUSHDB");
    EXPECT(":0\r\n", "SCARD", "u");
    kv_fixture_close();
}

FIBER_TEST(kv_set, an_expiry_takes_the_elements_along)
{
    kv_fixture_open();
    add_many("s", 200);
    EXPECT(":1\r\n", "PEXPIRE", "s", "20");
    EXPECT(":1\r\n", "SADD", "s", "more"); /* Keeps the expiry. */
    fiber_sleep_us(30 * 1000);
    EXPECT("*0\r\n", "SMEMBERS", "s");
    kv_check();
    EXPECT(":0\r\n", "DBSIZE");
    EXPECT(":1\r\n", "SADD", "s", "a");
    EXPECT(":-1\r\n", "TTL", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_set, sets_survive_a_restart_and_ids_are_not_used_again)
{
    kv_fixture_open();
    add_many("a", 200);
    kv_fixture_reopen();
    add_many("b", 150);
    EXPECT(":200\r\n", "SCARD", "a");
    EXPECT(":150\r\n", "SCARD", "b");
    EXPECT(":1\r\n", "DEL", "a");
    cr_assert(slice_starts_with(CALL("SMEMBERS", "b"), SLICE("*150\r\n")));
    kv_fixture_close();
}

FIBER_TEST(kv_set, a_member_that_is_too_long_is_refused_and_changes_nothing)
{
    struct slice words[4] = {SLICE("SADD"), SLICE("s"), SLICE("a")};
    uint8_t *bytes = mem_zalloc(MEM_SESSIONS, 70000);

    kv_fixture_open();
    words[3] = slice_of(bytes, 70000);
    cr_assert(slice_starts_with(kv_call(words, 4), SLICE("-ERR the element of 70000 bytes")));
    EXPECT(":0\r\n", "EXISTS", "s");
    words[3] = slice_of(bytes, 60000);
    cr_assert(slice_equal(kv_call(words, 4), SLICE(":2\r\n")));
    EXPECT(":2\r\n", "SCARD", "s");
    kv_fixture_close();
    mem_free(MEM_SESSIONS, bytes, 70000);
}

/* ---- Encodings ---- */

FIBER_TEST(kv_set, the_encoding_is_the_one_that_redis_reports)
{
    kv_fixture_open();
    CALL("SADD", "s", "1", "2", "-3");
    EXPECT("$6\r\nintset\r\n", "OBJECT", "ENCODING", "s");
    CALL("SADD", "s", "x");
    EXPECT("$8\r\nlistpack\r\n", "OBJECT", "ENCODING", "s");
    CALL("SREM", "s", "x"); /* Never back. */
    EXPECT("$8\r\nlistpack\r\n", "OBJECT", "ENCODING", "s");
    add_many("s", 200);
    EXPECT("$9\r\nhashtable\r\n", "OBJECT", "ENCODING", "s");
    CALL("SADD", "long",
         "a member of more than sixty-four bytes makes a hash table of the whole set at once");
    EXPECT("$9\r\nhashtable\r\n", "OBJECT", "ENCODING", "long");
    for (uint32_t i = 0; i < 513; i++) {
        char text[TEXT_BYTES];

        EXPECT(i < 1 ? "*0\r\n" : "$6\r\nintset\r\n", i < 1 ? "SMEMBERS" : "OBJECT",
               i < 1 ? "numbers" : "ENCODING", i < 1 ? NULL : "numbers");
        snprintf(text, sizeof(text), "%u", i);
        CALL("SADD", "numbers", text);
    }
    EXPECT("$9\r\nhashtable\r\n", "OBJECT", "ENCODING", "numbers");
    kv_fixture_close();
}

/* ---- Several sets ---- */

FIBER_TEST(kv_set, algebra_over_sets_of_any_size)
{
    kv_fixture_open();
    add_many("large", 300);
    CALL("SADD", "small", "m1", "m2", "x");
    EXPECT(":2\r\n", "SINTERSTORE", "d", "large", "small");
    EXPECT("*2\r\n:1\r\n:1\r\n", "SMISMEMBER", "d", "m1", "m2");
    EXPECT(":1\r\n", "SDIFFSTORE", "d", "small", "large");
    EXPECT("*1\r\n$1\r\nx\r\n", "SMEMBERS", "d");
    EXPECT(":301\r\n", "SUNIONSTORE", "d", "small", "large", "small");
    EXPECT(":301\r\n", "SCARD", "d");
    EXPECT(":298\r\n", "SDIFFSTORE", "d", "d", "small"); /* Into one of the sources. */
    EXPECT(":0\r\n", "SISMEMBER", "d", "m1");
    EXPECT(":2\r\n", "SINTERCARD", "2", "large", "small");
    EXPECT(":1\r\n", "SINTERCARD", "2", "large", "small", "LIMIT", "1");
    EXPECT("*0\r\n", "SINTER", "large", "missing");
    EXPECT("*1\r\n$1\r\nx\r\n", "SDIFF", "small", "large", "missing");
    EXPECT("-ERR numkeys should be greater than 0\r\n", "SINTERCARD", "0", "a");
    EXPECT("-ERR Number of keys can't be greater than number of args\r\n", "SINTERCARD", "2", "a");
    EXPECT("-ERR LIMIT can't be negative\r\n", "SINTERCARD", "1", "a", "LIMIT", "-1");
    kv_fixture_close();
}

FIBER_TEST(kv_set, smove_moves_between_sets_and_within_one)
{
    kv_fixture_open();
    CALL("SADD", "a", "x", "y");
    EXPECT(":1\r\n", "SMOVE", "a", "b", "x");
    EXPECT(":0\r\n", "SMOVE", "a", "b", "x");
    EXPECT(":1\r\n", "SMOVE", "a", "a", "y");
    EXPECT("*1\r\n$1\r\ny\r\n", "SMEMBERS", "a");
    EXPECT(":1\r\n", "SMOVE", "a", "b", "y");
    EXPECT(":0\r\n", "EXISTS", "a");
    EXPECT(":2\r\n", "SCARD", "b");
    kv_fixture_close();
}

/* ---- Random members ---- */

FIBER_TEST(kv_set, spop_takes_distinct_members_until_none_is_left)
{
    uint32_t left = 2000;

    kv_fixture_open();
    add_many("s", left);
    while (left > 0) {
        uint32_t before = left;

        cr_assert_eq(CALL("SPOP", "s").data[0], '$');
        left--;
        for (uint32_t round = 0; round < 2 && left > 100; round++) {
            cr_assert(slice_starts_with(CALL("SPOP", "s", round == 0 ? "70" : "1"),
                                        round == 0 ? SLICE("*70\r\n") : SLICE("*1\r\n")));
            left -= round == 0 ? 70 : 1;
        }
        cr_assert_eq(NUMBER("SCARD", "s"), left);
        cr_assert_lt(left, before);
    }
    EXPECT("$-1\r\n", "SPOP", "s");
    EXPECT("*0\r\n", "SPOP", "s", "3");
    EXPECT("-ERR value is out of range, must be positive\r\n", "SPOP", "s", "-1");
    kv_fixture_close();
}

FIBER_TEST(kv_set, srandmember_picks_all_of_a_set_sooner_or_later)
{
    bool seen[1100] = {false};
    uint32_t count = 0;

    kv_fixture_open();
    add_many("s", 1100);
    for (uint32_t i = 0; i < 40000 && count < 1100; i++) {
        struct slice reply = CALL("SRANDMEMBER", "s");
        uint32_t number;

        cr_assert_eq(sscanf((const char *)reply.data, "$%*d\r\nm%u", &number), 1);
        count += !seen[number];
        seen[number] = true;
    }
    cr_assert_eq(count, 1100);
    cr_assert(slice_starts_with(CALL("SRANDMEMBER", "s", "100"), SLICE("*100\r\n")));
    cr_assert(slice_starts_with(CALL("SRANDMEMBER", "s", "-1500"), SLICE("*1500\r\n")));
    cr_assert(slice_starts_with(CALL("SRANDMEMBER", "s", "1500"), SLICE("*1100\r\n")));
    EXPECT("$-1\r\n", "SRANDMEMBER", "none");
    EXPECT("*0\r\n", "SRANDMEMBER", "none", "-5");
    EXPECT(":1100\r\n", "SCARD", "s");
    kv_fixture_close();
}

/* ---- SSCAN ---- */

FIBER_TEST(kv_set, sscan_gives_each_member_once)
{
    static bool seen[MANY];
    char cursor[32] = "0";
    uint32_t count = 0;

    kv_fixture_open();
    add_many("s", MANY);
    do {
        struct slice reply = CALL("SSCAN", "s", cursor, "COUNT", "50");
        const char *at = (const char *)reply.data;

        cr_assert_eq(sscanf(at, "*2\r\n$%*d\r\n%31[0-9]", cursor), 1);
        while ((at = strstr(at, "\r\nm")) != NULL) {
            uint32_t number = (uint32_t)strtoul(at + 3, NULL, 10);

            cr_assert(!seen[number], "m%u twice", number);
            seen[number] = true;
            count++;
            at += 3;
        }
    } while (strcmp(cursor, "0") != 0);
    cr_assert_eq(count, MANY);
    EXPECT("*2\r\n$1\r\n0\r\n*0\r\n", "SSCAN", "none", "0");
    CALL("SADD", "small", "a", "b", "ab");
    EXPECT("*2\r\n$1\r\n0\r\n*1\r\n$1\r\nb\r\n", "SSCAN", "small", "0", "MATCH", "b*");
    EXPECT("-ERR invalid cursor\r\n", "SSCAN", "small", "x");
    kv_fixture_close();
}

/* ---- What all types share ---- */

FIBER_TEST(kv_set, copies_renames_and_moves_keep_members_and_expiry)
{
    kv_fixture_open();
    add_many("{t}a", 200);
    EXPECT(":1\r\n", "EXPIRE", "{t}a", "1000");
    EXPECT(":1\r\n", "COPY", "{t}a", "{t}b");
    EXPECT(":1\r\n", "SREM", "{t}b", "m0");
    EXPECT(":200\r\n", "SCARD", "{t}a");
    EXPECT("+OK\r\n", "RENAME", "{t}a", "{t}b"); /* Over another spread set. */
    EXPECT(":200\r\n", "SCARD", "{t}b");
    EXPECT(":1000\r\n", "TTL", "{t}b");
    kv_check();
    EXPECT("+OK\r\n", "RENAME", "{t}b", "another slot");
    EXPECT(":200\r\n", "SCARD", "another slot");
    EXPECT(":1\r\n", "SISMEMBER", "another slot", "m199");
    EXPECT(":1\r\n", "MOVE", "another slot", "5");
    EXPECT(":0\r\n", "DBSIZE");
    fixture.db = 5;
    EXPECT(":200\r\n", "SCARD", "another slot");
    cr_assert_gt(NUMBER("MEMORY", "USAGE", "another slot"), 200 * 64);
    kv_fixture_close();
}

FIBER_TEST(kv_set, scan_finds_keys_by_type)
{
    kv_fixture_open();
    CALL("SET", "text", "v");
    CALL("SADD", "set", "m");
    EXPECT("*2\r\n$1\r\n0\r\n*1\r\n$3\r\nset\r\n", "SCAN", "0", "TYPE", "SET");
    EXPECT("*2\r\n$1\r\n0\r\n*1\r\n$4\r\ntext\r\n", "SCAN", "0", "TYPE", "string");
    EXPECT("*2\r\n$1\r\n0\r\n*0\r\n", "SCAN", "0", "TYPE", "nonsense");
    kv_fixture_close();
}

/* A bulk reply's bytes, kept by the caller. */
static struct slice
bulk_take(struct arena *arena, struct slice reply)
{
    const uint8_t *start = memchr(reply.data, '\n', reply.size);

    cr_assert_eq(reply.data[0], '$');
    start++;
    return arena_copy(arena, slice_of(start, (size_t)(reply.data + reply.size - start) - 2));
}

FIBER_TEST(kv_set, dump_and_restore_keep_sets_of_any_size)
{
    struct slice words[4] = {SLICE("RESTORE"), SLICE("copy"), SLICE("0")};
    struct arena arena;

    kv_fixture_open();
    arena_init(&arena, MEM_SESSIONS);
    add_many("s", 300);
    words[3] = bulk_take(&arena, CALL("DUMP", "s"));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT(":300\r\n", "SINTERCARD", "2", "s", "copy");
    CALL("SADD", "small", "a", "-5", "100000");
    words[1] = SLICE("copy2");
    words[3] = bulk_take(&arena, CALL("DUMP", "small"));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT(":3\r\n", "SINTERCARD", "2", "small", "copy2");
    arena_fini(&arena);
    kv_fixture_close();
}

/* Payloads that Redis 7 made: an intset {1, 2, 300}, and a listpack {a, 1, bc}. */
FIBER_TEST(kv_set, payloads_of_redis_are_restored)
{
    struct slice words[4] = {SLICE("RESTORE"), SLICE("n"), SLICE("0")};
    uint8_t intset[2 + 14 + PAYLOAD_FOOTER_BYTES] = {
        11, 14, 2, 0, 0, 0, 3, 0, 0, 0, 1, 0, 2, 0, 0x2c, 1,
    };
    uint8_t listpack[2 + 16 + PAYLOAD_FOOTER_BYTES] = {
        20, 16, 16, 0, 0, 0, 3, 0, 0x81, 'a', 2, 1, 1, 0x82, 'b', 'c', 3, 0xff,
    };

    kv_fixture_open();
    payload_seal(intset, sizeof(intset) - PAYLOAD_FOOTER_BYTES, 10);
    words[3] = slice_of(intset, sizeof(intset));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT("*4\r\n:1\r\n:1\r\n:1\r\n:0\r\n", "SMISMEMBER", "n", "1", "2", "300", "3");
    EXPECT("$6\r\nintset\r\n", "OBJECT", "ENCODING", "n");
    payload_seal(listpack, sizeof(listpack) - PAYLOAD_FOOTER_BYTES, 11);
    words[1] = SLICE("l");
    words[3] = slice_of(listpack, sizeof(listpack));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT("*4\r\n:1\r\n:1\r\n:1\r\n:0\r\n", "SMISMEMBER", "l", "a", "1", "bc", "b");
    listpack[14] = 'a'; /* A repeated... */
    listpack[13] = 0x81;
    payload_seal(listpack, sizeof(listpack) - PAYLOAD_FOOTER_BYTES, 11);
    words[1] = SLICE("broken");
    cr_assert(slice_equal(kv_call(words, 4), SLICE("-ERR Bad data format\r\n")));
    kv_fixture_close();
}
