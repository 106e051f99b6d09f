/* lsm/lsm_batch.c - see lsm_batch.h. */
#include "lsm/lsm_batch.h"

#include "engine/base/assert.h"
#include "lsm/lsm_iter.h"

#include "engine/base/poison.h"

enum {
    COPY_BYTES_SOFT = 64 << 10, /* No further row is copied when so much is. */
    COPY_BYTES = COPY_BYTES_SOFT + LSM_KEY_BYTES_MAX + LSM_VALUE_INLINE_BYTES_MAX,
};

struct batch_rows {
    struct lsm_batch batch; /* Of the arrays below. */
    struct slice keys[LSM_BATCH_ROWS_MAX];
    struct slice values[LSM_BATCH_ROWS_MAX];
    uint64_t ts[LSM_BATCH_ROWS_MAX];
    uint64_t expire_us[LSM_BATCH_ROWS_MAX];
    uint16_t slots[LSM_BATCH_ROWS_MAX];
    uint8_t kinds[LSM_BATCH_ROWS_MAX];
    uint16_t selection[LSM_BATCH_ROWS_MAX];
    uint32_t row_count; /* Live or not. */
    size_t copied;
    uint8_t bytes[COPY_BYTES];
};

/* Only the parts that are used become resident. */
static struct batch_rows *
batch_rows_new(void)
{
    struct batch_rows *rows = mem_alloc(MEM_TABLES, sizeof(*rows));

    memset(&rows->batch, 0, sizeof(rows->batch));
    rows->batch.form = LSM_BATCH_ROWS;
    rows->batch.keys = rows->keys;
    rows->batch.values = rows->values;
    rows->batch.ts = rows->ts;
    rows->batch.expire_us = rows->expire_us;
    rows->batch.slots = rows->slots;
    rows->batch.kinds = rows->kinds;
    rows->row_count = 0;
    rows->copied = 0;
    return rows;
}

void
batch_rows_release(struct batch_rows *rows)
{
    if (rows == NULL) {
        return;
    }
    rows->batch.count = 0;
    rows->batch.selection = NULL;
    rows->batch.has_large = false;
    rows->row_count = 0;
    rows->copied = 0;
}

void
batch_rows_free(struct batch_rows **pointer)
{
    struct batch_rows *rows = *pointer;

    *pointer = NULL;
    if (rows != NULL) {
        batch_rows_release(rows);
        mem_free(MEM_TABLES, rows, sizeof(*rows));
    }
}

/* ---- Row by row, through the merge. ---- */

static struct slice
bytes_copy(struct batch_rows *rows, struct slice from)
{
    uint8_t *to = rows->bytes + rows->copied;

    ASSERT(from.size <= sizeof(rows->bytes) - rows->copied);
    if (from.size > 0) {
        memcpy(to, from.data, from.size);
        rows->copied += from.size;
    }
    return slice_of(to, from.size);
}

static void
row_copy(struct batch_rows *rows, const struct lsm_entry *entry)
{
    uint32_t row = rows->row_count++;

    rows->keys[row] = bytes_copy(rows, entry->key);
    rows->values[row] = bytes_copy(rows, entry->value);
    rows->ts[row] = entry->ts;
    rows->expire_us[row] = entry->expire_us;
    rows->slots[row] = entry->slot;
    rows->kinds[row] = entry->kind;
    rows->batch.has_large |= entry->kind == LSM_PUT_LARGE;
    rows->batch.count++;
}

YIELDS err_t
lsm_iter_batch(struct lsm_iter *iter, uint32_t rows_max, const struct lsm_batch **batch_out)
{
    struct batch_rows *rows;
    err_t err = ERR_OK;

    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    ASSERT(rows_max >= 1);
    ASSERT(rows_max <= LSM_BATCH_ROWS_MAX);
    if (iter->rows == NULL) {
        iter->rows = batch_rows_new();
    }
    rows = iter->rows;
    batch_rows_release(rows);
    while (iter->current != NULL && rows->row_count < rows_max && rows->copied < COPY_BYTES_SOFT) {
        ASSERT(iter->state == ITER_FORWARD);
        row_copy(rows, iter->current);
        TRY(lsm_iter_next(iter));
    }
    *batch_out = &rows->batch;
out:
    if (err != ERR_OK) {
        batch_rows_release(rows);
    }
    return err;
}

YIELDS err_t
lsm_batch_value(struct lsm_iter *iter, const struct lsm_batch *batch, uint32_t row,
                struct arena *arena, struct slice *value_out)
{
    OBJ_CHECK(iter, LSM_ITER_MAGIC);
    if (batch->kinds[row] == LSM_PUT_LARGE) {
        return lsm_large_read(iter->lsm, batch->values[row], arena, value_out);
    }
    *value_out = batch->values[row];
    return ERR_OK;
}
