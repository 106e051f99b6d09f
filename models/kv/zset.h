/* models/kv/zset.h - sorted sets: how they are stored, and what their commands share.
 *
 * Members lie in order of score, then of bytes. A *sort key* is the score as 8 big-endian bytes
 * that sort as numbers do (-0 as 0), and the member. Packed: one item a member, the bits of the
 * score (8, little-endian) and the member, in order; the body's first byte is the encoding that
 * Redis would report. Spread, by kind of element:
 *
 *     0   hash of the member (6) | member  ->  bits of the score (8, little-endian)
 *     1   page number (8)                  ->  a page of the tree that has the order: zset_tree.h
 *
 * The body is the encoding and the number of the next new page (varint). */
#pragma once

#include "models/kv/dict.h"

enum {
    ZSET_SCORE_BYTES = 8,
    ZSET_MEMBER_BYTES_MAX = KV_ELEMENT_BYTES_MAX - ZSET_SCORE_BYTES,
};

struct zset_entry {
    double score;
    struct slice member;
    uint64_t order; /* Of its coming, where an array needs it. */
};

/* In the request's arena. */
struct zset_entries {
    struct zset_entry *at;
    uint32_t count;
    uint32_t capacity;
};

/* Borrowed, or copied into the arena. ERR_NO_MEMORY. */
err_t zset_entries_add(struct kv_request *request, struct zset_entries *entries, double score,
                       struct slice member, bool is_copied);
/* Into an array that is in order of score, where it belongs; borrowed. ERR_NO_MEMORY. */
err_t zset_entries_insert(struct kv_request *request, struct zset_entries *entries, double score,
                          struct slice member);
void zset_entries_remove(struct zset_entries *entries, uint32_t at);

typedef bool (*zset_before)(const struct zset_entry *a, const struct zset_entry *b);
/* The order of a sorted set: by score, then by bytes. */
bool zset_score_before(const struct zset_entry *a, const struct zset_entry *b);
YIELDS void zset_entries_sort(struct kv_request *request, struct zset_entries *entries,
                              zset_before is_before);
/* By bytes, then by order of coming. */
YIELDS void zset_entries_sort_members(struct kv_request *request, struct zset_entries *entries);
void zset_entries_reverse(struct zset_entries *entries);

uint64_t zset_score_bits(double score); /* Sort as scores do. */
/* In the arena. */
struct slice zset_sort_key(struct kv_request *request, double score, struct slice member);
/* <0, 0, >0: a member beside a sort key. */
int zset_entry_compare(const struct zset_entry *entry, struct slice key);

/* The key as a KV_ZSET, or missing; false after an error reply. */
YIELDS bool zset_lookup(struct kv_request *request, struct slice name, uint32_t flags,
                        struct kv_object *object_out);
/* The same for an object that was looked up already. */
bool zset_check_reply(struct kv_request *request, const struct kv_object *object);

/* Errors of all that follows: as txn_get, ERR_CORRUPT, ERR_NO_MEMORY, ERR_LIMIT (a long member). */

/* ---- Reading ---- */

/* Scores of members; is_in and scores have room for count. */
YIELDS err_t zset_find(struct kv_request *request, const struct kv_object *object,
                       const struct slice *members, uint32_t count, bool *is_in, double *scores);
/* How many members lie before the sort key? */
YIELDS err_t zset_rank(struct kv_request *request, const struct kv_object *object, struct slice key,
                       uint64_t *rank_out);

/* Members from a place on, forward or backward. */
struct zset_range {
    bool is_reverse;
    bool is_ranks;        /* By rank; otherwise by sort keys. */
    uint64_t first, last; /* Ranks; with is_reverse counted from the last member. */
    struct slice lower;   /* At or behind it; empty: from the first. */
    struct slice upper;   /* Before it; empty: to the last. */
    uint64_t offset;      /* Passed over. */
    uint64_t limit;       /* UINT64_MAX: all. */
};
/* In the order of the range; members are in the arena. */
YIELDS err_t zset_collect(struct kv_request *request, const struct kv_object *object,
                          const struct zset_range *range, struct zset_entries *entries_out);
YIELDS err_t zset_load(struct kv_request *request, const struct kv_object *object,
                       struct zset_entries *entries_out);
/* One page of ZSCAN. */
YIELDS err_t zset_page(struct kv_request *request, const struct kv_object *object,
                       const struct kv_scan_options *options, struct zset_entries *entries_out,
                       uint64_t *next_out);

/* ---- Changes: between open and finish nothing else may change the key. ---- */

struct zset_tree;
struct zset_edit {
    struct kv_request *request;
    struct kv_object *object;
    struct kv_head head;
    uint8_t encoding;
    bool is_spread;
    bool is_changed;
    struct kv_collection collection; /* is_spread */
    struct zset_tree *tree;          /* The same; in the arena. */
    struct zset_entries packed;      /* Otherwise; in order. */
    size_t packed_bytes;
};
YIELDS err_t zset_edit_open(struct kv_request *request, struct kv_object *object,
                            struct zset_edit *edit_out);
YIELDS err_t zset_edit_get(struct zset_edit *edit, struct slice member, bool *is_in,
                           double *score_out);
/* The member is not there, or (is_in) has old_score. */
YIELDS err_t zset_edit_put(struct zset_edit *edit, struct slice member, bool is_in,
                           double old_score, double score);
YIELDS err_t zset_edit_remove(struct zset_edit *edit, struct slice member, double score);
/* Writes the head; without members the key goes. */
YIELDS err_t zset_edit_finish(struct zset_edit *edit);

/* The members (sorted, no repeats) in place of whatever the key held; expiry and access are those
 * of `head`. Without members the key goes. */
YIELDS err_t zset_store(struct kv_request *request, struct kv_object *object,
                        const struct kv_head *head, const struct zset_entries *entries);

/* The same without an expiry; then the event and the number of members, replied. */
YIELDS err_t zset_store_reply(struct kv_request *request, struct kv_object *object,
                              const struct zset_entries *entries, const char *event);
/* Removes the members of a range, which *entries_out has then. */
YIELDS err_t zset_range_remove(struct kv_request *request, struct kv_object *object,
                               const struct zset_range *range, struct zset_entries *entries_out);

const char *zset_encoding_name(const struct kv_object *object);

/* ---- Elements of spread ones ---- */

enum zset_kind { ZSET_BY_MEMBER, ZSET_PAGES };
/* The element of ZSET_BY_MEMBER, in the arena. */
struct slice zset_member_element(struct kv_request *request, struct slice member);
