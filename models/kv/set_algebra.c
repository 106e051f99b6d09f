/* models/kv/set_algebra.c - SINTER, SUNION, SDIFF and what is made of them. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_MEMBER = 3, MEMBERS_AT_ONCE = 512 };

enum algebra { ALGEBRA_INTER, ALGEBRA_UNION, ALGEBRA_DIFF };
static const char *const store_events[] = {"sinterstore", "sunionstore", "sdiffstore"};

/* The keys from `first` on, as sets; NULL after an error reply. */
static YIELDS struct kv_object *
sets_lookup(struct kv_request *request, uint32_t first, uint32_t count)
{
    struct kv_object *sets = arena_alloc(request->arena, count * sizeof(*sets));

    if (sets == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u keys", count);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!dict_lookup(request, request->argv[first + i], KV_SET, KV_LOOKUP_READ, &sets[i])) {
            return NULL;
        }
    }
    return sets;
}

/* Keeps the members that are in the set (or are not). */
static YIELDS err_t
members_filter(struct kv_request *request, const struct kv_object *set, bool keeps_those_in,
               struct dict_fields *members)
{
    bool is_in[MEMBERS_AT_ONCE];
    uint32_t kept = 0;
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < members->count; done += MEMBERS_AT_ONCE) {
        uint32_t chunk = MIN(members->count - done, (uint32_t)MEMBERS_AT_ONCE);

        TRY(dict_find(request, set, members->at + done, chunk, is_in));
        for (uint32_t i = 0; i < chunk; i++) {
            if (is_in[i] == keeps_those_in) {
                members->at[kept++] = members->at[done + i];
            }
        }
        kv_work(request, chunk);
    }
    members->count = kept;
out:
    return err;
}

/* The smallest set's members, as far as all others have them. */
static YIELDS err_t
intersect(struct kv_request *request, const struct kv_object *sets, uint32_t count,
          struct dict_fields *members)
{
    uint32_t smallest = 0;
    err_t err;

    *members = (struct dict_fields){0};
    for (uint32_t i = 0; i < count; i++) {
        if (!sets[i].is_found) {
            return ERR_OK;
        }
        smallest = sets[i].head.count < sets[smallest].head.count ? i : smallest;
    }
    TRY(dict_load(request, &sets[smallest], members));
    for (uint32_t i = 0; i < count && members->count > 0; i++) {
        if (i != smallest) {
            TRY(members_filter(request, &sets[i], true, members));
        }
    }
out:
    return err;
}

static YIELDS err_t
unite(struct kv_request *request, const struct kv_object *sets, uint32_t count,
      struct dict_fields *members)
{
    struct dict_fields one;
    err_t err = ERR_OK;

    *members = (struct dict_fields){0};
    for (uint32_t i = 0; i < count; i++) {
        TRY(dict_load(request, &sets[i], &one));
        for (uint32_t j = 0; j < one.count; j++) {
            TRY(dict_fields_add(request, members, one.at[j].name, slice_of(NULL, 0), false));
        }
        kv_work(request, one.count);
    }
    dict_fields_sort(request, members);
out:
    return err;
}

static YIELDS err_t
subtract(struct kv_request *request, const struct kv_object *sets, uint32_t count,
         struct dict_fields *members)
{
    err_t err;

    TRY(dict_load(request, &sets[0], members));
    for (uint32_t i = 1; i < count && members->count > 0; i++) {
        TRY(members_filter(request, &sets[i], false, members));
    }
out:
    return err;
}

/* False after an error reply. */
static YIELDS bool
compute(struct kv_request *request, enum algebra algebra, uint32_t first, uint32_t count,
        struct dict_fields *members_out)
{
    struct kv_object *sets = sets_lookup(request, first, count);
    err_t err = ERR_OK;

    if (sets == NULL) {
        return false;
    }
    switch (algebra) {
    case ALGEBRA_INTER:
        err = intersect(request, sets, count, members_out);
        break;
    case ALGEBRA_UNION:
        err = unite(request, sets, count, members_out);
        break;
    case ALGEBRA_DIFF:
        err = subtract(request, sets, count, members_out);
        break;
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

static YIELDS void
algebra_reply(struct kv_request *request, enum algebra algebra)
{
    struct dict_fields members;

    if (!compute(request, algebra, 1, request->argc - 1, &members)) {
        return;
    }
    reply_set(request->reply, members.count);
    for (uint32_t i = 0; i < members.count; i++) {
        reply_bulk(request->reply, members.at[i].name);
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

static YIELDS void
algebra_store(struct kv_request *request, enum algebra algebra)
{
    const struct kv_head none = {.type = KV_SET};
    struct dict_fields members;
    struct kv_object object;
    err_t err;

    if (!compute(request, algebra, 2, request->argc - 2, &members) ||
        !kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    err = dict_store(request, &object, KV_SET, &none, members.at, members.count);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (members.count > 0) {
        kv_notify(request, KV_EVENT_SET, store_events[algebra], object.name);
    } else if (object.is_found) {
        kv_notify(request, KV_EVENT_GENERIC, "del", object.name);
    }
    reply_int(request->reply, members.count);
}

void
kv_command_sinter(struct kv_request *request)
{
    algebra_reply(request, ALGEBRA_INTER);
}

void
kv_command_sunion(struct kv_request *request)
{
    algebra_reply(request, ALGEBRA_UNION);
}

void
kv_command_sdiff(struct kv_request *request)
{
    algebra_reply(request, ALGEBRA_DIFF);
}

void
kv_command_sinterstore(struct kv_request *request)
{
    algebra_store(request, ALGEBRA_INTER);
}

void
kv_command_sunionstore(struct kv_request *request)
{
    algebra_store(request, ALGEBRA_UNION);
}

void
kv_command_sdiffstore(struct kv_request *request)
{
    algebra_store(request, ALGEBRA_DIFF);
}

/* SINTERCARD numkeys key [key ...] [LIMIT limit] */
void
kv_command_sintercard(struct kv_request *request)
{
    struct dict_fields members;
    int64_t keys;
    int64_t limit = 0;

    if (!reply_parse_int(request->argv[1], &keys) || keys <= 0) {
        reply_error(request->reply, "ERR numkeys should be greater than 0");
        return;
    }
    if (keys > (int64_t)request->argc - 2) {
        reply_error(request->reply, "ERR Number of keys can't be greater than number of args");
        return;
    }
    for (uint32_t at = 2 + (uint32_t)keys; at < request->argc; at += 2) {
        if (!kv_word_is(request->argv[at], "limit") || at + 1 >= request->argc) {
            kv_reply_syntax_error(request);
            return;
        }
        if (!reply_parse_int(request->argv[at + 1], &limit) || limit < 0) {
            reply_error(request->reply, "ERR LIMIT can't be negative");
            return;
        }
    }
    if (compute(request, ALGEBRA_INTER, 2, (uint32_t)keys, &members)) {
        int64_t count = members.count;

        reply_int(request->reply, limit > 0 ? MIN(count, limit) : count);
    }
}
