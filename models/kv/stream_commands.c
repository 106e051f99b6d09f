/* models/kv/stream_commands.c - XADD, XLEN, XRANGE, XREVRANGE, XDEL, XTRIM, XSETID. */
#include "models/kv/stream.h"

#include "engine/base/poison.h"

/* ---- Options of XADD and XTRIM ---- */

struct add_options {
    struct stream_trim trim;
    bool has_limit;
    bool only_existing; /* NOMKSTREAM */
    bool has_id;        /* Other than "*". */
    bool has_seq;       /* Other than "ms-*". */
    struct stream_id id;
};

static bool
refuse(struct kv_request *request, const char *text)
{
    reply_error(request->reply, "ERR %s", text);
    return false;
}

/* MAXLEN or MINID at *at, which moves to its last word. */
static bool
trim_parse(struct kv_request *request, struct stream_trim *trim, enum stream_trim_by by,
           uint32_t *at)
{
    struct slice next = request->argv[*at + 1];
    bool has_more = *at + 2 < request->argc;
    int64_t length;

    if (trim->by != STREAM_TRIM_NONE) {
        return refuse(request, "syntax error, MAXLEN and MINID options at the same time are not "
                               "compatible");
    }
    trim->is_rough = has_more && slice_equal(next, SLICE("~"));
    *at += trim->is_rough || (has_more && slice_equal(next, SLICE("="))) ? 2 : 1;
    trim->by = by;
    if (by == STREAM_TRIM_MINID) {
        return stream_id_parse(request, request->argv[*at], 0, &trim->id_min);
    }
    if (!kv_parse_int(request, request->argv[*at], &length)) {
        return false;
    }
    if (length < 0) {
        return refuse(request, "The MAXLEN argument must be >= 0.");
    }
    trim->length_max = (uint64_t)length;
    return true;
}

static bool
limit_parse(struct kv_request *request, struct add_options *options, struct slice text)
{
    int64_t limit;

    if (!kv_parse_int(request, text, &limit)) {
        return false;
    }
    if (limit < 0) {
        return refuse(request, "The LIMIT argument must be >= 0.");
    }
    options->trim.limit = (uint64_t)limit;
    options->has_limit = true;
    return true;
}

/* After all words: what fits together, and the limit that "~" has by itself. */
static bool
options_check(struct kv_request *request, struct add_options *options, bool is_add)
{
    const uint64_t limit_default = 10000;
    const uint64_t limit_most = 1000000;
    const uint64_t nodes = 100;
    struct stream_trim *trim = &options->trim;

    if (trim->limit != 0 && trim->by == STREAM_TRIM_NONE) {
        return refuse(request, "syntax error, LIMIT cannot be used without specifying a trimming "
                               "strategy");
    }
    if (!is_add && trim->by == STREAM_TRIM_NONE) {
        return refuse(request, "syntax error, XTRIM must be called with a trimming strategy");
    }
    if (options->has_limit && !trim->is_rough) {
        return refuse(request, "syntax error, LIMIT cannot be used without the special ~ option");
    }
    if (!options->has_limit && trim->is_rough) {
        uint64_t entries = kv_self()->config.limits.stream_node_entries;

        trim->limit = entries == 0 ? limit_default : MIN(entries, limit_most) * nodes;
        trim->limit = MIN(trim->limit, limit_most);
    }
    return true;
}

/* *at_out: the place of the id, where the words of XADD end. */
static bool
add_options_parse(struct kv_request *request, bool is_add, struct add_options *options,
                  uint32_t *at_out)
{
    uint32_t at;

    *options = (struct add_options){.has_seq = true};
    for (at = 2; at < request->argc; at++) {
        struct slice word = request->argv[at];
        bool has_more = at + 1 < request->argc;
        bool is_fine = true;

        if (is_add && slice_equal(word, SLICE("*"))) {
            break;
        }
        if (kv_word_is(word, "maxlen") && has_more) {
            is_fine = trim_parse(request, &options->trim, STREAM_TRIM_MAXLEN, &at);
        } else if (kv_word_is(word, "minid") && has_more) {
            is_fine = trim_parse(request, &options->trim, STREAM_TRIM_MINID, &at);
        } else if (kv_word_is(word, "limit") && has_more) {
            is_fine = limit_parse(request, options, request->argv[++at]);
        } else if (is_add && kv_word_is(word, "nomkstream")) {
            options->only_existing = true;
        } else if (is_add) {
            if (!stream_id_parse_new(request, word, &options->id, &options->has_seq)) {
                return false;
            }
            options->has_id = true;
            break;
        } else {
            kv_reply_syntax_error(request);
            is_fine = false;
        }
        if (!is_fine) {
            return false;
        }
    }
    *at_out = at;
    return options_check(request, options, is_add);
}

/* ---- XADD ---- */

/* The id of the new entry, above the last; replies and returns false. */
static bool
id_choose(struct kv_request *request, const struct kv_stream *stream,
          const struct add_options *options, struct stream_id *id_out)
{
    struct stream_id id = options->id;

    if (stream_id_compare(stream->last, STREAM_ID_MAX) == 0) {
        return refuse(request, "The stream has exhausted the last possible ID, unable to add more "
                               "items");
    }
    if (!options->has_id) {
        id = (struct stream_id){.ms = request->now_ms};
        if (stream->last.ms >= id.ms) {
            id = stream->last;
            (void)stream_id_increment(&id); /* It is not the largest. */
        }
    } else if (!options->has_seq && id.ms == stream->last.ms) {
        id.seq = stream->last.seq + 1; /* 0 after the largest: refused below. */
    }
    if (stream_id_compare(id, stream->last) <= 0) {
        return refuse(request, "The ID specified in XADD is equal or smaller than the target "
                               "stream top item");
    }
    *id_out = id;
    return true;
}

static bool
words_fit(struct kv_request *request, uint32_t first)
{
    const uint64_t bytes_most = UINT64_C(1) << 30;
    uint64_t bytes = 0;

    for (uint32_t i = first; i < request->argc; i++) {
        bytes += request->argv[i].size;
    }
    return bytes <= bytes_most || refuse(request, "Elements are too large to be stored");
}

static YIELDS err_t
add(struct kv_request *request, struct kv_stream *stream, const struct add_options *options,
    struct stream_id id, uint32_t first)
{
    const struct kv_head none = {0};
    uint64_t removed;
    err_t err;

    if (!stream->object.is_found) {
        TRY(stream_create(request, &none, stream));
    }
    TRY(stream_append(request, stream, id, request->argv + first, (request->argc - first) / 2));
    TRY(stream_trim(request, stream, &options->trim, &removed));
    stream_store(request, stream);
    kv_notify(request, KV_EVENT_STREAM, "xadd", stream->object.name);
    if (removed > 0) {
        kv_notify(request, KV_EVENT_STREAM, "xtrim", stream->object.name);
    }
    stream_reply_id(request->reply, id);
out:
    return err;
}

void
kv_command_xadd(struct kv_request *request)
{
    struct add_options options;
    struct kv_stream stream;
    struct stream_id id;
    uint32_t at;
    uint32_t words;
    err_t err;

    if (!add_options_parse(request, true, &options, &at)) {
        return;
    }
    words = request->argc - MIN(request->argc, at + 1);
    if (words < 2 || words % 2 != 0) {
        reply_error(request->reply, "ERR wrong number of arguments for 'xadd' command");
        return;
    }
    if (options.has_id && options.has_seq && stream_id_is_zero(options.id)) {
        reply_error(request->reply, "ERR The ID specified in XADD must be greater than 0-0");
        return;
    }
    if (!stream_lookup(request, request->argv[1], 0, &stream)) {
        return;
    }
    if (!stream.object.is_found && options.only_existing) {
        reply_null(request->reply);
        return;
    }
    if (!id_choose(request, &stream, &options, &id) || !words_fit(request, at + 1)) {
        return;
    }
    err = add(request, &stream, &options, id, at + 1);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

/* ---- XTRIM, XLEN ---- */

void
kv_command_xtrim(struct kv_request *request)
{
    struct add_options options;
    struct kv_stream stream;
    uint64_t removed;
    uint32_t at;
    err_t err;

    if (!add_options_parse(request, false, &options, &at) ||
        !stream_lookup(request, request->argv[1], 0, &stream)) {
        return;
    }
    err = stream_trim(request, &stream, &options.trim, &removed);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (removed > 0) {
        stream_store(request, &stream);
        kv_notify(request, KV_EVENT_STREAM, "xtrim", stream.object.name);
    }
    reply_int(request->reply, (int64_t)removed);
}

void
kv_command_xlen(struct kv_request *request)
{
    struct kv_object object;

    if (kv_lookup(request, request->argv[1], KV_LOOKUP_READ, &object) &&
        kv_is_type(request, &object, KV_STREAM)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.count : 0);
    }
}

/* ---- XRANGE, XREVRANGE ---- */

/* COUNT; -1: not given. */
static bool
range_options_parse(struct kv_request *request, int64_t *count_out)
{
    *count_out = -1;
    for (uint32_t at = 4; at < request->argc; at++) {
        if (!kv_word_is(request->argv[at], "count") || at + 1 >= request->argc) {
            kv_reply_syntax_error(request);
            return false;
        }
        if (!kv_parse_int(request, request->argv[++at], count_out)) {
            return false;
        }
        *count_out = MAX(*count_out, (int64_t)0);
    }
    return true;
}

static YIELDS void
range(struct kv_request *request, bool is_backward)
{
    struct kv_stream stream;
    struct stream_id start;
    struct stream_id end;
    int64_t count;
    err_t err;

    if (!stream_id_parse_start(request, request->argv[is_backward ? 3 : 2], &start) ||
        !stream_id_parse_end(request, request->argv[is_backward ? 2 : 3], &end) ||
        !range_options_parse(request, &count) ||
        !stream_lookup(request, request->argv[1], KV_LOOKUP_READ, &stream)) {
        return;
    }
    if (!stream.object.is_found) {
        reply_array(request->reply, 0);
        return;
    }
    if (count == 0) {
        reply_null_array(request->reply);
        return;
    }
    err = stream_reply_range(request, &stream, start, end, count < 0 ? 0 : (uint64_t)count,
                             is_backward);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

void
kv_command_xrange(struct kv_request *request)
{
    range(request, false);
}

void
kv_command_xrevrange(struct kv_request *request)
{
    range(request, true);
}

/* ---- XDEL ---- */

static YIELDS err_t
entry_delete(struct kv_request *request, struct kv_stream *stream, struct stream_id id,
             bool *is_first, uint64_t *deleted)
{
    uint8_t key[STREAM_ID_BYTES];
    struct stream_entry entry;
    bool is_found;
    err_t err;

    TRY(stream_entry_get(request, stream, id, &entry, &is_found));
    if (is_found) {
        stream_id_encode(key, id);
        kv_element_delete(request, &stream->collection, STREAM_ENTRY, slice_of(key, sizeof(key)));
        stream_node_leave(stream, entry.node, 1);
        stream->length--;
        *is_first |= stream_id_compare(id, stream->first) == 0;
        if (stream_id_compare(id, stream->max_deleted) > 0) {
            stream->max_deleted = id;
        }
        ++*deleted;
    }
    kv_work(request, STREAM_WORK_UNITS);
out:
    return err;
}

void
kv_command_xdel(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    struct stream_id *ids;
    struct kv_stream stream;
    uint64_t deleted = 0;
    bool is_first = false;
    err_t err;

    if (!stream_lookup(request, request->argv[1], 0, &stream)) {
        return;
    }
    if (!stream.object.is_found) {
        reply_int(request->reply, 0);
        return;
    }
    ids = stream_ids_parse(request, 2, count);
    if (ids == NULL) {
        return;
    }
    for (uint32_t i = 0; i < count && stream.length > 0; i++) {
        TRY(entry_delete(request, &stream, ids[i], &is_first, &deleted));
    }
    if (deleted > 0) {
        if (stream.length == 0) {
            stream_first_set(&stream, (struct stream_id){0}, 0);
        } else if (is_first) {
            struct stream_id first;
            uint64_t node = 0;

            TRY(stream_first_from(request, &stream, stream.first, &first, &node));
            stream_first_set(&stream, first, node);
        }
        stream_store(request, &stream);
        kv_notify(request, KV_EVENT_STREAM, "xdel", stream.object.name);
    }
    reply_int(request->reply, (int64_t)deleted);
    return;
out:
    kv_fail(request, err);
}

/* ---- XSETID ---- */

struct setid_options {
    struct stream_id id;
    int64_t added; /* -1: not given. */
    struct stream_id max_deleted;
};

static bool
setid_options_parse(struct kv_request *request, struct setid_options *options)
{
    *options = (struct setid_options){.added = -1};
    if (!stream_id_parse(request, request->argv[2], 0, &options->id)) {
        return false;
    }
    for (uint32_t at = 3; at < request->argc; at++) {
        struct slice word = request->argv[at];
        bool has_more = at + 1 < request->argc;

        if (kv_word_is(word, "entriesadded") && has_more) {
            if (!kv_parse_int(request, request->argv[++at], &options->added)) {
                return false;
            }
            if (options->added < 0) {
                return refuse(request, "entries_added must be positive");
            }
        } else if (kv_word_is(word, "maxdeletedid") && has_more) {
            if (!stream_id_parse(request, request->argv[++at], 0, &options->max_deleted)) {
                return false;
            }
            if (stream_id_compare(options->id, options->max_deleted) < 0) {
                return refuse(request, "The ID specified in XSETID is smaller than the provided "
                                       "max_deleted_entry_id");
            }
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

/* Nothing that is there may come to lie above the last id. */
static YIELDS bool
setid_fits(struct kv_request *request, const struct kv_stream *stream,
           const struct setid_options *options)
{
    struct stream_id last = {0};
    err_t err;

    if (stream->length == 0) {
        return true;
    }
    err = stream_last_valid(request, stream, &last);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    if (stream_id_compare(options->id, last) < 0) {
        return refuse(request, "The ID specified in XSETID is smaller than the target stream top "
                               "item");
    }
    if (options->added != -1 && stream->length > (uint64_t)options->added) {
        return refuse(request, "The entries_added specified in XSETID is smaller than the target "
                               "stream length");
    }
    return true;
}

void
kv_command_xsetid(struct kv_request *request)
{
    struct setid_options options;
    struct kv_stream stream;

    if (!setid_options_parse(request, &options) ||
        !stream_lookup(request, request->argv[1], 0, &stream)) {
        return;
    }
    if (!stream.object.is_found) {
        reply_error(request->reply, "ERR no such key");
        return;
    }
    if (!setid_fits(request, &stream, &options)) {
        return;
    }
    stream.last = options.id;
    stream.added = options.added != -1 ? (uint64_t)options.added : stream.added;
    if (!stream_id_is_zero(options.max_deleted)) {
        stream.max_deleted = options.max_deleted;
    }
    stream_store(request, &stream);
    kv_notify(request, KV_EVENT_STREAM, "xsetid", stream.object.name);
    reply_ok(request->reply);
}
