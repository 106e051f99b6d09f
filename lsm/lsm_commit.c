/* lsm/lsm_commit.c - changing the version: one edit after the other, durably. */
#include <stdio.h>

#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

uint64_t
lsm_file_number_new(void *lsm)
{
    return ((struct lsm *)lsm)->next_file_number++;
}

void
lsm_report(struct lsm *lsm, err_t *error_slot, err_t err)
{
    *error_slot = err;
    if (err != ERR_OK && err != ERR_CANCELED) {
        const char *message = err_message(err);

        lsm->stats.background_errors++;
        snprintf(lsm->error_message, sizeof(lsm->error_message), "%s", message);
    }
    cond_broadcast(&lsm->room_cond);
}

YIELDS err_t
lsm_back_off(struct lsm *lsm, uint32_t attempt)
{
    uint64_t delay_us = (uint64_t)LSM_RETRY_US_MIN << MIN(attempt, 10u);
    uint64_t until_us = shard_now_us() + MIN(delay_us, (uint64_t)LSM_RETRY_US_MAX);

    /* In steps, so that closing need not wait for the whole delay. */
    while (shard_now_us() < until_us) {
        if (lsm->is_closing || fiber_sleep_us(LSM_RETRY_US_MIN) != ERR_OK) {
            return ERR_CANCELED;
        }
    }
    return lsm->is_closing ? ERR_CANCELED : ERR_OK;
}

/* Write the edit to the manifest: behind the others, or with everything to a new file. */
static YIELDS err_t
edit_write(struct lsm *lsm, const struct edit *edit, const struct version *next)
{
    uint64_t flushed_lsn = edit->has_flushed ? edit->flushed_lsn : lsm->flushed_lsn;
    struct slice note = edit->has_flushed ? edit->note : buf_slice(&lsm->note);
    uint64_t begin_us = shard_now_us();
    struct buf payload;
    err_t err;

    buf_init(&payload, MEM_TABLES);
    if (manifest_wants_begin(lsm->manifest)) {
        uint64_t file_number = lsm_file_number_new(lsm);

        manifest_encode_snapshot(&payload, next, lsm->next_file_number, flushed_lsn, note);
        manifest_encode_settled(&payload, edit);
        lsm_checkpoints_encode(lsm, &payload);
        manifest_encode_horizon(&payload, lsm_horizon_ever(lsm));
        err = manifest_begin(lsm->manifest, file_number, buf_slice(&payload));
    } else {
        manifest_encode_edit(&payload, edit, lsm->next_file_number);
        manifest_encode_horizon(&payload, lsm_horizon_ever(lsm));
        err = manifest_append(lsm->manifest, buf_slice(&payload));
    }
    lsm_metrics_edit(&lsm->metrics, shard_now_us() - begin_us);
    buf_fini(&payload);
    return err;
}

static bool
edit_adds(const struct edit *edit, uint64_t file_number)
{
    for (uint32_t i = 0; i < edit->add_count; i++) {
        if (edit->adds[i].table->meta->file_number == file_number) {
            return true;
        }
    }
    return false;
}

/* The removed tables, which `base` still holds, are in no newer version: their files may go,
 * unless a named checkpoint has them. */
static void
removed_mark(const struct lsm *lsm, const struct version *base, const struct edit *edit)
{
    for (uint32_t i = 0; i < edit->remove_count; i++) {
        const struct level *level = &base->levels[edit->removes[i].level];
        uint64_t file_number = edit->removes[i].file_number;

        for (uint32_t k = 0; k < level->count; k++) {
            if (level->tables[k]->meta->file_number == file_number &&
                !edit_adds(edit, file_number) && !lsm_checkpoint_has_table(lsm, file_number)) {
                level->tables[k]->is_obsolete = true;
            }
        }
    }
}

static void
frozen_remove_oldest(struct lsm *lsm, struct memtable *memtable)
{
    ASSERT(lsm->frozen_oldest == memtable);
    lsm->frozen_oldest = memtable->newer;
    if (lsm->frozen_oldest != NULL) {
        lsm->frozen_oldest->older = NULL;
    } else {
        lsm->frozen_newest = NULL;
    }
    lsm->frozen_count--;
    lsm->pace.flushed_bytes = 0;
    memtable->newer = NULL;
    lsm_cache_lend(lsm);
    memtable_unpin(&memtable);
}

void
lsm_tables_changed(struct lsm *lsm)
{
    lsm_pace(lsm);
    lsm->compact_is_due = true;
    cond_broadcast(&lsm->compact_cond);
}

/* The edit is durable: take it over. Does not suspend. */
static void
edit_install(struct lsm *lsm, const struct edit *edit, struct version *next,
             struct memtable *flushed)
{
    struct version *base = lsm->version;

    removed_mark(lsm, base, edit);
    lsm_iter_spare_drop(lsm);
    for (uint32_t i = 0; i < edit->add_count; i++) {
        table_place(edit->adds[i].table->table, &lsm->metrics, edit->adds[i].level);
    }
    lsm->version = next;
    version_unpin(&base);
    lsm_ingest_settle_end(lsm, edit);
    if (edit->has_flushed) {
        lsm->flushed_lsn = edit->flushed_lsn;
        buf_clear(&lsm->note);
        buf_append(&lsm->note, edit->note.data, edit->note.size);
    }
    if (flushed != NULL) {
        frozen_remove_oldest(lsm, flushed);
    }
    lsm_tables_changed(lsm);
}

YIELDS err_t
lsm_commit(struct lsm *lsm, struct edit *edit, struct memtable *flushed, err_t *error_slot)
{
    struct version *next = NULL;
    struct version *base = NULL;
    uint32_t attempt = 0;
    err_t err;

    fiber_mutex_lock(&lsm->manifest_mutex);
    base = lsm->version;
    version_pin(base);
    TRY(version_apply(base, edit, &next));
    while ((err = edit_write(lsm, edit, next)) != ERR_OK) {
        SOMETIMES("lsm: an edit of the manifest failed and is tried again");
        LOG_E("%s: the manifest cannot be written: %s", lsm->dir, err_message(err));
        lsm_report(lsm, error_slot, err);
        TRY(lsm_back_off(lsm, attempt++));
    }
    if (lsm->version != base) { /* Tables were ingested while the manifest was written. */
        version_unpin(&next);
        err = version_apply(lsm->version, edit, &next);
        ASSERT(err == ERR_OK); /* They keep clear of what compactions write. */
    }
    edit_install(lsm, edit, next, flushed);
    next = NULL;
out:
    version_unpin(&base);
    version_unpin(&next);
    fiber_mutex_unlock(&lsm->manifest_mutex);
    return err;
}
