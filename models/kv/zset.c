/* models/kv/zset.c - sorted sets: how they are stored. */
#include "models/kv/zset.h"

#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/glob.h"
#include "models/kv/zset_tree.h"

#include "engine/base/poison.h"

enum {
    ENCODING_LISTPACK,
    ENCODING_SKIPLIST,
    ENCODINGS,
    MEMBERS_AT_ONCE = 128,
    WORK_UNITS_PER_MEMBER = 5,
};

/* ---- Sort keys ---- */

uint64_t
zset_score_bits(double score)
{
    uint64_t bits;

    score = score == 0 ? 0.0 : score;
    memcpy(&bits, &score, sizeof(bits));
    return bits >> 63 != 0 ? ~bits : bits | UINT64_C(1) << 63;
}

struct slice
zset_sort_key(struct kv_request *request, double score, struct slice member)
{
    uint8_t *at = arena_alloc(request->arena, ZSET_SCORE_BYTES + member.size);

    put_be64(at, zset_score_bits(score));
    if (member.size > 0) {
        memcpy(at + ZSET_SCORE_BYTES, member.data, member.size);
    }
    return slice_of(at, ZSET_SCORE_BYTES + member.size);
}

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

int
zset_entry_compare(const struct zset_entry *entry, struct slice key)
{
    uint64_t bits = zset_score_bits(entry->score);
    uint64_t other;

    if (key.size < ZSET_SCORE_BYTES) {
        return 1; /* The empty key is before all. */
    }
    other = get_be64(key.data);
    if (bits != other) {
        return bits < other ? -1 : 1;
    }
    return slice_compare(entry->member,
                         slice_of(key.data + ZSET_SCORE_BYTES, key.size - ZSET_SCORE_BYTES));
}

/* ---- Lookup ---- */

const char *
zset_encoding_name(const struct kv_object *object)
{
    bool is_listpack = object->head.body.size > 0 && object->head.body.data[0] == ENCODING_LISTPACK;

    return is_listpack ? "listpack" : "skiplist";
}

static struct slice
packed_of(const struct kv_object *object)
{
    return slice_of(object->head.body.data + 1, object->head.body.size - 1);
}

/* Of a spread one: the number of the next new page. */
static bool
next_page(const struct kv_object *object, uint64_t *next_out)
{
    struct slice bytes = packed_of(object);

    return get_varint(bytes.data, bytes.data + bytes.size, next_out) == bytes.size &&
           bytes.size > 0;
}

static bool
packed_next(struct kv_packed *packed, struct zset_entry *entry_out)
{
    struct slice item;

    if (!kv_packed_next(packed, &item) || item.size < ZSET_SCORE_BYTES) {
        return false;
    }
    memcpy(&entry_out->score, item.data, sizeof(entry_out->score));
    entry_out->member = slice_of(item.data + ZSET_SCORE_BYTES, item.size - ZSET_SCORE_BYTES);
    return !isnan(entry_out->score);
}

static err_t
zset_check(const struct kv_object *object)
{
    struct kv_packed packed;
    struct zset_entry entry;
    uint64_t found = 0;
    uint64_t next;

    if (object->head.body.size == 0 || object->head.body.data[0] >= ENCODINGS) {
        return err_set(ERR_CORRUPT, "the head of a sorted set has no encoding");
    }
    if (dict_is_spread(object)) {
        return next_page(object, &next) ? ERR_OK
                                        : err_set(ERR_CORRUPT,
                                                  "the head of a sorted set has %zu "
                                                  "bytes",
                                                  object->head.body.size);
    }
    packed = (struct kv_packed){packed_of(object)};
    while (packed_next(&packed, &entry)) {
        found++;
    }
    if (packed.left.size != 0 || found != object->head.count) {
        return err_set(ERR_CORRUPT, "a packed sorted set holds %llu members and not %llu",
                       (unsigned long long)found, (unsigned long long)object->head.count);
    }
    return ERR_OK;
}

bool
zset_check_reply(struct kv_request *request, const struct kv_object *object)
{
    err_t err;

    if (!kv_is_type(request, object, KV_ZSET)) {
        return false;
    }
    err = object->is_found ? zset_check(object) : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

bool
zset_lookup(struct kv_request *request, struct slice name, uint32_t flags,
            struct kv_object *object_out)
{
    return kv_lookup(request, name, flags, object_out) && zset_check_reply(request, object_out);
}

static err_t
packed_load(struct kv_request *request, const struct kv_object *object,
            struct zset_entries *entries)
{
    struct kv_packed packed = {packed_of(object)};
    struct zset_entry entry;
    err_t err = ERR_OK;

    while (packed_next(&packed, &entry)) {
        TRY(zset_entries_add(request, entries, entry.score, entry.member, false));
    }
out:
    return err;
}

/* ---- Reading ---- */

static err_t
score_of_value(const struct lsm_value *value, double *score_out)
{
    if (value->value.size != ZSET_SCORE_BYTES) {
        return err_set(ERR_CORRUPT, "a member of a sorted set has a score of %zu bytes",
                       value->value.size);
    }
    memcpy(score_out, value->value.data, sizeof(*score_out));
    return ERR_OK;
}

static YIELDS err_t
spread_find(struct kv_request *request, const struct kv_collection *collection,
            const struct slice *members, uint32_t count, bool *is_in, double *scores)
{
    struct slice elements[MEMBERS_AT_ONCE];
    struct lsm_value values[MEMBERS_AT_ONCE];
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < count; done += MEMBERS_AT_ONCE) {
        uint32_t chunk = MIN(count - done, (uint32_t)MEMBERS_AT_ONCE);

        for (uint32_t i = 0; i < chunk; i++) {
            /* One that is too long to be stored is looked for by its beginning, and not taken. */
            struct slice member = members[done + i];

            member.size = MIN(member.size, (size_t)ZSET_MEMBER_BYTES_MAX);
            elements[i] = zset_member_element(request, member);
        }
        TRY(kv_element_get_many(request, collection, ZSET_BY_MEMBER, elements, chunk, values));
        for (uint32_t i = 0; i < chunk; i++) {
            is_in[done + i] = values[i].is_found && members[done + i].size <= ZSET_MEMBER_BYTES_MAX;
            if (is_in[done + i]) {
                TRY(score_of_value(&values[i], &scores[done + i]));
            }
        }
        kv_work(request, chunk * WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

err_t
zset_find(struct kv_request *request, const struct kv_object *object, const struct slice *members,
          uint32_t count, bool *is_in, double *scores)
{
    struct kv_packed packed;
    struct zset_entry entry;

    memset(is_in, 0, count * sizeof(*is_in));
    if (!object->is_found) {
        return ERR_OK;
    }
    if (dict_is_spread(object)) {
        struct kv_collection collection = kv_collection_of(object);

        return spread_find(request, &collection, members, count, is_in, scores);
    }
    packed = (struct kv_packed){packed_of(object)};
    while (packed_next(&packed, &entry)) {
        for (uint32_t i = 0; i < count; i++) {
            if (slice_equal(entry.member, members[i])) {
                is_in[i] = true;
                scores[i] = entry.score;
            }
        }
    }
    return ERR_OK;
}

static YIELDS err_t
spread_rank(struct kv_request *request, const struct kv_object *object, struct slice key,
            uint64_t *rank_out)
{
    struct kv_collection collection = kv_collection_of(object);
    struct zset_cursor cursor;
    err_t err;

    zset_cursor_open(request, &collection, false, 1, &cursor);
    TRY(zset_cursor_seek_key(&cursor, key));
    *rank_out = cursor.rank;
out:
    return err;
}

err_t
zset_rank(struct kv_request *request, const struct kv_object *object, struct slice key,
          uint64_t *rank_out)
{
    struct kv_packed packed;
    struct zset_entry entry;

    *rank_out = 0;
    if (!object->is_found) {
        return ERR_OK;
    }
    if (dict_is_spread(object)) {
        return spread_rank(request, object, key, rank_out);
    }
    packed = (struct kv_packed){packed_of(object)};
    while (packed_next(&packed, &entry) && zset_entry_compare(&entry, key) < 0) {
        (*rank_out)++;
    }
    return ERR_OK;
}

static bool
is_in_range(const struct zset_entry *entry, const struct zset_range *range)
{
    return zset_entry_compare(entry, range->lower) >= 0 &&
           (range->upper.size == 0 || zset_entry_compare(entry, range->upper) < 0);
}

static YIELDS err_t
packed_collect(struct kv_request *request, const struct kv_object *object,
               const struct zset_range *range, struct zset_entries *entries)
{
    struct zset_entries all = {0};
    uint64_t passed = 0;
    err_t err;

    TRY(packed_load(request, object, &all));
    if (range->is_reverse) {
        zset_entries_reverse(&all);
    }
    for (uint64_t i = 0; i < all.count && entries->count < range->limit; i++) {
        bool is_member = range->is_ranks ? i >= range->first && i <= range->last
                                         : is_in_range(&all.at[i], range);

        if (is_member && passed++ >= range->offset) {
            TRY(zset_entries_add(request, entries, all.at[i].score, all.at[i].member, false));
        }
    }
out:
    return err;
}

/* By how many members of its own end is the range's first one away? */
static YIELDS err_t
range_offset(struct kv_request *request, const struct kv_object *object,
             const struct zset_range *range, uint64_t *offset_out)
{
    uint64_t count = object->head.count;
    struct slice end = range->is_reverse ? range->upper : range->lower;
    uint64_t rank = range->is_reverse ? count : 0;
    err_t err = ERR_OK;

    if (range->is_ranks) {
        *offset_out = range->offset > count ? count : range->first + range->offset;
        return ERR_OK;
    }
    if (end.size > 0) {
        TRY(spread_rank(request, object, end, &rank));
    }
    rank = range->is_reverse ? count - MIN(rank, count) : rank;
    *offset_out = range->offset > count - MIN(rank, count) ? count : rank + range->offset;
out:
    return err;
}

/* The cursor on the first member of the range, if there is one. What lies before it is passed by
 * its rank; without such the place is found by its key at once. */
static YIELDS err_t
range_seek(struct kv_request *request, const struct kv_object *object,
           const struct zset_range *range, struct zset_cursor *cursor)
{
    struct slice end = range->is_reverse ? range->upper : range->lower;
    uint64_t count = object->head.count;
    uint64_t offset;
    err_t err;

    if (!range->is_ranks && range->offset == 0 && (end.size > 0 || !range->is_reverse)) {
        return zset_cursor_seek_key(cursor, end);
    }
    TRY(range_offset(request, object, range, &offset));
    if (offset < count) {
        TRY(zset_cursor_seek_rank(cursor, range->is_reverse ? count - 1 - offset : offset));
    }
out:
    return err;
}

static YIELDS err_t
spread_collect(struct kv_request *request, const struct kv_object *object,
               const struct zset_range *range, struct zset_entries *entries)
{
    struct kv_collection collection = kv_collection_of(object);
    uint64_t left = range->limit;
    struct zset_cursor cursor;
    err_t err;

    if (range->is_ranks) {
        uint64_t ranks = range->last - range->first + 1;

        left = MIN(left, ranks - MIN(range->offset, ranks));
    }
    zset_cursor_open(request, &collection, range->is_reverse, left, &cursor);
    TRY(range_seek(request, object, range, &cursor));
    for (; left > 0 && cursor.is_valid; left--) {
        struct zset_entry entry = zset_cursor_entry(&cursor);

        if (!range->is_ranks && !is_in_range(&entry, range)) {
            break;
        }
        TRY(zset_entries_add(request, entries, entry.score, entry.member, false));
        TRY(zset_cursor_move(&cursor));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    err = ERR_OK;
out:
    return err;
}

err_t
zset_collect(struct kv_request *request, const struct kv_object *object,
             const struct zset_range *range, struct zset_entries *entries_out)
{
    *entries_out = (struct zset_entries){0};
    if (!object->is_found || range->limit == 0 || (range->is_ranks && range->first > range->last)) {
        return ERR_OK;
    }
    return dict_is_spread(object) ? spread_collect(request, object, range, entries_out)
                                  : packed_collect(request, object, range, entries_out);
}

err_t
zset_load(struct kv_request *request, const struct kv_object *object,
          struct zset_entries *entries_out)
{
    const struct zset_range all = {.limit = UINT64_MAX};

    return zset_collect(request, object, &all, entries_out);
}

/* ---- Pages ---- */

static bool
matches(const struct kv_scan_options *options, struct slice member)
{
    return options->pattern.data == NULL || kv_glob_match(options->pattern, member, false);
}

/* Members of one hash are never parted. */
static YIELDS err_t
spread_page(struct kv_request *request, const struct kv_object *object,
            const struct kv_scan_options *options, struct zset_entries *entries, uint64_t *next_out)
{
    struct txn_scan *scan = NULL;
    struct dict_field field;
    struct lsm_value value;
    uint64_t last = 0;
    double score;
    err_t err;

    TRY(dict_scan_open(request, object, options->cursor, &scan));
    for (uint64_t seen = 0; txn_scan_is_valid(scan); seen++) {
        TRY(dict_scan_field(request, scan, &field));
        if (seen >= options->count && field.hash != last) {
            *next_out = field.hash;
            break;
        }
        last = field.hash;
        value.value = field.value;
        TRY(score_of_value(&value, &score));
        if (matches(options, field.name)) {
            TRY(zset_entries_add(request, entries, score, field.name, true));
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

err_t
zset_page(struct kv_request *request, const struct kv_object *object,
          const struct kv_scan_options *options, struct zset_entries *entries_out,
          uint64_t *next_out)
{
    struct zset_entries all;
    err_t err;

    *next_out = 0;
    *entries_out = (struct zset_entries){0};
    if (object->is_found && dict_is_spread(object)) {
        return spread_page(request, object, options, entries_out, next_out);
    }
    TRY(zset_load(request, object, &all)); /* A packed one comes whole. */
    for (uint32_t i = 0; i < all.count; i++) {
        if (matches(options, all.at[i].member)) {
            TRY(zset_entries_add(request, entries_out, all.at[i].score, all.at[i].member, false));
        }
    }
out:
    return err;
}

/* ---- Changes ---- */

/* What Redis would hold so many members in, this one among them. */
static uint8_t
encoding_with(uint8_t encoding, uint64_t count, struct slice member)
{
    const struct kv_encoding_limits *limits = &kv_self()->config.limits;

    return count > limits->zset_listpack || member.size > limits->zset_listpack_value
               ? ENCODING_SKIPLIST
               : encoding;
}

/* Packed members in the arena, behind the encoding. */
static struct slice
packed_body(struct kv_request *request, uint8_t encoding, const struct zset_entries *entries,
            size_t packed_bytes)
{
    uint8_t *body = arena_alloc(request->arena, 1 + packed_bytes);
    uint8_t *at = body;

    *at++ = encoding;
    for (uint32_t i = 0; i < entries->count; i++) {
        const struct zset_entry *entry = &entries->at[i];

        at += put_varint(at, ZSET_SCORE_BYTES + entry->member.size);
        memcpy(at, &entry->score, ZSET_SCORE_BYTES);
        at += ZSET_SCORE_BYTES;
        if (entry->member.size > 0) {
            memcpy(at, entry->member.data, entry->member.size);
        }
        at += entry->member.size;
    }
    return slice_of(body, (size_t)(at - body));
}

static struct slice
spread_body(struct kv_request *request, uint8_t encoding, uint64_t next)
{
    uint8_t *body = arena_alloc(request->arena, 1 + VARINT_BYTES_MAX);

    body[0] = encoding;
    return slice_of(body, 1 + put_varint(body + 1, next));
}

static err_t
member_fits(struct slice member)
{
    if (member.size > ZSET_MEMBER_BYTES_MAX) {
        return err_set(ERR_LIMIT, "the member of %zu bytes is longer than the limit of %d",
                       member.size, ZSET_MEMBER_BYTES_MAX);
    }
    return ERR_OK;
}

err_t
zset_edit_open(struct kv_request *request, struct kv_object *object, struct zset_edit *edit_out)
{
    struct zset_edit edit = {.request = request, .object = object, .head = {.type = KV_ZSET}};
    uint64_t next = 0;
    err_t err = ERR_OK;

    if (object->is_found) {
        edit.head = object->head;
        edit.encoding = object->head.body.data[0];
        edit.is_spread = dict_is_spread(object);
        if (edit.is_spread) {
            ASSERT(next_page(object, &next)); /* zset_check has seen to it. */
            edit.collection = kv_collection_of(object);
            edit.tree = arena_alloc(request->arena, sizeof(*edit.tree));
            zset_tree_open(request, &edit.collection, next, edit.tree);
        } else {
            edit.packed_bytes = object->head.body.size - 1;
            TRY(packed_load(request, object, &edit.packed));
        }
    }
    *edit_out = edit;
out:
    return err;
}

/* Where the member is; their number, if it is not there. */
static uint32_t
packed_find(const struct zset_edit *edit, struct slice member)
{
    uint32_t at = 0;

    while (at < edit->packed.count && !slice_equal(edit->packed.at[at].member, member)) {
        at++;
    }
    return at;
}

err_t
zset_edit_get(struct zset_edit *edit, struct slice member, bool *is_in, double *score_out)
{
    uint32_t at;

    if (edit->is_spread) {
        return spread_find(edit->request, &edit->collection, &member, 1, is_in, score_out);
    }
    at = packed_find(edit, member);
    *is_in = at < edit->packed.count;
    *score_out = *is_in ? edit->packed.at[at].score : 0;
    return ERR_OK;
}

static void
member_put(struct kv_request *request, const struct kv_collection *collection,
           const struct zset_entry *entry)
{
    uint8_t bits[ZSET_SCORE_BYTES];

    memcpy(bits, &entry->score, sizeof(bits));
    kv_element_put(request, collection, ZSET_BY_MEMBER, zset_member_element(request, entry->member),
                   slice_of(bits, sizeof(bits)));
    kv_work(request, WORK_UNITS_PER_MEMBER);
}

/* A new collection of these, in order. */
static YIELDS err_t
spread_build(struct kv_request *request, const struct kv_object *object,
             const struct zset_entries *entries, struct kv_collection *collection_out,
             uint64_t *next_out)
{
    err_t err;

    TRY(kv_collection_new(request, object, collection_out));
    TRY(zset_tree_build(request, collection_out, entries, next_out));
    for (uint32_t i = 0; i < entries->count; i++) {
        member_put(request, collection_out, &entries->at[i]);
    }
out:
    return err;
}

/* From packed to spread, once it is too large. */
static YIELDS err_t
spread_now(struct zset_edit *edit)
{
    uint64_t next;
    err_t err;

    TRY(spread_build(edit->request, edit->object, &edit->packed, &edit->collection, &next));
    edit->tree = arena_alloc(edit->request->arena, sizeof(*edit->tree));
    zset_tree_open(edit->request, &edit->collection, next, edit->tree);
    edit->head.flags |= KV_HEAD_SPREAD;
    edit->head.collection = edit->collection.id;
    edit->is_spread = true;
out:
    return err;
}

static YIELDS err_t
packed_put(struct zset_edit *edit, struct slice member, double score)
{
    uint32_t at = packed_find(edit, member);
    err_t err;

    if (at < edit->packed.count) {
        zset_entries_remove(&edit->packed, at);
        edit->packed_bytes -= kv_packed_size(ZSET_SCORE_BYTES + member.size);
    }
    TRY(zset_entries_insert(edit->request, &edit->packed, score, member));
    edit->packed_bytes += kv_packed_size(ZSET_SCORE_BYTES + member.size);
    if (edit->packed.count > KV_PACKED_ITEMS_MAX || edit->packed_bytes > KV_PACKED_BYTES_MAX) {
        TRY(spread_now(edit));
    }
out:
    return err;
}

err_t
zset_edit_put(struct zset_edit *edit, struct slice member, bool is_in, double old_score,
              double score)
{
    struct zset_entry old = {.score = old_score, .member = member};
    struct zset_entry new = {.score = score, .member = member};
    err_t err;

    TRY(member_fits(member));
    edit->is_changed = true;
    if (!is_in) {
        edit->head.count++;
        edit->encoding = encoding_with(edit->encoding, edit->head.count, member);
    }
    if (!edit->is_spread) {
        TRY(packed_put(edit, member, score));
        return ERR_OK;
    }
    if (is_in) {
        TRY(zset_tree_remove(edit->tree, &old));
    }
    TRY(zset_tree_add(edit->tree, &new));
    member_put(edit->request, &edit->collection, &new);
out:
    return err;
}

err_t
zset_edit_remove(struct zset_edit *edit, struct slice member, double score)
{
    struct zset_entry old = {.score = score, .member = member};
    uint32_t at;

    if (edit->head.count == 0) {
        return err_set(ERR_CORRUPT, "a sorted set counts fewer members than it has");
    }
    edit->is_changed = true;
    edit->head.count--;
    if (edit->is_spread) {
        kv_element_delete(edit->request, &edit->collection, ZSET_BY_MEMBER,
                          zset_member_element(edit->request, member));
        return zset_tree_remove(edit->tree, &old);
    }
    at = packed_find(edit, member);
    ASSERT(at < edit->packed.count);
    edit->packed_bytes -= kv_packed_size(ZSET_SCORE_BYTES + member.size);
    zset_entries_remove(&edit->packed, at);
    return ERR_OK;
}

err_t
zset_edit_finish(struct zset_edit *edit)
{
    err_t err = ERR_OK;

    if (!edit->is_changed) {
        return ERR_OK;
    }
    if (!edit->is_spread) {
        edit->head.body =
            packed_body(edit->request, edit->encoding, &edit->packed, edit->packed_bytes);
    } else if (edit->head.count > 0) { /* Otherwise all of the collection goes with the head. */
        TRY(zset_tree_finish(edit->tree));
        edit->head.body = spread_body(edit->request, edit->encoding, edit->tree->next);
    }
    kv_put_collection(edit->request, edit->object, &edit->head);
out:
    return err;
}

err_t
zset_store(struct kv_request *request, struct kv_object *object, const struct kv_head *old,
           const struct zset_entries *entries)
{
    uint8_t encoding = ENCODING_LISTPACK;
    struct kv_head head = *old;
    struct kv_collection collection;
    size_t packed_bytes = 0;
    uint64_t next;
    err_t err = ERR_OK;

    if (entries->count == 0) {
        kv_remove(request, object);
        return ERR_OK;
    }
    for (uint32_t i = 0; i < entries->count; i++) {
        TRY(member_fits(entries->at[i].member));
        packed_bytes += kv_packed_size(ZSET_SCORE_BYTES + entries->at[i].member.size);
        encoding = encoding_with(encoding, i + 1, entries->at[i].member);
    }
    head.type = KV_ZSET;
    head.count = entries->count;
    head.flags &= (uint8_t) ~(KV_HEAD_SPREAD | KV_HEAD_PAYLOAD);
    if (entries->count <= KV_PACKED_ITEMS_MAX && packed_bytes <= KV_PACKED_BYTES_MAX) {
        head.body = packed_body(request, encoding, entries, packed_bytes);
    } else {
        TRY(spread_build(request, object, entries, &collection, &next));
        head.flags |= KV_HEAD_SPREAD;
        head.collection = collection.id;
        head.body = spread_body(request, encoding, next);
    }
    kv_put_collection(request, object, &head);
out:
    return err;
}

err_t
zset_store_reply(struct kv_request *request, struct kv_object *object,
                 const struct zset_entries *entries, const char *event)
{
    const struct kv_head none = {.type = KV_ZSET};
    err_t err;

    TRY(zset_store(request, object, &none, entries));
    if (entries->count > 0) {
        kv_notify(request, KV_EVENT_ZSET, event, object->name);
    } else if (object->is_found) {
        kv_notify(request, KV_EVENT_GENERIC, "del", object->name);
    }
    reply_int(request->reply, entries->count);
out:
    return err;
}

err_t
zset_range_remove(struct kv_request *request, struct kv_object *object,
                  const struct zset_range *range, struct zset_entries *entries_out)
{
    struct zset_edit edit;
    err_t err;

    TRY(zset_collect(request, object, range, entries_out));
    if (entries_out->count > 0 && entries_out->count == object->head.count) {
        kv_remove(request, object);
        return ERR_OK;
    }
    TRY(zset_edit_open(request, object, &edit));
    for (uint32_t i = 0; i < entries_out->count; i++) {
        TRY(zset_edit_remove(&edit, entries_out->at[i].member, entries_out->at[i].score));
    }
    TRY(zset_edit_finish(&edit));
out:
    return err;
}
