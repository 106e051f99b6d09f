/* lsm/table_ranges.c - the range deletes of a table. */
#include "lsm/table_ranges.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    RANGES_HEADER_BYTES = 4,
    RANGES_RANGE_BYTES_MIN = 1 + 1 + 8 + 1, /* Two sizes, a timestamp, an end of one byte. */
    RANGES_WORK_RANGES = 256,
    RANGES_WORK_UNITS = 64,
};

struct ranges_item {
    size_t offset; /* Of the start in keys; the end follows. */
    uint32_t start_bytes;
    uint32_t end_bytes;
    uint64_t ts;
};

/* ---- Making. ---- */

void
ranges_builder_init(struct ranges_builder *builder, enum mem_tag tag)
{
    *builder = (struct ranges_builder){0};
    buf_init(&builder->keys, tag);
    buf_init(&builder->items, tag);
}

void
ranges_builder_fini(struct ranges_builder *builder)
{
    buf_fini(&builder->keys);
    buf_fini(&builder->items);
}

err_t
ranges_builder_add(struct ranges_builder *builder, const struct lsm_range_delete *range)
{
    struct ranges_item item = {
        .offset = builder->keys.size,
        .start_bytes = (uint32_t)range->start.size,
        .end_bytes = (uint32_t)range->end.size,
        .ts = range->ts,
    };
    size_t bytes = range->start.size + range->end.size;

    ASSERT(range->start.size <= LSM_KEY_BYTES_MAX);
    ASSERT(range->end.size <= LSM_KEY_BYTES_MAX);
    ASSERT(slice_compare(range->start, range->end) < 0);
    if (builder->keys.size + builder->items.size + bytes > RANGES_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the range deletes of a table have more than %d bytes",
                       RANGES_BYTES_MAX);
    }
    buf_append(&builder->keys, range->start.data, range->start.size);
    buf_append(&builder->keys, range->end.data, range->end.size);
    buf_append(&builder->items, &item, sizeof(item));
    builder->count++;
    return ERR_OK;
}

static struct lsm_range_delete
builder_range(const struct ranges_builder *builder, const struct ranges_item *item)
{
    const uint8_t *start = builder->keys.data + item->offset;

    return (struct lsm_range_delete){
        .start = slice_of(start, item->start_bytes),
        .end = slice_of(start + item->start_bytes, item->end_bytes),
        .ts = item->ts,
    };
}

static int
range_compare(const struct lsm_range_delete *a, const struct lsm_range_delete *b)
{
    int order = slice_compare(a->start, b->start);

    order = order != 0 ? order : slice_compare(a->end, b->end);
    return order != 0 ? order : (a->ts < b->ts) - (a->ts > b->ts);
}

static int
builder_compare(const struct ranges_builder *builder, const struct ranges_item *a,
                const struct ranges_item *b)
{
    struct lsm_range_delete x = builder_range(builder, a);
    struct lsm_range_delete y = builder_range(builder, b);

    return range_compare(&x, &y);
}

static bool
builder_is_sorted(const struct ranges_builder *builder)
{
    const struct ranges_item *items = (const void *)builder->items.data;

    for (uint32_t i = 1; i < builder->count; i++) {
        if (builder_compare(builder, &items[i - 1], &items[i]) > 0) {
            return false;
        }
    }
    return true;
}

/* One pass of a merge sort: runs of `width` in `from` become runs of twice that in `to`. */
static YIELDS void
builder_merge_pass(const struct ranges_builder *builder, const struct ranges_item *from,
                   struct ranges_item *to, uint32_t width)
{
    for (uint64_t low = 0; low < builder->count; low += 2 * (uint64_t)width) {
        uint64_t middle = MIN(low + width, (uint64_t)builder->count);
        uint64_t high = MIN(low + 2 * (uint64_t)width, (uint64_t)builder->count);
        uint64_t a = low;
        uint64_t b = middle;

        for (uint64_t i = low; i < high; i++) {
            bool takes_a =
                a < middle && (b >= high || builder_compare(builder, &from[a], &from[b]) <= 0);

            to[i] = takes_a ? from[a++] : from[b++];
            if (i % RANGES_WORK_RANGES == RANGES_WORK_RANGES - 1) {
                fiber_work(RANGES_WORK_UNITS);
            }
        }
    }
}

static YIELDS err_t
builder_sort(struct ranges_builder *builder)
{
    struct ranges_item *items = (struct ranges_item *)(void *)builder->items.data;
    struct ranges_item *other;

    if (builder_is_sorted(builder)) {
        return ERR_OK;
    }
    other = mem_alloc(builder->items.tag, builder->items.size);
    if (other == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory to sort %u range deletes", builder->count);
    }
    for (uint64_t width = 1; width < builder->count; width *= 2) {
        builder_merge_pass(builder, items, other, (uint32_t)width);
        memcpy(items, other, builder->items.size);
    }
    mem_free(builder->items.tag, other, builder->items.size);
    return ERR_OK;
}

static void
range_put(struct buf *out, const struct lsm_range_delete *range)
{
    buf_append_varint(out, range->start.size);
    buf_append_varint(out, range->end.size);
    put_le64(buf_reserve(out, sizeof(uint64_t)), range->ts);
    out->size += sizeof(uint64_t);
    buf_append(out, range->start.data, range->start.size);
    buf_append(out, range->end.data, range->end.size);
}

YIELDS err_t
ranges_builder_finish(struct ranges_builder *builder, struct buf *out, uint32_t *count_out,
                      struct slice *first_start_out, struct slice *last_end_out)
{
    const struct ranges_item *items;
    size_t header = out->size;
    struct slice last_end = {0};
    uint32_t count = 0;
    err_t err;

    TRY(builder_sort(builder));
    items = (const void *)builder->items.data;
    buf_reserve(out, RANGES_HEADER_BYTES);
    out->size += RANGES_HEADER_BYTES;
    for (uint32_t i = 0; i < builder->count; i++) {
        struct lsm_range_delete range = builder_range(builder, &items[i]);

        if (i == 0) {
            *first_start_out = range.start;
        } else if (builder_compare(builder, &items[i - 1], &items[i]) == 0) {
            continue;
        }
        range_put(out, &range);
        count++;
        last_end = slice_compare(range.end, last_end) > 0 ? range.end : last_end;
        if (i % RANGES_WORK_RANGES == RANGES_WORK_RANGES - 1) {
            fiber_work(RANGES_WORK_UNITS);
        }
    }
    put_le32(out->data + header, count);
    *count_out = count;
    *last_end_out = last_end;
out:
    return err;
}

/* ---- Reading. ---- */

/* Fill the nodes of [low, high); returns the root, or `count` for an empty subtree. The depth is
 * the logarithm of the count. */
static uint32_t
nodes_fill(const struct table_ranges *ranges, uint32_t low, uint32_t high)
{
    uint32_t root = low + (high - low) / 2;
    struct ranges_node *node;
    uint32_t children[2];

    if (low >= high) {
        return ranges->count;
    }
    children[0] = nodes_fill(ranges, low, root);
    children[1] = nodes_fill(ranges, root + 1, high);
    node = &ranges->nodes[root];
    *node = (struct ranges_node){.ts_newest = ranges->ranges[root].ts, .end_largest = root};
    for (uint32_t i = 0; i < 2; i++) {
        const struct ranges_node *child = &ranges->nodes[children[i]];

        if (children[i] == ranges->count) {
            continue;
        }
        node->ts_newest = MAX(node->ts_newest, child->ts_newest);
        if (slice_compare(ranges->ranges[child->end_largest].end,
                          ranges->ranges[node->end_largest].end) > 0) {
            node->end_largest = child->end_largest;
        }
    }
    return root;
}

/* The bytes used, or 0 when the range is malformed. */
static size_t
range_decode(const uint8_t *at, const uint8_t *end, struct lsm_range_delete *range)
{
    const uint8_t *start = at;
    uint64_t start_bytes, end_bytes;
    size_t used = get_varint(at, end, &start_bytes);

    at += used;
    if (used == 0 || (used = get_varint(at, end, &end_bytes)) == 0) {
        return 0;
    }
    at += used;
    if (start_bytes > LSM_KEY_BYTES_MAX || end_bytes > LSM_KEY_BYTES_MAX ||
        (uint64_t)(end - at) < sizeof(uint64_t) + start_bytes + end_bytes) {
        return 0;
    }
    *range = (struct lsm_range_delete){
        .start = slice_of(at + sizeof(uint64_t), start_bytes),
        .end = slice_of(at + sizeof(uint64_t) + start_bytes, end_bytes),
        .ts = get_le64(at),
    };
    at += sizeof(uint64_t) + start_bytes + end_bytes;
    return slice_compare(range->start, range->end) < 0 ? (size_t)(at - start) : 0;
}

YIELDS err_t
ranges_decode(struct slice raw, struct table_ranges *ranges_out)
{
    struct table_ranges *ranges = ranges_out;
    size_t offset = RANGES_HEADER_BYTES;
    uint32_t count;

    *ranges = (struct table_ranges){0};
    if (raw.size < RANGES_HEADER_BYTES) {
        return err_set(ERR_CORRUPT, "range deletes of %zu bytes", raw.size);
    }
    count = get_le32(raw.data);
    if (count > (raw.size - RANGES_HEADER_BYTES) / RANGES_RANGE_BYTES_MIN) {
        return err_set(ERR_CORRUPT, "%u range deletes in %zu bytes", count, raw.size);
    }
    ranges->count = count;
    ranges->ranges = mem_alloc(MEM_TABLES, count * sizeof(*ranges->ranges));
    ranges->nodes = mem_alloc(MEM_TABLES, count * sizeof(*ranges->nodes));
    if (ranges->ranges == NULL || ranges->nodes == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u range deletes", count);
    }
    for (uint32_t i = 0; i < count; i++) {
        size_t used = range_decode(raw.data + offset, raw.data + raw.size, &ranges->ranges[i]);

        if (used == 0 ||
            (i > 0 && range_compare(&ranges->ranges[i - 1], &ranges->ranges[i]) >= 0)) {
            return err_set(ERR_CORRUPT, "range delete at byte %zu is malformed", offset);
        }
        offset += used;
        if (i % RANGES_WORK_RANGES == RANGES_WORK_RANGES - 1) {
            fiber_work(RANGES_WORK_UNITS);
        }
    }
    if (offset != raw.size) {
        return err_set(ERR_CORRUPT, "%zu bytes after the last range delete", raw.size - offset);
    }
    nodes_fill(ranges, 0, count);
    return ERR_OK;
}

void
ranges_fini(struct table_ranges *ranges)
{
    mem_free(MEM_TABLES, ranges->ranges, ranges->count * sizeof(*ranges->ranges));
    mem_free(MEM_TABLES, ranges->nodes, ranges->count * sizeof(*ranges->nodes));
    *ranges = (struct table_ranges){0};
}

static uint64_t
nodes_find(const struct table_ranges *ranges, uint32_t low, uint32_t high, struct slice key,
           uint64_t snapshot, uint64_t best)
{
    uint32_t root = low + (high - low) / 2;
    const struct ranges_node *node;
    const struct lsm_range_delete *range;

    if (low >= high) {
        return best;
    }
    node = &ranges->nodes[root];
    if (node->ts_newest <= best || slice_compare(ranges->ranges[node->end_largest].end, key) <= 0) {
        return best;
    }
    range = &ranges->ranges[root];
    if (slice_compare(range->start, key) <= 0) {
        if (range->ts > best && range->ts <= snapshot && slice_compare(key, range->end) < 0) {
            best = range->ts;
        }
        best = nodes_find(ranges, root + 1, high, key, snapshot, best);
    }
    return nodes_find(ranges, low, root, key, snapshot, best);
}

uint64_t
ranges_find(const struct table_ranges *ranges, struct slice key, uint64_t snapshot)
{
    return ranges->count == 0 ? 0 : nodes_find(ranges, 0, ranges->count, key, snapshot, 0);
}
