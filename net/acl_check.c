/* net/acl_check.c - may a user run a call: commands, keys by what is done to them, channels. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "models/kv/glob.h"
#include "net/acl_user.h"

#include "engine/base/poison.h"

enum { KEYS_AT_ONCE = 32 };

/* ---- Channels of a call ---- */

/* Which arguments name channels: [first, last], every one; last < 0 counts from the end. */
struct channel_rule {
    const char *command;
    int32_t first, last;
    bool are_patterns; /* Must be named literally by the rules. */
};

static const struct channel_rule channel_rules[] = {
    {"publish", 1, 1, false},     {"spublish", 1, 1, false},   {"subscribe", 1, -1, false},
    {"ssubscribe", 1, -1, false}, {"psubscribe", 1, -1, true},
};

static const struct channel_rule *
channel_rule_find(const struct command *command)
{
    if ((command->flags & CMD_PUBSUB) == 0) {
        return NULL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(channel_rules); i++) {
        if (strcmp(command->name, channel_rules[i].command) == 0) {
            return &channel_rules[i];
        }
    }
    return NULL;
}

static bool
channel_is_allowed(const struct acl_selector *selector, struct slice channel, bool is_pattern)
{
    struct acl_entry entry;

    for (size_t at = 0; acl_list_next(&selector->channels, &at, &entry);) {
        if (is_pattern ? slice_equal(entry.text, channel)
                       : kv_glob_match(entry.text, channel, false)) {
            return true;
        }
    }
    return false;
}

bool
acl_user_may_hear(const struct acl_user *user, struct slice channel, bool is_pattern)
{
    for (uint32_t i = 0; i < user->selector_count; i++) {
        if (user->selectors[i].has_all_channels ||
            channel_is_allowed(&user->selectors[i], channel, is_pattern)) {
            return true;
        }
    }
    return false;
}

/* ---- What a selector says ---- */

struct call {
    const struct command *command;
    const struct slice *argv;
    uint32_t argc;
    const struct command_key *keys;
    int32_t key_count;
};

static bool
command_is_allowed(const struct acl_selector *selector, const struct call *call)
{
    uint32_t id = command_id(call->command);
    struct acl_entry entry;

    if (selector->has_all_commands || (call->command->flags & CMD_NO_AUTH) != 0 ||
        (selector->commands[id / 64] & UINT64_C(1) << (id % 64)) != 0) {
        return true;
    }
    for (size_t at = 0; call->argc > 1 && acl_list_next(&selector->first_args, &at, &entry);) {
        if (entry.flags == id && entry.text.size == call->argv[1].size &&
            strncasecmp((const char *)entry.text.data, (const char *)call->argv[1].data,
                        entry.text.size) == 0) {
            return true;
        }
    }
    return false;
}

static bool
key_is_allowed(const struct acl_selector *selector, struct slice key, uint32_t key_flags)
{
    struct acl_entry entry;
    uint32_t wanted = 0;

    wanted |= (key_flags & KEY_ACCESS) != 0 ? ACL_READ : 0;
    wanted |= (key_flags & (KEY_INSERT | KEY_DELETE | KEY_UPDATE)) != 0 ? ACL_WRITE : 0;
    for (size_t at = 0; acl_list_next(&selector->keys, &at, &entry);) {
        if ((entry.flags & wanted) == wanted && kv_glob_match(entry.text, key, false)) {
            return true;
        }
    }
    return false;
}

static enum acl_result
selector_check(const struct acl_selector *selector, const struct call *call, uint32_t *index_out)
{
    const struct channel_rule *channels;

    *index_out = 0;
    if (!command_is_allowed(selector, call)) {
        return ACL_DENIED_COMMAND;
    }
    for (int32_t i = 0; !selector->has_all_keys && i < call->key_count; i++) {
        uint32_t flags =
            command_key_flags(call->command, call->keys[i].flags, call->argv, call->argc);

        *index_out = call->keys[i].index;
        if (!key_is_allowed(selector, call->argv[*index_out], flags)) {
            return ACL_DENIED_KEY;
        }
    }
    channels = selector->has_all_channels ? NULL : channel_rule_find(call->command);
    if (channels != NULL) {
        uint32_t last = channels->last < 0 ? call->argc - 1 : (uint32_t)channels->last;

        for (uint32_t i = (uint32_t)channels->first; i <= last && i < call->argc; i++) {
            *index_out = i;
            if (!channel_is_allowed(selector, call->argv[i], channels->are_patterns)) {
                return ACL_DENIED_CHANNEL;
            }
        }
    }
    return ACL_ALLOWED;
}

/* ---- The user ---- */

/* Of several selectors the refusal is told that came furthest in the call. */
static bool
selectors_check(const struct acl_user *user, const struct call *call, struct acl_denial *denial_out)
{
    enum acl_result worst = ACL_DENIED_COMMAND;
    uint32_t worst_index = 0;

    for (uint32_t i = 0; i < user->selector_count; i++) {
        uint32_t index;
        enum acl_result result = selector_check(&user->selectors[i], call, &index);

        if (result == ACL_ALLOWED) {
            return true;
        }
        if (result > worst || (result == worst && index > worst_index)) {
            worst = result;
            worst_index = index;
        }
    }
    denial_out->result = worst;
    denial_out->object = worst == ACL_DENIED_COMMAND
                             ? slice_from_text(command_full_name(call->command))
                             : call->argv[worst_index];
    return false;
}

/* ---- SORT reads keys that its patterns make ---- */

static bool
reads_all_keys(const struct acl_user *user)
{
    for (uint32_t i = 0; i < user->selector_count; i++) {
        struct acl_entry entry;

        if (user->selectors[i].has_all_keys) {
            return true;
        }
        for (size_t at = 0; acl_list_next(&user->selectors[i].keys, &at, &entry);) {
            if ((entry.flags & ACL_READ) != 0 && slice_equal(entry.text, SLICE("*"))) {
                return true;
            }
        }
    }
    return false;
}

/* The option that reads such keys; empty: none does. */
static struct slice
sort_option(const struct call *call)
{
    for (uint32_t i = 2; i + 1 < call->argc; i++) {
        struct slice value = call->argv[i + 1];
        bool is_by = command_word_is(call->argv[i], "BY");

        if (is_by && memchr(value.data, '*', value.size) != NULL) {
            return SLICE("BY");
        }
        if (command_word_is(call->argv[i], "GET") && !slice_equal(value, SLICE("#"))) {
            return SLICE("GET");
        }
        i += is_by || command_word_is(call->argv[i], "GET") ||
             command_word_is(call->argv[i], "STORE");
        i += command_word_is(call->argv[i], "LIMIT") ? 2 : 0;
    }
    return SLICE("");
}

static bool
sort_check(const struct acl_user *user, const struct call *call, struct acl_denial *denial_out)
{
    bool is_sort =
        strcmp(call->command->name, "sort") == 0 || strcmp(call->command->name, "sort_ro") == 0;

    if (!is_sort || reads_all_keys(user)) {
        return true;
    }
    denial_out->result = ACL_DENIED_OPTION;
    denial_out->object = sort_option(call);
    return denial_out->object.size == 0;
}

bool
acl_check(const struct acl_user *user, const struct command *command, const struct slice *argv,
          uint32_t argc, struct acl_denial *denial_out)
{
    struct command_key few[KEYS_AT_ONCE];
    struct command_key *keys = few;
    struct call call = {.command = command, .argv = argv, .argc = argc};
    bool is_allowed;

    if (user->is_unrestricted) {
        return true;
    }
    call.key_count = command_keys(command, argv, argc, few, KEYS_AT_ONCE);
    if (call.key_count > KEYS_AT_ONCE) {
        keys = mem_alloc(MEM_SESSIONS, (size_t)call.key_count * sizeof(*keys));
        command_keys(command, argv, argc, keys, (uint32_t)call.key_count);
    }
    call.keys = keys;
    is_allowed = selectors_check(user, &call, denial_out) && sort_check(user, &call, denial_out);
    if (keys != few) {
        mem_free(MEM_SESSIONS, keys, (size_t)call.key_count * sizeof(*keys));
    }
    return is_allowed;
}

void
acl_denial_text(const struct acl_denial *denial, const char *user_name, bool is_verbose,
                char out[ACL_TEXT_BYTES_MAX])
{
    int size = (int)MIN(denial->object.size, (size_t)256);
    const char *object = (const char *)denial->object.data;

    switch (denial->result) {
    case ACL_DENIED_COMMAND:
        snprintf(out, ACL_TEXT_BYTES_MAX,
                 "User %.128s has no permissions to run the '%.*s' command", user_name, size,
                 object);
        return;
    case ACL_DENIED_KEY:
    case ACL_DENIED_CHANNEL: {
        bool is_key = denial->result == ACL_DENIED_KEY;

        if (is_verbose) {
            snprintf(out, ACL_TEXT_BYTES_MAX,
                     "User %.128s has no permissions to access the '%.*s' %s", user_name, size,
                     object, is_key ? "key" : "channel");
        } else {
            snprintf(out, ACL_TEXT_BYTES_MAX, "No permissions to access a %s",
                     is_key ? "key" : "channel");
        }
        return;
    }
    case ACL_DENIED_OPTION:
        snprintf(out, ACL_TEXT_BYTES_MAX,
                 "%.*s option of SORT denied due to insufficient ACL permissions.", size, object);
        return;
    case ACL_ALLOWED:
        break;
    }
    UNREACHABLE();
}
