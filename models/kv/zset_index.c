/* models/kv/zset_index.c - spread sorted sets: the two orders of members, and the counts. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/zset.h"

#include "engine/base/poison.h"

enum { COUNT_BYTES = 12, WORK_UNITS_PER_ENTRY = 1, WORK_UNITS_PER_MEMBER = 10 };

/* A chunk or a group. */
struct span {
    struct slice key; /* In the arena. */
    uint64_t members;
    uint32_t parts; /* Members of a chunk, chunks of a group. */
};

/* ---- Elements ---- */

struct slice
zset_member_element(struct kv_request *request, struct slice member)
{
    uint8_t *at = arena_alloc(request->arena, DICT_HASH_BYTES + member.size);
    uint8_t hash[8];

    put_be64(hash, dict_hash(member) << 16);
    memcpy(at, hash, DICT_HASH_BYTES);
    if (member.size > 0) {
        memcpy(at + DICT_HASH_BYTES, member.data, member.size);
    }
    return slice_of(at, DICT_HASH_BYTES + member.size);
}

static void
member_put(struct kv_request *request, const struct kv_collection *collection,
           const struct zset_entry *entry, struct slice sort_key)
{
    static const uint8_t sign = 1;
    bool is_negative_zero = entry->score == 0 && signbit(entry->score);
    uint8_t bits[ZSET_SCORE_BYTES];

    memcpy(bits, &entry->score, sizeof(bits));
    kv_element_put(request, collection, ZSET_BY_MEMBER, zset_member_element(request, entry->member),
                   slice_of(bits, sizeof(bits)));
    kv_element_put(request, collection, ZSET_BY_SCORE, sort_key,
                   slice_of(&sign, is_negative_zero ? 1 : 0));
}

err_t
zset_index_entry(const struct txn_scan *scan, struct zset_entry *entry_out)
{
    struct slice element = kv_element_at(scan);
    uint64_t bits;
    double score;

    if (element.size < ZSET_SCORE_BYTES) {
        return err_set(ERR_CORRUPT, "a sorted set has a sort key of %zu bytes", element.size);
    }
    bits = get_be64(element.data);
    bits = bits >> 63 != 0 ? bits ^ UINT64_C(1) << 63 : ~bits;
    memcpy(&score, &bits, sizeof(score));
    if (isnan(score)) {
        return err_set(ERR_CORRUPT, "a sorted set has a score that is no number");
    }
    *entry_out = (struct zset_entry){
        .score = kv_element_value(scan).size > 0 ? -0.0 : score,
        .member = slice_of(element.data + ZSET_SCORE_BYTES, element.size - ZSET_SCORE_BYTES),
    };
    return ERR_OK;
}

/* ---- Spans ---- */

/* The span under the scan, with its key borrowed. */
static err_t
span_at(const struct txn_scan *scan, struct span *span_out)
{
    struct slice value;

    if (!txn_scan_is_valid(scan) || kv_element_value(scan).size != COUNT_BYTES) {
        return err_set(ERR_CORRUPT, "the counts of a sorted set are not whole");
    }
    value = kv_element_value(scan);
    *span_out = (struct span){
        .key = kv_element_at(scan),
        .members = get_le64(value.data),
        .parts = get_le32(value.data + 8),
    };
    return ERR_OK;
}

static void
span_put(struct kv_request *request, const struct kv_collection *collection, enum zset_kind kind,
         const struct span *span)
{
    uint8_t value[COUNT_BYTES];

    put_le64(value, span->members);
    put_le32(value + 8, span->parts);
    kv_element_put(request, collection, (uint8_t)kind, span->key, slice_of(value, sizeof(value)));
}

/* The last span that begins at the key or before it. */
static YIELDS err_t
span_find(struct kv_request *request, const struct kv_collection *collection, enum zset_kind kind,
          struct slice key, struct span *span_out)
{
    uint8_t *after = arena_alloc(request->arena, key.size + 1);
    struct txn_scan *scan = NULL;
    err_t err;

    if (key.size > 0) {
        memcpy(after, key.data, key.size);
    }
    after[key.size] = 0;
    TRY(kv_elements_open(request, collection, (uint8_t)kind, slice_of(NULL, 0), &scan));
    TRY(kv_elements_seek_before(scan, request, collection, (uint8_t)kind,
                                slice_of(after, key.size + 1)));
    TRY(span_at(scan, span_out));
    span_out->key = arena_copy(request->arena, span_out->key);
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* The key of part `at` of a span, and how many members lie in the parts before it. */
static YIELDS err_t
span_part(struct kv_request *request, const struct kv_collection *collection, enum zset_kind parts,
          const struct span *span, uint32_t at, struct slice *key_out, uint64_t *members_out)
{
    struct txn_scan *scan = NULL;
    struct span part;
    uint64_t members = 0;
    err_t err;

    TRY(kv_elements_open(request, collection, (uint8_t)parts, span->key, &scan));
    for (uint32_t i = 0; i < at && txn_scan_is_valid(scan); i++) {
        part.members = 1;
        if (parts != ZSET_BY_SCORE) {
            TRY(span_at(scan, &part));
        }
        members += part.members;
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ENTRY);
    }
    if (!txn_scan_is_valid(scan)) {
        err = err_set(ERR_CORRUPT, "the counts of a sorted set are not whole");
        goto out;
    }
    *key_out = arena_copy(request->arena, kv_element_at(scan));
    *members_out = members;
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* A span that has grown too long becomes two, the second of which is in *second_out. */
static YIELDS err_t
span_split(struct kv_request *request, const struct kv_collection *collection, enum zset_kind kind,
           struct span *span, struct span *second_out)
{
    enum zset_kind parts = kind == ZSET_CHUNKS ? ZSET_BY_SCORE : ZSET_CHUNKS;
    uint32_t half = span->parts / 2;
    uint64_t members = 0;
    err_t err;

    TRY(span_part(request, collection, parts, span, half, &second_out->key, &members));
    if (members > span->members) {
        return err_set(ERR_CORRUPT, "the counts of a sorted set are not whole");
    }
    second_out->members = span->members - members;
    second_out->parts = span->parts - half;
    span->members = members;
    span->parts = half;
    span_put(request, collection, kind, span);
    span_put(request, collection, kind, second_out);
out:
    return err;
}

static YIELDS err_t
counts_add(struct kv_request *request, const struct kv_collection *collection, struct slice key)
{
    struct span chunk;
    struct span group;
    struct span second;
    err_t err;

    TRY(span_find(request, collection, ZSET_CHUNKS, key, &chunk));
    TRY(span_find(request, collection, ZSET_GROUPS, chunk.key, &group));
    chunk.members++;
    chunk.parts++;
    group.members++;
    if (chunk.parts > ZSET_CHUNK_MAX) {
        TRY(span_split(request, collection, ZSET_CHUNKS, &chunk, &second));
        group.parts++;
    } else {
        span_put(request, collection, ZSET_CHUNKS, &chunk);
    }
    if (group.parts > ZSET_CHUNK_MAX) {
        TRY(span_split(request, collection, ZSET_GROUPS, &group, &second));
    } else {
        span_put(request, collection, ZSET_GROUPS, &group);
    }
out:
    return err;
}

/* An empty chunk goes, unless a group that has members begins with it. */
static YIELDS err_t
counts_remove(struct kv_request *request, const struct kv_collection *collection, struct slice key)
{
    struct span chunk;
    struct span group;
    err_t err;

    TRY(span_find(request, collection, ZSET_CHUNKS, key, &chunk));
    TRY(span_find(request, collection, ZSET_GROUPS, chunk.key, &group));
    if (chunk.members == 0 || chunk.parts == 0 || group.members == 0 || group.parts == 0) {
        return err_set(ERR_CORRUPT, "the counts of a sorted set are not whole");
    }
    chunk.members--;
    chunk.parts--;
    group.members--;
    if (chunk.members == 0 && !slice_equal(chunk.key, group.key)) {
        kv_element_delete(request, collection, ZSET_CHUNKS, chunk.key);
        group.parts--;
    } else {
        span_put(request, collection, ZSET_CHUNKS, &chunk);
    }
    if (group.members == 0 && group.key.size > 0) {
        kv_element_delete(request, collection, ZSET_CHUNKS, group.key);
        kv_element_delete(request, collection, ZSET_GROUPS, group.key);
    } else {
        span_put(request, collection, ZSET_GROUPS, &group);
    }
out:
    return err;
}

/* ---- Changes ---- */

err_t
zset_index_add(struct kv_request *request, const struct kv_collection *collection,
               const struct zset_entry *entry)
{
    struct slice key = zset_sort_key(request, entry->score, entry->member);

    member_put(request, collection, entry, key);
    kv_work(request, WORK_UNITS_PER_MEMBER);
    return counts_add(request, collection, key);
}

err_t
zset_index_remove(struct kv_request *request, const struct kv_collection *collection,
                  const struct zset_entry *entry)
{
    struct slice key = zset_sort_key(request, entry->score, entry->member);

    kv_element_delete(request, collection, ZSET_BY_MEMBER,
                      zset_member_element(request, entry->member));
    kv_element_delete(request, collection, ZSET_BY_SCORE, key);
    kv_work(request, WORK_UNITS_PER_MEMBER);
    return counts_remove(request, collection, key);
}

void
zset_index_build(struct kv_request *request, const struct kv_collection *collection,
                 const struct zset_entries *entries)
{
    struct span chunk = {.members = 0};
    struct span group = {.parts = 1};

    for (uint32_t i = 0; i < entries->count; i++) {
        const struct zset_entry *entry = &entries->at[i];
        struct slice key = zset_sort_key(request, entry->score, entry->member);

        if (chunk.parts == ZSET_CHUNK_NEW) {
            span_put(request, collection, ZSET_CHUNKS, &chunk);
            chunk = (struct span){.key = key};
            if (group.parts == ZSET_CHUNK_NEW) {
                span_put(request, collection, ZSET_GROUPS, &group);
                group = (struct span){.key = key};
            }
            group.parts++;
        }
        chunk.members++;
        chunk.parts++;
        group.members++;
        member_put(request, collection, entry, key);
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    span_put(request, collection, ZSET_CHUNKS, &chunk);
    span_put(request, collection, ZSET_GROUPS, &group);
}

/* ---- Ranks ---- */

/* Passes spans from `from` on that end at the key or before it; *key_out: where the next begins. */
static YIELDS err_t
spans_pass_key(struct kv_request *request, const struct kv_collection *collection,
               enum zset_kind kind, struct slice from, struct slice key, uint64_t *members,
               struct slice *key_out)
{
    struct txn_scan *scan = NULL;
    uint64_t last = 0;
    struct span span;
    err_t err;

    *key_out = from;
    TRY(kv_elements_open(request, collection, (uint8_t)kind, from, &scan));
    while (txn_scan_is_valid(scan)) {
        TRY(span_at(scan, &span));
        if (slice_compare(span.key, key) > 0) {
            break;
        }
        *members += last;
        last = span.members;
        *key_out = arena_copy(request->arena, span.key);
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ENTRY);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
zset_index_rank(struct kv_request *request, const struct kv_collection *collection,
                struct slice key, uint64_t *rank_out)
{
    struct txn_scan *scan = NULL;
    uint64_t rank = 0;
    struct slice from = slice_of(NULL, 0);
    err_t err;

    TRY(spans_pass_key(request, collection, ZSET_GROUPS, from, key, &rank, &from));
    TRY(spans_pass_key(request, collection, ZSET_CHUNKS, from, key, &rank, &from));
    TRY(kv_elements_open(request, collection, ZSET_BY_SCORE, from, &scan));
    while (txn_scan_is_valid(scan) && slice_compare(kv_element_at(scan), key) < 0) {
        rank++;
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ENTRY);
    }
    *rank_out = rank;
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

/* Passes spans that lie before the rank, which becomes one from *key_out on. */
static YIELDS err_t
spans_pass_rank(struct kv_request *request, const struct kv_collection *collection,
                enum zset_kind kind, struct slice from, uint64_t *rank, struct slice *key_out)
{
    struct txn_scan *scan = NULL;
    struct span span;
    err_t err;

    *key_out = from;
    TRY(kv_elements_open(request, collection, (uint8_t)kind, from, &scan));
    while (txn_scan_is_valid(scan)) {
        TRY(span_at(scan, &span));
        *key_out = span.key;
        if (*rank < span.members) {
            break;
        }
        *rank -= span.members;
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ENTRY);
    }
    *key_out = txn_scan_is_valid(scan) ? arena_copy(request->arena, *key_out) : from;
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
zset_index_seek(struct kv_request *request, const struct kv_collection *collection, uint64_t rank,
                struct txn_scan **scan_out)
{
    struct slice from = slice_of(NULL, 0);
    struct txn_scan *scan = NULL;
    err_t err;

    TRY(spans_pass_rank(request, collection, ZSET_GROUPS, from, &rank, &from));
    TRY(spans_pass_rank(request, collection, ZSET_CHUNKS, from, &rank, &from));
    TRY(kv_elements_open(request, collection, ZSET_BY_SCORE, slice_of(NULL, 0), &scan));
    TRY(kv_elements_seek(scan, request, collection, ZSET_BY_SCORE, from));
    for (; rank > 0 && txn_scan_is_valid(scan); rank--) {
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ENTRY);
    }
    *scan_out = scan;
    return ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}
