/* txn/own.c - see own.h. */
#include "txn/own.h"

#include "engine/base/assert.h"
#include "txn/overlay_index.h"
#include "txn/spill.h"

#include "engine/base/poison.h"

/* Is the row of a run hidden by a range delete that was made after its piece, before the limit? */
static bool
row_is_hidden(struct overlay *overlay, const struct lsm_entry *row,
              const struct overlay_limit *limit)
{
    const struct spill_piece *piece = spill_piece_of_run(overlay->spill, row->ts);

    return overlay->range_deletes > 0 && piece->kept_to < limit->ops &&
           overlay_index_hides_since(overlay_index_get(overlay), row->key, piece->kept_to,
                                     limit->ops);
}

static uint32_t
runs_before(const struct overlay *overlay, const struct overlay_limit *limit)
{
    return limit->spills == 0 ? 0 : overlay->spill->pieces[limit->spills - 1].runs_to;
}

static struct record_op
op_of_row(const struct lsm_entry *row)
{
    return (struct record_op){
        .kind = row->kind == LSM_DELETE      ? RECORD_DELETE
                : row->kind == LSM_PUT_LARGE ? RECORD_PUT_LARGE
                                             : RECORD_PUT,
        .slot = row->slot,
        .expire_us = row->expire_us,
        .key = row->key,
        .value = row->value,
    };
}

/* ---- One key. ---- */

static YIELDS err_t
run_get(struct overlay *overlay, struct lsm *lsm, struct slice key,
        const struct overlay_limit *limit, struct arena *arena, enum overlay_answer *answer,
        struct record_op *op_out)
{
    struct lsm_entry row = {0};
    bool is_found;
    err_t err;

    TRY(lsm_runs_get(overlay->spill->runs, key, runs_before(overlay, limit), arena, &row,
                     &is_found));
    row.key = key;
    if (!is_found || row_is_hidden(overlay, &row, limit)) {
        goto out;
    }
    *answer = row.kind == LSM_DELETE ? OVERLAY_DELETED : OVERLAY_PUT;
    *op_out = op_of_row(&row);
    if (row.kind == LSM_PUT_LARGE) {
        TRY(lsm_runs_value(lsm, &row, arena, &op_out->value));
    }
out:
    return err;
}

YIELDS err_t
own_get(struct overlay *overlay, struct lsm *lsm, struct slice key,
        const struct overlay_mark *before, struct arena *arena, enum overlay_answer *answer_out,
        struct record_op *op_out)
{
    enum overlay_answer answer = OVERLAY_NONE;
    struct overlay_limit limit;
    err_t err = ERR_OK;

    if (overlay->spill == NULL) {
        answer = overlay_get(overlay, key, before, op_out);
    } else {
        limit = overlay_limit(overlay, before);
        answer = overlay_get_newest(overlay, key, before, op_out);
        if (answer == OVERLAY_NONE && limit.spills > 0) {
            TRY(run_get(overlay, lsm, key, &limit, arena, &answer, op_out));
            *answer_out = answer;
            if (answer == OVERLAY_PUT) {
                return ERR_OK; /* The value is in the arena already. */
            }
        }
        if (answer == OVERLAY_NONE && overlay_hides(overlay, key, before)) {
            answer = OVERLAY_DELETED;
        }
    }
    *answer_out = answer;
    if (answer == OVERLAY_PUT) {
        size_t size = op_out->value.size;

        op_out->value = arena_copy(arena, op_out->value);
        if (op_out->value.data == NULL) {
            err = err_set(ERR_NO_MEMORY, "no memory for a value of %zu bytes", size);
        }
    }
out:
    return err;
}

/* ---- In order. ---- */

void
own_iter_init(struct own_iter *iter, struct overlay *overlay, const struct overlay_mark *before,
              uint32_t ahead_bytes)
{
    memset(iter, 0, sizeof(*iter));
    overlay_iter_init(&iter->memory, overlay, before);
    iter->ahead_bytes = ahead_bytes;
    list_push_back(&overlay->viewers, &iter->viewer);
}

void
own_iter_fini(struct own_iter *iter)
{
    list_remove(&iter->viewer);
    lsm_runs_iter_free(&iter->runs);
}

/* Opens the runs that the mark sees, if they are others than before. */
static void
runs_open(struct own_iter *iter)
{
    struct overlay *overlay = iter->memory.overlay;
    struct overlay_limit limit = overlay_limit(overlay, &iter->memory.before);
    uint32_t runs = runs_before(overlay, &limit);

    if (iter->runs != NULL && iter->cuts == overlay->cuts) {
        return;
    }
    lsm_runs_iter_free(&iter->runs);
    iter->cuts = overlay->cuts;
    if (runs > 0) {
        iter->runs = lsm_runs_iter_new(overlay->spill->runs, runs, iter->ahead_bytes);
    }
}

static const struct lsm_entry *
runs_row(const struct own_iter *iter)
{
    return iter->runs == NULL ? NULL : lsm_runs_iter_entry(iter->runs);
}

static YIELDS err_t
hidden_rows_skip(struct own_iter *iter)
{
    struct overlay *overlay = iter->memory.overlay;
    struct overlay_limit limit;
    err_t err = ERR_OK;

    if (iter->runs == NULL || overlay->range_deletes == 0) {
        return ERR_OK;
    }
    limit = overlay_limit(overlay, &iter->memory.before);
    while (runs_row(iter) != NULL && row_is_hidden(overlay, runs_row(iter), &limit)) {
        TRY(lsm_runs_iter_step(iter->runs));
    }
out:
    return err;
}

static YIELDS err_t
own_settle(struct own_iter *iter)
{
    const struct lsm_entry *row;
    int order;
    err_t err;

    iter->key = slice_of(NULL, 0);
    TRY(hidden_rows_skip(iter));
    row = runs_row(iter);
    iter->is_in_memory = iter->memory.key.size > 0;
    iter->is_in_runs = row != NULL;
    if (iter->is_in_memory && iter->is_in_runs) {
        order = slice_compare(iter->memory.key, row->key);
        order = iter->is_up ? order : -order;
        iter->is_in_memory = order <= 0;
        iter->is_in_runs = order >= 0;
    }
    if (iter->is_in_memory) {
        iter->key = iter->memory.key;
        iter->op = iter->memory.op;
        iter->is_pointer = false;
    } else if (iter->is_in_runs) {
        iter->key = row->key;
        iter->op = op_of_row(row);
        iter->is_pointer = row->kind == LSM_PUT_LARGE;
    }
out:
    return err;
}

YIELDS err_t
own_iter_seek(struct own_iter *iter, struct slice key)
{
    err_t err;

    iter->is_up = true;
    runs_open(iter);
    iter->key = slice_of(NULL, 0);
    overlay_iter_seek(&iter->memory, key);
    if (iter->runs != NULL) {
        TRY(lsm_runs_iter_seek(iter->runs, key));
    }
    TRY(own_settle(iter));
out:
    return err;
}

YIELDS err_t
own_iter_seek_before(struct own_iter *iter, struct slice key)
{
    err_t err;

    iter->is_up = false;
    runs_open(iter);
    iter->key = slice_of(NULL, 0);
    overlay_iter_seek_before(&iter->memory, key);
    if (iter->runs != NULL) {
        TRY(lsm_runs_iter_seek_before(iter->runs, key));
    }
    TRY(own_settle(iter));
out:
    return err;
}

YIELDS err_t
own_iter_step(struct own_iter *iter)
{
    err_t err;

    ASSERT(iter->key.size > 0);
    if (iter->is_in_memory) {
        (void)(iter->is_up ? overlay_iter_next(&iter->memory)
                           : overlay_iter_previous(&iter->memory));
    }
    if (iter->is_in_runs) {
        TRY(lsm_runs_iter_step(iter->runs));
    }
    TRY(own_settle(iter));
out:
    if (err != ERR_OK) {
        iter->key = slice_of(NULL, 0);
    }
    return err;
}

void
own_iter_refresh(struct own_iter *iter)
{
    overlay_iter_refresh(&iter->memory);
    if (iter->is_in_memory) {
        iter->key = iter->memory.key;
        iter->op = iter->memory.op;
    }
}
