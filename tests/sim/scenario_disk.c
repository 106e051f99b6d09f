/* tests/sim/scenario_disk.c - the simulator against itself: fibers, messages and files, with a
 * program so small that its promises are plain.
 *
 * Each shard has a file of BLOCKS blocks, each a version of itself with a checksum, and a pointer
 * file that is replaced by rename. For every block the world outside remembers the largest version
 * whose writing began and the largest that was acknowledged as durable; what is found after a
 * crash must lie between, and may be torn only when they differ. */
#include <string.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "tests/sim/scenarios.h"

enum {
    BLOCKS = 24,
    WORKERS = 4, /* A shard; each owns the blocks of its number modulo WORKERS. */
    LIFE_US_MAX = 10 * 1000 * 1000,
    DRAIN_US = 60 * 1000 * 1000,
};

struct block_content {
    uint64_t checksum; /* Of what follows. */
    uint64_t shard;
    uint64_t index;
    uint64_t version;
    uint8_t filling[IO_BLOCK_BYTES - 4 * sizeof(uint64_t)];
};
_Static_assert(sizeof(struct block_content) == IO_BLOCK_BYTES, "one block");

struct cell {
    uint64_t started;
    uint64_t acked;
};

struct toy_shard {
    struct cell blocks[BLOCKS];
    struct cell pointer;
    struct io_file *file; /* Of this life. */
    uint64_t failed_syncs;
    bool pointer_is_busy;
};

struct toy {
    struct run *run;
    bool has_errors; /* EIO and ENOSPC are among the faults. */
    bool is_stopping;
    uint32_t running;
    struct toy_shard shards[SIM_SHARDS_MAX];
};

static struct toy toy;

static struct toy_shard *
here(void)
{
    return &toy.shards[shard_id()];
}

static uint64_t
content_checksum(const struct block_content *content)
{
    return XXH3_64bits(&content->shard, sizeof(*content) - sizeof(content->checksum));
}

static void
content_fill(struct block_content *content, uint64_t index, uint64_t version)
{
    memset(content->filling, (int)(version & 0xff), sizeof(content->filling));
    content->shard = shard_id();
    content->index = index;
    content->version = version;
    content->checksum = content_checksum(content);
}

/* What was read must be a version between those acknowledged and begun. */
static void
content_check(const char *what, const struct block_content *content, uint64_t index,
              const struct cell *cell)
{
    if (content->checksum != content_checksum(content) || content->version == 0) {
        SOMETIMES_IF(content->version != 0, "disk: a torn block was found");
        RUN_CHECK(toy.run, cell->started > cell->acked || cell->started == 0,
                  "%s %llu of shard %u is torn, version %llu was acknowledged", what,
                  (unsigned long long)index, shard_id(), (unsigned long long)cell->acked);
        return;
    }
    RUN_CHECK(toy.run, content->shard == shard_id() && content->index == index,
              "%s %llu of shard %u holds block %llu of shard %llu", what, (unsigned long long)index,
              shard_id(), (unsigned long long)content->index, (unsigned long long)content->shard);
    RUN_CHECK(toy.run, content->version >= cell->acked && content->version <= cell->started,
              "%s %llu of shard %u has version %llu, acknowledged %llu, begun %llu", what,
              (unsigned long long)index, shard_id(), (unsigned long long)content->version,
              (unsigned long long)cell->acked, (unsigned long long)cell->started);
    SOMETIMES_IF(content->version < cell->started, "disk: an unacknowledged version was lost");
    SOMETIMES_IF(content->version > cell->acked, "disk: an unacknowledged version was kept");
}

static bool
is_excused(err_t err)
{
    return toy.has_errors && (err == ERR_IO || err == ERR_NO_SPACE);
}

/* ---- Starting: open and check. ---- */

static err_t
check_blocks(struct toy_shard *shard)
{
    struct block_content *content = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);
    uint64_t blocks = io_file_size(shard->file) / IO_BLOCK_BYTES;
    err_t err = ERR_OK;

    for (uint64_t i = 0; i < BLOCKS; i++) {
        const struct cell *cell = &shard->blocks[i];

        if (i >= blocks) {
            RUN_CHECK(toy.run, cell->acked == 0, "block %llu of shard %u is beyond the end",
                      (unsigned long long)i, shard_id());
            continue;
        }
        err = io_read(shard->file, i * IO_BLOCK_BYTES, content, IO_BLOCK_BYTES);
        if (is_excused(err)) {
            err = ERR_OK;
            continue;
        }
        TRY(err);
        content_check("block", content, i, cell);
    }
out:
    mem_free_aligned(MEM_RUNTIME, content, IO_BLOCK_BYTES);
    return err;
}

static err_t
check_pointer(const char *path, struct toy_shard *shard)
{
    struct block_content *content = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);
    struct io_file *file = NULL;
    err_t err = io_open(path, 0, &file);

    if (err == ERR_NOT_FOUND) {
        RUN_CHECK(toy.run, shard->pointer.acked == 0, "the pointer of shard %u is gone",
                  shard_id());
        err = ERR_OK;
        goto out;
    }
    TRY(err);
    TRY(io_read(file, 0, content, IO_BLOCK_BYTES));
    RUN_CHECK(toy.run, content->checksum == content_checksum(content),
              "the pointer of shard %u is torn although it was synced before its rename",
              shard_id());
    content_check("pointer", content, 0, &shard->pointer);
out:
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, content, IO_BLOCK_BYTES);
    return is_excused(err) ? ERR_OK : err;
}

static err_t
toy_open(void *arg)
{
    struct toy_shard *shard = here();
    char dir[32];
    char path[64];
    err_t err;

    (void)arg;
    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    err = io_mkdir(dir);
    if (err != ERR_EXISTS) {
        TRY(err);
    }
    TRY(io_sync_dir(""));
    snprintf(path, sizeof(path), "%s/pointer", dir);
    TRY(check_pointer(path, shard));
    snprintf(path, sizeof(path), "%s/log", dir);
    TRY(io_open(path, IO_CREATE, &shard->file));
    TRY(io_sync_dir(dir));
    TRY(check_blocks(shard));
out:
    return err;
}

/* ---- Working. ---- */

static err_t
write_block(uint64_t index, uint32_t flags, uint64_t *version_out)
{
    struct toy_shard *shard = here();
    struct block_content *content = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);
    struct cell *cell = &shard->blocks[index];
    err_t err;

    *version_out = ++cell->started;
    content_fill(content, index, *version_out);
    err = io_write(shard->file, index * IO_BLOCK_BYTES, content, IO_BLOCK_BYTES, flags);
    mem_free_aligned(MEM_RUNTIME, content, IO_BLOCK_BYTES);
    toy.run->operations++;
    if (err == ERR_OK && (flags & IO_DURABLE) != 0) {
        cell->acked = *version_out;
    }
    RUN_CHECK(toy.run, err == ERR_OK || is_excused(err), "a write: %s", err_message(err));
    return err;
}

/* Several blocks without durability, then one sync for all. */
static void
write_and_sync(uint32_t worker)
{
    struct toy_shard *shard = here();
    uint64_t versions[BLOCKS] = {0};
    uint64_t failed_before = shard->failed_syncs;
    err_t err;

    for (uint64_t i = worker; i < BLOCKS; i += WORKERS) {
        if (prng_below(shard_prng(), 2) == 0 && write_block(i, 0, &versions[i]) != ERR_OK) {
            versions[i] = 0;
        }
    }
    err = io_sync(shard->file);
    RUN_CHECK(toy.run, err == ERR_OK || is_excused(err), "a sync: %s", err_message(err));
    shard->failed_syncs += err != ERR_OK;
    if (shard->failed_syncs != failed_before) {
        return; /* Nobody can say what reached the disk, not even after a later sync. */
    }
    for (uint64_t i = worker; i < BLOCKS; i += WORKERS) {
        shard->blocks[i].acked = MAX(shard->blocks[i].acked, versions[i]);
    }
}

static void
read_own_block(uint32_t worker)
{
    struct toy_shard *shard = here();
    struct block_content *content = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);
    uint64_t index = worker + WORKERS * prng_below(shard_prng(), BLOCKS / WORKERS);
    /* A lent block may be written and acknowledged while it is read. */
    struct cell cell = shard->blocks[index];

    if (cell.acked > 0 &&
        io_read(shard->file, index * IO_BLOCK_BYTES, content, IO_BLOCK_BYTES) == ERR_OK) {
        cell.started = shard->blocks[index].started;
        content_check("block", content, index, &cell);
    }
    toy.run->operations++;
    mem_free_aligned(MEM_RUNTIME, content, IO_BLOCK_BYTES);
}

static err_t
replace_pointer(void)
{
    struct toy_shard *shard = here();
    struct block_content *content = mem_alloc_aligned(MEM_RUNTIME, IO_BLOCK_BYTES);
    struct io_file *file = NULL;
    uint64_t version = ++shard->pointer.started;
    char dir[32];
    char path[64];
    char new_path[64];
    err_t err;

    snprintf(dir, sizeof(dir), "shard-%u", shard_id());
    snprintf(path, sizeof(path), "%s/pointer", dir);
    snprintf(new_path, sizeof(new_path), "%s/pointer.new", dir);
    content_fill(content, 0, version);
    err = io_unlink(new_path); /* After a failed sync only a new file can be trusted. */
    if (err != ERR_NOT_FOUND) {
        TRY(err);
    }
    TRY(io_open(new_path, IO_CREATE | IO_EXCLUSIVE, &file));
    TRY(io_write(file, 0, content, IO_BLOCK_BYTES, 0));
    TRY(io_sync(file));
    TRY(io_rename(new_path, path));
    TRY(io_sync_dir(dir));
    shard->pointer.acked = version;
out:
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, content, IO_BLOCK_BYTES);
    toy.run->operations++;
    return err;
}

struct remote_write {
    uint64_t index;
    uint32_t from;
};

static void
write_for_peer(void *arg)
{
    const struct remote_write *remote = arg;
    uint64_t version;

    RUN_CHECK(toy.run, remote->from != shard_id() || shard_count() == 1, "a call of its own");
    write_block(remote->index, IO_DURABLE, &version);
}

/* The last worker's blocks are written by the peer's worker 0 only, so no two write at a time. */
static void
write_at_peer(uint32_t worker)
{
    struct remote_write remote = {.from = shard_id()};

    if (shard_count() == 1 || worker != 0) {
        return;
    }
    remote.index = WORKERS - 1 + WORKERS * prng_below(shard_prng(), BLOCKS / WORKERS);
    msg_call((shard_id() + 1) % shard_count(), MSG_FIBER, write_for_peer, &remote);
}

static void
work_once(uint32_t worker)
{
    struct toy_shard *shard = here();
    bool is_lent = worker == WORKERS - 1 && shard_count() > 1;
    uint64_t version;

    switch (prng_below(shard_prng(), 8)) {
    case 0:
        if (!is_lent) {
            write_and_sync(worker);
        }
        break;
    case 1:
        write_at_peer(worker);
        break;
    case 2:
        if (!shard->pointer_is_busy) {
            shard->pointer_is_busy = true;
            err_t err = replace_pointer();

            RUN_CHECK(toy.run, err == ERR_OK || is_excused(err), "the pointer: %s",
                      err_message(err));
            shard->pointer_is_busy = false;
        }
        break;
    case 3:
        read_own_block(worker);
        break;
    default:
        if (!is_lent) {
            write_block(worker + WORKERS * prng_below(shard_prng(), BLOCKS / WORKERS), IO_DURABLE,
                        &version);
        }
        break;
    }
}

static void
work(void *arg)
{
    uint32_t worker = (uint32_t)(uintptr_t)arg;

    while (!toy.is_stopping) {
        work_once(worker);
        fiber_work((uint32_t)prng_below(shard_prng(), 400));
        if (prng_below(shard_prng(), 4) == 0) {
            fiber_sleep_us(prng_below(shard_prng(), 300));
        }
    }
    toy.running--;
}

static bool
nobody_works(void *arg)
{
    (void)arg;
    return toy.running == 0;
}

static void
spawn_workers(struct run *run)
{
    toy.is_stopping = false;
    toy.running = 0;
    for (uint32_t shard = 0; shard < run->shards; shard++) {
        toy.shards[shard].pointer_is_busy = false;
        for (uint32_t worker = 0; worker < WORKERS; worker++) {
            sim_world_spawn(run->world, shard, "worker", work, (void *)(uintptr_t)worker);
            toy.running++;
        }
    }
}

static err_t
toy_close(void *arg)
{
    (void)arg;
    io_close(&here()->file);
    return ERR_OK;
}

static void
draw_errors(struct run *run)
{
    struct sim_options *options = sim_world_options(run->world);

    if (run_chance(run, 40)) {
        toy.has_errors = true; /* And stays so: blocks that cannot be read may remain. */
        options->eio_read_ppm = (uint32_t)run_below(run, 5000);
        options->eio_write_ppm = (uint32_t)run_below(run, 20000);
        options->eio_sync_ppm = (uint32_t)run_below(run, 50000);
        options->no_space_ppm = (uint32_t)run_below(run, 20000);
    }
}

static void
disk_main(struct run *run)
{
    memset(&toy, 0, sizeof(toy));
    toy.run = run;
    for (uint32_t life = 0;; life++) {
        sim_world_calm(run->world);
        run_start(run, toy_open, NULL);
        if (life >= 4 && run_is_enough(run)) {
            break;
        }
        run_draw_harmless_faults(run);
        draw_errors(run);
        spawn_workers(run);
        run_for_operations(run, run_between(run, 10, 500), LIFE_US_MAX);
        run_crash(run);
    }
    spawn_workers(run);
    run_for(run, 1000);
    toy.is_stopping = true;
    run_until(run, nobody_works, NULL, DRAIN_US, "the workers to end");
    RUN_CHECK(run, sim_world_call_all(run->world, toy_close, NULL) == ERR_OK, "closing");
    sim_world_stop(run->world);
}

const struct scenario scenario_disk = {
    .name = "disk",
    .text = "the simulator itself: files, folders and messages of a toy",
    .weight = 1,
    .main = disk_main,
};
