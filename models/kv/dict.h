/* models/kv/dict.h - what sets and hashes share: names, each with a value, which sets leave empty.
 *
 * A field's element is the upper 48 bits of the XXH3-64 of its name, big-endian, and the name: so
 * random places are fair, and the cursor of SSCAN and HSCAN is the hash of the next field. Packed
 * fields lie in the order of their coming: the name and, in a hash, the value behind it. The body
 * begins with the encoding that Redis would report.
 *
 * A field of a hash may have a time of its own (HEXPIRE). Then the head has KV_HEAD_FIELDS_EXPIRE
 * and the earliest of these times, under which the hash is in an index like that of keys, and a
 * packed hash has a third item a field: its time, or nothing. A field whose time has come is not
 * there for commands, and counts until it is removed. */
#pragma once

#include "models/kv/collection.h"
#include "models/kv/listpack.h"

/* Kinds of elements. The fields; and, of those fields of a hash that expire: their times (8 bytes,
 * little-endian), by field; and nothing, by time (8 bytes, big-endian) and field. */
enum { DICT_KIND_FIELD = 0, DICT_KIND_TIME = 0x10, DICT_KIND_DUE = 0x11 };
enum { DICT_TIME_BYTES = 8 };
/* The latest time of a field, in milliseconds since 1970, as Redis has it. */
#define DICT_TIME_MAX (UINT64_C(0xfffffffffffe) >> 2)
enum { DICT_HASH_BYTES = 6, DICT_NAME_BYTES_MAX = KV_ELEMENT_BYTES_MAX - DICT_HASH_BYTES };

/* As Redis converts: never back. */
enum dict_encoding { DICT_INTSET, DICT_LISTPACK, DICT_HASHTABLE, DICT_ENCODINGS };

struct dict_field {
    uint64_t hash;
    struct slice name;
    struct slice value;
    uint64_t expire_ms; /* 0: never. */
    bool is_time_only;  /* dict_put: the value is there already, and stays. */
    uint32_t order;     /* Of its coming, among those of an array. */
};

/* In the request's arena. */
struct dict_fields {
    struct dict_field *at;
    uint32_t count;
    uint32_t capacity;
};

uint64_t dict_hash(struct slice name);
struct dict_field dict_field_of(struct slice name);
/* The bytes are borrowed, or copied into the arena. ERR_NO_MEMORY. */
err_t dict_fields_add(struct kv_request *request, struct dict_fields *fields, struct slice name,
                      struct slice value, bool is_copied);
/* By hash and name; of repeats the one that came last stays. */
YIELDS void dict_fields_sort(struct kv_request *request, struct dict_fields *fields);
/* Without repeats as well, but in the order of coming. */
YIELDS void dict_fields_unique(struct kv_request *request, struct dict_fields *fields);

/* The key as KV_SET or KV_HASH, or missing; false after an error reply. */
YIELDS bool dict_lookup(struct kv_request *request, struct slice name, enum kv_type type,
                        uint32_t flags, struct kv_object *object_out);

static inline bool
dict_is_spread(const struct kv_object *object)
{
    return (object->head.flags & KV_HEAD_SPREAD) != 0;
}

const char *dict_encoding_name(const struct kv_object *object);

/* Errors of all of these: as txn_get, ERR_NO_MEMORY, ERR_CORRUPT, ERR_LIMIT (a name too long). */

/* Check the head of an object that dict_lookup has not looked up. ERR_CORRUPT. */
err_t dict_check(const struct kv_object *object);
static inline bool
dict_has_times(const struct kv_object *object)
{
    return (object->head.flags & KV_HEAD_FIELDS_EXPIRE) != 0;
}

/* All fields, in the arena. */
YIELDS err_t dict_load(struct kv_request *request, const struct kv_object *object,
                       struct dict_fields *fields_out);
/* With those whose time has come. */
YIELDS err_t dict_load_stored(struct kv_request *request, const struct kv_object *object,
                              struct dict_fields *fields_out);
/* Which of the fields are there? is_in has room for count. Sets values and times of those that
 * are. */
YIELDS err_t dict_find(struct kv_request *request, const struct kv_object *object,
                       struct dict_field *fields, uint32_t count, bool *is_in);
/* The fields (no repeats among them), new or with new values. A missing key becomes a `type`.
 * *added_out: how many were not there. */
YIELDS err_t dict_put(struct kv_request *request, struct kv_object *object, enum kv_type type,
                      const struct dict_field *fields, uint32_t count, uint32_t *added_out);
/* Removes those that are there (no repeats among them). */
YIELDS err_t dict_remove(struct kv_request *request, struct kv_object *object,
                         const struct dict_field *fields, uint32_t count, uint32_t *removed_out);
/* Removes fields whose time has come, at most `max`; *removed_out: how many. Without a field left
 * the key goes. */
YIELDS err_t dict_remove_due(struct kv_request *request, struct kv_object *object, uint32_t max,
                             uint32_t *removed_out);
/* Drops those whose time has come; their times are known. */
void dict_fields_drop_gone(const struct kv_request *request, struct dict_fields *fields);
/* Drops those whose time has come from fields that a scan has given. */
YIELDS err_t dict_drop_gone(struct kv_request *request, const struct kv_object *object,
                            struct dict_fields *fields);
/* The fields (no repeats) in place of whatever the key held; expiry and access are those of
 * `head`. Without fields the key goes. */
YIELDS err_t dict_store(struct kv_request *request, struct kv_object *object, enum kv_type type,
                        const struct kv_head *head, const struct dict_field *fields,
                        uint32_t count);

/* The first field of a spread one at or behind a hash. */
YIELDS err_t dict_scan_open(struct kv_request *request, const struct kv_object *object,
                            uint64_t hash, struct txn_scan **scan_out);
YIELDS err_t dict_scan_seek(struct kv_request *request, const struct kv_object *object,
                            struct txn_scan *scan, uint64_t hash);
/* Name and value are borrowed until the scan moves. */
YIELDS err_t dict_scan_field(struct kv_request *request, struct txn_scan *scan,
                             struct dict_field *field_out);

/* One page of SSCAN or HSCAN: visit for each field that matches; *next_out: the cursor, 0 at the
 * end. */
YIELDS err_t dict_page(struct kv_request *request, const struct kv_object *object,
                       const struct kv_scan_options *options,
                       void (*visit)(void *arg, const struct dict_field *field), void *arg,
                       uint64_t *next_out);

/* ---- dict_random.c ---- */

/* Each pick on its own: fields may come more than once. */
YIELDS err_t dict_pick_repeated(struct kv_request *request, const struct kv_object *object,
                                uint64_t count, struct dict_fields *picked_out);
/* Distinct; as many as there are, at most `count`. */
YIELDS err_t dict_pick_distinct(struct kv_request *request, const struct kv_object *object,
                                uint64_t count, struct dict_fields *picked_out);
