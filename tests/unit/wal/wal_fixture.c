/* tests/unit/wal/wal_fixture.c - see wal_fixture.h. */
#include "tests/unit/wal/wal_fixture.h"

#include <inttypes.h>
#include <stdio.h>

struct sim_world *world;
struct wal_options options;
struct wal *wal;
struct wal_recovered recovered;
struct journal journal;

static err_t
journal_replay(void *arg, lsn_t lsn, struct slice payload)
{
    (void)arg;
    cr_assert_lt(journal.count, JOURNAL_MAX);
    cr_assert_geq(payload.size, 8);
    for (size_t i = 8; i < payload.size; i++) {
        cr_assert_eq(payload.data[i], (uint8_t)(payload.data[0] + i));
    }
    journal.lsns[journal.count] = lsn;
    journal.sizes[journal.count] = (uint32_t)payload.size;
    journal.values[journal.count] = get_le64(payload.data);
    journal.count++;
    return ERR_OK;
}

void
world_begin_seeded(uint64_t seed)
{
    struct sim_options sim;

    sim_options_init(&sim);
    world = sim_world_new(seed, &sim);
    options = (struct wal_options){
        .dir = "wal",
        .log_id = FIXTURE_LOG_ID,
        .segment_bytes = 64 << 10,
        .replay = journal_replay,
    };
}

void
world_begin(void)
{
    world_begin_seeded(7);
}

void
world_end(void)
{
    sim_world_free(&world);
}

static err_t
open_body(void *arg)
{
    (void)arg;
    return wal_open(&options, &recovered, &wal);
}

err_t
life_try(void)
{
    err_t err;

    wal = NULL;
    journal.count = 0;
    sim_world_boot(world, 1);
    err = sim_world_call(world, 0, open_body, NULL);
    if (err != ERR_OK) {
        cr_assert_null(wal, "outputs must stay untouched on error");
        sim_world_stop(world); /* Asserts that the failed opening left nothing. */
    }
    return err;
}

void
life_begin(void)
{
    err_t err = life_try();

    cr_assert_eq(err, ERR_OK, "opening failed: %s", err_message(err));
}

static err_t
run_body(void *arg)
{
    void (**fn)(void) = arg;

    (*fn)();
    return ERR_OK;
}

void
life_run(void (*fn)(void))
{
    err_t err = sim_world_call(world, 0, run_body, &fn);

    cr_assert_eq(err, ERR_OK, "the body did not end: %s", err_message(err));
}

void
life_idle(uint64_t us)
{
    sim_world_run(world, NULL, NULL, us);
}

void
life_crash(enum sim_crash kind)
{
    sim_world_crash(world, kind);
    wal = NULL;
}

static void
close_body(void)
{
    wal_close(&wal);
    cr_assert_null(wal);
}

void
life_close(void)
{
    life_run(close_body);
    sim_world_stop(world);
}

lsn_t
append(uint64_t value, size_t size)
{
    lsn_t before = wal_appended(wal);
    lsn_t lsn = 0;
    uint8_t *at;
    err_t err = wal_reserve(wal, size);

    cr_assert_eq(err, ERR_OK, "no room: %s", err_message(err));
    at = wal_append(wal, size, &lsn);
    for (size_t i = 0; i < size; i++) {
        at[i] = (uint8_t)(value + i);
    }
    put_le64(at, value);
    cr_assert_gt(lsn, before);
    cr_assert_eq(wal_appended(wal), lsn);
    return lsn;
}

lsn_t
append_durably(uint64_t value, size_t size)
{
    lsn_t lsn = append(value, size);

    wal_wait_durable(wal, lsn);
    cr_assert_geq(wal_durable(wal), lsn);
    return lsn;
}

struct place {
    uint64_t position;
    char *path;
    uint64_t start;
};

static void
place_visit(const char *path, uint64_t size, void *arg)
{
    struct place *place = arg;
    uint64_t start;

    if (sscanf(path, "wal/%16" SCNx64 ".log", &start) == 1 && place->position >= start &&
        place->position < start + size) {
        snprintf(place->path, IO_PATH_BYTES_MAX, "%s", path);
        place->start = start;
    }
}

void
place_of(uint64_t position, char path[IO_PATH_BYTES_MAX], uint64_t *offset_out)
{
    struct place place = {.position = position, .path = path};

    path[0] = '\0';
    sim_disk_visit(world, place_visit, &place);
    cr_assert_neq(path[0], '\0', "no segment holds position %" PRIu64, position);
    *offset_out = position - place.start;
}

void
flip_at(uint64_t position)
{
    char path[IO_PATH_BYTES_MAX];
    uint64_t offset;

    place_of(position, path, &offset);
    cr_assert(sim_disk_flip_bit(world, path, offset * 8));
}

void
lose_blocks(uint64_t position, uint32_t blocks)
{
    static const uint8_t zeros[IO_BLOCK_BYTES];
    char path[IO_PATH_BYTES_MAX];
    uint64_t offset;

    for (uint32_t i = 0; i < blocks; i++) {
        place_of(position + (uint64_t)i * IO_BLOCK_BYTES, path, &offset);
        cr_assert(sim_disk_poke(world, path, offset, zeros, sizeof(zeros)));
    }
}

static void
count_visit(const char *path, uint64_t size, void *arg)
{
    uint32_t *count = arg;

    (void)size;
    *count += strstr(path, ".log") != NULL;
}

uint32_t
count_segments(void)
{
    uint32_t count = 0;

    sim_disk_visit(world, count_visit, &count);
    return count;
}
