/* models/kv/dump.c - DUMP and RESTORE. */
#include "engine/base/assert.h"
#include "models/kv/internal.h"
#include "models/kv/payload.h"

#include "engine/base/poison.h"

enum { FREQUENCY_MAX = 255 };

void
kv_command_dump(struct kv_request *request)
{
    struct kv_object object;
    struct slice bytes;
    struct buf payload;
    err_t err;

    if (!kv_lookup(request, request->argv[1], KV_LOOKUP_READ, &object)) {
        return;
    }
    if (!object.is_found) {
        reply_null(request->reply);
        return;
    }
    if (!kv_is_string(request, &object) || !kv_string_bytes(request, &object, &bytes)) {
        return;
    }
    buf_init(&payload, MEM_SESSIONS);
    err = payload_write_string(&payload, bytes);
    if (err == ERR_OK) {
        reply_bulk(request->reply, buf_slice(&payload));
    } else {
        reply_err(request->reply, err);
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

/* The milliseconds of argv[2]; *expire_ms_out is 0 for none. */
static bool
restore_expire_parse(struct kv_request *request, bool is_absolute, uint64_t *expire_ms_out)
{
    int64_t value;

    if (!kv_parse_int(request, request->argv[2], &value)) {
        return false;
    }
    if (value < 0 || (value > 0 && !is_absolute &&
                      __builtin_add_overflow(value, (int64_t)request->now_ms, &value))) {
        reply_error(request->reply, "ERR Invalid TTL value, must be >= 0");
        return false;
    }
    *expire_ms_out = (uint64_t)value;
    return true;
}

static YIELDS bool
restore_string(struct kv_request *request, struct slice *string_out)
{
    struct slice payload = request->argv[3];
    err_t err = payload_check(payload);

    if (err == ERR_OK) {
        err = payload_read_string(payload, kv_self()->config.string_bytes_max, request->arena,
                                  string_out);
    }
    if (err != ERR_OK) {
        /* Whatever is wrong is wrong with the client's bytes. */
        reply_error(request->reply, "ERR %s", err_message(err));
    }
    return err == ERR_OK;
}

void
kv_command_restore(struct kv_request *request)
{
    struct restore_options options;
    struct kv_head head = {.type = KV_STRING};
    struct kv_object object;
    struct kv_batch *batch;
    struct slice string;
    uint64_t expire_ms;

    if (!restore_options_parse(request, &options) ||
        !kv_lookup(request, request->argv[1], 0, &object)) {
        return;
    }
    if (object.is_found && !options.is_replacing) {
        reply_error(request->reply, "BUSYKEY Target key name already exists.");
        return;
    }
    if (!restore_expire_parse(request, options.is_absolute, &expire_ms) ||
        !restore_string(request, &string)) {
        return;
    }
    batch = kv_batch_take(kv_self());
    if (expire_ms != 0 && expire_ms <= request->now_ms) {
        kv_remove(batch, &object, request->arena);
    } else {
        kv_head_expire_set(&head, expire_ms);
        access_set(&head, &options, request->now_ms);
        kv_put(batch, &object, &head, string, request->arena);
    }
    if (kv_commit(request, batch)) {
        kv_access_forget(kv_self(), &object);
        reply_ok(request->reply);
    }
}
