/* models/kv/zset_commands.c - members of sorted sets: adding, removing, scores, ranks, ZSCAN. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

/* ---- ZADD and ZINCRBY ---- */

static bool
option_read(struct zset_adding *adding, struct slice word)
{
    bool *const flags[] = {&adding->nx, &adding->xx, &adding->gt,
                           &adding->lt, &adding->ch, &adding->incr};
    static const char *const words[] = {"nx", "xx", "gt", "lt", "ch", "incr"};

    for (uint32_t i = 0; i < ARRAY_COUNT(words); i++) {
        if (kv_word_is(word, words[i])) {
            *flags[i] = true;
            return true;
        }
    }
    return false;
}

/* What is wrong with the options; NULL: nothing. */
static const char *
options_error(const struct zset_adding *adding, uint32_t words)
{
    if (words == 0 || words % 2 != 0) {
        return "ERR syntax error";
    }
    if (adding->nx && adding->xx) {
        return "ERR XX and NX options at the same time are not compatible";
    }
    if ((adding->gt && adding->nx) || (adding->lt && adding->nx) || (adding->gt && adding->lt)) {
        return "ERR GT, LT, and/or NX options at the same time are not compatible";
    }
    if (adding->incr && words > 2) {
        return "ERR INCR option supports a single increment-element pair";
    }
    return NULL;
}

/* Pairs of a score and a member from argv[first] on; false after an error reply. */
static bool
pairs_parse(struct kv_request *request, struct zset_adding *adding, uint32_t first)
{
    const char *error = options_error(adding, request->argc - first);

    if (error != NULL) {
        reply_error(request->reply, "%s", error);
        return false;
    }
    adding->count = (request->argc - first) / 2;
    adding->scores = arena_alloc(request->arena, adding->count * sizeof(*adding->scores));
    adding->members = arena_alloc(request->arena, adding->count * sizeof(*adding->members));
    if (adding->scores == NULL || adding->members == NULL) {
        kv_fail(request, err_set(ERR_NO_MEMORY, "no memory for %u members", adding->count));
        return false;
    }
    for (uint32_t i = 0; i < adding->count; i++) {
        if (!zset_read_score(request, request->argv[first + 2 * i], &adding->scores[i])) {
            return false;
        }
        adding->members[i] = request->argv[first + 2 * i + 1];
    }
    return true;
}

struct added {
    uint32_t added, updated, processed;
    double score; /* The last. */
    bool is_nan;
};

/* One member, as far as the options let it. */
static YIELDS err_t
member_add(struct zset_edit *edit, const struct zset_adding *adding, struct slice member,
           double score, struct added *added)
{
    double old = 0;
    bool is_in;
    err_t err;

    TRY(zset_edit_get(edit, member, &is_in, &old));
    if (is_in ? adding->nx : adding->xx) {
        return ERR_OK;
    }
    score += is_in && adding->incr ? old : 0;
    if (isnan(score)) {
        added->is_nan = true;
        return ERR_OK;
    }
    if (is_in && ((adding->lt && score >= old) || (adding->gt && score <= old))) {
        return ERR_OK;
    }
    added->score = score;
    added->processed++;
    if (!is_in || score != old) {
        TRY(zset_edit_put(edit, member, is_in, old, score));
        added->added += !is_in;
        added->updated += is_in;
    }
out:
    return err;
}

static YIELDS err_t
members_add(struct kv_request *request, struct kv_object *object, const struct zset_adding *adding,
            struct added *added)
{
    struct zset_edit edit;
    err_t err;

    TRY(zset_edit_open(request, object, &edit));
    for (uint32_t i = 0; i < adding->count && !added->is_nan; i++) {
        TRY(member_add(&edit, adding, adding->members[i], adding->scores[i], added));
    }
    TRY(zset_edit_finish(&edit));
out:
    return err;
}

void
zset_add(struct kv_request *request, const struct zset_adding *adding)
{
    struct added added = {.added = 0};
    struct kv_object object;
    err_t err;

    if (!zset_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    err = members_add(request, &object, adding, &added);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (added.is_nan) {
        reply_error(request->reply, "ERR resulting score is not a number (NaN)");
        return;
    }
    if (added.added + added.updated > 0) {
        kv_notify(request, KV_EVENT_ZSET, adding->incr ? "zincr" : "zadd", object.name);
    }
    if (!adding->incr) {
        reply_int(request->reply, added.added + (adding->ch ? added.updated : 0));
    } else if (added.processed > 0) {
        reply_double(request->reply, added.score);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_zadd(struct kv_request *request)
{
    struct zset_adding adding = {.count = 0};
    uint32_t first = 2;

    while (first < request->argc && option_read(&adding, request->argv[first])) {
        first++;
    }
    if (pairs_parse(request, &adding, first)) {
        zset_add(request, &adding);
    }
}

void
kv_command_zincrby(struct kv_request *request)
{
    struct zset_adding adding = {.incr = true};

    if (pairs_parse(request, &adding, 2)) {
        zset_add(request, &adding);
    }
}

/* ---- Removing ---- */

static YIELDS err_t
members_remove(struct kv_request *request, struct kv_object *object, uint32_t *removed)
{
    struct zset_edit edit;
    double score = 0;
    bool is_in;
    err_t err;

    TRY(zset_edit_open(request, object, &edit));
    for (uint32_t i = 2; i < request->argc; i++) {
        TRY(zset_edit_get(&edit, request->argv[i], &is_in, &score));
        if (is_in) {
            TRY(zset_edit_remove(&edit, request->argv[i], score));
            ++*removed;
        }
    }
    TRY(zset_edit_finish(&edit));
out:
    return err;
}

void
kv_command_zrem(struct kv_request *request)
{
    struct kv_object object;
    uint32_t removed = 0;
    err_t err = ERR_OK;

    if (!zset_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (object.is_found) {
        err = members_remove(request, &object, &removed);
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (removed > 0) {
        kv_notify(request, KV_EVENT_ZSET, "zrem", object.name);
        kv_notify_if_gone(request, &object);
    }
    reply_int(request->reply, removed);
}

/* ---- Reading ---- */

void
kv_command_zcard(struct kv_request *request)
{
    struct kv_object object;

    if (zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.count : 0);
    }
}

void
kv_command_zscore(struct kv_request *request)
{
    struct kv_object object;
    double score;
    bool is_in;
    err_t err;

    if (!zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    err = zset_find(request, &object, &request->argv[2], 1, &is_in, &score);
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (is_in) {
        reply_double(request->reply, score);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_zmscore(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    struct kv_object object;
    double *scores;
    bool *is_in;
    err_t err;

    if (!zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    scores = arena_alloc(request->arena, count * sizeof(*scores));
    is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    if (scores == NULL || is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u members", count));
    }
    TRY(zset_find(request, &object, &request->argv[2], count, is_in, scores));
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_in[i]) {
            reply_double(request->reply, scores[i]);
        } else {
            reply_null(request->reply);
        }
    }
    return;
out:
    kv_fail(request, err);
}

static YIELDS void
rank_reply(struct kv_request *request, bool is_reverse)
{
    bool with_score = request->argc == 4;
    struct kv_object object;
    uint64_t rank = 0;
    double score = 0;
    bool is_in;
    err_t err;

    if (request->argc > 4) {
        reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                    request->command->name);
        return;
    }
    if (with_score && !kv_word_is(request->argv[3], "withscore")) {
        kv_reply_syntax_error(request);
        return;
    }
    if (!zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    TRY(zset_find(request, &object, &request->argv[2], 1, &is_in, &score));
    if (!is_in) {
        with_score ? reply_null_array(request->reply) : reply_null(request->reply);
        return;
    }
    TRY(zset_rank(request, &object, zset_sort_key(request, score, request->argv[2]), &rank));
    rank = is_reverse ? object.head.count - 1 - rank : rank;
    if (with_score) {
        reply_array(request->reply, 2);
    }
    reply_int(request->reply, (int64_t)rank);
    if (with_score) {
        reply_double(request->reply, score);
    }
    return;
out:
    kv_fail(request, err);
}

void
kv_command_zrank(struct kv_request *request)
{
    rank_reply(request, false);
}

void
kv_command_zrevrank(struct kv_request *request)
{
    rank_reply(request, true);
}

void
kv_command_zscan(struct kv_request *request)
{
    struct kv_scan_options options;
    struct zset_entries entries;
    struct kv_object object;
    uint64_t next;
    err_t err;

    if (!kv_scan_cursor_parse(request, &options) ||
        !zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object) ||
        !kv_scan_options_parse(request, &object, &options)) {
        return;
    }
    err = zset_page(request, &object, &options, &entries, &next);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    reply_array(request->reply, 2);
    reply_bulk_int(request->reply, (int64_t)next);
    reply_array(request->reply, 2 * (uint64_t)entries.count);
    for (uint32_t i = 0; i < entries.count; i++) {
        char text[REPLY_NUMBER_BYTES_MAX];

        reply_bulk(request->reply, entries.at[i].member);
        reply_bulk(request->reply, slice_of(text, reply_format_double(entries.at[i].score, text)));
        kv_work(request, 2);
    }
}
