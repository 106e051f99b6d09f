/* models/kv/stream_group.c - consumer groups: how groups, consumers and pending entries are stored.
 *
 * A pending entry is two elements: one of the group, by id, which says whose it is, and one of the
 * consumer, by id, which says nothing more. Groups and consumers count theirs. */
#include "models/kv/stream.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    GROUP_NUMBERS = 7,
    CONSUMER_NUMBERS = 4,
    PENDING_NUMBERS = 2,
    PREFIX_BYTES_MAX = 2 * STREAM_NUMBER_BYTES, /* Group, consumer. */
    CONSUMERS_FIRST = 8,
};

/* ---- Encodings ---- */

static size_t
numbers_encode(uint8_t *out, const uint64_t *numbers, uint32_t count)
{
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        size += put_varint(out + size, numbers[i]);
    }
    return size;
}

/* How many bytes they take; 0: malformed. */
static size_t
numbers_decode(struct slice value, uint64_t *numbers, uint32_t count)
{
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        size_t used = get_varint(value.data + size, value.data + value.size, &numbers[i]);

        if (used == 0) {
            return 0;
        }
        size += used;
    }
    return size;
}

err_t
stream_group_decode(struct slice name, struct slice value, struct stream_group *group_out)
{
    uint64_t numbers[GROUP_NUMBERS];

    if (numbers_decode(value, numbers, GROUP_NUMBERS) != value.size || value.size == 0 ||
        numbers[0] == UINT64_MAX) {
        return err_set(ERR_CORRUPT, "a stream's group of %zu bytes is malformed", value.size);
    }
    *group_out = (struct stream_group){
        .name = name,
        .number = numbers[0],
        .last = {numbers[1], numbers[2]},
        .read = (int64_t)(numbers[3] - 1),
        .pending = numbers[4],
        .consumers = numbers[5],
        .next_consumer = numbers[6],
    };
    return ERR_OK;
}

static err_t
consumer_decode(struct slice name, struct slice value, struct stream_consumer *consumer_out)
{
    uint64_t numbers[CONSUMER_NUMBERS];

    if (numbers_decode(value, numbers, CONSUMER_NUMBERS) != value.size || value.size == 0 ||
        numbers[0] == UINT64_MAX) {
        return err_set(ERR_CORRUPT, "a stream's consumer of %zu bytes is malformed", value.size);
    }
    *consumer_out = (struct stream_consumer){
        .name = name,
        .number = numbers[0],
        .seen_ms = numbers[1],
        .active_ms = numbers[2],
        .pending = numbers[3],
    };
    return ERR_OK;
}

static err_t
pending_decode(struct stream_id id, struct slice value, struct stream_pending *pending_out)
{
    uint64_t numbers[PENDING_NUMBERS];
    size_t size = numbers_decode(value, numbers, PENDING_NUMBERS);

    if (size == 0) {
        return err_set(ERR_CORRUPT, "a stream's pending entry of %zu bytes is malformed",
                       value.size);
    }
    *pending_out = (struct stream_pending){
        .id = id,
        .time_ms = numbers[0],
        .deliveries = numbers[1],
        .consumer = slice_of(value.data + size, value.size - size),
    };
    return ERR_OK;
}

/* Group, [consumer,] id. */
static size_t
pending_key(uint8_t out[PREFIX_BYTES_MAX + STREAM_ID_BYTES], const struct stream_group *group,
            const struct stream_consumer *consumer, struct stream_id id)
{
    size_t size = STREAM_NUMBER_BYTES;

    put_be64(out, group->number);
    if (consumer != NULL) {
        put_be64(out + size, consumer->number);
        size += STREAM_NUMBER_BYTES;
    }
    stream_id_encode(out + size, id);
    return size + STREAM_ID_BYTES;
}

/* Group, name; in the arena. */
static struct slice
consumer_key(struct kv_request *request, const struct stream_group *group, struct slice name)
{
    uint8_t *key = arena_alloc(request->arena, STREAM_NUMBER_BYTES + name.size);

    put_be64(key, group->number);
    if (name.size > 0) {
        memcpy(key + STREAM_NUMBER_BYTES, name.data, name.size);
    }
    return slice_of(key, STREAM_NUMBER_BYTES + name.size);
}

/* All elements of a kind whose keys begin with the prefix. */
struct range {
    uint8_t lower[KV_ELEMENT_PREFIX_BYTES + PREFIX_BYTES_MAX + STREAM_ID_BYTES];
    uint8_t upper[KV_ELEMENT_PREFIX_BYTES + PREFIX_BYTES_MAX];
    size_t lower_size, upper_size;
};

static void
range_of(const struct kv_stream *stream, uint8_t kind, const struct stream_group *group,
         const struct stream_consumer *consumer, struct range *range)
{
    const struct kv_collection *collection = &stream->collection;
    uint8_t prefix[PREFIX_BYTES_MAX];
    size_t size = STREAM_NUMBER_BYTES;

    put_be64(prefix, group->number);
    if (consumer != NULL) {
        put_be64(prefix + size, consumer->number);
        size += STREAM_NUMBER_BYTES;
    }
    range->lower_size = kv_element_encode(range->lower, collection->keyspace, collection->slot,
                                          collection->id, kind, slice_of(prefix, size));
    /* The next number: numbers are counted up from 0, so that there is one. */
    put_be64(prefix + size - STREAM_NUMBER_BYTES,
             (consumer != NULL ? consumer->number : group->number) + 1);
    range->upper_size = kv_element_encode(range->upper, collection->keyspace, collection->slot,
                                          collection->id, kind, slice_of(prefix, size));
}

static void
range_delete(struct kv_request *request, const struct kv_stream *stream, const struct range *range)
{
    txn_delete_range(request->txn, stream->collection.slot,
                     slice_of(range->lower, range->lower_size),
                     slice_of(range->upper, range->upper_size));
}

static YIELDS err_t
range_open(struct kv_request *request, const struct kv_stream *stream, const struct range *range,
           struct txn_scan **scan_out)
{
    return txn_scan_open(request->txn, stream->collection.slot,
                         slice_of(range->lower, range->lower_size),
                         slice_of(range->upper, range->upper_size), scan_out);
}

/* ---- Groups ---- */

err_t
stream_group_get(struct kv_request *request, const struct kv_stream *stream, struct slice name,
                 struct stream_group *group_out, bool *is_found_out)
{
    struct lsm_value value;
    err_t err;

    *is_found_out = false;
    if (stream->groups == 0 || name.size > KV_ELEMENT_BYTES_MAX) {
        return ERR_OK;
    }
    TRY(kv_element_get(request, &stream->collection, STREAM_GROUP, name, &value));
    if (value.is_found) {
        TRY(stream_group_decode(name, value.value, group_out));
    }
    *is_found_out = value.is_found;
out:
    return err;
}

void
stream_group_put(struct kv_request *request, const struct kv_stream *stream,
                 const struct stream_group *group)
{
    const uint64_t numbers[GROUP_NUMBERS] = {
        group->number,  group->last.ms,   group->last.seq,      (uint64_t)group->read + 1,
        group->pending, group->consumers, group->next_consumer,
    };
    uint8_t value[GROUP_NUMBERS * VARINT_BYTES_MAX];

    kv_element_put(request, &stream->collection, STREAM_GROUP, group->name,
                   slice_of(value, numbers_encode(value, numbers, GROUP_NUMBERS)));
}

void
stream_group_new(struct kv_stream *stream, struct slice name, struct stream_id last, int64_t read,
                 struct stream_group *group_out)
{
    *group_out = (struct stream_group){
        .name = name, .number = stream->next_group++, .last = last, .read = read};
    stream->groups++;
}

void
stream_group_remove(struct kv_request *request, const struct kv_stream *stream,
                    const struct stream_group *group)
{
    struct range range;

    kv_element_delete(request, &stream->collection, STREAM_GROUP, group->name);
    if (group->consumers > 0) {
        range_of(stream, STREAM_CONSUMER, group, NULL, &range);
        range_delete(request, stream, &range);
    }
    if (group->pending > 0) {
        range_of(stream, STREAM_PENDING, group, NULL, &range);
        range_delete(request, stream, &range);
        range_of(stream, STREAM_PENDING_OF, group, NULL, &range);
        range_delete(request, stream, &range);
    }
}

/* ---- Consumers ---- */

err_t
stream_consumer_get(struct kv_request *request, const struct kv_stream *stream,
                    const struct stream_group *group, struct slice name,
                    struct stream_consumer *consumer_out, bool *is_found_out)
{
    struct lsm_value value;
    err_t err;

    *is_found_out = false;
    if (group->consumers == 0 || name.size > KV_ELEMENT_BYTES_MAX - STREAM_NUMBER_BYTES) {
        return ERR_OK;
    }
    TRY(kv_element_get(request, &stream->collection, STREAM_CONSUMER,
                       consumer_key(request, group, name), &value));
    if (value.is_found) {
        TRY(consumer_decode(name, value.value, consumer_out));
    }
    *is_found_out = value.is_found;
out:
    return err;
}

void
stream_consumer_put(struct kv_request *request, const struct kv_stream *stream,
                    const struct stream_group *group, const struct stream_consumer *consumer)
{
    const uint64_t numbers[CONSUMER_NUMBERS] = {
        consumer->number,
        consumer->seen_ms,
        consumer->active_ms,
        consumer->pending,
    };
    uint8_t value[CONSUMER_NUMBERS * VARINT_BYTES_MAX];

    kv_element_put(request, &stream->collection, STREAM_CONSUMER,
                   consumer_key(request, group, consumer->name),
                   slice_of(value, numbers_encode(value, numbers, CONSUMER_NUMBERS)));
}

void
stream_consumer_new(struct kv_request *request, struct stream_group *group, struct slice name,
                    struct stream_consumer *consumer_out)
{
    *consumer_out = (struct stream_consumer){
        .name = name,
        .number = group->next_consumer++,
        .seen_ms = request->now_ms,
    };
    group->consumers++;
}

err_t
stream_consumer_remove(struct kv_request *request, const struct kv_stream *stream,
                       struct stream_group *group, const struct stream_consumer *consumer)
{
    struct stream_pending pending[STREAM_CHUNK];
    struct stream_id from = {0};
    struct range range;
    uint32_t count = consumer->pending == 0 ? 0 : STREAM_CHUNK;
    err_t err = ERR_OK;

    /* The group's entries of the consumer lie among those of others. */
    while (count == STREAM_CHUNK) {
        TRY(stream_pending_read(request, stream, group, consumer, from, STREAM_CHUNK, pending,
                                &count));
        for (uint32_t i = 0; i < count; i++) {
            stream_pending_delete(request, stream, group, pending[i].id);
            from = pending[i].id;
        }
        if (!stream_id_increment(&from)) {
            break;
        }
    }
    if (consumer->pending > 0) {
        range_of(stream, STREAM_PENDING_OF, group, consumer, &range);
        range_delete(request, stream, &range);
    }
    kv_element_delete(request, &stream->collection, STREAM_CONSUMER,
                      consumer_key(request, group, consumer->name));
    group->consumers--;
    group->pending -= MIN(group->pending, consumer->pending);
    stream_group_put(request, stream, group);
out:
    return err;
}

err_t
stream_consumers_find(struct kv_request *request, const struct kv_stream *stream,
                      const struct stream_group *group, struct stream_consumers *consumers,
                      struct slice name, uint32_t *index_out)
{
    bool is_found;
    err_t err;

    for (uint32_t i = 0; i < consumers->count; i++) {
        if (slice_equal(consumers->at[i].name, name)) {
            *index_out = i;
            return ERR_OK;
        }
    }
    if (consumers->count == consumers->capacity) {
        uint32_t capacity = MAX((uint32_t)CONSUMERS_FIRST, consumers->capacity * 2);
        struct stream_consumer *at = arena_alloc(request->arena, capacity * sizeof(*at));

        if (consumers->count > 0) {
            memcpy(at, consumers->at, consumers->count * sizeof(*at));
        }
        consumers->at = at;
        consumers->capacity = capacity;
    }
    TRY(stream_consumer_get(request, stream, group, name, &consumers->at[consumers->count],
                            &is_found));
    if (!is_found) {
        return err_set(ERR_CORRUPT, "a stream's pending entry belongs to no consumer");
    }
    *index_out = consumers->count++;
out:
    return err;
}

void
stream_consumers_put(struct kv_request *request, const struct kv_stream *stream,
                     const struct stream_group *group, const struct stream_consumers *consumers)
{
    for (uint32_t i = 0; i < consumers->count; i++) {
        stream_consumer_put(request, stream, group, &consumers->at[i]);
    }
}

/* ---- Pending entries ---- */

err_t
stream_pending_get(struct kv_request *request, const struct kv_stream *stream,
                   const struct stream_group *group, struct stream_id id,
                   struct stream_pending *pending_out, bool *is_found_out)
{
    uint8_t key[PREFIX_BYTES_MAX + STREAM_ID_BYTES];
    struct lsm_value value;
    err_t err;

    *is_found_out = false;
    if (group->pending == 0) {
        return ERR_OK;
    }
    TRY(kv_element_get(request, &stream->collection, STREAM_PENDING,
                       slice_of(key, pending_key(key, group, NULL, id)), &value));
    if (value.is_found) {
        TRY(pending_decode(id, value.value, pending_out));
    }
    *is_found_out = value.is_found;
out:
    return err;
}

void
stream_pending_put(struct kv_request *request, const struct kv_stream *stream,
                   const struct stream_group *group, const struct stream_consumer *consumer,
                   const struct stream_pending *pending, bool is_new)
{
    const uint64_t numbers[PENDING_NUMBERS] = {pending->time_ms, pending->deliveries};
    uint8_t key[PREFIX_BYTES_MAX + STREAM_ID_BYTES];
    uint8_t *value =
        arena_alloc(request->arena, PENDING_NUMBERS * VARINT_BYTES_MAX + consumer->name.size);
    size_t size = numbers_encode(value, numbers, PENDING_NUMBERS);

    if (consumer->name.size > 0) {
        memcpy(value + size, consumer->name.data, consumer->name.size);
    }
    kv_element_put(request, &stream->collection, STREAM_PENDING,
                   slice_of(key, pending_key(key, group, NULL, pending->id)),
                   slice_of(value, size + consumer->name.size));
    if (is_new) {
        kv_element_put(request, &stream->collection, STREAM_PENDING_OF,
                       slice_of(key, pending_key(key, group, consumer, pending->id)),
                       slice_of(NULL, 0));
    }
    kv_work(request, STREAM_WORK_UNITS);
}

void
stream_pending_of_delete(struct kv_request *request, const struct kv_stream *stream,
                         const struct stream_group *group, const struct stream_consumer *consumer,
                         struct stream_id id)
{
    uint8_t key[PREFIX_BYTES_MAX + STREAM_ID_BYTES];

    kv_element_delete(request, &stream->collection, STREAM_PENDING_OF,
                      slice_of(key, pending_key(key, group, consumer, id)));
}

void
stream_pending_delete(struct kv_request *request, const struct kv_stream *stream,
                      const struct stream_group *group, struct stream_id id)
{
    uint8_t key[PREFIX_BYTES_MAX + STREAM_ID_BYTES];

    kv_element_delete(request, &stream->collection, STREAM_PENDING,
                      slice_of(key, pending_key(key, group, NULL, id)));
    kv_work(request, STREAM_WORK_UNITS);
}

/* The id at the end of an element's key, behind so many bytes of numbers. */
static err_t
pending_id_at(const struct txn_scan *scan, size_t prefix, struct stream_id *id_out)
{
    struct slice element = kv_element_at(scan);

    if (element.size != prefix + STREAM_ID_BYTES) {
        return err_set(ERR_CORRUPT, "a stream's pending entry has a key of %zu bytes",
                       element.size);
    }
    *id_out = stream_id_decode(element.data + prefix);
    return ERR_OK;
}

/* The rest of what a consumer's entries say: the group has it. */
static YIELDS err_t
pending_fill(struct kv_request *request, const struct kv_stream *stream,
             const struct stream_group *group, struct stream_pending *pending, uint32_t count)
{
    uint8_t keys[STREAM_CHUNK][STREAM_NUMBER_BYTES + STREAM_ID_BYTES];
    struct slice elements[STREAM_CHUNK];
    struct lsm_value *values;
    err_t err;

    if (count == 0) {
        return ERR_OK;
    }
    values = arena_alloc(request->arena, count * sizeof(*values));
    for (uint32_t i = 0; i < count; i++) {
        put_be64(keys[i], group->number);
        stream_id_encode(keys[i] + STREAM_NUMBER_BYTES, pending[i].id);
        elements[i] = slice_of(keys[i], sizeof(keys[i]));
    }
    TRY(kv_element_get_many(request, &stream->collection, STREAM_PENDING, elements, count, values));
    for (uint32_t i = 0; i < count; i++) {
        if (!values[i].is_found) {
            return err_set(ERR_CORRUPT, "a stream's group lacks a pending entry of a consumer");
        }
        TRY(pending_decode(pending[i].id, values[i].value, &pending[i]));
    }
out:
    return err;
}

err_t
stream_pending_read(struct kv_request *request, const struct kv_stream *stream,
                    const struct stream_group *group, const struct stream_consumer *consumer,
                    struct stream_id from, uint32_t most, struct stream_pending *out,
                    uint32_t *count_out)
{
    size_t prefix = (consumer != NULL ? 2 : 1) * STREAM_NUMBER_BYTES;
    struct txn_scan *scan = NULL;
    struct range range;
    uint32_t count = 0;
    err_t err = ERR_OK;

    ASSERT(most <= STREAM_CHUNK);
    *count_out = 0;
    if (most == 0 || (consumer != NULL ? consumer->pending : group->pending) == 0) {
        return ERR_OK;
    }
    range_of(stream, consumer != NULL ? STREAM_PENDING_OF : STREAM_PENDING, group, consumer,
             &range);
    stream_id_encode(range.lower + range.lower_size, from);
    range.lower_size += STREAM_ID_BYTES;
    TRY(range_open(request, stream, &range, &scan));
    for (err = txn_scan_first(scan); err == ERR_OK && txn_scan_is_valid(scan) && count < most;
         err = txn_scan_next(scan)) {
        TRY(pending_id_at(scan, prefix, &out[count].id));
        if (consumer == NULL) {
            TRY(pending_decode(out[count].id, arena_copy(request->arena, kv_element_value(scan)),
                               &out[count]));
        }
        count++;
    }
    if (err == ERR_OK && consumer != NULL) {
        TRY(pending_fill(request, stream, group, out, count));
    }
    *count_out = count;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    kv_work(request, count * STREAM_WORK_UNITS);
    return err;
}

err_t
stream_pending_last(struct kv_request *request, const struct kv_stream *stream,
                    const struct stream_group *group, struct stream_id *id_out)
{
    struct txn_scan *scan = NULL;
    struct range range;
    err_t err;

    range_of(stream, STREAM_PENDING, group, NULL, &range);
    TRY(range_open(request, stream, &range, &scan));
    TRY(txn_scan_last(scan));
    if (!txn_scan_is_valid(scan)) {
        err = err_set(ERR_CORRUPT, "a stream's group counts pending entries that are not there");
        goto out;
    }
    err = pending_id_at(scan, STREAM_NUMBER_BYTES, id_out);
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* ---- All groups, all consumers ---- */

err_t
stream_groups_open(struct kv_request *request, const struct kv_stream *stream,
                   struct stream_names *names_out)
{
    *names_out = (struct stream_names){NULL, false};
    return stream->groups == 0 ? ERR_OK
                               : kv_elements_open(request, &stream->collection, STREAM_GROUP,
                                                  slice_of(NULL, 0), &names_out->scan);
}

err_t
stream_consumers_open(struct kv_request *request, const struct kv_stream *stream,
                      const struct stream_group *group, struct stream_names *names_out)
{
    struct range range;
    err_t err = ERR_OK;

    *names_out = (struct stream_names){NULL, false};
    if (group->consumers > 0) {
        range_of(stream, STREAM_CONSUMER, group, NULL, &range);
        TRY(range_open(request, stream, &range, &names_out->scan));
        TRY(txn_scan_first(names_out->scan));
    }
out:
    return err;
}

/* To the next element; false at the end. */
static YIELDS err_t
names_move(struct stream_names *names, bool *is_found_out)
{
    err_t err = ERR_OK;

    *is_found_out = false;
    if (names->scan == NULL) {
        return ERR_OK;
    }
    if (names->is_begun) {
        TRY(txn_scan_next(names->scan));
    }
    names->is_begun = true;
    *is_found_out = txn_scan_is_valid(names->scan);
out:
    return err;
}

err_t
stream_groups_next(struct stream_names *names, struct stream_group *group_out, bool *is_found_out)
{
    err_t err = names_move(names, is_found_out);

    if (err == ERR_OK && *is_found_out) {
        err = stream_group_decode(kv_element_at(names->scan), kv_element_value(names->scan),
                                  group_out);
    }
    return err;
}

err_t
stream_consumers_next(struct stream_names *names, struct stream_consumer *consumer_out,
                      bool *is_found_out)
{
    err_t err = names_move(names, is_found_out);
    struct slice key;

    if (err != ERR_OK || !*is_found_out) {
        return err;
    }
    key = kv_element_at(names->scan);
    if (key.size < STREAM_NUMBER_BYTES) {
        return err_set(ERR_CORRUPT, "a stream's consumer has a key of %zu bytes", key.size);
    }
    return consumer_decode(slice_of(key.data + STREAM_NUMBER_BYTES, key.size - STREAM_NUMBER_BYTES),
                           kv_element_value(names->scan), consumer_out);
}

void
stream_names_close(struct stream_names *names)
{
    if (names->scan != NULL) {
        txn_scan_close(&names->scan);
    }
}

/* ---- What a group has read ---- */

bool
stream_has_gaps_after(const struct kv_stream *stream, struct stream_id id)
{
    if (stream->length == 0 || stream_id_is_zero(stream->max_deleted) ||
        stream_id_compare(stream->first, stream->max_deleted) > 0) {
        return false;
    }
    return stream_id_compare(id, stream->max_deleted) <= 0;
}

int64_t
stream_read_estimate(const struct kv_stream *stream, struct stream_id id)
{
    int to_last = stream_id_compare(id, stream->last);
    int to_first = stream_id_compare(id, stream->first);

    if (stream->added == 0) {
        return 0;
    }
    if ((stream->length == 0 && to_last <= 0) || to_last == 0) {
        return (int64_t)stream->added;
    }
    if (to_last > 0 || (!stream_id_is_zero(stream->max_deleted) &&
                        stream_id_compare(stream->max_deleted, stream->first) >= 0)) {
        return STREAM_READ_UNKNOWN; /* To come, or behind gaps. */
    }
    if (to_first > 0) {
        return STREAM_READ_UNKNOWN;
    }
    return (int64_t)(stream->added - stream->length) + (to_first == 0);
}

bool
stream_group_lag(const struct kv_stream *stream, const struct stream_group *group, int64_t *lag_out)
{
    int64_t read = 0;

    if (stream->added > 0) {
        read = group->read != STREAM_READ_UNKNOWN && !stream_has_gaps_after(stream, group->last)
                   ? group->read
                   : stream_read_estimate(stream, group->last);
    }
    *lag_out = (int64_t)stream->added - read;
    return read != STREAM_READ_UNKNOWN;
}

void
stream_reply_no_group(struct kv_request *request, struct slice key, struct slice group)
{
    reply_error(request->reply, "NOGROUP No such key '%.*s' or consumer group '%.*s'",
                (int)key.size, (const char *)key.data, (int)group.size, (const char *)group.data);
}
