/* wal/replay.c - reading the log again: which batches count, and whether its end is a tail or a
 * hole.
 *
 * The rule is in docs/format/wal.md, and why it is safe in wal/README.md. Everything that is
 * replayed was synced before it was read: what was shown after a kill must survive a power cut
 * that follows. */
#include <inttypes.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

struct replay {
    struct wal *wal;
    const struct wal_options *options;
    struct wal_recovered *recovered;
    struct wal_reader reader;
    struct wal_segment *segment; /* Of the last batch that counted. */
    uint64_t position;           /* Behind it. */
    uint64_t checksum;           /* Its checksum; what the next one must name. */
    bool is_anchored;            /* A first batch was found. */
};

/* ---- Reading. ---- */

err_t
wal_reader_get(struct wal_reader *reader, struct wal_segment *segment, uint64_t offset, size_t size,
               const uint8_t **data_out)
{
    size_t wanted;
    err_t err = ERR_OK;

    ASSERT(offset % WAL_BLOCK_BYTES == 0);
    ASSERT(offset + size <= segment->bytes);
    if (reader->segment == segment && offset >= reader->offset &&
        offset + size <= reader->offset + reader->size) {
        *data_out = reader->data + (offset - reader->offset);
        return ERR_OK;
    }
    wanted = (size_t)align_up(
        MAX(size, reader->ahead == 0 ? (size_t)WAL_READ_BYTES : reader->ahead), WAL_BLOCK_BYTES);
    if (wanted > reader->capacity) {
        mem_free_aligned(MEM_BACKGROUND, reader->data, reader->capacity);
        reader->capacity = wanted;
        reader->data = mem_alloc_aligned(MEM_BACKGROUND, wanted);
        if (reader->data == NULL) {
            reader->capacity = 0;
            reader->segment = NULL;
            return err_set(ERR_NO_MEMORY, "no memory to read %zu bytes of the log", wanted);
        }
    }
    reader->segment = NULL;
    wanted = (size_t)MIN((uint64_t)wanted, segment->bytes - offset);
    TRY(io_read(segment->file, offset, reader->data, wanted));
    reader->segment = segment;
    reader->offset = offset;
    reader->size = wanted;
    *data_out = reader->data;
out:
    return err;
}

void
wal_reader_fini(struct wal_reader *reader)
{
    mem_free_aligned(MEM_BACKGROUND, reader->data, reader->capacity);
}

/* The whole batch that may begin at the position: header decoded and bytes verified by rule 1.
 * *is_found_out is false when there is none; data_out begins at the batch. */
static YIELDS err_t
batch_read(struct replay *replay, struct wal_segment *segment, uint64_t position,
           struct wal_header *header_out, const uint8_t **data_out, bool *is_found_out)
{
    uint64_t offset = position - segment->start;
    uint64_t disk_bytes;
    err_t err;

    *is_found_out = false;
    TRY(wal_reader_get(&replay->reader, segment, offset, WAL_BLOCK_BYTES, data_out));
    if (!wal_header_decode(*data_out, replay->wal->log_id, position, header_out)) {
        return ERR_OK;
    }
    disk_bytes = wal_batch_disk_bytes(header_out->payload_bytes);
    if (disk_bytes > segment->bytes - offset) {
        return ERR_OK;
    }
    TRY(wal_reader_get(&replay->reader, segment, offset, disk_bytes, data_out));
    err = wal_batch_verify(slice_of(*data_out, disk_bytes), header_out);
    if (err == ERR_CORRUPT) {
        SOMETIMES("wal: replay met a torn batch");
        return ERR_OK;
    }
    if (err == ERR_FORMAT) {
        err = err_context(err, "%s", io_file_path(segment->file));
    }
    *is_found_out = err == ERR_OK;
out:
    return err;
}

/* ---- Following the chain. ---- */

/* A recovered clock: an orderly close tells where it stood, a crash only how far it could go. */
static void
header_learn(struct replay *replay, const struct wal_header *header)
{
    struct wal_recovered *recovered = replay->recovered;

    if ((header->flags & WAL_BATCH_CLEAN) != 0) {
        recovered->clock_ceiling = header->ceiling;
    } else {
        recovered->clock_ceiling = MAX(recovered->clock_ceiling, header->ceiling);
    }
    recovered->closed = MAX(recovered->closed, header->closed);
    recovered->bytes += header->payload_bytes;
}

static YIELDS err_t
batch_replay(struct replay *replay, const struct wal_header *header, const uint8_t *data)
{
    struct slice payload = slice_of(data + WAL_HEADER_BYTES, header->payload_bytes);
    uint64_t payload_position = header->position + WAL_HEADER_BYTES;
    struct slice record;
    size_t offset = 0;
    err_t err = ERR_OK;

    while (wal_record_next(payload, &offset, &record)) {
        lsn_t lsn = payload_position + offset;

        if (lsn <= wal_replay_from(replay->options)) {
            continue;
        }
        TRY(replay->options->replay(replay->options->replay_arg, lsn, record));
        replay->recovered->records++;
    }
out:
    return err;
}

static bool
batch_chains(const struct replay *replay, const struct wal_header *header)
{
    /* Only the very first batch of the first needed segment is taken without its predecessor. */
    if (!replay->is_anchored) {
        return header->position > 0 || header->previous == 0;
    }
    if (CANARY(WAL_CHAIN_UNCHECKED)) {
        return true;
    }
    return header->previous == replay->checksum;
}

/* Before the first read: what a cache alone holds must not be shown. */
static YIELDS err_t
segment_sync(const struct wal *wal, struct wal_segment *segment)
{
    err_t err = ERR_OK;

    if (!segment->is_synced && !wal->is_check) {
        TRY(io_sync(segment->file));
        segment->is_synced = true;
    }
out:
    return err;
}

/* Takes the batch at the position if it counts. */
static YIELDS err_t
replay_step(struct replay *replay, struct wal_segment *segment, uint64_t position, bool *taken_out)
{
    struct wal_header header;
    const uint8_t *data;
    bool is_found;
    err_t err;

    *taken_out = false;
    TRY(segment_sync(replay->wal, segment));
    TRY(batch_read(replay, segment, position, &header, &data, &is_found));
    if (!is_found) {
        goto out;
    }
    if (!batch_chains(replay, &header)) {
        SOMETIMES("wal: replay met a whole batch that does not chain");
        goto out;
    }
    header_learn(replay, &header);
    replay->segment = segment;
    replay->position = position + wal_batch_disk_bytes(header.payload_bytes);
    replay->checksum = header.checksum;
    replay->is_anchored = true;
    *taken_out = true;
    TRY(batch_replay(replay, &header, data));
    fiber_work(1 + header.payload_bytes / 256);
out:
    return err;
}

static YIELDS err_t
replay_chain(struct replay *replay)
{
    bool taken = true;
    err_t err = ERR_OK;

    while (taken) {
        struct wal_segment *segment = replay->segment;
        struct wal_segment *next = wal_segment_next(replay->wal, segment);

        taken = false;
        if (replay->position < segment->start + segment->bytes) {
            TRY(replay_step(replay, segment, replay->position, &taken));
        }
        if (!taken && next != NULL && replay->is_anchored) {
            TRY(replay_step(replay, next, next->start, &taken));
        }
    }
out:
    return err;
}

/* ---- A tail or a hole? ---- */

static err_t
hole_error(const struct replay *replay, const char *proof, uint64_t proof_position)
{
    return err_set(ERR_CORRUPT,
                   "%s: offset %" PRIu64 ": the log breaks off here, but %s (position %" PRIu64
                   ") shows that it had been durable beyond",
                   io_file_path(replay->segment->file), replay->position - replay->segment->start,
                   proof, proof_position);
}

/* Does a whole batch in this place say that the end of the chain had been durable? It need not
 * belong here: a disk that put a later batch over this one has taken both away. */
static YIELDS err_t
claim_check(struct replay *replay, struct wal_segment *segment, uint64_t place)
{
    uint64_t offset = place - segment->start;
    struct wal_header header;
    const uint8_t *data;
    uint64_t disk_bytes;
    err_t err;

    TRY(wal_reader_get(&replay->reader, segment, offset, WAL_BLOCK_BYTES, &data));
    if (!wal_header_decode_any(data, replay->wal->log_id, &header)) {
        goto out;
    }
    replay->recovered->tail_was_cut = replay->recovered->tail_was_cut || header.position == place;
    disk_bytes = wal_batch_disk_bytes(header.payload_bytes);
    if (header.durable <= replay->position || disk_bytes > segment->bytes - offset) {
        goto out;
    }
    TRY(wal_reader_get(&replay->reader, segment, offset, disk_bytes, &data));
    if (wal_batch_verify(slice_of(data, disk_bytes), &header) == ERR_OK) {
        SOMETIMES("wal: a hole was told from a tail");
        SOMETIMES_IF(header.position != place, "wal: a misplaced batch gave a hole away");
        err = hole_error(replay, "a later batch", header.position);
    }
out:
    return err;
}

static YIELDS err_t
replay_check_end(struct replay *replay)
{
    struct wal *wal = replay->wal;
    uint64_t position = replay->position;
    err_t err = ERR_OK;

    if (position < replay->options->needed_from) {
        return hole_error(replay, "a flushed table", replay->options->needed_from);
    }
    if (!replay->is_anchored && replay->options->must_exist) {
        return hole_error(replay, "the folder's shape file", 0);
    }
    for (struct list *link = &replay->segment->link; link != &wal->segments; link = link->next) {
        struct wal_segment *segment = LIST_ENTRY(link, struct wal_segment, link);

        position = MAX(position, segment->start);
        for (; position < segment->start + segment->bytes; position += WAL_BLOCK_BYTES) {
            TRY(claim_check(replay, segment, position));
            fiber_work(1);
        }
    }
    SOMETIMES_IF(replay->recovered->tail_was_cut, "wal: a tail was cut");
out:
    return err;
}

/* ---- Where to begin. ---- */

static struct wal_segment *
segment_with(const struct wal *wal, lsn_t needed_from)
{
    LIST_FOR_EACH(link, &wal->segments) {
        struct wal_segment *segment = LIST_ENTRY(link, struct wal_segment, link);
        uint64_t end = segment->start + segment->bytes;

        if (needed_from == 0 ? segment->start == 0
                             : segment->start < needed_from && needed_from <= end) {
            return segment;
        }
    }
    return NULL;
}

/* A segment that was released may be gone, or wait under its old name to be used again: what the
 * log has without a gap below `needed_from` is enough. */
static struct wal_segment *
first_needed(const struct wal *wal, const struct wal_options *options)
{
    struct wal_segment *segment = segment_with(wal, options->needed_from);

    while (segment != NULL && segment->start > wal_replay_from(options)) {
        struct wal_segment *previous = wal_segment_previous(wal, segment);

        if (previous == NULL) {
            break;
        }
        SOMETIMES("wal: replay began below what the own tables have");
        segment = previous;
    }
    return segment;
}

/* A log of another database in the folder: say so instead of calling it empty. */
static YIELDS err_t
foreign_check(struct replay *replay, struct wal_segment *segment)
{
    struct wal_header header;
    const uint8_t *data;
    uint64_t log_id;
    err_t err;

    TRY(segment_sync(replay->wal, segment));
    TRY(wal_reader_get(&replay->reader, segment, 0, WAL_BLOCK_BYTES, &data));
    if (wal_header_log_id(data, &log_id) && log_id != replay->wal->log_id &&
        wal_header_decode(data, log_id, segment->start, &header) &&
        wal_batch_disk_bytes(header.payload_bytes) <= segment->bytes) {
        TRY(wal_reader_get(&replay->reader, segment, 0, wal_batch_disk_bytes(header.payload_bytes),
                           &data));
        if (wal_batch_verify(slice_of(data, wal_batch_disk_bytes(header.payload_bytes)), &header) ==
            ERR_OK) {
            err = err_set(ERR_FORMAT, "%s belongs to log %016" PRIx64 ", not to %016" PRIx64,
                          io_file_path(segment->file), log_id, replay->wal->log_id);
        }
    }
out:
    return err;
}

static YIELDS err_t
replay_begin(struct replay *replay)
{
    struct wal *wal = replay->wal;
    lsn_t needed_from = replay->options->needed_from;

    if (list_is_empty(&wal->segments) && needed_from == 0 && !replay->options->must_exist) {
        return wal_segment_add(wal); /* A new log. */
    }
    replay->segment = first_needed(wal, replay->options);
    if (replay->segment == NULL) {
        return err_set(ERR_CORRUPT, "%s: the log segment with position %" PRIu64 " is missing",
                       wal->dir, needed_from);
    }
    replay->position = replay->segment->start;
    return foreign_check(replay, replay->segment);
}

err_t
wal_replay(struct wal *wal, const struct wal_options *options, struct wal_recovered *recovered)
{
    struct replay replay = {.wal = wal, .options = options, .recovered = recovered};
    err_t err;

    TRY(replay_begin(&replay));
    if (replay.segment != NULL) {
        TRY(replay_chain(&replay));
        TRY(replay_check_end(&replay));
    } else {
        replay.segment = LIST_ENTRY(wal->segments.next, struct wal_segment, link);
    }
    TRY(wal->is_check ? ERR_OK : wal_segments_trim(wal, replay.segment));
    wal->current = replay.segment;
    wal->tail = replay.position;
    wal->last_checksum = replay.checksum;
    wal->durable = replay.position;
    wal->appended = replay.position;
    wal->claimed = replay.position;
    wal->claim_wanted = replay.position;
    wal->ceiling = recovered->clock_ceiling;
    wal->ceiling_durable = recovered->clock_ceiling;
    wal->closed_ts = recovered->closed;
    recovered->end = replay.position;
out:
    wal_reader_fini(&replay.reader);
    return err;
}
