/* net/acl_user.c - the words of ACL SETUSER. */
#include "net/acl_user.h"

#include <ctype.h>

#include "engine/base/assert.h"

#include "engine/base/poison.h"

enum { ENTRY_FIXED_BYTES = 8, HEX_BYTES = 2 * SHA256_BYTES };

static const char syntax_error[] = "Syntax error";
static const char unknown_error[] = "Unknown command or category name in ACL";

/* ---- Lists ---- */

bool
acl_list_next(const struct buf *list, size_t *at, struct acl_entry *entry_out)
{
    if (*at == list->size) {
        return false;
    }
    entry_out->flags = get_le32(list->data + *at);
    entry_out->text =
        slice_of(list->data + *at + ENTRY_FIXED_BYTES, get_le32(list->data + *at + 4));
    *at += ENTRY_FIXED_BYTES + entry_out->text.size;
    return true;
}

static void
list_add(struct buf *list, uint32_t flags, struct slice text)
{
    uint8_t fixed[ENTRY_FIXED_BYTES];

    put_le32(fixed, flags);
    put_le32(fixed + 4, (uint32_t)text.size);
    buf_append(list, fixed, sizeof(fixed));
    buf_append(list, text.data, text.size);
}

/* The flags of the entry with the text, to be changed; NULL: none has it. */
static uint8_t *
list_find(struct buf *list, struct slice text)
{
    struct acl_entry entry;

    for (size_t at = 0, start = 0; acl_list_next(list, &at, &entry); start = at) {
        if (slice_equal(entry.text, text)) {
            return list->data + start;
        }
    }
    return NULL;
}

/* Removes the entries with these flags, which are a command's id. */
static void
list_remove_flags(struct buf *list, uint32_t flags)
{
    struct acl_entry entry;
    size_t kept = 0;

    for (size_t at = 0, start = 0; acl_list_next(list, &at, &entry); start = at) {
        if (entry.flags != flags) {
            memmove(list->data + kept, list->data + start, at - start);
            kept += at - start;
        }
    }
    list->size = kept;
}

static void
buf_replace(struct buf *to, const struct buf *from)
{
    buf_clear(to);
    buf_append(to, from->data, from->size);
}

/* ---- Selectors ---- */

static void
selector_init(struct acl_selector *selector, bool all_channels)
{
    *selector = (struct acl_selector){.has_all_channels = all_channels};
    buf_init(&selector->keys, MEM_SESSIONS);
    buf_init(&selector->channels, MEM_SESSIONS);
    buf_init(&selector->first_args, MEM_SESSIONS);
    buf_init(&selector->rules, MEM_SESSIONS);
}

static void
selector_fini(struct acl_selector *selector)
{
    buf_fini(&selector->keys);
    buf_fini(&selector->channels);
    buf_fini(&selector->first_args);
    buf_fini(&selector->rules);
}

static void
selector_copy(struct acl_selector *to, const struct acl_selector *from)
{
    struct acl_selector kept = *to;

    buf_replace(&kept.keys, &from->keys);
    buf_replace(&kept.channels, &from->channels);
    buf_replace(&kept.first_args, &from->first_args);
    buf_replace(&kept.rules, &from->rules);
    *to = *from;
    to->keys = kept.keys;
    to->channels = kept.channels;
    to->first_args = kept.first_args;
    to->rules = kept.rules;
}

static void
selector_all_commands(struct acl_selector *selector, bool is_allowed)
{
    memset(selector->commands, is_allowed ? 0xff : 0, sizeof(selector->commands));
    selector->has_all_commands = is_allowed;
    selector->has_future = is_allowed;
    buf_clear(&selector->first_args);
    buf_clear(&selector->rules);
}

static void
command_bit_set(struct acl_selector *selector, const struct command *command, bool is_allowed)
{
    uint32_t id = command_id(command);
    uint64_t bit = UINT64_C(1) << (id % 64);

    ASSERT(id < ACL_COMMAND_WORDS * 64);
    if (is_allowed) {
        selector->commands[id / 64] |= bit;
    } else {
        selector->commands[id / 64] &= ~bit;
        selector->has_all_commands = false;
    }
    list_remove_flags(&selector->first_args, id);
}

static void
command_set(struct acl_selector *selector, const struct command *command, bool is_allowed)
{
    command_bit_set(selector, command, is_allowed);
    for (uint32_t i = 0; i < command->subcommand_count; i++) {
        command_bit_set(selector, &command->subcommands[i], is_allowed);
    }
}

static bool
category_find(struct slice name, uint32_t *category_out)
{
    for (uint32_t bit = 0; command_category_name(bit) != NULL; bit++) {
        if (command_word_is(name, command_category_name(bit))) {
            *category_out = UINT32_C(1) << bit;
            return true;
        }
    }
    return false;
}

static void
category_set(struct acl_selector *selector, uint32_t category, bool is_allowed)
{
    for (uint32_t id = 0; id < command_ids(); id++) {
        const struct command *command = command_by_id(id);

        if ((command->categories & category) != 0) {
            command_bit_set(selector, command, is_allowed);
        }
    }
}

/* ---- The text of command rules: a later rule takes the place of those it makes void ---- */

static bool
rule_is_void(struct slice existing, struct slice rule)
{
    if (existing.size < rule.size) {
        return false;
    }
    for (size_t i = 0; i < rule.size; i++) {
        if (tolower(existing.data[i]) != tolower(rule.data[i])) {
            return false;
        }
    }
    return existing.size == rule.size || existing.data[rule.size] == '|';
}

static void
rule_note(struct acl_selector *selector, struct slice rule, bool is_allowed)
{
    struct buf *rules = &selector->rules;
    struct buf kept;

    buf_init(&kept, MEM_SESSIONS);
    for (size_t at = 0; at < rules->size;) {
        const uint8_t *space = memchr(rules->data + at, ' ', rules->size - at);
        size_t end = space != NULL ? (size_t)(space - rules->data) : rules->size;

        if (!rule_is_void(slice_of(rules->data + at + 1, end - at - 1), rule)) {
            buf_append(&kept, kept.size > 0 ? " " : "", kept.size > 0);
            buf_append(&kept, rules->data + at, end - at);
        }
        at = end + 1;
    }
    buf_append(&kept, " ", kept.size > 0);
    buf_append_byte(&kept, is_allowed ? '+' : '-');
    for (size_t i = 0; i < rule.size; i++) {
        buf_append_byte(&kept, (uint8_t)tolower(rule.data[i]));
    }
    buf_fini(rules);
    *rules = kept;
}

/* ---- One word ---- */

static const char *
apply_category(struct acl_selector *selector, struct slice name, bool is_allowed)
{
    char text[64];
    uint32_t category;

    if (command_word_is(name, "all")) {
        selector_all_commands(selector, is_allowed);
        return NULL;
    }
    if (name.size + 2 > sizeof(text) || !category_find(name, &category)) {
        return unknown_error;
    }
    text[0] = '@';
    memcpy(text + 1, name.data, name.size);
    category_set(selector, category, is_allowed);
    rule_note(selector, slice_of(text, name.size + 1), is_allowed);
    return NULL;
}

/* +command|word: of a command without subcommands, its first argument. */
static const char *
apply_first_arg(struct acl_selector *selector, const struct command *command, struct slice rule,
                struct slice word)
{
    uint32_t id = command_id(command);

    if (command_parent(command) != NULL) {
        return "Allowing first-arg of a subcommand is not supported";
    }
    if (word.size == 0) {
        return syntax_error;
    }
    if ((selector->commands[id / 64] & UINT64_C(1) << (id % 64)) == 0) {
        list_add(&selector->first_args, id, word);
    }
    rule_note(selector, rule, true);
    return NULL;
}

static const char *
apply_command(struct acl_selector *selector, struct slice rule, bool is_allowed)
{
    const uint8_t *bar = memrchr(rule.data, '|', rule.size);
    const struct command *command = command_find(rule);

    if (command != NULL) {
        command_set(selector, command, is_allowed);
        rule_note(selector, rule, is_allowed);
        return NULL;
    }
    if (bar == NULL) {
        return unknown_error;
    }
    command = command_find(slice_of(rule.data, (size_t)(bar - rule.data)));
    if (command == NULL || command->subcommand_count > 0 || !is_allowed) {
        return unknown_error;
    }
    return apply_first_arg(selector, command, rule,
                           slice_of(bar + 1, (size_t)(rule.data + rule.size - (bar + 1))));
}

static bool
pattern_is_fine(struct slice pattern)
{
    for (size_t i = 0; i < pattern.size; i++) {
        if (isspace(pattern.data[i]) || pattern.data[i] == '\0') {
            return false;
        }
    }
    return pattern.size <= ACL_PATTERN_BYTES_MAX;
}

static const char *
apply_key(struct acl_selector *selector, struct slice word)
{
    uint32_t flags = ACL_READ | ACL_WRITE;
    uint8_t *known;
    size_t at = 1;

    if (selector->has_all_keys) {
        return "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does "
               "not have any effect. Try 'resetkeys' to start with an empty list of patterns";
    }
    if (word.data[0] == '%') {
        flags = 0;
        for (; at < word.size && word.data[at] != '~'; at++) {
            uint32_t flag = toupper(word.data[at]) == 'R'   ? ACL_READ
                            : toupper(word.data[at]) == 'W' ? ACL_WRITE
                                                            : 0;

            if (flag == 0 || (flags & flag) != 0) {
                return syntax_error;
            }
            flags |= flag;
        }
        if (flags == 0) {
            return syntax_error;
        }
        at += at < word.size; /* Without a pattern it is the empty one, as in Redis. */
    }
    word = slice_of(word.data + at, word.size - at);
    if (!pattern_is_fine(word)) {
        return syntax_error;
    }
    if (flags == (ACL_READ | ACL_WRITE) && slice_equal(word, SLICE("*"))) {
        selector->has_all_keys = true;
        buf_clear(&selector->keys);
        return NULL;
    }
    known = list_find(&selector->keys, word);
    if (known != NULL) {
        put_le32(known, get_le32(known) | flags);
    } else {
        list_add(&selector->keys, flags, word);
    }
    return NULL;
}

static const char *
apply_channel(struct acl_selector *selector, struct slice pattern)
{
    if (selector->has_all_channels) {
        return "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and "
               "does not have any effect. Try 'resetchannels' to start with an empty list of "
               "channels";
    }
    if (!pattern_is_fine(pattern)) {
        return syntax_error;
    }
    if (slice_equal(pattern, SLICE("*"))) {
        selector->has_all_channels = true;
        buf_clear(&selector->channels);
    } else if (list_find(&selector->channels, pattern) == NULL) {
        list_add(&selector->channels, 0, pattern);
    }
    return NULL;
}

static const char *
selector_apply(struct acl_selector *selector, struct slice word)
{
    struct slice rest = slice_of(word.data + 1, word.size - 1);

    if (command_word_is(word, "allkeys")) {
        return apply_key(selector, SLICE("~*"));
    }
    if (command_word_is(word, "resetkeys")) {
        selector->has_all_keys = false;
        buf_clear(&selector->keys);
        return NULL;
    }
    if (command_word_is(word, "allchannels")) {
        selector->has_all_channels = true;
        buf_clear(&selector->channels);
        return NULL;
    }
    if (command_word_is(word, "resetchannels")) {
        selector->has_all_channels = false;
        buf_clear(&selector->channels);
        return NULL;
    }
    if (command_word_is(word, "allcommands") || command_word_is(word, "nocommands")) {
        selector_all_commands(selector, tolower(word.data[0]) == 'a');
        return NULL;
    }
    switch (word.data[0]) {
    case '~':
    case '%':
        return apply_key(selector, word);
    case '&':
        return apply_channel(selector, rest);
    case '+':
    case '-':
        if (rest.size > 0 && rest.data[0] == '@') {
            return apply_category(selector, slice_of(rest.data + 1, rest.size - 1),
                                  word.data[0] == '+');
        }
        return rest.size == 0 ? unknown_error : apply_command(selector, rest, word.data[0] == '+');
    default:
        return syntax_error;
    }
}

/* ---- Users ---- */

static void
user_summarize(struct acl_user *user)
{
    const struct acl_selector *root = &user->selectors[0];

    user->is_unrestricted = root->has_all_commands && root->has_all_keys && root->has_all_channels;
}

static struct acl_selector *
selector_add(struct acl_user *user, bool all_channels)
{
    size_t size = sizeof(struct acl_selector);
    struct acl_selector *selectors = mem_alloc(MEM_SESSIONS, (user->selector_count + 1) * size);

    if (user->selector_count > 0) {
        memcpy(selectors, user->selectors, user->selector_count * size);
        mem_free(MEM_SESSIONS, user->selectors, user->selector_count * size);
    }
    user->selectors = selectors;
    selector_init(&selectors[user->selector_count], all_channels);
    return &selectors[user->selector_count++];
}

static void
selectors_drop(struct acl_user *user)
{
    for (uint32_t i = 0; i < user->selector_count; i++) {
        selector_fini(&user->selectors[i]);
    }
    mem_free(MEM_SESSIONS, user->selectors, user->selector_count * sizeof(struct acl_selector));
    user->selectors = NULL;
    user->selector_count = 0;
}

/* The root alone stays. */
static void
selectors_clear(struct acl_user *user)
{
    struct acl_selector root = user->selectors[0];

    selector_init(&user->selectors[0], false);
    selectors_drop(user);
    *selector_add(user, false) = root;
}

struct acl_user *
acl_user_new(struct slice name, bool all_channels)
{
    struct acl_user *user = mem_zalloc(MEM_SESSIONS, sizeof(*user) + name.size + 1);

    list_init(&user->link);
    buf_init(&user->passwords, MEM_SESSIONS);
    buf_init(&user->verifier, MEM_SESSIONS);
    (void)selector_add(user, all_channels);
    user->name_bytes = name.size;
    if (name.size > 0) {
        memcpy(user->name, name.data, name.size);
    }
    return user;
}

void
acl_user_free(struct acl_user **user_in)
{
    struct acl_user *user = *user_in;

    if (user == NULL) {
        return;
    }
    list_remove(&user->link);
    buf_fini(&user->passwords);
    buf_fini(&user->verifier);
    selectors_drop(user);
    mem_free(MEM_SESSIONS, user, sizeof(*user) + user->name_bytes + 1);
    *user_in = NULL;
}

void
acl_user_copy(struct acl_user *to, const struct acl_user *from)
{
    to->flags = from->flags;
    buf_replace(&to->passwords, &from->passwords);
    buf_replace(&to->verifier, &from->verifier);
    selectors_drop(to);
    for (uint32_t i = 0; i < from->selector_count; i++) {
        selector_copy(selector_add(to, false), &from->selectors[i]);
    }
    user_summarize(to);
}

/* ---- Passwords ---- */

static void
password_remove_at(struct acl_user *user, size_t at)
{
    struct buf *passwords = &user->passwords;

    memmove(passwords->data + at, passwords->data + at + SHA256_BYTES,
            passwords->size - at - SHA256_BYTES);
    passwords->size -= SHA256_BYTES;
}

static bool
password_find(const struct acl_user *user, const uint8_t hash[SHA256_BYTES], size_t *at_out)
{
    for (size_t at = 0; at < user->passwords.size; at += SHA256_BYTES) {
        if (memcmp(user->passwords.data + at, hash, SHA256_BYTES) == 0) {
            *at_out = at;
            return true;
        }
    }
    return false;
}

static bool
hash_parse(struct slice text, uint8_t hash_out[SHA256_BYTES])
{
    if (text.size != HEX_BYTES) {
        return false;
    }
    for (size_t i = 0; i < HEX_BYTES; i++) {
        uint8_t c = text.data[i];
        uint8_t digit;

        if (c >= '0' && c <= '9') {
            digit = (uint8_t)(c - '0');
        } else if (c >= 'a' && c <= 'f') {
            digit = (uint8_t)(c - 'a' + 10);
        } else {
            return false;
        }
        hash_out[i / 2] = (uint8_t)(i % 2 == 0 ? digit << 4 : hash_out[i / 2] | digit);
    }
    return true;
}

static const char *
apply_password(struct acl_user *user, struct slice word)
{
    struct slice rest = slice_of(word.data + 1, word.size - 1);
    uint8_t hash[SHA256_BYTES];
    size_t at;
    bool is_known;

    if (word.data[0] == '>' || word.data[0] == '<') {
        sha256(rest, hash);
    } else if (!hash_parse(rest, hash)) {
        return "The password hash must be exactly 64 characters and contain only lowercase "
               "hexadecimal characters";
    }
    is_known = password_find(user, hash, &at);
    if (word.data[0] == '<' || word.data[0] == '!') {
        if (!is_known) {
            return "The password you are trying to remove from the user does not exist";
        }
        password_remove_at(user, at);
        buf_clear(&user->verifier); /* It was one of other passwords. */
        return NULL;
    }
    buf_clear(&user->verifier);
    if (!is_known) {
        buf_append(&user->passwords, hash, sizeof(hash));
    }
    user->flags &= ~(uint32_t)PRINCIPAL_NO_PASSWORD;
    return NULL;
}

static void
passwords_clear(struct acl_user *user, bool is_open)
{
    buf_clear(&user->passwords);
    buf_clear(&user->verifier);
    user->flags &= ~(uint32_t)PRINCIPAL_NO_PASSWORD;
    user->flags |= is_open ? PRINCIPAL_NO_PASSWORD : 0;
}

/* ---- Words of users ---- */

static const char *
apply_selector(struct acl_user *user, struct slice word, bool all_channels)
{
    struct acl_selector *selector;

    if (word.size < 2 || word.data[word.size - 1] != ')') {
        return "Unmatched parenthesis in selector definition.";
    }
    if (user->selector_count == ACL_SELECTORS_MAX) {
        return "A user has at most 127 selectors beside its root permissions";
    }
    selector = selector_add(user, all_channels);
    for (size_t at = 1; at + 1 < word.size;) {
        const uint8_t *space = memchr(word.data + at, ' ', word.size - 1 - at);
        size_t end = space != NULL ? (size_t)(space - word.data) : word.size - 1;
        const char *error = NULL;

        if (end > at) {
            error = selector_apply(selector, slice_of(word.data + at, end - at));
        }
        if (error != NULL) {
            selector_fini(selector);
            selector_init(selector, false);
            return error;
        }
        at = end + 1;
    }
    return NULL;
}

static void
user_reset(struct acl_user *user, bool all_channels)
{
    selectors_drop(user);
    (void)selector_add(user, all_channels);
    passwords_clear(user, false);
    user->flags = 0;
}

static bool
apply_flag(struct acl_user *user, struct slice word, bool all_channels)
{
    if (command_word_is(word, "on")) {
        user->flags |= PRINCIPAL_ENABLED;
    } else if (command_word_is(word, "off")) {
        user->flags &= ~(uint32_t)PRINCIPAL_ENABLED;
    } else if (command_word_is(word, "nopass")) {
        passwords_clear(user, true);
    } else if (command_word_is(word, "resetpass")) {
        passwords_clear(user, false);
    } else if (command_word_is(word, "skip-sanitize-payload")) {
        user->flags |= PRINCIPAL_SKIP_SANITIZE;
    } else if (command_word_is(word, "sanitize-payload")) {
        user->flags &= ~(uint32_t)PRINCIPAL_SKIP_SANITIZE;
    } else if (command_word_is(word, "clearselectors")) {
        selectors_clear(user);
    } else if (command_word_is(word, "reset")) {
        user_reset(user, all_channels);
    } else {
        return false;
    }
    return true;
}

const char *
acl_user_apply(struct acl_user *user, struct slice word, bool all_channels)
{
    const char *error = NULL;

    if (word.size == 0 || apply_flag(user, word, all_channels)) {
        ;
    } else if (strchr("><#!", word.data[0]) != NULL && word.data[0] != '\0') {
        error = apply_password(user, word);
    } else if (word.data[0] == '(') {
        error = apply_selector(user, word, all_channels);
    } else {
        error = selector_apply(&user->selectors[0], word);
    }
    user_summarize(user);
    return error;
}

/* ---- The stored form ---- */

/* Where the word ends that begins here. A selector ends with its commands, so that a parenthesis in
 * one of its patterns is followed by a blank and one of its words, and never by another "(". */
static size_t
rule_end(struct slice rules, size_t at)
{
    bool is_selector = rules.data[at] == '(';

    for (size_t i = at; i < rules.size; i++) {
        if (!is_selector && rules.data[i] == ' ') {
            return i;
        }
        if (is_selector && rules.data[i] == ')' &&
            (i + 1 == rules.size || (i + 2 < rules.size && rules.data[i + 2] == '('))) {
            return i + 1;
        }
    }
    return rules.size;
}

const char *
acl_user_load(struct acl_user *user, const struct principal *principal)
{
    struct slice rules = principal->rules;
    const char *error = NULL;

    user_reset(user, false);
    for (size_t at = 0; at < rules.size && error == NULL;) {
        size_t end = rule_end(rules, at);

        error = acl_user_apply(user, slice_of(rules.data + at, end - at), false);
        at = end + 1;
    }
    user->flags = principal->flags;
    buf_append(&user->passwords, principal->password.data, principal->password.size);
    buf_append(&user->verifier, principal->verifier.data, principal->verifier.size);
    user_summarize(user);
    return error;
}

static void
selector_describe(const struct acl_selector *selector, struct buf *out)
{
    size_t before = out->size;

    acl_selector_keys(selector, out);
    buf_append(out, " ", out->size > before);
    if (!selector->has_all_channels) {
        buf_printf(out, "resetchannels ");
    }
    before = out->size;
    acl_selector_channels(selector, out);
    buf_append(out, " ", out->size > before);
    acl_selector_commands(selector, out);
}

static void
rules_describe(const struct acl_user *user, struct buf *out)
{
    selector_describe(&user->selectors[0], out);
    for (uint32_t i = 1; i < user->selector_count; i++) {
        buf_printf(out, " (");
        selector_describe(&user->selectors[i], out);
        buf_printf(out, ")");
    }
}

void
acl_user_store(const struct acl_user *user, struct buf *rules, struct principal *out)
{
    buf_clear(rules);
    rules_describe(user, rules);
    *out = (struct principal){
        .name = slice_of(user->name, user->name_bytes),
        .flags = user->flags,
        .password = buf_slice(&user->passwords),
        .verifier = buf_slice(&user->verifier),
        .rules = buf_slice(rules),
    };
}

/* ---- As text ---- */

void
acl_selector_commands(const struct acl_selector *selector, struct buf *out)
{
    buf_printf(out, "%s", selector->has_future ? "+@all" : "-@all");
    buf_append(out, " ", selector->rules.size > 0);
    buf_append(out, selector->rules.data, selector->rules.size);
}

void
acl_selector_keys(const struct acl_selector *selector, struct buf *out)
{
    static const char *const marks[] = {"", "%R~", "%W~", "~"};
    struct acl_entry entry;

    if (selector->has_all_keys) {
        buf_printf(out, "~*");
        return;
    }
    for (size_t at = 0; acl_list_next(&selector->keys, &at, &entry);) {
        buf_printf(out, "%s", marks[entry.flags & (ACL_READ | ACL_WRITE)]);
        buf_append(out, entry.text.data, entry.text.size);
        buf_append(out, " ", at < selector->keys.size);
    }
}

void
acl_selector_channels(const struct acl_selector *selector, struct buf *out)
{
    struct acl_entry entry;

    if (selector->has_all_channels) {
        buf_printf(out, "&*");
        return;
    }
    for (size_t at = 0; acl_list_next(&selector->channels, &at, &entry);) {
        buf_printf(out, "&");
        buf_append(out, entry.text.data, entry.text.size);
        buf_append(out, " ", at < selector->channels.size);
    }
}

void
acl_user_describe(const struct acl_user *user, struct buf *out)
{
    buf_printf(out, "%s ", (user->flags & PRINCIPAL_ENABLED) != 0 ? "on" : "off");
    if ((user->flags & PRINCIPAL_NO_PASSWORD) != 0) {
        buf_printf(out, "nopass ");
    }
    buf_printf(out, "%s ",
               (user->flags & PRINCIPAL_SKIP_SANITIZE) != 0 ? "skip-sanitize-payload"
                                                            : "sanitize-payload");
    for (size_t at = 0; at < user->passwords.size; at++) {
        buf_printf(out, "%s%02x%s", at % SHA256_BYTES == 0 ? "#" : "", user->passwords.data[at],
                   at % SHA256_BYTES == SHA256_BYTES - 1 ? " " : "");
    }
    rules_describe(user, out);
}
