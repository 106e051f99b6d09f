/* models/kv/list_move.c - the commands on several lists, and what takes items off a list's end. */
#include "models/kv/list.h"

#include "engine/base/assert.h"

#include "engine/base/poison.h"

err_t
kv_list_reply(struct kv_request *request, const struct kv_list *list, uint64_t position,
              uint64_t count, bool is_backward, uint64_t *bytes_out)
{
    struct kv_list_cursor cursor;
    uint64_t bytes = 0;
    struct slice item;
    bool is_found;
    err_t err;

    TRY(kv_list_cursor_open(request, list, position, count, is_backward, &cursor));
    while ((err = kv_list_cursor_next(request, &cursor, &item, &is_found)) == ERR_OK && is_found) {
        reply_bulk(request->reply, item);
        bytes += bytes_out != NULL ? kv_list_entry_bytes(item) : 0;
    }
    kv_list_cursor_close(&cursor);
    if (bytes_out != NULL) {
        *bytes_out = bytes;
    }
out:
    return err;
}

err_t
kv_list_pop(struct kv_request *request, struct kv_list *list, enum list_end end, uint64_t count)
{
    bool is_right = end == LIST_RIGHT;
    struct slice item;
    uint64_t bytes;
    err_t err = ERR_OK;

    count = MIN(count, list->count);
    if (count == 0) {
        return ERR_OK;
    }
    if (count == 1) {
        TRY(kv_list_get(request, list, is_right ? list->count - 1 : 0, &item));
        reply_bulk(request->reply, item);
        bytes = kv_list_entry_bytes(item);
    } else {
        TRY(kv_list_reply(request, list, is_right ? list->count - 1 : 0, count, is_right, &bytes));
    }
    kv_list_drop(request, list, end, count, bytes);
    TRY(kv_list_has_shrunk(request, list));
    TRY(kv_list_store(request, list));
    kv_notify(request, KV_EVENT_LIST, is_right ? "rpop" : "lpop", list->object.name);
    kv_notify_if_gone(request, &list->object);
out:
    return err;
}

/* LEFT or RIGHT; replies on an error. */
static bool
end_parse(struct kv_request *request, struct slice word, enum list_end *end_out)
{
    if (kv_word_is(word, "left")) {
        *end_out = LIST_LEFT;
    } else if (kv_word_is(word, "right")) {
        *end_out = LIST_RIGHT;
    } else {
        kv_reply_syntax_error(request);
        return false;
    }
    return true;
}

/* Nothing is there: until one of these keys is a list. */
static void
wait_for_item(struct kv_request *request, uint32_t first, uint32_t count, enum kv_block_reply reply,
              uint64_t deadline_us)
{
    const struct kv_block_wait wait = {
        .first = first,
        .count = count,
        .type = KV_LIST,
        .reply = reply,
        .deadline_us = deadline_us,
    };

    kv_block_ask(request, &wait);
}

/* A list that something is to be taken from. is_found: it is there for this command. False after an
 * error reply. */
static YIELDS bool
source_lookup(struct kv_request *request, struct slice name, struct kv_list *list)
{
    struct reply_mark mark = reply_mark(request->reply);

    list->object.is_found = false;
    if (kv_block_is_taken(request, name) || kv_list_lookup(request, name, 0, list)) {
        return true;
    }
    if (!kv_block_is_repeat(request) || request->err != ERR_OK) {
        return false;
    }
    reply_cut(request->reply, mark);
    list->object.is_found = false;
    return true;
}

/* ---- LMOVE, RPOPLPUSH, BLMOVE, BRPOPLPUSH ---- */

static bool
is_same_key(const struct kv_list *a, const struct kv_list *b)
{
    return a->object.keyspace == b->object.keyspace && slice_equal(a->object.name, b->object.name);
}

/* The item leaves one list and joins the other, which may be the same. */
static YIELDS err_t
move(struct kv_request *request, struct kv_list *from, enum list_end from_end, struct kv_list *to,
     enum list_end to_end)
{
    struct slice item;
    err_t err;

    TRY(kv_list_get(request, from, from_end == LIST_LEFT ? 0 : from->count - 1, &item));
    if (is_same_key(from, to)) {
        to = from;
    }
    if (to != from || from->count > 1) { /* Of a list's only item there is no other end. */
        kv_list_drop(request, from, from_end, 1, kv_list_entry_bytes(item));
        if (to != from) {
            TRY(kv_list_has_shrunk(request, from));
            TRY(kv_list_store(request, from));
        }
        TRY(kv_list_push(request, to, to_end, &item, 1));
    }
    TRY(kv_list_store(request, to));
    kv_notify(request, KV_EVENT_LIST, to_end == LIST_LEFT ? "lpush" : "rpush", to->object.name);
    kv_notify(request, KV_EVENT_LIST, from_end == LIST_LEFT ? "lpop" : "rpop", from->object.name);
    kv_notify_if_gone(request, &from->object);
    reply_bulk(request->reply, item);
out:
    return err;
}

/* deadline_us: NULL: does not wait for an item. */
static YIELDS void
move_command(struct kv_request *request, enum list_end from_end, enum list_end to_end,
             const uint64_t *deadline_us)
{
    struct kv_list from;
    struct kv_list to;
    err_t err;

    if (!source_lookup(request, request->argv[1], &from)) {
        return;
    }
    if (!from.object.is_found) { /* Before the type of the other is looked at. */
        if (deadline_us == NULL) {
            reply_null(request->reply);
        } else {
            wait_for_item(request, 1, 1, KV_BLOCK_NULL, *deadline_us);
        }
        return;
    }
    if (!kv_list_lookup(request, request->argv[2], 0, &to)) {
        return;
    }
    err = move(request, &from, from_end, &to, to_end);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
}

void
kv_command_lmove(struct kv_request *request)
{
    enum list_end from_end;
    enum list_end to_end;

    if (end_parse(request, request->argv[3], &from_end) &&
        end_parse(request, request->argv[4], &to_end)) {
        move_command(request, from_end, to_end, NULL);
    }
}

void
kv_command_blmove(struct kv_request *request)
{
    enum list_end from_end;
    enum list_end to_end;
    uint64_t deadline_us;

    if (end_parse(request, request->argv[3], &from_end) &&
        end_parse(request, request->argv[4], &to_end) &&
        kv_block_parse_seconds(request, request->argv[5], &deadline_us)) {
        move_command(request, from_end, to_end, &deadline_us);
    }
}

void
kv_command_rpoplpush(struct kv_request *request)
{
    move_command(request, LIST_RIGHT, LIST_LEFT, NULL);
}

void
kv_command_brpoplpush(struct kv_request *request)
{
    uint64_t deadline_us;

    if (kv_block_parse_seconds(request, request->argv[3], &deadline_us)) {
        move_command(request, LIST_RIGHT, LIST_LEFT, &deadline_us);
    }
}

/* ---- BLPOP, BRPOP ---- */

static YIELDS void
blocking_pop(struct kv_request *request, enum list_end end)
{
    uint32_t keys = request->argc - 2;
    uint64_t deadline_us;
    struct kv_list list;

    if (!kv_block_parse_seconds(request, request->argv[request->argc - 1], &deadline_us)) {
        return;
    }
    for (uint32_t i = 1; i <= keys; i++) {
        struct reply_mark mark = reply_mark(request->reply);
        err_t err;

        if (!source_lookup(request, request->argv[i], &list)) {
            return;
        }
        if (!list.object.is_found) {
            continue;
        }
        reply_array(request->reply, 2);
        reply_bulk(request->reply, list.object.name);
        err = kv_list_pop(request, &list, end, 1);
        if (err != ERR_OK) {
            reply_cut(request->reply, mark);
            kv_fail(request, err);
        }
        return;
    }
    wait_for_item(request, 1, keys, KV_BLOCK_NULL_ARRAY, deadline_us);
}

void
kv_command_blpop(struct kv_request *request)
{
    blocking_pop(request, LIST_LEFT);
}

void
kv_command_brpop(struct kv_request *request)
{
    blocking_pop(request, LIST_RIGHT);
}

/* ---- LMPOP, BLMPOP ---- */

/* A number of at least 1; replies on an error. */
static bool
parse_positive(struct kv_request *request, struct slice text, const char *name, uint64_t *value_out)
{
    int64_t value;

    if (!reply_parse_int(text, &value) || value < 1) {
        reply_error(request->reply, "ERR %s should be greater than 0", name);
        return false;
    }
    *value_out = (uint64_t)value;
    return true;
}

/* LEFT or RIGHT at the index, then maybe COUNT and a number. */
static bool
lmpop_options_parse(struct kv_request *request, uint32_t at, enum list_end *end_out,
                    uint64_t *count_out)
{
    bool has_count = false;

    *count_out = 1;
    if (!end_parse(request, request->argv[at], end_out)) {
        return false;
    }
    for (at++; at < request->argc; at += 2) {
        if (has_count || at + 1 == request->argc || !kv_word_is(request->argv[at], "count")) {
            kv_reply_syntax_error(request);
            return false;
        }
        has_count = true;
        if (!parse_positive(request, request->argv[at + 1], "count", count_out)) {
            return false;
        }
    }
    return true;
}

static YIELDS void
mpop(struct kv_request *request, struct kv_list *list, enum list_end end, uint64_t count)
{
    struct reply_mark mark = reply_mark(request->reply);
    err_t err;

    reply_array(request->reply, 2);
    reply_bulk(request->reply, list->object.name);
    reply_array(request->reply, MIN(count, list->count));
    err = kv_list_pop(request, list, end, count);
    if (err != ERR_OK) {
        reply_cut(request->reply, mark);
        kv_fail(request, err);
    }
}

/* at: where the number of keys stands; before it the timeout, if it waits. */
static YIELDS void
mpop_command(struct kv_request *request, uint32_t at, bool waits)
{
    uint64_t deadline_us = 0;
    enum list_end end;
    struct kv_list list;
    uint64_t count;
    uint64_t keys;

    if (!parse_positive(request, request->argv[at], "numkeys", &keys)) {
        return;
    }
    if (keys >= request->argc - at - 1) {
        kv_reply_syntax_error(request);
        return;
    }
    if (!lmpop_options_parse(request, at + 1 + (uint32_t)keys, &end, &count) ||
        (waits && !kv_block_parse_seconds(request, request->argv[at - 1], &deadline_us))) {
        return;
    }
    for (uint32_t i = at + 1; i <= at + keys; i++) {
        if (!source_lookup(request, request->argv[i], &list)) {
            return;
        }
        if (list.object.is_found) {
            mpop(request, &list, end, count);
            return;
        }
    }
    if (waits) {
        wait_for_item(request, at + 1, (uint32_t)keys, KV_BLOCK_NULL_ARRAY, deadline_us);
    } else {
        reply_null_array(request->reply);
    }
}

void
kv_command_lmpop(struct kv_request *request)
{
    mpop_command(request, 1, false);
}

void
kv_command_blmpop(struct kv_request *request)
{
    mpop_command(request, 2, true);
}
