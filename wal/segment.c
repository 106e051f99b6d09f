/* wal/segment.c - the files of the log: found, made full of zeros ahead of need, recycled.
 *
 * A durable write into blocks that were never written changes the file system's metadata as well
 * and takes almost three times as long; therefore a segment is really written once before the
 * first batch goes into it, and released segments are used again. */
#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

enum { NAME_DIGITS = 16, NAME_BYTES = NAME_DIGITS + 4 };

static const char prepare_name[] = "prepare.tmp";

static void
segment_path(const struct wal *wal, uint64_t start, char path[IO_PATH_BYTES_MAX])
{
    snprintf(path, IO_PATH_BYTES_MAX, "%s/%016" PRIx64 ".log", wal->dir, start);
}

static void
prepare_path(const struct wal *wal, char path[IO_PATH_BYTES_MAX])
{
    snprintf(path, IO_PATH_BYTES_MAX, "%s/%s", wal->dir, prepare_name);
}

/* The start position in the name; false when it is not the name of a segment. */
static bool
segment_name_parse(const char *name, uint64_t *start_out)
{
    uint64_t start = 0;

    if (strlen(name) != NAME_BYTES || memcmp(name + NAME_DIGITS, ".log", 4) != 0) {
        return false;
    }
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        char digit = name[i];

        if (digit >= '0' && digit <= '9') {
            start = start << 4 | (uint64_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            start = start << 4 | (uint64_t)(digit - 'a' + 10);
        } else {
            return false;
        }
    }
    *start_out = start;
    return true;
}

static struct wal_segment *
segment_new(uint64_t start)
{
    struct wal_segment *segment = MEM_NEW(MEM_RUNTIME, struct wal_segment);

    list_init(&segment->link);
    segment->start = start;
    return segment;
}

static void
segment_free(struct wal_segment *segment)
{
    io_close(&segment->file);
    list_remove(&segment->link);
    MEM_FREE(MEM_RUNTIME, segment);
}

/* ---- Opening. ---- */

struct segment_listing {
    struct wal *wal;
    uint32_t count;
    bool has_leftover;
};

/* Inserts by position: the order of names in a folder is not defined. */
static void
listing_visit(const char *name, void *arg)
{
    struct segment_listing *listing = arg;
    struct list *position = &listing->wal->segments;
    struct wal_segment *segment;
    uint64_t start;

    if (strcmp(name, prepare_name) == 0) {
        listing->has_leftover = true;
    }
    if (!segment_name_parse(name, &start) || ++listing->count > WAL_SEGMENTS_MAX) {
        return;
    }
    segment = segment_new(start);
    while (position->previous != &listing->wal->segments &&
           LIST_ENTRY(position->previous, struct wal_segment, link)->start > start) {
        position = position->previous;
    }
    list_insert_before(position, &segment->link);
}

static YIELDS err_t
segment_open(struct wal *wal, struct wal_segment *segment)
{
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    segment_path(wal, segment->start, path);
    TRY(io_open(path, wal->is_check ? IO_READ_ONLY : 0, &segment->file));
    segment->bytes = io_file_size(segment->file);
    if (segment->start % WAL_BLOCK_BYTES != 0 || segment->bytes % WAL_BLOCK_BYTES != 0 ||
        segment->bytes < WAL_SEGMENT_BYTES_MIN) {
        err = err_set(ERR_CORRUPT, "%s: %" PRIu64 " bytes are not the size of a log segment", path,
                      segment->bytes);
    }
out:
    return err;
}

/* The folder, durable in the one above. */
static YIELDS err_t
folder_make(const char *dir)
{
    char parent[WAL_DIR_BYTES_MAX];
    const char *slash = strrchr(dir, '/');
    err_t err = io_mkdir(dir);

    if (err == ERR_EXISTS) {
        err = ERR_OK; /* Perhaps not durably: the parent is synced in any case. */
    }
    TRY(err);
    snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - dir), dir);
    TRY(io_sync_dir(parent));
out:
    return err;
}

err_t
wal_segments_open(struct wal *wal)
{
    struct segment_listing listing = {.wal = wal};
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    TRY(wal->is_check ? ERR_OK : folder_make(wal->dir));
    TRY(io_list(wal->dir, listing_visit, &listing));
    if (listing.count > WAL_SEGMENTS_MAX) {
        err = err_set(ERR_LIMIT, "%s: more than %d log segments", wal->dir, WAL_SEGMENTS_MAX);
        goto out;
    }
    if (listing.has_leftover && !wal->is_check) {
        SOMETIMES("wal: a half-made segment was removed");
        prepare_path(wal, path);
        TRY(io_unlink(path));
    }
    /* Names that a crash left in the cache only become durable before anything relies on them. */
    TRY(wal->is_check ? ERR_OK : io_sync_dir(wal->dir));
    LIST_FOR_EACH(link, &wal->segments) {
        TRY(segment_open(wal, LIST_ENTRY(link, struct wal_segment, link)));
    }
out:
    return err;
}

void
wal_segments_close(struct wal *wal)
{
    while (!list_is_empty(&wal->segments)) {
        segment_free(LIST_ENTRY(wal->segments.next, struct wal_segment, link));
    }
    while (!list_is_empty(&wal->spares)) {
        segment_free(LIST_ENTRY(wal->spares.next, struct wal_segment, link));
    }
    wal->current = NULL;
}

struct wal_segment *
wal_segment_next(const struct wal *wal, const struct wal_segment *segment)
{
    struct wal_segment *next;

    if (segment->link.next == &wal->segments) {
        return NULL;
    }
    next = LIST_ENTRY(segment->link.next, struct wal_segment, link);
    return next->start == segment->start + segment->bytes ? next : NULL;
}

struct wal_segment *
wal_segment_previous(const struct wal *wal, const struct wal_segment *segment)
{
    struct wal_segment *previous;

    if (segment->link.previous == &wal->segments) {
        return NULL;
    }
    previous = LIST_ENTRY(segment->link.previous, struct wal_segment, link);
    return previous->start + previous->bytes == segment->start ? previous : NULL;
}

static YIELDS err_t
segment_remove(struct wal *wal, struct wal_segment *segment)
{
    char path[IO_PATH_BYTES_MAX];

    segment_path(wal, segment->start, path);
    segment_free(segment);
    return io_unlink(path);
}

err_t
wal_segments_trim(struct wal *wal, struct wal_segment *last)
{
    struct wal_segment *next = last;
    err_t err = ERR_OK;

    wal->ready_count = 0;
    while ((next = wal_segment_next(wal, next)) != NULL && next->bytes == wal->segment_bytes) {
        last = next;
        wal->ready_count++;
    }
    while (last->link.next != &wal->segments) {
        SOMETIMES("wal: a stray segment was removed");
        TRY(segment_remove(wal, LIST_ENTRY(last->link.next, struct wal_segment, link)));
    }
out:
    return err;
}

/* ---- Making. ---- */

/* Really written zeros: reserved blocks would be converted by the first durable write to each. */
static YIELDS err_t
zeros_write(struct io_file *file, uint64_t bytes)
{
    uint8_t *zeros = mem_alloc_aligned(MEM_BACKGROUND, WAL_ZERO_BYTES);
    err_t err;

    memset(zeros, 0, WAL_ZERO_BYTES);
    TRY(io_allocate(file,
                    bytes)); /* Says at once when the disk is full, and keeps extents whole. */
    for (uint64_t offset = 0; offset < bytes; offset += WAL_ZERO_BYTES) {
        TRY(io_write(file, offset, zeros, MIN((uint64_t)WAL_ZERO_BYTES, bytes - offset), 0));
    }
    TRY(io_sync(file));
out:
    mem_free_aligned(MEM_BACKGROUND, zeros, WAL_ZERO_BYTES);
    return err;
}

/* A file of zeros under the preparing name. */
static YIELDS err_t
segment_make(struct wal *wal, uint64_t bytes)
{
    struct io_file *file = NULL;
    char path[IO_PATH_BYTES_MAX];
    err_t err;

    prepare_path(wal, path);
    err = io_open(path, IO_CREATE, &file);
    if (err != ERR_OK) {
        return err;
    }
    err = zeros_write(file, bytes);
    io_close(&file);
    if (err != ERR_OK) {
        char message[ERR_MESSAGE_BYTES_MAX];

        /* Give the space back; the first error is the one to report. */
        snprintf(message, sizeof(message), "%s", err_message(err));
        (void)io_unlink(path);
        err_set(err, "%s", message);
    }
    return err;
}

err_t
wal_segment_add(struct wal *wal)
{
    struct wal_segment *segment;
    struct wal_segment *spare = NULL;
    char from[IO_PATH_BYTES_MAX];
    char to[IO_PATH_BYTES_MAX];
    uint64_t start = 0;
    uint64_t bytes = MIN(wal->segment_bytes, (uint64_t)WAL_SEGMENT_BYTES_FIRST);
    err_t err;

    if (!list_is_empty(&wal->segments)) {
        struct wal_segment *last = LIST_ENTRY(wal->segments.previous, struct wal_segment, link);

        start = last->start + last->bytes;
        bytes = wal->segment_bytes;
    }
    segment = segment_new(start);
    if (wal->spare_count > 0) {
        spare = LIST_ENTRY(wal->spares.next, struct wal_segment, link);
        segment_path(wal, spare->start, from);
    } else {
        TRY(segment_make(wal, bytes));
        prepare_path(wal, from);
    }
    segment_path(wal, start, to);
    TRY(io_rename(from, to));
    if (spare != NULL) {
        segment_free(spare);
        wal->spare_count--;
        wal->spare_used_us = shard_now_us();
        wal->stats.segments_recycled++;
        SOMETIMES("wal: a segment was recycled");
    } else {
        wal->stats.segments_made++;
    }
    /* Before the first batch: a batch in a file whose name gets lost would be lost with it. */
    TRY(io_sync_dir(wal->dir));
    TRY(segment_open(wal, segment));
    list_push_back(&wal->segments, &segment->link);
    segment = NULL;
    wal->ready_count++;
out:
    if (segment != NULL) {
        segment_free(segment);
    }
    return err;
}

/* ---- The fiber that does both ahead of need. ---- */

/* A segment is kept while it may hold the position that replay would begin with. */
static struct wal_segment *
segment_released(struct wal *wal)
{
    struct wal_segment *first = LIST_ENTRY(wal->segments.next, struct wal_segment, link);
    lsn_t needed = wal->is_held ? MIN(wal->released, wal->held) : wal->released;

    needed = MIN(needed, wal_cursors_need(wal));

    if (first == wal->current || first->start + first->bytes >= needed ||
        first->start + first->bytes > wal->durable) {
        return NULL;
    }
    return first;
}

/* What cannot be removed is found, and removed, at the next opening. */
static YIELDS void
segment_drop(struct wal *wal, struct wal_segment *segment)
{
    err_t err = segment_remove(wal, segment);

    if (err != ERR_OK) {
        LOG_W("%s: a log segment could not be removed: %s", wal->dir, err_message(err));
    } else {
        wal->stats.segments_removed++;
    }
}

static YIELDS void
segments_retire(struct wal *wal)
{
    struct wal_segment *segment;

    while ((segment = segment_released(wal)) != NULL) {
        if (wal->spare_count < wal->segments_spare_max && segment->bytes == wal->segment_bytes) {
            list_remove(&segment->link);
            list_push_back(&wal->spares, &segment->link);
            wal->spare_count++;
            wal->spare_used_us = shard_now_us();
        } else {
            segment_drop(wal, segment);
        }
    }
}

static YIELDS void
spares_drop(struct wal *wal)
{
    while (wal->spare_count > 0) {
        wal->spare_count--;
        segment_drop(wal, LIST_ENTRY(wal->spares.next, struct wal_segment, link));
    }
}

/* A log that grows slowly, or not at all, does without: what it saves is the time to write zeros,
 * and that is there. */
static YIELDS void
spares_expire(struct wal *wal)
{
    if (wal->spare_count > 0 && shard_now_us() - wal->spare_used_us >= WAL_SPARE_IDLE_US) {
        spares_drop(wal);
    }
}

void
wal_segments_give_back(struct wal *wal)
{
    segments_retire(wal);
    spares_drop(wal);
    while (wal->ready_count > 0) { /* The last first: no gap. */
        struct wal_segment *last = LIST_ENTRY(wal->segments.previous, struct wal_segment, link);

        ASSERT(last != wal->current);
        wal->ready_count--;
        segment_drop(wal, last);
    }
}

static bool
segment_is_due(const struct wal *wal)
{
    return wal->segment_waiters > 0 ||
           (wal->ready_count == 0 &&
            wal->tail - wal->current->start >= wal->current->bytes / WAL_PREPARE_AT);
}

static void
attempt_end(struct wal *wal, err_t err)
{
    if (err != ERR_OK) {
        snprintf(wal->prepare_message, sizeof(wal->prepare_message), "%s", err_message(err));
        SOMETIMES("wal: a segment could not be made");
    }
    if (err != ERR_OK && wal->prepare_error == ERR_OK) {
        LOG_W("%s: no log segment can be made: %s", wal->dir, wal->prepare_message);
    } else if (err == ERR_OK && wal->prepare_error != ERR_OK) {
        LOG_I("%s: log segments can be made again", wal->dir);
    }
    wal->prepare_error = err;
    wal->prepare_attempts++;
    cond_broadcast(&wal->segment_cond);
}

/* When to look again if nobody asks. */
static uint64_t
prepare_deadline_us(const struct wal *wal, err_t err)
{
    if (err != ERR_OK) {
        return shard_now_us() + WAL_PREPARE_RETRY_US;
    }
    return wal->spare_count > 0 ? wal->spare_used_us + WAL_SPARE_IDLE_US : DEADLINE_NONE;
}

static YIELDS void
prepare_main(void *arg)
{
    struct wal *wal = arg;

    while (!wal->is_closing) {
        err_t err = ERR_OK;
        bool was_due;

        segments_retire(wal);
        spares_expire(wal);
        was_due = !wal->is_closing && segment_is_due(wal);
        if (was_due) {
            err = wal_segment_add(wal);
            attempt_end(wal, err);
        }
        if (!wal->is_closing && (!was_due || err != ERR_OK)) {
            (void)cond_wait_until(&wal->prepare_cond, prepare_deadline_us(wal, err));
        }
    }
}

bool
wal_segments_prepare(struct wal *wal)
{
    return fiber_group_spawn(&wal->fibers, "wal-segments", FIBER_FOREGROUND, FIBER_STACK_SMALL,
                             prepare_main, wal);
}

err_t
wal_segment_wait(struct wal *wal)
{
    uint64_t seen = wal->prepare_attempts;

    wal->segment_waiters++;
    cond_signal(&wal->prepare_cond);
    while (wal->prepare_attempts == seen) {
        cond_wait_uncancelable(&wal->segment_cond);
    }
    wal->segment_waiters--;
    return wal->prepare_error == ERR_OK ? ERR_OK
                                        : err_set(wal->prepare_error, "%s", wal->prepare_message);
}

void
wal_segments_poke(struct wal *wal)
{
    if (wal->ready_count == 0 && segment_is_due(wal)) {
        cond_signal(&wal->prepare_cond);
    }
}
