/* txn/batch.c - building a batch: it is its own log record from the first write on. */
#include "engine/base/assert.h"
#include "engine/base/crc16.h"
#include "engine/rt/shard.h"
#include "txn/record.h"
#include "txn/store.h"

#include "engine/base/poison.h"

enum { LARGE_MIN = 4 };

void
store_batch_init(struct store_batch *batch)
{
    *batch = (struct store_batch){.bytes_max = STORE_BATCH_BYTES_MAX, .large_max = STORE_LARGE_MAX};
    buf_init(&batch->record, MEM_SESSIONS);
}

void
store_batch_clear(struct store_batch *batch)
{
    buf_clear(&batch->record);
    batch->ops = 0;
    batch->large_count = 0;
    batch->ingest = NULL;
    batch->error = ERR_OK;
}

void
store_batch_fini(struct store_batch *batch)
{
    buf_fini(&batch->record);
    mem_free(MEM_SESSIONS, batch->large, batch->large_capacity * sizeof(*batch->large));
    batch->large = NULL;
}

void
store_batch_origin(struct store_batch *batch, struct slice principal, struct slice protocol,
                   struct slice tag)
{
    ASSERT(batch->ops == 0);
    if (principal.size + protocol.size + tag.size > STORE_ORIGIN_BYTES_MAX) {
        batch->error =
            err_set(ERR_LIMIT, "the origin of a batch exceeds %d bytes", STORE_ORIGIN_BYTES_MAX);
        return;
    }
    buf_clear(&batch->record);
    record_begin(&batch->record, principal, protocol, tag);
}

/* Room for a write with `bytes` of strings? Begins the record with the first one. */
static bool
batch_takes(struct store_batch *batch, size_t bytes)
{
    static const struct slice none;

    if (batch->error != ERR_OK) {
        return false;
    }
    if (bytes > batch->bytes_max ||
        batch->record.size + bytes + VARINT_BYTES_MAX * 4 > batch->bytes_max) {
        batch->error = err_set(ERR_LIMIT, "a batch exceeds %zu bytes", batch->bytes_max);
        return false;
    }
    if (batch->record.size > (size_t)STORE_BATCH_BYTES_MAX &&
        !buf_try_reserve(&batch->record, bytes + VARINT_BYTES_MAX * 4)) {
        batch->error = err_set(ERR_NO_MEMORY, "no memory for the writes of a command or statement");
        return false;
    }
    if (batch->record.size == 0) {
        record_begin(&batch->record, none, none, none);
    }
    return true;
}

static bool
batch_takes_key(struct store_batch *batch, uint16_t slot, struct slice key, size_t more)
{
    if (batch->error == ERR_OK && key.size == 0) {
        batch->error = err_set(ERR_INVALID, "a stored key is empty");
    } else if (batch->error == ERR_OK && key.size > LSM_KEY_BYTES_MAX) {
        batch->error = err_set(ERR_LIMIT, "a stored key has %zu bytes; at most %d are possible",
                               key.size, LSM_KEY_BYTES_MAX);
    }
    ASSERT(slot < SLOT_COUNT + SHARDS_MAX);
    return batch_takes(batch, key.size + more);
}

static bool
large_reserve(struct store_batch *batch)
{
    uint32_t capacity =
        batch->large_capacity == 0 ? (uint32_t)LARGE_MIN : batch->large_capacity * 2;

    if (batch->large_count == batch->large_max) {
        batch->error =
            err_set(ERR_LIMIT, "a batch has more than %u large values", batch->large_max);
        return false;
    }
    if (batch->large_count == batch->large_capacity) {
        batch->large =
            mem_realloc(MEM_SESSIONS, batch->large, batch->large_capacity * sizeof(*batch->large),
                        capacity * sizeof(*batch->large));
        batch->large_capacity = capacity;
    }
    return true;
}

void
store_batch_put(struct store_batch *batch, uint16_t slot, struct slice key, struct slice value,
                uint64_t expire_us)
{
    if (value.size <= LSM_VALUE_INLINE_BYTES_MAX) {
        if (batch_takes_key(batch, slot, key, value.size)) {
            record_append_put(&batch->record, slot, key, value, expire_us);
            batch->ops++;
        }
    } else if (batch_takes_key(batch, slot, key, VLOG_POINTER_BYTES) && large_reserve(batch)) {
        struct store_large *large = &batch->large[batch->large_count++];

        large->value = value;
        large->pointer_offset = record_append_put_large(&batch->record, slot, key, expire_us);
        batch->ops++;
    }
}

void
store_batch_delete(struct store_batch *batch, uint16_t slot, struct slice key)
{
    if (batch_takes_key(batch, slot, key, 0)) {
        record_append_delete(&batch->record, slot, key);
        batch->ops++;
    }
}

void
store_batch_ingest(struct store_batch *batch, struct lsm_ingest *ingest)
{
    struct buf description;

    ASSERT(batch->ingest == NULL);
    batch->ingest = ingest;
    buf_init(&description, MEM_SESSIONS);
    for (uint32_t i = 0; i < lsm_ingest_table_count(ingest); i++) {
        buf_clear(&description);
        lsm_ingest_describe(ingest, i, &description);
        if (batch_takes(batch, description.size)) {
            record_append_ingest(&batch->record, buf_slice(&description));
            batch->ops++;
        }
    }
    buf_fini(&description);
}

void
store_batch_delete_range(struct store_batch *batch, struct slice start, struct slice end)
{
    if (batch->error == ERR_OK &&
        (start.size > LSM_KEY_BYTES_MAX || end.size == 0 || end.size > LSM_KEY_BYTES_MAX)) {
        batch->error = err_set(ERR_LIMIT, "impossible bounds of a range delete");
    }
    if (slice_compare(start, end) < 0 && batch_takes(batch, start.size + end.size)) {
        record_append_delete_range(&batch->record, start, end);
        batch->ops++;
    }
}

void
store_batch_counter_add(struct store_batch *batch, uint32_t counter, int64_t delta)
{
    ASSERT(counter < STORE_COUNTERS_MAX);
    if (batch_takes(batch, sizeof(delta))) {
        record_append_counter(&batch->record, counter, delta);
        batch->ops++;
    }
}
