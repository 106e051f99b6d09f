/* lsm/vlog.h - value logs: values above LSM_VALUE_INLINE_BYTES_MAX, written once, durably before
 * the log record that points to them. Bytes: docs/formats.md.
 *
 * A value log file holds values of one shard in arrival order; it is closed at
 * VLOG_FILE_BYTES_TARGET. Tables and memtables refer to values by pointer; a file none refers to
 * is removed. */
#pragma once

#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/rt/fiber.h"

enum { VLOG_FILE_BYTES_TARGET = 256 << 20, VLOG_POINTER_BYTES = 32 };
#define VLOG_VALUE_BYTES_MAX ((uint64_t)1 << 30)

struct vlog;

/* What stands in place of the value: 32 bytes, little-endian. */
struct vlog_pointer {
    uint64_t file_number;
    uint64_t offset;   /* Of the value's header; multiple of 4 KiB. */
    uint64_t bytes;    /* Of the value. */
    uint64_t checksum; /* XXH3-64 of the value, seeded with file number and offset. */
};
void vlog_pointer_encode(const struct vlog_pointer *pointer, uint8_t out[VLOG_POINTER_BYTES]);
/* ERR_CORRUPT on impossible fields. */
err_t vlog_pointer_decode(struct slice bytes, struct vlog_pointer *pointer_out);

/* next_file_number gives file numbers unique in the shard's folder. */
YIELDS err_t vlog_open(const char *dir, uint64_t (*next_file_number)(void *arg), void *arg,
                       struct vlog **vlog_out);
YIELDS void vlog_close(struct vlog **vlog);

/* Write the value; durable on return. Several fibers may append at once. ERR_LIMIT above
 * VLOG_VALUE_BYTES_MAX, ERR_NO_SPACE (nothing is kept), ERR_IO. The file stays (is held) until
 * vlog_release_hold, which the caller calls when a memtable refers to it. */
YIELDS err_t vlog_append(struct vlog *vlog, struct slice value, struct vlog_pointer *pointer_out);
void vlog_release_hold(struct vlog *vlog, const struct vlog_pointer *pointer);
/* The value, into the arena. ERR_CORRUPT when the bytes are not those the pointer names. */
YIELDS err_t vlog_read(struct vlog *vlog, const struct vlog_pointer *pointer, struct arena *arena,
                       struct slice *value_out);

/* Reference counts by file, held for memtables and tables (the caller counts one for each). */
void vlog_ref(struct vlog *vlog, uint64_t file_number);
void vlog_unref(struct vlog *vlog, uint64_t file_number);
/* After recovery, when all references are known: remove files that nobody refers to. */
YIELDS err_t vlog_collect(struct vlog *vlog);
