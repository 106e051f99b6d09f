/* txn/api_cursor.c - see api_cursor.h.
 *
 * Opening and closing never wait, so they take place on the application's stack; so does handing
 * out rows that are at hand. Only the next batch is fetched by the shard's fiber. Backwards there
 * are no batches below, so the rows of one are gathered here. */
#include "txn/api_cursor.h"

#include "engine/base/assert.h"
#include "lsm/lsm_batch.h"
#include "txn/api.h"

#include "engine/base/poison.h"

#define CURSOR_MAGIC UINT64_C(0x6f72626974637572)

enum {
    CURSOR_ROWS_MIN = 40,   /* Of the first batch; each further one has twice as many, */
    CURSOR_ROWS_GROWTH = 2, /* up to LSM_BATCH_ROWS_MAX. */
    BACK_ROWS_MAX = 64,
    BACK_BYTES_SOFT = 64 << 10,
    LARGE_BYTES_SOFT = 1 << 20, /* Fetched large values of one call. */
    OPEN_UNITS = 5,             /* Counted work. */
};

/* Rows gathered backwards. */
struct back_rows {
    struct lsm_batch batch;
    struct slice keys[BACK_ROWS_MAX];
    struct slice values[BACK_ROWS_MAX];
    uint8_t kinds[BACK_ROWS_MAX];
    struct arena arena;
};

struct api_cursor {
    uint64_t magic;
    struct orbit *db;
    struct lsm_iter *iter;
    bool is_placed; /* The iterator stands behind the batch, not before the first one. */
    uint32_t rows_max;
    const struct lsm_batch *batch; /* NULL: none yet. */
    uint32_t at;                   /* Rows of it that were given out. */
    uint32_t count;
    struct buf last; /* Key of the last row of the batch before: where to go on after an error. */
    struct arena large;
    bool has_large;         /* Something is in the arena. */
    struct back_rows *back; /* NULL: forwards. */
};

static void
cursor_free(struct api_cursor *cursor)
{
    lsm_iter_close(&cursor->iter);
    buf_fini(&cursor->last);
    arena_fini(&cursor->large);
    if (cursor->back != NULL) {
        arena_fini(&cursor->back->arena);
        MEM_FREE(MEM_SESSIONS, cursor->back);
    }
    cursor->magic = 0;
    MEM_FREE(MEM_SESSIONS, cursor);
}

static struct api_cursor *
cursor_new(struct orbit *db, bool is_reverse)
{
    struct api_cursor *cursor = MEM_NEW(MEM_SESSIONS, struct api_cursor);

    cursor->magic = CURSOR_MAGIC;
    cursor->db = db;
    cursor->rows_max = CURSOR_ROWS_MIN;
    buf_init(&cursor->last, MEM_SESSIONS);
    arena_init(&cursor->large, MEM_SESSIONS);
    if (is_reverse) {
        cursor->back = MEM_NEW(MEM_SESSIONS, struct back_rows);
        cursor->back->batch.form = LSM_BATCH_ROWS;
        cursor->back->batch.keys = cursor->back->keys;
        cursor->back->batch.values = cursor->back->values;
        cursor->back->batch.kinds = cursor->back->kinds;
        arena_init(&cursor->back->arena, MEM_SESSIONS);
    }
    return cursor;
}

err_t
api_cursor_open(struct orbit *db, const struct api_cursor_options *options,
                struct api_cursor **cursor_out)
{
    const struct store_snapshot *at = options->snapshot;
    struct store_snapshot now;
    struct api_cursor *cursor;
    err_t err;

    TRY(api_inline_check(db));
    api_inline_enter(db, true);
    cursor = cursor_new(db, options->is_reverse);
    if (at == NULL) {
        store_snapshot_take(store_self(), &now);
        at = &now;
    }
    err = store_scan_open(store_self(), at, options->lower, options->upper, &cursor->iter);
    if (at == &now) {
        store_snapshot_drop(store_self(), &now); /* The iterator holds it. */
    }
    if (err == ERR_OK) {
        *cursor_out = cursor;
    } else {
        cursor_free(cursor);
    }
    api_inline_leave(db, OPEN_UNITS);
out:
    return err;
}

void
api_cursor_close(struct api_cursor **pointer)
{
    struct api_cursor *cursor = *pointer;
    struct orbit *db;

    *pointer = NULL;
    if (cursor == NULL) {
        return;
    }
    OBJ_CHECK(cursor, CURSOR_MAGIC);
    db = cursor->db;
    ASSERT(api_inline_check(db) == ERR_OK);
    api_inline_enter(db, false);
    cursor_free(cursor);
    api_inline_leave(db, OPEN_UNITS);
}

/* ---- Fetching, in the shard's fiber. ---- */

static YIELDS err_t
cursor_place(struct api_cursor *cursor)
{
    struct slice last = buf_slice(&cursor->last);
    bool is_reverse = cursor->back != NULL;
    err_t err;

    if (last.size == 0) {
        err = is_reverse ? lsm_iter_last(cursor->iter) : lsm_iter_first(cursor->iter);
    } else if (is_reverse) {
        err = lsm_iter_seek_before(cursor->iter, last);
    } else {
        TRY(lsm_iter_seek(cursor->iter, last));
        if (lsm_iter_is_valid(cursor->iter) &&
            slice_equal(lsm_iter_entry(cursor->iter)->key, last)) {
            err = lsm_iter_next(cursor->iter);
        }
    }
out:
    cursor->is_placed = err == ERR_OK;
    return err;
}

static YIELDS err_t
back_gather(struct lsm_iter *iter, struct back_rows *back)
{
    err_t err = ERR_OK;

    arena_reset(&back->arena);
    back->batch.count = 0;
    back->batch.has_large = false;
    for (size_t bytes = 0;
         lsm_iter_is_valid(iter) && back->batch.count < BACK_ROWS_MAX && bytes < BACK_BYTES_SOFT;) {
        const struct lsm_entry *entry = lsm_iter_entry(iter);
        uint32_t row = back->batch.count;

        back->keys[row] = arena_copy(&back->arena, entry->key);
        back->values[row] = arena_copy(&back->arena, entry->value);
        back->kinds[row] = entry->kind;
        back->batch.has_large |= entry->kind == LSM_PUT_LARGE;
        bytes += entry->key.size + entry->value.size;
        TRY(lsm_iter_previous(iter));
        back->batch.count++;
    }
out:
    return err;
}

/* What was given out goes. */
static void
batch_leave(struct api_cursor *cursor)
{
    if (cursor->count > 0) {
        struct slice last = cursor->batch->keys[lsm_batch_row(cursor->batch, cursor->count - 1)];

        buf_clear(&cursor->last);
        buf_append(&cursor->last, last.data, last.size);
    }
    cursor->at = 0;
    cursor->count = 0;
}

static YIELDS err_t
cursor_fetch_run(void *arg)
{
    struct api_cursor *cursor = arg;
    err_t err;

    batch_leave(cursor);
    if (!cursor->is_placed) {
        TRY(cursor_place(cursor));
    }
    cursor->is_placed = false;
    if (cursor->back != NULL) {
        TRY(back_gather(cursor->iter, cursor->back));
        cursor->batch = &cursor->back->batch;
    } else {
        TRY(lsm_iter_batch(cursor->iter, cursor->rows_max, &cursor->batch));
    }
    cursor->is_placed = true;
    cursor->count = cursor->batch->count;
    cursor->rows_max = MIN(cursor->rows_max * CURSOR_ROWS_GROWTH, (uint32_t)LSM_BATCH_ROWS_MAX);
    api_wait(lsm_iter_lsn(cursor->iter));
out:
    return err;
}

struct large_request {
    struct api_cursor *cursor;
    uint32_t row;
    struct slice value;
};

static YIELDS err_t
large_run(void *arg)
{
    struct large_request *request = arg;
    struct api_cursor *cursor = request->cursor;

    return lsm_batch_value(cursor->iter, cursor->batch, request->row, &cursor->large,
                           &request->value);
}

static YIELDS err_t
large_drop_run(void *arg)
{
    struct api_cursor *cursor = arg;

    arena_reset(&cursor->large);
    return ERR_OK;
}

static err_t
large_fetch(struct api_cursor *cursor, uint32_t row, struct slice *value_out)
{
    struct large_request request = {.cursor = cursor, .row = row};
    err_t err;

    cursor->has_large = true;
    TRY(api_call(cursor->db, 0, large_run, &request));
    *value_out = request.value;
out:
    return err;
}

/* ---- Handing out. ---- */

static inline void
row_give(struct orbit_row *row, struct slice key, struct slice value)
{
    *row = (struct orbit_row){.key = key.data + API_KEY_PREFIX_BYTES,
                              .key_size = key.size - API_KEY_PREFIX_BYTES,
                              .value = value.data,
                              .value_size = value.size};
}

/* Rows of a batch with large values; those given out stay given when a later one fails. */
static err_t
rows_give_large(struct api_cursor *cursor, struct orbit_row *rows, size_t capacity,
                size_t *count_out)
{
    const struct lsm_batch *batch = cursor->batch;
    size_t large_bytes = 0;
    size_t count = 0;
    err_t err = ERR_OK;

    while (count < capacity && cursor->at < cursor->count && large_bytes < LARGE_BYTES_SOFT) {
        uint32_t row = lsm_batch_row(batch, cursor->at);
        struct slice value = batch->values[row];

        if (batch->kinds[row] == LSM_PUT_LARGE) {
            TRY(large_fetch(cursor, row, &value));
            large_bytes += value.size;
        }
        row_give(&rows[count++], batch->keys[row], value);
        cursor->at++;
    }
out:
    *count_out = count;
    return count > 0 ? ERR_OK : err;
}

bool
api_cursor_row(struct api_cursor *cursor, struct orbit_row *row)
{
    const struct lsm_batch *batch = cursor->batch;
    uint32_t number;

    OBJ_CHECK(cursor, CURSOR_MAGIC);
    if (cursor->at == cursor->count || batch->has_large) {
        return false;
    }
    number = lsm_batch_row(batch, cursor->at++);
    row_give(row, batch->keys[number], batch->values[number]);
    return true;
}

err_t
api_cursor_rows(struct api_cursor *cursor, struct orbit_row *rows, size_t capacity,
                size_t *count_out)
{
    const struct lsm_batch *batch;
    uint32_t count;
    err_t err = ERR_OK;

    OBJ_CHECK(cursor, CURSOR_MAGIC);
    if (__builtin_expect(cursor->has_large, 0)) {
        TRY(api_call(cursor->db, 0, large_drop_run, cursor));
        cursor->has_large = false;
    }
    if (cursor->at == cursor->count) {
        TRY(api_call(cursor->db, 0, cursor_fetch_run, cursor));
        if (cursor->count == 0) {
            return ERR_NOT_FOUND;
        }
    }
    batch = cursor->batch;
    if (__builtin_expect(batch->has_large, 0)) {
        return rows_give_large(cursor, rows, capacity, count_out);
    }
    count = (uint32_t)MIN(capacity, (size_t)(cursor->count - cursor->at));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = lsm_batch_row(batch, cursor->at + i);

        row_give(&rows[i], batch->keys[row], batch->values[row]);
    }
    cursor->at += count;
    *count_out = count;
out:
    return err;
}
