/* tests/fuzz/fuzz_wal.c - batches of the log and the commit records in them.
 *
 * The first byte chooses: 0 a batch at position 0 as it is; 1 the same with a checksum made to
 * fit, so that what lies behind it is reached; 2 a commit record. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "txn/record.h"
#include "wal/format.h"

enum { LOG_ID = 1, INPUT_BYTES_MAX = 1 << 20 };

static void
records_check(struct slice payload)
{
    struct slice record;
    size_t offset = 0;

    while (wal_record_next(payload, &offset, &record)) {
        (void)record_check(record);
    }
}

static void
batch_check(const uint8_t *data, size_t size)
{
    uint64_t disk_bytes = 0;

    if (wal_batch_check(slice_of(data, size), LOG_ID, 0, &disk_bytes) == ERR_OK) {
        if (disk_bytes > size || disk_bytes % WAL_BLOCK_BYTES != 0) {
            abort();
        }
        records_check(slice_of(data + WAL_HEADER_BYTES, get_le32(data + 80)));
    }
}

/* Seals what the input gives as header fields and payload; the result must be judged without
 * harm, and be valid if its records fit. */
static void
sealed_check(const uint8_t *data, size_t size)
{
    struct wal_header header = {.log_id = LOG_ID, .payload_bytes = (uint32_t)size};
    uint64_t disk_bytes = wal_batch_disk_bytes(size);
    uint8_t *batch = malloc(disk_bytes);

    if (batch == NULL) {
        return;
    }
    memcpy(batch + WAL_HEADER_BYTES, data, size);
    header.records = size > 0 ? data[0] : 0;
    wal_batch_seal(batch, &header);
    batch_check(batch, disk_bytes);
    free(batch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > INPUT_BYTES_MAX) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        batch_check(data + 1, size - 1);
        break;
    case 1:
        sealed_check(data + 1, size - 1);
        break;
    default:
        (void)record_check(slice_of(data + 1, size - 1));
    }
    return 0;
}
