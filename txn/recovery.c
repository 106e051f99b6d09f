/* txn/recovery.c - from a folder to a store: shape, tables, then the log on top of them. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "txn/checkpoint.h"
#include "txn/internal.h"
#include "txn/record.h"
#include "txn/shape.h"

#include "engine/base/poison.h"

struct recovery {
    struct store *store;
    uint64_t ts_newest;
    lsn_t applied; /* Position of the last record applied. */
};

/* The ingested tables of a record, if it has any: opened again. */
static YIELDS err_t
ingest_reopen(struct store *store, struct slice payload, struct lsm_ingest **ingest)
{
    struct record_header header;
    struct record_reader reader;
    struct record_op op;
    err_t err;

    TRY(record_open(payload, &header, &reader));
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

/* A memtable may fill while the log is read; its flush need not wait for a log that was read from
 * synced segments. */
static YIELDS err_t
recovery_replay(void *arg, lsn_t lsn, struct slice payload)
{
    struct recovery *recovery = arg;
    struct store *store = recovery->store;
    struct lsm_ingest *ingest = NULL;
    struct record_header header;
    struct record_reader reader;
    size_t room;
    err_t err;

    TRY(record_check(payload));
    TRY(record_open(payload, &header, &reader));
    if (header.ts <= recovery->ts_newest && recovery->applied > 0) {
        err = err_set(ERR_CORRUPT, "log record at position %llu is older than the one before it",
                      (unsigned long long)lsn);
        goto out;
    }
    room = payload.size + (size_t)header.ops * STORE_OP_OVERHEAD;
    if (!lsm_has_room(store->lsm, room)) {
        SOMETIMES("txn: recovery waited for a flush");
        TRY(lsm_wait_room(store->lsm, room));
    }
    if (header.has_ingest) {
        TRY(ingest_reopen(store, payload, &ingest));
    }
    store_apply(store, payload, lsn, ingest);
    recovery->ts_newest = MAX(recovery->ts_newest, header.ts);
    recovery->applied = lsn;
    store_rotate_if_due(store, lsn);
out:
    if (ingest != NULL && err != ERR_OK) {
        lsm_ingest_keep(ingest);
    }
    lsm_ingest_free(&ingest);
    return err;
}

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
tables_open(struct store *store, const struct store_options *options,
            struct lsm_recovered *recovered_out)
{
    struct lsm_options lsm;
    char dir[IO_PATH_BYTES_MAX];
    err_t err;

    snprintf(dir, sizeof(dir), "%s/lsm", store->dir);
    lsm_options_fill(store, options, dir, &lsm);
    TRY(lsm_open(&lsm, recovered_out, &store->lsm));
    err = note_decode(recovered_out->note, store->counters);
out:
    return err;
}

static YIELDS err_t
log_open(struct store *store, const struct store_options *options, uint64_t log_id, bool must_exist,
         const struct lsm_recovered *tables)
{
    struct recovery recovery = {.store = store, .ts_newest = tables->ts_newest};
    struct wal_recovered recovered;
    char dir[IO_PATH_BYTES_MAX];
    struct wal_options wal = {
        .dir = dir,
        .log_id = log_id,
        .segment_bytes = options->wal_segment_bytes,
        .durability = options->durability,
        .interval_us = options->interval_us,
        .needed_from = tables->flushed_lsn,
        .must_exist = must_exist,
        .in_flight_max = options->wal_in_flight_max,
        .group_bytes = options->wal_group_bytes,
        .replay = recovery_replay,
        .replay_arg = &recovery,
    };
    err_t err;

    store->rotated_at = tables->flushed_lsn;
    snprintf(dir, sizeof(dir), "%s/wal", store->dir);
    TRY(wal_open(&wal, &recovered, &store->wal));
    clock_init(&store->clock, MAX(recovered.clock_ceiling, recovery.ts_newest));
    store_clock_push(store,
                     clock_next(&store->clock)); /* So that the first commit need not wait. */
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

err_t
store_recover(struct store *store, const struct store_options *options)
{
    struct lsm_recovered tables = {0};
    struct shape shape;
    bool is_new;
    err_t err;

    TRY(folder_make(store->dir));
    TRY(shape_open(store->dir, &shape, &is_new));
    TRY(tables_open(store, options, &tables));
    TRY(log_open(store, options, shape.log_id, !is_new, &tables));
    TRY(lsm_files_collect(store->lsm));
    TRY(checkpoint_recover(store));
    if (is_new) {
        err = shape_commit(store->dir);
    }
out:
    if (err != ERR_OK) {
        lsm_close(&store->lsm);
        wal_close(&store->wal);
    }
    return err;
}
