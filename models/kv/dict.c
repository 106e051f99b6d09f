/* models/kv/dict.c - sets and hashes: how they are stored. */
#include "models/kv/dict.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "engine/base/assert.h"
#include "models/kv/glob.h"

#include "engine/base/poison.h"

enum {
    FIELDS_FIRST = 16,
    FIELDS_AT_ONCE = 128, /* Read together. */
    WORK_UNITS_PER_FIELD = 5,
};

/* ---- Fields ---- */

uint64_t
dict_hash(struct slice name)
{
    return XXH3_64bits(name.data, name.size) >> 16;
}

struct dict_field
dict_field_of(struct slice name)
{
    return (struct dict_field){.hash = dict_hash(name), .name = name};
}

static int
name_compare(const struct dict_field *a, const struct dict_field *b)
{
    if (a->hash != b->hash) {
        return a->hash < b->hash ? -1 : 1;
    }
    return slice_compare(a->name, b->name);
}

static bool
is_before(const struct dict_field *a, const struct dict_field *b)
{
    int order = name_compare(a, b);

    return order != 0 ? order < 0 : a->order < b->order;
}

static bool
is_same(const struct dict_field *a, const struct dict_field *b)
{
    return a->hash == b->hash && slice_equal(a->name, b->name);
}

static err_t
fields_grow(struct kv_request *request, struct dict_fields *fields)
{
    uint32_t capacity = MAX((uint32_t)FIELDS_FIRST, fields->capacity * 2);
    size_t bytes = (size_t)capacity * sizeof(*fields->at);
    struct dict_field *at = NULL;

    if (!kv_memory_lacks(request, bytes)) {
        at = arena_alloc(request->arena, bytes);
    }
    if (at == NULL) {
        return err_set(ERR_NO_MEMORY,
                       "no memory for a collection of more than %u elements; raise --memory",
                       fields->count);
    }
    if (fields->count > 0) {
        memcpy(at, fields->at, fields->count * sizeof(*at));
    }
    fields->at = at;
    fields->capacity = capacity;
    return ERR_OK;
}

err_t
dict_fields_add(struct kv_request *request, struct dict_fields *fields, struct slice name,
                struct slice value, bool is_copied)
{
    err_t err = ERR_OK;

    if (fields->count == fields->capacity) {
        TRY(fields_grow(request, fields));
    }
    fields->at[fields->count] = (struct dict_field){
        .hash = dict_hash(name),
        .name = is_copied ? arena_copy(request->arena, name) : name,
        .value = is_copied ? arena_copy(request->arena, value) : value,
        .order = fields->count,
    };
    fields->count++;
out:
    return err;
}

static bool
came_before(const struct dict_field *a, const struct dict_field *b)
{
    return a->order < b->order;
}

static YIELDS void
shell_sort(struct kv_request *request, struct dict_fields *fields,
           bool (*is_first)(const struct dict_field *a, const struct dict_field *b))
{
    struct dict_field *at = fields->at;

    for (uint32_t gap = fields->count / 2; gap > 0; gap /= 2) {
        for (uint32_t i = gap; i < fields->count; i++) {
            struct dict_field field = at[i];
            uint32_t to = i;

            while (to >= gap && is_first(&field, &at[to - gap])) {
                at[to] = at[to - gap];
                to -= gap;
            }
            at[to] = field;
        }
        kv_work(request, fields->count / 8);
    }
}

void
dict_fields_sort(struct kv_request *request, struct dict_fields *fields)
{
    struct dict_field *at = fields->at;
    uint32_t kept = 0;

    shell_sort(request, fields, is_before);
    for (uint32_t i = 0; i < fields->count; i++) {
        if (i + 1 == fields->count || !is_same(&at[i], &at[i + 1])) {
            at[kept++] = at[i];
        }
    }
    fields->count = kept;
}

void
dict_fields_unique(struct kv_request *request, struct dict_fields *fields)
{
    if (fields->count > 1) {
        dict_fields_sort(request, fields);
        shell_sort(request, fields, came_before);
    }
}

/* ---- Encodings ---- */

static bool
is_integer(struct slice name)
{
    int64_t value;

    return reply_parse_int(name, &value);
}

/* What Redis would hold so many fields in, this one among them. */
static enum dict_encoding
encoding_with(uint8_t type, enum dict_encoding encoding, uint64_t count,
              const struct dict_field *field)
{
    const struct kv_encoding_limits *limits = &kv_self()->config.limits;
    uint64_t count_max = type == KV_SET ? limits->set_listpack : limits->hash_listpack;
    uint64_t bytes_max = type == KV_SET ? limits->set_listpack_value : limits->hash_listpack_value;

    if (encoding == DICT_INTSET && (!is_integer(field->name) || count > limits->set_intset)) {
        encoding = DICT_LISTPACK;
    }
    if (encoding == DICT_LISTPACK &&
        (count > count_max || field->name.size > bytes_max || field->value.size > bytes_max)) {
        encoding = DICT_HASHTABLE;
    }
    return encoding;
}

const char *
dict_encoding_name(const struct kv_object *object)
{
    static const char *const names[DICT_ENCODINGS] = {"intset", "listpack", "hashtable"};
    uint8_t encoding = object->head.body.size > 0 ? object->head.body.data[0] : DICT_HASHTABLE;

    return names[MIN(encoding, (uint8_t)DICT_HASHTABLE)];
}

/* ---- Lookup ---- */

/* The packed fields behind the encoding. */
static struct slice
packed_of(const struct kv_object *object)
{
    return slice_of(object->head.body.data + 1, object->head.body.size - 1);
}

/* Packed items a field: the name; in a hash the value; and its time, if some field has one. */
static uint32_t
items_of(uint8_t type, bool with_times)
{
    return type != KV_HASH ? 1 : with_times ? 3 : 2;
}

err_t
dict_check(const struct kv_object *object)
{
    uint32_t items = items_of(object->head.type, dict_has_times(object));
    struct kv_packed packed;
    struct slice item;
    err_t err;

    if (object->head.body.size == 0 || object->head.body.data[0] >= DICT_ENCODINGS) {
        return err_set(ERR_CORRUPT, "the head of a %s has no encoding",
                       kv_type_ops(object->head.type)->name);
    }
    if (dict_is_spread(object)) {
        return ERR_OK;
    }
    packed = (struct kv_packed){packed_of(object)};
    TRY(kv_packed_check(packed.left, object->head.count * items));
    for (uint32_t i = 1; items == 3 && kv_packed_next(&packed, &item); i++) {
        if (i % 3 == 0 && item.size != 0 && item.size != DICT_TIME_BYTES) {
            return err_set(ERR_CORRUPT, "a field of a hash has a time of %zu bytes", item.size);
        }
    }
out:
    return err;
}

bool
dict_lookup(struct kv_request *request, struct slice name, enum kv_type type, uint32_t flags,
            struct kv_object *object_out)
{
    err_t err;

    if (!kv_lookup(request, name, flags, object_out) || !kv_is_type(request, object_out, type)) {
        return false;
    }
    err = object_out->is_found ? dict_check(object_out) : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

/* The next packed field, without its hash; dict_check has found its items. */
static bool
packed_next(struct kv_packed *packed, uint32_t items, struct dict_field *field_out)
{
    struct slice moment = slice_of(NULL, 0);

    *field_out = (struct dict_field){0};
    if (!kv_packed_next(packed, &field_out->name) ||
        (items > 1 && !kv_packed_next(packed, &field_out->value)) ||
        (items > 2 && !kv_packed_next(packed, &moment))) {
        return false;
    }
    field_out->expire_ms = moment.size == DICT_TIME_BYTES ? get_le64(moment.data) : 0;
    return true;
}

static bool
is_gone(const struct kv_request *request, const struct dict_field *field)
{
    return field->expire_ms != 0 && field->expire_ms < request->now_ms;
}

/* ---- Elements ---- */

static struct slice
element_of(struct kv_request *request, const struct dict_field *field)
{
    uint8_t *at = arena_alloc(request->arena, DICT_HASH_BYTES + field->name.size);
    uint8_t hash[8];

    put_be64(hash, field->hash << 16);
    memcpy(at, hash, DICT_HASH_BYTES);
    if (field->name.size > 0) {
        memcpy(at + DICT_HASH_BYTES, field->name.data, field->name.size);
    }
    return slice_of(at, DICT_HASH_BYTES + field->name.size);
}

static struct slice
hash_bytes(uint8_t out[8], uint64_t hash)
{
    put_be64(out, hash << 16);
    return slice_of(out, DICT_HASH_BYTES);
}

err_t
dict_scan_open(struct kv_request *request, const struct kv_object *object, uint64_t hash,
               struct txn_scan **scan_out)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t bytes[8];

    return kv_elements_open(request, &collection, DICT_KIND_FIELD, hash_bytes(bytes, hash),
                            scan_out);
}

err_t
dict_scan_seek(struct kv_request *request, const struct kv_object *object, struct txn_scan *scan,
               uint64_t hash)
{
    struct kv_collection collection = kv_collection_of(object);
    uint8_t bytes[8];

    return kv_elements_seek(scan, request, &collection, DICT_KIND_FIELD, hash_bytes(bytes, hash));
}

err_t
dict_scan_field(struct kv_request *request, struct txn_scan *scan, struct dict_field *field_out)
{
    struct slice element = kv_element_at(scan);

    if (element.size < DICT_HASH_BYTES) {
        return err_set(ERR_CORRUPT, "a field of a collection has a key of %zu bytes", element.size);
    }
    *field_out = (struct dict_field){
        .hash = (uint64_t)get_be16(element.data) << 32 | get_be32(element.data + 2),
        .name = slice_of(element.data + DICT_HASH_BYTES, element.size - DICT_HASH_BYTES),
        .value = kv_element_value(scan),
    };
    if (txn_scan_entry(scan)->kind == LSM_PUT_LARGE) {
        return txn_scan_value(scan, request->arena, &field_out->value);
    }
    return ERR_OK;
}

/* Of fields that are there: when they expire. */
static YIELDS err_t
times_get(struct kv_request *request, const struct kv_object *object, struct dict_field *fields,
          uint32_t count)
{
    struct kv_collection collection = kv_collection_of(object);
    struct slice elements[FIELDS_AT_ONCE];
    struct lsm_value values[FIELDS_AT_ONCE];
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < count; done += FIELDS_AT_ONCE) {
        uint32_t chunk = MIN(count - done, (uint32_t)FIELDS_AT_ONCE);

        for (uint32_t i = 0; i < chunk; i++) {
            elements[i] = element_of(request, &fields[done + i]);
        }
        TRY(kv_element_get_many(request, &collection, DICT_KIND_TIME, elements, chunk, values));
        for (uint32_t i = 0; i < chunk; i++) {
            bool has_time = values[i].is_found && values[i].value.size == DICT_TIME_BYTES;

            fields[done + i].expire_ms = has_time ? get_le64(values[i].value.data) : 0;
        }
        kv_work(request, chunk * WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

void
dict_fields_drop_gone(const struct kv_request *request, struct dict_fields *fields)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < fields->count; i++) {
        if (!is_gone(request, &fields->at[i])) {
            fields->at[kept++] = fields->at[i];
        }
    }
    fields->count = kept;
}

err_t
dict_drop_gone(struct kv_request *request, const struct kv_object *object,
               struct dict_fields *fields)
{
    err_t err = ERR_OK;

    if (dict_has_times(object) && dict_is_spread(object)) {
        TRY(times_get(request, object, fields->at, fields->count));
        dict_fields_drop_gone(request, fields);
    }
out:
    return err;
}

static YIELDS err_t
spread_load(struct kv_request *request, const struct kv_object *object, struct dict_fields *fields)
{
    struct txn_scan *scan = NULL;
    struct dict_field field;
    err_t err;

    TRY(dict_scan_open(request, object, 0, &scan));
    while (txn_scan_is_valid(scan)) {
        TRY(dict_scan_field(request, scan, &field));
        TRY(dict_fields_add(request, fields, field.name, field.value, true));
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
dict_load_stored(struct kv_request *request, const struct kv_object *object,
                 struct dict_fields *fields_out)
{
    struct dict_fields fields = {0};
    err_t err = ERR_OK;

    if (object->is_found && dict_is_spread(object)) {
        TRY(spread_load(request, object, &fields));
        if (dict_has_times(object)) {
            TRY(times_get(request, object, fields.at, fields.count));
        }
    } else if (object->is_found) {
        uint32_t items = items_of(object->head.type, dict_has_times(object));
        struct kv_packed packed = {packed_of(object)};
        struct dict_field field;

        while (packed_next(&packed, items, &field)) {
            TRY(dict_fields_add(request, &fields, field.name, field.value, false));
            fields.at[fields.count - 1].expire_ms = field.expire_ms;
        }
    }
    *fields_out = fields;
out:
    return err;
}

err_t
dict_load(struct kv_request *request, const struct kv_object *object,
          struct dict_fields *fields_out)
{
    err_t err = dict_load_stored(request, object, fields_out);

    if (err == ERR_OK && object->is_found && dict_has_times(object)) {
        dict_fields_drop_gone(request, fields_out);
    }
    return err;
}

/* ---- Finding ---- */

static void
packed_find(const struct kv_object *object, struct dict_field *fields, uint32_t count, bool *is_in)
{
    uint32_t items = items_of(object->head.type, dict_has_times(object));
    struct kv_packed packed = {packed_of(object)};
    struct dict_field field;

    memset(is_in, 0, count * sizeof(*is_in));
    while (packed_next(&packed, items, &field)) {
        for (uint32_t i = 0; i < count; i++) {
            if (slice_equal(field.name, fields[i].name)) {
                is_in[i] = true;
                fields[i].value = field.value;
                fields[i].expire_ms = field.expire_ms;
            }
        }
    }
}

static YIELDS err_t
spread_find(struct kv_request *request, const struct kv_object *object, struct dict_field *fields,
            uint32_t count, bool *is_in)
{
    struct kv_collection collection = kv_collection_of(object);
    struct slice elements[FIELDS_AT_ONCE];
    struct lsm_value values[FIELDS_AT_ONCE];
    err_t err = ERR_OK;

    for (uint32_t done = 0; done < count; done += FIELDS_AT_ONCE) {
        uint32_t chunk = MIN(count - done, (uint32_t)FIELDS_AT_ONCE);

        for (uint32_t i = 0; i < chunk; i++) {
            elements[i] = element_of(request, &fields[done + i]);
        }
        TRY(kv_element_get_many(request, &collection, DICT_KIND_FIELD, elements, chunk, values));
        for (uint32_t i = 0; i < chunk; i++) {
            is_in[done + i] = values[i].is_found;
            if (values[i].is_found) {
                fields[done + i].value = values[i].value;
            }
        }
        kv_work(request, chunk * WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

static err_t
names_fit(const struct dict_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (fields[i].name.size > DICT_NAME_BYTES_MAX) {
            return err_set(ERR_LIMIT, "the element of %zu bytes is longer than the limit of %d",
                           fields[i].name.size, DICT_NAME_BYTES_MAX);
        }
    }
    return ERR_OK;
}

/* Those whose time has come, too, if they are stored still. */
static YIELDS err_t
stored_find(struct kv_request *request, const struct kv_object *object, struct dict_field *fields,
            uint32_t count, bool *is_in)
{
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        fields[i].expire_ms = 0;
    }
    if (object->is_found && dict_is_spread(object)) {
        TRY(names_fit(fields, count));
        TRY(spread_find(request, object, fields, count, is_in));
        if (dict_has_times(object)) {
            TRY(times_get(request, object, fields, count));
        }
    } else if (object->is_found) {
        packed_find(object, fields, count, is_in);
    } else {
        memset(is_in, 0, count * sizeof(*is_in));
    }
out:
    return err;
}

err_t
dict_find(struct kv_request *request, const struct kv_object *object, struct dict_field *fields,
          uint32_t count, bool *is_in)
{
    err_t err = stored_find(request, object, fields, count, is_in);

    if (err == ERR_OK && object->is_found && dict_has_times(object)) {
        for (uint32_t i = 0; i < count; i++) {
            if (is_in[i] && is_gone(request, &fields[i])) {
                is_in[i] = false;
                fields[i].value = slice_of(NULL, 0);
                fields[i].expire_ms = 0;
            }
        }
    }
    return err;
}

/* ---- Changes ---- */

/* The head with this encoding; its body is in the arena. */
static void
head_body_set(struct kv_request *request, struct kv_head *head, enum dict_encoding encoding,
              struct slice packed)
{
    uint8_t *body = arena_alloc(request->arena, 1 + packed.size);

    body[0] = (uint8_t)encoding;
    if (packed.size > 0) {
        memcpy(body + 1, packed.data, packed.size);
    }
    head->body = slice_of(body, 1 + packed.size);
}

static size_t
packed_size(const struct dict_field *fields, uint32_t count, uint32_t items)
{
    size_t size = 0;

    for (uint32_t i = 0; i < count; i++) {
        size += kv_packed_size(fields[i].name.size);
        size += items > 1 ? kv_packed_size(fields[i].value.size) : 0;
        size += items > 2 ? kv_packed_size(fields[i].expire_ms != 0 ? DICT_TIME_BYTES : 0) : 0;
    }
    return size;
}

static uint8_t *
item_append(uint8_t *at, struct slice item)
{
    at += put_varint(at, item.size);
    if (item.size > 0) {
        memcpy(at, item.data, item.size);
    }
    return at + item.size;
}

/* Fields in packed form, in the arena. */
static struct slice
pack(struct kv_request *request, const struct dict_field *fields, uint32_t count, uint32_t items)
{
    uint8_t *bytes = arena_alloc(request->arena, packed_size(fields, count, items));
    uint8_t *at = bytes;

    for (uint32_t i = 0; i < count; i++) {
        uint8_t moment[DICT_TIME_BYTES];

        put_le64(moment, fields[i].expire_ms);
        at = item_append(at, fields[i].name);
        at = items > 1 ? item_append(at, fields[i].value) : at;
        at = items > 2
                 ? item_append(at, slice_of(moment, fields[i].expire_ms != 0 ? sizeof(moment) : 0))
                 : at;
    }
    return slice_of(bytes, (size_t)(at - bytes));
}

static void
spread_put(struct kv_request *request, const struct kv_collection *collection,
           const struct dict_field *fields, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!fields[i].is_time_only) {
            kv_element_put(request, collection, DICT_KIND_FIELD, element_of(request, &fields[i]),
                           fields[i].value);
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
}

/* ---- Times of fields ---- */

/* The earliest; 0: none has one. */
static uint64_t
earliest_of(const struct dict_field *fields, uint32_t count)
{
    uint64_t earliest = UINT64_MAX;

    for (uint32_t i = 0; i < count; i++) {
        earliest = MIN(earliest, fields[i].expire_ms != 0 ? fields[i].expire_ms : UINT64_MAX);
    }
    return earliest == UINT64_MAX ? 0 : earliest;
}

static void
head_times_set(struct kv_head *head, uint64_t earliest_ms)
{
    head->flags &= (uint8_t)~KV_HEAD_FIELDS_EXPIRE;
    head->flags |= earliest_ms != 0 ? KV_HEAD_FIELDS_EXPIRE : 0;
    head->field_expire_ms = earliest_ms;
}

/* Its place in the order of time. */
static struct slice
due_element(struct kv_request *request, const struct dict_field *field, uint64_t expire_ms)
{
    struct slice element = element_of(request, field);
    uint8_t *at = arena_alloc(request->arena, DICT_TIME_BYTES + element.size);

    put_be64(at, expire_ms);
    memcpy(at + DICT_TIME_BYTES, element.data, element.size);
    return slice_of(at, DICT_TIME_BYTES + element.size);
}

/* From the time that it had to the one that it gets; 0: none. */
static void
spread_time_put(struct kv_request *request, const struct kv_collection *collection,
                const struct dict_field *field, uint64_t old_ms, uint64_t new_ms)
{
    uint8_t moment[DICT_TIME_BYTES];

    if (old_ms == new_ms) {
        return;
    }
    if (old_ms != 0) {
        kv_element_delete(request, collection, DICT_KIND_DUE, due_element(request, field, old_ms));
    }
    if (new_ms != 0) {
        put_le64(moment, new_ms);
        kv_element_put(request, collection, DICT_KIND_TIME, element_of(request, field),
                       slice_of(moment, sizeof(moment)));
        kv_element_put(request, collection, DICT_KIND_DUE, due_element(request, field, new_ms),
                       slice_of(NULL, 0));
    } else {
        kv_element_delete(request, collection, DICT_KIND_TIME, element_of(request, field));
    }
}

/* The first in the order of time, own writes among them. */
static YIELDS err_t
spread_earliest(struct kv_request *request, const struct kv_collection *collection,
                uint64_t *earliest_out)
{
    struct txn_scan *scan = NULL;
    err_t err;

    *earliest_out = 0;
    TRY(kv_elements_open(request, collection, DICT_KIND_DUE, slice_of(NULL, 0), &scan));
    if (txn_scan_is_valid(scan)) {
        struct slice element = kv_element_at(scan);

        if (element.size < DICT_TIME_BYTES + DICT_HASH_BYTES) {
            TRY(err_set(ERR_CORRUPT, "the time of a field has a key of %zu bytes", element.size));
        }
        *earliest_out = get_be64(element.data);
    }
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

static enum dict_encoding
encoding_grown(uint8_t type, enum dict_encoding encoding, uint64_t count,
               const struct dict_field *fields, uint32_t added)
{
    for (uint32_t i = 0; i < added; i++) {
        encoding = encoding_with(type, encoding, count + i + 1, &fields[i]);
    }
    return encoding;
}

static enum dict_encoding
encoding_smallest(uint8_t type)
{
    return type == KV_SET ? DICT_INTSET : DICT_LISTPACK;
}

/* All fields, whatever was there: packed if they fit. */
static YIELDS err_t
fields_write(struct kv_request *request, struct kv_object *object, uint8_t type,
             const struct kv_head *old, enum dict_encoding encoding,
             const struct dict_field *fields, uint32_t count)
{
    uint64_t earliest_ms = type == KV_HASH ? earliest_of(fields, count) : 0;
    uint32_t items = items_of(type, earliest_ms != 0);
    struct kv_head head = *old;
    struct kv_collection collection;
    err_t err;

    TRY(names_fit(fields, count));
    head.type = type;
    head.count = count;
    head.flags &= (uint8_t) ~(KV_HEAD_SPREAD | KV_HEAD_PAYLOAD);
    head_times_set(&head, earliest_ms);
    if (count <= KV_PACKED_ITEMS_MAX && packed_size(fields, count, items) <= KV_PACKED_BYTES_MAX) {
        head_body_set(request, &head, encoding, pack(request, fields, count, items));
    } else {
        TRY(kv_collection_new(request, object, &collection));
        head.flags |= KV_HEAD_SPREAD;
        head.collection = collection.id;
        head_body_set(request, &head, encoding, slice_of(NULL, 0));
        spread_put(request, &collection, fields, count);
        for (uint32_t i = 0; earliest_ms != 0 && i < count; i++) {
            spread_time_put(request, &collection, &fields[i], 0, fields[i].expire_ms);
        }
    }
    kv_put_collection(request, object, &head);
out:
    return err;
}

err_t
dict_store(struct kv_request *request, struct kv_object *object, enum kv_type type,
           const struct kv_head *head, const struct dict_field *fields, uint32_t count)
{
    if (count == 0) {
        kv_remove(request, object);
        return ERR_OK;
    }
    return fields_write(request, object, type, head,
                        encoding_grown(type, encoding_smallest(type), 0, fields, count), fields,
                        count);
}

/* Into one that is packed or missing: written anew, with fields that were there in their places. */
static YIELDS err_t
packed_put(struct kv_request *request, struct kv_object *object, uint8_t type,
           enum dict_encoding encoding, const struct dict_field *fields, uint32_t count,
           const bool *is_in)
{
    const struct kv_head none = {.type = type};
    struct dict_fields all;
    err_t err;

    TRY(dict_load_stored(request, object, &all));
    for (uint32_t i = 0; i < count; i++) {
        if (!is_in[i]) {
            TRY(dict_fields_add(request, &all, fields[i].name, fields[i].value, false));
            all.at[all.count - 1].expire_ms = fields[i].expire_ms;
            continue;
        }
        for (uint32_t j = 0; j < all.count; j++) {
            if (slice_equal(all.at[j].name, fields[i].name)) {
                all.at[j].value = fields[i].value;
                all.at[j].expire_ms = fields[i].expire_ms;
            }
        }
    }
    TRY(fields_write(request, object, type, object->is_found ? &object->head : &none, encoding,
                     all.at, all.count));
out:
    return err;
}

/* Into one that is spread; `asked`: the same fields as they were. */
static YIELDS err_t
fields_put(struct kv_request *request, struct kv_object *object, struct kv_head *head,
           const struct dict_field *fields, const struct dict_field *asked, uint32_t count,
           const bool *is_in)
{
    struct kv_collection collection = kv_collection_of(object);
    uint64_t earliest_ms;
    err_t err = ERR_OK;

    spread_put(request, &collection, fields, count);
    if (head->type == KV_HASH && (dict_has_times(object) || earliest_of(fields, count) != 0)) {
        for (uint32_t i = 0; i < count; i++) {
            spread_time_put(request, &collection, &fields[i], is_in[i] ? asked[i].expire_ms : 0,
                            fields[i].expire_ms);
        }
        TRY(spread_earliest(request, &collection, &earliest_ms));
        head_times_set(head, earliest_ms);
    }
    kv_put_collection(request, object, head);
out:
    return err;
}

err_t
dict_put(struct kv_request *request, struct kv_object *object, enum kv_type type,
         const struct dict_field *fields, uint32_t count, uint32_t *added_out)
{
    uint64_t old_count = object->is_found ? object->head.count : 0;
    enum dict_encoding encoding =
        object->is_found ? (enum dict_encoding)object->head.body.data[0] : encoding_smallest(type);
    struct dict_field *asked = arena_alloc(request->arena, count * sizeof(*asked));
    bool *is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    uint64_t grown = old_count;
    uint32_t added = 0;
    err_t err;

    if (asked == NULL || is_in == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u elements", count);
    }
    TRY(names_fit(fields, count));
    memcpy(asked, fields, count * sizeof(*asked));
    TRY(stored_find(request, object, asked, count, is_in));
    for (uint32_t i = 0; i < count; i++) {
        grown += !is_in[i];
        added += !is_in[i] || is_gone(request, &asked[i]);
        encoding = encoding_with(type, encoding, grown, &fields[i]);
    }
    *added_out = added;
    if (*added_out == 0 && type == KV_SET) {
        return ERR_OK;
    }
    if (object->is_found && dict_is_spread(object)) {
        struct kv_head head = object->head;

        head.count = grown;
        head_body_set(request, &head, encoding, slice_of(NULL, 0));
        TRY(fields_put(request, object, &head, fields, asked, count, is_in));
    } else {
        TRY(packed_put(request, object, type, encoding, fields, count, is_in));
    }
out:
    return err;
}

/* What is left of a packed one, in its head. */
static YIELDS err_t
packed_remove(struct kv_request *request, const struct kv_object *object, struct kv_head *head,
              const struct dict_field *fields, uint32_t count)
{
    struct dict_fields all;
    uint32_t kept = 0;
    err_t err;

    TRY(dict_load_stored(request, object, &all));
    for (uint32_t i = 0; i < all.count; i++) {
        bool is_removed = false;

        for (uint32_t j = 0; j < count && !is_removed; j++) {
            is_removed = is_same(&all.at[i], &fields[j]);
        }
        if (!is_removed) {
            all.at[kept++] = all.at[i];
        }
    }
    head_times_set(head, earliest_of(all.at, kept));
    head_body_set(request, head, (enum dict_encoding)object->head.body.data[0],
                  pack(request, all.at, kept,
                       items_of(head->type, (head->flags & KV_HEAD_FIELDS_EXPIRE) != 0)));
out:
    return err;
}

/* The fields have their times. */
static YIELDS err_t
spread_remove(struct kv_request *request, const struct kv_object *object, struct kv_head *head,
              const struct dict_field *fields, uint32_t count, const bool *is_in)
{
    struct kv_collection collection = kv_collection_of(object);
    uint64_t earliest_ms;
    err_t err = ERR_OK;

    for (uint32_t i = 0; i < count; i++) {
        if (is_in[i]) {
            kv_element_delete(request, &collection, DICT_KIND_FIELD,
                              element_of(request, &fields[i]));
            spread_time_put(request, &collection, &fields[i], fields[i].expire_ms, 0);
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    if (dict_has_times(object)) {
        TRY(spread_earliest(request, &collection, &earliest_ms));
        head_times_set(head, earliest_ms);
    }
out:
    return err;
}

err_t
dict_remove(struct kv_request *request, struct kv_object *object, const struct dict_field *fields,
            uint32_t count, uint32_t *removed_out)
{
    struct dict_field *asked = arena_alloc(request->arena, count * sizeof(*asked));
    bool *is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    struct kv_head head = object->head;
    uint32_t removed = 0;
    uint32_t gone = 0;
    err_t err;

    if (asked == NULL || is_in == NULL) {
        return err_set(ERR_NO_MEMORY, "no memory for %u elements", count);
    }
    memcpy(asked, fields, count * sizeof(*asked));
    TRY(stored_find(request, object, asked, count, is_in));
    for (uint32_t i = 0; i < count; i++) {
        removed += is_in[i];
        gone += is_in[i] && is_gone(request, &asked[i]);
    }
    *removed_out = removed - gone;
    if (removed == 0) {
        return ERR_OK;
    }
    if (removed > head.count) {
        return err_set(ERR_CORRUPT, "a %s counts fewer elements than it has",
                       kv_type_ops(head.type)->name);
    }
    head.count -= removed;
    if (dict_is_spread(object)) {
        TRY(spread_remove(request, object, &head, asked, count, is_in));
    } else {
        TRY(packed_remove(request, object, &head, fields, count));
    }
    kv_put_collection(request, object, &head);
out:
    return err;
}

/* Names of fields whose time has come, in its order. */
static YIELDS err_t
due_gather(struct kv_request *request, const struct kv_object *object, uint32_t max,
           struct dict_fields *fields)
{
    struct kv_collection collection = kv_collection_of(object);
    struct txn_scan *scan = NULL;
    err_t err;

    TRY(kv_elements_open(request, &collection, DICT_KIND_DUE, slice_of(NULL, 0), &scan));
    while (txn_scan_is_valid(scan) && fields->count < max) {
        struct slice element = kv_element_at(scan);
        const uint32_t prefix = DICT_TIME_BYTES + DICT_HASH_BYTES;

        if (element.size < prefix) {
            TRY(err_set(ERR_CORRUPT, "the time of a field has a key of %zu bytes", element.size));
        }
        if (get_be64(element.data) >= request->now_ms) {
            break;
        }
        TRY(dict_fields_add(request, fields, slice_of(element.data + prefix, element.size - prefix),
                            slice_of(NULL, 0), true));
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
dict_remove_due(struct kv_request *request, struct kv_object *object, uint32_t max,
                uint32_t *removed_out)
{
    struct dict_fields due = {0};
    struct dict_fields all;
    uint32_t still_there;
    err_t err;

    if (dict_is_spread(object)) {
        TRY(due_gather(request, object, max, &due));
    } else {
        TRY(dict_load_stored(request, object, &all));
        for (uint32_t i = 0; i < all.count; i++) {
            if (is_gone(request, &all.at[i])) {
                TRY(dict_fields_add(request, &due, all.at[i].name, slice_of(NULL, 0), false));
            }
        }
    }
    *removed_out = due.count;
    if (due.count > 0) {
        TRY(dict_remove(request, object, due.at, due.count, &still_there));
    }
out:
    return err;
}

/* ---- Pages ---- */

static bool
matches(const struct kv_scan_options *options, const struct dict_field *field)
{
    return options->pattern.data == NULL || kv_glob_match(options->pattern, field->name, false);
}

/* Fields of one hash are never parted. */
static YIELDS err_t
spread_page(struct kv_request *request, const struct kv_object *object,
            const struct kv_scan_options *options,
            void (*visit)(void *arg, const struct dict_field *field), void *arg, uint64_t *next_out)
{
    struct txn_scan *scan = NULL;
    struct dict_field field;
    struct dict_fields page = {0};
    uint64_t last = 0;
    uint64_t seen = 0;
    err_t err;

    TRY(dict_scan_open(request, object, options->cursor, &scan));
    for (; txn_scan_is_valid(scan); seen++) {
        TRY(dict_scan_field(request, scan, &field));
        if (seen >= options->count && field.hash != last) {
            *next_out = field.hash;
            break;
        }
        last = field.hash;
        if (matches(options, &field) && dict_has_times(object)) {
            TRY(dict_fields_add(request, &page, field.name, field.value, true));
        } else if (matches(options, &field)) {
            visit(arg, &field);
        }
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    TRY(dict_drop_gone(request, object, &page));
    for (uint32_t i = 0; i < page.count; i++) {
        visit(arg, &page.at[i]);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

err_t
dict_page(struct kv_request *request, const struct kv_object *object,
          const struct kv_scan_options *options,
          void (*visit)(void *arg, const struct dict_field *field), void *arg, uint64_t *next_out)
{
    struct dict_fields fields;
    err_t err;

    *next_out = 0;
    if (object->is_found && dict_is_spread(object)) {
        return spread_page(request, object, options, visit, arg, next_out);
    }
    TRY(dict_load(request, object, &fields)); /* A packed one comes whole. */
    for (uint32_t i = 0; i < fields.count; i++) {
        if (matches(options, &fields.at[i])) {
            visit(arg, &fields.at[i]);
        }
    }
out:
    return err;
}
