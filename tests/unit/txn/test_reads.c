#include <stdio.h>

#include "engine/rt/shard.h"
#include "tests/lib/fiber_test.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/internal.h"
#include "txn/reads.h"

TestSuite(reads, .timeout = 60);

static struct reads reads;

#define READS_TEST(name)                                                                           \
    static void reads_##name##_case(void);                                                         \
    FIBER_TEST(reads, name)                                                                        \
    {                                                                                              \
        reads_init(&reads);                                                                        \
        reads_##name##_case();                                                                     \
        reads_fini(&reads);                                                                        \
    }                                                                                              \
    static void reads_##name##_case(void)

static bool
has_key(const char *key)
{
    return reads_has_key(&reads, slice_from_text(key));
}

static bool
has_range(const char *start, const char *end)
{
    return reads_has_range(&reads, slice_from_text(start), slice_from_text(end));
}

READS_TEST(a_key_is_read_and_its_neighbours_are_not)
{
    cr_assert(reads_is_empty(&reads));
    cr_assert_not(has_key("k"));
    cr_assert_not(has_range("a", ""));
    reads_add_key(&reads, SLICE("k"));
    reads_add_key(&reads, SLICE("k"));
    cr_assert_eq(reads.count, 1, "a repeat costs nothing");
    cr_assert(has_key("k"));
    cr_assert_not(has_key("kk"));
    cr_assert_not(has_key("j"));
    cr_assert(has_range("k", "kk"));
    cr_assert_not(has_range("j", "k"));
    cr_assert(has_range("a", ""));
    cr_assert_not(has_range("z", "k"), "empty");
    reads_clear(&reads);
    cr_assert(reads_is_empty(&reads));
    cr_assert_not(has_key("k"));
}

READS_TEST(ranges_that_lie_in_one_another_are_joined)
{
    reads_add_range(&reads, SLICE("m"), SLICE("p"));
    reads_add_range(&reads, SLICE("b"), SLICE("f"));
    reads_add_key(&reads, SLICE("c"));
    reads_add_range(&reads, SLICE("c"), SLICE("d"));
    reads_add_range(&reads, SLICE("f"), SLICE("h"));
    reads_add_key(&reads, SLICE("p"));
    reads_add_key(&reads, SLICE("m"));
    reads_add_range(&reads, SLICE("z"), SLICE(""));
    reads_add_range(&reads, SLICE("zz"), SLICE("zzz"));
    reads_add_range(&reads, SLICE("y"), SLICE("b"));
    cr_assert(has_key("b"));
    cr_assert_eq(reads.count, 4, "b-h, m-p, p, z-");
    cr_assert_eq(reads.ranges, 3);
    cr_assert(has_key("gg"));
    cr_assert_not(has_key("h"));
    cr_assert_not(has_key("l"));
    cr_assert(has_key("p"));
    cr_assert_not(has_key("pp"));
    cr_assert(has_key("zzzz"));
    cr_assert_not(has_key("y"));
    cr_assert_not(has_range("h", "m"));
    cr_assert(has_range("h", "mm"));
}

READS_TEST(a_set_can_be_everything)
{
    reads_add_range(&reads, SLICE(""), SLICE(""));
    cr_assert_not(reads_is_empty(&reads));
    cr_assert(has_key(""));
    cr_assert(has_key("k"));
    cr_assert(has_range("a", "b"));
    cr_assert_not(has_range("b", "a"));
    reads_add_key(&reads, SLICE("k"));
    cr_assert_eq(reads.bytes.size, 0);
}

/* ---- Against a list of all keys. ---- */

enum { KEYS = 200, ROUNDS = 300 };

static struct slice
number_key(uint32_t number, char *text, size_t size)
{
    int length = snprintf(text, size, "%05u", number);

    return slice_of(text, (size_t)length);
}

static void
model_add(bool *model)
{
    uint32_t from = (uint32_t)prng_below(shard_prng(), KEYS);
    uint32_t to = from + 1 + (uint32_t)prng_below(shard_prng(), 10);
    char lower[16];
    char upper[16];

    if (prng_below(shard_prng(), 3) > 0) {
        reads_add_key(&reads, number_key(from, lower, sizeof(lower)));
        model[from] = true;
        return;
    }
    reads_add_range(&reads, number_key(from, lower, sizeof(lower)),
                    number_key(to, upper, sizeof(upper)));
    for (uint32_t i = from; i < MIN(to, (uint32_t)KEYS); i++) {
        model[i] = true;
    }
}

static void
model_compare(const bool *model)
{
    for (uint32_t from = 0; from < KEYS; from++) {
        uint32_t to = from + (uint32_t)prng_below(shard_prng(), 6);
        bool is_any = false;
        char lower[16];
        char upper[16];

        for (uint32_t i = from; i < MIN(to, (uint32_t)KEYS); i++) {
            is_any |= model[i];
        }
        cr_assert_eq(reads_has_key(&reads, number_key(from, lower, sizeof(lower))), model[from]);
        if (to <= KEYS) {
            cr_assert_eq(reads_has_range(&reads, number_key(from, lower, sizeof(lower)),
                                         number_key(to, upper, sizeof(upper))),
                         is_any);
        }
    }
}

READS_TEST(sets_agree_with_a_list_of_all_keys)
{
    bool model[KEYS];

    for (uint32_t round = 0; round < ROUNDS; round++) {
        memset(model, 0, sizeof(model));
        reads_clear(&reads);
        for (uint32_t i = 0; i < 2; i++) { /* The second time onto what was sorted. */
            for (uint64_t left = prng_below(shard_prng(), 30); left > 0; left--) {
                model_add(model);
            }
            model_compare(model);
        }
    }
}

/* ---- Bounds. ---- */

READS_TEST(many_keys_become_ranges_and_none_is_forgotten)
{
    const uint32_t count = 5 * READS_KEYS_MAX;
    char key[16];

    for (uint32_t i = 0; i < count; i++) { /* In no order. */
        reads_add_key(&reads, number_key((i * 7919) % count, key, sizeof(key)));
        cr_assert(reads.count <= READS_KEYS_MAX);
    }
    cr_assert(reads.ranges > 0);
    cr_assert_not(reads.is_everything);
    for (uint32_t i = 0; i < count; i++) {
        cr_assert(reads_has_key(&reads, number_key(i, key, sizeof(key))));
    }
    cr_assert_not(has_key("z"));
    cr_assert_not(has_key("!"));
}

READS_TEST(long_keys_stay_within_the_bytes)
{
    static uint8_t key[60 << 10];

    for (uint32_t i = 0; i < 400; i++) {
        put_be32(key, i);
        reads_add_key(&reads, slice_of(key, sizeof(key)));
        cr_assert(reads.bytes.size <= READS_BYTES_MAX);
    }
    for (uint32_t i = 0; i < 400; i++) {
        put_be32(key, i);
        cr_assert(reads_has_key(&reads, slice_of(key, sizeof(key))));
    }
    put_be32(key, 400);
    cr_assert_not(reads_has_key(&reads, slice_of(key, sizeof(key))));
}

/* ---- Validation. ---- */

static bool
is_changed(uint64_t since)
{
    bool changed = false;
    bool answered = false;

    cr_assert_eq(reads_changed(&reads, store->lsm, since, true, &changed, &answered), ERR_OK);
    cr_assert(answered);
    return changed;
}

/* The moment of reading: its snapshot is held as a transaction holds it. */
static uint64_t
read_now(struct store_snapshot *snapshot)
{
    store_snapshot_drop(store, snapshot);
    store_snapshot_take(store, snapshot);
    return snapshot->held.ts;
}

static void
changes_case(void)
{
    struct store_snapshot snapshot;
    uint64_t since;

    reads_init(&reads);
    put("a", "1");
    put("m", "1");
    store_snapshot_take(store, &snapshot);
    since = snapshot.held.ts;
    reads_add_key(&reads, SLICE("a"));
    reads_add_key(&reads, SLICE("b"));
    reads_add_range(&reads, SLICE("m"), SLICE("p"));
    put("c", "1");
    put("p", "1");
    cr_assert_not(is_changed(since), "nothing that was read");
    put("n", "1");
    cr_assert(is_changed(since), "a new key in a range that was read");
    since = read_now(&snapshot);
    cr_assert_not(is_changed(since));
    put("b", "1");
    cr_assert(is_changed(since), "what was not there");
    since = read_now(&snapshot);
    delete_key("a");
    cr_assert(is_changed(since));
    since = read_now(&snapshot);
    reads_add_range(&reads, SLICE(""), SLICE(""));
    cr_assert_not(is_changed(since));
    put("zz", "1");
    cr_assert(is_changed(since), "everything was read");
    store_snapshot_drop(store, &snapshot);
    reads_fini(&reads);
}

Test(reads, what_was_read_is_compared_with_what_was_written_since)
{
    world_begin();
    life_begin();
    life_run(changes_case);
    life_close();
    world_end();
}
