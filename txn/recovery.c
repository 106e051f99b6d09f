/* txn/recovery.c - from a folder to a store: shape, tables, then the log on top of them.
 *
 * All shards at the same time, in step:
 *
 *     tables are open               round 1: sections can be taken from now on
 *     own log read, made durable;   round 2: all have everything
 *     sections handed on
 *     clock, leftovers removed      round 3: serve */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "txn/checkpoint.h"
#include "txn/internal.h"
#include "txn/meeting.h"
#include "txn/record.h"
#include "txn/shape.h"

#include "engine/base/poison.h"

enum { SECTIONS_BYTES = 256 << 10 }; /* Sent to another shard at once, and waited for. */

/* Writes of this shard's log that another shard has to apply, on their way. */
struct sections {
    struct buf bytes; /* Of section_put. */
};

struct recovery {
    struct store *store;
    const struct store_options *options;
    struct meeting *meeting;
    struct shape shape;
    bool is_new;
    struct lsm_recovered tables;
    struct sections *sections; /* [shard_count()] */
    uint64_t ts_log;           /* Of the last record of the log. */
    uint64_t ts_newest;        /* In tables and logs, as far as this shard has read. */
    uint64_t clock_ceiling;
};

/* The ingested tables among the ops, if there are any: opened again. */
static YIELDS err_t
ingest_reopen(struct store *store, struct record_reader reader, struct lsm_ingest **ingest)
{
    struct record_op op;
    err_t err;

    while ((err = record_next(&reader, &op)) == ERR_OK) {
        if (op.kind != RECORD_INGEST) {
            continue;
        }
        if (*ingest == NULL) {
            *ingest = lsm_ingest_new(store->lsm);
        }
        TRY(lsm_ingest_reopen(*ingest, op.value));
    }
    err = err == ERR_NOT_FOUND ? ERR_OK : err;
out:
    return err;
}

static YIELDS void
ingest_done(struct lsm_ingest **ingest, err_t err)
{
    if (*ingest != NULL && err != ERR_OK) {
        lsm_ingest_keep(*ingest);
    }
    lsm_ingest_free(ingest);
}

/* A memtable may fill while logs are read; its flush need not wait for a log that was read from
 * synced segments. */
static YIELDS err_t
room_wait(struct store *store, size_t bytes, uint32_t ops)
{
    size_t room = bytes + (size_t)ops * STORE_OP_OVERHEAD;
    err_t err = ERR_OK;

    if (!lsm_has_room(store->lsm, room)) {
        SOMETIMES("txn: recovery waited for a flush");
        TRY(lsm_wait_room(store->lsm, room));
    }
out:
    return err;
}

/* ---- Sections: from the shard that has read them to the shard that applies them. ----
 *
 *     lsn (8) | timestamp (8) | ops (4) | has an ingest (1) | bytes (4) | the ops */

enum { SECTION_HEAD_BYTES = 8 + 8 + 4 + 1 + 4 };

static void
section_put(struct buf *out, lsn_t lsn, const struct record_header *header,
            const struct record_op *op)
{
    uint8_t *at = buf_reserve(out, SECTION_HEAD_BYTES + op->value.size);

    put_le64(at, lsn);
    put_le64(at + 8, header->ts);
    put_le32(at + 16, (uint32_t)op->number);
    at[20] = header->has_ingest;
    put_le32(at + 21, (uint32_t)op->value.size);
    out->size += SECTION_HEAD_BYTES;
    buf_append(out, op->value.data, op->value.size);
}

/* Moves *rest behind it. */
static void
section_take(struct slice *rest, uint64_t log_id, struct store_section *section)
{
    const uint8_t *at = rest->data;
    size_t size = get_le32(at + 21);

    *section = (struct store_section){
        .log_id = log_id,
        .lsn = get_le64(at),
        .ts = get_le64(at + 8),
        .ops = get_le32(at + 16),
        .has_ingest = at[20] != 0,
        .bytes = slice_of(at + SECTION_HEAD_BYTES, size),
    };
    *rest = slice_of(at + SECTION_HEAD_BYTES + size, rest->size - SECTION_HEAD_BYTES - size);
}

static YIELDS err_t
section_recover(struct store *store, const struct store_section *section)
{
    struct lsm_ingest *ingest = NULL;
    struct record_reader reader;
    err_t err;

    if (section->lsn <= retain_position(&store->now, section->log_id)) {
        return ERR_OK; /* Its tables have it. */
    }
    if (section->ts <= store->born) {
        SOMETIMES("txn: a log had writes for an earlier shard of this number");
        retain_applied(store, section->log_id, section->lsn);
        return ERR_OK;
    }
    TRY(room_wait(store, section->bytes.size, section->ops));
    if (section->has_ingest) {
        record_section_open(section->bytes, section->ops, true, &reader);
        TRY(ingest_reopen(store, reader, &ingest));
    }
    SOMETIMES("txn: recovery applied what another shard's log had for this one");
    store_apply_section(store, section, ingest);
out:
    ingest_done(&ingest, err);
    return err;
}

struct sections_call {
    uint64_t log_id;
    struct slice bytes; /* The sender's. */
    err_t err;          /* Out. */
    char message[ERR_MESSAGE_BYTES_MAX];
};

static YIELDS void
sections_hear(void *arg)
{
    struct sections_call *call = arg;
    struct store *store = meeting_store();
    struct slice rest = call->bytes;

    ASSERT(store != NULL); /* It stays until all have read their logs. */
    while (rest.size > 0 && call->err == ERR_OK) {
        struct store_section section;

        section_take(&rest, call->log_id, &section);
        call->err = section_recover(store, &section);
        fiber_work(1 + section.ops);
    }
    if (call->err != ERR_OK) {
        snprintf(call->message, sizeof(call->message), "%s", err_message(call->err));
    }
}

static YIELDS err_t
sections_send(struct recovery *recovery, uint32_t shard)
{
    struct buf *bytes = &recovery->sections[shard].bytes;
    struct sections_call call = {.log_id = recovery->shape.log_id, .bytes = buf_slice(bytes)};

    if (bytes->size == 0) {
        return ERR_OK;
    }
    msg_call(shard, MSG_FIBER, sections_hear, &call);
    buf_clear(bytes);
    return call.err == ERR_OK ? ERR_OK : err_set(call.err, "%s", call.message);
}

static YIELDS err_t
sections_send_all(struct recovery *recovery)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        TRY(sections_send(recovery, i));
    }
out:
    return err;
}

/* Hands the sections of a record on. In the order of the log, for each shard. */
static YIELDS err_t
record_sections(struct recovery *recovery, lsn_t lsn, const struct record_header *header,
                struct record_reader reader)
{
    struct record_op op;
    err_t err;

    while ((err = record_next(&reader, &op)) == ERR_OK) {
        if (op.kind != RECORD_SECTION) {
            continue;
        }
        if (op.counter >= shard_count()) {
            continue; /* That shard was given up: others have what it had. */
        }
        if (op.counter == shard_id()) {
            err = err_set(ERR_CORRUPT, "log record at position %llu has writes for shard %u",
                          (unsigned long long)lsn, op.counter);
            goto out;
        }
        retain_section(recovery->store, op.counter, lsn);
        section_put(&recovery->sections[op.counter].bytes, lsn, header, &op);
        if (recovery->sections[op.counter].bytes.size >= SECTIONS_BYTES) {
            TRY(sections_send(recovery, op.counter));
        }
    }
    err = err == ERR_NOT_FOUND ? ERR_OK : err;
out:
    return err;
}

/* ---- The own log. ---- */

static YIELDS err_t
record_recover(struct recovery *recovery, lsn_t lsn, struct slice payload,
               const struct record_header *header, struct record_reader reader)
{
    struct store *store = recovery->store;
    struct lsm_ingest *ingest = NULL;
    err_t err;

    TRY(room_wait(store, payload.size, header->ops));
    if (header->has_ingest) {
        TRY(ingest_reopen(store, reader, &ingest));
    }
    store_apply(store, payload, lsn, ingest);
    store_rotate_if_due(store, lsn);
out:
    ingest_done(&ingest, err);
    return err;
}

static YIELDS err_t
recovery_replay(void *arg, lsn_t lsn, struct slice payload)
{
    struct recovery *recovery = arg;
    struct record_header header;
    struct record_reader reader;
    err_t err;

    TRY(record_check(payload));
    TRY(record_open(payload, &header, &reader));
    if (header.ts <= recovery->ts_log) {
        err = err_set(ERR_CORRUPT, "log record at position %llu is older than the one before it",
                      (unsigned long long)lsn);
        goto out;
    }
    recovery->ts_log = header.ts;
    recovery->ts_newest = MAX(recovery->ts_newest, header.ts);
    if (shard_count() > 1) {
        TRY(record_sections(recovery, lsn, &header, reader));
    }
    if (lsn > recovery->tables.flushed_lsn) {
        TRY(record_recover(recovery, lsn, payload, &header, reader));
    }
out:
    return err;
}

/* ---- Tables and log. ---- */

/* The flush of a memtable goes on when the log is durable up to where it was frozen. */
static YIELDS void
wait_for_log(void *arg, uint64_t lsn)
{
    struct store *store = arg;

    if (store->wal != NULL) {
        wal_wait_durable(store->wal, lsn);
    }
}

static void
lsm_options_fill(struct store *store, const struct store_options *options, const char *dir,
                 struct lsm_options *lsm)
{
    uint64_t memory =
        options->memory_bytes != 0 ? options->memory_bytes : (uint64_t)STORE_MEMORY_DEFAULT;
    uint64_t usable = memory - MIN(memory / 2, (uint64_t)STORE_RESERVE_BYTES + memory / 16);

    store->memory_bytes = memory;
    *lsm = options->lsm;
    lsm->dir = dir;
    if (lsm->memtables_max == 0) {
        lsm->memtables_max = STORE_MEMTABLES;
    }
    if (lsm->memtable_bytes == 0) {
        lsm->memtable_bytes = MIN(usable / 4, (uint64_t)STORE_MEMTABLE_MAX);
        lsm->memtable_bytes = MAX(lsm->memtable_bytes, (uint64_t)STORE_MEMTABLE_MIN);
    }
    if (lsm->cache_bytes == 0) {
        lsm->cache_bytes = usable - MIN(usable / 4, lsm->memtable_bytes);
    }
    lsm->wait_durable = wait_for_log;
    lsm->wait_durable_arg = store;
    store->log_bytes_max =
        MIN(STORE_LOG_FACTOR * lsm->memtable_bytes, (uint64_t)STORE_LOG_BYTES_MAX);
}

static YIELDS err_t
tables_open(struct recovery *recovery)
{
    struct store *store = recovery->store;
    struct lsm_options lsm;
    char dir[IO_PATH_BYTES_MAX];
    err_t err;

    snprintf(dir, sizeof(dir), "%s/lsm", store->dir);
    lsm_options_fill(store, recovery->options, dir, &lsm);
    TRY(lsm_open(&lsm, &recovery->tables, &store->lsm));
    TRY(note_decode(recovery->tables.note, &store->now));
    store->kept_unread = store->now.kept_from; /* A rotation must not forget it: retain.c. */
    recovery->ts_newest = recovery->tables.ts_newest;
    store->applied = recovery->tables.flushed_lsn;
    store->rotated_at = recovery->tables.flushed_lsn;
out:
    return err;
}

/* What of the log is history for change feeds, as far as reading it does not delay the start. */
static uint64_t
history_back(const struct store_options *options)
{
    uint64_t most = STORE_HISTORY_REPLAY_MAX;

    if (options->retention_us == 0) {
        return 0;
    }
    return options->retention_bytes == 0 ? most : MIN(most, options->retention_bytes);
}

static YIELDS err_t
log_open(struct recovery *recovery)
{
    struct store *store = recovery->store;
    const struct store_options *options = recovery->options;
    lsn_t flushed = recovery->tables.flushed_lsn;
    struct wal_recovered recovered;
    char dir[IO_PATH_BYTES_MAX];
    struct wal_options wal = {
        .dir = dir,
        .log_id = recovery->shape.log_id,
        .segment_bytes = options->wal_segment_bytes,
        .durability = options->durability,
        .interval_us = options->interval_us,
        .needed_from = flushed,
        .replay_back = MAX(flushed - MIN(flushed, store->kept_unread), history_back(options)),
        .must_exist = !recovery->is_new,
        .in_flight_max = options->wal_in_flight_max,
        .group_bytes = options->wal_group_bytes,
        .replay = recovery_replay,
        .replay_arg = recovery,
    };
    err_t err;

    snprintf(dir, sizeof(dir), "%s/wal", store->dir);
    TRY(wal_open(&wal, &recovered, &store->wal));
    store->kept_unread = UINT64_MAX;
    recovery->clock_ceiling = recovered.clock_ceiling;
    err = sections_send_all(recovery);
out:
    return err;
}

static YIELDS err_t
folder_make(const char *dir)
{
    char parent[STORE_DIR_BYTES_MAX];
    const char *slash = strrchr(dir, '/');
    err_t err = io_mkdir(dir);

    if (err == ERR_EXISTS) {
        err = ERR_OK; /* Perhaps not durably: the parent is synced in any case. */
    }
    TRY(err);
    snprintf(parent, sizeof(parent), "%.*s", slash == NULL ? 0 : (int)(slash - dir), dir);
    err = io_sync_dir(parent);
out:
    return err;
}

/* ---- The phases, in which all shards keep step. ---- */

static YIELDS err_t
phase_tables(struct recovery *recovery)
{
    struct store *store = recovery->store;
    err_t err;

    TRY(folder_make(store->dir));
    TRY(shape_open(store->dir, recovery->options->may_move, &recovery->shape, &recovery->is_new));
    store->log_id = recovery->shape.log_id;
    store->shards_first = recovery->shape.shards;
    store->is_new = recovery->is_new;
    store->born = recovery->is_new ? UINT64_MAX : recovery->shape.born;
    err = tables_open(recovery);
out:
    return err;
}

/* All logs have been read. The clock begins above everything that any shard has given or may have
 * given, and then the store is like one that never stopped. */
static YIELDS err_t
phase_finish(struct recovery *recovery)
{
    struct store *store = recovery->store;
    uint64_t last = 0;
    uint64_t horizon = 0; /* A snapshot below that of any tree may miss versions there. */
    err_t err;

    for (uint32_t i = 0; i < shard_count(); i++) {
        const struct meeting_word *word = meeting_word_of(recovery->meeting, i);

        last = MAX(last, word->clock);
        horizon = MAX(horizon, word->horizon);
        store->others_have_data = store->others_have_data || word->has_data;
        store->log_ids[i] = word->log_id;
    }
    clock_init(&store->clock, shard_id(), last);
    store_clock_push(store,
                     clock_next(&store->clock)); /* So that the first commit need not wait. */
    TRY(lsm_files_collect(store->lsm));
    TRY(checkpoint_recover(store));
    if (recovery->is_new) {
        store->born = last;
        recovery->shape.born = last;
        TRY(shape_commit(store->dir, &recovery->shape));
    }
    window_open(&store->window, recovery->options->retention_us << CLOCK_COUNTER_BITS,
                recovery->options->retention_bytes, horizon);
    TRY(retain_open(store));
    horizon_open(&store->horizon, store, horizon);
    shard_slot_set(SHARD_SLOT_STORE, store);
out:
    return err;
}

static YIELDS err_t
attend(struct recovery *recovery, err_t err)
{
    struct meeting_word word = {
        .log_id = recovery->shape.log_id,
        /* A clock that went on without commits may have moved the horizon beyond its ceiling. */
        .clock =
            CANARY(CLOCK_BELOW_CEILING)
                ? recovery->ts_newest
                : MAX(MAX(recovery->clock_ceiling, recovery->ts_newest), recovery->tables.horizon),
        .horizon = recovery->tables.horizon,
        .has_data = recovery->ts_newest != 0,
    };

    return meeting_attend(recovery->meeting, err, &word);
}

static struct sections *
sections_new(void)
{
    struct sections *sections = mem_alloc(MEM_RUNTIME, shard_count() * sizeof(*sections));

    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_init(&sections[i].bytes, MEM_BACKGROUND);
    }
    return sections;
}

static void
sections_free(struct sections *sections)
{
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_fini(&sections[i].bytes);
    }
    mem_free(MEM_RUNTIME, sections, shard_count() * sizeof(*sections));
}

static YIELDS void
abandon(struct store *store, err_t err)
{
    char message[ERR_MESSAGE_BYTES_MAX];

    snprintf(message, sizeof(message), "%s", err_message(err));
    shard_slot_set(SHARD_SLOT_STORE, NULL);
    horizon_close(&store->horizon);
    lsm_close(&store->lsm);
    retain_close(store);
    wal_close(&store->wal);
    err_set(err, "%s", message);
}

err_t
store_recover(struct store *store, const struct store_options *options)
{
    struct recovery recovery = {.store = store, .options = options};
    err_t err;

    recovery.meeting = meeting_new(store);
    recovery.sections = sections_new();
    TRY(attend(&recovery, phase_tables(&recovery)));
    TRY(attend(&recovery, log_open(&recovery)));
    err = attend(&recovery, phase_finish(&recovery));
out:
    if (err != ERR_OK) {
        abandon(store, err);
    }
    sections_free(recovery.sections);
    meeting_free(&recovery.meeting);
    return err;
}
