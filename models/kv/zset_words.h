/* models/kv/zset_words.h - reading scores and ranges as the commands on sorted sets have them. */
#pragma once

#include "models/kv/zset.h"

/* All of the text is a number, no space before it; not NaN. */
bool zset_parse_score(struct slice text, double *score_out);
/* The same; replies "value is not a valid float". */
bool zset_read_score(struct kv_request *request, struct slice text, double *score_out);

enum zset_by { ZSET_RANK, ZSET_SCORE, ZSET_LEX };

/* The two ends of a range, smaller end first. */
struct zset_bounds {
    enum zset_by by;
    int64_t first, last;    /* ZSET_RANK; negative: from the end. */
    uint64_t lower, upper;  /* ZSET_SCORE: bits of scores, upper is not in the range. */
    struct slice low, high; /* ZSET_LEX: members; */
    bool is_low_out;        /* the ends themselves are not in the range, */
    bool is_high_out;
    int8_t low_end, high_end; /* or the end is before (-1) or behind (1) all. */
};
/* False after an error reply. */
bool zset_bounds_parse(struct kv_request *request, enum zset_by by, struct slice low,
                       struct slice high, struct zset_bounds *bounds_out);
/* Of an existing object, by rank or by sort key; false when the range is empty. */
YIELDS err_t zset_bounds_range(struct kv_request *request, const struct kv_object *object,
                               const struct zset_bounds *bounds, bool is_reverse,
                               struct zset_range *range_out, bool *is_empty);

/* Members with or without their scores, as an array; RESP3 has pairs. */
YIELDS void zset_reply(struct kv_request *request, const struct zset_entries *entries,
                       bool with_scores);

/* ---- Adding: zset_commands.c ---- */

struct zset_adding {
    bool nx, xx, gt, lt, ch, incr;
    uint32_t count;
    double *scores;
    struct slice *members;
};
/* To the key argv[1]; replies, as ZADD does. */
YIELDS void zset_add(struct kv_request *request, const struct zset_adding *adding);
