/* net/commands_acl.c - the commands of ACL. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/io/io.h"
#include "net/acl_catalog.h"
#include "net/config.h"
#include "net/dispatch.h"

#include "engine/base/poison.h"

enum { GENPASS_BITS_DEFAULT = 256, GENPASS_BITS_MAX = 4096, LOG_COUNT_DEFAULT = 10 };

/* ---- Users ---- */

static void
reply_users(struct session *session, struct kv_request *request, bool are_described)
{
    const struct acl *acl = session->net->acl;
    uint64_t count = 0;
    struct buf line;

    LIST_FOR_EACH(node, &acl->users) {
        count++;
    }
    buf_init(&line, MEM_SESSIONS);
    reply_array(request->reply, count);
    LIST_FOR_EACH(node, &acl->users) {
        const struct acl_user *user = LIST_ENTRY(node, struct acl_user, link);

        buf_clear(&line);
        buf_printf(&line, "%s", are_described ? "user " : "");
        buf_append(&line, user->name, user->name_bytes);
        if (are_described) {
            buf_append(&line, " ", 1);
            acl_user_describe(user, &line);
        }
        reply_bulk(request->reply, buf_slice(&line));
    }
    buf_fini(&line);
}

static YIELDS void
run_users(struct session *session, struct kv_request *request)
{
    reply_users(session, request, false);
}

static YIELDS void
run_list(struct session *session, struct kv_request *request)
{
    reply_users(session, request, true);
}

static YIELDS void
run_whoami(struct session *session, struct kv_request *request)
{
    reply_bulk(request->reply, session->origin.principal);
}

static void
reply_selector(struct reply *reply, const struct acl_selector *selector)
{
    struct buf text;

    buf_init(&text, MEM_SESSIONS);
    reply_bulk_text(reply, "commands");
    acl_selector_commands(selector, &text);
    reply_bulk(reply, buf_slice(&text));
    buf_clear(&text);
    reply_bulk_text(reply, "keys");
    acl_selector_keys(selector, &text);
    reply_bulk(reply, buf_slice(&text));
    buf_clear(&text);
    reply_bulk_text(reply, "channels");
    acl_selector_channels(selector, &text);
    reply_bulk(reply, buf_slice(&text));
    buf_fini(&text);
}

static void
reply_passwords(struct reply *reply, const struct acl_user *user)
{
    reply_array(reply, user->passwords.size / SHA256_BYTES);
    for (size_t at = 0; at < user->passwords.size; at += SHA256_BYTES) {
        char text[2 * SHA256_BYTES + 1];

        for (size_t i = 0; i < SHA256_BYTES; i++) {
            snprintf(text + 2 * i, 3, "%02x", user->passwords.data[at + i]);
        }
        reply_bulk_text(reply, text);
    }
}

static YIELDS void
run_getuser(struct session *session, struct kv_request *request)
{
    const struct acl_user *user = acl_find(session->net, request->argv[2]);
    struct reply *reply = request->reply;

    if (user == NULL) {
        reply_null(reply);
        return;
    }
    reply_map(reply, 6);
    reply_bulk_text(reply, "flags");
    reply_set(reply, 2 + acl_user_has_no_password(user));
    reply_bulk_text(reply, acl_user_is_enabled(user) ? "on" : "off");
    if (acl_user_has_no_password(user)) {
        reply_bulk_text(reply, "nopass");
    }
    reply_bulk_text(reply, (user->flags & PRINCIPAL_SKIP_SANITIZE) != 0 ? "skip-sanitize-payload"
                                                                        : "sanitize-payload");
    reply_bulk_text(reply, "passwords");
    reply_passwords(reply, user);
    reply_selector(reply, &user->selectors[0]);
    reply_bulk_text(reply, "selectors");
    reply_array(reply, user->selector_count - 1);
    for (uint32_t i = 1; i < user->selector_count; i++) {
        reply_map(reply, 3);
        reply_selector(reply, &user->selectors[i]);
    }
}

/* ---- Changes ---- */

static bool
channels_are_open(const struct session *session)
{
    return config_values(session->net->config)->acl_all_channels;
}

/* Words from "(" to ")" become one; NULL after an error reply. */
static struct slice *
selectors_join(struct kv_request *request, uint32_t *count_out)
{
    struct slice *words = arena_alloc(request->arena, request->argc * sizeof(*words));
    uint32_t count = 0;

    if (words == NULL) {
        reply_error(request->reply, "OOM no memory for %u words", request->argc);
        return NULL;
    }
    for (uint32_t i = 2; i < request->argc; i++) {
        struct slice word = request->argv[i];
        struct slice first = word;

        while (i > 2 && first.size > 0 && first.data[0] == '(' && word.data[word.size - 1] != ')') {
            struct slice next;
            uint8_t *joined;

            if (++i == request->argc) {
                reply_error(request->reply,
                            "ERR Unmatched parenthesis in acl selector starting at '%.*s'.",
                            (int)MIN(first.size, (size_t)128), (const char *)first.data);
                return NULL;
            }
            next = request->argv[i];
            joined = arena_alloc(request->arena, word.size + 1 + next.size);
            memcpy(joined, word.data, word.size);
            joined[word.size] = ' ';
            memcpy(joined + word.size + 1, next.data, next.size);
            word = slice_of(joined, word.size + 1 + next.size);
        }
        words[count++] = word;
    }
    *count_out = count;
    return words;
}

static bool
name_is_fine(struct kv_request *request, struct slice name)
{
    for (size_t i = 0; i < name.size; i++) {
        if (name.data[i] == '\0' || name.data[i] == ' ' ||
            (name.data[i] >= '\t' && name.data[i] <= '\r')) {
            reply_error(request->reply, "ERR Usernames can't contain spaces or null characters");
            return false;
        }
    }
    if (name.size > PRINCIPAL_NAME_BYTES_MAX) {
        reply_error(request->reply, "ERR Usernames have at most %d bytes",
                    PRINCIPAL_NAME_BYTES_MAX);
        return false;
    }
    return true;
}

static void
change_answer(struct kv_request *request, const struct acl_change *change)
{
    if (change->error[0] != '\0') {
        reply_error(request->reply, "%s", change->error);
    } else if (change->is_removal) {
        reply_int(request->reply, change->removed);
    } else {
        reply_ok(request->reply);
    }
}

static YIELDS void
run_setuser(struct session *session, struct kv_request *request)
{
    struct acl_change change = {
        .all_channels = channels_are_open(session),
        .session = session->id,
    };

    if (!name_is_fine(request, request->argv[2])) {
        return;
    }
    change.words = selectors_join(request, &change.count);
    if (change.words != NULL) {
        acl_change(&change);
        change_answer(request, &change);
    }
}

static YIELDS void
run_deluser(struct session *session, struct kv_request *request)
{
    struct acl_change change = {
        .words = request->argv + 2,
        .count = request->argc - 2,
        .is_removal = true,
        .session = session->id,
    };

    for (uint32_t i = 0; i < change.count; i++) {
        if (slice_equal(change.words[i], SLICE("default"))) {
            reply_error(request->reply, "ERR The 'default' user cannot be removed");
            return;
        }
    }
    acl_change(&change);
    change_answer(request, &change);
}

static YIELDS void
run_load(struct session *session, struct kv_request *request)
{
    struct acl_change change = {.should_load = true, .session = session->id};

    acl_change(&change);
    change_answer(request, &change);
}

/* Every change was durable before it was answered: there is nothing left to be saved. */
static YIELDS void
run_save(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_ok(request->reply);
}

/* ---- The rest ---- */

static void
reply_arguments_error(struct kv_request *request)
{
    reply_error(request->reply,
                "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try ACL HELP.",
                (int)MIN(request->argv[1].size, (size_t)128), (const char *)request->argv[1].data);
}

static void
reply_category(struct kv_request *request, uint32_t category)
{
    uint64_t count = 0;

    for (uint32_t id = 0; id < command_ids(); id++) {
        count += (command_by_id(id)->categories & category) != 0;
    }
    reply_array(request->reply, count);
    for (uint32_t id = 0; id < command_ids(); id++) {
        if ((command_by_id(id)->categories & category) != 0) {
            reply_bulk_text(request->reply, command_full_name(command_by_id(id)));
        }
    }
}

static YIELDS void
run_cat(struct session *session, struct kv_request *request)
{
    uint32_t count = 0;

    (void)session;
    if (request->argc > 3) {
        reply_arguments_error(request);
        return;
    }
    for (uint32_t bit = 0; command_category_name(bit) != NULL; bit++, count++) {
        if (request->argc == 3 && command_word_is(request->argv[2], command_category_name(bit))) {
            reply_category(request, UINT32_C(1) << bit);
            return;
        }
    }
    if (request->argc == 3) {
        reply_error(request->reply, "ERR Unknown category '%.*s'",
                    (int)MIN(request->argv[2].size, (size_t)128),
                    (const char *)request->argv[2].data);
        return;
    }
    reply_array(request->reply, count);
    for (uint32_t bit = 0; bit < count; bit++) {
        reply_bulk_text(request->reply, command_category_name(bit));
    }
}

static YIELDS void
run_genpass(struct session *session, struct kv_request *request)
{
    uint8_t bytes[GENPASS_BITS_MAX / 8];
    char text[GENPASS_BITS_MAX / 4 + 1];
    int64_t bits = GENPASS_BITS_DEFAULT;
    size_t digits;

    (void)session;
    if (request->argc > 3) {
        reply_arguments_error(request);
        return;
    }
    if (request->argc == 3 && !reply_parse_int(request->argv[2], &bits)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
        return;
    }
    if (bits <= 0 || bits > GENPASS_BITS_MAX) {
        reply_error(request->reply,
                    "ERR ACL GENPASS argument must be the number of bits for the output password, "
                    "a positive number up to %d",
                    GENPASS_BITS_MAX);
        return;
    }
    digits = (size_t)(bits + 3) / 4;
    io_random(bytes, (digits + 1) / 2);
    for (size_t i = 0; i < digits; i++) {
        text[i] = "0123456789abcdef"[i % 2 == 0 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15];
    }
    reply_bulk(request->reply, slice_of(text, digits));
}

static YIELDS void
run_log(struct session *session, struct kv_request *request)
{
    int64_t count = LOG_COUNT_DEFAULT;

    (void)session;
    if (request->argc > 3) {
        reply_arguments_error(request);
    } else if (request->argc == 3 && command_word_is(request->argv[2], "RESET")) {
        acl_log_reset();
        reply_ok(request->reply);
    } else if (request->argc == 3 && !reply_parse_int(request->argv[2], &count)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
    } else {
        acl_log_reply(request, (uint64_t)MAX(count, (int64_t)0));
    }
}

static YIELDS void
run_dryrun(struct session *session, struct kv_request *request)
{
    const struct slice *argv = request->argv + 3;
    uint32_t argc = request->argc - 3;
    const struct acl_user *user = acl_find(session->net, request->argv[2]);
    const struct command *command = command_resolve(argv, argc);
    struct acl_denial denial;
    char text[ACL_TEXT_BYTES_MAX];

    if (user == NULL) {
        reply_error(request->reply, "ERR User '%.*s' not found",
                    (int)MIN(request->argv[2].size, (size_t)128),
                    (const char *)request->argv[2].data);
    } else if (command == NULL) {
        reply_error(request->reply, "ERR Command '%.*s' not found",
                    (int)MIN(argv[0].size, (size_t)128), (const char *)argv[0].data);
    } else if (!command_arity_fits(command, argc)) {
        reply_error(request->reply, "ERR wrong number of arguments for '%s' command",
                    command_full_name(command));
    } else if (!acl_check(user, command, argv, argc, &denial)) {
        acl_denial_text(&denial, user->name, true, text);
        reply_bulk_text(request->reply, text);
    } else {
        reply_ok(request->reply);
    }
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_acl[] = {
    {"acl|cat", run_cat},         {"acl|deluser", run_deluser},
    {"acl|dryrun", run_dryrun},   {"acl|genpass", run_genpass},
    {"acl|getuser", run_getuser}, {"acl|help", run_help},
    {"acl|list", run_list},       {"acl|load", run_load},
    {"acl|log", run_log},         {"acl|save", run_save},
    {"acl|setuser", run_setuser}, {"acl|users", run_users},
    {"acl|whoami", run_whoami},   {NULL, NULL},
};
