/* models/kv/set_random.c - SPOP and SRANDMEMBER.
 *
 * A random member of a spread set is one of the first few behind a random hash: the first alone
 * would be as likely as the gap before it is wide. Many distinct ones are found by sorted random
 * hashes in one pass; when many of all are asked for, by loading the set and shuffling. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/set.h"

#include "engine/base/poison.h"

enum {
    LOAD_ALL_BELOW = 1024, /* Sets of fewer members are loaded whole, */
    LOAD_ALL_SHARE = 4,    /* and when more than one in so many is picked. */
    WORK_UNITS_PER_MEMBER = 10,
    HASH_BITS = 48,
    SKIPPED_MAX = 16,
};

static uint64_t
random_hash(void)
{
    return prng_below(shard_prng(), UINT64_C(1) << HASH_BITS);
}

/* The member under the scan, with a name of its own, into the array. */
static err_t
member_take(struct kv_request *request, const struct txn_scan *scan, struct set_members *picked)
{
    struct set_member member;
    err_t err;

    TRY(set_scan_member(scan, &member));
    TRY(set_members_add(request, picked, member.name, true));
out:
    return err;
}

static bool
is_at(const struct txn_scan *scan, const struct set_member *member)
{
    struct set_member here;

    return set_scan_member(scan, &here) == ERR_OK && here.hash == member->hash &&
           slice_equal(here.name, member->name);
}

static YIELDS err_t
random_seek(struct kv_request *request, const struct kv_object *object, struct txn_scan *scan)
{
    uint64_t skipped = prng_below(shard_prng(), SKIPPED_MAX);
    err_t err;

    TRY(set_scan_seek(request, object, scan, random_hash()));
    for (uint64_t i = 0; i <= skipped; i++) {
        if (i > 0 && txn_scan_is_valid(scan)) {
            TRY(txn_scan_next(scan));
        }
        if (!txn_scan_is_valid(scan)) { /* Round the end. */
            TRY(set_scan_seek(request, object, scan, 0));
        }
    }
out:
    return err;
}

/* count distinct members of one spread set, by rising random hashes; when the end comes too early,
 * the rest are the first that were not picked. */
static YIELDS err_t
distinct_seek(struct kv_request *request, const struct kv_object *object, uint32_t count,
              struct set_members *picked)
{
    struct set_members points = {0};
    struct txn_scan *scan = NULL;
    uint32_t passed = 0;
    uint32_t wanted;
    err_t err;

    for (uint32_t i = 0; i < count; i++) {
        TRY(set_members_add(request, &points, slice_of(NULL, 0), false));
        points.at[i].hash = random_hash();
    }
    set_members_sort(request, &points);
    TRY(set_scan_open(request, object, 0, &scan));
    for (uint32_t i = 0; i < points.count; i++) {
        const struct set_member *last = picked->count == 0 ? NULL : &picked->at[picked->count - 1];

        if (last == NULL || points.at[i].hash > last->hash) {
            TRY(set_scan_seek(request, object, scan, points.at[i].hash));
        } else if (txn_scan_is_valid(scan)) {
            TRY(txn_scan_next(scan));
        }
        if (!txn_scan_is_valid(scan)) {
            break;
        }
        TRY(member_take(request, scan, picked));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    wanted = count - picked->count;
    TRY(set_scan_seek(request, object, scan, 0));
    for (uint32_t known = picked->count; wanted > 0 && txn_scan_is_valid(scan);) {
        if (passed < known && is_at(scan, &picked->at[passed])) {
            passed++;
        } else {
            TRY(member_take(request, scan, picked));
            wanted--;
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

/* The first `count` members become a random choice of all. */
static void
shuffle(struct set_members *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = i + (uint32_t)prng_below(shard_prng(), members->count - i);
        struct set_member member = members->at[i];

        members->at[i] = members->at[from];
        members->at[from] = member;
    }
}

static bool
is_loaded_whole(const struct kv_object *object, uint64_t count)
{
    return (object->head.flags & KV_HEAD_SPREAD) == 0 || object->head.count < LOAD_ALL_BELOW ||
           count > object->head.count / LOAD_ALL_SHARE;
}

/* Each pick on its own: members may come more than once. */
static YIELDS err_t
repeated_pick(struct kv_request *request, const struct kv_object *object, uint64_t count,
              struct set_members *picked_out)
{
    struct set_members picked = {0};
    struct set_members all = {0};
    struct txn_scan *scan = NULL;
    err_t err = ERR_OK;

    if (is_loaded_whole(object, 1)) {
        TRY(set_load(request, object, &all));
    } else {
        TRY(set_scan_open(request, object, 0, &scan));
    }
    for (uint64_t i = 0; i < count; i++) {
        if (scan == NULL) {
            uint64_t at = prng_below(shard_prng(), all.count);

            TRY(set_members_add(request, &picked, all.at[at].name, false));
        } else {
            TRY(random_seek(request, object, scan));
            if (txn_scan_is_valid(scan)) {
                TRY(member_take(request, scan, &picked));
            }
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    *picked_out = picked;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* Distinct; as many as there are, at most `count`. */
static YIELDS err_t
distinct_pick(struct kv_request *request, const struct kv_object *object, uint64_t count,
              struct set_members *picked_out)
{
    struct set_members picked = {0};
    err_t err;

    if (!object->is_found || count == 0) {
        *picked_out = picked;
        return ERR_OK;
    }
    if (count == 1 && !is_loaded_whole(object, 1)) {
        TRY(repeated_pick(request, object, 1, &picked));
    } else if (is_loaded_whole(object, count)) {
        TRY(set_load(request, object, &picked));
        count = MIN(count, (uint64_t)picked.count);
        shuffle(&picked, (uint32_t)count);
        picked.count = (uint32_t)count;
    } else {
        TRY(distinct_seek(request, object, (uint32_t)count, &picked));
    }
    *picked_out = picked;
out:
    return err;
}

static void
reply_members(struct kv_request *request, const struct set_members *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        reply_bulk(request->reply, members->at[i].name);
        kv_work(request, 1);
    }
}

static YIELDS err_t
pop(struct kv_request *request, struct kv_object *object, uint64_t count,
    struct set_members *picked)
{
    uint32_t removed;
    err_t err;

    TRY(distinct_pick(request, object, count, picked));
    if (object->is_found && count >= object->head.count) {
        kv_remove(request, object);
    } else if (picked->count > 0) {
        TRY(set_remove(request, object, picked->at, picked->count, &removed));
    }
out:
    return err;
}

void
kv_command_spop(struct kv_request *request)
{
    struct set_members picked;
    struct kv_object object;
    int64_t count = 1;
    err_t err;

    if (request->argc > 3) {
        kv_reply_syntax_error(request);
        return;
    }
    if (request->argc == 3 && (!reply_parse_int(request->argv[2], &count) || count < 0)) {
        reply_error(request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!set_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    err = pop(request, &object, (uint64_t)count, &picked);
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (request->argc == 3) {
        reply_set(request->reply, picked.count);
        reply_members(request, &picked);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_srandmember(struct kv_request *request)
{
    struct set_members picked = {0};
    struct kv_object object;
    int64_t count = 1;
    err_t err;

    if (request->argc > 3) {
        kv_reply_syntax_error(request);
        return;
    }
    if (request->argc == 3 && !kv_parse_int(request, request->argv[2], &count)) {
        return;
    }
    if (count < -(INT64_MAX / 2)) {
        reply_error(request->reply, "ERR value is out of range");
        return;
    }
    if (!set_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    err = count >= 0        ? distinct_pick(request, &object, (uint64_t)count, &picked)
          : object.is_found ? repeated_pick(request, &object, (uint64_t)-count, &picked)
                            : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (request->argc == 3) {
        reply_array(request->reply, picked.count);
        reply_members(request, &picked);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
}
