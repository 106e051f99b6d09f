/* models/kv/payload.h - the payloads of DUMP and RESTORE: one value as Redis's RDB files hold it.
 *
 *     type (1) | value | RDB version (2) | CRC-64 of all before (8)
 *
 * The two numbers at the end are little-endian. A string is a length and its bytes, or one of the
 * special forms: an integer of 1, 2 or 4 bytes, or LZF-compressed bytes. */
#pragma once

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"
#include "engine/rt/fiber.h"

enum {
    /* What DUMP writes: Redis 7.0 and later read it. Strings are the same in version 11. */
    PAYLOAD_VERSION = 10,
    PAYLOAD_VERSION_MAX = 11, /* What RESTORE reads. */
    PAYLOAD_FOOTER_BYTES = 10,
    PAYLOAD_OVERHEAD_MAX = 1 + 9 + PAYLOAD_FOOTER_BYTES,
};

/* Version and checksum fit? Otherwise ERR_INVALID. Gives way while it computes. */
YIELDS err_t payload_check(struct slice payload);

/* The string in a payload that payload_check has passed: borrowed from it, or in the arena.
 * Errors: ERR_CORRUPT when the value is malformed, ERR_UNSUPPORTED for another type (the message
 * names it), ERR_LIMIT for a string above bytes_max, ERR_NO_MEMORY. */
YIELDS err_t payload_read_string(struct slice payload, uint64_t bytes_max, struct arena *arena,
                                 struct slice *string_out);

/* Write the footer behind type and value; there is room for PAYLOAD_FOOTER_BYTES. */
YIELDS void payload_seal(uint8_t *payload, size_t size, uint16_t version);

/* Append the payload of a string. ERR_NO_MEMORY. */
YIELDS err_t payload_write_string(struct buf *out, struct slice string);
