/* tests/sim/kv_collections.c - see kv_collections.h. Items are never changed in place: states share
 * them. */
#include "tests/sim/kv_collections.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "models/kv/command.h"
#include "models/kv/reply.h"

#define WRONG_TYPE "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

enum { NAMES = 8, ITEM_BYTES_MAX = 200, LONG_LIST_ITEMS = 30, TEXT_BYTES = 48 };

static const char *const names[NAMES] = {"f0", "f1", "f2", "f3", "f4", "f5", "f6", "f7"};
static const char *const type_names[] = {"string", "hash", "list", "set", "zset", "stream"};

struct kv_model_item {
    struct slice name;
    struct slice value; /* Of a hash, a sorted set (its score), a stream. */
};
struct kv_model_items {
    uint32_t count;
    struct kv_model_item at[];
};

/* ---- Replies ---- */

static void
say(struct kv_model_reply *reply, const char *text)
{
    kv_model_reply_put(reply, text, strlen(text));
}

static void
say_number(struct kv_model_reply *reply, char type, int64_t number)
{
    char text[TEXT_BYTES];

    snprintf(text, sizeof(text), "%c%lld\r\n", type, (long long)number);
    say(reply, text);
}

static void
say_bulk(struct kv_model_reply *reply, struct slice bytes)
{
    say_number(reply, '$', (int64_t)bytes.size);
    kv_model_reply_put(reply, bytes.data, bytes.size);
    say(reply, "\r\n");
}

/* ---- Items ---- */

static struct slice
copied(struct slice bytes)
{
    uint8_t *copy = malloc(bytes.size + 1);

    ASSERT(copy != NULL);
    if (bytes.size > 0) {
        memcpy(copy, bytes.data, bytes.size);
    }
    return slice_of(copy, bytes.size);
}

static uint32_t
count_of(const struct kv_model_value *value)
{
    return value->items == NULL ? 0 : value->items->count;
}

static uint32_t
find(const struct kv_model_value *value, struct slice name)
{
    for (uint32_t i = 0; i < count_of(value); i++) {
        if (slice_equal(value->items->at[i].name, name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

/* The items with `count` of them at `at` replaced by `more`. */
static void
splice(struct kv_model_value *value, uint32_t at, uint32_t count, const struct kv_model_item *more,
       uint32_t more_count)
{
    uint32_t old = count_of(value);
    uint32_t after = old - at - count;
    struct kv_model_items *items =
        malloc(sizeof(*items) + (old - count + more_count) * sizeof(items->at[0]));

    ASSERT(items != NULL);
    items->count = old - count + more_count;
    if (at > 0) {
        memcpy(items->at, value->items->at, at * sizeof(items->at[0]));
    }
    if (more_count > 0) {
        memcpy(items->at + at, more, more_count * sizeof(items->at[0]));
    }
    if (after > 0) {
        memcpy(items->at + at + more_count, value->items->at + at + count,
               after * sizeof(items->at[0]));
    }
    value->items = items;
}

static int64_t
number_of(struct slice text)
{
    int64_t number = 0;
    bool is_number = reply_parse_int(text, &number);

    ASSERT(is_number);
    return number;
}

/* Where it belongs: names in order, of a sorted set by score first, others at the end. */
static uint32_t
place_of(const struct kv_model_value *value, const struct kv_model_item *item)
{
    uint32_t at = 0;

    if (value->type == KV_MODEL_LIST || value->type == KV_MODEL_STREAM) {
        return count_of(value);
    }
    for (; at < count_of(value); at++) {
        const struct kv_model_item *other = &value->items->at[at];
        int64_t order =
            value->type == KV_MODEL_ZSET ? number_of(other->value) - number_of(item->value) : 0;

        if (order > 0 || (order == 0 && slice_compare(other->name, item->name) > 0)) {
            break;
        }
    }
    return at;
}

static void
insert(struct kv_model_value *value, struct slice name, struct slice item_value)
{
    struct kv_model_item item = {copied(name), copied(item_value)};

    splice(value, place_of(value, &item), 0, &item, 1);
}

/* Nothing but a stream outlives its items. */
static void
settle(struct kv_model_value *value)
{
    if (count_of(value) == 0 && value->type != KV_MODEL_STREAM) {
        *value = (struct kv_model_value){.exists = false};
    }
}

/* ---- Commands ---- */

struct run {
    struct kv_model_value *value;
    const struct slice *argv;
    uint32_t argc;
    struct kv_model_reply *reply;
    bool has_changed;
};

/* HSET field value ..., SADD member ..., ZADD score member ... */
static void
run_put(struct run *run)
{
    uint8_t type = run->value->type;
    uint32_t step = type == KV_MODEL_SET ? 1 : 2;
    uint32_t added = 0;

    for (uint32_t i = 2; i < run->argc; i += step) {
        struct slice name = run->argv[type == KV_MODEL_ZSET ? i + 1 : i];
        struct slice value = type == KV_MODEL_SET    ? slice_of(NULL, 0)
                             : type == KV_MODEL_ZSET ? run->argv[i]
                                                     : run->argv[i + 1];
        uint32_t at = find(run->value, name);

        if (at != UINT32_MAX && type == KV_MODEL_SET) {
            continue;
        }
        /* The same score again changes nothing; the same value of a field is written. */
        if (at != UINT32_MAX && type == KV_MODEL_ZSET &&
            slice_equal(run->value->items->at[at].value, value)) {
            continue;
        }
        added += at == UINT32_MAX;
        if (at != UINT32_MAX) {
            splice(run->value, at, 1, NULL, 0);
        }
        insert(run->value, name, value);
        run->has_changed = true;
    }
    run->value->exists = true;
    say_number(run->reply, ':', added);
}

/* HDEL, SREM, ZREM, XDEL */
static void
run_remove(struct run *run)
{
    uint32_t removed = 0;

    for (uint32_t i = 2; i < run->argc; i++) {
        uint32_t at = find(run->value, run->argv[i]);

        if (at != UINT32_MAX) {
            splice(run->value, at, 1, NULL, 0);
            removed++;
        }
    }
    run->has_changed = removed > 0;
    say_number(run->reply, ':', removed);
}

static void
run_push(struct run *run)
{
    bool is_left = command_word_is(run->argv[0], "lpush");

    for (uint32_t i = 2; i < run->argc; i++) {
        struct kv_model_item item = {copied(run->argv[i]), slice_of(NULL, 0)};

        splice(run->value, is_left ? 0 : count_of(run->value), 0, &item, 1);
    }
    run->value->exists = true;
    run->has_changed = true;
    say_number(run->reply, ':', count_of(run->value));
}

static void
run_pop(struct run *run)
{
    uint32_t at = command_word_is(run->argv[0], "lpop") ? 0 : count_of(run->value) - 1;

    if (count_of(run->value) == 0) {
        say(run->reply, "$-1\r\n");
        return;
    }
    say_bulk(run->reply, run->value->items->at[at].name);
    splice(run->value, at, 1, NULL, 0);
    run->has_changed = true;
}

/* LTRIM key 0 last; XTRIM key MAXLEN = length */
static void
run_trim(struct run *run)
{
    bool is_list = run->value->type == KV_MODEL_LIST;
    uint32_t kept = (uint32_t)number_of(run->argv[run->argc - 1]) + is_list;
    uint32_t count = count_of(run->value);
    uint32_t removed = count > kept ? count - kept : 0;

    if (removed > 0) {
        splice(run->value, is_list ? kept : 0, removed, NULL, 0);
        run->has_changed = true;
    }
    if (is_list) {
        say(run->reply, "+OK\r\n");
    } else {
        say_number(run->reply, ':', removed);
    }
}

static void
run_xadd(struct run *run)
{
    insert(run->value, run->argv[2], run->argv[4]);
    run->value->exists = true;
    run->has_changed = true;
    say_bulk(run->reply, run->argv[2]);
}

static void
run_count(struct run *run)
{
    say_number(run->reply, ':', count_of(run->value));
}

static const struct {
    const char *name;
    void (*run)(struct run *run);
    uint8_t type;
} commands[] = {
    {"hset", run_put, KV_MODEL_HASH},      {"hdel", run_remove, KV_MODEL_HASH},
    {"hlen", run_count, KV_MODEL_HASH},    {"sadd", run_put, KV_MODEL_SET},
    {"srem", run_remove, KV_MODEL_SET},    {"scard", run_count, KV_MODEL_SET},
    {"zadd", run_put, KV_MODEL_ZSET},      {"zrem", run_remove, KV_MODEL_ZSET},
    {"zcard", run_count, KV_MODEL_ZSET},   {"lpush", run_push, KV_MODEL_LIST},
    {"rpush", run_push, KV_MODEL_LIST},    {"lpop", run_pop, KV_MODEL_LIST},
    {"rpop", run_pop, KV_MODEL_LIST},      {"ltrim", run_trim, KV_MODEL_LIST},
    {"llen", run_count, KV_MODEL_LIST},    {"xadd", run_xadd, KV_MODEL_STREAM},
    {"xdel", run_remove, KV_MODEL_STREAM}, {"xtrim", run_trim, KV_MODEL_STREAM},
    {"xlen", run_count, KV_MODEL_STREAM},
};

static uint32_t
command_index(struct slice name)
{
    for (uint32_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (command_word_is(name, commands[i].name)) {
            return i;
        }
    }
    return UINT32_MAX;
}

bool
kv_collection_knows(struct slice command)
{
    return command_index(command) != UINT32_MAX;
}

bool
kv_collection_run(struct kv_model_value *value, const struct slice *argv, uint32_t argc,
                  struct kv_model_reply *reply)
{
    uint32_t index = command_index(argv[0]);
    struct kv_model_value after = *value;
    struct run run = {.value = &after, .argv = argv, .argc = argc, .reply = reply};

    if (value->exists && value->type != commands[index].type) {
        say(reply, WRONG_TYPE);
        return false;
    }
    after.type = commands[index].type;
    commands[index].run(&run);
    if (run.has_changed) {
        settle(&after);
        *value = after;
    }
    return run.has_changed;
}

/* ---- A key as a whole ---- */

const char *
kv_collection_type_name(const struct kv_model_value *value)
{
    return value->exists ? type_names[value->type] : "none";
}

static void
describe_names(const struct kv_model_value *value, struct kv_model_reply *reply)
{
    say_number(reply, '*', NAMES);
    for (uint32_t i = 0; i < NAMES; i++) {
        uint32_t at = find(value, slice_from_text(names[i]));

        if (value->type == KV_MODEL_SET) {
            say_number(reply, ':', at != UINT32_MAX);
        } else if (at == UINT32_MAX) {
            say(reply, "$-1\r\n");
        } else {
            say_bulk(reply, value->items->at[at].value);
        }
    }
}

void
kv_collection_describe(const struct kv_model_value *value, struct kv_model_reply *reply)
{
    say(reply, "+");
    say(reply, kv_collection_type_name(value));
    say(reply, "\r\n");
    if (!value->exists) {
        return;
    }
    if (value->type == KV_MODEL_HASH || value->type == KV_MODEL_SET) {
        describe_names(value, reply);
        return;
    }
    say_number(reply, '*', value->type == KV_MODEL_ZSET ? 2 * count_of(value) : count_of(value));
    for (uint32_t i = 0; i < count_of(value); i++) {
        if (value->type == KV_MODEL_STREAM) {
            say(reply, "*2\r\n");
        }
        say_bulk(reply, value->items->at[i].name);
        if (value->type == KV_MODEL_STREAM) {
            say(reply, "*2\r\n$1\r\nf\r\n");
        }
        if (value->type != KV_MODEL_LIST) {
            say_bulk(reply, value->items->at[i].value);
        }
    }
}

static void
add_names(struct kv_words *words)
{
    for (uint32_t i = 0; i < NAMES; i++) {
        kv_words_add_text(words, names[i]);
    }
}

void
kv_collection_read(struct kv_words *words, struct slice name, const char *type_reply, size_t size)
{
    static const char *const commands_by_type[] = {NULL,         "HMGET",  "LRANGE",
                                                   "SMISMEMBER", "ZRANGE", "XRANGE"};

    words->argc = 0;
    for (uint32_t type = KV_MODEL_HASH; type <= KV_MODEL_STREAM; type++) {
        if (size != strlen(type_names[type]) + 3 ||
            memcmp(type_reply + 1, type_names[type], size - 3) != 0) {
            continue;
        }
        kv_words_add_text(words, commands_by_type[type]);
        kv_words_add(words, name);
        if (type == KV_MODEL_HASH || type == KV_MODEL_SET) {
            add_names(words);
        } else {
            kv_words_add_text(words, type == KV_MODEL_STREAM ? "-" : "0");
            kv_words_add_text(words, type == KV_MODEL_STREAM ? "+" : "-1");
        }
        if (type == KV_MODEL_ZSET) {
            kv_words_add_text(words, "WITHSCORES");
        }
    }
}

/* ---- Drawing ---- */

static uint64_t
below(uint64_t bound)
{
    return prng_below(shard_prng(), bound);
}

static struct slice
item_draw(struct kv_words *words, uint32_t which)
{
    return kv_words_value(words, words->value + which * ITEM_BYTES_MAX, ITEM_BYTES_MAX);
}

/* An id that no entry had; XDEL takes one of the last few. */
static void
add_id(struct kv_words *words, bool is_new)
{
    uint64_t id = words->ids[below(KV_WORDS_IDS)];

    if (is_new) {
        id = ++*words->next_value;
        words->ids[words->next_id++ % KV_WORDS_IDS] = id;
    }
    snprintf(words->numbers[0], KV_WORDS_NUMBER_BYTES, "%llu-0", (unsigned long long)id);
    kv_words_add_text(words, words->numbers[0]);
}

static void
draw_named(struct kv_words *words, uint8_t type, bool is_removal)
{
    uint32_t first = (uint32_t)below(NAMES);
    uint32_t count = 1 + (uint32_t)below(2);

    for (uint32_t i = 0; i < count; i++) {
        if (type == KV_MODEL_ZSET && !is_removal) {
            kv_words_add_number(words, i, (int64_t)below(20));
        }
        kv_words_add_text(words, names[(first + i) % NAMES]);
        if (type == KV_MODEL_HASH && !is_removal) {
            kv_words_add(words, item_draw(words, i));
        }
    }
}

static void
draw_list(struct kv_words *words, const char *command)
{
    if (strcmp(command, "LTRIM") == 0) {
        kv_words_add_text(words, "0");
        kv_words_add_number(words, 0, (int64_t)below(LONG_LIST_ITEMS));
    } else if (strcmp(command, "LPUSH") == 0 || strcmp(command, "RPUSH") == 0) {
        for (uint32_t i = 0, count = 1 + (uint32_t)below(4); i < count; i++) {
            kv_words_add(words, item_draw(words, i));
        }
    }
}

static void
draw_stream(struct kv_words *words, const char *command)
{
    if (strcmp(command, "XADD") == 0) {
        add_id(words, true);
        kv_words_add_text(words, "f");
        kv_words_add(words, item_draw(words, 0));
    } else if (strcmp(command, "XDEL") == 0) {
        add_id(words, false);
    } else if (strcmp(command, "XTRIM") == 0) {
        kv_words_add_text(words, "MAXLEN");
        kv_words_add_text(words, "=");
        kv_words_add_number(words, 0, (int64_t)below(10));
    }
}

/* What changes keys of any type, and keeps their number of types: a key is free again. */
static void
draw_whole(struct kv_words *words)
{
    static const char *const any[] = {"DEL", "DEL", "PERSIST", "TYPE", "RENAME", "COPY", "PEXPIRE"};
    const char *command = any[below(ARRAY_COUNT(any))];
    uint32_t first = (uint32_t)below(2);

    kv_words_add_text(words, command);
    kv_words_add(words, words->names[KV_MODEL_STRINGS + first]);
    if (strcmp(command, "RENAME") == 0 || strcmp(command, "COPY") == 0) {
        kv_words_add(words, words->names[KV_MODEL_STRINGS + 1 - first]);
    }
    if (strcmp(command, "COPY") == 0) {
        kv_words_add_text(words, "REPLACE");
    }
    if (strcmp(command, "PEXPIRE") == 0) {
        kv_words_add_number(words, 0, KV_WORDS_LONG_TTL_MS + (int64_t)below(1000));
    }
}

void
kv_collection_draw(struct kv_words *words)
{
    static const struct {
        const char *name;
        uint8_t type;
        bool is_removal;
    } kinds[] = {
        {"HSET", KV_MODEL_HASH, false},   {"HSET", KV_MODEL_HASH, false},
        {"HDEL", KV_MODEL_HASH, true},    {"HLEN", KV_MODEL_HASH, true},
        {"SADD", KV_MODEL_SET, false},    {"SREM", KV_MODEL_SET, true},
        {"ZADD", KV_MODEL_ZSET, false},   {"ZADD", KV_MODEL_ZSET, false},
        {"ZREM", KV_MODEL_ZSET, true},    {"RPUSH", KV_MODEL_LIST, false},
        {"LPUSH", KV_MODEL_LIST, false},  {"LPOP", KV_MODEL_LIST, true},
        {"LTRIM", KV_MODEL_LIST, true},   {"XADD", KV_MODEL_STREAM, false},
        {"XADD", KV_MODEL_STREAM, false}, {"XADD", KV_MODEL_STREAM, false},
        {"XDEL", KV_MODEL_STREAM, true},  {"XTRIM", KV_MODEL_STREAM, true},
        {"XLEN", KV_MODEL_STREAM, true},
    };
    uint32_t kind = (uint32_t)below(ARRAY_COUNT(kinds) + 2);

    words->argc = 0;
    if (kind >= ARRAY_COUNT(kinds)) {
        draw_whole(words);
        return;
    }
    kv_words_add_text(words, kinds[kind].name);
    kv_words_add(words, words->names[KV_MODEL_STRINGS + below(2)]);
    if (kinds[kind].type == KV_MODEL_LIST) {
        draw_list(words, kinds[kind].name);
    } else if (kinds[kind].type == KV_MODEL_STREAM) {
        draw_stream(words, kinds[kind].name);
    } else if (strcmp(kinds[kind].name, "HLEN") != 0) {
        draw_named(words, kinds[kind].type, kinds[kind].is_removal);
    }
}
