/* wal/cursor.c - see cursor.h.
 *
 * Below the durable position the next batch is there: where the last one ends or, if that place was
 * left unused, at the next segment's start. So unlike replay a cursor never has to tell a tail from
 * a hole. What it has read ahead may have been written since; therefore a batch that is not there
 * is looked for once more on the disk. */
#include "wal/cursor.h"

#include <inttypes.h>

#include "engine/base/assert.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

struct wal_cursor {
    struct list link; /* wal->cursors */
    struct wal *wal;
    struct wal_reader reader;
    uint64_t position; /* Of the next batch, or of the unused rest of a segment before it. */
    uint64_t checksum; /* Of the last batch. */
    bool is_anchored;  /* There was one. */
    bool is_whole;
    bool is_busy; /* It reads: what it reads must stay. */
    bool is_lost;
};

/* ---- Segments. ---- */

uint64_t
wal_cursors_need(struct wal *wal)
{
    uint64_t need = UINT64_MAX;

    LIST_FOR_EACH(link, &wal->cursors) {
        struct wal_cursor *cursor = LIST_ENTRY(link, struct wal_cursor, link);
        bool is_far = wal->durable > cursor->position &&
                      wal->durable - cursor->position > wal->cursor_behind_max;

        if (!is_far || cursor->is_busy) {
            need = MIN(need, cursor->position);
        }
    }
    return need;
}

static struct wal_segment *
segment_at(const struct wal *wal, uint64_t position)
{
    LIST_FOR_EACH(link, &wal->segments) {
        struct wal_segment *segment = LIST_ENTRY(link, struct wal_segment, link);

        if (position >= segment->start && position - segment->start < segment->bytes) {
            return segment;
        }
    }
    return NULL;
}

/* ---- Batches. ---- */

static YIELDS err_t
batch_read(struct wal_cursor *cursor, struct wal_segment *segment, uint64_t position,
           struct wal_header *header_out, const uint8_t **data_out, bool *is_found_out)
{
    const struct wal *wal = cursor->wal;
    uint64_t offset = position - segment->start;
    uint64_t disk_bytes;
    err_t err;

    *is_found_out = false;
    cursor->reader.ahead =
        (size_t)MIN(wal->durable - MIN(position, wal->durable), (uint64_t)WAL_READ_BYTES);
    TRY(wal_reader_get(&cursor->reader, segment, offset, WAL_BLOCK_BYTES, data_out));
    if (!wal_header_decode(*data_out, wal->log_id, position, header_out)) {
        goto out;
    }
    disk_bytes = wal_batch_disk_bytes(header_out->payload_bytes);
    if (disk_bytes > segment->bytes - offset) {
        goto out;
    }
    TRY(wal_reader_get(&cursor->reader, segment, offset, disk_bytes, data_out));
    *is_found_out = wal_batch_verify(slice_of(*data_out, disk_bytes), header_out) == ERR_OK &&
                    (!cursor->is_anchored || header_out->previous == cursor->checksum);
out:
    return err;
}

/* The batch at the position, from what was read ahead or anew. */
static YIELDS err_t
batch_find(struct wal_cursor *cursor, struct wal_segment *segment, uint64_t position,
           struct wal_header *header_out, const uint8_t **data_out, bool *is_found_out)
{
    err_t err;

    TRY(batch_read(cursor, segment, position, header_out, data_out, is_found_out));
    if (!*is_found_out) {
        cursor->reader.segment = NULL;
        TRY(batch_read(cursor, segment, position, header_out, data_out, is_found_out));
    }
out:
    return err;
}

static YIELDS err_t
cursor_step(struct wal_cursor *cursor, struct wal_header *header_out, const uint8_t **data_out)
{
    struct wal *wal = cursor->wal;
    struct wal_segment *segment = segment_at(wal, cursor->position);
    struct wal_segment *next;
    bool is_found = false;
    err_t err;

    if (segment == NULL) {
        cursor->is_lost = true;
        return err_set(ERR_SNAPSHOT_TOO_OLD,
                       "%s: a reader of the log was more than %" PRIu64
                       " bytes behind, and what came next is recycled",
                       wal->dir, wal->cursor_behind_max);
    }
    next = wal_segment_next(wal, segment);
    TRY(batch_find(cursor, segment, cursor->position, header_out, data_out, &is_found));
    if (!is_found && next != NULL && next->start < wal->durable) {
        TRY(batch_find(cursor, next, next->start, header_out, data_out, &is_found));
    }
    if (!is_found) {
        err = err_set(ERR_CORRUPT,
                      "%s: offset %" PRIu64 ": the log breaks off here, although it is durable up "
                      "to position %" PRIu64,
                      io_file_path(segment->file), cursor->position - segment->start, wal->durable);
    }
out:
    return err;
}

err_t
wal_cursor_next(struct wal_cursor *cursor, struct slice *payload_out, uint64_t *closed_out,
                bool *is_there_out)
{
    struct wal *wal = cursor->wal;
    struct wal_header header;
    const uint8_t *data;
    err_t err;

    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(!cursor->is_busy);
    *is_there_out = false;
    if (cursor->position >= wal->durable && !cursor->is_lost) {
        return ERR_OK;
    }
    cursor->is_busy = true;
    TRY(cursor_step(cursor, &header, &data));
    cursor->position = header.position + wal_batch_disk_bytes(header.payload_bytes);
    cursor->checksum = header.checksum;
    cursor->is_anchored = true;
    *payload_out = slice_of(data + WAL_HEADER_BYTES, header.payload_bytes);
    *closed_out = header.closed;
    *is_there_out = true;
out:
    cursor->is_busy = false;
    return err;
}

/* ---- Where to begin. ---- */

/* *is_low_out: what stands before the segment is not needed. One whose first batch has no record
 * does not tell. */
static YIELDS err_t
segment_ask(struct wal_cursor *cursor, struct wal_segment *segment, wal_cursor_may_begin may_begin,
            void *arg, bool *is_low_out)
{
    struct wal_header header;
    struct slice record;
    const uint8_t *data;
    size_t offset = 0;
    bool is_found;
    err_t err = ERR_OK;

    *is_low_out = false;
    if (segment->start >= cursor->wal->durable) {
        return ERR_OK;
    }
    TRY(batch_find(cursor, segment, segment->start, &header, &data, &is_found));
    if (is_found && wal_record_next(slice_of(data + WAL_HEADER_BYTES, header.payload_bytes),
                                    &offset, &record)) {
        *is_low_out = may_begin(arg, record);
    }
out:
    return err;
}

static YIELDS err_t
cursor_place(struct wal_cursor *cursor, wal_cursor_may_begin may_begin, void *arg)
{
    struct wal *wal = cursor->wal;
    struct wal_segment *segment = wal->current;
    bool is_low = false;
    err_t err = ERR_OK;

    for (;;) {
        struct wal_segment *previous = wal_segment_previous(wal, segment);

        TRY(segment_ask(cursor, segment, may_begin, arg, &is_low));
        if (is_low || previous == NULL) {
            break;
        }
        segment = previous;
    }
    cursor->position = segment->start;
    cursor->is_whole = segment->start == 0;
out:
    return err;
}

err_t
wal_cursor_open(struct wal *wal, wal_cursor_may_begin may_begin, void *arg,
                struct wal_cursor **cursor_out)
{
    struct wal_cursor *cursor;
    err_t err;

    OBJ_CHECK(wal, WAL_MAGIC);
    if (wal->cursor_count == WAL_CURSORS_MAX) {
        return err_set(ERR_LIMIT, "%s: the log has %d readers already", wal->dir, WAL_CURSORS_MAX);
    }
    cursor = MEM_NEW(MEM_BACKGROUND, struct wal_cursor);
    cursor->wal = wal;
    cursor->is_busy = true; /* At position 0: everything stays until the place is known. */
    list_push_back(&wal->cursors, &cursor->link);
    wal->cursor_count++;
    TRY(cursor_place(cursor, may_begin, arg));
    cursor->is_busy = false;
    *cursor_out = cursor;
    cursor = NULL;
out:
    if (cursor != NULL) {
        cursor->is_busy = false;
        wal_cursor_close(&cursor);
    }
    return err;
}

void
wal_cursor_close(struct wal_cursor **cursor_ref)
{
    struct wal_cursor *cursor = *cursor_ref;

    if (cursor == NULL) {
        return;
    }
    ASSERT(!cursor->is_busy);
    list_remove(&cursor->link);
    cursor->wal->cursor_count--;
    cond_signal(&cursor->wal->prepare_cond); /* Segments may have become free. */
    wal_reader_fini(&cursor->reader);
    MEM_FREE(MEM_BACKGROUND, cursor);
    *cursor_ref = NULL;
}

bool
wal_cursor_is_whole(const struct wal_cursor *cursor)
{
    return cursor->is_whole;
}
