/* tests/unit/lsm/test_compaction.c - what flush and compaction keep, drop, and do on failures. */
#include <errno.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/prng.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"
#include "lsm/internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_compaction, .timeout = 60);

enum { BOTTOM = LSM_LEVELS - 1 };

#define SECOND_TS (UINT64_C(1000000) << 12)

static struct lsm *tree;
static struct lsm_recovered recovered;
static uint64_t lsn;
static const struct slice everything = {NULL, 0};

static void
open_with(bool background_off)
{
    const struct lsm_options options = {
        .dir = "tree",
        .memtable_bytes = 64 << 10,
        .memtables_max = 2,
        .table_bytes = 16 << 10,
        .level_base_bytes = 64 << 10,
        .background_off = background_off,
    };

    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
}

static void
put_as(const char *key, uint64_t ts, enum lsm_kind kind, uint64_t expire_us, struct slice value)
{
    struct lsm_entry entry = {.key = slice_from_text(key),
                              .value = value,
                              .ts = ts,
                              .expire_us = expire_us,
                              .lsn = ++lsn,
                              .kind = (uint8_t)kind};

    lsm_apply(tree, &entry);
}

static void
put(const char *key, uint64_t ts)
{
    put_as(key, ts, LSM_PUT, 0, slice_from_text(key));
}

static void
delete_key(const char *key, uint64_t ts)
{
    put_as(key, ts, LSM_DELETE, 0, slice_of(NULL, 0));
}

static void
delete_range(const char *start, const char *end, uint64_t ts)
{
    struct lsm_range_delete range = {
        .start = slice_from_text(start), .end = slice_from_text(end), .ts = ts, .lsn = ++lsn};

    lsm_apply_range_delete(tree, &range);
}

static void
flush(void)
{
    lsm_rotate(tree, lsn, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(tree), ERR_OK);
}

static bool
found(const char *key, uint64_t snapshot)
{
    struct arena arena;
    struct lsm_value value;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(lsm_get(tree, slice_from_text(key), snapshot, &arena, &value), ERR_OK);
    arena_fini(&arena);
    return value.is_found;
}

static uint64_t
entries_in_tables(void)
{
    uint64_t entries = 0;

    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        for (uint32_t k = 0; k < tree->version->levels[i].count; k++) {
            entries += tree->version->levels[i].tables[k]->meta->entries;
        }
    }
    return entries;
}

static uint32_t
table_count(uint32_t level)
{
    return tree->version->levels[level].count;
}

FIBER_TEST(lsm_compaction, a_flush_writes_what_a_snapshot_sees_and_no_other_version)
{
    struct lsm_snapshot held;

    open_with(true);
    for (uint64_t ts = 1; ts <= 10; ts++) {
        put("a", ts); /* The horizon is 0: all are kept in memory. */
        if (ts == 4) {
            lsm_snapshot_take(tree, ts, &held);
        }
    }
    lsm_horizon_set(tree, 10);
    flush();
    cr_assert_eq(entries_in_tables(), 2);
    cr_assert(found("a", 4));
    cr_assert(found("a", 10));
    lsm_snapshot_drop(tree, &held);
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 1);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, without_a_horizon_every_version_stays)
{
    open_with(true);
    for (uint64_t ts = 1; ts <= 10; ts++) {
        put("a", ts);
    }
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 10);
    cr_assert(!found("a", 0));
    cr_assert(found("a", 1));
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_delete_stays_while_something_older_lies_below_it)
{
    open_with(true);
    put("a", 1);
    put("b", 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    delete_key("a", 2);
    lsm_horizon_set(tree, 5);
    flush();
    cr_assert_eq(entries_in_tables(), 3);
    cr_assert(!found("a", 5));
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 1);
    cr_assert(!found("a", 5));
    cr_assert(found("b", 5));
    delete_key("c", 6); /* Hides nothing anywhere. */
    lsm_horizon_set(tree, 7);
    flush();
    cr_assert_eq(table_count(0), 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, an_expired_value_goes_when_no_snapshot_sees_it_alive)
{
    struct lsm_snapshot held;

    open_with(true);
    put_as("a", SECOND_TS, LSM_PUT, 1500000, SLICE("value")); /* Lives for half a second. */
    lsm_snapshot_take(tree, SECOND_TS, &held);
    lsm_horizon_set(tree, 2 * SECOND_TS);
    flush();
    cr_assert(found("a", SECOND_TS));
    cr_assert(!found("a", 2 * SECOND_TS));
    cr_assert_eq(entries_in_tables(), 1);
    lsm_snapshot_drop(tree, &held);
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 0);
    lsm_close(&tree);
}

static void
fill(const char *prefix, uint32_t count, uint64_t ts)
{
    char key[64];

    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s%08u", prefix, i * 2654435761u);
        put(key, ts);
    }
}

/* Through the disk's counters: dropping reads no block of the tables that go. */
FIBER_TEST(lsm_compaction, tables_under_a_range_delete_go_unread_when_no_snapshot_needs_them)
{
    struct lsm_snapshot held;
    uint64_t reads;
    bool did = false;

    open_with(true);
    fill("aaaaa", 2000, 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_gt(table_count(BOTTOM), 2);
    lsm_snapshot_take(tree, 1, &held);
    cr_assert(!lsm_wants_rotation(tree));
    delete_range("a", "b", 5);
    cr_assert(lsm_wants_rotation(tree), "to free the tables soon");
    lsm_horizon_set(tree, 6);
    flush();
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(!did, "the snapshot needs them");
    lsm_snapshot_drop(tree, &held);
    reads = sim_disk_count(sim_world_current(), SIM_OP_READ);
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(did);
    cr_assert_eq(table_count(BOTTOM), 0);
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert_eq(table_count(0), 0, "the range delete hides nothing any more");
    cr_assert_eq(sim_disk_count(sim_world_current(), SIM_OP_READ), reads);
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(!did);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_scan_over_deleted_tables_reads_none_of_them)
{
    struct lsm_iter *iter = NULL;
    uint64_t reads;

    open_with(true);
    fill("aaaaa", 4000, 1);
    fill("ccccc", 10, 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    delete_range("a", "b", 5);
    cr_assert_eq(lsm_iter_open(tree, everything, everything, 6, &iter), ERR_OK);
    reads = sim_disk_count(sim_world_current(), SIM_OP_READ);
    cr_assert_eq(lsm_iter_first(iter), ERR_OK);
    cr_assert(lsm_iter_is_valid(iter));
    cr_assert_eq(lsm_iter_entry(iter)->key.data[0], 'c');
    cr_assert_leq(lsm_iter_lsn(iter), lsn);
    cr_assert_eq(lsm_iter_lsn(iter), lsn, "what it has passed includes the range delete");
    cr_assert_eq(lsm_iter_previous(iter), ERR_OK);
    cr_assert(!lsm_iter_is_valid(iter));
    cr_assert_leq(sim_disk_count(sim_world_current(), SIM_OP_READ) - reads, 4);
    lsm_iter_close(&iter);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_table_with_nothing_below_moves_without_being_read)
{
    struct lsm_stats before;
    struct lsm_stats after;
    bool did = true;

    open_with(true);
    for (char c = 'a'; c < 'e'; c++) {
        char prefix[6] = {'k', 'e', 'y', 's', 'p', 0};

        fill(prefix, 100, (uint64_t)c);
        flush();
    }
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(did);
    cr_assert_eq(table_count(0), 0);
    fill("keysq", 100, 1000);
    flush();
    lsm_stats_get(tree, &before);
    cr_assert_eq(lsm_compact(tree, SLICE("keysq"), SLICE("keysr")), ERR_OK);
    lsm_stats_get(tree, &after);
    cr_assert_eq(after.trivial_moves, before.trivial_moves + 1);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, tables_are_cut_where_the_keyspace_changes)
{
    open_with(true);
    fill("aaaaa", 300, 1);
    fill("aaaab", 300, 1);
    fill("baaaa", 300, 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_geq(table_count(BOTTOM), 3);
    for (uint32_t i = 0; i < table_count(BOTTOM); i++) {
        const struct table_meta *meta = tree->version->levels[BOTTOM].tables[i]->meta;

        cr_assert_eq(memcmp(meta->smallest.data, meta->largest.data, LSM_KEYSPACE_BYTES), 0);
    }
    lsm_close(&tree);
}

/* ---- Failing disks. ---- */

FIBER_TEST(lsm_compaction, a_full_disk_refuses_writes_and_not_reads_and_heals)
{
    err_t err = ERR_OK;
    uint32_t i;
    char key[32];

    open_with(false);
    sim_disk_fail_next(sim_world_current(), SIM_OP_WRITE, ".table", 0, 5, -ENOSPC);
    for (i = 0; i < 100000 && err == ERR_OK; i++) {
        err = lsm_wait_room(tree, 100);
        if (err == ERR_OK) {
            snprintf(key, sizeof(key), "key-%u", i);
            put(key, i + 1);
            if (lsm_wants_rotation(tree)) {
                lsm_rotate(tree, lsn, slice_of(NULL, 0));
            }
        }
    }
    cr_assert_eq(err, ERR_NO_SPACE);
    cr_assert(found("key-0", i));
    while (lsm_wait_room(tree, 100) != ERR_OK) { /* Retried with back-off until there is space. */
        cr_assert_eq(fiber_sleep_us(1000000), ERR_OK);
    }
    put("last", i + 1);
    cr_assert(found("key-0", i + 1));
    cr_assert(found("last", i + 1));
    lsm_close(&tree);
}

static void
largest_table(const char *path, uint64_t size, void *arg)
{
    (void)size;
    if (strstr(path, ".table") != NULL) {
        snprintf(arg, IO_PATH_BYTES_MAX, "%s", path);
    }
}

FIBER_TEST(lsm_compaction, a_corrupt_table_is_left_alone_after_one_failure)
{
    char path[IO_PATH_BYTES_MAX] = "";
    struct lsm_stats stats;
    bool did = false;

    open_with(true);
    for (uint64_t i = 1; i <= 4; i++) {
        fill("aaaaa", 200, i);
        lsm_horizon_set(tree, i);
        flush();
    }
    sim_disk_visit(sim_world_current(), largest_table, path);
    cr_assert(sim_disk_flip_bit(sim_world_current(), path, 300));
    cr_assert_eq(compact_step(tree, &did), ERR_CORRUPT);
    lsm_stats_get(tree, &stats);
    cr_assert_eq(stats.tables_shunned, 1);
    cr_assert_eq(table_count(0), 4, "the inputs are left");
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(!did, "three tables are not enough");
    cr_assert_eq(lsm_verify(tree), ERR_CORRUPT);
    cr_assert_not_null(strstr(err_message(ERR_CORRUPT), path));
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(table_count(0), 1, "the others were compacted");
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_missing_table_is_named_at_open_and_a_stray_one_removed)
{
    char path[IO_PATH_BYTES_MAX] = "";
    char away[] = "away.table";
    const struct lsm_options options = {.dir = "tree", .background_off = true};
    struct io_file *file = NULL;

    open_with(true);
    fill("aaaaa", 200, 1);
    flush();
    lsm_close(&tree);
    sim_disk_visit(sim_world_current(), largest_table, path);
    cr_assert_eq(io_open("tree/00000000000000ff.table", IO_CREATE, &file), ERR_OK);
    io_close(&file);
    cr_assert_eq(io_rename(path, away), ERR_OK);
    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_CORRUPT);
    cr_assert_not_null(strstr(err_message(ERR_CORRUPT), path));
    cr_assert_null(tree);
    cr_assert(sim_disk_exists(sim_world_current(), "tree/00000000000000ff.table"),
              "nothing is removed from a folder that cannot be opened");
    cr_assert_eq(io_rename(away, path), ERR_OK);
    open_with(true);
    cr_assert(sim_disk_exists(sim_world_current(), "tree/00000000000000ff.table"),
              "the log that is to be read may name it");
    cr_assert_eq(lsm_files_collect(tree), ERR_OK);
    cr_assert(!sim_disk_exists(sim_world_current(), "tree/00000000000000ff.table"));
    cr_assert_eq(entries_in_tables(), 200);
    lsm_close(&tree);
}

/* ---- Large values. ---- */

static void
count_vlogs(const char *path, uint64_t size, void *arg)
{
    (void)size;
    *(uint32_t *)arg += strstr(path, ".vlog") != NULL;
}

static uint32_t
vlog_count(void)
{
    uint32_t count = 0;

    sim_disk_visit(sim_world_current(), count_vlogs, &count);
    return count;
}

FIBER_TEST(lsm_compaction, a_large_value_lives_as_long_as_something_points_to_it)
{
    enum { LARGE_BYTES = 200000 };
    uint8_t *large = mem_zalloc(MEM_SESSIONS, LARGE_BYTES);
    uint8_t encoded[VLOG_POINTER_BYTES];
    struct vlog_pointer pointer;
    struct arena arena;
    struct lsm_value value;

    memset(large, 'v', LARGE_BYTES);
    arena_init(&arena, MEM_SESSIONS);
    open_with(true);
    cr_assert_eq(vlog_append(lsm_vlog(tree), slice_of(large, LARGE_BYTES), &pointer), ERR_OK);
    vlog_pointer_encode(&pointer, encoded);
    put_as("a", 1, LSM_PUT_LARGE, 0, slice_of(encoded, sizeof(encoded)));
    vlog_release_hold(lsm_vlog(tree), &pointer);
    cr_assert_eq(lsm_get(tree, SLICE("a"), 1, &arena, &value), ERR_OK);
    cr_assert(slice_equal(value.value, slice_of(large, LARGE_BYTES)));
    flush();
    lsm_close(&tree);
    open_with(true);
    cr_assert_eq(vlog_collect(lsm_vlog(tree)), ERR_OK);
    cr_assert_eq(vlog_count(), 1, "the table's record in the manifest names it");
    cr_assert_eq(lsm_get(tree, SLICE("a"), 1, &arena, &value), ERR_OK);
    cr_assert(slice_equal(value.value, slice_of(large, LARGE_BYTES)));
    delete_key("a", 2);
    lsm_horizon_set(tree, 3);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 0);
    lsm_close(&tree);
    open_with(true);
    cr_assert_eq(vlog_collect(lsm_vlog(tree)), ERR_OK);
    lsm_close(&tree);
    cr_assert_eq(vlog_count(), 0);
    arena_fini(&arena);
    mem_free(MEM_SESSIONS, large, LARGE_BYTES);
}

FIBER_TEST(lsm_compaction, a_read_below_the_horizon_is_refused_unless_its_snapshot_is_held)
{
    struct lsm_snapshot held;
    struct arena arena;
    struct lsm_value value;
    struct lsm_iter *iter = NULL;

    arena_init(&arena, MEM_SESSIONS);
    open_with(true);
    put("a", 5);
    lsm_snapshot_take(tree, 6, &held);
    lsm_horizon_set(tree, 10);
    put("a", 11);
    cr_assert_eq(lsm_get(tree, SLICE("a"), 6, &arena, &value), ERR_OK);
    cr_assert_eq(value.ts, 5);
    cr_assert_eq(lsm_get(tree, SLICE("a"), 7, &arena, &value), ERR_SNAPSHOT_TOO_OLD);
    cr_assert_eq(lsm_iter_open(tree, everything, everything, 7, &iter), ERR_SNAPSHOT_TOO_OLD);
    lsm_snapshot_drop(tree, &held);
    cr_assert_eq(lsm_get(tree, SLICE("a"), 6, &arena, &value), ERR_SNAPSHOT_TOO_OLD);
    lsm_close(&tree);
    arena_fini(&arena);
}

/* ---- Timestamps decide, not the place: writes may come in any order of ts. ---- */

static uint64_t
ts_found(const char *key, uint64_t snapshot)
{
    struct lsm_iter *iter = NULL;
    struct arena arena;
    struct lsm_value value;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(lsm_get(tree, slice_from_text(key), snapshot, &arena, &value), ERR_OK);
    arena_fini(&arena);
    cr_assert_eq(lsm_iter_open(tree, slice_from_text(key), slice_of(NULL, 0), snapshot, &iter),
                 ERR_OK);
    for (uint32_t backward = 0; backward < 2; backward++) { /* A scan says the same. */
        bool is_there;

        cr_assert_eq(backward ? lsm_iter_last(iter) : lsm_iter_first(iter), ERR_OK);
        while (backward && lsm_iter_is_valid(iter) &&
               !slice_equal(lsm_iter_entry(iter)->key, slice_from_text(key))) {
            cr_assert_eq(lsm_iter_previous(iter), ERR_OK);
        }
        is_there =
            lsm_iter_is_valid(iter) && slice_equal(lsm_iter_entry(iter)->key, slice_from_text(key));
        cr_assert_eq(is_there, value.is_found);
        cr_assert(!is_there || lsm_iter_entry(iter)->ts == value.ts);
    }
    lsm_iter_close(&iter);
    return value.is_found ? value.ts : 0;
}

FIBER_TEST(lsm_compaction, a_newer_version_counts_wherever_it_lies)
{
    open_with(true);
    put("a", 20);
    put("b", 10);
    put("c", 20);
    flush();
    put("a", 10); /* Above the newer one. */
    put("b", 20);
    put("d", 20);
    lsm_rotate(tree, lsn, slice_of(NULL, 0));
    put("c", 10);
    put("d", 10);
    for (uint32_t round = 0; round < 3; round++) {
        cr_assert_eq(ts_found("a", 30), 20);
        cr_assert_eq(ts_found("b", 30), 20);
        cr_assert_eq(ts_found("c", 30), 20);
        cr_assert_eq(ts_found("d", 30), 20);
        cr_assert_eq(ts_found("a", 15), 10);
        cr_assert_eq(ts_found("b", 15), 10);
        cr_assert_eq(ts_found("c", 15), 10);
        flush(); /* In memory, frozen, and in tables. */
    }
    delete_range("a", "c", 15); /* Hides what is older than itself, wherever. */
    put("b", 12);
    for (uint32_t round = 0; round < 2; round++) {
        cr_assert_eq(ts_found("a", 30), 20);
        cr_assert_eq(ts_found("a", 15), 0);
        cr_assert_eq(ts_found("a", 14), 10);
        cr_assert_eq(ts_found("b", 18), 0);
        cr_assert_eq(ts_found("b", 14), 12);
        flush();
    }
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_range_delete_spares_writes_of_its_own_commit)
{
    open_with(true);
    put("a", 10);
    put("b", 20);
    delete_range("a", "z", 20);
    for (uint32_t round = 0; round < 3; round++) {
        cr_assert_eq(ts_found("a", 30), 0);
        cr_assert_eq(ts_found("b", 30), 20);
        lsm_horizon_set(tree, 25);
        flush();
        if (round == 1) {
            cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
        }
    }
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_delete_waits_for_what_is_older_in_memory)
{
    open_with(true);
    delete_key("a", 20);
    delete_range("b", "c", 20);
    lsm_rotate(tree, lsn, slice_of(NULL, 0));
    put("a", 10);
    put("b", 10);
    lsm_horizon_set(tree, 30);
    cr_assert_eq(lsm_flush(tree), ERR_OK);
    cr_assert_eq(ts_found("a", 30), 0);
    cr_assert_eq(ts_found("b", 30), 0);
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(ts_found("a", 30), 0);
    cr_assert_eq(ts_found("b", 30), 0);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(ts_found("a", 30), 0);
    cr_assert_eq(entries_in_tables(), 0);
    lsm_close(&tree);
}

/* ---- Which work is chosen. ---- */

FIBER_TEST(lsm_compaction, a_table_full_of_deletes_is_rewritten_when_the_last_snapshot_goes)
{
    struct lsm_snapshot held;
    char key[64];
    bool did = false;

    open_with(true);
    fill("aaaaa", 400, 1);
    lsm_snapshot_take(tree, 1, &held);
    for (uint32_t i = 0; i < 400; i++) {
        snprintf(key, sizeof(key), "aaaaa%08u", i * 2654435761u);
        delete_key(key, 2);
    }
    lsm_horizon_set(tree, 5);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(entries_in_tables(), 800, "the snapshot sees the values");
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(!did, "nothing can go yet");
    lsm_snapshot_drop(tree, &held);
    do {
        cr_assert_eq(compact_step(tree, &did), ERR_OK);
    } while (did);
    cr_assert_eq(entries_in_tables(), 0);
    lsm_close(&tree);
}

/* With values that compression leaves as large as they are. */
static void
fill_dense(const char *prefix, uint32_t count, uint64_t ts)
{
    uint8_t value[300];
    struct prng prng;
    char key[64];

    prng_init(&prng, 1);
    for (uint32_t i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "%s%08u", prefix, i * 2654435761u);
        for (size_t k = 0; k < sizeof(value); k++) {
            value[k] = (uint8_t)prng_next(&prng);
        }
        put_as(key, ts, LSM_PUT, 0, slice_of(value, sizeof(value)));
    }
}

FIBER_TEST(lsm_compaction, small_tables_are_merged_among_themselves_when_much_lies_below)
{
    const struct lsm_options options = {.dir = "tree",
                                        .memtable_bytes = 64 << 10,
                                        .table_bytes = 16 << 10,
                                        .level_base_bytes = 16 << 20,
                                        .background_off = true};
    struct lsm_stats before;
    struct lsm_stats after;
    bool did = false;

    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
    fill_dense("aaaaa", 8000, 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    for (uint64_t i = 0; i < 4; i++) {
        put("aaaaa00000000", 2 + i); /* Both ends, so that all of the level below is overlapped. */
        put("aaaaa99999999", 2 + i);
        flush();
    }
    lsm_stats_get(tree, &before);
    cr_assert_eq(table_count(0), 4);
    cr_assert_eq(compact_step(tree, &did), ERR_OK);
    cr_assert(did);
    lsm_stats_get(tree, &after);
    cr_assert_eq(table_count(0), 1);
    cr_assert_lt(after.compaction_read_bytes - before.compaction_read_bytes,
                 before.level_bytes[BOTTOM] / 10);
    cr_assert(found("aaaaa99999999", 4));
    cr_assert_eq(lsm_verify(tree), ERR_OK);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, tables_in_order_go_down_unread)
{
    char prefix[] = "aaaaa0";
    struct lsm_stats stats;
    bool did = true;

    open_with(true);
    for (uint32_t i = 0; i < 8; i++) {
        prefix[5] = (char)('0' + i);
        fill(prefix, 400, 1 + i);
        flush();
    }
    while (did) {
        cr_assert_eq(compact_step(tree, &did), ERR_OK);
    }
    lsm_stats_get(tree, &stats);
    cr_assert_eq(stats.trivial_moves, 8);
    cr_assert_eq(stats.compaction_read_bytes, 0);
    cr_assert_eq(table_count(BOTTOM), 8);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, a_job_in_parts_gives_what_one_gives)
{
    char key[64];

    open_with(true);
    fill("aaaaa", 6000, 1);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_gt(table_count(BOTTOM), 8, "enough to be split");
    fill("aaaaa", 3000, 2);
    delete_range("aaaaa3", "aaaaa4", 3); /* Over a border of parts, or near one. */
    lsm_horizon_set(tree, 4);
    flush();
    cr_assert_eq(lsm_compact(tree, everything, everything), ERR_OK);
    cr_assert_eq(table_count(0), 0);
    cr_assert_eq(lsm_verify(tree), ERR_OK);
    for (uint32_t i = 0; i < 6000; i++) {
        snprintf(key, sizeof(key), "aaaaa%08u", i * 2654435761u);
        cr_assert_eq(found(key, 4), key[5] != '3', "%s", key);
    }
    lsm_close(&tree);
}

/* ---- Pacing. ---- */

FIBER_TEST(lsm_compaction, writers_are_slowed_before_they_have_to_stop)
{
    const struct lsm_options options = {
        .dir = "tree", .memtable_bytes = 128 << 10, .table_bytes = 64 << 10};
    struct lsm_stats stats;
    char key[32];

    cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
    for (uint32_t i = 0; i < 30000; i++) {
        cr_assert_eq(lsm_wait_room(tree, 100), ERR_OK);
        snprintf(key, sizeof(key), "key-%08u", i * 2654435761u);
        put(key, i + 1);
        lsm_horizon_set(tree, i + 1);
        if (lsm_wants_rotation(tree)) {
            lsm_rotate(tree, lsn, slice_of(NULL, 0));
        }
        cr_assert_lt(lsm_level0_count(tree), 4 * LSM_LEVEL0_STOP_FACTOR);
    }
    lsm_stats_get(tree, &stats);
    cr_assert_gt(stats.flushes, 10);
    cr_assert_gt(stats.compactions, 1);
    cr_assert_gt(stats.slowdowns, 10);
    cr_assert_eq(stats.stalls, 0);
    lsm_close(&tree);
}

FIBER_TEST(lsm_compaction, among_thousands_of_snapshots_each_is_found_and_keeps_its_version)
{
    enum { HELD = 3000 };
    static struct lsm_snapshot held[HELD];
    struct snapshots *snapshots;

    open_with(true);
    snapshots = &tree->snapshots;
    for (uint32_t i = 0; i < HELD; i++) {
        uint64_t ts = 10 + 2 * ((i * 7) % HELD); /* In no order; even. */

        lsm_snapshot_take(tree, ts, &held[i]);
    }
    lsm_horizon_set(tree, 100000);
    for (uint64_t ts = 0; ts < 10 + 2 * HELD + 5; ts++) {
        bool is_held = ts >= 10 && ts < 10 + 2 * HELD && ts % 2 == 0;

        cr_assert_eq(snapshots_hold(snapshots, ts), is_held);
        cr_assert_eq(snapshots_need(snapshots, ts, ts + 1), is_held);
        cr_assert_eq(snapshots_need(snapshots, ts, ts + 2), ts >= 9 && ts < 10 + 2 * HELD - 1);
    }
    cr_assert(snapshots_need(snapshots, 90000, 100001), "above the horizon nobody knows");
    cr_assert_eq(snapshots_floor(snapshots), 10);
    for (uint32_t i = 0; i < HELD; i++) {
        lsm_snapshot_drop(tree, &held[i]);
        cr_assert(!snapshots_hold(snapshots, 10 + 2 * ((i * 7) % HELD)));
    }
    cr_assert(snapshots_are_none(snapshots));
    cr_assert_eq(snapshots_floor(snapshots), 100000);
    lsm_close(&tree);
}
