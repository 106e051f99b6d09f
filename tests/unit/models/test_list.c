/* Tests of models/kv/list*.c: packed and spread lists, both ends, changes amid them, encodings,
 * DUMP and RESTORE. */
#include <stdio.h>
#include <stdlib.h>

#include "models/kv/collection.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_list, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

enum { MANY = 400, TEXT_BYTES = 24 };

/* RPUSH of "0", "1", ... one by one. */
static YIELDS void
push_many(const char *key, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        char text[TEXT_BYTES];

        snprintf(text, sizeof(text), "%u", i);
        cr_assert_eq(NUMBER("RPUSH", key, text), i + 1);
    }
}

/* The list is exactly these numbers. */
static YIELDS void
expect_numbers(int line, const char *key, const uint32_t *numbers, uint32_t count)
{
    struct slice reply = CALL("LRANGE", key, "0", "-1");
    const char *at = (const char *)reply.data + 1;

    cr_assert_eq(reply.data[0], '*', "line %d: %s", line, at);
    cr_assert_eq(strtoul(at, NULL, 10), count, "line %d: %lu items", line, strtoul(at, NULL, 10));
    at = strchr(at, '\n') + 1;
    for (uint32_t i = 0; i < count; i++) {
        at = strchr(at, '\n') + 1; /* Past the length. */
        cr_assert_eq(strtoul(at, NULL, 10), numbers[i], "line %d: item %u is %.10s and not %u",
                     line, i, at, numbers[i]);
        at = strchr(at, '\n') + 1;
    }
}

/* ---- Short lists ---- */

FIBER_TEST(kv_list, both_ends_push_and_pop)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "RPUSH", "l", "b", "c");
    EXPECT(":4\r\n", "LPUSH", "l", "a", "z");
    EXPECT("*4\r\n$1\r\nz\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", "LRANGE", "l", "0", "-1");
    EXPECT("$1\r\nc\r\n", "RPOP", "l");
    EXPECT("*2\r\n$1\r\nz\r\n$1\r\na\r\n", "LPOP", "l", "2");
    EXPECT("*0\r\n", "LPOP", "l", "0");
    EXPECT("*1\r\n$1\r\nb\r\n", "RPOP", "l", "9");
    EXPECT(":0\r\n", "EXISTS", "l");
    EXPECT("$-1\r\n", "LPOP", "l");
    EXPECT("*-1\r\n", "LPOP", "l", "2");
    EXPECT(":0\r\n", "LPUSHX", "l", "a");
    EXPECT(":0\r\n", "EXISTS", "l");
    EXPECT("-ERR value is out of range, must be positive\r\n", "LPOP", "l", "-1");
    EXPECT("-ERR wrong number of arguments for 'rpop' command\r\n", "RPOP", "l", "1", "2");
    kv_fixture_close();
}

FIBER_TEST(kv_list, indexes_count_from_both_ends)
{
    kv_fixture_open();
    EXPECT("-ERR no such key\r\n", "LSET", "l", "x", "v");
    EXPECT("$-1\r\n", "LINDEX", "l", "x");
    CALL("RPUSH", "l", "a", "b", "c");
    EXPECT("$1\r\na\r\n", "LINDEX", "l", "0");
    EXPECT("$1\r\na\r\n", "LINDEX", "l", "-3");
    EXPECT("$-1\r\n", "LINDEX", "l", "-4");
    EXPECT("$-1\r\n", "LINDEX", "l", "3");
    EXPECT("$-1\r\n", "LINDEX", "l", "-9223372036854775808");
    EXPECT("+OK\r\n", "LSET", "l", "-1", "z");
    EXPECT("-ERR index out of range\r\n", "LSET", "l", "3", "z");
    EXPECT("-ERR value is not an integer or out of range\r\n", "LSET", "l", "x", "z");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\nz\r\n", "LRANGE", "l", "1", "100");
    EXPECT("*0\r\n", "LRANGE", "l", "2", "1");
    EXPECT("*0\r\n", "LRANGE", "l", "0", "-4");
    kv_fixture_close();
}

FIBER_TEST(kv_list, another_type_is_refused_both_ways)
{
    kv_fixture_open();
    CALL("SET", "text", "v");
    CALL("RPUSH", "l", "a");
    EXPECT(WRONGTYPE, "RPUSH", "text", "a");
    EXPECT(WRONGTYPE, "LRANGE", "text", "0", "1");
    EXPECT(WRONGTYPE, "LMOVE", "l", "text", "LEFT", "LEFT");
    EXPECT("$-1\r\n", "LMOVE", "none", "text", "LEFT", "LEFT");
    EXPECT(WRONGTYPE, "LMPOP", "2", "none", "text", "LEFT");
    EXPECT(WRONGTYPE, "GET", "l");
    EXPECT(WRONGTYPE, "SADD", "l", "a");
    EXPECT("+list\r\n", "TYPE", "l");
    EXPECT(":1\r\n", "LLEN", "l");
    kv_fixture_close();
}

/* ---- Long lists ---- */

FIBER_TEST(kv_list, a_long_list_is_reached_at_any_place_and_leaves_nothing)
{
    uint32_t numbers[MANY];

    kv_fixture_open();
    push_many("l", MANY);
    for (uint32_t i = 0; i < MANY; i++) {
        numbers[i] = i;
    }
    expect_numbers(__LINE__, "l", numbers, MANY);
    EXPECT("$3\r\n399\r\n", "LINDEX", "l", "-1");
    EXPECT("+OK\r\n", "LSET", "l", "200", "7");
    EXPECT("*2\r\n$3\r\n199\r\n$1\r\n7\r\n", "LRANGE", "l", "199", "200");
    EXPECT("*3\r\n$3\r\n399\r\n$3\r\n398\r\n$3\r\n397\r\n", "RPOP", "l", "3");
    EXPECT("$1\r\n0\r\n", "LPOP", "l");
    EXPECT(":397\r\n", "LPUSH", "l", "x");
    kv_check();
    EXPECT(":1\r\n", "DEL", "l");
    kv_check();
    push_many("l", MANY);
    kv_fixture_close();
}

FIBER_TEST(kv_list, a_queue_may_wander_for_ever)
{
    kv_fixture_open();
    push_many("q", MANY);
    for (uint32_t i = 0; i < MANY; i++) { /* One goes in for each that goes out. */
        char text[TEXT_BYTES];

        snprintf(text, sizeof(text), "$%u\r\n%u\r\n", i < 10 ? 1 : i < 100 ? 2 : 3, i);
        EXPECT(text, "LPOP", "q");
        EXPECT(":400\r\n", "RPUSH", "q", "more");
    }
    EXPECT("$4\r\nmore\r\n", "LINDEX", "q", "0");
    kv_check();
    cr_assert(slice_starts_with(CALL("LPOP", "q", "390"), SLICE("*390\r\n")));
    EXPECT(":10\r\n", "LLEN", "q"); /* Packed again. */
    kv_check();
    cr_assert(slice_starts_with(CALL("RPOP", "q", "10"), SLICE("*10\r\n")));
    EXPECT(":0\r\n", "EXISTS", "q");
    kv_fixture_close();
}

FIBER_TEST(kv_list, ltrim_keeps_what_is_between)
{
    static const uint32_t few[] = {150, 151};
    uint32_t numbers[MANY];

    kv_fixture_open();
    push_many("l", MANY);
    EXPECT("+OK\r\n", "LTRIM", "l", "1", "-2");
    for (uint32_t i = 0; i < MANY; i++) {
        numbers[i] = i + 1;
    }
    expect_numbers(__LINE__, "l", numbers, MANY - 2);
    EXPECT("+OK\r\n", "LTRIM", "l", "100", "299"); /* By range deletes. */
    kv_check();
    expect_numbers(__LINE__, "l", numbers + 100, 200);
    EXPECT("+OK\r\n", "LTRIM", "l", "49", "50");
    expect_numbers(__LINE__, "l", few, 2);
    EXPECT("+OK\r\n", "LTRIM", "l", "5", "9");
    EXPECT(":0\r\n", "EXISTS", "l");
    EXPECT("+OK\r\n", "LTRIM", "l", "0", "1");
    kv_fixture_close();
}

/* Each place of a list of both forms, against an array. */
static YIELDS void
insert_everywhere(uint32_t count)
{
    uint32_t numbers[MANY + 1];
    uint32_t step = MAX(count / 8, 1U);

    for (uint32_t at = 0; at < count; at += step) {
        char text[TEXT_BYTES];

        CALL("DEL", "l");
        push_many("l", count);
        snprintf(text, sizeof(text), "%u", at);
        cr_assert_eq(NUMBER("LINSERT", "l", at % 2 == 0 ? "BEFORE" : "AFTER", text, "9999"),
                     count + 1);
        for (uint32_t i = 0; i <= count; i++) {
            uint32_t place = at + (at % 2 == 0 ? 0 : 1);

            numbers[i] = i < place ? i : i == place ? 9999 : i - 1;
        }
        expect_numbers(__LINE__, "l", numbers, count + 1);
        kv_check();
    }
}

FIBER_TEST(kv_list, linsert_puts_an_element_anywhere)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "LINSERT", "none", "BEFORE", "a", "b");
    EXPECT("-ERR syntax error\r\n", "LINSERT", "none", "AMID", "a", "b");
    CALL("RPUSH", "s", "a");
    EXPECT(":-1\r\n", "LINSERT", "s", "BEFORE", "b", "x");
    insert_everywhere(7);
    insert_everywhere(MANY);
    kv_fixture_close();
}

/* Removes every step-th of a run of numbers, by LREM of a mark that stands there. */
static YIELDS void
remove_between(uint32_t count, uint32_t from, uint32_t end, uint32_t step)
{
    uint32_t numbers[MANY];
    uint32_t kept = 0;
    uint32_t gone = 0;

    CALL("DEL", "l");
    push_many("l", count);
    for (uint32_t i = 0; i < count; i++) {
        char text[TEXT_BYTES];

        if (i >= from && i < end && (i - from) % step == 0) {
            snprintf(text, sizeof(text), "%u", i);
            EXPECT("+OK\r\n", "LSET", "l", text, "mark");
            gone++;
        } else {
            numbers[kept++] = i;
        }
    }
    cr_assert_eq(NUMBER("LREM", "l", "0", "mark"), gone);
    expect_numbers(__LINE__, "l", numbers, kept);
    kv_check();
}

FIBER_TEST(kv_list, lrem_closes_the_gaps_from_the_nearer_end)
{
    kv_fixture_open();
    remove_between(9, 2, 7, 2);
    remove_between(MANY, 1, 30, 3);
    remove_between(MANY, 370, 400, 3);
    remove_between(MANY, 0, 400, 2);
    remove_between(MANY, 100, 200, 1);
    remove_between(MANY, 0, 400, 1);
    EXPECT(":0\r\n", "EXISTS", "l");
    CALL("RPUSH", "l", "a", "b", "a", "c", "a");
    EXPECT(":2\r\n", "LREM", "l", "-2", "a");
    EXPECT("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", "LRANGE", "l", "0", "-1");
    EXPECT(":1\r\n", "LREM", "l", "1", "a");
    EXPECT(":0\r\n", "LREM", "l", "1", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_list, lpos_looks_from_either_end)
{
    kv_fixture_open();
    CALL("RPUSH", "l", "a", "b", "c", "1", "2", "3", "c", "c");
    EXPECT(":2\r\n", "LPOS", "l", "c");
    EXPECT(":6\r\n", "LPOS", "l", "c", "RANK", "2");
    EXPECT("*2\r\n:7\r\n:6\r\n", "LPOS", "l", "c", "COUNT", "2", "RANK", "-1");
    EXPECT("*3\r\n:2\r\n:6\r\n:7\r\n", "LPOS", "l", "c", "COUNT", "0");
    EXPECT("*1\r\n:2\r\n", "LPOS", "l", "c", "COUNT", "0", "MAXLEN", "3");
    EXPECT("$-1\r\n", "LPOS", "l", "c", "MAXLEN", "2");
    EXPECT("*0\r\n", "LPOS", "none", "c", "COUNT", "1");
    EXPECT("-ERR COUNT can't be negative\r\n", "LPOS", "l", "c", "COUNT", "-1");
    EXPECT("-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or "
           "use negative to start from the end of the list\r\n",
           "LPOS", "l", "c", "RANK", "0");
    CALL("DEL", "l");
    push_many("l", MANY);
    EXPECT(":321\r\n", "LPOS", "l", "321", "RANK", "-1");
    kv_fixture_close();
}

/* ---- Several lists ---- */

FIBER_TEST_ON(kv_list, elements_move_between_lists_of_any_shard, 2)
{
    kv_fixture_open();
    push_many("a", 200);
    for (uint32_t i = 200; i > 0; i--) {
        char text[TEXT_BYTES];

        snprintf(text, sizeof(text), "$%u\r\n%u\r\n", i <= 10 ? 1 : i <= 100 ? 2 : 3, i - 1);
        EXPECT(text, "RPOPLPUSH", "a", "b");
    }
    EXPECT(":0\r\n", "EXISTS", "a");
    EXPECT("$1\r\n0\r\n", "LMOVE", "b", "b", "LEFT", "RIGHT");
    EXPECT("$1\r\n0\r\n", "LINDEX", "b", "-1");
    EXPECT("$1\r\n0\r\n", "LMOVE", "b", "c", "RIGHT", "LEFT");
    EXPECT("$1\r\n0\r\n", "RPOPLPUSH", "c", "c"); /* The only one. */
    EXPECT("*2\r\n$1\r\nc\r\n*1\r\n$1\r\n0\r\n", "LMPOP", "3", "a", "c", "b", "LEFT", "COUNT", "5");
    EXPECT("*2\r\n$1\r\nb\r\n*1\r\n$3\r\n199\r\n", "LMPOP", "2", "c", "b", "RIGHT");
    EXPECT("*-1\r\n", "LMPOP", "2", "c", "a", "RIGHT");
    EXPECT(":198\r\n", "LLEN", "b");
    EXPECT("-ERR numkeys should be greater than 0\r\n", "LMPOP", "0", "a", "LEFT");
    EXPECT("-ERR count should be greater than 0\r\n", "LMPOP", "1", "a", "LEFT", "COUNT", "0");
    EXPECT("-ERR syntax error\r\n", "LMPOP", "2", "a", "LEFT");
    EXPECT("-ERR syntax error\r\n", "LMOVE", "a", "b", "LEFT", "UP");
    kv_fixture_close();
}

/* ---- Forms ---- */

FIBER_TEST(kv_list, the_encoding_is_the_one_that_redis_reports)
{
    kv_fixture_open();
    push_many("l", MANY); /* Spread, but less than 8 KiB. */
    EXPECT("$8\r\nlistpack\r\n", "OBJECT", "ENCODING", "l");
    for (uint32_t i = 0; i < 90; i++) {
        CALL("RPUSH", "l",
             "a hundred bytes each until there are eight thousand, and so the list is a "
             "quicklist, not a listpack");
    }
    EXPECT("$9\r\nquicklist\r\n", "OBJECT", "ENCODING", "l");
    EXPECT("+OK\r\n", "LTRIM", "l", "0", "430");
    EXPECT("$9\r\nquicklist\r\n", "OBJECT", "ENCODING", "l"); /* Only below half of it. */
    EXPECT("+OK\r\n", "LTRIM", "l", "0", "399");
    EXPECT("$8\r\nlistpack\r\n", "OBJECT", "ENCODING", "l");
    kv_fixture_close();
}

FIBER_TEST(kv_list, copies_and_large_elements_survive_a_restart)
{
    struct slice words[3] = {SLICE("RPUSH"), SLICE("l")};
    uint8_t *bytes = mem_zalloc(MEM_SESSIONS, 100000);

    kv_fixture_open();
    push_many("l", 150);
    words[2] = slice_of(bytes, 100000);
    cr_assert(slice_equal(kv_call(words, 3), SLICE(":151\r\n")));
    EXPECT(":152\r\n", "LINSERT", "l", "BEFORE", "149", "x"); /* Renumbers the large one. */
    EXPECT(":1\r\n", "COPY", "l", "copy");
    EXPECT(":153\r\n", "RPUSH", "l", "more");
    kv_fixture_reopen();
    EXPECT("$3\r\n149\r\n", "LINDEX", "copy", "-2");
    cr_assert_eq(CALL("LINDEX", "copy", "-1").size, 100000 + 11);
    EXPECT("*2\r\n$1\r\nx\r\n$3\r\n149\r\n", "LRANGE", "l", "149", "150");
    cr_assert_eq(CALL("LPOP", "copy", "152").data[1], '1');
    EXPECT(":0\r\n", "EXISTS", "copy");
    kv_fixture_close();
    mem_free(MEM_SESSIONS, bytes, 100000);
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

FIBER_TEST(kv_list, dump_and_restore_keep_lists_of_any_size)
{
    struct slice words[4] = {SLICE("RESTORE"), SLICE("copy"), SLICE("0")};
    /* A quicklist as Redis 7 writes it: a listpack {a, 1, bc}, and a plain element "xy". */
    uint8_t quicklist[] = {18,  2, 2,    16, 16, 0,   0,   0, 3, 0, 0x81, 'a', 2, 1, 1, 0x82, 'b',
                           'c', 3, 0xff, 1,  2,  'x', 'y', 0, 0, 0, 0,    0,   0, 0, 0, 0,    0};
    uint32_t numbers[MANY];
    struct arena arena;

    kv_fixture_open();
    arena_init(&arena, MEM_SESSIONS);
    for (uint32_t i = 0; i < MANY; i++) {
        numbers[i] = i;
    }
    push_many("l", MANY);
    words[3] = bulk_take(&arena, CALL("DUMP", "l"));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    expect_numbers(__LINE__, "copy", numbers, MANY);
    payload_seal(quicklist, sizeof(quicklist) - PAYLOAD_FOOTER_BYTES, 10);
    words[1] = SLICE("redis");
    words[3] = slice_of(quicklist, sizeof(quicklist));
    cr_assert(slice_equal(kv_call(words, 4), SLICE("+OK\r\n")));
    EXPECT("*4\r\n$1\r\na\r\n$1\r\n1\r\n$2\r\nbc\r\n$2\r\nxy\r\n", "LRANGE", "redis", "0", "-1");
    quicklist[2] = 3; /* There is no such node. */
    payload_seal(quicklist, sizeof(quicklist) - PAYLOAD_FOOTER_BYTES, 10);
    words[1] = SLICE("broken");
    cr_assert(slice_equal(kv_call(words, 4), SLICE("-ERR Bad data format\r\n")));
    arena_fini(&arena);
    kv_fixture_close();
}
