/* tests/unit/lsm/test_memtable.c - the memtable, its index, and what it keeps for snapshots. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/rt/fiber.h"
#include "lsm/lsm.h"
#include "lsm/memtable.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_memtable, .timeout = 30);

static struct snapshots snapshots;
static struct memtable *memtable;

static void
begin(void)
{
    snapshots_init(&snapshots);
    memtable = memtable_new(1 << 20, 42, NULL, NULL);
}

static void
put(const char *key, uint64_t ts, const char *value)
{
    struct lsm_entry entry = {.key = slice_from_text(key),
                              .value = slice_from_text(value),
                              .ts = ts,
                              .lsn = ts,
                              .slot = 7,
                              .kind = LSM_PUT};

    memtable_put(memtable, &entry, &snapshots);
}

static void
expect(const char *key, uint64_t snapshot, const char *value)
{
    const struct memtable_version *version = memtable_get(memtable, slice_from_text(key), snapshot);

    if (value == NULL) {
        cr_assert_null(version);
        return;
    }
    cr_assert_not_null(version);
    cr_assert(slice_equal(slice_of(version->value, version->value_size), slice_from_text(value)));
    cr_assert_eq(version->slot, 7);
}

Test(lsm_memtable, a_read_gives_the_newest_version_at_or_below_its_snapshot)
{
    begin();
    put("a", 10, "one");
    put("a", 30, "three");
    put("a", 20, "two"); /* Out of order, as from another shard's log. */
    expect("a", 9, NULL);
    expect("a", 10, "one");
    expect("a", 19, "one");
    expect("a", 20, "two");
    expect("a", 29, "two");
    expect("a", UINT64_MAX, "three");
    expect("b", UINT64_MAX, NULL);
    memtable_unpin(&memtable);
}

Test(lsm_memtable, applying_the_same_write_twice_changes_nothing)
{
    begin();
    put("a", 10, "one");
    put("a", 20, "a value that is longer than the one it follows by far");
    put("a", 10, "one");
    put("a", 20, "a value that is longer than the one it follows by far, and then some more bytes");
    cr_assert_eq(memtable->versions, 2);
    expect("a", 10, "one");
    expect("a", 20,
           "a value that is longer than the one it follows by far, and then some more bytes");
    memtable_unpin(&memtable);
}

Test(lsm_memtable, a_hot_key_does_not_fill_the_memtable)
{
    uint64_t bytes;
    char value[200];

    begin();
    put("hot", 1, "first");
    bytes = memtable_bytes(memtable);
    for (uint64_t ts = 2; ts < 100000; ts++) {
        snapshots.horizon = ts - ts % 50; /* As a timer sets it: behind the writes. */
        snprintf(value, sizeof(value), "%0*llu", (int)(ts % 150), (unsigned long long)ts);
        put("hot", ts, value);
    }
    expect("hot", UINT64_MAX, value);
    cr_assert_lt(memtable->versions, 120);
    cr_assert_lt(memtable_bytes(memtable), bytes + 120 * 400);
    memtable_unpin(&memtable);
}

Test(lsm_memtable, a_late_version_goes_to_its_place_if_anybody_may_see_it_there)
{
    struct lsm_snapshot held;

    begin();
    put("a", 10, "one");
    put("a", 40, "four");
    put("a", 20, "two");
    cr_assert_eq(memtable->versions, 3, "the horizon is at 0: all may be seen");
    snapshots_take(&snapshots, 35, &held);
    snapshots.horizon = 40;
    put("a", 25, "nobody saw it");
    expect("a", 29, "nobody saw it"); /* The snapshot at 35 does. */
    put("a", 30, "three");
    expect("a", 35, "three");
    cr_assert_eq(memtable->versions, 3, "and what it supersedes is gone");
    put("a", 5, "zero");
    cr_assert_eq(memtable->versions, 3, "what is superseded at 10 is not kept");
    expect("a", UINT64_MAX, "four");
    snapshots_drop(&held);
    put("a", 32, "again nobody");
    cr_assert_eq(memtable->versions, 3);
    memtable_unpin(&memtable);
}

/* The horizon of several shards follows by a while. */
Test(lsm_memtable, a_hot_key_is_collected_when_a_late_horizon_passes)
{
    enum { OVERWRITES = 200000, LAG = 5000 };
    uint64_t bytes;

    begin();
    for (uint64_t ts = 1; ts <= OVERWRITES; ts++) {
        if (ts % LAG == 0) {
            snapshots.horizon = ts - LAG;
        }
        put("hot", ts, "a value of which there are many versions");
        cr_assert_leq(memtable->versions, 4 * LAG);
    }
    bytes = memtable_bytes(memtable);
    cr_assert_leq(bytes, UINT64_C(4) * LAG * 128 + (1 << 20));
    memtable_unpin(&memtable);
}

Test(lsm_memtable, an_overwrite_that_no_snapshot_needs_happens_in_place)
{
    uint64_t bytes;

    begin();
    put("a", 1, "0123456789");
    bytes = memtable_bytes(memtable);
    for (uint64_t ts = 2; ts < 1000; ts++) {
        snapshots.horizon = ts;
        put("a", ts, "9876543210");
    }
    cr_assert_eq(memtable->versions, 1);
    cr_assert_eq(memtable_bytes(memtable), bytes);
    memtable_unpin(&memtable);
}

Test(lsm_memtable, held_snapshots_keep_one_version_each_of_a_hot_key)
{
    struct lsm_snapshot held[10];
    char value[32];

    begin();
    for (uint64_t ts = 1; ts <= 10000; ts++) {
        snapshots.horizon = ts;
        snprintf(value, sizeof(value), "%llu", (unsigned long long)ts);
        put("hot", ts, value);
        if (ts % 1000 == 0) {
            snapshots_take(&snapshots, ts, &held[ts / 1000 - 1]);
        }
    }
    cr_assert_leq(memtable->versions, 12);
    for (uint64_t i = 0; i < 10; i++) {
        snprintf(value, sizeof(value), "%llu", (unsigned long long)(i + 1) * 1000);
        expect("hot", (i + 1) * 1000, value);
        snapshots_drop(&held[i]);
    }
    snapshots.horizon = 20000;
    for (uint64_t ts = 10001; ts < 10050; ts++) {
        put("hot", ts, "last");
    }
    cr_assert_eq(memtable->versions, 1); /* Each write drops one that is not needed any more. */
    memtable_unpin(&memtable);
}

/* ---- The index. ---- */

enum { MANY = 20000 };

static struct slice many_keys[MANY];
static char many_bytes[MANY][40];

static int
compare(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* `shape` 0: hashes behind a prefix; 1: decimal, in order; 2: long common prefixes and keys that
 * extend others; 3: anything, the empty key among them. */
static uint32_t
many_make(uint32_t shape, struct prng *prng)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        uint8_t *at = (uint8_t *)many_bytes[i];
        size_t size = 0;

        switch (shape) {
        case 0:
            memcpy(at, "\1\0\0\0\2", 5);
            put_be64(at + 5, prng_next(prng));
            size = 13;
            break;
        case 1:
            size = (size_t)sprintf(many_bytes[i], "user:%08u", i);
            break;
        case 2:
            size = 12 + prng_below(prng, 20);
            memset(at, 'p', size);
            at[size - 1] = (uint8_t)prng_below(prng, 256);
            at[size / 2] = (uint8_t)prng_below(prng, 3);
            break;
        default:
            size = prng_below(prng, 6);
            for (size_t k = 0; k < size; k++) {
                at[k] = (uint8_t)prng_below(prng, 256);
            }
            break;
        }
        many_keys[i] = slice_of(at, size);
    }
    qsort(many_keys, MANY, sizeof(many_keys[0]), compare);
    for (uint32_t i = 0; i < MANY; i++) { /* Once each. */
        if (count == 0 || !slice_equal(many_keys[count - 1], many_keys[i])) {
            many_keys[count++] = many_keys[i];
        }
    }
    return count;
}

static uint32_t
rank_of(struct slice key, uint32_t count)
{
    uint32_t low = 0;

    while (low < count && slice_compare(many_keys[low], key) < 0) {
        low++;
    }
    return low;
}

static void
check_position(struct tree_position position, uint32_t rank, uint32_t count)
{
    if (rank >= count) { /* Also "before the first". */
        cr_assert(!tree_position_is_valid(position));
        return;
    }
    cr_assert(tree_position_is_valid(position));
    cr_assert(slice_equal(tree_key_slice(tree_at(position)), many_keys[rank]));
}

static void
index_run(uint32_t shape, bool shuffled)
{
    struct prng prng;
    struct arena arena;
    struct tree tree;
    struct tree_position position;
    uint32_t count;
    static uint32_t order[MANY];

    prng_init(&prng, 100 + shape);
    count = many_make(shape, &prng);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = shuffled ? (uint32_t)prng_below(&prng, i + 1) : i;

        order[i] = order[other];
        order[other] = i;
    }
    arena_init(&arena, MEM_MEMTABLE);
    tree_init(&tree, &arena);
    for (uint32_t i = 0; i < count; i++) {
        struct slice bytes = many_keys[order[i]];
        struct tree_key *key = arena_alloc(&arena, sizeof(*key) + bytes.size);

        key->size = (uint32_t)bytes.size;
        memcpy(key->bytes, bytes.data, bytes.size);
        tree_insert(&tree, key);
    }
    cr_assert_eq(tree.count, count);
    position = tree_first(&tree);
    for (uint32_t i = 0; i < count; i++, tree_next(&position)) {
        check_position(position, i, count);
    }
    cr_assert(!tree_position_is_valid(position));
    position = tree_last(&tree);
    for (uint32_t i = count; i-- > 0; tree_previous(&position)) {
        check_position(position, i, count);
    }
    cr_assert(!tree_position_is_valid(position));
    for (uint32_t i = 0; i < 400; i++) {
        struct slice key = many_keys[prng_below(&prng, count)];
        uint8_t changed[48];
        uint32_t rank;

        memcpy(changed, key.data, key.size);
        if (i % 3 == 0 && key.size > 0) {
            changed[prng_below(&prng, key.size)] ^= (uint8_t)(1u << prng_below(&prng, 8));
        }
        key = slice_of(changed, i % 5 == 0 ? prng_below(&prng, key.size + 1) : key.size);
        rank = rank_of(key, count);
        check_position(tree_seek(&tree, key), rank, count);
        check_position(tree_seek_before(&tree, key), rank - 1, count);
    }
    arena_fini(&arena);
}

Test(lsm_memtable, the_index_finds_what_a_sorted_array_finds)
{
    for (uint32_t shape = 0; shape < 4; shape++) {
        index_run(shape, true);
        index_run(shape, false);
    }
}

Test(lsm_memtable, the_index_tells_about_how_many_keys_lie_in_a_range)
{
    char text[32];
    uint64_t estimate;

    begin();
    for (uint32_t i = 0; i < 50000; i++) {
        snprintf(text, sizeof(text), "key-%u", i * 7919 % 100000);
        put(text, i + 1, "value");
    }
    estimate = key_index_estimate(&memtable->index, SLICE("key-2"), SLICE("key-7"));
    cr_assert_gt(estimate, 12500); /* 25,000 */
    cr_assert_lt(estimate, 50000);
    cr_assert_eq(key_index_estimate(&memtable->index, SLICE("z"), SLICE("zz")), 0);
    cr_assert_eq(key_index_estimate(&memtable->index, SLICE("a"), SLICE("b")), 0);
    memtable_unpin(&memtable);
}

/* ---- Tail and runs. ---- */

/* A record as the index knows it. */
static struct tree_key *
index_key_make(struct arena *arena, struct slice bytes)
{
    struct tree_key *key = arena_alloc(arena, sizeof(*key) + bytes.size);

    key->size = (uint32_t)bytes.size;
    memcpy(key->bytes, bytes.data, bytes.size);
    return key;
}

static bool is_there[MANY]; /* many_keys[i] is in the index. */

/* The first key there from `rank` on; MANY when there is none. */
static uint32_t
there_from(uint32_t rank, uint32_t count)
{
    while (rank < count && !is_there[rank]) {
        rank++;
    }
    return rank < count ? rank : MANY;
}

static uint32_t
there_before(uint32_t rank)
{
    while (rank > 0) {
        if (is_there[--rank]) {
            return rank;
        }
    }
    return MANY;
}

static void
check_iter(const struct index_iter *iter, uint32_t rank)
{
    if (rank == MANY) {
        cr_assert_null(iter->key);
        return;
    }
    cr_assert_not_null(iter->key);
    cr_assert(slice_equal(tree_key_slice(iter->key), many_keys[rank]));
}

/* One iterator that stays open and moves any way while keys come in, and the rank of its key. */
struct walker {
    struct index_iter iter;
    uint32_t rank; /* MANY: nowhere. */
};

static void
walker_seek(struct walker *walker, struct prng *prng, uint32_t count)
{
    uint32_t rank = (uint32_t)prng_below(prng, count);

    switch (prng_below(prng, 6)) {
    case 0:
        key_index_seek_first(&walker->iter);
        walker->rank = there_from(0, count);
        break;
    case 1:
        key_index_seek_last(&walker->iter);
        walker->rank = there_before(count);
        break;
    case 2:
    case 3:
        key_index_seek_before(&walker->iter, many_keys[rank]);
        walker->rank = there_before(rank);
        break;
    default:
        key_index_seek(&walker->iter, many_keys[rank]);
        walker->rank = there_from(rank, count);
        break;
    }
    check_iter(&walker->iter, walker->rank);
}

static uint32_t
rank_of_key(const struct tree_key *key, uint32_t count)
{
    uint32_t low = 0;
    uint32_t high = count;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if (slice_compare(many_keys[middle], tree_key_slice(key)) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A step passes nothing that was there when the walker was seeked, and goes to what is there. */
static void
walker_step(struct walker *walker, bool is_backward, const bool *was_there, uint32_t count)
{
    uint32_t from = walker->rank;
    uint32_t to;

    if (from == MANY) {
        return;
    }
    if (is_backward) {
        key_index_previous(&walker->iter);
    } else {
        key_index_next(&walker->iter);
    }
    to = walker->iter.key == NULL ? MANY : rank_of_key(walker->iter.key, count);
    walker->rank = to;
    if (to != MANY) {
        cr_assert(is_there[to]);
        cr_assert(is_backward ? to < from : to > from);
    }
    if (is_backward) {
        for (uint32_t i = to == MANY ? 0 : to + 1; i < from; i++) {
            cr_assert(!was_there[i]);
        }
    } else {
        for (uint32_t i = from + 1; i < (to == MANY ? count : to); i++) {
            cr_assert(!was_there[i]);
        }
    }
}

enum { WALKERS = 3, GROUP_KEYS = 700 };

static void
shuffle(uint32_t *order, uint32_t count, struct prng *prng)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t other = (uint32_t)prng_below(prng, i + 1);
        uint32_t rank = order[i];

        order[i] = order[other];
        order[other] = rank;
    }
}

/* Keys that lie together come together, as the elements of one collection do: so runs overlap in
 * part, and much of one follows the end of another. */
static void
groups_shuffle(uint32_t *order, uint32_t count, struct prng *prng)
{
    uint32_t groups[MANY / GROUP_KEYS + 1];
    uint32_t group_count = (count + GROUP_KEYS - 1) / GROUP_KEYS;
    uint32_t filled = 0;

    for (uint32_t i = 0; i < group_count; i++) {
        groups[i] = i;
    }
    shuffle(groups, group_count, prng);
    for (uint32_t i = 0; i < group_count; i++) {
        uint32_t first = groups[i] * GROUP_KEYS;
        uint32_t size = MIN(count - first, (uint32_t)GROUP_KEYS);

        for (uint32_t k = 0; k < size; k++) {
            order[filled + k] = first + k;
        }
        shuffle(order + filled, size, prng);
        filled += size;
    }
}

static void
runs_run(uint32_t shape, uint64_t seed, uint32_t lookups)
{
    static bool was_there[WALKERS][MANY];
    static uint32_t order[MANY];
    struct walker walkers[WALKERS];
    struct prng prng;
    struct arena arena;
    struct key_index index;
    uint32_t count;

    prng_init(&prng, seed);
    count = many_make(shape, &prng);
    memset(is_there, 0, sizeof(is_there));
    memset(was_there, 0, sizeof(was_there));
    for (uint32_t i = 0; i < count; i++) {
        order[i] = i;
    }
    if (seed % 4 == 1) {
        groups_shuffle(order, count, &prng);
    } else if (seed % 4 != 0) {
        shuffle(order, count, &prng);
    }
    arena_init(&arena, MEM_MEMTABLE);
    key_index_init(&index, &arena);
    for (uint32_t i = 0; i < WALKERS; i++) {
        key_index_iter_init(&walkers[i].iter, &index);
        walkers[i].rank = MANY;
    }
    for (uint32_t i = 0; i < count; i++) {
        key_index_insert(&index, index_key_make(&arena, many_keys[order[i]]));
        is_there[order[i]] = true;
        if (prng_below(&prng, 1000) >= lookups) {
            continue;
        }
        for (uint32_t k = 0; k < WALKERS; k++) {
            if (walkers[k].rank == MANY || prng_below(&prng, 10) == 0) {
                walker_seek(&walkers[k], &prng, count);
                memcpy(was_there[k], is_there, sizeof(is_there));
            }
            for (uint64_t steps = prng_below(&prng, 6); steps > 0; steps--) {
                walker_step(&walkers[k], prng_below(&prng, 8) < (k == 0 ? 8 : k), was_there[k],
                            count);
            }
        }
    }
    cr_assert_eq(index.count, count);
    key_index_seek_first(&walkers[0].iter);
    for (uint32_t i = 0; i < count; i++, key_index_next(&walkers[0].iter)) {
        check_iter(&walkers[0].iter, i);
    }
    cr_assert_null(walkers[0].iter.key);
    key_index_seek_last(&walkers[0].iter);
    for (uint32_t i = count; i-- > 0; key_index_previous(&walkers[0].iter)) {
        check_iter(&walkers[0].iter, i);
    }
    cr_assert_null(walkers[0].iter.key);
    for (uint32_t i = 0; i < WALKERS; i++) {
        key_index_iter_fini(&walkers[i].iter);
    }
    key_index_fini(&index);
    arena_fini(&arena);
}

Test(lsm_memtable, runs_are_merged_under_iterators_that_keep_their_place)
{
    for (uint32_t shape = 0; shape < 4; shape++) {
        for (uint64_t seed = 0; seed < 8; seed++) {
            runs_run(shape, 1000 + shape * 100 + seed, seed == 3 ? 1 : 20);
        }
    }
}

Test(lsm_memtable, keys_that_come_in_order_make_one_run)
{
    struct arena arena;
    struct key_index index;
    char text[32];

    arena_init(&arena, MEM_MEMTABLE);
    key_index_init(&index, &arena);
    for (uint32_t i = 0; i < 100000; i++) {
        snprintf(text, sizeof(text), "%016u", i + 500000);
        key_index_insert(&index, index_key_make(&arena, slice_from_text(text)));
    }
    cr_assert_leq(index.run_count + 3 * index.merge_count, 3);
    cr_assert_lt(index.bytes, 100000 * 32);
    key_index_fini(&index);
    arena_fini(&arena);
}

Test(lsm_memtable, keys_in_any_order_make_few_runs_and_scans_make_one_of_them)
{
    struct prng prng;
    struct arena arena;
    struct key_index index;
    struct index_iter iter;
    uint32_t most = 0;
    uint8_t bytes[16];

    prng_init(&prng, 3);
    arena_init(&arena, MEM_MEMTABLE);
    key_index_init(&index, &arena);
    for (uint32_t i = 0; i < 200000; i++) {
        put_be64(bytes, prng_next(&prng));
        put_be64(bytes + 8, i);
        key_index_insert(&index, index_key_make(&arena, slice_of(bytes, sizeof(bytes))));
        most = MAX(most, index.run_count + 3 * index.merge_count);
    }
    cr_assert_leq(most, 24);
    cr_assert_lt(index.bytes, 200000 * 32);
    key_index_iter_init(&iter, &index);
    for (uint32_t i = 0; i < 20000; i++) {
        put_be64(bytes, prng_next(&prng));
        key_index_seek(&iter, slice_of(bytes, sizeof(bytes)));
    }
    cr_assert_eq(index.run_count + 3 * index.merge_count, 1);
    key_index_iter_fini(&iter);
    key_index_fini(&index);
    arena_fini(&arena);
}

Test(lsm_memtable, an_iterator_stays_in_place_while_others_write)
{
    struct memtable_iter iter;
    struct prng prng;
    char text[32];
    uint64_t ts = 1;
    uint32_t seen = 0;

    begin();
    prng_init(&prng, 5);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(text, sizeof(text), "key-%04u", i);
        put(text, ts++, "old");
        put(text, ts++, "new");
    }
    memtable_iter_init(&iter, memtable);
    for (memtable_iter_seek_first(&iter); memtable_iter_is_valid(&iter); seen++) {
        snprintf(text, sizeof(text), "key-%04u", seen / 2);
        cr_assert(slice_equal(iter.entry.key, slice_from_text(text)));
        cr_assert(slice_equal(iter.entry.value, seen % 2 == 0 ? SLICE("new") : SLICE("old")));
        for (uint32_t i = 0; i < 10; i++) { /* Before it, so that its leaf splits and moves. */
            snprintf(text, sizeof(text), "key-%04u+%u", (uint32_t)prng_below(&prng, seen / 2 + 1),
                     (uint32_t)prng_below(&prng, 100000));
            if (slice_compare(slice_from_text(text), iter.entry.key) < 0) {
                put(text, ts++, "other");
            }
        }
        memtable_iter_next(&iter);
    }
    cr_assert_eq(seen, 2000);
    memtable_iter_fini(&iter);
    memtable_unpin(&memtable);
}

/* ---- Versions in order. ---- */

struct written {
    uint32_t key;
    uint64_t ts;
};

enum { WRITTEN_MAX = 6000, WRITTEN_KEYS = 2500 };

static struct written written[WRITTEN_MAX];
static uint32_t written_count;

static int
written_compare(const void *a, const void *b)
{
    const struct written *left = a;
    const struct written *right = b;

    if (left->key != right->key) {
        return left->key < right->key ? -1 : 1;
    }
    return left->ts > right->ts ? -1 : left->ts < right->ts;
}

static void
written_check(const struct memtable_iter *iter, int64_t at)
{
    char text[32];

    if (at < 0 || at >= written_count) {
        cr_assert(!memtable_iter_is_valid(iter));
        return;
    }
    cr_assert(memtable_iter_is_valid(iter));
    snprintf(text, sizeof(text), "key-%05u", written[at].key);
    cr_assert(slice_equal(iter->entry.key, slice_from_text(text)));
    cr_assert_eq(iter->entry.ts, written[at].ts);
}

/* First place at or behind (key, ts), versions newest first. */
static int64_t
written_rank(uint32_t key, uint64_t ts)
{
    int64_t at = 0;

    while (at < written_count &&
           (written[at].key < key || (written[at].key == key && written[at].ts > ts))) {
        at++;
    }
    return at;
}

static void
walk_both_ways(struct prng *prng)
{
    struct memtable_iter iter;
    struct memtable_iter other;
    uint32_t key = (uint32_t)prng_below(prng, WRITTEN_KEYS);
    uint64_t ts = prng_below(prng, WRITTEN_MAX + 1);
    char text[32];
    int64_t at;

    memtable_iter_init(&iter, memtable);
    memtable_iter_init(&other, memtable);
    if (prng_below(prng, 2) == 0) { /* A version that there is. */
        const struct written *one = &written[prng_below(prng, written_count)];

        key = one->key;
        ts = one->ts;
    }
    snprintf(text, sizeof(text), "key-%05u", key);
    if (prng_below(prng, 2) == 0) {
        memtable_iter_seek(&iter, slice_from_text(text), ts);
        at = written_rank(key, ts);
    } else {
        memtable_iter_seek_before(&iter, slice_from_text(text));
        at = written_rank(key, UINT64_MAX) - 1;
    }
    written_check(&iter, at);
    for (uint32_t step = 0; step < 60 && memtable_iter_is_valid(&iter); step++) {
        if (prng_below(prng, 10) == 0) { /* Pays for a merge beneath the first. */
            memtable_iter_seek(&other, SLICE("key-01000"), LSM_TS_MAX);
        }
        if (prng_below(prng, 8) < (ts % 2 == 0 ? 1 : 7)) {
            memtable_iter_next(&iter);
            at++;
        } else {
            memtable_iter_previous(&iter);
            at--;
        }
        written_check(&iter, at);
    }
    memtable_iter_fini(&iter);
    memtable_iter_fini(&other);
}

Test(lsm_memtable, versions_are_walked_both_ways_as_a_sorted_array_is)
{
    struct prng prng;
    char text[32];

    for (uint64_t seed = 1; seed <= 3; seed++) {
        begin();
        prng_init(&prng, seed);
        written_count = 0;
        for (uint64_t ts = 1; ts <= WRITTEN_MAX; ts++) {
            uint32_t key = (uint32_t)prng_below(&prng, WRITTEN_KEYS);

            snprintf(text, sizeof(text), "key-%05u", key);
            put(text, ts, "value");
            written[written_count++] = (struct written){.key = key, .ts = ts};
            if (ts % 1000 == 0) {
                qsort(written, written_count, sizeof(written[0]), written_compare);
                for (uint32_t i = 0; i < 100; i++) {
                    walk_both_ways(&prng);
                }
            }
        }
        memtable_unpin(&memtable);
    }
}

Test(lsm_memtable, a_snapshot_held_for_long_keeps_one_version_of_each_key)
{
    enum { KEYS = 1000, ROUNDS = 100, HELD = 3 };
    struct lsm_snapshot held[HELD];
    uint64_t ts = 0;
    uint64_t bytes = 0;
    char text[32];
    char value[32];

    begin();
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t key = 0; key < KEYS; key++) {
            snapshots.horizon = ++ts;
            snprintf(text, sizeof(text), "key-%05u", key);
            snprintf(value, sizeof(value), "%08u", round);
            put(text, ts, value);
        }
        if (round < HELD) {
            snapshots_take(&snapshots, ts, &held[round]);
        }
        if (round == HELD + 1) {
            bytes = memtable_bytes(memtable);
        }
    }
    cr_assert_eq(memtable->versions, KEYS * (HELD + 1));
    cr_assert_eq(memtable_bytes(memtable), bytes);
    for (uint32_t i = 0; i < HELD; i++) {
        snprintf(value, sizeof(value), "%08u", i);
        expect("key-00123", held[i].ts, value);
        snapshots_drop(&held[i]);
    }
    memtable_unpin(&memtable);
}

/* ---- The pool. ---- */

static uint64_t
fill(struct memtable *into, uint64_t bytes)
{
    static const uint8_t value[1000];
    char text[32];
    uint64_t ts = 0;

    snapshots_init(&snapshots);
    while (memtable_bytes(into) < bytes) {
        struct lsm_entry entry = {.ts = ++ts, .lsn = ts, .kind = LSM_PUT};

        snprintf(text, sizeof(text), "key-%08llu", (unsigned long long)(ts * 7919 % 1000003));
        entry.key = slice_from_text(text);
        entry.value = slice_of(value, sizeof(value));
        memtable_put(into, &entry, &snapshots);
    }
    return ts;
}

Test(lsm_memtable, the_memory_of_one_memtable_is_used_by_the_next)
{
    const struct mem_account *account = mem_account_current();
    uint64_t before = mem_used(account, MEM_MEMTABLE);
    struct memtable_pool pool;
    uint64_t filled;
    uint64_t keys;

    memtable_pool_init(&pool, 24 << 20);
    memtable = memtable_new(32 << 20, 42, NULL, &pool);
    keys = fill(memtable, 30 << 20);
    filled = mem_used(account, MEM_MEMTABLE);
    memtable_unpin(&memtable);
    cr_assert_gt(memtable_pool_bytes(&pool), 20 << 20);
    cr_assert_leq(memtable_pool_bytes(&pool), 26 << 20); /* The bound, and the hash index. */
    cr_assert_eq(mem_used(account, MEM_MEMTABLE) - before, memtable_pool_bytes(&pool));

    memtable = memtable_new(32 << 20, 42, NULL, &pool);
    cr_assert_eq(fill(memtable, 30 << 20), keys); /* Nothing of the first shows. */
    cr_assert_eq(memtable->index.count, keys);
    cr_assert_leq(mem_used(account, MEM_MEMTABLE), filled + (2 << 20));
    cr_assert_eq(memtable_pool_bytes(&pool), 0);
    memtable_unpin(&memtable);

    while (memtable_pool_shrink(&pool, 8 << 20)) {}
    cr_assert_leq(memtable_pool_bytes(&pool), 10 << 20);
    while (memtable_pool_shrink(&pool, 0)) {}
    cr_assert_eq(mem_used(account, MEM_MEMTABLE), before);
}

FIBER_TEST(lsm_memtable, an_idle_tree_gives_the_memory_of_flushed_memtables_back)
{
    enum { ENTRIES = 12000, SECOND_US = 1000 * 1000 };
    static const uint8_t value[1000];
    const struct lsm_options options = {.dir = "idle", .memtable_bytes = 16 << 20};
    const struct mem_account *account = mem_account_current();
    struct lsm_recovered recovered;
    struct lsm *lsm;
    uint64_t kept;
    char text[32];

    cr_assert_eq(lsm_open(&options, &recovered, &lsm), ERR_OK);
    for (uint64_t ts = 1; ts <= ENTRIES; ts++) {
        struct lsm_entry entry = {.ts = ts, .lsn = ts, .kind = LSM_PUT};

        snprintf(text, sizeof(text), "key-%08llu", (unsigned long long)ts);
        entry.key = slice_from_text(text);
        entry.value = slice_of(value, sizeof(value));
        lsm_apply(lsm, &entry);
    }
    lsm_rotate(lsm, ENTRIES, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(lsm), ERR_OK);
    cr_assert_eq(fiber_sleep_us(SECOND_US), ERR_OK);
    kept = mem_used(account, MEM_MEMTABLE);
    cr_assert_gt(kept, 8 << 20);
    cr_assert_eq(fiber_sleep_us(15 * SECOND_US), ERR_OK);
    cr_assert_lt(mem_used(account, MEM_MEMTABLE), 4 << 20);
    lsm_close(&lsm);
}
