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
    PAYLOAD_VERSION_TIMES = 12, /* With types from PAYLOAD_TYPE_TIMES on: Redis 7.4 and later. */
    PAYLOAD_TYPE_TIMES = 22,
    PAYLOAD_VERSION_MAX = 12, /* What RESTORE reads. */
    PAYLOAD_FOOTER_BYTES = 10,
    PAYLOAD_OVERHEAD_MAX = 1 + 9 + PAYLOAD_FOOTER_BYTES,
};

/* Version and checksum fit? Otherwise ERR_INVALID. Gives way while it computes. */
YIELDS err_t payload_check(struct slice payload);

/* ---- Reading what is in a payload that payload_check has passed. ---- */

struct payload_reader {
    struct slice left;
    uint64_t bytes_max; /* Of a string. */
    struct arena *arena;
};
/* Behind the type byte, which is *type_out. ERR_CORRUPT. */
err_t payload_open(struct slice payload, uint64_t bytes_max, struct arena *arena,
                   struct payload_reader *reader_out, uint8_t *type_out);
/* ERR_CORRUPT when the value is malformed. Strings are borrowed from the payload, or in the arena;
 * ERR_LIMIT for one above bytes_max, ERR_NO_MEMORY. */
err_t payload_read_length(struct payload_reader *reader, uint64_t *length_out);
err_t payload_read_bytes(struct payload_reader *reader, size_t size, struct slice *bytes_out);
YIELDS err_t payload_read_text(struct payload_reader *reader, struct slice *string_out);
/* Nothing may be left. ERR_CORRUPT. */
err_t payload_end(const struct payload_reader *reader);
/* ERR_CORRUPT, with Redis's text. */
err_t payload_malformed(void);
/* What a type byte of RDB version 12 or earlier stands for ("list"); NULL if nothing. */
const char *payload_type_name(uint8_t type);

/* All of the above for a string. ERR_UNSUPPORTED for another type (the message names it). */
YIELDS err_t payload_read_string(struct slice payload, uint64_t bytes_max, struct arena *arena,
                                 struct slice *string_out);

/* ---- Writing ---- */

void payload_append_length(struct buf *out, uint64_t length);
/* As a length and bytes, or an integer's special form. ERR_NO_MEMORY. */
err_t payload_append_text(struct buf *out, struct slice string);
/* The footer behind type and value, which begin at `start` of out. */
YIELDS void payload_finish(struct buf *out, size_t start);

/* Write the footer behind type and value; there is room for PAYLOAD_FOOTER_BYTES. */
YIELDS void payload_seal(uint8_t *payload, size_t size, uint16_t version);

/* Append the payload of a string. ERR_NO_MEMORY. */
YIELDS err_t payload_write_string(struct buf *out, struct slice string);
