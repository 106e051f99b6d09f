/* lsm/lsm_batch.h - ranges read in batches: many rows a call, borrowed where they lie.
 *
 * Where one table alone covers the next stretch of the range (no other source has anything up to
 * the end of the block, no range delete reaches it, the table has one version a key and all of it
 * is at or below the snapshot), whole blocks are handed out: keys are decoded, values stay in the
 * block, which is pinned until the next call. What is not live is left out by a selection. Any
 * other stretch goes through the merge into the same arrays: keys are copied, and values where it
 * is cheaper than to pin what they lie in.
 *
 *     rows     0    1    2    3    4 ...        keys[], values[], ts[], ...
 *     selection     [0, 1, 3, 4, ...]           the live ones; NULL: all
 *
 * A batch has a form, which says which of its parts are set; there is one so far. A form by
 * columns will come with blocks that hold columns: the same selection then stands beside arrays
 * of column values, and who asks for rows gets batches of rows as before. A reader therefore looks
 * at `form` first, and nothing but the selection may be assumed of a form that it does not know. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "lsm/lsm.h"

enum lsm_batch_form { LSM_BATCH_ROWS = 1 };

enum { LSM_BATCH_ROWS_MAX = 256 };

struct lsm_batch {
    enum lsm_batch_form form;
    uint32_t count;            /* Live rows: as many as the selection names. */
    const uint16_t *selection; /* Their numbers, rising; NULL: 0 .. count - 1. */
    /* LSM_BATCH_ROWS: arrays by row number, as in struct lsm_entry. */
    const struct slice *keys;
    const struct slice *values;
    const uint64_t *ts;
    const uint64_t *expire_us;
    const uint16_t *slots;
    const uint8_t *kinds;
    bool has_large; /* Some live row is an LSM_PUT_LARGE: lsm_batch_value. */
};

/* The row that is live row `index` < count. */
static inline uint32_t
lsm_batch_row(const struct lsm_batch *batch, uint32_t index)
{
    return batch->selection == NULL ? index : batch->selection[index];
}

/* The live entries from the iterator's current one on: at most rows_max (1..LSM_BATCH_ROWS_MAX) and
 * about 64 KiB of what has to be copied; none when the iterator is not on an entry. The iterator
 * then stands on the first live entry behind them, as after lsm_iter_next, or on none; the batch,
 * the iterator's own, stays until the iterator is moved or closed. Forward only: the last move must
 * have been forward (asserted).
 *
 * Yields like lsm_iter_next. After an error the batch is empty and the iterator on no entry. */
YIELDS err_t lsm_iter_batch(struct lsm_iter *iter, uint32_t rows_max,
                            const struct lsm_batch **batch_out);
/* The value of row number `row`; a large one is fetched into the arena. */
YIELDS err_t lsm_batch_value(struct lsm_iter *iter, const struct lsm_batch *batch, uint32_t row,
                             struct arena *arena, struct slice *value_out);
