/* Tests of models/kv/zset*.c: packed and spread sorted sets, ranges and ranks, the tree of pages,
 * algebra, waiting, DUMP and RESTORE. The fixture checks each tree when it closes. */
#include <stdio.h>
#include <stdlib.h>

#include "models/kv/block.h"
#include "models/kv/zset_tree.h"
#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_zset, .timeout = 60);

#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define NOT_FLOAT "-ERR value is not a valid float\r\n"

enum { MANY = 5000, TEXT_BYTES = 24 };

static const char *
number_text(char out[TEXT_BYTES], uint32_t number)
{
    snprintf(out, TEXT_BYTES, "%05u", number);
    return out;
}

/* Members 0..count-1, each with its number as the score, in an order that jumps. */
static YIELDS void
add_many(const char *key, uint32_t count, uint32_t step)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = (uint32_t)((uint64_t)i * step % count);
        char text[TEXT_BYTES];

        number_text(text, number);
        cr_assert_eq(NUMBER("ZADD", key, text, text), 1);
    }
}

/* ---- Small ones ---- */

FIBER_TEST(kv_zset, members_are_added_changed_and_removed)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "ZADD", "z", "1", "a", "2", "b", "3", "c");
    EXPECT(":1\r\n", "ZADD", "z", "5", "a", "4", "d");
    EXPECT(":2\r\n", "ZADD", "z", "CH", "6", "a", "2", "b", "7", "e");
    EXPECT("*5\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\na\r\n$1\r\ne\r\n", "ZRANGE", "z", "0",
           "-1");
    EXPECT("$1\r\n8\r\n", "ZINCRBY", "z", "2", "a");
    EXPECT("$-1\r\n", "ZADD", "z", "XX", "INCR", "2", "nobody");
    EXPECT("$-1\r\n", "ZADD", "z", "GT", "INCR", "-2", "a");
    EXPECT(":2\r\n", "ZREM", "z", "a", "nobody", "b");
    EXPECT(":3\r\n", "ZCARD", "z");
    EXPECT(":3\r\n", "ZREM", "z", "c", "d", "e");
    EXPECT(":0\r\n", "EXISTS", "z");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, options_that_exclude_each_other_are_refused)
{
    kv_fixture_open();
    EXPECT("-ERR XX and NX options at the same time are not compatible\r\n", "ZADD", "z", "NX",
           "XX", "1", "a");
    EXPECT("-ERR GT, LT, and/or NX options at the same time are not compatible\r\n", "ZADD", "z",
           "GT", "LT", "1", "a");
    EXPECT("-ERR INCR option supports a single increment-element pair\r\n", "ZADD", "z", "INCR",
           "1", "a", "2", "b");
    EXPECT("-ERR syntax error\r\n", "ZADD", "z", "1", "a", "2");
    EXPECT(NOT_FLOAT, "ZADD", "z", "nan", "a");
    EXPECT(NOT_FLOAT, "ZADD", "z", "1e400", "a");
    EXPECT(NOT_FLOAT, "ZADD", "z", "1", "a", "x", "b");
    EXPECT(":0\r\n", "EXISTS", "z");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, a_sum_that_is_no_number_changes_nothing)
{
    kv_fixture_open();
    EXPECT(":1\r\n", "ZADD", "z", "inf", "a");
    EXPECT("-ERR resulting score is not a number (NaN)\r\n", "ZINCRBY", "z", "-inf", "a");
    EXPECT("$3\r\ninf\r\n", "ZSCORE", "z", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, minus_zero_has_the_place_of_zero)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "ZADD", "z", "-0", "b", "0", "a", "0", "c");
    EXPECT("*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n", "ZRANGE", "z", "0", "-1");
    EXPECT("$1\r\n0\r\n", "ZSCORE", "z", "b"); /* As Redis tells of a small one. */
    EXPECT(":3\r\n", "ZCOUNT", "z", "0", "0");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, other_types_are_refused)
{
    kv_fixture_open();
    EXPECT("+OK\r\n", "SET", "s", "x");
    EXPECT(WRONGTYPE, "ZADD", "s", "1", "a");
    EXPECT(WRONGTYPE, "ZRANGE", "s", "0", "-1");
    EXPECT(WRONGTYPE, "ZPOPMIN", "s");
    EXPECT(WRONGTYPE, "ZUNION", "2", "none", "s");
    EXPECT(WRONGTYPE, "ZRANDMEMBER", "s");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, ranges_go_by_score_by_name_and_backward)
{
    kv_fixture_open();
    EXPECT(":4\r\n", "ZADD", "z", "1", "a", "2", "b", "2", "c", "3", "d");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\nc\r\n", "ZRANGE", "z", "(1", "(3", "BYSCORE");
    EXPECT("*2\r\n$1\r\nc\r\n$1\r\nb\r\n", "ZREVRANGEBYSCORE", "z", "2", "(1");
    EXPECT("*1\r\n$1\r\nc\r\n", "ZRANGEBYSCORE", "z", "-inf", "+inf", "LIMIT", "2", "1");
    EXPECT("*2\r\n$1\r\nd\r\n$1\r\n3\r\n", "ZRANGE", "z", "0", "0", "REV", "WITHSCORES");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\nc\r\n", "ZRANGEBYLEX", "z", "[b", "(d"); /* In order, too. */
    EXPECT("*1\r\n$1\r\nb\r\n", "ZREVRANGEBYLEX", "z", "(d", "[b", "LIMIT", "1", "5");
    EXPECT(":2\r\n", "ZLEXCOUNT", "z", "[b", "[c");
    EXPECT(":4\r\n", "ZADD", "l", "0", "a", "0", "b", "0", "c", "0", "d");
    EXPECT("*2\r\n$1\r\nb\r\n$1\r\nc\r\n", "ZRANGEBYLEX", "l", "(a", "[c");
    EXPECT(":3\r\n", "ZLEXCOUNT", "l", "-", "(d");
    EXPECT(":2\r\n", "ZRANGESTORE", "to", "l", "[d", "(a", "BYLEX", "REV", "LIMIT", "0", "2");
    EXPECT("*2\r\n$1\r\nc\r\n$1\r\nd\r\n", "ZRANGE", "to", "0", "-1");
    kv_fixture_close();
}

/* ---- Trees ---- */

FIBER_TEST(kv_zset, every_rank_is_found_in_a_large_set)
{
    kv_fixture_open();
    add_many("z", MANY, 1237);
    cr_assert_eq(NUMBER("ZCARD", "z"), MANY);
    for (uint32_t i = 0; i < MANY; i += 7) {
        char text[TEXT_BYTES];
        char at[TEXT_BYTES];
        char reply[64];

        number_text(text, i);
        snprintf(at, sizeof(at), "%u", i);
        snprintf(reply, sizeof(reply), "*1\r\n$5\r\n%s\r\n", text);
        cr_assert_eq(NUMBER("ZRANK", "z", text), i);
        cr_assert_eq(NUMBER("ZREVRANK", "z", text), MANY - 1 - i);
        EXPECT(reply, "ZRANGE", "z", at, at);
        cr_assert_eq(NUMBER("ZCOUNT", "z", "-inf", text), i + 1);
    }
    kv_fixture_close();
}

FIBER_TEST(kv_zset, ranges_cross_pages_in_both_directions)
{
    kv_fixture_open();
    add_many("z", MANY, 1);
    for (uint32_t i = 0; i + 100 < MANY; i += 777) {
        struct slice forward;
        struct slice backward;
        char low[TEXT_BYTES];
        char high[TEXT_BYTES];
        const char *at;

        number_text(low, i);
        number_text(high, i + 99);
        forward = CALL("ZRANGEBYSCORE", "z", low, high);
        backward = CALL("ZREVRANGEBYSCORE", "z", high, low);
        cr_assert_eq(forward.size, backward.size);
        at = (const char *)forward.data + 6; /* *100\r\n */
        for (uint32_t j = 0; j < 100; j++) {
            cr_assert_eq(strtoul(at + 4, NULL, 10), i + j);
            cr_assert_eq(memcmp(at + 4, backward.data + 6 + (99 - j) * 11 + 4, 5), 0);
            at += 11; /* $5\r\n00000\r\n */
        }
    }
    kv_fixture_close();
}

FIBER_TEST(kv_zset, a_large_set_shrinks_from_either_end_and_from_within)
{
    kv_fixture_open();
    add_many("z", MANY, 1237);
    for (uint32_t i = 0; i < 1000; i++) {
        char text[TEXT_BYTES];
        char reply[64];

        snprintf(reply, sizeof(reply), "*2\r\n$5\r\n%05u\r\n", i);
        cr_assert_eq(memcmp(CALL("ZPOPMIN", "z").data, reply, strlen(reply)), 0);
        snprintf(reply, sizeof(reply), "*2\r\n$5\r\n%05u\r\n", MANY - 1 - i);
        cr_assert_eq(memcmp(CALL("ZPOPMAX", "z").data, reply, strlen(reply)), 0);
        cr_assert_eq(NUMBER("ZREM", "z", number_text(text, 1000 + (i * 7) % 1000)), 1);
    }
    kv_check();
    cr_assert_eq(NUMBER("ZREMRANGEBYRANK", "z", "10", "-11"), MANY - 3000 - 20);
    kv_check();
    cr_assert_eq(NUMBER("ZCARD", "z"), 20);
    EXPECT("*1\r\n$5\r\n02000\r\n", "ZRANGE", "z", "0", "0");
    cr_assert_eq(NUMBER("ZREMRANGEBYSCORE", "z", "-inf", "+inf"), 20);
    EXPECT(":0\r\n", "EXISTS", "z");
    kv_fixture_close();
}

/* What was removed costs later reads nothing: a queue of a constant size for a long time. */
FIBER_TEST(kv_zset, a_queue_stays_whole)
{
    kv_fixture_open();
    add_many("z", 200, 1);
    for (uint32_t i = 200; i < 4000; i++) {
        char text[TEXT_BYTES];
        char reply[64];

        number_text(text, i);
        cr_assert_eq(NUMBER("ZADD", "z", text, text), 1);
        snprintf(reply, sizeof(reply), "*2\r\n$5\r\n%05u\r\n", i - 200);
        cr_assert_eq(memcmp(CALL("ZPOPMIN", "z").data, reply, strlen(reply)), 0);
    }
    cr_assert_eq(NUMBER("ZCARD", "z"), 200);
    kv_fixture_close();
}

FIBER_TEST(kv_zset, scores_that_change_move_members)
{
    kv_fixture_open();
    add_many("z", 2000, 7);
    for (uint32_t i = 0; i < 2000; i += 3) {
        char text[TEXT_BYTES];

        EXPECT(":0\r\n", "ZADD", "z", "100000", number_text(text, i));
    }
    kv_check();
    cr_assert_eq(NUMBER("ZCOUNT", "z", "(99999", "+inf"), 667);
    cr_assert_eq(NUMBER("ZRANK", "z", "00001"), 0);
    cr_assert_eq(NUMBER("ZREVRANK", "z", "01998"), 0);
    kv_fixture_close();
}

FIBER_TEST(kv_zset, long_members_with_long_common_beginnings_have_pages_too)
{
    enum { LONG = 20000, COUNT = 40 };
    char *member = malloc(LONG + 8);

    kv_fixture_open();
    memset(member, 'x', LONG);
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(member + LONG, 8, "%03u", i * 17 % COUNT);
        cr_assert_eq(NUMBER("ZADD", "z", "0", member), 1);
    }
    kv_check();
    for (uint32_t i = 0; i < COUNT; i++) {
        snprintf(member + LONG, 8, "%03u", i);
        cr_assert_eq(NUMBER("ZRANK", "z", member), i);
    }
    cr_assert_eq(NUMBER("ZUNIONSTORE", "u", "1", "z"), COUNT); /* Written whole. */
    cr_assert_eq(NUMBER("ZRANK", "u", member), COUNT - 1);
    free(member);
    kv_fixture_close();
}

FIBER_TEST(kv_zset, a_member_beyond_the_limit_is_refused)
{
    char *member = malloc(ZSET_MEMBER_BYTES_MAX + 2);

    kv_fixture_open();
    memset(member, 'x', ZSET_MEMBER_BYTES_MAX + 1);
    member[ZSET_MEMBER_BYTES_MAX + 1] = '\0';
    cr_assert_eq(CALL("ZADD", "z", "1", member).data[0], '-');
    EXPECT(":0\r\n", "EXISTS", "z");
    member[ZSET_MEMBER_BYTES_MAX] = '\0';
    EXPECT(":1\r\n", "ZADD", "z", "1", member);
    EXPECT("$1\r\n1\r\n", "ZSCORE", "z", member);
    free(member);
    kv_fixture_close();
}

FIBER_TEST(kv_zset, copies_renames_and_restarts_keep_trees)
{
    kv_fixture_open();
    add_many("z", 1000, 3);
    EXPECT(":1\r\n", "COPY", "z", "y");
    EXPECT("+OK\r\n", "RENAME", "z", "x");
    EXPECT(":1\r\n", "ZREM", "x", "00500");
    kv_fixture_reopen();
    cr_assert_eq(NUMBER("ZRANK", "y", "00999"), 999);
    cr_assert_eq(NUMBER("ZRANK", "x", "00999"), 998);
    EXPECT(":1\r\n", "DEL", "x");
    kv_fixture_close();
}

/* ---- Several sets ---- */

FIBER_TEST(kv_zset, unions_and_intersections_weigh_and_aggregate)
{
    kv_fixture_open();
    EXPECT(":3\r\n", "ZADD", "a", "1", "x", "2", "y", "3", "z");
    EXPECT(":2\r\n", "ZADD", "b", "10", "y", "20", "z");
    EXPECT(":2\r\n", "SADD", "s", "x", "z");
    EXPECT("*6\r\n$1\r\nx\r\n$1\r\n1\r\n$1\r\ny\r\n$2\r\n12\r\n$1\r\nz\r\n$2\r\n23\r\n", "ZUNION",
           "2", "a", "b", "WITHSCORES");
    EXPECT("*2\r\n$1\r\nz\r\n$2\r\n46\r\n", "ZINTER", "3", "a", "b", "s", "WEIGHTS", "1", "2", "3",
           "WITHSCORES");
    EXPECT("*2\r\n$1\r\nz\r\n$1\r\n1\r\n", "ZINTER", "3", "a", "b", "s", "AGGREGATE", "MIN",
           "WITHSCORES");
    EXPECT("*1\r\n$1\r\ny\r\n", "ZDIFF", "2", "a", "s");
    EXPECT(":2\r\n", "ZINTERCARD", "2", "a", "b");
    EXPECT(":1\r\n", "ZINTERCARD", "2", "a", "b", "LIMIT", "1");
    EXPECT(":3\r\n", "ZUNIONSTORE", "a", "2", "a", "b", "AGGREGATE", "MAX");
    EXPECT("$2\r\n20\r\n", "ZSCORE", "a", "z");
    EXPECT(":0\r\n", "ZDIFFSTORE", "a", "2", "b", "b");
    EXPECT(":0\r\n", "EXISTS", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_zset, large_sets_are_united_into_a_tree)
{
    kv_fixture_open();
    add_many("a", 3000, 1);
    add_many("b", 2000, 1);
    cr_assert_eq(NUMBER("ZUNIONSTORE", "u", "2", "a", "b"), 3000);
    EXPECT("$4\r\n3998\r\n", "ZSCORE", "u", "01999");
    EXPECT("$4\r\n2000\r\n", "ZSCORE", "u", "02000");
    cr_assert_eq(NUMBER("ZINTERSTORE", "i", "2", "a", "b"), 2000);
    cr_assert_eq(NUMBER("ZDIFFSTORE", "d", "2", "a", "b"), 1000);
    cr_assert_eq(NUMBER("ZRANK", "d", "02500"), 500);
    kv_fixture_close();
}

/* ---- Waiting ---- */

FIBER_TEST(kv_zset, where_nothing_may_wait_a_blocking_pop_answers_null)
{
    kv_fixture_open();
    EXPECT("*-1\r\n", "BZPOPMIN", "z", "0");
    EXPECT("*-1\r\n", "BZMPOP", "0", "1", "z", "MIN");
    EXPECT(":2\r\n", "ZADD", "z", "1", "a", "2", "b");
    EXPECT("*3\r\n$1\r\nz\r\n$1\r\nb\r\n$1\r\n2\r\n", "BZPOPMAX", "none", "z", "0");
    EXPECT("*2\r\n$1\r\nz\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\n1\r\n", "BZMPOP", "0", "2", "none", "z",
           "MAX", "COUNT", "5");
    EXPECT("-ERR timeout is negative\r\n", "BZPOPMIN", "z", "-1");
    kv_fixture_close();
}

/* ---- Random members ---- */

FIBER_TEST(kv_zset, random_members_come_with_their_scores)
{
    kv_fixture_open();
    EXPECT("$-1\r\n", "ZRANDMEMBER", "z");
    EXPECT("*0\r\n", "ZRANDMEMBER", "z", "5");
    add_many("z", 2000, 1);
    for (uint32_t i = 0; i < 20; i++) {
        struct slice reply = CALL("ZRANDMEMBER", "z", "1", "WITHSCORES");
        char number[6] = {0};

        cr_assert_eq(memcmp(reply.data, "*2\r\n$5\r\n", 8), 0);
        memcpy(number, reply.data + 8, 5);
        cr_assert_eq(strtoul((const char *)strchr((const char *)reply.data + 15, '\n'), NULL, 10),
                     strtoul(number, NULL, 10));
    }
    EXPECT(":1\r\n", "ZADD", "one", "1.5", "a");
    EXPECT("*4\r\n$1\r\na\r\n$3\r\n1.5\r\n$1\r\na\r\n$3\r\n1.5\r\n", "ZRANDMEMBER", "one", "-2",
           "WITHSCORES");
    EXPECT("*1\r\n$1\r\na\r\n", "ZRANDMEMBER", "one", "9");
    kv_fixture_close();
}

/* ---- Pages that the disk has spoiled ---- */

FIBER_TEST(kv_zset, malformed_pages_are_errors)
{
    static const char *const pages[] = {"", "\x10", "\x01", "\x00\x01\x02",
                                        "\x00\x00\x00\x00\x00\x00\x00\xf8\x7f\x01x"};
    static const size_t sizes[] = {0, 1, 1, 3, 11};
    struct zset_page page = {0};
    struct kv_request request = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    request.arena = &arena;
    for (uint32_t i = 0; i < ARRAY_COUNT(pages); i++) {
        cr_assert_eq(zset_page_decode(&request, slice_of(pages[i], sizes[i]), 5, &page),
                     ERR_CORRUPT, "page %u", i);
    }
    arena_fini(&arena);
}

/* ---- DUMP and RESTORE ---- */

FIBER_TEST(kv_zset, every_form_in_which_redis_stored_sorted_sets_is_restored)
{
    kv_fixture_open();
    EXPECT(":2\r\n", "ZADD", "z", "1.5", "a", "-inf", "b");
    add_many("big", 500, 1);
    for (uint32_t i = 0; i < 2; i++) {
        const char *name = i == 0 ? "z" : "big";
        struct slice reply = CALL("DUMP", name);
        const char *line = strchr((const char *)reply.data, '\n') + 1;
        struct slice words[] = {
            slice_from_text("RESTORE"),
            slice_from_text("copy"),
            slice_from_text("0"),
            slice_of(line, strtoul((const char *)reply.data + 1, NULL, 10)),
            slice_from_text("REPLACE"),
        };

        cr_assert(slice_equal(kv_call(words, ARRAY_COUNT(words)), slice_from_text("+OK\r\n")));
        cr_assert_eq(NUMBER("ZCARD", "copy"), i == 0 ? 2 : 500);
    }
    EXPECT(":499\r\n", "ZRANK", "copy", "00499");
    kv_fixture_close();
}
