/* net/commands_connection.c - PING, ECHO, HELLO, AUTH, SELECT, QUIT, RESET. */
#include <stdio.h>

#include "engine/base/assert.h"
#include "engine/rt/shard.h"
#include "net/acl.h"
#include "net/dispatch.h"
#include "net/pubsub.h"

#include "engine/base/poison.h"

static YIELDS void
run_ping(struct session *session, struct kv_request *request)
{
    if (request->argc > 2) {
        reply_error(request->reply, "ERR wrong number of arguments for 'ping' command");
    } else if (request->reply->resp == 2 && pubsub_is_subscriber(session)) {
        reply_array(request->reply, 2); /* As a message looks. */
        reply_bulk_text(request->reply, "pong");
        reply_bulk(request->reply, request->argc == 2 ? request->argv[1] : SLICE(""));
    } else if (request->argc == 2) {
        reply_bulk(request->reply, request->argv[1]);
    } else {
        reply_simple(request->reply, "PONG");
    }
}

static YIELDS void
run_echo(struct session *session, struct kv_request *request)
{
    (void)session;
    reply_bulk(request->reply, request->argv[1]);
}

static YIELDS void
run_select(struct session *session, struct kv_request *request)
{
    int64_t db;

    if (!reply_parse_int(request->argv[1], &db)) {
        reply_error(request->reply, "ERR value is not an integer or out of range");
    } else if (db < 0 || db >= (int64_t)session->net->options->databases) {
        reply_error(request->reply, "ERR DB index is out of range");
    } else {
        session->db = (uint32_t)db;
        reply_ok(request->reply);
    }
}

static YIELDS void
run_quit(struct session *session, struct kv_request *request)
{
    reply_ok(request->reply);
    session_close_after_reply(session);
}

static YIELDS void
run_reset(struct session *session, struct kv_request *request)
{
    session_reset(session);
    reply_simple(request->reply, "RESET");
}

/* Replies and returns false when user and password do not fit. */
static bool
authenticate(struct session *session, struct kv_request *request, struct slice user,
             struct slice password)
{
    struct acl_user *known = acl_find(session->net, user);

    if (known != NULL && acl_user_is_enabled(known) && acl_password_fits(known, password)) {
        acl_session_set(session, known);
        return true;
    }
    session->net->counters.auth_failures++;
    acl_log_login(session, user, request->argv[0]);
    reply_error(request->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static YIELDS void
run_auth(struct session *session, struct kv_request *request)
{
    struct slice user = SLICE("default");

    if (request->argc > 3) {
        reply_error(request->reply, "ERR syntax error");
        return;
    }
    if (request->argc == 3) {
        user = request->argv[1];
    } else if (acl_user_has_no_password(acl_find(session->net, user))) {
        reply_error(request->reply,
                    "ERR AUTH <password> called without any password configured for the default "
                    "user. Are you sure your configuration is correct?");
        return;
    }
    if (authenticate(session, request, user, request->argv[request->argc - 1])) {
        reply_ok(request->reply);
    }
}

struct hello {
    int64_t resp;
    bool has_auth, has_name;
    struct slice user, password, name;
};

static bool
hello_parse(struct kv_request *request, struct hello *hello)
{
    hello->resp = request->reply->resp;
    if (request->argc > 1) {
        if (!reply_parse_int(request->argv[1], &hello->resp)) {
            reply_error(request->reply, "ERR Protocol version is not an integer or out of range");
            return false;
        }
        if (hello->resp < 2 || hello->resp > 3) {
            reply_error(request->reply, "NOPROTO unsupported protocol version");
            return false;
        }
    }
    for (uint32_t i = 2; i < request->argc;) {
        uint32_t left = request->argc - i - 1;

        if (command_word_is(request->argv[i], "AUTH") && left >= 2) {
            hello->has_auth = true;
            hello->user = request->argv[i + 1];
            hello->password = request->argv[i + 2];
            i += 3;
        } else if (command_word_is(request->argv[i], "SETNAME") && left >= 1) {
            hello->has_name = true;
            hello->name = request->argv[i + 1];
            i += 2;
        } else {
            reply_error(request->reply, "ERR Syntax error in HELLO option '%.*s'",
                        (int)MIN(request->argv[i].size, (size_t)128),
                        (const char *)request->argv[i].data);
            return false;
        }
    }
    return true;
}

static YIELDS void
run_hello(struct session *session, struct kv_request *request)
{
    struct reply *reply = request->reply;
    struct hello hello = {0};

    if (!hello_parse(request, &hello)) {
        return;
    }
    if (hello.has_auth && !authenticate(session, request, hello.user, hello.password)) {
        return;
    }
    if (!session->is_authenticated && !acl_default_is_open(session->net)) {
        reply_error(reply, "NOAUTH HELLO must be called with the client already authenticated, "
                           "otherwise the HELLO <proto> AUTH <user> <pass> option can be used to "
                           "authenticate the client and select the RESP protocol version at the "
                           "same time");
        return;
    }
    if (hello.has_name && !session_name_set(session, hello.name)) {
        return;
    }
    reply->resp = (uint8_t)hello.resp;
    reply_map(reply, 7);
    reply_bulk_text(reply, "server");
    reply_bulk_text(reply, "redis");
    reply_bulk_text(reply, "version");
    reply_bulk_text(reply, REDIS_VERSION);
    reply_bulk_text(reply, "proto");
    reply_int(reply, hello.resp);
    reply_bulk_text(reply, "id");
    reply_int(reply, (int64_t)session->id);
    reply_bulk_text(reply, "mode");
    reply_bulk_text(reply, session->is_cluster ? "cluster" : "standalone");
    reply_bulk_text(reply, "role");
    reply_bulk_text(reply, "master");
    reply_bulk_text(reply, "modules");
    reply_array(reply, 0);
}

const struct net_command net_commands_connection[] = {
    {"ping", run_ping}, {"echo", run_echo},   {"select", run_select}, {"quit", run_quit},
    {"auth", run_auth}, {"hello", run_hello}, {"reset", run_reset},   {NULL, NULL},
};
