/* tests/unit/lsm/test_version.c - levels of tables, and edits that do and do not fit. */
#include <criterion/criterion.h>

#include "engine/base/assert.h"
#include "lsm/internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_version, .timeout = 30);

enum { TABLES = 5 };

static struct lsm *tree;

/* Real tables, one a key range: version code asks for their metadata. */
static struct lsm_table *
table_make(const char *first, const char *last, uint64_t ts)
{
    struct lsm_recovered recovered;
    const struct lsm_options options = {.dir = "tree", .background_off = true};
    struct lsm_table *table;

    if (tree == NULL) {
        cr_assert_eq(lsm_open(&options, &recovered, &tree), ERR_OK);
    }
    for (uint32_t i = 0; i < 2; i++) {
        struct lsm_entry entry = {
            .key = slice_from_text(i == 0 ? first : last), .ts = ts, .lsn = ts, .kind = LSM_PUT};

        lsm_apply(tree, &entry);
    }
    lsm_rotate(tree, ts, slice_of(NULL, 0));
    cr_assert_eq(lsm_flush(tree), ERR_OK);
    table = tree->version->levels[0].tables[0];
    lsm_table_pin(table);
    return table;
}

static err_t
apply(struct version **version, uint32_t level, struct lsm_table *add, uint64_t remove)
{
    struct version *next = NULL;
    struct edit edit;
    err_t err;

    edit_init(&edit);
    if (add != NULL) {
        edit_add_table(&edit, level, add);
    }
    if (remove != 0) {
        edit_remove_table(&edit, level, remove);
    }
    err = version_apply(*version, &edit, &next);
    edit_fini(&edit);
    if (err == ERR_OK) {
        version_unpin(version);
        *version = next;
    }
    return err;
}

FIBER_TEST(lsm_version, edits_that_do_not_fit_are_refused_and_change_nothing)
{
    struct version *version = version_new();
    struct lsm_table *low = table_make("b", "d", 1);
    struct lsm_table *high = table_make("e", "g", 2);
    struct lsm_table *across = table_make("d", "e", 3);

    cr_assert_eq(apply(&version, 1, high, 0), ERR_OK);
    cr_assert_eq(apply(&version, 1, low, 0), ERR_OK);
    cr_assert_eq(version->levels[1].tables[0], low, "in order of keys");
    cr_assert_eq(apply(&version, 1, across, 0), ERR_CORRUPT);
    cr_assert_eq(apply(&version, 1, low, 0), ERR_CORRUPT, "twice");
    cr_assert_eq(apply(&version, 1, NULL, 12345), ERR_CORRUPT, "not there");
    cr_assert_eq(apply(&version, 2, NULL, low->meta->file_number), ERR_CORRUPT, "elsewhere");
    cr_assert_eq(version->levels[1].count, 2);
    cr_assert_eq(apply(&version, 0, across, 0), ERR_OK, "level 0 may overlap");
    cr_assert_eq(version->ts_newest, 3);
    cr_assert_eq(apply(&version, 1, NULL, low->meta->file_number), ERR_OK);
    cr_assert_eq(version->levels[1].count, 1);
    version_unpin(&version);
    lsm_table_unpin(low);
    lsm_table_unpin(high);
    lsm_table_unpin(across);
    lsm_close(&tree);
}

FIBER_TEST(lsm_version, a_key_is_looked_for_in_the_one_table_that_may_hold_it)
{
    struct version *version = version_new();
    struct lsm_table *low = table_make("b", "d", 1);
    struct lsm_table *high = table_make("f", "h", 2);
    const struct level *level;

    cr_assert_eq(apply(&version, 3, low, 0), ERR_OK);
    cr_assert_eq(apply(&version, 3, high, 0), ERR_OK);
    level = &version->levels[3];
    cr_assert_null(level_table_for(level, SLICE("a")));
    cr_assert_eq(level_table_for(level, SLICE("b")), low);
    cr_assert_eq(level_table_for(level, SLICE("d")), low);
    cr_assert_null(level_table_for(level, SLICE("d\0")));
    cr_assert_eq(level_table_for(level, SLICE("g")), high);
    cr_assert_null(level_table_for(level, SLICE("i")));
    cr_assert_eq(level_find(level, SLICE("e")), 1);
    cr_assert_eq(level_find(level, SLICE("z")), 2);
    cr_assert(table_meta_overlaps(low->meta, SLICE("a"), SLICE("b"), false));
    cr_assert(!table_meta_overlaps(low->meta, SLICE("a"), SLICE("b"), true));
    cr_assert(table_meta_overlaps(low->meta, SLICE("d"), SLICE("z"), true));
    version_unpin(&version);
    lsm_table_unpin(low);
    lsm_table_unpin(high);
    lsm_close(&tree);
}

FIBER_TEST(lsm_version, a_pinned_version_keeps_the_files_of_removed_tables)
{
    struct version *pinned;
    struct lsm_table *table = table_make("a", "b", 1);
    char path[LSM_PATH_BYTES_MAX];

    lsm_table_path(path, "tree", table->meta->file_number);
    lsm_table_unpin(table);
    pinned = tree->version;
    version_pin(pinned);
    lsm_horizon_set(tree, 9);
    cr_assert_eq(lsm_compact(tree, slice_of(NULL, 0), slice_of(NULL, 0)), ERR_OK);
    cr_assert_eq(tree->version->levels[0].count, 0);
    fiber_sleep_us(1000000);
    cr_assert(sim_disk_exists(sim_world_current(), path));
    version_unpin(&pinned);
    fiber_sleep_us(1000000);
    cr_assert(!sim_disk_exists(sim_world_current(), path));
    lsm_close(&tree);
}
