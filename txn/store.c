/* txn/store.c - the commit step, reads, and what belongs to them.
 *
 *     wait for room (log, memtable, clock)  <- the only place that suspends
 *     timestamp, log record, memtable       <- one step: nobody sees half of it
 *
 * commit.c has the same two parts with the checks of transactions in between. */
#include "txn/store.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"
#include "txn/closed.h"
#include "txn/internal.h"
#include "txn/record.h"

#include "engine/base/poison.h"

/* ---- Applying. ---- */

static int64_t
counter_sum(int64_t a, int64_t b)
{
    return (int64_t)((uint64_t)a +
                     (uint64_t)b); /* Wraps; a sum beyond 63 bits is a caller's bug. */
}

static void
apply_op(struct store *store, const struct record_op *op, uint64_t ts, lsn_t lsn)
{
    struct lsm_entry entry = {.key = op->key, .ts = ts, .lsn = lsn, .slot = op->slot};

    switch (op->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
        entry.kind = op->kind == RECORD_PUT ? LSM_PUT : LSM_PUT_LARGE;
        entry.value = op->value;
        entry.expire_us = op->expire_us;
        lsm_apply(store->lsm, &entry);
        break;
    case RECORD_DELETE:
        entry.kind = LSM_DELETE;
        lsm_apply(store->lsm, &entry);
        break;
    case RECORD_DELETE_RANGE:
        lsm_apply_range_delete(
            store->lsm,
            &(struct lsm_range_delete){.start = op->key, .end = op->value, .ts = ts, .lsn = lsn});
        break;
    case RECORD_COUNTER_ADD:
        store->now.counters[op->counter] =
            counter_sum(store->now.counters[op->counter], op->number);
        break;
    case RECORD_INGEST:
        break; /* All its tables at once, by ops_apply. */
    case RECORD_SECTION:
        retain_section(store, op->counter, lsn); /* For that shard to apply. */
        break;
    }
}

/* The writes of a large record fetch what they need from memory side by side: the bucket of the
 * key AHEAD_BUCKET writes before its turn, the key itself AHEAD_KEY writes before. */
enum { AHEAD_BUCKET = 8, AHEAD_KEY = 4 };

struct ahead {
    struct record_reader reader;
    uint64_t hashes[AHEAD_BUCKET];
    uint32_t steps;
};

static bool
op_has_key(const struct record_op *op)
{
    return op->kind == RECORD_PUT || op->kind == RECORD_PUT_LARGE || op->kind == RECORD_DELETE;
}

static void
ahead_step(struct store *store, struct ahead *ahead)
{
    uint64_t *hash = &ahead->hashes[ahead->steps % AHEAD_BUCKET];
    uint64_t due = ahead->hashes[(ahead->steps + AHEAD_KEY) % AHEAD_BUCKET];
    struct record_op op;

    *hash = 0;
    if (record_next(&ahead->reader, &op) == ERR_OK && op_has_key(&op)) {
        *hash = lsm_prefetch(store->lsm, op.key);
    }
    if (due != 0) {
        lsm_prefetch_key(store->lsm, due);
    }
    ahead->steps++;
}

static void
ops_apply(struct store *store, struct record_reader *reader, uint64_t ts, lsn_t lsn,
          struct lsm_ingest *ingest)
{
    bool is_single = reader->ops_left == 1;
    struct ahead ahead;
    struct record_op op;
    err_t err;

    if (!is_single) {
        memset(&ahead, 0, sizeof(ahead));
        ahead.reader = *reader;
        for (uint32_t i = 0; i < AHEAD_BUCKET; i++) {
            ahead_step(store, &ahead);
        }
    }
    while ((err = record_next(reader, &op)) == ERR_OK) {
        apply_op(store, &op, ts, lsn);
        if (__builtin_expect(store->on_write != NULL, 0)) {
            store->on_write(store->on_write_arg, &op);
        }
        if (!is_single) {
            ahead_step(store, &ahead);
        }
    }
    ASSERT(err == ERR_NOT_FOUND);
    store->writer = 0;
    if (ingest != NULL) {
        lsm_ingest_apply(store->lsm, ingest, ts, lsn);
    }
    if (__builtin_expect(store->on_write != NULL, 0)) {
        store->on_write(store->on_write_arg, NULL);
    }
}

void
store_apply(struct store *store, struct slice record, lsn_t lsn, struct lsm_ingest *ingest)
{
    struct record_header header;
    struct record_reader reader;
    err_t err = record_open(record, &header, &reader);

    ASSERT(err == ERR_OK);
    ops_apply(store, &reader, header.ts, lsn, ingest);
    store->applied = lsn;
}

void
store_apply_section(struct store *store, const struct store_section *section,
                    struct lsm_ingest *ingest)
{
    struct record_reader reader;

    record_section_open(section->bytes, section->ops, section->has_ingest, &reader);
    /* Position 0: the other log has it durably. */
    ops_apply(store, &reader, section->ts, 0, ingest);
    retain_applied(store, section->log_id, section->lsn);
    store_rotate_if_due(store, store->applied);
}

void
store_rotate(struct store *store, lsn_t lsn)
{
    size_t bytes;

    store->now.kept_from = retain_kept_from(store);
    bytes = note_encode(&store->now, store->note);
    lsm_rotate(store->lsm, lsn, slice_of(store->note, bytes));
    store->rotated_at = lsn;
}

void
store_rotate_if_due(struct store *store, lsn_t lsn)
{
    if (lsm_wants_rotation(store->lsm)) {
        store_rotate(store, lsn);
    } else if (lsn - store->rotated_at > store->log_bytes_max && lsm_can_rotate(store->lsm)) {
        SOMETIMES("txn: rotated because the log had grown");
        store_rotate(store, lsn);
    }
}

err_t
store_flush(struct store *store)
{
    OBJ_CHECK(store, STORE_MAGIC);
    if (store_appended(store) > store->rotated_at && lsm_can_rotate(store->lsm)) {
        /* Nothing suspends between append and apply: what was appended is in the memtable. */
        store_rotate(store, store_appended(store));
    }
    return lsm_flush(store->lsm);
}

/* ---- Committing. ---- */

static size_t
memtable_bytes(const struct store_batch *batch)
{
    return batch->record.size + (size_t)batch->ops * STORE_OP_OVERHEAD;
}

static bool
clock_has_room(struct store *store)
{
    return clock_next(&store->clock) <= wal_clock_durable(store->wal);
}

void
store_clock_push(struct store *store, uint64_t ts)
{
    if (store->clock.ceiling < ts + CLOCK_CEILING_LEFT) {
        store->clock.ceiling = ts + store->clock_ahead;
    }
    wal_set_clock(store->wal, store->clock.ceiling, closed_now(store));
}

struct store_room
store_room_of(const struct store_batch *batch)
{
    return (struct store_room){
        .log_bytes = batch->record.size,
        .memtable_bytes = memtable_bytes(batch),
    };
}

void
store_retention_set(struct store *store, uint64_t retention_us, uint64_t bytes)
{
    window_set(&store->window, retention_us << CLOCK_COUNTER_BITS, bytes, clock_read(&store->clock),
               store_appended(store));
    horizon_retention_changed(&store->horizon);
}

void
store_history_get(const struct store *store, struct store_history *history)
{
    *history = (struct store_history){
        .from_us = window_begin() >> CLOCK_COUNTER_BITS,
        .log_bytes = window_log_bytes(&store->window, store_appended(store)),
        .cuts = store->window.cuts,
    };
}

size_t
store_record_bytes_max(const struct store *store)
{
    return wal_record_bytes_max(store->wal);
}

bool
store_has_room(struct store *store, const struct store_room *room)
{
    return !store->is_held && wal_has_room(store->wal, room->log_bytes) &&
           lsm_has_room(store->lsm, room->memtable_bytes) && clock_has_room(store);
}

void
store_clock_cover(struct store *store)
{
    if (clock_has_room(store)) {
        return;
    }
    SOMETIMES("txn: a snapshot waited for the clock's ceiling");
    store_clock_push(store, clock_next(&store->clock));
    (void)wal_clock_sync(store->wal); /* A disk that takes nothing more can still be read. */
}

err_t
store_wait_room(struct store *store, const struct store_room *room)
{
    err_t err;

    while (!store_has_room(store, room)) {
        if (store->is_retired) {
            return err_set(ERR_SERIALIZATION,
                           "could not commit: shard %u was given up; run the transaction again",
                           shard_id());
        }
        while (store->is_held) {
            SOMETIMES("txn: a commit waited for a checkpoint to capture all shards");
            cond_wait_uncancelable(&store->held_cond);
        }
        TRY(wal_reserve(store->wal, room->log_bytes));
        TRY(lsm_wait_room(store->lsm, room->memtable_bytes));
        if (!clock_has_room(store)) {
            SOMETIMES("txn: a commit waited for the clock's ceiling");
            store_clock_push(store, clock_next(&store->clock));
            TRY(wal_clock_sync(store->wal));
        }
    }
    err = wal_reserve(store->wal, room->log_bytes); /* Has room: does not suspend. */
out:
    return err;
}

err_t
store_large_write(struct store *store, struct store_batch *batch, uint32_t *written)
{
    err_t err = ERR_OK;

    for (; *written < batch->large_count; ++*written) {
        const struct store_large *large = &batch->large[*written];
        struct vlog_pointer pointer;

        TRY(vlog_append(lsm_vlog(store->lsm), large->value, &pointer));
        vlog_pointer_encode(&pointer, batch->record.data + large->pointer_offset);
    }
out:
    return err;
}

void
store_large_release(struct store *store, const struct store_batch *batch, uint32_t written)
{
    for (uint32_t i = 0; i < written; i++) {
        const uint8_t *at = batch->record.data + batch->large[i].pointer_offset;
        struct vlog_pointer pointer;
        err_t err = vlog_pointer_decode(slice_of(at, VLOG_POINTER_BYTES), &pointer);

        ASSERT(err == ERR_OK);
        vlog_release_hold(lsm_vlog(store->lsm), &pointer);
    }
}

/* A single write: its bucket comes from memory while the log takes the record. */
static void
commit_prefetch(struct store *store, const struct store_batch *batch)
{
    struct record_header header;
    struct record_reader reader;
    struct record_op op;

    if (record_open(buf_slice(&batch->record), &header, &reader) == ERR_OK) {
        reader.ops_left = batch->ops; /* Not in the header before record_finish. */
        if (record_next(&reader, &op) == ERR_OK && op_has_key(&op)) {
            (void)lsm_prefetch(store->lsm, op.key);
        }
    }
}

lsn_t
store_commit_step(struct store *store, struct buf *record, uint32_t ops, uint64_t ts,
                  struct lsm_ingest *ingest)
{
    lsn_t lsn;
    uint8_t *at;

    if (CANARY(STORE_YIELD_MISPLACED)) {
        fiber_yield();
    }
    store->clock.last = ts;
    record_finish(record->data, ts, ops);
    at = wal_append(store->wal, record->size, &lsn);
    memcpy(at, record->data, record->size);
    store_clock_push(store, ts);
    horizon_note_commit(&store->horizon, ts);
    store_apply(store, buf_slice(record), lsn, ingest);
    store_rotate_if_due(store, lsn);
    return lsn;
}

void
store_commit_prefetch(struct store *store, const struct store_batch *batch)
{
    if (batch->ops == 1) {
        commit_prefetch(store, batch);
    }
}

err_t
store_commit(struct store *store, struct store_batch *batch, uint64_t *ts_out, lsn_t *lsn_out)
{
    struct store_room room = store_room_of(batch);
    uint32_t written = 0;
    uint64_t ts;
    lsn_t lsn;
    err_t err;

    OBJ_CHECK(store, STORE_MAGIC);
    store_commit_prefetch(store, batch);
    if (batch->error != ERR_OK) {
        return err_set(batch->error, "%s", err_message(batch->error));
    }
    if (batch->ops == 0) {
        return ERR_OK;
    }
    if (batch->large_count > 0) {
        TRY(store_large_write(store, batch, &written));
    }
    TRY(store_wait_room(store, &room));
    ts = clock_next(&store->clock);
    lsn = store_commit_step(store, &batch->record, batch->ops, ts, batch->ingest);
    if (ts_out != NULL) {
        *ts_out = ts;
    }
    if (lsn_out != NULL) {
        *lsn_out = lsn;
    }
out:
    if (written > 0) {
        store_large_release(store, batch, written);
    }
    return err;
}

bool
store_commit_is_immediate(struct store *store, const struct store_batch *batch)
{
    struct store_room room = store_room_of(batch);

    return batch->large_count == 0 && store_has_room(store, &room);
}

int64_t
store_counter(const struct store *store, uint32_t counter)
{
    ASSERT(counter < STORE_COUNTERS_MAX);
    return store->now.counters[counter];
}

/* ---- Reading. ---- */

uint64_t
store_read_ts(struct store *store)
{
    return clock_read(&store->clock);
}

err_t
store_get(struct store *store, struct slice key, struct arena *arena, struct lsm_value *value_out)
{
    OBJ_CHECK(store, STORE_MAGIC);
    return lsm_get(store->lsm, key, clock_read(&store->clock), arena, value_out);
}

err_t
store_try_get(struct store *store, struct slice key, struct arena *arena,
              struct lsm_value *value_out, bool *is_answered_out)
{
    OBJ_CHECK(store, STORE_MAGIC);
    return lsm_try_get(store->lsm, key, clock_read(&store->clock), arena, value_out,
                       is_answered_out);
}

err_t
store_multi_get(struct store *store, const struct slice *keys, uint32_t count, struct arena *arena,
                struct lsm_value *results)
{
    OBJ_CHECK(store, STORE_MAGIC);
    return lsm_multi_get(store->lsm, keys, count, clock_read(&store->clock), arena, results);
}

void
store_snapshot_take(struct store *store, struct store_snapshot *snapshot)
{
    OBJ_CHECK(store, STORE_MAGIC);
    /* Later commits lie above it: otherwise one of the same microsecond could slip in below. */
    store->clock.last = clock_read(&store->clock);
    lsm_snapshot_take(store->lsm, store->clock.last, &snapshot->held);
}

void
store_snapshot_drop(struct store *store, struct store_snapshot *snapshot)
{
    lsm_snapshot_drop(store->lsm, &snapshot->held);
}

err_t
store_get_at(struct store *store, const struct store_snapshot *snapshot, struct slice key,
             struct arena *arena, struct lsm_value *value_out)
{
    return lsm_get(store->lsm, key, snapshot->held.ts, arena, value_out);
}

err_t
store_scan_open(struct store *store, const struct store_snapshot *snapshot, struct slice lower,
                struct slice upper, struct lsm_iter **iter_out)
{
    return lsm_iter_open(store->lsm, lower, upper, snapshot->held.ts, iter_out);
}

/* ---- Durability. ---- */

lsn_t
store_durable(const struct store *store)
{
    return CANARY(REPLY_BEFORE_DURABLE) ? wal_appended(store->wal) : wal_durable(store->wal);
}

lsn_t
store_appended(const struct store *store)
{
    return wal_appended(store->wal);
}

void
store_wait_durable(struct store *store, lsn_t lsn)
{
    if (!CANARY(REPLY_BEFORE_DURABLE)) {
        wal_wait_durable(store->wal, lsn);
    }
}

void
store_on_durable(struct store *store, void (*fn)(void *arg, lsn_t durable), void *arg)
{
    wal_on_durable(store->wal, fn, arg);
}

void
store_set_durability(struct store *store, enum wal_durability durability, uint64_t interval_us)
{
    store->durability = durability;
    wal_set_durability(store->wal, durability, interval_us);
}

enum wal_durability
store_durability(const struct store *store)
{
    return store->durability;
}

void
store_on_write(struct store *store, store_write_fn fn, void *arg)
{
    store->on_write = fn;
    store->on_write_arg = arg;
}

uint64_t
store_writer(const struct store *store)
{
    return store->writer;
}

struct lsm *
store_lsm(struct store *store)
{
    return store->lsm;
}

bool
store_is_retired(const struct store *store)
{
    return store->is_retired;
}

struct wal *
store_wal(struct store *store)
{
    return store->wal;
}

uint64_t
store_clock(const struct store *store)
{
    return store->clock.last;
}

struct store *
store_self(void)
{
    return shard_slot_get(SHARD_SLOT_STORE);
}

/* ---- Opening and closing. ---- */

static void
store_free(struct store *store)
{
    retain_fini(store);
    MEM_FREE(MEM_RUNTIME, store);
}

err_t
store_open(const struct store_options *options, struct store **store_out)
{
    struct store *store;
    err_t err;

    if (strlen(options->dir) >= STORE_DIR_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the name of a shard's folder is longer than %d bytes: %s",
                       STORE_DIR_BYTES_MAX - 1, options->dir);
    }
    ASSERT(store_self() == NULL);
    store = MEM_NEW(MEM_RUNTIME, struct store);
    store->magic = STORE_MAGIC;
    store->durability = options->durability;
    store->open_proposal = UINT64_MAX;
    store->clock_ahead = CLOCK_AHEAD_US << CLOCK_COUNTER_BITS;
    memcpy(store->dir, options->dir, strlen(options->dir) + 1);
    cond_init(&store->held_cond);
    fiber_mutex_init(&store->capture_mutex);
    retain_init(store);
    TRY(store_recover(store, options));
    *store_out = store;
    store = NULL;
out:
    if (store != NULL) {
        store_free(store);
    }
    return err;
}

/* A long log would have to be read again at the next start, which takes longer than writing a table
 * now. Where the disk does not take it, the log has everything. */
static YIELDS void
close_flush(struct store *store)
{
    lsn_t appended = wal_appended(store->wal);
    struct lsm_stats stats;

    lsm_stats_get(store->lsm, &stats);
    if (stats.memtables == 1 && appended - store->rotated_at <= STORE_CLOSE_LOG_BYTES) {
        return;
    }
    if (appended > store->rotated_at && lsm_can_rotate(store->lsm)) {
        store_rotate(store, appended);
    }
    if (lsm_flush(store->lsm) != ERR_OK) {
        SOMETIMES("txn: a flush failed while a store was closed");
    }
}

void
store_close(struct store **store_ref)
{
    struct store *store = *store_ref;

    if (store == NULL) {
        return;
    }
    OBJ_CHECK(store, STORE_MAGIC);
    shard_slot_set(SHARD_SLOT_STORE, NULL);
    close_flush(store);
    horizon_close(&store->horizon);
    lsm_close(&store->lsm); /* Before the log: a flush may wait for it. */
    retain_close(store);
    /* Nothing passes the clock any more, so the next start need not begin at the ceiling. */
    wal_set_clock(store->wal, store->clock.last, store->clock.last);
    wal_close(&store->wal);
    store_free(store);
    *store_ref = NULL;
}
