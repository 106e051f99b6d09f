/* tests/unit/lsm/test_vlog.c - value logs: round trips, references, faults, crashes. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#define XXH_STATIC_LINKING_ONLY /* For what is in a checksum state. */
#include <xxhash.h>

#include "engine/base/prng.h"
#include "engine/rt/shard.h"
#include "lsm/vlog.h"
#include "lsm/vlog_internal.h"
#include "tests/lib/fiber_test.h"

TestSuite(lsm_vlog, .timeout = 120);

static uint64_t
next_number(void *arg)
{
    uint64_t *last = arg;

    return ++*last;
}

static struct vlog *
open_vlog(uint64_t *last_number)
{
    struct vlog *vlog = NULL;
    err_t err = vlog_open("v", next_number, last_number, &vlog);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    return vlog;
}

static void
make_dir(void)
{
    cr_assert_eq(io_mkdir("v"), ERR_OK);
}

/* Bytes that the seed decides. */
static struct slice
value_make(struct arena *arena, size_t size, uint64_t seed)
{
    uint8_t *bytes = arena_alloc(arena, size + 8);
    struct prng prng;

    prng_init(&prng, seed);
    for (size_t i = 0; i < size; i += 8) {
        put_le64(bytes + i, prng_next(&prng));
    }
    return slice_of(bytes, size);
}

static struct vlog_pointer
append(struct vlog *vlog, struct slice value)
{
    struct vlog_pointer pointer;
    err_t err = vlog_append(vlog, value, &pointer);

    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert_eq(pointer.bytes, value.size);
    return pointer;
}

static void
check_read(struct vlog *vlog, const struct vlog_pointer *pointer, struct slice expected)
{
    struct arena arena;
    struct slice value = {0};
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    err = vlog_read(vlog, pointer, &arena, &value);
    cr_assert_eq(err, ERR_OK, "%s", err_message(err));
    cr_assert(slice_equal(value, expected));
    arena_fini(&arena);
}

static bool
file_exists(uint64_t number)
{
    char path[64];
    char name[VLOG_NAME_BYTES];

    vlog_name(number, name);
    snprintf(path, sizeof(path), "v/%s", name);
    return sim_disk_exists(sim_world_current(), path);
}

/* ---- Round trips. ---- */

FIBER_TEST(lsm_vlog, values_of_all_sizes_come_back)
{
    static const size_t sizes[] = {0,       1,       4032,    4033,    65537,   1048512,
                                   1048513, 3000000, 4194240, 4194241, 5242881, 12345678};
    uint64_t last = 0;
    struct vlog *vlog;
    struct arena arena;
    struct vlog_pointer pointers[ARRAY_COUNT(sizes)];
    struct slice values[ARRAY_COUNT(sizes)];

    make_dir();
    vlog = open_vlog(&last);
    arena_init(&arena, MEM_BACKGROUND);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        values[i] = value_make(&arena, sizes[i], i);
        pointers[i] = append(vlog, values[i]);
        check_read(vlog, &pointers[i], values[i]);
    }
    vlog_close(&vlog);
    vlog = open_vlog(&last); /* And after a restart. */
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        uint8_t bytes[VLOG_POINTER_BYTES];
        struct vlog_pointer pointer;

        vlog_pointer_encode(&pointers[i], bytes);
        cr_assert_eq(vlog_pointer_decode(slice_of(bytes, sizeof(bytes)), &pointer), ERR_OK);
        check_read(vlog, &pointer, values[i]);
    }
    vlog_close(&vlog);
    arena_fini(&arena);
}

Test(lsm_vlog, a_checksum_does_not_depend_on_what_its_memory_had)
{
    static uint8_t bytes[213959];
    uint64_t seed = vlog_seed(0x60, 520192);
    struct slice value = slice_of(bytes, sizeof(bytes));
    XXH3_state_t hash;

    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (uint8_t)(i * 37 + i / 4096);
    }
    /* A state of the same place lay here, for a write that failed, and was overwritten in part. */
    memset(&hash, 0xa5, sizeof(hash));
    hash.seed = seed;
    hash.extSecret = NULL;
    vlog_hash_begin(&hash, seed);
    XXH3_64bits_update(&hash, value.data, value.size);
    cr_assert_eq(XXH3_64bits_digest(&hash), XXH3_64bits_withSeed(value.data, value.size, seed));
}

struct appender {
    struct vlog *vlog;
    uint64_t seed;
    struct vlog_pointer pointers[10];
};

static void
append_fiber(void *arg)
{
    struct appender *appender = arg;
    struct arena arena;

    for (uint64_t i = 0; i < 10; i++) {
        size_t size = 70000 + (appender->seed * 7919 + i * 104729) % 3000000;

        arena_init(&arena, MEM_SESSIONS);
        appender->pointers[i] =
            append(appender->vlog, value_make(&arena, size, appender->seed * 100 + i));
        arena_fini(&arena);
    }
}

FIBER_TEST(lsm_vlog, values_of_all_sizes_can_be_moved)
{
    static const size_t sizes[] = {0,       1,       4032,    4033,    65537,   1048512,
                                   1048513, 3000000, 4194240, 4194241, 5242881, 12345678};
    uint64_t last = 0;
    struct vlog *vlog;
    struct arena arena;

    make_dir();
    vlog = open_vlog(&last);
    arena_init(&arena, MEM_BACKGROUND);
    for (size_t i = 0; i < ARRAY_COUNT(sizes); i++) {
        struct slice value = value_make(&arena, sizes[i], i);
        struct vlog_pointer from = append(vlog, value);
        struct vlog_pointer to;
        err_t err = vlog_move(vlog, &from, &to);

        cr_assert_eq(err, ERR_OK, "%s", err_message(err));
        cr_assert(to.offset != from.offset || to.file_number != from.file_number);
        check_read(vlog, &from, value);
        check_read(vlog, &to, value);
    }
    arena_fini(&arena);
    vlog_close(&vlog);
}

FIBER_TEST(lsm_vlog, fibers_may_append_at_once)
{
    enum { FIBERS = 20 };
    static struct appender appenders[FIBERS];
    struct fiber_group group;
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;

    make_dir();
    vlog = open_vlog(&last);
    fiber_group_init(&group);
    for (uint64_t i = 0; i < FIBERS; i++) {
        appenders[i] = (struct appender){.vlog = vlog, .seed = i};
        cr_assert(fiber_group_spawn(&group, "append", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                                    append_fiber, &appenders[i]));
    }
    fiber_group_wait(&group);
    arena_init(&arena, MEM_BACKGROUND);
    for (uint64_t i = 0; i < FIBERS; i++) {
        for (uint64_t j = 0; j < 10; j++) {
            const struct vlog_pointer *pointer = &appenders[i].pointers[j];

            check_read(vlog, pointer, value_make(&arena, (size_t)pointer->bytes, i * 100 + j));
            arena_reset(&arena);
        }
    }
    arena_fini(&arena);
    vlog_close(&vlog);
}

Test(lsm_vlog, impossible_pointers_are_refused)
{
    struct vlog_pointer pointer = {.file_number = 1, .offset = 4096, .bytes = 10};
    uint8_t bytes[VLOG_POINTER_BYTES];

    vlog_pointer_encode(&pointer, bytes);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 32), &pointer), ERR_OK);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 31), &pointer), ERR_CORRUPT);
    put_le64(bytes + 8, 0);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 32), &pointer), ERR_CORRUPT);
    put_le64(bytes + 8, 4097);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 32), &pointer), ERR_CORRUPT);
    put_le64(bytes + 8, (uint64_t)1 << 63);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 32), &pointer), ERR_CORRUPT);
    put_le64(bytes + 8, 4096);
    put_le64(bytes + 16, VLOG_VALUE_BYTES_MAX + 1);
    cr_assert_eq(vlog_pointer_decode(slice_of(bytes, 32), &pointer), ERR_CORRUPT);
}

Test(lsm_vlog, names_round_trip_and_other_names_are_not_ours)
{
    static const char *const others[] = {"",
                                         "1.vlog",
                                         "0000000000000001.vlo",
                                         "0000000000000001.vlogs",
                                         "000000000000000G.vlog",
                                         "000000000000000A.vlog",
                                         "00000001.table"};
    char name[VLOG_NAME_BYTES];
    uint64_t number = 0;

    vlog_name(UINT64_C(0xfedcba9876543210), name);
    cr_assert_str_eq(name, "fedcba9876543210.vlog");
    cr_assert(vlog_name_parse(name, &number));
    cr_assert_eq(number, UINT64_C(0xfedcba9876543210));
    for (size_t i = 0; i < ARRAY_COUNT(others); i++) {
        cr_assert(!vlog_name_parse(others[i], &number), "%s", others[i]);
    }
}

FIBER_TEST(lsm_vlog, a_value_above_the_limit_is_refused)
{
    struct vlog_pointer pointer;
    uint64_t last = 0;
    struct vlog *vlog;

    make_dir();
    vlog = open_vlog(&last);
    cr_assert_eq(vlog_append(vlog, slice_of("", VLOG_VALUE_BYTES_MAX + 1), &pointer), ERR_LIMIT);
    cr_assert_eq(last, 0, "nothing was made");
    vlog_close(&vlog);
}

/* ---- References. ---- */

/* Appends until the file of the first value is full, so that it is not the active one. */
static void
fill_file(struct vlog *vlog, struct arena *arena, uint64_t number)
{
    struct slice value = value_make(arena, 30 << 20, 77);

    for (uint32_t i = 0; i < 20; i++) {
        struct vlog_pointer pointer = append(vlog, value);

        vlog_release_hold(vlog, &pointer);
        if (pointer.file_number != number) {
            return;
        }
    }
    cr_assert_fail("the file is never full");
}

static void
sleep_ms(uint64_t ms)
{
    cr_assert_eq(fiber_sleep_us(ms * 1000), ERR_OK);
}

FIBER_TEST(lsm_vlog, a_full_file_goes_with_its_last_reference)
{
    struct vlog_pointer pointer;
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    vlog = open_vlog(&last);
    pointer = append(vlog, value_make(&arena, 100000, 1));
    fill_file(vlog, &arena, pointer.file_number);
    sleep_ms(100);
    cr_assert(file_exists(pointer.file_number), "it is held");
    vlog_ref(vlog, pointer.file_number);
    vlog_ref(vlog, pointer.file_number);
    vlog_release_hold(vlog, &pointer);
    vlog_unref(vlog, pointer.file_number);
    sleep_ms(100);
    check_read(vlog, &pointer, value_make(&arena, 100000, 1));
    vlog_unref(vlog, pointer.file_number);
    sleep_ms(100);
    cr_assert(!file_exists(pointer.file_number));
    cr_assert(file_exists(last), "the active file stays");
    vlog_close(&vlog);
    arena_fini(&arena);
}

FIBER_TEST(lsm_vlog, files_of_an_earlier_run_wait_for_the_collection)
{
    struct vlog_pointer kept, lost;
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    vlog = open_vlog(&last);
    lost = append(vlog, value_make(&arena, 100000, 1));
    vlog_close(&vlog);
    vlog = open_vlog(&last);
    kept = append(vlog, value_make(&arena, 100000, 2));
    cr_assert_neq(kept.file_number, lost.file_number, "old files are not appended to");
    vlog_close(&vlog);

    vlog = open_vlog(&last);
    vlog_ref(vlog, lost.file_number);
    vlog_unref(vlog, lost.file_number); /* More references may come: replay goes on. */
    vlog_ref(vlog, kept.file_number);
    sleep_ms(100);
    cr_assert(file_exists(lost.file_number));
    cr_assert_eq(vlog_collect(vlog), ERR_OK);
    cr_assert(!file_exists(lost.file_number));
    check_read(vlog, &kept, value_make(&arena, 100000, 2));
    vlog_keep_files(vlog);
    vlog_unref(vlog, kept.file_number);
    vlog_close(&vlog);
    cr_assert(file_exists(kept.file_number), "the log may still point to it");
    arena_fini(&arena);
}

FIBER_TEST(lsm_vlog, a_missing_file_is_an_error_when_it_is_read)
{
    struct vlog_pointer pointer = {.file_number = 9, .offset = 4096, .bytes = 10};
    struct slice value = {0};
    uint64_t last = 8;
    struct arena arena;
    struct vlog *vlog;

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    vlog = open_vlog(&last);
    cr_assert_eq(vlog_read(vlog, &pointer, &arena, &value), ERR_CORRUPT);
    vlog_ref(vlog, 9);
    cr_assert_eq(vlog_read(vlog, &pointer, &arena, &value), ERR_CORRUPT);
    cr_assert_not_null(strstr(err_message(ERR_CORRUPT), "missing"));
    pointer = append(vlog, value_make(&arena, 100, 1));
    cr_assert_eq(pointer.file_number, 10, "the number is not used for another file");
    vlog_unref(vlog, 9);
    vlog_close(&vlog);
    arena_fini(&arena);
}

FIBER_TEST(lsm_vlog, many_files_are_read_with_few_open)
{
    enum { FILES = VLOG_OPEN_FILES_MAX + 20 };
    static struct vlog_pointer pointers[FILES];
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    for (uint32_t i = 0; i < FILES; i++) {
        vlog = open_vlog(&last);
        pointers[i] = append(vlog, value_make(&arena, 5000, i));
        vlog_close(&vlog);
    }
    vlog = open_vlog(&last);
    for (uint32_t i = 0; i < 3 * FILES; i++) {
        check_read(vlog, &pointers[i * 7 % FILES], value_make(&arena, 5000, i * 7 % FILES));
    }
    vlog_close(&vlog);
    arena_fini(&arena);
}

/* ---- Faults. ---- */

static void
check_fault(enum sim_op op, uint32_t skip, int negative_errno, size_t bytes, err_t expected)
{
    struct vlog_pointer before, failed, after;
    struct slice value;
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;
    err_t err;

    arena_init(&arena, MEM_BACKGROUND);
    value = value_make(&arena, bytes, 3);
    vlog = open_vlog(&last);
    before = append(vlog, value_make(&arena, 100000, 1));
    sim_disk_fail_next(sim_world_current(), op, "v/", skip, 1, negative_errno);
    err = vlog_append(vlog, value, &failed);
    cr_assert_eq(err, expected, "%s", err_message(err));
    after = append(vlog, value);
    check_read(vlog, &before, value_make(&arena, 100000, 1));
    check_read(vlog, &after, value);
    vlog_release_hold(vlog, &before);
    vlog_release_hold(vlog, &after);
    cr_assert_eq(vlog_collect(vlog), ERR_OK);
    vlog_close(&vlog);
    vlog = open_vlog(&last);
    cr_assert_eq(vlog_collect(vlog), ERR_OK);
    for (uint64_t i = 1; i <= last; i++) {
        cr_assert(!file_exists(i));
    }
    vlog_close(&vlog);
    arena_fini(&arena);
}

FIBER_TEST(lsm_vlog, a_failed_append_gives_its_error_and_the_next_one_works)
{
    make_dir();
    check_fault(SIM_OP_WRITE, 0, -EIO, 100000, ERR_IO);
    check_fault(SIM_OP_WRITE, 0, -ENOSPC, 100000, ERR_NO_SPACE);
    check_fault(SIM_OP_WRITE, 2, -EIO, 5 << 20, ERR_IO);
    check_fault(SIM_OP_WRITE, 1, -ENOSPC, 5 << 20, ERR_NO_SPACE);
    check_fault(SIM_OP_SYNC, 0, -EIO, 5 << 20, ERR_IO);
}

FIBER_TEST(lsm_vlog, a_file_that_cannot_be_made_leaves_nothing)
{
    static const enum sim_op ops[] = {SIM_OP_OPEN, SIM_OP_WRITE, SIM_OP_SYNC_DIR};
    struct vlog_pointer pointer;
    uint64_t last = 0;
    struct vlog *vlog;

    make_dir();
    vlog = open_vlog(&last);
    for (size_t i = 0; i < ARRAY_COUNT(ops); i++) {
        sim_disk_fail_next(sim_world_current(), ops[i], "v", 0, 1, -ENOSPC);
        cr_assert_eq(vlog_append(vlog, SLICE("value"), &pointer), ERR_NO_SPACE);
        cr_assert(!file_exists(last));
    }
    append(vlog, SLICE("value"));
    vlog_close(&vlog);
}

/* ---- Corruption. ---- */

FIBER_TEST(lsm_vlog, any_flipped_byte_of_a_value_is_noticed)
{
    struct sim_world *world = sim_world_current();
    struct vlog_pointer pointer;
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;
    char path[64];
    char name[VLOG_NAME_BYTES];

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    vlog = open_vlog(&last);
    pointer = append(vlog, value_make(&arena, 3000, 1));
    vlog_close(&vlog);
    vlog_name(pointer.file_number, name);
    snprintf(path, sizeof(path), "v/%s", name);
    for (uint64_t i = 0; i < sim_disk_size(world, path); i++) {
        bool is_padding = (i >= 64 && i < 4096) || i >= 4096 + 64 + 3000;
        struct slice value = {0};
        uint8_t old, damaged;
        err_t err;

        cr_assert(sim_disk_peek(world, path, i, &old, 1));
        damaged = old ^ (uint8_t)(1 << i % 8);
        cr_assert(sim_disk_poke(world, path, i, &damaged, 1));
        vlog = open_vlog(&last);
        err = vlog_read(vlog, &pointer, &arena, &value);
        cr_assert_eq(err, is_padding ? ERR_OK : ERR_CORRUPT, "byte %lu: %s", i, err_name(err));
        if (i % 97 == 0) { /* Each one that goes well makes a file. */
            struct vlog_pointer moved;

            err = vlog_move(vlog, &pointer, &moved);
            cr_assert_eq(err, is_padding ? ERR_OK : ERR_CORRUPT, "byte %lu: %s", i, err_name(err));
        }
        vlog_close(&vlog);
        cr_assert(sim_disk_poke(world, path, i, &old, 1));
    }
    arena_fini(&arena);
}

FIBER_TEST(lsm_vlog, a_value_in_the_wrong_place_is_noticed)
{
    struct sim_world *world = sim_world_current();
    struct vlog_pointer first, second;
    struct slice value = {0};
    uint8_t block[4096];
    uint64_t last = 0;
    struct arena arena;
    struct vlog *vlog;
    char path[64];
    char name[VLOG_NAME_BYTES];

    make_dir();
    arena_init(&arena, MEM_BACKGROUND);
    vlog = open_vlog(&last);
    first = append(vlog, SLICE("the same value"));
    second = append(vlog, SLICE("the same value"));
    vlog_name(first.file_number, name);
    snprintf(path, sizeof(path), "v/%s", name);
    cr_assert(sim_disk_peek(world, path, first.offset, block, sizeof(block)));
    cr_assert(sim_disk_poke(world, path, second.offset, block, sizeof(block)));
    cr_assert_eq(vlog_read(vlog, &first, &arena, &value), ERR_OK);
    cr_assert_eq(vlog_read(vlog, &second, &arena, &value), ERR_CORRUPT);
    first.checksum++;
    cr_assert_eq(vlog_read(vlog, &first, &arena, &value), ERR_CORRUPT);
    first.checksum--;
    first.offset = 1 << 20;
    cr_assert_eq(vlog_read(vlog, &first, &arena, &value), ERR_CORRUPT, "beyond the end");
    vlog_close(&vlog);
    arena_fini(&arena);
}

/* ---- Crashes. ---- */

enum { CRASH_VALUES = 6 };

struct crash_state {
    struct vlog_pointer pointers[CRASH_VALUES];
    uint32_t acknowledged;
    uint64_t last_number;
};

static void
crash_body(void *arg)
{
    struct crash_state *state = arg;
    struct vlog *vlog;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    (void)io_mkdir("v");
    cr_assert_eq(io_sync_dir(""), ERR_OK);
    vlog = open_vlog(&state->last_number);
    for (uint32_t i = 0; i < CRASH_VALUES; i++) {
        state->pointers[i] = append(vlog, value_make(&arena, 200000 + i * 900000, i));
        state->acknowledged = i + 1;
    }
    vlog_close(&vlog);
    arena_fini(&arena);
}

static err_t
crash_check(void *arg)
{
    struct crash_state *state = arg;
    struct vlog *vlog;
    struct arena arena;

    arena_init(&arena, MEM_SESSIONS);
    vlog = open_vlog(&state->last_number);
    for (uint32_t i = 0; i < state->acknowledged; i++) {
        check_read(vlog, &state->pointers[i], value_make(&arena, 200000 + i * 900000, i));
    }
    cr_assert_eq(vlog_collect(vlog), ERR_OK);
    vlog_close(&vlog);
    arena_fini(&arena);
    return ERR_OK;
}

/* Goal: what vlog_append has acknowledged survives a power cut at any moment. */
Test(lsm_vlog, acknowledged_values_survive_power_cuts)
{
    uint32_t in_the_middle = 0;

    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct crash_state state = {0};
        struct sim_options options;
        struct sim_world *world;

        sim_options_init(&options);
        world = sim_world_new(seed, &options);
        sim_world_boot(world, 1);
        sim_world_spawn(world, 0, "crash", crash_body, &state);
        sim_world_run(world, NULL, NULL, seed * 400);
        in_the_middle += state.acknowledged > 0 && state.acknowledged < CRASH_VALUES ? 1 : 0;
        sim_world_crash(world, SIM_CRASH_POWER_CUT);
        if (state.acknowledged > 0) {
            sim_world_boot(world, 1);
            cr_assert_eq(sim_world_call(world, 0, crash_check, &state), ERR_OK);
            sim_world_stop(world);
        }
        sim_world_free(&world);
    }
    cr_assert_gt(in_the_middle, 5);
}
