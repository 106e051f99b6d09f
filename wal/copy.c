/* wal/copy.c - the log's tail as a log of its own, for checkpoints.
 *
 * Segments are copied batch by batch, never linked: the original goes on writing into them. The
 * copy begins with the batch that holds position `from` (replay takes a first batch without its
 * predecessor) and ends with the record at `to`: a last batch that has more is cut and sealed
 * anew, which is sound because nothing chains to it. An empty batch follows that says how far all
 * this was durable: without it damage to the last records would pass for a torn tail. Every batch
 * is verified on the way. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

enum { COPY_BYTES = 1 << 20, COPY_BYTES_A_UNIT = 256 };

struct copy {
    struct wal *wal;
    const char *dir;
    lsn_t from, to;
    struct wal_reader reader;
    uint64_t position; /* Of the next batch to read. */
    uint64_t checksum; /* Of the last one read. */
    bool is_anchored;  /* One was read. */
    bool is_done;

    /* The segment being written. */
    struct io_file *file;
    uint64_t start;   /* Position of its first byte. */
    uint64_t written; /* Bytes in the file. */
    uint8_t *buffer;  /* COPY_BYTES; `used` of them belong behind `written`. */
    size_t used;
};

/* ---- Writing. ---- */

static YIELDS err_t
out_flush(struct copy *copy)
{
    err_t err = ERR_OK;

    if (copy->used > 0) {
        TRY(io_write(copy->file, copy->written, copy->buffer, copy->used, 0));
        copy->written += copy->used;
        copy->used = 0;
    }
out:
    return err;
}

/* A whole batch, behind what was written. */
static YIELDS err_t
out_append(struct copy *copy, const uint8_t *data, size_t size)
{
    err_t err = ERR_OK;

    while (size > 0) {
        size_t step = MIN(size, COPY_BYTES - copy->used);

        memcpy(copy->buffer + copy->used, data, step);
        copy->used += step;
        data += step;
        size -= step;
        if (copy->used == COPY_BYTES) {
            TRY(out_flush(copy));
        }
    }
out:
    return err;
}

static YIELDS err_t
out_open(struct copy *copy, uint64_t position)
{
    char path[IO_PATH_BYTES_MAX];

    snprintf(path, sizeof(path), "%s/%016" PRIx64 ".log", copy->dir, position);
    copy->start = position;
    copy->written = 0;
    copy->used = 0;
    return io_open(path, IO_CREATE | IO_EXCLUSIVE, &copy->file);
}

/* The file is made as long as `bytes`; what was not written reads as zeros. */
static YIELDS err_t
out_close(struct copy *copy, uint64_t bytes)
{
    err_t err = ERR_OK;

    if (copy->file == NULL) {
        return ERR_OK;
    }
    TRY(out_flush(copy));
    if (copy->written < bytes) {
        TRY(io_truncate(copy->file, bytes));
    }
    TRY(io_sync(copy->file));
out:
    io_close(&copy->file);
    return err;
}

/* ---- Batches. ---- */

/* Cuts the verified batch behind its last record at or below `to`; returns its bytes on disk. */
static uint64_t
batch_cut(uint8_t *batch, struct wal_header *header, lsn_t to)
{
    struct slice payload = slice_of(batch + WAL_HEADER_BYTES, header->payload_bytes);
    uint64_t base = header->position + WAL_HEADER_BYTES;
    struct slice record;
    size_t offset = 0;
    size_t kept = 0;

    header->records = 0;
    while (wal_record_next(payload, &offset, &record) && base + offset <= to) {
        kept = offset;
        header->records++;
    }
    header->payload_bytes = (uint32_t)kept;
    header->checksum = wal_batch_seal(batch, header);
    SOMETIMES("wal: the last batch of a copy was cut");
    return wal_batch_disk_bytes(kept);
}

/* Behind the last batch, whose header this is, as it was written. */
static YIELDS err_t
claim_write(struct copy *copy, const struct wal_header *last)
{
    uint64_t end = last->position + wal_batch_disk_bytes(last->payload_bytes);
    const struct wal_header claim = {
        .log_id = copy->wal->log_id,
        .position = end,
        .previous = last->checksum,
        .durable = end,
        .ceiling = last->ceiling,
        .closed = last->closed,
        .life = last->life,
    };
    uint8_t batch[WAL_BLOCK_BYTES] = {0};

    ASSERT(wal_batch_disk_bytes(0) == sizeof(batch));
    (void)wal_batch_seal(batch, &claim);
    return out_append(copy, batch, sizeof(batch));
}

static YIELDS err_t
batch_write(struct copy *copy, struct wal_segment *segment, struct wal_header *header,
            const uint8_t *data)
{
    uint64_t disk_bytes = wal_batch_disk_bytes(header->payload_bytes);
    uint64_t records_end = header->position + WAL_HEADER_BYTES + header->payload_bytes;
    uint64_t end = header->position + disk_bytes;
    uint64_t segment_end = segment->start + segment->bytes;
    uint8_t *cut = NULL;
    err_t err = ERR_OK;

    /* Too old to be needed, and enough is left for the smallest segment to begin behind it. */
    if (copy->file == NULL && end < copy->from && segment_end - end >= WAL_SEGMENT_BYTES_MIN) {
        return ERR_OK;
    }
    if (copy->file == NULL) {
        TRY(out_open(copy, header->position));
    }
    if (records_end > copy->to && header->records > 0) {
        cut = mem_alloc_aligned(MEM_BACKGROUND, disk_bytes);
        if (cut == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory for a batch of %" PRIu64 " bytes", disk_bytes);
        }
        memcpy(cut, data, disk_bytes);
        TRY(out_append(copy, cut, batch_cut(cut, header, copy->to)));
    } else {
        TRY(out_append(copy, data, disk_bytes));
    }
    copy->is_done = end >= copy->to;
    if (copy->is_done) {
        TRY(claim_write(copy, header));
    }
out:
    mem_free_aligned(MEM_BACKGROUND, cut, disk_bytes);
    return err;
}

/* The batch at the position, which was durable: it is whole and follows the one before it, or the
 * log is damaged. *is_there_out false: the log goes on in the next segment. */
static YIELDS err_t
batch_read(struct copy *copy, struct wal_segment *segment, struct wal_header *header_out,
           const uint8_t **data_out, bool *is_there_out)
{
    uint64_t offset = copy->position - segment->start;
    uint64_t disk_bytes;
    err_t err = ERR_OK;

    *is_there_out = false;
    if (offset >= segment->bytes) {
        return ERR_OK;
    }
    TRY(wal_reader_get(&copy->reader, segment, offset, WAL_BLOCK_BYTES, data_out));
    if (!wal_header_decode(*data_out, copy->wal->log_id, copy->position, header_out)) {
        goto out;
    }
    disk_bytes = wal_batch_disk_bytes(header_out->payload_bytes);
    if (disk_bytes > segment->bytes - offset) {
        goto out;
    }
    TRY(wal_reader_get(&copy->reader, segment, offset, disk_bytes, data_out));
    if (wal_batch_verify(slice_of(*data_out, disk_bytes), header_out) == ERR_OK &&
        (!copy->is_anchored || header_out->previous == copy->checksum)) {
        *is_there_out = true;
    }
out:
    return err;
}

static YIELDS err_t
segment_copy(struct copy *copy, struct wal_segment *segment)
{
    err_t err = ERR_OK;

    copy->position = segment->start;
    while (!copy->is_done) {
        struct wal_header header;
        const uint8_t *data;
        bool is_there;

        TRY(batch_read(copy, segment, &header, &data, &is_there));
        if (!is_there) {
            break;
        }
        copy->is_anchored = true;
        copy->checksum = header.checksum;
        copy->position += wal_batch_disk_bytes(header.payload_bytes);
        fiber_work(1 + header.payload_bytes / COPY_BYTES_A_UNIT);
        TRY(batch_write(copy, segment, &header, data));
    }
    TRY(out_close(copy, copy->is_done ? (uint64_t)WAL_SEGMENT_BYTES_MIN
                                      : segment->start + segment->bytes - copy->start));
out:
    io_close(&copy->file);
    return err;
}

static struct wal_segment *
segment_at(const struct wal *wal, lsn_t from)
{
    LIST_FOR_EACH(link, &wal->segments) {
        struct wal_segment *segment = LIST_ENTRY(link, struct wal_segment, link);

        if (from <= segment->start + segment->bytes) {
            return segment;
        }
    }
    return NULL;
}

static YIELDS err_t
segments_copy(struct copy *copy)
{
    struct wal_segment *segment = segment_at(copy->wal, copy->from);
    err_t err = ERR_OK;

    while (segment != NULL && !copy->is_done) {
        TRY(segment_copy(copy, segment));
        if (!copy->is_done) {
            segment = wal_segment_next(copy->wal, segment);
        }
    }
    if (!copy->is_done) {
        err = err_set(ERR_CORRUPT,
                      "%s: the log breaks off at position %" PRIu64 ", although it is durable up "
                      "to %" PRIu64,
                      copy->wal->dir, copy->position, copy->to);
    }
out:
    return err;
}

/* ---- The interface. ---- */

void
wal_hold(struct wal *wal, lsn_t from)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(!wal->is_held);
    ASSERT(from >= wal->released);
    wal->is_held = true;
    wal->held = from;
}

void
wal_unhold(struct wal *wal)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(wal->is_held);
    wal->is_held = false;
    cond_signal(&wal->prepare_cond);
}

err_t
wal_copy(struct wal *wal, lsn_t from, lsn_t to, const char *dir)
{
    struct copy copy = {.wal = wal, .dir = dir, .from = from, .to = to};
    err_t err;

    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(wal->is_held);
    ASSERT(wal->held <= from);
    ASSERT(to <= wal->durable);
    if (strlen(dir) >= WAL_DIR_BYTES_MAX) {
        return err_set(ERR_LIMIT, "%s: a folder's name may have %d bytes", dir,
                       WAL_DIR_BYTES_MAX - 1);
    }
    copy.buffer = mem_alloc_aligned(MEM_BACKGROUND, COPY_BYTES);
    if (copy.buffer == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to copy the log");
    }
    TRY(io_mkdir(dir));
    TRY(segments_copy(&copy));
    TRY(io_sync_dir(dir));
out:
    io_close(&copy.file);
    wal_reader_fini(&copy.reader);
    mem_free_aligned(MEM_BACKGROUND, copy.buffer, COPY_BYTES);
    return err;
}
