/* Tests of models/kv/hyperloglog.c: estimates, forms, and strings as Redis has written them. */
#include <stdio.h>

#include "tests/unit/models/kv_fixture.h"

TestSuite(kv_hyperloglog, .timeout = 60);

#define NOT_HLL   "-WRONGTYPE Key is not a valid HyperLogLog string value.\r\n"
#define WRONGTYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"
#define CORRUPT   "-INVALIDOBJ Corrupted HLL object detected\r\n"

enum { DENSE_BYTES = 12304, ELEMENTS_AT_ONCE = 100 };

/* first, first + 1, ...: as decimal texts. */
static YIELDS void
add_numbers(const char *name, uint32_t first, uint32_t count)
{
    char texts[ELEMENTS_AT_ONCE][12];
    struct slice words[ELEMENTS_AT_ONCE + 2] = {SLICE("PFADD"), slice_from_text(name)};
    uint32_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        int length = snprintf(texts[used], sizeof(texts[used]), "%u", first + i);

        words[2 + used] = slice_of(texts[used], (size_t)length);
        if (++used == ELEMENTS_AT_ONCE || i + 1 == count) {
            (void)kv_call(words, 2 + used);
            used = 0;
        }
    }
}

static YIELDS void
set_bytes(const char *name, const uint8_t *bytes, size_t size)
{
    struct slice words[] = {SLICE("SET"), slice_from_text(name), slice_of(bytes, size)};

    cr_assert(slice_equal(kv_call(words, 3), SLICE("+OK\r\n")));
}

FIBER_TEST(kv_hyperloglog, adding_answers_whether_anything_changed)
{
    kv_fixture_open();
    EXPECT(":0\r\n", "PFCOUNT", "k");
    EXPECT(":1\r\n", "PFADD", "k");
    EXPECT(":0\r\n", "PFADD", "k");
    EXPECT(":0\r\n", "PFCOUNT", "k");
    EXPECT(":1\r\n", "PFADD", "k", "a", "b", "c", "", "a long element of more than eight bytes");
    EXPECT(":0\r\n", "PFADD", "k", "c", "");
    EXPECT(":5\r\n", "PFCOUNT", "k");
    EXPECT(":1\r\n", "EXPIRE", "k", "100");
    EXPECT(":1\r\n", "PFADD", "k", "d");
    EXPECT(":100\r\n", "TTL", "k");
    EXPECT("+string\r\n", "TYPE", "k");
    kv_fixture_close();
}

FIBER_TEST(kv_hyperloglog, estimates_stay_within_three_per_cent_and_become_dense)
{
    kv_fixture_open();
    add_numbers("k", 0, 400);
    cr_assert_lt(NUMBER("STRLEN", "k"), 3001);
    cr_assert(NUMBER("PFCOUNT", "k") > 388 && NUMBER("PFCOUNT", "k") < 412);
    add_numbers("k", 400, 9600);
    cr_assert_eq(NUMBER("STRLEN", "k"), DENSE_BYTES);
    cr_assert(NUMBER("PFCOUNT", "k") > 9700 && NUMBER("PFCOUNT", "k") < 10300);
    kv_fixture_close();
}

FIBER_TEST(kv_hyperloglog, merging_counts_each_element_once)
{
    kv_fixture_open();
    EXPECT(":1\r\n", "PFADD", "a", "x", "y", "z");
    EXPECT(":1\r\n", "PFADD", "b", "z", "w");
    EXPECT(":4\r\n", "PFCOUNT", "a", "b", "none", "a");
    EXPECT("+OK\r\n", "PFMERGE", "a", "b");
    EXPECT(":4\r\n", "PFCOUNT", "a");
    EXPECT("+OK\r\n", "PFMERGE", "new");
    EXPECT(":0\r\n", "PFCOUNT", "new");
    add_numbers("large", 0, 5000);
    EXPECT("+OK\r\n", "PFMERGE", "new", "large", "b");
    cr_assert_eq(NUMBER("STRLEN", "new"), DENSE_BYTES);
    cr_assert_eq(NUMBER("PFCOUNT", "new"), NUMBER("PFCOUNT", "large", "b"));
    EXPECT("+OK\r\n", "SET", "text", "x");
    EXPECT(":1\r\n", "SADD", "set", "m");
    EXPECT(NOT_HLL, "PFMERGE", "a", "text");
    EXPECT(NOT_HLL, "PFADD", "text", "y");
    EXPECT(NOT_HLL, "PFCOUNT", "a", "text");
    EXPECT(WRONGTYPE, "PFADD", "set", "y");
    EXPECT(WRONGTYPE, "PFCOUNT", "set");
    EXPECT(WRONGTYPE, "PFMERGE", "a", "set");
    EXPECT(":4\r\n", "PFCOUNT", "a");
    kv_fixture_close();
}

FIBER_TEST(kv_hyperloglog, damaged_runs_are_refused_and_a_stored_count_is_believed)
{
    /* Header, then one run of all the registers. */
    uint8_t bytes[20] = {'H', 'Y', 'L', 'L', 1, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0x7f, 0xff};

    kv_fixture_open();
    set_bytes("k", bytes, 18);
    EXPECT(":7\r\n", "PFCOUNT", "k");
    bytes[15] = 0x80;
    set_bytes("k", bytes, 18);
    EXPECT(":0\r\n", "PFCOUNT", "k");
    set_bytes("k", bytes, 17); /* The run is cut. */
    EXPECT(CORRUPT, "PFCOUNT", "k");
    EXPECT(CORRUPT, "PFADD", "k", "a");
    set_bytes("k", bytes, 19); /* A register too many. */
    EXPECT(CORRUPT, "PFCOUNT", "k", "k");
    bytes[17] = 0xfe; /* One too few. */
    set_bytes("k", bytes, 18);
    EXPECT(CORRUPT, "PFMERGE", "d", "k");
    EXPECT(":0\r\n", "EXISTS", "d");
    bytes[4] = 0; /* Dense, and too short. */
    set_bytes("k", bytes, 18);
    EXPECT(NOT_HLL, "PFCOUNT", "k");
    bytes[4] = 2;
    set_bytes("k", bytes, 18);
    EXPECT(NOT_HLL, "PFCOUNT", "k");
    kv_fixture_close();
}
