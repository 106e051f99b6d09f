/* models/kv/stream_claim.c - XCLAIM and XAUTOCLAIM: pending entries get another consumer. */
#include "engine/base/canary.h"
#include "models/kv/stream.h"

#include "engine/base/poison.h"

/* A claim as both commands make it. */
struct claim {
    struct kv_stream stream;
    struct stream_group group;
    struct stream_consumers consumers;
    struct slice name; /* Of the new consumer. */
    uint32_t index;    /* Of it in consumers. */
    int64_t idle_min;
    uint64_t time_ms;    /* Of the delivery that the claim counts as. */
    int64_t retry_count; /* -1: one more than it was. */
    bool only_ids;       /* JUSTID */
    uint64_t replied;
};

/* The group, or the error that there is none. */
static YIELDS bool
claim_group(struct kv_request *request, struct claim *claim)
{
    bool is_found;
    err_t err =
        stream_group_get(request, &claim->stream, request->argv[2], &claim->group, &is_found);

    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    if (!is_found) {
        stream_reply_no_group(request, request->argv[1], request->argv[2]);
    }
    return is_found;
}

static bool
number_parse(struct kv_request *request, struct slice text, const char *what, int64_t *value_out)
{
    if (!reply_parse_int(text, value_out)) {
        reply_error(request->reply, "ERR Invalid %s argument for %s", what,
                    slice_equal(slice_of(command_full_name(request->command), 6), SLICE("xclaim"))
                        ? "XCLAIM"
                        : "XAUTOCLAIM");
        return false;
    }
    return true;
}

/* The consumer that claims; it is made also when it will get nothing, as Redis 7.2 does. */
static YIELDS err_t
claimer_open(struct kv_request *request, struct claim *claim)
{
    struct stream_consumer found;
    bool is_found;
    err_t err;

    TRY(stream_consumer_get(request, &claim->stream, &claim->group, claim->name, &found,
                            &is_found));
    if (!is_found) {
        stream_consumer_new(request, &claim->group, claim->name, &found);
        stream_consumer_put(request, &claim->stream, &claim->group, &found);
        kv_notify(request, KV_EVENT_STREAM, "xgroup-createconsumer", request->argv[1]);
    }
    TRY(stream_consumers_find(request, &claim->stream, &claim->group, &claim->consumers,
                              claim->name, &claim->index));
    claim->consumers.at[claim->index].seen_ms = request->now_ms;
out:
    return err;
}

/* A pending entry whose entry of the stream has been deleted goes. */
static YIELDS err_t
drop(struct kv_request *request, struct claim *claim, const struct stream_pending *pending)
{
    struct stream_consumer *owner;
    uint32_t index;
    err_t err;

    TRY(stream_consumers_find(request, &claim->stream, &claim->group, &claim->consumers,
                              pending->consumer, &index));
    owner = &claim->consumers.at[index];
    stream_pending_delete(request, &claim->stream, &claim->group, pending->id);
    stream_pending_of_delete(request, &claim->stream, &claim->group, owner, pending->id);
    owner->pending -= owner->pending > 0;
    claim->group.pending -= claim->group.pending > 0;
out:
    return err;
}

/* The entry becomes the claimer's, and is replied. is_forced: it was not pending. */
static YIELDS err_t
take(struct kv_request *request, struct claim *claim, struct stream_pending *pending,
     bool is_forced, const struct stream_entry *entry)
{
    struct stream_consumer *consumer;
    uint32_t index = UINT32_MAX;
    err_t err = ERR_OK;

    if (!is_forced) {
        TRY(stream_consumers_find(request, &claim->stream, &claim->group, &claim->consumers,
                                  pending->consumer, &index));
    }
    if (index != claim->index) {
        if (!is_forced) {
            struct stream_consumer *owner = &claim->consumers.at[index];

            stream_pending_of_delete(request, &claim->stream, &claim->group, owner, pending->id);
            owner->pending -= owner->pending > 0;
        }
        claim->consumers.at[claim->index].pending++;
    }
    claim->group.pending += is_forced;
    if (claim->retry_count >= 0) {
        pending->deliveries = (uint64_t)claim->retry_count;
    } else if (!claim->only_ids) {
        pending->deliveries++;
    }
    pending->time_ms = claim->time_ms;
    consumer = &claim->consumers.at[claim->index];
    consumer->active_ms = request->now_ms;
    stream_pending_put(request, &claim->stream, &claim->group, consumer, pending,
                       index != claim->index);
    if (claim->only_ids) {
        stream_reply_id(request->reply, pending->id);
    } else {
        stream_reply_entry(request->reply, entry);
    }
    claim->replied++;
out:
    return err;
}

static bool
is_idle(const struct kv_request *request, const struct claim *claim,
        const struct stream_pending *pending)
{
    return claim->idle_min == 0 || CANARY(GROUP_IDLE_IGNORED) ||
           (int64_t)(request->now_ms - pending->time_ms) >= claim->idle_min;
}

static void
claim_store(struct kv_request *request, const struct claim *claim)
{
    stream_consumers_put(request, &claim->stream, &claim->group, &claim->consumers);
    stream_group_put(request, &claim->stream, &claim->group);
}

/* ---- XCLAIM ---- */

struct claim_options {
    struct stream_id *ids;
    uint32_t count;
    int64_t time_ms; /* -1: now. */
    bool is_forcing;
    struct stream_id last;
};

/* Ids up to the first word that is none. */
static bool
claim_ids_parse(struct kv_request *request, struct claim_options *options)
{
    options->ids = arena_alloc(request->arena, (request->argc - 5) * sizeof(*options->ids));
    if (options->ids == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u ids", request->argc - 5);
        return false;
    }
    while (5 + options->count < request->argc &&
           stream_id_parse_quiet(request->argv[5 + options->count], 0,
                                 &options->ids[options->count])) {
        options->count++;
    }
    return true;
}

/* One option at *at, which moves to its last word. */
static bool
claim_option_parse(struct kv_request *request, struct claim *claim, struct claim_options *options,
                   uint32_t *at)
{
    struct slice word = request->argv[*at];
    bool has_more = *at + 1 < request->argc;

    if (kv_word_is(word, "force")) {
        options->is_forcing = true;
    } else if (kv_word_is(word, "justid")) {
        claim->only_ids = true;
    } else if (kv_word_is(word, "idle") && has_more) {
        if (!number_parse(request, request->argv[++*at], "IDLE option", &options->time_ms)) {
            return false;
        }
        if (__builtin_sub_overflow((int64_t)request->now_ms, options->time_ms, &options->time_ms)) {
            options->time_ms = (int64_t)request->now_ms;
        }
    } else if (kv_word_is(word, "time") && has_more) {
        return number_parse(request, request->argv[++*at], "TIME option", &options->time_ms);
    } else if (kv_word_is(word, "retrycount") && has_more) {
        return number_parse(request, request->argv[++*at], "RETRYCOUNT option",
                            &claim->retry_count);
    } else if (kv_word_is(word, "lastid") && has_more) {
        return stream_id_parse(request, request->argv[++*at], 0, &options->last);
    } else {
        reply_error(request->reply, "ERR Unrecognized XCLAIM option '%.*s'", (int)word.size,
                    (const char *)word.data);
        return false;
    }
    return true;
}

static bool
claim_options_parse(struct kv_request *request, struct claim *claim, struct claim_options *options)
{
    int64_t now = (int64_t)request->now_ms;

    *options = (struct claim_options){.time_ms = -1};
    if (!number_parse(request, request->argv[4], "min-idle-time", &claim->idle_min) ||
        !claim_ids_parse(request, options)) {
        return false;
    }
    claim->idle_min = MAX(claim->idle_min, (int64_t)0);
    for (uint32_t at = 5 + options->count; at < request->argc; at++) {
        if (!claim_option_parse(request, claim, options, &at)) {
            return false;
        }
    }
    /* Times that cannot be are taken as now: clocks differ. */
    claim->time_ms =
        (uint64_t)(options->time_ms < 0 || options->time_ms > now ? now : options->time_ms);
    return true;
}

static YIELDS err_t
claim_one(struct kv_request *request, struct claim *claim, const struct claim_options *options,
          struct stream_id id)
{
    struct stream_pending pending;
    struct stream_entry entry;
    bool is_pending;
    bool is_there;
    err_t err;

    TRY(stream_pending_get(request, &claim->stream, &claim->group, id, &pending, &is_pending));
    TRY(stream_entry_get(request, &claim->stream, id, &entry, &is_there));
    if (!is_there) {
        return is_pending ? drop(request, claim, &pending) : ERR_OK;
    }
    if (is_pending && is_idle(request, claim, &pending)) {
        TRY(take(request, claim, &pending, false, &entry));
    } else if (!is_pending && options->is_forcing) {
        pending = (struct stream_pending){.id = id, .deliveries = 1};
        TRY(take(request, claim, &pending, true, &entry));
    }
out:
    return err;
}

void
kv_command_xclaim(struct kv_request *request)
{
    struct claim claim = {.name = request->argv[3], .retry_count = -1};
    struct claim_options options;
    struct reply_mark mark;
    err_t err;

    if (!kv_element_fits(request, "name of the consumer",
                         STREAM_NUMBER_BYTES + request->argv[3].size) ||
        !stream_lookup(request, request->argv[1], KV_LOOKUP_READ, &claim.stream) ||
        !claim_group(request, &claim) || !claim_options_parse(request, &claim, &options)) {
        return;
    }
    if (stream_id_compare(options.last, claim.group.last) > 0) {
        claim.group.last = options.last;
    }
    mark = reply_mark(request->reply);
    TRY(claimer_open(request, &claim));
    for (uint32_t i = 0; i < options.count; i++) {
        TRY(claim_one(request, &claim, &options, options.ids[i]));
    }
    reply_array_at(request->reply, mark, claim.replied);
    claim_store(request, &claim);
    return;
out:
    reply_cut(request->reply, mark);
    kv_fail(request, err);
}

/* ---- XAUTOCLAIM ---- */

enum { ATTEMPTS_PER_ENTRY = 10, AUTOCLAIM_COUNT_DEFAULT = 100 };

struct autoclaim {
    struct claim claim;
    struct stream_id from;
    uint64_t count;    /* Entries that may still be replied or found deleted, */
    uint64_t attempts; /* and looked at. */
    struct stream_id *deleted;
    uint64_t deleted_count, deleted_capacity;
};

static bool
autoclaim_parse(struct kv_request *request, struct autoclaim *autoclaim)
{
    const int64_t count_max = INT64_MAX / 16;
    struct claim *claim = &autoclaim->claim;
    int64_t count = AUTOCLAIM_COUNT_DEFAULT;

    if (!number_parse(request, request->argv[4], "min-idle-time", &claim->idle_min) ||
        !stream_id_parse_start(request, request->argv[5], &autoclaim->from)) {
        return false;
    }
    claim->idle_min = MAX(claim->idle_min, (int64_t)0);
    claim->time_ms = request->now_ms;
    for (uint32_t at = 6; at < request->argc; at++) {
        if (kv_word_is(request->argv[at], "count") && at + 1 < request->argc) {
            if (!reply_parse_int(request->argv[++at], &count) || count < 1 || count > count_max) {
                reply_error(request->reply, "ERR COUNT must be > 0");
                return false;
            }
        } else if (kv_word_is(request->argv[at], "justid")) {
            claim->only_ids = true;
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    autoclaim->count = (uint64_t)count;
    autoclaim->attempts = (uint64_t)count * ATTEMPTS_PER_ENTRY;
    return true;
}

static err_t
deleted_add(struct kv_request *request, struct autoclaim *autoclaim, struct stream_id id)
{
    if (autoclaim->deleted_count == autoclaim->deleted_capacity) {
        uint64_t capacity = MAX((uint64_t)STREAM_CHUNK, 2 * autoclaim->deleted_capacity);
        struct stream_id *at = arena_alloc(request->arena, capacity * sizeof(*at));

        if (at == NULL) {
            return err_set(ERR_NO_MEMORY, "no memory for %llu ids; lower COUNT",
                           (unsigned long long)capacity);
        }
        if (autoclaim->deleted_count > 0) {
            memcpy(at, autoclaim->deleted, autoclaim->deleted_count * sizeof(*at));
        }
        autoclaim->deleted = at;
        autoclaim->deleted_capacity = capacity;
    }
    autoclaim->deleted[autoclaim->deleted_count++] = id;
    return ERR_OK;
}

static YIELDS err_t
autoclaim_one(struct kv_request *request, struct autoclaim *autoclaim,
              struct stream_pending *pending)
{
    struct claim *claim = &autoclaim->claim;
    struct stream_entry entry;
    bool is_there;
    err_t err;

    autoclaim->attempts--;
    TRY(stream_entry_get(request, &claim->stream, pending->id, &entry, &is_there));
    if (!is_there) {
        TRY(drop(request, claim, pending));
        TRY(deleted_add(request, autoclaim, pending->id));
        autoclaim->count--;
    } else if (is_idle(request, claim, pending)) {
        TRY(take(request, claim, pending, false, &entry));
        autoclaim->count--;
    }
out:
    return err;
}

/* Replies what was claimed (no header); *next_out: where to go on, 0-0 at the end. */
static YIELDS err_t
autoclaim_run(struct kv_request *request, struct autoclaim *autoclaim, struct stream_id *next_out)
{
    struct claim *claim = &autoclaim->claim;
    struct stream_pending pending[STREAM_CHUNK];
    uint32_t count;
    err_t err;

    *next_out = (struct stream_id){0};
    TRY(claimer_open(request, claim));
    do {
        TRY(stream_pending_read(request, &claim->stream, &claim->group, NULL, autoclaim->from,
                                STREAM_CHUNK, pending, &count));
        for (uint32_t i = 0; i < count; i++) {
            if (autoclaim->attempts == 0 || autoclaim->count == 0) {
                *next_out = pending[i].id;
                return ERR_OK;
            }
            autoclaim->from = pending[i].id;
            TRY(autoclaim_one(request, autoclaim, &pending[i]));
        }
    } while (count == STREAM_CHUNK && stream_id_increment(&autoclaim->from));
out:
    return err;
}

/* Behind the claimed ones, which were replied before it is known where to go on. */
static void
autoclaim_reply(struct kv_request *request, const struct autoclaim *autoclaim)
{
    reply_array(request->reply, autoclaim->deleted_count);
    for (uint64_t i = 0; i < autoclaim->deleted_count; i++) {
        stream_reply_id(request->reply, autoclaim->deleted[i]);
    }
}

void
kv_command_xautoclaim(struct kv_request *request)
{
    struct autoclaim autoclaim = {.claim = {.name = request->argv[3], .retry_count = -1}};
    struct claim *claim = &autoclaim.claim;
    struct reply_mark mark;
    struct stream_id next;
    struct reply header;
    err_t err;

    if (!kv_element_fits(request, "name of the consumer",
                         STREAM_NUMBER_BYTES + request->argv[3].size) ||
        !autoclaim_parse(request, &autoclaim) ||
        !stream_lookup(request, request->argv[1], KV_LOOKUP_READ, &claim->stream) ||
        !claim_group(request, claim)) {
        return;
    }
    mark = reply_mark(request->reply);
    err = autoclaim_run(request, &autoclaim, &next);
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
        return;
    }
    reply_array_at(request->reply, mark, claim->replied);
    reply_init(&header, request->reply->resp);
    reply_array(&header, 3);
    stream_reply_id(&header, next);
    reply_insert(request->reply, mark, buf_slice(&header.buf));
    reply_fini(&header);
    autoclaim_reply(request, &autoclaim);
    claim_store(request, claim);
}
