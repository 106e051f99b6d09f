/* txn/api_ingest.c - bulk ingest of the C API.
 *
 * Rows gather outside of the shard, as a list of
 *     struct ingest_row | key | value
 * and are handed over in groups, so that a row costs no call of its own. */
#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "txn/api.h"
#include "txn/bulk.h"

#include "engine/base/poison.h"

#define INGEST_MAGIC UINT64_C(0x6f72626974696e67)

enum { GROUP_BYTES = 256 << 10, ROW_KEY_BYTES_MAX = API_KEY_PREFIX_BYTES + ORBIT_KEY_BYTES_MAX };

struct ingest_row {
    uint64_t value_size;
    uint64_t expire_us;
    uint32_t key_size; /* Of the stored key. */
    uint16_t slot;
};

struct orbit_ingest {
    uint64_t magic;
    struct orbit *db;
    struct txn_bulk *bulk; /* Of shard 0. */
    struct buf rows;
    bool is_over; /* Committed or failed. */
};

static YIELDS err_t
new_run(void *arg)
{
    struct orbit_ingest *ingest = arg;

    ingest->bulk = txn_bulk_new();
    return ERR_OK;
}

static YIELDS err_t
free_run(void *arg)
{
    struct orbit_ingest *ingest = arg;

    txn_bulk_free(&ingest->bulk);
    return ERR_OK;
}

static YIELDS err_t
rows_run(void *arg)
{
    struct orbit_ingest *ingest = arg;
    const uint8_t *at = ingest->rows.data;
    const uint8_t *end = at + ingest->rows.size;
    err_t err = ERR_OK;

    while (at < end) {
        struct ingest_row row;
        struct slice key, value;

        memcpy(&row, at, sizeof(row));
        at += sizeof(row);
        key = slice_of(at, row.key_size);
        value = slice_of(at + row.key_size, (size_t)row.value_size);
        at += row.key_size + row.value_size;
        TRY(txn_bulk_add(ingest->bulk, row.slot, key, value, row.expire_us));
    }
out:
    return err;
}

static YIELDS err_t
commit_run(void *arg)
{
    struct orbit_ingest *ingest = arg;
    struct txn_options options = {.protocol = slice_from_text("c")};
    struct txn_done done = {0};
    err_t err;

    if (ingest->db->mode == ORBIT_INLINE) {
        options.lock_timeout_us = UINT64_C(1000) * API_INLINE_LOCK_TIMEOUT_MS;
    }
    TRY(rows_run(arg));
    TRY(txn_bulk_commit(ingest->bulk, &options, &done));
    api_wait(done.lsn);
out:
    return err;
}

static err_t
over_check(const struct orbit_ingest *ingest)
{
    return ingest->is_over ? err_set(ERR_INVALID, "the ingest is over: it was committed or failed")
                           : ERR_OK;
}

int
orbit_ingest_new(struct orbit *db, struct orbit_ingest **ingest_out)
{
    struct orbit_ingest *ingest = NULL;
    err_t err;

    TRY(api_caller_check(db));
    ingest = MEM_NEW(MEM_SESSIONS, struct orbit_ingest);
    ingest->magic = INGEST_MAGIC;
    ingest->db = db;
    buf_init(&ingest->rows, MEM_SESSIONS);
    TRY(api_call(db, 0, new_run, ingest));
    *ingest_out = ingest;
    ingest = NULL;
out:
    if (ingest != NULL) {
        MEM_FREE(MEM_SESSIONS, ingest);
    }
    return api_result(err);
}

void
orbit_ingest_free(struct orbit_ingest **pointer)
{
    struct orbit_ingest *ingest = *pointer;

    if (ingest == NULL) {
        return;
    }
    OBJ_CHECK(ingest, INGEST_MAGIC);
    (void)api_call(ingest->db, 0, free_run, ingest);
    buf_fini(&ingest->rows);
    ingest->magic = 0;
    MEM_FREE(MEM_SESSIONS, ingest);
    *pointer = NULL;
}

static void
row_append(struct orbit_ingest *ingest, struct slice key, struct slice value, uint64_t expire_us)
{
    struct ingest_row row = {.value_size = value.size,
                             .expire_us = expire_us,
                             .key_size = (uint32_t)key.size + API_KEY_PREFIX_BYTES,
                             .slot = slot_of_key(key)};
    size_t bytes = sizeof(row) + row.key_size + value.size;
    uint8_t *at = buf_reserve(&ingest->rows, bytes);

    memcpy(at, &row, sizeof(row));
    api_key_write(at + sizeof(row), API_KEYSPACE, key);
    if (value.size > 0) {
        memcpy(at + sizeof(row) + row.key_size, value.data, value.size);
    }
    ingest->rows.size += bytes;
}

int
orbit_ingest_put(struct orbit_ingest *ingest, const void *key, size_t key_size, const void *value,
                 size_t value_size, uint64_t expire_ms)
{
    struct mem_account *account;
    err_t err;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    TRY(over_check(ingest));
    TRY(api_put_check(key, key_size, value, value_size, expire_ms));
    account = api_outside_enter();
    row_append(ingest, slice_of(key, key_size), slice_of(value, value_size), expire_ms * 1000);
    api_outside_leave(account);
    if (ingest->rows.size >= GROUP_BYTES) {
        err = api_call(ingest->db, 0, rows_run, ingest);
        ingest->is_over = err != ERR_OK;
        buf_clear(&ingest->rows);
    }
out:
    return api_result(err);
}

int
orbit_ingest_commit(struct orbit_ingest *ingest)
{
    err_t err;

    OBJ_CHECK(ingest, INGEST_MAGIC);
    TRY(over_check(ingest));
    ingest->is_over = true;
    err = api_call(ingest->db, 0, commit_run, ingest);
    buf_clear(&ingest->rows);
out:
    return api_result(err);
}
