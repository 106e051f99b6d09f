/* models/kv/stream_info.c - XINFO. */
#include "models/kv/stream.h"

#include "engine/base/poison.h"

enum { FULL_COUNT_DEFAULT = 10 };

static void
reply_field(struct kv_request *request, const char *name, int64_t value)
{
    reply_bulk_text(request->reply, name);
    reply_int(request->reply, value);
}

static void
reply_field_id(struct kv_request *request, const char *name, struct stream_id id)
{
    reply_bulk_text(request->reply, name);
    stream_reply_id(request->reply, id);
}

static YIELDS bool
info_lookup(struct kv_request *request, struct kv_stream *stream)
{
    if (!stream_lookup(request, request->argv[2], KV_LOOKUP_READ, stream)) {
        return false;
    }
    if (!stream->object.is_found) {
        reply_error(request->reply, "ERR no such key");
        return false;
    }
    return true;
}

/* Milliseconds since a time; 0 for one to come. */
static int64_t
since(const struct kv_request *request, uint64_t time_ms)
{
    return time_ms < request->now_ms ? (int64_t)(request->now_ms - time_ms) : 0;
}

/* ---- XINFO CONSUMERS, GROUPS ---- */

void
kv_command_xinfo_consumers(struct kv_request *request)
{
    struct stream_consumer consumer;
    struct stream_names names;
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!info_lookup(request, &stream)) {
        return;
    }
    TRY(stream_group_get(request, &stream, request->argv[3], &group, &is_found));
    if (!is_found) {
        reply_error(request->reply, "NOGROUP No such consumer group '%.*s' for key name '%.*s'",
                    (int)request->argv[3].size, (const char *)request->argv[3].data,
                    (int)request->argv[2].size, (const char *)request->argv[2].data);
        return;
    }
    TRY(stream_consumers_open(request, &stream, &group, &names));
    reply_array(request->reply, group.consumers);
    while ((err = stream_consumers_next(&names, &consumer, &is_found)) == ERR_OK && is_found) {
        reply_map(request->reply, 4);
        reply_bulk_text(request->reply, "name");
        reply_bulk(request->reply, consumer.name);
        reply_field(request, "pending", (int64_t)consumer.pending);
        reply_field(request, "idle", since(request, consumer.seen_ms));
        reply_field(request, "inactive",
                    consumer.active_ms == 0 ? -1 : since(request, consumer.active_ms));
        kv_work(request, STREAM_WORK_UNITS);
    }
    stream_names_close(&names);
    TRY(err);
    return;
out:
    kv_fail(request, err);
}

static void
reply_lag(struct kv_request *request, const struct kv_stream *stream,
          const struct stream_group *group)
{
    int64_t lag;

    reply_bulk_text(request->reply, "entries-read");
    if (group->read == STREAM_READ_UNKNOWN) {
        reply_null(request->reply);
    } else {
        reply_int(request->reply, group->read);
    }
    reply_bulk_text(request->reply, "lag");
    if (stream_group_lag(stream, group, &lag)) {
        reply_int(request->reply, lag);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_xinfo_groups(struct kv_request *request)
{
    struct stream_names names;
    struct kv_stream stream;
    struct stream_group group;
    bool is_found;
    err_t err;

    if (!info_lookup(request, &stream)) {
        return;
    }
    TRY(stream_groups_open(request, &stream, &names));
    reply_array(request->reply, stream.groups);
    while ((err = stream_groups_next(&names, &group, &is_found)) == ERR_OK && is_found) {
        reply_map(request->reply, 6);
        reply_bulk_text(request->reply, "name");
        reply_bulk(request->reply, group.name);
        reply_field(request, "consumers", (int64_t)group.consumers);
        reply_field(request, "pending", (int64_t)group.pending);
        reply_field_id(request, "last-delivered-id", group.last);
        reply_lag(request, &stream, &group);
        kv_work(request, STREAM_WORK_UNITS);
    }
    stream_names_close(&names);
    TRY(err);
    return;
out:
    kv_fail(request, err);
}

/* ---- XINFO STREAM ---- */

static bool
full_parse(struct kv_request *request, bool *is_full_out, uint64_t *count_out)
{
    uint32_t options = request->argc - 3;
    bool is_fine =
        options == 0 || ((options == 1 || options == 3) && kv_word_is(request->argv[3], "full") &&
                         (options == 1 || kv_word_is(request->argv[4], "count")));
    int64_t count = FULL_COUNT_DEFAULT;

    if (!is_fine) {
        reply_error(request->reply,
                    "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try XINFO "
                    "HELP.",
                    (int)MIN(request->argv[1].size, (size_t)128),
                    (const char *)request->argv[1].data);
        return false;
    }
    *is_full_out = options > 0;
    if (options == 3 && !kv_parse_int(request, request->argv[5], &count)) {
        return false;
    }
    *count_out = (uint64_t)(count < 0 ? FULL_COUNT_DEFAULT : count);
    return true;
}

/* Redis's tree has a key for each node of entries: those from the first entry's to the last, of
 * which some may have been removed amid the stream. */
static YIELDS err_t
nodes_count(struct kv_request *request, const struct kv_stream *stream, uint64_t *nodes_out)
{
    struct stream_entry entry;
    bool is_found = false;
    err_t err = ERR_OK;

    *nodes_out = 0;
    if (stream->length > 0) {
        TRY(stream_entry_get(request, stream, stream->first, &entry, &is_found));
        *nodes_out = !is_found || entry.node > stream->node.number
                         ? 1
                         : stream->node.number - entry.node + 1;
    }
out:
    return err;
}

static YIELDS err_t
reply_stream(struct kv_request *request, const struct kv_stream *stream, uint64_t fields)
{
    uint64_t nodes;
    err_t err;

    TRY(nodes_count(request, stream, &nodes));
    reply_map(request->reply, fields);
    reply_field(request, "length", (int64_t)stream->length);
    reply_field(request, "radix-tree-keys", (int64_t)nodes);
    reply_field(request, "radix-tree-nodes", (int64_t)nodes + 1);
    reply_field_id(request, "last-generated-id", stream->last);
    reply_field_id(request, "max-deleted-entry-id", stream->max_deleted);
    reply_field(request, "entries-added", (int64_t)stream->added);
    reply_field_id(request, "recorded-first-entry-id", stream->first);
out:
    return err;
}

static YIELDS err_t
reply_edge(struct kv_request *request, const struct kv_stream *stream, const char *name,
           bool is_last)
{
    struct stream_cursor cursor;
    struct stream_entry entry;
    bool is_found;
    err_t err;

    reply_bulk_text(request->reply, name);
    TRY(stream_cursor_open(request, stream, (struct stream_id){0}, STREAM_ID_MAX, is_last,
                           &cursor));
    err = stream_cursor_next(request, &cursor, &entry, &is_found);
    if (err == ERR_OK && is_found) {
        stream_reply_entry(request->reply, &entry);
    } else {
        reply_null(request->reply);
    }
    stream_cursor_close(&cursor);
out:
    return err;
}

static YIELDS err_t
reply_summary(struct kv_request *request, const struct kv_stream *stream)
{
    err_t err;

    TRY(reply_stream(request, stream, 10));
    reply_field(request, "groups", (int64_t)stream->groups);
    TRY(reply_edge(request, stream, "first-entry", false));
    TRY(reply_edge(request, stream, "last-entry", true));
out:
    return err;
}

/* Up to so many (0: all) pending entries: of the group with their consumers, or of one consumer. */
static YIELDS err_t
reply_pending(struct kv_request *request, const struct kv_stream *stream,
              const struct stream_group *group, const struct stream_consumer *consumer,
              uint64_t most)
{
    uint64_t total = consumer != NULL ? consumer->pending : group->pending;
    uint64_t left = most == 0 ? total : MIN(most, total);
    struct stream_pending pending[STREAM_CHUNK];
    struct stream_id from = {0};
    uint32_t count;
    err_t err = ERR_OK;

    reply_bulk_text(request->reply, "pending");
    reply_array(request->reply, left);
    while (left > 0) {
        TRY(stream_pending_read(request, stream, group, consumer, from,
                                (uint32_t)MIN(left, (uint64_t)STREAM_CHUNK), pending, &count));
        for (uint32_t i = 0; i < count; i++) {
            reply_array(request->reply, consumer == NULL ? 4 : 3);
            stream_reply_id(request->reply, pending[i].id);
            if (consumer == NULL) {
                reply_bulk(request->reply, pending[i].consumer);
            }
            reply_int(request->reply, (int64_t)pending[i].time_ms);
            reply_int(request->reply, (int64_t)pending[i].deliveries);
            from = pending[i].id;
        }
        left -= count;
        if (count == 0 || (!stream_id_increment(&from) && left > 0)) {
            return err_set(ERR_CORRUPT, "a stream counts pending entries that are not there");
        }
    }
out:
    return err;
}

static YIELDS err_t
reply_consumers(struct kv_request *request, const struct kv_stream *stream,
                const struct stream_group *group, uint64_t most)
{
    struct stream_consumer consumer;
    struct stream_names names;
    bool is_found;
    err_t err;

    reply_bulk_text(request->reply, "consumers");
    reply_array(request->reply, group->consumers);
    TRY(stream_consumers_open(request, stream, group, &names));
    while ((err = stream_consumers_next(&names, &consumer, &is_found)) == ERR_OK && is_found) {
        reply_map(request->reply, 5);
        reply_bulk_text(request->reply, "name");
        reply_bulk(request->reply, consumer.name);
        reply_field(request, "seen-time", (int64_t)consumer.seen_ms);
        reply_field(request, "active-time",
                    consumer.active_ms == 0 ? -1 : (int64_t)consumer.active_ms);
        reply_field(request, "pel-count", (int64_t)consumer.pending);
        err = reply_pending(request, stream, group, &consumer, most);
        if (err != ERR_OK) {
            break;
        }
    }
    stream_names_close(&names);
out:
    return err;
}

static YIELDS err_t
reply_full(struct kv_request *request, const struct kv_stream *stream, uint64_t most)
{
    struct stream_names names;
    struct stream_group group;
    bool is_found;
    err_t err;

    TRY(reply_stream(request, stream, 9));
    reply_bulk_text(request->reply, "entries");
    TRY(stream_reply_range(request, stream, (struct stream_id){0}, STREAM_ID_MAX, most, false));
    reply_bulk_text(request->reply, "groups");
    reply_array(request->reply, stream->groups);
    TRY(stream_groups_open(request, stream, &names));
    while ((err = stream_groups_next(&names, &group, &is_found)) == ERR_OK && is_found) {
        reply_map(request->reply, 7);
        reply_bulk_text(request->reply, "name");
        reply_bulk(request->reply, group.name);
        reply_field_id(request, "last-delivered-id", group.last);
        reply_lag(request, stream, &group);
        reply_field(request, "pel-count", (int64_t)group.pending);
        err = reply_pending(request, stream, &group, NULL, most);
        err = err != ERR_OK ? err : reply_consumers(request, stream, &group, most);
        if (err != ERR_OK) {
            break;
        }
    }
    stream_names_close(&names);
out:
    return err;
}

void
kv_command_xinfo_stream(struct kv_request *request)
{
    struct reply_mark mark = reply_mark(request->reply);
    struct kv_stream stream;
    uint64_t most;
    bool is_full;
    err_t err;

    if (!info_lookup(request, &stream) || !full_parse(request, &is_full, &most)) {
        return;
    }
    err = is_full ? reply_full(request, &stream, most) : reply_summary(request, &stream);
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
    }
}

void
kv_command_xinfo_help(struct kv_request *request)
{
    static const char *const lines[] = {
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    The consumers of a group.",
        "GROUPS <key>",
        "    The groups of a stream.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    What a stream is; FULL: with its first entries, groups and pending entries.",
        "HELP",
        "    Print this help.",
    };

    reply_array(request->reply, ARRAY_COUNT(lines));
    for (uint32_t i = 0; i < ARRAY_COUNT(lines); i++) {
        reply_simple(request->reply, lines[i]);
    }
}
