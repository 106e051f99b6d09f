/* tests/unit/txn/test_checkpoint.c - kills and power cuts while checkpoints are made: an export is
 * whole or not there, a name is on every shard or on none, and nothing is left behind. */
#include <errno.h>
#include <stdio.h>

#include "engine/rt/shard.h"
#include "tests/unit/txn/store_fixture.h"
#include "txn/checkpoint.h"

TestSuite(checkpoint, .init = world_begin, .fini = world_end, .timeout = 240);

enum { KEYS = 40, SEEDS = 40 };

static bool is_exported, is_named, is_dropped;

static void
fill(void)
{
    char key[16];

    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        put_durably(key, "before");
    }
}

static void
change_and_checkpoint(void)
{
    char key[16];

    is_exported = is_named = is_dropped = false;
    is_exported = checkpoint_export("copy") == ERR_OK;
    is_named = checkpoint_create("name") == ERR_OK;
    for (uint32_t i = 0; i < KEYS; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        put_durably(key, "after");
    }
    is_dropped = checkpoint_drop("name") == ERR_OK;
}

static void
run_body(void *arg)
{
    (void)arg;
    change_and_checkpoint();
}

static uint32_t names_listed;

static void
look(void)
{
    struct checkpoint_info infos[4];
    char key[16];

    for (uint32_t i = 0; i < KEYS; i++) {
        const char *value;

        snprintf(key, sizeof(key), "k%u", i);
        value = get(key);
        cr_assert_not_null(value, "%s", key);
    }
    cr_assert_eq(checkpoint_list(infos, ARRAY_COUNT(infos), &names_listed), ERR_OK);
    if (names_listed == 1) {
        cr_assert_eq(checkpoint_export_named("name", "named-copy"), ERR_OK, "%s",
                     err_message(ERR_CORRUPT));
    }
}

struct seen {
    bool incomplete, pending, copy, tails;
};

static void
see(const char *path, uint64_t size, void *arg)
{
    struct seen *seen = arg;

    (void)size;
    seen->incomplete = seen->incomplete || strstr(path, ".incomplete") != NULL;
    seen->pending = seen->pending || strstr(path, ".pending") != NULL;
    seen->copy = seen->copy || strncmp(path, "copy/", 5) == 0;
    seen->tails = seen->tails || strstr(path, "/tails/") != NULL;
}

static void
crash_once(uint64_t seed, uint64_t after_us)
{
    struct seen seen = {0};

    life_begin();
    life_run(fill);
    sim_world_spawn(world, 0, "checkpoint", run_body, NULL);
    sim_world_run(world, NULL, NULL, after_us);
    life_crash(seed % 2 == 0 ? SIM_CRASH_KILL : SIM_CRASH_POWER_CUT);
    life_begin(); /* Recovery removes what was not finished. */
    life_run(look);
    life_close();
    sim_disk_visit(world, see, &seen);
    cr_assert_not(seen.incomplete, "seed %llu", (unsigned long long)seed);
    cr_assert_not(seen.pending, "seed %llu", (unsigned long long)seed);
    cr_assert(seen.copy || !is_exported, "an acknowledged export is there");
    cr_assert(names_listed == 1 || !is_named || is_dropped || after_us > 0);
    cr_assert_eq(seen.tails, names_listed == 1, "tails go with their names");
}

static void
look_at_before(void)
{
    char key[16];

    for (uint32_t i = 0; i < KEYS; i++) {
        const char *value;

        snprintf(key, sizeof(key), "k%u", i);
        value = get(key);
        cr_assert_not_null(value, "%s", key);
        cr_assert_str_eq(value, "before");
    }
}

Test(checkpoint, a_crash_at_any_instant_leaves_a_whole_checkpoint_or_none)
{
    uint32_t exported = 0, named = 0, none = 0;

    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        world_end();
        world_begin_seeded(seed);
        crash_once(seed, 300 * seed);
        exported += is_exported;
        named += names_listed;
        none += !is_exported;
    }
    cr_assert_gt(exported, 0, "the crashes come too early");
    cr_assert_gt(named, 0, "the crashes come too early");
    cr_assert_gt(none, 0, "the crashes come too late");
}

/* The copy is a store of one shard named shard-0 below the folder: moved to the top by the test's
 * own options. */
Test(checkpoint, an_export_is_read_by_a_store_that_is_opened_on_it)
{
    static char dir[32];
    const char *before = options.dir;

    life_begin();
    life_run(fill);
    life_run(change_and_checkpoint);
    cr_assert(is_exported);
    cr_assert(is_named);
    cr_assert(is_dropped);
    life_close();
    snprintf(dir, sizeof(dir), "copy/%s", options.dir);
    options.dir = dir;
    life_begin();
    life_run(look_at_before);
    life_close();
    options.dir = before;
}

static void
fail_links(void)
{
    sim_disk_fail_next(world, SIM_OP_MKDIR, "incomplete", 1, 1, -ENOSPC);
    cr_assert_eq(checkpoint_export("copy"), ERR_NO_SPACE);
    sim_disk_fail_next(world, SIM_OP_RENAME, "incomplete", 0, 1, -EIO);
    cr_assert_eq(checkpoint_export("copy"), ERR_IO);
    sim_disk_fail_next(world, SIM_OP_OPEN, "mark", 0, 1, -ENOSPC);
    cr_assert_eq(checkpoint_create("name"), ERR_NO_SPACE);
    sim_disk_fail_next(world, SIM_OP_WRITE, "MANIFEST", 0, 1, -EIO);
    cr_assert_eq(checkpoint_create("name"), ERR_IO);
    cr_assert_eq(checkpoint_create("name"), ERR_OK, "and then it goes");
    cr_assert_eq(checkpoint_create("name"), ERR_EXISTS);
    cr_assert_eq(checkpoint_drop("name"), ERR_OK);
    cr_assert_eq(checkpoint_drop("name"), ERR_NOT_FOUND);
    cr_assert_eq(checkpoint_export("copy"), ERR_OK);
    cr_assert_eq(checkpoint_export("copy"), ERR_EXISTS);
}

Test(checkpoint, a_failed_checkpoint_leaves_nothing_and_can_be_made_again)
{
    struct seen seen = {0};

    life_begin();
    life_run(fill);
    life_run(fail_links);
    sim_disk_visit(world, see, &seen);
    cr_assert_not(seen.incomplete);
    cr_assert_not(seen.pending);
    cr_assert_not(seen.tails);
    cr_assert(seen.copy);
    life_close();
}

Test(checkpoint, a_damaged_note_of_an_export_is_refused_or_names_the_same_folder)
{
    static uint8_t block[CHECKPOINT_PENDING_BYTES];
    char path[CHECKPOINT_PATH_BYTES_MAX + 1];

    checkpoint_pending_encode(block, "/some/where");
    cr_assert_eq(checkpoint_pending_decode(slice_of(block, sizeof(block)), "note", path), ERR_OK);
    cr_assert_str_eq(path, "/some/where");
    for (uint32_t i = 0; i < sizeof(block); i++) {
        block[i] ^= 0x20;
        cr_assert_eq(checkpoint_pending_decode(slice_of(block, sizeof(block)), "note", path),
                     ERR_CORRUPT);
        block[i] ^= 0x20;
    }
    cr_assert_eq(checkpoint_pending_decode(slice_of(block, 100), "note", path), ERR_CORRUPT);
}
