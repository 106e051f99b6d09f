/* lsm/block_builder.c - making blocks. */
#include "lsm/block.h"

#include "engine/base/assert.h"
#include "lsm/block_key.h"
#include "lsm/block_row.h"

#include "engine/base/poison.h"

/* Of a row before its key: flags and four numbers. */
enum { ROW_HEAD_BYTES_MAX = 1 + 4 * VARINT_BYTES_MAX };

void
block_builder_init(struct block_builder *builder, enum mem_tag tag)
{
    *builder = (struct block_builder){0};
    buf_init(&builder->bytes, tag);
    buf_init(&builder->rows, tag);
    buf_init(&builder->restarts, tag);
    buf_init(&builder->times, tag);
    buf_init(&builder->slots, tag);
    buf_init(&builder->last_key, tag);
}

void
block_builder_fini(struct block_builder *builder)
{
    buf_fini(&builder->bytes);
    buf_fini(&builder->rows);
    buf_fini(&builder->restarts);
    buf_fini(&builder->times);
    buf_fini(&builder->slots);
    buf_fini(&builder->last_key);
}

void
block_builder_reset(struct block_builder *builder)
{
    buf_clear(&builder->rows);
    buf_clear(&builder->restarts);
    buf_clear(&builder->times);
    buf_clear(&builder->slots);
    builder->row_count = 0;
}

/* How the timestamps are stored: as differences from the smallest, without the low bits in which
 * none differs from another, in as many bytes as the largest needs. */
static void
times_shape(const struct block_builder *builder, uint8_t *shift_out, uint8_t *bytes_out)
{
    uint32_t shift = builder->ts_differ == 0 ? 0 : (uint32_t)__builtin_ctzll(builder->ts_differ);
    uint64_t largest = (builder->ts_max - builder->ts_min) >> shift;

    *shift_out = (uint8_t)shift;
    *bytes_out = largest == 0 ? 0 : (uint8_t)((71 - __builtin_clzll(largest)) / 8);
}

static size_t
slot_bytes(const struct block_builder *builder)
{
    return builder->has_slots ? BLOCK_SLOT_BYTES : 0;
}

size_t
block_builder_bytes(const struct block_builder *builder)
{
    size_t restart_count = builder->restarts.size / sizeof(uint32_t);
    uint8_t shift, ts_bytes;

    times_shape(builder, &shift, &ts_bytes);
    return BLOCK_HEADER_BYTES + restart_count * BLOCK_RESTART_BYTES +
           (size_t)builder->row_count * (ts_bytes + slot_bytes(builder)) + builder->rows.size;
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
    /* Flags, sizes, the usual timestamp: close enough for a target. */
    return block_builder_bytes(builder) + restart_bytes + key_bytes + entry->value.size + 12;
}

static void
builder_add_time(struct block_builder *builder, uint64_t ts)
{
    if (builder->row_count == 0) {
        builder->ts_first = builder->ts_min = builder->ts_max = ts;
        builder->ts_differ = 0;
    }
    builder->ts_min = MIN(builder->ts_min, ts);
    builder->ts_max = MAX(builder->ts_max, ts);
    builder->ts_differ |= ts ^ builder->ts_first;
    buf_append(&builder->times, &ts, sizeof(ts));
}

static void
builder_add_slot(struct block_builder *builder, uint16_t slot)
{
    if (builder->row_count == 0) {
        builder->slot = slot;
        builder->has_slots = false;
    }
    builder->has_slots |= slot != builder->slot;
    put_le16(buf_reserve(&builder->slots, BLOCK_SLOT_BYTES), slot);
    builder->slots.size += BLOCK_SLOT_BYTES;
}

/* Where the next row will begin: a restart. */
static void
builder_add_restart(struct block_builder *builder)
{
    put_le32(buf_reserve(&builder->restarts, sizeof(uint32_t)), (uint32_t)builder->rows.size);
    builder->restarts.size += sizeof(uint32_t);
}

void
block_builder_add(struct block_builder *builder, const struct lsm_entry *entry)
{
    bool is_restart = builder->row_count % BLOCK_RESTART_ROWS == 0;
    uint8_t flags = entry->kind;
    size_t shared = 0;
    uint8_t *at;

    ASSERT(entry->key.size <= LSM_KEY_BYTES_MAX);
    ASSERT(entry->value.size <= LSM_VALUE_INLINE_BYTES_MAX);
    ASSERT(entry->kind <= LSM_PUT_LARGE);
    if (is_restart) {
        builder_add_restart(builder);
    } else {
        shared = slice_common(entry->key, buf_slice(&builder->last_key));
    }
    flags |= entry->expire_us != 0 ? ROW_HAS_EXPIRY : 0;
    builder_add_time(builder, entry->ts);
    builder_add_slot(builder, entry->slot);

    at = buf_reserve(&builder->rows, ROW_HEAD_BYTES_MAX + entry->key.size + entry->value.size);
    *at++ = flags;
    at += put_varint(at, shared);
    at += put_varint(at, entry->key.size - shared);
    at += put_varint(at, entry->value.size);
    if ((flags & ROW_HAS_EXPIRY) != 0) {
        at += put_varint(at, zigzag(entry->expire_us - (entry->ts >> 12)));
    }
    builder->rows.size = (size_t)(at - builder->rows.data);
    buf_append(&builder->rows, entry->key.data + shared, entry->key.size - shared);
    buf_append(&builder->rows, entry->value.data, entry->value.size);

    builder->last_key.size = shared;
    buf_append(&builder->last_key, entry->key.data + shared, entry->key.size - shared);
    builder->row_count++;
}

/* The key of a restart, which the builder itself has written. */
static struct slice
restart_key(const struct block *rows, uint32_t offset)
{
    struct block_row row;
    bool is_sound = block_row_decode(rows, offset, &row);

    ASSERT(is_sound);
    ASSERT(row.shared == 0);
    return slice_of(row.suffix, row.unshared);
}

/* The column of timestamps. Each is written over the one after it, which comes next. */
static void
times_put(const struct block_builder *builder, uint8_t shift, uint8_t ts_bytes, uint8_t *out)
{
    for (uint32_t i = 0; i < builder->row_count; i++) {
        uint64_t ts = get_le64(builder->times.data + (size_t)i * sizeof(ts));

        put_le64(out + (size_t)i * ts_bytes, (ts - builder->ts_min) >> shift);
    }
}

struct slice
block_builder_finish(struct block_builder *builder)
{
    uint32_t restart_count = (uint32_t)(builder->restarts.size / sizeof(uint32_t));
    struct block rows = {.data = builder->rows.data, .bytes = (uint32_t)builder->rows.size};
    uint8_t *at, *heads, *offsets;
    uint32_t times, slots, rows_start;
    size_t prefix_bytes;
    uint8_t shift, ts_bytes;

    ASSERT(builder->row_count > 0);
    times_shape(builder, &shift, &ts_bytes);
    times = BLOCK_HEADER_BYTES + restart_count * BLOCK_RESTART_BYTES;
    slots = times + builder->row_count * ts_bytes;
    rows_start = slots + builder->row_count * (uint32_t)slot_bytes(builder);
    buf_clear(&builder->bytes);
    at = buf_reserve(&builder->bytes, rows_start + builder->rows.size + sizeof(uint64_t));
    heads = at + BLOCK_HEADER_BYTES;
    offsets = heads + (size_t)restart_count * sizeof(uint64_t);
    prefix_bytes = slice_common(restart_key(&rows, 0), buf_slice(&builder->last_key));
    for (uint32_t i = 0; i < restart_count; i++) {
        uint32_t offset = get_le32(builder->restarts.data + (size_t)i * sizeof(uint32_t));

        put_le64(heads + (size_t)i * sizeof(uint64_t),
                 key_head(restart_key(&rows, offset), prefix_bytes));
        put_le32(offsets + (size_t)i * sizeof(uint32_t), rows_start + offset);
    }
    times_put(builder, shift, ts_bytes, at + times);
    if (builder->has_slots) { /* Over what the last timestamp wrote behind its column. */
        memcpy(at + slots, builder->slots.data, builder->slots.size);
    }
    memcpy(at + rows_start, builder->rows.data, builder->rows.size);
    builder->bytes.size = rows_start + builder->rows.size;
    ASSERT(builder->bytes.size <= BLOCK_BYTES_MAX);

    put_le16(at, BLOCK_FORM_ROWS);
    at[2] = ts_bytes;
    at[3] = shift;
    put_le32(at + 4, builder->row_count);
    put_le32(at + 8, (uint32_t)prefix_bytes);
    put_le16(at + 12, builder->slot);
    put_le16(at + 14, (uint16_t)slot_bytes(builder));
    put_le64(at + 16, builder->ts_min);
    return buf_slice(&builder->bytes);
}
