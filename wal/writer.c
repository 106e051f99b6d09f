/* wal/writer.c - appending, group commit and durability.
 *
 *     open ----------> closed ----------> in flight ----------> pool
 *     records are      full, or the       sealed: header,
 *     copied in        turn is over       checksum, chained
 *
 * A batch is sealed only when its write is started, so its header says the newest durable position
 * and clock. While a write is in flight the next batch fills: its size follows the speed of the
 * disk, without a timer to tune.
 *
 * When a write has ended, those it was for will soon append again, if they do nothing else in
 * between. Without them the next write would carry only those who came meanwhile, and from then on
 * two halves would take turns, each waiting for the other's write as well as for its own. So the
 * next write is held until as many records are there as waited together, but no longer than half
 * of what a write takes; and where they do not come in time, it is hardly ever tried. */
#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/probe.h"
#include "engine/base/sometimes.h"
#include "wal/internal.h"

#include "engine/base/poison.h"

/* ---- Batch memory. ---- */

static struct wal_batch *
batch_take(struct wal *wal)
{
    struct list *link = list_pop_front(&wal->pool);
    struct wal_batch *batch;

    if (link != NULL) {
        wal->pool_count--;
        return LIST_ENTRY(link, struct wal_batch, link);
    }
    batch = MEM_NEW(MEM_RUNTIME, struct wal_batch);
    list_init(&batch->link);
    batch->wal = wal;
    batch->capacity = WAL_BATCH_BYTES_TARGET;
    batch->data = mem_alloc_aligned(MEM_RUNTIME, batch->capacity);
    return batch;
}

static void
batch_free(struct wal_batch *batch)
{
    list_remove(&batch->link);
    mem_free_aligned(MEM_RUNTIME, batch->data, batch->capacity);
    MEM_FREE(MEM_RUNTIME, batch);
}

static void
batch_give(struct wal *wal, struct wal_batch *batch)
{
    if (wal->pool_count >= WAL_POOL_MAX || batch->capacity != WAL_BATCH_BYTES_TARGET) {
        batch_free(batch);
        return;
    }
    batch->used = 0;
    batch->records = 0;
    batch->flags = 0;
    batch->is_placed = false;
    batch->is_done = false;
    list_push_front(&wal->pool, &batch->link); /* The warmest first. */
    wal->pool_count++;
}

static void
batches_free(struct list *batches)
{
    while (!list_is_empty(batches)) {
        batch_free(LIST_ENTRY(batches->next, struct wal_batch, link));
    }
}

/* ---- Places. ---- */

/* Where a batch with `disk_bytes` would go that follows one which ends at `tail`. False without a
 * segment that has room. */
static bool
place_find(const struct wal *wal, uint64_t tail, uint64_t disk_bytes,
           struct wal_segment **segment_out, uint64_t *position_out)
{
    struct wal_segment *segment = wal->current;

    if (disk_bytes > segment->start + segment->bytes - tail) {
        segment = wal_segment_next(wal, segment);
        if (segment == NULL || disk_bytes > segment->bytes) {
            return false;
        }
        tail = segment->start;
    }
    *segment_out = segment;
    *position_out = tail;
    return true;
}

static uint64_t
open_end(const struct wal *wal)
{
    const struct wal_batch *open = wal->open;

    return open->records == 0 ? wal->tail : open->position + align_up(open->used, WAL_BLOCK_BYTES);
}

/* The unused end of a segment counts as well, so the bound says nothing when nothing is pending. */
static bool
pending_allows(const struct wal *wal, uint64_t tail)
{
    bool is_idle =
        list_is_empty(&wal->in_flight) && list_is_empty(&wal->closed) && wal->open->records == 0;

    return is_idle || tail - wal->durable <= wal->pending_bytes_max;
}

/* From here on the open batch is closed: its size is known, and so the place of the next one. */
static void
batch_close(struct wal *wal)
{
    struct wal_batch *batch = wal->open;

    ASSERT(batch->is_placed);
    batch->end = batch->position + align_up(batch->used, WAL_BLOCK_BYTES);
    batch->closed = wal->closed_ts;
    wal->tail = batch->end;
    list_push_back(&wal->closed, &batch->link);
    wal->open = batch_take(wal);
    wal->room = 0;
    timer_stop(&wal->write_timer);
}

/* A buffer for one record that is larger than usual. False when there is no memory. */
static bool
batch_enlarge(struct wal_batch *batch, size_t capacity)
{
    uint8_t *data = mem_alloc_aligned(MEM_RUNTIME, capacity);

    if (data == NULL) {
        return false;
    }
    mem_free_aligned(MEM_RUNTIME, batch->data, batch->capacity);
    batch->data = data;
    batch->capacity = capacity;
    return true;
}

bool
wal_writer_place(struct wal *wal, size_t bytes)
{
    uint64_t payload = bytes == 0 ? 0 : WAL_RECORD_PREFIX_BYTES + bytes;
    uint64_t disk_bytes = wal_batch_disk_bytes(payload);
    struct wal_segment *segment;
    struct wal_batch *batch;
    uint64_t position;
    uint64_t limit;

    if (!pending_allows(wal, open_end(wal)) ||
        !place_find(wal, open_end(wal), disk_bytes, &segment, &position)) {
        return false;
    }
    if (wal->open->records > 0) {
        batch_close(wal);
    }
    batch = wal->open;
    if (disk_bytes > batch->capacity && !batch_enlarge(batch, disk_bytes)) {
        return false;
    }
    if (segment != wal->current) {
        ASSERT(wal->ready_count > 0);
        wal->ready_count--;
        wal->current = segment;
        wal->tail = segment->start;
        SOMETIMES("wal: went on in the next segment");
    }
    batch->segment = segment;
    batch->position = position;
    batch->used = WAL_HEADER_BYTES;
    batch->is_placed = true;
    limit = MIN((uint64_t)batch->capacity, segment->start + segment->bytes - position);
    wal->room = limit - WAL_HEADER_BYTES;
    wal_segments_poke(wal);
    return true;
}

/* ---- Appending. ---- */

bool
wal_has_room(const struct wal *wal, size_t bytes)
{
    uint64_t disk_bytes = wal_batch_disk_bytes(WAL_RECORD_PREFIX_BYTES + bytes);
    struct wal_segment *segment;
    uint64_t position;

    return bytes + WAL_RECORD_PREFIX_BYTES <= wal->room ||
           (pending_allows(wal, open_end(wal)) &&
            place_find(wal, open_end(wal), disk_bytes, &segment, &position));
}

size_t
wal_record_bytes_max(const struct wal *wal)
{
    uint64_t of_segment = wal->segment_bytes - WAL_HEADER_BYTES - WAL_RECORD_PREFIX_BYTES;

    return (size_t)MIN(of_segment, (uint64_t)WAL_RECORD_BYTES_MAX);
}

static YIELDS err_t
reserve_slowly(struct wal *wal, size_t bytes)
{
    err_t err = ERR_OK;

    if (bytes > wal_record_bytes_max(wal)) {
        return err_set(ERR_LIMIT, "a log record has %zu bytes; at most %zu are possible", bytes,
                       wal_record_bytes_max(wal));
    }
    while (bytes + WAL_RECORD_PREFIX_BYTES > wal->room && !wal_writer_place(wal, bytes)) {
        if (!pending_allows(wal, open_end(wal))) {
            SOMETIMES("wal: an append waited for the disk");
            cond_wait_uncancelable(&wal->durable_cond);
        } else if (wal_has_room(wal, bytes)) {
            return err_set(ERR_NO_MEMORY, "no memory for a log record of %zu bytes", bytes);
        } else {
            SOMETIMES("wal: an append waited for a segment");
            TRY(wal_segment_wait(wal));
        }
    }
out:
    return err;
}

err_t
wal_reserve(struct wal *wal, size_t bytes)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(bytes > 0);
    if (__builtin_expect(bytes + WAL_RECORD_PREFIX_BYTES <= wal->room, 1)) {
        return ERR_OK;
    }
    return reserve_slowly(wal, bytes);
}

/* At interval and none nothing but its age may ever close the open batch. */
static void
batch_opened(struct wal *wal)
{
    uint64_t age_us = wal->durability == WAL_NONE ? (uint64_t)WAL_NONE_WRITE_US : wal->interval_us;

    wal->open->opened_us = shard_now_us();
    if (wal->durability != WAL_SYNC) {
        timer_start(&wal->write_timer, shard_now_us() + age_us);
    }
}

uint8_t *
wal_append(struct wal *wal, size_t size, lsn_t *lsn_out)
{
    struct wal_batch *batch = wal->open;
    uint8_t *at = batch->data + batch->used;
    size_t bytes = WAL_RECORD_PREFIX_BYTES + size;

    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(size > 0);
    ASSERT(bytes <= wal->room);
    if (batch->records == 0) {
        batch_opened(wal);
    }
    put_le32(at, (uint32_t)size);
    batch->used += bytes;
    batch->records++;
    wal->room -= bytes;
    wal->appended = batch->position + batch->used;
    *lsn_out = wal->appended;
    return at + WAL_RECORD_PREFIX_BYTES;
}

/* ---- Writing. ---- */

static void
durable_advance(struct wal *wal, lsn_t before)
{
    for (uint32_t i = 0; i < wal->listener_count; i++) {
        wal->listeners[i].fn(wal->listeners[i].arg, wal->durable);
    }
    cond_broadcast(&wal->durable_cond);
    ASSERT(wal->durable > before);
}

/* At the end of the turn in which writes have ended. */
static void
hold_begin(struct wal *wal)
{
    bool is_wanted =
        wal->waited_together > 1 && wal->in_flight_count == 0 && wal->durability == WAL_SYNC;

    wal->write_us += (shard_now_us() - wal->ended_started_us) / WAL_WRITE_US_SHARE;
    wal->write_us -= wal->write_us / WAL_WRITE_US_SHARE;
    wal->ended_started_us = 0;
    if (is_wanted && wal->hold_skips > 0) {
        wal->hold_skips--;
    } else if (is_wanted) {
        wal->hold_records = wal->waited_together;
        wal->hold_until_us = shard_now_us() + MIN(wal->write_us / 2, (uint64_t)WAL_HOLD_US_MAX);
    }
}

/* Is the open batch to wait for more? */
static bool
hold_open(struct wal *wal)
{
    const struct wal_batch *open = wal->open;

    if (wal->hold_records == 0) {
        return false;
    }
    if (open->records < wal->hold_records && !wal->is_batch_wanted &&
        open->used < wal->group_bytes && shard_now_us() < wal->hold_until_us) {
        if (wal->hold_timer.heap_index == 0) {
            timer_start(&wal->hold_timer, wal->hold_until_us);
        }
        return true;
    }
    timer_stop(&wal->hold_timer);
    if (open->records >= wal->hold_records) {
        SOMETIMES("wal: a write was held until all had come who waited together");
        wal->hold_failures = 0;
        wal->stats.holds_met++;
    } else {
        SOMETIMES("wal: a write was held in vain");
        wal->hold_skips = 1u << wal->hold_failures;
        wal->hold_failures = MIN(wal->hold_failures + 1, (uint32_t)WAL_HOLD_FAILURES_MAX);
        wal->stats.holds_missed++;
    }
    wal->hold_records = 0;
    return false;
}

static void
hold_timer_fired(struct timer *timer)
{
    (void)timer; /* The turn hook follows. */
}

/* A batch counts when all before it do, in whatever order the writes end. */
static void
in_flight_retire(struct wal *wal)
{
    lsn_t before = wal->durable;
    uint32_t ended = 0;

    while (!list_is_empty(&wal->in_flight)) {
        struct wal_batch *batch = LIST_ENTRY(wal->in_flight.next, struct wal_batch, link);

        if (!batch->is_done) {
            SOMETIMES_IF(wal->durable == before, "wal: a later batch was written first");
            break;
        }
        wal->durable = batch->end;
        ended += batch->records;
        wal->ceiling_durable = MAX(wal->ceiling_durable, batch->ceiling);
        if (batch->records > 0) {
            hist_record(&wal->commit_us, shard_now_us() - batch->opened_us);
            PROBE3(wal_commit, shard_id(), shard_now_us() - batch->opened_us,
                   batch->end - batch->position);
        }
        list_remove(&batch->link);
        batch_give(wal, batch);
    }
    if (wal->durable != before) {
        /* Before anybody hears of it and appends again. */
        wal->waited_together = ended == 0 ? 0 : ended + wal->open->records;
        durable_advance(wal, before);
    }
}

static void
batch_done(struct io_op *op)
{
    struct wal_batch *batch = op->owner;
    struct wal *wal = batch->wal;

    OBJ_CHECK(wal, WAL_MAGIC);
    if (op->result != (int64_t)(batch->end - batch->position)) {
        err_t err = op->result < 0 ? io_op_result(op, "writing the log") : ERR_IO;

        /* What the disk holds now is unknown, and so is what any answer would be worth. */
        fatal("%s: a log write at offset %llu failed (%s): stopping without an answer",
              io_file_path(batch->segment->file),
              (unsigned long long)(batch->position - batch->segment->start), err_message(err));
    }
    batch->is_done = true;
    wal->ended_started_us = batch->started_us;
    wal->in_flight_count--;
    in_flight_retire(wal);
}

static void
batch_start(struct wal *wal, struct wal_batch *batch)
{
    uint64_t disk_bytes = batch->end - batch->position;
    struct wal_header header = {
        .flags = wal->next_flags,
        .log_id = wal->log_id,
        .position = batch->position,
        .previous = wal->last_checksum,
        .durable = wal->durable,
        .ceiling = wal->ceiling,
        .closed = batch->closed,
        .life = wal->life,
        .payload_bytes = (uint32_t)(batch->used - WAL_HEADER_BYTES),
        .records = batch->records,
    };

    wal->last_checksum = wal_batch_seal(batch->data, &header);
    wal->next_flags = 0;
    wal->claimed = wal->durable;
    wal->is_batch_wanted = false;
    wal->hold_records = 0;
    batch->started_us = shard_now_us();
    batch->ceiling = wal->ceiling;
    if (batch->records > 0) {
        wal->claim_wanted = batch->end;
        if (wal->claim_timer.heap_index == 0) {
            timer_start(&wal->claim_timer, shard_now_us() + WAL_HEARTBEAT_US);
        }
    }
    wal->stats.batches++;
    wal->stats.batches_empty += batch->records == 0;
    wal->stats.records += batch->records;
    wal->stats.bytes += batch->used - WAL_HEADER_BYTES;
    wal->stats.bytes_written += disk_bytes;
    wal->in_flight_count++;
    list_push_back(&wal->in_flight, &batch->link);
    batch->op = (struct io_op){.done = batch_done, .owner = batch, .file = batch->segment->file};
    io_write_start(&batch->op, batch->segment->file, batch->position - batch->segment->start,
                   batch->data, disk_bytes, CANARY(WAL_NO_SYNC) ? 0 : IO_DURABLE);
}

/* Is the open batch to be written although it is not full? */
static bool
open_is_due(struct wal *wal)
{
    const struct wal_batch *open = wal->open;
    bool is_eager = wal->is_batch_wanted || wal->durability == WAL_SYNC;

    if (open->records == 0) {
        return wal->is_batch_wanted && wal->in_flight_count == 0 && wal_writer_place(wal, 0);
    }
    if (is_eager || wal->urgent > open->position) {
        return (wal->in_flight_count == 0 && !hold_open(wal)) || open->used >= wal->group_bytes;
    }
    return open->used >= WAL_LAZY_BYTES;
}

void
wal_writer_pump(void *arg)
{
    struct wal *wal = arg;

    OBJ_CHECK(wal, WAL_MAGIC);
    if (wal->ended_started_us != 0) {
        hold_begin(wal);
    }
    while (wal->in_flight_count < wal->in_flight_max) {
        struct list *link;

        if (list_is_empty(&wal->closed)) {
            if (!open_is_due(wal)) {
                break;
            }
            batch_close(wal);
        }
        SOMETIMES_IF(wal->in_flight_count > 0, "wal: several batches were in flight");
        link = list_pop_front(&wal->closed);
        batch_start(wal, LIST_ENTRY(link, struct wal_batch, link));
    }
}

/* ---- Timers. ---- */

static void
write_timer_fired(struct timer *timer)
{
    struct wal *wal = CONTAINER_OF(timer, struct wal, write_timer);

    wal->is_batch_wanted = true; /* The turn hook follows. */
}

/* The heartbeat: a log that was written to says how far it is durable, even if nobody writes any
 * more. Without it, rot in the last batches could not be told from a tail that a crash cut. */
static void
claim_timer_fired(struct timer *timer)
{
    struct wal *wal = CONTAINER_OF(timer, struct wal, claim_timer);

    if (wal->claimed >= wal->claim_wanted) {
        return;
    }
    if (wal->durable >= wal->claim_wanted) {
        SOMETIMES("wal: a heartbeat was written");
        wal->is_batch_wanted = true;
    }
    timer_start(&wal->claim_timer, shard_now_us() + WAL_HEARTBEAT_US);
}

/* ---- Durability. ---- */

void
wal_wait_durable(struct wal *wal, lsn_t lsn)
{
    OBJ_CHECK(wal, WAL_MAGIC);
    ASSERT(lsn <= wal->appended || lsn <= wal->durable);
    wal->urgent = MAX(wal->urgent, lsn);
    while (wal->durable < lsn) {
        cond_wait_uncancelable(&wal->durable_cond);
    }
}

err_t
wal_clock_sync(struct wal *wal)
{
    uint64_t wanted = wal->ceiling;
    err_t err = ERR_OK;

    OBJ_CHECK(wal, WAL_MAGIC);
    while (wal->ceiling_durable < wanted) {
        if (wal->open->records == 0 && !wal_writer_place(wal, 0) &&
            pending_allows(wal, open_end(wal))) {
            TRY(wal_segment_wait(wal));
            continue;
        }
        wal->is_batch_wanted = true;
        cond_wait_uncancelable(&wal->durable_cond);
    }
out:
    return err;
}

void
wal_writer_init(struct wal *wal)
{
    list_init(&wal->closed);
    list_init(&wal->in_flight);
    list_init(&wal->pool);
    cond_init(&wal->durable_cond);
    timer_init(&wal->write_timer, write_timer_fired);
    timer_init(&wal->claim_timer, claim_timer_fired);
    timer_init(&wal->hold_timer, hold_timer_fired);
    wal->open = batch_take(wal);
}

void
wal_writer_fini(struct wal *wal)
{
    ASSERT(list_is_empty(&wal->in_flight));
    timer_stop(&wal->write_timer);
    timer_stop(&wal->claim_timer);
    timer_stop(&wal->hold_timer);
    batches_free(&wal->closed);
    batches_free(&wal->pool);
    batch_free(wal->open);
}
