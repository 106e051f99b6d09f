/* models/kv/hash.c - the type of hashes: DUMP and RESTORE. How they are stored: dict.h. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum {
    RDB_HASH = 4,
    RDB_HASH_LISTPACK = 16,
    WORK_UNITS_PER_FIELD = 5,
};

static YIELDS err_t
hash_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct dict_fields fields;
    err_t err = ERR_OK;

    TRY(dict_load(request, object, &fields));
    buf_append_byte(out, RDB_HASH);
    payload_append_length(out, fields.count);
    for (uint32_t i = 0; i < fields.count; i++) {
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

static YIELDS err_t
listpack_restore(struct kv_request *request, struct payload_reader *reader,
                 struct dict_fields *fields)
{
    struct listpack pack;
    struct slice blob;
    struct slice name;
    struct slice value;
    err_t err;

    TRY(payload_read_text(reader, &blob));
    TRY(listpack_open(blob, &pack));
    while (listpack_next(&pack, request->arena, &name)) {
        if (!listpack_next(&pack, request->arena, &value)) {
            return payload_malformed();
        }
        TRY(dict_fields_add(request, fields, name, value, false));
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
    } else {
        TRY(listpack_restore(request, reader, &fields));
    }
    count = fields.count;
    dict_fields_sort(request, &fields);
    if (count == 0 || count != fields.count) { /* Redis writes neither empty hashes nor repeats. */
        return payload_malformed();
    }
    TRY(dict_store(request, object, KV_HASH, head, fields.at, count));
out:
    return err;
}

static bool
hash_restores(uint8_t rdb_type)
{
    return rdb_type == RDB_HASH || rdb_type == RDB_HASH_LISTPACK;
}

const struct kv_type_ops kv_type_hash = {
    .name = "hash",
    .encoding = dict_encoding_name,
    .dump = hash_dump,
    .restore = hash_restore,
    .restores = hash_restores,
};
