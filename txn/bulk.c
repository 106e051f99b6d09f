/* txn/bulk.c - see bulk.h. Rows gather as a list of
 *     struct bulk_row | key | value
 * for each shard, and are handed over in groups, so that a row costs no message of its own. */
#include "txn/bulk.h"

#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/base/sometimes.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "txn/commits.h"
#include "txn/slots.h"
#include "txn/spill.h"

#include "engine/base/poison.h"

#define BULK_MAGIC UINT64_C(0x6f726269742d626c)

struct bulk_row {
    uint64_t value_size;
    uint64_t expire_us;
    uint32_t key_size;
    uint16_t slot;
};

/* What there is for one shard. */
struct bulk_shard {
    struct buf rows;     /* Gathered; the home shard's memory. */
    struct spill *spill; /* That shard's; NULL: it has no rows yet, or its part has it. */
    bool is_last;        /* In: no more rows follow. */
    err_t err;
    char text[ERR_MESSAGE_BYTES_MAX];
};

struct txn_bulk {
    uint64_t magic;
    size_t gathered;        /* Bytes of rows, for all shards. */
    struct buf last;        /* The key before. */
    bool is_over;           /* Committed or failed. */
    struct bulk_shard at[]; /* [shard_count()] */
};

static size_t
bulk_bytes(void)
{
    return sizeof(struct txn_bulk) + shard_count() * sizeof(struct bulk_shard);
}

struct txn_bulk *
txn_bulk_new(void)
{
    struct txn_bulk *bulk = mem_zalloc(MEM_SESSIONS, bulk_bytes());

    bulk->magic = BULK_MAGIC;
    buf_init(&bulk->last, MEM_SESSIONS);
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_init(&bulk->at[i].rows, MEM_SESSIONS);
    }
    return bulk;
}

/* ---- On each shard. ---- */

static YIELDS err_t
rows_add(struct bulk_shard *shard)
{
    const uint8_t *at = shard->rows.data;
    const uint8_t *end = at + shard->rows.size;
    err_t err = ERR_OK;

    if (at < end && shard->spill == NULL) {
        shard->spill = spill_load_new(store_lsm(txns_self()->store));
    }
    while (at < end) {
        struct lsm_entry entry = {.kind = LSM_PUT};
        struct bulk_row row;

        memcpy(&row, at, sizeof(row));
        at += sizeof(row);
        entry.key = slice_of(at, row.key_size);
        entry.value = slice_of(at + row.key_size, (size_t)row.value_size);
        entry.expire_us = row.expire_us;
        entry.slot = row.slot;
        at += row.key_size + row.value_size;
        TRY(spill_load_add(shard->spill, &entry));
    }
    if (shard->is_last && shard->spill != NULL) {
        err = spill_load_end(shard->spill);
    }
out:
    return err;
}

static YIELDS void
rows_run(void *arg)
{
    struct bulk_shard *shard = arg;

    shard->err = txns_self() == NULL
                     ? err_set(ERR_SHUTDOWN, "shard %u is shutting down", shard_id())
                     : rows_add(shard);
    if (shard->err != ERR_OK) {
        snprintf(shard->text, sizeof(shard->text), "%s", err_message(shard->err));
    }
}

static YIELDS void
free_run(void *arg)
{
    struct bulk_shard *shard = arg;

    spill_free(&shard->spill);
}

/* The part has the rows from now on, locked as one range: who reads or writes there waits for what
 * becomes of them. Their slots are looked at, whenever the transaction began. */
static YIELDS err_t
attach_run(struct part *part, void *arg)
{
    struct bulk_shard *shard = arg;
    struct slice low = buf_slice(&shard->spill->low);
    struct slice high = buf_slice(&shard->spill->high);
    uint8_t *end = mem_alloc(MEM_SESSIONS, high.size + 1);
    err_t err;

    memcpy(end, high.data, high.size);
    end[high.size] = 0;
    part_hold(part);
    TRY(lock_range(txns_self()->locks, &part->locks, low, slice_of(end, high.size + 1), LOCK_UPDATE,
                   LOCK_WAIT, part_lock_deadline(part)));
    overlay_load(&part->writes, &shard->spill);
    part->locked = overlay_mark(&part->writes);
    part->epoch = UINT64_MAX;
    err = part->writes.batch.error;
out:
    mem_free(MEM_SESSIONS, end, high.size + 1);
    return err;
}

/* ---- At home. ---- */

static YIELDS err_t
rows_send(struct txn_bulk *bulk, bool is_last)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        bulk->at[i].is_last = is_last;
    }
    msg_call_all(MSG_FIBER, rows_run, bulk->at, sizeof(bulk->at[0]));
    bulk->gathered = 0;
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_clear(&bulk->at[i].rows);
        if (bulk->at[i].err != ERR_OK && err == ERR_OK) {
            err = err_set(bulk->at[i].err, "%s", bulk->at[i].text);
        }
    }
    bulk->is_over = bulk->is_over || err != ERR_OK;
    return err;
}

static err_t
over_check(const struct txn_bulk *bulk)
{
    OBJ_CHECK(bulk, BULK_MAGIC);
    return bulk->is_over ? err_set(ERR_INVALID, "the ingest is over: it was committed or failed")
                         : ERR_OK;
}

err_t
txn_bulk_add(struct txn_bulk *bulk, uint16_t slot, struct slice key, struct slice value,
             uint64_t expire_us)
{
    struct bulk_row row = {.value_size = value.size,
                           .expire_us = expire_us,
                           .key_size = (uint32_t)key.size,
                           .slot = slot};
    struct buf *rows;
    err_t err;

    TRY(over_check(bulk));
    if (bulk->last.size > 0 && slice_compare(key, buf_slice(&bulk->last)) <= 0) {
        bulk->is_over = true;
        return err_set(ERR_INVALID, "the keys of an ingest must rise");
    }
    buf_clear(&bulk->last);
    buf_append(&bulk->last, key.data, key.size);
    rows = &bulk->at[txn_shard_of_slot(slot)].rows;
    buf_append(rows, &row, sizeof(row));
    buf_append(rows, key.data, key.size);
    buf_append(rows, value.data, value.size);
    bulk->gathered += sizeof(row) + key.size + value.size;
    err = bulk->gathered >= BULK_GROUP_BYTES ? rows_send(bulk, false) : ERR_OK;
out:
    return err;
}

/* One shard after the other, so that two loads do not wait for each other. */
static YIELDS err_t
attach_all(struct txn_bulk *bulk, struct txn *txn)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < shard_count(); i++) {
        if (bulk->at[i].spill == NULL) {
            continue;
        }
        TRY(txn_call(txn, i, attach_run, &bulk->at[i]));
        if (i != shard_id()) {
            SOMETIMES("txn: rows of a bulk load lie on another shard than its home");
        }
    }
out:
    return err;
}

err_t
txn_bulk_commit(struct txn_bulk *bulk, const struct txn_options *options, struct txn_done *done_out)
{
    struct txn_options own = *options;
    struct txn *txn = NULL;
    err_t err;

    TRY(over_check(bulk));
    TRY(rows_send(bulk, true));
    bulk->is_over = true;
    own.isolation = TXN_READ_COMMITTED; /* It reads nothing, and waits where others are refused. */
    own.read_only = false;
    own.as_of = 0;
    TRY(txn_begin(&own, &txn));
    TRY(txn_statement(txn, false));
    TRY(attach_all(bulk, txn));
    err = txn_commit(&txn, done_out);
out:
    txn_abort(&txn);
    return err;
}

void
txn_bulk_free(struct txn_bulk **pointer)
{
    struct txn_bulk *bulk = *pointer;

    if (bulk == NULL) {
        return;
    }
    OBJ_CHECK(bulk, BULK_MAGIC);
    msg_call_all(MSG_FIBER, free_run, bulk->at, sizeof(bulk->at[0]));
    for (uint32_t i = 0; i < shard_count(); i++) {
        buf_fini(&bulk->at[i].rows);
    }
    buf_fini(&bulk->last);
    bulk->magic = 0;
    mem_free(MEM_SESSIONS, bulk, bulk_bytes());
    *pointer = NULL;
}
