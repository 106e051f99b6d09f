/* lsm/scrub.c - re-reading everything at rest, slowly: rot is found while a good copy still exists
 * elsewhere, and not when the data is needed.
 *
 * A round goes over the tables of the version with which it began, one after the other, each
 * pinned only while it is read; what compaction has replaced meanwhile is new and can wait for the
 * next round. Blocks are checked as they are read, and large values behind their pointers. */
#include <stdio.h>

#include "lsm/internal.h"

#include "engine/base/assert.h"
#include "engine/base/log.h"
#include "engine/base/sometimes.h"
#include "engine/rt/shard.h"

#include "engine/base/poison.h"

enum {
    SCRUB_READ_AHEAD_BYTES = 128 << 10,
    SCRUB_STEP_BYTES = 64 << 10, /* Read between two looks at the clock. */
    SCRUB_WORK_ENTRIES = 64,
};
#define SCRUB_ROUND_US UINT64_C(86400000000) /* Rounds begin a day apart at least. */

struct scrub {
    struct lsm *lsm;
    uint64_t step_bytes;
    uint64_t paid_until_us; /* What was read so far is paid for then. */
    struct arena arena;
};

void
lsm_scrub_set(struct lsm *lsm, uint64_t bytes_per_s)
{
    OBJ_CHECK(lsm, LSM_MAGIC);
    lsm->scrub_bytes_per_s = bytes_per_s;
    lsm->scrub_is_paused = false;
    cond_broadcast(&lsm->scrub_cond);
}

static bool
is_running(const struct lsm *lsm)
{
    return !lsm->is_closing && lsm->scrub_bytes_per_s > 0;
}

/* Sleeps as long as these bytes may take. A change of the rate wakes it. */
static YIELDS void
pace(struct scrub *scrub, uint64_t bytes)
{
    struct lsm *lsm = scrub->lsm;
    uint64_t now_us = shard_now_us();

    lsm->stats.scrub_bytes += bytes;
    scrub->step_bytes += bytes;
    if (scrub->step_bytes < SCRUB_STEP_BYTES || !is_running(lsm)) {
        return;
    }
    scrub->paid_until_us =
        MAX(scrub->paid_until_us, now_us) + scrub->step_bytes * 1000000 / lsm->scrub_bytes_per_s;
    scrub->step_bytes = 0;
    if (scrub->paid_until_us > now_us) {
        (void)cond_wait_until(&lsm->scrub_cond, scrub->paid_until_us);
    }
}

static YIELDS err_t
entry_scrub(struct scrub *scrub, const struct lsm_entry *entry)
{
    uint64_t bytes = entry->key.size + entry->value.size;
    struct vlog_pointer pointer;
    struct slice value;
    err_t err = ERR_OK;

    if (entry->kind == LSM_PUT_LARGE) {
        TRY(vlog_pointer_decode(entry->value, &pointer));
        err = vlog_read(scrub->lsm->vlog, &pointer, &scrub->arena, &value);
        arena_reset(&scrub->arena);
        bytes += pointer.bytes;
        if (err == ERR_CORRUPT) {
            goto out;
        }
        err = ERR_OK; /* No memory, or a failed read: not what is looked for here. */
    }
    pace(scrub, bytes);
out:
    return err;
}

/* Every block is checked when it is entered. */
static YIELDS err_t
entries_scrub(struct scrub *scrub, struct table *table)
{
    static const struct table_iter_options options = {.read_ahead_bytes = SCRUB_READ_AHEAD_BYTES,
                                                      .fill_cache = false};
    struct table_iter *iter = table_iter_new(table, &options);
    uint64_t entries = 0;
    err_t err;

    TRY(table_iter_seek_first(iter));
    while (table_iter_is_valid(iter) && is_running(scrub->lsm)) {
        TRY(entry_scrub(scrub, table_iter_entry(iter)));
        if (++entries % SCRUB_WORK_ENTRIES == 0) {
            fiber_work(SCRUB_WORK_ENTRIES);
        }
        TRY(table_iter_next(iter));
    }
out:
    table_iter_free(&iter);
    return err;
}

/* Reported once, until the tree is opened again. */
static YIELDS void
table_scrub(struct scrub *scrub, struct lsm_table *table)
{
    err_t err = entries_scrub(scrub, table->table);

    if (err == ERR_CORRUPT) {
        SOMETIMES("lsm: scrub found damage");
        table->is_damaged = true;
        scrub->lsm->stats.scrub_damages++;
        LOG_E("%s: scrub: table %016llx: %s", scrub->lsm->dir,
              (unsigned long long)table->meta->file_number, err_message(err));
    } else if (err == ERR_OK && is_running(scrub->lsm)) {
        scrub->lsm->stats.scrub_tables++;
    }
}

/* The table of that number in the version of now, or NULL. */
static struct lsm_table *
table_find(const struct lsm *lsm, uint64_t file_number)
{
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < lsm->version->levels[level].count; i++) {
            if (lsm->version->levels[level].tables[i]->meta->file_number == file_number) {
                return lsm->version->levels[level].tables[i];
            }
        }
    }
    return NULL;
}

static uint64_t *
numbers_list(const struct lsm *lsm, uint32_t *count_out)
{
    uint32_t count = 0;
    uint64_t *numbers;

    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        count += lsm->version->levels[level].count;
    }
    numbers = mem_alloc(MEM_BACKGROUND, count * sizeof(numbers[0]));
    *count_out = count;
    count = 0;
    for (uint32_t level = 0; level < LSM_LEVELS; level++) {
        for (uint32_t i = 0; i < lsm->version->levels[level].count; i++) {
            numbers[count++] = lsm->version->levels[level].tables[i]->meta->file_number;
        }
    }
    return numbers;
}

static YIELDS void
round_scrub(struct lsm *lsm)
{
    struct scrub scrub = {.lsm = lsm};
    uint32_t count = 0;
    uint64_t *numbers = numbers_list(lsm, &count);

    arena_init(&scrub.arena, MEM_BACKGROUND);
    for (uint32_t i = 0; i < count && is_running(lsm); i++) {
        struct lsm_table *table = table_find(lsm, numbers[i]);

        if (table != NULL && !table->is_damaged) {
            lsm_table_pin(table);
            table_scrub(&scrub, table);
            lsm_table_unpin(table);
        }
    }
    if (is_running(lsm)) {
        lsm->stats.scrub_rounds++;
    }
    arena_fini(&scrub.arena);
    mem_free(MEM_BACKGROUND, numbers, count * sizeof(numbers[0]));
}

void
scrub_fiber(void *arg)
{
    struct lsm *lsm = arg;

    while (!lsm->is_closing) {
        uint64_t next_us;

        if (lsm->scrub_bytes_per_s == 0) {
            cond_wait_uncancelable(&lsm->scrub_cond);
            continue;
        }
        next_us = shard_now_us() + SCRUB_ROUND_US;
        round_scrub(lsm);
        lsm->scrub_is_paused = true;
        while (is_running(lsm) && lsm->scrub_is_paused && shard_now_us() < next_us) {
            (void)cond_wait_until(&lsm->scrub_cond, next_us);
        }
    }
}
