/* models/kv/zset_algebra.c - ZUNION, ZINTER, ZDIFF and what is made of them.
 *
 * Operands are sorted sets, and sets, whose members have the score 1. They are taken in the order
 * of their sizes, as Redis does: sums of floating point numbers depend on it. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/zset_words.h"

#include "engine/base/poison.h"

enum { MEMBERS_AT_ONCE = 512, WORK_UNITS_PER_MEMBER = 2 };

enum algebra { ALGEBRA_INTER, ALGEBRA_UNION, ALGEBRA_DIFF };
enum aggregate { AGGREGATE_SUM, AGGREGATE_MIN, AGGREGATE_MAX };

struct operand {
    struct kv_object object;
    double weight;
};

struct computing {
    enum algebra algebra;
    bool is_store, is_card;
    /* From the words of the call: */
    enum aggregate aggregate;
    bool with_scores;
    int64_t limit; /* Of ZINTERCARD; 0: none. */
    uint32_t count;
    struct operand *operands;
};

/* ---- The words of a call ---- */

/* The keys from argv[at] on, which are as many as argv[at - 1] says; false after an error. */
static YIELDS bool
operands_lookup(struct kv_request *request, struct computing *computing, uint32_t at)
{
    int64_t count;

    if (!kv_parse_int(request, request->argv[at - 1], &count)) {
        return false;
    }
    if (count < 1) {
        reply_error(request->reply, "ERR at least 1 input key is needed for '%s' command",
                    request->command->name);
        return false;
    }
    if (count > (int64_t)request->argc - (int64_t)at) {
        kv_reply_syntax_error(request);
        return false;
    }
    computing->count = (uint32_t)count;
    computing->operands =
        arena_alloc(request->arena, computing->count * sizeof(*computing->operands));
    if (computing->operands == NULL) {
        kv_fail(request, err_set(ERR_NO_MEMORY, "no memory for %u keys", computing->count));
        return false;
    }
    for (uint32_t i = 0; i < computing->count; i++) {
        struct operand *operand = &computing->operands[i];
        struct slice name = request->argv[at + i];

        operand->weight = 1;
        if (!kv_lookup(request, name, KV_LOOKUP_READ, &operand->object)) {
            return false;
        }
        if (operand->object.is_found && operand->object.head.type == KV_SET
                ? !dict_lookup(request, name, KV_SET, 0, &operand->object)
                : !zset_check_reply(request, &operand->object)) {
            return false;
        }
    }
    return true;
}

static bool
weights_read(struct kv_request *request, struct computing *computing, uint32_t at)
{
    for (uint32_t i = 0; i < computing->count; i++) {
        if (!zset_parse_score(request->argv[at + i], &computing->operands[i].weight)) {
            reply_error(request->reply, "ERR weight value is not a float");
            return false;
        }
    }
    return true;
}

static bool
aggregate_read(struct kv_request *request, struct computing *computing, struct slice word)
{
    static const char *const names[] = {"sum", "min", "max"};

    for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
        if (kv_word_is(word, names[i])) {
            computing->aggregate = (enum aggregate)i;
            return true;
        }
    }
    kv_reply_syntax_error(request);
    return false;
}

static bool
limit_read(struct kv_request *request, struct computing *computing, struct slice word)
{
    if (!reply_parse_int(word, &computing->limit) || computing->limit < 0) {
        reply_error(request->reply, "ERR LIMIT can't be negative");
        return false;
    }
    return true;
}

/* What follows the keys, from argv[at] on; false after an error reply. */
static bool
options_read(struct kv_request *request, struct computing *computing, uint32_t at)
{
    bool is_weighed = computing->algebra != ALGEBRA_DIFF && !computing->is_card;

    while (at < request->argc) {
        struct slice word = request->argv[at];
        uint32_t left = request->argc - at;

        if (is_weighed && left > computing->count && kv_word_is(word, "weights")) {
            if (!weights_read(request, computing, at + 1)) {
                return false;
            }
            at += 1 + computing->count;
        } else if (is_weighed && left >= 2 && kv_word_is(word, "aggregate")) {
            if (!aggregate_read(request, computing, request->argv[at + 1])) {
                return false;
            }
            at += 2;
        } else if (!computing->is_store && !computing->is_card && kv_word_is(word, "withscores")) {
            computing->with_scores = true;
            at++;
        } else if (computing->is_card && left >= 2 && kv_word_is(word, "limit")) {
            if (!limit_read(request, computing, request->argv[at + 1])) {
                return false;
            }
            at += 2;
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

/* ---- Computing ---- */

static void
aggregate_add(enum aggregate aggregate, double *to, double score)
{
    switch (aggregate) {
    case AGGREGATE_SUM:
        *to += score;
        *to = isnan(*to) ? 0 : *to; /* Infinities of both signs. */
        break;
    case AGGREGATE_MIN:
        *to = score < *to ? score : *to;
        break;
    case AGGREGATE_MAX:
        *to = score > *to ? score : *to;
        break;
    }
}

static uint64_t
operand_size(const struct operand *operand)
{
    return operand->object.is_found ? operand->object.head.count : 0;
}

/* By size; those of one size stay in their order. */
static void
operands_sort(struct computing *computing)
{
    for (uint32_t i = 1; i < computing->count; i++) {
        struct operand operand = computing->operands[i];
        uint32_t to = i;

        for (; to > 0 && operand_size(&operand) < operand_size(&computing->operands[to - 1]);
             to--) {
            computing->operands[to] = computing->operands[to - 1];
        }
        computing->operands[to] = operand;
    }
}

/* The members with their scores, weighed, behind those that are in *entries. */
static YIELDS err_t
operand_load(struct kv_request *request, const struct operand *operand,
             struct zset_entries *entries)
{
    struct zset_entries loaded = {0};
    struct dict_fields fields = {0};
    err_t err = ERR_OK;

    if (!operand->object.is_found) {
        return ERR_OK;
    }
    if (operand->object.head.type == KV_SET) {
        TRY(dict_load(request, &operand->object, &fields));
        for (uint32_t i = 0; i < fields.count; i++) {
            TRY(zset_entries_add(request, entries, operand->weight, fields.at[i].name, false));
            kv_work(request, WORK_UNITS_PER_MEMBER);
        }
        return ERR_OK;
    }
    TRY(zset_load(request, &operand->object, &loaded));
    for (uint32_t i = 0; i < loaded.count; i++) {
        double score = operand->weight * loaded.at[i].score;

        TRY(zset_entries_add(request, entries, isnan(score) ? 0 : score, loaded.at[i].member,
                             false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

/* Which of the members are in the operand, and with what score? */
static YIELDS err_t
operand_find(struct kv_request *request, const struct operand *operand,
             const struct zset_entry *entries, uint32_t count, bool *is_in, double *scores)
{
    struct dict_field fields[MEMBERS_AT_ONCE];
    struct slice members[MEMBERS_AT_ONCE];

    if (operand->object.is_found && operand->object.head.type == KV_SET) {
        for (uint32_t i = 0; i < count; i++) {
            fields[i] = dict_field_of(entries[i].member);
            scores[i] = 1;
        }
        return dict_find(request, &operand->object, fields, count, is_in);
    }
    for (uint32_t i = 0; i < count; i++) {
        members[i] = entries[i].member;
    }
    return zset_find(request, &operand->object, members, count, is_in, scores);
}

/* Keeps the members that are in the operand, with its score added, or those that are not. */
static YIELDS err_t
members_filter(struct kv_request *request, const struct computing *computing,
               const struct operand *operand, struct zset_entries *entries)
{
    bool keeps_those_in = computing->algebra == ALGEBRA_INTER;
    bool is_in[MEMBERS_AT_ONCE];
    double scores[MEMBERS_AT_ONCE];
    uint32_t kept = 0;
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < entries->count; done += MEMBERS_AT_ONCE) {
        uint32_t chunk = MIN(entries->count - done, (uint32_t)MEMBERS_AT_ONCE);

        TRY(operand_find(request, operand, entries->at + done, chunk, is_in, scores));
        for (uint32_t i = 0; i < chunk; i++) {
            struct zset_entry entry = entries->at[done + i];

            if (is_in[i] != keeps_those_in) {
                continue;
            }
            if (keeps_those_in) {
                aggregate_add(computing->aggregate, &entry.score, operand->weight * scores[i]);
            }
            entries->at[kept++] = entry;
        }
        kv_work(request, chunk);
    }
    entries->count = kept;
out:
    return err;
}

/* The same member of several operands becomes one. */
static YIELDS void
members_unite(struct kv_request *request, const struct computing *computing,
              struct zset_entries *entries)
{
    uint32_t kept = 0;

    zset_entries_sort_members(request, entries);
    for (uint32_t i = 0; i < entries->count; i++) {
        struct zset_entry *last = &entries->at[kept - (kept > 0)];

        if (kept > 0 && slice_equal(last->member, entries->at[i].member)) {
            aggregate_add(computing->aggregate, &last->score, entries->at[i].score);
        } else {
            entries->at[kept++] = entries->at[i];
        }
    }
    entries->count = kept;
}

static YIELDS err_t
compute(struct kv_request *request, struct computing *computing, struct zset_entries *entries)
{
    bool is_union = computing->algebra == ALGEBRA_UNION;
    err_t err;

    if (computing->algebra != ALGEBRA_DIFF) {
        operands_sort(computing);
    }
    TRY(operand_load(request, &computing->operands[0], entries));
    for (uint32_t i = 1; i < computing->count && (is_union || entries->count > 0); i++) {
        if (is_union) {
            TRY(operand_load(request, &computing->operands[i], entries));
        } else {
            TRY(members_filter(request, computing, &computing->operands[i], entries));
        }
    }
    if (is_union) {
        members_unite(request, computing, entries);
    }
    zset_entries_sort(request, entries, zset_score_before);
out:
    return err;
}

/* ---- Commands ---- */

static YIELDS void
compute_and_reply(struct kv_request *request, struct computing *computing)
{
    static const char *const events[] = {
        [ALGEBRA_INTER] = "zinterstore",
        [ALGEBRA_UNION] = "zunionstore",
        [ALGEBRA_DIFF] = "zdiffstore",
    };
    uint32_t first = computing->is_store ? 3 : 2; /* Behind the number of keys. */
    struct zset_entries entries = {0};
    struct kv_object object;
    err_t err;

    if (!operands_lookup(request, computing, first) ||
        !options_read(request, computing, first + computing->count)) {
        return;
    }
    TRY(compute(request, computing, &entries));
    if (computing->is_card) {
        int64_t count = entries.count;

        reply_int(request->reply, computing->limit > 0 ? MIN(count, computing->limit) : count);
    } else if (!computing->is_store) {
        zset_reply(request, &entries, computing->with_scores);
    } else if (kv_lookup(request, request->argv[1], 0, &object)) {
        TRY(zset_store_reply(request, &object, &entries, events[computing->algebra]));
    }
    return;
out:
    kv_fail(request, err);
}

void
kv_command_zunion(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_UNION});
}

void
kv_command_zinter(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_INTER});
}

void
kv_command_zdiff(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_DIFF});
}

void
kv_command_zunionstore(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_UNION, .is_store = true});
}

void
kv_command_zinterstore(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_INTER, .is_store = true});
}

void
kv_command_zdiffstore(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_DIFF, .is_store = true});
}

void
kv_command_zintercard(struct kv_request *request)
{
    compute_and_reply(request, &(struct computing){.algebra = ALGEBRA_INTER, .is_card = true});
}
