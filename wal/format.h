/* wal/format.h - the bytes of a batch: encoding and check, without I/O. docs/format/wal.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/slice.h"
#include "wal/wal.h"

enum {
    WAL_BLOCK_BYTES = 4096,
    WAL_HEADER_BYTES = 128,
    WAL_RECORD_PREFIX_BYTES = 4,
    WAL_VERSION = 1,
    /* The largest record in a batch of its own. */
    WAL_BATCH_BYTES_MAX = WAL_RECORD_BYTES_MAX + WAL_BLOCK_BYTES,
};

enum wal_batch_flags {
    WAL_BATCH_LIFE_START = 1 << 0,
    WAL_BATCH_CLEAN = 1 << 1,
};

struct wal_header {
    uint64_t checksum; /* Set by wal_header_decode and returned by wal_batch_seal. */
    uint32_t flags;
    uint64_t log_id;
    uint64_t position;
    uint64_t previous;
    uint64_t durable;
    uint64_t ceiling;
    uint64_t closed;
    uint64_t life;
    uint32_t payload_bytes;
    uint32_t records;
};

/* Bytes on disk of a batch with that payload. */
uint64_t wal_batch_disk_bytes(uint64_t payload_bytes);

/* Write the header in front of the payload that stands at batch + WAL_HEADER_BYTES, and zeros
 * behind it up to the block's end. Returns the checksum. */
uint64_t wal_batch_seal(uint8_t *batch, const struct wal_header *header);

/* Could a batch of this log and place begin here? Looks at fixed fields only; false means
 * certainly not. `block` has WAL_HEADER_BYTES. Fills header_out when true; nothing in it has been
 * verified but magic, log id, position and a possible payload length. */
bool wal_header_decode(const uint8_t *block, uint64_t log_id, uint64_t position,
                       struct wal_header *header_out);

/* The same for a batch that says itself where it belongs: one that the disk may have put into the
 * wrong place. */
bool wal_header_decode_any(const uint8_t *block, uint64_t log_id, struct wal_header *header_out);

/* The id that a batch at this position claims to belong to, whatever log it is; false without
 * the magic number. */
bool wal_header_log_id(const uint8_t *block, uint64_t *log_id_out);

/* The whole check of a batch whose header was decoded; bytes begins at the batch and holds at least
 * header and payload. ERR_CORRUPT, ERR_FORMAT as wal_batch_check. */
err_t wal_batch_verify(struct slice bytes, const struct wal_header *header);

/* Walk the records of a verified payload: *offset starts at 0 and is moved behind the record.
 * False at the end, or where the bytes are no record (then *offset is not payload.size). */
bool wal_record_next(struct slice payload, size_t *offset, struct slice *record_out);
