/* models/kv/zset_random.c - ZRANDMEMBER. */
#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/zset.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_MEMBER = 2 };

/* Of a packed one. A field's value is its score's bits, as elements of spread ones have them. */
static YIELDS err_t
packed_pick(struct kv_request *request, const struct kv_object *object, uint64_t count,
            bool is_repeated, struct dict_fields *picked)
{
    struct zset_entries all;
    err_t err;

    TRY(zset_load(request, object, &all));
    count = is_repeated ? count : MIN(count, (uint64_t)all.count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t low = is_repeated ? 0 : (uint32_t)i;
        uint32_t from = low + (uint32_t)prng_below(shard_prng(), all.count - low);
        struct zset_entry entry = all.at[from];
        struct slice bits = slice_of(&entry.score, sizeof(entry.score));

        all.at[from] = all.at[low];
        all.at[low] = entry;
        TRY(dict_fields_add(request, picked, entry.member, arena_copy(request->arena, bits),
                            false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    err = ERR_OK;
out:
    return err;
}

/* Members lie by their hash first, as those of sets do: dict_random.c picks them. */
static YIELDS err_t
members_pick(struct kv_request *request, const struct kv_object *object, int64_t count,
             struct dict_fields *picked)
{
    uint64_t wanted = count < 0 ? -(uint64_t)count : (uint64_t)count;

    if (!object->is_found || count == 0) {
        return ERR_OK;
    }
    if (!dict_is_spread(object)) {
        return packed_pick(request, object, wanted, count < 0, picked);
    }
    return count < 0 ? dict_pick_repeated(request, object, wanted, picked)
                     : dict_pick_distinct(request, object, wanted, picked);
}

static err_t
scores_check(const struct dict_fields *picked)
{
    for (uint32_t i = 0; i < picked->count; i++) {
        if (picked->at[i].value.size != ZSET_SCORE_BYTES) {
            return err_set(ERR_CORRUPT, "a member of a sorted set has a score of %zu bytes",
                           picked->at[i].value.size);
        }
    }
    return ERR_OK;
}

static YIELDS void
picked_reply(struct kv_request *request, const struct dict_fields *picked, bool with_scores)
{
    bool is_nested = with_scores && request->reply->resp == 3;

    reply_array(request->reply, (uint64_t)picked->count * (with_scores && !is_nested ? 2 : 1));
    for (uint32_t i = 0; i < picked->count; i++) {
        if (is_nested) {
            reply_array(request->reply, 2);
        }
        reply_bulk(request->reply, picked->at[i].name);
        if (with_scores) {
            double score;

            memcpy(&score, picked->at[i].value.data, sizeof(score));
            reply_double(request->reply, score);
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

void
kv_command_zrandmember(struct kv_request *request)
{
    struct dict_fields picked = {0};
    struct kv_object object;
    int64_t count;
    err_t err;

    if (!kv_parse_random_count(request, "withscores", &count) ||
        !zset_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    TRY(members_pick(request, &object, count, &picked));
    TRY(scores_check(&picked));
    if (request->argc >= 3) {
        picked_reply(request, &picked, request->argc == 4);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
    return;
out:
    kv_fail(request, err);
}
