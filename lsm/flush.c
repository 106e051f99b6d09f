/* lsm/flush.c - frozen memtables become tables of level 0, the oldest first. */
#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/canary.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_ENTRY = 3, PACE_ENTRIES = 64 };

/* The memtable that the next rotation will need. */
static YIELDS void
spare_make(struct lsm *lsm)
{
    if (lsm->spare == NULL && !lsm->options.background_off && !lsm->is_closing) {
        struct memtable *spare =
            memtable_prepare(lsm->options.memtable_bytes, lsm->hash_seed, lsm->vlog, &lsm->pool);

        if (lsm->spare != NULL) { /* Another flush was quicker. */
            memtable_unpin(&spare);
        } else {
            lsm->spare = spare;
        }
    }
}

static YIELDS err_t
entries_write(struct lsm *lsm, struct memtable *memtable, struct collect *collect,
              struct output *output)
{
    struct memtable_iter iter;
    uint64_t bytes = 0;
    uint32_t count = 0;
    err_t err = ERR_OK;

    lsm->pace.flushed_bytes = 0;

    memtable_iter_init(&iter, memtable);
    for (memtable_iter_seek_first(&iter); memtable_iter_is_valid(&iter);
         memtable_iter_next(&iter)) {
        struct lsm_entry entry = iter.entry;

        bytes += entry.key.size + entry.value.size;
        if (++count == PACE_ENTRIES) {
            if (lsm->is_closing) {
                err = ERR_CANCELED;
                goto out;
            }
            spare_make(lsm); /* A flush may last longer than the active memtable. */
            lsm_pace_flushed(lsm, count, bytes);
            count = 0;
            bytes = 0;
        }
        entry.lsn = 0; /* In a table it is durable. */
        if (!CANARY(ENTRY_CACHE_STALE)) {
            entry_cache_flushed(lsm->entries, &entry);
        }
        if (collect_keeps(collect, &entry)) {
            TRY(output_add(output, &entry));
        }
        fiber_work(WORK_UNITS_PER_ENTRY);
    }
out:
    memtable_iter_fini(&iter);
    return err;
}

/* Write the table, if anything is left of the memtable, and add it to the edit. */
static YIELDS err_t
table_make(struct lsm *lsm, struct memtable *memtable, struct edit *edit, uint64_t *bytes_out)
{
    const struct output_options options = {
        .dir = lsm->dir,
        .file_number_new = lsm_file_number_new,
        .arg = lsm,
        .cache = lsm->cache,
        .vlog = lsm->vlog,
        .level = 0,
        .block_bytes = lsm->options.block_bytes,
        .compress = lsm_compresses(lsm, 0),
    };
    struct collect collect;
    struct output output;
    err_t err;

    /* The memtable itself stands for the job: no table is an input. */
    collect_init(&collect, &lsm->snapshots, &memtable->ranges, lsm->version, memtable,
                 lsm_memtables_oldest(lsm, memtable));
    output_init(&output, &options, &collect, edit);
    TRY(entries_write(lsm, memtable, &collect, &output));
    TRY(output_finish(&output));
    *bytes_out = output.bytes_written;
out:
    if (err != ERR_OK) {
        output_abandon(&output);
    }
    output_fini(&output);
    collect_fini(&collect);
    return err;
}

static void
listeners_call(struct lsm *lsm)
{
    for (uint32_t i = 0; i < lsm->listener_count; i++) {
        lsm->listeners[i].fn(lsm->listeners[i].arg, lsm->flushed_lsn);
    }
}

static YIELDS err_t
memtable_flush(struct lsm *lsm, struct memtable *memtable)
{
    uint64_t begin_us = shard_now_us();
    struct edit edit;
    uint64_t bytes = 0;
    err_t err;

    edit_init(&edit);
    if (!range_map_is_empty(&memtable->ranges)) {
        entry_cache_clear(lsm->entries);
    }
    if (!memtable_is_empty(memtable)) {
        TRY(table_make(lsm, memtable, &edit, &bytes));
    }
    if (lsm->options.wait_durable != NULL && !CANARY(FLUSH_BEFORE_LOG)) {
        lsm->options.wait_durable(lsm->options.wait_durable_arg, memtable->flush_lsn);
    }
    edit.has_flushed = true;
    edit.flushed_lsn = memtable->flush_lsn;
    edit.note = buf_slice(&memtable->note);
    lsm_ingest_settle_begin(lsm, memtable->number, &edit);
    TRY(lsm_commit(lsm, &edit, memtable, &lsm->flush_error));
    lsm->stats.flushes++;
    lsm->stats.flush_bytes += bytes;
    lsm_metrics_flush(&lsm->metrics, shard_now_us() - begin_us, bytes);
    lsm->stats.level_write_bytes[0] += bytes;
    listeners_call(lsm);
out:
    edit_fini(&edit);
    return err;
}

YIELDS err_t
flush_step(struct lsm *lsm)
{
    struct memtable *memtable;
    err_t err = ERR_OK;

    fiber_mutex_lock(&lsm->flush_mutex);
    memtable = lsm->frozen_oldest;
    if (memtable != NULL) {
        memtable_pin(memtable);
        block_cache_settle(lsm->cache);
        err = memtable_flush(lsm, memtable);
        memtable_unpin_slowly(&memtable);
        lsm_cache_lend(lsm); /* The pool may have grown by it. */
        lsm_report(lsm, &lsm->flush_error, err);
    }
    fiber_mutex_unlock(&lsm->flush_mutex);
    return err;
}

void
flush_fiber(void *arg)
{
    struct lsm *lsm = arg;
    uint32_t attempt = 0;
    err_t err;

    while (!lsm->is_closing) {
        spare_make(lsm);
        if (lsm->frozen_oldest == NULL) {
            if (!lsm->is_closing) { /* spare_make may have suspended. */
                lsm_flush_wait(lsm);
            }
            continue;
        }
        err = flush_step(lsm);
        if (err == ERR_OK) {
            attempt = 0;
        } else if (err != ERR_CANCELED) {
            SOMETIMES("lsm: a flush failed and is tried again");
            LOG_E("%s: a flush failed: %s", lsm->dir, lsm->error_message);
            (void)lsm_back_off(lsm, attempt++);
        }
    }
}

YIELDS err_t
lsm_flush(struct lsm *lsm)
{
    uint64_t newest = lsm->frozen_newest != NULL ? lsm->frozen_newest->number : 0;
    err_t err = ERR_OK;

    OBJ_CHECK(lsm, LSM_MAGIC);
    while (lsm->frozen_oldest != NULL && lsm->frozen_oldest->number <= newest && !lsm->is_closing) {
        TRY(flush_step(lsm));
    }
out:
    return err;
}
