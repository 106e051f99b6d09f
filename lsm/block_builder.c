/* lsm/block_builder.c - making blocks. */
#include "lsm/block.h"

#include "engine/base/assert.h"
#include "lsm/block_key.h"
#include "lsm/block_row.h"

#include "engine/base/poison.h"

void
block_builder_init(struct block_builder *builder, enum mem_tag tag)
{
    *builder = (struct block_builder){0};
    buf_init(&builder->bytes, tag);
    buf_init(&builder->restarts, tag);
    buf_init(&builder->last_key, tag);
}

void
block_builder_fini(struct block_builder *builder)
{
    buf_fini(&builder->bytes);
    buf_fini(&builder->restarts);
    buf_fini(&builder->last_key);
}

void
block_builder_reset(struct block_builder *builder)
{
    buf_clear(&builder->bytes);
    buf_clear(&builder->restarts);
    builder->row_count = 0;
}

size_t
block_builder_bytes(const struct block_builder *builder)
{
    size_t restart_count = builder->restarts.size / sizeof(uint32_t);

    return MAX(builder->bytes.size, (size_t)BLOCK_HEADER_BYTES) +
           restart_count * BLOCK_RESTART_BYTES;
}

/* The key counts whole when the row will be a restart; otherwise what it shares is left out. */
size_t
block_builder_bytes_with(const struct block_builder *builder, const struct lsm_entry *entry)
{
    size_t key_bytes = entry->key.size;
    size_t restart_bytes = BLOCK_RESTART_BYTES;

    if (builder->row_count % BLOCK_RESTART_ROWS != 0) {
        key_bytes -= slice_common(entry->key, buf_slice(&builder->last_key));
        restart_bytes = 0;
    }
    /* Flags, sizes, slot, the usual times: close enough for a target. */
    return block_builder_bytes(builder) + restart_bytes + key_bytes + entry->value.size + 16;
}

void
block_builder_add(struct block_builder *builder, const struct lsm_entry *entry)
{
    bool is_restart = builder->row_count % BLOCK_RESTART_ROWS == 0;
    uint8_t flags = entry->kind;
    size_t shared = 0;

    ASSERT(entry->key.size <= LSM_KEY_BYTES_MAX);
    ASSERT(entry->value.size <= LSM_VALUE_INLINE_BYTES_MAX);
    ASSERT(entry->kind <= LSM_PUT_LARGE);
    if (builder->row_count == 0) {
        builder->ts_base = entry->ts;
        buf_reserve(&builder->bytes, BLOCK_HEADER_BYTES);
        builder->bytes.size = BLOCK_HEADER_BYTES; /* Written by finish. */
    }
    if (is_restart) {
        uint8_t offset[sizeof(uint32_t)];

        put_le32(offset, (uint32_t)builder->bytes.size);
        buf_append(&builder->restarts, offset, sizeof(offset));
    } else {
        shared = slice_common(entry->key, buf_slice(&builder->last_key));
        flags |= entry->slot == builder->last_slot ? ROW_SLOT_AS_BEFORE : 0;
    }
    flags |= entry->expire_us != 0 ? ROW_HAS_EXPIRY : 0;

    buf_append_byte(&builder->bytes, flags);
    buf_append_varint(&builder->bytes, shared);
    buf_append_varint(&builder->bytes, entry->key.size - shared);
    buf_append_varint(&builder->bytes, entry->value.size);
    if ((flags & ROW_SLOT_AS_BEFORE) == 0) {
        put_le16(buf_reserve(&builder->bytes, 2), entry->slot);
        builder->bytes.size += 2;
    }
    buf_append_varint(&builder->bytes, zigzag(entry->ts - builder->ts_base));
    if ((flags & ROW_HAS_EXPIRY) != 0) {
        buf_append_varint(&builder->bytes, zigzag(entry->expire_us - (entry->ts >> 12)));
    }
    buf_append(&builder->bytes, entry->key.data + shared, entry->key.size - shared);
    buf_append(&builder->bytes, entry->value.data, entry->value.size);

    builder->last_slot = entry->slot;
    builder->last_key.size = shared;
    buf_append(&builder->last_key, entry->key.data + shared, entry->key.size - shared);
    builder->row_count++;
}

/* The key of a restart, which the builder itself has written. */
static struct slice
restart_key(const struct block *block, uint32_t offset)
{
    struct block_row row;
    bool is_sound = block_row_decode(block, offset, &row);

    ASSERT(is_sound);
    ASSERT(row.shared == 0);
    return slice_of(row.suffix, row.unshared);
}

struct slice
block_builder_finish(struct block_builder *builder)
{
    uint32_t rows_end = (uint32_t)builder->bytes.size;
    uint32_t restart_count = (uint32_t)(builder->restarts.size / sizeof(uint32_t));
    size_t prefix_bytes;
    struct block block;
    uint8_t *at;

    ASSERT(builder->row_count > 0);
    at = buf_reserve(&builder->bytes, (size_t)restart_count * BLOCK_RESTART_BYTES);
    block = (struct block){
        .data = builder->bytes.data, .rows_end = rows_end, .ts_base = builder->ts_base};
    prefix_bytes =
        slice_common(restart_key(&block, BLOCK_HEADER_BYTES), buf_slice(&builder->last_key));
    for (uint32_t i = 0; i < restart_count; i++) {
        uint32_t offset = get_le32(builder->restarts.data + (size_t)i * sizeof(uint32_t));

        put_le64(at, key_head(restart_key(&block, offset), prefix_bytes));
        at += sizeof(uint64_t);
    }
    memcpy(at, builder->restarts.data, builder->restarts.size);
    builder->bytes.size += (size_t)restart_count * BLOCK_RESTART_BYTES;
    ASSERT(builder->bytes.size <= BLOCK_BYTES_MAX);

    at = builder->bytes.data;
    put_le32(at, BLOCK_FORM_ROWS);
    put_le32(at + 4, builder->row_count);
    put_le32(at + 8, restart_count);
    put_le32(at + 12, (uint32_t)prefix_bytes);
    put_le64(at + 16, builder->ts_base);
    return buf_slice(&builder->bytes);
}
