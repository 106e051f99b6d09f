/* tests/sim/trees_ingest.c - sorted writes that go to the trees of trees.h as stamped tables. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/fiber.h"
#include "lsm/ingest.h"
#include "tests/sim/trees.h"

/* What the log says of one: the tables of each tree, described. */
struct trees_ingest {
    uint32_t tables[HISTORY_SUBJECTS_MAX];
    struct slice *descriptions[HISTORY_SUBJECTS_MAX]; /* Like a log, they survive crashes. */
};

static struct slice
copy_for_good(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);

    ASSERT(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

static void
describe(const struct lsm_ingest *ingest, struct trees_ingest *record, uint32_t which)
{
    uint32_t count = lsm_ingest_table_count(ingest);
    struct slice *descriptions = calloc(count + 1, sizeof(*descriptions));
    struct buf buf;

    ASSERT(descriptions != NULL);
    buf_init(&buf, MEM_SESSIONS);
    for (uint32_t i = 0; i < count; i++) {
        buf_clear(&buf);
        lsm_ingest_describe(ingest, i, &buf);
        descriptions[i] = copy_for_good(buf_slice(&buf));
    }
    buf_fini(&buf);
    record->tables[which] = count;
    record->descriptions[which] = descriptions;
}

/* ---- Building. ---- */

static YIELDS err_t
row_add(struct trees *trees, struct lsm_ingest *ingest, const struct history_write *write)
{
    struct lsm_entry entry = {
        .key = history_name(&trees->history, write->key),
        .expire_us = write->expire_us,
        .slot = history_slot(write->key),
        .kind = write->kind == HISTORY_PUT ? LSM_PUT : LSM_DELETE,
    };
    struct buf value;
    err_t err;

    buf_init(&value, MEM_SESSIONS);
    if (write->kind == HISTORY_PUT) {
        buf_reserve(&value, write->bytes + 1);
        history_value_fill(write, value.data);
        entry.value = slice_of(value.data, write->bytes);
    }
    err = lsm_ingest_add(ingest, &entry);
    buf_fini(&value);
    return err;
}

static YIELDS err_t
build(struct trees *trees, struct lsm_ingest *ingest, const struct history_write *writes,
      uint32_t count)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        TRY(row_add(trees, ingest, &writes[i]));
    }
    err = lsm_ingest_finish(ingest);
out:
    return err;
}

/* Some of the keys, in order. */
static uint32_t
writes_draw(struct trees *trees, struct history_write *writes)
{
    uint32_t percent = trees_chance(50) ? 100 : 1 + (uint32_t)trees_draw(99);
    uint32_t keys = trees->history.key_count;
    uint32_t low = trees_chance(50) ? 0 : (uint32_t)trees_draw(keys);
    uint32_t count = 0;

    for (uint32_t key = low; key < keys; key++) {
        if (trees_chance(percent)) {
            trees_write_draw(trees, &writes[count], false);
            writes[count++].key = key;
        }
    }
    return count;
}

/* ---- Committing. ---- */

static void
range_delete(struct trees *trees, uint64_t ts, uint64_t lsn)
{
    struct history_write range = {.kind = HISTORY_RANGE_DELETE,
                                  .end = trees->history.key_count,
                                  .ts = ts,
                                  .lsn = lsn,
                                  .id = trees->history.next_id++};

    range.key = (uint32_t)trees_draw(trees->history.key_count);
    history_append(&trees->history, &range);
    for (uint32_t which = 0; which < trees->count; which++) {
        trees_apply(trees, &trees->trees[which], which, &range);
    }
}

static void
ingest_apply(struct trees *trees, struct lsm_ingest **ingests, struct history_write *writes,
             uint32_t count)
{
    struct trees_ingest *record = &trees->ingests[trees->ingest_count++];
    uint64_t lsn = trees->history.appended + TREES_BATCH_LOG_BYTES;
    uint64_t ts = trees_ts_draw(trees);

    if (trees_chance(20)) { /* Which spares the rows. */
        range_delete(trees, ts, lsn);
    }
    for (uint32_t i = 0; i < count; i++) {
        writes[i].ts = ts;
        writes[i].lsn = lsn;
        writes[i].ingest = trees->ingest_count;
        history_append(&trees->history, &writes[i]);
    }
    for (uint32_t which = 0; which < trees->count; which++) {
        struct tree *tree = &trees->trees[which];

        describe(ingests[which], record, which);
        lsm_horizon_set(tree->lsm, trees->horizon);
        lsm_ingest_apply(tree->lsm, ingests[which], ts, lsn);
        trees_rotate_if_due(tree, lsn);
    }
    trees->commits++;
    SOMETIMES("lsm: sorted writes were ingested as tables");
}

void
trees_ingest(struct trees *trees)
{
    struct lsm_ingest *ingests[HISTORY_SUBJECTS_MAX] = {0};
    size_t bytes = trees->history.key_count * sizeof(struct history_write);
    struct history_write *writes = mem_alloc(MEM_SESSIONS, bytes);
    uint32_t count = writes_draw(trees, writes);
    err_t err = ERR_OK;

    if (trees->ingests == NULL) {
        trees->ingests = calloc(TREES_INGESTS_MAX, sizeof(trees->ingests[0]));
        ASSERT(trees->ingests != NULL);
    }
    for (uint32_t i = 0; i < trees->count && err == ERR_OK && count > 0; i++) {
        ingests[i] = lsm_ingest_new(trees->trees[i].lsm);
        err = build(trees, ingests[i], writes, count);
    }
    if (err == ERR_OK) {
        err = trees_wait_room(trees, TREES_BATCH_LOG_BYTES);
    }
    /* Some are given up instead. */
    if (err == ERR_OK && count > 0 && trees->ingest_count < TREES_INGESTS_MAX &&
        !trees_chance(10)) {
        ingest_apply(trees, ingests, writes, count);
    }
    for (uint32_t i = 0; i < trees->count; i++) {
        lsm_ingest_free(&ingests[i]);
    }
    mem_free(MEM_SESSIONS, writes, bytes);
    TREES_CHECK_OK(trees, err, "an ingest");
}

err_t
trees_ingest_replay(struct trees *trees, struct tree *tree, uint32_t which,
                    const struct history_write *write)
{
    const struct trees_ingest *record = &trees->ingests[write->ingest - 1];
    struct lsm_ingest *ingest = lsm_ingest_new(tree->lsm);
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < record->tables[which]; i++) {
        err = lsm_ingest_reopen(ingest, record->descriptions[which][i]);
        if (err != ERR_OK) {
            lsm_ingest_keep(ingest);
            goto out;
        }
    }
    lsm_ingest_apply(tree->lsm, ingest, write->ts, write->lsn);
out:
    lsm_ingest_free(&ingest);
    return err;
}
