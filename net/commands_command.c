/* net/commands_command.c - COMMAND: the command table as clients ask for it. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "models/kv/glob.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

enum { COMMAND_INFO_FIELDS = 10 };

/* ---- Lists of names ---- */

typedef const char *(*bit_name_fn)(uint32_t bit_index);

/* The set bits by name, each with a prefix, as simple strings. */
static void
bits_put(struct reply *reply, uint32_t bits, bit_name_fn name_of, const char *prefix)
{
    reply_set(reply, (uint64_t)__builtin_popcount(bits));
    for (uint32_t i = 0; i < 32; i++) {
        if ((bits >> i & 1) != 0) {
            char text[48];
            const char *name = name_of(i);

            ASSERT(name != NULL);
            snprintf(text, sizeof(text), "%s%s", prefix, name);
            reply_simple(reply, text);
        }
    }
}

static void
text_put(struct reply *reply, const char *name, const char *text)
{
    reply_bulk_text(reply, name);
    reply_bulk_text(reply, text);
}

static void
number_put(struct reply *reply, const char *name, int64_t number)
{
    reply_bulk_text(reply, name);
    reply_int(reply, number);
}

/* ---- COMMAND INFO ---- */

/* First key, last key and step as they were told before there were key specifications: of the
 * ranges that follow each other without a gap. Zeros when there is none. */
struct legacy_range {
    int64_t first, last, step;
};

static struct legacy_range
legacy_range(const struct command *command)
{
    struct legacy_range range = {0, 0, 0};

    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        const struct command_key_spec *spec = &command->key_specs[i];
        int64_t last = spec->range_last;

        if (spec->begin != KEY_BEGIN_INDEX || spec->find != KEY_FIND_RANGE) {
            continue;
        }
        if (command->key_spec_count > 1 &&
            (spec->range_step != 1 || (range.first > 0 && range.last != spec->begin_index - 1))) {
            continue;
        }
        if (last >= 0) {
            last += spec->begin_index;
        }
        if (range.first == 0) {
            range = (struct legacy_range){spec->begin_index, last, spec->range_step};
        } else {
            range.last = range.last < 0 || last < 0 ? -1 : MAX(range.last, last);
        }
    }
    return range;
}

static void
begin_search_put(struct reply *reply, const struct command_key_spec *spec)
{
    reply_bulk_text(reply, "begin_search");
    reply_map(reply, 2);
    switch ((enum command_key_begin)spec->begin) {
    case KEY_BEGIN_INDEX:
        text_put(reply, "type", "index");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 1);
        number_put(reply, "index", spec->begin_index);
        return;
    case KEY_BEGIN_KEYWORD:
        text_put(reply, "type", "keyword");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 2);
        text_put(reply, "keyword", spec->begin_keyword);
        number_put(reply, "startfrom", spec->begin_start_from);
        return;
    case KEY_BEGIN_UNKNOWN:
        text_put(reply, "type", "unknown");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 0);
        return;
    }
    UNREACHABLE();
}

static void
find_keys_put(struct reply *reply, const struct command_key_spec *spec)
{
    reply_bulk_text(reply, "find_keys");
    reply_map(reply, 2);
    switch ((enum command_key_find)spec->find) {
    case KEY_FIND_RANGE:
        text_put(reply, "type", "range");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 3);
        number_put(reply, "lastkey", spec->range_last);
        number_put(reply, "keystep", spec->range_step);
        number_put(reply, "limit", spec->range_limit);
        return;
    case KEY_FIND_KEYNUM:
        text_put(reply, "type", "keynum");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 3);
        number_put(reply, "keynumidx", spec->keynum_index);
        number_put(reply, "firstkey", spec->keynum_first);
        number_put(reply, "keystep", spec->keynum_step);
        return;
    case KEY_FIND_UNKNOWN:
        text_put(reply, "type", "unknown");
        reply_bulk_text(reply, "spec");
        reply_map(reply, 0);
        return;
    }
    UNREACHABLE();
}

static void
key_specs_put(struct reply *reply, const struct command *command)
{
    reply_set(reply, command->key_spec_count);
    for (uint32_t i = 0; i < command->key_spec_count; i++) {
        const struct command_key_spec *spec = &command->key_specs[i];

        reply_map(reply, spec->notes != NULL ? 4 : 3);
        if (spec->notes != NULL) {
            text_put(reply, "notes", spec->notes);
        }
        reply_bulk_text(reply, "flags");
        bits_put(reply, spec->flags, command_key_flag_name, "");
        begin_search_put(reply, spec);
        find_keys_put(reply, spec);
    }
}

static void
tips_put(struct reply *reply, const struct command *command)
{
    reply_set(reply, command->tip_count);
    for (uint32_t i = 0; i < command->tip_count; i++) {
        reply_bulk_text(reply, command->tips[i]);
    }
}

static void
info_put(struct reply *reply, const struct command *command)
{
    struct legacy_range range;

    if (command == NULL) {
        reply_null_array(reply);
        return;
    }
    range = legacy_range(command);
    reply_array(reply, COMMAND_INFO_FIELDS);
    reply_bulk_text(reply, command_full_name(command));
    reply_int(reply, command->arity);
    /* Redis keeps this one to itself. */
    bits_put(reply, command->flags & ~(uint32_t)CMD_MAY_REPLICATE, command_flag_name, "");
    reply_int(reply, range.first);
    reply_int(reply, range.last);
    reply_int(reply, range.step);
    bits_put(reply, command->categories, command_category_name, "@");
    tips_put(reply, command);
    key_specs_put(reply, command);
    reply_array(reply, command->subcommand_count);
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        info_put(reply, &command->subcommands[i]);
    }
}

static void
info_put_all(struct reply *reply)
{
    reply_array(reply, command_count());
    for (uint32_t i = 0; i < command_count(); i++) {
        info_put(reply, command_at(i));
    }
}

static YIELDS void
run_command(struct session *session, struct kv_request *request)
{
    (void)session;
    info_put_all(request->reply);
}

static YIELDS void
run_info(struct session *session, struct kv_request *request)
{
    (void)session;
    if (request->argc == 2) {
        info_put_all(request->reply);
        return;
    }
    reply_array(request->reply, request->argc - 2);
    for (uint32_t i = 2; i < request->argc; i++) {
        info_put(request->reply, command_find(request->argv[i]));
    }
}

static YIELDS void
run_count(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_int(request->reply, command_count());
}

/* ---- COMMAND DOCS ---- */

static void args_put(struct reply *reply, const struct command_arg *args, uint8_t count);

static void
arg_flags_put(struct reply *reply, const struct command_arg *arg)
{
    reply_bulk_text(reply, "flags");
    reply_set(reply, (uint64_t)arg->is_optional + arg->is_multiple + arg->is_multiple_token);
    if (arg->is_optional) {
        reply_simple(reply, "optional");
    }
    if (arg->is_multiple) {
        reply_simple(reply, "multiple");
    }
    if (arg->is_multiple_token) {
        reply_simple(reply, "multiple_token");
    }
}

static void
arg_put(struct reply *reply, const struct command_arg *arg)
{
    bool has_flags = arg->is_optional || arg->is_multiple || arg->is_multiple_token;

    reply_map(reply, 2 + (uint64_t)(arg->display != NULL) + (arg->key_spec >= 0) +
                         (arg->token != NULL) + (arg->since != NULL) +
                         (arg->deprecated_since != NULL) + has_flags + (arg->arg_count > 0));
    text_put(reply, "name", arg->name);
    text_put(reply, "type", arg->type);
    if (arg->display != NULL) {
        text_put(reply, "display_text", arg->display);
    }
    if (arg->key_spec >= 0) {
        number_put(reply, "key_spec_index", arg->key_spec);
    }
    if (arg->token != NULL) {
        text_put(reply, "token", arg->token);
    }
    if (arg->since != NULL) {
        text_put(reply, "since", arg->since);
    }
    if (arg->deprecated_since != NULL) {
        text_put(reply, "deprecated_since", arg->deprecated_since);
    }
    if (has_flags) {
        arg_flags_put(reply, arg);
    }
    if (arg->arg_count > 0) {
        reply_bulk_text(reply, "arguments");
        args_put(reply, arg->args, arg->arg_count);
    }
}

static void
args_put(struct reply *reply, const struct command_arg *args, uint8_t count)
{
    reply_array(reply, count);
    for (uint32_t i = 0; i < count; i++) {
        arg_put(reply, &args[i]);
    }
}

static void
history_put(struct reply *reply, const struct command *command)
{
    reply_bulk_text(reply, "history");
    reply_set(reply, command->history_count);
    for (uint32_t i = 0; i < command->history_count; i++) {
        reply_array(reply, 2);
        reply_bulk_text(reply, command->history[i].since);
        reply_bulk_text(reply, command->history[i].change);
    }
}

static void
docs_put(struct reply *reply, const struct command *command)
{
    bool is_deprecated = command->deprecated_since != NULL;

    reply_bulk_text(reply, command_full_name(command));
    reply_map(reply, 3 + (uint64_t)(command->complexity != NULL) + 2 * (uint64_t)is_deprecated +
                         (command->replaced_by != NULL) + (command->history_count > 0) +
                         (command->arg_count > 0) + (command->subcommand_count > 0));
    text_put(reply, "summary", command->summary);
    text_put(reply, "since", command->since);
    text_put(reply, "group", command->group);
    if (command->complexity != NULL) {
        text_put(reply, "complexity", command->complexity);
    }
    if (is_deprecated) {
        reply_bulk_text(reply, "doc_flags");
        reply_set(reply, 1);
        reply_simple(reply, "deprecated");
        text_put(reply, "deprecated_since", command->deprecated_since);
    }
    if (command->replaced_by != NULL) {
        text_put(reply, "replaced_by", command->replaced_by);
    }
    if (command->history_count > 0) {
        history_put(reply, command);
    }
    if (command->arg_count > 0) {
        reply_bulk_text(reply, "arguments");
        args_put(reply, command->args, command->arg_count);
    }
    if (command->subcommand_count > 0) {
        reply_bulk_text(reply, "subcommands");
        reply_map(reply, command->subcommand_count);
        for (uint32_t i = 0; i < command->subcommand_count; i++) {
            docs_put(reply, &command->subcommands[i]);
        }
    }
}

/* Names that are no commands are left out. */
static YIELDS void
run_docs(struct session *session, struct kv_request *request)
{
    uint64_t found = 0;

    (void)session;
    if (request->argc == 2) {
        reply_map(request->reply, command_count());
        for (uint32_t i = 0; i < command_count(); i++) {
            docs_put(request->reply, command_at(i));
        }
        return;
    }
    for (uint32_t i = 2; i < request->argc; i++) {
        found += command_find(request->argv[i]) != NULL;
    }
    reply_map(request->reply, found);
    for (uint32_t i = 2; i < request->argc; i++) {
        const struct command *command = command_find(request->argv[i]);

        if (command != NULL) {
            docs_put(request->reply, command);
        }
    }
}

/* ---- COMMAND LIST ---- */

enum list_filter { LIST_ALL, LIST_MODULE, LIST_CATEGORY, LIST_PATTERN };

static uint32_t
category_find(struct slice name)
{
    for (uint32_t i = 0; command_category_name(i) != NULL; i++) {
        if (command_word_is(name, command_category_name(i))) {
            return 1u << i;
        }
    }
    return 0;
}

static bool
is_listed(const struct command *command, enum list_filter filter, struct slice value)
{
    switch (filter) {
    case LIST_ALL:
        return true;
    case LIST_MODULE: /* There are no modules. */
        return false;
    case LIST_CATEGORY:
        return (command->categories & category_find(value)) != 0;
    case LIST_PATTERN:
        return kv_glob_match(value, slice_from_text(command_full_name(command)), true);
    }
    UNREACHABLE();
}

static YIELDS void
run_list(struct session *session, struct kv_request *request)
{
    enum list_filter filter = LIST_ALL;
    struct slice value = slice_of(NULL, 0);
    bool *listed = arena_alloc(request->arena, command_ids() * sizeof(*listed));
    uint64_t count = 0;

    (void)session;
    if (request->argc == 5 && command_word_is(request->argv[2], "FILTERBY")) {
        value = request->argv[4];
        filter = command_word_is(request->argv[3], "MODULE")    ? LIST_MODULE
                 : command_word_is(request->argv[3], "ACLCAT")  ? LIST_CATEGORY
                 : command_word_is(request->argv[3], "PATTERN") ? LIST_PATTERN
                                                                : LIST_ALL;
    }
    if (request->argc > 2 && filter == LIST_ALL) {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    for (uint32_t id = 0; id < command_ids(); id++) {
        listed[id] = is_listed(command_by_id(id), filter, value);
        count += listed[id];
    }
    reply_set(request->reply, count);
    for (uint32_t id = 0; id < command_ids(); id++) {
        if (listed[id]) {
            reply_bulk_text(request->reply, command_full_name(command_by_id(id)));
        }
    }
}

/* ---- COMMAND GETKEYS, GETKEYSANDFLAGS ---- */

/* Keys of the call that begins at argument 2; NULL after a reply. */
static struct command_key *
keys_get(struct kv_request *request, int32_t *count_out)
{
    const struct slice *argv = request->argv + 2;
    uint32_t argc = request->argc - 2;
    const struct command *command = command_resolve(argv, argc);
    struct command_key *keys = arena_alloc(request->arena, argc * sizeof(*keys));
    int32_t count;

    if (command == NULL) {
        reply_error(request->reply, "ERR Invalid command specified");
        return NULL;
    }
    if (command->key_spec_count == 0) {
        reply_error(request->reply, "ERR The command has no key arguments");
        return NULL;
    }
    if (!command_arity_fits(command, argc)) {
        reply_error(request->reply, "ERR Invalid number of arguments specified for command");
        return NULL;
    }
    count = keys != NULL ? command_keys(command, argv, argc, keys, argc) : -1;
    if (count < 0 || count > (int32_t)argc ||
        (count == 0 && (command->flags & CMD_NO_MANDATORY_KEYS) == 0)) {
        reply_error(request->reply, "ERR Invalid arguments specified for command");
        return NULL;
    }
    for (int32_t i = 0; i < count; i++) {
        keys[i].flags = command_key_flags(command, keys[i].flags, argv, argc);
    }
    *count_out = count;
    return keys;
}

static YIELDS void
run_getkeys(struct session *session, struct kv_request *request)
{
    int32_t count = 0;
    const struct command_key *keys = keys_get(request, &count);

    (void)session;
    if (keys == NULL) {
        return;
    }
    reply_array(request->reply, (uint64_t)count);
    for (int32_t i = 0; i < count; i++) {
        reply_bulk(request->reply, request->argv[2 + keys[i].index]);
    }
}

static YIELDS void
run_getkeysandflags(struct session *session, struct kv_request *request)
{
    int32_t count = 0;
    const struct command_key *keys = keys_get(request, &count);

    (void)session;
    if (keys == NULL) {
        return;
    }
    reply_array(request->reply, (uint64_t)count);
    for (int32_t i = 0; i < count; i++) {
        reply_array(request->reply, 2);
        reply_bulk(request->reply, request->argv[2 + keys[i].index]);
        bits_put(request->reply, keys[i].flags, command_key_flag_name, "");
    }
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_command[] = {
    {"command", run_command},
    {"command|info", run_info},
    {"command|count", run_count},
    {"command|docs", run_docs},
    {"command|list", run_list},
    {"command|getkeys", run_getkeys},
    {"command|getkeysandflags", run_getkeysandflags},
    {"command|help", run_help},
    {NULL, NULL},
};
