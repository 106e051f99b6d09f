/* tests/unit/txn/test_api_checkpoint.c - checkpoints by the C API on a real disk. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

enum { KEYS = 3000, LARGE_BYTES = 100000, LARGE_EVERY = 500 };

static char data_dir[96];
static char copy_dir[96];
static struct orbit_options options;

static void
begin(void)
{
    folder_make("checkpoint");
    snprintf(data_dir, sizeof(data_dir), "%s/data", folder);
    snprintf(copy_dir, sizeof(copy_dir), "%s/copy", folder);
    options = (struct orbit_options){.dir = data_dir, .memory_bytes = 32 << 20};
}

TestSuite(api_checkpoint, .init = begin, .fini = end, .timeout = 120);

static void
open_at(const char *dir, enum orbit_mode mode, uint32_t shards)
{
    options.dir = dir;
    options.mode = mode;
    options.shards = shards;
    must(orbit_open(&options, &db));
}

static size_t
value_of(uint32_t key, uint32_t round, char *value)
{
    size_t size = key % LARGE_EVERY == 0 ? LARGE_BYTES : 20;

    memset(value, 'a' + (int)(round % 26), size);
    snprintf(value, 20, "%u of %u", round, key);
    return size;
}

static void
write_round(uint32_t round)
{
    static char value[LARGE_BYTES];
    char key[32];

    for (uint32_t i = 0; i < KEYS; i++) {
        size_t size = value_of(i, round, value);

        must(orbit_put(db, key, (size_t)snprintf(key, sizeof(key), "key-%u", i), value, size, 0));
    }
}

static void
check_round(uint32_t round)
{
    static char value[LARGE_BYTES];
    char key[32];

    for (uint32_t i = 0; i < KEYS; i++) {
        size_t size = value_of(i, round, value);
        size_t found_size = 0;
        void *found = NULL;

        must(orbit_get(db, key, (size_t)snprintf(key, sizeof(key), "key-%u", i), &found,
                       &found_size));
        cr_assert_eq(found_size, size, "%s", key);
        cr_assert_eq(memcmp(found, value, size), 0, "%s", key);
        orbit_free(found);
    }
}

static void
copy_is_round(const char *dir, uint32_t round, enum orbit_mode mode, uint32_t shards)
{
    orbit_close(&db);
    open_at(dir, mode, shards);
    check_round(round);
    write_round(100); /* It is a database of its own, */
    orbit_close(&db);
    open_at(data_dir, mode, shards); /* and the first one does not notice. */
}

static void
checkpoint_as(enum orbit_mode mode, uint32_t shards)
{
    options.durability = ORBIT_INTERVAL;
    open_at(data_dir, mode, shards);
    write_round(1);
    must(orbit_checkpoint(db, copy_dir));
    write_round(2);
    check_round(2);
    cr_assert_eq(orbit_checkpoint(db, copy_dir), ORBIT_EXISTS);
    copy_is_round(copy_dir, 1, mode, shards);
    check_round(2);
}

Test(api_checkpoint, an_export_opens_with_what_was_written_before_it)
{
    checkpoint_as(ORBIT_INLINE, 1);
}

Test(api_checkpoint, an_export_has_the_parts_of_all_shards)
{
    checkpoint_as(ORBIT_THREADS, 3);
}

static void
names_visit(void *arg, const struct orbit_checkpoint_info *info)
{
    char *names = arg;

    cr_assert_gt(info->time_ms, UINT64_C(1600000000000));
    strcat(names, info->name);
    strcat(names, " ");
}

static void
names_are(const char *expected)
{
    char names[256] = "";

    must(orbit_checkpoint_list(db, names_visit, names));
    cr_assert_str_eq(names, expected);
}

Test(api_checkpoint, named_checkpoints_can_be_exported_later_and_dropped)
{
    options.durability = ORBIT_INTERVAL;
    open_at(data_dir, ORBIT_THREADS, 2);
    write_round(1);
    must(orbit_checkpoint_create(db, "one"));
    cr_assert_eq(orbit_checkpoint_create(db, "one"), ORBIT_EXISTS);
    cr_assert_eq(orbit_checkpoint_create(db, "a/b"), ORBIT_INVALID);
    write_round(2);
    must(orbit_compact(db));
    must(orbit_checkpoint_create(db, "two"));
    write_round(3);
    must(orbit_compact(db));
    names_are("one two ");
    orbit_close(&db);
    open_at(data_dir, ORBIT_THREADS, 2);
    names_are("one two ");
    must(orbit_checkpoint_export(db, "one", copy_dir));
    cr_assert_eq(orbit_checkpoint_export(db, "one", copy_dir), ORBIT_EXISTS);
    cr_assert_eq(orbit_checkpoint_export(db, "three", copy_dir), ORBIT_NOT_FOUND);
    copy_is_round(copy_dir, 1, ORBIT_THREADS, 2);
    must(orbit_checkpoint_drop(db, "one"));
    cr_assert_eq(orbit_checkpoint_drop(db, "one"), ORBIT_NOT_FOUND);
    names_are("two ");
    check_round(3);
}

Test(api_checkpoint, wrong_places_are_refused_with_a_reason)
{
    char path[400];
    struct stat status;

    open_at(data_dir, ORBIT_INLINE, 1);
    cr_assert_eq(orbit_checkpoint(db, NULL), ORBIT_INVALID);
    cr_assert_eq(orbit_checkpoint(db, ""), ORBIT_INVALID);
    cr_assert_eq(orbit_checkpoint(db, "/tmp/"), ORBIT_INVALID);
    cr_assert_eq(orbit_checkpoint(db, folder), ORBIT_EXISTS);
    snprintf(path, sizeof(path), "%s/missing/copy", folder);
    cr_assert_eq(orbit_checkpoint(db, path), ORBIT_NOT_FOUND);
    snprintf(path, sizeof(path), "%s/%0*d", folder, 200, 1);
    cr_assert_eq(orbit_checkpoint(db, path), ORBIT_LIMIT);
    if (stat("/dev/shm", &status) == 0 && stat("/tmp", &status) == 0) {
        struct stat shm;

        stat("/dev/shm", &shm);
        snprintf(path, sizeof(path), "/dev/shm/orbit-checkpoint-%d", (int)getpid());
        if (shm.st_dev != status.st_dev && access("/dev/shm", W_OK) == 0) {
            orbit_put(db, "k", 1, "v", 1, 0);
            must(orbit_compact(db));
            cr_assert_eq(orbit_checkpoint(db, path), ORBIT_UNSUPPORTED);
            cr_assert_neq(stat(path, &status), 0, "nothing is left");
            strcat(path, ".incomplete");
            cr_assert_neq(stat(path, &status), 0, "nothing is left");
        }
    }
}

Test(api_checkpoint, many_exports_share_their_files)
{
    char path[160];

    options.durability = ORBIT_INTERVAL;
    open_at(data_dir, ORBIT_THREADS, 2);
    for (uint32_t i = 0; i < 5; i++) {
        write_round(i);
        snprintf(path, sizeof(path), "%s-%u", copy_dir, i);
        must(orbit_checkpoint(db, path));
    }
    for (uint32_t i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "%s-%u", copy_dir, i);
        copy_is_round(path, i, ORBIT_THREADS, 2);
    }
    check_round(4);
}
