/* models/kv/stream_read.c - XREAD and XREADGROUP.
 *
 * What waits (BLOCK) runs again from its beginning when a stream changed. What "$" meant at the
 * first run is kept in the wait's state: an id of 16 bytes for each stream. */
#include "engine/base/canary.h"
#include "models/kv/block.h"
#include "models/kv/stream.h"

#include "engine/base/poison.h"

struct read_options {
    bool has_block;
    uint64_t deadline_us; /* With BLOCK. */
    uint64_t count;       /* Of each stream; 0: all. */
    uint32_t first;       /* Of the keys, in argv; behind them as many ids. */
    uint32_t streams;
    bool is_group; /* XREADGROUP */
    bool is_noack;
    struct slice group, consumer; /* NULL data: not given. */
};

/* One of the streams. */
struct reading {
    struct kv_stream stream;
    struct stream_group group;
    struct stream_id after; /* Entries behind it are read. */
    bool is_new;            /* ">": what the group was not given yet. */
};

/* ---- Options ---- */

static bool
refuse(struct kv_request *request, const char *text)
{
    reply_error(request->reply, "ERR %s", text);
    return false;
}

static bool
streams_parse(struct kv_request *request, struct read_options *options, uint32_t first)
{
    options->first = first;
    options->streams = (request->argc - first) / 2;
    if ((request->argc - first) % 2 != 0) {
        reply_error(request->reply,
                    "ERR Unbalanced '%s' list of streams: for each stream key an ID or '%c' must "
                    "be specified.",
                    command_full_name(request->command), options->is_group ? '>' : '$');
        return false;
    }
    return true;
}

/* One option at *at, which moves to its last word; after STREAMS to the end. */
static bool
option_parse(struct kv_request *request, struct read_options *options, uint32_t *at)
{
    struct slice word = request->argv[*at];
    uint32_t more = request->argc - *at - 1;
    int64_t count;

    if (kv_word_is(word, "block") && more > 0) {
        if (request->in_script) {
            reply_error(request->reply,
                        "ERR %.*s command is not allowed with BLOCK option from scripts",
                        (int)request->argv[0].size, (const char *)request->argv[0].data);
            return false;
        }
        options->has_block = true;
        return kv_block_parse_milliseconds(request, request->argv[++*at], &options->deadline_us);
    }
    if (kv_word_is(word, "count") && more > 0) {
        if (!kv_parse_int(request, request->argv[++*at], &count)) {
            return false;
        }
        options->count = (uint64_t)MAX(count, (int64_t)0);
        return true;
    }
    if (kv_word_is(word, "streams") && more > 0) {
        uint32_t first = *at + 1;

        *at = request->argc;
        return streams_parse(request, options, first);
    }
    if (kv_word_is(word, "group") && more >= 2) {
        if (!options->is_group) {
            return refuse(request, "The GROUP option is only supported by XREADGROUP. You called "
                                   "XREAD instead.");
        }
        options->group = request->argv[*at + 1];
        options->consumer = request->argv[*at + 2];
        *at += 2;
        return true;
    }
    if (kv_word_is(word, "noack")) {
        options->is_noack = true;
        return options->is_group || refuse(request, "The NOACK option is only supported by "
                                                    "XREADGROUP. You called XREAD instead.");
    }
    kv_reply_syntax_error(request);
    return false;
}

static bool
options_parse(struct kv_request *request, bool is_group, struct read_options *options)
{
    *options = (struct read_options){.is_group = is_group};
    for (uint32_t at = 1; at < request->argc; at++) {
        if (!option_parse(request, options, &at)) {
            return false;
        }
    }
    if (options->first == 0) {
        kv_reply_syntax_error(request);
        return false;
    }
    if (is_group && options->group.data == NULL) {
        return refuse(request, "Missing GROUP option for XREADGROUP");
    }
    return !is_group || kv_element_fits(request, "name of the consumer",
                                        STREAM_NUMBER_BYTES + options->consumer.size);
}

/* ---- Where to read ---- */

static YIELDS bool
group_find(struct kv_request *request, const struct read_options *options, struct slice key,
           struct reading *reading)
{
    bool is_found = false;
    err_t err = ERR_OK;

    if (reading->stream.object.is_found) {
        err =
            stream_group_get(request, &reading->stream, options->group, &reading->group, &is_found);
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    if (!is_found) {
        reply_error(request->reply,
                    "NOGROUP No such key '%.*s' or consumer group '%.*s' in XREADGROUP with GROUP "
                    "option",
                    (int)key.size, (const char *)key.data, (int)options->group.size,
                    (const char *)options->group.data);
    }
    return is_found;
}

/* The id that "$" was at the first run, of the stream with this index; false: this is the first. */
static bool
after_recall(const struct kv_request *request, uint32_t index, struct stream_id *after_out)
{
    const struct buf *state = request->block != NULL ? &request->block->state : NULL;

    if (state == NULL || state->size < (size_t)(index + 1) * STREAM_ID_BYTES) {
        return false;
    }
    *after_out = stream_id_decode(state->data + (size_t)index * STREAM_ID_BYTES);
    return true;
}

static bool
after_parse(struct kv_request *request, const struct read_options *options, uint32_t index,
            struct reading *reading)
{
    struct slice text = request->argv[options->first + options->streams + index];

    if (slice_equal(text, SLICE("$"))) {
        if (options->is_group) {
            return refuse(request,
                          "The $ ID is meaningless in the context of XREADGROUP: you want to read "
                          "the history of this consumer by specifying a proper ID, or use the > "
                          "ID to get new messages. The $ ID would just return an empty result "
                          "set.");
        }
        if (!after_recall(request, index, &reading->after)) {
            reading->after = reading->stream.last;
        }
        return true;
    }
    if (slice_equal(text, SLICE(">"))) {
        reading->is_new = true;
        return options->is_group || refuse(request, "The > ID can be specified only when calling "
                                                    "XREADGROUP using the GROUP <group> "
                                                    "<consumer> option.");
    }
    if (!stream_id_parse(request, text, 0, &reading->after)) {
        return false;
    }
    /* Redis knows ">" by the largest id. */
    reading->is_new = options->is_group && stream_id_compare(reading->after, STREAM_ID_MAX) == 0;
    return true;
}

/* For XREAD that waits, what has become another type is as good as nothing. */
static YIELDS bool
reading_lookup(struct kv_request *request, const struct read_options *options, struct slice key,
               struct reading *reading)
{
    struct kv_object *object = &reading->stream.object;
    bool has_waited = request->block != NULL && request->block->state.size > 0;
    err_t err;

    if (options->is_group || !has_waited) {
        return stream_lookup(request, key, KV_LOOKUP_READ, &reading->stream);
    }
    if (!kv_lookup(request, key, 0, object)) {
        return false;
    }
    object->is_found = object->is_found && object->head.type == KV_STREAM;
    err = stream_open(&reading->stream);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

/* All streams and where their reading begins: errors come before anything is read. */
static YIELDS struct reading *
readings_make(struct kv_request *request, const struct read_options *options)
{
    struct reading *readings = arena_alloc(request->arena, options->streams * sizeof(*readings));

    if (readings == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u streams", options->streams);
        return NULL;
    }
    for (uint32_t i = 0; i < options->streams; i++) {
        struct slice key = request->argv[options->first + i];

        readings[i] = (struct reading){.is_new = false};
        if (!reading_lookup(request, options, key, &readings[i]) ||
            (options->is_group && !group_find(request, options, key, &readings[i])) ||
            !after_parse(request, options, i, &readings[i])) {
            return NULL;
        }
    }
    return readings;
}

/* ---- Reading for a group ---- */

/* A delivery: the state of the group and the consumer, which are put at the end. */
struct delivery {
    const struct kv_stream *stream;
    struct stream_group group;
    struct stream_consumers consumers; /* The first is who reads. */
    bool is_noack;
};

/* How far the group has come with this entry. */
static void
group_advance(struct delivery *delivery, struct stream_id id)
{
    struct stream_group *group = &delivery->group;

    if (group->read != STREAM_READ_UNKNOWN && !stream_has_gaps_after(delivery->stream, id)) {
        group->read++;
    } else if (delivery->stream->added > 0) {
        group->read = stream_read_estimate(delivery->stream, id);
    }
    group->last = id;
}

/* The entry is pending for the reader: also when it was for somebody else, since XGROUP SETID may
 * have gone back. */
static YIELDS err_t
pend(struct kv_request *request, struct delivery *delivery, struct stream_id id)
{
    struct stream_pending pending;
    uint32_t index = UINT32_MAX;
    bool is_found;
    err_t err;

    TRY(stream_pending_get(request, delivery->stream, &delivery->group, id, &pending, &is_found));
    if (is_found) {
        TRY(stream_consumers_find(request, delivery->stream, &delivery->group, &delivery->consumers,
                                  pending.consumer, &index));
    }
    if (is_found && index != 0) {
        struct stream_consumer *owner = &delivery->consumers.at[index];

        stream_pending_of_delete(request, delivery->stream, &delivery->group, owner, id);
        owner->pending -= owner->pending > 0;
    }
    pending = (struct stream_pending){.id = id, .time_ms = request->now_ms, .deliveries = 1};
    stream_pending_put(request, delivery->stream, &delivery->group, &delivery->consumers.at[0],
                       &pending, index != 0);
    delivery->consumers.at[0].pending += index != 0;
    delivery->consumers.at[0].active_ms = request->now_ms;
    delivery->group.pending += !is_found;
out:
    return err;
}

/* What the group was not given yet. */
static YIELDS err_t
deliver_new(struct kv_request *request, struct delivery *delivery, uint64_t count,
            uint64_t *replied)
{
    struct stream_id start = delivery->group.last;
    struct stream_cursor cursor;
    struct stream_entry entry;
    bool is_found;
    err_t err = ERR_OK;

    if (!stream_id_increment(&start)) {
        return ERR_OK;
    }
    TRY(stream_cursor_open(request, delivery->stream, start, STREAM_ID_MAX, false, &cursor));
    while (count == 0 || *replied < count) {
        err = stream_cursor_next(request, &cursor, &entry, &is_found);
        if (err != ERR_OK || !is_found) {
            break;
        }
        group_advance(delivery, entry.id);
        stream_reply_entry(request->reply, &entry);
        ++*replied;
        if (!delivery->is_noack && !(CANARY(GROUP_PENDING_LOST) && kv_block_is_repeat(request))) {
            err = pend(request, delivery, entry.id);
        }
        if (err != ERR_OK) {
            break;
        }
    }
    stream_cursor_close(&cursor);
out:
    return err;
}

/* One that is pending: delivered once more, or its id alone when it was deleted. */
static YIELDS err_t
deliver_again(struct kv_request *request, struct delivery *delivery, struct stream_pending *pending)
{
    struct stream_entry entry;
    bool is_there;
    err_t err;

    TRY(stream_entry_get(request, delivery->stream, pending->id, &entry, &is_there));
    if (is_there) {
        stream_reply_entry(request->reply, &entry);
        pending->time_ms = request->now_ms;
        pending->deliveries++;
        stream_pending_put(request, delivery->stream, &delivery->group, &delivery->consumers.at[0],
                           pending, false);
    } else {
        reply_array(request->reply, 2);
        stream_reply_id(request->reply, pending->id);
        reply_null_array(request->reply);
    }
out:
    return err;
}

/* What is pending for the consumer, behind an id. */
static YIELDS err_t
deliver_history(struct kv_request *request, struct delivery *delivery, struct stream_id after,
                uint64_t count, uint64_t *replied)
{
    struct stream_pending pending[STREAM_CHUNK];
    uint32_t read = STREAM_CHUNK;
    uint32_t most = STREAM_CHUNK;
    err_t err = ERR_OK;

    while (read == most && (count == 0 || *replied < count) && stream_id_increment(&after)) {
        most = count == 0 ? STREAM_CHUNK : (uint32_t)MIN(count - *replied, (uint64_t)STREAM_CHUNK);
        TRY(stream_pending_read(request, delivery->stream, &delivery->group,
                                &delivery->consumers.at[0], after, most, pending, &read));
        for (uint32_t i = 0; i < read; i++) {
            TRY(deliver_again(request, delivery, &pending[i]));
            after = pending[i].id;
        }
        *replied += read;
    }
out:
    return err;
}

/* The reader, which is made when it is new. */
static YIELDS err_t
reader_open(struct kv_request *request, const struct read_options *options, struct slice key,
            struct delivery *delivery)
{
    struct stream_consumer *reader = arena_alloc(request->arena, sizeof(*reader));
    bool is_found;
    err_t err;

    TRY(stream_consumer_get(request, delivery->stream, &delivery->group, options->consumer, reader,
                            &is_found));
    if (!is_found) {
        stream_consumer_new(request, &delivery->group, options->consumer, reader);
        kv_notify(request, KV_EVENT_STREAM, "xgroup-createconsumer", key);
    }
    reader->seen_ms = request->now_ms;
    delivery->consumers = (struct stream_consumers){.at = reader, .count = 1, .capacity = 1};
out:
    return err;
}

/* The entries of one stream for the group; *is_served_out: also when history is empty. */
static YIELDS err_t
read_for_group(struct kv_request *request, const struct read_options *options,
               const struct reading *reading, struct slice key, bool *is_served_out)
{
    struct delivery delivery = {.stream = &reading->stream, .is_noack = options->is_noack};
    struct reply_mark mark = reply_mark(request->reply);
    /* A wait that is woken for nothing writes nothing. */
    bool is_first = request->block == NULL || request->block->state.size == 0;
    uint64_t replied = 0;
    bool is_found;
    err_t err;

    /* Once more: the same stream may have been read a moment ago. */
    TRY(stream_group_get(request, &reading->stream, options->group, &delivery.group, &is_found));
    if (!is_found) {
        return err_set(ERR_CORRUPT, "a stream's group has vanished");
    }
    TRY(reader_open(request, options, key, &delivery));
    TRY(reading->is_new
            ? deliver_new(request, &delivery, options->count, &replied)
            : deliver_history(request, &delivery, reading->after, options->count, &replied));
    *is_served_out = replied > 0 || !reading->is_new;
    if (*is_served_out) {
        reply_array_at(request->reply, mark, replied);
    }
    if (*is_served_out || is_first) {
        stream_consumers_put(request, &reading->stream, &delivery.group, &delivery.consumers);
        stream_group_put(request, &reading->stream, &delivery.group);
    }
out:
    return err;
}

/* ---- Both ---- */

static YIELDS err_t
read_plain(struct kv_request *request, const struct read_options *options,
           const struct reading *reading, bool *is_served_out)
{
    struct stream_id start = reading->after;
    struct stream_id first = {0};
    uint64_t node;
    err_t err = ERR_OK;

    *is_served_out = false;
    if (stream_id_compare(start, reading->stream.last) >= 0 || !stream_id_increment(&start)) {
        return ERR_OK;
    }
    TRY(stream_first_from(request, &reading->stream, start, &first, &node));
    if (!stream_id_is_zero(first)) {
        *is_served_out = true;
        err = stream_reply_range(request, &reading->stream, first, STREAM_ID_MAX, options->count,
                                 false);
    }
out:
    return err;
}

/* One stream: its name and its entries, or nothing. */
static YIELDS err_t
read_one(struct kv_request *request, const struct read_options *options,
         const struct reading *reading, struct slice key, bool *is_served_out)
{
    struct reply_mark mark = reply_mark(request->reply);
    err_t err;

    *is_served_out = false;
    if (!reading->stream.object.is_found) {
        return ERR_OK;
    }
    if (request->reply->resp == 2) {
        reply_array(request->reply, 2);
    }
    reply_bulk(request->reply, key);
    TRY(options->is_group ? read_for_group(request, options, reading, key, is_served_out)
                          : read_plain(request, options, reading, is_served_out));
    if (!*is_served_out) {
        reply_cut(request->reply, mark);
    }
out:
    return err;
}

/* Until one of the streams has something; at once where nobody may wait. */
static void
wait_for_entry(struct kv_request *request, const struct read_options *options,
               const struct reading *readings)
{
    const struct kv_block_wait wait = {
        .first = options->first,
        .count = options->streams,
        .type = KV_STREAM,
        .on_removal = options->is_group,
        .is_shared = !options->is_group,
        .reply = KV_BLOCK_NULL_ARRAY,
        .deadline_us = options->deadline_us,
    };
    uint8_t id[STREAM_ID_BYTES];

    if (request->block != NULL && request->block->state.size == 0) {
        for (uint32_t i = 0; i < options->streams; i++) {
            stream_id_encode(id, readings[i].after);
            buf_append(&request->block->state, id, sizeof(id));
        }
    }
    kv_block_ask(request, &wait);
}

/* Readers of groups are served in the order in which they began to wait. */
static bool
must_wait(const struct kv_request *request, const struct read_options *options,
          const struct reading *reading, struct slice key)
{
    return options->has_block && options->is_group && reading->is_new &&
           kv_block_is_taken(request, key);
}

static YIELDS void
read_streams(struct kv_request *request, bool is_group)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct read_options options;
    struct reading *readings;
    uint64_t served = 0;

    if (!options_parse(request, is_group, &options)) {
        return;
    }
    readings = readings_make(request, &options);
    if (readings == NULL) {
        return;
    }
    for (uint32_t i = 0; i < options.streams; i++) {
        struct slice key = request->argv[options.first + i];
        bool is_served = false;
        err_t err = must_wait(request, &options, &readings[i], key)
                        ? ERR_OK
                        : read_one(request, &options, &readings[i], key, &is_served);

        if (err != ERR_OK) {
            reply_cut(request->reply, mark);
            kv_fail(request, err);
            return;
        }
        served += is_served;
    }
    if (served > 0 && request->reply->resp == 2) {
        reply_array_at(request->reply, mark, served);
    } else if (served > 0) {
        reply_map_at(request->reply, mark, served);
    } else if (options.has_block) {
        wait_for_entry(request, &options, readings);
    } else {
        reply_null_array(request->reply);
    }
}

void
kv_command_xread(struct kv_request *request)
{
    read_streams(request, false);
}

void
kv_command_xreadgroup(struct kv_request *request)
{
    read_streams(request, true);
}
