/* tests/sim/scenario_store_rot.c - stores on a disk that lies, and stores with a bit flipped. */
#include <stdio.h>
#include <string.h>

#include "engine/base/assert.h"
#include "tests/sim/scenarios.h"
#include "tests/sim/stores.h"

enum { CLAIM_US = 3 * WAL_HEARTBEAT_US };

/* ---- Rot. ---- */

static void
new_history(struct run *run)
{
    sim_disk_wipe(run->world);
    stores.named.state = CHECKPOINT_NONE;
    for (uint32_t i = 0; i < run->shards; i++) {
        model_forget(stores.shards[i].model);
    }
}

/* One thing goes wrong with what was durable. From then on, and after a crash, every read gives
 * an error or the truth. The work ends early enough before the crash that the log says what was
 * durable: nobody can miss the very last write of a disk that lies. */
static void
rot_episode(struct run *run)
{
    uint64_t faults_before = run_rot_faults(run);
    err_t err;

    new_history(run);
    stores_draw_life(run);
    run_start(run, stores_open, NULL);
    stores_spawn_workers(run);
    run_for_operations(run, run_between(run, 50, 300), STORES_LIFE_US_MAX);
    stores.has_rot = true;
    run_rot_one(run, "lsm");
    if (run_for_operations(run, run_between(run, 20, 200), STORES_LIFE_US_MAX)) {
        stores.is_stopping = true;
        sim_world_run(run->world, stores_nobody_works, NULL, STORES_DRAIN_US);
        run_for(run, CLAIM_US);
    }
    sim_world_calm(run->world);
    run_crash(run);
    if (run_rot_faults(run) == faults_before) {
        run_rot_bits(run);
    }
    err = sim_world_start(run->world, run->shards, stores_open, NULL);
    run->lives++;
    SOMETIMES_IF(err == ERR_OK, "store: rot did no harm");
    SOMETIMES_IF(err != ERR_OK, "store: rot was found and named");
    RUN_CHECK(run,
              err == ERR_OK || err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_NOT_FOUND ||
                  err == ERR_IO,
              "rot was reported as %s: %s", err_name(err), err_message(err));
    if (err == ERR_OK) {
        stores_spawn_workers(run);
        run_for_operations(run, run_between(run, 20, 100), STORES_LIFE_US_MAX);
    }
    sim_world_crash(run->world, SIM_CRASH_KILL);
    stores.has_rot = false;
}

static void
store_rot_main(struct run *run)
{
    stores_begin(run);
    while (run->lives < 5 || !run_is_enough(run)) {
        rot_episode(run);
    }
}

const struct scenario scenario_store_rot = {
    .name = "store-rot",
    .text = "log and tables: bit flips, dropped and misplaced writes never give a wrong answer",
    .weight = 3,
    .main = store_rot_main,
};

/* ---- Flips. ---- */

enum { FLIPS_A_LIFE = 10, FLIP_OPERATIONS_MIN = 250 };

/* A drawn file, and a byte of it. */
struct flip {
    struct run *run;
    uint32_t files;
    uint32_t wanted;
    char path[IO_PATH_BYTES_MAX];
    uint64_t size;
    uint64_t byte;
    uint32_t bit;
};

static bool
is_in_export(const char *path)
{
    size_t size = strlen(stores.export.name);

    return stores.export.state == CHECKPOINT_MADE && strncmp(path, stores.export.name, size) == 0 &&
           path[size] == '/';
}

/* Of the stores, or of the export of this life. */
static void
flip_visit(const char *path, uint64_t size, void *arg)
{
    struct flip *flip = arg;

    if (size > 0 && (strncmp(path, "shard-", 6) == 0 || is_in_export(path)) &&
        flip->files++ == flip->wanted) {
        snprintf(flip->path, sizeof(flip->path), "%s", path);
        flip->size = size;
    }
}

/* Files are mostly padding, in which a flip says little: from a drawn byte on, the first that is
 * not zero is taken, more often than not. */
static void
flip_draw(struct run *run, struct flip *flip)
{
    uint8_t byte = 0;

    *flip = (struct flip){.run = run, .wanted = UINT32_MAX};
    sim_disk_visit(run->world, flip_visit, flip);
    RUN_CHECK(run, flip->files > 0, "no file to flip a bit of");
    flip->wanted = (uint32_t)run_below(run, flip->files);
    flip->files = 0;
    sim_disk_visit(run->world, flip_visit, flip);
    flip->byte = run_below(run, flip->size);
    flip->bit = (uint32_t)run_below(run, 8);
    if (run_chance(run, 30)) {
        return;
    }
    while (flip->byte + 1 < flip->size &&
           sim_disk_peek(run->world, flip->path, flip->byte, &byte, 1) && byte == 0) {
        flip->byte++;
    }
}

/* In a process of its own, so that the next flip finds the disk as this one did. */
static void
flip_child(struct run *run, void *arg)
{
    const struct flip *flip = arg;
    err_t err;

    stores.has_rot = true;
    RUN_CHECK(run, sim_disk_flip_bit(run->world, flip->path, flip->byte * 8 + flip->bit),
              "no bit to flip");
    if (is_in_export(flip->path)) {
        stores_open_export(run);
    }
    err = sim_world_start(run->world, run->shards, stores_open, NULL);
    if (err == ERR_OK) {
        err = sim_world_call_all(run->world, stores_verify, NULL);
    }
    /* ERR_IO: of a write that waits for a compaction, which has found the damage. */
    RUN_CHECK(run,
              err == ERR_OK || err == ERR_CORRUPT || err == ERR_FORMAT || err == ERR_NOT_FOUND ||
                  err == ERR_IO,
              "a flipped bit was reported as %s: %s", err_name(err), err_message(err));
    SOMETIMES_IF(err == ERR_OK, "store: a flipped bit did no harm");
    SOMETIMES_IF(err != ERR_OK && stores.opened != NULL,
                 "store: a flipped bit was found in an export");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, ".table") != NULL,
                 "store: a flipped bit was found in a table");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, ".vlog") != NULL,
                 "store: a flipped bit was found in a value log");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, "MANIFEST") != NULL,
                 "store: a flipped bit was found in a manifest");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, "CURRENT") != NULL,
                 "store: a flipped bit was found in CURRENT");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, "/wal/") != NULL,
                 "store: a flipped bit was found in a log");
    SOMETIMES_IF(err != ERR_OK && strstr(flip->path, "STORE") != NULL,
                 "store: a flipped bit was found in STORE");
}

static void
flip_one(struct run *run)
{
    struct flip flip;
    int status;

    flip_draw(run, &flip);
    run->operations++;
    status = run_in_child(run, flip_child, &flip);
    RUN_CHECK(run, status == 0, "bit %u of byte %llu of %s (%llu bytes): wait status %d", flip.bit,
              (unsigned long long)flip.byte, flip.path, (unsigned long long)flip.size, status);
}

/* A store lives and crashes; then it is opened again and again, each time with one bit of one file
 * flipped: an error, or all that was there. */
static void
store_flip_main(struct run *run)
{
    stores_begin(run);
    stores.large_percent = run_chance(run, 60) ? 10 : 0;
    while (run->lives < 4 || !run_is_enough(run)) {
        stores_draw_life(run);
        stores.export.state = CHECKPOINT_NONE;
        run_start(run, stores_open, NULL);
        stores_spawn_workers(run);
        run_for_operations(run, FLIP_OPERATIONS_MIN, STORES_LIFE_US_MAX);
        stores.is_stopping = true;
        run_until(run, stores_nobody_works, NULL, STORES_DRAIN_US, "the workers to end");
        run_for(run, CLAIM_US); /* The log says what was durable. */
        run_crash(run);
        for (uint32_t i = 0; i < FLIPS_A_LIFE; i++) {
            flip_one(run);
        }
    }
}

const struct scenario scenario_store_flip = {
    .name = "store-flip",
    .text = "one bit flipped in any file of a store at rest: an error or the truth",
    .weight = 2,
    .main = store_flip_main,
};
