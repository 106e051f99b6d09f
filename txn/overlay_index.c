/* txn/overlay_index.c - see overlay_index.h. */
#include "txn/overlay_index.h"

#include "engine/base/assert.h"
#include "lsm/range_delete.h"

#include "engine/base/poison.h"

enum {
    OPS_CAPACITY_MIN = 64,
    /* Keys and borders without any op, before the index is built anew: as many as the others, and
     * so many. */
    IDLE_MAX = 1024,
};

/* From this key on to the next border. */
struct border {
    uint32_t covered_by; /* Op number + 1 of the first range delete there; 0: none. */
    struct border *next; /* Of those covered by the same op. */
    struct tree_key key;
};

struct op {
    union {
        struct overlay_key *key; /* NULL: neither put nor delete. */
        struct border *borders;  /* Of a range delete: what it was the first to cover. */
    } of;
    uint32_t offset; /* In the record. */
    uint32_t older;  /* As overlay_key.newest: of the same key. */
};

struct counter_sum {
    uint32_t counter;
    int64_t sum;
};

struct overlay_index {
    struct arena arena;
    struct tree keys;
    struct tree borders;
    struct op *ops;
    uint32_t count, capacity;
    size_t record_bytes; /* How far the record was read. */
    uint64_t idle_keys;
    struct counter_sum *sums; /* In the order of their first use. */
    uint32_t sum_count, sum_capacity;
    /* Which range deletes came last, by op number + 1; kept only beside a spill, whose rows earlier
     * ones do not hide. */
    struct range_map latest;
    struct snapshots none;
    bool has_latest;
};

/* ---- Making and forgetting. ---- */

static struct overlay_index *
index_new(void)
{
    struct overlay_index *index = MEM_NEW(MEM_SESSIONS, struct overlay_index);

    arena_init(&index->arena, MEM_SESSIONS);
    tree_init(&index->keys, &index->arena);
    tree_init(&index->borders, &index->arena);
    range_map_init(&index->latest, &index->arena);
    snapshots_init(&index->none);
    return index;
}

void
overlay_index_free(struct overlay_index **pointer)
{
    struct overlay_index *index = *pointer;

    *pointer = NULL;
    if (index == NULL) {
        return;
    }
    arena_fini(&index->arena);
    mem_free(MEM_SESSIONS, index->ops, index->capacity * sizeof(index->ops[0]));
    mem_free(MEM_SESSIONS, index->sums, index->sum_capacity * sizeof(index->sums[0]));
    MEM_FREE(MEM_SESSIONS, index);
}

void
overlay_index_reset(struct overlay_index **pointer)
{
    struct overlay_index *index = *pointer;

    if (index == NULL) {
        return;
    }
    if (overlay_index_bytes(index) > OVERLAY_KEPT_BYTES || index->has_latest) {
        overlay_index_free(pointer);
        return;
    }
    arena_reset(&index->arena);
    tree_init(&index->keys, &index->arena);
    tree_init(&index->borders, &index->arena);
    index->count = 0;
    index->record_bytes = 0;
    index->idle_keys = 0;
    index->sum_count = 0;
}

size_t
overlay_index_bytes(const struct overlay_index *index)
{
    return index == NULL
               ? 0
               : sizeof(*index) + index->arena.bytes + index->capacity * sizeof(index->ops[0]) +
                     index->sum_capacity * sizeof(index->sums[0]);
}

struct tree *
overlay_index_keys(struct overlay_index *index)
{
    return &index->keys;
}

struct overlay_key *
overlay_key_at(struct tree_position position)
{
    return CONTAINER_OF(tree_at(position), struct overlay_key, key);
}

/* ---- Reading what was written. ---- */

/* `before` bytes of the caller's record end in the key. */
static struct tree_key *
key_new(struct overlay_index *index, size_t before, struct slice bytes)
{
    uint8_t *record = arena_alloc(&index->arena, before + sizeof(struct tree_key) + bytes.size);
    struct tree_key *key = (struct tree_key *)(record + before);

    key->size = (uint32_t)bytes.size;
    if (bytes.size > 0) {
        memcpy(key->bytes, bytes.data, bytes.size);
    }
    return key;
}

static struct overlay_key *
key_find_or_add(struct overlay_index *index, struct slice bytes)
{
    struct tree_position position = tree_seek(&index->keys, bytes);
    struct overlay_key *key;

    if (tree_position_is_valid(position) && slice_equal(tree_key_slice(tree_at(position)), bytes)) {
        return overlay_key_at(position);
    }
    key = CONTAINER_OF(key_new(index, offsetof(struct overlay_key, key), bytes), struct overlay_key,
                       key);
    key->newest = 0;
    tree_insert(&index->keys, &key->key);
    index->idle_keys++;
    return key;
}

static struct op *
op_push(struct overlay_index *index, size_t offset)
{
    if (index->count == index->capacity) {
        uint32_t capacity = index->capacity == 0 ? (uint32_t)OPS_CAPACITY_MIN : index->capacity * 2;

        index->ops = mem_realloc(MEM_SESSIONS, index->ops, index->capacity * sizeof(index->ops[0]),
                                 capacity * sizeof(index->ops[0]));
        index->capacity = capacity;
    }
    index->ops[index->count] = (struct op){.offset = (uint32_t)offset};
    return &index->ops[index->count++];
}

static void
key_index(struct overlay_index *index, struct op *op, uint32_t number, struct slice bytes)
{
    struct overlay_key *key = key_find_or_add(index, bytes);

    if (key->newest == 0) {
        index->idle_keys--;
    }
    op->of.key = key;
    op->older = key->newest;
    key->newest = number + 1;
}

static void
border_cover(struct overlay_index *index, struct border *border, uint32_t covered_by)
{
    struct op *op = &index->ops[covered_by - 1];

    border->covered_by = covered_by;
    border->next = op->of.borders;
    op->of.borders = border;
}

static struct border *
border_at(struct tree_position position)
{
    return CONTAINER_OF(tree_at(position), struct border, key);
}

/* A border at these bytes; what it divides is covered as before on both sides. */
static void
border_need(struct overlay_index *index, struct slice bytes)
{
    struct tree_position position = tree_seek_floor(&index->borders, bytes);
    uint32_t covered_by = 0;
    struct border *border;

    if (tree_position_is_valid(position)) {
        if (slice_equal(tree_key_slice(tree_at(position)), bytes)) {
            return;
        }
        covered_by = border_at(position)->covered_by;
    }
    border = CONTAINER_OF(key_new(index, offsetof(struct border, key), bytes), struct border, key);
    border->covered_by = 0;
    border->next = NULL;
    tree_insert(&index->borders, &border->key);
    if (covered_by > 0) {
        border_cover(index, border, covered_by);
    }
}

static void
range_index(struct overlay_index *index, uint32_t number, struct slice start, struct slice end)
{
    struct tree_position position;

    if (index->has_latest) {
        range_map_add(&index->latest,
                      &(struct lsm_range_delete){.start = start, .end = end, .ts = number + 1ULL},
                      &index->none);
    }
    border_need(index, start);
    border_need(index, end);
    position = tree_seek(&index->borders, start);
    while (tree_position_is_valid(position) &&
           slice_compare(tree_key_slice(tree_at(position)), end) < 0) {
        struct border *border = border_at(position);

        if (border->covered_by == 0) {
            border_cover(index, border, number + 1);
        }
        tree_next(&position);
    }
}

static struct counter_sum *
sum_find(const struct overlay_index *index, uint32_t counter)
{
    for (uint32_t i = 0; i < index->sum_count; i++) {
        if (index->sums[i].counter == counter) {
            return &index->sums[i];
        }
    }
    return NULL;
}

static void
sum_add(struct overlay_index *index, uint32_t counter, int64_t delta)
{
    struct counter_sum *sum = sum_find(index, counter);

    if (sum == NULL) {
        if (index->sum_count == index->sum_capacity) {
            uint32_t capacity = MAX(4u, index->sum_capacity * 2);

            index->sums =
                mem_realloc(MEM_SESSIONS, index->sums, index->sum_capacity * sizeof(index->sums[0]),
                            capacity * sizeof(index->sums[0]));
            index->sum_capacity = capacity;
        }
        sum = &index->sums[index->sum_count++];
        *sum = (struct counter_sum){.counter = counter};
    }
    sum->sum = (int64_t)((uint64_t)sum->sum + (uint64_t)delta);
}

static void
op_index(struct overlay_index *index, const struct record_op *written, size_t offset)
{
    uint32_t number = index->count;
    struct op *op = op_push(index, offset);

    switch (written->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        key_index(index, op, number, written->key);
        break;
    case RECORD_DELETE_RANGE:
        range_index(index, number, written->key, written->value);
        break;
    case RECORD_COUNTER_ADD:
        sum_add(index, written->counter, written->number);
        break;
    default: /* Sets a counter, or names tables: no overlay answers for these. */
        break;
    }
}

struct overlay_index *
overlay_index_get(struct overlay *overlay)
{
    const struct buf *record = &overlay->batch.record;
    struct overlay_index *index = overlay->index;
    struct record_reader reader;
    struct record_op op;

    if (index == NULL) {
        index = overlay->index = index_new();
        index->has_latest = overlay->spill != NULL;
    }
    if (index->count == overlay->batch.ops) {
        return index;
    }
    if (index->count == 0) {
        struct record_header header;
        err_t err = record_open(buf_slice(record), &header, &reader);

        ASSERT(err == ERR_OK);
    } else {
        reader.at = record->data + index->record_bytes;
        reader.end = record->data + record->size;
    }
    reader.ops_left = overlay->batch.ops - index->count;
    reader.may_ingest = true;
    while (reader.ops_left > 0) {
        size_t offset = (size_t)(reader.at - record->data);
        err_t err = record_next(&reader, &op);

        ASSERT(err == ERR_OK);
        op_index(index, &op, offset);
    }
    ASSERT(reader.at == reader.end);
    index->record_bytes = record->size;
    return index;
}

/* ---- Taking back. ---- */

static void
op_unindex(struct overlay_index *index, const struct op *op, const struct record_op *written)
{
    switch (written->kind) {
    case RECORD_PUT:
    case RECORD_PUT_LARGE:
    case RECORD_DELETE:
        op->of.key->newest = op->older;
        index->idle_keys += op->older == 0;
        break;
    case RECORD_DELETE_RANGE:
        for (struct border *border = op->of.borders; border != NULL; border = border->next) {
            border->covered_by = 0;
        }
        break;
    case RECORD_COUNTER_ADD:
        sum_add(index, written->counter, (int64_t) - (uint64_t)written->number);
        break;
    default:
        break;
    }
}

void
overlay_index_cut(struct overlay *overlay, uint32_t ops)
{
    const struct buf *record = &overlay->batch.record;
    struct overlay_index *index = overlay->index;

    if (index == NULL || index->count <= ops) {
        return;
    }
    if (index->has_latest && !range_map_is_empty(&index->latest)) {
        overlay_index_free(&overlay->index); /* What came last before is not known there. */
        return;
    }
    while (index->count > ops) {
        const struct op *op = &index->ops[--index->count];
        struct record_reader reader = {.at = record->data + op->offset,
                                       .end = record->data + record->size,
                                       .ops_left = 1,
                                       .may_ingest = true};
        struct record_op written;
        err_t err = record_next(&reader, &written);

        ASSERT(err == ERR_OK);
        op_unindex(index, op, &written);
        index->record_bytes = op->offset;
    }
    if ((index->idle_keys > IDLE_MAX && index->idle_keys > index->keys.count / 2) ||
        index->borders.count > IDLE_MAX + 4 * (uint64_t)overlay->range_deletes) {
        overlay_index_free(&overlay->index);
    }
}

/* ---- Looking. ---- */

bool
overlay_index_op(const struct overlay_index *index, const struct overlay_key *key, uint32_t before,
                 uint32_t *offset_out)
{
    uint32_t link = key->newest;

    while (link > before) {
        link = index->ops[link - 1].older;
    }
    if (link == 0) {
        return false;
    }
    *offset_out = index->ops[link - 1].offset;
    return true;
}

bool
overlay_index_op_since(const struct overlay_index *index, const struct overlay_key *key,
                       uint32_t from, uint32_t before, uint32_t *offset_out)
{
    uint32_t link = key->newest;

    while (link > before) {
        link = index->ops[link - 1].older;
    }
    if (link <= from) {
        return false;
    }
    *offset_out = index->ops[link - 1].offset;
    return true;
}

bool
overlay_index_hides_since(const struct overlay_index *index, struct slice key, uint32_t from,
                          uint32_t before)
{
    uint64_t lsn;

    ASSERT(index->has_latest);
    return range_map_ts(&index->latest, key, before, &lsn) > from;
}

static bool
border_hides(const struct border *border, uint32_t before)
{
    return border->covered_by > 0 && border->covered_by <= before;
}

bool
overlay_index_hides(const struct overlay_index *index, struct slice key, uint32_t before,
                    bool is_up, struct slice *bound_out)
{
    struct tree_position position = tree_seek_floor(&index->borders, key);

    if (!tree_position_is_valid(position) || !border_hides(border_at(position), before)) {
        return false;
    }
    if (is_up) {
        do { /* Behind the last range is a border that nothing covers. */
            tree_next(&position);
            ASSERT(tree_position_is_valid(position));
        } while (border_hides(border_at(position), before));
        *bound_out = tree_key_slice(tree_at(position));
        return true;
    }
    do {
        *bound_out = tree_key_slice(tree_at(position));
        tree_previous(&position);
    } while (tree_position_is_valid(position) && border_hides(border_at(position), before));
    return true;
}

int64_t
overlay_index_sum(const struct overlay_index *index, uint32_t counter)
{
    const struct counter_sum *sum = sum_find(index, counter);

    return sum == NULL ? 0 : sum->sum;
}
