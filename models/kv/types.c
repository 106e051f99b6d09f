/* models/kv/types.c - the table of types, the type of strings, and copying of any type. */
#include "engine/base/assert.h"
#include "models/kv/collection.h"

#include "engine/base/poison.h"

enum {
    RDB_STRING = 0,
    EMBEDDED_BYTES_MAX = 44, /* Redis calls strings up to here "embstr". */
    WORK_UNITS_PER_ELEMENT = 10,
};

/* ---- Strings ---- */

/* Orbit has one form of strings; this names the one that Redis would choose for the bytes. */
static const char *
string_encoding(const struct kv_object *object)
{
    int64_t number;

    if ((object->head.flags & KV_HEAD_PAYLOAD) != 0) {
        return "raw";
    }
    if (reply_parse_int(object->head.body, &number)) {
        return "int";
    }
    return object->head.length <= EMBEDDED_BYTES_MAX ? "embstr" : "raw";
}

static YIELDS err_t
string_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct slice bytes;
    err_t err = kv_string_get(request, object, &bytes);

    if (err == ERR_OK) {
        buf_append_byte(out, RDB_STRING);
        err = payload_append_text(out, bytes);
    }
    return err;
}

static YIELDS err_t
string_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
               struct kv_object *object, const struct kv_head *head)
{
    struct kv_head stored = *head;
    struct slice string;
    err_t err;

    ASSERT(rdb_type == RDB_STRING);
    TRY(payload_read_text(reader, &string));
    stored.type = KV_STRING;
    kv_put(request, object, &stored, string);
out:
    return err;
}

static bool
string_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_STRING;
}

const struct kv_type_ops kv_type_string = {
    .name = "string",
    .encoding = string_encoding,
    .dump = string_dump,
    .restore = string_restore,
    .restores = string_restores,
};

/* ---- The table ---- */

static const struct kv_type_ops *const types[KV_TYPES] = {
    [KV_STRING] = &kv_type_string, [KV_SET] = &kv_type_set,   [KV_LIST] = &kv_type_list,
    [KV_ZSET] = &kv_type_zset,     [KV_HASH] = &kv_type_hash, [KV_STREAM] = &kv_type_stream,
};

const struct kv_type_ops *
kv_type_ops(uint8_t type)
{
    ASSERT(type < KV_TYPES); /* kv_head_decode has refused others. */
    return types[type];
}

/* ---- Copying ---- */

/* Every element of a spread collection, under the id of the new one. */
static YIELDS err_t
elements_copy(struct kv_request *request, const struct kv_object *from,
              const struct kv_collection *to)
{
    struct kv_collection collection = kv_collection_of(from);
    uint8_t lower[KV_COLLECTION_PREFIX_BYTES];
    uint8_t upper[KV_COLLECTION_PREFIX_BYTES];
    struct txn_scan *scan = NULL;
    err_t err;

    kv_collection_encode(lower, collection.keyspace, collection.slot, collection.id);
    kv_collection_encode(upper, collection.keyspace, collection.slot, collection.id + 1);
    TRY(txn_scan_open(request->txn, collection.slot, slice_of(lower, sizeof(lower)),
                      slice_of(upper, sizeof(upper)), &scan));
    TRY(txn_scan_first(scan));
    while (txn_scan_is_valid(scan)) {
        struct slice element = kv_element_at(scan);
        struct slice value;

        TRY(txn_scan_value(scan, request->arena, &value));
        kv_element_put(request, to, txn_scan_entry(scan)->key.data[KV_COLLECTION_PREFIX_BYTES],
                       element, value);
        TRY(txn_scan_next(scan));
        kv_work(request, WORK_UNITS_PER_ELEMENT);
    }
    err = ERR_OK;
out:
    if (scan != NULL) {
        txn_scan_close(&scan);
    }
    return err;
}

static YIELDS err_t
collection_copy(struct kv_request *request, const struct kv_object *from, struct kv_object *to)
{
    struct kv_head head = from->head;
    struct kv_collection collection;
    err_t err = ERR_OK;

    if ((head.flags & KV_HEAD_SPREAD) != 0) {
        TRY(kv_collection_new(request, to, &collection));
        TRY(elements_copy(request, from, &collection));
        head.collection = collection.id;
    }
    kv_put_collection(request, to, &head);
out:
    return err;
}

bool
kv_copy(struct kv_request *request, const struct kv_object *from, struct kv_object *to)
{
    struct slice bytes;
    err_t err;

    if (from->head.type == KV_STRING) {
        err = kv_string_get(request, from, &bytes);
        if (err == ERR_OK) {
            kv_put(request, to, &from->head, bytes);
        }
    } else {
        err = collection_copy(request, from, to);
    }
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}
