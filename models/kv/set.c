/* models/kv/set.c - sets: how they are stored. The commands are in set_commands.c. */
#include "models/kv/set.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum {
    MEMBER_KIND = 0,
    MEMBERS_FIRST = 16,
    MEMBERS_AT_ONCE = 128, /* Read together. */
    RDB_SET = 2,
    RDB_SET_INTSET = 11,
    RDB_SET_LISTPACK = 20,
    WORK_UNITS_PER_MEMBER = 5,
};

/* ---- Members ---- */

uint64_t
set_hash(struct slice member)
{
    return XXH3_64bits(member.data, member.size) >> 16;
}

static int
member_compare(const struct set_member *a, const struct set_member *b)
{
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return slice_compare(a->name, b->name);
}

static bool
is_same(const struct set_member *a, const struct set_member *b)
{
    return a->hash == b->hash && slice_equal(a->name, b->name);
}

static err_t
members_grow(struct kv_request *request, struct set_members *members)
{
    uint32_t capacity = MAX((uint32_t)MEMBERS_FIRST, members->capacity * 2);
    size_t bytes = (size_t)capacity * sizeof(*members->at);
    struct set_member *at = NULL;

    if (!mem_over(mem_account_current(), MEM_SESSIONS, bytes)) {
        at = arena_alloc(request->arena, bytes);
    }
    if (at == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for a set of more than %u members; raise --memory",
                       members->count);
    }
    if (members->count > 0) {
        memcpy(at, members->at, members->count * sizeof(*at));
    }
    members->at = at;
    members->capacity = capacity;
    return ERR_OK;
}

err_t
set_members_add(struct kv_request *request, struct set_members *members, struct slice name,
                bool is_copied)
{
    err_t err = ERR_OK;

    if (members->count == members->capacity) {
        TRY(members_grow(request, members));
    }
    members->at[members->count++] = (struct set_member){
        .hash = set_hash(name),
        .name = is_copied ? arena_copy(request->arena, name) : name,
    };
out:
    return err;
}

void
set_members_sort(struct kv_request *request, struct set_members *members)
{
    struct set_member *at = members->at;
    uint32_t kept = 0;

    for (uint32_t gap = members->count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < members->count; i++) {
            struct set_member member = at[i];
            uint32_t to = i;

            while (to >= gap && member_compare(&at[to - gap], &member) > 0) {
                at[to] = at[to - gap];
                to -= gap;
            }
            at[to] = member;
        }
        kv_work(request, members->count / 8);
    }
    for (uint32_t i = 0; i < members->count; i++) {
        if (i == 0 || !is_same(&at[i], &at[kept - 1])) {
            at[kept++] = at[i];
        }
    }
    members->count = kept;
}

/* ---- Encodings ---- */

static bool
is_integer(struct slice name)
{
    int64_t value;

    return reply_parse_int(name, &value);
}

/* What Redis would hold so many members in, this one among them. */
static enum set_encoding
encoding_with(const struct kv_encoding_limits *limits, enum set_encoding encoding, uint64_t count,
              struct slice name)
{
    if (encoding == SET_INTSET && (!is_integer(name) || count > limits->set_intset)) {
        encoding = SET_LISTPACK;
    }
    if (encoding == SET_LISTPACK &&
        (count > limits->set_listpack || name.size > limits->set_listpack_value)) {
        encoding = SET_HASHTABLE;
    }
    return encoding;
}

static const char *
set_encoding_name(const struct kv_object *object)
{
    static const char *const names[SET_ENCODINGS] = {"intset", "listpack", "hashtable"};
    uint8_t encoding = object->head.body.size > 0 ? object->head.body.data[0] : SET_HASHTABLE;

    return names[MIN(encoding, (uint8_t)SET_HASHTABLE)];
}

/* ---- Lookup ---- */

static bool
is_spread(const struct kv_object *object)
{
    return (object->head.flags & KV_HEAD_SPREAD) != 0;
}

/* The packed members behind the encoding. */
static struct slice
packed_of(const struct kv_object *object)
{
    return slice_of(object->head.body.data + 1, object->head.body.size - 1);
}

static err_t
head_check(const struct kv_object *object)
{
    if (object->head.body.size == 0 || object->head.body.data[0] >= SET_ENCODINGS) {
        return err_set(ERR_CORRUPT, "the head of a set has no encoding");
    }
    return is_spread(object) ? ERR_OK : kv_packed_check(packed_of(object), object->head.count);
}

bool
set_lookup(struct kv_request *request, struct slice name, uint32_t flags,
           struct kv_object *object_out)
{
    err_t err;

    if (!kv_lookup(request, name, flags, object_out) || !kv_is_type(request, object_out, KV_SET)) {
        return false;
    }
    err = object_out->is_found ? head_check(object_out) : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

/* ---- Elements ---- */

static struct slice
element_of(struct kv_request *request, const struct set_member *member)
{
    uint8_t *at = arena_alloc(request->arena, SET_HASH_BYTES + member->name.size);
    uint8_t hash[8];

    put_be64(hash, member->hash << 16);
    memcpy(at, hash, SET_HASH_BYTES);
    if (member->name.size > 0) {
        memcpy(at + SET_HASH_BYTES, member->name.data, member->name.size);
    }
    return slice_of(at, SET_HASH_BYTES + member->name.size);
}

static err_t
member_of(struct slice element, struct slice *name_out)
{
    if (element.size < SET_HASH_BYTES) {
        return err_set(ERR_CORRUPT, "a member of a set has a key of %zu bytes", element.size);
    }
    *name_out = slice_of(element.data + SET_HASH_BYTES, element.size - SET_HASH_BYTES);
    return ERR_OK;
}

static YIELDS err_t
spread_load(struct kv_request *request, const struct kv_object *object, struct set_members *members)
{
    struct kv_collection collection = kv_collection_of(object);
    struct txn_scan *scan = NULL;
    struct slice name;
    err_t err;

    TRY(kv_elements_open(request, &collection, MEMBER_KIND, slice_of(NULL, 0), &scan));
    while (txn_scan_is_valid(scan)) {
        TRY(member_of(kv_element_at(scan), &name));
        TRY(set_members_add(request, members, name, true));
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
set_load(struct kv_request *request, const struct kv_object *object,
         struct set_members *members_out)
{
    struct set_members members = {0};
    err_t err = ERR_OK;

    if (object->is_found && is_spread(object)) {
        TRY(spread_load(request, object, &members));
    } else if (object->is_found) {
        struct kv_packed packed = {packed_of(object)};
        struct slice name;

        while (kv_packed_next(&packed, &name)) {
            TRY(set_members_add(request, &members, name, false));
        }
    }
    *members_out = members;
out:
    return err;
}

static struct slice
hash_bytes(uint8_t out[8], uint64_t hash)
{
    put_be64(out, hash << 16);
    return slice_of(out, SET_HASH_BYTES);
}

err_t
set_scan_open(struct kv_request *request, const struct kv_object *object, uint64_t hash,
              struct txn_scan **scan_out)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t bytes[8];

    return kv_elements_open(request, &collection, MEMBER_KIND, hash_bytes(bytes, hash), scan_out);
}

err_t
set_scan_seek(struct kv_request *request, const struct kv_object *object, struct txn_scan *scan,
              uint64_t hash)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t bytes[8];

    return kv_elements_seek(scan, request, &collection, MEMBER_KIND, hash_bytes(bytes, hash));
}

err_t
set_scan_member(const struct txn_scan *scan, struct set_member *member_out)
{
    struct slice element = kv_element_at(scan);
    err_t err;

    TRY(member_of(element, &member_out->name));
    member_out->hash = (uint64_t)get_be16(element.data) << 32 | get_be32(element.data + 2);
out:
    return err;
}

/* ---- Membership ---- */

static void
packed_has(const struct kv_object *object, const struct set_member *members, uint32_t count,
           bool *is_in)
{
    struct kv_packed packed = {packed_of(object)};
    struct slice name;

    memset(is_in, 0, count * sizeof(*is_in));
    while (kv_packed_next(&packed, &name)) {
        for (uint32_t i = 0; i < count; i++) {
            is_in[i] |= slice_equal(name, members[i].name);
        }
    }
}

static YIELDS err_t
spread_has(struct kv_request *request, const struct kv_object *object,
           const struct set_member *members, uint32_t count, bool *is_in)
{
    struct kv_collection collection = kv_collection_of(object);
    struct slice elements[MEMBERS_AT_ONCE];
    struct lsm_value values[MEMBERS_AT_ONCE];
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < count; done += MEMBERS_AT_ONCE) {
        uint32_t chunk = MIN(count - done, (uint32_t)MEMBERS_AT_ONCE);

        for (uint32_t i = 0; i < chunk; i++) {
            elements[i] = element_of(request, &members[done + i]);
        }
        TRY(kv_element_get_many(request, &collection, MEMBER_KIND, elements, chunk, values));
        for (uint32_t i = 0; i < chunk; i++) {
            is_in[done + i] = values[i].is_found;
        }
        kv_work(request, chunk * WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

static err_t
members_fit(const struct set_member *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].name.size > SET_MEMBER_BYTES_MAX) {
            return err_set(ERR_LIMIT, "the member of %zu bytes is longer than the limit of %d",
                           members[i].name.size, SET_MEMBER_BYTES_MAX);
        }
    }
    return ERR_OK;
}

err_t
set_has(struct kv_request *request, const struct kv_object *object,
        const struct set_member *members, uint32_t count, bool *is_in)
{
    err_t err = ERR_OK;

    if (object->is_found && is_spread(object)) {
        TRY(members_fit(members, count));
        TRY(spread_has(request, object, members, count, is_in));
    } else if (object->is_found) {
        packed_has(object, members, count, is_in);
    } else {
        memset(is_in, 0, count * sizeof(*is_in));
    }
out:
    return err;
}

/* ---- Changes ---- */

/* The head of a set with this encoding; its body is in the arena. */
static void
head_body_set(struct kv_request *request, struct kv_head *head, enum set_encoding encoding,
              struct slice packed)
{
    uint8_t *body = arena_alloc(request->arena, 1 + packed.size);

    body[0] = (uint8_t)encoding;
    if (packed.size > 0) {
        memcpy(body + 1, packed.data, packed.size);
    }
    head->body = slice_of(body, 1 + packed.size);
}

/* Members in packed form, but for those with is_left_out; in the arena. */
static struct slice
pack(struct kv_request *request, const struct set_member *members, uint32_t count,
     const bool *is_left_out)
{
    size_t size = 0;
    uint8_t *bytes;
    uint8_t *at;

    for (uint32_t i = 0; i < count; i++) {
        size += kv_packed_size(members[i].name.size);
    }
    bytes = arena_alloc(request->arena, size);
    at = bytes;
    for (uint32_t i = 0; i < count; i++) {
        if (is_left_out == NULL || !is_left_out[i]) {
            at += put_varint(at, members[i].name.size);
            memcpy(at, members[i].name.data, members[i].name.size);
            at += members[i].name.size;
        }
    }
    return slice_of(bytes, (size_t)(at - bytes));
}

static bool
fits_packed(const struct set_member *members, uint32_t count)
{
    size_t size = 0;

    if (count > KV_PACKED_ITEMS_MAX) {
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        size += kv_packed_size(members[i].name.size);
    }
    return size <= KV_PACKED_BYTES_MAX;
}

static void
spread_put(struct kv_request *request, const struct kv_collection *collection,
           const struct set_member *members, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        kv_element_put(request, collection, MEMBER_KIND, element_of(request, &members[i]),
                       slice_of(NULL, 0));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

/* All members of a set, whatever was there: packed if they fit. */
static YIELDS err_t
members_write(struct kv_request *request, struct kv_object *object, const struct kv_head *old,
              enum set_encoding encoding, const struct set_member *members, uint32_t count)
{
    struct kv_head head = *old;
    struct kv_collection collection;
    err_t err;

    TRY(members_fit(members, count));
    head.type = KV_SET;
    head.count = count;
    head.flags &= (uint8_t) ~(KV_HEAD_SPREAD | KV_HEAD_PAYLOAD);
    if (fits_packed(members, count)) {
        head_body_set(request, &head, encoding, pack(request, members, count, NULL));
    } else {
        TRY(kv_collection_new(request, object, &collection));
        head.flags |= KV_HEAD_SPREAD;
        head.collection = collection.id;
        head_body_set(request, &head, encoding, slice_of(NULL, 0));
        spread_put(request, &collection, members, count);
    }
    kv_put_collection(request, object, &head);
out:
    return err;
}

static enum set_encoding
encoding_grown(const struct kv_object *object, uint64_t count, const struct set_member *members,
               uint32_t added)
{
    const struct kv_encoding_limits *limits = &kv_self()->config.limits;
    enum set_encoding encoding =
        object->is_found ? (enum set_encoding)object->head.body.data[0] : SET_INTSET;

    for (uint32_t i = 0; i < added; i++) {
        encoding = encoding_with(limits, encoding, count + i + 1, members[i].name);
    }
    return encoding;
}

/* Into a set that is packed or missing: written anew. */
static YIELDS err_t
packed_add(struct kv_request *request, struct kv_object *object, const struct kv_head *head,
           enum set_encoding encoding, const struct set_members *missing)
{
    struct set_members all;
    err_t err;

    TRY(set_load(request, object, &all));
    for (uint32_t i = 0; i < missing->count; i++) {
        TRY(set_members_add(request, &all, missing->at[i].name, false));
    }
    TRY(members_write(request, object, head, encoding, all.at, all.count));
out:
    return err;
}

static YIELDS err_t
spread_add(struct kv_request *request, struct kv_object *object, enum set_encoding encoding,
           const struct set_members *missing)
{
    struct kv_collection collection = kv_collection_of(object);
    struct kv_head head = object->head;

    spread_put(request, &collection, missing->at, missing->count);
    head.count += missing->count;
    head_body_set(request, &head, encoding, slice_of(NULL, 0));
    kv_put_collection(request, object, &head);
    return ERR_OK;
}

err_t
set_add(struct kv_request *request, struct kv_object *object, const struct set_member *members,
        uint32_t count, uint32_t *added_out)
{
    const struct kv_head head = object->is_found ? object->head : (struct kv_head){.type = KV_SET};
    bool *is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    struct set_members missing = {0};
    enum set_encoding encoding;
    err_t err;

    if (is_in == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u members", count);
    }
    TRY(members_fit(members, count));
    TRY(set_has(request, object, members, count, is_in));
    for (uint32_t i = 0; i < count; i++) {
        if (!is_in[i]) {
            TRY(set_members_add(request, &missing, members[i].name, false));
        }
    }
    *added_out = missing.count;
    if (missing.count == 0) {
        return ERR_OK;
    }
    encoding = encoding_grown(object, object->is_found ? object->head.count : 0, missing.at,
                              missing.count);
    err = object->is_found && is_spread(object)
              ? spread_add(request, object, encoding, &missing)
              : packed_add(request, object, &head, encoding, &missing);
out:
    return err;
}

static YIELDS err_t
packed_remove(struct kv_request *request, const struct kv_object *object, struct kv_head *head,
              const struct set_member *members, uint32_t count)
{
    bool is_removed[KV_PACKED_ITEMS_MAX] = {false};
    struct set_members all;
    err_t err;

    TRY(set_load(request, object, &all));
    if (all.count > KV_PACKED_ITEMS_MAX) {
        err = err_set(ERR_CORRUPT, "a packed set holds %u members", all.count);
        goto out;
    }
    for (uint32_t i = 0; i < all.count; i++) {
        for (uint32_t j = 0; j < count; j++) {
            is_removed[i] |= is_same(&all.at[i], &members[j]);
        }
    }
    head_body_set(request, head, (enum set_encoding)object->head.body.data[0],
                  pack(request, all.at, all.count, is_removed));
out:
    return err;
}

static void
spread_remove(struct kv_request *request, const struct kv_object *object,
              const struct set_member *members, uint32_t count, const bool *is_in)
{
    struct kv_collection collection = kv_collection_of(object);

    for (uint32_t i = 0; i < count; i++) {
        if (is_in[i]) {
            kv_element_delete(request, &collection, MEMBER_KIND, element_of(request, &members[i]));
        }
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
}

err_t
set_remove(struct kv_request *request, struct kv_object *object, const struct set_member *members,
           uint32_t count, uint32_t *removed_out)
{
    bool *is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    struct kv_head head = object->head;
    uint32_t removed = 0;
    err_t err;

    if (is_in == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u members", count);
    }
    TRY(set_has(request, object, members, count, is_in));
    for (uint32_t i = 0; i < count; i++) {
        removed += is_in[i];
    }
    *removed_out = removed;
    if (removed == 0) {
        return ERR_OK;
    }
    if (removed > head.count) {
        return err_set(ERR_CORRUPT, "a set counts fewer members than it has");
    }
    head.count -= removed;
    if (is_spread(object)) {
        spread_remove(request, object, members, count, is_in);
    } else {
        TRY(packed_remove(request, object, &head, members, count));
    }
    kv_put_collection(request, object, &head);
out:
    return err;
}

err_t
set_store(struct kv_request *request, struct kv_object *object, const struct set_member *members,
          uint32_t count)
{
    const struct kv_head none = {.type = KV_SET};
    const struct kv_object nothing = {.is_found = false};

    if (count == 0) {
        kv_remove(request, object);
        return ERR_OK;
    }
    return members_write(request, object, &none, encoding_grown(&nothing, 0, members, count),
                         members, count);
}

/* ---- DUMP and RESTORE ---- */

static YIELDS err_t
set_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct set_members members;
    err_t err = ERR_OK;

    TRY(head_check(object));
    TRY(set_load(request, object, &members));
    buf_append_byte(out, RDB_SET);
    payload_append_length(out, members.count);
    for (uint32_t i = 0; i < members.count; i++) {
        TRY(payload_append_text(out, members.at[i].name));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

static YIELDS err_t
plain_restore(struct kv_request *request, struct payload_reader *reader,
              struct set_members *members)
{
    uint64_t count;
    struct slice name;
    err_t err;

    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(payload_read_text(reader, &name));
        TRY(set_members_add(request, members, name, false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

/* An intset: width of a number in bytes (4), count (4), numbers; all little-endian. */
static YIELDS err_t
intset_restore(struct kv_request *request, struct payload_reader *reader,
               struct set_members *members)
{
    struct slice blob;
    uint32_t width;
    uint32_t count;
    err_t err;

    TRY(payload_read_text(reader, &blob));
    if (blob.size < 8) {
        return payload_malformed();
    }
    width = get_le32(blob.data);
    count = get_le32(blob.data + 4);
    if ((width != 2 && width != 4 && width != 8) || blob.size != 8 + (uint64_t)width * count) {
        return payload_malformed();
    }
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *at = blob.data + 8 + (size_t)width * i;
        int64_t value = width == 2   ? (int16_t)get_le16(at)
                        : width == 4 ? (int32_t)get_le32(at)
                                     : (int64_t)get_le64(at);
        char digits[24];

        TRY(set_members_add(request, members, slice_of(digits, reply_format_int(value, digits)),
                            true));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

static YIELDS err_t
listpack_restore(struct kv_request *request, struct payload_reader *reader,
                 struct set_members *members)
{
    struct listpack pack;
    struct slice blob;
    struct slice item;
    err_t err;

    TRY(payload_read_text(reader, &blob));
    TRY(listpack_open(blob, &pack));
    while (listpack_next(&pack, request->arena, &item)) {
        TRY(set_members_add(request, members, item, false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
    err = listpack_end(&pack);
out:
    return err;
}

static YIELDS err_t
set_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
            struct kv_object *object, const struct kv_head *head)
{
    const struct kv_object nothing = {.is_found = false};
    struct set_members members = {0};
    uint32_t count;
    err_t err;

    if (rdb_type == RDB_SET) {
        TRY(plain_restore(request, reader, &members));
    } else if (rdb_type == RDB_SET_INTSET) {
        TRY(intset_restore(request, reader, &members));
    } else {
        TRY(listpack_restore(request, reader, &members));
    }
    count = members.count;
    set_members_sort(request, &members);
    if (count == 0 || count != members.count) { /* Redis writes neither empty sets nor repeats. */
        return payload_malformed();
    }
    TRY(members_write(request, object, head, encoding_grown(&nothing, 0, members.at, count),
                      members.at, count));
out:
    return err;
}

static bool
set_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_SET || rdb_type == RDB_SET_INTSET || rdb_type == RDB_SET_LISTPACK;
}

const struct kv_type_ops kv_type_set = {
    .name = "set",
    .encoding = set_encoding_name,
    .dump = set_dump,
    .restore = set_restore,
    .restores = set_restores,
};
