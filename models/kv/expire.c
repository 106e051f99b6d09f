/* models/kv/expire.c - the commands that set and tell when a key expires. */
#include <limits.h>

#include "engine/base/assert.h"
#include "models/kv/internal.h"

#include "engine/base/poison.h"

enum { OPTION_BYTES_SHOWN = 1000 };
enum expire_flag {
    EXPIRE_NX = 1 << 0,
    EXPIRE_XX = 1 << 1,
    EXPIRE_GT = 1 << 2,
    EXPIRE_LT = 1 << 3,
};

static bool
expire_flags_parse(struct kv_request *request, uint32_t *flags_out)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } words[] = {{"nx", EXPIRE_NX}, {"xx", EXPIRE_XX}, {"gt", EXPIRE_GT}, {"lt", EXPIRE_LT}};
    uint32_t flags = 0;

    for (uint32_t at = 3; at < request->argc; at++) {
        uint32_t flag = 0;

        for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
            flag |= kv_word_is(request->argv[at], words[i].name) ? words[i].flag : 0;
        }
        if (flag == 0) {
            reply_error(request->reply, "ERR Unsupported option %.*s",
                        (int)MIN(request->argv[at].size, (size_t)OPTION_BYTES_SHOWN),
                        (const char *)request->argv[at].data);
            return false;
        }
        flags |= flag;
    }
    if ((flags & EXPIRE_NX) != 0 && (flags & ~(uint32_t)EXPIRE_NX) != 0) {
        reply_error(request->reply,
                    "ERR NX and XX, GT or LT options at the same time are not compatible");
        return false;
    }
    if ((flags & EXPIRE_GT) != 0 && (flags & EXPIRE_LT) != 0) {
        reply_error(request->reply, "ERR GT and LT options at the same time are not compatible");
        return false;
    }
    *flags_out = flags;
    return true;
}

/* Unlike in SET, the time may lie in the past. */
static bool
when_parse(struct kv_request *request, enum kv_time_unit unit, bool is_absolute,
           int64_t *when_ms_out)
{
    int64_t value;

    if (!kv_parse_int(request, request->argv[2], &value)) {
        return false;
    }
    if ((unit == KV_SECONDS && __builtin_mul_overflow(value, INT64_C(1000), &value)) ||
        (!is_absolute && __builtin_add_overflow(value, (int64_t)request->now_ms, &value))) {
        kv_reply_expire_error(request);
        return false;
    }
    *when_ms_out = value;
    return true;
}

/* Do the flags let this key have this expiry? */
static bool
flags_allow(uint32_t flags, const struct kv_object *object, int64_t when_ms)
{
    int64_t present_ms = (int64_t)kv_head_expire_ms(&object->head);
    bool expires = present_ms != 0;

    if ((flags & EXPIRE_NX) != 0 && expires) {
        return false;
    }
    if ((flags & EXPIRE_XX) != 0 && !expires) {
        return false;
    }
    /* A key without an expiry counts as one that expires never. */
    if ((flags & EXPIRE_GT) != 0 && (!expires || when_ms <= present_ms)) {
        return false;
    }
    return (flags & EXPIRE_LT) == 0 || !expires || when_ms < present_ms;
}

static void
expiry_write(struct kv_request *request, struct kv_object *object, uint64_t expire_ms)
{
    struct kv_head head = object->head;

    kv_head_expire_set(&head, expire_ms);
    kv_put_head(request, object, &head);
}

static YIELDS void
expire(struct kv_request *request, enum kv_time_unit unit, bool is_absolute)
{
    struct kv_object object;
    uint32_t flags;
    int64_t when_ms;

    if (!expire_flags_parse(request, &flags) || !when_parse(request, unit, is_absolute, &when_ms) ||
        !kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (!object.is_found || !flags_allow(flags, &object, when_ms)) {
        reply_int(request->reply, 0);
        return;
    }
    if (when_ms <= (int64_t)request->now_ms) {
        kv_remove(request, &object);
        kv_notify(request, KV_EVENT_GENERIC, "del", object.name);
    } else {
        expiry_write(request, &object, (uint64_t)when_ms);
        kv_notify(request, KV_EVENT_GENERIC, "expire", object.name);
    }
    reply_int(request->reply, 1);
}

void
kv_command_expire(struct kv_request *request)
{
    expire(request, KV_SECONDS, false);
}

void
kv_command_pexpire(struct kv_request *request)
{
    expire(request, KV_MILLISECONDS, false);
}

void
kv_command_expireat(struct kv_request *request)
{
    expire(request, KV_SECONDS, true);
}

void
kv_command_pexpireat(struct kv_request *request)
{
    expire(request, KV_MILLISECONDS, true);
}

/* -2: no key; -1: no expiry. */
static YIELDS void
time_reply(struct kv_request *request, enum kv_time_unit unit, bool is_absolute)
{
    struct kv_object object;
    int64_t time_ms;

    if (!kv_lookup(request, request->argv[1], KV_LOOKUP_COUNT, &object)) {
        return;
    }
    if (!object.is_found || kv_head_expire_ms(&object.head) == 0) {
        reply_int(request->reply, object.is_found ? -1 : -2);
        return;
    }
    time_ms = (int64_t)kv_head_expire_ms(&object.head);
    if (!is_absolute) {
        time_ms = MAX(time_ms - (int64_t)request->now_ms, INT64_C(0));
    }
    if (unit == KV_SECONDS) {
        time_ms = time_ms / 1000 + (time_ms % 1000 >= 500 ? 1 : 0);
    }
    reply_int(request->reply, time_ms);
}

void
kv_command_ttl(struct kv_request *request)
{
    time_reply(request, KV_SECONDS, false);
}

void
kv_command_pttl(struct kv_request *request)
{
    time_reply(request, KV_MILLISECONDS, false);
}

void
kv_command_expiretime(struct kv_request *request)
{
    time_reply(request, KV_SECONDS, true);
}

void
kv_command_pexpiretime(struct kv_request *request)
{
    time_reply(request, KV_MILLISECONDS, true);
}

void
kv_command_persist(struct kv_request *request)
{
    struct kv_object object;

    if (!kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (!object.is_found || kv_head_expire_ms(&object.head) == 0) {
        reply_int(request->reply, 0);
        return;
    }
    expiry_write(request, &object, 0);
    kv_notify(request, KV_EVENT_GENERIC, "persist", object.name);
    reply_int(request->reply, 1);
}
