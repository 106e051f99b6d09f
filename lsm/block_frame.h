/* lsm/block_frame.h - how a block or a section of a table lies on disk: header, checksum, and the
 * bytes, compressed with lz4 when that saves an eighth.
 *
 * The checksum is seeded with the table's salt, its file number and the frame's offset, so that a
 * frame written to the wrong place, or left there by an earlier file, does not pass as this one.
 * Bytes: docs/format/table.md. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/base/mem.h"
#include "engine/base/slice.h"

enum {
    FRAME_HEADER_BYTES = 20,
    FRAME_RAW_BYTES_MAX = 256 << 20,
};

enum frame_kind {
    FRAME_DATA = 1,
    FRAME_INDEX = 2,
    FRAME_FILTER = 3,
    FRAME_RANGES = 4,
    FRAME_PROPERTIES = 5,
    FRAME_KIND_COUNT,
};

enum frame_compression { FRAME_PLAIN = 0, FRAME_LZ4 = 1 };

/* What places a frame: the seed of its checksum. */
uint64_t frame_seed(uint64_t salt, uint64_t file_number, uint64_t offset);

/* Holds lz4's working memory. */
struct frame_maker {
    void *lz4_state; /* NULL until the first compression. */
    struct buf frame;
};

void frame_maker_init(struct frame_maker *maker, enum mem_tag tag);
void frame_maker_fini(struct frame_maker *maker);
/* A frame of `raw` whose checksum is yet to be set (frame_seal), because the offset may depend on
 * its size. Borrowed until the next call. ERR_LIMIT above FRAME_RAW_BYTES_MAX,
 * ERR_NO_MEMORY. */
err_t frame_make(struct frame_maker *maker, enum frame_kind kind, struct slice raw, bool compress,
                 struct slice *frame_out);
void frame_seal(struct frame_maker *maker, uint64_t seed);

/* A frame that was read and checked. Borrows the bytes. */
struct frame {
    struct slice stored;
    uint32_t raw_bytes;
    bool is_compressed;
};

/* `bytes` is the whole frame. ERR_CORRUPT when a field or the checksum is wrong, or raw_bytes is
 * above raw_bytes_max. */
err_t frame_open(struct slice bytes, enum frame_kind kind, uint64_t seed, uint32_t raw_bytes_max,
                 struct frame *frame_out);
/* The contents, into out[frame->raw_bytes]. */
err_t frame_unpack(const struct frame *frame, uint8_t *out);
