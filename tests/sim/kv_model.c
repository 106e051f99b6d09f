/* tests/sim/kv_model.c - Redis strings by the documentation of redis.io, without any storage. */
#include "tests/sim/kv_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "models/kv/command.h"
#include "models/kv/reply.h"
#include "tests/sim/kv_collections.h"

struct kv_model {
    struct kv_model_state *state;
    const struct slice *names;
    const struct slice *argv;
    uint32_t argc;
    uint64_t now_ms;
    struct kv_model_reply *reply;
    uint32_t touched;
};

/* ---- Replies. ---- */

void
kv_model_reply_put(struct kv_model_reply *reply, const void *bytes, size_t size)
{
    if (reply->size + size > reply->capacity) {
        reply->capacity = (reply->size + size) * 2;
        ASSERT(reply->capacity <= KV_MODEL_REPLY_BYTES_MAX * 8u);
        reply->text = realloc(reply->text, reply->capacity);
        ASSERT(reply->text != NULL);
    }
    if (size > 0) {
        memcpy(reply->text + reply->size, bytes, size);
    }
    reply->size += size;
}

static void
say(struct kv_model *kv, const char *text)
{
    kv_model_reply_put(kv->reply, text, strlen(text));
}

static void
say_int(struct kv_model *kv, int64_t value)
{
    char text[32];

    snprintf(text, sizeof(text), ":%lld\r\n", (long long)value);
    say(kv, text);
}

static void
say_bulk(struct kv_model *kv, struct slice bytes)
{
    char text[32];

    snprintf(text, sizeof(text), "$%zu\r\n", bytes.size);
    say(kv, text);
    kv_model_reply_put(kv->reply, bytes.data, bytes.size);
    say(kv, "\r\n");
}

static void
say_value(struct kv_model *kv, const struct kv_model_value *value)
{
    if (value->exists) {
        say_bulk(kv, value->bytes);
    } else {
        say(kv, "$-1\r\n");
    }
}

/* ---- Keys and values. ---- */

static uint32_t
key_index(struct kv_model *kv, uint32_t arg)
{
    for (uint32_t i = 0; i < KV_MODEL_KEYS; i++) {
        if (slice_equal(kv->names[i], kv->argv[arg])) {
            kv->touched |= 1u << i;
            return i;
        }
    }
    UNREACHABLE();
}

static struct kv_model_value *
key_at(struct kv_model *kv, uint32_t arg)
{
    return &kv->state->keys[key_index(kv, arg)];
}

static void
mark(struct kv_model *kv, const struct kv_model_value *value)
{
    kv->state->changed |= 1u << (value - kv->state->keys);
}

static struct slice
copied(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);

    ASSERT(copy != NULL);
    memcpy(copy, bytes.data, bytes.size);
    return slice_of(copy, bytes.size);
}

static void
value_set(struct kv_model *kv, struct kv_model_value *value, struct slice bytes)
{
    value->exists = true;
    value->bytes = bytes;
    mark(kv, value);
}

static void
value_drop(struct kv_model *kv, struct kv_model_value *value)
{
    *value = (struct kv_model_value){0};
    mark(kv, value);
}

static int64_t
arg_int(const struct kv_model *kv, uint32_t arg)
{
    int64_t number = 0;
    bool is_number = reply_parse_int(kv->argv[arg], &number);

    ASSERT(is_number);
    return number;
}

static bool
arg_is(const struct kv_model *kv, uint32_t arg, const char *text)
{
    return arg < kv->argc && command_word_is(kv->argv[arg], text);
}

static void
expire_in(struct kv_model *kv, struct kv_model_value *value, int64_t delay_ms)
{
    if (delay_ms <= 0) {
        value_drop(kv, value);
        return;
    }
    value->expire_ms = kv->now_ms + (uint64_t)delay_ms;
    mark(kv, value);
}

/* ---- Commands. ---- */

static void
run_set(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);
    struct kv_model_value before = *value;
    bool nx = false, xx = false, keep = false, get = false;
    int64_t expire_ms = 0;

    for (uint32_t i = 3; i < kv->argc; i++) {
        nx = nx || arg_is(kv, i, "nx");
        xx = xx || arg_is(kv, i, "xx");
        keep = keep || arg_is(kv, i, "keepttl");
        get = get || arg_is(kv, i, "get");
        if (arg_is(kv, i, "px")) {
            expire_ms = arg_int(kv, ++i);
        }
    }
    if ((nx && before.exists) || (xx && !before.exists)) {
        say_value(kv, get ? &before : &(struct kv_model_value){0});
        return;
    }
    value_set(kv, value, copied(kv->argv[2]));
    value->expire_ms = keep ? before.expire_ms : 0;
    if (expire_ms > 0) {
        expire_in(kv, value, expire_ms);
    }
    if (get) {
        say_value(kv, &before);
    } else {
        say(kv, "+OK\r\n");
    }
}

static void
run_setnx(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);

    if (value->exists) {
        say_int(kv, 0);
        return;
    }
    value_set(kv, value, copied(kv->argv[2]));
    say_int(kv, 1);
}

static void
run_get(struct kv_model *kv)
{
    say_value(kv, key_at(kv, 1));
}

static void
run_getdel(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);

    say_value(kv, value);
    if (value->exists) {
        value_drop(kv, value);
    }
}

static void
run_getex(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);

    say_value(kv, value);
    if (!value->exists) {
        return;
    }
    if (arg_is(kv, 2, "px")) {
        expire_in(kv, value, arg_int(kv, 3));
    } else if (arg_is(kv, 2, "persist") && value->expire_ms != 0) {
        value->expire_ms = 0;
        mark(kv, value);
    }
}

static void
run_append(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);
    size_t before = value->exists ? value->bytes.size : 0;
    size_t more = kv->argv[2].size;
    uint8_t *bytes = malloc(before + more + 1);

    ASSERT(bytes != NULL);
    if (before > 0) {
        memcpy(bytes, value->bytes.data, before);
    }
    memcpy(bytes + before, kv->argv[2].data, more);
    value_set(kv, value, slice_of(bytes, before + more));
    say_int(kv, (int64_t)(before + more));
}

static void
run_strlen(struct kv_model *kv)
{
    const struct kv_model_value *value = key_at(kv, 1);

    say_int(kv, value->exists ? (int64_t)value->bytes.size : 0);
}

/* Only with offsets that are not negative. */
static void
run_getrange(struct kv_model *kv)
{
    const struct kv_model_value *value = key_at(kv, 1);
    size_t first = (size_t)arg_int(kv, 2);
    size_t last = (size_t)arg_int(kv, 3);
    size_t size = value->exists ? value->bytes.size : 0;

    if (first > last || first >= size) {
        say_bulk(kv, SLICE(""));
        return;
    }
    last = MIN(last, size - 1);
    say_bulk(kv, slice_of(value->bytes.data + first, last - first + 1));
}

static void
run_setrange(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);
    size_t offset = (size_t)arg_int(kv, 2);
    size_t before = value->exists ? value->bytes.size : 0;
    size_t after = MAX(before, offset + kv->argv[3].size);
    uint8_t *bytes;

    if (kv->argv[3].size == 0) {
        say_int(kv, (int64_t)before);
        return;
    }
    bytes = calloc(1, after);
    ASSERT(bytes != NULL);
    if (before > 0) {
        memcpy(bytes, value->bytes.data, before);
    }
    memcpy(bytes + offset, kv->argv[3].data, kv->argv[3].size);
    value_set(kv, value, slice_of(bytes, after));
    say_int(kv, (int64_t)after);
}

static void
run_incrby(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);
    int64_t number = 0;
    char text[32];

    if (value->exists && !reply_parse_int(value->bytes, &number)) {
        say(kv, "-ERR value is not an integer or out of range\r\n");
        return;
    }
    number += arg_int(kv, 2);
    snprintf(text, sizeof(text), "%lld", (long long)number);
    value_set(kv, value, copied(slice_from_text(text)));
    say_int(kv, number);
}

static void
run_del(struct kv_model *kv)
{
    int64_t count = 0;

    for (uint32_t i = 1; i < kv->argc; i++) {
        struct kv_model_value *value = key_at(kv, i);

        if (value->exists) {
            value_drop(kv, value);
            count++;
        }
    }
    say_int(kv, count);
}

static void
run_exists(struct kv_model *kv)
{
    int64_t count = 0;

    for (uint32_t i = 1; i < kv->argc; i++) {
        count += key_at(kv, i)->exists;
    }
    say_int(kv, count);
}

static void
run_mset(struct kv_model *kv)
{
    for (uint32_t i = 1; i < kv->argc; i += 2) {
        struct kv_model_value *value = key_at(kv, i);

        value_set(kv, value, copied(kv->argv[i + 1]));
        value->expire_ms = 0;
    }
    say(kv, "+OK\r\n");
}

static void
run_msetnx(struct kv_model *kv)
{
    for (uint32_t i = 1; i < kv->argc; i += 2) {
        if (key_at(kv, i)->exists) {
            say_int(kv, 0);
            return;
        }
    }
    for (uint32_t i = 1; i < kv->argc; i += 2) {
        value_set(kv, key_at(kv, i), copied(kv->argv[i + 1]));
    }
    say_int(kv, 1);
}

static void
run_mget(struct kv_model *kv)
{
    char text[32];

    snprintf(text, sizeof(text), "*%u\r\n", kv->argc - 1);
    say(kv, text);
    for (uint32_t i = 1; i < kv->argc; i++) {
        say_value(kv, key_at(kv, i));
    }
}

static void
run_pexpire(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);

    say_int(kv, value->exists);
    if (value->exists) {
        expire_in(kv, value, arg_int(kv, 2));
    }
}

static void
run_persist(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);
    bool has_expiry = value->exists && value->expire_ms != 0;

    say_int(kv, has_expiry);
    if (has_expiry) {
        value->expire_ms = 0;
        mark(kv, value);
    }
}

static void
run_pttl(struct kv_model *kv)
{
    const struct kv_model_value *value = key_at(kv, 1);

    if (value->exists && value->expire_ms != 0) {
        kv->reply->is_any_positive = true;
        return;
    }
    say_int(kv, value->exists ? -1 : -2);
}

static void
run_rename(struct kv_model *kv)
{
    bool is_nx = command_word_is(kv->argv[0], "renamenx");
    struct kv_model_value *from = key_at(kv, 1);
    struct kv_model_value *to;

    if (!from->exists) { /* An answer that does not depend on the other key. */
        say(kv, "-ERR no such key\r\n");
        return;
    }
    to = key_at(kv, 2);
    if (is_nx && to->exists) {
        say_int(kv, 0);
        return;
    }
    if (from != to) {
        *to = *from;
        mark(kv, to);
        value_drop(kv, from);
    }
    say(kv, is_nx ? ":1\r\n" : "+OK\r\n");
}

static void
run_copy(struct kv_model *kv)
{
    const struct kv_model_value *from = key_at(kv, 1);
    struct kv_model_value *to;

    if (!from->exists) {
        say_int(kv, 0);
        return;
    }
    to = key_at(kv, 2);
    if (to->exists && !arg_is(kv, 3, "replace")) {
        say_int(kv, 0);
        return;
    }
    *to = *from;
    mark(kv, to);
    say_int(kv, 1);
}

static void
run_type(struct kv_model *kv)
{
    say(kv, "+");
    say(kv, kv_collection_type_name(key_at(kv, 1)));
    say(kv, "\r\n");
}

static void
run_collection(struct kv_model *kv)
{
    struct kv_model_value *value = key_at(kv, 1);

    if (kv_collection_run(value, kv->argv, kv->argc, kv->reply)) {
        mark(kv, value);
    }
}

void
kv_model_expire(struct kv_model_state *state, uint64_t now_ms)
{
    for (uint32_t i = 0; i < KV_MODEL_KEYS; i++) {
        struct kv_model_value *value = &state->keys[i];

        if (value->exists && value->expire_ms != 0 && value->expire_ms <= now_ms) {
            *value = (struct kv_model_value){0};
        }
    }
}

void
kv_model_run(struct kv_model_state *state, const struct slice names[KV_MODEL_KEYS],
             const struct slice *argv, uint32_t argc, uint64_t now_ms, struct kv_model_reply *reply,
             uint32_t *touched_out)
{
    static const struct {
        const char *name;
        void (*run)(struct kv_model *kv);
    } commands[] = {
        {"set", run_set},         {"setnx", run_setnx},       {"get", run_get},
        {"getdel", run_getdel},   {"getex", run_getex},       {"append", run_append},
        {"strlen", run_strlen},   {"getrange", run_getrange}, {"setrange", run_setrange},
        {"incrby", run_incrby},   {"del", run_del},           {"unlink", run_del},
        {"exists", run_exists},   {"touch", run_exists},      {"mset", run_mset},
        {"msetnx", run_msetnx},   {"mget", run_mget},         {"pexpire", run_pexpire},
        {"persist", run_persist}, {"pttl", run_pttl},         {"rename", run_rename},
        {"renamenx", run_rename}, {"copy", run_copy},         {"type", run_type},
    };
    struct kv_model kv = {
        .state = state,
        .names = names,
        .argv = argv,
        .argc = argc,
        .now_ms = now_ms,
        .reply = reply,
    };

    reply->size = 0;
    reply->is_any_positive = false;
    state->changed = 0;
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (command_word_is(argv[0], commands[i].name)) {
            commands[i].run(&kv);
            *touched_out = kv.touched;
            return;
        }
    }
    ASSERT(kv_collection_knows(argv[0]));
    run_collection(&kv);
    *touched_out = kv.touched;
}
