/* tests/unit/txn/test_api_compact.c - compaction by the C API on a real disk. */
#include <criterion/criterion.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/prng.h"
#include "include/orbit.h"
#include "tests/unit/txn/api_fixture.h"

enum { KEYS = 3000, ROUNDS = 6, VALUE_BYTES = 200 };

static uint64_t table_bytes;

TestSuite(api_compact, .timeout = 120);

static int
weigh_visit(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)type;
    (void)walk;
    table_bytes += strstr(path, ".table") != NULL ? (uint64_t)status->st_size : 0;
    return 0;
}

static uint64_t
tables_weigh(void)
{
    table_bytes = 0;
    nftw(folder, weigh_visit, 16, FTW_PHYS);
    return table_bytes;
}

/* Nothing that compresses: the weight of the tables tells how many values they hold. */
static void
value_make(uint32_t key, uint32_t round, char value[VALUE_BYTES])
{
    struct prng prng;

    prng_init(&prng, key * ROUNDS + round);
    for (size_t i = 0; i < VALUE_BYTES; i++) {
        value[i] = (char)prng_next(&prng);
    }
}

/* Half of the keys are overwritten several times, the other half deleted in the end. */
static void
history_write(void)
{
    char key[16];
    char value[VALUE_BYTES];

    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < KEYS; i++) {
            snprintf(key, sizeof(key), "key %05u", i);
            value_make(i, round, value);
            must(i % 2 == 1 && round == ROUNDS - 1
                     ? orbit_delete(db, key, strlen(key))
                     : orbit_put(db, key, strlen(key), value, sizeof(value), 0));
        }
        must(orbit_compact(db)); /* Each round is in tables of its own before. */
    }
}

static void
history_check(void)
{
    char key[16];
    char wanted[VALUE_BYTES];
    void *value = NULL;
    size_t size = 0;

    for (uint32_t i = 0; i < KEYS; i++) {
        int error;

        snprintf(key, sizeof(key), "key %05u", i);
        error = orbit_get(db, key, strlen(key), &value, &size);
        if (i % 2 == 1) {
            cr_assert_eq(error, ORBIT_NOT_FOUND, "%s", key);
            continue;
        }
        must(error);
        cr_assert_eq(size, VALUE_BYTES);
        value_make(i, ROUNDS - 1, wanted);
        cr_assert_eq(memcmp(value, wanted, VALUE_BYTES), 0, "%s", key);
        orbit_free(value);
    }
}

static void
compaction_keeps_what_counts(enum orbit_mode mode, uint32_t shards)
{
    struct orbit_options options = {.dir = folder, .mode = mode, .shards = shards};

    options.memory_bytes = 32 << 20;
    options.durability = ORBIT_NONE;
    folder_make("compact");
    must(orbit_open(&options, &db));
    must(orbit_compact(db)); /* Nothing to do is no error. */
    history_write();
    history_check();
    orbit_close(&db); /* By now the files of replaced tables are gone. */
    cr_assert_lt(tables_weigh(), (uint64_t)KEYS / 2 * (VALUE_BYTES + 64),
                 "what was overwritten or deleted is still in the tables");
    cr_assert_gt(tables_weigh(), 0, "what was in memory was not flushed");
    must(orbit_open(&options, &db));
    history_check();
    orbit_close(&db);
    end();
}

Test(api_compact, an_inline_database_is_compacted_to_its_newest_versions)
{
    compaction_keeps_what_counts(ORBIT_INLINE, 1);
}

Test(api_compact, all_shards_of_a_threaded_one_are)
{
    compaction_keeps_what_counts(ORBIT_THREADS, 3);
}
