/* models/kv/zset_pop.c - ZPOPMIN, ZPOPMAX, ZMPOP, and BZPOPMIN, BZPOPMAX, BZMPOP, which wait. */
#include "engine/base/assert.h"
#include "models/kv/block.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_MEMBER = 2 };

struct popping {
    uint32_t first, keys; /* Arguments. */
    bool is_max;
    uint64_t count;
    bool waits;
    uint64_t deadline_us;
};

/* Removes the members at one end; false after an error reply. */
static YIELDS bool
pop(struct kv_request *request, struct kv_object *object, bool is_max, uint64_t count,
    struct zset_entries *entries)
{
    struct zset_range range = {.is_ranks = true, .is_reverse = is_max, .limit = UINT64_MAX};
    err_t err = ERR_OK;

    *entries = (struct zset_entries){0};
    if (!object->is_found || count == 0) {
        return true;
    }
    range.last = MIN(count, object->head.count) - 1;
    err = zset_range_remove(request, object, &range, entries);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return false;
    }
    kv_notify(request, KV_EVENT_ZSET, is_max ? "zpopmax" : "zpopmin", object->name);
    kv_notify_if_gone(request, object);
    return true;
}

static YIELDS void
pop_reply(struct kv_request *request, bool is_max)
{
    struct zset_entries entries;
    struct kv_object object;
    int64_t count = 1;

    if (request->argc > 3) {
        kv_reply_syntax_error(request);
        return;
    }
    if (request->argc == 3 && (!reply_parse_int(request->argv[2], &count) || count < 0)) {
        reply_error(request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!zset_lookup(request, request->argv[1], 0, &object) ||
        !pop(request, &object, is_max, (uint64_t)count, &entries)) {
        return;
    }
    if (request->argc == 2 && entries.count == 1) { /* No pair of its own in RESP3. */
        reply_array(request->reply, 2);
        reply_bulk(request->reply, entries.at[0].member);
        reply_double(request->reply, entries.at[0].score);
    } else {
        zset_reply(request, &entries, true);
    }
}

void
kv_command_zpopmin(struct kv_request *request)
{
    pop_reply(request, false);
}

void
kv_command_zpopmax(struct kv_request *request)
{
    pop_reply(request, true);
}

/* ---- Of the first of several keys ---- */

/* The sorted set to take from. is_found: it is there for this command. False after an error reply.
 * Between the change that woke the command and its run the key may have got another type: then it
 * waits on. */
static YIELDS bool
source_lookup(struct kv_request *request, const struct popping *popping, struct slice name,
              struct kv_object *object_out)
{
    struct reply_mark mark = reply_mark(request->reply);

    object_out->is_found = false;
    if ((popping->waits && kv_block_is_taken(request, name)) ||
        zset_lookup(request, name, 0, object_out)) {
        return true;
    }
    if (!kv_block_is_repeat(request) || request->err != ERR_OK) {
        return false;
    }
    reply_cut(request->reply, mark);
    object_out->is_found = false;
    return true;
}

/* Takes from the first key that has any; *at_out: which, or one behind the last. False after an
 * error reply. */
static YIELDS bool
pop_first(struct kv_request *request, const struct popping *popping, uint32_t *at_out,
          struct zset_entries *entries)
{
    uint32_t at = popping->first;
    struct kv_object object;

    *entries = (struct zset_entries){0};
    for (; at < popping->first + popping->keys; at++) {
        if (!source_lookup(request, popping, request->argv[at], &object)) {
            return false;
        }
        if (object.is_found) {
            *at_out = at;
            return pop(request, &object, popping->is_max, popping->count, entries);
        }
    }
    *at_out = at;
    return true;
}

static void
nothing_found(struct kv_request *request, const struct popping *popping)
{
    const struct kv_block_wait wait = {
        .first = popping->first,
        .count = popping->keys,
        .type = KV_ZSET,
        .reply = KV_BLOCK_NULL_ARRAY,
        .deadline_us = popping->deadline_us,
    };

    if (popping->waits) {
        kv_block_ask(request, &wait);
    } else {
        reply_null_array(request->reply);
    }
}

static YIELDS void
blocking_pop(struct kv_request *request, bool is_max)
{
    struct popping popping = {
        .first = 1, .keys = request->argc - 2, .is_max = is_max, .count = 1, .waits = true};
    struct zset_entries entries;
    uint32_t at;

    if (!kv_block_parse_seconds(request, request->argv[request->argc - 1], &popping.deadline_us) ||
        !pop_first(request, &popping, &at, &entries)) {
        return;
    }
    if (entries.count == 0) {
        nothing_found(request, &popping);
        return;
    }
    reply_array(request->reply, 3);
    reply_bulk(request->reply, request->argv[at]);
    reply_bulk(request->reply, entries.at[0].member);
    reply_double(request->reply, entries.at[0].score);
}

void
kv_command_bzpopmin(struct kv_request *request)
{
    blocking_pop(request, false);
}

void
kv_command_bzpopmax(struct kv_request *request)
{
    blocking_pop(request, true);
}

/* numkeys key [key ...] MIN|MAX [COUNT count], from argv[at] on; false after an error reply. */
static bool
popping_parse(struct kv_request *request, uint32_t at, struct popping *popping)
{
    int64_t count = 1;
    int64_t keys;

    if (!reply_parse_int(request->argv[at], &keys) || keys <= 0) {
        reply_error(request->reply, "ERR numkeys should be greater than 0");
        return false;
    }
    if (keys >= (int64_t)request->argc - at - 1) {
        kv_reply_syntax_error(request);
        return false;
    }
    popping->first = at + 1;
    popping->keys = (uint32_t)keys;
    at = popping->first + popping->keys;
    popping->is_max = kv_word_is(request->argv[at], "max");
    if ((!popping->is_max && !kv_word_is(request->argv[at], "min")) ||
        (at + 1 < request->argc &&
         (at + 3 != request->argc || !kv_word_is(request->argv[at + 1], "count")))) {
        kv_reply_syntax_error(request);
        return false;
    }
    if (at + 3 == request->argc && (!reply_parse_int(request->argv[at + 2], &count) || count < 1)) {
        reply_error(request->reply, "ERR count should be greater than 0");
        return false;
    }
    popping->count = (uint64_t)count;
    return true;
}

static YIELDS void
mpop(struct kv_request *request, struct popping *popping)
{
    struct zset_entries entries;
    uint32_t at;

    if (!pop_first(request, popping, &at, &entries)) {
        return;
    }
    if (entries.count == 0) {
        nothing_found(request, popping);
        return;
    }
    reply_array(request->reply, 2);
    reply_bulk(request->reply, request->argv[at]);
    reply_array(request->reply, entries.count);
    for (uint32_t i = 0; i < entries.count; i++) {
        reply_array(request->reply, 2);
        reply_bulk(request->reply, entries.at[i].member);
        reply_double(request->reply, entries.at[i].score);
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

void
kv_command_zmpop(struct kv_request *request)
{
    struct popping popping = {.waits = false};

    if (popping_parse(request, 1, &popping)) {
        mpop(request, &popping);
    }
}

void
kv_command_bzmpop(struct kv_request *request)
{
    struct popping popping = {.waits = true};

    if (popping_parse(request, 2, &popping) &&
        kv_block_parse_seconds(request, request->argv[1], &popping.deadline_us)) {
        mpop(request, &popping);
    }
}
