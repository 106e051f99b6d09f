/* models/kv/zset_words.c - see the header. */
#include "models/kv/zset_words.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { SCORE_TEXT_MAX = 1024, WORK_UNITS_PER_MEMBER = 2, MEMBERS_A_WORK_UNIT = 16 };

/* ---- Scores ---- */

static bool
is_space(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

bool
zset_parse_score(struct slice text, double *score_out)
{
    char copy[SCORE_TEXT_MAX];
    double score;
    char *end;
    bool is_valid;

    if (text.size == 0 || text.size >= sizeof(copy) || is_space(text.data[0])) {
        return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    errno = 0;
    score = strtod(copy, &end);
    is_valid = end == copy + text.size && !isnan(score) &&
               !(errno == ERANGE && (isinf(score) || score == 0));
    errno = 0;
    *score_out = is_valid ? score : *score_out;
    return is_valid;
}

bool
zset_read_score(struct kv_request *request, struct slice text, double *score_out)
{
    if (!zset_parse_score(text, score_out)) {
        reply_error(request->reply, "ERR value is not a valid float");
        return false;
    }
    return true;
}

/* ---- Ends of ranges ---- */

/* A score, with "(" before it when it is not in the range itself. */
static bool
score_end_parse(struct slice text, double *score_out, bool *is_out)
{
    char copy[SCORE_TEXT_MAX];
    char *end;

    *is_out = text.size > 0 && text.data[0] == '(';
    if (*is_out) {
        text = slice_of(text.data + 1, text.size - 1);
    }
    if (text.size >= sizeof(copy)) {
        return false;
    }
    if (text.size > 0) {
        memcpy(copy, text.data, text.size);
    }
    copy[text.size] = '\0';
    *score_out = strtod(copy, &end);
    errno = 0;
    return *end == '\0' && !isnan(*score_out);
}

static bool
scores_parse(struct slice low, struct slice high, struct zset_bounds *bounds)
{
    bool is_low_out;
    bool is_high_out;
    double lower;
    double upper;

    if (!score_end_parse(low, &lower, &is_low_out) ||
        !score_end_parse(high, &upper, &is_high_out)) {
        return false;
    }
    bounds->lower = zset_score_bits(lower) + is_low_out;
    bounds->upper = zset_score_bits(upper) + !is_high_out;
    return true;
}

static bool
lex_end_parse(struct slice text, struct slice *member_out, bool *is_out, int8_t *end_out)
{
    *end_out = 0;
    *is_out = false;
    *member_out = slice_of(NULL, 0);
    if (text.size == 1 && (text.data[0] == '-' || text.data[0] == '+')) {
        *end_out = text.data[0] == '-' ? -1 : 1;
        return true;
    }
    if (text.size == 0 || (text.data[0] != '(' && text.data[0] != '[')) {
        return false;
    }
    *is_out = text.data[0] == '(';
    *member_out = slice_of(text.data + 1, text.size - 1);
    return true;
}

bool
zset_bounds_parse(struct kv_request *request, enum zset_by by, struct slice low, struct slice high,
                  struct zset_bounds *bounds_out)
{
    struct zset_bounds bounds = {.by = by};

    switch (by) {
    case ZSET_RANK:
        if (!kv_parse_int(request, low, &bounds.first) ||
            !kv_parse_int(request, high, &bounds.last)) {
            return false;
        }
        break;
    case ZSET_SCORE:
        if (!scores_parse(low, high, &bounds)) {
            reply_error(request->reply, "ERR min or max is not a float");
            return false;
        }
        break;
    case ZSET_LEX:
        if (!lex_end_parse(low, &bounds.low, &bounds.is_low_out, &bounds.low_end) ||
            !lex_end_parse(high, &bounds.high, &bounds.is_high_out, &bounds.high_end)) {
            reply_error(request->reply, "ERR min or max not valid string range item");
            return false;
        }
        break;
    }
    *bounds_out = bounds;
    return true;
}

/* ---- Ranges ---- */

static bool
rank_range(const struct kv_object *object, const struct zset_bounds *bounds,
           struct zset_range *range)
{
    int64_t count = (int64_t)object->head.count;
    int64_t first = bounds->first < 0 ? bounds->first + count : bounds->first;
    int64_t last = bounds->last < 0 ? bounds->last + count : bounds->last;

    first = MAX(first, (int64_t)0);
    last = MIN(last, count - 1);
    range->is_ranks = true;
    range->first = (uint64_t)first;
    range->last = (uint64_t)MAX(last, (int64_t)0);
    return first <= last && first < count;
}

static struct slice
score_key(struct kv_request *request, uint64_t bits)
{
    uint8_t *at = arena_alloc(request->arena, ZSET_SCORE_BYTES);

    put_be64(at, bits);
    return slice_of(at, ZSET_SCORE_BYTES);
}

/* The sort key of a member, or (is_behind) the one next to it. */
static struct slice
lex_key(struct kv_request *request, double score, struct slice member, bool is_behind)
{
    bool is_long = member.size > ZSET_MEMBER_BYTES_MAX; /* Then its beginning is before it. */
    size_t size = MIN(member.size, (size_t)ZSET_MEMBER_BYTES_MAX);
    uint8_t *at = arena_alloc(request->arena, ZSET_SCORE_BYTES + size + 1);

    put_be64(at, zset_score_bits(score));
    if (size > 0) {
        memcpy(at + ZSET_SCORE_BYTES, member.data, size);
    }
    at[ZSET_SCORE_BYTES + size] = 0;
    return slice_of(at, ZSET_SCORE_BYTES + size + (is_behind || is_long));
}

static YIELDS err_t
score_at(struct kv_request *request, const struct kv_object *object, bool is_last,
         double *score_out)
{
    const struct zset_range end = {.is_ranks = true, .is_reverse = is_last, .limit = UINT64_MAX};
    struct zset_entries entries;
    err_t err;

    TRY(zset_collect(request, object, &end, &entries));
    if (entries.count == 0) {
        return err_set(ERR_CORRUPT, "a sorted set has no members");
    }
    *score_out = entries.at[0].score;
out:
    return err;
}

/* Of members that have all this score. */
static void
lex_range_of_score(struct kv_request *request, const struct zset_bounds *bounds, double score,
                   struct zset_range *range, bool *is_empty)
{
    *is_empty = bounds->low_end > 0 || bounds->high_end < 0;
    if (bounds->low_end == 0) {
        range->lower = lex_key(request, score, bounds->low, bounds->is_low_out);
    }
    if (bounds->high_end == 0) {
        range->upper = lex_key(request, score, bounds->high, !bounds->is_high_out);
    }
    if (range->lower.size > 0 && range->upper.size > 0) {
        *is_empty |= slice_compare(range->lower, range->upper) >= 0;
    }
}

static bool
is_behind_low(const struct zset_bounds *bounds, struct slice member)
{
    int order = bounds->low_end != 0 ? -bounds->low_end : slice_compare(member, bounds->low);

    return bounds->is_low_out ? order > 0 : order >= 0;
}

static bool
is_before_high(const struct zset_bounds *bounds, struct slice member)
{
    int order = bounds->high_end != 0 ? -bounds->high_end : slice_compare(member, bounds->high);

    return bounds->is_high_out ? order < 0 : order <= 0;
}

/* Scores differ, so that names need not be in order: from the first member behind the lower end to
 * the last before one that is behind the upper end, as Redis finds them in a small set. */
static YIELDS err_t
lex_range_of_ranks(struct kv_request *request, const struct kv_object *object,
                   const struct zset_bounds *bounds, struct zset_range *range, bool *is_empty)
{
    struct zset_entries all;
    uint32_t first = 0;
    uint32_t end;
    err_t err;

    TRY(zset_load(request, object, &all));
    while (first < all.count && !is_behind_low(bounds, all.at[first].member)) {
        kv_work(request, ++first % MEMBERS_A_WORK_UNIT == 0);
    }
    end = first;
    while (end < all.count && is_before_high(bounds, all.at[end].member)) {
        kv_work(request, ++end % MEMBERS_A_WORK_UNIT == 0);
    }
    *is_empty = first == end;
    range->is_ranks = true;
    range->first = range->is_reverse ? all.count - end : first;
    range->last = range->first + (end - first) - !*is_empty;
out:
    return err;
}

static YIELDS err_t
lex_range(struct kv_request *request, const struct kv_object *object,
          const struct zset_bounds *bounds, struct zset_range *range, bool *is_empty)
{
    double first;
    double last;
    err_t err;

    TRY(score_at(request, object, false, &first));
    TRY(score_at(request, object, true, &last));
    if (first != last) {
        return lex_range_of_ranks(request, object, bounds, range, is_empty);
    }
    lex_range_of_score(request, bounds, first, range, is_empty);
out:
    return err;
}

err_t
zset_bounds_range(struct kv_request *request, const struct kv_object *object,
                  const struct zset_bounds *bounds, bool is_reverse, struct zset_range *range_out,
                  bool *is_empty)
{
    struct zset_range range = {.is_reverse = is_reverse, .limit = UINT64_MAX};
    err_t err = ERR_OK;

    *is_empty = true;
    if (object->is_found) {
        switch (bounds->by) {
        case ZSET_RANK:
            *is_empty = !rank_range(object, bounds, &range);
            break;
        case ZSET_SCORE:
            *is_empty = bounds->lower >= bounds->upper;
            range.lower = score_key(request, bounds->lower);
            range.upper = score_key(request, bounds->upper);
            break;
        case ZSET_LEX:
            TRY(lex_range(request, object, bounds, &range, is_empty));
            break;
        }
    }
    *range_out = range;
out:
    return err;
}

/* ---- Replies ---- */

void
zset_reply(struct kv_request *request, const struct zset_entries *entries, bool with_scores)
{
    bool is_nested = with_scores && request->reply->resp == 3;

    reply_array(request->reply, (uint64_t)entries->count * (with_scores && !is_nested ? 2 : 1));
    for (uint32_t i = 0; i < entries->count; i++) {
        if (is_nested) {
            reply_array(request->reply, 2);
        }
        reply_bulk(request->reply, entries->at[i].member);
        if (with_scores) {
            reply_double(request->reply, entries->at[i].score);
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}
