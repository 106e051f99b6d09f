/* models/kv/dump.c - DUMP and RESTORE. */
#include "engine/base/assert.h"
#include "models/kv/collection.h"
#include "models/kv/payload.h"

#include "engine/base/poison.h"

enum { FREQUENCY_MAX = 255 };

void
kv_command_dump(struct kv_request *request)
{
    struct kv_object object;
    const struct kv_type_ops *ops;
    struct buf payload;
    err_t err;

    if (!kv_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    if (!object.is_found) {
        reply_null(request->reply);
        return;
    }
    ops = kv_type_ops(object.head.type);
    buf_init(&payload, MEM_SESSIONS);
    if (ops->dump == NULL) {
        err = err_set(ERR_UNSUPPORTED, "DUMP of a %s is not supported", ops->name);
    } else {
        err = ops->dump(request, &object, &payload);
    }
    if (err == ERR_OK) {
        txn_hold(request->txn);
        payload_finish(&payload, 0);
        reply_bulk(request->reply, buf_slice(&payload));
    } else {
        kv_fail(request, err);
    }
    buf_fini(&payload);
}

struct restore_options {
    bool is_replacing;
    bool is_absolute;
    int64_t idle_seconds; /* -1: not given. */
    int64_t frequency;    /* The same. */
};

/* The number behind IDLETIME or FREQ. */
static bool
hint_parse(struct kv_request *request, uint32_t at, const char *what, int64_t most,
           const char *range, int64_t *value_out)
{
    if (!kv_parse_int(request, request->argv[at], value_out)) {
        return false;
    }
    if (*value_out < 0 || *value_out > most) {
        reply_error(request->reply, "ERR Invalid %s value, must be %s", what, range);
        return false;
    }
    return true;
}

static bool
restore_options_parse(struct kv_request *request, struct restore_options *options)
{
    *options = (struct restore_options){.idle_seconds = -1, .frequency = -1};
    for (uint32_t at = 4; at < request->argc; at++) {
        struct slice word = request->argv[at];
        bool has_more = at + 1 < request->argc;

        if (kv_word_is(word, "replace")) {
            options->is_replacing = true;
        } else if (kv_word_is(word, "absttl")) {
            options->is_absolute = true;
        } else if (kv_word_is(word, "idletime") && has_more && options->frequency == -1) {
            if (!hint_parse(request, ++at, "IDLETIME", INT64_MAX, ">= 0", &options->idle_seconds)) {
                return false;
            }
        } else if (kv_word_is(word, "freq") && has_more && options->idle_seconds == -1) {
            if (!hint_parse(request, ++at, "FREQ", FREQUENCY_MAX, ">= 0 and <= 255",
                            &options->frequency)) {
                return false;
            }
        } else {
            kv_reply_syntax_error(request);
            return false;
        }
    }
    return true;
}

static void
access_set(struct kv_head *head, const struct restore_options *options, uint64_t now_ms)
{
    uint64_t now = now_ms / 1000;

    if (options->frequency >= 0) {
        head->flags |= KV_HEAD_ACCESS;
        head->access_is_frequency = 1;
        head->access = (uint32_t)options->frequency;
    } else if (options->idle_seconds >= 0) {
        head->flags |= KV_HEAD_ACCESS;
        head->access = (uint32_t)(now - MIN(now, (uint64_t)options->idle_seconds));
    }
}

static bool
restore_time_to_live_parse(struct kv_request *request, int64_t *ttl_out)
{
    if (!kv_parse_int(request, request->argv[2], ttl_out)) {
        return false;
    }
    if (*ttl_out < 0) {
        reply_error(request->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    return true;
}

/* *expire_ms_out is 0 for none. */
static bool
restore_expire_of(struct kv_request *request, int64_t ttl, bool is_absolute,
                  uint64_t *expire_ms_out)
{
    if (ttl > 0 && !is_absolute && __builtin_add_overflow(ttl, (int64_t)request->now_ms, &ttl)) {
        reply_error(request->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    *expire_ms_out = (uint64_t)ttl;
    return true;
}

/* Who restores values of this type byte; NULL after an error reply. */
static const struct kv_type_ops *
restorer_find(struct kv_request *request, uint8_t rdb_type)
{
    for (uint8_t type = 0; type < KV_TYPES; type++) {
        const struct kv_type_ops *ops = kv_type_ops(type);

        if (ops->restores != NULL && ops->restores(rdb_type)) {
            return ops;
        }
    }
    if (payload_type_name(rdb_type) == NULL) {
        reply_error(request->reply, "ERR Bad data format");
    } else {
        reply_error(request->reply, "ERR RESTORE of a %s is not supported",
                    payload_type_name(rdb_type));
    }
    return NULL;
}

/* Whatever is wrong with the payload is wrong with the client's bytes. */
static YIELDS bool
restore_value(struct kv_request *request, struct kv_object *object, const struct kv_head *head)
{
    uint64_t bytes_max = kv_self()->config.string_bytes_max;
    const struct kv_type_ops *ops;
    struct payload_reader reader;
    uint8_t rdb_type;
    err_t err;

    TRY(payload_open(request->argv[3], bytes_max, request->arena, &reader, &rdb_type));
    ops = restorer_find(request, rdb_type);
    if (ops == NULL) {
        return false;
    }
    TRY(ops->restore(request, rdb_type, &reader, object, head));
    TRY(payload_end(&reader));
    return true;
out:
    if (err == ERR_CORRUPT || err == ERR_LIMIT || err == ERR_INVALID) {
        reply_error(request->reply, "ERR %s", err_message(err));
    } else {
        kv_fail(request, err);
    }
    return false;
}

void
kv_command_restore(struct kv_request *request)
{
    struct restore_options options;
    struct kv_head head = {0};
    struct kv_object object;
    uint64_t expire_ms;
    int64_t ttl;
    err_t err;

    if (!restore_options_parse(request, &options) ||
        !kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (object.is_found && !options.is_replacing) {
        reply_error(request->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!restore_time_to_live_parse(request, &ttl)) {
        return;
    }
    txn_hold(request->txn);
    err = payload_check(request->argv[3]);
    if (err != ERR_OK) {
        reply_error(request->reply, "ERR %s", err_message(err));
        return;
    }
    if (!restore_expire_of(request, ttl, options.is_absolute, &expire_ms)) {
        return;
    }
    kv_head_expire_set(&head, expire_ms);
    access_set(&head, &options, request->now_ms);
    if (!restore_value(request, &object, &head)) {
        return;
    }
    if (expire_ms != 0 && expire_ms <= request->now_ms) {
        kv_remove(request, &object);
        if (object.is_found) {
            kv_notify(request, KV_EVENT_GENERIC, "del", object.name);
        }
    } else {
        kv_notify(request, KV_EVENT_GENERIC, "restore", object.name);
    }
    kv_access_forget(kv_self(), &object);
    reply_ok(request->reply);
}
