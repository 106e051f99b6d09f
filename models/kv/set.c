/* models/kv/set.c - the type of sets: DUMP and RESTORE; SPOP and SRANDMEMBER. */
#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum {
    RDB_SET = 2,
    RDB_SET_INTSET = 11,
    RDB_SET_LISTPACK = 20,
    WORK_UNITS_PER_MEMBER = 5,
};

/* ---- DUMP and RESTORE ---- */

static YIELDS err_t
set_dump(struct kv_request *request, const struct kv_object *object, struct buf *out)
{
    struct dict_fields members;
    err_t err = ERR_OK;

    TRY(dict_load(request, object, &members));
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
              struct dict_fields *members)
{
    uint64_t count;
    struct slice name;
    err_t err;

    TRY(payload_read_length(reader, &count));
    for (uint64_t i = 0; i < count; i++) {
        TRY(payload_read_text(reader, &name));
        TRY(dict_fields_add(request, members, name, slice_of(NULL, 0), false));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

/* An intset: width of a number in bytes (4), count (4), numbers; all little-endian. */
static YIELDS err_t
intset_restore(struct kv_request *request, struct payload_reader *reader,
               struct dict_fields *members)
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

        TRY(dict_fields_add(request, members, slice_of(digits, reply_format_int(value, digits)),
                            slice_of(NULL, 0), true));
        kv_work(request, WORK_UNITS_PER_MEMBER);
    }
out:
    return err;
}

static YIELDS err_t
listpack_restore(struct kv_request *request, struct payload_reader *reader,
                 struct dict_fields *members)
{
    struct listpack pack;
    struct slice blob;
    struct slice item;
    err_t err;

    TRY(payload_read_text(reader, &blob));
    TRY(listpack_open(blob, &pack));
    while (listpack_next(&pack, request->arena, &item)) {
        TRY(dict_fields_add(request, members, item, slice_of(NULL, 0), false));
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
    struct dict_fields members = {0};
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
    dict_fields_sort(request, &members);
    if (count == 0 || count != members.count) { /* Redis writes neither empty sets nor repeats. */
        return payload_malformed();
    }
    TRY(dict_store(request, object, KV_SET, head, members.at, count));
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
    .encoding = dict_encoding_name,
    .dump = set_dump,
    .restore = set_restore,
    .restores = set_restores,
};

/* ---- Random members ---- */

static void
reply_members(struct kv_request *request, const struct dict_fields *members)
{
    for (uint32_t i = 0; i < members->count; i++) {
        reply_bulk(request->reply, members->at[i].name);
        kv_work(request, 1);
    }
}

static YIELDS err_t
pop(struct kv_request *request, struct kv_object *object, uint64_t count,
    struct dict_fields *picked)
{
    uint32_t removed;
    err_t err;

    TRY(dict_pick_distinct(request, object, count, picked));
    if (object->is_found && count >= object->head.count) {
        kv_remove(request, object);
    } else if (picked->count > 0) {
        TRY(dict_remove(request, object, picked->at, picked->count, &removed));
    }
    if (picked->count > 0) {
        kv_notify(request, KV_EVENT_SET, "spop", object->name);
        kv_notify_if_gone(request, object);
    }
out:
    return err;
}

void
kv_command_spop(struct kv_request *request)
{
    struct dict_fields picked;
    struct kv_object object;
    int64_t count = 1;
    err_t err;

    if (request->argc > 3) {
        kv_reply_syntax_error(request);
        return;
    }
    if (request->argc == 3 && (!reply_parse_int(request->argv[2], &count) || count < 0)) {
        reply_error(request->reply, "ERR value is out of range, must be positive");
        return;
    }
    if (!dict_lookup(request, request->argv[1], KV_SET, 0, &object)) {
        return;
    }
    err = pop(request, &object, (uint64_t)count, &picked);
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (request->argc == 3) {
        reply_set(request->reply, picked.count);
        reply_members(request, &picked);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_srandmember(struct kv_request *request)
{
    struct dict_fields picked = {0};
    struct kv_object object;
    int64_t count = 1;
    err_t err;

    if (request->argc > 3) {
        kv_reply_syntax_error(request);
        return;
    }
    if (!kv_parse_random_count(request, NULL, &count)) {
        return;
    }
    if (!dict_lookup(request, request->argv[1], KV_SET, KV_LOOKUP_READ, &object)) {
        return;
    }
    err = count >= 0        ? dict_pick_distinct(request, &object, (uint64_t)count, &picked)
          : object.is_found ? dict_pick_repeated(request, &object, (uint64_t)-count, &picked)
                            : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (request->argc == 3) {
        reply_array(request->reply, picked.count);
        reply_members(request, &picked);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
}
