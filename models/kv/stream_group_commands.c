/* models/kv/stream_group_commands.c - XGROUP, XACK, XPENDING. */
#include "models/kv/stream.h"

#include "engine/base/poison.h"

/* ---- XGROUP ---- */

struct group_options {
    bool is_creating_stream; /* MKSTREAM */
    int64_t read;            /* ENTRIESREAD */
};

static void
reply_subcommand_syntax(struct kv_request *request)
{
    reply_error(request->reply,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XGROUP HELP.",
                (int)MIN(request->argv[1].size, (size_t)128), (const char *)request->argv[1].data);
}

static bool
group_options_parse(struct kv_request *request, bool is_create, struct group_options *options)
{
    *options = (struct group_options){.read = STREAM_READ_UNKNOWN};
    for (uint32_t at = 5; at < request->argc; at++) {
        if (is_create && kv_word_is(request->argv[at], "mkstream")) {
            options->is_creating_stream = true;
        } else if (kv_word_is(request->argv[at], "entriesread") && at + 1 < request->argc) {
            if (!kv_parse_int(request, request->argv[++at], &options->read)) {
                return false;
            }
            if (options->read < 0 && options->read != STREAM_READ_UNKNOWN) {
                reply_error(request->reply, "ERR value for ENTRIESREAD must be positive or -1");
                return false;
            }
        } else {
            reply_subcommand_syntax(request);
            return false;
        }
    }
    return true;
}

/* The stream of XGROUP, which exists unless it may be made. */
static YIELDS bool
group_stream_lookup(struct kv_request *request, bool may_be_missing, struct kv_stream *stream)
{
    if (!stream_lookup(request, request->argv[2], 0, stream)) {
        return false;
    }
    if (!stream->object.is_found && !may_be_missing) {
        reply_error(request->reply,
                    "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE "
                    "you may want to use the MKSTREAM option to create an empty stream "
                    "automatically.");
        return false;
    }
    return true;
}

/* The stream and its group, which must exist. */
static YIELDS bool
group_lookup(struct kv_request *request, struct kv_stream *stream, struct stream_group *group)
{
    bool is_found;
    err_t err;

    if (!group_stream_lookup(request, false, stream)) {
        return false;
    }
    err = stream_group_get(request, stream, request->argv[3], group, &is_found);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    if (!is_found) {
        reply_error(request->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                    (int)request->argv[3].size, (const char *)request->argv[3].data,
                    (int)request->argv[2].size, (const char *)request->argv[2].data);
    }
    return is_found;
}

/* "$" is the last id. */
static bool
group_id_parse(struct kv_request *request, const struct kv_stream *stream, bool is_strict,
               struct stream_id *id_out)
{
    if (slice_equal(request->argv[4], SLICE("$"))) {
        *id_out = stream->last;
        return true;
    }
    return is_strict ? stream_id_parse(request, request->argv[4], 0, id_out)
                     : stream_id_parse_any(request, request->argv[4], 0, id_out);
}

static void
notify(struct kv_request *request, const char *event)
{
    kv_notify(request, KV_EVENT_STREAM, event, request->argv[2]);
}

void
kv_command_xgroup_create(struct kv_request *request)
{
    const struct kv_head none = {0};
    struct group_options options;
    struct kv_stream stream;
    struct stream_group group;
    struct stream_id id;
    bool is_found;
    err_t err;

    if (!group_options_parse(request, true, &options) ||
        !group_stream_lookup(request, options.is_creating_stream, &stream) ||
        !group_id_parse(request, &stream, true, &id) ||
        !kv_element_fits(request, "name of the group", request->argv[3].size)) {
        return;
    }
    if (!stream.object.is_found) {
        TRY(stream_create(request, &none, &stream));
    }
    TRY(stream_group_get(request, &stream, request->argv[3], &group, &is_found));
    if (is_found) {
        reply_error(request->reply, "BUSYGROUP Consumer Group name already exists");
        return;
    }
    stream_group_new(&stream, request->argv[3], id, options.read, &group);
    stream_group_put(request, &stream, &group);
    stream_store(request, &stream);
    notify(request, "xgroup-create");
    reply_ok(request->reply);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_xgroup_setid(struct kv_request *request)
{
    struct group_options options;
    struct kv_stream stream;
    struct stream_group group;

    if (!group_options_parse(request, false, &options) || !group_lookup(request, &stream, &group) ||
        !group_id_parse(request, &stream, false, &group.last)) {
        return;
    }
    group.read = options.read;
    stream_group_put(request, &stream, &group);
    stream_store(request, &stream); /* Readers that wait may have something to read now. */
    notify(request, "xgroup-setid");
    reply_ok(request->reply);
}

void
kv_command_xgroup_destroy(struct kv_request *request)
{
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!group_stream_lookup(request, false, &stream)) {
        return;
    }
    err = stream_group_get(request, &stream, request->argv[3], &group, &is_found);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (is_found) {
        stream_group_remove(request, &stream, &group);
        stream.groups--;
        stream_store(request, &stream);
        notify(request, "xgroup-destroy");
    }
    reply_int(request->reply, is_found);
}

void
kv_command_xgroup_createconsumer(struct kv_request *request)
{
    struct stream_consumer consumer;
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!kv_element_fits(request, "name of the consumer",
                         STREAM_NUMBER_BYTES + request->argv[4].size) ||
        !group_lookup(request, &stream, &group)) {
        return;
    }
    err = stream_consumer_get(request, &stream, &group, request->argv[4], &consumer, &is_found);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (!is_found) {
        stream_consumer_new(request, &group, request->argv[4], &consumer);
        stream_consumer_put(request, &stream, &group, &consumer);
        stream_group_put(request, &stream, &group);
        notify(request, "xgroup-createconsumer");
    }
    reply_int(request->reply, !is_found);
}

void
kv_command_xgroup_delconsumer(struct kv_request *request)
{
    struct stream_consumer consumer = {.pending = 0};
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!group_lookup(request, &stream, &group)) {
        return;
    }
    TRY(stream_consumer_get(request, &stream, &group, request->argv[4], &consumer, &is_found));
    if (is_found) {
        TRY(stream_consumer_remove(request, &stream, &group, &consumer));
        notify(request, "xgroup-delconsumer");
    }
    reply_int(request->reply, (int64_t)consumer.pending);
    return;
out:
    kv_fail(request, err);
}

static void
reply_lines(struct kv_request *request, const char *const *lines, uint32_t count)
{
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_simple(request->reply, lines[i]);
    }
}

void
kv_command_xgroup_help(struct kv_request *request)
{
    static const char *const lines[] = {
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Make a consumer group that begins behind the id. Options:",
        "    * MKSTREAM",
        "      Make an empty stream when there is none.",
        "    * ENTRIESREAD entries_read",
        "      How many entries the group counts as read.",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Make a consumer in the group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove a consumer and what is pending for it.",
        "DESTROY <key> <groupname>",
        "    Remove a group and all that belongs to it.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the id behind which the group goes on, and its count of read entries.",
        "HELP",
        "    Print this help.",
    };

    reply_lines(request, lines, ARRAY_COUNT(lines));
}

/* ---- XACK ---- */

/* Takes a pending entry from the group and its consumer; the counts are put later. */
static YIELDS err_t
pending_take(struct kv_request *request, const struct kv_stream *stream, struct stream_group *group,
             struct stream_consumers *consumers, struct stream_id id, bool *is_found_out)
{
    struct stream_pending pending;
    uint32_t index;
    err_t err;

    TRY(stream_pending_get(request, stream, group, id, &pending, is_found_out));
    if (!*is_found_out) {
        return ERR_OK;
    }
    TRY(stream_consumers_find(request, stream, group, consumers, pending.consumer, &index));
    stream_pending_delete(request, stream, group, id);
    stream_pending_of_delete(request, stream, group, &consumers->at[index], id);
    consumers->at[index].pending -= consumers->at[index].pending > 0;
    group->pending -= group->pending > 0;
out:
    return err;
}

void
kv_command_xack(struct kv_request *request)
{
    struct stream_consumers consumers = {0};
    uint32_t count = request->argc - 3;
    struct kv_stream stream;
    struct stream_group group;
    struct stream_id *ids;
    int64_t acknowledged = 0;
    bool is_found = false;
    err_t err;

    if (!stream_lookup(request, request->argv[1], KV_LOOKUP_READ, &stream)) {
        return;
    }
    TRY(stream_group_get(request, &stream, request->argv[2], &group, &is_found));
    if (!is_found) {
        reply_int(request->reply, 0);
        return;
    }
    ids = stream_ids_parse(request, 3, count);
    if (ids == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(pending_take(request, &stream, &group, &consumers, ids[i], &is_found));
        acknowledged += is_found;
    }
    if (acknowledged > 0) {
        stream_consumers_put(request, &stream, &group, &consumers);
        stream_group_put(request, &stream, &group);
    }
    reply_int(request->reply, acknowledged);
    return;
out:
    kv_fail(request, err);
}

/* ---- XPENDING ---- */

struct pending_options {
    bool is_summary;
    int64_t idle_min;
    uint64_t count;
    struct stream_id start, end;
    struct slice consumer; /* NULL data: of all. */
};

static bool
pending_options_parse(struct kv_request *request, struct pending_options *options)
{
    uint32_t at = 3;
    int64_t count;

    *options = (struct pending_options){.is_summary = request->argc == 3};
    if (options->is_summary) {
        return true;
    }
    if (request->argc < 6 || request->argc > 9) {
        kv_reply_syntax_error(request);
        return false;
    }
    if (kv_word_is(request->argv[3], "idle")) {
        if (!kv_parse_int(request, request->argv[4], &options->idle_min)) {
            return false;
        }
        if (request->argc < 8) {
            kv_reply_syntax_error(request);
            return false;
        }
        at = 5;
    }
    if (!kv_parse_int(request, request->argv[at + 2], &count) ||
        !stream_id_parse_start(request, request->argv[at], &options->start) ||
        !stream_id_parse_end(request, request->argv[at + 1], &options->end)) {
        return false;
    }
    options->count = (uint64_t)MAX(count, (int64_t)0);
    if (at + 3 < request->argc) {
        options->consumer = request->argv[at + 3];
    }
    return true;
}

/* Who has something pending, and how much. */
static YIELDS err_t
reply_consumers(struct kv_request *request, const struct kv_stream *stream,
                const struct stream_group *group)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct stream_consumer consumer;
    struct stream_names names;
    uint64_t count = 0;
    bool is_found;
    err_t err;

    TRY(stream_consumers_open(request, stream, group, &names));
    while ((err = stream_consumers_next(&names, &consumer, &is_found)) == ERR_OK && is_found) {
        if (consumer.pending > 0) {
            reply_array(request->reply, 2);
            reply_bulk(request->reply, consumer.name);
            reply_bulk_int(request->reply, (int64_t)consumer.pending);
            count++;
        }
        kv_work(request, STREAM_WORK_UNITS);
    }
    stream_names_close(&names);
    reply_array_at(request->reply, mark, count);
out:
    return err;
}

static YIELDS err_t
reply_summary(struct kv_request *request, const struct kv_stream *stream,
              const struct stream_group *group)
{
    struct stream_pending first;
    struct stream_id last;
    uint32_t count;
    err_t err = ERR_OK;

    if (group->pending == 0) {
        reply_array(request->reply, 4);
        reply_int(request->reply, 0);
        reply_null(request->reply);
        reply_null(request->reply);
        reply_null_array(request->reply);
        return ERR_OK;
    }
    TRY(stream_pending_read(request, stream, group, NULL, (struct stream_id){0}, 1, &first,
                            &count));
    TRY(stream_pending_last(request, stream, group, &last));
    reply_array(request->reply, 4);
    reply_int(request->reply, (int64_t)group->pending);
    stream_reply_id(request->reply, count > 0 ? first.id : last);
    stream_reply_id(request->reply, last);
    TRY(reply_consumers(request, stream, group));
out:
    return err;
}

static void
reply_pending(struct kv_request *request, const struct stream_pending *pending)
{
    uint64_t now = request->now_ms;

    reply_array(request->reply, 4);
    stream_reply_id(request->reply, pending->id);
    reply_bulk(request->reply, pending->consumer);
    reply_int(request->reply, pending->time_ms < now ? (int64_t)(now - pending->time_ms) : 0);
    reply_int(request->reply, (int64_t)pending->deliveries);
}

/* What is pending between two ids, of the group or (not NULL) of one consumer. */
static YIELDS err_t
reply_range(struct kv_request *request, const struct kv_stream *stream,
            const struct stream_group *group, const struct stream_consumer *consumer,
            const struct pending_options *options)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct stream_pending pending[STREAM_CHUNK];
    struct stream_id from = options->start;
    uint64_t replied = 0;
    bool has_more = true;
    uint32_t most;
    uint32_t count;
    err_t err = ERR_OK;

    while (has_more && replied < options->count) {
        most = options->idle_min != 0
                   ? STREAM_CHUNK
                   : (uint32_t)MIN(options->count - replied, (uint64_t)STREAM_CHUNK);
        TRY(stream_pending_read(request, stream, group, consumer, from, most, pending, &count));
        has_more = count == most;
        for (uint32_t i = 0; i < count && replied < options->count; i++) {
            from = pending[i].id;
            if (stream_id_compare(from, options->end) > 0) {
                has_more = false;
                break;
            }
            if (options->idle_min == 0 ||
                (int64_t)(request->now_ms - pending[i].time_ms) >= options->idle_min) {
                reply_pending(request, &pending[i]);
                replied++;
            }
        }
        has_more = has_more && stream_id_increment(&from);
    }
    reply_array_at(request->reply, mark, replied);
out:
    return err;
}

static YIELDS err_t
reply_details(struct kv_request *request, const struct kv_stream *stream,
              const struct stream_group *group, const struct pending_options *options)
{
    struct stream_consumer consumer;
    bool is_found;
    err_t err;

    if (options->consumer.data == NULL) {
        return reply_range(request, stream, group, NULL, options);
    }
    TRY(stream_consumer_get(request, stream, group, options->consumer, &consumer, &is_found));
    if (!is_found) {
        reply_array(request->reply, 0);
        return ERR_OK;
    }
    err = reply_range(request, stream, group, &consumer, options);
out:
    return err;
}

void
kv_command_xpending(struct kv_request *request)
{
    struct pending_options options;
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!pending_options_parse(request, &options) ||
        !stream_lookup(request, request->argv[1], KV_LOOKUP_READ, &stream)) {
        return;
    }
    TRY(stream_group_get(request, &stream, request->argv[2], &group, &is_found));
    if (!is_found) {
        stream_reply_no_group(request, request->argv[1], request->argv[2]);
        return;
    }
    TRY(options.is_summary ? reply_summary(request, &stream, &group)
                           : reply_details(request, &stream, &group, &options));
    return;
out:
    kv_fail(request, err);
}
