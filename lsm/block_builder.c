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
    buf_init(&builder->rows, tag);
    buf_init(&builder->restarts, tag);
    buf_init(&builder->last_key, tag);
}

void
block_builder_fini(struct block_builder *builder)
{
    buf_fini(&builder->bytes);
    buf_fini(&builder->rows);
    buf_fini(&builder->restarts);
    buf_fini(&builder->last_key);
}

void
block_builder_reset(struct block_builder *builder)
{
    buf_clear(&builder->rows);
    buf_clear(&builder->restarts);
    builder->row_count = 0;
}

size_t
block_builder_bytes(const struct block_builder *builder)
{
    size_t restart_count = builder->restarts.size / sizeof(uint32_t);

    return BLOCK_HEADER_BYTES + restart_count * BLOCK_RESTART_BYTES + builder->rows.size;
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
    }
    if (is_restart) {
        uint8_t offset[sizeof(uint32_t)];

        put_le32(offset, (uint32_t)builder->rows.size);
        buf_append(&builder->restarts, offset, sizeof(offset));
    } else {
        shared = slice_common(entry->key, buf_slice(&builder->last_key));
        flags |= entry->slot == builder->last_slot ? ROW_SLOT_AS_BEFORE : 0;
    }
    flags |= entry->expire_us != 0 ? ROW_HAS_EXPIRY : 0;

    buf_append_byte(&builder->rows, flags);
    buf_append_varint(&builder->rows, shared);
    buf_append_varint(&builder->rows, entry->key.size - shared);
    buf_append_varint(&builder->rows, entry->value.size);
    if ((flags & ROW_SLOT_AS_BEFORE) == 0) {
        put_le16(buf_reserve(&builder->rows, 2), entry->slot);
        builder->rows.size += 2;
    }
    buf_append_varint(&builder->rows, zigzag(entry->ts - builder->ts_base));
    if ((flags & ROW_HAS_EXPIRY) != 0) {
        buf_append_varint(&builder->rows, zigzag(entry->expire_us - (entry->ts >> 12)));
    }
    buf_append(&builder->rows, entry->key.data + shared, entry->key.size - shared);
    buf_append(&builder->rows, entry->value.data, entry->value.size);

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
    uint32_t restart_count = (uint32_t)(builder->restarts.size / sizeof(uint32_t));
    uint32_t rows_start = BLOCK_HEADER_BYTES + restart_count * BLOCK_RESTART_BYTES;
    struct block rows = {.data = builder->rows.data,
                         .bytes = (uint32_t)builder->rows.size,
                         .ts_base = builder->ts_base};
    size_t prefix_bytes;
    uint8_t *at;
    uint8_t *heads;
    uint8_t *offsets;

    ASSERT(builder->row_count > 0);
    buf_clear(&builder->bytes);
    at = buf_reserve(&builder->bytes, rows_start + builder->rows.size);
    heads = at + BLOCK_HEADER_BYTES;
    offsets = heads + (size_t)restart_count * sizeof(uint64_t);
    prefix_bytes = slice_common(restart_key(&rows, 0), buf_slice(&builder->last_key));
    for (uint32_t i = 0; i < restart_count; i++) {
        uint32_t offset = get_le32(builder->restarts.data + (size_t)i * sizeof(uint32_t));

        put_le64(heads + (size_t)i * sizeof(uint64_t),
                 key_head(restart_key(&rows, offset), prefix_bytes));
        put_le32(offsets + (size_t)i * sizeof(uint32_t), rows_start + offset);
    }
    memcpy(at + rows_start, builder->rows.data, builder->rows.size);
    builder->bytes.size = rows_start + builder->rows.size;
    ASSERT(builder->bytes.size <= BLOCK_BYTES_MAX);

    put_le32(at, BLOCK_FORM_ROWS);
    put_le32(at + 4, builder->row_count);
    put_le32(at + 8, restart_count);
    put_le32(at + 12, (uint32_t)prefix_bytes);
    put_le64(at + 16, builder->ts_base);
    return buf_slice(&builder->bytes);
}
