/* txn/feed_rows.c - see feed_rows.h.
 *
 * The reader of the tables (lsm/ingest_rows.h) belongs to their shard, and fills a batch of rows
 *     kind (1) | slot (2) | expire_us (8) | key bytes (4) | value bytes (4) | key | value
 * that goes to and fro between the two shards. */
#include "txn/feed_rows.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "lsm/ingest_rows.h"
#include "txn/closed.h"
#include "txn/txns.h"

#include "engine/base/poison.h"

enum { ROW_HEAD_BYTES = 19 };

struct feed_rows {
    const struct feed *feed;
    uint64_t ts;
    uint32_t shard;
    struct slice *descriptions;
    uint32_t count;
    struct lsm_ingest_rows *source; /* Of the other shard. */
    struct buf batch;
    struct buf writes; /* Of struct feed_write: the batch. */
    bool is_given;     /* The batch. */
    bool is_end;       /* Nothing follows it. */
    err_t err;         /* Of the last message. */
    char text[ERR_MESSAGE_BYTES_MAX];
};

/* ---- Where the tables are. ---- */

static enum feed_kind
kind_of(const struct lsm_entry *row)
{
    return row->kind == LSM_DELETE      ? FEED_DELETE
           : row->kind == LSM_PUT_LARGE ? FEED_PUT_LARGE
                                        : FEED_PUT;
}

static void
row_append(struct feed_rows *rows, const struct lsm_entry *row)
{
    struct feed_write write = {
        .kind = kind_of(row), .shard = rows->shard, .slot = row->slot, .key = row->key};
    uint8_t *at;

    if (!feed_wants(rows->feed, &write)) {
        return;
    }
    at = buf_reserve(&rows->batch, ROW_HEAD_BYTES + row->key.size + row->value.size);
    at[0] = (uint8_t)write.kind;
    put_le16(at + 1, row->slot);
    put_le64(at + 3, row->expire_us);
    put_le32(at + 11, (uint32_t)row->key.size);
    put_le32(at + 15, (uint32_t)row->value.size);
    rows->batch.size += ROW_HEAD_BYTES;
    buf_append(&rows->batch, row->key.data, row->key.size);
    buf_append(&rows->batch, row->value.data, row->value.size);
}

static YIELDS err_t
batch_fill(struct feed_rows *rows, struct store *store)
{
    err_t err = ERR_OK;

    if (rows->source == NULL) {
        /* The record is durable, but this shard may not have heard yet of its outcome. */
        closed_wait_decided(txns_self(), rows->ts);
        TRY(lsm_ingest_rows_open(store_lsm(store), rows->ts, rows->descriptions, rows->count,
                                 &rows->source));
    }
    while (rows->batch.size < FEED_ROWS_BYTES && !rows->is_end) {
        const struct lsm_entry *row;

        TRY(lsm_ingest_rows_next(rows->source, &row));
        if (row != NULL) {
            row_append(rows, row);
        }
        rows->is_end = row == NULL;
    }
out:
    return err;
}

static YIELDS void
fill_run(void *arg)
{
    struct feed_rows *rows = arg;
    struct store *store = store_self();

    mem_adopt(MEM_SESSIONS, rows->batch.data, rows->batch.capacity);
    rows->err = store == NULL ? err_set(ERR_CLOSED, "shard %u does not serve", shard_id())
                              : batch_fill(rows, store);
    if (rows->err != ERR_OK) {
        snprintf(rows->text, sizeof(rows->text), "%s", err_message(rows->err));
    }
    mem_disown(MEM_SESSIONS, rows->batch.data, rows->batch.capacity);
}

static YIELDS void
close_run(void *arg)
{
    struct feed_rows *rows = arg;

    lsm_ingest_rows_close(&rows->source);
}

/* ---- Where they are read. ---- */

static YIELDS err_t
fill(struct feed_rows *rows)
{
    buf_clear(&rows->batch);
    mem_disown(MEM_SESSIONS, rows->batch.data, rows->batch.capacity);
    msg_call(rows->shard, MSG_FIBER, fill_run, rows);
    mem_adopt(MEM_SESSIONS, rows->batch.data, rows->batch.capacity);
    return rows->err == ERR_OK ? ERR_OK : err_set(rows->err, "%s", rows->text);
}

static void
batch_decode(struct feed_rows *rows)
{
    const uint8_t *at = rows->batch.data;
    const uint8_t *end = at + rows->batch.size;

    buf_clear(&rows->writes);
    while (at < end) {
        struct feed_write write = {
            .kind = (enum feed_kind)at[0],
            .shard = rows->shard,
            .slot = get_le16(at + 1),
            .expire_us = get_le64(at + 3),
            .key = slice_of(at + ROW_HEAD_BYTES, get_le32(at + 11)),
        };

        write.value = slice_of(write.key.data + write.key.size, get_le32(at + 15));
        at = write.value.data + write.value.size;
        buf_append(&rows->writes, &write, sizeof(write));
    }
}

YIELDS err_t
feed_rows_next(struct feed_rows *rows, const struct feed_write **writes_out, uint32_t *count_out)
{
    err_t err = ERR_OK;

    if (rows->is_given) {
        buf_clear(&rows->batch);
    }
    while (rows->batch.size == 0 && !rows->is_end) {
        TRY(fill(rows));
    }
    rows->is_given = true;
    batch_decode(rows);
    *writes_out = (const struct feed_write *)(const void *)rows->writes.data;
    *count_out = (uint32_t)(rows->writes.size / sizeof(struct feed_write));
out:
    return err;
}

static void
descriptions_take(struct feed_rows *rows, const struct feed_txn *txn)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < txn->count; i++) {
        count += txn->writes[i].kind == FEED_INGEST && txn->writes[i].shard == rows->shard;
    }
    rows->descriptions = mem_alloc(MEM_SESSIONS, count * sizeof(rows->descriptions[0]));
    for (uint32_t i = 0; i < txn->count; i++) {
        if (txn->writes[i].kind == FEED_INGEST && txn->writes[i].shard == rows->shard) {
            rows->descriptions[rows->count++] = txn->writes[i].value;
        }
    }
}

YIELDS err_t
feed_rows_open(const struct feed *feed, const struct feed_txn *txn, uint32_t shard,
               struct feed_rows **rows_out)
{
    struct feed_rows *rows = MEM_NEW(MEM_SESSIONS, struct feed_rows);
    err_t err;

    ASSERT(shard < shard_count());
    rows->feed = feed;
    rows->ts = txn->place.ts;
    rows->shard = shard;
    buf_init(&rows->batch, MEM_SESSIONS);
    buf_init(&rows->writes, MEM_SESSIONS);
    descriptions_take(rows, txn);
    err = fill(rows);
    if (err == ERR_OK) {
        *rows_out = rows;
    } else {
        feed_rows_close(&rows);
        err = err_set(err, "%s", err_message(err));
    }
    return err;
}

YIELDS void
feed_rows_close(struct feed_rows **pointer)
{
    struct feed_rows *rows = *pointer;

    *pointer = NULL;
    if (rows == NULL) {
        return;
    }
    if (rows->source != NULL) {
        msg_call(rows->shard, MSG_FIBER, close_run, rows);
    }
    mem_free(MEM_SESSIONS, rows->descriptions, rows->count * sizeof(rows->descriptions[0]));
    buf_fini(&rows->batch);
    buf_fini(&rows->writes);
    MEM_FREE(MEM_SESSIONS, rows);
}
