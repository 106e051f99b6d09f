/* lsm/block_frame.c - frames: checksums and compression. */
#include "lsm/block_frame.h"

#include <lz4.h>
#include <xxhash.h>

#include "engine/base/assert.h"
#include "engine/base/canary.h"

#include "engine/base/poison.h"

enum {
    FRAME_CHECKSUM_BYTES = 8,
    FRAME_COMPRESS_BYTES_MIN = 64, /* Below, nothing is won. */
    FRAME_SAVING_SHIFT = 3,        /* lz4 must save an eighth. */
};

uint64_t
frame_seed(uint64_t salt, uint64_t file_number, uint64_t offset)
{
    /* Odd constants keep file numbers and offsets, which are small, from cancelling out. */
    return salt ^ (file_number * UINT64_C(0x9e3779b97f4a7c15)) ^
           (offset * UINT64_C(0xc2b2ae3d27d4eb4f));
}

void
frame_maker_init(struct frame_maker *maker, enum mem_tag tag)
{
    maker->lz4_state = NULL;
    buf_init(&maker->frame, tag);
}

void
frame_maker_fini(struct frame_maker *maker)
{
    if (maker->lz4_state != NULL) {
        mem_free(maker->frame.tag, maker->lz4_state, (size_t)LZ4_sizeofState());
        maker->lz4_state = NULL;
    }
    buf_fini(&maker->frame);
}

/* Compressed bytes written to out, or 0 when it does not pay. */
static size_t
frame_compress(struct frame_maker *maker, struct slice raw, uint8_t *out)
{
    size_t limit = raw.size - (raw.size >> FRAME_SAVING_SHIFT);
    int size;

    if (raw.size < FRAME_COMPRESS_BYTES_MIN) {
        return 0;
    }
    if (maker->lz4_state == NULL) {
        maker->lz4_state = mem_alloc(maker->frame.tag, (size_t)LZ4_sizeofState());
    }
    size = LZ4_compress_fast_extState(maker->lz4_state, (const char *)raw.data, (char *)out,
                                      (int)raw.size, (int)limit, 1);
    return size <= 0 ? 0 : (size_t)size;
}

err_t
frame_make(struct frame_maker *maker, enum frame_kind kind, struct slice raw, bool compress,
           struct slice *frame_out)
{
    size_t stored = 0;
    uint8_t *at;

    ASSERT(kind > 0 && kind < FRAME_KIND_COUNT);
    if (raw.size > FRAME_RAW_BYTES_MAX) {
        return err_set(ERR_LIMIT, "a section of a table has %zu bytes; the limit is %d", raw.size,
                       FRAME_RAW_BYTES_MAX);
    }
    buf_clear(&maker->frame);
    if (!buf_try_reserve(&maker->frame, FRAME_HEADER_BYTES + raw.size)) {
        return err_set(ERR_NO_MEMORY, "no memory for a frame of %zu bytes", raw.size);
    }
    at = maker->frame.data;
    if (compress) {
        stored = frame_compress(maker, raw, at + FRAME_HEADER_BYTES);
    }
    memset(at, 0, FRAME_HEADER_BYTES);
    put_le32(at + 12, (uint32_t)raw.size);
    at[16] = (uint8_t)kind;
    at[17] = stored > 0 ? FRAME_LZ4 : FRAME_PLAIN;
    if (stored == 0) {
        stored = raw.size;
        if (raw.size > 0) {
            memcpy(at + FRAME_HEADER_BYTES, raw.data, raw.size);
        }
    }
    put_le32(at + 8, (uint32_t)stored);
    maker->frame.size = FRAME_HEADER_BYTES + stored;
    *frame_out = buf_slice(&maker->frame);
    return ERR_OK;
}

static uint64_t
frame_checksum(struct slice bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.data + FRAME_CHECKSUM_BYTES,
                                bytes.size - FRAME_CHECKSUM_BYTES, seed);
}

void
frame_seal(struct frame_maker *maker, uint64_t seed)
{
    ASSERT(maker->frame.size >= FRAME_HEADER_BYTES);
    put_le64(maker->frame.data, frame_checksum(buf_slice(&maker->frame), seed));
}

err_t
frame_open(struct slice bytes, enum frame_kind kind, uint64_t seed, uint32_t raw_bytes_max,
           struct frame *frame_out)
{
    struct frame frame;

    if (bytes.size < FRAME_HEADER_BYTES) {
        return err_set(ERR_CORRUPT, "frame of %zu bytes", bytes.size);
    }
    if (get_le64(bytes.data) != frame_checksum(bytes, seed) && !CANARY(BLOCK_CHECKSUM_IGNORED)) {
        return err_set(ERR_CORRUPT, "checksum does not match");
    }
    frame.stored = slice_of(bytes.data + FRAME_HEADER_BYTES, bytes.size - FRAME_HEADER_BYTES);
    frame.raw_bytes = get_le32(bytes.data + 12);
    frame.is_compressed = bytes.data[17] == FRAME_LZ4;
    if (get_le32(bytes.data + 8) != frame.stored.size || bytes.data[16] != kind ||
        bytes.data[17] > FRAME_LZ4 || get_le16(bytes.data + 18) != 0) {
        return err_set(ERR_CORRUPT, "frame header is malformed");
    }
    if (frame.raw_bytes > raw_bytes_max ||
        (!frame.is_compressed && frame.raw_bytes != frame.stored.size)) {
        return err_set(ERR_CORRUPT, "frame of %u bytes uncompressed, %zu stored", frame.raw_bytes,
                       frame.stored.size);
    }
    *frame_out = frame;
    return ERR_OK;
}

err_t
frame_unpack(const struct frame *frame, uint8_t *out)
{
    int size;

    if (!frame->is_compressed) {
        if (frame->raw_bytes > 0) {
            memcpy(out, frame->stored.data, frame->raw_bytes);
        }
        return ERR_OK;
    }
    size = LZ4_decompress_safe((const char *)frame->stored.data, (char *)out,
                               (int)frame->stored.size, (int)frame->raw_bytes);
    if (size < 0 || (uint32_t)size != frame->raw_bytes) {
        return err_set(ERR_CORRUPT, "compressed bytes are malformed");
    }
    return ERR_OK;
}
