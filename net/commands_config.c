/* net/commands_config.c - CONFIG GET, SET, RESETSTAT, REWRITE.
 *
 * SET checks all its pairs against this shard's values (those of all shards are the same), then
 * every shard takes the changes over: after the checks nothing can fail. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/msg.h"
#include "engine/rt/shard.h"
#include "models/kv/glob.h"
#include "net/acl.h"
#include "net/config.h"
#include "net/config_table.h"
#include "net/dispatch.h"
#include "net/monitor.h"

#include "engine/base/poison.h"

/* ---- GET ---- */

static bool
is_pattern(struct slice text)
{
    return memchr(text.data, '*', text.size) != NULL || memchr(text.data, '?', text.size) != NULL ||
           memchr(text.data, '[', text.size) != NULL;
}

/* Does one of the patterns want this name? Hidden ones only by their full name. */
static bool
is_wanted(const struct kv_request *request, const char *name, bool is_hidden)
{
    for (uint32_t i = 2; name != NULL && i < request->argc; i++) {
        struct slice pattern = request->argv[i];

        if (!is_pattern(pattern)) {
            if (command_word_is(pattern, name)) {
                return true;
            }
        } else if (!is_hidden && kv_glob_match(pattern, slice_from_text(name), true)) {
            return true;
        }
    }
    return false;
}

static YIELDS void
run_get(struct session *session, struct kv_request *request)
{
    const struct config *config = session->net->config;
    uint64_t pairs = 0;
    struct reply *reply = request->reply;

    for (int pass = 0; pass < 2; pass++) {
        if (pass == 1) {
            reply_map(reply, pairs);
        }
        for (uint32_t i = 0; i < config_parameter_count; i++) {
            const struct config_parameter *parameter = &config_parameters[i];
            const char *names[] = {parameter->name, parameter->alias};

            for (size_t n = 0; n < ARRAY_COUNT(names); n++) {
                if (!is_wanted(request, names[n], (parameter->flags & CONFIG_HIDDEN) != 0)) {
                    continue;
                }
                if (pass == 0) {
                    pairs++;
                } else {
                    reply_bulk_text(reply, names[n]);
                    reply_bulk_text(reply, config_text(config, i));
                }
            }
        }
    }
}

/* ---- SET ---- */

struct apply_call {
    const struct config_change *changes;
    uint32_t count;
};

static YIELDS void
apply_here(void *arg)
{
    const struct apply_call *call = arg;

    config_apply(net_self(), call->changes, call->count);
}

static YIELDS void
apply_all(const struct config_change *changes, uint32_t count)
{
    struct apply_call calls[SHARDS_MAX];

    for (uint32_t i = 0; i < shard_count(); i++) {
        calls[i] = (struct apply_call){changes, count};
    }
    msg_call_all(MSG_FIBER, apply_here, calls, sizeof(calls[0]));
}

static bool
is_duplicate(const struct config_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i + 1 < count; i++) {
        if (changes[i].index == changes[count - 1].index) {
            return true;
        }
    }
    return false;
}

/* requirepass is the password of the default user, which the catalog keeps. Replies and returns
 * false when it cannot be. */
static YIELDS bool
password_apply(struct kv_request *request, const struct config_change *changes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (changes[i].index == (uint32_t)config_find(SLICE("requirepass"))) {
            err_t err = acl_default_password_set(slice_from_text(changes[i].text));

            if (err != ERR_OK) {
                reply_err(request->reply, err);
                return false;
            }
        }
    }
    return true;
}

static YIELDS void
run_set(struct session *session, struct kv_request *request)
{
    uint32_t count = 0;
    struct config_change *changes;

    if (request->argc % 2 != 0) {
        reply_error(request->reply, "ERR wrong number of arguments for 'config|set' command");
        return;
    }
    changes = arena_alloc(request->arena, (size_t)(request->argc / 2) * sizeof(*changes));
    if (changes == NULL) {
        reply_error(request->reply, "ERR too many parameters in one CONFIG SET");
        return;
    }
    for (uint32_t i = 2; i < request->argc; i += 2) {
        struct slice name = request->argv[i];
        int32_t index = config_find(name);
        char message[ERR_MESSAGE_BYTES_MAX];
        bool is_fine;

        if (index < 0) {
            reply_error(request->reply,
                        "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                        (int)MIN(name.size, (size_t)128), (const char *)name.data);
            return;
        }
        is_fine = config_check(session->net->config, (uint32_t)index, request->argv[i + 1],
                               &changes[count], message);
        changes[count++].index = (uint32_t)index;
        if (is_fine && is_duplicate(changes, count)) {
            snprintf(message, sizeof(message), "duplicate parameter");
            is_fine = false;
        }
        if (!is_fine) {
            reply_error(request->reply,
                        "ERR CONFIG SET failed (possibly related to argument '%s') - %s",
                        config_parameters[index].name, message);
            return;
        }
    }
    if (!password_apply(request, changes, count)) {
        return;
    }
    apply_all(changes, count);
    reply_ok(request->reply);
}

/* ---- RESETSTAT, REWRITE ---- */

static YIELDS void
reset_here(void *arg)
{
    (void)arg;
    net_stats_reset(net_self());
    kv_stats_reset(net_self()->kv);
}

static YIELDS void
run_resetstat(struct session *session, struct kv_request *request)
{
    uint8_t nothing[SHARDS_MAX];

    (void)session;
    msg_call_all(MSG_FIBER, reset_here, nothing, 1);
    reply_ok(request->reply);
}

/* The file of --config holds the server's flags, none of which CONFIG SET changes; so there is
 * nothing that a rewrite could carry over to the next start. */
static YIELDS void
run_rewrite(struct session *session, struct kv_request *request)
{
    if (session->net->options->config_file[0] == '\0') {
        reply_error(request->reply, "ERR The server is running without a config file");
    } else {
        reply_error(request->reply, "ERR orbit.conf holds the flags of orbit-server, which CONFIG "
                                    "SET does not change: edit the file instead");
    }
}

static YIELDS void
run_help(struct session *session, struct kv_request *request)
{
    (void)session;
    dispatch_help(request);
}

const struct net_command net_commands_config[] = {
    {"config|get", run_get},         {"config|set", run_set},   {"config|resetstat", run_resetstat},
    {"config|rewrite", run_rewrite}, {"config|help", run_help}, {NULL, NULL},
};
