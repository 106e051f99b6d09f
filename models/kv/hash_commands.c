/* models/kv/hash_commands.c - the commands on hashes. */
#include <math.h>

#include "engine/base/assert.h"
#include "models/kv/dict.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_FIELD = 3 };

static YIELDS bool
hash_lookup(struct kv_request *request, uint32_t flags, struct kv_object *object_out)
{
    return dict_lookup(request, request->argv[1], KV_HASH, flags, object_out);
}

/* One field: its value, and whether it is there. False after an error reply. */
static YIELDS bool
field_find(struct kv_request *request, const struct kv_object *object, struct slice name,
           struct dict_field *field_out, bool *is_in)
{
    err_t err;

    *field_out = dict_field_of(name);
    err = dict_find(request, object, field_out, 1, is_in);
    if (err != ERR_OK) {
        kv_fail(request, err);
    }
    return err == ERR_OK;
}

/* ---- Reading ---- */

void
kv_command_hget(struct kv_request *request)
{
    struct kv_object object;
    struct dict_field field;
    bool is_in;

    if (!hash_lookup(request, KV_LOOKUP_READ, &object) ||
        !field_find(request, &object, request->argv[2], &field, &is_in)) {
        return;
    }
    if (is_in) {
        reply_bulk(request->reply, field.value);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_hexists(struct kv_request *request)
{
    struct kv_object object;
    struct dict_field field;
    bool is_in;

    if (hash_lookup(request, KV_LOOKUP_READ, &object) &&
        field_find(request, &object, request->argv[2], &field, &is_in)) {
        reply_int(request->reply, is_in);
    }
}

void
kv_command_hstrlen(struct kv_request *request)
{
    struct kv_object object;
    struct dict_field field;
    bool is_in;

    if (hash_lookup(request, KV_LOOKUP_READ, &object) &&
        field_find(request, &object, request->argv[2], &field, &is_in)) {
        reply_int(request->reply, is_in ? (int64_t)field.value.size : 0);
    }
}

void
kv_command_hlen(struct kv_request *request)
{
    struct kv_object object;

    if (hash_lookup(request, KV_LOOKUP_READ, &object)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.count : 0);
    }
}

void
kv_command_hmget(struct kv_request *request)
{
    uint32_t count = request->argc - 2;
    struct dict_fields fields = {0};
    struct kv_object object;
    bool *is_in;
    err_t err;

    if (!hash_lookup(request, KV_LOOKUP_READ, &object)) {
        return;
    }
    is_in = arena_alloc(request->arena, count * sizeof(*is_in));
    if (is_in == NULL) {
        TRY(err_set(ERR_NO_MEMORY, "no memory for %u fields", count));
    }
    for (uint32_t i = 0; i < count; i++) {
        TRY(dict_fields_add(request, &fields, request->argv[2 + i], slice_of(NULL, 0), false));
    }
    TRY(dict_find(request, &object, fields.at, count, is_in));
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        if (is_in[i]) {
            reply_bulk(request->reply, fields.at[i].value);
        } else {
            reply_null(request->reply);
        }
    }
    return;
out:
    kv_fail(request, err);
}

enum hash_part { HASH_NAMES = 1, HASH_VALUES = 2 };

static YIELDS void
all_reply(struct kv_request *request, uint32_t parts)
{
    struct dict_fields fields;
    struct kv_object object;
    err_t err;

    if (!hash_lookup(request, KV_LOOKUP_READ, &object)) {
        return;
    }
    err = dict_load(request, &object, &fields);
    if (err != ERR_OK) {
        kv_fail(request, err);
        return;
    }
    if (parts == (HASH_NAMES | HASH_VALUES)) {
        reply_map(request->reply, fields.count);
    } else {
        reply_array(request->reply, fields.count);
    }
    for (uint32_t i = 0; i < fields.count; i++) {
        if ((parts & HASH_NAMES) != 0) {
            reply_bulk(request->reply, fields.at[i].name);
        }
        if ((parts & HASH_VALUES) != 0) {
            reply_bulk(request->reply, fields.at[i].value);
        }
        kv_work(request, WORK_UNITS_PER_FIELD);
    }
}

void
kv_command_hgetall(struct kv_request *request)
{
    all_reply(request, HASH_NAMES | HASH_VALUES);
}

void
kv_command_hkeys(struct kv_request *request)
{
    all_reply(request, HASH_NAMES);
}

void
kv_command_hvals(struct kv_request *request)
{
    all_reply(request, HASH_VALUES);
}

struct page {
    struct reply fields;
    uint64_t count;
};

static void
page_visit(void *arg, const struct dict_field *field)
{
    struct page *page = arg;

    reply_bulk(&page->fields, field->name);
    reply_bulk(&page->fields, field->value);
    page->count += 2;
}

void
kv_command_hscan(struct kv_request *request)
{
    struct kv_scan_options options;
    struct page page = {.count = 0};
    struct kv_object object;
    uint64_t next = 0;
    err_t err;

    if (!kv_scan_cursor_parse(request, &options) ||
        !hash_lookup(request, KV_LOOKUP_READ, &object) ||
        !kv_scan_options_parse(request, &object, &options)) {
        return;
    }
    reply_init(&page.fields, request->reply->resp);
    err = dict_page(request, &object, &options, page_visit, &page, &next);
    if (err == ERR_OK) {
        reply_array(request->reply, 2);
        reply_bulk_int(request->reply, (int64_t)next);
        reply_array(request->reply, page.count);
        buf_append(&request->reply->buf, page.fields.buf.data, page.fields.buf.size);
    } else {
        kv_fail(request, err);
    }
    reply_fini(&page.fields);
}

/* ---- Random fields ---- */

static void
picked_reply(struct kv_request *request, const struct dict_fields *picked, bool with_values)
{
    bool is_nested = with_values && request->reply->resp == 3;

    reply_array(request->reply, picked->count * (with_values && !is_nested ? 2 : 1));
    for (uint32_t i = 0; i < picked->count; i++) {
        if (is_nested) {
            reply_array(request->reply, 2);
        }
        reply_bulk(request->reply, picked->at[i].name);
        if (with_values) {
            reply_bulk(request->reply, picked->at[i].value);
        }
        kv_work(request, 1);
    }
}

void
kv_command_hrandfield(struct kv_request *request)
{
    struct dict_fields picked = {0};
    bool with_values = request->argc == 4;
    struct kv_object object;
    int64_t count = 1;
    err_t err;

    if (!kv_parse_random_count(request, "withvalues", &count) ||
        !hash_lookup(request, KV_LOOKUP_READ, &object)) {
        return;
    }
    err = count >= 0        ? dict_pick_distinct(request, &object, (uint64_t)count, &picked)
          : object.is_found ? dict_pick_repeated(request, &object, (uint64_t)-count, &picked)
                            : ERR_OK;
    if (err != ERR_OK) {
        kv_fail(request, err);
    } else if (request->argc >= 3) {
        picked_reply(request, &picked, with_values);
    } else if (picked.count == 1) {
        reply_bulk(request->reply, picked.at[0].name);
    } else {
        reply_null(request->reply);
    }
}

/* ---- Writing ---- */

/* Fields and values from argv[2] on. False after an error reply. */
static YIELDS bool
pairs_put(struct kv_request *request, uint32_t *added_out)
{
    struct dict_fields fields = {0};
    struct kv_object object;
    err_t err;

    if (request->argc % 2 != 0) {
        reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                    request->command->name);
        return false;
    }
    if (!hash_lookup(request, 0, &object)) {
        return false;
    }
    for (uint32_t i = 2; i < request->argc; i += 2) {
        TRY(dict_fields_add(request, &fields, request->argv[i], request->argv[i + 1], false));
    }
    dict_fields_unique(request, &fields);
    TRY(dict_put(request, &object, KV_HASH, fields.at, fields.count, added_out));
    kv_notify(request, KV_EVENT_HASH, "hset", object.name);
    return true;
out:
    kv_fail(request, err);
    return false;
}

void
kv_command_hset(struct kv_request *request)
{
    uint32_t added;

    if (pairs_put(request, &added)) {
        reply_int(request->reply, added);
    }
}

void
kv_command_hmset(struct kv_request *request)
{
    uint32_t added;

    if (pairs_put(request, &added)) {
        reply_ok(request->reply);
    }
}

static YIELDS bool
field_put(struct kv_request *request, struct kv_object *object, const struct dict_field *field,
          const char *event)
{
    uint32_t added;
    err_t err = dict_put(request, object, KV_HASH, field, 1, &added);

    if (err != ERR_OK) {
        kv_fail(request, err);
    } else {
        kv_notify(request, KV_EVENT_HASH, event, object->name);
    }
    return err == ERR_OK;
}

void
kv_command_hsetnx(struct kv_request *request)
{
    struct kv_object object;
    struct dict_field field;
    bool is_in;

    if (!hash_lookup(request, 0, &object) ||
        !field_find(request, &object, request->argv[2], &field, &is_in)) {
        return;
    }
    field.value = request->argv[3];
    if (is_in || field_put(request, &object, &field, "hset")) {
        reply_int(request->reply, !is_in);
    }
}

void
kv_command_hdel(struct kv_request *request)
{
    struct dict_fields fields = {0};
    struct kv_object object;
    uint32_t removed = 0;
    err_t err;

    if (!hash_lookup(request, 0, &object)) {
        return;
    }
    for (uint32_t i = 2; i < request->argc; i++) {
        TRY(dict_fields_add(request, &fields, request->argv[i], slice_of(NULL, 0), false));
    }
    if (object.is_found) {
        dict_fields_unique(request, &fields);
        TRY(dict_remove(request, &object, fields.at, fields.count, &removed));
    }
    if (removed > 0) {
        kv_notify(request, KV_EVENT_HASH, "hdel", object.name);
        kv_notify_if_gone(request, &object);
    }
    reply_int(request->reply, removed);
    return;
out:
    kv_fail(request, err);
}

void
kv_command_hincrby(struct kv_request *request)
{
    char digits[24];
    struct kv_object object;
    struct dict_field field;
    int64_t value = 0;
    int64_t by;
    bool is_in;

    if (!kv_parse_int(request, request->argv[3], &by) || !hash_lookup(request, 0, &object) ||
        !field_find(request, &object, request->argv[2], &field, &is_in)) {
        return;
    }
    if (is_in && !reply_parse_int(field.value, &value)) {
        reply_error(request->reply, "ERR hash value is not an integer");
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(request->reply, "ERR increment or decrement would overflow");
        return;
    }
    field.value = slice_of(digits, reply_format_int(value, digits));
    if (field_put(request, &object, &field, "hincrby")) {
        reply_int(request->reply, value);
    }
}

void
kv_command_hincrbyfloat(struct kv_request *request)
{
    char formatted[REPLY_NUMBER_BYTES_MAX];
    struct kv_object object;
    struct dict_field field;
    long double value = 0;
    long double by = 0;
    bool is_in;

    if (!kv_parse_long_double(request->argv[3], &by)) {
        reply_error(request->reply, "ERR value is not a valid float");
        return;
    }
    if (isinf(by)) {
        reply_error(request->reply, "ERR value is NaN or Infinity");
        return;
    }
    if (!hash_lookup(request, 0, &object) ||
        !field_find(request, &object, request->argv[2], &field, &is_in)) {
        return;
    }
    if (is_in && !kv_parse_long_double(field.value, &value)) {
        reply_error(request->reply, "ERR hash value is not a float");
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error(request->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    field.value = slice_of(formatted, reply_format_long_double(value, formatted));
    if (field_put(request, &object, &field, "hincrbyfloat")) {
        reply_bulk(request->reply, field.value);
    }
}
