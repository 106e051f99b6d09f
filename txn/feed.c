/* txn/feed.c - see feed.h.
 *
 * The feed keeps for each log a chunk of records that were read there and, when the chunk is used
 * up, up to which timestamp the log is known. The smallest record of all is next when every log
 * either has a later one or is closed at or above it. Timestamps rise along a log, so that a log
 * whose next record is later has nothing earlier. */
#include "txn/feed.h"

#include <inttypes.h>
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "lsm/vlog.h"
#include "txn/closed.h"
#include "txn/record.h"
#include "txn/slots.h"
#include "txn/txns.h"
#include "wal/cursor.h"
#include "wal/format.h"

#include "engine/base/poison.h"

enum { LENGTH_BYTES = 4, FEED_OPS_A_UNIT = 8 };

struct feed_log {
    struct wal_cursor *cursor; /* Of the log's shard; touched there only. */
    struct buf chunk;          /* Records, each behind its length. */
    size_t at;                 /* The next one. */
    uint64_t closed;           /* What follows the chunk is later. */
    struct feed_place floor;   /* What the log no longer has is at or before it. */
    bool has_floor;
};

struct feed {
    struct feed_place after;
    struct feed_log *logs; /* [shard_count()] */
    struct buf writes;     /* Of struct feed_write: those of the last transaction. */
    struct buf prefixes;
    struct slice prefix[FEED_PREFIXES_MAX];
    uint32_t prefix_count;
};

/* ---- Places. ---- */

static int
place_compare(struct feed_place a, struct feed_place b)
{
    if (a.ts != b.ts) {
        return a.ts < b.ts ? -1 : 1;
    }
    return a.home == b.home ? 0 : a.home < b.home ? -1 : 1;
}

struct feed_place
feed_place_before(uint64_t time_us)
{
    if (time_us == 0) {
        return (struct feed_place){0, 0};
    }
    return (struct feed_place){(time_us << CLOCK_COUNTER_BITS) - 1, UINT32_MAX};
}

struct feed_place
feed_place_now(void)
{
    struct store *store = store_self();

    return (struct feed_place){MAX(store_clock(store), shard_acked()), UINT32_MAX};
}

struct feed_place
feed_where(const struct feed *feed)
{
    return feed->after;
}

/* ---- At the log. ---- */

struct pull {
    struct feed_log *log;
    struct feed_place after;
    err_t err;
    char text[ERR_MESSAGE_BYTES_MAX];
};

/* Everything before this record lies at or before the place? */
static bool
record_is_low(void *arg, struct slice record)
{
    const struct feed_place *after = arg;
    struct record_header header;
    struct record_reader reader;

    return record_open(record, &header, &reader) == ERR_OK && header.ts <= after->ts;
}

static err_t
record_take(struct pull *pull, struct slice record)
{
    struct feed_log *log = pull->log;
    struct record_header header;
    struct record_reader reader;
    struct feed_place place;
    err_t err;

    TRY(record_check(record));
    TRY(record_open(record, &header, &reader));
    place = (struct feed_place){header.ts, shard_id()};
    if (!log->has_floor) {
        log->floor = (struct feed_place){header.ts - 1, shard_id()};
        log->has_floor = true;
    }
    if (place_compare(place, pull->after) > 0) {
        put_le32(buf_reserve(&log->chunk, LENGTH_BYTES), (uint32_t)record.size);
        log->chunk.size += LENGTH_BYTES;
        buf_append(&log->chunk, record.data, record.size);
    }
out:
    return err;
}

/* Up to a full chunk, or the end of what is durable. */
static YIELDS err_t
chunk_fill(struct pull *pull, bool *is_end_out)
{
    struct feed_log *log = pull->log;
    bool is_there = true;
    err_t err = ERR_OK;

    while (is_there && log->chunk.size < FEED_CHUNK_BYTES) {
        struct slice payload, record;
        uint64_t closed;
        size_t offset = 0;

        TRY(wal_cursor_next(log->cursor, &payload, &closed, &is_there));
        if (!is_there) {
            break;
        }
        while (wal_record_next(payload, &offset, &record)) {
            TRY(record_take(pull, record));
        }
        log->closed = MAX(log->closed, closed);
        fiber_work(1 + (uint32_t)(payload.size / 256));
    }
    *is_end_out = !is_there;
out:
    return err;
}

static YIELDS err_t
pull_fill(struct pull *pull, struct store *store)
{
    struct feed_log *log = pull->log;
    bool is_end = false;
    err_t err;

    TRY(closed_advance(store));
    TRY(chunk_fill(pull, &is_end));
    /* No suspension since the end was met: what is appended later is later. */
    if (is_end && !log->has_floor) {
        log->floor = (struct feed_place){store_clock(store), shard_id()};
        log->has_floor = true;
    }
    if (is_end && (wal_appended(store_wal(store)) <= wal_durable(store_wal(store)) ||
                   CANARY(FEED_END_EARLY))) {
        log->closed = MAX(log->closed, closed_now(store));
    }
out:
    return err;
}

static void
pull_end(struct pull *pull, err_t err)
{
    pull->err = err;
    if (err != ERR_OK) {
        snprintf(pull->text, sizeof(pull->text), "%s", err_message(err));
    }
}

static YIELDS void
pull_run(void *arg)
{
    struct pull *pull = arg;
    struct buf *chunk = &pull->log->chunk;
    struct store *store = store_self();

    if (store == NULL) {
        pull_end(pull, err_set(ERR_CLOSED, "shard %u does not serve", shard_id()));
        return;
    }
    mem_adopt(MEM_SESSIONS, chunk->data, chunk->capacity);
    pull_end(pull, pull_fill(pull, store));
    mem_disown(MEM_SESSIONS, chunk->data, chunk->capacity);
}

static YIELDS void
begin_run(void *arg)
{
    struct pull *pull = arg;
    struct feed_log *log = pull->log;
    struct store *store = store_self();

    if (store == NULL) {
        pull_end(pull, err_set(ERR_CLOSED, "shard %u does not serve", shard_id()));
        return;
    }
    pull_end(pull, wal_cursor_open(store_wal(store), record_is_low, &pull->after, &log->cursor));
    if (pull->err == ERR_OK && wal_cursor_is_whole(log->cursor)) {
        log->has_floor = true; /* At 0: it has everything. */
    }
}

static void
end_run(void *arg)
{
    struct feed_log *log = arg;

    wal_cursor_close(&log->cursor);
}

/* ---- At the feed. ---- */

static YIELDS err_t
log_call(struct feed *feed, uint32_t shard, msg_fn fn)
{
    struct pull pull = {.log = &feed->logs[shard], .after = feed->after};

    msg_call(shard, MSG_FIBER, fn, &pull);
    return pull.err == ERR_OK ? ERR_OK : err_set(pull.err, "%s", pull.text);
}

static bool
log_has_record(const struct feed_log *log)
{
    return log->at < log->chunk.size;
}

static struct slice
log_record(const struct feed_log *log)
{
    const uint8_t *at = log->chunk.data + log->at;

    return slice_of(at + LENGTH_BYTES, get_le32(at));
}

/* The records were checked when they were taken. */
static struct feed_place
log_place(const struct feed *feed, uint32_t shard)
{
    struct record_header header;
    struct record_reader reader;
    err_t err = record_open(log_record(&feed->logs[shard]), &header, &reader);

    ASSERT(err == ERR_OK);
    return (struct feed_place){header.ts, shard};
}

/* Reads on where nothing is left. */
static YIELDS err_t
logs_pull(struct feed *feed)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        struct feed_log *log = &feed->logs[i];

        if (!log_has_record(log)) {
            buf_clear(&log->chunk);
            log->at = 0;
            mem_disown(MEM_SESSIONS, log->chunk.data, log->chunk.capacity);
            err = log_call(feed, i, pull_run);
            mem_adopt(MEM_SESSIONS, log->chunk.data, log->chunk.capacity);
            TRY(err);
        }
    }
out:
    return err;
}

/* The home of the next transaction; shard_count(): none is known to be the next. */
static uint32_t
next_home(const struct feed *feed)
{
    struct feed_place first = {UINT64_MAX, UINT32_MAX};

    for (uint32_t i = 0; i < shard_count(); i++) {
        if (log_has_record(&feed->logs[i])) {
            struct feed_place place = log_place(feed, i);

            first = place_compare(place, first) < 0 ? place : first;
        }
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (!log_has_record(&feed->logs[i]) && feed->logs[i].closed < first.ts) {
            return shard_count();
        }
    }
    return first.home;
}

/* ---- Writes. ---- */

static bool
prefix_meets(struct slice prefix, const struct feed_write *write)
{
    size_t common = MIN(prefix.size, write->key.size);

    if (write->key.size >= prefix.size && memcmp(write->key.data, prefix.data, prefix.size) == 0) {
        return true;
    }
    /* A range that begins before the prefix and ends behind its beginning. */
    return write->kind == FEED_DELETE_RANGE &&
           (common == 0 || slice_compare(write->key, prefix) < 0) &&
           slice_compare(write->value, prefix) > 0;
}

bool
feed_wants(const struct feed *feed, const struct feed_write *write)
{
    if (feed->prefix_count == 0 || write->kind == FEED_INGEST) {
        return true;
    }
    for (uint32_t i = 0; i < feed->prefix_count; i++) {
        if (prefix_meets(feed->prefix[i], write)) {
            return true;
        }
    }
    return false;
}

static void
write_take(struct feed *feed, const struct record_op *op, uint32_t shard, enum feed_kind kind)
{
    struct feed_write write = {.kind = kind, .shard = shard, .slot = op->slot, .key = op->key};

    write.value = op->value;
    write.expire_us = kind == FEED_PUT || kind == FEED_PUT_LARGE ? op->expire_us : 0;
    if (feed_wants(feed, &write)) {
        buf_append(&feed->writes, &write, sizeof(write));
    }
}

static void
ops_take(struct feed *feed, struct record_reader *reader, uint32_t shard)
{
    struct record_op op = {0};

    while (record_next(reader, &op) == ERR_OK) {
        struct record_reader section;

        switch (op.kind) {
        case RECORD_PUT:
            write_take(feed, &op, shard, FEED_PUT);
            break;
        case RECORD_PUT_LARGE:
            write_take(feed, &op, shard, FEED_PUT_LARGE);
            break;
        case RECORD_DELETE:
            write_take(feed, &op, shard, FEED_DELETE);
            break;
        case RECORD_DELETE_RANGE:
            write_take(feed, &op, shard, FEED_DELETE_RANGE);
            break;
        case RECORD_INGEST:
            write_take(feed, &op, shard, FEED_INGEST);
            break;
        case RECORD_COUNTER_ADD:
            break; /* What it counts is in the feed. */
        case RECORD_SECTION:
            record_section_open(op.value, (uint32_t)op.number, reader->may_ingest, &section);
            ops_take(feed, &section, op.counter); /* Once: no section has sections. */
            break;
        }
        op = (struct record_op){0};
    }
}

/* False: nothing of it is wanted. */
static bool
txn_take(struct feed *feed, uint32_t home, struct feed_txn *txn_out)
{
    struct feed_log *log = &feed->logs[home];
    struct slice record = log_record(log);
    struct record_header header;
    struct record_reader reader;
    err_t err = record_open(record, &header, &reader);

    ASSERT(err == ERR_OK);
    log->at += LENGTH_BYTES + record.size;
    feed->after = (struct feed_place){header.ts, home};
    buf_clear(&feed->writes);
    if (!slice_equal(header.protocol, SLICE(SLOTS_PROTOCOL))) { /* A move changes nothing. */
        ops_take(feed, &reader, home);
    }
    *txn_out = (struct feed_txn){
        .place = feed->after,
        .principal = header.principal,
        .protocol = header.protocol,
        .tag = header.tag,
        .writes = (const struct feed_write *)(const void *)feed->writes.data,
        .count = (uint32_t)(feed->writes.size / sizeof(struct feed_write)),
    };
    return txn_out->count > 0;
}

/* ---- The interface. ---- */

/* All logs go back to where the feed begins? */
static err_t
window_check(const struct feed *feed)
{
    /* The log of a shard that was given up has gone with it. */
    struct feed_place floor = {txns_self()->slots->retired_ts, 0};

    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct feed_log *log = &feed->logs[i];

        if (log->has_floor && place_compare(log->floor, floor) > 0) {
            floor = log->floor;
        }
    }
    if (place_compare(feed->after, floor) >= 0) {
        return ERR_OK;
    }
    return err_set(ERR_SNAPSHOT_TOO_OLD,
                   "the change feed goes back to %" PRIu64
                   " microseconds since 1970, not to %" PRIu64,
                   (floor.ts >> CLOCK_COUNTER_BITS) + 1, feed->after.ts >> CLOCK_COUNTER_BITS);
}

static void
feed_prefixes_set(struct feed *feed, const struct slice *prefixes, uint32_t count)
{
    size_t at = 0;

    for (uint32_t i = 0; i < count; i++) {
        buf_append(&feed->prefixes, prefixes[i].data, prefixes[i].size);
    }
    for (uint32_t i = 0; i < count; i++) {
        feed->prefix[i] = slice_of(feed->prefixes.data + at, prefixes[i].size);
        at += prefixes[i].size;
    }
    feed->prefix_count = count;
}

static struct feed *
feed_new(struct feed_place after)
{
    struct feed *feed = MEM_NEW(MEM_SESSIONS, struct feed);

    feed->after = after;
    feed->logs = mem_zalloc(MEM_SESSIONS, shard_count() * sizeof(*feed->logs));
    buf_init(&feed->writes, MEM_SESSIONS);
    buf_init(&feed->prefixes, MEM_SESSIONS);
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_init(&feed->logs[i].chunk, MEM_SESSIONS);
    }
    return feed;
}

err_t
feed_open(struct feed_place after, const struct slice *prefixes, uint32_t count,
          struct feed **feed_out)
{
    struct feed *feed;
    err_t err = ERR_OK;

    if (count > FEED_PREFIXES_MAX) {
        return err_set(ERR_LIMIT, "a feed filters by at most %d prefixes", FEED_PREFIXES_MAX);
    }
    if (after.ts > MAX(store_read_ts(store_self()), shard_acked())) {
        return err_set(ERR_INVALID, "a change feed cannot begin in the future");
    }
    feed = feed_new(after);
    feed_prefixes_set(feed, prefixes, count);
    for (uint32_t i = 0; i < shard_count(); i++) {
        TRY(log_call(feed, i, begin_run));
    }
    TRY(logs_pull(feed));
    TRY(window_check(feed));
    *feed_out = feed;
    feed = NULL;
out:
    if (feed != NULL) {
        char text[ERR_MESSAGE_BYTES_MAX];

        snprintf(text, sizeof(text), "%s", err_message(err));
        feed_close(&feed);
        err_set(err, "%s", text);
    }
    return err;
}

void
feed_close(struct feed **feed_ref)
{
    struct feed *feed = *feed_ref;

    if (feed == NULL) {
        return;
    }
    for (uint32_t i = 0; i < shard_count(); i++) {
        if (feed->logs[i].cursor != NULL) {
            msg_call(i, MSG_FIBER, end_run, &feed->logs[i]);
        }
        buf_fini(&feed->logs[i].chunk);
    }
    buf_fini(&feed->writes);
    buf_fini(&feed->prefixes);
    mem_free(MEM_SESSIONS, feed->logs, shard_count() * sizeof(*feed->logs));
    MEM_FREE(MEM_SESSIONS, feed);
    *feed_ref = NULL;
}

err_t
feed_next(struct feed *feed, struct feed_txn *txn_out, bool *is_there_out)
{
    bool is_fresh = false; /* Everything was read on since the last transaction. */
    err_t err = ERR_OK;

    *is_there_out = false;
    while (!*is_there_out) {
        uint32_t home = next_home(feed);

        if (home < shard_count()) {
            *is_there_out = txn_take(feed, home, txn_out);
            is_fresh = false;
            fiber_work(1 + txn_out->count / FEED_OPS_A_UNIT);
        } else if (is_fresh) {
            break;
        } else {
            TRY(logs_pull(feed));
            is_fresh = true;
        }
    }
out:
    return err;
}

err_t
feed_wait(struct feed *feed, uint64_t deadline_us, struct feed_txn *txn_out, bool *is_there_out)
{
    uint64_t pause_us = FEED_POLL_US_MIN;
    err_t err;

    for (;;) {
        uint64_t now_us;

        TRY(feed_next(feed, txn_out, is_there_out));
        now_us = shard_now_us();
        if (*is_there_out || now_us >= deadline_us) {
            break;
        }
        TRY(fiber_sleep_us(MIN(pause_us, deadline_us - now_us)));
        pause_us = MIN(pause_us * 2, (uint64_t)FEED_POLL_US_MAX);
    }
out:
    return err;
}

/* ---- Large values. ---- */

struct fetch {
    struct slice pointer;
    struct buf *value;
    err_t err;
    char text[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS err_t
fetch_value(struct fetch *fetch)
{
    struct vlog_pointer pointer;
    struct arena arena;
    struct slice value;
    err_t err;

    arena_init(&arena, MEM_SESSIONS);
    TRY(vlog_pointer_decode(fetch->pointer, &pointer));
    err = vlog_read(lsm_vlog(store_lsm(store_self())), &pointer, &arena, &value);
    if (err == ERR_CORRUPT) {
        err = err_set(ERR_SNAPSHOT_TOO_OLD, "the large value is no longer kept: %s",
                      err_message(err));
    }
    TRY(err);
    buf_append(fetch->value, value.data, value.size);
out:
    arena_fini(&arena);
    return err;
}

static YIELDS void
fetch_run(void *arg)
{
    struct fetch *fetch = arg;

    mem_adopt(MEM_SESSIONS, fetch->value->data, fetch->value->capacity);
    fetch->err = store_self() == NULL ? err_set(ERR_CLOSED, "shard %u does not serve", shard_id())
                                      : fetch_value(fetch);
    if (fetch->err != ERR_OK) {
        snprintf(fetch->text, sizeof(fetch->text), "%s", err_message(fetch->err));
    }
    mem_disown(MEM_SESSIONS, fetch->value->data, fetch->value->capacity);
}

err_t
feed_value(const struct feed_write *write, struct buf *value_out)
{
    struct fetch fetch = {.pointer = write->value, .value = value_out};

    ASSERT(write->kind == FEED_PUT_LARGE);
    ASSERT(value_out->tag == MEM_SESSIONS);
    ASSERT(write->shard < shard_count());
    mem_disown(MEM_SESSIONS, value_out->data, value_out->capacity);
    msg_call(write->shard, MSG_FIBER, fetch_run, &fetch);
    mem_adopt(MEM_SESSIONS, value_out->data, value_out->capacity);
    return fetch.err == ERR_OK ? ERR_OK : err_set(fetch.err, "%s", fetch.text);
}
