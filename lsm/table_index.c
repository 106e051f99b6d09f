/* lsm/table_index.c - the index of a table. */
#include "lsm/table_index.h"

#include "engine/base/assert.h"
#include "lsm/block.h"
#include "lsm/block_frame.h"
#include "lsm/block_key.h"
#include "lsm/entry.h"

#include "engine/base/poison.h"

enum {
    INDEX_HAS_TS = 1,
    INDEX_WORK_BLOCKS = 64, /* About 100 ns each. */
};

/* ---- Making. ---- */

void
index_builder_init(struct index_builder *builder, enum mem_tag tag)
{
    *builder = (struct index_builder){0};
    buf_init(&builder->bytes, tag);
    buf_init(&builder->first, tag);
    buf_init(&builder->last, tag);
    buf_reserve(&builder->bytes, INDEX_HEADER_BYTES);
    builder->bytes.size = INDEX_HEADER_BYTES; /* Written by finish. */
}

void
index_builder_fini(struct index_builder *builder)
{
    buf_fini(&builder->bytes);
    buf_fini(&builder->first);
    buf_fini(&builder->last);
}

static void
index_put(struct index_builder *builder, struct slice separator, bool has_ts, uint64_t ts,
          uint64_t gap, uint32_t frame_bytes)
{
    size_t shared = slice_common(separator, buf_slice(&builder->last));

    buf_append_varint(&builder->bytes, gap);
    buf_append_varint(&builder->bytes, frame_bytes);
    buf_append_varint(&builder->bytes, shared << 1 | (has_ts ? 1 : 0));
    buf_append_varint(&builder->bytes, separator.size - shared);
    if (has_ts) {
        put_le64(buf_reserve(&builder->bytes, sizeof(ts)), ts);
        builder->bytes.size += sizeof(ts);
    }
    buf_append(&builder->bytes, separator.data + shared, separator.size - shared);
    builder->last.size = shared;
    buf_append(&builder->last, separator.data + shared, separator.size - shared);
}

err_t
index_builder_add(struct index_builder *builder, struct slice last_key, uint64_t last_ts,
                  struct slice key, uint64_t offset, uint32_t frame_bytes)
{
    struct slice separator = slice_of(key.data, 0);
    bool has_ts = false;

    ASSERT(offset >= builder->data_end);
    if (builder->block_count > 0) {
        size_t common = slice_common(last_key, key);

        has_ts = common == key.size; /* Equal: the versions of one key straddle. */
        separator.size = has_ts ? key.size : common + 1;
        ASSERT(!has_ts || last_ts > 0); /* An older version follows. */
    }
    if (builder->bytes.size + separator.size > INDEX_BYTES_MAX ||
        builder->keys_bytes + separator.size > INDEX_KEYS_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the index of a table is larger than %d bytes", INDEX_BYTES_MAX);
    }
    index_put(builder, separator, has_ts, last_ts - 1, offset - builder->data_end, frame_bytes);
    if (builder->block_count == 1) {
        buf_append(&builder->first, separator.data, separator.size);
    }
    builder->has_ts = builder->has_ts || has_ts;
    builder->keys_bytes += separator.size;
    builder->data_end = offset + frame_bytes;
    builder->block_count++;
    return ERR_OK;
}

struct slice
index_builder_finish(struct index_builder *builder)
{
    size_t prefix = slice_common(buf_slice(&builder->first), buf_slice(&builder->last));
    uint32_t separators = builder->block_count > 0 ? builder->block_count - 1 : 0;
    uint8_t *at = builder->bytes.data;

    put_le32(at, builder->block_count);
    put_le32(at + 4, (uint32_t)prefix);
    put_le32(at + 8, (uint32_t)(builder->keys_bytes - (uint64_t)separators * prefix));
    put_le32(at + 12, builder->has_ts ? INDEX_HAS_TS : 0);
    return buf_slice(&builder->bytes);
}

/* ---- Reading. ---- */

static void *
index_array(uint32_t count, size_t size)
{
    return mem_alloc_dense(MEM_TABLES, (size_t)count * size);
}

static void
index_array_free(void *array, uint32_t count, size_t size)
{
    mem_free_dense(MEM_TABLES, array, (size_t)count * size);
}

static err_t
index_init(struct table_index *index, struct slice raw)
{
    uint32_t flags;

    *index = (struct table_index){0};
    if (raw.size < INDEX_HEADER_BYTES) {
        return err_set(ERR_CORRUPT, "index of %zu bytes", raw.size);
    }
    index->block_count = get_le32(raw.data);
    index->prefix_bytes = get_le32(raw.data + 4);
    index->keys_bytes = get_le32(raw.data + 8);
    flags = get_le32(raw.data + 12);
    if (index->block_count > (raw.size - INDEX_HEADER_BYTES) / 4 ||
        index->prefix_bytes > LSM_KEY_BYTES_MAX || index->keys_bytes > INDEX_KEYS_BYTES_MAX ||
        (flags & ~(uint32_t)INDEX_HAS_TS) != 0) {
        *index = (struct table_index){0};
        return err_set(ERR_CORRUPT, "index header is malformed");
    }
    index->heads = index_array(index->block_count, sizeof(*index->heads));
    index->offsets = index_array(index->block_count, sizeof(*index->offsets));
    index->sizes = index_array(index->block_count, sizeof(*index->sizes));
    index->key_ends = index_array(index->block_count, sizeof(*index->key_ends));
    index->prefix = mem_alloc(MEM_TABLES, index->prefix_bytes);
    index->keys = mem_alloc(MEM_TABLES, index->keys_bytes);
    if ((flags & INDEX_HAS_TS) != 0) {
        index->ts = index_array(index->block_count, sizeof(*index->ts));
    }
    if (index->heads == NULL || index->offsets == NULL || index->sizes == NULL ||
        index->key_ends == NULL || index->prefix == NULL || index->keys == NULL ||
        ((flags & INDEX_HAS_TS) != 0 && index->ts == NULL)) {
        return err_set(ERR_NO_MEMORY, "no memory for an index of %u blocks", index->block_count);
    }
    return ERR_OK;
}

void
index_fini(struct table_index *index)
{
    index_array_free(index->heads, index->block_count, sizeof(*index->heads));
    index_array_free(index->offsets, index->block_count, sizeof(*index->offsets));
    index_array_free(index->sizes, index->block_count, sizeof(*index->sizes));
    index_array_free(index->key_ends, index->block_count, sizeof(*index->key_ends));
    index_array_free(index->ts, index->block_count, sizeof(*index->ts));
    mem_free(MEM_TABLES, index->prefix, index->prefix_bytes);
    mem_free(MEM_TABLES, index->keys, index->keys_bytes);
    *index = (struct table_index){0};
}

uint64_t
index_bytes(const struct table_index *index)
{
    uint64_t block_bytes = sizeof(*index->heads) + sizeof(*index->offsets) + sizeof(*index->sizes) +
                           sizeof(*index->key_ends) + (index->ts != NULL ? sizeof(*index->ts) : 0);

    return index->block_count * block_bytes + index->prefix_bytes + index->keys_bytes;
}

/* The walk over an encoded index. */
struct index_reader {
    const uint8_t *at;
    const uint8_t *end;
    struct buf key;    /* The present separator, whole. */
    uint64_t ts;       /* Its timestamp; LSM_TS_MAX without one. */
    uint64_t position; /* The end of the latest frame. */
    uint32_t key_end;  /* Bytes of index->keys in use. */
};

static bool
reader_number(struct index_reader *reader, uint64_t *value_out)
{
    size_t used = get_varint(reader->at, reader->end, value_out);

    reader->at += used;
    return used > 0;
}

/* The next separator; false when it is malformed or not above the one before. */
static bool
reader_separator(struct index_reader *reader, bool is_first, bool *has_ts_out)
{
    uint64_t shared, unshared;
    uint64_t ts = LSM_TS_MAX;
    int order;

    if (!reader_number(reader, &shared) || !reader_number(reader, &unshared)) {
        return false;
    }
    *has_ts_out = (shared & 1) != 0;
    shared >>= 1;
    if (*has_ts_out) {
        if (reader->end - reader->at < (ptrdiff_t)sizeof(ts)) {
            return false;
        }
        ts = get_le64(reader->at);
        reader->at += sizeof(ts);
    }
    if (shared > reader->key.size || unshared > LSM_KEY_BYTES_MAX - shared ||
        unshared > (uint64_t)(reader->end - reader->at)) {
        return false;
    }
    if (is_first) {
        order = shared == 0 && unshared == 0 && !*has_ts_out ? -1 : 1;
    } else {
        struct slice rest = slice_of(reader->key.data + shared, reader->key.size - shared);

        order = version_compare(rest, reader->ts, slice_of(reader->at, unshared), ts);
    }
    reader->key.size = shared;
    buf_append(&reader->key, reader->at, unshared);
    reader->at += unshared;
    reader->ts = ts;
    return order < 0;
}

static bool
reader_frame(struct index_reader *reader, const struct table_index *index, uint32_t i)
{
    uint64_t gap, size;

    if (!reader_number(reader, &gap) || !reader_number(reader, &size) ||
        gap > index->data_end - reader->position || size <= FRAME_HEADER_BYTES ||
        size > FRAME_HEADER_BYTES + BLOCK_BYTES_MAX ||
        size > index->data_end - reader->position - gap) {
        return false;
    }
    index->offsets[i] = reader->position + gap;
    index->sizes[i] = (uint32_t)size;
    reader->position += gap + size;
    return true;
}

/* Store the separator of block i without the prefix, which the second block's sets. */
static bool
reader_keep(struct index_reader *reader, const struct table_index *index, uint32_t i)
{
    struct slice key = buf_slice(&reader->key);
    size_t rest;

    index->heads[i] = 0;
    index->key_ends[i] = reader->key_end;
    if (i == 0) {
        return true;
    }
    if (key.size < index->prefix_bytes) {
        return false;
    }
    if (i == 1 && index->prefix_bytes > 0) {
        memcpy(index->prefix, key.data, index->prefix_bytes);
    }
    rest = key.size - index->prefix_bytes;
    if (!slice_starts_with(key, slice_of(index->prefix, index->prefix_bytes)) ||
        rest > index->keys_bytes - reader->key_end) {
        return false;
    }
    if (rest > 0) {
        memcpy(index->keys + reader->key_end, key.data + index->prefix_bytes, rest);
    }
    reader->key_end += (uint32_t)rest;
    index->key_ends[i] = reader->key_end;
    index->heads[i] = key_head(key, index->prefix_bytes);
    return true;
}

static YIELDS bool
index_read(struct index_reader *reader, struct table_index *index)
{
    for (uint32_t i = 0; i < index->block_count; i++) {
        bool has_ts;

        if (!reader_frame(reader, index, i) || !reader_separator(reader, i == 0, &has_ts) ||
            (has_ts && index->ts == NULL) || !reader_keep(reader, index, i)) {
            return false;
        }
        if (index->ts != NULL) {
            index->ts[i] = reader->ts;
        }
        if (i % INDEX_WORK_BLOCKS == INDEX_WORK_BLOCKS - 1) {
            fiber_work(INDEX_WORK_BLOCKS);
        }
    }
    return reader->at == reader->end && reader->key_end == index->keys_bytes;
}

YIELDS err_t
index_decode(struct slice raw, uint64_t data_end, struct table_index *index_out)
{
    struct index_reader reader = {0};
    err_t err;

    buf_init(&reader.key, MEM_TABLES);
    buf_reserve(&reader.key, 1); /* So that it has an address. */
    TRY(index_init(index_out, raw));
    index_out->data_end = data_end;
    reader.at = raw.data + INDEX_HEADER_BYTES;
    reader.end = raw.data + raw.size;
    if (!index_read(&reader, index_out)) {
        err = err_set(ERR_CORRUPT, "index entry at byte %zu is malformed",
                      (size_t)(reader.at - raw.data));
    }
out:
    buf_fini(&reader.key);
    return err;
}

/* ---- Searching. ---- */

static struct slice
index_rest(const struct table_index *index, uint32_t i)
{
    uint32_t start = index->key_ends[i - 1];

    return slice_of(index->keys + start, index->key_ends[i] - start);
}

/* The order of separator i against `rest` (a key without the prefix) at ts. */
static int
index_compare_rest(const struct table_index *index, uint32_t i, struct slice rest, uint64_t ts)
{
    return version_compare(index_rest(index, i), index->ts == NULL ? LSM_TS_MAX : index->ts[i],
                           rest, ts);
}

int
index_compare(const struct table_index *index, uint32_t i, struct slice key, uint64_t ts)
{
    struct slice prefix = slice_of(index->prefix, index->prefix_bytes);
    enum key_place place = key_place(key, prefix);

    ASSERT(i > 0);
    ASSERT(i < index->block_count);
    if (place != KEY_AMONG) {
        return place == KEY_BELOW ? 1 : -1;
    }
    return index_compare_rest(index, i, slice_of(key.data + prefix.size, key.size - prefix.size),
                              ts);
}

/* First separator in [low, high) whose head is not below (or, with `above`, is above) `head`.
 * Written so that the compiler can do without a branch that cannot be predicted. */
static uint32_t
index_bound(const struct table_index *index, uint32_t low, uint32_t high, uint64_t head, bool above)
{
    uint32_t count = high - low;

    while (count > 0) {
        uint32_t half = count / 2;
        uint64_t other = index->heads[low + half];
        bool goes_right = above ? other <= head : other < head;

        low = goes_right ? low + half + 1 : low;
        count = goes_right ? count - half - 1 : half;
    }
    return low;
}

uint32_t
index_find(const struct table_index *index, struct slice key, uint64_t ts)
{
    enum key_place place = key_place(key, slice_of(index->prefix, index->prefix_bytes));
    struct slice rest;
    uint32_t low, high;
    uint64_t head;

    ASSERT(index->block_count > 0);
    if (place != KEY_AMONG) {
        return place == KEY_BELOW ? 0 : index->block_count - 1;
    }
    rest = slice_of(key.data + index->prefix_bytes, key.size - index->prefix_bytes);
    head = key_head(rest, 0);
    high = index_bound(index, 1, index->block_count, head, true);
    if (high == 1 || index->heads[high - 1] != head) {
        return high - 1;
    }
    low = index_bound(index, 1, high, head, false);
    while (low < high) { /* Those with an equal head: by the whole key. */
        uint32_t middle = low + (high - low) / 2;

        if (index_compare_rest(index, middle, rest, ts) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low - 1;
}
