/* models/kv/hash.c - the type of hashes: DUMP and RESTORE. How they are stored: dict.h. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum {
    RDB_HASH = 4,
    RDB_HASH_LISTPACK = 16,
    /* With times of fields: the earliest (8 bytes), then 0 or one more than a field's distance from
     * it before each field, */
    RDB_HASH_METADATA = 24,
    RDB_HASH_LISTPACK_EX = 25, /* or a listpack with 0 or the time behind each value. */
    WORK_UNITS_PER_FIELD = 5,
};

static YIELDS err_t
hash_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    bool with_times = dict_has_times(object);
    uint64_t earliest = object->head.field_expire_ms;
    struct dict_fields fields;
    uint8_t moment[DICT_TIME_BYTES];
    err_t err = ERR_OK;

    TRY(dict_load_stored(request, object, &fields));
    buf_append_byte(out, with_times ? RDB_HASH_METADATA : RDB_HASH);
    if (with_times) {
        put_le64(moment, earliest);
        buf_append(out, moment, sizeof(moment));
    }
    payload_append_length(out, fields.count);
    for (uint32_t i = 0; i < fields.count; i++) {
        uint64_t expire_ms = fields.at[i].expire_ms;

        if (with_times) {
            payload_append_length(out,
                                  expire_ms == 0 ? 0 : expire_ms - MIN(earliest, expire_ms) + 1);
        }
        TRY(payload_append_text(out, fields.at[i].name));
        TRY(payload_append_text(out, fields.at[i].value));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

static YIELDS err_t
plain_restore(struct kv_request *request, struct payload_reader *reader, struct dict_fields *fields)
{
    uint64_t count;
    struct slice name;
    struct slice value;
    err_t err;

    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(payload_read_text(reader, &name));
        TRY(payload_read_text(reader, &value));
        TRY(dict_fields_add(request, fields, name, value, false));
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

/* The greatest time that a field can have: what Redis keeps of one. */
static bool
is_time(uint64_t expire_ms)
{
    return expire_ms <= DICT_TIME_MAX;
}

static YIELDS err_t
timed_restore(struct kv_request *request, struct payload_reader *reader, struct dict_fields *fields)
{
    struct slice earliest;
    uint64_t count;
    struct slice name;
    struct slice value;
    err_t err;

    TRY(payload_read_bytes(reader, DICT_TIME_BYTES, &earliest));
    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        uint64_t distance;

        TRY(payload_read_length(reader, &distance));
        TRY(payload_read_text(reader, &name));
        TRY(payload_read_text(reader, &value));
        TRY(dict_fields_add(request, fields, name, value, false));
        if (distance != 0) {
            uint64_t expire_ms = get_le64(earliest.data);

            if (!is_time(expire_ms) || !is_time(distance) || expire_ms + distance <= 1) {
                return payload_malformed();
            }
            fields->at[fields->count - 1].expire_ms = expire_ms + distance - 1;
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
out:
    return err;
}

static YIELDS err_t
listpack_restore(struct kv_request *request, struct payload_reader *reader, bool with_times,
                 struct dict_fields *fields)
{
    struct listpack pack;
    struct slice blob;
    struct slice name;
    struct slice value;
    struct slice moment;
    int64_t expire_ms = 0;
    err_t err;

    if (with_times) {
        TRY(payload_read_bytes(reader, DICT_TIME_BYTES, &moment)); /* The earliest, once more. */
    }
    TRY(payload_read_text(reader, &blob));
    TRY(listpack_open(blob, &pack));
    while (listpack_next(&pack, request->arena, &name)) {
        if (!listpack_next(&pack, request->arena, &value)) {
            return payload_malformed();
        }
        if (with_times && (!listpack_next(&pack, request->arena, &moment) ||
                           !reply_parse_int(moment, &expire_ms) || expire_ms < 0 ||
                           !is_time((uint64_t)expire_ms))) {
            return payload_malformed();
        }
        TRY(dict_fields_add(request, fields, name, value, false));
        fields->at[fields->count - 1].expire_ms = (uint64_t)expire_ms;
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
    err = listpack_end(&pack);
out:
    return err;
}

static YIELDS err_t
hash_restore(struct kv_request *request, uint8_t rdb_type, struct payload_reader *reader,
             struct kv_object *object, const struct kv_head *head)
{
    struct dict_fields fields = {0};
    uint32_t count;
    err_t err;

    if (rdb_type == RDB_HASH) {
        TRY(plain_restore(request, reader, &fields));
    } else if (rdb_type == RDB_HASH_METADATA) {
        TRY(timed_restore(request, reader, &fields));
    } else {
        TRY(listpack_restore(request, reader, rdb_type == RDB_HASH_LISTPACK_EX, &fields));
    }
    count = fields.count;
    dict_fields_sort(request, &fields);
    if (count == 0 || count != fields.count) { /* Redis writes neither empty hashes nor repeats. */
        return payload_malformed();
    }
    dict_fields_drop_gone(request, &fields); /* With none left the key does not come. */
    TRY(dict_store(request, object, KV_HASH, head, fields.at, fields.count));
out:
    return err;
}

static bool
hash_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_HASH || rdb_type == RDB_HASH_LISTPACK || rdb_type == RDB_HASH_METADATA ||
           rdb_type == RDB_HASH_LISTPACK_EX;
}

const struct kv_type_ops kv_type_hash = {
    .name = "hash",
    .encoding = dict_encoding_name,
    .dump = hash_dump,
    .restore = hash_restore,
    .restores = hash_restores,
};
