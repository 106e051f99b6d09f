/* models/kv/set_commands.c - the commands on one set, but for random picks. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_MEMBER = 3 };

/* The words of the call from `first` on, without repeats. */
static YIELDS err_t
members_of_words(struct kv_request *request, uint32_t first, struct dict_fields *members_out)
{
    struct dict_fields members = {0};
    err_t err = ERR_OK;

    for (uint32_t i = first; i < request->argc; i++) {
        TRY(dict_fields_add(request, &members, request->argv[i], slice_of(NULL, 0), false));
    }
    dict_fields_unique(request, &members);
    *members_out = members;
out:
    return err;
}

void
kv_command_sadd(struct kv_request *request)
{
    struct dict_fields members;
    struct kv_object object;
    uint32_t added;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_SET, 0, &object)) {
        return;
    }
    TRY(members_of_words(request, 2, &members));
    TRY(dict_put(request, &object, KV_SET, members.at, members.count, &added));
    if (added > 0) {
        kv_notify(request, KV_EVENT_SET, "sadd", object.name);
    }
    reply_int(request->reply, added);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_srem(struct kv_request *request)
{
    struct dict_fields members;
    struct kv_object object;
    uint32_t removed = 0;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_SET, 0, &object)) {
        return;
    }
    if (object.is_found) {
        TRY(members_of_words(request, 2, &members));
        TRY(dict_remove(request, &object, members.at, members.count, &removed));
    }
    if (removed > 0) {
        kv_notify(request, KV_EVENT_SET, "srem", object.name);
        kv_notify_if_gone(request, &object);
    }
    reply_int(request->reply, removed);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_sismember(struct kv_request *request)
{
    struct dict_field member = dict_field_of(request->argv[2]);
    struct kv_object object;
    bool is_in;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object)) {
        return;
    }
    err = dict_find(request, &object, &member, 1, &is_in);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    reply_int(request->reply, is_in);
}

void
kv_command_smismember(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    struct dict_fields members = {0};
    struct kv_object object;
    bool *is_in;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object)) {
        return;
    }
    is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    if (is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u members", count));
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(dict_fields_add(request, &members, request->argv[2 + i], slice_of(NULL, 0), false));
    }
    TRY(dict_find(request, &object, members.at, count, is_in));
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        reply_int(request->reply, is_in[i]);
    }
    return;
out:
    kv_fail(request, err);
}

void
kv_command_scard(struct kv_request *request)
{
    struct kv_object object;

    if (dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.count : 0);
    }
}

void
kv_command_smembers(struct kv_request *request)
{
    struct dict_fields members;
    struct kv_object object;
    err_t err;

    if (!dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object)) {
        return;
    }
    err = dict_load(request, &object, &members);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    reply_set(request->reply, members.count);
    for (uint32_t i = 0; i < members.count; i++) {
        reply_bulk(request->reply, members.at[i].name);
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

void
kv_command_smove(struct kv_request *request)
{
    struct dict_field member = dict_field_of(request->argv[3]);
    struct kv_object from;
    struct kv_object to;
    uint32_t changed = 0;
    bool is_in;
    err_t err;

    if (!kv_lookup(request, request->argv[1], 0, &from) ||
        !kv_lookup(request, request->argv[2], 0, &to)) {
        return;
    }
    if (!from.is_found) { /* Before the type of the other is looked at. */
        reply_int(request->reply, 0);
        return;
    }
    if (!dict_lookup(request, request->argv[1], KV_SET, 0, &from) ||
        !dict_lookup(request, request->argv[2], KV_SET, 0, &to)) {
        return;
    }
    TRY(dict_find(request, &from, &member, 1, &is_in));
    if (is_in && !(from.keyspace == to.keyspace && slice_equal(from.name, to.name))) {
        TRY(dict_remove(request, &from, &member, 1, &changed));
        kv_notify(request, KV_EVENT_SET, "srem", from.name);
        kv_notify_if_gone(request, &from);
        TRY(dict_put(request, &to, KV_SET, &member, 1, &changed));
        if (changed > 0) {
            kv_notify(request, KV_EVENT_SET, "sadd", to.name);
        }
    }
    reply_int(request->reply, is_in);
    return;
out:
    kv_fail(request, err);
}

/* ---- SSCAN ---- */

struct page {
    struct reply names;
    uint64_t count;
};

static void
page_visit(void *arg, const struct dict_field *member)
{
    struct page *page = arg;

    reply_bulk(&page->names, member->name);
    page->count++;
}

void
kv_command_sscan(struct kv_request *request)
{
    struct kv_scan_options options;
    struct page page = {.count = 0};
    struct kv_object object;
    uint64_t next = 0;
    err_t err;

    if (!kv_scan_cursor_parse(request, &options) ||
        !dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object) ||
        !kv_scan_options_parse(request, &object, &options)) {
        return;
    }
    reply_init(&page.names, request->reply->resp);
    err = dict_page(request, &object, &options, page_visit, &page, &next);
    if (err == ERR_OK) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, (int64_t)next);
        reply_array(request->reply, page.count);
        buf_append(&request->reply->buf, page.names.buf.data, page.names.buf.size);
    } else {
        kv_fail(request, err);
    }
    reply_fini(&page.names);
}
