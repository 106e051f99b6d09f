/* tests/unit/txn/test_ingest.c - stamped tables: seen as a whole at their commit, over crashes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsm/ingest.h"
#include "tests/unit/txn/store_fixture.h"

enum { ROWS = 3000, LARGE_BYTES = 100 << 10 };

static void
begin(void)
{
    world_begin_seeded(11);
    options.memory_bytes = 4 << 20;
    options.lsm.table_bytes = 32 << 10; /* An ingest becomes several tables. */
    options.lsm.level_base_bytes = 128 << 10;
}

TestSuite(ingest, .init = begin, .fini = world_end, .timeout = 120);

static void
expect(const char *key, const char *value)
{
    const char *is = get(key);

    if (value == NULL) {
        cr_assert_null(is, "%s is there: %s", key, is);
    } else {
        cr_assert(is != NULL && strcmp(is, value) == 0, "%s: got %s, not %s", key,
                  is == NULL ? "nothing" : is, value);
    }
}

static struct lsm_ingest *
ingest_rows(const char *value)
{
    struct lsm_ingest *ingest = lsm_ingest_new(store_lsm(store));

    for (int i = 0; i < ROWS; i++) {
        char key[32];
        struct lsm_entry entry = {.kind = LSM_PUT, .slot = 1, .value = slice_from_text(value)};

        snprintf(key, sizeof(key), "row%05d", i);
        entry.key = slice_from_text(key);
        cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_OK);
    }
    cr_assert_eq(lsm_ingest_finish(ingest), ERR_OK);
    cr_assert_gt(lsm_ingest_table_count(ingest), 1);
    return ingest;
}

static lsn_t
ingest_commit(struct lsm_ingest *ingest)
{
    struct store_batch batch;
    lsn_t lsn = 0;

    store_batch_init(&batch);
    store_batch_ingest(&batch, ingest);
    store_batch_put(&batch, 1, SLICE("with"), SLICE("it"), 0);
    cr_assert_eq(store_commit(store, &batch, NULL, &lsn), ERR_OK);
    store_batch_fini(&batch);
    lsm_ingest_free(&ingest);
    return lsn;
}

static uint64_t
tables_in_tree(void)
{
    struct lsm_stats stats;
    uint64_t tables = 0;

    lsm_stats_get(store_lsm(store), &stats);
    for (uint32_t i = 0; i < LSM_LEVELS; i++) {
        tables += stats.level_tables[i];
    }
    return tables;
}

static void
count_tables(const char *path, uint64_t size, void *arg)
{
    (void)size;
    *(uint32_t *)arg += strstr(path, ".table") != NULL;
}

static uint32_t
table_files(void)
{
    uint32_t count = 0;

    sim_disk_visit(world, count_tables, &count);
    return count;
}

/* ---- At the commit. ---- */

static void
commit_and_look(void)
{
    struct store_snapshot before, after;
    struct lsm_ingest *ingest;

    put("row00007", "old");
    put("other", "stays");
    ingest = ingest_rows("new");
    expect("row00007", "old"); /* Nobody sees it yet. */
    expect("row00008", NULL);
    store_snapshot_take(store, &before);
    ingest_commit(ingest);
    expect("row00007", "new");
    expect("row02999", "new");
    expect("row03000", NULL);
    expect("with", "it");
    expect("other", "stays");
    cr_assert_str_eq(get_at(&before, "row00007"), "old");
    cr_assert_null(get_at(&before, "row00008"));
    store_snapshot_take(store, &after);
    put("row00007", "newer");
    delete_key("row00008");
    expect("row00007", "newer");
    expect("row00008", NULL);
    cr_assert_str_eq(get_at(&after, "row00007"), "new");
    cr_assert_str_eq(get_at(&after, "row00008"), "new");
    store_snapshot_drop(store, &before);
    store_snapshot_drop(store, &after);
}

static void
look_again(void)
{
    expect("row00007", "newer");
    expect("row00008", NULL);
    expect("row00009", "new");
    expect("row02999", "new");
    expect("with", "it");
    cr_assert_eq(lsm_verify(store_lsm(store)), ERR_OK);
}

Test(ingest, rows_are_seen_from_the_commit_on_and_after_a_restart)
{
    life_begin();
    life_run(commit_and_look);
    life_idle(1000000);
    life_run(look_again);
    life_close();
    life_begin();
    life_run(look_again);
    life_close();
}

static void
ranges_and_scans(void)
{
    struct store_snapshot now;
    struct store_batch batch;
    struct lsm_iter *iter;
    uint32_t seen = 0;

    ingest_commit(ingest_rows("1"));
    store_batch_init(&batch);
    store_batch_delete_range(&batch, SLICE("row00100"), SLICE("row02900"));
    cr_assert_eq(store_commit(store, &batch, NULL, NULL), ERR_OK);
    store_batch_fini(&batch);
    store_snapshot_take(store, &now);
    cr_assert_eq(store_scan_open(store, &now, SLICE("row"), SLICE("rox"), &iter), ERR_OK);
    for (err_t err = lsm_iter_first(iter); lsm_iter_is_valid(iter); err = lsm_iter_next(iter)) {
        cr_assert_eq(err, ERR_OK);
        seen++;
    }
    lsm_iter_close(&iter);
    store_snapshot_drop(store, &now);
    cr_assert_eq(seen, 200);
}

Test(ingest, later_range_deletes_hide_rows_and_scans_see_the_rest)
{
    life_begin();
    life_run(ranges_and_scans);
    life_idle(1000000);
    life_close();
}

/* ---- Crashes. ---- */

static void
commit_durably(void)
{
    store_wait_durable(store, ingest_commit(ingest_rows("new")));
    cr_assert_gt(tables_in_tree(), 1);
}

static void
all_there(void)
{
    expect("row00000", "new");
    expect("row01500", "new");
    expect("row02999", "new");
    expect("with", "it");
    cr_assert_eq(lsm_verify(store_lsm(store)), ERR_OK);
}

static void
compact_all(void)
{
    cr_assert_eq(lsm_compact(store_lsm(store), SLICE(""), SLICE("")), ERR_OK);
}

Test(ingest, a_power_cut_before_the_manifest_has_it_loses_nothing)
{
    life_begin();
    life_run(commit_durably);
    life_crash(SIM_CRASH_POWER_CUT);
    for (int i = 0; i < 3; i++) { /* Also when recovery itself is cut off. */
        life_begin();
        life_run(all_there);
        life_crash(SIM_CRASH_POWER_CUT);
    }
    life_begin();
    life_idle(2000000);
    life_run(compact_all);
    life_run(all_there);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(all_there);
    life_close();
}

static void
build_only(void)
{
    struct lsm_ingest *ingest = ingest_rows("new");

    (void)ingest; /* The crash takes it. */
    cr_assert_gt(table_files(), 1);
}

static void
nothing_there(void)
{
    expect("row00000", NULL);
    expect("row02999", NULL);
    expect("with", NULL);
}

Test(ingest, tables_without_a_commit_are_removed_at_the_next_start)
{
    life_begin();
    life_run(build_only);
    life_crash(SIM_CRASH_KILL);
    cr_assert_gt(table_files(), 1);
    life_begin();
    life_run(nothing_there);
    life_close();
    cr_assert_eq(table_files(), 0);
}

static void
commit_undurably(void)
{
    ingest_commit(ingest_rows("new"));
    expect("row00000", "new");
}

Test(ingest, a_commit_whose_log_record_was_lost_leaves_no_trace)
{
    options.durability = WAL_NONE;
    life_begin();
    life_run(commit_undurably);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(nothing_there);
    life_close();
    cr_assert_eq(table_files(), 0);
}

/* ---- Refusals. ---- */

static void
refuse(void)
{
    struct lsm_ingest *ingest = lsm_ingest_new(store_lsm(store));
    struct lsm_entry entry = {.key = SLICE("b"), .value = SLICE("1"), .kind = LSM_PUT};

    cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_OK);
    cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_INVALID);
    entry.key = SLICE("a");
    cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_INVALID);
    entry.key = SLICE("");
    cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_LIMIT);
    lsm_ingest_free(&ingest);
    cr_assert_null(ingest);
}

Test(ingest, keys_that_do_not_rise_are_refused_and_nothing_stays)
{
    life_begin();
    life_run(refuse);
    life_idle(100000);
    cr_assert_eq(table_files(), 0);
    life_close();
}

/* ---- Large values. ---- */

static void
large_commit(void)
{
    struct lsm_ingest *ingest = lsm_ingest_new(store_lsm(store));
    char *value = calloc(1, LARGE_BYTES);

    memset(value, 'x', LARGE_BYTES);
    for (int i = 0; i < 10; i++) {
        char key[16];
        struct lsm_entry entry = {.kind = LSM_PUT, .value = slice_of(value, LARGE_BYTES)};

        snprintf(key, sizeof(key), "large%d", i);
        entry.key = slice_from_text(key);
        cr_assert_eq(lsm_ingest_add(ingest, &entry), ERR_OK);
    }
    cr_assert_eq(lsm_ingest_finish(ingest), ERR_OK);
    store_wait_durable(store, ingest_commit(ingest));
    free(value);
}

static void
large_look(void)
{
    struct lsm_value value = {0};
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    cr_assert_eq(store_get(store, SLICE("large9"), &arena, &value), ERR_OK);
    cr_assert(value.is_found);
    cr_assert_eq(value.value.size, LARGE_BYTES);
    cr_assert_eq(value.value.data[LARGE_BYTES - 1], 'x');
    arena_fini(&arena);
}

Test(ingest, large_values_go_to_the_value_log_and_stay)
{
    life_begin();
    life_run(large_commit);
    life_crash(SIM_CRASH_POWER_CUT);
    life_begin();
    life_run(large_look);
    life_idle(2000000);
    life_run(compact_all);
    life_run(large_look);
    life_close();
    life_begin();
    life_run(large_look);
    life_close();
}

/* ---- The log's bytes. ---- */

Test(ingest, a_description_that_cannot_be_is_refused)
{
    static const uint8_t good[] = {5, 200, 1, 7, 2, 3, 100, 4, 100};

    cr_assert_eq(lsm_ingest_check(slice_of(good, sizeof(good))), ERR_OK);
    for (size_t i = 0; i < sizeof(good); i++) {
        cr_assert_eq(lsm_ingest_check(slice_of(good, i)), ERR_CORRUPT, "cut at %zu", i);
    }
}
