/* lsm/vlog.c - writing and reading large values.
 *
 * A value is written in pieces through aligned buffers. The first piece has the header, which has
 * the checksum of the whole; so it is filled first and written last, and the value is gone through
 * once. Several pieces are in flight. A value of one piece is one durable write; a longer one is
 * written plainly and synced at the end. */
#include "lsm/vlog.h"

#include <stdio.h>
#define XXH_STATIC_LINKING_ONLY /* For a checksum state that needs no allocation. */
#include <xxhash.h>

#include "engine/base/assert.h"
#include "lsm/table_span.h"
#include "lsm/vlog_internal.h"

#include "engine/base/poison.h"

enum {
    VLOG_PIECE_BYTES = 1 << 20,
    VLOG_PIECES = 4,            /* One is kept for the first piece. */
    VLOG_STEP_BYTES = 64 << 10, /* Between two calls of fiber_work. */
    VLOG_STEP_UNITS = 160,
};

/* ---- Writing. ---- */

struct vlog_write {
    struct vlog_file *file;
    struct slice value;          /* Of a move: its size only. */
    struct vlog_file *from_file; /* Of a move; NULL: the value is in memory. */
    const struct vlog_pointer *from;
    XXH3_state_t from_hash; /* Of a move: of what was read, as its pointer has it. */
    struct vlog_pointer pointer;
    uint64_t span;      /* Bytes in the file. */
    size_t piece_bytes; /* Of a buffer. */
    uint8_t *buffers[VLOG_PIECES];
    XXH3_state_t *hash;
    size_t hashed; /* Bytes of the value that were copied and hashed. */
};

static void
write_fini(struct vlog_write *write)
{
    for (uint32_t i = 0; i < VLOG_PIECES; i++) {
        mem_free_aligned(MEM_BACKGROUND, write->buffers[i], write->piece_bytes);
    }
}

static err_t
write_init(struct vlog_write *write)
{
    uint64_t pieces = (write->span + VLOG_PIECE_BYTES - 1) / VLOG_PIECE_BYTES;

    write->piece_bytes = (size_t)MIN(write->span, (uint64_t)VLOG_PIECE_BYTES);
    for (uint32_t i = 0; i < MIN(pieces, (uint64_t)VLOG_PIECES); i++) {
        write->buffers[i] = mem_alloc_aligned(MEM_BACKGROUND, write->piece_bytes);
        if (write->buffers[i] == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory to write a value of %zu bytes",
                           write->value.size);
        }
    }
    return ERR_OK;
}

/* The next bytes of the value, from byte `at` of a buffer on, and zeros up to the block's end. */
static YIELDS size_t
fill_from_memory(struct vlog_write *write, uint8_t *buffer, size_t at)
{
    size_t padded;

    while (at < write->piece_bytes && write->hashed < write->value.size) {
        size_t step = MIN(MIN(write->piece_bytes - at, write->value.size - write->hashed),
                          (size_t)VLOG_STEP_BYTES);

        memcpy(buffer + at, write->value.data + write->hashed, step);
        XXH3_64bits_update(write->hash, buffer + at, step);
        write->hashed += step;
        at += step;
        fiber_work((uint32_t)(VLOG_STEP_UNITS * step / VLOG_STEP_BYTES) + 1);
    }
    padded = (size_t)align_up(at, IO_BLOCK_BYTES);
    memset(buffer + at, 0, padded - at);
    return padded;
}

/* The same of a value that is moved: header, value and padding lie there as they will lie here, so
 * whole blocks are read to where they are written from. */
static YIELDS err_t
fill_from_file(struct vlog_write *write, uint8_t *buffer, size_t at, size_t *bytes_out)
{
    uint64_t skip = at > 0 ? 0 : VLOG_HEADER_BYTES + write->hashed; /* In the span. */
    size_t bytes = (size_t)MIN((uint64_t)write->piece_bytes, write->span - skip);
    size_t end = (size_t)MIN((uint64_t)bytes, at + (write->value.size - write->hashed));
    err_t err;

    TRY(table_span_read(write->from_file->file, write->from->offset + skip, buffer, bytes));
    if (at > 0) {
        TRY(vlog_value_header_check(buffer, write->from));
    }
    while (at < end) {
        size_t step = MIN(end - at, (size_t)VLOG_STEP_BYTES);

        XXH3_64bits_update(write->hash, buffer + at, step);
        XXH3_64bits_update(&write->from_hash, buffer + at, step);
        write->hashed += step;
        at += step;
        fiber_work((uint32_t)(VLOG_STEP_UNITS * step / VLOG_STEP_BYTES) + 1);
    }
    memset(buffer + end, 0, bytes - end);
    *bytes_out = bytes;
out:
    return err;
}

/* *bytes_out: the bytes used of the buffer, a multiple of a block. */
static YIELDS err_t
write_fill(struct vlog_write *write, uint8_t *buffer, size_t at, size_t *bytes_out)
{
    if (write->from != NULL) {
        return fill_from_file(write, buffer, at, bytes_out);
    }
    *bytes_out = fill_from_memory(write, buffer, at);
    return ERR_OK;
}

/* All pieces but the first: copied while those before are written. */
static YIELDS err_t
write_rest(struct vlog_write *write)
{
    uint64_t offset = write->pointer.offset + write->piece_bytes;
    struct io_op ops[VLOG_PIECES];
    err_t err = ERR_OK;

    while (write->hashed < write->value.size) {
        struct io_batch batch;
        err_t filled = ERR_OK;

        io_batch_init(&batch);
        for (uint32_t i = 1; i < VLOG_PIECES && write->hashed < write->value.size; i++) {
            size_t bytes;

            filled = write_fill(write, write->buffers[i], 0, &bytes);
            if (filled != ERR_OK) {
                break;
            }
            io_batch_write(&batch, &ops[i], write->file->file, offset, write->buffers[i], bytes, 0);
            offset += bytes;
        }
        TRY(io_batch_wait(&batch)); /* In any case: the buffers are in use until then. */
        TRY(filled);
    }
out:
    return err;
}

static YIELDS err_t
write_all(struct vlog_write *write)
{
    bool is_one_piece = write->span <= VLOG_PIECE_BYTES;
    struct io_file *handle = write->file->file;
    size_t first_bytes;
    err_t err;

    TRY(write_fill(write, write->buffers[0], VLOG_HEADER_BYTES, &first_bytes));
    TRY(write_rest(write));
    if (write->from != NULL && XXH3_64bits_digest(&write->from_hash) != write->from->checksum) {
        err = err_set(ERR_CORRUPT, "checksum of a value that is moved does not match");
        goto out;
    }
    write->pointer.checksum = XXH3_64bits_digest(write->hash);
    vlog_value_header_encode(&write->pointer, write->buffers[0]);
    TRY(io_write(handle, write->pointer.offset, write->buffers[0], first_bytes,
                 is_one_piece ? IO_DURABLE : 0));
    if (!is_one_piece) {
        TRY(io_sync(handle));
    }
    if (write->file->is_failed) {
        /* Another value's write to this file failed meanwhile, and a sync that succeeds after one
         * that failed proves nothing. */
        err = err_set(ERR_IO, "an earlier write to %s failed", io_file_path(handle));
    }
out:
    return err;
}

/* A value that was not written: its hold is given back. After anything but a full disk, or a value
 * that could not be read, nobody can tell what the file has of those being written, so they fail,
 * too. */
static YIELDS void
write_failed(struct vlog *vlog, struct vlog_write *write, err_t err)
{
    write->file->holds--;
    if (err == ERR_NO_SPACE || err == ERR_CORRUPT) {
        vlog_file_give_back(vlog, write->file, write->pointer.offset, write->span);
        return;
    }
    write->file->is_failed = true;
    vlog_file_retire(vlog, write->file);
}

static YIELDS err_t
vlog_append_at(struct vlog *vlog, struct vlog_write *write)
{
    XXH3_state_t hash;
    err_t err;

    TRY(vlog_file_reserve(vlog, write->span, &write->file, &write->pointer.offset));
    write->pointer.file_number = write->file->number;
    write->hash = &hash;
    vlog_hash_begin(&hash, vlog_seed(write->pointer.file_number, write->pointer.offset));
    err = write_all(write);
    if (err != ERR_OK) {
        char message[ERR_MESSAGE_BYTES_MAX];

        snprintf(message, sizeof(message), "%s", err_message(err));
        write_failed(vlog, write, err);
        err = err_set(err, "%s", message);
    }
    vlog_file_release(vlog, write->file);
out:
    return err;
}

static YIELDS err_t
vlog_write_run(struct vlog *vlog, struct vlog_write *write, struct vlog_pointer *pointer_out)
{
    err_t err;

    while (vlog->writers >= VLOG_WRITERS_MAX) {
        cond_wait_uncancelable(&vlog->writers_cond);
    }
    vlog->writers++;
    write->span = vlog_value_span(write->value.size);
    write->pointer.bytes = write->value.size;
    TRY(write_init(write));
    TRY(vlog_append_at(vlog, write));
    *pointer_out = write->pointer;
out:
    write_fini(write);
    vlog->writers--;
    cond_signal(&vlog->writers_cond);
    return err;
}

YIELDS err_t
vlog_append(struct vlog *vlog, struct slice value, struct vlog_pointer *pointer_out)
{
    struct vlog_write write = {.value = value};

    OBJ_CHECK(vlog, VLOG_MAGIC);
    if (value.size > VLOG_VALUE_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a value of %zu bytes; the limit is %llu", value.size,
                       (unsigned long long)VLOG_VALUE_BYTES_MAX);
    }
    return vlog_write_run(vlog, &write, pointer_out);
}

YIELDS err_t
vlog_move(struct vlog *vlog, const struct vlog_pointer *from, struct vlog_pointer *pointer_out)
{
    struct vlog_write write = {.value = {.size = (size_t)from->bytes}, .from = from};
    err_t err;

    OBJ_CHECK(vlog, VLOG_MAGIC);
    ASSERT(from->bytes <= VLOG_VALUE_BYTES_MAX);
    vlog_hash_begin(&write.from_hash, vlog_seed(from->file_number, from->offset));
    TRY(vlog_file_acquire(vlog, from->file_number, &write.from_file));
    err = vlog_write_run(vlog, &write, pointer_out);
    vlog_file_release(vlog, write.from_file);
    if (err == ERR_CORRUPT) {
        err = err_context(err, "value log %016llx, value of %llu bytes at offset %llu",
                          (unsigned long long)from->file_number, (unsigned long long)from->bytes,
                          (unsigned long long)from->offset);
    }
out:
    return err;
}

/* ---- Reading. ---- */

static YIELDS uint64_t
vlog_checksum(struct slice value, uint64_t seed)
{
    XXH3_state_t hash;

    vlog_hash_begin(&hash, seed);
    for (size_t done = 0; done < value.size; done += VLOG_STEP_BYTES) {
        size_t step = MIN(value.size - done, (size_t)VLOG_STEP_BYTES);

        XXH3_64bits_update(&hash, value.data + done, step);
        fiber_work((uint32_t)(VLOG_STEP_UNITS / 2 * step / VLOG_STEP_BYTES) + 1);
    }
    return XXH3_64bits_digest(&hash);
}

static YIELDS err_t
vlog_read_at(const struct vlog_file *file, const struct vlog_pointer *pointer, struct arena *arena,
             struct slice *value_out)
{
    uint64_t span = vlog_value_span(pointer->bytes);
    uint8_t *bytes;
    struct slice value;
    err_t err;

    /* The size at opening does not count for a file that grows; the read itself checks it. */
    bytes = arena_alloc(arena, (size_t)span + IO_BLOCK_BYTES);
    if (bytes == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a value of %llu bytes",
                       (unsigned long long)pointer->bytes);
    }
    bytes = (uint8_t *)align_up((uintptr_t)bytes, IO_BLOCK_BYTES);
    TRY(table_span_read(file->file, pointer->offset, bytes, (size_t)span));
    TRY(vlog_value_header_check(bytes, pointer));
    value = slice_of(bytes + VLOG_HEADER_BYTES, (size_t)pointer->bytes);
    if (vlog_checksum(value, vlog_seed(pointer->file_number, pointer->offset)) !=
        pointer->checksum) {
        err = err_set(ERR_CORRUPT, "checksum does not match");
        goto out;
    }
    *value_out = value;
out:
    return err;
}

YIELDS err_t
vlog_read(struct vlog *vlog, const struct vlog_pointer *pointer, struct arena *arena,
          struct slice *value_out)
{
    struct vlog_file *file;
    err_t err;

    OBJ_CHECK(vlog, VLOG_MAGIC);
    ASSERT(pointer->bytes <= VLOG_VALUE_BYTES_MAX);
    TRY(vlog_file_acquire(vlog, pointer->file_number, &file));
    err = vlog_read_at(file, pointer, arena, value_out);
    vlog_file_release(vlog, file);
    if (err != ERR_OK) {
        err = err_context(err, "value log %016llx, value of %llu bytes at offset %llu",
                          (unsigned long long)pointer->file_number,
                          (unsigned long long)pointer->bytes, (unsigned long long)pointer->offset);
    }
out:
    return err;
}
