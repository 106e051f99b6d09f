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

/* ---- LMOVE, RPOPLPUSH ---- */

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

static YIELDS void
move_command(struct kv_request *request, enum list_end from_end, enum list_end to_end)
{
    struct kv_list from;
    struct kv_list to;
    err_t err;

    if (!kv_list_lookup(request, request->argv[1], 0, &from)) {
        return;
    }
    if (!from.object.is_found) { /* Before the type of the other is looked at. */
        reply_null(request->reply);
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
        move_command(request, from_end, to_end);
    }
}

void
kv_command_rpoplpush(struct kv_request *request)
{
    move_command(request, LIST_RIGHT, LIST_LEFT);
}

/* ---- LMPOP ---- */

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

void
kv_command_lmpop(struct kv_request *request)
{
    enum list_end end;
    struct kv_list list;
    uint64_t count;
    uint64_t keys;

    if (!parse_positive(request, request->argv[1], "numkeys", &keys)) {
        return;
    }
    if (keys >= request->argc - 2) {
        kv_reply_syntax_error(request);
        return;
    }
    if (!lmpop_options_parse(request, 2 + (uint32_t)keys, &end, &count)) {
        return;
    }
    for (uint32_t i = 0; i < keys; i++) {
        if (!kv_list_lookup(request, request->argv[2 + i], 0, &list)) {
            return;
        }
        if (list.object.is_found) {
            mpop(request, &list, end, count);
            return;
        }
    }
    reply_null_array(request->reply);
}
