/* models/kv/zset_range.c - ranges of sorted sets: ZRANGE and its family, counts, removal. */
#include "engine/base/assert.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

/* ---- ZRANGE ---- */

struct ranging {
    enum zset_by by;
    bool is_by_given, is_direction_given; /* By the name of the command. */
    bool is_reverse;
    bool is_store;
    bool with_scores;
    int64_t offset, limit; /* limit < 0: all */
};

/* The options from argv[at] on; false after an error reply. */
static bool
options_read(struct kv_request *request, struct ranging *ranging, uint32_t at)
{
    for (; at < request->argc; at++) {
        struct slice word = request->argv[at];

        if (!ranging->is_store && kv_word_is(word, "withscores")) {
            ranging->with_scores = true;
        } else if (kv_word_is(word, "limit") && at + 2 < request->argc) {
            if (!kv_parse_int(request, request->argv[at + 1], &ranging->offset) ||
                !kv_parse_int(request, request->argv[at + 2], &ranging->limit)) {
                return false;
            }
            at += 2;
        } else if (!ranging->is_direction_given && kv_word_is(word, "rev")) {
            ranging->is_reverse = true;
        } else if (!ranging->is_by_given && kv_word_is(word, "bylex")) {
            ranging->by = ZSET_LEX;
        } else if (!ranging->is_by_given && kv_word_is(word, "byscore")) {
            ranging->by = ZSET_SCORE;
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    if (ranging->limit != -1 && ranging->by == ZSET_RANK) {
        reply_error(request->reply, "ERR syntax error, LIMIT is only supported in combination "
                                    "with either BYSCORE or BYLEX");
        return false;
    }
    if (ranging->with_scores && ranging->by == ZSET_LEX) {
        reply_error(request->reply,
                    "ERR syntax error, WITHSCORES not supported in combination with BYLEX");
        return false;
    }
    return true;
}

static YIELDS err_t
range_collect(struct kv_request *request, const struct kv_object *object,
              const struct zset_bounds *bounds, const struct ranging *ranging,
              struct zset_entries *entries)
{
    struct zset_range range;
    bool is_empty;
    err_t err;

    *entries = (struct zset_entries){0};
    TRY(zset_bounds_range(request, object, bounds, ranging->is_reverse, &range, &is_empty));
    if (ranging->by != ZSET_RANK) {
        range.offset = (uint64_t)ranging->offset; /* A negative one passes all. */
        range.limit = ranging->limit < 0 ? UINT64_MAX : (uint64_t)ranging->limit;
        is_empty |= ranging->offset < 0;
    }
    if (!is_empty) {
        TRY(zset_collect(request, object, &range, entries));
    }
out:
    return err;
}

/* The range of the key argv[key], with its ends behind it. False after an error reply. */
static YIELDS bool
range_read(struct kv_request *request, struct ranging *ranging, uint32_t key,
           struct zset_entries *entries)
{
    struct zset_bounds bounds;
    struct kv_object object;
    bool is_swapped;
    err_t err;

    ranging->limit = -1;
    if (!options_read(request, ranging, key + 3)) {
        return false;
    }
    is_swapped = ranging->is_reverse && ranging->by != ZSET_RANK;
    if (!zset_bounds_parse(request, ranging->by, request->argv[key + (is_swapped ? 2 : 1)],
                           request->argv[key + (is_swapped ? 1 : 2)], &bounds) ||
        !zset_lookup(request, request->argv[key], KV_LOOKUP_READ, &object)) {
        return false;
    }
    err = range_collect(request, &object, &bounds, ranging, entries);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

static YIELDS void
range_reply(struct kv_request *request, struct ranging ranging)
{
    struct zset_entries entries;

    if (range_read(request, &ranging, 1, &entries)) {
        zset_reply(request, &entries, ranging.with_scores);
    }
}

void
kv_command_zrange(struct kv_request *request)
{
    range_reply(request, (struct ranging){.by = ZSET_RANK});
}

void
kv_command_zrevrange(struct kv_request *request)
{
    range_reply(request, (struct ranging){
                             .is_by_given = true, .is_direction_given = true, .is_reverse = true});
}

void
kv_command_zrangebyscore(struct kv_request *request)
{
    range_reply(request, (struct ranging){
                             .by = ZSET_SCORE, .is_by_given = true, .is_direction_given = true});
}

void
kv_command_zrevrangebyscore(struct kv_request *request)
{
    range_reply(request, (struct ranging){.by = ZSET_SCORE,
                                          .is_by_given = true,
                                          .is_direction_given = true,
                                          .is_reverse = true});
}

void
kv_command_zrangebylex(struct kv_request *request)
{
    range_reply(request,
                (struct ranging){.by = ZSET_LEX, .is_by_given = true, .is_direction_given = true});
}

void
kv_command_zrevrangebylex(struct kv_request *request)
{
    range_reply(request, (struct ranging){.by = ZSET_LEX,
                                          .is_by_given = true,
                                          .is_direction_given = true,
                                          .is_reverse = true});
}

void
kv_command_zrangestore(struct kv_request *request)
{
    struct ranging ranging = {.is_store = true};
    struct zset_entries entries;
    struct kv_object object;
    err_t err;

    if (!range_read(request, &ranging, 2, &entries) ||
        !kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (ranging.is_reverse) {
        zset_entries_reverse(&entries);
    }
    err = zset_store_reply(request, &object, &entries, "zrangestore");
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

/* ---- Counting ---- */

static YIELDS err_t
range_count(struct kv_request *request, const struct kv_object *object,
            const struct zset_bounds *bounds, uint64_t *count_out)
{
    struct zset_range range;
    uint64_t first = 0;
    uint64_t end = object->head.count;
    bool is_empty;
    err_t err;

    *count_out = 0;
    TRY(zset_bounds_range(request, object, bounds, false, &range, &is_empty));
    if (is_empty) {
        return ERR_OK;
    }
    if (range.is_ranks) {
        *count_out = range.last - range.first + 1;
        return ERR_OK;
    }
    if (range.lower.size > 0) {
        TRY(zset_rank(request, object, range.lower, &first));
    }
    if (range.upper.size > 0) {
        TRY(zset_rank(request, object, range.upper, &end));
    }
    *count_out = end > first ? end - first : 0;
out:
    return err;
}

static YIELDS void
count_reply(struct kv_request *request, enum zset_by by)
{
    struct zset_bounds bounds;
    struct kv_object object;
    uint64_t count;
    err_t err;

    if (!zset_bounds_parse(request, by, request->argv[2], request->argv[3], &bounds) ||
        !zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    err = range_count(request, &object, &bounds, &count);
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else {
        reply_int(request->reply, (int64_t)count);
    }
}

void
kv_command_zcount(struct kv_request *request)
{
    count_reply(request, ZSET_SCORE);
}

void
kv_command_zlexcount(struct kv_request *request)
{
    count_reply(request, ZSET_LEX);
}

/* ---- Removing ---- */

static YIELDS void
remove_reply(struct kv_request *request, enum zset_by by)
{
    static const char *const events[] = {
        [ZSET_RANK] = "zremrangebyrank",
        [ZSET_SCORE] = "zremrangebyscore",
        [ZSET_LEX] = "zremrangebylex",
    };
    struct zset_entries entries = {0};
    struct zset_bounds bounds;
    struct zset_range range;
    struct kv_object object;
    bool is_empty;
    err_t err;

    if (!zset_bounds_parse(request, by, request->argv[2], request->argv[3], &bounds) ||
        !zset_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    err = zset_bounds_range(request, &object, &bounds, false, &range, &is_empty);
    if (err == ERR_OK && !is_empty) {
        err = zset_range_remove(request, &object, &range, &entries);
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (entries.count > 0) {
        kv_notify(request, KV_EVENT_ZSET, events[by], object.name);
        kv_notify_if_gone(request, &object);
    }
    reply_int(request->reply, entries.count);
}

void
kv_command_zremrangebyrank(struct kv_request *request)
{
    remove_reply(request, ZSET_RANK);
}

void
kv_command_zremrangebyscore(struct kv_request *request)
{
    remove_reply(request, ZSET_SCORE);
}

void
kv_command_zremrangebylex(struct kv_request *request)
{
    remove_reply(request, ZSET_LEX);
}
