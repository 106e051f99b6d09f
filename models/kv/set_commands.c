/* models/kv/set_commands.c - the commands on one set, but for random picks. */
#include "engine/base/assert.h"
#include "models/kv/glob.h"
#include "models/kv/set.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_MEMBER = 3 };

/* The words of the call from `first` on, without repeats, in any order. */
static YIELDS err_t
members_of_words(struct kv_request *request, uint32_t first, struct set_members *members_out)
{
    struct set_members members = {0};
    err_t err = ERR_OK;

    for (uint32_t i = first; i < request->argc; i++) {
        TRY(set_members_add(request, &members, request->argv[i], false));
    }
    if (members.count > 1) {
        set_members_sort(request, &members);
    }
    *members_out = members;
out:
    return err;
}

void
kv_command_sadd(struct kv_request *request)
{
    struct set_members members;
    struct kv_object object;
    uint32_t added;
    err_t err;

    if (!set_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    TRY(members_of_words(request, 2, &members));
    TRY(set_add(request, &object, members.at, members.count, &added));
    reply_int(request->reply, added);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_srem(struct kv_request *request)
{
    struct set_members members;
    struct kv_object object;
    uint32_t removed = 0;
    err_t err;

    if (!set_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (object.is_found) {
        TRY(members_of_words(request, 2, &members));
        TRY(set_remove(request, &object, members.at, members.count, &removed));
    }
    reply_int(request->reply, removed);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_sismember(struct kv_request *request)
{
    const struct set_member member = {set_hash(request->argv[2]), request->argv[2]};
    struct kv_object object;
    bool is_in;
    err_t err;

    if (!set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    err = set_has(request, &object, &member, 1, &is_in);
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
    struct set_members members = {0};
    struct kv_object object;
    bool *is_in;
    err_t err;

    if (!set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    if (is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u members", count));
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(set_members_add(request, &members, request->argv[2 + i], false));
    }
    TRY(set_has(request, &object, members.at, count, is_in));
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

    if (set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.count : 0);
    }
}

void
kv_command_smembers(struct kv_request *request)
{
    struct set_members members;
    struct kv_object object;
    err_t err;

    if (!set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    err = set_load(request, &object, &members);
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
    const struct set_member member = {set_hash(request->argv[3]), request->argv[3]};
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
    if (!set_lookup(request, request->argv[1], 0, &from) ||
        !set_lookup(request, request->argv[2], 0, &to)) {
        return;
    }
    TRY(set_has(request, &from, &member, 1, &is_in));
    if (is_in && !(from.keyspace == to.keyspace && slice_equal(from.name, to.name))) {
        TRY(set_remove(request, &from, &member, 1, &changed));
        TRY(set_add(request, &to, &member, 1, &changed));
    }
    reply_int(request->reply, is_in);
    return;
out:
    kv_fail(request, err);
}

/* ---- SSCAN ---- */

/* One page of a spread set: names into `names`, the hash of the next member or 0. Members of one
 * hash are never parted. */
static YIELDS err_t
page_read(struct kv_request *request, const struct kv_object *object,
          const struct kv_scan_options *options, struct reply *names, uint64_t *matched_out,
          uint64_t *next_out)
{
    struct txn_scan *scan = NULL;
    struct set_member member;
    uint64_t last = 0;
    uint64_t seen = 0;
    err_t err;

    *matched_out = 0;
    *next_out = 0;
    TRY(set_scan_open(request, object, options->cursor, &scan));
    for (; txn_scan_is_valid(scan); seen++) {
        TRY(set_scan_member(scan, &member));
        if (seen >= options->count && member.hash != last) {
            *next_out = member.hash;
            break;
        }
        last = member.hash;
        if (options->pattern.data == NULL || kv_glob_match(options->pattern, member.name, false)) {
            reply_bulk(names, member.name);
            ++*matched_out;
        }
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* A packed set comes whole. */
static YIELDS err_t
packed_read(struct kv_request *request, const struct kv_object *object,
            const struct kv_scan_options *options, struct reply *names, uint64_t *matched_out)
{
    struct set_members members;
    err_t err;

    *matched_out = 0;
    TRY(set_load(request, object, &members));
    for (uint32_t i = 0; i < members.count; i++) {
        if (options->pattern.data == NULL ||
            kv_glob_match(options->pattern, members.at[i].name, false)) {
            reply_bulk(names, members.at[i].name);
            ++*matched_out;
        }
    }
out:
    return err;
}

void
kv_command_sscan(struct kv_request *request)
{
    struct kv_scan_options options;
    struct kv_object object;
    struct reply names;
    uint64_t matched = 0;
    uint64_t next = 0;
    err_t err;

    if (!kv_scan_options_parse(request, &options) ||
        !set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    reply_init(&names, request->reply->resp);
    if (object.is_found && (object.head.flags & KV_HEAD_SPREAD) != 0) {
        err = page_read(request, &object, &options, &names, &matched, &next);
    } else {
        err = packed_read(request, &object, &options, &names, &matched);
    }
    if (err == ERR_OK) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, (int64_t)next);
        reply_array(request->reply, matched);
        buf_append(&request->reply->buf, names.buf.data, names.buf.size);
    } else {
        kv_fail(request, err);
    }
    reply_fini(&names);
}
