/* txn/shape.c - the file STORE of a shard's folder. */
#include "txn/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <xxhash.h>

#include "engine/base/mem.h"
#include "engine/base/sometimes.h"
#include "engine/io/io.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    SHAPE_VERSION = 2,
    AT_CHECKSUM = 8,
    AT_VERSION = 16, /* The checksum covers from here on. */
    AT_SHARD = 20,
    AT_SHARDS = 24,
    AT_LOG_ID = 32,
    AT_BORN = 40,
};

static const uint8_t shape_magic[8] = {'O', 'R', 'B', 'S', 'T', 'O', 'R', '\n'};

static uint64_t
shape_checksum(const uint8_t *block)
{
    return XXH3_64bits(block + AT_VERSION, SHAPE_BYTES - AT_VERSION);
}

void
shape_encode(uint8_t out[SHAPE_BYTES], const struct shape *shape)
{
    memset(out, 0, SHAPE_BYTES);
    memcpy(out, shape_magic, sizeof(shape_magic));
    put_le32(out + AT_VERSION, SHAPE_VERSION);
    put_le32(out + AT_SHARD, shape->shard);
    put_le32(out + AT_SHARDS, shape->shards);
    put_le64(out + AT_LOG_ID, shape->log_id);
    put_le64(out + AT_BORN, shape->born);
    put_le64(out + AT_CHECKSUM, shape_checksum(out));
}

err_t
shape_decode(struct slice bytes, const char *path, struct shape *shape_out)
{
    if (bytes.size != SHAPE_BYTES || memcmp(bytes.data, shape_magic, sizeof(shape_magic)) != 0) {
        return err_set(ERR_CORRUPT, "%s is not the shape file of a store", path);
    }
    if (get_le64(bytes.data + AT_CHECKSUM) != shape_checksum(bytes.data)) {
        return err_set(ERR_CORRUPT, "%s: wrong checksum", path);
    }
    if (get_le32(bytes.data + AT_VERSION) != SHAPE_VERSION) {
        return err_format(path, get_le32(bytes.data + AT_VERSION), SHAPE_VERSION);
    }
    *shape_out = (struct shape){
        .shard = get_le32(bytes.data + AT_SHARD),
        .shards = get_le32(bytes.data + AT_SHARDS),
        .log_id = get_le64(bytes.data + AT_LOG_ID),
        .born = get_le64(bytes.data + AT_BORN),
    };
    return ERR_OK;
}

static YIELDS err_t
shape_read(const char *path, struct shape *shape_out)
{
    uint8_t *block = mem_alloc_aligned(MEM_RUNTIME, SHAPE_BYTES);
    struct io_file *file = NULL;
    err_t err;

    TRY(io_open(path, IO_READ_ONLY, &file));
    TRY(io_read(file, 0, block, SHAPE_BYTES));
    err = shape_decode(slice_of(block, SHAPE_BYTES), path, shape_out);
out:
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, block, SHAPE_BYTES);
    return err;
}

static YIELDS err_t
shape_write(const char *path, const struct shape *shape)
{
    uint8_t *block = mem_alloc_aligned(MEM_RUNTIME, SHAPE_BYTES);
    struct io_file *file = NULL;
    err_t err;

    shape_encode(block, shape);
    TRY(io_open(path, IO_CREATE, &file));
    TRY(io_write(file, 0, block, SHAPE_BYTES, 0));
    err = io_sync(file);
out:
    io_close(&file);
    mem_free_aligned(MEM_RUNTIME, block, SHAPE_BYTES);
    return err;
}

static void
shape_path(const char *dir, const char *name, char path[IO_PATH_BYTES_MAX])
{
    snprintf(path, IO_PATH_BYTES_MAX, "%s/%s", dir, name);
}

static err_t
shape_fits(const struct shape *shape, bool may_move, const char *path)
{
    if (shape->shards != shard_count() && !may_move) {
        return err_set(ERR_FORMAT,
                       "%s: this data was written by %u shards and cannot be opened with %u: "
                       "start with the same number of shards",
                       path, shape->shards, shard_count());
    }
    if (shape->shard != shard_id()) {
        return err_set(ERR_FORMAT,
                       "%s belongs to shard %u, not to shard %u: folders were exchanged", path,
                       shape->shard, shard_id());
    }
    return ERR_OK;
}

/* No store was completed here, but its log may have been begun: under the id noted before. */
static YIELDS err_t
shape_make(const char *dir, struct shape *shape_out)
{
    struct shape shape = {0};
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    shape_path(dir, "STORE.tmp", path);
    err = shape_read(path, &shape);
    if (err == ERR_IO) {
        return err;
    }
    SOMETIMES_IF(err == ERR_OK, "txn: a half-made store was completed");
    if (err != ERR_OK) {
        io_random(&shape.log_id, sizeof(shape.log_id));
    }
    shape.shard = shard_id();
    shape.shards = shard_count();
    shape.born = 0;
    TRY(shape_write(path, &shape));
    TRY(io_sync_dir(dir));
    *shape_out = shape;
out:
    return err;
}

err_t
shape_open(const char *dir, bool may_move, struct shape *shape_out, bool *is_new_out)
{
    struct shape shape;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    shape_path(dir, "STORE", path);
    err = shape_read(path, &shape);
    if (err == ERR_NOT_FOUND) {
        TRY(shape_make(dir, shape_out));
        *is_new_out = true;
        goto out;
    }
    TRY(err);
    TRY(shape_fits(&shape, may_move, path));
    *shape_out = shape;
    *is_new_out = false;
out:
    return err;
}

err_t
shape_load(const char *dir, struct shape *shape_out)
{
    char path[IO_PATH_BYTES_MAX];

    shape_path(dir, "STORE", path);
    return shape_read(path, shape_out);
}

err_t
shape_copy(const char *from_dir, const char *to_dir)
{
    struct shape shape;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    TRY(shape_load(from_dir, &shape));
    shape_path(to_dir, "STORE", path);
    err = shape_write(path, &shape);
out:
    return err;
}

err_t
shape_commit(const char *dir, const struct shape *shape)
{
    char from[IO_PATH_BYTES_MAX];
    char to[IO_PATH_BYTES_MAX];
    err_t err;

    shape_path(dir, "STORE.tmp", from);
    shape_path(dir, "STORE", to);
    TRY(shape_write(from, shape));
    TRY(io_rename(from, to));
    err = io_sync_dir(dir);
out:
    return err;
}
