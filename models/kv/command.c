/* models/kv/command.c - finding commands, and the keys of their calls.
 *
 * The lookup tables are built once before any shard starts and only read afterwards. Names are
 * found by FNV-1a over the lower-cased bytes in an open-addressing table that is at most a
 * quarter full. */
#include "models/kv/command.h"

#include <stdio.h>
#include <stdlib.h>

#include "engine/base/assert.h"
#include "engine/base/mem.h"
#include "models/kv/command_table.h"
#include "models/kv/reply.h"

#include "engine/base/poison.h"

enum {
    COMMANDS_MAX = 512, /* Subcommands included. */
    COMMAND_BUCKETS = 2048,
    COMMAND_NAME_BYTES_MAX = 48,
};

/* Copies of the constant tables: top-level commands sorted by name, then the subcommands of each
 * container side by side. A command's id is its place here. */
static struct command table[COMMANDS_MAX];
static const struct command *parents[COMMANDS_MAX];
static char full_names[COMMANDS_MAX][COMMAND_NAME_BYTES_MAX];
static uint32_t table_count;
static uint32_t top_count;
static uint16_t buckets[COMMAND_BUCKETS]; /* Id + 1; 0: empty. */

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

static uint32_t
name_hash(struct slice name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.size; i++) {
        hash = (hash ^ lower(name.data[i])) * 16777619u;
    }
    return hash;
}

static bool
name_equal(struct slice name, const char *lower_case)
{
    for (size_t i = 0; i < name.size; i++) {
        if (lower_case[i] == '\0' || lower(name.data[i]) != (uint8_t)lower_case[i]) {
            return false;
        }
    }
    return lower_case[name.size] == '\0';
}

/* ---- Building ---- */

static void
table_add(const struct command *commands, uint32_t count, const struct command *parent)
{
    ASSERT(table_count + count <= COMMANDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t id = table_count++;
        int size = snprintf(full_names[id], sizeof(full_names[id]), "%s%s%s",
                            parent != NULL ? parent->name : "", parent != NULL ? "|" : "",
                            commands[i].name);

        ASSERT(size < (int)sizeof(full_names[id]));
        table[id] = commands[i];
        parents[id] = parent;
    }
}

static int
command_compare(const void *a, const void *b)
{
    const struct command *left = a;
    const struct command *right = b;

    return strcmp(left->name, right->name);
}

static void
bucket_fill(uint32_t id)
{
    uint32_t at = name_hash(slice_from_text(full_names[id])) % COMMAND_BUCKETS;

    while (buckets[at] != 0) {
        at = (at + 1) % COMMAND_BUCKETS;
    }
    buckets[at] = (uint16_t)(id + 1);
}

void
command_table_init(void)
{
    if (table_count > 0) {
        return;
    }
#define COMMAND_TABLE_ADD(name) table_add(command_table_##name, command_table_##name##_count, NULL);
    COMMAND_TABLES(COMMAND_TABLE_ADD)
#undef COMMAND_TABLE_ADD
    qsort(table, table_count, sizeof(table[0]), command_compare);
    top_count = table_count;
    for (uint32_t i = 0; i < top_count; i++) {
        const struct command *subcommands = &table[table_count];

        snprintf(full_names[i], sizeof(full_names[i]), "%s", table[i].name);
        table_add(table[i].subcommands, table[i].subcommand_count, &table[i]);
        table[i].subcommands = subcommands;
    }
    for (uint32_t id = 0; id < table_count; id++) {
        bucket_fill(id);
    }
}

/* ---- Finding ---- */

uint32_t
command_count(void)
{
    return top_count;
}

const struct command *
command_at(uint32_t index)
{
    ASSERT(index < top_count);
    return &table[index];
}

uint32_t
command_ids(void)
{
    return table_count;
}

const struct command *
command_by_id(uint32_t id)
{
    ASSERT(id < table_count);
    return &table[id];
}

uint32_t
command_id(const struct command *command)
{
    ASSERT(command >= table);
    ASSERT(command < table + table_count);
    return (uint32_t)(command - table);
}

const struct command *
command_parent(const struct command *command)
{
    return parents[command_id(command)];
}

const char *
command_full_name(const struct command *command)
{
    return full_names[command_id(command)];
}

const struct command *
command_find(struct slice name)
{
    uint32_t at;

    if (name.size == 0 || name.size >= COMMAND_NAME_BYTES_MAX) {
        return NULL;
    }
    for (at = name_hash(name) % COMMAND_BUCKETS; buckets[at] != 0;
         at = (at + 1) % COMMAND_BUCKETS) {
        if (name_equal(name, full_names[buckets[at] - 1])) {
            return &table[buckets[at] - 1];
        }
    }
    return NULL;
}

const struct command *
command_resolve(const struct slice *argv, uint32_t argc)
{
    const struct command *command;

    ASSERT(argc > 0);
    /* "get|set" as a first word names nothing: '|' only stands in full names. */
    if (memchr(argv[0].data, '|', argv[0].size) != NULL) {
        return NULL;
    }
    command = command_find(argv[0]);
    if (command == NULL || command->subcommand_count == 0 || argc == 1) {
        return command;
    }
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        if (name_equal(argv[1], command->subcommands[i].name)) {
            return &command->subcommands[i];
        }
    }
    return NULL;
}

bool
command_arity_fits(const struct command *command, uint32_t argc)
{
    return command->arity >= 0 ? argc == (uint32_t)command->arity
                               : argc >= (uint32_t)-command->arity;
}

/* ---- Keys ---- */

struct key_list {
    struct command_key *keys;
    uint32_t max;
    uint32_t count;
};

static void
key_add(struct key_list *list, uint32_t index, uint32_t flags)
{
    if (list->count < list->max) {
        list->keys[list->count] = (struct command_key){index, flags};
    }
    list->count++;
}

bool
command_word_is(struct slice word, const char *text)
{
    struct slice other = slice_from_text(text);

    if (word.size != other.size) {
        return false;
    }
    for (size_t i = 0; i < word.size; i++) {
        if (lower(word.data[i]) != lower(other.data[i])) {
            return false;
        }
    }
    return true;
}

/* Index of the first argument of the spec's part, or 0 when the keyword does not occur. */
static int64_t
spec_begin(const struct command_key_spec *spec, const struct slice *argv, uint32_t argc)
{
    bool backward = spec->begin_start_from < 0;
    int64_t at = backward ? (int64_t)argc + spec->begin_start_from : spec->begin_start_from;

    if (spec->begin == KEY_BEGIN_INDEX) {
        return spec->begin_index;
    }
    for (; at > 0 && at < (int64_t)argc; at += backward ? -1 : 1) {
        if (command_word_is(argv[at], spec->begin_keyword)) {
            return at + 1;
        }
    }
    return 0;
}

static bool
spec_range(const struct command_key_spec *spec, int64_t first, uint32_t argc, struct key_list *list)
{
    int64_t last = spec->range_last >= 0 ? first + spec->range_last : argc + spec->range_last;

    if (spec->range_last < 0 && spec->range_limit > 1) {
        last = first + ((int64_t)argc - first) / spec->range_limit + spec->range_last;
    }
    if (last >= (int64_t)argc || spec->range_step < 1) {
        return false;
    }
    for (int64_t at = first; at <= last; at += spec->range_step) {
        key_add(list, (uint32_t)at, spec->flags);
    }
    return true;
}

static bool
spec_keynum(const struct command_key_spec *spec, int64_t first, const struct slice *argv,
            uint32_t argc, struct key_list *list)
{
    int64_t count_at = first + spec->keynum_index;
    int64_t at = first + spec->keynum_first;
    int64_t count;

    if (count_at >= (int64_t)argc || !reply_parse_int(argv[count_at], &count) || count < 0 ||
        spec->keynum_step < 1 || count > ((int64_t)argc - at) / spec->keynum_step) {
        return false;
    }
    for (; count > 0; count--, at += spec->keynum_step) {
        key_add(list, (uint32_t)at, spec->flags);
    }
    return true;
}

/* SORT's STORE and what else a spec calls unknown: the word before the key says it. The last one
 * counts. */
static void
spec_unknown(const struct command_key_spec *spec, const struct slice *argv, uint32_t argc,
             struct key_list *list)
{
    uint32_t found = 0;

    for (uint32_t i = 2; i + 1 < argc && (spec->flags & KEY_OW) != 0; i++) {
        if (command_word_is(argv[i], "store")) {
            found = ++i;
        }
    }
    if (found > 0) {
        key_add(list, found, spec->flags);
    }
}

int32_t
command_keys(const struct command *command, const struct slice *argv, uint32_t argc,
             struct command_key *keys_out, uint32_t max)
{
    struct key_list list = {keys_out, max, 0};

    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        const struct command_key_spec *spec = &command->key_specs[i];
        int64_t first;

        if ((spec->flags & KEY_NOT_KEY) != 0) {
            continue;
        }
        if (spec->begin == KEY_BEGIN_UNKNOWN || spec->find == KEY_FIND_UNKNOWN) {
            spec_unknown(spec, argv, argc, &list);
            continue;
        }
        first = spec_begin(spec, argv, argc);
        if (first == 0 && spec->begin == KEY_BEGIN_KEYWORD) {
            continue;
        }
        if (first <= 0 || first >= (int64_t)argc ||
            !(spec->find == KEY_FIND_RANGE ? spec_range(spec, first, argc, &list)
                                           : spec_keynum(spec, first, argv, argc, &list))) {
            return -1;
        }
    }
    return (int32_t)list.count;
}

static bool
has_word(const struct slice *argv, uint32_t argc, uint32_t first, const char *text)
{
    for (uint32_t i = first; i < argc; i++) {
        if (command_word_is(argv[i], text)) {
            return true;
        }
    }
    return false;
}

/* SET with GET also reads, and BITFIELD may only read. */
uint32_t
command_key_flags(const struct command *command, uint32_t flags, const struct slice *argv,
                  uint32_t argc)
{
    if ((flags & KEY_VARIABLE_FLAGS) == 0) {
        return flags;
    }
    if (strcmp(command->name, "set") == 0) {
        return has_word(argv, argc, 3, "GET") ? KEY_RW | KEY_ACCESS | KEY_UPDATE
                                              : KEY_OW | KEY_UPDATE;
    }
    ASSERT(strcmp(command->name, "bitfield") == 0);
    return has_word(argv, argc, 2, "SET") || has_word(argv, argc, 2, "INCRBY")
               ? KEY_RW | KEY_ACCESS | KEY_UPDATE
               : KEY_RO | KEY_ACCESS;
}

/* ---- Names of bits ---- */

static const char *
bit_name(const char *const *names, size_t count, uint32_t bit_index)
{
    return bit_index < count ? names[bit_index] : NULL;
}

const char *
command_flag_name(uint32_t bit_index)
{
    static const char *const names[] = {
        "write",      "readonly",         "denyoom",       "admin",
        "pubsub",     "noscript",         "blocking",      "loading",
        "stale",      "skip_monitor",     "skip_slowlog",  "asking",
        "fast",       "no_auth",          "may_replicate", "movablekeys",
        "allow_busy", "no_async_loading", "no_multi",      "no_mandatory_keys",
    };

    return bit_name(names, ARRAY_COUNT(names), bit_index);
}

const char *
command_category_name(uint32_t bit_index)
{
    static const char *const names[] = {
        "keyspace", "read",   "write",       "set",       "sortedset",  "list",        "hash",
        "string",   "bitmap", "hyperloglog", "geo",       "stream",     "pubsub",      "admin",
        "fast",     "slow",   "blocking",    "dangerous", "connection", "transaction", "scripting",
    };

    return bit_name(names, ARRAY_COUNT(names), bit_index);
}

const char *
command_key_flag_name(uint32_t bit_index)
{
    static const char *const names[] = {
        "RO",     "RW",     "OW",      "RM",         "access",         "update",
        "insert", "delete", "not_key", "incomplete", "variable_flags",
    };

    return bit_name(names, ARRAY_COUNT(names), bit_index);
}
