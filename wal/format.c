/* wal/format.c - the bytes of a batch. The table is in docs/format/wal.md. */
#include "wal/format.h"

#include <stdio.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"

#include "engine/base/poison.h"

static const uint8_t wal_magic[8] = {'O', 'R', 'B', 'W', 'A', 'L', '\r', '\n'};

enum {
    AT_CHECKSUM = 8,
    AT_VERSION = 16, /* The checksum covers from here on. */
    AT_HEADER_BYTES = 18,
    AT_FLAGS = 20,
    AT_LOG_ID = 24,
    AT_POSITION = 32,
    AT_PREVIOUS = 40,
    AT_DURABLE = 48,
    AT_CEILING = 56,
    AT_CLOSED = 64,
    AT_LIFE = 72,
    AT_PAYLOAD_BYTES = 80,
    AT_RECORDS = 84,
    AT_TERM = 88,
};

/* Ties the bytes to their place: the same batch elsewhere has another checksum. */
static uint64_t
batch_seed(uint64_t log_id, uint64_t position)
{
    return log_id ^ (position * UINT64_C(0x9e3779b97f4a7c15));
}

static uint64_t
batch_checksum(const uint8_t *batch, uint64_t log_id, uint64_t position, uint32_t payload_bytes)
{
    return XXH3_64bits_withSeed(batch + AT_VERSION, WAL_HEADER_BYTES - AT_VERSION + payload_bytes,
                                batch_seed(log_id, position));
}

uint64_t
wal_batch_disk_bytes(uint64_t payload_bytes)
{
    return align_up(WAL_HEADER_BYTES + payload_bytes, WAL_BLOCK_BYTES);
}

uint64_t
wal_batch_seal(uint8_t *batch, const struct wal_header *header)
{
    size_t used = WAL_HEADER_BYTES + (size_t)header->payload_bytes;
    uint64_t checksum;

    ASSERT(used <= WAL_BATCH_BYTES_MAX);
    memcpy(batch, wal_magic, sizeof(wal_magic));
    put_le16(batch + AT_VERSION, WAL_VERSION);
    put_le16(batch + AT_HEADER_BYTES, WAL_HEADER_BYTES);
    put_le32(batch + AT_FLAGS, header->flags);
    put_le64(batch + AT_LOG_ID, header->log_id);
    put_le64(batch + AT_POSITION, header->position);
    put_le64(batch + AT_PREVIOUS, header->previous);
    put_le64(batch + AT_DURABLE, header->durable);
    put_le64(batch + AT_CEILING, header->ceiling);
    put_le64(batch + AT_CLOSED, header->closed);
    put_le64(batch + AT_LIFE, header->life);
    put_le32(batch + AT_PAYLOAD_BYTES, header->payload_bytes);
    put_le32(batch + AT_RECORDS, header->records);
    memset(batch + AT_TERM, 0, WAL_HEADER_BYTES - AT_TERM);
    checksum = batch_checksum(batch, header->log_id, header->position, header->payload_bytes);
    put_le64(batch + AT_CHECKSUM, checksum);
    memset(batch + used, 0, wal_batch_disk_bytes(header->payload_bytes) - used);
    return checksum;
}

bool
wal_header_decode_any(const uint8_t *block, uint64_t log_id, struct wal_header *header_out)
{
    if (memcmp(block, wal_magic, sizeof(wal_magic)) != 0 || get_le64(block + AT_LOG_ID) != log_id ||
        get_le32(block + AT_PAYLOAD_BYTES) > WAL_BATCH_BYTES_MAX - WAL_HEADER_BYTES) {
        return false;
    }
    *header_out = (struct wal_header){
        .checksum = get_le64(block + AT_CHECKSUM),
        .flags = get_le32(block + AT_FLAGS),
        .log_id = log_id,
        .position = get_le64(block + AT_POSITION),
        .previous = get_le64(block + AT_PREVIOUS),
        .durable = get_le64(block + AT_DURABLE),
        .ceiling = get_le64(block + AT_CEILING),
        .closed = get_le64(block + AT_CLOSED),
        .life = get_le64(block + AT_LIFE),
        .payload_bytes = get_le32(block + AT_PAYLOAD_BYTES),
        .records = get_le32(block + AT_RECORDS),
    };
    return true;
}

bool
wal_header_decode(const uint8_t *block, uint64_t log_id, uint64_t position,
                  struct wal_header *header_out)
{
    struct wal_header header;

    if (!wal_header_decode_any(block, log_id, &header) || header.position != position) {
        return false;
    }
    *header_out = header;
    return true;
}

bool
wal_header_log_id(const uint8_t *block, uint64_t *log_id_out)
{
    if (memcmp(block, wal_magic, sizeof(wal_magic)) != 0) {
        return false;
    }
    *log_id_out = get_le64(block + AT_LOG_ID);
    return true;
}

bool
wal_record_next(struct slice payload, size_t *offset, struct slice *record_out)
{
    size_t left = payload.size - *offset;
    uint32_t size;

    if (left < WAL_RECORD_PREFIX_BYTES) {
        return false;
    }
    size = get_le32(payload.data + *offset);
    if (size == 0 || size > left - WAL_RECORD_PREFIX_BYTES) {
        return false;
    }
    *record_out = slice_of(payload.data + *offset + WAL_RECORD_PREFIX_BYTES, size);
    *offset += WAL_RECORD_PREFIX_BYTES + size;
    return true;
}

/* The records must fill the payload exactly and be as many as the header says. */
static err_t
records_verify(struct slice payload, const struct wal_header *header)
{
    struct slice record;
    size_t offset = 0;
    uint32_t records = 0;

    while (wal_record_next(payload, &offset, &record)) {
        records++;
    }
    if (offset != payload.size || records != header->records) {
        return err_set(ERR_CORRUPT, "records of the log batch at position %llu do not fit it",
                       (unsigned long long)header->position);
    }
    return ERR_OK;
}

err_t
wal_batch_verify(struct slice bytes, const struct wal_header *header)
{
    unsigned long long position = header->position;

    ASSERT(bytes.size >= WAL_HEADER_BYTES + (size_t)header->payload_bytes);
    if (!CANARY(WAL_CHECKSUM_IGNORED) &&
        batch_checksum(bytes.data, header->log_id, header->position, header->payload_bytes) !=
            header->checksum) {
        return err_set(ERR_CORRUPT, "checksum of the log batch at position %llu is wrong",
                       position);
    }
    if (get_le16(bytes.data + AT_VERSION) != WAL_VERSION) {
        char what[64];

        snprintf(what, sizeof(what), "log batch at position %llu", position);
        return err_format(what, get_le16(bytes.data + AT_VERSION), WAL_VERSION);
    }
    if (get_le16(bytes.data + AT_HEADER_BYTES) != WAL_HEADER_BYTES ||
        header->durable > header->position) {
        return err_set(ERR_CORRUPT, "header of the log batch at position %llu is impossible",
                       position);
    }
    return records_verify(slice_of(bytes.data + WAL_HEADER_BYTES, header->payload_bytes), header);
}

err_t
wal_batch_check(struct slice bytes, uint64_t log_id, uint64_t position, uint64_t *batch_bytes_out)
{
    struct wal_header header;
    uint64_t disk_bytes;
    err_t err;

    if (bytes.size < WAL_HEADER_BYTES ||
        !wal_header_decode(bytes.data, log_id, position, &header)) {
        return err_set(ERR_CORRUPT, "no log batch of position %llu", (unsigned long long)position);
    }
    disk_bytes = wal_batch_disk_bytes(header.payload_bytes);
    if (disk_bytes > bytes.size) {
        return err_set(ERR_CORRUPT, "log batch at position %llu ends early",
                       (unsigned long long)position);
    }
    err = wal_batch_verify(bytes, &header);
    if (err == ERR_OK) {
        *batch_bytes_out = disk_bytes;
    }
    return err;
}
