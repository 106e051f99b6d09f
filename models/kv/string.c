/* models/kv/string.c - the commands on strings, but for LCS. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { WORK_UNITS_PER_KEY = 10 };

/* ---- SET and its kin ---- */

enum set_flag {
    SET_NX = 1 << 0,
    SET_XX = 1 << 1,
    SET_KEEPTTL = 1 << 2,
    SET_GET = 1 << 3,
    SET_EX = 1 << 4,
    SET_PX = 1 << 5,
    SET_EXAT = 1 << 6,
    SET_PXAT = 1 << 7,
    SET_PERSIST = 1 << 8,
    SET_RELATIVE = SET_EX | SET_PX,
    SET_EXPIRES = SET_EX | SET_PX | SET_EXAT | SET_PXAT,
};

struct set_options {
    uint32_t flags;
    struct slice expire; /* With one of SET_EXPIRES. */
};

/* An option: what it adds, and what may not stand before it. Naming the same one twice is fine;
 * of two expiries of one kind the later counts. */
struct set_word {
    const char *name;
    uint32_t flag;
    uint32_t excludes;
    bool is_of_set, is_of_getex;
};

static const struct set_word set_words[] = {
    {"nx", SET_NX, SET_XX, true, false},
    {"xx", SET_XX, SET_NX, true, false},
    {"get", SET_GET, 0, true, false},
    {"keepttl", SET_KEEPTTL, SET_EXPIRES, true, false},
    {"persist", SET_PERSIST, SET_EXPIRES, false, true},
    {"ex", SET_EX, (SET_EXPIRES & ~SET_EX) | SET_KEEPTTL | SET_PERSIST, true, true},
    {"px", SET_PX, (SET_EXPIRES & ~SET_PX) | SET_KEEPTTL | SET_PERSIST, true, true},
    {"exat", SET_EXAT, (SET_EXPIRES & ~SET_EXAT) | SET_KEEPTTL | SET_PERSIST, true, true},
    {"pxat", SET_PXAT, (SET_EXPIRES & ~SET_PXAT) | SET_KEEPTTL | SET_PERSIST, true, true},
};

static bool
set_options_parse(struct kv_request *request, uint32_t at, bool is_set, struct set_options *options)
{
    *options = (struct set_options){0};
    for (; at < request->argc; at++) {
        const struct set_word *word = NULL;

        for (uint32_t i = 0; i < ARRAY_COUNT(set_words); i++) {
            if ((is_set ? set_words[i].is_of_set : set_words[i].is_of_getex) &&
                kv_word_is(request->argv[at], set_words[i].name)) {
                word = &set_words[i];
            }
        }
        if (word == NULL || (options->flags & word->excludes) != 0 ||
            ((word->flag & SET_EXPIRES) != 0 && at + 1 >= request->argc)) {
            kv_reply_syntax_error(request);
            return false;
        }
        options->flags |= word->flag;
        if ((word->flag & SET_EXPIRES) != 0) {
            options->expire = request->argv[++at];
        }
    }
    return true;
}

static bool
set_options_expire(struct kv_request *request, const struct set_options *options,
                   uint64_t *expire_ms_out)
{
    *expire_ms_out = 0;
    if ((options->flags & SET_EXPIRES) == 0) {
        return true;
    }
    return kv_parse_expire(request, options->expire,
                           (options->flags & (SET_EX | SET_EXAT)) != 0 ? KV_SECONDS
                                                                       : KV_MILLISECONDS,
                           (options->flags & SET_RELATIVE) == 0, expire_ms_out);
}

/* What SET, SETEX, PSETEX and SETNX share: the value takes the key's place; a time that has passed
 * leaves no key. */
static void
set_value(struct kv_request *request, struct kv_object *object, struct slice value,
          uint64_t expire_ms)
{
    bool is_past = expire_ms != 0 && expire_ms <= request->now_ms;

    if (is_past) {
        kv_remove(request, object);
    } else {
        kv_write_string(request, object, value, expire_ms);
    }
    kv_notify(request, KV_EVENT_STRING, "set", object->name);
    if (is_past) {
        kv_notify(request, KV_EVENT_EXPIRED, "expired", object->name);
    }
}

/* The command has given the key a time. */
static void
notify_expire(struct kv_request *request, const struct kv_object *object)
{
    if (object->is_stored) {
        kv_notify(request, KV_EVENT_GENERIC, "expire", object->name);
    }
}

static void
bulk_or_null(struct kv_request *request, const struct kv_object *object, struct slice bytes)
{
    if (object->is_found) {
        reply_bulk(request->reply, bytes);
    } else {
        reply_null(request->reply);
    }
}

void
kv_command_set(struct kv_request *request)
{
    struct set_options options;
    struct kv_object object;
    struct slice old = {0};
    uint64_t expire_ms;
    bool is_refused;
    bool wants_old;

    if (!set_options_parse(request, 3, true, &options) ||
        !set_options_expire(request, &options, &expire_ms)) {
        return;
    }
    wants_old = (options.flags & SET_GET) != 0;
    if (wants_old) {
        if (!kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &old)) {
            return;
        }
    } else if (!kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    is_refused = ((options.flags & SET_NX) != 0 && object.is_found) ||
                 ((options.flags & SET_XX) != 0 && !object.is_found);
    if (!is_refused) {
        if ((options.flags & SET_KEEPTTL) != 0 && object.is_found) {
            expire_ms = kv_head_expire_ms(&object.head);
        }
        set_value(request, &object, request->argv[2], expire_ms);
        if ((options.flags & SET_EXPIRES) != 0) {
            notify_expire(request, &object);
        }
    }
    if (wants_old) {
        bulk_or_null(request, &object, old);
    } else if (is_refused) {
        reply_null(request->reply);
    } else {
        reply_ok(request->reply);
    }
}

void
kv_command_setnx(struct kv_request *request)
{
    struct kv_object object;

    if (!kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (!object.is_found) {
        set_value(request, &object, request->argv[2], 0);
    }
    reply_int(request->reply, object.is_found ? 0 : 1);
}

static YIELDS void
set_with_expiry(struct kv_request *request, enum kv_time_unit unit)
{
    struct kv_object object;
    uint64_t expire_ms;

    if (kv_parse_expire(request, request->argv[2], unit, false, &expire_ms) &&
        kv_lookup(request, request->argv[1], 0, &object)) {
        set_value(request, &object, request->argv[3], expire_ms);
        notify_expire(request, &object);
        reply_ok(request->reply);
    }
}

void
kv_command_setex(struct kv_request *request)
{
    set_with_expiry(request, KV_SECONDS);
}

void
kv_command_psetex(struct kv_request *request)
{
    set_with_expiry(request, KV_MILLISECONDS);
}

/* ---- GET and its kin ---- */

void
kv_command_get(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;

    if (kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        bulk_or_null(request, &object, bytes);
    }
}

void
kv_command_getset(struct kv_request *request)
{
    struct kv_object object;
    struct slice old;

    if (kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &old)) {
        set_value(request, &object, request->argv[2], 0);
        bulk_or_null(request, &object, old);
    }
}

void
kv_command_getdel(struct kv_request *request)
{
    struct kv_object object;
    struct slice old;

    if (kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &old)) {
        if (object.is_found) {
            kv_remove(request, &object);
            kv_notify(request, KV_EVENT_GENERIC, "del", object.name);
        }
        bulk_or_null(request, &object, old);
    }
}

/* GETEX's change, after the value was read; nothing without an option. */
static void
getex_apply(struct kv_request *request, struct kv_object *object, uint32_t flags,
            uint64_t expire_ms)
{
    struct kv_head head = object->head;

    if ((flags & (SET_EXPIRES | SET_PERSIST)) == 0 ||
        ((flags & SET_PERSIST) != 0 && kv_head_expire_ms(&head) == 0)) {
        return;
    }
    if (expire_ms != 0 && expire_ms <= request->now_ms) {
        kv_remove(request, object);
        kv_notify(request, KV_EVENT_GENERIC, "del", object->name);
        return;
    }
    kv_head_expire_set(&head, expire_ms);
    kv_put_head(request, object, &head);
    kv_notify(request, KV_EVENT_GENERIC, (flags & SET_PERSIST) != 0 ? "persist" : "expire",
              object->name);
}

void
kv_command_getex(struct kv_request *request)
{
    struct set_options options;
    struct kv_object object;
    struct slice bytes;
    uint64_t expire_ms;

    if (!set_options_parse(request, 2, false, &options) ||
        !kv_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    if (!object.is_found) {
        reply_null(request->reply);
        return;
    }
    if (kv_is_string(request, &object) && set_options_expire(request, &options, &expire_ms) &&
        kv_string_bytes(request, &object, &bytes)) {
        getex_apply(request, &object, options.flags, expire_ms);
        reply_bulk(request->reply, bytes);
    }
}

void
kv_command_strlen(struct kv_request *request)
{
    struct kv_object object;

    if (kv_lookup(request, request->argv[1], KV_LOOKUP_READ, &object) &&
        kv_is_string(request, &object)) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.length : 0);
    }
}

void
kv_command_getrange(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;
    int64_t start;
    int64_t end;
    int64_t length;

    if (!kv_parse_int(request, request->argv[2], &start) ||
        !kv_parse_int(request, request->argv[3], &end) ||
        !kv_lookup_string(request, request->argv[1], KV_LOOKUP_READ, &object, &bytes)) {
        return;
    }
    length = (int64_t)bytes.size;
    if (start < 0 && end < 0 && start > end) {
        reply_bulk(request->reply, slice_of(NULL, 0));
        return;
    }
    /* Negative positions count from the end; neither sum can overflow. */
    start = MAX(start < 0 ? start + length : start, INT64_C(0));
    end = MAX(end < 0 ? end + length : end, INT64_C(0));
    end = MIN(end, length - 1);
    if (length == 0 || start > end) {
        reply_bulk(request->reply, slice_of(NULL, 0));
        return;
    }
    reply_bulk(request->reply, slice_of(bytes.data + start, (size_t)(end - start + 1)));
}

void
kv_command_substr(struct kv_request *request)
{
    kv_command_getrange(request);
}

void
kv_command_mget(struct kv_request *request)
{
    uint32_t count = request->argc - 1;
    struct kv_object *objects = kv_lookup_many(request, 1, 1, count, KV_LOOKUP_READ);
    struct slice *values = arena_alloc(request->arena, count * sizeof(*values));

    if (objects == NULL) {
        return;
    }
    if (values == NULL) {
        reply_error(request->reply, "OOM no memory for a command of %u keys", count);
        return;
    }
    /* First all values, since an error can only be told instead of the array. Keys of another type
     * count as missing. */
    for (uint32_t i = 0; i < count; i++) {
        objects[i].is_found &= objects[i].head.type == KV_STRING;
        if (!kv_string_bytes(request, &objects[i], &values[i])) {
            return;
        }
    }
    reply_array(request->reply, count);
    for (uint32_t i = 0; i < count; i++) {
        bulk_or_null(request, &objects[i], values[i]);
        kv_work(request, 1);
    }
}

/* ---- MSET and MSETNX ---- */

static YIELDS void
mset(struct kv_request *request, bool only_new)
{
    uint32_t count = (request->argc - 1) / 2;
    struct kv_head head = {.type = KV_STRING};
    struct kv_object *objects;
    bool *is_repeat;

    if (request->argc % 2 == 0) {
        reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                    command_full_name(request->command));
        return;
    }
    objects = kv_lookup_many(request, 1, 2, count, 0);
    is_repeat = objects == NULL ? NULL : kv_find_repeats(request, objects, count, true);
    if (is_repeat == NULL) {
        return;
    }
    for (uint32_t i = 0; only_new && i < count; i++) {
        if (objects[i].is_found) {
            reply_int(request->reply, 0);
            return;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_repeat[i]) { /* Of a key named twice the last value stays. */
            kv_put(request, &objects[i], &head, request->argv[2 + 2 * i]);
        }
        kv_notify(request, KV_EVENT_STRING, "set", objects[i].name);
        kv_work(request, WORK_UNITS_PER_KEY);
    }
    if (only_new) {
        reply_int(request->reply, 1);
    } else {
        reply_ok(request->reply);
    }
}

void
kv_command_mset(struct kv_request *request)
{
    mset(request, false);
}

void
kv_command_msetnx(struct kv_request *request)
{
    mset(request, true);
}

/* ---- Numbers ---- */

static YIELDS void
increment(struct kv_request *request, int64_t by)
{
    struct kv_object object;
    struct slice text;
    int64_t value = 0;
    char digits[24];

    if (!kv_lookup_string(request, request->argv[1], 0, &object, &text) ||
        (object.is_found && !kv_parse_int(request, text, &value))) {
        return;
    }
    if (__builtin_add_overflow(value, by, &value)) {
        reply_error(request->reply, "ERR increment or decrement would overflow");
        return;
    }
    text = slice_of(digits, reply_format_int(value, digits));
    kv_write_string(request, &object, text, object.is_found ? kv_head_expire_ms(&object.head) : 0);
    kv_notify(request, KV_EVENT_STRING, "incrby", object.name);
    reply_int(request->reply, value);
}

void
kv_command_incr(struct kv_request *request)
{
    increment(request, 1);
}

void
kv_command_decr(struct kv_request *request)
{
    increment(request, -1);
}

void
kv_command_incrby(struct kv_request *request)
{
    int64_t by;

    if (kv_parse_int(request, request->argv[2], &by)) {
        increment(request, by);
    }
}

void
kv_command_decrby(struct kv_request *request)
{
    int64_t by;

    if (!kv_parse_int(request, request->argv[2], &by)) {
        return;
    }
    if (by == INT64_MIN) {
        reply_error(request->reply, "ERR decrement would overflow");
        return;
    }
    increment(request, -by);
}

static bool
parse_float(struct kv_request *request, struct slice text, long double *value_out)
{
    if (!kv_parse_long_double(text, value_out)) {
        reply_error(request->reply, "ERR value is not a valid float");
        return false;
    }
    return true;
}

void
kv_command_incrbyfloat(struct kv_request *request)
{
    char formatted[REPLY_NUMBER_BYTES_MAX];
    struct kv_object object;
    struct slice text;
    long double value = 0;
    long double by;

    if (!kv_lookup_string(request, request->argv[1], 0, &object, &text) ||
        (object.is_found && !parse_float(request, text, &value)) ||
        !parse_float(request, request->argv[2], &by)) {
        return;
    }
    value += by;
    if (isnan(value) || isinf(value)) {
        reply_error(request->reply, "ERR increment would produce NaN or Infinity");
        return;
    }
    text = slice_of(formatted, reply_format_long_double(value, formatted));
    kv_write_string(request, &object, text, object.is_found ? kv_head_expire_ms(&object.head) : 0);
    kv_notify(request, KV_EVENT_STRING, "incrbyfloat", object.name);
    reply_bulk(request->reply, text);
}

/* ---- Parts of strings ---- */

uint8_t *
kv_string_copy(struct kv_request *request, struct slice old, size_t size)
{
    uint8_t *bytes = arena_alloc(request->arena, size);

    if (bytes == NULL) {
        reply_error(request->reply, "OOM no memory for a string of %zu bytes", size);
        return NULL;
    }
    if (old.size > 0) {
        memcpy(bytes, old.data, old.size);
    }
    if (size > old.size) {
        memset(bytes + old.size, 0, size - old.size);
    }
    return bytes;
}

/* The old bytes with `patch` laid over them from `offset` on, zeros between; NULL data when memory
 * is short. */
static struct slice
bytes_patched(struct kv_request *request, struct slice old, uint64_t offset, struct slice patch)
{
    size_t size = MAX((uint64_t)old.size, offset + patch.size);
    uint8_t *bytes = kv_string_copy(request, old, size);

    if (bytes != NULL && patch.size > 0) {
        memcpy(bytes + offset, patch.data, patch.size);
    }
    return slice_of(bytes, bytes != NULL ? size : 0);
}

static YIELDS void
write_patched(struct kv_request *request, struct kv_object *object, uint64_t offset,
              struct slice patch, const char *event)
{
    struct slice old;
    struct slice bytes;

    if (!kv_string_bytes(request, object, &old)) {
        return;
    }
    bytes = bytes_patched(request, old, offset, patch);
    if (bytes.data != NULL) {
        kv_write_string(request, object, bytes,
                        object->is_found ? kv_head_expire_ms(&object->head) : 0);
        kv_notify(request, KV_EVENT_STRING, event, object->name);
        reply_int(request->reply, (int64_t)bytes.size);
    }
}

void
kv_command_append(struct kv_request *request)
{
    struct kv_object object;
    struct slice more = request->argv[2];
    uint64_t length;

    if (!kv_lookup(request, request->argv[1], 0, &object) || !kv_is_string(request, &object)) {
        return;
    }
    length = object.is_found ? object.head.length : 0;
    if (object.is_found && !kv_length_fits(request, length, more.size)) {
        return;
    }
    write_patched(request, &object, length, more, "append");
}

void
kv_command_setrange(struct kv_request *request)
{
    struct kv_object object;
    struct slice patch = request->argv[3];
    int64_t offset;

    if (!kv_parse_int(request, request->argv[2], &offset)) {
        return;
    }
    if (offset < 0) {
        reply_error(request->reply, "ERR offset is out of range");
        return;
    }
    if (!kv_lookup(request, request->argv[1], 0, &object) || !kv_is_string(request, &object)) {
        return;
    }
    if (patch.size == 0) {
        reply_int(request->reply, object.is_found ? (int64_t)object.head.length : 0);
        return;
    }
    if (kv_length_fits(request, (uint64_t)offset, patch.size)) {
        write_patched(request, &object, (uint64_t)offset, patch, "setrange");
    }
}
